// Package gateway assembles the daemon: it opens broker and store for the mode of the
// configuration, starts the doors, flows and connectors in order, applies configuration
// while they run, and stops everything in the reverse order. cmd/jasmind, the features and
// the benchmarks use it.
//
//	g, err := gateway.New(gateway.Options{Config: cfg, Provision: "provision.yaml"})
//	err = g.Start(ctx)   // returns when every listener is up
//	<-g.Failed()         // or a signal
//	err = g.Stop(ctx)    // drains until ctx ends
package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"sync"
	"time"

	"jasmind/internal/certs"
	"jasmind/internal/config"
	"jasmind/internal/connector/fleet"
	"jasmind/internal/metrics"
	"jasmind/internal/mt"
	"jasmind/internal/provision"
	"jasmind/internal/sms"
)

// Options say what to run.
type Options struct {
	Config    *config.Config
	Provision string    // a provisioning file, applied at start and by Reload; "": none
	Version   string    // shown by / of the HTTP API
	Stdout    io.Writer // for start-up lines and logs to stdout; nil: os.Stdout
	// AbandonEmbedded lets the services mode start though an embedded database holds messages.
	AbandonEmbedded bool
}

// Gateway is one running daemon. Create it with New; Start and Stop are called once.
type Gateway struct {
	opts  Options
	cfg   *config.Config
	logs  *serviceLogs
	state *provision.Store

	parts        parts
	metrics      metrics.Set
	fleet        *fleet.Fleet
	accounts     *mt.Accounts
	certificates certs.Set         // of the doors
	addresses    map[string]string // of the doors, by service
	hopeless     <-chan struct{}   // closed when the database has failed: nothing is settled any more

	failOnce sync.Once
	failed   chan struct{}
	cause    error
}

// New opens the logs and checks what can be checked without starting anything.
func New(o Options) (*Gateway, error) {
	if o.Stdout == nil {
		o.Stdout = os.Stdout
	}
	logs, err := openLogs(o.Config, o.Stdout)
	if err != nil {
		return nil, err
	}
	cfg := *o.Config // of which starting changes what it makes fit
	g := &Gateway{opts: o, cfg: &cfg, logs: logs, state: provision.NewStore(), addresses: make(map[string]string), failed: make(chan struct{})}
	if o.Provision != "" {
		if err := g.state.ApplyFile(o.Provision); err != nil {
			return nil, errors.Join(err, logs.all.Close())
		}
	}
	return g, nil
}

// say prints a start-up line, as the original does on its standard output, and logs it.
func (g *Gateway) say(line string) {
	fmt.Fprintln(g.opts.Stdout, "INFO 1 "+line)
	g.logs.manager.Info(line) //nolint:sloglint // the line is the message
}

// fail ends the daemon because of an error that nothing can go on after.
func (g *Gateway) fail(err error) {
	g.failOnce.Do(func() {
		g.cause = err
		g.logs.manager.Error("fatal", "err", err)
		close(g.failed)
	})
}

// Failed is closed when the gateway cannot go on; Err says why.
func (g *Gateway) Failed() <-chan struct{} { return g.failed }

// Err is why the gateway failed. Read it after Failed.
func (g *Gateway) Err() error { return g.cause }

// ConfigurationError is why a configuration that is right by itself cannot be started with.
type ConfigurationError struct{ Reason string }

// Error is the reason.
func (e *ConfigurationError) Error() string { return e.Reason }

// Start opens everything and returns when every listener is up. When it fails, what was
// started is stopped again.
func (g *Gateway) Start(ctx context.Context) error {
	g.say("Starting Jasmin Daemon ...")
	g.say("Mode is " + string(g.cfg.Mode) + ": " + g.cfg.ModeWhy + ".")
	for _, key := range g.cfg.Unserved {
		g.logs.manager.Warn("configuration key has no effect", "key", key)
	}
	g.shareFiles()
	err := g.start(ctx)
	if err == nil {
		return nil
	}
	stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.cfg.ShutdownTimeout)
	defer cancel()
	return errors.Join(err, g.Stop(stopCtx))
}

// Reload reads the certificates of the doors and the provisioning file again and applies the
// difference. Of what has faults nothing changes, and the error names each.
func (g *Gateway) Reload(ctx context.Context) error {
	err := g.certificates.Reload()
	switch {
	case err != nil:
		g.logs.manager.Error("certificates were not read again", "err", err)
	case len(g.certificates) > 0:
		g.logs.manager.Info("certificates read again")
	case g.opts.Provision == "":
		return errors.New("there is neither a provisioning file nor a certificate to read again")
	}
	if g.opts.Provision != "" {
		err = errors.Join(err, g.reprovision(ctx))
	}
	return err
}

func (g *Gateway) reprovision(ctx context.Context) error {
	if err := g.state.ApplyFile(g.opts.Provision); err != nil {
		g.logs.router.Error("provisioning file was not applied", "file", g.opts.Provision, "err", err)
		return err
	}
	g.accounts.Settle(ctx)
	if err := g.fleet.Settle(ctx); err != nil {
		g.logs.router.Error("provisioning file was applied, but not to every connector", "file", g.opts.Provision, "err", err)
		return err
	}
	g.logs.router.Info("provisioning file applied", "file", g.opts.Provision, "version", g.state.Snapshot().Version())
	return nil
}

// Addresses gives where the doors listen, by service, after Start.
func (g *Gateway) Addresses() map[string]string { return maps.Clone(g.addresses) }

// State is the provisioned configuration.
func (g *Gateway) State() *provision.Store { return g.state }

// Bound tells whether a connector has a session that can submit.
func (g *Gateway) Bound(cid sms.ConnectorID) bool { return g.fleet.Bound(cid) }

// Stop refuses new work, lets what is under way come to its end, unbinds, settles and closes broker and store. It returns
// when ctx ends at the latest, or after two seconds, whatever a part does. Nothing that was acknowledged is lost then: it is
// found in the queues at the next start.
func (g *Gateway) Stop(ctx context.Context) error {
	began := time.Now()
	hopeless := false
	select {
	case <-g.hopeless:
		hopeless = true
	default:
	}
	err := g.parts.stop(ctx, hopeless)
	if log := g.logs.manager.With("dur", time.Since(began).Round(time.Millisecond)); err == nil {
		log.Info("stopped")
	} else {
		log.Warn("stopped, but not everything in order", "err", err)
	}
	return errors.Join(err, g.closeLogs())
}

// Abandon notes in the log that the process is about to end, whatever is under way, and why.
func (g *Gateway) Abandon(why string) error {
	g.logs.manager.Error("the process ends", "why", why)
	return g.closeLogs()
}

// logWait is how long the last lines of the logs may take.
const logWait = time.Second

// closeLogs writes what is left of the logs.
func (g *Gateway) closeLogs() error {
	closed := make(chan error, 1)
	go func() { closed <- g.logs.all.Close() }()
	t := time.NewTimer(logWait)
	defer t.Stop()
	select {
	case err := <-closed:
		return err
	case <-t.C:
		return errors.New("the logs were not written to their end")
	}
}
