package connector

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"jasmind/internal/journal"
	"jasmind/internal/queue"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

func failsOver(to ...sms.ConnectorID) func(*sms.Envelope) {
	return func(e *sms.Envelope) {
		e.Report = sms.ReportSubmit
		e.Bill = sms.Bill{Charged: true, Early: 100, Rest: 200}
		e.Failover = sms.Failover{On: []pdu.Status{pdu.StatusSysErr, pdu.StatusSubmitFail}, To: to}
	}
}

// moved gives the messages that were put into queues of other connectors.
func (w *world) moved() []*sms.Envelope {
	w.b.mu.Lock()
	defer w.b.mu.Unlock()
	var out []*sms.Envelope
	for _, p := range w.b.published {
		if _, ok := queue.ConnectorOf(p.Queue); ok {
			env, err := queue.DecodeEnvelope(&queue.Delivery{Queue: p.Queue, Message: p.Message})
			if err != nil {
				w.t.Fatal(err)
			}
			if p.Message.Attempts != 1 {
				w.t.Errorf("%s moved with %d attempts: the other connector would not ask which parts were accepted", env.ID, p.Message.Attempts)
			}
			out = append(out, env)
		}
	}
	return out
}

func refuseWith(status pdu.Status) func(int, arrived) (pdu.Status, string) {
	return func(int, arrived) (pdu.Status, string) { return status, "" }
}

func TestARefusedMessageMovesToTheNextConnectorOfItsRoute(t *testing.T) {
	for _, tt := range []struct {
		name   string
		to     []sms.ConnectorID
		bound  []sms.ConnectorID
		gone   []sms.ConnectorID // have no queue
		status pdu.Status
		want   sms.ConnectorID // "": it stays
		left   []sms.ConnectorID
	}{
		{"to the next one", []sms.ConnectorID{"two", "three"}, []sms.ConnectorID{"two", "three"}, nil, pdu.StatusSubmitFail, "two", []sms.ConnectorID{"three"}},
		{"instead of being tried again here", []sms.ConnectorID{"two"}, []sms.ConnectorID{"two"}, nil, pdu.StatusSysErr, "two", nil},
		{"to the next one that is bound", []sms.ConnectorID{"two", "three"}, []sms.ConnectorID{"three"}, nil, pdu.StatusSysErr, "three", []sms.ConnectorID{"two"}},
		{"to the next one if none is bound, to wait there", []sms.ConnectorID{"two", "three"}, nil, nil, pdu.StatusSysErr, "two", []sms.ConnectorID{"three"}},
		{"not to one that is gone", []sms.ConnectorID{"two", "three"}, nil, []sms.ConnectorID{"two"}, pdu.StatusSysErr, "three", nil},
		{"another status is none of the route's", []sms.ConnectorID{"two"}, []sms.ConnectorID{"two"}, nil, pdu.StatusInvDstAdr, "", nil},
		{"the last connector has the last word", nil, nil, nil, pdu.StatusSubmitFail, "", nil},
		{"so has this one if all others are gone", []sms.ConnectorID{"two", "three"}, nil, []sms.ConnectorID{"two", "three"}, pdu.StatusSubmitFail, "", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			start(t, func(_ *Config, d *Deps, m *smsc) {
				m.answer = refuseWith(tt.status)
				d.Bound = func(cid sms.ConnectorID) bool { return slices.Contains(tt.bound, cid) }
			}, func(w *world) {
				w.b.do(func() {
					w.b.refuse = func(e *journal.Entry) error {
						for _, p := range e.Publish {
							if cid, ok := queue.ConnectorOf(p.Queue); ok && slices.Contains(tt.gone, cid) {
								return queue.ErrNoQueue
							}
						}
						return nil
					}
				})
				until := time.Now().Add(time.Hour).Truncate(time.Millisecond)
				w.b.put(message(t, "m1", 1, func(e *sms.Envelope) { failsOver(tt.to...)(e); e.ExpiresAt = until }))
				synctest.Wait()
				moved := w.moved()
				if got := len(w.m.arrivals()); got != 1 {
					t.Errorf("submitted %d times", got)
				}
				if tt.want == "" {
					if len(moved) != 0 || len(w.b.results(t)) != 1 {
						t.Fatalf("moved %d, results %v, want its final answer", len(moved), w.b.results(t))
					}
					w.shutdown()
					return
				}
				if len(moved) != 1 || len(w.b.results(t)) != 0 {
					t.Fatalf("moved %d times, results %v: nobody is to be told yet", len(moved), w.b.results(t))
				}
				env := moved[0]
				wantEqual(t, "what moved", []any{env.ID, env.CID, env.Failover.To, env.Report, env.Bill, env.Refusals, env.ExpiresAt.Equal(until)},
					[]any{sms.MessageID("m1"), tt.want, tt.left, sms.ReportSubmit, sms.Bill{Charged: true, Early: 100, Rest: 200}, map[pdu.Status]int{tt.status: 1}, true})
				requests, charges, _ := w.bills()
				if len(requests)+len(charges) != 0 {
					t.Errorf("billed %v, charged %v", requests, charges)
				}
				w.b.do(func() {
					last := w.b.entries[len(w.b.entries)-1]
					wantEqual(t, "the end of validity", []any{last.Unexpire[0].CID, last.Expiries[0].CID}, []any{cid, tt.want})
					wantEqual(t, "acknowledged", w.b.acked, []string{"m1"})
				})
				if got := w.c.stats.MovedCount.Load(); got != 1 {
					t.Errorf("counted %d", got)
				}
				w.shutdown()
			})
		})
	}
}

