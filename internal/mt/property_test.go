package mt

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"jasmind/internal/account"
	"jasmind/internal/billing"
	"jasmind/internal/journal"
	"jasmind/internal/localdb"
	"jasmind/internal/queue"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

// till is an embedded gateway's money: Submit, what a connector puts back and settles, the bills that
// come afterwards, changes by an operator, restarts in between, and crashes that lose what was not synced.
type till struct {
	*rapid.T
	t     *testing.T
	disk  *vfs.MemFS
	st    *stack
	f     *fake
	svc   *Service
	user  *account.User
	subs  queue.Consumer
	bills queue.Consumer

	messages int // in their queue
	due      int // bill requests in theirs
	paid     map[billing.BillID]bool
	want     billing.Credit
	changes  int
}

func (m *till) must(err error) {
	if err != nil {
		m.Fatal(err)
	}
}

func (m *till) open() {
	m.st = openStackOn(m.t, "db", localdb.Config{FS: m.disk})
	m.must(m.st.q.Declare(m.t.Context(), queue.BillRequests))
	m.svc = m.f.over(Config{}, func(d *Deps) { d.Journal, d.Backlog = m.st.j, m.st.q })
	var err error
	m.subs, err = m.st.q.Consume(m.t.Context(), queue.SubmitSM(cid), 10_000)
	m.must(err)
	m.bills, err = m.st.q.Consume(m.t.Context(), queue.BillRequests, 10_000)
	m.must(err)
}

func (m *till) close() {
	m.must(m.subs.Close(m.t.Context()))
	m.must(m.bills.Close(m.t.Context()))
	m.st.close()
}

// crash opens what a power failure now would leave on the disk. Deliveries are in somebody's hand.
func (m *till) crash(t *rapid.T) {
	m.hold(t)
	left := m.disk.CrashClone(vfs.CrashCloneCfg{})
	m.close() // it only stops: what it still writes goes to the old disk
	m.disk = left
	m.open()
}

// hold takes some deliveries, which nobody settles.
func (m *till) hold(t *rapid.T) {
	for range min(m.messages, rapid.IntRange(0, 3).Draw(t, "messages in hand")) {
		m.next(m.subs)
	}
	for range min(m.due, rapid.IntRange(0, 3).Draw(t, "bill requests in hand")) {
		m.next(m.bills)
	}
}

func (m *till) next(c queue.Consumer) *queue.Delivery {
	select {
	case d := <-c.C():
		return d
	case <-time.After(2 * time.Minute):
		m.Fatal("nothing was delivered")
	}
	return nil
}

func (m *till) left() billing.Credit {
	c, err := m.st.store.Credit(m.t.Context(), m.user.UID, m.user.Credit())
	m.must(err)
	return c
}

func (m *till) send(t *rapid.T) {
	m.f.rate = billing.Amount(rapid.Int64Range(0, 1_500_000).Draw(t, "rate"))
	msg := text(strings.Repeat("x", rapid.SampledFrom([]int{1, 161, 400}).Draw(t, "length")))
	msg.User = m.user
	parts, err := m.svc.Count(msg)
	m.must(err)
	early := m.f.rate
	if q := m.user.MT.Quota.EarlyPercent; q.Set {
		early, _ = billing.Split(m.f.rate, q.Value)
	}
	whole := m.f.rate * billing.Amount(parts)
	before := m.left()
	enough := (whole == 0 || before.Balance >= whole) && before.Count >= int64(parts)
	if _, err := m.svc.Submit(m.t.Context(), msg); err != nil {
		if enough || sms.ReasonOf(err) != sms.ReasonNoCredit {
			m.Fatalf("%d parts at %s with %+v: %v", parts, m.f.rate, before, err)
		}
		return
	}
	if !enough {
		m.Fatalf("%d parts at %s were sent with %+v", parts, m.f.rate, before)
	}
	m.messages++
	m.want.Balance -= early * billing.Amount(parts)
	m.want.Count -= int64(parts)
}

// retry is what a connector commits when a message is to be tried again.
func (m *till) retry(t *rapid.T) {
	if m.messages == 0 {
		return
	}
	d := m.next(m.subs)
	env, err := queue.DecodeEnvelope(d)
	m.must(err)
	env.Refusals = map[pdu.Status]int{pdu.StatusThrottled: d.Attempts + 1}
	r := queue.Retry{Delivery: d, Headers: queue.EnvelopeHeaders(env), After: time.Duration(rapid.IntRange(0, 1).Draw(t, "later")) * time.Millisecond}
	m.must(m.st.j.Commit(m.t.Context(), &journal.Entry{Retry: []queue.Retry{r}}))
}

