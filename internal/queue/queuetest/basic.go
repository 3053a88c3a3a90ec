package queuetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"jasmind/internal/queue"
)

const (
	qA = queue.Name("submit.sm.contract_a")
	qB = queue.Name("submit.sm.contract_b")
)

func testRoundTrip(e *env) {
	e.declare(qA)
	body := make([]byte, 200_000)
	for i := range body {
		body[i] = byte(i * 7)
	}
	messages := []queue.Message{
		{ID: "plain", ContentType: queue.ContentText, Body: []byte("hello")},
		{ID: "headers", ContentType: queue.ContentPDU, Priority: 2, Body: []byte{0, 1, 2, 255}, Headers: queue.Headers{
			{Name: "text", Str: "äöü \x00 €"},
			{Name: "empty", Str: ""},
			{Name: "zero", IsInt: true},
			{Name: "large", Int: 1<<62 + 3, IsInt: true},
			{Name: "negative", Int: -5, IsInt: true},
			{Name: "long", Str: strings.Repeat("x", 5000)},
		}},
		{ID: "no body", ContentType: queue.ContentText, Body: []byte{}},
		{ID: "large body", ContentType: queue.ContentPDU, Body: body},
		{ID: "tried before", ContentType: queue.ContentText, Body: []byte("x"), Attempts: 7},
	}
	c := e.consume(qA, 1)
	for _, want := range messages {
		// The driver must not keep what the caller may use again.
		own := want
		own.Body = bytes.Clone(want.Body)
		own.Headers = want.Headers.Clone()
		e.must(e.d.Publish(e.ctx, queue.Publication{Queue: qA, Message: own}))
		clear(own.Body)
		clear(own.Headers)
		d := e.next(c)
		if d.Queue != qA || d.Redelivered {
			e.Errorf("%s: queue %q, redelivered %v; want %q, false", want.ID, d.Queue, d.Redelivered, qA)
		}
		got := d.Message
		if !bytes.Equal(got.Body, want.Body) {
			e.Errorf("%s: body of %d octets differs from the %d sent", want.ID, len(got.Body), len(want.Body))
		}
		for _, h := range want.Headers { // AMQP does not promise the order
			if got.Headers.Str(h.Name) != h.Str || got.Headers.Int(h.Name) != h.Int || !got.Headers.Has(h.Name) {
				e.Errorf("%s: header %s is %q/%d, want %q/%d", want.ID, h.Name, got.Headers.Str(h.Name), got.Headers.Int(h.Name), h.Str, h.Int)
			}
		}
		if len(got.Headers) != len(want.Headers) {
			e.Errorf("%s: headers %v, want %v", want.ID, got.Headers, want.Headers)
		}
		got.Body, got.Headers, want.Body, want.Headers = nil, nil, nil, nil
		if !reflect.DeepEqual(got, want) {
			e.Errorf("got %+v, want %+v", got, want)
		}
		e.must(e.d.Ack(e.ctx, d))
	}
}

func testDurable(e *env) {
	e.declare(qA)
	e.publish(qA, "1", "2", "3")
	e.restart()
	e.want(e.consume(qA, 10), "1", "2", "3")
}

func testAckDurable(e *env) {
	e.declare(qA)
	e.publish(qA, "1", "2", "3")
	ds := e.want(e.consume(qA, 10), "1", "2", "3")
	e.must(e.d.Ack(e.ctx, ds[0], ds[2]))
	e.restart()
	c := e.consume(qA, 10)
	e.publish(qA, "4")
	e.want(c, "2", "4")
}

func testUnsettledAfterRestart(e *env) {
	e.declare(qA)
	e.publish(qA, "1", "2")
	e.want(e.consume(qA, 10), "1", "2")
	e.restart()
	for _, d := range e.want(e.consume(qA, 10), "1", "2") {
		if !d.Redelivered || d.Attempts != 0 {
			e.Errorf("%s: redelivered %v, attempts %d; want true, 0", d.ID, d.Redelivered, d.Attempts)
		}
	}
}

func testUndeliveredAfterRestart(e *env) {
	e.declare(qA)
	ids := make([]string, 40)
	for i := range ids {
		ids[i] = fmt.Sprint(i)
	}
	e.publish(qA, ids...)
	e.want(e.consume(qA, 2), ids[:2]...)
	for range 2 {
		e.restart() // with nothing delivered in between, the second time
	}
	for i, d := range e.want(e.consume(qA, len(ids)), ids...) {
		if d.Redelivered != (i < 2) {
			e.Errorf("%s: redelivered %v", d.ID, d.Redelivered)
		}
	}
}

func testDeclareTwice(e *env) {
	e.declare(qA, qB)
	e.publish(qA, "1")
	e.declare(qA, qB, qA)
	e.want(e.consume(qA, 1), "1")
}

func testNoQueue(e *env) {
	e.declare(qA)
	if err := e.d.Publish(e.ctx, queue.Publication{Queue: qB, Message: message("1")}); !errors.Is(err, queue.ErrNoQueue) {
		e.Errorf("publish: %v, want ErrNoQueue", err)
	}
	if _, err := e.d.Consume(e.ctx, qB, 1); !errors.Is(err, queue.ErrNoQueue) {
		e.Errorf("consume: %v, want ErrNoQueue", err)
	}
	if _, err := e.d.Length(e.ctx, qB); !errors.Is(err, queue.ErrNoQueue) {
		e.Errorf("length: %v, want ErrNoQueue", err)
	}
	if _, err := e.d.Purge(e.ctx, qB); !errors.Is(err, queue.ErrNoQueue) {
		e.Errorf("purge: %v, want ErrNoQueue", err)
	}
	e.must(e.d.Delete(e.ctx, qB))
	// None of this harmed the others.
	e.publish(qA, "1")
	e.want(e.consume(qA, 1), "1")
}

