package provision

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"

	"jasmind/internal/account"
	"jasmind/internal/routing"
	"jasmind/internal/smppc"
	"jasmind/internal/sms"
)

func testUser(uid, username string) account.User {
	p, err := account.ParseHash("37b51d194a7513e45b56f6524f2d51f2")
	if err != nil {
		panic(err)
	}
	return account.User{UID: sms.UserID(uid), GID: "G1", Username: username, Password: p, Enabled: true, Credentials: account.DefaultCredentials()}
}

func testFilter(fid string, typ routing.FilterType, value string) *routing.Filter {
	f, err := routing.NewFilter(fid, typ, value)
	if err != nil {
		panic(err)
	}
	return f
}

var (
	demo    = []routing.Connector{{Kind: routing.SMPPClient, ID: "DEMO"}}
	toHTTP1 = []routing.Connector{{Kind: routing.HTTPClient, ID: "http_1"}}
)

// configured is a store with one of everything, made as the console makes it.
func configured(t testing.TB) *Store {
	t.Helper()
	s := NewStore()
	if err := s.Apply(func(d *Draft) error {
		return errors.Join(
			d.AddGroup(account.Group{GID: "G1", Enabled: true}),
			d.AddUser(testUser("u1", "foo")),
			d.PutFilter(testFilter("f1", routing.TransparentFilter, "")),
			d.AddSMPPConnector(SMPPConnector{Config: smppc.Default("DEMO")}),
			d.AddHTTPConnector(HTTPConnector{CID: "http_1", URL: "http://127.0.0.1/mo", Method: "GET"}),
			d.PutRoute(routing.MT, Route{Order: 10, Type: routing.StaticMTRoute, Filters: []string{"f1"}, Connectors: demo, Rate: 350_000}),
			d.PutRoute(routing.MO, Route{Type: routing.DefaultRoute, Connectors: toHTTP1}),
		)
	}); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSnapshotGivesWhatWasConfigured(t *testing.T) {
	s := configured(t).Snapshot()
	u, g := s.Account("foo")
	if u == nil || u.UID != "u1" || g == nil || g.GID != "G1" || u != s.User("u1") || g != s.Group("G1") {
		t.Errorf("account: %+v %+v", u, g)
	}
	if u, g := s.Account("nobody"); u != nil || g != nil {
		t.Errorf("nobody is %+v %+v", u, g)
	}
	if r := s.Table(routing.MT).Match(&routing.Message{}); r == nil || r.Order != 10 || r.Rate.String() != "0.35" {
		t.Errorf("MT route: %+v", r)
	}
	if r := s.Table(routing.MO).Match(&routing.Message{}); r == nil || r.Connectors[0].ID != "http_1" {
		t.Errorf("MO route: %+v", r)
	}
	if c := s.SMPPConnector("DEMO"); c == nil || !c.Equal(smppc.Default("DEMO")) || c.Started {
		t.Errorf("SMPP connector: %+v", c)
	}
	if c := s.HTTPConnector("http_1"); c == nil || c.Method != "GET" || s.Filter("f1") == nil {
		t.Errorf("HTTP connector: %+v", c)
	}
	if len(s.Groups())+len(s.Users())+len(s.Filters())+len(s.SMPPConnectors())+len(s.HTTPConnectors())+len(s.Routes(routing.MT))+len(s.Routes(routing.MO)) != 7 {
		t.Errorf("listings: %+v", s)
	}
}

func TestRefusals(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Draft) error
		why    error
		text   string
	}{
		{"group exists", func(d *Draft) error { return d.AddGroup(account.Group{GID: "G1"}) }, ErrExists, "group G1 exists already"},
		{"group has users", func(d *Draft) error { return d.RemoveGroup("G1") }, ErrInUse, "group G1 is used by user u1"},
		{"no such group", func(d *Draft) error { return d.RemoveGroup("G2") }, ErrNotFound, "group G2 does not exist"},
		{"no such group to disable", func(d *Draft) error { return d.EnableGroup("G2", false) }, ErrNotFound, "group G2 does not exist"},
		{"bad gid", func(d *Draft) error { return d.AddGroup(account.Group{GID: "a b"}) }, nil, `gid: invalid value "a b", must be 1 to 16 characters of A-Z, a-z, 0-9, _ and -`},
		{"uid exists", func(d *Draft) error { return d.AddUser(testUser("u1", "bar")) }, ErrExists, "user u1 exists already"},
		{"username taken", func(d *Draft) error { return d.AddUser(testUser("u2", "foo")) }, ErrExists, "user u2: username foo is that of user u1"},
		{"no group for the user", func(d *Draft) error { u := testUser("u2", "bar"); u.GID = "G2"; return d.AddUser(u) }, ErrNotFound, "group G2 does not exist"},
		{"no such user", func(d *Draft) error { return d.UpdateUser(testUser("u2", "bar")) }, ErrNotFound, "user u2 does not exist"},
		{"no such user to remove", func(d *Draft) error { return d.RemoveUser("u2") }, ErrNotFound, "user u2 does not exist"},
		{"bad username", func(d *Draft) error { return d.AddUser(testUser("u2", "0123456789abcdef")) }, nil, `username: invalid value "0123456789abcdef", must be 1 to 15 characters of A-Z, a-z, 0-9, _ and -`},
		{"filter in use", func(d *Draft) error { return d.RemoveFilter("f1") }, ErrInUse, "filter f1 is used by MT route 10"},
		{"filter replaced by one that its route cannot have", func(d *Draft) error { return d.PutFilter(testFilter("f1", routing.ConnectorFilter, "DEMO")) }, nil,
			"filter f1: ConnectorFilter cannot be used in MT route 10"},
		{"connector exists", func(d *Draft) error { return d.AddSMPPConnector(SMPPConnector{Config: smppc.Default("DEMO")}) }, ErrExists, "SMPP connector DEMO exists already"},
		{"connector in use", func(d *Draft) error { return d.RemoveSMPPConnector("DEMO") }, ErrInUse, "SMPP connector DEMO is used by MT route 10"},
		{"no such connector", func(d *Draft) error { return d.StartSMPPConnector("OTHER", true) }, ErrNotFound, "SMPP connector OTHER does not exist"},
		{"bad connector", func(d *Draft) error {
			c := smppc.Default("DEMO")
			c.Port = 0
			return d.UpdateSMPPConnector(SMPPConnector{Config: c})
		}, nil,
			`port: invalid value "0", must be a whole number from 1 to 65535`},
		{"HTTP connector in use", func(d *Draft) error { return d.RemoveHTTPConnector("http_1") }, ErrInUse, "HTTP connector http_1 is used by MO route 0"},
		{"route without its filter", func(d *Draft) error {
			return d.PutRoute(routing.MT, Route{Order: 1, Type: routing.StaticMTRoute, Filters: []string{"f2"}, Connectors: demo})
		}, ErrNotFound, "filter f2 does not exist"},
		{"route without its connector", func(d *Draft) error {
			return d.PutRoute(routing.MO, Route{Type: routing.DefaultRoute, Connectors: []routing.Connector{{Kind: routing.HTTPClient, ID: "http_2"}}})
		}, ErrNotFound, "HTTP connector http_2 does not exist"},
		{"route against a rule", func(d *Draft) error {
			return d.PutRoute(routing.MT, Route{Order: 1, Type: routing.StaticMTRoute, Connectors: demo})
		}, nil, "filters: StaticMTRoute needs at least one"},
		{"no such route", func(d *Draft) error { return d.RemoveRoute(routing.MT, 11) }, ErrNotFound, "MT route 11 does not exist"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := configured(t)
			before := s.Snapshot()
			err := s.Apply(func(d *Draft) error {
				// What a change did before it was refused is undone with it.
				if err := d.AddGroup(account.Group{GID: "half"}); err != nil {
					t.Fatal(err)
				}
				return tt.change(d)
			})
			if err == nil || err.Error() != tt.text {
				t.Errorf("got %v, want %s", err, tt.text)
			}
			var refused *RefusedError
			if tt.why != nil && (!errors.Is(err, tt.why) || !errors.As(err, &refused)) {
				t.Errorf("got %T %v, want a RefusedError of %v", err, err, tt.why)
			}
			if s.Snapshot() != before {
				t.Error("a new snapshot was published")
			}
		})
	}
}

