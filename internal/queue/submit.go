package queue

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"jasmind/internal/billing"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

// EncodeEnvelope turns a message into an entry of submit.sm.<cid>: the body is the
// submit_sm PDUs of its parts one after the other (sequence_number 0), message-id and
// priority are properties, the rest are headers.
func EncodeEnvelope(e *sms.Envelope) (Message, error) {
	if len(e.Parts) == 0 {
		return Message{}, fmt.Errorf("message %s has no parts", e.ID)
	}
	m := Message{ID: string(e.ID), Priority: e.Priority, ContentType: ContentPDU, Headers: envelopeHeaders(e)}
	size := 0
	for i := range e.Parts {
		size += 96 + len(e.Parts[i].ShortMessage)
	}
	m.Body = make([]byte, 0, size)
	for i := range e.Parts {
		var err error
		if m.Body, err = pdu.Append(m.Body, pdu.StatusOK, 0, &e.Parts[i]); err != nil {
			return Message{}, fmt.Errorf("part %d of message %s: %w", i+1, e.ID, err)
		}
	}
	return m, nil
}

func envelopeHeaders(e *sms.Envelope) Headers {
	h := make(Headers, 0, 8)
	h = append(h,
		Header{Name: HeaderCreatedAt, Int: e.CreatedAt.UnixMilli(), IsInt: true},
		Header{Name: HeaderSourceConnector, Str: string(e.Origin)},
		Header{Name: HeaderUID, Str: string(e.UID)})
	if !e.ExpiresAt.IsZero() {
		h = append(h, Header{Name: HeaderExpiresAt, Int: e.ExpiresAt.UnixMilli(), IsInt: true})
	}
	if e.Report != 0 {
		h = append(h, Header{Name: HeaderReport, Int: int64(e.Report.Level()), IsInt: true})
	}
	if len(e.Refusals) > 0 {
		h = append(h, Header{Name: HeaderRefusals, Str: formatRefusals(e.Refusals)})
	}
	if e.Losses > 0 || len(e.Refusals) > 0 { // a refusal that came late is no loss, though its attempt was counted as one
		h = append(h, Header{Name: HeaderLosses, Int: int64(e.Losses), IsInt: true})
	}
	if e.Bill.Charged {
		h = append(h, Header{Name: HeaderBillEarly, Str: billing.Amount(e.Bill.Early).String()})
	}
	if e.Bill.Rest != 0 {
		h = append(h, Header{Name: HeaderBillRest, Str: billing.Amount(e.Bill.Rest).String()})
	}
	if len(e.Failover.To) > 0 && len(e.Failover.On) > 0 {
		h = append(h, Header{Name: HeaderFailoverOn, Str: formatStatuses(e.Failover.On)}, Header{Name: HeaderFailoverTo, Str: joinCIDs(e.Failover.To)})
	}
	if e.Content != "" {
		h = append(h, Header{Name: HeaderContent, Str: e.Content})
	}
	return h
}

// EnvelopeHeaders are the headers of an envelope, for a Retry that changes its Refusals or Losses and
// for a message that moves to another connector.
func EnvelopeHeaders(e *sms.Envelope) Headers { return envelopeHeaders(e) }

// maxParts bounds the parts of one envelope: a concatenated message has at most 255
// (3GPP TS 23.040 §9.2.3.24.1).
const maxParts = 255

// DecodeEnvelope is the inverse of EncodeEnvelope. The cid comes from the queue's name.
// The result aliases nothing of d.
func DecodeEnvelope(d *Delivery) (*sms.Envelope, error) {
	cid, ok := ConnectorOf(d.Queue)
	if !ok {
		return nil, fmt.Errorf("queue %s is not a connector's", d.Queue)
	}
	e := &sms.Envelope{
		ID:       sms.MessageID(d.ID),
		CID:      cid,
		UID:      sms.UserID(d.Headers.Str(HeaderUID)),
		Origin:   sms.Origin(d.Headers.Str(HeaderSourceConnector)),
		Priority: d.Priority,
		Content:  d.Headers.Str(HeaderContent),
	}
	if err := decodeNumbers(d, e); err != nil {
		return nil, fmt.Errorf("message %s: %w", d.ID, err)
	}
	if err := decodeBill(d.Headers, &e.Bill); err != nil {
		return nil, fmt.Errorf("message %s: %w", d.ID, err)
	}
	if err := decodeFailover(d.Headers, &e.Failover); err != nil {
		return nil, fmt.Errorf("message %s: %w", d.ID, err)
	}
	body := d.Body
	for len(body) > 0 {
		if len(e.Parts) == maxParts {
			return nil, fmt.Errorf("message %s has more than %d parts", d.ID, maxParts)
		}
		if len(body) < pdu.HeaderLen {
			return nil, fmt.Errorf("message %s: %d octets after part %d are no PDU", d.ID, len(body), len(e.Parts))
		}
		n := binary.BigEndian.Uint32(body)
		if n < pdu.HeaderLen || uint64(n) > uint64(len(body)) {
			return nil, fmt.Errorf("message %s: part %d has command_length %d, %d octets are left", d.ID, len(e.Parts)+1, n, len(body))
		}
		_, p, err := pdu.Decode(body[:n])
		if err != nil {
			return nil, fmt.Errorf("message %s: part %d: %w", d.ID, len(e.Parts)+1, err)
		}
		sm, ok := p.(*pdu.SubmitSM)
		if !ok {
			return nil, fmt.Errorf("message %s: part %d is a %v, not a submit_sm", d.ID, len(e.Parts)+1, p.CommandID())
		}
		e.Parts = append(e.Parts, *sm)
		body = body[n:]
	}
	if len(e.Parts) == 0 {
		return nil, fmt.Errorf("message %s has no parts", d.ID)
	}
	return e, nil
}

