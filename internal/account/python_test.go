package account

import (
	"strings"
	"testing"
)

// What Python's re.match says, checked with Python 3.11.
func TestPatternsOfPython(t *testing.T) {
	for _, tt := range []struct {
		pattern, text string
		want          bool
	}{
		{`33\Z`, "33", true},
		{`33\Z`, "331", false},
		{`^\d{,3}$`, "123", true},
		{`^\d{,3}$`, "1234", false},
		{`^\d{,3}$`, "", true},
		{`a{,2}b`, "aab", true},
		{`[{,2}]+$`, "{,2}", true},
		{`[]{,2}]+$`, "]{,2}", true},
		{`[^]{,2}]$`, "a", true},
		{`\{,2}`, "{,2}", true},
		{`a\\Zb`, `a\Zb`, true},
		{`(?P<country>33|34)\d+`, "3412", true},
		{`(?i)stop\b`, "STOP it", true},
		{`(?s)a.b`, "a\nb", true},
		{`(?u)\w+$`, "ab", true},
		{`(?ai:A)b`, "ab", true},

		{`^(?!33900)\d{6,15}$`, "33612345678", true},
		{`^(?!33900)\d{6,15}$`, "33900345678", false},
		{`^(?!33900)\d{6,15}$`, "12345", false},
		{`(?=.*\d)[a-z]`, "a1", true},
		{`(?=.*\d)[a-z]`, "ab", false},
		{`\d{4}(?<=00)7`, "12007", true},
		{`\d{4}(?<=00)7`, "12017", false},
		{`\d{4}(?<!00)7`, "12017", true},
		{`33|(?!34)3\d`, "34", false}, // both branches are anchored
		{`33|(?!34)3\d`, "135", false},
		{`(?i)(?!stop)\w+`, "STOP", false},
		{`(ab|c)\1`, "abab", true},
		{`(ab|c)\1`, "abc", false},
		{`(?P<x>a)(b)\1`, "aba", true}, // numbers count all groups, named or not
		{`(?P<x>a)(b)\1`, "abb", false},
		{`(b)(?P<x>a)\2`, "baa", true},
		{`(?P<x>\d)(?P=x)+$`, "7777", true},
		{`(?P<x>\d)(?P=x)+$`, "7778", false},
		{`(a)?(?(1)b|c)`, "ab", true},
		{`(a)?(?(1)b|c)$`, "ac", false},
		{`(?P<n><)?\w+(?(n)>|$)`, "<a>", true},
		{`(?P<n><)?\w+(?(n)>|$)`, "<a", false},
		{`(?P<n><)?\w+(?(n)>|$)`, "a", true},
		{`a(?#note (b)c`, "ac", true},
		{`(?x) a b # (no group`, "ab", true},
		{`(?x) a [ ] b`, "a b", true},
		{`(?x)a\ b`, "a b", true},
		{`(?>a+)b`, "aab", true},
		{`(?>a+)ab`, "aab", false},
		{`(?!x)[[]a`, "[a", true}, // no class within a class
		{`(?!x)[a-z-[b]x`, "[x", true},
		{`(?!x)[]a]+$`, "]a", true},
		{`(?!x)\101\x42[\103]`, "ABC", true},
		{`(?!x)33\Z`, "33", true},
		{`(?!x)33\Z`, "33\n", false},
		{`(?!x)^\d{,3}$`, "1234", false},
		{`(?!x)\U0001F600`, "\U0001F600", true},
		{`(a)\1\060`, "aa0", true},
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
}

// Both engines say the same of what both understand.
func TestBacktrackingAgreesWithTheOther(t *testing.T) {
	for _, pattern := range []string{`^\+?33\d+`, "^85111$", ".*", "33|34", "(?i)stop", `[^]a]+\Z`, `a{,2}b`, `\w+\s\S`, `(?P<c>33|34)\d`, `(?s)a.b`, `[\d\-x]{2}$`, "33$", "(?m)33$", "é+", ""} {
		p, q := must(CompilePattern(pattern)), must(compileBacktracking(pattern))
		for _, text := range []string{"", "33612", "+33612", "85111", "851112", "STOP", "stop it", "]", "aab", "b", "ab c", "a\nb", "3x", "éé", "\xff", "1-", "33\n", "33\n1"} {
			if got, want := q.Match(text), p.Match(text); got != want {
				t.Errorf("%q on %q: %v by backtracking, %v otherwise", pattern, text, got, want)
			}
		}
	}
}

func TestAMatchThatTakesTooLongIsNone(t *testing.T) {
	p := must(CompilePattern(`(?=a)(a+)+$`))
	told := ""
	OnPatternTimeout(func(pattern string) { told = pattern })
	defer onTimeout.Store(nil)
	before := Patterns.Timeouts.Load()
	if p.Match(strings.Repeat("a", 60) + "b") {
		t.Error("it matches")
	}
	if told != p.String() || Patterns.Timeouts.Load() != before+1 {
		t.Errorf("told of %q, %d counted", told, Patterns.Timeouts.Load()-before)
	}
}

func TestWhatIsNotSupportedIsNamed(t *testing.T) {
	for pattern, want := range map[string]string{
		`a*+b`: "possessive repetition is not supported", `a{1,2}+`: "possessive repetition is not supported", `[z-a]`: "invalid character class range",
		`(?P=x)(?P<x>a)`: "there is no group x before", `(?P<x>a)(?P<x>b)(?=c)`: "is there twice", `(?(1)a)`: "there is no group 1 before", `(?=a)(?#`: "a comment has no end",
	} {
		_, err := CompilePattern(pattern)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "regular expression ") {
			t.Errorf("%s: got %v, want %q", pattern, err, want)
		}
	}
}
