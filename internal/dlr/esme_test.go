package dlr

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"jasmind/internal/journal"
	"jasmind/internal/queue"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

// fromESME is what accepting a submit_sm commits.
func fromESME(id sms.MessageID, registered uint8, report sms.Report) *journal.Entry {
	r := sms.ReceiptRequest{MsgID: id, Origin: sms.OriginSMPP, CID: cid, Report: report, Parts: 1, Expiry: time.Hour, SystemID: "acme",
		Source: pdu.Address{TON: 5, Addr: "ACME"}, Dest: pdu.Address{TON: 1, NPI: 1, Addr: "336"}, RegisteredDelivery: registered,
		SubmittedAt: time.Unix(1700000000, 0)}
	e := &journal.Entry{Receipts: []sms.ReceiptRequest{r}}
	if report == sms.ReportSubmit|sms.ReportFinal {
		e.Receipts = append(e.Receipts, sms.ReceiptRequest{MsgID: queue.LevelOne(id), Origin: sms.OriginSMPP, CID: cid, Report: sms.ReportSubmit, Parts: 1, Expiry: time.Hour})
	}
	return mapped(e, id, "A", 1)
}

func TestAnESMEIsToldWhatItAskedFor(t *testing.T) {
	state := func(state string) func(*journal.Entry) {
		return receiptOf(queue.ReceiptEvent{ID: "A1", State: state, Err: "007", DoneDate: "2401020305"})
	}
	refusal := result(queue.SubmitResult{Status: "ESME_RINVDSTADR"})
	taken := result(queue.SubmitResult{Status: "ESME_ROK", SMPPMsgID: "A1"})
	expired := result(queue.SubmitResult{Status: "ESME_RDELIVERYFAILURE", State: "EXPIRED"})
	type events = []func(*journal.Entry)
	for _, tt := range []struct {
		name       string
		registered uint8
		accepted   bool
		events     events
		want       string // states and errs
		kept       bool
	}{
		{"1: success", 1, false, events{state("DELIVRD")}, "DELIVRD/007", false},
		{"1: failure", 1, false, events{state("UNDELIV")}, "UNDELIV/007", false},
		{"1: a refused submission", 1, false, events{refusal}, "UNDELIV/99", false},
		{"1: a validity that ended here", 1, false, events{expired}, "EXPIRED/99", false},
		{"1: intermediate states are not forwarded, and the final one still is", 1, false, events{state("ENROUTE"), state("SCHEDLD"), state("DELIVRD")}, "DELIVRD/007", false},
		{"1: states that others may follow", 1, false, events{state("ACCEPTD"), state("UNKNOWN")}, "ACCEPTD/007 UNKNOWN/007", true},
		{"1: a receipt that comes twice is told once", 1, false, events{state("DELIVRD"), state("DELIVRD")}, "DELIVRD/007", false},
		{"1 with an intermediate notification and acknowledgements", 0x1D, false, events{state("ENROUTE"), state("EXPIRED")}, "ENROUTE/007 EXPIRED/007", false},
		{"0 with an intermediate notification: the final state is not told", 0x10, false, events{state("SCHEDLD"), state("DELIVRD")}, "SCHEDLD/007", false},
		{"2: success is not told", 2, false, events{state("DELIVRD")}, "", false},
		{"2: failure", 2, false, events{state("REJECTD")}, "REJECTD/007", false},
		{"2: a refused submission", 2, false, events{refusal}, "UNDELIV/99", false},
		{"3: success", 3, false, events{state("DELIVRD")}, "DELIVRD/007", false},
		{"3: failure is not told", 3, false, events{state("UNDELIV")}, "", false},
		{"3: nor is a refused submission", 3, false, events{refusal}, "", false},
		{"1 with smpp_receipt_on_success_submit_sm_resp: taken, then delivered", 1, true, events{taken, state("DELIVRD")}, "ACCEPTD/ DELIVRD/007", false},
		{"1 with smpp_receipt_on_success_submit_sm_resp: an answer that comes twice is told once", 1, true, events{taken, taken}, "ACCEPTD/", true},
		{"1 with smpp_receipt_on_success_submit_sm_resp: refused", 1, true, events{refusal}, "UNDELIV/99", false},
		{"2 with smpp_receipt_on_success_submit_sm_resp: taken is no failure", 2, true, events{taken, state("UNDELIV")}, "UNDELIV/007", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStack(t)
			if err := s.Declare(t.Context(), queue.DLRThrowerSMPPS); err != nil {
				t.Fatal(err)
			}
			report := sms.ReportFinal
			if tt.accepted {
				report |= sms.ReportSubmit
			}
			s.has(t, fromESME("m", tt.registered, report))
			s.run(t, Config{Accepted: tt.accepted})
			for _, event := range tt.events {
				var e journal.Entry
				event(&e)
				s.has(t, &e)
				s.settled(t, 1)
			}
			var got []string
			for _, d := range s.toldESME(t) {
				got = append(got, d.Status+"/"+d.Err)
			}
			if got := strings.Join(got, " "); got != tt.want {
				t.Errorf("told %q, want %q", got, tt.want)
			}
			if got := s.told(t); len(got) > 0 {
				t.Errorf("told a URL: %v", got)
			}
			if got := s.remembered(t, "m"); got != tt.kept {
				t.Errorf("remembered: %v, want %v", got, tt.kept)
			}
		})
	}
}

