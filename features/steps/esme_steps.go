package steps

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/cucumber/godog"

	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smpp/receipt"
	"jasmind/internal/smscsim"
)

// esme is a customer's program with sessions on the SMPP server.
type esme struct {
	name     string
	sessions []*smpp.Session
	ran      sync.WaitGroup
	got      record[*pdu.DeliverSM]
	status   string // of its last request
	response pdu.PDU
	id       string   // of its last message
	ids      []string // of all
	receipts int      // that sentences have looked at
}

// esmeNamed is an ESME; its system_id is a user's.
func (w *World) esmeNamed(name string) *esme {
	if w.esmes == nil {
		w.esmes = make(map[string]*esme)
	}
	if w.esmes[name] == nil {
		w.esmes[name] = &esme{name: name}
	}
	return w.esmes[name]
}

var bindTypes = map[string]pdu.BindType{"transmitter": pdu.Transmitter, "receiver": pdu.Receiver, "transceiver": pdu.Transceiver}

// bind adds a session. Its error may be a *smpp.StatusError.
func (e *esme) bind(addr, kind, password string) error {
	ctx, cancel := deadline()
	defer cancel()
	s, _, err := smpp.Dial(ctx, "tcp", addr, smpp.DialConfig{
		Bind: pdu.Bind{Type: bindTypes[kind], SystemID: e.name, Password: password, InterfaceVersion: 0x34},
		Config: smpp.Config{Window: 200, SessionInit: patience, Response: patience, Handler: smpp.HandlerFunc(func(_ *smpp.Session, r *smpp.Request) {
			if p, ok := r.PDU.(*pdu.DeliverSM); ok {
				e.got.add(p)
			}
			r.Respond(pdu.StatusOK, nil) //nolint:errcheck // the session may be gone
		})},
	})
	if err != nil {
		return err
	}
	e.sessions = append(e.sessions, s)
	e.ran.Go(func() { s.Run(context.Background()) }) //nolint:errcheck // however it ends
	return nil
}

func (e *esme) close() {
	for _, s := range e.sessions {
		s.Close(nil)
	}
	e.ran.Wait()
	e.sessions = nil
}

// do sends a request on the last session and notes its answer.
func (e *esme) do(p pdu.PDU) error {
	if len(e.sessions) == 0 {
		return fmt.Errorf("%s is not bound", e.name)
	}
	ctx, cancel := deadline()
	defer cancel()
	r, err := e.sessions[len(e.sessions)-1].Do(ctx, p)
	var refused *smpp.StatusError
	if err != nil && !errors.As(err, &refused) {
		return err
	}
	e.status, e.response = r.Header.Status.String(), r.PDU
	if resp, ok := r.PDU.(*pdu.SubmitSMResp); ok && resp.MessageID != "" {
		e.id = resp.MessageID
		e.ids = append(e.ids, e.id)
	}
	return nil
}

// was checks the status of the last answer.
func (e *esme) was(status string) error {
	if e.status != status {
		return fmt.Errorf("it was answered %s, want %s", e.status, status)
	}
	return nil
}

// messageOf makes a submit_sm of a table with the fields' names.
func messageOf(t *godog.Table) (*pdu.SubmitSM, error) {
	sm := &pdu.SubmitSM{Message: pdu.Message{Source: pdu.Address{TON: 5, Addr: "ACME"}, Dest: pdu.Address{TON: 1, NPI: 1, Addr: "06222172"}, ShortMessage: []byte("hello")}}
	if t == nil {
		return sm, nil
	}
	list, err := pairs(t)
	if err != nil {
		return nil, err
	}
	for _, kv := range list {
		switch v := expand(kv[1]); kv[0] {
		case "text":
			sm.ShortMessage = []byte(v)
		case "message_payload":
			sm.ShortMessage = nil
			sm.TLVs.Set(pdu.TagMessagePayload, []byte(v))
		case "to":
			sm.Dest.Addr = v
		case "from":
			sm.Source.Addr = v
		case "registered_delivery":
			sm.RegisteredDelivery = uint8(number(v))
		case "validity_period":
			sm.ValidityPeriod = v
		case "priority_flag":
			sm.PriorityFlag = uint8(number(v))
		default:
			return nil, fmt.Errorf("the field %q is not known here", kv[0])
		}
	}
	return sm, nil
}

func (w *World) smppAddress() string {
	if p, ok := w.gateway.(*inProcess); ok {
		return p.g.Addresses()["smpp-server"]
	}
	if p, ok := w.gateway.(*process); ok {
		return p.addr["smpp-server"]
	}
	return ""
}

