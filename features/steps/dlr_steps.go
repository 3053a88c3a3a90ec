package steps

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cucumber/godog"
)

// page is the customer's page that DLRs are sent to.
type page struct {
	server *httptest.Server
	calls  record[call]
	seen   map[int]bool // calls that a step has looked at

	mu      sync.Mutex
	answers []pageAnswer // to the next calls; then ACK/Jasmin
}

type pageAnswer struct {
	status   int
	body     string
	location string // of a redirect
}

// call is one call of the page.
type call struct {
	at     time.Time
	method string
	params url.Values
	acked  bool
	fault  string // what is wrong with the call as such
}

func (w *World) dlrPage() *page {
	if w.page == nil {
		p := &page{seen: map[int]bool{}}
		p.server = httptest.NewServer(p)
		w.page = p
	}
	return w.page
}

func (p *page) url() string { return p.server.URL + "/dlr" }

func (p *page) close() { p.server.Close() }

// ServeHTTP notes the call and acknowledges it, or does what a step has asked for.
func (p *page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := call{at: time.Now(), method: r.Method}
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		c.fault = err.Error()
	}
	query := r.URL.RawQuery
	if r.Method == http.MethodPost {
		if r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
			c.fault = "Content-Type is " + r.Header.Get("Content-Type")
		}
		if query != "" {
			c.fault = "a POST with the query " + query
		}
		query = string(body)
	}
	if c.params, err = url.ParseQuery(query); err != nil {
		c.fault = err.Error()
	}
	a := pageAnswer{status: http.StatusOK, body: "ACK/Jasmin"}
	c.acked = true
	p.mu.Lock()
	if len(p.answers) > 0 {
		a, p.answers = p.answers[0], p.answers[1:]
		c.acked = false
	}
	p.mu.Unlock()
	w.WriteHeader(a.status)
	io.WriteString(w, a.body) //nolint:errcheck // the gateway calls again
	p.calls.add(c)
}

func (w *World) dlrSteps(sc *godog.ScenarioContext) {
	sc.Step(`^the page answers (\d+) "(.*)" to the first (\d+) calls?$`, func(status int, body string, n int) {
		p := w.dlrPage()
		p.mu.Lock()
		defer p.mu.Unlock()
		for range n {
			p.answers = append(p.answers, pageAnswer{status: status, body: body})
		}
	})
	sc.Step(`^the page is called by (GET|POST) with exactly:$`, w.calledWith)
	sc.Step(`^the page was called (\d+) times, always with the same$`, func(n int) error {
		p := w.dlrPage()
		err := p.calls.wait(fmt.Sprintf("%d calls of the page", n), func(c []call) bool { return len(c) >= n })
		if err != nil {
			return err
		}
		list := p.calls.all()
		for i, c := range list {
			if c.params.Encode() != list[0].params.Encode() || c.method != list[0].method {
				return fmt.Errorf("call %d was %s %v, the first %s %v", i+1, c.method, c.params, list[0].method, list[0].params)
			}
			p.seen[i] = true
		}
		return nil
	})
	sc.Step(`^the page is not called any more$`, w.notCalledAnyMore)
	sc.Step(`^the page is told of both levels for every accepted message$`, func() error { return w.toldOfAll("1", "2") })
}

