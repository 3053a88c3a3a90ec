package httpapi

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"jasmind/internal/billing"
	"jasmind/internal/queue"
	"jasmind/internal/sms"
)

// ask sends the same question in all ways there are and gives the answer, which must be the same.
func (d *door) ask(t *testing.T, path, query string) (int, string) {
	t.Helper()
	query = strings.TrimPrefix(query, "?")
	r := httptest.NewRequest("GET", path+"?"+query, nil)
	status, body := d.do(r)
	form := httptest.NewRequest("POST", path, strings.NewReader(query))
	form.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	var fields []string
	for pair := range strings.SplitSeq(query, "&") {
		if k, v, ok := strings.Cut(pair, "="); ok {
			fields = append(fields, fmt.Sprintf("%q:%q", k, v))
		}
	}
	doc := httptest.NewRequest("POST", path, strings.NewReader("{"+strings.Join(fields, ",")+"}"))
	doc.Header.Set("Content-Type", "application/json")
	for name, r := range map[string]string{"form": "", "JSON": ""} {
		req := form
		if name == "JSON" {
			req = doc
		}
		if s, b := d.do(req); s != status || b != body {
			t.Errorf("as %s: %d %s%s, by GET %d %s", name, s, b, r, status, body)
		}
	}
	return status, body
}

func TestRate(t *testing.T) {
	const to = who + "&to=06222172"
	for _, tt := range []struct {
		name, credential, query string
		fail                    error
		status                  int
		body                    string
	}{
		{"no content", "", to, nil, 200, `{"unit_rate": 2.8, "submit_sm_count": 1}`},
		{"two parts", "", to + "&content=" + strings.Repeat("x", 161), nil, 200, `{"unit_rate": 2.8, "submit_sm_count": 2}`},
		{"binary", "", to + "&hex-content=0623063106460628&coding=8", nil, 200, `{"unit_rate": 2.8, "submit_sm_count": 1}`},
		{"everything", "", to + "&from=1&coding=0&priority=1&validity-period=60&tags=1,2&content=x", nil, 200, `{"unit_rate": 2.8, "submit_sm_count": 1}`},
		{"no argument", "", "", nil, 400, `"Mandatory argument [to] is not found."`},
		{"no destination", "", who, nil, 400, `"Mandatory argument [to] is not found."`},
		{"bad destination", "", who + "&to=abc", nil, 400, `"Argument [to] has an invalid value: [abc]."`},
		{"unknown argument", "", to + "&foo=1", nil, 400, `"Argument [foo] is unknown."`},
		{"dlr is no argument here", "", to + "&dlr=yes", nil, 400, `"Argument [dlr] is unknown."`},
		{"bad coding", "", to + "&coding=11", nil, 400, `"Argument [coding] has an invalid value: [11]."`},
		{"both contents", "", to + "&content=x&hex-content=00", nil, 400, `"content and hex-content cannot be used both in same request."`},
		{"not authorised", "authorization http_rate no", to, nil, 400, `"Authorization failed for user [foo] (Cannot check rate)."`},
		{"http_send is for sending", "authorization http_send no", to, nil, 200, `{"unit_rate": 2.8, "submit_sm_count": 1}`},
		{"value filters are for sending", "valuefilter dst_addr ^33", to, nil, 200, `{"unit_rate": 2.8, "submit_sm_count": 1}`},
		{"no route", "", to, &sms.Error{Reason: sms.ReasonNoRoute}, 412, `"No route found"`},
		{"a quotation mark is escaped, an ampersand is not", "", to + "&a%26%22<=1", nil, 400, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var credentials []string
			if tt.credential != "" {
				credentials = append(credentials, tt.credential)
			}
			d := newUserDoor(newUser(t, credentials...))
			d.submit.fail = tt.fail
			if tt.body == "" {
				r := httptest.NewRequest("GET", "/rate"+tt.query, nil)
				if status, body := d.do(r); status != 400 || body != `"Argument [a&\"<] is unknown."` {
					t.Errorf("got %d %s", status, body)
				}
				return
			}
			if status, body := d.ask(t, "/rate", tt.query); status != tt.status || body != tt.body {
				t.Errorf("got  %d %s\nwant %d %s", status, body, tt.status, tt.body)
			}
			if len(d.submit.got) != 0 {
				t.Error("something was sent")
			}
		})
	}
}

func TestBalance(t *testing.T) {
	left := func(c billing.Credit, err error) func(billing.Credit) (billing.Credit, error) {
		return func(billing.Credit) (billing.Credit, error) { return c, err }
	}
	all := billing.Credit{HasBalance: true, Balance: 250_000, HasCount: true, Count: 7}
	for _, tt := range []struct {
		name        string
		credentials []string
		query       string
		credit      func(billing.Credit) (billing.Credit, error)
		status      int
		body        string
	}{
		{"unlimited", nil, who, nil, 200, `{"balance": "ND", "sms_count": "ND"}`},
		{"as documented", []string{"quota balance 100"}, who, nil, 200, `{"balance": 100.0, "sms_count": "ND"}`},
		{"what is left", []string{"quota balance 100", "quota sms_count 10"}, who, left(all, nil), 200, `{"balance": 0.25, "sms_count": 7}`},
		{"what the ledger knows of a quota that he has not", []string{"quota sms_count 10"}, who, left(all, nil), 200, `{"balance": "ND", "sms_count": 7}`},
		{"below zero", []string{"quota balance 1"}, who, left(billing.Credit{HasBalance: true, Balance: -1}, nil), 200, `{"balance": -0.000001, "sms_count": "ND"}`},
		{"no argument", nil, "", nil, 400, `"Mandatory arguments not found, please refer to the HTTPAPI specifications."`},
		{"no password", nil, "?username=foo", nil, 400, `"Mandatory argument [password] is not found."`},
		{"an argument of another endpoint", nil, who + "&to=1", nil, 400, `"Argument [to] is unknown."`},
		{"not authorised", []string{"authorization http_balance no"}, who, nil, 400, `"Authorization failed for user [foo] (Cannot check balance)."`},
		{"the ledger is away", []string{"quota balance 100"}, who, left(billing.Credit{}, queue.ErrUnavailable), 503, `"message store is unavailable, try again later"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newUserDoor(newUser(t, tt.credentials...))
			d.credit = tt.credit
			if status, body := d.ask(t, "/balance", tt.query); status != tt.status || body != tt.body {
				t.Errorf("got  %d %s\nwant %d %s", status, body, tt.status, tt.body)
			}
		})
	}
}

func TestRateAndBalanceAuthenticate(t *testing.T) {
	for path, query := range map[string]string{"/rate": "&to=1", "/balance": ""} {
		d := newDoor(Config{})
		if status, body := d.ask(t, path, "?username=foo&password=no"+query); status != 403 || body != `"Authentication failure for username:foo"` {
			t.Errorf("%s: %d %s", path, status, body)
		}
		if n := d.Stats.AuthErrors.Load(); n != 3 {
			t.Errorf("%s: %d authentication errors counted", path, n)
		}
		w := httptest.NewRecorder()
		d.http.Handler.ServeHTTP(w, httptest.NewRequest("GET", path+who+query, nil))
		if w.Code != 200 || w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %s", path, w.Code, w.Header().Get("Content-Type"))
		}
		w = httptest.NewRecorder()
		d.http.Handler.ServeHTTP(w, httptest.NewRequest("PUT", path+who+query, nil))
		if w.Code != 405 || w.Header().Get("Allow") != "GET, POST" {
			t.Errorf("%s: %d %s", path, w.Code, w.Header().Get("Allow"))
		}
	}
}
