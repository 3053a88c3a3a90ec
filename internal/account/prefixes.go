package account

import (
	"regexp/syntax"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxPrefixes bounds what is known of the beginning of one pattern.
const maxPrefixes = 64

// maxBranches bounds how many ways one prefix may go on: ten digits behind a number do not
// make it worth more.
const maxBranches = 4

// Prefixes gives texts of which every text that matches starts with at least one, so that an
// index can leave the others alone: 33 and +33 for ^\+?33\d+. Nil: nothing is known. The
// slice must not be changed.
func (p *Pattern) Prefixes() []string { return p.prefixes }

// leads finds the Prefixes of an anchored, simplified expression.
func leads(tree *syntax.Regexp) []string {
	all, _ := lead(tree)
	slices.Sort(all)
	all = slices.Compact(all)
	if len(all) == 0 || all[0] == "" {
		return nil
	}
	out := all[:1]
	for _, s := range all[1:] { // in order, what starts with another comes after it
		if !strings.HasPrefix(s, out[len(out)-1]) {
			out = append(out, s)
		}
	}
	return slices.Clone(out)
}

// lead gives texts with which everything starts that an expression matches. exact tells that
// each match is one of them as a whole, so that what follows can be put behind.
func lead(re *syntax.Regexp) (all []string, exact bool) {
	switch re.Op {
	case syntax.OpEmptyMatch, syntax.OpBeginText, syntax.OpBeginLine, syntax.OpEndText, syntax.OpEndLine, syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return []string{""}, true
	case syntax.OpLiteral:
		var b strings.Builder
		for _, r := range re.Rune {
			if r == utf8.RuneError || re.Flags&syntax.FoldCase != 0 && unicode.SimpleFold(r) != r {
				return []string{b.String()}, false
			}
			b.WriteRune(r)
		}
		return []string{b.String()}, true
	case syntax.OpCharClass:
		for i := 0; i+1 < len(re.Rune); i += 2 {
			for r := re.Rune[i]; r <= re.Rune[i+1]; r++ {
				if len(all) == maxPrefixes || r == utf8.RuneError {
					return []string{""}, false
				}
				all = append(all, string(r))
			}
		}
		return all, true
	case syntax.OpCapture:
		return lead(re.Sub[0])
	case syntax.OpPlus:
		all, _ = lead(re.Sub[0])
		return all, false
	case syntax.OpQuest:
		all, exact = lead(re.Sub[0])
		return append(slices.Clone(all), ""), exact
	case syntax.OpAlternate:
		exact = true
		for _, sub := range re.Sub {
			more, e := lead(sub)
			all, exact = append(all, more...), exact && e
		}
		if len(all) > maxPrefixes {
			return []string{""}, false
		}
		return all, exact
	case syntax.OpConcat:
		return leadOfAll(re.Sub)
	}
	return []string{""}, false
}

func leadOfAll(subs []*syntax.Regexp) (all []string, exact bool) {
	all = []string{""}
	for _, sub := range subs {
		next, e := lead(sub)
		if len(all)*len(next) > maxPrefixes || all[0] != "" && len(next) > maxBranches {
			return all, false
		}
		var product []string
		for _, a := range all {
			for _, b := range next {
				product = append(product, a+b)
			}
		}
		if all = product; !e {
			return all, false
		}
	}
	return all, true
}
