package mt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"jasmind/internal/intercept"
	"jasmind/internal/provision"
	"jasmind/internal/routing"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

// fakeScripts is a pool that runs rules, and keeps count.
type fakeScripts struct {
	err       error // instead of running
	runs      atomic.Int64
	evaluated atomic.Int64                      // scripts of filters
	seen      atomic.Pointer[intercept.Message] // by the last run
}

func (f *fakeScripts) Run(ctx context.Context, script *intercept.Script, m *intercept.Message) (*intercept.Verdict, error) {
	if f.runs.Add(1); f.err != nil {
		return nil, f.err
	}
	f.seen.Store(m)
	pool := intercept.New(intercept.Config{}, slog.New(slog.DiscardHandler))
	defer pool.Close()
	return pool.Run(ctx, script, m)
}

func (f *fakeScripts) Evaluate(context.Context, *intercept.Script, *intercept.Message) (bool, error) {
	f.evaluated.Add(1)
	return true, nil
}

func (f *fakeScripts) Check(context.Context, *intercept.Script) error { return nil }

func (f *fake) scripted(rule string) (*Service, *fakeScripts) {
	sc := &fakeScripts{}
	if f.rule = rule; rule == "" {
		f.rule = "true" // what it would do does not matter
	}
	return f.over(Config{}, func(d *Deps) { d.Scripts = provision.NewScripts(sc, slog.New(slog.DiscardHandler)) }), sc
}

func TestWhatAScriptChangesAndLocks(t *testing.T) {
	for _, tt := range []struct {
		name    string
		rule    string
		message func(*Message)
		want    func(*pdu.Message)
	}{
		{"nothing", `true`, nil, func(*pdu.Message) {}},
		{"a source", `set("source_addr", "ACME")`, nil, func(p *pdu.Message) { p.Source.Addr = "ACME" }},
		{"an empty source that is locked", `lock("source_addr")`, nil, func(p *pdu.Message) { p.Source.Addr = "" }},
		{"a type of number alone is the connector's", `set("dest_addr_ton", 5)`, nil, func(*pdu.Message) {}},
		{"a type of number that is locked is the script's", `set("dest_addr_ton", 5) and lock("dest_addr_ton")`, nil, func(p *pdu.Message) { p.Dest.TON = 5 }},
		{"a protocol_id that is locked", `set("protocol_id", 9) and lock("protocol_id")`, nil, func(p *pdu.Message) { p.ProtocolID = 9 }},
		{"a priority", `set("priority_flag", 3)`, nil, func(p *pdu.Message) { p.PriorityFlag = 3 }},
		{"a priority that is locked", `lock("priority_flag")`, nil, func(p *pdu.Message) { p.PriorityFlag = 0 }},
		{"the content", `set("short_message", "ab€")`, nil, func(p *pdu.Message) { p.DataCoding, p.ShortMessage = 0, []byte("ab\x1be") }},
		{"the coding of a text", `set("data_coding", 3)`, nil, func(p *pdu.Message) { p.DataCoding, p.ShortMessage = 3, []byte("h\xe9") }},
		{"content and coding", `set("data_coding", 8) and set("short_message", "x")`, nil, func(p *pdu.Message) { p.DataCoding, p.ShortMessage = 8, []byte("\x00x") }},
		{"the coding of octets", `set("data_coding", 4)`, func(m *Message) { m.IsText, m.PDU.ShortMessage = false, []byte{1, 2} },
			func(p *pdu.Message) { p.DataCoding, p.ShortMessage = 4, []byte{1, 2} }},
		{"an esm_class", `set("esm_class", 1)`, nil, func(p *pdu.Message) { p.ESMClass = 1 }},
		{"a registered_delivery that was not asked for", `set("registered_delivery", 1)`, nil, func(p *pdu.Message) { p.RegisteredDelivery = 1 }},
		{"an optional parameter", `set("source_port", 7)`, nil, func(p *pdu.Message) { p.TLVs = pdu.TLVs{{Tag: pdu.TagSourcePort, Value: []byte{0, 7}}} }},
		{"a vendor's parameter", `add_custom_tlv(5120, "Int2", 258)`, nil, func(p *pdu.Message) { p.TLVs = pdu.TLVs{{Tag: 0x1400, Value: []byte{1, 2}}} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake()
			f.cfg.SourceAddr, f.cfg.Priority, f.cfg.Coding, f.cfg.ProtocolIDSet, f.cfg.ProtocolID = "BANK", 2, 8, true, 64
			s, sc := f.scripted(tt.rule)
			m := text("hé")
			if tt.message != nil {
				tt.message(m)
			}
			want := single("")
			want.Source.Addr, want.PriorityFlag, want.DataCoding, want.ProtocolID, want.ShortMessage = "BANK", 2, 8, 64, []byte("\x00h\x00\xe9")
			if !m.IsText {
				want.ShortMessage = m.PDU.ShortMessage
			}
			tt.want(&want)
			_, env := f.submit(t, s, m)
			if len(env.Parts) != 1 || !equalMessages(env.Parts[0].Message, want) {
				t.Errorf("got  %+v\nwant %+v", env.Parts, want)
			}
			if sc.runs.Load() != 1 || !m.Intercepted {
				t.Errorf("%d runs, intercepted %v", sc.runs.Load(), m.Intercepted)
			}
		})
	}
}

