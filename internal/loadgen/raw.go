package loadgen

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"time"

	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
)

// rawBind is a bind without a session: one goroutine that fills the window, writes once, and reads
// what has come. It knows no timers but the deadline for answers, so it shows what tool, kernel and loopback allow.
func rawBind(ctx context.Context, r *run, senders []*sender) error {
	c := &rawConn{run: r, sender: senders[0], submit: newSubmitter(r), slots: make([]rawSlot, r.cfg.Window)}
	defer c.drop()
	for {
		if err := c.ensure(); err != nil {
			return err
		}
		u, ok := c.sender.next(ctx)
		if !ok {
			break
		}
		if err := c.ensure(); err != nil {
			c.sender.giveBack(u)
			return err
		}
		c.out = c.out[:0]
		c.put(u)
		if err := c.exchange(); err != nil {
			c.fail(faultReason(err))
		}
	}
	c.sender.close("the run was ended")
	if r.cfg.Receipts && c.conn != nil {
		c.linger(ctx)
	}
	c.unbind()
	return nil
}

// rawSlot is a place in the window. Its sequence numbers are slot + 1 + generation x window, so that
// an answer is told from a late one without a map.
type rawSlot struct {
	u    unit
	seq  uint32
	busy bool
}

// rawConn is the state of rawBind.
type rawConn struct {
	run      *run
	sender   *sender
	submit   *submitter
	conn     net.Conn // nil when there is none
	in       *bufio.Reader
	out      []byte
	frame    []byte
	resp     pdu.SubmitSMResp
	slots    []rawSlot
	free     []int
	deadline time.Time
	unwatch  func() bool
}

// ensure connects and binds if there is no connection.
func (c *rawConn) ensure() error {
	if c.conn != nil {
		return nil
	}
	return c.run.again("smpp", func(ctx context.Context) error {
		conn, err := c.connect(ctx)
		if err != nil {
			return fmt.Errorf("bind to %s: %w", c.run.cfg.Addr, err)
		}
		c.conn, c.deadline = conn, time.Time{}
		c.unwatch = context.AfterFunc(c.run.hard, func() { conn.Close() }) //nolint:errcheck // it wakes the reader
		c.free = c.free[:0]
		for i := range c.slots {
			c.slots[i].busy = false
			c.free = append(c.free, i)
		}
		return nil
	})
}

func (c *rawConn) connect(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", c.run.cfg.Addr)
	if err != nil {
		return nil, err
	}
	if c.run.cfg.TLS != nil {
		tc := c.run.cfg.TLS.Clone()
		if tc.ServerName == "" {
			tc.ServerName, _, _ = net.SplitHostPort(c.run.cfg.Addr) //nolint:errcheck // Validate has looked at it
		}
		conn = tls.Client(conn, tc)
	}
	if err := c.bind(ctx, conn); err != nil {
		conn.Close() //nolint:errcheck // the first error counts
		return nil, err
	}
	return conn, nil
}

// bind sends the bind request and reads its answer.
func (c *rawConn) bind(ctx context.Context, conn net.Conn) error {
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Now()) }) //nolint:errcheck // it wakes the reader
	defer stop()
	b := c.run.bindPDU()
	var err error
	if c.out, err = pdu.Append(c.out[:0], 0, 1, &b); err != nil {
		return err
	}
	if _, err = conn.Write(c.out); err != nil {
		return err
	}
	c.in = bufio.NewReaderSize(conn, 64<<10)
	if c.frame, err = pdu.ReadFrame(c.in, c.frame, 0); err != nil {
		return err
	}
	h, err := pdu.DecodeHeader(c.frame)
	switch {
	case err != nil:
		return err
	case h.ID != b.CommandID().Response():
		return fmt.Errorf("%s instead of an answer to the bind", h.ID)
	case h.Status != pdu.StatusOK:
		return &smpp.StatusError{Command: b.CommandID(), Status: h.Status}
	case !stop():
		return context.Cause(ctx)
	}
	return nil
}

// put adds the submit_sm of a unit to what is written next. There is a free slot.
func (c *rawConn) put(u unit) {
	i := c.free[len(c.free)-1]
	s := &c.slots[i]
	w := uint32(len(c.slots))
	if s.seq += w; s.seq == w || s.seq > 0x7FFFFFFF { // the first time, or the end of the range (SMPP v3.4 §5.1.4)
		s.seq = uint32(i) + 1
	}
	err := c.submit.make(u)
	if err == nil {
		c.out, err = pdu.Append(c.out, pdu.StatusOK, s.seq, &c.submit.pdu)
	}
	if err != nil {
		c.sender.refused(u, "not sent: "+describe(err), false)
		return
	}
	s.u, s.busy = u, true
	c.free = c.free[:len(c.free)-1]
}

