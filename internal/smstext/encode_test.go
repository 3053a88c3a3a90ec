package smstext

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"jasmind/internal/smpp/pdu"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatalf("hex in test: %v", err)
	}
	return b
}

func TestEncodeAndDecode(t *testing.T) {
	for _, c := range []struct {
		name   string
		text   string
		coding pdu.DataCoding
		octets string
	}{
		{"at sign is septet 0 in the default alphabet", "@", 0x00, "00"},
		{"é is septet 5 in the default alphabet", "café", 0x00, "63 61 66 05"},
		{"extension characters take two octets", "€[]{}|~^\\\f", 0x00, "1b65 1b3c 1b3e 1b28 1b29 1b40 1b3d 1b14 1b2f 1b0a"},
		{"capital C cedilla, not the small one, is in the default alphabet", "Ç", 0x00, "09"},
		{"IA5 is ASCII", "a@_", 0x01, "61 40 5f"},
		{"octets unspecified are the text's own", "é", 0x02, "c3 a9"},
		{"Latin 1 has one octet for é", "é@", 0x03, "e9 40"},
		{"octets unspecified, common, are the text's own", "é", 0x04, "c3 a9"},
		{"JIS is Shift_JIS", "日本a", 0x05, "93fa 967b 61"},
		{"Cyrillic is ISO-8859-5", "Привет", 0x06, "bf e0 d8 d2 d5 e2"},
		{"Hebrew is ISO-8859-8", "שלום", 0x07, "f9 ec e5 ed"},
		{"UCS2 of the documentation's Arabic example", "أرنب", 0x08, "0623 0631 0646 0628"},
		{"UCS2 carries what is beyond the basic plane as surrogates", "😀", 0x08, "d83d de00"},
		{"pictogram octets are the text's own", "é", 0x09, "c3 a9"},
		{"ISO-2022-JP shifts in and out", "a日b", 0x0A, "61 1b2442 467c 1b2842 62"},
		{"ISO-2022-JP ends in ASCII", "日", 0x0A, "1b2442 467c 1b2842"},
		{"Extended Kanji JIS is EUC-JP", "日", 0x0D, "c6fc"},
		{"KS C 5601 is EUC-KR", "한국", 0x0E, "c7d1 b1b9"},
		{"reserved 0x0B is the default alphabet", "@", 0x0B, "00"},
		{"general group, class 0, default alphabet", "@", 0x10, "00"},
		{"general group, 8-bit", "@", 0x04 | 0x10, "40"},
		{"general group, UCS2 class 0 flash", "@", 0x18, "0040"},
		{"compressed text is left alone", "@", 0x20, "40"},
		{"automatic deletion group, UCS2", "@", 0x48, "0040"},
		{"reserved group is the default alphabet", "@", 0x88, "00"},
		{"message waiting, discard", "@", 0xC8, "00"},
		{"message waiting, store", "@", 0xD0, "00"},
		{"message waiting, store, UCS2", "@", 0xE0, "0040"},
		{"message class group, default alphabet", "@", 0xF0, "00"},
		{"message class group, 8-bit", "@", 0xF5, "40"},
		{"no text is no octets", "", 0x08, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Encode(c.text, c.coding, Strict)
			if want := unhex(t, c.octets); err != nil || !bytes.Equal(got, want) {
				t.Errorf("Encode: got % x, %v; want % x", got, err, want)
			}
			if back := Decode(unhex(t, c.octets), c.coding); back != c.text {
				t.Errorf("Decode: got %q, want %q", back, c.text)
			}
		})
	}
}

