package smppserver

import (
	"errors"

	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

// statusOf maps each Reason to a command_status (SMPP v3.4 §5.1.3, Jasmin). A test walks every
// Reason through it.
var statusOf = map[sms.Reason]pdu.Status{
	sms.ReasonInvalid:        pdu.StatusSysErr, // or by field
	sms.ReasonAuthentication: pdu.StatusInvPaswd,
	sms.ReasonAuthorization:  pdu.StatusInvSysID,
	sms.ReasonValueFilter:    pdu.StatusSysErr, // or by field
	sms.ReasonNoRoute:        pdu.StatusInvDstAdr,
	sms.ReasonNotBound:       pdu.StatusSubmitFail,
	sms.ReasonThrottled:      pdu.StatusThrottled,
	sms.ReasonNoCredit:       pdu.StatusSysErr,
	sms.ReasonIntercepted:    pdu.StatusSysErr,
	sms.ReasonInterceptor:    pdu.StatusSysErr,
	sms.ReasonConnector:      pdu.StatusSysErr,
	sms.ReasonQueueFull:      pdu.StatusMsgQFul,
	sms.ReasonUnavailable:    pdu.StatusSysErr,
	sms.ReasonInternal:       pdu.StatusSysErr,
}

// fieldStatus is the status of a parameter that is malformed or refused by a value filter.
var fieldStatus = map[string]pdu.Status{
	"service_type":           pdu.StatusInvSerTyp,
	"source_addr":            pdu.StatusInvSrcAdr,
	"destination_addr":       pdu.StatusInvDstAdr,
	"priority_flag":          pdu.StatusInvPrtFlg,
	"schedule_delivery_time": pdu.StatusInvSched,
	"validity_period":        pdu.StatusInvExpiry,
	"short_message":          pdu.StatusInvMsgLen,
}

// status is what an ESME is answered for an error. The status that a script asked for wins.
func status(err error) pdu.Status {
	if err == nil {
		return pdu.StatusOK
	}
	var e *sms.Error
	if !errors.As(err, &e) {
		return statusOf[sms.ReasonInternal]
	}
	if e.Override != nil {
		return e.Override.SMPP
	}
	if e.Reason == sms.ReasonInvalid || e.Reason == sms.ReasonValueFilter {
		if st, ok := fieldStatus[e.Field]; ok {
			return st
		}
	}
	if st, ok := statusOf[e.Reason]; ok {
		return st
	}
	return pdu.StatusSysErr
}
