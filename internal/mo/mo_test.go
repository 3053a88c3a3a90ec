package mo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"jasmind/internal/intercept"
	"jasmind/internal/journal"
	"jasmind/internal/journal/embedded"
	"jasmind/internal/localdb"
	"jasmind/internal/provision"
	"jasmind/internal/queue"
	queuepebble "jasmind/internal/queue/pebble"
	"jasmind/internal/routing"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smppc"
	"jasmind/internal/sms"
	storepebble "jasmind/internal/store/pebble"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// setup is a configuration of one MO route, which the tests change.
type setup struct {
	to      routing.Connector // of the route
	none    bool              // there is no route
	filters []*routing.Filter // of the route
	private bool              // logprivacy of smsc1
	script  func(*intercept.Message) (*intercept.Verdict, error)
}

var toURL, toESME = routing.Connector{Kind: routing.HTTPClient, ID: "http_1"}, routing.Connector{Kind: routing.SMPPServer, ID: "acme"}

// Snapshot is the configuration as it is now.
func (s *setup) Snapshot() *provision.Snapshot {
	store := provision.NewStore()
	err := store.Apply(func(d *provision.Draft) error {
		cfg := smppc.Default("smsc1")
		cfg.LogPrivacy = s.private
		errs := []error{d.AddSMPPConnector(provision.SMPPConnector{Config: cfg}),
			d.AddHTTPConnector(provision.HTTPConnector{CID: "http_1", Method: "GET", URL: "http://x/"})}
		route := provision.Route{Type: routing.DefaultRoute, Connectors: []routing.Connector{s.to}}
		for _, f := range s.filters {
			errs = append(errs, d.PutFilter(f))
			route.Order, route.Type, route.Filters = 1, routing.StaticMORoute, append(route.Filters, f.FID())
		}
		if !s.none {
			errs = append(errs, d.PutRoute(routing.MO, route))
		}
		if s.script != nil {
			errs = append(errs, d.PutInterceptor(routing.MO, provision.Interceptor{Type: routing.DefaultInterceptor, Script: routing.Script{Code: "true"}}))
		}
		return errors.Join(errs...)
	})
	if err != nil {
		panic(err)
	}
	return store.Snapshot()
}

// Run is the pool's, by a function of the test.
func (s *setup) Run(_ context.Context, _ *intercept.Script, m *intercept.Message) (*intercept.Verdict, error) {
	return s.script(m)
}

func (s *setup) Evaluate(context.Context, *intercept.Script, *intercept.Message) (bool, error) {
	return false, errors.New("there are no filters with scripts")
}

func (s *setup) Check(context.Context, *intercept.Script) error { return nil }

func (b *bench) filter(typ routing.FilterType, value string) *routing.Filter {
	b.Helper()
	f, err := routing.NewFilter(fmt.Sprint("f", len(b.plan.filters)), typ, value)
	if err != nil {
		b.Fatal(err)
	}
	b.plan.filters = append(b.plan.filters, f)
	return f
}

// fallible is a journal that can be told to fail.
type fallible struct {
	journal.Journal
	mu   sync.Mutex
	fail error
}

func (j *fallible) Commit(ctx context.Context, e *journal.Entry) error {
	j.mu.Lock()
	err := j.fail
	j.mu.Unlock()
	if err != nil && slices.ContainsFunc(e.Publish, func(p queue.Publication) bool { return !p.Observers }) {
		return err
	}
	return j.Journal.Commit(ctx, e)
}

func (j *fallible) set(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.fail = err
}

// bench is an MO flow over an embedded database.
type bench struct {
	*testing.T
	dir     string
	db      *localdb.DB
	queues  *queuepebble.Driver
	store   *storepebble.Store
	journal *fallible
	deps    Deps
	plan    setup
	cfg     Config
	log     bytes.Buffer
	lines   bytes.Buffer
	s       *Service
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{T: t, dir: t.TempDir()}
	b.deps.Snapshots = &b.plan
	b.deps.Scripts = provision.NewScripts(&b.plan, slog.New(slog.DiscardHandler))
	b.deps.HasSession = func(string) bool { return false }
	b.plan.to = toURL
	b.deps.Log = slog.New(slog.NewTextHandler(&b.log, nil))
	b.deps.Messages = slog.New(slog.NewTextHandler(&b.lines, nil))
	b.open()
	t.Cleanup(b.close)
	return b
}

