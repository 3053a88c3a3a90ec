package redis

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) }

// receiptFields gives the hash of a receipt request as name, value, name, value ...
func receiptFields(r *sms.ReceiptRequest) []any {
	f := []any{
		fieldSource, string(r.Origin), fieldConnector, string(r.CID), fieldExpiry, seconds(r.Expiry),
		fieldLevel, r.Report.Level(), fieldParts, r.Parts,
	}
	if r.UID != "" {
		f = append(f, fieldUID, string(r.UID))
	}
	if r.Origin != sms.OriginSMPP {
		return append(f, fieldURL, r.URL, fieldMethod, r.Method)
	}
	at := ""
	if !r.SubmittedAt.IsZero() {
		at = r.SubmittedAt.UTC().Format(time.RFC3339Nano)
	}
	return append(f, fieldSystemID, r.SystemID,
		fieldSource1, r.Source.Addr, fieldSourceTON, int(r.Source.TON), fieldSourceNPI, int(r.Source.NPI),
		fieldDest, r.Dest.Addr, fieldDestTON, int(r.Dest.TON), fieldDestNPI, int(r.Dest.NPI),
		fieldSubDate, at, fieldRegistered, int(r.RegisteredDelivery))
}

// fields reads a hash; the first fault is kept.
type fields struct {
	key string
	m   map[string]string
	err error
}

func (f *fields) fault(name string, err error) {
	if f.err == nil {
		f.err = fmt.Errorf("redis key %s: field %s has an invalid value %q: %w", f.key, name, f.m[name], err)
	}
}

// integer gives the number in a field, or def if there is none.
func (f *fields) integer(name string, def, limit int) int {
	s, ok := f.m[name]
	if !ok {
		return def
	}
	n, err := strconv.Atoi(s)
	if err == nil && (n < 0 || n > limit) {
		err = fmt.Errorf("not between 0 and %d", limit)
	}
	if err != nil {
		f.fault(name, err)
	}
	return n
}

func (f *fields) duration(name string) time.Duration {
	s := f.m[name]
	if s == "" {
		return 0
	}
	n, err := strconv.ParseFloat(s, 64)
	if err != nil {
		f.fault(name, err)
	}
	return time.Duration(n * float64(time.Second)).Round(time.Microsecond)
}

func (f *fields) instant(name string) time.Time {
	s := f.m[name]
	if s == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		f.fault(name, err)
	}
	return t
}

const (
	maxParts = 255 // 3GPP TS 23.040 §9.2.3.24.1
	octet    = 255
)

func decodeReceipt(key string, id sms.MessageID, m map[string]string) (sms.ReceiptRequest, error) {
	f := &fields{key: key, m: m}
	r := sms.ReceiptRequest{MsgID: id, Origin: sms.Origin(m[fieldSource]), CID: sms.ConnectorID(m[fieldConnector]),
		Report: sms.ReportOf(f.integer(fieldLevel, sms.ReportFinal.Level(), 3)), Parts: f.integer(fieldParts, 1, maxParts),
		Expiry: f.duration(fieldExpiry), URL: m[fieldURL], Method: m[fieldMethod], SystemID: m[fieldSystemID], UID: sms.UserID(m[fieldUID])}
	if r.Origin == sms.OriginSMPP {
		r.Source = pdu.Address{TON: uint8(f.integer(fieldSourceTON, 0, octet)), NPI: uint8(f.integer(fieldSourceNPI, 0, octet)), Addr: m[fieldSource1]}
		r.Dest = pdu.Address{TON: uint8(f.integer(fieldDestTON, 0, octet)), NPI: uint8(f.integer(fieldDestNPI, 0, octet)), Addr: m[fieldDest]}
		r.SubmittedAt = f.instant(fieldSubDate)
		r.RegisteredDelivery = uint8(f.integer(fieldRegistered, 0, octet))
	}
	return r, f.err
}

func mappingFields(m *sms.Mapping) []any {
	out := []any{fieldMsgID, string(m.MsgID), fieldConnectorType, string(m.Origin),
		fieldPart, m.Part, fieldParts, m.Parts, fieldExpiry, seconds(m.Expiry)}
	if m.SentBy != "" {
		out = append(out, fieldSentBy, string(m.SentBy))
	}
	return out
}

