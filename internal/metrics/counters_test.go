package metrics

import (
	"net/http/httptest"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

type counted struct {
	Requests atomic.Int64 `console:"request_count" metric:"x_*_request_count" help:"Requests of *s."`
	Last     Moment       `console:"last_at"`
	Sequence Number       `console:"last_seqNum"`
	Waiting  Func         `metric:"x_waiting" help:"What waits." kind:"gauge"`
	Quiet    Func         `console:"quiet"`
	Name     string       // no counter

	own atomic.Int64
}

func page(t *testing.T, s *Set) string {
	t.Helper()
	h, err := s.Handler()
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Body.String()
}

func wantIn(t *testing.T, page string, texts ...string) {
	t.Helper()
	for _, want := range texts {
		if !strings.Contains(page, want) {
			t.Errorf("%q is missing in\n%.1500s", want, page)
		}
	}
}

func TestCounterHasTwoNames(t *testing.T) {
	var c counted
	c.own.Add(1)
	c.Waiting = func() int64 { return c.Requests.Load() + 1 }
	var s Set
	s.CountersOf("mo", &c)
	if got, want := Items(&c), []Item{{"request_count", "0"}, {"last_at", "ND"}, {"last_seqNum", "ND"}, {"quiet", "0"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("before: got %v, want %v", got, want)
	}
	c.Requests.Store(7)
	c.Last.Set(time.Date(2019, 6, 4, 2, 22, 17, 5, time.Local))
	c.Sequence.Store(1<<31 - 1)
	if got, want := Items(&c), []Item{{"request_count", "7"}, {"last_at", "2019-06-04 02:22:17"}, {"last_seqNum", "2147483647"}, {"quiet", "0"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("after: got %v, want %v", got, want)
	}
	wantIn(t, page(t, &s),
		"# HELP x_mo_request_count Requests of MOs.\n# TYPE x_mo_request_count counter\nx_mo_request_count 7\n",
		"# HELP x_waiting What waits.\n# TYPE x_waiting gauge\nx_waiting 8\n")
}

func TestCountersOfEach(t *testing.T) {
	type cid string
	type counted struct {
		Requests atomic.Int64 `console:"request_count" metric:"request_count" help:"Requests."`
		Waiting  Func         `metric:"waiting" help:"What waits." kind:"gauge"`
	}
	var all [2]counted
	all[1].Requests.Add(3)
	all[1].Waiting = func() int64 { return 4 }
	var s Set
	CountersEach(&s, "cid", func(yield func(cid, *counted)) {
		yield("a", &all[0])
		yield("b", &all[1])
	})
	wantIn(t, page(t, &s), `request_count{cid="a"} 0`, `request_count{cid="b"} 3`, `waiting{cid="a"} 0`, `waiting{cid="b"} 4`)
}

func TestWrongDeclarationIsAnError(t *testing.T) {
	for want, c := range map[string]any{
		"counter N: it has no name": &struct{ N atomic.Int64 }{},
		"counter N: metric x has no help": &struct {
			N atomic.Int64 `metric:"x"`
		}{},
		"counter N: metrics.Moment is no number": &struct {
			N Moment `metric:"x" help:"x"`
		}{},
		`counter N: unknown kind "gaugge"`: &struct {
			N atomic.Int64 `metric:"x" help:"x" kind:"gaugge"`
		}{},
	} {
		var s Set
		s.Counters(c)
		if _, err := s.Handler(); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
