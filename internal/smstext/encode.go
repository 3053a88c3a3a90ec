package smstext

import (
	"errors"
	"fmt"
	"slices"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"

	"jasmind/internal/smpp/pdu"
)

// Policy says what Encode does with a character that the alphabet lacks.
type Policy uint8

// The policies of Encode.
const (
	Strict  Policy = iota // refuse the text
	Replace               // write a question mark instead
)

// ErrUnencodable is what every UnencodableError is.
var ErrUnencodable = errors.New("character is not in the alphabet")

// UnencodableError names the first character of a text that an alphabet lacks.
type UnencodableError struct {
	Rune     rune // U+FFFD where the text is not UTF-8
	Offset   int  // in octets from the start of the text
	Alphabet Alphabet
}

// Error names the character, its offset and the alphabet.
func (e *UnencodableError) Error() string {
	return fmt.Sprintf("character %q (%U) at offset %d is not in %s", e.Rune, e.Rune, e.Offset, e.Alphabet)
}

// Is makes errors.Is(err, ErrUnencodable) hold.
func (e *UnencodableError) Is(target error) bool { return target == ErrUnencodable }

// Encode turns UTF-8 text into the octets of a data_coding.
//
// The GSM alphabet gives one octet per septet, two for a character of the
// extension table; UCS2 gives UTF-16 with surrogates where needed; codings
// without an alphabet (2, 4, 9 and the 8-bit ones of 3GPP TS 23.038) give the
// text's own octets. Codings 5, 13 and 14 are carried as Shift_JIS, EUC-JP and
// EUC-KR, as their users expect; SMPP names only the character set.
//
// With Strict the error is an *UnencodableError; with Replace there is none.
func Encode(text string, coding pdu.DataCoding, policy Policy) ([]byte, error) {
	return EncodeTables(text, coding, Tables{}, policy)
}

// EncodeTables is Encode with national tables, which only the GSM alphabet uses.
func EncodeTables(text string, coding pdu.DataCoding, tables Tables, policy Policy) ([]byte, error) {
	alphabet, replace := AlphabetOf(coding), policy == Replace
	var out []byte
	bad := -1
	switch alphabet {
	case GSM:
		out, bad = encodeGSM(make([]byte, 0, len(text)), text, tables.known(), replace)
	case IA5:
		out, bad = encodeBelow(text, utf8.RuneSelf, replace)
	case Latin1:
		out, bad = encodeBelow(text, 0x100, replace)
	case Octets:
		out = []byte(text)
	case UCS2:
		out, bad = encodeUCS2(text, replace)
	case Cyrillic:
		out, bad = encodeCharmap(text, charmap.ISO8859_5, replace)
	case Hebrew:
		out, bad = encodeCharmap(text, charmap.ISO8859_8, replace)
	default:
		out, bad = encodeMultibyte(text, multibyte(alphabet), replace)
	}
	if bad >= 0 {
		r, _ := utf8.DecodeRuneInString(text[bad:])
		return nil, &UnencodableError{Rune: r, Offset: bad, Alphabet: alphabet}
	}
	return out, nil
}

// encodeBelow writes characters below limit, at most 0x100, as one octet each.
func encodeBelow(text string, limit rune, replace bool) (out []byte, bad int) {
	out = make([]byte, 0, len(text))
	for i, r := range text {
		switch {
		case r < limit:
			out = append(out, byte(r))
		case replace:
			out = append(out, '?')
		default:
			return nil, i
		}
	}
	return out, -1
}

func encodeUCS2(text string, replace bool) (out []byte, bad int) {
	out = make([]byte, 0, 2*len(text))
	for i := 0; i < len(text); {
		r, size := rune(text[i]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRuneInString(text[i:])
		}
		switch {
		case r == utf8.RuneError && size == 1:
			if !replace {
				return nil, i
			}
			out = append(out, 0, '?')
		case r > 0xFFFF:
			hi, lo := utf16.EncodeRune(r)
			out = append(out, byte(hi>>8), byte(hi), byte(lo>>8), byte(lo))
		default:
			out = append(out, byte(r>>8), byte(r))
		}
		i += size
	}
	return out, -1
}

func encodeCharmap(text string, m *charmap.Charmap, replace bool) (out []byte, bad int) {
	out = make([]byte, 0, len(text))
	for i, r := range text {
		c, ok := m.EncodeRune(r)
		switch {
		case ok && r != utf8.RuneError:
			out = append(out, c)
		case replace:
			out = append(out, '?')
		default:
			return nil, i
		}
	}
	return out, -1
}

func multibyte(a Alphabet) encoding.Encoding {
	switch a {
	case ShiftJIS:
		return japanese.ShiftJIS
	case EUCJP:
		return japanese.EUCJP
	case EUCKR:
		return korean.EUCKR
	}
	return japanese.ISO2022JP
}

// encodeMultibyte drives the encoder itself, character by character, since only
// then is it known where it stops, and the question mark goes through its shift
// state.
func encodeMultibyte(text string, enc encoding.Encoding, replace bool) (out []byte, bad int) {
	const most = 16 // octets that one character can need, shift sequences included
	tr := enc.NewEncoder().Transformer
	src := []byte(text)
	out = make([]byte, 0, 2*len(text)+most)
	write := func(char []byte, last bool) error {
		out = slices.Grow(out, most)
		n, _, err := tr.Transform(out[len(out):cap(out)], char, last)
		out = out[:len(out)+n]
		return err
	}
	for i := 0; i < len(src); {
		r, size := utf8.DecodeRune(src[i:])
		// An escape character would be read as the start of a shift sequence.
		ok := r != utf8.RuneError && r != escape && write(src[i:i+size], false) == nil
		if !ok {
			if !replace {
				return nil, i
			}
			_ = write([]byte{'?'}, false) // ASCII is in all of them
		}
		i += size
	}
	_ = write(nil, true) // back to ASCII, where there are shift states
	return out, -1
}
