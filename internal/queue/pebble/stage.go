package pebble

import (
	"bytes"
	"fmt"
	"math"
	"sync/atomic"

	"jasmind/internal/localdb"
	"jasmind/internal/queue"
)

// state is where a delivery stands. It only moves forward, but for settling, which falls back to out
// when the commit is refused.
type state = uint32

const (
	stateReady    state = iota // in its lane
	stateOut                   // delivered
	stateSettling              // in a batch that is being committed
	stateSettled               // done with
	stateStale                 // its consumer or its queue is gone; the message was given back
)

// item is a message in memory: in the window of its lane, or delivered. The fields but state are
// guarded by the line's mu once it is there.
type item struct {
	queue.Delivery
	line     *line
	consumer *consumer
	lane     uint8
	seq      uint64
	size     int
	cold     bool // given back; the message itself is to be read again
	tried    bool // its key may have been written more than once, see StageRetry
	state    atomic.Uint32

	prev, next *item // in the line's list of deliveries
}

func (it *item) key() []byte { return readyKey(it.line.id, it.lane, it.seq) }

func readyKey(id uint32, lane uint8, seq uint64) []byte {
	return localdb.AppendUint64(append(localdb.AppendUint32(nsReady.Key(), id), lane), seq)
}

func delayedKey(id uint32, due, seq uint64) []byte {
	return localdb.AppendUint64(localdb.AppendUint64(localdb.AppendUint32(nsDelayed.Key(), id), due), seq)
}

func laneOf(priority uint8) uint8 { return maxPriority - priority }

// StagePublish adds messages to a batch. They are delivered when the batch is durable. The messages may
// be used again when the batch was committed.
//
// Errors: ErrNoQueue, ErrClosed, or a message that cannot be stored; the batch is then to be abandoned.
func (d *Driver) StagePublish(b *localdb.Batch, ps []queue.Publication) error {
	for i := range ps {
		p := &ps[i]
		if p.Observers {
			continue
		}
		l, err := d.line(p.Queue)
		if err != nil {
			return err
		}
		if p.Message.Priority > maxPriority {
			return fmt.Errorf("publish %s to %s: priority %d, want 0 to %d", p.Message.ID, p.Queue, p.Message.Priority, maxPriority)
		}
		if p.Message.Attempts < 0 || p.Message.Attempts > math.MaxInt32 {
			return fmt.Errorf("publish %s to %s: attempts %d, want 0 to %d", p.Message.ID, p.Queue, p.Message.Attempts, math.MaxInt32)
		}
		if p.After > 0 {
			l.stageDelayed(b, &p.Message, dueTime(p.After))
			continue
		}
		l.stageReady(b, &p.Message)
	}
	return nil
}

// stageReady adds a message to its lane.
func (l *line) stageReady(b *localdb.Batch, m *queue.Message) {
	record := appendRecord(make([]byte, 0, recordSize(m)), m)
	lane := laneOf(m.Priority)
	var it *item
	if !l.lanes[lane].full.Load() {
		// Likely to be delivered from memory, so keep it as it will be delivered.
		it = &item{Delivery: queue.Delivery{Message: *m, Queue: l.name}, line: l, lane: lane, size: len(record)}
		it.Headers, it.Body = m.Headers.Clone(), bytes.Clone(m.Body)
		it.Handle, it.tried = it, m.Attempts > 0
	}
	var seq uint64
	b.Prepare(func(b *localdb.Batch) error {
		if err := l.exists(); err != nil {
			return err
		}
		l.seq++
		seq = l.seq
		b.Set(readyKey(l.id, lane, seq), record)
		return nil
	})
	b.After(func(err error) {
		if err == nil {
			l.landed(lane, seq, it)
		}
	})
}

