package gateway

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"time"

	"jasmind/internal/account"
	"jasmind/internal/admission"
	"jasmind/internal/config"
	"jasmind/internal/connector"
	"jasmind/internal/connector/fleet"
	"jasmind/internal/deadletter"
	"jasmind/internal/dlr"
	"jasmind/internal/httpapi"
	"jasmind/internal/intercept"
	"jasmind/internal/jcli"
	"jasmind/internal/logging"
	"jasmind/internal/mo"
	"jasmind/internal/mt"
	"jasmind/internal/profile"
	"jasmind/internal/provision"
	"jasmind/internal/queue"
	"jasmind/internal/smppserver"
	"jasmind/internal/sms"
	"jasmind/internal/throw"
)

// run starts a part that works until the gateway stops; see parts.run.
func (g *Gateway) run(s stage, name string, run, shutdown func(context.Context) error) {
	g.parts.run(s, name, run, shutdown, g.fail)
}

// start starts all parts, in the order in which they need one another.
func (g *Gateway) start(ctx context.Context) error {
	b, err := g.startBackend(ctx)
	if err != nil {
		return err
	}
	letters := deadletter.New(g.cfg.DeadLetters, b.broker, b.journal, b.letters, g.logs.manager)
	letters.Observe(&g.metrics)
	g.run(consumers, "dead letters", letters.Run, nil)

	profiles, err := g.startProfiles()
	if err != nil {
		return &ConfigurationError{err.Error()}
	}
	g.say("RouterPB Started.")

	pool := intercept.New(g.cfg.Interceptor, g.logs.scripts)
	g.metrics.Counters(&pool.Stats)
	g.parts.add(stores, "scripts", func(context.Context) error { pool.Close(); return nil })
	scripts := provision.NewScripts(pool, g.logs.scripts)
	g.run(consumers, "script check", func(ctx context.Context) error { return scripts.Watch(ctx, g.state) }, nil)

	esmeConfig := g.cfg.SMPPSThrower
	esmeConfig.Owner = func(systemID string) (sms.UserID, bool) {
		u, _ := g.state.Snapshot().Account(systemID)
		if u == nil {
			return "", false
		}
		return u.UID, true
	}
	esmes := throw.NewSMPPS(esmeConfig, b.broker, b.journal, knownESMEs(g.state, b), g.logs.thrower)
	g.metrics.Counters(&esmes.Metrics)
	unfollow := g.state.Subscribe(func(old, now *provision.Snapshot) {
		for _, u := range old.Users() {
			if kept := now.User(u.UID); kept == nil || kept.Username != u.Username {
				esmes.Removed(u.Username)
			}
		}
	})
	g.parts.add(stores, "removed users", func(context.Context) error { unfollow(); return nil })
	counters := new(fleet.Counters)
	messages := mo.New(g.cfg.MO, mo.Deps{
		Snapshots: g.state, Scripts: scripts, HasSession: esmes.HasSession,
		Journal: b.journal, Parts: b.parts, Intercepted: counters.Intercepted,
		Messages: g.logs.messages, Log: g.logs.manager,
	})
	g.metrics.Counters(&messages.Metrics)
	lookup := dlr.New(g.cfg.DLR, b.broker, b.journal, b.store, g.logs.dlr)
	g.metrics.Counters(&lookup.Metrics)
	if err := g.startConnectors(ctx, counters, fleet.Deps{
		Broker: b.broker, Journal: lookup.Watch(b.journal), Store: b.store, MO: messages.Accept,
		Counters: counters, OpenLog: g.logs.connector, Messages: g.logs.messages, Log: g.logs.service,
	}); err != nil {
		return err
	}
	g.say("SMPPClientManagerPB Started.")
	g.run(consumers, "DLRLookup", lookup.Run, nil)
	g.say("DLRLookup Started.")
	g.run(consumers, "expiry sweeper", connector.NewExpirySweeper(connector.ExpiryConfig{}, b.journal, b.store, g.fleet.InFlight, g.logs.manager).Run, nil)

	submit := mt.New(g.cfg.MT, mt.Deps{Snapshots: g.state, Scripts: scripts, Bound: g.fleet.Bound, Quality: counters.Quality, Ledger: b.ledger,
		Journal: b.journal, Backlog: b.broker, Log: g.logs.router})
	bills := mt.NewBills(b.broker, b.journal, g.logs.router)
	g.metrics.Counters(bills)
	g.run(consumers, "bills", bills.Run, nil)
	g.accounts = mt.NewAccounts(mt.AccountsDeps{Store: g.state, Ledger: b.ledger, Lapse: b.lapse, Removed: submit.Forget, Log: g.logs.router})
	g.run(consumers, "accounts", g.accounts.Run, nil)

	logins := admission.NewLogins(g.cfg.Logins)
	g.metrics.Counters(&logins.Stats)
	g.metrics.Counters(&account.Patterns)
	account.OnPatternTimeout(func(pattern string) {
		g.logs.router.Warn("a pattern took too long and did not match", "pattern", pattern)
	})
	auth := account.NewAuthenticator(account.AuthConfig{Logins: logins}, g.state)
	esmeDoor, err := g.startSMPP(ctx, smppserver.Deps{
		Auth: auth, Accounts: accounts{g.state}, Submit: submit,
		States: mt.NewStates(b.journal, b.store), Receivers: esmes, Log: g.logs.smpp,
	})
	if err != nil {
		return err
	}
	g.run(consumers, "SMPPSThrower", esmes.Run, nil)
	g.run(consumers, "MO", messages.Run, nil)
	g.startThrower("dlr", "DLRThrower", throw.NewHTTP(g.cfg.DLRThrower, b.broker, b.journal, g.logs.thrower))
	g.startThrower("mo", "deliverSmThrower", throw.NewMO(g.cfg.MOThrower, b.broker, b.journal, g.logs.moThrower))

	g.metrics.Counter("jasmind_panics_total", "Defects that ended the work on one message or session.", func() float64 { return float64(logging.Panics.Load()) })
	g.metrics.Counter("jasmind_log_lines_dropped_total", "Log lines dropped because their buffer was full.", func() float64 { return float64(g.logs.all.Dropped()) })
	httpDoor, err := g.startHTTP(auth, submit, b)
	if err != nil {
		return err
	}
	console := jcli.Deps{
		Store: g.state, Auth: auth, Profiles: profiles, Connectors: g.fleet, Accounts: g.accounts, Scripts: pool,
		Explain: submit, Connected: counters, HTTPAPI: httpDoor, SMPPServer: esmeDoor, DeadLetters: letters, Log: g.logs.console,
	}
	if !g.cfg.SMPPServer.Disabled {
		console.Binds = esmeDoor
	}
	return g.startConsole(console)
}

