package loadgen

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// schedule hands out message numbers and the times at which they are due. Safe for concurrent use.
type schedule struct {
	first  uint64    // number of the first message
	count  uint64    // how many; 0 for no limit
	start  time.Time // of the first
	end    time.Time // no message is due at or after it; zero for no limit
	rate   float64   // a second; 0: each is due when it is taken
	handed atomic.Uint64
}

// take gives the next number and its time. ok is false when there is none.
func (s *schedule) take(now time.Time) (n uint64, due time.Time, ok bool) {
	i := s.handed.Add(1) - 1
	if s.count > 0 && i >= s.count || s.first+i >= maxNumber {
		return 0, now, false
	}
	due = now
	if s.rate > 0 {
		due = s.start.Add(time.Duration(float64(i) * float64(time.Second) / s.rate))
	}
	if !s.end.IsZero() && (!due.Before(s.end) || !now.Before(s.end)) {
		return 0, now, false
	}
	return s.first + i, due, true
}

// unit is what is sent and answered at a time: a message, or, over SMPP, one part of it.
type unit struct {
	n      uint64
	part   int // from 0
	tries  int // refusals so far
	due    time.Time
	begun  bool      // it was paced and counted
	again  time.Time // not before, when it was refused before
	reason string    // of that refusal
	whole  *whole    // shared by the parts of a message; nil if it has but one
}

// whole gathers the answers to the parts of one message.
type whole struct {
	to string // where they go; set by the sender of the first part

	mu      sync.Mutex // guards what follows
	left    int
	id      string // of the first part
	refused string // first reason
	lost    string // first reason why an answer is missing
}

// lane is one strand of sending: it decides what is sent next and takes the answers. next and
// poll belong to one goroutine, the rest may be called from any.
type lane struct {
	run   *run
	index int
	depth int // units that wait for another try at a time

	sched *schedule // of the phase; nil between two
	done  *schedule // of the last phase that it has taken part in; nil before the first
	last  bool      // it is the last phase
	long  unit      // message whose parts are being handed out
	rest  int       // of them

	mu       sync.Mutex
	retries  []unit // in order of time, since all wait equally long
	inFlight int
	closed   bool // it can send no more
	left     bool // the run knows
	wake     chan struct{}
}

func newLane(r *run, index, depth int) *lane {
	return &lane{run: r, index: index, depth: depth, wake: make(chan struct{}, 1)}
}

// verdict is what there is to do now.
type verdict int

const (
	sendIt verdict = iota
	notYet         // until a time, or until an answer comes if that is zero
	nothing
)

// look finds the next unit. It does not wait.
func (l *lane) look() (unit, time.Time, verdict) {
	now := time.Now()
	stopped := l.run.stopped()
	if l.rest > 0 && !stopped {
		l.rest--
		u := l.long
		u.part = l.run.maker.parts - 1 - l.rest
		l.launch()
		return u, time.Time{}, sendIt
	}
	l.mu.Lock()
	if stopped {
		l.abandonLocked()
	}
	if len(l.retries) > 0 {
		head := l.retries[0]
		if !head.again.After(now) {
			l.retries = l.retries[1:]
			l.inFlight++
			l.mu.Unlock()
			return head, time.Time{}, sendIt
		}
		if len(l.retries) >= l.depth {
			l.mu.Unlock()
			return unit{}, head.again, notYet
		}
	}
	l.mu.Unlock()
	if !stopped {
		if n, due, ok := l.sched.take(now); ok {
			return l.begin(n, due), time.Time{}, sendIt
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case len(l.retries) > 0:
		return unit{}, l.retries[0].again, notYet
	case l.inFlight > 0:
		return unit{}, time.Time{}, notYet
	}
	return unit{}, time.Time{}, nothing
}

// begin makes the first unit of a message.
func (l *lane) begin(n uint64, due time.Time) unit {
	u := unit{n: n, due: due}
	if parts := l.run.maker.parts; parts > 1 && l.run.cfg.Protocol == SMPP {
		u.whole = &whole{left: parts}
		l.long, l.rest = u, parts-1
	}
	l.launch()
	return u
}

func (l *lane) launch() {
	l.mu.Lock()
	l.inFlight++
	l.mu.Unlock()
}

// next waits for the next unit to send. False means that there is none any more and all have
// been answered, or that ctx has ended.
func (l *lane) next(ctx context.Context) (unit, bool) {
	for ctx.Err() == nil {
		if l.sched == nil && (l.last || !l.run.await(ctx, l)) {
			break
		}
		u, until, v := l.look()
		switch v {
		case sendIt:
			if u.begun || l.pace(ctx, &u) {
				return l.start(u), true
			}
		case notYet:
			l.wait(ctx, until)
		case nothing:
			l.sched = nil
		}
	}
	return unit{}, false
}

// poll is next without waiting, for a lane without a rate: false when nothing can be sent now.
func (l *lane) poll() (unit, bool) {
	if l.sched == nil {
		return unit{}, false
	}
	u, _, v := l.look()
	if v != sendIt {
		return unit{}, false
	}
	return l.start(u), true
}

// start counts a unit that is about to be sent.
func (l *lane) start(u unit) unit {
	l.run.tally.requests.Add(1)
	if !u.begun && u.part == 0 {
		l.run.tally.begun.Add(1)
	}
	u.begun = true
	return u
}

// pace waits until a unit is due. False means that sending was stopped before, and that the
// message does not count.
func (l *lane) pace(ctx context.Context, u *unit) bool {
	if u.part > 0 {
		return true
	}
	d := time.Until(u.due)
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
			d = time.Until(u.due)
		case <-l.run.soft.Done():
		case <-ctx.Done():
		}
		if l.run.stopped() || ctx.Err() != nil {
			l.rest = 0
			l.mu.Lock()
			l.inFlight--
			l.mu.Unlock()
			return false
		}
	}
	if l.run.cfg.Rate > 0 {
		l.run.tally.lag.record(l.index, -d)
	}
	return true
}

