package services_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"jasmind/internal/billing"
	"jasmind/internal/journal"
	"jasmind/internal/journal/services"
	"jasmind/internal/queue"
	"jasmind/internal/queue/rabbit"
	"jasmind/internal/sms"
	"jasmind/internal/store/redis"
	"jasmind/internal/testenv"
)

// trace is broker and store at once, and writes down what is asked of it.
type trace struct {
	steps []string
	fail  string // this step fails
	err   error
	away  error // what Healthy gives
}

func (t *trace) Healthy() error { return t.away }

func (t *trace) step(name string) error {
	t.steps = append(t.steps, name)
	if name == t.fail {
		return t.err
	}
	return nil
}

func (t *trace) Send(_ context.Context, pubs []queue.Publication, rs []queue.Retry) error {
	return t.step(fmt.Sprintf("send %d+%d", len(pubs), len(rs)))
}
func (t *trace) Publish(_ context.Context, pubs ...queue.Publication) error {
	return t.step(fmt.Sprintf("publish %d", len(pubs)))
}
func (t *trace) Ack(_ context.Context, ds ...*queue.Delivery) error {
	return t.step(fmt.Sprintf("ack %d", len(ds)))
}
func (t *trace) Admit(_ context.Context, e *journal.Entry) error {
	if len(e.Overrides) > 0 {
		if err := t.step("override"); err != nil {
			return err
		}
	}
	if len(e.Charges) == 0 {
		return nil
	}
	return t.step("reserve")
}
func (t *trace) Finalize(_ context.Context, cs []billing.Charge) error {
	if len(cs) == 0 {
		return nil
	}
	return t.step("finalize")
}
func (t *trace) TakeBack(context.Context, *journal.Entry) error { return t.step("take back") }
func (t *trace) Write(_ context.Context, _ *journal.Entry, phase journal.Phase) error {
	return t.step(map[journal.Phase]string{journal.Record: "before", journal.Conclude: "after"}[phase])
}
func (t *trace) Apply(context.Context, *journal.Entry) error { return t.step("apply") }
func (t *trace) Settled(context.Context, []*queue.Delivery) ([]bool, error) {
	return nil, t.step("settled")
}
func (t *trace) Park(_ context.Context, ps []queue.Parked) error {
	return t.step(fmt.Sprintf("park %d", len(ps)))
}
func (t *trace) Parked(context.Context, int) ([]queue.Parked, error) { return nil, t.step("parked") }
func (t *trace) Unpark(context.Context, []string) error              { return t.step("unpark") }

