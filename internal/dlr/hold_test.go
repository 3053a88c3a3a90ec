package dlr

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"jasmind/internal/journal"
	"jasmind/internal/queue"
	"jasmind/internal/sms"
)

// world is a broker, a journal and a store in memory, for tests in virtual time.
type world struct {
	journal.Store
	receipts chan *queue.Delivery
	answers  chan *queue.Delivery
	t0       time.Time

	mu       sync.Mutex
	mappings map[key]sms.Mapping
	requests map[sms.MessageID]sms.ReceiptRequest
	looks    int
	missed   func()   // called after a look in vain
	story    []string // what was committed, and when
}

func newWorld() *world {
	return &world{receipts: make(chan *queue.Delivery, heldMax), answers: make(chan *queue.Delivery, 1), t0: time.Now(),
		mappings: map[key]sms.Mapping{}, requests: map[sms.MessageID]sms.ReceiptRequest{}}
}

type subscription chan *queue.Delivery

func (c subscription) C() <-chan *queue.Delivery   { return c }
func (c subscription) Close(context.Context) error { return nil }

func (w *world) Consume(_ context.Context, name queue.Name, _ int) (queue.Consumer, error) {
	if name == queue.DLRDeliverSM {
		return subscription(w.receipts), nil
	}
	return subscription(w.answers), nil
}

func (w *world) Mapping(_ context.Context, account sms.Account, id string) (sms.Mapping, bool, error) {
	w.mu.Lock()
	w.looks++
	m, ok := w.mappings[key{account, id}]
	w.mu.Unlock()
	if !ok && w.missed != nil {
		w.missed()
	}
	return m, ok, nil
}

func (w *world) Receipt(_ context.Context, id sms.MessageID) (sms.ReceiptRequest, bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r, ok := w.requests[id]
	return r, ok, nil
}

func (w *world) Settled(context.Context, []*queue.Delivery) ([]bool, error) { return nil, nil }

func (w *world) Commit(_ context.Context, e *journal.Entry) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range e.Receipts {
		w.requests[r.MsgID] = r
	}
	for _, m := range e.Mappings {
		w.mappings[key{m.Account, m.SMPPMsgID}] = m
	}
	for _, id := range e.Forget {
		delete(w.requests, id)
	}
	note := func(what, id string) {
		w.story = append(w.story, fmt.Sprintf("%s %s %v", what, id, time.Since(w.t0)))
	}
	for _, p := range e.Publish {
		what := "told"
		if p.Queue == queue.DeadLetter {
			what = "buried"
		}
		note(what, p.Message.ID)
	}
	for _, a := range e.Ack {
		note("acked", a.Delivery.ID)
	}
	for _, r := range e.Retry {
		note(fmt.Sprintf("back for %v", r.After), r.Delivery.ID)
	}
	return nil
}

// receives hands out the receipt of a message of the SMSC, as if for the first time.
func (w *world) receives(id string) {
	ev := queue.ReceiptEvent{CID: cid, ID: id, State: "DELIVRD", PDU: "deliver_sm"}
	d := &queue.Delivery{Queue: queue.DLRDeliverSM, Message: ev.Message()}
	d.ID = id
	w.receipts <- d
}

// inWorld runs f beside a lookup, with virtual time, and gives what was committed. f has the lookup hold most
// events if that is not 0.
func inWorld(t *testing.T, cfg Config, most int, f func(w *world, l *Lookup)) (w *world) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w = newWorld()
		l := New(cfg, w, w, w, slog.New(slog.DiscardHandler))
		if most > 0 {
			l.hold.max = most
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- l.Run(ctx) }()
		f(w, l)
		synctest.Wait()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return w
}

func (w *world) happened(t *testing.T, want ...string) {
	t.Helper()
	if got := strings.Join(w.story, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("committed:\n%s\nwant:\n%s", got, strings.Join(want, "\n"))
	}
}

func TestMappingWakesItsReceiptAtOnce(t *testing.T) {
	w := inWorld(t, Config{}, 0, func(w *world, l *Lookup) {
		w.Commit(t.Context(), accepted("m", 2, 1)) //nolint:errcheck // in memory
		w.receives("A1")
		time.Sleep(777 * time.Millisecond)
		other := mapped(&journal.Entry{}, "m2", "B", 1)
		l.Watch(w).Commit(t.Context(), other)                                 //nolint:errcheck // in memory
		l.Watch(w).Commit(t.Context(), mapped(&journal.Entry{}, "m", "A", 1)) //nolint:errcheck // in memory
	})
	w.happened(t, "told m 777ms", "acked A1 777ms")
}

func TestAnswerWakesTheReceiptThatOvertookIt(t *testing.T) {
	w := inWorld(t, Config{}, 0, func(w *world, _ *Lookup) {
		w.Commit(t.Context(), mapped(accepted("m", 3, 1), "m", "A", 1)) //nolint:errcheck // in memory
		w.receives("A1")
		time.Sleep(333 * time.Millisecond)
		r := queue.SubmitResult{CID: cid, MsgID: "m", Status: statusROK, SMPPMsgID: "A1"}
		w.answers <- &queue.Delivery{Queue: queue.DLRSubmitSMResp, Message: r.Message()}
	})
	w.happened(t, "told m 333ms", "acked m 333ms", "told m 333ms", "acked A1 333ms")
}

