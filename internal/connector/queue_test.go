package connector

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"jasmind/internal/journal"
	"jasmind/internal/queue"
	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

func TestLongMessageLeavesInOrderOnOneBind(t *testing.T) {
	start(t, func(cfg *Config, _ *Deps, m *smsc) {
		cfg.Connector.Window, cfg.Connector.Binds = 2, 2
		m.answer = accept
	}, func(w *world) {
		w.b.put(message(t, "long", 7, report(sms.ReportSubmit)))
		time.Sleep(time.Second)
		synctest.Wait()
		wantEqual(t, "parts", w.m.texts(), []string{"long/1", "long/2", "long/3", "long/4", "long/5", "long/6", "long/7"})
		for _, a := range w.m.arrivals() {
			if a.sess != w.m.arrivals()[0].sess {
				t.Fatal("parts left on two binds")
			}
		}
		wantEqual(t, "window", w.m.most <= 2, true)
		wantEqual(t, "mappings", len(w.b.mappings), 7)
		wantEqual(t, "third part", w.b.mappings["ID3"], sms.Mapping{Account: "127.0.0.1:2775/smppclient", SMPPMsgID: "ID3", MsgID: "long",
			Part: 3, Parts: 7, Origin: sms.OriginHTTP, Expiry: 24 * time.Hour, SentBy: cid})
		wantEqual(t, "outcomes", len(w.b.outcomes["long"]), 7)
		wantEqual(t, "one result, with the first part's id", w.b.results(t), []queue.SubmitResult{{MsgID: "long", CID: cid, SMPPMsgID: "id1", Status: "ESME_ROK"}})
		wantEqual(t, "log lines", len(w.log.list()), 1)
		wantEqual(t, "outcomes are left to the lookup", w.b.forgotten, []sms.MessageID(nil))
	})
}

// The outcomes of a long message are kept as long as it may wait for its last part, however short dlr_expiry is.
func TestOutcomesAreKeptAsLongAsTheMessageWaits(t *testing.T) {
	start(t, func(cfg *Config, _ *Deps, m *smsc) {
		cfg.Connector.DLRExpiry = time.Minute
		m.answer = accept
	}, func(w *world) {
		w.b.put(message(t, "long", 3, report(sms.ReportFinal)))
		synctest.Wait()
		var kept []time.Duration
		for _, o := range w.b.outcomes["long"] {
			kept = append(kept, o.Expiry)
		}
		wantEqual(t, "kept", kept, []time.Duration{sms.QueueStay + outcomeExpiry, sms.QueueStay + outcomeExpiry, outcomeExpiry})
	})
}

func TestOutcomesOfAnUnaskedLongMessageAreForgotten(t *testing.T) {
	start(t, func(_ *Config, _ *Deps, m *smsc) { m.answer = accept }, func(w *world) {
		w.b.put(message(t, "long", 2, nil))
		synctest.Wait()
		wantEqual(t, "forgotten", w.b.forgotten, []sms.MessageID{"long"})
		wantEqual(t, "mappings", len(w.b.mappings), 0)
	})
}

func TestLongMessageResumesAfterACrashWithTheMissingParts(t *testing.T) {
	start(t, func(_ *Config, _ *Deps, m *smsc) { m.answer = accept }, func(w *world) {
		d := message(t, "long", 4, report(sms.ReportSubmit))
		d.Redelivered = true
		w.b.do(func() {
			for _, part := range []int{1, 3} {
				w.b.outcomes["long"] = append(w.b.outcomes["long"], sms.PartOutcome{MsgID: "long", Part: part, Parts: 4, SMPPMsgID: fmt.Sprint("old", part)})
			}
		})
		w.b.put(d)
		synctest.Wait()
		wantEqual(t, "parts", w.m.texts(), []string{"long/2", "long/4"})
		wantEqual(t, "result", w.b.results(t), []queue.SubmitResult{{MsgID: "long", CID: cid, SMPPMsgID: "old1", Status: "ESME_ROK"}})
		wantEqual(t, "acked", w.b.acked, []string{"long"})
	})
}

