// Package journaltest holds the contract that every journal keeps: one set of tests, run over the
// embedded journal and over the one of RabbitMQ and Redis.
package journaltest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"jasmind/internal/journal"
	"jasmind/internal/queue"
	"jasmind/internal/queue/queuetest"
	"jasmind/internal/sms"
)

// Instance is one journal under test with the queue and the store it writes to.
type Instance struct {
	journal.Journal
	Store journal.Store
	Queue queuetest.Driver
	// Atomic: an entry is carried out as a whole or not at all (embedded). Else the documented order
	// holds, and only what it promises is asserted.
	Atomic bool
	// Reopen closes all three and opens them again over the same data.
	Reopen func(t *testing.T) Instance
}

// Patience is how long an event is waited for before it counts as missing.
const Patience = 2 * time.Minute

// Run runs the contract. open makes a fresh instance and cleans it up with t.Cleanup.
func Run(t *testing.T, open func(t *testing.T) Instance) {
	for _, c := range []struct {
		name string
		test func(*env)
	}{
		{"accepting: everything is there and stays after a restart", testAccept},
		{"settling: the message leaves, its effects stay after a restart", testSettle},
		{"an entry without effects is nothing", testEmpty},
		{"a missing queue refuses the entry and acknowledges nothing", testNoQueue},
		{"a retry in an entry counts and waits", testRetry},
		{"a message that moves between queues does so once", testMove},
		{"an acknowledgement that came too late is found settled", testStaleAck},
		{"a retry that came too late is found settled and is there once more", testStaleRetry},
		{"an attempt that was not settled is not found settled", testNotSettled},
		{"a repeated entry is harmless", testRepeat},
		{"an entry without credit is refused whole, and one with credit is charged once", testCharges},
		{"a message that finds no queue is not charged", testChargeNoQueue},
		{"the state of a message is accepted and settled with it, and stays after a restart", testState},
		{"an override is refused with its entry, or carried out with it", testOverride},
		{"concurrent entries are all carried out", testConcurrent},
		{"an ended context refuses and acknowledges nothing", testContext},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.test(&env{T: t, j: open(t), ctx: t.Context()})
		})
	}
}

type env struct {
	*testing.T
	j   Instance
	ctx context.Context
}

const (
	qMT  = queue.Name("submit.sm.journal")
	qDLR = queue.DLRSubmitSMResp
)

func (e *env) must(err error) {
	e.Helper()
	if err != nil {
		e.Fatal(err)
	}
}

func (e *env) start() {
	e.Helper()
	e.must(e.j.Queue.Declare(e.ctx, qMT, qDLR))
}

func (e *env) commit(en journal.Entry) {
	e.Helper()
	e.must(e.j.Commit(e.ctx, &en))
}

func (e *env) consume(name queue.Name) queue.Consumer {
	e.Helper()
	c, err := e.j.Queue.Consume(e.ctx, name, 100)
	e.must(err)
	return c
}

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

// last checks that nothing is left in the queue before a message published now.
func (e *env) last(c queue.Consumer, name queue.Name) {
	e.Helper()
	e.commit(journal.Entry{Publish: []queue.Publication{publication(name, "the last")}})
	if d := e.next(c); d.ID != "the last" {
		e.Errorf("%q is in %s, want nothing", d.ID, name)
	}
}

func (e *env) settled(ds ...*queue.Delivery) []bool {
	e.Helper()
	got, err := e.j.Settled(e.ctx, ds)
	e.must(err)
	if len(got) != len(ds) {
		e.Fatalf("settled tells of %d deliveries, want %d", len(got), len(ds))
	}
	return got
}

func (e *env) hasReceipt(id sms.MessageID) bool {
	e.Helper()
	_, ok, err := e.j.Store.Receipt(e.ctx, id)
	e.must(err)
	return ok
}

func publication(name queue.Name, id string) queue.Publication {
	return queue.Publication{Queue: name, Message: queue.Message{ID: id, ContentType: queue.ContentText, Body: []byte("body of " + id)}}
}

