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

// messageLog writes the lines of the message log. Operators parse it (Jasmin: messages.log).
type messageLog struct {
	*settings
	out *slog.Logger // one record for each line, its message the line as it is
}

func (l *messageLog) enabled() bool { return l.out.Enabled(context.Background(), slog.LevelInfo) }

// submission writes the line of a settled attempt: one for a message, whatever its parts.
func (l *messageLog) submission(q queued, v *verdict) {
	if !l.enabled() {
		return
	}
	var b strings.Builder
	b.Grow(256 + len(q.env.Content))
	field(&b, "SMS-MT [cid:", string(l.cid))
	field(&b, "] [queue-msgid:", q.d.ID)
	if v.outcome == accepted {
		field(&b, "] [smpp-msgid:", v.smppID)
		field(&b, "] [status:", v.text())
	} else {
		field(&b, "] [status:ERROR/", v.text())
		retry := "False"
		if v.retry || v.move != "" {
			retry = "True"
		}
		field(&b, "] [retry:", retry)
	}
	field(&b, "] [prio:", strconv.Itoa(int(q.d.Priority)))
	var first pdu.SubmitSM
	if len(q.env.Parts) > 0 {
		first = q.env.Parts[0]
	}
	field(&b, "] [dlr:", receiptWanted(first.RegisteredDelivery))
	validity := "none"
	if !q.env.ExpiresAt.IsZero() {
		validity = q.env.ExpiresAt.Format(time.DateTime)
	}
	field(&b, "] [validity:", validity)
	field(&b, "] [from:", first.Source.Addr)
	field(&b, "] [to:", first.Dest.Addr)
	l.content(&b, contentOf(q.env))
	l.out.Info(b.String()) //nolint:sloglint // the line is the message
}

// receipt writes the line of a receipt that was queued.
func (l *messageLog) receipt(r *receipt.Receipt, content string) {
	var b strings.Builder
	field(&b, "DLR [cid:", string(l.cid))
	field(&b, "] [smpp-msgid:", r.ID)
	field(&b, "] [status:", r.State)
	field(&b, "] [submit date:", r.SubmitDate)
	field(&b, "] [done date:", r.DoneDate)
	field(&b, "] [sub/dlvrd messages:", r.Sub+"/"+r.Dlvrd)
	field(&b, "] [err:", r.Err)
	l.content(&b, content)
	l.out.Info(b.String()) //nolint:sloglint // the line is the message
}

// content ends a line with the text of the message, or with its size when that is private.
func (l *messageLog) content(b *strings.Builder, text string) {
	if l.private() {
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
