package mt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"jasmind/internal/billing"
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
	"jasmind/internal/smstext"
	storepebble "jasmind/internal/store/pebble"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const cid = sms.ConnectorID("smsc1")

// fake is a router to one connector, a journal that keeps what is committed, and a backlog.
type fake struct {
	cfg     smppc.Config
	rate    billing.Amount
	noRoute bool
	rule    string // of an interceptor on every message; "": none
	commit  error
	length  func() (int, error)
	asked   atomic.Int64

	mu      sync.Mutex
	entries []*journal.Entry
}

func newFake() *fake { return &fake{cfg: smppc.Default(cid)} }

// Snapshot is one route to one connector.
func (f *fake) Snapshot() *provision.Snapshot {
	routes := []provision.Route{{Type: routing.DefaultRoute, Connectors: []routing.Connector{{Kind: routing.SMPPClient, ID: string(f.cfg.CID)}}, Rate: f.rate}}
	if f.noRoute {
		routes = nil
	}
	return snapshot(f.rule, routes, f.cfg)
}

// snapshot is a configuration of routes, and of a rule that every message sees.
func snapshot(rule string, routes []provision.Route, connectors ...smppc.Config) *provision.Snapshot {
	store := provision.NewStore()
	err := store.Apply(func(d *provision.Draft) error {
		var errs []error
		for _, cfg := range connectors {
			errs = append(errs, d.AddSMPPConnector(provision.SMPPConnector{Config: cfg}))
		}
		for _, r := range routes {
			errs = append(errs, d.PutRoute(routing.MT, r))
		}
		if rule != "" {
			errs = append(errs, d.PutInterceptor(routing.MT, provision.Interceptor{Type: routing.DefaultInterceptor, Script: routing.Script{Code: rule}}))
		}
		return errors.Join(errs...)
	})
	if err != nil {
		panic(err)
	}
	return store.Snapshot()
}

func (f *fake) Credit(_ context.Context, _ sms.UserID, open billing.Credit) (billing.Credit, error) {
	return open, nil
}

// deps are those of a service over the fake.
func (f *fake) deps() Deps {
	return Deps{Snapshots: f, Scripts: provision.NewScripts(new(fakeScripts), slog.New(slog.DiscardHandler)), Ledger: f,
		Bound: func(sms.ConnectorID) bool { return true }, Quality: func(sms.ConnectorID) (float64, bool) { return 0, false },
		Journal: f, Backlog: f, Log: slog.New(slog.DiscardHandler)}
}

// over is a service over other deps than the fake's.
func (f *fake) over(cfg Config, change func(*Deps)) *Service {
	d := f.deps()
	change(&d)
	return New(cfg, d)
}

func (f *fake) Length(context.Context, queue.Name) (int, error) {
	f.asked.Add(1)
	return f.length()
}

func (f *fake) Settled(context.Context, []*queue.Delivery) ([]bool, error) { return nil, nil }

func (f *fake) Commit(_ context.Context, e *journal.Entry) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.commit == nil {
		f.entries = append(f.entries, e)
	}
	return f.commit
}

func (f *fake) service(cfg Config) *Service {
	return New(cfg, f.deps())
}

