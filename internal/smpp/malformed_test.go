package smpp_test

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smpp/smpptest"
)

// submitBody is a valid body of submit_sm with what is appended.
func submitBody(t *testing.T, more ...byte) []byte {
	frame, err := pdu.Append(nil, pdu.StatusOK, 1, submit("hi"))
	if err != nil {
		t.Fatal(err)
	}
	return append(frame[pdu.HeaderLen:], more...)
}

func TestOddPDUsKeepTheSession(t *testing.T) {
	for _, tc := range []struct {
		name   string
		frame  []byte
		resp   pdu.CommandID
		status pdu.Status // 0xFFFFFFFF: any error
	}{
		{"an unknown command_id gets generic_nack with its sequence number", smpptest.Raw(0, 0x0BAD, 0, 77, 1, 2, 3), pdu.CmdGenericNack, pdu.StatusInvCmdID},
		{"an operation of v5.0 gets generic_nack", smpptest.Raw(0, pdu.CmdBroadcastSM, 0, 77, 0), pdu.CmdGenericNack, pdu.StatusInvCmdID},
		{"a truncated submit_sm gets an error response", smpptest.Raw(0, pdu.CmdSubmitSM, 0, 77, submitBody(t)[:9]...), pdu.CmdSubmitSMResp, anyError},
		{"a submit_sm without a body gets an error response", smpptest.Raw(0, pdu.CmdSubmitSM, 0, 77), pdu.CmdSubmitSMResp, anyError},
		{"a submit_sm of garbage gets an error response", smpptest.Raw(0, pdu.CmdSubmitSM, 0, 77, bytes.Repeat([]byte{0xFF}, 300)...), pdu.CmdSubmitSMResp, anyError},
		{"an unknown TLV passes", smpptest.Raw(0, pdu.CmdSubmitSM, 0, 77, submitBody(t, 0x14, 0x99, 0, 2, 'o', 'k')...), pdu.CmdSubmitSMResp, pdu.StatusOK},
		{"a sequence number of 0 is echoed", smpptest.Raw(0, pdu.CmdSubmitSM, 0, 0, submitBody(t)...), pdu.CmdSubmitSMResp, pdu.StatusOK},
		{"a sequence number over 0x7FFFFFFF is echoed", smpptest.Raw(0, pdu.CmdSubmitSM, 0, 0xFFFFFFFE, submitBody(t)...), pdu.CmdSubmitSMResp, pdu.StatusOK},
		{"a response to nothing is ignored", smpptest.Raw(0, pdu.CmdDeliverSMResp, 0, 77), 0, 0},
		{"a malformed response to nothing is ignored", smpptest.Raw(0, pdu.CmdQuerySMResp, 0, 77, 'x'), 0, 0},
		{"an unknown response is ignored", smpptest.Raw(0, 0x80000BAD, 0, 77, 'x'), 0, 0},
		{"a generic_nack to nothing is ignored", smpptest.Raw(0, pdu.CmdGenericNack, pdu.StatusInvCmdID, 0), 0, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := startSMSC(t, smpp.Config{EnquireLink: -1, Handler: smpp.HandlerFunc(func(_ *smpp.Session, q *smpp.Request) {
					wantErr(t, "Respond", q.Respond(pdu.StatusOK, &pdu.SubmitSMResp{MessageID: "1"}), nil)
				})})
				r.peer.Bind(bindAs)
				head, err := pdu.DecodeHeader(tc.frame)
				wantErr(t, "header", err, nil)
				for range 2 { // a sequence number twice is no fault either
					r.peer.SendRaw(tc.frame)
					if tc.resp == 0 {
						r.peer.ExpectSilence(time.Second)
						continue
					}
					h, _ := r.peer.Read()
					if h.ID != tc.resp || h.Sequence != head.Sequence || h.Status != tc.status && (tc.status != anyError || h.Status == pdu.StatusOK) {
						t.Errorf("got %s %s seq %d, want %s %s seq %d", h.ID, h.Status, h.Sequence, tc.resp, tc.status, head.Sequence)
					}
				}
				seq := r.peer.Send(submit("still here"))
				r.peer.ExpectHeader(pdu.CmdSubmitSMResp, pdu.StatusOK, seq)
			})
		})
	}
}

