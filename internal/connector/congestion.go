package connector

import (
	"sync"
	"time"

	"jasmind/internal/smpp/pdu"
)

// The ranges of congestion_state (SMPP v5.0 §4.8.4.18): 0 idle, 1-29 low, 30-49 medium, 50-79
// high load, 80-89 optimum, 90-99 nearing congestion, 100 congested.
const (
	optimum   = 80
	nearing   = 90
	congested = 100
)

const (
	// adjustEvery is how long the effect of an adjustment is waited for.
	adjustEvery = time.Second
	// stateLasts is how long a congestion_state counts; an SMSC that says no more has recovered.
	stateLasts = 5 * time.Second
	// slowest is the rate below which nothing is reduced, in messages a second.
	slowest = 1.0
)

// governor holds the rate of a connector where its SMSC wants it, which says how loaded it is in
// the TLV congestion_state of its responses. Once a second it looks at the worst state
// of that second: from 90 on the rate goes down to four fifths of itself, at 100 to one half,
// never below 1 a second; below 80 it grows by a quarter, until it is twice what it was
// when the reduction began or the connector's own, and then there is no limit any more. In
// between it stays. Five seconds without the TLV count as below 80.
//
// mu guards the fields.
type governor struct {
	mu       sync.Mutex
	limit    float64   // messages a second; 0: none
	before   float64   // the rate when the reduction began
	worst    int       // state of this interval, -1 without one
	said     time.Time // when the SMSC last told a state
	began    time.Time // of the interval
	answers  int       // in the interval
	measured float64   // answers a second in the last interval
}

// stateIn is the congestion_state of a response, -1 without one.
func stateIn(p pdu.PDU) int {
	resp, ok := p.(*pdu.SubmitSMResp)
	if !ok {
		return -1
	}
	if v, ok := resp.TLVs.Uint8(pdu.TagCongestionState); ok && v <= congested {
		return int(v)
	}
	return -1
}

// answered notes a response. changed tells that the limit is another one now: limit, 0 for none.
// own is the connector's submit_throughput.
func (g *governor) answered(now time.Time, state int, own float64) (limit float64, changed bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if state < 0 && g.limit == 0 && g.said.IsZero() {
		return 0, false // an SMSC that never says
	}
	if state >= 0 {
		if g.said.IsZero() {
			g.began, g.answers, g.worst = now, -1, -1 // this one ends no interval
		}
		g.said = now
		g.worst = max(g.worst, state)
	}
	g.answers++
	since := now.Sub(g.began)
	if since < adjustEvery {
		return g.limit, false
	}
	g.measured = float64(g.answers) / since.Seconds()
	worst := g.worst
	if worst < 0 {
		if now.Sub(g.said) < stateLasts {
			worst = optimum // it said nothing in this interval
		} else {
			worst = 0
		}
	}
	g.began, g.answers, g.worst = now, 0, -1
	old := g.limit
	g.adjust(worst, own)
	if g.limit == 0 && now.Sub(g.said) >= stateLasts {
		g.said = time.Time{}
	}
	return g.limit, g.limit != old
}

// adjust moves the limit by one step. g.mu is held.
func (g *governor) adjust(state int, own float64) {
	switch {
	case state >= nearing:
		rate := g.limit
		if rate == 0 {
			rate = g.measured
			if own > 0 {
				rate = min(rate, own)
			}
			g.before = rate
		}
		factor := 0.8
		if state >= congested {
			factor = 0.5
		}
		g.limit = max(rate*factor, slowest)
	case g.limit == 0 || state >= optimum:
	default:
		g.limit *= 1.25
		if g.limit > 2*g.before || own > 0 && g.limit >= own {
			g.limit = 0
		}
	}
}

// current is the limit, 0 for none.
func (g *governor) current() float64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.limit
}
