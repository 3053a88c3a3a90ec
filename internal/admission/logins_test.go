package admission

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

func address(s string) netip.Addr { return netip.MustParseAddr(s) }

// fail makes attempts that fail until one is refused, at most n, and tells how many were looked at and why no more.
func fail(l *Logins, from, username string, n int) (looked int, by string) {
	for looked < n {
		if _, err := l.Begin(address(from), username); err != nil {
			var r *RefusedError
			if !errors.As(err, &r) || r.Wait <= 0 {
				return looked, "no reason"
			}
			return looked, r.By
		}
		looked++
	}
	return looked, ""
}

func want(t *testing.T, what string, looked int, by string, wantLooked int, wantBy string) {
	t.Helper()
	if looked != wantLooked || by != wantBy {
		t.Errorf("%s: %d were looked at, then refused by %q; want %d, %q", what, looked, by, wantLooked, wantBy)
	}
}

func TestFailuresAreLimitedByNameAndByAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLogins(LoginConfig{PerName: 5, PerAddress: 12})
		looked, by := fail(l, "192.0.2.1", "foo", 100)
		want(t, "one name", looked, by, 5, "name")
		looked, by = fail(l, "192.0.2.1", "bar", 100)
		want(t, "another name", looked, by, 5, "name")
		looked, by = fail(l, "192.0.2.1", "baz", 100)
		want(t, "a third one", looked, by, 2, "address")
		looked, by = fail(l, "192.0.2.2", "foo", 100)
		want(t, "the first one from another address", looked, by, 5, "name")

		time.Sleep(time.Minute / 5)
		looked, by = fail(l, "192.0.2.1", "foo", 100)
		want(t, "a fifth of a minute later", looked, by, 1, "name")
		time.Sleep(2 * time.Minute)
		looked, by = fail(l, "192.0.2.1", "foo", 100)
		want(t, "two minutes later", looked, by, 5, "name")
		if a, n, s := l.Stats.Attempts.Load(), l.Stats.RefusedByName.Load(), l.Stats.RefusedByAddress.Load(); a != 23 || n != 5 || s != 1 {
			t.Errorf("counted %d attempts, %d and %d refused", a, n, s)
		}
	})
}

func TestTheRefusalSaysWhenTheNextIsLookedAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLogins(LoginConfig{})
		fail(l, "192.0.2.1", "foo", 5)
		_, err := l.Begin(address("192.0.2.1"), "foo")
		var r *RefusedError
		if !errors.As(err, &r) || r.Wait != 12*time.Second {
			t.Fatalf("got %v, want 12 s", err)
		}
		time.Sleep(r.Wait)
		if _, err := l.Begin(address("192.0.2.1"), "foo"); err != nil {
			t.Error(err)
		}
	})
}

func TestAddressesThatAreOne(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		same bool
	}{
		{"192.0.2.1", "::ffff:192.0.2.1", true},
		{"192.0.2.1", "192.0.2.2", false},
		{"2001:db8::1", "2001:db8::ffff:1", true},
		{"2001:db8::1", "2001:db8:0:1::1", false},
		{"fe80::1%eth0", "fe80::2", true},
	} {
		if got := Source(address(tt.a)) == Source(address(tt.b)); got != tt.same {
			t.Errorf("%s and %s: %v", tt.a, tt.b, got)
		}
	}
}

// Who hangs up has failed: nobody needs to tell of it.
func TestWhatBeganAndDidNotSucceedHasFailed(t *testing.T) {
	l := NewLogins(LoginConfig{PerName: 2})
	for range 4 {
		if err := l.May(address("192.0.2.1"), "foo"); err != nil {
			t.Fatal(err)
		}
		a, err := l.Begin(address("192.0.2.1"), "foo")
		if err != nil {
			t.Fatal(err)
		}
		a.Succeeded()
	}
	looked, by := fail(l, "192.0.2.1", "foo", 100)
	want(t, "after some that did not fail", looked, by, 2, "name")
	if l.May(address("192.0.2.1"), "foo") == nil {
		t.Error("another one may begin")
	}
}

// A login that succeeds takes back itself, not the failures before it: who has an account cannot guess at others.
func TestASuccessDoesNotForgetFailures(t *testing.T) {
	l := NewLogins(LoginConfig{PerName: 5, PerAddress: 10})
	total := 0
	for range 20 {
		if a, err := l.Begin(address("192.0.2.1"), "mine"); err == nil {
			a.Succeeded()
		}
		looked, _ := fail(l, "192.0.2.1", fmt.Sprint("other", total), 1)
		total += looked
	}
	if total != 10 {
		t.Errorf("%d guesses, want 10", total)
	}
}