func TestOrder(t *testing.T) {
	d := &queue.Delivery{Queue: "q", Message: queue.Message{ID: "m"}}
	full := journal.Entry{Receipts: []sms.ReceiptRequest{{MsgID: "m"}}, Publish: make([]queue.Publication, 2), Forget: []sms.MessageID{"m"},
		Ack: []journal.Ack{{Delivery: d, Remember: true}}, Retry: []queue.Retry{{Delivery: d}}}
	charged := full
	charged.Charges = []billing.Charge{{UID: "u", Bill: "m", Amount: 1}}
	changed := full
	changed.Overrides = []sms.Override{{MsgID: "m"}}
	down := fmt.Errorf("%w: test", queue.ErrUnavailable)
	gone := fmt.Errorf("%w: test", queue.ErrNoQueue)
	strange := errors.New("strange")
	unsent := fmt.Errorf("%w: %w", queue.ErrNotSent, down)
	poor := &sms.Error{Reason: sms.ReasonNoCredit}
	for _, c := range []struct {
		name  string
		entry journal.Entry
		fail  string
		err   error
		want  string // steps
		gives error
	}{
		{"everything", full, "", nil, "before, send 2+1, after, ack 2", nil},
		{"nothing to publish is one change of the store", journal.Entry{Forget: full.Forget, Ack: full.Ack}, "", nil, "apply, ack 1", nil},
		{"a retry is a publication", journal.Entry{Retry: full.Retry}, "", nil, "before, send 0+1, after, ack 1", nil},
		{"what settles nothing waits as a door does", journal.Entry{Publish: full.Publish}, "", nil, "before, publish 2, after", nil},
		{"charges come first and are made final after the publications", charged, "", nil, "reserve, before, send 2+1, finalize, after, ack 2", nil},
		{"charges without publications", journal.Entry{Charges: charged.Charges, Ack: full.Ack}, "", nil, "reserve, apply, finalize, ack 1", nil},
		{"no credit", charged, "reserve", poor, "reserve", poor},
		{"a missing queue gives the charges back", charged, "send 2+1", gone, "reserve, before, send 2+1, take back", queue.ErrNoQueue},
		{"so does a message that AMQP cannot carry", charged, "send 2+1", strange, "reserve, before, send 2+1, take back", strange},
		{"and what was surely not sent", charged, "send 2+1", unsent, "reserve, before, send 2+1, take back", queue.ErrUnavailable},
		{"and a record that the store does not take", charged, "before", strange, "reserve, before, take back", strange},
		{"a lost confirm does not: they lapse", charged, "send 2+1", down, "reserve, before, send 2+1", queue.ErrUnavailable},
		{"a charge that cannot be made final refuses nothing", charged, "finalize", down, "reserve, before, send 2+1, finalize, after, ack 2", nil},
		{"an override comes first", changed, "", nil, "override, before, send 2+1, after, ack 2", nil},
		{"an override that comes too late refuses all", changed, "override", journal.ErrTooLate, "override", journal.ErrTooLate},
		{"the store is down", full, "before", down, "before, take back", queue.ErrUnavailable},
		{"the store is down for charges", charged, "reserve", down, "reserve, take back", queue.ErrUnavailable},
		{"the broker is down", full, "send 2+1", down, "before, send 2+1", queue.ErrUnavailable},
		{"the store goes down after the publications", full, "after", down, "before, send 2+1, after", queue.ErrUnavailable},
		{"an alarm parks what settling publishes", full, "send 2+1", queue.ErrBlocked, "before, send 2+1, park 3, after, ack 2", nil},
		{"its charges are made final", charged, "send 2+1", queue.ErrBlocked, "reserve, before, send 2+1, park 3, finalize, after, ack 2", nil},
		{"an alarm parks nothing of new work", journal.Entry{Publish: full.Publish}, "publish 2", queue.ErrBlocked, "before, publish 2", queue.ErrBlocked},
		{"a stale delivery is no error", full, "ack 2", queue.ErrStale, "before, send 2+1, after, ack 2", nil},
		{"a closed broker is", full, "ack 2", queue.ErrClosed, "before, send 2+1, after, ack 2", queue.ErrClosed},
	} {
		t.Run(c.name, func(t *testing.T) {
			tr := &trace{fail: c.fail, err: c.err}
			if err := services.New(tr, tr).Commit(t.Context(), &c.entry); !errors.Is(err, c.gives) {
				t.Errorf("got %v, want %v", err, c.gives)
			}
			if got := strings.Join(tr.steps, ", "); got != c.want {
				t.Errorf("steps %s; want %s", got, c.want)
			}
		})
	}
}

// While the broker is away nothing is written for new work; what is settled goes on as far as it can.
func TestNewWorkIsRefusedBeforeAnythingIsWritten(t *testing.T) {
	down := fmt.Errorf("%w: test", queue.ErrUnavailable)
	tr := &trace{away: down}
	err := services.New(tr, tr).Commit(t.Context(), &journal.Entry{Charges: []billing.Charge{{UID: "u", Bill: "m", Amount: 1}}, Publish: make([]queue.Publication, 1)})
	if !errors.Is(err, queue.ErrUnavailable) || len(tr.steps) > 0 {
		t.Errorf("got %v after %v, want that it is unavailable, and no step", err, tr.steps)
	}
	ack := []journal.Ack{{Delivery: &queue.Delivery{}}}
	if err := services.New(tr, tr).Commit(t.Context(), &journal.Entry{Ack: ack}); err != nil || strings.Join(tr.steps, ", ") != "apply, ack 1" {
		t.Errorf("settling: got %v after %v", err, tr.steps)
	}
}

