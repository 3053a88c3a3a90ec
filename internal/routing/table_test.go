package routing

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"jasmind/internal/billing"
)

func to(ids ...string) []Connector {
	var out []Connector
	for _, id := range ids {
		out = append(out, Connector{SMPPClient, id})
	}
	return out
}

// The three examples of "The message router" in the documentation.
func TestFirstMatchInDescendingOrderWins(t *testing.T) {
	office := filter(t, TimeIntervalFilter, "08:00:00;18:00:00")
	g2 := filter(t, GroupFilter, "G2")
	france := filter(t, DestinationAddrFilter, `^\+33\d+`)
	table, err := NewTable(MT, []*Route{
		{Order: 90, Type: StaticMTRoute, Filters: []*Filter{g2}, Connectors: to("smpp_3")},
		{Order: 100, Type: RandomRoundrobinMTRoute, Filters: []*Filter{france}, Connectors: to("smpp_1", "smpp_2"), Rate: 350_000},
		{Order: 91, Type: StaticMTRoute, Filters: []*Filter{g2, office}, Connectors: to("smpp_4")},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		m    Message
		want int // order, -1 for none
	}{
		{"France goes first, whoever sends", Message{Destination: "+33612", Group: "G2", Time: at("2015-06-01 12:00:00")}, 100},
		{"G2 in working hours", Message{Destination: "44", Group: "G2", Time: at("2015-06-01 12:00:00")}, 91},
		{"G2 at night", Message{Destination: "44", Group: "G2", Time: at("2015-06-01 20:00:00")}, 90},
		{"others have no route, there being no default", Message{Destination: "44", Group: "G1", Time: at("2015-06-01 12:00:00")}, -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := -1
			if r := table.Match(&tt.m); r != nil {
				got = r.Order
			}
			if got != tt.want {
				t.Errorf("got route %d, want %d", got, tt.want)
			}
			if n := testing.AllocsPerRun(10, func() { table.Match(&tt.m) }); n != 0 && !raceDetector {
				t.Errorf("%v allocations", n)
			}
		})
	}
	var orders []int
	for _, r := range table.Routes() {
		orders = append(orders, r.Order)
	}
	if !slices.Equal(orders, []int{100, 91, 90}) || table.Len() != 3 {
		t.Errorf("orders %v", orders)
	}
	if r := table.Route(91); r == nil || r.Connectors[0].ID != "smpp_4" || table.Route(92) != nil {
		t.Errorf("Route(91) = %+v", r)
	}
	if new(Table).Match(&Message{}) != nil {
		t.Error("the zero Table has a route")
	}
}

func TestChoose(t *testing.T) {
	bound := func(ids ...string) func(Connector) bool {
		return func(c Connector) bool { return slices.Contains(ids, c.ID) }
	}
	never := func(c Connector) bool { t.Errorf("asked whether %s is bound", c); return false }

	static := Route{Type: StaticMTRoute, Connectors: to("one")}
	if c, ok := static.Choose(never); !ok || c.ID != "one" {
		t.Errorf("static: %v %v", c, ok)
	}
	def := Route{Type: DefaultRoute, Connectors: []Connector{{HTTPClient, "http_def"}}}
	if c, ok := def.Choose(never); !ok || c.String() != "http(http_def)" {
		t.Errorf("default: %v %v", c, ok)
	}
	for _, typ := range []RouteType{FailoverMTRoute, FailoverMORoute} {
		failover := Route{Type: typ, Connectors: to("one", "two", "three")}
		for _, tt := range []struct {
			bound []string
			want  string
		}{{[]string{"one", "two"}, "one"}, {[]string{"three", "two"}, "two"}, {[]string{"three"}, "three"}, {nil, ""}} {
			if c, ok := failover.Choose(bound(tt.bound...)); c.ID != tt.want || ok != (tt.want != "") {
				t.Errorf("%s, bound %v: got %v %v, want %q", typ, tt.bound, c, ok, tt.want)
			}
		}
	}
	for _, typ := range []RouteType{RandomRoundrobinMTRoute, RandomRoundrobinMORoute} {
		random := Route{Type: typ, Connectors: to("one", "two", "three")}
		seen := map[string]int{}
		for range 3000 {
			c, ok := random.Choose(never)
			if !ok {
				t.Fatal("no connector")
			}
			seen[c.ID]++
		}
		for _, id := range []string{"one", "two", "three"} {
			if seen[id] < 500 { // 1000 expected; under 500 has no chance of one in 10^70
				t.Errorf("%s: %v", typ, seen)
			}
		}
	}
}

