package storetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"testing"

	"jasmind/internal/billing"
	"jasmind/internal/sms"
)

// Ledger is one ledger under test.
type Ledger struct {
	billing.Ledger
	// Charge carries out the charges of an entry that has nothing else.
	Charge func(ctx context.Context, cs ...billing.Charge) error
	// Reopen closes the ledger and gives a new one over the same records.
	Reopen func(t *testing.T) Ledger
}

// RunLedger runs the contract of ledgers. open makes a fresh, empty instance and cleans it
// up with t.Cleanup.
func RunLedger(t *testing.T, open func(t *testing.T) Ledger) {
	for _, c := range []struct {
		name string
		test func(*ledgerEnv)
	}{
		{"an opening value is used once", testOpening},
		{"a charge takes from both quotas", testCharge},
		{"a charge is refused whole", testRefusal},
		{"the whole amount must be there, and only a part is taken", testNeed},
		{"several charges are all made or none", testAllOrNone},
		{"a bill is charged once", testOnce},
		{"what is owed is taken below zero, and once", testOwed},
		{"a user nobody knows owes nothing", testOwedUnknown},
		{"changes of an operator", testAdjust},
		{"a quota that would not fit is left alone", testOverflow},
		{"quotas are set and forgotten", testSet},
		{"a user who was removed begins anew", testRemove},
		{"every account is told of", testAccounts},
		{"amounts are exact to the last millionth", testExact},
		{"what is malformed is refused", testMalformed},
		{"everything is there after a restart", testLedgerRestart},
		{"concurrent charges never take more than there is", testConcurrentCharges},
		{"an ended context refuses", testLedgerContext},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.test(&ledgerEnv{T: t, l: open(t), ctx: t.Context()})
		})
	}
}

type ledgerEnv struct {
	*testing.T
	l   Ledger
	ctx context.Context
}

// limited is a credit with both quotas.
func limited(balance billing.Amount, count int64) billing.Credit {
	return billing.Credit{HasBalance: true, Balance: balance, HasCount: true, Count: count}
}

func (e *ledgerEnv) charge(cs ...billing.Charge) {
	e.Helper()
	if err := e.l.Charge(e.ctx, cs...); err != nil {
		e.Fatal(err)
	}
}

func (e *ledgerEnv) refused(detail string, cs ...billing.Charge) {
	e.Helper()
	err := e.l.Charge(e.ctx, cs...)
	var se *sms.Error
	if !errors.As(err, &se) || se.Reason != sms.ReasonNoCredit || se.Detail != detail {
		e.Errorf("got %v, want %s", err, detail)
	}
}

// left checks what a user has left; of what the ledger does not know, that it is unlimited.
func (e *ledgerEnv) left(uid sms.UserID, want billing.Credit) {
	e.Helper()
	got, err := e.l.Credit(e.ctx, uid, billing.Credit{})
	if err != nil {
		e.Fatal(err)
	}
	if got != want {
		e.Errorf("%s has %+v left, want %+v", uid, got, want)
	}
}

func testOpening(e *ledgerEnv) {
	open := limited(100, 5)
	if c, err := e.l.Credit(e.ctx, "u1", open); err != nil || c != open {
		e.Errorf("got %+v, %v", c, err)
	}
	e.left("u1", billing.Credit{}) // looking does not open
	e.charge(billing.Charge{UID: "u1", Bill: "b1", Amount: 30, Count: 1, Open: open})
	e.left("u1", limited(70, 4))
	e.charge(billing.Charge{UID: "u1", Bill: "b2", Amount: 30, Count: 1, Open: limited(1000, 1000)})
	e.left("u1", limited(40, 3))
	if c, err := e.l.Credit(e.ctx, "u1", limited(1000, 1000)); err != nil || c != limited(40, 3) {
		e.Errorf("got %+v, %v", c, err)
	}
	e.left("u2", billing.Credit{})
	// A quota that comes later opens by itself.
	e.charge(billing.Charge{UID: "u2", Bill: "b3", Count: 1, Open: billing.Credit{HasCount: true, Count: 9}})
	e.left("u2", billing.Credit{HasCount: true, Count: 8})
	e.charge(billing.Charge{UID: "u2", Bill: "b4", Amount: 1, Count: 1, Open: limited(10, 99)})
	e.left("u2", limited(9, 7))
}

