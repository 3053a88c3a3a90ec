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
	hold  *held // of d; nil: it is by itself
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
	repeated // a copy of what was settled
)

func (o *outcome) addTo(h *hands, e *journal.Entry) {
	if o.hold != nil {
		ds := h.deliveries(o.hold)
		o.d = ds[len(ds)-1]
		for _, d := range ds[:len(ds)-1] {
			e.Ack = append(e.Ack, journal.Ack{Delivery: d})
		}
	}
	switch o.kind {
	case delivered, repeated:
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

// newSettler makes outcomes durable, lets go of what is, and tells account what became of each delivery. A delivery whose outcome
// can never be written is a dead letter.
func newSettler(j journal.Journal, h *hands, log *slog.Logger, grace time.Duration, account func(*outcome)) *journal.Writer[*outcome] {
	var w *journal.Writer[*outcome]
	w = journal.NewWriter(j, journal.Work[*outcome]{What: "deliveries", Grace: grace, Log: log,
		Add: func(e *journal.Entry, o *outcome) { o.addTo(h, e) },
		Bury: func(e *journal.Entry, o *outcome, reason string) {
			o.kind, o.cause, o.why = dead, queue.CauseRefused, reason
			o.addTo(h, e)
		},
		Done: func(o *outcome, f journal.Fate, _ error) {
			switch {
			case f == journal.Abandoned && o.hold != nil:
				h.drop(o.hold)
			case f == journal.Abandoned:
			default:
				account(o)
				if o.hold != nil {
					for _, d := range h.done(o.hold) {
						w.Post(&outcome{d: d, kind: repeated})
					}
				}
			}
			if o.settled != nil {
				o.settled.Done()
			}
		},
	})
	return w
}