func TestValidateNamesEveryFault(t *testing.T) {
	tf, uf, cf := filter(t, TransparentFilter, ""), filter(t, UserFilter, "u1"), filter(t, ConnectorFilter, "abc")
	http := []Connector{{HTTPClient, "http_1"}}
	for _, tt := range []struct {
		d     Direction
		route Route
		want  []string
	}{
		{MT, Route{Type: DefaultRoute, Connectors: to("abc")}, nil},
		{MO, Route{Type: DefaultRoute, Connectors: http}, nil},
		{MT, Route{Order: 1, Type: StaticMTRoute, Filters: []*Filter{tf, uf}, Connectors: to("abc"), Rate: 1}, nil},
		{MO, Route{Order: 1, Type: RandomRoundrobinMORoute, Filters: []*Filter{cf}, Connectors: []Connector{{SMPPServer, "u1"}, {HTTPClient, "abc"}}}, nil},
		{MT, Route{Order: 1, Type: RandomRoundrobinMTRoute, Filters: []*Filter{tf}, Connectors: to("abc", "abc", "def")}, nil}, // a weight
		{MT, Route{Order: 5, Type: DefaultRoute, Filters: []*Filter{tf}, Connectors: to("abc", "def"), Rate: -1}, []string{
			"order: invalid value 5, the order of DefaultRoute is 0", "filters: DefaultRoute has none",
			"connector: DefaultRoute needs exactly one", "rate: invalid value -0.000001, must not be negative"}},
		{MT, Route{Order: 0, Type: StaticMTRoute, Connectors: http}, []string{
			"order: 0 is reserved for DefaultRoute", "filters: StaticMTRoute needs at least one", "connector: http(http_1) cannot be used in MT routes"}},
		{MT, Route{Order: -1, Type: FailoverMTRoute, Filters: []*Filter{cf}, Connectors: to("abc")}, []string{
			"order: invalid value -1, must be 0 (default route) to 2147483647", "filters: ConnectorFilter f cannot be used in MT routes",
			"connectors: FailoverMTRoute needs at least 2"}},
		{MO, Route{Order: 1, Type: StaticMTRoute, Filters: []*Filter{uf}, Connectors: to("abc"), Rate: 1}, []string{
			"type: StaticMTRoute is no MO route", "filters: UserFilter f cannot be used in MO routes",
			"connector: smppc(abc) cannot be used in MO routes", "rate: MO routes have none"}},
		{MO, Route{Order: 1, Type: FailoverMORoute, Filters: []*Filter{tf}, Connectors: []Connector{{SMPPServer, "u1"}, {HTTPClient, "abc"}}}, []string{
			"connectors: smpps(u1) and http(abc) cannot be mixed in a FailoverMORoute"}},
	} {
		var got []string
		if err := tt.route.Validate(tt.d); err != nil {
			got = strings.Split(err.Error(), "\n")
		}
		if !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s %+v:\ngot  %q\nwant %q", tt.d, tt.route, got, tt.want)
		}
	}
	_, err := NewTable(MT, []*Route{
		{Order: 7, Type: StaticMTRoute, Filters: []*Filter{tf}, Connectors: to("abc")},
		{Order: 7, Type: StaticMTRoute, Filters: []*Filter{tf}, Connectors: to("def")},
	})
	if err == nil || err.Error() != "MT route 7: the order is used twice" {
		t.Errorf("got %v", err)
	}
}

