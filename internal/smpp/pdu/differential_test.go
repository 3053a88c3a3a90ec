package pdu

import (
	"bytes"
	"errors"
	"testing"

	peer "github.com/fiorix/go-smpp/smpp/pdu"
	"github.com/fiorix/go-smpp/smpp/pdu/pdufield"
	"github.com/fiorix/go-smpp/smpp/pdu/pdutlv"
)

// divergence is a difference from go-smpp that is known and wanted. It applies
// when its function says so; everything else that differs is a failure.
type divergence struct {
	name string
	// applies sees the frame's header, our result and error, and go-smpp's.
	applies func(h Header, ours PDU, ourErr error, theirs peer.Body, theirErr error) bool
}

var divergences = []divergence{
	{"go-smpp decodes a truncated body without an error", func(_ Header, _ PDU, ourErr error, _ peer.Body, theirErr error) bool {
		var de *DecodeError
		return theirErr == nil && errors.As(ourErr, &de) && de.Status == StatusInvCmdLen
	}},
	{"go-smpp ignores up to three octets behind the last TLV", func(_ Header, _ PDU, ourErr error, _ peer.Body, theirErr error) bool {
		var de *DecodeError
		return theirErr == nil && errors.As(ourErr, &de) && de.Field == "optional parameters"
	}},
	{"go-smpp refuses a response whose optional part is broken", func(h Header, ours PDU, ourErr error, _ peer.Body, theirErr error) bool {
		return h.ID.IsResponse() && ourErr == nil && theirErr != nil
	}},
	{"go-smpp takes the header off the text of a deliver_sm with UDHI, and loses octets of a bad one", func(h Header, ours PDU, _ error, _ peer.Body, _ error) bool {
		return h.ID == CmdDeliverSM && udhi(ours)
	}},
}

// udhi is also true for a deliver_sm that we could not read: its esm_class is not known then.
func udhi(p PDU) bool {
	d, ok := p.(*DeliverSM)
	return !ok || d.ESMClass&ESMUDHI != 0
}

// bothKnow are the commands that are compared.
var bothKnow = []CommandID{CmdSubmitSM, CmdDeliverSM, CmdBindReceiver, CmdBindTransmitter, CmdBindTransceiver, CmdSubmitSMResp,
	CmdDeliverSMResp, CmdBindReceiverResp, CmdBindTransmitterResp, CmdBindTransceiverResp, CmdQuerySM}

// FuzzDecodeAgainstGoSMPP compares what both stacks read in the same frame.
func FuzzDecodeAgainstGoSMPP(f *testing.F) {
	for _, frame := range goldenFrames(f) {
		for i, id := range bothKnow {
			if header(frame).ID == id {
				f.Add(uint8(i), frame[HeaderLen:])
			}
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, body []byte) {
		if len(body) > peer.MaxSize-HeaderLen {
			return // go-smpp refuses PDUs over 4096 octets
		}
		in := frame(bothKnow[int(which)%len(bothKnow)], 0, string(body))
		h, ours, ourErr := Decode(in)
		theirs, theirErr := peer.Decode(bytes.NewReader(in))
		for _, d := range divergences {
			if d.applies(h, ours, ourErr, theirs, theirErr) {
				return
			}
		}
		if (ourErr == nil) != (theirErr == nil) {
			t.Fatalf("ours: %v\ngo-smpp: %v\n% x", ourErr, theirErr, in)
		}
		if ourErr != nil {
			return
		}
		if th := theirs.Header(); uint32(th.ID) != uint32(h.ID) || th.Len != h.Length || th.Seq != h.Sequence || uint32(th.Status) != uint32(h.Status) {
			t.Fatalf("headers: %+v, %+v", h, th)
		}
		fields, tlvs := flat(ours)
		for name, want := range fields {
			body, ok := theirs.Fields()[pdufield.Name(name)]
			if !ok {
				// A last C-octet string without its NUL, or left out: go-smpp drops it.
				if name == "message_id" || name == "system_id" || name == "address_range" || name == "source_addr" {
					continue
				}
				t.Fatalf("go-smpp has no %s, ours %q", name, want)
			}
			got := body.Bytes()
			if _, isString := body.(*pdufield.Variable); isString {
				got = bytes.TrimSuffix(got, []byte{0})
			}
			if string(got) != want {
				t.Fatalf("%s: ours %q, go-smpp %q", name, want, got)
			}
		}
		// go-smpp keeps TLVs in a map: their order is lost and the last of a tag wins.
		last := map[Tag][]byte{}
		for _, tlv := range tlvs {
			last[tlv.Tag] = tlv.Value
		}
		if len(last) != len(theirs.TLVFields()) {
			t.Fatalf("TLVs: ours %v, go-smpp %v", tlvs, theirs.TLVFields())
		}
		for tag, want := range last {
			if got := theirs.TLVFields()[pdutlv.Tag(tag)]; got == nil || !bytes.Equal(got.Bytes(), want) {
				t.Fatalf("TLV %s: ours % x, go-smpp %v", tag, want, got)
			}
		}
	})
}

