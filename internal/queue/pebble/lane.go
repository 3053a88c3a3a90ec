package pebble

import (
	"container/heap"
	"sync/atomic"
)

// lane is one priority of a queue. Its messages, by sequence number:
//
//	... settled or delivered ... | window, in memory | on the disk only | not yet committed ...
//	                             ^                   ^ loaded           ^ committed
//
// Messages that were given back stand in back; they are older than the window. All fields but full are
// guarded by the line's mu.
type lane struct {
	window    ring
	back      backHeap
	octets    int    // of window and back
	loaded    uint64 // every committed message up to here is in memory, delivered or gone
	committed uint64 // every message up to here is durable

	marked uint64 // messages up to here may be delivered: see mark.go
	asked  uint64 // the mark that is being written
	given  uint64 // the highest number that was delivered
	start  uint64 // the mark at the start: messages up to here count as redelivered

	full atomic.Bool // a hint: what is published now will be read from the disk later
}

// onDisk tells that messages wait that are not in memory.
func (n *lane) onDisk() bool { return n.loaded < n.committed }

// next is the first message in memory; nil when there is none.
func (n *lane) next() *item {
	switch {
	case len(n.back) > 0 && (n.window.len() == 0 || n.back[0].seq < n.window.front().seq):
		return n.back[0]
	case n.window.len() > 0:
		return n.window.front()
	}
	return nil
}

// cold tells that the first message was given back and is to be read again.
func (n *lane) cold() bool {
	it := n.next()
	return it != nil && it.cold
}

// pop takes the first message out of memory; nil when there is none.
func (n *lane) pop() *item {
	it := n.next()
	if it == nil {
		return nil
	}
	if len(n.back) > 0 && n.back[0] == it {
		heap.Pop(&n.back)
	} else {
		n.window.pop()
	}
	n.octets -= it.size
	return it
}

// drop takes a message out of back that is not there any more.
func (n *lane) drop(it *item) bool {
	for i := range n.back {
		if n.back[i] == it {
			heap.Remove(&n.back, i)
			n.octets -= it.size
			return true
		}
	}
	return false
}

func (n *lane) giveBack(it *item) {
	heap.Push(&n.back, it)
	n.octets += it.size
}

// clear drops what is in memory.
func (n *lane) clear() {
	n.window, n.back, n.octets = ring{}, nil, 0
}

// ring is a queue of items in an array that grows and is given back when it runs empty.
type ring struct {
	items []*item // length is a power of two
	head  int
	n     int
}

const ringKeep = 64 // an array up to this length is kept when empty

func (r *ring) len() int     { return r.n }
func (r *ring) front() *item { return r.items[r.head] }

func (r *ring) push(it *item) {
	if r.n == len(r.items) {
		grown := make([]*item, max(16, 2*len(r.items)))
		for i := range r.n {
			grown[i] = r.items[(r.head+i)&(len(r.items)-1)]
		}
		r.items, r.head = grown, 0
	}
	r.items[(r.head+r.n)&(len(r.items)-1)] = it
	r.n++
}

func (r *ring) pop() *item {
	it := r.items[r.head]
	r.items[r.head] = nil
	r.head = (r.head + 1) & (len(r.items) - 1)
	if r.n--; r.n == 0 && len(r.items) > ringKeep {
		*r = ring{}
	}
	return it
}

// backHeap orders by sequence number.
type backHeap []*item

func (h backHeap) Len() int           { return len(h) }
func (h backHeap) Less(i, j int) bool { return h[i].seq < h[j].seq }
func (h backHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *backHeap) Push(x any)        { *h = append(*h, x.(*item)) }
func (h *backHeap) Pop() any {
	old := *h
	it := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return it
}
