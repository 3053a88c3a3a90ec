package queue

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

func sampleEnvelope() *sms.Envelope {
	part := func(text string) pdu.SubmitSM {
		return pdu.SubmitSM{Message: pdu.Message{Source: pdu.Address{TON: 5, Addr: "BANK"}, Dest: pdu.Address{TON: 1, NPI: 1, Addr: "33612345678"},
			ESMClass: 0x40, PriorityFlag: 2, RegisteredDelivery: 1, DataCoding: 8, ShortMessage: []byte(text),
			TLVs: pdu.TLVs{{Tag: pdu.TagMoreMessagesToSend, Value: []byte{1}}, {Tag: 0x1400, Value: []byte("vendor")}}}}
	}
	return &sms.Envelope{ID: "16fd2706-8baf-433b-82eb-8c7fada847da", CID: "smsc1", UID: "u1", Origin: sms.OriginHTTP,
		CreatedAt: time.UnixMilli(1700000000123), ExpiresAt: time.UnixMilli(1700000060123), Priority: 2, Report: sms.ReportSubmit | sms.ReportFinal,
		Parts:    []pdu.SubmitSM{part("\x05\x00\x03\x01\x02\x01a"), part("\x05\x00\x03\x01\x02\x02b")},
		Refusals: map[pdu.Status]int{pdu.StatusThrottled: 3, pdu.StatusSysErr: 1}, Losses: 2, Content: "é\n\x00",
		Bill: sms.Bill{Charged: true, Early: 300_000, Rest: 900_000}}
}

func TestEnvelopeRoundTrip(t *testing.T) {
	bare := sampleEnvelope()
	bare.ExpiresAt, bare.Report, bare.Refusals, bare.Losses, bare.Content, bare.UID, bare.Parts = time.Time{}, 0, nil, 0, "", "", bare.Parts[:1]
	bare.Bill = sms.Bill{}
	counted := sampleEnvelope()
	counted.Bill = sms.Bill{Charged: true} // sms_count alone
	for name, want := range map[string]*sms.Envelope{"everything": sampleEnvelope(), "as little as possible": bare, "charged to sms_count": counted} {
		t.Run(name, func(t *testing.T) {
			m, err := EncodeEnvelope(want)
			if err != nil {
				t.Fatal(err)
			}
			if m.ID != string(want.ID) || m.Priority != want.Priority || m.ContentType != ContentPDU || m.Attempts != 0 {
				t.Errorf("properties %+v", m)
			}
			d := &Delivery{Message: m, Queue: SubmitSM("smsc1")}
			got, err := DecodeEnvelope(d)
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%v\ngot  %+v\nwant %+v", err, got, want)
			}
			for i := range d.Body { // what was decoded is nobody else's
				d.Body[i] = 0xEE
			}
			if !reflect.DeepEqual(got, want) {
				t.Error("the envelope shares memory with the delivery")
			}
			if !reflect.DeepEqual(EnvelopeHeaders(want), m.Headers) {
				t.Errorf("EnvelopeHeaders %+v, want %+v", EnvelopeHeaders(want), m.Headers)
			}
		})
	}
}

func TestLossesOfAMessageWithoutTheirHeader(t *testing.T) {
	e := sampleEnvelope()
	e.Losses = 0
	m, err := EncodeEnvelope(e)
	if err != nil {
		t.Fatal(err)
	}
	m.Headers = m.Headers.without(HeaderLosses)
	for attempts, want := range []int{0, 0, 0, 0, 0, 1, 2} { // it was refused four times
		m.Attempts = attempts
		got, err := DecodeEnvelope(&Delivery{Message: m, Queue: SubmitSM("smsc1")})
		if err != nil || got.Losses != want {
			t.Errorf("%d attempts: %d losses, %v, want %d", attempts, got.Losses, err, want)
		}
	}
}

