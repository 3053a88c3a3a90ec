package connector

import (
	"context"
	"sync"
	"time"
)

const firstPause = 250 * time.Millisecond

// brake pauses all binds of a connector whose SMSC answers ESME_RTHROTTLED.
//
// The first such answer stops sending for 250 ms, each further one that follows a pause
// doubles that, up to max; an acceptance of something sent after the pause ends the
// doubling. Answers to what was sent before the present pause began say nothing new and
// are ignored, however many a full window brings.
type brake struct {
	mu    sync.Mutex
	gen   uint64 // counts pauses
	until time.Time
	delay time.Duration // of the last pause, 0 after an acceptance
}

// generation is what a part is sent under.
func (b *brake) generation() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.gen
}

// throttled notes a refusal of a part sent under gen and tells how long a pause it
// began, 0 if none.
func (b *brake) throttled(gen uint64, longest time.Duration) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if gen != b.gen {
		return 0
	}
	b.gen++
	b.delay = min(max(2*b.delay, firstPause), max(longest, firstPause))
	b.until = time.Now().Add(b.delay)
	return b.delay
}

// accepted notes the acceptance of a part sent under gen.
func (b *brake) accepted(gen uint64) {
	b.mu.Lock()
	if gen == b.gen {
		b.delay = 0
	}
	b.mu.Unlock()
}

// wait returns true when there is no pause (any more), false when ctx ends or stop is closed.
func (b *brake) wait(ctx context.Context, stop <-chan struct{}) bool {
	for {
		b.mu.Lock()
		until := b.until
		b.mu.Unlock()
		if until.IsZero() {
			return true
		}
		d := time.Until(until)
		if d <= 0 {
			return true
		}
		if !sleep(ctx, stop, d) {
			return false
		}
	}
}

// sleep waits for d, or gives false when ctx ends or stop is closed before.
func sleep(ctx context.Context, stop <-chan struct{}, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-stop:
		return false
	case <-ctx.Done():
		return false
	}
}
