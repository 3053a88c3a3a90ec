package dlr

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"jasmind/internal/journal"
	"jasmind/internal/queue"
	"jasmind/internal/sms"
)

// nothing is a store that knows nobody, and a journal that fails at first.
type nothing struct {
	journal.Store
	failures int
	tries    []time.Time
}

func (n *nothing) Receipt(context.Context, sms.MessageID) (r sms.ReceiptRequest, ok bool, err error) {
	return r, false, nil
}

func (n *nothing) Settled(context.Context, []*queue.Delivery) ([]bool, error) { return nil, nil }

func (n *nothing) Commit(context.Context, *journal.Entry) error {
	n.tries = append(n.tries, time.Now())
	if len(n.tries) <= n.failures {
		return fmt.Errorf("commit: %w", queue.ErrUnavailable)
	}
	return nil
}

func TestWaitsBetweenTriesGrowUpToTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &nothing{failures: 10}
		l := New(Config{}, nil, n, n, slog.New(slog.DiscardHandler))
		r := queue.SubmitResult{MsgID: "m", CID: cid, Status: "ESME_ROK"}
		l.writer.Write(t.Context(), []*event{{Delivery: &queue.Delivery{Queue: queue.DLRSubmitSMResp, Message: r.Message()}}})
		want := []time.Duration{50, 100, 200, 400, 800, 1600, 3200, 6400, 10000, 10000}
		if len(n.tries) != len(want)+1 {
			t.Fatalf("%d tries", len(n.tries))
		}
		for i, w := range want {
			if got := n.tries[i+1].Sub(n.tries[i]); got != w*time.Millisecond {
				t.Errorf("wait %d is %v, want %v", i+1, got, w*time.Millisecond)
			}
		}
	})
}

func TestWaitingForTheJournalEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &nothing{failures: 1 << 30}
		l := New(Config{}, nil, n, n, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		r := queue.SubmitResult{MsgID: "m", CID: cid, Status: "ESME_ROK"}
		began := time.Now()
		l.writer.Write(ctx, []*event{{Delivery: &queue.Delivery{Queue: queue.DLRSubmitSMResp, Message: r.Message()}}})
		if took := time.Since(began); took != time.Minute {
			t.Errorf("it took %v, want a minute", took)
		}
	})
}