// submit submits a message and gives the entry and the envelope in it.
func (f *fake) submit(t *testing.T, s *Service, m *Message) (*journal.Entry, *sms.Envelope) {
	t.Helper()
	f.entries = nil
	acc, err := s.Submit(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	if len(f.entries) != 1 || len(f.entries[0].Publish) != 1 || f.entries[0].Publish[0].Queue != "submit.sm.smsc1" {
		t.Fatalf("committed %+v", f.entries)
	}
	env, err := queue.DecodeEnvelope(&queue.Delivery{Queue: "submit.sm.smsc1", Message: f.entries[0].Publish[0].Message})
	if err != nil {
		t.Fatal(err)
	}
	if want := (Accepted{ID: env.ID, CID: cid, Parts: len(env.Parts)}); acc != want {
		t.Errorf("accepted %+v, want %+v", acc, want)
	}
	return f.entries[0], env
}

func text(s string) *Message {
	return &Message{UID: "u1", GID: "g1", Origin: sms.OriginHTTP, Text: s, IsText: true, PDU: pdu.Message{Dest: pdu.Address{Addr: "336"}}}
}

// single is the PDU of a short text with the connector's defaults.
func single(s string) pdu.Message {
	return pdu.Message{Source: pdu.Address{TON: 2, NPI: 1}, Dest: pdu.Address{TON: 1, NPI: 1, Addr: "336"}, ESMClass: 3, ShortMessage: []byte(s)}
}

func TestWhatTheSenderLeftUnsetIsTheConnectors(t *testing.T) {
	for _, tt := range []struct {
		name    string
		connect func(*smppc.Config)
		message func(*Message)
		want    func(*pdu.Message)
	}{
		{"the connector's own defaults", nil, nil, func(*pdu.Message) {}},
		{"type of number, numbering plan and flags", func(c *smppc.Config) {
			c.SourceTON, c.SourceNPI, c.DestTON, c.DestNPI = 5, 6, 3, 4
			c.ProtocolID, c.ProtocolIDSet, c.ReplaceIfPresent, c.DefaultMsgID = 64, true, 1, 7
		}, nil, func(p *pdu.Message) {
			p.Source.TON, p.Source.NPI, p.Dest.TON, p.Dest.NPI = 5, 6, 3, 4
			p.ProtocolID, p.ReplaceIfPresent, p.SMDefaultMsgID = 64, 1, 7
		}},
		{"a proto_id that is not defined is 0", func(c *smppc.Config) { c.ProtocolID = 64 }, nil, func(*pdu.Message) {}},
		{"src_addr for a message without a source", func(c *smppc.Config) { c.SourceAddr = "BANK" }, nil, func(p *pdu.Message) { p.Source.Addr = "BANK" }},
		{"src_addr does not replace a source", func(c *smppc.Config) { c.SourceAddr = "BANK" },
			func(m *Message) { m.PDU.Source.Addr, m.Set = "1234", FieldSource }, func(p *pdu.Message) { p.Source.Addr = "1234" }},
		{"coding for text", func(c *smppc.Config) { c.Coding = 8 }, nil,
			func(p *pdu.Message) { p.DataCoding, p.ShortMessage = 8, []byte("\x00h\x00i") }},
		{"coding for octets", func(c *smppc.Config) { c.Coding = 8 }, func(m *Message) { m.IsText, m.PDU.ShortMessage = false, []byte{4, 5} },
			func(p *pdu.Message) { p.DataCoding, p.ShortMessage = 8, []byte{4, 5} }},
		{"a coding that was set stays, also 0", func(c *smppc.Config) { c.Coding = 8 }, func(m *Message) { m.Set = FieldCoding }, func(*pdu.Message) {}},
		{"priority", func(c *smppc.Config) { c.Priority = 2 }, nil, func(p *pdu.Message) { p.PriorityFlag = 2 }},
		{"a priority that was set stays, also 0", func(c *smppc.Config) { c.Priority = 2 }, func(m *Message) { m.Set = FieldPriority }, func(*pdu.Message) {}},
		{"a schedule and octets are the sender's", nil, func(m *Message) { m.PDU.ScheduleDeliveryTime = "000001000000000R" },
			func(p *pdu.Message) { p.ScheduleDeliveryTime = "000001000000000R" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake()
			m, want := text("hi"), single("hi")
			if tt.connect != nil {
				tt.connect(&f.cfg)
			}
			if tt.message != nil {
				tt.message(m)
			}
			tt.want(&want)
			_, env := f.submit(t, f.service(Config{}), m)
			if len(env.Parts) != 1 || !reflect.DeepEqual(env.Parts[0].Message, want) {
				t.Errorf("got  %+v\nwant %+v", env.Parts, want)
			}
			if env.Priority != want.PriorityFlag || env.UID != "u1" || env.Origin != sms.OriginHTTP || env.CID != cid {
				t.Errorf("envelope %+v", env)
			}
		})
	}
}

// What an ESME submits leaves as it came, but for fields that it left unset.
func TestSubmitSMOfAnESMEPassesThrough(t *testing.T) {
	f := newFake()
	f.cfg.ProtocolID, f.cfg.ProtocolIDSet, f.cfg.ReplaceIfPresent, f.cfg.DefaultMsgID, f.cfg.Coding = 64, true, 1, 7, 8
	f.cfg.SourceAddr, f.cfg.Priority = "BANK", 2
	s := f.service(Config{})
	own := pdu.Message{ServiceType: "CMT", Source: pdu.Address{TON: 5, NPI: 0, Addr: "me"}, Dest: pdu.Address{Addr: "336"}, ESMClass: 0x40, ProtocolID: 1,
		PriorityFlag: 3, RegisteredDelivery: 1, DataCoding: 0xF5, ShortMessage: bytes.Repeat([]byte{0xAA}, 255),
		TLVs: pdu.TLVs{{Tag: 0x1400, Value: []byte("x")}}}
	_, env := f.submit(t, s, &Message{Origin: sms.OriginSMPP, PDU: own, Set: FieldSource | FieldCoding | FieldPriority | FieldValidity, Validity: time.Hour})
	if len(env.Parts) != 1 || !reflect.DeepEqual(env.Parts[0].Message, own) {
		t.Errorf("got  %+v\nwant %+v", env.Parts, own)
	}
	bare := pdu.Message{Dest: pdu.Address{Addr: "336"}, ShortMessage: []byte("x")}
	want := bare
	want.Source.Addr, want.PriorityFlag = "BANK", 2
	_, env = f.submit(t, s, &Message{Origin: sms.OriginSMPP, PDU: bare, Set: FieldCoding})
	if !reflect.DeepEqual(env.Parts[0].Message, want) {
		t.Errorf("got  %+v\nwant %+v", env.Parts[0].Message, want)
	}
	// The queue has four priorities; the PDU keeps what it says.
	bare.PriorityFlag = 9
	if _, env = f.submit(t, s, &Message{Origin: sms.OriginSMPP, PDU: bare, Set: FieldPriority}); env.Priority != 3 || env.Parts[0].PriorityFlag != 9 {
		t.Errorf("priority %d, flag %d", env.Priority, env.Parts[0].PriorityFlag)
	}
}

func TestContentIsEncoded(t *testing.T) {
	for _, tt := range []struct {
		name   string
		coding pdu.DataCoding
		text   string
		want   string
	}{
		{"GSM alphabet", 0, "@£$é", "\x00\x01\x02\x05"},
		{"extension table", 0, "€[", "\x1b\x65\x1b\x3c"},
		{"characters that it lacks are question marks", 0, "a中b", "a?b"},
		{"UCS2 with surrogates", 8, "é中😀", "\x00\xe9\x4e\x2d\xd8\x3d\xde\x00"},
		{"Latin 1", 3, "é", "\xe9"},
		{"nothing", 0, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake()
			m := text(tt.text)
			m.PDU.DataCoding, m.Set = tt.coding, FieldCoding
			_, env := f.submit(t, f.service(Config{}), m)
			if got := string(env.Parts[0].ShortMessage); got != tt.want || len(env.Parts) != 1 {
				t.Errorf("got % x, want % x", got, tt.want)
			}
		})
	}
}

