package routing

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"jasmind/internal/intercept"
)

// Script is a script of the operator's: a Python script with where it was read from and the
// copy that was made of it then, or a rule. A change of the file changes nothing until the
// script is defined again.
type Script struct {
	Path string // of a Python script: absolute path or URL; "" for a rule
	Code string // of a rule: the expression itself
}

// MaxScript bounds the code of one script, in octets.
const MaxScript = intercept.MaxSource

// Kind is the language.
func (s *Script) Kind() intercept.Kind {
	if s.Path == "" {
		return intercept.Expr
	}
	return intercept.Python
}

// IsRule tells whether it is an expr(...).
func (s *Script) IsRule() bool { return s.Kind() == intercept.Expr }

// Validate tells what is wrong with a script. A rule is compiled, the code of a Python
// script is not.
func (s *Script) Validate() error {
	switch {
	case s.IsRule():
		_, err := s.Runnable()
		return err
	case len(s.Path) > 4096 || strings.ContainsFunc(s.Path, func(r rune) bool { return r < ' ' || r == 0x7F }):
		return invalid(s.Path, "the path of a script")
	case len(s.Code) > MaxScript:
		return fmt.Errorf("script %s of %d octets is longer than %d", s.Path, len(s.Code), MaxScript)
	case !utf8.ValidString(s.Code):
		return fmt.Errorf("script %s is not UTF-8 text", s.Path)
	}
	return nil
}

// Runnable gives the script in the form that package intercept runs. A rule is compiled; an
// error tells where it is wrong, in one line.
func (s *Script) Runnable() (*intercept.Script, error) {
	out, err := intercept.NewScript(s.Kind(), s.Path, s.Code)
	if err != nil && s.IsRule() {
		text, _, _ := strings.Cut(err.Error(), "\n") // what follows draws an arrow under the place
		err = &RuleError{text}
	}
	return out, err
}

// RuleError says what is wrong with a rule, and where.
type RuleError struct{ Text string }

// Error is the compiler's message, such as expr(): unknown name foo (1:1).
func (e *RuleError) Error() string { return e.Text }

// String is the script as operators write it, such as python3(/opt/scripts/mt.py).
func (s *Script) String() string {
	if s.IsRule() {
		return string(intercept.Expr) + "(" + s.Code + ")"
	}
	return string(intercept.Python) + "(" + s.Path + ")"
}

// ErrScript is what ParseScript returns for what is no script, in the words of the
// original's console.
var ErrScript = errors.New("invalid syntax for script, must be python3(/path/to/script) or expr(rule)")

// ParseScript reads python3(path), whose Code is then still to be read, or expr(rule), which
// is compiled; the language may be in any case.
func ParseScript(text string) (Script, error) {
	if path, ok := inside(text, intercept.Python); ok {
		return Script{Path: path}, nil
	}
	rule, ok := inside(text, intercept.Expr)
	if !ok {
		return Script{}, ErrScript
	}
	s := Script{Code: rule}
	return s, s.Validate()
}

// inside gives what is in the parentheses after a language.
func inside(text string, kind intercept.Kind) (string, bool) {
	language := string(kind) + "("
	if len(text) <= len(language)+1 || !strings.EqualFold(text[:len(language)], language) || !strings.HasSuffix(text, ")") {
		return "", false
	}
	text = strings.TrimSpace(text[len(language) : len(text)-1])
	return text, text != ""
}
