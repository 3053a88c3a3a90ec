package smstext

import (
	"errors"
	"fmt"

	"jasmind/internal/smpp/pdu"
)

// Method says how the parts of a long message name their place in it.
type Method uint8

// The methods of long_content_split.
const (
	UDH Method = iota // a user data header in short_message
	SAR               // the optional parameters sar_msg_ref_num, sar_total_segments and sar_segment_seqnum
)

// String is the method's name in the configuration.
func (m Method) String() string {
	if m == SAR {
		return "sar"
	}
	return "udh"
}

// Overflow says what becomes of content that needs more than MaxParts.
type Overflow uint8

// The values of long_content_overflow.
const (
	Truncate Overflow = iota // cut it and report it
	Reject                   // ErrTooManyParts
)

// String is the value's name in the configuration.
func (o Overflow) String() string {
	if o == Reject {
		return "reject"
	}
	return "truncate"
}

// Options says how to cut a long message. The zero value is UDH with the 8-bit
// reference number 0 and up to 255 parts.
type Options struct {
	Method    Method
	Reference uint16 // see References; its low 8 bits for UDH unless Wide
	Wide      bool   // UDH: 16-bit reference number, one octet less per part
	MaxParts  int    // 1 to 255; anything else means 255
	Overflow  Overflow
	Tables    Tables // national tables the octets were encoded with, GSM alphabet only
}

// Part is one short message.
type Part struct {
	UserData []byte       // for short_message: header, if any, and content
	Header   int          // octets of UserData that are header
	ESMClass pdu.ESMClass // bits to set: pdu.ESMUDHI or none
	TLVs     pdu.TLVs     // to add: SAR parameters, or more_messages_to_send for UDH parts
	Seq      int          // from 1
	Total    int
}

// Content is the user data without header.
func (p Part) Content() []byte { return p.UserData[p.Header:] }

// Parts is a message cut in pieces.
type Parts struct {
	List      []Part
	Truncated bool // content was left out because of MaxParts
	Dropped   int  // octets of content left out
}

// Errors of Split.
var (
	ErrTooManyParts = errors.New("content needs too many parts")
	ErrTables       = errors.New("national tables are for the GSM alphabet only")
)

// Capacity is the number of octets of content in a message that stands alone and
// in each part of a long one (3GPP TS 23.040 §9.2.3.24, §9.2.3.24.1).
//
// Alone: 160 septets, one per octet, for the GSM alphabet and IA5, 140 octets for
// others. In parts: 153 or 134, with a 16-bit reference number 152 or 133, even
// (132) for two-octet codings. National tables take their header from all of them.
//
// Jasmin: SAR parts are as small as UDH ones with an 8-bit reference number, since
// the SMSC turns them into these.
func (o Options) Capacity(coding pdu.DataCoding) (alone, part int) {
	shift := 0
	if AlphabetOf(coding) == GSM {
		shift = o.Tables.octets()
	}
	header := concat8Octets
	if o.Method == UDH && o.Wide {
		header = concat16Octets
	}
	alone, part = room(shift, coding), room(shift+header, coding)
	if o.Method == SAR { // only the tables are in our header; never above what they leave
		part = min(room(header, coding), alone)
	}
	return alone, part
}

// room is the capacity beside a header of n octets, its length octet not counted.
func room(n int, coding pdu.DataCoding) int {
	if n > 0 {
		n += headerLenOctet
	}
	if AlphabetOf(coding).septets() {
		return singleSeptets - (n*8+septetsPerGroup-1)/septetsPerGroup
	}
	left := singleOctets - n
	return left - left%unit(coding)
}

// The sizes of 3GPP TS 23.040 §9.2.3.24 that capacities follow from.
const (
	singleSeptets   = 160 // what 140 octets hold
	singleOctets    = 140 // TP-User-Data
	septetsPerGroup = 7   // seven octets of header take the room of eight septets
	headerLenOctet  = 1   // before the elements
	concat8Octets   = 5   // element ID, length, reference, total, sequence number
	concat16Octets  = 6
	maxParts        = 255 // total and sequence number have one octet
)

func (o Options) maxParts() int {
	if o.MaxParts < 1 || o.MaxParts > maxParts {
		return maxParts
	}
	return o.MaxParts
}

// Count is the number of short messages that Split makes of octets by default:
// UDH with an 8-bit reference number, up to 255 parts.
func Count(octets []byte, coding pdu.DataCoding) int { return Options{}.Count(octets, coding) }

// Count is the number of short messages that Split makes of octets. With Reject
// it can be above MaxParts: the number that would be needed.
func (o Options) Count(octets []byte, coding pdu.DataCoding) int {
	n := o.plan(octets, coding, nil)
	if limit := o.maxParts(); o.Overflow == Truncate && n > limit {
		return limit
	}
	return n
}

// plan is the one place where cuts are decided. It gives the number of parts that
// octets need and fills ends with where the first of them end; if content is to be
// truncated to one part, that one may be as long as a message that stands alone.
func (o Options) plan(octets []byte, coding pdu.DataCoding, ends []int) (n int) {
	alone, size := o.Capacity(coding)
	if len(octets) <= alone || o.maxParts() == 1 && o.Overflow == Truncate {
		size = alone
	}
	c := cutter{alphabet: AlphabetOf(coding), octets: octets}
	for pos := 0; pos < len(octets) || n == 0; n++ {
		pos = c.next(pos, size)
		if n < len(ends) {
			ends[n] = pos
		}
	}
	return n
}

