package dlr

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"jasmind/internal/journal"
	"jasmind/internal/queue"
	"jasmind/internal/sms"
)

// result and receipt are one event each: what an SMSC answered, and what it sent later.
func result(r queue.SubmitResult) func(*journal.Entry) {
	return func(e *journal.Entry) { r.MsgID = "m"; answered(e, r) }
}

func receiptOf(r queue.ReceiptEvent) func(*journal.Entry) {
	return func(e *journal.Entry) { received(e, r) }
}

func TestWhoAskedIsTold(t *testing.T) {
	full := queue.ReceiptEvent{ID: "A1", State: "DELIVRD", Sub: "001", Dlvrd: "002", SubmitDate: "2401020304", DoneDate: "2401020305", Err: "007", Text: "hello"}
	fullDLR := two("m", "DELIVRD", "A1")
	fullDLR.Sub, fullDLR.Dlvrd, fullDLR.SubDate, fullDLR.DoneDate, fullDLR.Err, fullDLR.Text = "001", "002", "2401020304", "2401020305", "007", "hello"
	final := func(level int, state string) queue.HTTPDLR {
		d := two("m", state, "ND")
		if d.Level = level; level == 1 { // level 1 carries none of these
			d.Sub, d.Dlvrd, d.SubDate, d.DoneDate, d.Err = "", "", "", "", ""
		}
		return d
	}
	for _, tt := range []struct {
		name   string
		level  int
		parts  int
		events []func(*journal.Entry)
		want   []queue.HTTPDLR
		kept   bool
	}{
		{"level 1: the answer, with the id as receipts will spell it", 1, 1,
			[]func(*journal.Entry){result(queue.SubmitResult{Status: "ESME_ROK", SMPPMsgID: "00a1"})}, []queue.HTTPDLR{one("m", "ESME_ROK", "A1")}, false},
		{"level 1: a refusal", 1, 1,
			[]func(*journal.Entry){result(queue.SubmitResult{Status: "ESME_RINVDSTADR"})}, []queue.HTTPDLR{one("m", "ESME_RINVDSTADR", "")}, false},
		{"level 1: a receipt is not forwarded", 1, 1,
			[]func(*journal.Entry){receiptOf(full)}, nil, true},
		{"level 2: an answer is not forwarded", 2, 1,
			[]func(*journal.Entry){result(queue.SubmitResult{Status: "ESME_ROK"})}, nil, true},
		{"level 2: the receipt, with all its fields", 2, 1,
			[]func(*journal.Entry){receiptOf(full)}, []queue.HTTPDLR{fullDLR}, false},
		{"level 2: fields that are missing are ND, text is empty", 2, 1,
			[]func(*journal.Entry){receiptOf(queue.ReceiptEvent{ID: "A1", State: "UNDELIV"})}, []queue.HTTPDLR{two("m", "UNDELIV", "A1")}, false},
		{"level 2: a refusal is told with its status", 2, 1,
			[]func(*journal.Entry){result(queue.SubmitResult{Status: "ESME_RSYSERR"})}, []queue.HTTPDLR{one("m", "ESME_RSYSERR", "")}, false},
		{"level 2: a validity that ended here is a final state", 2, 1,
			[]func(*journal.Entry){result(queue.SubmitResult{Status: "ESME_RDELIVERYFAILURE", State: "EXPIRED"})}, []queue.HTTPDLR{final(2, "EXPIRED")}, false},
		{"level 1: a validity that ended here is told too", 1, 1,
			[]func(*journal.Entry){result(queue.SubmitResult{Status: "ESME_RDELIVERYFAILURE", State: "EXPIRED"})}, []queue.HTTPDLR{final(1, "EXPIRED")}, false},
		{"level 3: a validity that ended here is one DLR", 3, 1,
			[]func(*journal.Entry){result(queue.SubmitResult{Status: "ESME_RDELIVERYFAILURE", State: "EXPIRED"})}, []queue.HTTPDLR{final(2, "EXPIRED")}, false},
		{"level 3: a refusal is one DLR", 3, 1,
			[]func(*journal.Entry){result(queue.SubmitResult{Status: "ESME_RSYSERR"})}, []queue.HTTPDLR{one("m", "ESME_RSYSERR", "")}, false},
		{"level 3: both, in order", 3, 1,
			[]func(*journal.Entry){result(queue.SubmitResult{Status: "ESME_ROK", SMPPMsgID: "A1"}), receiptOf(full)}, []queue.HTTPDLR{one("m", "ESME_ROK", "A1"), fullDLR}, false},
		{"level 3: an answer that comes twice is told once", 3, 1,
			[]func(*journal.Entry){result(queue.SubmitResult{Status: "ESME_ROK", SMPPMsgID: "A1"}), result(queue.SubmitResult{Status: "ESME_ROK", SMPPMsgID: "A1"})},
			[]queue.HTTPDLR{one("m", "ESME_ROK", "A1")}, true},
		{"intermediate states are told, and the final one still comes", 2, 1,
			[]func(*journal.Entry){receiptOf(queue.ReceiptEvent{ID: "A1", State: "ENROUTE"}), receiptOf(queue.ReceiptEvent{ID: "A1", State: "ACCEPTD"}),
				receiptOf(queue.ReceiptEvent{ID: "A1", State: "UNKNOWN"}), receiptOf(queue.ReceiptEvent{ID: "A1", State: "DELIVRD"})},
			[]queue.HTTPDLR{two("m", "ENROUTE", "A1"), two("m", "ACCEPTD", "A1"), two("m", "UNKNOWN", "A1"), two("m", "DELIVRD", "A1")}, false},
		{"a receipt that comes twice is told once", 2, 1,
			[]func(*journal.Entry){receiptOf(full), receiptOf(full)}, []queue.HTTPDLR{fullDLR}, false},
		{"a later state than the final one is not told", 2, 1,
			[]func(*journal.Entry){receiptOf(full), receiptOf(queue.ReceiptEvent{ID: "A1", State: "EXPIRED"})}, []queue.HTTPDLR{fullDLR}, false},
		{"long message: one DLR when all parts are final", 2, 3,
			[]func(*journal.Entry){receiptOf(queue.ReceiptEvent{ID: "A1", State: "DELIVRD"}), receiptOf(queue.ReceiptEvent{ID: "A3", State: "DELIVRD"}),
				receiptOf(queue.ReceiptEvent{ID: "A2", State: "DELIVRD"})}, []queue.HTTPDLR{two("m", "DELIVRD", "A1")}, false},
		{"long message: nothing while a part is missing", 2, 3,
			[]func(*journal.Entry){receiptOf(queue.ReceiptEvent{ID: "A1", State: "DELIVRD"}), receiptOf(queue.ReceiptEvent{ID: "A3", State: "DELIVRD"})}, nil, true},
		{"long message: a part's receipt that comes twice counts once", 2, 2,
			[]func(*journal.Entry){receiptOf(queue.ReceiptEvent{ID: "A1", State: "DELIVRD"}), receiptOf(queue.ReceiptEvent{ID: "A1", State: "DELIVRD"})}, nil, true},
		{"long message: intermediate states of parts are not told", 2, 2,
			[]func(*journal.Entry){receiptOf(queue.ReceiptEvent{ID: "A1", State: "ENROUTE"}), receiptOf(queue.ReceiptEvent{ID: "A2", State: "ACCEPTD"})}, nil, true},
		{"long message: the worst state wins, with its fields and the first part's id and text", 2, 3,
			[]func(*journal.Entry){
				receiptOf(queue.ReceiptEvent{ID: "A3", State: "DELIVRD", Err: "3", Text: "three"}),
				receiptOf(queue.ReceiptEvent{ID: "A2", State: "UNDELIV", Err: "2", Text: "two", Sub: "s2", Dlvrd: "d2", SubmitDate: "sd2", DoneDate: "dd2"}),
				receiptOf(queue.ReceiptEvent{ID: "A1", State: "EXPIRED", Err: "1", Text: "one", Sub: "s1"})},
			[]queue.HTTPDLR{{MsgID: "m", URL: url, Method: "POST", Level: 2, Status: "UNDELIV", CID: cid, IDSMSC: "A1",
				Sub: "s2", Dlvrd: "d2", SubDate: "sd2", DoneDate: "dd2", Err: "2", Text: "one"}}, false},
		{"long message, level 3: a refused part is told at once", 3, 2,
			[]func(*journal.Entry){result(queue.SubmitResult{Status: "ESME_RMSGQFUL"}), receiptOf(queue.ReceiptEvent{ID: "A1", State: "DELIVRD"})},
			[]queue.HTTPDLR{one("m", "ESME_RMSGQFUL", "")}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStack(t)
			s.has(t, mapped(accepted("m", tt.level, tt.parts), "m", "A", tt.parts))
			s.run(t, Config{})
			for _, event := range tt.events {
				var e journal.Entry
				event(&e)
				s.has(t, &e)
				s.settled(t, 1)
			}
			if got := s.told(t); !slices.Equal(got, tt.want) {
				t.Errorf("told%s\nwant%s", list(got), list(tt.want))
			}
			if got := s.remembered(t, "m"); got != tt.kept {
				t.Errorf("remembered: %v, want %v", got, tt.kept)
			}
		})
	}
}

