package smstext

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"jasmind/internal/smpp/pdu"
)

func TestCapacity(t *testing.T) {
	for _, c := range []struct {
		codings         []pdu.DataCoding
		alone, d, wide  int
		shift1, shift1c int
		shift2, shift2c int
	}{
		{[]pdu.DataCoding{0, 0xF0, 0xC8, 0x10}, 160, 153, 152, 155, 149, 152, 146},
		{[]pdu.DataCoding{1}, 160, 153, 152, 160, 153, 160, 153},
		{[]pdu.DataCoding{3, 6, 7, 10, 0xF5, 0x14}, 140, 134, 133, 140, 134, 140, 134},
		{[]pdu.DataCoding{2, 4, 5, 8, 9, 13, 14, 0x18, 0xE0}, 140, 134, 132, 140, 134, 140, 134},
	} {
		for _, coding := range c.codings {
			for _, o := range []struct {
				options     Options
				alone, part int
			}{
				{Options{}, c.alone, c.d},
				{Options{Wide: true}, c.alone, c.wide},
				{Options{Method: SAR}, c.alone, c.d},
				{Options{Method: SAR, Wide: true}, c.alone, c.d},
				{Options{Tables: Tables{Single: Turkish}}, c.shift1, c.shift1c},
				{Options{Tables: Tables{Turkish, Turkish}}, c.shift2, c.shift2c},
				{Options{Method: SAR, Tables: Tables{Turkish, Turkish}}, c.shift2, min(c.shift2, c.d)},
			} {
				if alone, part := o.options.Capacity(coding); alone != o.alone || part != o.part {
					t.Errorf("coding %d, %+v: got %d and %d octets, want %d and %d", coding, o.options, alone, part, o.alone, o.part)
				}
			}
		}
	}
}

func TestCount(t *testing.T) {
	for _, c := range []struct {
		name   string
		coding pdu.DataCoding
		octets []byte
		want   int
	}{
		{"nothing is one message", 0, nil, 1},
		{"160 septets are one", 0, make([]byte, 160), 1},
		{"161 septets are two", 0, make([]byte, 161), 2},
		{"306 septets are two", 0, make([]byte, 306), 2},
		{"307 septets are three", 0, make([]byte, 307), 3},
		{"306 septets are three when an escape would be cut", 0, append(bytes.Repeat([]byte{'a'}, 152), bytes.Repeat([]byte{escape, 'e'}, 77)...), 3},
		{"140 octets of Latin 1 are one", 3, make([]byte, 140), 1},
		{"141 octets of Latin 1 are two", 3, make([]byte, 141), 2},
		{"70 characters of UCS2 are one", 8, make([]byte, 140), 1},
		{"71 characters of UCS2 are two", 8, make([]byte, 142), 2},
		{"135 characters of UCS2 are three", 8, make([]byte, 270), 3},
		{"255 parts are the most", 0, make([]byte, 153*255+1), 255},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Count(c.octets, c.coding); got != c.want {
				t.Errorf("got %d, want %d", got, c.want)
			}
		})
	}
	t.Run("past the most parts it is the most when truncating", func(t *testing.T) {
		if got := (Options{MaxParts: 3}).Count(make([]byte, 1000), 0); got != 3 {
			t.Errorf("got %d, want 3", got)
		}
	})
	t.Run("past the most parts it is the need when rejecting", func(t *testing.T) {
		if got := (Options{MaxParts: 3, Overflow: Reject}).Count(make([]byte, 153*300), 0); got != 300 {
			t.Errorf("got %d, want 300", got)
		}
		if got := (Options{MaxParts: 1, Overflow: Reject}).Count(make([]byte, 307), 0); got != 3 {
			t.Errorf("got %d, want 3", got)
		}
	})
}

// describe prints the parts in one line each: header, content length, bits, TLVs.
func describe(p Parts) (lines []string) {
	for _, x := range p.List {
		line := fmt.Sprintf("%d/%d % x|%d esm %02x", x.Seq, x.Total, x.UserData[:x.Header], len(x.Content()), uint8(x.ESMClass))
		for _, tlv := range x.TLVs {
			line += fmt.Sprintf(" %04x=%x", uint16(tlv.Tag), tlv.Value)
		}
		lines = append(lines, line)
	}
	return lines
}

