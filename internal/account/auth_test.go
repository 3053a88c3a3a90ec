package account

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"jasmind/internal/admission"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

var (
	home  = netip.MustParseAddr("192.0.2.1")
	other = netip.MustParseAddr("192.0.2.2")
)

// anyNumber limits nobody.
func anyNumber() *admission.Logins {
	return admission.NewLogins(admission.LoginConfig{PerName: 1e6, PerAddress: 1e6, Everywhere: 1e6})
}

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
			a := NewAuthenticator(AuthConfig{Logins: anyNumber()}, dir)
			for range 2 {
				u, err := a.Check(t.Context(), home, "foo", "bar")
				if err != nil || u.UID != "u1" {
					t.Fatalf("got %v, %v", u, err)
				}
				for _, wrong := range []string{"", "baz", "Bar", "bar ", strings.Repeat("bar", 1000)} {
					_, err := a.Check(t.Context(), home, "foo", wrong)
					wantReason(t, err, sms.ReasonAuthentication)
				}
			}
			_, err := a.Check(t.Context(), home, "nobody", "bar")
			wantReason(t, err, sms.ReasonAuthentication)
			if got := err.Error(); got != "Authentication failure for username:nobody" {
				t.Errorf("got %q", got)
			}
			if got := dir.upgrades.Load(); got != tt.upgrades {
				t.Errorf("%d upgrades, want %d", got, tt.upgrades)
			}
			a.Forget()
			if _, err := a.Check(t.Context(), home, "foo", "bar"); err != nil {
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
	if _, err := a.Check(t.Context(), home, "foo", "bar"); err != nil {
		t.Fatal(err)
	}
	dir.groups["g1"] = &Group{GID: "g1"}
	_, err := a.Check(t.Context(), home, "foo", "bar")
	wantReason(t, err, sms.ReasonAuthentication)
	delete(dir.groups, "g1")
	_, err = a.Check(t.Context(), home, "foo", "bar")
	wantReason(t, err, sms.ReasonAuthentication)
	dir.groups["g1"] = &Group{GID: "g1", Enabled: true}
	disabled := *dir.users["foo"]
	disabled.Enabled = false
	dir.users["foo"] = &disabled
	_, err = a.Check(t.Context(), home, "foo", "bar")
	wantReason(t, err, sms.ReasonAuthentication)
}

func TestNewPasswordCountsAtOnce(t *testing.T) {
	dir := newAccounts(cheap("bar"))
	a := NewAuthenticator(AuthConfig{}, dir)
	if _, err := a.Check(t.Context(), home, "foo", "bar"); err != nil {
		t.Fatal(err)
	}
	changed := *dir.users["foo"]
	changed.Password, changed.Version = cheap("new"), 2
	dir.users["foo"] = &changed
	_, err := a.Check(t.Context(), home, "foo", "bar")
	wantReason(t, err, sms.ReasonAuthentication)
	if _, err := a.Check(t.Context(), home, "foo", "new"); err != nil {
		t.Error(err)
	}
}

func TestWhatIsRememberedExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := newAccounts(cheap("bar"))
		a := NewAuthenticator(AuthConfig{Remember: time.Minute}, dir)
		u, err := a.Check(t.Context(), home, "foo", "bar")
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
		if _, err := a.Check(t.Context(), home, "foo", "bar"); err != nil || !a.remembered("u1", d) {
			t.Errorf("not remembered anew: %v", err)
		}
	})
}

func TestWhatIsRememberedIsBounded(t *testing.T) {
	a := NewAuthenticator(AuthConfig{Size: 16}, newAccounts(cheap("bar")))
	for i := range 1000 {
		a.remember(sms.UserID(string(rune(i+1000))), memo{expires: time.Now().Add(time.Hour)})
		if n := len(a.known); n > 16 {
			t.Fatalf("%d entries", n)
		}
	}
}

// held takes a worker.
func held(t *testing.T, a *Authenticator) {
	t.Helper()
	if err := a.workers.take(t.Context(), netip.Addr{}); err != nil {
		t.Fatal(err)
	}
}

