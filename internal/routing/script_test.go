package routing

import (
	"errors"
	"strings"
	"testing"

	"jasmind/internal/intercept"
)

func TestParseScript(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       Script
		err        string // in the error; "": none
	}{
		{"a path", "python3(/opt/mt.py)", Script{Path: "/opt/mt.py"}, ""},
		{"the language in any case, spaces inside", "PYTHON3( /opt/a b.py )", Script{Path: "/opt/a b.py"}, ""},
		{"a URL", "python3(https://h/x.py)", Script{Path: "https://h/x.py"}, ""},
		{"a rule", `expr(tag("fr"))`, Script{Code: `tag("fr")`}, ""},
		{"a rule with spaces and parentheses", `Expr( (source_addr == "(") ? tag(")") : true )`, Script{Code: `(source_addr == "(") ? tag(")") : true`}, ""},
		{"a rule with an unknown name", `expr(source == "")`, Script{}, "expr(): unknown name source (1:1)"},
		{"a rule that does not end", `expr(tag("fr)`, Script{}, "expr(): literal not terminated"},
		{"a rule with a wrong type", `expr(source_addr + 1 == "")`, Script{}, "(1:"},
		{"a rule with a function that rules lack", `expr(repeat("a", 9) == "")`, Script{}, "expr(): "},
		{"an empty rule", "expr( )", Script{}, ErrScript.Error()},
		{"an empty path", "python3()", Script{}, ErrScript.Error()},
		{"another language", "lua(/x.lua)", Script{}, ErrScript.Error()},
		{"no parenthesis", "/opt/mt.py", Script{}, ErrScript.Error()},
		{"no end", `expr(tag("fr")`, Script{}, "expr(): "}, // the last parenthesis is the rule's
		{"nothing", "", Script{}, ErrScript.Error()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseScript(tt.text)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) || strings.Contains(err.Error(), "\n") {
					t.Errorf("got %+v, %v, want an error of one line with %q", got, err, tt.err)
				}
				return
			}
			if err != nil || got != tt.want {
				t.Fatalf("got %+v, %v, want %+v", got, err, tt.want)
			}
			again, err := ParseScript(got.String())
			if err != nil || again != got {
				t.Errorf("%s reads back as %+v, %v", got.String(), again, err)
			}
			if got.IsRule() != (got.Kind() == intercept.Expr) {
				t.Errorf("kind %s", got.Kind())
			}
		})
	}
}

func TestFaultsOfRulesAreTold(t *testing.T) {
	var rule *RuleError
	if _, err := ParseScript("expr(nonsense)"); !errors.As(err, &rule) || rule.Text != "expr(): unknown name nonsense (1:1)" {
		t.Errorf("got %v", err)
	}
	if err := (&Interceptor{Type: DefaultInterceptor, Script: Script{Code: "nonsense"}}).Validate(MT); err == nil ||
		err.Error() != "script: expr(): unknown name nonsense (1:1)" {
		t.Errorf("got %v", err)
	}
	if _, err := NewScriptFilter("f", Script{Code: "1 +"}); err == nil || !strings.HasPrefix(err.Error(), "pyCode: expr(): ") {
		t.Errorf("got %v", err)
	}
	f, err := NewScriptFilter("f", Script{Code: "true"})
	if err != nil || f.Value() != "expr(true)" || !f.Script().IsRule() {
		t.Errorf("got %+v, %v", f, err)
	}
}

func FuzzParseScript(f *testing.F) {
	for _, s := range []string{"python3(/x.py)", `expr(tag("a"))`, "expr(", "EXPR(1)", "python3())"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseScript(text)
		if err != nil {
			return
		}
		if again, err := ParseScript(s.String()); err != nil || again != s {
			t.Fatalf("%q gives %+v, which reads back as %+v, %v", text, s, again, err)
		}
	})
}
