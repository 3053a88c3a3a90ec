package smstext

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"jasmind/internal/smpp/pdu"
)

// textFor draws text that coding can carry, long enough to need several parts.
func textFor(coding pdu.DataCoding, tables Tables) *rapid.Generator[string] {
	pools := map[Alphabet]string{
		IA5: "abc[]\\~\x1b", Octets: "abé😀", Latin1: "abcéÿ¡", ShiftJIS: "ab日本語ｱｲ表ソ", Cyrillic: "abПривет№",
		Hebrew: "abשלום×", UCS2: "ab€Ж日😀👍🏽", ISO2022JP: "ab日本語ｱｲ", EUCJP: "ab日本語ｱ丂丄", EUCKR: "ab한국어똠",
	}
	alphabet := AlphabetOf(coding)
	pool := []rune(pools[alphabet])
	if alphabet == GSM {
		for _, t := range []*table{&locking[tables.Locking], &single[tables.Single]} {
			for _, r := range t {
				if r != 0 {
					pool = append(pool, r)
				}
			}
		}
	}
	return rapid.Custom(func(t *rapid.T) string {
		n := rapid.IntRange(0, 700).Draw(t, "length")
		seed := rapid.Uint32().Draw(t, "seed")
		var b strings.Builder
		for range n {
			seed = seed*1664525 + 1013904223
			b.WriteRune(pool[int(seed>>8)%len(pool)])
		}
		return b.String()
	})
}

var textCodings = []pdu.DataCoding{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 13, 14, 0x18, 0xC8, 0xE0, 0xF0, 0xF5}

func drawOptions(t *rapid.T) Options {
	return Options{
		Method:    rapid.SampledFrom([]Method{UDH, SAR}).Draw(t, "method"),
		Reference: rapid.Uint16().Draw(t, "reference"),
		Wide:      rapid.Bool().Draw(t, "wide"),
	}
}

// checkParts verifies everything Split promises about parts that were not truncated.
func checkParts(t interface{ Fatalf(string, ...any) }, octets []byte, coding pdu.DataCoding, o Options, parts Parts) []Segment {
	alone, part := o.Capacity(coding)
	var segments []Segment
	for i, p := range parts.List {
		limit := part
		if len(parts.List) == 1 {
			limit = alone
		}
		if n := len(p.Content()); n > limit || n == 0 && len(octets) > 0 {
			t.Fatalf("part %d has %d octets, at most %d", i+1, n, limit)
		}
		if len(p.UserData) > 160 || p.Seq != i+1 || p.Total != len(parts.List) {
			t.Fatalf("part %d: %d octets, %d of %d", i+1, len(p.UserData), p.Seq, p.Total)
		}
		s, err := ReadSegment(p.UserData, p.ESMClass, p.TLVs)
		if err != nil || !bytes.Equal(s.Content, p.Content()) || s.Header.Tables() != o.Tables.known() {
			t.Fatalf("part %d: read as %+v, %v", i+1, s, err)
		}
		if len(parts.List) > 1 {
			want := Concat{Ref: o.Reference, Total: uint8(p.Total), Seq: uint8(p.Seq), Bits: 16}
			if o.Method == UDH && !o.Wide {
				want.Ref, want.Bits = want.Ref&0xFF, 8
			}
			if s.Concat != want {
				t.Fatalf("part %d: concatenation %+v, want %+v", i+1, s.Concat, want)
			}
		}
		segments = append(segments, s)
	}
	if n := o.Count(octets, coding); n != len(parts.List) {
		t.Fatalf("Count gives %d, Split %d", n, len(parts.List))
	}
	slices.Reverse(segments)
	joined, err := Join(segments)
	if err != nil || !bytes.Equal(joined, octets) {
		t.Fatalf("joined to % x, %v; want % x", joined, err, octets)
	}
	return segments
}

