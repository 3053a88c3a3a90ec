package rabbit

import (
	"fmt"
	"slices"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"jasmind/internal/queue"
)

// headerDue is the absolute time before which a delayed message is not to be delivered,
// in milliseconds since the epoch. It is this driver's own and not seen by its callers.
const headerDue = "due_at"

const (
	maxPriority = 3
	maxShort    = 255     // octets of a short string: message-id, content-type, names
	maxHeaders  = 120_000 // octets: they are one frame, of 131072 octets at most by default
)

// check refuses what AMQP cannot carry; the library or the broker would end the connection.
func check(name queue.Name, m *queue.Message) error {
	switch {
	case len(m.ID) > maxShort:
		return fmt.Errorf("message-id %.20q... for %s has %d octets, AMQP allows %d", m.ID, name, len(m.ID), maxShort)
	case len(m.ContentType) > maxShort:
		return fmt.Errorf("content-type %.20q... of message %s has %d octets, AMQP allows %d", m.ContentType, m.ID, len(m.ContentType), maxShort)
	case len(name)+len(lanePrefix)+1 > maxShort:
		return fmt.Errorf("queue name %.20q... has %d octets, which is too long", name, len(name))
	}
	size := 0
	for i := range m.Headers {
		h := &m.Headers[i]
		if len(h.Name) > maxShort {
			return fmt.Errorf("header %.20q... of message %s has a name of %d octets, AMQP allows %d", h.Name, m.ID, len(h.Name), maxShort)
		}
		size += len(h.Name) + len(h.Str) + 16
	}
	if size > maxHeaders {
		return fmt.Errorf("headers of message %s for %s have %d octets, at most %d fit", m.ID, name, size, maxHeaders)
	}
	return nil
}

// encode turns a message into a persistent AMQP one; due is zero for no delay.
func encode(m *queue.Message, due time.Time) amqp.Publishing {
	t := make(amqp.Table, len(m.Headers)+2)
	for i := range m.Headers {
		if h := &m.Headers[i]; h.IsInt {
			t[h.Name] = h.Int
		} else {
			t[h.Name] = h.Str
		}
	}
	if m.Attempts > 0 {
		t[queue.HeaderTryCount] = int64(m.Attempts)
	}
	if !due.IsZero() {
		// Rounded up: a message must not come a fraction of a millisecond early.
		t[headerDue] = due.UnixMilli() + 1
	}
	return amqp.Publishing{
		DeliveryMode: amqp.Persistent,
		ContentType:  m.ContentType,
		MessageId:    m.ID,
		Priority:     min(m.Priority, maxPriority),
		Headers:      t,
		Body:         m.Body,
	}
}

// decode is the inverse. Headers come in order of their names, since AMQP has none;
// those of the broker (x-death, x-delivery-count, ...) and types that the contract does
// not know are left out.
func decode(d *amqp.Delivery, name queue.Name) (m queue.Delivery, due time.Time) {
	m = queue.Delivery{Queue: name, Redelivered: d.Redelivered, Message: queue.Message{
		ID: d.MessageId, Priority: min(d.Priority, maxPriority), ContentType: d.ContentType, Body: d.Body}}
	if name == queue.DeadLetter {
		defer func() { m.Headers = withOrigin(m.Headers, d) }()
	}
	if len(d.Headers) == 0 {
		return m, due
	}
	m.Headers = make(queue.Headers, 0, len(d.Headers))
	for k, v := range d.Headers {
		if strings.HasPrefix(k, "x-") {
			continue
		}
		h := queue.Header{Name: k}
		switch v := v.(type) {
		case string:
			h.Str = v
		case []byte:
			h.Str = string(v)
		case time.Time:
			h.Int, h.IsInt = v.UnixMilli(), true
		default:
			if h.Int, h.IsInt = integer(v); !h.IsInt {
				continue
			}
		}
		switch {
		case k == headerDue && h.IsInt:
			due = time.UnixMilli(h.Int)
		case k == queue.HeaderTryCount && h.IsInt:
			m.Attempts = int(max(h.Int, 0))
		default:
			m.Headers = append(m.Headers, h)
		}
	}
	slices.SortFunc(m.Headers, func(a, b queue.Header) int { return strings.Compare(a.Name, b.Name) })
	return m, due
}

// withOrigin says of a message that the broker moved into the dead-letter queue in which queue it was, and why.
func withOrigin(h queue.Headers, d *amqp.Delivery) queue.Headers {
	if h.Has(queue.HeaderDeadQueue) || d.RoutingKey == string(queue.DeadLetter) {
		return h
	}
	from, why := lastDeath(d.Headers)
	name, cause, reason := from, queue.CauseLimit, "a policy of the broker limits its queue: "+why
	switch {
	case from == "" || strings.HasPrefix(from, bucketPrefix):
		name, cause, reason = d.RoutingKey, queue.CauseNoQueue, "its queue was deleted while it was delayed"
	case why == "delivery_limit":
		cause, reason = queue.CauseReturned, "it was given back more often than a policy of the broker allows"
	}
	if n := len(name) - len(lanePrefix) - 1; n > 0 && strings.HasPrefix(name[n:], lanePrefix) {
		name = name[:n]
	}
	return h.WithStr(queue.HeaderDeadQueue, name).WithStr(queue.HeaderDeadCause, string(cause)).WithStr(queue.HeaderDeadReason, reason)
}

// lastDeath reads from the header x-death which queue last gave a message to its dead-letter exchange, and why. The
// latest is the first.
func lastDeath(t amqp.Table) (from, why string) {
	deaths, _ := t["x-death"].([]any)
	if len(deaths) == 0 {
		return "", ""
	}
	death, _ := deaths[0].(amqp.Table)
	from, _ = death["queue"].(string)
	why, _ = death["reason"].(string)
	return from, why
}

// integer reads any AMQP integer type; other publishers choose their own width.
func integer(v any) (int64, bool) {
	switch v := v.(type) {
	case int64:
		return v, true
	case int32:
		return int64(v), true
	case int16:
		return int64(v), true
	case int8:
		return int64(v), true
	case uint8:
		return int64(v), true
	case uint16:
		return int64(v), true
	case uint32:
		return int64(v), true
	case int:
		return int64(v), true
	}
	return 0, false
}
