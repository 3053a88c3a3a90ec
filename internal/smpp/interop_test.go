package smpp_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	gosmpp "github.com/fiorix/go-smpp/smpp"
	gosmpppdu "github.com/fiorix/go-smpp/smpp/pdu"
	"github.com/fiorix/go-smpp/smpp/pdu/pdufield"
	"github.com/fiorix/go-smpp/smpp/pdu/pdutext"
	gosmpptest "github.com/fiorix/go-smpp/smpp/smpptest"
	linx "github.com/linxGnu/gosmpp"
	linxdata "github.com/linxGnu/gosmpp/data"
	linxpdu "github.com/linxGnu/gosmpp/pdu"

	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
)

// receive takes a value from a channel, or fails the test.
func receive[T any](t *testing.T, what string, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(2 * time.Minute):
		t.Fatalf("%s did not come", what)
		panic("unreachable")
	}
}

// numbered answers submit_sm with the text of the message as its message_id.
var numbered = smpp.HandlerFunc(func(_ *smpp.Session, r *smpp.Request) {
	sm, ok := r.PDU.(*pdu.SubmitSM)
	if !ok {
		r.Respond(pdu.StatusInvCmdID, nil) //nolint:errcheck // the client tells
		return
	}
	r.Respond(pdu.StatusOK, &pdu.SubmitSMResp{MessageID: "id-" + string(sm.ShortMessage)}) //nolint:errcheck // the client tells
})

// boundSession waits for the one bound session of a server.
func boundSession(t *testing.T, states chan *smpp.Session) *smpp.Session {
	t.Helper()
	return receive(t, "bound session", states)
}

// announce makes an OnStateChange that reports bound sessions.
func announce() (func(*smpp.Session, smpp.State, smpp.State), chan *smpp.Session) {
	ch := make(chan *smpp.Session, 10)
	return func(s *smpp.Session, _, to smpp.State) {
		if to.Bound() {
			ch <- s
		}
	}, ch
}

func TestGoSMPPAsESME(t *testing.T) {
	onState, bound := announce()
	srv := serve(t, smpp.ServerConfig{Config: smpp.Config{Handler: numbered, OnStateChange: onState}}, loopback(nil))
	received := make(chan string, 10)
	client := &gosmpp.Transceiver{
		Addr: srv.Addr().String(), User: "foo", Passwd: "bar", RespTimeout: 2 * time.Minute,
		Handler: func(p gosmpppdu.Body) {
			if f := p.Fields()[pdufield.ShortMessage]; f != nil {
				received <- f.String()
			}
		},
	}
	status := receive(t, "bind", client.Bind())
	if status.Status() != gosmpp.Connected {
		t.Fatalf("bind: %s %v", status.Status(), status.Error())
	}
	s := boundSession(t, bound)

	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			text := fmt.Sprint("m", i)
			sm, err := client.Submit(&gosmpp.ShortMessage{Src: "1234", Dst: "33612345678", Text: pdutext.Raw(text)})
			if err != nil || sm.RespID() != "id-"+text {
				t.Errorf("submit %s: got %q %v", text, sm.RespID(), err)
			}
		})
	}
	wg.Wait()

	resp, err := s.Do(t.Context(), deliver("for go-smpp"))
	if err != nil || resp.Err() != nil || resp.Header.Sequence < 0x40000000 {
		t.Errorf("deliver_sm: got %+v %v", resp, err)
	}
	if got := receive(t, "deliver_sm", received); got != "for go-smpp" {
		t.Errorf("delivered %q", got)
	}
	if resp, err := s.Do(t.Context(), &pdu.EnquireLink{}); err != nil || resp.Err() != nil {
		t.Errorf("enquire_link: got %+v %v", resp, err)
	}
	wantErr(t, "Close", client.Close(), nil)
	wantErr(t, "server's Run", receive(t, "end", srv.ends), smpp.ErrUnbound)
}

func TestGoSMPPRefused(t *testing.T) {
	srv := serve(t, smpp.ServerConfig{}, loopback(nil))
	client := &gosmpp.Transceiver{Addr: srv.Addr().String(), User: "foo", Passwd: "wrong", BindInterval: time.Hour}
	status := receive(t, "bind", client.Bind())
	var got gosmpppdu.Status
	if !errors.As(status.Error(), &got) || got != gosmpppdu.Status(pdu.StatusInvPaswd) {
		t.Errorf("bind: got %s %v, want status %d", status.Status(), status.Error(), pdu.StatusInvPaswd)
	}
	client.Close() //nolint:errcheck // it is not connected
	receive(t, "end", srv.ends)
}

