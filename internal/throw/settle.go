package throw

import (
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
	// settled is told when the outcome is durable, or will not be any more; nil: nobody waits.
	settled *sync.WaitGroup
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

// newSettler makes outcomes durable, and tells account what became of each delivery. A delivery whose outcome can never be
// written is a dead letter.
func newSettler(j journal.Journal, log *slog.Logger, grace time.Duration, account func(*outcome)) *journal.Writer[*outcome] {
	return journal.NewWriter(j, journal.Work[*outcome]{What: "deliveries", Grace: grace, Log: log,
		Add: func(e *journal.Entry, o *outcome) { o.addTo(e) },
		Bury: func(e *journal.Entry, o *outcome, reason string) {
			o.kind, o.cause, o.why = dead, queue.CauseRefused, reason
			o.addTo(e)
		},
		Done: func(o *outcome, f journal.Fate, _ error) {
			if f != journal.Abandoned {
				account(o)
			}
			if o.settled != nil {
				o.settled.Done()
			}
		},
	})
}