const anyError pdu.Status = 0xFFFFFFFF

func TestLostFraming(t *testing.T) {
	for _, tc := range []struct {
		name   string
		octets []byte
		seq    uint32
	}{
		{"a command_length below 16", smpptest.Raw(15, pdu.CmdSubmitSM, 0, 5), 5},
		{"a command_length of 0", append([]byte{0, 0, 0, 0}, smpptest.Raw(0, pdu.CmdSubmitSM, 0, 5)[4:]...), 5},
		{"a command_length beyond the limit", smpptest.Raw(5000, pdu.CmdSubmitSM, 0, 5), 5},
		{"a command_length of 4 GiB", smpptest.Raw(0xFFFFFFFF, pdu.CmdSubmitSM, 0, 5), 5},
		{"another protocol", []byte("GET / HTTP/1.1\r\nHost: here\r\n\r\n"), 0x2E310D0A},
	} {
		t.Run(tc.name+" gets generic_nack and ends the session", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := startSMSC(t, smpp.Config{MaxPDU: 4096})
				r.peer.Bind(bindAs)
				r.peer.SendRaw(tc.octets)
				r.peer.ExpectHeader(pdu.CmdGenericNack, pdu.StatusInvCmdLen, tc.seq)
				r.peer.ExpectClosed()
				if err := r.ended(t); err == nil {
					t.Error("Run returned nil")
				}
			})
		})
	}
	t.Run("an end within a PDU is told from one between two", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := startSMSC(t, smpp.Config{})
			r.peer.Bind(bindAs)
			r.peer.SendRaw(smpptest.Raw(0, pdu.CmdSubmitSM, 0, 5)[:10])
			r.peer.Close()
			err := r.ended(t)
			wantErr(t, "Run", err, smpp.ErrPeerClosed)
			if err == smpp.ErrPeerClosed { //nolint:errorlint // it is to be wrapped
				t.Error("Run does not say that a PDU was cut")
			}
		})
	})
}

func TestSlowPeer(t *testing.T) {
	t.Run("that lets our answers pile up is closed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ours, theirs := smpptest.PipeSize(4096)
			p := smpptest.NewPeer(t, theirs)
			r := run(t, smpp.NewSession(ours, smpp.SMSC, smpp.Config{Bind: acceptFoo, MaxWriteBuffer: 10000, EnquireLink: -1}), p)
			p.Bind(bindAs)
			one := smpptest.Raw(0, pdu.CmdEnquireLink, 0, 1)
			go func() {
				for range 10000 { // of which the peer reads no answer
					if _, err := theirs.Write(one); err != nil {
						return
					}
				}
			}()
			wantErr(t, "Run", r.ended(t), smpp.ErrSlowPeer)
			if got := r.Stats().PDUsOut; got > 1+(4096+10000)/16+1 {
				t.Errorf("%d answers were queued, more than the limit", got)
			}
		})
	})
	t.Run("makes our requests wait", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ours, theirs := smpptest.PipeSize(1000)
			p := smpptest.NewPeer(t, theirs)
			r := run(t, smpp.NewSession(ours, smpp.SMSC, smpp.Config{Bind: acceptFoo, MaxWriteBuffer: 2000, Window: 1000, EnquireLink: -1}), p)
			p.Bind(bindAs)
			done, results := collect(200)
			sent := make(chan error, 1)
			go func() {
				for range 200 {
					if err := r.Send(t.Context(), deliver("some text"), done); err != nil {
						sent <- err
						return
					}
				}
				sent <- nil
			}()
			synctest.Wait()
			if n := r.InFlight(); n > 100 {
				t.Fatalf("%d requests queued for a peer that does not read", n)
			}
			wantErr(t, "TrySend", r.TrySend(deliver("x"), done), smpp.ErrWindowFull)
			for range 200 {
				h, _ := smpptest.Expect[*pdu.DeliverSM](p)
				p.Reply(h, pdu.StatusOK, &pdu.DeliverSMResp{})
			}
			wantErr(t, "Send", <-sent, nil)
			for range 200 {
				wantErr(t, "deliver_sm", (<-results).err, nil)
			}
		})
	})
}
