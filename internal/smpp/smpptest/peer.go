// Package smpptest is the other side of an SMPP session, for tests: a connection in memory
// (Pipe) that runs under testing/synctest, a scripted Peer that expects and sends PDUs one at a
// time, and a small SMSC that answers by itself.
//
// It shares nothing with package smpp but the PDUs, so that it cannot share its mistakes.
//
//	ours, theirs := smpptest.Pipe()
//	p := smpptest.NewPeer(t, theirs)
//	p.AcceptBind()
//	h, sm := smpptest.Expect[*pdu.SubmitSM](p)
//	p.Reply(h, pdu.StatusOK, &pdu.SubmitSMResp{MessageID: "1"})
package smpptest

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"jasmind/internal/smpp/pdu"
)

// Peer plays one side of a session by script. Whatever is not as expected fails the test
// at once, so its methods are called from the test's goroutine; Send, Reply and SendRaw alone
// may be called from others.
type Peer struct {
	t       testing.TB
	conn    net.Conn
	r       *bufio.Reader
	seq     atomic.Uint32
	timeout time.Duration
}

// patience is how long something is waited for before it counts as missing.
const patience = time.Minute

// NewPeer takes over a connection and closes it when the test ends. Each expectation has
// a minute, on the bubble's clock if there is one.
func NewPeer(t testing.TB, conn net.Conn) *Peer {
	t.Helper()
	t.Cleanup(func() { conn.Close() }) //nolint:errcheck // it may be closed already
	return &Peer{t: t, conn: conn, r: bufio.NewReader(conn), timeout: patience}
}

// Within sets the time for each expectation from now on.
func (p *Peer) Within(d time.Duration) *Peer {
	p.timeout = d
	return p
}

// Conn is the connection.
func (p *Peer) Conn() net.Conn { return p.conn }

// read reads a PDU without judging it.
func (p *Peer) read(d time.Duration) (pdu.Header, pdu.PDU, error) {
	if err := p.conn.SetReadDeadline(time.Now().Add(d)); err != nil {
		return pdu.Header{}, nil, err
	}
	frame, err := pdu.ReadFrame(p.r, nil, 0)
	if err != nil {
		return pdu.Header{}, nil, err
	}
	return pdu.Decode(frame)
}

// Read returns the next PDU.
func (p *Peer) Read() (pdu.Header, pdu.PDU) {
	p.t.Helper()
	h, q, err := p.read(p.timeout)
	if err != nil {
		p.t.Fatalf("smpptest: next PDU: %v", err)
	}
	return h, q
}

// Expect returns the next PDU, which is to be of type T. It is a function since Go has
// no generic methods.
func Expect[T pdu.PDU](p *Peer) (pdu.Header, T) {
	p.t.Helper()
	h, q := p.Read()
	got, ok := q.(T)
	if !ok {
		var want T
		p.t.Fatalf("smpptest: got %s (%s) seq %d, want a %T", h.ID, h.Status, h.Sequence, want)
	}
	return h, got
}

// ExpectHeader reads the next PDU, which is to have this command_id, command_status and sequence_number.
func (p *Peer) ExpectHeader(id pdu.CommandID, status pdu.Status, seq uint32) pdu.PDU {
	p.t.Helper()
	h, q := p.Read()
	if h.ID != id || h.Status != status || h.Sequence != seq {
		p.t.Fatalf("smpptest: got %s %s seq %d, want %s %s seq %d", h.ID, h.Status, h.Sequence, id, status, seq)
	}
	return q
}

// ExpectSilence fails the test if a PDU comes, or the connection ends, within d.
func (p *Peer) ExpectSilence(d time.Duration) {
	p.t.Helper()
	p.conn.SetReadDeadline(time.Now().Add(d)) //nolint:errcheck // shows in the read
	b, err := p.r.Peek(1)
	if err == nil {
		h, _ := p.Read()
		p.t.Fatalf("smpptest: got %s (%s) seq %d, want silence for %s (first octet %x)", h.ID, h.Status, h.Sequence, d, b)
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		p.t.Fatalf("smpptest: %v, want silence for %s", err, d)
	}
}

