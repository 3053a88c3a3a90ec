package connector

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

func TestBindFailuresAndLossesAreRetriedAsConfigured(t *testing.T) {
	start(t, func(cfg *Config, _ *Deps, m *smsc) {
		cfg.Connector.ConFailDelay, cfg.Connector.ConLossDelay = 20*time.Second, 60*time.Second
		m.answer = accept
		m.dialErr = func(n int) error {
			if n == 1 {
				return errors.New("connection refused")
			}
			return nil
		}
		m.bind = func(n int, _ *pdu.Bind) pdu.Status {
			if n == 2 {
				return pdu.StatusInvPaswd
			}
			return pdu.StatusOK
		}
	}, func(w *world) {
		wantEqual(t, "state", fmt.Sprint(w.c.Status(), w.c.Bound()), "[NONE] false")
		w.b.put(message(t, "m1", 1, nil))
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		wantEqual(t, "state", fmt.Sprint(w.c.Status(), w.c.Bound()), "[BOUND_TRX] true")
		wantEqual(t, "acked", w.b.acked, []string{"m1"})
		w.m.session(1).Close(nil)
		synctest.Wait()
		wantEqual(t, "state", fmt.Sprint(w.c.Status(), w.c.Bound()), "[NONE] false")
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		wantEqual(t, "state", fmt.Sprint(w.c.Status(), w.c.Bound()), "[BOUND_TRX] true")
		d := w.m.dials
		wantEqual(t, "dials", len(d), 4)
		between(t, "after the failed connection", d[1].Sub(d[0]), 20*time.Second, 22*time.Second)
		between(t, "after the refused bind", d[2].Sub(d[1]), 40*time.Second, 44*time.Second)
		between(t, "after the loss", d[3].Sub(d[0]), 120*time.Second+60*time.Second, 120*time.Second+66*time.Second)
		st := w.c.Stats()
		wantEqual(t, "counters", []int64{st.ConnectedCount.Load(), st.BoundCount.Load(), st.DisconnectedCount.Load()}, []int64{3, 2, 2})
	})
}

func TestDelaysGrowWhileTheSMSCIsAwayAndWhenSessionsDoNotLast(t *testing.T) {
	gaps := func(at []time.Time) (out []int) {
		for i := 1; i < len(at); i++ {
			out = append(out, int(at[i].Sub(at[i-1])/(5*time.Second))*5) // a tenth more at most
		}
		return out
	}
	t.Run("failed connections", func(t *testing.T) {
		start(t, func(cfg *Config, _ *Deps, m *smsc) {
			cfg.Connector.ConFailDelay = 5 * time.Second
			m.dialErr = func(int) error { return errors.New("connection refused") }
		}, func(w *world) {
			time.Sleep(130 * time.Second)
			wantEqual(t, "waits", gaps(w.m.dialled()), []int{5, 10, 20, 40, 40})
		})
	})
	t.Run("a delay above a minute stays as it is", func(t *testing.T) {
		start(t, func(cfg *Config, _ *Deps, m *smsc) {
			cfg.Connector.ConFailDelay = 100 * time.Second
			m.dialErr = func(int) error { return errors.New("connection refused") }
		}, func(w *world) {
			time.Sleep(350 * time.Second)
			at := w.m.dialled()
			for i := 1; i < len(at); i++ {
				between(t, "wait", at[i].Sub(at[i-1]), 100*time.Second, 110*time.Second)
			}
			wantEqual(t, "dials", len(at), 4)
		})
	})
	t.Run("sessions that end at once, until one lasts", func(t *testing.T) {
		start(t, func(cfg *Config, _ *Deps, m *smsc) { cfg.Connector.ConLossDelay = 5 * time.Second }, func(w *world) {
			for i := range 6 {
				if i == 4 {
					time.Sleep(steady)
				}
				w.m.session(i).Close(nil)
				for len(w.m.dialled()) == i+1 {
					time.Sleep(100 * time.Millisecond)
				}
				synctest.Wait()
			}
			wantEqual(t, "waits", gaps(w.m.dialled()), []int{5, 10, 20, 40, 35, 10})
		})
	})
}

func TestUnbindOfTheSMSCIsAnsweredAndNothingIsLost(t *testing.T) {
	start(t, func(cfg *Config, _ *Deps, m *smsc) { cfg.Connector.ConLossDelay = 5 * time.Second }, func(w *world) {
		w.b.put(message(t, "m1", 1, nil), message(t, "m2", 1, nil))
		synctest.Wait()
		w.m.respond(w.m.arrivals()[0], pdu.StatusOK, "1")
		synctest.Wait()
		w.m.mu.Lock()
		w.m.answer = accept
		w.m.mu.Unlock()
		if err := w.m.session(0).Unbind(w.t.Context()); err != nil {
			t.Errorf("the unbind was not answered: %v", err)
		}
		synctest.Wait()
		wantEqual(t, "bound", w.c.Bound(), false)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		wantEqual(t, "state", w.c.Status(), []string{"BOUND_TRX"})
		wantEqual(t, "acked", w.b.acked, []string{"m1", "m2"})
		wantEqual(t, "sent", w.m.texts(), []string{"m1", "m2", "m2"})
	})
}

