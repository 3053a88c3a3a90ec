// Package pdubench measures decoding and encoding of the two PDUs that a gateway
// handles most, submit_sm and submit_sm_resp, by this project's codec, go-smpp
// and gosmpp, on the same octets in one run:
//
//	go test -bench . ./benchmarks/pdu
//
// The figures are for comparison; nothing passes or fails by time.
package pdubench

import (
	"bytes"
	"testing"

	fiorix "github.com/fiorix/go-smpp/smpp/pdu"
	"github.com/fiorix/go-smpp/smpp/pdu/pdufield"
	"github.com/fiorix/go-smpp/smpp/pdu/pdutext"
	gosmpp "github.com/linxGnu/gosmpp/pdu"

	"github.com/linxGnu/gosmpp/data"

	"jasmind/internal/smpp/pdu"
)

const (
	source    = "jasmind"
	dest      = "33612345678"
	text      = "The quick brown fox jumps over the lazy dog, then sleeps on."
	messageID = "0123456789abcdef"
)

func ourSubmit() *pdu.SubmitSM {
	return &pdu.SubmitSM{Message: pdu.Message{
		Source: pdu.Address{TON: 5, Addr: source}, Dest: pdu.Address{TON: 1, NPI: 1, Addr: dest},
		RegisteredDelivery: 1, ShortMessage: []byte(text)}}
}

func fiorixSubmit(tb testing.TB) fiorix.Body {
	p := fiorix.NewSubmitSM(nil)
	for name, v := range map[pdufield.Name]any{
		pdufield.SourceAddrTON: 5, pdufield.SourceAddr: source, pdufield.DestAddrTON: 1, pdufield.DestAddrNPI: 1,
		pdufield.DestinationAddr: dest, pdufield.RegisteredDelivery: 1, pdufield.ShortMessage: pdutext.Raw(text),
	} {
		if err := p.Fields().Set(name, v); err != nil {
			tb.Fatal(err)
		}
	}
	p.Header().Seq = 7
	return p
}

func fiorixResp(tb testing.TB) fiorix.Body {
	p := fiorix.NewSubmitSMResp()
	if err := p.Fields().Set(pdufield.MessageID, messageID); err != nil {
		tb.Fatal(err)
	}
	p.Header().Seq = 7
	return p
}

func gosmppSubmit(tb testing.TB) gosmpp.PDU {
	p := gosmpp.NewSubmitSM().(*gosmpp.SubmitSM)
	var errs [3]error
	p.SourceAddr, errs[0] = gosmpp.NewAddressWithTonNpiAddr(5, 0, source)
	p.DestAddr, errs[1] = gosmpp.NewAddressWithTonNpiAddr(1, 1, dest)
	p.Message, errs[2] = gosmpp.NewShortMessageWithEncoding(text, data.GSM7BIT)
	for _, err := range errs {
		if err != nil {
			tb.Fatal(err)
		}
	}
	p.RegisteredDelivery = 1
	p.SetSequenceNumber(7)
	return p
}

func gosmppResp(testing.TB) gosmpp.PDU {
	p := gosmpp.NewSubmitSMResp().(*gosmpp.SubmitSMResp)
	p.MessageID = messageID
	p.SetSequenceNumber(7)
	return p
}

// subject is one PDU as each of the three stacks holds it.
type subject struct {
	name   string
	ours   pdu.PDU
	into   pdu.PDU
	fiorix fiorix.Body
	gosmpp gosmpp.PDU
	frame  []byte
}

func subjects(tb testing.TB) []subject {
	tb.Helper()
	all := []subject{
		{name: "submit_sm", ours: ourSubmit(), into: &pdu.SubmitSM{}, fiorix: fiorixSubmit(tb), gosmpp: gosmppSubmit(tb)},
		{name: "submit_sm_resp", ours: &pdu.SubmitSMResp{MessageID: messageID}, into: &pdu.SubmitSMResp{}, fiorix: fiorixResp(tb), gosmpp: gosmppResp(tb)},
	}
	for i := range all {
		frame, err := pdu.Append(nil, pdu.StatusOK, 7, all[i].ours)
		if err != nil {
			tb.Fatal(err)
		}
		all[i].frame = frame
	}
	return all
}

// TestSameOctets: a comparison is worth something only if all three do the same work.
func TestSameOctets(t *testing.T) {
	for _, s := range subjects(t) {
		var b bytes.Buffer
		if err := s.fiorix.SerializeTo(&b); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b.Bytes(), s.frame) {
			t.Errorf("%s: go-smpp writes\n% x\nours\n% x", s.name, b.Bytes(), s.frame)
		}
		buf := gosmpp.NewBuffer(nil)
		s.gosmpp.Marshal(buf)
		if !bytes.Equal(buf.Bytes(), s.frame) {
			t.Errorf("%s: gosmpp writes\n% x\nours\n% x", s.name, buf.Bytes(), s.frame)
		}
		if _, err := fiorix.Decode(bytes.NewReader(s.frame)); err != nil {
			t.Errorf("%s: go-smpp: %v", s.name, err)
		}
		if _, err := gosmpp.Parse(bytes.NewReader(s.frame)); err != nil {
			t.Errorf("%s: gosmpp: %v", s.name, err)
		}
	}
}

func run(b *testing.B, name string, octets int, f func() error) {
	b.Run(name, func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(octets))
		for b.Loop() {
			if err := f(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	for _, s := range subjects(b) {
		r := bytes.NewReader(s.frame)
		run(b, s.name+"/ours-alias", len(s.frame), func() error {
			_, err := pdu.DecodeAlias(s.frame, s.into)
			return err
		})
		run(b, s.name+"/ours", len(s.frame), func() error {
			_, _, err := pdu.Decode(s.frame)
			return err
		})
		run(b, s.name+"/go-smpp", len(s.frame), func() error {
			r.Reset(s.frame)
			_, err := fiorix.Decode(r)
			return err
		})
		run(b, s.name+"/gosmpp", len(s.frame), func() error {
			r.Reset(s.frame)
			_, err := gosmpp.Parse(r)
			return err
		})
	}
}

func BenchmarkEncode(b *testing.B) {
	for _, s := range subjects(b) {
		out := make([]byte, 0, 2*len(s.frame))
		var w bytes.Buffer
		run(b, s.name+"/ours", len(s.frame), func() error {
			_, err := pdu.Append(out, pdu.StatusOK, 7, s.ours)
			return err
		})
		run(b, s.name+"/ours-new", len(s.frame), func() error {
			_, err := pdu.Append(nil, pdu.StatusOK, 7, s.ours)
			return err
		})
		run(b, s.name+"/go-smpp", len(s.frame), func() error {
			w.Reset()
			return s.fiorix.SerializeTo(&w)
		})
		run(b, s.name+"/gosmpp", len(s.frame), func() error {
			s.gosmpp.Marshal(gosmpp.NewBuffer(out))
			return nil
		})
	}
}
