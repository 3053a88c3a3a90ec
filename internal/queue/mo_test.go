package queue

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smstext"
)

func moPart(seq, total byte, coding pdu.DataCoding, octets string) pdu.DeliverSM {
	m := pdu.Message{Source: pdu.Address{TON: 1, NPI: 1, Addr: "21620203060"}, Dest: pdu.Address{Addr: "85111"}, DataCoding: coding}
	if total > 1 {
		m.ESMClass = pdu.ESMUDHI
		m.ShortMessage = []byte{5, 0, 3, 7, total, seq}
	}
	m.ShortMessage = append(m.ShortMessage, octets...)
	return pdu.DeliverSM{Message: m}
}

func sampleMO() *MOCall {
	return &MOCall{MsgID: "16fd2706-8baf-433b-82eb-8c7fada847da", CID: "smsc1", CreatedAt: time.UnixMilli(1700000000123), Total: 3,
		Targets: []MOTarget{{"http_1", "GET", "http://127.0.0.1/mo?k=a b"}, {"http_2", "POST", "http://127.0.0.1/mo"}},
		Parts:   []pdu.DeliverSM{moPart(1, 3, 0, "one "), moPart(2, 3, 0, "two")}}
}

func TestMOCallSurvivesTheQueue(t *testing.T) {
	single := sampleMO()
	single.Targets, single.Parts, single.Total = single.Targets[:1], []pdu.DeliverSM{moPart(1, 1, 8, "\x00e")}, 1
	single.Parts[0].PriorityFlag = 2
	single.TLVTypes = map[pdu.Tag]string{0x1401: "Int2", 0x1400: "COctetString"}
	for name, want := range map[string]*MOCall{"long, a part missing, behind a failover route": sampleMO(), "short": single} {
		t.Run(name, func(t *testing.T) {
			m, err := want.Message()
			if err != nil {
				t.Fatal(err)
			}
			if m.ID != string(want.MsgID) || m.ContentType != ContentPDU || m.Priority != want.Parts[0].PriorityFlag {
				t.Errorf("properties %+v", m)
			}
			got, err := DecodeMOCall(&m)
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%v\ngot  %+v\nwant %+v", err, got, want)
			}
			for i := range m.Body {
				m.Body[i] = 0xEE
			}
			if !reflect.DeepEqual(got, want) {
				t.Error("the call shares memory with the message")
			}
		})
	}
}

// Operators' own consumers read these headers: names, types and spelling are a contract.
func TestMOHeadersAreAContract(t *testing.T) {
	m, err := sampleMO().Message()
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(m.Headers)
	want := "[{url http://127.0.0.1/mo?k=a b 0 false} {method GET 0 false} {http_connector http_1 0 false} {connector smsc1 0 false}" +
		" {created_at  1700000000123 true} {total_parts  3 true} {failover http_2 POST http://127.0.0.1/mo 0 false}]"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestMOCallsThatCannotBe(t *testing.T) {
	for want, change := range map[string]func(*MOCall){
		"has no target":                        func(c *MOCall) { c.Targets = nil },
		"has no parts":                         func(c *MOCall) { c.Parts = nil },
		`target "http_2" "POST" "" is`:         func(c *MOCall) { c.Targets[1].URL = "" },
		`target "http 2"`:                      func(c *MOCall) { c.Targets[1].CID = "http 2" },
		"2 of 1 parts":                         func(c *MOCall) { c.Total = 1 },
		"2 of 256 parts":                       func(c *MOCall) { c.Total = 256 },
		"part 2 of MO 16fd2706-8baf-433b-82eb": func(c *MOCall) { c.Parts[1].Dest.Addr = strings.Repeat("1", 70) },
	} {
		c := sampleMO()
		change(c)
		if _, err := c.Message(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v; want %q", err, want)
		}
	}
	other, err := pdu.Append(nil, pdu.StatusOK, 0, &pdu.SubmitSM{})
	if err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*Message){
		"is incomplete":                           func(m *Message) { m.Headers = m.Headers.WithStr(HeaderURL, "") },
		`header created_at is the text "now"`:     func(m *Message) { m.Headers = m.Headers.WithStr(HeaderCreatedAt, "now") },
		"header total_parts is 256":               func(m *Message) { m.Headers = m.Headers.WithInt(HeaderTotalParts, 256) },
		"header total_parts is negative":          func(m *Message) { m.Headers = m.Headers.WithInt(HeaderTotalParts, -1) },
		"7 octets after part 0 are no PDU":        func(m *Message) { m.Body = m.Body[:7] },
		"part 2 has command_length":               func(m *Message) { m.Body = m.Body[:len(m.Body)-1] },
		"part 1 is a submit_sm, not a deliver_s":  func(m *Message) { m.Body = other },
		`header custom_tlv_types has "5121=Int3"`: func(m *Message) { m.Headers = m.Headers.WithStr(HeaderTLVTypes, "5120=Int4;5121=Int3") },
		`header custom_tlv_types has "x=Int4"`:    func(m *Message) { m.Headers = m.Headers.WithStr(HeaderTLVTypes, "x=Int4") },
		"has more than 255 parts":                 func(m *Message) { m.Body = bytes.Repeat(m.Body, 128) },
		"has no parts":                            func(m *Message) { m.Body = nil },
	} {
		m, err := sampleMO().Message()
		if err != nil {
			t.Fatal(err)
		}
		change(&m)
		if c, err := DecodeMOCall(&m); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "16fd2706") {
			t.Errorf("got %+v, %v; want %q", c, err, want)
		}
	}
}

