package account

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
)

// turns hands out a few turns at a time. Who waits, waits in the line of his address, and the lines take turns, so that many
// from one address do not keep the first of another waiting. When there is no more room, the last of the longest line
// goes, unless that is who comes.
type turns struct {
	mu      sync.Mutex // guards what follows
	free    int
	room    int // for those who wait
	waiting int
	lines   []*line // none is empty; the first has the next turn
}

type line struct {
	from    netip.Addr
	waiters []chan bool // each with room for its answer: true, a turn; false, it is to go
}

var errNoRoom = errors.New("too many others wait")

func newTurns(free, room int) *turns { return &turns{free: free, room: room} }

// take waits for a turn, which give must end. It fails when ctx ends, with its cause, or when there is no room.
func (t *turns) take(ctx context.Context, from netip.Addr) error {
	t.mu.Lock()
	if t.free > 0 { // then nobody waits
		t.free--
		t.mu.Unlock()
		return nil
	}
	mine := t.lineOf(from)
	if t.waiting >= t.room && !t.makeRoom(mine) {
		t.mu.Unlock()
		return errNoRoom
	}
	if mine == nil {
		mine = &line{from: from}
		t.lines = append(t.lines, mine)
	}
	turn := make(chan bool, 1)
	mine.waiters = append(mine.waiters, turn)
	t.waiting++
	t.mu.Unlock()
	select {
	case ok := <-turn:
		if !ok {
			return errNoRoom
		}
		return nil
	case <-ctx.Done():
	}
	t.mu.Lock()
	if !t.drop(from, turn) && <-turn { // it came at the same time
		t.giveLocked()
	}
	t.mu.Unlock()
	return context.Cause(ctx)
}

// give ends a turn.
func (t *turns) give() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.giveLocked()
}

func (t *turns) giveLocked() {
	if len(t.lines) == 0 {
		t.free++
		return
	}
	l := t.lines[0]
	t.lines = t.lines[1:]
	l.waiters[0] <- true
	t.waiting--
	if l.waiters = l.waiters[1:]; len(l.waiters) > 0 {
		t.lines = append(t.lines, l)
	}
}

func (t *turns) lineOf(from netip.Addr) *line {
	for _, l := range t.lines {
		if l.from == from {
			return l
		}
	}
	return nil
}

// makeRoom sends the last of the longest line away, if the line stays longer than that of who comes was.
func (t *turns) makeRoom(mine *line) bool {
	var longest *line
	for _, l := range t.lines {
		if longest == nil || len(l.waiters) > len(longest.waiters) {
			longest = l
		}
	}
	own := 0
	if mine != nil {
		own = len(mine.waiters)
	}
	if longest == nil || len(longest.waiters) <= own+1 {
		return false
	}
	last := longest.waiters[len(longest.waiters)-1]
	t.drop(longest.from, last)
	last <- false
	return true
}

// drop takes who waits out of his line; false if he waits no more.
func (t *turns) drop(from netip.Addr, turn chan bool) bool {
	for i, l := range t.lines {
		if l.from != from {
			continue
		}
		k := slices.Index(l.waiters, turn)
		if k < 0 {
			return false
		}
		t.waiting--
		if l.waiters = slices.Delete(l.waiters, k, k+1); len(l.waiters) == 0 {
			t.lines = slices.Delete(t.lines, i, i+1)
		}
		return true
	}
	return false
}
