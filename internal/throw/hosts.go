package throw

import (
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"jasmind/internal/queue"
)

// hosts bounds what is under way to each host, so that one dead endpoint never delays another:
// at most perHost calls at a time, and a number of DLRs that wait here in order; the rest goes
// back to its queue until about the time when its turn comes.
//
// A host that answers so fast that who waits will not wait long may use all the room there is:
// sending back what is called in a moment only costs. Any other has no more DLRs here than
// there is room for others, and when that gets scarce the one with the most gives the
// last of them back. So many dead hosts, however many DLRs they have, leave room for the next one.
//
// Nor do the hosts of one user, however many there are: for those that did not answer fast lately he has no more DLRs here than there is
// room for other users. Of those that wait for one host, users take turns.
type hosts struct {
	perHost, wait int
	room          int // DLRs that can be here at all

	mu     sync.Mutex // guards what follows
	held   int        // DLRs that are called or wait
	byName map[string]*host
	byUser map[string]int // DLRs of each user that are called or wait; those of nobody are not counted
}

type host struct {
	active  int
	waiting turns
	typical time.Duration // moving average of a call, 0: none ended yet
	last    time.Time     // when a call ended, or the first one began
	turn    time.Time     // when the last DLR that was sent back comes again
}

// idleHosts is how many hosts are remembered that nothing is called of.
const idleHosts = 4096

func newHosts(cfg *Config) *hosts {
	return &hosts{perHost: cfg.PerHost, wait: cfg.WaitPerHost, room: cfg.Prefetch, byName: make(map[string]*host), byUser: make(map[string]int)}
}

type verdict uint8

const (
	start  verdict = iota // the caller calls now, then next until it says no
	queued                // somebody who is calling that host takes it
	full                  // back to the queue
)

// Bounds of the time for which a DLR is sent back. A shorter wait than the lower one is spent here.
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
// verdict is full, or others.
func (hs *hosts) take(j job, now time.Time) (v verdict, back []sentBack) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	h := hs.host(j.host)
	free := hs.room - hs.held
	fast := !hs.slow(h, now)
	proven := fast && h.typical > 0
	switch {
	case !proven && j.user != "" && hs.byUser[j.user] >= free:
		return full, []sentBack{{j, hs.untilTurn(h, j, now)}}
	case h.active == 0 || h.active < hs.perHost && (proven || h.active < free/8):
		if h.active == 0 {
			h.last = now
		}
		h.active++
		v = start
	case h.waiting.n < hs.wait && (h.waiting.n < free || fast && free > 0):
		h.waiting.push(j)
		v = queued
	default:
		return full, []sentBack{{j, hs.untilTurn(h, j, now)}}
	}
	hs.held++
	if j.user != "" {
		hs.byUser[j.user]++
	}
	return v, hs.shed(now)
}

// release notes that a DLR is not here any more.
func (hs *hosts) release(user string) {
	hs.held--
	if user == "" {
		return
	}
	if hs.byUser[user]--; hs.byUser[user] == 0 {
		delete(hs.byUser, user)
	}
}

func (hs *hosts) host(name string) *host {
	h := hs.byName[name]
	if h == nil {
		if len(hs.byName) >= idleHosts {
			maps.DeleteFunc(hs.byName, func(_ string, h *host) bool { return h.active == 0 })
		}
		h = &host{}
		hs.byName[name] = h
	}
	return h
}

// delay is how long the next DLR of a host would wait here, going by the calls so far.
func (hs *hosts) delay(h *host) time.Duration {
	return h.typical * time.Duration(h.waiting.n) / time.Duration(hs.perHost)
}

// hangs tells that a host is called and did not answer for a while.
func (h *host) hangs(now time.Time) bool { return h.active > 0 && now.Sub(h.last) >= deferMin }

func (hs *hosts) slow(h *host, now time.Time) bool { return h.hangs(now) || hs.delay(h) >= deferMin }

