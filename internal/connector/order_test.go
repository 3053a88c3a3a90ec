package connector

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"jasmind/internal/journal"
	"jasmind/internal/queue"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

// firsts are the texts that arrived and were accepted, in order.
func ordered(n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprintf("m%d", i))
	}
	return out
}

func TestStrictOrderHoldsThroughThrottlingAndLostSessions(t *testing.T) {
	var accepted []string
	start(t, func(cfg *Config, _ *Deps, m *smsc) {
		cfg.Connector.StrictOrder, cfg.Connector.Window, cfg.Connector.Binds = true, 10, 2
		cfg.Connector.ConLossDelay = 5 * time.Second
		m.answer = func(n int, a arrived) (pdu.Status, string) {
			switch {
			case n == 2 || n == 3 || n == 7:
				return pdu.StatusThrottled, ""
			case n == 5 || n == 10:
				a.sess.Close(nil)
				return holdBack, ""
			}
			accepted = append(accepted, string(a.sm.ShortMessage))
			return pdu.StatusOK, fmt.Sprint(n)
		}
	}, func(w *world) {
		for i := range 12 {
			w.b.put(message(t, fmt.Sprintf("m%d", i), 1, nil))
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		wantEqual(t, "accepted", accepted, ordered(12))
		wantEqual(t, "at a time", w.m.most, 1)
		wantEqual(t, "through the queue", len(w.b.retries), 0)
		wantEqual(t, "waiting", w.b.waiting(), 0)
		w.shutdown()
	})
}

func TestStrictOrderGoesOnAfterEverySessionWasAwayForLong(t *testing.T) {
	var accepted []string
	start(t, func(cfg *Config, _ *Deps, m *smsc) {
		cfg.Connector.StrictOrder, cfg.Connector.ConLossDelay = true, time.Minute
		m.answer = func(n int, a arrived) (pdu.Status, string) {
			if n == 3 {
				a.sess.Close(nil)
				return holdBack, ""
			}
			accepted = append(accepted, string(a.sm.ShortMessage))
			return pdu.StatusOK, fmt.Sprint(n)
		}
	}, func(w *world) {
		for i := range 5 {
			w.b.put(message(t, fmt.Sprintf("m%d", i), 1, nil))
		}
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		wantEqual(t, "accepted", accepted, ordered(5))
		wantEqual(t, "waiting", w.b.waiting(), 0)
	})
}

func TestStrictOrderEndsAMessageThatIsThrottledTooOften(t *testing.T) {
	start(t, func(cfg *Config, _ *Deps, m *smsc) {
		cfg.Connector.StrictOrder = true
		cfg.Retrials = map[pdu.Status]Retrial{pdu.StatusThrottled: {Count: 3, Delay: time.Second}}
		m.answer = func(n int, a arrived) (pdu.Status, string) {
			if string(a.sm.ShortMessage) == "m0" {
				return pdu.StatusThrottled, ""
			}
			return pdu.StatusOK, fmt.Sprint(n)
		}
	}, func(w *world) {
		w.b.put(message(t, "m0", 1, report(sms.ReportSubmit)), message(t, "m1", 1, nil))
		time.Sleep(time.Minute)
		synctest.Wait()
		wantEqual(t, "sent", w.m.texts(), []string{"m0", "m0", "m0", "m0", "m1"})
		wantEqual(t, "result", w.b.results(t)[0].Status, "ESME_RTHROTTLED")
		wantEqual(t, "acked", w.b.acked, []string{"m0", "m1"})
	})
}

func TestStrictOrderSendsOnlyTheLeftPartsOfALongMessageAgain(t *testing.T) {
	start(t, func(cfg *Config, _ *Deps, m *smsc) {
		cfg.Connector.StrictOrder, cfg.Connector.Window = true, 1
		m.answer = func(n int, _ arrived) (pdu.Status, string) {
			if n == 2 {
				return pdu.StatusThrottled, ""
			}
			return pdu.StatusOK, fmt.Sprint("id", n)
		}
	}, func(w *world) {
		w.b.put(message(t, "m0", 3, report(sms.ReportFinal|sms.ReportSubmit)), message(t, "m1", 1, nil))
		time.Sleep(time.Minute)
		synctest.Wait()
		wantEqual(t, "sent", w.m.texts(), []string{"m0/1", "m0/2", "m0/2", "m0/3", "m1"})
		r := w.b.results(t)
		wantEqual(t, "result", []string{r[0].Status, r[0].SMPPMsgID}, []string{"ESME_ROK", "id1"})
		wantEqual(t, "acked", w.b.acked, []string{"m0", "m1"})
	})
}

func TestStrictOrderCanBeSwitchedOnAndOff(t *testing.T) {
	start(t, func(cfg *Config, _ *Deps, m *smsc) { cfg.Connector.Window = 5 }, func(w *world) {
		next := *w.c.cfg.Load()
		for _, strict := range []bool{true, false} {
			next.StrictOrder = strict
			if err := w.c.Update(next); err != nil {
				t.Fatal(err)
			}
			before := len(w.m.arrivals())
			for i := range 8 {
				w.b.put(message(t, fmt.Sprintf("%v-%d", strict, i), 1, nil))
			}
			synctest.Wait()
			want := 5
			if strict {
				want = 1
			}
			wantEqual(t, fmt.Sprint("in flight with strict_order ", strict), len(w.m.arrivals())-before, want)
			for done := before; done < before+8; {
				for _, a := range slices.Clone(w.m.arrivals())[done:] {
					done++
					w.m.respond(a, pdu.StatusOK, "x")
				}
				synctest.Wait()
			}
		}
		wantEqual(t, "acked", len(w.b.acked), 16)
	})
}

// An attempt that is to be made again when its subscription takes no more goes back to the queue, and can be taken in hand from there.
func TestStrictOrderGivesBackWhatIsToBeSentAgainAfterItsSubscription(t *testing.T) {
	for _, tt := range []struct {
		name  string
		later func(w *world, a arrived) // ends the attempt once the subscription takes no more
		own   bool                      // the message is an ESME's
	}{
		{"no answer", func(w *world, _ arrived) { time.Sleep(w.c.cfg.Load().ResponseTimeout) }, false},
		{"throttled", func(w *world, a arrived) { w.m.respond(a, pdu.StatusThrottled, "") }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			start(t, func(cfg *Config, _ *Deps, m *smsc) {
				cfg.Connector.StrictOrder = true
				m.answer = func(n int, _ arrived) (pdu.Status, string) {
					if n == 1 {
						return holdBack, ""
					}
					return pdu.StatusOK, fmt.Sprint(n)
				}
			}, func(w *world) {
				for i := range 3 {
					w.b.put(message(t, fmt.Sprintf("m%d", i), 1, func(e *sms.Envelope) {
						if tt.own {
							e.Origin = sms.OriginSMPP
						}
					}))
				}
				synctest.Wait()
				next := *w.c.cfg.Load()
				next.Window++ // another prefetch
				if err := w.c.Update(next); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				tt.later(w, w.m.arrivals()[0])
				time.Sleep(5 * time.Minute)
				synctest.Wait()
				wantEqual(t, "sent", w.m.texts(), []string{"m0", "m0", "m1", "m2"})
				wantEqual(t, "acked", w.b.acked, ordered(3))
				wantEqual(t, "in hand", len(w.c.intake.hands.held), 0)
				w.shutdown()
			})
		})
	}
}

