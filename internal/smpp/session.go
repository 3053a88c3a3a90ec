// Package smpp runs SMPP v3.4 sessions over a connection: bind states (§2.2, §2.3),
// a window of requests in flight, sequence numbers (§5.1.4) and the timers of §7.2, as the
// ESME that dials (Dial) and as the SMSC that is dialled (Server).
//
// It knows no messages: what a submit_sm means is up to the Handler, and which octets
// make a PDU up to package pdu. It does not reconnect.
//
//	s, _, err := smpp.Dial(ctx, "tcp", addr, smpp.DialConfig{Bind: b, Config: cfg})
//	wg.Go(func() { err = s.Run(ctx) })             // until unbind, error or ctx
//	resp, err := s.Do(ctx, &pdu.SubmitSM{...})      // from any goroutine
//	err = s.Shutdown(ctx)                           // drain, unbind, close; Run returns nil
//
// One odd PDU does not cost the session: a body that cannot be decoded is answered
// with the status that fits, an unknown command_id with generic_nack, a response that
// nobody waits for is counted. Only lost framing ends it.
package smpp

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"jasmind/internal/smpp/pdu"
)

const (
	readBuffer   = 16 << 10
	spareBuffer  = 64 << 10        // a read or write buffer that grew beyond is not kept
	flushTimeout = 5 * time.Second // for what is queued when the session ends politely
	lingerTime   = time.Second     // for the peer to close after us, so that it can read our last words
)

// Session is one SMPP session on one connection. All methods may be called from any
// goroutine; requests made before Run wait for it.
//
// mu guards what stands under it. It is never held over I/O or a callback.
type Session struct {
	conn  net.Conn
	role  Role
	cfg   Config
	log   *slog.Logger
	r     *bufio.Reader // the read loop's, before Run the binder's
	epoch time.Time     // instants are nanoseconds since then

	slots    chan struct{} // the window: one element per request in flight
	refuse   chan struct{} // closed when no more requests of ours are taken
	ending   chan struct{} // closed when the session is on its way out
	readDone chan struct{} // closed when the read loop has returned
	done     chan struct{} // closed when all has stopped
	poke     chan struct{} // wakes the keeper

	wg       sync.WaitGroup
	state    atomic.Uint32
	lastRecv atomic.Int64 // instant of the last PDU
	stats    counters
	calls    sync.Pool // of Do; one per session since a channel must not leave its synctest bubble

	mu         sync.Mutex
	started    bool // Run was called
	ended      bool // cause is set
	stopped    bool // nothing is written any more
	closing    bool // write what is queued, then close
	finished   bool // pending was failed for good
	refused    bool // refuse is closed
	cause      error
	systemID   string
	attachment any
	bindType   pdu.BindType

	out       []byte // encoded PDUs to be written
	spare     []byte // the buffer that was written last
	writing   int    // octets in the Write that is going on
	writerOff bool   // the write loop waits on wake
	wake      sync.Cond
	room      chan struct{} // closed when requests may be queued again; nil when nobody waits

	seq        uint32 // of the next request
	pending    map[uint32]*call
	first      *call // pending by deadline
	last       *call
	late       map[uint32]*call // whose response timer has run out, see Config.Late
	lates      []*call          // the same and some that were answered, the oldest first
	windowed   int              // pending that hold a slot
	inbound    int              // requests of the peer that we owe an answer
	refusing   bool
	quiet      chan struct{} // closed when windowed or inbound became 0; nil when nobody waits
	armed      int64         // when the keeper wakes
	enquiring  bool
	binding    bool
	bindTries  int
	unbindSent bool
	owesUnbind bool   // the peer's unbind waits for the answers that we owe
	unbindSeq  uint32 // its sequence number
	unbindBy   int64  // instant at which it is answered regardless
	parting    error  // why we unbind, when that is not our owner's wish
	partBy     int64  // instant at which the session ends regardless, meaningful with parting
	openOctets int    // received before the bind
}

// NewSession makes a session of an established connection; Run or Close must follow.
// As ESME, Bind comes first. As SMSC it waits for the peer's bind, see Config.Bind.
func NewSession(conn net.Conn, role Role, cfg Config) *Session {
	cfg = cfg.withDefaults(role)
	s := &Session{
		conn:     conn,
		role:     role,
		cfg:      cfg,
		log:      cfg.Logger,
		r:        bufio.NewReaderSize(conn, readBuffer),
		epoch:    time.Now(),
		slots:    make(chan struct{}, cfg.Window),
		refuse:   make(chan struct{}),
		ending:   make(chan struct{}),
		readDone: make(chan struct{}),
		done:     make(chan struct{}),
		poke:     make(chan struct{}, 1),
		seq:      cfg.FirstSequence,
		pending:  make(map[uint32]*call, min(cfg.Window, 1024)),
	}
	s.wake.L = &s.mu
	s.calls.New = func() any { return &call{wait: make(chan result, 1)} }
	return s
}

