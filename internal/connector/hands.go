package connector

import (
	"sync"

	"jasmind/internal/queue"
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
}

// attemptKey is queue.Delivery.Key without an allocation.
type attemptKey struct {
	queue    queue.Name
	id       string
	attempts int
}

func keyOf(d *queue.Delivery) attemptKey { return attemptKey{d.Queue, d.ID, d.Attempts} }

// leftMost bounds the attempts that were left unsettled. One more makes another one be sent again when it comes.
const leftMost = 10_000

// NewHands makes a Hands that has nothing.
func NewHands() *Hands {
	return &Hands{held: make(map[attemptKey][]queued), left: make(map[attemptKey][]*action)}
}

// take takes an attempt in hand; false: it is in hand already, and q waits. left is what its last holder could not settle.
func (h *Hands) take(q queued) (ok bool, left []*action) {
	k := keyOf(q.d)
	h.mu.Lock()
	defer h.mu.Unlock()
	if copies, held := h.held[k]; held {
		h.held[k] = append(copies, q)
		return false, nil
	}
	h.held[k] = nil
	if len(h.left) > 0 {
		left = h.left[k]
		delete(h.left, k)
	}
	return true, left
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
	if _, known := h.left[k]; !known && len(h.left) >= leftMost {
		for old := range h.left {
			delete(h.left, old)
			break
		}
	}
	h.left[k] = append(h.left[k], x)
	if x.verdict == nil {
		return
	}
	delete(h.held, k)
	if x.verdict.again != nil { // nothing was decided
		delete(h.left, k)
	}
}
