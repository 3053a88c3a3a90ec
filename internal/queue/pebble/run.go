package pebble

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"jasmind/internal/localdb"
	"jasmind/internal/queue"
)

// moveBatch is how many due messages one commit moves.
const moveBatch = 256

// run is the line's goroutine.
func (l *line) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Reset(l.step())
		select {
		case <-l.ctx.Done():
			return
		case <-l.work:
		case <-timer.C:
		case f := <-l.tasks:
			f()
		}
	}
}

// step reads and moves what there is and tells how long nothing more will be due.
func (l *line) step() time.Duration {
	err := l.mark()
	if err == nil {
		err = l.move()
	}
	if err == nil {
		err = l.warm()
	}
	if err == nil {
		err = l.load()
	}
	if err != nil {
		if l.ctx.Err() == nil && !errors.Is(err, localdb.ErrClosed) && !errors.Is(err, localdb.ErrFailed) {
			l.driver.cfg.Log.Error("read a queue", "queue", string(l.name), "err", err)
		}
		return loadRetry
	}
	l.mu.Lock()
	due := l.due
	l.mu.Unlock()
	if due == math.MaxUint64 {
		return time.Hour
	}
	return max(time.Until(time.UnixMilli(int64(due))), 0)
}

// warm reads the messages that were given back.
func (l *line) warm() error {
	var cold []*item
	l.mu.Lock()
	for i := range l.lanes {
		for _, it := range l.lanes[i].back {
			if it.cold {
				cold = append(cold, it)
			}
		}
	}
	l.mu.Unlock()
	for _, it := range cold {
		raw, ok, err := l.driver.db.Get(it.key())
		if err != nil {
			return fmt.Errorf("read %s again: %w", l.name, err)
		}
		var m queue.Message
		if ok {
			if m, err = decodeRecord(raw); err != nil {
				if err := l.bury(unreadable{it.key(), raw, it.lane, err}); err != nil {
					return err
				}
				ok = false
			}
		}
		l.mu.Lock()
		if ok {
			it.Message, it.cold = m, false
		} else if l.lanes[it.lane].drop(it) {
			l.ready--
		}
		l.mu.Unlock()
	}
	if len(cold) > 0 {
		l.mu.Lock()
		l.dispatch()
		l.mu.Unlock()
	}
	return nil
}

// load fills the windows of the lanes from the disk, the highest priority first. It goes on until every
// lane has half a window or nothing more on the disk.
func (l *line) load() error {
	for i := range l.lanes {
		for {
			more, err := l.loadLane(uint8(i))
			if err != nil {
				return err
			}
			if !more {
				break
			}
		}
	}
	return nil
}

