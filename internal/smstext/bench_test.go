package smstext

import (
	"strings"
	"testing"

	"github.com/warthog618/sms/encoding/gsm7"

	"jasmind/internal/smpp/pdu"
)

var ascii160 = strings.Repeat("0123456789abcdef", 10)

func TestEncodingASCIIAllocatesOneSlice(t *testing.T) {
	var sink []byte
	if n := testing.AllocsPerRun(100, func() { sink, _ = Encode(ascii160, pdu.CodingDefault, Replace) }); n > 1 {
		t.Errorf("%v allocations, want 1", n)
	}
	if n := testing.AllocsPerRun(100, func() { Count(sink, pdu.CodingDefault) }); n > 0 {
		t.Errorf("Count: %v allocations, want none", n)
	}
}

func BenchmarkEncode(b *testing.B) {
	for _, c := range []struct {
		name, text string
		coding     pdu.DataCoding
	}{
		{"GSM ASCII", ascii160, pdu.CodingDefault},
		{"GSM accents", strings.Repeat("é€à ", 40), pdu.CodingDefault},
		{"UCS2", strings.Repeat("Привет мир", 7), pdu.CodingUCS2},
		{"ISO-2022-JP", strings.Repeat("日本a", 20), pdu.CodingISO2022JP},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(c.text)))
			for b.Loop() {
				_, _ = Encode(c.text, c.coding, Replace)
			}
		})
	}
	b.Run("GSM ASCII, the oracle", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(ascii160)))
		src, enc := []byte(ascii160), gsm7.NewEncoder()
		for b.Loop() {
			_, _ = enc.Encode(src)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	octets := []byte(ascii160)
	b.ReportAllocs()
	b.SetBytes(int64(len(octets)))
	for b.Loop() {
		Decode(octets, pdu.CodingDefault)
	}
}

func BenchmarkSplit(b *testing.B) {
	for _, c := range []struct {
		name    string
		length  int
		options Options
	}{
		{"alone", 160, Options{}},
		{"5 parts UDH", 700, Options{}},
		{"5 parts SAR", 700, Options{Method: SAR}},
	} {
		b.Run(c.name, func(b *testing.B) {
			octets := []byte(strings.Repeat("a", c.length))
			b.ReportAllocs()
			for b.Loop() {
				_, _ = Split(octets, pdu.CodingDefault, c.options)
			}
		})
	}
}

func BenchmarkAuto(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Auto("Çok güzel bir gün, değil mi? İyi akşamlar", Turkish)
	}
}
