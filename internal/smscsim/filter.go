package smscsim

import (
	"context"
	"errors"
	"strings"
	"time"

	"jasmind/internal/smstext"
)

// Filter chooses messages. What is left zero chooses all.
type Filter struct {
	To        string    // destination_addr; a * at its end stands for any rest
	From      string    // source_addr, likewise
	Text      string    // contained in the decoded text
	Account   string    // system_id
	Session   uint64    // number of the session
	Operation string    // submit_sm, submit_multi or data_sm
	Status    string    // name of the command_status that it was answered with
	Since     time.Time // arrived then or later
	After     uint64    // N is larger
	Joined    bool      // long messages whole, when all their parts are there; To and the rest are those of the first part
}

// ErrStopped is what waiting ends with when the simulator stops.
var ErrStopped = errors.New("smscsim: stopped")

// scanner matches records one after the other.
type scanner struct {
	f       Filter
	d       decoder
	pending map[longKey]*longMessage // incomplete ones, when joining
}

// longKey tells long messages apart (3GPP TS 23.040 §9.2.3.24.1).
type longKey struct {
	account, from, to string
	ref               uint16
	total, bits       uint8
}

type longMessage struct {
	parts    []*Message // by sequence number
	segments []smstext.Segment
	missing  int
}

// maxPending bounds the incomplete messages that a scanner remembers.
const maxPending = 100_000

func (f Filter) scanner() *scanner {
	return &scanner{f: f, pending: make(map[longKey]*longMessage)}
}

// take looks at the next record; ok if it is, or completes, a message that was asked for.
func (s *scanner) take(r *record) (m Message, ok bool) {
	if !s.feed(r) {
		return Message{}, false
	}
	if s.f.Joined {
		m, ok = s.join(r)
		return m, ok && s.matchesText(m.Text)
	}
	m = s.d.message(r)
	return m, s.matchesText(m.Text)
}

// count is take for those who want no more than the number.
func (s *scanner) count(r *record) bool {
	if s.f.Joined || s.f.Text != "" {
		_, ok := s.take(r)
		return ok
	}
	return s.feed(r)
}

func (s *scanner) matchesText(text string) bool {
	return s.f.Text == "" || strings.Contains(text, s.f.Text)
}

// feed checks all but the text.
func (s *scanner) feed(r *record) bool {
	f := &s.f
	if r.n <= f.After ||
		f.Account != "" && f.Account != r.account ||
		f.Session != 0 && f.Session != r.session ||
		f.Status != "" && f.Status != r.status.String() ||
		!f.Since.IsZero() && timeOf(r.at).Before(f.Since) {
		return false
	}
	if f.To == "" && f.From == "" && f.Operation == "" {
		return true
	}
	m, err := s.d.read(r)
	return err == nil &&
		matchAddress(f.To, m.Dest.Addr) &&
		matchAddress(f.From, m.Source.Addr) &&
		(f.Operation == "" || f.Operation == s.d.header.ID.String())
}

func matchAddress(want, addr string) bool {
	if start, ok := strings.CutSuffix(want, "*"); ok {
		return strings.HasPrefix(addr, start)
	}
	return want == "" || want == addr
}

// join puts a part to its message; ok when that is whole. A repeated part replaces the
// one before; a refused part is none.
func (s *scanner) join(r *record) (Message, bool) {
	m := s.d.message(r)
	if m.Part == nil || m.Part.Total < 2 {
		return m, true
	}
	if r.status != 0 {
		return m, false
	}
	body, err := s.d.read(r)
	if err != nil {
		return m, false
	}
	// The segment outlives the decoder's memory only because it points into r.raw.
	seg, _ := smstext.ReadSegment(userData(body), body.ESMClass, body.TLVs) // it was read before
	key := longKey{m.Account, m.From, m.To, seg.Concat.Ref, seg.Concat.Total, seg.Concat.Bits}
	long := s.pending[key]
	if long == nil {
		if len(s.pending) >= maxPending {
			return m, false
		}
		total := int(seg.Concat.Total)
		long = &longMessage{parts: make([]*Message, total), segments: make([]smstext.Segment, total), missing: total}
		s.pending[key] = long
	}
	i := seg.Concat.Seq - 1
	if long.parts[i] == nil {
		long.missing--
	}
	long.parts[i], long.segments[i] = &m, seg
	if long.missing > 0 {
		return m, false
	}
	delete(s.pending, key)
	whole := *long.parts[0]
	if text, err := smstext.JoinText(long.segments, body.DataCoding); err == nil {
		whole.Text = text
	}
	for _, p := range long.parts {
		whole.Parts = append(whole.Parts, *p)
	}
	return whole, true
}

