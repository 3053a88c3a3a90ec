package smscsim_test

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smpp/receipt"
	"jasmind/internal/smscsim"
)

// receipts runs a simulator whose receipts are like r.
func receipts(t testing.TB, r smscsim.Receipt) *smscsim.Simulator {
	t.Helper()
	return start(t, smscsim.Config{IDStart: 1000, Behaviour: smscsim.Behaviour{Receipt: r}})
}

func TestReceiptForms(t *testing.T) {
	text := regexp.MustCompile(`^id:1000 sub:001 dlvrd:001 submit date:\d{10} done date:\d{10} stat:DELIVRD err:000 text:hello$`)
	for _, c := range []struct {
		form                  string
		short, payload, idTLV bool
	}{
		{"", true, false, true}, {"both", true, false, true}, {"text", true, false, false}, {"tlv", false, false, true},
		{"payload", false, true, false}, {"data_sm", false, true, true},
	} {
		t.Run("form "+c.form, func(t *testing.T) {
			sim := receipts(t, smscsim.Receipt{Form: c.form})
			e := connect(t, sim, esmeOptions{})
			e.submit(t, asking(hello("4479")))
			var m pdu.Message
			p := e.next(t)
			if d, ok := p.(*pdu.DataSM); ok != (c.form == "data_sm") {
				t.Fatalf("got %s", p.CommandID())
			} else if ok {
				m = pdu.Message{Source: d.Source, Dest: d.Dest, ESMClass: d.ESMClass, TLVs: d.TLVs}
			} else {
				m = p.(*pdu.DeliverSM).Message
			}
			if m.ESMClass != pdu.ESMTypeReceipt || m.Source != (pdu.Address{TON: 1, NPI: 1, Addr: "4479"}) || m.Dest != (pdu.Address{TON: 5, Addr: "shop"}) {
				t.Errorf("%+v", m)
			}
			if got := text.Match(m.ShortMessage); got != c.short {
				t.Errorf("short_message %q", m.ShortMessage)
			}
			payload, _ := m.TLVs.Get(pdu.TagMessagePayload)
			if got := text.Match(payload); got != c.payload {
				t.Errorf("message_payload %q", payload)
			}
			id, ok := m.TLVs.CString(pdu.TagReceiptedMessageID)
			st, _ := m.TLVs.Uint8(pdu.TagMessageState)
			if ok != c.idTLV || ok && (id != "1000" || st != 2) {
				t.Errorf("TLVs %q %d", id, st)
			}
		})
	}
}

func TestReceiptContents(t *testing.T) {
	class := uint8(0)
	for _, c := range []struct {
		name string
		r    smscsim.Receipt
		text string // how it begins, up to submit date
		more string // contained
		tlv  string
	}{
		{"failed", smscsim.Receipt{State: "UNDELIV", Err: "12"}, "id:1000 sub:001 dlvrd:000 ", "stat:UNDELIV err:012", "1000"},
		{"hex id", smscsim.Receipt{ID: "hex"}, "id:3e8 ", "stat:DELIVRD", "3e8"},
		{"capital hex id, filled", smscsim.Receipt{ID: "HEX", IDWidth: 8}, "id:000003E8 ", "stat:DELIVRD", "000003E8"},
		{"another id in the TLV", smscsim.Receipt{TLVID: "hex"}, "id:1000 ", "stat:DELIVRD", "3e8"},
		{"template", smscsim.Receipt{Template: "{id}|{state}|{err}|{text}|{sub}{dlvrd}", ESMClass: &class}, "1000|DELIVRD|000|hello|001001", "", "1000"},
		{"long template", smscsim.Receipt{Template: strings.Repeat("x", 300), Form: "text"}, "", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := connect(t, receipts(t, c.r), esmeOptions{})
			e.submit(t, asking(hello("4479")))
			d := e.receipt(t)
			if s := string(d.ShortMessage); !strings.HasPrefix(s, c.text) || !strings.Contains(s, c.more) {
				t.Errorf("text %q", s)
			}
			if id, _ := d.TLVs.CString(pdu.TagReceiptedMessageID); id != c.tlv {
				t.Errorf("receipted_message_id %q, want %q", id, c.tlv)
			}
			if c.r.ESMClass != nil && d.ESMClass != 0 {
				t.Errorf("esm_class %s", d.ESMClass)
			}
			if payload, ok := d.TLVs.Get(pdu.TagMessagePayload); ok != (len(c.r.Template) > 254) || ok && len(payload) != 300 {
				t.Errorf("message_payload of %d", len(payload))
			}
		})
	}
}

