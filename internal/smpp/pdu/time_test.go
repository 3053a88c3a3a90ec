package pdu

import (
	"testing"
	"time"
)

func TestParseTime(t *testing.T) {
	now := time.Date(2026, 11, 24, 23, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		in   string
		want time.Time
	}{
		{"", time.Time{}},
		{"261231235958700+", time.Date(2026, 12, 31, 23, 59, 58, 7e8, time.UTC)},
		{"261231235958004+", time.Date(2026, 12, 31, 22, 59, 58, 0, time.UTC)},
		{"261231235958020-", time.Date(2027, 1, 1, 4, 59, 58, 0, time.UTC)},
		{"280229000000000+", time.Date(2028, 2, 29, 0, 0, 0, 0, time.UTC)},
		{"000000000500000R", now.Add(5 * time.Minute)},
		{"020610233429000R", now.AddDate(2, 6, 10).Add(23*time.Hour + 34*time.Minute + 29*time.Second)}, // the example of §7.1.1.2
		{"000000000000000R", now},
	} {
		got, err := ParseTime(c.in, now)
		if err != nil || !got.Equal(c.want) {
			t.Errorf("%s: got %v, %v; want %v", c.in, got, err, c.want)
		}
	}
	for _, in := range []string{"0", "261231235959000", "261231235959000+0", "26123123595x000+", "261231235959000Z",
		"261331235959000+", "260031235959000+", "260230000000000+", "260100000000000+", "261231245959000+",
		"261231236059000+", "261231235960000+", "261231235959049+", " 61231235959000+"} {
		if got, err := ParseTime(in, now); err == nil {
			t.Errorf("%q: got %v, want an error", in, got)
		}
	}
}

func TestFormatAbsolute(t *testing.T) {
	for _, c := range []struct {
		in   time.Time
		want string
	}{
		{time.Time{}, ""},
		{time.Date(2026, 12, 31, 23, 59, 58, 799_999_999, time.UTC), "261231235958700+"},
		{time.Date(2026, 12, 31, 23, 59, 58, 0, time.FixedZone("", 3600)), "261231235958004+"},
		{time.Date(2026, 12, 31, 23, 59, 58, 0, time.FixedZone("", -5*3600)), "261231235958020-"},
		{time.Date(2026, 12, 31, 23, 59, 58, 0, time.FixedZone("", 13*3600)), "261231105958000+"},
		{time.Date(2026, 12, 31, 23, 59, 58, 0, time.FixedZone("", 1234)), "261231233924000+"},
	} {
		if got := FormatAbsolute(c.in); got != c.want {
			t.Errorf("%v: got %s, want %s", c.in, got, c.want)
		}
	}
}

func TestFormatRelative(t *testing.T) {
	const day = 24 * time.Hour
	for in, want := range map[time.Duration]string{
		0:                          "000000000000000R",
		-time.Hour:                 "000000000000000R",
		time.Millisecond:           "000000000001000R",
		90 * time.Second:           "000000000130000R",
		31*day + 23*time.Hour:      "000031230000000R",
		32 * day:                   "000102000000000R",
		364 * day:                  "001131000000000R",
		365*day + 59*time.Minute:   "010000005900000R",
		100 * 365 * day:            "990000000000000R",
		time.Duration(1<<63 - 1):   "990000000000000R",
		7*day + 1*time.Nanosecond:  "000007000001000R",
		10*365*day + 40*day + 1000: "100110000001000R",
	} {
		if got := FormatRelative(in); got != want {
			t.Errorf("%v: got %s, want %s", in, got, want)
		}
	}
}

// FuzzTime: no panic; an absolute time that can be read is written as it was or,
// where the zone cannot be kept, as the same instant; a short relative one likewise.
func FuzzTime(f *testing.F) {
	for _, s := range []string{"", "261231235958700+", "261231235958048-", "020610233429000R", "000031000000000R"} {
		f.Add(s)
	}
	now := time.Date(2026, 11, 24, 23, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, s string) {
		at, err := ParseTime(s, now)
		if err != nil {
			return
		}
		out := FormatAbsolute(at)
		again, err := ParseTime(out, now)
		if err != nil {
			t.Fatalf("%q was written as %q: %v", s, out, err)
		}
		if at.Year() < 2100 && !again.Equal(at) {
			t.Fatalf("%q: %v, written as %q, read as %v", s, at, out, again)
		}
		if d := at.Sub(now); len(s) == 16 && s[15] == 'R' && d <= 31*24*time.Hour {
			rel, err := ParseTime(FormatRelative(d), now)
			if err != nil || !rel.Equal(at) {
				t.Fatalf("%q: %v, written as %q, read as %v, %v", s, at, FormatRelative(d), rel, err)
			}
		}
	})
}