func TestLongMessageThatWasWhollyAcceptedBeforeTheCrashIsJustSettled(t *testing.T) {
	start(t, func(_ *Config, _ *Deps, m *smsc) { m.answer = accept }, func(w *world) {
		d := message(t, "long", 2, report(sms.ReportSubmit))
		d.Redelivered = true
		w.b.do(func() {
			w.b.outcomes["long"] = []sms.PartOutcome{{Part: 1, SMPPMsgID: "x"}, {Part: 2, SMPPMsgID: "y"}}
		})
		w.b.put(d)
		synctest.Wait()
		wantEqual(t, "parts", w.m.texts(), []string(nil))
		wantEqual(t, "result", w.b.results(t), []queue.SubmitResult{{MsgID: "long", CID: cid, SMPPMsgID: "x", Status: "ESME_ROK"}})
	})
}

func TestRefusedPartOfALongMessage(t *testing.T) {
	for _, tt := range []struct {
		name    string
		status  pdu.Status
		texts   []string
		results []string
	}{
		{"in the retry table: the rest later, what was accepted not again", pdu.StatusSysErr,
			[]string{"long/1", "long/2", "long/2", "long/3", "long/4"}, []string{"ESME_ROK id1"}},
		{"for good: the rest is not sent, the first refusal is told", pdu.StatusInvDstAdr, []string{"long/1", "long/2"}, []string{"ESME_RINVDSTADR "}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			start(t, func(cfg *Config, _ *Deps, m *smsc) {
				cfg.Connector.Window = 1 // one at a time, so that the refusal comes before the next part
				m.answer = func(n int, _ arrived) (pdu.Status, string) {
					if n == 2 {
						return tt.status, ""
					}
					return accept(n, arrived{})
				}
			}, func(w *world) {
				w.b.put(message(t, "long", 4, report(sms.ReportSubmit)))
				time.Sleep(time.Hour)
				synctest.Wait()
				wantEqual(t, "parts", w.m.texts(), tt.texts)
				var got []string
				for _, r := range w.b.results(t) {
					got = append(got, r.Status+" "+r.SMPPMsgID)
				}
				wantEqual(t, "results", got, tt.results)
				wantEqual(t, "acked", w.b.acked, []string{"long"})
				w.m.mu.Lock()
				defer w.m.mu.Unlock()
				wantEqual(t, "window", w.m.most, 1)
			})
		})
	}
}

func TestLevelOneWaitsForTheLastPart(t *testing.T) {
	start(t, nil, func(w *world) {
		w.b.put(message(t, "long", 3, report(sms.ReportSubmit)))
		synctest.Wait()
		got := w.m.arrivals()
		wantEqual(t, "in flight", len(got), 3)
		w.m.respond(got[2], pdu.StatusOK, "c")
		w.m.respond(got[0], pdu.StatusOK, "a")
		synctest.Wait()
		wantEqual(t, "too early", w.b.results(t), []queue.SubmitResult(nil))
		wantEqual(t, "outcomes so far", len(w.b.outcomes["long"]), 2)
		w.m.respond(got[1], pdu.StatusSubmitFail, "")
		synctest.Wait()
		wantEqual(t, "result", w.b.results(t), []queue.SubmitResult{{MsgID: "long", CID: cid, Status: "ESME_RSUBMITFAIL"}})
	})
}

func TestSessionLostWithinALongMessage(t *testing.T) {
	start(t, func(cfg *Config, _ *Deps, m *smsc) {
		cfg.Connector.Window, cfg.Connector.ConLossDelay = 2, 5*time.Second
		m.answer = func(n int, a arrived) (pdu.Status, string) {
			if n == 4 {
				a.sess.Close(nil)
				return holdBack, ""
			}
			return accept(n, a)
		}
	}, func(w *world) {
		w.b.put(message(t, "long", 6, report(sms.ReportSubmit)), message(t, "m1", 1, nil))
		time.Sleep(time.Minute)
		synctest.Wait()
		counts := map[string]int{}
		for _, s := range w.m.texts() {
			counts[s]++
		}
		total := 0
		for i := range 6 {
			if n := counts[fmt.Sprintf("long/%d", i+1)]; n < 1 {
				t.Errorf("part %d was not sent", i+1)
			}
			total += counts[fmt.Sprintf("long/%d", i+1)]
		}
		if total > 6+2 {
			t.Errorf("%d parts sent, want at most a window of 2 more than 6", total)
		}
		slices.Sort(w.b.acked)
		wantEqual(t, "acked", w.b.acked, []string{"long", "m1"})
		wantEqual(t, "results", len(w.b.results(t)), 1)
	})
}