// A script sees the whole content encoded, and parameters as a message without settings has them.
func TestWhatAScriptSees(t *testing.T) {
	f := newFake()
	s, sc := f.scripted("true")
	m := text(strings.Repeat("é", 200))
	m.PDU.ScheduleDeliveryTime, m.Tags = "000001000000000R", []string{"a"}
	m.Set, m.Validity, m.Report = FieldValidity, 90*time.Second, Report{What: sms.ReportFinal, URL: "http://x", Method: "GET"}
	_, env := f.submit(t, s, m)
	want := pdu.Message{Source: pdu.Address{TON: 2, NPI: 1}, Dest: pdu.Address{TON: 1, NPI: 1, Addr: "336"}, ESMClass: 3, RegisteredDelivery: 1,
		ScheduleDeliveryTime: "000001000000000R", ValidityPeriod: "000000000130000R", ShortMessage: bytes.Repeat([]byte{5}, 200)}
	if got := sc.seen.Load(); !reflect.DeepEqual(got.PDU, want) || got.Direction != intercept.MT || got.User.UID != "u1" || got.User.GID != "g1" || got.Tags[0] != "a" {
		t.Errorf("seen %+v\nwant %+v", got, want)
	}
	if len(env.Parts) != 2 || env.Parts[0].RegisteredDelivery != 1 || env.Parts[0].ESMClass != 0x40 || env.Parts[0].ValidityPeriod != "" {
		t.Errorf("left as %+v", env.Parts)
	}
}

func TestContentThatAScriptMakesLongIsCut(t *testing.T) {
	f := newFake()
	s, _ := f.scripted(`set("short_message", content + content)`)
	if _, env := f.submit(t, s, text(strings.Repeat("x", 100))); len(env.Parts) != 2 {
		t.Errorf("%d parts, want 2", len(env.Parts))
	}
	// A header of the script's own is left alone.
	s, _ = f.scripted(`set("esm_class", 64)`)
	m := text("")
	m.IsText, m.PDU.ShortMessage = false, append([]byte{5, 0, 3, 1, 2, 1}, bytes.Repeat([]byte{1}, 134)...)
	if _, env := f.submit(t, s, m); len(env.Parts) != 1 || env.Parts[0].ESMClass != 0x40 || len(env.Parts[0].ShortMessage) != 140 {
		t.Errorf("left as %+v", env.Parts)
	}
}

func TestValidityOfAScript(t *testing.T) {
	for _, tt := range []struct {
		name, rule string
		own        time.Duration // of the sender
		want       time.Duration // until the message expires, 0: never
	}{
		{"the connector's when nobody says anything", "true", 0, time.Hour},
		{"the script's before the connector's", `set("validity_period", "000000001000000R")`, 0, 10 * time.Minute},
		{"the script's before the sender's", `set("validity_period", "000000001000000R")`, time.Minute, 10 * time.Minute},
		{"the sender's that the script locks", `lock("validity_period")`, time.Minute, time.Minute},
		{"none that the script locks", `lock("validity_period")`, 0, 0},
		{"the sender's that the script takes away is the connector's", `set("validity_period", nil)`, time.Minute, time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake()
			f.cfg.Validity = time.Hour
			s, _ := f.scripted(tt.rule)
			m := text("hi")
			if tt.own > 0 {
				m.Set, m.Validity = FieldValidity, tt.own
			}
			_, env := f.submit(t, s, m)
			if tt.want == 0 {
				if !env.ExpiresAt.IsZero() {
					t.Errorf("expires at %s", env.ExpiresAt)
				}
				return
			}
			// The script's relative time counts from when it was read, a moment before.
			if got := env.ExpiresAt.Sub(env.CreatedAt).Round(time.Minute); got != tt.want {
				t.Errorf("expires after %s, want %s", got, tt.want)
			}
		})
	}
}

