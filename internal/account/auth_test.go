package account

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"jasmind/internal/sms"
)

// accounts is a directory in memory.
type accounts struct {
	mu       sync.Mutex
	users    map[string]*User
	groups   map[sms.GroupID]*Group
	upgrades atomic.Int64
	upgrade  func(u *User, p Password)
}

func (a *accounts) Account(username string) (*User, *Group) {
	a.mu.Lock()
	defer a.mu.Unlock()
	u := a.users[username]
	if u == nil {
		return nil, nil
	}
	return u, a.groups[u.GID]
}

func (a *accounts) Upgrade(u *User, p Password) {
	a.upgrades.Add(1)
	if a.upgrade != nil {
		a.upgrade(u, p)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	fresh := *u
	fresh.Password = p
	a.users[u.Username] = &fresh
}

// cheap is a hash of which thousands can be computed in a test.
func cheap(password string) Password {
	p := Password{scheme: schemeArgon2id, salt: "saltsaltsaltsalt", cost: argonCost{memory: 8, time: 1, threads: 1}}
	p.digest = string(p.argon(password))
	return p
}

func newAccounts(p Password) *accounts {
	return &accounts{
		users:  map[string]*User{"foo": {UID: "u1", GID: "g1", Username: "foo", Password: p, Enabled: true, Version: 1}},
		groups: map[sms.GroupID]*Group{"g1": {GID: "g1", Enabled: true}},
	}
}

func wantReason(t *testing.T, err error, want sms.Reason) {
	t.Helper()
	if err == nil || sms.ReasonOf(err) != want {
		t.Errorf("got error %v, want reason %s", err, want)
	}
}

func TestCheck(t *testing.T) {
	md5, err := ParseHash("37b51d194a7513e45b56f6524f2d51f2") // bar, as the original stores it
	if err != nil {
		t.Fatal(err)
	}
	declared, err := DeclaredPassword("bar")
	if err != nil {
		t.Fatal(err)
	}
	slow, err := HashPassword("bar")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name     string
		p        Password
		upgrades int64
	}{{"argon2id", slow, 0}, {"md5", md5, 1}, {"declared", declared, 0}} {
		t.Run(tt.name, func(t *testing.T) {
			dir := newAccounts(tt.p)
			a := NewAuthenticator(AuthConfig{}, dir)
			for range 2 {
				u, err := a.Check(t.Context(), "foo", "bar")
				if err != nil || u.UID != "u1" {
					t.Fatalf("got %v, %v", u, err)
				}
				for _, wrong := range []string{"", "baz", "Bar", "bar ", strings.Repeat("bar", 1000)} {
					_, err := a.Check(t.Context(), "foo", wrong)
					wantReason(t, err, sms.ReasonAuthentication)
				}
			}
			_, err := a.Check(t.Context(), "nobody", "bar")
			wantReason(t, err, sms.ReasonAuthentication)
			if got := err.Error(); got != "Authentication failure for username:nobody" {
				t.Errorf("got %q", got)
			}
			if got := dir.upgrades.Load(); got != tt.upgrades {
				t.Errorf("%d upgrades, want %d", got, tt.upgrades)
			}
			a.Forget()
			if _, err := a.Check(t.Context(), "foo", "bar"); err != nil {
				t.Errorf("after the upgrade: %v", err)
			}
			if got := dir.upgrades.Load(); got != tt.upgrades {
				t.Errorf("an upgraded hash was upgraded again")
			}
		})
	}
}

func TestDisabledUserAndGroupAreRefusedAtOnce(t *testing.T) {
	dir := newAccounts(cheap("bar"))
	a := NewAuthenticator(AuthConfig{}, dir)
	if _, err := a.Check(t.Context(), "foo", "bar"); err != nil {
		t.Fatal(err)
	}
	dir.groups["g1"] = &Group{GID: "g1"}
	_, err := a.Check(t.Context(), "foo", "bar")
	wantReason(t, err, sms.ReasonAuthentication)
	delete(dir.groups, "g1")
	_, err = a.Check(t.Context(), "foo", "bar")
	wantReason(t, err, sms.ReasonAuthentication)
	dir.groups["g1"] = &Group{GID: "g1", Enabled: true}
	disabled := *dir.users["foo"]
	disabled.Enabled = false
	dir.users["foo"] = &disabled
	_, err = a.Check(t.Context(), "foo", "bar")
	wantReason(t, err, sms.ReasonAuthentication)
}

func TestNewPasswordCountsAtOnce(t *testing.T) {
	dir := newAccounts(cheap("bar"))
	a := NewAuthenticator(AuthConfig{}, dir)
	if _, err := a.Check(t.Context(), "foo", "bar"); err != nil {
		t.Fatal(err)
	}
	changed := *dir.users["foo"]
	changed.Password, changed.Version = cheap("new"), 2
	dir.users["foo"] = &changed
	_, err := a.Check(t.Context(), "foo", "bar")
	wantReason(t, err, sms.ReasonAuthentication)
	if _, err := a.Check(t.Context(), "foo", "new"); err != nil {
		t.Error(err)
	}
}

func TestWhatIsRememberedExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := newAccounts(cheap("bar"))
		a := NewAuthenticator(AuthConfig{Remember: time.Minute}, dir)
		u, err := a.Check(t.Context(), "foo", "bar")
		if err != nil {
			t.Fatal(err)
		}
		d := a.digest(u, "bar")
		time.Sleep(time.Minute - 1)
		if !a.remembered("u1", d) {
			t.Error("forgotten too early")
		}
		time.Sleep(1)
		if a.remembered("u1", d) {
			t.Error("remembered too long")
		}
		if _, err := a.Check(t.Context(), "foo", "bar"); err != nil || !a.remembered("u1", d) {
			t.Errorf("not remembered anew: %v", err)
		}
	})
}

func TestWhatIsRememberedIsBounded(t *testing.T) {
	a := NewAuthenticator(AuthConfig{Size: 16}, newAccounts(cheap("bar")))
	for i := range 1000 {
		a.mu.Lock()
		a.remember(sms.UserID(string(rune(i+1000))), memo{expires: time.Now().Add(time.Hour)})
		if n := len(a.known); n > 16 {
			t.Fatalf("%d entries", n)
		}
		a.mu.Unlock()
	}
}

// With every worker held, as many checks wait as the queue has room for; one more is
// refused as temporary, and so is one whose context ends.
func TestFullQueueIsATemporaryRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := newAccounts(cheap("bar"))
		a := NewAuthenticator(AuthConfig{Workers: 1, Queue: 2}, dir)
		a.workers <- struct{}{} // held
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		var errs [2]error
		wg.Go(func() { _, errs[0] = a.Check(t.Context(), "foo", "bar") })
		wg.Go(func() { _, errs[1] = a.Check(ctx, "nobody", "x") })
		synctest.Wait()
		_, err := a.Check(t.Context(), "foo", "wrong")
		wantReason(t, err, sms.ReasonUnavailable)
		cancel()
		synctest.Wait()
		<-a.workers
		wg.Wait()
		if errs[0] != nil {
			t.Errorf("the one who waited: %v", errs[0])
		}
		wantReason(t, errs[1], sms.ReasonUnavailable)
		if !errors.Is(errs[1], context.Canceled) {
			t.Errorf("the cause is lost: %v", errs[1])
		}
		if n := a.waiting.Load(); n != 0 {
			t.Errorf("%d still counted as waiting", n)
		}
	})
}

// Many clients that start at once with one user's password cost one computation, and if
// the one who computes gives up, another takes over.
func TestSameChecksAreComputedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old, err := ParseHash("37b51d194a7513e45b56f6524f2d51f2") // each computation upgrades it
		if err != nil {
			t.Fatal(err)
		}
		dir := newAccounts(old)
		dir.upgrade = func(*User, Password) {}
		a := NewAuthenticator(AuthConfig{Workers: 1, Queue: 1}, dir)
		a.workers <- struct{}{}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		var first error
		wg.Go(func() { _, first = a.Check(ctx, "foo", "bar") })
		synctest.Wait()
		errs := make([]error, 100)
		for i := range errs {
			wg.Go(func() { _, errs[i] = a.Check(t.Context(), "foo", "bar") })
		}
		synctest.Wait()
		cancel()
		synctest.Wait()
		<-a.workers
		wg.Wait()
		wantReason(t, first, sms.ReasonUnavailable)
		for i, err := range errs {
			if err != nil {
				t.Fatalf("client %d: %v", i, err)
			}
		}
		if n := dir.upgrades.Load(); n != 1 {
			t.Errorf("%d computations, want 1", n)
		}
	})
}

func TestRememberedCheckAllocatesNothing(t *testing.T) {
	a := NewAuthenticator(AuthConfig{}, newAccounts(cheap("bar")))
	if _, err := a.Check(t.Context(), "foo", "bar"); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(1000, func() {
		if _, err := a.Check(t.Context(), "foo", "bar"); err != nil {
			t.Fatal(err)
		}
	}); n >= 1 && !raceDetector { // a collection may empty the pool
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkCheckRemembered(b *testing.B) {
	a := NewAuthenticator(AuthConfig{}, newAccounts(cheap("bar")))
	if _, err := a.Check(b.Context(), "foo", "bar"); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.Check(b.Context(), "foo", "bar"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCheckComputed(b *testing.B) {
	p, err := HashPassword("bar")
	if err != nil {
		b.Fatal(err)
	}
	a := NewAuthenticator(AuthConfig{}, newAccounts(p))
	b.ReportAllocs()
	for b.Loop() {
		a.Forget()
		if _, err := a.Check(b.Context(), "foo", "bar"); err != nil {
			b.Fatal(err)
		}
	}
}