// With every worker held, as many checks wait as the queue has room for; one more is
// refused as temporary, and so is one whose context ends.
func TestFullQueueIsATemporaryRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := newAccounts(cheap("bar"))
		a := NewAuthenticator(AuthConfig{Workers: 1, Queue: 2}, dir)
		held(t, a)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		var errs [2]error
		wg.Go(func() { _, errs[0] = a.Check(t.Context(), home, "foo", "bar") })
		wg.Go(func() { _, errs[1] = a.Check(ctx, home, "nobody", "x") })
		synctest.Wait()
		_, err := a.Check(t.Context(), home, "foo", "wrong")
		wantReason(t, err, sms.ReasonUnavailable)
		cancel()
		synctest.Wait()
		a.workers.give()
		wg.Wait()
		if errs[0] != nil {
			t.Errorf("the one who waited: %v", errs[0])
		}
		wantReason(t, errs[1], sms.ReasonUnavailable)
		if !errors.Is(errs[1], context.Canceled) {
			t.Errorf("the cause is lost: %v", errs[1])
		}
		if n := a.workers.waiting; n != 0 {
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
		held(t, a)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		var first error
		wg.Go(func() { _, first = a.Check(ctx, home, "foo", "bar") })
		synctest.Wait()
		errs := make([]error, 100)
		for i := range errs {
			wg.Go(func() { _, errs[i] = a.Check(t.Context(), home, "foo", "bar") })
		}
		synctest.Wait()
		cancel()
		synctest.Wait()
		a.workers.give()
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

// A flood of one address, which fills the queue, keeps the first attempt of another neither out nor waiting long.
func TestTheQueueIsFairToAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := NewAuthenticator(AuthConfig{Workers: 1, Queue: 8, Logins: anyNumber()}, newAccounts(cheap("bar")))
		held(t, a)
		var wg sync.WaitGroup
		var mu sync.Mutex
		ended := map[sms.Reason]int{}
		for i := range 20 {
			wg.Go(func() {
				_, err := a.Check(t.Context(), home, "foo", fmt.Sprint("guess", i))
				mu.Lock()
				ended[sms.ReasonOf(err)]++
				mu.Unlock()
			})
			synctest.Wait()
		}
		var user *User
		var err error
		wg.Go(func() { user, err = a.Check(t.Context(), other, "foo", "bar") })
		synctest.Wait()
		if ended[sms.ReasonUnavailable] != 13 || ended[sms.ReasonAuthentication] != 0 {
			t.Errorf("of those who came in vain, %v", ended)
		}
		a.workers.mu.Lock()
		ahead := slices.IndexFunc(a.workers.lines, func(l *line) bool { return l.from == other })
		a.workers.mu.Unlock()
		if ahead != 1 {
			t.Errorf("%d turns come before that of the other address", ahead)
		}
		a.workers.give()
		wg.Wait()
		if err != nil || user == nil {
			t.Errorf("the other address: %v", err)
		}
		if ended[sms.ReasonAuthentication] != 7 || a.workers.waiting != 0 || len(a.workers.lines) != 0 || a.workers.free != 1 {
			t.Errorf("%v, %d wait", ended, a.workers.waiting)
		}
	})
}

func TestWhoFailedTooOftenIsRefusedBeforeAnythingIsComputed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logins := admission.NewLogins(admission.LoginConfig{PerName: 3})
		a := NewAuthenticator(AuthConfig{Workers: 1, Queue: 1, Logins: logins}, newAccounts(cheap("bar")))
		check := func(from netip.Addr, password string) error {
			_, err := a.Check(t.Context(), from, "foo", password)
			return err
		}
		if err := check(other, "bar"); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			wantReason(t, check(home, "wrong"), sms.ReasonAuthentication)
		}
		held(t, a) // so that whatever is computed waits for ever
		for _, password := range []string{"wrong", "bar"} {
			var e *sms.Error
			if err := check(home, password); !errors.As(err, &e) || e.Override == nil || e.Override.HTTP != 429 || e.Override.SMPP != pdu.StatusBindFail {
				t.Errorf("the password %q: %v", password, err)
			}
			if err := a.Verify(t.Context(), home, "foo", nil, password); err == nil || sms.ReasonOf(err) != sms.ReasonAuthentication {
				t.Errorf("at the console: %v", err)
			}
		}
		if err := check(other, "bar"); err != nil {
			t.Errorf("another address: %v", err)
		}
		a.workers.give()
		time.Sleep(20 * time.Second)
		if err := check(home, "bar"); err != nil {
			t.Errorf("later: %v", err)
		}
	})
}

