package smpp_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smpp/smpptest"
)

func TestBindAsESME(t *testing.T) {
	t.Run("each type leads to its state", func(t *testing.T) {
		for typ, want := range map[pdu.BindType]smpp.State{pdu.Transmitter: smpp.BoundTX, pdu.Receiver: smpp.BoundRX, pdu.Transceiver: smpp.BoundTRX} {
			synctest.Test(t, func(t *testing.T) {
				var changes []string
				bind := bindAs
				bind.Type = typ
				r := startESME(t, smpp.Config{OnStateChange: func(_ *smpp.Session, from, to smpp.State) {
					changes = append(changes, from.String()+">"+to.String())
				}}, bind)
				if r.State() != want || r.BindType() != typ || r.SystemID() != "foo" {
					t.Errorf("got %s %s %q, want %s %s foo", r.State(), r.BindType(), r.SystemID(), want, typ)
				}
				r.peer.Close()
				wantErr(t, "Run", r.ended(t), smpp.ErrPeerClosed)
				if want := []string{"OPEN>" + want.String(), want.String() + ">CLOSED"}; !slices.Equal(changes, want) {
					t.Errorf("state changes %v, want %v", changes, want)
				}
			})
		}
	})
	for _, tc := range []struct {
		name  string
		reply func(p *smpptest.Peer, h pdu.Header)
		want  pdu.Status
	}{
		{"a refusal names the status", func(p *smpptest.Peer, h pdu.Header) {
			p.SendRaw(smpptest.Raw(0, h.ID.Response(), pdu.StatusInvPaswd, h.Sequence))
		}, pdu.StatusInvPaswd},
		{"a refusal may have a body", func(p *smpptest.Peer, h pdu.Header) {
			p.SendRaw(smpptest.Raw(0, h.ID.Response(), pdu.StatusBindFail, h.Sequence, []byte("smsc\x00")...))
		}, pdu.StatusBindFail},
		{"generic_nack is a refusal", func(p *smpptest.Peer, h pdu.Header) {
			p.Reply(h, pdu.StatusInvCmdID, &pdu.GenericNack{})
		}, pdu.StatusInvCmdID},
		{"an acceptance without a body is one", func(p *smpptest.Peer, h pdu.Header) {
			p.SendRaw(smpptest.Raw(0, h.ID.Response(), pdu.StatusOK, h.Sequence))
		}, pdu.StatusOK},
		{"an acceptance may have a sequence number of its own", func(p *smpptest.Peer, h pdu.Header) {
			p.SendAs(pdu.StatusOK, 99, &pdu.BindResp{Type: pdu.Transceiver})
		}, pdu.StatusOK},
		{"what comes before the response is answered", func(p *smpptest.Peer, h pdu.Header) {
			p.SendAs(pdu.StatusOK, 7, &pdu.EnquireLink{})
			p.ExpectHeader(pdu.CmdEnquireLinkResp, pdu.StatusOK, 7)
			p.SendAs(pdu.StatusOK, 8, deliver("early"))
			p.ExpectHeader(pdu.CmdDeliverSMResp, pdu.StatusInvBndSts, 8)
			p.SendAs(pdu.StatusOK, 1, &pdu.SubmitSMResp{MessageID: "?"})
			p.Reply(h, pdu.StatusOK, &pdu.BindResp{Type: pdu.Transceiver, SystemID: "smsc"})
		}, pdu.StatusOK},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ours, theirs := smpptest.Pipe()
				p := smpptest.NewPeer(t, theirs)
				s := smpp.NewSession(ours, smpp.ESME, smpp.Config{})
				bound := make(chan error, 1)
				go func() {
					bind := bindAs
					_, err := s.Bind(context.Background(), &bind)
					bound <- err
				}()
				h, _ := smpptest.Expect[*pdu.Bind](p)
				tc.reply(p, h)
				err := <-bound
				var se *smpp.StatusError
				switch {
				case tc.want == pdu.StatusOK:
					wantErr(t, "Bind", err, nil)
				case !errors.As(err, &se) || *se != smpp.StatusError{Command: pdu.CmdBindTransceiver, Status: tc.want}:
					t.Errorf("Bind: got %v, want a *StatusError of %s", err, tc.want)
				}
				s.Close(nil)
				p.ExpectClosed()
			})
		})
	}
}

