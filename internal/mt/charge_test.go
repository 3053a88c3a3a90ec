package mt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"jasmind/internal/account"
	"jasmind/internal/billing"
	"jasmind/internal/journal"
	"jasmind/internal/queue"
	"jasmind/internal/sms"
)

func amount(t *testing.T, s string) billing.Amount {
	t.Helper()
	a, err := billing.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// quotas sets mt_messaging_cred quota keys: "balance=10 early_percent=25".
func quotas(t *testing.T, text string) *account.User {
	t.Helper()
	return userWith(func(u *account.User) {
		for pair := range strings.FieldsSeq(text) {
			key, value, _ := strings.Cut(pair, "=")
			if err := account.SetCredential(&u.Credentials, account.MTMessagingCred, account.SectionQuota, key, value); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestWhatAMessageCosts(t *testing.T) {
	long := strings.Repeat("x", 400) // 3 parts
	for _, tt := range []struct {
		name, quotas, rate, text string
		cfg                      Config
		charge                   string // amount, need, count; "": nothing is charged
		bill                     sms.Bill
	}{
		{"no quota, rated route", "", "1.2", "hi", Config{}, "", sms.Bill{}},
		{"a balance, unrated route", "balance=10", "0", "hi", Config{}, "", sms.Bill{}},
		{"a balance of nothing, unrated route", "balance=0", "0", "hi", Config{}, "", sms.Bill{}},
		{"one SMS through a route rated 1.2", "balance=10", "1.2", "hi", Config{}, "1.2 1.2 0", sms.Bill{Charged: true, Early: 1_200_000}},
		{"each part", "balance=10", "0.2", long, Config{}, "0.6 0.6 0", sms.Bill{Charged: true, Early: 200_000}},
		{"early_percent 25 of 1.2", "balance=10 early_percent=25", "1.2", "hi", Config{}, "0.3 1.2 0", sms.Bill{Charged: true, Early: 300_000, Rest: 900_000}},
		{"early_percent of each part", "balance=10 early_percent=25", "0.2", long, Config{}, "0.15 0.6 0", sms.Bill{Charged: true, Early: 50_000, Rest: 150_000}},
		{"early_percent 100", "balance=10 early_percent=100", "1.2", "hi", Config{}, "1.2 1.2 0", sms.Bill{Charged: true, Early: 1_200_000}},
		{"what a millionth cannot express is the rest's", "balance=10 early_percent=33", "0.000001", "hi", Config{}, "0 0.000001 0", sms.Bill{Charged: true, Rest: 1}},
		{"sms_count, unrated route", "sms_count=10", "0", long, Config{}, "0 0 3", sms.Bill{Charged: true}},
		{"sms_count, rated route, unlimited balance", "sms_count=10 early_percent=25", "1.2", "hi", Config{}, "0 0 1", sms.Bill{Charged: true}},
		{"both quotas", "sms_count=10 balance=3", "1.2", long, Config{}, "3.6 3.6 3", sms.Bill{Charged: true, Early: 1_200_000}},
		{"without billing", "sms_count=10 balance=3", "1.2", "hi", Config{FreeHTTP: true}, "", sms.Bill{}},
		{"without billing at the other door", "balance=3", "1.2", "hi", Config{FreeSMPP: true}, "1.2 1.2 0", sms.Bill{Charged: true, Early: 1_200_000}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake()
			f.rate = amount(t, tt.rate)
			m := text(tt.text)
			m.User = quotas(t, tt.quotas)
			e, env := f.submit(t, f.service(tt.cfg), m)
			if env.Bill != tt.bill {
				t.Errorf("bill %+v, want %+v", env.Bill, tt.bill)
			}
			if tt.charge == "" {
				if e.Charges != nil {
					t.Errorf("charged %+v", e.Charges)
				}
				return
			}
			if len(e.Charges) != 1 {
				t.Fatalf("charges %+v", e.Charges)
			}
			c := e.Charges[0]
			if got := fmt.Sprint(c.Amount, " ", c.Required(), " ", c.Count); got != tt.charge {
				t.Errorf("charged %s, want %s", got, tt.charge)
			}
			if c.UID != "u1" || c.Bill != billing.BillID(env.ID) || c.Owed || c.Open != m.User.Credit() {
				t.Errorf("charge %+v", c)
			}
			if q, err := f.service(tt.cfg).Quote(t.Context(), text(tt.text)); err != nil || q != (Quote{Parts: len(env.Parts)}) {
				t.Errorf("quote for nobody: %+v, %v", q, err)
			}
		})
	}
}

func TestNoCreditIsNoCreditForAnyone(t *testing.T) {
	f := newFake()
	f.rate = 1 << 62
	f.cfg.Coding = 0
	m := text(strings.Repeat("x", 400))
	m.User = quotas(t, "balance=4000000000000")
	if _, err := f.service(Config{}).Submit(t.Context(), m); sms.ReasonOf(err) != sms.ReasonNoCredit || len(f.entries) != 0 {
		t.Errorf("got %v", err) // 3 x 2^62 fits no balance
	}
	f.rate = 1
	refusal := &sms.Error{Reason: sms.ReasonNoCredit, Detail: "Not enough balance"}
	f.commit = fmt.Errorf("store: commit: %w", refusal)
	m = text("hi")
	m.User = quotas(t, "balance=1")
	if _, err := f.service(Config{}).Submit(t.Context(), m); !errors.Is(err, refusal) || sms.ReasonOf(err) != sms.ReasonNoCredit {
		t.Errorf("got %v", err)
	}
}

func TestQuote(t *testing.T) {
	f := newFake()
	f.rate = amount(t, "2.8")
	s := f.service(Config{MaxParts: 2})
	for _, tt := range []struct {
		quotas, text string
		want         Quote
	}{
		{"balance=0", "", Quote{2_800_000, 1}},
		{"balance=0 early_percent=10", strings.Repeat("x", 161), Quote{2_800_000, 2}},
		{"balance=0", strings.Repeat("x", 1000), Quote{2_800_000, 2}},
		{"sms_count=1", "hi", Quote{0, 1}},
		{"", "hi", Quote{0, 1}},
	} {
		m := text(tt.text)
		m.User = quotas(t, tt.quotas)
		if got, err := s.Quote(t.Context(), m); err != nil || got != tt.want {
			t.Errorf("%+v: got %+v, %v", tt, got, err)
		}
	}
	f.cfg.Coding = 8
	m := text(strings.Repeat("x", 71))
	m.User = quotas(t, "balance=0")
	if got, err := s.Quote(t.Context(), m); err != nil || got.Parts != 2 {
		t.Errorf("in the connector's coding: %+v, %v", got, err)
	}
	f.noRoute = true
	if _, err := s.Quote(t.Context(), text("hi")); sms.ReasonOf(err) != sms.ReasonNoRoute {
		t.Errorf("got %v", err)
	}
	if len(f.entries) != 0 {
		t.Error("something was committed")
	}
}

// poor refuses entries with more than one charge, as a ledger does that has credit for one.
type poor struct{ *fake }

func (p poor) Commit(ctx context.Context, e *journal.Entry) error {
	if len(e.Charges) > 1 || len(e.Charges) == 1 && strings.Contains(string(e.Publish[0].Message.Body), "dear") {
		return e.Charges[0].LackOfBalance(1)
	}
	return p.fake.Commit(ctx, e)
}

func TestOneMessageWithoutCreditDoesNotRefuseTheOthers(t *testing.T) {
	f := newFake()
	f.rate = 1
	s := f.over(Config{}, func(d *Deps) { d.Journal = poor{f} })
	u := quotas(t, "balance=1")
	var ms []*Message
	for _, body := range []string{"one", "dear", "three"} {
		m := text(body)
		m.User = u
		ms = append(ms, m)
	}
	results := s.SubmitAll(t.Context(), ms)
	for i, r := range results {
		if want := i == 1; (sms.ReasonOf(r.Err) == sms.ReasonNoCredit && r.Err != nil) != want || (r.ID == "") != want {
			t.Errorf("message %d: %+v", i, r)
		}
	}
	if len(f.entries) != 2 {
		t.Errorf("%d entries", len(f.entries))
	}
}

// feed is a queue of deliveries, and a journal that fails at first.
type feed struct {
	c       chan *queue.Delivery
	entries chan *journal.Entry
	fail    int
	closed  bool
}

func (f *feed) Consume(_ context.Context, name queue.Name, _ int) (queue.Consumer, error) {
	if name != queue.BillRequests {
		return nil, queue.ErrNoQueue
	}
	return f, nil
}
func (f *feed) C() <-chan *queue.Delivery   { return f.c }
func (f *feed) Close(context.Context) error { f.closed = true; return nil }
func (f *feed) Settled(context.Context, []*queue.Delivery) ([]bool, error) {
	return nil, errors.New("not asked")
}
func (f *feed) Commit(_ context.Context, e *journal.Entry) error {
	if f.fail > 0 {
		f.fail--
		return queue.ErrUnavailable
	}
	f.entries <- e
	return nil
}

func TestBillRequestsAreChargedTogetherAndInsisted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &feed{c: make(chan *queue.Delivery, 10), entries: make(chan *journal.Entry, 10), fail: 9}
		b := NewBills(f, f, slog.New(slog.DiscardHandler))
		r := queue.BillRequest{Bill: "m1/1", UID: "u1", Amount: 150_000}
		for _, m := range []queue.Message{r.Publication().Message, {ID: "bad"}, r.Publication().Message} {
			f.c <- &queue.Delivery{Message: m, Queue: queue.BillRequests}
		}
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- b.Run(ctx) }()
		time.Sleep(time.Minute)
		synctest.Wait()
		e := <-f.entries
		owed := billing.Charge{UID: "u1", Bill: "m1/1", Amount: 150_000, Owed: true}
		if want := []billing.Charge{owed, owed}; !reflect.DeepEqual(e.Charges, want) || len(e.Ack) != 3 || len(e.Publish) != 1 || e.Publish[0].Queue != queue.DeadLetter {
			t.Errorf("committed %+v", e)
		}
		for _, a := range e.Ack {
			if !a.Remember {
				t.Error("an attempt is not remembered")
			}
		}
		if b.Charged.Load() != 2 || b.Undecodable.Load() != 1 {
			t.Errorf("counted %d and %d", b.Charged.Load(), b.Undecodable.Load())
		}
		cancel()
		if err := <-ran; err != nil || !f.closed {
			t.Errorf("Run: %v, closed %v", err, f.closed)
		}
	})
}

func TestBillsEndWhenTheirQueueDoes(t *testing.T) {
	f := &feed{c: make(chan *queue.Delivery)}
	close(f.c)
	if err := NewBills(f, f, slog.New(slog.DiscardHandler)).Run(t.Context()); err == nil {
		t.Error("no error")
	}
}