func TestLongContentIsCut(t *testing.T) {
	long := strings.Repeat("0123456789", 40) // 400: 153 + 153 + 94
	more := func(v byte) pdu.TLVs { return pdu.TLVs{{Tag: pdu.TagMoreMessagesToSend, Value: []byte{v}}} }
	sar := func(ref [2]byte, total, n byte) pdu.TLVs {
		return pdu.TLVs{{Tag: pdu.TagSARMsgRefNum, Value: ref[:]}, {Tag: pdu.TagSARTotalSegments, Value: []byte{total}}, {Tag: pdu.TagSARSegmentSeqnum, Value: []byte{n}}}
	}
	type part struct {
		esm  pdu.ESMClass
		data string
		tlvs pdu.TLVs
	}
	for _, tt := range []struct {
		name string
		cfg  Config
		m    *Message
		want func(ref [2]byte) []part
	}{
		{"160 characters are one message", Config{}, text(long[:160]), func([2]byte) []part { return []part{{3, long[:160], nil}} }},
		{"by user data header, with an 8-bit reference", Config{}, text(long), func(r [2]byte) []part {
			h := func(n byte) string { return string([]byte{5, 0, 3, r[1], 3, n}) }
			return []part{{0x40, h(1) + long[:153], more(1)}, {0x40, h(2) + long[153:306], more(1)}, {0x40, h(3) + long[306:], more(0)}}
		}},
		{"by user data header, with a 16-bit reference", Config{WideRef: true}, text(long), func(r [2]byte) []part {
			h := func(n byte) string { return string([]byte{6, 8, 4, r[0], r[1], 3, n}) }
			return []part{{0x40, h(1) + long[:152], more(1)}, {0x40, h(2) + long[152:304], more(1)}, {0x40, h(3) + long[304:], more(0)}}
		}},
		{"by SAR parameters", Config{Split: smstext.SAR}, text(long), func(r [2]byte) []part {
			return []part{{3, long[:153], sar(r, 3, 1)}, {3, long[153:306], sar(r, 3, 2)}, {3, long[306:], sar(r, 3, 3)}}
		}},
		{"octets in parts of 134", Config{}, &Message{Origin: sms.OriginHTTP, Set: FieldCoding, PDU: pdu.Message{Dest: pdu.Address{Addr: "336"}, DataCoding: 4, ShortMessage: []byte(long[:150])}},
			func(r [2]byte) []part {
				h := func(n byte) string { return string([]byte{5, 0, 3, r[1], 2, n}) }
				return []part{{0x40, h(1) + long[:134], more(1)}, {0x40, h(2) + long[134:150], more(0)}}
			}},
		{"an extended character stays whole", Config{}, text(long[:152] + "€" + long[:20]), func(r [2]byte) []part {
			h := func(n byte) string { return string([]byte{5, 0, 3, r[1], 2, n}) }
			return []part{{0x40, h(1) + long[:152], more(1)}, {0x40, h(2) + "\x1b\x65" + long[:20], more(0)}}
		}},
		{"what is too long is cut off", Config{MaxParts: 2}, text(long), func(r [2]byte) []part {
			h := func(n byte) string { return string([]byte{5, 0, 3, r[1], 2, n}) }
			return []part{{0x40, h(1) + long[:153], more(1)}, {0x40, h(2) + long[153:306], more(0)}}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake()
			s := f.service(tt.cfg)
			_, env := f.submit(t, s, tt.m)
			next := s.refs.Next(tt.m.PDU.Dest.Addr) - 1
			want := tt.want([2]byte{byte(next >> 8), byte(next)})
			if len(env.Parts) != len(want) {
				t.Fatalf("%d parts, want %d", len(env.Parts), len(want))
			}
			for i, p := range env.Parts {
				if p.ESMClass != want[i].esm || string(p.ShortMessage) != want[i].data || !reflect.DeepEqual(p.TLVs, want[i].tlvs) {
					t.Errorf("part %d\ngot  %02x %q %v\nwant %02x %q %v", i+1, p.ESMClass, p.ShortMessage, p.TLVs, want[i].esm, want[i].data, want[i].tlvs)
				}
			}
		})
	}
}

