package smstext

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"

	"jasmind/internal/smpp/pdu"
)

// Decode turns the octets of any data_coding into UTF-8 text, without header.
//
// It never fails: octets without meaning become U+FFFD. Two vendor habits are
// served: octets above 0x7F in an IA5 text are read as ISO-8859-1, and octets
// without an alphabet (codings 2, 4, 9 and the 8-bit ones of 3GPP TS 23.038) are
// taken for UTF-8 where they are, else one character per octet, as ISO-8859-1.
func Decode(octets []byte, coding pdu.DataCoding) string {
	return DecodeTables(octets, coding, Tables{})
}

// DecodeTables is Decode with national tables, which only the GSM alphabet uses;
// those of a received message are in its header: Header.Tables.
func DecodeTables(octets []byte, coding pdu.DataCoding, tables Tables) string {
	switch alphabet := AlphabetOf(coding); alphabet {
	case GSM:
		return decodeGSM(octets, tables.known())
	case IA5, Latin1:
		return decodeLatin1(octets)
	case Octets:
		if utf8.Valid(octets) {
			return string(octets)
		}
		return decodeLatin1(octets)
	case UCS2:
		return decodeUCS2(octets)
	case Cyrillic:
		return decodeCharmap(octets, charmap.ISO8859_5)
	case Hebrew:
		return decodeCharmap(octets, charmap.ISO8859_8)
	default:
		text, err := multibyte(alphabet).NewDecoder().Bytes(octets)
		if err != nil { // the decoders replace what they cannot read; kept for one that might not
			text = append(text, string(utf8.RuneError)...)
		}
		return strings.ToValidUTF8(string(text), string(utf8.RuneError))
	}
}

func decodeLatin1(octets []byte) string {
	var b strings.Builder
	b.Grow(len(octets))
	for _, c := range octets {
		b.WriteRune(rune(c))
	}
	return b.String()
}

func decodeCharmap(octets []byte, m *charmap.Charmap) string {
	var b strings.Builder
	b.Grow(len(octets))
	for _, c := range octets {
		b.WriteRune(m.DecodeByte(c))
	}
	return b.String()
}

// ByteOrder is the order of the octets in a UTF-16 code unit.
type ByteOrder uint8

// The orders. UCS2 in short messages is big endian (3GPP TS 23.038 §6.2.3); the other is what some
// mobiles send all the same, behind a byte order mark.
const (
	BigEndian ByteOrder = iota
	LittleEndian
)

// CutByteOrderMark takes the byte order mark off octets in UCS2; marked is false, and order
// BigEndian, without one. The mark is no part of the text.
func CutByteOrderMark(octets []byte) (rest []byte, order ByteOrder, marked bool) {
	if len(octets) < 2 {
		return octets, BigEndian, false
	}
	switch [2]byte(octets) {
	case [2]byte{0xFE, 0xFF}:
		return octets[2:], BigEndian, true
	case [2]byte{0xFF, 0xFE}:
		return octets[2:], LittleEndian, true
	}
	return octets, BigEndian, false
}

// decodeUCS2 leaves out a byte order mark at the beginning and goes by it, and replaces a
// surrogate without its other half, and a last odd octet.
func decodeUCS2(octets []byte) string {
	octets, order, _ := CutByteOrderMark(octets)
	high, low := 0, 1
	if order == LittleEndian {
		high, low = 1, 0
	}
	var b strings.Builder
	b.Grow(len(octets))
	for len(octets) >= 2 {
		r := rune(octets[high])<<8 | rune(octets[low])
		octets = octets[2:]
		if utf16.IsSurrogate(r) {
			full := rune(utf8.RuneError)
			if len(octets) >= 2 {
				full = utf16.DecodeRune(r, rune(octets[high])<<8|rune(octets[low]))
			}
			if r = full; r != utf8.RuneError {
				octets = octets[2:]
			}
		}
		b.WriteRune(r)
	}
	if len(octets) > 0 {
		b.WriteRune(utf8.RuneError)
	}
	return b.String()
}