func TestLastPartAloneDecides(t *testing.T) {
	s := newStack(t)
	s.has(t, mapped(accepted("m", 2, 3), "m", "A", 3))
	s.run(t, Config{LastPartOnly: true})
	s.has(t, received(&journal.Entry{}, queue.ReceiptEvent{ID: "A1", State: "UNDELIV"}, queue.ReceiptEvent{ID: "A2", State: "DELIVRD"}))
	s.settled(t, 2)
	if got := s.told(t); got != nil {
		t.Errorf("told%s before the last part", list(got))
	}
	s.has(t, received(&journal.Entry{}, queue.ReceiptEvent{ID: "A3", State: "DELIVRD"}))
	s.settled(t, 1)
	if got, want := s.told(t), []queue.HTTPDLR{two("m", "DELIVRD", "A3")}; !slices.Equal(got, want) {
		t.Errorf("told%s\nwant%s", list(got), list(want))
	}
	if s.remembered(t, "m") {
		t.Error("the request is remembered")
	}
}

func TestCandidates(t *testing.T) {
	for _, tt := range []struct {
		name   string
		event  queue.ReceiptEvent
		mapped map[string]sms.MessageID
		want   sms.MessageID
	}{
		{"the first that has a mapping, likeliest first", queue.ReceiptEvent{ID: "X", IDs: []string{"B1", "A1"}}, map[string]sms.MessageID{"A1": "a", "B1": "b"}, "b"},
		{"the likeliest wins without Unique", queue.ReceiptEvent{ID: "A1", IDs: []string{"B1"}}, map[string]sms.MessageID{"A1": "a", "B1": "b"}, "a"},
		{"Unique takes the only one", queue.ReceiptEvent{ID: "X", IDs: []string{"Y", "A1"}, Unique: true}, map[string]sms.MessageID{"A1": "a"}, "a"},
		{"Unique takes none of two messages", queue.ReceiptEvent{ID: "A1", IDs: []string{"B1"}, Unique: true}, map[string]sms.MessageID{"A1": "a", "B1": "b"}, ""},
		{"Unique does not mind two ids of one part", queue.ReceiptEvent{ID: "A1", IDs: []string{"B1"}, Unique: true}, map[string]sms.MessageID{"A1": "a", "B1": "a"}, "a"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStack(t)
			var e journal.Entry
			for id, msgID := range tt.mapped {
				e.Receipts = append(e.Receipts, accepted(msgID, 2, 1).Receipts...)
				e.Mappings = append(e.Mappings, sms.Mapping{Account: sms.Account(cid), SMPPMsgID: id, MsgID: msgID, Part: 1, Parts: 1, Expiry: time.Hour})
			}
			// The same ids of another connector are nobody's business.
			e.Mappings = append(e.Mappings, sms.Mapping{Account: "other", SMPPMsgID: "X", MsgID: "a", Part: 1, Parts: 1, Expiry: time.Hour})
			s.has(t, &e)
			l, stop := s.run(t, Config{})
			tt.event.State = "DELIVRD"
			s.has(t, received(&journal.Entry{}, tt.event))
			if tt.want == "" {
				parked(t, l, 1)
				if out := stop(); !strings.Contains(out, "ambiguous") {
					t.Errorf("log: %s", out)
				}
				if got := s.told(t); got != nil {
					t.Errorf("told%s", list(got))
				}
				return
			}
			s.settled(t, 1)
			if got := s.told(t); len(got) != 1 || got[0].MsgID != tt.want {
				t.Errorf("told%s\nwant message %s", list(got), tt.want)
			}
		})
	}
}