// startBackend opens broker and store, and has the daemon end when the embedded database's own log fails: nothing more is answered then.
func (g *Gateway) startBackend(ctx context.Context) (*backend, error) {
	if err := g.refuseToForget(ctx); err != nil {
		return nil, err
	}
	b, err := openBackend(ctx, g.cfg, g.logs)
	if err != nil {
		return nil, err
	}
	g.parts.add(stores, "broker and store", func(context.Context) error { return b.close() })
	g.certificates = append(g.certificates, b.certificates...)
	b.observe(&g.metrics)
	g.hopeless = b.failed
	g.run(consumers, "embedded database", func(ctx context.Context) error {
		select {
		case <-b.failed:
			return b.err()
		case <-ctx.Done():
			return nil
		}
	}, nil)
	for _, name := range b.started {
		g.say(name + " Started.")
	}
	if err := b.broker.Declare(ctx, queue.DLRSubmitSMResp, queue.DLRDeliverSM, queue.DLRThrowerHTTP,
		queue.DLRThrowerSMPPS, queue.DeliverSMHTTP, queue.DeliverSMSMPPS, queue.BillRequests, queue.DeadLetter); err != nil {
		return nil, fmt.Errorf("declare queues: %w", err)
	}
	if b.outbox != nil {
		g.run(consumers, "outbox", b.outbox, nil)
	}
	return b, nil
}

// refuseToForget keeps the services mode from leaving messages of the embedded mode lying.
func (g *Gateway) refuseToForget(ctx context.Context) error {
	if g.opts.AbandonEmbedded || g.cfg.Mode != config.Services {
		return nil
	}
	n, err := forgotten(ctx, g.cfg, g.logs.manager)
	if err != nil {
		return fmt.Errorf("look for messages of the embedded mode: %w", err)
	}
	if n > 0 {
		return &ConfigurationError{fmt.Sprintf("the embedded database in %s still holds %d messages, which the services mode would never send: "+
			"start once more with [gateway] mode = embedded until they are gone, or give --abandon-embedded", g.cfg.Paths.Data, n)}
	}
	return nil
}

// startProfiles brings back what the console configured before: the profile jcli-prod. It comes after the
// provisioning file, whose declarations win. Changes are saved from time to time, and at the stop, when the doors
// are closed.
func (g *Gateway) startProfiles() (*profile.Profiles, error) {
	p, err := profile.Open(profile.Config{Dir: g.cfg.Paths.Store, Say: g.say}, g.state, g.logs.router)
	if err != nil {
		return nil, err
	}
	if err := p.LoadAtStart(); err != nil {
		return nil, err
	}
	if g.cfg.PersistEvery > 0 {
		g.run(carriers, "profile", func(ctx context.Context) error { p.Run(ctx, g.cfg.PersistEvery); return nil }, func(context.Context) error { return p.Save() })
	}
	return p, nil
}

