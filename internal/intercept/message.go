package intercept

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

// Direction is which way a message goes.
type Direction uint8

// The directions.
const (
	MT Direction = iota + 1 // submit_sm of a user
	MO                      // deliver_sm of a connector
)

// String is MT or MO.
func (d Direction) String() string {
	switch d {
	case MT:
		return "MT"
	case MO:
		return "MO"
	}
	return "Direction(" + strconv.Itoa(int(d)) + ")"
}

// Message is everything that a script sees of a message, and may change.
type Message struct {
	Direction Direction
	// PDU holds the parameters. ShortMessage is the whole content in the alphabet of
	// DataCoding, also when it needs several parts; up to MaxContent octets.
	PDU pdu.Message
	// CustomTLVs are the vendor's parameters (pdu.custom_tlvs). TLVs of PDU that have no
	// name in SMPP are shown behind them, and a Verdict has all of them here.
	CustomTLVs []CustomTLV
	Tags       []string
	Time       time.Time // when it was accepted or received; scripts read the clock in its location

	User      User            // MT
	Connector sms.ConnectorID // MO: where it came in
}

// MaxContent is the longest short_message or message_payload that a script can set, in octets.
const MaxContent = 64 << 10

// User is who sends a mobile-terminated message. Scripts read it; what they change is lost.
type User struct {
	UID           sms.UserID
	GID           sms.GroupID
	Username      string
	DefaultSource string // default value src_addr, "" for none
	Quotas        Quotas
}

// Quotas are what is left to a user; nil, or "" for the amounts, stands for unlimited.
type Quotas struct {
	Balance         string // decimal
	EarlyPercent    string // decimal
	SMSCount        *int
	HTTPThroughput  *float64
	SMPPSThroughput *float64
	MaxBindings     *int
}

// CustomTLV is an optional parameter of a vendor, not encoded yet: its type may still have to
// be found in the connector's rules.
type CustomTLV struct {
	Tag    pdu.Tag
	Length int    // as the sender declared it, -1 when he did not
	Type   string // Int1, Int2, Int4, Int8, OctetString, COctetString, or "" when it is not known yet
	// Value is []byte, string, int64, or uint64 for what int64 does not hold.
	Value any
}

// Encode gives the TLV of the wire. An empty Type stands for OctetString. Numbers in a
// string are taken for the Int types, and numbers are written in decimal for the strings.
// Errors name tag, type and value.
func (t CustomTLV) Encode() (pdu.TLV, error) {
	out := pdu.TLV{Tag: t.Tag}
	fault := func(why string) (pdu.TLV, error) {
		return pdu.TLV{}, fmt.Errorf("custom TLV %s of type %s: invalid value %q, %s", t.Tag, t.Type, fmt.Sprint(t.Value), why)
	}
	switch t.Type {
	case "", "OctetString", "COctetString":
		switch v := t.Value.(type) {
		case []byte:
			out.Value = slices.Clone(v)
		case string:
			out.Value = []byte(v)
		case int64, uint64:
			out.Value = fmt.Append(nil, v)
		default:
			return fault("must be octets, a text or a number")
		}
		if t.Type == "COctetString" && (len(out.Value) == 0 || out.Value[len(out.Value)-1] != 0) {
			out.Value = append(out.Value, 0)
		}
	case "Int1", "Int2", "Int4", "Int8":
		size := int(t.Type[3] - '0')
		if b, ok := t.Value.([]byte); ok && len(b) == size {
			out.Value = slices.Clone(b) // as it was received
			break
		}
		n, ok := t.number()
		if !ok || size < 8 && n>>(8*size) != 0 {
			return fault("must be a number of " + strconv.Itoa(size) + " octets")
		}
		out.Value = binary.BigEndian.AppendUint64(nil, n)[8-size:]
	default:
		return fault("must be of type Int1, Int2, Int4, Int8, OctetString or COctetString")
	}
	if len(out.Value) > math.MaxUint16 {
		return pdu.TLV{}, fmt.Errorf("custom TLV %s: %d octets are more than %d", t.Tag, len(out.Value), math.MaxUint16)
	}
	return out, nil
}

func (t CustomTLV) number() (uint64, bool) {
	text := ""
	switch v := t.Value.(type) {
	case int64:
		return uint64(v), v >= 0
	case uint64:
		return v, true
	case string:
		text = v
	case []byte:
		text = string(v)
	}
	n, err := strconv.ParseUint(text, 10, 64)
	return n, err == nil
}

// clone makes a copy that a script may be run on: nothing in it is shared with m, and TLVs
// without a name are in CustomTLVs.
func (m *Message) clone() Message {
	c := *m
	c.Tags = slices.Clone(m.Tags)
	c.CustomTLVs = slices.Clone(m.CustomTLVs)
	c.PDU.TLVs = nil
	for _, t := range m.PDU.TLVs {
		if _, known := tlvKinds[t.Tag]; known {
			c.PDU.TLVs = append(c.PDU.TLVs, t)
		} else {
			c.CustomTLVs = append(c.CustomTLVs, CustomTLV{Tag: t.Tag, Length: len(t.Value), Type: "OctetString", Value: t.Value})
		}
	}
	return c
}