// A receipt that is here before the mapping is held, unsettled, and told when the mapping comes.
func TestReceiptThatComesFirstIsFoundLater(t *testing.T) {
	s := newStack(t)
	s.has(t, accepted("m", 3, 1))
	l, _ := s.run(t, Config{})
	s.has(t, received(&journal.Entry{}, queue.ReceiptEvent{ID: "A1", State: "DELIVRD"}))
	parked(t, l, 1)
	if n := len(s.entries); n != 0 {
		t.Fatalf("%d entries before there is a mapping", n)
	}
	s.has(t, answered(mapped(&journal.Entry{}, "m", "A", 1), queue.SubmitResult{MsgID: "m", Status: "ESME_ROK", SMPPMsgID: "A1"}))
	if retries := s.settled(t, 2); len(retries) != 0 {
		t.Errorf("put back: %+v", retries)
	}
	if got, want := s.told(t), []queue.HTTPDLR{one("m", "ESME_ROK", "A1"), two("m", "DELIVRD", "A1")}; !slices.Equal(got, want) {
		t.Errorf("told%s\nwant%s", list(got), list(want))
	}
	if s.remembered(t, "m") {
		t.Error("the request is remembered")
	}
	if l.Metrics.Unmatched.Load() != 0 {
		t.Error("counted as unmatched")
	}
}