func TestChangesAreToldInOrder(t *testing.T) {
	s := configured(t)
	var told []string
	cancel := s.Subscribe(func(old, fresh *Snapshot) {
		if fresh != s.Snapshot() || fresh.Version() != old.Version()+1 {
			t.Errorf("told of %d to %d, current is %d", old.Version(), fresh.Version(), s.Snapshot().Version())
		}
		told = append(told, fmt.Sprint(old.SMPPConnector("DEMO").Started, fresh.SMPPConnector("DEMO").Started))
	})
	for _, started := range []bool{true, true, false} { // the second changes nothing
		if err := s.Apply(func(d *Draft) error { return d.StartSMPPConnector("DEMO", started) }); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := s.Apply(func(d *Draft) error { return d.StartSMPPConnector("DEMO", true) }); err != nil {
		t.Fatal(err)
	}
	if want := []string{"false true", "true false"}; !reflect.DeepEqual(told, want) {
		t.Errorf("told %v, want %v", told, want)
	}
}

func TestAnOldSnapshotStaysAsItWas(t *testing.T) {
	s := configured(t)
	old := s.Snapshot()
	if err := s.Apply(func(d *Draft) error {
		u, _ := d.User("u1")
		u.Enabled = false
		c, _ := d.SMPPConnector("DEMO")
		c.Port = 9
		return errors.Join(d.UpdateUser(u), d.UpdateSMPPConnector(c), d.EnableGroup("G1", false), d.RemoveRoute(routing.MT, 10), d.RemoveFilter("f1"),
			d.PutRoute(routing.MO, Route{Type: routing.DefaultRoute, Connectors: []routing.Connector{{Kind: routing.SMPPServer, ID: "foo"}}}), d.RemoveHTTPConnector("http_1"))
	}); err != nil {
		t.Fatal(err)
	}
	if u, g := old.Account("foo"); !u.Enabled || !g.Enabled || old.SMPPConnector("DEMO").Port != 2775 || old.Filter("f1") == nil ||
		old.Table(routing.MT).Len() != 1 || old.Table(routing.MO).Route(0).Connectors[0].ID != "http_1" {
		t.Errorf("changed: %+v", old)
	}
	now := s.Snapshot()
	if u, g := now.Account("foo"); u.Enabled || g.Enabled || u.Version <= old.User("u1").Version || now.Table(routing.MT).Len() != 0 || now.SMPPConnector("DEMO").Port != 9 {
		t.Errorf("not changed: %+v", now)
	}
}

func TestReplacingAFilterReachesItsRoutes(t *testing.T) {
	s := configured(t)
	m := routing.Message{Destination: "44"}
	if s.Snapshot().Table(routing.MT).Match(&m) == nil {
		t.Fatal("no route")
	}
	if err := s.Apply(func(d *Draft) error { return d.PutFilter(testFilter("f1", routing.DestinationAddrFilter, "33")) }); err != nil {
		t.Fatal(err)
	}
	if r := s.Snapshot().Table(routing.MT).Match(&m); r != nil {
		t.Errorf("still matched by %+v", r)
	}
}

func TestUpgradeKeepsTheVersionAndLosesToAChange(t *testing.T) {
	s := configured(t)
	old := s.Snapshot().User("u1")
	hash, err := account.HashPassword("bar")
	if err != nil {
		t.Fatal(err)
	}
	s.Upgrade(old, hash)
	if u, _ := s.Account("foo"); u.Password != hash || u.Version != old.Version {
		t.Errorf("got %+v", u)
	}
	if err := s.Apply(func(d *Draft) error { return d.EnableUser("u1", false) }); err != nil {
		t.Fatal(err)
	}
	changed, _ := s.Account("foo")
	other, err := account.HashPassword("other")
	if err != nil {
		t.Fatal(err)
	}
	s.Upgrade(old, other)
	if u, _ := s.Account("foo"); u != changed {
		t.Errorf("an outdated upgrade was taken: %+v", u)
	}
	s.Upgrade(&account.User{UID: "gone"}, other)
}

// The store is the directory of the authenticator.
func TestLoginWithAnOldDigestUpgradesIt(t *testing.T) {
	s := configured(t)
	auth := account.NewAuthenticator(account.AuthConfig{}, s)
	if u, err := auth.Check(t.Context(), netip.MustParseAddr("192.0.2.1"), "foo", "bar"); err != nil || u.UID != "u1" {
		t.Fatalf("got %+v, %v", u, err)
	}
	if u, _ := s.Account("foo"); u.Password.String() != "argon2id" {
		t.Errorf("kept as %s", u.Password)
	}
}

const (
	fileGroups = "groups:\n  - {gid: G1}\n"
	fileUsers  = "users:\n  - {uid: u1, username: foo, password: bar, gid: G1}\n"
	fileDemo   = "smpp_connectors:\n  - {cid: DEMO}\n"
	fileRoute  = "mt_routes:\n  - {type: DefaultRoute, connector: smppc(DEMO)}\n"
)

func TestFileAppliedAgainChangesOnlyWhatDiffers(t *testing.T) {
	s := NewStore()
	if err := s.ApplyDocument(mustParse(t, fileGroups+fileUsers+fileDemo+fileRoute)); err != nil {
		t.Fatal(err)
	}
	first := s.Snapshot()
	if !first.SMPPConnector("DEMO").Started {
		t.Error("a declared connector does not start by default")
	}
	if file, ok := first.DeclaredIn(Key{KindUser, "u1"}); !ok || file != "test.yaml" {
		t.Errorf("declared in %q %v", file, ok)
	}

	if err := s.ApplyDocument(mustParse(t, "# moved\n"+fileDemo+fileGroups+fileUsers+fileRoute)); err != nil {
		t.Fatal(err)
	}
	if s.Snapshot() != first {
		t.Error("the same file was published again")
	}

	// An operator stops the connector; a file that says nothing new of it leaves it stopped.
	if err := s.Apply(func(d *Draft) error { return d.StartSMPPConnector("DEMO", false) }); err != nil {
		t.Fatal(err)
	}
	if err := s.ApplyDocument(mustParse(t, fileGroups+strings.Replace(fileUsers, "foo", "new", 1)+fileDemo+fileRoute)); err != nil {
		t.Fatal(err)
	}
	now := s.Snapshot()
	if now.SMPPConnector("DEMO").Started {
		t.Error("the stopped connector runs again")
	}
	if u, _ := now.Account("new"); u == nil || u.Version == first.User("u1").Version || u.Password != first.User("u1").Password {
		t.Errorf("user: %+v", u)
	}
	if u, _ := now.Account("foo"); u != nil {
		t.Error("the old username still works")
	}
	if now.Group("G1") != first.Group("G1") {
		t.Error("an unchanged group was replaced")
	}

	// A connector of which the file says something new is taken as it says.
	if err := s.ApplyDocument(mustParse(t, fileGroups+strings.Replace(fileDemo, "}", ", port: 9}", 1)+fileRoute)); err != nil {
		t.Fatal(err)
	}
	now = s.Snapshot()
	if c := now.SMPPConnector("DEMO"); !c.Started || c.Port != 9 {
		t.Errorf("connector: %+v", c)
	}
	if now.User("u1") != nil {
		t.Error("a user who is not in the file any more is still there")
	}
	if _, ok := now.DeclaredIn(Key{KindUser, "u1"}); ok {
		t.Error("and still belongs to it")
	}
	if err := s.ApplyDocument(mustParse(t, "")); err != nil {
		t.Fatal(err)
	}
	if now = s.Snapshot(); len(now.Groups())+len(now.SMPPConnectors())+now.Table(routing.MT).Len() != 0 {
		t.Errorf("an empty file leaves %+v", now)
	}
}

func TestAFaultyFileChangesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "provision.yaml")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := NewStore()
	write(fileGroups + fileUsers)
	if err := s.ApplyFile(path); err != nil {
		t.Fatal(err)
	}
	before := s.Snapshot()
	write("groups:\n  - {gid: G2}\n" + fileUsers)
	err := s.ApplyFile(path)
	var faults Faults
	if !errors.As(err, &faults) || err.Error() != path+":4: user u1: gid: group G1 does not exist" {
		t.Errorf("got %v", err)
	}
	if s.Snapshot() != before {
		t.Error("something has changed")
	}
	write(fileGroups) // and the next good file is compared with the last good one
	if err := s.ApplyFile(path); err != nil || s.Snapshot().User("u1") != nil {
		t.Errorf("got %v, user %+v", err, s.Snapshot().User("u1"))
	}
}

