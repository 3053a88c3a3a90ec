package provision

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"jasmind/internal/routing"
)

// scriptedFTP serves one session: it greets, and answers each command by a function; a line that ends in a bang is the last.
func scriptedFTP(t *testing.T, greeting string, answer func(command string) string) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		fmt.Fprintf(conn, "%s\r\n", greeting)
		for in := bufio.NewScanner(conn); in.Scan(); {
			command, _, _ := strings.Cut(in.Text(), " ")
			line, last := strings.CutSuffix(answer(command), "!")
			if line != "" {
				fmt.Fprintf(conn, "%s\r\n", line)
			}
			if last {
				return
			}
		}
	}()
	t.Cleanup(func() { _ = ln.Close(); <-done })
	return ln.Addr().String()
}

// Whatever an FTP server says at whichever step, the operator is told, and no password.
func TestFTPServersThatRefuse(t *testing.T) {
	data, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer data.Close()
	go func() {
		for {
			conn, err := data.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(conn, "half of i")
			conn.Close()
		}
	}()
	passive := fmt.Sprintf("229 Entering Extended Passive Mode (|||%d|)", data.Addr().(*net.TCPAddr).Port)
	good := map[string]string{"USER": "331 password", "PASS": "230 in", "TYPE": "200 binary", "EPSV": passive, "RETR": "150 here it comes"}
	for _, test := range []struct {
		name, greeting string
		but            map[string]string
		want           string
	}{
		{"is busy", "421 too many users", nil, `421 "too many users"`},
		{"is no FTP server", "hello there", nil, "short response"},
		{"does not know the user", "220 hello", map[string]string{"USER": "530 who?"}, `530 "who?"`},
		{"does not take the password", "220 hello", map[string]string{"PASS": "530 wrong"}, `530 "wrong"`},
		{"closes at the password", "220 hello", map[string]string{"PASS": "!"}, "EOF"},
		{"has no binary files", "220 hello", map[string]string{"TYPE": "504 text only"}, `504 "text only"`},
		{"knows no EPSV", "220 hello", map[string]string{"EPSV": "502 what?"}, `502 "what?"`},
		{"gives no port", "220 hello", map[string]string{"EPSV": "229 Entering"}, `answer "Entering" to EPSV`},
		{"gives port 0", "220 hello", map[string]string{"EPSV": "229 Entering (|||0|)"}, `answer "Entering (|||0|)" to EPSV`},
		{"gives no number", "220 hello", map[string]string{"EPSV": "229 Entering (|||ftp|)"}, "to EPSV"},
		{"gives another host's port", "220 hello", map[string]string{"EPSV": "229 Entering (|||70000|)"}, "to EPSV"},
		{"has no such file", "220 hello", map[string]string{"RETR": "550 no such file"}, `550 "no such file"`},
		{"breaks off the file", "220 hello", map[string]string{"RETR": "150 here it comes!"}, "EOF"},
	} {
		t.Run(test.name, func(t *testing.T) {
			addr := scriptedFTP(t, test.greeting, func(command string) string {
				if answer, ok := test.but[command]; ok {
					return answer
				}
				return good[command]
			})
			s, err := ReadScript(t.Context(), "ftp://me:secret@"+addr+"/x.py")
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %+v, %v; want %s", s, err, test.want)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("the password is told: %v", err)
			}
		})
	}
}

func TestScriptPathsThatAreRefused(t *testing.T) {
	folder := t.TempDir()
	long := filepath.Join(folder, "long.py")
	if err := os.WriteFile(long, make([]byte, routing.MaxScript+1), 0o600); err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(folder, "binary.py")
	if err := os.WriteFile(binary, []byte("\xff\x00"), 0o600); err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/long.py":
			_, _ = w.Write(make([]byte, routing.MaxScript+1))
		case "/half.py":
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("pass"))
		default:
			http.Error(w, "no", http.StatusForbidden)
		}
	}))
	defer web.Close()
	credentials := strings.Replace(web.URL, "http://", "http://me:secret@", 1)
	for path, want := range map[string]string{
		"x.py":                              `invalid value "x.py", the path must be absolute`,
		"file:x.py":                         "the path must be absolute",
		"gopher://h/x.py":                   "must be an absolute path or a URL of file, http, https or ftp",
		"/no/such.py":                       "no such file",
		folder:                              "is not a file",
		long:                                fmt.Sprintf("script %s is longer than %d octets", long, routing.MaxScript),
		binary:                              "",
		web.URL + "/long.py":                "is longer than",
		web.URL + "/half.py":                "EOF",
		credentials + "/no.py":              "answers HTTP 403",
		"http://127.0.0.1:1/x.py":           "connection refused",
		"ftp://127.0.0.1:1/x.py":            "connection refused",
		"ftp://127.0.0.1:1":                 `invalid path ""`,
		"ftp://127.0.0.1:1/x%0d%0aDELE":     "invalid path",
		"ftp://127.0.0.1:1/x%0a":            "invalid path",
		"http://127.0.0.1:1/a b\x7f":        "",
		"https://127.0.0.1:1/x.py?a=b#c":    "connection refused",
		"FTP://127.0.0.1:1/x.py":            "connection refused",
		"ftp://a%0d%0ab:c@" + "127.0.0.1:1": "",
	} {
		s, err := ReadScript(t.Context(), path)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %+v, %v; want %s", path, s, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the password is told: %v", path, err)
		}
	}
	if _, err := ReadScript(t.Context(), "/no/such.py"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want fs.ErrNotExist", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := ReadScript(ctx, web.URL+"/x.py"); !errors.Is(err, context.Canceled) {
		t.Errorf("after its end: %v", err)
	}
}

// A user's name in a URL cannot bring commands of its own to an FTP server.
func TestFTPCommandsAreNotInjected(t *testing.T) {
	for _, user := range []string{"a%0d%0aDELE%20x", "a:b%0aDELE%20x"} {
		var got []string
		addr := scriptedFTP(t, "220 hello", func(command string) string { got = append(got, command); return "200 fine" })
		if _, err := ReadScript(t.Context(), "ftp://"+user+"@"+addr+"/x.py"); err == nil || err.Error() != "invalid username or password in the URL" || len(got) != 0 {
			t.Errorf("%s: got %v, and the server was told %q", user, err, got)
		}
	}
}
