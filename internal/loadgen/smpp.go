package loadgen

import (
	"context"
	"errors"
	"sync"
	"time"

	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smpp/receipt"
	"jasmind/internal/smstext"
)

// submitter makes the submit_sm of units. It belongs to one goroutine.
type submitter struct {
	m     *maker
	pdu   pdu.SubmitSM // made anew for each unit
	text  []byte
	to    []byte
	n     uint64 // message whose parts are in list
	parts []smstext.Part
}

func newSubmitter(r *run) *submitter {
	s := &submitter{m: r.maker}
	s.pdu.Source = sourceAddress(r.cfg.From)
	s.pdu.DataCoding = r.cfg.coding()
	if r.cfg.Receipts {
		s.pdu.RegisteredDelivery = 1 // SMPP v3.4 §5.2.17: final receipt, success or failure
	}
	return s
}

// sourceAddress is a source with its type of number: international, short, or alphanumeric (SMPP v3.4 §5.2.5).
func sourceAddress(s string) pdu.Address {
	if s == "" {
		return pdu.Address{}
	}
	for _, c := range s {
		if c < '0' || c > '9' {
			return pdu.Address{TON: 5, Addr: s}
		}
	}
	return pdu.Address{TON: 1, NPI: 1, Addr: s}
}

// make fills s.pdu for a unit. It is valid until the next call.
func (s *submitter) make(u unit) error {
	if u.n != s.n || u.part >= len(s.parts) {
		s.to = s.m.to.append(s.to[:0])
		if u.whole != nil && u.whole.to != "" {
			s.to = append(s.to[:0], u.whole.to...) // a part is sent again: where the others went
		}
		var err error
		if s.text, err = s.m.octets(s.text[:0], u.n, string(s.to)); err != nil {
			return err
		}
		s.n, s.parts = u.n, s.parts[:0]
		if s.m.parts > 1 {
			o := s.m.split
			o.Reference = uint16(u.n)
			p, err := smstext.Split(s.text, s.m.coding, o)
			if err != nil {
				return err
			}
			s.parts = p.List
		} else {
			s.parts = append(s.parts, smstext.Part{UserData: s.text})
		}
		if u.whole != nil {
			u.whole.to = string(s.to)
		}
		s.pdu.Dest = pdu.Address{TON: 1, NPI: 1, Addr: string(s.to)}
	}
	if u.part >= len(s.parts) {
		return errors.New("the text has fewer parts than others")
	}
	p := s.parts[u.part]
	s.pdu.ShortMessage, s.pdu.ESMClass, s.pdu.TLVs = p.UserData, p.ESMClass, p.TLVs
	return nil
}

// bindPDU is the bind request of a run.
func (r *run) bindPDU() pdu.Bind {
	b := pdu.Bind{Type: pdu.Transmitter, SystemID: r.cfg.Username, Password: r.cfg.Password,
		SystemType: r.cfg.SystemType, InterfaceVersion: 0x34}
	if r.cfg.Bind == "trx" {
		b.Type = pdu.Transceiver
	}
	return b
}

// takeStatus judges a submit_sm_resp.
func takeStatus(l *sender, u unit, status pdu.Status, id string) {
	switch {
	case status == pdu.StatusOK && id != "":
		l.accepted(u, id)
	case status == pdu.StatusOK:
		l.refused(u, "ESME_ROK without a message_id", false)
	default:
		l.refused(u, status.String(), status == pdu.StatusMsgQFul || status == pdu.StatusThrottled)
	}
}

// deliver counts a deliver_sm.
func (r *run) deliver(m *pdu.Message) {
	b := r.tally.book
	if b == nil {
		return
	}
	rec, err := receipt.Parse(m)
	if err != nil {
		b.reported("", stageFinal, time.Now())
		return
	}
	st := stageFinal
	if !rec.Final && (rec.State == "ENROUTE" || rec.State == "SCHEDLD" || rec.State == "ACCEPTD") {
		st = stageIntermediate
	}
	b.reported(rec.ID, st, time.Now())
}

