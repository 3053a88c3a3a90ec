package pdu

import "testing"

// benchSubmit is a usual submit_sm: addresses, 60 octets of text, no TLV.
func benchSubmit() *SubmitSM {
	return &SubmitSM{Message: Message{
		Source:             Address{TON: 5, Addr: "jasmind"},
		Dest:               Address{TON: 1, NPI: 1, Addr: "33612345678"},
		ESMClass:           ESMModeStoreForward,
		RegisteredDelivery: 1,
		ShortMessage:       []byte("The quick brown fox jumps over the lazy dog, then sleeps on."),
	}}
}

func benchPDUs() map[string]PDU {
	tlvs := benchSubmit()
	tlvs.TLVs.SetUint16(TagSARMsgRefNum, 7)
	tlvs.TLVs.SetUint8(TagSARTotalSegments, 2)
	tlvs.TLVs.SetUint8(TagSARSegmentSeqnum, 1)
	return map[string]PDU{
		"submit_sm":       benchSubmit(),
		"submit_sm_tlvs":  tlvs,
		"submit_sm_resp":  &SubmitSMResp{MessageID: "0123456789abcdef"},
		"enquire_link":    &EnquireLink{},
		"bind_trx":        &Bind{SystemID: "smppclient1", Password: "password", InterfaceVersion: 0x34},
		"deliver_receipt": &DeliverSM{Message: benchSubmit().Message},
	}
}

func encoded(tb testing.TB, p PDU) []byte {
	tb.Helper()
	b, err := Append(nil, StatusOK, 1, p)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func BenchmarkDecode(b *testing.B) {
	for name, p := range benchPDUs() {
		frame := encoded(b, p)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(frame)))
			for b.Loop() {
				if _, _, err := Decode(frame); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDecodeAlias(b *testing.B) {
	for name, p := range benchPDUs() {
		frame := encoded(b, p)
		b.Run(name, func(b *testing.B) {
			into := newPDU(p.CommandID())
			b.ReportAllocs()
			b.SetBytes(int64(len(frame)))
			for b.Loop() {
				if _, err := DecodeAlias(frame, into); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppend(b *testing.B) {
	for name, p := range benchPDUs() {
		frame := encoded(b, p)
		b.Run(name, func(b *testing.B) {
			buf := make([]byte, 0, len(frame))
			b.ReportAllocs()
			b.SetBytes(int64(len(frame)))
			for b.Loop() {
				if _, err := Append(buf, StatusOK, 1, p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