func TestGoSMPPAsSMSC(t *testing.T) {
	mo := gosmpppdu.NewSubmitSM(nil) // its deliver_sm has a stray octet
	mo.Header().ID = gosmpppdu.DeliverSMID
	for name, v := range map[pdufield.Name]any{pdufield.SourceAddr: "33612345678", pdufield.DestinationAddr: "1234", pdufield.ShortMessage: pdutext.Raw("from go-smpp")} {
		wantErr(t, string(name), mo.Fields().Set(name, v), nil)
	}
	smsc := gosmpptest.NewUnstartedServer()
	smsc.Handler = func(c gosmpptest.Conn, p gosmpppdu.Body) {
		var resp gosmpppdu.Body
		switch p.Header().ID {
		case gosmpppdu.SubmitSMID:
			resp = gosmpppdu.NewSubmitSMResp()
			if err := resp.Fields().Set(pdufield.MessageID, "id-"+p.Fields()[pdufield.ShortMessage].String()); err != nil {
				t.Error(err)
			}
		case gosmpppdu.UnbindID:
			resp = gosmpppdu.NewUnbindResp()
		default:
			return
		}
		resp.Header().Seq = p.Header().Seq
		wantErr(t, "go-smpp's answer", c.Write(resp), nil)
		if mo != nil { // from here, since its connections may not be written to by two goroutines
			wantErr(t, "go-smpp's deliver_sm", c.Write(mo), nil)
			mo = nil
		}
	}
	smsc.Start()
	t.Cleanup(smsc.Close)

	k := make(keep, 1)
	s, ran := dialed(t, smsc.Addr(), smpp.DialConfig{
		Bind:   pdu.Bind{SystemID: gosmpptest.DefaultUser, Password: gosmpptest.DefaultPasswd, InterfaceVersion: 0x34},
		Config: smpp.Config{Window: 20, Handler: k},
	})
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			text := fmt.Sprint("m", i)
			resp, err := s.Do(t.Context(), submit(text))
			if err != nil || resp.PDU.(*pdu.SubmitSMResp).MessageID != "id-"+text {
				t.Errorf("submit %s: got %+v %v", text, resp.PDU, err)
			}
		})
	}
	wg.Wait()
	req := receive(t, "deliver_sm", k)
	if got := string(req.PDU.(*pdu.DeliverSM).ShortMessage); got != "from go-smpp" {
		t.Errorf("deliver_sm %q", got)
	}
	wantErr(t, "Respond", req.Respond(pdu.StatusOK, nil), nil)
	wantErr(t, "Shutdown", s.Shutdown(t.Context()), nil)
	wantErr(t, "Run", receive(t, "end", ran), nil)
}

