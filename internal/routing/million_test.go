package routing

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"jasmind/internal/sms"
)

// reference is a table as the documentation tells it, made of regular expressions alone. What
// an expression says of one text is asked once and kept as a bit for each route, so that a
// million messages can be looked at: a message matches the first route whose bit is set for
// its destination, its source, its text and its sender.
type reference struct {
	routes []naive // in descending order
}

const words = 1000/64 + 1

type verdicts [words]uint64

func (ref *reference) judge(match func(*naive) bool) (v verdicts) {
	for i := range ref.routes {
		if match(&ref.routes[i]) {
			v[i/64] |= 1 << (i % 64)
		}
	}
	return v
}

func first(a, b, c, d *verdicts) int {
	for w := range words {
		if x := a[w] & b[w] & c[w] & d[w]; x != 0 {
			for i := range 64 {
				if x>>i&1 != 0 {
					return w*64 + i
				}
			}
		}
	}
	return -1
}

func digitsOf(rng *rand.Rand, n int) string { return fmt.Sprintf("%0*d", n, rng.IntN(intPow(10, n))) }

// randomTable makes 1,000 routes with filters of every kind of pattern.
func randomTable(t *testing.T, rng *rand.Rand) (*Table, *reference) {
	var routes []*Route
	ref := &reference{}
	for i := range 1000 {
		order := 5000 - i
		r, n := &Route{Order: order, Type: StaticMTRoute, Connectors: to("abc")}, naive{order: order}
		add := func(typ FilterType, value string) *regexp.Regexp {
			r.Filters = append(r.Filters, filter(t, typ, value))
			return regexp.MustCompile(`\A(?:` + value + `)`)
		}
		narrow := rng.IntN(8) != 0 // the others look at sender, source and text
		if narrow {
			d := func(n int) string { return digitsOf(rng, n) }
			n.dst = add(DestinationAddrFilter, []string{
				"^" + d(4), d(5) + "|" + d(4) + "|" + d(6), "^" + d(3) + `\d*[13]$`, "^" + d(5) + "[0-4]", d(7) + "$", `\+?` + d(3) + `\d+$`, `^[1-3]` + d(4), `^(?:` + d(4) + "|" + d(4) + `)\d{4,6}$`,
				`\d*` + d(4) + "$", "(?i)" + d(4), "^" + d(18)[:16],
			}[rng.IntN(11)])
		}
		if !narrow || rng.IntN(4) == 0 {
			n.src = add(SourceAddrFilter, []string{"JASMIN" + digitsOf(rng, 1), "(?i)jas", ".*" + digitsOf(rng, 1) + "$", "[1-4]" + digitsOf(rng, 1), "A|B|JA", "^$"}[rng.IntN(6)])
		}
		if !narrow || rng.IntN(3) == 0 {
			n.txt = add(ShortMessageFilter, []string{"^hello.*" + digitsOf(rng, 1), ".*world", "a|h", "(?i)STOP", `[^h]+\d$`, "^code " + digitsOf(rng, 2)}[rng.IntN(6)])
		}
		if !narrow || rng.IntN(4) == 0 {
			n.uid = "u" + digitsOf(rng, 2)
			add(UserFilter, n.uid)
		}
		if rng.IntN(2) == 0 { // the order of the filters does not matter
			rng.Shuffle(len(r.Filters), func(i, j int) { r.Filters[i], r.Filters[j] = r.Filters[j], r.Filters[i] })
		}
		routes, ref.routes = append(routes, r), append(ref.routes, n)
	}
	rng.Shuffle(len(routes), func(i, j int) { routes[i], routes[j] = routes[j], routes[i] })
	table, err := NewTable(MT, routes)
	if err != nil {
		t.Fatal(err)
	}
	return table, ref
}

// A million random messages, with the race detector (which makes regular expressions many times
// slower, and has one goroutine to look at here) 10,000, through a table of 1,000 routes.
func TestAMillionMessagesAgreeWithANaiveRouter(t *testing.T) {
	messages, destinations, fewest := 1_000_000, 4000, 100
	if raceDetector {
		messages, destinations, fewest = 10_000, 120, 30
	}
	rng := rand.New(rand.NewPCG(3, 4))
	table, ref := randomTable(t, rng)
	type known struct {
		text string
		v    verdicts
	}
	pool := func(n int, text func() string, match func(r *naive, s string) bool) []known {
		out := make([]known, n)
		for i := range out {
			s := text()
			out[i] = known{s, ref.judge(func(r *naive) bool { return match(r, s) })}
		}
		return out
	}
	d := func(n int) string { return digitsOf(rng, n) }
	dst := pool(destinations, func() string {
		// Half of them begin as some route wants it.
		if r := &ref.routes[rng.IntN(len(ref.routes))]; r.dst != nil && rng.IntN(2) == 0 {
			seed := strings.Map(func(c rune) rune {
				if c < '0' || c > '9' {
					return -1
				}
				return c
			}, r.dst.String())
			return seed[:min(len(seed), 3+rng.IntN(6))] + d(rng.IntN(5)+1)
		}
		return []string{"", "+"}[rng.IntN(2)] + d(4+rng.IntN(6)) + d(rng.IntN(4)+1)
	}, func(r *naive, s string) bool { return r.dst == nil || r.dst.MatchString(s) })
	src := pool(100, func() string { return []string{"JASMIN", "jas", "", "A", "b"}[rng.IntN(5)] + d(1+rng.IntN(3)) },
		func(r *naive, s string) bool { return r.src == nil || r.src.MatchString(s) })
	src = append(src, pool(1, func() string { return "" }, func(r *naive, s string) bool { return r.src == nil || r.src.MatchString(s) })...)
	txt := pool(100, func() string {
		return []string{"hello ", "a world ", "ciao", "stop ", "Stop", "code ", "héhé "}[rng.IntN(7)] + d(1+rng.IntN(2))
	}, func(r *naive, s string) bool { return r.txt == nil || r.txt.MatchString(s) })
	users := pool(40, func() string { return "u" + d(2) }, func(r *naive, s string) bool { return r.uid == "" || r.uid == s })

	found, places := 0, map[int]bool{}
	for range messages {
		a, b, c, u := &dst[rng.IntN(len(dst))], &src[rng.IntN(len(src))], &txt[rng.IntN(len(txt))], &users[rng.IntN(len(users))]
		m := Message{Destination: a.text, Source: b.text, Content: c.text, User: sms.UserID(u.text)}
		want := -1
		if i := first(&a.v, &b.v, &c.v, &u.v); i >= 0 {
			want = ref.routes[i].order
			found++
			places[i] = true
		}
		got := -1
		if r := table.Match(&m); r != nil {
			got = r.Order
		}
		if got != want {
			t.Fatalf("%+v: got route %d, want %d", m, got, want)
		}
	}
	if found < messages/10 || found == messages || len(places) < fewest {
		t.Errorf("%d of %d messages found one of %d routes: the test is too easy", found, messages, len(places))
	}
	t.Logf("%d messages, %d of them found one of %d routes", messages, found, len(places))
}
