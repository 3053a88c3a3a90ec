package httpapi

import (
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"jasmind/internal/sms"
)

// Whatever becomes of a request, neither its content, with log_privacy, nor the secrets of its dlr-url come into a log.
func TestNoSecretOfARequestIsLogged(t *testing.T) {
	const mark = "xyzzy"
	secret := url.QueryEscape("http://user:" + mark + "@h/p?token=" + mark)
	for name, query := range map[string]string{
		"sent":                          who + "&to=1&content=" + mark + "&dlr-url=" + secret,
		"octets of its own":             who + "&to=1&coding=4&content=" + mark,
		"escaped names":                 who + "&to=1&c%6fntent=" + mark + "&dlr%2durl=" + secret,
		"a wrong password":              "?username=foo&password=" + mark + "&to=1&content=" + mark,
		"hexadecimal that is none":      who + "&to=1&hex-content=" + mark,
		"an & that was not escaped":     who + "&to=1&content=fish&" + mark,
		"an & and a = likewise":         who + "&to=1&content=fish&" + mark + "=1",
		"that comes first":              "?" + mark + "=1",
		"content that is not UTF-8":     who + "&to=1&content=" + mark + "%e9",
		"content that cannot be coded":  who + "&to=1&language=turkish&content=" + mark,
		"custom TLVs that are none":     who + "&to=1&content=x&custom_tlvs=" + mark,
		"custom TLVs of a wrong type":   who + "&to=1&content=x&custom_tlvs=" + url.QueryEscape(`{"0x1400:Int4":"`+mark+`"}`),
		"a dlr-url that is none":        who + "&to=1&content=x&dlr-url=" + mark,
		"a dlr-url that cannot be read": who + "&to=1&content=x&dlr-url=" + url.QueryEscape("http://user:"+mark+"@h:x/"),
		"a dlr-url that is too long":    who + "&to=1&content=x&dlr-url=http://h/?" + strings.Repeat(mark, 1000),
		"no recipient":                  who + "&content=" + mark,
	} {
		for _, method := range []string{"GET", "POST"} {
			for _, fail := range []error{nil, &sms.Error{Reason: sms.ReasonNoRoute}, &sms.Error{Reason: sms.ReasonInternal}} {
				d := newDoor(Config{LogPrivacy: true})
				d.submit.fail = fail
				r := httptest.NewRequest(method, "/send"+query, nil)
				if method == "POST" {
					r = httptest.NewRequest(method, "/send", strings.NewReader(query[1:]))
				}
				r.Header.Set("Referer", "http://x/"+query)
				d.do(r)
				for log, text := range map[string]string{"log": d.log.String(), "access log": d.access.String()} {
					if strings.Contains(text, mark) {
						t.Errorf("%s by %s, %v: the %s says %s", name, method, fail, log, text)
					}
				}
			}
		}
	}
}

// What strangers send is logged short, and seldom.
func TestRefusedRequestsAreLoggedShort(t *testing.T) {
	d := newDoor(Config{})
	for range 200 {
		r := httptest.NewRequest("GET", "/send?foo="+strings.Repeat("x", 50<<10), nil)
		r.Header.Set("User-Agent", strings.Repeat("u", 10<<10))
		d.do(r)
	}
	if n := strings.Count(d.log.String(), "request refused"); n < 10 || n > 100 {
		t.Errorf("%d lines about 200 requests", n)
	}
	for line := range strings.Lines(d.access.String()) {
		if len(line) > 1500 {
			t.Fatalf("a line of %d octets", len(line))
		}
	}
}
