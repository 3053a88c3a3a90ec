// Package dlr finds who asked for the outcome of a message and sends it on its way: it
// consumes dlr.submit_sm_resp and dlr.deliver_sm and fills the queues of the throwers
// (Jasmin: DLRLookup). It knows neither sessions nor URLs' answers, and needs no
// configuration of users or routes.
//
// Delivery is at least once. A repeated event is harmless: recording a part's final state
// again changes nothing, and once the last DLR of a message was queued its request is
// forgotten in the same journal entry, so that a repeat finds nobody to tell.
package dlr

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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
	Workers      int  // batches in work at a time and queue, default 2
	LogPrivacy   bool // log no message text
}

// batchMax is the number of events that one journal entry settles at most.
const batchMax = 128

// early are the waits for a mapping that the receipt overtook, before the configured
// retries: a receipt often comes before its submit_sm_resp is durable here.
var early = [...]time.Duration{50 * time.Millisecond, 200 * time.Millisecond, time.Second, 5 * time.Second}

// Metrics counts what the lookup did. Fields may be read at any time.
type Metrics struct {
	Submissions atomic.Int64 // events of dlr.submit_sm_resp settled
	Receipts    atomic.Int64 // events of dlr.deliver_sm settled
	Parked      atomic.Int64 // receipts put back to wait for their mapping
	Unmatched   atomic.Int64 // receipts given up
	Forwarded   atomic.Int64 // DLRs queued for the throwers
	Undecodable atomic.Int64 // events moved to the dead-letter queue
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
	return &Lookup{cfg: cfg, broker: broker, journal: j, store: store, log: log}
}

// Run consumes both queues until ctx ends. What is in work then is either settled or
// given back to its queue.
func (l *Lookup) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	errs := make([]error, 2)
	for i, q := range []struct {
		name   queue.Name
		handle func(context.Context, *queue.Delivery, *effects) error
	}{{queue.DLRSubmitSMResp, l.submission}, {queue.DLRDeliverSM, l.receipt}} {
		c, err := l.broker.Consume(ctx, q.name, batchMax*l.cfg.Workers)
		if err != nil {
			errs[i] = fmt.Errorf("consume %s: %w", q.name, err)
			break
		}
		defer c.Close(context.WithoutCancel(ctx))
		for range l.cfg.Workers {
			wg.Go(func() { l.work(ctx, c, q.handle) })
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	wg.Wait()
	return nil
}

// effects is a journal entry that several events fill.
type effects struct {
	mu    sync.Mutex
	entry journal.Entry
}

func (e *effects) add(f func(*journal.Entry)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f(&e.entry)
}

func (l *Lookup) work(ctx context.Context, c queue.Consumer, handle func(context.Context, *queue.Delivery, *effects) error) {
	batch := make([]*queue.Delivery, 0, batchMax)
	for {
		batch = batch[:0]
		select {
		case <-ctx.Done():
			return
		case d, ok := <-c.C():
			if !ok {
				return
			}
			batch = append(batch, d)
		}
	fill:
		for len(batch) < batchMax {
			select {
			case d, ok := <-c.C():
				if !ok {
					break fill
				}
				batch = append(batch, d)
			default:
				break fill
			}
		}
		l.settle(ctx, batch, handle)
	}
}

// lookups bounds the reads of one batch that are under way at a time.
const lookups = 16

// settle handles a batch and commits what follows from it, again and again until it is
// durable or ctx ends; then the broker has its messages back.
func (l *Lookup) settle(ctx context.Context, batch []*queue.Delivery, handle func(context.Context, *queue.Delivery, *effects) error) {
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 10*time.Second) {
		var fx effects
		err := each(ctx, batch, func(ctx context.Context, d *queue.Delivery) error { return handle(ctx, d, &fx) })
		if err == nil {
			err = l.journal.Commit(ctx, &fx.entry)
		}
		if err == nil || ctx.Err() != nil {
			return
		}
		l.log.Warn("settling DLR events will be retried", "count", len(batch), "in", wait, "err", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// each runs f over ds with bounded concurrency and joins the errors.
func each(ctx context.Context, ds []*queue.Delivery, f func(context.Context, *queue.Delivery) error) error {
	if len(ds) == 1 {
		return f(ctx, ds[0])
	}
	var next atomic.Int64
	errs := make([]error, min(lookups, len(ds)))
	var wg sync.WaitGroup
	for w := range errs {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(ds) || errs[w] != nil {
					return
				}
				errs[w] = f(ctx, ds[i])
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (l *Lookup) undecodable(d *queue.Delivery, fx *effects, err error) {
	l.log.Error("undecodable DLR event moved to the dead-letter queue", "queue", string(d.Queue), "message_id", d.ID, "err", err)
	l.Metrics.Undecodable.Add(1)
	fx.add(func(e *journal.Entry) {
		e.Publish = append(e.Publish, queue.Bury(d, err.Error()))
		e.Ack = append(e.Ack, journal.Ack{Delivery: d})
	})
}

// finish acks d, queues a DLR if there is one, and forgets the request if it was the last.
func finish(fx *effects, d *queue.Delivery, dlr *queue.HTTPDLR, forget sms.MessageID) {
	fx.add(func(e *journal.Entry) {
		if dlr != nil {
			e.Publish = append(e.Publish, queue.Publication{Queue: queue.DLRThrowerHTTP, Message: dlr.Message()})
		}
		if forget != "" {
			e.Forget = append(e.Forget, forget)
		}
		e.Ack = append(e.Ack, journal.Ack{Delivery: d})
	})
}
