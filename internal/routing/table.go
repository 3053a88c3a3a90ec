package routing

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// Table holds the routes of one direction in descending order. It is immutable and safe
// for concurrent use. The zero Table has no routes.
type Table struct {
	routes []*Route
	// first holds the first filter of each route, or nil, side by side: most routes are
	// ruled out by it, and then nothing else of them is touched.
	first []Filter
	index *index // of a long table; nil: there is none
}

var transparent = Filter{typ: TransparentFilter}

// NewTable makes a table. Errors name the route by its order; all faults are joined.
func NewTable(d Direction, routes []*Route) (*Table, error) {
	t := &Table{routes: slices.SortedStableFunc(slices.Values(routes), func(a, b *Route) int { return cmp.Compare(b.Order, a.Order) })}
	var errs []error
	for i, r := range t.routes {
		if err := r.Validate(d); err != nil {
			errs = append(errs, fmt.Errorf("%s route %d: %w", d, r.Order, err))
		}
		if i > 0 && t.routes[i-1].Order == r.Order {
			errs = append(errs, fmt.Errorf("%s route %d: the order is used twice", d, r.Order))
		}
		if len(r.Filters) > 0 {
			t.first = append(t.first, *r.Filters[0])
		} else {
			t.first = append(t.first, transparent)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if len(t.routes) >= indexedFrom {
		t.index = newIndex(t.routes)
	}
	return t, nil
}

// Match gives the first route, from the highest order down, whose filters all match; nil
// if there is none. It allocates nothing. In a long table an index leaves out routes whose
// filters of users, groups, connectors, tags or beginnings of addresses rule the message out.
func (t *Table) Match(m *Message) *Route {
	if t.index != nil {
		if r, ok := t.index.match(t.routes, m); ok {
			return r
		}
	}
	for i := range t.first {
		if t.first[i].Match(m) && (len(t.routes[i].Filters) < 2 || matchAll(t.routes[i].Filters[1:], m)) {
			return t.routes[i]
		}
	}
	return nil
}

// Route gives the route of an order; nil if there is none.
func (t *Table) Route(order int) *Route {
	i, ok := slices.BinarySearchFunc(t.routes, order, func(r *Route, order int) int { return cmp.Compare(order, r.Order) })
	if !ok {
		return nil
	}
	return t.routes[i]
}

// Routes gives all routes in descending order. The slice is the caller's.
func (t *Table) Routes() []*Route { return slices.Clone(t.routes) }

// Len is the number of routes.
func (t *Table) Len() int { return len(t.routes) }
