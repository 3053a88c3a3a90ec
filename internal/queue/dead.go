package queue

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"jasmind/internal/smpp/pdu"
)

// Cause is the kind of reason for which a message was given up. There are few causes, so that metrics can count letters
// by cause.
type Cause string

// The causes.
const (
	CauseUndecodable Cause = "undecodable" // the octets cannot be read, or cannot be made into a message that can be sent
	CauseRetries     Cause = "retries"     // all tries have failed
	CauseRefused     Cause = "refused"     // the receiver gave a final refusal
	CauseHeld        Cause = "held"        // the message waited longer than it may
	CauseNoQueue     Cause = "no-queue"    // the queue was deleted while the message was delayed
	CauseReturned    Cause = "returned"    // the message was given back more often than a policy of the broker allows
	CauseUnclaimed   Cause = "unclaimed"   // a receipt that belongs to no message that is known
	CauseRemoved     Cause = "removed"     // the user whom the message was for was removed
	CauseLimit       Cause = "limit"       // a policy of the broker limits the queue by time or length
)

// Known tells whether c is one of the causes.
func (c Cause) Known() bool {
	switch c {
	case CauseUndecodable, CauseRetries, CauseRefused, CauseHeld, CauseNoQueue, CauseReturned, CauseUnclaimed, CauseRemoved, CauseLimit:
		return true
	}
	return false
}

// LetterID names a dead letter. Ids sort by the time of the burial; the ids that one process makes sort in
// the order in which it made them.
type LetterID string

// The parts of an id, in digits: milliseconds since the epoch, a counter of this process, and a random number.
const (
	letterTime   = 9
	letterCount  = 4
	letterRandom = 5
	letterLength = letterTime + letterCount + letterRandom
)

// letterDigits are in ascending order of their character codes, so ids sort as text.
const letterDigits = "0123456789abcdefghjkmnpqrstvwxyz"

var letters atomic.Uint64

// NewLetterID makes an id for a letter that is buried at the time now.
func NewLetterID(now time.Time) LetterID {
	b := make([]byte, 0, letterLength)
	digits := func(v uint64, n int) {
		for i := n - 1; i >= 0; i-- {
			b = append(b, letterDigits[v>>(5*i)&31])
		}
	}
	digits(uint64(max(now.UnixMilli(), 0)), letterTime)
	digits(letters.Add(1), letterCount)
	digits(rand.Uint64(), letterRandom) //nolint:gosec // keeps the ids of two processes apart; no secret
	return LetterID(b)
}

// ParseLetterID reads an id that an operator typed.
func ParseLetterID(s string) (LetterID, error) {
	s = strings.ToLower(s)
	if len(s) != letterLength || strings.Trim(s, letterDigits) != "" {
		return "", fmt.Errorf("%.40q is no id of a dead letter", s)
	}
	return LetterID(s), nil
}

// Bounds of a dead letter. Within them every driver accepts the letter, and its replay.
const (
	maxReason  = 500     // octets of the reason
	maxShort   = 255     // octets of an id, a content type and the name of a header (AMQP)
	maxHeaders = 100_000 // octets of all headers (one frame of AMQP) but those of the burial
	maxLetter  = 8 << 20 // octets of the body
)

// ClipReason cuts a reason to what a dead letter has room for, between two characters.
func ClipReason(s string) string { return clip(s, maxReason) }

// clip cuts text to at most most octets, between two characters.
func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	n := most - len("...")
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "..."
}

// fit makes m small enough for a dead letter, and returns the reason with a note of what was cut. A header that is too large is
// removed as a whole, since a replay of the letter must not call half a URL.
func fit(m *Message, reason string) string {
	var lost []string
	short := func(what string, s *string) {
		if n := len(*s); n > maxShort {
			*s = clip(*s, maxShort)
			lost = append(lost, fmt.Sprintf("%s of %d octets", what, n))
		}
	}
	short("id", &m.ID)
	short("content type", &m.ContentType)
	size := 0
	for i := range m.Headers {
		size += m.Headers[i].size()
	}
	for size > maxHeaders {
		largest := 0
		for i := range m.Headers {
			if m.Headers[i].size() > m.Headers[largest].size() {
				largest = i
			}
		}
		h := m.Headers[largest]
		lost = append(lost, fmt.Sprintf("header %.40s of %d octets", h.Name, len(h.Str)))
		m.Headers = slices.Delete(m.Headers, largest, largest+1)
		size -= h.size()
	}
	if n := len(m.Body); n > maxLetter {
		m.Body = m.Body[:maxLetter:maxLetter]
		lost = append(lost, fmt.Sprintf("body of %d octets", n))
	}
	if lost == nil {
		return ClipReason(reason)
	}
	note := clip("; cut: "+strings.Join(lost, ", "), maxReason/2)
	return clip(reason, maxReason-len(note)) + note
}

