package account

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
)

// fromPython spells an expression of Python's re in Go's syntax where both accept it and mean
// different things: {,n} is a repetition there, and text here; \Z is the end of the text, and
// not known here.
//
// $ stays what it is here, the end of the text alone: in Python it matches before a last line
// feed as well, which no address and hardly a text ends with.
func fromPython(text string) string {
	if !strings.Contains(text, `\Z`) && !strings.Contains(text, "{,") {
		return text
	}
	var b strings.Builder
	class := false
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\\' && i+1 < len(text):
			i++
			if text[i] == 'Z' && !class {
				b.WriteString(`\z`)
				continue
			}
			b.WriteByte(c)
			b.WriteByte(text[i])
			continue
		case c == '[' && !class:
			class = true
			b.WriteByte(c)
			if i+1 < len(text) && text[i+1] == '^' {
				i++
				b.WriteByte('^')
			}
			if i+1 < len(text) && text[i+1] == ']' { // the first one belongs to the class
				i++
				b.WriteByte(']')
			}
			continue
		case c == ']':
			class = false
		case c == '{' && !class && upTo.MatchString(text[i:]):
			b.WriteString("{0")
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

var upTo = regexp.MustCompile(`^\{,\d+\}`)

// explain says in the operator's words what is not supported of Python's syntax.
func explain(text string, err error) error {
	var fault *syntax.Error
	if !errors.As(err, &fault) {
		return err
	}
	var what string
	switch {
	case strings.HasPrefix(fault.Expr, "(?=") || strings.HasPrefix(fault.Expr, "(?!") || strings.HasPrefix(fault.Expr, "(?<=") || strings.HasPrefix(fault.Expr, "(?<!"):
		what = "look-around is not supported"
	case fault.Code == syntax.ErrInvalidEscape && len(fault.Expr) == 2 && fault.Expr[1] >= '1' && fault.Expr[1] <= '9', fault.Expr == "(?P" && strings.Contains(text, "(?P="):
		what = "references to groups are not supported"
	case strings.HasPrefix(fault.Expr, "(?#"):
		what = "comments are not supported"
	case strings.HasPrefix(fault.Expr, "(?("):
		what = "conditions are not supported"
	default:
		return err
	}
	return &UnsupportedError{what: what, at: fault.Expr}
}

// UnsupportedError names what Python's patterns have and these have not.
type UnsupportedError struct{ what, at string }

// Error says what it is, and how it begins in the pattern.
func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("%s (%s...): several filters, or an EvalPyFilter, can say the same", e.what, e.at)
}
