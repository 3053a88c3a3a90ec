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

// since fails the test unless exactly d has passed since start.
func since(t *testing.T, start time.Time, d time.Duration) {
	t.Helper()
	if got := time.Since(start); got != d {
		t.Errorf("took %s, want exactly %s", got, d)
	}
}

func TestEnquireLink(t *testing.T) {
	t.Run("is sent after exactly thirty idle seconds, again and again", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := startESME(t, smpp.Config{}, bindAs)
			r.peer.Within(time.Minute)
			for range 3 {
				start := time.Now()
				h, _ := smpptest.Expect[*pdu.EnquireLink](r.peer)
				since(t, start, 30*time.Second)
				r.peer.Reply(h, pdu.StatusOK, &pdu.EnquireLinkResp{})
			}
			if got := r.Stats().EnquireSent; got != 3 {
				t.Errorf("EnquireSent = %d, want 3", got)
			}
		})
	})
	t.Run("is put off by whatever the peer sends", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := startSMSC(t, smpp.Config{EnquireLink: 10 * time.Second})
			r.peer.Bind(bindAs)
			r.peer.Within(time.Minute)
			start := time.Now()
			for range 5 {
				r.peer.ExpectSilence(7 * time.Second)
				seq := r.peer.Send(&pdu.EnquireLink{})
				r.peer.ExpectHeader(pdu.CmdEnquireLinkResp, pdu.StatusOK, seq)
			}
			h, _ := smpptest.Expect[*pdu.EnquireLink](r.peer)
			since(t, start, 45*time.Second)
			if h.Sequence != 0x40000000 {
				t.Errorf("our server's first request has sequence %#x, want 0x40000000", h.Sequence)
			}
		})
	})
	t.Run("unanswered ends the session by its name", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := startESME(t, smpp.Config{EnquireLink: 30 * time.Second, Response: 7 * time.Second}, bindAs)
			start := time.Now()
			wantErr(t, "Run", r.ended(t), smpp.ErrEnquireLink)
			since(t, start, 37*time.Second)
			_, err := r.Do(t.Context(), submit("late"))
			wantErr(t, "Do", err, smpp.ErrSessionClosed)
			wantErr(t, "Do", err, smpp.ErrEnquireLink)
		})
	})
	t.Run("is off when negative", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := startESME(t, smpp.Config{EnquireLink: -1, Inactivity: -1}, bindAs)
			r.peer.ExpectSilence(1000 * time.Hour)
		})
	})
}

func TestInactivity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startESME(t, smpp.Config{EnquireLink: -1, Inactivity: 300 * time.Second}, bindAs)
		time.Sleep(100 * time.Second)
		seq := r.peer.Send(&pdu.EnquireLink{})
		r.peer.ExpectHeader(pdu.CmdEnquireLinkResp, pdu.StatusOK, seq)
		heard := time.Now()
		r.peer.Within(time.Hour)
		h, _ := smpptest.Expect[*pdu.Unbind](r.peer) // SMPP v3.4 §7.2
		since(t, heard, 300*time.Second)
		_, err := r.Do(t.Context(), submit("late"))
		wantErr(t, "Do", err, smpp.ErrSessionClosed)
		r.peer.Reply(h, pdu.StatusOK, &pdu.UnbindResp{})
		wantErr(t, "Run", r.ended(t), smpp.ErrInactive)
		synctest.Wait()
		start := time.Now()
		r.peer.ExpectClosed()
		since(t, start, 0)
	})
}

func TestInactivePeerThatAnswersNothingIsClosed(t *testing.T) {
	for _, response := range []time.Duration{2 * time.Second, -1} {
		synctest.Test(t, func(t *testing.T) {
			r := startESME(t, smpp.Config{EnquireLink: -1, Inactivity: 300 * time.Second, Response: response}, bindAs)
			start := time.Now()
			wantErr(t, "Run", r.ended(t), smpp.ErrInactive)
			wait := 302 * time.Second
			if response < 0 {
				wait = 305 * time.Second
			}
			since(t, start, wait)
			smpptest.Expect[*pdu.Unbind](r.peer)
			r.peer.ExpectClosed()
		})
	}
}

func TestInactivePeerThatClosesInsteadOfAnswering(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startSMSC(t, smpp.Config{EnquireLink: -1, Inactivity: 300 * time.Second})
		r.peer.Bind(bindAs)
		r.peer.Within(time.Hour)
		smpptest.Expect[*pdu.Unbind](r.peer)
		r.peer.Close()
		wantErr(t, "Run", r.ended(t), smpp.ErrInactive)
	})
}

