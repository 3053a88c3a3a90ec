// Package connector is an SMPP client connector: it binds to an SMSC, consumes the
// connector's queue submit.sm.<cid>, submits what is in there within a window, and settles
// each attempt; and it takes receipts and mobile-originated messages from the SMSC. SMPP
// sessions are package smpp's, queues and stores are behind package journal; it knows
// neither routes nor users.
//
//	c, err := connector.New(cfg, connector.Deps{...})
//	wg.Go(func() { err = c.Run(ctx) })  // binds, consumes, reconnects
//	err = c.Shutdown(ctx)               // drains, unbinds; Run returns nil
//
// A message leaves its queue only after all that follows from its submit_sm_resp is durable:
// the mapping of the SMSC's id, the outcome of each part of a long message, the answer for
// whoever asked for level 1. What is in flight or answered and not yet settled is at most
// window parts for each bind, so that at most so many can be submitted twice after a crash or
// the loss of a session, and none is lost. Finished attempts are settled together, one
// journal.Entry after the other, each with what was answered while the last was written.
//
// # When nothing is bound
//
// Messages stay in their queue: the connector consumes only while a session is bound that
// can submit, so the keys submit_max_age_smppc_not_ready and
// submit_retrial_delay_smppc_not_ready concern just what is in hand when sessions end.
// Nothing is discarded for its age (Jasmin discards, silently); that is for validity.
//
// # When an answer does not come
//
// A message whose session was lost goes back to its queue at once, before what is behind it there. If it is older than
// submit_max_age_smppc_not_ready, or this has happened to it three times, it waits for
// submit_retrial_delay_smppc_not_ready, longer each time: a message that makes the SMSC drop the session would
// else keep all others from leaving. One whose response timer ran out waits from the first time on, since the
// answer may come late. A late answer is an answer: it is recorded (see lateOf), and the message is not sent again. After
// submit_max_losses tries without an answer the message is given up: whoever asked is told, and it becomes a dead letter.
package connector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"jasmind/internal/journal"
	"jasmind/internal/queue"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smppc"
	"jasmind/internal/sms"
)

// Retrial says how often and after which delay a refused message is tried again.
type Retrial struct {
	Count int           // tries after the first
	Delay time.Duration // 0: the connector's requeue_delay
}

// DefaultRetrials is the table of submit_error_retrial as documented. The map is the caller's.
func DefaultRetrials() map[pdu.Status]Retrial {
	return map[pdu.Status]Retrial{
		pdu.StatusSysErr:    {2, 30 * time.Second},
		pdu.StatusThrottled: {20, 30 * time.Second},
		pdu.StatusMsgQFul:   {2, 180 * time.Second},
		pdu.StatusInvSched:  {2, 300 * time.Second},
	}
}

// Config holds a connector's own parameters and what all connectors have in common.
type Config struct {
	Connector smppc.Config

	// Retrials are the statuses after which a message is tried again ([sm-listener]
	// submit_error_retrial); nil: DefaultRetrials, empty: none.
	Retrials map[pdu.Status]Retrial
	// NotReadyMaxAge and NotReadyDelay: see the package comment. Zero: 1200 s and 30 s.
	NotReadyMaxAge time.Duration // submit_max_age_smppc_not_ready
	NotReadyDelay  time.Duration // submit_retrial_delay_smppc_not_ready
	MaxLosses      int           // tries without an answer (submit_max_losses); default 10
	// PublishSubmitSMResp publishes a copy of each submit_sm_resp for observers (publish_submit_sm_resp).
	PublishSubmitSMResp bool
	// RefundOnError gives back what was charged at acceptance for parts that ended without being
	// accepted by the SMSC: refused for good, not encodable, or expired ([billing] refund_on_error).
	RefundOnError bool
	// LogPrivacy keeps message contents out of the message log (log_privacy); so does
	// logprivacy of the connector.
	LogPrivacy bool
}

// MOFunc takes a mobile-originated message, a *pdu.DeliverSM or *pdu.DataSM, and gives the status
// to answer. ESME_ROK must mean that the message is durable. It is called from several
// goroutines, up to a bound, and may take its time until ctx ends.
type MOFunc func(ctx context.Context, cid sms.ConnectorID, p pdu.PDU) pdu.Status

// Deps are what a connector works with.
type Deps struct {
	Source  queue.Source
	Journal journal.Journal
	Store   journal.Store
	// Bound tells whether another connector has a session that can submit, for messages that
	// fail over; nil: none has.
	Bound func(sms.ConnectorID) bool
	// Carries tells whether another connector's rules (custom_tlvs) let a message with these
	// parameters leave, for messages that fail over; nil: all do.
	Carries func(sms.ConnectorID, pdu.TLVs) bool
	// Accounts gives the accounts at SMSCs that a connector of the configuration has, and had, the present one first; nil: only that of
	// this connector is known.
	Accounts func(sms.ConnectorID) []sms.Account
	Hands    *Hands       // what the connectors of this process have in hand; nil: new ones, for a connector that is alone
	MO       MOFunc       // nil: MO are answered ESME_RX_T_APPN, so that the SMSC keeps them
	Stats    *Stats       // nil: new ones
	Messages *slog.Logger // the message log, one record for each line, its message the line as it is; nil: none
	Log      *slog.Logger // the connector's log; nil: none
}

