package smpp_test

import (
	"testing"
	"testing/synctest"
	"time"

	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smpp/smpptest"
)

func TestAResponseAfterItsTimerIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startESME(t, smpp.Config{Window: 2, Response: 20 * time.Second, Late: time.Minute, EnquireLink: -1, Inactivity: -1}, bindAs)
		done, results := collect(10)
		var seqs []uint32
		for range 2 {
			if err := r.Send(t.Context(), submit("x"), done); err != nil {
				t.Fatal(err)
			}
			h, _ := smpptest.Expect[*pdu.SubmitSM](r.peer)
			seqs = append(seqs, h.Sequence)
		}
		time.Sleep(30 * time.Second)
		for range 2 {
			wantErr(t, "request", (<-results).err, smpp.ErrResponseTimeout)
		}
		if n := r.InFlight(); n != 0 {
			t.Errorf("InFlight = %d, want 0", n)
		}
		r.peer.SendAs(pdu.StatusOK, seqs[0], &pdu.DataSMResp{}) // not the operation's response
		r.peer.SendAs(pdu.StatusOK, seqs[0], &pdu.SubmitSMResp{MessageID: "late"})
		r.peer.SendAs(pdu.StatusOK, seqs[0], &pdu.SubmitSMResp{MessageID: "again"})
		got := <-results
		resp, ok := got.resp.PDU.(*pdu.SubmitSMResp)
		if got.err != nil || !got.resp.Late || !ok || resp.MessageID != "late" {
			t.Errorf("got %+v, want the late response", got)
		}
		time.Sleep(time.Minute)
		r.peer.SendAs(pdu.StatusOK, seqs[1], &pdu.SubmitSMResp{MessageID: "too late"})
		synctest.Wait()
		if len(results) != 0 {
			t.Errorf("more was told: %+v", <-results)
		}
		if got := r.Stats(); got.Late != 1 || got.Timeouts != 2 || got.UnknownResponses != 3 {
			t.Errorf("got %d late, %d timeouts and %d unknown responses, want 1, 2 and 3", got.Late, got.Timeouts, got.UnknownResponses)
		}
	})
}

// The late response is told after the timeout, however quickly it comes.
func TestALateResponseIsToldLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startESME(t, smpp.Config{Response: 20 * time.Second, Late: time.Minute, EnquireLink: -1, Inactivity: -1}, bindAs)
		collected, results := collect(2)
		seq := make(chan uint32, 1)
		err := r.Send(t.Context(), submit("x"), func(resp smpp.Response, err error) {
			if err != nil {
				r.peer.SendAs(pdu.StatusOK, <-seq, &pdu.SubmitSMResp{MessageID: "late"})
				time.Sleep(time.Second) // the read loop has it before the timeout is told
			}
			collected(resp, err)
		})
		if err != nil {
			t.Fatal(err)
		}
		h, _ := smpptest.Expect[*pdu.SubmitSM](r.peer)
		seq <- h.Sequence
		wantErr(t, "first", (<-results).err, smpp.ErrResponseTimeout)
		if got := <-results; got.err != nil || !got.resp.Late {
			t.Errorf("then %+v, want the response", got)
		}
	})
}

func TestLateResponsesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n, most = 5000, 4096
		r := startESME(t, smpp.Config{Window: n, Response: 20 * time.Second, Late: time.Hour, EnquireLink: -1, Inactivity: -1}, bindAs)
		late := 0
		for range n {
			if err := r.Send(t.Context(), submit("x"), func(resp smpp.Response, _ error) {
				if resp.Late {
					late++
				}
			}); err != nil {
				t.Fatal(err)
			}
		}
		var seqs []uint32
		for range n {
			h, _ := smpptest.Expect[*pdu.SubmitSM](r.peer)
			seqs = append(seqs, h.Sequence)
		}
		time.Sleep(time.Minute)
		for _, seq := range seqs {
			r.peer.SendAs(pdu.StatusOK, seq, &pdu.SubmitSMResp{})
		}
		synctest.Wait()
		if late != most {
			t.Errorf("%d late responses were told, want those to the last %d requests", late, most)
		}
	})
}
