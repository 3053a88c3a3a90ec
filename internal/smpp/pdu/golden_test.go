package pdu

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

const goldenDir = "../../../testdata/pdu"

// readHex reads a golden PDU: comment lines, then octets in hexadecimal.
func readHex(tb testing.TB, path string) []byte {
	tb.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	var digits strings.Builder
	origin := false
	for line := range strings.Lines(string(raw)) {
		if strings.HasPrefix(line, "#") {
			origin = origin || strings.HasPrefix(line, "# Origin: ")
			continue
		}
		digits.WriteString(strings.Join(strings.Fields(line), ""))
	}
	if !origin {
		tb.Errorf("%s does not tell its origin", path)
	}
	frame, err := hex.DecodeString(digits.String())
	if err != nil {
		tb.Fatalf("%s: %v", path, err)
	}
	return frame
}

// goldenFrames is every frame under testdata/pdu by name.
func goldenFrames(tb testing.TB) map[string][]byte {
	tb.Helper()
	paths, err := filepath.Glob(filepath.Join(goldenDir, "*.hex"))
	if err != nil || len(paths) == 0 {
		tb.Fatalf("no golden PDUs in %s: %v", goldenDir, err)
	}
	frames := make(map[string][]byte, len(paths))
	for _, p := range paths {
		frames[strings.TrimSuffix(filepath.Base(p), ".hex")] = readHex(tb, p)
	}
	return frames
}

