package steps

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/cucumber/godog"
	gosmpp "github.com/fiorix/go-smpp/smpp/pdu"
	"github.com/fiorix/go-smpp/smpp/pdu/pdufield"
	"github.com/fiorix/go-smpp/smpp/pdu/pdutext"
	"github.com/fiorix/go-smpp/smpp/smpptest"
	linxdata "github.com/linxGnu/gosmpp/data"
	linx "github.com/linxGnu/gosmpp/pdu"
)

// alien is an SMSC that shares no line with ours: each is made of another SMPP stack. It
// answers submit_sm and delivers a receipt for it.
type alien interface {
	address() string
	received() *record[string] // texts
	confirmed() *record[uint32]
	lastID() string
	close()
}

// The account of the SMSCs that are made of other stacks.
const (
	alienUser     = "client"
	alienPassword = "secret"
)

// foreign are the SMSCs of a scenario that are not ours: one that is made of another SMPP stack, and
// one that sends odd octets.
type foreign struct {
	connectors *connectors
	alien      alien    // nil: none
	raw        *rawSMSC // nil: none
}

func (f *foreign) close() {
	if f.alien != nil {
		f.alien.close()
	}
	if f.raw != nil {
		f.raw.close()
	}
}

func (f *foreign) steps(sc *godog.ScenarioContext) {
	sc.Step(`^an SMSC made of (go-smpp|gosmpp)$`, func(stack string) (err error) {
		if stack == "go-smpp" {
			f.alien = newGoSMPP()
		} else if f.alien, err = newLinxGnu(); err != nil {
			return err
		}
		f.connectors.addTo("abc", f.alien.address(), alienUser, alienPassword)
		return nil
	})
	sc.Step(`^that SMSC gets "(.*)"$`, func(want string) error {
		texts := f.alien.received()
		if err := texts.wait("a message at the SMSC", func(l []string) bool { return len(l) > 0 }); err != nil {
			return err
		}
		if l := texts.all(); len(l) != 1 || l[0] != want {
			return fmt.Errorf("it got %q", l)
		}
		return nil
	})
	sc.Step(`^its receipt is answered ESME_ROK$`, func() error {
		answers := f.alien.confirmed()
		if err := answers.wait("the answer to the receipt", func(l []uint32) bool { return len(l) > 0 }); err != nil {
			return err
		}
		if l := answers.all(); l[0] != 0 {
			return fmt.Errorf("it was answered %#x", l)
		}
		return nil
	})
}

// alienBase is what both have in common.
type alienBase struct {
	texts   record[string]
	answers record[uint32] // command_status of deliver_sm_resp

	mu sync.Mutex
	id string
	n  int
}

func (b *alienBase) received() *record[string] { return &b.texts }

func (b *alienBase) confirmed() *record[uint32] { return &b.answers }

func (b *alienBase) lastID() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.id
}

// take notes a message and gives it an id.
func (b *alienBase) take(text string) string {
	b.mu.Lock()
	b.n++
	b.id = fmt.Sprintf("alien-%d", b.n)
	id := b.id
	b.mu.Unlock()
	b.texts.add(text)
	return id
}

// receiptText is a receipt as SMPP v3.4 Appendix B has it.
func receiptText(id, text string) string {
	now := time.Now().Format("0601021504")
	return fmt.Sprintf("id:%s sub:001 dlvrd:001 submit date:%s done date:%s stat:DELIVRD err:000 text:%s", id, now, now, text)
}

// esmReceipt is the esm_class of a receipt (SMPP v3.4 §5.2.12).
const esmReceipt = 0x04

// goSMPP is an SMSC of github.com/fiorix/go-smpp. All it writes comes from its read loop,
// since its connections may not be written to by two goroutines.
type goSMPP struct {
	alienBase
	server *smpptest.Server
}

func newGoSMPP() *goSMPP {
	s := &goSMPP{server: smpptest.NewUnstartedServer()}
	s.server.User, s.server.Passwd = alienUser, alienPassword
	s.server.Handler = s.handle
	s.server.Start()
	return s
}

func (s *goSMPP) address() string { return s.server.Addr() }

func (s *goSMPP) close() { s.server.Close() }

