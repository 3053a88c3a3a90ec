package connector

import (
	"sync"

	"jasmind/internal/queue"
	"jasmind/internal/smpp/pdu"
)

// Hands knows the attempts that the connectors of this process have in hand: from when a message is taken from its queue
// until what follows from its submission is durable, or it is given back. A broker that loses its connection delivers a
// message again while the first delivery is still with the SMSC, or is being settled; such a copy is not sent. It waits,
// and leaves its queue when the first is settled, or is sent instead when the first is given back.
//
// A connector that was stopped before it could settle what the SMSC had answered leaves that here, for the
// connector that gets the message next. Hands therefore lives as long as the process, and is shared by all connectors.
//
// mu guards the fields.
type Hands struct {
	mu   sync.Mutex
	held map[attemptKey][]queued  // the copies that wait
	left map[attemptKey][]*action // what was not settled, the verdict last
	back map[attemptKey]tries     // of those that were given back after tries of which their queue does not know
}

// tries are how often a message was tried in hand, and what came of all its tries.
type tries struct {
	inHand   int
	refusals map[pdu.Status]int
	losses   int
}

// attemptKey is queue.Delivery.Key without an allocation.
type attemptKey struct {
	queue    queue.Name
	id       string
	attempts int
}

func keyOf(d *queue.Delivery) attemptKey { return attemptKey{d.Queue, d.ID, d.Attempts} }

// rememberedMost bounds the attempts that were left unsettled, and those that were given back after tries. One more makes another
// one be forgotten, and so be sent again, or more often.
const rememberedMost = 10_000

// remember adds to what is known of an attempt that nobody has in hand.
func remember[V any](m map[attemptKey]V, k attemptKey, v V) {
	if _, known := m[k]; !known && len(m) >= rememberedMost {
		for old := range m {
			delete(m, old)
			break
		}
	}
	m[k] = v
}

// NewHands makes a Hands that has nothing.
func NewHands() *Hands {
	return &Hands{held: make(map[attemptKey][]queued), left: make(map[attemptKey][]*action), back: make(map[attemptKey]tries)}
}

// take takes an attempt in hand; false: it is in hand already, and q waits. left is what its last holder could not settle, known what it
// had tried.
func (h *Hands) take(q queued) (ok bool, left []*action, known tries) {
	k := keyOf(q.d)
	h.mu.Lock()
	defer h.mu.Unlock()
	if copies, held := h.held[k]; held {
		h.held[k] = append(copies, q)
		return false, nil, known
	}
	h.held[k] = nil
	if len(h.left) > 0 {
		left = h.left[k]
		delete(h.left, k)
	}
	if len(h.back) > 0 {
		known = h.back[k]
		delete(h.back, k)
	}
	return true, left, known
}

// giveBack lets go of a message that returns to its queue unsent. A copy that waited for it is taken in hand instead.
func (h *Hands) giveBack(q *queued) {
	if q.inHand > 0 {
		h.mu.Lock()
		remember(h.back, keyOf(q.d), tries{q.inHand, q.env.Refusals, q.env.Losses})
		h.mu.Unlock()
	}
	for _, c := range h.release(q.d) {
		c.sub.retake(c)
	}
}

// release lets go of an attempt and gives the copies that waited for its end.
func (h *Hands) release(d *queue.Delivery) (copies []queued) {
	k := keyOf(d)
	h.mu.Lock()
	defer h.mu.Unlock()
	copies = h.held[k]
	delete(h.held, k)
	return copies
}

// leave keeps what could not be settled; with its verdict, the attempt is in hand no longer. Copies of it come again: they were taken by
// the connector that has ended.
func (h *Hands) leave(x *action) {
	k := keyOf(x.d)
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, held := h.held[k]; !held {
		return
	}
	remember(h.left, k, append(h.left[k], x))
	if x.verdict == nil {
		return
	}
	delete(h.held, k)
	if x.verdict.again != nil { // nothing was decided
		delete(h.left, k)
	}
}
