package smppserver

import (
	"context"
	"errors"
	"strconv"
	"time"

	"jasmind/internal/account"
	"jasmind/internal/journal"
	"jasmind/internal/logging"
	"jasmind/internal/mt"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

// states tells what became of messages, and changes those that are still queued. Errors: mt.ErrUnknown,
// mt.ErrAddress, journal.ErrTooLate, journal.ErrConflict, *sms.Error.
type states interface {
	Query(ctx context.Context, m mt.Subject) (sms.Record, error)
	Cancel(ctx context.Context, m mt.Subject) error
	Replace(ctx context.Context, m mt.Subject, ask func(*sms.Record) (mt.Replacement, error)) error
}

// manage answers query_sm, cancel_sm and replace_sm (SMPP v3.4 §4.8 to §4.10); false: the
// request is none of them.
func (srv *Server) manage(ctx context.Context, j job) bool {
	var (
		failed pdu.Status
		resp   pdu.PDU
		err    error
	)
	subject := mt.Subject{UID: j.m.user.uid}
	switch p := j.r.PDU.(type) {
	case *pdu.QuerySM:
		failed = pdu.StatusQueryFail
		subject.ID, subject.Source = sms.MessageID(p.MessageID), p.Source.Addr
		var r sms.Record
		if r, err = srv.deps.States.Query(ctx, subject); err == nil {
			answer := &pdu.QuerySMResp{MessageID: p.MessageID, MessageState: r.State, ErrorCode: r.Err}
			if !r.Final.IsZero() {
				answer.FinalDate = pdu.FormatAbsolute(r.Final)
			}
			resp = answer
		}
	case *pdu.CancelSM:
		failed = pdu.StatusCancelFail
		subject.ID, subject.Source, subject.Dest = sms.MessageID(p.MessageID), p.Source.Addr, p.Dest.Addr
		err = srv.deps.States.Cancel(ctx, subject)
	case *pdu.ReplaceSM:
		failed = pdu.StatusReplaceFail
		subject.ID, subject.Source = sms.MessageID(p.MessageID), p.Source.Addr
		err = srv.deps.States.Replace(ctx, subject, func(r *sms.Record) (mt.Replacement, error) { return srv.replacement(j, p, r) })
	default:
		return false
	}
	st := pdu.StatusOK
	log := srv.log.Info
	if err != nil {
		st = stateStatus(err, failed)
		if st == statusOf[sms.ReasonInternal] {
			log = srv.log.Error
		}
	}
	if j.r.Header.ID != pdu.CmdQuerySM || err != nil {
		log("message state", "pdu", j.r.Header.ID.String(), "uid", string(j.m.user.uid), "system_id", j.m.systemID, "msgid", logging.Printable(string(subject.ID)),
			"status", st.String(), "err", err)
	}
	srv.respond(j.r, st, resp)
	return true
}

// stateStatus is what an ESME is answered for an error; failed is the status of the operation.
func stateStatus(err error, failed pdu.Status) pdu.Status {
	var e *sms.Error
	switch {
	case errors.Is(err, mt.ErrUnknown):
		return pdu.StatusInvMsgID
	case errors.Is(err, mt.ErrAddress), errors.Is(err, journal.ErrTooLate), errors.Is(err, journal.ErrConflict):
		return failed
	case errors.As(err, &e) && e.Reason == sms.ReasonAuthorization:
		return failed
	}
	return status(err)
}

// replacement checks a replace_sm as prepare checks a submit_sm, as far as it changes something. An empty text
// leaves the text as it was, unless sm_default_msg_id names another.
func (srv *Server) replacement(j job, p *pdu.ReplaceSM, r *sms.Record) (mt.Replacement, error) {
	u := srv.current(j.m.systemID, j.m.user.uid)
	if u == nil {
		return mt.Replacement{}, &sms.Error{Reason: sms.ReasonAuthorization, Detail: "user " + string(j.m.user.uid) + " is gone or disabled"}
	}
	out := mt.Replacement{Text: p.ShortMessage, DefaultMsgID: p.SMDefaultMsgID, Schedule: p.ScheduleDeliveryTime, Validity: p.ValidityPeriod,
		Registered: p.RegisteredDelivery, Report: srv.report(p.RegisteredDelivery), SystemID: j.m.systemID}
	if payload, ok := p.TLVs.Get(pdu.TagMessagePayload); ok && len(p.ShortMessage) == 0 { // v5.0 §4.5.3
		out.Text = payload
	}
	out.HasText = len(out.Text) > 0 || p.SMDefaultMsgID != 0
	now := time.Now()
	if p.ValidityPeriod != "" {
		t, err := pdu.ParseTime(p.ValidityPeriod, now)
		if err != nil || !t.After(now) {
			return out, invalid("validity_period", p.ValidityPeriod)
		}
		out.Valid = t.Sub(now)
	}
	if p.ScheduleDeliveryTime != "" {
		if _, err := pdu.ParseTime(p.ScheduleDeliveryTime, now); err != nil {
			return out, invalid("schedule_delivery_time", p.ScheduleDeliveryTime)
		}
	}
	ask := &account.Request{
		Validity: account.Param{Set: p.ValidityPeriod != "", Value: minutes(out.Valid)}, Schedule: p.ScheduleDeliveryTime != "",
		Level: p.RegisteredDelivery&asksForReceipts != 0 && r.Registered&asksForReceipts == 0,
	}
	if out.HasText {
		ask.Content = func() string { return content(&pdu.Message{ShortMessage: out.Text, DataCoding: r.DataCoding}) }
	}
	return out, u.Authorise(account.SMPPReplace, ask)
}

// minutes is a validity in the language of the HTTP API's filters.
func minutes(d time.Duration) string { return strconv.Itoa(int((d + time.Minute - 1) / time.Minute)) }

// asksForReceipts are the bits of registered_delivery that ask for something from the SMSC: a delivery
// receipt, and intermediate notifications, either without the other (SMPP v3.4 §5.2.17). The others ask
// the recipient for acknowledgements.
const asksForReceipts = 0x13

// report is what an ESME hears of a message with a registered_delivery; which of the receipts that come
// is the lookup's concern.
func (srv *Server) report(registered uint8) sms.Report {
	switch {
	case registered&asksForReceipts == 0:
		return 0
	case srv.cfg.Accepted:
		return sms.ReportFinal | sms.ReportSubmit
	}
	return sms.ReportFinal
}
