package mt

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smppc"
	"jasmind/internal/sms"
)

func rules(t *testing.T, value string) smppc.TLVRules {
	t.Helper()
	rs, err := smppc.ParseTLVRules(value)
	if err != nil {
		t.Fatal(err)
	}
	return rs
}

func TestCustomTLVsLeaveInEveryPart(t *testing.T) {
	f := newFake()
	f.cfg.CustomTLVs = rules(t, "0x1400,Int4,4,required")
	m := text(strings.Repeat("x", 200))
	m.CustomTLVs = []sms.CustomTLV{{Tag: 0x1401, Length: -1, Value: "any"}, {Tag: 0x1400, Length: -1, Value: "7"}}
	_, env := f.submit(t, f.service(Config{}), m)
	want := pdu.TLVs{{Tag: 0x1401, Value: []byte("any")}, {Tag: 0x1400, Value: []byte{0, 0, 0, 7}}}
	if len(env.Parts) != 2 {
		t.Fatalf("%d parts", len(env.Parts))
	}
	for i, p := range env.Parts {
		if len(p.TLVs) != 3 || !reflect.DeepEqual(p.TLVs[:2], want) || p.TLVs[2].Tag != pdu.TagMoreMessagesToSend {
			t.Errorf("part %d has %v", i+1, p.TLVs)
		}
	}
}

// The rules are those of the connector that the message goes to, whichever way it came.
func TestRulesOfTheRoutedConnectorRefuse(t *testing.T) {
	for _, tt := range []struct {
		name   string
		origin sms.Origin
		wire   pdu.TLVs
		custom []sms.CustomTLV
		detail string
		status pdu.Status
	}{
		{"nothing over HTTP", sms.OriginHTTP, nil, nil, "custom TLV 0x1400 is required", pdu.StatusMissingOptParam},
		{"nothing over SMPP", sms.OriginSMPP, nil, nil, "custom TLV 0x1400 is required", pdu.StatusMissingOptParam},
		{"too long over SMPP", sms.OriginSMPP, pdu.TLVs{{Tag: 0x1400, Value: make([]byte, 5)}}, nil, "custom TLV 0x1400 has 5 octets, at most 4 are allowed", pdu.StatusInvParLen},
		{"no number", sms.OriginHTTP, nil, []sms.CustomTLV{{Tag: 0x1400, Value: "x"}}, `custom TLV 0x1400 of type Int4: invalid value "x", must be a number of 4 octets`, pdu.StatusInvOptParamVal},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake()
			f.cfg.CustomTLVs = rules(t, "0x1400,Int4,4,required")
			m := text("hi")
			m.Origin, m.PDU.TLVs, m.CustomTLVs = tt.origin, tt.wire, tt.custom
			_, err := f.service(Config{}).Submit(t.Context(), m)
			var e *sms.Error
			if !errors.As(err, &e) || e.Reason != sms.ReasonInvalid || e.Field != "custom_tlvs" || e.Detail != tt.detail || e.Override == nil || *e.Override != (sms.StatusPair{SMPP: tt.status}) {
				t.Errorf("got %v", err)
			}
			if len(f.entries) != 0 {
				t.Error("something was kept")
			}
		})
	}
}

func TestVendorTLVsOfAnESMEPassUntouched(t *testing.T) {
	f := newFake()
	m := text("")
	m.Origin, m.IsText, m.PDU.ShortMessage = sms.OriginSMPP, false, []byte("hi")
	want := pdu.TLVs{{Tag: 0x1400, Value: []byte{0xFE}}, {Tag: 0x0204, Value: []byte{0, 1}}, {Tag: 0x3FFF, Value: []byte{}}, {Tag: 0x1400, Value: []byte{2}}}
	m.PDU.TLVs = want
	if _, env := f.submit(t, f.service(Config{}), m); !reflect.DeepEqual(env.Parts[0].TLVs, want) {
		t.Errorf("left with %v", env.Parts[0].TLVs)
	}
}

func TestScriptsSeeAndChangeCustomTLVs(t *testing.T) {
	for _, tt := range []struct {
		name, rule string
		want       pdu.TLVs
	}{
		{"it reads them", `tlv(5120) == "7" or refuse(8)`, pdu.TLVs{{Tag: 0x1400, Value: []byte{0, 0, 0, 7}}}},
		{"it adds one", `add_custom_tlv(5121, "Int2", 258)`, pdu.TLVs{{Tag: 0x1400, Value: []byte{0, 0, 0, 7}}, {Tag: 0x1401, Value: []byte{1, 2}}}},
		{"a named one beside it", `set("source_port", 7)`, pdu.TLVs{{Tag: pdu.TagSourcePort, Value: []byte{0, 7}}, {Tag: 0x1400, Value: []byte{0, 0, 0, 7}}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake()
			f.cfg.CustomTLVs = rules(t, "0x1400,Int4,4")
			s, sc := f.scripted(tt.rule)
			m := text("hi")
			m.CustomTLVs = []sms.CustomTLV{{Tag: 0x1400, Length: -1, Value: "7"}}
			if _, env := f.submit(t, s, m); !reflect.DeepEqual(env.Parts[0].TLVs, tt.want) {
				t.Errorf("left with %v, want %v", env.Parts[0].TLVs, tt.want)
			}
			if got := sc.seen.Load().CustomTLVs; len(got) != 1 || got[0].Value != "7" {
				t.Errorf("the script saw %v", got)
			}
		})
	}
}

func TestWhatAScriptAddsIsHeldToTheRules(t *testing.T) {
	f := newFake()
	f.cfg.CustomTLVs = rules(t, "0x1400,OctetString,4")
	s, _ := f.scripted(`add_custom_tlv(5120, "OctetString", "12345")`)
	if _, err := s.Submit(t.Context(), text("hi")); err == nil || err.(*sms.Error).Detail != "custom TLV 0x1400 has 5 octets, at most 4 are allowed" {
		t.Errorf("got %v", err)
	}
}