func TestContentThatIsTooLong(t *testing.T) {
	f := newFake()
	var out bytes.Buffer
	s := f.over(Config{}, func(d *Deps) { d.Log = slog.New(slog.NewTextHandler(&out, nil)) })
	f.submit(t, s, text(strings.Repeat("x", 5*153+7)))
	if got := out.String(); !strings.Contains(got, "level=WARN") || !strings.Contains(got, "parts=5 dropped_octets=7") {
		t.Errorf("log of a truncation: %q", got)
	}
	f.entries = nil
	_, err := f.service(Config{Overflow: smstext.Reject}).Submit(t.Context(), text(strings.Repeat("x", 5*153+7)))
	var e *sms.Error
	if !errors.As(err, &e) || e.Reason != sms.ReasonInvalid || e.Field != "content" || !strings.Contains(e.Detail, "needs 6 parts, long_content_max_parts is 5") {
		t.Errorf("rejected with %v", err)
	}
	if len(f.entries) != 0 {
		t.Error("something was committed")
	}
}

func TestReceiptsAreAskedForAndRemembered(t *testing.T) {
	long := strings.Repeat("x", 400)
	for _, tt := range []struct {
		name       string
		level      int
		text       string
		cfg        Config
		registered []uint8
		ids        []string // suffixes of the records that are kept
	}{
		{"no level: nothing", 0, "hi", Config{}, []uint8{0}, nil},
		{"level 1 asks the SMSC for nothing", 1, "hi", Config{}, []uint8{0}, []string{""}},
		{"level 2", 2, "hi", Config{}, []uint8{1}, []string{""}},
		{"level 3 has a second record", 3, "hi", Config{}, []uint8{1}, []string{"", "/1"}},
		{"every part of a long message", 2, long, Config{}, []uint8{1, 1, 1}, []string{""}},
		{"the last part, when it decides", 2, long, Config{LastReport: true}, []uint8{0, 0, 1}, []string{""}},
		{"a single message is its last part", 2, "hi", Config{LastReport: true}, []uint8{1}, []string{""}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake()
			f.cfg.DLRExpiry = 77 * time.Second
			m := text(tt.text)
			m.Report = Report{What: sms.ReportOf(tt.level), URL: "http://x/", Method: "POST"}
			e, env := f.submit(t, f.service(tt.cfg), m)
			var registered []uint8
			for _, p := range env.Parts {
				registered = append(registered, p.RegisteredDelivery)
			}
			if !bytes.Equal(registered, tt.registered) {
				t.Errorf("registered_delivery %v, want %v", registered, tt.registered)
			}
			if env.Report != sms.ReportOf(tt.level) {
				t.Errorf("report %d", env.Report)
			}
			var want []sms.ReceiptRequest
			for _, suffix := range tt.ids {
				r := sms.ReceiptRequest{MsgID: env.ID + sms.MessageID(suffix), Origin: sms.OriginHTTP, CID: cid, Report: sms.ReportSubmit, Parts: len(env.Parts),
					Expiry: sms.QueueStay + 77*time.Second, SubmittedAt: env.CreatedAt}
				if suffix == "" {
					r.Report, r.UID, r.URL, r.Method = env.Report, env.UID, "http://x/", "POST"
					r.Source, r.Dest = env.Parts[0].Source, env.Parts[0].Dest
				}
				want = append(want, r)
			}
			if !reflect.DeepEqual(e.Receipts, want) {
				t.Errorf("got  %+v\nwant %+v", e.Receipts, want)
			}
		})
	}
}

