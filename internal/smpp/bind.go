package smpp

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"

	"jasmind/internal/smpp/pdu"
)

// maxSystemID is the longest system_id (SMPP v3.4 §5.2.1), which decoding leaves unchecked.
const maxSystemID = 15

// Bind binds as ESME (SMPP v3.4 §4.1), before Run, within Config.SessionInit. After a refusal, a
// *StatusError, the connection is as before and Bind may be called again; after any other
// error it is of no more use. The caller closes it in both cases, by Close.
func (s *Session) Bind(ctx context.Context, b *pdu.Bind) (*pdu.BindResp, error) {
	s.mu.Lock()
	usable := s.role == ESME && !s.started && s.State() == Open
	s.mu.Unlock()
	if !usable {
		return nil, fmt.Errorf("%w: %s needs an ESME session that is open and not yet running", ErrNotBound, b.CommandID())
	}
	var resp *pdu.BindResp
	err := s.early(ctx, func() (err error) {
		resp, err = s.exchangeBind(b)
		return err
	})
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.bindType, s.systemID = b.Type, b.SystemID
	s.mu.Unlock()
	s.lastRecv.Store(s.now())
	s.setState(boundState(b.Type))
	return resp, nil
}

// exchangeBind sends the bind and reads until its response has come.
func (s *Session) exchangeBind(b *pdu.Bind) (*pdu.BindResp, error) {
	s.mu.Lock()
	seq := s.nextLocked()
	s.seq = following(seq)
	s.mu.Unlock()
	s.stats.requests.Add(1)
	if err := s.writeNow(pdu.StatusOK, seq, b); err != nil {
		return nil, err
	}
	var buf []byte
	for {
		frame, err := pdu.ReadFrame(s.r, buf, s.cfg.MaxPDU)
		if err != nil {
			return nil, s.bindReadError(err)
		}
		buf = frame
		h, p, err := pdu.Decode(frame)
		if err != nil {
			p = nil
		}
		s.stats.pdusIn.Add(1)
		s.stats.octetsIn.Add(uint64(len(frame)))
		if s.cfg.Trace != nil {
			s.cfg.Trace(In, h, p)
		}
		switch {
		case h.ID == b.CommandID().Response(), h.ID == pdu.CmdGenericNack:
			// Only the bind can be meant, even if the sequence number is another: go-smpp's
			// server, for one, numbers its bind responses by itself.
			if h.Sequence != seq {
				s.log.Debug("bind response with another sequence number", "seq", h.Sequence)
			}
			return bindResult(b, h, p)
		case h.ID.IsResponse():
			s.stats.unknownResponses.Add(1)
		case h.ID == pdu.CmdEnquireLink:
			s.stats.enquireReceived.Add(1)
			err = s.writeNow(pdu.StatusOK, h.Sequence, &pdu.EnquireLinkResp{})
		case noResponse(h.ID):
			err = nil
		default:
			err = s.writeNow(pdu.StatusInvBndSts, h.Sequence, bare(h.ID.Response()))
		}
		if err != nil && !h.ID.IsResponse() {
			return nil, err
		}
	}
}

// bindReadError names the end of a connection on which a bind waits.
func (s *Session) bindReadError(err error) error {
	var le *pdu.LengthError
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &le) {
		return fmt.Errorf("bind: %w", err)
	}
	return fmt.Errorf("bind: %w: %w", ErrPeerClosed, err)
}

// bindResult judges a bind response. A body that cannot be read does not undo a bind
// that succeeded: vendors leave it out or send what they like.
func bindResult(b *pdu.Bind, h pdu.Header, p pdu.PDU) (*pdu.BindResp, error) {
	if h.Status != pdu.StatusOK || h.ID == pdu.CmdGenericNack {
		return nil, &StatusError{Command: b.CommandID(), Status: h.Status}
	}
	if resp, ok := p.(*pdu.BindResp); ok {
		return resp, nil
	}
	return &pdu.BindResp{Type: b.Type}, nil
}

// writeNow writes a PDU past the write loop, which does not run yet.
func (s *Session) writeNow(status pdu.Status, seq uint32, p pdu.PDU) error {
	frame, err := pdu.Append(nil, status, seq, p)
	if err != nil {
		return err
	}
	n, err := s.conn.Write(frame)
	s.stats.writes.Add(1)
	s.stats.octetsOut.Add(uint64(n))
	if err != nil {
		return fmt.Errorf("bind: write: %w", err)
	}
	s.sent(pdu.Header{Length: uint32(len(frame)), ID: p.CommandID(), Status: status, Sequence: seq}, p)
	return nil
}

// peerBinds has a bind authenticated, in a goroutine since that may take its time.
func (s *Session) peerBinds(ctx context.Context, h pdu.Header, b *pdu.Bind) {
	s.mu.Lock()
	st := s.State()
	busy := st != Open || s.binding
	if !busy {
		s.binding = true
	}
	s.mu.Unlock()
	switch {
	case st == Unbinding || st == Closed:
		s.answer(pdu.StatusInvBndSts, h, bare(h.ID.Response()))
		return
	case busy:
		s.answer(pdu.StatusAlyBnd, h, bare(h.ID.Response()))
		return
	}
	s.wg.Go(func() {
		status, resp := s.authenticate(ctx, b)
		s.concludeBind(h, b, status, resp)
	})
}

// authenticate asks Config.Bind; a panic there refuses the bind.
func (s *Session) authenticate(ctx context.Context, b *pdu.Bind) (status pdu.Status, resp *pdu.BindResp) {
	switch {
	case len(b.SystemID) > maxSystemID:
		return pdu.StatusInvSysID, nil
	case s.cfg.Bind == nil:
		return pdu.StatusBindFail, nil
	}
	defer func() {
		if v := recover(); v != nil {
			s.log.Error("bind panicked", "err", v, "stack", string(debug.Stack()))
			status, resp = pdu.StatusSysErr, nil
		}
	}()
	return s.cfg.Bind(ctx, s, b)
}

// concludeBind answers a bind. The state changes together with the queueing of the response:
// the peer's first request may follow at once, and ours must not come before.
func (s *Session) concludeBind(h pdu.Header, b *pdu.Bind, status pdu.Status, resp *pdu.BindResp) {
	var p pdu.PDU
	switch {
	case resp != nil:
		own := *resp
		own.Type = b.Type
		p = &own
	case status == pdu.StatusOK:
		p = &pdu.BindResp{Type: b.Type, SystemID: b.SystemID}
	default:
		p = bare(h.ID.Response())
	}
	to := boundState(b.Type)
	s.mu.Lock()
	s.binding = false
	sent, err := s.appendLocked(status, h.Sequence, p)
	bound := err == nil && status == pdu.StatusOK
	if bound {
		s.bindType, s.systemID = b.Type, b.SystemID
		s.state.Store(uint32(to))
	} else {
		s.bindTries++
	}
	exhausted := s.bindTries >= s.cfg.MaxBindTries
	s.mu.Unlock()
	switch {
	case errors.Is(err, ErrSessionClosed):
		return
	case err != nil: // the callback's response cannot be encoded
		s.log.Error("bind response not sent", "err", err)
		s.answer(pdu.StatusSysErr, h, bare(h.ID.Response()))
	default:
		s.sent(sent, p)
	}
	switch {
	case bound:
		s.stateChanged(Open, to)
	case exhausted:
		s.closeAfterFlush(fmt.Errorf("%w: %d", ErrBindRefused, s.cfg.MaxBindTries))
	}
}
