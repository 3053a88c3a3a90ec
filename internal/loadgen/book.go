package loadgen

import (
	"hash/maphash"
	"sync"
	"time"
)

// book pairs accepted messages with their delivery reports by message id, in either order, since a
// report may overtake the answer that tells the id. It keeps 16 octets per id in open
// hash tables, by a 64-bit hash: a mistake is unlikely even among a hundred million ids.
type book struct {
	seed   maphash.Seed
	start  time.Time
	shards [64]bookShard

	first, final histogram // from the due time of the message
}

type bookShard struct {
	mu      sync.Mutex
	entries []bookEntry // a power of two, at most 3/4 full
	used    int
	stats   bookStats
}

// bookEntry: meta holds the flags in its low 8 bits and above them microseconds since the start: when the message was
// due, or, while that is not known, when its first report came. Hash 0 marks a free entry.
type bookEntry struct{ hash, meta uint64 }

const (
	entryAccepted = 1 << iota
	entryFirst
	entryFinal
	flagBits = 8
)

// stage is what a report is about.
type stage uint8

const (
	stageFirst        stage = iota // level 1: the SMSC has answered
	stageFinal                     // level 2: the message has reached its last state
	stageIntermediate              // enroute or so: counted, expected by nobody
)

// bookStats counts reports. Unknown ones are those whose id was never accepted.
type bookStats struct {
	accepted            int64 // ids
	first, firstAgain   int64 // ids with a level-1 report; further ones
	final, finalAgain   int64
	intermediate        int64
	unknownFirst        int64 // of first, so far without an accepted id
	unknownFinal        int64
	notRecorded, strays int64 // table full; reports without an id
}

// maxBookShard bounds a shard: 64 shards of 4M entries are a quarter of a billion ids, 4 GB.
const maxBookShard = 4 << 20

// newBook makes a book for about so many ids.
func newBook(expect int, start time.Time) *book {
	b := &book{seed: maphash.MakeSeed(), start: start}
	size := 64
	for size*3/4 < expect/len(b.shards)*11/10 && size < maxBookShard {
		size *= 2
	}
	for i := range b.shards {
		b.shards[i].entries = make([]bookEntry, size)
	}
	return b
}

func (b *book) micros(t time.Time) uint64 { return uint64(max(t.Sub(b.start), 0) / time.Microsecond) }

// find gives the entry of an id, a new one if need be; nil when the table is full. The shard is locked.
func (s *bookShard) find(hash uint64) *bookEntry {
	if s.used >= len(s.entries)*3/4 {
		if len(s.entries) >= maxBookShard {
			s.stats.notRecorded++
			return nil
		}
		old := s.entries
		s.entries = make([]bookEntry, 2*len(old))
		for _, e := range old {
			if e.hash != 0 {
				*s.probe(e.hash) = e
			}
		}
	}
	e := s.probe(hash)
	if e.hash == 0 {
		e.hash = hash
		s.used++
	}
	return e
}

// probe finds the place of a hash. The low bits choose the shard, so the table uses the high ones.
func (s *bookShard) probe(hash uint64) *bookEntry {
	mask := uint64(len(s.entries) - 1)
	for i := hash >> 32; ; i++ {
		if e := &s.entries[i&mask]; e.hash == hash || e.hash == 0 {
			return e
		}
	}
}

func (b *book) shard(hash uint64) *bookShard { return &b.shards[hash%uint64(len(b.shards))] }

// accepted notes an id and when its message was due.
func (b *book) accepted(id string, due time.Time) {
	hash := max(maphash.String(b.seed, id), 1)
	s := b.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.find(hash)
	if e == nil || e.meta&entryAccepted != 0 {
		return
	}
	s.stats.accepted++
	at := b.micros(due)
	if e.meta&(entryFirst|entryFinal) != 0 { // the report was faster than the answer
		lat := time.Duration(int64(e.meta>>flagBits)-int64(at)) * time.Microsecond
		if e.meta&entryFirst != 0 {
			s.stats.unknownFirst--
			b.first.record(int(hash), lat)
		}
		if e.meta&entryFinal != 0 {
			s.stats.unknownFinal--
			b.final.record(int(hash), lat)
		}
	}
	e.meta = at<<flagBits | e.meta&(1<<flagBits-1) | entryAccepted
}

// reported notes a report.
func (b *book) reported(id string, st stage, now time.Time) {
	hash := max(maphash.String(b.seed, id), 1)
	s := b.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	if id == "" {
		s.stats.strays++
		return
	}
	flag, count, again, unknown, hist := uint64(entryFirst), &s.stats.first, &s.stats.firstAgain, &s.stats.unknownFirst, &b.first
	switch st {
	case stageIntermediate:
		s.stats.intermediate++
		return
	case stageFinal:
		flag, count, again, unknown, hist = entryFinal, &s.stats.final, &s.stats.finalAgain, &s.stats.unknownFinal, &b.final
	}
	e := s.find(hash)
	if e == nil {
		return
	}
	if e.meta&flag != 0 {
		*again++
		return
	}
	*count++
	at := b.micros(now)
	switch {
	case e.meta&entryAccepted != 0:
		hist.record(int(hash), time.Duration(int64(at)-int64(e.meta>>flagBits))*time.Microsecond)
	case e.meta == 0:
		e.meta = at << flagBits
		fallthrough
	default:
		*unknown++
	}
	e.meta |= flag
}

// stats sums up.
func (b *book) stats() bookStats {
	var sum bookStats
	for i := range b.shards {
		s := &b.shards[i]
		s.mu.Lock()
		t := s.stats
		s.mu.Unlock()
		sum.accepted += t.accepted
		sum.first += t.first
		sum.firstAgain += t.firstAgain
		sum.final += t.final
		sum.finalAgain += t.finalAgain
		sum.intermediate += t.intermediate
		sum.unknownFirst += t.unknownFirst
		sum.unknownFinal += t.unknownFinal
		sum.notRecorded += t.notRecorded
		sum.strays += t.strays
	}
	return sum
}

// came is how many reports have come, for telling whether any still do.
func (s bookStats) came() int64 {
	return s.first + s.firstAgain + s.final + s.finalAgain + s.intermediate + s.strays
}
