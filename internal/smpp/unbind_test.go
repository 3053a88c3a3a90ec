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

func TestUnbind(t *testing.T) {
	t.Run("of ours is answered, then the connection closes and Run returns nil", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := startESME(t, smpp.Config{}, bindAs)
			done, results := collect(1)
			wantErr(t, "Send", r.Send(t.Context(), submit("x"), done), nil)
			unbound := make(chan error, 1)
			go func() { unbound <- r.Unbind(context.Background()) }()
			smpptest.Expect[*pdu.SubmitSM](r.peer)
			h, _ := smpptest.Expect[*pdu.Unbind](r.peer)
			synctest.Wait()
			if r.State() != smpp.Unbinding {
				t.Errorf("state %s, want UNBINDING", r.State())
			}
			_, err := r.Do(t.Context(), submit("y"))
			wantErr(t, "Do", err, smpp.ErrSessionClosed)
			seq := r.peer.Send(deliver("crossing")) // on its way before the peer saw unbind
			r.peer.ExpectHeader(pdu.CmdGenericNack, pdu.StatusInvCmdID, seq)
			r.peer.Reply(h, pdu.StatusOK, &pdu.UnbindResp{})
			r.peer.ExpectClosed()
			wantErr(t, "Unbind", <-unbound, nil)
			wantErr(t, "Run", r.ended(t), nil)
			wantErr(t, "request in flight", (<-results).err, smpp.ErrSessionClosed)
		})
	})
	t.Run("of ours may be answered by closing", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := startSMSC(t, smpp.Config{})
			r.peer.Bind(bindAs)
			unbound := make(chan error, 1)
			go func() { unbound <- r.Unbind(context.Background()) }()
			smpptest.Expect[*pdu.Unbind](r.peer)
			r.peer.Close()
			wantErr(t, "Unbind", <-unbound, nil)
			wantErr(t, "Run", r.ended(t), nil)
		})
	})
	t.Run("of ours without an answer ends after the response time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := startESME(t, smpp.Config{Response: 8 * time.Second}, bindAs)
			start := time.Now()
			wantErr(t, "Unbind", r.Unbind(t.Context()), smpp.ErrResponseTimeout)
			since(t, start, 8*time.Second)
			wantErr(t, "Run", r.ended(t), nil)
		})
	})
	t.Run("before the bind just closes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := startSMSC(t, smpp.Config{})
			wantErr(t, "Unbind", r.Unbind(t.Context()), nil)
			r.peer.ExpectClosed()
			wantErr(t, "Run", r.ended(t), nil)
		})
	})
	t.Run("of the peer is answered after what we owe it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			k := make(keep, 2)
			r := startSMSC(t, smpp.Config{Handler: k})
			r.peer.Bind(bindAs)
			done, results := collect(1)
			wantErr(t, "Send", r.Send(t.Context(), deliver("x"), done), nil)
			smpptest.Expect[*pdu.DeliverSM](r.peer)
			a, b := r.peer.Send(submit("a")), r.peer.Send(submit("b"))
			u := r.peer.Send(&pdu.Unbind{})
			late := r.peer.Send(submit("late"))
			r.peer.ExpectHeader(pdu.CmdSubmitSMResp, pdu.StatusSysErr, late)
			_, err := r.Do(t.Context(), deliver("y"))
			wantErr(t, "Do", err, smpp.ErrSessionClosed)
			wantErr(t, "Respond", (<-k).Respond(pdu.StatusOK, nil), nil)
			wantErr(t, "Respond", (<-k).Respond(pdu.StatusOK, nil), nil)
			r.peer.ExpectHeader(pdu.CmdSubmitSMResp, pdu.StatusOK, a)
			r.peer.ExpectHeader(pdu.CmdSubmitSMResp, pdu.StatusOK, b)
			r.peer.ExpectHeader(pdu.CmdUnbindResp, pdu.StatusOK, u)
			r.peer.ExpectClosed()
			wantErr(t, "Run", r.ended(t), smpp.ErrUnbound)
			wantErr(t, "request in flight", (<-results).err, smpp.ErrUnbound)
		})
	})
	t.Run("of the peer does not wait for a handler for ever", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			k := make(keep, 1)
			r := startSMSC(t, smpp.Config{Handler: k, Response: 9 * time.Second})
			r.peer.Bind(bindAs)
			r.peer.Send(submit("a"))
			start := time.Now()
			u := r.peer.Send(&pdu.Unbind{})
			r.peer.ExpectHeader(pdu.CmdUnbindResp, pdu.StatusOK, u)
			since(t, start, 9*time.Second)
			wantErr(t, "Run", r.ended(t), smpp.ErrUnbound)
			wantErr(t, "Respond", (<-k).Respond(pdu.StatusOK, nil), smpp.ErrSessionClosed)
		})
	})
	t.Run("from both sides at once ends well on ours", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := startESME(t, smpp.Config{}, bindAs)
			unbound := make(chan error, 1)
			go func() { unbound <- r.Unbind(context.Background()) }()
			h, _ := smpptest.Expect[*pdu.Unbind](r.peer)
			seq := r.peer.Send(&pdu.Unbind{})
			r.peer.ExpectHeader(pdu.CmdUnbindResp, pdu.StatusOK, seq)
			r.peer.Reply(h, pdu.StatusOK, &pdu.UnbindResp{})
			r.peer.ExpectClosed()
			wantErr(t, "Unbind", <-unbound, nil)
			wantErr(t, "Run", r.ended(t), nil)
		})
	})
}

