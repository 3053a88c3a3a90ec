package throw

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"jasmind/internal/journal"
	"jasmind/internal/queue"
)

// sweepLoop looks, every so often, for what was held too long in the queues of ESMEs that are
// not bound. Those that are see to it themselves. What waits for users who were removed it gives up as soon as it can.
func (t *SMPPS) sweepLoop(ctx context.Context) {
	tick := time.NewTicker(t.cfg.Sweep)
	defer tick.Stop()
	for due := true; ; {
		t.retireAll(ctx)
		if due {
			t.sweepAll(ctx)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			due = true
		case <-t.gone:
			due = false
		}
	}
}

func (t *SMPPS) sweepAll(ctx context.Context) {
	ids := t.candidates()
	forgotten := func(id string) bool {
		_, ok := slices.BinarySearch(ids, id)
		return !ok
	}
	maps.DeleteFunc(t.looked, func(id string, _ time.Time) bool { return forgotten(id) })
	maps.DeleteFunc(t.absent, func(id string, _ struct{}) bool { return forgotten(id) })
	for _, systemID := range ids {
		if ctx.Err() != nil {
			return
		}
		if err := t.sweep(ctx, systemID); err != nil && ctx.Err() == nil {
			t.log.Warn("the queue of an ESME could not be looked through", "system_id", systemID, "err", err)
		}
	}
}

// retireAll retires those who were removed, and those whose queue is left of an earlier run and who have no user.
func (t *SMPPS) retireAll(ctx context.Context) {
	ids := t.candidates()
	t.mu.Lock()
	for _, id := range ids {
		if _, ok := t.owner(id); !ok {
			t.removed[id] = struct{}{}
		}
	}
	removed := slices.Sorted(maps.Keys(t.removed))
	t.mu.Unlock()
	for _, id := range removed {
		if err := t.retire(ctx, id); err != nil && ctx.Err() == nil {
			t.log.Warn("what waits for a removed user will be given up later", "system_id", id, "err", err)
		}
	}
}

func removedReason(of string) string { return "its user, " + of + ", was removed" }

