package billing

import (
	"errors"
	"math/big"
	"testing"
)

func TestParseAndString(t *testing.T) {
	for _, tt := range []struct {
		in, out string
		want    Amount
	}{
		{"0", "0", 0},
		{"-0", "0", 0},
		{"0.0", "0", 0},
		{"1", "1", 1_000_000},
		{"44.2", "44.2", 44_200_000},
		{"+10", "10", 10_000_000},
		{"-22.4", "-22.4", -22_400_000},
		{"0.35", "0.35", 350_000},
		{".5", "0.5", 500_000},
		{"5.", "5", 5_000_000},
		{"0.000001", "0.000001", 1},
		{"-0.000001", "-0.000001", -1},
		{"007.50000000000", "7.5", 7_500_000},
		{"9223372036854.775807", "9223372036854.775807", 1<<63 - 1},
		{"-9223372036854.775808", "-9223372036854.775808", -1 << 63},
	} {
		got, err := Parse(tt.in)
		if err != nil || got != tt.want || got.String() != tt.out {
			t.Errorf("%q: got %d %q %v, want %d %q", tt.in, got, got, err, tt.want, tt.out)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for in, want := range map[string]error{
		"": ErrSyntax, ".": ErrSyntax, "-": ErrSyntax, "+.": ErrSyntax, "abc": ErrSyntax, "1e3": ErrSyntax, " 1": ErrSyntax,
		"1 ": ErrSyntax, "1,5": ErrSyntax, "--1": ErrSyntax, "1.2.3": ErrSyntax, "inf": ErrSyntax, "0x10": ErrSyntax, "١": ErrSyntax,
		"0.0000001": ErrPrecision, "9223372036854.775808": ErrRange, "-9223372036854.775809": ErrRange,
		"18446744073709.551616": ErrRange, "99999999999999999999999999": ErrRange,
	} {
		if v, err := Parse(in); !errors.Is(err, want) {
			t.Errorf("%q: got %v %v, want %v", in, v, err, want)
		}
	}
}

func TestFixedRoundsHalvesAwayFromZero(t *testing.T) {
	for _, tt := range []struct {
		a    Amount
		n    int
		want string
	}{
		{350_000, 2, "0.35"}, {345_000, 2, "0.35"}, {344_999, 2, "0.34"}, {-345_000, 2, "-0.35"},
		{999_999, 0, "1"}, {0, 5, "0.00000"}, {-1, 2, "0.00"}, {1, 6, "0.000001"}, {1_000_000, 9, "1.000000"},
		{1<<63 - 1, 0, "9223372036855"}, {-1 << 63, 6, "-9223372036854.775808"}, {12_500_000, -1, "13"},
	} {
		if got := tt.a.Fixed(tt.n); got != tt.want {
			t.Errorf("%d with %d decimals: got %s, want %s", tt.a, tt.n, got, tt.want)
		}
	}
}

func TestAddAndTimesDetectOverflow(t *testing.T) {
	edge := []Amount{0, 1, -1, 350_000, 1<<62 + 3, -1<<62 - 3, 1<<63 - 1, -1 << 63, -1<<63 + 1}
	for _, a := range edge {
		for _, b := range edge {
			x := new(big.Int).Add(big.NewInt(int64(a)), big.NewInt(int64(b)))
			if got, ok := a.Add(b); ok != x.IsInt64() || ok && int64(got) != x.Int64() {
				t.Errorf("%d + %d: got %d %v, want %s", a, b, got, ok, x)
			}
			x.Mul(big.NewInt(int64(a)), big.NewInt(int64(b)))
			if got, ok := a.Times(int(b)); ok != x.IsInt64() || ok && int64(got) != x.Int64() {
				t.Errorf("%d * %d: got %d %v, want %s", a, b, got, ok, x)
			}
		}
	}
}

// An amount that Parse takes is the number written, to the last digit, and prints back to itself.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"0", "-22.4", "+10", ".5", "0.000001", "9223372036854.775807", "-9223372036854.775808", "1e3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := Parse(s)
		if err != nil {
			return
		}
		written, ok := new(big.Rat).SetString(s)
		if !ok {
			t.Fatalf("%q is no number, got %d", s, a)
		}
		if got := big.NewRat(int64(a), int64(Unit)); got.Cmp(written) != 0 {
			t.Fatalf("%q: got %s", s, got)
		}
		if b, err := Parse(a.String()); err != nil || a != b {
			t.Fatalf("%q prints as %q, which reads as %d, %v", s, a, b, err)
		}
	})
}
