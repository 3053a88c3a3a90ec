package steps

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cucumber/godog"
)

// pages are customers' pages, a path each, on a server that is made when an address of it is first needed;
// and a host that never answers.
type pages struct {
	server *httptest.Server // nil: none yet
	silent *silent          // nil: none yet

	mu     sync.Mutex // guards byPath
	byPath map[string]*page
}

// page is one of them. It acknowledges calls, unless it is to answer otherwise.
type page struct {
	path  string
	calls record[call]
	seen  map[int]bool // calls that a step has looked at

	mu      sync.Mutex   // guards answers
	answers []pageAnswer // to the next calls, the last one for ever; none: acknowledged
}

type pageAnswer struct {
	status   int
	body     string
	location string // of a redirect
}

// acknowledged is the answer that the gateway waits for.
var acknowledged = pageAnswer{status: http.StatusOK, body: "ACK/Jasmin"}

// call is one call of a page.
type call struct {
	at     time.Time
	method string
	params url.Values
	acked  bool
	fault  string // what is wrong with a DLR that comes so
}

// dlrPath is the page that DLRs go to.
const dlrPath = "/dlr"

// at gives the page of a path.
func (p *pages) at(path string) *page {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.byPath[path] == nil {
		if p.byPath == nil {
			p.byPath = make(map[string]*page)
		}
		p.byPath[path] = &page{path: path, seen: map[int]bool{}}
	}
	return p.byPath[path]
}

// url is the address of a page.
func (p *pages) url(path string) string {
	if p.server == nil {
		p.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.at(r.URL.Path).ServeHTTP(w, r) }))
	}
	return p.server.URL + path
}

func (p *pages) close() {
	if p.server != nil {
		p.server.Close()
	}
	if p.silent != nil {
		p.silent.close()
	}
}

var aroundNow = regexp.MustCompile(`\{now([+-]\d+h)\}`)

// filledIn puts addresses into a text: of the page of DLRs, of all pages, and of the host that never answers;
// and for {now+6h} the time of day in six hours.
func (p *pages) filledIn(text string) string {
	for name, address := range map[string]func() string{"<page>": func() string { return p.url(dlrPath) }, "{pages}": func() string { return p.url("") },
		"{silent}": p.silentURL} {
		if strings.Contains(text, name) {
			text = strings.ReplaceAll(text, name, address())
		}
	}
	return aroundNow.ReplaceAllStringFunc(text, func(s string) string {
		d, _ := time.ParseDuration(aroundNow.FindStringSubmatch(s)[1]) // by the expression
		return time.Now().Add(d).Format(time.TimeOnly)
	})
}

// silent is a customer's host that takes connections and requests and never answers.
type silent struct {
	server *httptest.Server
	quit   chan struct{}
	calls  record[string]
}

func (p *pages) silentURL() string {
	if p.silent == nil {
		s := &silent{quit: make(chan struct{})}
		s.server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			s.calls.add(r.URL.Path)
			<-s.quit
		}))
		p.silent = s
	}
	return p.silent.server.URL
}

func (s *silent) close() {
	close(s.quit)
	s.server.CloseClientConnections()
	s.server.Close()
}

// ServeHTTP notes the call and answers it.
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
	a := p.answer()
	c.acked = a.status == acknowledged.status && a.body == acknowledged.body
	if a.location != "" {
		w.Header().Set("Location", a.location)
	}
	w.WriteHeader(a.status)
	io.WriteString(w, a.body) //nolint:errcheck // the gateway calls again
	p.calls.add(c)
}

// answer is what the page answers to its next call.
func (p *page) answer() pageAnswer {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.answers) == 0 {
		return acknowledged
	}
	a := p.answers[0]
	if len(p.answers) > 1 {
		p.answers = p.answers[1:]
	}
	return a
}

// is has the page answer n times so, and then acknowledge; n 0: always so.
func (p *page) is(a pageAnswer, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answers = slices.Repeat([]pageAnswer{a}, max(n, 1))
	if n > 0 {
		p.answers = append(p.answers, acknowledged)
	}
}

// next waits for a call that no step has looked at yet, of those that match.
func (p *page) next(what string, match func(call) bool) (call, error) {
	at := -1
	err := p.calls.wait(what, func(calls []call) bool {
		for at = range calls {
			if !p.seen[at] && match(calls[at]) {
				return true
			}
		}
		return false
	})
	if err != nil {
		return call{}, err
	}
	p.seen[at] = true
	return p.calls.all()[at], nil
}

// called waits for n calls; exactly: there are no more.
func (p *page) called(n int, exactly bool) error {
	if err := p.calls.wait(fmt.Sprintf("%d calls of the page %s", n, p.path), func(c []call) bool { return len(c) >= n }); err != nil {
		return err
	}
	if k := len(p.calls.all()); exactly && k != n {
		return fmt.Errorf("it was called %d times", k)
	}
	return nil
}

