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

// sender is one strand of sending: it decides what is sent next and takes the answers. next and
// poll belong to one goroutine, the rest may be called from any.
type sender struct {
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

func newSender(r *run, index, depth int) *sender {
	return &sender{run: r, index: index, depth: depth, wake: make(chan struct{}, 1)}
}

// verdict is what there is to do now.
type verdict int

const (
	sendIt verdict = iota
	notYet         // until a time, or until an answer comes if that is zero
	nothing
)

// look finds the next unit. It does not wait.
func (s *sender) look() (unit, time.Time, verdict) {
	now := time.Now()
	stopped := s.run.stopped()
	if s.rest > 0 && !stopped {
		s.rest--
		u := s.long
		u.part = s.run.maker.parts - 1 - s.rest
		s.launch()
		return u, time.Time{}, sendIt
	}
	s.mu.Lock()
	if stopped {
		s.abandonLocked()
	}
	if len(s.retries) > 0 {
		head := s.retries[0]
		if !head.again.After(now) {
			s.retries = s.retries[1:]
			s.inFlight++
			s.mu.Unlock()
			return head, time.Time{}, sendIt
		}
		if len(s.retries) >= s.depth {
			s.mu.Unlock()
			return unit{}, head.again, notYet
		}
	}
	s.mu.Unlock()
	if !stopped {
		if n, due, ok := s.sched.take(now); ok {
			return s.begin(n, due), time.Time{}, sendIt
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case len(s.retries) > 0:
		return unit{}, s.retries[0].again, notYet
	case s.inFlight > 0:
		return unit{}, time.Time{}, notYet
	}
	return unit{}, time.Time{}, nothing
}

// begin makes the first unit of a message.
func (s *sender) begin(n uint64, due time.Time) unit {
	u := unit{n: n, due: due}
	if parts := s.run.maker.parts; parts > 1 && s.run.cfg.Protocol == SMPP {
		u.whole = &whole{left: parts}
		s.long, s.rest = u, parts-1
	}
	s.launch()
	return u
}

func (s *sender) launch() {
	s.mu.Lock()
	s.inFlight++
	s.mu.Unlock()
}

// next waits for the next unit to send. False means that there is none any more and all have
// been answered, or that ctx has ended.
func (s *sender) next(ctx context.Context) (unit, bool) {
	for ctx.Err() == nil {
		if s.sched == nil && (s.last || !s.run.await(ctx, s)) {
			break
		}
		u, until, v := s.look()
		switch v {
		case sendIt:
			if u.begun || s.pace(ctx, &u) {
				return s.start(u), true
			}
		case notYet:
			s.wait(ctx, until)
		case nothing:
			s.sched = nil
		}
	}
	return unit{}, false
}

// poll is next without waiting, for a sender without a rate: false when nothing can be sent now.
func (s *sender) poll() (unit, bool) {
	if s.sched == nil {
		return unit{}, false
	}
	u, _, v := s.look()
	if v != sendIt {
		return unit{}, false
	}
	return s.start(u), true
}

// start counts a unit that is about to be sent.
func (s *sender) start(u unit) unit {
	s.run.tally.requests.Add(1)
	if !u.begun && u.part == 0 {
		s.run.tally.begun.Add(1)
	}
	u.begun = true
	return u
}

// pace waits until a unit is due. False means that sending was stopped before, and that the
// message does not count.
func (s *sender) pace(ctx context.Context, u *unit) bool {
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
		case <-s.run.soft.Done():
		case <-ctx.Done():
		}
		if s.run.stopped() || ctx.Err() != nil {
			s.rest = 0
			s.mu.Lock()
			s.inFlight--
			s.mu.Unlock()
			return false
		}
	}
	if s.run.cfg.Rate > 0 {
		s.run.tally.lag.record(s.index, -d)
	}
	return true
}

// wait returns at a time, if there is one, when an answer has come, or when sending is stopped.
func (s *sender) wait(ctx context.Context, until time.Time) {
	var at <-chan time.Time
	if !until.IsZero() {
		t := time.NewTimer(time.Until(until))
		defer t.Stop()
		at = t.C
	}
	stop := s.run.soft.Done()
	if s.run.stopped() {
		stop = nil
	}
	select {
	case <-at:
	case <-s.wake:
	case <-stop:
	case <-ctx.Done():
	}
}

// land notes that a unit is in flight no more.
func (s *sender) land() {
	s.mu.Lock()
	s.inFlight--
	s.mu.Unlock()
	s.poke()
}

func (s *sender) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// accepted takes a good answer.
func (s *sender) accepted(u unit, id string) {
	s.run.tally.part(u, id)
	if u.whole == nil {
		s.run.tally.accept(s.index, u, id)
	} else {
		s.complete(u, func(w *whole) {
			if u.part == 0 {
				w.id = id
			}
		})
	}
	s.land()
}

// refused takes a bad answer. A temporary one may lead to another try.
func (s *sender) refused(u unit, reason string, temporary bool) {
	if temporary && u.tries < s.run.cfg.Retries && s.sendAgain(u, reason) {
		return
	}
	s.refuse(u, reason)
	s.land()
}

// sendAgain keeps a unit that was refused for another try, unless it is too late for that.
func (s *sender) sendAgain(u unit, reason string) bool {
	u.tries++
	u.again, u.reason = time.Now().Add(s.run.cfg.RetryDelay), reason
	s.mu.Lock()
	if s.closed || s.run.stopped() {
		s.mu.Unlock()
		return false
	}
	s.inFlight--
	s.retries = append(s.retries, u)
	s.mu.Unlock()
	s.run.tally.retries.Add(1)
	s.poke()
	return true
}

func (s *sender) refuse(u unit, reason string) {
	if u.whole == nil {
		s.run.tally.refuse(reason)
		return
	}
	s.complete(u, func(w *whole) {
		if w.refused == "" {
			w.refused = reason
		}
	})
}

// lost takes the news that no answer will come: what became of the unit is unknown.
func (s *sender) lost(u unit, reason string) {
	if u.whole == nil {
		s.run.tally.unanswer(reason)
	} else {
		s.complete(u, func(w *whole) {
			if w.lost == "" {
				w.lost = reason
			}
		})
	}
	s.land()
}

// giveBack takes a unit that could not be written: it is sent when there is a connection again.
func (s *sender) giveBack(u unit) {
	s.run.tally.requests.Add(-1)
	u.again = time.Time{}
	s.mu.Lock()
	s.inFlight--
	s.retries = append([]unit{u}, s.retries...)
	s.mu.Unlock()
}

// complete notes the answer to one part; the last one decides.
func (s *sender) complete(u unit, note func(*whole)) {
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
		s.run.tally.unanswer(w.lost)
	case w.refused != "":
		s.run.tally.refuse(w.refused)
	default:
		s.run.tally.accept(s.index, u, w.id)
	}
}

// abandonLocked gives up what waits for another try.
func (s *sender) abandonLocked() {
	for _, u := range s.retries {
		reason := u.reason
		if reason == "" {
			reason = "not sent"
		}
		s.refuse(u, reason)
	}
	s.retries = nil
	for ; s.rest > 0; s.rest-- {
		s.refuse(s.long, "not sent")
	}
}

// close gives up what was not sent, because the sender cannot send any more.
func (s *sender) close(reason string) {
	s.mu.Lock()
	s.closed = true
	for i := range s.retries {
		if s.retries[i].reason == "" {
			s.retries[i].reason = "not sent: " + reason
		}
	}
	s.abandonLocked()
	s.mu.Unlock()
	s.run.leave(s)
}
