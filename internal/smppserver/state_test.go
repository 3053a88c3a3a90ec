package smppserver

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"jasmind/internal/account"
	"jasmind/internal/journal"
	"jasmind/internal/mt"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

// fakeStates answers with what a test wants.
type fakeStates struct {
	mu       sync.Mutex
	record   sms.Record
	err      error
	asked    []mt.Subject
	replaced []mt.Replacement
}

func (f *fakeStates) note(m mt.Subject) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, m)
	return f.err
}

func (f *fakeStates) Query(_ context.Context, m mt.Subject) (sms.Record, error) {
	return f.record, f.note(m)
}

func (f *fakeStates) Cancel(_ context.Context, m mt.Subject) error { return f.note(m) }

func (f *fakeStates) Replace(_ context.Context, m mt.Subject, ask func(*sms.Record) (mt.Replacement, error)) error {
	r := f.record
	want, err := ask(&r)
	if err != nil {
		return err
	}
	f.mu.Lock()
	f.replaced = append(f.replaced, want)
	f.mu.Unlock()
	return f.note(m)
}

func TestQuerySM(t *testing.T) {
	w := newWorld(t, Config{})
	e := w.bind(pdu.Bind{Type: pdu.Transmitter})
	final := time.Date(2026, 11, 25, 10, 20, 30, 0, time.UTC)
	for _, tt := range []struct {
		name   string
		record sms.Record
		err    error
		status pdu.Status
		want   pdu.QuerySMResp
	}{
		{"queued", sms.Record{State: pdu.StateEnroute}, nil, pdu.StatusOK, pdu.QuerySMResp{MessageID: "m1", MessageState: pdu.StateEnroute}},
		{"ended", sms.Record{State: pdu.StateUndeliverable, Err: 11, Final: final}, nil, pdu.StatusOK,
			pdu.QuerySMResp{MessageID: "m1", MessageState: pdu.StateUndeliverable, ErrorCode: 11, FinalDate: pdu.FormatAbsolute(final)}},
		{"unknown", sms.Record{}, mt.ErrUnknown, pdu.StatusInvMsgID, pdu.QuerySMResp{}},
		{"another source", sms.Record{}, mt.ErrAddress, pdu.StatusQueryFail, pdu.QuerySMResp{}},
		{"store away", sms.Record{}, &sms.Error{Reason: sms.ReasonUnavailable}, pdu.StatusSysErr, pdu.QuerySMResp{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w.states.set(tt.record, tt.err)
			st, p := e.do(t, &pdu.QuerySM{MessageID: "m1", Source: pdu.Address{Addr: "ACME"}})
			if st != tt.status {
				t.Fatalf("status %v, want %v", st, tt.status)
			}
			if st == pdu.StatusOK {
				if got := p.(*pdu.QuerySMResp); fmt.Sprintf("%+v", *got) != fmt.Sprintf("%+v", tt.want) {
					t.Errorf("got %+v, want %+v", *got, tt.want)
				}
			}
			if got, want := w.states.last(), (mt.Subject{UID: "u_foo", ID: "m1", Source: "ACME"}); got != want {
				t.Errorf("asked for %+v, want %+v", got, want)
			}
		})
	}
}