func TestMOParameters(t *testing.T) {
	local := time.UnixMilli(1700000000123).Add(time.Hour).Format(dateTime)
	for _, tt := range []struct {
		name   string
		change func(*MOCall)
		want   string // beside id, from, to and origin-connector
	}{
		{"short, GSM alphabet", func(c *MOCall) { c.Parts = []pdu.DeliverSM{moPart(1, 1, 0, "caf\x05 \x1be")}; c.Total = 1 },
			"priority=0 coding=0 content=café € binary=63616605201b65"},
		{"a message class", func(c *MOCall) { c.Parts = []pdu.DeliverSM{moPart(1, 1, 0xF0, "\x05")}; c.Total = 1 }, "priority=0 coding=240 content=é binary=05"},
		{"latin1", func(c *MOCall) { c.Parts = []pdu.DeliverSM{moPart(1, 1, 3, "\xe9")}; c.Total = 1 }, "priority=0 coding=3 content=é binary=e9"},
		{"Cyrillic", func(c *MOCall) { c.Parts = []pdu.DeliverSM{moPart(1, 1, 6, "\xb0")}; c.Total = 1 }, "priority=0 coding=6 content=А binary=b0"},
		{"Hebrew", func(c *MOCall) { c.Parts = []pdu.DeliverSM{moPart(1, 1, 7, "\xe0")}; c.Total = 1 }, "priority=0 coding=7 content=א binary=e0"},
		{"Shift_JIS", func(c *MOCall) { c.Parts = []pdu.DeliverSM{moPart(1, 1, 5, "\x82\xa0")}; c.Total = 1 }, "priority=0 coding=5 content=あ binary=82a0"},
		{"Korean", func(c *MOCall) { c.Parts = []pdu.DeliverSM{moPart(1, 1, 14, "\xb0\xa1")}; c.Total = 1 }, "priority=0 coding=14 content=가 binary=b0a1"},
		{"8-bit data that is no text", func(c *MOCall) { c.Parts = []pdu.DeliverSM{moPart(1, 1, 4, "\xff\x00")}; c.Total = 1 },
			"priority=0 coding=4 content=ÿ\x00 binary=ff00"},
		{"message_payload", func(c *MOCall) {
			c.Parts, c.Total = []pdu.DeliverSM{moPart(1, 1, 8, "")}, 1
			c.Parts[0].TLVs.Set(pdu.TagMessagePayload, []byte("\x06\x2a"))
		}, "priority=0 coding=8 content=ت binary=062a"},
		{"a character cut in two", func(c *MOCall) {
			c.Parts = []pdu.DeliverSM{moPart(1, 2, 8, "\xd8\x3d"), moPart(2, 2, 8, "\xde\x00")}
			c.Total = 2
		}, "priority=0 coding=8 content=😀 binary=d83dde00"},
		{"parts of different alphabets", func(c *MOCall) {
			c.Parts = []pdu.DeliverSM{moPart(1, 2, 0, "a"), moPart(2, 2, 8, "\x00\xe9")}
			c.Total = 2
		},
			"priority=0 coding=0 content=aé binary=6100e9"},
		{"parts that never came", func(c *MOCall) { c.Parts = []pdu.DeliverSM{moPart(2, 4, 0, "b"), moPart(4, 4, 0, "d")}; c.Total = 4 },
			"priority=0 coding=0 content=bd binary=6264 missing-parts=1,3"},
		{"parts by SAR", func(c *MOCall) {
			c.Total = 2
			for i := range c.Parts {
				c.Parts[i] = moPart(1, 1, 0, string(rune('a'+i)))
				c.Parts[i].TLVs = pdu.TLVs{{Tag: pdu.TagSARMsgRefNum, Value: []byte{0, 9}}, {Tag: pdu.TagSARTotalSegments, Value: []byte{2}},
					{Tag: pdu.TagSARSegmentSeqnum, Value: []byte{byte(i + 1)}}}
			}
		}, "priority=0 coding=0 content=ab binary=6162"},
		{"a national table", func(c *MOCall) {
			c.Parts, c.Total = []pdu.DeliverSM{moPart(1, 1, 0, "\x03\x25\x01\x01\x1d")}, 1
			c.Parts[0].ESMClass = pdu.ESMUDHI
		}, "priority=0 coding=0 content=" + smstext.DecodeTables([]byte{0x1d}, 0, smstext.Tables{Locking: 1}) + " binary=1d udh=03250101"},
		{"ports", func(c *MOCall) {
			c.Parts, c.Total = []pdu.DeliverSM{moPart(1, 1, 4, "\x06\x05\x04\x0b\x84\x23\xf0data")}, 1
			c.Parts[0].ESMClass = pdu.ESMUDHI
		}, "priority=0 coding=4 content=data binary=64617461 udh=0605040b8423f0"},
		{"a header that is not there", func(c *MOCall) { c.Parts[0].ShortMessage = []byte("zz"); c.Parts = c.Parts[:1]; c.Total = 1 },
			"priority=0 coding=0 content=zz binary=7a7a"},
		{"priority, validity and TLVs", func(c *MOCall) {
			c.Parts, c.Total = []pdu.DeliverSM{moPart(1, 1, 0, "x")}, 1
			c.Parts[0].PriorityFlag, c.Parts[0].ValidityPeriod = 3, "000000010000000R"
			c.Parts[0].TLVs = pdu.TLVs{{Tag: pdu.TagUserMessageReference, Value: []byte{1, 2}}, {Tag: pdu.TagPayloadType, Value: []byte{1}},
				{Tag: pdu.TagNetworkErrorCode, Value: []byte{3, 0, 8}}, {Tag: 0x1401, Value: []byte("é")}}
		}, "priority=3 coding=0 validity=" + local + ` content=x binary=78 tlv_params={"network_error_code":"030008","payload_type":"WCMP","user_message_reference":"258"}` +
			` custom_tlvs=[{"tag":5121,"length":2,"type":"OctetString","value":"c3a9"}]`},
		{"TLVs with the types of the connector's rules", func(c *MOCall) {
			c.Parts, c.Total = []pdu.DeliverSM{moPart(1, 1, 0, "x")}, 1
			c.Parts[0].TLVs = pdu.TLVs{{Tag: 0x1400, Value: []byte{1, 2}}, {Tag: 0x1401, Value: []byte("<é\x00")}, {Tag: 0x1402, Value: []byte{1}}, {Tag: 0x1403, Value: []byte{7}}}
			c.TLVTypes = map[pdu.Tag]string{0x1400: "Int2", 0x1401: "COctetString", 0x1402: "Int4"}
		}, `priority=0 coding=0 content=x binary=78 custom_tlvs=[{"tag":5120,"length":2,"type":"Int2","value":258},{"tag":5121,"length":4,"type":"COctetString","value":"<é"},` +
			`{"tag":5122,"length":1,"type":"OctetString","value":"01"},{"tag":5123,"length":1,"type":"OctetString","value":"07"}]`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := sampleMO()
			tt.change(c)
			var got []string
			for _, p := range c.Parameters() {
				got = append(got, p.Name+"="+p.Value)
			}
			want := "id=" + string(c.MsgID) + " from=21620203060 to=85111 origin-connector=smsc1 " + tt.want
			if s := strings.Join(got, " "); s != want {
				t.Errorf("got  %s\nwant %s", s, want)
			}
		})
	}
}

