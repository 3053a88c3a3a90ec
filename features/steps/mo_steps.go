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
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/cucumber/godog"
	"go.yaml.in/yaml/v3"

	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smscsim"
)

// mobiles is what a scenario about messages from mobiles has beside others.
type mobiles struct {
	pages    *httptest.Server // where MO are thrown to, a path each; nil: none
	calls    record[moCall]
	refusing map[string]bool // paths whose page does not acknowledge
	mu       sync.Mutex      // guards refusing
	answers  []pdu.Status    // of the SMSC's messages so far
	esmes    map[string]*receiver
	seen     int // calls that a step has looked at
}

type moCall struct {
	path, method string
	params       url.Values
}

// receiver is an ESME that takes messages.
type receiver struct {
	session *smpp.Session
	done    chan error
	got     record[pdu.PDU]
	seen    int
}

// ServeSMPP notes what comes and acknowledges it.
func (r *receiver) ServeSMPP(_ *smpp.Session, req *smpp.Request) {
	r.got.add(req.PDU)
	req.Respond(pdu.StatusOK, nil) //nolint:errcheck // a session that is gone is delivered to again
}

func (m *mobiles) close() error {
	var errs []error
	for _, e := range m.esmes {
		e.session.Close(nil)
		<-e.done
	}
	if m.pages != nil {
		m.pages.Close()
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
	m.mu.Lock()
	refuse := m.refusing[r.URL.Path]
	m.mu.Unlock()
	if refuse {
		http.Error(w, "no", http.StatusInternalServerError)
		return
	}
	io.WriteString(w, "ACK/Jasmin") //nolint:errcheck // the gateway calls again
	m.calls.add(moCall{r.URL.Path, r.Method, params})
}

func (m *mobiles) url() string {
	if m.pages == nil {
		m.pages = httptest.NewServer(m)
	}
	return m.pages.URL
}

func (w *World) moSteps(sc *godog.ScenarioContext) {
	w.mo = mobiles{esmes: map[string]*receiver{}, refusing: map[string]bool{}}
	sc.Step(`^the provisioning file also declares:$`, w.alsoDeclare)
	sc.Step(`^MO go to "(.+)"$`, func(connector string) error {
		if strings.HasPrefix(connector, "http(") {
			cid := strings.TrimSuffix(strings.TrimPrefix(connector, "http("), ")")
			w.plan.add("http_connectors", map[string]any{"cid": cid, "url": w.mo.url() + "/" + cid, "method": "GET"})
		}
		w.plan.add("mo_routes", map[string]any{"type": "DefaultRoute", "connector": connector})
		return nil
	})
	sc.Step(`^the page "(/\w+)" refuses messages$`, func(path string) {
		w.mo.mu.Lock()
		defer w.mo.mu.Unlock()
		w.mo.refusing[path] = true
	})
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

// alsoDeclare adds to the provisioning file what is written; {pages} stands for the customer's pages.
func (w *World) alsoDeclare(text *godog.DocString) error {
	var extra map[string][]any
	if err := yaml.Unmarshal([]byte(strings.ReplaceAll(text.Content, "{pages}", w.mo.url())), &extra); err != nil {
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
	g, ok := w.gateway.(*inProcess)
	if !ok {
		return errors.New("the gateway is not running in this process")
	}
	password := ""
	for _, u := range w.plan.users {
		if u.name == name {
			password = u.password
		}
	}
	r := &receiver{done: make(chan error, 1)}
	ctx, cancel := deadline()
	defer cancel()
	var err error
	r.session, _, err = smpp.Dial(ctx, "tcp", g.g.Addresses()["smpp-server"], smpp.DialConfig{
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

// moCalled waits for the next call of a page and compares it with the table. A value of "-" means that
// the parameter is not there.
func (w *World) moCalled(path, method string, t *godog.Table) error {
	want, err := pairs(t)
	if err != nil {
		return err
	}
	m := &w.mo
	if err := m.calls.wait("a call of the page "+path, func(c []moCall) bool { return len(c) > m.seen }); err != nil {
		return err
	}
	calls := m.calls.all()
	// Calls may overtake one another on their way: any that was not looked at will do.
	at := slices.IndexFunc(calls[m.seen:], func(c moCall) bool { return c.path == path })
	if at < 0 {
		return fmt.Errorf("the calls are %+v", calls[m.seen:])
	}
	c := calls[m.seen+at]
	m.seen++
	if c.method != method {
		return fmt.Errorf("it was called by %s", c.method)
	}
	for _, kv := range want {
		value, ok := c.params[kv[0]]
		switch {
		case kv[1] == "-" && ok:
			return fmt.Errorf("%s is there: %q", kv[0], value)
		case kv[1] != "-" && (len(value) != 1 || !same(kv[1], value[0])):
			return fmt.Errorf("%s is %q, want %q in %v", kv[0], value, kv[1], c.params)
		}
	}
	return nil
}
