package throw

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"jasmind/internal/journal"
	"jasmind/internal/queue"
)

// outcome is what became of one delivery.
type outcome struct {
	d     *queue.Delivery
	kind  outcomeKind
	after time.Duration
	cause queue.Cause // of a dead one
	why   string
}

type outcomeKind uint8

const (
	delivered outcomeKind = iota
	retry
	deferred
	dead
)

func (o *outcome) addTo(e *journal.Entry) {
	switch o.kind {
	case delivered:
		e.Ack = append(e.Ack, journal.Ack{Delivery: o.d})
	case deferred:
		e.Retry = append(e.Retry, queue.Retry{Delivery: o.d, After: o.after})
	case retry:
		h := o.d.Headers.Clone().WithInt(queue.HeaderThrows, o.d.Headers.Int(queue.HeaderThrows)+1)
		e.Retry = append(e.Retry, queue.Retry{Delivery: o.d, After: o.after, Headers: h})
	case dead:
		e.Publish = append(e.Publish, queue.BuryAs(o.d, o.cause, o.why))
		e.Ack = append(e.Ack, journal.Ack{Delivery: o.d})
	}
}

// settleMax is the number of outcomes that one journal entry settles at most.
const settleMax = 256

// settler makes outcomes durable, many in one entry. It takes all that is handed to it, whether
// the journal does or not, so that nobody waits for ever to hand over.
type settler struct {
	journal journal.Journal
	log     *slog.Logger
	account func(*outcome)
	in      chan pending
}

// pending is an outcome and who waits for it to be settled.
type pending struct {
	outcome
	settled *sync.WaitGroup
}

func newSettler(j journal.Journal, log *slog.Logger, account func(*outcome)) *settler {
	return &settler{journal: j, log: log, account: account, in: make(chan pending, settleMax)}
}

// start settles until the function it returns is called, which waits for the end. What cannot
// be settled within grace after ctx ended is forgotten; its messages come again.
func (s *settler) start(ctx context.Context, grace time.Duration) (finish func()) {
	settling, giveUp := journal.Outlive(ctx, grace)
	last := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { s.run(settling, last) })
	return func() {
		close(last)
		wg.Wait()
		giveUp()
	}
}

func (s *settler) run(ctx context.Context, last <-chan struct{}) {
	batch := make([]pending, 0, settleMax)
	for {
		batch = batch[:0]
		select {
		case p := <-s.in:
			batch = append(batch, p)
		case <-last:
			select {
			case p := <-s.in:
				batch = append(batch, p)
			default:
				return
			}
		}
	fill:
		for len(batch) < settleMax {
			select {
			case p := <-s.in:
				batch = append(batch, p)
			default:
				break fill
			}
		}
		s.commit(ctx, batch)
		for i := range batch {
			batch[i].settled.Done()
		}
		clear(batch)
	}
}

// commit makes outcomes durable, again and again until ctx ends.
func (s *settler) commit(ctx context.Context, batch []pending) {
	var e journal.Entry
	for i := range batch {
		batch[i].addTo(&e)
	}
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 10*time.Second) {
		err := s.journal.Commit(ctx, &e)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			s.log.Warn("deliveries could not be settled, they will come again", "count", len(batch), "err", err)
			return
		}
		s.log.Warn("settling deliveries will be retried", "count", len(batch), "in", wait, "err", err)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
	for i := range batch {
		s.account(&batch[i].outcome)
	}
}
