// Package rabbit is the queue driver for RabbitMQ: durable queues, persistent messages,
// publisher confirms, and consumers that survive the broker.
//
// It is no general AMQP client: it knows the exchanges and queues of docs/amqp.md and
// nothing else. Two connections carry the traffic, one for publishing and one for
// consuming and declaring, because RabbitMQ stops reading from a connection that
// publishes while one of its alarms is on. Both are redialled with backoff, and consumers
// resume by themselves.
//
//	b, err := rabbit.Open(ctx, rabbit.Config{Host: "127.0.0.1", Port: 5672, User: "guest", Password: "guest"})
//	err = b.Declare(ctx, queue.SubmitSM("smppcc"))
//	err = b.Publish(ctx, queue.Publication{Queue: queue.SubmitSM("smppcc"), Message: m}) // nil: on disk
//	c, err := b.Consume(ctx, queue.SubmitSM("smppcc"), 100)
//	for d := range c.C() { ...; err = b.Ack(ctx, d) }
//
// RabbitMQ does not confirm acknowledgements, so an acknowledged message can come back
// (marked redelivered) after a connection was lost; package journal/services recognises it.
package rabbit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"jasmind/internal/queue"
)

// State says what a Broker can do now.
type State int32

// The states. Only StateUp takes publications.
const (
	StateDown    State = iota // a connection is away, it is being redialled
	StateUp                   // both connections are there
	StateBlocked              // the broker has an alarm (memory, disk) and takes nothing
	StateClosed               // after Close
)

// String is a lower-case word for logs.
func (s State) String() string {
	switch s {
	case StateDown:
		return "down"
	case StateUp:
		return "up"
	case StateBlocked:
		return "blocked"
	case StateClosed:
		return "closed"
	}
	return "unknown"
}

// Broker is a client of one virtual host. Its methods may be called concurrently.
type Broker struct {
	cfg    Config
	log    *slog.Logger
	vhost  string
	cancel context.CancelFunc // ends the links
	wg     sync.WaitGroup     // links and consumers

	pub, con      *link
	topology      topology
	nextPublisher atomic.Uint32

	mu        sync.Mutex // guards the following
	state     State
	consumers map[*consumer]struct{}

	notify sync.Mutex // orders calls of OnStateChange
}

// closeTimeout bounds Close.
const closeTimeout = 5 * time.Second

// Open connects and declares exchanges and delay buckets. It keeps trying until ctx ends;
// what trying again cannot change (credentials refused, a queue or exchange of ours that
// exists with other arguments: ErrArguments; a virtual host that is owned: ErrOwned) is returned at once.
func Open(ctx context.Context, cfg Config) (*Broker, error) {
	cfg = cfg.withDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	target, err := cfg.target()
	if err != nil {
		return nil, err
	}
	life, cancel := context.WithCancel(context.Background())
	b := &Broker{cfg: cfg, log: cfg.Logger, vhost: target.vhost, cancel: cancel,
		consumers: make(map[*consumer]struct{})}
	b.topology.declared, b.topology.older = make(map[queue.Name]struct{}), make(map[string]struct{})
	b.con = newLink("consume", b, target, b.setUpConsume)
	b.pub = newLink("publish", b, target, b.setUpPublish)
	for _, l := range []*link{b.con, b.pub} {
		b.wg.Go(func() { l.run(life) })
	}
	for _, l := range []*link{b.con, b.pub} {
		if err := l.waitFirst(ctx); err != nil {
			_ = b.Close() // the reason to give up is err
			return nil, fmt.Errorf("open RabbitMQ %s: %w", target.shown, err)
		}
	}
	return b, nil
}

// State gives the state now.
func (b *Broker) State() State {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state
}

// Healthy is nil when publications are taken, else an error that wraps
// queue.ErrUnavailable (or queue.ErrClosed) and says why.
func (b *Broker) Healthy() error {
	switch s := b.State(); s {
	case StateUp:
		return nil
	case StateClosed:
		return queue.ErrClosed
	case StateBlocked:
		return queue.ErrBlocked
	default:
		return fmt.Errorf("%w: RabbitMQ is %s", queue.ErrUnavailable, s)
	}
}

// refreshState derives the state from the links, logs and announces a change.
func (b *Broker) refreshState() {
	b.notify.Lock()
	defer b.notify.Unlock()
	pub, con := b.pub.current(), b.con.current()
	next := StateDown
	if pub != nil && con != nil {
		next = StateUp
		if pub.isBlocked() {
			next = StateBlocked
		}
	}
	b.mu.Lock()
	if b.state == StateClosed || b.state == next {
		b.mu.Unlock()
		return
	}
	b.state = next
	b.mu.Unlock()
	b.announce(next)
}

func (b *Broker) announce(s State) {
	level := slog.LevelInfo
	if s == StateDown || s == StateBlocked {
		level = slog.LevelWarn
	}
	b.log.Log(context.Background(), level, "broker state", "status", s.String())
	if b.cfg.OnStateChange != nil {
		b.cfg.OnStateChange(s)
	}
}

// Close ends consumers (what they have not settled goes back at once) and both
// connections. Publications still waiting for a confirm fail. A broker that does not answer
// is waited for closeTimeout. A second Close does nothing.
func (b *Broker) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	b.mu.Lock()
	if b.state == StateClosed {
		b.mu.Unlock()
		b.wg.Wait()
		return nil
	}
	b.state = StateClosed
	open := make([]*consumer, 0, len(b.consumers))
	for c := range b.consumers {
		open = append(open, c)
	}
	b.mu.Unlock()
	var errs []error
	for _, c := range open {
		if err := c.Close(ctx); err != nil {
			errs = append(errs, err)
		}
	}
	var closing sync.WaitGroup
	for _, l := range []*link{b.pub, b.con} {
		if s := l.current(); s != nil {
			closing.Go(func() { s.close(ctx) })
		}
	}
	closing.Wait()
	b.cancel()
	b.wg.Wait()
	b.notify.Lock()
	defer b.notify.Unlock()
	b.announce(StateClosed)
	return errors.Join(errs...)
}

func (b *Broker) isClosed() bool { return b.State() == StateClosed }
