package rabbit

import (
	"fmt"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"jasmind/internal/queue"
)

const (
	publisherPending = 2048 // publications of one channel awaiting a confirm
	publisherReopen  = 100 * time.Millisecond
)

// item is one publication on its way.
type item struct {
	exchange, key string
	name          queue.Name // the queue it is meant for
	mandatory     bool
	delayed       bool
	msg           amqp.Publishing

	call     *call
	returned bool  // by the confirm loop of the publisher
	err      error // readable when call is done
}

// finish settles the item; the last one of a call wakes the caller.
func (it *item) finish(err error) {
	it.err = err
	if it.call.left.Add(-1) == 0 {
		close(it.call.done)
	}
}

// publisher is one channel in confirm mode, shared by all callers of Publish. Its writer takes items
// one by one and never waits for a confirm; its confirm loop settles them in order. A
// channel that the broker closed is opened again as long as the connection lives.
type publisher struct {
	b    *Broker
	sess *session
	reqs chan *item // unbuffered: who handed an item over gets it settled

	mu      sync.Mutex // guards pending
	pending []*item    // in order of delivery tag, which the library keeps for confirms
	slots   chan struct{}
}

func newPublisher(b *Broker, s *session) *publisher {
	return &publisher{b: b, sess: s, reqs: make(chan *item), slots: make(chan struct{}, publisherPending)}
}

// open gives a channel in confirm mode.
func (l *publisher) open() (*amqp.Channel, error) {
	ch, err := l.sess.conn.Channel()
	if err != nil {
		return nil, fmt.Errorf("open channel: %w", err)
	}
	if err := ch.Confirm(false); err != nil {
		return nil, fmt.Errorf("confirm.select: %w", err)
	}
	return ch, nil
}

// run uses ch, and reopens it, until the connection ends.
func (l *publisher) run(ch *amqp.Channel) {
	for {
		l.serve(ch)
		select {
		case <-l.sess.closed:
			return
		case <-time.After(publisherReopen):
		}
		l.b.log.Warn("broker closed a publishing channel, opening another")
		// An exchange that somebody deleted closes the channel (404).
		l.b.restoreExchanges()
		var err error
		if ch, err = l.open(); err != nil {
			l.sess.abort(err)
			return
		}
	}
}

func (l *publisher) serve(ch *amqp.Channel) {
	confirms := ch.NotifyPublish(make(chan amqp.Confirmation, publisherPending))
	returns := ch.NotifyReturn(make(chan amqp.Return, 256))
	dead := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { l.writeLoop(ch, dead) })
	l.confirmLoop(confirms, returns)
	close(dead)
	// The writer may be adding one more: it takes that back itself when sending fails.
	wg.Wait()
	l.mu.Lock()
	lost := l.pending
	l.pending = nil
	l.mu.Unlock()
	for _, it := range lost {
		<-l.slots
		it.finish(fmt.Errorf("%w: connection lost before the confirm", queue.ErrUnavailable))
	}
}

func (l *publisher) writeLoop(ch *amqp.Channel, dead <-chan struct{}) {
	for {
		select {
		case l.slots <- struct{}{}:
		case <-dead:
			return
		}
		var it *item
		select {
		case it = <-l.reqs:
		case <-dead:
			<-l.slots
			return
		}
		l.mu.Lock()
		l.pending = append(l.pending, it)
		l.mu.Unlock()
		if err := ch.Publish(it.exchange, it.key, it.mandatory, false, it.msg); err != nil {
			// What cannot be encoded was refused by check, so the connection is at fault.
			if !l.unpublish(it) {
				continue
			}
			it.finish(fmt.Errorf("%w: publish to %s: %w", queue.ErrUnavailable, it.name, err))
		}
	}
}

// unpublish takes back the newest item, which was not sent; false if it was settled.
func (l *publisher) unpublish(it *item) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.pending)
	if n == 0 || l.pending[n-1] != it {
		return false
	}
	l.pending = l.pending[:n-1]
	<-l.slots
	return true
}

// confirmLoop settles items until the channel ends. RabbitMQ sends basic.return before
// the basic.ack of the same message, and the library delivers both from one goroutine, so
// a return is in its Go channel when the confirm arrives here.
func (l *publisher) confirmLoop(confirms <-chan amqp.Confirmation, returns <-chan amqp.Return) {
	for {
		select {
		case r, ok := <-returns:
			if !ok {
				returns = nil
				continue
			}
			l.markReturned(&r)
		case c, ok := <-confirms:
			if !ok {
				return
			}
			for more := returns != nil; more; {
				select {
				case r, ok := <-returns:
					if !ok {
						returns, more = nil, false
						continue
					}
					l.markReturned(&r)
				default:
					more = false
				}
			}
			l.settle(c.Ack)
		}
	}
}

// markReturned marks every waiting item that fits: a return carries no delivery tag. A
// twin that was routed is then published twice, which is harmless, and none is lost.
func (l *publisher) markReturned(r *amqp.Return) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, it := range l.pending {
		if it.key == r.RoutingKey && it.exchange == r.Exchange && it.msg.MessageId == r.MessageId {
			it.returned = true
		}
	}
}

func (l *publisher) settle(ack bool) {
	l.mu.Lock()
	if len(l.pending) == 0 {
		l.mu.Unlock()
		return
	}
	it := l.pending[0]
	l.pending[0] = nil
	l.pending = l.pending[1:]
	l.mu.Unlock()
	<-l.slots
	switch {
	case !ack:
		it.finish(fmt.Errorf("%w: the broker refused a message for %s", queue.ErrUnavailable, it.name))
	case it.returned:
		it.finish(fmt.Errorf("%w: %s", queue.ErrNoQueue, it.name))
	default:
		it.finish(nil)
	}
}
