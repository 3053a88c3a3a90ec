package connector

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

// ofESME makes a message one that an ESME has submitted.
func ofESME(e *sms.Envelope) { e.Origin = sms.OriginSMPP }

func (w *world) override(o sms.Override) {
	w.b.do(func() {
		if w.b.overrides == nil {
			w.b.overrides = map[sms.MessageID]sms.Override{}
		}
		w.b.overrides[o.MsgID] = o
	})
}

// wantState checks what is told of messages that have left their queue, times aside.
func (w *world) wantStates(want ...sms.StateChange) {
	w.t.Helper()
	w.b.mu.Lock()
	defer w.b.mu.Unlock()
	got := append([]sms.StateChange(nil), w.b.changes...)
	for i := range got {
		if i < len(want) && !want[i].Final.IsZero() && !got[i].Final.IsZero() {
			got[i].Final = want[i].Final
		}
	}
	wantEqual(w.t, "states", got, append([]sms.StateChange(nil), want...))
	if n := len(w.b.claimed); n != 0 {
		w.t.Errorf("%d messages are still claimed", n)
	}
}

var final = time.Unix(1, 0)

func TestStateOfAMessageThatLeavesItsQueue(t *testing.T) {
	for _, tt := range []struct {
		name   string
		edit   func(*sms.Envelope)
		answer pdu.Status
		want   []sms.StateChange
	}{
		{"accepted", ofESME, pdu.StatusOK, []sms.StateChange{{MsgID: "m1", Left: true, State: pdu.StateEnroute}}},
		{"refused for good", ofESME, pdu.StatusInvDstAdr, []sms.StateChange{{MsgID: "m1", Left: true, State: pdu.StateUndeliverable, Err: 11, Final: final}}},
		{"expired", func(e *sms.Envelope) { ofESME(e); e.ExpiresAt = e.CreatedAt }, pdu.StatusOK,
			[]sms.StateChange{{MsgID: "m1", Left: true, State: pdu.StateExpired, Final: final}}},
		{"over HTTP", func(*sms.Envelope) {}, pdu.StatusOK, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			start(t, func(_ *Config, _ *Deps, m *smsc) {
				m.answer = func(int, arrived) (pdu.Status, string) { return tt.answer, "id" }
			}, func(w *world) {
				w.b.put(message(t, "m1", 1, tt.edit))
				synctest.Wait()
				w.wantStates(tt.want...)
			})
		})
	}
}

func TestACancelledMessageIsNotSubmitted(t *testing.T) {
	start(t, func(cfg *Config, _ *Deps, m *smsc) {
		m.answer = accept
		cfg.RefundOnError = true
	}, func(w *world) {
		w.override(sms.Override{MsgID: "m1", Version: 1, Cancel: true, Report: sms.ReportFinal})
		edit := func(e *sms.Envelope) { ofESME(e); billed(300_000, 0)(e); e.Report = sms.ReportFinal }
		w.b.put(message(t, "m1", 1, edit), message(t, "m2", 1, ofESME))
		synctest.Wait()
		wantEqual(t, "sent", w.m.texts(), []string{"m2"})
		w.wantStates(sms.StateChange{MsgID: "m1", Left: true, State: pdu.StateDeleted, Final: final},
			sms.StateChange{MsgID: "m2", Left: true, State: pdu.StateEnroute})
		_, charges, confirmed := w.bills()
		wantEqual(t, "charges", charges, []string{"m1/refund foo -0.3 owed=true"})
		wantEqual(t, "confirmed", confirmed, []string{"m1"})
		if got := w.b.results(t); len(got) != 1 || got[0].MsgID != "m1" || got[0].State != "DELETED" {
			t.Errorf("results %+v, want m1 DELETED", got)
		}
		if n := len(w.log.list()); n != 2 || !strings.Contains(w.log.list()[0], "[status:ERROR/DELETED] [retry:False]") {
			t.Errorf("log:\n%s", strings.Join(w.log.list(), "\n"))
		}
	})
}