// loadLane reads one window's worth. more tells that it is to be called again.
func (l *line) loadLane(i uint8) (more bool, err error) {
	n := &l.lanes[i]
	l.mu.Lock()
	from, to := n.loaded+1, n.committed
	room, octets := l.room[0]-n.window.len(), l.room[1]-n.octets
	skip := l.ended || !l.wanted() || !n.onDisk() || 2*room < l.room[0] || 2*octets < l.room[1]
	l.mu.Unlock()
	if skip {
		return false, nil
	}
	var (
		items  []*item
		last   = to
		bad    error
		buried []unreadable
	)
	err = l.driver.db.Scan(readyKey(l.id, i, from), readyKey(l.id, i, to+1), func(key, value []byte) bool {
		_, seq, ok := cutReady(key)
		if !ok {
			bad = fmt.Errorf("bad key %x", key)
			return false
		}
		m, err := decodeRecord(value)
		if err != nil {
			buried = append(buried, unreadable{slices.Clone(key), slices.Clone(value), i, err})
			return true
		}
		it := &item{Delivery: queue.Delivery{Message: m, Queue: l.name, Redelivered: seq <= n.start}, line: l, lane: i, seq: seq, size: len(value)}
		it.Handle, it.tried = it, m.Attempts > 0
		items = append(items, it)
		octets -= it.size
		if len(items) == room || octets <= 0 {
			last = seq
			return false
		}
		return true
	})
	if err = errors.Join(err, bad); err != nil {
		return false, fmt.Errorf("read %s: %w", l.name, err)
	}
	if err := l.bury(buried...); err != nil {
		return false, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ready -= len(buried)
	if l.ended {
		return false, nil
	}
	n.loaded = last
	for _, it := range items {
		n.window.push(it)
		n.octets += it.size
	}
	if !n.onDisk() {
		n.full.Store(false)
	}
	l.dispatch()
	return n.onDisk(), nil
}

// move moves delayed messages whose time has come into their lanes. It begins where the last call
// stopped, so that it does not read over what it moved.
func (l *line) move() error {
	for {
		now := uint64(time.Now().UnixMilli())
		l.mu.Lock()
		from := l.due
		if from > now || l.ended {
			l.mu.Unlock()
			return nil
		}
		l.due = math.MaxUint64 // what is committed from here on lowers it
		l.mu.Unlock()
		next, err := l.moveFrom(from, now)
		if err != nil {
			next = from
		}
		l.mu.Lock()
		l.due = min(l.due, next)
		l.mu.Unlock()
		if err != nil {
			return err
		}
	}
}

// moveFrom moves one batch of what is due from from to now, and gives the next time to look at.
func (l *line) moveFrom(from, now uint64) (next uint64, err error) {
	next = math.MaxUint64
	prefix := localdb.AppendUint32(nsDelayed.Key(), l.id)
	var (
		keys     [][]byte
		messages []queue.Message
		bad      error
		buried   []unreadable
	)
	err = l.driver.db.Scan(localdb.AppendUint64(slices.Clone(prefix), from), localdb.PrefixEnd(prefix), func(key, value []byte) bool {
		due, _, ok := localdb.CutUint64(key[5:])
		if !ok || len(key) != 1+4+8+8 {
			bad = fmt.Errorf("bad key %x", key)
			return false
		}
		if due > now || len(keys)+len(buried) == moveBatch {
			next = due
			return false
		}
		m, err := decodeRecord(value)
		if err != nil {
			buried = append(buried, unreadable{slices.Clone(key), slices.Clone(value), laneOf(0), err})
			return true
		}
		keys = append(keys, slices.Clone(key))
		messages = append(messages, m)
		return true
	})
	if err = errors.Join(err, bad); err != nil {
		return from, fmt.Errorf("read the delayed messages of %s: %w", l.name, err)
	}
	if err := l.bury(buried...); err != nil {
		return from, err
	}
	if len(keys) == 0 {
		return next, nil
	}
	b := l.driver.db.NewBatch()
	for i := range keys {
		b.DeleteOnce(keys[i])
		l.stageReady(b, &messages[i])
	}
	if err := l.driver.db.Commit(context.WithoutCancel(l.ctx), b); err != nil {
		return from, fmt.Errorf("move the delayed messages of %s: %w", l.name, err)
	}
	return next, nil
}

// purge drops what is ready or delayed. It runs on the line's goroutine, so nothing is being read or
// moved meanwhile.
func (l *line) purge(ctx context.Context) (int, error) {
	type result struct {
		n   int
		err error
	}
	done := make(chan result, 1)
	task := func() {
		n, err := l.purgeNow(ctx)
		done <- result{n, err}
	}
	select {
	case l.tasks <- task:
		r := <-done
		return r.n, r.err
	case <-l.ctx.Done():
		return 0, fmt.Errorf("purge %s: %w", l.name, queue.ErrClosed)
	case <-ctx.Done():
		return 0, fmt.Errorf("purge %s: %w", l.name, context.Cause(ctx))
	}
}

func (l *line) purgeNow(ctx context.Context) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("purge %s: %w", l.name, err)
	}
	prefix := localdb.AppendUint32(nsDelayed.Key(), l.id)
	waiting := 0
	var until []byte // delayed messages up to here go
	if err := l.driver.db.Scan(prefix, localdb.PrefixEnd(prefix), func(key, _ []byte) bool {
		waiting++
		until = append(until[:0], key...)
		return true
	}); err != nil {
		return 0, fmt.Errorf("purge %s: %w", l.name, err)
	}

	b := l.driver.db.NewBatch()
	if until != nil {
		b.DeleteRange(prefix, append(until, 0))
	}
	l.mu.Lock()
	n := l.ready
	l.ready = 0
	var kept [lanes][]uint64 // delivered ones stay
	for it := l.out.next; it != &l.out; it = it.next {
		kept[it.lane] = append(kept[it.lane], it.seq)
	}
	for i := range l.lanes {
		lane := &l.lanes[i]
		lane.clear()
		lane.loaded = lane.committed
		lane.full.Store(false)
		from := uint64(0)
		slices.Sort(kept[i])
		for _, seq := range kept[i] {
			if seq > from {
				b.DeleteRange(readyKey(l.id, uint8(i), from), readyKey(l.id, uint8(i), seq))
			}
			from = seq + 1
		}
		if from <= lane.committed {
			b.DeleteRange(readyKey(l.id, uint8(i), from), readyKey(l.id, uint8(i), lane.committed+1))
		}
	}
	l.mu.Unlock()
	if err := l.driver.db.Commit(context.WithoutCancel(ctx), b); err != nil {
		return 0, fmt.Errorf("purge %s: %w", l.name, Translate(err))
	}
	return n + waiting, nil
}
