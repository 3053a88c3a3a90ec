package queuetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"jasmind/internal/queue"
)

func testConsumerClose(e *env) {
	e.declare(qA)
	e.publish(qA, "1", "2", "3", "4", "5")
	c := e.consume(qA, 4)
	ds := e.want(c, "1", "2", "3") // the fourth is on its way and was not received
	e.must(e.d.Ack(e.ctx, ds[1]))
	e.must(c.Close(e.ctx))
	e.wantEnd(c)
	e.must(c.Close(e.ctx)) // again: nothing
	e.wantLength(qA, 4)

	again := e.want(e.consume(qA, 10), "1", "3", "4", "5")
	for _, d := range again[:2] {
		if !d.Redelivered {
			e.Errorf("%s was received before and is not marked redelivered", d.ID)
		}
		if d.Attempts != 0 {
			e.Errorf("%s: attempts %d, want 0: a redelivery is no retry", d.ID, d.Attempts)
		}
	}
	e.must(e.d.Ack(e.ctx, again...))
	e.wantLength(qA, 0)
}

// testGivenBackInPlace: a backlog must not overtake what was taken from its head and given back, for a short validity would end behind it.
func testGivenBackInPlace(e *env) {
	e.declare(qA)
	const backlog, prefetch = 40, 8
	var all []string
	publish := func(n int) {
		for range n {
			id := fmt.Sprintf("%d", len(all))
			m := message(id)
			m.Priority = 1
			e.must(e.d.Publish(e.ctx, queue.Publication{Queue: qA, Message: m}))
			all = append(all, id)
		}
	}
	publish(backlog)
	for round := range 5 {
		c := e.consume(qA, prefetch)
		ds := e.want(c, all[:prefetch/2]...) // the rest is on its way, or was received by the driver
		publish(2)
		e.must(e.d.Ack(e.ctx, ds[1]))
		all = slices.Delete(all, 1, 2)
		if round%2 == 1 {
			e.restart()
			continue
		}
		e.must(c.Close(e.ctx))
		e.wantEnd(c)
	}
	e.want(e.consume(qA, len(all)), all...)
}

func testStale(e *env) {
	e.declare(qA)
	e.publish(qA, "1", "2")
	c := e.consume(qA, 10)
	ds := e.want(c, "1", "2")
	if ds[0].Stale() || ds[1].Stale() {
		e.Error("a delivery of an open consumer is stale")
	}
	e.must(c.Close(e.ctx))
	if !ds[0].Stale() || !ds[1].Stale() {
		e.Error("a delivery of a closed consumer is not stale")
	}
	if err := e.d.Ack(e.ctx, ds[0]); !errors.Is(err, queue.ErrStale) {
		e.Errorf("ack: %v, want ErrStale", err)
	}
	if err := e.d.Retry(e.ctx, queue.Retry{Delivery: ds[1]}); !errors.Is(err, queue.ErrStale) {
		e.Errorf("retry: %v, want ErrStale", err)
	}
	e.want(e.consume(qA, 10), "1", "2")
}

func testShare(e *env) {
	e.declare(qA)
	c1, c2 := e.consume(qA, 2), e.consume(qA, 2)
	e.publish(qA, "1", "2", "3", "4")
	seen := make(map[string]bool)
	for _, c := range []queue.Consumer{c1, c2, c1, c2} {
		seen[e.next(c).ID] = true
	}
	if len(seen) != 4 {
		e.Errorf("two consumers with prefetch 2 got %v, want all four messages", seen)
	}
	// A third gets what the first gives back.
	e.must(c1.Close(e.ctx))
	c3 := e.consume(qA, 10)
	e.next(c3)
	e.next(c3)
}

func testRetry(e *env) {
	e.declare(qA)
	m := message("1")
	m.Priority = 3
	m.Headers = queue.Headers{{Name: "old", Str: "x"}}
	e.must(e.d.Publish(e.ctx, queue.Publication{Queue: qA, Message: m}))
	c := e.consume(qA, 1)
	d := e.next(c)
	const wait = 150 * time.Millisecond
	for try := 1; try <= 2; try++ {
		start := time.Now()
		e.must(e.d.Retry(e.ctx, queue.Retry{Delivery: d, After: wait, Headers: queue.Headers{{Name: "try", Int: int64(try), IsInt: true}}}))
		d = e.next(c)
		if took := time.Since(start); took < wait {
			e.Errorf("the retry came after %v, want at least %v", took, wait)
		}
		if d.ID != "1" || d.Attempts != try || d.Priority != 3 || string(d.Body) != "body of 1" || d.ContentType != queue.ContentText {
			e.Errorf("after retry %d: %+v", try, d)
		}
		if d.Headers.Has("old") || d.Headers.Int("try") != int64(try) {
			e.Errorf("after retry %d: headers %v", try, d.Headers)
		}
	}
	e.must(e.d.Ack(e.ctx, d))
	e.wantLength(qA, 0)
}

