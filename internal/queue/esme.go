package queue

import (
	"fmt"
	"strings"
	"time"

	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

const esmePrefix = "smpps."

// ESME is the queue of what waits for the sessions of one ESME: smpps.<system_id>. Entries
// of dlr_thrower.smpps move there, so that one who stays away delays nobody.
func ESME(systemID string) Name { return Name(esmePrefix + systemID) }

// ESMEOf is the inverse of ESME.
func ESMEOf(n Name) (systemID string, ok bool) {
	systemID, ok = strings.CutPrefix(string(n), esmePrefix)
	return systemID, ok && systemID != ""
}

// OneOf is the id of the n-th message, counted from 0, of those that one submit_multi made.
// Its ESME knows all of them under the id of the first.
func OneOf(id sms.MessageID, n int) sms.MessageID {
	if n == 0 {
		return id
	}
	return sms.MessageID(fmt.Sprintf("%s.%d", id, n))
}

// Told is the id under which the ESME knows a message: the inverse of OneOf.
func Told(id sms.MessageID) sms.MessageID {
	first, _, _ := strings.Cut(string(id), ".")
	return sms.MessageID(first)
}

// Headers of dlr_thrower.smpps and smpps.<system_id>, beside those of dlr_thrower.http.
const (
	HeaderSystemID      = "system_id"
	HeaderSourceAddr    = "source_addr"
	HeaderSourceAddrTON = "source_addr_ton"
	HeaderSourceAddrNPI = "source_addr_npi"
	HeaderDestAddr      = "destination_addr"
	HeaderDestAddrTON   = "dest_addr_ton"
	HeaderDestAddrNPI   = "dest_addr_npi"
	HeaderSubmittedAt   = "sub_date" // YYYY-MM-DD HH:MM:SS, local time
)

// SMPPDLR is an entry of dlr_thrower.smpps: a DLR on its way to an ESME. Message-id is the
// one that the ESME knows, the body the state. Headers: message_status, err, system_id,
// source_addr and destination_addr with their ton and npi as the ESME submitted them (the
// thrower swaps them), sub_date, created_at, and, where the SMSC told them, sub, dlvrd,
// donedate and text.
type SMPPDLR struct {
	MsgID                  sms.MessageID
	SystemID               string
	UID                    sms.UserID // who had the system_id when the message was submitted; "" if that is not known
	Source, Dest           pdu.Address
	Status                 string // a canonical state: DELIVRD, UNDELIV, ACCEPTD, ...
	Err                    string
	SubmittedAt            time.Time // precision: a second
	CreatedAt              time.Time // when the DLR became one; it waits from then on; precision: a millisecond
	Sub, Dlvrd, Done, Text string    // as the SMSC sent them, "" when it did not
}

const dateTime = "2006-01-02 15:04:05"

// Message encodes d.
func (d *SMPPDLR) Message() Message {
	h := make(Headers, 0, 16)
	h = append(h,
		Header{Name: HeaderSystemID, Str: d.SystemID}, Header{Name: HeaderMessageStatus, Str: d.Status}, Header{Name: HeaderErr, Str: d.Err},
		Header{Name: HeaderSourceAddr, Str: d.Source.Addr}, Header{Name: HeaderSourceAddrTON, Int: int64(d.Source.TON), IsInt: true},
		Header{Name: HeaderSourceAddrNPI, Int: int64(d.Source.NPI), IsInt: true},
		Header{Name: HeaderDestAddr, Str: d.Dest.Addr}, Header{Name: HeaderDestAddrTON, Int: int64(d.Dest.TON), IsInt: true},
		Header{Name: HeaderDestAddrNPI, Int: int64(d.Dest.NPI), IsInt: true},
		Header{Name: HeaderSubmittedAt, Str: d.SubmittedAt.Local().Format(dateTime)},
		Header{Name: HeaderCreatedAt, Int: d.CreatedAt.UnixMilli(), IsInt: true})
	for _, f := range [...]struct{ name, value string }{{HeaderSub, d.Sub}, {HeaderDlvrd, d.Dlvrd}, {HeaderDoneDate, d.Done}, {HeaderText, d.Text}} {
		if f.value != "" {
			h = append(h, Header{Name: f.name, Str: f.value})
		}
	}
	if d.UID != "" {
		h = append(h, Header{Name: HeaderUID, Str: string(d.UID)})
	}
	return Message{ID: string(d.MsgID), ContentType: ContentText, Headers: h, Body: []byte(d.Status)}
}

// DecodeSMPPDLR is the inverse of Message.
func DecodeSMPPDLR(m *Message) (*SMPPDLR, error) {
	h := m.Headers
	d := &SMPPDLR{MsgID: sms.MessageID(m.ID), SystemID: h.Str(HeaderSystemID), UID: sms.UserID(h.Str(HeaderUID)), Status: h.Str(HeaderMessageStatus), Err: h.Str(HeaderErr),
		Sub: h.Str(HeaderSub), Dlvrd: h.Str(HeaderDlvrd), Done: h.Str(HeaderDoneDate), Text: h.Str(HeaderText)}
	fault := func(err error) (*SMPPDLR, error) { return nil, fmt.Errorf("DLR of message %q: %w", m.ID, err) }
	d.Source.Addr, d.Dest.Addr = h.Str(HeaderSourceAddr), h.Str(HeaderDestAddr)
	for _, f := range [...]struct {
		name string
		to   *uint8
	}{{HeaderSourceAddrTON, &d.Source.TON}, {HeaderSourceAddrNPI, &d.Source.NPI}, {HeaderDestAddrTON, &d.Dest.TON}, {HeaderDestAddrNPI, &d.Dest.NPI}} {
		n, err := h.integer(f.name)
		if err == nil && n > 255 {
			err = fmt.Errorf("header %s is %d, want 0 to 255", f.name, n)
		}
		if err != nil {
			return fault(err)
		}
		*f.to = uint8(n) //nolint:gosec // up to 255
	}
	created, err := h.integer(HeaderCreatedAt)
	if err != nil {
		return fault(err)
	}
	d.CreatedAt = time.UnixMilli(created)
	if d.SubmittedAt, err = time.ParseInLocation(dateTime, h.Str(HeaderSubmittedAt), time.Local); err != nil {
		return fault(fmt.Errorf("header %s is %.40q, want YYYY-MM-DD HH:MM:SS", HeaderSubmittedAt, h.Str(HeaderSubmittedAt)))
	}
	switch {
	case d.MsgID == "":
		return fault(fmt.Errorf("no message-id"))
	case d.SystemID == "":
		return fault(fmt.Errorf("header %s is missing", HeaderSystemID))
	case d.Status == "":
		return fault(fmt.Errorf("header %s is missing", HeaderMessageStatus))
	}
	return d, nil
}
