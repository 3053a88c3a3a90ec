package sms

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"jasmind/internal/smpp/pdu"
)

func TestCustomTLVsOfARequest(t *testing.T) {
	many := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,"%d":1`, 0x1400+i)
		}
		return "{" + b.String()[1:] + "}"
	}
	tests := []struct {
		name, document string
		want           []CustomTLV
		fault          string
	}{
		{"nothing", "", nil, ""},
		{"null", "null", nil, ""},
		{"an empty object", "{}", nil, ""},
		{"a text without a type", `{"0x1400": "1707"}`, []CustomTLV{{0x1400, -1, "", "1707"}}, ""},
		{"a type", `{"0x1401:COctetString": "é"}`, []CustomTLV{{0x1401, -1, "COctetString", "é"}}, ""},
		{"numbers keep all their digits", `{"0x3fff:Int8": 18446744073709551615, "0x3ffe": 1707167205648943173}`,
			[]CustomTLV{{0x3FFF, -1, "Int8", uint64(math.MaxUint64)}, {0x3FFE, -1, "", int64(1707167205648943173)}}, ""},
		{"a number that is too long for 8 octets is its digits", `{"0x1400": 184467440737095516150}`, []CustomTLV{{0x1400, -1, "", "184467440737095516150"}}, ""},
		{"a decimal tag, and spaces", `{" 5121 : Int1 ": 7}`, []CustomTLV{{0x1401, -1, "Int1", int64(7)}}, ""},
		{"the order is kept", `{"0x1402":1,"0x1401":2}`, []CustomTLV{{0x1402, -1, "", int64(1)}, {0x1401, -1, "", int64(2)}}, ""},
		{"the older form", `[[5120, null, "Int8", 5], ["0x1401", 4, null, "abcd"]]`, []CustomTLV{{0x1400, -1, "Int8", int64(5)}, {0x1401, 4, "", "abcd"}}, ""},
		{"as many as may be", many(MaxCustomTLVs), nil, "-"},
		{"one more", many(MaxCustomTLVs + 1), nil, "there are more than 256 tags"},
		{"no JSON", `{0x1400: 1}`, nil, "is not valid JSON: "},
		{"cut off", `{"0x1400": 1`, nil, "is not valid JSON: it ends too early"},
		{"cut off in a value", `{"0x1400":`, nil, "is not valid JSON: it ends too early"},
		{"cut off in the older form", `[[5120, null, "Int8", 5]`, nil, "is not valid JSON: it ends too early"},
		{"a text", `"0x1400"`, nil, "must be a JSON object of tags and values"},
		{"something behind", `{} {}`, nil, "something follows the JSON object"},
		{"no tag", `{"vendor": 1}`, nil, `tag "vendor" is no number, must be hexadecimal as in 0x1400, or decimal`},
		{"a tag of SMPP itself", `{"0x0424": "x"}`, nil, `tag "0x0424" is not in 0x1400 to 0x3FFF`},
		{"hexadecimal without 0x", `{"1401": "x"}`, nil, `tag "1401" is not in 0x1400 to 0x3FFF`},
		{"a tag of 17 bits", `{"0x11400": "x"}`, nil, `tag "0x11400" is no number`},
		{"a sign", `{"+5120": "x"}`, nil, `tag "+5120" is no number`},
		{"no such type", `{"0x1400:Int3": 1}`, nil, `tag 0x1400: type "Int3" is none of Int1, Int2, Int4, Int8, OctetString, COctetString`},
		{"a fraction", `{"0x1400": 1.5}`, nil, "tag 0x1400: value 1.5 must be a text or a whole number"},
		{"a boolean", `{"0x1400": true}`, nil, "tag 0x1400: value true must be a text or a whole number"},
		{"an object", `{"0x1400": {"a":1}}`, nil, `tag 0x1400: value {"a":1} must be a text or a whole number`},
		{"null as a value", `{"0x1400": null}`, nil, "tag 0x1400: value null must be a text or a whole number"},
		{"a tag twice", `{"0x1400": 1, "5120:Int4": 2}`, nil, "tag 0x1400 is there twice"},
		{"three fields", `[[5120, null, 5]]`, nil, "entry 1 must be [tag, length, type, value]"},
		{"a length of text", `[[5120, "x", null, 5]]`, nil, "tag 0x1400: the length must be null or a number of octets"},
		{"a type of numbers", `[[5120, null, 4, 5]]`, nil, "tag 0x1400: the type must be null or a text"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseCustomTLVs([]byte(tt.document))
			switch {
			case tt.fault == "-":
				if err != nil || len(got) != MaxCustomTLVs {
					t.Errorf("%d, %v", len(got), err)
				}
			case tt.fault != "":
				if err == nil || !strings.HasPrefix(err.Error(), tt.fault) {
					t.Errorf("got %v, %v\nwant %s", got, err, tt.fault)
				}
			case err != nil || !reflect.DeepEqual(got, tt.want):
				t.Errorf("got %+v, %v\nwant %+v", got, err, tt.want)
			}
		})
	}
}

func TestCustomTLVOnTheWire(t *testing.T) {
	for _, tt := range []struct {
		kind  string
		value any
		want  string // octets
		fault string
	}{
		{"", "é", "\xc3\xa9", ""},
		{"OctetString", int64(12), "12", ""},
		{"OctetString", "", "", ""},
		{"COctetString", "ab", "ab\x00", ""},
		{"COctetString", []byte("ab\x00"), "ab\x00", ""},
		{"COctetString", "", "\x00", ""},
		{"Int1", int64(255), "\xff", ""},
		{"Int2", "258", "\x01\x02", ""},
		{"Int4", "0xDEADBEEF", "\xde\xad\xbe\xef", ""},
		{"Int8", uint64(math.MaxUint64), "\xff\xff\xff\xff\xff\xff\xff\xff", ""},
		{"Int4", []byte{1, 2, 3, 4}, "\x01\x02\x03\x04", ""},
		{"Int1", int64(256), "", `custom TLV 0x1400 of type Int1: invalid value "256", must be a number of 1 octets`},
		{"Int4", int64(-1), "", "must be a number of 4 octets"},
		{"Int8", "x", "", "must be a number of 8 octets"},
		{"Int8", "0x", "", "must be a number of 8 octets"},
		{"Float", int64(1), "", "must be of type Int1"},
		{"OctetString", 1.5, "", "must be octets, a text or a number"},
		{"OctetString", strings.Repeat("x", 65536), "", "65536 octets are more than 65535"},
	} {
		got, err := CustomTLV{Tag: 0x1400, Length: -1, Type: tt.kind, Value: tt.value}.Encode()
		if tt.fault != "" {
			if err == nil || !strings.Contains(err.Error(), tt.fault) {
				t.Errorf("%s %v: %v, want %s", tt.kind, tt.value, err, tt.fault)
			}
			continue
		}
		if err != nil || got.Tag != 0x1400 || string(got.Value) != tt.want {
			t.Errorf("%s %v: got % x, %v, want % x", tt.kind, tt.value, got.Value, err, tt.want)
		}
	}
}

func TestCustomTLVsOfACallback(t *testing.T) {
	tlvs := VendorTLVs(pdu.TLVs{{Tag: 0x0204, Value: []byte{1}}, {Tag: 0x1400, Value: []byte{0xFE, 'v'}}, {Tag: 0x4000, Value: []byte{2}}, {Tag: 0x3FFF, Value: nil}})
	if got, want := CustomTLVsJSON(tlvs), `[{"tag":5120,"length":2,"type":"OctetString","value":"fe76"},{"tag":16383,"length":0,"type":"OctetString","value":""}]`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got, want := CustomTLVsJSON([]CustomTLV{{0x1400, -1, "", "a<é"}, {0x1401, -1, "Int8", uint64(math.MaxUint64)}}),
		`[{"tag":5120,"length":null,"type":null,"value":"a<é"},{"tag":5121,"length":null,"type":"Int8","value":18446744073709551615}]`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := CustomTLVsJSON(nil); got != "[]" {
		t.Errorf("nothing is %s", got)
	}
}

// What is read has a vendor's tag and a value that is written as JSON again; what can be encoded
// has the octets that its text says.
func FuzzCustomTLVs(f *testing.F) {
	f.Add([]byte(`{"0x1400": "1707", "0x1401:Int4": 7}`))
	f.Add([]byte(`[[5120, null, "Int8", 5], [5121, 3, null, "é"]]`))
	f.Add([]byte(`{"0x1400:COctetString":"\u0000", "5121":184467440737095516150}`))
	f.Fuzz(func(t *testing.T, document []byte) {
		tlvs, err := ParseCustomTLVs(document)
		if err != nil {
			if tlvs != nil || err.Error() == "" {
				t.Fatalf("%v with %v", tlvs, err)
			}
			return
		}
		seen := map[pdu.Tag]bool{}
		for _, v := range tlvs {
			if v.Tag < VendorTagMin || v.Tag > VendorTagMax || seen[v.Tag] {
				t.Fatalf("tag %v", v.Tag)
			}
			seen[v.Tag] = true
			w, err := v.Encode()
			if err != nil {
				continue
			}
			if s, ok := v.Value.(string); ok && (v.Type == "" || v.Type == TLVOctets) && !bytes.Equal(w.Value, []byte(s)) {
				t.Fatalf("%q became % x", s, w.Value)
			}
			if n := IntSize(v.Type); n > 0 && len(w.Value) != n {
				t.Fatalf("%s of %d octets", v.Type, len(w.Value))
			}
		}
		if !json.Valid([]byte(CustomTLVsJSON(tlvs))) {
			t.Fatalf("not JSON: %s", CustomTLVsJSON(tlvs))
		}
	})
}

func TestReceivedParametersAreReadByTheirTypes(t *testing.T) {
	for _, tt := range []struct {
		kind, octets string
		want         CustomTLV
	}{
		{"Int1", "\xff", CustomTLV{Type: "Int1", Value: uint64(255)}},
		{"Int2", "\x01\x02", CustomTLV{Type: "Int2", Value: uint64(258)}},
		{"Int4", "\x00\x00\x01\x00", CustomTLV{Type: "Int4", Value: uint64(256)}},
		{"Int8", "\xff\xff\xff\xff\xff\xff\xff\xff", CustomTLV{Type: "Int8", Value: uint64(math.MaxUint64)}},
		{"Int4", "\x01\x02", CustomTLV{Type: "OctetString", Value: []byte{1, 2}}},
		{"COctetString", "a\x00", CustomTLV{Type: "COctetString", Value: "a"}},
		{"COctetString", "\x00", CustomTLV{Type: "COctetString", Value: ""}},
		{"COctetString", "a", CustomTLV{Type: "OctetString", Value: []byte("a")}},
		{"COctetString", "", CustomTLV{Type: "OctetString", Value: []byte("")}},
		{"COctetString", "a\x00b\x00", CustomTLV{Type: "OctetString", Value: []byte("a\x00b\x00")}},
		{"COctetString", "\xff\x00", CustomTLV{Type: "OctetString", Value: []byte("\xff\x00")}},
		{"OctetString", "ab", CustomTLV{Type: "OctetString", Value: []byte("ab")}},
		{"", "ab", CustomTLV{Type: "OctetString", Value: []byte("ab")}},
	} {
		got := CustomTLV{Type: TLVOctets, Value: []byte(tt.octets)}.As(tt.kind)
		if !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%q as %s: %+v, want %+v", tt.octets, tt.kind, got, tt.want)
		}
	}
}
