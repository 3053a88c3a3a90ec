package throw

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"jasmind/internal/account"
	"jasmind/internal/journal"
	"jasmind/internal/queue"
	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

// SMPPSConfig holds the settings of the thrower to ESMEs ([dlr-thrower] in jasmin.cfg).
type SMPPSConfig struct {
	DataSM     bool          // dlr_pdu = data_sm: receipts are data_sm instead of deliver_sm
	Hold       time.Duration // smpps_hold: how long what an ESME does not fetch is kept, default 2 days
	RetryDelay time.Duration // retry_delay: after an error of the ESME, default 30 s
	MaxRetries int           // max_retries after the first try, default 3; 0: none
	Prefetch   int           // taken from one ESME's queue and not settled, default 256
	Grace      time.Duration // after the stop: how long answers to what is in flight are waited for, default 5 s
	// Owner gives the user who has a system_id now. What waits for one who was removed is nobody else's. Nil: nobody ever is.
	Owner func(systemID string) (uid sms.UserID, ok bool)
	Sweep time.Duration // between looks for what was held too long, default a hundredth of Hold, 1 s to 10 min
}

func (c *SMPPSConfig) defaults() {
	if c.Hold <= 0 {
		c.Hold = 48 * time.Hour
	}
	if c.RetryDelay <= 0 {
		c.RetryDelay = 30 * time.Second
	}
	if c.Prefetch <= 0 {
		c.Prefetch = 256
	}
	if c.Grace <= 0 {
		c.Grace = settleGrace
	}
	if c.Sweep <= 0 {
		c.Sweep = min(max(c.Hold/100, time.Second), 10*time.Minute)
	}
}

// SMPPSMetrics counts what the thrower to ESMEs did. Fields may be read at any time.
type SMPPSMetrics struct {
	Moved     atomic.Int64 `metric:"jasmind_smpps_moved_total" help:"Receipts and messages put into the queue of their ESME."`
	Delivered atomic.Int64 `metric:"jasmind_smpps_delivered_total" help:"Receipts and messages acknowledged by their ESME."`
	Failed    atomic.Int64 `metric:"jasmind_smpps_failed_total" help:"Receipts and messages that an ESME refused or did not answer."`
	Dead      atomic.Int64 `metric:"jasmind_smpps_dead_total" help:"Receipts and messages for ESMEs given up, moved to the dead-letter queue."`
	Waiting   atomic.Int64 `metric:"jasmind_smpps_waiting" help:"Receipts and messages taken from the queues of bound ESMEs and not settled." kind:"gauge"`
}

// Receiver is a session of an ESME that takes deliver_sm.
type Receiver interface {
	// TrySend sends a request and has done called with its answer; see smpp.Session.TrySend.
	TrySend(p pdu.PDU, done func(smpp.Response, error)) error
}

// queues is what the thrower to ESMEs needs of a broker.
type queues interface {
	queue.Source
	Declare(ctx context.Context, names ...queue.Name) error
	Length(ctx context.Context, name queue.Name) (int, error)
	Delete(ctx context.Context, name queue.Name) error
}

// SMPPS delivers to ESMEs. What is for one moves from the shared queue, dlr_thrower.smpps, to
// a queue of his own, which is consumed while he is bound: who stays away for days delays
// nobody. There it goes out in order over all sessions that he has bound, round robin, as far
// as their windows reach, with one in flight between any two addresses, so that what
// belongs together arrives in order.
//
// Delivery is at least once: an ESME sees a receipt twice when the connection to it was lost before
// its answer, or after a crash, not because that to the broker was lost (see hands). A repeat has the same receipted_message_id and state, so that
// one who keeps the state of his messages is not harmed. Moving twice is such a repeat too.
type SMPPS struct {
	cfg     SMPPSConfig
	broker  queues
	known   func() []string
	log     *slog.Logger
	Metrics SMPPSMetrics

	hands  *hands
	settle *journal.Writer[*outcome] // what became of deliveries to ESMEs
	mover  *journal.Writer[moving]   // from the shared queues to theirs
	// moveOrRemove is locked for reading while messages are on their way into queues, and for writing while an empty queue is removed.
	moveOrRemove sync.RWMutex

	mu       sync.Mutex // guards what follows
	ctx      context.Context
	wg       sync.WaitGroup
	esmes    map[string]*esme // those that have sessions, or whose goroutine still runs
	declared map[string]struct{}
	removed  map[string]struct{}      // users who were removed; nothing is delivered until what waited for them is buried
	swept    map[string]chan struct{} // queues that the sweeper has in its hands; closed when it has not
	gone     chan struct{}            // cap 1: somebody was removed, or who was removed does not get anything any more
	looked   map[string]time.Time     // the sweeper's own: when something can be due in a queue; before that it is left alone
	absent   map[string]struct{}      // the sweeper's own: queues that are not there, unless they are declared meanwhile
}

