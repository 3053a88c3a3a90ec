package smstext

// table maps a septet to its character; 0 where there is none.
type table [128]rune

// escape leads a character of the extension or single shift table (3GPP TS 23.038 §6.2.1.1).
const escape = 0x1B

// patch replaces one entry of a table.
type patch struct {
	septet byte
	char   rune
}

func (t table) with(patches ...patch) table {
	for _, p := range patches {
		t[p.septet] = p.char
	}
	return t
}

// defaultAlphabet is 3GPP TS 23.038 §6.2.1, one line per column of its table.
var defaultAlphabet = columns("@£$¥èéùìòÇ\nØø\rÅå" +
	"Δ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ" +
	" !\"#¤%&'()*+,-./" +
	"0123456789:;<=>?" +
	"¡ABCDEFGHIJKLMNO" +
	"PQRSTUVWXYZÄÖÑÜ§" +
	"¿abcdefghijklmno" +
	"pqrstuvwxyzäöñüà")

// defaultExtension is 3GPP TS 23.038 §6.2.1.1. Its CR2 (0x0D) and SS2 (0x1B) are
// control codes without a character.
var defaultExtension = table{}.with(
	patch{0x0A, '\f'}, patch{0x14, '^'}, patch{0x28, '{'}, patch{0x29, '}'}, patch{0x2F, '\\'},
	patch{0x3C, '['}, patch{0x3D, '~'}, patch{0x3E, ']'}, patch{0x40, '|'}, patch{0x65, '€'})

// locking holds the national language locking shift tables, 3GPP TS 23.038 annex A.3.
var locking = [languages]table{
	NoLanguage: defaultAlphabet,
	Turkish: defaultAlphabet.with(
		patch{0x04, '€'}, patch{0x07, 'ı'}, patch{0x0B, 'Ğ'}, patch{0x0C, 'ğ'}, patch{0x1C, 'Ş'}, patch{0x1D, 'ş'},
		patch{0x40, 'İ'}, patch{0x60, 'ç'}),
	Spanish: defaultAlphabet,
	Portuguese: defaultAlphabet.with(
		patch{0x04, 'ê'}, patch{0x06, 'ú'}, patch{0x07, 'í'}, patch{0x08, 'ó'}, patch{0x09, 'ç'}, patch{0x0B, 'Ô'},
		patch{0x0C, 'ô'}, patch{0x0E, 'Á'}, patch{0x0F, 'á'}, patch{0x12, 'ª'}, patch{0x13, 'Ç'}, patch{0x14, 'À'},
		patch{0x15, '∞'}, patch{0x16, '^'}, patch{0x17, '\\'}, patch{0x18, '€'}, patch{0x19, 'Ó'}, patch{0x1A, '|'},
		patch{0x1C, 'Â'}, patch{0x1D, 'â'}, patch{0x1E, 'Ê'}, patch{0x24, 'º'}, patch{0x40, 'Í'}, patch{0x5B, 'Ã'},
		patch{0x5C, 'Õ'}, patch{0x5D, 'Ú'}, patch{0x60, '~'}, patch{0x7B, 'ã'}, patch{0x7C, 'õ'}, patch{0x7D, '`'}),
	Bengali: indic(0x0980, "\x0d\x0e\x11\x12\x29\x31\x33\x34\x35\x45\x46\x49\x4a",
		[6]rune{0x09CE, 0x09D7, 0x09DC, 0x09DD, 0x09F0, 0x09F1}),
	Gujarati: indic(0x0A80, "\x0e\x12\x29\x31\x34\x46\x4a",
		[6]rune{0x0AD0, 0x0AE0, 0x0AE1, 0x0AE2, 0x0AE3, 0x0AF1}),
	Hindi: indic(0x0900, "",
		[6]rune{0x0950, 0x0972, 0x097B, 0x097C, 0x097E, 0x097F}),
	Kannada: indic(0x0C80, "\x01\x0d\x11\x29\x34\x45\x49",
		[6]rune{0x0CD5, 0x0CD6, 0x0CE0, 0x0CE1, 0x0CE2, 0x0CE3}),
	Malayalam: indic(0x0D00, "\x01\x0d\x11\x29\x3c\x45\x49",
		[6]rune{0x0D57, 0x0D60, 0x0D61, 0x0D62, 0x0D63, 0x0D79}),
	Oriya: indic(0x0B00, "\x0d\x0e\x11\x12\x29\x31\x34\x45\x46\x49\x4a",
		[6]rune{0x0B56, 0x0B57, 0x0B60, 0x0B61, 0x0B62, 0x0B63}),
	Punjabi: indic(0x0A00, "\x0b\x0c\x0d\x0e\x11\x12\x29\x31\x34\x37\x3d\x43\x44\x45\x46\x49\x4a",
		[6]rune{0x0A51, 0x0A70, 0x0A71, 0x0A72, 0x0A73, 0x0A74}),
	Tamil: indic(0x0B80, "\x01\x0b\x0c\x0d\x11\x16\x17\x18\x1b\x1d\x20\x21\x22\x25\x26\x27\x2b\x2c\x2d\x3c\x3d\x43\x44\x45\x49",
		[6]rune{0x0BD0, 0x0BD7, 0x0BF0, 0x0BF1, 0x0BF2, 0x0BF9}),
	Telugu: indic(0x0C00, "\x0d\x11\x29\x34\x3c\x45\x49",
		[6]rune{0x0C55, 0x0C56, 0x0C60, 0x0C61, 0x0C62, 0x0C63}),
	Urdu: columns("\u0627\u0622\u0628\u067B\u0680\u067E\u06A6\u062A\u06C2\u067F\n\u0679\u067D\r\u067A\u067C" +
		"\u062B\u062C\u0681\u0684\u0683\u0685\u0686\u0687\u062D\u062E\u062F\x1b\u068C\u0688\u0689\u068A" +
		" !\u068F\u068D\u0630\u0631\u0691\u0693)(\u0699\u0632,\u0696.\u0698" +
		"0123456789:;\u069A\u0633\u0634?" +
		"\u0635\u0636\u0637\u0638\u0639\u0641\u0642\u06A9\u06AA\u06AB\u06AF\u06B3\u06B1\u0644\u0645\u0646" +
		"\u06BA\u06BB\u06BC\u0648\u06C4\u06D5\u06C1\u06BE\u0621\u06CC\u06D0\u06D2\u064D\u0650\u064F\u0657" +
		"\u0654abcdefghijklmno" +
		"pqrstuvwxyz\u0655\u0651\u0653\u0656\u0670"),
}

