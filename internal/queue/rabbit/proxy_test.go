package rabbit_test

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
)

// proxy stands between the driver and a broker. It can cut connections, refuse new ones,
// stop passing on what clients send, and say in the broker's name that it is blocked
// (AMQP extension connection.blocked; a real alarm stops reading in the same way).
type proxy struct {
	t      testing.TB
	l      net.Listener
	target string
	wg     sync.WaitGroup

	mu      sync.Mutex // guards the following
	passing sync.Cond  // stalled became false, or holding grew
	holding int        // octets that clients sent and that are not passed on
	conns   map[*pair]struct{}
	refuse  bool
	stalled bool
	closed  bool
}

type pair struct {
	client, server net.Conn
	write          sync.Mutex // one frame to the client at a time
}

// newProxy gives a proxy and the URL that leads through it.
func newProxy(t testing.TB, to string) (*proxy, string) {
	t.Helper()
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{t: t, l: l, target: u.Host, conns: make(map[*pair]struct{})}
	p.passing.L = &p.mu
	u.Host = l.Addr().String()
	p.wg.Go(p.accept)
	t.Cleanup(p.close)
	return p, u.String()
}

func (p *proxy) accept() {
	for {
		c, err := p.l.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		refuse := p.refuse
		p.mu.Unlock()
		if refuse {
			c.Close()
			continue
		}
		s, err := net.Dial("tcp", p.target)
		if err != nil {
			c.Close()
			continue
		}
		pr := &pair{client: c, server: s}
		p.mu.Lock()
		if p.closed || p.refuse {
			c.Close()
			s.Close()
		} else {
			p.conns[pr] = struct{}{}
		}
		p.mu.Unlock()
		p.wg.Go(func() { p.up(pr) })
		p.wg.Go(func() { p.down(pr) })
	}
}

func (p *proxy) drop(pr *pair) {
	pr.client.Close()
	pr.server.Close()
	p.mu.Lock()
	delete(p.conns, pr)
	p.passing.Broadcast()
	p.mu.Unlock()
}

// up copies to the broker, unless stalled.
func (p *proxy) up(pr *pair) {
	defer p.drop(pr)
	buf := make([]byte, 32<<10)
	for {
		n, err := pr.client.Read(buf)
		if err != nil {
			return
		}
		p.mu.Lock()
		p.holding += n
		p.passing.Broadcast()
		for _, live := p.conns[pr]; p.stalled && live; _, live = p.conns[pr] {
			p.passing.Wait()
		}
		p.holding -= n
		p.mu.Unlock()
		if _, err := pr.server.Write(buf[:n]); err != nil {
			return
		}
	}
}

// down copies frame by frame to the client (AMQP 0-9-1 §2.3.5).
func (p *proxy) down(pr *pair) {
	defer p.drop(pr)
	r := bufio.NewReader(pr.server)
	for {
		head := make([]byte, 7)
		if _, err := io.ReadFull(r, head); err != nil {
			return
		}
		frame := append(head, make([]byte, binary.BigEndian.Uint32(head[3:])+1)...)
		if _, err := io.ReadFull(r, frame[7:]); err != nil {
			return
		}
		pr.write.Lock()
		_, err := pr.client.Write(frame)
		pr.write.Unlock()
		if err != nil {
			return
		}
	}
}

// awaitHeld waits until clients have sent so many octets that are held.
func (p *proxy) awaitHeld(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.holding < n {
		p.passing.Wait()
	}
}

// stall stops or resumes passing on what clients send.
func (p *proxy) stall(on bool) {
	p.mu.Lock()
	p.stalled = on
	p.passing.Broadcast()
	p.mu.Unlock()
}

// method sends a method frame on channel 0 to every client.
func (p *proxy) method(class, method uint16, args ...byte) {
	f := binary.BigEndian.AppendUint32([]byte{1, 0, 0}, uint32(4+len(args)))
	f = binary.BigEndian.AppendUint16(f, class)
	f = binary.BigEndian.AppendUint16(f, method)
	f = append(append(f, args...), 0xCE)
	for _, pr := range p.all() {
		pr.write.Lock()
		if _, err := pr.client.Write(f); err != nil {
			p.t.Errorf("proxy: %v", err)
		}
		pr.write.Unlock()
	}
}

func (p *proxy) block()   { p.stall(true); p.method(10, 60, 6, 'm', 'e', 'm', 'o', 'r', 'y') }
func (p *proxy) unblock() { p.stall(false); p.method(10, 61) }

func (p *proxy) all() []*pair {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]*pair, 0, len(p.conns))
	for pr := range p.conns {
		out = append(out, pr)
	}
	return out
}

// cut ends every connection; with refuse, new ones too, until the next cut.
func (p *proxy) cut(refuse bool) {
	p.mu.Lock()
	p.refuse = refuse
	p.mu.Unlock()
	for _, pr := range p.all() {
		p.drop(pr)
	}
}

func (p *proxy) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.l.Close()
	p.cut(true)
	p.wg.Wait()
}