// NewSMPPS makes the thrower; Run starts it. known gives the system_ids of ESMEs whose queues may
// hold something from an earlier run.
func NewSMPPS(cfg SMPPSConfig, broker queues, j journal.Journal, known func() []string, log *slog.Logger) *SMPPS {
	cfg.defaults()
	t := &SMPPS{cfg: cfg, broker: broker, known: known, log: log, hands: newHands(esmesRemembered),
		esmes: make(map[string]*esme), declared: make(map[string]struct{}), swept: make(map[string]chan struct{}),
		looked: make(map[string]time.Time), absent: make(map[string]struct{}),
		removed: make(map[string]struct{}), gone: make(chan struct{}, 1)}
	t.settle = newSettler(j, t.hands, log, cfg.Grace+settleGrace, t.account)
	t.mover = journal.NewWriter(intoQueues{j, &t.moveOrRemove}, t.moves())
	return t
}

// Bound tells of a session that can be delivered to. It does not block.
func (t *SMPPS) Bound(systemID string, r Receiver) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.esmes[systemID]
	if e == nil {
		e = &esme{SMPPS: t, systemID: systemID, wake: make(chan struct{}, 1)}
		t.esmes[systemID] = e
	}
	e.sessions = append(e.sessions, r)
	e.start()
	e.poke()
}

// Removed tells that a user was removed: what waits for his ESME becomes dead letters, and nobody who has his system_id after him
// gets it. It does not block.
func (t *SMPPS) Removed(systemID string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.removed[systemID] = struct{}{}
	if e := t.esmes[systemID]; e != nil {
		e.poke()
	}
	t.tellGone()
}

func (t *SMPPS) tellGone() {
	select {
	case t.gone <- struct{}{}:
	default:
	}
}

// isRemoved tells whether what waits for a removed user is not buried yet. mu is held.
func (t *SMPPS) isRemoved(systemID string) bool {
	_, ok := t.removed[systemID]
	return ok
}

// owner gives the user who has a system_id; ok is false if none has.
func (t *SMPPS) owner(systemID string) (uid sms.UserID, ok bool) {
	if t.cfg.Owner == nil {
		return "", true
	}
	return t.cfg.Owner(systemID)
}

// HasSession tells whether an ESME has a session that can be delivered to.
func (t *SMPPS) HasSession(systemID string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.esmes[systemID]
	return e != nil && len(e.sessions) > 0
}

// Unbound tells that nothing more can be delivered to a session. It does not block.
func (t *SMPPS) Unbound(systemID string, r Receiver) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.esmes[systemID]
	if e == nil {
		return
	}
	e.sessions = slices.DeleteFunc(slices.Clone(e.sessions), func(other Receiver) bool { return other == r })
	if len(e.sessions) == 0 && !e.running {
		delete(t.esmes, systemID)
	}
	e.poke()
}

// Run moves and delivers until ctx ends. What is in flight then may be answered for a moment;
// what is not stays in its queue. An error is that a shared queue cannot be consumed, or not
// any more.
func (t *SMPPS) Run(ctx context.Context) error {
	shared := []queue.Name{queue.DLRThrowerSMPPS, queue.DeliverSMSMPPS}
	consumers := make([]queue.Consumer, len(shared))
	for i, name := range shared {
		c, end, err := queue.Subscribe(ctx, t.broker, name, 2*moveMax)
		if err != nil {
			return err
		}
		defer end()
		consumers[i] = c
	}
	return t.settle.While(ctx, func() error {
		return t.mover.While(ctx, func() error { return t.run(ctx, shared, consumers) })
	})
}

