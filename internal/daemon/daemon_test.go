package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestCommandLine(t *testing.T) {
	dir := t.TempDir()
	faulty := filepath.Join(dir, "faulty.cfg")
	if err := os.WriteFile(faulty, []byte("[http-api]\nport = many\n[nonsense]\nx = 1\n[dlr]\npid = main\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	good := filepath.Join(dir, "good.cfg")
	var printed, none bytes.Buffer
	if code := Main([]string{"config", "print"}, "1", &printed, &none); code != ExitOK || none.Len() != 0 {
		t.Fatalf("config print: exit %d, %s", code, none.String())
	}
	if err := os.WriteFile(good, printed.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name           string
		args           []string
		code           int
		stdout, stderr []string // all of these are in it; nil: it is empty
	}{
		{"help goes to standard output", []string{"--help"}, 0, []string{"Usage:\n", "--ready-file FILE", "-c, --config FILE", "Exit codes:"}, nil},
		{"-h too", []string{"-h"}, 0, []string{"Usage:\n"}, nil},
		{"version", []string{"--version"}, 0, []string{"jasmind 7.8.9 go"}, nil},
		{"an unknown flag is named", []string{"--nope"}, 2, nil, []string{"jasmind: flag provided but not defined: -nope; see jasmind --help\n"}},
		{"an unknown flag before help", []string{"--nope", "--help"}, 2, nil, []string{"-nope"}},
		{"a flag without its value", []string{"--provision"}, 2, nil, []string{"flag needs an argument: -provision"}},
		{"an argument too many is named", []string{"start"}, 2, nil, []string{`unexpected argument "start"`}},
		{"a role of another version is named", []string{"--roles=dlr"}, 2, nil, []string{`--roles "dlr"`}},
		{"a configuration file that is not there", []string{"-c", dir + "/absent.cfg"}, 2, nil, []string{"absent.cfg"}},
		{"a faulty configuration names key and value", []string{"--config", faulty}, 2, nil, []string{"faulty.cfg", "port", `"many"`, "nonsense"}},
		{"a ready file in a folder that is not there", []string{"--ready-file", dir + "/absent/r"}, 2, nil, []string{"--ready-file " + dir + "/absent/r"}},
		{"a ready file that is a folder", []string{"--ready-file", dir}, 2, nil, []string{"--ready-file " + dir, "no ordinary file"}},
		{"config alone", []string{"config"}, 2, nil, []string{"say print or check FILE"}},
		{"config help", []string{"config", "--help"}, 0, []string{"Usage:\n"}, nil},
		{"config print help", []string{"config", "print", "--help"}, 0, []string{"Usage:\n"}, nil},
		{"config with another word", []string{"config", "show"}, 2, nil, []string{`config "show"`}},
		{"config print writes the mode", []string{"config", "print", "--mode", "embedded"}, 0, []string{"[gateway]", "mode = embedded", "[http-api]"}, nil},
		{"config print, services by default", []string{"config", "print"}, 0, []string{"mode = services"}, nil},
		{"config print in a mode that is none", []string{"config", "print", "--mode=x"}, 2, nil, []string{`--mode "x"`}},
		{"config print with an unknown flag", []string{"config", "print", "--x"}, 2, nil, []string{"-x"}},
		{"config print with an argument", []string{"config", "print", "x"}, 2, nil, []string{`unexpected argument "x"`}},
		{"config check of what config print writes", []string{"config", "check", good}, 0, []string{"no fault; mode services"}, nil},
		{"config check reports every fault", []string{"config", "check", faulty}, 2, nil, []string{"port", `"many"`, "nonsense"}},
		{"config check of nothing", []string{"config", "check"}, 2, nil, []string{"give one FILE"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("ROOT_PATH", dir)
			var stdout, stderr bytes.Buffer
			if code := Main(tt.args, "7.8.9", &stdout, &stderr); code != tt.code {
				t.Errorf("exit %d, want %d", code, tt.code)
			}
			for _, c := range []struct {
				name string
				got  string
				want []string
			}{{"stdout", stdout.String(), tt.stdout}, {"stderr", stderr.String(), tt.stderr}} {
				if c.want == nil && c.got != "" {
					t.Errorf("%s: %q, want nothing", c.name, c.got)
				}
				for _, w := range c.want {
					if !strings.Contains(c.got, w) {
						t.Errorf("%s: %q, want %q in it", c.name, c.got, w)
					}
				}
			}
		})
	}
}

// Every option in the help is one that is parsed, and the other way round.
func TestHelpListsEveryOption(t *testing.T) {
	var out bytes.Buffer
	help(&out)
	for _, name := range append([]string{"c", "config", "provision", "ready-file", "roles", "disable-http-api", "abandon-embedded", "version", "u", "username", "p", "password"}, compatible...) {
		if flags(new(options)).Lookup(name) == nil {
			t.Errorf("%s is not parsed", name)
		}
		if !strings.Contains(out.String(), dashed(name)) {
			t.Errorf("%s is not in the help", name)
		}
	}
}

// A signal that comes while the start goes on is not forgotten, even if the start succeeds.
func TestSignalDuringTheStart(t *testing.T) {
	failure := errors.New("cut off")
	for _, tt := range []struct {
		name    string
		signals []os.Signal
		result  error
		asked   bool
	}{
		{"none", nil, nil, false},
		{"TERM, and the start succeeds all the same", []os.Signal{syscall.SIGTERM}, nil, true},
		{"INT, and the start is cut off", []os.Signal{syscall.SIGINT}, failure, true},
		{"HUP is no end", []os.Signal{syscall.SIGHUP}, nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			started, signals := make(chan error), make(chan os.Signal)
			cancelled := false
			go func() {
				for _, s := range tt.signals {
					signals <- s
				}
				started <- tt.result
			}()
			asked, err := awaitStart(started, signals, time.Hour, func() { cancelled = true })
			if asked != tt.asked || err != tt.result || cancelled != tt.asked { //nolint:errorlint // the very same
				t.Errorf("asked %v, error %v, cancelled %v", asked, err, cancelled)
			}
		})
	}
}

// A second signal, and a start that does not end though it was told to, are not waited for.
func TestAStartThatHangsIsAbandoned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		signals := make(chan os.Signal, 2)
		signals <- syscall.SIGTERM
		began := time.Now()
		if asked, err := awaitStart(nil, signals, time.Minute, func() {}); !asked || !errors.Is(err, errAbandoned) || time.Since(began) != time.Minute {
			t.Errorf("asked %v, %v after %s", asked, err, time.Since(began))
		}
		signals <- syscall.SIGTERM
		signals <- syscall.SIGINT
		began = time.Now()
		if asked, err := awaitStart(nil, signals, time.Minute, func() {}); !asked || !errors.Is(err, errAbandoned) || time.Since(began) != 0 {
			t.Errorf("asked %v, %v after %s", asked, err, time.Since(began))
		}
	})
}