// ExpectClosed fails the test unless the other side closes without a further PDU.
func (p *Peer) ExpectClosed() {
	p.t.Helper()
	h, _, err := p.read(p.timeout)
	var de *pdu.DecodeError
	switch {
	case err == nil, errors.As(err, &de):
		p.t.Fatalf("smpptest: got %s (%s) seq %d, want the connection closed", h.ID, h.Status, h.Sequence)
	case errors.Is(err, os.ErrDeadlineExceeded):
		p.t.Fatalf("smpptest: connection still open after %s", p.timeout)
	}
}

// Send sends a request with the next sequence number and returns that.
func (p *Peer) Send(q pdu.PDU) uint32 {
	p.t.Helper()
	seq := p.seq.Add(1)
	p.SendAs(pdu.StatusOK, seq, q)
	return seq
}

// Reply answers the request that had header h.
func (p *Peer) Reply(h pdu.Header, status pdu.Status, q pdu.PDU) {
	p.t.Helper()
	p.SendAs(status, h.Sequence, q)
}

// SendAs sends a PDU with a status and a sequence number of the script's choice.
func (p *Peer) SendAs(status pdu.Status, seq uint32, q pdu.PDU) {
	p.t.Helper()
	frame, err := pdu.Append(nil, status, seq, q)
	if err != nil {
		p.t.Errorf("smpptest: encode: %v", err)
		return
	}
	p.SendRaw(frame)
}

// SendRaw sends octets as they are.
func (p *Peer) SendRaw(b []byte) {
	p.t.Helper()
	if err := p.conn.SetWriteDeadline(time.Now().Add(p.timeout)); err != nil {
		p.t.Errorf("smpptest: %v", err)
		return
	}
	if _, err := p.conn.Write(b); err != nil {
		p.t.Errorf("smpptest: send %s: %v", hex.EncodeToString(b), err)
	}
}

// Close closes the connection.
func (p *Peer) Close() {
	p.t.Helper()
	if err := p.conn.Close(); err != nil {
		p.t.Errorf("smpptest: close: %v", err)
	}
}

// AcceptBind plays the SMSC: it expects a bind and accepts it.
func (p *Peer) AcceptBind() *pdu.Bind {
	p.t.Helper()
	h, b := Expect[*pdu.Bind](p)
	p.Reply(h, pdu.StatusOK, &pdu.BindResp{Type: b.Type, SystemID: "smpptest"})
	return b
}

// Bind plays the ESME: it binds and expects to be accepted.
func (p *Peer) Bind(b pdu.Bind) *pdu.BindResp {
	p.t.Helper()
	seq := p.Send(&b)
	h, resp := Expect[*pdu.BindResp](p)
	if h.Status != pdu.StatusOK || h.Sequence != seq {
		p.t.Fatalf("smpptest: got %s %s seq %d, want ESME_ROK seq %d", h.ID, h.Status, h.Sequence, seq)
	}
	return resp
}

// AnswerUnbind expects unbind, answers and expects the connection to be closed.
func (p *Peer) AnswerUnbind() {
	p.t.Helper()
	h, _ := Expect[*pdu.Unbind](p)
	p.Reply(h, pdu.StatusOK, &pdu.UnbindResp{})
	p.ExpectClosed()
}

// Raw builds a PDU of any header, right or wrong: length 0 means the true one.
func Raw(length uint32, id pdu.CommandID, status pdu.Status, seq uint32, body ...byte) []byte {
	if length == 0 {
		length = uint32(pdu.HeaderLen + len(body))
	}
	b := make([]byte, 0, pdu.HeaderLen+len(body))
	for _, v := range []uint32{length, uint32(id), uint32(status), seq} {
		b = append(b, byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
	}
	return append(b, body...)
}

// describe names a PDU in errors.
func describe(h pdu.Header) string { return fmt.Sprintf("%s %s seq %d", h.ID, h.Status, h.Sequence) }

// ended reports whether an error is just the end of a connection.
func ended(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrClosedPipe) || errors.Is(err, io.ErrUnexpectedEOF)
}
