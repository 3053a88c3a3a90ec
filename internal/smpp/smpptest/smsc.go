package smpptest

import (
	"bufio"
	"fmt"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"jasmind/internal/smpp/pdu"
)

// SMSC is a small SMSC that answers by itself: it accepts every bind (or those that Account
// allows), numbers the messages from 1 and keeps them in order of arrival.
//
// Fields are set before the first connection. mu guards what stands under it.
type SMSC struct {
	// Account says how to answer a bind; nil accepts all.
	Account func(b *pdu.Bind) pdu.Status
	// Answer says how to answer a request other than bind, unbind and enquire_link. A nil PDU
	// means no answer at all. A nil Answer accepts submit_sm and data_sm with a number as message_id.
	Answer func(h pdu.Header, p pdu.PDU) (pdu.Status, pdu.PDU)

	t  testing.TB
	wg sync.WaitGroup

	mu       sync.Mutex
	changed  chan struct{} // closed and replaced at each arrival
	messages []pdu.PDU
	answers  []pdu.PDU
	conns    map[net.Conn]bool // with whether it is bound
	seq      uint32
	lastID   int
	closed   bool
	listener net.Listener
}

// NewSMSC makes an SMSC that stops when the test ends.
func NewSMSC(t testing.TB) *SMSC {
	t.Helper()
	s := &SMSC{t: t, changed: make(chan struct{}), conns: make(map[net.Conn]bool), seq: 0x40000000}
	t.Cleanup(s.Close)
	return s
}

// Connect is a new connection in memory to the SMSC.
func (s *SMSC) Connect() net.Conn {
	ours, theirs := Pipe()
	s.serve(theirs)
	return ours
}

// Listen opens a port of the loopback and returns its address.
func (s *SMSC) Listen() string {
	s.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatalf("smpptest: %v", err)
	}
	s.mu.Lock()
	s.listener = l
	s.mu.Unlock()
	s.wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.serve(conn)
		}
	})
	return l.Addr().String()
}

// Close closes everything and waits until nothing of it runs.
func (s *SMSC) Close() {
	s.mu.Lock()
	s.closed = true
	if s.listener != nil {
		s.listener.Close() //nolint:errcheck // the test is over
	}
	for conn := range s.conns {
		conn.Close() //nolint:errcheck // the test is over
	}
	s.mu.Unlock()
	s.wg.Wait()
}

// Drop closes all connections without a word, as a crash would.
func (s *SMSC) Drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.conns {
		conn.Close() //nolint:errcheck // that is the purpose
	}
}

// Bound is how many sessions are bound.
func (s *SMSC) Bound() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, bound := range s.conns {
		if bound {
			n++
		}
	}
	return n
}

// Messages are the requests that Answer has seen, in order of arrival.
func (s *SMSC) Messages() []pdu.PDU {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]pdu.PDU(nil), s.messages...)
}

// Await waits, up to a minute, until n messages have arrived.
func (s *SMSC) Await(n int) []pdu.PDU {
	s.t.Helper()
	return s.await(n, "messages", func() []pdu.PDU { return s.messages })
}

// AwaitAnswers waits, up to a minute, for n responses to what Deliver sent.
func (s *SMSC) AwaitAnswers(n int) []pdu.PDU {
	s.t.Helper()
	return s.await(n, "answers", func() []pdu.PDU { return s.answers })
}

// await waits until a list, read with s.mu held, has n elements.
func (s *SMSC) await(n int, what string, list func() []pdu.PDU) []pdu.PDU {
	s.t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		s.mu.Lock()
		got, changed := list(), s.changed
		s.mu.Unlock()
		if len(got) >= n {
			return append([]pdu.PDU(nil), got...)
		}
		select {
		case <-changed:
		case <-limit.C:
			s.t.Fatalf("smpptest: %d of %d %s arrived", len(got), n, what)
		}
	}
}

// Deliver sends a request, such as deliver_sm, to every bound session and returns its sequence number.
func (s *SMSC) Deliver(p pdu.PDU) (uint32, error) {
	s.mu.Lock()
	seq := s.seq
	s.seq++
	var conns []net.Conn
	for conn, bound := range s.conns {
		if bound {
			conns = append(conns, conn)
		}
	}
	s.mu.Unlock()
	if len(conns) == 0 {
		return 0, fmt.Errorf("smpptest: no bound session")
	}
	frame, err := pdu.Append(nil, pdu.StatusOK, seq, p)
	if err != nil {
		return 0, err
	}
	for _, conn := range conns {
		if _, err := conn.Write(frame); err != nil {
			return 0, err
		}
	}
	return seq, nil
}

// serve runs a connection.
func (s *SMSC) serve(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		conn.Close() //nolint:errcheck // too late
		return
	}
	s.conns[conn] = false
	s.wg.Go(func() {
		defer func() {
			s.mu.Lock()
			delete(s.conns, conn)
			s.mu.Unlock()
			conn.Close() //nolint:errcheck // it may be closed already
		}()
		if err := s.loop(conn); err != nil && !ended(err) {
			s.t.Logf("smpptest: SMSC connection: %v", err)
		}
	})
}

// loop answers until the connection ends or unbind was answered.
func (s *SMSC) loop(conn net.Conn) error {
	r := bufio.NewReader(conn)
	var in, out []byte
	for {
		frame, err := pdu.ReadFrame(r, in, 0)
		if err != nil {
			return err
		}
		in = frame
		h, p, err := pdu.Decode(frame)
		if err != nil {
			return fmt.Errorf("%s: %w", describe(h), err)
		}
		if h.ID.IsResponse() {
			s.answered(p)
			continue
		}
		status, resp := s.answer(conn, h, p)
		if resp == nil {
			continue
		}
		if out, err = pdu.Append(out[:0], status, h.Sequence, resp); err != nil {
			return err
		}
		if _, err := conn.Write(out); err != nil {
			return err
		}
		if h.ID == pdu.CmdUnbind {
			return nil
		}
	}
}

// answer decides on one request.
func (s *SMSC) answer(conn net.Conn, h pdu.Header, p pdu.PDU) (pdu.Status, pdu.PDU) {
	switch q := p.(type) {
	case *pdu.Bind:
		if s.Account != nil {
			if status := s.Account(q); status != pdu.StatusOK {
				return status, pdu.NewResponse(q)
			}
		}
		s.mu.Lock()
		s.conns[conn] = true
		s.mu.Unlock()
		return pdu.StatusOK, &pdu.BindResp{Type: q.Type, SystemID: "smpptest"}
	case *pdu.Unbind, *pdu.EnquireLink:
		return pdu.StatusOK, pdu.NewResponse(q)
	}
	id := s.arrived(p)
	if s.Answer != nil {
		return s.Answer(h, p)
	}
	switch p.(type) {
	case *pdu.SubmitSM:
		return pdu.StatusOK, &pdu.SubmitSMResp{MessageID: strconv.Itoa(id)}
	case *pdu.DataSM:
		return pdu.StatusOK, &pdu.DataSMResp{MessageID: strconv.Itoa(id)}
	}
	return pdu.StatusInvCmdID, &pdu.GenericNack{}
}

// answered keeps a response to Deliver.
func (s *SMSC) answered(p pdu.PDU) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers = append(s.answers, p)
	s.signalLocked()
}

// signalLocked wakes those who await. s.mu is held.
func (s *SMSC) signalLocked() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// arrived keeps a request and numbers it.
func (s *SMSC) arrived(p pdu.PDU) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages = append(s.messages, p)
	s.lastID++
	s.signalLocked()
	return s.lastID
}