// settings are a connector's parameters.
type settings struct {
	cid     sms.ConnectorID
	common  Config                              // what all connectors have in common: Connector excepted
	known   func(sms.ConnectorID) []sms.Account // see Deps.Accounts
	account sms.Account                         // what the parameters say; a change of it needs a restart
	cfg     atomic.Pointer[smppc.Config]        // the connector's own, as they are now
}

// private tells whether contents are kept out of the logs.
func (s *settings) private() bool { return s.common.LogPrivacy || s.cfg.Load().LogPrivacy }

// retrialDelay is how long a message waits that was refused with a status.
func (s *settings) retrialDelay(status pdu.Status) time.Duration {
	if d := s.common.Retrials[status].Delay; d > 0 {
		return d
	}
	return s.cfg.Load().RequeueDelay
}

// accounts are those whose receipts may come by this connector: its own, and those that it had before its configuration was
// changed, whose receipts are still to come.
func (s *settings) accounts() []sms.Account {
	all := []sms.Account{s.account}
	for _, a := range s.known(s.cid) {
		if a != s.account {
			all = append(all, a)
		}
	}
	return all
}

// scope is the account under which the ids of messages are kept that this connector submits: its own, or that of dlr_cid.
func (s *settings) scope() sms.Account {
	comes := s.cfg.Load().DLRCID
	if comes == "" || comes == s.cid {
		return s.account
	}
	if all := s.known(comes); len(all) > 0 {
		return all[0]
	}
	return sms.Account(comes) // where its receipts are looked for, too
}

// lossDelay is how long a message waits after so many attempts without an answer, of which the first few did not wait: twice as
// long each time, up to eight times the delay, and by chance up to twice that, so that those which were lost together do
// not come back together.
func (s *settings) lossDelay(losses int) time.Duration {
	d := s.common.NotReadyDelay << min(max(losses-1, 0), mostDoublings)
	return d + rand.N(d+1)
}

// Connector is one started connector. Create it with New; Run and Shutdown are called once.
type Connector struct {
	*settings
	stats    *Stats
	presence *presence
	pace     *pace
	settler  *settler
	intake   *intake
	inbound  *inbound
	binds    *binds

	drain chan struct{} // closed: take nothing new
	done  chan struct{} // closed when Run has returned

	mu      sync.Mutex // guards what follows
	started bool
	shut    bool
	abort   context.CancelFunc
}