func TestSplit(t *testing.T) {
	for _, c := range []struct {
		name    string
		coding  pdu.DataCoding
		length  int
		options Options
		want    []string
	}{
		{"a short message stands alone", 0, 160, Options{Reference: 9}, []string{"1/1 |160 esm 00"}},
		{"an empty message is one part", 0, 0, Options{}, []string{"1/1 |0 esm 00"}},
		{"UDH with an 8-bit reference", 0, 161, Options{Reference: 0x1234}, []string{
			"1/2 05 00 03 34 02 01|153 esm 40 0426=01",
			"2/2 05 00 03 34 02 02|8 esm 40 0426=00"}},
		{"UDH with a 16-bit reference", 0, 305, Options{Reference: 0x1234, Wide: true}, []string{
			"1/3 06 08 04 12 34 03 01|152 esm 40 0426=01",
			"2/3 06 08 04 12 34 03 02|152 esm 40 0426=01",
			"3/3 06 08 04 12 34 03 03|1 esm 40 0426=00"}},
		{"SAR", 3, 141, Options{Method: SAR, Reference: 0x1234}, []string{
			"1/2 |134 esm 00 020c=1234 020e=02 020f=01",
			"2/2 |7 esm 00 020c=1234 020e=02 020f=02"}},
		{"SAR alone has no parameters", 3, 140, Options{Method: SAR}, []string{"1/1 |140 esm 00"}},
		{"UCS2 in parts of 67 characters", 8, 142, Options{Reference: 1}, []string{
			"1/2 05 00 03 01 02 01|134 esm 40 0426=01",
			"2/2 05 00 03 01 02 02|8 esm 40 0426=00"}},
		{"UCS2 with a 16-bit reference in parts of 66 characters", 8, 142, Options{Reference: 1, Wide: true}, []string{
			"1/2 06 08 04 00 01 02 01|132 esm 40 0426=01",
			"2/2 06 08 04 00 01 02 02|10 esm 40 0426=00"}},
		{"national tables alone still need a header", 0, 152, Options{Tables: Tables{Turkish, Turkish}}, []string{
			"1/1 06 25 01 01 24 01 01|152 esm 40"}},
		{"national tables in each part", 0, 156, Options{Reference: 7, Tables: Tables{Single: Hindi}}, []string{
			"1/2 08 00 03 07 02 01 24 01 06|149 esm 40 0426=01",
			"2/2 08 00 03 07 02 02 24 01 06|7 esm 40 0426=00"}},
		{"national tables beside SAR", 0, 153, Options{Method: SAR, Reference: 7, Tables: Tables{Turkish, Turkish}}, []string{
			"1/2 06 25 01 01 24 01 01|152 esm 40 020c=0007 020e=02 020f=01",
			"2/2 06 25 01 01 24 01 01|1 esm 40 020c=0007 020e=02 020f=02"}},
		{"one part at most stands alone", 0, 161, Options{MaxParts: 1}, []string{"1/1 |160 esm 00"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			octets := bytes.Repeat([]byte{'a'}, c.length)
			parts, err := Split(octets, c.coding, c.options)
			if got := describe(parts); err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("got\n%s, %v; want\n%s", strings.Join(got, "\n"), err, strings.Join(c.want, "\n"))
			}
			if n := c.options.Count(octets, c.coding); n != len(c.want) {
				t.Errorf("Count: got %d, want %d", n, len(c.want))
			}
		})
	}
}

