package throw

import (
	"sync"
	"time"
)

// hosts bounds the calls to each host, so that one dead endpoint never delays another:
// perHost calls are under way, wait more DLRs wait here in order, the rest goes back to its
// queue until about the time when its turn comes.
type hosts struct {
	perHost, wait int

	mu     sync.Mutex // guards what follows
	byName map[string]*host
}

type host struct {
	active   int
	waiting  []job
	deferred int           // sent back to the queue and not seen again
	typical  time.Duration // moving average of a call
}

type verdict uint8

const (
	start  verdict = iota // the caller calls now, then next until it says no
	queued                // somebody who is calling that host takes it
	full                  // back to the queue
)

// Bounds of the time for which a DLR is sent back.
const (
	deferMin = 2 * time.Second
	deferMax = 10 * time.Minute
)

// take finds a place for a DLR; again says that it was sent back before. For full it says
// for how long.
func (hs *hosts) take(name string, j job, again bool) (verdict, time.Duration) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	h := hs.byName[name]
	if h == nil {
		h = &host{}
		hs.byName[name] = h
	}
	if again && h.deferred > 0 {
		h.deferred--
	}
	switch {
	case h.active < hs.perHost:
		h.active++
		return start, 0
	case len(h.waiting) < hs.wait:
		h.waiting = append(h.waiting, j)
		return queued, 0
	}
	h.deferred++
	turn := h.typical * time.Duration(h.deferred+len(h.waiting)) / time.Duration(hs.perHost)
	return full, min(max(turn, deferMin), deferMax)
}

// next takes note of how long the last call took and gives the caller of a host its next
// job; false ends its turn.
func (hs *hosts) next(name string, took time.Duration) (job, bool) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	h := hs.byName[name]
	h.typical += (took - h.typical) / 8
	if len(h.waiting) == 0 {
		if h.active--; h.active == 0 && h.deferred == 0 {
			delete(hs.byName, name)
		}
		return job{}, false
	}
	j := h.waiting[0]
	h.waiting = h.waiting[1:]
	return j, true
}
