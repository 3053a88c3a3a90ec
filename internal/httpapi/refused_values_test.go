package httpapi

import (
	"net/http/httptest"
	"strings"
	"testing"
)

// What can only fail, or would be sent as something else, is refused by name.
func TestValuesThatCannotBeMeantAreRefused(t *testing.T) {
	const content = `Argument [content] has an invalid value: octet 4, 0xE9, is not UTF-8; encode it as UTF-8, or give a coding and its octets.`
	for _, tt := range []struct{ name, query, text string }{ // text "": it is taken
		{"a validity that is over at once", "&content=x&validity-period=0", "Argument [validity-period] has an invalid value: [0]."},
		{"the same with more zeros", "&content=x&validity-period=000", "Argument [validity-period] has an invalid value: [000]."},
		{"the shortest validity", "&content=x&validity-period=01", ""},
		{"Latin 1", "&content=Caf%E9", content},
		{"Latin 1, coding 0", "&content=Caf%E9&coding=0", content},
		{"Latin 1, coding auto", "&content=Caf%E9&coding=auto", content},
		{"an octet that ends too early", "&content=Caf%C3", strings.ReplaceAll(content, "E9", "C3")},
		{"Latin 1 with its coding", "&content=Caf%E9&coding=3", ""},
		{"octets of another coding", "&content=%FF%FE&coding=4", ""},
		{"UTF-8", "&content=Caf%C3%A9", ""},
		{"the replacement character, which is UTF-8", "&content=Caf%EF%BF%BD", ""},
		{"Latin 1 in custom_tlvs", `&content=x&custom_tlvs={"0x1400":"Caf%E9"}`, "Argument [custom_tlvs] has an invalid value: it is not UTF-8."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDoor(Config{})
			status, body := d.get(who + "&to=1" + tt.query)
			form := httptest.NewRequest("POST", "/send", strings.NewReader(strings.TrimPrefix(who, "?")+"&to=1"+tt.query))
			form.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			formStatus, formBody := d.do(form)
			if tt.text == "" {
				if status != 200 || formStatus != 200 || len(d.submit.got) != 2 {
					t.Errorf("got %d %s, %d %s", status, body, formStatus, formBody)
				}
				return
			}
			if want := `Error "` + tt.text + `"`; status != 400 || body != want || formStatus != 400 || formBody != want || len(d.submit.got) != 0 {
				t.Errorf("got  %d %s\n     %d %s\nwant 400 %s", status, body, formStatus, formBody, want)
			}
			if !strings.Contains(tt.query, "custom_tlvs") { // which /rate does not have
				r := httptest.NewRequest("GET", "/rate"+who+"&to=1"+tt.query, nil)
				if status, body := d.do(r); status != 400 || body != quoted(tt.text) {
					t.Errorf("/rate: got %d %s", status, body)
				}
			}
		})
	}
}

// A JSON decoder would put replacement characters where the octets are wrong.
func TestJSONThatIsNotUTF8IsRefused(t *testing.T) {
	d := newDoor(Config{})
	r := httptest.NewRequest("POST", "/send", strings.NewReader("{\"username\":\"foo\",\"password\":\"bar\",\"to\":\"1\",\"content\":\"Caf\xe9\"}"))
	r.Header.Set("Content-Type", "application/json")
	if status, body := d.do(r); status != 400 || body != `Error "Request body is not valid JSON: it is not UTF-8."` || len(d.submit.got) != 0 {
		t.Errorf("got %d %s", status, body)
	}
}