func TestRefusalsOfScripts(t *testing.T) {
	cause := &sms.Error{Reason: sms.ReasonInterceptor, Override: &sms.StatusPair{HTTP: 400, SMPP: 8}}
	for _, tt := range []struct {
		name   string
		rule   string
		err    error
		reason sms.Reason
		field  string
		pair   *sms.StatusPair
	}{
		{"statuses of its own", `refuse(88, 429)`, nil, sms.ReasonIntercepted, "", &sms.StatusPair{HTTP: 429, SMPP: 88}},
		{"one that failed", "", cause, sms.ReasonInterceptor, "", cause.Override},
		{"no time left", "", context.DeadlineExceeded, sms.ReasonUnavailable, "", nil},
		{"no destination", `set("destination_addr", "")`, nil, sms.ReasonInvalid, "destination_addr", nil},
		{"a validity that is none", `set("validity_period", "990000000000000X")`, nil, sms.ReasonInvalid, "validity_period", nil},
		{"a schedule that is none", `set("schedule_delivery_time", "990000000000000X")`, nil, sms.ReasonInvalid, "schedule_delivery_time", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake()
			f.noRoute = true
			s, sc := f.scripted(tt.rule)
			sc.err = tt.err
			_, err := s.Submit(t.Context(), text("hi"))
			var e *sms.Error
			if !errors.As(err, &e) || e.Reason != tt.reason || e.Field != tt.field || !reflect.DeepEqual(e.Override, tt.pair) {
				t.Errorf("got %v (%+v)", err, e)
			}
			if _, err := s.Quote(t.Context(), text("hi")); sms.ReasonOf(err) != tt.reason {
				t.Errorf("quoted with %v", err)
			}
			if len(f.entries) > 0 {
				t.Error("it was accepted")
			}
		})
	}
}

func TestAScriptAnswersByItself(t *testing.T) {
	f := newFake()
	f.noRoute = true
	s, _ := f.scripted(`answer("mine-1")`)
	if acc, err := s.Submit(t.Context(), text("hi")); err != nil || acc != (Accepted{ID: "mine-1"}) {
		t.Errorf("%+v, %v", acc, err)
	}
	if q, err := s.Quote(t.Context(), text("hi")); err != nil || q != (Quote{Parts: 1}) {
		t.Errorf("quoted %+v, %v", q, err)
	}
	s, _ = f.scripted(`answer()`)
	m := text("hi")
	m.ID = "door"
	if acc, err := s.Submit(t.Context(), m); err != nil || acc.ID != "door" {
		t.Errorf("%+v, %v", acc, err)
	}
	if acc, err := s.Submit(t.Context(), text("hi")); err != nil || len(acc.ID) != 36 {
		t.Errorf("%+v, %v", acc, err)
	}
	if len(f.entries) > 0 {
		t.Error("something was kept")
	}
}

func TestScriptsOnABatch(t *testing.T) {
	f := newFake()
	s, sc := f.scripted(`destination_addr == "1" ? refuse(88) : destination_addr == "2" ? answer("x") : set("source_addr", destination_addr)`)
	var ms []*Message
	for i := range 50 {
		m := text("hi")
		m.PDU.Dest.Addr = fmt.Sprint(i)
		ms = append(ms, m)
	}
	got := s.SubmitAll(t.Context(), ms)
	for i, r := range got {
		switch i {
		case 1:
			if sms.ReasonOf(r.Err) != sms.ReasonIntercepted {
				t.Errorf("message 1: %v", r.Err)
			}
		case 2:
			if r.Err != nil || r.Accepted != (Accepted{ID: "x"}) {
				t.Errorf("message 2: %+v", r)
			}
		default:
			if r.Err != nil || r.CID != cid || ms[i].PDU.Source.Addr != ms[i].PDU.Dest.Addr {
				t.Errorf("message %d: %+v, from %q", i, r, ms[i].PDU.Source.Addr)
			}
		}
	}
	if len(f.entries) != 1 || len(f.entries[0].Publish) != 48 || sc.runs.Load() != 50 {
		t.Errorf("%d entries, %d runs", len(f.entries), sc.runs.Load())
	}
}