// size gives the octets that a header takes; a header whose name is too long is larger than maxHeaders.
func (h *Header) size() int {
	if len(h.Name) > maxShort {
		return maxHeaders + 1
	}
	return len(h.Name) + len(h.Str) + 16
}

// Bury is BuryAs with CauseUndecodable.
func Bury(d *Delivery, reason string) Publication { return BuryAs(d, CauseUndecodable, reason) }

// BuryAs makes the publication that moves a delivery into the dead-letter queue. The letter is the message as
// it is, cut to the bounds of a letter, with headers that give its id (dead_id), the time of the burial (dead_at), the queue of the
// message (dead_queue) and why it was given up (dead_cause, dead_reason). The caller acknowledges the delivery in the same
// journal entry.
func BuryAs(d *Delivery, cause Cause, reason string) Publication {
	now := time.Now()
	m := d.Message
	m.Headers = m.Headers.Clone()
	reason = fit(&m, reason)
	m.Headers = m.Headers.WithStr(HeaderDeadID, string(NewLetterID(now))).WithInt(HeaderDeadAt, now.UnixMilli()).
		WithStr(HeaderDeadQueue, string(d.Queue)).WithStr(HeaderDeadCause, string(cause)).WithStr(HeaderDeadReason, reason)
	m.Attempts = 0
	m.Priority = 0 // letters of one priority keep their order; HeaderDeadPriority keeps the priority
	if d.Priority > 0 {
		m.Headers = m.Headers.WithInt(HeaderDeadPriority, int64(d.Priority))
	}
	return Publication{Queue: DeadLetter, Message: m}
}

// Letter is a dead letter: a message that was given up, with its queue and the reason.
type Letter struct {
	ID      LetterID
	At      time.Time // precision: a millisecond
	Queue   Name      // queue that the message was in
	Cause   Cause
	Reason  string
	Message Message // the message, with Attempts 0
	// Claimed is the time at which a replay of the letter began; zero: none did. Encode leaves
	// Claimed out.
	Claimed time.Time
}

// ErrNotBuried is the error of DecodeLetter for a message that BuryAs has not made.
var ErrNotBuried = errors.New("no dead letter of this gateway")

// DecodeLetter reads a message of the dead-letter queue.
func DecodeLetter(m *Message) (Letter, error) {
	h := m.Headers
	id, err := ParseLetterID(h.Str(HeaderDeadID))
	if err != nil {
		return Letter{}, fmt.Errorf("%w: header %s: %w", ErrNotBuried, HeaderDeadID, err)
	}
	l := Letter{ID: id, At: time.UnixMilli(h.Int(HeaderDeadAt)), Queue: Name(h.Str(HeaderDeadQueue)),
		Cause: Cause(h.Str(HeaderDeadCause)), Reason: h.Str(HeaderDeadReason), Message: *m}
	if !l.Cause.Known() {
		return Letter{}, fmt.Errorf("%w: header %s is %.40q", ErrNotBuried, HeaderDeadCause, l.Cause)
	}
	if p := h.Int(HeaderDeadPriority); p > 0 && p <= 3 {
		l.Message.Priority = uint8(p) //nolint:gosec // up to 3
	}
	l.Message.Attempts = 0
	l.Message.Headers = h.without(HeaderDeadID, HeaderDeadAt, HeaderDeadQueue, HeaderDeadCause, HeaderDeadReason, HeaderDeadPriority)
	return l, nil
}

// Replay makes the publication that puts the message of a letter back into its queue. The message has all its tries again,
// and the time for which it may be held starts anew.
func (l *Letter) Replay(now time.Time) Publication {
	m := l.Message
	m.Attempts = 0
	m.Headers = m.Headers.without(HeaderThrows, HeaderRefusals, HeaderLosses).WithInt(HeaderReplayedAt, now.UnixMilli())
	return Publication{Queue: l.Queue, Message: m}
}