// Operators' own consumers read these headers: names, types and spelling are a contract.
func TestEnvelopeHeadersAreAContract(t *testing.T) {
	got := fmt.Sprint(EnvelopeHeaders(sampleEnvelope()))
	want := "[{created_at  1700000000123 true} {source_connector httpapi 0 false} {uid u1 0 false} {expires_at  1700000060123 true}" +
		" {dlr_report  3 true} {refusals 8=1;88=3 0 false} {losses  2 true} {bill_early 0.3 0 false} {bill_rest 0.9 0 false} {log_content é\n\x00 0 false}]"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestEnvelopesThatCannotBeEncoded(t *testing.T) {
	e := sampleEnvelope()
	e.Parts[1].Dest.Addr = strings.Repeat("1", 30)
	if _, err := EncodeEnvelope(e); err == nil || !strings.Contains(err.Error(), "part 2 of message "+string(e.ID)) {
		t.Errorf("a bad part: %v", err)
	}
	e.Parts = nil
	if _, err := EncodeEnvelope(e); err == nil || !strings.Contains(err.Error(), string(e.ID)) {
		t.Errorf("no parts: %v", err)
	}
}

func TestEnvelopesThatAreNone(t *testing.T) {
	part := func(p pdu.PDU) []byte {
		b, err := pdu.Append(nil, pdu.StatusOK, 0, p)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	ok := part(&pdu.SubmitSM{Message: pdu.Message{Dest: pdu.Address{Addr: "336"}}})
	for _, tt := range []struct {
		name   string
		change func(*Delivery)
		want   string
	}{
		{"another queue", func(d *Delivery) { d.Queue = DLRDeliverSM }, "queue dlr.deliver_sm is not a connector's"},
		{"a queue of responses", func(d *Delivery) { d.Queue = SubmitSMResp("x") }, "queue submit.sm.resp.x is not a connector's"},
		{"no parts", func(d *Delivery) { d.Body = nil }, "message m1 has no parts"},
		{"half a header", func(d *Delivery) { d.Body = ok[:7] }, "message m1: 7 octets after part 0 are no PDU"},
		{"octets after the last part", func(d *Delivery) { d.Body = append(bytes.Clone(ok), 1, 2) }, "message m1: 2 octets after part 1 are no PDU"},
		{"half a part", func(d *Delivery) { d.Body = ok[:len(ok)-1] }, fmt.Sprintf("message m1: part 1 has command_length %d, %d octets are left", len(ok), len(ok)-1)},
		{"a length shorter than a header", func(d *Delivery) { d.Body = append([]byte{0, 0, 0, 4}, ok[4:]...) }, "message m1: part 1 has command_length 4"},
		{"another PDU", func(d *Delivery) { d.Body = part(&pdu.DeliverSM{}) }, "message m1: part 1 is a deliver_sm, not a submit_sm"},
		{"a PDU that is broken", func(d *Delivery) {
			d.Body = bytes.Clone(ok[:16])
			d.Body[3] = 16
		}, "message m1: part 1: "},
		{"too many parts", func(d *Delivery) { d.Body = bytes.Repeat(ok, 256) }, "message m1 has more than 255 parts"},
		{"a time that is text", func(d *Delivery) { d.Headers = d.Headers.WithStr(HeaderExpiresAt, "soon") }, `message m1: header expires_at is the text "soon", not an integer`},
		{"a time before 1970", func(d *Delivery) { d.Headers = d.Headers.WithInt(HeaderCreatedAt, -1) }, "message m1: header created_at is negative: -1"},
		{"a level that is none", func(d *Delivery) { d.Headers = d.Headers.WithInt(HeaderReport, 4) }, "message m1: header dlr_report is 4, want 1, 2 or 3"},
		{"a level that is text", func(d *Delivery) { d.Headers = d.Headers.WithStr(HeaderReport, "3") }, `message m1: header dlr_report is the text "3"`},
		{"refusals that are none", func(d *Delivery) { d.Headers = d.Headers.WithStr(HeaderRefusals, "88") }, `message m1: header refusals: "88" is not status=count`},
		{"refusals that are negative", func(d *Delivery) { d.Headers = d.Headers.WithStr(HeaderRefusals, "8=1;88=-1") }, `message m1: header refusals: "88=-1" is not status=count`},
		{"an amount that is none", func(d *Delivery) { d.Headers = d.Headers.WithStr(HeaderBillEarly, "lots") }, `message m1: header bill_early: invalid value "lots"`},
		{"an amount below zero", func(d *Delivery) { d.Headers = d.Headers.WithStr(HeaderBillRest, "-1") }, `message m1: header bill_rest: invalid value "-1"`},
		{"losses that are text", func(d *Delivery) { d.Headers = d.Headers.WithStr(HeaderLosses, "2") }, `message m1: header losses is the text "2", not an integer`},
		{"refusals of no status", func(d *Delivery) { d.Headers = d.Headers.WithStr(HeaderRefusals, "4294967296=1") }, `message m1: header refusals:`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := &Delivery{Queue: "submit.sm.smsc1", Message: Message{ID: "m1", Body: ok}}
			if _, err := DecodeEnvelope(d); err != nil {
				t.Fatal(err)
			}
			tt.change(d)
			if e, err := DecodeEnvelope(d); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %+v, %v; want %q", e, err, tt.want)
			}
		})
	}
}

