package storetest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"jasmind/internal/journal"
	"jasmind/internal/sms"
)

func testExpired(e *env) {
	base := now()
	x := func(id sms.MessageID, ago time.Duration) sms.Expiry {
		return sms.Expiry{At: base.Add(-ago), MsgID: id, CID: "smsc1", Report: sms.ReportFinal}
	}
	x1, x2, x3 := x("m-1", 3*time.Second), x("m-2", 2*time.Second), x("m-3", time.Second)
	x2.CID, x2.Report = "smsc2", 0
	e.apply(journal.Entry{Expiries: []sms.Expiry{x3, x1}})
	e.apply(journal.Entry{Expiries: []sms.Expiry{x2, x("future", -time.Hour)}})
	e.wantExpired(10, x1, x2, x3)
	e.wantExpired(2, x1, x2)
	e.wantExpired(10, x1, x2, x3)
	e.apply(journal.Entry{Unexpire: []sms.Expiry{x1}})
	e.wantExpired(10, x2, x3)
	e.apply(journal.Entry{Unexpire: []sms.Expiry{x3, x2}})
	e.wantExpired(10)

	soon := x("soon", -200*time.Millisecond)
	e.apply(journal.Entry{Expiries: []sms.Expiry{soon}})
	e.eventually("the entry comes", func() bool {
		got, err := e.s.Expired(e.ctx, 10)
		e.must(err)
		if len(got) > 0 && time.Now().Before(soon.At) {
			e.Errorf("came %v before its time", time.Until(soon.At))
		}
		return len(got) == 1
	})
	e.wantExpired(10, soon)
}

func testUnexpire(e *env) {
	gone := sms.Expiry{At: now().Add(150 * time.Millisecond), MsgID: "gone", CID: "smsc1"}
	comes := sms.Expiry{At: now().Add(200 * time.Millisecond), MsgID: "comes", CID: "smsc1"}
	e.apply(journal.Entry{Expiries: []sms.Expiry{gone, comes}})
	e.apply(journal.Entry{Unexpire: []sms.Expiry{gone}})
	e.eventually("the other entry comes", func() bool {
		got, err := e.s.Expired(e.ctx, 10)
		e.must(err)
		return len(got) > 0
	})
	e.wantExpired(10, comes)
}

func testExpiredEarlier(e *env) {
	late := sms.Expiry{At: now().Add(-time.Second), MsgID: "late", CID: "smsc1"}
	early := sms.Expiry{At: now().Add(-time.Hour), MsgID: "early", CID: "smsc1"}
	e.apply(journal.Entry{Expiries: []sms.Expiry{late}})
	e.wantExpired(10, late)
	e.apply(journal.Entry{Unexpire: []sms.Expiry{late}})
	e.wantExpired(10)
	e.apply(journal.Entry{Expiries: []sms.Expiry{early}})
	e.wantExpired(10, early)
}

func testRepeat(e *env) {
	r, m, s := httpReceipt("m-1", time.Hour), mapping("smsc1", "1", "m-1", time.Hour), submission("m-1", 1, 0)
	x := sms.Expiry{At: now().Add(-time.Second), MsgID: "m-1", CID: "smsc1"}
	en := journal.Entry{Receipts: []sms.ReceiptRequest{r}, Mappings: []sms.Mapping{m}, Outcomes: []sms.PartOutcome{s}, Expiries: []sms.Expiry{x}}
	e.apply(en)
	e.apply(en)
	e.wantReceipt(r)
	e.wantMapping(m)
	e.wantSubmissions("m-1", s)
	e.wantExpired(10, x)
	drop := journal.Entry{Forget: []sms.MessageID{"m-1"}, Unexpire: []sms.Expiry{x}}
	e.apply(drop)
	e.apply(drop)
	e.wantExpired(10)
	if e.hasReceipt("m-1") {
		e.Error("the request came back")
	}
}

func testOddIDs(e *env) {
	ids := []string{"1", "1\x00", "1\x00\x01", "1:2", "1\x00\xff", "\xff", "ü", "*", "{1}"}
	for i, id := range ids {
		e.apply(journal.Entry{Mappings: []sms.Mapping{mapping("smsc1", id, sms.MessageID(fmt.Sprint(i)), time.Hour)}})
	}
	for i, id := range ids {
		e.wantMapping(mapping("smsc1", id, sms.MessageID(fmt.Sprint(i)), time.Hour))
	}
}

func testRestart(e *env) {
	r, m, s := smppReceipt("m-1"), mapping("smsc1", "1", "m-1", time.Hour), submission("m-1", 1, 0x45)
	f := final("m-1", 1, "DELIVRD")
	x := sms.Expiry{At: now().Add(-time.Second), MsgID: "m-1", CID: "smsc1", Report: sms.ReportSubmit}
	short := mapping("smsc1", "short", "m-3", 50*time.Millisecond) // of another message: it sets the end of its request
	e.apply(journal.Entry{Receipts: []sms.ReceiptRequest{r, httpReceipt("m-2", time.Hour)}, Mappings: []sms.Mapping{m, short},
		Outcomes: []sms.PartOutcome{s}, Expiries: []sms.Expiry{x}})
	e.recordFinal(f)
	e.apply(journal.Entry{Forget: []sms.MessageID{"m-2"}})
	e.s = e.s.Reopen(e.T)
	e.wantReceipt(r)
	e.wantMapping(m)
	e.wantSubmissions("m-1", s)
	e.wantExpired(10, x)
	e.same("finals", e.recordFinal(f), []sms.PartOutcome{f})
	if e.hasReceipt("m-2") {
		e.Error("a forgotten request came back")
	}
	e.eventually("the short mapping ends", func() bool { return !e.hasMapping("smsc1", "short") })
}

func testConcurrent(e *env) {
	const writers, each = 8, 100
	var wg sync.WaitGroup
	errs := make(chan error, writers)
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				id := sms.MessageID(fmt.Sprintf("%d-%d", w, i))
				err := e.s.Apply(e.ctx, &journal.Entry{Receipts: []sms.ReceiptRequest{httpReceipt(id, time.Hour)},
					Mappings: []sms.Mapping{mapping("smsc1", string(id), id, time.Hour)}})
				if err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		e.Fatal(err)
	}
	for w := range writers {
		for i := range each {
			id := sms.MessageID(fmt.Sprintf("%d-%d", w, i))
			e.wantReceipt(httpReceipt(id, time.Hour))
			e.wantMapping(mapping("smsc1", string(id), id, time.Hour))
		}
	}
}

func testContext(e *env) {
	ctx, cancel := context.WithCancel(e.ctx)
	cancel()
	if err := e.s.Apply(ctx, &journal.Entry{Receipts: []sms.ReceiptRequest{httpReceipt("m-1", time.Hour)}}); err == nil {
		e.Error("apply with an ended context: no error")
	}
	if _, err := e.s.RecordFinal(ctx, final("m-1", 1, "DELIVRD")); err == nil {
		e.Error("record with an ended context: no error")
	}
	if e.hasReceipt("m-1") {
		e.Error("a refused entry was written")
	}
}