func octets(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

var (
	jasmind = Address{TON: 5, Addr: "jasmind"}
	mobile  = Address{TON: 1, NPI: 1, Addr: "33612345678"}
	short   = Address{Addr: "1000"}
)

// golden says what each file of testdata/pdu holds.
var golden = map[string]struct {
	status Status
	seq    uint32
	pdu    PDU
}{
	"alert_notification": {0, 20, &AlertNotification{Source: mobile, ESME: Address{Addr: "esme1"},
		TLVs: TLVs{{TagMSAvailabilityStatus, []byte{0}}}}},
	"bind_receiver":         {0, 1, &Bind{Type: Receiver, SystemID: "esme2", Password: "pw", InterfaceVersion: 0x34}},
	"bind_receiver_resp":    {0, 1, &BindResp{Type: Receiver, SystemID: "SMSC02"}},
	"bind_transceiver":      {0, 2, &Bind{Type: Transceiver, SystemID: "esme3", Password: "password", SystemType: "cp", InterfaceVersion: 0x34, AddrTON: 1, AddrNPI: 1, AddressRange: "33*"}},
	"bind_transceiver_resp": {0, 2, &BindResp{Type: Transceiver, SystemID: "SMSC03", TLVs: TLVs{{TagSCInterfaceVersion, []byte{0x34}}}}},

	"bind_transceiver_resp_refused": {StatusInvPaswd, 24, &BindResp{Type: Transceiver}},

	"bind_transmitter":      {0, 1, &Bind{Type: Transmitter, SystemID: "esme1", Password: "secret", SystemType: "VMA", InterfaceVersion: 0x34, AddrTON: 1, AddrNPI: 1, AddressRange: "^336"}},
	"bind_transmitter_resp": {0, 1, &BindResp{Type: Transmitter, SystemID: "SMSC01"}},
	"broadcast_sm_v5":       {0, 26, &Unknown{ID: CmdBroadcastSM, Body: []byte("\x00\x00\x00\x31\x00")}},
	"cancel_sm":             {0, 18, &CancelSM{ServiceType: "CMT", MessageID: "6f1a2b3c", Source: jasmind, Dest: mobile}},
	"cancel_sm_resp":        {0, 18, &CancelSMResp{}},
	"data_sm":               {0, 17, &DataSM{Source: short, Dest: mobile, DataCoding: 4, TLVs: TLVs{{TagMessagePayload, []byte{0, 1, 2, 0xff}}}}},
	"data_sm_resp":          {0, 17, &DataSMResp{MessageID: "d-1", TLVs: TLVs{{TagDeliveryFailureReason, []byte{0}}}}},
	"deliver_sm_receipt": {0, 9, &DeliverSM{Message{Source: mobile, Dest: Address{Addr: "jasmind"}, ESMClass: ESMTypeReceipt,
		ShortMessage: []byte("id:6f1a2b3c sub:001 dlvrd:001 submit date:2611242300 done date:2611242301 stat:DELIVRD err:000 text:Hello, world"),
		TLVs:         TLVs{{TagReceiptedMessageID, []byte("6f1a2b3c\x00")}}}}},
	"deliver_sm_resp": {0, 9, &DeliverSMResp{}},
	"deliver_sm_tlv_order": {0, 22, &DeliverSM{Message{Source: mobile, Dest: short, DataCoding: 0xF1, ShortMessage: []byte("hi"),
		TLVs: TLVs{{0x1403, []byte{0xab, 0xcd}}, {TagMessagePayload, []byte("pay")}, {TagReceiptedMessageID, []byte("abc\x00")},
			{0x1403, []byte{}}, {TagCallbackNumPresInd, []byte{1}}, {TagCallbackNumPresInd, []byte{2}}}}}},
	"enquire_link":      {0, 11, &EnquireLink{}},
	"enquire_link_resp": {0, 11, &EnquireLinkResp{}},
	"generic_nack":      {StatusInvCmdID, 12, &GenericNack{}},
	"outbind":           {0, 3, &Outbind{SystemID: "SMSC03", Password: "outpw"}},
	"query_sm":          {0, 10, &QuerySM{MessageID: "6f1a2b3c", Source: jasmind}},
	"query_sm_resp":     {0, 10, &QuerySMResp{MessageID: "6f1a2b3c", FinalDate: "261124230159000+", MessageState: StateDelivered}},
	"replace_sm":        {0, 19, &ReplaceSM{MessageID: "6f1a2b3c", Source: jasmind, ValidityPeriod: "000000120000000R", RegisteredDelivery: 1, ShortMessage: []byte("new text")}},
	"replace_sm_resp":   {0, 19, &ReplaceSMResp{}},
	"submit_multi": {0, 16, &SubmitMulti{Message: Message{Source: short, ShortMessage: []byte("to all")},
		Dests: []DestAddress{{Address: mobile}, {DistributionList: "friends"}}}},
	"submit_multi_resp": {0, 16, &SubmitMultiResp{MessageID: "m-1", Unsuccess: []UnsuccessSME{{Address{Addr: "33600000000"}, StatusInvDstAdr}}}},
	"submit_sm": {0, 7, &SubmitSM{Message{Source: jasmind, Dest: mobile, ESMClass: ESMModeStoreForward,
		ScheduleDeliveryTime: "261231235959000+", ValidityPeriod: "000001000000000R", RegisteredDelivery: 1, ShortMessage: []byte("Hello, world")}}},
	"submit_sm_255_octets": {0, 21, &SubmitSM{Message{Source: short, Dest: mobile, DataCoding: 4, ShortMessage: octets(255)}}},
	"submit_sm_payload": {0, 8, &SubmitSM{Message{Source: short, Dest: Address{Addr: "2000"},
		TLVs: TLVs{{TagMessagePayload, []byte("a payload instead of a short message")}}}}},
	"submit_sm_resp":           {0, 7, &SubmitSMResp{MessageID: "6f1a2b3c"}},
	"submit_sm_resp_throttled": {StatusThrottled, 23, &SubmitSMResp{}},
	"submit_sm_resp_v5_tlv":    {0, 25, &SubmitSMResp{MessageID: "id", TLVs: TLVs{{TagCongestionState, []byte{0x50}}}}},
	"submit_sm_ucs2_vendor_tlv": {0, 14, &SubmitSM{Message{Source: jasmind, Dest: mobile, RegisteredDelivery: 1, DataCoding: CodingUCS2,
		ShortMessage: []byte("\x04\x1f\x04\x40\x04\x38\x04\x32\x04\x35\x04\x42\x00\x20\x20\xac"), TLVs: TLVs{{0x1401, []byte("vendor")}}}}},
	"submit_sm_udh": {0, 15, &SubmitSM{Message{Source: short, Dest: mobile, ESMClass: ESMUDHI,
		ShortMessage: []byte("\x05\x00\x03\x2a\x02\x02second part")}}},
	"unbind":      {0, 13, &Unbind{}},
	"unbind_resp": {0, 13, &UnbindResp{}},
}

func TestGolden(t *testing.T) {
	frames := goldenFrames(t)
	for name := range golden {
		if frames[name] == nil {
			t.Errorf("%s.hex is missing", name)
		}
	}
	commands := map[CommandID]bool{}
	for name, frame := range frames {
		t.Run(name, func(t *testing.T) {
			want, ok := golden[name]
			if !ok {
				t.Fatal("golden_test.go does not say what it holds")
			}
			h, p, err := Decode(frame)
			if err != nil {
				t.Fatal(err)
			}
			commands[h.ID] = true
			wantHeader := Header{Length: uint32(len(frame)), ID: want.pdu.CommandID(), Status: want.status, Sequence: want.seq}
			if h != wantHeader {
				t.Errorf("header\n got %+v\nwant %+v", h, wantHeader)
			}
			if !reflect.DeepEqual(p, want.pdu) {
				t.Errorf("PDU\n got %+v\nwant %+v", p, want.pdu)
			}
			out, err := Append([]byte("before"), h.Status, h.Sequence, p)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(out, append([]byte("before"), frame...)) {
				t.Errorf("encoded again\n got % x\nwant % x", out[6:], frame)
			}
			again := newPDU(h.ID)
			if _, err := DecodeAlias(frame, again); err != nil || !reflect.DeepEqual(again, p) {
				t.Errorf("DecodeAlias\n got %+v, %v\nwant %+v", again, err, p)
			}
		})
	}
	for id := CommandID(0); id < 0x200; id++ {
		for _, id := range []CommandID{id, id.Response()} {
			if _, unknown := newPDU(id).(*Unknown); !unknown && !commands[id] {
				t.Errorf("no golden %s", id)
			}
		}
	}
}
