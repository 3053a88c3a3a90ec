package smscsim

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
)

// traffic writes the live log: a line per PDU, or one a second. Writing happens in a
// goroutine of its own, from a bounded buffer: a terminal that stands still costs lines,
// not messages.
//
// mu guards what stands under it.
type traffic struct {
	mode string
	most int // PDU lines a second
	to   io.Writer
	wake chan struct{}

	mu      sync.Mutex
	buf     []byte
	second  int64 // of the lines counted
	lines   int
	skipped uint64 // lines not written in this summary's time
}

const maxLogBuffer = 1 << 20

func newTraffic(mode string, rate int, to io.Writer) *traffic {
	if to == nil || mode == LogNone {
		return nil
	}
	return &traffic{mode: mode, most: rate, to: to, wake: make(chan struct{}, 1)}
}

// run writes until ctx ends, and then what is left.
func (t *traffic) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			t.write()
			return
		case <-t.wake:
			t.write()
		}
	}
}

func (t *traffic) write() {
	t.mu.Lock()
	buf := t.buf
	t.buf = nil
	t.mu.Unlock()
	if len(buf) > 0 {
		t.to.Write(buf) //nolint:errcheck // nobody is there to be told
	}
}

// pdu writes the line of a PDU.
func (t *traffic) pdu(p *peer, dir smpp.Direction, h pdu.Header, body pdu.PDU) {
	if t == nil || t.mode != LogPDU {
		return
	}
	now := time.Now()
	t.mu.Lock()
	if s := now.Unix(); s != t.second {
		t.second, t.lines = s, 0
	}
	t.lines++
	if t.lines > t.most {
		t.skipped++
		t.mu.Unlock()
		return
	}
	t.mu.Unlock()
	arrow := "<-"
	if dir == smpp.Out {
		arrow = "->"
	}
	who := p.systemID()
	if who == "" {
		who = "-"
	}
	t.line(now, fmt.Sprintf("#%d %s %s %s seq=%d%s", p.id, who, arrow, h.ID, h.Sequence, describe(h, body)))
}

// event writes a line that is not about a PDU.
func (t *traffic) event(format string, args ...any) {
	if t == nil || t.mode != LogPDU {
		return
	}
	t.line(time.Now(), fmt.Sprintf(format, args...))
}

// line queues a line.
func (t *traffic) line(now time.Time, text string) {
	t.mu.Lock()
	if len(t.buf) > maxLogBuffer {
		t.skipped++
		t.mu.Unlock()
		return
	}
	t.buf = now.AppendFormat(t.buf, "15:04:05.000 ")
	t.buf = append(append(t.buf, text...), '\n')
	t.mu.Unlock()
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// tick writes the summary of a second, if it is due.
func (t *traffic) tick(now time.Time, s, before *Stats) {
	if t == nil {
		return
	}
	t.mu.Lock()
	skipped := t.skipped
	t.skipped = 0
	t.mu.Unlock()
	in, out := s.PDUsIn-before.PDUsIn, s.PDUsOut-before.PDUsOut
	if in+out == 0 || t.mode == LogPDU && skipped == 0 {
		return
	}
	line := fmt.Sprintf("== %d/s submitted (%d/s refused), %d/s receipts, %d/s PDUs in, %d/s out; %d sessions, %d messages in all",
		s.Submitted-before.Submitted, s.Refused-before.Refused, s.Receipts.Sent-before.Receipts.Sent, in, out, s.Sessions, s.Submitted)
	if skipped > 0 {
		line += fmt.Sprintf("; %d lines not shown", skipped)
	}
	t.line(now, line)
}

// maxShown is how much of a text a line shows.
const maxShown = 160

// describe says what a PDU is about. Passwords are not shown.
func describe(h pdu.Header, body pdu.PDU) string {
	var b strings.Builder
	if h.ID.IsResponse() {
		b.WriteString(" " + h.Status.String())
	}
	message := func(m *pdu.Message) {
		text, seg := readText(m)
		fmt.Fprintf(&b, " from=%q", m.Source.Addr)
		if m.Dest.Addr != "" {
			fmt.Fprintf(&b, " to=%q", m.Dest.Addr)
		}
		if m.ESMClass != 0 {
			fmt.Fprintf(&b, " esm_class=%s", m.ESMClass)
		}
		fmt.Fprintf(&b, " data_coding=%d", uint8(m.DataCoding))
		if m.RegisteredDelivery != 0 {
			fmt.Fprintf(&b, " registered_delivery=%d", m.RegisteredDelivery)
		}
		if seg.Long() {
			fmt.Fprintf(&b, " part=%d/%d ref=%d", seg.Concat.Seq, seg.Concat.Total, seg.Concat.Ref)
		}
		for _, t := range m.TLVs {
			if t.Tag != pdu.TagMessagePayload {
				fmt.Fprintf(&b, " %s=%s", t.Tag, showValue(t.Value))
			}
		}
		fmt.Fprintf(&b, " %q", shorten(text))
	}
	id := func(s string) {
		if s != "" {
			fmt.Fprintf(&b, " id=%s", s)
		}
	}
	switch p := body.(type) {
	case nil:
		b.WriteString(" (body not readable)")
	case *pdu.Bind:
		fmt.Fprintf(&b, " system_id=%q system_type=%q version=0x%02X", p.SystemID, p.SystemType, p.InterfaceVersion)
	case *pdu.SubmitSM:
		message(&p.Message)
	case *pdu.SubmitMulti:
		fmt.Fprintf(&b, " dests=%d", len(p.Dests))
		message(&p.Message)
	case *pdu.DeliverSM:
		message(&p.Message)
	case *pdu.DataSM:
		m := dataMessage(p)
		message(&m)
	case *pdu.SubmitSMResp:
		id(p.MessageID)
	case *pdu.DataSMResp:
		id(p.MessageID)
	case *pdu.SubmitMultiResp:
		id(p.MessageID)
		fmt.Fprintf(&b, " unsuccess=%d", len(p.Unsuccess))
	case *pdu.QuerySM:
		id(p.MessageID)
	case *pdu.QuerySMResp:
		id(p.MessageID)
		fmt.Fprintf(&b, " state=%s", p.MessageState)
	case *pdu.CancelSM:
		id(p.MessageID)
	case *pdu.ReplaceSM:
		id(p.MessageID)
	}
	return b.String()
}

// showValue is the value of a TLV: text in quotes where it is a C-octet string, else hex.
func showValue(v []byte) string {
	v = v[:min(len(v), maxShown)]
	text, isString := bytes.CutSuffix(v, []byte{0})
	for _, c := range text {
		isString = isString && c >= ' ' && c <= '~'
	}
	if isString && len(text) > 0 {
		return strconv.Quote(string(text))
	}
	return hex.EncodeToString(v)
}

func shorten(text string) string {
	if utf8.RuneCountInString(text) <= maxShown {
		return text
	}
	return string([]rune(text)[:maxShown]) + "…"
}
