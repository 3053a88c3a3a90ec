package steps

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/cucumber/godog"
)

// client speaks HTTP and leaves no connection behind.
type client struct {
	*http.Client
	transport *http.Transport
}

func newClient() *client {
	t := &http.Transport{MaxIdleConnsPerHost: 1}
	return &client{Client: &http.Client{Transport: t, Timeout: patience}, transport: t}
}

func (c *client) close() { c.transport.CloseIdleConnections() }

// answer is what became of a request.
type answer struct {
	status  int
	body    string
	err     error
	id      string // of a Success
	content string // that was sent
	to      string // whom, where a step asks
}

// String is the answer for people.
func (a answer) String() string {
	if a.err != nil {
		return a.err.Error()
	}
	return fmt.Sprintf("%d %s", a.status, a.body)
}

var success = regexp.MustCompile(`^Success "([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"$`)

func (c *client) do(req *http.Request, err error) answer {
	if err != nil {
		return answer{err: err}
	}
	resp, err := c.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	a := answer{status: resp.StatusCode, body: string(body), err: err}
	if id := success.FindStringSubmatch(a.body); id != nil && a.status == http.StatusOK {
		a.id = id[1]
	}
	return a
}

func (c *client) get(u string) answer { return c.do(http.NewRequest(http.MethodGet, u, nil)) }