// What was in flight when the session was lost, and what was only taken from the queue, comes before the backlog: a
// short validity would end behind it.
func TestWhatALostSessionGivesBackComesBeforeTheBacklog(t *testing.T) {
	for _, away := range []time.Duration{100 * time.Millisecond, unboundGrace + 10*time.Second} {
		t.Run(fmt.Sprint("away for ", away), func(t *testing.T) {
			const n, window = 40, 4
			start(t, func(cfg *Config, _ *Deps, _ *smsc) {
				cfg.Connector.Window, cfg.Connector.ConLossDelay = window, away
			}, func(w *world) {
				var want []string
				for i := range n {
					want = append(want, fmt.Sprintf("m%02d", i))
					w.b.put(message(t, want[i], 1, nil))
				}
				synctest.Wait()
				prefetch := w.c.intake.prefetch()
				w.m.mu.Lock()
				w.m.answer = accept
				w.m.mu.Unlock()
				w.m.session(0).Close(nil)
				time.Sleep(time.Minute)
				synctest.Wait()
				got := w.m.texts()[window:]
				if away > unboundGrace {
					wantEqual(t, "sent", got, want)
					return
				}
				// What is in hand may go first.
				taken := slices.Clone(got[:prefetch])
				slices.Sort(taken)
				wantEqual(t, "sent first", taken, want[:prefetch])
				wantEqual(t, "sent", len(got), n)
			})
		})
	}
}

func TestRedeliveredMessageThatWasSettledIsNotSent(t *testing.T) {
	start(t, func(_ *Config, _ *Deps, m *smsc) { m.answer = accept }, func(w *world) {
		var ds []*queue.Delivery
		for i := range 6 {
			d := message(t, fmt.Sprintf("m%d", i), 1, nil)
			d.Redelivered = i != 0
			d.Queue = queue.SubmitSM(cid)
			if i%2 == 1 {
				w.b.settled[d.Key()] = true
			}
			ds = append(ds, d)
		}
		again := message(t, "m1", 1, nil) // the next attempt of a settled one: not settled
		again.Redelivered, again.Attempts = true, 1
		w.b.put(append(ds, again)...)
		synctest.Wait()
		wantEqual(t, "sent", w.m.texts(), []string{"m0", "m2", "m4", "m1"})
		slices.Sort(w.b.acked)
		wantEqual(t, "acked", w.b.acked, []string{"m0", "m1", "m1", "m2", "m3", "m4", "m5"})
		if w.b.asked > 2 {
			t.Errorf("Settled was called %d times for one batch", w.b.asked)
		}
		wantEqual(t, "log lines", len(w.log.list()), 4)
		st := w.c.Stats()
		wantEqual(t, "counters", []int64{st.SettledBeforeCount.Load(), st.RedeliveredCount.Load()}, []int64{3, 3})
	})
}

func TestRedeliveredMessageWaitsUntilTheJournalAnswers(t *testing.T) {
	start(t, func(_ *Config, _ *Deps, m *smsc) { m.answer = accept }, func(w *world) {
		w.b.do(func() { w.b.settledFn = func() error { return queue.ErrUnavailable } })
		d := message(t, "m1", 1, nil)
		d.Redelivered = true
		w.b.put(d)
		time.Sleep(time.Minute)
		synctest.Wait()
		wantEqual(t, "sent", len(w.m.arrivals()), 0)
		w.b.do(func() { w.b.settledFn = nil })
		time.Sleep(time.Minute)
		synctest.Wait()
		wantEqual(t, "sent", w.m.texts(), []string{"m1"})

		w.b.do(func() { w.b.settledFn = func() error { return queue.ErrUnavailable } })
		d = message(t, "m2", 1, nil)
		d.Redelivered = true
		w.b.put(d)
		time.Sleep(time.Second)
		begin := time.Now()
		w.shutdown()
		wantEqual(t, "shutdown does not wait for it", time.Since(begin), 0)
		wantEqual(t, "given back", len(w.b.ready), 1)
	})
}