func TestEndOfValidityIsIndexed(t *testing.T) {
	for _, tt := range []struct {
		name      string
		connector time.Duration
		message   func(*Message)
		want      time.Duration // 0: never
	}{
		{"none", 0, nil, 0},
		{"the connector's", time.Hour, nil, time.Hour},
		{"the sender's", 0, func(m *Message) { m.Set, m.Validity = FieldValidity, time.Minute }, time.Minute},
		{"the sender's wins", time.Hour, func(m *Message) { m.Set, m.Validity = FieldValidity, time.Minute }, time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake()
			f.cfg.Validity = tt.connector
			m := text("hi")
			m.Report.What = sms.ReportFinal
			if tt.message != nil {
				tt.message(m)
			}
			e, env := f.submit(t, f.service(Config{}), m)
			if tt.want == 0 {
				if !env.ExpiresAt.IsZero() || e.Expiries != nil {
					t.Errorf("expires at %v, index %+v", env.ExpiresAt, e.Expiries)
				}
				return
			}
			if got := env.ExpiresAt.Sub(env.CreatedAt); got != tt.want {
				t.Errorf("expires after %v, want %v", got, tt.want)
			}
			// To the same millisecond as in the envelope, or it is not found there again.
			if want := []sms.Expiry{{At: env.ExpiresAt, MsgID: env.ID, CID: cid, Report: sms.ReportFinal}}; !reflect.DeepEqual(e.Expiries, want) {
				t.Errorf("got  %+v\nwant %+v", e.Expiries, want)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*fake, *Message)
		reason sms.Reason
		detail string
	}{
		{"no route", func(f *fake, _ *Message) { f.noRoute = true }, sms.ReasonNoRoute, ""},
		{"a queue that does not exist", func(f *fake, _ *Message) { f.commit = fmt.Errorf("%w: submit.sm.smsc1", queue.ErrNoQueue) }, sms.ReasonConnector, "connector smsc1 does not exist"},
		{"a broker that is away", func(f *fake, _ *Message) { f.commit = fmt.Errorf("publish: %w", queue.ErrUnavailable) }, sms.ReasonUnavailable, "try again later"},
		{"a driver that is closing", func(f *fake, _ *Message) { f.commit = queue.ErrClosed }, sms.ReasonUnavailable, "try again later"},
		{"a confirm that takes too long", func(f *fake, _ *Message) { f.commit = context.DeadlineExceeded }, sms.ReasonUnavailable, "try again later"},
		{"a client that went away", func(f *fake, _ *Message) { f.commit = context.Canceled }, sms.ReasonUnavailable, "try again later"},
		{"a destination that SMPP has no room for", func(_ *fake, m *Message) { m.PDU.Dest.Addr = strings.Repeat("1", 21) }, sms.ReasonInvalid, "destination_addr"},
		{"a full queue", func(f *fake, _ *Message) { f.cfg.MaxQueue = 10; f.length = func() (int, error) { return 10, nil } }, sms.ReasonQueueFull, "queue of connector smsc1 is full"},
		{"our own fault", func(f *fake, _ *Message) { f.commit = errors.New("bug") }, sms.ReasonInternal, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake()
			m := text("hi")
			tt.change(f, m)
			acc, err := f.service(Config{}).Submit(t.Context(), m)
			if err == nil || acc != (Accepted{}) || len(f.entries) != 0 {
				t.Fatalf("accepted %+v, %v, %d entries", acc, err, len(f.entries))
			}
			if got := sms.ReasonOf(err); got != tt.reason {
				t.Errorf("reason %v, want %v (%v)", got, tt.reason, err)
			}
			var e *sms.Error
			if errors.As(err, &e) && !strings.Contains(e.Detail, tt.detail) {
				t.Errorf("detail %q, want %q in it", e.Detail, tt.detail)
			}
			if f.commit != nil && !errors.Is(err, f.commit) {
				t.Errorf("%v does not tell its cause", err)
			}
		})
	}
}

