package throw

import (
	"net"
	"net/url"
	"strings"
	"sync"
	"time"
)

// hosts bounds what is under way to each host, so that one dead endpoint never delays another:
// at most perHost calls at a time, and a number of DLRs that wait here in order; the rest goes
// back to its queue until about the time when its turn comes.
//
// How many may wait depends on the room that is left: a host has no more of them here than there
// is room for others, and when that gets scarce those with the most give theirs back. So
// a burst for the only busy host waits here and not in the queue, while many dead hosts,
// however many DLRs they have, leave room for the next one.
type hosts struct {
	perHost, wait int
	room          int // DLRs that can be here at all

	mu     sync.Mutex // guards what follows
	held   int        // DLRs that are called or wait
	byName map[string]*host
}

type host struct {
	active  int
	waiting []job
	typical time.Duration // moving average of a call
	turn    time.Time     // when the last DLR that was sent back comes again
}

func newHosts(cfg *Config) *hosts {
	return &hosts{perHost: cfg.PerHost, wait: cfg.WaitPerHost, room: cfg.Prefetch, byName: make(map[string]*host)}
}

type verdict uint8

const (
	start  verdict = iota // the caller calls now, then next until it says no
	queued                // somebody who is calling that host takes it
	full                  // back to the queue
)

// Bounds of the time for which a DLR is sent back.
const (
	deferMin = time.Second
	deferMax = 10 * time.Minute
)

// sentBack is a DLR that goes back to its queue, and for how long.
type sentBack struct {
	j     job
	after time.Duration
}

// take finds a place for a DLR. back are those that go to their queue for that: j itself, when the
// verdict is full, or another one.
func (hs *hosts) take(j job, now time.Time) (v verdict, back []sentBack) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	h := hs.byName[j.host]
	if h == nil {
		h = &host{}
		hs.byName[j.host] = h
	}
	free := hs.room - hs.held
	switch {
	case h.active == 0 || h.active < min(hs.perHost, free/8):
		h.active++
		v = start
	case len(h.waiting) < min(hs.wait, free):
		h.waiting = append(h.waiting, j)
		v = queued
	default:
		return full, []sentBack{{j, hs.untilTurn(h, now)}}
	}
	hs.held++
	if free <= hs.room/8 {
		back = hs.shed(now)
	}
	return v, back
}

// shed sends back the last DLR that waits for the host with the most of them.
func (hs *hosts) shed(now time.Time) []sentBack {
	var most *host
	for _, h := range hs.byName {
		if most == nil || len(h.waiting) > len(most.waiting) {
			most = h
		}
	}
	last := len(most.waiting) - 1
	if last < 0 {
		return nil // all are being called
	}
	j := most.waiting[last]
	most.waiting[last] = job{}
	most.waiting = most.waiting[:last]
	hs.held--
	return []sentBack{{j, hs.untilTurn(most, now)}}
}

// untilTurn says for how long a DLR is sent back: one call ends every so often, and before this DLR
// it is the turn of those that wait here and of those that were sent back already.
func (hs *hosts) untilTurn(h *host, now time.Time) time.Duration {
	every := h.typical / time.Duration(hs.perHost)
	turn := now.Add(every * time.Duration(len(h.waiting)))
	if h.turn.After(turn) {
		turn = h.turn
	}
	h.turn = turn.Add(every)
	if last := now.Add(deferMax); h.turn.After(last) {
		h.turn = last
	}
	return max(h.turn.Sub(now), deferMin)
}

// next takes note of how long the last call took and gives the caller of a host its next
// job; false ends its turn.
func (hs *hosts) next(name string, took time.Duration) (job, bool) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	h := hs.byName[name]
	hs.held--
	if h.typical == 0 {
		h.typical = took
	} else {
		h.typical += (took - h.typical) / 8
	}
	if len(h.waiting) == 0 {
		if h.active--; h.active == 0 {
			delete(hs.byName, name)
		}
		return job{}, false
	}
	j := h.waiting[0]
	h.waiting[0] = job{}
	h.waiting = h.waiting[1:]
	return j, true
}

// hostOf names the host that a URL leads to, one name for all spellings.
func hostOf(u *url.URL) string {
	port := u.Port()
	if port == "" {
		if port = "80"; u.Scheme == "https" {
			port = "443"
		}
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}
