package sms

import (
	"errors"
	"fmt"
	"slices"
	"testing"
)

func TestNormalID(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "0": "0", "000": "0", "00ab": "AB", "12": "12", "a0b0": "A0B0", "1f-é": "1F-é",
	} {
		if got := NormalID(in); got != want {
			t.Errorf("NormalID(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestCandidates(t *testing.T) {
	tests := []struct {
		name   string
		coding IDCoding
		ids    []string
		want   []string
	}{
		{"identical ids are normalised only", IDSame, []string{"00abc"}, []string{"ABC"}},
		{"decimal receipt of a hexadecimal response", IDHexResp, []string{"2567"}, []string{"A07"}},
		{"64-bit decimal receipt", IDHexResp, []string{"18446744073709551615"}, []string{"FFFFFFFFFFFFFFFF"}},
		{"hexadecimal receipt of a decimal response", IDDecResp, []string{"0A07"}, []string{"2567"}},
		{"hexadecimal receipt with a prefix", IDDecResp, []string{"0xA07"}, []string{"2567"}},
		{"no number stays as it is", IDHexResp, []string{"c0ffee-1"}, []string{"C0FFEE-1"}},
		{"automatic tries the id itself first", IDAutomatic, []string{"10"}, []string{"10", "A", "16"}},
		{"automatic with a uuid has one form", IDAutomatic, []string{"e7c1-x"}, []string{"E7C1-X"}},
		{"TLV and text that differ", IDSame, []string{"1", "2", "01"}, []string{"1", "2"}},
		{"empty ids vanish", IDSame, []string{"", " "}, []string{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Candidates(tt.coding, tt.ids...); !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestReport(t *testing.T) {
	for level, want := range map[int]Report{0: 0, 1: ReportSubmit, 2: ReportFinal, 3: ReportSubmit | ReportFinal, 4: 0, -1: 0} {
		if got := ReportOf(level); got != want {
			t.Errorf("ReportOf(%d) = %d, want %d", level, got, want)
		}
		if want != 0 && want.Level() != level {
			t.Errorf("level of %d = %d, want %d", want, want.Level(), level)
		}
	}
}

func TestReasonsHaveNames(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range Reasons() {
		if s := r.String(); s == "unknown" || s == "" || seen[s] {
			t.Errorf("reason %d has the name %q", r, s)
		} else {
			seen[s] = true
		}
	}
	if got := Reason(200).String(); got != "unknown" {
		t.Errorf("Reason(200) = %q", got)
	}
}

func TestReasonOf(t *testing.T) {
	cause := errors.New("cause")
	err := fmt.Errorf("send: %w", &Error{Reason: ReasonNoRoute, Err: cause})
	if got := ReasonOf(err); got != ReasonNoRoute {
		t.Errorf("ReasonOf = %v", got)
	}
	if !errors.Is(err, cause) {
		t.Error("the cause is lost")
	}
	if got := ReasonOf(cause); got != ReasonInternal {
		t.Errorf("ReasonOf of a plain error = %v", got)
	}
}

func FuzzCandidates(f *testing.F) {
	f.Add("auto", "00ff", "255")
	f.Fuzz(func(t *testing.T, coding, a, b string) {
		for _, c := range Candidates(IDCoding(coding), a, b) {
			if c == "" || NormalID(c) != c {
				t.Fatalf("candidate %q of %q, %q is not normal", c, a, b)
			}
		}
	})
}