func TestExpiredMessageIsDroppedAndReported(t *testing.T) {
	for _, r := range []sms.Report{0, sms.ReportFinal} {
		t.Run(fmt.Sprint("level ", r.Level()), func(t *testing.T) {
			start(t, func(_ *Config, _ *Deps, m *smsc) { m.answer = accept }, func(w *world) {
				until := time.Now().Add(time.Minute)
				d := message(t, "m1", 1, func(e *sms.Envelope) { e.Report, e.ExpiresAt = r, until })
				w.b.expiries = []sms.Expiry{{At: until, MsgID: "m1"}, {At: until, MsgID: "other"}}
				time.Sleep(time.Minute)
				w.b.put(d, message(t, "m2", 1, nil))
				synctest.Wait()
				wantEqual(t, "sent", w.m.texts(), []string{"m2"})
				var want []queue.SubmitResult
				if r != 0 {
					want = []queue.SubmitResult{{MsgID: "m1", CID: cid, Status: "ESME_RDELIVERYFAILURE", State: "EXPIRED"}}
				}
				wantEqual(t, "results", w.b.results(t), want)
				wantEqual(t, "left in the index", w.b.expiries, []sms.Expiry{{At: until, MsgID: "other"}})
				wantEqual(t, "counter", w.c.Stats().ExpiredCount.Load(), 1)
			})
		})
	}
}

func TestMessageExpiresWhileItWaitsForThroughput(t *testing.T) {
	start(t, func(cfg *Config, _ *Deps, m *smsc) {
		cfg.Connector.SubmitThroughput = 0.1
		m.answer = accept
	}, func(w *world) {
		until := func(e *sms.Envelope) { e.Report, e.ExpiresAt = sms.ReportFinal, time.Now().Add(15*time.Second) }
		w.b.put(message(t, "m1", 1, until), message(t, "long", 3, until))
		time.Sleep(time.Minute)
		synctest.Wait()
		wantEqual(t, "sent", w.m.texts(), []string{"m1", "long/1"})
		wantEqual(t, "results", w.b.results(t), []queue.SubmitResult{{MsgID: "long", CID: cid, Status: "ESME_RDELIVERYFAILURE", State: "EXPIRED"}})
		wantEqual(t, "acked", w.b.acked, []string{"m1", "long"})
	})
}

func TestRelativeValidityLeavesAsWhatRemains(t *testing.T) {
	start(t, func(_ *Config, _ *Deps, m *smsc) { m.answer = accept }, func(w *world) {
		begin := time.Now()
		with := func(period string, until time.Duration) func(*sms.Envelope) {
			return func(e *sms.Envelope) { e.ExpiresAt, e.Parts[0].ValidityPeriod = begin.Add(until), period }
		}
		time.Sleep(90 * time.Minute)
		w.b.put(message(t, "relative", 1, with("000001000000000R", 24*time.Hour)),
			message(t, "absolute", 1, with("000102000000000+", 24*time.Hour)),
			message(t, "unset", 1, with("", 2*time.Hour)),
			message(t, "far", 1, with("000300000000000R", 90*24*time.Hour)),
			message(t, "none", 1, nil))
		synctest.Wait()
		var got []string
		for _, a := range w.m.arrivals() {
			got = append(got, a.sm.ValidityPeriod)
		}
		wantEqual(t, "validity_period", got, []string{"000000223000000R", "000102000000000+", "000000003000000R", "000331000000000+", ""})
		if l := w.log.list()[0]; !strings.Contains(l, "[validity:2000-01-02 00:00:00]") {
			t.Error(l)
		}
	})
}

func TestSettledMessageLeavesTheExpiryIndexAndARetriedOneStays(t *testing.T) {
	start(t, func(_ *Config, _ *Deps, m *smsc) {
		m.answer = func(n int, _ arrived) (pdu.Status, string) {
			if n == 1 {
				return pdu.StatusSysErr, ""
			}
			return pdu.StatusOK, "1"
		}
	}, func(w *world) {
		until := time.Now().Add(time.Hour)
		w.b.expiries = []sms.Expiry{{At: until, MsgID: "m1"}}
		w.b.put(message(t, "m1", 1, func(e *sms.Envelope) { e.ExpiresAt = until }))
		synctest.Wait()
		w.b.do(func() { wantEqual(t, "index after the refusal", len(w.b.expiries), 1) })
		time.Sleep(time.Minute)
		synctest.Wait()
		w.b.do(func() { wantEqual(t, "index after the acceptance", len(w.b.expiries), 0) })
	})
}

