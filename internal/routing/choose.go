package routing

import (
	"math/bits"
	"math/rand/v2"
	"slices"

	"jasmind/internal/billing"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

// Quality says how well a connector has delivered lately.
type Quality struct {
	Known bool    // the connector has sent enough messages lately for Ratio to mean something
	Ratio float64 // delivered messages per submitted message, 0 to 1
}

// Knowledge is what Pick may ask about the connectors of a route.
type Knowledge struct {
	Bound   func(Connector) bool
	Quality func(Connector) Quality // only asked for BestQualityMTRoute; nil: no quality is known
}

// Choice is what a route decides for one message.
type Choice struct {
	Connector Connector
	Rate      billing.Amount // of one part
	index     int
}

// Choose gives the connector that Pick chooses.
func (r *Route) Choose(bound func(Connector) bool) (c Connector, ok bool) {
	choice, ok := r.Pick(Knowledge{Bound: bound})
	return choice.Connector, ok
}

// Pick gives the connector for one message. It allocates nothing.
//
//   - A round robin route gives a random connector, bound or not.
//   - A failover route gives the first bound connector; ok is false if no connector is bound.
//   - A weighted route gives a random connector by weight, a least-cost route the first of the cheapest connectors,
//     a best-quality route a random one of those with the best ratio. These three leave out connectors that are not
//     bound. If no connector is bound they choose among all, and the message waits in the queue of
//     the chosen connector; only failover routes refuse messages.
//   - A connector of unknown quality in a best-quality route of n connectors gets 1/n of the messages, so that its
//     quality becomes known.
//   - Other routes have one connector.
func (r *Route) Pick(know Knowledge) (choice Choice, ok bool) {
	i := 0
	switch r.Type {
	case RandomRoundrobinMTRoute, RandomRoundrobinMORoute:
		i = random(len(r.Connectors))
	case FailoverMTRoute, FailoverMORoute:
		if i = slices.IndexFunc(r.Connectors, know.Bound); i < 0 {
			return Choice{}, false
		}
	case WeightedMTRoute:
		i = r.byWeight(r.usable(know.Bound))
	case LeastCostMTRoute:
		i = r.cheapest(r.usable(know.Bound))
	case BestQualityMTRoute:
		i = r.best(r.usable(know.Bound), know.Quality)
	}
	rate := r.Rate
	if r.Type == LeastCostMTRoute {
		rate = r.Rates[i]
	}
	return Choice{Connector: r.Connectors[i], Rate: rate, index: i}, true
}

func random(n int) int { return rand.IntN(n) } //nolint:gosec // spreads load, guards nothing

// set is a set of connectors of one route: bit i stands for Connectors[i].
type set uint64

func (s set) has(i int) bool { return s>>i&1 != 0 }

// usable gives the bound connectors of the route, or all connectors if none is bound.
func (r *Route) usable(bound func(Connector) bool) set {
	var s set
	for i, c := range r.Connectors {
		if bound(c) {
			s |= 1 << i
		}
	}
	if s == 0 {
		s = 1<<len(r.Connectors) - 1
	}
	return s
}

func (r *Route) byWeight(of set) int {
	total := 0
	for i, w := range r.Weights {
		if of.has(i) {
			total += w
		}
	}
	x := random(total)
	for i, w := range r.Weights {
		if !of.has(i) {
			continue
		}
		if x -= w; x < 0 {
			return i
		}
	}
	return 0 // not reached
}

func (r *Route) cheapest(of set) int {
	found := -1
	for i, rate := range r.Rates {
		if of.has(i) && (found < 0 || rate < r.Rates[found]) {
			found = i
		}
	}
	return found
}

func (r *Route) best(of set, quality func(Connector) Quality) int {
	x := random(bits.OnesCount64(uint64(of)))
	share, found, equal := -1, -1, 0
	var top float64
	for i, c := range r.Connectors {
		if !of.has(i) {
			continue
		}
		var q Quality
		if quality != nil {
			q = quality(c)
		}
		if x == 0 && !q.Known {
			share = i
		}
		x--
		switch {
		case !q.Known:
		case found < 0 || q.Ratio > top:
			found, top, equal = i, q.Ratio, 1
		case q.Ratio == top: // any one of the equally good
			if equal++; random(equal) == 0 {
				found = i
			}
		}
	}
	switch {
	case share >= 0:
		return share
	case found >= 0:
		return found
	}
	return bits.TrailingZeros64(uint64(of)) // not reached: without a known connector, share was set
}

// Failover gives the connectors that get the message, one after the other, when the SMSC of the chosen connector refuses it
// with a status of FailoverOn: first the connectors behind the chosen one in the route, then those before
// it, each once.
func (r *Route) Failover(choice Choice) sms.Failover {
	if len(r.FailoverOn) == 0 {
		return sms.Failover{}
	}
	out := sms.Failover{On: r.FailoverOn}
	for i := 1; i < len(r.Connectors); i++ {
		cid := sms.ConnectorID(r.Connectors[(choice.index+i)%len(r.Connectors)].ID)
		if string(cid) != choice.Connector.ID && !slices.Contains(out.To, cid) {
			out.To = append(out.To, cid)
		}
	}
	return out
}

// validateChoice reports faults of weights, rates and failover_on, which only some types of routes have.
func (r *Route) validateChoice(fault func(format string, args ...any)) {
	switch {
	case r.Type != WeightedMTRoute && r.Weights != nil:
		fault("weights: %s has none", r.Type)
	case r.Type == WeightedMTRoute && len(r.Weights) != len(r.Connectors):
		fault("weights: %d values for %d connectors, must be one for each", len(r.Weights), len(r.Connectors))
	}
	for _, w := range r.Weights {
		if w < 1 || w > MaxWeight {
			fault("weights: invalid value %d, must be 1 to %d", w, MaxWeight)
		}
	}
	switch {
	case r.Type != LeastCostMTRoute && r.Rates != nil:
		fault("rates: %s has one rate", r.Type)
	case r.Type == LeastCostMTRoute && len(r.Rates) != len(r.Connectors):
		fault("rates: %d values for %d connectors, must be one for each", len(r.Rates), len(r.Connectors))
	}
	if r.Type == LeastCostMTRoute && r.Rate != 0 {
		fault("rate: LeastCostMTRoute has rates, one for each connector")
	}
	for _, rate := range r.Rates {
		if rate < 0 {
			fault("rates: invalid value %s, must not be negative", rate)
		}
	}
	switch {
	case r.Type != FailoverMTRoute && r.FailoverOn != nil:
		fault("failover_on: %s has none", r.Type)
	case len(r.FailoverOn) > maxFailoverOn:
		fault("failover_on: %d statuses, must be %d at most", len(r.FailoverOn), maxFailoverOn)
	}
	if slices.Contains(r.FailoverOn, pdu.StatusOK) {
		fault("failover_on: invalid value ESME_ROK, must be an error")
	}
	switch r.Type {
	case WeightedMTRoute, LeastCostMTRoute, BestQualityMTRoute:
		if len(r.Connectors) > maxConnectors {
			fault("connectors: %d of them, %s has %d at most", len(r.Connectors), r.Type, maxConnectors)
		}
		for i, c := range r.Connectors {
			if slices.Contains(r.Connectors[:i], c) {
				fault("connectors: %s is there twice", c)
			}
		}
	}
}

// RateRange gives the lowest and the highest price of one part.
func (r *Route) RateRange() (lowest, highest billing.Amount) {
	if len(r.Rates) == 0 {
		return r.Rate, r.Rate
	}
	return slices.Min(r.Rates), slices.Max(r.Rates)
}