// wait returns at a time, if there is one, when an answer has come, or when sending is stopped.
func (l *lane) wait(ctx context.Context, until time.Time) {
	var at <-chan time.Time
	if !until.IsZero() {
		t := time.NewTimer(time.Until(until))
		defer t.Stop()
		at = t.C
	}
	stop := l.run.soft.Done()
	if l.run.stopped() {
		stop = nil
	}
	select {
	case <-at:
	case <-l.wake:
	case <-stop:
	case <-ctx.Done():
	}
}

// land notes that a unit is in flight no more.
func (l *lane) land() {
	l.mu.Lock()
	l.inFlight--
	l.mu.Unlock()
	l.poke()
}

func (l *lane) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// accepted takes a good answer.
func (l *lane) accepted(u unit, id string) {
	l.run.tally.part(u, id)
	if u.whole == nil {
		l.run.tally.accept(l.index, u, id)
	} else {
		l.complete(u, func(w *whole) {
			if u.part == 0 {
				w.id = id
			}
		})
	}
	l.land()
}

// refused takes a bad answer. A temporary one may lead to another try.
func (l *lane) refused(u unit, reason string, temporary bool) {
	if temporary && u.tries < l.run.cfg.Retries && l.sendAgain(u, reason) {
		return
	}
	l.refuse(u, reason)
	l.land()
}

// sendAgain keeps a unit that was refused for another try, unless it is too late for that.
func (l *lane) sendAgain(u unit, reason string) bool {
	u.tries++
	u.again, u.reason = time.Now().Add(l.run.cfg.RetryDelay), reason
	l.mu.Lock()
	if l.closed || l.run.stopped() {
		l.mu.Unlock()
		return false
	}
	l.inFlight--
	l.retries = append(l.retries, u)
	l.mu.Unlock()
	l.run.tally.retries.Add(1)
	l.poke()
	return true
}

func (l *lane) refuse(u unit, reason string) {
	if u.whole == nil {
		l.run.tally.refuse(reason)
		return
	}
	l.complete(u, func(w *whole) {
		if w.refused == "" {
			w.refused = reason
		}
	})
}

// lost takes the news that no answer will come: what became of the unit is unknown.
func (l *lane) lost(u unit, reason string) {
	if u.whole == nil {
		l.run.tally.unanswer(reason)
	} else {
		l.complete(u, func(w *whole) {
			if w.lost == "" {
				w.lost = reason
			}
		})
	}
	l.land()
}

// giveBack takes a unit that could not be written: it is sent when there is a connection again.
func (l *lane) giveBack(u unit) {
	l.run.tally.requests.Add(-1)
	u.again = time.Time{}
	l.mu.Lock()
	l.inFlight--
	l.retries = append([]unit{u}, l.retries...)
	l.mu.Unlock()
}

// complete notes the answer to one part; the last one decides.
func (l *lane) complete(u unit, note func(*whole)) {
	w := u.whole
	w.mu.Lock()
	note(w)
	w.left--
	last := w.left == 0
	w.mu.Unlock()
	if !last {
		return
	}
	switch {
	case w.lost != "":
		l.run.tally.unanswer(w.lost)
	case w.refused != "":
		l.run.tally.refuse(w.refused)
	default:
		l.run.tally.accept(l.index, u, w.id)
	}
}

// abandonLocked gives up what waits for another try.
func (l *lane) abandonLocked() {
	for _, u := range l.retries {
		reason := u.reason
		if reason == "" {
			reason = "not sent"
		}
		l.refuse(u, reason)
	}
	l.retries = nil
	for ; l.rest > 0; l.rest-- {
		l.refuse(l.long, "not sent")
	}
}

// close gives up what was not sent, because the lane cannot send any more.
func (l *lane) close(reason string) {
	l.mu.Lock()
	l.closed = true
	for i := range l.retries {
		if l.retries[i].reason == "" {
			l.retries[i].reason = "not sent: " + reason
		}
	}
	l.abandonLocked()
	l.mu.Unlock()
	l.run.leave(l)
}
