package pebble

import (
	"context"
	"fmt"

	"jasmind/internal/localdb"
)

// A mark says up to which sequence number the messages of a lane may have been delivered. It is durable before one of them is, so it is
// written ahead: markAhead numbers at a time, when half of them are used up. At an orderly end it is set back to what was
// delivered.
const markAhead = 256

func markKey(id uint32, lane uint8) []byte {
	return append(localdb.AppendUint32(nsMark.Key(), id), lane)
}

// marksKey is there once the database has marks. What a database without it holds may all have been delivered.
func marksKey() []byte { return nsMark.Key() }

// readMarks reads the marks of a line.
func (l *line) readMarks() error {
	for i := range l.lanes {
		value, ok, err := l.driver.db.Get(markKey(l.id, uint8(i)))
		if err != nil {
			return fmt.Errorf("queue: recover %s: %w", l.name, err)
		}
		n := &l.lanes[i]
		if ok {
			n.marked, _, _ = localdb.CutUint64(value)
		}
		n.start, n.given, n.asked = n.marked, n.marked, n.marked
	}
	return nil
}

// markAll marks what there is in a database that has no marks.
func (d *Driver) markAll() error {
	if _, ok, err := d.db.Get(marksKey()); err != nil || ok {
		return err
	}
	b := d.db.NewBatch()
	b.Set(marksKey(), nil)
	for _, l := range d.lines {
		for i := range l.lanes {
			if l.lanes[i].onDisk() {
				n := &l.lanes[i]
				n.marked, n.start, n.given, n.asked = l.seq, l.seq, l.seq, l.seq
				b.Set(markKey(l.id, uint8(i)), localdb.AppendUint64(nil, n.marked))
			}
		}
	}
	return d.commit(context.Background(), b)
}

// mayGo tells whether a message may be delivered now, and has the mark written that its like need. The line's mu is held.
func (l *line) mayGo(n *lane, it *item) bool {
	if it.seq+markAhead/2 > n.marked && it.seq+markAhead/2 > n.asked {
		n.asked = it.seq + markAhead
		l.wake()
	}
	return it.seq <= n.marked
}

// mark writes the marks that are asked for.
func (l *line) mark() error {
	var asked [lanes]uint64
	due := false
	l.mu.Lock()
	for i := range l.lanes {
		if n := &l.lanes[i]; n.asked > n.marked {
			asked[i], due = n.asked, true
		}
	}
	l.mu.Unlock()
	if !due {
		return nil
	}
	b := l.driver.db.NewBatch()
	for i, seq := range asked {
		if seq > 0 {
			b.Set(markKey(l.id, uint8(i)), localdb.AppendUint64(nil, seq))
		}
	}
	b.Prepare(func(*localdb.Batch) error { return l.exists() })
	if err := l.driver.db.Commit(context.WithoutCancel(l.ctx), b); err != nil {
		return fmt.Errorf("mark what %s delivers: %w", l.name, err)
	}
	l.mu.Lock()
	for i, seq := range asked {
		l.lanes[i].marked = max(l.lanes[i].marked, seq)
	}
	l.dispatch()
	l.mu.Unlock()
	return nil
}

// setBack adds to a batch that what was not delivered is not marked. The line has ended.
func (l *line) setBack(b *localdb.Batch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.lanes {
		if n := &l.lanes[i]; n.given < n.marked && !l.gone.Load() {
			b.Set(markKey(l.id, uint8(i)), localdb.AppendUint64(nil, n.given))
		}
	}
}

// unseen takes the deliveries that nobody has received out of a consumer that ends. The line's mu is held.
func (c *consumer) unseen() map[*item]bool {
	out := make(map[*item]bool, len(c.ch))
	for {
		select {
		case d := <-c.ch:
			out[d.Handle.(*item)] = true
		default:
			return out
		}
	}
}
