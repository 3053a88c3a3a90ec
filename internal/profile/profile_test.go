package profile

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"jasmind/internal/account"
	"jasmind/internal/provision"
	"jasmind/internal/routing"
	"jasmind/internal/smppc"
	"jasmind/internal/sms"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("PROFILE_TEST_PERSIST"); dir != "" {
		persistForEver(dir)
	}
	os.Exit(m.Run())
}

func open(t testing.TB, dir string) (*Profiles, *provision.Store) {
	t.Helper()
	store := provision.NewStore()
	p, err := Open(Config{Dir: dir}, store, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return p, store
}

// fill configures one thing of each kind.
func fill(t testing.TB, s *provision.Store) {
	t.Helper()
	hash, err := account.HashPassword("bar")
	if err != nil {
		t.Fatal(err)
	}
	filter, err := routing.NewFilter("f1", routing.SourceAddrFilter, `^"20\d+ `)
	if err != nil {
		t.Fatal(err)
	}
	script := routing.Script{Path: "/x.py", Code: "if True:\n    pass\n"}
	eval, err := routing.NewScriptFilter("ev", script)
	if err != nil {
		t.Fatal(err)
	}
	u := account.User{UID: "u1", GID: "g1", Username: "foo", Password: hash, Enabled: false, Credentials: account.DefaultCredentials()}
	for _, c := range [][3]string{{"authorization", "http_send", "no"}, {"quota", "balance", "44.2"}, {"valuefilter", "content", "^a: #b$"}, {"defaultvalue", "src_addr", "JASMIN"}} {
		if err := account.SetCredential(&u.Credentials, account.MTMessagingCred, c[0], c[1], c[2]); err != nil {
			t.Fatal(err)
		}
	}
	smsc := provision.SMPPConnector{Config: smppc.Default("smsc"), Started: true}
	smsc.Password, smsc.SubmitThroughput = "p: #x", 2.5
	if err := s.Apply(func(d *provision.Draft) error {
		return errors.Join(
			d.AddGroup(account.Group{GID: "z-first", Enabled: false}), d.AddGroup(account.Group{GID: "g1", Enabled: true}), d.AddUser(u),
			d.PutFilter(filter), d.PutFilter(eval), d.AddSMPPConnector(smsc),
			d.AddHTTPConnector(provision.HTTPConnector{CID: "http1", URL: "http://127.0.0.1/mo?a=b", Method: "POST"}),
			d.PutRoute(routing.MT, provision.Route{Order: 10, Type: routing.StaticMTRoute, Filters: []string{"f1", "ev"}, Connectors: []routing.Connector{{Kind: routing.SMPPClient, ID: "smsc"}}, Rate: 1_234_567}),
			d.PutRoute(routing.MO, provision.Route{Type: routing.DefaultRoute, Connectors: []routing.Connector{{Kind: routing.HTTPClient, ID: "http1"}}}),
			d.PutInterceptor(routing.MO, provision.Interceptor{Order: 3, Type: routing.StaticMOInterceptor, Filters: []string{"f1"}, Script: script}),
			d.PutInterceptor(routing.MT, provision.Interceptor{Type: routing.DefaultInterceptor, Script: script}),
		)
	}); err != nil {
		t.Fatal(err)
	}
}

func encoded(t testing.TB, s *provision.Store) string {
	t.Helper()
	content, err := s.Snapshot().Encode()
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestAProfileIsLoadedAsItWasSaved(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "store")
	p, store := open(t, dir)
	fill(t, store)
	want := encoded(t, store)
	if err := p.Persist(Default); err != nil {
		t.Fatal(err)
	}
	p2, store2 := open(t, dir)
	if err := p2.LoadAtStart(); err != nil {
		t.Fatal(err)
	}
	if got := encoded(t, store2); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if u := store2.Snapshot().User("u1"); u == nil || u.Enabled || u.MT.Authorization.HTTPSend || !u.Password.Matches("bar") {
		t.Errorf("user: %+v", u)
	}
	if c := store2.Snapshot().SMPPConnector("smsc"); c == nil || !c.Started || c.Password != "p: #x" {
		t.Errorf("connector: %+v", c)
	}
	info, err := os.Stat(filepath.Join(dir, "jcli-prod.profile.yaml"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, %v; others must not read it", info.Mode(), err)
	}
	if strings.Contains(want, "password: bar") {
		t.Error("a password is in the clear")
	}
}

func TestLoadReplacesEverythingAndFailsWhole(t *testing.T) {
	p, store := open(t, t.TempDir())
	if err := p.Persist("empty"); err != nil {
		t.Fatal(err)
	}
	fill(t, store)
	if err := p.Persist("full"); err != nil {
		t.Fatal(err)
	}
	if err := p.Load("empty"); err != nil {
		t.Fatal(err)
	}
	if got := encoded(t, store); got != "" {
		t.Errorf("an empty profile leaves\n%s", got)
	}
	if err := p.Load("full"); err != nil {
		t.Fatal(err)
	}
	before := store.Snapshot()
	if err := p.Load("none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	for _, name := range []string{"", "../x", "a/b", ".x", "-p", strings.Repeat("x", 65)} {
		if err := p.Load(name); err == nil || !strings.Contains(err.Error(), "profile name") {
			t.Errorf("%q: %v", name, err)
		}
		if err := p.Persist(name); err == nil || !strings.Contains(err.Error(), "profile name") {
			t.Errorf("%q: %v", name, err)
		}
	}
	if store.Snapshot() != before {
		t.Error("a load that failed changed something")
	}
}

func TestFilesThatCannotBeReadStopTheStartAndStay(t *testing.T) {
	for name, tt := range map[string]struct{ content, want string }{
		"newer":        {"version: 2\nfuture: yes\n", "jcli-prod.profile.yaml is of version 2, written by a newer jasmind; this one reads version 1"},
		"not YAML":     {"version: 1\n\tx: [", "is damaged"},
		"a pickle":     {"Persisted on Mon [Jasmin 0.11.1]\n\x80\x04}", "is damaged"},
		"no profile":   {"groups: []\n", "has no version, it is no profile"},
		"old":          {"version: 0\n", "version 0 does not exist"},
		"unknown key":  {"version: 1\ngroups:\n  - {gid: g1, color: red}\n", `jcli-prod.profile.yaml:3: group g1: unknown key "color"`},
		"broken refs":  {"version: 1\nusers:\n  - {uid: u1, username: foo, gid: gone, password: 37b51d194a7513e45b56f6524f2d51f2}\n", "jcli-prod.profile.yaml:3: user u1: gid: group gone does not exist"},
		"empty":        {"", "has no version"},
		"bad argument": {"version: one\n", "is damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "jcli-prod.profile.yaml")
			if err := os.WriteFile(file, []byte(tt.content), 0o600); err != nil {
				t.Fatal(err)
			}
			p, store := open(t, dir)
			if err := p.LoadAtStart(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
			if store.Snapshot().Version() != 0 {
				t.Error("something was configured")
			}
			if got, err := os.ReadFile(file); err != nil || string(got) != tt.content {
				t.Errorf("the file is now %q, %v", got, err)
			}
		})
	}
}

func TestStartWithoutAProfile(t *testing.T) {
	dir := t.TempDir()
	p, _ := open(t, dir)
	if err := p.LoadAtStart(); err != nil {
		t.Fatal(err)
	}
	if files, _ := os.ReadDir(dir); len(files) != 0 {
		t.Errorf("files %v", files)
	}
}

func TestChangesAreSavedEverySoOften(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		p, store := open(t, dir)
		if err := p.LoadAtStart(); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { defer close(done); p.Run(ctx, time.Minute) }()
		file := filepath.Join(dir, "jcli-prod.profile.yaml")
		time.Sleep(90 * time.Second)
		if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("nothing has changed, yet: %v", err)
		}
		add := func(gid sms.GroupID) {
			if err := store.Apply(func(d *provision.Draft) error { return d.AddGroup(account.Group{GID: gid, Enabled: true}) }); err != nil {
				t.Fatal(err)
			}
		}
		add("g1")
		time.Sleep(29 * time.Second)
		if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("saved before its time: %v", err)
		}
		time.Sleep(2 * time.Second)
		first, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(first), "gid: g1") {
			t.Errorf("%q, %v", first, err)
		}
		time.Sleep(5 * time.Minute)
		if again, _ := os.ReadFile(file); string(again) != string(first) {
			t.Errorf("saved again without a change:\n%s", again)
		}
		// After another profile was loaded, that one is saved, and not this one.
		if err := p.Persist("testing"); err != nil {
			t.Fatal(err)
		}
		if err := p.Load("testing"); err != nil {
			t.Fatal(err)
		}
		add("g2")
		time.Sleep(time.Minute + time.Second)
		if got, _ := os.ReadFile(filepath.Join(dir, "testing.profile.yaml")); !strings.Contains(string(got), "gid: g2") {
			t.Errorf("testing:\n%s", got)
		}
		if got, _ := os.ReadFile(file); string(got) != string(first) {
			t.Errorf("jcli-prod:\n%s", got)
		}
		cancel()
		<-done
	})
}

