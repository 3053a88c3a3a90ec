package connector

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"jasmind/internal/queue"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

// answerLate has the SMSC answer each submit_sm so long after it came.
func answerLate(m *smsc, after time.Duration, status pdu.Status) {
	m.answer = func(n int, a arrived) (pdu.Status, string) {
		time.AfterFunc(after, func() { m.respond(a, status, fmt.Sprint("id", n)) })
		return holdBack, ""
	}
}

// dead gives the dead letters.
func (b *backend) dead(t *testing.T) []queue.Letter {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []queue.Letter
	for _, p := range b.published {
		if p.Queue == queue.DeadLetter {
			l, err := queue.DecodeLetter(&p.Message)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, l)
		}
	}
	return out
}

// An SMSC that answers one second after the response timer gets each message once, in a whole day.
func TestALateAnswerCounts(t *testing.T) {
	for _, strict := range []bool{false, true} {
		t.Run(fmt.Sprint("strict_order ", strict), func(t *testing.T) {
			start(t, func(cfg *Config, _ *Deps, m *smsc) {
				cfg.Connector.StrictOrder = strict
				answerLate(m, cfg.Connector.ResponseTimeout+time.Second, pdu.StatusOK)
			}, func(w *world) {
				until := time.Now().Add(48 * time.Hour).Truncate(time.Millisecond)
				w.b.expiries = []sms.Expiry{{At: until, MsgID: "m1"}}
				w.b.put(message(t, "m1", 1, func(e *sms.Envelope) {
					e.Report, e.Origin, e.ExpiresAt = sms.ReportSubmit|sms.ReportFinal, sms.OriginSMPP, until
					e.Bill = sms.Bill{Charged: true, Rest: 200}
				}), message(t, "long", 3, report(sms.ReportSubmit)))
				time.Sleep(time.Minute + 2*time.Second)
				synctest.Wait()
				w.b.do(func() {
					wantEqual(t, "mapping", string(w.b.mappings["ID1"].MsgID), "m1")
					wantEqual(t, "left in the index", len(w.b.expiries), 0)
					wantEqual(t, "changes", w.b.changes, []sms.StateChange{{MsgID: "m1", Left: true, State: pdu.StateEnroute}})
					// A receipt that comes now ends the request, and with it what was recorded under the message's id.
					delete(w.b.outcomes, "m1")
				})
				wantEqual(t, "told at once", w.b.results(t), []queue.SubmitResult{{MsgID: "m1", CID: cid, SMPPMsgID: "id1", Status: "ESME_ROK"}})
				time.Sleep(24 * time.Hour)
				synctest.Wait()
				got := w.m.texts()
				slices.Sort(got)
				wantEqual(t, "sent in a day", got, []string{"long/1", "long/2", "long/3", "m1"})
				wantEqual(t, "mappings", len(w.b.mappings), 4)
				wantEqual(t, "part 2", w.b.mappings["ID3"].Part, 2)
				slices.Sort(w.b.acked)
				wantEqual(t, "acked", w.b.acked, []string{"long", "m1"})
				wantEqual(t, "what was late is forgotten", slices.Contains(w.b.forgotten, lateOf("m1")) && slices.Contains(w.b.forgotten, lateOf("long")), true)
				st := w.c.Stats()
				wantEqual(t, "counters", []int64{st.UnansweredCount.Load(), st.LateCount.Load(), st.SubmitSMCount.Load()}, []int64{4, 4, 4})
				wantEqual(t, "sessions", len(w.m.dialled()), 1)
				l := w.log.list()
				wantEqual(t, "log lines", len(l), 4)
				if !strings.Contains(l[0], "[status:ERROR/RESPONSE_TIMEOUT] [retry:True]") {
					t.Error(l[0])
				}
			})
		})
	}
}