// single holds the national language single shift tables, 3GPP TS 23.038 annex A.2.
var single = [languages]table{
	NoLanguage: defaultExtension,
	Turkish: defaultExtension.with(
		patch{0x47, 'Ğ'}, patch{0x49, 'İ'}, patch{0x53, 'Ş'}, patch{0x63, 'ç'}, patch{0x67, 'ğ'}, patch{0x69, 'ı'},
		patch{0x73, 'ş'}),
	Spanish: defaultExtension.with(
		patch{0x09, 'ç'}, patch{0x41, 'Á'}, patch{0x49, 'Í'}, patch{0x4F, 'Ó'}, patch{0x55, 'Ú'}, patch{0x61, 'á'},
		patch{0x69, 'í'}, patch{0x6F, 'ó'}, patch{0x75, 'ú'}),
	Portuguese: defaultExtension.with(
		patch{0x05, 'ê'}, patch{0x09, 'ç'}, patch{0x0B, 'Ô'}, patch{0x0C, 'ô'}, patch{0x0E, 'Á'}, patch{0x0F, 'á'},
		patch{0x12, 'Φ'}, patch{0x13, 'Γ'}, patch{0x15, 'Ω'}, patch{0x16, 'Π'}, patch{0x17, 'Ψ'}, patch{0x18, 'Σ'},
		patch{0x19, 'Θ'}, patch{0x1F, 'Ê'}, patch{0x41, 'À'}, patch{0x49, 'Í'}, patch{0x4F, 'Ó'}, patch{0x55, 'Ú'},
		patch{0x5B, 'Ã'}, patch{0x5C, 'Õ'}, patch{0x61, 'Â'}, patch{0x69, 'í'}, patch{0x6F, 'ó'}, patch{0x75, 'ú'},
		patch{0x7B, 'ã'}, patch{0x7C, 'õ'}, patch{0x7F, 'â'}),
	Bengali: indicSingle(digits(0x09E6), []rune{0x09DF, 0x09E0, 0x09E1, 0x09E2, 0x09E3, 0x09F2, 0x09F3, 0x09F4,
		0x09F5, 0x09F6, 0x09F7, 0x09F8, 0x09F9, 0x09FA}),
	Gujarati: indicSingle(dandas, digits(0x0AE6)),
	Hindi: indicSingle(dandas, digits(0x0966), []rune{0x0951, 0x0952, 0x0953, 0x0954, 0x0958, 0x0959, 0x095A,
		0x095B, 0x095C, 0x095D, 0x095E, 0x095F, 0x0960, 0x0961, 0x0962, 0x0963, 0x0970, 0x0971}),
	Kannada: indicSingle(dandas, digits(0x0CE6), []rune{0x0CDE, 0x0CF1, 0x0CF2}),
	Malayalam: indicSingle(dandas, digits(0x0D66), []rune{0x0D70, 0x0D71, 0x0D72, 0x0D73, 0x0D74, 0x0D75,
		0x0D7A, 0x0D7B, 0x0D7C, 0x0D7D, 0x0D7E, 0x0D7F}),
	Oriya:   indicSingle(dandas, digits(0x0B66), []rune{0x0B5C, 0x0B5D, 0x0B5F, 0x0B70, 0x0B71}),
	Punjabi: indicSingle(dandas, digits(0x0A66), []rune{0x0A59, 0x0A5A, 0x0A5B, 0x0A5C, 0x0A5E, 0x0A75}),
	Tamil: indicSingle(dandas, digits(0x0BE6), []rune{0x0BF3, 0x0BF4, 0x0BF5, 0x0BF6, 0x0BF7, 0x0BF8,
		0x0BFA}),
	Telugu: indicSingle([]rune{0, 0}, digits(0x0C66), []rune{0x0C58, 0x0C59, 0x0C78, 0x0C79, 0x0C7A, 0x0C7B,
		0x0C7C, 0x0C7D, 0x0C7E, 0x0C7F}),
	Urdu: indicSingle([]rune{0x0600, 0x0601}, digits(0x06F0), []rune{0x060C, 0x060D, 0x060E, 0x060F, 0x0610, 0x0611,
		0x0612, 0x0613, 0x0614, 0x061B, 0x061F, 0x0640, 0x0652, 0x0658, 0x066B, 0x066C, 0x0672, 0x0673, 0x06CD, 0x06D4}),
}