func testRetryNow(e *env) {
	e.declare(qA)
	m := message("1")
	m.Headers = queue.Headers{{Name: "kept", Str: "x"}}
	e.must(e.d.Publish(e.ctx, queue.Publication{Queue: qA, Message: m}))
	c := e.consume(qA, 1)
	e.must(e.d.Retry(e.ctx, queue.Retry{Delivery: e.next(c)}))
	d := e.next(c)
	if d.Attempts != 1 || d.Headers.Str("kept") != "x" || len(d.Headers) != 1 {
		e.Errorf("attempts %d, headers %v; want 1 and the header kept", d.Attempts, d.Headers)
	}
}

// testRetryInPlace: a message whose session was lost must not wait for the whole backlog, nor get lost behind it.
func testRetryInPlace(e *env) {
	e.declare(qA)
	const backlog, prefetch = 40, 4
	var all []string
	for i := range backlog {
		m := message(fmt.Sprint(i))
		m.Priority = uint8(3 - 4*i/backlog) // in the order of publication
		e.must(e.d.Publish(e.ctx, queue.Publication{Queue: qA, Message: m}))
		all = append(all, m.ID)
	}
	for try := 1; try <= 3; try++ {
		c := e.consume(qA, prefetch)
		ds := e.want(c, all[:prefetch]...)
		e.must(e.d.Retry(e.ctx, queue.Retry{Delivery: ds[0], Headers: queue.Headers{{Name: "try", Int: int64(try), IsInt: true}}},
			queue.Retry{Delivery: ds[1]}))
		if try == 2 {
			e.restart()
		} else {
			e.must(c.Close(e.ctx))
			e.wantEnd(c)
		}
		e.wantLength(qA, len(all))
		c = e.consume(qA, prefetch)
		ds = e.want(c, all[:prefetch]...)
		if d := ds[0]; d.Attempts != try || d.Headers.Int("try") != int64(try) || string(d.Body) != "body of 0" {
			e.Errorf("after retry %d: attempts %d, headers %v, body %q", try, d.Attempts, d.Headers, d.Body)
		}
		if try%2 == 1 { // one that was put back leaves, and does not come again
			e.must(e.d.Ack(e.ctx, ds[1]))
			all = slices.Delete(all, 1, 2)
		}
		e.must(c.Close(e.ctx))
		e.wantEnd(c)
		e.wantLength(qA, len(all))
	}
	e.restart()
	e.want(e.consume(qA, len(all)), all...)
}

func testRetryDurable(e *env) {
	e.declare(qA)
	e.publish(qA, "1")
	c := e.consume(qA, 1)
	e.must(e.d.Retry(e.ctx, queue.Retry{Delivery: e.next(c), After: 100 * time.Millisecond}))
	e.restart()
	c = e.consume(qA, 1)
	d := e.next(c)
	if d.ID != "1" || d.Attempts != 1 {
		e.Errorf("got %q with %d attempts, want 1 with 1", d.ID, d.Attempts)
	}
	e.must(e.d.Ack(e.ctx, d))
	e.restart()
	e.publish(qA, "2")
	e.want(e.consume(qA, 10), "2")
}

func testDelayed(e *env) {
	e.declare(qA)
	const wait = 100 * time.Millisecond
	start := time.Now()
	after := func(id string, wait time.Duration) {
		e.must(e.d.Publish(e.ctx, queue.Publication{Queue: qA, Message: message(id), After: wait}))
	}
	after("late", time.Hour)
	after("soon", wait)
	after("now", 0)
	c := e.consume(qA, 10)
	seen := make(map[string]bool)
	for range 2 { // in any order, since a slow machine can make soon due before now is published
		d := e.next(c)
		if took := time.Since(start); d.ID == "soon" && took < wait {
			e.Errorf("got %q after %v, want it after at least %v", d.ID, took, wait)
		}
		if d.Attempts != 0 {
			e.Errorf("%s: attempts %d, want 0", d.ID, d.Attempts)
		}
		seen[d.ID] = true
	}
	if !seen["now"] || !seen["soon"] {
		e.Errorf("got %v, want now and soon", seen)
	}
	e.nothing(c)
}

// testGivenBack: a broker may be told to limit how often a message comes back. Then it is a dead letter that
// says so; nothing vanishes.
func testGivenBack(e *env) {
	e.declare(qA, queue.DeadLetter)
	want := []string{"1", "2", "3"}
	for i, id := range want {
		m := message(id)
		m.Priority = uint8(3 - i)
		e.must(e.d.Publish(e.ctx, queue.Publication{Queue: qA, Message: m}))
	}
	letters := e.consume(queue.DeadLetter, 10)
	dead := make(map[string]bool)
	bury := func(d *queue.Delivery) {
		h := d.Headers
		if h.Str(queue.HeaderDeadQueue) != string(qA) || h.Str(queue.HeaderDeadCause) != string(queue.CauseReturned) || h.Str(queue.HeaderDeadReason) == "" {
			e.Errorf("the dead letter %s has headers %v, want the queue %s, the cause %s and a reason", d.ID, h, qA, queue.CauseReturned)
		}
		if dead[d.ID] {
			e.Errorf("%s is a dead letter twice", d.ID)
		}
		dead[d.ID] = true
	}
	// take gives back what is there; false: nothing is left but dead letters.
	take := func(c queue.Consumer) bool {
		seen := make(map[string]bool)
		for len(seen)+len(dead) < len(want) {
			select {
			case d := <-c.C():
				seen[d.ID] = true
				if dead[d.ID] {
					e.Errorf("%s is a dead letter and comes still", d.ID)
				}
			case d := <-letters.C():
				bury(d)
			case <-time.After(Patience):
				e.Fatalf("%v are there and %v dead letters, want all of %v", seen, dead, want)
			}
		}
		return len(seen) > 0
	}
	for range 30 {
		c := e.consume(qA, 10)
		left := take(c)
		e.must(c.Close(e.ctx))
		if !left {
			return
		}
	}
	c := e.consume(qA, 10)
	take(c)
	e.must(c.Close(e.ctx))
	e.Logf("%d of %d are dead letters", len(dead), len(want))
}