// Run owns the connection until the session has ended and nothing of it runs any more. It is
// called once. The result is nil after Unbind, Shutdown or Close(nil), ErrUnbound after the
// peer's unbind, the cause of ctx when that ended it, else what went wrong.
func (s *Session) Run(ctx context.Context) error {
	s.mu.Lock()
	if s.started {
		ended := s.ended
		s.mu.Unlock()
		if ended { // by Close, before it ran
			<-s.done
			return s.Err()
		}
		return errors.New("smpp: Run was called twice")
	}
	s.started = true
	s.mu.Unlock()

	aborted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(aborted)
		s.abort(context.Cause(ctx))
	})
	inner, cancel := context.WithCancelCause(ctx) // ends with the session, however that ends
	s.wg.Go(func() {
		defer close(s.readDone)
		s.guard(func() { s.readEnded(s.readLoop(inner)) })
	})
	s.wg.Go(func() { s.guard(s.writeLoop) })
	s.wg.Go(func() {
		s.guard(s.keepLoop)
		<-s.ending
		cancel(closedError(s.Err()))
	})
	s.wg.Wait()
	if !stop() {
		<-aborted
	}
	s.finish()
	return s.Err()
}

// guard ends the session when f panics, so that one session does not take the process down.
func (s *Session) guard(f func()) {
	defer func() {
		if v := recover(); v != nil {
			s.log.Error("session panicked", "err", v, "stack", string(debug.Stack()))
			s.abort(fmt.Errorf("smpp: panic: %v", v))
		}
	}()
	f()
}

// endLocked records why the session ends; the first cause counts. s.mu is held.
func (s *Session) endLocked(cause error) {
	if s.ended {
		return
	}
	s.ended = true
	s.cause = cmp.Or(s.parting, cause)
	close(s.ending)
}

// abort ends the session at once.
func (s *Session) abort(cause error) {
	s.mu.Lock()
	s.endLocked(cause)
	s.stopped = true
	s.out = nil
	s.wake.Signal()
	s.mu.Unlock()
	s.refuseNew()
	s.conn.Close() //nolint:errcheck // nothing is left to be told
}

// readEnded ends the session with the read loop, unless the write loop is about to do so.
func (s *Session) readEnded(err error) {
	s.mu.Lock()
	closing := s.closing
	s.mu.Unlock()
	if !closing {
		s.abort(err)
	}
}

// closeAfterFlush ends the session when all that is queued has been written.
func (s *Session) closeAfterFlush(cause error) {
	s.mu.Lock()
	s.endLocked(cause)
	s.closing = true
	started := s.started
	s.wake.Signal()
	s.mu.Unlock()
	s.refuseNew()
	if !started {
		s.Close(cause)
		return
	}
	s.conn.SetWriteDeadline(time.Now().Add(flushTimeout)) //nolint:errcheck // a broken connection shows in the write
}

// refuseNew wakes every waiting Do and lets no other in.
func (s *Session) refuseNew() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.refused {
		s.refused = true
		close(s.refuse)
	}
}

// finish fails what is pending and marks the session as closed.
func (s *Session) finish() {
	s.mu.Lock()
	if s.finished {
		s.mu.Unlock()
		return
	}
	s.finished = true
	failed := s.first
	s.first, s.last = nil, nil
	clear(s.pending)
	s.windowed, s.out, s.spare = 0, nil, nil
	err := closedError(s.cause)
	s.mu.Unlock()

	for c := failed; c != nil; {
		next := c.next
		s.settle(c, Response{}, err)
		c = next
	}
	s.setState(Closed)
	close(s.done)
}

// setState changes the state and tells who wants to know. Closed is for good.
func (s *Session) setState(to State) {
	for {
		from := s.State()
		if from == to || from == Closed {
			return
		}
		if s.state.CompareAndSwap(uint32(from), uint32(to)) {
			s.stateChanged(from, to)
			return
		}
	}
}

// stateChanged tells keeper, log and owner.
func (s *Session) stateChanged(from, to State) {
	s.log.Debug("session state", "from", from.String(), "to", to.String())
	s.poked()
	if s.cfg.OnStateChange != nil {
		s.cfg.OnStateChange(s, from, to)
	}
}

