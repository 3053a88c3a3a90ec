package httpapi

import (
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// The tables of parameters of the documentation of the HTTP API, line by line: values that their
// column "Value / Pattern" and its examples allow, and values that it does not. "" among the latter
// is the parameter left out, of those that are mandatory.
var documented = []struct {
	name    string
	also    string // what else the request then has
	allowed []string
	refused []string
	rate    bool // it is one of /rate as well
}{
	{"to", "", []string{"20203050", "+336222172", "0"}, []string{"", "+", "20203050,20203051", "20203050 20203051", "20 203", "Jasmin", "00++1"}, true},
	{"from", "", []string{"20203050", "Jasmin", "Jasmin GW", "+336"}, nil, true},
	{"coding", "", []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "13", "14"}, []string{"11", "12", "15", "-1", "00", "x", "8 "}, true},
	{"username", "", []string{"foo"}, []string{"", strings.Repeat("f", 31)}, true},
	{"password", "", []string{"bar"}, []string{"", strings.Repeat("b", 31)}, true},
	{"priority", "", []string{"0", "1", "2", "3"}, []string{"4", "-1", "high", "01"}, true},
	{"sdt", "", []string{"000000000100000R", "300102030405000+", "300102030405048-"}, []string{"000000000100000", "1 minute", "00000000010000R", "301302030405000+"}, false},
	{"validity-period", "", []string{"1440", "1"}, []string{"-1", "1.5", "1440m", "one"}, true},
	{"dlr", "", []string{"yes", "no"}, []string{"maybe", "1", "YES"}, false},
	{"dlr-url", "", []string{"http://host/dlr.php", "https://host:8443/dlr?a=b"}, []string{"host/dlr.php", "ftp://host/dlr.php", "http://"}, false},
	{"dlr-level", "&dlr-url=http://host/", []string{"1", "2", "3"}, []string{"0", "4", "both"}, false},
	{"dlr-method", "&dlr-url=http://host/", []string{"GET", "POST"}, []string{"PUT", "GETPOST"}, false},
	{"tags", "", []string{"1,702,9901", "1", "vip"}, []string{"a b", "a;b"}, true},
	{"content", "", []string{"Hello world !", strings.Repeat("x", 161)}, nil, true},
	{"hex-content", "&coding=8", []string{"0623063106460628", "00", "fF"}, []string{"062", "0G", "0x06"}, true},
}

func TestParametersTakeWhatTheDocumentationSays(t *testing.T) {
	known := make(map[string]bool)
	for _, tt := range documented {
		known[tt.name] = true
		request := func(path, value string, given bool) (int, string) {
			v := url.Values{"to": {"06222172"}, "username": {"foo"}, "password": {"bar"}, "content": {"x"}}
			if tt.name == "hex-content" {
				v.Del("content")
			}
			v.Del(tt.name)
			if given {
				v.Set(tt.name, value)
			}
			d := newDoor(Config{})
			status, body := d.do(httptest.NewRequest("GET", path+"?"+v.Encode()+tt.also, nil))
			if path == "/send" && (status == 200) != (len(d.submit.got) == 1) {
				t.Errorf("%s=%q: %d messages were submitted, answered %d %s", tt.name, value, len(d.submit.got), status, body)
			}
			return status, body
		}
		paths := []string{"/send"}
		if tt.rate {
			paths = append(paths, "/rate")
		}
		for _, path := range paths {
			for _, value := range tt.allowed {
				if status, body := request(path, value, true); status != 200 {
					t.Errorf("%s %s=%q: got %d %s", path, tt.name, value, status, body)
				}
			}
			for _, value := range tt.refused {
				told := value
				if tt.name == "password" {
					told = masking
				}
				want := `Argument [` + tt.name + `] has an invalid value: [` + told + `].`
				switch {
				case value == "":
					want = `Mandatory argument [` + tt.name + `] is not found.`
				case tt.name == "hex-content":
					want = `Invalid hex-content data: '` + value + `'`
				}
				if path == "/send" {
					want = "Error " + quoted(want)
				} else {
					want = quoted(want)
				}
				if status, body := request(path, value, value != ""); status != 400 || body != want {
					t.Errorf("%s %s=%q:\ngot  %d %s\nwant 400 %s", path, tt.name, value, status, body, want)
				}
			}
		}
		if !tt.rate {
			if status, body := request("/rate", tt.allowed[0], true); status != 400 || body != quoted("Argument ["+tt.name+"] is unknown.") {
				t.Errorf("/rate %s: got %d %s", tt.name, status, body)
			}
		}
	}
	for _, f := range sendFields {
		if ours := f.name == customTLVs || f.name == "language"; !ours && !known[f.name] {
			t.Errorf("%s is not in the table", f.name)
		}
		delete(known, f.name)
	}
	for name := range known {
		t.Errorf("%s is no parameter of /send", name)
	}
}
