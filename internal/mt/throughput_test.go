package mt

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"jasmind/internal/account"
	"jasmind/internal/sms"
)

func userWith(change func(*account.User)) *account.User {
	u := &account.User{UID: "u1", GID: "g1", Username: "foo", Enabled: true, Credentials: account.DefaultCredentials()}
	if change != nil {
		change(u)
	}
	return u
}

func perSecond(http, smpps float64) func(*account.User) {
	return func(u *account.User) {
		u.MT.Quota.HTTPThroughput = account.Limit[float64]{Set: true, Value: http}
		u.MT.Quota.SMPPSThroughput = account.Limit[float64]{Set: true, Value: smpps}
	}
}

func TestThroughputHasABurstOfOneSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var rates throughput
		// taken gives how many of n attempts at this moment got a token.
		taken := func(u *account.User, origin sms.Origin, n int) int {
			got := 0
			for range n {
				switch err := rates.allow(u, origin); {
				case err == nil:
					got++
				case sms.ReasonOf(err) != sms.ReasonThrottled:
					t.Errorf("refused with %v", err)
				}
			}
			return got
		}
		want := func(what string, got, want int) {
			t.Helper()
			if got != want {
				t.Errorf("%s: %d messages, want %d", what, got, want)
			}
		}
		u := userWith(perSecond(5, 2))
		want("a fresh bucket", taken(u, sms.OriginHTTP, 20), 5)
		want("the other door has its own", taken(u, sms.OriginSMPP, 20), 2)
		time.Sleep(199 * time.Millisecond)
		want("before the next is due", taken(u, sms.OriginHTTP, 20), 0)
		time.Sleep(time.Millisecond)
		want("one is due", taken(u, sms.OriginHTTP, 20), 1)
		time.Sleep(time.Hour)
		want("after a pause no more than one second's", taken(u, sms.OriginHTTP, 20), 5)
		u = userWith(perSecond(1, 2))
		want("a new limit gives no full bucket", taken(u, sms.OriginHTTP, 20), 0)
		time.Sleep(time.Second)
		want("the new limit", taken(u, sms.OriginHTTP, 20), 1)
		u = userWith(perSecond(0.5, 2))
		time.Sleep(2 * time.Second)
		want("half a message a second", taken(u, sms.OriginHTTP, 20), 1)
		want("another user", taken(userWith(func(u *account.User) { u.UID = "u2"; perSecond(3, 3)(u) }), sms.OriginHTTP, 20), 3)
		want("unlimited", taken(userWith(nil), sms.OriginHTTP, 20), 20)
		want("0 is unlimited", taken(userWith(perSecond(0, 0)), sms.OriginHTTP, 20), 20)
		want("nobody's message", taken(nil, sms.OriginHTTP, 20), 20)
		rates.forget("u1")
		want("a user who was removed and added", taken(u, sms.OriginHTTP, 20), 1)
	})
}

func TestThroughputIsLookedAtAfterTheRoute(t *testing.T) {
	f := newFake()
	s := f.service(Config{})
	u := userWith(perSecond(1, 1))
	m := func() *Message { m := text("hi"); m.User = u; return m }
	f.noRoute = true
	for range 3 {
		if _, err := s.Submit(t.Context(), m()); sms.ReasonOf(err) != sms.ReasonNoRoute {
			t.Fatal(err)
		}
	}
	f.noRoute = false
	f.submit(t, s, m()) // the token is still there
	if _, err := s.Submit(t.Context(), m()); sms.ReasonOf(err) != sms.ReasonThrottled {
		t.Errorf("got %v", err)
	}
	s.Forget("u1")
	f.submit(t, s, m())
}

func TestLongContentIsRefusedAlsoWhenTheConnectorsCodingMakesIt(t *testing.T) {
	f := newFake()
	f.cfg.Coding = 8
	s := f.service(Config{})
	m := text(strings.Repeat("x", 71))
	m.User = userWith(func(u *account.User) { u.MT.Authorization.HTTPLongContent = false })
	_, err := s.Submit(t.Context(), m)
	if sms.ReasonOf(err) != sms.ReasonAuthorization || err.Error() != "Authorization failed for user [foo] (Long content not authorized)." {
		t.Errorf("got %v", err)
	}
	m.User = userWith(nil)
	f.submit(t, s, m)
	m = text(strings.Repeat("x", 70))
	m.User = userWith(func(u *account.User) { u.MT.Authorization.HTTPLongContent = false })
	f.submit(t, s, m)
}

func TestCountAgreesWithSubmit(t *testing.T) {
	f := newFake()
	f.cfg.Coding = 0
	s := f.service(Config{MaxParts: 3})
	for _, n := range []int{0, 1, 160, 161, 306, 307, 459, 460, 2000} {
		for _, text := range []string{strings.Repeat("x", n), strings.Repeat("€", n), strings.Repeat("x", n) + "é"} {
			t.Run(fmt.Sprint(n, len(text)), func(t *testing.T) {
				m := &Message{UID: "u1", Origin: sms.OriginHTTP, Text: text, IsText: true}
				m.PDU.Dest.Addr = "336"
				count, err := s.Count(m)
				if err != nil {
					t.Fatal(err)
				}
				if _, env := f.submit(t, s, m); len(env.Parts) != count {
					t.Errorf("counted %d, sent %d", count, len(env.Parts))
				}
			})
		}
	}
}
