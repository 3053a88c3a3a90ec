package smppserver

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	gosmpp "github.com/fiorix/go-smpp/smpp"
	gopdu "github.com/fiorix/go-smpp/smpp/pdu"
	"github.com/fiorix/go-smpp/smpp/pdu/pdufield"
	"github.com/fiorix/go-smpp/smpp/pdu/pdutext"
	linx "github.com/linxGnu/gosmpp"
	linxdata "github.com/linxGnu/gosmpp/data"
	linxpdu "github.com/linxGnu/gosmpp/pdu"

	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/throw"
)

// deliver sends a deliver_sm through a receiver and gives the answer's fault.
func deliver(t *testing.T, r throw.Receiver, text string) error {
	t.Helper()
	done := make(chan error, 1)
	m := &pdu.DeliverSM{Message: pdu.Message{Source: pdu.Address{Addr: "336"}, Dest: pdu.Address{Addr: "ACME"}, DataCoding: pdu.CodingIA5, ShortMessage: []byte(text)}}
	if err := r.TrySend(m, func(resp smpp.Response, err error) { done <- errors.Join(err, resp.Err()) }); err != nil {
		t.Fatal(err)
	}
	return receive(t, "deliver_sm_resp", done)
}

func TestGoSMPPAsESME(t *testing.T) {
	w := newWorld(t, Config{})
	refused := &gosmpp.Transceiver{Addr: w.addr(), User: "foo", Passwd: "wrong", BindInterval: time.Hour}
	var code gopdu.Status
	if st := receive(t, "bind", refused.Bind()); !errors.As(st.Error(), &code) || code != gopdu.Status(pdu.StatusInvPaswd) {
		t.Errorf("bind with the wrong password: %v", st.Error())
	}
	refused.Close() //nolint:errcheck // it is not connected

	texts := make(chan string, 1)
	client := &gosmpp.Transceiver{Addr: w.addr(), User: "foo", Passwd: "bar", RespTimeout: deadline, Handler: func(p gopdu.Body) {
		if f := p.Fields()[pdufield.ShortMessage]; f != nil {
			texts <- f.String()
		}
	}}
	if st := receive(t, "bind", client.Bind()); st.Status() != gosmpp.Connected {
		t.Fatal(st.Error())
	}
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			text := fmt.Sprint("m", i)
			sm, err := client.Submit(&gosmpp.ShortMessage{Src: "ACME", Dst: "336", Text: pdutext.Raw(text), Register: pdufield.FinalDeliveryReceipt})
			if err != nil || sm.RespID() != "id-"+text {
				t.Errorf("submit %s: %v", text, err)
			}
		})
	}
	wg.Wait()
	until(t, "the receiver", func() bool { return len(w.receivers()) == 1 })
	if err := deliver(t, w.receivers()[0], "for go-smpp"); err != nil {
		t.Error(err)
	}
	if got := receive(t, "deliver_sm", texts); got != "for go-smpp" {
		t.Errorf("delivered %q", got)
	}
	if err := client.Close(); err != nil {
		t.Error(err)
	}
	until(t, "the end", func() bool { return len(w.receivers()) == 0 })
}

func TestLinxGnuAsESME(t *testing.T) {
	w := newWorld(t, Config{})
	var closing atomic.Bool
	ids, texts := make(chan string, 50), make(chan string, 1)
	client, err := linx.NewSession(linx.TRXConnector(linx.NonTLSDialer, linx.Auth{SMSC: w.addr(), SystemID: "foo", Password: "bar"}), linx.Settings{
		ReadTimeout: time.Minute, WriteTimeout: time.Minute, EnquireLink: 30 * time.Second,
		OnSubmitError: func(_ linxpdu.PDU, err error) { t.Error(err) },
		OnReceivingError: func(err error) {
			if !closing.Load() {
				t.Error(err)
			}
		},
		OnPDU: func(p linxpdu.PDU, _ bool) {
			switch q := p.(type) {
			case *linxpdu.SubmitSMResp:
				ids <- q.MessageID
			case *linxpdu.DeliverSM:
				text, err := q.Message.GetMessage()
				if err != nil {
					t.Error(err)
				}
				texts <- text
			}
		},
	}, 0)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{}
	for i := range 50 {
		text := fmt.Sprint("m", i)
		want["id-"+text] = true
		sm := linxpdu.NewSubmitSM().(*linxpdu.SubmitSM)
		if err := sm.DestAddr.SetAddress(fmt.Sprint("336", i)); err != nil {
			t.Fatal(err)
		}
		if sm.Message, err = linxpdu.NewBinaryShortMessageWithEncoding([]byte(text), linxdata.ASCII); err != nil {
			t.Fatal(err)
		}
		if err := client.Transceiver().Submit(sm); err != nil {
			t.Fatal(err)
		}
	}
	for range 50 {
		id := receive(t, "submit_sm_resp", ids)
		if !want[id] {
			t.Errorf("answered %q", id)
		}
		delete(want, id)
	}
	if err := deliver(t, w.receivers()[0], "for gosmpp"); err != nil {
		t.Error(err)
	}
	if got := receive(t, "deliver_sm", texts); got != "for gosmpp" {
		t.Errorf("delivered %q", got)
	}
	closing.Store(true)
	client.Close() //nolint:errcheck // it says so when our answer to its unbind came first
	until(t, "the end", func() bool { return len(w.receivers()) == 0 })
}
