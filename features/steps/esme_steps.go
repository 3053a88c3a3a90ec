package steps

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cucumber/godog"

	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smpp/receipt"
	"jasmind/internal/smscsim"
)

// esmes are the customers' programs that bind at the SMPP server.
type esmes struct {
	gateway  *underTest
	smscs    *smscs
	messages *messages
	byName   map[string]*esme
	crowd    []*esme // those that submit at once
	customer *esme   // whom the sentences about the customer mean; nil: nobody
}

// esme is a customer's program with sessions on the SMPP server.
type esme struct {
	name     string
	sessions []*smpp.Session
	ran      sync.WaitGroup
	came            // what came since it was bound last, or first
	status   string // of its last request
	response pdu.PDU
	id       string   // of its last message
	ids      []string // of all

	mu     sync.Mutex // guards answer
	answer pdu.Status // to what comes
}

// came is what came to an ESME.
type came struct {
	got      record[pdu.PDU] // what it acknowledged
	refused  record[pdu.PDU]
	receipts int // of those that it got, sentences have looked at so many
	seen     int // the same of messages
}

// password is that of users whom no sentence gives another one.
const password = "bar"

// named is an ESME; its system_id is a user's.
func (c *esmes) named(name string) *esme {
	if c.byName[name] == nil {
		if c.byName == nil {
			c.byName = make(map[string]*esme)
		}
		c.byName[name] = &esme{name: name}
	}
	return c.byName[name]
}

// bound is an ESME that is bound.
func (c *esmes) bound(name string) (*esme, error) {
	if e := c.named(name); len(e.sessions) > 0 {
		return e, nil
	}
	return nil, fmt.Errorf("the ESME %q is not bound", name)
}

// address is where the SMPP server listens.
func (c *esmes) address() string {
	if c.gateway.run == nil {
		return ""
	}
	return c.gateway.run.address("smpp-server")
}

func (c *esmes) close() {
	for _, e := range c.byName {
		e.close()
	}
}

var bindTypes = map[string]pdu.BindType{"transmitter": pdu.Transmitter, "receiver": pdu.Receiver, "transceiver": pdu.Transceiver}

// bind adds a session. Its error may be a *smpp.StatusError.
func (e *esme) bind(addr, kind, password string) error {
	ctx, cancel := deadline()
	defer cancel()
	s, _, err := smpp.Dial(ctx, "tcp", addr, smpp.DialConfig{
		Bind:   pdu.Bind{Type: bindTypes[kind], SystemID: e.name, Password: password, InterfaceVersion: 0x34},
		Config: smpp.Config{Window: 200, SessionInit: patience, Response: patience, Handler: e},
	})
	if err != nil {
		return err
	}
	e.sessions = append(e.sessions, s)
	e.ran.Go(func() { s.Run(context.Background()) }) //nolint:errcheck // however it ends
	return nil
}

// ServeSMPP notes what comes and acknowledges it, or refuses it.
func (e *esme) ServeSMPP(_ *smpp.Session, r *smpp.Request) {
	e.mu.Lock()
	status := e.answer
	e.mu.Unlock()
	if status == pdu.StatusOK {
		e.got.add(r.PDU)
	} else {
		e.refused.add(r.PDU)
	}
	r.Respond(status, nil) //nolint:errcheck // a session that is gone is delivered to again
}

func (e *esme) close() {
	for _, s := range e.sessions {
		s.Close(nil)
	}
	e.ran.Wait()
	e.sessions = nil
}

