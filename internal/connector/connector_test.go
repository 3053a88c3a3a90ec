package connector

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"jasmind/internal/journal"
	"jasmind/internal/queue"
	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smppc"
	"jasmind/internal/sms"
)

func TestMessageIsSubmittedSettledAndLogged(t *testing.T) {
	start(t, func(_ *Config, _ *Deps, m *smsc) {
		m.answer = func(int, arrived) (pdu.Status, string) { return pdu.StatusOK, "00ab12" }
	}, func(w *world) {
		wantEqual(t, "status", w.c.Status(), []string{"BOUND_TRX"})
		w.b.put(message(t, "m1", 1, report(sms.ReportSubmit|sms.ReportFinal)))
		synctest.Wait()
		wantEqual(t, "texts", w.m.texts(), []string{"m1"})
		wantEqual(t, "acked", w.b.acked, []string{"m1"})
		wantEqual(t, "mapping", w.b.mappings["AB12"], sms.Mapping{Account: "127.0.0.1:2775/smppclient", SMPPMsgID: "AB12", MsgID: "m1",
			Part: 1, Parts: 1, Origin: sms.OriginHTTP, Expiry: 24 * time.Hour, SentBy: cid})
		wantEqual(t, "results", w.b.results(t), []queue.SubmitResult{{MsgID: "m1", CID: cid, SMPPMsgID: "00ab12", Status: "ESME_ROK"}})
		wantEqual(t, "entries", len(w.b.entries), 1)
		wantEqual(t, "a redelivery of it would be recognised", w.b.settled[string(queue.SubmitSM(cid))+"/m1/0"], true)
		wantEqual(t, "log", w.log.list(), []string{"SMS-MT [cid:smsc1] [queue-msgid:m1] [smpp-msgid:00ab12] [status:ESME_ROK] [prio:0] " +
			"[dlr:NO_SMSC_DELIVERY_RECEIPT_REQUESTED] [validity:none] [from:1234] [to:33612345678] [content:'text of m1']"})
		st := w.c.Stats()
		wantEqual(t, "counters", []int64{st.SubmitSMRequestCount.Load(), st.SubmitSMCount.Load(), st.BoundCount.Load(), int64(st.LastSeqNum.Load())}, []int64{1, 1, 1, 2})
	})
}

func TestEventsAreForThoseWhoAsked(t *testing.T) {
	for _, tt := range []struct {
		report   sms.Report
		status   pdu.Status
		results  []string
		mappings int
	}{
		{0, pdu.StatusOK, nil, 0},
		{0, pdu.StatusInvDstAdr, nil, 0},
		{sms.ReportSubmit, pdu.StatusOK, []string{"ESME_ROK"}, 1},
		{sms.ReportSubmit, pdu.StatusInvDstAdr, []string{"ESME_RINVDSTADR"}, 0},
		{sms.ReportFinal, pdu.StatusOK, nil, 1},
		{sms.ReportFinal, pdu.StatusInvDstAdr, []string{"ESME_RINVDSTADR"}, 0},
	} {
		t.Run(fmt.Sprintf("level %d, %s", tt.report.Level(), tt.status), func(t *testing.T) {
			start(t, func(_ *Config, _ *Deps, m *smsc) {
				m.answer = func(int, arrived) (pdu.Status, string) { return tt.status, "1" }
			}, func(w *world) {
				w.b.put(message(t, "m1", 1, report(tt.report)))
				synctest.Wait()
				var got []string
				for _, r := range w.b.results(t) {
					got = append(got, r.Status)
				}
				wantEqual(t, "results", got, tt.results)
				wantEqual(t, "mappings", len(w.b.mappings), tt.mappings)
				wantEqual(t, "acked", w.b.acked, []string{"m1"})
			})
		})
	}
}

