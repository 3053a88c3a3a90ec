package account

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"
)

// fromPython spells an expression of Python's re in Go's syntax where both accept it and mean
// different things: {,n} is a repetition there, and text here; \Z is the end of the text, and
// not known here. The flags a and u choose the alphabet of \d and \w, which is ASCII here.
//
// $ stays what it is here, the end of the text alone: in Python it matches before a last line
// feed as well, which no address and hardly a text ends with.
func fromPython(text string) string {
	if !strings.Contains(text, `\Z`) && !strings.Contains(text, "{,") && !strings.Contains(text, "(?") {
		return text
	}
	s := speller{text: text}
	s.run()
	return s.out.String()
}

// forBacktracking spells an expression of Python's re in the syntax of package regexp2. There,
// groups with names have their numbers after all others, and a name that is no group's is
// text to look ahead for; so every group gets the name g and its number in Python.
func forBacktracking(text string) (string, error) {
	s := speller{text: text, back: true, names: map[string]int{}}
	if flags := inlineFlags.FindStringSubmatch(text); flags != nil && flags[3] == ")" {
		s.verbose = strings.Contains(flags[1], "x")
	}
	s.run()
	if s.verbose {
		s.out.WriteByte('\n') // ends a comment, and is white space otherwise
	}
	return s.out.String(), s.err
}

// speller writes an expression of Python's re for another engine.
type speller struct {
	text    string
	back    bool // for package regexp2
	verbose bool // flag x: white space means nothing, # begins a comment
	out     strings.Builder
	groups  int
	names   map[string]int
	err     error
}

var (
	upTo        = regexp.MustCompile(`^\{,\d+\}`)
	inlineFlags = regexp.MustCompile(`^\(\?([aimsux]*)(-[imsx]+)?([:)])`)
	named       = regexp.MustCompile(`^\(\?P<([A-Za-z_][A-Za-z0-9_]*)>`)
	namedRef    = regexp.MustCompile(`^\(\?P=([A-Za-z_][A-Za-z0-9_]*)\)`)
	condition   = regexp.MustCompile(`^\(\?\(([A-Za-z0-9_]+)\)`)
	octal       = regexp.MustCompile(`^\\(0[0-7]{0,2}|[0-3][0-7]{2})`)
	numberedRef = regexp.MustCompile(`^\\([1-9][0-9]?)`)
	wide        = regexp.MustCompile(`^\\U([0-9A-Fa-f]{8})`)
)

func (s *speller) run() {
	class := false
	for i := 0; i < len(s.text); {
		rest := s.text[i:]
		switch c := rest[0]; {
		case c == '\\' && len(rest) > 1:
			i += s.escape(rest, class)
			continue
		case class:
			class = c != ']'
			if s.back && c == '[' { // there a class within a class
				s.out.WriteByte('\\')
			}
		case c == '[':
			class = true
			open := "["
			if strings.HasPrefix(rest, "[^") {
				open = "[^"
			}
			if strings.HasPrefix(rest[len(open):], "]") { // the first one belongs to the class
				open += "]"
			}
			i += len(open)
			s.out.WriteString(strings.Replace(open, "]", `\]`, 1))
			continue
		case c == '(':
			i += s.group(rest)
			continue
		case c == '#' && s.verbose:
			end := strings.IndexByte(rest+"\n", '\n')
			i += end
			continue
		case c == '{' && upTo.MatchString(rest):
			s.out.WriteString("{0")
			i++
			continue
		}
		s.out.WriteByte(rest[0])
		i++
	}
}

// escape writes what begins with a backslash, and tells how much of rest it is.
func (s *speller) escape(rest string, class bool) int {
	if rest[1] == 'Z' && !class {
		s.out.WriteString(`\z`)
		return 2
	}
	if s.back {
		if m := octal.FindStringSubmatch(rest); m != nil {
			n, _ := strconv.ParseUint(m[1], 8, 16) // matched
			fmt.Fprintf(&s.out, `\x%02x`, n)
			return len(m[0])
		}
		if m := numberedRef.FindStringSubmatch(rest); m != nil && !class {
			fmt.Fprintf(&s.out, `\k<g%s>`, m[1])
			return len(m[0])
		}
		if m := wide.FindStringSubmatch(rest); m != nil {
			fmt.Fprintf(&s.out, `\x{%s}`, strings.TrimLeft(m[1], "0"))
			return len(m[0])
		}
	}
	s.out.WriteString(rest[:2])
	return 2
}

