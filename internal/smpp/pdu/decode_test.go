package pdu

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

// frame is a PDU from its header values and the parts of its body.
func frame(id CommandID, status Status, body ...string) []byte {
	b, err := Append(nil, status, 5, &Unknown{ID: id, Body: []byte(strings.Join(body, ""))})
	if err != nil {
		panic(err)
	}
	return b
}

// submitHead is a submit_sm up to and including sm_default_msg_id.
const submitHead = "\x00\x00\x001000\x00\x01\x0133612345678\x00\x03\x00\x00\x00\x00\x01\x00\x08\x00"

func TestTolerated(t *testing.T) {
	head := Message{Source: short, Dest: mobile, ESMClass: 3, RegisteredDelivery: 1, DataCoding: 8}
	with := func(text string, tlvs TLVs) Message {
		m := head
		m.ShortMessage, m.TLVs = []byte(text), tlvs
		return m
	}
	long := strings.Repeat("a", 300)
	for _, c := range []struct {
		name  string
		frame []byte
		want  PDU
	}{
		{"submit_sm_resp with status 0 and no body", frame(CmdSubmitSMResp, 0), &SubmitSMResp{}},
		{"submit_sm_resp refused, no body", frame(CmdSubmitSMResp, StatusMsgQFul), &SubmitSMResp{}},
		{"submit_sm_resp refused, a lone NUL", frame(CmdSubmitSMResp, StatusMsgQFul, "\x00"), &SubmitSMResp{}},
		{"submit_sm_resp refused, whole body", frame(CmdSubmitSMResp, StatusMsgQFul, "id\x00"), &SubmitSMResp{MessageID: "id"}},
		{"submit_sm_resp whose id has no NUL", frame(CmdSubmitSMResp, 0, "id"), &SubmitSMResp{MessageID: "id"}},
		{"submit_sm_resp with an id over 64 octets", frame(CmdSubmitSMResp, 0, long, "\x00"), &SubmitSMResp{MessageID: long}},
		{"submit_sm_resp with a TLV that is cut short", frame(CmdSubmitSMResp, 0, "id\x00", "\x14\x01\x00\x01x", "\x14\x02\x00\x09x"),
			&SubmitSMResp{MessageID: "id", TLVs: TLVs{{0x1401, []byte("x")}}}},
		{"bind_transceiver_resp refused, 17 octets", frame(CmdBindTransceiverResp, StatusInvPaswd, "\x00"), &BindResp{Type: Transceiver}},
		{"bind_receiver_resp refused, no body", frame(CmdBindReceiverResp, StatusBindFail), &BindResp{Type: Receiver}},
		{"bind_transmitter_resp without its NUL", frame(CmdBindTransmitterResp, 0, "SMSC"), &BindResp{Type: Transmitter, SystemID: "SMSC"}},
		{"deliver_sm_resp without a body", frame(CmdDeliverSMResp, 0), &DeliverSMResp{}},
		{"data_sm_resp without a body", frame(CmdDataSMResp, 0), &DataSMResp{}},
		{"query_sm_resp refused, no body", frame(CmdQuerySMResp, StatusQueryFail), &QuerySMResp{}},
		{"query_sm_resp refused, half a body", frame(CmdQuerySMResp, StatusQueryFail, "id\x00\x00"), &QuerySMResp{MessageID: "id"}},
		{"submit_multi_resp that ends after its id", frame(CmdSubmitMultiResp, 0, "id\x00"), &SubmitMultiResp{MessageID: "id", Unsuccess: nil}},
		{"submit_multi_resp refused, a lone count", frame(CmdSubmitMultiResp, StatusSysErr, "\x00\x02"), &SubmitMultiResp{}},
		{"bind without address_range", frame(CmdBindReceiver, 0, "u\x00p\x00\x00\x34\x00\x00"), &Bind{Type: Receiver, SystemID: "u", Password: "p", InterfaceVersion: 0x34}},
		{"bind whose address_range has no NUL", frame(CmdBindReceiver, 0, "u\x00p\x00\x00\x34\x01\x0133"),
			&Bind{Type: Receiver, SystemID: "u", Password: "p", InterfaceVersion: 0x34, AddrTON: 1, AddrNPI: 1, AddressRange: "33"}},
		{"bind with a system_id over 15 octets", frame(CmdBindReceiver, 0, long, "\x00p\x00\x00\x34\x00\x00\x00"), &Bind{Type: Receiver, SystemID: long, Password: "p", InterfaceVersion: 0x34}},
		{"submit_sm with a NUL behind short_message", frame(CmdSubmitSM, 0, submitHead, "\x02hi\x00"), &SubmitSM{with("hi", nil)}},
		{"submit_sm with NULs behind its TLVs", frame(CmdSubmitSM, 0, submitHead, "\x02hi", "\x14\x01\x00\x01x", "\x00\x00\x00"),
			&SubmitSM{with("hi", TLVs{{0x1401, []byte("x")}})}},
		{"submit_sm with a NUL between short_message and a TLV", frame(CmdSubmitSM, 0, submitHead, "\x02hi\x00", "\x02\x0c\x00\x02\x12\x34"),
			&SubmitSM{with("hi", TLVs{{TagSARMsgRefNum, []byte("\x12\x34")}})}},
		{"submit_sm with three NULs there and NULs at the end", frame(CmdSubmitSM, 0, submitHead, "\x02hi\x00\x00\x00", "\x02\x0c\x00\x02\x12\x34", "\x14\x01\x00\x01x", "\x00"),
			&SubmitSM{with("hi", TLVs{{TagSARMsgRefNum, []byte("\x12\x34")}, {0x1401, []byte("x")}})}},
		{"submit_sm without text, a NUL and a payload", frame(CmdSubmitSM, 0, submitHead, "\x00\x00", "\x04\x24\x00\x02hi"),
			&SubmitSM{with("", TLVs{{TagMessagePayload, []byte("hi")}})}},
		{"deliver_sm with a NUL between short_message and a TLV", frame(CmdDeliverSM, 0, submitHead, "\x02hi\x00", "\x02\x0c\x00\x02\x12\x34"),
			&DeliverSM{with("hi", TLVs{{TagSARMsgRefNum, []byte("\x12\x34")}})}},
		{"a tag that begins with a NUL is no NUL too many", frame(CmdSubmitSM, 0, submitHead, "\x02hi", "\x00\x05\x00\x01\x01", "\x00\x1e\x00\x03id\x00"),
			&SubmitSM{with("hi", TLVs{{TagDestAddrSubunit, []byte{1}}, {TagReceiptedMessageID, []byte("id\x00")}})}},
		{"enquire_link with a body", frame(CmdEnquireLink, 0, "what?"), &EnquireLink{}},
		{"unbind_resp with a body", frame(CmdUnbindResp, 0, "\x00"), &UnbindResp{}},
		{"generic_nack with a body", frame(CmdGenericNack, StatusInvCmdID, "\x00"), &GenericNack{}},
		{"a request with a status", frame(CmdEnquireLink, StatusSysErr), &EnquireLink{}},
		{"an unknown command without a body", frame(0x77, 0), &Unknown{ID: 0x77}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, p, err := Decode(c.frame)
			if err != nil {
				t.Fatal(err)
			}
			if !equalPDU(p, c.want) {
				t.Errorf("got  %+v\nwant %+v", p, c.want)
			}
			into := newPDU(h.ID)
			if _, err := DecodeAlias(c.frame, into); err != nil || !equalPDU(into, c.want) {
				t.Errorf("DecodeAlias: %v\ngot  %+v\nwant %+v", err, into, c.want)
			}
		})
	}
}