func TestParseConnector(t *testing.T) {
	for _, tt := range []struct {
		d    Direction
		text string
		want Connector // zero: refused
	}{
		{MT, "smppc(abc)", Connector{SMPPClient, "abc"}},
		{MT, "SMPPC(abc-D_1)", Connector{SMPPClient, "abc-D_1"}},
		{MO, "http(http_1)", Connector{HTTPClient, "http_1"}},
		{MO, "smpps(u1)", Connector{SMPPServer, "u1"}},
		{MT, "http(http_1)", Connector{}}, {MO, "smppc(abc)", Connector{}}, {MT, "abc", Connector{}}, {MT, "smppc(ab)", Connector{}},
		{MT, "smppc(abc", Connector{}}, {MT, "smppc abc)", Connector{}}, {MT, "smppc(abc))", Connector{}}, {MT, "smppc(abc) ", Connector{}}, {MT, "", Connector{}},
		{MO, "smpps(0123456789abcdef)", Connector{}}, {MO, "ftp(abc)", Connector{}}, {MT, "(abc)", Connector{}},
	} {
		got, err := ParseConnector(tt.d, tt.text)
		if got != tt.want || (err == nil) != (tt.want != Connector{}) {
			t.Errorf("%s %q: got %v, %v, want %v", tt.d, tt.text, got, err, tt.want)
		}
	}
}

func TestParseRouteType(t *testing.T) {
	for _, d := range []Direction{MT, MO} {
		for _, typ := range RouteTypes(d) {
			if got, err := ParseRouteType(d, strings.ToUpper(typ.String())); err != nil || got != typ {
				t.Errorf("%s %s: got %v, %v", d, typ, got, err)
			}
		}
		if got := len(RouteTypes(d)); got != map[Direction]int{MT: 7, MO: 4}[d] {
			t.Errorf("%s: %d types", d, got)
		}
	}
	if _, err := ParseRouteType(MT, "StaticMORoute"); err == nil || !strings.Contains(err.Error(), `unknown MT route type "StaticMORoute", must be one of DefaultRoute, StaticMTRoute`) {
		t.Errorf("got %v", err)
	}
}

// naive is a table as the documentation tells it: regular expressions, one loop, no
// shortcut. Its fields stand where Filter has types.
type naive struct {
	order         int
	dst, src, txt *regexp.Regexp
	uid, tag      string
}

func (n *naive) match(m *Message) bool {
	return (n.dst == nil || n.dst.MatchString(m.Destination)) && (n.src == nil || n.src.MatchString(m.Source)) &&
		(n.txt == nil || n.txt.MatchString(m.Content)) && (n.uid == "" || n.uid == string(m.User)) && (n.tag == "" || slices.Contains(m.Tags, n.tag))
}

func TestTableAgreesWithANaiveRouter(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	digits := func(n int) string { return fmt.Sprintf("%0*d", n, rng.IntN(intPow(10, n))) }
	var routes []*Route
	var reference []*naive
	for i := range 300 {
		order := 1000 - i
		r := &Route{Order: order, Type: StaticMTRoute, Connectors: to("abc")}
		n := &naive{order: order}
		add := func(typ FilterType, value string) *regexp.Regexp {
			r.Filters = append(r.Filters, filter(t, typ, value))
			return regexp.MustCompile("^(?:" + value + ")")
		}
		for len(r.Filters) == 0 {
			if rng.IntN(2) == 0 {
				n.dst = add(DestinationAddrFilter, []string{"^" + digits(2), digits(2) + "|" + digits(1), "^" + digits(2) + `\d+$`, "[0-4]" + digits(1), digits(5) + "$"}[rng.IntN(5)])
			}
			if rng.IntN(4) == 0 {
				n.src = add(SourceAddrFilter, []string{"JASMIN", "(?i)jas", ".*MIN$", `\d`}[rng.IntN(4)])
			}
			if rng.IntN(4) == 0 {
				n.txt = add(ShortMessageFilter, []string{"^hello", ".*world", "a|h"}[rng.IntN(3)])
			}
			if rng.IntN(4) == 0 {
				n.uid = "u" + digits(1)
				add(UserFilter, n.uid)
			}
			if rng.IntN(8) == 0 {
				n.tag = digits(1)
				add(TagFilter, n.tag)
			}
		}
		routes, reference = append(routes, r), append(reference, n)
	}
	rng.Shuffle(len(routes), func(i, j int) { routes[i], routes[j] = routes[j], routes[i] })
	table, err := NewTable(MT, routes)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for range 20_000 {
		m := Message{
			Source: []string{"JASMIN", "jasmin", "1234", ""}[rng.IntN(4)], Destination: digits(5),
			Content: []string{"hello world", "a world", "ciao"}[rng.IntN(3)], User: "u0", Tags: []string{digits(1)},
		}
		want := -1
		for _, n := range reference {
			if n.match(&m) {
				want = n.order
				break
			}
		}
		got := -1
		if r := table.Match(&m); r != nil {
			got = r.Order
			found++
		}
		if got != want {
			t.Fatalf("%+v: got %d, want %d", m, got, want)
		}
	}
	if found < 1000 {
		t.Errorf("only %d messages found a route: the test is too easy", found)
	}
}