func TestResponseTimer(t *testing.T) {
	t.Run("fails each request at its own time and keeps the session", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := startESME(t, smpp.Config{Response: 20 * time.Second, EnquireLink: -1}, bindAs)
			start := time.Now()
			done, results := collect(3)
			for range 3 {
				if err := r.Send(t.Context(), submit("x"), done); err != nil {
					t.Fatal(err)
				}
				time.Sleep(5 * time.Second)
			}
			var seqs []uint32
			for range 3 {
				h, _ := smpptest.Expect[*pdu.SubmitSM](r.peer)
				seqs = append(seqs, h.Sequence)
			}
			for _, at := range []time.Duration{20, 25, 30} {
				wantErr(t, "request", (<-results).err, smpp.ErrResponseTimeout)
				since(t, start, at*time.Second)
			}
			if n := r.InFlight(); n != 0 {
				t.Errorf("InFlight = %d, want 0", n)
			}
			// The response that comes after all is counted and does no harm.
			r.peer.SendAs(pdu.StatusOK, seqs[0], &pdu.SubmitSMResp{MessageID: "late"})
			synctest.Wait()
			if got := r.Stats(); got.UnknownResponses != 1 || got.Timeouts != 3 {
				t.Errorf("got %d unknown responses and %d timeouts, want 1 and 3", got.UnknownResponses, got.Timeouts)
			}
		})
	})
	t.Run("of a request that was given up frees its place in the window", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := startESME(t, smpp.Config{Window: 1, Response: 20 * time.Second, EnquireLink: -1}, bindAs)
			start := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			_, err := r.Do(ctx, submit("x"))
			wantErr(t, "Do", err, context.DeadlineExceeded)
			since(t, start, 3*time.Second)
			if n := r.InFlight(); n != 1 {
				t.Errorf("InFlight = %d, want 1: the peer still has the request", n)
			}
			wantErr(t, "TrySend", r.TrySend(submit("y"), nil), smpp.ErrWindowFull)
			done, _ := collect(1)
			if err := r.Send(t.Context(), submit("z"), done); err != nil {
				t.Fatal(err)
			}
			since(t, start, 20*time.Second)
		})
	})
}

func TestSessionInitTimer(t *testing.T) {
	t.Run("closes on a client that does not bind", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			r := startSMSC(t, smpp.Config{SessionInit: 30 * time.Second})
			r.peer.ExpectSilence(20 * time.Second)
			seq := r.peer.Send(&pdu.EnquireLink{}) // does not prolong it
			r.peer.ExpectHeader(pdu.CmdEnquireLinkResp, pdu.StatusOK, seq)
			wantErr(t, "Run", r.ended(t), smpp.ErrBindTimeout)
			since(t, start, 30*time.Second)
		})
	})
	t.Run("does not concern a client that is bound", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := startSMSC(t, smpp.Config{SessionInit: 30 * time.Second, EnquireLink: -1})
			r.peer.Bind(bindAs)
			r.peer.ExpectSilence(60 * time.Second)
		})
	})
	t.Run("ends the bind to an SMSC that does not answer", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ours, theirs := smpptest.Pipe()
			p := smpptest.NewPeer(t, theirs)
			s := smpp.NewSession(ours, smpp.ESME, smpp.Config{SessionInit: 12 * time.Second})
			start := time.Now()
			bind := bindAs
			_, err := s.Bind(t.Context(), &bind)
			wantErr(t, "Bind", err, smpp.ErrBindTimeout)
			since(t, start, 12*time.Second)
			s.Close(err)
			smpptest.Expect[*pdu.Bind](p)
			p.ExpectClosed()
		})
	})
	t.Run("gives way to the context", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ours, _ := smpptest.Pipe()
			s := smpp.NewSession(ours, smpp.ESME, smpp.Config{})
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			bind := bindAs
			_, err := s.Bind(ctx, &bind)
			wantErr(t, "Bind", err, context.DeadlineExceeded)
			s.Close(err)
			wantErr(t, "Run after Close", s.Run(t.Context()), context.DeadlineExceeded)
		})
	})
}

func TestPDUReadTimer(t *testing.T) {
	frame := smpptest.Raw(0, pdu.CmdEnquireLink, 0, 9)
	for _, n := range []int{1, 4, 15} {
		synctest.Test(t, func(t *testing.T) {
			r := startSMSC(t, smpp.Config{PDURead: 10 * time.Second, EnquireLink: -1})
			r.peer.Bind(bindAs)
			time.Sleep(time.Minute) // idle is not slow
			start := time.Now()
			r.peer.SendRaw(frame[:n])
			time.Sleep(9 * time.Second)
			r.peer.SendRaw(frame[n:])
			r.peer.ExpectHeader(pdu.CmdEnquireLinkResp, pdu.StatusOK, 9)
			since(t, start, 9*time.Second)

			time.Sleep(time.Minute)
			start = time.Now()
			r.peer.SendRaw(frame[:n])
			wantErr(t, "Run", r.ended(t), smpp.ErrPDUReadTimeout)
			since(t, start, 10*time.Second)
			r.peer.ExpectHeader(pdu.CmdGenericNack, pdu.StatusInvCmdLen, 0)
			r.peer.ExpectClosed()
		})
	}
}
