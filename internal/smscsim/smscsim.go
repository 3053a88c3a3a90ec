// Package smscsim simulates an SMSC for those who test an ESME: an SMPP v3.4 server whose
// answers, receipts and faults follow rules that can change while it runs, with a
// record of everything that arrived and an HTTP API over it.
//
// It routes nothing and delivers to nobody. It stands on the protocol packages alone
// and shares nothing with the gateway, whose mistakes it is meant to find.
//
//	sim := smscsim.New(smscsim.Config{})
//	err := sim.Start(ctx)                      // listens; sim.Addr(), sim.HTTPAddr()
//	list, err := sim.Wait(ctx, 1, smscsim.Filter{To: "4479*"})
//	status, err := sim.InjectMO(ctx, smscsim.MO{From: "123", To: "456", Text: "hi"})
//	err = sim.Stop(ctx)                        // unbinds the sessions
package smscsim

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"jasmind/internal/smpp/pdu"
)

// Simulator is a simulated SMSC. All methods may be called from any goroutine; those
// about messages also before Start and after Stop.
//
// mu guards what stands under it. An account's mu may be taken while it is held, not the
// other way round.
type Simulator struct {
	cfg       Config
	logger    *slog.Logger
	version   uint8 // sc_interface_version
	initial   *behaviour
	invalid   error // what is wrong with cfg
	behaviour atomic.Pointer[behaviour]
	counters  atomic.Pointer[counters]
	epoch     atomic.Uint64 // number of resets: receipts of an earlier one are void
	pending   atomic.Int64  // receipts whose time has not come
	ids       *ids
	store     *store
	ledger    *ledger
	schedule  *schedule
	log       *traffic
	started   time.Time
	stopping  chan struct{} // closed when Stop or the end of the context begins the end
	stopOnce  sync.Once
	cancel    context.CancelCauseFunc
	wg        sync.WaitGroup // all goroutines but those of sessions
	conns     sync.WaitGroup // of sessions
	logWG     sync.WaitGroup

	mu       sync.Mutex
	running  bool
	listener net.Listener
	accept   func(net.Conn) *peer // starts a session; nil before Start
	tls      *tls.Config          // of the SMPP port
	web      net.Listener
	server   *http.Server
	accounts map[string]*account
	peers    map[uint64]*peer
	lastPeer uint64
}

// maxAccounts bounds how many system_ids AnyAccount lets come to be.
const maxAccounts = 10_000

// New makes a simulator. What is wrong with cfg is told by Start.
func New(cfg Config) *Simulator {
	sim := &Simulator{
		cfg:      cfg.withDefaults(),
		invalid:  cfg.Validate(),
		schedule: newSchedule(),
		ledger:   newLedger(),
		started:  time.Now(),
		stopping: make(chan struct{}),
		accounts: make(map[string]*account),
		peers:    make(map[uint64]*peer),
	}
	sim.logger = sim.cfg.Logger
	if sim.logger == nil {
		sim.logger = slog.New(slog.DiscardHandler)
	}
	sim.ids = newIDs(sim.cfg.IDFormat, sim.cfg.IDWidth, sim.cfg.IDStart)
	sim.store = newStore(max(sim.cfg.MaxMessages, 1), sim.cfg.MaxOctets)
	sim.log = newTraffic(sim.cfg.Log, sim.cfg.LogRate, sim.cfg.LogTo)
	sim.counters.Store(&counters{})
	if sim.invalid != nil {
		cfg.Behaviour = Behaviour{}
	}
	sim.version, _ = interfaceVersion(sim.cfg.InterfaceVersion) // validated
	sim.initial, _ = compile(cfg.Behaviour)                     // validated
	sim.behaviour.Store(sim.initial)
	for _, a := range sim.cfg.Accounts {
		sim.accounts[a.SystemID] = newAccount(sim, a)
	}
	return sim
}

