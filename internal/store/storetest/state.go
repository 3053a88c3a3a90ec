package storetest

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"time"

	"jasmind/internal/journal"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

// record is a message of u1 that is queued.
func record(id sms.MessageID) sms.Record {
	return sms.Record{MsgID: id, UID: "u1", CID: "smsc1", Source: pdu.Address{TON: 5, Addr: "ACME"}, Dest: pdu.Address{TON: 1, NPI: 1, Addr: "33600000001"},
		DataCoding: 8, ESMClass: 0x40, Report: sms.ReportFinal, Registered: 0x11, Group: 3, ExpiresAt: now().Add(time.Hour), Until: now().Add(2 * time.Hour),
		State: pdu.StateEnroute, Queued: true}
}

// override is the n-th override of a message of u1.
func override(id sms.MessageID, n int) sms.Override {
	return sms.Override{MsgID: id, UID: "u1", Version: n, Nonce: rand.Uint64(), At: now(), HasText: true, Text: []byte("new \x00\xff"), DefaultMsgID: 1, Schedule: "000001000000000R",
		Validity: "000002000000000R", ExpiresAt: now().Add(3 * time.Hour), Registered: 2, Report: sms.ReportSubmit | sms.ReportFinal}
}

func (e *env) records(ids ...sms.MessageID) []sms.Record {
	e.Helper()
	got, err := e.s.Records(e.ctx, ids)
	e.must(err)
	if len(got) != len(ids) {
		e.Fatalf("records of %d messages, want %d", len(got), len(ids))
	}
	return got
}

func (e *env) wantRecord(want sms.Record) {
	e.Helper()
	got := e.records(want.MsgID)[0]
	if !sameRecord(got, want) {
		e.Errorf("record\ngot  %+v\nwant %+v", got, want)
	}
}

func sameRecord(a, b sms.Record) bool {
	for _, t := range []struct{ a, b *time.Time }{{&a.ExpiresAt, &b.ExpiresAt}, {&a.Until, &b.Until}, {&a.Final, &b.Final}} {
		if t.a.UnixMilli() != t.b.UnixMilli() {
			return false
		}
		*t.a, *t.b = time.Time{}, time.Time{}
	}
	oa, ob := a.Override, b.Override
	a.Override, b.Override = nil, nil
	return reflect.DeepEqual(a, b) && (oa == nil) == (ob == nil) && (oa == nil || sameOverride(*oa, *ob))
}

func sameOverride(a, b sms.Override) bool {
	ok := a.At.Equal(b.At) && a.ExpiresAt.Equal(b.ExpiresAt)
	a.At, b.At, a.ExpiresAt, b.ExpiresAt = time.Time{}, time.Time{}, time.Time{}, time.Time{}
	a.UID, b.UID = "", "" // Claim does not tell it
	return ok && reflect.DeepEqual(a, b)
}

func (e *env) claim(ids ...sms.MessageID) []sms.Override {
	e.Helper()
	got, err := e.s.Claim(e.ctx, ids)
	e.must(err)
	return got
}

// refused applies an override that comes too late or meets another one.
func (e *env) refused(want error, o sms.Override) {
	e.Helper()
	if err := e.s.Override(e.ctx, o); !errors.Is(err, want) {
		e.Errorf("override %d of %s: %v, want %v", o.Version, o.MsgID, err, want)
	}
}

func testRecord(e *env) {
	r := record("m-1")
	e.apply(journal.Entry{Records: []sms.Record{r}})
	e.wantRecord(r)
	if got := e.records("none", "m-1"); got[0].MsgID != "" || got[1].MsgID != "m-1" {
		e.Errorf("records %+v, want none and m-1", got)
	}
	e.s = e.s.Reopen(e.T)
	e.wantRecord(r)
}

func testRecordTTL(e *env) {
	r := record("m-1")
	r.Until = now().Add(100 * time.Millisecond)
	e.apply(journal.Entry{Records: []sms.Record{r}})
	e.eventually("the record goes", func() bool { return e.records("m-1")[0].MsgID == "" })
	e.apply(journal.Entry{Changes: []sms.StateChange{{MsgID: "m-1", Left: true, State: pdu.StateDelivered, Final: now()}}})
	if got := e.records("m-1")[0]; got.MsgID != "" {
		e.Errorf("a change brought back %+v", got)
	}
	e.refused(journal.ErrTooLate, override("m-1", 1))
}

func testChange(e *env) {
	r := record("m-1")
	e.apply(journal.Entry{Records: []sms.Record{r}})
	e.apply(journal.Entry{Changes: []sms.StateChange{{MsgID: "m-1", Left: true, State: pdu.StateEnroute}}})
	r.Queued = false
	e.wantRecord(r)
	e.refused(journal.ErrTooLate, override("m-1", 1))
	final := now()
	e.apply(journal.Entry{Changes: []sms.StateChange{{MsgID: "m-1", State: pdu.StateUndeliverable, Err: 7, Final: final}}})
	r.State, r.Err, r.Final = pdu.StateUndeliverable, 7, final
	e.wantRecord(r)
	// The first final state stands.
	e.apply(journal.Entry{Changes: []sms.StateChange{{MsgID: "m-1", Left: true, State: pdu.StateDelivered, Final: now()}}})
	e.wantRecord(r)
}