func TestWhoLoggedInFromAnAddressIsNotLockedOutByNeighbours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLogins(LoginConfig{PerName: 5, PerAddress: 10})
		login := func() error {
			a, err := l.Begin(address("192.0.2.1"), "foo")
			if err == nil {
				a.Succeeded()
			}
			return err
		}
		if err := login(); err != nil {
			t.Fatal(err)
		}
		for i := range 100 {
			fail(l, "192.0.2.1", fmt.Sprint("guess", i), 100)
		}
		if err := login(); err != nil || !l.Trusted(address("192.0.2.1"), "foo") {
			t.Errorf("refused because of neighbours: %v", err)
		}
		if l.Trusted(address("192.0.2.2"), "foo") || l.Trusted(address("192.0.2.1"), "other") {
			t.Error("a stranger is trusted")
		}
		time.Sleep(friendship + time.Second)
		if l.Trusted(address("192.0.2.1"), "foo") {
			t.Error("trusted for ever")
		}
	})
}

// Behind an address where somebody guesses at a friend's password, the right one goes on for as long as the guesses are few.
func TestGuessesAtAFriend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLogins(LoginConfig{PerName: 5})
		a, err := l.Begin(address("192.0.2.1"), "foo")
		if err != nil {
			t.Fatal(err)
		}
		a.Succeeded()
		for i := range 65 {
			if !l.Trusted(address("192.0.2.1"), "foo") {
				t.Fatalf("not trusted after %d wrong passwords", i)
			}
			fail(l, "192.0.2.1", "foo", 1)
		}
		if l.Trusted(address("192.0.2.1"), "foo") {
			t.Error("guesses have no end")
		}
		time.Sleep(2 * time.Second)
		if !l.Trusted(address("192.0.2.1"), "foo") {
			t.Error("locked out for long")
		}
	})
}

// However many guesses were refused, they are forgotten with their minute: what comes later counts from anew.
func TestRefusedGuessesAtAFriendHaveNoLongMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLogins(LoginConfig{PerName: 5})
		a, err := l.Begin(address("192.0.2.1"), "foo")
		if err != nil {
			t.Fatal(err)
		}
		a.Succeeded()
		for range 100_000 {
			_, _ = l.Begin(address("192.0.2.1"), "foo")
		}
		if l.Trusted(address("192.0.2.1"), "foo") {
			t.Error("guesses have no end")
		}
		time.Sleep(time.Minute)
		for i := range refusedGuess {
			if !l.Trusted(address("192.0.2.1"), "foo") {
				t.Fatalf("a minute later not trusted after %d wrong passwords", i)
			}
			_, _ = l.Begin(address("192.0.2.1"), "foo")
		}
	})
}

// One address whose attempts are refused cannot have the failures of others forgotten.
func TestRefusedAttemptsDisplaceNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLogins(LoginConfig{PerName: 5, PerAddress: 12, Everywhere: 8})
		fail(l, "192.0.2.1", "foo", 5)
		fail(l, "192.0.2.2", "foo", 3) // the username has failed too often everywhere
		for i := range 2 * remembered {
			_, _ = l.Begin(address("203.0.113.1"), fmt.Sprint("guess", i))
		}
		looked, by := fail(l, "192.0.2.1", "foo", 100)
		want(t, "the address of the guesses before", looked, by, 0, "name")
		looked, by = fail(l, "192.0.2.3", "foo", 100)
		want(t, "another one", looked, by, 1, "name")
	})
}

// A username that is tried from many addresses is locked nowhere: each new address has one try, friends have all.
func TestANameThatIsGuessedFromEverywhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLogins(LoginConfig{PerName: 5, Everywhere: 20})
		a, err := l.Begin(address("192.0.2.1"), "foo")
		if err != nil {
			t.Fatal(err)
		}
		a.Succeeded()
		for i := range 4 {
			looked, by := fail(l, fmt.Sprintf("198.51.100.%d", i), "foo", 100)
			want(t, "before it is noticed", looked, by, 5, "name")
		}
		for i := range 100 {
			looked, by := fail(l, fmt.Sprintf("203.0.113.%d", i), "foo", 100)
			want(t, "then", looked, by, 1, "name")
		}
		looked, by := fail(l, "192.0.2.1", "foo", 100)
		want(t, "from where it logged in", looked, by, 5, "name")
		looked, by = fail(l, "203.0.113.1", "bar", 100)
		want(t, "another name", looked, by, 5, "name")
	})
}

func TestMemoryIsBounded(t *testing.T) {
	l := NewLogins(LoginConfig{})
	for i := range 2 * remembered {
		from := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		a, err := l.Begin(from, fmt.Sprint(i))
		if err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			a.Succeeded()
		}
	}
	for name, n := range map[string]int{"addresses": l.addresses.Len(), "names": l.names.Len(), "pairs": l.pairs.Len(), "friends": l.friends.Len()} {
		if n > remembered {
			t.Errorf("%d %s", n, name)
		}
	}
}
