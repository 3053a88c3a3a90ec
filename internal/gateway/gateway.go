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
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"jasmind/internal/account"
	"jasmind/internal/admission"
	"jasmind/internal/certs"
	"jasmind/internal/config"
	"jasmind/internal/connector"
	"jasmind/internal/connector/fleet"
	"jasmind/internal/deadletter"
	"jasmind/internal/dlr"
	"jasmind/internal/httpapi"
	"jasmind/internal/intercept"
	"jasmind/internal/jcli"
	"jasmind/internal/mo"
	"jasmind/internal/mt"
	"jasmind/internal/profile"
	"jasmind/internal/provision"
	"jasmind/internal/queue"
	"jasmind/internal/smppserver"
	"jasmind/internal/sms"
	"jasmind/internal/throw"
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

	backend   *backend
	fleet     *fleet.Fleet
	counters  fleet.Counters
	http      *httpapi.Server
	lookup    *dlr.Lookup
	thrower   *throw.HTTP
	moThrower *throw.HTTP
	esmes     *throw.SMPPS
	letters   *deadletter.Office
	logins    *admission.Logins
	auth      *account.Authenticator
	submit    *mt.Service
	mo        *mo.Service
	bills     *mt.Bills
	pool      *intercept.Pool
	scripts   *provision.Scripts
	accounts  *mt.Accounts
	smpp      *smppserver.Server
	unreview  func() // ends the subscription of smpp to changes
	profiles  *profile.Profiles
	console   *jcli.Server

	certificates certs.Set // of the doors

	ctx    context.Context // ends when everything is given up
	cancel context.CancelCauseFunc
	flows  context.Context // ends when consumers are to stop
	halt   context.CancelFunc
	wg     sync.WaitGroup

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
	g := &Gateway{opts: o, cfg: o.Config, logs: logs, state: provision.NewStore(), failed: make(chan struct{})}
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

// Start opens everything and returns when every listener is up. When it fails, what was
// started is stopped again.
func (g *Gateway) Start(ctx context.Context) (err error) {
	g.ctx, g.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	g.flows, g.halt = context.WithCancel(g.ctx)
	defer func() {
		if err != nil {
			stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.cfg.ShutdownTimeout)
			defer cancel()
			err = errors.Join(err, g.Stop(stopCtx))
		}
	}()
	g.say("Starting Jasmin Daemon ...")
	g.say("Mode is " + string(g.cfg.Mode) + ": " + g.cfg.ModeWhy + ".")
	for _, key := range g.cfg.Unserved {
		g.logs.manager.Warn("configuration key has no effect", "key", key)
	}
	if err := g.refuseToForget(ctx); err != nil {
		return err
	}
	if g.backend, err = openBackend(ctx, g.cfg, g.logs); err != nil {
		return err
	}
	for _, name := range g.backend.started {
		g.say(name + " Started.")
	}
	g.watchBackend()
	if err := g.backend.broker.Declare(ctx, queue.DLRSubmitSMResp, queue.DLRDeliverSM, queue.DLRThrowerHTTP,
		queue.DLRThrowerSMPPS, queue.DeliverSMHTTP, queue.DeliverSMSMPPS, queue.BillRequests, queue.DeadLetter); err != nil {
		return fmt.Errorf("declare queues: %w", err)
	}
	if g.backend.outbox != nil {
		g.run("outbox", g.backend.outbox)
	}
	g.startDeadLetters()
	if err := g.loadProfile(); err != nil {
		return &ConfigurationError{err.Error()}
	}
	g.say("RouterPB Started.")
	g.startScripts()
	g.esmes = throw.NewSMPPS(g.cfg.SMPPSThrower, g.backend.broker, g.backend.journal, g.knownESMEs, g.logs.thrower)
	g.startMO()
	g.lookup = dlr.New(g.cfg.DLR, g.backend.broker, g.backend.journal, g.backend.store, g.logs.dlr)
	if err := g.startConnectors(ctx); err != nil {
		return err
	}
	g.say("SMPPClientManagerPB Started.")
	g.run("DLRLookup", g.lookup.Run)
	g.say("DLRLookup Started.")
	sweeper := connector.NewExpirySweeper(connector.ExpiryConfig{}, g.backend.journal, g.backend.store, g.fleet.InFlight, g.logs.manager)
	g.run("expiry sweeper", sweeper.Run)
	g.logins = admission.NewLogins(g.cfg.Logins)
	account.OnPatternTimeout(func(pattern string) {
		g.logs.router.Warn("a pattern took too long and did not match", "pattern", pattern)
	})
	g.auth = account.NewAuthenticator(account.AuthConfig{Logins: g.logins}, g.state)
	g.submit = mt.New(g.cfg.MT, mt.Deps{Snapshots: g.state, Scripts: g.scripts, Bound: g.fleet.Bound, Quality: g.counters.Quality, Ledger: g.backend.ledger,
		Journal: g.backend.journal, Backlog: g.backend.broker, Log: g.logs.router})
	g.bills = mt.NewBills(g.backend.broker, g.backend.journal, g.logs.router)
	g.run("bills", g.bills.Run)
	g.accounts = mt.NewAccounts(mt.AccountsDeps{Store: g.state, Ledger: g.backend.ledger, Lapse: g.backend.lapse, Removed: g.submit.Forget, Log: g.logs.router})
	g.run("accounts", g.accounts.Run)
	if !g.cfg.SMPPServer.Disabled {
		if err := g.startSMPP(ctx); err != nil {
			return err
		}
		g.say("SMPPServer Started.")
	}
	g.run("SMPPSThrower", g.esmes.Run)
	g.run("MO", g.mo.Run)
	g.thrower = throw.NewHTTP(g.cfg.DLRThrower, g.backend.broker, g.backend.journal, g.logs.thrower)
	g.run("DLRThrower", g.thrower.Run)
	g.say("DLRThrower Started.")
	g.moThrower = throw.NewMO(g.cfg.MOThrower, g.backend.broker, g.backend.journal, g.logs.moThrower)
	g.run("deliverSmThrower", g.moThrower.Run)
	g.say("deliverSmThrower Started.")
	if !g.cfg.HTTP.Disabled {
		if err := g.startHTTP(); err != nil {
			return err
		}
		g.say("HTTPApi Started.")
	}
	if !g.cfg.ConsoleDisabled {
		if err := g.startConsole(); err != nil {
			return err
		}
		g.say("jCli Started.")
	}
	return nil
}