func TestWindow(t *testing.T) {
	t.Run("holds requests back until one is answered", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := startESME(t, smpp.Config{Window: 3, EnquireLink: -1}, bindAs)
			results := make(chan answerOf, 10)
			for i := range 10 {
				go func() {
					resp, err := r.Do(context.Background(), submit(fmt.Sprint(i)))
					results <- answerOf{resp, err}
				}()
			}
			synctest.Wait()
			if n := r.InFlight(); n != 3 {
				t.Fatalf("InFlight = %d, want 3", n)
			}
			wantErr(t, "TrySend", r.TrySend(submit("x"), nil), smpp.ErrWindowFull)
			var heads []pdu.Header
			for range 3 {
				h, _ := smpptest.Expect[*pdu.SubmitSM](r.peer)
				heads = append(heads, h)
			}
			r.peer.ExpectSilence(time.Second)
			for i := range 10 {
				r.peer.Reply(heads[i], pdu.StatusOK, &pdu.SubmitSMResp{MessageID: fmt.Sprint(heads[i].Sequence)})
				if i < 7 {
					h, _ := smpptest.Expect[*pdu.SubmitSM](r.peer)
					heads = append(heads, h)
				}
			}
			for range 10 {
				a := <-results
				if a.err != nil || a.resp.PDU.(*pdu.SubmitSMResp).MessageID != fmt.Sprint(a.resp.Header.Sequence) {
					t.Errorf("got %+v %v", a.resp, a.err)
				}
			}
		})
	})
	t.Run("takes responses in any order", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := startESME(t, smpp.Config{Window: 100}, bindAs)
			got := make(map[string]string)
			results := make(chan [2]string, 100)
			for i := range 100 {
				text := fmt.Sprint("text ", i)
				err := r.Send(t.Context(), submit(text), func(resp smpp.Response, err error) {
					if err != nil {
						results <- [2]string{text, err.Error()}
						return
					}
					results <- [2]string{text, resp.PDU.(*pdu.SubmitSMResp).MessageID}
				})
				wantErr(t, "Send", err, nil)
			}
			type message struct {
				h  pdu.Header
				sm *pdu.SubmitSM
			}
			var all []message
			for range 100 {
				h, sm := smpptest.Expect[*pdu.SubmitSM](r.peer)
				all = append(all, message{h, sm})
			}
			for _, m := range slices.Backward(all) {
				r.peer.Reply(m.h, pdu.StatusOK, &pdu.SubmitSMResp{MessageID: "id of " + string(m.sm.ShortMessage)})
			}
			for range 100 {
				a := <-results
				got[a[0]] = a[1]
			}
			for text, id := range got {
				if id != "id of "+text {
					t.Errorf("%s was answered %q", text, id)
				}
			}
			if len(got) != 100 {
				t.Errorf("%d answers, want 100", len(got))
			}
		})
	})
	t.Run("a waiting Do ends with its context", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := startESME(t, smpp.Config{Window: 1}, bindAs)
			done, _ := collect(1)
			wantErr(t, "Send", r.Send(t.Context(), submit("a"), done), nil)
			cause := errors.New("enough")
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(time.Second, func() { cancel(cause) })
			_, err := r.Do(ctx, submit("b"))
			wantErr(t, "Do", err, cause)
		})
	})
}

func TestSequenceNumbers(t *testing.T) {
	t.Run("wrap to 1 and skip those in flight", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := startESME(t, smpp.Config{FirstSequence: 0x7FFFFFFD}, bindAs) // which the bind takes
			done, _ := collect(10)
			var got []uint32
			for range 4 {
				wantErr(t, "Send", r.Send(t.Context(), submit("x"), done), nil)
				h, _ := smpptest.Expect[*pdu.SubmitSM](r.peer)
				got = append(got, h.Sequence)
			}
			if want := []uint32{0x7FFFFFFE, 0x7FFFFFFF, 1, 2}; !slices.Equal(got, want) {
				t.Errorf("got %#x, want %#x", got, want)
			}
			if r.LastSequence() != 2 {
				t.Errorf("LastSequence = %d, want 2", r.LastSequence())
			}
		})
	})
	t.Run("of a response must belong to a request of that operation", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := startESME(t, smpp.Config{}, bindAs)
			done, results := collect(1)
			wantErr(t, "Send", r.Send(t.Context(), submit("x"), done), nil)
			h, _ := smpptest.Expect[*pdu.SubmitSM](r.peer)
			r.peer.Reply(h, pdu.StatusOK, &pdu.DataSMResp{MessageID: "wrong"})
			r.peer.Reply(h, pdu.StatusOK, &pdu.SubmitSMResp{MessageID: "right"})
			r.peer.Reply(h, pdu.StatusOK, &pdu.SubmitSMResp{MessageID: "twice"})
			a := <-results
			if want := (&pdu.SubmitSMResp{MessageID: "right"}); !reflect.DeepEqual(a.resp.PDU, want) || a.err != nil {
				t.Errorf("got %+v %v, want %+v", a.resp.PDU, a.err, want)
			}
			synctest.Wait()
			if n := r.Stats().UnknownResponses; n != 2 {
				t.Errorf("UnknownResponses = %d, want 2", n)
			}
		})
	})
}