func TestTransmitterSubmits(t *testing.T) {
	start(t, func(cfg *Config, _ *Deps, m *smsc) {
		cfg.Connector.Bind = pdu.Transmitter
		m.answer = accept
	}, func(w *world) {
		w.b.put(message(t, "m1", 1, report(sms.ReportFinal)))
		synctest.Wait()
		wantEqual(t, "state", fmt.Sprint(w.c.Status(), w.c.Bound()), "[BOUND_TX] true")
		wantEqual(t, "acked", w.b.acked, []string{"m1"})
	})
}

func TestIDsOfTheSMSCAreThoseOfItsAccount(t *testing.T) {
	known := map[sms.ConnectorID][]sms.Account{
		cid:          {"new.example:2775/smppclient", "127.0.0.1:2775/smppclient", "old.example:2775/smppclient"},
		"receiver-1": {"smsc.example:2776/user", "former.example:2776/user"},
	}
	for _, tt := range []struct {
		name   string
		dlrCID sms.ConnectorID
		want   sms.Account
	}{
		{"its own", "", "127.0.0.1:2775/smppclient"},
		{"its own, by name", cid, "127.0.0.1:2775/smppclient"},
		{"that of the receiver", "receiver-1", "smsc.example:2776/user"},
		{"a receiver that is not there", "receiver-2", "receiver-2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			start(t, func(cfg *Config, d *Deps, m *smsc) {
				cfg.Connector.DLRCID = tt.dlrCID
				d.Accounts = func(cid sms.ConnectorID) []sms.Account { return known[cid] }
				m.answer = accept
			}, func(w *world) {
				w.b.put(message(t, "m1", 1, report(sms.ReportFinal)))
				synctest.Wait()
				w.b.do(func() {
					m := w.b.mappings["ID1"]
					wantEqual(t, "mapping", []string{string(m.Account), string(m.SentBy), string(m.MsgID)}, []string{string(tt.want), string(cid), "m1"})
				})
				// The accounts that the connector had before may still send receipts.
				w.send(deliver(receiptText, pdu.ESMTypeReceipt))
				synctest.Wait()
				wantEqual(t, "looked for at", w.b.receipts(t)[0].Accounts,
					[]sms.Account{"127.0.0.1:2775/smppclient", "new.example:2775/smppclient", "old.example:2775/smppclient"})
			})
		})
	}
}

func TestInterfaceVersionIsTheConnectors(t *testing.T) {
	var got []uint8
	start(t, func(cfg *Config, _ *Deps, m *smsc) {
		cfg.Connector.InterfaceVersion = 0x50
		m.bind = func(_ int, b *pdu.Bind) pdu.Status {
			got = append(got, b.InterfaceVersion)
			return pdu.StatusOK
		}
	}, func(*world) { wantEqual(t, "interface_version", got, []uint8{0x50}) })
}

func between(t *testing.T, what string, got, least, most time.Duration) {
	t.Helper()
	if got < least || got > most {
		t.Errorf("%s: %v, want %v to %v", what, got, least, most)
	}
}

func TestStatusWhileTheBindIsNotAnswered(t *testing.T) {
	start(t, func(cfg *Config, _ *Deps, m *smsc) {
		m.bind = func(int, *pdu.Bind) pdu.Status {
			time.Sleep(time.Hour)
			return pdu.StatusOK
		}
	}, func(w *world) {
		wantEqual(t, "state", w.c.Status(), []string{"OPEN"})
		time.Sleep(31 * time.Second)
		wantEqual(t, "state after bind_to", w.c.Status(), []string{"NONE"})
		st := w.c.Stats()
		wantEqual(t, "counters", []int64{st.ConnectedCount.Load(), st.BoundCount.Load(), st.DisconnectedCount.Load()}, []int64{1, 0, 1})
		w.shutdown()
	})
}

func TestWithoutRetryABindGivesUp(t *testing.T) {
	for _, tt := range []struct {
		name string
		loss bool
	}{{"con_fail_retry", false}, {"con_loss_retry", true}} {
		t.Run(tt.name, func(t *testing.T) {
			start(t, func(cfg *Config, _ *Deps, m *smsc) {
				cfg.Connector.ConFailRetry, cfg.Connector.ConLossRetry = tt.loss, !tt.loss
				m.dialErr = func(int) error {
					if tt.loss {
						return nil
					}
					return errors.New("connection refused")
				}
			}, func(w *world) {
				if tt.loss {
					w.m.session(0).Close(nil)
				}
				time.Sleep(time.Hour)
				synctest.Wait()
				wantEqual(t, "dials", len(w.m.dials), 1)
				wantEqual(t, "state", w.c.Status(), []string{"NONE"})
				w.shutdown()
			})
		})
	}
}