func TestLinxGnuAsESME(t *testing.T) {
	onState, bound := announce()
	// gosmpp reads no bind response without a body, in refusals either.
	withBody := func(ctx context.Context, s *smpp.Session, b *pdu.Bind) (pdu.Status, *pdu.BindResp) {
		status, _ := acceptFoo(ctx, s, b)
		return status, &pdu.BindResp{SystemID: b.SystemID}
	}
	srv := serve(t, smpp.ServerConfig{Config: smpp.Config{Bind: withBody, Handler: numbered, OnStateChange: onState}}, loopback(nil))
	auth := linx.Auth{SMSC: srv.Addr().String(), SystemID: "foo", Password: "wrong"}

	_, err := linx.TRXConnector(linx.NonTLSDialer, auth).Connect()
	var refused linx.BindError
	if !errors.As(err, &refused) || refused.CommandStatus != linxdata.ESME_RINVPASWD {
		t.Errorf("bind with the wrong password: got %v, want ESME_RINVPASWD", err)
	}
	receive(t, "end", srv.ends)

	auth.Password = "bar"
	var closing atomic.Bool
	ids, texts := make(chan string, 50), make(chan string, 1)
	client, err := linx.NewSession(linx.TRXConnector(linx.NonTLSDialer, auth), linx.Settings{
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
	s := boundSession(t, bound)
	var want, got []string
	for i := range 50 {
		text := fmt.Sprint("m", i)
		want = append(want, "id-"+text)
		sm := linxpdu.NewSubmitSM().(*linxpdu.SubmitSM)
		// Octets, since its default alphabet is packed to septets.
		if sm.Message, err = linxpdu.NewBinaryShortMessageWithEncoding([]byte(text), linxdata.ASCII); err != nil {
			t.Fatal(err)
		}
		if err := client.Transceiver().Submit(sm); err != nil {
			t.Fatal(err)
		}
	}
	for range 50 {
		got = append(got, receive(t, "submit_sm_resp", ids))
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	m := deliver("for gosmpp")
	m.DataCoding = pdu.CodingIA5
	resp, err := s.Do(t.Context(), m)
	if err != nil || resp.Err() != nil {
		t.Errorf("deliver_sm: got %+v %v", resp, err)
	}
	if text := receive(t, "deliver_sm", texts); text != "for gosmpp" {
		t.Errorf("delivered %q", text)
	}
	closing.Store(true)
	client.Close() //nolint:errcheck // it says so when our answer to its unbind came first
	if err := receive(t, "end", srv.ends); !errors.Is(err, smpp.ErrUnbound) && !errors.Is(err, smpp.ErrPeerClosed) {
		t.Errorf("server's Run: got %v", err)
	}
}

// linxSMSC is an SMSC made of gosmpp's PDUs. It answers, and delivers one message after the first submit_sm.
func linxSMSC(t *testing.T, conn net.Conn, delivered chan<- linxpdu.PDU) {
	write := func(p linxpdu.PDU) {
		buf := linxpdu.NewBuffer(nil)
		p.Marshal(buf)
		if _, err := conn.Write(buf.Bytes()); err != nil {
			t.Errorf("gosmpp SMSC: %v", err)
		}
	}
	first := true
	for {
		p, err := linxpdu.Parse(conn)
		if err != nil {
			return
		}
		switch q := p.(type) {
		case *linxpdu.BindRequest:
			resp := q.GetResponse().(*linxpdu.BindResp)
			resp.SystemID = "gosmpp"
			write(resp)
		case *linxpdu.SubmitSM:
			raw, err := q.Message.GetMessageData()
			if err != nil {
				t.Errorf("gosmpp SMSC: %v", err)
			}
			resp := q.GetResponse().(*linxpdu.SubmitSMResp)
			resp.MessageID = "id-" + string(raw)
			write(resp)
			if first {
				first = false
				mo := linxpdu.NewDeliverSM().(*linxpdu.DeliverSM)
				if mo.Message, err = linxpdu.NewBinaryShortMessageWithEncoding([]byte("from gosmpp"), linxdata.ASCII); err != nil {
					t.Errorf("gosmpp SMSC: %v", err)
				}
				write(mo)
				write(linxpdu.NewEnquireLink())
			}
		case *linxpdu.DeliverSMResp, *linxpdu.EnquireLinkResp:
			delivered <- p
		case *linxpdu.Unbind:
			write(q.GetResponse())
			return
		}
	}
}

func TestLinxGnuAsSMSC(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	delivered := make(chan linxpdu.PDU, 2)
	var wg sync.WaitGroup
	wg.Go(func() {
		conn, err := l.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		linxSMSC(t, conn, delivered)
	})
	k := make(keep, 1)
	s, ran := dialed(t, l.Addr().String(), smpp.DialConfig{Config: smpp.Config{Window: 20, Handler: k}})
	for i := range 50 {
		text := fmt.Sprint("m", i)
		m := submit(text)
		m.DataCoding = pdu.CodingOctet
		resp, err := s.Do(t.Context(), m)
		if err != nil || resp.Err() != nil || resp.PDU.(*pdu.SubmitSMResp).MessageID != "id-"+text {
			t.Errorf("submit %s: got %+v %v", text, resp.PDU, err)
		}
	}
	req := receive(t, "deliver_sm", k)
	if got := string(req.PDU.(*pdu.DeliverSM).ShortMessage); got != "from gosmpp" {
		t.Errorf("deliver_sm %q", got)
	}
	wantErr(t, "Respond", req.Respond(pdu.StatusOK, nil), nil)
	for range 2 {
		p := receive(t, "response", delivered)
		if !p.(interface{ IsOk() bool }).IsOk() {
			t.Errorf("got %+v", p)
		}
	}
	wantErr(t, "Unbind", s.Unbind(t.Context()), nil)
	wantErr(t, "Run", receive(t, "end", ran), nil)
	wg.Wait()
}
