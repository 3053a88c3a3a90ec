package connector

import (
	"sync"
	"time"

	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

// What Quality looks at.
const (
	qualityWindow  = 60 // slots of a minute
	qualityAnswers = 20 // answers in the window, fewer tell nothing
	qualityFinals  = 10 // final receipts in the window, fewer do not count
)

// Quality counts, over the last hour, what SMSCs answered and which receipts came. It is safe
// for concurrent use; the zero Quality knows nothing.
type Quality struct {
	mu     sync.Mutex // guards what follows
	slots  [qualityWindow]tally
	sum    tally
	minute int64 // of the slot that is counted in
}

type tally struct{ accepted, refused, delivered, failed int64 }

func (t *tally) add(o tally, sign int64) {
	t.accepted += sign * o.accepted
	t.refused += sign * o.refused
	t.delivered += sign * o.delivered
	t.failed += sign * o.failed
}

// answer counts the answer to one part. ESME_RTHROTTLED says nothing of the message and does
// not count.
func (q *Quality) answer(status pdu.Status) {
	switch status {
	case pdu.StatusOK:
		q.count(tally{accepted: 1})
	case pdu.StatusThrottled:
	default:
		q.count(tally{refused: 1})
	}
}

// receipt counts a receipt with a final state.
func (q *Quality) receipt(state sms.State) {
	switch {
	case state == sms.StateDelivered:
		q.count(tally{delivered: 1})
	case state.Failed():
		q.count(tally{failed: 1})
	}
}

func (q *Quality) count(t tally) {
	now := time.Now().Unix() / 60
	q.mu.Lock()
	defer q.mu.Unlock()
	q.advance(now)
	q.slots[q.minute%qualityWindow].add(t, 1)
	q.sum.add(t, 1)
}

// advance forgets what is older than the window. A clock that goes back changes nothing.
func (q *Quality) advance(minute int64) {
	if minute-q.minute >= qualityWindow {
		q.slots, q.sum, q.minute = [qualityWindow]tally{}, tally{}, minute
		return
	}
	for q.minute < minute {
		q.minute++
		old := &q.slots[q.minute%qualityWindow]
		q.sum.add(*old, -1)
		*old = tally{}
	}
}

// Ratio is the part of what was submitted that is delivered: the part that the SMSC accepts, of
// which the part whose final receipt says DELIVRD. Without enough receipts the latter counts
// as all. known is false while there are too few answers to tell.
func (q *Quality) Ratio() (ratio float64, known bool) {
	now := time.Now().Unix() / 60
	q.mu.Lock()
	q.advance(now)
	t := q.sum
	q.mu.Unlock()
	answers, finals := t.accepted+t.refused, t.delivered+t.failed
	if answers < qualityAnswers {
		return 0, false
	}
	ratio = float64(t.accepted) / float64(answers)
	if finals >= qualityFinals {
		ratio *= float64(t.delivered) / float64(finals)
	}
	return ratio, true
}