// ended waits until all its sessions have.
func (e *esme) ended() error {
	ctx, cancel := deadline()
	defer cancel()
	for _, s := range e.sessions {
		select {
		case <-s.Done():
		case <-ctx.Done():
			return errors.New("a session goes on")
		}
	}
	return nil
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

func (c *esmes) steps(sc *godog.ScenarioContext) {
	sc.Step(`^"(\w+)" binds as (transmitter|receiver|transceiver)$`, func(name, kind string) error {
		return c.named(name).bind(c.address(), kind, password)
	})
	sc.Step(`^"(\w+)" binding as (transmitter|receiver|transceiver) with password "([^"]+)" is answered (\w+)$`, func(name, kind, password, want string) error {
		err := c.named(name).bind(c.address(), kind, password)
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
	sc.Step(`^the ESME "(\w+)" binds$`, c.rebind)
	sc.Step(`^the ESME "(\w+)" gets, in this order:$`, c.gets)
	sc.Step(`^the ESME "(\w+)" answers (ESME_\w+) to what it gets$`, func(name, status string) error {
		s, ok := pdu.ParseStatus(status)
		if !ok {
			return fmt.Errorf("%s is no status", status)
		}
		e := c.named(name)
		e.mu.Lock()
		defer e.mu.Unlock()
		e.answer = s
		return nil
	})
	sc.Step(`^the ESME "(\w+)" refused (\d+) messages?$`, func(name string, n int) error {
		e, err := c.bound(name)
		if err != nil {
			return err
		}
		if got := len(e.refused.all()); got != n {
			return fmt.Errorf("it refused %d", got)
		}
		return nil
	})
	sc.Step(`^every session of "(\w+)" has ended$`, func(name string) error {
		return c.named(name).ended()
	})
	sc.Step(`^"(\w+)" submits a message$`, func(name string) error { return c.submits(name, nil) })
	sc.Step(`^"(\w+)" submits a message with:$`, c.submits)
	sc.Step(`^"(\w+)" is answered (ESME_\w+)$`, func(name, status string) error { return c.named(name).was(status) })
	sc.Step(`^"(\w+)" gets a receipt for it that says (\w+)$`, c.getsReceipt)
	sc.Step(`^"(\w+)" has no other receipt$`, func(name string) error {
		e := c.named(name)
		if n := len(e.got.all()); n != e.receipts {
			return fmt.Errorf("it has %d deliver_sm, %d were looked at", n, e.receipts)
		}
		return nil
	})
	sc.Step(`^"(\w+)" queries the message(?: of "(\w+)")?$`, func(name, other string) error {
		return c.named(name).do(&pdu.QuerySM{MessageID: c.messageIDOf(name, other), Source: pdu.Address{TON: 5, Addr: "ACME"}})
	})
	sc.Step(`^the state of the message of "(\w+)" becomes (\w+)$`, func(name, state string) error {
		e := c.named(name)
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
		return c.named(name).do(&pdu.CancelSM{MessageID: c.messageIDOf(name, other), Source: pdu.Address{TON: 5, Addr: "ACME"}})
	})
	sc.Step(`^"(\w+)" replaces the text of the message(?: of "(\w+)")? by "(.*)"$`, func(name, other, text string) error {
		p := &pdu.ReplaceSM{MessageID: c.messageIDOf(name, other), Source: pdu.Address{TON: 5, Addr: "ACME"}, RegisteredDelivery: 1, ShortMessage: []byte(expand(text))}
		if len(p.ShortMessage) > 254 {
			p.TLVs.Set(pdu.TagMessagePayload, p.ShortMessage)
			p.ShortMessage = nil
		}
		return c.named(name).do(p)
	})
	sc.Step(`^of messages that "(\w+)" submits it gets what registered_delivery asks for:$`, c.registered)
	sc.Step(`^(\d+) ESMEs with (\d+) binds each submit (\d+) messages each and ask for receipts$`, c.manyESMEs)
	sc.Step(`^each of them gets the receipts of his own messages, once$`, c.ownReceipts)
}

// registered submits a message for each row and has the SMSC send receipts for it, each when what
// follows from the one before has come. What nobody asked for comes in the place of a later one.
func (c *esmes) registered(name string, t *godog.Table) error {
	list, err := rows(t)
	if err != nil {
		return err
	}
	s, err := c.smscs.which("")
	if err != nil {
		return err
	}
	e := c.named(name)
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
			if err := c.getsReceipt(name, state); err != nil {
				return fmt.Errorf("registered_delivery %d: %w", value, err)
			}
			p, ok := e.got.all()[e.receipts-1].(*pdu.DeliverSM)
			if !ok || p.ESMClass != class {
				return fmt.Errorf("registered_delivery %d: %s came as %+v", value, state, p)
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

func (c *esmes) submits(name string, t *godog.Table) error {
	sm, err := messageOf(t)
	if err != nil {
		return err
	}
	c.messages.want = string(sm.ShortMessage)
	return c.named(name).do(sm)
}

// messageIDOf is the id of the last message of another ESME, or else of the ESME itself.
func (c *esmes) messageIDOf(name, other string) string {
	if other != "" {
		name = other
	}
	return c.named(name).id
}

func (c *esmes) getsReceipt(name, state string) error {
	e := c.named(name)
	if err := e.got.wait("a receipt", func(l []pdu.PDU) bool { return len(l) > e.receipts }); err != nil {
		return err
	}
	p := e.got.all()[e.receipts]
	e.receipts++
	r, _, err := receiptOf(p)
	if err != nil {
		return err
	}
	if r.ID != e.id || r.State != state {
		return fmt.Errorf("it says %s of %s, want %s of %s", r.State, r.ID, state, e.id)
	}
	return nil
}

// receiptOf reads a receipt that came to an ESME, and whom it is for.
func receiptOf(p pdu.PDU) (r *receipt.Receipt, to string, err error) {
	d, ok := p.(*pdu.DeliverSM)
	if !ok {
		return nil, "", fmt.Errorf("it got a %s", p.CommandID())
	}
	r, err = receipt.Parse(&d.Message)
	return r, d.Dest.Addr, err
}

// manyESMEs has ESMEs submit at once, each over all its binds in turn.
func (c *esmes) manyESMEs(esmes, binds, each int) error {
	c.crowd = nil
	for i := range esmes {
		name := fmt.Sprintf("esme%d", i+1)
		c.gateway.plan.user(name, password)
		c.crowd = append(c.crowd, c.named(name))
	}
	if err := c.gateway.defaultsAndStart(); err != nil {
		return err
	}
	errs := make([]error, len(c.crowd))
	var wg sync.WaitGroup
	for i, e := range c.crowd {
		wg.Go(func() { errs[i] = e.submitMany(c.address(), binds, each) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (e *esme) submitMany(addr string, binds, each int) error {
	for range binds {
		if err := e.bind(addr, "transceiver", password); err != nil {
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
func (c *esmes) ownReceipts() error {
	var errs []error
	for _, e := range c.crowd {
		if err := e.got.wait("the receipts of "+e.name, func(l []pdu.PDU) bool { return len(l) >= len(e.ids) }); err != nil {
			return err
		}
		open := make(map[string]bool, len(e.ids))
		for _, id := range e.ids {
			open[id] = true
		}
		for _, p := range e.got.all() {
			r, to, err := receiptOf(p)
			switch {
			case err != nil:
				errs = append(errs, err)
			case !open[r.ID]:
				errs = append(errs, fmt.Errorf("%s got a receipt for %s, which is not his or came before", e.name, r.ID))
			case r.State != "DELIVRD" || !strings.EqualFold(to, e.name):
				errs = append(errs, fmt.Errorf("%s got a receipt that says %s to %s", e.name, r.State, to))
			}
			if r != nil {
				delete(open, r.ID)
			}
		}
	}
	return errors.Join(errs...)
}

// rebind binds an ESME as a receiver, after its sessions have ended; what came before does not count any more.
func (c *esmes) rebind(name string) error {
	if err := c.gateway.running(); err != nil {
		return err
	}
	e := c.named(name)
	e.close()
	e.came = came{}
	password := ""
	for _, u := range c.gateway.plan.users {
		if u.name == name {
			password = u.password
		}
	}
	return e.bind(c.address(), "receiver", password)
}

// gets compares what an ESME got with a table whose columns are pdu, from, to, text and esm_class.
func (c *esmes) gets(name string, t *godog.Table) error {
	want, err := rows(t)
	if err != nil {
		return err
	}
	r, err := c.bound(name)
	if err != nil {
		return err
	}
	if err := r.got.wait(fmt.Sprintf("%d messages of the ESME %q", len(want), name), func(p []pdu.PDU) bool { return len(p) >= r.seen+len(want) }); err != nil {
		return err
	}
	got := r.got.all()[r.seen:]
	r.seen += len(got)
	if len(got) != len(want) {
		return fmt.Errorf("the ESME %q got %d messages: %+v", name, len(got), got)
	}
	for i, p := range got {
		is := map[string]string{"pdu": p.CommandID().String()}
		switch q := p.(type) {
		case *pdu.DeliverSM:
			is["from"], is["to"], is["esm_class"], is["text"] = q.Source.Addr, q.Dest.Addr, strconv.Itoa(int(q.ESMClass)), strconv.Quote(string(q.ShortMessage))
		case *pdu.DataSM:
			payload, _ := q.TLVs.Get(pdu.TagMessagePayload)
			is["from"], is["to"], is["esm_class"], is["text"] = q.Source.Addr, q.Dest.Addr, strconv.Itoa(int(q.ESMClass)), strconv.Quote(string(payload))
		}
		for column, value := range want[i] {
			if column == "text" {
				value = strings.Replace(strconv.Quote(expand(value)), `\\`, `\`, -1)
			}
			if value != is[column] {
				return fmt.Errorf("message %d of the ESME %q: %s is %s, want %s", i+1, name, column, is[column], value)
			}
		}
	}
	return nil
}

func (c *esmes) customerSteps(sc *godog.ScenarioContext) {
	sc.Step(`^the customer "(\w+)" is bound$`, func(name string) error { return c.bindCustomer(name, password) })
	sc.Step(`^the customer "(\w+)" is bound with password "(\w+)"$`, c.bindCustomer)
	sc.Step(`^the customer's session has ended$`, func() error {
		if c.customer == nil {
			return errors.New("he was not bound")
		}
		return c.customer.ended()
	})
	sc.Step(`^the customer "(\w+)" cannot bind any more$`, func(name string) error { return c.cannotBind(name, password) })
	sc.Step(`^the customer "(\w+)" cannot bind with password "(\w+)"$`, c.cannotBind)
}

// bindCustomer binds an ESME, in place of the customer before.
func (c *esmes) bindCustomer(name, password string) error {
	if err := c.gateway.running(); err != nil {
		return err
	}
	if c.customer != nil {
		c.customer.close()
		c.customer = nil
	}
	e := c.named(name)
	if err := e.bind(c.address(), "transceiver", password); err != nil {
		return err
	}
	c.customer = e
	return nil
}

func (c *esmes) cannotBind(name, password string) error {
	err := c.bindCustomer(name, password)
	var refusal *smpp.StatusError
	if errors.As(err, &refusal) {
		return nil
	}
	if err == nil {
		return errors.New("the bind was accepted")
	}
	return err
}

// rawSession is a session of an ESME that sends what it likes.
type rawSession struct {
	conn net.Conn
	r    *bufio.Reader
}

// raw binds as a transceiver.
func (e *esme) raw(addr string) (*rawSession, error) {
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return nil, err
	}
	s := &rawSession{conn, bufio.NewReader(conn)}
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	if err := s.send(1, &pdu.Bind{Type: pdu.Transceiver, SystemID: e.name, Password: password, InterfaceVersion: 0x34}); err != nil {
		return nil, err
	}
	if h, err := s.next(); err != nil || h.Status != pdu.StatusOK {
		return nil, fmt.Errorf("bind: %v: %w", h.Status, err)
	}
	return s, nil
}

func (s *rawSession) send(seq uint32, p pdu.PDU) error {
	frame, err := pdu.Append(nil, pdu.StatusOK, seq, p)
	if err == nil {
		_, err = s.conn.Write(frame)
	}
	return err
}

// next reads one PDU.
func (s *rawSession) next() (pdu.Header, error) {
	frame, err := pdu.ReadFrame(s.r, nil, pdu.DefaultMaxLength)
	if err != nil {
		return pdu.Header{}, err
	}
	return pdu.DecodeHeader(frame)
}

// marker is the sequence_number of the enquire_link that follows the odd octets.
const marker = 0x00ABCDEF

// provoke sends odd octets and an enquire_link, and gives what else is answered: so many answers, or all that
// came before the answer to enquire_link, if that are more.
func (s *rawSession) provoke(octets []byte, want int) (answers []string, ended bool, err error) {
	if _, err := s.conn.Write(octets); err != nil {
		return nil, false, err
	}
	asked := s.send(marker, &pdu.EnquireLink{}) // fails when the session has ended already
	marked := false
	for !marked || len(answers) < want {
		h, err := s.next()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return answers, false, fmt.Errorf("neither an answer nor an end; so far %q: %w", answers, err)
		case err != nil:
			return answers, true, nil
		case h.ID == pdu.CmdEnquireLinkResp && h.Sequence == marker:
			marked = true
			continue
		}
		answers = append(answers, h.ID.String()+" "+h.Status.String())
	}
	return answers, false, asked
}