// Between two looks at the broker the messages accepted meanwhile count.
func TestMaxQueueCountsWhatWasAcceptedSinceTheLastLook(t *testing.T) {
	f := newFake()
	f.cfg.MaxQueue = 10
	f.length = func() (int, error) { return 7, nil }
	s := f.service(Config{})
	s.limits.every = time.Hour
	for i := range 5 {
		_, err := s.Submit(t.Context(), text("hi"))
		if full := sms.ReasonOf(err) == sms.ReasonQueueFull && err != nil; full != (i >= 3) {
			t.Errorf("message %d: %v", i+1, err)
		}
	}
	if n := f.asked.Load(); n != 1 {
		t.Errorf("the broker was asked %d times", n)
	}
	f.length = func() (int, error) { return 2, nil }
	s.limits.every = 0
	if _, err := s.Submit(t.Context(), text("hi")); err != nil {
		t.Errorf("after the queue ran empty: %v", err)
	}
}

func TestNoLimitAsksNobodyAndABrokerThatIsAwayRefusesNothing(t *testing.T) {
	f := newFake()
	f.length = func() (int, error) { return 0, queue.ErrUnavailable }
	s := f.service(Config{})
	f.submit(t, s, text("hi"))
	if f.asked.Load() != 0 {
		t.Error("asked without max_queue")
	}
	f.cfg.MaxQueue = 1
	f.submit(t, s, text("hi"))
	if f.asked.Load() != 1 {
		t.Error("not asked with max_queue")
	}
}

// stack is the embedded backend with the connector's queue.
type stack struct {
	q     *queuepebble.Driver
	store *storepebble.Store
	j     *embedded.Journal
	close func()
}

func openStack(t testing.TB, dir string) *stack { return openStackOn(t, dir, localdb.Config{}) }

