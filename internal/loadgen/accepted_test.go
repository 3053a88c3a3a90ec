package loadgen

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestReadAccepted(t *testing.T) {
	const head = acceptedHeader + "abc\n"
	for _, test := range []struct {
		name, in string
		count    uint64
		fault    string // "" for none
	}{
		{"a run of which nothing was accepted", head, 0, ""},
		{"messages in any order", head + "3 c\n1 a\n2 b\n", 3, ""},
		{"an id with a space", head + "1 a b\n", 1, ""},
		{"the last line is cut within its id", head + "1 aaaa\n234 bb", 2, ""},
		{"the last line is cut within its number", head + "1 aaaa\n23", 1, ""}, // it may have been 234
		{"the last line is cut within its first octet", head + "1 aaaa\n", 1, ""},
		{"a line without an id", head + "1\n2 b\n", 0, `line 2: "1" is not a number and an id`},
		{"an empty line", head + "\n2 b\n", 0, `line 2: "" is not a number and an id`},
		{"no number", head + "1 a\nzwei b\n", 0, `line 3: "zwei" is not a message number`},
		{"zero", head + "0 a\n", 0, `line 2: "0" is not a message number`},
		{"beyond all numbers", head + "4294967296 a\n", 0, `line 2: "4294967296" is not a message number`},
		{"an endless line", head + "1 " + strings.Repeat("x", 5000) + "\n", 0, "token too long"},
		{"nothing", "", 0, "is empty"},
		{"an endless first line", strings.Repeat("x", 5000), 0, "token too long"},
		{"another file", "1 a\n", 0, `line 1: must be "# loadgen accepted run="RUN`},
		{"a run that cannot be", acceptedHeader + "a b\n1 a\n", 0, "line 1: must be"},
		{"a run without a name", acceptedHeader + "\n1 a\n", 0, "line 1: must be"},
		{"a run with a long name", acceptedHeader + strings.Repeat("a", 17) + "\n1 a\n", 0, "line 1: must be"},
	} {
		t.Run(test.name, func(t *testing.T) {
			run, numbers, err := readAccepted(strings.NewReader(test.in))
			if test.fault != "" {
				if err == nil || !strings.Contains(err.Error(), test.fault) {
					t.Errorf("got %v, want %s", err, test.fault)
				}
				return
			}
			if err != nil || run != "abc" || numbers.count != test.count {
				t.Errorf("got run %q, %v, %v; want %d messages", run, numbers, err, test.count)
			}
		})
	}
}

// What was accepted is in the file while the run goes on, so that a killed loadgen has left it.
func TestAcceptedFileIsWrittenMeanwhile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "accepted")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s := startSendServer(t, nil)
	cfg := httpConfig(s.URL + "/send")
	cfg.Duration, cfg.Run, cfg.AcceptedFile, cfg.ProgressEvery = patience, "abc", path, time.Millisecond
	cfg.Progress = func(p Progress) {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
		}
		if p.Accepted > 5 && strings.Count(string(b), "\n") > 1 {
			cancel()
		}
	}
	rep, err := Run(ctx, cfg)
	if err != nil || !rep.Interrupted || context.Cause(ctx) != context.Canceled {
		t.Fatalf("%v, %v: the file stayed empty", err, context.Cause(ctx))
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if run, numbers, err := readAccepted(f); err != nil || run != "abc" || numbers.count != uint64(rep.Accepted) {
		t.Errorf("in the end the file has run %q, %v, %v; want %d messages", run, numbers, err, rep.Accepted)
	}
}

// A file that cannot be written to its end is an error, since nothing could be verified with it.
func TestAcceptedFileIsFull(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("no /dev/full here")
	}
	s := startSendServer(t, nil)
	code, _, stderr := call(t, "http --url %s/send --count 5 --quiet --accepted-file /dev/full", s.URL)
	if code != ExitFailed || !strings.Contains(stderr, "loadgen: --accepted-file: write /dev/full: no space left on device") {
		t.Errorf("exit code %d, stderr %q", code, stderr)
	}
	code, _, stderr = call(t, "http --url %s/send --count 5 --quiet --json /dev/full", s.URL)
	if code != ExitFailed || !strings.Contains(stderr, "loadgen: --json: write /dev/full: no space left on device") {
		t.Errorf("exit code %d, stderr %q", code, stderr)
	}
}

func TestVerifyRefusals(t *testing.T) {
	path := filepath.Join(t.TempDir(), "accepted")
	if err := os.WriteFile(path, []byte(acceptedHeader+"abc\n1 a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		answer http.HandlerFunc
		want   string
	}{
		{"not smsc-sim", http.NotFound, "has no /stats: it is not the HTTP API of smsc-sim"},
		{"an error", func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "out of\norder", http.StatusInternalServerError)
		},
			"smsc-sim: GET /stats: 500 Internal Server Error: out of order"},
		{"no JSON", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("hello")) }, "smsc-sim: GET /stats: invalid character"},
		{"an answer that breaks off", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			w.Write([]byte("{}"))
		}, "smsc-sim: GET /stats: unexpected EOF"},
		{"fine at first", func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/stats" {
				http.Error(w, "later", http.StatusBadGateway)
				return
			}
			w.Write([]byte("{}"))
		}, "smsc-sim: GET /stats/ids?run=abc: 502 Bad Gateway: later"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := httptest.NewServer(test.answer)
			defer s.Close()
			code, stdout, stderr := call(t, "--verify %s --smsc %s --settle 1ms", path, s.URL)
			if code != ExitFailed || !strings.Contains(stderr, test.want) || stdout != "" {
				t.Errorf("exit code %d, stdout %q, stderr %q; want %q", code, stdout, stderr, test.want)
			}
		})
	}
	if _, _, err := Verify(t.Context(), path, "ftp://x", 1); err == nil || !strings.HasPrefix(err.Error(), `--smsc "ftp://x": must be a URL`) {
		t.Errorf("got %v", err)
	}
	if _, _, err := Verify(t.Context(), path, "http://127.0.0.1:1", 1); err == nil || !strings.HasPrefix(err.Error(), "smsc-sim: ") {
		t.Errorf("nobody there: got %v", err)
	}
}

// A simulator that goes away during a run leaves nothing to report.
func TestSimulatorGoesAway(t *testing.T) {
	send := startSendServer(t, nil)
	asked := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked++; asked > 1 {
			http.Error(w, "gone", http.StatusGone)
			return
		}
		w.Write([]byte("{}"))
	}))
	defer s.Close()
	cfg := httpConfig(send.URL + "/send")
	cfg.Count, cfg.SMSC, cfg.Settle = 3, s.URL, 1
	if rep, err := Run(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "410 Gone: gone") {
		t.Errorf("got %+v, %v", rep, err)
	}
}
