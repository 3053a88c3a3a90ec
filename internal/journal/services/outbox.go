package services

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"jasmind/internal/journal"
	"jasmind/internal/queue"
)

// outbox keeps in the store what settling entries publish while the broker has an alarm. RabbitMQ reads nothing then from a
// connection that publishes, and goes on to deliver: what is delivered must be settled, or the backlog that
// raised the alarm could never drain.
type outbox struct {
	wake chan struct{} // cap 1: something was parked

	mu   sync.Mutex // guards sent
	sent map[string]underway
}

// underway is a parked publication that may be on its way to the broker, or there, all the same: the i-th of a call.
type underway struct {
	call  *queue.Unconfirmed
	i     int
	since time.Time
}

const (
	outboxBatch = 256                    // publications that are read and published at a time
	outboxPause = 250 * time.Millisecond // between looks whether the broker takes anything
	outboxSent  = time.Hour              // how long it is remembered what may be on its way
	outboxGrace = 5 * time.Second        // for the confirms of what was sent before a stop
)

// park keeps what an entry publishes, after the broker took none or only some of it.
func (j *Journal) park(ctx context.Context, e *journal.Entry, blocked error) error {
	now := time.Now()
	ps := queue.Park(e.Publish, e.Retry, now)
	var u *queue.Unconfirmed
	if errors.As(blocked, &u) {
		for i := range ps { // before Run can see them
			j.outbox.note(ps[i].ID, underway{u, i, now})
		}
	}
	if err := j.store.Park(ctx, ps); err != nil {
		return fmt.Errorf("%w; nor can it be kept: %w", blocked, err)
	}
	select {
	case j.outbox.wake <- struct{}{}:
	default:
	}
	return nil
}

// note remembers that a publication may be on its way.
func (o *outbox) note(id string, u underway) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sent[id] = u
}

// arrived tells whether the broker has a parked publication already. It waits for what is on its way.
func (o *outbox) arrived(ctx context.Context, id string) bool {
	o.mu.Lock()
	u, ok := o.sent[id]
	o.mu.Unlock()
	if !ok {
		return false
	}
	select {
	case <-u.call.Done:
	case <-ctx.Done():
		return false
	}
	return u.call.Err(u.i) == nil
}

// confirmed is the call of a publication that the broker has confirmed, and that is parked until the store is told.
var confirmed = func() *queue.Unconfirmed {
	done := make(chan struct{})
	close(done)
	return &queue.Unconfirmed{Done: done, Err: func(int) error { return nil }}
}()

// drop forgets publications that are parked no longer.
func (o *outbox) drop(ids []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, id := range ids {
		delete(o.sent, id)
	}
}

// forget drops what is known of publications that were never parked, since the store did not take them.
func (o *outbox) forget(before time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	maps.DeleteFunc(o.sent, func(_ string, u underway) bool { return u.since.Before(before) })
}

// Run publishes what the outbox holds as soon as the broker takes it, what an earlier process left included, until ctx ends.
//
// A repeat is harmless as far as it can be known: what was on its way when the alarm came is not published again if the broker
// confirms it afterwards. A crash between a confirm and its note publishes up to outboxBatch messages twice, under the same ids.
func (j *Journal) Run(ctx context.Context, log *slog.Logger) {
	told := false
	for {
		left, err := j.drain(ctx, log)
		switch {
		case ctx.Err() != nil:
			return
		case (left || err != nil) && !told:
			told = true
			log.Warn("what settling publishes is kept in the store until the broker takes it", "err", err)
		case !left && err == nil && told:
			told = false
			log.Info("the broker has all that was kept in the store")
		}
		var pause <-chan time.Time
		if left || err != nil {
			pause = time.After(outboxPause)
		}
		select {
		case <-j.outbox.wake:
			if pause != nil { // not in a tight loop while the alarm lasts
				select {
				case <-pause:
				case <-ctx.Done():
					return
				}
			}
		case <-pause:
		case <-ctx.Done():
			return
		}
	}
}

// drain publishes what is parked, oldest first, and tells whether something is left.
func (j *Journal) drain(ctx context.Context, log *slog.Logger) (left bool, err error) {
	// What was sent is noted although ctx ends, or the next start would publish it again.
	begun, end := journal.Outlive(ctx, outboxGrace)
	defer end()
	for {
		limit := outboxBatch
		away := j.broker.Healthy()
		if away != nil {
			limit = 1 // only whether there is one
		}
		ps, err := j.store.Parked(ctx, limit)
		if err != nil {
			return false, err
		}
		if len(ps) == 0 {
			j.outbox.forget(time.Now().Add(-outboxSent))
			return false, nil
		}
		if away != nil {
			return true, nil
		}
		done := make([]string, 0, len(ps))
		var due []queue.Parked
		for i := range ps {
			if j.outbox.arrived(ctx, ps[i].ID) {
				done = append(done, ps[i].ID)
			} else {
				due = append(due, ps[i])
			}
		}
		if ctx.Err() != nil {
			due = nil
		}
		errs := make([]error, len(due))
		var sends sync.WaitGroup // which share the channels of the broker
		for i := range due {
			sends.Go(func() { errs[i] = j.unpark(begun, &due[i], log) })
		}
		sends.Wait()
		for i, err := range errs {
			if err != nil {
				away = err
			} else {
				j.outbox.note(due[i].ID, underway{call: confirmed, since: time.Now()})
				done = append(done, due[i].ID)
			}
		}
		if err := j.store.Unpark(begun, done); err != nil {
			return true, err
		}
		j.outbox.drop(done)
		if away != nil || ctx.Err() != nil {
			return true, away
		}
	}
}

// unpark publishes what was parked. An error is one that passes.
func (j *Journal) unpark(ctx context.Context, p *queue.Parked, log *slog.Logger) error {
	now := time.Now()
	var pubs []queue.Publication
	var retries []queue.Retry
	if pub, retry := p.Unpark(now); pub != nil {
		pubs = append(pubs, *pub)
	} else {
		retries = append(retries, *retry)
	}
	err := j.broker.Send(ctx, pubs, retries)
	var u *queue.Unconfirmed
	if errors.As(err, &u) {
		j.outbox.note(p.ID, underway{u, 0, now})
	}
	if err == nil || journal.Passes(err) {
		return err
	}
	log.Error("what was kept in the store can never be published, it is a dead letter", "queue", string(p.Queue), "msgid", p.Message.ID, "err", err)
	cause := queue.CauseRefused
	if errors.Is(err, queue.ErrNoQueue) {
		cause = queue.CauseNoQueue
	}
	return j.broker.Send(ctx, []queue.Publication{queue.BuryAs(&queue.Delivery{Queue: p.Queue, Message: p.Message}, cause, err.Error())}, nil)
}
