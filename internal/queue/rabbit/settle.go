package rabbit

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"jasmind/internal/queue"
)

// tracked is a delivery with what it takes to settle it.
type tracked struct {
	queue.Delivery
	feed *feed
	tag  uint64
	due  time.Time // of one that came early
}

// Stale tells that the delivery cannot be settled any more.
func (t *tracked) Stale() bool { return !t.feed.isOpen(t.tag) }

// settling keeps the deliveries of a channel that are not settled, and sends
// acknowledgements. The broker closes a channel on which a tag is settled twice, so that
// must not happen. Whoever acknowledges first sends for all who come meanwhile, and a run
// of tags from the oldest on is one frame.
type settling struct {
	mu       sync.Mutex // guards the following
	idle     sync.Cond  // sending became false
	open     []unsettled
	marked   int // entries of open to be sent
	sending  bool
	shutDown bool

	// runs allows one frame for a run of tags from the oldest on. It must not be used when
	// the channel has several sources: a lower tag may then be on its way to add still.
	runs bool
}

type unsettled struct {
	tag    uint64
	marked bool
}

// add registers a delivery. Tags of one queue come in order, those of several nearly.
func (s *settling) add(tag uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.open); n == 0 || s.open[n-1].tag < tag {
		s.open = append(s.open, unsettled{tag: tag})
		return
	}
	i, _ := s.find(tag)
	s.open = slices.Insert(s.open, i, unsettled{tag: tag})
}

func (s *settling) find(tag uint64) (int, bool) {
	return slices.BinarySearchFunc(s.open, tag, func(u unsettled, t uint64) int {
		if u.tag < t {
			return -1
		}
		return int(min(u.tag-t, 1))
	})
}

// isOpen tells whether a delivery can be settled still.
func (s *settling) isOpen(tag uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok := s.find(tag)
	return ok && !s.open[i].marked && !s.shutDown
}

// mark notes an acknowledgement to be sent; false if the delivery is stale.
func (s *settling) mark(tag uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok := s.find(tag)
	if !ok || s.open[i].marked || s.shutDown {
		return false
	}
	s.open[i].marked = true
	s.marked++
	return true
}

// ack is one basic.ack.
type ack struct {
	tag      uint64
	multiple bool
}

// take removes what is marked and gives the frames for it. Called with mu held.
func (s *settling) take(acks []ack) []ack {
	prefix := 0
	for s.runs && prefix < len(s.open) && s.open[prefix].marked {
		prefix++
	}
	if prefix > 0 {
		acks = append(acks, ack{tag: s.open[prefix-1].tag, multiple: prefix > 1})
	}
	kept := s.open[:0]
	for _, u := range s.open[prefix:] {
		if u.marked {
			acks = append(acks, ack{tag: u.tag})
		} else {
			kept = append(kept, u)
		}
	}
	s.open, s.marked = kept, 0
	return acks
}

// flush sends what is marked, unless somebody is at it already.
func (f *feed) flush() error {
	f.mu.Lock()
	if f.sending {
		f.mu.Unlock()
		return nil
	}
	f.sending = true
	var acks []ack
	var err error
	for f.marked > 0 && err == nil {
		acks = f.take(acks[:0])
		f.mu.Unlock()
		for _, a := range acks {
			if err = f.ch.Ack(a.tag, a.multiple); err != nil {
				break
			}
		}
		f.mu.Lock()
	}
	f.sending = false
	f.idle.Broadcast()
	f.mu.Unlock()
	return err
}

// shut makes every delivery stale and waits until nobody sends.
func (f *feed) shut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.shutDown = true
	for f.sending {
		f.idle.Wait()
	}
}

// Ack takes deliveries out of their queues. It does not wait for the broker, which
// confirms no acknowledgement. ErrStale if one of them was settled before or its
// connection or consumer is gone; the others are acknowledged nevertheless.
func (b *Broker) Ack(_ context.Context, ds ...*queue.Delivery) error {
	stale := 0
	var last *feed
	var err error
	for _, d := range ds {
		t, ok := d.Handle.(*tracked)
		if !ok || !t.feed.mark(t.tag) {
			stale++
			continue
		}
		if t.feed.room != nil {
			<-t.feed.room
		}
		if last != nil && last != t.feed {
			err = firstError(err, last.flush())
		}
		last = t.feed
	}
	if last != nil {
		err = firstError(err, last.flush())
	}
	switch {
	case b.isClosed():
		return queue.ErrClosed
	case err != nil:
		return fmt.Errorf("%w: %w", queue.ErrStale, err)
	case stale > 0:
		return fmt.Errorf("%w: %d of %d", queue.ErrStale, stale, len(ds))
	}
	return nil
}

func firstError(a, b error) error {
	if a != nil {
		return a
	}
	return b
}
