package sms

import (
	"strings"
	"testing"
)

func TestKeysOfLongMOs(t *testing.T) {
	for want, k := range map[string]LongKey{
		"smsc1:336123:85111:7:3":   {"smsc1", "336123", "85111", 7, 3},
		"smsc1:a%3Ab:c:65535:255":  {"smsc1", "a:b", "c", 65535, 255},
		"smsc1:a:b%3Ac:65535:255":  {"smsc1", "a", "b:c", 65535, 255},
		"smsc1:%2525:%253A%3A:0:2": {"smsc1", "%25", "%3A:", 0, 2},
		"smsc1::\x00\xff\n:0:2":    {"smsc1", "", "\x00\xff\n", 0, 2},
	} {
		if got := k.String(); got != want {
			t.Errorf("%+v: got %q, want %q", k, got, want)
		}
		if got, err := ParseLongKey(want); err != nil || got != k {
			t.Errorf("%q: got %+v, %v; want %+v", want, got, err, k)
		}
	}
	for _, bad := range []string{"", "a:b:c:1", "a:b:c:1:2:3", "a:b:c:65536:2", "a:b:c:-1:2", "a:b:c:1:256", "a:b:c:1:x"} {
		if k, err := ParseLongKey(bad); err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("%q: got %+v, %v", bad, k, err)
		}
	}
}

func FuzzParseLongKey(f *testing.F) {
	f.Add("smsc1:a%3Ab:c:65535:255")
	f.Fuzz(func(t *testing.T, s string) {
		k, err := ParseLongKey(s)
		if err != nil {
			return
		}
		if again, err := ParseLongKey(k.String()); err != nil || again != k {
			t.Fatalf("%q became %+v, then %+v, %v", s, k, again, err)
		}
	})
}