func receipt(id sms.MessageID) sms.ReceiptRequest {
	return sms.ReceiptRequest{MsgID: id, Origin: sms.OriginHTTP, CID: "journal", Report: sms.ReportFinal, Parts: 1, Expiry: time.Hour,
		URL: "http://127.0.0.1/", Method: "GET"}
}

func expiry(id sms.MessageID) sms.Expiry {
	return sms.Expiry{At: time.Now().Add(-time.Second).Truncate(time.Millisecond), MsgID: id, CID: "journal", Report: sms.ReportFinal}
}

func testAccept(e *env) {
	e.start()
	x := expiry("m-1")
	e.commit(journal.Entry{Receipts: []sms.ReceiptRequest{receipt("m-1")}, Expiries: []sms.Expiry{x},
		Publish: []queue.Publication{publication(qMT, "m-1")}})
	e.j = e.j.Reopen(e.T)
	if d := e.next(e.consume(qMT)); d.ID != "m-1" {
		e.Errorf("got %q, want m-1", d.ID)
	}
	if !e.hasReceipt("m-1") {
		e.Error("the receipt request is gone")
	}
	xs, err := e.j.Store.Expired(e.ctx, 10)
	e.must(err)
	if len(xs) != 1 || xs[0].MsgID != "m-1" {
		e.Errorf("expired: %+v, want m-1", xs)
	}
}

func testSettle(e *env) {
	e.start()
	x := expiry("m-1")
	e.commit(journal.Entry{Receipts: []sms.ReceiptRequest{receipt("m-1"), receipt("m-2")}, Expiries: []sms.Expiry{x},
		Publish: []queue.Publication{publication(qMT, "m-1")}})
	d := e.next(e.consume(qMT))
	m := sms.Mapping{Account: "journal", SMPPMsgID: "1", MsgID: "m-1", Part: 1, Parts: 1, Origin: sms.OriginHTTP, Expiry: time.Hour}
	e.commit(journal.Entry{Mappings: []sms.Mapping{m}, Publish: []queue.Publication{publication(qDLR, "m-1")},
		Outcomes: []sms.PartOutcome{{MsgID: "m-1", Part: 1, Parts: 1, SMPPMsgID: "1", Expiry: time.Hour}},
		Forget:   []sms.MessageID{"m-2"}, Unexpire: []sms.Expiry{x}, Ack: []journal.Ack{{Delivery: d, Remember: true}}})
	e.j = e.j.Reopen(e.T)
	e.last(e.consume(qMT), qMT)
	if d := e.next(e.consume(qDLR)); d.ID != "m-1" {
		e.Errorf("got %q, want m-1", d.ID)
	}
	got, ok, err := e.j.Store.Mapping(e.ctx, "journal", "1")
	e.must(err)
	if !ok || got != m {
		e.Errorf("mapping %+v, %v; want %+v", got, ok, m)
	}
	out, err := e.j.Store.Submissions(e.ctx, "m-1")
	e.must(err)
	if len(out) != 1 || out[0].SMPPMsgID != "1" {
		e.Errorf("submissions: %+v", out)
	}
	if xs, err := e.j.Store.Expired(e.ctx, 10); err != nil || len(xs) != 0 {
		e.Errorf("expired: %+v, %v; want none", xs, err)
	}
	if !e.hasReceipt("m-1") || e.hasReceipt("m-2") {
		e.Error("want the receipt request of m-1 and not that of m-2")
	}
}

func testEmpty(e *env) {
	e.start()
	e.commit(journal.Entry{})
	if got := e.settled(); len(got) != 0 {
		e.Errorf("settled without deliveries: %v", got)
	}
}

func testNoQueue(e *env) {
	e.start()
	e.commit(journal.Entry{Publish: []queue.Publication{publication(qMT, "m-1")}})
	c := e.consume(qMT)
	d := e.next(c)
	en := journal.Entry{Receipts: []sms.ReceiptRequest{receipt("m-1")},
		Publish: []queue.Publication{publication(qDLR, "m-1"), publication("submit.sm.missing", "m-1")},
		Ack:     []journal.Ack{{Delivery: d}}}
	if err := e.j.Commit(e.ctx, &en); !errors.Is(err, queue.ErrNoQueue) {
		e.Fatalf("got %v, want ErrNoQueue", err)
	}
	if e.j.Atomic {
		if e.hasReceipt("m-1") {
			e.Error("a refused entry left a receipt request")
		}
		e.last(e.consume(qDLR), qDLR)
	}
	// It can still be settled, and it was not taken out.
	e.must(c.Close(e.ctx))
	c = e.consume(qMT)
	d = e.next(c)
	if d.ID != "m-1" || !d.Redelivered {
		e.Errorf("got %q, redelivered %v; want m-1, true", d.ID, d.Redelivered)
	}
	en.Publish, en.Ack[0].Delivery = en.Publish[:1], d
	e.commit(en)
	e.last(c, qMT)
}

