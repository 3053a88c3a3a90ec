package receipt

import (
	"fmt"
	"strings"
	"time"

	"jasmind/internal/smpp/pdu"
)

// maxText is how much of the original message a receipt repeats (SMPP v3.4 Appendix B).
const maxText = 20

// maxNumber bounds sub, dlvrd and err, which have 3 digits in the specification
// and 4 with some vendors.
const maxNumber = 10

const dateLayout = "0601021504" // YYMMDDhhmm

// maxID is the longest receipted_message_id without its NUL (SMPP v3.4 §5.3.2.12).
const maxID = 64

// FormatDate is a time in the form of submit date and done date, YYMMDDhhmm, in
// t's own zone.
func FormatDate(t time.Time) string { return t.Format(dateLayout) }

// Append appends the standard text of a receipt (SMPP v3.4 Appendix B):
//
//	id:I sub:001 dlvrd:001 submit date:YYMMDDhhmm done date:YYMMDDhhmm stat:DELIVRD err:000 text:T
//
// ID, SubmitDate, DoneDate and MessageState are required; State is not looked
// at. Dates may have any form that Time reads. Sub and Err are 001 and 000 when
// empty, Dlvrd is 001 for a delivered message and 000 otherwise; shorter values
// are filled up with zeros. Of Text the first 20 characters are used, those
// outside printable ASCII as ?, for a receipt has to pass through every alphabet.
//
// The error names the field that cannot be written: an ID that is empty, longer
// than 64 octets or not one word, a date that is none, a Sub, Dlvrd
// or Err that is not one word of up to 10 characters. dst is returned
// as it was then.
func Append(dst []byte, r *Receipt) ([]byte, error) {
	if len(r.ID) == 0 || len(r.ID) > maxID || !word(r.ID) {
		return dst, fmt.Errorf("receipt id %q: must be one word of 1 to %d characters", r.ID, maxID)
	}
	submitted, err := Time(r.SubmitDate, time.UTC)
	if err != nil {
		return dst, fmt.Errorf("receipt submit date %q: must be YYMMDDhhmm", r.SubmitDate)
	}
	done, err := Time(r.DoneDate, time.UTC)
	if err != nil {
		return dst, fmt.Errorf("receipt done date %q: must be YYMMDDhhmm", r.DoneDate)
	}
	if r.MessageState > pdu.StateSkipped {
		return dst, fmt.Errorf("receipt state %d: not defined", r.MessageState)
	}
	sub, dlvrd, code := r.Sub, r.Dlvrd, r.Err
	if sub == "" {
		sub = "001"
	}
	if dlvrd == "" {
		dlvrd = "000"
		if r.MessageState == pdu.StateDelivered {
			dlvrd = "001"
		}
	}
	if code == "" {
		code = "000"
	}
	for _, f := range [...]struct{ name, value string }{{"sub", sub}, {"dlvrd", dlvrd}, {"err", code}} {
		if len(f.value) > maxNumber || !word(f.value) {
			return dst, fmt.Errorf("receipt %s %q: must be one word of at most %d characters", f.name, f.value, maxNumber)
		}
	}
	dst = append(append(dst, "id:"...), r.ID...)
	dst = appendNumber(append(dst, " sub:"...), sub)
	dst = appendNumber(append(dst, " dlvrd:"...), dlvrd)
	dst = submitted.AppendFormat(append(dst, " submit date:"...), dateLayout)
	dst = done.AppendFormat(append(dst, " done date:"...), dateLayout)
	dst = append(append(dst, " stat:"...), StateText(r.MessageState)...)
	dst = appendNumber(append(dst, " err:"...), code)
	dst = append(dst, " text:"...)
	n := 0
	for _, c := range r.Text {
		if n == maxText {
			break
		}
		if c < ' ' || c > '~' {
			c = '?'
		}
		dst = append(dst, byte(c))
		n++
	}
	return dst, nil
}

// Format is Append to a new string.
func Format(r *Receipt) (string, error) {
	b, err := Append(make([]byte, 0, 160), r)
	return string(b), err
}

// SetTLVs sets receipted_message_id and message_state in l (SMPP v3.4 §5.3.2.12,
// §5.3.2.35). The other TLVs stay.
func SetTLVs(l *pdu.TLVs, r *Receipt) {
	l.SetCString(pdu.TagReceiptedMessageID, r.ID)
	l.SetUint8(pdu.TagMessageState, uint8(r.MessageState))
}

// Fill turns m into the deliver_sm of a receipt: esm_class, short_message and both
// TLVs. Addresses and the other fields are the caller's. ENROUTE and SCHEDLD are marked as
// intermediate notifications (SMPP v3.4 §5.2.12), all other states as receipts.
func Fill(m *pdu.Message, r *Receipt) error {
	text, err := Append(nil, r)
	if err != nil {
		return err
	}
	m.ESMClass = pdu.ESMTypeReceipt
	if r.MessageState == pdu.StateEnroute || r.MessageState == pdu.StateScheduled {
		m.ESMClass = pdu.ESMTypeIntermediate
	}
	m.DataCoding = pdu.CodingDefault
	m.ShortMessage = text
	SetTLVs(&m.TLVs, r)
	return nil
}

// word reports whether s is printable ASCII without blanks and without the marks
// that readers take for the end of a value.
func word(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' || strings.IndexByte("\"',;|:", s[i]) >= 0 {
			return false
		}
	}
	return true
}

// appendNumber appends s, filled up to three characters.
func appendNumber(dst []byte, s string) []byte {
	for range 3 - len(s) {
		dst = append(dst, '0')
	}
	return append(dst, s...)
}
