package logging

import (
	"strings"
	"testing"
)

func TestFieldsCannotBreakTheLine(t *testing.T) {
	for value, want := range map[string]string{
		"é €":               "[é €",
		"a\nb\r\x00\x1b[2J": `[a\nb\r\x00\x1b[2J`,
		"\xff\u2028\u0085":  `[\xff\u2028\u0085`,
	} {
		var b strings.Builder
		AppendField(&b, "[", value)
		if b.String() != want {
			t.Errorf("%q: got %s, want %s", value, b.String(), want)
		}
	}
}
