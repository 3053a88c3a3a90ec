package smpptest

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// pipeBuffer is how many octets a direction of a Pipe holds, about what a socket does.
const pipeBuffer = 64 << 10

// Pipe is a connection in memory, both its ends. Unlike net.Pipe it buffers (64 KiB each way), so
// that a Write does not wait for the Read, as on a socket. Its waits are
// durable in the sense of testing/synctest; deadlines work and run on the bubble's clock.
func Pipe() (net.Conn, net.Conn) { return PipeSize(pipeBuffer) }

// PipeSize is Pipe with another buffer; a small one makes a peer that does not read felt soon.
func PipeSize(octets int) (net.Conn, net.Conn) {
	ab, ba := newStream(octets), newStream(octets)
	return &pipeEnd{in: ba, out: ab, local: "pipe-a", remote: "pipe-b"},
		&pipeEnd{in: ab, out: ba, local: "pipe-b", remote: "pipe-a"}
}

// stream is one direction. mu guards all fields below it.
type stream struct {
	size int

	mu      sync.Mutex
	changed sync.Cond
	buf     []byte
	eof     bool // the writer is gone
	broken  bool // the reader is gone
	read    deadline
	write   deadline
}

func newStream(size int) *stream {
	s := &stream{size: size}
	s.changed.L = &s.mu
	return s
}

// deadline is an instant at which waits end.
type deadline struct {
	timer *time.Timer
	past  bool
	turn  int // which setting a timer belongs to
}

// set changes a deadline of the stream.
func (s *stream) set(d *deadline, t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	d.turn++
	d.past = false
	switch wait := time.Until(t); {
	case t.IsZero():
	case wait <= 0:
		d.past = true
	default:
		turn := d.turn
		d.timer = time.AfterFunc(wait, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			if d.turn == turn {
				d.past = true
				s.changed.Broadcast()
			}
		})
	}
	s.changed.Broadcast()
}

func (s *stream) Read(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.broken:
			return 0, net.ErrClosed
		case s.read.past:
			return 0, os.ErrDeadlineExceeded
		case len(b) == 0:
			return 0, nil
		case len(s.buf) > 0:
			n := copy(b, s.buf)
			s.buf = append(s.buf[:0], s.buf[n:]...)
			s.changed.Broadcast()
			return n, nil
		case s.eof:
			return 0, io.EOF
		}
		s.changed.Wait()
	}
}

func (s *stream) Write(b []byte) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.eof:
			return n, net.ErrClosed
		case s.broken:
			return n, io.ErrClosedPipe
		case s.write.past:
			return n, os.ErrDeadlineExceeded
		case len(b) == 0:
			return n, nil
		}
		if free := min(s.size-len(s.buf), len(b)); free > 0 {
			s.buf = append(s.buf, b[:free]...)
			b, n = b[free:], n+free
			s.changed.Broadcast()
			continue
		}
		s.changed.Wait()
	}
}

// hangUp ends the stream from one of its sides.
func (s *stream) hangUp(reader bool) {
	s.set(&s.read, time.Time{})
	s.set(&s.write, time.Time{})
	s.mu.Lock()
	defer s.mu.Unlock()
	if reader {
		s.broken = true
	} else {
		s.eof = true
	}
	s.changed.Broadcast()
}

// pipeEnd is one end of a Pipe.
type pipeEnd struct {
	in, out       *stream
	local, remote pipeAddr
}

func (p *pipeEnd) Read(b []byte) (int, error)  { return p.in.Read(b) }
func (p *pipeEnd) Write(b []byte) (int, error) { return p.out.Write(b) }

func (p *pipeEnd) Close() error {
	p.out.hangUp(false)
	p.in.hangUp(true)
	return nil
}

func (p *pipeEnd) LocalAddr() net.Addr  { return p.local }
func (p *pipeEnd) RemoteAddr() net.Addr { return p.remote }

func (p *pipeEnd) SetDeadline(t time.Time) error {
	p.in.set(&p.in.read, t)
	p.out.set(&p.out.write, t)
	return nil
}

func (p *pipeEnd) SetReadDeadline(t time.Time) error {
	p.in.set(&p.in.read, t)
	return nil
}

func (p *pipeEnd) SetWriteDeadline(t time.Time) error {
	p.out.set(&p.out.write, t)
	return nil
}

type pipeAddr string

func (pipeAddr) Network() string  { return "pipe" }
func (a pipeAddr) String() string { return string(a) }
