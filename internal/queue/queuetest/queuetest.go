// Package queuetest holds the contract that every queue driver keeps: one set of tests, run over the
// embedded driver and over RabbitMQ.
//
//	func TestContract(t *testing.T) {
//		queuetest.Run(t, func(t *testing.T) queuetest.Instance { ... })
//	}
//
// No test depends on how fast a driver is: an event is waited for until Patience ends, and a time is
// only ever asserted as a lower bound.
package queuetest

import (
	"context"
	"testing"
	"time"

	"jasmind/internal/queue"
)

// Driver is what a queue driver offers to the gateway.
type Driver interface {
	// Declare makes the queues that do not exist yet, durable.
	Declare(ctx context.Context, names ...queue.Name) error
	// Delete removes a queue and what is in it; its consumers end. One that does not exist is no error.
	Delete(ctx context.Context, name queue.Name) error
	// Purge drops what is ready for delivery and tells how many messages that were. What is
	// delivered and not settled stays.
	Purge(ctx context.Context, name queue.Name) (int, error)
	// Length counts the messages that are ready for delivery. A driver may count delayed ones too.
	Length(ctx context.Context, name queue.Name) (int, error)
	// Publish returns nil when every message is durable.
	Publish(ctx context.Context, ps ...queue.Publication) error
	// Consume subscribes to a queue, with at most prefetch deliveries unsettled.
	Consume(ctx context.Context, name queue.Name, prefetch int) (queue.Consumer, error)
	// Ack takes deliveries out of their queue. ErrStale when one of them is settled already or its
	// consumer is gone; the others are acknowledged.
	Ack(ctx context.Context, ds ...*queue.Delivery) error
	// Retry puts deliveries back, each counted as one more attempt. Errors as for Ack.
	Retry(ctx context.Context, rs ...queue.Retry) error
	// Close ends all consumers, which gives back what they hold, and refuses what comes later with
	// ErrClosed.
	Close() error
}

// Instance is one driver under test, with queues of its own (a directory, a virtual host).
type Instance struct {
	Driver
	// Reopen closes the driver and gives a new one on the same queues, as a restart of the gateway does.
	Reopen func(t *testing.T) Driver
}

// Patience is how long an event is waited for before it counts as missing.
const Patience = 2 * time.Minute

// Run runs the contract. open makes a fresh instance without queues and cleans it up with t.Cleanup.
func Run(t *testing.T, open func(t *testing.T) Instance) {
	for _, c := range []struct {
		name string
		test func(*env)
	}{
		{"a message comes out as it went in", testRoundTrip},
		{"a confirmed message is there after a restart", testDurable},
		{"an acknowledged message is gone after a restart", testAckDurable},
		{"an unsettled message comes again after a restart, marked", testUnsettledAfterRestart},
		{"what was not delivered comes unmarked after a restart", testUndeliveredAfterRestart},
		{"declaring twice changes nothing", testDeclareTwice},
		{"a queue that was not declared is ErrNoQueue", testNoQueue},
		{"a publication for observers needs no queue", testObservers},
		{"higher priorities come first, in order inside one", testPriorities},
		{"a priority above 3 is refused or counts as 3", testPriorityBound},
		{"no more than prefetch are unsettled", testPrefetch},
		{"a settled delivery cannot be settled again", testSettleTwice},
		{"a waiting consumer is woken", testWakes},
		{"a closed consumer gives back, in order and marked", testConsumerClose},
		{"what is given back comes before what is behind it, each time", testGivenBackInPlace},
		{"settling after the consumer's close is stale", testStale},
		{"consumers share a queue", testShare},
		{"a retry counts, waits and replaces headers", testRetry},
		{"a retry without delay keeps the headers", testRetryNow},
		{"a retry without delay comes before what is behind it", testRetryInPlace},
		{"a retry survives a restart", testRetryDurable},
		{"a delayed message waits and holds up nobody", testDelayed},
		{"a purge drops what is ready and leaves what is delivered", testPurge},
		{"a deleted queue ends its consumers and is gone", testDelete},
		{"queues do not mix", testIsolation},
		{"each message once under concurrent load", testConcurrent},
		{"a backlog larger than any window is delivered in order", testBacklog},
		{"what is given back thirty times is there still, or a dead letter", testGivenBack},
		{"an ended context refuses", testContext},
		{"a closed driver refuses and ends its consumers", testClose},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := open(t)
			c.test(&env{T: t, d: in.Driver, reopen: in.Reopen, ctx: t.Context()})
		})
	}
}

// RunGivenBack runs the case of the contract that a policy of the broker bears upon.
func RunGivenBack(t *testing.T, in Instance) {
	testGivenBack(&env{T: t, d: in.Driver, reopen: in.Reopen, ctx: t.Context()})
}

// env is one running test.
type env struct {
	*testing.T
	d      Driver
	reopen func(*testing.T) Driver
	ctx    context.Context
}

func (e *env) declare(names ...queue.Name) {
	e.Helper()
	e.must(e.d.Declare(e.ctx, names...))
}

func (e *env) must(err error) {
	e.Helper()
	if err != nil {
		e.Fatal(err)
	}
}

func (e *env) publish(name queue.Name, ids ...string) {
	e.Helper()
	for _, id := range ids {
		e.must(e.d.Publish(e.ctx, queue.Publication{Queue: name, Message: message(id)}))
	}
}

func (e *env) consume(name queue.Name, prefetch int) queue.Consumer {
	e.Helper()
	c, err := e.d.Consume(e.ctx, name, prefetch)
	e.must(err)
	return c
}

// next waits for a delivery.
func (e *env) next(c queue.Consumer) *queue.Delivery {
	e.Helper()
	select {
	case d, ok := <-c.C():
		if !ok {
			e.Fatal("the consumer ended, want a delivery")
		}
		return d
	case <-time.After(Patience):
		e.Fatal("no delivery came")
	}
	return nil
}

// want waits for deliveries with these ids in this order and gives them.
func (e *env) want(c queue.Consumer, ids ...string) []*queue.Delivery {
	e.Helper()
	var ds []*queue.Delivery
	for i, id := range ids {
		d := e.next(c)
		if d.ID != id {
			e.Fatalf("delivery %d is %q, want %q", i, d.ID, id)
		}
		ds = append(ds, d)
	}
	return ds
}

// wantEnd waits until the consumer has ended.
func (e *env) wantEnd(c queue.Consumer) {
	e.Helper()
	deadline := time.After(Patience)
	for {
		select {
		case _, ok := <-c.C():
			if !ok {
				return
			}
		case <-deadline:
			e.Fatal("the consumer did not end")
		}
	}
}

// wantLength waits until the queue has this many ready messages.
func (e *env) wantLength(name queue.Name, want int) {
	e.Helper()
	deadline := time.Now().Add(Patience)
	for {
		n, err := e.d.Length(e.ctx, name)
		e.must(err)
		if n == want {
			return
		}
		if time.Now().After(deadline) {
			e.Fatalf("length of %s is %d, want %d", name, n, want)
		}
		select {
		case <-e.ctx.Done():
			return
		case <-time.After(5 * time.Millisecond): // between two looks: RabbitMQ counts with delay
		}
	}
}

// restart reopens the driver.
func (e *env) restart() {
	e.Helper()
	e.d = e.reopen(e.T)
}

func message(id string) queue.Message {
	return queue.Message{ID: id, ContentType: queue.ContentText, Body: []byte("body of " + id)}
}
