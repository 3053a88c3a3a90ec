package connector

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"jasmind/internal/journal"
	"jasmind/internal/queue"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smppc"
	"jasmind/internal/sms"
)

// The SMSC's session lives while the connection to the broker is lost: what is in hand is delivered again, and not sent again.
func TestWhatIsInHandIsNotSentAgainWhenTheBrokerLosesItsConnection(t *testing.T) {
	const n = 20
	for _, tt := range []struct {
		name   string
		status pdu.Status
	}{{"accepted", pdu.StatusOK}, {"refused for good", pdu.StatusInvDstAdr}} {
		t.Run(tt.name, func(t *testing.T) {
			start(t, func(cfg *Config, _ *Deps, _ *smsc) { cfg.Connector.Window = 10 }, func(w *world) {
				var want []string
				for i := range n {
					id := fmt.Sprintf("m%02d", i)
					want = append(want, id)
					w.b.put(message(t, id, 1, report(sms.ReportSubmit)))
				}
				synctest.Wait()
				wantEqual(t, "in flight", len(w.m.arrivals()), 10)
				w.b.lose()
				synctest.Wait()
				w.b.lose() // and once more
				time.Sleep(time.Second)
				synctest.Wait()
				wantEqual(t, "in flight after the loss", len(w.m.arrivals()), 10)
				w.m.mu.Lock()
				w.m.answer = func(n int, _ arrived) (pdu.Status, string) { return tt.status, fmt.Sprint("id", n) }
				w.m.mu.Unlock()
				for i, a := range w.m.arrivals() {
					w.m.respond(a, tt.status, fmt.Sprint("id", i))
				}
				synctest.Wait()
				got := w.m.texts()
				slices.Sort(got)
				wantEqual(t, "sent", got, want)
				wantEqual(t, "waiting", w.b.waiting(), 0)
				wantEqual(t, "results", len(w.b.results(t)), n)
				wantEqual(t, "in hand", len(w.c.intake.hands.held), 0)
				w.shutdown()
			})
		})
	}
}

// A confirm that takes long keeps the settlement waiting: copies that come meanwhile, or after it, are not sent.
func TestWhatIsBeingSettledIsNotSentAgain(t *testing.T) {
	var slow time.Duration
	start(t, func(_ *Config, d *Deps, m *smsc) {
		m.answer = accept
		slow = time.Minute
		d.Journal = slowJournal{d.Journal, func() { time.Sleep(slow) }}
	}, func(w *world) {
		for i := range 8 {
			w.b.put(message(t, fmt.Sprintf("m%d", i), 1, report(sms.ReportSubmit)))
		}
		synctest.Wait()
		wantEqual(t, "sent", len(w.m.arrivals()), 8)
		for range 5 {
			time.Sleep(5 * time.Second)
			w.b.lose()
			synctest.Wait()
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		wantEqual(t, "sent once each", len(w.m.arrivals()), 8)
		wantEqual(t, "waiting", w.b.waiting(), 0)
		wantEqual(t, "results", len(w.b.results(t)), 8)
	})
}

// A confirm that is lost makes two copies of a message that is put back; neither is marked redelivered.
func TestTheSecondCopyOfARetryIsNotSent(t *testing.T) {
	for _, late := range []bool{false, true} {
		t.Run(fmt.Sprint("it comes when the first is settled: ", late), func(t *testing.T) {
			start(t, nil, func(w *world) {
				retried := func() *queue.Delivery {
					d := message(t, "m1", 1, report(sms.ReportSubmit))
					d.Attempts = 1
					return d
				}
				w.b.put(retried())
				if !late {
					w.b.put(retried())
				}
				synctest.Wait()
				w.m.respond(w.m.arrivals()[0], pdu.StatusOK, "1")
				synctest.Wait()
				if late {
					w.b.put(retried())
					synctest.Wait()
				}
				wantEqual(t, "sent", w.m.texts(), []string{"m1"})
				wantEqual(t, "acked", w.b.acked, []string{"m1", "m1"})
				wantEqual(t, "counted", w.c.stats.SettledBeforeCount.Load(), 1)
			})
		})
	}
}

func TestACopyIsSentWhenTheFirstIsGivenBack(t *testing.T) {
	start(t, func(_ *Config, _ *Deps, m *smsc) { m.answer = accept }, func(w *world) {
		other := newSubscription(nil, 1)
		other.out.add(1)
		env := &sms.Envelope{ID: "m1", CID: cid}
		first := queued{d: message(t, "m1", 1, nil), env: env, sub: other}
		first.d.Queue = queue.SubmitSM(cid)
		w.c.intake.hands.take(first)
		again := message(t, "m1", 1, nil)
		again.Redelivered = true
		w.b.put(again, message(t, "m2", 1, nil))
		synctest.Wait()
		wantEqual(t, "sent while the first is in hand", w.m.texts(), []string{"m2"})
		w.c.intake.giveBack(t.Context(), first)
		synctest.Wait()
		wantEqual(t, "sent", w.m.texts(), []string{"m2", "m1"})
		wantEqual(t, "acked", w.b.acked, []string{"m2", "m1"})
		<-other.out.empty()

		// A subscription that has ended gives its copies back, too.
		w.c.intake.hands.take(first)
		other.out.add(1)
		w.b.put(&queue.Delivery{Message: again.Message, Redelivered: true})
		synctest.Wait()
		w.b.do(func() { clear(w.b.settled) })
		w.shutdownWhile(func() { w.c.intake.giveBack(t.Context(), first) })
		wantEqual(t, "sent", w.m.texts(), []string{"m2", "m1"})
		wantEqual(t, "waiting", len(w.b.ready), 1)
	})
}

// shutdownWhile has f run while the connector drains.
func (w *world) shutdownWhile(f func()) {
	w.t.Helper()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.shutdown()
	}()
	synctest.Wait()
	f()
	<-ended
}