func intPow(b, e int) int {
	v := 1
	for range e {
		v *= b
	}
	return v
}

// The message matches the last route only, so every route is looked at.
func BenchmarkMatch(b *testing.B) {
	for _, n := range []int{10, 100, 1000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			routes := []*Route{{Type: DefaultRoute, Connectors: to("abc"), Rate: billing.Unit}}
			for i := 1; i < n; i++ {
				routes = append(routes, &Route{Order: i, Type: StaticMTRoute, Connectors: to("abc"),
					Filters: []*Filter{filter(b, DestinationAddrFilter, fmt.Sprintf(`^%05d\d+`, i)), filter(b, UserFilter, "u1")}})
			}
			table, err := NewTable(MT, routes)
			if err != nil {
				b.Fatal(err)
			}
			m := Message{Destination: "99999612345678", User: "u1"}
			b.ReportAllocs()
			for b.Loop() {
				if r := table.Match(&m); r == nil || r.Order != 0 {
					b.Fatal(r)
				}
			}
		})
	}
}

// Patterns without a literal start must run each time.
func BenchmarkMatchExpressions(b *testing.B) {
	for _, n := range []int{10, 100, 1000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			routes := []*Route{{Type: DefaultRoute, Connectors: to("abc")}}
			for i := 1; i < n; i++ {
				routes = append(routes, &Route{Order: i, Type: StaticMTRoute, Connectors: to("abc"),
					Filters: []*Filter{filter(b, DestinationAddrFilter, fmt.Sprintf(`^(?:%d|%d)\d{8}$`, i, i+1))}})
			}
			table, err := NewTable(MT, routes)
			if err != nil {
				b.Fatal(err)
			}
			m := Message{Destination: "99999612345678"}
			b.ReportAllocs()
			for b.Loop() {
				table.Match(&m)
			}
		})
	}
}

// A table without an index: what the index saves.
func BenchmarkMatchOneAfterTheOther(b *testing.B) {
	for _, n := range []int{10, 100, 1000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			routes := []*Route{{Type: DefaultRoute, Connectors: to("abc")}}
			for i := 1; i < n; i++ {
				routes = append(routes, &Route{Order: i, Type: StaticMTRoute, Connectors: to("abc"),
					Filters: []*Filter{filter(b, DestinationAddrFilter, fmt.Sprintf(`^(?:%d|%d)\d{8}$`, i, i+1))}})
			}
			table, err := NewTable(MT, routes)
			if err != nil {
				b.Fatal(err)
			}
			table.index = nil
			m := Message{Destination: "99999612345678"}
			b.ReportAllocs()
			for b.Loop() {
				table.Match(&m)
			}
		})
	}
}

// Patterns that nothing can be said of, so that each must run.
func BenchmarkMatchWithoutBeginnings(b *testing.B) {
	for _, n := range []int{10, 100, 1000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			routes := []*Route{{Type: DefaultRoute, Connectors: to("abc")}}
			for i := 1; i < n; i++ {
				routes = append(routes, &Route{Order: i, Type: StaticMTRoute, Connectors: to("abc"),
					Filters: []*Filter{filter(b, ShortMessageFilter, fmt.Sprintf(`.*code %d`, i))}})
			}
			table, err := NewTable(MT, routes)
			if err != nil {
				b.Fatal(err)
			}
			m := Message{Content: "your number is ready"}
			b.ReportAllocs()
			for b.Loop() {
				table.Match(&m)
			}
		})
	}
}
