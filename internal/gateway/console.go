package gateway

import (
	"fmt"

	"jasmind/internal/httpapi"
	"jasmind/internal/jcli"
	"jasmind/internal/profile"
)

// loadProfile brings back what the console configured before: the profile jcli-prod. It
// comes after the provisioning file, whose declarations win.
func (g *Gateway) loadProfile() error {
	p, err := profile.Open(profile.Config{Dir: g.cfg.Paths.Store}, g.state, g.logs.router)
	if err != nil {
		return err
	}
	if err := p.LoadAtStart(); err != nil {
		return err
	}
	g.profiles = p
	return nil
}

// startConsole opens the management console and saves its changes from time to time.
func (g *Gateway) startConsole() error {
	if g.cfg.PersistEvery > 0 {
		g.wg.Go(func() { g.profiles.Run(g.flows, g.cfg.PersistEvery) })
	}
	srv := jcli.New(g.cfg.Console, g.consoleDeps())
	if err := srv.Listen(); err != nil {
		return err
	}
	g.console = srv
	g.wg.Go(func() {
		if err := srv.Serve(); err != nil {
			g.fail(fmt.Errorf("jcli: %w", err))
		}
	})
	return nil
}

func (g *Gateway) consoleDeps() jcli.Deps {
	d := jcli.Deps{
		Store: g.state, Auth: g.auth, Profiles: g.profiles, Connectors: g.fleet, Accounts: g.accounts, Scripts: g.pool,
		Explain: g.submit, Connected: &g.counters, HTTPAPI: g.http, SMPPServer: g.smppServer(), DeadLetters: g.letters, Log: g.logs.console,
	}
	if g.smpp != nil {
		d.Binds = g.smpp
	}
	if g.http == nil {
		d.HTTPAPI = new(httpapi.Server) // which has counted nothing
	}
	return d
}
