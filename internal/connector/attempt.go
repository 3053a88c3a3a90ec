package connector

import (
	"sync"

	"jasmind/internal/queue"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

// queued is a message in hand: as it came from its queue, with what its sender has changed since. Nobody changes it.
type queued struct {
	d   *queue.Delivery
	env *sms.Envelope
	sub *subscription // where it came from
}

// attempt is one try to submit a message. The intake makes it; then a bind's sender, which keeps a sending of it, and the
// settler, which keeps a judging of it, have it side by side. Nobody changes it; stop may be called by anyone.
type attempt struct {
	queued
	todo     []int             // indices of the parts that are not accepted yet, in order
	before   []sms.PartOutcome // the parts that are
	strict   bool              // no other may be sent before it is over (strict_order)
	inHand   int               // how often it was made before without the message going back to its queue
	halt     chan struct{}     // closed when no further part shall leave; nil for a single one
	haltOnce *sync.Once
}

// only is the todo of a message of one part.
var only = []int{0}

// newAttempt makes an attempt that sends the parts which outcomes does not name as accepted.
func newAttempt(q queued, outcomes []sms.PartOutcome) *attempt {
	a := &attempt{queued: q, todo: only}
	if len(q.env.Parts) == 1 {
		return a
	}
	a.halt, a.haltOnce = make(chan struct{}), new(sync.Once)
	took := make([]bool, len(q.env.Parts))
	for _, o := range outcomes {
		if o.Part >= 1 && o.Part <= len(took) && o.Status == pdu.StatusOK && !took[o.Part-1] {
			took[o.Part-1] = true
			a.before = append(a.before, o)
		}
	}
	a.todo = make([]int, 0, len(took))
	for i := range took {
		if !took[i] {
			a.todo = append(a.todo, i)
		}
	}
	return a
}

// stop lets no further part leave.
func (a *attempt) stop() {
	if a.halt != nil {
		a.haltOnce.Do(func() { close(a.halt) })
	}
}

// losses is how many attempts before this one ended without an answer.
func (a *attempt) losses() int {
	n := a.d.Attempts + a.inHand
	for _, v := range a.env.Refusals {
		n -= v
	}
	return n
}
