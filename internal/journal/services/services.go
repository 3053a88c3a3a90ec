// Package services is the journal over RabbitMQ and Redis, where no transaction spans
// both: an entry is carried out in a fixed order, each step idempotent, so that a crash in
// between repeats effects and never loses one.
//
//  1. what the store holds and others will look for once the publications are there:
//     Receipts, Expiries, Mappings, Outcomes
//  2. the confirmed publications: Publish, and the copies that Retry makes
//  3. what is only true after them: Forget, Unexpire, and the settled attempts
//  4. the acknowledgements, which RabbitMQ does not confirm
//
// The settled attempts come after the publications, not with the records: an attempt found
// settled is acknowledged unseen, so it must not be recorded before all that follows from
// it is durable. A crash between 2 and 3 repeats the attempt, within the window of its consumer.
//
// Steps that have nothing to do cost nothing: an entry that only publishes is one confirm,
// one without publications is one round trip to Redis for steps 1 and 3 together.
package services

import (
	"context"
	"errors"
	"fmt"

	"jasmind/internal/journal"
	"jasmind/internal/queue"
)

// broker is the part of queue/rabbit that a journal needs.
type broker interface {
	// Send publishes pubs and the copies of retries: nil when all are confirmed.
	Send(ctx context.Context, pubs []queue.Publication, retries []queue.Retry) error
	// Ack takes deliveries out of their queues. ErrStale if one is gone, the others are acknowledged.
	Ack(ctx context.Context, ds ...*queue.Delivery) error
}

// store is the part of store/redis that a journal needs.
type store interface {
	WriteBefore(ctx context.Context, e *journal.Entry) error // step 1
	WriteAfter(ctx context.Context, e *journal.Entry) error  // step 3
	Apply(ctx context.Context, e *journal.Entry) error       // both, as one change
	Settled(ctx context.Context, ds []*queue.Delivery) ([]bool, error)
}

// Journal commits entries. Its methods may be called concurrently; broker and store share
// the round trips of concurrent calls.
type Journal struct {
	broker broker
	store  store
}

// New gives a journal over a broker and a store, which the caller closes.
func New(b broker, s store) *Journal { return &Journal{broker: b, store: s} }

// Commit carries out an entry. With an error nothing was acknowledged, so the deliveries
// of the entry can be settled by another Commit or come again.
func (j *Journal) Commit(ctx context.Context, e *journal.Entry) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%w: commit: %w", queue.ErrUnavailable, context.Cause(ctx))
	}
	if len(e.Publish)+len(e.Retry) == 0 {
		if err := j.store.Apply(ctx, e); err != nil {
			return err
		}
	} else {
		if err := j.store.WriteBefore(ctx, e); err != nil {
			return err
		}
		if err := j.broker.Send(ctx, e.Publish, e.Retry); err != nil {
			return err
		}
		if err := j.store.WriteAfter(ctx, e); err != nil {
			return err
		}
	}
	return j.acknowledge(ctx, e)
}

// acknowledge is step 4. A stale delivery is no error: its message comes again and is
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
