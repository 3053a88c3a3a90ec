package pebble

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"

	"jasmind/internal/queue"
)

// A record is a message in the database: version, priority, uvarint attempts, id, content type, uvarint
// count of headers, each its name, a kind octet and a text or a zigzag varint, then the body. Texts and
// the body have a uvarint length before them.
const recordVersion = 1

const (
	kindText = 0
	kindInt  = 1
)

// minHeader is the least number of octets a header takes; it bounds what a count can claim.
const minHeader = 3

// recordSize is an upper bound of what appendRecord needs, in one look at the message.
func recordSize(m *queue.Message) int {
	n := 2 + 5*binary.MaxVarintLen64 + len(m.ID) + len(m.ContentType) + len(m.Body)
	for i := range m.Headers {
		n += 2*binary.MaxVarintLen64 + 1 + len(m.Headers[i].Name) + len(m.Headers[i].Str)
	}
	return n
}

func appendRecord(b []byte, m *queue.Message) []byte {
	b = append(b, recordVersion, m.Priority)
	b = binary.AppendUvarint(b, uint64(m.Attempts))
	b = appendText(b, m.ID)
	b = appendText(b, m.ContentType)
	b = binary.AppendUvarint(b, uint64(len(m.Headers)))
	for i := range m.Headers {
		h := &m.Headers[i]
		b = appendText(b, h.Name)
		if h.IsInt {
			b = append(b, kindInt)
			b = binary.AppendVarint(b, h.Int)
			continue
		}
		b = append(b, kindText)
		b = appendText(b, h.Str)
	}
	b = binary.AppendUvarint(b, uint64(len(m.Body)))
	return append(b, m.Body...)
}

func appendText(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// decodeRecord is the inverse of appendRecord. The message shares nothing with raw; its texts share one
// allocation.
func decodeRecord(raw []byte) (queue.Message, error) {
	d := decoder{s: string(raw)}
	if v := d.octet("version"); d.err == nil && v != recordVersion {
		return queue.Message{}, fmt.Errorf("record version %d, known is %d", v, recordVersion)
	}
	m := queue.Message{Priority: d.octet("priority")}
	if d.err == nil && m.Priority > maxPriority {
		return queue.Message{}, fmt.Errorf("record priority %d, at most %d", m.Priority, maxPriority)
	}
	attempts := d.uvarint("attempts")
	if attempts > math.MaxInt32 {
		return queue.Message{}, fmt.Errorf("record attempts %d, at most %d", attempts, math.MaxInt32)
	}
	m.Attempts = int(attempts)
	m.ID = d.text("id")
	m.ContentType = d.text("content type")
	n := d.uvarint("header count")
	if n > uint64(len(d.s)/minHeader) {
		return queue.Message{}, fmt.Errorf("record with %d headers in %d octets", n, len(d.s))
	}
	if n > 0 {
		m.Headers = make(queue.Headers, 0, n)
	}
	for range n {
		h := queue.Header{Name: d.text("header name")}
		switch kind := d.octet("header kind"); {
		case d.err != nil:
		case kind == kindInt:
			h.IsInt, h.Int = true, d.varint("header value")
		case kind == kindText:
			h.Str = d.text("header value")
		default:
			return queue.Message{}, fmt.Errorf("record header kind %d", kind)
		}
		if d.err != nil {
			break
		}
		m.Headers = append(m.Headers, h)
	}
	m.Body = []byte(d.text("body"))
	if d.err == nil && len(d.s) > 0 {
		return queue.Message{}, fmt.Errorf("record with %d octets too many", len(d.s))
	}
	if d.err != nil {
		return queue.Message{}, d.err
	}
	return m, nil
}

// unreadable is a record that is not one.
type unreadable struct {
	key, raw []byte
	lane     uint8
	why      error
}

// bury makes dead letters of unreadable records, so that what is behind them goes on. It is called by the line's goroutine.
func (l *line) bury(bad ...unreadable) error {
	if len(bad) == 0 {
		return nil
	}
	b := l.driver.db.NewBatch()
	letters := make([]queue.Publication, len(bad))
	for i, u := range bad {
		l.driver.cfg.Log.Error("unreadable entry of a queue moved to the dead-letter queue", "queue", string(l.name), "key", fmt.Sprintf("%x", u.key), "err", u.why)
		b.Delete(u.key)
		letters[i] = queue.Bury(&queue.Delivery{Queue: l.name, Message: queue.Message{Priority: maxPriority - u.lane, Body: u.raw}},
			"a damaged entry of the queue: "+u.why.Error())
	}
	if err := l.driver.StagePublish(b, letters); err != nil {
		b.Abandon(err)
		return fmt.Errorf("bury what cannot be read of %s: %w", l.name, err)
	}
	if err := l.driver.db.Commit(context.WithoutCancel(l.ctx), b); err != nil {
		return fmt.Errorf("bury what cannot be read of %s: %w", l.name, err)
	}
	return nil
}

// decoder takes values off the front of s. After an error it gives zero values.
type decoder struct {
	s   string
	err error
}

func (d *decoder) fail(what string) {
	if d.err == nil {
		d.err = fmt.Errorf("record ends in its %s", what)
	}
	d.s = ""
}

func (d *decoder) octet(what string) byte {
	if len(d.s) == 0 {
		d.fail(what)
		return 0
	}
	c := d.s[0]
	d.s = d.s[1:]
	return c
}

func (d *decoder) uvarint(what string) uint64 {
	var x uint64
	for i := 0; i < len(d.s) && i < binary.MaxVarintLen64; i++ {
		c := d.s[i]
		if i == binary.MaxVarintLen64-1 && c > 1 {
			break
		}
		x |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			d.s = d.s[i+1:]
			return x
		}
	}
	d.fail(what)
	return 0
}

func (d *decoder) varint(what string) int64 {
	u := d.uvarint(what)
	return int64(u>>1) ^ -int64(u&1)
}

func (d *decoder) text(what string) string {
	n := d.uvarint(what)
	if n > uint64(len(d.s)) {
		d.fail(what)
		return ""
	}
	t := d.s[:n]
	d.s = d.s[n:]
	return t
}