// columns reads the 128 characters of a table in septet order.
func columns(chars string) (t table) {
	i := 0
	for _, r := range chars {
		t[i] = r
		i++
	}
	t[escape] = 0
	return t
}

// indicOrder is what the locking tables of the scripts derived from Brahmi have
// in common (3GPP TS 23.038 annex A.3.4 to A.3.12): their Unicode blocks run in
// parallel, and so do the tables. An octet of 0x80 or more is an offset into the
// block plus 0x80; 0 is filled from the language's own six characters.
const indicOrder = "\x81\x82\x83\x85\x86\x87\x88\x89\x8a\x8b\n\x8c\x8d\r\x8e\x8f" +
	"\x90\x91\x92\x93\x94\x95\x96\x97\x98\x99\x9a\x1b\x9b\x9c\x9d\x9e" +
	" !\x9f\xa0\xa1\xa2\xa3\xa4)(\xa5\xa6,\xa7.\xa8" +
	"0123456789:;\xa9\xaa\xab?" +
	"\xac\xad\xae\xaf\xb0\xb1\xb2\xb3\xb4\xb5\xb6\xb7\xb8\xb9\xbc\xbd" +
	"\xbe\xbf\xc0\xc1\xc2\xc3\xc4\xc5\xc6\xc7\xc8\xc9\xca\xcb\xcc\xcd" +
	"\x00abcdefghijklmno" +
	"pqrstuvwxyz\x00\x00\x00\x00\x00"

// indic builds a locking table: missing lists the offsets of the block that the
// script does not have, own the characters of septets 0x60 and 0x7B to 0x7F.
func indic(block rune, missing string, own [6]rune) (t table) {
	next := 0
	for i := range len(indicOrder) {
		switch c := indicOrder[i]; {
		case c == 0:
			t[i] = own[next]
			next++
		case c >= 0x80:
			t[i] = block + rune(c-0x80)
			for j := range len(missing) {
				if missing[j] == c-0x80 {
					t[i] = 0
				}
			}
		case c != escape:
			t[i] = rune(c)
		}
	}
	return t
}

// dandas are the full stops of Devanagari that most Indic scripts borrow.
var dandas = []rune{0x0964, 0x0965}

func digits(zero rune) []rune {
	d := make([]rune, 10)
	for i := range d {
		d[i] = zero + rune(i)
	}
	return d
}

// indicSingle builds the single shift table of an Indic script or Urdu (3GPP TS
// 23.038 annex A.2.4 to A.2.13): signs, the script's characters from septet 0x19
// on wherever the default extension has nothing, and the Latin capitals. A 0
// leaves a septet empty.
func indicSingle(chars ...[]rune) table {
	t := defaultExtension
	for i, r := range []rune("@£$¥¿\"¤%&'\f*+\x00-/<=>¡^¡_#*") {
		t[i] = r
	}
	for c := 'A'; c <= 'Z'; c++ {
		t[c] = c
	}
	septet := 0x19
	for _, run := range chars {
		for _, r := range run {
			for t[septet] != 0 || septet == escape {
				septet++
			}
			t[septet] = r
			if r == 0 {
				septet++
			}
		}
	}
	return t
}
