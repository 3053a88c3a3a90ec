package steps

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cucumber/godog"
	"go.yaml.in/yaml/v3"

	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smscsim"
)

// mobiles is what a scenario about messages from mobiles has beside others.
type mobiles struct {
	pages   *httptest.Server // customers' pages, a path each; nil: none
	calls   record[moCall]
	mu      sync.Mutex              // guards pageAns and refuses
	pageAns map[string][]pageAnswer // by path: to the next calls, the last one for ever; none: ACK/Jasmin
	refuses map[string]pdu.Status   // by ESME: what it answers
	answers []pdu.Status            // of the SMSC's messages so far
	esmes   map[string]*receiver
	seen    map[int]bool // calls that a step has looked at
	silent  *silent      // a host that never answers; nil: none
	writing *writing     // mobiles that write by themselves
}

type moCall struct {
	path, method string
	params       url.Values
	acked        bool
}

// receiver is an ESME that takes messages.
type receiver struct {
	session *smpp.Session
	done    chan error
	status  func() pdu.Status // that it answers
	got     record[pdu.PDU]   // what it acknowledged
	refused record[pdu.PDU]
	seen    int
}

// ServeSMPP notes what comes and acknowledges it, or refuses it.
func (r *receiver) ServeSMPP(_ *smpp.Session, req *smpp.Request) {
	status := r.status()
	if status == pdu.StatusOK {
		r.got.add(req.PDU)
	} else {
		r.refused.add(req.PDU)
	}
	req.Respond(status, nil) //nolint:errcheck // a session that is gone is delivered to again
}

func (r *receiver) leave() {
	r.session.Close(nil)
	<-r.done
}

func (m *mobiles) close() error {
	var errs []error
	for _, e := range m.esmes {
		e.leave()
	}
	if m.pages != nil {
		m.pages.Close()
	}
	if m.silent != nil {
		m.silent.close()
	}
	return errors.Join(errs...)
}

// ServeHTTP notes a call and acknowledges it, unless its path is to refuse.
func (m *mobiles) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.URL.RawQuery
	if r.Method == http.MethodPost {
		body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		query = string(body)
	}
	params, err := url.ParseQuery(query)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	a, acked := m.answerOf(r.URL.Path)
	m.calls.add(moCall{r.URL.Path, r.Method, params, acked})
	if a.location != "" {
		w.Header().Set("Location", a.location)
	}
	w.WriteHeader(a.status)
	io.WriteString(w, a.body) //nolint:errcheck // the gateway calls again
}

// answerOf is what a page answers to its next call.
func (m *mobiles) answerOf(path string) (a pageAnswer, acked bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := m.pageAns[path]
	if len(list) == 0 {
		return pageAnswer{status: http.StatusOK, body: "ACK/Jasmin"}, true
	}
	if len(list) > 1 {
		m.pageAns[path] = list[1:]
	}
	return list[0], list[0].status == http.StatusOK && list[0].body == "ACK/Jasmin"
}

// answer has a page answer n times so, and then acknowledge; n 0: always so.
func (m *mobiles) answer(path string, a pageAnswer, n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := slices.Repeat([]pageAnswer{a}, max(n, 1))
	if n > 0 {
		list = append(list, pageAnswer{status: http.StatusOK, body: "ACK/Jasmin"})
	}
	m.pageAns[path] = list
}

func (m *mobiles) url() string {
	if m.pages == nil {
		m.pages = httptest.NewServer(m)
	}
	return m.pages.URL
}