// parked waits until a lookup has held or put back n events.
func parked(t *testing.T, l *Lookup, n int64) {
	t.Helper()
	for end := time.Now().Add(deadline); l.Metrics.Parked.Load() < n; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("%d of %d are parked", l.Metrics.Parked.Load(), n)
		}
	}
}

// The two queues are read side by side: a final receipt that is looked up before the answer to the
// submission must not end the request, or the DLR of level 1 is lost.
func TestReceiptThatOvertakesTheAnswerDoesNotTakeItsDLR(t *testing.T) {
	s := newStack(t)
	s.has(t, mapped(accepted("m", 3, 1), "m", "A", 1))
	l, _ := s.run(t, Config{})
	s.has(t, received(&journal.Entry{}, queue.ReceiptEvent{ID: "A1", State: "DELIVRD"}))
	parked(t, l, 1)
	if n := len(s.entries); n != 0 {
		t.Fatalf("%d entries before the answer", n)
	}
	s.has(t, answered(&journal.Entry{}, queue.SubmitResult{MsgID: "m", Status: "ESME_ROK", SMPPMsgID: "A1"}))
	s.settled(t, 2)
	if got, want := s.told(t), []queue.HTTPDLR{one("m", "ESME_ROK", "A1"), two("m", "DELIVRD", "A1")}; !slices.Equal(got, want) {
		t.Errorf("told%s\nwant%s", list(got), list(want))
	}
	if s.remembered(t, "m") {
		t.Error("the request is remembered")
	}
}

// attempt calls the lookup's handler directly with a delivery that was put back n times and held long enough.
func attempt(t *testing.T, l *Lookup, ev queue.ReceiptEvent, n int) *journal.Entry {
	t.Helper()
	ev.CID, ev.PDU = cid, "deliver_sm"
	d := &event{Delivery: &queue.Delivery{Message: ev.Message(), Queue: queue.DLRDeliverSM}, looks: 15}
	d.Attempts = n
	var fx effects
	if err := l.receipt(t.Context(), d, &fx); err != nil {
		t.Fatal(err)
	}
	for _, f := range fx.after {
		f()
	}
	d.fx = &fx
	e := new(journal.Entry)
	l.addTo(e, d)
	return e
}

func TestReceiptOfNobodyIsParkedAndThenGivenUp(t *testing.T) {
	s := newStack(t)
	var out strings.Builder
	l := New(Config{RetryDelay: 7 * time.Second, MaxRetries: 2}, s, s, s.store, slog.New(slog.NewTextHandler(&out, nil)))
	for n := range 2 {
		fx := attempt(t, l, queue.ReceiptEvent{ID: "FFFF", State: "DELIVRD"}, n)
		if r := fx.Retry; len(r) != 1 || r[0].After != 7*time.Second || len(fx.Ack) != 0 {
			t.Errorf("try %d: %+v, want a retry after 7 s", n+1, fx)
		}
	}
	if out.Len() != 0 {
		t.Errorf("log before it is given up: %s", out.String())
	}
	fx := attempt(t, l, queue.ReceiptEvent{ID: "FFFF", State: "DELIVRD", Octets: []byte("octets")}, 2)
	if len(fx.Ack) != 1 || len(fx.Retry) != 0 || len(fx.Publish) != 1 {
		t.Fatalf("try 3: %+v", fx)
	}
	letter, err := queue.DecodeLetter(&fx.Publish[0].Message)
	if err != nil || letter.Cause != queue.CauseUnclaimed || letter.Queue != queue.DLRDeliverSM || letter.Reason != "no message is known under the id FFFF at connector smsc1" {
		t.Errorf("dead letter %+v, %v", letter, err)
	}
	again := letter.Replay(time.Now())
	if ev, err := queue.DecodeReceiptEvent(&again.Message); err != nil || again.Queue != queue.DLRDeliverSM || string(ev.Octets) != "octets" || ev.State != "DELIVRD" {
		t.Errorf("replayed into %s as %+v, %v", again.Queue, ev, err)
	}
	if want := `level=WARN msg="Got a DLR for an unknown message id: FFFF" cid=smsc1 status=DELIVRD tries=3 dead_letter=true`; !strings.Contains(out.String(), want) {
		t.Errorf("log %q, want %q in it", out.String(), want)
	}
	if l.Metrics.Parked.Load() != 2 || l.Metrics.Unmatched.Load() != 1 {
		t.Errorf("parked %d, unmatched %d", l.Metrics.Parked.Load(), l.Metrics.Unmatched.Load())
	}
}

