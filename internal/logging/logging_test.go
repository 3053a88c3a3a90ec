package logging

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func logged(t *testing.T, cfg Config, f func(*slog.Logger)) string {
	t.Helper()
	var out bytes.Buffer
	logs := New(&out, Limits{})
	cfg.File = "stdout"
	l, err := logs.Logger("jasmin-test", cfg)
	if err != nil {
		t.Fatal(err)
	}
	f(l)
	if err := logs.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestDefaultFormatIsThatOfTheOriginal(t *testing.T) {
	got := logged(t, Config{Level: slog.LevelInfo}, func(l *slog.Logger) {
		l.Debug("not seen")
		l.Info("SMS-MT [cid:abc]")
		l.With("cid", "abc").Warn("bind refused", "status", "ESME_RINVPASWD", "err", errors.New("two words"))
	})
	want := regexp.MustCompile(`^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d INFO     \d+ SMS-MT \[cid:abc\]\n` +
		`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d WARNING  \d+ bind refused cid=abc status=ESME_RINVPASWD err="two words"\n$`)
	if !want.MatchString(got) {
		t.Errorf("got\n%s", got)
	}
}

func TestFormats(t *testing.T) {
	tests := []struct{ name, format, date, want string }{
		{"widths and a literal percent", "%(levelname)8s|%(levelname)-6s|100%% %(message)s", "", "    INFO|INFO  |100% hi"},
		{"name and number", "%(name)s %(levelno)d %(message)s", "", "jasmin-test 20 hi"},
		{"empty means the default", "", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := strings.TrimSuffix(logged(t, Config{Format: tt.format, DateFormat: tt.date}, func(l *slog.Logger) { l.Info("hi") }), "\n")
			if tt.want != "" && got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if !strings.HasSuffix(got, "hi") {
				t.Errorf("message is missing in %q", got)
			}
		})
	}
}

func TestFaultsNameTheKey(t *testing.T) {
	for _, tt := range []struct {
		cfg  Config
		want string
	}{
		{Config{Rotate: "W7"}, `log_rotate: "W7"`},
		{Config{Format: "%(nonsense)s"}, `field "nonsense"`},
		{Config{Format: "%message"}, "log_format"},
		{Config{DateFormat: "%Q"}, "log_date_format: %Q"},
	} {
		tt.cfg.File = filepath.Join(t.TempDir(), "x.log")
		all := New(io.Discard, Limits{})
		_, err := all.Logger("x", tt.cfg)
		if err := errors.Join(err, all.Close()); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: got %v, want %q in it", tt.cfg, err, tt.want)
		}
	}
	if _, err := ParseLevel("LOUD"); err == nil || !strings.Contains(err.Error(), `"LOUD"`) {
		t.Errorf("ParseLevel: %v", err)
	}
}

func TestLineCannotBeForged(t *testing.T) {
	got := logged(t, Config{}, func(l *slog.Logger) {
		l.Info("text\nforged\x1b[31m", "k", "a\nb")
	})
	if strings.Count(got, "\n") != 1 || !strings.Contains(got, `text\x0aforged\x1b[31m`) || !strings.Contains(got, `k="a\nb"`) {
		t.Errorf("got %q", got)
	}
}

