// Package dlr finds who asked for the outcome of a message and sends it on its way: it
// consumes dlr.submit_sm_resp and dlr.deliver_sm and fills the queues of the throwers
// (Jasmin: DLRLookup). It knows neither sessions nor URLs' answers, and needs no
// configuration of users or routes.
//
// A receipt often comes before its mapping, or before the answer of its message was passed on. It is
// held, unsettled, until a commit of this process brings that (see Watch), and is then looked up at once.
//
// Delivery is at least once. A repeated event is harmless: recording a part's final state
// again changes nothing, and once the last DLR of a message was queued its request is
// forgotten in the same journal entry, so that a repeat finds nobody to tell. Who asked for
// level 3 has a second record (queue.LevelOne) as long as the answer to the submission was not
// passed on: it makes a repeat of that harmless too, and keeps a receipt that comes first
// from ending the request before both levels are told.
package dlr

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"jasmind/internal/journal"
	"jasmind/internal/logging"
	"jasmind/internal/queue"
	"jasmind/internal/sms"
)

// Config holds the settings of the lookup.
type Config struct {
	RetryDelay time.Duration // dlr_lookup_retry_delay, default 10 s
	MaxRetries int           // dlr_lookup_max_retries, default 2
	// LastPartOnly makes the receipt of the last part the DLR of a long message, as the
	// original does (dlr_parts = last). Default: the worst state of all parts, once all are final.
	LastPartOnly bool
	// Accepted tells an ESME that asked for a receipt already when the SMSC has taken its message,
	// by the state ACCEPTD (smpp_receipt_on_success_submit_sm_resp).
	Accepted   bool
	Workers    int  // batches in work at a time and queue, default 2
	LogPrivacy bool // log no message text, not even at level debug
}

// batchMax is the number of events that one journal entry settles at most.
const batchMax = 128

// Metrics counts what the lookup did. Fields may be read at any time.
type Metrics struct {
	Submissions atomic.Int64 `metric:"jasmind_dlr_submissions_total" help:"Answers to submissions looked up for a DLR."`
	Receipts    atomic.Int64 `metric:"jasmind_dlr_receipts_total" help:"Receipts matched with their message."`
	Parked      atomic.Int64 `metric:"jasmind_dlr_parked_total" help:"Lookups put off because the message was not known yet."`
	Unmatched   atomic.Int64 `metric:"jasmind_dlr_unmatched_total" help:"Receipts given up because no message matched."`
	Unkept      atomic.Int64 `metric:"jasmind_dlr_unkept_total" help:"Of which were too many for the dead letters and are in the log only."`
	Forwarded   atomic.Int64 `metric:"jasmind_dlr_forwarded_total" help:"DLRs handed to the throwers."`
	Undecodable atomic.Int64 `metric:"jasmind_dlr_undecodable_total" help:"DLR events moved to the dead-letter queue."`
}

// Lookup is the service. Create it with New.
type Lookup struct {
	cfg     Config
	broker  queue.Source
	store   journal.Store
	log     *slog.Logger
	hold    *hold
	unknown *rate.Limiter // of receipts without a message that become dead letters
	writer  *journal.Writer[*event]
	Metrics Metrics
}

// New makes a Lookup; Run starts it.
func New(cfg Config, broker queue.Source, j journal.Journal, store journal.Store, log *slog.Logger) *Lookup {
	if cfg.RetryDelay <= 0 {
		cfg.RetryDelay = 10 * time.Second
	}
	if cfg.Workers <= 0 {
		cfg.Workers = 2
	}
	l := &Lookup{cfg: cfg, broker: broker, store: store, log: log, hold: newHold(heldMax), unknown: rate.NewLimiter(rate.Every(unknownEvery), unknownMost)}
	l.writer = journal.NewWriter(l.Watch(j), l.work())
	return l
}

