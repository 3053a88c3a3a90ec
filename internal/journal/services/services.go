// Package services is the journal over RabbitMQ and Redis, where no transaction spans
// both: an entry is carried out in the phases of package journal, each step idempotent, so that a
// crash in between repeats effects and never loses one. The store does Admit, Record and Conclude, the
// broker Publish and Acknowledge.
//
// A charge is a reservation until the publications are confirmed. One that does not become final
// lapses after a minute. Its message may be in the queue nevertheless, since a confirm that did
// not come is no refusal: Confirm, when that message is settled, charges it again under the same bill.
//
// That an attempt is settled is noted after the publications, not with the records: an attempt found
// settled is acknowledged unseen, so it must not be noted before all that follows from
// it is durable. A crash between Publish and Conclude repeats the attempt, within the window of its consumer.
//
// While the broker has an alarm, what an entry publishes that settles deliveries is kept in the store, in place of the phase Publish, and
// published by Run afterwards; see outbox.
//
// Phases that have nothing to do cost nothing: an entry that only publishes is one confirm,
// one without publications is one round trip to Redis for Record and Conclude together.
package services

import (
	"context"
	"errors"
	"fmt"

	"jasmind/internal/billing"
	"jasmind/internal/journal"
	"jasmind/internal/queue"
)

// broker is the part of queue/rabbit that a journal needs.
type broker interface {
	// Healthy is nil while publications are taken, else an error that wraps queue.ErrUnavailable or queue.ErrClosed.
	Healthy() error
	// Publish gives up when a confirm does not come in the time that a door waits.
	Publish(ctx context.Context, pubs ...queue.Publication) error
	// Send publishes pubs and the copies of retries: nil when all are confirmed, however long that takes.
	Send(ctx context.Context, pubs []queue.Publication, retries []queue.Retry) error
	// Ack takes deliveries out of their queues. ErrStale if one is gone, the others are acknowledged.
	Ack(ctx context.Context, ds ...*queue.Delivery) error
}

// store is the part of store/redis that a journal needs.
type store interface {
	Admit(ctx context.Context, e *journal.Entry) error
	Write(ctx context.Context, e *journal.Entry, phase journal.Phase) error // Record or Conclude
	Apply(ctx context.Context, e *journal.Entry) error                      // both, as one change
	Finalize(ctx context.Context, cs []billing.Charge) error                // makes what Admit has reserved final
	TakeBack(ctx context.Context, e *journal.Entry) error                   // undoes Admit and Record, when nothing was published
	Settled(ctx context.Context, ds []*queue.Delivery) ([]bool, error)

	// Park keeps publications, the same one once, until Unpark; Parked gives the oldest.
	Park(ctx context.Context, ps []queue.Parked) error
	Parked(ctx context.Context, limit int) ([]queue.Parked, error)
	Unpark(ctx context.Context, ids []string) error
}

// Journal commits entries. Its methods may be called concurrently; broker and store share
// the round trips of concurrent calls.
type Journal struct {
	broker broker
	store  store
	outbox outbox
}

// New gives a journal over a broker and a store, which the caller closes. Its caller has Run run.
func New(b broker, s store) *Journal {
	return &Journal{broker: b, store: s, outbox: outbox{wake: make(chan struct{}, 1), sent: make(map[string]underway)}}
}

// Commit carries out an entry. With an error nothing was acknowledged, so the deliveries
// of the entry can be settled by another Commit or come again.
func (j *Journal) Commit(ctx context.Context, e *journal.Entry) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%w: commit: %w", queue.ErrUnavailable, context.Cause(ctx))
	}
	if e.BringsWork() {
		// Before anything is written for it, and before anybody's credit is touched.
		if err := j.broker.Healthy(); err != nil {
			return err
		}
	}
	if err := j.store.Admit(ctx, e); err != nil {
		if journal.Passes(err) { // its answer may be lost
			j.takeBack(ctx, e)
		}
		return err
	}
	if len(e.Publish)+len(e.Retry) == 0 {
		if err := j.store.Apply(ctx, e); err != nil {
			return err
		}
		j.finalize(ctx, e)
		return j.acknowledge(ctx, e)
	}
	if err := j.store.Write(ctx, e, journal.Record); err != nil {
		j.takeBack(ctx, e)
		return err
	}
	err := j.publish(ctx, e)
	if errors.Is(err, queue.ErrBlocked) && len(e.Ack)+len(e.Retry) > 0 {
		err = j.park(ctx, e, err)
	}
	if err != nil {
		if !journal.Passes(err) || errors.Is(err, queue.ErrNotSent) {
			j.takeBack(ctx, e)
		}
		return err
	}
	j.finalize(ctx, e)
	if err := j.store.Write(ctx, e, journal.Conclude); err != nil {
		return err
	}
	return j.acknowledge(ctx, e)
}

// publish is the phase Publish. An entry that settles deliveries waits for its confirms: without them what was attempted would be
// attempted again.
func (j *Journal) publish(ctx context.Context, e *journal.Entry) error {
	if len(e.Ack)+len(e.Retry) == 0 {
		return j.broker.Publish(ctx, e.Publish...)
	}
	return j.broker.Send(ctx, e.Publish, e.Retry)
}

// takeBack undoes what was, or may have been, written for an entry of which surely nothing was published. Should that fail, reservations
// lapse, and what was recorded expires, by itself.
func (j *Journal) takeBack(ctx context.Context, e *journal.Entry) {
	_ = j.store.TakeBack(context.WithoutCancel(ctx), e)
}

// finalize makes the reservations of an entry final. What was published cannot be taken
// back, so an error refuses nothing: the reservations lapse, and Confirm charges them again.
func (j *Journal) finalize(ctx context.Context, e *journal.Entry) {
	_ = j.store.Finalize(context.WithoutCancel(ctx), e.Charges)
}

// acknowledge takes what is settled out of its queues. A stale delivery is no error: its message comes again and is
// found settled.
func (j *Journal) acknowledge(ctx context.Context, e *journal.Entry) error {
	n := len(e.Ack) + len(e.Retry)
	if n == 0 {
		return nil
	}
	ds := make([]*queue.Delivery, 0, n)
	for i := range e.Ack {
		ds = append(ds, e.Ack[i].Delivery)
	}
	for i := range e.Retry {
		ds = append(ds, e.Retry[i].Delivery)
	}
	if err := j.broker.Ack(ctx, ds...); err != nil && !errors.Is(err, queue.ErrStale) {
		return err
	}
	return nil
}

// Settled tells for each delivery whether this very attempt was settled before.
func (j *Journal) Settled(ctx context.Context, ds []*queue.Delivery) ([]bool, error) {
	return j.store.Settled(ctx, ds)
}