func testPurge(e *env) {
	e.declare(qA, qB)
	e.publish(qB, "other")
	e.publish(qA, "1", "2", "3", "4", "5")
	c := e.consume(qA, 2)
	ds := e.want(c, "1", "2")
	e.wantLength(qA, 3)
	n, err := e.d.Purge(e.ctx, qA)
	e.must(err)
	if n != 3 {
		e.Errorf("purged %d, want 3", n)
	}
	e.wantLength(qA, 0)
	e.must(e.d.Ack(e.ctx, ds[0]))
	e.must(c.Close(e.ctx))
	e.publish(qA, "6")
	e.want(e.consume(qA, 10), "2", "6")
	e.restart()
	e.want(e.consume(qA, 10), "2", "6")
	e.want(e.consume(qB, 10), "other")
}

func testDelete(e *env) {
	e.declare(qA)
	e.publish(qA, "1", "2")
	c := e.consume(qA, 1)
	e.next(c)
	e.must(e.d.Delete(e.ctx, qA))
	e.wantEnd(c)
	if err := e.d.Publish(e.ctx, queue.Publication{Queue: qA, Message: message("3")}); !errors.Is(err, queue.ErrNoQueue) {
		e.Errorf("publish: %v, want ErrNoQueue", err)
	}
	e.declare(qA)
	e.wantLength(qA, 0)
	e.publish(qA, "4")
	e.want(e.consume(qA, 10), "4")
}

func testIsolation(e *env) {
	e.declare(qA, qB)
	e.must(e.d.Publish(e.ctx,
		queue.Publication{Queue: qA, Message: message("a1")},
		queue.Publication{Queue: qB, Message: message("b1")},
		queue.Publication{Queue: qA, Message: message("a2")}))
	e.want(e.consume(qA, 10), "a1", "a2")
	e.want(e.consume(qB, 10), "b1")
}

func testConcurrent(e *env) {
	e.declare(qA)
	const publishers, each, consumers = 8, 200, 3
	var wg sync.WaitGroup
	errs := make(chan error, publishers+consumers)
	for p := range publishers {
		wg.Go(func() {
			for i := range each {
				m := message(fmt.Sprintf("%d-%d", p, i))
				m.Priority = uint8(i % 4)
				if err := e.d.Publish(e.ctx, queue.Publication{Queue: qA, Message: m}); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	seen := make(chan string, publishers*each)
	var cs []queue.Consumer
	for range consumers {
		c := e.consume(qA, 20)
		cs = append(cs, c)
		wg.Go(func() {
			for d := range c.C() {
				if err := e.d.Ack(e.ctx, d); err != nil {
					errs <- err
					return
				}
				seen <- d.ID
			}
		})
	}
	got := make(map[string]int)
	deadline := time.After(2 * Patience)
	for len(got) < publishers*each {
		select {
		case id := <-seen:
			if got[id]++; got[id] > 1 {
				e.Errorf("%s was delivered %d times", id, got[id])
			}
		case err := <-errs:
			e.Fatal(err)
		case <-deadline:
			e.Fatalf("%d of %d messages came", len(got), publishers*each)
		}
	}
	for _, c := range cs {
		e.must(c.Close(e.ctx))
	}
	wg.Wait()
	e.wantLength(qA, 0)
}

func testBacklog(e *env) {
	e.declare(qA)
	const total = 5000
	ps := make([]queue.Publication, 0, 500)
	for i := range total {
		m := message(fmt.Sprint(i))
		ps = append(ps, queue.Publication{Queue: qA, Message: m})
		if len(ps) == cap(ps) {
			e.must(e.d.Publish(e.ctx, ps...))
			ps = ps[:0]
		}
	}
	e.wantLength(qA, total)
	c := e.consume(qA, 100)
	var ds []*queue.Delivery
	for i := range total {
		d := e.next(c)
		if d.ID != fmt.Sprint(i) {
			e.Fatalf("delivery %d is %q", i, d.ID)
		}
		if ds = append(ds, d); len(ds) == 50 || i == total-1 {
			e.must(e.d.Ack(e.ctx, ds...))
			ds = ds[:0]
		}
	}
	e.wantLength(qA, 0)
}
