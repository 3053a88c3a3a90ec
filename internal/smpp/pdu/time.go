package pdu

import (
	"fmt"
	"time"
)

// ParseTime reads a time of SMPP v3.4 §7.1.1, YYMMDDhhmmsstnnp: absolute, with
// tenths of a second and quarter hours from UTC, or, when p is R, relative to
// now. "" is the zero time: not set. Years are 2000 to 2099.
func ParseTime(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if len(s) != TimeLen {
		return time.Time{}, fmt.Errorf("time %q: %d characters, must have %d", s, len(s), TimeLen)
	}
	for i := range TimeLen - 1 {
		if s[i] < '0' || s[i] > '9' {
			return time.Time{}, fmt.Errorf("time %q: %q is not a digit", s, s[i])
		}
	}
	two := func(i int) int { return int(s[i]-'0')*10 + int(s[i+1]-'0') }
	year, month, day := two(0), two(2), two(4)
	hour, minute, second, tenth, quarters := two(6), two(8), two(10), int(s[12]-'0'), two(13)
	switch s[15] {
	case 'R':
		return now.AddDate(year, month, day).Add(time.Duration(hour)*time.Hour +
			time.Duration(minute)*time.Minute + time.Duration(second)*time.Second), nil
	case '+', '-':
	default:
		return time.Time{}, fmt.Errorf("time %q: ends in %q, not in +, - or R", s, s[15])
	}
	if month < 1 || month > 12 || hour > 23 || minute > 59 || second > 59 || quarters > 48 {
		return time.Time{}, fmt.Errorf("time %q: a part is out of range", s)
	}
	offset := quarters * 15 * 60
	if s[15] == '-' {
		offset = -offset
	}
	zone := time.UTC
	if offset != 0 {
		zone = time.FixedZone("", offset)
	}
	t := time.Date(2000+year, time.Month(month), day, hour, minute, second, tenth*int(time.Second/10), zone)
	if t.Day() != day { // 30 February and the like
		return time.Time{}, fmt.Errorf("time %q: the month has no day %d", s, day)
	}
	return t, nil
}

// FormatAbsolute is t as an absolute time of SMPP v3.4 §7.1.1.1, cut to tenths of
// a second, in t's zone if that is whole quarter hours within 12 hours of UTC,
// else in UTC. The zero time gives "": not set.
func FormatAbsolute(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	const quarter = 15 * 60
	_, offset := t.Zone()
	if offset%quarter != 0 || offset > 48*quarter || offset < -48*quarter {
		t, offset = t.UTC(), 0
	}
	sign := byte('+')
	if offset < 0 {
		sign, offset = '-', -offset
	}
	b := make([]byte, 0, TimeLen)
	for _, v := range [...]int{t.Year() % 100, int(t.Month()), t.Day(), t.Hour(), t.Minute(), t.Second()} {
		b = appendTwo(b, v)
	}
	b = append(b, byte('0'+t.Nanosecond()/int(time.Second/10)))
	b = appendTwo(b, offset/quarter)
	return string(append(b, sign))
}

// FormatRelative is d as a relative time of SMPP v3.4 §7.1.1.2, rounded up to
// whole seconds. Up to 31 days are written exactly; beyond, years of 365 days
// and months of 30 days are used, so FormatAbsolute is better there. Negative
// values give zero, values over 99 years give 99 years.
func FormatRelative(d time.Duration) string {
	seconds := int64(max(d, 0) / time.Second)
	if d > 0 && d%time.Second != 0 {
		seconds++
	}
	days := seconds / 86400
	seconds %= 86400
	var years, months int64
	if days > 31 {
		years, days = days/365, days%365
		months = min(days/30, 11)
		days = min(days-months*30, 31)
	}
	if years > 99 {
		years, months, days, seconds = 99, 0, 0, 0
	}
	b := make([]byte, 0, TimeLen)
	for _, v := range [...]int64{years, months, days, seconds / 3600, seconds / 60 % 60, seconds % 60} {
		b = appendTwo(b, int(v))
	}
	return string(append(b, "000R"...))
}

func appendTwo(b []byte, v int) []byte { return append(b, byte('0'+v/10%10), byte('0'+v%10)) }
