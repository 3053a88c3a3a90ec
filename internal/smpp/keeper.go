package smpp

import (
	"context"
	"errors"
	"math"
	"time"

	"jasmind/internal/smpp/pdu"
)

// poked makes the keeper look at the timers anew.
func (s *Session) poked() {
	select {
	case s.poke <- struct{}{}:
	default:
	}
}

// keepLoop watches all timers of SMPP v3.4 §7.2 but the PDU read timer with a single
// time.Timer. What merely puts a deadline off, such as a PDU received, does not touch it: the
// keeper finds out when it wakes.
func (s *Session) keepLoop() {
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		select {
		case <-s.ending:
			return
		case <-t.C:
		case <-s.poke:
		}
		next := s.tick()
		if next == math.MaxInt64 {
			t.Stop()
			continue
		}
		t.Reset(time.Duration(next - s.now()))
	}
}

// tick does what is due and returns when to look again.
func (s *Session) tick() (next int64) {
	next = math.MaxInt64
	now := s.now()
	at := func(t int64) { next = min(next, t) }
	due := func(t int64) bool {
		if t > now {
			at(t)
			return false
		}
		return true
	}
	st := s.State()
	heard := s.lastRecv.Load()

	if st == Open && s.cfg.SessionInit > 0 && due(int64(s.cfg.SessionInit)) {
		s.abort(ErrBindTimeout)
		return next
	}
	s.expire(now)
	s.mu.Lock()
	parting, partBy := s.parting != nil, s.partBy
	s.mu.Unlock()
	switch {
	case parting:
		if due(partBy) {
			s.abort(nil)
			return next
		}
	case s.cfg.Inactivity > 0 && (st.Bound() || st == Unbinding) && due(heard+int64(s.cfg.Inactivity)):
		if st == Unbinding {
			s.abort(ErrInactive)
		} else {
			s.Part(ErrInactive)
			at(now)
		}
		return next
	}
	if st.Bound() && s.cfg.EnquireLink > 0 && due(heard+int64(s.cfg.EnquireLink)) {
		s.enquire()
	}

	s.mu.Lock()
	if s.owesUnbind && due(s.unbindBy) {
		s.mu.Unlock()
		s.answerUnbind()
		return next
	}
	defer s.mu.Unlock()
	if s.first != nil {
		at(s.first.deadline)
	}
	s.armed = next
	return next
}

// expire fails the requests whose response timer has run out.
func (s *Session) expire(now int64) {
	for {
		s.mu.Lock()
		c := s.first
		if c == nil || c.deadline > now {
			s.mu.Unlock()
			return
		}
		s.unlinkLocked(c)
		s.awaitLateLocked(c, now)
		s.mu.Unlock()
		s.stats.timeouts.Add(1)
		s.log.Debug("no response in time", "pdu", c.id.String(), "seq", c.seq)
		s.settle(c, Response{}, ErrResponseTimeout)
		if c.done != nil {
			s.told(c)
		}
	}
}

// enquire asks whether the peer is alive (SMPP v3.4 §4.11), unless that is going on already.
func (s *Session) enquire() {
	s.mu.Lock()
	if s.enquiring {
		s.mu.Unlock()
		return
	}
	s.enquiring = true
	s.mu.Unlock()
	c := &call{done: func(_ Response, err error) {
		s.mu.Lock()
		s.enquiring = false
		s.mu.Unlock()
		if errors.Is(err, ErrResponseTimeout) {
			s.abort(ErrEnquireLink)
			return
		}
		s.poked()
	}}
	if err := s.start(context.Background(), c, &pdu.EnquireLink{}, false); err != nil {
		s.mu.Lock()
		s.enquiring = false
		s.mu.Unlock()
		return
	}
	s.stats.enquireSent.Add(1)
}