func TestResponses(t *testing.T) {
	for _, tc := range []struct {
		name  string
		reply func(seq uint32) []byte
		want  pdu.Status
		err   bool // a *pdu.DecodeError
	}{
		{"an error with only a header", func(seq uint32) []byte {
			return smpptest.Raw(0, pdu.CmdSubmitSMResp, pdu.StatusThrottled, seq)
		}, pdu.StatusThrottled, false},
		{"an error with a body", func(seq uint32) []byte {
			return smpptest.Raw(0, pdu.CmdSubmitSMResp, pdu.StatusThrottled, seq, []byte("id\x00")...)
		}, pdu.StatusThrottled, false},
		{"generic_nack", func(seq uint32) []byte {
			return smpptest.Raw(0, pdu.CmdGenericNack, pdu.StatusInvCmdID, seq)
		}, pdu.StatusInvCmdID, false},
		{"a status of the vendor's own", func(seq uint32) []byte {
			return smpptest.Raw(0, pdu.CmdSubmitSMResp, 0x4FF, seq)
		}, 0x4FF, false},
		{"an acceptance without its body", func(seq uint32) []byte {
			return smpptest.Raw(0, pdu.CmdSubmitSMResp, pdu.StatusOK, seq)
		}, pdu.StatusOK, false},
		{"a truncated body", func(seq uint32) []byte {
			return smpptest.Raw(0, pdu.CmdQuerySMResp, pdu.StatusOK, seq, 'x')
		}, pdu.StatusOK, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := startESME(t, smpp.Config{}, bindAs)
				done, results := collect(1)
				var req pdu.PDU = submit("x")
				if tc.err {
					req = &pdu.QuerySM{MessageID: "x"}
				}
				wantErr(t, "Send", r.Send(t.Context(), req, done), nil)
				h, _ := r.peer.Read()
				r.peer.SendRaw(tc.reply(h.Sequence))
				a := <-results
				var de *pdu.DecodeError
				if errors.As(a.err, &de) != tc.err || a.resp.Header.Status != tc.want {
					t.Errorf("got %s and error %v, want %s", a.resp.Header.Status, a.err, tc.want)
				}
				if (a.resp.Err() == nil) != (tc.want == pdu.StatusOK) {
					t.Errorf("Response.Err = %v", a.resp.Err())
				}
				// The session lives on.
				seq := r.peer.Send(&pdu.EnquireLink{})
				r.peer.ExpectHeader(pdu.CmdEnquireLinkResp, pdu.StatusOK, seq)
			})
		})
	}
}

