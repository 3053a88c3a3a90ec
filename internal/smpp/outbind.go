package smpp

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"jasmind/internal/smpp/pdu"
)

// AwaitOutbind waits, as ESME on a connection that the SMSC has made, for the outbind by which
// it asks to be bound to (SMPP v3.4 §2.2.1, §4.1.7), within Config.SessionInit. Bind is to follow;
// whether the peer may be told our password is the caller's to judge. After an error the
// connection is of no more use; the caller closes it by Close.
func (s *Session) AwaitOutbind(ctx context.Context) (*pdu.Outbind, error) {
	s.mu.Lock()
	usable := s.role == ESME && !s.started && s.State() == Open
	s.mu.Unlock()
	if !usable {
		return nil, fmt.Errorf("%w: outbind needs an ESME session that is open and not yet running", ErrNotBound)
	}
	var out *pdu.Outbind
	err := s.early(ctx, func() (err error) {
		out, err = s.readOutbind()
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// early runs f, which reads and writes past the loops, within Config.SessionInit and until
// ctx ends.
func (s *Session) early(ctx context.Context, f func() error) error {
	if s.cfg.SessionInit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, s.cfg.SessionInit, ErrBindTimeout)
		defer cancel()
	}
	expired := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(expired)
		s.conn.SetDeadline(time.Unix(1, 0)) //nolint:errcheck // wakes Read and Write
	})
	err := f()
	if !stop() {
		<-expired
	}
	if err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return err
	}
	return s.conn.SetDeadline(time.Time{})
}

// readOutbind reads until an outbind has come; a stranger may say little else.
func (s *Session) readOutbind() (*pdu.Outbind, error) {
	var buf []byte
	for {
		frame, err := pdu.ReadFrame(s.r, buf, min(s.cfg.MaxPDU, s.cfg.MaxUnboundPDU))
		if err != nil {
			return nil, fmt.Errorf("outbind: %w", s.bindReadError(err))
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
		case h.ID == pdu.CmdOutbind && err != nil:
			return nil, fmt.Errorf("outbind: %w", err)
		case h.ID == pdu.CmdOutbind:
			return p.(*pdu.Outbind), nil
		case !s.openQuota(len(frame)):
			return nil, fmt.Errorf("%w: over %d octets", ErrUnboundTraffic, maxOpenOctets)
		case h.ID.IsResponse():
			s.stats.unknownResponses.Add(1)
			continue
		case h.ID == pdu.CmdEnquireLink:
			s.stats.enquireReceived.Add(1)
			err = s.writeNow(pdu.StatusOK, h.Sequence, &pdu.EnquireLinkResp{})
		case noResponse(h.ID):
			continue
		default:
			err = s.writeNow(pdu.StatusInvBndSts, h.Sequence, bare(h.ID.Response()))
		}
		if err != nil {
			return nil, err
		}
	}
}
