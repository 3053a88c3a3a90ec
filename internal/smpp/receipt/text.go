package receipt

import (
	"bytes"
	"encoding/binary"
	"strings"
	"unicode/utf16"

	"jasmind/internal/smpp/pdu"
)

// field is a place in the standard text of a receipt.
type field int

const (
	fieldID field = iota
	fieldSub
	fieldDlvrd
	fieldSubmitDate
	fieldDoneDate
	fieldStat
	fieldErr
	fieldText
	fieldCount
	fieldNone field = -1
)

// userText is the text part of a message: short_message or message_payload,
// without a user data header.
func userText(esm pdu.ESMClass, short []byte, tlvs pdu.TLVs) []byte {
	text := short
	if len(text) == 0 {
		text, _ = tlvs.Get(pdu.TagMessagePayload)
	}
	if esm&pdu.ESMUDHI != 0 && len(text) > 0 {
		if n := 1 + int(text[0]); n <= len(text) {
			text = text[n:]
		}
	}
	return text
}

// mayBeReceipt is a quick no for ordinary messages: a receipt's text has a few
// colons. In UCS2 each colon is an octet, too.
func mayBeReceipt(text []byte) bool { return bytes.Count(text, []byte{':'}) >= 3 }

// decode makes a string of the text. data_coding is no help: vendors leave it 0
// for UCS2, or set 8 for plain text. The first letters of a receipt are
// ASCII, so the zeros tell.
func decode(text []byte) string {
	if len(text) < 4 {
		return string(text)
	}
	var order binary.ByteOrder
	switch {
	case text[0] == 0xFE && text[1] == 0xFF, text[0] == 0 && text[2] == 0:
		order = binary.BigEndian
	case text[0] == 0xFF && text[1] == 0xFE, text[1] == 0 && text[3] == 0:
		order = binary.LittleEndian
	default:
		return string(text)
	}
	units := make([]uint16, 0, len(text)/2)
	for i := 0; i+1 < len(text); i += 2 {
		if u := order.Uint16(text[i:]); u != 0xFEFF {
			units = append(units, u)
		}
	}
	return string(utf16.Decode(units))
}

// scan finds the fields in the text, in any order; the first of a kind counts. A
// field is a known word, a colon, and all up to the next field. When id (unless
// haveID says that a TLV has it) and stat are known, what follows text: belongs
// to the message: its colons mean nothing.
func scan(s string, haveID bool) (f [fieldCount]string) {
	var seen [fieldCount]bool
	current, start := fieldNone, 0
	for i := 0; i < len(s); i++ {
		n := strings.IndexByte(s[i:], ':')
		if n < 0 {
			break
		}
		i += n
		key, at := keyBefore(s, i)
		if key == fieldNone || at < start || seen[key] {
			continue
		}
		if key == fieldID && current == fieldText && haveID {
			continue
		}
		if current != fieldNone {
			f[current] = value(current, s[start:at])
		}
		current, start, seen[key] = key, i+1, true
		if key == fieldText && seen[fieldStat] && (haveID || seen[fieldID]) {
			break
		}
	}
	if current != fieldNone {
		f[current] = value(current, s[start:])
	}
	return f
}

// keyBefore is the field whose name ends before the colon at i, and where the name begins.
func keyBefore(s string, i int) (field, int) {
	word, at := wordBefore(s, i)
	if key := keyOf(word); key != fieldNone {
		return key, at
	}
	if strings.EqualFold(word, "date") {
		first, at := wordBefore(s, at)
		switch {
		case strings.EqualFold(first, "submit"), strings.EqualFold(first, "sub"):
			return fieldSubmitDate, at
		case strings.EqualFold(first, "done"):
			return fieldDoneDate, at
		}
	}
	return fieldNone, 0
}

// keyOf knows the names of fields that are one word.
func keyOf(word string) field {
	switch len(word) {
	case 2:
		if strings.EqualFold(word, "id") {
			return fieldID
		}
	case 3:
		if strings.EqualFold(word, "sub") {
			return fieldSub
		}
		if strings.EqualFold(word, "err") {
			return fieldErr
		}
	case 4:
		if strings.EqualFold(word, "stat") {
			return fieldStat
		}
		if strings.EqualFold(word, "text") {
			return fieldText
		}
	case 5:
		if strings.EqualFold(word, "dlvrd") {
			return fieldDlvrd
		}
		if strings.EqualFold(word, "msgid") {
			return fieldID
		}
		if strings.EqualFold(word, "error") {
			return fieldErr
		}
	case 6:
		if strings.EqualFold(word, "status") {
			return fieldStat
		}
	case 8:
		if strings.EqualFold(word, "donedate") {
			return fieldDoneDate
		}
	case 9:
		if strings.EqualFold(word, "done_date") {
			return fieldDoneDate
		}
	case 10:
		if strings.EqualFold(word, "submitdate") {
			return fieldSubmitDate
		}
		if strings.EqualFold(word, "message_id") {
			return fieldID
		}
	case 11:
		if strings.EqualFold(word, "submit_date") {
			return fieldSubmitDate
		}
	}
	return fieldNone
}

// wordBefore is the run of letters and underscores that ends before i, spaces
// left out, and where it begins.
func wordBefore(s string, i int) (string, int) {
	end := i
	for end > 0 && isSpace(s[end-1]) {
		end--
	}
	start := end
	for start > 0 && isLetter(s[start-1]) {
		start--
	}
	return s[start:end], start
}

func isSpace(c byte) bool  { return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == 0 }
func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' }

// value cleans what stands after the colon: dates and text may have several
// words, all else has one, perhaps in quotes.
func value(key field, s string) string {
	if key == fieldText {
		return strings.TrimRight(strings.TrimLeft(s, " "), "\x00")
	}
	s = strings.Trim(s, " \t\r\n\x00,;|")
	if len(s) > 1 && (s[0] == '"' || s[0] == '\'') {
		if end := strings.IndexByte(s[1:], s[0]); end >= 0 {
			return strings.TrimSpace(s[1 : 1+end])
		}
	}
	if key == fieldSubmitDate || key == fieldDoneDate {
		return s
	}
	if end := strings.IndexAny(s, " \t\r\n\x00"); end >= 0 {
		s = s[:end]
	}
	return strings.TrimRight(s, ",;|\"'")
}
