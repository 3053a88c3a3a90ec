package services_test

import (
	"io"
	"net"
	"sync"
	"testing"
)

// relay stands between a driver and a service; it can be away and come back at the same
// address.
type relay struct {
	upstream string
	addr     string
	l        net.Listener
	accepts  sync.WaitGroup

	mu    sync.Mutex     // guards what follows
	links sync.WaitGroup // of the connections
	conns map[net.Conn]struct{}
	up    bool
}

// newRelay listens until the test ends, also while it is away: nobody else gets its port.
func newRelay(t testing.TB, upstream string) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{upstream: upstream, addr: l.Addr().String(), l: l, conns: make(map[net.Conn]struct{}), up: true}
	r.accepts.Go(r.accept)
	t.Cleanup(func() {
		r.l.Close()
		r.accepts.Wait()
		r.stop()
	})
	return r
}

func (r *relay) accept() {
	for {
		c, err := r.l.Accept()
		if err != nil {
			return
		}
		s, err := net.Dial("tcp", r.upstream)
		if err != nil {
			c.Close()
			continue
		}
		r.join(c, s)
	}
}

// join copies between two connections, or closes them if the relay is away.
func (r *relay) join(c, s net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.up {
		c.Close()
		s.Close()
		return
	}
	r.conns[c], r.conns[s] = struct{}{}, struct{}{}
	r.links.Go(func() { r.copy(s, c) })
	r.links.Go(func() { r.copy(c, s) })
}

func (r *relay) copy(dst, src net.Conn) {
	_, _ = io.Copy(dst, src) // however it ends, both ends are closed
	dst.Close()
	src.Close()
	r.mu.Lock()
	delete(r.conns, src)
	r.mu.Unlock()
}

// stop ends all connections and closes new ones until start.
func (r *relay) stop() {
	r.mu.Lock()
	r.up = false
	for c := range r.conns {
		c.Close()
	}
	r.mu.Unlock()
	r.links.Wait()
}

func (r *relay) start() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.up = true
}