func TestControlCharactersOfC1AreEscaped(t *testing.T) {
	got := logged(t, Config{Format: "%(message)s"}, func(l *slog.Logger) {
		l.Info("é\u009b31m\x9b\u2028x", "k", "\u0085", "raw", "\x9b31m", "name", "é")
	})
	if want := `é\xc2\x9b31m\x9b\xe2\x80\xa8x k="\u0085" raw="\x9b31m" name=é` + "\n"; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestALineIsBounded(t *testing.T) {
	long := strings.Repeat("é", maxText)
	got := logged(t, Config{Format: "%(message)s"}, func(l *slog.Logger) { l.Info(long, "uri", long) })
	want := strings.Repeat("é", maxText/2) + "... (16384 octets left out)"
	if got != want+" uri="+want+"\n" {
		t.Errorf("got %d octets, which end in %q", len(got), got[len(got)-60:])
	}
}

func TestPrivacyHidesContent(t *testing.T) {
	got := logged(t, Config{}, func(l *slog.Logger) {
		l.Info("sms", "content", Content{Text: "secret", Privacy: true})
		l.Info("sms", "content", Content{Text: "public"})
	})
	if strings.Contains(got, "secret") || !strings.Contains(got, "** 6 byte content **") || !strings.Contains(got, "content=public") {
		t.Errorf("got %q", got)
	}
}

func TestServicesThatNameOneFileShareIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "messages.log")
	logs := New(nil, Limits{})
	a, err := logs.Logger("a", Config{File: path, Format: "%(name)s %(message)s"})
	if err != nil {
		t.Fatal(err)
	}
	b, err := logs.Logger("b", Config{File: path, Format: "%(name)s %(message)s"})
	if err != nil {
		t.Fatal(err)
	}
	a.Info("one")
	b.Info("two")
	if err := logs.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil || string(got) != "a one\nb two\n" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestALogThatEndsClosesItsFileUnlessAnotherWritesToIt(t *testing.T) {
	dir := t.TempDir()
	logs := New(nil, Limits{})
	defer logs.Close()
	open := func(file string) (*slog.Logger, func() error) {
		t.Helper()
		l, release, err := logs.Open("x", Config{File: filepath.Join(dir, file), Format: "%(message)s"})
		if err != nil {
			t.Fatal(err)
		}
		return l, release
	}
	wantSinks := func(n int) {
		t.Helper()
		logs.mu.Lock()
		defer logs.mu.Unlock()
		if len(logs.sinks) != n {
			t.Errorf("%d files are open, want %d", len(logs.sinks), n)
		}
	}
	a, releaseA := open("shared.log")
	b, releaseB := open("shared.log")
	c, releaseC := open("own.log")
	wantSinks(2)
	a.Info("one")
	c.Info("alone")
	for _, release := range []func() error{releaseA, releaseC} {
		if err := release(); err != nil {
			t.Fatal(err)
		}
	}
	wantSinks(1)
	c.Info("lost")
	b.Info("two")
	if err := releaseB(); err != nil {
		t.Fatal(err)
	}
	wantSinks(0)
	again, release := open("shared.log")
	again.Info("three")
	if err := release(); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{"shared.log": "one\ntwo\nthree\n", "own.log": "alone\n"} {
		if got, err := os.ReadFile(filepath.Join(dir, file)); err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v", file, got, err)
		}
	}
}

func TestUnwritableFileIsAnErrorAtStart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := New(nil, Limits{}).Logger("x", Config{File: filepath.Join(dir, "x.log")})
	if err == nil || !strings.Contains(err.Error(), "log_file") {
		t.Errorf("got %v", err)
	}
}

// blocked is a writer that waits until it is released.
type blocked struct {
	entered chan struct{}
	release chan struct{}
	once    sync.Once
	bytes.Buffer
}

func (b *blocked) Write(p []byte) (int, error) {
	b.once.Do(func() { close(b.entered); <-b.release })
	return b.Buffer.Write(p)
}

func TestFullBufferDropsTheLeastImportantAndCounts(t *testing.T) {
	out := &blocked{entered: make(chan struct{}), release: make(chan struct{})}
	logs := New(out, Limits{})
	l, err := logs.Logger("x", Config{Level: slog.LevelDebug, File: "stdout", Format: "%(levelname)s %(message)s"})
	if err != nil {
		t.Fatal(err)
	}
	l.Info("first")
	<-out.entered
	big := strings.Repeat("x", maxText)
	for range bufferMax / len(big) {
		l.Debug(big)
	}
	for range bufferMax / len(big) {
		l.Info(big)
	}
	l.Warn("still fits")
	dropped := logs.Dropped()
	if dropped == 0 {
		t.Error("nothing was dropped")
	}
	close(out.release)
	if err := logs.Close(); err != nil {
		t.Fatal(err)
	}
	got := out.String()
	if !strings.Contains(got, "WARNING still fits\n") || !strings.Contains(got, "lines dropped") {
		t.Errorf("the warning or the note about dropped lines is missing (%d octets)", len(got))
	}
}

func TestNextWeekday(t *testing.T) {
	monday := time.Date(2024, 1, 1, 13, 0, 0, 0, time.UTC)
	if got, want := nextWeekday(monday, time.Sunday), time.Date(2024, 1, 7, 0, 0, 0, 0, time.UTC); !got.Equal(want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got, want := nextWeekday(monday, time.Monday), time.Date(2024, 1, 8, 0, 0, 0, 0, time.UTC); !got.Equal(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func FuzzFormat(f *testing.F) {
	f.Add(DefaultFormat, DefaultDateFormat)
	f.Fuzz(func(t *testing.T, format, date string) {
		if segs, err := parseFormat(format); err == nil {
			for _, s := range segs {
				if s.width < 0 || s.width > 100 {
					t.Fatalf("width %d", s.width)
				}
			}
		}
		goLayout(date)
	})
}

func BenchmarkInfo(b *testing.B) {
	logs := New(nil, Limits{})
	l, err := logs.Logger("bench", Config{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		l.Info("SMS-MT [cid:abc] [status:ESME_ROK]", "from", "1234")
	}
	logs.Close()
}
