package mt

import (
	"context"
	"log/slog"
	"sync/atomic"

	"jasmind/internal/billing"
	"jasmind/internal/journal"
	"jasmind/internal/queue"
)

// billBatch is the number of bill requests of one journal entry at most.
const billBatch = 256

// Bills charges what becomes due when an SMSC accepts a part (Jasmin:
// bill_request_submit_sm_resp_callback of the router). It is owed by then, so it is taken
// whatever is left: the original forgets it when the balance does not suffice.
//
// A repeated request is harmless: the ledger charges a bill once.
type Bills struct {
	source  queue.Source
	journal journal.Journal
	log     *slog.Logger

	Charged     atomic.Int64 `metric:"jasmind_bills_charged_total" help:"Bill requests charged after the SMSC accepted a part."`
	Undecodable atomic.Int64 `metric:"jasmind_bills_undecodable_total" help:"Bill requests moved to the dead-letter queue."`
}

// NewBills makes the consumer; Run starts it.
func NewBills(s queue.Source, j journal.Journal, log *slog.Logger) *Bills {
	return &Bills{source: s, journal: j, log: log}
}

// bill is a request that is to be charged, or why it makes no sense.
type bill struct {
	d     *queue.Delivery
	r     queue.BillRequest
	fault error
}

// Run consumes bill requests until ctx ends. What is in work then is charged, or given
// back to its queue.
func (b *Bills) Run(ctx context.Context) error {
	w := journal.NewWriter(b.journal, journal.Work[bill]{What: "bills", Max: billBatch, Log: b.log,
		Add: func(e *journal.Entry, x bill) {
			if x.fault != nil {
				e.Publish = append(e.Publish, queue.Bury(x.d, x.fault.Error()))
			} else {
				e.Charges = append(e.Charges, billing.Charge{UID: x.r.UID, Bill: x.r.Bill, Amount: x.r.Amount, Owed: true})
			}
			e.Ack = append(e.Ack, journal.Ack{Delivery: x.d, Remember: true})
		},
		Bury: func(e *journal.Entry, x bill, reason string) {
			e.Publish = append(e.Publish, queue.BuryAs(x.d, queue.CauseRefused, reason))
			e.Ack = append(e.Ack, journal.Ack{Delivery: x.d, Remember: true})
		},
		Done: func(x bill, f journal.Fate, why error) {
			if x.fault != nil {
				why = x.fault
			}
			switch {
			case f == journal.Abandoned:
			case why != nil:
				b.Undecodable.Add(1)
				b.log.Error("bill request moved to the dead-letter queue", "bill", string(x.r.Bill), "err", why)
			default:
				b.Charged.Add(1)
			}
		},
	})
	return w.While(ctx, func() error {
		return queue.Serve(ctx, b.source, queue.BillRequests, 2*billBatch, billBatch, func(ctx context.Context, ds []*queue.Delivery) {
			batch := make([]bill, len(ds))
			for i, d := range ds {
				batch[i].d = d
				batch[i].r, batch[i].fault = queue.DecodeBillRequest(d)
			}
			w.Write(ctx, batch)
		})
	})
}
