package smpp

import (
	"fmt"
	"time"

	"jasmind/internal/smpp/pdu"
)

// appendLocked encodes p behind what is queued. s.mu is held. Nothing is queued on error.
func (s *Session) appendLocked(status pdu.Status, seq uint32, p pdu.PDU) (pdu.Header, error) {
	if s.stopped || s.closing {
		return pdu.Header{}, closedError(s.cause)
	}
	before := len(s.out)
	out, err := pdu.Append(s.out, status, seq, p)
	if err != nil {
		s.out = out[:min(before, len(out))]
		return pdu.Header{}, err
	}
	s.out = out
	if s.writerOff {
		s.writerOff = false
		s.wake.Signal()
	}
	n := len(out) - before
	return pdu.Header{Length: uint32(n), ID: p.CommandID(), Status: status, Sequence: seq}, nil
}

// overLocked reports whether more is queued than a peer that reads would leave. s.mu is held.
func (s *Session) overLocked() bool { return len(s.out)+s.writing > s.cfg.MaxWriteBuffer }

// roomLocked wakes the requests that wait for the peer to read, if it has. s.mu is held.
func (s *Session) roomLocked() {
	if s.room != nil && !s.overLocked() {
		close(s.room)
		s.room = nil
	}
}

// sent accounts for a PDU that was queued.
func (s *Session) sent(h pdu.Header, p pdu.PDU) {
	s.stats.pdusOut.Add(1)
	if s.cfg.Trace != nil {
		s.cfg.Trace(Out, h, p)
	}
}

// reply queues a response that the session gives by itself. Responses cannot wait for
// a slow peer, so they end the session when too much is queued.
func (s *Session) reply(status pdu.Status, seq uint32, p pdu.PDU) error {
	s.mu.Lock()
	h, err := s.appendLocked(status, seq, p)
	over := err == nil && s.overLocked()
	s.mu.Unlock()
	switch {
	case err != nil:
		return err
	case over:
		return s.tooSlow()
	}
	s.sent(h, p)
	return nil
}

// tooSlow ends the session of a peer that does not read.
func (s *Session) tooSlow() error {
	err := fmt.Errorf("%w: over %d octets wait to be written", ErrSlowPeer, s.cfg.MaxWriteBuffer)
	s.abort(err)
	return closedError(err)
}

// writeLoop is the only one that writes once Run was called: all that is queued in one
// Write, then what was queued meanwhile.
func (s *Session) writeLoop() {
	var buf []byte
	for {
		s.mu.Lock()
		s.writing = 0
		if cap(buf) <= spareBuffer && !s.stopped {
			s.spare = buf[:0]
		}
		s.roomLocked()
		for len(s.out) == 0 && !s.closing && !s.stopped {
			s.writerOff = true
			s.wake.Wait()
		}
		s.writerOff = false
		if s.stopped {
			s.mu.Unlock()
			return
		}
		if len(s.out) == 0 {
			s.mu.Unlock()
			s.linger()
			return
		}
		buf = s.out
		s.out, s.spare = s.spare, nil
		s.writing = len(buf)
		s.mu.Unlock()

		n, err := s.conn.Write(buf)
		s.stats.writes.Add(1)
		s.stats.octetsOut.Add(uint64(n))
		if err != nil {
			s.writeFailed(fmt.Errorf("smpp: write: %w", err))
			return
		}
	}
}

// writeFailed ends a session whose peer takes nothing any more. What it has sent before it
// closed, responses above all, is read first.
func (s *Session) writeFailed(err error) {
	s.mu.Lock()
	s.stopped = true
	s.out = nil
	s.mu.Unlock()
	s.refuseNew()
	t := time.NewTimer(lingerTime)
	defer t.Stop()
	select {
	case <-s.readDone:
	case <-s.ending:
	case <-t.C:
	}
	s.abort(err)
}
