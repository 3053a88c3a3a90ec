package smscsim

import (
	"cmp"
	"math/bits"
	"slices"
	"sync"

	"jasmind/internal/smpp/pdu"
)

// The ledger counts messages by the tag that a load generator puts at the start of their
// text: #RUN:NUMBER#. A bit for each number is enough to say, for millions, which
// arrived, which arrived twice and which are missing.

const (
	chunkBits    = 1 << 16 // numbers per piece of a bitmap
	maxChunks    = 8 << 10 // of all runs together: 64 MiB, half a billion numbers in sequence
	maxRuns      = 1000    // remembered; then the oldest goes
	maxRunName   = 32      // characters of RUN
	maxDigits    = 18      // of NUMBER
	maxRanges    = 1000    // missing ranges that a report lists
	maxTagOctets = 2 * (maxRunName + maxDigits + 3)
)

type ledger struct {
	mu     sync.Mutex
	runs   map[string]*run
	order  []string // by age
	chunks int
	lost   uint64 // messages with a tag for which there was no room
}

type run struct {
	messages, distinct, duplicates uint64
	lowest, highest                uint64
	chunks                         map[uint64]*[chunkBits / 64]uint64
}

func newLedger() *ledger { return &ledger{runs: make(map[string]*run)} }

func (l *ledger) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.runs, l.order, l.chunks, l.lost = make(map[string]*run), nil, 0, 0
}

// note counts a message if it carries a tag.
func (l *ledger) note(m *pdu.Message) {
	var room [maxTagOctets / 2]byte
	name, number, ok := parseTag(tagOctets(m, room[:0]))
	if !ok {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.runs[string(name)]
	if r == nil {
		if len(l.order) == maxRuns {
			l.forgetOldest()
		}
		r = &run{lowest: number, highest: number, chunks: make(map[uint64]*[chunkBits / 64]uint64)}
		l.runs[string(name)] = r
		l.order = append(l.order, string(name))
	}
	chunk := r.chunks[number/chunkBits]
	if chunk == nil {
		if l.chunks == maxChunks && l.order[0] != string(name) {
			l.forgetOldest()
		}
		if l.chunks == maxChunks {
			l.lost++
			return
		}
		l.chunks++
		chunk = new([chunkBits / 64]uint64)
		r.chunks[number/chunkBits] = chunk
	}
	r.messages++
	word, bit := number%chunkBits/64, uint64(1)<<(number%64)
	if chunk[word]&bit != 0 {
		r.duplicates++
		return
	}
	chunk[word] |= bit
	r.distinct++
	r.lowest, r.highest = min(r.lowest, number), max(r.highest, number)
}

// forgetOldest makes room. l.mu is held.
func (l *ledger) forgetOldest() {
	l.chunks -= len(l.runs[l.order[0]].chunks)
	delete(l.runs, l.order[0])
	l.order = slices.Delete(l.order, 0, 1)
}

// tagOctets is the start of a message's text, one octet per character, in room. It is
// enough for a tag, whose characters are the same in ASCII, GSM 03.38 and UCS2.
func tagOctets(m *pdu.Message, room []byte) []byte {
	text := userData(m)
	if m.ESMClass&pdu.ESMUDHI != 0 && len(text) > 0 {
		text = text[min(1+int(text[0]), len(text)):]
	}
	if len(text) < 2 || text[0] != 0 || text[1] != '#' {
		return text
	}
	for i := 0; i+1 < len(text) && len(room) < cap(room) && text[i] == 0; i += 2 {
		room = append(room, text[i+1])
	}
	return room
}

// parseTag reads #RUN:NUMBER# at the start of text.
func parseTag(text []byte) (name []byte, number uint64, ok bool) {
	if len(text) < 4 || text[0] != '#' {
		return nil, 0, false
	}
	i := 1
	for ; i < len(text) && text[i] != ':'; i++ {
		c := text[i]
		if i > maxRunName || !(c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '-' || c == '_' || c == '.') {
			return nil, 0, false
		}
	}
	if i == 1 || i == len(text) {
		return nil, 0, false
	}
	name = text[1:i]
	start := i + 1
	for i = start; i < len(text) && text[i] != '#'; i++ {
		c := text[i]
		if c < '0' || c > '9' || i-start >= maxDigits {
			return nil, 0, false
		}
		number = number*10 + uint64(c-'0')
	}
	return name, number, i > start && i < len(text)
}

// RunReport says what of a load generator's run has arrived. Only messages that were
// accepted count.
type RunReport struct {
	Run        string      `json:"run"`
	Messages   uint64      `json:"messages"`    // with the tag
	Distinct   uint64      `json:"distinct"`    // numbers among them
	Duplicates uint64      `json:"duplicates"`  // messages whose number had come before
	Lowest     uint64      `json:"lowest"`      // number
	Highest    uint64      `json:"highest"`     // number
	Missing    uint64      `json:"missing"`     // numbers of the range looked at that never came
	Ranges     [][2]uint64 `json:"ranges"`      // of the missing numbers, both ends included
	MoreRanges bool        `json:"more_ranges"` // there are more than the 1000 listed
}

// IDs reports on one run: of the numbers first to first+expect-1, or, if expect is 0, of
// those between the lowest and the highest that came. ok is false if nothing of it came: then all are missing.
func (sim *Simulator) IDs(name string, first, expect uint64) (RunReport, bool) {
	return sim.ledger.report(name, first, expect)
}

func (l *ledger) report(name string, first, expect uint64) (RunReport, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r, ok := l.runs[name]
	if !ok {
		r = &run{}
	}
	rep := RunReport{Run: name, Messages: r.messages, Distinct: r.distinct, Duplicates: r.duplicates,
		Lowest: r.lowest, Highest: r.highest, Ranges: [][2]uint64{}}
	low, end := r.lowest, r.highest+1
	if !ok {
		end = low
	}
	if expect > 0 {
		low, end = first, first+min(expect, ^uint64(0)-first)
	}
	r.gaps(low, end, func(a, b uint64) {
		rep.Missing += b - a + 1
		if len(rep.Ranges) < maxRanges {
			rep.Ranges = append(rep.Ranges, [2]uint64{a, b})
		} else {
			rep.MoreRanges = true
		}
	})
	return rep, ok
}

// gaps calls f for each range of numbers in low..end-1 that did not come, in order. The
// work is that of the chunks there are, not of the numbers asked for.
func (r *run) gaps(low, end uint64, f func(a, b uint64)) {
	keys := make([]uint64, 0, len(r.chunks))
	for k := range r.chunks {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	from := low // all below was dealt with
	for _, k := range keys {
		for w, word := range r.chunks[k] {
			base := k*chunkBits + uint64(w)*64
			if word == 0 || base+64 <= from {
				continue
			}
			for word != 0 {
				n := base + uint64(bits.TrailingZeros64(word))
				word &= word - 1
				if n < from {
					continue
				}
				if n >= end {
					break
				}
				if n > from {
					f(from, n-1)
				}
				from = n + 1
			}
		}
	}
	if from < end {
		f(from, end-1)
	}
}

// Runs reports on all runs without ranges, by name.
func (sim *Simulator) Runs() []RunReport { return sim.ledger.all() }

func (l *ledger) all() []RunReport {
	l.mu.Lock()
	names := slices.Clone(l.order)
	l.mu.Unlock()
	list := []RunReport{}
	for _, name := range names {
		if rep, ok := l.report(name, 0, 0); ok {
			list = append(list, rep)
		}
	}
	slices.SortFunc(list, func(a, b RunReport) int { return cmp.Compare(a.Run, b.Run) })
	return list
}