func (w *World) moSteps(sc *godog.ScenarioContext) {
	w.mo = mobiles{esmes: map[string]*receiver{}, pageAns: map[string][]pageAnswer{}, refuses: map[string]pdu.Status{}, seen: map[int]bool{}}
	sc.Step(`^the provisioning file also declares:$`, w.alsoDeclare)
	sc.Step(`^MO go to "(.+)"$`, func(connector string) error {
		if strings.HasPrefix(connector, "http(") {
			cid := strings.TrimSuffix(strings.TrimPrefix(connector, "http("), ")")
			w.plan.add("http_connectors", map[string]any{"cid": cid, "url": w.mo.url() + "/" + cid, "method": "GET"})
		}
		w.plan.add("mo_routes", map[string]any{"type": "DefaultRoute", "connector": connector})
		return nil
	})
	sc.Step(`^the page "(/\w+)" refuses messages$`, func(path string) { w.mo.answer(path, pageAnswer{status: 500, body: "no"}, 0) })
	sc.Step(`^the ESME "(\w+)" binds$`, w.bindReceiver)
	sc.Step(`^a mobile sends "(.*)"$`, func(text string) error { return w.mobileSends("", text, nil) })
	sc.Step(`^a mobile sends "(.*)" with:$`, func(text string, t *godog.Table) error { return w.mobileSends("", text, t) })
	sc.Step(`^the SMSC is answered (\w+)$`, func(want string) error {
		if len(w.mo.answers) == 0 || w.mo.answers[len(w.mo.answers)-1].String() != want {
			return fmt.Errorf("the answers are %v", w.mo.answers)
		}
		return nil
	})
	sc.Step(`^the ESME "(\w+)" gets, in this order:$`, w.esmeGets)
	sc.Step(`^the page "(/\w+)" is called by (GET|POST) with:$`, w.moCalled)
}

var aroundNow = regexp.MustCompile(`\{now([+-]\d+h)\}`)

// filledIn puts addresses into a text: of the customers' pages, and of a host that never answers;
// and for {now+6h} the time of day in six hours.
func (m *mobiles) filledIn(text string) string {
	if strings.Contains(text, "{pages}") {
		text = strings.ReplaceAll(text, "{pages}", m.url())
	}
	if strings.Contains(text, "{silent}") {
		text = strings.ReplaceAll(text, "{silent}", m.silentURL())
	}
	return aroundNow.ReplaceAllStringFunc(text, func(s string) string {
		d, _ := time.ParseDuration(aroundNow.FindStringSubmatch(s)[1]) // by the expression
		return time.Now().Add(d).Format(time.TimeOnly)
	})
}

// alsoDeclare adds to the provisioning file what is written, see filledIn.
func (w *World) alsoDeclare(text *godog.DocString) error {
	var extra map[string][]any
	if err := yaml.Unmarshal([]byte(w.mo.filledIn(text.Content)), &extra); err != nil {
		return err
	}
	for section, list := range extra {
		for _, e := range list {
			w.plan.add(section, e)
		}
	}
	return nil
}

// bindReceiver binds a user as a receiver.
func (w *World) bindReceiver(name string) error {
	if w.gateway == nil {
		return errors.New("the gateway is not running")
	}
	if before := w.mo.esmes[name]; before != nil {
		before.leave()
	}
	password := ""
	for _, u := range w.plan.users {
		if u.name == name {
			password = u.password
		}
	}
	r := &receiver{done: make(chan error, 1), status: func() pdu.Status {
		w.mo.mu.Lock()
		defer w.mo.mu.Unlock()
		return w.mo.refuses[name]
	}}
	ctx, cancel := deadline()
	defer cancel()
	var err error
	r.session, _, err = smpp.Dial(ctx, "tcp", w.gateway.address("smpp-server"), smpp.DialConfig{
		Bind: pdu.Bind{Type: pdu.Receiver, SystemID: name, Password: password, InterfaceVersion: 0x34}, Config: smpp.Config{Handler: r}})
	if err != nil {
		return err
	}
	w.mo.esmes[name] = r
	go func() { r.done <- r.session.Run(context.Background()) }()
	return nil
}