func TestALateRefusalCounts(t *testing.T) {
	for _, tt := range []struct {
		status pdu.Status
		tries  int
	}{{pdu.StatusInvDstAdr, 1}, {pdu.StatusSysErr, 3}} {
		t.Run(tt.status.String(), func(t *testing.T) {
			start(t, func(cfg *Config, _ *Deps, m *smsc) {
				answerLate(m, cfg.Connector.ResponseTimeout+time.Second, tt.status)
			}, func(w *world) {
				w.b.put(message(t, "m1", 1, report(sms.ReportFinal)))
				time.Sleep(24 * time.Hour)
				synctest.Wait()
				wantEqual(t, "sent", len(w.m.arrivals()), tt.tries)
				wantEqual(t, "results", w.b.results(t), []queue.SubmitResult{{MsgID: "m1", CID: cid, Status: tt.status.String()}})
				wantEqual(t, "acked", w.b.acked, []string{"m1"})
				wantEqual(t, "dead letters", len(w.b.dead(t)), 0)
			})
		})
	}
}

// What is known of a late answer survives the process.
func TestALateAnswerCountsAfterARestart(t *testing.T) {
	start(t, func(_ *Config, _ *Deps, m *smsc) { m.answer = accept }, func(w *world) {
		w.b.outcomes[lateOf("m1")] = []sms.PartOutcome{{MsgID: lateOf("m1"), Part: 1, Parts: 1, SMPPMsgID: "before"}}
		d := message(t, "m1", 1, report(sms.ReportSubmit))
		d.Attempts = 1
		w.b.put(d, message(t, "m2", 1, nil))
		synctest.Wait()
		wantEqual(t, "sent", w.m.texts(), []string{"m2"})
		wantEqual(t, "results", w.b.results(t), []queue.SubmitResult{{MsgID: "m1", CID: cid, SMPPMsgID: "before", Status: "ESME_ROK"}})
	})
}

func TestAMessageIsGivenUpAfterTooManyLosses(t *testing.T) {
	gone := func(a arrived) (pdu.Status, string) {
		a.sess.Close(nil)
		return holdBack, ""
	}
	for _, tt := range []struct {
		name   string
		answer func(arrived) (pdu.Status, string)
		strict bool
		before int // losses before the process started
		tries  int
	}{
		{"the session is lost", gone, false, 0, 10},
		{"the session is lost, with strict_order", gone, true, 0, 10},
		{"the session is lost, after a restart", gone, false, 9, 1},
		{"no answer", func(arrived) (pdu.Status, string) { return holdBack, "" }, false, 0, 10},
		{"no answer, with strict_order", func(arrived) (pdu.Status, string) { return holdBack, "" }, true, 0, 10},
		{"no answer, after a restart", func(arrived) (pdu.Status, string) { return holdBack, "" }, false, 10, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			start(t, func(cfg *Config, _ *Deps, m *smsc) {
				cfg.Connector.StrictOrder, cfg.Connector.ConLossDelay, cfg.Connector.Window = tt.strict, time.Second, 5
				cfg.RefundOnError = true
				m.answer = func(n int, a arrived) (pdu.Status, string) {
					if string(a.sm.ShortMessage) == "poison" {
						return tt.answer(a)
					}
					return accept(n, a)
				}
			}, func(w *world) {
				poison := message(t, "poison", 1, func(e *sms.Envelope) {
					e.Report, e.Bill = sms.ReportFinal, sms.Bill{Charged: true, Early: 100}
				})
				poison.Attempts = tt.before
				w.b.put(poison)
				others := 0
				for range 24 * 60 { // a message a minute beside what there is at first
					for range 1 + max(0, 20-others) {
						others++
						w.b.put(message(t, fmt.Sprintf("m%d", others), 1, nil))
					}
					time.Sleep(time.Minute)
				}
				synctest.Wait()
				tries := 0
				for _, text := range w.m.texts() {
					if text == "poison" {
						tries++
					}
				}
				wantEqual(t, "tries", tries, tt.tries)
				wantEqual(t, "results", w.b.results(t), []queue.SubmitResult{{MsgID: "poison", CID: cid, Status: "ESME_RSUBMITFAIL", State: "UNDELIV"}})
				dead := w.b.dead(t)
				if len(dead) != 1 || dead[0].Message.ID != "poison" || dead[0].Cause != queue.CauseRetries || dead[0].Reason != "10 tries to submit it were not answered" {
					t.Errorf("dead letters %+v", dead)
				}
				wantEqual(t, "acked", len(w.b.acked), others+1)
				wantEqual(t, "waiting", w.b.waiting(), 0)
				_, charges, _ := w.bills()
				wantEqual(t, "given back", len(charges), 0)
			})
		})
	}
}

