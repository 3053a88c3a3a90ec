package mt

import (
	"strings"
	"testing"

	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smppc"
	"jasmind/internal/smstext"
)

var turkish = smstext.National{Language: smstext.Turkish}

func TestTextIsEncodedAsAskedFor(t *testing.T) {
	const tr = "İyi akşamlar"
	single := []byte{3, smstext.ElementSingleShift, 1, byte(smstext.Turkish)}
	onlySingle := smstext.National{Language: smstext.Turkish, Shift: smstext.ShiftSingle}
	for _, tt := range []struct {
		name    string
		text    string
		connect func(*smppc.Config)
		message func(*Message)
		coding  pdu.DataCoding
		class   pdu.ESMClass
		parts   int
		starts  []byte // of the first part
	}{
		{"auto, GSM", "10 €", nil, func(m *Message) { m.Auto, m.Set = true, FieldCoding }, 0, 3, 1, []byte("10 \x1be")},
		{"auto, UCS2", "fête", nil, func(m *Message) { m.Auto, m.Set = true, FieldCoding }, 8, 3, 1, []byte("\x00f\x00\xea")},
		{"auto, UCS2 in parts", strings.Repeat("Ж", 71), nil, func(m *Message) { m.Auto, m.Set = true, FieldCoding }, 8, 0x40, 2, nil},
		{"auto before the connector's coding", "hi", func(c *smppc.Config) { c.Coding = 8 }, func(m *Message) { m.Auto, m.Set = true, FieldCoding }, 0, 3, 1, []byte("hi")},
		{"auto of the connector", "fête", func(c *smppc.Config) { c.AutoCoding = true }, nil, 8, 3, 1, []byte("\x00f")},
		{"a coding before auto of the connector", "fête", func(c *smppc.Config) { c.AutoCoding = true }, func(m *Message) { m.Set = FieldCoding }, 0, 3, 1, []byte("f?te")},
		{"a language", tr, nil, func(m *Message) { m.National, m.Set = turkish, FieldLanguage }, 0, 0x40, 1, append(single, "\x1bIyi ak\x1bsamlar"...)},
		{"a language of the connector", tr, func(c *smppc.Config) { c.Language = turkish }, nil, 0, 0x40, 1, append(single, "\x1bI"...)},
		{"none before that of the connector", tr, func(c *smppc.Config) { c.Language = turkish }, func(m *Message) { m.Set = FieldLanguage }, 0, 3, 1, []byte("?yi ak?amlar")},
		{"a language that is not needed", "hi", nil, func(m *Message) { m.National, m.Set = turkish, FieldLanguage }, 0, 3, 1, []byte("hi")},
		{"auto and a language", tr, nil, func(m *Message) { m.Auto, m.National, m.Set = true, turkish, FieldCoding|FieldLanguage }, 0, 0x40, 1, append(single, "\x1bI"...)},
		{"155 septets beside the header of one table", "ş" + strings.Repeat("a", 153), nil, func(m *Message) { m.National, m.Set = onlySingle, FieldLanguage }, 0, 0x40, 1, nil},
		{"and one more", "ş" + strings.Repeat("a", 154), nil, func(m *Message) { m.National, m.Set = onlySingle, FieldLanguage }, 0, 0x40, 2,
			[]byte{8, smstext.ElementConcat8, 3}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake()
			if tt.connect != nil {
				tt.connect(&f.cfg)
			}
			m := text(tt.text)
			if tt.message != nil {
				tt.message(m)
			}
			s := f.service(Config{})
			counted := *m
			_, env := f.submit(t, s, m)
			p := env.Parts[0]
			if p.DataCoding != tt.coding || p.ESMClass != tt.class || len(env.Parts) != tt.parts || !strings.HasPrefix(string(p.ShortMessage), string(tt.starts)) {
				t.Errorf("coding %d, esm_class %#x, %d parts, % x", p.DataCoding, uint8(p.ESMClass), len(env.Parts), p.ShortMessage)
			}
			if q, err := s.Quote(t.Context(), &counted); err != nil || q.Parts != len(env.Parts) {
				t.Errorf("a quote of %d parts, %v", q.Parts, err)
			}
		})
	}
}

func TestCodingsToChooseFromAreTheOperators(t *testing.T) {
	f := newFake()
	m := text(strings.Repeat("fête ", 20))
	m.Auto, m.Set = true, FieldCoding
	_, env := f.submit(t, f.service(Config{Codings: []pdu.DataCoding{0, 3, 8}}), m)
	if len(env.Parts) != 1 || env.Parts[0].DataCoding != pdu.CodingLatin1 {
		t.Errorf("coding %d in %d parts", env.Parts[0].DataCoding, len(env.Parts))
	}
}

func TestScriptsAndAutomaticCoding(t *testing.T) {
	for _, tt := range []struct {
		name, rule string
		coding     pdu.DataCoding
		octets     string
	}{
		{"it sees what was chosen", `data_coding == 8 and content == "fête" or refuse(8)`, 8, "\x00f\x00\xea\x00t\x00e"},
		{"its coding is stronger", `set("data_coding", 3)`, 3, "f\xeate"},
		{"so is its content", `set("data_coding", 0) and set("short_message", "x")`, 0, "x"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake()
			s, _ := f.scripted(tt.rule)
			m := text("fête")
			m.Auto, m.Set = true, FieldCoding
			if _, env := f.submit(t, s, m); env.Parts[0].DataCoding != tt.coding || string(env.Parts[0].ShortMessage) != tt.octets {
				t.Errorf("coding %d, % x", env.Parts[0].DataCoding, env.Parts[0].ShortMessage)
			}
		})
	}
}