func TestWindowIsNeverExceededAndCountsWhatIsNotSettled(t *testing.T) {
	start(t, func(cfg *Config, _ *Deps, m *smsc) {
		cfg.Connector.Window, cfg.Connector.Binds = 3, 2
	}, func(w *world) {
		w.b.do(func() { w.b.refuse = func(*journal.Entry) error { return queue.ErrUnavailable } })
		for i := range 40 {
			w.b.put(message(t, fmt.Sprintf("m%02d", i), 1, nil))
		}
		synctest.Wait()
		first := w.m.arrivals()
		wantEqual(t, "in flight on two binds", len(first), 6)
		// Answered in the opposite order, yet not settled: no place gets free.
		slices.Reverse(first)
		for i, a := range first {
			w.m.respond(a, pdu.StatusOK, fmt.Sprintf("x%d", i))
		}
		synctest.Wait()
		wantEqual(t, "sent while nothing can be settled", len(w.m.arrivals()), 6)
		wantEqual(t, "acked", len(w.b.acked), 0)

		w.b.do(func() { w.b.refuse = nil })
		w.m.mu.Lock()
		w.m.answer = accept
		w.m.mu.Unlock()
		time.Sleep(time.Minute)
		synctest.Wait()
		wantEqual(t, "acked in the end", len(w.b.acked), 40)
		wantEqual(t, "sent once each", len(w.m.arrivals()), 40)
		if w.m.most > 3 {
			t.Errorf("%d requests in flight on a bind, window is 3", w.m.most)
		}
	})
}

func TestAnswersThatCameDuringACommitShareOneEntry(t *testing.T) {
	var gate chan struct{}
	var commits int
	start(t, func(cfg *Config, d *Deps, m *smsc) {
		cfg.Connector.Window = 20
		m.answer = accept
		gate = make(chan struct{}) // of the bubble
		d.Journal = slowJournal{d.Journal, func() {
			commits++
			if commits == 1 {
				<-gate
			}
		}}
	}, func(w *world) {
		w.b.put(message(t, "first", 1, nil))
		synctest.Wait()
		for i := range 10 {
			w.b.put(message(t, fmt.Sprintf("m%d", i), 1, nil))
		}
		synctest.Wait()
		wantEqual(t, "sent", len(w.m.arrivals()), 11)
		close(gate)
		synctest.Wait()
		wantEqual(t, "entries", len(w.b.entries), 2)
		wantEqual(t, "acks of the second", len(w.b.entries[1].Ack), 10)
	})
}

// slowJournal calls before each commit.
type slowJournal struct {
	journal.Journal
	before func()
}

func (j slowJournal) Commit(ctx context.Context, e *journal.Entry) error {
	j.before()
	return j.Journal.Commit(ctx, e)
}

func TestRetryTable(t *testing.T) {
	for _, tt := range []struct {
		status pdu.Status
		count  int
		delay  time.Duration
	}{
		{pdu.StatusSysErr, 2, 30 * time.Second},
		{pdu.StatusThrottled, 20, 30 * time.Second},
		{pdu.StatusMsgQFul, 2, 180 * time.Second},
		{pdu.StatusInvSched, 2, 300 * time.Second},
		{pdu.StatusInvDstAdr, 0, 0},
		{pdu.StatusCancelFail, 1, 120 * time.Second}, // in the table without a delay: requeue_delay
	} {
		t.Run(tt.status.String(), func(t *testing.T) {
			start(t, func(cfg *Config, _ *Deps, m *smsc) {
				cfg.Retrials = DefaultRetrials()
				cfg.Retrials[pdu.StatusCancelFail] = Retrial{Count: 1}
				m.answer = func(int, arrived) (pdu.Status, string) { return tt.status, "" }
			}, func(w *world) {
				begin := time.Now()
				w.b.put(message(t, "m1", 1, report(sms.ReportFinal)))
				time.Sleep(24 * time.Hour)
				synctest.Wait()
				var at, want []time.Duration
				for _, a := range w.m.arrivals() {
					at = append(at, a.at.Sub(begin))
				}
				for i := range tt.count + 1 {
					want = append(want, time.Duration(i)*tt.delay)
				}
				wantEqual(t, "sent at", at, want)
				wantEqual(t, "results", w.b.results(t), []queue.SubmitResult{{MsgID: "m1", CID: cid, Status: tt.status.String()}})
				wantEqual(t, "acked", w.b.acked, []string{"m1"})
				log := w.log.list()
				wantEqual(t, "log lines", len(log), tt.count+1)
				for i, l := range log {
					if want := fmt.Sprintf("[status:ERROR/%s] [retry:%s]", tt.status, map[bool]string{true: "True", false: "False"}[i < tt.count]); !strings.Contains(l, want) {
						t.Errorf("line %d: %s\nlacks %s", i, l, want)
					}
				}
				if tt.count > 0 {
					wantEqual(t, "count in the message", w.b.retries[len(w.b.retries)-1].Headers.Str(queue.HeaderRefusals), fmt.Sprintf("%d=%d", uint32(tt.status), tt.count))
				}
			})
		})
	}
}