func (g *Gateway) startConnectors(ctx context.Context, counters *fleet.Counters, d fleet.Deps) error {
	g.fleet = fleet.New(g.cfg.Connector, d)
	g.parts.add(carriers, "connectors", g.fleet.Stop)
	counters.Observe(&g.metrics)
	g.fleet.Observe(&g.metrics)
	g.fleet.Follow(g.state)
	if err := g.fleet.Settle(ctx); err != nil && ctx.Err() == nil {
		g.logs.manager.Error("not every connector is as configured", "err", err)
	}
	return context.Cause(ctx)
}

func (g *Gateway) startThrower(kind, name string, t *throw.HTTP) {
	g.metrics.CountersOf(kind, &t.Metrics)
	g.run(carriers, name, t.Run, func(ctx context.Context) error {
		if err := t.Shutdown(ctx); err != nil { // no fault of ours: what was cut off comes again
			g.logs.manager.Warn("calls under way are cut off", "thrower", name, "err", err)
		}
		return nil
	})
	g.say(name + " Started.")
}

// knownESMEs lists those whose queues may hold something: all users and all who have a queue.
func knownESMEs(state *provision.Store, b *backend) func() []string {
	return func() []string {
		var out []string
		for _, u := range state.Snapshot().Users() {
			out = append(out, u.Username)
		}
		for _, name := range b.broker.Names() {
			if systemID, ok := queue.ESMEOf(name); ok {
				out = append(out, systemID)
			}
		}
		return out
	}
}

// accounts are those of the current snapshot.
type accounts struct{ *provision.Store }

// User gives a user by his uid; nil if there is none.
func (a accounts) User(uid sms.UserID) *account.User { return a.Snapshot().User(uid) }

// smppDrain bounds the time that ESMEs get to answer what they were sent when the gateway stops.
const smppDrain = 5 * time.Second

// startSMPP opens the SMPP server; one that is disabled has counted nothing.
func (g *Gateway) startSMPP(ctx context.Context, d smppserver.Deps) (*smppserver.Server, error) {
	srv := new(smppserver.Server)
	if g.cfg.SMPPServer.Disabled {
		g.metrics.Counters(&srv.Stats)
		return srv, nil
	}
	srv = smppserver.New(g.cfg.SMPPServer, d)
	g.metrics.Counters(&srv.Stats)
	if err := srv.Listen(ctx); err != nil {
		return nil, err
	}
	g.certificates.Add(srv.Certificates())
	for i, a := range srv.Addrs() {
		name := "smpp-server"
		if i > 0 {
			name += "." + strconv.Itoa(i+1)
		}
		g.addresses[name] = reachable(a)
	}
	unfollow := g.state.Subscribe(func(_, _ *provision.Snapshot) { srv.Review() })
	g.run(doors, "smpp-server", srv.Serve, func(ctx context.Context) error {
		unfollow()
		inner, cancel := context.WithTimeout(ctx, smppDrain)
		defer cancel()
		if err := srv.Shutdown(inner); err != nil && inner.Err() == nil {
			return err
		}
		return nil // that an ESME did not answer is no error: what it was sent comes again
	})
	g.say("SMPPServer Started.")
	return srv, nil
}

// startHTTP opens the HTTP API; one that is disabled has counted nothing.
func (g *Gateway) startHTTP(auth *account.Authenticator, submit *mt.Service, b *backend) (*httpapi.Server, error) {
	if g.cfg.HTTP.Disabled {
		return new(httpapi.Server), nil
	}
	cfg := g.cfg.HTTP
	cfg.Release = g.opts.Version
	srv := httpapi.New(cfg, auth, submit, b.ledger, &g.metrics, g.logs.access, g.logs.http)
	g.metrics.Counters(&srv.Stats)
	if err := g.metrics.Ready(); err != nil {
		return nil, err
	}
	if err := srv.Listen(); err != nil {
		return nil, err
	}
	g.certificates.Add(srv.Certificates())
	g.addresses["http-api"] = reachable(srv.Addr())
	g.run(doors, "http-api", func(context.Context) error { return srv.Serve() }, srv.Shutdown)
	g.say("HTTPApi Started.")
	return srv, nil
}

func (g *Gateway) startConsole(d jcli.Deps) error {
	if g.cfg.ConsoleDisabled {
		return nil
	}
	srv := jcli.New(g.cfg.Console, d)
	if err := srv.Listen(); err != nil {
		return err
	}
	g.addresses["jcli"] = reachable(srv.Addr())
	g.run(doors, "jcli", func(context.Context) error { return srv.Serve() }, srv.Shutdown)
	g.say("jCli Started.")
	return nil
}

// reachable is an address to connect to from this host: loopback for a wildcard.
func reachable(a net.Addr) string {
	tcp, ok := a.(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return a.String()
	}
	host := "127.0.0.1"
	if tcp.IP.To4() == nil {
		host = "::1"
	}
	return net.JoinHostPort(host, strconv.Itoa(tcp.Port))
}
