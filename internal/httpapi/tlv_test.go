package httpapi

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

func TestCustomTLVsAreRead(t *testing.T) {
	const document = `{"0x1400": "17", "0x1401:Int4": 7}`
	want := []sms.CustomTLV{{Tag: 0x1400, Length: -1, Value: "17"}, {Tag: 0x1401, Length: -1, Type: "Int4", Value: int64(7)}}
	asJSON := func(value string) string {
		return `{"username":"foo","password":"bar","to":"1","content":"x","custom_tlvs":` + value + `}`
	}
	for _, tt := range []struct{ name, kind, body string }{
		{"GET", "", who + "&to=1&content=x&custom_tlvs=" + url.QueryEscape(document)},
		{"form", "application/x-www-form-urlencoded", who[1:] + "&to=1&content=x&custom_tlvs=" + url.QueryEscape(document)},
		{"JSON object", "application/json", asJSON(document)},
		{"JSON text", "application/json; charset=utf-8", asJSON(quoted(document))},
		{"the older form", "application/json", asJSON(`[[5120,null,null,"17"],[5121,null,"Int4",7]]`)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDoor(Config{})
			var r *http.Request
			if tt.kind == "" {
				r = httptest.NewRequest("GET", "/send"+tt.body, nil)
			} else {
				r = httptest.NewRequest("POST", "/send", strings.NewReader(tt.body))
				r.Header.Set("Content-Type", tt.kind)
			}
			if status, body := d.do(r); status != 200 {
				t.Fatal(status, body)
			}
			if got := d.submit.got[0].CustomTLVs; !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
	for value, fault := range map[string]string{
		`{"0x1400": 1`:                 "is not valid JSON: it ends too early",
		`{"0x0424": 1}`:                `tag "0x0424" is not in 0x1400 to 0x3FFF`,
		`{"0x1400:Int3": 1}`:           `tag 0x1400: type "Int3" is none of Int1, Int2, Int4, Int8, OctetString, COctetString`,
		`{"0x1400": [1]}`:              "tag 0x1400: value [1] must be a text or a whole number",
		"{\"0x1400\nSMS-MT [x]\": 1}":  `is not valid JSON: invalid character '\n' in string literal`,
		"{\"0x1400\\nSMS-MT [x]\": 1}": `tag "0x1400\nSMS-MT [x]" is no number, must be hexadecimal as in 0x1400, or decimal`,
	} {
		d := newDoor(Config{})
		status, body := d.get(who + "&to=1&content=x&custom_tlvs=" + url.QueryEscape(value))
		if status != 400 || body != `Error "Argument [custom_tlvs] has an invalid value: `+fault+`."` || len(d.submit.got) != 0 {
			t.Errorf("%s: got %d %s", value, status, body)
		}
	}
}

// What the connector's rules refuse has a command_status for ESMEs; here it is a 400.
func TestRulesOfTheConnectorAreToldAsTheyAre(t *testing.T) {
	d := newDoor(Config{})
	d.submit.fail = &sms.Error{Reason: sms.ReasonInvalid, Field: "custom_tlvs", Detail: "custom TLV 0x1400 is required", Override: &sms.StatusPair{SMPP: pdu.StatusMissingOptParam}}
	if status, body := d.get(who + "&to=1&content=x"); status != 400 || body != `Error "custom TLV 0x1400 is required"` {
		t.Errorf("got %d %s", status, body)
	}
}