func (w *World) esmeSteps(sc *godog.ScenarioContext) {
	sc.Step(`^"(\w+)" binds as (transmitter|receiver|transceiver)$`, func(name, kind string) error {
		return w.esmeNamed(name).bind(w.smppAddress(), kind, "bar")
	})
	sc.Step(`^"(\w+)" binding as (transmitter|receiver|transceiver) with password "(\w+)" is answered (\w+)$`, func(name, kind, password, want string) error {
		err := w.esmeNamed(name).bind(w.smppAddress(), kind, password)
		var refused *smpp.StatusError
		switch {
		case err == nil && want != "ESME_ROK":
			return fmt.Errorf("it was accepted, want %s", want)
		case errors.As(err, &refused):
			if got := refused.Status.String(); got != want {
				return fmt.Errorf("it was answered %s, want %s", got, want)
			}
			return nil
		}
		return err
	})
	sc.Step(`^every session of "(\w+)" has ended$`, func(name string) error {
		ctx, cancel := deadline()
		defer cancel()
		for _, s := range w.esmeNamed(name).sessions {
			select {
			case <-s.Done():
			case <-ctx.Done():
				return errors.New("one goes on")
			}
		}
		return nil
	})
	sc.Step(`^"(\w+)" submits a message$`, func(name string) error { return w.submits(name, nil) })
	sc.Step(`^"(\w+)" submits a message with:$`, w.submits)
	sc.Step(`^"(\w+)" is answered (ESME_\w+)$`, func(name, status string) error { return w.esmeNamed(name).was(status) })
	sc.Step(`^"(\w+)" gets a receipt for it that says (\w+)$`, w.getsReceipt)
	sc.Step(`^"(\w+)" has no other receipt$`, func(name string) error {
		e := w.esmeNamed(name)
		if n := len(e.got.all()); n != e.receipts {
			return fmt.Errorf("it has %d deliver_sm, %d were looked at", n, e.receipts)
		}
		return nil
	})
	sc.Step(`^"(\w+)" queries the message(?: of "(\w+)")?$`, func(name, other string) error {
		return w.esmeNamed(name).do(&pdu.QuerySM{MessageID: w.messageIDOf(name, other), Source: pdu.Address{TON: 5, Addr: "ACME"}})
	})
	sc.Step(`^the state of the message of "(\w+)" becomes (\w+)$`, func(name, state string) error {
		e := w.esmeNamed(name)
		var failed error
		err := until("the state "+state, func() bool {
			if failed = e.do(&pdu.QuerySM{MessageID: e.id, Source: pdu.Address{TON: 5, Addr: "ACME"}}); failed != nil {
				return true
			}
			r, ok := e.response.(*pdu.QuerySMResp)
			return ok && r.MessageState.String() == state
		})
		return errors.Join(failed, err)
	})
	sc.Step(`^"(\w+)" cancels the message(?: of "(\w+)")?$`, func(name, other string) error {
		return w.esmeNamed(name).do(&pdu.CancelSM{MessageID: w.messageIDOf(name, other), Source: pdu.Address{TON: 5, Addr: "ACME"}})
	})
	sc.Step(`^"(\w+)" replaces the text of the message(?: of "(\w+)")? by "(.*)"$`, func(name, other, text string) error {
		p := &pdu.ReplaceSM{MessageID: w.messageIDOf(name, other), Source: pdu.Address{TON: 5, Addr: "ACME"}, RegisteredDelivery: 1, ShortMessage: []byte(expand(text))}
		if len(p.ShortMessage) > 254 {
			p.TLVs.Set(pdu.TagMessagePayload, p.ShortMessage)
			p.ShortMessage = nil
		}
		return w.esmeNamed(name).do(p)
	})
	sc.Step(`^of messages that "(\w+)" submits it gets what registered_delivery asks for:$`, w.registered)
	sc.Step(`^(\d+) ESMEs with (\d+) binds each submit (\d+) messages each and ask for receipts$`, w.manyESMEs)
	sc.Step(`^each of them gets the receipts of his own messages, once$`, w.ownReceipts)
}

// registered submits a message for each row and has the SMSC send receipts for it, each when what
// follows from the one before has come. What nobody asked for comes in the place of a later one.
func (w *World) registered(name string, t *godog.Table) error {
	list, err := rows(t)
	if err != nil {
		return err
	}
	s, err := w.which("")
	if err != nil {
		return err
	}
	e := w.esmeNamed(name)
	for _, row := range list {
		value := number(row["registered_delivery"])
		sm := &pdu.SubmitSM{Message: pdu.Message{Source: pdu.Address{TON: 5, Addr: "ACME"}, Dest: pdu.Address{TON: 1, NPI: 1, Addr: "06222172"},
			RegisteredDelivery: uint8(value), ShortMessage: []byte("hello")}}
		if err := e.do(sm); err != nil {
			return err
		}
		m, err := s.next(1)
		if err != nil {
			return err
		}
		if got := int(m[0].RegisteredDelivery); got != value {
			return fmt.Errorf("the SMSC got registered_delivery %d, want %d", got, value)
		}
		wanted := strings.Fields(row["foo gets"])
		for _, state := range strings.Fields(row["the SMSC says"]) {
			class := pdu.ESMTypeReceipt
			if state == "ENROUTE" {
				class = pdu.ESMTypeIntermediate
			}
			r := smscsim.MO{From: "06222172", FromTON: 1, FromNPI: 1, To: "ACME", ToTON: 5, ESMClass: uint8(class), Timeout: smscsim.Duration(patience),
				Text: "id:" + m[0].ID + " sub:001 dlvrd:001 submit date:2401020304 done date:2401020305 stat:" + state + " err:000 text:hello"}
			if err := s.inject(r); err != nil {
				return err
			}
			if len(wanted) == 0 || wanted[0] != state {
				continue
			}
			wanted = wanted[1:]
			if err := w.getsReceipt(name, state); err != nil {
				return fmt.Errorf("registered_delivery %d: %w", value, err)
			}
			if got := e.got.all()[e.receipts-1].ESMClass; got != class {
				return fmt.Errorf("registered_delivery %d: %s has esm_class %s", value, state, got)
			}
		}
		if len(wanted) > 0 {
			return fmt.Errorf("registered_delivery %d: the SMSC does not say %v", value, wanted)
		}
	}
	return nil
}