// mobileSends has the SMSC send a message; the table has fields of the simulator's MO.
func (w *World) mobileSends(name, text string, t *godog.Table) error {
	mo := smscsim.MO{From: "336123", To: "85111", Text: expand(text)}
	if t != nil {
		list, err := pairs(t)
		if err != nil {
			return err
		}
		fields := make(map[string]any, len(list))
		for _, kv := range list {
			fields[kv[0]] = kv[1]
			var v any
			if kv[0] != "from" && kv[0] != "to" && kv[0] != "hex" && kv[0] != "raw" && json.Unmarshal([]byte(kv[1]), &v) == nil {
				fields[kv[0]] = v
			}
		}
		b, err := json.Marshal(fields)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(b, &mo); err != nil {
			return fmt.Errorf("fields of the message: %w", err)
		}
	}
	s := w.smscs[name]
	if s == nil {
		return fmt.Errorf("there is no SMSC %q", name)
	}
	sim, err := s.simulator()
	if err != nil {
		return err
	}
	mo.Timeout = smscsim.Duration(patience)
	ctx, cancel := deadline()
	defer cancel()
	status, err := sim.InjectMO(ctx, mo)
	if err != nil {
		return err
	}
	w.mo.answers = append(w.mo.answers, status)
	return nil
}

// esmeGets compares what an ESME got with a table whose columns are pdu, from, to, text and esm_class.
func (w *World) esmeGets(name string, t *godog.Table) error {
	want, err := rows(t)
	if err != nil {
		return err
	}
	r := w.mo.esmes[name]
	if r == nil {
		return fmt.Errorf("the ESME %q is not bound", name)
	}
	if err := r.got.wait(fmt.Sprintf("%d messages of the ESME %q", len(want), name), func(p []pdu.PDU) bool { return len(p) >= r.seen+len(want) }); err != nil {
		return err
	}
	got := r.got.all()[r.seen:]
	r.seen += len(got)
	if len(got) != len(want) {
		return fmt.Errorf("the ESME %q got %d messages: %+v", name, len(got), got)
	}
	for i, p := range got {
		is := map[string]string{"pdu": p.CommandID().String()}
		switch q := p.(type) {
		case *pdu.DeliverSM:
			is["from"], is["to"], is["esm_class"], is["text"] = q.Source.Addr, q.Dest.Addr, strconv.Itoa(int(q.ESMClass)), strconv.Quote(string(q.ShortMessage))
		case *pdu.DataSM:
			payload, _ := q.TLVs.Get(pdu.TagMessagePayload)
			is["from"], is["to"], is["esm_class"], is["text"] = q.Source.Addr, q.Dest.Addr, strconv.Itoa(int(q.ESMClass)), strconv.Quote(string(payload))
		}
		for column, value := range want[i] {
			if column == "text" {
				value = strings.Replace(strconv.Quote(expand(value)), `\\`, `\`, -1)
			}
			if value != is[column] {
				return fmt.Errorf("message %d of the ESME %q: %s is %s, want %s", i+1, name, column, is[column], value)
			}
		}
	}
	return nil
}

// moCalled waits for the next call of a page that it acknowledges, and compares it with the table. A value of "-" means that
// the parameter is not there.
func (w *World) moCalled(path, method string, t *godog.Table) error {
	want, err := pairs(t)
	if err != nil {
		return err
	}
	m := &w.mo
	at := -1
	next := func(calls []moCall) bool {
		at = slices.IndexFunc(calls, func(c moCall) bool { return c.path == path && c.acked })
		for at >= 0 && m.seen[at] {
			after := slices.IndexFunc(calls[at+1:], func(c moCall) bool { return c.path == path && c.acked })
			if after < 0 {
				at = -1
				break
			}
			at += 1 + after
		}
		return at >= 0
	}
	if err := m.calls.wait("a call of the page "+path, next); err != nil {
		return fmt.Errorf("%w: %+v", err, m.calls.all())
	}
	c := m.calls.all()[at]
	m.seen[at] = true
	if c.method != method {
		return fmt.Errorf("it was called by %s", c.method)
	}
	for _, kv := range want {
		value, ok := c.params[kv[0]]
		switch {
		case kv[1] == "-" && ok:
			return fmt.Errorf("%s is there: %q", kv[0], value)
		case kv[1] != "-" && (len(value) != 1 || !same(w.dlrValue(kv[1]), value[0])):
			return fmt.Errorf("%s is %q, want %q in %v", kv[0], value, kv[1], c.params)
		}
	}
	return nil
}