// Split cuts encoded content into the user data of one or more short messages.
//
// Content that fits in one (Capacity) is one Part without concatenation, and its
// UserData is octets itself unless national tables need a header; SAR parts share
// memory with octets too. No escape sequence of the GSM alphabet, UTF-16 code unit,
// surrogate pair, two-octet character or ISO-2022-JP shift sequence is cut in two.
// The contents of the parts, one after the other, are octets.
//
// Jasmin: UDH parts carry more_messages_to_send (SMPP v3.4 §5.3.2.34), 1 in all
// but the last, which has 0. MaxParts 1 with Truncate gives a message that stands
// alone.
//
// Errors: ErrTooManyParts past MaxParts with Reject; ErrTables.
func Split(octets []byte, coding pdu.DataCoding, o Options) (Parts, error) {
	if o.Tables.octets() > 0 && AlphabetOf(coding) != GSM {
		return Parts{}, fmt.Errorf("%w: data_coding %d is %s", ErrTables, coding, AlphabetOf(coding))
	}
	var ends [maxParts]int
	needed := o.plan(octets, coding, ends[:])
	total := min(needed, o.maxParts())
	if needed > total && o.Overflow == Reject {
		return Parts{}, fmt.Errorf("%w: %d octets need %d, at most %d", ErrTooManyParts, len(octets), needed, total)
	}
	kept := ends[total-1]
	parts := Parts{List: make([]Part, total), Truncated: needed > total, Dropped: len(octets) - kept}
	w := partWriter{options: o, total: total, shift: o.Tables.octets()}
	w.reserve(kept)
	start := 0
	for i := range parts.List {
		w.write(&parts.List[i], octets[start:ends[i]:ends[i]], i+1)
		start = ends[i]
	}
	return parts, nil
}

// SplitText is EncodeTables and Split in one, with the tables of the options.
//
// Errors: of both.
func SplitText(text string, coding pdu.DataCoding, policy Policy, o Options) (Parts, error) {
	octets, err := EncodeTables(text, coding, o.Tables, policy)
	if err != nil {
		return Parts{}, err
	}
	return Split(octets, coding, o)
}

// partWriter makes parts out of few allocations: one for all user data and TLV
// values, one for all TLVs.
type partWriter struct {
	options Options
	total   int
	shift   int // octets of the national tables' header elements
	buf     []byte
	tlvs    pdu.TLVs
}

// header is the size of each part's header, its length octet included.
func (w *partWriter) header() int {
	n := w.shift
	if w.total > 1 && w.options.Method == UDH {
		n += concat8Octets
		if w.options.Wide {
			n += concat16Octets - concat8Octets
		}
	}
	if n > 0 {
		n += headerLenOctet
	}
	return n
}

func (w *partWriter) reserve(content int) {
	size, header := 0, w.header()
	if header > 0 {
		size = content + w.total*header
	}
	if w.total > 1 {
		perPart := 1
		if w.options.Method == SAR {
			perPart = 3
		}
		size += w.total * (perPart + 1) // sar_msg_ref_num has two octets
		w.tlvs = make(pdu.TLVs, 0, w.total*perPart)
	}
	w.buf = make([]byte, 0, size)
}

// write fills p with the content of part seq.
func (w *partWriter) write(p *Part, content []byte, seq int) {
	p.Seq, p.Total, p.UserData = seq, w.total, content
	if p.Header = w.header(); p.Header > 0 {
		p.ESMClass = pdu.ESMUDHI
		start := len(w.buf)
		w.buf = append(w.buf, byte(p.Header-headerLenOctet))
		if w.total > 1 && w.options.Method == UDH {
			ref := w.options.Reference
			if w.options.Wide {
				w.buf = append(w.buf, ElementConcat16, 4, byte(ref>>8), byte(ref), byte(w.total), byte(seq))
			} else {
				w.buf = append(w.buf, ElementConcat8, 3, byte(ref), byte(w.total), byte(seq))
			}
		}
		if w.shift > 0 {
			for _, e := range w.options.Tables.Elements() {
				w.buf = append(append(w.buf, e.ID, byte(len(e.Data))), e.Data...)
			}
		}
		w.buf = append(w.buf, content...)
		p.UserData = w.buf[start:len(w.buf):len(w.buf)]
	}
	if w.total == 1 {
		return
	}
	start := len(w.tlvs)
	if w.options.Method == SAR {
		ref := w.options.Reference
		w.tlv(pdu.TagSARMsgRefNum, byte(ref>>8), byte(ref))
		w.tlv(pdu.TagSARTotalSegments, byte(w.total))
		w.tlv(pdu.TagSARSegmentSeqnum, byte(seq))
	} else if seq < w.total {
		w.tlv(pdu.TagMoreMessagesToSend, 1)
	} else {
		w.tlv(pdu.TagMoreMessagesToSend, 0)
	}
	p.TLVs = w.tlvs[start:len(w.tlvs):len(w.tlvs)]
}

func (w *partWriter) tlv(tag pdu.Tag, value ...byte) {
	start := len(w.buf)
	w.buf = append(w.buf, value...)
	w.tlvs = append(w.tlvs, pdu.TLV{Tag: tag, Value: w.buf[start:len(w.buf):len(w.buf)]})
}