// settle is what a connector commits for one message.
func (m *till) settle(t *rapid.T) {
	if m.messages == 0 {
		return
	}
	d := m.next(m.subs)
	env, err := queue.DecodeEnvelope(d)
	m.must(err)
	var e journal.Entry
	refused := 0
	for i := range env.Parts {
		switch {
		case rapid.Bool().Draw(t, "refused"):
			refused++
		case env.Bill.Rest > 0:
			r := queue.BillRequest{Bill: billing.PartBill(env.ID, i+1), UID: env.UID, Amount: billing.Amount(env.Bill.Rest)}
			e.Publish = append(e.Publish, r.Publication())
		}
	}
	if env.Bill.Charged {
		e.Confirm = append(e.Confirm, billing.BillID(env.ID))
		if back := billing.Amount(env.Bill.Early) * billing.Amount(refused); back > 0 {
			e.Charges = append(e.Charges, billing.Charge{UID: env.UID, Bill: billing.RefundBill(env.ID), Amount: -back, Owed: true})
			m.want.Balance += back
		}
	}
	e.Ack = []journal.Ack{{Delivery: d, Remember: true}}
	m.must(m.st.j.Commit(m.t.Context(), &e))
	m.messages--
	m.due += len(e.Publish)
	if rapid.Bool().Draw(t, "the answer was lost, again") {
		m.must(m.st.j.Commit(m.t.Context(), &e))
		m.due += len(e.Publish)
	}
}

// charge is what Bills commits for one request.
func (m *till) charge(t *rapid.T) {
	if m.due == 0 {
		return
	}
	d := m.next(m.bills)
	r, err := queue.DecodeBillRequest(d)
	m.must(err)
	e := journal.Entry{Charges: []billing.Charge{{UID: r.UID, Bill: r.Bill, Amount: r.Amount, Owed: true}}, Ack: []journal.Ack{{Delivery: d, Remember: true}}}
	m.must(m.st.j.Commit(m.t.Context(), &e))
	if rapid.Bool().Draw(t, "the answer was lost, again") {
		m.must(m.st.j.Commit(m.t.Context(), &e))
	}
	m.due--
	if !m.paid[r.Bill] {
		m.want.Balance -= r.Amount
	}
	m.paid[r.Bill] = true
}

func (m *till) change(t *rapid.T) {
	m.changes++
	ch := billing.Change{Bill: billing.BillID(fmt.Sprint("change ", m.changes)), Open: m.user.Credit(),
		Balance: billing.Amount(rapid.Int64Range(-1_000_000, 5_000_000).Draw(t, "delta")), Count: rapid.Int64Range(-3, 5).Draw(t, "count")}
	for range rapid.IntRange(1, 2).Draw(t, "times") {
		_, err := m.st.store.Adjust(m.t.Context(), m.user.UID, ch)
		m.must(err)
	}
	m.want.Balance += ch.Balance
	m.want.Count += ch.Count
}

// set is a new balance from the console, whatever is left.
func (m *till) set(t *rapid.T) {
	m.want.Balance = billing.Amount(rapid.Int64Range(0, 20_000_000).Draw(t, "new balance"))
	m.must(m.st.store.Set(m.t.Context(), m.user.UID, billing.QuotaBalance, billing.Credit{HasBalance: true, Balance: m.want.Balance}))
}

func (m *till) check(*rapid.T) {
	if got := m.left(); got != m.want {
		m.Fatalf("%+v left, want %+v", got, m.want)
	}
}

// Any interleaving of sends, retries, answers, refunds, repeats, restarts, crashes and changes keeps
// balance = start - charged + credited, to the last millionth.
func TestEveryInterleavingKeepsTheBalance(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		u := userWith(func(u *account.User) {
			u.MT.Quota.Balance = account.Limit[billing.Amount]{Set: true, Value: billing.Amount(rapid.Int64Range(0, 20_000_000).Draw(rt, "balance"))}
			u.MT.Quota.SMSCount = account.Limit[int]{Set: true, Value: rapid.IntRange(0, 60).Draw(rt, "sms_count")}
			if rapid.Bool().Draw(rt, "asynchronous") {
				u.MT.Quota.EarlyPercent = account.Limit[billing.Amount]{Set: true, Value: billing.Amount(rapid.Int64Range(1_000_000, 100_000_000).Draw(rt, "early_percent"))}
			}
		})
		m := &till{T: rt, t: t, disk: vfs.NewCrashableMem(), f: newFake(), user: u, want: u.Credit(), paid: map[billing.BillID]bool{}}
		m.f.cfg.Coding = 0
		m.open()
		defer func() { m.close() }()
		rt.Repeat(map[string]func(*rapid.T){
			"": m.check, "send": m.send, "send more": m.send, "retry": m.retry, "settle": m.settle, "charge": m.charge, "change": m.change, "set": m.set,
			"restart": func(t *rapid.T) {
				if rapid.IntRange(0, 9).Draw(t, "seldom") == 0 {
					m.hold(t)
					m.close()
					m.open()
				}
			},
			"crash": func(t *rapid.T) {
				if rapid.IntRange(0, 4).Draw(t, "seldom") == 0 {
					m.crash(t)
				}
			},
		})
		for m.messages > 0 {
			m.settle(rt)
		}
		for m.due > 0 {
			m.charge(rt)
		}
		m.check(rt)
	})
}
