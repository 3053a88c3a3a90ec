package account

import (
	"reflect"
	"strings"
	"testing"
)

func TestPrefixes(t *testing.T) {
	for _, tt := range []struct {
		pattern string
		want    []string
	}{
		{`^\+33\d+`, []string{"+33"}},
		{`^\+?33\d+`, []string{"+33", "33"}},
		{`33|34`, []string{"33", "34"}},
		{`^(?:12|13)\d{8}$`, []string{"12", "13"}},
		{`3[3-5]9`, []string{"339", "349", "359"}},
		{`^(33|3378)\d`, []string{"33"}},
		{`^[1-9]`, []string{"1", "2", "3", "4", "5", "6", "7", "8", "9"}},
		{`\d\d`, []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}},
		{`(ab)+c`, []string{"ab"}},
		{`(?i)33`, []string{"33"}},
		{`(?i)33ab`, []string{"33"}},
		{`(?i)ab`, nil},
		{`a{2,3}b`, []string{"aaab", "aab"}},
		{`.*33`, nil},
		{`3?`, nil},
		{``, nil},
		{`[^3]`, nil},
		{`^(?:|33)`, nil},
		{`é+`, []string{"é"}},
		{`$`, nil},
	} {
		p, err := CompilePattern(tt.pattern)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Prefixes(); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: got %q, want %q", tt.pattern, got, tt.want)
		}
	}
}

// What matches starts with one of the prefixes.
func FuzzPrefixes(f *testing.F) {
	for _, s := range []string{`^\+?33\d+`, "a|b", "(?i)ab1", "(?m)^x$", "ab*c?", "x{0}", `\x{fffd}`, "[ab][cd]|e+", "(a|b)?c"} {
		f.Add(s, "+336")
		f.Add(s, "ac")
		f.Add(s, "\xff")
	}
	f.Fuzz(func(t *testing.T, pattern, text string) {
		p, err := CompilePattern(pattern)
		if err != nil || p.Prefixes() == nil || !p.Match(text) {
			return
		}
		for _, prefix := range p.Prefixes() {
			if strings.HasPrefix(text, prefix) {
				return
			}
		}
		t.Fatalf("%q matches %q, which starts with none of %q", pattern, text, p.Prefixes())
	})
}
