package metrics

import (
	"fmt"
	"iter"
	"reflect"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A counter is declared once, as an exported field of a struct, with the names that it has outside: on the console
// (stats), in /metrics, or both. Its type is atomic.Int64, Func, Number or Moment, or what prints itself.
//
//	type Stats struct {
//		RequestCount atomic.Int64 `console:"request_count" metric:"httpapi_request_count" help:"Http request count."`
//		LastSuccess  Moment       `console:"last_success_at"`
//		Waiting      atomic.Int64 `metric:"jasmind_waiting" help:"What waits." kind:"gauge"`
//	}
//
// Set.Counters reads the fields for /metrics, Items for the console.
const (
	tagConsole = "console" // name of the item
	tagMetric  = "metric"  // name of the metric; * stands for a word that Set.CountersOf is given
	tagHelp    = "help"    // what the metric counts
	tagKind    = "kind"    // gauge, if it comes and goes
)

// never is what the console prints in the place of what has not come yet.
const never = "ND"

// Moment is a point in time that may not have come yet. It is safe for concurrent use.
type Moment struct{ ns atomic.Int64 }

// Time is the moment, zero if it has not come.
func (m *Moment) Time() time.Time {
	if ns := m.ns.Load(); ns != 0 {
		return time.Unix(0, ns)
	}
	return time.Time{}
}

// Set makes it a new one.
func (m *Moment) Set(t time.Time) { m.ns.Store(t.UnixNano()) }

// String is the moment as the console prints it.
func (m *Moment) String() string { return TimeText(m.Time()) }

// TimeText is a time as the console prints it, ND if it has not come.
func TimeText(t time.Time) string {
	if t.IsZero() {
		return never
	}
	return t.Local().Format(time.DateTime)
}

// Number is a number that may not have come yet: it is zero until then. It is safe for concurrent use.
type Number struct{ atomic.Uint32 }

// String is the number as the console prints it.
func (n *Number) String() string {
	if v := n.Load(); v != 0 {
		return strconv.FormatUint(uint64(v), 10)
	}
	return never
}

// Func is a number that is found out when somebody asks for it; nil is zero.
type Func func() int64

// Item is a counter as the console prints it.
type Item struct{ Name, Text string }

// Items gives the counters of a struct, to which stats points, that have a name on the console, in the order of its fields.
func Items(stats any) []Item {
	var out []Item
	for f, v := range fields(stats) {
		name, ok := f.Tag.Lookup(tagConsole)
		if !ok {
			continue
		}
		if n, ok := number(v); ok {
			out = append(out, Item{name, strconv.FormatInt(n, 10)})
		} else {
			out = append(out, Item{name, fmt.Sprint(v)})
		}
	}
	return out
}

// Counters adds the counters of a struct, to which stats points, that have a metric's name.
func (s *Set) Counters(stats any) { s.CountersOf("", stats) }

// CountersOf is Counters for a struct of which there are several: word stands in the place of the * of the metric's name,
// and, in capitals, of its help.
func (s *Set) CountersOf(word string, stats any) {
	for f, v := range fields(stats) {
		m, ok := s.declared(f, v)
		if !ok {
			continue
		}
		m.name, m.help = strings.ReplaceAll(m.name, "*", word), strings.ReplaceAll(m.help, "*", strings.ToUpper(word))
		m.single = func() float64 { n, _ := number(v); return float64(n) }
		s.add(m, nil)
	}
}

// CountersEach adds the counters of structs of one type that differ in one label, whose values must be a bounded set.
func CountersEach[L ~string, T any](s *Set, label string, each func(yield func(L, *T))) {
	for f, v := range fields(new(T)) {
		m, ok := s.declared(f, v)
		if !ok {
			continue
		}
		m.each = func(emit Emit) {
			each(func(l L, stats *T) {
				n, _ := number(reflect.ValueOf(stats).Elem().FieldByIndex(f.Index).Addr().Interface())
				emit(string(l), float64(n))
			})
		}
		s.add(m, []string{label})
	}
}

// declared gives what the tags of a field say of its metric; ok is false if it has none.
func (s *Set) declared(f reflect.StructField, v any) (m metric, ok bool) {
	_, shown := f.Tag.Lookup(tagConsole)
	name, ok := f.Tag.Lookup(tagMetric)
	_, counts := number(v)
	m = metric{name: name, help: f.Tag.Get(tagHelp), kind: prometheus.CounterValue}
	switch kind, given := f.Tag.Lookup(tagKind); {
	case kind == "gauge":
		m.kind = prometheus.GaugeValue
	case given:
		s.fault(fmt.Errorf("counter %s: unknown kind %q", f.Name, kind))
	}
	switch {
	case ok && !counts:
		s.fault(fmt.Errorf("counter %s: %s is no number", f.Name, f.Type))
	case ok && m.help == "":
		s.fault(fmt.Errorf("counter %s: metric %s has no help", f.Name, name))
	case !ok && !shown && counts:
		s.fault(fmt.Errorf("counter %s: it has no name", f.Name))
	}
	return m, ok && counts
}

// fields gives the exported fields of a struct, to which stats points, and pointers to them.
func fields(stats any) iter.Seq2[reflect.StructField, any] {
	return func(yield func(reflect.StructField, any) bool) {
		v := reflect.ValueOf(stats).Elem()
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() && !yield(f, v.Field(i).Addr().Interface()) {
				return
			}
		}
	}
}

// number reads a counter to which v points.
func number(v any) (n int64, ok bool) {
	switch v := v.(type) {
	case *atomic.Int64:
		return v.Load(), true
	case *Func:
		if *v == nil {
			return 0, true
		}
		return (*v)(), true
	}
	return 0, false
}