func TestUnencodable(t *testing.T) {
	for _, c := range []struct {
		name     string
		text     string
		coding   pdu.DataCoding
		rune     rune
		offset   int
		replaced string
	}{
		{"Cyrillic is not in the default alphabet", "aЖb", 0x00, 'Ж', 1, "61 3f 62"},
		{"the escape code is no character", "a\x1bb", 0x00, 0x1B, 1, "61 3f 62"},
		{"grave accent is not in the default alphabet", "é`", 0x00, '`', 2, "05 3f"},
		{"octets that are no UTF-8", "a\xffb", 0x00, utf8.RuneError, 1, "61 3f 62"},
		{"é is not ASCII", "aé", 0x01, 'é', 1, "61 3f"},
		{"euro is not in Latin 1", "€1", 0x03, '€', 0, "3f 31"},
		{"Arabic is not in Shift_JIS", "日أ本", 0x05, 'أ', 3, "93fa 3f 967b"},
		{"é is not in ISO-8859-5", "Жé", 0x06, 'é', 2, "b6 3f"},
		{"Ж is not in ISO-8859-8", "שЖ", 0x07, 'Ж', 2, "f9 3f"},
		{"U+FFFD is not in ISO-8859-8", "\uFFFD", 0x07, utf8.RuneError, 0, "3f"},
		{"octets that are no UTF-8 in UCS2", "a\xff", 0x08, utf8.RuneError, 1, "0061 003f"},
		{"é is not in ISO-2022-JP, and the question mark is written in ASCII", "日é本", 0x0A, 'é', 3,
			"1b2442 467c 1b2842 3f 1b2442 4b5c 1b2842"},
		{"an escape would start a shift sequence in ISO-2022-JP", "a\x1b$B", 0x0A, 0x1B, 1, "61 3f 24 42"},
		{"octets that are no UTF-8 in EUC-KR", "\xc3", 0x0E, utf8.RuneError, 0, "3f"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Encode(c.text, c.coding, Strict)
			var u *UnencodableError
			if !errors.As(err, &u) || !errors.Is(err, ErrUnencodable) || got != nil {
				t.Fatalf("strict: got % x, %v", got, err)
			}
			if want := (UnencodableError{c.rune, c.offset, AlphabetOf(c.coding)}); *u != want {
				t.Errorf("strict: got %+v, want %+v", *u, want)
			}
			got, err = Encode(c.text, c.coding, Replace)
			if want := unhex(t, c.replaced); err != nil || !bytes.Equal(got, want) {
				t.Errorf("replace: got % x, %v; want % x", got, err, want)
			}
		})
	}
	t.Run("the message names character, offset and alphabet", func(t *testing.T) {
		_, err := Encode("ab€", pdu.CodingLatin1, Strict)
		if want := "character '€' (U+20AC) at offset 2 is not in ISO-8859-1"; err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	})
}

func TestDecodeOfWhatMakesNoSense(t *testing.T) {
	for _, c := range []struct {
		name   string
		octets string
		coding pdu.DataCoding
		text   string
	}{
		{"an escaped septet without extension is read from the main table", "1b41", 0x00, "A"},
		{"an escaped carriage return is a carriage return", "1b0d", 0x00, "\r"},
		{"a doubled escape is a space", "1b1b41", 0x00, " A"},
		{"a last escape is a space", "411b", 0x00, "A "},
		{"an octet above 0x7F is no septet", "41e942", 0x00, "A\uFFFDB"},
		{"an escape before such an octet is a space", "1be9", 0x00, " \uFFFD"},
		{"IA5 above 0x7F is read as Latin 1", "63e9", 0x01, "cé"},
		{"8-bit data that is no UTF-8 is read as Latin 1", "00ff", 0x04, "\x00ÿ"},
		{"a high surrogate alone", "d83d0041", 0x08, "\uFFFDA"},
		{"a low surrogate alone", "de000041", 0x08, "\uFFFDA"},
		{"a high surrogate at the end", "0041d83d", 0x08, "A\uFFFD"},
		{"an odd octet at the end", "004100", 0x08, "A\uFFFD"},
		{"an undefined octet of ISO-8859-8", "a1e0", 0x07, "\uFFFDא"},
		{"half a character of EUC-KR", "41c7", 0x0E, "A\uFFFD"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Decode(unhex(t, c.octets), c.coding); got != c.text {
				t.Errorf("got %q, want %q", got, c.text)
			}
		})
	}
}

