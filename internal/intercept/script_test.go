package intercept

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestParseScript(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := file("good.py", "result = True\n")
	big := file("big.py", strings.Repeat("#", MaxSource+1))
	binary := file("binary.py", "\xff\xfe")
	fifo := filepath.Join(dir, "fifo.py")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/good.py", func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("result = True\n")) })
	mux.HandleFunc("/big.py", func(w http.ResponseWriter, r *http.Request) { w.Write(make([]byte, MaxSource+1)) })
	mux.HandleFunc("/slow.py", func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	server := httptest.NewTLSServer(mux)
	defer server.Close()
	plain := httptest.NewServer(mux)
	defer plain.Close()
	loader := Loader{Client: server.Client(), Timeout: patience}

	tests := []struct {
		name, text string
		origin     string // "" when it fails
		want       string // in the error
	}{
		{"path", "python3(" + good + ")", good, ""},
		{"language in capitals, spaces around", " Python3( " + good + " ) ", good, ""},
		{"file URL", "python3(file://" + good + ")", "file://" + good, ""},
		{"file URL with two slashes", "python3(file:/" + good + ")", "file:/" + good, ""},
		{"https URL", "python3(" + server.URL + "/good.py)", server.URL + "/good.py", ""},
		{"http URL", "python3(" + plain.URL + "/good.py)", plain.URL + "/good.py", ""},
		{"relative path", "python3(good.py)", "", "relative paths are not supported"},
		{"no such file", "python3(" + good + "x)", "", "no such file"},
		{"a folder", "python3(" + dir + ")", "", "not a regular file"},
		{"a pipe", "python3(" + fifo + ")", "", "not a regular file"},
		{"too long", "python3(" + big + ")", "", "longer than 1048576 octets"},
		{"not text", "python3(" + binary + ")", "", "not UTF-8"},
		{"not found", "python3(" + server.URL + "/none.py)", "", "404 Not Found"},
		{"too long a download", "python3(" + server.URL + "/big.py)", "", "longer than 1048576 octets"},
		{"another scheme", "python3(ftp://host/x.py)", "", `invalid scheme "ftp"`},
		{"no host", "python3(https:///x.py)", "", "no host"},
		{"no path", "python3(file://)", "", "no path"},
		{"no language", "/x.py", "", ErrSyntax.Error()},
		{"another language", "ruby(/x.rb)", "", ErrSyntax.Error()},
		{"no end", "python3(/x.py", "", ErrSyntax.Error()},
		{"nothing in it", "python3( )", "", ErrSyntax.Error()},
		{"a line break", "python3(/x\n.py)", "", ErrSyntax.Error()},
		{"a rule that is wrong", "expr(tag()", "", "expr()"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := loader.Parse(context.Background(), tt.text)
			if tt.origin == "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("got %v, %v, want %q in the error", s, err, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if s.Origin() != tt.origin || s.Source() != "result = True\n" || s.Kind() != Python || s.String() != "python3("+tt.origin+")" {
				t.Errorf("got %+v", s)
			}
		})
	}
	t.Run("a server that does not answer in time", func(t *testing.T) {
		l := Loader{Client: plain.Client(), Timeout: 50 * time.Millisecond}
		if _, err := l.Parse(context.Background(), "python3("+plain.URL+"/slow.py)"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
		}
	})
	t.Run("a rule with parentheses", func(t *testing.T) {
		s, err := ParseScript(context.Background(), `expr((len(tags) > 0) and tag("x"))`)
		if err != nil || s.Kind() != Expr || s.Source() != `(len(tags) > 0) and tag("x")` || s.String() != `expr((len(tags) > 0) and tag("x"))` {
			t.Errorf("got %+v, %v", s, err)
		}
	})
	t.Run("the copy stays when the file changes", func(t *testing.T) {
		s, err := ParseScript(context.Background(), "python3("+good+")")
		file("good.py", "changed")
		if err != nil || s.Source() != "result = True\n" {
			t.Errorf("got %+v, %v", s, err)
		}
	})
}

func TestScriptsSurviveJSON(t *testing.T) {
	p, _ := newPool(t, Config{})
	for _, s := range []*Script{python(t, "x = 'é'\n"), exprRule(t, `tag("x")`)} {
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var got Script
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatal(err)
		}
		if got.String() != s.String() || got.Source() != s.Source() || got.id != s.id {
			t.Errorf("%s: got %+v, want %+v", b, got, s)
		}
		if got.Kind() == Expr {
			run(t, p, &got, mt())
		}
	}
	for _, bad := range []string{`{}`, `{"kind":"ruby","source":""}`, `{"kind":"python3","source":"x"}`, `{"kind":"expr","source":"("}`,
		`{"kind":"expr","origin":"/x","source":"true"}`, `{"kind":"python3","origin":"/x","source":"a\u0000b"}`, `[]`} {
		var s Script
		if err := json.Unmarshal([]byte(bad), &s); err == nil {
			t.Errorf("%s gave %+v, want an error", bad, s)
		}
	}
}

func FuzzScriptReference(f *testing.F) {
	for _, s := range []string{"python3(/x.py)", "python3(file://path/x.py)", "python3(https://h/x.py)", "expr(tag(1))", "python3()", "(", "expr(1 + )"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		kind, inner, err := splitReference(text)
		if err != nil {
			return
		}
		if inner == "" || strings.TrimSpace(inner) != inner {
			t.Fatalf("%q gave %q", text, inner)
		}
		if kind == Python {
			path, remote, err := locate(inner)
			if err == nil && (path == "") == (remote == nil) {
				t.Fatalf("%q is at %q and %v", text, path, remote)
			}
			if err == nil && remote == nil && !filepath.IsAbs(path) {
				t.Fatalf("%q is at the relative path %q", text, path)
			}
			return
		}
		s, err := NewScript(Expr, "", inner)
		if err != nil {
			return
		}
		m := mt()
		before := m.clone()
		v := &Verdict{Message: m.clone()}
		_ = s.rule.run(s, v)
		if _, err := s.rule.evaluate(s, &v.Message); err == nil && len(m.Tags) != len(before.Tags) {
			t.Fatalf("%q changed the message of the caller", inner)
		}
	})
}