// Messages that are refused while RabbitMQ is away cost no credit and leave nothing behind.
func TestRefusalsLeaveNothing(t *testing.T) {
	server := testenv.RabbitMQ(t)
	u, err := url.Parse(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	p := newRelay(t, u.Host)
	u.Host = p.addr
	db := testenv.Redis(t)
	s := open(t, rabbit.Config{URL: u.String(), ReconnectMin: 10 * time.Millisecond}, redis.Config{URL: db.URL()})
	if err := s.broker.Declare(t.Context(), qMT); err != nil {
		t.Fatal(err)
	}
	credit := billing.Credit{HasBalance: true, Balance: 1_000_000}
	if err := s.store.Set(t.Context(), "u1", billing.QuotaBalance, credit); err != nil {
		t.Fatal(err)
	}
	entry := func(id sms.MessageID) *journal.Entry {
		return &journal.Entry{
			Charges:  []billing.Charge{{UID: "u1", Bill: billing.BillID(id), Amount: 10_000}},
			Receipts: []sms.ReceiptRequest{{MsgID: id, Origin: sms.OriginHTTP, Parts: 1, Expiry: time.Hour}},
			Records:  []sms.Record{{MsgID: id, UID: "u1", Until: time.Now().Add(time.Hour)}},
			Expiries: []sms.Expiry{{At: time.Now().Add(time.Hour), MsgID: id, CID: "smsc"}},
			Publish:  []queue.Publication{{Queue: qMT, Message: queue.Message{ID: string(id)}}},
		}
	}
	o, err := goredis.ParseURL(db.URL())
	if err != nil {
		t.Fatal(err)
	}
	client := goredis.NewClient(o)
	defer client.Close()
	clean := func(after string) {
		t.Helper()
		if got, err := s.store.Credit(t.Context(), "u1", billing.Credit{}); err != nil || got != credit {
			t.Errorf("%s: %+v is left, %v; want %+v", after, got, err, credit)
		}
		keys, err := client.Keys(t.Context(), "*").Result()
		if want := []string{"quota:u1"}; err != nil || !slices.Equal(keys, want) {
			t.Errorf("%s: Redis holds %v, %v; want %v", after, keys, err, want)
		}
	}
	p.stop()
	deadline := time.Now().Add(patience)
	for s.broker.Healthy() == nil && time.Now().Before(deadline) {
		<-time.After(time.Millisecond)
	}
	for i := range 120 {
		if err := s.Commit(t.Context(), entry(sms.MessageID(fmt.Sprint("away-", i)))); !errors.Is(err, queue.ErrUnavailable) {
			t.Fatalf("message %d: %v", i, err)
		}
	}
	clean("while RabbitMQ was away")
	p.start()
	for s.broker.Healthy() != nil && time.Now().Before(deadline) {
		<-time.After(time.Millisecond)
	}
	e := entry("lost")
	e.Publish[0].Queue = "submit.sm.nobody"
	if err := s.Commit(t.Context(), e); !errors.Is(err, queue.ErrNoQueue) {
		t.Errorf("without a queue: %v", err)
	}
	clean("without a queue")
	if err := s.Commit(t.Context(), entry("sent")); err != nil {
		t.Error(err)
	}
	if err := s.store.TakeBack(t.Context(), entry("never")); err != nil { // there is nothing of it
		t.Error(err)
	}
}

const (
	patience = 5 * time.Minute
	qMT      = queue.Name("submit.sm.smsc")
)

// An entry that only publishes asks nothing of Redis: it is away, and the entry is carried out.
func TestPublishOnlyNeedsNoRedis(t *testing.T) {
	db := testenv.Redis(t)
	p := newRelay(t, db.Addr())
	s := open(t, rabbit.Config{URL: testenv.RabbitMQ(t).URL()}, redis.Config{URL: fmt.Sprintf("redis://%s/%d", p.addr, db.DB)})
	if err := s.broker.Declare(t.Context(), qMT); err != nil {
		t.Fatal(err)
	}
	p.stop()
	pub := queue.Publication{Queue: qMT, Message: queue.Message{ID: "m-1"}}
	if err := s.Commit(t.Context(), &journal.Entry{Publish: []queue.Publication{pub}}); err != nil {
		t.Errorf("publish only: %v", err)
	}
	err := s.Commit(t.Context(), &journal.Entry{Receipts: []sms.ReceiptRequest{{MsgID: "m-2"}}, Publish: []queue.Publication{pub}})
	if !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("with a receipt request: %v, want ErrUnavailable", err)
	}
	if n, err := s.broker.Length(t.Context(), qMT); err != nil || n != 1 {
		t.Errorf("%d messages, %v; want the one without receipt request", n, err)
	}
}

