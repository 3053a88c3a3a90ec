package intercept

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"
)

// Kind is the language of a script. Its text is what operators write before the parenthesis.
type Kind string

// The languages.
const (
	Python Kind = "python3"
	Expr   Kind = "expr"
)

// MaxSource bounds the text of one script, in octets.
const MaxSource = 1 << 20

// ErrSyntax is what ParseScript returns for text that is no script, in the words of the
// original's console.
var ErrSyntax = errors.New("invalid syntax for script, must be python3(/path/to/script) or expr(rule)")

// Script is a script of the operator's with the copy of its text that was made when it was
// defined: a file that changes later changes nothing. It is immutable, and its JSON form
// brings back the same script. The zero value is no script.
type Script struct {
	kind   Kind
	origin string // path or URL; "" for expr
	source string
	id     string // of kind, origin and source
	rule   *rule  // expr
}

type scriptJSON struct {
	Kind   Kind   `json:"kind"`
	Origin string `json:"origin,omitempty"`
	Source string `json:"source"`
}

// NewScript makes a script of text that was read already. origin is where a Python script
// came from, for logs and the console; a rule has none. A rule is compiled, and errors tell
// where it is wrong; whether Python compiles is told by Pool.Check.
func NewScript(kind Kind, origin, source string) (*Script, error) {
	s := &Script{kind: kind, origin: origin, source: source}
	switch {
	case kind != Python && kind != Expr:
		return nil, fmt.Errorf("kind: invalid value %q, must be %s or %s", kind, Python, Expr)
	case len(source) > MaxSource:
		return nil, fmt.Errorf("script %s of %d octets is longer than %d", origin, len(source), MaxSource)
	case !utf8.ValidString(source) || strings.ContainsRune(source, 0):
		return nil, fmt.Errorf("script %s is not UTF-8 text", origin)
	case kind == Expr && origin != "":
		return nil, fmt.Errorf("origin: invalid value %q, a rule has none", origin)
	case kind == Python && !validOrigin(origin):
		return nil, fmt.Errorf("origin: invalid value %q, must be an absolute path or a URL", clip(origin, 256))
	}
	if kind == Expr {
		r, err := compileRule(source)
		if err != nil {
			return nil, err
		}
		s.rule = r
	}
	sum := sha256.Sum256([]byte(string(kind) + "\x00" + origin + "\x00" + source))
	s.id = hex.EncodeToString(sum[:16])
	return s, nil
}

func validOrigin(origin string) bool {
	return origin != "" && len(origin) <= 4096 && utf8.ValidString(origin) &&
		!strings.ContainsFunc(origin, func(r rune) bool { return r < ' ' || r == 0x7F })
}

// Kind is the language.
func (s *Script) Kind() Kind { return s.kind }

// Origin is the path or URL that a Python script was read from; "" for a rule.
func (s *Script) Origin() string { return s.origin }

// Source is the text.
func (s *Script) Source() string { return s.source }

// String is the script as operators write it, such as python3(/opt/scripts/mt.py).
func (s *Script) String() string {
	if s.kind == Expr {
		return string(Expr) + "(" + s.source + ")"
	}
	return string(s.kind) + "(" + s.origin + ")"
}

// MarshalJSON gives kind, origin and text.
func (s *Script) MarshalJSON() ([]byte, error) {
	return json.Marshal(scriptJSON{s.kind, s.origin, s.source})
}

// UnmarshalJSON is the inverse of MarshalJSON; it reads no file.
func (s *Script) UnmarshalJSON(b []byte) error {
	var j scriptJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	made, err := NewScript(j.Kind, j.Origin, j.Source)
	if err == nil {
		*s = *made
	}
	return err
}

// Loader reads the text of scripts. The zero value is ready.
type Loader struct {
	Client  *http.Client  // for http and https URLs; nil is a client of its own
	Timeout time.Duration // of one script; default 10 s
}

// ParseScript is Loader.Parse with the defaults.
func ParseScript(ctx context.Context, text string) (*Script, error) { return Loader{}.Parse(ctx, text) }

// Parse reads a script as operators write it and copies its text:
//
//	python3(/abs/path.py)  python3(file:///abs/path.py)  python3(https://host/path.py)  expr(rule)
//
// The language may be in any case. Errors are ErrSyntax, or name what could not be read.
func (l Loader) Parse(ctx context.Context, text string) (*Script, error) {
	kind, inner, err := splitReference(text)
	if err != nil {
		return nil, err
	}
	if kind == Expr {
		return NewScript(Expr, "", inner)
	}
	return l.Load(ctx, inner)
}

// Load reads the Python script at an absolute path or a file, http or https URL.
func (l Loader) Load(ctx context.Context, origin string) (*Script, error) {
	path, remote, err := locate(origin)
	if err != nil {
		return nil, err
	}
	if l.Timeout <= 0 {
		l.Timeout = 10 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, l.Timeout)
	defer cancel()
	var source string
	if remote != nil {
		source, err = l.download(ctx, remote)
	} else {
		source, err = readFile(path)
	}
	if err != nil {
		return nil, fmt.Errorf("read script %s: %w", origin, err)
	}
	return NewScript(Python, origin, source)
}

// splitReference takes the language and what is in its parentheses apart.
func splitReference(text string) (Kind, string, error) {
	text = strings.TrimSpace(text)
	before, inner, ok := strings.Cut(text, "(")
	if !ok || !strings.HasSuffix(inner, ")") {
		return "", "", ErrSyntax
	}
	inner = strings.TrimSpace(strings.TrimSuffix(inner, ")"))
	for _, k := range []Kind{Python, Expr} {
		if strings.EqualFold(before, string(k)) && inner != "" {
			return k, inner, nil
		}
	}
	return "", "", ErrSyntax
}

// locate tells where a script is: in a file, or behind a URL.
func locate(origin string) (path string, remote *url.URL, err error) {
	if !validOrigin(origin) {
		return "", nil, ErrSyntax
	}
	if filepath.IsAbs(origin) {
		return origin, nil, nil
	}
	u, err := url.Parse(origin)
	if err != nil || u.Scheme == "" {
		return "", nil, fmt.Errorf("script %q: relative paths are not supported, must be an absolute path or a file, http or https URL", origin)
	}
	switch strings.ToLower(u.Scheme) {
	case "http", "https":
		if u.Host == "" {
			return "", nil, fmt.Errorf("script %q: the URL has no host", origin)
		}
		return "", u, nil
	case "file":
		// file://path/to is written for file:///path/to in the documentation.
		if path := "/" + strings.TrimPrefix(u.Host+u.Path, "/"); path != "/" {
			return path, nil, nil
		}
		return "", nil, fmt.Errorf("script %q: the URL has no path", origin)
	}
	return "", nil, fmt.Errorf("script %q: invalid scheme %q, must be file, http or https", origin, u.Scheme)
}

func readFile(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() { // opening a FIFO would block
		return "", errors.New("not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return readBounded(f)
}

func (l Loader) download(ctx context.Context, u *url.URL) (string, error) {
	client := l.Client
	if client == nil {
		transport := &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}
		defer transport.CloseIdleConnections()
		client = &http.Client{Transport: transport}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("the server answered %s", resp.Status)
	}
	return readBounded(resp.Body)
}

func readBounded(r io.Reader) (string, error) {
	b, err := io.ReadAll(io.LimitReader(r, MaxSource+1))
	if err != nil {
		return "", err
	}
	if len(b) > MaxSource {
		return "", fmt.Errorf("longer than %d octets", MaxSource)
	}
	return string(b), nil
}