// Close ends the session at once; cause is what Run returns and what pending requests
// fail with, nil for an ordinary end. It does not wait.
func (s *Session) Close(cause error) {
	s.abort(cause)
	s.mu.Lock()
	started := s.started
	s.started = true
	s.mu.Unlock()
	if !started {
		close(s.readDone)
		s.finish()
	}
}

// now is the present instant.
func (s *Session) now() int64 { return int64(time.Since(s.epoch)) }

// State is the present state.
func (s *Session) State() State { return State(s.state.Load()) }

// Role is our side of the session.
func (s *Session) Role() Role { return s.role }

// BindType is the type of the bind, meaningful once bound.
func (s *Session) BindType() pdu.BindType {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bindType
}

// SystemID is the ESME's system_id as its bind gave it, "" before.
func (s *Session) SystemID() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.systemID
}

// Conn is the connection, which is the session's to read, write and close.
func (s *Session) Conn() net.Conn { return s.conn }

// RemoteAddr is the peer's address.
func (s *Session) RemoteAddr() net.Addr { return s.conn.RemoteAddr() }

// LocalAddr is our address.
func (s *Session) LocalAddr() net.Addr { return s.conn.LocalAddr() }

// Done is closed when the session has ended and every request was failed.
func (s *Session) Done() <-chan struct{} { return s.done }

// Err is why the session ended or is about to; nil before and after an ordinary end.
func (s *Session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cause
}

// InFlight is the number of our requests that hold a place in the window.
func (s *Session) InFlight() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.windowed
}

// Window is how many of our requests may be in flight.
func (s *Session) Window() int { return s.cfg.Window }

// Unanswered is the number of requests of the peer that the Handler has not answered.
func (s *Session) Unanswered() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inbound
}

// LastSequence is the sequence number of our last request, 0 before the first.
func (s *Session) LastSequence() uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seq == s.cfg.FirstSequence && s.stats.requests.Load() == 0 {
		return 0
	}
	if s.seq == 1 {
		return maxSequence
	}
	return s.seq - 1
}

// Attach keeps a value with the session, such as the account that Config.Bind found.
func (s *Session) Attach(v any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.attachment = v
}

// Attachment is what was attached last, nil if nothing was.
func (s *Session) Attachment() any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.attachment
}

// counters are the session's own.
type counters struct {
	pdusIn, pdusOut, octetsIn, octetsOut, writes atomic.Uint64
	requests, unknownResponses, malformed        atomic.Uint64
	enquireSent, enquireReceived, timeouts, late atomic.Uint64
}

// Stats are what a session has counted since it began.
type Stats struct {
	PDUsIn, PDUsOut     uint64
	OctetsIn, OctetsOut uint64
	Writes              uint64 // calls of Write, each with all PDUs that were queued
	Requests            uint64 // ours, enquire_link and unbind included
	UnknownResponses    uint64 // duplicate, too late, or never asked for
	Malformed           uint64 // bodies that could not be decoded, unknown operations
	EnquireSent         uint64 // enquire_link of ours
	EnquireReceived     uint64 // enquire_link of the peer
	Timeouts            uint64 // requests of ours without a response in time
	Late                uint64 // of which were answered after all, see Config.Late
}

// Stats is a snapshot of the counters.
func (s *Session) Stats() Stats {
	c := &s.stats
	return Stats{
		PDUsIn: c.pdusIn.Load(), PDUsOut: c.pdusOut.Load(),
		OctetsIn: c.octetsIn.Load(), OctetsOut: c.octetsOut.Load(),
		Writes: c.writes.Load(), Requests: c.requests.Load(),
		UnknownResponses: c.unknownResponses.Load(), Malformed: c.malformed.Load(),
		EnquireSent: c.enquireSent.Load(), EnquireReceived: c.enquireReceived.Load(),
		Timeouts: c.timeouts.Load(), Late: c.late.Load(),
	}
}

// halfCloser is a connection that can say that nothing more will come.
type halfCloser interface{ CloseWrite() error }

// linger ends a polite close: it tells the peer that we are through and gives it a
// moment to read and close, since closing with unread input would reset the
// connection and could destroy our last response on its way.
func (s *Session) linger() {
	if c, ok := s.conn.(halfCloser); ok && c.CloseWrite() == nil {
		t := time.NewTimer(lingerTime)
		defer t.Stop()
		select {
		case <-s.readDone:
		case <-t.C:
		}
	}
	s.abort(nil)
}

// discard reads what the peer still sends until it closes or the write loop does.
func (s *Session) discard() { io.Copy(io.Discard, s.r) } //nolint:errcheck // the end is what is waited for