func TestSubmitResultRoundTrip(t *testing.T) {
	for _, want := range []SubmitResult{
		{MsgID: "m1", CID: "smsc1", SMPPMsgID: "00aB", Status: "ESME_ROK"},
		{MsgID: "m1", CID: "smsc1", Status: "ESME_RDELIVERYFAILURE", State: "EXPIRED"},
	} {
		m := want.Message()
		if got, err := DecodeSubmitResult(&m); err != nil || *got != want {
			t.Errorf("%v\ngot  %+v\nwant %+v", err, got, want)
		}
		if m.ID != "m1" || string(m.Body) != want.Status || m.Headers.Str("type") != "submit_sm_resp" || m.Headers.Str("smpp_msgid") != want.SMPPMsgID {
			t.Errorf("message %+v", m)
		}
	}
	for _, m := range []Message{{ID: "m1"}, {Body: []byte("ESME_ROK")}} {
		if got, err := DecodeSubmitResult(&m); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", m.ID)) {
			t.Errorf("got %+v, %v", got, err)
		}
	}
}

func TestReceiptEventRoundTrip(t *testing.T) {
	for _, want := range []ReceiptEvent{
		{CID: "smsc1", PDU: "deliver_sm", ID: "A1", IDs: []string{"161", "10"}, Unique: true, State: "DELIVRD", Sub: "001", Dlvrd: "001",
			SubmitDate: "2401020304", DoneDate: "2401020305", Err: "000", Text: "é\n", ReceivedAt: 1700000000123, Accounts: []sms.Account{"smsc.example:2775/user", "[::1]:2776/a%3Ab"}, Octets: []byte{0, 0xfe}},
		{CID: "smsc1", PDU: "data_sm", ID: "A1", State: "UNDELIV"},
	} {
		m := want.Message()
		if got, err := DecodeReceiptEvent(&m); err != nil || !reflect.DeepEqual(*got, want) {
			t.Errorf("%v\ngot  %+v\nwant %+v", err, got, want)
		}
		if m.ID != "A1" || string(m.Body) != want.State || m.Headers.Str("dlr_stat") != want.State || m.Headers.Str("cid") != "smsc1" {
			t.Errorf("message %+v", m)
		}
	}
	for _, bad := range []ReceiptEvent{{CID: "smsc1"}, {ID: "A1"}} {
		m := bad.Message()
		if got, err := DecodeReceiptEvent(&m); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", bad.ID)) {
			t.Errorf("got %+v, %v", got, err)
		}
	}
}

func TestHTTPDLRRoundTrip(t *testing.T) {
	for _, want := range []HTTPDLR{
		{MsgID: "m1", URL: "http://x/?a=b", Method: "GET", Level: 1, Status: "ESME_ROK", CID: "smsc1", IDSMSC: "A1"},
		{MsgID: "m1", URL: "http://x/", Method: "POST", Level: 2, Status: "DELIVRD", CID: "smsc1", IDSMSC: "A1", Sub: "1", Dlvrd: "2", SubDate: "3",
			DoneDate: "4", Err: "5", Text: "é"},
	} {
		m := want.Message()
		if got, err := DecodeHTTPDLR(&m); err != nil || *got != want {
			t.Errorf("%v\ngot  %+v\nwant %+v", err, got, want)
		}
	}
	ok := HTTPDLR{MsgID: "m1", URL: "http://x/", Level: 1}
	for want, change := range map[string]func(*Message){
		`DLR of message "m1" has no url`:                                           func(m *Message) { m.Headers = m.Headers.WithStr(HeaderURL, "") },
		`DLR of message "m1": header level is 0, want 1, 2 or 3`:                   func(m *Message) { m.Headers = m.Headers.WithInt(HeaderLevel, 0) },
		`DLR of message "m1": header level is 9223372036854775807, want 1, 2 or 3`: func(m *Message) { m.Headers = m.Headers.WithInt(HeaderLevel, math.MaxInt64) },
		`DLR of message "m1": header level is the text "2", not an integer`:        func(m *Message) { m.Headers = m.Headers.WithStr(HeaderLevel, "2") },
	} {
		m := ok.Message()
		change(&m)
		if got, err := DecodeHTTPDLR(&m); err == nil || err.Error() != want {
			t.Errorf("got %+v, %v; want %s", got, err, want)
		}
	}
}

