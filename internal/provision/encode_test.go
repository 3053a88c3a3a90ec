package provision

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"jasmind/internal/account"
	"jasmind/internal/routing"
)

const savedThings = `users:
  - uid: u1
    username: foo
    password: 37b51d194a7513e45b56f6524f2d51f2
    gid: g1
    enabled: no
    mt_messaging_cred:
      authorization: {http_send: no, http_bulk: yes}
      valuefilter: {src_addr: '^"J\s: #$', priority: '^[0-1]$'}
      defaultvalue: {src_addr: ' A B'}
      quota: {balance: 44.2, sms_count: 0, early_percent: 25.5, http_throughput: 0.5}
    smpps_cred:
      authorization: {bind: false, ip: '10.0.0.0/8, ::1'}
      quota: {max_bindings: 2}
filters:
  - {fid: f1, type: TransparentFilter}
  - {fid: ev, type: EvalPyFilter, pyCode: /a b/c.py, code: "if x:\n\tresult = True\r\n  # é \n\n"}
  - {fid: rule, type: EvalPyFilter, pyCode: 'expr(destination_addr startsWith "33")'}
mt_interceptors:
  - {type: StaticMTInterceptor, order: 8, filters: [rule], script: "expr(source_addr == '' ?\n  set(\"source_addr\", 'A B: #') : true)"}
  - {type: DefaultInterceptor, script: python3(/x.py), code: "pass\nif 1:\n    pass"}
  - {type: StaticMTInterceptor, order: 7, filters: [f1, ev], script: "python3(http://h/x.py)", code: ""}
mo_interceptors:
  - {type: StaticMOInterceptor, order: 3, filters: f1, script: python3(/y.py), code: "\n null"}
  - {type: DefaultInterceptor, script: expr(tag("mo"))}
`

// What Encode writes is read back as the same, to the last octet of every value.
func TestEncodedThingsAreReadBackAlike(t *testing.T) {
	everything, err := os.ReadFile(testdata + "/good/everything.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"every kind": string(everything), "credentials and scripts": "groups: [{gid: g1}]\n" + savedThings} {
		doc := mustParse(t, text)
		if err := doc.HashPasswords(); err != nil {
			t.Fatal(err)
		}
		content, err := doc.Encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseSaved("saved.yaml", append([]byte("version: 1\n"), content...), "version")
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, content)
		}
		if len(again.lines) != len(doc.lines) {
			t.Errorf("%s: %d things, want %d", name, len(again.lines), len(doc.lines))
		}
		for key := range doc.lines {
			if !doc.declaresAlike(again, key) {
				t.Errorf("%s: %s differs in\n%s", name, key, content)
			}
		}
		s := NewStore()
		if err := s.Load(again); err != nil {
			t.Fatal(err)
		}
		fromStore, err := s.Snapshot().Encode()
		if err != nil || string(fromStore) != string(content) {
			t.Errorf("%s: the store encodes %v\n%s\nwant\n%s", name, err, fromStore, content)
		}
		if strings.Contains(string(content), "0123\n") {
			t.Errorf("%s: a password is in the clear", name)
		}
	}
}