func TestStatusesAreCountedByThemselves(t *testing.T) {
	answers := []pdu.Status{pdu.StatusSysErr, pdu.StatusMsgQFul, pdu.StatusSysErr, pdu.StatusMsgQFul, pdu.StatusOK}
	start(t, func(_ *Config, _ *Deps, m *smsc) {
		m.answer = func(n int, _ arrived) (pdu.Status, string) { return answers[n-1], "1" }
	}, func(w *world) {
		w.b.put(message(t, "m1", 1, report(sms.ReportSubmit)))
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		wantEqual(t, "sent", len(w.m.arrivals()), 5)
		wantEqual(t, "results", w.b.results(t), []queue.SubmitResult{{MsgID: "m1", CID: cid, SMPPMsgID: "1", Status: "ESME_ROK"}})
	})
}

func TestThrottlingPausesTheWholeConnector(t *testing.T) {
	start(t, func(cfg *Config, _ *Deps, _ *smsc) { cfg.Connector.Window, cfg.Connector.Binds = 1, 2 }, func(w *world) {
		begin := time.Now()
		for i := range 6 {
			w.b.put(message(t, fmt.Sprintf("m%d", i), 1, nil))
		}
		synctest.Wait()
		w.m.mu.Lock()
		w.m.answer = accept
		w.m.mu.Unlock()
		// Both binds are refused: one pause, for the second refusal answers what was sent before it.
		for _, a := range w.m.arrivals() {
			w.m.respond(a, pdu.StatusThrottled, "")
		}
		time.Sleep(20 * time.Second)
		synctest.Wait()
		var at []time.Duration
		for _, a := range w.m.arrivals() {
			at = append(at, a.at.Sub(begin))
		}
		const pause = 250 * time.Millisecond
		wantEqual(t, "sent at", at, []time.Duration{0, 0, pause, pause, pause, pause})
		wantEqual(t, "waiting for their own retry", len(w.b.retries), 2)
		for _, r := range w.b.retries {
			wantEqual(t, "delay of the message", r.After, 30*time.Second)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		wantEqual(t, "acked", len(w.b.acked), 6)
		wantEqual(t, "counter", w.c.Stats().ThrottlingErrorCount.Load(), 2)
	})
}

func TestBrake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b brake
		var got []time.Duration
		refuse := func() { got = append(got, b.throttled(b.generation(), 2*time.Second)) }
		old := b.generation()
		refuse()
		got = append(got, b.throttled(old, 2*time.Second)) // sent before the pause
		refuse()
		b.accepted(old) // so was this
		refuse()
		refuse()
		refuse()
		begin := time.Now()
		wantEqual(t, "waited", b.wait(t.Context(), nil), true)
		wantEqual(t, "for", time.Since(begin), 2*time.Second)
		b.accepted(b.generation())
		refuse()
		wantEqual(t, "pauses in ms", fmt.Sprint(got), "[250ms 0s 500ms 1s 2s 2s 250ms]")
		stop := make(chan struct{})
		close(stop)
		wantEqual(t, "stopped", b.wait(t.Context(), stop), false)
	})
}

