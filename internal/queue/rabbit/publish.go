package rabbit

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"jasmind/internal/queue"
)

// blockedGrace is how long a publication that was under way when the broker raised an
// alarm may still be confirmed.
const blockedGrace = time.Second

// errConfirm is the cause when ConfirmTimeout ends a wait.
var errConfirm = errors.New("no confirm in time")

// call is a set of items whose sender waits for all of them.
type call struct {
	left atomic.Int32
	done chan struct{}
}

// Publish makes messages durable for somebody who waits for an answer: nil means that the broker has confirmed each of
// them, on a queue that exists. Calls share channels, and none waits for another's confirm. The
// messages must not be changed before it returns. It waits for ConfirmTimeout at most.
//
// Errors wrap queue.ErrNoQueue (unroutable; a queue that Declare made and somebody deleted
// is declared again instead), queue.ErrUnavailable (connection down, broker silent; what was sent before that may be
// stored nevertheless), queue.ErrBlocked (likewise, for an alarm; of a call that was under way it is a *queue.Unconfirmed) or queue.ErrClosed; beside one of these
// queue.ErrNotSent says that nothing was sent. Any
// other error means that AMQP cannot carry a message, and nothing was sent.
func (b *Broker) Publish(ctx context.Context, pubs ...queue.Publication) error {
	ctx, cancel := context.WithTimeoutCause(ctx, b.cfg.ConfirmTimeout, errConfirm)
	defer cancel()
	return b.Send(ctx, pubs, nil)
}

// Send publishes pubs, and the copies of what is to be retried, in one go as Publish does, for what was
// done already and would be done again without it: it waits for the confirms as long as the channel lives and ctx does
// not end. A silent broker ends the channel by its heartbeat.
// It acknowledges nothing: the deliveries of retries are to be given to Ack afterwards.
func (b *Broker) Send(ctx context.Context, pubs []queue.Publication, retries []queue.Retry) error {
	if len(pubs)+len(retries) == 0 {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%w: publish: %w", queue.ErrUnavailable, context.Cause(ctx))
	}
	now := time.Now()
	items := make([]*item, 0, len(pubs)+len(retries))
	for i := range pubs {
		p := &pubs[i]
		if err := check(p.Queue, &p.Message); err != nil {
			return err
		}
		if p.After > 0 && !p.Observers && !b.topology.has(p.Queue) {
			// A bucket takes it whatever becomes of it afterwards, so ask.
			if _, err := b.Length(ctx, p.Queue); err != nil {
				return err
			}
		}
		it := b.newItem(p.Queue, &p.Message, p.After, now, !p.Observers)
		if p.Key != "" && !it.delayed {
			it.key = p.Key
		}
		items = append(items, it)
	}
	for i := range retries {
		m := retries[i].Delivery.Message
		if retries[i].Headers != nil {
			m.Headers = retries[i].Headers
		}
		m.Attempts++
		if err := check(retries[i].Delivery.Queue, &m); err != nil {
			return err
		}
		it := b.newItem(retries[i].Delivery.Queue, &m, retries[i].After, now, true)
		if lane, ok := backName(it.name); ok && !it.delayed {
			it.key = lane
		}
		items = append(items, it)
	}
	return b.send(ctx, items)
}

// Retry puts deliveries back: each copy, with Attempts one higher, is confirmed in its
// queue or in a delay bucket, then the delivery is acknowledged. A stale delivery gives
// queue.ErrStale and is not copied, since it comes again by itself.
func (b *Broker) Retry(ctx context.Context, rs ...queue.Retry) error {
	live := make([]queue.Retry, 0, len(rs))
	ds := make([]*queue.Delivery, 0, len(rs))
	for _, r := range rs {
		if t, ok := r.Delivery.Handle.(*tracked); ok && t.feed.isOpen(t.tag) {
			live = append(live, r)
			ds = append(ds, r.Delivery)
		}
	}
	err := b.Send(ctx, nil, live)
	if err == nil {
		err = b.Ack(ctx, ds...)
	}
	if err == nil && len(live) < len(rs) {
		err = queue.ErrStale
	}
	return err
}

func (b *Broker) newItem(name queue.Name, m *queue.Message, after time.Duration, now time.Time, mandatory bool) *item {
	it := &item{name: name, key: b.laneName(name, m.Priority), exchange: exchangeOf(name), mandatory: mandatory}
	var due time.Time
	if after > 0 && mandatory {
		due = now.Add(after)
		it.exchange, it.delayed = bucketFor(after).exchange, true
	}
	it.msg = encode(m, due)
	return it
}

func (b *Broker) send(ctx context.Context, items []*item) error {
	if _, err := b.sending(); err != nil {
		return fmt.Errorf("%w: %w", queue.ErrNotSent, err)
	}
	if err := b.attempt(ctx, items); err != nil {
		return err
	}
	var missing []*item
	for _, it := range items {
		if it.err == nil {
			continue
		}
		if !errors.Is(it.err, queue.ErrNoQueue) || !b.topology.has(it.name) {
			return it.err
		}
		missing = append(missing, it)
	}
	if missing == nil {
		return nil
	}
	for _, it := range missing {
		if err := b.redeclare(ctx, it.name); err != nil {
			return err
		}
		it.err, it.returned = nil, false
	}
	if err := b.attempt(ctx, missing); errors.Is(err, queue.ErrBlocked) {
		return queue.ErrBlocked // what it says is not of these items alone
	} else if err != nil {
		return err
	}
	for _, it := range missing {
		if it.err != nil {
			return it.err
		}
	}
	return nil
}

// sending gives the session that publications go out on, or why there is none.
func (b *Broker) sending() (*session, error) {
	if s := b.pub.current(); s != nil && !s.isBlocked() {
		return s, nil
	}
	if err := b.Healthy(); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("%w: the connection to RabbitMQ is down", queue.ErrUnavailable)
}

// attempt hands items to a publisher and waits. With an error the items belong to the publisher
// still and must not be read.
func (b *Broker) attempt(ctx context.Context, items []*item) error {
	s, err := b.sending()
	if err != nil {
		return err
	}
	blocked := s.blockedC()
	c := &call{done: make(chan struct{})}
	c.left.Store(int32(len(items)))
	main := s.publishers[int(b.nextPublisher.Add(1)%64)%len(s.publishers)]
	for i, it := range items {
		it.call = c
		l := main
		if it.delayed {
			l = s.delayed
		}
		select {
		case l.reqs <- it:
			continue
		case <-ctx.Done():
		case <-s.closed:
		case <-blocked:
		}
		for _, rest := range items[i:] {
			rest.call = c
			rest.finish(b.notSent(ctx))
		}
		break
	}
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
		return b.notSent(ctx)
	case <-blocked:
	}
	grace := time.NewTimer(blockedGrace)
	defer grace.Stop()
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
	case <-grace.C:
	}
	if ctx.Err() != nil || b.isClosed() {
		return b.notSent(ctx)
	}
	return &queue.Unconfirmed{Done: c.done, Err: func(i int) error { return items[i].err }}
}

func (b *Broker) notSent(ctx context.Context) error {
	if b.isClosed() {
		return queue.ErrClosed
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%w: publish: %w", queue.ErrUnavailable, context.Cause(ctx))
	}
	if b.State() == StateBlocked {
		return queue.ErrBlocked
	}
	return fmt.Errorf("%w: RabbitMQ is %s", queue.ErrUnavailable, b.State())
}
