package redis_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"jasmind/internal/billing"
	"jasmind/internal/journal"
	"jasmind/internal/sms"
	"jasmind/internal/store/redis"
	"jasmind/internal/store/storetest"
	"jasmind/internal/testenv"
)

// Whatever the order of messages, lost answers, crashes between the steps of a journal
// entry, lapses, settlements, bills that come twice and changes of an operator: in the end
// the balance is what it was, less what was charged for messages that are in their queue and
// for bills that were owed, plus what was credited, to the last millionth.
func TestEveryInterleavingKeepsTheBalance(t *testing.T) {
	s := open(t, redis.Config{URL: testenv.Redis(t).URL(), Prefix: "p:", ReservedFor: time.Millisecond})
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		ctx := t.Context()
		uid := sms.UserID(fmt.Sprint("u", run))
		start := billing.Credit{HasBalance: true, Balance: billing.Amount(rapid.Int64Range(0, 5_000_000).Draw(rt, "start")), HasCount: true, Count: rapid.Int64Range(0, 50).Draw(rt, "count")}
		want := start
		must := func(err error) {
			if err != nil {
				rt.Fatal(err)
			}
		}
		type message struct {
			charge  billing.Charge
			settled bool
		}
		var queued []*message
		var owed []billing.Charge
		var changes []billing.Change
		n := 0
		id := func() billing.BillID { n++; return billing.BillID(fmt.Sprintf("%d-%d", run, n)) }
		rt.Repeat(map[string]func(*rapid.T){
			"send": func(rt *rapid.T) {
				c := billing.Charge{UID: uid, Bill: id(), Amount: billing.Amount(rapid.Int64Range(0, 999_999).Draw(rt, "amount")), Count: rapid.Int64Range(0, 3).Draw(rt, "parts"), Open: start}
				c.Need = c.Amount + billing.Amount(rapid.Int64Range(0, 999_999).Draw(rt, "rest"))
				before, err := s.Credit(ctx, uid, start)
				must(err)
				if err := s.Reserve(ctx, []billing.Charge{c}); err != nil {
					if sms.ReasonOf(err) != sms.ReasonNoCredit || before.Balance >= c.Need && before.Count >= c.Count {
						rt.Fatalf("%+v with %+v: %v", c, before, err)
					}
					return
				}
				if rapid.Bool().Draw(rt, "the answer was lost, again") {
					must(s.Reserve(ctx, []billing.Charge{c}))
				}
				switch rapid.IntRange(0, 3).Draw(rt, "what follows") {
				case 0: // a crash before the publication: it lapses
					return
				case 1: // the queue does not exist
					must(s.TakeBack(ctx, &journal.Entry{Charges: []billing.Charge{c}}))
					return
				case 2: // a crash after it
				case 3:
					must(s.Finalize(ctx, []billing.Charge{c}))
				}
				queued = append(queued, &message{charge: c})
				want.Balance -= c.Amount
				want.Count -= c.Count
			},
			"lapse": func(rt *rapid.T) {
				_, err := s.Lapse(ctx, rapid.IntRange(1, 10).Draw(rt, "limit"))
				must(err)
			},
			"settle": func(rt *rapid.T) {
				if len(queued) == 0 {
					return
				}
				m := rapid.SampledFrom(queued).Draw(rt, "message")
				e := journal.Entry{Confirm: []billing.BillID{m.charge.Bill}}
				if !m.settled && rapid.Bool().Draw(rt, "refund") {
					c := billing.Charge{UID: uid, Bill: m.charge.Bill + "/refund", Amount: -m.charge.Amount, Owed: true}
					e.Charges = append(e.Charges, c)
					want.Balance += m.charge.Amount
				}
				m.settled = true
				must(s.Apply(ctx, &e))
				if rapid.Bool().Draw(rt, "the answer was lost, again") {
					must(s.Apply(ctx, &e))
				}
			},
			"bill": func(rt *rapid.T) {
				c := billing.Charge{UID: uid, Bill: id(), Amount: billing.Amount(rapid.Int64Range(1, 999_999).Draw(rt, "amount")), Owed: true}
				must(s.Apply(ctx, &journal.Entry{Charges: append(owed, c, c)}))
				owed = append(owed, c)
				known, err := s.Credit(ctx, uid, billing.Credit{})
				must(err)
				if known.HasBalance {
					want.Balance -= c.Amount
				}
			},
			"change": func(rt *rapid.T) {
				ch := billing.Change{Bill: id(), Balance: billing.Amount(rapid.Int64Range(-2_000_000, 2_000_000).Draw(rt, "delta")), Count: rapid.Int64Range(-5, 5).Draw(rt, "count"), Open: start}
				changes = append(changes, ch)
				want.Balance += ch.Balance
				want.Count += ch.Count
				for _, ch := range changes { // and all before it again
					_, err := s.Adjust(ctx, uid, ch)
					must(err)
				}
			},
		})
		// Everything comes to its end.
		for _, m := range queued {
			must(s.Apply(ctx, &journal.Entry{Confirm: []billing.BillID{m.charge.Bill}}))
		}
		deadline := time.Now().Add(storetest.Patience)
		for {
			_, err := s.Lapse(ctx, 1000)
			must(err)
			got, err := s.Credit(ctx, uid, start)
			must(err)
			if got == want {
				return
			}
			if time.Now().After(deadline) {
				rt.Fatalf("%+v left, want %+v", got, want)
			}
		}
	})
}