// calledWith waits for a call with the method, id and level of the table and compares it.
// The order of levels is not looked at: calls may overtake one another on their way.
func (w *World) calledWith(method string, t *godog.Table) error {
	list, err := pairs(t)
	if err != nil {
		return err
	}
	want := make(map[string]string, len(list))
	for _, kv := range list {
		want[kv[0]] = w.dlrValue(kv[1])
	}
	p := w.dlrPage()
	found := -1
	look := func(calls []call) bool {
		found = slices.IndexFunc(calls, func(c call) bool { return c.params.Get("level") == want["level"] && c.params.Get("id") == want["id"] })
		for found >= 0 && p.seen[found] {
			next := slices.IndexFunc(calls[found+1:], func(c call) bool { return c.params.Get("level") == want["level"] && c.params.Get("id") == want["id"] })
			if next < 0 {
				found = -1
				break
			}
			found += 1 + next
		}
		return found >= 0
	}
	if err := p.calls.wait(fmt.Sprintf("a call of the page at level %s for %s", want["level"], want["id"]), look); err != nil {
		return err
	}
	p.seen[found] = true
	c := p.calls.all()[found]
	var faults []string
	if c.fault != "" {
		faults = append(faults, c.fault)
	}
	if c.method != method {
		faults = append(faults, "it was called by "+c.method)
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		switch got := c.params[name]; {
		case len(got) != 1:
			faults = append(faults, fmt.Sprintf("%s is there %d times", name, len(got)))
		case !same(want[name], got[0]):
			faults = append(faults, fmt.Sprintf("%s is %q, want %q", name, got[0], want[name]))
		}
	}
	for name := range c.params {
		if _, ok := want[name]; !ok {
			faults = append(faults, fmt.Sprintf("%s=%q is there as well", name, c.params.Get(name)))
		}
	}
	if len(faults) > 0 {
		return fmt.Errorf("%s", strings.Join(faults, "; "))
	}
	return nil
}

// dlrValue puts in what a feature cannot know.
func (w *World) dlrValue(s string) string {
	switch s {
	case "<id>":
		return w.lastID()
	case "<date>": // YYMMDDhhmm
		return `/\d{2}(?:0[1-9]|1[0-2])(?:[0-2]\d|3[01])(?:[01]\d|2[0-3])[0-5]\d/`
	case "<id at the SMSC>":
		if w.alien != nil {
			return strings.ToUpper(w.alien.lastID())
		}
		for _, s := range w.smscs {
			if len(s.taken) > 0 {
				return strings.TrimLeft(strings.ToUpper(s.taken[0].ID), "0")
			}
		}
		return "(the SMSC got nothing)"
	}
	return s
}

// notCalledAnyMore has one more message go the whole way: the DLRs of the one before would
// have come before its own.
func (w *World) notCalledAnyMore() error {
	p := w.dlrPage()
	for _, s := range w.smscs {
		if sim, err := s.simulator(); err == nil {
			if err := sim.ResetBehaviour(); err != nil {
				return err
			}
		}
	}
	w.marks++
	a := w.http.send(w.gateway.http(), "GET", url.Values{"username": {"foo"}, "password": {"bar"}, "to": {"0999"}, "content": {"mark"},
		"dlr-url": {p.url()}, "dlr-level": {"1"}})
	if a.id == "" {
		return fmt.Errorf("the message behind was answered %s", a)
	}
	err := p.calls.wait("the DLR of the message behind", func(calls []call) bool {
		return slices.ContainsFunc(calls, func(c call) bool { return c.params.Get("id") == a.id })
	})
	if err != nil {
		return err
	}
	for i, c := range p.calls.all() {
		if !p.seen[i] && c.params.Get("id") != a.id {
			return fmt.Errorf("the page was also called with %v", c.params)
		}
		p.seen[i] = true
	}
	return nil
}

// toldOfAll waits until the page was told of every accepted message of the load, at each level.
func (w *World) toldOfAll(levels ...string) error {
	ids := make(map[string]bool)
	for _, a := range w.load.accepted() {
		ids[a.id] = true
	}
	if len(ids) == 0 {
		return fmt.Errorf("no message was accepted")
	}
	var missing []string
	err := w.dlrPage().calls.wait("DLRs of all accepted messages", func(calls []call) bool {
		told := make(map[string]bool)
		for _, c := range calls {
			if c.acked && ids[c.params.Get("id")] {
				told[c.params.Get("id")+" "+c.params.Get("level")] = true
			}
		}
		missing = missing[:0]
		for id := range ids {
			for _, level := range levels {
				if !told[id+" "+level] {
					missing = append(missing, "level "+level+" of "+id)
				}
			}
		}
		return len(missing) == 0
	})
	if err != nil {
		slices.Sort(missing)
		return fmt.Errorf("%w; %d DLRs of %d messages are missing: %v", err, len(missing), len(ids), missing[:min(len(missing), 10)])
	}
	return nil
}
