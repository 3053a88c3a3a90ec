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
// Nothing is discarded for its age (Jasmin discards, silently); that is for validity. A message
// whose response did not come goes back to the head of its queue at once. If it is older than
// submit_max_age_smppc_not_ready, or this has happened to it three times, it waits for
// submit_retrial_delay_smppc_not_ready: a message that makes the SMSC drop the session each time
// would else keep all others from leaving.
package connector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"jasmind/internal/journal"
	"jasmind/internal/queue"
	"jasmind/internal/smpp"
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
	// PublishSubmitSMResp publishes a copy of each submit_sm_resp for observers (publish_submit_sm_resp).
	PublishSubmitSMResp bool
	// RefundOnError gives back what was charged at acceptance for parts that ended without being
	// accepted by the SMSC: refused for good, not encodable, or expired ([billing] refund_on_error).
	RefundOnError bool
	// LogPrivacy keeps message contents out of the message log (log_privacy); so does
	// logprivacy of the connector.
	LogPrivacy bool
}

// source gives the messages.
type source interface {
	// Consume subscribes to a queue; see queue.Consumer. Errors: queue.ErrNoQueue, queue.ErrUnavailable.
	Consume(ctx context.Context, name queue.Name, prefetch int) (queue.Consumer, error)
}

// MOFunc takes a mobile-originated message, a *pdu.DeliverSM or *pdu.DataSM, and gives the status
// to answer. ESME_ROK must mean that the message is durable. It is called from several
// goroutines, up to a bound, and may take its time until ctx ends.
type MOFunc func(ctx context.Context, cid sms.ConnectorID, p pdu.PDU) pdu.Status

// Deps are what a connector works with.
type Deps struct {
	Source  source
	Journal journal.Journal
	Store   journal.Store
	// Bound tells whether another connector has a session that can submit, for messages that
	// fail over; nil: none has.
	Bound func(sms.ConnectorID) bool
	// Carries tells whether another connector's rules (custom_tlvs) let a message with these
	// parameters leave, for messages that fail over; nil: all do.
	Carries  func(sms.ConnectorID, pdu.TLVs) bool
	MO       MOFunc       // nil: MO are answered ESME_RX_T_APPN, so that the SMSC keeps them
	Stats    *Stats       // nil: new ones
	Messages *slog.Logger // the message log, one record for each line, its message the line as it is; nil: none
	Log      *slog.Logger // the connector's log; nil: none
}

// Connector is one started connector. Create it with New; Run and Shutdown are called once.
//
// mu guards the fields under it. It is never held over I/O.
type Connector struct {
	cid      sms.ConnectorID
	common   Config // Connector excepted, which cfg holds
	cfg      atomic.Pointer[smppc.Config]
	source   source
	journal  journal.Journal
	store    journal.Store
	bound    func(sms.ConnectorID) bool
	carries  func(sms.ConnectorID, pdu.TLVs) bool
	mo       MOFunc
	stats    *Stats
	messages *slog.Logger
	log      *slog.Logger
	dial     func(context.Context, *smppc.Config, smpp.DialConfig) (*smpp.Session, error)

	jobs    chan *attempt // from the feeder to whichever bind has room
	limiter *rate.Limiter
	brake   brake
	settler *settler
	door    *door // of outbind

	governor     governor
	throughputMu sync.Mutex // held while the limiter is set
	inbound      *inbound
	wg           sync.WaitGroup // hand-overs between binds

	drain chan struct{} // closed: take nothing new
	done  chan struct{} // closed when Run has returned

	mu        sync.Mutex
	started   bool
	shut      bool
	abort     context.CancelFunc
	binds     []*bind
	submitter int           // sessions bound that can submit
	lastBound time.Time     // when the last of them ended; zero before
	longest   time.Duration // that any of them waits for a response, or did
	changed   chan struct{} // closed when something of the above or the configuration changed
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
	if d.Stats == nil {
		d.Stats = NewStats()
	}
	if d.Messages == nil {
		d.Messages = slog.New(slog.DiscardHandler)
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	c := &Connector{
		cid: cfg.Connector.CID, common: cfg, source: d.Source, journal: d.Journal, store: d.Store, bound: d.Bound, carries: d.Carries, mo: d.MO,
		stats: d.Stats, messages: d.Messages, log: d.Log, dial: dialSession,
		jobs: make(chan *attempt), drain: make(chan struct{}), done: make(chan struct{}), changed: make(chan struct{}),
	}
	own := cfg.Connector
	c.cfg.Store(&own)
	limit, burst := throughput(own.SubmitThroughput)
	c.limiter = rate.NewLimiter(limit, burst)
	c.settler = newSettler(c)
	c.door = newDoor(c)
	c.inbound = newInbound(c)
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
		c.keepBinds(ctx, unbind)
	})
	c.feed(ctx, unbound)
	close(unbind)
	wg.Wait()
	c.wg.Wait()
	c.inbound.close()
	c.settler.close()
	if ctx.Err() != nil {
		lateCancel() // feed has waited for what can be settled
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
	c.applyThroughput()
	c.mu.Lock()
	for _, b := range c.binds {
		b.win.setLimit(cfg.Window)
	}
	c.noticeLocked()
	c.mu.Unlock()
	return nil
}

// Status gives the state of each bind as the console shows it: NONE, OPEN (connected, not
// bound), BOUND_TRX, BOUND_TX, BOUND_RX or UNBOUND.
func (c *Connector) Status() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]string, 0, len(c.binds))
	for _, b := range c.binds {
		out = append(out, b.status())
	}
	return out
}

// Bound tells whether a session is bound that can submit.
func (c *Connector) Bound() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.submitter > 0
}

// Stats gives the counters.
func (c *Connector) Stats() *Stats { return c.stats }

// noticeLocked wakes all who wait for a change. c.mu is held.
func (c *Connector) noticeLocked() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// watch gives what the feeder decides by and a channel that is closed when it changes.
func (c *Connector) watch() (submitters int, changed <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.submitter, c.changed
}

// countSubmitter notes that a session which can submit has come or gone, and how long it
// waits for a response.
func (c *Connector) countSubmitter(n int, response time.Duration) {
	c.mu.Lock()
	c.submitter += n
	c.longest = max(c.longest, response)
	c.lastBound = time.Now()
	c.noticeLocked()
	c.mu.Unlock()
}

// Hold is for how long after its end of validity a message may still be in flight here: as long as
// any session waits for a response. It is 0 when nothing can be in flight, since no session was
// bound within that time.
func (c *Connector) Hold() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.submitter > 0 || !c.lastBound.IsZero() && time.Since(c.lastBound) < c.longest {
		return c.longest
	}
	return 0
}

// pause waits, or gives false when the connector is to stop.
func (c *Connector) pause(ctx context.Context, d time.Duration) bool { return sleep(ctx, c.drain, d) }
