package jcli

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"jasmind/internal/account"
	"jasmind/internal/provision"
)

// console is a server without a port, whose log is kept.
type console struct {
	*Server
	store *provision.Store
	log   syncBuffer
}

func newConsole(t testing.TB) *console {
	t.Helper()
	c := &console{}
	deps := documentedDeps(t)
	deps.Auth, deps.Log = account.NewAuthenticator(account.AuthConfig{}, nil), slog.New(slog.NewTextHandler(&c.log, nil))
	c.store = deps.Store
	c.Server = New(Config{}, deps)
	return c
}

// cut types text into a session, whose connection ends right behind it, wherever the session is.
func (c *console) cut(text string) {
	near, far := net.Pipe()
	c.start(far)
	typed := make(chan struct{})
	go func() {
		defer close(typed)
		_, _ = io.WriteString(near, text) // the session may end before
		near.Close()
	}()
	_, _ = io.Copy(io.Discard, near) // until it is closed
	<-typed
}

// types is a session that types text, leaves what is open then, and gives what is shown.
func (c *console) types(t testing.TB, text string) string {
	t.Helper()
	near, far := net.Pipe()
	defer near.Close()
	c.start(far)
	typed := make(chan error, 1)
	go func() {
		_, err := io.WriteString(near, text+"ko\rquit\r")
		typed <- err
	}()
	got, err := io.ReadAll(near)
	if err == nil {
		err = <-typed
	}
	if err != nil {
		t.Errorf("%v, after %q", err, got)
	}
	return stripTelnet(got)
}

// stop waits for all sessions.
func (c *console) stop(t testing.TB) {
	t.Helper()
	if err := c.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if strings.Contains(c.log.String(), "defect") {
		t.Errorf("a session met a defect:\n%s", c.log.String())
	}
}

func saved(t testing.TB, store *provision.Store) []byte {
	t.Helper()
	content, err := store.Snapshot().Encode()
	if err != nil {
		t.Fatalf("what was configured cannot be saved: %v", err)
	}
	return content
}

// wantLoadable wants a profile of the configuration to bring back the same.
func wantLoadable(t testing.TB, store *provision.Store) {
	t.Helper()
	content := saved(t, store)
	doc, err := provision.ParseSaved("profile", content)
	if err != nil {
		t.Fatalf("a profile cannot be read: %v\n%s", err, content)
	}
	fresh := provision.NewStore()
	if err := fresh.Load(doc); err != nil {
		t.Fatalf("a profile cannot be loaded: %v\n%s", err, content)
	}
	if again := saved(t, fresh); !bytes.Equal(again, content) {
		t.Fatalf("after persist and load\n%s\nbefore\n%s", again, content)
	}
}

// everything configures something of every kind; each ok makes one change.
const everything = "group -a\rgid g1\rok\r" +
	"user -a\ruid u1\rgid g1\rusername foo\rpassword bar\rmt_messaging_cred quota balance 10\rok\r" +
	"user -u u1\rmt_messaging_cred valuefilter dst_addr ^33\rsmpps_cred quota max_bindings 2\rok\r" +
	"filter -a\rfid f1\rtype destinationaddrfilter\rdestination_addr ^33\rok\r" +
	"filter -a\rfid f2\rtype evalpyfilter\rpyCode expr(len(content) > 160)\rok\r" +
	"smppccm -a\rcid abc\rhost 192.0.2.1\rport 2775\rbind transceiver\rok\r" +
	"smppccm -u abc\rusername foo\rpassword secret\rok\r" +
	"httpccm -a\rcid hcc\rmethod GET\rurl http://192.0.2.1/mo\rok\r" +
	"mtrouter -a\rtype staticmtroute\rorder 10\rconnector smppc(abc)\rfilters f1;f2\rrate 0.5\rok\r" +
	"morouter -a\rtype defaultroute\rconnector http(hcc)\rok\r" +
	"mtinterceptor -a\rtype defaultinterceptor\rscript expr(set(\"source_addr\", \"ACME\"))\rok\r" +
	"mointerceptor -a\rtype staticmointerceptor\rorder 5\rfilters f2\rscript expr(true)\rok\r"

