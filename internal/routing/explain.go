package routing

// FilterVerdict is what one filter says of a message.
type FilterVerdict struct {
	Filter *Filter
	Match  bool
}

// RouteVerdict is what a route says of a message, filter by filter.
type RouteVerdict struct {
	Route   *Route
	Filters []FilterVerdict
	Match   bool // all of them do
}

// InterceptorVerdict is RouteVerdict for interceptors.
type InterceptorVerdict struct {
	Interceptor *Interceptor
	Filters     []FilterVerdict
	Match       bool
}

// Explain asks every filter of every route, in the order of the table, also those that a
// message would not come to. The first that matches is the one that Match gives.
func (t *Table) Explain(m *Message) []RouteVerdict {
	out := make([]RouteVerdict, 0, len(t.routes))
	for _, r := range t.routes {
		filters, match := explain(r.Filters, m)
		out = append(out, RouteVerdict{r, filters, match})
	}
	return out
}

// Explain is Table.Explain for interceptors. No script of theirs is run.
func (t *InterceptorTable) Explain(m *Message) []InterceptorVerdict {
	out := make([]InterceptorVerdict, 0, len(t.interceptors))
	for _, i := range t.interceptors {
		filters, match := explain(i.Filters, m)
		out = append(out, InterceptorVerdict{i, filters, match})
	}
	return out
}

func explain(filters []*Filter, m *Message) (out []FilterVerdict, match bool) {
	match = true
	for _, f := range filters {
		v := FilterVerdict{f, f.Match(m)}
		out, match = append(out, v), match && v.Match
	}
	return out, match
}
