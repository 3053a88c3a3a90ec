package dlr

import (
	"time"

	"jasmind/internal/queue"
	"jasmind/internal/sms"
)

// errRefused is the err of a receipt for a message that no SMSC has taken (Jasmin: 99).
const errRefused = "99"

// publication turns what a request is to be told into an entry for the thrower of its origin;
// nil: nothing is told. answer: dlr is about the answer to the submission, not a receipt.
func (l *Lookup) publication(req *sms.ReceiptRequest, dlr *queue.HTTPDLR, answer bool) *queue.Publication {
	switch {
	case dlr == nil:
		return nil
	case req.Origin != sms.OriginSMPP:
		return &queue.Publication{Queue: queue.DLRThrowerHTTP, Message: dlr.Message()}
	}
	out := &queue.SMPPDLR{
		MsgID: queue.Told(req.MsgID), SystemID: req.SystemID, UID: req.UID, Source: req.Source, Dest: req.Dest, Status: dlr.Status, Err: given(dlr.Err),
		SubmittedAt: req.SubmittedAt, CreatedAt: time.Now(), Sub: given(dlr.Sub), Dlvrd: given(dlr.Dlvrd), Done: given(dlr.DoneDate), Text: dlr.Text,
	}
	if answer {
		out.Err = errRefused
		switch {
		case dlr.Status == statusROK && !l.cfg.Accepted:
			return nil
		case dlr.Status == statusROK:
			out.Status, out.Err = string(sms.StateAccepted), ""
		case !sms.State(dlr.Status).Final(): // a command_status
			out.Status = string(sms.StateUndeliverable)
		}
	}
	if !wanted(req.RegisteredDelivery, sms.State(out.Status)) {
		return nil
	}
	return &queue.Publication{Queue: queue.DLRThrowerSMPPS, Message: out.Message()}
}

// intermediate is the bit of registered_delivery that asks for intermediate notifications.
const intermediate = 0x10

// wanted tells whether a registered_delivery (SMPP v3.4 §5.2.17, v5.0 §4.7.21) asks for the
// receipt of a state. Intermediate states go to who asked for intermediate notifications only.
func wanted(registered uint8, state sms.State) bool {
	if state.Intermediate() {
		return registered&intermediate != 0
	}
	switch registered & 3 {
	case 1: // success or failure
		return true
	case 2: // failure
		return state != sms.StateDelivered && state != sms.StateAccepted
	case 3: // success (v5.0)
		return state == sms.StateDelivered || state == sms.StateAccepted
	}
	return false
}

// given is the inverse of orMissing.
func given(s string) string {
	if s == missing {
		return ""
	}
	return s
}