func decodeMapping(key string, account sms.Account, smppMsgID string, m map[string]string) (sms.Mapping, error) {
	f := &fields{key: key, m: m}
	out := sms.Mapping{Account: account, SMPPMsgID: smppMsgID, MsgID: sms.MessageID(m[fieldMsgID]), Origin: sms.Origin(m[fieldConnectorType]),
		Part: f.integer(fieldPart, 1, maxParts), Parts: f.integer(fieldParts, 1, maxParts), Expiry: f.duration(fieldExpiry),
		SentBy: sms.ConnectorID(m[fieldSentBy])}
	return out, f.err
}

// outcome is the JSON of one part under parts:<msgid> and final:<msgid>.
type outcome struct {
	Parts     int    `json:"parts"`
	Status    uint32 `json:"status"`
	SMPPMsgID string `json:"smpp_msgid,omitempty"`
	State     string `json:"state,omitempty"`
	Err       string `json:"err,omitempty"`
	SubDate   string `json:"subdate,omitempty"`
	DoneDate  string `json:"donedate,omitempty"`
	Sub       string `json:"sub,omitempty"`
	Dlvrd     string `json:"dlvrd,omitempty"`
	Text      string `json:"text,omitempty"`
	ExpiryMS  int64  `json:"expiry_ms,omitempty"`
}

func encodeOutcome(o *sms.PartOutcome) string {
	b, err := json.Marshal(outcome{Parts: o.Parts, Status: uint32(o.Status), SMPPMsgID: o.SMPPMsgID, State: string(o.State), Err: o.Err,
		SubDate: o.SubmitDate, DoneDate: o.DoneDate, Sub: o.Sub, Dlvrd: o.Dlvrd, Text: o.Text, ExpiryMS: o.Expiry.Milliseconds()})
	if err != nil {
		panic(err) // strings and numbers are JSON
	}
	return string(b)
}

// decodeOutcomes gives the parts of a hash in order.
func decodeOutcomes(key string, id sms.MessageID, m map[string]string) ([]sms.PartOutcome, error) {
	out := make([]sms.PartOutcome, 0, len(m))
	for field, value := range m {
		part, err := strconv.Atoi(field)
		if err != nil {
			return nil, fmt.Errorf("redis key %s: field %q is no part number", key, field)
		}
		var o outcome
		if err := json.Unmarshal([]byte(value), &o); err != nil {
			return nil, fmt.Errorf("redis key %s: field %s: %w", key, field, err)
		}
		out = append(out, sms.PartOutcome{MsgID: id, Part: part, Parts: o.Parts, Status: pdu.Status(o.Status), SMPPMsgID: o.SMPPMsgID,
			State: sms.State(o.State), Err: o.Err, SubmitDate: o.SubDate, DoneDate: o.DoneDate, Sub: o.Sub, Dlvrd: o.Dlvrd, Text: o.Text,
			Expiry: time.Duration(o.ExpiryMS) * time.Millisecond})
	}
	slices.SortFunc(out, func(a, b sms.PartOutcome) int { return a.Part - b.Part })
	return out, nil
}

// expiryMember is the member of the index by time: msgid, cid and level, separated by
// spaces, which none of them has.
func expiryMember(x *sms.Expiry) string {
	return string(x.MsgID) + " " + string(x.CID) + " " + strconv.Itoa(x.Report.Level())
}

func decodeExpiry(member string, score float64) (sms.Expiry, error) {
	f := strings.Split(member, " ")
	if len(f) == 3 {
		if level, err := strconv.Atoi(f[2]); err == nil {
			return sms.Expiry{At: time.UnixMilli(int64(score)), MsgID: sms.MessageID(f[0]), CID: sms.ConnectorID(f[1]), Report: sms.ReportOf(level)}, nil
		}
	}
	return sms.Expiry{}, fmt.Errorf("expiry index: member %q is not msgid, cid and level", member)
}
