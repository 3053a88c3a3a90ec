package intercept

import (
	"context"
	"errors"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

func TestWhatARuleSees(t *testing.T) {
	p, _ := newPool(t, Config{})
	m := mt()
	m.PDU.TLVs.SetUint16(pdu.TagSARMsgRefNum, 300)
	m.PDU.TLVs.SetCString(pdu.TagReceiptedMessageID, "id-1")
	m.PDU.TLVs.Set(0x1400, []byte("vendor"))
	m.CustomTLVs = []CustomTLV{{Tag: 0x1401, Length: -1, Type: "Int2", Value: int64(7)}}
	m.PDU.ESMClass = pdu.ESMUDHI
	m.PDU.ShortMessage = []byte("\x05\x00\x03\x01\x02\x01h\x1be")
	o := mo()
	o.PDU.ShortMessage = nil
	o.PDU.TLVs.Set(pdu.TagMessagePayload, []byte("payload"))
	for rule, on := range map[string]*Message{
		`direction == "MT"`:                m,
		`direction == "MO"`:                o,
		`source_addr == "ACME"`:            m,
		`destination_addr startsWith "33"`: m,
		`source_addr_ton == 5 and source_addr_npi == 0 and dest_addr_ton == 1 and dest_addr_npi == 1`: m,
		`esm_class == 64 and protocol_id == 0 and priority_flag == 1 and data_coding == 0`:            m,
		`registered_delivery == 0 and replace_if_present_flag == 0 and sm_default_msg_id == 0`:        m,
		`service_type == "" and validity_period == "" and schedule_delivery_time == ""`:               m,
		`content == "h€"`:         m,
		`len(short_message) == 9`: m,
		`content == "payload"`:    o,
		`user.uid == "u1" and user.gid == "g1" and user.username == "foo"`: m,
		`connector.cid == "abc"`:                                    o,
		`tags == ["first"] and has_tag("first") and not has_tag(1)`: m,
		`tlv("sar_msg_ref_num") == 300 and tlv("receipted_message_id") == "id-1" and tlv("payload_type") == nil`: m,
		`tlv(0x1400) == "vendor" and tlv(0x1401) == 7 and tlv(0x1402) == nil`:                                    m,
		`date_time.Year() == 2024 and date_time.Hour() == 13`:                                                    m,
		`destination_addr matches "^336\\d+$"`:                                                                   m,
		`"A" + "B" + source_addr == "ABACME"`:                                                                    m,
		`1 + 2 == 3 and tlv("sar_msg_ref_num") + 1 == 301 and tlv(0x1400) + "!" == "vendor!"`:                    m,
		`any(tags, # == "first") and count(1..10, # > 5) == 5`:                                                   m,
	} {
		if got, err := p.Evaluate(context.Background(), exprRule(t, rule), on); !got || err != nil {
			t.Errorf("%s: got %v, %v, want true", rule, got, err)
		}
	}
	for _, rule := range []string{`1`, `"true"`, `nil`, `false`, `refuse(8) and false`} {
		if got, err := p.Evaluate(context.Background(), exprRule(t, rule), m); got || err != nil {
			t.Errorf("%s: got %v, %v, want false", rule, got, err)
		}
	}
}

func TestWhatARuleChanges(t *testing.T) {
	p, _ := newPool(t, Config{})
	m := mt()
	before := m.clone()
	v := run(t, p, exprRule(t, `
		set("source_addr", "N" + source_addr);
		set("source_addr", source_addr + "!");
		set("destination_addr", 4912);
		set("source_addr_ton", 1);
		set("data_coding", 8);
		set("short_message", "h€");
		set("registered_delivery", true);
		set("user_message_reference", 7);
		lock("source_addr_ton", "data_coding");
		tag(5); tag("x"); untag("first");
		content == "h€" ? tag("read") : true;
		add_custom_tlv(0x1402, "Int2", 9);
		if direction == "MO" { tag("mo") } else { tag("mt") }`), m)
	want := m.clone()
	want.PDU.Source = pdu.Address{TON: 1, Addr: "NACME!"}
	want.PDU.Dest.Addr = "4912"
	want.PDU.DataCoding, want.PDU.RegisteredDelivery = 8, 1
	want.PDU.ShortMessage = []byte{0, 'h', 0x20, 0xAC}
	want.PDU.TLVs = pdu.TLVs{{Tag: pdu.TagUserMessageReference, Value: []byte{0, 7}}}
	want.Tags = []string{"5", "x", "read", "mt"}
	want.CustomTLVs = []CustomTLV{{Tag: 0x1402, Length: -1, Type: "Int2", Value: int64(9)}}
	if !reflect.DeepEqual(v.Message, want) {
		t.Errorf("got\n%+v, want\n%+v", v.Message, want)
	}
	if want := Params(1<<ParamSource | 1<<ParamDest | 1<<ParamSourceTON | 1<<ParamDataCoding | 1<<ParamShortMessage | 1<<ParamRegisteredDelivery |
		1<<ParamTLVs | 1<<ParamTags | 1<<ParamCustomTLVs); v.Changed != want {
		t.Errorf("changed %s, want %s", v.Changed, want)
	}
	if want := Params(1<<ParamSourceTON | 1<<ParamDataCoding); v.Locked != want {
		t.Errorf("locked %s, want %s", v.Locked, want)
	}
	if !reflect.DeepEqual(m.clone(), before) {
		t.Errorf("the message of the caller was changed: %+v", m)
	}
}

func TestARuleRefusesAndAnswers(t *testing.T) {
	p, _ := newPool(t, Config{})
	for rule, want := range map[string]sms.StatusPair{
		`refuse(11)`:       {HTTP: 520, SMPP: pdu.StatusInvDstAdr},
		`refuse(88, 429)`:  {HTTP: 429, SMPP: pdu.StatusThrottled},
		`refuse_http(403)`: {HTTP: 403, SMPP: pdu.StatusUnknownErr},
		`set("source_addr", "x"); tag(1); refuse(9)`: {HTTP: 520, SMPP: pdu.StatusSysErr},
	} {
		if reason, got, _ := refusal(t, p, exprRule(t, rule), mt()); got != want || reason != sms.ReasonIntercepted {
			t.Errorf("%s: got %v %+v, want %+v", rule, reason, got, want)
		}
	}
	if v := run(t, p, exprRule(t, `answer("id-" + user.uid)`), mt()); v.Answered == nil || v.Answered.MessageID != "id-u1" {
		t.Errorf("got %+v", v)
	}
	if v := run(t, p, exprRule(t, `answer()`), mt()); v.Answered == nil || v.Answered.MessageID != "" {
		t.Errorf("got %+v", v)
	}
}

func TestARuleThatFails(t *testing.T) {
	p, log := newPool(t, Config{})
	for rule, want := range map[string]string{
		`set("source_addr", "123456789012345678901")`: "source_addr: 21 octets",
		`set("source_addr_ton", 256)`:                 "source_addr_ton: invalid value 256",
		`set("nothing", 1)`:                           `"nothing" is not a parameter`,
		`set("source_addr", 1.5)`:                     "must be a text or a whole number",
		`set("privacy_indicator", "abcdefgh" + "x") and set("sar_total_segments", 256)`: "sar_total_segments: invalid value 256",
		`lock("sar_total_segments")`:          "must be a mandatory parameter",
		`tag(1.5)`:                            "tag: invalid value 1.5",
		`tlv("nothing")`:                      "must be the name of an optional parameter",
		`add_custom_tlv(0x1400, "Int1", 256)`: "must be a number of 1 octets",
		`add_custom_tlv(70000, "Int1", 1)`:    "invalid tag 70000",
		`1 / 0 == 1 ? tags[5] : tags[6]`:      "index out of range",
	} {
		if err := wantFailure(t, p, exprRule(t, rule), mt()); !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %q, want %q in it", rule, err, want)
		}
	}
	log.wants(t, "level=ERROR", "script failed", "source_addr: 21 octets")
}

