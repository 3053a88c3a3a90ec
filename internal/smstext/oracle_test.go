package smstext

import (
	"fmt"
	"testing"

	"github.com/warthog618/sms/encoding/gsm7"
	"github.com/warthog618/sms/encoding/gsm7/charset"
	"github.com/warthog618/sms/encoding/ucs2"

	"jasmind/internal/smpp/pdu"
)

// entry is one place in a table where the oracle is known to differ.
type entry struct {
	language Language
	septet   byte
}

// The oracle's faults, checked by hand against 3GPP TS 23.038 annex A: the first
// three signs of Hindi are those of Bengali (U+0981) instead of Devanagari
// (U+0901), and the single shift table of Portuguese lacks Ê.
var (
	oracleLocking = map[entry]rune{{Hindi, 0x00}: 0x0901, {Hindi, 0x01}: 0x0902, {Hindi, 0x02}: 0x0903}
	oracleSingle  = map[entry]rune{{Portuguese, 0x1F}: 'Ê'}
)

// The oracle gives characters to the control codes of the extension tables; here
// they have none: CR2, and SS2 which leads to a further table that does not exist.
func isControl(septet byte) bool { return septet == 0x0D || septet == 0x1B }

func TestEveryTableAgreesWithTheOracle(t *testing.T) {
	for l := NoLanguage; l < languages; l++ {
		t.Run(l.String(), func(t *testing.T) {
			main, ext := charset.NewDecoder(int(l)), charset.NewExtDecoder(int(l))
			for i := range 128 {
				septet := byte(i)
				if septet != escape {
					want, known := oracleLocking[entry{l, septet}]
					if !known {
						want = main[septet]
					} else if want == main[septet] {
						t.Errorf("locking %#02x: the listed divergence is gone", septet)
					}
					// The oracle fills some holes of its tables with spaces.
					if got := locking[l][septet]; got != want && !(got == 0 && want == ' ') {
						t.Errorf("locking %#02x: got %U, want %U", septet, got, want)
					}
				}
				if isControl(septet) {
					if got := single[l][septet]; got != 0 {
						t.Errorf("single %#02x: got %U, want no character", septet, got)
					}
					continue
				}
				want, known := oracleSingle[entry{l, septet}]
				if !known {
					want = ext[septet]
				} else if want == ext[septet] {
					t.Errorf("single %#02x: the listed divergence is gone", septet)
				}
				if got := single[l][septet]; got != want {
					t.Errorf("single %#02x: got %U, want %U", septet, got, want)
				}
			}
		})
	}
}

func TestEveryCharacterOfTheBasicPlaneEncodesAsTheOracleDoes(t *testing.T) {
	enc := gsm7.NewEncoder()
	for r := rune(0); r <= 0xFFFF; r++ {
		if r == escape || r >= 0xD800 && r <= 0xDFFF {
			continue
		}
		want, wantErr := enc.Encode([]byte(string(r)))
		if len(want) == 2 && isControl(want[1]) {
			continue
		}
		got, err := Encode(string(r), pdu.CodingDefault, Strict)
		if (err != nil) != (wantErr != nil) || err == nil && string(got) != string(want) {
			t.Fatalf("%U: got % x, %v; want % x, %v", r, got, err, want, wantErr)
		}
	}
}

func TestUCS2AgreesWithTheOracle(t *testing.T) {
	for r := rune(0); r <= 0x10FFFF; r += 7 {
		if r >= 0xD800 && r <= 0xDFFF {
			continue
		}
		got, err := Encode(string(r), pdu.CodingUCS2, Strict)
		if want := ucs2.Encode([]rune{r}); err != nil || string(got) != string(want) {
			t.Fatalf("%U: got % x, %v; want % x", r, got, err, want)
		}
		want := string(r)
		if r == 0xFEFF || r == 0xFFFE { // at the beginning these are a byte order mark
			want = ""
		}
		if back := Decode(got, pdu.CodingUCS2); back != want {
			t.Fatalf("%U came back as %q", r, back)
		}
	}
}

func TestEveryTableReadsWhatItWrites(t *testing.T) {
	for lock := NoLanguage; lock < languages; lock++ {
		for shift := NoLanguage; shift < languages; shift++ {
			tables := Tables{lock, shift}
			for i := range 128 {
				for _, r := range []rune{locking[lock][i], single[shift][i]} {
					if r == 0 {
						continue
					}
					octets, err := EncodeTables(string(r), pdu.CodingDefault, tables, Strict)
					if err != nil {
						t.Fatalf("%v: %U: %v", tables, r, err)
					}
					if back := DecodeTables(octets, pdu.CodingDefault, tables); back != string(r) {
						t.Fatalf("%v: %U as % x came back as %q", tables, r, octets, back)
					}
				}
			}
			if q, _ := EncodeTables("\U0001F600", pdu.CodingDefault, tables, Replace); string(q) != "?" {
				t.Fatalf("%v: the question mark is % x", tables, q)
			}
		}
	}
}

func ExampleEncode() {
	octets, _ := Encode("10 € [net]", pdu.CodingDefault, Strict)
	fmt.Printf("% x", octets)
	// Output: 31 30 20 1b 65 20 1b 3c 6e 65 74 1b 3e
}
