package journaltest

import (
	"errors"

	"jasmind/internal/billing"
	"jasmind/internal/journal"
	"jasmind/internal/queue"
	"jasmind/internal/sms"
)

// ledger is the store as the ledger that it is too.
func (e *env) ledger() billing.Ledger {
	e.Helper()
	l, ok := e.j.Store.(billing.Ledger)
	if !ok {
		e.Fatal("the store is no ledger")
	}
	return l
}

func (e *env) balance(want billing.Amount) {
	e.Helper()
	c, err := e.ledger().Credit(e.ctx, "u1", billing.Credit{})
	e.must(err)
	if !c.HasBalance || c.Balance != want {
		e.Errorf("%+v left, want %s", c, want)
	}
}

func charge(bill billing.BillID, amount billing.Amount) []billing.Charge {
	return []billing.Charge{{UID: "u1", Bill: bill, Amount: amount, Open: billing.Credit{HasBalance: true, Balance: 10}}}
}

// testCharges: a charge is part of an entry, and an entry without credit is nothing.
func testCharges(e *env) {
	e.start()
	e.commit(journal.Entry{Charges: charge("m-1", 7), Publish: []queue.Publication{publication(qMT, "m-1")}})
	e.balance(3)
	err := e.j.Commit(e.ctx, &journal.Entry{Charges: charge("m-2", 4), Receipts: []sms.ReceiptRequest{receipt("m-2")}, Publish: []queue.Publication{publication(qMT, "m-2")}})
	var refused *sms.Error
	if !errors.As(err, &refused) || refused.Reason != sms.ReasonNoCredit {
		e.Errorf("got %v, want a lack of credit", err)
	}
	if e.hasReceipt("m-2") {
		e.Error("the receipt request of a refused entry is there")
	}
	e.balance(3)
	c := e.consume(qMT)
	d := e.next(c)
	if d.ID != "m-1" {
		e.Errorf("%q is in the queue, want m-1", d.ID)
	}
	owed := billing.Charge{UID: "u1", Bill: "m-1/1", Amount: 5, Owed: true}
	settle := journal.Entry{Confirm: []billing.BillID{"m-1"}, Charges: []billing.Charge{owed}, Ack: []journal.Ack{{Delivery: d, Remember: true}}}
	e.commit(settle)
	e.commit(settle) // a repeat
	e.balance(-2)
	e.last(c, qMT)
	e.j = e.j.Reopen(e.T)
	e.balance(-2)
}

// testChargeNoQueue: what was not published is not charged.
func testChargeNoQueue(e *env) {
	e.start()
	e.commit(journal.Entry{Charges: charge("m-0", 1), Publish: []queue.Publication{publication(qMT, "m-0")}})
	err := e.j.Commit(e.ctx, &journal.Entry{Charges: charge("m-1", 7), Publish: []queue.Publication{publication("submit.sm.nobody", "m-1")}})
	if !errors.Is(err, queue.ErrNoQueue) {
		e.Errorf("got %v, want ErrNoQueue", err)
	}
	e.balance(9)
}
