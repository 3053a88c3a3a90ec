package routing

import (
	"fmt"
	"testing"
)

// Operators charge and count in the scripts of filters: each filter is evaluated once at most for each message and table,
// wherever it stands and in however many routes.
func TestEachFilterIsEvaluatedOnceAtMost(t *testing.T) {
	scripted := func(fid string) *Filter {
		f, err := NewScriptFilter(fid, Script{Path: "/" + fid, Code: "result = True"})
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	yes, no, other, same := scripted("yes"), scripted("no"), scripted("other"), scripted("yes") // same: by another filter of that name
	source, tag := filter(t, SourceAddrFilter, "^1"), filter(t, TagFilter, "x")
	for name, filters := range map[string][][]*Filter{
		"the first of two":             {{yes, source}},
		"the first of two, no match":   {{yes, tag}},
		"alone":                        {{yes}},
		"the second":                   {{source, yes}},
		"twice in a route":             {{yes, source, yes}},
		"the first of several":         {{yes, tag}, {yes, other, no}, {yes, source, yes}},
		"one that never matches":       {{no, source}, {no}, {source, no}, {no, yes}},
		"two filters with one name":    {{yes, no}, {same, source}},
		"three scripts in three route": {{yes, other, no}, {other, no, yes}, {no, yes, other}},
	} {
		for _, d := range []Direction{MT, MO} {
			for _, size := range []int{1, 3, indexedFrom - 1, indexedFrom, 50} {
				t.Run(fmt.Sprintf("%s, %s, %d routes", name, d, size), func(t *testing.T) {
					count := map[*Script]int{}
					message := func() *Message {
						clear(count)
						return &Message{Source: "12", Destination: "34", Eval: func(s *Script) bool {
							count[s]++
							return s != no.Script()
						}}
					}
					once := func(what string) {
						t.Helper()
						if len(count) == 0 && what != "Match" { // which an index may spare
							t.Errorf("%s: nothing was evaluated", what)
						}
						for s, n := range count {
							if n > 1 {
								t.Errorf("%s: %s was evaluated %d times", what, s.Path, n)
							}
						}
					}
					static, connector, interceptor := StaticMTRoute, to("abc"), StaticMTInterceptor
					if d == MO {
						static, connector, interceptor = StaticMORoute, []Connector{{HTTPClient, "abc"}}, StaticMOInterceptor
					}
					var routes []*Route
					var interceptors []*Interceptor
					for i := range max(size, len(filters)) {
						fs := filters[i%len(filters)]
						routes = append(routes, &Route{Order: i + 1, Type: static, Connectors: connector, Filters: fs})
						interceptors = append(interceptors, &Interceptor{Order: i + 1, Type: interceptor, Filters: fs, Script: Script{Path: "/i"}})
					}
					table, err := NewTable(d, routes)
					if err != nil {
						t.Fatal(err)
					}
					all, err := NewInterceptorTable(d, interceptors)
					if err != nil {
						t.Fatal(err)
					}
					table.Match(message())
					once("Match")
					m := message()
					table.Explain(m)
					table.Match(m)
					once("Explain, then Match")
					all.Match(message())
					once("Match of interceptors")
					m = message()
					all.Explain(m)
					all.Match(m)
					once("Explain of interceptors, then Match")
				})
			}
		}
	}
}

// What was found of one message says nothing of the next.
func TestEvaluationsAreOfOneMessage(t *testing.T) {
	f, err := NewScriptFilter("f", Script{Path: "/f"})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []bool{true, false, true} {
		m := Message{Eval: func(*Script) bool { return want }}
		for range 2 {
			if f.Match(&m) != want {
				t.Errorf("want %t", want)
			}
		}
	}
}