func TestUndecodableMessageGoesToTheDeadLetters(t *testing.T) {
	start(t, func(_ *Config, _ *Deps, m *smsc) { m.answer = accept }, func(w *world) {
		d := message(t, "m1", 1, report(sms.ReportFinal))
		d.Body = d.Body[:20]
		w.b.put(d, message(t, "m2", 1, nil))
		synctest.Wait()
		wantEqual(t, "sent", w.m.texts(), []string{"m2"})
		var dead []queue.Publication
		for _, p := range w.b.published {
			if p.Queue == queue.DeadLetter {
				dead = append(dead, p)
			}
		}
		if len(dead) != 1 || dead[0].Message.ID != "m1" || len(dead[0].Message.Body) != 20 || !strings.Contains(dead[0].Message.Headers.Str(queue.HeaderDeadReason), "command_length") {
			t.Errorf("dead letters: %+v", dead)
		}
		wantEqual(t, "results", w.b.results(t), []queue.SubmitResult{{MsgID: "m1", CID: cid, Status: "ESME_RSYSERR", State: "UNDELIV"}})
		slices.Sort(w.b.acked)
		wantEqual(t, "acked", w.b.acked, []string{"m1", "m2"})
	})
}

func TestUnencodableMessageIsGivenUp(t *testing.T) {
	start(t, func(_ *Config, _ *Deps, m *smsc) { m.answer = accept }, func(w *world) {
		synctest.Wait()
		env := &sms.Envelope{ID: "m1", CID: cid, Report: sms.ReportFinal, CreatedAt: time.Now(),
			Parts: []pdu.SubmitSM{{Message: pdu.Message{Dest: pdu.Address{Addr: strings.Repeat("1", 100)}}}}}
		d := &queue.Delivery{Message: queue.Message{ID: "m1"}, Queue: queue.SubmitSM(cid)}
		sub := &subscription{ended: make(chan struct{})}
		sub.out.add(1)
		w.c.intake.jobs <- newAttempt(queued{d: d, env: env, sub: sub}, nil)
		synctest.Wait()
		wantEqual(t, "results", w.b.results(t), []queue.SubmitResult{{MsgID: "m1", CID: cid, Status: "ESME_RSUBMITFAIL", State: "UNDELIV"}})
		<-sub.out.empty()
		w.b.put(message(t, "m2", 1, nil))
		synctest.Wait()
		wantEqual(t, "the session goes on", w.m.texts(), []string{"m2"})
		wantEqual(t, "places taken", w.c.binds.all[0].win.used, 1) // the sender's own, for the next message
	})
}

func TestMessageThatADeadSessionCouldNotTakeGoesToAnotherBind(t *testing.T) {
	start(t, func(_ *Config, _ *Deps, m *smsc) { m.answer = accept }, func(w *world) {
		for _, parts := range []int{1, 2} {
			ours, theirs := net.Pipe()
			defer theirs.Close()
			dead := smpp.NewSession(ours, smpp.ESME, smpp.Config{})
			dead.Close(nil)
			b := &bind{bindDeps: &w.c.binds.bindDeps, win: newWindow(1), stop: make(chan struct{})}
			b.win.used = 1
			env := &sms.Envelope{ID: "m1", CID: cid, CreatedAt: time.Now(), Parts: make([]pdu.SubmitSM, parts)}
			sub := &subscription{ended: make(chan struct{})}
			sub.out.add(1)
			b.transmit(w.t.Context(), dead, newAttempt(queued{d: &queue.Delivery{Message: queue.Message{ID: "m1"}}, env: env, sub: sub}, nil))
			<-sub.out.empty()
			wantEqual(t, "place in the window of the dead one", b.win.used, 0)
		}
		wantEqual(t, "sent", len(w.m.arrivals()), 3)
		wantEqual(t, "retries", len(w.b.retries), 0)
	})
}