func TestSplitThenJoinIsTheIdentity(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		coding := rapid.SampledFrom(textCodings).Draw(t, "coding")
		o := drawOptions(t)
		if AlphabetOf(coding) == GSM {
			o.Tables = Tables{
				Locking: Language(rapid.IntRange(0, int(languages)-1).Draw(t, "locking")),
				Single:  Language(rapid.IntRange(0, int(languages)-1).Draw(t, "single")),
			}.known()
		}
		text := textFor(coding, o.Tables).Draw(t, "text")
		octets, err := EncodeTables(text, coding, o.Tables, Strict)
		if err != nil {
			t.Fatalf("encode: %v", err)
		}
		if back := DecodeTables(octets, coding, o.Tables); back != text {
			t.Fatalf("decoded to %q, want %q", back, text)
		}
		parts, err := Split(octets, coding, o)
		if err != nil || parts.Truncated || parts.Dropped != 0 {
			t.Fatalf("split: %v, truncated %v", err, parts.Truncated)
		}
		segments := checkParts(t, octets, coding, o, parts)
		if joined, err := JoinText(segments, coding); err != nil || joined != text {
			t.Fatalf("joined to %q, %v; want %q", joined, err, text)
		}
		// Nothing is cut in two: each part reads alone as its share of the text.
		// Parts of ISO-2022-JP can start in the shift state of the part before.
		if a := AlphabetOf(coding); a == Octets || a == ISO2022JP {
			return
		}
		var apart strings.Builder
		for _, p := range parts.List {
			apart.WriteString(DecodeTables(p.Content(), coding, o.Tables))
		}
		if apart.String() != text {
			t.Fatalf("parts read one by one give %q, want %q", apart.String(), text)
		}
	})
}

func TestTruncationKeepsABeginning(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		coding := rapid.SampledFrom(textCodings).Draw(t, "coding")
		o := drawOptions(t)
		o.MaxParts = rapid.IntRange(1, 4).Draw(t, "max")
		octets := rapid.SliceOfN(rapid.Byte(), 0, 900).Draw(t, "octets")
		parts, err := Split(octets, coding, o)
		if err != nil {
			t.Fatalf("split: %v", err)
		}
		kept := len(octets) - parts.Dropped
		if parts.Truncated != (parts.Dropped > 0) || len(parts.List) > o.MaxParts {
			t.Fatalf("%d parts, truncated %v, dropped %d", len(parts.List), parts.Truncated, parts.Dropped)
		}
		if parts.Truncated {
			if n := o.Count(octets, coding); n != len(parts.List) {
				t.Fatalf("Count gives %d, Split %d", n, len(parts.List))
			}
			reject := o
			reject.Overflow = Reject
			if _, err := Split(octets, coding, reject); err == nil || reject.Count(octets, coding) <= o.MaxParts {
				t.Fatalf("truncated, yet not rejected: %v, %d parts", err, reject.Count(octets, coding))
			}
		}
		var content []byte
		for _, p := range parts.List {
			content = append(content, p.Content()...)
		}
		if !bytes.Equal(content, octets[:kept]) {
			t.Fatalf("content % x, want % x", content, octets[:kept])
		}
	})
}

func TestReplaceNeverFailsAndStrictAgreesWithIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		coding := pdu.DataCoding(rapid.Byte().Draw(t, "coding"))
		text := rapid.String().Draw(t, "text")
		replaced, err := Encode(text, coding, Replace)
		if err != nil {
			t.Fatalf("replace: %v", err)
		}
		strict, err := Encode(text, coding, Strict)
		if err == nil && !bytes.Equal(strict, replaced) {
			t.Fatalf("strict % x, replace % x", strict, replaced)
		}
		if err == nil && Decode(strict, coding) != text {
			// Unicode has letters that these encodings fold into one.
			if a := AlphabetOf(coding); a != ShiftJIS && a != EUCJP && a != ISO2022JP && a != EUCKR {
				t.Fatalf("decoded to %q", Decode(strict, coding))
			}
		}
	})
}

func TestAutoLosesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOf(rapid.SampledFrom([]rune("abA €ğşıáãनम 😀"))).Draw(t, "text")
		langs := rapid.SliceOfDistinct(rapid.SampledFrom([]Language{Turkish, Spanish, Portuguese, Hindi, Urdu}), rapid.ID).Draw(t, "languages")
		plain, best := Auto(text), Auto(text, langs...)
		if back := DecodeTables(best.Octets, best.Coding, best.Tables); back != text {
			t.Fatalf("decoded to %q, want %q", back, text)
		}
		n := Options{Tables: best.Tables}.Count(best.Octets, best.Coding)
		if n > Count(plain.Octets, plain.Coding) {
			t.Fatalf("%d parts with languages %v, %d without", n, langs, Count(plain.Octets, plain.Coding))
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("\x1b\x1b\x1be\xff"), uint8(0), uint8(1), uint8(1))
	f.Add([]byte("\xd8\x3d\xde"), uint8(8), uint8(0), uint8(0))
	f.Add([]byte("\x1b$BF|\x1b(I1\x1b(B"), uint8(10), uint8(0), uint8(0))
	f.Fuzz(func(t *testing.T, octets []byte, coding, lock, shift uint8) {
		tables := Tables{Language(lock), Language(shift)}
		text := DecodeTables(octets, pdu.DataCoding(coding), tables)
		if !utf8.ValidString(text) {
			t.Fatalf("not UTF-8: %q", text)
		}
		if a := AlphabetOf(pdu.DataCoding(coding)); a > UCS2 || a == ShiftJIS || strings.ContainsRune(text, utf8.RuneError) {
			return
		}
		again, err := EncodeTables(text, pdu.DataCoding(coding), tables, Replace)
		if err != nil {
			t.Fatalf("encode %q: %v", text, err)
		}
		if back := DecodeTables(again, pdu.DataCoding(coding), tables); back != text && AlphabetOf(pdu.DataCoding(coding)) != IA5 {
			t.Fatalf("decode, encode, decode: %q became %q", text, back)
		}
	})
}

func FuzzParseUDH(f *testing.F) {
	f.Add([]byte("\x05\x00\x03\x2a\x02\x01abc"))
	f.Add([]byte("\x06\x08\x04\x01\x2a\x02\x01"))
	f.Add([]byte("\x03\x24\x01"))
	f.Fuzz(func(t *testing.T, octets []byte) {
		h, rest, err := ParseUDH(octets)
		if err != nil {
			if h != nil || !bytes.Equal(rest, octets) {
				t.Fatalf("%v, yet %v and % x", err, h, rest)
			}
			return
		}
		if len(rest)+h.Len() > len(octets)+1 || !bytes.HasSuffix(octets, rest) {
			t.Fatalf("%d octets gave %v and % x", len(octets), h, rest)
		}
		h.Concat()
		h.Tables()
		if len(h) == 0 {
			return
		}
		again, err := h.Append(nil)
		if err != nil {
			t.Fatalf("append: %v", err)
		}
		back, rest, err := ParseUDH(again)
		if third, _ := back.Append(nil); err != nil || len(rest) > 0 || !bytes.Equal(third, again) {
			t.Fatalf("% x read back as %v, % x, %v", again, back, rest, err)
		}
	})
}

func FuzzSplitJoin(f *testing.F) {
	f.Add(bytes.Repeat([]byte{escape}, 400), uint8(0), uint16(1), false, false, uint8(1), uint8(1))
	f.Add(bytes.Repeat([]byte{0xD8, 0x3D, 0xDE}, 150), uint8(8), uint16(1), true, true, uint8(0), uint8(0))
	f.Add(bytes.Repeat([]byte("\x1b$(D"), 150), uint8(10), uint16(1), false, true, uint8(0), uint8(0))
	f.Fuzz(func(t *testing.T, octets []byte, coding uint8, ref uint16, sar, wide bool, lock, shift uint8) {
		o := Options{Reference: ref, Wide: wide, Overflow: Reject}
		if sar {
			o.Method = SAR
		}
		if AlphabetOf(pdu.DataCoding(coding)) == GSM {
			o.Tables = Tables{Language(lock), Language(shift)}
		}
		parts, err := Split(octets, pdu.DataCoding(coding), o)
		if err != nil {
			if o.Count(octets, pdu.DataCoding(coding)) <= maxParts {
				t.Fatalf("refused: %v", err)
			}
			return
		}
		checkParts(t, octets, pdu.DataCoding(coding), o, parts)
	})
}
