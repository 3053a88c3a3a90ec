package queue

import (
	"fmt"

	"jasmind/internal/billing"
	"jasmind/internal/sms"
)

// BillRequest asks to charge what became due when the SMSC accepted a part: an entry of
// BillRequests. Its message-id is the bill, so that a repeat charges nothing.
//
// Headers: amount (decimal text) and user-id. The body is the bill.
type BillRequest struct {
	Bill   billing.BillID
	UID    sms.UserID
	Amount billing.Amount
}

// Publication gives the entry, with the routing key of its user.
func (b *BillRequest) Publication() Publication {
	return Publication{Queue: BillRequests, Key: BillRequestKey(b.UID), Message: Message{
		ID: string(b.Bill), ContentType: ContentText, Body: []byte(b.Bill),
		Headers: Headers{{Name: HeaderAmount, Str: b.Amount.String()}, {Name: HeaderUserID, Str: string(b.UID)}},
	}}
}

// DecodeBillRequest is the inverse of Publication.
func DecodeBillRequest(d *Delivery) (BillRequest, error) {
	b := BillRequest{Bill: billing.BillID(d.ID), UID: sms.UserID(d.Headers.Str(HeaderUserID))}
	var err error
	if b.Amount, err = billing.Parse(d.Headers.Str(HeaderAmount)); err != nil {
		return b, fmt.Errorf("bill request %s: header %s: %w", d.ID, HeaderAmount, err)
	}
	if b.Bill == "" || b.UID == "" || b.Amount <= 0 {
		return b, fmt.Errorf("bill request %q of user %q: amount %s", d.ID, b.UID, b.Amount)
	}
	return b, nil
}
