package metrics

import (
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

func TestNamesAndValuesAreExact(t *testing.T) {
	var n atomic.Int64
	var s Set
	s.Counter("httpapi_request_count", "Http request count.", func() float64 { return float64(n.Load()) })
	s.Gauge("smppsapi_connected_count", "Number of connected sessions.", func() float64 { return 3 })
	s.CounterEach("smppc_submit_sm_count", "Complete SubmitSm transactions count.", "cid", func(emit Emit) {
		emit("a", 1)
		emit("b", 2)
	})
	h, err := s.Handler()
	if err != nil {
		t.Fatal(err)
	}
	n.Store(7)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{
		"# HELP httpapi_request_count Http request count.\n# TYPE httpapi_request_count counter\nhttpapi_request_count 7\n",
		"# TYPE smppsapi_connected_count gauge\nsmppsapi_connected_count 3\n",
		"smppc_submit_sm_count{cid=\"a\"} 1\nsmppc_submit_sm_count{cid=\"b\"} 2\n",
		"go_goroutines ",
	} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("%q is missing in\n%.1500s", want, w.Body.String())
		}
	}
}

func TestNameUsedTwiceIsAnError(t *testing.T) {
	var s Set
	for range 2 {
		s.Counter("x", "x", func() float64 { return 0 })
	}
	if _, err := s.Handler(); err == nil {
		t.Error("no error")
	}
}

func TestNameOfTheProcessOwnFiguresIsAnError(t *testing.T) {
	var s Set
	s.Gauge("go_goroutines", "x", func() float64 { return 0 })
	if _, err := s.Handler(); err == nil {
		t.Error("no error")
	}
}

// A label value that comes twice is our fault: the scrape says so, instead of leaving a number out.
func TestLabelValueThatComesTwiceFailsTheScrape(t *testing.T) {
	var s Set
	s.GaugeEach("x", "x", "cid", func(emit Emit) { emit("a", 1); emit("a", 2) })
	h, err := s.Handler()
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 500 {
		t.Errorf("status %d", w.Code)
	}
}

func TestScrapesWhileCounting(t *testing.T) {
	var n atomic.Int64
	var s Set
	s.CounterEach("x", "x", "cid", func(emit Emit) { emit("a", float64(n.Load())) })
	h, err := s.Handler()
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 20 {
				n.Add(1)
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
				if w.Code != 200 {
					t.Errorf("status %d", w.Code)
				}
			}
		})
	}
	wg.Wait()
}
