package queue

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

// Headers of deliver_sm_thrower.http and deliver.sm.<cid>, beside those of the other queues:
// connector is where the message came in, url and method where it goes.
const (
	HeaderHTTPConnector = "http_connector"       // cid of the HTTP connector that url and method are those of
	HeaderFailover      = "failover"             // the further targets: "cid method url", one a line
	HeaderTotalParts    = "total_parts"          // parts of the message; more than the body has: the others never came
	HeaderPartOfLong    = "will_be_concatenated" // 1: one part of a long message
	HeaderTLVTypes      = "custom_tlv_types"     // types of vendors' parameters, "tag=type" joined by semicolons, tags in decimal
)

// MOTarget is an HTTP connector that an MO goes to.
type MOTarget struct {
	CID    sms.ConnectorID
	Method string // GET or POST
	URL    string
}

// MOCall is an entry of deliver_sm_thrower.http: an MO on its way to a URL. The body holds its
// parts as deliver_sm PDUs one after the other (sequence_number 0), as the SMSC sent them and
// interceptors left them, user data headers included; a data_sm whose addresses are too long for that
// stays one. Parameters gives what the URL is told.
type MOCall struct {
	MsgID sms.MessageID
	// Targets has one element or, behind a failover route, several: they are tried in this order.
	Targets   []MOTarget
	CID       sms.ConnectorID // the SMPP connector that it came in by
	CreatedAt time.Time       // precision: a millisecond
	Parts     []pdu.DeliverSM // in order, at least one
	Total     int             // parts that the message has; more than len(Parts): the others never came
	// TLVTypes are the types (sms.TLVTypes) of vendors' parameters that the connector has rules for.
	TLVTypes map[pdu.Tag]string
}

// Message encodes c. Its priority is the message's priority_flag.
func (c *MOCall) Message() (Message, error) {
	if err := c.check(); err != nil {
		return Message{}, err
	}
	first := c.Targets[0]
	h := make(Headers, 0, 8)
	h = append(h,
		Header{Name: HeaderURL, Str: first.URL}, Header{Name: HeaderMethod, Str: first.Method}, Header{Name: HeaderHTTPConnector, Str: string(first.CID)},
		Header{Name: HeaderConnector, Str: string(c.CID)}, Header{Name: HeaderCreatedAt, Int: c.CreatedAt.UnixMilli(), IsInt: true})
	if c.Total > 1 {
		h = append(h, Header{Name: HeaderTotalParts, Int: int64(c.Total), IsInt: true})
	}
	if rest := c.Targets[1:]; len(rest) > 0 {
		lines := make([]string, len(rest))
		for i, t := range rest {
			lines[i] = string(t.CID) + " " + t.Method + " " + t.URL
		}
		h = append(h, Header{Name: HeaderFailover, Str: strings.Join(lines, "\n")})
	}
	if len(c.TLVTypes) > 0 {
		types := make([]string, 0, len(c.TLVTypes))
		for _, tag := range slices.Sorted(maps.Keys(c.TLVTypes)) {
			types = append(types, strconv.Itoa(int(tag))+"="+c.TLVTypes[tag])
		}
		h = append(h, Header{Name: HeaderTLVTypes, Str: strings.Join(types, ";")})
	}
	m := Message{ID: string(c.MsgID), Priority: min(c.Parts[0].PriorityFlag, 3), ContentType: ContentPDU, Headers: h}
	for i := range c.Parts {
		var p pdu.PDU = &c.Parts[i]
		if NeedsDataSM(&c.Parts[i].Message) {
			p = DataSMOf(&c.Parts[i].Message)
		}
		body, err := pdu.Append(m.Body, pdu.StatusOK, 0, p)
		if err != nil {
			return Message{}, fmt.Errorf("part %d of MO %s: %w", i+1, c.MsgID, err)
		}
		m.Body = body
	}
	return m, nil
}