// What the SMSC has answered and a stopped connector could not settle is settled by the connector that starts next.
func TestWhatAStoppedConnectorCouldNotSettleIsNotSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, m, hands := newBackend(), newSMSC(t), NewHands()
		m.answer = func(n int, a arrived) (pdu.Status, string) {
			if string(a.sm.ShortMessage) == "unanswered" {
				return holdBack, ""
			}
			return accept(n, a)
		}
		away := errors.New("connection lost")
		b.refuse = func(*journal.Entry) error { return errors.Join(queue.ErrUnavailable, away) }
		run := func(f func()) {
			cfg := Config{Connector: smppc.Default(cid)}
			cfg.Connector.SubmitThroughput = 0
			c, err := New(cfg, Deps{Source: b, Journal: b, Store: b, Hands: hands})
			if err != nil {
				t.Fatal(err)
			}
			c.binds.dial = m.dial
			ctx, cancel := context.WithCancel(t.Context())
			ran := make(chan struct{})
			go func() {
				defer close(ran)
				c.Run(ctx) //nolint:errcheck // it is aborted
			}()
			f()
			synctest.Wait()
			cancel()
			<-ran
		}
		run(func() {
			b.put(message(t, "m1", 1, report(sms.ReportSubmit)), message(t, "long", 3, report(sms.ReportSubmit)), message(t, "unanswered", 1, nil))
		})
		wantEqual(t, "acked by the first", len(b.acked), 0)
		wantEqual(t, "in hand", len(hands.held), 0)
		b.do(func() { b.refuse = nil })
		run(func() {})
		got := m.texts()
		slices.Sort(got)
		wantEqual(t, "sent", got, []string{"long/1", "long/2", "long/3", "m1", "unanswered", "unanswered"})
		wantEqual(t, "results", len(b.results(t)), 2)
		wantEqual(t, "mappings", len(b.mappings), 4)
		slices.Sort(b.acked)
		wantEqual(t, "acked", b.acked, []string{"long", "m1"})
		wantEqual(t, "left", len(hands.left), 0)
		for _, s := range m.sessions {
			s.Close(nil)
		}
		m.wg.Wait()
	})
}

func TestHandsForgetWhatIsTooMuch(t *testing.T) {
	h := NewHands()
	for i := range rememberedMost + 10 {
		d := &queue.Delivery{Queue: "q", Message: queue.Message{ID: fmt.Sprint(i)}}
		h.take(queued{d: d})
		h.leave(&action{queued: queued{d: d}, verdict: &verdict{}})
	}
	wantEqual(t, "left", len(h.left), rememberedMost)
	wantEqual(t, "held", len(h.held), 0)
	last := &queue.Delivery{Queue: "q", Message: queue.Message{ID: fmt.Sprint(rememberedMost + 9)}}
	if ok, left, _ := h.take(queued{d: last}); !ok || len(left) != 1 {
		t.Errorf("got %v, %d actions left, want the last one's", ok, len(left))
	}
}
