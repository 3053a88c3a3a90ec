package routing

import (
	"errors"
	"fmt"
	"strings"

	"jasmind/internal/billing"
	"jasmind/internal/smpp/pdu"
)

// RouteType is a kind of route.
type RouteType uint8

// The route types.
const (
	DefaultRoute            RouteType = iota + 1 // MT and MO: order 0, no filters, one connector
	StaticMTRoute                                // one connector
	RandomRoundrobinMTRoute                      // one of several connectors, at random; one that is listed twice is taken twice as often
	FailoverMTRoute                              // the first of several connectors that is bound
	WeightedMTRoute                              // new: one of several connectors, at random by weight, of those that are bound
	LeastCostMTRoute                             // new: the cheapest of several connectors that is bound
	BestQualityMTRoute                           // new: the one of several bound connectors that delivers best
	StaticMORoute
	RandomRoundrobinMORoute
	FailoverMORoute
	routeTypeEnd
)

var routeTypes = [routeTypeEnd]struct {
	name    string
	usedFor Direction
	several bool
}{
	DefaultRoute:            {"DefaultRoute", MT | MO, false},
	StaticMTRoute:           {"StaticMTRoute", MT, false},
	RandomRoundrobinMTRoute: {"RandomRoundrobinMTRoute", MT, true},
	FailoverMTRoute:         {"FailoverMTRoute", MT, true},
	WeightedMTRoute:         {"WeightedMTRoute", MT, true},
	LeastCostMTRoute:        {"LeastCostMTRoute", MT, true},
	BestQualityMTRoute:      {"BestQualityMTRoute", MT, true},
	StaticMORoute:           {"StaticMORoute", MO, false},
	RandomRoundrobinMORoute: {"RandomRoundrobinMORoute", MO, true},
	FailoverMORoute:         {"FailoverMORoute", MO, true},
}

// RouteTypes lists the route types of one direction in the order of the documentation.
func RouteTypes(d Direction) []RouteType {
	var out []RouteType
	for t := DefaultRoute; t < routeTypeEnd; t++ {
		if t.UsedFor()&d != 0 {
			out = append(out, t)
		}
	}
	return out
}

// ParseRouteType finds a route type of a direction by its name in any case.
func ParseRouteType(d Direction, name string) (RouteType, error) {
	var names []string
	for _, t := range RouteTypes(d) {
		if strings.EqualFold(name, t.String()) {
			return t, nil
		}
		names = append(names, t.String())
	}
	return 0, fmt.Errorf("unknown %s route type %q, must be one of %s", d, name, strings.Join(names, ", "))
}

// String is the name, such as StaticMTRoute.
func (t RouteType) String() string {
	if t < DefaultRoute || t >= routeTypeEnd {
		return fmt.Sprintf("RouteType(%d)", uint8(t))
	}
	return routeTypes[t].name
}

// UsedFor is the set of directions that have such routes.
func (t RouteType) UsedFor() Direction {
	if t < DefaultRoute || t >= routeTypeEnd {
		return 0
	}
	return routeTypes[t].usedFor
}

// Several tells whether such routes have two or more connectors rather than one.
func (t RouteType) Several() bool { return t < routeTypeEnd && routeTypes[t].several }

// Route leads messages that pass all its filters to a connector. A route in a Table must
// not be changed.
type Route struct {
	Order      int // unique in a table; 0 is that of DefaultRoute alone
	Type       RouteType
	Filters    []*Filter
	Connectors []Connector
	Rate       billing.Amount // MT: the price of one part; 0 = not rated
	// What only one type has; nil for the others.
	Weights    []int            // WeightedMTRoute: of each connector, 1 to MaxWeight; they need not sum up to 100
	Rates      []billing.Amount // LeastCostMTRoute: of each connector, in the place of Rate
	FailoverOn []pdu.Status     // FailoverMTRoute, optional: refused so, a message moves to the next connector
}

// Bounds of what a route has.
const (
	MaxWeight     = 1_000_000
	maxConnectors = 64 // of the types that are new
	maxFailoverOn = 32
)

const maxOrder = 1<<31 - 1

// Validate reports every fault of a route of a table of direction d.
func (r *Route) Validate(d Direction) error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if r.Type.UsedFor()&d == 0 {
		fault("type: %s is no %s route", r.Type, d)
	}
	switch {
	case r.Order < 0 || r.Order > maxOrder:
		fault("order: invalid value %d, must be 0 (default route) to %d", r.Order, maxOrder)
	case r.Type == DefaultRoute && r.Order != 0:
		fault("order: invalid value %d, the order of DefaultRoute is 0", r.Order)
	case r.Type != DefaultRoute && r.Order == 0:
		fault("order: 0 is reserved for DefaultRoute")
	}
	switch {
	case r.Type == DefaultRoute && len(r.Filters) > 0:
		fault("filters: DefaultRoute has none")
	case r.Type != DefaultRoute && len(r.Filters) == 0:
		fault("filters: %s needs at least one", r.Type)
	}
	for _, f := range r.Filters {
		if f.Type().UsedFor()&d == 0 {
			fault("filters: %s %s cannot be used in %s routes", f.Type(), f.FID(), d)
		}
	}
	switch {
	case r.Type.Several() && len(r.Connectors) < 2:
		fault("connectors: %s needs at least 2", r.Type)
	case !r.Type.Several() && len(r.Connectors) != 1:
		fault("connector: %s needs exactly one", r.Type)
	}
	for _, c := range r.Connectors {
		if !c.valid(d) {
			fault("connector: %s cannot be used in %s routes", c, d)
		}
		if r.Type == FailoverMORoute && c.Kind != r.Connectors[0].Kind {
			fault("connectors: %s and %s cannot be mixed in a FailoverMORoute", r.Connectors[0], c)
		}
	}
	r.validateChoice(fault)
	switch {
	case r.Rate < 0:
		fault("rate: invalid value %s, must not be negative", r.Rate)
	case r.Rate > 0 && d == MO:
		fault("rate: MO routes have none")
	}
	return errors.Join(errs...)
}

// Match tells whether a message passes every filter. It allocates nothing.
func (r *Route) Match(m *Message) bool { return matchAll(r.Filters, m) }
