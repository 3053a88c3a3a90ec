package dlr

import (
	"context"
	"log/slog"
	"testing"

	"jasmind/internal/journal"
	"jasmind/internal/queue"
)

// stopping is a journal that is told to stop in the middle of a commit.
type stopping struct {
	journal.Journal
	stop context.CancelFunc
}

func (j *stopping) Commit(ctx context.Context, _ *journal.Entry) error {
	j.stop()
	return ctx.Err()
}

func TestACommitThatWasBegunOutlivesTheStop(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	l := New(Config{}, nil, &stopping{stop: cancel}, nil, slog.New(slog.DiscardHandler))
	ev := &event{Delivery: &queue.Delivery{Queue: queue.DLRSubmitSMResp}} // one that is buried
	if left := l.writer.Write(ctx, []*event{ev}); left != 0 {
		t.Error("the commit was cut off")
	}
}
