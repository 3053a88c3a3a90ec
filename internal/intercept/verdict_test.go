package intercept

import (
	"errors"
	"strings"
	"testing"

	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

func asError(err error, target **sms.Error) bool { return errors.As(err, target) }

func TestDecide(t *testing.T) {
	n := func(v int64) status { return status{set: true, number: true, value: v} }
	other := status{set: true}
	var unset status
	s := &Script{kind: Python, origin: "/x.py"}
	tests := []struct {
		name       string
		smpp, http status
		id         string
		answered   bool
		id2        string
		reason     sms.Reason
		pair       sms.StatusPair
		detail     string
	}{
		{"smpp_status alone makes HTTP 520", n(64), unset, "", false, "", sms.ReasonIntercepted, sms.StatusPair{HTTP: 520, SMPP: 64}, "Interception specific error code 520"},
		{"http_status alone makes SMPP 255", unset, n(404), "", false, "", sms.ReasonIntercepted, sms.StatusPair{HTTP: 404, SMPP: 255}, "Interception specific error code 404"},
		{"both are kept", n(88), n(429), "", false, "", sms.ReasonIntercepted, sms.StatusPair{HTTP: 429, SMPP: 88}, "Interception specific error code 429"},
		{"an unknown smpp_status becomes 8", n(9), unset, "", false, "", sms.ReasonIntercepted, sms.StatusPair{HTTP: 520, SMPP: 8}, "Interception specific error code 520"},
		{"a negative smpp_status becomes 8", n(-1), unset, "", false, "", sms.ReasonIntercepted, sms.StatusPair{HTTP: 520, SMPP: 8}, "Interception specific error code 520"},
		{"a huge smpp_status becomes 8", n(1 << 31), unset, "", false, "", sms.ReasonIntercepted, sms.StatusPair{HTTP: 520, SMPP: 8}, "Interception specific error code 520"},
		{"a broadcast status of the table is known", n(274), unset, "", false, "", sms.ReasonIntercepted, sms.StatusPair{HTTP: 520, SMPP: 274}, "Interception specific error code 520"},
		{"smpp_status that is no number becomes 255", other, unset, "", false, "", sms.ReasonIntercepted, sms.StatusPair{HTTP: 520, SMPP: 255}, "Interception specific error code 520"},
		{"http_status that is no number becomes 520", n(8), other, "", false, "", sms.ReasonIntercepted, sms.StatusPair{HTTP: 520, SMPP: 8}, "Interception specific error code 520"},
		{"http_status that nobody can answer becomes 520", unset, n(7), "", false, "", sms.ReasonIntercepted, sms.StatusPair{HTTP: 520, SMPP: 255}, "Interception specific error code 520"},
		{"http_status 100 becomes 520", unset, n(100), "", false, "", sms.ReasonIntercepted, sms.StatusPair{HTTP: 520, SMPP: 255}, "Interception specific error code 520"},
		{"smpp_status 0 answers", n(0), unset, "", true, "", 0, sms.StatusPair{}, ""},
		{"smpp_status 0 answers with an id", n(0), unset, "abc-1", true, "abc-1", 0, sms.StatusPair{}, ""},
		{"smpp_status 0 with HTTP 200 answers", n(0), n(200), "x", true, "x", 0, sms.StatusPair{}, ""},
		{"smpp_status 0 with HTTP 0 answers", n(0), n(0), "", true, "", 0, sms.StatusPair{}, ""},
		{"an HTTP error beside smpp_status 0 wins", n(0), n(403), "", false, "", sms.ReasonIntercepted, sms.StatusPair{HTTP: 403, SMPP: 255}, "Interception specific error code 403"},
		{"a zero http_status counts as not set", n(64), n(0), "", false, "", sms.ReasonIntercepted, sms.StatusPair{HTTP: 520, SMPP: 64}, "Interception specific error code 520"},
		{"http_status 0 alone asks for nothing", unset, n(0), "", false, "", 0, sms.StatusPair{}, ""},
		{"HTTP 200 with an SMPP error is a failed script", n(64), n(200), "", false, "", sms.ReasonIntercepted, sms.StatusPair{HTTP: 400, SMPP: 64}, FailureDetail},
		{"HTTP 200 alone is a failed script", unset, n(200), "", false, "", sms.ReasonIntercepted, sms.StatusPair{HTTP: 400, SMPP: 255}, FailureDetail},
		{"an id that is too long is a failure", n(0), unset, strings.Repeat("x", 65), false, "", sms.ReasonInterceptor, sms.StatusPair{HTTP: 400, SMPP: 8}, FailureDetail},
		{"an id with a line break is a failure", n(0), unset, "a\nb", false, "", sms.ReasonInterceptor, sms.StatusPair{HTTP: 400, SMPP: 8}, FailureDetail},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, err := decide(s, tt.smpp, tt.http, tt.id)
			if (a != nil) != tt.answered || a != nil && a.MessageID != tt.id2 {
				t.Fatalf("answered %+v, want %v with id %q", a, tt.answered, tt.id2)
			}
			var e *sms.Error
			if tt.reason == 0 {
				if err != nil {
					t.Errorf("got %v, want no error", err)
				}
				return
			}
			if !asError(err, &e) || e.Reason != tt.reason || *e.Override != tt.pair || e.Detail != tt.detail {
				t.Errorf("got %+v, want %v %+v %q", err, tt.reason, tt.pair, tt.detail)
			}
		})
	}
}

// Every status of the documentation's table passes as it is, and no other does.
func TestKnownStatuses(t *testing.T) {
	documented := []int64{1, 2, 3, 4, 5, 6, 7, 8, 265, 10, 11, 12, 13, 14, 15, 272, 17, 274, 19, 20, 21, 196, 260, 261, 262, 263, 257, 273,
		264, 270, 51, 52, 267, 266, 192, 64, 193, 66, 67, 68, 69, 256, 72, 73, 258, 269, 80, 81, 83, 84, 85, 88, 271, 97, 98, 99, 100, 101,
		102, 103, 259, 194, 268, 255, 254, 195}
	table := map[int64]bool{}
	for _, n := range documented {
		table[n] = true
	}
	for n := int64(1); n < 2000; n++ {
		want := pdu.Status(n)
		if !table[n] {
			want = pdu.StatusSysErr
		}
		if got := known(n); got != want {
			t.Errorf("status %d: got %d, want %d", n, got, want)
		}
	}
}
