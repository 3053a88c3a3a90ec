package smstext

import "jasmind/internal/smpp/pdu"

// Alphabet is how the octets of a message stand for characters.
type Alphabet uint8

// The alphabets that data_coding values name.
const (
	GSM       Alphabet = iota // GSM 7-bit default alphabet, one septet per octet (3GPP TS 23.038 §6.2.1)
	IA5                       // ASCII
	Octets                    // 8-bit data of no alphabet
	Latin1                    // ISO-8859-1
	ShiftJIS                  // JIS X 0208, carried as Shift_JIS
	Cyrillic                  // ISO-8859-5
	Hebrew                    // ISO-8859-8
	UCS2                      // UTF-16, big endian
	ISO2022JP                 // ISO-2022-JP
	EUCJP                     // JIS X 0212, carried as EUC-JP
	EUCKR                     // KS C 5601, carried as EUC-KR
)

var alphabetNames = [...]string{"GSM 03.38", "IA5", "octets", "ISO-8859-1", "Shift_JIS", "ISO-8859-5",
	"ISO-8859-8", "UCS2", "ISO-2022-JP", "EUC-JP", "EUC-KR"}

// String is the alphabet's usual name.
func (a Alphabet) String() string {
	if int(a) < len(alphabetNames) {
		return alphabetNames[a]
	}
	return "unknown"
}

var alphabets = func() (all [256]Alphabet) {
	for i := range all {
		all[i] = alphabetOf(uint8(i))
	}
	return all
}()

// AlphabetOf says which alphabet a data_coding value means.
//
// 0x00 to 0x0E are those of SMPP v3.4 §5.2.19. All others are read as the data
// coding scheme of 3GPP TS 23.038 §4, which SMPP refers to for 0xC0 to 0xDF and
// 0xF0 to 0xFF and which peers use for the rest too. Values that are reserved
// mean the GSM default alphabet (3GPP TS 23.038 §4).
func AlphabetOf(coding pdu.DataCoding) Alphabet { return alphabets[coding] }

func alphabetOf(c uint8) Alphabet {
	switch pdu.DataCoding(c) {
	case pdu.CodingIA5:
		return IA5
	case pdu.CodingOctet, pdu.CodingOctet2, pdu.CodingPictogram:
		return Octets
	case pdu.CodingLatin1:
		return Latin1
	case pdu.CodingJIS:
		return ShiftJIS
	case pdu.CodingCyrillic:
		return Cyrillic
	case pdu.CodingHebrew:
		return Hebrew
	case pdu.CodingUCS2:
		return UCS2
	case pdu.CodingISO2022JP:
		return ISO2022JP
	case pdu.CodingJISX0212:
		return EUCJP
	case pdu.CodingKSC5601:
		return EUCKR
	}
	switch {
	case c < 0x10: // 0x00, and 0x0B, 0x0C, 0x0F, which are reserved
		return GSM
	case c < 0x80: // general data coding and automatic deletion groups
		if c&0x20 != 0 { // compressed (3GPP TS 23.042): opaque to us
			return Octets
		}
		switch c >> 2 & 3 {
		case 1:
			return Octets
		case 2:
			return UCS2
		}
		return GSM
	case c >= 0xF0: // data coding and message class
		if c&0x04 != 0 {
			return Octets
		}
		return GSM
	case c >= 0xE0: // message waiting, store message, UCS2
		return UCS2
	}
	return GSM // 0x80 to 0xBF reserved; 0xC0 to 0xDF message waiting
}

// septets reports whether a message holds 160 characters of seven bits rather
// than 140 octets.
func (a Alphabet) septets() bool { return a == GSM || a == IA5 }

// unit is the number of octets that a cut must be a multiple of.
//
// Jasmin: codings 2, 4, 5, 9, 13 and 14 are counted in units of two octets like
// UCS2: 70 alone, 67 or 66 in parts. TestCapacity pins it.
func unit(coding pdu.DataCoding) int {
	switch coding {
	case pdu.CodingOctet, pdu.CodingOctet2, pdu.CodingJIS, pdu.CodingPictogram, pdu.CodingJISX0212, pdu.CodingKSC5601:
		return 2
	}
	if AlphabetOf(coding) == UCS2 {
		return 2
	}
	return 1
}