func testCharge(e *ledgerEnv) {
	e.charge(billing.Charge{UID: "u1", Bill: "b1", Amount: 10, Count: 2, Open: limited(10, 2)}) // to the last of it
	e.left("u1", limited(0, 0))
	e.charge(billing.Charge{UID: "u1", Bill: "b2"}) // nothing is always there
	e.charge(billing.Charge{UID: "u3", Bill: "b3", Amount: 10, Count: 2})
	e.left("u3", billing.Credit{}) // unlimited
}

func testRefusal(e *ledgerEnv) {
	open := limited(350_000, 2)
	e.refused("Not enough balance (0.35) for charging: 0.350001", billing.Charge{UID: "u1", Bill: "b1", Amount: 350_001, Count: 1, Open: open})
	e.refused("Not enough submit_sm_count (2) for charging: 3", billing.Charge{UID: "u1", Bill: "b1", Amount: 1, Count: 3, Open: open})
	e.charge(billing.Charge{UID: "u1", Bill: "b1", Amount: 350_000, Count: 2, Open: open}) // nothing was taken, nor the bill
	e.left("u1", limited(0, 0))
}

func testNeed(e *ledgerEnv) {
	open := billing.Credit{HasBalance: true, Balance: 10}
	e.refused("Not enough balance (0.00001) for charging: 0.000011", billing.Charge{UID: "u1", Bill: "b1", Amount: 3, Need: 11, Open: open})
	e.charge(billing.Charge{UID: "u1", Bill: "b1", Amount: 3, Need: 10, Open: open})
	e.left("u1", billing.Credit{HasBalance: true, Balance: 7})
	e.charge(billing.Charge{UID: "u1", Bill: "b2", Need: 7})
	e.left("u1", billing.Credit{HasBalance: true, Balance: 7})
}

func testAllOrNone(e *ledgerEnv) {
	a := billing.Charge{UID: "u1", Bill: "b1", Amount: 6, Count: 1, Open: limited(10, 10)}
	b := billing.Charge{UID: "u2", Bill: "b2", Amount: 6, Count: 1, Open: limited(20, 10)}
	c := billing.Charge{UID: "u1", Bill: "b3", Amount: 6, Count: 1, Open: limited(10, 10)}
	e.refused("Not enough balance (0.000004) for charging: 0.000006", a, b, c)
	e.charge(a, b)
	e.left("u1", limited(4, 9))
	e.left("u2", limited(14, 9))
}

func testOnce(e *ledgerEnv) {
	c := billing.Charge{UID: "u1", Bill: "b1", Amount: 6, Count: 1, Open: limited(10, 10)}
	e.charge(c)
	e.charge(c)
	e.charge(c, c)
	e.left("u1", limited(4, 9))
	c.Bill = "b2"
	c.Amount = 2
	e.charge(c, c) // twice in one entry
	e.left("u1", limited(2, 8))
}

func testOwed(e *ledgerEnv) {
	e.charge(billing.Charge{UID: "u1", Bill: "b1", Amount: 4, Open: limited(10, 10)})
	owed := billing.Charge{UID: "u1", Bill: "b1/1", Amount: 9, Owed: true}
	e.charge(owed)
	e.charge(owed, owed)
	e.left("u1", limited(-3, 10))
	e.refused("Not enough balance (-0.000003) for charging: 0.000001", billing.Charge{UID: "u1", Bill: "b2", Amount: 1})
	e.charge(billing.Charge{UID: "u1", Bill: "b1/refund", Amount: -5, Count: -2, Owed: true}, billing.Charge{UID: "u1", Bill: "b1/2", Amount: 1, Owed: true})
	e.left("u1", limited(1, 12))
}

func testOwedUnknown(e *ledgerEnv) {
	e.charge(billing.Charge{UID: "u1", Bill: "b1", Amount: 4, Owed: true, Open: limited(10, 10)})
	e.left("u1", billing.Credit{})
	e.charge(billing.Charge{UID: "u1", Bill: "b2", Count: 1, Open: billing.Credit{HasCount: true, Count: 5}})
	e.charge(billing.Charge{UID: "u1", Bill: "b3", Amount: 4, Owed: true})
	e.left("u1", billing.Credit{HasCount: true, Count: 4})
}