func TestAFloodOfReceiptsOfNobodyIsBounded(t *testing.T) {
	for _, private := range []bool{false, true} {
		t.Run(fmt.Sprint("privacy ", private), func(t *testing.T) {
			s := newStack(t)
			var out strings.Builder
			l := New(Config{MaxRetries: 1, LogPrivacy: private}, s, s, s.store, slog.New(slog.NewTextHandler(&out, nil)))
			letters := 0
			const n = unknownMost + 100
			for i := range n {
				letters += len(attempt(t, l, queue.ReceiptEvent{ID: fmt.Sprint(i), State: "DELIVRD", Octets: []byte("octets")}, 1).Publish)
			}
			if unkept := l.Metrics.Unkept.Load(); letters < unknownMost || letters > unknownMost+50 || unkept != int64(n-letters) || l.Metrics.Unmatched.Load() != n {
				t.Errorf("%d dead letters of %d receipts, %d unkept, %d unmatched", letters, n, unkept, l.Metrics.Unmatched.Load())
			}
			want := n - letters
			if private {
				want = 0
			}
			if got := strings.Count(out.String(), "dead_letter=false octets=6f6374657473"); got != want {
				t.Errorf("octets in %d lines, want %d", got, want)
			}
		})
	}
}

// While the journal is away, a receipt of nobody is looked up again and again. It counts once.
func TestALookThatIsRepeatedCountsOnceAgainstTheFlood(t *testing.T) {
	s := newStack(t)
	l := New(Config{}, s, s, s.store, slog.New(slog.DiscardHandler))
	ev := queue.ReceiptEvent{CID: cid, PDU: "deliver_sm", ID: "FFFF", State: "DELIVRD"}
	d := &event{Delivery: &queue.Delivery{Message: ev.Message(), Queue: queue.DLRDeliverSM}, looks: 15}
	for n := range unknownMost + 2 {
		if got, err := l.look(t.Context(), d); got != looked || err != nil || d.fx.publish == nil {
			t.Fatalf("look %d: %v %v, dead letter: %v", n+1, got, err, d.fx.publish != nil)
		}
	}
	if e := attempt(t, l, ev, 0); len(e.Publish) != 1 {
		t.Error("there is no place for another one")
	}
}

// A receipt belongs to the account at the SMSC, whichever connector of it gets the receipt; ids of different SMSCs stay apart.
func TestReceiptsAreLookedUpByAccount(t *testing.T) {
	const own, former, foreign sms.Account = "smsc.example:2775/user", "old.example:2775/user", "other.example:2775/user"
	for _, tt := range []struct {
		name     string
		mapped   map[sms.Account]sms.MessageID // under the same id
		accounts []sms.Account
		unique   bool
		want     sms.MessageID
		by       sms.ConnectorID
	}{
		{"the message was sent by another connector of the account", map[sms.Account]sms.MessageID{own: "m", foreign: "f"}, []sms.Account{own}, false, "m", "twin"},
		{"an id of another SMSC is nobody's business", map[sms.Account]sms.MessageID{foreign: "f"}, []sms.Account{own}, false, "", ""},
		{"the account that the connector had before", map[sms.Account]sms.MessageID{former: "m", foreign: "f"}, []sms.Account{own, former}, false, "m", "twin"},
		{"its own comes first", map[sms.Account]sms.MessageID{former: "f", own: "m", "smsc1": "c"}, []sms.Account{own, former}, false, "m", "twin"},
		{"its own comes first, with dlr_msgid auto", map[sms.Account]sms.MessageID{former: "f", own: "m", "smsc1": "c"}, []sms.Account{own, former}, true, "m", "twin"},
		{"a record that was written under the cid", map[sms.Account]sms.MessageID{"smsc1": "m", foreign: "f"}, []sms.Account{own}, false, "m", cid},
		{"a receipt that was queued before there were accounts", map[sms.Account]sms.MessageID{"smsc1": "m", foreign: "f"}, nil, false, "m", cid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStack(t)
			for account, id := range tt.mapped {
				e := accepted(id, 2, 1)
				m := sms.Mapping{Account: account, SMPPMsgID: "A1", MsgID: id, Part: 1, Parts: 1, Origin: sms.OriginHTTP, Expiry: time.Hour, SentBy: "twin"}
				if account == "smsc1" {
					m.SentBy = "" // as it was then
				}
				e.Mappings = append(e.Mappings, m)
				s.has(t, e)
			}
			l := New(Config{}, s, s, s.store, slog.New(slog.DiscardHandler))
			fx := attempt(t, l, queue.ReceiptEvent{ID: "A1", State: "DELIVRD", Accounts: tt.accounts, Unique: tt.unique}, 1)
			var got sms.MessageID
			var by sms.ConnectorID
			if fx.Publish[0].Queue == queue.DLRThrowerHTTP {
				dlr, err := queue.DecodeHTTPDLR(&fx.Publish[0].Message)
				if err != nil {
					t.Fatal(err)
				}
				got, by = dlr.MsgID, dlr.CID
			}
			if got != tt.want || by != tt.by {
				t.Errorf("message %q sent by %q, want %q by %q", got, by, tt.want, tt.by)
			}
		})
	}
}

