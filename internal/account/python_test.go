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

func TestWhatIsNotSupportedIsNamed(t *testing.T) {
	for pattern, want := range map[string]string{
		`33(?=6)`: "look-around is not supported", `33(?!7)`: "look-around is not supported", `(?<=3)3`: "look-around is not supported", `(?<!3)3`: "look-around is not supported",
		`(a)\1`: "references to groups are not supported", `(?P<x>a)(?P=x)`: "references to groups are not supported", `a(?#note)`: "comments are not supported",
		`(a)?(?(1)b|c)`: "conditions are not supported", `[z-a]`: "invalid character class range",
	} {
		_, err := CompilePattern(pattern)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "regular expression ") {
			t.Errorf("%s: got %v, want %q", pattern, err, want)
		}
	}
}