// equalPDU is reflect.DeepEqual that takes an empty slice for a nil one.
func equalPDU(a, b PDU) bool {
	normal(reflect.ValueOf(a).Elem())
	normal(reflect.ValueOf(b).Elem())
	return reflect.DeepEqual(a, b)
}

func normal(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			normal(v.Field(i))
		}
	case reflect.Slice:
		if v.Len() == 0 {
			v.SetZero()
		}
		for i := range v.Len() {
			normal(v.Index(i))
		}
	}
}

func TestDecodeErrors(t *testing.T) {
	cut := frame(CmdEnquireLink, 0, "x")
	for _, c := range []struct {
		name   string
		frame  []byte
		field  string
		status Status
	}{
		{"frame shorter than its command_length", cut[:16], "command_length", StatusInvCmdLen},
		{"frame longer than its command_length", append(cut[:17:17], 0), "command_length", StatusInvCmdLen},
		{"submit_sm without a body", frame(CmdSubmitSM, 0), "service_type", StatusInvCmdLen},
		{"submit_sm ends within the destination", frame(CmdSubmitSM, 0, submitHead[:12]), "esm_class", StatusInvCmdLen},
		{"submit_sm ends before sm_length", frame(CmdSubmitSM, 0, submitHead), "sm_length", StatusInvCmdLen},
		{"sm_length over what is left", frame(CmdSubmitSM, 0, submitHead, "\x03hi"), "sm_length", StatusInvMsgLen},
		{"garbage that is no TLV", frame(CmdSubmitSM, 0, submitHead, "\x02hi", "\x01\x02\x03"), "optional parameters", StatusInvOptParStream},
		{"TLV longer than the rest", frame(CmdDeliverSM, 0, submitHead, "\x02hi", "\x04\x24\xff\xffabc"), "message_payload", StatusInvOptParStream},
		{"bind without addr_npi", frame(CmdBindTransceiver, 0, "u\x00p\x00\x00\x34\x00"), "addr_npi", StatusInvCmdLen},
		{"submit_multi with a dest_flag of 3", frame(CmdSubmitMulti, 0, "\x00\x00\x00\x00\x01\x03"), "dest_flag", StatusInvDestFlag},
		{"submit_multi with an empty list name", frame(CmdSubmitMulti, 0, "\x00\x00\x00\x00\x01\x02\x00"), "dl_name", StatusInvDLName},
		{"submit_multi with fewer destinations than it says", frame(CmdSubmitMulti, 0, "\x00\x00\x00\x00\xff\x01\x01\x0133\x00"), "dest_flag", StatusInvCmdLen},
		{"submit_multi_resp with a failure cut short", frame(CmdSubmitMultiResp, 0, "id\x00\x01\x00\x0033\x00\x00\x00"), "error_status_code", StatusInvCmdLen},
		{"query_sm_resp with status 0 and half a body", frame(CmdQuerySMResp, 0, "id\x00\x00"), "message_state", StatusInvCmdLen},
		{"outbind without a body", frame(CmdOutbind, 0), "system_id", StatusInvCmdLen},
		{"cancel_sm without message_id", frame(CmdCancelSM, 0, "\x00"), "message_id", StatusInvCmdLen},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, p, err := Decode(c.frame)
			var de *DecodeError
			if !errors.As(err, &de) {
				t.Fatalf("got %+v, %v; want a DecodeError", p, err)
			}
			if de.Field != c.field || de.Status != c.status {
				t.Errorf("got  %s, %s\nwant %s, %s", de.Field, de.Status, c.field, c.status)
			}
			if p != nil || de.Header != h || h.Sequence != 5 || de.Offset > len(c.frame) {
				t.Errorf("PDU %v, header %+v, error %+v", p, h, de)
			}
			for _, part := range []string{h.ID.String(), c.field, c.status.String()} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not name %s", err, part)
				}
			}
			if _, err := DecodeAlias(c.frame, newPDU(h.ID)); err == nil {
				t.Error("DecodeAlias takes it")
			}
		})
	}
	if _, _, err := Decode(cut[:15]); !errors.Is(err, ErrShortHeader) {
		t.Errorf("15 octets: %v, want ErrShortHeader", err)
	}
}

