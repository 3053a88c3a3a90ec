package smpp

import (
	"context"
	"errors"
	"fmt"
	"math"

	"jasmind/internal/smpp/pdu"
)

// Response is the answer to a request of ours.
type Response struct {
	Header pdu.Header
	PDU    pdu.PDU // the response of the request's operation or *pdu.GenericNack; nil if it could not be decoded
	Late   bool    // it came after ErrResponseTimeout was told, see Config.Late
}

// Err is nil for ESME_ROK and else a *StatusError.
func (r Response) Err() error {
	if r.Header.Status == pdu.StatusOK {
		return nil
	}
	return &StatusError{Command: r.Header.ID &^ pdu.CmdGenericNack, Status: r.Header.Status}
}

// call is a request of ours that awaits its response. All but wait is guarded by Session.mu
// until it has been taken out of pending.
type call struct {
	seq        uint32
	id         pdu.CommandID
	deadline   int64 // instant; math.MaxInt64 when the response timer is off
	next, prev *call
	slot       bool // holds a place in the window
	abandoned  bool // its Do has given up; the place stays taken until the response or its timer
	done       func(Response, error)
	wait       chan result // holds one; nil when done is set

	// Of one whose response timer has run out, while a late response would be told.
	until int64   // instant
	told  bool    // done was called with ErrResponseTimeout
	early *result // the late response, if it came before that
}

type result struct {
	resp Response
	err  error
}

// Do sends a request and waits for its response. It blocks while the window is full.
// A response of any command_status, generic_nack included, is a result, see Response.Err.
//
// Errors: *pdu.FieldError or ErrNotBound when nothing could be sent; ErrResponseTimeout; the
// cause of ctx, in which case the request may have been sent and holds its place in the
// window until its response or the response timer; *pdu.DecodeError with the Header set when the response's
// body is malformed; ErrSessionClosed, with the cause wrapped, when the session ends first.
func (s *Session) Do(ctx context.Context, req pdu.PDU) (Response, error) {
	c := s.calls.Get().(*call)
	c.slot, c.abandoned = true, false
	if err := s.launch(ctx, c, req, true); err != nil {
		s.calls.Put(c)
		return Response{}, err
	}
	return s.await(ctx, c)
}

// await waits for a call without a callback.
func (s *Session) await(ctx context.Context, c *call) (Response, error) {
	select {
	case r := <-c.wait:
		s.calls.Put(c)
		return r.resp, r.err
	case <-ctx.Done():
	}
	s.mu.Lock()
	if s.pending[c.seq] == c {
		c.abandoned = true
		s.mu.Unlock()
		return Response{}, context.Cause(ctx)
	}
	s.mu.Unlock()
	r := <-c.wait // it was taken out just now, by whoever settles it
	s.calls.Put(c)
	return r.resp, r.err
}

// Send sends a request and returns when it is queued; it blocks while the window is full.
// Unless Send returns an error, done is called exactly once, from a goroutine of the session,
// with what Do would have returned; and with Config.Late, after ErrResponseTimeout, once more if the response
// comes after all. It must not block; it may call Send or TrySend only
// where it is certain that the window has room.
func (s *Session) Send(ctx context.Context, req pdu.PDU, done func(Response, error)) error {
	return s.launch(ctx, &call{slot: true, done: done}, req, true)
}

// TrySend is Send without blocking: ErrWindowFull when there is no room in the window or
// the peer is slow to read.
func (s *Session) TrySend(req pdu.PDU, done func(Response, error)) error {
	return s.launch(context.Background(), &call{slot: true, done: done}, req, false)
}

// launch takes a place in the window, gives the call a sequence number and queues the
// request, in this order: the response may come before the write has returned.
func (s *Session) launch(ctx context.Context, c *call, req pdu.PDU, block bool) error {
	if err := s.acquire(ctx, block); err != nil {
		return err
	}
	err := s.start(ctx, c, req, block)
	if err != nil {
		<-s.slots
	}
	return err
}