func (b *bench) open() {
	b.Helper()
	var err error
	if b.db, err = localdb.Open(b.dir, localdb.Config{}); err != nil {
		b.Fatal(err)
	}
	if b.queues, err = queuepebble.New(b.db, queuepebble.Config{}); err != nil {
		b.Fatal(err)
	}
	if err := b.queues.Declare(b.Context(), queue.DeliverSMHTTP, queue.DeliverSMSMPPS, queue.DeadLetter); err != nil {
		b.Fatal(err)
	}
	b.store = storepebble.New(b.db)
	b.journal = &fallible{Journal: embedded.New(b.db, b.queues, b.store)}
	b.deps.Journal, b.deps.Parts = b.journal, b.store
	b.s = New(b.cfg, b.deps)
}

func (b *bench) close() {
	b.Helper()
	if err := errors.Join(b.queues.Close(), b.db.Close()); err != nil {
		b.Error(err)
	}
}

func (b *bench) accept(p pdu.PDU) pdu.Status {
	return b.s.Accept(b.Context(), "smsc1", p)
}

func (b *bench) ok(p pdu.PDU) {
	b.Helper()
	if status := b.accept(p); status != pdu.StatusOK {
		b.Fatalf("answered %s\n%s", status, b.log.String())
	}
}

// waiting takes n messages out of a queue and sees that there are no more.
func (b *bench) waiting(name queue.Name, n int) []*queue.Delivery {
	b.Helper()
	have, err := b.queues.Length(b.Context(), name)
	if err != nil {
		b.Fatal(err)
	}
	if have != n {
		b.Fatalf("%d messages wait in %s, want %d\n%s", have, name, n, b.log.String())
	}
	if n == 0 {
		return nil
	}
	c, err := b.queues.Consume(b.Context(), name, n)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close(context.WithoutCancel(b.Context())) //nolint:errcheck // it is a test's own
	var out []*queue.Delivery
	e := &journal.Entry{}
	for range n {
		select {
		case d := <-c.C():
			out = append(out, d)
			e.Ack = append(e.Ack, journal.Ack{Delivery: d})
		case <-time.After(time.Minute):
			b.Fatalf("%d of %d messages came", len(out), n)
		}
	}
	if err := b.journal.Commit(b.Context(), e); err != nil {
		b.Fatal(err)
	}
	return out
}

// calls are the HTTP parameters of n messages on their way to URLs, as "content" and, where there is
// something to say, " missing 1,2".
func (b *bench) calls(n int) []string {
	b.Helper()
	var out []string
	for _, d := range b.waiting(queue.DeliverSMHTTP, n) {
		c, err := queue.DecodeMOCall(&d.Message)
		if err != nil {
			b.Fatal(err)
		}
		text := ""
		for _, p := range c.Parameters() {
			switch p.Name {
			case "content":
				text = p.Value
			case "missing-parts":
				text += " missing " + p.Value
			}
		}
		out = append(out, text)
	}
	slices.Sort(out)
	return out
}

func (b *bench) want(got []string, want ...string) {
	b.Helper()
	if !slices.Equal(got, want) {
		b.Errorf("got  %q\nwant %q", got, want)
	}
}

func short(text string) *pdu.DeliverSM {
	return &pdu.DeliverSM{Message: pdu.Message{Source: pdu.Address{Addr: "336123"}, Dest: pdu.Address{Addr: "85111"}, ShortMessage: []byte(text)}}
}

func udh8(ref, total, seq byte, text string) *pdu.DeliverSM {
	p := short("")
	p.ESMClass = pdu.ESMUDHI
	p.ShortMessage = append([]byte{5, 0, 3, ref, total, seq}, text...)
	return p
}

func udh16(ref uint16, total, seq byte, text string) *pdu.DeliverSM {
	p := short("")
	p.ESMClass = pdu.ESMUDHI
	p.ShortMessage = append([]byte{6, 8, 4, byte(ref >> 8), byte(ref), total, seq}, text...)
	return p
}

func sar(ref uint16, total, seq byte, text string) *pdu.DeliverSM {
	p := short(text)
	p.TLVs = pdu.TLVs{{Tag: pdu.TagSARMsgRefNum, Value: []byte{byte(ref >> 8), byte(ref)}}, {Tag: pdu.TagSARTotalSegments, Value: []byte{total}},
		{Tag: pdu.TagSARSegmentSeqnum, Value: []byte{seq}}}
	return p
}

func data(p *pdu.DeliverSM) *pdu.DataSM { return queue.DataSMOf(&p.Message) }

