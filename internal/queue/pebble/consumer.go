package pebble

import (
	"context"
	"slices"

	"jasmind/internal/queue"
)

// consumer is a subscription. Its fields are guarded by the line's mu.
type consumer struct {
	line   *line
	ch     chan *queue.Delivery // its capacity is the prefetch
	held   int                  // deliveries not settled, those still in ch included
	closed bool
}

var _ queue.Consumer = (*consumer)(nil)

func (l *line) consume(prefetch int) (*consumer, error) {
	c := &consumer{line: l, ch: make(chan *queue.Delivery, prefetch)}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return nil, queue.ErrClosed
	}
	l.consumers = append(l.consumers, c)
	l.dispatch()
	return c, nil
}

// C gives the deliveries.
func (c *consumer) C() <-chan *queue.Delivery { return c.ch }

// Close gives back what was not settled and closes C. What is being settled at this moment goes on.
func (c *consumer) Close(context.Context) error {
	l := c.line
	l.mu.Lock()
	defer l.mu.Unlock()
	c.end()
	l.dispatch()
	return nil
}

// end takes the consumer out of the line. The line's mu is held.
func (c *consumer) end() {
	if c.closed {
		return
	}
	c.closed = true
	l := c.line
	if i := slices.Index(l.consumers, c); i >= 0 {
		l.consumers = slices.Delete(l.consumers, i, i+1)
	}
	unseen := c.unseen() // and nobody will receive them any more
	close(c.ch)
	for it := l.out.next; it != &l.out; {
		next := it.next
		// A settling one is left to its commit.
		if it.consumer == c && it.state.CompareAndSwap(stateOut, stateStale) {
			l.putBack(it, !unseen[it])
		}
		it = next
	}
}
