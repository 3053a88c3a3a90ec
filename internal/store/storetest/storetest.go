// Package storetest holds the contract that every store driver keeps: one set of tests, run over the
// embedded driver and over Redis.
//
// No test depends on how fast a driver is: what has to happen is waited for until Patience ends, and a
// time is only ever asserted as a lower bound.
package storetest

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"jasmind/internal/journal"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

// Instance is one store under test, with records of its own (a directory, a key prefix).
type Instance struct {
	journal.Store
	journal.Letters
	// Apply writes what the store holds of an entry: Receipts, Expiries, Mappings, Outcomes and Letters,
	// then Forget, Unexpire and DropLetters.
	Apply func(ctx context.Context, e *journal.Entry) error
	// Override is the journal's with one Override.
	Override func(ctx context.Context, o sms.Override) error
	// Reopen closes the store and gives a new one over the same records.
	Reopen func(t *testing.T) Instance
}

// Patience is how long something is waited for before it counts as missing.
const Patience = 2 * time.Minute

// Run runs the contract. open makes a fresh, empty instance and cleans it up with t.Cleanup.
func Run(t *testing.T, open func(t *testing.T) Instance) {
	for _, c := range []struct {
		name string
		test func(*env)
	}{
		{"a receipt request comes out as it went in", testReceipt},
		{"what is not there is not an error", testMissing},
		{"a mapping comes out as it went in, per connector", testMapping},
		{"a mapping ends after its expiry", testMappingTTL},
		{"a receipt request ends after its expiry unless a mapping renewed it", testReceiptTTL},
		{"submission outcomes are listed in order of part", testSubmissions},
		{"a final state is recorded once", testRecordFinal},
		{"final states recorded at once are all seen by one", testRecordFinalConcurrent},
		{"a final state in an entry counts", testFinalInEntry},
		{"forgetting drops the request and the outcomes", testForget},
		{"expired entries come oldest first and stay until dropped", testExpired},
		{"an expiry that is dropped before its time never comes", testUnexpire},
		{"an earlier expiry is found after a later look", testExpiredEarlier},
		{"an entry applied twice is harmless", testRepeat},
		{"identifiers with odd octets do not mix", testOddIDs},
		{"everything is there after a restart", testRestart},
		{"concurrent entries are all kept", testConcurrent},
		{"the record of a message comes out as it went in", testRecord},
		{"the record of a message ends with its time", testRecordTTL},
		{"a message that has left its queue cannot be changed, and its first final state stands", testChange},
		{"a message that ended in its queue keeps its override", testChangeInQueue},
		{"overrides follow each other, and the last one counts", testOverride},
		{"a message in a connector's hand cannot be changed", testClaim},
		{"a message that moves to another connector", testMove},
		{"an override that meets a claim is refused or seen", testClaimRace},
		{"a dead letter comes out as it went in, also after a restart", testLetter},
		{"dead letters are listed in order, by page and by queue", testLetterPages},
		{"dead letters are counted by queue and cause", testLetterCounts},
		{"a dead letter that is kept twice or was dropped is no new one", testLetterRepeat},
		{"a dead letter is claimed by one only", testLetterClaims},
		{"dead letters kept and dropped at once are counted right", testLettersConcurrent},
		{"an ended context refuses", testContext},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.test(&env{T: t, s: open(t), ctx: t.Context()})
		})
	}
}

type env struct {
	*testing.T
	s   Instance
	ctx context.Context
}

func (e *env) must(err error) {
	e.Helper()
	if err != nil {
		e.Fatal(err)
	}
}

func (e *env) apply(en journal.Entry) {
	e.Helper()
	e.must(e.s.Apply(e.ctx, &en))
}

// eventually waits until f holds.
func (e *env) eventually(what string, f func() bool) {
	e.Helper()
	deadline := time.Now().Add(Patience)
	for !f() {
		if time.Now().After(deadline) {
			e.Fatalf("never came true: %s", what)
		}
		select {
		case <-e.ctx.Done():
			return
		case <-time.After(5 * time.Millisecond): // between two looks
		}
	}
}

