package pdu

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

// FuzzReadFrame: no panic; what comes out has the length that it announces and
// is the stream's next octets; what is refused has a reason.
func FuzzReadFrame(f *testing.F) {
	for _, frame := range goldenFrames(f) {
		f.Add(frame, uint32(0))
		f.Add(append(frame[:len(frame):len(frame)], frame...), uint32(40))
	}
	f.Add([]byte{0, 0, 0, 3}, uint32(0))
	f.Fuzz(func(t *testing.T, stream []byte, max uint32) {
		r := bufio.NewReaderSize(bytes.NewReader(stream), 16)
		rest := stream
		var buf []byte
		for {
			frame, err := ReadFrame(r, buf, max)
			if err != nil {
				var le *LengthError
				if err != io.EOF && err != io.ErrUnexpectedEOF && !errors.As(err, &le) {
					t.Fatal(err)
				}
				if err == io.EOF && len(rest) > 0 {
					t.Fatalf("EOF before % x", rest)
				}
				return
			}
			if !bytes.HasPrefix(rest, frame) || int(binary.BigEndian.Uint32(frame)) != len(frame) {
				t.Fatalf("frame % x of stream % x", frame, rest)
			}
			rest, buf = rest[len(frame):], frame
			if _, _, err := Decode(frame); err != nil {
				var de *DecodeError
				if !errors.As(err, &de) {
					t.Fatal(err)
				}
			}
		}
	})
}

// FuzzDecode: any body for each command. No panic; Decode and DecodeAlias agree; decode, encode,
// decode, encode is stable.
func FuzzDecode(f *testing.F) {
	ids := append(knownCommands(), CmdBroadcastSM)
	index := map[CommandID]uint8{}
	for i, id := range ids {
		index[id] = uint8(i)
	}
	for _, frame := range goldenFrames(f) {
		h := header(frame)
		f.Add(index[h.ID], uint32(h.Status), frame[HeaderLen:])
	}
	f.Fuzz(func(t *testing.T, which uint8, status uint32, body []byte) {
		in := frame(ids[int(which)%len(ids)], Status(status), string(body))
		h, p, err := Decode(in)
		into := newPDU(h.ID)
		if _, aliasErr := DecodeAlias(in, into); (err == nil) != (aliasErr == nil) {
			t.Fatalf("Decode: %v, DecodeAlias: %v", err, aliasErr)
		}
		if err != nil {
			var de *DecodeError
			if !errors.As(err, &de) || de.Status == StatusOK || de.Offset > len(in) || de.Error() == "" {
				t.Fatalf("error %#v", err)
			}
			return
		}
		if !equalPDU(into, p) {
			t.Fatalf("Decode %+v\nDecodeAlias %+v", p, into)
		}
		stable(t, h, p)
	})
}

func stable(t interface {
	Fatalf(string, ...any)
	Fatal(...any)
}, h Header, p PDU) {
	if !h.ID.IsResponse() {
		h.Status = StatusOK // some peers send another, we do not
	}
	out, err := Append(nil, h.Status, h.Sequence, p)
	if err != nil {
		var fe *FieldError
		if !errors.As(err, &fe) {
			t.Fatal(err)
		}
		return // longer than strict output allows
	}
	_, again, err := Decode(out)
	if err != nil {
		t.Fatalf("% x\nwas written, but: %v", out, err)
	}
	if !equalPDU(again, p) {
		t.Fatalf("read    %+v\nwritten %+v", p, again)
	}
	third, err := Append(nil, h.Status, h.Sequence, again)
	if err != nil || !bytes.Equal(out, third) {
		t.Fatalf("% x\n% x, %v", out, third, err)
	}
}

// FuzzTLVs: an optional part that is accepted is encoded to the same octets.
func FuzzTLVs(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("\x14\x01\x00\x00\x00\x1e\x00\x03id\x00\x14\x01\x00\x01x"))
	f.Add([]byte("\x04\x24\xff\xff"))
	f.Fuzz(func(t *testing.T, part []byte) {
		in := frame(CmdDataSM, 0, "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", string(part))
		var d DataSM
		if _, err := DecodeAlias(in, &d); err != nil {
			return
		}
		out, err := Append(nil, 0, 5, &d)
		if err != nil {
			t.Fatal(err)
		}
		if tail := in[min(len(out), len(in)):]; !bytes.HasPrefix(in[4:], out[4:]) || !padding(tail) {
			t.Fatalf("got  % x\nwant % x", out, in)
		}
		for _, tlv := range d.TLVs {
			_, ok := d.TLVs.Get(tlv.Tag)
			if !ok || tlv.Tag.String() == "" {
				t.Fatalf("tag %v is not found", tlv.Tag)
			}
		}
		for len(d.TLVs) > 0 {
			n := len(d.TLVs)
			d.TLVs.Del(d.TLVs[0].Tag)
			if len(d.TLVs) >= n {
				t.Fatalf("Del removed nothing of %v", d.TLVs)
			}
		}
	})
}

// TestWellFormedMessagesSurvive: whatever the specification allows is read as it
// was written, octet for octet.
func TestWellFormedMessagesSurvive(t *testing.T) {
	cstr := func(max int) *rapid.Generator[string] {
		return rapid.StringMatching(`[ -~]{0,` + strconv.Itoa(max) + `}`)
	}
	when := rapid.SampledFrom([]string{"", "261231235959000+", "000001000000000R"})
	octet := rapid.Uint8()
	address := rapid.Custom(func(t *rapid.T) Address {
		return Address{octet.Draw(t, "ton"), octet.Draw(t, "npi"), cstr(20).Draw(t, "addr")}
	})
	tlvs := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) TLV {
		return TLV{Tag(rapid.Uint16().Draw(t, "tag")), rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "value")}
	}), 0, 5)
	rapid.Check(t, func(t *rapid.T) {
		m := Message{
			ServiceType: cstr(5).Draw(t, "service_type"), Source: address.Draw(t, "source"), Dest: address.Draw(t, "dest"),
			ESMClass: ESMClass(octet.Draw(t, "esm_class")), ProtocolID: octet.Draw(t, "protocol_id"), PriorityFlag: octet.Draw(t, "priority"),
			ScheduleDeliveryTime: when.Draw(t, "schedule"), ValidityPeriod: when.Draw(t, "validity"),
			RegisteredDelivery: octet.Draw(t, "registered"), ReplaceIfPresent: octet.Draw(t, "replace"),
			DataCoding: DataCoding(octet.Draw(t, "coding")), SMDefaultMsgID: octet.Draw(t, "default_msg"),
			ShortMessage: rapid.SliceOfN(rapid.Byte(), 0, 255).Draw(t, "short_message"), TLVs: tlvs.Draw(t, "tlvs"),
		}
		for _, p := range []PDU{&SubmitSM{m}, &DeliverSM{m}} {
			out, err := Append(nil, 0, 9, p)
			if err != nil {
				t.Fatal(err)
			}
			h, got, err := Decode(out)
			if err != nil || !equalPDU(got, p) {
				t.Fatalf("%v\n got %+v\nwant %+v", err, got, p)
			}
			stable(t, h, got)
		}
	})
}
