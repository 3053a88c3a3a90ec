package throw

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"sync"

	"jasmind/internal/queue"
)

// hands remembers what a thrower has in hand, and what it settled lately, so that a message which the broker delivers once more,
// since its connection or an acknowledgement was lost, is not thrown once more as long as this process lives.
//
// A message is known by its attempt, headers and body, since several DLRs have the id of their message. Only a delivery that is marked redelivered
// is taken for a copy: two messages may be the same to the octet. Of two such, one that is marked counts as a copy of the other.
type hands struct {
	mu      sync.Mutex // guards what follows and the deliveries of each held
	held    map[identity]*held
	settled map[identity]struct{}
	order   []identity // of settled, a ring
	oldest  int
}

type identity [sha256.Size]byte

// held is one message in hand.
type held struct {
	id       identity
	ds       []*queue.Delivery // its deliveries, the newest last, without those that had ended when that came
	settling *queue.Delivery   // the newest one that an entry settles
}

// newHands makes hands that remember so many settled messages. There must be more of them than can be acknowledged at a time.
func newHands(remember int) *hands {
	return &hands{held: make(map[identity]*held), settled: make(map[identity]struct{}), order: make([]identity, 0, remember)}
}

// taken says what is to be done with a delivery.
type taken uint8

const (
	fresh   taken = iota // to be thrown
	waits                // a copy of one in hand: it is settled with that
	already              // a copy of one that was settled: it is only to be acknowledged
)

// take takes a delivery in hand.
func (h *hands) take(d *queue.Delivery) (*held, taken) {
	id := identify(d)
	h.mu.Lock()
	defer h.mu.Unlock()
	if d.Redelivered {
		if x := h.held[id]; x != nil {
			x.ds = append(slices.DeleteFunc(x.ds, (*queue.Delivery).Stale), d)
			return x, waits
		}
		if _, ok := h.settled[id]; ok {
			return nil, already
		}
	}
	x := &held{id: id, ds: []*queue.Delivery{d}}
	if h.held[id] == nil { // else it is one of two that are the same on purpose
		h.held[id] = x
	}
	return x, fresh
}

// deliveries are those of a message that an entry settles. It is settled by the last one; the others have ended, mostly, and are only to be
// acknowledged.
func (h *hands) deliveries(x *held) []*queue.Delivery {
	h.mu.Lock()
	defer h.mu.Unlock()
	x.settling = x.ds[len(x.ds)-1]
	return slices.Clone(x.ds)
}

// drop lets go of a message that is not settled: it comes again.
func (h *hands) drop(x *held) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.letGo(x)
}

// dropStale lets go of a message that is not under way and cannot be settled any more, since its delivery has ended and no copy came
// yet; false: it is to be thrown.
func (h *hands) dropStale(x *held) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !x.ds[len(x.ds)-1].Stale() {
		return false
	}
	h.letGo(x)
	return true
}

// done lets go of a message that is settled, and gives the copies that came after the deliveries that the entry settled.
func (h *hands) done(x *held) (copies []*queue.Delivery) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.letGo(x)
	if _, ok := h.settled[x.id]; !ok {
		h.settled[x.id] = struct{}{}
		if len(h.order) < cap(h.order) {
			h.order = append(h.order, x.id)
		} else {
			delete(h.settled, h.order[h.oldest])
			h.order[h.oldest] = x.id
			h.oldest = (h.oldest + 1) % len(h.order)
		}
	}
	return x.ds[slices.Index(x.ds, x.settling)+1:]
}

func (h *hands) letGo(x *held) {
	if h.held[x.id] == x {
		delete(h.held, x.id)
	}
}

// identify is the same for each delivery of one attempt of a message, and another one for any other message.
func identify(d *queue.Delivery) identity {
	b := make([]byte, 0, 512)
	text := func(s string) {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	text(d.Key())
	for i := range d.Headers {
		hd := &d.Headers[i]
		text(hd.Name)
		text(hd.Str)
		b = binary.AppendVarint(b, hd.Int)
	}
	return sha256.Sum256(append(b, d.Body...))
}
