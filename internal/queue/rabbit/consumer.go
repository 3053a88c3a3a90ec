package rabbit

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"jasmind/internal/queue"
)

const (
	maxPrefetch  = 65535 // basic.qos counts in 16 bits
	resumePause  = 500 * time.Millisecond
	delayRetry   = time.Second // pause when a delay bucket takes nothing
	cancelNotice = 8
)

// consumer is a subscription that outlives connections. Each connection, and each
// cancellation by the broker, begins a new feed.
type consumer struct {
	b        *Broker
	name     queue.Name
	prefetch int
	out      chan *queue.Delivery // unbuffered: what waits here when a connection ends is not delivered stale

	once  sync.Once
	stop  chan struct{} // closed by halt
	done  chan struct{} // closed when run has returned
	renew chan struct{} // of capacity 1: begin a new feed, see redeclare
}

// Consume subscribes to a queue. The consumer resumes by itself after reconnections and
// when the broker cancels it (a queue that Declare made and somebody deleted is declared
// again). Of a queue with lanes the broker hands up to prefetch messages of the lowest and
// twice as many of each higher lane to this process; C gives no more than prefetch of
// them unsettled, the highest first.
//
// ErrNoQueue if the queue does not exist; ErrUnavailable if the connection is down and the
// queue is not known from Declare.
func (b *Broker) Consume(ctx context.Context, name queue.Name, prefetch int) (queue.Consumer, error) {
	if prefetch < 1 || prefetch > maxPrefetch {
		return nil, fmt.Errorf("consume %s: prefetch %d is not between 1 and %d", name, prefetch, maxPrefetch)
	}
	c := &consumer{b: b, name: name, prefetch: prefetch, out: make(chan *queue.Delivery),
		stop: make(chan struct{}), done: make(chan struct{}), renew: make(chan struct{}, 1)}
	// Look first, so that a missing queue is the caller's error. One that is known is consumed
	// whenever it can be, also when the connection is just going down.
	if !b.topology.has(name) || b.con.current() != nil {
		if _, err := b.Length(ctx, name); err != nil && (ctx.Err() != nil || !b.topology.has(name) || !(errors.Is(err, queue.ErrNoQueue) || errors.Is(err, queue.ErrUnavailable))) {
			return nil, err
		}
	} else if b.isClosed() {
		return nil, queue.ErrClosed
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state == StateClosed {
		return nil, queue.ErrClosed
	}
	b.consumers[c] = struct{}{}
	b.wg.Go(c.run)
	return c, nil
}

// C gives the deliveries.
func (c *consumer) C() <-chan *queue.Delivery { return c.out }

// Close ends the subscription and gives back what was not settled.
func (c *consumer) Close(ctx context.Context) error {
	c.halt()
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("close the consumer of %s: %w", c.name, context.Cause(ctx))
	}
}

func (c *consumer) halt() { c.once.Do(func() { close(c.stop) }) }

func (c *consumer) stopped() bool {
	select {
	case <-c.stop:
		return true
	default:
		return false
	}
}

// run subscribes, passes on, and again, until halt or until the queue is gone for good.
func (c *consumer) run() {
	defer func() {
		c.b.mu.Lock()
		delete(c.b.consumers, c)
		c.b.mu.Unlock()
		close(c.out)
		close(c.done)
	}()
	told := false
	for !c.stopped() {
		s, changed, _ := c.b.con.change()
		if s == nil {
			c.wait(changed, nil)
			continue
		}
		select {
		case <-c.renew: // which is what happens here
		default:
		}
		f, err := c.subscribe(s)
		if err == nil {
			told = false
			began := time.Now()
			f.pump(c)
			f.close()
			if !c.stopped() && !s.conn.IsClosed() {
				c.b.log.Warn("consumer was ended by the broker, subscribing again", "queue", string(c.name), "err", f.reason)
				if time.Since(began) < resumePause {
					c.wait(changed, time.After(resumePause)) // whatever it is, not in a tight loop
				}
			}
			continue
		}
		if errors.Is(err, queue.ErrNoQueue) {
			if !c.b.topology.has(c.name) {
				c.b.log.Warn("queue is gone, its consumer ends", "queue", string(c.name))
				return
			}
			ctx, cancel := context.WithTimeout(context.Background(), c.b.cfg.ConfirmTimeout)
			err = c.b.redeclare(ctx, c.name)
			cancel()
			if err == nil {
				continue
			}
		}
		if !told && !c.stopped() && !s.conn.IsClosed() {
			told = true
			c.b.log.Warn("cannot consume, trying on", "queue", string(c.name), "err", err)
		}
		c.wait(changed, time.After(resumePause))
	}
}

