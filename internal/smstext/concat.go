package smstext

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"jasmind/internal/smpp/pdu"
)

// Concat says which part of which long message a short message is.
type Concat struct {
	Ref   uint16
	Total uint8 // 1 to 255
	Seq   uint8 // 1 to Total
	Bits  uint8 // size of Ref: 8 or 16; SAR has 16
}

// Same reports whether two parts from one sender to one recipient belong to the
// same long message.
func (c Concat) Same(d Concat) bool {
	return c.Ref == d.Ref && c.Total == d.Total && c.Bits == d.Bits
}

func (c Concat) valid() bool { return c.Total > 0 && c.Seq > 0 && c.Seq <= c.Total }

// Element is the header element of c (3GPP TS 23.040 §9.2.3.24.1 and §9.2.3.24.8).
func (c Concat) Element() Element {
	if c.Bits == 16 {
		return Element{ElementConcat16, []byte{byte(c.Ref >> 8), byte(c.Ref), c.Total, c.Seq}}
	}
	return Element{ElementConcat8, []byte{byte(c.Ref), c.Total, c.Seq}}
}

// Concat reads the concatenation element. Of several the last counts; one whose
// total or sequence number makes no sense is ignored (3GPP TS 23.040 §9.2.3.24.1).
func (h Header) Concat() (c Concat, ok bool) {
	for _, e := range h {
		var found Concat
		switch {
		case e.ID == ElementConcat8 && len(e.Data) == 3:
			found = Concat{uint16(e.Data[0]), e.Data[1], e.Data[2], 8}
		case e.ID == ElementConcat16 && len(e.Data) == 4:
			found = Concat{binary.BigEndian.Uint16(e.Data), e.Data[2], e.Data[3], 16}
		}
		if found.valid() {
			c, ok = found, true
		}
	}
	return c, ok
}

// SARConcat reads the concatenation parameters sar_msg_ref_num, sar_total_segments
// and sar_segment_seqnum (SMPP v3.4 §5.3.2.22 to §5.3.2.24); all three must be there.
func SARConcat(tlvs pdu.TLVs) (c Concat, ok bool) {
	var have int
	for _, t := range tlvs {
		switch {
		case t.Tag == pdu.TagSARMsgRefNum && len(t.Value) == 2:
			c.Ref = binary.BigEndian.Uint16(t.Value)
			have |= 1
		case t.Tag == pdu.TagSARTotalSegments && len(t.Value) == 1:
			c.Total = t.Value[0]
			have |= 2
		case t.Tag == pdu.TagSARSegmentSeqnum && len(t.Value) == 1:
			c.Seq = t.Value[0]
			have |= 4
		}
	}
	if have != 7 || !c.valid() {
		return Concat{}, false
	}
	c.Bits = 16
	return c, true
}

// Segment is a received short message taken apart.
type Segment struct {
	Header  Header
	Concat  Concat // zero if the message stands alone
	Content []byte // the user data without header
}

// Long reports whether the segment is one of several.
func (s Segment) Long() bool { return s.Concat.Total > 1 }

// ReadSegment takes a message apart; it shares memory with its arguments. The
// header counts before the SAR parameters.
//
// Errors: ErrHeader if esm_class announces a header that is not there; the
// segment then has all of userData as Content and is still of use.
func ReadSegment(userData []byte, class pdu.ESMClass, tlvs pdu.TLVs) (Segment, error) {
	s := Segment{Content: userData}
	var err error
	if class&pdu.ESMUDHI != 0 {
		s.Header, s.Content, err = ParseUDH(userData)
	}
	var ok bool
	if s.Concat, ok = s.Header.Concat(); !ok {
		s.Concat, _ = SARConcat(tlvs)
	}
	return s, err
}

// Errors of Join and JoinText.
var (
	ErrIncomplete = errors.New("parts are missing")
	ErrMixed      = errors.New("parts of different messages")
)

// Join puts the content of a long message together from its segments, in any
// order. A sequence number that comes twice counts once, the first. A single
// segment without concatenation is its own message.
//
// Errors: ErrIncomplete, naming the first part that is not there; ErrMixed.
func Join(segments []Segment) ([]byte, error) {
	ordered, err := order(segments)
	if err != nil {
		return nil, err
	}
	size := 0
	for _, s := range ordered {
		size += len(s.Content)
	}
	content := make([]byte, 0, size)
	for _, s := range ordered {
		content = append(content, s.Content...)
	}
	return content, nil
}

// JoinText is Join and Decode in one, with the national tables of the headers.
// Content is joined before it is decoded, as long as the tables stay the same, so
// that a character that the sender cut in two is read.
//
// Errors: as Join.
func JoinText(segments []Segment, coding pdu.DataCoding) (string, error) {
	ordered, err := order(segments)
	if err != nil {
		return "", err
	}
	var text Joiner
	for _, s := range ordered {
		text.Add(s.Content, coding, s.Header.Tables())
	}
	return text.String(), nil
}

// Joiner reads the text of parts that are added one after the other. Parts of the same alphabet are
// decoded together, since their sender may have cut a character in two. A byte order mark at the
// beginning of a part is left out. The zero value is empty.
type Joiner struct {
	text   strings.Builder
	run    []byte // not decoded yet, all in one alphabet and order
	coding pdu.DataCoding
	tables Tables
	order  ByteOrder
}

// Add adds the user data of a part, without its header.
func (j *Joiner) Add(content []byte, coding pdu.DataCoding, tables Tables) {
	if coding != j.coding || tables != j.tables {
		j.Break()
	}
	j.coding, j.tables = coding, tables
	if AlphabetOf(coding) == UCS2 {
		rest, order, marked := CutByteOrderMark(content)
		switch {
		case !marked:
		case len(j.run) > 0 && order == j.order:
			content = rest
		default: // Break leaves the mark in its place, where the decoder finds it
			j.Break()
			j.order = order
		}
	}
	j.run = append(j.run, content...)
}

// Break ends what is decoded together: what follows is not the next part.
func (j *Joiner) Break() {
	if len(j.run) > 0 {
		j.text.WriteString(DecodeTables(j.run, j.coding, j.tables))
	}
	j.run, j.order = j.run[:0], BigEndian
}

// String is the text of all parts.
func (j *Joiner) String() string {
	j.Break()
	return j.text.String()
}

// order gives one segment for each sequence number, in order.
func order(segments []Segment) ([]Segment, error) {
	if len(segments) == 0 {
		return nil, fmt.Errorf("%w: there are none", ErrIncomplete)
	}
	first := segments[0].Concat
	if !first.valid() {
		if len(segments) > 1 {
			return nil, fmt.Errorf("%w: %d messages, the first without concatenation", ErrMixed, len(segments))
		}
		return segments, nil
	}
	ordered := make([]Segment, first.Total)
	for _, s := range segments {
		if !s.Concat.valid() || !s.Concat.Same(first) {
			return nil, fmt.Errorf("%w: reference %d of %d parts and %d of %d", ErrMixed,
				first.Ref, first.Total, s.Concat.Ref, s.Concat.Total)
		}
		if slot := &ordered[s.Concat.Seq-1]; slot.Concat.Seq == 0 {
			*slot = s
		}
	}
	for i, s := range ordered {
		if s.Concat.Seq == 0 {
			return nil, fmt.Errorf("%w: part %d of %d, reference %d", ErrIncomplete, i+1, first.Total, first.Ref)
		}
	}
	return ordered, nil
}
