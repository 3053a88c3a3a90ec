package connector

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"jasmind/internal/logging"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smpp/receipt"
	"jasmind/internal/sms"
	"jasmind/internal/smstext"
)

// logMT writes the line of a settled attempt to the message log. Operators parse it (Jasmin:
// messages.log); one line for a message, whatever its parts.
func (c *Connector) logMT(a *attempt, v *verdict) {
	if !c.messages.Enabled(context.Background(), slog.LevelInfo) {
		return
	}
	var b strings.Builder
	b.Grow(256 + len(a.env.Content))
	field(&b, "SMS-MT [cid:", string(c.cid))
	field(&b, "] [queue-msgid:", a.d.ID)
	if ok := v.status == pdu.StatusOK.String(); ok {
		field(&b, "] [smpp-msgid:", a.firstID())
		field(&b, "] [status:", v.status)
	} else {
		field(&b, "] [status:ERROR/", v.status)
		retry := "False"
		if v.retry || v.move != "" {
			retry = "True"
		}
		field(&b, "] [retry:", retry)
	}
	field(&b, "] [prio:", strconv.Itoa(int(a.d.Priority)))
	var first pdu.SubmitSM
	if len(a.env.Parts) > 0 {
		first = a.env.Parts[0]
	}
	field(&b, "] [dlr:", receiptWanted(first.RegisteredDelivery))
	validity := "none"
	if !a.env.ExpiresAt.IsZero() {
		validity = a.env.ExpiresAt.Format(time.DateTime)
	}
	field(&b, "] [validity:", validity)
	field(&b, "] [from:", first.Source.Addr)
	field(&b, "] [to:", first.Dest.Addr)
	c.content(&b, contentOf(a.env))
	c.messages.Info(b.String()) //nolint:sloglint // the line is the message
}

// logReceipt writes the line of a receipt that was queued.
func (c *Connector) logReceipt(r *receipt.Receipt, content string) {
	var b strings.Builder
	field(&b, "DLR [cid:", string(c.cid))
	field(&b, "] [smpp-msgid:", r.ID)
	field(&b, "] [status:", r.State)
	field(&b, "] [submit date:", r.SubmitDate)
	field(&b, "] [done date:", r.DoneDate)
	field(&b, "] [sub/dlvrd messages:", r.Sub+"/"+r.Dlvrd)
	field(&b, "] [err:", r.Err)
	c.content(&b, content)
	c.messages.Info(b.String()) //nolint:sloglint // the line is the message
}

// content ends a line with the text of the message, or with its size when that is private.
func (c *Connector) content(b *strings.Builder, text string) {
	if c.common.LogPrivacy || c.cfg.Load().LogPrivacy {
		text = "** " + strconv.Itoa(len(text)) + " byte content **"
	}
	field(b, "] [content:'", text)
	b.WriteString("']")
}

// field writes one field, which cannot break the line.
func field(b *strings.Builder, before, value string) { logging.AppendField(b, before, value) }

// contentOf is the text of a message for the log: as it was accepted, else what its parts say.
func contentOf(env *sms.Envelope) string {
	if env.Content != "" {
		return env.Content
	}
	var b strings.Builder
	for i := range env.Parts {
		p := &env.Parts[i]
		b.WriteString(textOf(p.ShortMessage, p.ESMClass, p.DataCoding, p.TLVs))
	}
	return b.String()
}

// textOf decodes the user data of a PDU, without its header.
func textOf(short []byte, class pdu.ESMClass, coding pdu.DataCoding, tlvs pdu.TLVs) string {
	if payload, ok := tlvs.Get(pdu.TagMessagePayload); ok && len(short) == 0 {
		short = payload
	}
	seg, _ := smstext.ReadSegment(short, class, tlvs) // without a readable header all is content
	return smstext.Decode(seg.Content, coding)
}

// plain decodes the text of a receipt. Under the default coding receipts are ASCII, whatever
// the SMSC's alphabet is.
func plain(short []byte, coding pdu.DataCoding, tlvs pdu.TLVs) string {
	if coding == pdu.CodingDefault {
		coding = pdu.CodingIA5
	}
	return textOf(short, 0, coding, tlvs)
}

// receiptWanted names the two lowest bits of registered_delivery (SMPP v3.4 §5.2.17).
func receiptWanted(registered uint8) string {
	switch registered & 3 {
	case 1:
		return "SMSC_DELIVERY_RECEIPT_REQUESTED"
	case 2:
		return "SMSC_DELIVERY_RECEIPT_REQUESTED_FOR_FAILURE"
	}
	return "NO_SMSC_DELIVERY_RECEIPT_REQUESTED"
}
