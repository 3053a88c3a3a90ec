package dlr

import (
	linked "container/list"
	"context"
	"slices"
	"sync"
	"time"

	"jasmind/internal/journal"
	"jasmind/internal/queue"
	"jasmind/internal/sms"
)

// event is a delivery with what this process knows of it.
type event struct {
	*queue.Delivery

	looks  int      // times that it was held; belongs to who has it in hand, as letter and fx do
	letter bool     // it becomes a dead letter if no message claims it
	fx     *effects // what the last look found

	// Guarded by hold.mu.
	over    bool            // it has made room for others
	waiting bool            // for its keys or its timer
	keys    []key           // what wakes it
	timer   *time.Timer     // the fallback
	place   *linked.Element // in hold.order, from when it was held first until it is settled
}

// key names what an event waits for: the mapping of an SMSC's id, or, without an account, that a
// request is forgotten.
type key struct {
	account sms.Account
	id      string
}

// heldMax bounds the events that are held at a time: one more makes the one that waits longest go back to
// its queue. They are unsettled deliveries, so the prefetch of their queue counts them too.
const heldMax = 4096

// recentMax bounds the keys that are remembered for those that were looked up just before they came.
const recentMax = 4096

// pause is how long an event that was held so often waits at most before it is looked up again, 0: it was
// held long enough, 6.25 s in all. These looks are for what no wake tells of: a mapping that another process
// has written.
func pause(looks int) time.Duration {
	switch {
	case looks < 4:
		return 50 * time.Millisecond << looks
	case looks < 15:
		return 500 * time.Millisecond
	}
	return 0
}

// hold keeps events whose mapping, or whose answer, is not there yet, unsettled, until a commit of this process
// brings it. Nothing is lost with it: what is held when the process ends comes again.
type hold struct {
	max    int
	signal chan struct{} // cap 1: ready is not empty

	mu     sync.Mutex // guards what follows and the events
	byKey  map[key][]*event
	order  *linked.List // of those held and not settled, the longest first
	ready  []*event     // to be looked up again
	closed bool

	recent map[key]bool // the last keys that came
	ring   []key        // the same, from oldest on
	oldest int
}

func newHold(most int) *hold {
	return &hold{max: most, signal: make(chan struct{}, 1), byKey: make(map[key][]*event), order: linked.New(), recent: make(map[key]bool)}
}

// keep holds an event until one of keys comes, or for a while; false if it was held long enough. over:
// it was not, but has to make room.
func (h *hold) keep(ev *event, keys []key) (kept, over bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	wait := pause(ev.looks)
	if wait == 0 || ev.over || h.closed {
		return false, ev.over
	}
	ev.looks++
	first := ev.place == nil
	if first {
		ev.place = h.order.PushBack(ev)
		if h.order.Len() > h.max {
			h.evict()
		}
	}
	ev.waiting, ev.keys = true, keys
	for _, k := range keys {
		h.byKey[k] = append(h.byKey[k], ev)
		if first && h.recent[k] { // between the look and now
			wait = 0
		}
	}
	ev.timer = time.AfterFunc(wait, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.release(ev)
	})
	return true, false
}

// evict has the event that waits longest looked up once more, and then go back to its queue. h.mu is held.
func (h *hold) evict() {
	first := h.order.Front()
	ev := first.Value.(*event)
	h.order.Remove(first)
	ev.place, ev.over = nil, true
	h.release(ev)
}

// release makes an event that waits ready. h.mu is held.
func (h *hold) release(ev *event) {
	if !ev.waiting || h.closed {
		return
	}
	ev.waiting = false
	ev.timer.Stop()
	for _, k := range ev.keys {
		if rest := slices.DeleteFunc(h.byKey[k], func(e *event) bool { return e == ev }); len(rest) > 0 {
			h.byKey[k] = rest
		} else {
			delete(h.byKey, k)
		}
	}
	ev.keys = nil
	h.ready = append(h.ready, ev)
	select {
	case h.signal <- struct{}{}:
	default:
	}
}

// settled forgets an event that has left this process' hands.
func (h *hold) settled(ev *event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if ev.place != nil {
		h.order.Remove(ev.place)
		ev.place = nil
	}
}

// committed wakes what waits for an entry that is durable now.
func (h *hold) committed(e *journal.Entry) {
	if len(e.Mappings)+len(e.Forget) == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	wake := func(k key) {
		h.remember(k)
		for _, ev := range slices.Clone(h.byKey[k]) {
			h.release(ev)
		}
	}
	for i := range e.Mappings {
		wake(key{e.Mappings[i].Account, e.Mappings[i].SMPPMsgID})
	}
	for _, id := range e.Forget {
		wake(key{id: string(id)})
	}
}

// remember adds to the recent keys, in place of the oldest. h.mu is held.
func (h *hold) remember(k key) {
	if h.recent[k] {
		return
	}
	h.recent[k] = true
	if len(h.ring) < recentMax {
		h.ring = append(h.ring, k)
		return
	}
	delete(h.recent, h.ring[h.oldest])
	h.ring[h.oldest] = k
	h.oldest = (h.oldest + 1) % recentMax
}

// run passes on what became ready, by batches, until ctx ends; then nothing is held any more.
func (h *hold) run(ctx context.Context, to chan<- []*event) {
	defer h.close()
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.signal:
		}
		h.mu.Lock()
		ready := h.ready
		h.ready = nil
		h.mu.Unlock()
		for batch := range slices.Chunk(ready, batchMax) {
			select {
			case to <- batch:
			case <-ctx.Done():
				return
			}
		}
	}
}

func (h *hold) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for e := h.order.Front(); e != nil; e = e.Next() {
		if ev := e.Value.(*event); ev.waiting {
			ev.timer.Stop()
		}
	}
}

// Watch gives a journal that commits to j and has receipts that wait here for a mapping looked up as soon
// as it is durable. Who writes mappings is to commit through it.
func (l *Lookup) Watch(j journal.Journal) journal.Journal { return watched{j, l.hold} }

type watched struct {
	journal.Journal
	hold *hold
}

// Commit is the journal's, with a wake after it.
func (w watched) Commit(ctx context.Context, e *journal.Entry) error {
	err := w.Journal.Commit(ctx, e)
	if err == nil {
		w.hold.committed(e)
	}
	return err
}