// relieve sends back what waits here longer than it should, when room is scarce. It is called
// from time to time, since a host that has all the room and stops answering keeps anything
// else from happening.
func (hs *hosts) relieve(now time.Time) []sentBack {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	return hs.shed(now)
}

// shed sends back the last DLRs of the hosts with the most of them, until an eighth of the room
// is free; only of hosts where they wait long.
func (hs *hosts) shed(now time.Time) (back []sentBack) {
	for hs.room-hs.held < hs.room/8 {
		var most *host
		for _, h := range hs.byName {
			if hs.slow(h, now) && (most == nil || h.waiting.n > most.waiting.n) {
				most = h
			}
		}
		if most == nil || most.waiting.n == 0 {
			break
		}
		j := most.waiting.popLast()
		hs.release(j.user)
		back = append(back, sentBack{j, hs.untilTurn(most, j, now)})
	}
	return back
}

// untilTurn says for how long a DLR is sent back: before it is the turn of those that wait
// here and of those that were sent back already. That is a guess from the past; lest a wrong one
// lets a host idle that has recovered, it is at most twice as long as the last time.
func (hs *hosts) untilTurn(h *host, j job, now time.Time) time.Duration {
	turn := now.Add(hs.delay(h))
	if h.turn.After(turn) {
		turn = h.turn
	}
	h.turn = turn.Add(h.typical / time.Duration(hs.perHost))
	if last := now.Add(deferMax); h.turn.After(last) {
		h.turn = last
	}
	before := j.d.Attempts - int(j.d.Headers.Int(queue.HeaderThrows)) // how often it was sent back
	most := deferMax
	if before < 9 {
		most = deferMin << max(before, 0)
	}
	if h.hangs(now) {
		return most
	}
	return min(max(h.turn.Sub(now), deferMin), most)
}

// next takes note of how long the call took that ended now, and gives the caller of a host its next
// job; false ends its turn. The call was that of a user.
func (hs *hosts) next(name, user string, took time.Duration, now time.Time) (job, bool) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	h := hs.byName[name]
	h.last = now
	if h.typical == 0 {
		h.typical = max(took, 1)
	} else {
		h.typical += (took - h.typical) / 8
	}
	return hs.advance(h, user)
}

// skip gives the next job in place of one that is not called.
func (hs *hosts) skip(name, user string) (job, bool) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	return hs.advance(hs.byName[name], user)
}

func (hs *hosts) advance(h *host, user string) (job, bool) {
	hs.release(user)
	if h.waiting.n == 0 {
		h.active--
		return job{}, false
	}
	return h.waiting.pop(), true
}

// turns is what waits for one host: users take turns, and the jobs of one user keep their order.
type turns struct {
	n     int
	users []*userJobs // those that have any, the next one first
}

type userJobs struct {
	user string
	jobs []job
}

func (t *turns) push(j job) {
	t.n++
	for _, u := range t.users {
		if u.user == j.user {
			u.jobs = append(u.jobs, j)
			return
		}
	}
	t.users = append(t.users, &userJobs{j.user, []job{j}})
}

// pop takes the first job of the user whose turn it is. There must be one.
func (t *turns) pop() job {
	t.n--
	u := t.users[0]
	j := u.jobs[0]
	u.jobs[0] = job{}
	u.jobs = u.jobs[1:]
	t.users[0] = nil
	t.users = t.users[1:]
	if len(u.jobs) > 0 {
		t.users = append(t.users, u)
	}
	return j
}

// popLast takes the last job of the user with the most. There must be one.
func (t *turns) popLast() job {
	t.n--
	most := 0
	for i, u := range t.users {
		if len(u.jobs) > len(t.users[most].jobs) {
			most = i
		}
	}
	u := t.users[most]
	last := len(u.jobs) - 1
	j := u.jobs[last]
	u.jobs[last] = job{}
	if u.jobs = u.jobs[:last]; last == 0 {
		t.users = slices.Delete(t.users, most, most+1)
	}
	return j
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