func testObservers(e *env) {
	e.must(e.d.Publish(e.ctx, queue.Publication{Queue: queue.SubmitSMResp("nobody"), Message: message("1"), Observers: true}))
}

func testPriorities(e *env) {
	e.declare(qA)
	var want []string
	for _, p := range []uint8{1, 3, 0, 2, 3, 1, 0, 2} {
		for i := range 3 {
			m := message(fmt.Sprintf("%d-%d", p, i))
			m.Priority = p
			e.must(e.d.Publish(e.ctx, queue.Publication{Queue: qA, Message: m}))
		}
	}
	for p := 3; p >= 0; p-- {
		for range 2 {
			for i := range 3 {
				want = append(want, fmt.Sprintf("%d-%d", p, i))
			}
		}
	}
	for i, d := range e.want(e.consume(qA, 100), want...) {
		if int(d.Priority) != 3-i/6 {
			e.Errorf("%s has priority %d", d.ID, d.Priority)
		}
	}
}

func testPriorityBound(e *env) {
	e.declare(qA)
	high, low := message("high"), message("low")
	high.Priority, low.Priority = 9, 2
	e.must(e.d.Publish(e.ctx, queue.Publication{Queue: qA, Message: low}))
	if err := e.d.Publish(e.ctx, queue.Publication{Queue: qA, Message: high}); err != nil {
		e.want(e.consume(qA, 10), "low")
		return
	}
	e.want(e.consume(qA, 10), "high", "low")
}

func testPrefetch(e *env) {
	e.declare(qA)
	e.publish(qA, "1", "2", "3", "4", "5")
	c := e.consume(qA, 2)
	ds := e.want(c, "1", "2")
	e.wantLength(qA, 3)
	e.nothing(c)
	e.must(e.d.Ack(e.ctx, ds[1])) // any of them makes room
	ds = append(ds, e.want(c, "3")...)
	e.wantLength(qA, 2)
	e.nothing(c)
	e.must(e.d.Ack(e.ctx, ds[0], ds[2]))
	e.want(c, "4", "5")
	e.wantLength(qA, 0)
}

// nothing fails when a delivery is there or comes soon. It can miss one that comes late, never invent one.
func (e *env) nothing(c queue.Consumer) {
	e.Helper()
	select {
	case d := <-c.C():
		e.Fatalf("delivery %v came, want none", d)
	case <-time.After(20 * time.Millisecond):
	}
}

func testSettleTwice(e *env) {
	e.declare(qA)
	e.publish(qA, "1", "2")
	c := e.consume(qA, 10)
	ds := e.want(c, "1", "2")
	e.must(e.d.Ack(e.ctx, ds[0]))
	if err := e.d.Ack(e.ctx, ds[0], ds[1]); !errors.Is(err, queue.ErrStale) {
		e.Errorf("ack of an acknowledged delivery: %v, want ErrStale", err)
	}
	if err := e.d.Retry(e.ctx, queue.Retry{Delivery: ds[0]}); !errors.Is(err, queue.ErrStale) {
		e.Errorf("retry of an acknowledged delivery: %v, want ErrStale", err)
	}
	// The second was acknowledged all the same, and the consumer lives.
	e.publish(qA, "3")
	e.want(c, "3")
	e.wantLength(qA, 0)
}

func testWakes(e *env) {
	e.declare(qA)
	c := e.consume(qA, 1)
	got := make(chan string)
	go func() {
		d, ok := <-c.C()
		if ok {
			got <- d.ID
		}
		close(got)
	}()
	e.publish(qA, "1")
	select {
	case id := <-got:
		if id != "1" {
			e.Errorf("got %q, want 1", id)
		}
	case <-time.After(Patience):
		e.Error("the waiting consumer was not woken")
	}
}

func testContext(e *env) {
	e.declare(qA)
	ctx, cancel := context.WithCancel(e.ctx)
	cancel()
	if err := e.d.Publish(ctx, queue.Publication{Queue: qA, Message: message("1")}); err == nil {
		e.Error("publish with an ended context: no error")
	}
	if _, err := e.d.Consume(ctx, qA, 1); err == nil {
		e.Error("consume with an ended context: no error")
	}
}

func testClose(e *env) {
	e.declare(qA)
	e.publish(qA, "1")
	c := e.consume(qA, 1)
	e.must(e.d.Close())
	e.wantEnd(c)
	if err := e.d.Publish(e.ctx, queue.Publication{Queue: qA, Message: message("2")}); !errors.Is(err, queue.ErrClosed) {
		e.Errorf("publish: %v, want ErrClosed", err)
	}
	if _, err := e.d.Consume(e.ctx, qA, 1); !errors.Is(err, queue.ErrClosed) {
		e.Errorf("consume: %v, want ErrClosed", err)
	}
	e.must(e.d.Close())
}
