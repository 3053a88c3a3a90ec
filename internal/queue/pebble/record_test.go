package pebble

import (
	"bytes"
	"math"
	"reflect"
	"strings"
	"testing"

	"jasmind/internal/queue"
)

func TestRecord(t *testing.T) {
	for _, m := range []queue.Message{
		{Body: []byte{}},
		{ID: "id", ContentType: "t", Priority: 3, Attempts: math.MaxInt32, Body: []byte("body"), Headers: queue.Headers{
			{Name: "text", Str: "x\x00"}, {Name: "", Str: ""}, {Name: "min", Int: math.MinInt64, IsInt: true}, {Name: "max", Int: math.MaxInt64, IsInt: true}}},
	} {
		raw := appendRecord(nil, &m)
		if len(raw) > recordSize(&m) {
			t.Errorf("record of %d octets, recordSize says %d", len(raw), recordSize(&m))
		}
		got, err := decodeRecord(raw)
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("got %+v, %v; want %+v", got, err, m)
		}
		for i := range raw {
			if m, err := decodeRecord(raw[:i]); err == nil {
				t.Errorf("the first %d of %d octets were taken for %+v", i, len(raw), m)
			}
		}
		if _, err := decodeRecord(append(raw, 0)); err == nil {
			t.Error("an octet too many was taken")
		}
	}
	for _, c := range []struct{ name, raw, err string }{
		{"other version", "\x02", "version 2"},
		{"priority", "\x01\x04", "priority 4"},
		{"attempts", "\x01\x00\xff\xff\xff\xff\x0f", "attempts"},
		{"header count", "\x01\x00\x00\x00\x00\xff\xff\xff\x7f", "headers"},
		{"header kind", "\x01\x00\x00\x00\x00\x01\x00\x07\x00", "header kind 7"},
		{"long varint", "\x01\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "attempts"},
	} {
		if _, err := decodeRecord([]byte(c.raw)); err == nil || !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: error %v, want one of %q", c.name, err, c.err)
		}
	}
}

func FuzzRecord(f *testing.F) {
	f.Add(appendRecord(nil, &queue.Message{ID: "id", ContentType: "t", Priority: 1, Attempts: 2, Body: []byte("body"),
		Headers: queue.Headers{{Name: "a", Str: "b"}, {Name: "c", Int: -3, IsInt: true}}}))
	f.Add([]byte("\x01\x00\x00\x00\x00\xff\xff\xff\x7f"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := decodeRecord(raw)
		if err != nil {
			return
		}
		again := appendRecord(nil, &m)
		back, err := decodeRecord(again)
		if err != nil {
			t.Fatalf("%x decodes, its own encoding %x does not: %v", raw, again, err)
		}
		if !reflect.DeepEqual(m, back) || len(again) > len(raw) {
			t.Fatalf("%x became %+v, then %+v", raw, m, back)
		}
		if !bytes.Equal(appendRecord(nil, &back), again) {
			t.Fatalf("%x is not stable", again)
		}
	})
}

func BenchmarkRecord(b *testing.B) {
	m := queue.Message{ID: "0a1b2c3d-0001-4000-8000-0123456789ab", ContentType: queue.ContentPDU, Body: make([]byte, 200),
		Headers: queue.Headers{{Name: queue.HeaderCreatedAt, Int: 1700000000000, IsInt: true}, {Name: queue.HeaderUID, Str: "foo"}}}
	raw := appendRecord(nil, &m)
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		buf := make([]byte, 0, recordSize(&m))
		for b.Loop() {
			buf = appendRecord(buf[:0], &m)
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := decodeRecord(raw); err != nil {
				b.Fatal(err)
			}
		}
	})
}
