package jcli

import (
	"fmt"
	"slices"
	"strings"
)

// option is an option of a command, in short and long form.
type option struct {
	short   string // such as -u, "" for none
	long    string // such as --update
	metavar string // of its value; "" if it takes none
	help    string
}

// name is the long form without its dashes.
func (o *option) name() string { return o.long[2:] }

// values are the options that a line has, by their name; those without a value are "".
type values map[string]string

// parseOptions reads a line in the way of Python's optparse: options and arguments in any
// order, several short options in one word, long options cut short, and values in the same
// word or the next. The error is in optparse's words.
func parseOptions(line string, options []option) (v values, rest []string, err error) {
	v = values{}
	words := strings.Fields(line)
	for len(words) > 0 {
		word := words[0]
		words = words[1:]
		switch {
		case word == "--":
			return v, append(rest, words...), nil
		case strings.HasPrefix(word, "--"):
			words, err = parseLong(word, words, options, v)
		case strings.HasPrefix(word, "-") && word != "-":
			words, err = parseShort(word, words, options, v)
		default:
			rest = append(rest, word)
		}
		if err != nil {
			return nil, nil, err
		}
	}
	return v, rest, nil
}

func parseLong(word string, words []string, options []option, v values) ([]string, error) {
	name, value, given := strings.Cut(word, "=")
	o, err := findLong(name, options)
	if err != nil {
		return nil, err
	}
	switch {
	case o.metavar == "" && given:
		return nil, fmt.Errorf("%s option does not take a value", o.long)
	case o.metavar == "" || given:
		v[o.name()] = value
		return words, nil
	case len(words) == 0:
		return nil, fmt.Errorf("%s option requires 1 argument", o.long)
	}
	v[o.name()] = words[0]
	return words[1:], nil
}

func findLong(name string, options []option) (*option, error) {
	var like []string
	found := -1
	for i := range options {
		if options[i].long == name {
			return &options[i], nil
		}
		if strings.HasPrefix(options[i].long, name) {
			like, found = append(like, options[i].long), i
		}
	}
	switch len(like) {
	case 0:
		return nil, fmt.Errorf("no such option: %s", name)
	case 1:
		return &options[found], nil
	}
	slices.Sort(like)
	return nil, fmt.Errorf("ambiguous option: %s (%s?)", name, strings.Join(like, ", "))
}

func parseShort(word string, words []string, options []option, v values) ([]string, error) {
	letters := []rune(word[1:])
	for len(letters) > 0 {
		short := "-" + string(letters[0])
		letters = letters[1:]
		i := slices.IndexFunc(options, func(o option) bool { return o.short == short })
		if i < 0 {
			return nil, fmt.Errorf("no such option: %s", short)
		}
		o := &options[i]
		switch {
		case o.metavar == "":
			v[o.name()] = ""
		case len(letters) > 0:
			v[o.name()] = string(letters)
			return words, nil
		case len(words) == 0:
			return nil, fmt.Errorf("%s option requires 1 argument", short)
		default:
			v[o.name()] = words[0]
			return words[1:], nil
		}
	}
	return words, nil
}

// Columns of optparse's help for a terminal of 80.
const (
	helpColumn = 24
	helpWidth  = 78
)

// usage is the help of a command's options as optparse prints it.
func usage(command string, options []option) string {
	var b strings.Builder
	b.WriteString("Usage: " + command + " [options]\n\nOptions:\n")
	names := make([]string, len(options))
	longest := 0
	for i, o := range options {
		value, equals := "", ""
		if o.metavar != "" {
			value, equals = " "+o.metavar, "="+o.metavar
		}
		if o.short != "" {
			names[i] = o.short + value + ", "
		}
		names[i] += o.long + equals
		longest = max(longest, len(names[i])+2)
	}
	column := min(longest+2, helpColumn)
	for i, o := range options {
		lines := wrap(o.help, helpWidth-column)
		if len(names[i]) > column-4 {
			fmt.Fprintf(&b, "  %s\n%*s%s\n", names[i], column, "", lines[0])
		} else {
			fmt.Fprintf(&b, "  %-*s  %s\n", column-4, names[i], lines[0])
		}
		for _, line := range lines[1:] {
			fmt.Fprintf(&b, "%*s%s\n", column, "", line)
		}
	}
	return b.String()
}

func wrap(text string, width int) []string {
	var lines []string
	for _, word := range strings.Fields(text) {
		if n := len(lines) - 1; n >= 0 && len(lines[n])+1+len(word) <= width {
			lines[n] += " " + word
		} else {
			lines = append(lines, word)
		}
	}
	if len(lines) == 0 {
		return []string{""}
	}
	return lines
}