// NeedsDataSM tells whether the addresses of a message are too long for a deliver_sm.
func NeedsDataSM(m *pdu.Message) bool {
	return len(m.Source.Addr) > pdu.MaxAddr || len(m.Dest.Addr) > pdu.MaxAddr
}

// DataSMOf gives a message as a data_sm, without what that has no field for.
func DataSMOf(m *pdu.Message) *pdu.DataSM {
	p := &pdu.DataSM{ServiceType: m.ServiceType, Source: m.Source, Dest: m.Dest, ESMClass: m.ESMClass,
		RegisteredDelivery: m.RegisteredDelivery, DataCoding: m.DataCoding, TLVs: append(pdu.TLVs(nil), m.TLVs...)}
	if len(m.ShortMessage) > 0 {
		p.TLVs.Set(pdu.TagMessagePayload, m.ShortMessage)
	}
	return p
}

// DeliverSMOf gives a deliver_sm or data_sm in the form of a deliver_sm; ok is false for other PDUs.
func DeliverSMOf(p pdu.PDU) (m pdu.Message, ok bool) {
	switch q := p.(type) {
	case *pdu.DeliverSM:
		return q.Message, true
	case *pdu.DataSM:
		return pdu.Message{ServiceType: q.ServiceType, Source: q.Source, Dest: q.Dest, ESMClass: q.ESMClass,
			RegisteredDelivery: q.RegisteredDelivery, DataCoding: q.DataCoding, TLVs: q.TLVs}, true
	}
	return pdu.Message{}, false
}

// check finds what the encoded form cannot hold.
func (c *MOCall) check() error {
	switch {
	case len(c.Targets) == 0:
		return fmt.Errorf("MO %s has no target", c.MsgID)
	case len(c.Parts) == 0:
		return fmt.Errorf("MO %s has no parts", c.MsgID)
	case len(c.Parts) > maxParts:
		return fmt.Errorf("MO %s has %d parts, at most %d are possible", c.MsgID, len(c.Parts), maxParts)
	case c.Total < len(c.Parts) || c.Total > maxParts:
		return fmt.Errorf("MO %s: %d of %d parts, want at most %d", c.MsgID, len(c.Parts), c.Total, maxParts)
	}
	for _, t := range c.Targets {
		if t.CID == "" || t.URL == "" || t.Method == "" || strings.ContainsAny(string(t.CID)+t.Method, " \n") || strings.Contains(t.URL, "\n") {
			return fmt.Errorf("MO %s: target %.40q %.10q %.100q is incomplete or has blanks", c.MsgID, t.CID, t.Method, t.URL)
		}
	}
	return nil
}

// DecodeMOCall is the inverse of Message. The result aliases nothing of m.
func DecodeMOCall(m *Message) (*MOCall, error) {
	c := &MOCall{MsgID: sms.MessageID(m.ID), CID: sms.ConnectorID(m.Headers.Str(HeaderConnector)),
		Targets: []MOTarget{{CID: sms.ConnectorID(m.Headers.Str(HeaderHTTPConnector)), Method: m.Headers.Str(HeaderMethod), URL: m.Headers.Str(HeaderURL)}}}
	if s := m.Headers.Str(HeaderFailover); s != "" {
		for line := range strings.SplitSeq(s, "\n") {
			cid, rest, _ := strings.Cut(line, " ")
			method, url, _ := strings.Cut(rest, " ")
			c.Targets = append(c.Targets, MOTarget{CID: sms.ConnectorID(cid), Method: method, URL: url})
		}
	}
	if s := m.Headers.Str(HeaderTLVTypes); s != "" {
		c.TLVTypes = make(map[pdu.Tag]string)
		for text := range strings.SplitSeq(s, ";") {
			number, kind, _ := strings.Cut(text, "=")
			tag, err := strconv.ParseUint(number, 10, 16)
			if err != nil || !slices.Contains(sms.TLVTypes, kind) {
				return nil, fmt.Errorf("MO %s: header %s has %.40q, want tag=type", m.ID, HeaderTLVTypes, text)
			}
			c.TLVTypes[pdu.Tag(tag)] = kind
		}
	}
	created, err := m.Headers.integer(HeaderCreatedAt)
	if err != nil {
		return nil, fmt.Errorf("MO %s: %w", m.ID, err)
	}
	c.CreatedAt = time.UnixMilli(created)
	total, err := m.Headers.integer(HeaderTotalParts)
	if err != nil {
		return nil, fmt.Errorf("MO %s: %w", m.ID, err)
	}
	if total > maxParts {
		return nil, fmt.Errorf("MO %s: header %s is %d, want at most %d", m.ID, HeaderTotalParts, total, maxParts)
	}
	if c.Parts, err = decodeDeliverSMs(m); err != nil {
		return nil, err
	}
	c.Total = max(int(total), 1)
	if err := c.check(); err != nil {
		return nil, err
	}
	return c, nil
}

