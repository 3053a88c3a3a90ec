package account

import (
	"regexp"
	"strings"
	"testing"
)

func TestPatternIsAnchoredAtTheStart(t *testing.T) {
	for _, tt := range []struct {
		pattern, text string
		want          bool
	}{
		{"20", "2012", true}, // like re.match: not at the end
		{"20", "1202", false},
		{"^20", "2012", true},
		{"20$", "20", true},
		{"20$", "201", false},
		{".*", "", true},
		{".*20", "1202", true},
		{"33|34", "3412", true}, // both branches are anchored
		{"33|34", "1341", false},
		{"", "anything", true},
		{`^\+33\d+`, "+336", true},
		{`^\+33\d+`, "+33", false},
		{`^\+33\d+`, "336", false},
		{"^85111$", "85111", true},
		{"^85111$", "851112", false},
		{"(?i)HELLO", "hello you", true},
		{"(?m)^b", "a\nb", false}, // the start is that of the text, not of a line
		{"^hello.*$", "hello world", true},
		{"^hello.*$", "hello\nworld", false},
		{"ab?", "a", true},
		{"é+", "éa", true},
		{"(?P<country>33)", "33612", true},
	} {
		p, err := CompilePattern(tt.pattern)
		if err != nil {
			t.Errorf("%q: %v", tt.pattern, err)
			continue
		}
		if got := p.Match(tt.text); got != tt.want {
			t.Errorf("%q on %q: got %v, want %v", tt.pattern, tt.text, got, tt.want)
		}
		if p.String() != tt.pattern {
			t.Errorf("%q prints as %q", tt.pattern, p)
		}
	}
	if new(Pattern).Match("") {
		t.Error("the zero Pattern matches")
	}
}

func TestCompilePatternRefuses(t *testing.T) {
	for _, s := range []string{"(", "a(b|c))", "a)(?:b", `(?=x))`, `a(?=x))(?:b`, `\1`, `(?P=x)`, `(a)\2`, `(?(1)a)`, "a(?#", "a*+", "*", "[z-a]", "\xff", strings.Repeat("a", 1001)} {
		if p, err := CompilePattern(s); err == nil {
			t.Errorf("%q is accepted as %q", s, p.re)
		} else if len(s) < 100 && !strings.Contains(err.Error(), "regular expression ") {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestPatternMatchAllocatesNothing(t *testing.T) {
	for _, s := range []string{`^\+33\d+`, "^85111$", ".*", "[27]\\d{8}"} {
		p := must(CompilePattern(s))
		if n := testing.AllocsPerRun(100, func() { p.Match("+33612345678") }); n != 0 && !raceDetector {
			t.Errorf("%s: %v allocations", s, n)
		}
	}
}

// The shortcuts of Pattern never change what the expression itself says.
func FuzzPattern(f *testing.F) {
	for _, s := range []string{`^\+33\d+`, "^85111$", ".*", "a|b", "(?i)ab", "(?m)^x$", "ab*c?", "", "^^a", "a$b", "x{0}", `\x{fffd}`, "(?s).", "a{2,3}$", `^(?!33900)\d{6,15}$`, `(?P<x>a|b)(?P=x)?\1`, `(?x) a (?#b) # c`, `(a)?(?(1)b|c)`, `[[]a](?<!b)\101`} {
		f.Add(s, "+336")
		f.Add(s, "ab\nx")
		f.Add(s, "\xff")
	}
	f.Fuzz(func(t *testing.T, pattern, text string) {
		p, err := CompilePattern(pattern)
		if err != nil {
			return
		}
		if p.rest == restBack {
			p.Match(text)
			return
		}
		plain := regexp.MustCompile(`\A(?:` + fromPython(pattern) + `)`)
		if got, want := p.Match(text), plain.MatchString(text); got != want {
			t.Fatalf("%q on %q: got %v, want %v (prefix %q, rest %d)", pattern, text, got, want, p.prefix, p.rest)
		}
	})
}

func BenchmarkPatternRefusesByPrefix(b *testing.B) {
	p := must(CompilePattern(`^\+33\d+`))
	b.ReportAllocs()
	for b.Loop() {
		p.Match("+44612345678")
	}
}

func BenchmarkPatternRunsExpression(b *testing.B) {
	p := must(CompilePattern(`^\+33\d+`))
	b.ReportAllocs()
	for b.Loop() {
		p.Match("+33612345678")
	}
}