// A connection that ends wherever it is has changed what was saved with ok, and nothing else; other sessions go on.
func TestSessionsCutMidwayChangeNothingByHalves(t *testing.T) {
	// The password has another salt each time.
	normal := func(content []byte) string {
		var lines []string
		for line := range strings.Lines(string(content)) {
			if !strings.Contains(line, "$argon2id$") {
				lines = append(lines, line)
			}
		}
		return strings.Join(lines, "")
	}
	steps := strings.SplitAfter(everything, "\rok\r")
	states := []string{""}
	c := newConsole(t)
	states[0] = normal(saved(t, c.store))
	for i := range steps[:len(steps)-1] {
		if got := c.types(t, steps[i]); !strings.Contains(got, "Successfully") {
			t.Fatalf("%q: %s", steps[i], got)
		}
		states = append(states, normal(saved(t, c.store)))
	}
	wantLoadable(t, c.store)
	c.stop(t)
	var cuts []int
	for i := range len(everything) {
		if i%29 == 0 || everything[i] == '\r' || i > 0 && everything[i-1] == '\r' && i%3 == 0 {
			cuts = append(cuts, i)
		}
	}
	for _, cut := range cuts {
		c := newConsole(t)
		c.cut(everything[:cut])
		c.stop(t) // the session has ended, whatever it was about
		most := strings.Count(everything[:cut], "\rok\r")
		got := normal(saved(t, c.store))
		// The line that came last may be dropped with the connection.
		if got != states[most] && (most == 0 || got != states[most-1]) {
			t.Fatalf("cut after %q: the configuration is\n%s\nwant\n%s", everything[max(0, cut-40):cut], got, states[most])
		}
	}
}

// Whatever is typed at every key of every manager, and left with ko, the session goes on and nothing has changed.
func TestBadFieldsAreAnsweredAndLeaveNothing(t *testing.T) {
	bad := []string{"", " ", "-1", "99999999999999999999", "1e400", "NaN", "none", "a b", "a;b", "é", "\u202e", "(", "smppc()", "http(x", "python3()", "expr(", strings.Repeat("x", 2000), "'\"$(id)`"}
	begins := []string{"group -a", "user -a", "user -u u1", "smppccm -a", "smppccm -u abc", "httpccm -a", "mtrouter explain"}
	for _, typ := range []string{"destinationaddrfilter", "evalpyfilter", "dateintervalfilter", "transparentfilter", "nonsense"} {
		begins = append(begins, "filter -a\rtype "+typ)
	}
	for _, typ := range []string{"defaultroute", "staticmtroute", "failovermtroute", "weightedmtroute", "leastcostmtroute", "nonsense"} {
		begins = append(begins, "mtrouter -a\rtype "+typ)
	}
	for _, typ := range []string{"defaultroute", "staticmoroute", "failovermoroute", "randomroundrobinmoroute"} {
		begins = append(begins, "morouter -a\rtype "+typ)
	}
	for _, d := range []string{"mt", "mo"} {
		begins = append(begins, d+"interceptor -a\rtype defaultinterceptor", d+"interceptor -a\rtype static"+d+"interceptor")
	}
	c := newConsole(t)
	defer c.stop(t)
	c.types(t, everything)
	before := saved(t, c.store)
	for _, begin := range begins {
		t.Run(begin, func(t *testing.T) {
			// TAB on an empty line lists the keys of the session.
			keys := []string{"gid"} // which TAB completes, being the only one
			if begin != "group -a" {
				keys = strings.Fields(lastLine(c.types(t, begin+"\r\t\rko\r")))
			}
			if len(keys) == 0 {
				t.Fatal("the session has no keys")
			}
			var b strings.Builder
			b.WriteString(begin + "\r")
			lines := strings.Count(begin, "\r") + 1
			for _, key := range append(keys, "nonsense", "mt_messaging_cred quota nonsense", "smpps_cred authorization ip") {
				for _, value := range bad {
					b.WriteString(key + " " + value + "\r")
					lines++
				}
			}
			b.WriteString("ko\rgroup -l\r")
			got := c.types(t, b.String())
			if !strings.Contains(got, "Total Groups: 1") {
				t.Errorf("the session did not come back to its prompt: %q", got[max(0, len(got)-300):])
			}
			if n := strings.Count(got, "\r\n> "); n < lines {
				t.Errorf("%d prompts for %d lines", n, lines)
			}
			if after := saved(t, c.store); !bytes.Equal(after, before) {
				t.Errorf("the configuration is\n%s\nit was\n%s", after, before)
			}
		})
	}
}