func TestDecodeAliasRefusesTheWrongType(t *testing.T) {
	for _, id := range knownCommands() {
		f := frame(id, 0)
		for _, other := range knownCommands() {
			if other == id {
				continue
			}
			into := newPDU(other)
			if reflect.TypeOf(into) == reflect.TypeOf(newPDU(id)) {
				continue // the bind operations share a type
			}
			if _, err := DecodeAlias(f, into); err == nil {
				t.Errorf("%s was decoded into %T", id, into)
			}
		}
	}
	var de *DecodeError
	if _, err := DecodeAlias(frame(CmdEnquireLink, 0), nil); !errors.As(err, &de) || de.Status != StatusInvCmdID {
		t.Errorf("into nil: %v", err)
	}
}

// knownCommands is every command_id that has a type of its own.
func knownCommands() (ids []CommandID) {
	for id := range CommandID(0x200) {
		for _, id := range []CommandID{id, id.Response()} {
			if _, unknown := newPDU(id).(*Unknown); !unknown {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

func TestDecodeAliasOverwritesEveryField(t *testing.T) {
	for name, f := range goldenFrames(t) {
		h, want, err := Decode(f)
		if err != nil {
			t.Fatal(err)
		}
		into := newPDU(h.ID)
		dirty(reflect.ValueOf(into).Elem())
		if _, err := DecodeAlias(f, into); err != nil || !equalPDU(into, want) {
			t.Errorf("%s: %v\ngot  %+v\nwant %+v", name, err, into, want)
		}
	}
}

// dirty fills a PDU with values that no golden PDU has.
func dirty(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			dirty(v.Field(i))
		}
	case reflect.String:
		v.SetString("dirty")
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 3, 3))
		for i := range v.Len() {
			dirty(v.Index(i))
		}
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		v.SetUint(0x7d)
	}
}

