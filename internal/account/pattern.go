package account

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/dlclark/regexp2"
)

// Pattern is a regular expression as operators write it for value filters and message
// filters. It is anchored at the start of the text and not at its end, as Python's
// re.match is (Jasmin: every filter calls compiled.match; TestPatternIsAnchoredAtTheStart).
//
// What Go's regexp package understands it matches, in time that is linear whatever the text.
// What it lacks of Python's syntax (needsBacktracking) is matched by backtracking, for
// matchTimeout at most. The zero Pattern matches nothing.
type Pattern struct {
	text string
	// prefix is literal text that every match starts with; it refuses most texts without
	// running the expression.
	prefix   string
	rest     rest
	re       *regexp.Regexp
	back     *regexp2.Regexp // in the place of re
	prefixes []string        // see Prefixes
}

// rest says what follows the prefix of a Pattern.
type rest uint8

const (
	restNever  rest = iota // nothing matches
	restAny                // whatever follows
	restEnd                // the end of the text
	restRegexp             // the expression decides
	restBack               // the expression decides, by backtracking
)

const maxPattern = 1000

// all tells whether every text matches.
func (p *Pattern) all() bool { return p.rest == restAny && p.prefix == "" }

// CompilePattern compiles a pattern of up to 1000 octets.
func CompilePattern(text string) (Pattern, error) {
	if len(text) > maxPattern {
		return Pattern{}, fmt.Errorf("regular expression of %d octets is longer than %d", len(text), maxPattern)
	}
	ours := fromPython(text)
	if _, err := regexp.Compile(ours); err != nil { // by itself: a(b|c)) must not borrow our bracket
		if needsBacktracking(err) {
			return compileBacktracking(text)
		}
		return Pattern{}, fmt.Errorf("regular expression %q: %w", text, explain(err))
	}
	re, err := regexp.Compile(`\A(?:` + ours + `)`)
	if err != nil {
		return Pattern{}, fmt.Errorf("regular expression %q: %w", text, err)
	}
	p := Pattern{text: text, rest: restRegexp, re: re}
	if tree, err := syntax.Parse(ours, syntax.Perl); err == nil {
		tree = tree.Simplify()
		p.prefix, p.rest = shape(tree)
		p.prefixes = leads(tree)
	}
	return p, nil
}

// compileBacktracking compiles a pattern that Go's regexp package does not understand.
func compileBacktracking(text string) (Pattern, error) {
	theirs, err := forBacktracking(text)
	if err == nil {
		_, err = regexp2.Compile(theirs, regexp2.RE2) // by itself, as above
	}
	if err != nil {
		return Pattern{}, fmt.Errorf("regular expression %q: %w", text, err)
	}
	re, err := regexp2.Compile(`\A(?:`+theirs+`)`, regexp2.RE2)
	if err != nil {
		return Pattern{}, fmt.Errorf("regular expression %q: %w", text, err)
	}
	re.MatchTimeout = matchTimeout
	return Pattern{text: text, rest: restBack, back: re}, nil
}

// matchTimeout bounds one match by backtracking, to a tenth of a second more or less.
const matchTimeout = 100 * time.Millisecond

// PatternStats counts what becomes of patterns.
type PatternStats struct {
	Timeouts atomic.Int64 `metric:"jasmind_pattern_timeouts_total" help:"Matches of patterns that took too long, and so did not match."`
}

// Patterns are the counters of all patterns.
var Patterns PatternStats

// onTimeout is told the pattern of a match that took too long.
var onTimeout atomic.Pointer[func(pattern string)]

// OnPatternTimeout has f told each pattern of which a match took too long, in the place of
// whoever was told before. f must be quick and safe for concurrent use.
func OnPatternTimeout(f func(pattern string)) { onTimeout.Store(&f) }

// shape finds the literal text with which every match of an anchored expression starts,
// and what follows it. It knows the forms that operators write, such as ^\+33\d+, ^85111$
// and .*, and says restRegexp for all others.
func shape(tree *syntax.Regexp) (string, rest) {
	list := []*syntax.Regexp{tree}
	if tree.Op == syntax.OpConcat {
		list = tree.Sub
	}
	for len(list) > 0 && list[0].Op == syntax.OpBeginText {
		list = list[1:]
	}
	var prefix strings.Builder
	for len(list) > 0 && list[0].Op == syntax.OpLiteral && list[0].Flags&syntax.FoldCase == 0 {
		for _, r := range list[0].Rune {
			if r == utf8.RuneError {
				return prefix.String(), restRegexp // it also matches octets that are no UTF-8
			}
			prefix.WriteRune(r)
		}
		list = list[1:]
	}
	switch {
	case len(list) == 0, len(list) == 1 && mayBeEmpty(list[0]):
		return prefix.String(), restAny
	case len(list) == 1 && list[0].Op == syntax.OpEndText:
		return prefix.String(), restEnd
	}
	return prefix.String(), restRegexp
}

// mayBeEmpty tells that a repetition needs nothing, so that it decides nothing at the end
// of an expression that is not anchored there.
func mayBeEmpty(re *syntax.Regexp) bool {
	return re.Op == syntax.OpStar || re.Op == syntax.OpQuest || re.Op == syntax.OpEmptyMatch
}

// Match tells whether s, from its start, matches. A match that takes too long counts as none.
// It allocates nothing, unless it takes backtracking.
func (p *Pattern) Match(s string) bool {
	if !strings.HasPrefix(s, p.prefix) {
		return false
	}
	switch p.rest {
	case restAny:
		return true
	case restEnd:
		return len(s) == len(p.prefix)
	case restRegexp:
		return p.re.MatchString(s)
	case restBack:
		ok, err := p.back.MatchString(s)
		if err != nil { // only for its time
			Patterns.Timeouts.Add(1)
			if f := onTimeout.Load(); f != nil {
				(*f)(p.text)
			}
		}
		return ok && err == nil
	}
	return false
}

// String is the pattern as it was written.
func (p Pattern) String() string { return p.text }
