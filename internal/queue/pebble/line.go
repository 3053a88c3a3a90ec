package pebble

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"jasmind/internal/localdb"
	"jasmind/internal/queue"
)

// line is one queue. Its goroutine reads ahead, moves what became due and purges; everything else
// happens where it is caused: in a commit's after functions, in Consume and in Close.
type line struct {
	driver *Driver
	name   queue.Name
	id     uint32

	seq  uint64      // last sequence number given, used by the committing goroutine only
	gone atomic.Bool // deleted: what is committed from here on is refused

	work  chan struct{}      // cap 1: there is something to read or to move
	tasks chan func()        // purges, carried out by run
	ctx   context.Context    // ended by end
	stop  context.CancelFunc //

	lanes [lanes]lane

	mu        sync.Mutex // guards what follows and the lanes; never held over I/O or a call out
	ended     bool
	ready     int // messages in the lanes, in memory or not
	consumers []*consumer
	turn      int    // the consumer that is served next
	out       item   // sentinel of the list of deliveries that are out or settling
	due       uint64 // no delayed message is due before this; MaxUint64: there is none
	room      [2]int // window and octets a lane may hold
}

// loadRetry is the wait after a read that failed.
const loadRetry = time.Second

func newLine(d *Driver, name queue.Name, id uint32) *line {
	l := &line{driver: d, name: name, id: id, work: make(chan struct{}, 1), tasks: make(chan func()), due: math.MaxUint64,
		room: [2]int{d.cfg.Window, d.cfg.WindowBytes}}
	l.out.prev, l.out.next = &l.out, &l.out
	l.ctx, l.stop = context.WithCancel(d.ctx)
	// A time as the first number keeps numbers from being used twice.
	l.seq = uint64(max(time.Now().UnixNano(), 1))
	for i := range l.lanes {
		l.lanes[i].loaded, l.lanes[i].committed = l.seq, l.seq
	}
	return l
}

// recover finds what is in the queue from before: it counts the messages and sets each lane to its head.
func (l *line) recover() error {
	last := uint64(0)
	prefix := localdb.AppendUint32(nsReady.Key(), l.id)
	var first [lanes]uint64
	var bad []byte
	err := l.driver.db.Scan(prefix, localdb.PrefixEnd(prefix), func(key, _ []byte) bool {
		lane, seq, ok := cutReady(key)
		if !ok {
			bad = slices.Clone(key)
			return false
		}
		if first[lane] == 0 {
			first[lane] = seq
		}
		last = max(last, seq)
		l.ready++
		return true
	})
	if err == nil && bad != nil {
		err = fmt.Errorf("bad key %x", bad)
	}
	if err != nil {
		return fmt.Errorf("queue: recover %s: %w", l.name, err)
	}
	l.seq = max(l.seq, last)
	if err := l.readMarks(); err != nil {
		return err
	}
	for i := range l.lanes {
		n := &l.lanes[i]
		n.loaded, n.committed = l.seq, l.seq
		if first[i] != 0 {
			n.loaded = first[i] - 1
			n.full.Store(true)
		}
	}
	l.due = 0 // find out
	l.wake()
	return nil
}

func cutReady(key []byte) (lane uint8, seq uint64, ok bool) {
	if len(key) != 1+4+1+8 || key[5] >= lanes {
		return 0, 0, false
	}
	seq, _, ok = localdb.CutUint64(key[6:])
	return key[5], seq, ok && seq != 0
}

// wake makes run look for work.
func (l *line) wake() {
	select {
	case l.work <- struct{}{}:
	default:
	}
}

// landed is called when a published message is durable, in the order of the sequence numbers.
func (l *line) landed(i uint8, seq uint64, it *item) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := &l.lanes[i]
	atEnd := !n.onDisk()
	n.committed = seq
	l.ready++
	if l.ended {
		return
	}
	if it == nil || !atEnd || n.window.len() >= l.room[0] || n.octets >= l.room[1] {
		n.full.Store(true)
		if atEnd {
			l.dispatch() // run reads it when it is wanted
		}
		return
	}
	it.seq = seq
	n.loaded = seq
	n.window.push(it)
	n.octets += it.size
	l.dispatch()
}

