package httpapi

import (
	"net/url"
	"testing"

	"jasmind/internal/mt"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smstext"
)

func TestCodingAndLanguage(t *testing.T) {
	to := who + "&to=1&content=" + url.QueryEscape("fête")
	for _, tt := range []struct {
		name, query string
		fault       string
		set         mt.Field
		auto        bool
		coding      pdu.DataCoding
		national    smstext.National
	}{
		{"nothing", to, "", 0, false, 0, smstext.National{}},
		{"auto", to + "&coding=auto", "", mt.FieldCoding, true, 0, smstext.National{}},
		{"a language", to + "&language=tr:single", "", mt.FieldLanguage, false, 0, smstext.National{Language: smstext.Turkish, Shift: smstext.ShiftSingle}},
		{"no language", to + "&language=none", "", mt.FieldLanguage, false, 0, smstext.National{}},
		{"an empty language", to + "&language=", "", 0, false, 0, smstext.National{}},
		{"both", to + "&language=Portuguese&coding=auto", "", mt.FieldLanguage | mt.FieldCoding, true, 0, smstext.National{Language: smstext.Portuguese}},
		{"a language with coding 0", to + "&language=tr&coding=0", "", mt.FieldLanguage | mt.FieldCoding, false, 0, smstext.National{Language: smstext.Turkish}},
		{"an unknown language", to + "&language=klingon", `Argument [language] has an invalid value: language "klingon" has no national tables, must be none or one of turkish, spanish, ` +
			`portuguese, bengali, gujarati, hindi, kannada, malayalam, oriya, punjabi, tamil, telugu, urdu.`, 0, false, 0, smstext.National{}},
		{"a language for octets", to + "&language=tr&coding=8", "Argument [language] needs content with coding 0 or auto.", 0, false, 0, smstext.National{}},
		{"a language for hex-content", who + "&to=1&hex-content=00&language=tr", "Argument [language] needs content with coding 0 or auto.", 0, false, 0, smstext.National{}},
		{"auto for hex-content", who + "&to=1&hex-content=00&coding=auto", "Argument [coding] has an invalid value: [auto], hex-content has a coding of its own.", 0, false, 0, smstext.National{}},
		{"Auto", to + "&coding=Auto", "Argument [coding] has an invalid value: [Auto].", 0, false, 0, smstext.National{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDoor(Config{})
			status, body := d.get(tt.query)
			if tt.fault != "" {
				if status != 400 || body != `Error "`+tt.fault+`"` {
					t.Errorf("got %d %s", status, body)
				}
				if status, body := d.ask(t, "/rate", tt.query); status != 400 || body != quoted(tt.fault) {
					t.Errorf("/rate: %d %s", status, body)
				}
				return
			}
			if status != 200 {
				t.Fatal(status, body)
			}
			if m := d.submit.got[0]; m.Set != tt.set || m.Auto != tt.auto || m.PDU.DataCoding != tt.coding || m.National != tt.national || !m.IsText || m.Text != "fête" {
				t.Errorf("got %+v", m)
			}
		})
	}
}