// Run consumes both queues until ctx ends. What is in work then is either settled or
// given back to its queue. An error is that a queue cannot be consumed, or not any more.
func (l *Lookup) Run(ctx context.Context) error {
	batches := 2 * batchMax * l.cfg.Workers // those in work, and the next ones
	answers, end, err := queue.Subscribe(ctx, l.broker, queue.DLRSubmitSMResp, batches)
	if err != nil {
		return err
	}
	defer end()
	receipts, end, err := queue.Subscribe(ctx, l.broker, queue.DLRDeliverSM, batches+l.hold.max)
	if err != nil {
		return err
	}
	defer end()
	return l.writer.While(ctx, func() error { return l.run(ctx, answers, receipts) })
}

func (l *Lookup) run(ctx context.Context, answers, receipts queue.Consumer) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	drain := func(name queue.Name, c queue.Consumer) {
		err := queue.Drain(ctx, name, c, batchMax, func(ctx context.Context, ds []*queue.Delivery) {
			batch := make([]*event, len(ds))
			for i, d := range ds {
				batch[i] = &event{Delivery: d}
			}
			l.writer.Write(ctx, batch)
		})
		if err != nil {
			cancel(err)
		}
	}
	// What is woken together stays together: two deliveries of one message are then found to be the same.
	woken := make(chan []*event, l.cfg.Workers)
	wg.Go(func() { l.hold.run(ctx, woken) })
	for range l.cfg.Workers {
		wg.Go(func() { drain(queue.DLRSubmitSMResp, answers) })
		wg.Go(func() { drain(queue.DLRDeliverSM, receipts) })
		wg.Go(func() {
			for {
				select {
				case batch := <-woken:
					l.writer.Write(ctx, batch)
				case <-ctx.Done():
					return
				}
			}
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); errors.Is(err, queue.ErrEnded) {
		return err
	}
	return nil
}

// effects is what an event comes to.
type effects struct {
	held    bool // it waits, and is no part of its batch any more
	ack     bool
	back    bool // to its queue, after RetryDelay
	publish *queue.Publication
	forget  []sms.MessageID // the request that publish answers first
	change  *sms.StateChange
	after   []func() // what is counted and logged once it is durable
}

// then has f called once the effects are durable.
func (fx *effects) then(f func()) { fx.after = append(fx.after, f) }

// finish takes an event out of its queue, queues a DLR if there is one, and forgets requests, the one that the DLR answers first.
func (fx *effects) finish(dlr *queue.Publication, forget []sms.MessageID, after func()) {
	fx.ack, fx.publish, fx.forget = true, dlr, forget
	fx.then(after)
}

// addTo adds the effects of an event to an entry. If another event of the entry forgets the same request
// this one is its repeat, and is acknowledged only.
func (l *Lookup) addTo(e *journal.Entry, ev *event) {
	fx := ev.fx
	if fx.back {
		e.Retry = append(e.Retry, queue.Retry{Delivery: ev.Delivery, After: l.cfg.RetryDelay})
	}
	if fx.ack {
		e.Ack = append(e.Ack, journal.Ack{Delivery: ev.Delivery})
	}
	if fx.change != nil {
		e.Changes = append(e.Changes, *fx.change)
	}
	if len(fx.forget) > 0 && slices.Contains(e.Forget, fx.forget[0]) {
		return
	}
	e.Forget = append(e.Forget, fx.forget...)
	if fx.publish != nil {
		e.Publish = append(e.Publish, *fx.publish)
	}
}

// work tells how events are settled. Those that are held leave their batch; those whose lookup fails by their own fault
// keep none of the others waiting.
func (l *Lookup) work() journal.Work[*event] {
	return journal.Work[*event]{What: "DLR events", Max: batchMax, Log: l.log,
		Prepare: func(ctx context.Context, batch []*event) (ready, later []*event, err error) {
			found := make([]look, len(batch))
			err = each(ctx, len(batch), func(i int) (err error) {
				found[i], err = l.look(ctx, batch[i])
				return err
			})
			for i, ev := range batch {
				switch found[i] {
				case looked:
					ready = append(ready, ev)
				case notLooked:
					later = append(later, ev)
				case held: // it may be in other hands by now
				}
			}
			return ready, later, err
		},
		Add: l.addTo,
		Bury: func(e *journal.Entry, ev *event, reason string) {
			e.Publish = append(e.Publish, queue.BuryAs(ev.Delivery, queue.CauseRefused, reason))
			e.Ack = append(e.Ack, journal.Ack{Delivery: ev.Delivery})
		},
		Done: func(ev *event, f journal.Fate, why error) {
			switch f {
			case journal.Abandoned:
				return
			case journal.Buried:
				l.buried(ev, why)
			case journal.Settled:
				for _, after := range ev.fx.after {
					after()
				}
			}
			l.hold.settled(ev)
		},
	}
}

// look is what came of a look at an event.
type look uint8

const (
	notLooked look = iota // broker or store is away
	looked
	held
)

// look finds what follows from an event. An error passes by itself.
func (l *Lookup) look(ctx context.Context, ev *event) (look, error) {
	handle := l.receipt
	if ev.Queue == queue.DLRSubmitSMResp {
		handle = l.submission
	}
	fx := new(effects)
	var err error
	if defect := logging.Guard(l.log, "DLR event", func() { err = handle(ctx, ev, fx) }); defect != nil {
		err = defect
	}
	if err != nil {
		if journal.Passes(err) || ctx.Err() != nil {
			return notLooked, err
		}
		fx = new(effects)
		l.faulty(ev, fx, err)
	}
	if fx.held {
		return held, nil
	}
	ev.fx = fx
	return looked, nil
}

// lookups bounds the reads of one batch that are under way at a time.
const lookups = 32

// each calls f for 0 to n-1 with bounded concurrency, and gives the first error, after which no further call is begun.
func each(ctx context.Context, n int, f func(int) error) error {
	if n == 1 {
		return f(0)
	}
	var (
		next  atomic.Int64
		first atomic.Pointer[error]
		wg    sync.WaitGroup
	)
	for range min(lookups, n) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && first.Load() == nil && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				if err := f(i); err != nil {
					first.CompareAndSwap(nil, &err)
				}
			}
		})
	}
	wg.Wait()
	if err := first.Load(); err != nil {
		return *err
	}
	return context.Cause(ctx)
}