func (e *env) hasReceipt(id sms.MessageID) bool {
	e.Helper()
	_, ok, err := e.s.Receipt(e.ctx, id)
	e.must(err)
	return ok
}

func (e *env) wantReceipt(want sms.ReceiptRequest) {
	e.Helper()
	got, ok, err := e.s.Receipt(e.ctx, want.MsgID)
	e.must(err)
	if !ok {
		e.Fatalf("no receipt request for %q", want.MsgID)
	}
	if !got.SubmittedAt.Equal(want.SubmittedAt) {
		e.Errorf("submitted at %v, want %v", got.SubmittedAt, want.SubmittedAt)
	}
	got.SubmittedAt, want.SubmittedAt = time.Time{}, time.Time{}
	if got != want {
		e.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func (e *env) wantMapping(want sms.Mapping) {
	e.Helper()
	got, ok, err := e.s.Mapping(e.ctx, want.Account, want.SMPPMsgID)
	e.must(err)
	if !ok || got != want {
		e.Errorf("mapping %s/%s: got %+v, %v; want %+v", want.Account, want.SMPPMsgID, got, ok, want)
	}
}

func (e *env) hasMapping(account sms.Account, id string) bool {
	e.Helper()
	_, ok, err := e.s.Mapping(e.ctx, account, id)
	e.must(err)
	return ok
}

func (e *env) wantSubmissions(id sms.MessageID, want ...sms.PartOutcome) {
	e.Helper()
	got, err := e.s.Submissions(e.ctx, id)
	e.must(err)
	e.same("submissions", got, want)
}

func (e *env) recordFinal(o sms.PartOutcome) []sms.PartOutcome {
	e.Helper()
	got, err := e.s.RecordFinal(e.ctx, o)
	e.must(err)
	return got
}

func (e *env) same(what string, got, want []sms.PartOutcome) {
	e.Helper()
	if len(got) == 0 && len(want) == 0 {
		return
	}
	if !reflect.DeepEqual(got, want) {
		e.Errorf("%s:\ngot  %+v\nwant %+v", what, got, want)
	}
}

func (e *env) wantExpired(limit int, want ...sms.Expiry) {
	e.Helper()
	got, err := e.s.Expired(e.ctx, limit)
	e.must(err)
	if len(got) != len(want) {
		e.Fatalf("expired: got %+v, want %+v", got, want)
	}
	for i := range got {
		if !got[i].At.Equal(want[i].At) {
			e.Errorf("entry %d at %v, want %v", i, got[i].At, want[i].At)
		}
		g, w := got[i], want[i]
		g.At, w.At = time.Time{}, time.Time{}
		if g != w {
			e.Errorf("entry %d: got %+v, want %+v", i, g, w)
		}
	}
}

// now is the present in the precision that records keep.
func now() time.Time { return time.Now().Truncate(time.Millisecond) }

func httpReceipt(id sms.MessageID, expiry time.Duration) sms.ReceiptRequest {
	return sms.ReceiptRequest{MsgID: id, Origin: sms.OriginHTTP, CID: "smsc1", Report: sms.ReportSubmit | sms.ReportFinal, Parts: 1,
		Expiry: expiry, UID: "u1", URL: "http://127.0.0.1/dlr?a=b&c=ä", Method: "POST"}
}

func smppReceipt(id sms.MessageID) sms.ReceiptRequest {
	return sms.ReceiptRequest{MsgID: id, Origin: sms.OriginSMPP, CID: "smsc2", Report: sms.ReportFinal, Parts: 3, Expiry: 36 * time.Hour,
		SystemID: "esme", Source: pdu.Address{TON: 5, Addr: "ACME"}, Dest: pdu.Address{TON: 1, NPI: 1, Addr: "4917012345"},
		RegisteredDelivery: 0x11, UID: "u1", SubmittedAt: now()}
}

func mapping(account sms.Account, smppMsgID string, id sms.MessageID, expiry time.Duration) sms.Mapping {
	return sms.Mapping{Account: account, SMPPMsgID: smppMsgID, MsgID: id, Part: 2, Parts: 3, Origin: sms.OriginSMPP, Expiry: expiry, SentBy: "transmitter"}
}

func submission(id sms.MessageID, part int, status pdu.Status) sms.PartOutcome {
	return sms.PartOutcome{MsgID: id, Part: part, Parts: 3, Status: status, SMPPMsgID: fmt.Sprintf("00a%d", part), Expiry: time.Hour}
}

func final(id sms.MessageID, part int, state sms.State) sms.PartOutcome {
	return sms.PartOutcome{MsgID: id, Part: part, Parts: 3, SMPPMsgID: fmt.Sprint(part), State: state, Err: "000", SubmitDate: "2401010000",
		DoneDate: "2401010001", Sub: "001", Dlvrd: "001", Text: "hello", Expiry: time.Hour}
}

func testReceipt(e *env) {
	h, s := httpReceipt("m-1", time.Hour), smppReceipt("m-2")
	e.apply(journal.Entry{Receipts: []sms.ReceiptRequest{h, s}})
	e.wantReceipt(h)
	e.wantReceipt(s)
}

func testMissing(e *env) {
	if e.hasReceipt("nobody") || e.hasMapping("smsc1", "1") {
		e.Error("found what was never written")
	}
	e.wantSubmissions("nobody")
	e.wantExpired(10)
	e.apply(journal.Entry{Forget: []sms.MessageID{"nobody"}, Unexpire: []sms.Expiry{{At: now(), MsgID: "nobody", CID: "smsc1"}}})
	e.apply(journal.Entry{})
}

func testMapping(e *env) {
	m1, m2 := mapping("smsc1", "AB12", "m-1", time.Hour), mapping("smsc2", "AB12", "m-2", time.Hour)
	e.apply(journal.Entry{Mappings: []sms.Mapping{m1, m2}})
	e.wantMapping(m1)
	e.wantMapping(m2)
	other := mapping("smsc.example:2775/user%3Aone", "AB12", "m-4", time.Hour)
	e.apply(journal.Entry{Mappings: []sms.Mapping{other}})
	e.wantMapping(other)
	if e.hasMapping("smsc1", "AB1") || e.hasMapping("smsc1", "AB123") || e.hasMapping("smsc", "1AB12") {
		e.Error("a mapping is found under another id")
	}
	m3 := mapping("smsc1", "AB12", "m-3", time.Hour) // the SMSC used the id again
	e.apply(journal.Entry{Mappings: []sms.Mapping{m3}})
	e.wantMapping(m3)
}

func testMappingTTL(e *env) {
	const ttl = 200 * time.Millisecond
	start := time.Now()
	e.apply(journal.Entry{Mappings: []sms.Mapping{mapping("smsc1", "1", "m-1", ttl), mapping("smsc1", "2", "m-2", time.Hour)}})
	e.eventually("the mapping is gone", func() bool { return !e.hasMapping("smsc1", "1") })
	if took := time.Since(start); took < ttl-2*time.Millisecond {
		e.Errorf("gone after %v, want at least %v", took, ttl)
	}
	e.wantMapping(mapping("smsc1", "2", "m-2", time.Hour))
	// The id is free again.
	m := mapping("smsc1", "1", "m-3", time.Hour)
	e.apply(journal.Entry{Mappings: []sms.Mapping{m}})
	e.wantMapping(m)
}

func testReceiptTTL(e *env) {
	// Renewing must come in time, which a busy machine can miss: then again, with more time.
	for ttl := 400 * time.Millisecond; ; ttl *= 4 {
		renewed, short := sms.MessageID("renewed-"+ttl.String()), sms.MessageID("short-"+ttl.String())
		start := time.Now()
		e.apply(journal.Entry{Receipts: []sms.ReceiptRequest{httpReceipt(renewed, ttl), httpReceipt(short, ttl)}})
		e.apply(journal.Entry{Mappings: []sms.Mapping{mapping("smsc1", "1", renewed, time.Hour)}})
		if time.Since(start) > ttl/2 && ttl < Patience/2 {
			continue
		}
		e.eventually("the request is gone", func() bool { return !e.hasReceipt(short) })
		e.wantReceipt(httpReceipt(renewed, ttl))
		return
	}
}

func testSubmissions(e *env) {
	s1, s2, s3 := submission("m-1", 1, pdu.StatusOK), submission("m-1", 2, 0x58), submission("m-1", 3, pdu.StatusOK)
	e.apply(journal.Entry{Outcomes: []sms.PartOutcome{s3}})
	e.wantSubmissions("m-1", s3)
	e.apply(journal.Entry{Outcomes: []sms.PartOutcome{s1, s2, submission("m-10", 1, pdu.StatusOK)}})
	e.wantSubmissions("m-1", s1, s2, s3)
	// Final states are another list.
	e.recordFinal(final("m-1", 1, "DELIVRD"))
	e.wantSubmissions("m-1", s1, s2, s3)
}

func testRecordFinal(e *env) {
	f1, f2 := final("m-1", 1, "DELIVRD"), final("m-1", 2, "UNDELIV")
	e.same("after the second", e.recordFinal(f2), []sms.PartOutcome{f2})
	e.same("after the first", e.recordFinal(f1), []sms.PartOutcome{f1, f2})
	again := final("m-1", 2, "DELIVRD")
	e.same("after a repeat", e.recordFinal(again), []sms.PartOutcome{f1, f2})
	e.same("another message", e.recordFinal(final("m-2", 3, "EXPIRED")), []sms.PartOutcome{final("m-2", 3, "EXPIRED")})
}

func testRecordFinalConcurrent(e *env) {
	const messages, parts = 10, 12
	for m := range messages {
		id := sms.MessageID(fmt.Sprintf("m-%d", m))
		var (
			wg       sync.WaitGroup
			mu       sync.Mutex
			complete int
			fails    []error
		)
		for part := 1; part <= parts; part++ {
			wg.Go(func() {
				got, err := e.s.RecordFinal(e.ctx, final(id, part, "DELIVRD"))
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					fails = append(fails, err)
				}
				if len(got) == parts {
					complete++
				}
			})
		}
		wg.Wait()
		if len(fails) > 0 {
			e.Fatal(fails[0])
		}
		if complete < 1 {
			e.Errorf("%s: no call saw all %d parts", id, parts)
		}
	}
}

func testFinalInEntry(e *env) {
	f1, f2 := final("m-1", 1, "DELIVRD"), final("m-1", 2, "EXPIRED")
	e.apply(journal.Entry{Outcomes: []sms.PartOutcome{f1}})
	e.wantSubmissions("m-1")
	e.same("finals", e.recordFinal(f2), []sms.PartOutcome{f1, f2})
}

func testForget(e *env) {
	r := httpReceipt("m-1", time.Hour)
	r.Parts = 3
	other := httpReceipt("m-2", time.Hour)
	e.apply(journal.Entry{Receipts: []sms.ReceiptRequest{r, other},
		Outcomes: []sms.PartOutcome{submission("m-1", 1, 0), submission("m-1", 3, 0), submission("m-3", 2, 0)}})
	e.recordFinal(final("m-1", 2, "DELIVRD"))
	e.apply(journal.Entry{Forget: []sms.MessageID{"m-1", "m-3"}})
	if e.hasReceipt("m-1") {
		e.Error("the request is still there")
	}
	e.wantSubmissions("m-1")
	e.wantSubmissions("m-3")
	e.same("finals", e.recordFinal(final("m-1", 1, "DELIVRD")), []sms.PartOutcome{final("m-1", 1, "DELIVRD")})
	e.wantReceipt(other)
}