func TestFullMailboxDelaysOnlyItsMessage(t *testing.T) {
	start(t, func(_ *Config, _ *Deps, m *smsc) {
		m.answer = func(n int, a arrived) (pdu.Status, string) {
			if string(a.sm.ShortMessage) == "full" {
				return pdu.StatusMsgQFul, ""
			}
			return pdu.StatusOK, "1"
		}
	}, func(w *world) {
		begin := time.Now()
		w.b.put(message(t, "full", 1, nil), message(t, "m1", 1, nil), message(t, "m2", 1, nil))
		synctest.Wait()
		wantEqual(t, "acked at once", w.b.acked, []string{"m1", "m2"})
		wantEqual(t, "time passed", time.Since(begin), 0)
	})
}

func TestThroughputCountsPartsOverAllBinds(t *testing.T) {
	start(t, func(cfg *Config, _ *Deps, m *smsc) {
		cfg.Connector.SubmitThroughput, cfg.Connector.Binds = 0.5, 2
		m.answer = accept
	}, func(w *world) {
		begin := time.Now()
		w.b.put(message(t, "a", 2, nil), message(t, "b", 1, nil), message(t, "c", 1, nil))
		time.Sleep(time.Minute)
		synctest.Wait()
		var at []time.Duration
		for _, a := range w.m.arrivals() {
			at = append(at, a.at.Sub(begin))
		}
		wantEqual(t, "sent at", at, []time.Duration{0, 2 * time.Second, 4 * time.Second, 6 * time.Second})
	})
}

func TestShutdownDrains(t *testing.T) {
	start(t, func(cfg *Config, _ *Deps, m *smsc) { cfg.Connector.Window = 3 }, func(w *world) {
		for i := range 8 {
			w.b.put(message(t, fmt.Sprintf("m%d", i), 1, nil))
		}
		synctest.Wait()
		got := w.m.arrivals()
		ended := make(chan struct{})
		go func() {
			w.shutdown()
			close(ended)
		}()
		time.Sleep(time.Second)
		for i, a := range got {
			time.Sleep(time.Second)
			w.m.respond(a, pdu.StatusOK, fmt.Sprint(i))
		}
		<-ended
		synctest.Wait() // the SMSC has closed, too
		wantEqual(t, "sent", len(w.m.arrivals()), 3)
		wantEqual(t, "acked", w.b.acked, []string{"m0", "m1", "m2"})
		w.b.do(func() {
			wantEqual(t, "given back", len(w.b.ready), 5)
			wantEqual(t, "in nobody's hands", len(w.b.unsettled), 0)
		})
		wantEqual(t, "the SMSC was told", w.m.session(0).Err(), smpp.ErrUnbound)
	})
}

func TestShutdownWithDeadlineGivesBackWhatIsInFlight(t *testing.T) {
	start(t, nil, func(w *world) {
		w.b.put(message(t, "m1", 1, nil))
		synctest.Wait()
		ctx, cancel := context.WithTimeout(w.t.Context(), 5*time.Second)
		defer cancel()
		begin := time.Now()
		if err := w.c.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown: %v", err)
		}
		wantEqual(t, "Shutdown took", time.Since(begin), 5*time.Second)
		wantEqual(t, "waiting", w.b.waiting(), 1)
		wantEqual(t, "in nobody's hands", len(w.b.unsettled), 0)
	})
}

func TestShutdownSettlesWhatWasAnsweredWhenTheJournalComesBack(t *testing.T) {
	start(t, func(_ *Config, _ *Deps, m *smsc) { m.answer = accept }, func(w *world) {
		w.b.do(func() { w.b.refuse = func(*journal.Entry) error { return queue.ErrUnavailable } })
		w.b.put(message(t, "m1", 1, nil))
		synctest.Wait()
		time.AfterFunc(time.Minute, func() { w.b.do(func() { w.b.refuse = nil }) })
		w.shutdown()
		wantEqual(t, "acked", w.b.acked, []string{"m1"})
	})
}