// flat is a PDU as go-smpp sees it: fields by their names in the specification.
func flat(p PDU) (map[string]string, TLVs) {
	o := func(b uint8) string { return string([]byte{b}) }
	switch p := p.(type) {
	case *SubmitSM:
		return flatMessage(&p.Message), p.TLVs
	case *DeliverSM:
		return flatMessage(&p.Message), p.TLVs
	case *Bind:
		return map[string]string{"system_id": p.SystemID, "password": p.Password, "system_type": p.SystemType,
			"interface_version": o(p.InterfaceVersion), "addr_ton": o(p.AddrTON), "addr_npi": o(p.AddrNPI), "address_range": p.AddressRange}, p.TLVs
	case *BindResp:
		return map[string]string{"system_id": p.SystemID}, p.TLVs
	case *SubmitSMResp:
		return map[string]string{"message_id": p.MessageID}, p.TLVs
	case *DeliverSMResp:
		return map[string]string{"message_id": p.MessageID}, p.TLVs
	case *QuerySM:
		return map[string]string{"message_id": p.MessageID, "source_addr_ton": o(p.Source.TON), "source_addr_npi": o(p.Source.NPI), "source_addr": p.Source.Addr}, p.TLVs
	}
	return nil, nil
}

func flatMessage(m *Message) map[string]string {
	o := func(b uint8) string { return string([]byte{b}) }
	return map[string]string{
		"service_type": m.ServiceType, "source_addr_ton": o(m.Source.TON), "source_addr_npi": o(m.Source.NPI), "source_addr": m.Source.Addr,
		"dest_addr_ton": o(m.Dest.TON), "dest_addr_npi": o(m.Dest.NPI), "destination_addr": m.Dest.Addr,
		"esm_class": o(uint8(m.ESMClass)), "protocol_id": o(m.ProtocolID), "priority_flag": o(m.PriorityFlag),
		"schedule_delivery_time": m.ScheduleDeliveryTime, "validity_period": m.ValidityPeriod, "registered_delivery": o(m.RegisteredDelivery),
		"replace_if_present_flag": o(m.ReplaceIfPresent), "data_coding": o(uint8(m.DataCoding)), "sm_default_msg_id": o(m.SMDefaultMsgID),
		"sm_length": o(uint8(len(m.ShortMessage))), "short_message": string(m.ShortMessage),
	}
}