func TestDecodeOwnsItsMemory(t *testing.T) {
	for name, f := range goldenFrames(t) {
		_, want, err := Decode(f)
		if err != nil {
			t.Fatal(err)
		}
		buf := append([]byte(nil), f...)
		_, p, err := Decode(buf)
		if err != nil {
			t.Fatal(err)
		}
		for i := range buf {
			buf[i] = 0xEE
		}
		if !reflect.DeepEqual(p, want) {
			t.Errorf("%s changed with the frame", name)
		}
	}
}

func TestGrowingOneSliceLeavesTheNextAlone(t *testing.T) {
	f := goldenFrames(t)["deliver_sm_tlv_order"]
	_, p, err := Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	m := p.(*DeliverSM)
	_ = append(m.ShortMessage, "overwritten"...)
	_ = append(m.TLVs[0].Value, "overwritten"...)
	_, want, _ := Decode(f)
	if !reflect.DeepEqual(p, want) {
		t.Errorf("got %+v", p)
	}
}

func TestAllocations(t *testing.T) {
	frames := goldenFrames(t)
	for _, c := range []struct {
		name string
		want float64
	}{
		{"submit_sm", 0}, {"submit_sm_ucs2_vendor_tlv", 0}, {"deliver_sm_tlv_order", 0}, {"submit_sm_resp", 0},
		{"submit_sm_resp_v5_tlv", 0}, {"deliver_sm_resp", 0}, {"bind_transceiver", 0}, {"submit_multi", 0},
		{"submit_multi_resp", 0}, {"enquire_link", 0}, {"data_sm", 0},
	} {
		f := frames[c.name]
		h, _, err := Decode(f)
		if err != nil {
			t.Fatal(err)
		}
		into := newPDU(h.ID)
		if got := testing.AllocsPerRun(100, func() {
			if _, err := DecodeAlias(f, into); err != nil {
				t.Fatal(err)
			}
		}); got != c.want {
			t.Errorf("DecodeAlias of %s: %v allocations, want %v", c.name, got, c.want)
		}
		buf := make([]byte, 0, len(f))
		if got := testing.AllocsPerRun(100, func() {
			if _, err := Append(buf, h.Status, h.Sequence, into); err != nil {
				t.Fatal(err)
			}
		}); got != 0 {
			t.Errorf("Append of %s: %v allocations, want 0", c.name, got)
		}
	}
	for _, name := range []string{"submit_sm", "submit_sm_udh", "submit_sm_payload", "deliver_sm_tlv_order", "submit_sm_resp", "submit_sm_resp_v5_tlv", "data_sm", "broadcast_sm_v5"} {
		h, p, err := Decode(frames[name])
		if err != nil {
			t.Fatal(err)
		}
		if got := sizeHint(p); got != len(frames[name]) {
			t.Errorf("%s: sizeHint %d, %d octets", name, got, len(frames[name]))
		}
		if got := testing.AllocsPerRun(100, func() {
			if _, err := Append(nil, h.Status, h.Sequence, p); err != nil {
				t.Fatal(err)
			}
		}); got != 1 {
			t.Errorf("Append of %s to nil: %v allocations, want 1", name, got)
		}
	}
	f := frames["submit_sm"]
	var fresh SubmitSM
	if got := testing.AllocsPerRun(100, func() {
		fresh = SubmitSM{}
		if _, err := DecodeAlias(f, &fresh); err != nil {
			t.Fatal(err)
		}
	}); got != 0 {
		t.Errorf("DecodeAlias of a submit_sm without TLVs into a new struct: %v allocations, want 0", got)
	}
	if got := testing.AllocsPerRun(100, func() {
		if _, _, err := Decode(f); err != nil {
			t.Fatal(err)
		}
	}); got > 2 {
		t.Errorf("Decode of submit_sm: %v allocations, want at most 2", got)
	}
}