func TestHeaders(t *testing.T) {
	var h Headers
	h = h.WithStr("a", "").WithInt("b", 5).WithStr("c", "x")
	if !h.Has("a") || h.Str("a") != "" || h.Int("b") != 5 || h.Str("c") != "x" || h.Has("d") || h.Str("d") != "" || h.Int("d") != 0 {
		t.Errorf("headers %+v", h)
	}
	changed := h.Clone().WithInt("a", 1).WithStr("b", "y")
	if want := (Headers{{Name: "a", Int: 1, IsInt: true}, {Name: "b", Str: "y"}, {Name: "c", Str: "x"}}); !reflect.DeepEqual(changed, want) {
		t.Errorf("got  %+v\nwant %+v", changed, want)
	}
	if h.Int("b") != 5 {
		t.Error("a clone shares memory")
	}
}

func TestNames(t *testing.T) {
	if got := SubmitSM("smsc1"); got != "submit.sm.smsc1" {
		t.Errorf("SubmitSM: %s", got)
	}
	if got := SubmitSMResp("smsc1"); got != "submit.sm.resp.smsc1" {
		t.Errorf("SubmitSMResp: %s", got)
	}
	if got := DeliverSM("smsc1"); got != "deliver.sm.smsc1" {
		t.Errorf("DeliverSM: %s", got)
	}
	for name, want := range map[Name]sms.ConnectorID{"submit.sm.smsc1": "smsc1", "submit.sm.resp": "resp", "submit.sm.resp.smsc1": "", "submit.sm.": "", "dlr.deliver_sm": ""} {
		if got, ok := ConnectorOf(name); got != want || ok != (want != "") {
			t.Errorf("ConnectorOf(%s) = %q, %v", name, got, ok)
		}
	}
	if got := LevelOne("m1"); got != "m1/1" {
		t.Errorf("LevelOne: %s", got)
	}
	d := &Delivery{Queue: "q", Message: Message{ID: "m1", Attempts: 3}}
	if got := d.Key(); got != "q/m1/3" {
		t.Errorf("Key: %s", got)
	}
}

func FuzzDecodeEnvelope(f *testing.F) {
	m, err := EncodeEnvelope(sampleEnvelope())
	if err != nil {
		f.Fatal(err)
	}
	f.Add("m1", m.Body, int64(1700000000123), int64(0), int64(3), "88=3;8=1", "text", uint8(1))
	f.Add("", m.Body[:20], int64(-1), int64(5), int64(9), "x", "", uint8(200))
	f.Fuzz(func(t *testing.T, id string, body []byte, created, expires, report int64, refusals, content string, priority uint8) {
		h := Headers{}.WithInt(HeaderCreatedAt, created).WithInt(HeaderExpiresAt, expires).WithInt(HeaderReport, report).
			WithStr(HeaderRefusals, refusals).WithStr(HeaderContent, content).WithStr(HeaderUID, id)
		e, err := DecodeEnvelope(&Delivery{Queue: "submit.sm.smsc1", Message: Message{ID: id, Priority: priority, Headers: h, Body: body}})
		if err != nil {
			if !strings.Contains(err.Error(), id) {
				t.Fatalf("%v does not name %q", err, id)
			}
			return
		}
		m, err := EncodeEnvelope(e)
		if err != nil {
			return // the encoder is stricter
		}
		again, err := DecodeEnvelope(&Delivery{Queue: "submit.sm.smsc1", Message: m})
		if err != nil || !reflect.DeepEqual(again, e) {
			t.Fatalf("%v\nfirst  %+v\nsecond %+v", err, e, again)
		}
	})
}