func openStackOn(t testing.TB, dir string, cfg localdb.Config) *stack {
	t.Helper()
	db, err := localdb.Open(dir, cfg)
	if err != nil {
		t.Fatal(err)
	}
	q, err := queuepebble.New(db, queuepebble.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Declare(t.Context(), queue.SubmitSM(cid)); err != nil {
		t.Fatal(err)
	}
	store := storepebble.New(db)
	return &stack{q, store, embedded.New(db, q, store), func() {
		if err := errors.Join(q.Close(), db.Close()); err != nil {
			t.Error(err)
		}
	}}
}

// After Submit everything is on the disk: the message, who asked for receipts, the end of validity.
func TestAcceptedMessageIsDurable(t *testing.T) {
	dir := t.TempDir()
	st := openStack(t, dir)
	f := newFake()
	f.cfg.MaxQueue = 2
	s := f.over(Config{}, func(d *Deps) { d.Journal, d.Backlog = st.j, st.q })
	m := text(strings.Repeat("x", 400))
	m.Report = Report{What: sms.ReportOf(3), URL: "http://x/", Method: "GET"}
	m.Set, m.Validity = FieldValidity, time.Nanosecond
	acc, err := s.Submit(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	st.close()

	st = openStack(t, dir)
	defer st.close()
	c, err := st.q.Consume(t.Context(), queue.SubmitSM(cid), 1)
	if err != nil {
		t.Fatal(err)
	}
	env, err := queue.DecodeEnvelope(<-c.C())
	if err != nil || env.ID != acc.ID || len(env.Parts) != 3 {
		t.Errorf("in the queue: %+v, %v", env, err)
	}
	if r, ok, err := st.store.Receipt(t.Context(), acc.ID); err != nil || !ok || r.URL != "http://x/" || r.Parts != 3 {
		t.Errorf("receipt request: %+v, %v, %v", r, ok, err)
	}
	if _, ok, err := st.store.Receipt(t.Context(), queue.LevelOne(acc.ID)); err != nil || !ok {
		t.Errorf("record of level 1: %v, %v", ok, err)
	}
	if x, err := st.store.Expired(t.Context(), 10); err != nil || len(x) != 1 || x[0].MsgID != acc.ID || !x[0].At.Equal(env.ExpiresAt) {
		t.Errorf("expired: %+v, %v; envelope %v", x, err, env.ExpiresAt)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestSubmitConcurrently(t *testing.T) {
	st := openStack(t, t.TempDir())
	defer st.close()
	f := newFake()
	f.cfg.MaxQueue = 1 << 20
	s := f.over(Config{}, func(d *Deps) { d.Journal, d.Backlog = st.j, st.q })
	ids := make(chan sms.MessageID, 400)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				acc, err := s.Submit(t.Context(), text("hi"))
				if err != nil {
					t.Error(err)
					return
				}
				ids <- acc.ID
			}
		})
	}
	wg.Wait()
	close(ids)
	seen := map[sms.MessageID]bool{}
	for id := range ids {
		seen[id] = true
	}
	if n, err := st.q.Length(t.Context(), queue.SubmitSM(cid)); err != nil || n != 400 || len(seen) != 400 {
		t.Errorf("%d in the queue, %d ids, %v; want 400", n, len(seen), err)
	}
}

func BenchmarkSubmit(b *testing.B) {
	for _, bm := range []struct {
		name  string
		level int
	}{{"plain", 0}, {"level3", 3}} {
		for _, callers := range []int{1, 32, 256} {
			b.Run(fmt.Sprintf("%s/%d", bm.name, callers), func(b *testing.B) {
				st := openStack(b, b.TempDir())
				defer st.close()
				f := newFake()
				s := f.over(Config{}, func(d *Deps) { d.Journal, d.Backlog = st.j, st.q })
				b.ReportAllocs()
				b.ResetTimer()
				var left atomic.Int64
				left.Store(int64(b.N))
				var wg sync.WaitGroup
				for range callers {
					wg.Go(func() {
						for left.Add(-1) >= 0 {
							m := text("hello, this is a message of an ordinary length")
							m.Report = Report{What: sms.ReportOf(bm.level), URL: "http://127.0.0.1/dlr", Method: "GET"}
							if _, err := s.Submit(b.Context(), m); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wg.Wait()
				b.StopTimer()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
			})
		}
	}
}
