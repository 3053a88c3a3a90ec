package smpp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"jasmind/internal/smpp/pdu"
)

// maxOpenOctets is how much a peer may send before it is bound.
const maxOpenOctets = 16 << 10

// readLoop reads until the connection ends or framing is lost; its result is why. It
// decodes, matches responses and hands requests on, and never waits for either.
func (s *Session) readLoop(ctx context.Context) error {
	var buf []byte
	for {
		frame, err := s.readFrame(buf)
		if err != nil {
			return s.readFailed(err)
		}
		if buf = frame; cap(buf) > spareBuffer {
			buf = nil
		}
		select {
		case <-s.ending: // what still comes before the end of the connection is late
			s.discard()
			return nil
		default:
		}
		s.stats.pdusIn.Add(1)
		s.stats.octetsIn.Add(uint64(len(frame)))
		h, p, err := pdu.Decode(frame)
		if err != nil {
			p = nil
		}
		if s.cfg.Trace != nil {
			s.cfg.Trace(In, h, p)
		}
		if s.State() == Open && !s.openQuota(len(frame)) {
			return fmt.Errorf("%w: over %d octets", ErrUnboundTraffic, maxOpenOctets)
		}
		if h.ID.IsResponse() {
			s.response(h, p, err)
		} else {
			s.request(ctx, h, p, err)
		}
	}
}

// readFrame reads one PDU. The PDU read timer (SMPP v3.4 §7.2 has none; Jasmin:
// pdu_red_to) runs while a PDU is here in part.
func (s *Session) readFrame(buf []byte) ([]byte, error) {
	limit := s.cfg.MaxPDU
	waited := false
	if s.r.Buffered() == 0 {
		waited = true
		if _, err := s.r.Peek(1); err != nil {
			return nil, err
		}
	}
	if s.State() == Open {
		limit = min(limit, s.cfg.MaxUnboundPDU)
	}
	timed := false
	if s.cfg.PDURead > 0 && !s.wholeBuffered() {
		timed, waited = true, true
		if err := s.conn.SetReadDeadline(time.Now().Add(s.cfg.PDURead)); err != nil {
			return nil, err
		}
	}
	frame, err := pdu.ReadFrame(s.r, buf, limit)
	if err != nil {
		if timed && errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, ErrPDUReadTimeout
		}
		return nil, err
	}
	if timed {
		if err := s.conn.SetReadDeadline(time.Time{}); err != nil {
			return nil, err
		}
	}
	if waited {
		s.lastRecv.Store(s.now())
	}
	return frame, nil
}

// wholeBuffered reports whether the next PDU can be read, or refused, without waiting.
func (s *Session) wholeBuffered() bool {
	n := s.r.Buffered()
	if n < pdu.HeaderLen {
		return false
	}
	b, err := s.r.Peek(pdu.HeaderLen)
	if err != nil {
		return false
	}
	h, err := pdu.DecodeHeader(b)
	return err == nil && (int64(n) >= int64(h.Length) || h.Length < pdu.HeaderLen)
}

// readFailed turns the end of reading into the end of the session.
func (s *Session) readFailed(err error) error {
	var le *pdu.LengthError
	switch {
	case errors.As(err, &le):
		// Where the next PDU starts is not known any more (SMPP v3.4 §4.3).
		s.stats.malformed.Add(1)
		s.log.Warn("framing lost", "err", err, "from", s.conn.RemoteAddr())
		s.reply(pdu.StatusInvCmdLen, le.Header.Sequence, &pdu.GenericNack{}) //nolint:errcheck // the session ends anyway
		s.closeAfterFlush(fmt.Errorf("smpp: framing lost: %w", err))
		s.discard()
		return nil
	case s.unbindUnderway(): // widespread clients close instead of answering our unbind
		return nil
	case s.unbindOwed():
		return ErrUnbound
	case errors.Is(err, io.EOF):
		return ErrPeerClosed
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w within a PDU", ErrPeerClosed)
	case errors.Is(err, ErrPDUReadTimeout):
		// A PDU of which a part came cannot be decoded: its sequence number counts as unknown (SMPP v3.4 §4.3.1).
		s.reply(pdu.StatusInvCmdLen, 0, &pdu.GenericNack{}) //nolint:errcheck // the session ends anyway
		s.closeAfterFlush(err)
		return nil
	}
	return fmt.Errorf("smpp: read: %w", err)
}

// unbindUnderway reports whether we have sent unbind.
func (s *Session) unbindUnderway() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unbindSent
}

// unbindOwed reports whether the peer has sent unbind and waits.
func (s *Session) unbindOwed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.owesUnbind
}

// openQuota bounds what a stranger may send.
func (s *Session) openQuota(n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.openOctets += n
	return s.openOctets <= maxOpenOctets
}