func FuzzDecodeSubmitResult(f *testing.F) {
	f.Add("m1", "smsc1", "A1", "ESME_ROK", "")
	f.Add("", "", "", "", "EXPIRED")
	f.Fuzz(func(t *testing.T, id, cid, smppMsgID, status, state string) {
		m := Message{ID: id, Body: []byte(status), Headers: Headers{}.WithStr(HeaderCID, cid).WithStr(HeaderSMPPMsgID, smppMsgID).WithStr(HeaderDLRStat, state)}
		r, err := DecodeSubmitResult(&m)
		if err != nil {
			return
		}
		m = r.Message()
		if again, err := DecodeSubmitResult(&m); err != nil || *again != *r {
			t.Fatalf("%v\nfirst  %+v\nsecond %+v", err, r, again)
		}
	})
}

func FuzzDecodeReceiptEvent(f *testing.F) {
	f.Add("A1", "smsc1", "161\n10", int64(1), "DELIVRD", "text", int64(5))
	f.Add("", "smsc1", "\n", int64(2), "", "", int64(-5))
	f.Fuzz(func(t *testing.T, id, cid, ids string, unique int64, state, text string, at int64) {
		m := Message{ID: id, Body: []byte(state), Headers: Headers{}.WithStr(HeaderDLRID, id).WithStr(HeaderCID, cid).WithStr(HeaderDLRIDs, ids).
			WithInt(HeaderDLRUnique, unique).WithStr(HeaderDLRText, text).WithStr(HeaderDLRErr, text).WithInt(HeaderCreatedAt, at)}
		r, err := DecodeReceiptEvent(&m)
		if err != nil {
			return
		}
		m = r.Message()
		if again, err := DecodeReceiptEvent(&m); err != nil || !reflect.DeepEqual(again, r) {
			t.Fatalf("%v\nfirst  %+v\nsecond %+v", err, r, again)
		}
	})
}

func FuzzDecodeHTTPDLR(f *testing.F) {
	f.Add("m1", "http://x/", "GET", int64(1), "ESME_ROK", "000")
	f.Add("", "x", "", int64(2), "", "")
	f.Fuzz(func(t *testing.T, id, url, method string, level int64, status, field string) {
		m := Message{ID: id, Headers: Headers{}.WithStr(HeaderURL, url).WithStr(HeaderMethod, method).WithInt(HeaderLevel, level).
			WithStr(HeaderMessageStatus, status).WithStr(HeaderIDSMSC, field)}
		if level != 1 {
			m.Headers = m.Headers.WithStr(HeaderErr, field).WithStr(HeaderText, field).WithStr(HeaderSub, field)
		}
		d, err := DecodeHTTPDLR(&m)
		if err != nil {
			return
		}
		m = d.Message()
		if again, err := DecodeHTTPDLR(&m); err != nil || *again != *d {
			t.Fatalf("%v\nfirst  %+v\nsecond %+v", err, d, again)
		}
	})
}

func FuzzRefusals(f *testing.F) {
	f.Add("88=3;8=1")
	f.Add("088=+1;88=2")
	f.Fuzz(func(t *testing.T, s string) {
		r, err := parseRefusals(s)
		if err != nil {
			return
		}
		text := formatRefusals(r)
		if again, err := parseRefusals(text); err != nil || !reflect.DeepEqual(again, r) || formatRefusals(again) != text {
			t.Fatalf("%q became %v, then %q and %v, %v", s, r, text, again, err)
		}
	})
}

func BenchmarkEncodeEnvelope(b *testing.B) {
	e := sampleEnvelope()
	m, err := EncodeEnvelope(e)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(m.Body)))
	for b.Loop() {
		if _, err := EncodeEnvelope(e); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeEnvelope(b *testing.B) {
	m, err := EncodeEnvelope(sampleEnvelope())
	if err != nil {
		b.Fatal(err)
	}
	d := &Delivery{Queue: "submit.sm.smsc1", Message: m}
	b.ReportAllocs()
	b.SetBytes(int64(len(m.Body)))
	for b.Loop() {
		if _, err := DecodeEnvelope(d); err != nil {
			b.Fatal(err)
		}
	}
}
