package httpapi

import (
	"net/http/httptest"
	"strings"
	"testing"

	"jasmind/internal/account"
)

// newUserDoor is a door whose user foo/bar is u.
func newUserDoor(u *account.User) *door {
	d := newDoor(Config{})
	d.auth = fakeAuth(func(string, string) (*account.User, error) { return u, nil })
	return d
}

func newUser(t *testing.T, credentials ...string) *account.User {
	t.Helper()
	u := &account.User{UID: "u1", GID: "g1", Username: "foo", Enabled: true, Credentials: account.DefaultCredentials()}
	for _, c := range credentials {
		f := strings.SplitN(c, " ", 3)
		if err := account.SetCredential(&u.Credentials, account.MTMessagingCred, f[0], f[1], f[2]); err != nil {
			t.Fatal(err)
		}
	}
	return u
}

func TestSendIsAuthorisedAsDocumented(t *testing.T) {
	const authorization, filter = `Error "Authorization failed for user [foo] (`, `Error "Value filter failed for user [foo] (`
	long := strings.Repeat("x", 161)
	for _, tt := range []struct{ name, credential, query, body string }{
		{"http_send", "authorization http_send no", "&content=x", authorization + `Cannot send MT messages)."`},
		{"http_send comes first", "authorization http_send no", "&content=" + long + "&from=1", authorization + `Cannot send MT messages)."`},
		{"http_long_content", "authorization http_long_content no", "&content=" + long, authorization + `Long content not authorized)."`},
		{"http_long_content, one part", "authorization http_long_content no", "&content=" + long[1:], ""},
		{"dlr_level", "authorization dlr_level no", "&content=x&dlr=yes&dlr-url=http://x/&dlr-level=2", authorization + `Setting dlr level not authorized)."`},
		{"dlr_level, not set by the sender", "authorization dlr_level no", "&content=x&dlr=yes&dlr-url=http://x/", ""},
		{"http_dlr_method", "authorization http_dlr_method no", "&content=x&dlr=yes&dlr-url=http://x/&dlr-method=GET", authorization + `Setting dlr method not authorized)."`},
		{"http_dlr_method, not set by the sender", "authorization http_dlr_method no", "&content=x&dlr=yes&dlr-url=http://x/", ""},
		{"src_addr", "authorization src_addr no", "&content=x&from=1", authorization + `Setting source address not authorized)."`},
		{"src_addr, not set", "authorization src_addr no", "&content=x", ""},
		{"priority", "authorization priority no", "&content=x&priority=0", authorization + `Setting priority not authorized)."`},
		{"validity_period", "authorization validity_period no", "&content=x&validity-period=1", authorization + `Setting validity period not authorized)."`},
		{"hex_content", "authorization hex_content no", "&hex-content=00", authorization + `Setting hex content not authorized)."`},
		{"schedule_delivery_time", "authorization schedule_delivery_time no", "&content=x&sdt=000000000100000R", authorization + `Setting schedule delivery time not authorized)."`},
		{"smpps_send is for the other door", "authorization smpps_send no", "&content=x", ""},
		{"filter dst_addr", "valuefilter dst_addr ^33", "&content=x", filter + `destination_address filter mismatch)."`},
		{"filter src_addr", "valuefilter src_addr ^JASMIN$", "&content=x&from=JASMIN1", filter + `source_address filter mismatch)."`},
		{"filter src_addr that matches", "valuefilter src_addr ^JASMIN$", "&content=x&from=JASMIN", ""},
		{"filter src_addr without a source", "valuefilter src_addr ^JASMIN$", "&content=x", ""},
		{"filter priority", "valuefilter priority ^[01]$", "&content=x&priority=2", filter + `priority filter mismatch)."`},
		{"filter validity_period", "valuefilter validity_period ^60$", "&content=x&validity-period=61", filter + `validity_period filter mismatch)."`},
		{"filter content", "valuefilter content ^hello", "&content=x", filter + `content filter mismatch)."`},
		{"filter content does not see octets", "valuefilter content ^hello", "&hex-content=00", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newUserDoor(newUser(t, tt.credential))
			status, body := d.get(who + "&to=06222172" + tt.query)
			if tt.body == "" {
				if status != 200 || len(d.submit.got) != 1 {
					t.Errorf("got %d %s", status, body)
				}
				return
			}
			if status != 400 || body != tt.body || len(d.submit.got) != 0 {
				t.Errorf("got  %d %s\nwant 400 %s", status, body, tt.body)
			}
			json := `{"username":"foo","password":"bar","to":"06222172"`
			for pair := range strings.SplitSeq(strings.TrimPrefix(tt.query, "&"), "&") {
				k, v, _ := strings.Cut(pair, "=")
				json += `,"` + k + `":"` + v + `"`
			}
			r := httptest.NewRequest("POST", "/send", strings.NewReader(json+"}"))
			r.Header.Set("Content-Type", "application/json; charset=utf-8")
			if status, body := d.do(r); status != 400 || body != tt.body {
				t.Errorf("as JSON: got %d %s", status, body)
			}
		})
	}
}

func TestMessageIsItsUsers(t *testing.T) {
	for _, tt := range []struct{ name, credential, query, from string }{
		{"no default", "defaultvalue src_addr none", "", ""},
		{"a default", "defaultvalue src_addr ACME", "", "ACME"},
		{"the sender's wins", "defaultvalue src_addr ACME", "&from=1234", "1234"},
		{"an empty one of the sender's wins too", "defaultvalue src_addr ACME", "&from=", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u := newUser(t, tt.credential)
			d := newUserDoor(u)
			if status, body := d.get(who + "&to=1&content=x" + tt.query); status != 200 {
				t.Fatal(status, body)
			}
			if m := d.submit.got[0]; m.PDU.Source.Addr != tt.from || m.User != u || m.UID != "u1" || m.GID != "g1" {
				t.Errorf("got %+v", m)
			}
		})
	}
}
