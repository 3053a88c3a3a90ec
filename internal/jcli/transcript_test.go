package jcli

import (
	"bytes"
	"context"
	"flag"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"jasmind/internal/account"
	"jasmind/internal/provision"
)

var update = flag.Bool("update", false, "rewrite what is printed in testdata/jcli from what the console prints")

const transcripts = "../../testdata/jcli"

// A transcript is a whole session. Its lines are those of the screen: with < in front if
// something was typed in it, behind a prompt, and with > if it was printed. Trailing spaces
// are written as ␠, a TAB as <TAB>, and lines with # are comments. $DIR is a folder with
// the files of scripts in it.
type transcript struct {
	file  string
	lines []string
}

var prompts = []string{mainPrompt, "> ", "Username: ", "Password: "}

// typed gives what was typed in a line of the screen, and the prompt before it.
func typed(line string) (prompt, text string, ok bool) {
	for _, p := range prompts {
		if text, ok := strings.CutPrefix(line, p); ok {
			return p, text, true
		}
	}
	return "", "", false
}

func readTranscript(t *testing.T, file, dir string) *transcript {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	tr := &transcript{file: file}
	for n, line := range strings.Split(strings.TrimSuffix(string(content), "\n"), "\n") {
		line = strings.ReplaceAll(strings.ReplaceAll(line, "␠", " "), "$DIR", dir)
		if strings.HasPrefix(line, "< ") {
			if _, _, ok := typed(line[2:]); !ok {
				t.Fatalf("%s:%d: no prompt in %q", file, n+1, line)
			}
		} else if line != ">" && !strings.HasPrefix(line, "> ") && !strings.HasPrefix(line, "#") {
			t.Fatalf("%s:%d: neither < nor > nor #: %q", file, n+1, line)
		}
		tr.lines = append(tr.lines, line)
	}
	return tr
}

// keys is everything that is typed, with the given end of line.
func (tr *transcript) keys(end string) string {
	var b strings.Builder
	for _, line := range tr.lines {
		if line, ok := strings.CutPrefix(line, "< "); ok {
			_, text, _ := typed(line)
			if text, ok := strings.CutSuffix(text, "<TAB>"); ok {
				b.WriteString(text + "\t")
			} else {
				b.WriteString(text + end)
			}
		}
	}
	return b.String()
}

// screen is everything that is sent to the client.
func (tr *transcript) screen() string {
	var b strings.Builder
	for _, line := range tr.lines {
		switch {
		case strings.HasPrefix(line, "< "):
			prompt, text, _ := typed(line[2:])
			if prompt == "Password: " {
				text = ""
			}
			b.WriteString(prompt + strings.TrimSuffix(text, "<TAB>") + "\r\n")
		case strings.HasPrefix(line, ">"):
			b.WriteString(strings.TrimPrefix(line[1:], " ") + "\r\n")
		}
	}
	return b.String()
}

