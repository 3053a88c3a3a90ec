package pebble

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

var (
	sampleReceipt = sms.ReceiptRequest{Origin: sms.OriginSMPP, CID: "smsc1", Report: sms.ReportFinal, Parts: 3, Expiry: time.Hour, URL: "u",
		Method: "GET", SystemID: "esme", Source: pdu.Address{TON: 5, Addr: "ACME"}, Dest: pdu.Address{TON: 1, NPI: 1, Addr: "491"},
		RegisteredDelivery: 0x11, SubmittedAt: time.Unix(1700000000, 123456789)}
	sampleMapping = sms.Mapping{MsgID: "m", Part: 2, Parts: 3, Origin: sms.OriginHTTP, Expiry: time.Minute}
	sampleOutcome = sms.PartOutcome{Parts: 3, Status: 0x58, SMPPMsgID: "00a", State: "DELIVRD", Err: "000", SubmitDate: "a", DoneDate: "b",
		Sub: "c", Dlvrd: "d", Text: "e", Expiry: time.Second}
	sampleEnd = sms.Expiry{CID: "smsc1", Report: sms.ReportSubmit}
)

func TestCodec(t *testing.T) {
	check := func(name string, raw []byte, want any, decode func([]byte) (any, error)) {
		t.Helper()
		if got, err := decode(raw); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v; want %+v", name, got, err, want)
		}
		for i := range raw {
			if got, err := decode(raw[:i]); err == nil {
				t.Errorf("%s: the first %d of %d octets were taken for %+v", name, i, len(raw), got)
			}
		}
		if _, err := decode(append(bytes.Clone(raw), 0)); err == nil {
			t.Errorf("%s: an octet too many was taken", name)
		}
		if _, err := decode(append([]byte{recordVersion + 1}, raw[1:]...)); err == nil {
			t.Errorf("%s: another version was taken", name)
		}
	}
	check("receipt", appendReceipt(nil, &sampleReceipt), sampleReceipt, func(b []byte) (any, error) { return decodeReceipt(b) })
	empty := sms.ReceiptRequest{}
	check("empty receipt", appendReceipt(nil, &empty), empty, func(b []byte) (any, error) { return decodeReceipt(b) })
	check("mapping", appendMapping(nil, &sampleMapping), sampleMapping, func(b []byte) (any, error) { return decodeMapping(b) })
	check("outcome", appendOutcome(nil, &sampleOutcome), sampleOutcome, func(b []byte) (any, error) { return decodeOutcome(b) })
	check("end", appendEnd(nil, &sampleEnd), sampleEnd, func(b []byte) (any, error) { return decodeEnd(b) })
}

func TestReceiptCodecKnowsUsers(t *testing.T) {
	want := sampleReceipt
	old := appendReceipt(nil, &want)
	want.UID = "u1"
	raw := appendReceipt(nil, &want)
	if got, err := decodeReceipt(raw); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	want.UID = ""
	if got, err := decodeReceipt(old); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("one of an earlier release: got %+v, %v; want %+v", got, err, want)
	}
	for _, bad := range [][]byte{raw[:len(raw)-1], append(bytes.Clone(raw), 0)} {
		if got, err := decodeReceipt(bad); err == nil {
			t.Errorf("%x was taken for %+v", bad, got)
		}
	}
}

func TestOverrideCodec(t *testing.T) {
	want := sms.Override{UID: "u1", Version: 3, Nonce: 1, At: time.Unix(1700000000, 5), Cancel: true, HasText: true, Text: []byte("\x00new"), DefaultMsgID: 7,
		Schedule: "000001000000000R", Validity: "000002000000000R", ExpiresAt: time.Unix(1700000100, 0), Registered: 0x11, Report: sms.ReportFinal}
	raw := appendOverride(nil, &want)
	if got, err := decodeOverride(raw); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	if got, err := decodeOverride(append(bytes.Clone(raw), 0)); err == nil {
		t.Errorf("an octet too many was taken for %+v", got)
	}
	end := len(raw) - 1 // the nonce
	want.Nonce = 0
	if got, err := decodeOverride(raw[:end]); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("one of an earlier release: got %+v, %v; want %+v", got, err, want)
	}
	for i := range end {
		if got, err := decodeOverride(raw[:i]); err == nil {
			t.Errorf("the first %d of %d octets were taken for %+v", i, len(raw), got)
		}
	}
}

func FuzzCodec(f *testing.F) {
	f.Add(appendReceipt(nil, &sampleReceipt))
	f.Add(appendMapping(nil, &sampleMapping))
	f.Add(appendOutcome(nil, &sampleOutcome))
	f.Add(appendEnd(nil, &sampleEnd))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if v, err := decodeReceipt(raw); err == nil {
			if again, err := decodeReceipt(appendReceipt(nil, &v)); err != nil || !reflect.DeepEqual(again, v) {
				t.Errorf("receipt %x: %+v became %+v, %v", raw, v, again, err)
			}
		}
		if v, err := decodeMapping(raw); err == nil {
			if again, err := decodeMapping(appendMapping(nil, &v)); err != nil || again != v {
				t.Errorf("mapping %x: %+v became %+v, %v", raw, v, again, err)
			}
		}
		if v, err := decodeOutcome(raw); err == nil {
			if again, err := decodeOutcome(appendOutcome(nil, &v)); err != nil || again != v {
				t.Errorf("outcome %x: %+v became %+v, %v", raw, v, again, err)
			}
		}
		if v, err := decodeEnd(raw); err == nil {
			if again, err := decodeEnd(appendEnd(nil, &v)); err != nil || again != v {
				t.Errorf("end %x: %+v became %+v, %v", raw, v, again, err)
			}
		}
	})
}