func decodeDeliverSMs(m *Message) ([]pdu.DeliverSM, error) {
	var parts []pdu.DeliverSM
	for body := m.Body; len(body) > 0; {
		if len(parts) == maxParts {
			return nil, fmt.Errorf("MO %s has more than %d parts", m.ID, maxParts)
		}
		if len(body) < pdu.HeaderLen {
			return nil, fmt.Errorf("MO %s: %d octets after part %d are no PDU", m.ID, len(body), len(parts))
		}
		n := binary.BigEndian.Uint32(body)
		if n < pdu.HeaderLen || uint64(n) > uint64(len(body)) {
			return nil, fmt.Errorf("MO %s: part %d has command_length %d, %d octets are left", m.ID, len(parts)+1, n, len(body))
		}
		_, p, err := pdu.Decode(body[:n])
		if err != nil {
			return nil, fmt.Errorf("MO %s: part %d: %w", m.ID, len(parts)+1, err)
		}
		sm, ok := DeliverSMOf(p)
		if !ok {
			return nil, fmt.Errorf("MO %s: part %d is a %v, not a deliver_sm", m.ID, len(parts)+1, p.CommandID())
		}
		if NeedsDataSM(&sm) { // so that it stays what it is when it is encoded again
			sm, _ = DeliverSMOf(DataSMOf(&sm))
		}
		parts = append(parts, pdu.DeliverSM{Message: sm})
		body = body[n:]
	}
	return parts, nil
}

// MOToESME is an entry of deliver_sm_thrower.smpps: one deliver_sm or data_sm that the ESME is
// sent as it is.
func MOToESME(id sms.MessageID, systemID string, createdAt time.Time, p pdu.PDU) (Publication, error) {
	body, err := pdu.Append(nil, pdu.StatusOK, 0, p)
	if err != nil {
		return Publication{}, fmt.Errorf("MO %s: %w", id, err)
	}
	return Publication{Queue: DeliverSMSMPPS, Message: Message{ID: string(id), ContentType: ContentPDU, Body: body, Headers: Headers{
		{Name: HeaderSystemID, Str: systemID}, {Name: HeaderCreatedAt, Int: createdAt.UnixMilli(), IsInt: true}}}}, nil
}

// MOCopy is the copy of an MO for observers, under deliver.sm.<cid>: one deliver_sm or data_sm.
func MOCopy(id sms.MessageID, cid sms.ConnectorID, createdAt time.Time, p pdu.PDU, partOfLong bool) (Publication, error) {
	body, err := pdu.Append(nil, pdu.StatusOK, 0, p)
	if err != nil {
		return Publication{}, fmt.Errorf("MO %s: %w", id, err)
	}
	h := Headers{{Name: HeaderConnector, Str: string(cid)}, {Name: HeaderType, Str: p.CommandID().String()}, {Name: HeaderCreatedAt, Int: createdAt.UnixMilli(), IsInt: true}}
	if partOfLong {
		h = append(h, Header{Name: HeaderPartOfLong, Int: 1, IsInt: true})
	}
	return Publication{Queue: DeliverSM(cid), Observers: true, Message: Message{ID: string(id), ContentType: ContentPDU, Body: body, Headers: h}}, nil
}
