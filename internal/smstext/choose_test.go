package smstext

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/warthog618/sms/encoding/gsm7"

	"jasmind/internal/smpp/pdu"
)

func TestNationalIsReadAndWritten(t *testing.T) {
	for text, want := range map[string]National{
		"none": {}, "NONE": {}, "turkish": {Turkish, ShiftAuto}, "tr": {Turkish, ShiftAuto}, "TR:Single": {Turkish, ShiftSingle},
		"portuguese:locking": {Portuguese, ShiftLocking}, "pt:both": {Portuguese, ShiftBoth}, "es:single": {Spanish, ShiftSingle}, "urdu:auto": {Urdu, ShiftAuto},
	} {
		got, err := ParseNational(text)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
		if again, err := ParseNational(got.String()); err != nil || again != want {
			t.Errorf("%s is written %s", text, got)
		}
	}
	for text, want := range map[string]string{
		"":                      `language "" has no national tables, must be none or one of turkish, spanish, portuguese`,
		"klingon":               `language "klingon" has no national tables`,
		"none:single":           `language "none" has no national tables`,
		":single":               `language "" has no national tables`,
		"tr:":                   `tables "" of turkish are none of auto, single, locking, both`,
		"tr:all":                `tables "all" of turkish are none of`,
		"es:both":               "spanish has no locking shift table",
		strings.Repeat("x", 99): `language "` + strings.Repeat("x", 32) + `..."`,
	} {
		if _, err := ParseNational(text); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
	for l := Turkish; l < languages; l++ {
		if n, err := ParseNational(isoLanguages[l]); err != nil || n.Language != l {
			t.Errorf("%s is %v, %v", isoLanguages[l], n, err)
		}
	}
}

func TestTheSmallestCodingIsChosen(t *testing.T) {
	const gsm, latin1, cyrillic, ucs2 = pdu.CodingDefault, pdu.CodingLatin1, pdu.CodingCyrillic, pdu.CodingUCS2
	usual := []pdu.DataCoding{gsm, ucs2}
	wide := []pdu.DataCoding{gsm, latin1, cyrillic, ucs2}
	turkish := National{Language: Turkish}
	long := strings.Repeat("şğı", 40)
	for _, tt := range []struct {
		name, text string
		codings    []pdu.DataCoding
		national   National
		coding     pdu.DataCoding
		tables     Tables
		lost       int
	}{
		{"ASCII", "hello", usual, National{}, gsm, Tables{}, 0},
		{"nothing", "", usual, National{}, gsm, Tables{}, 0},
		{"the extension table", "10 € [net]", usual, National{}, gsm, Tables{}, 0},
		{"é is in the default alphabet", "café", usual, National{}, gsm, Tables{}, 0},
		{"ê is not", "fête", usual, National{}, ucs2, Tables{}, 0},
		{"ISO 8859-1 where it may be used, for many characters", strings.Repeat("fête ", 20), wide, National{}, latin1, Tables{}, 0},
		{"of equal ones the first", "fête", []pdu.DataCoding{ucs2, latin1}, National{}, ucs2, Tables{}, 0},
		{"ISO 8859-5 for many Cyrillic characters", strings.Repeat("Привет", 20), wide, National{}, cyrillic, Tables{}, 0},
		{"an emoji", "a😀", wide, National{}, ucs2, Tables{}, 0},
		{"national tables when asked", "İyi akşamlar", usual, turkish, gsm, Tables{Single: Turkish}, 0},
		{"the locking table for many of its characters", long, usual, turkish, gsm, Tables{Locking: Turkish}, 0},
		{"no table where none is needed", "hello", usual, turkish, gsm, Tables{}, 0},
		{"no table helps", "Ж", usual, turkish, ucs2, Tables{}, 0},
		{"what is not UTF-8", "a\xff", usual, National{}, gsm, Tables{}, 1},
		{"nothing carries it", "aЖ😀", []pdu.DataCoding{gsm, latin1}, National{}, gsm, Tables{}, 2},
		{"the one that loses least", "Жé😀", []pdu.DataCoding{gsm, cyrillic, latin1}, National{}, gsm, Tables{}, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := Choose(tt.text, tt.codings, tt.national, Options{})
			if got.Coding != tt.coding || got.Tables != tt.tables || got.Lost != tt.lost {
				t.Errorf("coding %d, tables %v, %d lost", got.Coding, got.Tables, got.Lost)
			}
			back := DecodeTables(got.Octets, got.Coding, got.Tables)
			if tt.lost == 0 && back != tt.text || strings.Count(back, "?") != tt.lost {
				t.Errorf("it reads %q", back)
			}
		})
	}
}

