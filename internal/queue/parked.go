package queue

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// Parked is a publication, or the copy that a Retry puts back, which is kept elsewhere while the broker takes nothing.
type Parked struct {
	// ID names what is published, by its content, and tells equal ones of one call of Park apart: what is parked twice, since a call
	// is repeated, is kept once.
	ID      string
	Queue   Name
	Key     string // as in Publication
	Message Message
	Again   bool // Message is to be put back by a Retry, which counts one more attempt
	// Observers as in Publication.
	Observers bool
	Due       time.Time // precision: a millisecond; zero: at once
}

// Park keeps publications and retries, in this order.
func Park(pubs []Publication, retries []Retry, now time.Time) []Parked {
	ps := make([]Parked, 0, len(pubs)+len(retries))
	equal := make(map[string]int)
	add := func(p Parked, after time.Duration) {
		sum := sha256.Sum256(p.Encode())
		content := hex.EncodeToString(sum[:16])
		if p.ID = content; equal[content] > 0 {
			p.ID += "." + strconv.Itoa(equal[content])
		}
		equal[content]++
		if after > 0 {
			p.Due = now.Add(after)
		}
		ps = append(ps, p)
	}
	for i := range pubs {
		p := &pubs[i]
		add(Parked{Queue: p.Queue, Key: p.Key, Message: p.Message, Observers: p.Observers}, p.After)
	}
	for i := range retries {
		m := retries[i].Delivery.Message
		if retries[i].Headers != nil {
			m.Headers = retries[i].Headers
		}
		add(Parked{Queue: retries[i].Delivery.Queue, Message: m, Again: true}, retries[i].After)
	}
	return ps
}

// Unpark gives what is to be published after all: one of both, the other is nil.
func (p *Parked) Unpark(now time.Time) (*Publication, *Retry) {
	after := time.Duration(0)
	if !p.Due.IsZero() {
		after = max(p.Due.Sub(now), 0)
	}
	if p.Again {
		return nil, &Retry{Delivery: &Delivery{Queue: p.Queue, Message: p.Message}, After: after}
	}
	return &Publication{Queue: p.Queue, Key: p.Key, Message: p.Message, After: after, Observers: p.Observers}, nil
}

// parkedRecord is the form of a Parked in a store. Texts are octets, since they may not be UTF-8.
type parkedRecord struct {
	Queue       []byte         `json:"queue"`
	Key         []byte         `json:"key,omitempty"`
	Again       bool           `json:"again,omitempty"`
	Observers   bool           `json:"observers,omitempty"`
	Due         int64          `json:"due,omitempty"`
	MessageID   []byte         `json:"message_id"`
	Priority    uint8          `json:"priority,omitempty"`
	Attempts    int            `json:"attempts,omitempty"`
	ContentType []byte         `json:"content_type,omitempty"`
	Headers     []letterHeader `json:"headers,omitempty"`
	Body        []byte         `json:"body,omitempty"`
}

// Encode gives the record for a store: JSON, with octets in base64, and without the id.
func (p *Parked) Encode() []byte {
	m := &p.Message
	r := parkedRecord{Queue: []byte(p.Queue), Key: []byte(p.Key), Again: p.Again, Observers: p.Observers, MessageID: []byte(m.ID),
		Priority: m.Priority, Attempts: m.Attempts, ContentType: []byte(m.ContentType), Headers: recordHeaders(m.Headers), Body: m.Body}
	if !p.Due.IsZero() {
		r.Due = p.Due.UnixMilli()
	}
	b, _ := json.Marshal(&r) // octets and numbers, which are always JSON
	return b
}

// DecodeParked is the inverse of Encode.
func DecodeParked(id string, record []byte) (Parked, error) {
	var r parkedRecord
	if err := json.Unmarshal(record, &r); err != nil {
		return Parked{}, fmt.Errorf("parked publication %s: %w", id, err)
	}
	p := Parked{ID: id, Queue: Name(r.Queue), Key: string(r.Key), Again: r.Again, Observers: r.Observers,
		Message: Message{ID: string(r.MessageID), Priority: r.Priority, Attempts: r.Attempts, ContentType: string(r.ContentType),
			Headers: headersOf(r.Headers), Body: r.Body}}
	if r.Due != 0 {
		p.Due = time.UnixMilli(r.Due)
	}
	if p.Queue == "" {
		return Parked{}, fmt.Errorf("parked publication %s has no queue", id)
	}
	return p, nil
}
