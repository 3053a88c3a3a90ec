package smstext

import (
	"errors"
	"reflect"
	"strings"
	"sync"
	"testing"

	"jasmind/internal/smpp/pdu"
)

func TestParseUDH(t *testing.T) {
	for _, c := range []struct {
		name   string
		octets string
		header Header
		rest   string
		bad    bool
	}{
		{"concatenation", "05 0003 2a0201 61", Header{{0, []byte{0x2A, 2, 1}}}, "61", false},
		{"several elements in their order", "08 0003 2a0201 2401 01 61", Header{{0, []byte{0x2A, 2, 1}}, {0x24, []byte{1}}}, "61", false},
		{"an empty element", "02 7000 61", Header{{0x70, []byte{}}}, "61", false},
		{"an empty header", "00 61", nil, "61", false},
		{"an element that overruns the header is left out", "05 2401 01 0009 61", Header{{0x24, []byte{1}}}, "61", false},
		{"half an element is left out", "04 2401 01 00 61", Header{{0x24, []byte{1}}}, "61", false},
		{"no length octet", "", nil, "", true},
		{"a header longer than the user data", "05 0003 2a02", nil, "05 0003 2a02", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, rest, err := ParseUDH(unhex(t, c.octets))
			if !reflect.DeepEqual(h, c.header) || string(rest) != string(unhex(t, c.rest)) || errors.Is(err, ErrHeader) != c.bad {
				t.Errorf("got %v, % x, %v", h, rest, err)
			}
		})
	}
}

func TestHeaderAppend(t *testing.T) {
	h := Header{Concat{Ref: 0x1234, Total: 3, Seq: 2, Bits: 16}.Element(), {0x24, []byte{1}}}
	got, err := h.Append([]byte{0xFF})
	if want := unhex(t, "ff 09 0804 1234 0302 2401 01"); err != nil || string(got) != string(want) {
		t.Errorf("got % x, %v; want % x", got, err, want)
	}
	if h.Len() != len(got)-1 {
		t.Errorf("Len is %d, want %d", h.Len(), len(got)-1)
	}
	if got, err = Header(nil).Append(nil); err != nil || len(got) != 0 {
		t.Errorf("no elements: got % x, %v", got, err)
	}
	if got, err = (Header{{1, make([]byte, 253)}}).Append(nil); err != nil || len(got) != 256 {
		t.Errorf("the longest header: got %d octets, %v", len(got), err)
	}
	if got, err = (Header{{1, make([]byte, 254)}}).Append(nil); !errors.Is(err, ErrHeader) || got != nil {
		t.Errorf("a header too long: got %d octets, %v", len(got), err)
	}
}

func TestReadSegment(t *testing.T) {
	sar := func(ref, total, seq string) pdu.TLVs {
		return pdu.TLVs{{Tag: pdu.TagSARMsgRefNum, Value: unhex(t, ref)}, {Tag: 0x1400, Value: nil},
			{Tag: pdu.TagSARTotalSegments, Value: unhex(t, total)}, {Tag: pdu.TagSARSegmentSeqnum, Value: unhex(t, seq)}}
	}
	for _, c := range []struct {
		name    string
		octets  string
		class   pdu.ESMClass
		tlvs    pdu.TLVs
		concat  Concat
		content string
		bad     bool
	}{
		{"no header without the UDHI bit", "05 0003 2a0201", 0x03, nil, Concat{}, "05 0003 2a0201", false},
		{"8-bit reference", "05 0003 2a0201 61", 0x40, nil, Concat{0x2A, 2, 1, 8}, "61", false},
		{"16-bit reference", "06 0804 012a0201 61", 0x43, nil, Concat{0x12A, 2, 1, 16}, "61", false},
		{"the last of two counts", "0b 0003 2a0201 0804 012a0302 61", 0x40, nil, Concat{0x12A, 3, 2, 16}, "61", false},
		{"sequence number 0 is ignored", "05 0003 2a0200 61", 0x40, nil, Concat{}, "61", false},
		{"sequence number past the total is ignored", "05 0003 2a0203 61", 0x40, nil, Concat{}, "61", false},
		{"total 0 is ignored", "05 0003 2a0000 61", 0x40, nil, Concat{}, "61", false},
		{"an element of the wrong length is ignored", "06 0004 2a020100 61", 0x40, nil, Concat{}, "61", false},
		{"SAR", "61", 0, sar("012a", "02", "01"), Concat{0x12A, 2, 1, 16}, "61", false},
		{"SAR beside another header", "03 2401 01 61", 0x40, sar("012a", "02", "01"), Concat{0x12A, 2, 1, 16}, "61", false},
		{"the header counts before SAR", "05 0003 2a0302 61", 0x40, sar("012a", "02", "01"), Concat{0x2A, 3, 2, 8}, "61", false},
		{"SAR without its total is ignored", "61", 0, sar("012a", "", "01"), Concat{}, "61", false},
		{"SAR that makes no sense is ignored", "61", 0, sar("012a", "02", "03"), Concat{}, "61", false},
		{"a header that is not there leaves the content", "61", 0x40, nil, Concat{}, "61", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := ReadSegment(unhex(t, c.octets), c.class, c.tlvs)
			if s.Concat != c.concat || string(s.Content) != string(unhex(t, c.content)) || errors.Is(err, ErrHeader) != c.bad {
				t.Errorf("got %+v, content % x, %v", s.Concat, s.Content, err)
			}
			if s.Long() != (c.concat.Total > 1) {
				t.Errorf("Long is %v", s.Long())
			}
		})
	}
}

