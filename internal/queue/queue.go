// Package queue names the durable queues, describes the messages in them and turns the
// gateway's values into such messages and back. Queue names, header names and bodies are
// a public contract, since operators' own consumers bind to them: names.go and the codec
// files of this package are its only home, and docs/amqp.md describes it.
//
// The drivers are queue/pebble (embedded) and queue/rabbit (RabbitMQ); package journal
// describes the effects that must be durable together.
package queue

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// Name is the name of a durable queue.
type Name string

// Message is one entry of a queue.
type Message struct {
	ID          string // message-id: the gateway's msgid, or what names.go says for that queue
	Priority    uint8  // 0 (lowest) to 3; higher ones are delivered first
	ContentType string
	Headers     Headers
	Body        []byte
	// Attempts is how often the message was put back by a Retry (header try-count).
	Attempts int
}

// Publication is a message on its way into a queue.
type Publication struct {
	Queue   Name
	Message Message
	// Key is the routing key, for readers who bind to the exchange; "": the queue's name.
	// The queue must be bound under it. Without an exchange (embedded) it has no meaning.
	Key   string
	After time.Duration // not delivered before this has passed; 0: at once
	// Observers: publish through the topic exchange for observers only; no work queue of
	// ours need exist, and an unroutable one is not an error (submit.sm.resp.<cid>,
	// deliver.sm.<cid>). The embedded driver, which has no observers, drops it.
	Observers bool
}

// Delivery is a message taken from a queue and not yet settled.
type Delivery struct {
	Message
	Queue       Name
	Redelivered bool // it may have been delivered before
	Handle      any  // the driver's own
}

// Retry puts a delivery back. The driver increments Attempts. Without a delay, in a connector's queue (SubmitSM), it comes again
// before what waits behind it, and those put back together keep their order; what a consumer was given
// or has prefetched by then may come first.
type Retry struct {
	Delivery *Delivery
	After    time.Duration
	Headers  Headers // replaces the headers; nil keeps them
}

// Consumer is a subscription to one queue.
type Consumer interface {
	// C gives the deliveries: at most prefetch of them unsettled at any time. It goes on
	// through reconnections of the driver and is closed after Close or when the queue is deleted.
	C() <-chan *Delivery
	// Close ends the subscription and gives back what was not settled, at once. It comes again before what is behind it,
	// in its order, as what a lost connection or a crash gives back does.
	// Settling a delivery after Close fails with ErrStale.
	Close(ctx context.Context) error
}

// Errors that callers branch on.
var (
	// ErrNoQueue: the queue was not declared (or was deleted).
	ErrNoQueue = errors.New("queue does not exist")
	// ErrUnavailable: the broker or the disk cannot take messages now; try again later.
	ErrUnavailable = errors.New("queue service unavailable")
	// ErrBlocked is an ErrUnavailable: the broker has an alarm (memory, disk) and takes nothing, but gives.
	ErrBlocked = fmt.Errorf("%w: the broker has an alarm", ErrUnavailable)
	// ErrNotSent, beside ErrUnavailable or ErrClosed: of what was to be published nothing was sent.
	ErrNotSent = errors.New("nothing was sent")
	// ErrStale: the delivery belongs to a connection or consumer that is gone; the
	// message will be delivered again.
	ErrStale = errors.New("delivery is stale")
	// ErrClosed: the driver was closed.
	ErrClosed = errors.New("queue driver closed")
)

// Unconfirmed is an ErrBlocked after which some of what was to be published may be on its way: the broker reads on when its
// alarm ends.
type Unconfirmed struct {
	Done <-chan struct{}   // closed when the fate of each is known
	Err  func(i int) error // once Done is closed: why the i-th publication, counting retries after them, did not arrive; nil: it did
}

// Error is that of ErrBlocked.
func (*Unconfirmed) Error() string { return ErrBlocked.Error() }

// Unwrap gives ErrBlocked.
func (*Unconfirmed) Unwrap() error { return ErrBlocked }

// Stale tells that a delivery cannot be settled any more, since its consumer or its connection has ended or it was settled; false
// proves nothing. A Handle with a method of this name and type answers.
func (d *Delivery) Stale() bool {
	h, ok := d.Handle.(interface{ Stale() bool })
	return ok && h.Stale()
}

// Key names one attempt of one message: its id, queue and count of attempts.
func (d *Delivery) Key() string {
	return string(d.Queue) + "/" + d.ID + "/" + strconv.Itoa(d.Attempts)
}
