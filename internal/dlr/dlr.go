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
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"jasmind/internal/journal"
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
	Submissions atomic.Int64 // events of dlr.submit_sm_resp settled
	Receipts    atomic.Int64 // events of dlr.deliver_sm settled
	Parked      atomic.Int64 // events held, and events put back: mostly receipts that wait for their mapping
	Unmatched   atomic.Int64 // receipts given up
	Forwarded   atomic.Int64 // DLRs queued for the throwers
	Undecodable atomic.Int64 // events moved to the dead-letter queue: undecodable, or their lookup fails
}

// consumer subscribes to a queue.
type consumer interface {
	Consume(ctx context.Context, name queue.Name, prefetch int) (queue.Consumer, error)
}

// Lookup is the service. Create it with New.
type Lookup struct {
	cfg     Config
	broker  consumer
	journal journal.Journal
	store   journal.Store
	log     *slog.Logger
	hold    *hold
	Metrics Metrics
}

// New makes a Lookup; Run starts it.
func New(cfg Config, broker consumer, j journal.Journal, store journal.Store, log *slog.Logger) *Lookup {
	if cfg.RetryDelay <= 0 {
		cfg.RetryDelay = 10 * time.Second
	}
	if cfg.Workers <= 0 {
		cfg.Workers = 2
	}
	l := &Lookup{cfg: cfg, broker: broker, store: store, log: log, hold: newHold(heldMax)}
	l.journal = l.Watch(j)
	return l
}

// Run consumes both queues until ctx ends. What is in work then is either settled or
// given back to its queue. An error is that a queue cannot be consumed, or not any more.
func (l *Lookup) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	batches := 2 * batchMax * l.cfg.Workers // those in work, and the next ones
	queues := []struct {
		name     queue.Name
		handle   handler
		prefetch int
	}{{queue.DLRSubmitSMResp, l.submission, batches}, {queue.DLRDeliverSM, l.receipt, batches + l.hold.max}}
	consumers := make([]queue.Consumer, len(queues))
	for i, q := range queues {
		c, err := l.broker.Consume(ctx, q.name, q.prefetch)
		if err != nil {
			return fmt.Errorf("consume %s: %w", q.name, err)
		}
		defer c.Close(context.WithoutCancel(ctx)) //nolint:errcheck // what was not settled comes again, whatever it says
		consumers[i] = c
	}
	var wg sync.WaitGroup
	for i, q := range queues {
		var woken chan []*event
		if q.name == queue.DLRDeliverSM {
			woken = make(chan []*event, l.cfg.Workers)
			wg.Go(func() { l.hold.run(ctx, woken) })
		}
		for range l.cfg.Workers {
			wg.Go(func() {
				if !l.work(ctx, consumers[i].C(), woken, q.handle) {
					cancel(fmt.Errorf("consume %s: %w", q.name, errEnded))
				}
			})
		}
	}
	wg.Wait()
	if err := context.Cause(ctx); errors.Is(err, errEnded) {
		return err
	}
	return nil
}

// errEnded is what becomes of a lookup whose queue was deleted.
var errEnded = errors.New("the subscription ended")

// handler reads an event and adds what follows from it. An error that wraps
// queue.ErrUnavailable is for a later time; any other is this event's own.
type handler func(context.Context, *event, *effects) error

// effects is what a batch of events comes to: a journal entry, and what is counted and logged
// once that is durable.
type effects struct {
	mu    sync.Mutex
	entry journal.Entry
	ended map[sms.MessageID]bool // what entry forgets
	held  map[*event]bool        // they are no part of the batch any more
	after []func()
}

func (e *effects) add(f func(*journal.Entry), after ...func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f(&e.entry)
	e.after = append(e.after, after...)
}

// hold takes d out of the batch.
func (e *effects) hold(d *event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.held == nil {
		e.held = make(map[*event]bool)
	}
	e.held[d] = true
}

// finish acks d, queues a DLR if there is one, and forgets requests, the one that the DLR
// answers first. If another event of the same batch did that already this one is its repeat,
// and d is acked only.
func (e *effects) finish(d *event, dlr *queue.Publication, forget []sms.MessageID, after ...func()) {
	e.add(func(entry *journal.Entry) {
		entry.Ack = append(entry.Ack, journal.Ack{Delivery: d.Delivery})
		if len(forget) > 0 && e.ended[forget[0]] {
			return
		}
		for _, id := range forget {
			if e.ended == nil {
				e.ended = make(map[sms.MessageID]bool)
			}
			e.ended[id] = true
			entry.Forget = append(entry.Forget, id)
		}
		if dlr != nil {
			entry.Publish = append(entry.Publish, *dlr)
		}
	}, after...)
}

// work settles batches of what comes, and of what was held and is woken, until ctx ends; false if the
// subscription ended before that. What is woken together stays together: two deliveries of one message are then
// found to be the same.
func (l *Lookup) work(ctx context.Context, in <-chan *queue.Delivery, woken <-chan []*event, handle handler) bool {
	for {
		var batch []*event
		select {
		case <-ctx.Done():
			return true
		case d, ok := <-in:
			if !ok {
				return ctx.Err() != nil
			}
			for _, d := range queue.Gather(d, in, batchMax) {
				batch = append(batch, &event{Delivery: d})
			}
		case batch = <-woken:
		}
		l.settle(ctx, batch, handle)
	}
}

