package logging

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// AppendField writes one field of a line that operators parse: before as it is, then the value. What
// comes from outside cannot break the line: control characters and line separators are written as Go
// escapes, octets that are no UTF-8 as \x00.
func AppendField(b *strings.Builder, before, value string) {
	b.WriteString(before)
	for i := 0; i < len(value); {
		r, n := utf8.DecodeRuneInString(value[i:])
		switch {
		case r == utf8.RuneError && n == 1, unicode.IsControl(r), r == '\u2028', r == '\u2029':
			q := strconv.Quote(value[i : i+n])
			b.WriteString(q[1 : len(q)-1])
		default:
			b.WriteString(value[i : i+n])
		}
		i += n
	}
}
