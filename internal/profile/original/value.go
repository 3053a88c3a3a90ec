package original

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"regexp"
	"strconv"
	"strings"

	"github.com/nlpodyssey/gopickle/types"
)

// as gives an attribute that is an object of a class.
func (o *object) as(name, class string) (*object, error) {
	v, ok := o.attrs[name].(*object)
	if !ok || v.class != class {
		return nil, fmt.Errorf("%s: is no %s", name, class)
	}
	return v, nil
}

// text gives an attribute that is a text.
func (o *object) text(name string) (string, error) {
	v, ok := o.attrs[name]
	if !ok {
		return "", fmt.Errorf("%s: is missing", name)
	}
	s, ok := str(v)
	if !ok {
		return "", fmt.Errorf("%s: is no text", name)
	}
	return s, nil
}

// dict gives an attribute that is a dictionary with texts as keys; an empty one for what is missing.
func (o *object) dict(name string) (map[string]any, error) {
	v, ok := o.attrs[name]
	if !ok || v == nil {
		return nil, nil
	}
	d, ok := v.(*types.Dict)
	if !ok {
		return nil, fmt.Errorf("%s: is no dictionary", name)
	}
	out := make(map[string]any, d.Len())
	for _, e := range *d {
		key, ok := str(e.Key)
		if !ok {
			return nil, fmt.Errorf("%s: has a key that is no text", name)
		}
		out[key] = e.Value
	}
	return out, nil
}

// list gives the elements of a list or tuple.
func list(v any) ([]any, bool) {
	switch v := v.(type) {
	case *types.List:
		return *v, true
	case *types.Tuple:
		return *v, true
	}
	return nil, false
}

// spell gives a single value as the console takes it: yes and no, none, numbers with up to six
// decimals, texts. rounded tells that a number had more, beyond what arithmetic with
// binary fractions leaves.
func spell(v any) (text string, rounded bool, err error) {
	switch v := v.(type) {
	case nil:
		return "none", false, nil
	case bool:
		if v {
			return "yes", false, nil
		}
		return "no", false, nil
	case int:
		return strconv.Itoa(v), false, nil
	case *big.Int:
		return v.String(), false, nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return "", false, fmt.Errorf("is %v", v)
		}
		text := strconv.FormatFloat(v, 'f', 6, 64)
		near, _ := strconv.ParseFloat(text, 64) // just written
		rounded := math.Abs(near-v) > 1e-9*max(1, math.Abs(v))
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
		if text == "-0" {
			text = "0"
		}
		return text, rounded, nil
	}
	if s, ok := str(v); ok {
		return s, false, nil
	}
	return "", false, errors.New("has a value that is not understood" + whose(v))
}

// whose names the class of an object, in brackets.
func whose(v any) string {
	switch v := v.(type) {
	case *object:
		return " (" + v.class + ")"
	case *class:
		return " (" + v.name + ")"
	}
	return ""
}

// Flags of Python's re.
const (
	flagIgnoreCase = 2
	flagLocale     = 4
	flagMultiLine  = 8
	flagDotAll     = 16
	flagVerbose    = 64
)

// namedFlags are the flags that an expression names for all of itself.
var namedFlags = regexp.MustCompile(`^\(\?([a-zA-Z]+)\)`)

// pattern gives the text of a compiled expression. Flags that it was compiled with and does not
// name itself go in front.
func pattern(v any) (string, error) {
	o, ok := v.(*object)
	if !ok || o.class != "_compile" || len(o.args) < 1 {
		return "", errors.New("is no regular expression" + whose(v))
	}
	text, ok := str(o.args[0])
	if !ok {
		return "", errors.New("is a regular expression that is not in UTF-8")
	}
	flags := 0
	if len(o.args) > 1 {
		if flags, ok = o.args[1].(int); !ok {
			return "", errors.New("is a regular expression with unknown flags")
		}
	}
	if flags&flagLocale != 0 {
		return "", errors.New("is a regular expression that depends on the locale")
	}
	named, missing := "", ""
	if m := namedFlags.FindStringSubmatch(text); m != nil {
		named = m[1]
	}
	for _, f := range []struct {
		flag   int
		letter string
	}{{flagIgnoreCase, "i"}, {flagMultiLine, "m"}, {flagDotAll, "s"}, {flagVerbose, "x"}} {
		if flags&f.flag != 0 && !strings.Contains(named, f.letter) {
			missing += f.letter
		}
	}
	if missing != "" {
		text = "(?" + missing + ")" + text
	}
	return text, nil
}

// interval gives two borders as an interval filter takes them.
func interval(v any, border func(v any) (string, bool)) (string, error) {
	both, ok := list(v)
	if ok && len(both) == 2 {
		left, okLeft := border(both[0])
		right, okRight := border(both[1])
		if okLeft && okRight {
			return left + ";" + right, nil
		}
	}
	return "", errors.New("is no interval")
}

// packed gives the octets of a datetime.date or datetime.time.
func packed(v any, class string, size int) (string, bool) {
	o, ok := v.(*object)
	if !ok || o.class != class || len(o.args) < 1 {
		return "", false
	}
	var s string
	switch arg := o.args[0].(type) {
	case []byte:
		s = string(arg)
	case string: // of Python 2
		s = arg
	}
	return s, len(s) == size
}

func date(v any) (string, bool) {
	s, ok := packed(v, "date", 4) // the year in two octets, the month, the day
	if !ok {
		return "", false
	}
	return fmt.Sprintf("%04d-%02d-%02d", int(s[0])<<8|int(s[1]), s[2], s[3]), true
}

func timeOfDay(v any) (string, bool) {
	s, ok := packed(v, "time", 6) // the hour, with a bit for the second time of a repeated one; minute, second, microseconds
	if !ok {
		return "", false
	}
	return fmt.Sprintf("%02d:%02d:%02d", s[0]&0x7F, s[1], s[2]), true
}