func TestWhatTheFileDeclaresBelongsToIt(t *testing.T) {
	s := configured(t)
	if err := s.ApplyDocument(mustParse(t, fileGroups+"filters:\n  - {fid: f1, type: UserFilter, uid: u1}\n"+fileDemo+fileRoute)); err != nil {
		t.Fatal(err)
	}
	if s.Snapshot().Filter("f1").Type() != routing.UserFilter {
		t.Error("the file did not take over the filter")
	}
	for name, change := range map[string]func(*Draft) error{
		"group G1":            func(d *Draft) error { return d.EnableGroup("G1", false) },
		"filter f1":           func(d *Draft) error { return d.PutFilter(testFilter("f1", routing.TransparentFilter, "")) },
		"SMPP connector DEMO": func(d *Draft) error { return d.UpdateSMPPConnector(SMPPConnector{Config: smppc.Default("DEMO")}) },
		"MT route 0": func(d *Draft) error {
			return d.PutRoute(routing.MT, Route{Type: routing.DefaultRoute, Connectors: demo})
		},
	} {
		err := s.Apply(change)
		if want := name + " is declared in test.yaml and can only be changed there"; !errors.Is(err, ErrDeclared) || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	n := -1
	if err := s.Apply(func(d *Draft) error { n = d.FlushRoutes(routing.MT); return nil }); err != nil || n != 1 || s.Snapshot().Table(routing.MT).Len() != 1 {
		t.Errorf("flush: %v, %d flushed, %d left", err, n, s.Snapshot().Table(routing.MT).Len())
	}
	// The rest is the console's, as before.
	if err := s.Apply(func(d *Draft) error { return d.RemoveUser("u1") }); err != nil {
		t.Error(err)
	}
}

func TestWhatStandsAgainstAFileIsNamed(t *testing.T) {
	s := configured(t)
	if err := s.ApplyDocument(mustParse(t, fileGroups+"filters:\n  - {fid: f1, type: TransparentFilter}\n"+fileDemo)); err != nil {
		t.Fatal(err)
	}
	before := s.Snapshot()
	err := s.ApplyDocument(mustParse(t, "groups:\n  - {gid: G2}\nusers:\n  - {uid: u9, username: foo, password: x, gid: G2}\n"))
	want := `test.yaml: user u1: gid: group G1 does not exist (it is not declared in this file)
test.yaml: MT route 10: filters: filter f1 does not exist (it is not declared in this file)
test.yaml: MT route 10: connector: SMPP connector DEMO does not exist (it is not declared in this file)
test.yaml:4: user u9: username: foo is that of user u1 too`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	if s.Snapshot() != before {
		t.Error("something has changed")
	}
}

func TestConcurrentChangesAndReaders(t *testing.T) {
	s := configured(t)
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				snap := s.Snapshot()
				for _, u := range snap.Users() {
					if got, g := snap.Account(u.Username); got != u || g == nil {
						t.Errorf("snapshot %d is torn: %+v", snap.Version(), u)
						return
					}
				}
				snap.Table(routing.MT).Match(&routing.Message{Destination: "33"})
			}
		})
	}
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for i := range 50 {
				uid := fmt.Sprintf("w%d-%d", w, i)
				if err := s.Apply(func(d *Draft) error { return d.AddUser(testUser(uid, uid)) }); err != nil {
					t.Error(err)
				}
				if i%2 == 0 {
					if err := s.Apply(func(d *Draft) error { return d.RemoveUser(sms.UserID(uid)) }); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	writers.Wait()
	close(stop)
	wg.Wait()
	if n := len(s.Snapshot().Users()); n != 101 {
		t.Errorf("%d users, want 101", n)
	}
}
