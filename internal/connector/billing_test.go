package connector

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"jasmind/internal/queue"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

func billed(early, rest int64) func(*sms.Envelope) {
	return func(e *sms.Envelope) { e.Bill = sms.Bill{Charged: true, Early: early, Rest: rest} }
}

// bills lists what was asked to be charged, given back and confirmed.
func (w *world) bills() (requests, charges, confirmed []string) {
	w.b.mu.Lock()
	defer w.b.mu.Unlock()
	for _, e := range w.b.entries {
		for _, p := range e.Publish {
			if p.Queue == queue.BillRequests {
				r, err := queue.DecodeBillRequest(&queue.Delivery{Message: p.Message})
				if err != nil {
					w.t.Error(err)
				}
				requests = append(requests, fmt.Sprintf("%s %s %s %s", p.Key, r.Bill, r.UID, r.Amount))
			}
		}
		for _, c := range e.Charges {
			charges = append(charges, fmt.Sprintf("%s %s %s owed=%v", c.Bill, c.UID, c.Amount, c.Owed))
		}
		for _, b := range e.Confirm {
			confirmed = append(confirmed, string(b))
		}
	}
	return requests, charges, confirmed
}

func TestBills(t *testing.T) {
	refuse := func(parts ...string) func(int, arrived) (pdu.Status, string) {
		return func(_ int, a arrived) (pdu.Status, string) {
			if slices.Contains(parts, string(a.sm.ShortMessage)) {
				return pdu.StatusInvDstAdr, ""
			}
			return pdu.StatusOK, ""
		}
	}
	const key = "bill_request.submit_sm_resp.foo"
	for _, tt := range []struct {
		name      string
		parts     int
		bill      func(*sms.Envelope)
		answer    func(int, arrived) (pdu.Status, string)
		keep      bool // no refund
		requests  []string
		charges   []string
		confirmed []string
	}{
		{"nothing was charged", 2, nil, refuse("m1/1"), false, nil, nil, nil},
		{"charged whole at acceptance", 1, billed(1_200_000, 0), refuse(), false, nil, nil, []string{"m1"}},
		{"sms_count alone", 1, billed(0, 0), refuse("m1"), false, nil, nil, []string{"m1"}},
		{"the rest of each part that is accepted", 3, billed(50_000, 150_000), refuse("m1/2"), true,
			[]string{key + " m1/1 foo 0.15", key + " m1/3 foo 0.15"}, nil, []string{"m1"}},
		{"and what was paid for the other is given back", 3, billed(50_000, 150_000), refuse("m1/2"), false,
			[]string{key + " m1/1 foo 0.15", key + " m1/3 foo 0.15"}, []string{"m1/refund foo -0.05 owed=true"}, []string{"m1"}},
		{"refused", 1, billed(300_000, 900_000), refuse("m1"), false, nil, []string{"m1/refund foo -0.3 owed=true"}, []string{"m1"}},
		{"refused, no refund", 1, billed(300_000, 900_000), refuse("m1"), true, nil, nil, []string{"m1"}},
		{"expired in the queue", 3, func(e *sms.Envelope) { billed(1, 2)(e); e.ExpiresAt = e.CreatedAt }, refuse(), false,
			nil, []string{"m1/refund foo -0.000003 owed=true"}, []string{"m1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			start(t, func(cfg *Config, _ *Deps, m *smsc) {
				m.answer = tt.answer
				cfg.RefundOnError = !tt.keep
			}, func(w *world) {
				w.b.put(message(t, "m1", tt.parts, tt.bill))
				synctest.Wait()
				requests, charges, confirmed := w.bills()
				wantEqual(t, "requests", requests, tt.requests)
				wantEqual(t, "charges", charges, tt.charges)
				wantEqual(t, "confirmed", confirmed, tt.confirmed)
				wantEqual(t, "acked", w.b.acked, []string{"m1"})
			})
		})
	}
}

// What was accepted before a retry is billed once and not given back.
func TestBillsOfAMessageThatIsTriedAgain(t *testing.T) {
	start(t, func(cfg *Config, _ *Deps, m *smsc) {
		cfg.RefundOnError = true
		m.answer = func(_ int, a arrived) (pdu.Status, string) {
			if string(a.sm.ShortMessage) == "m1/2" {
				return pdu.StatusSysErr, "" // three times
			}
			return pdu.StatusOK, ""
		}
	}, func(w *world) {
		w.b.put(message(t, "m1", 2, billed(50_000, 150_000)))
		time.Sleep(time.Hour)
		synctest.Wait()
		requests, charges, confirmed := w.bills()
		wantEqual(t, "sent", len(w.m.arrivals()), 4)
		wantEqual(t, "requests", requests, []string{"bill_request.submit_sm_resp.foo m1/1 foo 0.15"})
		wantEqual(t, "charges", charges, []string{"m1/refund foo -0.05 owed=true"})
		wantEqual(t, "confirmed", confirmed, []string{"m1"})
	})
}

// A message that expires while it waits for another try: one part was accepted before.
func TestRefundOfAMessageThatExpiresAfterATry(t *testing.T) {
	start(t, func(cfg *Config, _ *Deps, m *smsc) {
		cfg.RefundOnError = true
		m.answer = func(_ int, a arrived) (pdu.Status, string) {
			if string(a.sm.ShortMessage) == "m1/2" {
				return pdu.StatusSysErr, ""
			}
			return pdu.StatusOK, ""
		}
	}, func(w *world) {
		w.b.put(message(t, "m1", 2, func(e *sms.Envelope) { billed(50_000, 0)(e); e.ExpiresAt = e.CreatedAt.Add(20 * time.Second) }))
		time.Sleep(time.Hour)
		synctest.Wait()
		_, charges, confirmed := w.bills()
		wantEqual(t, "charges", charges, []string{"m1/refund foo -0.05 owed=true"})
		wantEqual(t, "confirmed", confirmed, []string{"m1"})
	})
}