func TestIDFormats(t *testing.T) {
	for _, c := range []struct {
		cfg  smscsim.Config
		want string // regular expression
	}{
		{smscsim.Config{IDStart: 10}, "^10$"},
		{smscsim.Config{IDStart: 10, IDWidth: 6}, "^000010$"},
		{smscsim.Config{IDStart: 171, IDFormat: "hex"}, "^ab$"},
		{smscsim.Config{IDStart: 171, IDFormat: "HEX", IDWidth: 4}, "^00AB$"},
		{smscsim.Config{IDFormat: "decimal64"}, `^9\d{18}$`},
		{smscsim.Config{IDFormat: "hex64"}, `^8[0-9a-f]{15}$`},
		{smscsim.Config{IDFormat: "uuid"}, `^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`},
	} {
		sim := start(t, c.cfg)
		e := connect(t, sim, esmeOptions{})
		id := e.submit(t, asking(hello("44")))
		if !regexp.MustCompile(c.want).MatchString(id) {
			t.Errorf("%+v: id %q, want %s", c.cfg, id, c.want)
		}
		if n, err := strconv.ParseUint(id, 10, 64); c.cfg.IDFormat == "decimal64" && (err != nil || n <= 1<<63-1) {
			t.Errorf("id %s fits in a signed 64-bit integer", id)
		}
		d := e.receipt(t)
		if r, err := receipt.Parse(&d.Message); err != nil || r.ID != id || len(r.IDs) != 1 {
			t.Errorf("receipt for %q: %+v, %v", id, r, err)
		}
		if _, ok := sim.Message(id); !ok {
			t.Errorf("%q is not found", id)
		}
	}
}

func TestWhoGetsReceipts(t *testing.T) {
	for _, c := range []struct {
		registered uint8
		r          smscsim.Receipt
		want       string // states in order
	}{
		{0, smscsim.Receipt{}, ""},
		{1, smscsim.Receipt{}, "DELIVRD"},
		{1, smscsim.Receipt{State: "UNDELIV"}, "UNDELIV"},
		{2, smscsim.Receipt{}, ""},
		{2, smscsim.Receipt{State: "EXPIRED"}, "EXPIRED"},
		{3, smscsim.Receipt{}, "DELIVRD"},
		{3, smscsim.Receipt{State: "EXPIRED"}, ""},
		{1, smscsim.Receipt{Send: "never"}, ""},
		{0, smscsim.Receipt{Send: "always"}, "DELIVRD"},
		{1, smscsim.Receipt{Intermediate: []string{"ENROUTE", "ACCEPTD"}}, "ENROUTE ACCEPTD DELIVRD"},
		{16, smscsim.Receipt{Intermediate: []string{"ENROUTE"}}, "ENROUTE"},
		{0, smscsim.Receipt{Intermediate: []string{"ENROUTE"}}, ""},
	} {
		sim := receipts(t, c.r)
		e := connect(t, sim, esmeOptions{})
		m := hello("4479")
		m.RegisteredDelivery = c.registered
		e.submit(t, m)
		var got []string
		for range strings.Fields(c.want) {
			d := e.receipt(t)
			r, err := receipt.Parse(&d.Message)
			if err != nil {
				t.Fatal(err)
			}
			if want := r.State != "ENROUTE"; (d.ESMClass == pdu.ESMTypeReceipt) != want {
				t.Errorf("%s with esm_class %s", r.State, d.ESMClass)
			}
			got = append(got, r.State)
		}
		// A second message that asks is answered last: nothing came between.
		if err := sim.SetBehaviour(smscsim.Behaviour{Receipt: smscsim.Receipt{State: "SKIPPED"}}); err != nil {
			t.Fatal(err)
		}
		e.submit(t, asking(hello("4480")))
		if d := e.receipt(t); d.Source.Addr != "4480" {
			t.Errorf("registered_delivery %d, %+v: unexpected %q", c.registered, c.r, d.ShortMessage)
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("registered_delivery %d, %+v: %q, want %q", c.registered, c.r, s, c.want)
		}
	}
}