func TestADataSMOfLongAddressesStaysOne(t *testing.T) {
	want := sampleMO()
	want.Parts, want.Total = want.Parts[:1], 1
	want.Parts[0] = moPart(1, 1, 0, "")
	want.Parts[0].Source.Addr = strings.Repeat("a", 60)
	want.Parts[0].TLVs.Set(pdu.TagMessagePayload, []byte("hi"))
	m, err := want.Message()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := DecodeMOCall(&m); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\ngot  %+v\nwant %+v", err, got, want)
	}
}

func TestMOToESMEAndItsCopy(t *testing.T) {
	at := time.UnixMilli(1700000000123)
	p := moPart(1, 2, 0, "a")
	pub, err := MOToESME("m1", "acme", at, &p)
	if err != nil || pub.Queue != DeliverSMSMPPS || pub.Message.ID != "m1" || pub.Message.Headers.Str("system_id") != "acme" || pub.Message.Headers.Int("created_at") != at.UnixMilli() {
		t.Errorf("got %+v, %v", pub, err)
	}
	if _, got, err := pdu.Decode(pub.Message.Body); err != nil || !reflect.DeepEqual(got, &p) {
		t.Errorf("body %+v, %v", got, err)
	}
	c, err := MOCopy("m1", "smsc1", at, &pdu.DataSM{Dest: p.Dest}, true)
	if err != nil || c.Queue != "deliver.sm.smsc1" || !c.Observers || c.Message.Headers.Str("type") != "data_sm" || c.Message.Headers.Str("connector") != "smsc1" || c.Message.Headers.Int("will_be_concatenated") != 1 {
		t.Errorf("got %+v, %v", c, err)
	}
	bad := &pdu.DataSM{ServiceType: strings.Repeat("x", 99)}
	if _, err := MOToESME("m1", "acme", at, bad); err == nil || !strings.Contains(err.Error(), "m1") {
		t.Errorf("got %v", err)
	}
	if _, err := MOCopy("m1", "smsc1", at, bad, false); err == nil || !strings.Contains(err.Error(), "m1") {
		t.Errorf("got %v", err)
	}
}

