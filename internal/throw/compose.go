package throw

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"jasmind/internal/queue"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smpp/receipt"
)

// compose makes the PDU of a delivery, and says between which addresses it goes.
func (t *SMPPS) compose(d *queue.Delivery) (pdu.PDU, addresses, error) {
	if d.ContentType == queue.ContentPDU {
		p, err := decodePDU(d)
		switch q := p.(type) {
		case *pdu.DeliverSM:
			return p, addresses{q.Source, q.Dest}, nil
		case *pdu.DataSM:
			return p, addresses{q.Source, q.Dest}, nil
		}
		return nil, addresses{}, err
	}
	dlr, err := queue.DecodeSMPPDLR(&d.Message)
	if err != nil {
		return nil, addresses{}, err
	}
	p, err := t.receipt(dlr)
	return p, addresses{dlr.Dest, dlr.Source}, err
}

// decodePDU reads a deliver_sm or data_sm that is to be sent as it is.
func decodePDU(d *queue.Delivery) (pdu.PDU, error) {
	_, p, err := pdu.Decode(d.Body)
	if err != nil {
		return nil, fmt.Errorf("message %s for an ESME: %w", d.ID, err)
	}
	switch p.(type) {
	case *pdu.DeliverSM, *pdu.DataSM:
		return p, nil
	}
	return nil, fmt.Errorf("message %s for an ESME is a %s", d.ID, p.CommandID())
}

// receipt is the deliver_sm or data_sm of a receipt (SMPP v3.4 §5.2.12, Appendix B): what the
// ESME submitted with its addresses swapped. ENROUTE and SCHEDLD are intermediate notifications.
func (t *SMPPS) receipt(d *queue.SMPPDLR) (pdu.PDU, error) {
	state, ok := receipt.ParseState(d.Status)
	if !ok {
		return nil, fmt.Errorf("message_status %q is no state", d.Status)
	}
	r := &receipt.Receipt{ID: string(d.MsgID), SubmitDate: receipt.FormatDate(d.SubmittedAt), DoneDate: d.Done, MessageState: state,
		Sub: d.Sub, Dlvrd: d.Dlvrd, Err: d.Err, Text: d.Text}
	if _, err := receipt.Time(d.Done, time.Local); err != nil {
		r.DoneDate = receipt.FormatDate(d.CreatedAt)
	}
	m := pdu.Message{Source: d.Dest, Dest: d.Source}
	if err := receipt.Fill(&m, r); err != nil {
		// An SMSC's own spelling of these may not fit; the state is what counts.
		r.Sub, r.Dlvrd, r.Err = "", "", ""
		if err := receipt.Fill(&m, r); err != nil {
			return nil, err
		}
	}
	if d.Err == refusedHere {
		m.ShortMessage = bytes.Replace(m.ShortMessage, []byte(" err:0"+refusedHere+" "), []byte(" err:"+refusedHere+" "), 1)
	}
	if !t.cfg.DataSM {
		return &pdu.DeliverSM{Message: m}, nil
	}
	p := &pdu.DataSM{Source: m.Source, Dest: m.Dest, ESMClass: m.ESMClass, DataCoding: m.DataCoding, TLVs: m.TLVs}
	p.TLVs.Set(pdu.TagMessagePayload, m.ShortMessage)
	return p, nil
}

// refusedHere is the err of a message that no SMSC has taken.
// Jasmin: err:99, of two digits, where the specification has three (TestReceiptOfARefusedSubmission).
const refusedHere = "99"

// delivered writes the line of a message that its ESME has taken.
func (f *flow) delivered(c *chain) {
	d := c.head.d
	if d.ContentType == queue.ContentPDU {
		f.log.Info("MO-SMPPS [msgid:" + d.ID + "] [system_id:" + f.systemID + "] [from:" + c.key.source.Addr + "] [to:" + c.key.dest.Addr + "]") //nolint:sloglint // as the line below
		return
	}
	var b strings.Builder
	b.WriteString("DLR-SMPPS [msgid:")
	b.WriteString(d.ID)
	b.WriteString("] [status:")
	b.WriteString(d.Headers.Str(queue.HeaderMessageStatus))
	b.WriteString("] [system_id:")
	b.WriteString(f.systemID)
	b.WriteString("]")
	f.log.Info(b.String()) //nolint:sloglint // Jasmin: operators parse this line
}