// New makes a connector; Run starts it. It names every fault of cfg.
func New(cfg Config, d Deps) (*Connector, error) {
	var errs []error
	if !smppc.ValidCID(string(cfg.Connector.CID)) {
		errs = append(errs, fmt.Errorf("cid %q: must be 3 to 25 characters of A-Z a-z 0-9 _ -", cfg.Connector.CID))
	}
	errs = append(errs, cfg.Connector.Validate())
	for status, r := range cfg.Retrials {
		if r.Count < 0 || r.Delay < 0 {
			errs = append(errs, fmt.Errorf("submit_error_retrial %s: count %d and delay %v must not be negative", status, r.Count, r.Delay))
		}
	}
	if cfg.NotReadyMaxAge < 0 {
		errs = append(errs, fmt.Errorf("submit_max_age_smppc_not_ready %v: must not be negative", cfg.NotReadyMaxAge))
	}
	if cfg.NotReadyDelay < 0 {
		errs = append(errs, fmt.Errorf("submit_retrial_delay_smppc_not_ready %v: must not be negative", cfg.NotReadyDelay))
	}
	if cfg.MaxLosses < 0 {
		errs = append(errs, fmt.Errorf("submit_max_losses %d: must not be negative", cfg.MaxLosses))
	}
	if d.Source == nil || d.Journal == nil || d.Store == nil {
		errs = append(errs, errors.New("source, journal and store are needed"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("connector %s: %w", cfg.Connector.CID, err)
	}
	if cfg.Retrials == nil {
		cfg.Retrials = DefaultRetrials()
	}
	cfg.Retrials = maps.Clone(cfg.Retrials)
	if cfg.NotReadyMaxAge == 0 {
		cfg.NotReadyMaxAge = 1200 * time.Second
	}
	if cfg.NotReadyDelay == 0 {
		cfg.NotReadyDelay = 30 * time.Second
	}
	if cfg.MaxLosses == 0 {
		cfg.MaxLosses = 10
	}
	if d.Stats == nil {
		d.Stats = NewStats()
	}
	if d.Hands == nil {
		d.Hands = NewHands()
	}
	if d.Messages == nil {
		d.Messages = slog.New(slog.DiscardHandler)
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Accounts == nil {
		d.Accounts = func(sms.ConnectorID) []sms.Account { return nil }
	}
	set := &settings{cid: cfg.Connector.CID, common: cfg, known: d.Accounts, account: cfg.Connector.Account()}
	own := cfg.Connector
	set.cfg.Store(&own)
	c := &Connector{settings: set, stats: d.Stats, presence: newPresence(), pace: newPace(set, d.Log), drain: make(chan struct{}), done: make(chan struct{})}
	lines := &messageLog{settings: set, out: d.Messages}
	jobs := make(chan *attempt) // from the intake to whichever bind has room
	c.settler = newSettler(settlerDeps{settings: set, policy: &policy{settings: set, bound: d.Bound, carries: d.Carries}, hands: d.Hands, lines: lines, stats: d.Stats, log: d.Log}, d.Journal)
	c.inbound = newInbound(inboundDeps{settings: set, mo: d.MO, lines: lines, stats: d.Stats, log: d.Log}, d.Journal)
	c.intake = &intake{settings: set, source: d.Source, journal: d.Journal, store: d.Store, stats: d.Stats, log: d.Log,
		presence: c.presence, settler: c.settler, hands: d.Hands, jobs: jobs, drain: c.drain}
	secured := &secured{log: d.Log}
	c.binds = &binds{
		bindDeps: bindDeps{settings: set, stats: d.Stats, log: d.Log, dial: secured.dialSession, inbound: c.inbound, pace: c.pace, jobs: jobs,
			offer: c.intake.offer, settler: c.settler, presence: c.presence},
		listener: &listener{settings: set, secured: secured, log: d.Log, changed: c.presence.notice, conns: make(chan net.Conn)},
	}
	return c, nil
}

// settleGrace is how long an aborted connector tries to settle what was answered.
const settleGrace = 2 * time.Second

// Run binds, consumes and reconnects until Shutdown, when it returns nil, or until ctx
// ends, when it gives everything up at once and returns the cause.
func (c *Connector) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c.mu.Lock()
	if c.started {
		c.mu.Unlock()
		return fmt.Errorf("connector %s: Run was called twice", c.cid)
	}
	c.started = true
	c.abort = cancel
	c.mu.Unlock()
	defer close(c.done)

	// The settler and the collector of receipts outlive the sessions, whose last words they handle.
	late, lateCancel := context.WithCancel(context.WithoutCancel(ctx))
	defer lateCancel()
	var last sync.WaitGroup
	last.Go(func() { c.settler.run(late) })
	last.Go(func() { c.inbound.run(late) })

	unbind := make(chan struct{})
	unbound := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(unbound)
		c.binds.run(ctx, unbind)
	})
	c.intake.run(ctx, unbound)
	close(unbind)
	wg.Wait()
	c.intake.offers.Wait()
	c.inbound.close()
	c.settler.close()
	if ctx.Err() != nil {
		lateCancel() // the intake has waited for what can be settled
	}
	last.Wait()
	c.mu.Lock()
	shut := c.shut
	c.mu.Unlock()
	if err := ctx.Err(); err != nil && !shut {
		return context.Cause(ctx)
	}
	return nil
}

// Shutdown stops consuming, lets what was sent be answered and settled, gives the other messages
// back, unbinds and waits for Run to return. When ctx ends before, all is given up at once
// and the cause is returned: what was in flight will be sent again.
func (c *Connector) Shutdown(ctx context.Context) error {
	c.mu.Lock()
	if !c.shut {
		c.shut = true
		close(c.drain)
	}
	started, abort := c.started, c.abort
	c.mu.Unlock()
	if !started {
		return nil
	}
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
		abort()
		<-c.done
		return context.Cause(ctx)
	}
}

// Update applies new parameters while the connector runs. What the documentation wants a
// restart for (host, port, username, password, systype and the log settings) and outbind keep their
// present values; the kind of bind, its addresses, ssl and the session's timers hold from the
// next bind on; everything else holds at once.
func (c *Connector) Update(cfg smppc.Config) error {
	if cfg.CID != c.cid {
		return fmt.Errorf("connector %s: cid %s is another's", c.cid, cfg.CID)
	}
	if err := cfg.Validate(); err != nil {
		return fmt.Errorf("connector %s: %w", c.cid, err)
	}
	old := c.cfg.Load()
	cfg.Host, cfg.Port, cfg.Username, cfg.Password, cfg.SystemType = old.Host, old.Port, old.Username, old.Password, old.SystemType
	cfg.Outbind = old.Outbind
	c.cfg.Store(&cfg)
	c.pace.apply()
	c.binds.setWindow(cfg.Window)
	c.presence.notice()
	return nil
}

// Status gives the state of each bind as the console shows it: NONE, OPEN (connected, not
// bound), BOUND_TRX, BOUND_TX, BOUND_RX or UNBOUND.
func (c *Connector) Status() []string { return c.binds.status() }

// Bound tells whether a session is bound that can submit.
func (c *Connector) Bound() bool {
	n, _ := c.presence.watch()
	return n > 0
}

// Stats gives the counters.
func (c *Connector) Stats() *Stats { return c.stats }

// InFlight is for how long after its end of validity a message may still be in flight here: as long as
// any session waits for a response. It is 0 when nothing can be in flight, since no session was
// bound within that time.
func (c *Connector) InFlight() time.Duration { return c.presence.inFlight() }