// bury makes an event a dead letter.
func (l *Lookup) bury(ev *event, fx *effects, err error) {
	letter := queue.Bury(ev.Delivery, err.Error())
	fx.finish(&letter, nil, func() { l.buried(ev, err) })
}

func (l *Lookup) buried(ev *event, err error) {
	l.log.Error("DLR event moved to the dead-letter queue", "queue", string(ev.Queue), "message_id", ev.ID, "err", err)
	l.Metrics.Undecodable.Add(1)
}

// faulty puts an event back whose lookup fails by its own fault (a record that cannot be read,
// say), and buries it when that does not pass.
func (l *Lookup) faulty(ev *event, fx *effects, err error) {
	if ev.Attempts >= l.cfg.MaxRetries {
		l.bury(ev, fx, err)
		return
	}
	l.back(ev, fx)
	fx.then(func() {
		l.log.Warn("DLR event put back", "queue", string(ev.Queue), "message_id", ev.ID, "tries", ev.Attempts+1, "err", err)
	})
}

// again has a receipt looked up later: as soon as one of keys comes, and when none does, by the configured
// retries; false when it was often enough.
func (l *Lookup) again(ev *event, fx *effects, keys ...key) bool {
	over := false
	if ev.Attempts == 0 {
		var kept bool
		if kept, over = l.hold.keep(ev, keys); kept {
			fx.held = true
			l.Metrics.Parked.Add(1)
			return true
		}
	}
	if ev.Attempts >= l.cfg.MaxRetries && !over {
		return false
	}
	l.back(ev, fx)
	return true
}

// back puts an event back into its queue.
func (l *Lookup) back(ev *event, fx *effects) {
	fx.back = true
	fx.then(func() { l.Metrics.Parked.Add(1) })
}
