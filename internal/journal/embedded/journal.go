// Package embedded is the journal of a gateway with its own database: an entry is one atomic, synced
// batch over the queues (queue/pebble) and the store (store/pebble). Entries committed at the same time
// share an fsync.
//
// An acknowledgement is part of the batch, so it is never lost apart from its effects, and nothing needs
// to be remembered of it. The exception is a delivery that went stale first, because its consumer was
// closed: its message is, or will be, delivered once more, so the attempt is recorded and Settled finds it.
package embedded

import (
	"context"
	"errors"
	"fmt"

	"jasmind/internal/journal"
	"jasmind/internal/localdb"
	"jasmind/internal/queue"
	queuepebble "jasmind/internal/queue/pebble"
	storepebble "jasmind/internal/store/pebble"
)

// Journal is the embedded journal. All methods may be called from any goroutine.
type Journal struct {
	db    *localdb.DB
	queue *queuepebble.Driver
	store *storepebble.Store
}

var _ journal.Journal = (*Journal)(nil)

// New joins a queue driver and a store over the same database.
func New(db *localdb.DB, q *queuepebble.Driver, s *storepebble.Store) *Journal {
	return &Journal{db: db, queue: q, store: s}
}

// Commit makes the entry durable, all of it or nothing. An entry that only brings new work (it publishes
// and settles nothing) is refused with queue.ErrUnavailable while the disk is almost full.
func (j *Journal) Commit(ctx context.Context, e *journal.Entry) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if e.BringsWork() {
		if err := j.queue.Admit(); err != nil {
			return err
		}
	}
	b := j.db.NewBatch()
	if err := j.stage(b, e); err != nil {
		b.Abandon(err)
		return unavailable(err)
	}
	err := j.db.Commit(context.WithoutCancel(ctx), b)
	return unavailable(queuepebble.Translate(err))
}

// unavailable makes an error of one that is shutting down one that the caller knows.
func unavailable(err error) error {
	if errors.Is(err, queue.ErrClosed) {
		return fmt.Errorf("%w: %w", queue.ErrUnavailable, err)
	}
	return err
}

func (j *Journal) stage(b *localdb.Batch, e *journal.Entry) error {
	if err := j.store.Stage(b, e); err != nil {
		return err
	}
	if err := j.queue.StagePublish(b, e.Publish); err != nil {
		return err
	}
	for i := range e.Ack {
		d := e.Ack[i].Delivery
		if err := j.queue.StageAck(b, d); err != nil {
			if err := j.stale(b, d, err); err != nil {
				return err
			}
		}
	}
	for i := range e.Retry {
		r := &e.Retry[i]
		err := j.queue.StageRetry(b, r)
		if err == nil || j.queue.Done(r.Delivery) {
			continue // done with, or done with before: this is a repeat
		}
		if err := j.stale(b, r.Delivery, err); err != nil {
			return err
		}
		if err := j.queue.StageCopy(b, r); err != nil && !errors.Is(err, queue.ErrNoQueue) {
			return err
		}
	}
	return nil
}

// stale records that an attempt is settled whose delivery cannot be: its message comes again.
func (j *Journal) stale(b *localdb.Batch, d *queue.Delivery, err error) error {
	if !errors.Is(err, queue.ErrStale) {
		return err
	}
	if !j.queue.Done(d) {
		j.store.StageSettled(b, d.Key())
	}
	return nil
}

// Settled tells for each delivery whether this very attempt was settled before.
func (j *Journal) Settled(ctx context.Context, ds []*queue.Delivery) ([]bool, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	out := make([]bool, len(ds))
	for i, d := range ds {
		var err error
		if out[i], err = j.store.Settled(d.Key()); err != nil {
			return nil, err
		}
	}
	return out, nil
}