// An answer that never comes: after all tries the receipt is told, and the request stays for the answer.
func TestReceiptDoesNotWaitForEverForTheAnswer(t *testing.T) {
	s := newStack(t)
	s.has(t, mapped(accepted("m", 3, 1), "m", "A", 1))
	l := New(Config{MaxRetries: 1}, s, s, s.store, slog.New(slog.DiscardHandler))
	if fx := attempt(t, l, queue.ReceiptEvent{ID: "A1", State: "DELIVRD"}, 0); len(fx.Retry) != 1 || len(fx.Publish) != 0 {
		t.Errorf("try 1: %+v", fx)
	}
	if fx := attempt(t, l, queue.ReceiptEvent{ID: "A1", State: "DELIVRD"}, 1); len(fx.Publish) != 1 || len(fx.Forget) != 0 || len(fx.Ack) != 1 {
		t.Errorf("try 2: %+v", fx)
	}
}

func TestUndecodableEventsAreBuried(t *testing.T) {
	s := newStack(t)
	l, stop := s.run(t, Config{})
	s.has(t, &journal.Entry{Publish: []queue.Publication{
		{Queue: queue.DLRSubmitSMResp, Message: queue.Message{ID: "m1"}},
		{Queue: queue.DLRDeliverSM, Message: queue.Message{ID: "m2", Body: []byte("DELIVRD")}},
	}})
	s.settled(t, 2)
	got := map[string]string{}
	for range 2 {
		d := <-s.dead.C()
		got[d.ID] = d.Headers.Str(queue.HeaderDeadQueue) + ": " + d.Headers.Str(queue.HeaderDeadReason)
	}
	if !strings.HasPrefix(got["m1"], "dlr.submit_sm_resp: submission result without") || !strings.HasPrefix(got["m2"], "dlr.deliver_sm: receipt without") {
		t.Errorf("dead letters %v", got)
	}
	stop()
	if l.Metrics.Undecodable.Load() != 2 {
		t.Errorf("%d counted", l.Metrics.Undecodable.Load())
	}
}

// While the journal is away events wait; then each is told once and counted once.
func TestJournalThatIsAwayLosesNothing(t *testing.T) {
	s := newStack(t)
	const n = 20
	e := &journal.Entry{}
	for i := range n {
		id := sms.MessageID(fmt.Sprint("m", i))
		e.Receipts = append(e.Receipts, accepted(id, 1, 1).Receipts...)
		answered(e, queue.SubmitResult{MsgID: id, Status: "ESME_ROK"})
	}
	s.has(t, e)
	var tries atomic.Int64
	s.refuse = func(*journal.Entry) error {
		if tries.Add(1) <= 2 {
			return fmt.Errorf("commit: %w", queue.ErrUnavailable)
		}
		return nil
	}
	l, stop := s.run(t, Config{})
	s.settled(t, n)
	if got := s.told(t); len(got) != n {
		t.Errorf("%d told, want %d", len(got), n)
	}
	stop()
	if f, sub := l.Metrics.Forwarded.Load(), l.Metrics.Submissions.Load(); f != n || sub != n {
		t.Errorf("forwarded %d, submissions %d, want %d each", f, sub, n)
	}
}

