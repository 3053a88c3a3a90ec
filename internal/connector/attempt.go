package connector

import (
	"sync"
	"time"

	"jasmind/internal/queue"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

// queued is a message in hand: as it came from its queue, with what its sender has changed since. Nobody changes it.
type queued struct {
	d      *queue.Delivery
	env    *sms.Envelope
	sub    *subscription // where it came from
	inHand int           // how often it was tried without going back to its queue
}

// unanswered tells whether there may have been tries without an answer, which may have been answered late.
func (q *queued) unanswered() bool { return q.d.Redelivered || q.env.Losses > 0 }

// attempt is one try to submit a message. The intake makes it; then a bind's sender, which keeps a sending of it, and the
// settler, which keeps a judging of it, have it side by side. Nobody changes it; stop may be called by anyone.
type attempt struct {
	queued
	todo     []int             // indices of the parts that are not accepted yet, in order
	before   []sms.PartOutcome // the parts that are
	refusals []pdu.Status      // of parts that were refused late: nothing is sent, that is the answer
	strict   bool              // no other may be sent before it is over (strict_order)
	due      time.Time         // it waits so long in hand; zero: it does not
	halt     chan struct{}     // closed when no further part shall leave; nil for a single one
	haltOnce *sync.Once
}

// only is the todo of a message of one part.
var only = []int{0}

// newAttempt makes an attempt that sends the parts which outcomes does not name as accepted.
func newAttempt(q queued, outcomes []sms.PartOutcome) *attempt {
	a := &attempt{queued: q, todo: only}
	if len(q.env.Parts) == 1 && len(outcomes) == 0 {
		return a
	}
	if len(q.env.Parts) > 1 {
		a.halt, a.haltOnce = make(chan struct{}), new(sync.Once)
	}
	took := make([]bool, len(q.env.Parts))
	for _, o := range outcomes {
		switch {
		case o.Part < 1 || o.Part > len(took) || took[o.Part-1]:
		case o.Status == pdu.StatusOK:
			took[o.Part-1] = true
			a.before = append(a.before, o)
		}
	}
	for _, o := range outcomes {
		if o.Status != pdu.StatusOK && o.Part >= 1 && o.Part <= len(took) && !took[o.Part-1] {
			a.refusals = append(a.refusals, o.Status)
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

// lateOf is the id under which parts are kept that were accepted late, when their message was on its way back to
// its queue already. They tell the next attempt what it need not send. They have an id of their own since those of the
// message are forgotten with the request for its receipts, which a quick receipt ends while the message waits.
func lateOf(id sms.MessageID) sms.MessageID { return id + "/late" }

// refusedLate is that of parts which a connector's SMSC refused late. They are kept apart from the acceptances, so that none replaces
// one of those, and count for no other connector to which the message moves.
func refusedLate(id sms.MessageID, cid sms.ConnectorID) sms.MessageID {
	return lateOf(id) + "/" + sms.MessageID(cid)
}
