package smpp_test

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smpp/smpptest"
)

// FuzzSession throws octets at a live session of either side, bound or not. It must not panic
// (Run would say so) and must end once the connection has.
func FuzzSession(f *testing.F) {
	whole := func(p pdu.PDU) []byte {
		b, err := pdu.Append(nil, pdu.StatusOK, 1, p)
		if err != nil {
			f.Fatal(err)
		}
		return b
	}
	bind := bindAs
	f.Add(byte(0), whole(&bind))
	f.Add(byte(0), append(whole(&bind), whole(submit("x"))...))
	f.Add(byte(1), append(whole(&pdu.EnquireLink{}), whole(submit("x"))[:30]...))
	f.Add(byte(1), append(whole(submit("x")), whole(&pdu.Unbind{})...))
	f.Add(byte(2), append(whole(deliver("x")), smpptest.Raw(0, pdu.CmdSubmitSMResp, pdu.StatusThrottled, 2)...))
	f.Add(byte(2), smpptest.Raw(0, pdu.CmdGenericNack, pdu.StatusInvCmdID, 2))
	f.Add(byte(2), smpptest.Raw(15, pdu.CmdUnbindResp, 0, 2))
	f.Add(byte(1), smpptest.Raw(0, 0x7777, 0, 2, 1, 2, 3))
	f.Fuzz(func(t *testing.T, mode byte, octets []byte) {
		if len(octets) > 32<<10 {
			return
		}
		ours, theirs := net.Pipe()
		role := smpp.SMSC
		if mode%3 == 2 {
			role = smpp.ESME
		}
		s := smpp.NewSession(ours, role, smpp.Config{
			Window: 4, InboundWindow: 4,
			Bind: acceptFoo,
			Handler: smpp.HandlerFunc(func(_ *smpp.Session, r *smpp.Request) {
				r.Respond(pdu.StatusOK, nil) //nolint:errcheck // the peer may be gone
			}),
		})
		reading := make(chan struct{})
		go func() {
			defer close(reading)
			switch mode % 3 {
			case 1:
				theirs.Write(whole(&bind)) //nolint:errcheck // the octets matter
			case 2:
				r := make([]byte, len(whole(&bind)))
				if _, err := io.ReadFull(theirs, r); err != nil {
					return
				}
				theirs.Write(smpptest.Raw(0, pdu.CmdBindTransceiverResp, 0, 1)) //nolint:errcheck // the octets matter
			}
			io.Copy(io.Discard, theirs) //nolint:errcheck // until it is closed
		}()
		if role == smpp.ESME {
			b := bind
			if _, err := s.Bind(context.Background(), &b); err != nil {
				t.Fatalf("bind: %v", err)
			}
		}
		ran := make(chan error, 1)
		go func() { ran <- s.Run(context.Background()) }()
		if role == smpp.ESME {
			for range 3 {
				s.TrySend(submit("x"), func(smpp.Response, error) {}) //nolint:errcheck // the session may have ended
			}
		}
		theirs.SetWriteDeadline(time.Now().Add(time.Minute)) //nolint:errcheck // a pipe
		theirs.Write(octets)                                 //nolint:errcheck // the session may have ended
		theirs.Close()                                       //nolint:errcheck // a pipe
		select {
		case err := <-ran:
			if err == nil && s.State() != smpp.Closed {
				t.Errorf("Run returned in state %s", s.State())
			}
		case <-time.After(2 * time.Minute):
			t.Fatalf("session did not end after %x", octets)
		}
		<-reading
	})
}