// Messages are those kept that match, oldest first.
func (sim *Simulator) Messages(f Filter) []Message {
	list, _, _ := sim.list(f, 0, 0)
	return list
}

// list is up to limit (0: all) of the matching messages, from after offset of them; next is
// the number to give Filter.After to go on, more whether there is any.
func (sim *Simulator) list(f Filter, offset, limit int) (found []Message, next uint64, more bool) {
	s := f.scanner()
	sim.store.each(f.After+1, func(r *record) bool {
		m, ok := s.take(r)
		if !ok {
			return true
		}
		if offset > 0 {
			offset--
			return true
		}
		if limit > 0 && len(found) == limit {
			more = true
			return false
		}
		found = append(found, m)
		next = r.n
		return true
	})
	return found, next, more
}

// Count is the number of messages kept that match.
func (sim *Simulator) Count(f Filter) int {
	s, n := f.scanner(), 0
	sim.store.each(f.After+1, func(r *record) bool {
		if s.count(r) {
			n++
		}
		return true
	})
	return n
}

// Wait returns the first n messages that match, those already there included, as soon as
// there are so many. When ctx ends first it returns those found so far and the cause of ctx; ErrStopped
// when the simulator stops.
func (sim *Simulator) Wait(ctx context.Context, n int, f Filter) ([]Message, error) {
	s := f.scanner()
	var found []Message
	next := f.After + 1
	for {
		next = sim.store.each(next, func(r *record) bool {
			if m, ok := s.take(r); ok && len(found) < n {
				found = append(found, m)
			}
			return len(found) < n
		})
		if len(found) >= n {
			return found, nil
		}
		select {
		case <-sim.store.watch(next):
		case <-ctx.Done():
			return found, context.Cause(ctx)
		case <-sim.stopping:
			return found, ErrStopped
		}
	}
}

// Message is the message with a message_id, the first of them for a submit_multi. A part
// of a long message comes with the others in Parts, as far as they are there, and with
// their text joined if they all are.
func (sim *Simulator) Message(id string) (Message, bool) {
	n, ok := sim.store.find(id)
	if !ok {
		return Message{}, false
	}
	return sim.MessageN(n)
}

// MessageN is Message by the number N.
func (sim *Simulator) MessageN(n uint64) (Message, bool) {
	r, ok := sim.store.get(n)
	if !ok {
		return Message{}, false
	}
	var d decoder
	m := d.message(&r)
	if m.Part == nil || m.Part.Total < 2 {
		return m, true
	}
	found := Filter{Account: m.Account, From: m.From, To: m.To, Joined: true}.scanner()
	var whole Message
	complete := false
	sim.store.each(1, func(r *record) bool {
		w, ok := found.take(r)
		if ok {
			for _, p := range w.Parts {
				complete = complete || p.N == m.N
			}
			whole = w
		}
		return !complete
	})
	if complete {
		m.Text, m.Parts = whole.Text, whole.Parts
		return m, true
	}
	for _, long := range found.pending {
		held := false
		for _, p := range long.parts {
			held = held || p != nil && p.N == m.N
		}
		for _, p := range long.parts {
			if held && p != nil {
				m.Parts = append(m.Parts, *p)
			}
		}
	}
	return m, true
}