// Those that are in flight with one that makes the SMSC drop the session are not given up with it.
func TestOthersAreNotGivenUpWithTheOneThatDropsTheSession(t *testing.T) {
	start(t, func(cfg *Config, _ *Deps, m *smsc) {
		cfg.Connector.ConLossDelay, cfg.Connector.Window = time.Second, 10
		m.answer = func(n int, a arrived) (pdu.Status, string) {
			poison := string(a.sm.ShortMessage) == "poison"
			time.AfterFunc(time.Second, func() { // a whole window is in flight then
				if poison {
					a.sess.Close(nil)
				} else {
					m.respond(a, pdu.StatusOK, fmt.Sprint("id", n))
				}
			})
			return holdBack, ""
		}
	}, func(w *world) {
		w.b.put(message(t, "poison", 1, nil))
		for i := range 30 {
			w.b.put(message(t, fmt.Sprintf("m%d", i), 1, nil))
		}
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if dead := w.b.dead(t); len(dead) != 1 || dead[0].Message.ID != "poison" {
			t.Errorf("dead letters %+v", dead)
		}
		wantEqual(t, "acked", len(w.b.acked), 31)
	})
}

// An SMSC that answers enquire_link and nothing else is bound to anew.
func TestASessionWithoutAnswersIsGivenUp(t *testing.T) {
	start(t, func(cfg *Config, _ *Deps, m *smsc) {
		cfg.Connector.EnquireLink, cfg.Connector.ConLossDelay = 30*time.Second, time.Second
		m.answer = func(n int, a arrived) (pdu.Status, string) {
			if a.sess == m.session(0) {
				return holdBack, ""
			}
			return accept(n, a)
		}
	}, func(w *world) {
		for i := range 4 {
			w.b.put(message(t, fmt.Sprintf("m%d", i), 1, nil))
		}
		time.Sleep(59 * time.Second)
		wantEqual(t, "sessions", len(w.m.dialled()), 1)
		time.Sleep(30 * time.Minute)
		synctest.Wait()
		wantEqual(t, "sessions", len(w.m.dialled()), 2)
		wantEqual(t, "acked", len(w.b.acked), 4)
	})
}

// An acceptance that came late stands, whatever is answered to the try after it.
func TestALateRefusalUndoesNoLateAcceptance(t *testing.T) {
	start(t, func(cfg *Config, _ *Deps, m *smsc) {
		m.answer = func(n int, a arrived) (pdu.Status, string) {
			if n == 1 { // when the second try is in flight
				time.AfterFunc(125*time.Second, func() { m.respond(a, pdu.StatusOK, "first") })
			} else {
				time.AfterFunc(cfg.Connector.ResponseTimeout+time.Second, func() { m.respond(a, pdu.StatusInvDstAdr, "") })
			}
			return holdBack, ""
		}
	}, func(w *world) {
		w.b.put(message(t, "m1", 1, report(sms.ReportSubmit)))
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		wantEqual(t, "sent", len(w.m.arrivals()), 2)
		for _, r := range w.b.results(t) { // at once, and when the message has come back
			wantEqual(t, "result", r, queue.SubmitResult{MsgID: "m1", CID: cid, SMPPMsgID: "first", Status: "ESME_ROK"})
		}
		wantEqual(t, "acked", w.b.acked, []string{"m1"})
		wantEqual(t, "kept", len(w.b.outcomes), 0)
	})
}