func TestNationalTables(t *testing.T) {
	for _, c := range []struct {
		name   string
		text   string
		tables Tables
		octets string
	}{
		{"Turkish single shift", "ğş", Tables{Single: Turkish}, "1b67 1b73"},
		{"Turkish locking shift", "ğşı", Tables{Locking: Turkish}, "0c 1d 07"},
		{"euro is in the main table of the Turkish locking shift", "€", Tables{Locking: Turkish}, "04"},
		{"Spanish single shift", "áÍ", Tables{Single: Spanish}, "1b61 1b49"},
		{"Spanish has no locking shift: the default alphabet stays", "è", Tables{Locking: Spanish}, "04"},
		{"Portuguese locking and single shift", "ãÀΩ", Tables{Portuguese, Portuguese}, "7b 14 1b15"},
		{"Hindi locking shift", "नमस्ते", Tables{Locking: Hindi}, "2f 42 4c 5f 27 59"},
		{"Hindi capitals are in the single shift table", "aA", Tables{Hindi, Hindi}, "61 1b41"},
		{"Urdu locking shift", "اردو", Tables{Locking: Urdu}, "00 25 1a 53"},
		{"unknown languages mean the default alphabet", "@", Tables{Locking: 99, Single: 200}, "00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := EncodeTables(c.text, pdu.CodingDefault, c.tables, Strict)
			if want := unhex(t, c.octets); err != nil || !bytes.Equal(got, want) {
				t.Errorf("got % x, %v; want % x", got, err, want)
			}
			if back := DecodeTables(unhex(t, c.octets), pdu.CodingDefault, c.tables); back != c.text {
				t.Errorf("got %q back, want %q", back, c.text)
			}
		})
	}
}

func TestParseLanguageReadsEveryName(t *testing.T) {
	for l := NoLanguage; l < languages; l++ {
		if got, err := ParseLanguage(strings.ToUpper(l.String())); err != nil || got != l {
			t.Errorf("%s: got %v, %v", l, got, err)
		}
	}
	if _, err := ParseLanguage("klingon"); err == nil || !strings.Contains(err.Error(), `"klingon"`) {
		t.Errorf("an unknown language gives %v", err)
	}
	if got := Language(77).String(); got != "language 77" {
		t.Errorf("an unknown number prints %q", got)
	}
}

func TestAuto(t *testing.T) {
	for _, c := range []struct {
		name   string
		text   string
		langs  []Language
		coding pdu.DataCoding
		tables Tables
		octets int
	}{
		{"ASCII goes in the default alphabet", "hello", nil, 0, Tables{}, 5},
		{"the euro too, for two octets", "1 €", nil, 0, Tables{}, 4},
		{"one Turkish letter makes it UCS2", "ğ", nil, 8, Tables{}, 2},
		{"a Turkish letter takes the locking shift when offered, one octet less than the single shift", "aaağ", []Language{Turkish}, 0, Tables{Locking: Turkish}, 4},
		{"the single shift is taken where the locking shift lacks a letter", "ìğ", []Language{Turkish}, 0, Tables{Single: Turkish}, 3},
		{"many Turkish letters take the locking shift", strings.Repeat("ğ", 100), []Language{Turkish}, 0, Tables{Locking: Turkish}, 100},
		{"tables are not used where the default alphabet does", "hello", []Language{Turkish, Hindi}, 0, Tables{}, 5},
		{"the language that fits is found among several", "नमस्ते", []Language{Turkish, Spanish, Hindi}, 0, Tables{Locking: Hindi}, 6},
		{"capitals among Hindi letters take both tables", "नमस्तेनमस्ते SMS", []Language{Hindi}, 0, Tables{Hindi, Hindi}, 19},
		{"where tables gain nothing, there are none", "€€€€", []Language{Turkish}, 0, Tables{}, 8},
		{"where they gain an octet, they are taken", "€€€€€", []Language{Turkish}, 0, Tables{Locking: Turkish}, 5},
		{"emoji are UCS2 whatever is offered", "ğ😀", []Language{Turkish}, 8, Tables{}, 6},
		{"no text is the default alphabet", "", []Language{Turkish}, 0, Tables{}, 0},
		{"text that is no UTF-8 is UCS2 with question marks", "\xff", nil, 8, Tables{}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Auto(c.text, c.langs...)
			if got.Coding != c.coding || got.Tables != c.tables || len(got.Octets) != c.octets {
				t.Fatalf("got coding %d, %v, %d octets; want %d, %v, %d", got.Coding, got.Tables, len(got.Octets), c.coding, c.tables, c.octets)
			}
			if back := DecodeTables(got.Octets, got.Coding, got.Tables); utf8.ValidString(c.text) && back != c.text {
				t.Errorf("got %q back, want %q", back, c.text)
			}
		})
	}
}