func TestStrictOrderLetsGoOfWhatIsToBeSentAgainWhenItStops(t *testing.T) {
	start(t, func(cfg *Config, _ *Deps, _ *smsc) { cfg.Connector.StrictOrder = true }, func(w *world) {
		w.b.put(message(t, "m0", 1, func(e *sms.Envelope) { e.Origin = sms.OriginSMPP }))
		synctest.Wait()
		w.shutdownWhile(func() { w.m.respond(w.m.arrivals()[0], pdu.StatusThrottled, "") })
		wantEqual(t, "waiting", len(w.b.ready), 1)
		wantEqual(t, "in hand", len(w.c.intake.hands.held), 0)
		wantEqual(t, "tries remembered", len(w.c.intake.hands.back), 1)
		wantEqual(t, "claimed", len(w.b.claimed), 0)
	})
}

// What is to be sent again when nobody reads it any more (the connector was aborted) is in nobody's hand either.
func TestWhatNobodySendsAgainIsLetGo(t *testing.T) {
	start(t, nil, func(w *world) {
		sub := newSubscription(nil, 1)
		q := queued{d: message(t, "m0", 1, nil), env: &sms.Envelope{ID: "m0", Parts: make([]pdu.SubmitSM, 1)}, sub: sub}
		w.c.settler.hands.take(q)
		sub.out.add(1)
		sub.end()
		sub.close()
		a := &attempt{queued: q, strict: true}
		w.c.settler.done(&action{queued: q, verdict: &verdict{again: newAttempt(q, nil)}, judged: &judging{attempt: a}}, journal.Settled, nil)
		<-sub.out.empty()
		wantEqual(t, "in hand", len(w.c.settler.hands.held), 0)
	})
}

// What an earlier connector has left is settled beside the one message that is under way.
func TestStrictOrderHoldsWhenALeftMessageIsSettled(t *testing.T) {
	start(t, func(cfg *Config, d *Deps, _ *smsc) {
		cfg.Connector.StrictOrder = true
		d.Hands = NewHands()
		left := message(t, "m0", 1, nil)
		left.Queue = queue.SubmitSM(cid)
		q := queued{d: left, env: &sms.Envelope{ID: "m0", Parts: make([]pdu.SubmitSM, 1)}}
		d.Hands.take(q)
		d.Hands.leave(&action{queued: q, verdict: &verdict{}, judged: &judging{attempt: &attempt{queued: q, strict: true}}})
	}, func(w *world) {
		w.b.put(message(t, "m0", 1, nil), message(t, "m1", 1, nil), message(t, "m2", 1, nil))
		synctest.Wait()
		wantEqual(t, "acked", w.b.acked, []string{"m0"})
		wantEqual(t, "under way", w.m.texts(), []string{"m1"})
	})
}
