package rabbit

import (
	"bufio"
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

const (
	socketBuffered = 256 << 10 // octets waiting to be written before Write blocks
	socketRead     = 64 << 10
	closeFlush     = 500 * time.Millisecond // what is left in the buffer gets this long on Close
)

// socket is a connection whose writes are gathered: Write appends to a buffer that one
// goroutine sends, so the many small frames of concurrent publishers share system calls,
// and the AMQP library's locks are not held over I/O.
//
// A read or write error makes every later call fail; without that, a publisher stuck in
// Write would hold the locks that the library needs to close the connection.
type socket struct {
	net.Conn
	r *bufio.Reader

	mu      sync.Mutex // guards the following
	room    sync.Cond  // buf got smaller, or the socket ended
	work    sync.Cond  // buf got larger, or the socket ended
	buf     []byte
	err     error
	closing bool

	done chan struct{} // the writing goroutine ended
}

// dialSocket connects; the deadline of the handshake is set and is cleared by the AMQP
// library when the connection is open.
func dialSocket(ctx context.Context, network, addr string, timeout time.Duration) (*socket, error) {
	d := net.Dialer{Timeout: timeout}
	c, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	if err := c.SetDeadline(time.Now().Add(timeout)); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return newSocket(c), nil
}

func newSocket(c net.Conn) *socket {
	s := &socket{Conn: c, r: bufio.NewReaderSize(c, socketRead), done: make(chan struct{})}
	s.room.L, s.work.L = &s.mu, &s.mu
	go s.writeLoop()
	return s
}

func (s *socket) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil {
		s.fail(err)
	}
	return n, err
}

func (s *socket) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.buf) > socketBuffered && s.err == nil && !s.closing {
		s.room.Wait()
	}
	if s.err != nil {
		return 0, s.err
	}
	if s.closing {
		return 0, net.ErrClosed
	}
	s.buf = append(s.buf, p...)
	s.work.Signal()
	return len(p), nil
}

func (s *socket) writeLoop() {
	defer close(s.done)
	var spare []byte
	for {
		s.mu.Lock()
		for len(s.buf) == 0 && s.err == nil && !s.closing {
			s.work.Wait()
		}
		if s.err != nil || len(s.buf) == 0 {
			s.mu.Unlock()
			return
		}
		out := s.buf
		s.buf = spare[:0]
		s.room.Broadcast()
		s.mu.Unlock()
		if _, err := s.Conn.Write(out); err != nil {
			s.fail(err)
			return
		}
		spare = out
		if cap(spare) > 2*socketBuffered {
			spare = nil
		}
	}
}

// fail ends the socket: pending and later calls return err.
func (s *socket) fail(err error) {
	s.mu.Lock()
	if s.err == nil {
		s.err = err
	}
	s.room.Broadcast()
	s.work.Broadcast()
	s.mu.Unlock()
	_ = s.Conn.Close() // a second Close of a net.Conn only returns an error
}

// Close sends what is buffered, for a moment, and closes.
func (s *socket) Close() error {
	s.mu.Lock()
	s.closing = true
	s.room.Broadcast()
	s.work.Broadcast()
	s.mu.Unlock()
	_ = s.Conn.SetWriteDeadline(time.Now().Add(closeFlush)) // an error means it is closed already
	<-s.done
	return s.Conn.Close()
}
