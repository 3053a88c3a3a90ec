package routing

import (
	"fmt"
	"strings"
	"testing"
)

// Every filter type of the documentation in routes of each direction: what it lets through, what it
// does not, and where it may not be.
func TestEveryFilterInEachDirection(t *testing.T) {
	mt := Message{Source: "20203050", Destination: "85111", Content: "hello wörld", User: "bobo", Group: "partners", Tags: []string{"32401"}, Time: at("2014-09-20 09:00:00")}
	mo := mt
	mo.User, mo.Group, mo.Connector = "", "", "smpp-01"
	with := func(m Message, edit func(*Message)) Message { edit(&m); return m }
	both := func(typ FilterType, value string, edit func(*Message)) []filterCase {
		return []filterCase{{typ, value, MT, mt, with(mt, edit)}, {typ, value, MO, mo, with(mo, edit)}}
	}
	cases := []filterCase{
		{TransparentFilter, "", MT, mt, Message{}},
		{TransparentFilter, "", MO, mo, Message{}},
		{ConnectorFilter, "smpp-01", MO, mo, with(mo, func(m *Message) { m.Connector = "smpp-02" })},
		{UserFilter, "bobo", MT, mt, with(mt, func(m *Message) { m.User = "partners" })},
		{GroupFilter, "partners", MT, mt, with(mt, func(m *Message) { m.Group = "bobo" })},
	}
	for _, c := range [][]filterCase{
		both(SourceAddrFilter, `^20\d+`, func(m *Message) { m.Source = "120203050" }),
		both(DestinationAddrFilter, "^85111$", func(m *Message) { m.Destination = "851110" }),
		both(ShortMessageFilter, "^hello.*$", func(m *Message) { m.Content = "say hello" }),
		both(DateIntervalFilter, "2014-09-18;2014-09-28", func(m *Message) { m.Time = at("2014-09-29 00:00:00") }),
		both(TimeIntervalFilter, "08:00:00;18:00:00", func(m *Message) { m.Time = at("2014-09-20 07:59:59.9") }),
		both(TagFilter, "32401", func(m *Message) { m.Tags = []string{"3240", "324011"} }),
		both(EvalPyFilter, "", func(m *Message) { m.Source = "none" }),
	} {
		cases = append(cases, c...)
	}
	type place struct {
		typ FilterType
		d   Direction
	}
	tested := make(map[place]bool)
	for _, c := range cases {
		tested[place{c.typ, c.d}] = true
		t.Run(fmt.Sprintf("%s in %s routes", c.typ, c.d), c.run)
	}
	for _, typ := range FilterTypes() {
		for _, d := range []Direction{MT, MO} {
			if tested[place{typ, d}] {
				continue
			}
			value := map[FilterType]string{ConnectorFilter: "smpp-01", UserFilter: "bobo", GroupFilter: "partners"}[typ]
			_, err := NewTable(d, []*Route{staticRoute(d, filter(t, typ, value))})
			if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%s f cannot be used in %s routes", typ, d)) {
				t.Errorf("%s in %s routes: %v", typ, d, err)
			}
		}
	}
}

// filterCase is a filter with a message that it lets through, and one that it does not: a
// TransparentFilter lets through that as well.
type filterCase struct {
	typ     FilterType
	value   string
	d       Direction
	yes, no Message
}

func staticRoute(d Direction, f *Filter) *Route {
	r := &Route{Order: 10, Type: StaticMTRoute, Filters: []*Filter{f}, Connectors: []Connector{{SMPPClient, "special"}}}
	if d == MO {
		r.Type, r.Connectors = StaticMORoute, []Connector{{HTTPClient, "special"}}
	}
	return r
}

func (c *filterCase) run(t *testing.T) {
	var f *Filter
	if c.typ == EvalPyFilter {
		var err error
		if f, err = NewScriptFilter("f", Script{Path: "/f.py", Code: "result = True"}); err != nil {
			t.Fatal(err)
		}
		for _, m := range []*Message{&c.yes, &c.no} {
			m.Eval = func(s *Script) bool { return s.Path == "/f.py" && m.Source == "20203050" }
		}
	} else {
		f = filter(t, c.typ, c.value)
	}
	special := staticRoute(c.d, f)
	other := &Route{Type: DefaultRoute, Connectors: special.Connectors}
	table, err := NewTable(c.d, []*Route{other, special})
	if err != nil {
		t.Fatal(err)
	}
	if got := table.Match(&c.yes); got != special {
		t.Errorf("%s %s: %+v takes route %d", c.typ, c.value, c.yes, got.Order)
	}
	want := other
	if c.typ == TransparentFilter {
		want = special
	}
	if got := table.Match(&c.no); got != want {
		t.Errorf("%s %s: %+v takes route %d", c.typ, c.value, c.no, got.Order)
	}
}
