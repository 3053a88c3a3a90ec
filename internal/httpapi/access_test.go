package httpapi

import (
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// However a password comes, right or wrong, in a request that is understood or not, it stays out of
// both logs and out of the answer.
func TestNoPasswordIsWrittenWhateverTheRequest(t *testing.T) {
	const secret = "s3cret"
	form, doc := "application/x-www-form-urlencoded", "application/json"
	for _, tt := range []struct{ name, path, kind, body string }{
		{"GET", "/send?username=foo&password=" + secret + "&to=1&content=x", "", ""},
		{"GET of /balance", "/balance?username=foo&password=" + secret, "", ""},
		{"GET of /rate", "/rate?username=foo&to=1&password=" + secret, "", ""},
		{"another path", "/nothing?password=" + secret, "", ""},
		{"capitals", "/send?username=foo&PassWord=" + secret + "&to=1&content=x", "", ""},
		{"an escaped name", "/send?username=foo&%70assword=" + secret + "&to=1&content=x", "", ""},
		{"twice", "/send?username=foo&password=a&password=" + secret + "&to=1&content=x", "", ""},
		{"too long", "/send?username=foo&password=" + strings.Repeat(secret, 10) + "&to=1&content=x", "", ""},
		{"stray percent signs", "/send?username=%zz&password=%" + secret + "%&to=1&content=x", "", ""},
		{"form", "/send", form, "username=foo&password=" + secret + "&to=1&content=x"},
		{"form without to", "/send", form, "username=foo&password=" + secret},
		{"form with an unknown argument", "/send", form, "username=foo&password=" + secret + "&to=1&content=x&colour=1"},
		{"form in place of JSON", "/send", doc, "username=foo&password=" + secret + "&to=1&content=x"},
		{"JSON", "/send", doc, `{"username":"foo","password":"` + secret + `","to":"1","content":"x"}`},
		{"JSON that is cut off", "/send", doc, `{"username":"foo","password":"` + secret},
		{"JSON with an object for a password", "/send", doc, `{"username":"foo","password":{"a":"` + secret + `"},"to":"1"}`},
		{"JSON in place of a form", "/send", form, `{"username":"foo","password":"` + secret + `"}`},
		{"JSON for /balance", "/balance", doc, `{"username":"foo","password":"` + secret + `"}`},
		{"multipart", "/send", "multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=\"password\"\r\n\r\n" + secret + "\r\n--x--"},
		{"no content type", "/send", "", `password=` + secret},
		{"form with an odd kind", "/send", "text/plain; charset=\"", "username=foo&password=" + secret + "&to=1&content=x"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDoor(Config{})
			r := httptest.NewRequest("GET", tt.path, nil)
			if tt.body != "" {
				r = httptest.NewRequest("POST", tt.path, strings.NewReader(tt.body))
				r.Header.Set("Content-Type", tt.kind)
			}
			r.Header.Set("Referer", "http://x/?a=1&password="+secret)
			_, body := d.do(r)
			for what, text := range map[string]string{"access log": d.access.String(), "log": d.log.String(), "answer": body} {
				if strings.Contains(text, secret) {
					t.Errorf("it is in the %s:\n%s", what, text)
				}
			}
			if n := strings.Count(d.access.String(), "\n"); n != 1 {
				t.Errorf("%d lines in the access log", n)
			}
		})
	}
}

func TestAccessLogCannotBeForged(t *testing.T) {
	d := newDoor(Config{})
	r := httptest.NewRequest("GET", "/send?to="+url.QueryEscape("1\n1.2.3.4 - - x"), nil)
	r.Header.Set("User-Agent", "a\"b\nc")
	d.do(r)
	if got := d.access.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, `"a\"b\nc"`) {
		t.Errorf("got %q", got)
	}
}

func FuzzAccessLog(f *testing.F) {
	f.Add("username=foo&password=QQQQ&to=1", "password")
	f.Add("pass%77ord=QQQQ", "x")
	f.Add("0000000000&password=?0000000000", "0")
	f.Fuzz(func(t *testing.T, query, name string) {
		if line := (&accessLog{}).masked("/send", query+"&password=QQQQ&"+name); strings.Contains(line, "QQQQ&"+name) && !strings.Contains(query, "QQQQ") {
			t.Fatalf("a password in %q", line)
		}
		_, logged, _ := strings.Cut((&accessLog{}).masked("/", query), "?")
		for pair := range strings.SplitSeq(query, "&") {
			k, v, ok := strings.Cut(pair, "=")
			if ok && unescape(k) == "password" && len(v) > 10 && !strings.Contains(v, "*") && strings.Count(query, v) == 1 && strings.Contains(logged, v) {
				t.Fatalf("%q in %q", v, (&accessLog{}).masked("/", query))
			}
		}
	})
}