func TestAnESMEIsToldEverythingTheSMSCSaid(t *testing.T) {
	s := newStack(t)
	if err := s.Declare(t.Context(), queue.DLRThrowerSMPPS); err != nil {
		t.Fatal(err)
	}
	s.has(t, fromESME(queue.OneOf("m", 3), 1, sms.ReportFinal))
	s.run(t, Config{})
	began := time.Now().Truncate(time.Millisecond)
	s.has(t, received(&journal.Entry{}, queue.ReceiptEvent{ID: "A1", State: "DELIVRD", Err: "007", Sub: "001", Dlvrd: "002", DoneDate: "2401020305", Text: "hi"}))
	s.settled(t, 1)
	got := s.toldESME(t)
	want := queue.SMPPDLR{MsgID: "m", SystemID: "acme", Source: pdu.Address{TON: 5, Addr: "ACME"}, Dest: pdu.Address{TON: 1, NPI: 1, Addr: "336"},
		Status: "DELIVRD", Err: "007", SubmittedAt: time.Unix(1700000000, 0), Sub: "001", Dlvrd: "002", Done: "2401020305", Text: "hi"}
	if len(got) != 1 || got[0].CreatedAt.Before(began) {
		t.Fatalf("told %+v", got)
	}
	want.CreatedAt = got[0].CreatedAt
	if !slices.Equal(got, []queue.SMPPDLR{want}) {
		t.Errorf("got  %+v\nwant %+v", got[0], want)
	}
}

func TestRegisteredDelivery(t *testing.T) {
	for registered := range 256 {
		got := ""
		for _, state := range []string{"DELIVRD", "ACCEPTD", "UNDELIV", "EXPIRED", "UNKNOWN", "ENROUTE", "SCHEDLD"} {
			got += fmt.Sprint(map[bool]int{true: 1}[wanted(uint8(registered), sms.State(state))])
		}
		want := [...]string{"00000", "11111", "00111", "11000"}[registered&3] + [...]string{"00", "11"}[registered>>4&1]
		if got != want {
			t.Errorf("registered_delivery %#02x: %s, want %s", registered, got, want)
		}
	}
}

// toldESME gives the DLRs for ESMEs that are queued by now, in order.
func (s *stack) toldESME(t testing.TB) (out []queue.SMPPDLR) {
	t.Helper()
	n, err := s.Length(t.Context(), queue.DLRThrowerSMPPS)
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.Consume(t.Context(), queue.DLRThrowerSMPPS, 1000)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(t.Context()) //nolint:errcheck // the test is over
	for range n {
		dlr, err := queue.DecodeSMPPDLR(&(<-c.C()).Message)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, *dlr)
	}
	return out
}
