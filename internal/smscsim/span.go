package smscsim

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// Duration is a time.Duration that JSON and YAML write as 1.5s.
type Duration time.Duration

// String is the duration as time.Duration writes it.
func (d Duration) String() string { return time.Duration(d).String() }

// MarshalText writes the duration as time.Duration does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what time.ParseDuration does.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("duration %q: must look like 250ms, 1.5s or 2m", text)
	}
	*d = Duration(v)
	return nil
}

// Span is a duration or a range to draw one from, written 50ms or 10ms..200ms.
type Span struct{ Min, Max time.Duration }

// Exactly is the span with a single duration.
func Exactly(d time.Duration) Span { return Span{d, d} }

// String is the span as UnmarshalText reads it.
func (s Span) String() string {
	if s.Min == s.Max {
		return s.Min.String()
	}
	return s.Min.String() + ".." + s.Max.String()
}

// MarshalText writes the span as String does.
func (s Span) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// maxSpan keeps sums of spans far from an overflow.
const maxSpan = 10 * 365 * 24 * time.Hour

// UnmarshalText reads one duration, or two with .. between them.
func (s *Span) UnmarshalText(text []byte) error {
	low, high, isRange := strings.Cut(string(text), "..")
	if !isRange {
		high = low
	}
	minimum, err := time.ParseDuration(low)
	if err == nil {
		var maximum time.Duration
		if maximum, err = time.ParseDuration(high); err == nil {
			*s = Span{minimum, maximum}
		}
	}
	switch {
	case err != nil:
		return fmt.Errorf("duration %q: must look like 50ms or 10ms..200ms", text)
	case s.Max < s.Min:
		return fmt.Errorf("duration %q: ends before it begins", text)
	case s.Max > maxSpan || s.Min < -maxSpan:
		return fmt.Errorf("duration %q: over ten years", text)
	}
	return nil
}

// pick draws a duration, both ends included.
func (s Span) pick() time.Duration {
	if s.Min >= s.Max {
		return s.Min
	}
	return s.Min + rand.N(s.Max-s.Min+1)
}