// delayed is called when a delayed message is durable.
func (l *line) delayed(due uint64) {
	l.mu.Lock()
	sooner := due < l.due
	l.due = min(l.due, due)
	l.mu.Unlock()
	if sooner {
		l.wake()
	}
}

// settled is called when the fate of a settling delivery is known.
func (l *line) settled(it *item, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		if it.consumer.closed || l.ended {
			l.giveBack(it)
		} else {
			it.state.Store(stateOut)
		}
		l.dispatch()
		return
	}
	it.state.Store(stateSettled)
	l.take(it)
	l.dispatch()
}

// returned is called when the fate of a delivery is known that goes back to its place, as again.
func (l *line) returned(it, again *item, err error) {
	if err != nil {
		l.settled(it, err)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	it.state.Store(stateSettled)
	l.take(it)
	if l.ended {
		return
	}
	l.lanes[again.lane].giveBack(again)
	l.ready++
	l.wake()
	l.dispatch()
}

// take removes a delivery from the list and from its consumer's count.
func (l *line) take(it *item) {
	it.prev.next, it.next.prev = it.next, it.prev
	it.prev, it.next = nil, nil
	it.consumer.held--
}

// giveBack makes a delivery stale and puts its message back into its lane, as one that was delivered.
func (l *line) giveBack(it *item) { l.putBack(it, true) }

func (l *line) putBack(it *item, delivered bool) {
	it.state.Store(stateStale)
	l.take(it)
	if l.ended {
		return
	}
	// What the consumer was given is his to change, so the message is read again.
	again := &item{line: l, lane: it.lane, seq: it.seq, size: it.size, cold: true, tried: it.tried}
	again.Queue, again.Redelivered, again.Handle = l.name, delivered || it.Redelivered, again
	l.lanes[it.lane].giveBack(again)
	l.ready++
	l.wake()
}

// dispatch delivers while a consumer has room and the first message is in memory.
func (l *line) dispatch() {
	for !l.ended {
		c := l.hungry()
		if c == nil {
			return
		}
		it := l.first()
		if it == nil {
			return
		}
		n := &l.lanes[it.lane]
		n.given = max(n.given, it.seq)
		it.consumer = c
		it.state.Store(stateOut)
		it.prev, it.next = l.out.prev, &l.out
		it.prev.next, l.out.prev = it, it
		c.held++
		l.ready--
		c.ch <- &it.Delivery // never blocks: held bounds what is in it
	}
}

// hungry finds the next consumer with room.
func (l *line) hungry() *consumer {
	for range l.consumers {
		c := l.consumers[l.turn%len(l.consumers)]
		l.turn = (l.turn + 1) % len(l.consumers)
		if c.held < cap(c.ch) {
			return c
		}
	}
	return nil
}

// first takes the message that is to be delivered next. nil: there is none, or it has to be read first.
func (l *line) first() *item {
	for i := range l.lanes {
		n := &l.lanes[i]
		if n.cold() {
			l.wake()
			return nil
		}
		if it := n.next(); it != nil && !l.mayGo(n, it) {
			return nil
		}
		it := n.pop()
		if n.onDisk() && n.window.len() <= l.room[0]/2 && n.octets <= l.room[1]/2 {
			l.wake()
		}
		if it != nil {
			return it
		}
		if n.onDisk() {
			return nil
		}
	}
	return nil
}

// wanted tells that somebody waits for messages.
func (l *line) wanted() bool { return len(l.consumers) > 0 }

// end ends the consumers and the goroutine. The messages stay where they are.
func (l *line) end() {
	l.mu.Lock()
	for _, c := range slices.Clone(l.consumers) {
		c.end()
	}
	l.ended = true
	for it := l.out.next; it != &l.out; {
		next := it.next
		if it.state.CompareAndSwap(stateOut, stateStale) {
			l.take(it)
		}
		it = next
	}
	for i := range l.lanes {
		l.lanes[i].clear()
		l.lanes[i].full.Store(true)
	}
	l.mu.Unlock()
	l.stop()
}
