package routing

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// InterceptorType is a kind of interceptor.
type InterceptorType uint8

// The interceptor types.
const (
	DefaultInterceptor  InterceptorType = iota + 1 // MT and MO: order 0, no filters
	StaticMTInterceptor                            // with filters
	StaticMOInterceptor
	interceptorTypeEnd
)

var interceptorTypes = [interceptorTypeEnd]struct {
	name    string
	usedFor Direction
}{
	DefaultInterceptor:  {"DefaultInterceptor", MT | MO},
	StaticMTInterceptor: {"StaticMTInterceptor", MT},
	StaticMOInterceptor: {"StaticMOInterceptor", MO},
}

// InterceptorTypes lists the interceptor types of one direction in the order of the documentation.
func InterceptorTypes(d Direction) []InterceptorType {
	var out []InterceptorType
	for t := DefaultInterceptor; t < interceptorTypeEnd; t++ {
		if interceptorTypes[t].usedFor&d != 0 {
			out = append(out, t)
		}
	}
	return out
}

// ParseInterceptorType finds an interceptor type of a direction by its name in any case.
func ParseInterceptorType(d Direction, name string) (InterceptorType, error) {
	var names []string
	for _, t := range InterceptorTypes(d) {
		if strings.EqualFold(name, t.String()) {
			return t, nil
		}
		names = append(names, t.String())
	}
	return 0, fmt.Errorf("unknown %s interceptor type %q, must be one of %s", d, name, strings.Join(names, ", "))
}

// String is the name, such as StaticMTInterceptor.
func (t InterceptorType) String() string {
	if t < DefaultInterceptor || t >= interceptorTypeEnd {
		return fmt.Sprintf("InterceptorType(%d)", uint8(t))
	}
	return interceptorTypes[t].name
}

// Interceptor hands messages that pass all its filters to a script. One that is in an
// InterceptorTable must not be changed.
type Interceptor struct {
	Order   int // unique in a table; 0 is that of DefaultInterceptor alone
	Type    InterceptorType
	Filters []*Filter
	Script  Script
}

// Validate reports every fault of an interceptor of a table of direction d.
func (i *Interceptor) Validate(d Direction) error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if i.Type >= interceptorTypeEnd || interceptorTypes[i.Type].usedFor&d == 0 {
		fault("type: %s is no %s interceptor", i.Type, d)
	}
	switch {
	case i.Order < 0 || i.Order > maxOrder:
		fault("order: invalid value %d, must be 0 (default interceptor) to %d", i.Order, maxOrder)
	case i.Type == DefaultInterceptor && i.Order != 0:
		fault("order: invalid value %d, the order of DefaultInterceptor is 0", i.Order)
	case i.Type != DefaultInterceptor && i.Order == 0:
		fault("order: 0 is reserved for DefaultInterceptor")
	}
	switch {
	case i.Type == DefaultInterceptor && len(i.Filters) > 0:
		fault("filters: DefaultInterceptor has none")
	case i.Type != DefaultInterceptor && len(i.Filters) == 0:
		fault("filters: %s needs at least one", i.Type)
	}
	for _, f := range i.Filters {
		if f.Type().UsedFor()&d == 0 {
			fault("filters: %s %s cannot be used in %s interceptors", f.Type(), f.FID(), d)
		}
	}
	if err := i.Script.Validate(); err != nil {
		fault("script: %w", err)
	}
	return errors.Join(errs...)
}

// Match tells whether a message passes every filter.
func (i *Interceptor) Match(m *Message) bool { return matchAll(i.Filters, m) }

// InterceptorTable holds the interceptors of one direction in descending order. It is
// immutable and safe for concurrent use. The zero InterceptorTable has none.
type InterceptorTable struct{ interceptors []*Interceptor }

// NewInterceptorTable makes a table. Errors name the interceptor by its order; all faults are joined.
func NewInterceptorTable(d Direction, interceptors []*Interceptor) (*InterceptorTable, error) {
	t := &InterceptorTable{slices.SortedStableFunc(slices.Values(interceptors), func(a, b *Interceptor) int { return cmp.Compare(b.Order, a.Order) })}
	var errs []error
	for n, i := range t.interceptors {
		if err := i.Validate(d); err != nil {
			errs = append(errs, fmt.Errorf("%s interceptor %d: %w", d, i.Order, err))
		}
		if n > 0 && t.interceptors[n-1].Order == i.Order {
			errs = append(errs, fmt.Errorf("%s interceptor %d: the order is used twice", d, i.Order))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return t, nil
}

// Match gives the first interceptor, from the highest order down, whose filters all match;
// nil if there is none.
func (t *InterceptorTable) Match(m *Message) *Interceptor {
	for _, i := range t.interceptors {
		if i.Match(m) {
			return i
		}
	}
	return nil
}

// Len is the number of interceptors.
func (t *InterceptorTable) Len() int { return len(t.interceptors) }
