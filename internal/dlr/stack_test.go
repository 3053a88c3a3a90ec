package dlr

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"jasmind/internal/journal"
	"jasmind/internal/journal/embedded"
	"jasmind/internal/localdb"
	"jasmind/internal/queue"
	queuepebble "jasmind/internal/queue/pebble"
	"jasmind/internal/sms"
	storepebble "jasmind/internal/store/pebble"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// deadline bounds the waits of tests for what is sure to come.
const deadline = 2 * time.Minute

// stack is the embedded backend with a consumer on every queue that the lookup fills. It sees
// every entry that is committed.
type stack struct {
	*queuepebble.Driver
	db      *localdb.DB
	store   *storepebble.Store
	inner   journal.Journal
	dlrs    queue.Consumer
	dead    queue.Consumer
	refuse  func(*journal.Entry) error // nil: never
	entries chan *journal.Entry
	queued  atomic.Int64 // DLRs, of which told has not given so many yet
}

func newStack(t testing.TB) *stack {
	t.Helper()
	db, err := localdb.Open(t.TempDir(), localdb.Config{})
	if err != nil {
		t.Fatal(err)
	}
	q, err := queuepebble.New(db, queuepebble.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := q.Close(); err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	s := &stack{Driver: q, db: db, store: storepebble.New(db), entries: make(chan *journal.Entry, 1<<16)}
	s.inner = embedded.New(db, q, s.store)
	if err := q.Declare(t.Context(), queue.DLRSubmitSMResp, queue.DLRDeliverSM, queue.DLRThrowerHTTP, queue.DeadLetter); err != nil {
		t.Fatal(err)
	}
	if s.dlrs, err = q.Consume(t.Context(), queue.DLRThrowerHTTP, 10000); err != nil {
		t.Fatal(err)
	}
	if s.dead, err = q.Consume(t.Context(), queue.DeadLetter, 100); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *stack) Settled(ctx context.Context, ds []*queue.Delivery) ([]bool, error) {
	return s.inner.Settled(ctx, ds)
}

func (s *stack) Commit(ctx context.Context, e *journal.Entry) error {
	if s.refuse != nil {
		if err := s.refuse(e); err != nil {
			return err
		}
	}
	if err := s.inner.Commit(ctx, e); err != nil {
		return err
	}
	for i := range e.Publish {
		if e.Publish[i].Queue == queue.DLRThrowerHTTP {
			s.queued.Add(1)
		}
	}
	s.entries <- e
	return nil
}

// has commits what a door or a connector would.
func (s *stack) has(t testing.TB, e *journal.Entry) {
	t.Helper()
	if err := s.inner.Commit(t.Context(), e); err != nil {
		t.Fatal(err)
	}
}

// run runs a lookup until stop is called, which gives its log.
func (s *stack) run(t testing.TB, cfg Config) (l *Lookup, stop func() string) {
	return s.runOver(t, cfg, s.store)
}

func (s *stack) runOver(t testing.TB, cfg Config, store journal.Store) (l *Lookup, stop func() string) {
	var out bytes.Buffer
	l = New(cfg, s, s, store, slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})))
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := l.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	stop = func() string { cancel(); wg.Wait(); return out.String() }
	t.Cleanup(func() { stop() })
	return l, stop
}

// settled waits until n events left their queue and gives how many times some were put back meanwhile.
func (s *stack) settled(t testing.TB, n int) (retries []queue.Retry) {
	t.Helper()
	for n > 0 {
		select {
		case e := <-s.entries:
			n -= len(e.Ack)
			retries = append(retries, e.Retry...)
		case <-time.After(deadline):
			t.Fatalf("%d events are not settled", n)
		}
	}
	return retries
}

// told gives the DLRs that are queued by now, in order.
func (s *stack) told(t testing.TB) (out []queue.HTTPDLR) {
	t.Helper()
	for ; s.queued.Load() > 0; s.queued.Add(-1) {
		select {
		case d := <-s.dlrs.C():
			dlr, err := queue.DecodeHTTPDLR(&d.Message)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, *dlr)
			s.has(t, &journal.Entry{Ack: []journal.Ack{{Delivery: d}}})
		case <-time.After(deadline):
			t.Fatalf("%d DLRs did not come", s.queued.Load())
		}
	}
	return out
}

const (
	cid = sms.ConnectorID("smsc1")
	url = "http://example.com/dlr"
)

// accepted is what accepting a message commits.
func accepted(id sms.MessageID, level, parts int) *journal.Entry {
	r := sms.ReceiptRequest{MsgID: id, Origin: sms.OriginHTTP, CID: cid, Report: sms.ReportOf(level), Parts: parts, Expiry: time.Hour, URL: url, Method: "POST"}
	e := &journal.Entry{Receipts: []sms.ReceiptRequest{r}}
	if level == 3 {
		e.Receipts = append(e.Receipts, sms.ReceiptRequest{MsgID: queue.LevelOne(id), CID: cid, Report: sms.ReportSubmit, Parts: parts, Expiry: time.Hour})
	}
	return e
}

// mapped adds the mappings of a message's parts: id of part n is smppMsgID followed by n.
func mapped(e *journal.Entry, id sms.MessageID, smppMsgID string, parts int) *journal.Entry {
	for n := 1; n <= parts; n++ {
		e.Mappings = append(e.Mappings, sms.Mapping{Account: sms.Account(cid), SMPPMsgID: fmt.Sprint(smppMsgID, n), MsgID: id, Part: n, Parts: parts, Origin: sms.OriginHTTP, Expiry: time.Hour})
	}
	return e
}

func answered(e *journal.Entry, r queue.SubmitResult) *journal.Entry {
	r.CID = cid
	e.Publish = append(e.Publish, queue.Publication{Queue: queue.DLRSubmitSMResp, Message: r.Message()})
	return e
}

func received(e *journal.Entry, rs ...queue.ReceiptEvent) *journal.Entry {
	for _, r := range rs {
		r.CID, r.PDU = cid, "deliver_sm"
		e.Publish = append(e.Publish, queue.Publication{Queue: queue.DLRDeliverSM, Message: r.Message()})
	}
	return e
}

// one is the DLR of level 1, two that of level 2 when the SMSC's receipt says no more than id and state.
func one(id sms.MessageID, status, smppMsgID string) queue.HTTPDLR {
	return queue.HTTPDLR{MsgID: id, URL: url, Method: "POST", Level: 1, Status: status, CID: cid, IDSMSC: smppMsgID}
}

func two(id sms.MessageID, state, smppMsgID string) queue.HTTPDLR {
	return queue.HTTPDLR{MsgID: id, URL: url, Method: "POST", Level: 2, Status: state, CID: cid, IDSMSC: smppMsgID,
		Sub: "ND", Dlvrd: "ND", SubDate: "ND", DoneDate: "ND", Err: "ND"}
}

// remembered tells whether anything is kept of a message.
func (s *stack) remembered(t testing.TB, id sms.MessageID) bool {
	t.Helper()
	for _, id := range []sms.MessageID{id, queue.LevelOne(id)} {
		if _, ok, err := s.store.Receipt(t.Context(), id); err != nil {
			t.Fatal(err)
		} else if ok {
			return true
		}
	}
	return false
}

func list(ds []queue.HTTPDLR) string {
	var b strings.Builder
	for _, d := range ds {
		fmt.Fprintf(&b, "\n\t%+v", d)
	}
	return b.String()
}