func testRetry(e *env) {
	e.start()
	e.commit(journal.Entry{Publish: []queue.Publication{publication(qMT, "m-1")}})
	c := e.consume(qMT)
	const wait = 100 * time.Millisecond
	start := time.Now()
	e.commit(journal.Entry{Retry: []queue.Retry{{Delivery: e.next(c), After: wait, Headers: queue.Headers{{Name: "n", Int: 1, IsInt: true}}}},
		Outcomes: []sms.PartOutcome{{MsgID: "m-1", Part: 1, Parts: 2, Expiry: time.Hour}}})
	d := e.next(c)
	if took := time.Since(start); took < wait || d.Attempts != 1 || d.Headers.Int("n") != 1 {
		e.Errorf("after %v: attempts %d, headers %v; want at least %v, 1, n=1", took, d.Attempts, d.Headers, wait)
	}
	if got := e.settled(d); got[0] {
		e.Error("the second attempt is taken for the first")
	}
	e.commit(journal.Entry{Ack: []journal.Ack{{Delivery: d}}})
	e.last(c, qMT)
}

func testMove(e *env) {
	e.start()
	const total = 50
	for i := range total {
		e.commit(journal.Entry{Publish: []queue.Publication{publication(qMT, fmt.Sprint(i))}})
	}
	c := e.consume(qMT)
	for range total {
		d := e.next(c)
		e.commit(journal.Entry{Publish: []queue.Publication{publication(qDLR, d.ID)}, Ack: []journal.Ack{{Delivery: d}}})
	}
	e.j = e.j.Reopen(e.T)
	c = e.consume(qDLR)
	for i := range total {
		if d := e.next(c); d.ID != fmt.Sprint(i) {
			e.Fatalf("message %d is %q", i, d.ID)
		}
	}
	e.last(c, qDLR)
	e.last(e.consume(qMT), qMT)
}

func testStaleAck(e *env) {
	e.start()
	e.commit(journal.Entry{Publish: []queue.Publication{publication(qMT, "m-1")}})
	c := e.consume(qMT)
	d := e.next(c)
	e.must(c.Close(e.ctx))
	e.commit(journal.Entry{Publish: []queue.Publication{publication(qDLR, "m-1")}, Ack: []journal.Ack{{Delivery: d, Remember: true}}})
	if d := e.next(e.consume(qDLR)); d.ID != "m-1" {
		e.Errorf("got %q, want m-1", d.ID)
	}
	c = e.consume(qMT)
	again := e.next(c)
	if again.ID != "m-1" || !again.Redelivered {
		e.Fatalf("got %q, redelivered %v; want m-1, true", again.ID, again.Redelivered)
	}
	if got := e.settled(again); !got[0] {
		e.Error("a settled attempt is not found settled")
	}
	e.commit(journal.Entry{Ack: []journal.Ack{{Delivery: again, Remember: true}}})
	e.last(c, qMT)
}

func testStaleRetry(e *env) {
	e.start()
	e.commit(journal.Entry{Publish: []queue.Publication{publication(qMT, "m-1")}})
	c := e.consume(qMT)
	d := e.next(c)
	e.must(c.Close(e.ctx))
	e.commit(journal.Entry{Retry: []queue.Retry{{Delivery: d}}})
	c = e.consume(qMT)
	got := map[int]*queue.Delivery{}
	for range 2 {
		d := e.next(c)
		if d.ID != "m-1" {
			e.Fatalf("got %q, want m-1", d.ID)
		}
		got[d.Attempts] = d
	}
	if got[0] == nil || got[1] == nil {
		e.Fatalf("got attempts %v, want 0 and 1", got)
	}
	if s := e.settled(got[0], got[1]); !s[0] || s[1] {
		e.Errorf("settled: %v; want the first attempt only", s)
	}
}

