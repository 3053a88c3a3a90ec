package routing

import (
	"strings"
	"testing"
	"time"
)

func at(s string) time.Time {
	t, err := time.ParseInLocation("2006-01-02 15:04:05.999", s, time.FixedZone("here", 3*3600))
	if err != nil {
		panic(err)
	}
	return t
}

func filter(t testing.TB, typ FilterType, value string) *Filter {
	t.Helper()
	f, err := NewFilter("f", typ, value)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestFilterMatch(t *testing.T) {
	mt := Message{Source: "JASMIN", Destination: "+33612345678", Content: "hello wörld", User: "u1", Group: "g1", Time: at("2015-06-01 08:00:00"), Tags: []string{"702", "vip"}}
	mo := Message{Source: "2012", Destination: "85111", Content: "STOP", Connector: "smpp-01", Time: at("2015-08-31 23:59:59.5")}
	night := mt
	night.Time = at("2015-06-02 02:00:00")
	for _, tt := range []struct {
		typ   FilterType
		value string
		m     *Message
		want  bool
	}{
		{TransparentFilter, "", &mt, true},
		{TransparentFilter, "", &Message{}, true},
		{ConnectorFilter, "smpp-01", &mo, true},
		{ConnectorFilter, "smpp-0", &mo, false},
		{UserFilter, "u1", &mt, true},
		{UserFilter, "u", &mt, false},
		{GroupFilter, "g1", &mt, true},
		{GroupFilter, "u1", &mt, false},
		{SourceAddrFilter, `^20\d+`, &mo, true},
		{SourceAddrFilter, `^20\d+`, &mt, false},
		{SourceAddrFilter, "MIN", &mt, false}, // anchored at the start
		{DestinationAddrFilter, `^\+33\d+`, &mt, true},
		{DestinationAddrFilter, `^\+(?!33900)\d{6,15}$`, &mt, true}, // by backtracking
		{DestinationAddrFilter, `^\+(?!336)\d{6,15}$`, &mt, false},
		{DestinationAddrFilter, "^85111$", &mo, true},
		{DestinationAddrFilter, "^8511$", &mo, false},
		{DestinationAddrFilter, "851", &mo, true}, // not at the end
		{ShortMessageFilter, "^hello.*$", &mt, true},
		{ShortMessageFilter, "hello wö", &mt, true},
		{ShortMessageFilter, "(?i)stop", &mo, true},
		{ShortMessageFilter, "stop", &mo, false},
		{DateIntervalFilter, "2015-06-01;2015-08-31", &mt, true},
		{DateIntervalFilter, "2015-06-01;2015-08-31", &mo, true},
		{DateIntervalFilter, "2015-06-02;2015-08-31", &mt, false},
		{DateIntervalFilter, "2015-05-01;2015-05-31", &mt, false},
		{DateIntervalFilter, "2015-06-01;2015-06-01", &mt, true},
		{TimeIntervalFilter, "08:00:00;18:00:00", &mt, true}, // borders included
		{TimeIntervalFilter, "07:00:00;08:00:00", &mt, true},
		{TimeIntervalFilter, "08:00:01;18:00:00", &mt, false},
		{TimeIntervalFilter, "22:00:00;23:59:59", &mo, false}, // half a second after
		{TimeIntervalFilter, "22:00:00;06:00:00", &mo, true},  // over midnight
		{TimeIntervalFilter, "22:00:00;06:00:00", &night, true},
		{TimeIntervalFilter, "22:00:00;02:00:00", &night, true},
		{TimeIntervalFilter, "22:00:00;06:00:00", &mt, false},
		{TagFilter, "702", &mt, true},
		{TagFilter, "vip", &mt, true},
		{TagFilter, "70", &mt, false},
		{TagFilter, "702", &mo, false},
	} {
		f := filter(t, tt.typ, tt.value)
		if got := f.Match(tt.m); got != tt.want {
			t.Errorf("%s %s on %+v: got %v", tt.typ, tt.value, *tt.m, got)
		}
		if f.Value() != tt.value || f.Type() != tt.typ || f.FID() != "f" {
			t.Errorf("%s %s reads back as %s %s %s", tt.typ, tt.value, f.FID(), f.Type(), f.Value())
		}
		if n := testing.AllocsPerRun(10, func() { f.Match(tt.m) }); n != 0 && !raceDetector {
			t.Errorf("%s: %v allocations", tt.typ, n)
		}
	}
}

// The clock is that of the message's location: 08:00 there is 05:00 UTC.
func TestIntervalsReadTheLocalClock(t *testing.T) {
	m := Message{Time: at("2015-06-01 01:00:00").UTC()} // 2015-05-31 22:00 UTC
	if !filter(t, TimeIntervalFilter, "22:00:00;22:30:00").Match(&m) || filter(t, DateIntervalFilter, "2015-06-01;2015-06-30").Match(&m) {
		t.Error("the time was not read in UTC")
	}
	m.Time = at("2015-06-01 01:00:00")
	if !filter(t, TimeIntervalFilter, "01:00:00;01:30:00").Match(&m) || !filter(t, DateIntervalFilter, "2015-06-01;2015-06-30").Match(&m) {
		t.Error("the time was not read in its own location")
	}
}

func TestUsedFor(t *testing.T) {
	want := map[string]string{
		"TransparentFilter": "MO MT", "ConnectorFilter": "MO", "UserFilter": "MT", "GroupFilter": "MT", "SourceAddrFilter": "MO MT",
		"DestinationAddrFilter": "MO MT", "ShortMessageFilter": "MO MT", "DateIntervalFilter": "MO MT", "TimeIntervalFilter": "MO MT", "TagFilter": "MO MT",
		"EvalPyFilter": "MO MT",
	}
	for _, typ := range FilterTypes() {
		if got := typ.UsedFor().String(); got != want[typ.String()] {
			t.Errorf("%s: got %s, want %s", typ, got, want[typ.String()])
		}
		delete(want, typ.String())
		if got, err := ParseFilterType(strings.ToLower(typ.String())); err != nil || got != typ {
			t.Errorf("%s in lower case: %v, %v", typ, got, err)
		}
	}
	if len(want) != 0 {
		t.Errorf("missing: %v", want)
	}
}

func TestNewFilterRefuses(t *testing.T) {
	for _, tt := range []struct {
		fid   string
		typ   FilterType
		value string
		want  string // in the error
	}{
		{"", TransparentFilter, "", `fid: invalid value ""`},
		{"12345678901234567", TransparentFilter, "", `"12345678901234567"`},
		{"a b", TransparentFilter, "", `"a b"`},
		{"a;b", TransparentFilter, "", `"a;b"`},
		{"é", TransparentFilter, "", `"é"`},
		{"f", 0, "", "FilterType(0)"},
		{"f", 99, "", "FilterType(99)"},
		{"f", TransparentFilter, "x", "TransparentFilter has no parameter"},
		{"f", ConnectorFilter, "ab", `cid: invalid value "ab"`},
		{"f", UserFilter, "", `uid: invalid value ""`},
		{"f", GroupFilter, "a b", `gid: invalid value "a b"`},
		{"f", SourceAddrFilter, "(", `source_addr: regular expression "("`},
		{"f", DestinationAddrFilter, "[", `destination_addr: regular expression "["`},
		{"f", ShortMessageFilter, "a*+", `short_message: regular expression "a*+"`},
		{"f", DateIntervalFilter, "2014-09-18", `dateInterval: invalid value "2014-09-18", must be YYYY-MM-DD;YYYY-MM-DD`},
		{"f", DateIntervalFilter, "2014-09-31;2014-10-01", "2014-09-31"},
		{"f", DateIntervalFilter, "2014-09-02;2014-09-01", "the right border must not be before the left one"},
		{"f", DateIntervalFilter, "2014-09-01;2014-09-02;2014-09-03", "invalid value"},
		{"f", TimeIntervalFilter, "8:00:00;18:00:00", `timeInterval: invalid value "8:00:00;18:00:00", must be HH:MM:SS;HH:MM:SS`},
		{"f", TimeIntervalFilter, "08:00:00;24:00:00", "invalid value"},
		{"f", TimeIntervalFilter, "08:00:00.5;18:00:00", "invalid value"},
		{"f", TimeIntervalFilter, "08:00:00;08:00:00", "the two borders must differ"},
		{"f", TagFilter, "", `tag: invalid value ""`},
		{"f", TagFilter, "a,b", `tag: invalid value "a,b"`},
	} {
		f, err := NewFilter(tt.fid, tt.typ, tt.value)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q %s %q: got %+v, %v, want an error with %s", tt.fid, tt.typ, tt.value, f, err, tt.want)
		}
	}
	if _, err := ParseFilterType("EvalFilter"); err == nil || !strings.Contains(err.Error(), `"EvalFilter"`) || !strings.Contains(err.Error(), "TagFilter") {
		t.Errorf("unknown type: %v", err)
	}
}

func FuzzNewFilter(f *testing.F) {
	f.Add(uint8(0), "", "x")
	f.Add(uint8(4), `^20\d+`, "2012")
	f.Add(uint8(7), "2015-06-01;2015-08-31", "")
	f.Add(uint8(8), "22:00:00;06:00:00", "")
	f.Add(uint8(9), "702", "702")
	f.Fuzz(func(t *testing.T, typ uint8, value, text string) {
		flt, err := NewFilter("f", FilterType(typ%11), value)
		if err != nil {
			return
		}
		m := Message{Source: text, Destination: text, Content: text, User: "u", Group: "g", Tags: []string{text}, Time: at("2015-06-01 08:00:00")}
		same, err := NewFilter(flt.FID(), flt.Type(), flt.Value())
		if err != nil || same.Match(&m) != flt.Match(&m) {
			t.Fatalf("%s %q does not read back: %v", flt.Type(), value, err)
		}
	})
}
