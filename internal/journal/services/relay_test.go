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
	t        testing.TB
	upstream string
	addr     string
	l        net.Listener
	wg       sync.WaitGroup

	mu    sync.Mutex // guards conns and up
	conns map[net.Conn]struct{}
	up    bool
}

func newRelay(t testing.TB, upstream string) *relay {
	t.Helper()
	r := &relay{t: t, upstream: upstream, addr: "127.0.0.1:0", conns: make(map[net.Conn]struct{})}
	r.start()
	t.Cleanup(r.stop)
	return r
}

func (r *relay) start() {
	r.t.Helper()
	l, err := net.Listen("tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.l, r.addr = l, l.Addr().String()
	r.mu.Lock()
	r.up = true
	r.mu.Unlock()
	r.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s, err := net.Dial("tcp", r.upstream)
			if err != nil {
				c.Close()
				continue
			}
			if r.keep(c, s) {
				r.wg.Go(func() { r.copy(s, c) })
				r.wg.Go(func() { r.copy(c, s) })
			}
		}
	})
}

// keep remembers a pair of connections, or closes it if the relay is away.
func (r *relay) keep(c, s net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.up {
		c.Close()
		s.Close()
		return false
	}
	r.conns[c], r.conns[s] = struct{}{}, struct{}{}
	return true
}

func (r *relay) copy(dst, src net.Conn) {
	_, _ = io.Copy(dst, src) // however it ends, both ends are closed
	dst.Close()
	src.Close()
	r.mu.Lock()
	delete(r.conns, src)
	r.mu.Unlock()
}

// stop ends all connections and refuses new ones until start.
func (r *relay) stop() {
	r.mu.Lock()
	r.up = false
	for c := range r.conns {
		c.Close()
	}
	r.mu.Unlock()
	r.l.Close()
	r.wg.Wait()
}