func TestAReplacedMessage(t *testing.T) {
	long := strings.Repeat("x", 300)
	for _, tt := range []struct {
		name        string
		edit        func(*sms.Envelope)
		o           sms.Override
		text        string // short_message
		payload     string
		validity    string
		schedule    string
		registered  uint8
		defaultText uint8
	}{
		{name: "text", o: sms.Override{HasText: true, Text: []byte("new"), Registered: 1}, text: "new", registered: 1},
		{name: "text that is too long for short_message", o: sms.Override{HasText: true, Text: []byte(long)}, payload: long},
		{name: "message_payload becomes short_message", edit: func(e *sms.Envelope) {
			m := &e.Parts[0].Message
			m.ShortMessage = nil
			m.TLVs.Set(pdu.TagMessagePayload, []byte(long))
		}, o: sms.Override{HasText: true, Text: []byte("new")}, text: "new"},
		{name: "the text of a part keeps its header", edit: func(e *sms.Envelope) {
			m := &e.Parts[0].Message
			m.ESMClass, m.ShortMessage = pdu.ESMUDHI, []byte("\x05\x00\x03\x07\x02\x01old")
		}, o: sms.Override{HasText: true, Text: []byte("new")}, text: "\x05\x00\x03\x07\x02\x01new"},
		{name: "a canned message", o: sms.Override{HasText: true, DefaultMsgID: 3}, defaultText: 3},
		{name: "only times and the receipt", o: sms.Override{Schedule: "000000000100000R", Validity: "000001000000000R", Registered: 2}, text: "m1",
			validity: "000001000000000R", schedule: "000000000100000R", registered: 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			start(t, func(_ *Config, _ *Deps, m *smsc) { m.answer = accept }, func(w *world) {
				tt.o.MsgID, tt.o.Version = "m1", 1
				if tt.o.Validity != "" {
					tt.o.ExpiresAt = time.Now().Add(24 * time.Hour)
				}
				w.override(tt.o)
				w.b.put(message(t, "m1", 1, func(e *sms.Envelope) {
					ofESME(e)
					e.Parts[0].RegisteredDelivery = 1
					if tt.edit != nil {
						tt.edit(e)
					}
				}))
				synctest.Wait()
				got := w.m.arrivals()
				if len(got) != 1 {
					t.Fatalf("%d submit_sm, want 1", len(got))
				}
				sm := got[0].sm
				payload, _ := sm.TLVs.Get(pdu.TagMessagePayload)
				wantEqual(t, "short_message", string(sm.ShortMessage), tt.text)
				wantEqual(t, "message_payload", string(payload), tt.payload)
				wantEqual(t, "validity_period", sm.ValidityPeriod, tt.validity)
				wantEqual(t, "schedule_delivery_time", sm.ScheduleDeliveryTime, tt.schedule)
				wantEqual(t, "registered_delivery", sm.RegisteredDelivery, tt.registered)
				wantEqual(t, "sm_default_msg_id", sm.SMDefaultMsgID, tt.defaultText)
			})
		})
	}
}

// What is tried again waits in its queue, where it can be changed.
func TestAMessageThatIsTriedAgainCanBeCancelled(t *testing.T) {
	start(t, func(_ *Config, _ *Deps, m *smsc) {
		m.answer = func(int, arrived) (pdu.Status, string) { return pdu.StatusMsgQFul, "" }
	}, func(w *world) {
		w.b.put(message(t, "m1", 1, ofESME))
		synctest.Wait()
		w.wantStates()
		w.override(sms.Override{MsgID: "m1", Version: 1, Cancel: true})
		time.Sleep(time.Hour)
		synctest.Wait()
		wantEqual(t, "sent", w.m.texts(), []string{"m1"})
		w.wantStates(sms.StateChange{MsgID: "m1", Left: true, State: pdu.StateDeleted, Final: final})
	})
}

// What goes back to its queue unsent when the connector ends is in nobody's hand.
func TestMessagesThatGoBackAreUnclaimed(t *testing.T) {
	start(t, func(cfg *Config, _ *Deps, _ *smsc) { cfg.Connector.Window = 1 }, func(w *world) {
		w.b.put(message(t, "m1", 1, ofESME), message(t, "m2", 1, ofESME), message(t, "m3", 1, ofESME))
		synctest.Wait()
		w.b.do(func() { wantEqual(t, "claimed", len(w.b.claimed), 3) })
		go func() {
			time.Sleep(time.Second)
			w.m.respond(w.m.arrivals()[0], pdu.StatusOK, "id1")
		}()
		w.shutdown()
		w.b.do(func() { wantEqual(t, "claimed", len(w.b.claimed), 0) })
		wantEqual(t, "waiting", w.b.waiting(), 2)
	})
}
