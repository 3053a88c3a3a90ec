package journaltest

import (
	"errors"
	"time"

	"jasmind/internal/journal"
	"jasmind/internal/queue"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

func record(id sms.MessageID) sms.Record {
	return sms.Record{MsgID: id, UID: "u1", CID: "journal", State: pdu.StateEnroute, Queued: true, Report: sms.ReportFinal, Until: time.Now().Add(time.Hour)}
}

func (e *env) record(id sms.MessageID) sms.Record {
	e.Helper()
	got, err := e.j.Store.Records(e.ctx, []sms.MessageID{id})
	e.must(err)
	if len(got) != 1 {
		e.Fatalf("%d records of one message", len(got))
	}
	return got[0]
}

func (e *env) wantState(id sms.MessageID, state pdu.MessageState, queued, final bool) {
	e.Helper()
	if r := e.record(id); r.MsgID != id || r.State != state || r.Queued != queued || r.Final.IsZero() == final {
		e.Errorf("record %+v, want %v, queued %v, final %v", r, state, queued, final)
	}
}

// testState: one record for each message, in the entries that accept it and settle it.
func testState(e *env) {
	e.start()
	e.commit(journal.Entry{Records: []sms.Record{record("m-1"), record("m-2")},
		Publish: []queue.Publication{publication(qMT, "m-1"), publication(qMT, "m-2")}})
	e.j = e.j.Reopen(e.T)
	e.wantState("m-1", pdu.StateEnroute, true, false)
	c := e.consume(qMT)
	d1, d2 := e.next(c), e.next(c)
	_, err := e.j.Store.Claim(e.ctx, []sms.MessageID{"m-1", "m-2"})
	e.must(err)
	settle := journal.Entry{Changes: []sms.StateChange{{MsgID: "m-1", Left: true, State: pdu.StateUndeliverable, Err: 11, Final: time.Now()}},
		Release: []sms.MessageID{"m-2"}, Ack: []journal.Ack{{Delivery: d1, Remember: true}}, Retry: []queue.Retry{{Delivery: d2}}}
	e.commit(settle)
	e.wantState("m-1", pdu.StateUndeliverable, false, true)
	e.wantState("m-2", pdu.StateEnroute, true, false)
	// Back in its queue, it can be changed.
	e.commit(journal.Entry{Overrides: []sms.Override{{MsgID: "m-2", UID: "u1", Version: 1, At: time.Now(), Registered: 1}}})
	e.j = e.j.Reopen(e.T)
	e.wantState("m-1", pdu.StateUndeliverable, false, true)
	got, err := e.j.Store.Claim(e.ctx, []sms.MessageID{"m-2"})
	e.must(err)
	if len(got) != 1 || got[0].MsgID != "m-2" || got[0].Registered != 1 {
		e.Errorf("overrides %+v, want that of m-2", got)
	}
}

// testOverride: what belongs to an override happens only if it does.
func testOverride(e *env) {
	e.start()
	e.commit(journal.Entry{Records: []sms.Record{record("m-1"), record("m-2")}})
	cancel := func(id sms.MessageID) journal.Entry {
		return journal.Entry{Overrides: []sms.Override{{MsgID: id, UID: "u1", Version: 1, At: time.Now(), Cancel: true}},
			Publish: []queue.Publication{publication(qDLR, string(id))}, Receipts: []sms.ReceiptRequest{receipt(id)}}
	}
	_, err := e.j.Store.Claim(e.ctx, []sms.MessageID{"m-1"})
	e.must(err)
	late := cancel("m-1")
	if err := e.j.Commit(e.ctx, &late); !errors.Is(err, journal.ErrTooLate) {
		e.Errorf("got %v, want ErrTooLate", err)
	}
	if e.hasReceipt("m-1") {
		e.Error("a refused entry left a receipt request")
	}
	e.wantState("m-1", pdu.StateEnroute, true, false)
	intime := cancel("m-2")
	e.commit(intime)
	e.commit(journal.Entry{Overrides: intime.Overrides}) // a repeat
	if !e.hasReceipt("m-2") {
		e.Error("an entry with an override left no receipt request")
	}
	e.wantState("m-2", pdu.StateDeleted, true, true)
	c := e.consume(qDLR)
	if d := e.next(c); d.ID != "m-2" {
		e.Errorf("got %q, want m-2", d.ID)
	}
	e.last(c, qDLR)
}
