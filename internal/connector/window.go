package connector

import (
	"context"
	"sync"
)

// window counts the parts of one bind that are in flight or answered and not yet settled.
// One goroutine, the bind's sender, acquires; any may release. The limit may change while
// it is in use: a lower one takes effect as places become free.
type window struct {
	mu    sync.Mutex
	limit int
	used  int
	wake  chan struct{} // tells the sender to look again
}

func newWindow(limit int) *window { return &window{limit: limit, wake: make(chan struct{}, 1)} }

// acquire takes a place, or gives false when ctx ends or stop is closed.
func (w *window) acquire(ctx context.Context, stop <-chan struct{}) bool {
	for {
		w.mu.Lock()
		if w.used < w.limit {
			w.used++
			w.mu.Unlock()
			return true
		}
		w.mu.Unlock()
		select {
		case <-w.wake:
		case <-stop:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

func (w *window) release(n int) {
	if n == 0 {
		return
	}
	w.mu.Lock()
	w.used -= n
	w.mu.Unlock()
	w.poke()
}

func (w *window) setLimit(n int) {
	w.mu.Lock()
	w.limit = n
	w.mu.Unlock()
	w.poke()
}

func (w *window) poke() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}