func TestAMessageDoesNotMoveToAConnectorWhoseTLVRulesItBreaks(t *testing.T) {
	start(t, func(_ *Config, d *Deps, m *smsc) {
		m.answer = refuseWith(pdu.StatusSubmitFail)
		d.Bound = func(sms.ConnectorID) bool { return true }
		d.Carries = func(cid sms.ConnectorID, tlvs pdu.TLVs) bool {
			_, there := tlvs.Get(0x1400)
			return cid == "three" && there
		}
	}, func(w *world) {
		w.b.put(message(t, "m1", 1, func(e *sms.Envelope) {
			failsOver("two", "three")(e)
			e.Parts[0].TLVs.Set(0x1400, []byte("x"))
		}))
		synctest.Wait()
		if moved := w.moved(); len(moved) != 1 || moved[0].CID != "three" {
			t.Fatalf("moved %+v, want to three", moved)
		}
		w.b.put(message(t, "m2", 1, failsOver("two", "three")))
		synctest.Wait()
		if moved := w.moved(); len(moved) != 1 || len(w.b.results(t)) != 1 {
			t.Fatalf("moved %+v, results %v, want the final answer of m2", moved, w.b.results(t))
		}
		w.shutdown()
	})
}

func TestTheStateOfAMessageOfAnESMEFollowsItsMove(t *testing.T) {
	start(t, func(_ *Config, d *Deps, m *smsc) {
		m.answer = refuseWith(pdu.StatusSubmitFail)
		d.Bound = func(sms.ConnectorID) bool { return true }
	}, func(w *world) {
		w.b.put(message(t, "m1", 1, func(e *sms.Envelope) { failsOver("two")(e); e.Origin = sms.OriginSMPP }))
		synctest.Wait()
		w.b.do(func() {
			last := w.b.entries[len(w.b.entries)-1]
			wantEqual(t, "changes", last.Changes, []sms.StateChange{{MsgID: "m1", Moved: "two"}})
			wantEqual(t, "released", last.Release, []sms.MessageID{"m1"})
		})
		w.shutdown()
	})
}

// The parts that the first connector's SMSC took are recorded and do not move.
func TestALongMessageMovesWithThePartsThatAreLeft(t *testing.T) {
	start(t, func(cfg *Config, d *Deps, m *smsc) {
		cfg.Connector.Window = 1
		m.answer = func(n int, a arrived) (pdu.Status, string) {
			if string(a.sm.ShortMessage) == "m1/1" {
				return pdu.StatusOK, "first"
			}
			return pdu.StatusSysErr, ""
		}
		d.Bound = func(sms.ConnectorID) bool { return true }
	}, func(w *world) {
		w.b.put(message(t, "m1", 3, failsOver("two")))
		synctest.Wait()
		moved := w.moved()
		if len(moved) != 1 || len(moved[0].Parts) != 3 {
			t.Fatalf("moved %+v", moved)
		}
		w.b.do(func() {
			wantEqual(t, "recorded", w.b.outcomes["m1"], []sms.PartOutcome{{MsgID: "m1", Part: 1, Parts: 3, Status: pdu.StatusOK, SMPPMsgID: "first", Expiry: sms.QueueStay + outcomeExpiry}})
		})
		a := newAttempt(queued{d: &queue.Delivery{}, env: moved[0]}, []sms.PartOutcome{{Part: 1, Status: pdu.StatusOK}})
		wantEqual(t, "what the other connector sends", a.todo, []int{1, 2})
		w.shutdown()
	})
}

func TestQuality(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var q Quality
		ratio := func(want float64, known bool) {
			t.Helper()
			if got, ok := q.Ratio(); got != want || ok != known {
				t.Errorf("got %v %v, want %v %v", got, ok, want, known)
			}
		}
		times := func(n int, f func()) {
			for range n {
				f()
			}
		}
		ratio(0, false)
		times(100, func() { q.answer(pdu.StatusThrottled) })
		times(15, func() { q.answer(pdu.StatusOK) })
		ratio(0, false)
		times(5, func() { q.answer(pdu.StatusSysErr) })
		ratio(0.75, true)
		times(3, func() { q.receipt("UNDELIV") })
		times(9, func() { q.receipt("ENROUTE"); q.receipt("") })
		ratio(0.75, true) // too few receipts
		times(7, func() { q.receipt("DELIVRD") })
		times(4, func() { q.receipt("EXPIRED") })
		ratio(0.375, true)
		time.Sleep(30 * time.Minute)
		times(20, func() { q.answer(pdu.StatusOK) })
		ratio(0.4375, true) // 35 of 40, 7 of 14
		time.Sleep(30 * time.Minute)
		ratio(1, true) // the first half hour is forgotten
		time.Sleep(30 * time.Minute)
		ratio(0, false)
		time.Sleep(48 * time.Hour)
		times(20, func() { q.answer(pdu.StatusSysErr) })
		ratio(0, true)
	})
}