// decodeNumbers reads the headers of an envelope that are not text.
func decodeNumbers(d *Delivery, e *sms.Envelope) error {
	h := d.Headers
	created, err := h.integer(HeaderCreatedAt)
	if err != nil {
		return err
	}
	e.CreatedAt = time.UnixMilli(created)
	expires, err := h.integer(HeaderExpiresAt)
	if err != nil {
		return err
	}
	if expires != 0 {
		e.ExpiresAt = time.UnixMilli(expires)
	}
	level, err := h.integer(HeaderReport)
	if err != nil {
		return err
	}
	if level > 3 {
		return fmt.Errorf("header %s is %d, want 1, 2 or 3", HeaderReport, level)
	}
	e.Report = sms.ReportOf(int(level))
	if s := h.Str(HeaderRefusals); s != "" {
		if e.Refusals, err = parseRefusals(s); err != nil {
			return fmt.Errorf("header %s: %w", HeaderRefusals, err)
		}
	}
	losses, err := h.integer(HeaderLosses)
	if err != nil {
		return err
	}
	e.Losses = int(min(losses, math.MaxInt32))
	if !h.Has(HeaderLosses) {
		e.Losses = d.Attempts
		for _, n := range e.Refusals {
			e.Losses -= n
		}
		e.Losses = max(e.Losses, 0)
	}
	return nil
}

func decodeBill(h Headers, b *sms.Bill) error {
	b.Charged = h.Has(HeaderBillEarly)
	for _, v := range [...]struct {
		name string
		to   *int64
	}{{HeaderBillEarly, &b.Early}, {HeaderBillRest, &b.Rest}} {
		text := h.Str(v.name)
		if text == "" {
			continue
		}
		a, err := billing.Parse(text)
		if err != nil || a < 0 {
			return fmt.Errorf("header %s: invalid value %.40q, must be an amount that is not negative", v.name, text)
		}
		*v.to = int64(a)
	}
	return nil
}

func decodeFailover(h Headers, f *sms.Failover) error {
	on, to := h.Str(HeaderFailoverOn), h.Str(HeaderFailoverTo)
	if on == "" || to == "" {
		return nil
	}
	for item := range strings.SplitSeq(on, ";") {
		status, err := strconv.ParseUint(item, 10, 32)
		if err != nil {
			return fmt.Errorf("header %s: %.40q is not a status", HeaderFailoverOn, item)
		}
		f.On = append(f.On, pdu.Status(status))
	}
	for item := range strings.SplitSeq(to, ";") {
		if item == "" {
			return fmt.Errorf("header %s: %.40q has an empty cid", HeaderFailoverTo, to)
		}
		f.To = append(f.To, sms.ConnectorID(item))
	}
	return nil
}

func formatStatuses(statuses []pdu.Status) string {
	var b strings.Builder
	for i, s := range statuses {
		if i > 0 {
			b.WriteByte(';')
		}
		b.WriteString(strconv.FormatUint(uint64(s), 10))
	}
	return b.String()
}

func joinCIDs(cids []sms.ConnectorID) string {
	var b strings.Builder
	for i, cid := range cids {
		if i > 0 {
			b.WriteByte(';')
		}
		b.WriteString(string(cid))
	}
	return b.String()
}

func formatRefusals(r map[pdu.Status]int) string {
	keys := make([]pdu.Status, 0, len(r))
	for k := range r {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	var b strings.Builder
	for i, k := range keys {
		if i > 0 {
			b.WriteByte(';')
		}
		b.WriteString(strconv.FormatUint(uint64(k), 10))
		b.WriteByte('=')
		b.WriteString(strconv.Itoa(r[k]))
	}
	return b.String()
}

func parseRefusals(s string) (map[pdu.Status]int, error) {
	out := make(map[pdu.Status]int)
	for item := range strings.SplitSeq(s, ";") {
		k, v, ok := strings.Cut(item, "=")
		status, err1 := strconv.ParseUint(k, 10, 32)
		n, err2 := strconv.Atoi(v)
		if !ok || err1 != nil || err2 != nil || n < 0 {
			return nil, fmt.Errorf("%q is not status=count", item)
		}
		out[pdu.Status(status)] = n
	}
	return out, nil
}