func (s *goSMPP) handle(c smpptest.Conn, p gosmpp.Body) {
	var resp gosmpp.Body
	var then gosmpp.Body
	switch p.Header().ID {
	case gosmpp.SubmitSMID:
		f := p.Fields()
		text := f[pdufield.ShortMessage].String()
		id := s.take(text)
		resp = gosmpp.NewSubmitSMResp()
		if err := resp.Fields().Set(pdufield.MessageID, id); err != nil {
			return
		}
		then = s.receipt(f, id, text)
	case gosmpp.DeliverSMRespID:
		s.answers.add(uint32(p.Header().Status))
		return
	case gosmpp.EnquireLinkID:
		resp = gosmpp.NewEnquireLinkResp()
	case gosmpp.UnbindID:
		resp = gosmpp.NewUnbindResp()
	default:
		return
	}
	resp.Header().Seq = p.Header().Seq
	if c.Write(resp) != nil || then == nil {
		return
	}
	c.Write(then) //nolint:errcheck // the step that waits for the receipt tells
}

// receipt makes a deliver_sm of a submit_sm, since the library's own has a stray octet.
func (s *goSMPP) receipt(f pdufield.Map, id, text string) gosmpp.Body {
	p := gosmpp.NewSubmitSM(nil)
	p.Header().ID = gosmpp.DeliverSMID
	for name, v := range map[pdufield.Name]any{
		pdufield.SourceAddr: f[pdufield.DestinationAddr].String(), pdufield.DestinationAddr: f[pdufield.SourceAddr].String(),
		pdufield.ESMClass: uint8(esmReceipt), pdufield.ShortMessage: pdutext.Raw(receiptText(id, text)),
	} {
		if err := p.Fields().Set(name, v); err != nil {
			return nil
		}
	}
	return p
}

// linxGnu is an SMSC of the PDUs of github.com/linxGnu/gosmpp.
type linxGnu struct {
	alienBase
	listener net.Listener
	wg       sync.WaitGroup
}

func newLinxGnu() (*linxGnu, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &linxGnu{listener: l}
	s.wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.wg.Go(func() { s.serve(conn) })
		}
	})
	return s, nil
}

func (s *linxGnu) address() string { return s.listener.Addr().String() }

// close ends it. The gateway, which has stopped before, has closed the connections.
func (s *linxGnu) close() {
	s.listener.Close() //nolint:errcheck // it ends
	s.wg.Wait()
}

func (s *linxGnu) serve(conn net.Conn) {
	defer conn.Close() //nolint:errcheck // the peer has gone
	write := func(p linx.PDU) error {
		b := linx.NewBuffer(nil)
		p.Marshal(b)
		_, err := conn.Write(b.Bytes())
		return err
	}
	for {
		p, err := linx.Parse(conn)
		if err != nil {
			return
		}
		var list []linx.PDU
		switch q := p.(type) {
		case *linx.BindRequest:
			resp := q.GetResponse().(*linx.BindResp)
			resp.SystemID = "gosmpp"
			if q.SystemID != alienUser || q.Password != alienPassword {
				resp.CommandStatus = linxdata.ESME_RINVPASWD
			}
			list = []linx.PDU{resp}
		case *linx.SubmitSM:
			if list, err = s.submitted(q); err != nil {
				return
			}
		case *linx.DeliverSMResp:
			s.answers.add(uint32(q.CommandStatus))
		case *linx.EnquireLink, *linx.Unbind:
			list = []linx.PDU{q.GetResponse()}
		}
		for _, p := range list {
			if write(p) != nil {
				return
			}
		}
		if _, leaving := p.(*linx.Unbind); leaving {
			return
		}
	}
}

// submitted gives the answer to a submit_sm and its receipt.
func (s *linxGnu) submitted(q *linx.SubmitSM) ([]linx.PDU, error) {
	raw, err := q.Message.GetMessageData()
	if err != nil {
		return nil, err
	}
	id := s.take(string(raw))
	resp, ok := q.GetResponse().(*linx.SubmitSMResp)
	if !ok {
		return nil, errors.New("no submit_sm_resp")
	}
	resp.MessageID = id
	receipt := linx.NewDeliverSM().(*linx.DeliverSM)
	receipt.SourceAddr, receipt.DestAddr, receipt.EsmClass = q.DestAddr, q.SourceAddr, esmReceipt
	// Octets, since its default alphabet is packed to septets.
	receipt.Message, err = linx.NewBinaryShortMessageWithEncoding([]byte(receiptText(id, string(raw))), linxdata.ASCII)
	return []linx.PDU{resp, receipt}, err
}