func TestMessagesAreQueued(t *testing.T) {
	for _, tt := range []struct {
		name  string
		parts []pdu.PDU
		want  string
	}{
		{"short", []pdu.PDU{short("caf\x05")}, "café"},
		{"data_sm", []pdu.PDU{data(short("hi"))}, "hi"},
		{"8-bit reference", []pdu.PDU{udh8(1, 2, 2, "b"), udh8(1, 2, 1, "a")}, "ab"},
		{"16-bit reference", []pdu.PDU{udh16(300, 3, 3, "c"), udh16(300, 3, 1, "a"), udh16(300, 3, 2, "b")}, "abc"},
		{"SAR", []pdu.PDU{sar(300, 2, 2, "b"), sar(300, 2, 1, "a")}, "ab"},
		{"SAR in data_sm", []pdu.PDU{data(sar(300, 2, 2, "b")), data(sar(300, 2, 1, "a"))}, "ab"},
		{"header in data_sm", []pdu.PDU{data(udh8(1, 2, 1, "a")), data(udh8(1, 2, 2, "b"))}, "ab"},
		{"one of one", []pdu.PDU{udh8(1, 1, 1, "a")}, "a"},
		{"a number beyond the total", []pdu.PDU{udh8(1, 2, 3, "a")}, "a"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			for i, p := range tt.parts {
				b.ok(p)
				if i < len(tt.parts)-1 {
					b.calls(0)
				}
			}
			b.want(b.calls(1), tt.want)
			line := "SMS-MO [cid:smsc1] [queue-msgid:"
			if n := strings.Count(b.lines.String(), line); n != 1 {
				t.Errorf("%d lines\n%s", n, b.lines.String())
			}
		})
	}
}

func TestAnESMEGetsThePartsAsTheyWere(t *testing.T) {
	b := newBench(t)
	b.plan.to = toESME
	b.filter(routing.ShortMessageFilter, "^abc$") // routed by all of it
	parts := []pdu.PDU{udh8(1, 3, 1, "a"), udh8(1, 3, 2, "b"), data(udh8(1, 3, 3, "c"))}
	for _, i := range []int{2, 0, 1} {
		b.ok(parts[i])
	}
	for i, d := range b.waiting(queue.DeliverSMSMPPS, 3) {
		want, err := pdu.Append(nil, pdu.StatusOK, 0, parts[i])
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(d.Body, want) || d.Headers.Str(queue.HeaderSystemID) != "acme" || !strings.HasSuffix(d.ID, fmt.Sprint(".", i+1)) {
			t.Errorf("part %d: %+v\nwant %x", i+1, d.Message, want)
		}
	}
}

// What an SMSC may send, but nobody may send on, costs no message.
func TestOddFieldsDoNotCostAMessage(t *testing.T) {
	long := strings.Repeat("7", 60)
	for _, tt := range []struct {
		name   string
		spoil  func(*pdu.Message)
		logged string
	}{
		{"schedule_delivery_time", func(p *pdu.Message) { p.ScheduleDeliveryTime = "000" }, `schedule_delivery_time \"000\"`},
		{"validity_period", func(p *pdu.Message) { p.ValidityPeriod = "00000000000000000000" }, "validity_period"},
		{"service_type", func(p *pdu.Message) { p.ServiceType = "WAPPUSH" }, "service_type"},
		{"source_addr", func(p *pdu.Message) { p.Source.Addr = long }, "source_addr"},
		{"destination_addr", func(p *pdu.Message) { p.Dest.Addr = long }, "destination_addr"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			first, second := udh8(1, 2, 1, "a"), udh8(1, 2, 2, "b")
			single := short("hello")
			for _, p := range []*pdu.DeliverSM{single, first, second} {
				tt.spoil(&p.Message)
				b.ok(p)
			}
			b.want(b.calls(2), "ab", "hello")
			b.plan.to = toESME
			b.ok(single)
			b.waiting(queue.DeliverSMSMPPS, 1)
			b.plan.none = true
			b.ok(single)
			b.waiting(queue.DeadLetter, 1)
			if n := strings.Count(b.log.String(), tt.logged); n < 5 {
				t.Errorf("%d lines name %s:\n%s", n, tt.logged, b.log.String())
			}
		})
	}
	b := newBench(t)
	p := short("hello")
	p.Source.Addr = strings.Repeat("7", 65)
	if got := b.accept(p); got != pdu.StatusInvSrcAdr {
		t.Errorf("a source_addr of 65 octets: %s", got)
	}
	p.Source.Addr, p.Dest.Addr = "336", p.Source.Addr
	if got := b.accept(p); got != pdu.StatusInvDstAdr {
		t.Errorf("a destination_addr of 65 octets: %s", got)
	}
}