// Start listens and serves until Stop. The end of ctx ends everything at once; Stop, which is
// to be called all the same, then waits until nothing runs any more.
func (sim *Simulator) Start(ctx context.Context) error {
	if sim.invalid != nil {
		return sim.invalid
	}
	sim.mu.Lock()
	defer sim.mu.Unlock()
	if sim.running {
		return errors.New("smscsim: Start was called twice")
	}
	select {
	case <-sim.stopping:
		return ErrStopped
	default:
	}
	tc := sim.cfg.TLS
	if tc == nil && sim.cfg.TLSCert != "" {
		cert, err := tls.LoadX509KeyPair(sim.cfg.TLSCert, sim.cfg.TLSKey)
		if err != nil {
			return fmt.Errorf("tls_cert %s, tls_key %s: %w", sim.cfg.TLSCert, sim.cfg.TLSKey, err)
		}
		tc = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", sim.cfg.SMPP)
	if err != nil {
		return fmt.Errorf("smpp address: %w", err)
	}
	if sim.cfg.HTTP != "none" {
		if sim.web, err = lc.Listen(ctx, "tcp", sim.cfg.HTTP); err != nil {
			l.Close() //nolint:errcheck // the first error counts
			return fmt.Errorf("http address: %w", err)
		}
	}
	sim.listener, sim.running, sim.started = l, true, time.Now()
	run, cancel := context.WithCancelCause(ctx)
	sim.cancel = cancel
	context.AfterFunc(run, func() {
		sim.beginEnd()
		l.Close() //nolint:errcheck // closing twice is fine
	})
	sim.tls = tc
	sim.accept = func(c net.Conn) *peer { return sim.begin(run, c, "to") }
	inbound := l
	if tc != nil {
		inbound = tls.NewListener(l, tc)
	}
	sim.wg.Go(func() { sim.schedule.run(run) })
	sim.wg.Go(func() { sim.tickLoop(run) })
	sim.wg.Go(func() { sim.acceptLoop(run, inbound) })
	if sim.log != nil {
		sim.logWG.Go(func() { sim.log.run(run) })
	}
	if sim.web != nil {
		sim.serveHTTP(run, sim.web)
	}
	return nil
}

// beginEnd tells everybody who waits.
func (sim *Simulator) beginEnd() { sim.stopOnce.Do(func() { close(sim.stopping) }) }

// Stop refuses new connections, gives the responses that rules hold back, unbinds the
// sessions and ends. Receipts that were not sent yet are dropped. When ctx ends first,
// connections are closed as they are and its cause is returned. Messages and
// counters can still be read.
func (sim *Simulator) Stop(ctx context.Context) error {
	sim.beginEnd()
	sim.mu.Lock()
	running := sim.running
	l, server := sim.listener, sim.server
	peers := make([]*peer, 0, len(sim.peers))
	for _, p := range sim.peers {
		peers = append(peers, p)
	}
	sim.mu.Unlock()
	if !running {
		return nil
	}
	l.Close() //nolint:errcheck // closing twice is fine
	sim.schedule.flush()
	var errs [2]error
	var wg sync.WaitGroup
	for _, p := range peers {
		wg.Go(func() {
			p.release()
			if err := p.session.Shutdown(ctx); err != nil {
				sim.logger.Warn("session not shut down in order", "session", p.id, "err", err)
			}
		})
	}
	if server != nil {
		wg.Go(func() { errs[0] = server.Shutdown(ctx) })
	}
	wg.Wait()
	if ctx.Err() != nil {
		errs[1] = context.Cause(ctx)
	}
	sim.cancel(ErrStopped)
	if server != nil {
		server.Close() //nolint:errcheck // it was shut down, or had its time
	}
	sim.conns.Wait()
	sim.wg.Wait()
	sim.logWG.Wait()
	return errors.Join(errs[0], errs[1])
}

// Done is closed when the end has begun: by Stop or by the context of Start.
func (sim *Simulator) Done() <-chan struct{} { return sim.stopping }

// Addr is the address of the SMPP port, "" before Start.
func (sim *Simulator) Addr() string {
	sim.mu.Lock()
	defer sim.mu.Unlock()
	if sim.listener == nil {
		return ""
	}
	return sim.listener.Addr().String()
}

// HTTPAddr is the address of the control API, "" before Start or without one.
func (sim *Simulator) HTTPAddr() string {
	sim.mu.Lock()
	defer sim.mu.Unlock()
	if sim.web == nil {
		return ""
	}
	return sim.web.Addr().String()
}

// Behaviour is what was set last.
func (sim *Simulator) Behaviour() Behaviour { return sim.behaviour.Load().source }

// SetBehaviour replaces the behaviour, for requests that come from now on. Counts of
// rules begin anew. The error names every fault; nothing is changed then.
func (sim *Simulator) SetBehaviour(b Behaviour) error {
	c, err := compile(b)
	if err != nil {
		return err
	}
	sim.behaviour.Store(c)
	return nil
}

// AddRule puts a rule before those that are there. Their counts begin anew.
func (sim *Simulator) AddRule(r Rule) error {
	for {
		now := sim.behaviour.Load()
		b := now.source
		b.Rules = append([]Rule{r}, b.Rules...)
		c, err := compile(b)
		if err != nil {
			return err
		}
		if sim.behaviour.CompareAndSwap(now, c) {
			return nil
		}
	}
}

// ResetBehaviour returns to the behaviour of the configuration.
func (sim *Simulator) ResetBehaviour() error { return sim.SetBehaviour(sim.initial.source) }

// Reset forgets messages, counters, waiting receipts and what SetBehaviour set. Sessions
// stay bound, and numbers of messages and ids go on.
func (sim *Simulator) Reset() {
	sim.epoch.Add(1)
	sim.ResetBehaviour() //nolint:errcheck // it was compiled before
	sim.mu.Lock()
	accounts := make([]*account, 0, len(sim.accounts))
	for _, a := range sim.accounts {
		accounts = append(accounts, a)
	}
	sim.mu.Unlock()
	for _, a := range accounts {
		a.clear()
	}
	sim.ClearMessages()
	sim.counters.Store(&counters{})
}

// ClearMessages forgets the messages and the ledger, not the counters.
func (sim *Simulator) ClearMessages() {
	sim.store.clear()
	sim.ledger.clear()
}

// account finds who may bind, nil if nobody.
func (sim *Simulator) account(b *pdu.Bind) (*account, pdu.Status) {
	sim.mu.Lock()
	defer sim.mu.Unlock()
	a := sim.accounts[b.SystemID]
	switch {
	case a == nil && !sim.cfg.AnyAccount:
		return nil, pdu.StatusInvSysID
	case a == nil && len(sim.accounts) >= maxAccounts:
		return nil, pdu.StatusBindFail
	case a == nil:
		id := string([]byte(b.SystemID)) // without the rest of its PDU
		a = newAccount(sim, Account{SystemID: id})
		a.open = true
		sim.accounts[id] = a
	case !a.open && a.cfg.Password != b.Password:
		return nil, pdu.StatusInvPaswd
	}
	return a, pdu.StatusOK
}

// acceptLoop accepts connections until the listener is closed.
func (sim *Simulator) acceptLoop(ctx context.Context, l net.Listener) {
	for {
		c, err := l.Accept()
		switch {
		case err == nil:
			sim.begin(ctx, c, "from")
		case errors.Is(err, net.ErrClosed):
			return
		default: // such as too many open files: waited out
			sim.logger.Warn("accept", "err", err)
			t := time.NewTimer(100 * time.Millisecond)
			select {
			case <-t.C:
			case <-sim.stopping:
			}
			t.Stop()
		}
	}
}

// begin starts the session of a connection from or to an ESME; nil: there is no room, or it stops.
func (sim *Simulator) begin(ctx context.Context, c net.Conn, way string) *peer {
	sim.mu.Lock()
	full := len(sim.peers) >= sim.cfg.MaxConnections
	select {
	case <-sim.stopping:
		full = true
	default:
	}
	if full {
		sim.mu.Unlock()
		c.Close() //nolint:errcheck // nothing was said yet
		return nil
	}
	sim.lastPeer++
	p := newPeer(sim, sim.lastPeer, c)
	sim.peers[p.id] = p
	sim.conns.Add(1)
	sim.mu.Unlock()
	sim.counters.Load().connections.Add(1)
	sim.log.event("#%d connected %s %s", p.id, way, c.RemoteAddr())
	go func() {
		defer sim.conns.Done()
		err := p.session.Run(ctx)
		sim.mu.Lock()
		delete(sim.peers, p.id)
		sim.mu.Unlock()
		p.ended(err)
	}()
	return p
}
