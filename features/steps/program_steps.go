package steps

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/cucumber/godog"
)

// interpreters run the programs of testdata/documentation, by their extension.
var interpreters = map[string]string{".py": "python3", ".php": "php", ".rb": "ruby"}

// programs counts how the programs of customers were run in a Suite.
type programs struct {
	mu   sync.Mutex
	runs map[string]int // "python3 itself", "ruby's requests"
}

func (p *programs) count(how string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.runs == nil {
		p.runs = make(map[string]int)
	}
	p.runs[how]++
}

// Programs tells how the customers' programs were run, "" if there were none.
func (s *Suite) Programs() string {
	s.programs.mu.Lock()
	defer s.programs.mu.Unlock()
	var list []string
	for _, how := range slices.Sorted(maps.Keys(s.programs.runs)) {
		list = append(list, fmt.Sprintf("%s %d", how, s.programs.runs[how]))
	}
	if len(list) == 0 {
		return ""
	}
	return "customers' programs: " + strings.Join(list, ", ")
}

// programRun is what the last program of a customer's did.
type programRun struct {
	suite    *Suite
	messages *messages

	itself  bool     // it was run, not just its requests made
	printed string   // by it
	answers []answer // to its requests
}

func (c *programRun) steps(sc *godog.ScenarioContext) {
	sc.Step(`^the program "([\w.]+)" asks for:$`, c.program)
	sc.Step(`^all its requests are accepted$`, func() error {
		for i, a := range c.answers {
			if a.id == "" {
				return fmt.Errorf("the answer to request %d was %s", i+1, a)
			}
		}
		return nil
	})
	sc.Step(`^request (\d+) is answered (\d+) (.*)$`, func(n, status int, body string) error {
		if n < 1 || n > len(c.answers) {
			return fmt.Errorf("there were %d requests", len(c.answers))
		}
		if a := c.answers[n-1]; a.status != status || a.body != body {
			return fmt.Errorf("the answer was %s", a)
		}
		return nil
	})
	sc.Step(`^it prints what it was answered$`, func() error {
		var want strings.Builder
		for _, a := range c.answers {
			want.WriteString(a.body + "\n")
		}
		return c.printedIs(want.String())
	})
	sc.Step(`^it prints:$`, func(want *godog.DocString) error { return c.printedIs(want.Content + "\n") })
}

// printedIs compares what the program printed, if it was run.
func (c *programRun) printedIs(want string) error {
	if c.itself && c.printed != want {
		return fmt.Errorf("it printed\n%s\nwant\n%s", c.printed, want)
	}
	return nil
}

// program runs a program of testdata/documentation with the addresses of the API and of the DLR page.
// The table has the requests that it makes; where its interpreter is not installed, they are made in its place.
func (c *programRun) program(name string, t *godog.Table) error {
	if err := c.messages.gateway.running(); err != nil {
		return err
	}
	var want []string
	for _, row := range t.Rows {
		want = append(want, strings.ReplaceAll(expand(row.Cells[0].Value), "<page>", url.QueryEscape(c.messages.pages.url(dlrPath))))
	}
	interpreter, ok := interpreters[filepath.Ext(name)]
	if !ok {
		return fmt.Errorf("no interpreter is known for %q", name)
	}
	c.itself, c.printed, c.answers = false, "", nil
	between := &relay{messages: c.messages}
	server := httptest.NewServer(between)
	defer server.Close()
	var err error
	if path, missing := exec.LookPath(interpreter); missing == nil {
		c.suite.programs.count(interpreter + " itself")
		err = c.run(path, name, server.URL)
	} else {
		c.suite.programs.count(interpreter + "'s requests")
		for _, r := range want {
			c.messages.http.do(http.NewRequest(http.MethodGet, server.URL+r, nil))
		}
	}
	if err != nil {
		return err
	}
	requests, answers := between.all()
	if !slices.Equal(requests, want) {
		return fmt.Errorf("it asked for\n%s", strings.Join(requests, "\n"))
	}
	c.answers = answers
	for _, a := range answers {
		c.messages.answer = a
		if a.id != "" {
			c.messages.sent = append(c.messages.sent, a)
		}
	}
	return nil
}

func (c *programRun) run(interpreter, name, api string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var out, complaint bytes.Buffer
	cmd := exec.CommandContext(ctx, interpreter, filepath.Join("..", "testdata", "documentation", name), api, c.messages.pages.url(dlrPath))
	cmd.Env = append(cmd.Environ(), "no_proxy=127.0.0.1", "NO_PROXY=127.0.0.1")
	cmd.Stdout, cmd.Stderr = &out, &complaint
	err := cmd.Run()
	c.itself, c.printed = true, out.String()
	if err != nil {
		return fmt.Errorf("%s %s: %w\n%s", interpreter, name, err, complaint.String())
	}
	return nil
}

// relay stands between a program and the gateway, and notes what is asked and answered.
type relay struct {
	messages *messages

	mu       sync.Mutex
	requests []string
	answers  []answer
}

// ServeHTTP hands a request on as it came.
func (r *relay) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.Method != http.MethodGet {
		http.Error(w, "GET alone is relayed", http.StatusNotImplemented)
		return
	}
	a := r.messages.http.get("http://" + r.messages.gateway.run.http() + req.RequestURI)
	r.mu.Lock()
	r.requests, r.answers = append(r.requests, req.RequestURI), append(r.answers, a)
	r.mu.Unlock()
	if a.err != nil {
		http.Error(w, a.err.Error(), http.StatusBadGateway)
		return
	}
	w.WriteHeader(a.status)
	io.WriteString(w, a.body) //nolint:errcheck // the program says what it lacks
}

func (r *relay) all() ([]string, []answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.requests), slices.Clone(r.answers)
}