// exchange keeps the window full until nothing is in flight.
func (c *rawConn) exchange() error {
	for {
		for len(c.free) > 0 {
			u, ok := c.sender.poll()
			if !ok {
				break
			}
			c.put(u)
		}
		if err := c.flush(); err != nil || len(c.free) == len(c.slots) {
			return err
		}
		for first := true; first || c.in.Buffered() > 0; first = false {
			if err := c.read(); err != nil {
				return err
			}
		}
	}
}

// flush writes what there is.
func (c *rawConn) flush() error {
	if now, timeout := time.Now(), c.run.cfg.Timeout; c.deadline.Sub(now) < timeout {
		c.deadline = now.Add(timeout + timeout/8)
		c.conn.SetDeadline(c.deadline) //nolint:errcheck // the read tells
	}
	if len(c.out) == 0 {
		return nil
	}
	_, err := c.conn.Write(c.out)
	c.out = c.out[:0]
	return err
}

// read takes one PDU.
func (c *rawConn) read() error {
	var err error
	if c.frame, err = pdu.ReadFrame(c.in, c.frame, 0); err != nil {
		return err
	}
	h, err := pdu.DecodeHeader(c.frame)
	if err != nil {
		return err
	}
	switch h.ID {
	case pdu.CmdSubmitSMResp, pdu.CmdGenericNack:
		i := (h.Sequence - 1) % uint32(len(c.slots))
		s := &c.slots[i]
		if !s.busy || s.seq != h.Sequence {
			return nil // late, or never asked for
		}
		id := ""
		if h.ID == pdu.CmdSubmitSMResp {
			if _, err := pdu.DecodeAlias(c.frame, &c.resp); err == nil {
				id = string(append([]byte(nil), c.resp.MessageID...))
			}
		}
		s.busy = false
		c.free = append(c.free, int(i))
		takeStatus(c.sender, s.u, h.Status, id)
		return nil
	case pdu.CmdDeliverSM:
		if _, p, err := pdu.Decode(c.frame); err == nil {
			c.run.deliver(&p.(*pdu.DeliverSM).Message)
		}
		return c.respond(h, &pdu.DeliverSMResp{})
	case pdu.CmdEnquireLink:
		return c.respond(h, &pdu.EnquireLinkResp{})
	case pdu.CmdUnbind:
		c.respond(h, &pdu.UnbindResp{}) //nolint:errcheck // it is over either way
		c.flush()                       //nolint:errcheck // it is over either way
		return smpp.ErrUnbound
	}
	if h.ID.IsResponse() {
		return nil
	}
	return c.respond(h, &pdu.GenericNack{})
}

func (c *rawConn) respond(h pdu.Header, p pdu.PDU) (err error) {
	status := pdu.StatusOK
	if p.CommandID() == pdu.CmdGenericNack {
		status = pdu.StatusInvCmdID
	}
	c.out, err = pdu.Append(c.out, status, h.Sequence, p)
	return err
}

// fail gives up what is in flight, with the connection.
func (c *rawConn) fail(reason string) {
	for i := range c.slots {
		if c.slots[i].busy {
			c.slots[i].busy = false
			c.sender.lost(c.slots[i].u, reason)
		}
	}
	c.drop()
}

func (c *rawConn) drop() {
	if c.conn != nil {
		c.unwatch()
		c.conn.Close() //nolint:errcheck // nothing is lost with it
		c.conn = nil
	}
}

// linger takes receipts until the run is over. It ends with the connection.
func (c *rawConn) linger(ctx context.Context) {
	conn := c.conn
	stop := make(chan struct{})
	var waker sync.WaitGroup
	defer waker.Wait()
	defer close(stop)
	waker.Go(func() {
		select {
		case <-c.run.release:
			conn.SetReadDeadline(time.Now()) //nolint:errcheck // it wakes the reader
		case <-ctx.Done():
		case <-stop:
		}
	})
	conn.SetDeadline(time.Time{}) //nolint:errcheck // the read tells
	for {
		if err := c.read(); err != nil {
			return
		}
		if c.in.Buffered() == 0 {
			if _, err := conn.Write(c.out); err != nil {
				return
			}
			c.out = c.out[:0]
		}
	}
}

// unbind says goodbye and does not wait long for the answer.
func (c *rawConn) unbind() {
	if c.conn == nil {
		return
	}
	c.conn.SetDeadline(time.Now().Add(min(c.run.cfg.Grace, time.Second))) //nolint:errcheck // the read tells
	out, err := pdu.Append(c.out[:0], pdu.StatusOK, 0x7FFFFFFF, &pdu.Unbind{})
	if err != nil {
		return
	}
	if _, err := c.conn.Write(out); err != nil {
		return
	}
	for {
		if c.frame, err = pdu.ReadFrame(c.in, c.frame, 0); err != nil {
			return
		}
		if h, err := pdu.DecodeHeader(c.frame); err != nil || h.ID == pdu.CmdUnbindResp {
			return
		}
	}
}
