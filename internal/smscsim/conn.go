package smscsim

import (
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"sync/atomic"

	"jasmind/internal/smpp/pdu"
)

// conn is a connection below a session. It keeps the octets of what was read, so
// that a message can be shown as it came, and changes single responses on their
// way out. The session writes whole PDUs, which that rests on.
//
// mu guards edits. in and off belong to the goroutine that reads.
type conn struct {
	net.Conn
	mute func() bool // enquire_link_resp is not to be written

	in  []byte // read and not yet taken
	off int

	editing atomic.Int32 // number of edits
	mu      sync.Mutex
	edits   map[uint64]string // by command_id and sequence_number
}

// maxKept is how much is kept of what nobody takes: what a session that ends throws away.
const maxKept = 1 << 20

// Read reads and keeps.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	switch {
	case c.off == len(c.in):
		c.in, c.off = c.in[:0], 0
	case c.off > 0 && (c.off > maxKept/4 || len(c.in)+n > cap(c.in)):
		c.in = c.in[:copy(c.in, c.in[c.off:])]
		c.off = 0
	}
	if len(c.in)+n <= maxKept {
		c.in = append(c.in, p[:n]...)
	}
	return n, err
}

// take is the next n octets that were read, valid until the next Read.
func (c *conn) take(n int) []byte {
	n = min(n, len(c.in)-c.off)
	b := c.in[c.off : c.off+n]
	c.off += n
	return b
}

// edit announces that a response, which is to be written soon, is to be changed.
func (c *conn) edit(id pdu.CommandID, seq uint32, how string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.edits == nil {
		c.edits = make(map[uint64]string)
	}
	c.edits[editKey(id, seq)] = how
	c.editing.Store(int32(len(c.edits)))
}

func editKey(id pdu.CommandID, seq uint32) uint64 { return uint64(id)<<32 | uint64(seq) }

// Write writes PDUs, with the edits that are due.
func (c *conn) Write(p []byte) (int, error) {
	mute := c.mute()
	if c.editing.Load() == 0 && !mute {
		return c.Conn.Write(p)
	}
	out := make([]byte, 0, len(p)+64)
	for rest := p; len(rest) > 0; {
		n := len(rest)
		if n >= pdu.HeaderLen {
			n = min(n, int(binary.BigEndian.Uint32(rest)))
		}
		frame := rest[:n]
		rest = rest[n:]
		out = c.change(out, frame, mute)
	}
	if len(out) == 0 {
		return len(p), nil
	}
	if _, err := c.Conn.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}

// change appends a frame to out, edited if it is to be.
func (c *conn) change(out, frame []byte, mute bool) []byte {
	h, err := pdu.DecodeHeader(frame)
	if err != nil {
		return append(out, frame...)
	}
	if mute && h.ID == pdu.CmdEnquireLinkResp {
		return out
	}
	key := editKey(h.ID, h.Sequence)
	c.mu.Lock()
	how, ok := c.edits[key]
	if ok {
		delete(c.edits, key)
		c.editing.Store(int32(len(c.edits)))
	}
	c.mu.Unlock()
	if !ok {
		return append(out, frame...)
	}
	return deform(out, frame, how)
}

// CloseWrite says that nothing more will come, where the connection can.
func (c *conn) CloseWrite() error {
	if h, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return errors.New("connection cannot be closed by half")
}