// ConfigurationError is why a configuration that is right by itself cannot be started with.
type ConfigurationError struct{ Reason string }

// Error is the reason.
func (e *ConfigurationError) Error() string { return e.Reason }

// refuseToForget keeps the services mode from leaving messages of the embedded mode lying.
func (g *Gateway) refuseToForget(ctx context.Context) error {
	if g.opts.AbandonEmbedded {
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

// watchBackend ends the daemon when the database's own log has failed: nothing more is
// answered then.
func (g *Gateway) watchBackend() {
	if g.backend.failed == nil {
		return
	}
	g.wg.Go(func() {
		select {
		case <-g.backend.failed:
			g.fail(fmt.Errorf("embedded database: %w", g.backend.err()))
		case <-g.flows.Done():
		}
	})
}

// run starts a flow that consumes until the gateway stops.
func (g *Gateway) run(name string, f func(context.Context) error) {
	g.wg.Go(func() {
		if err := f(g.flows); err != nil && g.flows.Err() == nil {
			g.fail(fmt.Errorf("%s: %w", name, err))
		}
	})
}

func (g *Gateway) startConnectors(ctx context.Context) error {
	g.fleet = fleet.New(g.cfg.Connector, fleet.Deps{
		Broker: g.backend.broker, Journal: g.lookup.Watch(g.backend.journal), Store: g.backend.store, MO: g.mo.Accept,
		Counters: &g.counters, OpenLog: g.logs.connector, Messages: g.logs.messages, Log: g.logs.service,
	})
	g.fleet.Follow(g.state)
	if err := g.fleet.Settle(ctx); err != nil && ctx.Err() == nil {
		g.logs.manager.Error("not every connector is as configured", "err", err)
	}
	return context.Cause(ctx)
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

func (g *Gateway) startHTTP() error {
	cfg := g.cfg.HTTP
	cfg.Release = g.opts.Version
	var metricsHandler http.Handler
	g.http = httpapi.New(cfg, g.auth, g.submit, g.backend.ledger, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { metricsHandler.ServeHTTP(w, r) }),
		g.logs.access, g.logs.http)
	var err error
	if metricsHandler, err = g.metrics(); err != nil {
		return err
	}
	if err := g.http.Listen(); err != nil {
		return err
	}
	g.certificates.Add(g.http.Certificates())
	g.wg.Go(func() {
		if err := g.http.Serve(); err != nil {
			g.fail(err)
		}
	})
	return nil
}

// Addresses gives where the doors listen, by service, after Start.
func (g *Gateway) Addresses() map[string]string {
	out := make(map[string]string)
	if g.http != nil {
		out["http-api"] = reachable(g.http.Addr())
	}
	if g.console != nil {
		out["jcli"] = reachable(g.console.Addr())
	}
	if g.smpp != nil {
		for i, a := range g.smpp.Addrs() {
			name := "smpp-server"
			if i > 0 {
				name += "." + strconv.Itoa(i+1)
			}
			out[name] = reachable(a)
		}
	}
	return out
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

// State is the provisioned configuration.
func (g *Gateway) State() *provision.Store { return g.state }

// Bound tells whether a connector has a session that can submit.
func (g *Gateway) Bound(cid sms.ConnectorID) bool { return g.fleet.Bound(cid) }

// Stop refuses new work, lets what is under way settle until ctx ends, unbinds, stops the
// consumers and closes broker and store. Nothing that was acknowledged is lost when ctx
// ends early: it is found in the queues at the next start. Nothing waits when the embedded database has failed.
func (g *Gateway) Stop(ctx context.Context) error {
	var errs []error
	began := time.Now()
	if g.backend != nil && g.backend.err() != nil { // it settles nothing any more
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		cancel()
	}
	if g.console != nil {
		errs = append(errs, g.console.Shutdown(ctx))
	}
	if g.smpp != nil {
		g.unreview()
		errs = append(errs, g.stopSMPP(ctx))
	}
	if g.http != nil {
		errs = append(errs, g.http.Shutdown(ctx))
	}
	if g.pool != nil {
		g.pool.Close()
	}
	if g.fleet != nil {
		errs = append(errs, g.fleet.Stop(ctx))
	}
	if g.halt != nil {
		g.halt()
	}
	g.wg.Wait()
	if g.cancel != nil {
		g.cancel(errors.New("gateway stopped"))
	}
	if g.backend != nil {
		errs = append(errs, g.backend.close())
	}
	err := errors.Join(errs...)
	if log := g.logs.manager.With("dur", time.Since(began).Round(time.Millisecond)); err == nil {
		log.Info("stopped")
	} else {
		log.Warn("stopped, but not everything in order", "err", err)
	}
	return errors.Join(err, g.logs.all.Close())
}
