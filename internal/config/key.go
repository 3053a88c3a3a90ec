package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"jasmind/internal/account"
	"jasmind/internal/logging"
)

// Key is one setting of jasmin.cfg: section, name, default, documentation, parser, and the fields of Config that get its value.
type Key struct {
	Section, Name string
	Default       string
	Doc           string
	without       string // why the key has no effect in jasmind; "": the key has an effect
	field
}

// field says where the value of a key goes: pointers into one Config, and the function that parses a value and
// stores it there. A key without effect has no pointers, but its parser checks the value all the same.
type field struct {
	to  []any
	set func(v string) error
}

// parser reads the text of a value. Its error names the value, or the wrong part of the value, unless
// the value is a secret.
type parser[T any] func(v string) (T, error)

// into makes the field of a key whose value goes to one or more variables.
func into[T any](parse parser[T], to ...*T) field {
	f := field{set: func(v string) error {
		x, err := parse(v)
		if err != nil {
			return err
		}
		for _, p := range to {
			*p = x
		}
		return nil
	}}
	for _, p := range to {
		f.to = append(f.to, p)
	}
	return f
}

func key(name, value, doc string, f field) Key {
	return Key{Name: name, Default: value, Doc: doc, field: f}
}

// section puts keys into a section.
func section(name string, groups ...[]Key) []Key {
	out := slices.Concat(groups...)
	for i := range out {
		out[i].Section = name
	}
	return out
}

// void marks keys of the original that have no effect in jasmind. Load reads and checks them, so that a file of
// the original works unchanged. When such a key has another value than its default, the start and "config check" name
// the key and the reason.
func void(why string, keys ...Key) []Key {
	for i := range keys {
		keys[i].without, keys[i].Doc = why, "Without effect here: "+why+"."
	}
	return keys
}

// Variable is the environment variable that overrides the key.
func (k *Key) Variable() string {
	return strings.ToUpper(strings.ReplaceAll(k.Section+"_"+k.Name, "-", "_"))
}

// Where the original's defaults put logs and profiles.
const (
	logFolder   = "/var/log/jasmin/"
	storeFolder = "/etc/jasmin/store"
)

// defaultFor gives the default of the key, with the folders of p in place of the original's.
func (k *Key) defaultFor(p Paths) string {
	if rest, ok := strings.CutPrefix(k.Default, logFolder); ok {
		return filepath.Join(p.Log, rest)
	}
	if k.Default == storeFolder {
		return p.Store
	}
	return k.Default
}

const (
	day      = 86400
	maxWhole = 1<<31 - 1
	// shortest stands for the value 0 ("at once", "every message") in fields where a Duration of 0 means the default.
	shortest = time.Duration(1)
)

func text(v string) (string, error) { return v, nil }

// unless makes a parser of text that reads the value none as "".
func unless(none string) parser[string] {
	return func(v string) (string, error) {
		if v == none {
			v = ""
		}
		return v, nil
	}
}

// or makes a parser of text that reads an empty value as otherwise.
func or(otherwise string) parser[string] {
	return func(v string) (string, error) { return orElse(v, otherwise), nil }
}

func number(lo, hi int) parser[int] {
	return func(v string) (int, error) {
		n, err := strconv.Atoi(v)
		if err != nil || n < lo || n > hi {
			return 0, fmt.Errorf("%q is not a whole number from %d to %d", v, lo, hi)
		}
		return n, nil
	}
}

var port = number(0, 65535)

// mebibytes makes a parser of whole MiB that gives octets.
func mebibytes[T int64 | uint64](lo, hi int) parser[T] {
	return func(v string) (T, error) {
		n, err := number(lo, hi)(v)
		return T(n) << 20, err //nolint:gosec // never negative
	}
}

func seconds(lo, hi float64) parser[time.Duration] {
	return func(v string) (time.Duration, error) {
		n, err := strconv.ParseFloat(v, 64)
		if err != nil || !(n >= lo && n <= hi) {
			return 0, fmt.Errorf("%q is not a number of seconds from %g to %g", v, lo, hi)
		}
		return time.Duration(n * float64(time.Second)), nil
	}
}