// Connections to the broker end at any moment while messages are settled. Acknowledgements
// get lost by that: their messages come again and are recognised, so that each attempt has
// its effect, and none is lost.
func TestLostAcknowledgementsAreRecognised(t *testing.T) {
	server := testenv.RabbitMQ(t)
	u, err := url.Parse(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	p := newRelay(t, u.Host)
	u.Host = p.addr
	s := open(t, rabbit.Config{URL: u.String(), ReconnectMin: 10 * time.Millisecond, ReconnectMax: 50 * time.Millisecond},
		redis.Config{URL: testenv.Redis(t).URL()})
	if err := s.broker.Declare(t.Context(), qMT, queue.DLRSubmitSMResp); err != nil {
		t.Fatal(err)
	}
	const total, window = 3000, 50
	var ps []queue.Publication
	for i := range total {
		ps = append(ps, queue.Publication{Queue: qMT, Message: queue.Message{ID: fmt.Sprint(i)}})
	}
	if err := s.Commit(t.Context(), &journal.Entry{Publish: ps}); err != nil {
		t.Fatal(err)
	}
	c, err := s.broker.Consume(t.Context(), qMT, window)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	sent := make(map[string]int) // how often an attempt was made
	recognised, cuts := 0, 0
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	// until repeats f while broker or store is away.
	until := func(f func() error) {
		for err := f(); err != nil; err = f() {
			if ctx.Err() != nil || !errors.Is(err, queue.ErrUnavailable) {
				t.Errorf("got %v", err)
				return
			}
			<-time.After(5 * time.Millisecond)
		}
	}
	var wg sync.WaitGroup
	for range window {
		wg.Go(func() {
			for d := range c.C() {
				settled := false
				if d.Redelivered {
					until(func() error {
						got, err := s.Settled(ctx, []*queue.Delivery{d})
						settled = err == nil && got[0]
						return err
					})
				}
				mu.Lock()
				if settled {
					recognised++
				} else {
					sent[d.ID]++
				}
				mu.Unlock()
				e := &journal.Entry{Ack: []journal.Ack{{Delivery: d, Remember: true}}}
				if !settled {
					e.Publish = []queue.Publication{{Queue: queue.DLRSubmitSMResp, Message: queue.Message{ID: d.ID}}}
				}
				until(func() error { return s.Commit(ctx, e) })
			}
		})
	}
	progress := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(sent)
	}
	for next := total / 10; next < total; next += total / 10 {
		for progress() < next && ctx.Err() == nil {
			<-time.After(time.Millisecond)
		}
		p.stop()
		p.start()
		cuts++
	}
	for ctx.Err() == nil {
		n, err := s.broker.Length(ctx, qMT)
		if progress() == total && err == nil && n == 0 {
			break
		}
		<-time.After(5 * time.Millisecond)
	}
	if err := c.Close(context.Background()); err != nil {
		t.Error(err)
	}
	wg.Wait()
	repeated := 0
	for _, n := range sent {
		repeated += n - 1
	}
	if len(sent) != total {
		t.Errorf("%d of %d messages were handled", len(sent), total)
	}
	if limit := cuts * window; repeated > limit {
		t.Errorf("%d attempts were made again, want at most %d (%d cuts, window %d)", repeated, limit, cuts, window)
	}
	// Everything that follows from an attempt is there.
	out, err := s.broker.Consume(t.Context(), queue.DLRSubmitSMResp, 100)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for len(seen) < total {
		select {
		case d := <-out.C():
			seen[d.ID] = true
			if err := s.broker.Ack(t.Context(), d); err != nil {
				t.Fatal(err)
			}
		case <-ctx.Done():
			t.Fatalf("%d of %d effects came", len(seen), total)
		}
	}
	t.Logf("%d cuts: %d attempts repeated, %d recognised as settled", cuts, repeated, recognised)
}

// The one window in which an acknowledgement is lost for certain: everything was carried
// out and the connection ended before the acknowledgement.
func TestRedeliveryAfterALostAcknowledgement(t *testing.T) {
	server := testenv.RabbitMQ(t)
	u, err := url.Parse(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	p := newRelay(t, u.Host)
	u.Host = p.addr
	s := open(t, rabbit.Config{URL: u.String(), ReconnectMin: 10 * time.Millisecond}, redis.Config{URL: testenv.Redis(t).URL()})
	if err := s.broker.Declare(t.Context(), qMT); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(t.Context(), &journal.Entry{Publish: []queue.Publication{{Queue: qMT, Message: queue.Message{ID: "1"}}, {Queue: qMT, Message: queue.Message{ID: "2"}}}}); err != nil {
		t.Fatal(err)
	}
	c, err := s.broker.Consume(t.Context(), qMT, 2)
	if err != nil {
		t.Fatal(err)
	}
	first := []*queue.Delivery{<-c.C(), <-c.C()}
	p.stop()
	// Nothing to publish, so it is carried out while the broker is away; the ack is stale.
	var again []*queue.Delivery
	if err := s.Commit(t.Context(), &journal.Entry{Ack: []journal.Ack{{Delivery: first[0], Remember: true}}}); err != nil {
		t.Fatal(err)
	}
	p.start()
	for range 2 {
		d := <-c.C()
		if !d.Redelivered {
			t.Errorf("%s is not marked redelivered", d.ID)
		}
		again = append(again, d)
	}
	slices.SortFunc(again, func(a, b *queue.Delivery) int { return strings.Compare(a.ID, b.ID) })
	got, err := s.Settled(t.Context(), again)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, []bool{true, false}) {
		t.Errorf("settled: %v, want the first only", got)
	}
}