func (p *pages) steps(sc *godog.ScenarioContext, m *messages) {
	dlr := p.at(dlrPath)
	sc.Step(`^the page answers (\d+) "(.*)" to the first (\d+) calls?$`, func(status int, body string, n int) {
		dlr.is(pageAnswer{status: status, body: body}, n)
	})
	sc.Step(`^the page is called by (GET|POST) with exactly:$`, func(method string, t *godog.Table) error { return dlr.calledWith(m, method, t) })
	sc.Step(`^the page was called (\d+) times, always with the same$`, func(n int) error {
		if err := dlr.called(n, false); err != nil {
			return err
		}
		list := dlr.calls.all()
		for i, c := range list {
			if c.params.Encode() != list[0].params.Encode() || c.method != list[0].method {
				return fmt.Errorf("call %d was %s %v, the first %s %v", i+1, c.method, c.params, list[0].method, list[0].params)
			}
			dlr.seen[i] = true
		}
		return nil
	})
	sc.Step(`^the page is not called any more$`, func() error { return dlr.notCalledAnyMore(m) })
	sc.Step(`^the page "(/\w+)" is called by (GET|POST) with:$`, func(path, method string, t *godog.Table) error { return p.at(path).ackedWith(m, method, t) })
	sc.Step(`^the page "(/\w+)" refuses messages$`, func(path string) { p.at(path).is(pageAnswer{status: 500, body: "no"}, 0) })
	sc.Step(`^the page "(/\w+)" answers (\d+) "(.*)"$`, func(path string, status int, body string) {
		p.at(path).is(pageAnswer{status: status, body: body}, 0)
	})
	sc.Step(`^the page "(/\w+)" answers (\d+) "(.*)" to the (?:first|next) (\d+) calls?$`, func(path string, status int, body string, n int) {
		p.at(path).is(pageAnswer{status: status, body: body}, n)
	})
	sc.Step(`^the page "(/\w+)" redirects to the page "(/\w+)" by (\d+)$`, func(path, other string, status int) {
		p.at(path).is(pageAnswer{status: status, body: "moved", location: p.url(other)}, 0)
	})
	sc.Step(`^the page "(/\w+)" is well again$`, func(path string) { p.at(path).is(acknowledged, 0) })
	sc.Step(`^the page "(/\w+)" was called (\d+) times?$`, func(path string, n int) error { return p.at(path).called(n, true) })
	sc.Step(`^the page "(/\w+)" is called (\d+) times at last$`, func(path string, n int) error { return p.at(path).called(n, false) })
	sc.Step(`^the silent host has (\d+) calls? of "(/\w+)" and no more$`, func(n int, path string) error {
		p.silentURL()
		count := func(calls []string) int {
			return len(slices.DeleteFunc(calls, func(called string) bool { return called != path }))
		}
		err := p.silent.calls.wait(fmt.Sprintf("%d calls of the silent host", n), func(c []string) bool { return count(c) >= n })
		if k := count(p.silent.calls.all()); err == nil && k != n {
			err = fmt.Errorf("it has %d", k)
		}
		return err
	})
}

// calledWith waits for a call with the method, id and level of the table and compares it.
// The order of levels is not looked at: calls may overtake one another on their way.
func (p *page) calledWith(m *messages, method string, t *godog.Table) error {
	list, err := pairs(t)
	if err != nil {
		return err
	}
	want := make(map[string]string, len(list))
	for _, kv := range list {
		want[kv[0]] = m.dlrValue(kv[1])
	}
	c, err := p.next(fmt.Sprintf("a call of the page at level %s for %s", want["level"], want["id"]), func(c call) bool {
		return c.params.Get("level") == want["level"] && c.params.Get("id") == want["id"]
	})
	if err != nil {
		return err
	}
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

// ackedWith waits for the next call of a page that it acknowledges, and compares it with the table. A value of "-" means that
// the parameter is not there.
func (p *page) ackedWith(m *messages, method string, t *godog.Table) error {
	want, err := pairs(t)
	if err != nil {
		return err
	}
	c, err := p.next("a call of the page "+p.path, func(c call) bool { return c.acked })
	if err != nil {
		return fmt.Errorf("%w: %+v", err, p.calls.all())
	}
	if c.method != method {
		return fmt.Errorf("it was called by %s", c.method)
	}
	for _, kv := range want {
		value, ok := c.params[kv[0]]
		switch {
		case kv[1] == "-" && ok:
			return fmt.Errorf("%s is there: %q", kv[0], value)
		case kv[1] != "-" && (len(value) != 1 || !same(m.dlrValue(kv[1]), value[0])):
			return fmt.Errorf("%s is %q, want %q in %v", kv[0], value, kv[1], c.params)
		}
	}
	return nil
}

// notCalledAnyMore has one more message go the whole way: the DLRs of the one before would
// have come before its own.
func (p *page) notCalledAnyMore(m *messages) error {
	for _, s := range m.smscs.byName {
		if sim, err := s.simulator(); err == nil {
			if err := sim.ResetBehaviour(); err != nil {
				return err
			}
		}
	}
	m.marks++
	a := m.http.send(m.gateway.run.http(), "GET", url.Values{"username": {"foo"}, "password": {"bar"}, "to": {"0999"}, "content": {"mark"},
		"dlr-url": {m.pages.url(dlrPath)}, "dlr-level": {"1"}})
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
