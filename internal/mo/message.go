package mo

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	"jasmind/internal/intercept"
	"jasmind/internal/queue"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
	"jasmind/internal/smstext"
)

// Message is a mobile-originated message, or a part of one, on its way through the gateway.
type Message struct {
	CID  sms.ConnectorID // where it came in
	Time time.Time       // when; precision of what was stored: a millisecond
	PDU  pdu.Message     // of a data_sm: as a deliver_sm with message_payload
	Tags []string        // of interceptors

	data  bool   // it came as a data_sm
	text  string // of a joined message
	whole bool   // text is set
}

func newMessage(cid sms.ConnectorID, p pdu.PDU) (*Message, error) {
	q, ok := queue.DeliverSMOf(p)
	if !ok {
		return nil, fmt.Errorf("a %s is no message", p.CommandID())
	}
	_, data := p.(*pdu.DataSM)
	return &Message{CID: cid, Time: time.Now(), PDU: q, data: data}, nil
}

// repair makes of a message that was read leniently one that can be sent on, so that an SMSC's slip does not
// cost it: a time or service type of another length is left out, and with addresses too long for a deliver_sm it goes
// on as a data_sm. It tells what was wrong. An address that is too long for that too is refused, with the status.
func (m *Message) repair() (wrong []string, status pdu.Status) {
	p := &m.PDU
	if len(p.ServiceType) > pdu.MaxServiceType {
		wrong = append(wrong, fmt.Sprintf("service_type %.40q", p.ServiceType))
		p.ServiceType = ""
	}
	for _, t := range [...]struct {
		name  string
		value *string
	}{{"schedule_delivery_time", &p.ScheduleDeliveryTime}, {"validity_period", &p.ValidityPeriod}} {
		if n := len(*t.value); n != 0 && n != pdu.TimeLen {
			wrong = append(wrong, fmt.Sprintf("%s %.40q", t.name, *t.value))
			*t.value = ""
		}
	}
	for _, a := range [...]struct {
		name   string
		addr   string
		status pdu.Status
	}{{"source_addr", p.Source.Addr, pdu.StatusInvSrcAdr}, {"destination_addr", p.Dest.Addr, pdu.StatusInvDstAdr}} {
		if len(a.addr) > pdu.MaxAddr && !m.data {
			wrong = append(wrong, fmt.Sprintf("%s %.80q", a.name, a.addr))
		}
		if len(a.addr) > pdu.MaxLongAddr {
			return []string{fmt.Sprintf("%s %.80q", a.name, a.addr)}, a.status
		}
	}
	m.data = m.data || queue.NeedsDataSM(p)
	return wrong, pdu.StatusOK
}

// wire is the PDU of the kind that came.
func (m *Message) wire() pdu.PDU {
	if !m.data {
		return &pdu.DeliverSM{Message: m.PDU}
	}
	return queue.DataSMOf(&m.PDU)
}

// Segment takes the user data apart.
func (m *Message) Segment() smstext.Segment { return queue.MOSegment(&m.PDU) }

// Content is the text in UTF-8, without user data header; of a joined message that of all its parts.
func (m *Message) Content() string {
	if m.whole {
		return m.text
	}
	seg := m.Segment()
	return smstext.DecodeTables(seg.Content, m.PDU.DataCoding, seg.Header.Tables())
}

// view is a message as scripts see it. What it shares with m must not be changed.
func (m *Message) view() *intercept.Message {
	p := m.PDU
	if len(p.ShortMessage) > intercept.MaxContent {
		p.ShortMessage = p.ShortMessage[:intercept.MaxContent]
	}
	return &intercept.Message{Direction: intercept.MO, PDU: p, Tags: m.Tags, Time: m.Time, Connector: m.CID}
}

// apply makes the changes of a script. What it locked needs no further care: no defaults of connectors
// apply to an MO.
func (m *Message) apply(v *intercept.Verdict) error {
	p := v.Message.PDU
	if !v.Changed.Has(intercept.ParamShortMessage) {
		p.ShortMessage = m.PDU.ShortMessage
	}
	tlvs := m.PDU.TLVs
	if v.Changed.Has(intercept.ParamTLVs) || v.Changed.Has(intercept.ParamCustomTLVs) {
		tlvs = append(pdu.TLVs(nil), p.TLVs...)
		for _, c := range v.Message.CustomTLVs {
			t, err := c.Encode()
			if err != nil {
				return scriptFault("custom_tlvs", err)
			}
			tlvs = append(tlvs, t)
		}
	}
	p.TLVs = tlvs
	m.PDU, m.Tags = p, v.Message.Tags
	if _, err := pdu.Append(nil, pdu.StatusOK, 0, m.wire()); err != nil {
		return scriptFault("message", err)
	}
	return nil
}

// scriptFault is the refusal when a script left something that cannot be sent.
func scriptFault(field string, err error) error {
	fault := intercept.Failed("after interception", err)
	fault.Field = field
	return fault
}

// digest tells the content of one part from that of another.
func (m *Message) digest() uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte{byte(m.PDU.DataCoding)}) // a hash never fails
	_, _ = h.Write(m.Segment().Content)
	return h.Sum64()
}

// A stored part: version, flags, time in ms (8), tags with their number and lengths before them as
// uvarints, the PDU.
const (
	partVersion = 1
	flagData    = 1
	maxTags     = 1 << 10
)

func (m *Message) encode() ([]byte, error) {
	var flags byte
	if m.data {
		flags |= flagData
	}
	b := binary.BigEndian.AppendUint64([]byte{partVersion, flags}, uint64(max(m.Time.UnixMilli(), 0)))
	tags := m.Tags[:min(len(m.Tags), maxTags)]
	b = binary.AppendUvarint(b, uint64(len(tags)))
	for _, t := range tags {
		b = append(binary.AppendUvarint(b, uint64(len(t))), t...)
	}
	return pdu.Append(b, pdu.StatusOK, 0, m.wire())
}

var errShortPart = errors.New("record of a part ends too early")

func decodePart(cid sms.ConnectorID, b []byte) (*Message, error) {
	if len(b) < 11 {
		return nil, errShortPart
	}
	if b[0] != partVersion {
		return nil, fmt.Errorf("record of a part has the version %d, known is %d", b[0], partVersion)
	}
	at := time.UnixMilli(int64(min(binary.BigEndian.Uint64(b[2:]), 1<<62))) //nolint:gosec // bounded
	b = b[10:]
	next := func() (uint64, bool) {
		n, size := binary.Uvarint(b)
		if size <= 0 {
			return 0, false
		}
		b = b[size:]
		return n, true
	}
	count, ok := next()
	if !ok || count > maxTags {
		return nil, errShortPart
	}
	var tags []string
	for range count {
		n, ok := next()
		if !ok || n > uint64(len(b)) {
			return nil, errShortPart
		}
		tags = append(tags, string(b[:n]))
		b = b[n:]
	}
	_, p, err := pdu.Decode(b)
	if err != nil {
		return nil, fmt.Errorf("record of a part: %w", err)
	}
	m, err := newMessage(cid, p)
	if err != nil {
		return nil, fmt.Errorf("record of a part: %w", err)
	}
	m.Time, m.Tags = at, tags
	return m, nil
}