func TestReceiptBeforeItsResponse(t *testing.T) {
	early := smscsim.Exactly(-time.Millisecond)
	for _, delay := range []time.Duration{0, 30 * time.Millisecond} {
		sim := start(t, smscsim.Config{Behaviour: smscsim.Behaviour{
			Receipt: smscsim.Receipt{Delay: &early},
			Rules:   []smscsim.Rule{{Answer: &smscsim.Answer{Delay: smscsim.Exactly(delay)}}}}})
		order := make(chan pdu.CommandID, 10)
		e := connect(t, sim, esmeOptions{config: smpp.Config{Trace: func(dir smpp.Direction, h pdu.Header, _ pdu.PDU) {
			if dir == smpp.In {
				order <- h.ID
			}
		}}})
		e.submit(t, asking(hello("44")))
		<-order // bind_transceiver_resp
		if a, b := <-order, <-order; a != pdu.CmdDeliverSM || b != pdu.CmdSubmitSMResp {
			t.Errorf("got %s, then %s", a, b)
		}
	}
}

func TestReceiptAfterItsResponse(t *testing.T) {
	for _, d := range []time.Duration{0, 20 * time.Millisecond} {
		delay := smscsim.Exactly(d)
		sim := receipts(t, smscsim.Receipt{Delay: &delay})
		order := make(chan pdu.CommandID, 10)
		e := connect(t, sim, esmeOptions{config: smpp.Config{Trace: func(dir smpp.Direction, h pdu.Header, _ pdu.PDU) {
			if dir == smpp.In {
				order <- h.ID
			}
		}}})
		begin := time.Now()
		e.submit(t, asking(hello("44")))
		e.receipt(t)
		if took := time.Since(begin); took < d {
			t.Errorf("the receipt came after %s", took)
		}
		<-order
		if a, b := <-order, <-order; a != pdu.CmdSubmitSMResp || b != pdu.CmdDeliverSM {
			t.Errorf("got %s, then %s", a, b)
		}
	}
}

func TestReceiptsWaitForAReceiver(t *testing.T) {
	sim := start(t, smscsim.Config{ReceiptQueue: 2})
	tx := connect(t, sim, esmeOptions{bind: pdu.Bind{Type: pdu.Transmitter}})
	for i := range 3 {
		tx.submit(t, asking(hello(fmt.Sprint(i))))
	}
	if s := sim.Stats().Receipts; s.Queued != 2 || s.Dropped != 1 || s.Sent != 0 {
		t.Errorf("unbound: %+v", s)
	}
	rx := connect(t, sim, esmeOptions{bind: pdu.Bind{Type: pdu.Receiver}})
	if a, b := rx.receipt(t).Source.Addr, rx.receipt(t).Source.Addr; a != "0" || b != "1" {
		t.Errorf("receipts of %s and %s", a, b)
	}
	tx.none(t)
}

func TestReceiptOnTheBindAskedFor(t *testing.T) {
	for _, c := range []struct {
		bind string
		same bool
	}{{"same", true}, {"other", false}} {
		sim := receipts(t, smscsim.Receipt{Bind: c.bind})
		a := connect(t, sim, esmeOptions{})
		if c.bind == "other" { // waits for one
			a.submit(t, asking(hello("0")))
		}
		b := connect(t, sim, esmeOptions{})
		if c.bind == "other" {
			if d := b.receipt(t); d.Source.Addr != "0" {
				t.Errorf("got the receipt of %s", d.Source.Addr)
			}
		}
		for i := range 6 {
			a.submit(t, asking(hello(fmt.Sprint(i))))
			to := b
			if c.same {
				to = a
			}
			if d := to.receipt(t); d.Source.Addr != fmt.Sprint(i) {
				t.Errorf("%s: got the receipt of %s", c.bind, d.Source.Addr)
			}
		}
		a.none(t)
		b.none(t)
	}
}