func (c *consumer) wait(changed <-chan struct{}, pause <-chan time.Time) {
	select {
	case <-changed:
	case <-pause:
	case <-c.stop:
	}
}

// feed is one channel that consumes: its deliveries can be settled while it lives.
type feed struct {
	b       *Broker
	ch      *amqp.Channel
	sources []<-chan amqp.Delivery // the highest priority first
	closes  <-chan *amqp.Error
	cancels <-chan string
	reason  error         // why pump ended, if the broker closed the channel
	room    chan struct{} // with several sources: a slot per unsettled delivery; else nil
	expect  []int         // per source: what was ready when it began and has not come yet
	settled time.Time     // until then a lower priority waits for what expect says of higher ones

	early     chan *queue.Delivery // not due yet, see delayAgain; nil until the first one
	stopEarly context.CancelFunc
	wg        sync.WaitGroup

	settling
}

func (c *consumer) subscribe(s *session) (*feed, error) {
	ch, err := s.conn.Channel()
	if err != nil {
		return nil, fmt.Errorf("open channel: %w", err)
	}
	f := &feed{b: c.b, ch: ch}
	f.idle.L = &f.mu
	f.closes = ch.NotifyClose(make(chan *amqp.Error, 1))
	f.cancels = ch.NotifyCancel(make(chan string, cancelNotice))
	lanes := c.b.laneNames(c.name)
	f.runs = len(lanes) == 1
	if !f.runs {
		f.room = make(chan struct{}, c.prefetch)
	}
	if err := f.consume(lanes, c.prefetch); err != nil {
		_ = ch.Close() // closed by the error already, mostly
		return nil, err
	}
	return f, nil
}

// laneStart is how long a lower lane waits, at most, for higher ones that have messages.
const laneStart = 200 * time.Millisecond

func (f *feed) consume(lanes []string, prefetch int) error {
	for i, lane := range lanes {
		n := prefetch
		if i < len(lanes)-1 {
			// As many again as the caller may hold: else the lane below would get a turn
			// whenever the next message of this one is on its way here.
			n = min(2*prefetch, maxPrefetch)
		}
		if err := f.ch.Qos(n, 0, false); err != nil {
			return fmt.Errorf("basic.qos: %w", err)
		}
		q, err := f.ch.QueueDeclarePassive(lane, true, false, false, false, nil)
		if err != nil {
			return missing(lane, err)
		}
		d, err := f.ch.Consume(lane, "", false, false, false, false, nil)
		if err != nil {
			return missing(lane, err)
		}
		f.sources = append(f.sources, d)
		f.expect = append(f.expect, min(q.Messages, n))
	}
	f.settled = time.Now().Add(laneStart)
	return nil
}

// pump passes deliveries on until the consumer stops, the broker cancels it or the channel ends.
func (f *feed) pump(c *consumer) {
	for {
		if f.room != nil {
			select {
			case f.room <- struct{}{}:
			case <-c.stop:
				return
			case e := <-f.closes:
				f.ended(e)
				return
			case <-f.cancels:
				return
			case <-c.renew:
				return
			}
		}
		d, ok := f.next(c)
		if !ok {
			return
		}
		m, due := decode(&d, c.name)
		t := &tracked{Delivery: m, feed: f, tag: d.DeliveryTag}
		t.Handle = t
		f.add(t.tag)
		if !due.IsZero() && time.Until(due) > 0 {
			if !f.putEarly(c, t, due) {
				return
			}
			continue
		}
		select {
		case c.out <- &t.Delivery:
		case <-c.stop:
			return
		case e := <-f.closes:
			f.ended(e)
			return
		case <-f.cancels:
			return
		case <-c.renew:
			return
		}
	}
}

