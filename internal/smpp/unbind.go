package smpp

import (
	"context"
	"errors"
	"fmt"

	"jasmind/internal/smpp/pdu"
)

// Unbind ends the session politely (SMPP v3.4 §4.2): no more requests of ours, unbind, its
// response, close. What is still in flight fails with ErrSessionClosed. It needs Run and returns when the
// session has ended, nil if the peer answered or closed; Run returns nil either way.
func (s *Session) Unbind(ctx context.Context) error {
	s.refuseNew()
	s.refuseRequests()
	if !s.State().Bound() {
		s.closeAfterFlush(nil)
		return s.awaitEnd(ctx)
	}
	s.mu.Lock()
	s.unbindSent = true
	s.mu.Unlock()
	c := &call{wait: make(chan result, 1)}
	if err := s.start(ctx, c, &pdu.Unbind{}, false); err != nil {
		if errors.Is(err, ErrSessionClosed) || errors.Is(err, ErrNotBound) {
			return s.awaitEnd(ctx)
		}
		s.closeAfterFlush(nil)
		return err
	}
	s.setState(Unbinding)
	_, err := s.await(ctx, c)
	s.closeAfterFlush(nil)
	if errors.Is(err, ErrSessionClosed) && s.Err() == nil {
		err = nil
	}
	if err != nil {
		err = fmt.Errorf("unbind: %w", err)
	}
	return errors.Join(err, s.awaitEnd(ctx))
}

// Part ends the session for a reason, which Run returns: with an unbind first (SMPP v3.4 §7.2), whose response is
// waited for as long as the response timer says, and flushTimeout at most. It does not block.
func (s *Session) Part(why error) {
	s.refuseNew()
	wait := flushTimeout
	if s.cfg.Response > 0 {
		wait = min(wait, s.cfg.Response)
	}
	s.mu.Lock()
	s.refusing, s.unbindSent = true, true
	s.parting, s.partBy = why, s.now()+int64(wait)
	s.mu.Unlock()
	c := &call{done: func(Response, error) { s.closeAfterFlush(why) }}
	if s.start(context.Background(), c, &pdu.Unbind{}, false) != nil {
		s.abort(why)
		return
	}
	s.setState(Unbinding)
}

// Shutdown ends the session without losing anything that is under way: it refuses new requests of
// ours, waits for the responses to those in flight and for the Handler's answers to the
// peer's, unbinds and closes. Run then returns nil.
//
// As SMSC, requests that still arrive are refused as temporary errors from the beginning; as ESME,
// whose peer may hold a refusal for final, only from the end of our own window.
// When ctx ends first, unbind is sent all the same, the session is closed without waiting
// for anything and the cause of ctx is returned.
func (s *Session) Shutdown(ctx context.Context) error {
	s.refuseNew()
	if s.role == SMSC {
		s.refuseRequests()
	}
	err := s.awaitQuiet(ctx, func() bool { return s.windowed == 0 })
	s.refuseRequests()
	if err == nil {
		err = s.awaitQuiet(ctx, func() bool { return s.inbound == 0 })
	}
	if err == nil {
		return s.Unbind(ctx)
	}
	select {
	case <-s.ending:
		return nil
	default:
	}
	if s.State().Bound() {
		c := &call{done: func(Response, error) {}}
		s.start(context.Background(), c, &pdu.Unbind{}, false) //nolint:errcheck // a courtesy before the end
	}
	s.closeAfterFlush(fmt.Errorf("smpp: shutdown: %w", err))
	return err
}

// refuseRequests makes the session refuse the peer's requests from now on.
func (s *Session) refuseRequests() {
	s.mu.Lock()
	s.refusing = true
	s.mu.Unlock()
}

// awaitQuiet waits until cond, which is called with s.mu held, is true.
func (s *Session) awaitQuiet(ctx context.Context, cond func() bool) error {
	for {
		s.mu.Lock()
		if cond() {
			s.mu.Unlock()
			return nil
		}
		if s.quiet == nil {
			s.quiet = make(chan struct{})
		}
		quiet := s.quiet
		s.mu.Unlock()
		select {
		case <-quiet:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-s.ending:
			return closedError(s.Err())
		}
	}
}

// awaitEnd waits until the session has ended, if anything will end it.
func (s *Session) awaitEnd(ctx context.Context) error {
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// peerUnbinds begins the end that the peer asked for: answers that we owe first,
// then unbind_resp, then the connection is closed.
func (s *Session) peerUnbinds(h pdu.Header) {
	if !s.State().Bound() && s.State() != Unbinding {
		s.answer(pdu.StatusInvBndSts, h, bare(pdu.CmdUnbindResp))
		s.closeAfterFlush(fmt.Errorf("%w: unbind in state %s", ErrBindState, s.State()))
		return
	}
	s.refuseNew()
	s.mu.Lock()
	if s.unbindSent || s.owesUnbind { // both at once, or impatient: the first one's end comes
		s.mu.Unlock()
		s.answer(pdu.StatusOK, h, &pdu.UnbindResp{})
		return
	}
	s.refusing = true
	s.owesUnbind = true
	s.unbindSeq = h.Sequence
	s.unbindBy = s.now() + int64(max(s.cfg.Response, flushTimeout))
	owed := s.inbound
	s.mu.Unlock()
	s.setState(Unbinding)
	if owed == 0 {
		s.answerUnbind()
	}
}

// answerUnbind sends the unbind_resp that was put off and ends the session.
func (s *Session) answerUnbind() {
	s.mu.Lock()
	owes, seq := s.owesUnbind, s.unbindSeq
	s.owesUnbind = false
	s.mu.Unlock()
	if !owes {
		return
	}
	if s.reply(pdu.StatusOK, seq, &pdu.UnbindResp{}) == nil {
		s.closeAfterFlush(ErrUnbound)
	}
}