func TestRequestsOfThePeer(t *testing.T) {
	t.Run("may be answered later, in any order, by any goroutine, once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			k := make(keep, 10)
			r := startSMSC(t, smpp.Config{Handler: k})
			r.peer.Bind(bindAs)
			a := r.peer.Send(submit("a"))
			b := r.peer.Send(submit("b"))
			ra, rb := <-k, <-k
			if got := string(ra.PDU.(*pdu.SubmitSM).ShortMessage) + string(rb.PDU.(*pdu.SubmitSM).ShortMessage); got != "ab" {
				t.Errorf("order of arrival: %s, want ab", got)
			}
			if n := r.Unanswered(); n != 2 {
				t.Errorf("Unanswered = %d, want 2", n)
			}
			go func() {
				wantErr(t, "Respond", rb.Respond(pdu.StatusOK, &pdu.SubmitSMResp{MessageID: "2"}), nil)
				wantErr(t, "Respond", ra.Respond(pdu.StatusThrottled, nil), nil)
				wantErr(t, "Respond", ra.Respond(pdu.StatusOK, nil), smpp.ErrAnswered)
			}()
			if got := r.peer.ExpectHeader(pdu.CmdSubmitSMResp, pdu.StatusOK, b).(*pdu.SubmitSMResp); got.MessageID != "2" {
				t.Errorf("message_id %q, want 2", got.MessageID)
			}
			r.peer.ExpectHeader(pdu.CmdSubmitSMResp, pdu.StatusThrottled, a)
		})
	})
	t.Run("get ESME_RSYSERR when the answer cannot be encoded or is of another operation", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			k := make(keep, 10)
			r := startSMSC(t, smpp.Config{Handler: k})
			r.peer.Bind(bindAs)
			seq := r.peer.Send(submit("a"))
			if err := (<-k).Respond(pdu.StatusOK, &pdu.SubmitSMResp{MessageID: "\x00"}); err == nil {
				t.Error("a message_id with a NUL was accepted")
			}
			r.peer.ExpectHeader(pdu.CmdSubmitSMResp, pdu.StatusSysErr, seq)
			seq = r.peer.Send(submit("b"))
			if err := (<-k).Respond(pdu.StatusOK, &pdu.DataSMResp{}); err == nil {
				t.Error("data_sm_resp was accepted as answer to submit_sm")
			}
			r.peer.ExpectHeader(pdu.CmdSubmitSMResp, pdu.StatusSysErr, seq)
		})
	})
	t.Run("beyond the inbound window are throttled", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			k := make(keep, 10)
			r := startSMSC(t, smpp.Config{Handler: k, InboundWindow: 2})
			r.peer.Bind(bindAs)
			first := r.peer.Send(submit("a"))
			r.peer.Send(submit("b"))
			third := r.peer.Send(submit("c"))
			r.peer.ExpectHeader(pdu.CmdSubmitSMResp, pdu.StatusThrottled, third)
			wantErr(t, "Respond", (<-k).Respond(pdu.StatusOK, nil), nil)
			r.peer.ExpectHeader(pdu.CmdSubmitSMResp, pdu.StatusOK, first)
			r.peer.Send(submit("d"))
			<-k
			if q := <-k; string(q.PDU.(*pdu.SubmitSM).ShortMessage) != "d" {
				t.Errorf("got %q, want d", q.PDU.(*pdu.SubmitSM).ShortMessage)
			}
		})
	})
	t.Run("alert_notification is handed on and not answered", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			k := make(keep, 1)
			r := startESME(t, smpp.Config{Handler: k, EnquireLink: -1}, bindAs)
			r.peer.Send(&pdu.AlertNotification{Source: pdu.Address{Addr: "1"}, ESME: pdu.Address{Addr: "2"}})
			wantErr(t, "Respond", (<-k).Respond(pdu.StatusOK, nil), nil)
			r.peer.ExpectSilence(time.Second)
			if n := r.Unanswered(); n != 0 {
				t.Errorf("Unanswered = %d, want 0", n)
			}
		})
	})
	t.Run("a handler that panics costs its session only", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := startSMSC(t, smpp.Config{Handler: smpp.HandlerFunc(func(*smpp.Session, *smpp.Request) { panic("oops") })})
			r.peer.Bind(bindAs)
			r.peer.Send(submit("a"))
			if err := r.ended(t); err == nil || err.Error() != "smpp: panic: oops" {
				t.Errorf("Run: got %v", err)
			}
		})
	})
}

func TestLocalMisuse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bind := bindAs
		bind.Type = pdu.Receiver
		r := startESME(t, smpp.Config{Window: 1, EnquireLink: -1}, bind)
		for _, req := range []pdu.PDU{submit("x"), deliver("x"), &pdu.Unknown{ID: 0x123}} {
			_, err := r.Do(t.Context(), req)
			wantErr(t, req.CommandID().String(), err, smpp.ErrNotBound)
		}
		for _, req := range []pdu.PDU{nil, &pdu.SubmitSMResp{}, &pdu.AlertNotification{}, &pdu.Outbind{}, &pdu.Unbind{}} {
			if _, err := r.Do(t.Context(), req); err == nil {
				t.Errorf("Do accepted %T", req)
			}
		}
		if n := r.InFlight(); n != 0 {
			t.Errorf("InFlight = %d, want 0", n)
		}
		r.peer.ExpectSilence(time.Second)
	})
	synctest.Test(t, func(t *testing.T) {
		r := startESME(t, smpp.Config{Window: 1, EnquireLink: -1}, bindAs)
		_, err := r.Do(t.Context(), submit(string(make([]byte, 300))))
		var fe *pdu.FieldError
		if !errors.As(err, &fe) {
			t.Errorf("got %v, want a *pdu.FieldError", err)
		}
		r.peer.ExpectSilence(time.Second)
		if err := r.Run(t.Context()); err == nil {
			t.Error("a second Run was accepted")
		}
	})
}

func TestRunEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := smpptest.Pipe()
		p := smpptest.NewPeer(t, theirs)
		s := smpp.NewSession(ours, smpp.SMSC, smpp.Config{Bind: acceptFoo})
		ctx, cancel := context.WithCancelCause(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- s.Run(ctx) }()
		p.Bind(bindAs)
		done, results := collect(1)
		wantErr(t, "Send", s.Send(t.Context(), deliver("x"), done), nil)
		cause := errors.New("node goes down")
		cancel(cause)
		wantErr(t, "Run", <-ran, cause)
		a := <-results
		wantErr(t, "Send", a.err, cause)
		wantErr(t, "Send", a.err, smpp.ErrSessionClosed)
		if s.State() != smpp.Closed {
			t.Errorf("state %s, want CLOSED", s.State())
		}
	})
}

func TestNotifyAndInject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startSMSC(t, smpp.Config{EnquireLink: -1})
		wantErr(t, "outbind", r.Notify(&pdu.Outbind{SystemID: "smsc"}), nil)
		if _, ob := smpptest.Expect[*pdu.Outbind](r.peer); ob.SystemID != "smsc" {
			t.Errorf("outbind of %q", ob.SystemID)
		}
		wantErr(t, "alert_notification before the bind", r.Notify(&pdu.AlertNotification{}), smpp.ErrNotBound)
		r.peer.Bind(bindAs)
		wantErr(t, "alert_notification", r.Notify(&pdu.AlertNotification{}), nil)
		smpptest.Expect[*pdu.AlertNotification](r.peer)
		if err := r.Notify(deliver("x")); err == nil {
			t.Error("Notify accepted deliver_sm")
		}
		wantErr(t, "Inject", r.Inject(smpptest.Raw(0, 0x0BAD, 0, 9, 1)), nil)
		r.peer.ExpectHeader(0x0BAD, pdu.StatusOK, 9)
		r.Close(nil)
		r.peer.ExpectClosed()
		wantErr(t, "Inject", r.Inject([]byte{0}), smpp.ErrSessionClosed)
		wantErr(t, "Notify", r.Notify(&pdu.AlertNotification{}), smpp.ErrSessionClosed)
	})
}

func TestTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var got []string
		r := startESME(t, smpp.Config{Trace: func(dir smpp.Direction, h pdu.Header, p pdu.PDU) {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, fmt.Sprintf("%s %s %s %d %d %t", dir, h.ID, h.Status, h.Sequence, h.Length, p != nil))
		}}, bindAs)
		seq := r.peer.Send(&pdu.EnquireLink{})
		r.peer.ExpectHeader(pdu.CmdEnquireLinkResp, pdu.StatusOK, seq)
		r.peer.SendRaw(smpptest.Raw(0, pdu.CmdDeliverSM, 0, 9))
		r.peer.Read()
		synctest.Wait()
		want := []string{
			"out bind_transceiver ESME_ROK 1 29 true",
			"in bind_transceiver_resp ESME_ROK 1 25 true",
			"in enquire_link ESME_ROK 1 16 true",
			"out enquire_link_resp ESME_ROK 1 16 true",
			"in deliver_sm ESME_ROK 9 16 false",
			"out deliver_sm_resp ESME_RINVCMDLEN 9 16 true",
		}
		mu.Lock()
		defer mu.Unlock()
		if !slices.Equal(got, want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if st := r.Stats(); st.PDUsIn != 3 || st.PDUsOut != 3 || st.OctetsIn != 57 || st.OctetsOut != 61 {
			t.Errorf("got %+v, want 3 PDUs of 57 octets in and 3 of 61 out", st)
		}
	})
}