func TestOneBadSettlementDoesNotHoldUpTheOthers(t *testing.T) {
	start(t, func(cfg *Config, _ *Deps, m *smsc) { m.answer = accept }, func(w *world) {
		w.b.do(func() {
			w.b.refuse = func(e *journal.Entry) error {
				for _, a := range e.Ack {
					if a.Delivery.ID == "bad" {
						return errors.New("key too long")
					}
				}
				return nil
			}
		})
		w.b.put(message(t, "bad", 1, nil))
		for i := range 30 {
			w.b.put(message(t, fmt.Sprintf("m%d", i), 1, nil))
		}
		synctest.Wait()
		wantEqual(t, "acked", len(w.b.acked), 30)
		w.b.do(func() { w.b.refuse = nil })
		time.Sleep(time.Minute)
		synctest.Wait()
		wantEqual(t, "acked in the end", len(w.b.acked), 31)
		wantEqual(t, "sent once each", len(w.m.arrivals()), 31)
	})
}

func TestUpdateIsLive(t *testing.T) {
	start(t, func(cfg *Config, _ *Deps, m *smsc) { cfg.Connector.Window = 2 }, func(w *world) {
		for i := range 30 {
			w.b.put(message(t, fmt.Sprintf("m%d", i), 1, nil))
		}
		synctest.Wait()
		wantEqual(t, "in flight", len(w.m.arrivals()), 2)
		cfg := *w.c.cfg.Load()
		cfg.Window, cfg.Binds, cfg.Host, cfg.DLRExpiry = 5, 2, "other.example", time.Hour
		if err := w.c.Update(cfg); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		wantEqual(t, "in flight with the wider window", len(w.m.arrivals()), 10)
		wantEqual(t, "sessions", w.c.Status(), []string{"BOUND_TRX", "BOUND_TRX"})
		wantEqual(t, "host until restart", w.c.cfg.Load().Host, "127.0.0.1")

		// One bind less: its window drains, then it unbinds.
		cfg.Binds = 1
		if err := w.c.Update(cfg); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		wantEqual(t, "sessions", w.c.Status(), []string{"BOUND_TRX"})
		w.m.mu.Lock()
		w.m.answer = accept
		w.m.mu.Unlock()
		for i, a := range w.m.arrivals() {
			w.m.respond(a, pdu.StatusOK, fmt.Sprintf("late%d", i))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		wantEqual(t, "acked", len(w.b.acked), 30)
		wantEqual(t, "sent once each", len(w.m.arrivals()), 30)
		wantEqual(t, "the removed bind ended politely", w.m.session(1).Err(), smpp.ErrUnbound)
		w.b.do(func() { wantEqual(t, "prefetch follows", w.b.subs[len(w.b.subs)-1], 9) })

		cfg.CID = "other"
		if err := w.c.Update(cfg); err == nil {
			t.Error("another cid was taken")
		}
		bad := *w.c.cfg.Load()
		bad.Window = 0
		if err := w.c.Update(bad); err == nil || !strings.Contains(err.Error(), "window") {
			t.Errorf("window 0: %v", err)
		}
	})
}

func TestUpdateOfThroughputIsLive(t *testing.T) {
	start(t, func(cfg *Config, _ *Deps, m *smsc) {
		cfg.Connector.SubmitThroughput = 1
		m.answer = accept
	}, func(w *world) {
		for i := range 20 {
			w.b.put(message(t, fmt.Sprintf("m%d", i), 1, nil))
		}
		time.Sleep(4500 * time.Millisecond)
		synctest.Wait()
		wantEqual(t, "at one a second", len(w.m.arrivals()), 5)
		cfg := *w.c.cfg.Load()
		cfg.SubmitThroughput = 0
		if err := w.c.Update(cfg); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		wantEqual(t, "without a limit", len(w.m.arrivals()), 20)
	})
}

func TestNewNamesEveryFault(t *testing.T) {
	cfg := Config{Connector: smppc.Default("x"), NotReadyDelay: -1, Retrials: map[pdu.Status]Retrial{pdu.StatusSysErr: {Count: -1}}}
	cfg.Connector.Window = 2000
	_, err := New(cfg, Deps{})
	for _, want := range []string{`cid "x"`, "window", "submit_retrial_delay_smppc_not_ready", "submit_error_retrial ESME_RSYSERR", "source"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q: %v", want, err)
		}
	}
}
