package sms

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"jasmind/internal/smpp/pdu"
)

// The types of custom TLVs: unsigned numbers of 1 to 8 octets, octets, and octets with a
// terminating NUL.
const (
	TLVInt1    = "Int1"
	TLVInt2    = "Int2"
	TLVInt4    = "Int4"
	TLVInt8    = "Int8"
	TLVOctets  = "OctetString"
	TLVCOctets = "COctetString"
)

// TLVTypes lists the types in the order in which messages name them.
var TLVTypes = []string{TLVInt1, TLVInt2, TLVInt4, TLVInt8, TLVOctets, TLVCOctets}

// The tags that vendors define for themselves (SMPP v3.4 §5.3.1).
const (
	VendorTagMin pdu.Tag = 0x1400
	VendorTagMax pdu.Tag = 0x3FFF
)

// The limits of the vendor's parameters of one message.
const (
	MaxCustomTLVs      = 256
	MaxCustomTLVOctets = 16 << 10 // tags and lengths included
)

// CustomTLV is an optional parameter of a vendor, not encoded yet: its type may still have to
// be found in the connector's rules.
type CustomTLV struct {
	Tag    pdu.Tag
	Length int    // as the sender declared it, -1 when he did not
	Type   string // one of TLVTypes, or "" when it is not known yet
	// Value is []byte, string, int64, or uint64 for what int64 does not hold.
	Value any
}

// IntSize is the number of octets of a number's type, 0 for the other types.
func IntSize(kind string) int {
	switch kind {
	case TLVInt1, TLVInt2, TLVInt4, TLVInt8:
		return int(kind[3] - '0')
	}
	return 0
}

// Encode gives the TLV of the wire. An empty Type stands for OctetString. Texts are written
// in UTF-8. Numbers in a text are taken for the Int types, in decimal or behind 0x in
// hexadecimal, and numbers are written in decimal for the strings. Errors name tag, type and value.
func (t CustomTLV) Encode() (pdu.TLV, error) {
	out := pdu.TLV{Tag: t.Tag}
	fault := func(why string) (pdu.TLV, error) {
		return pdu.TLV{}, fmt.Errorf("custom TLV %s of type %s: invalid value %q, %s", TagText(t.Tag), orOctets(t.Type), clip(fmt.Sprint(t.Value)), why)
	}
	size := IntSize(t.Type)
	switch {
	case size > 0:
		if b, ok := t.Value.([]byte); ok && len(b) == size {
			out.Value = slices.Clone(b) // as it was received
			break
		}
		n, ok := t.number()
		if !ok || size < 8 && n>>(8*size) != 0 {
			return fault("must be a number of " + strconv.Itoa(size) + " octets")
		}
		out.Value = binary.BigEndian.AppendUint64(nil, n)[8-size:]
	case t.Type == "" || t.Type == TLVOctets || t.Type == TLVCOctets:
		switch v := t.Value.(type) {
		case []byte:
			out.Value = slices.Clone(v)
		case string:
			out.Value = []byte(v)
		case int64, uint64:
			out.Value = fmt.Append(nil, v)
		default:
			return fault("must be octets, a text or a number")
		}
		if t.Type == TLVCOctets && (len(out.Value) == 0 || out.Value[len(out.Value)-1] != 0) {
			out.Value = append(out.Value, 0)
		}
	default:
		return fault("must be of type Int1, Int2, Int4, Int8, OctetString or COctetString")
	}
	if len(out.Value) > math.MaxUint16 {
		return pdu.TLV{}, fmt.Errorf("custom TLV %s: %d octets are more than %d", TagText(t.Tag), len(out.Value), math.MaxUint16)
	}
	return out, nil
}