// Destination gives the receiver of a letter, as far as the message shows it: an address, an
// ESME, a URL without user, password and query, or "".
func (l *Letter) Destination() string {
	h := l.Message.Headers
	if text := h.Str(HeaderURL); text != "" {
		u, err := url.Parse(text)
		if err != nil {
			return "" // the text may hold secrets
		}
		return u.Scheme + "://" + u.Host + u.EscapedPath()
	}
	to := h.Str(HeaderSourceAddr) // a DLR goes to where its message came from
	if l.Message.ContentType == ContentPDU {
		to = ""
		if _, p, err := pdu.Decode(firstPDU(l.Message.Body)); err == nil {
			switch p := p.(type) {
			case *pdu.SubmitSM:
				to = p.Dest.Addr
			case *pdu.DeliverSM:
				to = p.Dest.Addr
			case *pdu.DataSM:
				to = p.Dest.Addr
			}
		}
	}
	if id := h.Str(HeaderSystemID); id != "" {
		to = strings.TrimSpace(id + " " + to)
	}
	return to
}

// firstPDU gives the first of the PDUs in b, or b if its first PDU is not complete.
func firstPDU(b []byte) []byte {
	if len(b) < 4 {
		return b
	}
	n := uint64(b[0])<<24 | uint64(b[1])<<16 | uint64(b[2])<<8 | uint64(b[3])
	if n > uint64(len(b)) {
		return b
	}
	return b[:n]
}

// letterRecord is the form of a letter in a store. Texts from outside are octets, since they may not be UTF-8.
type letterRecord struct {
	At          int64          `json:"at"`
	Queue       []byte         `json:"queue"`
	Cause       string         `json:"cause"`
	Reason      []byte         `json:"reason"`
	MessageID   []byte         `json:"message_id"`
	Priority    uint8          `json:"priority,omitempty"`
	ContentType []byte         `json:"content_type,omitempty"`
	Headers     []letterHeader `json:"headers,omitempty"`
	Body        []byte         `json:"body,omitempty"`
}

type letterHeader struct {
	Name []byte `json:"name"`
	Text []byte `json:"text,omitempty"`
	Int  *int64 `json:"int,omitempty"`
}

// Encode gives the record of a letter for a store: JSON, with octets in base64, and without the id.
func (l *Letter) Encode() []byte {
	m := &l.Message
	r := letterRecord{At: l.At.UnixMilli(), Queue: []byte(l.Queue), Cause: string(l.Cause), Reason: []byte(l.Reason), MessageID: []byte(m.ID),
		Priority: m.Priority, ContentType: []byte(m.ContentType), Headers: recordHeaders(m.Headers), Body: m.Body}
	b, _ := json.Marshal(&r) // octets and numbers, which are always JSON
	return b
}

func recordHeaders(hs Headers) []letterHeader {
	out := make([]letterHeader, 0, len(hs))
	for i := range hs {
		h := letterHeader{Name: []byte(hs[i].Name)}
		if hs[i].IsInt {
			h.Int = &hs[i].Int
		} else {
			h.Text = []byte(hs[i].Str)
		}
		out = append(out, h)
	}
	return out
}

func headersOf(record []letterHeader) Headers {
	var out Headers
	for _, h := range record {
		if h.Int != nil {
			out = append(out, Header{Name: string(h.Name), Int: *h.Int, IsInt: true})
		} else {
			out = append(out, Header{Name: string(h.Name), Str: string(h.Text)})
		}
	}
	return out
}

// DecodeLetterRecord is the inverse of Encode.
func DecodeLetterRecord(id LetterID, record []byte) (Letter, error) {
	var r letterRecord
	if err := json.Unmarshal(record, &r); err != nil {
		return Letter{}, fmt.Errorf("dead letter %s: %w", id, err)
	}
	l := Letter{ID: id, At: time.UnixMilli(r.At), Queue: Name(r.Queue), Cause: Cause(r.Cause), Reason: string(r.Reason),
		Message: Message{ID: string(r.MessageID), Priority: r.Priority, ContentType: string(r.ContentType), Headers: headersOf(r.Headers), Body: r.Body}}
	return l, nil
}
