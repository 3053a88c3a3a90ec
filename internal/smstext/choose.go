package smstext

import (
	"fmt"
	"strings"

	"jasmind/internal/smpp/pdu"
)

// Shift says which national tables of a language a text may use.
type Shift uint8

// The shifts.
const (
	ShiftAuto    Shift = iota // whichever carry the text in the fewest messages, none included
	ShiftSingle               // the single shift table
	ShiftLocking              // the locking shift table
	ShiftBoth                 // both
)

var shiftNames = [...]string{"auto", "single", "locking", "both"}

// String is the shift's name in requests and in the configuration.
func (s Shift) String() string {
	if int(s) < len(shiftNames) {
		return shiftNames[s]
	}
	return fmt.Sprintf("shift %d", uint8(s))
}

// National is a wish for national tables (3GPP TS 23.038 §6.2.1.2). The zero value is none.
type National struct {
	Language Language
	Shift    Shift
}

// isoLanguages are the languages' codes of ISO 639-1, in the order of Language.
var isoLanguages = [languages]string{"", "tr", "es", "pt", "bn", "gu", "hi", "kn", "ml", "or", "pa", "ta", "te", "ur"}

// ParseNational reads none, a language by its name or ISO 639-1 code, or one with the tables to
// be used behind a colon: turkish, tr:single, portuguese:locking, pt:both. The error says what
// may stand there.
func ParseNational(text string) (National, error) {
	name, shift, given := strings.Cut(text, ":")
	if strings.EqualFold(name, NoLanguage.String()) && !given {
		return National{}, nil
	}
	n := National{}
	for l := Turkish; l < languages; l++ {
		if strings.EqualFold(name, languageNames[l]) || strings.EqualFold(name, isoLanguages[l]) {
			n.Language = l
		}
	}
	if n.Language == NoLanguage {
		return National{}, fmt.Errorf("language %q has no national tables, must be none or one of %s", clip(name), strings.Join(languageNames[Turkish:], ", "))
	}
	if !given {
		return n, nil
	}
	for i, s := range shiftNames {
		if strings.EqualFold(shift, s) {
			n.Shift = Shift(i)
			if n.Language == Spanish && (n.Shift == ShiftLocking || n.Shift == ShiftBoth) {
				return National{}, fmt.Errorf("spanish has no locking shift table")
			}
			return n, nil
		}
	}
	return National{}, fmt.Errorf("tables %q of %s are none of %s", clip(shift), n.Language, strings.Join(shiftNames[:], ", "))
}

func clip(s string) string {
	const most = 32
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}

// String is the inverse of ParseNational.
func (n National) String() string {
	if n.Language == NoLanguage || n.Shift == ShiftAuto {
		return n.Language.String()
	}
	return n.Language.String() + ":" + n.Shift.String()
}

// tables lists the tables that a text may use, the simplest first.
func (n National) tables() []Tables {
	l := n.Language
	switch {
	case l == NoLanguage || l >= languages:
		return []Tables{{}}
	case n.Shift == ShiftSingle:
		return []Tables{{Single: l}}
	case n.Shift == ShiftLocking:
		return []Tables{{Locking: l}}
	case n.Shift == ShiftBoth:
		return []Tables{{Locking: l, Single: l}}
	case l == Spanish:
		return []Tables{{}, {Single: l}}
	}
	return []Tables{{}, {Single: l}, {Locking: l}, {Locking: l, Single: l}}
}

// Choice is a text as it was decided to encode it.
type Choice struct {
	Octets []byte
	Coding pdu.DataCoding
	Tables Tables // of the GSM alphabet
	Lost   int    // characters that became question marks
}

// EncodeNational encodes a text with a coding, and for the GSM alphabet with those of the wanted
// national tables that lose the fewest characters, of these the ones that need the fewest messages,
// of these the simplest: none, single shift, locking shift, both. What
// no table has becomes a question mark. Other alphabets have no national tables.
func EncodeNational(text string, coding pdu.DataCoding, n National, o Options) Choice {
	candidates := []Tables{{}}
	if AlphabetOf(coding) == GSM {
		candidates = n.tables()
	}
	var best Choice
	for i, t := range candidates {
		e := encodeCounting(text, coding, t)
		if i == 0 || e.Lost < best.Lost || e.Lost == best.Lost && e.count(o) < best.count(o) {
			best = e
		}
	}
	return best
}

// Choose encodes a text with the coding that carries all of it in the fewest messages; of
// several such codings with that which comes first. If none carries all of it, the one that
// loses least. The GSM alphabet may use the wanted national tables. codings must not be empty.
func Choose(text string, codings []pdu.DataCoding, n National, o Options) Choice {
	var best Choice
	for i, c := range codings {
		e := EncodeNational(text, c, n, o)
		if i == 0 || e.Lost < best.Lost || e.Lost == best.Lost && e.count(o) < best.count(o) {
			best = e
		}
	}
	return best
}

// count is the number of messages, whatever is to become of what exceeds the greatest number.
func (e Choice) count(o Options) int {
	o.Tables, o.MaxParts, o.Overflow = e.Tables, 0, Reject
	return o.Count(e.Octets, e.Coding)
}

// encodeCounting is EncodeTables with Replace that counts what is replaced.
func encodeCounting(text string, coding pdu.DataCoding, t Tables) Choice {
	e := Choice{Coding: coding, Tables: t.known()}
	octets, err := EncodeTables(text, coding, t, Strict)
	if err == nil {
		e.Octets = octets
		return e
	}
	e.Octets, _ = EncodeTables(text, coding, t, Replace) // there is no error with Replace
	for _, r := range text {
		if _, err := EncodeTables(string(r), coding, t, Strict); err != nil || r == '\uFFFD' {
			e.Lost++
		}
	}
	return e
}
