package admission

import (
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
)

// DoorConfig holds the settings of a Door.
type DoorConfig struct {
	Allow      []netip.Prefix // who may connect; none: everybody
	Max        int            // connections at a time; 0: any number
	PerAddress int            // of them, from one address (of IPv6: one /64); 0: any number
	Budget     *Budget        // of all doors; nil: its own, with the defaults
}

// Door decides about connections when they are accepted, before anything is read of them or said to them.
type Door struct {
	cfg DoorConfig
	log *slog.Logger

	mu       sync.Mutex // guards what follows
	open     int
	bySource map[netip.Addr]int // none is 0
}

// NewDoor makes a Door. What it refuses it logs, every time: log should leave out repeats.
func NewDoor(cfg DoorConfig, log *slog.Logger) *Door {
	if cfg.Budget == nil {
		cfg.Budget = NewBudget(BudgetConfig{})
	}
	return &Door{cfg: cfg, log: log, bySource: make(map[netip.Addr]int)}
}

// Listener gives a listener whose Accept closes what the door refuses, and whose connections are of type *Conn.
func (d *Door) Listener(ln net.Listener) net.Listener { return &doorListener{ln, d} }

type doorListener struct {
	net.Listener
	door *Door
}

// Accept gives the next connection that may come in.
func (l *doorListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		admitted, why := l.door.admit(c)
		if why == "" {
			return admitted, nil
		}
		l.door.cfg.Budget.Stats.RefusedConnections.Add(1)
		l.door.log.Warn("connection refused", "peer", c.RemoteAddr().String(), "reason", why)
		_ = c.Close() // nothing was said yet
	}
}

// admit takes a connection in, or says why not.
func (d *Door) admit(c net.Conn) (_ *Conn, why string) {
	from := AddressOf(c.RemoteAddr().String())
	if len(d.cfg.Allow) > 0 && !slices.ContainsFunc(d.cfg.Allow, func(p netip.Prefix) bool { return p.Contains(from) }) {
		return nil, "the address is not in allow"
	}
	source := Source(from)
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.cfg.Max > 0 && d.open >= d.cfg.Max:
		return nil, "too many connections"
	case d.cfg.PerAddress > 0 && d.bySource[source] >= d.cfg.PerAddress:
		return nil, "too many connections from this address"
	case !d.cfg.Budget.take(source, connectionCost):
		return nil, "too many connections that have not authenticated"
	}
	d.open++
	d.bySource[source]++
	return &Conn{Conn: c, door: d, source: source, held: connectionCost}, ""
}

func (d *Door) leave(source netip.Addr) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open--
	if d.bySource[source]--; d.bySource[source] == 0 {
		delete(d.bySource, source)
	}
}

// Conn is a connection that a Door took in. What is read from it counts in the door's Budget until the door is told that the
// client has authenticated, or that what it sent is no longer in hand.
type Conn struct {
	net.Conn
	door   *Door
	source netip.Addr
	closed sync.Once

	mu    sync.Mutex // guards what follows
	held  int        // of the budget
	known bool
	over  bool
}

// Of finds the Conn under a connection, such as one of TLS; nil if there is none.
func Of(c net.Conn) *Conn {
	for {
		switch inner := c.(type) {
		case *Conn:
			return inner
		case interface{ NetConn() net.Conn }:
			c = inner.NetConn()
		default:
			return nil
		}
	}
}

// Read reads. When the budget is used up it gives ErrOverBudget, now and ever after; writing goes on.
func (c *Conn) Read(p []byte) (int, error) {
	c.mu.Lock()
	over := c.over
	c.mu.Unlock()
	if over {
		return 0, ErrOverBudget
	}
	n, err := c.Conn.Read(p)
	if n > 0 && !c.take(n) {
		return 0, ErrOverBudget
	}
	return n, err
}

// Request counts one more request in hand. False when the budget is used up.
func (c *Conn) Request() bool { return c.take(requestCost) }

func (c *Conn) take(n int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.known:
		return true
	case c.over || !c.door.cfg.Budget.take(c.source, n):
		if !c.over {
			c.over = true
			c.door.log.Warn("connection refused", "peer", c.RemoteAddr().String(), "reason", ErrOverBudget.Error())
		}
		return false
	}
	c.held += n
	return true
}

// Settle says that of what was received so far nothing is in hand, or that it is of somebody who has authenticated.
func (c *Conn) Settle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.door.cfg.Budget.give(c.source, c.held)
	c.held = 0
}

// Known says that the client has authenticated, for as long as the connection lasts.
func (c *Conn) Known() {
	c.mu.Lock()
	c.known = true
	c.mu.Unlock()
	c.Settle()
}

// Close gives the connection's place to the next one.
func (c *Conn) Close() error {
	err := c.Conn.Close()
	c.closed.Do(func() {
		c.Known() // nothing more is taken
		c.door.leave(c.source)
	})
	return err
}

// CloseWrite says that nothing more will be sent, if the connection can.
func (c *Conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return net.ErrClosed
}
