// Package billing holds the money of the gateway: exact amounts, what a message costs its
// sender and when he pays it, and what a ledger of balances does. Configuration snapshots
// never carry balances.
//
// Money is fixed-point, never a float:
//
//	rate, err := billing.Parse("0.35")
//	fmt.Println(rate) // 0.35
package billing

import (
	"errors"
	"fmt"
	"math/bits"
	"strings"
)

// Amount is a sum of money in millionths of the operator's unit. Zero is nothing.
type Amount int64

// Unit is one whole unit of money.
const Unit Amount = 1_000_000

const decimals = 6

// Parse errors, wrapped with the text at fault.
var (
	ErrSyntax    = errors.New("not a decimal number")
	ErrRange     = errors.New("number out of range")
	ErrPrecision = errors.New("more than 6 decimals")
)

// Parse reads a decimal number: an optional sign, digits, an optional fraction of up to
// six decimals (further zeros are allowed). It is exact: what it returns is the number
// written, or an error that wraps ErrSyntax, ErrPrecision or ErrRange. Exponents, infinities
// and white space are refused.
func Parse(s string) (Amount, error) {
	fail := func(err error) (Amount, error) { return 0, fmt.Errorf("amount %q: %w", s, err) }
	rest, negative := s, false
	if rest != "" && (rest[0] == '+' || rest[0] == '-') {
		negative = rest[0] == '-'
		rest = rest[1:]
	}
	whole, fraction, _ := strings.Cut(rest, ".")
	if whole == "" && fraction == "" {
		return fail(ErrSyntax)
	}
	for _, part := range [2]string{whole, fraction} {
		for i := range len(part) {
			if part[i] < '0' || part[i] > '9' {
				return fail(ErrSyntax)
			}
		}
	}
	fraction = strings.TrimRight(fraction, "0")
	if len(fraction) > decimals {
		return fail(ErrPrecision)
	}
	var v uint64
	digit := func(c byte) bool {
		high, low := bits.Mul64(v, 10)
		sum, carry := bits.Add64(low, uint64(c-'0'), 0)
		v = sum
		return high == 0 && carry == 0
	}
	for i := range len(whole) {
		if !digit(whole[i]) {
			return fail(ErrRange)
		}
	}
	for i := range decimals {
		c := byte('0')
		if i < len(fraction) {
			c = fraction[i]
		}
		if !digit(c) {
			return fail(ErrRange)
		}
	}
	const most = 1<<63 - 1
	switch {
	case !negative && v > most, v > most+1:
		return fail(ErrRange)
	case negative:
		return Amount(-v), nil //nolint:gosec // two's complement, -(1<<63) included
	}
	return Amount(v), nil
}

// String prints the exact amount with as few decimals as it needs, such as 44.2, -0.000001 or 0.
func (a Amount) String() string {
	s := a.Fixed(decimals)
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}

// Fixed prints the amount with n decimals, 0 to 6; what does not fit is rounded, halves
// away from zero.
func (a Amount) Fixed(n int) string {
	n = max(0, min(n, decimals))
	v := uint64(a)
	if a < 0 {
		v = -v
	}
	step := uint64(1)
	for range decimals - n {
		step *= 10
	}
	v = (v + step/2) / step
	digits := fmt.Sprintf("%0*d", n+1, v)
	if n > 0 {
		digits = digits[:len(digits)-n] + "." + digits[len(digits)-n:]
	}
	if a < 0 && v != 0 {
		digits = "-" + digits
	}
	return digits
}

// Add gives the sum; ok is false if it does not fit.
func (a Amount) Add(b Amount) (sum Amount, ok bool) {
	sum = a + b
	return sum, (sum > a) == (b > 0)
}

// Times gives n times the amount; ok is false if it does not fit.
func (a Amount) Times(n int) (product Amount, ok bool) {
	product = a * Amount(n)
	if a == 0 || n == 0 {
		return 0, true
	}
	if n == -1 && a == -1<<63 || a == -1 && int64(n) == -1<<63 {
		return 0, false
	}
	return product, product/Amount(n) == a
}
