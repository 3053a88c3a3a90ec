package dlr

import (
	"cmp"
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
func (l *Lookup) submission(ctx context.Context, d *event, fx *effects) error {
	ev, err := queue.DecodeSubmitResult(&d.Message)
	if err != nil {
		l.bury(d, fx, err)
		return nil
	}
	req, ok, err := l.store.Receipt(ctx, ev.MsgID)
	if err != nil {
		return err
	}
	req.CID = cmp.Or(ev.CID, req.CID) // a failover route may have moved the message
	both := req.Report == sms.ReportSubmit|sms.ReportFinal
	accepted := ev.State == "" && ev.Status == statusROK
	if ok && both && accepted {
		ok, err = l.levelOneOpen(ctx, ev.MsgID)
		if err != nil {
			return err
		}
	}
	if !ok {
		fx.finish(nil, nil, func() {
			l.Metrics.Submissions.Add(1)
			l.log.Debug("nobody asks for this submission any more", "msgid", string(ev.MsgID), "status", ev.Status)
		})
		return nil
	}
	var dlr *queue.HTTPDLR
	switch {
	case ev.State != "":
		// The gateway itself ended the message: that is a final state, not an answer of
		// the SMSC. Level 1 alone gets it as its only DLR.
		dlr = httpFinal(&req, ev.State)
	case !accepted || req.Report&sms.ReportSubmit != 0:
		dlr = &queue.HTTPDLR{MsgID: req.MsgID, UID: req.UID, URL: req.URL, Method: req.Method, Level: 1, Status: ev.Status, CID: req.CID, IDSMSC: sms.NormalID(ev.SMPPMsgID)}
	}
	var forget []sms.MessageID
	if !accepted || req.Report&sms.ReportFinal == 0 {
		forget = append(forget, req.MsgID)
	}
	if both {
		forget = append(forget, queue.LevelOne(req.MsgID))
	}
	pub := l.publication(&req, dlr, true)
	fx.finish(pub, forget, func() {
		l.Metrics.Submissions.Add(1)
		if pub != nil {
			l.forwarded(dlr, "")
		}
	})
	return nil
}

// levelOneOpen tells whether the answer to the submission of a message with level 3 was not
// passed on yet.
func (l *Lookup) levelOneOpen(ctx context.Context, id sms.MessageID) (bool, error) {
	_, open, err := l.store.Receipt(ctx, queue.LevelOne(id))
	return open, err
}

// httpFinal is the DLR for a state that no receipt gave.
func httpFinal(req *sms.ReceiptRequest, state string) *queue.HTTPDLR {
	level := 2
	if req.Report&sms.ReportFinal == 0 {
		level = 1
	}
	return &queue.HTTPDLR{MsgID: req.MsgID, UID: req.UID, URL: req.URL, Method: req.Method, Level: level, Status: state, CID: req.CID,
		IDSMSC: missing, Sub: missing, Dlvrd: missing, SubDate: missing, DoneDate: missing, Err: missing}
}