// nativeBind is a session of package smpp with a window.
func nativeBind(ctx context.Context, r *run, senders []*sender) error {
	n := &native{run: r, sender: senders[0], submit: newSubmitter(r), bind: r.bindPDU()}
	n.bind.SystemID = r.cfg.systemID(senders[0].index / r.cfg.Binds)
	if r.cfg.ESMEs > 0 {
		n.submit.pdu.Source = pdu.Address{TON: 5, Addr: n.bind.SystemID}
	}
	defer n.end()
	for {
		if err := n.ensure(ctx); err != nil {
			return err
		}
		u, ok := n.sender.next(ctx)
		if !ok {
			break
		}
		if err := n.ensure(ctx); err != nil {
			n.sender.giveBack(u)
			return err
		}
		n.send(ctx, u)
	}
	n.sender.close("the run was ended")
	return n.linger(ctx)
}

// native is the state of nativeBind.
type native struct {
	run     *run
	sender  *sender
	submit  *submitter
	bind    pdu.Bind
	session *smpp.Session // nil when there is none
	running sync.WaitGroup
}

// ensure binds if there is no session.
func (n *native) ensure(ctx context.Context) error {
	if n.session != nil {
		select {
		case <-n.session.Done():
			n.drop()
		default:
			return nil
		}
	}
	cfg := n.run.cfg
	return n.run.again("smpp", func(dialing context.Context) error {
		s, _, err := smpp.Dial(dialing, "tcp", cfg.Addr, smpp.DialConfig{TLS: cfg.TLS, Bind: n.bind, Config: smpp.Config{
			Window: cfg.Window, Response: cfg.Timeout, Handler: smpp.HandlerFunc(n.serve), InboundWindow: 10_000,
		}})
		if err != nil {
			return err
		}
		n.session = s
		n.running.Go(func() { s.Run(ctx) }) //nolint:errcheck // the requests in flight fail with the reason
		return nil
	})
}

// serve answers the SMSC.
func (n *native) serve(_ *smpp.Session, req *smpp.Request) {
	switch p := req.PDU.(type) {
	case *pdu.DeliverSM:
		// What an ESME submits has its system_id as the source, to which a receipt goes back.
		if n.run.cfg.ESMEs > 0 && p.Dest.Addr != n.bind.SystemID {
			n.run.misdirected.Add(1)
		}
		n.run.deliver(&p.Message)
		req.Respond(pdu.StatusOK, nil) //nolint:errcheck // the session is gone, then
	default:
		req.Respond(pdu.StatusInvCmdID, nil) //nolint:errcheck // the session is gone, then
	}
}

// send submits a unit; what comes of it is told to the sender.
func (n *native) send(ctx context.Context, u unit) {
	if err := n.submit.make(u); err != nil {
		n.sender.refused(u, "not sent: "+describe(err), false)
		return
	}
	err := n.session.Send(ctx, &n.submit.pdu, func(resp smpp.Response, err error) {
		switch {
		case err != nil:
			n.sender.lost(u, describe(err))
		default:
			id := ""
			if p, ok := resp.PDU.(*pdu.SubmitSMResp); ok {
				id = p.MessageID
			}
			takeStatus(n.sender, u, resp.Header.Status, id)
		}
	})
	var field *pdu.FieldError
	switch {
	case err == nil:
	case errors.As(err, &field):
		n.sender.refused(u, "not sent: "+describe(err), false)
	default: // nothing was sent
		n.sender.giveBack(u)
		if errors.Is(err, smpp.ErrSessionClosed) { // the session may still answer the SMSC's unbind
			select {
			case <-n.session.Done():
			case <-ctx.Done():
			}
		}
		n.session.Close(err) // the next one finds it ended
	}
}

// linger keeps the session for receipts until the run is over.
func (n *native) linger(ctx context.Context) error {
	for n.run.cfg.Receipts {
		var done <-chan struct{}
		if n.session != nil {
			done = n.session.Done()
		}
		select {
		case <-n.run.release:
			return nil
		case <-ctx.Done():
			return nil
		case <-done:
			if err := n.ensure(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// end unbinds.
func (n *native) end() {
	if n.session != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(n.run.hard), n.run.cfg.Grace)
		n.session.Shutdown(ctx) //nolint:errcheck // nothing depends on it any more
		cancel()
		n.drop()
	}
}

// drop waits for the end of a session that has ended or is about to.
func (n *native) drop() {
	n.session.Close(nil)
	n.running.Wait()
	n.session = nil
}