func (t CustomTLV) number() (uint64, bool) {
	text := ""
	switch v := t.Value.(type) {
	case int64:
		return uint64(v), v >= 0
	case uint64:
		return v, true
	case string:
		text = v
	case []byte:
		text = string(v)
	}
	if digits, ok := cutHex(text); ok {
		n, err := strconv.ParseUint(digits, 16, 64)
		return n, err == nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	return n, err == nil
}

func cutHex(s string) (digits string, ok bool) {
	if len(s) > 2 && s[0] == '0' && s[1]|0x20 == 'x' {
		return s[2:], true
	}
	return s, false
}

func orOctets(kind string) string {
	if kind == "" {
		return TLVOctets
	}
	return clip(kind)
}

func clip(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}

// TagText is a tag as rules and requests spell it: 0x1401.
func TagText(t pdu.Tag) string { return fmt.Sprintf("0x%04X", uint16(t)) }

// ParseVendorTag reads a vendor's tag, in hexadecimal behind 0x or in decimal.
func ParseVendorTag(text string) (pdu.Tag, error) {
	digits, hexed := cutHex(text)
	base := 10
	if hexed {
		base = 16
	}
	n, err := strconv.ParseUint(digits, base, 16)
	if err != nil {
		return 0, fmt.Errorf("tag %q is no number, must be hexadecimal as in 0x1400, or decimal", clip(text))
	}
	if t := pdu.Tag(n); t < VendorTagMin || t > VendorTagMax {
		return 0, fmt.Errorf("tag %q is not in %s to %s", clip(text), TagText(VendorTagMin), TagText(VendorTagMax))
	}
	return pdu.Tag(n), nil
}

// ParseCustomTLVs reads the parameter custom_tlvs of a request: a JSON object whose names are
// tags with an optional type, as in
//
//	{"0x1400": "17071672", "0x1401:Int4": 7}
//
// or (Jasmin's older form) an array of [tag, length, type, value]. Values are texts and whole
// numbers. Null and nothing give no TLVs. Errors name what is wrong and are safe to show.
func ParseCustomTLVs(document []byte) ([]CustomTLV, error) {
	if !utf8.Valid(document) { // the decoder would put other characters in the place of what is wrong
		return nil, errors.New("it is not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(document))
	dec.UseNumber()
	first, err := dec.Token()
	switch {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, notJSON(err)
	}
	var out []CustomTLV
	switch first {
	case nil:
	case json.Delim('{'):
		out, err = readTLVObject(dec)
	case json.Delim('['):
		out, err = readTLVArray(dec)
	default:
		return nil, errors.New("must be a JSON object of tags and values")
	}
	if err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the JSON object")
	}
	return out, nil
}

func notJSON(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("is not valid JSON: it ends too early")
	}
	return fmt.Errorf("is not valid JSON: %w", err)
}

// add appends t unless its tag is there already.
func addTLV(list []CustomTLV, t CustomTLV) ([]CustomTLV, error) {
	if len(list) == MaxCustomTLVs {
		return nil, fmt.Errorf("there are more than %d tags", MaxCustomTLVs)
	}
	for i := range list {
		if list[i].Tag == t.Tag {
			return nil, fmt.Errorf("tag %s is there twice", TagText(t.Tag))
		}
	}
	return append(list, t), nil
}

func readTLVObject(dec *json.Decoder) (out []CustomTLV, err error) {
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, notJSON(err)
		}
		t := CustomTLV{Length: -1}
		tag, kind, typed := strings.Cut(name.(string), ":") // the names of an object are strings
		if t.Tag, err = ParseVendorTag(strings.TrimSpace(tag)); err != nil {
			return nil, err
		}
		if typed {
			if t.Type, err = parseTLVType(t.Tag, strings.TrimSpace(kind)); err != nil {
				return nil, err
			}
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, notJSON(err)
		}
		if t.Value, err = tlvValue(t.Tag, value); err != nil {
			return nil, err
		}
		if out, err = addTLV(out, t); err != nil {
			return nil, err
		}
	}
	_, err = dec.Token()
	if err != nil {
		return nil, notJSON(err)
	}
	return out, nil
}

