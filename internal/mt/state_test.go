package mt

import (
	"context"
	"errors"
	"testing"
	"time"

	"jasmind/internal/journal"
	"jasmind/internal/queue"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

// desk is an embedded gateway's states of messages.
type desk struct {
	*testing.T
	st     *stack
	svc    *Service
	states *States
}

func newDesk(t *testing.T) *desk {
	st := openStack(t, t.TempDir())
	t.Cleanup(st.close)
	if err := st.q.Declare(t.Context(), queue.DLRSubmitSMResp); err != nil {
		t.Fatal(err)
	}
	return &desk{t, st, newFake().over(Config{StateExpiry: time.Hour}, func(d *Deps) { d.Journal, d.Backlog = st.j, st.q }), NewStates(st.j, st.store)}
}

func (d *desk) must(err error) {
	d.Helper()
	if err != nil {
		d.Fatal(err)
	}
}

// submit accepts messages of an ESME; several as a submit_multi.
func (d *desk) submit(edit func(*Message), to ...string) sms.MessageID {
	d.Helper()
	ms := make([]*Message, len(to))
	for i, n := range to {
		m := &Message{UID: "u1", Origin: sms.OriginSMPP, Set: FieldCoding | FieldPriority,
			PDU: pdu.Message{Source: pdu.Address{Addr: "ACME"}, Dest: pdu.Address{Addr: n}, ShortMessage: []byte("old")}}
		if len(to) > 1 {
			m.ID, m.Group = queue.OneOf("00000000-0000-4000-8000-000000000000", i), len(to)
		}
		if edit != nil {
			edit(m)
		}
		ms[i] = m
	}
	var id sms.MessageID
	for i, r := range d.svc.SubmitAll(d.Context(), ms) {
		d.must(r.Err)
		if i == 0 {
			id = r.ID
		}
	}
	return id
}

func (d *desk) ask(id sms.MessageID) Subject { return Subject{UID: "u1", ID: id, Source: "ACME"} }

func (d *desk) wantState(id sms.MessageID, want pdu.MessageState, final bool) {
	d.Helper()
	r, err := d.states.Query(d.Context(), d.ask(id))
	d.must(err)
	if r.State != want || r.Final.IsZero() == final {
		d.Errorf("state %v, final at %v; want %v, final %v", r.State, r.Final, want, final)
	}
}

func (d *desk) wantErr(what string, err, want error) {
	d.Helper()
	if !errors.Is(err, want) {
		d.Errorf("%s: %v, want %v", what, err, want)
	}
}

func (d *desk) claim(ids ...sms.MessageID) []sms.Override {
	d.Helper()
	os, err := d.st.store.Claim(d.Context(), ids)
	d.must(err)
	return os
}

func reported(m *Message) {
	m.PDU.RegisteredDelivery = 1
	m.Report = Report{What: sms.ReportFinal, SystemID: "foo"}
}

func TestAMessageIsItsSendersAlone(t *testing.T) {
	d := newDesk(t)
	id := d.submit(nil, "336")
	d.wantState(id, pdu.StateEnroute, false)
	for _, tt := range []struct {
		name string
		m    Subject
		want error
	}{
		{"another user", Subject{UID: "u2", ID: id}, ErrUnknown},
		{"no id", Subject{UID: "u1"}, ErrUnknown},
		{"an id that was never given", Subject{UID: "u1", ID: "x"}, ErrUnknown},
		{"another source", Subject{UID: "u1", ID: id, Source: "OTHER"}, ErrAddress},
		{"another destination", Subject{UID: "u1", ID: id, Dest: "337"}, ErrAddress},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := d.states.Query(t.Context(), tt.m)
			d.wantErr("Query", err, tt.want)
			d.wantErr("Cancel", d.states.Cancel(t.Context(), tt.m), tt.want)
			d.wantErr("Replace", d.states.Replace(t.Context(), tt.m, func(*sms.Record) (Replacement, error) { return Replacement{}, nil }), tt.want)
		})
	}
	d.wantState(id, pdu.StateEnroute, false)
}

func TestHTTPMessagesHaveNoState(t *testing.T) {
	d := newDesk(t)
	id := d.submit(func(m *Message) { m.Origin = sms.OriginHTTP }, "336")
	_, err := d.states.Query(t.Context(), d.ask(id))
	d.wantErr("Query", err, ErrUnknown)
}

func TestCancel(t *testing.T) {
	d := newDesk(t)
	id := d.submit(func(m *Message) {
		reported(m)
		m.Set |= FieldValidity
		m.Validity = time.Nanosecond
	}, "336")
	d.must(d.states.Cancel(t.Context(), d.ask(id)))
	d.wantState(id, pdu.StateDeleted, true)
	d.must(d.states.Cancel(t.Context(), d.ask(id))) // a repeat
	if os := d.claim(id); len(os) != 1 || !os[0].Cancel || os[0].Report != sms.ReportFinal {
		t.Errorf("overrides %+v, want a cancellation", os)
	}
	// Its validity ends no more.
	if xs, err := d.st.store.Expired(t.Context(), 10); err != nil || len(xs) != 0 {
		t.Errorf("expired: %+v, %v", xs, err)
	}
	d.wantErr("Replace", d.states.Replace(t.Context(), d.ask(id), func(*sms.Record) (Replacement, error) { return Replacement{}, nil }), journal.ErrTooLate)
}