// sick is a store that fails for some messages.
type sick struct {
	journal.Store
	fail func(sms.MessageID) error
}

func (s *sick) Receipt(ctx context.Context, id sms.MessageID) (sms.ReceiptRequest, bool, error) {
	if err := s.fail(id); err != nil {
		return sms.ReceiptRequest{}, false, err
	}
	return s.Store.Receipt(ctx, id)
}

// A record that cannot be read is the fault of one event: the others are told, it ends among the dead letters.
func TestEventWhoseLookupFailsDoesNotStopTheOthers(t *testing.T) {
	s := newStack(t)
	e := &journal.Entry{}
	const n = 300
	for i := range n {
		id := sms.MessageID(fmt.Sprint("m", i))
		e.Receipts = append(e.Receipts, accepted(id, 1, 1).Receipts...)
		answered(e, queue.SubmitResult{MsgID: id, Status: "ESME_ROK"})
	}
	s.has(t, e)
	broken := errors.New("record is broken")
	_, stop := s.runOver(t, Config{RetryDelay: time.Millisecond, MaxRetries: 1}, &sick{s.store, func(id sms.MessageID) error {
		if id == "m7" {
			return broken
		}
		return nil
	}})
	s.settled(t, n-1)
	if got := s.told(t); len(got) != n-1 {
		t.Errorf("%d told, want %d", len(got), n-1)
	}
	stop()
	l := New(Config{MaxRetries: 1}, s, s, s.store, slog.New(slog.DiscardHandler))
	d := &event{Delivery: &queue.Delivery{Queue: queue.DLRSubmitSMResp}}
	d.ID, d.Attempts = "m7", 1
	var fx effects
	l.faulty(d, &fx, broken)
	d.fx = &fx
	e = new(journal.Entry)
	l.addTo(e, d)
	if p := e.Publish; len(p) != 1 || p[0].Queue != queue.DeadLetter || p[0].Message.Headers.Str(queue.HeaderDeadReason) != broken.Error() || len(e.Ack) != 1 {
		t.Errorf("at the end: %+v", e)
	}
}

// A store that is away keeps events waiting, uncounted as tries; what could be read before is told.
func TestStoreThatIsAwayCostsNoTries(t *testing.T) {
	s := newStack(t)
	e := &journal.Entry{}
	const n = 40
	for i := range n {
		id := sms.MessageID(fmt.Sprint("m", i))
		e.Receipts = append(e.Receipts, accepted(id, 1, 1).Receipts...)
		answered(e, queue.SubmitResult{MsgID: id, Status: "ESME_ROK"})
	}
	s.has(t, e)
	var calls atomic.Int64
	s.runOver(t, Config{}, &sick{s.store, func(sms.MessageID) error {
		if n := calls.Add(1); n > 10 && n <= 12 {
			return fmt.Errorf("read: %w", queue.ErrUnavailable)
		}
		return nil
	}})
	if retries := s.settled(t, n); len(retries) != 0 {
		t.Errorf("%d retries", len(retries))
	}
	if got := s.told(t); len(got) != n {
		t.Errorf("%d told, want %d", len(got), n)
	}
}

// A crash between a part's record and the entry repeats the event: the DLR is still told once.
func TestRepeatAfterACrash(t *testing.T) {
	s := newStack(t)
	s.has(t, mapped(accepted("m", 2, 2), "m", "A", 2))
	for _, part := range []int{1, 2} {
		if _, err := s.store.RecordFinal(t.Context(), sms.PartOutcome{MsgID: "m", Part: part, Parts: 2, SMPPMsgID: fmt.Sprint("A", part), State: "DELIVRD", Expiry: time.Hour}); err != nil {
			t.Fatal(err)
		}
	}
	s.run(t, Config{Workers: 1}) // two at the very same moment may both tell
	s.has(t, received(&journal.Entry{}, queue.ReceiptEvent{ID: "A1", State: "DELIVRD"}, queue.ReceiptEvent{ID: "A2", State: "DELIVRD"}))
	s.settled(t, 2)
	if got, want := s.told(t), []queue.HTTPDLR{two("m", "DELIVRD", "A1")}; !slices.Equal(got, want) {
		t.Errorf("told%s\nwant%s", list(got), list(want))
	}
}