// A rule costs what its bounds allow and no more.
func TestARuleIsBounded(t *testing.T) {
	p, _ := newPool(t, Config{})
	doubling := `let a0 = content;`
	for i := 1; i < 60; i++ {
		doubling += strings.NewReplacer("X", strconv.Itoa(i), "Y", strconv.Itoa(i-1)).Replace("let aX = aY + aY;")
	}
	untyped := strings.Replace(doubling, "let a0 = content;", `let a0 = tlv(0x1400);`, 1)
	m := mt()
	m.CustomTLVs = []CustomTLV{{Tag: 0x1400, Value: "vendor"}}
	for name, rule := range map[string]string{
		"a text that doubles":                 doubling + " len(a59) > 0",
		"a text of unknown type that doubles": untyped + " a59 != nil",
		"loops in loops":                      `count(1..1000, count(1..1000, # > 0) == 1000) == 1000`,
		"loops over a text":                   `let c = split(content + content, ""); count(c, count(c, count(c, count(c, count(c, count(c, count(c, count(c, count(c, true) == 0) == 0) == 0) == 0) == 0) == 0) == 0) == 0) == 0`,
		"a sequence in a loop":                `count(1..70000, {true; true}) == 70000`,
		"tags without end":                    `all(1..2000, tag(#))`,
		"a range without end":                 `count(1..100000000, true) > 0`,
	} {
		t.Run(name, func(t *testing.T) {
			s, err := NewScript(Expr, "", rule)
			if err != nil {
				t.Fatal(err)
			}
			wantFailure(t, p, s, m)
		})
	}
	for name, rule := range map[string]string{
		"a long rule":                   strings.Repeat(" ", maxRule) + "true",
		"a rule of many parts":          strings.Repeat("true and ", maxNodes) + "true",
		"a function that multiplies":    `repeat("x", 1000000000)`,
		"a function that replaces":      `replace(content, "", content)`,
		"a name that is none":           `nothing == 1`,
		"a comparison of unlike things": `source_addr == 1`,
		"nothing":                       ` `,
	} {
		if s, err := NewScript(Expr, "", rule); err == nil {
			t.Errorf("%s: got %v, want an error", name, s)
		}
	}
}

