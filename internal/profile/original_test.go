package profile

import (
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"jasmind/internal/account"
	"jasmind/internal/provision"
)

// storeOf copies a store of the original into a new folder.
func storeOf(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	files, err := filepath.Glob("original/testdata/protocol2/*")
	if err != nil || len(files) != 9 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name+filepath.Ext(file)), content, 0o400); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// content is what is in the files of a folder.
func content(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		out[path] = string(b)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

// openSaying opens a folder and keeps what the operator is told.
func openSaying(t *testing.T, dir string) (*Profiles, *provision.Store, *strings.Builder) {
	t.Helper()
	var said strings.Builder
	store := provision.NewStore()
	p, err := Open(Config{Dir: dir, Say: func(line string) { said.WriteString(line + "\n") }}, store, slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelWarn})))
	if err != nil {
		t.Fatal(err)
	}
	return p, store, &said
}

func wantSaid(t *testing.T, said *strings.Builder, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains(said.String(), line) {
			t.Errorf("%s is not in:\n%s", line, said)
		}
	}
	said.Reset()
}

func TestTheOriginalsProfileIsTakenAtStart(t *testing.T) {
	dir := storeOf(t, "jcli-prod")
	before := content(t, dir)
	p, store, said := openSaying(t, dir)
	if err := p.LoadAtStart(); err != nil {
		t.Fatal(err)
	}
	wantSaid(t, said, "Profile jcli-prod of the original is taken, its files stay as they are: 2 groups, 3 users, 11 filters, 2 SMPP connectors, 2 HTTP connectors, "+
		"4 MT routes, 4 MO routes, 2 MT interceptors, 1 MO interceptors.",
		"Taken, but SMPP connector carrier-b: ssl_verify is no", "level=WARN msg=\"taken from the profile of the original, but\" profile=jcli-prod object=\"SMPP connector carrier-b\"")
	snap := store.Snapshot()
	if u := snap.User("alice_1"); u == nil || !u.Password.Matches("s3cr3t-A") || u.MT.Quota.Balance.Value != 125_750_000 {
		t.Errorf("alice is %v", u)
	}
	if a, b := snap.SMPPConnector("carrier_a"), snap.SMPPConnector("carrier-b"); !a.Started || b.Started {
		t.Errorf("%v %v", a, b)
	}
	if err := p.Save(); err != nil {
		t.Fatal(err)
	}
	if after := content(t, dir); !maps.Equal(before, after) {
		t.Errorf("without a change there are files %v", after)
	}

	// A change makes a profile of ours, which is the one from then on.
	u := snap.User("alice_1")
	hash, err := account.HashPassword("s3cr3t-A")
	if err != nil {
		t.Fatal(err)
	}
	store.Upgrade(u, hash)
	if err := p.Save(); err != nil {
		t.Fatal(err)
	}
	p, store, said = openSaying(t, dir)
	if err := p.LoadAtStart(); err != nil {
		t.Fatal(err)
	}
	wantSaid(t, said, "Profile jcli-prod is that of jasmind: the files of the original under that name are NOT READ (jcli-prod.router-groups, ", "level=WARN msg=\"files of the original are not read")
	if got := store.Snapshot().User("alice_1").Password.String(); got != "argon2id" {
		t.Errorf("her password is kept as %s", got)
	}
	after := content(t, dir)
	delete(after, filepath.Join(dir, "jcli-prod.profile.yaml"))
	if !maps.Equal(before, after) {
		t.Error("the original's files have changed")
	}
}

func TestTheOriginalsProfileIsLoadedByName(t *testing.T) {
	dir := storeOf(t, "testing")
	p, store, said := openSaying(t, dir)
	if err := p.LoadAtStart(); err != nil {
		t.Fatal(err)
	}
	wantSaid(t, said, "Profile testing of the original is not loaded at start: load -p testing takes it.", "level=WARN")
	if err := p.Load("testing"); err != nil || store.Snapshot().User("carol_3") == nil {
		t.Error(err)
	}
	text, err := Export(dir, "testing")
	if err != nil || !strings.HasPrefix(string(text), "# Exported from profile testing of the original.\n# Taken, but: \"SMPP connector carrier-b: ssl_verify is no") || !strings.Contains(string(text), "carol_3") {
		t.Errorf("%v\n%s", err, text)
	}
}

func TestWhatIsNotTakenIsTold(t *testing.T) {
	dir := storeOf(t, "jcli-prod")
	if err := os.Remove(filepath.Join(dir, "jcli-prod.router-groups")); err != nil {
		t.Fatal(err)
	}
	p, _, said := openSaying(t, dir)
	if err := p.LoadAtStart(); err != nil {
		t.Fatal(err)
	}
	wantSaid(t, said, "NOT TAKEN: user alice_1: group premium does not exist\n", "level=ERROR msg=\"not taken from the profile of the original\" profile=jcli-prod object=\"user alice_1\"",
		"Taken, but file jcli-prod.router-groups: is not there")
	if text, err := Export(dir, "jcli-prod"); err != nil || !strings.Contains(string(text), "# Not taken: \"user alice_1: group premium does not exist\"\n") {
		t.Errorf("%v\n%s", err, text)
	}
}

func TestAFileOfTheOriginalThatCannotBeReadStopsTheStart(t *testing.T) {
	dir := storeOf(t, "jcli-prod")
	file := filepath.Join(dir, "jcli-prod.router-users")
	if err := os.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, 500); err != nil {
		t.Fatal(err)
	}
	p, store, _ := openSaying(t, dir)
	err := p.LoadAtStart()
	if err == nil || !strings.Contains(err.Error(), "profile jcli-prod of the original: "+file+": octet 439: opcode 0x58: the file ends early") || store.Snapshot().Version() != 0 {
		t.Errorf("%v", err)
	}
}

// What a provisioning file declares stays, as for profiles of ours.
func TestTheOriginalsProfileBesideAProvisioningFile(t *testing.T) {
	dir := storeOf(t, "jcli-prod")
	p, store, _ := openSaying(t, dir)
	doc, err := provision.Parse("file.yaml", []byte("groups: [{gid: g}]\nusers: [{uid: x, username: bob, password: p, gid: g}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	if err := store.ApplyDocument(doc); err != nil {
		t.Fatal(err)
	}
	err = p.LoadAtStart()
	if want := filepath.Join(dir, "jcli-prod") + ": user x: username: bob is that of user bob_2 too"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}
