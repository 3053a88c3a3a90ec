package mt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"jasmind/internal/billing"
	"jasmind/internal/journal"
	"jasmind/internal/queue"
)

const (
	billBatch      = 256 // bill requests of one entry
	firstBillRetry = 50 * time.Millisecond
	lastBillRetry  = 5 * time.Second
)

// Bills charges what becomes due when an SMSC accepts a part (Jasmin:
// bill_request_submit_sm_resp_callback of the router). It is owed by then, so it is taken
// whatever is left: the original forgets it when the balance does not suffice.
//
// A repeated request is harmless: the ledger charges a bill once.
type Bills struct {
	source  source
	journal journal.Journal
	log     *slog.Logger

	Charged     atomic.Int64 // requests charged; those that came twice count twice
	Undecodable atomic.Int64 // moved to the dead letters
}

// source gives the requests.
type source interface {
	Consume(ctx context.Context, name queue.Name, prefetch int) (queue.Consumer, error)
}

// NewBills makes the consumer; Run starts it.
func NewBills(s source, j journal.Journal, log *slog.Logger) *Bills {
	return &Bills{source: s, journal: j, log: log}
}

// Run consumes bill requests until ctx ends. What is in work then is charged, or given
// back to its queue.
func (b *Bills) Run(ctx context.Context) error {
	c, err := b.source.Consume(ctx, queue.BillRequests, 2*billBatch)
	if err != nil {
		return fmt.Errorf("consume %s: %w", queue.BillRequests, err)
	}
	defer c.Close(context.WithoutCancel(ctx)) //nolint:errcheck // what was not settled comes again, whatever it says
	for {
		select {
		case <-ctx.Done():
			return nil
		case d, ok := <-c.C():
			if !ok {
				if ctx.Err() != nil {
					return nil
				}
				return fmt.Errorf("consume %s: %w", queue.BillRequests, errors.New("the subscription ended"))
			}
			b.charge(ctx, queue.Gather(d, c.C(), billBatch))
		}
	}
}

// charge settles a batch, again and again until that is durable or ctx ends.
func (b *Bills) charge(ctx context.Context, batch []*queue.Delivery) {
	var e journal.Entry
	charged, buried := int64(0), int64(0)
	for _, d := range batch {
		r, err := queue.DecodeBillRequest(d)
		if err != nil {
			b.log.Error("undecodable bill request moved to the dead-letter queue", "err", err)
			e.Publish = append(e.Publish, queue.Bury(d, err.Error()))
			buried++
		} else {
			e.Charges = append(e.Charges, billing.Charge{UID: r.UID, Bill: r.Bill, Amount: r.Amount, Owed: true})
			charged++
		}
		e.Ack = append(e.Ack, journal.Ack{Delivery: d, Remember: true})
	}
	for wait := firstBillRetry; ; wait = min(2*wait, lastBillRetry) {
		err := b.journal.Commit(ctx, &e)
		if err == nil {
			b.Charged.Add(charged)
			b.Undecodable.Add(buried)
			return
		}
		if ctx.Err() != nil {
			return
		}
		b.log.Error("charging will be tried again", "count", len(batch), "in", wait, "err", err)
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return
		}
	}
}
