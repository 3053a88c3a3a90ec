package redis_test

import (
	"testing"
	"time"

	"jasmind/internal/billing"
	"jasmind/internal/journal"
	"jasmind/internal/sms"
	"jasmind/internal/store/redis"
	"jasmind/internal/store/storetest"
	"jasmind/internal/testenv"
)

// reservations is a user with 10 millionths and 3 parts, of which each charge takes 4 and 1.
type reservations struct {
	*testing.T
	s *redis.Store
}

func (r *reservations) charge(bill billing.BillID) []billing.Charge {
	return []billing.Charge{{UID: "u1", Bill: bill, Amount: 4, Count: 1,
		Open: billing.Credit{HasBalance: true, Balance: 10, HasCount: true, Count: 3}}}
}

func (r *reservations) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

func (r *reservations) left(balance billing.Amount, count int64) {
	r.Helper()
	c, err := r.s.Credit(r.Context(), "u1", billing.Credit{})
	r.must(err)
	if want := (billing.Credit{HasBalance: true, Balance: balance, HasCount: true, Count: count}); c != want {
		r.Errorf("%+v left, want %+v", c, want)
	}
}

func (r *reservations) confirm(bills ...billing.BillID) {
	r.Helper()
	r.must(r.s.Apply(r.Context(), &journal.Entry{Confirm: bills}))
}

// lapse waits until reservations have lapsed.
func (r *reservations) lapse() {
	r.Helper()
	deadline := time.Now().Add(storetest.Patience)
	for {
		n, err := r.s.Lapse(r.Context(), 100)
		r.must(err)
		if n > 0 {
			return
		}
		if time.Now().After(deadline) {
			r.Fatal("no reservation lapsed")
		}
	}
}

func TestReservations(t *testing.T) {
	for _, tt := range []struct {
		name     string
		reserved time.Duration // until one lapses
		test     func(r *reservations)
	}{
		{"final, confirmed, never given back", time.Millisecond, func(r *reservations) {
			r.must(r.s.Finalize(r.Context(), r.charge("m1")))
			if n, err := r.s.Lapse(r.Context(), 100); n != 0 || err != nil {
				r.Errorf("%d lapsed, %v", n, err)
			}
			r.confirm("m1")
			r.confirm("m1")
			r.left(6, 2)
		}},
		{"settled before it is final", time.Millisecond, func(r *reservations) {
			r.confirm("m1")
			r.left(6, 2)
			if n, err := r.s.Lapse(r.Context(), 100); n != 0 || err != nil {
				r.Errorf("%d lapsed, %v", n, err)
			}
			r.must(r.s.Finalize(r.Context(), r.charge("m1")))
			r.left(6, 2)
		}},
		{"not due yet", time.Hour, func(r *reservations) {
			if n, err := r.s.Lapse(r.Context(), 100); n != 0 || err != nil {
				r.Errorf("%d lapsed, %v", n, err)
			}
			r.left(6, 2)
		}},
		{"lapses, and is charged again once when its message is settled", time.Millisecond, func(r *reservations) {
			r.lapse()
			r.left(10, 3)
			r.must(r.s.Finalize(r.Context(), r.charge("m1"))) // too late to know
			r.left(10, 3)
			r.confirm("m1", "m1")
			r.confirm("m1")
			r.left(6, 2)
		}},
		{"lapses, and is charged again though nothing is left", time.Millisecond, func(r *reservations) {
			r.lapse()
			r.must(r.s.Set(r.Context(), "u1", billing.QuotaBalance|billing.QuotaCount, billing.Credit{HasBalance: true, Balance: 1, HasCount: true}))
			r.confirm("m1")
			r.left(-3, -1)
		}},
		{"lapses, and is reserved again by a repeat", time.Millisecond, func(r *reservations) {
			r.lapse()
			r.must(r.s.Reserve(r.Context(), r.charge("m1")))
			r.left(6, 2)
			r.must(r.s.Finalize(r.Context(), r.charge("m1")))
			r.left(6, 2)
		}},
		{"released at once", time.Hour, func(r *reservations) {
			r.must(r.s.TakeBack(r.Context(), &journal.Entry{Charges: r.charge("m1")}))
			r.must(r.s.TakeBack(r.Context(), &journal.Entry{Charges: r.charge("m1")}))
			r.left(10, 3)
		}},
		{"a repeat while reserved", time.Hour, func(r *reservations) {
			r.must(r.s.Reserve(r.Context(), r.charge("m1")))
			r.left(6, 2)
		}},
		{"only as much as there is", time.Hour, func(r *reservations) {
			r.must(r.s.Reserve(r.Context(), r.charge("m2")))
			if err := r.s.Reserve(r.Context(), r.charge("m3")); sms.ReasonOf(err) != sms.ReasonNoCredit {
				r.Errorf("got %v", err)
			}
			r.left(2, 1)
			r.confirm("m3") // nothing was reserved
			r.left(2, 1)
		}},
		{"what was not charged is not given back", time.Millisecond, func(r *reservations) {
			r.must(r.s.Finalize(r.Context(), r.charge("m1")))
			c := []billing.Charge{{UID: "u2", Bill: "m9", Amount: 4, Count: 1}} // unlimited
			r.must(r.s.Reserve(r.Context(), c))
			r.must(r.s.Set(r.Context(), "u2", billing.QuotaBalance, billing.Credit{HasBalance: true, Balance: 1}))
			r.lapse()
			r.confirm("m9")
			if c, err := r.s.Credit(r.Context(), "u2", billing.Credit{}); err != nil || c.Balance != 1 || c.HasCount {
				r.Errorf("got %+v, %v", c, err)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := &reservations{t, open(t, redis.Config{URL: testenv.Redis(t).URL(), Prefix: "r:", ReservedFor: tt.reserved})}
			r.must(r.s.Reserve(t.Context(), r.charge("m1")))
			r.left(6, 2)
			tt.test(r)
		})
	}
}