// stageDelayed adds a message that is due later.
func (l *line) stageDelayed(b *localdb.Batch, m *queue.Message, due uint64) {
	record := appendRecord(make([]byte, 0, recordSize(m)), m)
	b.Prepare(func(b *localdb.Batch) error {
		if err := l.exists(); err != nil {
			return err
		}
		l.seq++
		b.Set(delayedKey(l.id, due, l.seq), record)
		return nil
	})
	b.After(func(err error) {
		if err == nil {
			l.delayed(due)
		}
	})
}

// exists refuses what comes after the queue's deletion.
func (l *line) exists() error {
	if l.gone.Load() {
		return fmt.Errorf("%w: %s", queue.ErrNoQueue, l.name)
	}
	return nil
}

// StageAck adds to a batch that a delivery leaves its queue. When the batch is refused the delivery can
// be settled again.
//
// Errors: ErrStale; the batch is then as it was.
func (d *Driver) StageAck(b *localdb.Batch, dl *queue.Delivery) error {
	it, err := d.settling(dl)
	if err != nil {
		return err
	}
	it.remove(b)
	b.After(func(err error) { it.line.settled(it, err) })
	return nil
}

// StageRetry adds to a batch that a delivery goes back to its queue after a delay, counted as one more
// attempt; without a delay it keeps its place. Errors as for StageAck.
func (d *Driver) StageRetry(b *localdb.Batch, r *queue.Retry) error {
	it, err := d.settling(r.Delivery)
	if err != nil {
		return err
	}
	if r.After > 0 {
		it.remove(b)
		it.line.stageAgain(b, r)
		b.After(func(err error) { it.line.settled(it, err) })
		return nil
	}
	m := retried(r)
	record := appendRecord(make([]byte, 0, recordSize(&m)), &m)
	again := &item{line: it.line, lane: it.lane, seq: it.seq, size: len(record), cold: true, tried: true}
	again.Queue, again.Handle = it.line.name, again
	b.Prepare(func(b *localdb.Batch) error {
		if err := it.line.exists(); err != nil {
			return err
		}
		b.Set(it.key(), record)
		return nil
	})
	b.After(func(err error) { it.line.returned(it, again, err) })
	return nil
}

// remove adds to a batch that the message's key goes.
func (it *item) remove(b *localdb.Batch) {
	if it.tried {
		b.Delete(it.key())
		return
	}
	b.DeleteOnce(it.key())
}

// StageCopy adds to a batch what StageRetry would put into the queue, and leaves the delivery alone: it
// is stale, and its message comes again.
func (d *Driver) StageCopy(b *localdb.Batch, r *queue.Retry) error {
	l, err := d.line(r.Delivery.Queue)
	if err != nil {
		return err
	}
	l.stageAgain(b, r)
	return nil
}

func (l *line) stageAgain(b *localdb.Batch, r *queue.Retry) {
	m := retried(r)
	if r.After > 0 {
		l.stageDelayed(b, &m, dueTime(r.After))
		return
	}
	l.stageReady(b, &m)
}

// retried is the message that a retry leaves in the queue.
func retried(r *queue.Retry) queue.Message {
	m := r.Delivery.Message
	if m.Attempts < math.MaxInt32 {
		m.Attempts++
	}
	if r.Headers != nil {
		m.Headers = r.Headers
	}
	return m
}

// Stale tells that the delivery cannot be settled any more.
func (it *item) Stale() bool { return it.state.Load() >= stateSettled }

// Done tells that this very delivery was settled: acknowledged or put back.
func (d *Driver) Done(dl *queue.Delivery) bool {
	it, ok := dl.Handle.(*item)
	return ok && it.state.Load() == stateSettled
}

// settling claims a delivery for a batch.
func (d *Driver) settling(dl *queue.Delivery) (*item, error) {
	it, ok := dl.Handle.(*item)
	if !ok || it.line.driver != d || !it.state.CompareAndSwap(stateOut, stateSettling) {
		return nil, fmt.Errorf("%w: %s of %s", queue.ErrStale, dl.ID, dl.Queue)
	}
	return it, nil
}
