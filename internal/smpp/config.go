package smpp

import (
	"context"
	"log/slog"
	"time"

	"jasmind/internal/smpp/pdu"
)

// Role says which side of the protocol a session plays.
type Role uint8

// The two sides (SMPP v3.4 §2.2).
const (
	ESME Role = iota // binds, submits: our connector
	SMSC             // is bound to, delivers: our server
)

// String is the specification's word.
func (r Role) String() string {
	if r == SMSC {
		return "SMSC"
	}
	return "ESME"
}

// Direction tells what was read from what was written.
type Direction uint8

// The directions a PDU can take, seen from here.
const (
	In Direction = iota
	Out
)

// String is "in" or "out".
func (d Direction) String() string {
	if d == Out {
		return "out"
	}
	return "in"
}

// Handler serves the requests of the peer.
type Handler interface {
	// ServeSMPP is called by the read loop, in order of arrival, for every request but
	// bind, unbind and enquire_link, which the session answers itself. It must not block:
	// it keeps r, and the answer comes from any goroutine by r.Respond.
	ServeSMPP(s *Session, r *Request)
}

// HandlerFunc makes a Handler of a function.
type HandlerFunc func(s *Session, r *Request)

// ServeSMPP calls f.
func (f HandlerFunc) ServeSMPP(s *Session, r *Request) { f(s, r) }

// Config holds what both kinds of session need. Zero means the default, and so does a negative
// number; a negative duration switches its timer off. Callbacks may be nil; they must not block and, but for
// Bind, must not wait for the session.
type Config struct {
	Window        int // our requests awaiting a response; default 10
	InboundWindow int // requests of the peer awaiting our answer; more are refused as throttled; default 1000

	EnquireLink time.Duration // nothing received for so long: enquire_link is sent; default 30s
	Inactivity  time.Duration // nothing received for so long: the session unbinds and ends; default 300s
	Response    time.Duration // how long each request of ours waits for its response; default 60s
	// Late is how long after its response timer a response to a Send is still told (Response.Late), as long as the
	// session lasts; default: not at all. The last 4096 such requests are remembered.
	Late        time.Duration
	SessionInit time.Duration // from the connection to the end of the bind; default 30s
	PDURead     time.Duration // from the first octet of a PDU to its last; default 10s

	MaxPDU         uint32 // largest command_length accepted once bound; default pdu.DefaultMaxLength
	MaxUnboundPDU  uint32 // the same before the bind; default 1024
	MaxWriteBuffer int    // octets waiting for a peer that does not read; default 4 MiB
	FirstSequence  uint32 // of our requests; default 1 as ESME, 0x40000000 as SMSC
	MaxBindTries   int    // as SMSC: refused binds until the session ends; default 3

	Handler Handler      // requests of the peer; nil refuses them with ESME_RINVCMDID
	Logger  *slog.Logger // nil logs nothing

	// Bind authenticates a bind, as SMSC; nil refuses all with ESME_RBINDFAIL. It runs in a
	// goroutine of its own, at most one per session, and may take its time until ctx
	// ends with the session. A nil response stands for one with the peer's system_id or, in a
	// refusal, for none but the header (§4.1.2), which gosmpp cannot read, so that a refusal may
	// have a body too. A refused bind leaves the connection open for another try.
	Bind func(ctx context.Context, s *Session, b *pdu.Bind) (pdu.Status, *pdu.BindResp)

	// OnStateChange is called after each change. The bind response precedes on the wire
	// whatever it sends; requests of the peer may reach Handler while it still runs.
	OnStateChange func(s *Session, from, to State)

	// Trace sees every PDU after it was decoded or queued for writing; counters can be fed
	// here too. p is nil when a body could not be decoded, and must not be changed. Passwords are not masked.
	Trace func(dir Direction, h pdu.Header, p pdu.PDU)
}

// serverSequence is where the requests of our server start: widespread clients key
// their in-flight map by sequence number alone and would take a deliver_sm for a
// submit_sm_resp if both sides counted from 1.
const serverSequence = 0x40000000

// maxSequence is the largest sequence_number (SMPP v3.4 §5.1.4).
const maxSequence = 0x7FFFFFFF

// withDefaults fills what was left zero. Timers that are off become zero.
func (c Config) withDefaults(role Role) Config {
	positive := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	timer := func(v *time.Duration, d time.Duration) {
		switch {
		case *v == 0:
			*v = d
		case *v < 0:
			*v = 0
		}
	}
	positive(&c.Window, 10)
	positive(&c.InboundWindow, 1000)
	positive(&c.MaxWriteBuffer, 4<<20)
	positive(&c.MaxBindTries, 3)
	timer(&c.EnquireLink, 30*time.Second)
	timer(&c.Inactivity, 300*time.Second)
	timer(&c.Response, 60*time.Second)
	c.Late = max(c.Late, 0)
	timer(&c.SessionInit, 30*time.Second)
	timer(&c.PDURead, 10*time.Second)
	if c.MaxPDU == 0 {
		c.MaxPDU = pdu.DefaultMaxLength
	}
	if c.MaxUnboundPDU == 0 {
		c.MaxUnboundPDU = 1024
	}
	if c.FirstSequence == 0 || c.FirstSequence > maxSequence {
		c.FirstSequence = 1
		if role == SMSC {
			c.FirstSequence = serverSequence
		}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}