// Everything at once: of every message each DLR once, level 1 before level 2, and nothing is remembered.
func TestManyMessagesAtOnce(t *testing.T) {
	s := newStack(t)
	const n, parts = 300, 3
	for i := range n {
		id := sms.MessageID(fmt.Sprint("m", i))
		e := received(&journal.Entry{}) // receipts before anything else
		for p := 1; p <= parts; p++ {
			received(e, queue.ReceiptEvent{ID: fmt.Sprint("A", i, "-", p), State: "DELIVRD"})
		}
		answered(mapped(e, id, fmt.Sprint("A", i, "-"), parts), queue.SubmitResult{MsgID: id, Status: "ESME_ROK", SMPPMsgID: fmt.Sprint("A", i, "-1")})
		e.Receipts = accepted(id, 3, parts).Receipts
		s.has(t, e)
	}
	s.run(t, Config{Workers: 3})
	s.settled(t, n*(parts+1))
	levels := map[sms.MessageID][]int{}
	for _, d := range s.told(t) {
		levels[d.MsgID] = append(levels[d.MsgID], d.Level)
	}
	for i := range n {
		id := sms.MessageID(fmt.Sprint("m", i))
		if !slices.Equal(levels[id], []int{1, 2}) {
			t.Errorf("%s was told levels %v, want 1 and 2", id, levels[id])
		}
		if s.remembered(t, id) {
			t.Errorf("%s is remembered", id)
		}
	}
}

func TestTextIsLoggedUnlessPrivate(t *testing.T) {
	for _, private := range []bool{false, true} {
		s := newStack(t)
		s.has(t, mapped(accepted("m", 2, 1), "m", "A", 1))
		_, stop := s.run(t, Config{LogPrivacy: private})
		s.has(t, received(&journal.Entry{}, queue.ReceiptEvent{ID: "A1", State: "DELIVRD", Text: "hello"}))
		s.settled(t, 1)
		if out := stop(); strings.Contains(out, "hello") == private || !strings.Contains(out, "DLR queued") {
			t.Errorf("privacy %v: log %s", private, out)
		}
	}
}

// twoQueues is a broker whose second queue is missing, or whose subscriptions end.
type twoQueues struct {
	missing bool
	c       chan *queue.Delivery
}

func (b *twoQueues) Consume(_ context.Context, name queue.Name, _ int) (queue.Consumer, error) {
	if b.missing && name == queue.DLRDeliverSM {
		return nil, fmt.Errorf("%w: %s", queue.ErrNoQueue, name)
	}
	return b, nil
}
func (b *twoQueues) C() <-chan *queue.Delivery   { return b.c }
func (b *twoQueues) Close(context.Context) error { return nil }

func TestQueueThatIsMissingOrEndsIsAnError(t *testing.T) {
	s := newStack(t)
	l := New(Config{}, &twoQueues{missing: true, c: make(chan *queue.Delivery)}, s, s.store, slog.New(slog.DiscardHandler))
	if err := l.Run(t.Context()); !errors.Is(err, queue.ErrNoQueue) || !strings.Contains(err.Error(), "dlr.deliver_sm") {
		t.Errorf("missing: %v", err)
	}
	ended := &twoQueues{c: make(chan *queue.Delivery)}
	close(ended.c)
	l = New(Config{}, ended, s, s.store, slog.New(slog.DiscardHandler))
	if err := l.Run(t.Context()); !errors.Is(err, queue.ErrEnded) {
		t.Errorf("ended: %v", err)
	}
}

func BenchmarkLookup(b *testing.B) {
	s := newStack(b)
	s.entries = make(chan *journal.Entry, 1<<20)
	ids := func(i int) (sms.MessageID, string) { return sms.MessageID(fmt.Sprint("m", i)), fmt.Sprint("A", i, "-") }
	for start := 0; start < b.N; start += 500 {
		e := &journal.Entry{}
		for i := start; i < min(start+500, b.N); i++ {
			id, smppMsgID := ids(i)
			e.Receipts = append(e.Receipts, accepted(id, 2, 1).Receipts...)
			received(mapped(e, id, smppMsgID, 1), queue.ReceiptEvent{ID: smppMsgID + "1", State: "DELIVRD", Sub: "001", Dlvrd: "001", SubmitDate: "2401020304", DoneDate: "2401020304", Err: "000", Text: "hello"})
		}
		s.has(b, e)
	}
	l := New(Config{}, s, s, s.store, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	b.ReportAllocs()
	b.ResetTimer()
	go func() { done <- l.Run(ctx) }()
	s.settled(b, b.N)
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "receipts/s")
	cancel()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}