func TestNothingIsConsumedWhileUnbound(t *testing.T) {
	start(t, func(cfg *Config, _ *Deps, m *smsc) {
		cfg.Connector.ConLossDelay = time.Minute
		m.answer = accept
	}, func(w *world) {
		w.b.do(func() { wantEqual(t, "subscriptions", len(w.b.consumers), 1) })
		w.m.session(0).Close(nil)
		time.Sleep(unboundGrace - time.Second)
		synctest.Wait()
		w.b.do(func() { wantEqual(t, "subscriptions just after the loss", len(w.b.consumers), 1) })
		time.Sleep(2 * time.Second)
		synctest.Wait()
		w.b.do(func() { wantEqual(t, "subscriptions without a session", len(w.b.consumers), 0) })
		w.b.put(message(t, "m1", 1, nil))
		time.Sleep(10 * time.Second)
		synctest.Wait()
		wantEqual(t, "waiting", w.b.waiting(), 1)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		wantEqual(t, "acked", w.b.acked, []string{"m1"})
	})
}

func TestReceiverNeverConsumes(t *testing.T) {
	start(t, func(cfg *Config, _ *Deps, m *smsc) { cfg.Connector.Bind = pdu.Receiver }, func(w *world) {
		w.b.put(message(t, "m1", 1, nil))
		time.Sleep(time.Minute)
		synctest.Wait()
		wantEqual(t, "state", fmt.Sprint(w.c.Status(), w.c.Bound(), w.b.waiting(), w.b.subs), "[BOUND_RX] false 1 []")
		w.shutdown()
	})
}

func TestSessionLostInMidWindow(t *testing.T) {
	start(t, func(cfg *Config, _ *Deps, m *smsc) {
		cfg.Connector.Window, cfg.Connector.ConLossDelay = 4, 10*time.Second
	}, func(w *world) {
		for i := range 10 {
			w.b.put(message(t, fmt.Sprintf("m%d", i), 1, nil))
		}
		synctest.Wait()
		got := w.m.arrivals()
		wantEqual(t, "in flight", len(got), 4)
		w.m.respond(got[1], pdu.StatusOK, "1")
		synctest.Wait()
		w.m.mu.Lock()
		w.m.answer = accept
		w.m.mu.Unlock()
		w.m.session(0).Close(nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		w.b.do(func() { slices.Sort(w.b.acked) })
		wantEqual(t, "acked", w.b.acked, []string{"m0", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "m9"})
		seen := map[string]int{}
		for _, s := range w.m.texts() {
			seen[s]++
		}
		wantEqual(t, "the settled one was sent once", seen["m1"], 1)
		if twice := len(w.m.texts()) - 10; twice > 4 {
			t.Errorf("%d duplicates, window is 4", twice)
		}
		wantEqual(t, "unanswered", w.c.Stats().UnansweredCount.Load(), 4)
	})
}

func TestMessageThatDropsTheSessionDoesNotKeepOthersForEver(t *testing.T) {
	start(t, func(cfg *Config, _ *Deps, m *smsc) {
		cfg.Connector.Window, cfg.Connector.ConLossDelay = 1, time.Second
		m.answer = func(_ int, a arrived) (pdu.Status, string) {
			if string(a.sm.ShortMessage) == "poison" {
				a.sess.Close(nil)
				return holdBack, ""
			}
			return pdu.StatusOK, "1"
		}
	}, func(w *world) {
		w.b.put(message(t, "poison", 1, nil), message(t, "m1", 1, nil))
		time.Sleep(20 * time.Second)
		synctest.Wait()
		wantEqual(t, "sent", w.m.texts(), []string{"poison", "m1", "poison", "poison", "poison"}) // m1 was in hand
		wantEqual(t, "acked", w.b.acked, []string{"m1"})
	})
}

// It does not go at once: the answer may come late, and what is sent meanwhile would be a duplicate.
func TestAMessageWaitsAfterItsResponseTimer(t *testing.T) {
	start(t, func(cfg *Config, _ *Deps, m *smsc) {
		m.answer = func(n int, _ arrived) (pdu.Status, string) {
			if n <= 2 {
				return holdBack, ""
			}
			return pdu.StatusOK, "1"
		}
	}, func(w *world) {
		begin := time.Now()
		w.b.put(message(t, "m1", 1, nil))
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		at := w.m.arrivals()
		wantEqual(t, "sent", len(at), 3)
		between(t, "second", at[1].at.Sub(begin), 90*time.Second, 120*time.Second)
		between(t, "third", at[2].at.Sub(at[1].at), 120*time.Second, 180*time.Second)
		wantEqual(t, "acked", w.b.acked, []string{"m1"})
		if l := w.log.list()[0]; !strings.Contains(l, "[status:ERROR/RESPONSE_TIMEOUT] [retry:True]") {
			t.Error(l)
		}
	})
}