func testNotSettled(e *env) {
	e.start()
	e.commit(journal.Entry{Publish: []queue.Publication{publication(qMT, "m-1"), publication(qMT, "m-2"), publication(qDLR, "m-1")}})
	c := e.consume(qMT)
	d1, d2 := e.next(c), e.next(c)
	if got := e.settled(d1, d2); got[0] || got[1] {
		e.Errorf("settled: %v, want neither", got)
	}
	e.must(c.Close(e.ctx))
	c = e.consume(qMT)
	d1, d2 = e.next(c), e.next(c)
	other := e.next(e.consume(qDLR))
	if got := e.settled(d1, other, d2); got[0] || got[1] || got[2] {
		e.Errorf("settled: %v, want none", got)
	}
}

func testRepeat(e *env) {
	e.start()
	e.commit(journal.Entry{Publish: []queue.Publication{publication(qMT, "m-1"), publication(qMT, "m-2")}})
	c := e.consume(qMT)
	d := e.next(c)
	en := journal.Entry{Receipts: []sms.ReceiptRequest{receipt("m-1")}, Forget: []sms.MessageID{"m-0"}, Ack: []journal.Ack{{Delivery: d, Remember: true}}}
	e.commit(en)
	e.commit(en)
	if d := e.next(c); d.ID != "m-2" {
		e.Errorf("got %q, want m-2", d.ID)
	}
	e.last(c, qMT)
}

func testConcurrent(e *env) {
	e.start()
	const workers, each = 8, 100
	var wg sync.WaitGroup
	errs := make(chan error, 2*workers)
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				id := fmt.Sprintf("%d-%d", w, i)
				if err := e.j.Commit(e.ctx, &journal.Entry{Receipts: []sms.ReceiptRequest{receipt(sms.MessageID(id))},
					Publish: []queue.Publication{publication(qMT, id)}}); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	in, out := e.consume(qMT), e.consume(qDLR)
	for range workers {
		wg.Go(func() {
			for d := range in.C() {
				id := sms.MessageID(d.ID)
				if err := e.j.Commit(e.ctx, &journal.Entry{Publish: []queue.Publication{publication(qDLR, d.ID)},
					Mappings: []sms.Mapping{{Account: "journal", SMPPMsgID: d.ID, MsgID: id, Part: 1, Parts: 1, Expiry: time.Hour}},
					Ack:      []journal.Ack{{Delivery: d, Remember: true}}}); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	seen := map[string]bool{}
	deadline := time.After(2 * Patience)
	for len(seen) < workers*each {
		select {
		case d := <-out.C():
			if seen[d.ID] {
				e.Errorf("%s came twice", d.ID)
			}
			seen[d.ID] = true
			if _, ok, err := e.j.Store.Mapping(e.ctx, "journal", d.ID); err != nil || !ok {
				e.Errorf("mapping of %s: %v, %v", d.ID, ok, err)
			}
			e.must(e.j.Commit(e.ctx, &journal.Entry{Ack: []journal.Ack{{Delivery: d}}}))
		case err := <-errs:
			e.Fatal(err)
		case <-deadline:
			e.Fatalf("%d of %d came", len(seen), workers*each)
		}
	}
	e.must(in.Close(e.ctx))
	wg.Wait()
}

func testContext(e *env) {
	e.start()
	e.commit(journal.Entry{Publish: []queue.Publication{publication(qMT, "m-1")}})
	c := e.consume(qMT)
	d := e.next(c)
	ctx, cancel := context.WithCancel(e.ctx)
	cancel()
	if err := e.j.Commit(ctx, &journal.Entry{Ack: []journal.Ack{{Delivery: d}}}); err == nil {
		e.Fatal("commit with an ended context: no error")
	}
	// It was not settled, so it can be now.
	e.commit(journal.Entry{Ack: []journal.Ack{{Delivery: d}}})
	e.last(c, qMT)
}