func testAdjust(e *ledgerEnv) {
	ten := billing.Change{Bill: "c1", Balance: 10, Open: limited(100, 5)}
	adjust := func(ch billing.Change, want billing.Credit) {
		e.Helper()
		if c, err := e.l.Adjust(e.ctx, "u1", ch); err != nil || c != want {
			e.Errorf("got %+v, %v, want %+v", c, err, want)
		}
	}
	adjust(ten, limited(110, 5))
	adjust(ten, limited(110, 5)) // a repeat
	adjust(billing.Change{Bill: "c2", Balance: -22, Count: -6, Open: limited(999, 999)}, limited(88, -1))
	e.left("u1", limited(88, -1))
	_, err := e.l.Adjust(e.ctx, "u2", billing.Change{Bill: "c3", Balance: 1, Open: billing.Credit{HasCount: true, Count: 1}})
	if !errors.Is(err, billing.ErrUnlimited) {
		e.Errorf("got %v", err)
	}
	_, err = e.l.Adjust(e.ctx, "u2", billing.Change{Bill: "c4", Count: 1, Open: billing.Credit{HasBalance: true}})
	if !errors.Is(err, billing.ErrUnlimited) {
		e.Errorf("got %v", err)
	}
}

func testOverflow(e *ledgerEnv) {
	e.charge(billing.Charge{UID: "u1", Bill: "b1", Amount: 1, Open: limited(1<<63-1, 1<<63-1)})
	_, err := e.l.Adjust(e.ctx, "u1", billing.Change{Bill: "c1", Balance: 1, Count: 1})
	if !errors.Is(err, billing.ErrOverflow) {
		e.Errorf("got %v", err)
	}
	e.left("u1", limited(1<<63-2, 1<<63-1))
	if c, err := e.l.Adjust(e.ctx, "u1", billing.Change{Bill: "c1", Balance: 1}); err != nil || c != limited(1<<63-1, 1<<63-1) {
		e.Errorf("got %+v, %v", c, err)
	}
}

func (e *ledgerEnv) set(which billing.Quotas, c billing.Credit) {
	e.Helper()
	if err := e.l.Set(e.ctx, "u1", which, c); err != nil {
		e.Fatal(err)
	}
}

func testSet(e *ledgerEnv) {
	e.set(billing.QuotaBalance, limited(7, 99))
	e.left("u1", billing.Credit{HasBalance: true, Balance: 7})
	e.set(billing.QuotaCount, limited(99, 3))
	e.left("u1", limited(7, 3))
	e.set(billing.QuotaBalance, billing.Credit{})
	e.left("u1", billing.Credit{HasCount: true, Count: 3})
	e.set(billing.QuotaBalance|billing.QuotaCount, limited(1, 2))
	e.left("u1", limited(1, 2))
	e.set(0, billing.Credit{})
	e.left("u1", limited(1, 2))
}

func testRemove(e *ledgerEnv) {
	e.charge(billing.Charge{UID: "u1", Bill: "b1", Amount: 4, Open: limited(10, 10)})
	if err := e.l.Remove(e.ctx, "u1"); err != nil {
		e.Fatal(err)
	}
	e.left("u1", billing.Credit{})
	if err := e.l.Remove(e.ctx, "u1"); err != nil {
		e.Error(err)
	}
	e.charge(billing.Charge{UID: "u1", Bill: "b2", Amount: 4, Open: limited(10, 10)})
	e.left("u1", limited(6, 10))
}

func testAccounts(e *ledgerEnv) {
	told := func() map[sms.UserID]billing.Credit {
		e.Helper()
		got := make(map[sms.UserID]billing.Credit)
		if err := e.l.Accounts(e.ctx, func(uid sms.UserID, c billing.Credit) error { got[uid] = c; return nil }); err != nil {
			e.Fatal(err)
		}
		return got
	}
	if got := told(); len(got) != 0 {
		e.Errorf("an empty ledger tells of %v", got)
	}
	want := make(map[sms.UserID]billing.Credit)
	for i := range 30 {
		uid := sms.UserID(fmt.Sprint("user_", i))
		e.charge(billing.Charge{UID: uid, Bill: billing.BillID(fmt.Sprint("b", i)), Amount: billing.Amount(i), Count: 1, Open: limited(100, 10)})
		want[uid] = limited(100-billing.Amount(i), 9)
	}
	want["u1"] = billing.Credit{HasCount: true, Count: 3}
	e.set(billing.QuotaCount, limited(0, 3))
	if got := told(); !maps.Equal(got, want) {
		e.Errorf("told of %v, want %v", got, want)
	}
	// It may forget whom it is told of.
	if err := e.l.Accounts(e.ctx, func(uid sms.UserID, _ billing.Credit) error { return e.l.Remove(e.ctx, uid) }); err != nil {
		e.Fatal(err)
	}
	if got := told(); len(got) != 0 {
		e.Errorf("still told of %v", got)
	}
	e.set(billing.QuotaCount, limited(0, 3))
	stop := errors.New("enough")
	if err := e.l.Accounts(e.ctx, func(sms.UserID, billing.Credit) error { return stop }); !errors.Is(err, stop) {
		e.Errorf("got %v", err)
	}
}

