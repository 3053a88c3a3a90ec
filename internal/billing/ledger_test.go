package billing

import (
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

func TestSplit(t *testing.T) {
	for _, tt := range []struct{ price, percent, early, rest string }{
		{"1.2", "25", "0.3", "0.9"}, {"0.2", "25", "0.05", "0.15"}, {"1", "100", "1", "0"}, {"1", "33.333333", "0.333333", "0.666667"},
		{"0.000001", "99", "0", "0.000001"}, {"0.000003", "50", "0.000001", "0.000002"}, {"0", "50", "0", "0"}, {"2", "0", "0", "2"},
		{"9223372036854.775807", "100", "9223372036854.775807", "0"}, {"1", "250", "1", "0"}, {"-1", "50", "0", "0"},
	} {
		price, _ := Parse(tt.price)
		percent, _ := Parse(tt.percent)
		if early, rest := Split(price, percent); early.String() != tt.early || rest.String() != tt.rest {
			t.Errorf("%s%% of %s: got %s and %s, want %s and %s", tt.percent, tt.price, early, rest, tt.early, tt.rest)
		}
	}
}

// The two parts are the price, and the early one is percent of it but for less than a millionth.
func TestSplitIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		price := Amount(rapid.Int64Range(0, 1<<63-1).Draw(t, "price"))
		percent := Amount(rapid.Int64Range(0, int64(100*Unit)).Draw(t, "percent"))
		early, rest := Split(price, percent)
		if sum, ok := early.Add(rest); !ok || sum != price || early < 0 || rest < 0 {
			t.Fatalf("%d and %d", early, rest)
		}
		want := new(big.Int).Mul(big.NewInt(int64(price)), big.NewInt(int64(percent)))
		want.Div(want, big.NewInt(int64(100*Unit)))
		if want.Int64() != int64(early) {
			t.Fatalf("early %d, want %s", early, want)
		}
	})
}
