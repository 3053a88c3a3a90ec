package billing

import (
	"context"
	"errors"
	"fmt"
	"math/bits"

	"jasmind/internal/sms"
)

// BillID names one charge: whatever happens, it is charged once. That of a message's
// acceptance is its msgid.
type BillID string

// PartBill names what is charged when the SMSC has accepted a part, counted from 1.
func PartBill(id sms.MessageID, part int) BillID { return BillID(fmt.Sprintf("%s/%d", id, part)) }

// RefundBill names what is given back when a message ended without being accepted.
func RefundBill(id sms.MessageID) BillID { return BillID(id + "/refund") }

// Credit is what a user has left to use up. The zero Credit is unlimited.
type Credit struct {
	HasBalance bool // false: unlimited
	HasCount   bool // false: unlimited
	Balance    Amount
	Count      int64 // sms_count: parts
}

// Charge takes something from a user's credit.
//
// Of a quota that the ledger does not know, the opening value holds; if there is none, the
// quota is unlimited and nothing is taken.
type Charge struct {
	UID    sms.UserID
	Bill   BillID
	Amount Amount // from the balance
	Need   Amount // what the balance must have, if that is more than Amount
	Count  int64  // from sms_count
	Open   Credit // opening values

	// Owed is for what is due already: it is taken whatever is left, even below zero, and a
	// negative Amount is given back. A quota that the ledger does not know stays unknown.
	Owed bool
}

// Required is the balance that must be there.
func (c *Charge) Required() Amount { return max(c.Need, c.Amount) }

// Validate refuses what no ledger could carry out.
func (c *Charge) Validate() error {
	switch {
	case c.UID == "" || c.Bill == "":
		return fmt.Errorf("charge %q of user %q: uid and bill are needed", c.Bill, c.UID)
	case !c.Owed && (c.Amount < 0 || c.Need < 0 || c.Count < 0):
		return fmt.Errorf("charge %s of user %s: amount %s, need %s and count %d must not be negative", c.Bill, c.UID, c.Amount, c.Need, c.Count)
	case c.Owed && (c.Amount == -1<<63 || c.Count == -1<<63):
		return fmt.Errorf("charge %s of user %s: amount %s and count %d are out of range", c.Bill, c.UID, c.Amount, c.Count)
	}
	return nil
}

// LackOfBalance is the refusal of a charge that the balance does not suffice for.
func (c *Charge) LackOfBalance(left Amount) error {
	return &sms.Error{Reason: sms.ReasonNoCredit, Detail: fmt.Sprintf("Not enough balance (%s) for charging: %s", left, c.Required())}
}

// LackOfCount is the refusal of a charge that sms_count does not suffice for.
func (c *Charge) LackOfCount(left int64) error {
	return &sms.Error{Reason: sms.ReasonNoCredit, Detail: fmt.Sprintf("Not enough submit_sm_count (%d) for charging: %d", left, c.Count)}
}

// Quotas is a set of quotas of a Credit.
type Quotas uint8

// The quotas.
const (
	QuotaBalance Quotas = 1 << iota
	QuotaCount
)

// Change adds to quotas what an operator or a payment gives, or takes.
type Change struct {
	Bill    BillID // names it: a repeat with the same changes nothing
	Balance Amount
	Count   int64
	Open    Credit
}

// Errors of Ledger.Adjust.
var (
	ErrUnlimited = errors.New("quota is unlimited")
	ErrOverflow  = errors.New("quota would be out of range")
)

// Ledger holds what users have left. Charges are part of a journal entry (journal.Entry);
// this is for everybody else. Everything is atomic with charges and durable when a method
// returns. Errors wrap queue.ErrUnavailable when the ledger cannot be reached now.
//
// A ledger knows a quota from its first charge or change on, whatever the configuration
// says afterwards, until Set or Remove makes it forget.
type Ledger interface {
	// Credit gives what is left. Of a quota that the ledger does not know, open holds.
	Credit(ctx context.Context, uid sms.UserID, open Credit) (Credit, error)
	// Adjust adds to quotas, also below zero, and gives what is left then. Errors:
	// ErrUnlimited, ErrOverflow; then nothing has changed.
	Adjust(ctx context.Context, uid sms.UserID, c Change) (Credit, error)
	// Set gives quotas a value, or has the ledger forget those that c does not have.
	Set(ctx context.Context, uid sms.UserID, which Quotas, c Credit) error
	// Remove forgets a user.
	Remove(ctx context.Context, uid sms.UserID) error
	// Accounts calls f for every user of whom a quota is known, in no order, with what is
	// left to him; an error of f ends it and is returned. One who becomes known or is
	// forgotten meanwhile may be missing, or be told of twice.
	Accounts(ctx context.Context, f func(uid sms.UserID, left Credit) error) error
}

// Split divides the price of a part into what is charged at acceptance, percent of it,
// and the rest. The parts are exact: their sum is the price; what a millionth cannot
// express goes to the rest.
//
// percent is from 0 to 100 units.
func Split(price, percent Amount) (early, rest Amount) {
	if price <= 0 || percent <= 0 {
		return 0, max(price, 0)
	}
	percent = min(percent, 100*Unit)
	high, low := bits.Mul64(uint64(price), uint64(percent))
	q, _ := bits.Div64(high, low, uint64(100*Unit)) // percent is at most 100: high is less than the divisor
	return Amount(q), price - Amount(q)             //nolint:gosec // at most price
}