func segment(seq, total uint8, content string) Segment {
	return Segment{Concat: Concat{Ref: 7, Total: total, Seq: seq, Bits: 8}, Content: []byte(content)}
}

func TestJoin(t *testing.T) {
	other := segment(1, 2, "x")
	other.Concat.Ref = 8
	wide := segment(1, 2, "x")
	wide.Concat.Bits = 16
	for _, c := range []struct {
		name     string
		segments []Segment
		want     string
		err      error
		text     string
	}{
		{"in order", []Segment{segment(1, 2, "a"), segment(2, 2, "b")}, "ab", nil, ""},
		{"in any order", []Segment{segment(3, 3, "c"), segment(1, 3, "a"), segment(2, 3, "b")}, "abc", nil, ""},
		{"a repeated part counts once", []Segment{segment(2, 2, "b"), segment(1, 2, "a"), segment(2, 2, "z")}, "ab", nil, ""},
		{"one that stands alone", []Segment{{Content: []byte("a")}}, "a", nil, ""},
		{"none", nil, "", ErrIncomplete, "there are none"},
		{"a missing part is named", []Segment{segment(1, 3, "a"), segment(3, 3, "c")}, "", ErrIncomplete, "part 2 of 3, reference 7"},
		{"another reference number", []Segment{segment(2, 2, "a"), other}, "", ErrMixed, "reference 7 of 2 parts and 8 of 2"},
		{"another total", []Segment{segment(2, 2, "a"), segment(1, 3, "b")}, "", ErrMixed, "2 parts and 7 of 3"},
		{"another size of reference number", []Segment{segment(2, 2, "a"), wide}, "", ErrMixed, "parts of different"},
		{"one of several without concatenation, first", []Segment{{}, segment(1, 2, "a")}, "", ErrMixed, "without concatenation"},
		{"one of several without concatenation, last", []Segment{segment(1, 2, "a"), {}}, "", ErrMixed, "parts of different"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Join(c.segments)
			if string(got) != c.want || !errors.Is(err, c.err) || err != nil && !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %q, %v; want %q, %v", got, err, c.want, c.err)
			}
			text, err := JoinText(c.segments, pdu.CodingIA5)
			if text != c.want || !errors.Is(err, c.err) {
				t.Errorf("JoinText: got %q, %v; want %q, %v", text, err, c.want, c.err)
			}
		})
	}
}

func TestJoinText(t *testing.T) {
	t.Run("a surrogate pair that the sender cut is read", func(t *testing.T) {
		got, err := JoinText([]Segment{segment(2, 2, "\xde\x00"), segment(1, 2, "\xd8\x3d")}, pdu.CodingUCS2)
		if got != "😀" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	})
	t.Run("an escape sequence that the sender cut is read", func(t *testing.T) {
		got, err := JoinText([]Segment{segment(1, 2, "1\x1b"), segment(2, 2, "e")}, pdu.CodingDefault)
		if got != "1€" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	})
	t.Run("byte order marks are no text, and the octets go by them", func(t *testing.T) {
		for _, tt := range []struct{ name, one, two, want string }{
			{"a mark in each part", "\xfe\xff\x00a", "\xfe\xff\x00b", "ab"},
			{"a mark in the first", "\xfe\xff\x00a", "\x00b", "ab"},
			{"a mark in the second only", "\x00a", "\xfe\xff\x00b", "ab"},
			{"little endian, each part marked", "\xff\xfea\x00", "\xff\xfeb\x00", "ab"},
			{"little endian, the first marked", "\xff\xfea\x00", "b\x00", "ab"},
			{"two orders", "\x00a", "\xff\xfeb\x00", "ab"},
			{"a pair that is cut, both parts marked", "\xfe\xff\xd8\x3d", "\xfe\xff\xde\x00", "😀"},
			{"a little endian pair that is cut", "\xff\xfe\x3d\xd8", "\xff\xfe\x00\xde", "😀"},
		} {
			got, err := JoinText([]Segment{segment(1, 2, tt.one), segment(2, 2, tt.two)}, pdu.CodingUCS2)
			if got != tt.want || err != nil {
				t.Errorf("%s: got %q, %v; want %q", tt.name, got, err, tt.want)
			}
		}
	})
	t.Run("each part is read with its own tables", func(t *testing.T) {
		turkish, plain, again := segment(1, 3, "\x0c"), segment(2, 3, "\x0c"), segment(3, 3, "\x0c\x1bg")
		turkish.Header = Tables{Locking: Turkish}.Elements()
		again.Header = Tables{Turkish, Turkish}.Elements()
		got, err := JoinText([]Segment{turkish, plain, again}, pdu.CodingDefault)
		if got != "ğøğğ" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

func TestReferences(t *testing.T) {
	t.Run("one recipient gets numbers one after the other", func(t *testing.T) {
		r := NewReferences()
		first := r.Next("33612345678")
		for i := range 70000 {
			if got := r.Next("33612345678"); got != first+uint16(i)+1 {
				t.Fatalf("number %d: got %d, want %d", i, got, first+uint16(i)+1)
			}
		}
	})
	t.Run("no number comes twice when many ask at once", func(t *testing.T) {
		r := NewReferences()
		var mu sync.Mutex
		var wg sync.WaitGroup
		seen := map[uint16]bool{}
		for range 8 {
			wg.Go(func() {
				for range 1000 {
					ref := r.Next("33612345678")
					mu.Lock()
					seen[ref] = true
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if len(seen) != 8000 {
			t.Errorf("8000 messages got %d numbers", len(seen))
		}
	})
}
