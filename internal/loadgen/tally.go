package loadgen

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// histogram gathers durations from 1 µs to an hour with three significant digits. Safe for
// concurrent use; senders are spread over shards so that they seldom meet.
type histogram struct{ shards [4]histogramShard }

type histogramShard struct {
	mu sync.Mutex
	h  *hdrhistogram.Histogram
}

const (
	leastMicros = 1
	mostMicros  = int64(time.Hour / time.Microsecond)
)

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(leastMicros, mostMicros, 3) }

func (h *histogram) record(sender int, d time.Duration) {
	s := &h.shards[uint(sender)%uint(len(h.shards))]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.h == nil {
		s.h = newHistogram()
	}
	s.h.RecordValue(min(max(int64(d/time.Microsecond), leastMicros), mostMicros)) //nolint:errcheck // it is within the bounds
}

func (h *histogram) reset() {
	for i := range h.shards {
		s := &h.shards[i]
		s.mu.Lock()
		s.h = nil
		s.mu.Unlock()
	}
}

func (h *histogram) merged() *hdrhistogram.Histogram {
	sum := newHistogram()
	for i := range h.shards {
		s := &h.shards[i]
		s.mu.Lock()
		if s.h != nil {
			sum.Merge(s.h)
		}
		s.mu.Unlock()
	}
	return sum
}

// latency is the summary for the report.
func (h *histogram) latency() Latency {
	m := h.merged()
	if m.TotalCount() == 0 {
		return Latency{}
	}
	ms := func(micros int64) float64 { return float64(micros) / 1000 }
	return Latency{
		Count: m.TotalCount(), Min: ms(m.Min()), Mean: round3(m.Mean() / 1000), Max: ms(m.Max()),
		P50: ms(m.ValueAtQuantile(50)), P90: ms(m.ValueAtQuantile(90)),
		P99: ms(m.ValueAtQuantile(99)), P999: ms(m.ValueAtQuantile(99.9)),
	}
}

// reasons counts texts, a bounded number of them.
type reasons struct {
	mu     sync.Mutex
	counts map[string]int64
}

const (
	maxReasons   = 200
	maxReason    = 120
	otherReasons = "(other reasons)"
)

func (r *reasons) add(reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.counts == nil {
		r.counts = map[string]int64{}
	}
	if _, known := r.counts[reason]; !known && len(r.counts) >= maxReasons {
		reason = otherReasons
	}
	r.counts[reason]++
}

// list is the reasons, the most frequent first.
func (r *reasons) list() []Reason {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]Reason, 0, len(r.counts))
	for reason, n := range maps.All(r.counts) {
		list = append(list, Reason{reason, n})
	}
	slices.SortFunc(list, func(a, b Reason) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Reason, b.Reason))
	})
	return list
}

// clean makes a text of a peer fit for a table: one line, bounded, printable.
func clean(s string) string {
	s = strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, strings.ToValidUTF8(s, "?"))), " ")
	if len(s) > maxReason {
		s = strings.ToValidUTF8(s[:maxReason], "") + "..."
	}
	return s
}

// tally is what became of the messages. begun = accepted + rejected + unanswered when all is over.
type tally struct {
	begun      atomic.Int64
	requests   atomic.Int64 // PDUs or HTTP requests, repeated ones included
	retries    atomic.Int64
	okay       atomic.Int64
	rejected   atomic.Int64
	unanswered atomic.Int64
	connects   atomic.Int64
	lastAnswer atomic.Int64 // nanoseconds since start

	refusals   reasons // of rejected messages
	missing    reasons // why messages are unanswered
	connecting reasons // connections that failed, and why

	latency histogram
	lag     histogram

	start time.Time
	book  *book // nil unless reports are counted

	mu      sync.Mutex // guards what follows
	numbers bitmap     // of accepted messages
	file    *acceptedWriter
}

// accept counts an accepted message.
func (t *tally) accept(sender int, u unit, id string) {
	now := time.Now()
	t.latency.record(sender, now.Sub(u.due))
	t.answered(now)
	t.okay.Add(1)
	t.mu.Lock()
	t.numbers.set(u.n)
	if t.file != nil {
		t.file.add(u.n, id)
	}
	t.mu.Unlock()
}

// part notes an id for which reports are to come.
func (t *tally) part(u unit, id string) {
	if t.book != nil {
		t.book.accepted(id, u.due)
	}
}

func (t *tally) refuse(reason string) {
	t.answered(time.Now())
	t.rejected.Add(1)
	t.refusals.add(reason)
}

func (t *tally) unanswer(reason string) {
	t.unanswered.Add(1)
	t.missing.add(reason)
}

// answered moves the time of the last answer forward.
func (t *tally) answered(now time.Time) {
	d := int64(now.Sub(t.start))
	for {
		old := t.lastAnswer.Load()
		if d <= old || t.lastAnswer.CompareAndSwap(old, d) {
			return
		}
	}
}

// counts is a snapshot of the counters.
func (t *tally) counts() Counts {
	return Counts{
		Sent: t.begun.Load(), Accepted: t.okay.Load(), Rejected: t.rejected.Load(),
		Unanswered: t.unanswered.Load(), Requests: t.requests.Load(), Retries: t.retries.Load(),
	}
}

func (c Counts) minus(d Counts) Counts {
	return Counts{
		c.Sent - d.Sent, c.Accepted - d.Accepted, c.Rejected - d.Rejected,
		c.Unanswered - d.Unanswered, c.Requests - d.Requests, c.Retries - d.Retries,
	}
}
