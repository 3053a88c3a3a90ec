package pdu

import (
	"strings"
	"testing"
)

func TestStatusNames(t *testing.T) {
	for s, want := range map[Status]string{
		0: "ESME_ROK", 0x14: "ESME_RMSGQFUL", 0x58: "ESME_RTHROTTLED", 0xC2: "ESME_RINVPARLEN", 0xFF: "ESME_RUNKNOWNERR",
		0x100: "ESME_RSERTYPUNAUTH", 0x112: "ESME_RINVBCASTCHANIND", 0x400: "0x00000400", 0x09: "0x00000009",
	} {
		if got := s.String(); got != want {
			t.Errorf("%d: %s, want %s", uint32(s), got, want)
		}
	}
	named := 0
	for s := range Status(0x1000) {
		if strings.HasPrefix(s.String(), "ESME_") {
			named++
		}
		for _, name := range []string{s.String(), strings.ToLower(s.String()), strings.TrimPrefix(s.String(), "ESME_")} {
			if got, ok := ParseStatus(name); !ok || got != s {
				t.Errorf("ParseStatus(%q) = %v, %v", name, got, ok)
			}
		}
	}
	if named != 48+19 { // v3.4 §5.1.3, v5.0 §4.7.6
		t.Errorf("%d statuses have names, want 67", named)
	}
	for name, want := range map[string]Status{"88": StatusThrottled, "0x58": StatusThrottled, "ESME_RINVTLVLEN": StatusInvParLen, "4294967295": 0xFFFFFFFF} {
		if got, ok := ParseStatus(name); !ok || got != want {
			t.Errorf("ParseStatus(%q) = %v, %v; want %v", name, got, ok, want)
		}
	}
	for _, name := range []string{"", "ESME_", "ESME_RNOSUCH", "0x", "-1", "4294967296", "0x58 "} {
		if got, ok := ParseStatus(name); ok {
			t.Errorf("ParseStatus(%q) = %v", name, got)
		}
	}
}

func TestTagNames(t *testing.T) {
	named := 0
	for n := range 0x10000 {
		tag := Tag(n)
		if !strings.HasPrefix(tag.String(), "0x") {
			named++
		}
		if got, ok := ParseTag(tag.String()); !ok || got != tag {
			t.Fatalf("ParseTag(%q) = %v, %v", tag, got, ok)
		}
		if want := n >= 0x1400 && n <= 0x3FFF; tag.IsVendor() != want {
			t.Fatalf("%v: vendor %v", tag, tag.IsVendor())
		}
	}
	if named != 44+20 { // v3.4 §5.3.2, v5.0 §4.8.4
		t.Errorf("%d tags have names, want 64", named)
	}
	for name, want := range map[string]Tag{"RECEIPTED_MESSAGE_ID": 0x1E, "0x1401": 0x1401, "5121": 0x1401} {
		if got, ok := ParseTag(name); !ok || got != want {
			t.Errorf("ParseTag(%q) = %v, %v", name, got, ok)
		}
	}
	for _, name := range []string{"", "no_such", "0x10000", "65536"} {
		if got, ok := ParseTag(name); ok {
			t.Errorf("ParseTag(%q) = %v", name, got)
		}
	}
}

func TestCommandNames(t *testing.T) {
	for _, id := range knownCommands() {
		name := id.String()
		if strings.HasPrefix(name, "0x") {
			t.Errorf("%s has no name", name)
		}
		if id != CmdGenericNack && strings.HasSuffix(name, "_resp") != id.IsResponse() {
			t.Errorf("%s: IsResponse %v", name, id.IsResponse())
		}
		if p := newPDU(id); p.CommandID() != id {
			t.Errorf("%s: its PDU says %s", name, p.CommandID())
		}
	}
	if got := len(knownCommands()); got != 27 { // v3.4 §5.1.2.1
		t.Errorf("%d commands, want 27", got)
	}
	if got := CommandID(0x77).String(); got != "0x00000077" {
		t.Errorf("unknown command: %s", got)
	}
	for id := CmdBroadcastSM; id <= CmdCancelBroadcastSM; id++ {
		if !strings.Contains(id.String(), "broadcast") || id.Response().String() != id.String()+"_resp" {
			t.Errorf("0x%x: %s, %s", uint32(id), id, id.Response())
		}
	}
}

func TestOtherNames(t *testing.T) {
	for got, want := range map[string]string{
		ESMClass(0).String():                                   "default",
		(ESMModeStoreForward | ESMUDHI).String():               "store_forward|udhi",
		(ESMModeDatagram | ESMReplyPath).String():              "datagram|reply_path",
		(ESMModeForward | ESMTypeUserAck).String():             "forward|user_ack",
		ESMTypeReceipt.String():                                "receipt",
		ESMTypeDeliveryAck.String():                            "delivery_ack",
		ESMTypeConversation.String():                           "conversation_abort",
		ESMTypeIntermediate.String():                           "intermediate",
		ESMClass(0x3C).String():                                "type_0x3C",
		CodingUCS2.String() + CodingDefault.String():           "ucs2default",
		CodingOctet2.String():                                  "octet",
		DataCoding(0xF5).String():                              "0xF5",
		StateDelivered.String() + StateScheduled.String():      "DELIVEREDSCHEDULED",
		MessageState(99).String():                              "MessageState(99)",
		Transceiver.String() + BindType(7).String():            "transceiverBindType(7)",
		Transmitter.String() + Receiver.String():               "transmitterreceiver",
		(&FieldError{CmdSubmitSM, "x", "is y"}).Error():        "submit_sm x: is y",
		(&LengthError{Header{ID: CmdBindReceiver}, 9}).Error(): "bind_receiver: command_length 0 is not in 16..9",
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	seen := map[string]bool{}
	for s := StateScheduled; s <= StateSkipped; s++ {
		seen[s.String()] = true
	}
	if len(seen) != 10 || seen["MessageState(9)"] {
		t.Errorf("message states: %v", seen)
	}
	for c, names := DataCoding(0), map[string]DataCoding{}; c < 0x0F; c++ {
		if old, twice := names[c.String()]; twice && c != CodingOctet2 {
			t.Errorf("data_coding %d and %d are both %s", old, c, c)
		}
		names[c.String()] = c
	}
}