func TestTheTablesThatAreAskedForAreUsed(t *testing.T) {
	for _, tt := range []struct {
		wish   string
		tables Tables
	}{
		{"none", Tables{}}, {"tr:single", Tables{Single: Turkish}}, {"tr:locking", Tables{Locking: Turkish}}, {"tr:both", Tables{Turkish, Turkish}},
	} {
		n, err := ParseNational(tt.wish)
		if err != nil {
			t.Fatal(err)
		}
		got := EncodeNational("hello", pdu.CodingDefault, n, Options{})
		if got.Tables != tt.tables || got.Lost != 0 {
			t.Errorf("%s: %+v", tt.wish, got)
		}
		if other := EncodeNational("hello", pdu.CodingUCS2, n, Options{}); other.Tables != (Tables{}) {
			t.Errorf("%s in UCS2: %+v", tt.wish, other)
		}
	}
}

// A phone made of the independent library reads every national table that a text is written with.
func TestAPhoneReadsWhatIsChosen(t *testing.T) {
	texts := map[Language]string{
		Turkish: "Çok güzel bir gün, değil mi? İyi akşamlar €", Spanish: "Él está aquí, ¿verdad? Ángel Íñigo Ó ú Ú á",
		Portuguese: "Ação, coração, maçã, você, avó, às três € ~", Bengali: "বাংলা ভাষা", Gujarati: "ગુજરાતી ભાષા", Hindi: "हिंदी भाषा",
		Kannada: "ಕನ್ನಡ ಭಾಷೆ", Malayalam: "മലയാളം ഭാഷ", Oriya: "ଓଡ଼ିଆ ଭାଷା", Punjabi: "ਪੰਜਾਬੀ ਭਾਸ਼ਾ", Tamil: "தமிழ் மொழி", Telugu: "తెలుగు భాష", Urdu: "اردو زبان",
	}
	for l := Turkish; l < languages; l++ {
		text := texts[l]
		got := Choose(text, []pdu.DataCoding{pdu.CodingDefault, pdu.CodingUCS2}, National{Language: l}, Options{})
		if got.Coding != pdu.CodingDefault || got.Lost != 0 || got.Tables == (Tables{}) {
			t.Errorf("%s: %+v", l, got)
			continue
		}
		parts, err := Split(got.Octets, got.Coding, Options{Tables: got.Tables})
		if err != nil || len(parts.List) != 1 || parts.List[0].ESMClass != pdu.ESMUDHI {
			t.Errorf("%s: %v, %v", l, parts, err)
			continue
		}
		header, rest, err := ParseUDH(parts.List[0].UserData)
		if err != nil || header.Tables() != got.Tables {
			t.Errorf("%s: header %v, %v", l, header, err)
			continue
		}
		if differs(rest, got.Tables) {
			continue // a character in which the oracle is known to be wrong
		}
		phone := gsm7.NewDecoder(gsm7.WithCharset(int(got.Tables.Locking)), gsm7.WithExtCharset(int(got.Tables.Single)), gsm7.Strict)
		read, err := phone.Decode(rest)
		if err != nil || string(read) != text {
			t.Errorf("%s: the phone reads %q, %v", l, read, err)
		}
	}
}

// differs tells whether octets use an entry of a table that the oracle has wrong.
func differs(octets []byte, t Tables) bool {
	escaped := false
	for _, c := range octets {
		table, language := oracleLocking, t.Locking
		if escaped {
			table, language = oracleSingle, t.Single
		}
		if _, wrong := table[entry{language, c}]; wrong {
			return true
		}
		escaped = c == escape && !escaped
	}
	return false
}

// Whatever is chosen reads back, and is cut into as many parts as were counted.
func FuzzChoose(f *testing.F) {
	f.Add("İyi akşamlar €", "tr", uint8(0))
	f.Add("fête 😀", "none", uint8(7))
	f.Add("a\xff", "pt:both", uint8(255))
	all := []pdu.DataCoding{0, 8, 3, 6, 7, 1, 5, 10}
	f.Fuzz(func(t *testing.T, text, wish string, pick uint8) {
		n, err := ParseNational(wish)
		if err != nil || len(text) > 5000 {
			return
		}
		codings := all[:1+int(pick)%len(all)]
		got := Choose(text, codings, n, Options{})
		if got.Lost == 0 && utf8.ValidString(text) {
			if back := DecodeTables(got.Octets, got.Coding, got.Tables); back != text && got.Coding != pdu.CodingJIS && got.Coding != pdu.CodingISO2022JP {
				t.Fatalf("%q reads %q in coding %d with %v", text, back, got.Coding, got.Tables)
			}
		}
		o := Options{Tables: got.Tables, Overflow: Reject}
		parts, err := Split(got.Octets, got.Coding, o)
		if errors.Is(err, ErrTooManyParts) {
			return
		}
		if err != nil || len(parts.List) != o.Count(got.Octets, got.Coding) {
			t.Fatalf("%d parts, counted %d, %v", len(parts.List), o.Count(got.Octets, got.Coding), err)
		}
	})
}
