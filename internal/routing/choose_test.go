package routing

import (
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"jasmind/internal/billing"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

func TestPick(t *testing.T) {
	weighted := &Route{Type: WeightedMTRoute, Connectors: to("one", "two", "three"), Weights: []int{70, 20, 10}, Rate: 5}
	cheap := &Route{Type: LeastCostMTRoute, Connectors: to("one", "two", "three"), Rates: []billing.Amount{30, 10, 10}}
	best := &Route{Type: BestQualityMTRoute, Connectors: to("one", "two", "three"), Rate: 7}
	known := func(ratio float64) Quality { return Quality{true, ratio} }
	for _, tt := range []struct {
		name    string
		route   *Route
		bound   []string
		quality map[string]Quality
		want    map[string]float64 // the share of each connector
		rate    billing.Amount
	}{
		{"by weight", weighted, []string{"one", "two", "three"}, nil, map[string]float64{"one": 0.7, "two": 0.2, "three": 0.1}, 5},
		{"by weight of those that are bound", weighted, []string{"two", "three"}, nil, map[string]float64{"two": 2. / 3, "three": 1. / 3}, 5},
		{"by weight of all if none is bound", weighted, nil, nil, map[string]float64{"one": 0.7, "two": 0.2, "three": 0.1}, 5},
		{"the cheapest, of two the first", cheap, []string{"one", "two", "three"}, nil, map[string]float64{"two": 1}, 10},
		{"the cheapest that is bound", cheap, []string{"one", "three"}, nil, map[string]float64{"three": 1}, 10},
		{"what is bound, whatever it costs", cheap, []string{"one"}, nil, map[string]float64{"one": 1}, 30},
		{"the cheapest of all if none is bound", cheap, nil, nil, map[string]float64{"two": 1}, 10},
		{"nothing is known", best, []string{"one", "two", "three"}, nil, map[string]float64{"one": 1. / 3, "two": 1. / 3, "three": 1. / 3}, 7},
		{"the best", best, []string{"one", "two", "three"}, map[string]Quality{"one": known(0.5), "two": known(0.9), "three": known(0.89)}, map[string]float64{"two": 1}, 7},
		{"the best that is bound", best, []string{"one", "three"}, map[string]Quality{"one": known(0.5), "two": known(0.9), "three": known(0.1)}, map[string]float64{"one": 1}, 7},
		{"two are the best", best, []string{"one", "two", "three"}, map[string]Quality{"one": known(0.9), "two": known(0.9), "three": known(0.1)}, map[string]float64{"one": 0.5, "two": 0.5}, 7},
		{"a new one has its share", best, []string{"one", "two", "three"}, map[string]Quality{"one": known(0.5), "two": known(0.9)}, map[string]float64{"two": 2. / 3, "three": 1. / 3}, 7},
		{"two new ones have theirs", best, []string{"one", "two", "three"}, map[string]Quality{"one": known(0)}, map[string]float64{"one": 1. / 3, "two": 1. / 3, "three": 1. / 3}, 7},
		{"the best of all if none is bound", best, nil, map[string]Quality{"one": known(0.5), "two": known(0.4), "three": known(0.3)}, map[string]float64{"one": 1}, 7},
	} {
		t.Run(tt.name, func(t *testing.T) {
			know := Knowledge{
				Bound:   func(c Connector) bool { return slices.Contains(tt.bound, c.ID) },
				Quality: func(c Connector) Quality { return tt.quality[c.ID] },
			}
			const n = 20_000
			seen := map[string]float64{}
			for range n {
				c, ok := tt.route.Pick(know)
				if !ok || c.Rate != tt.rate {
					t.Fatalf("%+v %v", c, ok)
				}
				seen[c.Connector.ID]++
			}
			for id, share := range tt.want {
				// Five and a half standard deviations: one run in tens of millions.
				if limit := 5.5*math.Sqrt(n*share*(1-share)) + 0.5; math.Abs(seen[id]-n*share) > limit {
					t.Errorf("%s has %v of %d, want %.0f", id, seen[id], n, n*share)
				}
				delete(seen, id)
			}
			if len(seen) != 0 {
				t.Errorf("others: %v", seen)
			}
			if a := testing.AllocsPerRun(10, func() { tt.route.Pick(know) }); a != 0 && !raceDetector {
				t.Errorf("%v allocations", a)
			}
		})
	}
	if c, ok := best.Choose(func(Connector) bool { return true }); !ok || c.Kind != SMPPClient {
		t.Errorf("without knowledge of quality: %v %v", c, ok)
	}
}

func TestFailoverGoesRoundTheRouteOnce(t *testing.T) {
	on := []pdu.Status{pdu.StatusSysErr}
	r := &Route{Type: FailoverMTRoute, Connectors: to("one", "two", "three", "two"), FailoverOn: on}
	choice, ok := r.Pick(Knowledge{Bound: func(c Connector) bool { return c.ID != "one" }})
	if !ok || choice.Connector.ID != "two" {
		t.Fatalf("%+v", choice)
	}
	if got, want := r.Failover(choice), (sms.Failover{On: on, To: []sms.ConnectorID{"three", "one"}}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	r.FailoverOn = nil
	if got := r.Failover(choice); got.On != nil || got.To != nil {
		t.Errorf("without statuses: %+v", got)
	}
}

func TestValidateOfTheNewTypes(t *testing.T) {
	filters := []*Filter{filter(t, TransparentFilter, "")}
	for _, tt := range []struct {
		name  string
		route Route
		want  []string
	}{
		{"weights", Route{Type: WeightedMTRoute, Connectors: to("one", "two"), Weights: []int{1, MaxWeight}}, nil},
		{"rates", Route{Type: LeastCostMTRoute, Connectors: to("one", "two"), Rates: []billing.Amount{0, 1}}, nil},
		{"quality", Route{Type: BestQualityMTRoute, Connectors: to("one", "two"), Rate: 1}, nil},
		{"failover", Route{Type: FailoverMTRoute, Connectors: to("one", "two"), FailoverOn: []pdu.Status{8}}, nil},
		{"too few weights", Route{Type: WeightedMTRoute, Connectors: to("one", "two"), Weights: []int{1}}, []string{"weights: 1 values for 2 connectors, must be one for each"}},
		{"weights out of range", Route{Type: WeightedMTRoute, Connectors: to("one", "two"), Weights: []int{0, MaxWeight + 1}},
			[]string{"weights: invalid value 0, must be 1 to 1000000", "weights: invalid value 1000001, must be 1 to 1000000"}},
		{"a connector twice", Route{Type: WeightedMTRoute, Connectors: to("one", "one"), Weights: []int{1, 2}}, []string{"connectors: smppc(one) is there twice"}},
		{"one connector", Route{Type: BestQualityMTRoute, Connectors: to("one")}, []string{"connectors: BestQualityMTRoute needs at least 2"}},
		{"no rates, but one", Route{Type: LeastCostMTRoute, Connectors: to("one", "two"), Rate: 3},
			[]string{"rates: 0 values for 2 connectors, must be one for each", "rate: LeastCostMTRoute has rates, one for each connector"}},
		{"a negative rate", Route{Type: LeastCostMTRoute, Connectors: to("one", "two"), Rates: []billing.Amount{-1, 1}}, []string{"rates: invalid value -0.000001, must not be negative"}},
		{"what other types have", Route{Type: RandomRoundrobinMTRoute, Connectors: to("one", "two"), Weights: []int{1, 2}, Rates: []billing.Amount{1, 2}, FailoverOn: []pdu.Status{8}},
			[]string{"weights: RandomRoundrobinMTRoute has none", "rates: RandomRoundrobinMTRoute has one rate", "failover_on: RandomRoundrobinMTRoute has none"}},
		{"failover on success", Route{Type: FailoverMTRoute, Connectors: to("one", "two"), FailoverOn: []pdu.Status{0}}, []string{"failover_on: invalid value ESME_ROK, must be an error"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.route.Order, tt.route.Filters = 1, filters
			var got []string
			if err := tt.route.Validate(MT); err != nil {
				got = strings.Split(err.Error(), "\n")
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestParseWhatRoutesChooseBy(t *testing.T) {
	if got, err := ParseStatuses([]string{"ESME_RSYSERR", "rsubmitfail", "8", "0x58"}); err != nil || !slices.Equal(got, []pdu.Status{8, pdu.StatusSubmitFail, pdu.StatusThrottled}) {
		t.Errorf("got %v, %v", got, err)
	}
	if got := FormatStatuses([]pdu.Status{8, 0x400}); !slices.Equal(got, []string{"ESME_RSYSERR", "0x00000400"}) {
		t.Errorf("got %v", got)
	}
	for _, s := range []string{"", "ESME_ROK", "0", "ESME_NONSENSE", "-1", "4294967296"} {
		if got, err := ParseStatuses([]string{s}); err == nil || !strings.Contains(err.Error(), `"`+s+`"`) {
			t.Errorf("%q: %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "0", "-1", "1.5", "1000001", "x"} {
		if got, err := ParseWeights([]string{"5", s}); err == nil || !strings.Contains(err.Error(), `"`+s+`"`) {
			t.Errorf("%q: %v, %v", s, got, err)
		}
	}
	if got, err := ParseWeights([]string{"70", " 30"}); err != nil || !slices.Equal(got, []int{70, 30}) {
		t.Errorf("got %v, %v", got, err)
	}
	if got, err := ParseRates([]string{"0.05", "1"}); err != nil || !slices.Equal(FormatRates(got), []string{"0.05", "1"}) {
		t.Errorf("got %v, %v", got, err)
	}
	for _, s := range []string{"", "-1", "x"} {
		if got, err := ParseRates([]string{s}); err == nil {
			t.Errorf("%q: %v", s, got)
		}
	}
}
