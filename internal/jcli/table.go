package jcli

import (
	"strings"
	"unicode/utf8"
)

// row is one line of a list: cells with a least width each, and nothing after the last.
func row(widths []int, cells ...string) string {
	var b strings.Builder
	for i, cell := range cells {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(pad(cell, widths[i]))
	}
	return "#" + strings.TrimRight(b.String(), " ")
}

// grid is a table whose columns are as wide as their widest cell, two spaces apart.
func grid(rows [][]string) string {
	widths := make([]int, len(rows[0]))
	for _, cells := range rows {
		for i, cell := range cells {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for n, cells := range rows {
		line := ""
		for i, cell := range cells {
			if i > 0 {
				line += "  "
			}
			line += pad(cell, widths[i])
		}
		if n > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(strings.TrimRight(line, " "))
	}
	return b.String()
}

func pad(text string, width int) string {
	return text + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(text)))
}
