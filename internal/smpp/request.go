package smpp

import (
	"errors"
	"fmt"
	"sync/atomic"

	"jasmind/internal/smpp/pdu"
)

// Request is a request of the peer. It owns its PDU, which stays valid for as long as
// it is kept.
type Request struct {
	Header pdu.Header
	PDU    pdu.PDU

	session  *Session
	answered atomic.Bool
}

// Session is where the request came from.
func (r *Request) Session() *Session { return r.session }

// Respond answers, once; a second call gets ErrAnswered. A nil resp stands for the
// operation's empty response, without a body if status is an error. For operations
// without a response (alert_notification, outbind) it does nothing.
//
// Errors: ErrSessionClosed when the peer is gone; *pdu.FieldError when resp cannot
// be encoded, in which case ESME_RSYSERR has been answered instead.
func (r *Request) Respond(status pdu.Status, resp pdu.PDU) error {
	if r.answered.Swap(true) {
		return ErrAnswered
	}
	if noResponse(r.Header.ID) {
		return nil
	}
	id := r.Header.ID.Response()
	switch {
	case resp == nil && status == pdu.StatusOK:
		resp = pdu.NewResponse(r.PDU)
	case resp == nil:
		resp = bare(id)
	}
	var wrong error
	if got := resp.CommandID(); got != id && got != pdu.CmdGenericNack {
		wrong = fmt.Errorf("smpp: %s is no answer to %s", got, r.Header.ID)
		status, resp = pdu.StatusSysErr, bare(id)
	}
	s := r.session
	s.mu.Lock()
	h, err := s.appendLocked(status, r.Header.Sequence, resp)
	if err != nil && !errors.Is(err, ErrSessionClosed) {
		wrong = err
		status, resp = pdu.StatusSysErr, bare(id)
		h, err = s.appendLocked(status, r.Header.Sequence, resp)
	}
	over := err == nil && s.overLocked()
	last := false
	if s.inbound--; s.inbound == 0 {
		s.quietLocked()
		last = s.owesUnbind
	}
	s.mu.Unlock()
	switch {
	case err != nil:
		return err
	case over:
		return s.tooSlow()
	}
	s.sent(h, resp)
	if last {
		s.answerUnbind()
	}
	return wrong
}