func readTLVArray(dec *json.Decoder) (out []CustomTLV, err error) {
	for dec.More() {
		var entry json.RawMessage
		if err := dec.Decode(&entry); err != nil {
			return nil, notJSON(err)
		}
		var fields []json.RawMessage
		if json.Unmarshal(entry, &fields) != nil || len(fields) != 4 {
			return nil, fmt.Errorf("entry %d must be [tag, length, type, value]", len(out)+1)
		}
		t := CustomTLV{Length: -1}
		if t.Tag, err = ParseVendorTag(strings.Trim(string(fields[0]), `"`)); err != nil {
			return nil, err
		}
		var length *uint16
		if err := json.Unmarshal(fields[1], &length); err != nil {
			return nil, fmt.Errorf("tag %s: the length must be null or a number of octets", TagText(t.Tag))
		}
		if length != nil {
			t.Length = int(*length)
		}
		var kind *string
		if err := json.Unmarshal(fields[2], &kind); err != nil {
			return nil, fmt.Errorf("tag %s: the type must be null or a text", TagText(t.Tag))
		}
		if kind != nil {
			if t.Type, err = parseTLVType(t.Tag, *kind); err != nil {
				return nil, err
			}
		}
		if t.Value, err = tlvValue(t.Tag, fields[3]); err != nil {
			return nil, err
		}
		if out, err = addTLV(out, t); err != nil {
			return nil, err
		}
	}
	if _, err = dec.Token(); err != nil {
		return nil, notJSON(err)
	}
	return out, nil
}

func parseTLVType(tag pdu.Tag, kind string) (string, error) {
	if !slices.Contains(TLVTypes, kind) {
		return "", fmt.Errorf("tag %s: type %q is none of %s", TagText(tag), clip(kind), strings.Join(TLVTypes, ", "))
	}
	return kind, nil
}

// tlvValue reads a text or a whole number. One that no number of 8 octets holds stays its digits.
func tlvValue(tag pdu.Tag, raw json.RawMessage) (any, error) {
	digits := string(raw)
	if raw[0] == '"' {
		var s string
		err := json.Unmarshal(raw, &s)
		return s, err
	}
	if n, err := strconv.ParseInt(digits, 10, 64); err == nil {
		return n, nil
	}
	if n, err := strconv.ParseUint(digits, 10, 64); err == nil {
		return n, nil
	}
	if strings.Trim(digits, "0123456789") != "" {
		return nil, fmt.Errorf("tag %s: value %s must be a text or a whole number", TagText(tag), clip(digits))
	}
	return digits, nil
}

// VendorTLVs gives those of a received message that have a vendor's tag, as scripts see them;
// the values are shared with tlvs.
func VendorTLVs(tlvs pdu.TLVs) []CustomTLV {
	var out []CustomTLV
	for _, t := range tlvs {
		if t.Tag >= VendorTagMin && t.Tag <= VendorTagMax {
			out = append(out, CustomTLV{Tag: t.Tag, Length: len(t.Value), Type: TLVOctets, Value: t.Value})
		}
	}
	return out
}

// As reads a received parameter as a value of a type: Int types are numbers, a COctetString is its text
// without the NUL. Octets that are no such value stay an OctetString, as does what is none yet.
func (t CustomTLV) As(kind string) CustomTLV {
	octets, ok := t.Value.([]byte)
	if !ok {
		return t
	}
	switch size := IntSize(kind); {
	case size > 0 && len(octets) == size:
		var n uint64
		for _, o := range octets {
			n = n<<8 | uint64(o)
		}
		t.Type, t.Value = kind, n
	case kind == TLVCOctets && len(octets) > 0 && bytes.IndexByte(octets, 0) == len(octets)-1 && utf8.Valid(octets):
		t.Type, t.Value = kind, string(octets[:len(octets)-1])
	}
	return t
}

// CustomTLVsJSON writes custom TLVs as the callbacks of received messages carry them: an array
// of objects with tag, length, type and value, octets in hexadecimal (Jasmin).
func CustomTLVsJSON(tlvs []CustomTLV) string {
	type entry struct {
		Tag    uint16  `json:"tag"`
		Length *int    `json:"length"`
		Type   *string `json:"type"`
		Value  any     `json:"value"`
	}
	out := make([]entry, len(tlvs))
	for i, t := range tlvs {
		out[i] = entry{Tag: uint16(t.Tag), Value: t.Value}
		if t.Length >= 0 {
			out[i].Length = &t.Length
		}
		if t.Type != "" {
			out[i].Type = &t.Type
		}
		if b, ok := t.Value.([]byte); ok {
			out[i].Value = hex.EncodeToString(b)
		}
	}
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(out) // numbers and strings always can be
	return strings.TrimSuffix(b.String(), "\n")
}