// response hands a response to whoever waits for it.
func (s *Session) response(h pdu.Header, p pdu.PDU, err error) {
	c := s.take(h)
	if c == nil && s.takeLate(Response{Header: h, PDU: p}, err) {
		return
	}
	if c == nil {
		s.stats.unknownResponses.Add(1)
		s.log.Debug("response to nothing in flight", "pdu", h.ID.String(), "seq", h.Sequence, "status", h.Status.String())
		return
	}
	if err != nil {
		s.stats.malformed.Add(1)
		s.log.Warn("malformed response", "err", err, "seq", h.Sequence)
	}
	s.settle(c, Response{Header: h, PDU: p}, err)
}

// request answers a request or hands it to the Handler.
func (s *Session) request(ctx context.Context, h pdu.Header, p pdu.PDU, err error) {
	if err != nil {
		s.malformed(h, err)
		return
	}
	switch q := p.(type) {
	case *pdu.EnquireLink:
		s.stats.enquireReceived.Add(1)
		s.answer(pdu.StatusOK, h, &pdu.EnquireLinkResp{})
		return
	case *pdu.Unbind:
		s.peerUnbinds(h)
		return
	case *pdu.Bind:
		if s.role == SMSC {
			s.peerBinds(ctx, h, q)
			return
		}
	case *pdu.Unknown:
		// The session goes on, with the peer's sequence number in the answer.
		s.stats.malformed.Add(1)
		s.log.Warn("unknown operation", "pdu", h.ID.String(), "seq", h.Sequence)
		s.answer(pdu.StatusInvCmdID, h, &pdu.GenericNack{})
		return
	}
	peer := ESME
	if s.role == ESME {
		peer = SMSC
	}
	st := s.State()
	v := judge(h.ID, peer, st)
	if v == wrongState && s.role == ESME && st.Bound() {
		v = allowed // SMSCs that deliver to transmitters exist; refusing would lose the message
	}
	switch {
	case v == wrongSide || s.cfg.Handler == nil:
		s.answer(pdu.StatusInvCmdID, h, &pdu.GenericNack{})
	case st == Unbinding:
		s.refuseRequest(h, s.temporary())
	case v == wrongState:
		s.refuseRequest(h, pdu.StatusInvBndSts)
		if s.role == SMSC {
			s.closeAfterFlush(fmt.Errorf("%w: %s in state %s", ErrBindState, h.ID, st))
		}
	default:
		s.serve(h, p)
	}
}

// serve counts a request as owed and calls the Handler.
func (s *Session) serve(h pdu.Header, p pdu.PDU) {
	owed := !noResponse(h.ID)
	s.mu.Lock()
	switch {
	case owed && s.refusing:
		s.mu.Unlock()
		s.refuseRequest(h, s.temporary())
		return
	case owed && s.inbound >= s.cfg.InboundWindow:
		s.mu.Unlock()
		st := pdu.StatusThrottled
		if s.role == ESME {
			st = pdu.StatusRxTAppn
		}
		s.refuseRequest(h, st)
		return
	case owed:
		s.inbound++
	}
	s.mu.Unlock()
	s.cfg.Handler.ServeSMPP(s, &Request{Header: h, PDU: p, session: s})
}

// temporary is the status that makes the peer try again later.
func (s *Session) temporary() pdu.Status {
	if s.role == ESME {
		return pdu.StatusRxTAppn
	}
	return pdu.StatusSysErr
}

// malformed answers a request whose body could not be decoded.
func (s *Session) malformed(h pdu.Header, err error) {
	s.stats.malformed.Add(1)
	s.log.Warn("malformed request", "err", err, "seq", h.Sequence, "from", s.conn.RemoteAddr())
	status := pdu.StatusSysErr
	var de *pdu.DecodeError
	if errors.As(err, &de) && de.Status != pdu.StatusOK {
		status = de.Status
	}
	s.refuseRequest(h, status)
}

// refuseRequest answers with a bare header, as SMPP v3.4 §4.4.2 asks for errors, or with
// generic_nack where the operation has no response.
func (s *Session) refuseRequest(h pdu.Header, status pdu.Status) {
	if noResponse(h.ID) {
		s.answer(status, h, &pdu.GenericNack{})
		return
	}
	s.answer(status, h, bare(h.ID.Response()))
}

// bare is a PDU without a body.
func bare(id pdu.CommandID) pdu.PDU { return &pdu.Unknown{ID: id} }

// answer replies; a failure has ended the session already or is ours to log.
func (s *Session) answer(status pdu.Status, h pdu.Header, p pdu.PDU) {
	if err := s.reply(status, h.Sequence, p); err != nil && !errors.Is(err, ErrSessionClosed) {
		s.log.Error("answer not sent", "pdu", h.ID.String(), "seq", h.Sequence, "err", err)
	}
}