// What is answered late while the next try is in flight is forgotten with the message.
func TestALateAnswerIsForgottenWithItsMessage(t *testing.T) {
	start(t, func(_ *Config, _ *Deps, m *smsc) {
		m.answer = func(n int, a arrived) (pdu.Status, string) {
			after := 125 * time.Second // when the second try is in flight
			if n == 2 {
				after = 45 * time.Second
			}
			time.AfterFunc(after, func() { m.respond(a, pdu.StatusOK, fmt.Sprint("id", n)) })
			return holdBack, ""
		}
	}, func(w *world) {
		w.b.put(message(t, "m1", 1, nil))
		time.Sleep(time.Hour)
		synctest.Wait()
		wantEqual(t, "late", w.c.Stats().LateCount.Load(), 1)
		wantEqual(t, "sent", len(w.m.arrivals()), 2)
		wantEqual(t, "kept", len(w.b.outcomes), 0)
	})
}

// A late refusal counts for the connector that submitted, as a refusal and as no loss: the next one of a failover route begins anew.
func TestALateRefusalMovesTheMessage(t *testing.T) {
	start(t, func(cfg *Config, d *Deps, m *smsc) {
		answerLate(m, cfg.Connector.ResponseTimeout+time.Second, pdu.StatusSubmitFail)
		d.Bound = func(sms.ConnectorID) bool { return true }
	}, func(w *world) {
		w.b.put(message(t, "m1", 1, failsOver("two", "three")))
		time.Sleep(time.Minute + 2*time.Second)
		synctest.Wait()
		var refusals map[sms.MessageID][]sms.PartOutcome // as they were before the message moved
		w.b.do(func() { refusals = maps.Clone(w.b.outcomes) })
		wantEqual(t, "recorded", len(refusals), 1)
		time.Sleep(time.Hour)
		synctest.Wait()
		w.b.mu.Lock()
		var moved []*sms.Envelope
		for _, p := range w.b.published {
			if p.Queue == queue.SubmitSM("two") {
				env, err := queue.DecodeEnvelope(&queue.Delivery{Queue: p.Queue, Message: p.Message})
				if err != nil {
					t.Fatal(err)
				}
				moved = append(moved, env)
			}
		}
		w.b.mu.Unlock()
		if len(moved) != 1 {
			t.Fatalf("moved %d times", len(moved))
		}
		wantEqual(t, "losses", moved[0].Losses, 0)
		wantEqual(t, "kept", len(w.b.outcomes), 0)
		w.b.do(func() { w.b.outcomes = refusals }) // one that comes after the move
		two := &intake{settings: &settings{cid: "two"}, store: w.b}
		a, ok := two.attempt(t.Context(), queued{d: &queue.Delivery{Redelivered: true}, env: moved[0]}, nil)
		if !ok || a.refusals != nil || len(a.todo) != 1 {
			t.Errorf("the next connector does not send it: refusals %v, todo %v", a.refusals, a.todo)
		}
	})
}

// A try that was refused late was answered, so it is none of those after which a message is given up.
func TestALateRefusalIsNoLoss(t *testing.T) {
	start(t, func(cfg *Config, _ *Deps, m *smsc) {
		cfg.MaxLosses = 1
		answerLate(m, cfg.Connector.ResponseTimeout+time.Second, pdu.StatusSysErr)
	}, func(w *world) {
		w.b.put(message(t, "m1", 1, report(sms.ReportFinal)))
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		wantEqual(t, "sent", len(w.m.arrivals()), 3)
		wantEqual(t, "results", w.b.results(t), []queue.SubmitResult{{MsgID: "m1", CID: cid, Status: "ESME_RSYSERR"}})
		wantEqual(t, "dead letters", len(w.b.dead(t)), 0)
	})
}