func TestContentIsEncodedOnce(t *testing.T) {
	f := newFake()
	s, _ := f.scripted("true")
	m := text("hi")
	f.submit(t, s, m)
	first := &m.encoded.choice.Octets[0]
	if m.view(&s.how); &m.encoded.choice.Octets[0] != first {
		t.Error("encoded again")
	}
}

// changing gives a configuration that routes to another connector each time it is asked.
type changing struct {
	*fake
	asked atomic.Int64
}

func (c *changing) Snapshot() *provision.Snapshot {
	n := c.asked.Add(1)
	f := newFake()
	f.cfg.CID = sms.ConnectorID(fmt.Sprintf("smsc-%d", n))
	f.rule = fmt.Sprintf(`set("source_addr", "plan-%d")`, n)
	return f.Snapshot()
}

// What intercepts a message routes it, whatever is configured meanwhile.
func TestAMessageUsesOnePlanToItsEnd(t *testing.T) {
	f := newFake()
	c := &changing{fake: f}
	s := f.over(Config{}, func(d *Deps) { d.Snapshots = c })
	check := func(m *Message, cid sms.ConnectorID, want int64) {
		t.Helper()
		if n := c.asked.Load(); n != want {
			t.Errorf("%d plans were asked for, want %d", n, want)
		}
		if got, of := m.PDU.Source.Addr, fmt.Sprintf("plan-%d", want); got != of || cid != "" && string(cid) != fmt.Sprintf("smsc-%d", want) {
			t.Errorf("intercepted by %s, routed to %s, want those of plan %d", got, cid, want)
		}
	}
	m := text("hi")
	a, err := s.Submit(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	check(m, a.CID, 1)
	m = text("hi")
	if _, err := s.Quote(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	check(m, "", 2)
	ms := []*Message{text("a"), text("b")}
	results := s.SubmitAll(t.Context(), ms)
	for i := range ms {
		if results[i].Err != nil {
			t.Fatal(results[i].Err)
		}
		check(ms[i], results[i].CID, 3)
	}
}

// A filter that stands first, in a route and in an interceptor, runs once for each of the two tables, however the message is
// handled (TestEachFilterIsEvaluatedOnceAtMost has the tables).
func TestFilterScriptsRunOnceForEachTable(t *testing.T) {
	f := newFake()
	store := provision.NewStore()
	err := store.Apply(func(d *provision.Draft) error {
		charges, err := routing.NewScriptFilter("charges", routing.Script{Path: "/charges", Code: "result = True"})
		if err != nil {
			return err
		}
		all, err := routing.NewFilter("all", routing.TransparentFilter, "")
		if err != nil {
			return err
		}
		to := []routing.Connector{{Kind: routing.SMPPClient, ID: string(f.cfg.CID)}}
		both := []string{"charges", "all"}
		return errors.Join(d.PutFilter(charges), d.PutFilter(all), d.AddSMPPConnector(provision.SMPPConnector{Config: f.cfg}),
			d.PutRoute(routing.MT, provision.Route{Type: routing.FailoverMTRoute, Order: 1, Filters: both, Connectors: []routing.Connector{to[0], to[0]}}),
			d.PutInterceptor(routing.MT, provision.Interceptor{Type: routing.StaticMTInterceptor, Order: 1, Filters: both, Script: routing.Script{Code: "true"}}))
	})
	if err != nil {
		t.Fatal(err)
	}
	sc := &fakeScripts{}
	bound := true
	s := f.over(Config{}, func(d *Deps) {
		d.Snapshots, d.Scripts = store, provision.NewScripts(sc, slog.New(slog.DiscardHandler))
		d.Bound = func(sms.ConnectorID) bool { return bound }
	})
	message := func() *Message {
		return &Message{Origin: sms.OriginHTTP, PDU: pdu.Message{Dest: pdu.Address{Addr: "1"}}, Text: "x", IsText: true}
	}
	for name, do := range map[string]func(){
		"Submit":    func() { _, err = s.Submit(t.Context(), message()) },
		"SubmitAll": func() { err = s.SubmitAll(t.Context(), []*Message{message()})[0].Err },
		"Quote":     func() { _, err = s.Quote(t.Context(), message()) },
		"Explain":   func() { s.Explain(t.Context(), message()) },
		"Explain, nothing is bound": func() {
			bound = false
			s.Explain(t.Context(), message())
			bound = true
		},
	} {
		sc.evaluated.Store(0)
		if do(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if n := sc.evaluated.Load(); n != 2 {
			t.Errorf("%s: %d evaluations, want 2", name, n)
		}
	}
}
