package loadgen

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"

	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smstext"
)

// destinations draws the addresses to send to: one, or any of a range.
type destinations struct {
	fixed     string
	prefix    string // + of an international number
	low, high uint64
	width     int // with leading zeros
}

// parseDestinations reads 06222172 or 06222000-06222999.
func parseDestinations(s string) (destinations, error) {
	low, high, isRange := strings.Cut(s, "-")
	if s == "" {
		return destinations{}, errors.New("a destination is needed, such as 06222172 or 06222000-06222999")
	}
	if !isRange {
		if len(s) > 20 {
			return destinations{}, fmt.Errorf("%q has more than 20 characters", s)
		}
		return destinations{fixed: s}, nil
	}
	d := destinations{}
	if rest, ok := strings.CutPrefix(low, "+"); ok {
		d.prefix, low, high = "+", rest, strings.TrimPrefix(high, "+")
	}
	var err error
	if d.low, err = strconv.ParseUint(low, 10, 64); err == nil {
		d.high, err = strconv.ParseUint(high, 10, 64)
	}
	if err != nil || len(low) != len(high) || d.high < d.low {
		return destinations{}, fmt.Errorf("range %q must be two numbers of the same length, the lower one first", s)
	}
	d.width = len(low)
	return d, nil
}

// append adds an address to dst.
func (d *destinations) append(dst []byte) []byte {
	if d.width == 0 {
		return append(dst, d.fixed...)
	}
	dst = append(dst, d.prefix...)
	n := d.low
	if d.high > d.low {
		n += rand.Uint64N(d.high - d.low + 1)
	}
	return appendPadded(dst, n, d.width)
}

func appendPadded(dst []byte, n uint64, width int) []byte {
	var buf [20]byte
	digits := strconv.AppendUint(buf[:0], n, 10)
	for range width - len(digits) {
		dst = append(dst, '0')
	}
	return append(dst, digits...)
}

// maker writes the texts: the tag #RUN:NUMBER#, then the template.
type maker struct {
	run      string
	template string
	coding   pdu.DataCoding
	size     int // characters of the whole text; 0 for as it comes
	parts    int // short messages of each text
	split    smstext.Options
	to       destinations
	plain    bool // ASCII text in an alphabet that leaves it as it is, without conversion
}

var placeholders = strings.NewReplacer("{n}", "", "{to}", "")

// newMaker checks the template with the longest tag that it will get. Every text has the
// same number of parts.
func newMaker(c Config) (*maker, error) {
	m := &maker{run: c.Run, template: c.Content, coding: c.coding(), size: c.Size}
	var err error
	if m.to, err = parseDestinations(c.To); err != nil {
		return nil, err
	}
	switch smstext.AlphabetOf(m.coding) {
	case smstext.GSM, smstext.IA5, smstext.Latin1, smstext.Octets:
		m.plain = invariant(placeholders.Replace(m.template) + m.to.fixed)
	}
	m.split.Overflow = smstext.Reject
	m.split.Wide = c.Protocol == SMPP // over HTTP the gateway splits, by its default
	alone, part := m.split.Capacity(m.coding)
	if smstext.AlphabetOf(m.coding) == smstext.UCS2 {
		alone, part = alone/2, part/2
	}
	switch {
	case c.Parts == 1:
		m.size = alone
	case c.Parts > 1:
		m.size = c.Parts * part
	}
	longest := uint64(maxNumber)
	if c.Count > 0 {
		longest = uint64(c.Count + c.Warmup)
	}
	tag := len(m.appendTag(nil, longest))
	if m.size > 0 && m.size < tag {
		return nil, fmt.Errorf("%d characters have no room for the tag of %d", m.size, tag)
	}
	octets, err := m.octets(nil, longest, "00000000000000000000")
	if err != nil {
		return nil, err
	}
	m.parts = m.split.Count(octets, m.coding)
	if m.parts > maxParts {
		return nil, fmt.Errorf("the text makes %d parts, more than %d", m.parts, maxParts)
	}
	if c.Parts > 0 && m.parts != c.Parts {
		return nil, fmt.Errorf("the text makes %d parts instead of %d: --parts needs characters that all take the same room", m.parts, c.Parts)
	}
	return m, nil
}

// invariant reports that the text has the same octets in GSM 03.38, ASCII, ISO-8859-1 and UTF-8.
func invariant(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
			return false
		}
		return !strings.ContainsRune(" !\"#%&'()*+,-./:;<=>?\r\n", r)
	})
}

func (m *maker) appendTag(dst []byte, n uint64) []byte {
	dst = append(dst, '#')
	dst = append(dst, m.run...)
	dst = append(dst, ':')
	dst = strconv.AppendUint(dst, n, 10)
	return append(dst, '#')
}

// text adds the text of a message in UTF-8 to dst.
func (m *maker) text(dst []byte, n uint64, to string) []byte {
	start := len(dst)
	dst = m.appendTag(dst, n)
	t := m.template
	for t != "" {
		i := strings.IndexByte(t, '{')
		switch {
		case i < 0:
			dst, t = append(dst, t...), ""
			continue
		case strings.HasPrefix(t[i:], "{n}"):
			dst = strconv.AppendUint(append(dst, t[:i]...), n, 10)
			t = t[i+len("{n}"):]
		case strings.HasPrefix(t[i:], "{to}"):
			dst = append(append(dst, t[:i]...), to...)
			t = t[i+len("{to}"):]
		default:
			dst, t = append(dst, t[:i+1]...), t[i+1:]
		}
	}
	if m.size == 0 {
		return dst
	}
	return fit(dst, start, m.size)
}

// fit cuts dst[start:] to a number of characters, or fills it up.
func fit(dst []byte, start, size int) []byte {
	have := 0
	if len(dst)-start <= size && ascii(dst[start:]) {
		have = len(dst) - start
	} else {
		for i := range string(dst[start:]) {
			if have == size {
				return dst[:start+i]
			}
			have++
		}
	}
	const filling = "0123456789"
	for ; have < size; have++ {
		dst = append(dst, filling[have%len(filling)])
	}
	return dst
}

func ascii(b []byte) bool {
	for _, c := range b {
		if c >= 0x80 {
			return false
		}
	}
	return true
}

// octets adds the text in the data_coding to dst.
func (m *maker) octets(dst []byte, n uint64, to string) ([]byte, error) {
	if m.plain {
		return m.text(dst, n, to), nil
	}
	octets, err := smstext.Encode(string(m.text(nil, n, to)), m.coding, smstext.Strict)
	return append(dst, octets...), err
}