func (t *SMPPS) run(ctx context.Context, shared []queue.Name, consumers []queue.Consumer) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var flows sync.WaitGroup
	for i, c := range consumers {
		flows.Go(func() {
			if err := queue.Drain(ctx, shared[i], c, moveMax, t.move); err != nil {
				cancel(err)
			}
		})
	}
	flows.Go(func() { t.sweepLoop(ctx) })

	t.mu.Lock()
	t.ctx = ctx
	for _, e := range t.esmes {
		e.start()
	}
	t.mu.Unlock()

	flows.Wait()
	<-ctx.Done()
	t.mu.Lock()
	t.ctx = nil
	t.mu.Unlock()
	t.wg.Wait()
	if err := context.Cause(ctx); errors.Is(err, queue.ErrEnded) {
		return err
	}
	return nil
}

// esmesRemembered is how many settled messages are remembered, of all ESMEs and of the shared queues.
const esmesRemembered = 1 << 14

// moveMax is the number of messages that one journal entry moves at most.
const moveMax = 256

// moving is a message that moves from a shared queue into that of its ESME, or why it makes no sense.
type moving struct {
	d        *queue.Delivery
	systemID string
	uid      sms.UserID // who has that system_id
	fault    error
	cause    queue.Cause // of fault
	hold     *held       // nil: a copy of one that was moved, which is only to be acknowledged
}

// move puts what came into a shared queue into the queues of its ESMEs, in order. One whose queue will never take
// it is buried, and keeps none of the others. A move that was begun may outlive ctx: its messages would be moved again
// if they were not acknowledged.
func (t *SMPPS) move(ctx context.Context, ds []*queue.Delivery) {
	batch := make([]moving, 0, len(ds))
	for _, d := range ds {
		m := moving{d: d, cause: queue.CauseUndecodable}
		var known taken
		if m.hold, known = t.hands.take(d); known == waits {
			continue
		}
		if m.hold != nil {
			m.systemID, m.fault = addressee(d)
		}
		batch = append(batch, m)
	}
	if len(batch) > 0 {
		t.mover.Write(ctx, batch)
	}
}

func (t *SMPPS) moves() journal.Work[moving] {
	bury := func(e *journal.Entry, m moving, cause queue.Cause, reason string) {
		e.Publish = append(e.Publish, queue.BuryAs(m.d, cause, reason))
		t.acknowledge(e, m)
	}
	return journal.Work[moving]{What: "messages for ESMEs", Max: moveMax, Grace: t.cfg.Grace, Log: t.log,
		Prepare: func(ctx context.Context, batch []moving) (ready, later []moving, err error) {
			for i := range batch {
				if m := &batch[i]; m.hold != nil && m.fault == nil {
					var ok bool
					m.uid, ok = t.owner(m.systemID)
					switch of := m.d.Headers.Str(queue.HeaderUID); {
					case !ok:
						m.fault, m.cause = fmt.Errorf("no user has the username %s, or none any more", m.systemID), queue.CauseRemoved
					case of != "" && m.uid != "" && of != string(m.uid):
						m.fault, m.cause = errors.New(removedReason(of)), queue.CauseRemoved
					}
				}
			}
			never, err := t.declareAll(ctx, batch)
			if err != nil {
				return nil, batch, err
			}
			for i := range batch {
				if fault := never[batch[i].systemID]; fault != nil && batch[i].fault == nil {
					batch[i].fault, batch[i].cause = fault, queue.CauseRefused
				}
			}
			return batch, nil, nil
		},
		Add: func(e *journal.Entry, m moving) {
			if m.hold == nil {
				e.Ack = append(e.Ack, journal.Ack{Delivery: m.d})
				return
			}
			if m.fault != nil {
				bury(e, m, m.cause, m.fault.Error())
				return
			}
			copied := m.d.Message
			copied.Attempts = 0
			copied.Priority = 0 // one lane, so that the order stays
			if m.uid != "" {
				copied.Headers = copied.Headers.Clone().WithStr(queue.HeaderUID, string(m.uid))
			}
			e.Publish = append(e.Publish, queue.Publication{Queue: queue.ESME(m.systemID), Message: copied})
			t.acknowledge(e, m)
		},
		Amend: func(m moving, err error) bool {
			if errors.Is(err, queue.ErrNoQueue) { // somebody deleted it: the next try declares it again
				t.forget(map[string]struct{}{m.systemID: {}})
			}
			return false
		},
		Bury: func(e *journal.Entry, m moving, reason string) { bury(e, m, queue.CauseRefused, reason) },
		Done: func(m moving, f journal.Fate, why error) {
			if m.hold == nil {
				return
			}
			if f == journal.Abandoned {
				t.hands.drop(m.hold)
				return
			}
			for _, d := range t.hands.done(m.hold) {
				t.mover.Post(moving{d: d})
			}
			if m.fault != nil {
				why = m.fault
			}
			switch {
			case why != nil:
				t.Metrics.Dead.Add(1)
				t.log.Error("message for an ESME moved to the dead-letter queue", "queue", string(m.d.Queue), "msgid", m.d.ID, "err", why)
			default:
				t.Metrics.Moved.Add(1)
			}
		},
	}
}