// send calls /send by GET, POST (a form) or JSON.
func (c *client) send(addr, how string, params url.Values) answer {
	u := "http://" + addr + "/send"
	var req *http.Request
	var err error
	switch how {
	case "GET":
		req, err = http.NewRequest(http.MethodGet, u+"?"+params.Encode(), nil)
	case "POST":
		req, err = http.NewRequest(http.MethodPost, u, strings.NewReader(params.Encode()))
		if err == nil {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
	case "JSON":
		object := make(map[string]string)
		for name := range params {
			object[name] = params.Get(name)
		}
		body, jsonErr := json.Marshal(object)
		if jsonErr != nil {
			return answer{err: jsonErr}
		}
		req, err = http.NewRequest(http.MethodPost, u, bytes.NewReader(body))
		if err == nil {
			req.Header.Set("Content-Type", "application/json")
		}
	default:
		err = fmt.Errorf("sending by %q is not known", how)
	}
	a := c.do(req, err)
	a.content = params.Get("content")
	return a
}

// messages are those that customers send over HTTP, one at a time.
type messages struct {
	gateway *underTest
	pages   *pages
	smscs   *smscs
	foreign *foreign
	http    *client
	answer  answer   // to the last request
	sent    []answer // all Successes
	want    string   // content of the last one
	marks   int      // barriers that were sent
}

// closedAtOnce connects, sends nothing, and wants the end of the connection.
func closedAtOnce(address string) error {
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	got, err := io.ReadAll(conn)
	if errors.Is(err, syscall.ECONNRESET) {
		err = nil
	}
	if len(got) > 0 {
		return fmt.Errorf("it said %q", got)
	}
	return err
}

func (m *messages) steps(sc *godog.ScenarioContext) {
	sc.Step(`^a message is sent$`, func() error { return m.send("GET", nil) })
	sc.Step(`^a message is sent with:$`, func(t *godog.Table) error { return m.send("GET", t) })
	sc.Step(`^a message is sent by (GET|POST|JSON)$`, func(how string) error { return m.send(how, nil) })
	sc.Step(`^a message is sent by (GET|POST|JSON) with:$`, m.send)
	sc.Step(`^the request "(.*)" is made$`, func(path string) error {
		if err := m.gateway.running(); err != nil {
			return err
		}
		m.answer = m.http.get("http://" + m.gateway.run.http() + path)
		return m.answer.err
	})
	sc.Step(`^connections to its doors are closed at once$`, func() error {
		if err := m.gateway.running(); err != nil {
			return err
		}
		for _, door := range []string{"http-api", "smpp-server", "jcli"} {
			if err := closedAtOnce(m.gateway.run.address(door)); err != nil {
				return fmt.Errorf("%s: %w", door, err)
			}
		}
		return nil
	})
	sc.Step(`^the answer is (\d+) (.*)$`, func(status int, body string) error {
		if m.answer.status != status || m.answer.body != body {
			return fmt.Errorf("the answer was %s", m.answer)
		}
		return nil
	})
	sc.Step(`^the answer is (\d+)$`, func(status int) error {
		if m.answer.status != status {
			return fmt.Errorf("the answer was %s", m.answer)
		}
		return nil
	})
	sc.Step(`^the answer is 200, with the counters:$`, func(t *godog.Table) error {
		var errs []error
		for _, row := range t.Rows {
			name := row.Cells[0].Value
			declared := strings.Contains("\n"+m.answer.body, "\n# TYPE "+name+" counter\n")
			if m.answer.status != http.StatusOK || !declared || !regexp.MustCompile(`(?m)^`+name+`(\{.*\})? \d+$`).MatchString(m.answer.body) {
				errs = append(errs, fmt.Errorf("%s is not in the answer of status %d", name, m.answer.status))
			}
		}
		return errors.Join(errs...)
	})
	sc.Step(`^(\d+) messages are sent one after the other with:$`, func(n int, t *godog.Table) error {
		for range n {
			if err := m.send("GET", t); err != nil {
				return err
			}
			if m.answer.id == "" {
				return fmt.Errorf("the answer was %s", m.answer)
			}
		}
		return nil
	})
	sc.Step(`^it is accepted$`, func() error {
		if m.answer.id == "" {
			return fmt.Errorf("the answer was %s", m.answer)
		}
		return nil
	})
	sc.Step(`^a message of "(\w+)" with password "(\w+)" is accepted, at last$`, func(username, password string) error {
		return m.eventually("an acceptance", username, password, func(a answer) bool { return a.id != "" })
	})
	sc.Step(`^a message of "(\w+)" with password "(\w+)" is refused, at last$`, func(username, password string) error {
		return m.eventually("a refusal", username, password, func(a answer) bool { return a.status == http.StatusForbidden })
	})
}

// eventually sends until the answer is right, for changes that no event tells of.
func (m *messages) eventually(what, username, password string, right func(answer) bool) error {
	err := until(what, func() bool {
		m.want = "at last"
		m.answer = m.http.send(m.gateway.run.http(), "GET", url.Values{"username": {username}, "password": {password}, "to": {"06222172"}, "content": {m.want}})
		return right(m.answer)
	})
	if err != nil {
		return fmt.Errorf("%w; the last answer was %s", err, m.answer)
	}
	m.sent = append(m.sent, m.answer)
	return nil
}

// absent as the value of a parameter leaves it out.
const absent = "(none)"

// asUTF16 behind a parameter's name sends its octets with coding 8.
const asUTF16 = " (UTF-16BE)"

// send sends one message: what the table leaves open is foo, bar, 06222172 and hello.
func (m *messages) send(how string, t *godog.Table) error {
	if err := m.gateway.running(); err != nil {
		return err
	}
	params := url.Values{"username": {"foo"}, "password": {"bar"}, "to": {"06222172"}, "content": {"hello"}}
	m.want = "hello"
	if t != nil {
		values, err := pairs(t)
		if err != nil {
			return err
		}
		for _, kv := range values {
			name, value := kv[0], m.pages.filledIn(expand(kv[1]))
			if plain, ok := strings.CutSuffix(name, asUTF16); ok {
				name = plain
				m.want, value = value, utf16be(value)
			} else if name == "content" {
				m.want = value
			}
			if name == "hex-content" {
				params.Del("content")
			}
			params.Set(name, value)
			if value == absent {
				params.Del(name)
			}
		}
	}
	m.answer = m.http.send(m.gateway.run.http(), how, params)
	if m.answer.id != "" {
		m.sent = append(m.sent, m.answer)
	}
	return m.answer.err
}

// lastID is the id of the last accepted message.
func (m *messages) lastID() string {
	if len(m.sent) == 0 {
		return ""
	}
	return m.sent[len(m.sent)-1].id
}

// mark sends one more message, with a content of its own.
func (m *messages) mark(to string) (answer, error) {
	if err := m.gateway.running(); err != nil {
		return answer{}, err
	}
	m.marks++
	params := url.Values{"username": {"foo"}, "password": {"bar"}, "to": {to}, "content": {fmt.Sprintf("mark %d", m.marks)}}
	a := m.http.send(m.gateway.run.http(), "GET", params)
	if a.id == "" {
		return a, fmt.Errorf("the message behind was answered %s", a)
	}
	return a, nil
}

// nothingElse sends one more message and sees that it is the next that the SMSC gets. What
// was sent before it would have come before it.
func (m *messages) nothingElse(s *smsc) error {
	a, err := m.mark("0999")
	if err != nil {
		return err
	}
	list, err := s.next(1)
	if err == nil && list[0].Text != a.content {
		err = fmt.Errorf("it got %q to %s as well", list[0].Text, list[0].To)
	}
	return err
}

// dlrValue puts in what a feature cannot know.
func (m *messages) dlrValue(s string) string {
	switch s {
	case "<id>":
		return m.lastID()
	case "<date>": // YYMMDDhhmm
		return `/\d{2}(?:0[1-9]|1[0-2])(?:[0-2]\d|3[01])(?:[01]\d|2[0-3])[0-5]\d/`
	case "<id at the SMSC>":
		if m.foreign.alien != nil {
			return strings.ToUpper(m.foreign.alien.lastID())
		}
		for _, s := range m.smscs.byName {
			if len(s.taken) > 0 {
				return strings.TrimLeft(strings.ToUpper(s.taken[0].ID), "0")
			}
		}
		return "(the SMSC got nothing)"
	}
	return s
}