func testExact(e *ledgerEnv) {
	const big = billing.Amount(1<<62 + 1) // no float holds it
	e.charge(billing.Charge{UID: "u1", Bill: "b1", Amount: 1, Need: big, Open: limited(big, 1<<53+1)})
	e.left("u1", limited(big-1, 1<<53+1))
	e.refused(fmt.Sprintf("Not enough balance (%s) for charging: %s", big-1, big), billing.Charge{UID: "u1", Bill: "b2", Amount: big})
	e.charge(billing.Charge{UID: "u1", Bill: "b2", Amount: big - 2, Count: 1})
	e.left("u1", limited(1, 1<<53))
}

func testMalformed(e *ledgerEnv) {
	for _, c := range []billing.Charge{
		{Bill: "b1", Amount: 1}, {UID: "u1", Amount: 1}, {UID: "u1", Bill: "b1", Amount: -1}, {UID: "u1", Bill: "b1", Need: -1},
		{UID: "u1", Bill: "b1", Count: -1}, {UID: "u1", Bill: "b1", Amount: -1 << 63, Owed: true},
	} {
		if err := e.l.Charge(e.ctx, c); err == nil || sms.ReasonOf(err) != sms.ReasonInternal {
			e.Errorf("%+v: got %v", c, err)
		}
	}
	e.left("u1", billing.Credit{})
}

func testLedgerRestart(e *ledgerEnv) {
	c := billing.Charge{UID: "u1", Bill: "b1", Amount: 4, Count: 1, Open: limited(10, 10)}
	e.charge(c)
	owed := billing.Charge{UID: "u1", Bill: "b1/1", Amount: 1, Owed: true}
	e.charge(owed)
	e.l = e.l.Reopen(e.T)
	e.charge(owed)
	e.charge(c)
	e.left("u1", limited(5, 9))
}

func testConcurrentCharges(e *ledgerEnv) {
	const clients, each = 50, 8
	var made atomic.Int64
	var wg sync.WaitGroup
	for client := range clients {
		wg.Go(func() {
			for i := range each {
				err := e.l.Charge(e.ctx, billing.Charge{UID: "u1", Bill: billing.BillID(fmt.Sprint(client, "-", i)), Amount: 350_000,
					Open: billing.Credit{HasBalance: true, Balance: 100 * billing.Unit}})
				switch {
				case err == nil:
					made.Add(1)
				case sms.ReasonOf(err) != sms.ReasonNoCredit:
					e.Error(err)
				}
				if _, err := e.l.Adjust(e.ctx, "u2", billing.Change{Bill: billing.BillID(fmt.Sprint("c", client, "-", i)), Balance: 1, Open: billing.Credit{HasBalance: true}}); err != nil {
					e.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := made.Load(); n != 285 {
		e.Errorf("%d charges of 0.35 were made from 100, want 285", n)
	}
	e.left("u1", billing.Credit{HasBalance: true, Balance: 250_000})
	e.left("u2", billing.Credit{HasBalance: true, Balance: clients * each})
}

func testLedgerContext(e *ledgerEnv) {
	ctx, cancel := context.WithCancel(e.ctx)
	cancel()
	if err := e.l.Charge(ctx, billing.Charge{UID: "u1", Bill: "b1", Amount: 1, Open: limited(10, 10)}); err == nil {
		e.Error("charged")
	}
	if err := e.l.Set(ctx, "u1", billing.QuotaBalance, limited(1, 1)); err == nil {
		e.Error("set")
	}
	if _, err := e.l.Credit(ctx, "u1", billing.Credit{}); err == nil {
		e.Error("read")
	}
	e.left("u1", billing.Credit{})
}