// Between tries to settle a batch while broker or store is away.
const (
	firstWait = 100 * time.Millisecond
	lastWait  = 10 * time.Second
)

// settle handles a batch and commits what follows from it, again and again until all of it is
// durable or ctx ends; then the broker has its messages back. Events whose lookup fails do
// not keep the others waiting; those that are held leave the batch at once.
func (l *Lookup) settle(ctx context.Context, batch []*event, handle handler) {
	for wait := firstWait; ; wait = min(2*wait, lastWait) {
		var fx effects
		left, err := each(ctx, batch, func(ctx context.Context, d *event) error {
			err := handle(ctx, d, &fx)
			if err != nil && !errors.Is(err, queue.ErrUnavailable) && ctx.Err() == nil {
				l.faulty(d, &fx, err)
				return nil
			}
			return err
		})
		batch = slices.DeleteFunc(batch, func(d *event) bool { return fx.held[d] })
		if len(left) < len(batch) {
			if commitErr := l.commit(ctx, &fx.entry); commitErr != nil {
				left, err = batch, commitErr
			} else {
				for _, f := range fx.after {
					f()
				}
				l.hold.settled(slices.DeleteFunc(batch, func(d *event) bool { return slices.Contains(left, d) }))
			}
		}
		if len(left) == 0 || ctx.Err() != nil {
			return
		}
		batch = left
		l.log.Warn("settling DLR events will be retried", "count", len(batch), "in", wait, "err", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// commitGrace is how long a commit that was begun may go on after the stop.
const commitGrace = 5 * time.Second

// commit makes an entry durable. One that was begun may outlive ctx for a moment: on RabbitMQ half of it
// done would be done twice, and an ESME would see a receipt again.
func (l *Lookup) commit(ctx context.Context, e *journal.Entry) error {
	begun, end := journal.Outlive(ctx, commitGrace)
	defer end()
	return l.journal.Commit(begun, e)
}

// lookups bounds the reads of one batch that are under way at a time.
const lookups = 32

// each runs f over ds with bounded concurrency. It gives those that failed, or were not tried
// because another one failed, and the first error.
func each(ctx context.Context, ds []*event, f func(context.Context, *event) error) (left []*event, err error) {
	if len(ds) == 1 {
		if err := f(ctx, ds[0]); err != nil {
			return ds, err
		}
		return nil, nil
	}
	var (
		next   atomic.Int64
		failed atomic.Bool
		wg     sync.WaitGroup
		mu     sync.Mutex // guards left and err
	)
	keep := func(d *event, cause error) {
		mu.Lock()
		defer mu.Unlock()
		left = append(left, d)
		if err == nil {
			err = cause
		}
	}
	for range min(lookups, len(ds)) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(ds); i = int(next.Add(1)) - 1 {
				if failed.Load() {
					keep(ds[i], nil)
				} else if cause := f(ctx, ds[i]); cause != nil {
					failed.Store(true)
					keep(ds[i], cause)
				}
			}
		})
	}
	wg.Wait()
	return left, err
}

// bury moves an event to the dead-letter queue.
func (l *Lookup) bury(d *event, fx *effects, err error) {
	fx.add(func(e *journal.Entry) {
		e.Publish = append(e.Publish, queue.Bury(d.Delivery, err.Error()))
		e.Ack = append(e.Ack, journal.Ack{Delivery: d.Delivery})
	}, func() {
		l.log.Error("DLR event moved to the dead-letter queue", "queue", string(d.Queue), "message_id", d.ID, "err", err)
		l.Metrics.Undecodable.Add(1)
	})
}

// faulty puts an event back whose lookup fails by its own fault (a record that cannot be read,
// say), and buries it when that does not pass.
func (l *Lookup) faulty(d *event, fx *effects, err error) {
	if d.Attempts >= l.cfg.MaxRetries {
		l.bury(d, fx, err)
		return
	}
	l.back(d, fx)
	fx.add(func(*journal.Entry) {}, func() {
		l.log.Warn("DLR event put back", "queue", string(d.Queue), "message_id", d.ID, "tries", d.Attempts+1, "err", err)
	})
}

// again has a receipt looked up later: as soon as one of keys comes, and when none does, by the configured
// retries; false when it was often enough.
func (l *Lookup) again(d *event, fx *effects, keys ...key) bool {
	over := false
	if d.Attempts == 0 {
		var kept bool
		if kept, over = l.hold.keep(d, keys); kept {
			fx.hold(d)
			l.Metrics.Parked.Add(1)
			return true
		}
	}
	if d.Attempts >= l.cfg.MaxRetries && !over {
		return false
	}
	l.back(d, fx)
	return true
}

// back puts an event back into its queue.
func (l *Lookup) back(d *event, fx *effects) {
	fx.add(func(e *journal.Entry) {
		e.Retry = append(e.Retry, queue.Retry{Delivery: d.Delivery, After: l.cfg.RetryDelay})
	}, func() { l.Metrics.Parked.Add(1) })
}