// Save writes what has changed since, and tells what kept it from that.
func TestSave(t *testing.T) {
	dir := t.TempDir()
	p, store := open(t, dir)
	if err := p.LoadAtStart(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "jcli-prod.profile.yaml")
	if err := p.Save(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing has changed: %v", err)
	}
	if err := store.Apply(func(d *provision.Draft) error { return d.AddGroup(account.Group{GID: "g1", Enabled: true}) }); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(file, 0o700); err != nil { // in its way
		t.Fatal(err)
	}
	if err := p.Save(); err == nil {
		t.Error("saved over a folder")
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := p.Save(); err != nil {
		t.Error(err)
	}
	if got, err := os.ReadFile(file); err != nil || !strings.Contains(string(got), "gid: g1") {
		t.Errorf("%q, %v", got, err)
	}
}

func TestExportAndImport(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "provision.yaml")
	if err := os.WriteFile(file, []byte("groups: [{gid: g1}]\nusers:\n  - {uid: u1, username: foo, password: clear-text, gid: g1}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Import(dir, "moved", file, false); err != nil {
		t.Fatal(err)
	}
	if err := Import(dir, "moved", file, false); !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v", err)
	}
	if err := Import(dir, "moved", file, true); err != nil {
		t.Error(err)
	}
	p, store := open(t, dir)
	if err := p.Load("moved"); err != nil {
		t.Fatal(err)
	}
	if u := store.Snapshot().User("u1"); u == nil || u.Password.String() != "argon2id" || !u.Password.Matches("clear-text") {
		t.Errorf("user: %+v", u)
	}
	out, err := Export(dir, "moved")
	if err != nil || strings.Contains(string(out), "clear-text") {
		t.Fatalf("%v\n%s", err, out)
	}
	back := provision.NewStore()
	doc, err := provision.Parse("out.yaml", out)
	if err != nil {
		t.Fatal(err)
	}
	if err := back.ApplyDocument(doc); err != nil {
		t.Error(err)
	}
	if u := back.Snapshot().User("u1"); u == nil || !u.Password.Matches("clear-text") {
		t.Errorf("user: %+v", u)
	}
	if _, err := Export(dir, "nothing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// With --provision, what the file declares is not in the profile, and stays when one is loaded.
func TestWhatAProvisioningFileDeclaresIsNotSaved(t *testing.T) {
	dir := t.TempDir()
	p, store := open(t, dir)
	doc, err := provision.Parse("p.yaml", []byte("groups: [{gid: declared}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	if err := store.ApplyDocument(doc); err != nil {
		t.Fatal(err)
	}
	if err := p.LoadAtStart(); err != nil {
		t.Fatal(err)
	}
	if err := store.Apply(func(d *provision.Draft) error { return d.AddGroup(account.Group{GID: "typed", Enabled: true}) }); err != nil {
		t.Fatal(err)
	}
	if err := p.Persist(Default); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(dir, "jcli-prod.profile.yaml"))
	if err != nil || strings.Contains(string(content), "declared") || !strings.Contains(string(content), "typed") {
		t.Errorf("%v\n%s", err, content)
	}
	if err := p.Load(Default); err != nil || store.Snapshot().Group("declared") == nil {
		t.Errorf("%v, %v", err, store.Snapshot().Groups())
	}
}

const generationSize = 200

func generation(s *provision.Store, prefix string) error {
	return s.Apply(func(d *provision.Draft) error {
		for i := range generationSize {
			if err := d.PutGroup(account.Group{GID: sms.GroupID(fmt.Sprintf("%s%d", prefix, i)), Enabled: true}); err != nil {
				return err
			}
		}
		return nil
	})
}

// persistForEver is the child of TestKillWhileSaving: it saves two configurations in turn.
func persistForEver(dir string) {
	log := slog.New(slog.DiscardHandler)
	var both [2]*Profiles
	for i, prefix := range []string{"a", "b"} {
		store := provision.NewStore()
		if err := generation(store, prefix); err != nil {
			panic(err)
		}
		both[i] = &Profiles{dir: dir, store: store, log: log, current: Default}
	}
	for i := 0; ; i++ {
		if err := both[i%2].Persist(Default); err != nil {
			panic(err)
		}
		if i == 1 {
			fmt.Println("ready")
		}
	}
}

// Whenever the process is killed, the next start finds the old profile or the new one.
func TestKillWhileSaving(t *testing.T) {
	dir := t.TempDir()
	for round := range 25 {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), "PROFILE_TEST_PERSIST="+dir)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
			t.Fatalf("%q, %v", line, err)
		}
		time.Sleep(time.Duration(rand.IntN(8000)) * time.Microsecond)
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = child.Wait()
		p, store := open(t, dir)
		if err := p.LoadAtStart(); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		groups := store.Snapshot().Groups()
		if len(groups) != generationSize {
			t.Fatalf("round %d: %d groups", round, len(groups))
		}
		for _, g := range groups {
			if g.GID[0] != groups[0].GID[0] {
				t.Fatalf("round %d: %s and %s in one profile", round, groups[0].GID, g.GID)
			}
		}
		files, err := os.ReadDir(dir)
		if err != nil || len(files) != 1 {
			t.Errorf("round %d: %v is left, %v", round, files, err)
		}
	}
}