func TestAMessageWithoutARouteIsKept(t *testing.T) {
	b := newBench(t)
	b.plan.none = true
	b.ok(short("hi"))
	d := b.waiting(queue.DeadLetter, 1)[0]
	if d.Headers.Str(queue.HeaderDeadReason) != "no MO route matches" || d.Headers.Str(queue.HeaderDeadQueue) != "deliver.sm.smsc1" {
		t.Errorf("headers %+v", d.Headers)
	}
	if n := b.s.Metrics.Unrouted.Load(); n != 1 {
		t.Errorf("counted %d", n)
	}
}

func TestWhatIsNotDurableIsNotAcknowledged(t *testing.T) {
	b := newBench(t)
	b.journal.set(queue.ErrUnavailable)
	if status := b.accept(short("hi")); status != pdu.StatusRxTAppn {
		t.Errorf("answered %s", status)
	}
	b.journal.set(nil)
	b.calls(0)
	if b.s.Metrics.Refused.Load() != 1 {
		t.Errorf("counted %d", b.s.Metrics.Refused.Load())
	}
}

// run runs the flow until stop.
func (b *bench) run() (stop func()) {
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- b.s.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
	}
}

func (b *bench) eventually(what string, f func() bool) {
	b.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for !f() {
		if time.Now().After(deadline) {
			b.Fatalf("never came true: %s", what)
		}
		<-time.After(5 * time.Millisecond) // between two looks
	}
}

func TestAMessageWhosePartsDoNotComeIsReleased(t *testing.T) {
	b := newBench(t)
	b.cfg = Config{LongTimeout: 50 * time.Millisecond}
	b.s = New(b.cfg, b.deps)
	b.ok(udh8(1, 4, 4, "d"))
	b.ok(udh8(1, 4, 2, "b"))
	b.close()
	b.open() // the gateway is restarted meanwhile
	stop := b.run()
	b.eventually("it is released", func() bool { return b.s.Metrics.Incomplete.Load() == 1 })
	stop()
	b.want(b.calls(1), "bd missing 1,3")
}

func TestWhatComesAgainAfterTheMessageIsDropped(t *testing.T) {
	b := newBench(t)
	b.cfg = Config{LongTimeout: 50 * time.Millisecond}
	b.s = New(b.cfg, b.deps)
	b.ok(udh8(1, 2, 1, "a"))
	b.ok(udh8(1, 2, 1, "a"))
	b.ok(udh8(1, 2, 2, "b"))
	b.ok(udh8(1, 2, 2, "b"))
	stop := b.run()
	b.eventually("it is dropped", func() bool { return b.s.Metrics.Repeats.Load()+b.s.Metrics.Incomplete.Load() == 1 })
	stop()
	if got := b.calls(1 + int(b.s.Metrics.Incomplete.Load())); got[0] != "ab" {
		t.Errorf("got %q", got)
	}
}

func TestAMessageThatCouldNotBeQueuedIsTriedAgain(t *testing.T) {
	b := newBench(t)
	b.cfg = Config{Claim: 20 * time.Millisecond, Sweep: 5 * time.Millisecond}
	b.s = New(b.cfg, b.deps)
	b.ok(udh8(1, 2, 1, "a"))
	b.journal.set(queue.ErrUnavailable)
	b.ok(udh8(1, 2, 2, "b")) // durable in the store
	b.calls(0)
	b.journal.set(nil)
	stop := b.run()
	b.eventually("it is queued", func() bool { return b.s.Metrics.Joined.Load() == 1 })
	stop()
	b.want(b.calls(1), "ab")
}

func TestTwoSendersWithOneReference(t *testing.T) {
	b := newBench(t)
	for seq := byte(1); seq <= 2; seq++ {
		for _, sender := range []string{"x", "y"} {
			p := udh8(7, 2, seq, fmt.Sprint(sender, seq))
			p.Source.Addr = sender
			b.ok(p)
		}
	}
	b.want(b.calls(2), "x1x2", "y1y2")
}

func TestPartsThatComeAtOnceGiveOneMessage(t *testing.T) {
	b := newBench(t)
	var wg sync.WaitGroup
	for ref := range byte(20) {
		for seq := byte(1); seq <= 3; seq++ {
			wg.Go(func() {
				if status := b.accept(udh8(ref, 3, seq, fmt.Sprint(ref, ":", seq, " "))); status != pdu.StatusOK {
					t.Errorf("answered %s", status)
				}
			})
		}
	}
	wg.Wait()
	for i, got := range b.calls(20) {
		if f := strings.Fields(got); len(f) != 3 || f[0][:strings.Index(f[0], ":")] != f[2][:strings.Index(f[2], ":")] {
			t.Errorf("message %d is %q", i, got)
		}
	}
}

