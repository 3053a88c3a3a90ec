package smpp_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smpp/smpptest"
)

func TestOutbind(t *testing.T) {
	type outcome struct {
		out *pdu.Outbind
		err error
	}
	await := func(t *testing.T, f func(t *testing.T, s *smpp.Session, p *smpptest.Peer, done chan outcome)) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			ours, theirs := smpptest.Pipe()
			p := smpptest.NewPeer(t, theirs)
			s := smpp.NewSession(ours, smpp.ESME, smpp.Config{})
			done := make(chan outcome, 1)
			go func() {
				out, err := s.AwaitOutbind(context.Background())
				done <- outcome{out, err}
			}()
			f(t, s, p, done)
			s.Close(nil)
		})
	}
	t.Run("leads to a bind on the same connection", func(t *testing.T) {
		await(t, func(t *testing.T, s *smpp.Session, p *smpptest.Peer, done chan outcome) {
			seq := p.Send(&pdu.EnquireLink{})
			p.ExpectHeader(pdu.CmdEnquireLinkResp, pdu.StatusOK, seq)
			p.Send(&pdu.Outbind{SystemID: "smsc", Password: "pw"})
			o := <-done
			if o.err != nil || *o.out != (pdu.Outbind{SystemID: "smsc", Password: "pw"}) {
				t.Fatalf("got %+v, %v", o.out, o.err)
			}
			bound := make(chan error, 1)
			go func() {
				_, err := s.Bind(context.Background(), &pdu.Bind{Type: pdu.Receiver, SystemID: "foo"})
				bound <- err
			}()
			p.AcceptBind()
			if err := <-bound; err != nil || s.State() != smpp.BoundRX {
				t.Errorf("bind: %v, state %s", err, s.State())
			}
		})
	})
	t.Run("a request before it is refused and waited past", func(t *testing.T) {
		await(t, func(t *testing.T, s *smpp.Session, p *smpptest.Peer, done chan outcome) {
			seq := p.Send(deliver("early"))
			p.ExpectHeader(pdu.CmdDeliverSMResp, pdu.StatusInvBndSts, seq)
			p.Send(&pdu.Outbind{SystemID: "smsc"})
			if o := <-done; o.err != nil {
				t.Error(o.err)
			}
		})
	})
	t.Run("that does not come ends the wait after the session init time", func(t *testing.T) {
		await(t, func(t *testing.T, _ *smpp.Session, _ *smpptest.Peer, done chan outcome) {
			start := time.Now()
			o := <-done
			wantErr(t, "AwaitOutbind", o.err, smpp.ErrBindTimeout)
			since(t, start, 30*time.Second)
		})
	})
	t.Run("of a peer that hangs up is an error", func(t *testing.T) {
		await(t, func(t *testing.T, _ *smpp.Session, p *smpptest.Peer, done chan outcome) {
			p.Close()
			o := <-done
			wantErr(t, "AwaitOutbind", o.err, smpp.ErrPeerClosed)
		})
	})
}
