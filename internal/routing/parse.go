package routing

import (
	"fmt"
	"strconv"
	"strings"

	"jasmind/internal/billing"
	"jasmind/internal/smpp/pdu"
)

// ParseWeights reads the weights of a route, one for each connector.
func ParseWeights(values []string) ([]int, error) {
	out := make([]int, 0, len(values))
	for _, v := range values {
		n, err := strconv.Atoi(strings.TrimSpace(v))
		if err != nil || n < 1 || n > MaxWeight {
			return nil, fmt.Errorf("invalid value %q, must be a whole number from 1 to %d", v, MaxWeight)
		}
		out = append(out, n)
	}
	return out, nil
}

// ParseRates reads the rates of a route, one for each connector.
func ParseRates(values []string) ([]billing.Amount, error) {
	out := make([]billing.Amount, 0, len(values))
	for _, v := range values {
		a, err := billing.Parse(strings.TrimSpace(v))
		if err != nil {
			return nil, err
		}
		if a < 0 {
			return nil, fmt.Errorf("invalid value %q, must not be negative", v)
		}
		out = append(out, a)
	}
	return out, nil
}

// ParseStatuses reads statuses on which a message moves to the next connector: names such as
// ESME_RSYSERR, in any case and with or without ESME_, or numbers. One that is there twice
// counts once.
func ParseStatuses(values []string) ([]pdu.Status, error) {
	out := make([]pdu.Status, 0, len(values))
	seen := map[pdu.Status]bool{}
	for _, v := range values {
		s, ok := pdu.ParseStatus(strings.TrimSpace(v))
		if !ok || s == pdu.StatusOK {
			return nil, fmt.Errorf("invalid value %q, must be the name of an error such as ESME_RSYSERR, or its number", v)
		}
		if !seen[s] {
			out = append(out, s)
		}
		seen[s] = true
	}
	if len(out) > maxFailoverOn {
		return nil, fmt.Errorf("%d statuses, must be %d at most", len(out), maxFailoverOn)
	}
	return out, nil
}

// FormatWeights spells weights as ParseWeights reads them.
func FormatWeights(weights []int) []string { return format(weights, strconv.Itoa) }

// FormatRates spells rates with the digits they need.
func FormatRates(rates []billing.Amount) []string { return format(rates, billing.Amount.String) }

// FormatStatuses spells statuses by their names.
func FormatStatuses(statuses []pdu.Status) []string { return format(statuses, pdu.Status.String) }

func format[T any](values []T, text func(T) string) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = text(v)
	}
	return out
}
