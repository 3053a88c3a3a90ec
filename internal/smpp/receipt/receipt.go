// Package receipt reads and writes SMSC delivery receipts: the text carried in
// short_message or message_payload (SMPP v3.4 Appendix B) and the TLVs
// receipted_message_id (§5.3.2.12) and message_state (§5.3.2.35). It correlates
// nothing and keeps nothing.
//
// It is lenient on input, since vendors differ in everything, and strict on
// output.
//
//	if receipt.IsReceipt(&deliver.Message) {
//		r, err := receipt.Parse(&deliver.Message)
//		...
//	}
package receipt

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"jasmind/internal/smpp/pdu"
)

// Receipt is what an SMSC reports about a message. Text fields that were missing
// are "".
type Receipt struct {
	ID         string   // the SMSC's id of the message: IDs[0]
	IDs        []string // ids that the receipt names, without repetition: that of the TLV, then that of the text
	Sub        string   // number of messages submitted, as sent
	Dlvrd      string   // number of messages delivered, as sent
	SubmitDate string   // as sent; Time reads the usual forms
	DoneDate   string   // as sent
	State      string   // canonical, 7 letters: DELIVRD, EXPIRED, DELETED, UNDELIV, ACCEPTD, UNKNOWN, REJECTD, ENROUTE, SKIPPED, SCHEDLD
	Stat       string   // the state as sent in the text
	Err        string   // network error code as sent, or from the network_error_code TLV
	Text       string   // start of the original message, as sent

	MessageState pdu.MessageState // State as a number
	// Final reports that no later receipt is to be expected. ACCEPTD and UNKNOWN are
	// not final, for a number of SMSCs send DELIVRD after them; nor is any
	// state in an intermediate notification.
	Final bool
}

// Errors of Parse and ParseData.
var (
	ErrNotReceipt = errors.New("not a delivery receipt")
	ErrNoID       = errors.New("delivery receipt without a message id")
)

// IsReceipt reports whether a deliver_sm is a delivery receipt or an intermediate
// notification: by esm_class (SMPP v3.4 §5.2.12), or, for SMSCs that leave esm_class 0,
// by a text that has an id, a known state and a date, or by a receipted_message_id TLV together with a
// message_state TLV or a known state in the text. That TLV alone says nothing: operators put it into
// ordinary messages too. IsReceipt allocates nothing for an ordinary message in a one-octet alphabet.
func IsReceipt(m *pdu.Message) bool {
	return isReceipt(m.ESMClass, m.TLVs, userText(m.ESMClass, m.ShortMessage, m.TLVs))
}

// IsReceiptData is IsReceipt for a data_sm, whose text is in message_payload.
func IsReceiptData(d *pdu.DataSM) bool {
	return isReceipt(d.ESMClass, d.TLVs, userText(d.ESMClass, nil, d.TLVs))
}

// Parse reads the receipt in a deliver_sm. The result shares no memory with m.
//
// Errors: ErrNotReceipt when IsReceipt is false, ErrNoID when neither TLV nor
// text names a message. All else that is missing or strange is tolerated;
// a receipt without a state is UNKNOWN.
func Parse(m *pdu.Message) (*Receipt, error) {
	return parse(m.ESMClass, m.TLVs, userText(m.ESMClass, m.ShortMessage, m.TLVs))
}

// ParseData is Parse for a data_sm, whose text is in message_payload.
func ParseData(d *pdu.DataSM) (*Receipt, error) {
	return parse(d.ESMClass, d.TLVs, userText(d.ESMClass, nil, d.TLVs))
}

const classBits = pdu.ESMTypeReceipt | pdu.ESMTypeIntermediate

func isReceipt(esm pdu.ESMClass, tlvs pdu.TLVs, text []byte) bool {
	if t := esm.Type(); t != 0 {
		return t&^classBits == 0
	}
	id, _ := tlvs.Get(pdu.TagReceiptedMessageID)
	named := len(id) > 0 && id[0] != 0
	if _, ok := tlvs.Get(pdu.TagMessageState); named && ok {
		return true
	}
	if !named && !mayBeReceipt(text) {
		return false
	}
	f := scan(decode(text), named)
	_, known := ParseState(f[fieldStat])
	return known && (named || f[fieldID] != "" && (f[fieldSubmitDate] != "" || f[fieldDoneDate] != ""))
}

func parse(esm pdu.ESMClass, tlvs pdu.TLVs, text []byte) (*Receipt, error) {
	if !isReceipt(esm, tlvs, text) {
		return nil, ErrNotReceipt
	}
	id, _ := tlvs.CString(pdu.TagReceiptedMessageID)
	id = strings.TrimSpace(id)
	f := scan(decode(text), id != "")
	r := &Receipt{
		Sub:        f[fieldSub],
		Dlvrd:      f[fieldDlvrd],
		SubmitDate: f[fieldSubmitDate],
		DoneDate:   f[fieldDoneDate],
		Stat:       f[fieldStat],
		Err:        f[fieldErr],
		Text:       f[fieldText],
	}
	if id != "" {
		r.IDs = append(r.IDs, id)
	}
	if t := f[fieldID]; t != "" && t != id {
		r.IDs = append(r.IDs, t)
	}
	if len(r.IDs) == 0 {
		return nil, fmt.Errorf("%w: %.60q", ErrNoID, text)
	}
	r.ID = r.IDs[0]
	r.state(tlvs)
	r.Final = IsFinal(r.MessageState) && esm.Type()&pdu.ESMTypeIntermediate == 0
	if r.Err == "" {
		r.Err = networkError(tlvs)
	}
	return r, nil
}

// state chooses between the TLV and the text. The TLV wins when it has a state of SMPP v3.4 (§5.2.28)
// other than UNKNOWN; what it says else, states of SMPP v5.0 included, counts only where the text has no state.
func (r *Receipt) state(tlvs pdu.TLVs) {
	text, known := ParseState(r.Stat)
	r.MessageState = pdu.StateUnknown
	if known {
		r.MessageState = text
	}
	if v, ok := tlvs.Uint8(pdu.TagMessageState); ok {
		s := pdu.MessageState(v)
		if wins := s >= pdu.StateEnroute && s <= pdu.StateRejected && s != pdu.StateUnknown; wins || !known && s <= pdu.StateSkipped {
			r.MessageState = s
		}
	}
	r.State = StateText(r.MessageState)
}

// networkError is the code of network_error_code (SMPP v3.4 §5.3.2.31: one octet
// of network type, two of code) in the three digits of the text form.
func networkError(tlvs pdu.TLVs) string {
	b, _ := tlvs.Get(pdu.TagNetworkErrorCode)
	if len(b) != 3 {
		return ""
	}
	return fmt.Sprintf("%03d", int(b[1])<<8|int(b[2]))
}

// Time reads a date of a receipt in its usual forms, YYMMDDhhmm, YYMMDDhhmmss and
// YYYYMMDDhhmmss, in loc: the text carries no zone.
func Time(date string, loc *time.Location) (time.Time, error) {
	layout := dateLayout
	switch len(date) {
	case 12:
		layout = "060102150405"
	case 14:
		layout = "20060102150405"
	}
	return time.ParseInLocation(layout, date, loc)
}