func TestExitCodeOfAStartThatFailed(t *testing.T) {
	for _, tt := range []struct {
		name  string
		err   error
		asked bool
		code  int
		out   string
	}{
		{"by itself", errors.New("port is taken"), false, ExitRuntime, "jasmind: port is taken\n"},
		{"when told to end", fmt.Errorf("connect: %w", context.Canceled), true, ExitOK, ""},
		{"when told to end, with another error", errors.New("port is taken"), true, ExitOK, "jasmind: port is taken\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "ready.json")
			var out bytes.Buffer
			if code := notStarted(tt.err, tt.asked, path, []byte("theirs"), &out); code != tt.code || out.String() != tt.out {
				t.Errorf("exit %d, %q; want %d, %q", code, out.String(), tt.code, tt.out)
			}
			if b, err := os.ReadFile(path); err != nil || string(b) != "theirs" {
				t.Errorf("ready file %q, %v", b, err)
			}
		})
	}
}

func TestReadyFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "ready.json")
	if stale, err := clearReady(path); err != nil || stale != nil {
		t.Errorf("no file: %q, %v", stale, err)
	}
	if err := writeReady(path, readyContent(map[string]string{"http-api": "127.0.0.1:1401"})); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if want := `{"http-api":"127.0.0.1:1401"}` + "\n"; err != nil || string(b) != want {
		t.Errorf("got %q, %v; want %q", b, err, want)
	}
	if stale, err := clearReady(path); err != nil || !bytes.Equal(stale, b) {
		t.Errorf("a file: %q, %v", stale, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left in the folder: %v, %v", left, err)
	}
	if err := writeReady(dir+"/absent/r", nil); err == nil || !strings.Contains(err.Error(), "absent/r") {
		t.Errorf("a folder that is not there: %v", err)
	}
	if err := writeReady(dir, nil); err == nil {
		t.Error("a folder was replaced")
	}
	// A link or a device is not ours to remove.
	if err := os.Symlink(os.DevNull, path); err != nil {
		t.Fatal(err)
	}
	if _, err := clearReady(path); err == nil {
		t.Error("a link was removed")
	}
	if _, err := clearReady(""); err != nil {
		t.Error(err)
	}
}
