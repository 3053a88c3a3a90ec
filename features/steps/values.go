package steps

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf16"

	"github.com/cucumber/godog"
)

// pairs reads a table of two columns.
func pairs(t *godog.Table) ([][2]string, error) {
	list := make([][2]string, 0, len(t.Rows))
	for _, row := range t.Rows {
		if len(row.Cells) != 2 {
			return nil, fmt.Errorf("a table of two columns is needed, not of %d", len(row.Cells))
		}
		list = append(list, [2]string{row.Cells[0].Value, row.Cells[1].Value})
	}
	return list, nil
}

// rows reads a table whose first row names the columns.
func rows(t *godog.Table) ([]map[string]string, error) {
	if len(t.Rows) < 2 {
		return nil, fmt.Errorf("the table has no row below its heading")
	}
	var list []map[string]string
	for _, row := range t.Rows[1:] {
		m := make(map[string]string, len(row.Cells))
		for i, c := range row.Cells {
			m[t.Rows[0].Cells[i].Value] = c.Value
		}
		list = append(list, m)
	}
	return list, nil
}

var repeated = regexp.MustCompile(`\{(.+?)\*(\d+)\}`)

// expand writes out {x*70}: 70 times x.
func expand(s string) string {
	return repeated.ReplaceAllStringFunc(s, func(m string) string {
		part := repeated.FindStringSubmatch(m)
		n, _ := strconv.Atoi(part[2]) // digits by the expression
		return strings.Repeat(part[1], n)
	})
}

// same compares a value with what a feature says of it: /.../ is a regular expression for
// the whole of it, anything else the value itself.
func same(want, got string) bool {
	if len(want) > 1 && want[0] == '/' && want[len(want)-1] == '/' {
		re, err := regexp.Compile(`\A(?:` + want[1:len(want)-1] + `)\z`)
		return err == nil && re.MatchString(got)
	}
	return expand(want) == got
}

// utf16be are the octets of a text with coding 8.
func utf16be(s string) string {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = append(b, byte(u>>8), byte(u))
	}
	return string(b)
}

// number is a number in a sentence.
func number(s string) int {
	n, _ := strconv.Atoi(s) // digits by the step's expression
	return n
}