func TestTooLate(t *testing.T) {
	for name, leave := range map[string]func(*desk, sms.MessageID){
		"in a connector's hand": func(d *desk, id sms.MessageID) { d.claim(id) },
		"submitted": func(d *desk, id sms.MessageID) {
			d.must(d.st.j.Commit(d.Context(), &journal.Entry{Changes: []sms.StateChange{{MsgID: id, Left: true, State: pdu.StateEnroute}}}))
		},
		"expired": func(d *desk, id sms.MessageID) {
			d.must(d.st.j.Commit(d.Context(), &journal.Entry{Changes: []sms.StateChange{{MsgID: id, State: pdu.StateExpired, Final: time.Now()}}}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			id := d.submit(nil, "336")
			leave(d, id)
			d.wantErr("Cancel", d.states.Cancel(t.Context(), d.ask(id)), journal.ErrTooLate)
			d.wantErr("Replace", d.states.Replace(t.Context(), d.ask(id), func(*sms.Record) (Replacement, error) { return Replacement{}, nil }), journal.ErrTooLate)
		})
	}
}

func TestReplaceAddsUp(t *testing.T) {
	d := newDesk(t)
	id := d.submit(nil, "336")
	replace := func(want Replacement) {
		t.Helper()
		d.must(d.states.Replace(t.Context(), d.ask(id), func(*sms.Record) (Replacement, error) { return want, nil }))
	}
	replace(Replacement{HasText: true, Text: []byte("new")})
	replace(Replacement{Validity: "000000010000000R", Valid: time.Hour, Registered: 1, Report: sms.ReportFinal, SystemID: "foo"})
	os := d.claim(id)
	if len(os) != 1 || string(os[0].Text) != "new" || os[0].Validity == "" || os[0].Version != 2 || os[0].Report != sms.ReportFinal || os[0].Registered != 1 {
		t.Fatalf("overrides %+v", os)
	}
	if left := time.Until(os[0].ExpiresAt); left > time.Hour || left < 30*time.Minute {
		t.Errorf("it ends in %v, want an hour", left)
	}
	req, ok, err := d.st.store.Receipt(t.Context(), id)
	d.must(err)
	if !ok || req.SystemID != "foo" || req.RegisteredDelivery != 1 || req.Source.Addr != "ACME" || req.Dest.Addr != "336" {
		t.Errorf("receipt request %+v, %v", req, ok)
	}
}

func TestReplaceCanEndTheReceipt(t *testing.T) {
	d := newDesk(t)
	id := d.submit(reported, "336")
	d.must(d.states.Replace(t.Context(), d.ask(id), func(*sms.Record) (Replacement, error) { return Replacement{}, nil }))
	if _, ok, err := d.st.store.Receipt(t.Context(), id); ok || err != nil {
		t.Errorf("the receipt request is there: %v, %v", ok, err)
	}
	refusal := &sms.Error{Reason: sms.ReasonValueFilter}
	err := d.states.Replace(t.Context(), d.ask(id), func(r *sms.Record) (Replacement, error) {
		if r.Report != 0 || r.Registered != 0 {
			t.Errorf("record %+v, want one of what it is now", r)
		}
		return Replacement{}, refusal
	})
	d.wantErr("Replace", err, refusal)
}

func TestSubmitMulti(t *testing.T) {
	d := newDesk(t)
	id := d.submit(nil, "331", "332", "333")
	d.wantState(id, pdu.StateEnroute, false)
	d.must(d.states.Cancel(t.Context(), Subject{UID: "u1", ID: id, Dest: "332"}))
	d.wantState(id, pdu.StateEnroute, false)
	d.must(d.st.j.Commit(t.Context(), &journal.Entry{Changes: []sms.StateChange{{MsgID: id, Left: true, State: pdu.StateDelivered, Final: time.Now()}}}))
	// One of three is too late; the others are cancelled all the same.
	d.wantErr("Cancel", d.states.Cancel(t.Context(), d.ask(id)), journal.ErrTooLate)
	d.wantState(id, pdu.StateDeleted, true)
	if os := d.claim(id, queue.OneOf(id, 1), queue.OneOf(id, 2)); len(os) != 2 {
		t.Errorf("overrides %+v, want two", os)
	}
}

// The first message of a submit_multi was refused: the others are found under its id.
func TestSubmitMultiWithoutItsFirst(t *testing.T) {
	d := newDesk(t)
	id := d.submit(func(m *Message) { m.ID = queue.OneOf("11111111-0000-4000-8000-000000000000", 2) }, "331")
	d.wantState(queue.Told(id), pdu.StateEnroute, false)
}

// Changes that meet each other are made one after the other, or refused as too late.
func TestReplacesThatMeet(t *testing.T) {
	d := newDesk(t)
	id := d.submit(nil, "336")
	const n = 4
	errs := make(chan error, n)
	for range n {
		go func() {
			errs <- d.states.Replace(context.WithoutCancel(t.Context()), d.ask(id), func(*sms.Record) (Replacement, error) {
				return Replacement{HasText: true, Text: []byte("the same")}, nil
			})
		}()
	}
	done := 0
	for range n {
		err := <-errs
		if err == nil {
			done++
		} else if !errors.Is(err, journal.ErrConflict) {
			t.Error(err)
		}
	}
	if os := d.claim(id); len(os) != 1 || os[0].Version != done {
		t.Errorf("overrides %+v, want version %d", os, done)
	}
}