// After the broker's connection was lost a receipt comes again while it is held: it is told once all the same.
func TestReceiptThatIsHeldTwiceIsToldOnce(t *testing.T) {
	w := inWorld(t, Config{Workers: 4}, 0, func(w *world, l *Lookup) {
		w.Commit(t.Context(), accepted("m", 2, 1)) //nolint:errcheck // in memory
		for range 20 {
			w.receives("A1")
			time.Sleep(time.Millisecond)
		}
		l.Watch(w).Commit(t.Context(), mapped(&journal.Entry{}, "m", "A", 1)) //nolint:errcheck // in memory
	})
	told := 0
	for _, s := range w.story {
		if strings.HasPrefix(s, "told") {
			told++
		}
	}
	if told != 1 || len(w.story) != 21 {
		t.Errorf("committed:\n%s\nwant one DLR and 20 acks", strings.Join(w.story, "\n"))
	}
}

// A mapping that comes between the look and the hold wakes nobody, but is not missed.
func TestMappingThatComesDuringTheLookIsFoundAtOnce(t *testing.T) {
	w := inWorld(t, Config{}, 0, func(w *world, l *Lookup) {
		w.Commit(t.Context(), accepted("m", 2, 1)) //nolint:errcheck // in memory
		var once sync.Once
		w.missed = func() {
			once.Do(func() {
				l.Watch(w).Commit(t.Context(), mapped(&journal.Entry{}, "m", "A", 1)) //nolint:errcheck // in memory
			})
		}
		w.receives("A1")
	})
	w.happened(t, "told m 0s", "acked A1 0s")
}

func TestKeysAreNotRememberedForEver(t *testing.T) {
	h := newHold(1)
	name := func(i int) string { return fmt.Sprint("A", i) }
	for i := range 3 * recentMax {
		h.committed(&journal.Entry{Mappings: []sms.Mapping{{Account: sms.Account(cid), SMPPMsgID: name(i)}, {Account: sms.Account(cid), SMPPMsgID: name(i)}}})
	}
	if len(h.recent) != recentMax || len(h.ring) != recentMax {
		t.Errorf("%d and %d are remembered, want %d", len(h.recent), len(h.ring), recentMax)
	}
	for i := range 3 * recentMax {
		if got, want := h.recent[key{sms.Account(cid), name(i)}], i >= 2*recentMax; got != want {
			t.Fatalf("%s is remembered: %v", name(i), got)
		}
	}
}

// A mapping that another process has written is found by the looks between: half a second late at most.
func TestMappingOfAnotherProcessIsFoundWithinHalfASecond(t *testing.T) {
	for _, tt := range []struct{ came, told time.Duration }{
		{0, 50 * time.Millisecond}, {60 * time.Millisecond, 150 * time.Millisecond}, {500 * time.Millisecond, 750 * time.Millisecond},
		{760 * time.Millisecond, 1250 * time.Millisecond}, {6200 * time.Millisecond, 6250 * time.Millisecond},
	} {
		w := inWorld(t, Config{}, 0, func(w *world, _ *Lookup) {
			w.Commit(t.Context(), accepted("m", 2, 1)) //nolint:errcheck // in memory
			w.receives("A1")
			synctest.Wait()
			time.Sleep(tt.came)
			w.Commit(t.Context(), mapped(&journal.Entry{}, "m", "A", 1)) //nolint:errcheck // in memory
			time.Sleep(10 * time.Second)
		})
		w.happened(t, fmt.Sprint("told m ", tt.told), fmt.Sprint("acked A1 ", tt.told))
	}
}

func TestReceiptOfNobodyIsHeldForSixSecondsAndThenPutBack(t *testing.T) {
	w := inWorld(t, Config{MaxRetries: 1}, 0, func(w *world, _ *Lookup) {
		w.receives("A1")
		time.Sleep(time.Minute)
	})
	w.happened(t, "back for 10s A1 6.25s")
	if w.looks != 16 {
		t.Errorf("it was looked up %d times, want 16", w.looks)
	}
}

func TestWithoutRetriesAReceiptOfNobodyIsGivenUpAfterSixSeconds(t *testing.T) {
	w := inWorld(t, Config{}, 0, func(w *world, _ *Lookup) {
		w.receives("A1")
		time.Sleep(time.Minute)
	})
	w.happened(t, "buried A1 6.25s", "acked A1 6.25s")
}

// What is held is bounded: the receipt that waits longest goes back to its queue, even if no retries are
// configured, and those that come later wait on.
func TestReceiptThatWaitsLongestMakesRoom(t *testing.T) {
	w := inWorld(t, Config{}, 2, func(w *world, l *Lookup) {
		for i := range 4 {
			w.receives(fmt.Sprint("A", i))
			time.Sleep(10 * time.Millisecond)
		}
		for i := range 4 {
			id := sms.MessageID(fmt.Sprint("m", i))
			e := accepted(id, 2, 1)
			e.Mappings = []sms.Mapping{{Account: sms.Account(cid), SMPPMsgID: fmt.Sprint("A", i), MsgID: id, Part: 1, Parts: 1, Expiry: time.Hour}}
			l.Watch(w).Commit(t.Context(), e) //nolint:errcheck // in memory
			synctest.Wait()
		}
		if n := l.hold.order.Len(); n != 0 {
			t.Errorf("%d are held", n)
		}
	})
	w.happened(t, "back for 10s A0 20ms", "back for 10s A1 30ms", "told m2 40ms", "acked A2 40ms", "told m3 40ms", "acked A3 40ms")
}

// A process that ends settles nothing of what it holds: the broker delivers it again.
func TestWhatIsHeldIsNotSettledAtTheEnd(t *testing.T) {
	var l *Lookup
	w := inWorld(t, Config{}, 0, func(w *world, lookup *Lookup) {
		l = lookup
		w.receives("A1")
	})
	w.happened(t)
	if l.Metrics.Parked.Load() != 1 {
		t.Errorf("%d were parked", l.Metrics.Parked.Load())
	}
}