func TestNothingThatBelongsTogetherIsCut(t *testing.T) {
	a := func(n int) string { return strings.Repeat("a", n) }
	for _, c := range []struct {
		name   string
		coding pdu.DataCoding
		octets string
		first  int
	}{
		{"escape sequence at the cut", 0, a(152) + "\x1be" + a(20), 152},
		{"escape sequence just before the cut", 0, a(151) + "\x1be" + a(20), 153},
		{"a doubled escape before the cut is whole", 0, a(151) + "\x1b\x1b" + a(20), 153},
		{"the third escape of a run leads what follows", 0, a(150) + "\x1b\x1b\x1be" + a(20), 152},
		{"IA5 has no escape sequences", 1, a(152) + "\x1be" + a(20), 153},
		{"surrogate pair at the cut", 8, strings.Repeat("\x00a", 66) + "\xd8\x3d\xde\x00" + strings.Repeat("\x00a", 9), 132},
		{"surrogate pair just before the cut", 8, strings.Repeat("\x00a", 65) + "\xd8\x3d\xde\x00" + strings.Repeat("\x00a", 9), 134},
		{"a high surrogate alone may be last", 8, strings.Repeat("\x00a", 66) + "\xd8\x3d\x00a" + strings.Repeat("\x00a", 9), 134},
		{"Shift_JIS character at the cut", 5, a(133) + "\x93\xfa" + a(9), 133},
		{"Shift_JIS character whose second octet looks like a first", 5, a(132) + "\x81\x81" + a(9), 134},
		{"EUC-JP character of three octets at the cut", 13, a(132) + "\x8f\xb0\xa1" + a(9), 132},
		{"EUC-JP katakana at the cut", 13, a(133) + "\x8e\xb1" + a(9), 133},
		{"EUC-KR character at the cut", 14, a(133) + "\xc7\xd1" + a(9), 133},
		{"ISO-2022-JP shift sequence at the cut", 10, a(132) + "\x1b$BF|" + a(9), 132},
		{"ISO-2022-JP long shift sequence at the cut", 10, a(131) + "\x1b$(DF|" + a(9), 131},
		{"ISO-2022-JP character at the cut", 10, a(130) + "\x1b$BF|\x1b(B" + a(9), 133},
		{"ISO-2022-JP after the shift back", 10, "a\x1b$BF|\x1b(B" + a(200), 134},
		{"ISO-2022-JP broken escape", 10, a(133) + "\x1bX" + a(9), 134},
	} {
		t.Run(c.name, func(t *testing.T) {
			parts, err := Split([]byte(c.octets), c.coding, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if got := len(parts.List[0].Content()); got != c.first {
				t.Errorf("first part has %d octets, want %d", got, c.first)
			}
		})
	}
	t.Run("ISO-2022-JP stays in its shift state over a cut", func(t *testing.T) {
		octets := "\x1b$B" + strings.Repeat("F|", 150) + "\x1b(B"
		parts, err := Split([]byte(octets), 10, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []int{133, 134, 39} {
			if got := len(parts.List[i].Content()); got != want {
				t.Errorf("part %d has %d octets, want %d", i+1, got, want)
			}
		}
	})
}

func TestOverflow(t *testing.T) {
	octets := bytes.Repeat([]byte("0123456789"), 100)
	t.Run("truncate keeps the first parts and says so", func(t *testing.T) {
		parts, err := Split(octets, 0, Options{MaxParts: 3})
		if err != nil || !parts.Truncated || parts.Dropped != 1000-459 || len(parts.List) != 3 || parts.List[2].Total != 3 {
			t.Errorf("got %d parts, truncated %v, dropped %d, %v", len(parts.List), parts.Truncated, parts.Dropped, err)
		}
	})
	t.Run("what fits is not truncated", func(t *testing.T) {
		parts, err := Split(octets, 0, Options{MaxParts: 7})
		if err != nil || parts.Truncated || parts.Dropped != 0 || len(parts.List) != 7 {
			t.Errorf("got %d parts, truncated %v, dropped %d, %v", len(parts.List), parts.Truncated, parts.Dropped, err)
		}
	})
	t.Run("reject says how many there would be", func(t *testing.T) {
		_, err := Split(octets, 0, Options{MaxParts: 3, Overflow: Reject})
		if !errors.Is(err, ErrTooManyParts) || !strings.Contains(err.Error(), "1000 octets need 7, at most 3") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("reject past 255 parts", func(t *testing.T) {
		if _, err := Split(make([]byte, 153*256), 0, Options{Overflow: Reject}); !errors.Is(err, ErrTooManyParts) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("reject with one part at most takes what stands alone", func(t *testing.T) {
		o := Options{MaxParts: 1, Overflow: Reject}
		if parts, err := Split(octets[:160], 0, o); err != nil || len(parts.List) != 1 {
			t.Errorf("160: got %v", err)
		}
		if _, err := Split(octets[:161], 0, o); !errors.Is(err, ErrTooManyParts) {
			t.Errorf("161: got %v", err)
		}
	})
}

func TestSplitRefusesTablesForOtherAlphabets(t *testing.T) {
	if _, err := Split([]byte("a"), pdu.CodingUCS2, Options{Tables: Tables{Single: Turkish}}); !errors.Is(err, ErrTables) {
		t.Errorf("got %v, want ErrTables", err)
	}
}

func TestSplitText(t *testing.T) {
	parts, err := SplitText(strings.Repeat("€", 80)+"Ж", pdu.CodingDefault, Replace, Options{})
	if err != nil || len(parts.List) != 2 || len(parts.List[0].Content()) != 152 || len(parts.List[1].Content()) != 9 {
		t.Errorf("got %v, %v", describe(parts), err)
	}
	if _, err = SplitText("Ж", pdu.CodingDefault, Strict, Options{}); !errors.Is(err, ErrUnencodable) {
		t.Errorf("got %v, want ErrUnencodable", err)
	}
}

func TestPartsDoNotShareRoomToGrow(t *testing.T) {
	for _, o := range []Options{{}, {Method: SAR}} {
		parts, err := Split(bytes.Repeat([]byte{'a'}, 400), 0, o)
		if err != nil {
			t.Fatal(err)
		}
		want := describe(parts)
		for _, p := range parts.List {
			_ = append(p.UserData, "overwritten"...)
			_ = append(p.TLVs, pdu.TLV{Tag: 1})
		}
		if got := describe(parts); !reflect.DeepEqual(got, want) || bytes.Contains(parts.List[1].UserData, []byte("over")) {
			t.Errorf("%v: appending to one part changed another", o.Method)
		}
	}
}