func TestShutdown(t *testing.T) {
	t.Run("drains our window, then unbinds", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			k := make(keep, 1)
			r := startESME(t, smpp.Config{Handler: k, EnquireLink: -1}, bindAs)
			done, results := collect(2)
			wantErr(t, "Send", r.Send(t.Context(), submit("a"), done), nil)
			wantErr(t, "Send", r.Send(t.Context(), submit("b"), done), nil)
			ha, _ := smpptest.Expect[*pdu.SubmitSM](r.peer)
			hb, _ := smpptest.Expect[*pdu.SubmitSM](r.peer)
			down := make(chan error, 1)
			go func() { down <- r.Shutdown(context.Background()) }()
			synctest.Wait()
			_, err := r.Do(t.Context(), submit("c"))
			wantErr(t, "Do", err, smpp.ErrSessionClosed)
			seq := r.peer.Send(deliver("still welcome"))
			r.peer.Reply(ha, pdu.StatusOK, &pdu.SubmitSMResp{MessageID: "1"})
			r.peer.ExpectSilence(2 * time.Second)
			r.peer.Reply(hb, pdu.StatusOK, &pdu.SubmitSMResp{MessageID: "2"})
			r.peer.ExpectSilence(2 * time.Second) // the deliver_sm is not answered yet
			refused := r.peer.Send(deliver("too late"))
			r.peer.ExpectHeader(pdu.CmdDeliverSMResp, pdu.StatusRxTAppn, refused)
			wantErr(t, "Respond", (<-k).Respond(pdu.StatusOK, nil), nil)
			r.peer.ExpectHeader(pdu.CmdDeliverSMResp, pdu.StatusOK, seq)
			r.peer.AnswerUnbind()
			wantErr(t, "Shutdown", <-down, nil)
			wantErr(t, "Run", r.ended(t), nil)
			for range 2 {
				wantErr(t, "request in flight", (<-results).err, nil)
			}
		})
	})
	t.Run("as SMSC answers what it has, refuses what comes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			k := make(keep, 1)
			r := startSMSC(t, smpp.Config{Handler: k})
			r.peer.Bind(bindAs)
			a := r.peer.Send(submit("a"))
			req := <-k
			down := make(chan error, 1)
			go func() { down <- r.Shutdown(context.Background()) }()
			synctest.Wait()
			b := r.peer.Send(submit("b"))
			r.peer.ExpectHeader(pdu.CmdSubmitSMResp, pdu.StatusSysErr, b)
			wantErr(t, "Respond", req.Respond(pdu.StatusOK, nil), nil)
			r.peer.ExpectHeader(pdu.CmdSubmitSMResp, pdu.StatusOK, a)
			r.peer.AnswerUnbind()
			wantErr(t, "Shutdown", <-down, nil)
			wantErr(t, "Run", r.ended(t), nil)
		})
	})
	t.Run("gives up with its context, unbinding all the same", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := startESME(t, smpp.Config{}, bindAs)
			done, results := collect(1)
			wantErr(t, "Send", r.Send(t.Context(), submit("a"), done), nil)
			smpptest.Expect[*pdu.SubmitSM](r.peer)
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
			defer cancel()
			start := time.Now()
			wantErr(t, "Shutdown", r.Shutdown(ctx), context.DeadlineExceeded)
			since(t, start, 4*time.Second)
			smpptest.Expect[*pdu.Unbind](r.peer)
			r.peer.ExpectClosed()
			wantErr(t, "Run", r.ended(t), context.DeadlineExceeded)
			wantErr(t, "request in flight", (<-results).err, smpp.ErrSessionClosed)
		})
	})
}