func testChangeInQueue(e *env) {
	r := record("m-1")
	e.apply(journal.Entry{Records: []sms.Record{r}})
	o := override("m-1", 1)
	e.must(e.s.Override(e.ctx, o))
	final := now()
	e.apply(journal.Entry{Changes: []sms.StateChange{{MsgID: "m-1", State: pdu.StateExpired, Final: final}}})
	r.State, r.Final, r.Override = pdu.StateExpired, final, &o
	e.wantRecord(r)
	e.refused(journal.ErrTooLate, override("m-1", 2))
	if got := e.claim("m-1"); len(got) != 1 {
		e.Errorf("overrides %+v, want the first", got)
	}
}

func testOverride(e *env) {
	r := record("m-1")
	e.apply(journal.Entry{Records: []sms.Record{r, record("m-2")}})
	first := override("m-1", 1)
	e.must(e.s.Override(e.ctx, first))
	e.must(e.s.Override(e.ctx, first)) // a repeat
	r.Override = &first
	e.wantRecord(r)
	again := first
	again.Nonce++ // asks for the same, at the same time
	e.refused(journal.ErrConflict, again)
	e.refused(journal.ErrConflict, override("m-1", 3))
	other := override("m-2", 1)
	other.UID = "u2"
	e.refused(journal.ErrTooLate, other)
	cancel := override("m-1", 2)
	cancel.Cancel, cancel.HasText, cancel.Text = true, false, nil
	e.must(e.s.Override(e.ctx, cancel))
	e.must(e.s.Override(e.ctx, cancel))
	r.Override, r.State, r.Final = &cancel, pdu.StateDeleted, cancel.At
	e.wantRecord(r)
	e.refused(journal.ErrTooLate, override("m-1", 3))
	e.s = e.s.Reopen(e.T)
	e.wantRecord(r)
	got := e.claim("m-2", "m-1", "none")
	if len(got) != 1 || !sameOverride(got[0], cancel) {
		e.Errorf("overrides %+v, want %+v", got, cancel)
	}
}

func testClaim(e *env) {
	e.apply(journal.Entry{Records: []sms.Record{record("m-1"), record("m-2"), record("m-3")}})
	if got := e.claim("m-1", "m-2"); len(got) != 0 {
		e.Errorf("overrides %+v, want none", got)
	}
	e.claim("m-1")
	e.refused(journal.ErrTooLate, override("m-1", 1))
	e.must(e.s.Override(e.ctx, override("m-3", 1)))
	// It goes back to its queue.
	e.must(e.s.Unclaim(e.ctx, []sms.MessageID{"m-1"}))
	e.must(e.s.Override(e.ctx, override("m-1", 1)))
	e.refused(journal.ErrTooLate, override("m-2", 1))
	e.apply(journal.Entry{Release: []sms.MessageID{"m-2"}})
	e.must(e.s.Override(e.ctx, override("m-2", 1)))
	// It is submitted, and what was to be changed of it is over.
	if got := e.claim("m-1", "m-2", "m-3"); len(got) != 3 {
		e.Errorf("overrides %+v, want three", got)
	}
	e.apply(journal.Entry{Changes: []sms.StateChange{{MsgID: "m-1", Left: true, State: pdu.StateEnroute}}})
	if got := e.records("m-1")[0]; got.Override != nil || got.Queued {
		e.Errorf("record %+v, want one without override that is not queued", got)
	}
}

// testMove: a message that moves keeps its state, what was asked of it, and can be changed at its new place.
func testMove(e *env) {
	e.apply(journal.Entry{Records: []sms.Record{record("m-1"), record("m-2")}})
	e.must(e.s.Override(e.ctx, override("m-1", 1)))
	e.claim("m-1", "m-2")
	e.apply(journal.Entry{Changes: []sms.StateChange{{MsgID: "m-1", Moved: "smsc2"}, {MsgID: "m-gone", Moved: "smsc2"}}, Release: []sms.MessageID{"m-1"}})
	want := record("m-1")
	want.CID = "smsc2"
	got := e.records("m-1")[0]
	if got.CID != want.CID || got.State != want.State || !got.Queued || got.Override == nil {
		e.Errorf("record %+v, want one of smsc2 that is queued, with its override", got)
	}
	e.must(e.s.Override(e.ctx, override("m-1", 2)))
	if got := e.claim("m-1"); len(got) != 1 || got[0].Version != 2 {
		e.Errorf("overrides %+v, want the second one", got)
	}
	if got := e.records("m-2", "m-gone"); got[0].CID != "smsc1" || got[1].MsgID != "" {
		e.Errorf("records %+v, want m-2 at smsc1 and no other", got)
	}
}

// testClaimRace: of a claim and an override that meet, either the override is refused or the claim
// tells of it.
func testClaimRace(e *env) {
	const total = 200
	for i := range total {
		id := sms.MessageID("m-" + string(rune('a'+i%26)) + string(rune('a'+i/26)))
		e.apply(journal.Entry{Records: []sms.Record{record(id)}})
		overridden := make(chan error, 1)
		go func() { overridden <- e.s.Override(e.ctx, override(id, 1)) }()
		got := e.claim(id)
		switch err := <-overridden; {
		case err == nil && !slices.ContainsFunc(got, func(o sms.Override) bool { return o.MsgID == id }):
			e.Fatalf("%s: the override was accepted, and the claim did not tell of it", id)
		case err != nil && !errors.Is(err, journal.ErrTooLate):
			e.Fatal(err)
		case err != nil && len(got) > 0:
			e.Fatalf("%s: the override was refused, and the claim told of it", id)
		}
	}
}
