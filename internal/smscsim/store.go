package smscsim

import (
	"sync"
	"time"

	"jasmind/internal/smpp/pdu"
)

// record is one submission as it is kept: the PDU's octets and what they do not say. A
// submit_multi has one for each destination.
type record struct {
	n           uint64 // from 1, in order of arrival
	raw         []byte // never changed
	id          string
	account     string
	session     uint64
	at          int64 // Unix nanoseconds
	finalAt     int64 // when the message leaves the state ENROUTE
	replacement []byte
	status      pdu.Status
	dest        uint8 // of a submit_multi: which of its destinations
	state       pdu.MessageState
	errCode     uint8
	unanswered  bool // the rules say that no response comes
	replaced    bool
}

// stateAt is the message's state at an instant.
func (r *record) stateAt(now int64) pdu.MessageState {
	switch {
	case r.status != pdu.StatusOK:
		return pdu.StateRejected
	case now < r.finalAt:
		return pdu.StateEnroute
	}
	return r.state
}

const (
	slabSize       = 64 << 10
	recordOverhead = 256     // what a record costs beside its octets
	scanBatch      = 256     // records copied under one lock
	firstRing      = 1 << 10 // records
)

// store keeps the last submissions. Old ones go when there are too many or too many octets.
//
// mu guards what stands under it.
type store struct {
	maxRecords, maxOctets int

	mu      sync.Mutex
	ring    []record // the record n stands at n % len
	first   uint64   // oldest n that is kept
	next    uint64   // n of the record to come
	octets  int
	evicted uint64
	byID    map[string]uint64 // the first record with an id
	slab    []byte            // room for raw octets
	changed chan struct{}     // closed by the next add; nil when nobody waits
}

func newStore(maxRecords, maxOctets int) *store {
	s := &store{maxRecords: maxRecords, maxOctets: maxOctets, next: 1}
	s.clear()
	return s
}

// clear forgets all records; numbers go on.
func (s *store) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ring = make([]record, min(firstRing, s.maxRecords))
	s.first = s.next
	s.octets, s.evicted = 0, 0
	s.byID = make(map[string]uint64)
	s.slab = nil
}

// add keeps a record with a copy of frame and gives it its number.
func (s *store) add(r record, frame []byte) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(frame) > cap(s.slab)-len(s.slab) {
		s.slab = make([]byte, 0, max(slabSize, len(frame)))
	}
	start := len(s.slab)
	s.slab = append(s.slab, frame...)
	r.raw = s.slab[start:len(s.slab):len(s.slab)]
	r.n = s.next
	s.next++
	for s.first < r.n && (r.n-s.first >= uint64(s.maxRecords) || s.octets > s.maxOctets) {
		s.evict()
	}
	if r.n-s.first >= uint64(len(s.ring)) {
		s.grow()
	}
	s.ring[r.n%uint64(len(s.ring))] = r
	s.octets += len(frame) + recordOverhead
	if r.id != "" {
		if _, ok := s.byID[r.id]; !ok {
			s.byID[r.id] = r.n
		}
	}
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
	return r.n
}

// evict forgets the oldest record. s.mu is held.
func (s *store) evict() {
	r := s.at(s.first)
	if s.byID[r.id] == r.n {
		delete(s.byID, r.id)
	}
	s.octets -= len(r.raw) + recordOverhead
	*r = record{}
	s.first++
	s.evicted++
}

// grow makes the ring larger. s.mu is held.
func (s *store) grow() {
	ring := make([]record, min(2*len(s.ring), s.maxRecords))
	for n := s.first; n < s.next-1; n++ {
		ring[n%uint64(len(ring))] = *s.at(n)
	}
	s.ring = ring
}

// at is where a record stands. s.mu is held.
func (s *store) at(n uint64) *record { return &s.ring[n%uint64(len(s.ring))] }

// get is the record with a number, if it is kept.
func (s *store) get(n uint64) (record, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n < s.first || n >= s.next {
		return record{}, false
	}
	return *s.at(n), true
}

// find is the number of the first record with an id, if it is kept.
func (s *store) find(id string) (uint64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, ok := s.byID[id]
	return n, ok
}

// update changes a record in place, if it is kept; f reports whether it did.
func (s *store) update(n uint64, f func(*record) bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n < s.first || n >= s.next {
		return false
	}
	return f(s.at(n))
}

// batch copies records from n on to buf, and says where to go on. Those that are gone
// are skipped.
func (s *store) batch(buf []record, n uint64) (got []record, next uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n = max(n, s.first)
	end := min(s.next, n+uint64(cap(buf)))
	for ; n < end; n++ {
		buf = append(buf, *s.at(n))
	}
	return buf, n
}

// each calls f for the records from n on until it returns false, and says where
// to go on. f may take its time: no lock is held.
func (s *store) each(n uint64, f func(*record) bool) (next uint64) {
	buf := make([]record, 0, scanBatch)
	for {
		var got []record
		got, n = s.batch(buf[:0], n)
		if len(got) == 0 {
			return n
		}
		for i := range got {
			if !f(&got[i]) {
				return got[i].n + 1
			}
		}
	}
}

// watch is closed when a record comes that stands at n or behind.
func (s *store) watch(n uint64) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next > n {
		done := make(chan struct{})
		close(done)
		return done
	}
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	return s.changed
}

// size is how much is kept and how much was forgotten.
func (s *store) size() (records int, octets int, evicted uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int(s.next - s.first), s.octets, s.evicted
}

// timeOf is an instant as people want it.
func timeOf(unixNano int64) time.Time { return time.Unix(0, unixNano) }
