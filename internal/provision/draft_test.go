package provision

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"jasmind/internal/account"
	"jasmind/internal/billing"
	"jasmind/internal/routing"
	"jasmind/internal/smppc"
)

// everything is a file that declares one of each kind.
const everything = `groups: [{gid: G1}]
users: [{uid: u1, username: foo, password: bar, gid: G1}]
filters: [{fid: f1, type: TransparentFilter}, {fid: c1, type: ConnectorFilter, cid: DEMO}]
smpp_connectors: [{cid: DEMO}]
http_connectors: [{cid: http_1, url: "http://127.0.0.1/mo", method: GET}]
mt_routes: [{type: StaticMTRoute, order: 10, filters: f1, connector: smppc(DEMO), rate: 1}]
mo_routes: [{type: StaticMORoute, order: 11, filters: c1, connector: http(http_1)}]
mt_interceptors: [{type: StaticMTInterceptor, order: 12, filters: f1, script: expr(true)}]
mo_interceptors: [{type: StaticMOInterceptor, order: 13, filters: c1, script: expr(true)}]
`

// Every way to change a thing refuses what a file declares, and changes nothing.
func TestNothingDeclaredIsChanged(t *testing.T) {
	s := NewStore()
	if err := s.ApplyDocument(mustParse(t, everything)); err != nil {
		t.Fatal(err)
	}
	before := s.Snapshot()
	rule := routing.Script{Code: "true"}
	if _, err := routing.ParseScript("expr(true)"); err != nil {
		t.Fatal(err)
	}
	for name, changes := range map[string][]func(*Draft) error{
		"group G1": {
			func(d *Draft) error { return d.PutGroup(account.Group{GID: "G1"}) },
			func(d *Draft) error { return d.EnableGroup("G1", false) },
			func(d *Draft) error { return d.RemoveGroup("G1") },
		},
		"user u1": {
			func(d *Draft) error { return d.UpdateUser(testUser("u1", "new")) },
			func(d *Draft) error { return d.EnableUser("u1", false) },
			func(d *Draft) error { return d.RemoveUser("u1") },
		},
		"filter f1": {
			func(d *Draft) error { return d.PutFilter(testFilter("f1", routing.TransparentFilter, "")) },
			func(d *Draft) error { return d.RemoveFilter("f1") },
		},
		"SMPP connector DEMO": {
			func(d *Draft) error { return d.UpdateSMPPConnector(SMPPConnector{Config: smppc.Default("DEMO")}) },
			func(d *Draft) error { return d.RemoveSMPPConnector("DEMO") },
		},
		"HTTP connector http_1": {
			func(d *Draft) error {
				return d.PutHTTPConnector(HTTPConnector{CID: "http_1", URL: "http://h/", Method: "GET"})
			},
			func(d *Draft) error { return d.RemoveHTTPConnector("http_1") },
		},
		"MT route 10": {
			func(d *Draft) error {
				return d.PutRoute(routing.MT, Route{Order: 10, Type: routing.StaticMTRoute, Filters: []string{"f1"}, Connectors: demo})
			},
			func(d *Draft) error { return d.RemoveRoute(routing.MT, 10) },
		},
		"MO route 11": {func(d *Draft) error { return d.RemoveRoute(routing.MO, 11) }},
		"MT interceptor 12": {
			func(d *Draft) error {
				return d.PutInterceptor(routing.MT, Interceptor{Order: 12, Type: routing.StaticMTInterceptor, Filters: []string{"f1"}, Script: rule})
			},
			func(d *Draft) error { return d.RemoveInterceptor(routing.MT, 12) },
		},
		"MO interceptor 13": {func(d *Draft) error { return d.RemoveInterceptor(routing.MO, 13) }},
	} {
		for i, change := range changes {
			err := s.Apply(change)
			var refused *RefusedError
			if !errors.Is(err, ErrDeclared) || !errors.As(err, &refused) || refused.Key.String() != name || refused.File != "test.yaml" {
				t.Errorf("%s, change %d: got %v", name, i+1, err)
			}
		}
	}
	for _, d := range []routing.Direction{routing.MT, routing.MO} {
		if err := s.Apply(func(draft *Draft) error {
			if n := draft.FlushRoutes(d) + draft.FlushInterceptors(d); n != 0 {
				t.Errorf("%v: flushed %d", d, n)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
	if s.Snapshot() != before {
		t.Error("something has changed")
	}
	if err := s.Apply(func(d *Draft) error {
		if file, ok := d.DeclaredIn(Key{KindMORoute, "11"}); !ok || file != "test.yaml" {
			t.Errorf("declared in %q, %v", file, ok)
		}
		if _, ok := d.DeclaredIn(Key{KindMORoute, "12"}); ok {
			t.Error("what is not there is declared")
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// What is put takes the place of what was there, keeps the place in the order of additions, and is a copy.
func TestPutReplaces(t *testing.T) {
	s := configured(t)
	added := s.Snapshot().Added(Key{KindGroup, "G1"})
	filters := []string{"f1"}
	if err := s.Apply(func(d *Draft) error {
		if _, ok := d.Group("none"); ok {
			t.Error("there is a group none")
		}
		g, ok := d.Group("G1")
		if !ok || !g.Enabled {
			t.Errorf("group %+v, %v", g, ok)
		}
		g.Enabled = false
		return errors.Join(d.PutGroup(g), d.PutGroup(account.Group{GID: "G2", Enabled: true}),
			d.PutHTTPConnector(HTTPConnector{CID: "http_1", URL: "https://h/", Method: "POST"}), d.PutHTTPConnector(HTTPConnector{CID: "http_2", URL: "http://h/", Method: "GET"}),
			d.PutInterceptor(routing.MT, Interceptor{Order: 3, Type: routing.StaticMTInterceptor, Filters: filters, Script: routing.Script{Path: "/a", Code: "1"}}),
			d.PutInterceptor(routing.MT, Interceptor{Order: 3, Type: routing.StaticMTInterceptor, Filters: filters, Script: routing.Script{Path: "/a", Code: "2"}}),
			d.PutInterceptor(routing.MT, Interceptor{Order: 4, Type: routing.StaticMTInterceptor, Filters: filters, Script: routing.Script{Path: "/a", Code: "3"}}))
	}); err != nil {
		t.Fatal(err)
	}
	filters[0] = "changed by the caller"
	snap := s.Snapshot()
	if g := snap.Group("G1"); g.Enabled || snap.Added(Key{KindGroup, "G1"}) != added || snap.Added(Key{KindGroup, "G2"}) <= added {
		t.Errorf("group %+v", g)
	}
	if c := snap.HTTPConnector("http_1"); c.Method != "POST" || snap.HTTPConnector("http_2") == nil {
		t.Errorf("HTTP connector %+v", c)
	}
	list := snap.Interceptors(routing.MT)
	if len(list) != 2 || list[0].Order != 4 || list[1].Script.Code != "2" || list[1].Filters[0] != "f1" {
		t.Errorf("interceptors %+v", list)
	}
	list[0].Filters[0] = "changed by the reader"
	routes := snap.Routes(routing.MT)
	routes[0].Filters[0], routes[0].Connectors[0].ID = "changed", "changed"
	if snap.Interceptors(routing.MT)[0].Filters[0] != "f1" || snap.Routes(routing.MT)[0].Filters[0] != "f1" || snap.Routes(routing.MT)[0].Connectors[0].ID != "DEMO" {
		t.Error("a listing gave the snapshot itself")
	}
	for _, refused := range []func(*Draft) error{
		func(d *Draft) error { return d.PutGroup(account.Group{GID: "not a gid"}) },
		func(d *Draft) error {
			return d.PutHTTPConnector(HTTPConnector{CID: "http_1", URL: "ftp://h/", Method: "GET"})
		},
		func(d *Draft) error {
			return d.AddHTTPConnector(HTTPConnector{CID: "x", URL: "http://h/", Method: "GET"})
		},
		func(d *Draft) error {
			return d.AddHTTPConnector(HTTPConnector{CID: "http_1", URL: "http://h/", Method: "GET"})
		},
		func(d *Draft) error { return d.AddSMPPConnector(SMPPConnector{Config: smppc.Config{CID: "x"}}) },
		func(d *Draft) error { return d.UpdateUser(account.User{UID: "u1"}) },
	} {
		if err := s.Apply(refused); err == nil {
			t.Error("it was accepted")
		}
	}
	if s.Snapshot() != snap {
		t.Error("a refused change was published")
	}
}

// A filter that MO and MT share can only be replaced by one that both may have.
func TestFiltersStayUsable(t *testing.T) {
	s := configured(t)
	if err := s.Apply(func(d *Draft) error {
		return errors.Join(d.PutFilter(testFilter("mo", routing.TransparentFilter, "")),
			d.PutRoute(routing.MO, Route{Order: 5, Type: routing.StaticMORoute, Filters: []string{"mo"}, Connectors: toHTTP1}),
			d.PutFilter(testFilter("moi", routing.TransparentFilter, "")),
			d.PutInterceptor(routing.MO, Interceptor{Order: 6, Type: routing.StaticMOInterceptor, Filters: []string{"moi"}, Script: routing.Script{Path: "/a", Code: "1"}}))
	}); err != nil {
		t.Fatal(err)
	}
	for fid, want := range map[string]string{"mo": "filter mo: UserFilter cannot be used in MO route 5", "moi": "filter moi: UserFilter cannot be used in MO interceptor 6"} {
		if err := s.Apply(func(d *Draft) error { return d.PutFilter(testFilter(fid, routing.UserFilter, "u1")) }); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
		if err := s.Apply(func(d *Draft) error { return d.PutFilter(testFilter(fid, routing.ConnectorFilter, "DEMO")) }); err != nil {
			t.Error(err)
		}
	}
}

// A file follows what it no longer declares, kind by kind, and takes back what it declares otherwise.
func TestFilesFollowEveryKind(t *testing.T) {
	s := NewStore()
	if err := s.ApplyDocument(mustParse(t, everything)); err != nil {
		t.Fatal(err)
	}
	first := s.Snapshot()
	if err := s.ApplyDocument(mustParse(t, everything)); err != nil || s.Snapshot() != first {
		t.Errorf("the same again: %v, published %v", err, s.Snapshot() != first)
	}
	other := strings.NewReplacer("rate: 1", "rate: 2", "method: GET", "method: POST", "order: 11,", "order: 21,", "order: 12,", "order: 22,", "order: 13,", "order: 23,",
		"type: TransparentFilter", "type: UserFilter, uid: u1", "foo", "new").Replace(everything)
	if err := s.ApplyDocument(mustParse(t, other)); err != nil {
		t.Fatal(err)
	}
	now := s.Snapshot()
	if now.Routes(routing.MT)[0].Rate != 2*billing.Amount(1_000_000) || now.HTTPConnector("http_1").Method != "POST" || now.Routes(routing.MO)[0].Order != 21 || now.Interceptors(routing.MT)[0].Order != 22 ||
		now.Interceptors(routing.MO)[0].Order != 23 || now.Filter("f1").Type() != routing.UserFilter || now.User("u1").Username != "new" {
		t.Errorf("not followed: %+v", now)
	}
	if n := len(now.Routes(routing.MO)) + len(now.Interceptors(routing.MT)) + len(now.Interceptors(routing.MO)); n != 3 {
		t.Errorf("%d routes and interceptors, want 3", n)
	}
	if now.Group("G1") != first.Group("G1") || now.SMPPConnector("DEMO") != first.SMPPConnector("DEMO") {
		t.Error("what is declared alike was replaced")
	}
	if err := s.ApplyDocument(mustParse(t, "")); err != nil {
		t.Fatal(err)
	}
	empty := s.Snapshot()
	if n := len(empty.Groups()) + len(empty.Users()) + len(empty.Filters()) + len(empty.SMPPConnectors()) + len(empty.HTTPConnectors()) + len(empty.Routes(routing.MT)) +
		len(empty.Routes(routing.MO)) + len(empty.Interceptors(routing.MT)) + len(empty.Interceptors(routing.MO)); n != 0 {
		t.Errorf("%d things are left", n)
	}
}

func TestListingsForPeople(t *testing.T) {
	var keys []Key
	for i := range 13 {
		keys = append(keys, Key{KindMTRoute, fmt.Sprint(i)})
	}
	e := &RefusedError{Key: Key{KindFilter, "f1"}, Why: ErrInUse, By: keys}
	if want := "filter f1 is used by MT route 0, MT route 1, MT route 2, MT route 3, MT route 4, MT route 5, MT route 6, MT route 7, MT route 8, MT route 9 and 3 more"; e.Error() != want {
		t.Errorf("got %s", e)
	}
	if got := Kind(99).String(); got != "Kind(99)" {
		t.Errorf("got %s", got)
	}
	if got := KindMOInterceptor.String(); got != "MO interceptor" {
		t.Errorf("got %s", got)
	}
	// Routes in the order of their numbers, not of their digits.
	if compareKeys(Key{KindMTRoute, "9"}, Key{KindMTRoute, "10"}) >= 0 || compareKeys(Key{KindUser, "9"}, Key{KindUser, "10"}) <= 0 || compareKeys(Key{KindGroup, "z"}, Key{KindUser, "a"}) >= 0 {
		t.Error("the order of keys is wrong")
	}
}

// What the sections of a file cannot be is told by line.
func TestFaultsOfOddStructures(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"a list in place of a value", "groups:\n  - gid: [a]\n", "x.yaml:2: groups: gid: must be a single value, not a list"},
		{"a mapping in place of a list", "groups: [{gid: g}]\nfilters: [{fid: f1, type: TransparentFilter}]\nsmpp_connectors: [{cid: DEMO}]\nmt_routes:\n  - {type: StaticMTRoute, order: 1, connector: smppc(DEMO), filters: {a: b}}\n",
			"x.yaml:5: MT route 1: filters: must be a list, not a mapping"},
		{"an alias", "groups: &all [{gid: g}]\nusers: *all\n", "x.yaml:2: users: must be a list, not an alias (they are not supported here)"},
		{"no value", "groups:\n  - {gid: g, enabled: }\n", "x.yaml:2: group g: enabled: has no value (write '' for an empty one)"},
		{"neither yes nor no", "groups:\n  - {gid: g, enabled: perhaps}\n", `x.yaml:2: group g: enabled: invalid value "perhaps", must be yes or no`},
		{"a filter without a type, whose keys are known", "filters:\n  - {fid: f1, uid: u1, code: x}\n", "x.yaml:2: filter f1: type: is missing"},
		{"credentials twice", "groups: [{gid: g}]\nusers:\n  - uid: u\n    username: u\n    password: p\n    gid: g\n    smpps_cred:\n      quota: {}\n      quota: {}\n",
			"x.yaml:9: user u: smpps_cred quota is there twice, first in line 8"},
		{"an order beyond all", "smpp_connectors: [{cid: DEMO}]\nmo_routes:\n  - {type: DefaultRoute, order: 99999999999, connector: smpps(u)}\n",
			`x.yaml:3: mo_routes: order: invalid value "99999999999", must be a whole number from 0 to 2147483647`},
		{"a rule with code beside it", "mt_interceptors:\n  - {type: DefaultInterceptor, script: expr(true), code: x}\n", "x.yaml:2: MT interceptor 0: script: a rule has no code beside it"},
		{"code that is none", "mt_interceptors:\n  - {type: DefaultInterceptor, script: python3(/x.py), code: [x]}\n", "x.yaml:2: MT interceptor 0: code: must be a single value, not a list"},
		{"a script that is not there", "filters:\n  - {fid: f1, type: EvalPyFilter, pyCode: /no/such.py}\n", "x.yaml:2: filter f1: pyCode: stat /no/such.py: no such file or directory"},
		{"an empty script", "filters:\n  - {fid: f1, type: EvalPyFilter, pyCode: ''}\n", `x.yaml:2: filter f1: pyCode: invalid value "", must be the path or URL of a script, or expr(rule)`},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Parse("x.yaml", []byte(test.text))
			if err == nil || !strings.Contains("\n"+err.Error()+"\n", "\n"+test.want+"\n") {
				t.Errorf("got\n%v\nwant\n%s", err, test.want)
			}
		})
	}
}

func TestFilesThatAreNoConfiguration(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "big.yaml")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, maxFile+1); err != nil {
		t.Fatal(err)
	}
	if err := NewStore().ApplyFile(path); err == nil || err.Error() != fmt.Sprintf("%s: is longer than %d octets", path, maxFile) {
		t.Errorf("got %v", err)
	}
	for _, text := range []string{"", "# nothing\n", "---\n", "null\n", "--- ~\n...\n", "groups:\nusers: null\n"} {
		doc, err := Parse("x.yaml", []byte(text))
		if err != nil || len(doc.lines) != 0 {
			t.Errorf("%q: got %v, %v", text, doc, err)
			continue
		}
		if content, err := doc.Encode(); err != nil || content != nil {
			t.Errorf("%q is saved as %q, %v", text, content, err)
		}
	}
}

// Passwords that are only known in the clear are not saved so by mistake.
func TestPasswordsAreHashedBeforeTheyAreSaved(t *testing.T) {
	doc := mustParse(t, fileGroups+fileUsers)
	if content, err := doc.Encode(); err == nil || err.Error() != "user u1: password: there is no hash of it" {
		t.Errorf("got %q, %v", content, err)
	}
	s := NewStore()
	if err := s.Load(doc); err != nil {
		t.Fatal(err)
	}
	if content, err := s.Snapshot().Encode(); err == nil || len(content) != 0 {
		t.Errorf("the store saves %q, %v", content, err)
	}
	if err := doc.HashPasswords(); err != nil {
		t.Fatal(err)
	}
	first, _ := doc.users["u1"].Password.Hash()
	content, err := doc.Encode()
	if err != nil || !strings.Contains(string(content), first) || strings.Contains(string(content), "password: bar") {
		t.Errorf("got %s, %v", content, err)
	}
	if err := doc.HashPasswords(); err != nil { // once hashed they stay
		t.Fatal(err)
	}
	if again, _ := doc.users["u1"].Password.Hash(); again != first {
		t.Error("a hash was hashed anew")
	}
	// Loading other hashes of the same users replaces them: the saved form is what counts.
	if err := s.Load(doc); err != nil {
		t.Fatal(err)
	}
	if got, ok := s.Snapshot().User("u1").Password.Hash(); !ok || got != first {
		t.Errorf("the store has %q", got)
	}
}