// acknowledge adds that what moved leaves the shared queue.
func (t *SMPPS) acknowledge(e *journal.Entry, m moving) {
	for _, d := range t.hands.deliveries(m.hold) {
		e.Ack = append(e.Ack, journal.Ack{Delivery: d})
	}
}

// declareAll declares the queues that messages move into. never are those of ESMEs whose queue cannot be made, which keep
// none of the others; the error is one that passes.
func (t *SMPPS) declareAll(ctx context.Context, batch []moving) (never map[string]error, err error) {
	names := make(map[string]struct{})
	for _, m := range batch {
		if m.hold != nil && m.fault == nil {
			names[m.systemID] = struct{}{}
		}
	}
	if err = t.declare(ctx, names); err == nil || journal.Passes(err) {
		return nil, err
	}
	never = make(map[string]error)
	for id := range names {
		if err := t.declare(ctx, map[string]struct{}{id: {}}); err != nil {
			if journal.Passes(err) {
				return nil, err
			}
			never[id] = err
		}
	}
	return never, nil
}

// addressee is the ESME that a message is for.
func addressee(d *queue.Delivery) (string, error) {
	systemID := d.Headers.Str(queue.HeaderSystemID)
	if !account.ValidUsername(systemID) {
		return "", fmt.Errorf("header %s is %.40q, which is no username", queue.HeaderSystemID, systemID)
	}
	if d.ContentType == queue.ContentPDU {
		_, err := decodePDU(d)
		return systemID, err
	}
	_, err := queue.DecodeSMPPDLR(&d.Message)
	return systemID, err
}

// declare declares the queues of ESMEs that were not declared yet.
func (t *SMPPS) declare(ctx context.Context, systemIDs map[string]struct{}) error {
	var missing []queue.Name
	t.mu.Lock()
	for id := range systemIDs {
		if _, ok := t.declared[id]; !ok {
			missing = append(missing, queue.ESME(id))
		}
	}
	t.mu.Unlock()
	if len(missing) == 0 {
		return nil
	}
	if err := t.broker.Declare(ctx, missing...); err != nil {
		return fmt.Errorf("declare %s: %w", missing[0], err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for id := range systemIDs {
		t.declared[id] = struct{}{}
	}
	return nil
}

func (t *SMPPS) forget(systemIDs map[string]struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id := range systemIDs {
		delete(t.declared, id)
	}
}

// tooOld tells whether a message was held for longer than the operator wants, since it was made or
// came back from the dead letters.
func (t *SMPPS) tooOld(d *queue.Delivery, now time.Time) bool {
	return !now.Before(t.heldUntil(d, now))
}

// heldUntil is when a message will have been held for too long. One that does not say since when it waits has just come.
func (t *SMPPS) heldUntil(d *queue.Delivery, now time.Time) time.Time {
	since := max(d.Headers.Int(queue.HeaderCreatedAt), d.Headers.Int(queue.HeaderReplayedAt))
	if since <= 0 {
		return now.Add(t.cfg.Hold)
	}
	return time.UnixMilli(since).Add(t.cfg.Hold)
}

func (t *SMPPS) tooOldReason() string { return "held for more than " + t.cfg.Hold.String() }

// account counts outcomes that are durable.
func (t *SMPPS) account(o *outcome) {
	switch o.kind {
	case delivered:
		t.Metrics.Delivered.Add(1)
	case dead:
		t.Metrics.Dead.Add(1)
		t.log.Error("message for an ESME given up, moved to the dead-letter queue", "queue", string(o.d.Queue), "msgid", o.d.ID, "err", o.why)
	case retry, deferred, repeated:
	}
}
