package smscsim_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smscsim"
	"jasmind/internal/smstext"
)

func TestInjectMO(t *testing.T) {
	ucs2, latin1 := uint8(8), uint8(3)
	for _, c := range []struct {
		name  string
		mo    smscsim.MO
		check func(t *testing.T, p *pdu.DeliverSM)
	}{
		{"text in the default alphabet", smscsim.MO{From: "4479", To: "1234", FromTON: 1, Text: "hi €"}, func(t *testing.T, p *pdu.DeliverSM) {
			if p.Source != (pdu.Address{TON: 1, Addr: "4479"}) || p.Dest.Addr != "1234" || string(p.ShortMessage) != "hi \x1be" || p.DataCoding != 0 {
				t.Errorf("%+v", p)
			}
		}},
		{"text that needs UCS2", smscsim.MO{Text: "жук"}, func(t *testing.T, p *pdu.DeliverSM) {
			if p.DataCoding != 8 || smstext.Decode(p.ShortMessage, 8) != "жук" {
				t.Errorf("%+v", p)
			}
		}},
		{"a coding asked for", smscsim.MO{Text: "é", DataCoding: &latin1}, func(t *testing.T, p *pdu.DeliverSM) {
			if p.DataCoding != 3 || string(p.ShortMessage) != "\xe9" {
				t.Errorf("%+v", p)
			}
		}},
		{"raw fields", smscsim.MO{Hex: "00ff", DataCoding: &ucs2, ESMClass: 8, ProtocolID: 5, Priority: 1, ServiceType: "X",
			TLVs: []smscsim.TLV{{Tag: "user_message_reference", Value: "0001"}, {Tag: "0x1500", Value: ""}}}, func(t *testing.T, p *pdu.DeliverSM) {
			if p.DataCoding != 8 || p.ESMClass != 8 || p.ProtocolID != 5 || p.PriorityFlag != 1 || p.ServiceType != "X" ||
				string(p.ShortMessage) != "\x00\xff" || len(p.TLVs) != 2 || p.TLVs[1].Tag != 0x1500 {
				t.Errorf("%+v", p)
			}
		}},
		{"payload", smscsim.MO{Text: strings.Repeat("long ", 100), Split: "payload"}, func(t *testing.T, p *pdu.DeliverSM) {
			if payload, _ := p.TLVs.Get(pdu.TagMessagePayload); len(payload) != 500 || len(p.ShortMessage) != 0 {
				t.Errorf("%+v", p)
			}
		}},
		{"a whole PDU", smscsim.MO{Raw: "00000027 00000005 00000000 00000007 00 0101343400 0001353500 00 00 00 00 00 00 00 00 00 02 6869"}, func(t *testing.T, p *pdu.DeliverSM) {
			if string(p.ShortMessage) != "hi" || p.Source.Addr != "44" || p.Dest.Addr != "55" {
				t.Errorf("%+v", p)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			sim := start(t, smscsim.Config{})
			e := connect(t, sim, esmeOptions{})
			if st, err := sim.InjectMO(t.Context(), c.mo); st != pdu.StatusOK || err != nil {
				t.Fatalf("%s, %v", st, err)
			}
			c.check(t, e.receipt(t))
		})
	}
}

func TestInjectLongMO(t *testing.T) {
	text := strings.Repeat("лорем ипсум ", 20)
	for _, split := range []string{"udh", "udh16", "sar"} {
		t.Run(split, func(t *testing.T) {
			sim := start(t, smscsim.Config{})
			e := connect(t, sim, esmeOptions{})
			if st, err := sim.InjectMO(t.Context(), smscsim.MO{From: "1", To: "2", Text: text, Split: split, Order: []uint8{2, 1, 4, 3}}); st != 0 || err != nil {
				t.Fatalf("%s, %v", st, err)
			}
			var segments []smstext.Segment
			for _, seq := range []uint8{2, 1, 4, 3} {
				d := e.receipt(t)
				seg, err := smstext.ReadSegment(d.ShortMessage, d.ESMClass, d.TLVs)
				if err != nil || seg.Concat.Seq != seq || seg.Concat.Total != 4 {
					t.Errorf("%+v, %v; want part %d", seg.Concat, err, seq)
				}
				segments = append(segments, seg)
			}
			if got, err := smstext.JoinText(segments, 8); got != text || err != nil {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

func TestInjectMOAsDataSM(t *testing.T) {
	sim := start(t, smscsim.Config{})
	e := connect(t, sim, esmeOptions{answers: func(pdu.PDU) pdu.Status { return pdu.StatusRxRAppn }})
	st, err := sim.InjectMO(t.Context(), smscsim.MO{Text: "hi", PDU: "data_sm"})
	if st != pdu.StatusRxRAppn || err != nil {
		t.Errorf("%s, %v; a refusal is a result", st, err)
	}
	d := e.next(t).(*pdu.DataSM)
	if payload, _ := d.TLVs.Get(pdu.TagMessagePayload); string(payload) != "hi" {
		t.Errorf("%+v", d)
	}
}

func TestInjectMOFaults(t *testing.T) {
	sim := start(t, smscsim.Config{AnyAccount: true})
	if _, err := sim.InjectMO(t.Context(), smscsim.MO{Text: "hi"}); !errors.Is(err, smscsim.ErrNotBound) {
		t.Errorf("nobody bound: %v", err)
	}
	tx := connect(t, sim, esmeOptions{bind: pdu.Bind{Type: pdu.Transmitter}})
	if _, err := sim.InjectMO(t.Context(), smscsim.MO{Text: "hi"}); !errors.Is(err, smscsim.ErrNotBound) {
		t.Errorf("a transmitter only: %v", err)
	}
	e := connect(t, sim, esmeOptions{answers: func(pdu.PDU) pdu.Status { <-tx.Done(); return 0 }})
	latin1 := uint8(3)
	for _, c := range []struct {
		mo   smscsim.MO
		want string
	}{
		{smscsim.MO{Account: "nobody"}, "nobody"},
		{smscsim.MO{Text: "жук", DataCoding: &latin1}, "text"},
		{smscsim.MO{Hex: "zz"}, "hex"},
		{smscsim.MO{Hex: "00", Text: "x"}, "hex"},
		{smscsim.MO{Split: "axe"}, "split"},
		{smscsim.MO{PDU: "submit_sm"}, "submit_sm"},
		{smscsim.MO{Order: []uint8{2}}, "order: 2"},
		{smscsim.MO{TLVs: []smscsim.TLV{{Tag: "nonsense", Value: "00"}}}, "tlvs[0]"},
		{smscsim.MO{Raw: "00000010000000150000000000000001"}, "enquire_link"},
		{smscsim.MO{From: strings.Repeat("1", 30)}, "source_addr"},
		{smscsim.MO{Text: "hi", Session: 99}, "session 99"},
	} {
		if _, err := sim.InjectMO(t.Context(), c.mo); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %s", c.mo, err, c.want)
		}
	}
	if _, err := sim.InjectMO(t.Context(), smscsim.MO{Text: "hi", Timeout: smscsim.Duration(10 * time.Millisecond)}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("no answer: %v", err)
	}
	tx.Close(nil)
	e.next(t)
	other := connect(t, sim, esmeOptions{bind: pdu.Bind{SystemID: "other"}})
	if _, err := sim.InjectMO(t.Context(), smscsim.MO{Text: "hi"}); err == nil || !strings.Contains(err.Error(), "both bound") {
		t.Errorf("two accounts: %v", err)
	}
	if st, err := sim.InjectMO(t.Context(), smscsim.MO{Text: "hi", Account: "other"}); st != 0 || err != nil {
		t.Errorf("the account named: %s, %v", st, err)
	}
	other.next(t)
}
