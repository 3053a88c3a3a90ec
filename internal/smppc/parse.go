package smppc

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Times are kept in whole milliseconds, from shortest to longest.
const (
	shortest = time.Millisecond
	longest  = 100 * 365 * 24 * time.Hour
)

type parser = func(value string, c *Config) string

// decimal reads digits with an optional fraction: no sign, no exponent, no infinity.
func decimal(value string) (float64, bool) {
	whole, fraction, dot := strings.Cut(value, ".")
	if !digits(whole) || dot && !digits(fraction) || len(value) > 32 {
		return 0, false
	}
	v, err := strconv.ParseFloat(value, 64)
	return v, err == nil
}

func digits(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r < '0' || r > '9' })
}

// seconds reads a time in seconds with up to three decimals, at least lowest.
func seconds(lowest time.Duration, field func(*Config) *time.Duration) parser {
	return func(value string, c *Config) string {
		v, ok := decimal(value)
		_, fraction, _ := strings.Cut(value, ".")
		if ok && v <= longest.Seconds() && len(strings.TrimRight(fraction, "0")) <= 3 {
			if d := time.Duration(math.Round(v*1000)) * time.Millisecond; d >= lowest {
				*field(c) = d
				return ""
			}
		}
		if lowest == 0 {
			return "seconds, with up to 3 decimals"
		}
		return fmt.Sprintf("seconds, with up to 3 decimals, at least %s", formatSeconds(lowest))
	}
}

func formatSeconds(d time.Duration) string {
	s := strconv.FormatInt(int64(d/time.Second), 10)
	if rest := d % time.Second; rest != 0 {
		s += "." + strings.TrimRight(fmt.Sprintf("%09d", rest.Abs().Nanoseconds()), "0")
	}
	return s
}

func integer(low, high int, field func(*Config) *int) parser {
	return func(value string, c *Config) string {
		v, err := strconv.Atoi(value)
		if err != nil || !digits(value) || v < low || v > high {
			return fmt.Sprintf("a whole number from %d to %d", low, high)
		}
		*field(c) = v
		return ""
	}
}

func octet(low, high int, field func(*Config) *uint8) parser {
	return func(value string, c *Config) string {
		v, err := strconv.Atoi(value)
		if err != nil || !digits(value) || v < low || v > high {
			return fmt.Sprintf("a whole number from %d to %d", low, high)
		}
		*field(c) = uint8(v)
		return ""
	}
}

func oneOf(values []uint8, value string, field *uint8) string {
	if digits(value) {
		if v, err := strconv.Atoi(value); err == nil {
			for _, w := range values {
				if v == int(w) {
					*field = w
					return ""
				}
			}
		}
	}
	names := make([]string, len(values))
	for i, w := range values {
		names[i] = itoa(w)
	}
	return "one of " + strings.Join(names, ", ")
}

// ton is a type of number (SMPP v3.4 §5.2.5).
func ton(field func(*Config) *uint8) parser {
	return func(value string, c *Config) string {
		return oneOf([]uint8{0, 1, 2, 3, 4, 5, 6}, value, field(c))
	}
}

// npi is a numbering plan indicator (SMPP v3.4 §5.2.6).
func npi(field func(*Config) *uint8) parser {
	return func(value string, c *Config) string {
		return oneOf([]uint8{0, 1, 3, 4, 6, 8, 9, 10, 14, 18}, value, field(c))
	}
}

func yesNo(field func(*Config) *bool) parser {
	return func(value string, c *Config) string {
		switch value {
		case "yes":
			*field(c) = true
		case "no":
			*field(c) = false
		default:
			return "yes or no"
		}
		return ""
	}
}

// text takes low to high octets without control characters.
func text(low, high int, field func(*Config) *string) parser {
	return func(value string, c *Config) string {
		if len(value) < low || len(value) > high || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7F }) {
			if low == 0 {
				return fmt.Sprintf("at most %d octets without control characters", high)
			}
			return fmt.Sprintf("%d to %d octets without control characters", low, high)
		}
		*field(c) = value
		return ""
	}
}

func textOrNone(high int, field func(*Config) *string) parser {
	return func(value string, c *Config) string {
		if isNone(value) {
			value = ""
		}
		if text(0, high, field)(value, c) != "" {
			return fmt.Sprintf("at most %d octets without control characters, or none", high)
		}
		return ""
	}
}