// inject has the SMSC send a deliver_sm, which is to be acknowledged.
func (s *smsc) inject(mo smscsim.MO) error {
	sim, err := s.simulator()
	if err != nil {
		return err
	}
	ctx, cancel := deadline()
	defer cancel()
	status, err := sim.InjectMO(ctx, mo)
	if err == nil && status != pdu.StatusOK {
		err = fmt.Errorf("the SMSC was answered %s", status)
	}
	return err
}

func (w *World) submits(name string, t *godog.Table) error {
	sm, err := messageOf(t)
	if err != nil {
		return err
	}
	w.want = string(sm.ShortMessage)
	return w.esmeNamed(name).do(sm)
}

// messageIDOf is the id of the last message of another ESME, or else of the ESME itself.
func (w *World) messageIDOf(name, other string) string {
	if other != "" {
		name = other
	}
	return w.esmeNamed(name).id
}

func (w *World) getsReceipt(name, state string) error {
	e := w.esmeNamed(name)
	if err := e.got.wait("a receipt", func(l []*pdu.DeliverSM) bool { return len(l) > e.receipts }); err != nil {
		return err
	}
	p := e.got.all()[e.receipts]
	e.receipts++
	r, err := receipt.Parse(&p.Message)
	if err != nil {
		return err
	}
	if r.ID != e.id || r.State != state {
		return fmt.Errorf("it says %s of %s, want %s of %s", r.State, r.ID, state, e.id)
	}
	return nil
}

// manyESMEs has ESMEs submit at once, each over all its binds in turn.
func (w *World) manyESMEs(esmes, binds, each int) error {
	w.crowd = nil
	for i := range esmes {
		name := fmt.Sprintf("esme%d", i+1)
		w.plan.user(name, "bar")
		w.crowd = append(w.crowd, w.esmeNamed(name))
	}
	if err := w.defaultsAndStart(); err != nil {
		return err
	}
	errs := make([]error, len(w.crowd))
	var wg sync.WaitGroup
	for i, e := range w.crowd {
		wg.Go(func() { errs[i] = e.submitMany(w.smppAddress(), binds, each) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (e *esme) submitMany(addr string, binds, each int) error {
	for range binds {
		if err := e.bind(addr, "transceiver", "bar"); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	type answer struct {
		id  string
		err error
	}
	answers := make(chan answer, each)
	for i := range each {
		sm := &pdu.SubmitSM{Message: pdu.Message{Source: pdu.Address{Addr: e.name}, Dest: pdu.Address{Addr: fmt.Sprintf("336%05d", i)}, RegisteredDelivery: 1, ShortMessage: []byte(e.name)}}
		err := e.sessions[i%binds].Send(ctx, sm, func(r smpp.Response, err error) {
			a := answer{err: err}
			if resp, ok := r.PDU.(*pdu.SubmitSMResp); ok && err == nil {
				a.id = resp.MessageID
			}
			answers <- a
		})
		if err != nil {
			return err
		}
	}
	for range each {
		a := <-answers
		if a.err != nil || a.id == "" {
			return fmt.Errorf("%s: a message was not accepted: %w", e.name, a.err)
		}
		e.ids = append(e.ids, a.id)
	}
	return nil
}

// ownReceipts waits for as many receipts as there are messages, and looks whose they are.
func (w *World) ownReceipts() error {
	var errs []error
	for _, e := range w.crowd {
		if err := e.got.wait("the receipts of "+e.name, func(l []*pdu.DeliverSM) bool { return len(l) >= len(e.ids) }); err != nil {
			return err
		}
		open := make(map[string]bool, len(e.ids))
		for _, id := range e.ids {
			open[id] = true
		}
		for _, p := range e.got.all() {
			r, err := receipt.Parse(&p.Message)
			switch {
			case err != nil:
				errs = append(errs, err)
			case !open[r.ID]:
				errs = append(errs, fmt.Errorf("%s got a receipt for %s, which is not his or came before", e.name, r.ID))
			case r.State != "DELIVRD" || !strings.EqualFold(p.Dest.Addr, e.name):
				errs = append(errs, fmt.Errorf("%s got a receipt that says %s to %s", e.name, r.State, p.Dest.Addr))
			}
			if r != nil {
				delete(open, r.ID)
			}
		}
	}
	return errors.Join(errs...)
}