func TestRulesRunConcurrently(t *testing.T) {
	p, _ := newPool(t, Config{})
	s := exprRule(t, `set("source_addr", destination_addr); tag(destination_addr); destination_addr == "7" ? refuse(11) : true`)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			m := mt()
			m.PDU.Dest.Addr = string(rune('0' + i))
			for range 200 {
				v, err := p.Run(context.Background(), s, m)
				if i == 7 {
					var e *sms.Error
					if !errors.As(err, &e) {
						t.Errorf("message 7: got %+v, %v", v, err)
					}
					continue
				}
				if err != nil || v.Message.PDU.Source.Addr != m.PDU.Dest.Addr || !slices.Equal(v.Message.Tags, []string{"first", m.PDU.Dest.Addr}) {
					t.Errorf("message %d: got %+v, %v", i, v, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestEncodeCustomTLV(t *testing.T) {
	tests := []struct {
		tlv  CustomTLV
		want string
		err  string
	}{
		{CustomTLV{Type: "", Value: "text"}, "text", ""},
		{CustomTLV{Type: "OctetString", Value: []byte{0, 1}}, "\x00\x01", ""},
		{CustomTLV{Type: "OctetString", Value: int64(12)}, "12", ""},
		{CustomTLV{Type: "COctetString", Value: "text"}, "text\x00", ""},
		{CustomTLV{Type: "COctetString", Value: []byte("text\x00")}, "text\x00", ""},
		{CustomTLV{Type: "Int1", Value: int64(255)}, "\xff", ""},
		{CustomTLV{Type: "Int2", Value: "258"}, "\x01\x02", ""},
		{CustomTLV{Type: "Int4", Value: []byte{0, 0, 0, 9}}, "\x00\x00\x00\x09", ""},
		{CustomTLV{Type: "Int8", Value: uint64(1<<64 - 1)}, "\xff\xff\xff\xff\xff\xff\xff\xff", ""},
		{CustomTLV{Type: "Int1", Value: int64(256)}, "", "must be a number of 1 octets"},
		{CustomTLV{Type: "Int1", Value: int64(-1)}, "", "must be a number of 1 octets"},
		{CustomTLV{Type: "Int4", Value: "x"}, "", "must be a number of 4 octets"},
		{CustomTLV{Type: "Int3", Value: int64(1)}, "", "must be of type"},
		{CustomTLV{Type: "OctetString", Value: nil}, "", "must be octets"},
		{CustomTLV{Type: "OctetString", Value: strings.Repeat("x", 65536)}, "", "65536 octets are more than 65535"},
	}
	for _, tt := range tests {
		tt.tlv.Tag = 0x1400
		got, err := tt.tlv.Encode()
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%+v: got %v, want %q in it", tt.tlv, err, tt.err)
			}
			continue
		}
		if err != nil || string(got.Value) != tt.want || got.Tag != 0x1400 {
			t.Errorf("%+v: got %x, %v, want %x", tt.tlv, got.Value, err, tt.want)
		}
	}
}

// The rules of docs/interception.md are rules, and run.
func TestTheRulesOfTheManual(t *testing.T) {
	page, err := os.ReadFile("../../docs/interception.md")
	if err != nil {
		t.Fatal(err)
	}
	p, _ := newPool(t, Config{})
	n := 0
	for line := range strings.Lines(string(page)) {
		if text := strings.TrimSpace(line); strings.HasPrefix(line, "    expr(") && strings.HasSuffix(text, ")") {
			s, err := ParseScript(context.Background(), text)
			if err != nil {
				t.Errorf("%s: %v", text, err)
				continue
			}
			run(t, p, s, mt())
			n++
		}
	}
	if n < 5 {
		t.Errorf("%d rules were found, want 5", n)
	}
}
