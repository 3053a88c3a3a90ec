package smpp_test

import (
	"bytes"
	"context"
	"testing"
	"testing/synctest"
	"time"

	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smpp/smpptest"
)

// bindPDU is bindAs with another type or password.
func bindPDU(typ pdu.BindType, password string) *pdu.Bind {
	b := bindAs
	b.Type, b.Password = typ, password
	return &b
}

func TestBindAsSMSC(t *testing.T) {
	t.Run("the response carries the client's system_id and type", func(t *testing.T) {
		for _, typ := range []pdu.BindType{pdu.Transmitter, pdu.Receiver, pdu.Transceiver} {
			synctest.Test(t, func(t *testing.T) {
				r := startSMSC(t, smpp.Config{})
				resp := r.peer.Bind(*bindPDU(typ, "bar"))
				if resp.SystemID != "foo" || resp.Type != typ {
					t.Errorf("got %+v, want type %s and system_id foo", resp, typ)
				}
			})
		}
	})
	t.Run("a refused bind leaves the connection open, three times", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := startSMSC(t, smpp.Config{})
			for range 3 {
				seq := r.peer.Send(bindPDU(pdu.Transceiver, "wrong"))
				r.peer.ExpectHeader(pdu.CmdBindTransceiverResp, pdu.StatusInvPaswd, seq)
			}
			wantErr(t, "Run", r.ended(t), smpp.ErrBindRefused)
			r.peer.ExpectClosed()
		})
		synctest.Test(t, func(t *testing.T) {
			r := startSMSC(t, smpp.Config{})
			seq := r.peer.Send(bindPDU(pdu.Transceiver, "wrong"))
			r.peer.ExpectHeader(pdu.CmdBindTransceiverResp, pdu.StatusInvPaswd, seq)
			r.peer.Bind(bindAs)
			if r.State() != smpp.BoundTRX {
				t.Errorf("state %s, want BOUND_TRX", r.State())
			}
		})
	})
	t.Run("a system_id of over 15 octets gets ESME_RINVSYSID and another try", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := startSMSC(t, smpp.Config{})
			body := []byte("a-system-id-of-21-oct\x00bar\x00\x00\x34\x00\x00\x00")
			r.peer.SendRaw(smpptest.Raw(0, pdu.CmdBindTransceiver, 0, 3, body...))
			r.peer.ExpectHeader(pdu.CmdBindTransceiverResp, pdu.StatusInvSysID, 3)
			r.peer.Bind(bindAs)
		})
	})
	t.Run("a second bind gets ESME_RALYBND, bound or while the first is looked at", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := startSMSC(t, smpp.Config{Bind: func(context.Context, *smpp.Session, *pdu.Bind) (pdu.Status, *pdu.BindResp) {
				time.Sleep(5 * time.Second)
				return pdu.StatusOK, &pdu.BindResp{SystemID: "gateway"}
			}})
			first := r.peer.Send(&bindAs)
			second := r.peer.Send(bindPDU(pdu.Receiver, "bar"))
			r.peer.ExpectHeader(pdu.CmdBindReceiverResp, pdu.StatusAlyBnd, second)
			seq := r.peer.Send(&pdu.EnquireLink{}) // the read loop does not wait for the callback
			r.peer.ExpectHeader(pdu.CmdEnquireLinkResp, pdu.StatusOK, seq)
			resp := r.peer.ExpectHeader(pdu.CmdBindTransceiverResp, pdu.StatusOK, first).(*pdu.BindResp)
			if resp.SystemID != "gateway" {
				t.Errorf("system_id %q, want gateway", resp.SystemID)
			}
			third := r.peer.Send(&bindAs)
			r.peer.ExpectHeader(pdu.CmdBindTransceiverResp, pdu.StatusAlyBnd, third)
			if r.State() != smpp.BoundTRX {
				t.Errorf("state %s, want BOUND_TRX", r.State())
			}
		})
	})
	t.Run("what the session sends when bound comes after the response", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := startSMSC(t, smpp.Config{OnStateChange: func(s *smpp.Session, _, to smpp.State) {
				if to.Bound() {
					wantErr(t, "TrySend", s.TrySend(deliver("waiting"), func(smpp.Response, error) {}), nil)
				}
			}})
			r.peer.Bind(bindAs)
			smpptest.Expect[*pdu.DeliverSM](r.peer)
		})
	})
	t.Run("a callback that panics refuses with ESME_RSYSERR", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := startSMSC(t, smpp.Config{Bind: func(context.Context, *smpp.Session, *pdu.Bind) (pdu.Status, *pdu.BindResp) { panic("oops") }})
			seq := r.peer.Send(&bindAs)
			r.peer.ExpectHeader(pdu.CmdBindTransceiverResp, pdu.StatusSysErr, seq)
		})
	})
	t.Run("the callback's context ends with the session", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := startSMSC(t, smpp.Config{Bind: func(ctx context.Context, _ *smpp.Session, _ *pdu.Bind) (pdu.Status, *pdu.BindResp) {
				<-ctx.Done()
				wantErr(t, "cause", context.Cause(ctx), smpp.ErrPeerClosed)
				return pdu.StatusSysErr, nil
			}})
			r.peer.Send(&bindAs)
			synctest.Wait()
			r.peer.Close()
			wantErr(t, "Run", r.ended(t), smpp.ErrPeerClosed)
		})
	})
}

