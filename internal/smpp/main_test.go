package smpp_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.uber.org/goleak"

	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smpp/smpptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// running is a session under test with its scripted peer.
type running struct {
	*smpp.Session
	peer *smpptest.Peer
	ran  chan error // what Run returned
}

// ended waits for the end of the session and returns what Run returned.
func (r *running) ended(t *testing.T) error {
	t.Helper()
	select {
	case err := <-r.ran:
		return err
	case <-time.After(time.Hour): // on the bubble's clock
		t.Fatal("session did not end")
		return nil
	}
}

var bindAs = pdu.Bind{Type: pdu.Transceiver, SystemID: "foo", Password: "bar", InterfaceVersion: 0x34}

// run starts Run and stops it with the test.
func run(t *testing.T, s *smpp.Session, p *smpptest.Peer) *running {
	r := &running{Session: s, peer: p, ran: make(chan error, 1)}
	go func() { r.ran <- s.Run(context.Background()) }()
	t.Cleanup(func() {
		s.Close(nil)
		<-s.Done()
	})
	return r
}

// startESME is our client, bound to a scripted SMSC.
func startESME(t *testing.T, cfg smpp.Config, bind pdu.Bind) *running {
	t.Helper()
	ours, theirs := smpptest.Pipe()
	p := smpptest.NewPeer(t, theirs)
	s := smpp.NewSession(ours, smpp.ESME, cfg)
	bound := make(chan error, 1)
	go func() {
		_, err := s.Bind(context.Background(), &bind)
		bound <- err
	}()
	p.AcceptBind()
	if err := <-bound; err != nil {
		t.Fatalf("bind: %v", err)
	}
	return run(t, s, p)
}

// startSMSC is our server side, to which nobody has bound yet.
func startSMSC(t *testing.T, cfg smpp.Config) *running {
	t.Helper()
	ours, theirs := smpptest.Pipe()
	if cfg.Bind == nil {
		cfg.Bind = acceptFoo
	}
	return run(t, smpp.NewSession(ours, smpp.SMSC, cfg), smpptest.NewPeer(t, theirs))
}

// acceptFoo lets foo in with password bar.
func acceptFoo(_ context.Context, _ *smpp.Session, b *pdu.Bind) (pdu.Status, *pdu.BindResp) {
	if b.SystemID != "foo" || b.Password != "bar" {
		return pdu.StatusInvPaswd, nil
	}
	return pdu.StatusOK, nil
}

// keep is a Handler that hands requests to the test.
type keep chan *smpp.Request

func (k keep) ServeSMPP(_ *smpp.Session, r *smpp.Request) { k <- r }

func submit(text string) *pdu.SubmitSM {
	return &pdu.SubmitSM{Message: pdu.Message{
		Source:       pdu.Address{Addr: "1234"},
		Dest:         pdu.Address{TON: 1, NPI: 1, Addr: "33612345678"},
		ShortMessage: []byte(text),
	}}
}

func deliver(text string) *pdu.DeliverSM { return &pdu.DeliverSM{Message: submit(text).Message} }

func wantErr(t *testing.T, what string, got, want error) {
	t.Helper()
	if want == nil && got != nil || want != nil && !errors.Is(got, want) {
		t.Errorf("%s: got error %v, want %v", what, got, want)
	}
}

// answerOf collects what a Send came to.
type answerOf struct {
	resp smpp.Response
	err  error
}

// collect makes a done function and the channel it feeds.
func collect(n int) (func(smpp.Response, error), chan answerOf) {
	ch := make(chan answerOf, n)
	return func(r smpp.Response, err error) { ch <- answerOf{r, err} }, ch
}
