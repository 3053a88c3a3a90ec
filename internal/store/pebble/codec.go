package pebble

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

// Records begin with their version. Texts have a uvarint length before them, numbers are varints, times
// nanoseconds since 1970 with a flag before them. What is in the key is not in the record.
const recordVersion = 1

var errShort = errors.New("record ends too early")

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendInt(b []byte, n int) []byte { return binary.AppendVarint(b, int64(n)) }

func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(b, 0)
	}
	return binary.AppendVarint(append(b, 1), t.UnixNano())
}

func appendAddress(b []byte, a pdu.Address) []byte {
	return appendText(append(b, a.TON, a.NPI), a.Addr)
}

func appendReceipt(b []byte, r *sms.ReceiptRequest) []byte {
	b = append(b, recordVersion)
	b = appendText(b, string(r.Origin))
	b = appendText(b, string(r.CID))
	b = append(b, byte(r.Report))
	b = appendInt(b, r.Parts)
	b = binary.AppendVarint(b, int64(r.Expiry))
	b = appendText(b, r.URL)
	b = appendText(b, r.Method)
	b = appendText(b, r.SystemID)
	b = appendAddress(b, r.Source)
	b = appendAddress(b, r.Dest)
	b = append(b, r.RegisteredDelivery)
	b = appendTime(b, r.SubmittedAt)
	if r.UID == "" {
		return b // as before there was one
	}
	return appendText(b, string(r.UID))
}

func decodeReceipt(raw []byte) (sms.ReceiptRequest, error) {
	d := decode(raw)
	r := sms.ReceiptRequest{
		Origin: sms.Origin(d.text()),
		CID:    sms.ConnectorID(d.text()),
		Report: sms.Report(d.octet()),
		Parts:  d.int(),
		Expiry: time.Duration(d.varint()),
		URL:    d.text(), Method: d.text(), SystemID: d.text(),
		Source: d.address(), Dest: d.address(),
		RegisteredDelivery: d.octet(),
		SubmittedAt:        d.time(),
	}
	if d.more() {
		if r.UID = sms.UserID(d.text()); r.UID == "" {
			d.fail(errors.New("record with an empty uid"))
		}
	}
	return r, d.end()
}

func appendMapping(b []byte, m *sms.Mapping) []byte {
	b = append(b, recordVersion)
	b = appendText(b, string(m.MsgID))
	b = appendInt(b, m.Part)
	b = appendInt(b, m.Parts)
	b = appendText(b, string(m.Origin))
	b = binary.AppendVarint(b, int64(m.Expiry))
	return appendText(b, string(m.SentBy))
}

func decodeMapping(raw []byte) (sms.Mapping, error) {
	d := decode(raw)
	m := sms.Mapping{MsgID: sms.MessageID(d.text()), Part: d.int(), Parts: d.int(), Origin: sms.Origin(d.text()),
		Expiry: time.Duration(d.varint()), SentBy: sms.ConnectorID(d.text())}
	return m, d.end()
}

func appendOutcome(b []byte, o *sms.PartOutcome) []byte {
	b = append(b, recordVersion)
	b = appendInt(b, o.Parts)
	b = binary.AppendUvarint(b, uint64(o.Status))
	for _, s := range [...]string{o.SMPPMsgID, string(o.State), o.Err, o.SubmitDate, o.DoneDate, o.Sub, o.Dlvrd, o.Text} {
		b = appendText(b, s)
	}
	return binary.AppendVarint(b, int64(o.Expiry))
}

func decodeOutcome(raw []byte) (sms.PartOutcome, error) {
	d := decode(raw)
	o := sms.PartOutcome{Parts: d.int(), Status: pdu.Status(d.uvarint())}
	for _, s := range [...]*string{&o.SMPPMsgID, (*string)(&o.State), &o.Err, &o.SubmitDate, &o.DoneDate, &o.Sub, &o.Dlvrd, &o.Text} {
		*s = d.text()
	}
	o.Expiry = time.Duration(d.varint())
	return o, d.end()
}

func appendEnd(b []byte, x *sms.Expiry) []byte {
	return appendText(append(b, recordVersion, byte(x.Report)), string(x.CID))
}

func decodeEnd(raw []byte) (sms.Expiry, error) {
	d := decode(raw)
	x := sms.Expiry{Report: sms.Report(d.octet()), CID: sms.ConnectorID(d.text())}
	return x, d.end()
}

// decoder takes values off the front of s. After an error it gives zero values.
type decoder struct {
	s   string
	err error
}

func decode(raw []byte) *decoder {
	d := &decoder{s: string(raw)}
	if v := d.octet(); d.err == nil && v != recordVersion {
		d.fail(fmt.Errorf("record version %d, known is %d", v, recordVersion))
	}
	return d
}

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
	d.s = ""
}

// more tells whether there is something left to read.
func (d *decoder) more() bool { return d.err == nil && d.s != "" }

func (d *decoder) end() error {
	if d.err == nil && d.s != "" {
		return fmt.Errorf("record with %d octets too many", len(d.s))
	}
	return d.err
}

func (d *decoder) octet() byte {
	if d.s == "" {
		d.fail(errShort)
		return 0
	}
	c := d.s[0]
	d.s = d.s[1:]
	return c
}

func (d *decoder) uvarint() uint64 {
	head := []byte(d.s[:min(len(d.s), binary.MaxVarintLen64)])
	x, n := binary.Uvarint(head)
	if n <= 0 {
		d.fail(errShort)
		return 0
	}
	d.s = d.s[n:]
	return x
}

func (d *decoder) varint() int64 {
	u := d.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

func (d *decoder) int() int { return int(d.varint()) }

func (d *decoder) text() string {
	n := d.uvarint()
	if n > uint64(len(d.s)) {
		d.fail(errShort)
		return ""
	}
	t := d.s[:n]
	d.s = d.s[n:]
	return t
}

func (d *decoder) time() time.Time {
	switch d.octet() {
	case 0:
		return time.Time{}
	case 1:
		return time.Unix(0, d.varint())
	default:
		d.fail(errors.New("record with a bad time"))
		return time.Time{}
	}
}

func (d *decoder) address() pdu.Address {
	return pdu.Address{TON: d.octet(), NPI: d.octet(), Addr: d.text()}
}