func TestForbiddenRequests(t *testing.T) {
	for _, tc := range []struct {
		name string
		bind *pdu.Bind // nil: none
		req  pdu.PDU
		resp pdu.CommandID
	}{
		{"submit_sm before the bind", nil, submit("x"), pdu.CmdSubmitSMResp},
		{"query_sm before the bind", nil, &pdu.QuerySM{MessageID: "1"}, pdu.CmdQuerySMResp},
		{"unbind before the bind", nil, &pdu.Unbind{}, pdu.CmdUnbindResp},
		{"submit_sm on a receiver", bindPDU(pdu.Receiver, "bar"), submit("x"), pdu.CmdSubmitSMResp},
		{"data_sm on a receiver", bindPDU(pdu.Receiver, "bar"), &pdu.DataSM{}, pdu.CmdDataSMResp},
	} {
		t.Run(tc.name+" gets ESME_RINVBNDSTS and the session ends", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := startSMSC(t, smpp.Config{Handler: make(keep, 1)})
				if tc.bind != nil {
					r.peer.Bind(*tc.bind)
				}
				seq := r.peer.Send(tc.req)
				r.peer.ExpectHeader(tc.resp, pdu.StatusInvBndSts, seq)
				wantErr(t, "Run", r.ended(t), smpp.ErrBindState)
				r.peer.ExpectClosed()
			})
		})
	}
	t.Run("operations of the other side get generic_nack and the session goes on", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := startSMSC(t, smpp.Config{Handler: make(keep, 1)})
			r.peer.Bind(bindAs)
			for _, req := range []pdu.PDU{deliver("x"), &pdu.Outbind{}, &pdu.AlertNotification{}} {
				seq := r.peer.Send(req)
				r.peer.ExpectHeader(pdu.CmdGenericNack, pdu.StatusInvCmdID, seq)
			}
		})
	})
	t.Run("deliver_sm on our transmitter bind is taken all the same", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			k := make(keep, 1)
			r := startESME(t, smpp.Config{Handler: k}, *bindPDU(pdu.Transmitter, "bar"))
			seq := r.peer.Send(deliver("x"))
			wantErr(t, "Respond", (<-k).Respond(pdu.StatusOK, nil), nil)
			r.peer.ExpectHeader(pdu.CmdDeliverSMResp, pdu.StatusOK, seq)
		})
	})
}

func TestStrangersAreBounded(t *testing.T) {
	t.Run("in the size of a PDU", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := startSMSC(t, smpp.Config{})
			r.peer.SendRaw(smpptest.Raw(1025, pdu.CmdBindTransceiver, 0, 5))
			r.peer.ExpectHeader(pdu.CmdGenericNack, pdu.StatusInvCmdLen, 5)
			r.peer.ExpectClosed()
			if err := r.ended(t); err == nil {
				t.Error("Run returned nil")
			}
		})
	})
	t.Run("in what they send altogether", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := startSMSC(t, smpp.Config{})
			r.peer.SendRaw(bytes.Repeat(smpptest.Raw(0, pdu.CmdEnquireLink, 0, 1), 1025))
			wantErr(t, "Run", r.ended(t), smpp.ErrUnboundTraffic)
		})
	})
}