// lastLine is what TAB has listed: the line before the prompt that is shown again.
func lastLine(screen string) string {
	lines := strings.Split(screen, "\r\n")
	for i := len(lines) - 1; i > 0; i-- {
		if strings.HasPrefix(lines[i], "> ko") {
			return lines[i-2]
		}
	}
	return ""
}

// What somebody else has changed meanwhile is told, and nothing is saved by halves.
func TestChangesOfOthersMeanwhile(t *testing.T) {
	for _, tt := range []struct{ name, mine, others, want string }{
		{"the user is gone", "user -u u1\rpassword x\r", "user -r u1\r", "Failed updating User"},
		{"the group of a new user is gone", "user -a\ruid u2\rgid g2\rusername x\rpassword x\r", "group -r g2\r", "Failed adding User"},
		{"the connector is gone", "smppccm -u abc\rport 1\r", "mtrouter -r 10\rsmppccm -r abc\r", "Failed updating connector"},
		{"the connector of a new route is gone", "mtrouter -a\rtype defaultroute\rconnector smppc(abc)\rrate 0\r", "mtrouter -r 10\rsmppccm -r abc\r", "Failed adding MTRoute"},
		{"the filter of a new route is gone", "mtrouter -a\rtype staticmtroute\rorder 7\rconnector smppc(abc)\rfilters f3\rrate 0\r", "filter -r f3\r", "Failed adding MTRoute"},
		{"the filter of a new interceptor is gone", "mtinterceptor -a\rtype staticmtinterceptor\rorder 7\rfilters f3\rscript expr(true)\r", "filter -r f3\r", "Failed adding MTInterceptor"},
		{"the user of an explanation is gone", "mtrouter explain\ruid u1\rdestination_addr 1\r", "user -r u1\r", "Unknown User: u1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newConsole(t)
			defer c.stop(t)
			c.types(t, everything+"group -a\rgid g2\rok\rfilter -a\rfid f3\rtype transparentfilter\rok\r")
			near, far := net.Pipe()
			c.start(far)
			mine := &client{t: t, conn: near, r: newReader(near)}
			mine.until(mainPrompt)
			for line := range strings.SplitSeq(strings.TrimSuffix(tt.mine, "\r"), "\r") {
				mine.do(line, "> ")
			}
			if got := c.types(t, tt.others); strings.Contains(got, "Failed") {
				t.Fatalf("the other session: %s", got)
			}
			before := saved(t, c.store)
			if got := mine.do("ok", "> "); !strings.Contains(got, tt.want) {
				t.Errorf("got %q, want %q in it", got, tt.want)
			}
			mine.do("ko", mainPrompt)
			near.Close()
			if after := saved(t, c.store); !bytes.Equal(after, before) {
				t.Errorf("the configuration is\n%s\nit was\n%s", after, before)
			}
		})
	}
}

// FuzzSession types anything at all: no session meets a defect, and what was configured can be persisted and loaded.
func FuzzSession(f *testing.F) {
	f.Add(everything)
	for _, line := range strings.SplitAfter(everything, "\rok\r") {
		f.Add(line)
	}
	files, err := filepath.Glob(transcripts + "/*.txt")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		f.Add(seedOf(f, file))
	}
	f.Add("user -u u1\rmt_messaging_cred quota balance +1\rok\rmtrouter --explain\rsmppccm -1 abc\rstats --smppcs\rdlq -l x\r\x1b[A\t\t")
	f.Fuzz(func(t *testing.T, text string) {
		lower := strings.ToLower(text)
		if strings.Contains(lower, "python3(") || strings.Contains(lower, "pycode") && !strings.Contains(lower, "pycode expr(") || strings.Contains(lower, "://") {
			t.Skip("it may read files and URLs of this machine")
		}
		c := newConsole(t)
		c.cut(text)
		c.stop(t)
		wantLoadable(t, c.store)
	})
}

// seedOf is what a transcript types.
func seedOf(f *testing.F, file string) string {
	f.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		f.Fatal(err)
	}
	var b strings.Builder
	for line := range strings.Lines(string(content)) {
		if line, ok := strings.CutPrefix(strings.TrimRight(line, "\r\n"), "< "); ok {
			_, text, _ := typed(line)
			b.WriteString(strings.ReplaceAll(text, "<TAB>", "\t") + "\r")
		}
	}
	return b.String()
}

func newReader(conn net.Conn) *bufio.Reader { return bufio.NewReader(conn) }
