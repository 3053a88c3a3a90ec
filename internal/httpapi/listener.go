package httpapi

import (
	"net"
	"net/http"
	"net/netip"
	"sync"

	"jasmind/internal/admission"
)

// boundedListener accepts no more than a number of connections at a time; further ones wait in
// the kernel's backlog. Those of one address beyond its share are closed at once, so that it
// leaves room for others.
type boundedListener struct {
	net.Listener
	slots      chan struct{}
	perAddress int
	once       sync.Once
	done       chan struct{}

	mu    sync.Mutex // guards count
	count map[netip.Addr]int
}

func newBoundedListener(ln net.Listener, limit, perAddress int) *boundedListener {
	return &boundedListener{Listener: ln, slots: make(chan struct{}, limit), perAddress: perAddress, done: make(chan struct{}), count: make(map[netip.Addr]int)}
}

// Accept gives the next connection that has room.
func (l *boundedListener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.done:
		return nil, net.ErrClosed
	}
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			<-l.slots
			return nil, err
		}
		from := admission.AddressOf(c.RemoteAddr().String())
		if !l.enter(from) {
			_ = c.Close() // it has too many others
			continue
		}
		return &boundedConn{Conn: c, release: sync.OnceFunc(func() { l.leave(from); <-l.slots })}, nil
	}
}

func (l *boundedListener) enter(from netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.count[from] >= l.perAddress {
		return false
	}
	l.count[from]++
	return true
}

func (l *boundedListener) leave(from netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.count[from]--; l.count[from] <= 0 {
		delete(l.count, from)
	}
}

// Close ends Accept.
func (l *boundedListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return l.Listener.Close()
}

type boundedConn struct {
	net.Conn
	release func()
}

// Close gives the connection's place to the next one.
func (c *boundedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}

// allowList lets only some addresses pass.
type allowList struct {
	server *Server
	next   http.Handler
}

// ServeHTTP refuses who is not on the list before anything is read of the request.
func (l *allowList) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	from := admission.AddressOf(r.RemoteAddr)
	for _, p := range l.server.cfg.Allow {
		if p.Contains(from) {
			l.next.ServeHTTP(w, r)
			return
		}
	}
	s := l.server
	s.Stats.RequestCount.Add(1)
	s.Stats.AuthErrors.Add(1)
	s.log.Warn("request refused", "peer", r.RemoteAddr, "status", http.StatusForbidden, "reason", "address", "err", "the address is not in [http-api] allow")
	w.Header().Set("Connection", "close")
	text(w, http.StatusForbidden, `Error "Address `+from.String()+` is not allowed."`)
}
