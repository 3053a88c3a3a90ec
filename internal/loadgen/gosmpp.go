package loadgen

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	gosmpp "github.com/fiorix/go-smpp/smpp"
	gopdu "github.com/fiorix/go-smpp/smpp/pdu"
	"github.com/fiorix/go-smpp/smpp/pdu/pdufield"
	"github.com/fiorix/go-smpp/smpp/pdu/pdutext"
	"github.com/fiorix/go-smpp/smpp/pdu/pdutlv"

	"jasmind/internal/smpp/pdu"
)

// goText is user data that is encoded already.
type goText struct {
	octets []byte
	coding uint8
}

func (t goText) Type() pdutext.DataCoding { return pdutext.DataCoding(t.coding) }
func (t goText) Encode() []byte           { return t.octets }
func (t goText) Decode() []byte           { return t.octets }

// goClient is what Transmitter and Transceiver of go-smpp have in common.
type goClient interface {
	Bind() <-chan gosmpp.ConnStatus
	Close() error
	Submit(*gosmpp.ShortMessage) (*gosmpp.ShortMessage, error)
}

// goSMPPBind is a session of github.com/fiorix/go-smpp. Each place in the window is a goroutine with a sender of
// its own, since Submit waits for its response. Reconnecting is left to the library.
func goSMPPBind(ctx context.Context, r *run, senders []*sender) error {
	g := &goSession{run: r}
	g.client = g.newClient()
	status := g.client.Bind()
	closing := func() { g.client.Close() }  //nolint:errcheck // it says nil or not connected
	defer context.AfterFunc(ctx, closing)() // it ends the waiting Submits
	defer closing()
	if err := g.bound(status); err != nil {
		return err
	}
	following, unfollow := context.WithCancel(ctx)
	var follower sync.WaitGroup
	defer follower.Wait()
	defer unfollow()
	follower.Go(func() { g.follow(following, status) })

	var sending sync.WaitGroup
	for _, l := range senders {
		sending.Go(func() {
			s := newSubmitter(r)
			for {
				u, ok := l.next(ctx)
				if !ok {
					break
				}
				g.submit(l, s, u)
			}
			l.close("the run was ended")
		})
	}
	sending.Wait()
	if r.cfg.Receipts {
		select {
		case <-r.release:
		case <-ctx.Done():
		}
	}
	return nil
}

// goSession is the state of goSMPPBind.
type goSession struct {
	run    *run
	client goClient
}

func (g *goSession) newClient() goClient {
	c := g.run.cfg
	if c.TLS != nil && c.TLS.ServerName == "" { // the library wants it
		c.TLS = c.TLS.Clone()
		c.TLS.ServerName, _, _ = net.SplitHostPort(c.Addr) //nolint:errcheck // Validate has looked at it
	}
	if c.Bind == "trx" {
		return &gosmpp.Transceiver{Addr: c.Addr, User: c.Username, Passwd: c.Password, SystemType: c.SystemType,
			RespTimeout: c.Timeout, TLS: c.TLS, WindowSize: uint(c.Window), BindInterval: time.Second, Handler: g.handle}
	}
	return &gosmpp.Transmitter{Addr: c.Addr, User: c.Username, Passwd: c.Password, SystemType: c.SystemType,
		RespTimeout: c.Timeout, TLS: c.TLS, WindowSize: uint(c.Window), BindInterval: time.Second}
}

// bound waits for the first bind.
func (g *goSession) bound(status <-chan gosmpp.ConnStatus) error {
	t := time.NewTimer(g.run.cfg.Timeout)
	defer t.Stop()
	select {
	case st := <-status:
		if st.Status() == gosmpp.Connected {
			g.run.tally.connects.Add(1)
			return nil
		}
		g.run.tally.connecting.add(describe(st.Error()))
		return fmt.Errorf("smpp: bind to %s: %w", g.run.cfg.Addr, st.Error())
	case <-t.C:
		return fmt.Errorf("smpp: bind to %s: no answer within %s", g.run.cfg.Addr, g.run.cfg.Timeout)
	case <-g.run.soft.Done():
		return errStopped
	}
}

// follow counts what becomes of the connection. It does not wait for status to be closed, which
// the library does not always do.
func (g *goSession) follow(ctx context.Context, status <-chan gosmpp.ConnStatus) {
	for {
		select {
		case <-ctx.Done():
			return
		case st, ok := <-status:
			switch {
			case !ok:
				return
			case st.Status() == gosmpp.Connected:
				g.run.tally.connects.Add(1)
			case st.Error() != nil && !g.run.stopped():
				g.run.tally.connecting.add(describe(st.Error()))
			}
		}
	}
}

// submit sends a unit and waits for its answer.
func (g *goSession) submit(l *sender, s *submitter, u unit) {
	if err := s.make(u); err != nil {
		l.refused(u, "not sent: "+describe(err), false)
		return
	}
	p := &s.pdu
	sm := &gosmpp.ShortMessage{
		Src: p.Source.Addr, SourceAddrTON: p.Source.TON, SourceAddrNPI: p.Source.NPI,
		Dst: p.Dest.Addr, DestAddrTON: p.Dest.TON, DestAddrNPI: p.Dest.NPI,
		Text: goText{p.ShortMessage, uint8(p.DataCoding)}, ESMClass: uint8(p.ESMClass),
		Register: pdufield.DeliverySetting(p.RegisteredDelivery),
	}
	if len(p.TLVs) > 0 {
		sm.TLVFields = pdutlv.Fields{}
		for _, t := range p.TLVs {
			sm.TLVFields[pdutlv.Tag(t.Tag)] = t.Value
		}
	}
	_, err := g.client.Submit(sm)
	var refusal gopdu.Status
	switch {
	case err == nil:
		takeStatus(l, u, pdu.StatusOK, sm.RespID())
	case errors.As(err, &refusal):
		takeStatus(l, u, pdu.Status(refusal), "")
	case errors.Is(err, gosmpp.ErrNotConnected), errors.Is(err, gosmpp.ErrNotBound):
		// The library does not tell whether it was written before.
		l.lost(u, "go-smpp: "+describe(err))
		sleep(g.run.soft, 100*time.Millisecond) // it connects again by itself
	default:
		l.lost(u, "go-smpp: "+describe(err))
	}
}

// handle takes what the SMSC sends; go-smpp answers it.
func (g *goSession) handle(p gopdu.Body) {
	if p.Header().ID != gopdu.DeliverSMID {
		return
	}
	f := p.Fields()
	m := &pdu.Message{}
	if v := f[pdufield.ESMClass]; v != nil && len(v.Bytes()) > 0 {
		m.ESMClass = pdu.ESMClass(v.Bytes()[0])
	}
	if v := f[pdufield.ShortMessage]; v != nil {
		m.ShortMessage = v.Bytes()
	}
	for tag, v := range p.TLVFields() {
		m.TLVs.Add(pdu.Tag(tag), v.Bytes())
	}
	g.run.deliver(m)
}
