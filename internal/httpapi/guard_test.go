package httpapi

import (
	"context"
	"fmt"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"jasmind/internal/account"
)

// from makes a request of an address.
func (d *door) from(addr, query string) (int, string) {
	r := httptest.NewRequest("GET", "/send"+query, nil)
	r.RemoteAddr = addr
	return d.do(r)
}

const (
	wrong = "?username=foo&password=no&to=1&content=x"
	right = who + "&to=1&content=x"
)

func TestWrongPasswordsOfOneAddressAreAnsweredLaterAndLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(Config{})
		want := []time.Duration{0, 0, 0, 250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 8 * time.Second}
		for i, w := range want {
			began := time.Now()
			status, body := d.from("192.0.2.1:1000", wrong)
			if took := time.Since(began); took != w || status != 403 || body != `Error "Authentication failure for username:foo"` {
				t.Errorf("failure %d: %d %s after %v, want %v", i+1, status, body, took, w)
			}
		}
		for name, who := range map[string]string{"a right password behind the same address": "192.0.2.1:2000", "another address": "192.0.2.2:1000"} {
			began := time.Now()
			query := right
			if strings.HasPrefix(name, "another") {
				query = wrong
			}
			d.from(who, query)
			if took := time.Since(began); took != 0 {
				t.Errorf("%s waited %v", name, took)
			}
		}
		time.Sleep(forgetAfter + time.Second)
		began := time.Now()
		if d.from("192.0.2.1:1000", wrong); time.Since(began) != 0 {
			t.Error("it is not forgotten")
		}
	})
}

func TestManyConnectionsOfOneAddressGainNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(Config{})
		for range freeFailures {
			d.from("[2001:db8::1]:1", wrong)
		}
		answered := make(chan time.Duration, 20)
		began := time.Now()
		for i := range cap(answered) {
			go func() {
				d.from(fmt.Sprintf("[2001:db8::%d]:1", i+2), wrong) // one /64
				answered <- time.Since(began)
			}()
		}
		synctest.Wait()
		if len(answered) != 0 {
			t.Errorf("%d were answered at once", len(answered))
		}
		if status, _ := d.from("[2001:db8::77]:1", right); status != 200 || time.Since(began) != 0 {
			t.Errorf("a right password: %d after %v", status, time.Since(began))
		}
		var last time.Duration
		for i := range cap(answered) {
			took := <-answered
			if i < 5 && took == last {
				t.Errorf("answer %d came with the one before", i+1)
			}
			if took > longestWait {
				t.Errorf("answer %d after %v", i+1, took)
			}
			last = took
		}
		if last != longestWait {
			t.Errorf("the last one after %v", last)
		}
	})
}

func TestAClientThatLeavesAndAShutdownEndTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(Config{})
		for range freeFailures + 5 {
			d.from("192.0.2.1:1", wrong)
		}
		began := time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		r := httptest.NewRequest("GET", "/send"+wrong, nil).WithContext(ctx)
		done := make(chan bool, 2)
		go func() { d.do(r); done <- true }()
		synctest.Wait()
		cancel()
		<-done
		go func() { d.from("192.0.2.1:1", wrong); done <- true }()
		synctest.Wait()
		if err := d.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		<-done
		if took := time.Since(began); took != 0 {
			t.Errorf("they waited %v", took)
		}
	})
}

// slowAuth lets a test see how many passwords are computed at a time, and knows one user.
type slowAuth struct {
	in   chan struct{}
	out  chan struct{}
	know bool
}

func (a *slowAuth) Check(_ context.Context, u, p string) (*account.User, error) {
	a.in <- struct{}{}
	<-a.out
	return fooBar(u, p)
}

func (a *slowAuth) Known(_, p string) *account.User {
	if a.know && p == "bar" {
		return foo
	}
	return nil
}

func TestAFloodOfWrongPasswordsLeavesTheWorkersToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(Config{})
		for range freeFailures + 1 {
			d.from("192.0.2.1:1", wrong)
		}
		auth := &slowAuth{in: make(chan struct{}, 1000), out: make(chan struct{}), know: true}
		d.auth = auth
		done := make(chan int, 1000)
		for range maxWaiting {
			go func() { status, _ := d.from("192.0.2.1:1", wrong); done <- status }()
		}
		synctest.Wait()
		if n := len(auth.in); n != maxChecks {
			t.Errorf("%d are computed at a time", n)
		}
		if status, body := d.from("192.0.2.1:1", wrong); status != 429 || body != `Error "Too many failed authentications, try again later"` {
			t.Errorf("one more: %d %s", status, body)
		}
		if status, _ := d.from("192.0.2.1:1", right); status != 200 {
			t.Errorf("a user who is known, behind the same address: %d", status)
		}
		go func() { status, _ := d.from("192.0.2.9:1", wrong); done <- status }()
		synctest.Wait()
		if n := len(auth.in); n != maxChecks+1 {
			t.Errorf("another address is not looked at: %d", n)
		}
		close(auth.out)
		for range maxWaiting + 1 {
			if status := <-done; status != 403 && status != 503 {
				t.Errorf("answered %d", status)
			}
		}
	})
}

func TestTheTableOfSuspectsIsBounded(t *testing.T) {
	var g guard
	for i := range maxSuspects + 500 {
		g.failed(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}))
	}
	if n := len(g.suspects); n != maxSuspects {
		t.Errorf("%d entries", n)
	}
}
