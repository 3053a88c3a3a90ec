package queue

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"jasmind/internal/smpp/pdu"
)

func smppDLR() *SMPPDLR {
	return &SMPPDLR{MsgID: "a1", SystemID: "acme", Source: pdu.Address{TON: 5, Addr: "ACME"}, Dest: pdu.Address{TON: 1, NPI: 1, Addr: "336"},
		Status: "DELIVRD", Err: "000", SubmittedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.Local), CreatedAt: time.UnixMilli(1700000000123),
		Sub: "001", Dlvrd: "001", Done: "2601020305", Text: "hi"}
}

func TestSMPPDLRSurvivesTheQueue(t *testing.T) {
	bare := smppDLR()
	bare.Sub, bare.Dlvrd, bare.Done, bare.Text = "", "", "", ""
	for _, want := range []*SMPPDLR{smppDLR(), bare} {
		m := want.Message()
		if m.ID != "a1" || string(m.Body) != "DELIVRD" || m.ContentType != ContentText {
			t.Errorf("message %+v", m)
		}
		got, err := DecodeSMPPDLR(&m)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
		}
	}
}

func TestSMPPDLRNamesTheHeaderAtFault(t *testing.T) {
	for header, bad := range map[string]Header{
		HeaderSystemID:      {Name: HeaderSystemID},
		HeaderMessageStatus: {Name: HeaderMessageStatus},
		HeaderSourceAddrTON: {Name: HeaderSourceAddrTON, Int: 256, IsInt: true},
		HeaderDestAddrNPI:   {Name: HeaderDestAddrNPI, Str: "1"},
		HeaderCreatedAt:     {Name: HeaderCreatedAt, Int: -1, IsInt: true},
		HeaderSubmittedAt:   {Name: HeaderSubmittedAt, Str: "yesterday"},
	} {
		m := smppDLR().Message()
		for i := range m.Headers {
			if m.Headers[i].Name == header {
				m.Headers[i] = bad
			}
		}
		if _, err := DecodeSMPPDLR(&m); err == nil || !strings.Contains(err.Error(), header) {
			t.Errorf("%s: got %v", header, err)
		}
	}
	m := smppDLR().Message()
	m.ID = ""
	if _, err := DecodeSMPPDLR(&m); err == nil || !strings.Contains(err.Error(), "message-id") {
		t.Errorf("got %v", err)
	}
}

func TestESMENames(t *testing.T) {
	if id, ok := ESMEOf(ESME("acme")); id != "acme" || !ok {
		t.Errorf("got %q %v", id, ok)
	}
	for _, n := range []Name{"smpps.", "submit.sm.smpps", DLRThrowerSMPPS} {
		if id, ok := ESMEOf(n); ok {
			t.Errorf("%s is the queue of %q", n, id)
		}
	}
}

func TestIDsOfASubmitMulti(t *testing.T) {
	if OneOf("u-1", 0) != "u-1" || OneOf("u-1", 7) == OneOf("u-1", 8) || Told(OneOf("u-1", 7)) != "u-1" || Told("u-1") != "u-1" {
		t.Errorf("got %q %q", OneOf("u-1", 0), OneOf("u-1", 7))
	}
}
