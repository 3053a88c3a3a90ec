package dlr

import (
	"context"

	"jasmind/internal/queue"
	"jasmind/internal/sms"
)

// missing stands for a receipt field that the SMSC did not send (Jasmin: ND; text stays empty).
const missing = "ND"

const statusROK = "ESME_ROK"

// submission handles the final answer to the submission of a message. It becomes the
// level-1 DLR. When it is no success nothing more will come, so that who asked for the
// receipt only (level 2) is told as well, and the request is forgotten.
func (l *Lookup) submission(ctx context.Context, d *queue.Delivery, fx *effects) error {
	ev, err := queue.DecodeSubmitResult(&d.Message)
	if err != nil {
		l.undecodable(d, fx, err)
		return nil
	}
	req, ok, err := l.store.Receipt(ctx, ev.MsgID)
	if err != nil {
		return err
	}
	l.Metrics.Submissions.Add(1)
	if !ok {
		l.log.Debug("nobody asks for this submission any more", "msgid", string(ev.MsgID), "status", ev.Status)
		finish(fx, d, nil, "")
		return nil
	}
	accepted := ev.State == "" && ev.Status == statusROK
	var dlr *queue.HTTPDLR
	switch {
	case ev.State != "":
		// The gateway itself ended the message: that is a final state, not an answer of
		// the SMSC. Level 1 alone gets it as its only DLR.
		dlr = l.httpFinal(&req, ev.State)
	case !accepted || req.Report&sms.ReportSubmit != 0:
		dlr = &queue.HTTPDLR{MsgID: req.MsgID, URL: req.URL, Method: req.Method, Level: 1, Status: ev.Status, CID: req.CID, IDSMSC: sms.NormalID(ev.SMPPMsgID)}
	}
	var forget sms.MessageID
	if !accepted || req.Report&sms.ReportFinal == 0 {
		forget = req.MsgID
	}
	if dlr != nil {
		l.Metrics.Forwarded.Add(1)
	}
	finish(fx, d, dlr, forget)
	return nil
}

// httpFinal is the DLR for a state that no receipt gave.
func (l *Lookup) httpFinal(req *sms.ReceiptRequest, state string) *queue.HTTPDLR {
	level := 2
	if req.Report&sms.ReportFinal == 0 {
		level = 1
	}
	return &queue.HTTPDLR{MsgID: req.MsgID, URL: req.URL, Method: req.Method, Level: level, Status: state, CID: req.CID,
		IDSMSC: missing, Sub: missing, Dlvrd: missing, SubDate: missing, DoneDate: missing, Err: missing}
}