// Who hangs up while his password is computed has failed all the same. Who hangs up while he waits for his turn has not tried.
func TestHangingUpCountsAsFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := NewAuthenticator(AuthConfig{Workers: 1, Queue: 1, Logins: admission.NewLogins(admission.LoginConfig{PerName: 3})}, newAccounts(cheap("bar")))
		held(t, a)
		for range 10 {
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			go func() { _, err := a.Check(ctx, home, "foo", "guess"); done <- err }()
			synctest.Wait()
			cancel()
			wantReason(t, <-done, sms.ReasonUnavailable)
		}
		a.workers.give()
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		for range 3 {
			_, err := a.Check(gone, home, "foo", "guess")
			wantReason(t, err, sms.ReasonAuthentication)
		}
		var tooMany *admission.RefusedError
		if _, err := a.Check(t.Context(), home, "foo", "bar"); !errors.As(err, &tooMany) {
			t.Errorf("one more: %v", err)
		}
	})
}

// A host with more users than the limit of failures, all of which log in at once, is refused nothing.
func TestManyUsersOfOneAddressLogInAtOnce(t *testing.T) {
	dir := newAccounts(cheap("bar"))
	for i := range 100 {
		name := fmt.Sprint("user", i)
		dir.users[name] = &User{UID: sms.UserID(name), GID: "g1", Username: name, Password: cheap("bar"), Enabled: true}
	}
	a := NewAuthenticator(AuthConfig{Logins: admission.NewLogins(admission.LoginConfig{PerName: 1, PerAddress: 64})}, dir)
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			if _, err := a.Check(t.Context(), home, fmt.Sprint("user", i), "bar"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// Scripts that open the console at the same time, with more processors than a username may have failures, are refused nothing.
func TestManyConsolesLogInAtOnce(t *testing.T) {
	p := cheap("jclipwd")
	p.cost.time = 2000
	p.digest = string(p.argon("jclipwd"))
	a := NewAuthenticator(AuthConfig{Workers: 64, Logins: admission.NewLogins(admission.LoginConfig{PerName: 1, PerAddress: 2})}, newAccounts(p))
	begin := make(chan struct{})
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			<-begin
			if err := a.Verify(t.Context(), home, "admin", &p, "jclipwd"); err != nil {
				t.Error(err)
			}
		})
	}
	close(begin)
	wg.Wait()
}

func TestVerify(t *testing.T) {
	a := NewAuthenticator(AuthConfig{}, nil)
	p := cheap("jclipwd")
	if err := a.Verify(t.Context(), home, "admin", &p, "jclipwd"); err != nil {
		t.Error(err)
	}
	wantReason(t, a.Verify(t.Context(), home, "admin", &p, "x"), sms.ReasonAuthentication)
	wantReason(t, a.Verify(t.Context(), home, "nobody", nil, "jclipwd"), sms.ReasonAuthentication)
}

func TestRememberedCheckAllocatesNothing(t *testing.T) {
	a := NewAuthenticator(AuthConfig{}, newAccounts(cheap("bar")))
	if _, err := a.Check(t.Context(), home, "foo", "bar"); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(1000, func() {
		if _, err := a.Check(t.Context(), home, "foo", "bar"); err != nil {
			t.Fatal(err)
		}
	}); n >= 1 && !raceDetector { // a collection may empty the pool
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkCheckRemembered(b *testing.B) {
	a := NewAuthenticator(AuthConfig{}, newAccounts(cheap("bar")))
	if _, err := a.Check(b.Context(), home, "foo", "bar"); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.Check(b.Context(), home, "foo", "bar"); err != nil {
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
		if _, err := a.Check(b.Context(), home, "foo", "bar"); err != nil {
			b.Fatal(err)
		}
	}
}