// group writes the opening of a group, or what only looks like one, and tells how much of rest
// it is.
func (s *speller) group(rest string) int {
	if m := inlineFlags.FindStringSubmatch(rest); m != nil {
		on := strings.NewReplacer("a", "", "u", "").Replace(m[1])
		if on != "" || m[2] != "" || m[3] == ":" {
			s.out.WriteString("(?" + on + m[2] + m[3])
		}
		return len(m[0])
	}
	if !s.back {
		s.out.WriteByte('(')
		return 1
	}
	if m := named.FindStringSubmatch(rest); m != nil {
		s.groups++
		if s.names[m[1]] != 0 {
			s.err = fmt.Errorf("the group %s is there twice", m[1])
		}
		s.names[m[1]] = s.groups
		fmt.Fprintf(&s.out, "(?<g%d>", s.groups)
		return len(m[0])
	}
	if m := namedRef.FindStringSubmatch(rest); m != nil {
		fmt.Fprintf(&s.out, `\k<g%d>`, s.number(m[1]))
		return len(m[0])
	}
	if m := condition.FindStringSubmatch(rest); m != nil {
		n, err := strconv.Atoi(m[1])
		if err != nil {
			n = s.number(m[1])
		} else if n < 1 || n > s.groups {
			s.err = fmt.Errorf("there is no group %d before %s", n, m[0])
		}
		fmt.Fprintf(&s.out, "(?(g%d)", n)
		return len(m[0])
	}
	if strings.HasPrefix(rest, "(?#") {
		end := strings.IndexByte(rest, ')')
		if end < 0 {
			s.err = errors.New("a comment has no end")
			return len(rest)
		}
		return end + 1
	}
	if !strings.HasPrefix(rest, "(?") {
		s.groups++
		fmt.Fprintf(&s.out, "(?<g%d>", s.groups)
		return 1
	}
	s.out.WriteString("(?")
	return 2
}

// number is that of a group with a name.
func (s *speller) number(name string) int {
	if s.names[name] == 0 {
		s.err = fmt.Errorf("there is no group %s before the reference to it", name)
	}
	return s.names[name]
}

// needsBacktracking tells that Go's syntax lacks what an expression has, by the error that it
// gives, and that package regexp2 has it: look-around, atomic groups, references to groups,
// conditions, comments, and flag x.
func needsBacktracking(err error) bool {
	var fault *syntax.Error
	if !errors.As(err, &fault) {
		return false
	}
	if fault.Code == syntax.ErrInvalidEscape {
		return len(fault.Expr) == 2 && fault.Expr[1] >= '0' && fault.Expr[1] <= '9'
	}
	for _, opening := range []string{"(?=", "(?!", "(?<=", "(?<!", "(?>", "(?(", "(?#", "(?P="} {
		if strings.HasPrefix(fault.Expr, opening) {
			return true
		}
	}
	m := inlineFlags.FindStringSubmatch(fault.Expr + ")")
	return fault.Expr == "(?P" || m != nil && strings.Contains(m[1]+m[2], "x")
}

// explain says in the operator's words what is not supported of Python's syntax.
func explain(err error) error {
	var fault *syntax.Error
	if errors.As(err, &fault) && fault.Code == syntax.ErrInvalidRepeatOp && strings.HasSuffix(fault.Expr, "+") {
		return &UnsupportedError{what: "possessive repetition is not supported", at: fault.Expr}
	}
	return err
}

// UnsupportedError names what Python's patterns have and these have not.
type UnsupportedError struct{ what, at string }

// Error says what it is, and how it begins in the pattern.
func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("%s (%s): an atomic group (?>...) can say the same", e.what, e.at)
}