// retire makes dead letters of what waits for a user who was removed, and removes his queue, unless another user has his
// system_id by now: what comes after it was looked at is that one's. While he is still served nothing is done: it is tried again when that has ended.
func (t *SMPPS) retire(ctx context.Context, systemID string) error {
	release := t.claim(systemID)
	if release == nil {
		return nil
	}
	defer release()
	for {
		n, err := t.removeEmpty(ctx, systemID)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		t.log.Warn("messages of a removed user become dead letters", "system_id", systemID, "count", n)
		left := n
		first := func(*queue.Delivery, time.Time) bool { left--; return left >= 0 }
		if err := t.giveUp(ctx, systemID, first, queue.CauseRemoved, removedReason(systemID)); err != nil {
			return err
		}
		if left > 0 {
			return fmt.Errorf("%d of %d messages in his queue did not come", left, n)
		}
		if _, ok := t.owner(systemID); ok {
			break
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.removed, systemID)
	if e := t.esmes[systemID]; e != nil && len(e.sessions) > 0 {
		e.start()
	}
	return nil
}

// removeEmpty removes the queue of a user who was removed, unless another one has his system_id; n is what is in the queue, which
// is then left alone.
func (t *SMPPS) removeEmpty(ctx context.Context, systemID string) (n int, err error) {
	t.moveOrRemove.Lock()
	defer t.moveOrRemove.Unlock()
	name := queue.ESME(systemID)
	if n, err = t.broker.Length(ctx, name); err != nil && !errors.Is(err, queue.ErrNoQueue) {
		return 0, err
	}
	if _, ok := t.owner(systemID); ok || n > 0 {
		return n, nil
	}
	if err := t.broker.Delete(ctx, name); err != nil {
		return 0, err
	}
	t.forget(map[string]struct{}{systemID: {}})
	return 0, nil
}

// intoQueues is the journal by which messages move into the queues of ESMEs. No queue is removed while some are on their way.
type intoQueues struct {
	journal.Journal
	moveOrRemove *sync.RWMutex
}

// Commit commits an entry.
func (j intoQueues) Commit(ctx context.Context, e *journal.Entry) error {
	j.moveOrRemove.RLock()
	defer j.moveOrRemove.RUnlock()
	return j.Journal.Commit(ctx, e)
}

// candidates are the ESMEs that may have something waiting.
func (t *SMPPS) candidates() []string {
	ids := make(map[string]struct{})
	for _, id := range t.known() {
		ids[id] = struct{}{}
	}
	t.mu.Lock()
	for id := range t.declared {
		ids[id] = struct{}{}
	}
	t.mu.Unlock()
	return slices.Sorted(maps.Keys(ids))
}

const (
	sweepMax  = 64          // messages that one journal entry gives up
	sweepWait = time.Second // for the first message of a queue that should have one
)

// sweep gives up what was held too long by one ESME who is not bound. It stops at the first
// message that was not: those behind it are younger. The queue is left alone then until that one is due, since each look gives back
// what it took, and a broker may be told to count that. Nor is a queue asked for again and again that is not there, which
// the broker notes as an error.
func (t *SMPPS) sweep(ctx context.Context, systemID string) error {
	if time.Now().Before(t.looked[systemID]) || t.isAbsent(systemID) {
		return nil
	}
	release := t.claim(systemID)
	if release == nil {
		return nil
	}
	defer release()
	name := queue.ESME(systemID)
	n, err := t.broker.Length(ctx, name)
	if errors.Is(err, queue.ErrNoQueue) {
		t.absent[systemID] = struct{}{}
		t.forget(map[string]struct{}{systemID: {}})
		return nil
	}
	if err != nil || n == 0 {
		return err
	}
	return t.giveUp(ctx, systemID, t.tooOld, queue.CauseHeld, t.tooOldReason())
}

// giveUp makes dead letters of the messages at the head of a queue that are to be given up, up to the first that is not.
func (t *SMPPS) giveUp(ctx context.Context, systemID string, which func(*queue.Delivery, time.Time) bool, cause queue.Cause, why string) error {
	c, err := t.broker.Consume(ctx, queue.ESME(systemID), sweepMax)
	if err != nil {
		return err
	}
	defer c.Close(context.WithoutCancel(ctx)) //nolint:errcheck // what was not settled comes again, whatever it says
	for more := true; more; {
		var batch []*outcome
		batch, more = t.gather(ctx, c, systemID, which)
		// A delivery is settled before its subscription is closed, or comes again.
		var settled sync.WaitGroup
		for _, o := range batch {
			if o.kind == dead {
				o.cause, o.why = cause, why
			}
			settled.Add(1)
			o.settled = &settled
			t.settle.Post(o)
		}
		settled.Wait()
	}
	return nil
}

// gather takes up to sweepMax messages that are to be given up. There are no more when nothing came in time, or one that is not to be given up.
func (t *SMPPS) gather(ctx context.Context, c queue.Consumer, systemID string, which func(*queue.Delivery, time.Time) bool) (batch []*outcome, more bool) {
	timeout := time.NewTimer(sweepWait)
	defer timeout.Stop()
	for len(batch) < sweepMax {
		select {
		case d, ok := <-c.C():
			if !ok {
				return batch, false
			}
			hold, known := t.hands.take(d)
			switch now := time.Now(); {
			case known == waits:
			case known == already:
				batch = append(batch, &outcome{d: d, kind: repeated})
			case which(d, now):
				batch = append(batch, &outcome{d: d, hold: hold, kind: dead})
			default:
				t.hands.drop(hold)
				t.looked[systemID] = t.heldUntil(d, now)
				return batch, false
			}
		case <-timeout.C:
			return batch, len(batch) > 0
		case <-ctx.Done():
			return batch, false
		}
	}
	return batch, true
}

// isAbsent tells whether a queue was not there at the last look and was not declared since.
func (t *SMPPS) isAbsent(systemID string) bool {
	if _, ok := t.absent[systemID]; !ok {
		return false
	}
	t.mu.Lock()
	_, declared := t.declared[systemID]
	t.mu.Unlock()
	if declared {
		delete(t.absent, systemID)
	}
	return !declared
}

// claim keeps a queue from being served while it is looked through, so that nobody gets what
// is behind the messages that the sweeper holds; nil: it is being served.
func (t *SMPPS) claim(systemID string) (release func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.esmes[systemID]; e != nil && (e.running || !t.isRemoved(systemID)) {
		return nil
	}
	done := make(chan struct{})
	t.swept[systemID] = done
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.swept, systemID)
		close(done)
	}
}

// awaitSweep waits until the sweeper has let go of a queue; false: ctx ended first.
func (t *SMPPS) awaitSweep(ctx context.Context, systemID string) bool {
	t.mu.Lock()
	done := t.swept[systemID]
	t.mu.Unlock()
	if done == nil {
		return ctx.Err() == nil
	}
	select {
	case <-done:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