// FuzzEncodeAgainstGoSMPP compares the octets that both stacks write. A
// deliver_sm is built there as a submit_sm with another command_id, because
// NewDeliverSM without a user data header emits a stray octet; one TLV at
// most, because its TLVs have no order.
func FuzzEncodeAgainstGoSMPP(f *testing.F) {
	f.Add("CMT", "1000", "33612345678", "000001000000000R", []byte("text"), []byte{1, 1, 1, 1, 3, 0, 0, 1, 0, 8, 0}, uint16(0x1401), []byte("x"))
	f.Fuzz(func(t *testing.T, service, src, dst, validity string, text, octets []byte, tag uint16, value []byte) {
		octets = append(octets, make([]byte, 11)...)
		m := Message{ServiceType: service, Source: Address{octets[0], octets[1], src}, Dest: Address{octets[2], octets[3], dst},
			ESMClass: ESMClass(octets[4]), ProtocolID: octets[5], PriorityFlag: octets[6], ValidityPeriod: validity,
			RegisteredDelivery: octets[7], ReplaceIfPresent: octets[8], DataCoding: DataCoding(octets[9]), SMDefaultMsgID: octets[10],
			ShortMessage: text}
		tlvs := pdutlv.Fields{}
		if tag != 0 {
			m.TLVs.Add(Tag(tag), value)
			tlvs[pdutlv.Tag(tag)] = value
		}
		var fields map[string]string
		for id, ours := range map[CommandID]PDU{
			CmdSubmitSM: &SubmitSM{m}, CmdDeliverSM: &DeliverSM{m},
			CmdBindTransceiver: &Bind{SystemID: service, Password: dst, SystemType: src, InterfaceVersion: octets[0], AddrTON: octets[1], AddrNPI: octets[2], AddressRange: validity},
			CmdSubmitSMResp:    &SubmitSMResp{MessageID: src}, CmdBindTransceiverResp: &BindResp{SystemID: src},
		} {
			out, err := Append(nil, 0, 9, ours)
			if err != nil {
				continue // go-smpp has no limits on output
			}
			fields, _ = flat(ours)
			var theirs peer.Body
			switch id {
			case CmdBindTransceiver:
				theirs = peer.NewBindTransceiver()
			case CmdBindTransceiverResp:
				theirs = peer.NewBindTransceiverResp()
			case CmdSubmitSMResp:
				theirs = peer.NewSubmitSMResp()
			default:
				theirs = peer.NewSubmitSM(tlvs)
			}
			theirs.Header().ID, theirs.Header().Seq = peer.ID(id), 9
			for name, v := range fields {
				if err := theirs.Fields().Set(pdufield.Name(name), []byte(v)); err != nil {
					t.Fatal(err)
				}
			}
			var b bytes.Buffer
			if err := theirs.SerializeTo(&b); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(out, b.Bytes()) {
				t.Fatalf("%s\nours    % x\ngo-smpp % x", id, out, b.Bytes())
			}
		}
	})
}

// TestDivergences shows each known divergence at work, so that none stays in the list when go-smpp or we change.
func TestDivergences(t *testing.T) {
	examples := [][]byte{
		frame(CmdSubmitSM, 0, submitHead),
		frame(CmdSubmitSM, 0, submitHead, "\x02hi", "\x01\x02\x03"),
		frame(CmdSubmitSMResp, 0, "id\x00", "\x14\x02\x00\x09x"),
		frame(CmdDeliverSM, 0, "\x00\x00\x001000\x00\x01\x0133612345678\x00\x40\x00\x00\x00\x00\x00\x00\x00\x00", "\x06\x05\x00\x03\x01\x02\x01"),
	}
	if len(examples) != len(divergences) {
		t.Fatalf("%d examples for %d divergences", len(examples), len(divergences))
	}
	for i, d := range divergences {
		h, ours, ourErr := Decode(examples[i])
		theirs, theirErr := peer.Decode(bytes.NewReader(examples[i]))
		if !d.applies(h, ours, ourErr, theirs, theirErr) {
			t.Errorf("%s: does not show\nours    %+v, %v\ngo-smpp %+v, %v", d.name, ours, ourErr, theirs, theirErr)
		}
	}
}