// rewrite puts what was really printed into the file, and keeps what is typed and the comments.
func (tr *transcript) rewrite(t *testing.T, screen, dir string) {
	t.Helper()
	var out []string
	printed := strings.Split(strings.TrimSuffix(screen, "\r\n"), "\r\n")
	show := func(mark, line string) {
		trimmed := strings.TrimRight(line, " ")
		line = trimmed + strings.Repeat("␠", len(line)-len(trimmed))
		out = append(out, strings.TrimRight(mark+" "+strings.ReplaceAll(line, dir, "$DIR"), " "))
	}
	untilPrompt := func() {
		for len(printed) > 0 {
			if _, _, ok := typed(printed[0]); ok {
				return
			}
			show(">", printed[0])
			printed = printed[1:]
		}
	}
	for _, line := range tr.lines {
		switch {
		case strings.HasPrefix(line, "#"):
			out = append(out, line)
		case strings.HasPrefix(line, "< "):
			untilPrompt()
			_, text, _ := typed(line[2:])
			if len(printed) == 0 {
				t.Fatalf("%s: the session ended before %q", tr.file, line)
			}
			prompt, _, _ := typed(printed[0])
			printed = printed[1:]
			show("<", prompt+text)
		}
	}
	untilPrompt()
	if err := os.WriteFile(tr.file, []byte(strings.Join(out, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}

// stripTelnet takes telnet commands out of what a server sends.
func stripTelnet(p []byte) string {
	var out []byte
	for len(p) > 0 {
		if p[0] != telnetIAC || len(p) < 2 {
			out, p = append(out, p[0]), p[1:]
			continue
		}
		if p[1] >= telnetWILL && len(p) >= 3 {
			p = p[3:]
		} else {
			p = p[2:]
		}
	}
	return string(out)
}

// fixture is a server with what its transcripts need.
type fixture struct {
	*Server
	store *provision.Store
}

const adminMD5 = "79e9b0aa3f3e7c53e916f7ac47439bcb" // jclipwd, as in the documented jasmin.cfg

func serve(t testing.TB, cfg Config, deps Deps) *fixture {
	t.Helper()
	if deps.Store == nil {
		deps.Store = provision.NewStore()
	}
	if deps.Auth == nil {
		deps.Auth = account.NewAuthenticator(account.AuthConfig{}, nil)
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	cfg.Bind = "127.0.0.1"
	if cfg.AdminUsername == "" {
		p, err := account.ParseHash(adminMD5)
		if err != nil {
			t.Fatal(err)
		}
		cfg.AdminUsername, cfg.AdminPassword = "jcliadmin", p
	}
	s := New(cfg, deps)
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return &fixture{s, deps.Store}
}

// converse sends everything and gives everything that comes back until the server closes.
func (f *fixture) converse(t testing.TB, send func(net.Conn) error) []byte {
	t.Helper()
	conn, err := net.Dial("tcp", f.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	sent := make(chan error, 1)
	go func() { sent <- send(conn) }()
	got, err := io.ReadAll(conn)
	if err != nil && !strings.Contains(err.Error(), "reset") {
		t.Fatalf("%v, after %q", err, got)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	return got
}

func atOnce(text string) func(net.Conn) error {
	return func(c net.Conn) error { _, err := io.WriteString(c, text); return err }
}

func octetByOctet(text string) func(net.Conn) error {
	return func(c net.Conn) error {
		for i := range len(text) {
			if _, err := c.Write([]byte{text[i]}); err != nil {
				return err
			}
		}
		return nil
	}
}

// framings are the ways in which the same keys can come.
var framings = []struct {
	name  string
	end   string
	send  func(string) func(net.Conn) error
	extra string
}{
	{name: "one write, CR LF", end: "\r\n", send: atOnce},
	{name: "one octet at a time, LF", end: "\n", send: octetByOctet},
	{name: "one octet at a time, CR NUL", end: "\r\x00", send: octetByOctet},
	{name: "one write, CR NUL, telnet negotiation", end: "\r\x00", send: atOnce,
		extra: "\xff\xfd\x01\xff\xfd\x03\xff\xfb\x1f\xff\xfb\x18\xff\xfa\x1f\x00\x50\x00\x18\xff\xf0\xff\xfd\x05\xff\xfb\x03\xff\xf1"},
	{name: "one octet at a time, CR LF, telnet negotiation", end: "\r\n", send: octetByOctet, extra: "\xff\xfe\x01\xff\xfb\x22\xff\xfa\x22\x03\xff\xff\x01\xff\xf0"},
}

func TestTranscripts(t *testing.T) {
	dir := t.TempDir()
	for name, code := range map[string]string{"mo-interceptor.py": "", "mt-interceptor.py": "", "long.py": "# first line\nroutable.addTag('seen')\n", "abc-connector.py": "",
		"broken.py": "def ("} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(code), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob(transcripts + "/*.txt")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d transcripts, %v", len(files), err)
	}
	for _, file := range files {
		tr := readTranscript(t, file, dir)
		if *update {
			_, screen := play(t, tr, 0)
			tr.rewrite(t, screen, dir)
			continue
		}
		for i, f := range framings {
			t.Run(filepath.Base(file)+", "+f.name, func(t *testing.T) {
				raw, screen := play(t, tr, i)
				if !bytes.HasPrefix(raw, telnetGreeting) {
					t.Errorf("no telnet greeting in %q", raw[:min(20, len(raw))])
				}
				if want := tr.screen(); screen != want {
					t.Errorf("%s", difference(screen, want))
				}
			})
		}
	}
}

func play(t *testing.T, tr *transcript, framing int) (raw []byte, screen string) {
	t.Helper()
	keys := tr.keys(framings[framing].end)
	login := slices.ContainsFunc(tr.lines, func(l string) bool { return strings.HasPrefix(l, "< Username: ") })
	f := serve(t, Config{Authentication: login}, documentedDeps(t))
	raw = f.converse(t, framings[framing].send(framings[framing].extra+keys))
	return raw, stripTelnet(raw)
}

// difference shows the first line that differs.
func difference(got, want string) string {
	g, w := strings.SplitAfter(got, "\n"), strings.SplitAfter(want, "\n")
	for i := range max(len(g), len(w)) {
		var a, b string
		if i < len(g) {
			a = g[i]
		}
		if i < len(w) {
			b = w[i]
		}
		if a != b {
			before := ""
			if i > 0 && i <= len(w) {
				before = w[i-1]
			}
			return "line " + itoa(i+1) + " after " + quote(before) + "\ngot  " + quote(a) + "\nwant " + quote(b)
		}
	}
	return "no difference"
}