func TestRefusedReceiptsAreSentAgain(t *testing.T) {
	var n atomic.Int32
	sim := start(t, smscsim.Config{ReceiptRetry: smscsim.Duration(time.Millisecond), ReceiptTries: 3})
	e := connect(t, sim, esmeOptions{answers: func(p pdu.PDU) pdu.Status {
		if p.(*pdu.DeliverSM).Source.Addr == "lost" || n.Add(1) < 3 {
			return pdu.StatusRxTAppn
		}
		return pdu.StatusOK
	}})
	e.submit(t, asking(hello("44")))
	for range 3 {
		e.receipt(t)
	}
	e.submit(t, asking(hello("lost")))
	for range 3 {
		e.receipt(t)
	}
	e.barrier(t)
	e.none(t)
	if s := sim.Stats().Receipts; s.Sent != 6 || s.Acked != 1 || s.Refused != 5 || s.Failed != 1 || s.Queued != 0 {
		t.Errorf("%+v", s)
	}
}

func TestReceiptOutlivesTheSession(t *testing.T) {
	sim := start(t, smscsim.Config{})
	hold := make(chan struct{})
	e := connect(t, sim, esmeOptions{answers: func(pdu.PDU) pdu.Status { <-hold; return pdu.StatusOK }})
	if err := e.Send(t.Context(), &pdu.SubmitSM{Message: asking(hello("44"))}, func(smpp.Response, error) {}); err != nil {
		t.Fatal(err)
	}
	wait(t, sim, 1, smscsim.Filter{})
	if n := sim.Drop("smppclient1"); n != 1 {
		t.Errorf("%d dropped", n)
	}
	close(hold)
	again := connectAgain(t, sim)
	if d := again.receipt(t); d.Source.Addr != "44" {
		t.Errorf("receipt of %s", d.Source.Addr)
	}
}

func TestCancelledMessageIsReported(t *testing.T) {
	delay := smscsim.Exactly(30 * time.Millisecond)
	sim := receipts(t, smscsim.Receipt{Delay: &delay})
	e := connect(t, sim, esmeOptions{})
	id := e.submit(t, asking(hello("44")))
	want := "stat:DELETED"
	if e.do(t, &pdu.CancelSM{MessageID: id}).Header.Status != pdu.StatusOK { // it came too late, which timing decides
		want = "stat:DELIVRD"
	}
	if d := e.receipt(t); !strings.Contains(string(d.ShortMessage), want) {
		t.Errorf("receipt %q, want %s", d.ShortMessage, want)
	}
}

func TestValidityAndSchedule(t *testing.T) {
	hour := smscsim.Exactly(time.Hour)
	sim := receipts(t, smscsim.Receipt{Delay: &hour})
	e := connect(t, sim, esmeOptions{})
	m := asking(hello("44"))
	m.ValidityPeriod = "000000000000000R"
	e.submit(t, m)
	if d := e.receipt(t); !strings.Contains(string(d.ShortMessage), "stat:EXPIRED") {
		t.Errorf("receipt %q", d.ShortMessage)
	}
	if err := sim.SetBehaviour(smscsim.Behaviour{}); err != nil {
		t.Fatal(err)
	}
	m = asking(hello("44"))
	m.ScheduleDeliveryTime = "000001000000000R"
	id := e.submit(t, m)
	if m, _ := sim.Message(id); m.State != "ENROUTE" {
		t.Errorf("scheduled: %s", m.State)
	}
	if n := sim.Stats().Receipts.Scheduled; n == 0 {
		t.Error("its receipt does not wait")
	}
	sim.Reset()
	e.none(t)
}
