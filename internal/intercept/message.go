package intercept

import (
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

// CustomTLV is an optional parameter of a vendor, not encoded yet.
type CustomTLV = sms.CustomTLV

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
			c.CustomTLVs = append(c.CustomTLVs, CustomTLV{Tag: t.Tag, Length: len(t.Value), Type: sms.TLVOctets, Value: t.Value})
		}
	}
	return c
}
