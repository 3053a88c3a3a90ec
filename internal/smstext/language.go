package smstext

import (
	"fmt"
	"strings"
)

// Language is a National Language Identifier (3GPP TS 23.038 §6.2.1.2.4). The
// zero value means the default alphabet.
type Language uint8

// The languages that have national tables.
const (
	NoLanguage Language = iota
	Turkish
	Spanish // single shift only
	Portuguese
	Bengali
	Gujarati
	Hindi
	Kannada
	Malayalam
	Oriya
	Punjabi
	Tamil
	Telugu
	Urdu

	languages // how many there are, NoLanguage included
)

var languageNames = [languages]string{"none", "turkish", "spanish", "portuguese", "bengali", "gujarati", "hindi",
	"kannada", "malayalam", "oriya", "punjabi", "tamil", "telugu", "urdu"}

// String is the language's English name in lower case.
func (l Language) String() string {
	if l < languages {
		return languageNames[l]
	}
	return fmt.Sprintf("language %d", uint8(l))
}

// ParseLanguage is the inverse of String; case does not matter.
func ParseLanguage(name string) (Language, error) {
	for i, n := range languageNames {
		if strings.EqualFold(n, name) {
			return Language(i), nil
		}
	}
	return NoLanguage, fmt.Errorf("language %q has no national tables", name)
}

// Tables says which national tables a GSM 7-bit text uses: Locking replaces the
// default alphabet, Single the default extension table. The zero value is the
// default alphabet with its extension table.
//
// What was written with tables can only be read by a phone that knows them, and
// only with the user data header elements that name them (3GPP TS 23.040
// §9.2.3.24.15 and §9.2.3.24.16); Split adds these.
type Tables struct {
	Locking Language
	Single  Language
}

// known drops languages that have no such table; a receiver falls back to the
// default alphabet then (3GPP TS 23.038 §6.2.1.2.2 and §6.2.1.2.3).
func (t Tables) known() Tables {
	if t.Locking >= languages || t.Locking == Spanish {
		t.Locking = NoLanguage
	}
	if t.Single >= languages {
		t.Single = NoLanguage
	}
	return t
}

// Elements are the header elements that announce the tables; nil if there are none.
func (t Tables) Elements() Header {
	t = t.known()
	var h Header
	if t.Locking != NoLanguage {
		h = append(h, Element{ElementLockingShift, []byte{byte(t.Locking)}})
	}
	if t.Single != NoLanguage {
		h = append(h, Element{ElementSingleShift, []byte{byte(t.Single)}})
	}
	return h
}

// octets is the length of Elements in a header.
func (t Tables) octets() int {
	t, n := t.known(), 0
	if t.Locking != NoLanguage {
		n += 3
	}
	if t.Single != NoLanguage {
		n += 3
	}
	return n
}