// ended keeps the reason that the broker gave for closing the channel.
func (f *feed) ended(e *amqp.Error) {
	if e != nil {
		f.reason = e
	}
}

// next takes the next delivery, of the highest priority that is here.
func (f *feed) next(c *consumer) (amqp.Delivery, bool) {
	for i, s := range f.sources[:len(f.sources)-1] {
		select {
		case d, ok := <-s:
			f.expect[i]--
			return d, ok
		default:
		}
		if wait := time.Until(f.settled); f.expect[i] > 0 && wait > 0 {
			t := time.NewTimer(wait)
			select {
			case d, ok := <-s:
				t.Stop()
				f.expect[i]--
				return d, ok
			case <-t.C:
			case <-c.stop:
				t.Stop()
				return amqp.Delivery{}, false
			}
		}
	}
	var s [maxLanes]<-chan amqp.Delivery
	copy(s[:], f.sources)
	var d amqp.Delivery
	var ok bool
	select {
	case d, ok = <-s[0]:
	case d, ok = <-s[1]:
	case d, ok = <-s[2]:
	case d, ok = <-s[3]:
	case d, ok = <-s[4]:
	case <-c.stop:
	case e := <-f.closes:
		f.ended(e)
	case <-f.cancels:
	case <-c.renew:
	}
	return d, ok
}

// close gives back what is unsettled. Acknowledgements under way are sent first.
func (f *feed) close() {
	if f.stopEarly != nil {
		f.stopEarly()
		f.wg.Wait()
	}
	f.shut()
	// An error is that of a channel or connection which ended by itself: the broker has
	// given everything back then.
	_ = f.ch.Close()
}

// putEarly hands a message that is not due yet to delayAgain.
func (f *feed) putEarly(c *consumer, t *tracked, due time.Time) bool {
	if f.early == nil {
		var ctx context.Context
		ctx, f.stopEarly = context.WithCancel(context.Background())
		f.early = make(chan *queue.Delivery)
		f.wg.Go(func() { f.delayAgain(ctx) })
	}
	t.due = due
	select {
	case f.early <- &t.Delivery:
		return true
	case <-c.stop:
	case e := <-f.closes:
		f.ended(e)
	case <-f.cancels:
	case <-c.renew:
	}
	return false
}

// delayAgain puts messages that came out of a bucket before their time into the next one.
// A repeat is harmless: a copy that is not acknowledged comes again, early or in time, as
// any redelivery does.
func (f *feed) delayAgain(ctx context.Context) {
	for {
		var batch []*queue.Delivery
		select {
		case d := <-f.early:
			batch = append(batch, d)
		case <-ctx.Done():
			return
		}
		for more := true; more && len(batch) < maxBatch; {
			select {
			case d := <-f.early:
				batch = append(batch, d)
			default:
				more = false
			}
		}
		for {
			err := f.b.sendAgain(ctx, batch)
			if err == nil {
				// Stale ones come again by themselves.
				_ = f.b.Ack(ctx, batch...)
				break
			}
			f.b.log.Debug("delay bucket takes nothing", "err", err)
			select {
			case <-time.After(delayRetry):
			case <-ctx.Done():
				return
			}
		}
	}
}

const maxBatch = 256

// sendAgain publishes copies that keep attempts and time due.
func (b *Broker) sendAgain(ctx context.Context, ds []*queue.Delivery) error {
	items := make([]*item, 0, len(ds))
	for _, d := range ds {
		due := d.Handle.(*tracked).due
		it := b.newItem(d.Queue, &d.Message, max(time.Until(due), time.Millisecond), time.Now(), true)
		it.msg = encode(&d.Message, due.Add(-time.Millisecond)) // encode rounds up again
		items = append(items, it)
	}
	return b.send(ctx, items)
}