func FuzzDecodeMOCall(f *testing.F) {
	m, err := sampleMO().Message()
	if err != nil {
		f.Fatal(err)
	}
	f.Add("m1", m.Body, "http://x/", "GET", "http_2 POST http://y/", int64(1700000000123), int64(3))
	f.Add("", m.Body[:20], "", "", "\n ", int64(-1), int64(500))
	f.Fuzz(func(t *testing.T, id string, body []byte, url, method, failover string, created, total int64) {
		h := Headers{}.WithStr(HeaderURL, url).WithStr(HeaderMethod, method).WithStr(HeaderHTTPConnector, "http_1").WithStr(HeaderFailover, failover).
			WithInt(HeaderCreatedAt, created).WithInt(HeaderTotalParts, total)
		c, err := DecodeMOCall(&Message{ID: id, Headers: h, Body: body})
		if err != nil {
			if !strings.Contains(err.Error(), id) {
				t.Fatalf("%v does not name %q", err, id)
			}
			return
		}
		for _, p := range c.Parameters() {
			switch p.Name {
			case "content":
				if !utf8.ValidString(p.Value) {
					t.Fatalf("content %q is not UTF-8", p.Value)
				}
			case "tlv_params", "custom_tlvs":
				if !json.Valid([]byte(p.Value)) {
					t.Fatalf("%s %q is no JSON", p.Name, p.Value)
				}
			}
		}
		m, err := c.Message()
		if err != nil {
			return // the encoder is stricter
		}
		if again, err := DecodeMOCall(&m); err != nil || !reflect.DeepEqual(again, c) {
			t.Fatalf("%v\nfirst  %+v\nsecond %+v", err, c, again)
		}
	})
}
