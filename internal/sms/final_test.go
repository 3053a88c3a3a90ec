package sms

import (
	"slices"
	"testing"

	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smpp/receipt"
)

// The names and numbers are those of package receipt, and so is which states are final.
func TestStatesAreThoseOfReceipts(t *testing.T) {
	for n := pdu.StateScheduled; n <= pdu.StateSkipped; n++ {
		s := StateOf(n)
		if s.Number() != n || s.Final() != receipt.IsFinal(n) {
			t.Errorf("%s: number %d, final %t; want %d, %t", s, s.Number(), s.Final(), n, receipt.IsFinal(n))
		}
	}
	for _, s := range []State{"", "ESME_ROK", "nonsense"} {
		if s.Number() != pdu.StateUnknown || s.Final() || s.Failed() || s.Intermediate() {
			t.Errorf("%q is a state", s)
		}
	}
	if StateOf(77) != StateUnknown {
		t.Errorf("an undefined number: %s", StateOf(77))
	}
}

func TestWorstStateIsThatOfTheMessage(t *testing.T) {
	order := []State{StateUnknown, StateDelivered, StateSkipped, StateDeleted, StateExpired, StateRejected, StateUndeliverable}
	for i, s := range order {
		for j, u := range order {
			if got := s.Compare(u); (got > 0) != (i > j) || (got < 0) != (i < j) {
				t.Errorf("%s and %s: got %d", s, u, got)
			}
		}
	}
	if got := slices.MaxFunc([]State{StateDelivered, StateExpired, StateDelivered}, State.Compare); got != StateExpired {
		t.Errorf("got %s", got)
	}
}

func TestWhatStatesMean(t *testing.T) {
	var failed, intermediate []State
	for n := pdu.StateScheduled; n <= pdu.StateSkipped; n++ {
		s := StateOf(n)
		if s.Failed() {
			failed = append(failed, s)
		}
		if s.Intermediate() {
			intermediate = append(intermediate, s)
		}
	}
	if want := []State{StateExpired, StateDeleted, StateUndeliverable, StateRejected}; !slices.Equal(failed, want) {
		t.Errorf("failed: got %s, want %s", failed, want)
	}
	if want := []State{StateScheduled, StateEnroute}; !slices.Equal(intermediate, want) {
		t.Errorf("intermediate: got %s, want %s", intermediate, want)
	}
}