// acquire takes a place in the window.
func (s *Session) acquire(ctx context.Context, block bool) error {
	select {
	case <-s.refuse:
		return closedError(s.Err())
	case <-ctx.Done():
		return context.Cause(ctx)
	default:
	}
	select {
	case s.slots <- struct{}{}:
		return nil
	default:
	}
	if !block {
		return ErrWindowFull
	}
	select {
	case s.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-s.refuse:
		return closedError(s.Err())
	}
}

// start registers the call and queues its request. Requests, unlike responses, wait while
// more octets are queued than the peer takes.
func (s *Session) start(ctx context.Context, c *call, req pdu.PDU, block bool) error {
	if req == nil {
		return errors.New("smpp: nil request")
	}
	c.id = req.CommandID()
	switch {
	case c.id.IsResponse() || noResponse(c.id):
		return fmt.Errorf("smpp: %s has no response to wait for", c.id)
	case c.slot && c.id == pdu.CmdUnbind:
		return errors.New("smpp: unbind is for Unbind and Shutdown to send")
	}
	c.deadline = math.MaxInt64
	if s.cfg.Response > 0 {
		c.deadline = s.now() + int64(s.cfg.Response)
	}
	s.mu.Lock()
	for c.slot && !s.stopped && s.overLocked() {
		if !block {
			s.mu.Unlock()
			return ErrWindowFull
		}
		if s.room == nil {
			s.room = make(chan struct{})
		}
		room := s.room
		s.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-s.refuse:
			return closedError(s.Err())
		}
		if s.cfg.Response > 0 {
			c.deadline = s.now() + int64(s.cfg.Response)
		}
		s.mu.Lock()
	}
	if s.closing || s.stopped || c.slot && s.refused {
		defer s.mu.Unlock()
		return closedError(s.cause)
	}
	if st := s.State(); judge(c.id, s.role, st) != allowed {
		s.mu.Unlock()
		return fmt.Errorf("%w: %s as %s in state %s", ErrNotBound, c.id, s.role, st)
	}
	c.seq = s.nextLocked()
	h, err := s.appendLocked(pdu.StatusOK, c.seq, req)
	if err != nil {
		s.mu.Unlock()
		return err
	}
	s.seq = following(c.seq)
	delete(s.late, c.seq) // the sequence numbers have come round
	s.linkLocked(c)
	poke := c.deadline < s.armed
	if poke {
		s.armed = c.deadline
	}
	s.stats.requests.Add(1)
	s.mu.Unlock()
	if poke {
		s.poked()
	}
	s.sent(h, req)
	return nil
}

// noResponse reports whether the operation is one that is never answered (SMPP v3.4 §4.1.7, §4.12.1).
func noResponse(id pdu.CommandID) bool {
	return id == pdu.CmdAlertNotification || id == pdu.CmdOutbind
}

// Notify queues a request that has no response, alert_notification or outbind. It does
// not wait for a slow peer: ErrWindowFull then.
func (s *Session) Notify(p pdu.PDU) error {
	id := p.CommandID()
	if !noResponse(id) {
		return fmt.Errorf("smpp: %s needs a response: use Do or Send", id)
	}
	s.mu.Lock()
	st := s.State()
	switch {
	case s.stopped || s.closing:
		defer s.mu.Unlock()
		return closedError(s.cause)
	case judge(id, s.role, st) != allowed:
		s.mu.Unlock()
		return fmt.Errorf("%w: %s as %s in state %s", ErrNotBound, id, s.role, st)
	case s.overLocked():
		s.mu.Unlock()
		return ErrWindowFull
	}
	seq := s.nextLocked()
	h, err := s.appendLocked(pdu.StatusOK, seq, p)
	if err == nil {
		s.seq = following(seq)
		s.stats.requests.Add(1)
	}
	s.mu.Unlock()
	if err == nil {
		s.sent(h, p)
	}
	return err
}

// Inject queues octets as they are, past window, states and encoding. It is for simulators that
// are to behave badly; what comes back is handled like anything else.
func (s *Session) Inject(frames []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.stopped || s.closing:
		return closedError(s.cause)
	case s.overLocked():
		return ErrWindowFull
	}
	s.out = append(s.out, frames...)
	if s.writerOff {
		s.writerOff = false
		s.wake.Signal()
	}
	return nil
}

