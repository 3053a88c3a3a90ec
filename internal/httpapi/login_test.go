package httpapi

import (
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"jasmind/internal/account"
	"jasmind/internal/sms"
)

const (
	wrong = "?username=foo&password=no&to=1&content=x"
	right = who + "&to=1&content=x"
)

// from makes a request of an address.
func (d *door) from(addr, query string) (int, string) {
	r := httptest.NewRequest("GET", "/send"+query, nil)
	r.RemoteAddr = addr
	return d.do(r)
}

// oneUser is a directory with the user foo, whose password is bar.
type oneUser struct{ user *account.User }

func (o oneUser) Account(username string) (*account.User, *account.Group) {
	if username != "foo" {
		return nil, nil
	}
	return o.user, &account.Group{GID: "g1", Enabled: true}
}

func (o oneUser) Upgrade(*account.User, account.Password) {}

// Who fails too often is answered 429 and when to come again, also with the right password; another address, and one that logged
// in before, are not.
func TestTooManyFailedLoginsAreAnswered429(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, err := account.DeclaredPassword("bar")
		if err != nil {
			t.Fatal(err)
		}
		user := *foo
		user.Password = p
		d := newDoor(Config{})
		d.auth = account.NewAuthenticator(account.AuthConfig{}, oneUser{&user})
		d.from("192.0.2.9:1", right)
		for i := range 5 {
			if status, body := d.from("192.0.2.1:1000", wrong); status != 403 || body != `Error "Authentication failure for username:foo"` {
				t.Fatalf("failure %d: %d %s", i+1, status, body)
			}
		}
		for _, query := range []string{wrong, right} {
			r := httptest.NewRequest("GET", "/send"+query, nil)
			r.RemoteAddr = "192.0.2.1:2000"
			w := httptest.NewRecorder()
			d.http.Handler.ServeHTTP(w, r)
			if w.Code != 429 || w.Body.String() != `Error "Too many failed authentications, try again later"` || w.Header().Get("Retry-After") != "13" {
				t.Errorf("%s: %d %s, Retry-After %s", query, w.Code, w.Body, w.Header().Get("Retry-After"))
			}
		}
		for _, from := range []string{"192.0.2.2:1", "192.0.2.9:2"} {
			if status, body := d.from(from, right); status != 200 {
				t.Errorf("%s: %d %s", from, status, body)
			}
		}
		if n := d.Stats.AuthErrors.Load(); n != 7 {
			t.Errorf("auth_error_count is %d", n)
		}
		time.Sleep(13 * time.Second)
		if status, body := d.from("192.0.2.1:1", right); status != 200 {
			t.Errorf("later: %d %s", status, body)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	if n := retryAfter(&sms.Error{Reason: sms.ReasonUnavailable}); n != 1 {
		t.Errorf("got %d", n)
	}
}
