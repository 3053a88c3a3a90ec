package connector

import (
	"sync"

	"jasmind/internal/queue"
)

// subscription is one subscription to the connector's queue and what came from it.
type subscription struct {
	consumer queue.Consumer
	prefetch int
	out      gauge         // messages taken and not settled
	ended    chan struct{} // closed when no more is taken from it: what is not sent yet goes back
	wake     chan struct{} // of capacity 1: there may be something in again

	// With strict_order, one message is under way at a time: over gets nil when it is over, else the attempt to make next.
	over  chan *attempt
	mu    sync.Mutex
	done  bool     // nobody reads over any more
	again []queued // waited for another delivery of the same attempt, and are to be taken in hand now
}

func newSubscription(c queue.Consumer, prefetch int) *subscription {
	return &subscription{consumer: c, prefetch: prefetch, over: make(chan *attempt, 1), ended: make(chan struct{}), wake: make(chan struct{}, 1)}
}

// finish notes that a message is settled, or, with next, that it is to be sent again before any other; false: nobody takes next any
// more, and the message goes back to its queue.
func (sub *subscription) finish(strict bool, next *attempt) (taken bool) {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	if strict && !sub.done {
		sub.over <- next // there is room: only one is under way
		if next != nil {
			return true
		}
	}
	sub.out.add(-1)
	return next == nil
}

// retake has a message taken in hand that waited for another delivery of it. When nothing more is taken, it goes back to its queue.
func (sub *subscription) retake(q queued) {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	select {
	case <-sub.ended:
		sub.out.add(-1)
		return
	default:
	}
	sub.again = append(sub.again, q)
	select {
	case sub.wake <- struct{}{}:
	default:
	}
}

// retaken gives what retake was told of.
func (sub *subscription) retaken() []queued {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	qs := sub.again
	sub.again = nil
	return qs
}

// end lets nothing more be taken from it.
func (sub *subscription) end() {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	close(sub.ended)
	sub.out.add(-len(sub.again))
}

// close lets finish find that nobody reads over any more, and gives what was to be sent again, nil for nothing.
func (sub *subscription) close() *attempt {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	sub.done = true
	select {
	case next := <-sub.over:
		return next
	default:
		return nil
	}
}

// gauge counts messages that were taken and are not settled yet.
type gauge struct {
	mu   sync.Mutex
	n    int
	idle chan struct{} // closed when n becomes 0; nil when nobody waits
}

func (g *gauge) add(n int) {
	g.mu.Lock()
	g.n += n
	if g.n == 0 && g.idle != nil {
		close(g.idle)
		g.idle = nil
	}
	g.mu.Unlock()
}

// empty gives a channel that is closed when nothing is left.
func (g *gauge) empty() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.n == 0 {
		c := make(chan struct{})
		close(c)
		return c
	}
	if g.idle == nil {
		g.idle = make(chan struct{})
	}
	return g.idle
}