// nextLocked is the next sequence number that is not in flight. s.mu is held.
func (s *Session) nextLocked() uint32 {
	seq := s.seq
	for s.pending[seq] != nil { // at most the window is in flight, so this ends
		seq = following(seq)
	}
	return seq
}

// following is the sequence number after seq (SMPP v3.4 §5.1.4).
func following(seq uint32) uint32 {
	if seq >= maxSequence {
		return 1
	}
	return seq + 1
}

// linkLocked puts a call last. Since all calls wait equally long, the list is in order
// of deadline and one timer watches its head. s.mu is held.
func (s *Session) linkLocked(c *call) {
	s.pending[c.seq] = c
	c.prev, c.next = s.last, nil
	if s.last == nil {
		s.first = c
	} else {
		s.last.next = c
	}
	s.last = c
	if c.slot {
		s.windowed++
	}
}

// unlinkLocked takes a call out. s.mu is held.
func (s *Session) unlinkLocked(c *call) {
	delete(s.pending, c.seq)
	if c.prev == nil {
		s.first = c.next
	} else {
		c.prev.next = c.next
	}
	if c.next == nil {
		s.last = c.prev
	} else {
		c.next.prev = c.prev
	}
	c.next, c.prev = nil, nil
	if c.slot {
		if s.windowed--; s.windowed == 0 {
			s.quietLocked()
		}
	}
}

// quietLocked wakes those who wait for nothing to be in flight. s.mu is held.
func (s *Session) quietLocked() {
	if s.quiet != nil {
		close(s.quiet)
		s.quiet = nil
	}
}

// take finds and removes the call that a response answers, nil if there is none.
func (s *Session) take(h pdu.Header) *call {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.pending[h.Sequence]
	if c == nil || h.ID != c.id.Response() && h.ID != pdu.CmdGenericNack {
		return nil
	}
	s.unlinkLocked(c)
	return c
}

// lateMost is how many requests without a response in time are remembered.
const lateMost = 4096

// awaitLateLocked remembers a call whose response timer has run out. s.mu is held.
func (s *Session) awaitLateLocked(c *call, now int64) {
	if s.cfg.Late == 0 || c.done == nil || !c.slot {
		return
	}
	for len(s.lates) > 0 {
		old := s.lates[0]
		if old.until > now && len(s.lates) < lateMost {
			break
		}
		if s.late[old.seq] == old {
			delete(s.late, old.seq)
		}
		s.lates[0] = nil
		s.lates = s.lates[1:]
	}
	if s.late == nil {
		s.late = make(map[uint32]*call)
	}
	c.until, c.told, c.early = now+int64(s.cfg.Late), false, nil
	s.late[c.seq] = c
	s.lates = append(s.lates, c)
}

// told notes that a call was told that its response has not come, and tells it the response that came meanwhile.
func (s *Session) told(c *call) {
	s.mu.Lock()
	c.told = true
	early := c.early
	s.mu.Unlock()
	if early != nil {
		c.done(early.resp, early.err)
	}
}

// takeLate tells a response to the call whose response timer has run out; false: there is none.
func (s *Session) takeLate(resp Response, err error) bool {
	s.mu.Lock()
	c := s.late[resp.Header.Sequence]
	if c == nil || c.until < s.now() || resp.Header.ID != c.id.Response() && resp.Header.ID != pdu.CmdGenericNack {
		s.mu.Unlock()
		return false
	}
	delete(s.late, c.seq)
	resp.Late = true
	told := c.told
	if !told {
		c.early = &result{resp, err}
	}
	s.mu.Unlock()
	s.stats.late.Add(1)
	if told {
		c.done(resp, err)
	}
	return true
}

// settle gives a call that was taken out its result, after its place in the window.
func (s *Session) settle(c *call, resp Response, err error) {
	if c.slot {
		<-s.slots
	}
	switch {
	case c.abandoned:
	case c.done != nil:
		c.done(resp, err)
	default:
		c.wait <- result{resp, err}
	}
}