func TestLoadReplacesWhatNoFileDeclares(t *testing.T) {
	s := NewStore()
	if err := s.ApplyDocument(mustParse(t, "groups: [{gid: g1}]\n")); err != nil {
		t.Fatal(err)
	}
	if err := s.Apply(func(d *Draft) error {
		return errors.Join(d.AddGroup(account.Group{GID: "old"}), d.PutFilter(testFilter("same", routing.TransparentFilter, "")))
	}); err != nil {
		t.Fatal(err)
	}
	same := s.Snapshot().Filter("same")
	saved, err := ParseSaved("p.yaml", []byte("groups: [{gid: new}, {gid: g1, enabled: no}]\nusers: [{uid: u1, username: foo, password: 37b51d194a7513e45b56f6524f2d51f2, gid: g1}]\nfilters: [{fid: same, type: TransparentFilter}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Load(saved); err != nil {
		t.Fatal(err)
	}
	now := s.Snapshot()
	if now.Group("old") != nil || now.Group("new") == nil || now.User("u1") == nil {
		t.Error("the saved things are not what is there")
	}
	if !now.Group("g1").Enabled {
		t.Error("a saved group replaced a declared one")
	}
	if now.Filter("same") != same {
		t.Error("what was there alike was replaced")
	}
	if now.Added(Key{KindFilter, "same"}) < now.Added(Key{KindGroup, "new"}) {
		t.Error("the order of the document is not kept")
	}
	version := now.Version()
	if err := s.Load(saved); err != nil || s.Snapshot().Version() != version {
		t.Errorf("loading the same again: %v, version %d, was %d", err, s.Snapshot().Version(), version)
	}
	dangling, err := ParseSaved("p.yaml", []byte("groups: [{gid: g9}]\nusers:\n  - {uid: u1, username: foo, password: 37b51d194a7513e45b56f6524f2d51f2, gid: gone}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Load(dangling); err == nil || !strings.Contains(err.Error(), "p.yaml:3: user u1: gid: group gone does not exist") {
		t.Errorf("got %v", err)
	}
	if s.Snapshot().Version() != version {
		t.Error("a refused load changed something")
	}
}

func TestInterceptorsRefuseWhatCannotBe(t *testing.T) {
	s := NewStore()
	script := routing.Script{Path: "/x.py", Code: "pass"}
	if err := s.Apply(func(d *Draft) error {
		return errors.Join(d.PutFilter(testFilter("f1", routing.TransparentFilter, "")), d.PutFilter(testFilter("u", routing.UserFilter, "u1")),
			d.PutInterceptor(routing.MT, Interceptor{Order: 5, Type: routing.StaticMTInterceptor, Filters: []string{"f1", "u"}, Script: script}),
			d.PutInterceptor(routing.MO, Interceptor{Type: routing.DefaultInterceptor, Script: script}))
	}); err != nil {
		t.Fatal(err)
	}
	table := s.Snapshot().InterceptorTable(routing.MT)
	if i := table.Match(&routing.Message{User: "u1"}); i == nil || i.Order != 5 || i.Script.Code != "pass" {
		t.Errorf("got %+v", i)
	}
	if i := table.Match(&routing.Message{User: "u2"}); i != nil {
		t.Errorf("got %+v", i)
	}
	if i := s.Snapshot().InterceptorTable(routing.MO).Match(&routing.Message{}); i == nil || i.Type != routing.DefaultInterceptor {
		t.Errorf("got %+v", i)
	}
	for want, f := range map[string]func(d *Draft) error{
		"filter f1 is used by MT interceptor 5": func(d *Draft) error { return d.RemoveFilter("f1") },
		"filter no does not exist": func(d *Draft) error {
			return d.PutInterceptor(routing.MO, Interceptor{Order: 1, Type: routing.StaticMOInterceptor, Filters: []string{"no"}, Script: script})
		},
		"filters: UserFilter u cannot be used in MO interceptors": func(d *Draft) error {
			return d.PutInterceptor(routing.MO, Interceptor{Order: 1, Type: routing.StaticMOInterceptor, Filters: []string{"u"}, Script: script})
		},
		"order: 0 is reserved for DefaultInterceptor": func(d *Draft) error {
			return d.PutInterceptor(routing.MT, Interceptor{Type: routing.StaticMTInterceptor, Filters: []string{"f1"}, Script: script})
		},
		"MO interceptor 9 does not exist": func(d *Draft) error { return d.RemoveInterceptor(routing.MO, 9) },
	} {
		if err := s.Apply(f); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if err := s.Apply(func(d *Draft) error {
		if n := d.FlushInterceptors(routing.MT); n != 1 {
			t.Errorf("flushed %d", n)
		}
		return d.RemoveFilter("f1")
	}); err != nil {
		t.Error(err)
	}
}

func TestScriptsAreReadFromEverywhere(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.py")
	if err := os.WriteFile(file, []byte("pass\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/x.py" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte("pass\n"))
	}))
	defer web.Close()
	ftp := ftpServer(t, "pass\n")
	for _, path := range []string{file, "file://" + file, web.URL + "/x.py", "ftp://" + ftp + "/x.py", "ftp://me:secret@" + ftp + "/x.py"} {
		if s, err := ReadScript(context.Background(), path); err != nil || s != (routing.Script{Path: path, Code: "pass\n"}) {
			t.Errorf("%s: %+v, %v", path, s, err)
		}
	}
	for _, path := range []string{"x.py", "", "gopher://x/y", web.URL + "/no.py", "/dev/zero", "/no/such.py", "ftp://" + ftp + "/no.py"} {
		if s, err := ReadScript(context.Background(), path); err == nil {
			t.Errorf("%s: %+v", path, s)
		}
	}
}

func TestFaultsOfRulesNameTheirLine(t *testing.T) {
	_, err := Parse("p.yaml", []byte(`filters:
  - {fid: ok, type: EvalPyFilter, pyCode: 'expr(has_tag("fr"))'}
  - {fid: bad, type: EvalPyFilter, pyCode: expr(nonsense)}
  - {fid: two, type: EvalPyFilter, pyCode: expr(true), code: pass}
  - {fid: none, type: EvalPyFilter, pyCode: ''}
mt_interceptors:
  - {type: DefaultInterceptor, script: 'expr(set("source_addr", )'}
mo_interceptors:
  - type: DefaultInterceptor
    script: expr(tag("a") tag("b"))
`))
	want := []string{
		`p.yaml:3: filter bad: pyCode: expr(): unknown name nonsense (1:1)`,
		`p.yaml:4: filter two: pyCode: a rule has no code beside it`,
		`p.yaml:5: filter none: pyCode: invalid value "", must be the path or URL of a script, or expr(rule)`,
		`p.yaml:7: MT interceptor 0: script: expr(): unexpected token EOF (1:18)`,
		`p.yaml:10: MO interceptor 0: script: expr(): unexpected token Identifier("tag") (1:10)`,
	}
	if err == nil {
		t.Fatal("no fault")
	}
	if got := strings.Split(err.Error(), "\n"); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestRoutesThatChooseAreReadBackAlike(t *testing.T) {
	doc := mustParse(t, `filters: [{fid: all, type: TransparentFilter}]
smpp_connectors: [{cid: abc}, {cid: def}]
mt_routes:
  - {type: WeightedMTRoute, order: 1, filters: all, connectors: smppc(abc);smppc(def), weights: 70;30, rate: 0.5}
  - {type: LeastCostMTRoute, order: 2, filters: all, connectors: [smppc(abc), smppc(def)], rates: [0.05, 0.0325]}
  - {type: BestQualityMTRoute, order: 3, filters: all, connectors: [smppc(abc), smppc(def)], rate: 1}
  - {type: FailoverMTRoute, order: 4, filters: all, connectors: [smppc(abc), smppc(def)], failover_on: [ESME_RSYSERR, rsubmitfail, 0x58]}
`)
	content, err := doc.Encode()
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseSaved("saved.yaml", append([]byte("version: 1\n"), content...), "version")
	if err != nil {
		t.Fatalf("%v\n%s", err, content)
	}
	for order, r := range doc.mt {
		if got := again.mt[order]; got == nil || !got.equal(*r) {
			t.Errorf("route %d: got %+v, want %+v", order, got, r)
		}
	}
	if r := again.mt[1]; !slices.Equal(r.Weights, []int{70, 30}) {
		t.Errorf("weights %v", r.Weights)
	}
	if r := again.mt[2]; !slices.Equal(routing.FormatRates(r.Rates), []string{"0.05", "0.0325"}) {
		t.Errorf("rates %v", r.Rates)
	}
	if r := again.mt[4]; !slices.Equal(routing.FormatStatuses(r.FailoverOn), []string{"ESME_RSYSERR", "ESME_RSUBMITFAIL", "ESME_RTHROTTLED"}) {
		t.Errorf("failover_on %v", r.FailoverOn)
	}
}

func TestFaultsOfRoutesThatChooseNameTheirKey(t *testing.T) {
	_, err := Parse("p.yaml", []byte(`filters: [{fid: all, type: TransparentFilter}]
smpp_connectors: [{cid: abc}, {cid: def}]
mt_routes:
  - {type: WeightedMTRoute, order: 1, filters: all, connectors: smppc(abc);smppc(def)}
  - {type: LeastCostMTRoute, order: 2, filters: all, connectors: [smppc(abc), smppc(def)], rates: [x, 1]}
  - {type: StaticMTRoute, order: 3, filters: all, connector: smppc(abc), weights: 1}
  - {type: FailoverMTRoute, order: 4, filters: all, connectors: [smppc(abc), smppc(def)], failover_on: ESME_ROK}
`))
	if err == nil {
		t.Fatal("no fault")
	}
	for _, want := range []string{"p.yaml:4: MT route 1: weights: is missing", "p.yaml:5: MT route 2: rates: ", `p.yaml:6: MT route 3: unknown key "weights"`,
		`p.yaml:7: MT route 4: failover_on: invalid value "ESME_ROK"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s is missing in\n%v", want, err)
		}
	}
}