// wholeSeconds makes a parser of seconds without fractions.
func wholeSeconds(lo, hi int) parser[time.Duration] {
	return func(v string) (time.Duration, error) {
		n, err := number(lo, hi)(v)
		return time.Duration(n) * time.Second, err
	}
}

// zeroIs makes a parser that reads 0 as the value zero, since a field of 0 would mean the default.
func zeroIs[T int64 | time.Duration](zero T, parse parser[T]) parser[T] {
	return func(v string) (T, error) {
		x, err := parse(v)
		if err == nil && x == 0 {
			x = zero
		}
		return x, err
	}
}

func boolean(v string) (bool, error) {
	switch strings.ToLower(v) {
	case "true", "yes", "on", "1":
		return true, nil
	case "false", "no", "off", "0":
		return false, nil
	}
	return false, fmt.Errorf("%q is neither True nor False", v)
}

// negated reads a boolean into a field whose name says the opposite of the key.
func negated(v string) (bool, error) {
	on, err := boolean(v)
	return !on && err == nil, err
}

// oneOf makes a parser that accepts only the given words.
func oneOf[T ~string](words ...T) parser[T] {
	options := make([]option[T], len(words))
	for i, w := range words {
		options[i] = option[T]{string(w), w}
	}
	return choice(options...)
}

// option is a word of a configuration file and the value that it stands for.
type option[T any] struct {
	word  string
	value T
}

func choice[T any](options ...option[T]) parser[T] {
	return func(v string) (T, error) {
		words := make([]string, len(options))
		for i, o := range options {
			if o.word == v {
				return o.value, nil
			}
			words[i] = o.word
		}
		var none T
		if len(words) == 2 {
			return none, fmt.Errorf("%q is neither %s nor %s", v, words[0], words[1])
		}
		return none, fmt.Errorf("%q is none of %s", v, strings.Join(words, ", "))
	}
}

// checked makes a parser of text that check may refuse.
func checked(check func(string) error) parser[string] {
	return func(v string) (string, error) { return v, check(v) }
}

// digest reads a password digest. Its errors do not show the digest.
func digest(v string) (account.Password, error) {
	p, err := account.ParseHash(v)
	if err != nil {
		return p, fmt.Errorf("is neither an argon2id digest ($argon2id$...) nor 32 hexadecimal digits: %w", err)
	}
	return p, nil
}

func maybeDigest(v string) error {
	if v == "" {
		return nil
	}
	if _, err := account.ParseHash(v); err != nil {
		return errors.New("is no password digest of 32 hexadecimal digits")
	}
	return nil
}

// logKeys gives the keys of the log of one service.
func logKeys(file, rotate string, to *logging.Config) []Key {
	return []Key{
		key("log_level", "INFO", "What to log: NOTSET (nothing), DEBUG, INFO, WARNING, ERROR or CRITICAL.", into(logging.ParseLevel, &to.Level)),
		key("log_file", logFolder+file, "Where to log; stdout: standard output.", into(text, &to.File)),
		key("log_rotate", rotate, "When to begin a new file: S, M, H, D, W0-W6 (Monday is 0) or midnight.", into(checked(logging.CheckRotate), &to.Rotate)),
		key("log_format", logging.DefaultFormat, "Form of a line: %(asctime)s, %(levelname)s, %(process)d, %(name)s, %(message)s ...", into(checked(logging.CheckFormat), &to.Format)),
		key("log_date_format", logging.DefaultDateFormat, "Form of the date, as of strftime.", into(checked(logging.CheckDateFormat), &to.DateFormat)),
	}
}

// internalPort gives the keys of a port through which processes of the original talk to each other.
func internalPort(number, username, password, why string) []Key {
	return void(why,
		key("bind", "0.0.0.0", "", into(text)),
		key("port", number, "", into(port)),
		key("authentication", "True", "", into(boolean)),
		key("admin_username", username, "", into(text)),
		key("admin_password", password, "", into(checked(maybeDigest))))
}

// internalClient gives the keys of a client of an internalPort.
func internalClient(number, username, why string) []Key {
	return void(why,
		key("host", "127.0.0.1", "", into(text)),
		key("port", number, "", into(port)),
		key("username", username, "", into(text)),
		key("password", "", "", into(text)))
}