func TestInterceptors(t *testing.T) {
	b := newBench(t)
	var counted []bool
	b.deps.Intercepted = func(cid sms.ConnectorID, ok bool) { counted = append(counted, ok) }
	b.plan.script = func(m *intercept.Message) (*intercept.Verdict, error) {
		if m.Direction != intercept.MO || m.Connector != "smsc1" {
			t.Errorf("seen %+v", m)
		}
		v := &intercept.Verdict{Message: *m}
		switch string(m.PDU.ShortMessage) {
		case "refuse":
			return nil, &sms.Error{Reason: sms.ReasonIntercepted, Override: &sms.StatusPair{HTTP: 520, SMPP: pdu.StatusInvDstAdr}}
		case "busy":
			return nil, &sms.Error{Reason: sms.ReasonInterceptor, Override: &sms.StatusPair{HTTP: 503, SMPP: pdu.StatusSysErr}, Err: intercept.ErrNotRun}
		case "broken":
			return nil, errors.New("no interpreter")
		case "answer":
			v.Answered = &intercept.Answered{}
		case "too long":
			v.Message.PDU.Source.Addr = strings.Repeat("1", 99)
		default:
			v.Message.PDU.Source.Addr = "ACME"
			v.Message.Tags = []string{"fr"}
		}
		return v, nil
	}
	b.filter(routing.SourceAddrFilter, "^ACME$") // routed by what the script left
	b.filter(routing.TagFilter, "fr")
	b.s = New(b.cfg, b.deps)
	for _, tt := range []struct {
		text string
		want pdu.Status
		line string
	}{
		{"change", pdu.StatusOK, "[status:ESME_ROK] [prio:0] [validity:None] [from:ACME] [to:85111] [content:'change']"},
		{"refuse", pdu.StatusInvDstAdr, "[i-status:ESME_RINVDSTADR] [from:336123] [to:85111] [content:'refuse']"},
		{"busy", pdu.StatusRxTAppn, "[i-status:ESME_RX_T_APPN]"},
		{"broken", pdu.StatusRxTAppn, "[i-status:ESME_RX_T_APPN]"},
		{"answer", pdu.StatusOK, "[i-status:ESME_ROK]"},
		{"too long", pdu.StatusSysErr, "[i-status:ESME_RSYSERR]"},
	} {
		b.lines.Reset()
		if status := b.accept(short(tt.text)); status != tt.want {
			t.Errorf("%s: answered %s, want %s", tt.text, status, tt.want)
		}
		if !strings.Contains(b.lines.String(), tt.line) {
			t.Errorf("%s: logged %s, want %s", tt.text, b.lines.String(), tt.line)
		}
	}
	if want := []bool{true, false, false, false, true, false}; !slices.Equal(counted, want) {
		t.Errorf("counted %v, want %v", counted, want)
	}
	b.ok(udh8(1, 2, 1, "a"))
	b.ok(udh8(1, 2, 2, "b"))
	b.want(b.calls(2), "ab", "change")
}

func TestPrivateTextIsNotLogged(t *testing.T) {
	b := newBench(t)
	b.plan.private = true
	b.ok(short("secret"))
	if got := b.lines.String(); strings.Contains(got, "secret") || !strings.Contains(got, "** 6 byte content **") {
		t.Errorf("logged %s", got)
	}
}

func FuzzDecodePart(f *testing.F) {
	for _, p := range []pdu.PDU{udh8(1, 2, 1, "a"), data(sar(1, 2, 1, "a"))} {
		m, err := newMessage("smsc1", p)
		if err != nil {
			f.Fatal(err)
		}
		m.Tags = []string{"fr", ""}
		b, err := m.encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodePart("smsc1", b)
		if err != nil {
			return
		}
		again, err := m.encode()
		if err != nil {
			return // the encoder is stricter
		}
		n, err := decodePart("smsc1", again)
		if err != nil || !n.Time.Equal(m.Time) || fmt.Sprintf("%+v %v %v", n.PDU, n.Tags, n.data) != fmt.Sprintf("%+v %v %v", m.PDU, m.Tags, m.data) {
			t.Fatalf("%v\nfirst  %+v\nsecond %+v", err, m, n)
		}
	})
}
