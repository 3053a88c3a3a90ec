package account

import (
	"errors"
	"testing"

	"jasmind/internal/sms"
)

func TestAuthoriseHTTPSend(t *testing.T) {
	given := func(s string) Param { return Param{Set: true, Value: s} }
	full := HTTPSend{To: "33612", From: given("JASMIN"), Content: given("hello\nworld"), Priority: given("2"), Validity: given("60"), Hex: true, Schedule: true, Level: true, Method: true, Long: true}
	plain := HTTPSend{To: "33612", Content: given("hello")}
	for _, tt := range []struct {
		section, key, value string
		request             HTTPSend
		field, detail       string // detail "": allowed
	}{
		{"authorization", "http_send", "yes", full, "", ""},
		{"authorization", "http_send", "no", plain, "", "Authorization failed for user [foo] (Cannot send MT messages)."},
		{"authorization", "http_long_content", "no", full, "content", "Authorization failed for user [foo] (Long content not authorized)."},
		{"authorization", "http_long_content", "no", plain, "", ""},
		{"authorization", "dlr_level", "no", full, "dlr-level", "Authorization failed for user [foo] (Setting dlr level not authorized)."},
		{"authorization", "dlr_level", "no", plain, "", ""},
		{"authorization", "http_dlr_method", "no", full, "dlr-method", "Authorization failed for user [foo] (Setting dlr method not authorized)."},
		{"authorization", "http_dlr_method", "no", plain, "", ""},
		{"authorization", "src_addr", "no", full, "from", "Authorization failed for user [foo] (Setting source address not authorized)."},
		{"authorization", "src_addr", "no", plain, "", ""},
		{"authorization", "priority", "no", full, "priority", "Authorization failed for user [foo] (Setting priority not authorized)."},
		{"authorization", "priority", "no", plain, "", ""},
		{"authorization", "validity_period", "no", full, "validity-period", "Authorization failed for user [foo] (Setting validity period not authorized)."},
		{"authorization", "validity_period", "no", plain, "", ""},
		{"authorization", "hex_content", "no", full, "hex-content", "Authorization failed for user [foo] (Setting hex content not authorized)."},
		{"authorization", "hex_content", "no", plain, "", ""},
		{"authorization", "schedule_delivery_time", "no", full, "sdt", "Authorization failed for user [foo] (Setting schedule delivery time not authorized)."},
		{"authorization", "schedule_delivery_time", "no", plain, "", ""},
		{"valuefilter", "dst_addr", "^44", plain, "to", "Value filter failed for user [foo] (destination_address filter mismatch)."},
		{"valuefilter", "dst_addr", "^33", plain, "", ""},
		{"valuefilter", "src_addr", "^X", full, "from", "Value filter failed for user [foo] (source_address filter mismatch)."},
		{"valuefilter", "src_addr", "^X", plain, "", ""}, // not given, not looked at
		{"valuefilter", "priority", "^[01]$", full, "priority", "Value filter failed for user [foo] (priority filter mismatch)."},
		{"valuefilter", "validity_period", "^6$", full, "validity-period", "Value filter failed for user [foo] (validity_period filter mismatch)."},
		{"valuefilter", "content", "ello", plain, "content", "Value filter failed for user [foo] (content filter mismatch)."},
		{"valuefilter", "content", "hello", full, "", ""},
	} {
		u := User{Username: "foo", UID: "u1", Credentials: DefaultCredentials()}
		if err := SetCredential(&u.Credentials, MTMessagingCred, tt.section, tt.key, tt.value); err != nil {
			t.Fatal(err)
		}
		err := u.AuthoriseHTTPSend(&tt.request)
		if tt.detail == "" {
			if err != nil {
				t.Errorf("%s %s: refused: %v", tt.key, tt.value, err)
			}
			continue
		}
		want := sms.ReasonAuthorization
		if tt.section == "valuefilter" {
			want = sms.ReasonValueFilter
		}
		var e *sms.Error
		if !errors.As(err, &e) || e.Reason != want || e.Field != tt.field || e.Detail != tt.detail {
			t.Errorf("%s %s: got %+v, want %s %s %q", tt.key, tt.value, err, want, tt.field, tt.detail)
		}
	}
}

func TestAuthoriseBalanceAndRate(t *testing.T) {
	u := User{Username: "foo", Credentials: DefaultCredentials()}
	if err := errors.Join(u.AuthoriseHTTPBalance(), u.AuthoriseHTTPRate()); err != nil {
		t.Errorf("refused by default: %v", err)
	}
	u.MT.Authorization.HTTPBalance, u.MT.Authorization.HTTPRate = false, false
	if err := u.AuthoriseHTTPBalance(); sms.ReasonOf(err) != sms.ReasonAuthorization || err.Error() != "Authorization failed for user [foo] (Cannot check balance)." {
		t.Errorf("balance: %v", err)
	}
	if err := u.AuthoriseHTTPRate(); sms.ReasonOf(err) != sms.ReasonAuthorization || err.Error() != "Authorization failed for user [foo] (Cannot check rate)." {
		t.Errorf("rate: %v", err)
	}
}

func TestSource(t *testing.T) {
	u := User{Credentials: DefaultCredentials()}
	if got := u.Source(Param{}); got != "" {
		t.Errorf("got %q", got)
	}
	u.MT.DefaultSource = "JASMIN"
	if got := u.Source(Param{}); got != "JASMIN" {
		t.Errorf("got %q", got)
	}
	if got := u.Source(Param{Set: true, Value: "1234"}); got != "1234" {
		t.Errorf("got %q", got)
	}
}