func TestSubmitSMRespIsCopiedForObservers(t *testing.T) {
	start(t, func(cfg *Config, _ *Deps, m *smsc) {
		cfg.PublishSubmitSMResp = true
		m.answer = func(n int, _ arrived) (pdu.Status, string) {
			if n == 2 {
				return pdu.StatusInvDstAdr, ""
			}
			return pdu.StatusOK, "42"
		}
	}, func(w *world) {
		w.b.put(message(t, "m1", 1, nil), message(t, "m2", 1, nil))
		synctest.Wait()
		var got []string
		for _, p := range w.b.published {
			h, body, err := pdu.Decode(p.Message.Body)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprint(p.Queue, " ", p.Observers, " ", p.Message.ID, " ", h.Status, " ", body.(*pdu.SubmitSMResp).MessageID))
		}
		wantEqual(t, "copies", got, []string{"submit.sm.resp.smsc1 true m1 ESME_ROK 42", "submit.sm.resp.smsc1 true m2 ESME_RINVDSTADR "})
	})
}

func TestMessageLogKeepsItsLinesAndSecrets(t *testing.T) {
	for _, private := range []bool{false, true} {
		t.Run(fmt.Sprint("privacy ", private), func(t *testing.T) {
			start(t, func(cfg *Config, _ *Deps, m *smsc) {
				cfg.LogPrivacy = private
				m.answer = accept
			}, func(w *world) {
				w.b.put(message(t, "m1", 1, func(e *sms.Envelope) {
					e.Content, e.Priority = "é\nSMS-MT [cid:forged]", 2
					e.Parts[0].RegisteredDelivery = 1
				}), message(t, "m2", 1, func(e *sms.Envelope) { e.Content = "" }))
				synctest.Wait()
				content := []string{`é\nSMS-MT [cid:forged]`, "m2"}
				if private {
					content = []string{"** 22 byte content **", "** 2 byte content **"}
				}
				got := w.log.list()
				wantEqual(t, "lines", got, []string{
					"SMS-MT [cid:smsc1] [queue-msgid:m1] [smpp-msgid:id1] [status:ESME_ROK] [prio:2] [dlr:SMSC_DELIVERY_RECEIPT_REQUESTED] [validity:none] [from:1234] [to:33612345678] [content:'" + content[0] + "']",
					"SMS-MT [cid:smsc1] [queue-msgid:m2] [smpp-msgid:id2] [status:ESME_ROK] [prio:0] [dlr:NO_SMSC_DELIVERY_RECEIPT_REQUESTED] [validity:none] [from:1234] [to:33612345678] [content:'" + content[1] + "']",
				})
			})
		})
	}
}

func TestExpirySweeper(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		now := time.Now()
		b.expiries = []sms.Expiry{
			{At: now.Add(time.Second), MsgID: "stopped", CID: "stopped", Report: sms.ReportFinal},
			{At: now.Add(time.Second), MsgID: "unasked", CID: "stopped"},
			{At: now.Add(time.Second), MsgID: "running", CID: "running", Report: sms.ReportSubmit},
			{At: now.Add(time.Hour), MsgID: "later", CID: "stopped", Report: sms.ReportFinal},
		}
		s := NewExpirySweeper(ExpiryConfig{Interval: 10 * time.Second}, b, b, func(c sms.ConnectorID) time.Duration {
			if c == "running" {
				return time.Minute
			}
			return 0
		}, nil)
		done := make(chan error, 1)
		ctx, cancel := contextWithCancel(t)
		go func() { done <- s.Run(ctx) }()
		time.Sleep(11 * time.Second)
		synctest.Wait()
		wantEqual(t, "reported", b.results(t), []queue.SubmitResult{{MsgID: "stopped", CID: "stopped", Status: "ESME_RDELIVERYFAILURE", State: "EXPIRED"}})
		wantEqual(t, "left", len(b.expiries), 2)
		b.do(func() { b.refuse = func(*journal.Entry) error { return errors.New("away") } })
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		wantEqual(t, "left while the journal is away", len(b.expiries), 2)
		b.do(func() { b.refuse = nil })
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		r := b.results(t)
		wantEqual(t, "after the grace", r[len(r)-1], queue.SubmitResult{MsgID: "running", CID: "running", Status: "ESME_RDELIVERYFAILURE", State: "EXPIRED"})
		wantEqual(t, "left", len(b.expiries), 1)
		cancel()
		<-done
	})
}