func TestCancelAndReplaceSM(t *testing.T) {
	w := newWorld(t, Config{})
	e := w.bind(pdu.Bind{Type: pdu.Transceiver})
	for _, tt := range []struct {
		err             error
		cancel, replace pdu.Status
	}{
		{nil, pdu.StatusOK, pdu.StatusOK},
		{mt.ErrUnknown, pdu.StatusInvMsgID, pdu.StatusInvMsgID},
		{mt.ErrAddress, pdu.StatusCancelFail, pdu.StatusReplaceFail},
		{journal.ErrTooLate, pdu.StatusCancelFail, pdu.StatusReplaceFail},
		{fmt.Errorf("again: %w", journal.ErrConflict), pdu.StatusCancelFail, pdu.StatusReplaceFail},
		{errors.New("our own fault"), pdu.StatusSysErr, pdu.StatusSysErr},
	} {
		t.Run(fmt.Sprint(tt.err), func(t *testing.T) {
			w.states.set(sms.Record{}, tt.err)
			if st, _ := e.do(t, &pdu.CancelSM{MessageID: "m1", Source: pdu.Address{Addr: "ACME"}, Dest: pdu.Address{Addr: "336"}}); st != tt.cancel {
				t.Errorf("cancel_sm: %v, want %v", st, tt.cancel)
			}
			if got, want := w.states.last(), (mt.Subject{UID: "u_foo", ID: "m1", Source: "ACME", Dest: "336"}); got != want {
				t.Errorf("asked for %+v, want %+v", got, want)
			}
			if st, _ := e.do(t, &pdu.ReplaceSM{MessageID: "m1", ShortMessage: []byte("new")}); st != tt.replace {
				t.Errorf("replace_sm: %v, want %v", st, tt.replace)
			}
		})
	}
}

func TestReplaceSMIsChecked(t *testing.T) {
	w := newWorld(t, Config{Accepted: true}, func(u *account.User) {
		u.MT.Authorization.ScheduleDeliveryTime, u.MT.Authorization.DLRLevel = false, false
		good, err := account.CompilePattern("^good")
		if err != nil {
			t.Fatal(err)
		}
		u.MT.ValueFilter.Content = good
	})
	e := w.bind(pdu.Bind{Type: pdu.Transceiver})
	both := sms.ReportFinal | sms.ReportSubmit
	for _, tt := range []struct {
		name   string
		p      pdu.ReplaceSM
		was    uint8 // registered_delivery
		status pdu.Status
		want   mt.Replacement
	}{
		{"text", pdu.ReplaceSM{ShortMessage: []byte("good")}, 0, pdu.StatusOK, mt.Replacement{HasText: true, Text: []byte("good"), SystemID: "foo"}},
		{"nothing but the receipt, which he may keep", pdu.ReplaceSM{RegisteredDelivery: 1}, 1, pdu.StatusOK, mt.Replacement{Registered: 1, Report: both, SystemID: "foo"}},
		{"a receipt that he may not ask for", pdu.ReplaceSM{RegisteredDelivery: 1}, 0, pdu.StatusReplaceFail, mt.Replacement{}},
		{"a canned text", pdu.ReplaceSM{SMDefaultMsgID: 2}, 0, pdu.StatusSysErr, mt.Replacement{}}, // the filter wants other text
		{"text that the filter refuses", pdu.ReplaceSM{ShortMessage: []byte("bad")}, 0, pdu.StatusSysErr, mt.Replacement{}},
		{"schedule without the right to it", pdu.ReplaceSM{ScheduleDeliveryTime: "000000000100000R"}, 0, pdu.StatusReplaceFail, mt.Replacement{}},
		{"validity that is no time", pdu.ReplaceSM{ValidityPeriod: "tomorrow morning"}, 0, pdu.StatusInvExpiry, mt.Replacement{}},
		{"message_payload", pdu.ReplaceSM{TLVs: pdu.TLVs{{Tag: pdu.TagMessagePayload, Value: []byte("good and long")}}}, 0, pdu.StatusOK,
			mt.Replacement{HasText: true, Text: []byte("good and long"), SystemID: "foo"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w.states.set(sms.Record{Registered: tt.was}, nil)
			p := tt.p
			p.MessageID = "m1"
			st, _ := e.do(t, &p)
			if st != tt.status {
				t.Fatalf("status %v, want %v", st, tt.status)
			}
			if st != pdu.StatusOK {
				return
			}
			w.states.mu.Lock()
			defer w.states.mu.Unlock()
			if got := w.states.replaced[len(w.states.replaced)-1]; fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", tt.want) {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func (f *fakeStates) set(r sms.Record, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.record, f.err = r, err
}

func (f *fakeStates) last() mt.Subject {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked[len(f.asked)-1]
}
