package smstext

import (
	"strings"
	"sync/atomic"
	"unicode/utf8"
)

// The entries of an encoder: the septet in the low seven bits and which table it
// is in. 0 means that no table has the character.
const (
	inMain = 0x080
	inExt  = 0x100
)

type encoderPage [256]uint16

// encoder maps a character to its septet by array look-ups only. Runes above
// 0xFFFF are in no table.
type encoder struct {
	ascii [utf8.RuneSelf]uint16
	pages [256]*encoderPage
}

func (e *encoder) set(r rune, entry uint16) {
	p := e.pages[r>>8]
	if p == nil {
		p = new(encoderPage)
		e.pages[r>>8] = p
	}
	if p[r&0xFF] != 0 { // the main table first, then the lowest septet
		return
	}
	p[r&0xFF] = entry
	if r < utf8.RuneSelf {
		e.ascii[r] = entry
	}
}

func (e *encoder) find(r rune) uint16 {
	if uint32(r) > 0xFFFF {
		return 0
	}
	if p := e.pages[r>>8]; p != nil {
		return p[r&0xFF]
	}
	return 0
}

func newEncoder(t Tables) *encoder {
	e := new(encoder)
	for septet, r := range locking[t.Locking] {
		if r != 0 {
			e.set(r, inMain|uint16(septet))
		}
	}
	for septet, r := range single[t.Single] {
		if r != 0 {
			e.set(r, inExt|uint16(septet))
		}
	}
	return e
}

var defaultEncoder = newEncoder(Tables{})

// encoders are made when first asked for; two goroutines may make the same one.
var encoders [languages][languages]atomic.Pointer[encoder]

func encoderOf(t Tables) *encoder {
	if t == (Tables{}) {
		return defaultEncoder
	}
	slot := &encoders[t.Locking][t.Single]
	e := slot.Load()
	if e == nil {
		e = newEncoder(t)
		slot.Store(e)
	}
	return e
}

// encodeGSM appends text as septets; bad is the offset of the first character
// that has none, or -1. With replace it is always -1.
func encodeGSM(dst []byte, text string, t Tables, replace bool) (out []byte, bad int) {
	e := encoderOf(t)
	for i := 0; i < len(text); {
		var entry uint16
		size := 1
		if c := text[i]; c < utf8.RuneSelf {
			entry = e.ascii[c]
		} else {
			var r rune
			r, size = utf8.DecodeRuneInString(text[i:])
			entry = e.find(r)
		}
		switch {
		case entry&inExt != 0:
			dst = append(dst, escape, byte(entry&0x7F))
		case entry != 0:
			dst = append(dst, byte(entry&0x7F))
		case replace:
			dst = append(dst, '?') // in every main table at its ASCII place
		default:
			return dst, i
		}
		i += size
	}
	return dst, -1
}

// decodeGSM never fails: an octet that is no septet or has no character becomes
// U+FFFD; an escaped septet that the extension lacks is read from the main table,
// and a doubled or a last escape is a space (3GPP TS 23.038 §6.2.1.1).
func decodeGSM(octets []byte, t Tables) string {
	main, ext := &locking[t.Locking], &single[t.Single]
	var b strings.Builder
	b.Grow(len(octets))
	escaped := false
	for _, c := range octets {
		if c >= utf8.RuneSelf {
			if escaped {
				b.WriteByte(' ')
				escaped = false
			}
			b.WriteRune(utf8.RuneError)
			continue
		}
		if c == escape {
			if escaped {
				b.WriteByte(' ')
			}
			escaped = !escaped
			continue
		}
		r := main[c]
		if escaped && ext[c] != 0 {
			r = ext[c]
		}
		escaped = false
		if r == 0 {
			r = utf8.RuneError
		}
		b.WriteRune(r)
	}
	if escaped {
		b.WriteByte(' ')
	}
	return b.String()
}
