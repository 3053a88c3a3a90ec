package sms

import (
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smpp/receipt"
)

// State is what became of a message, by the name that it has in the text of receipts (SMPP v3.4 Appendix B). Other
// spellings of vendors are package receipt's concern; "" and what is no state is as StateUnknown.
type State string

// The states.
const (
	StateScheduled     State = "SCHEDLD"
	StateEnroute       State = "ENROUTE"
	StateDelivered     State = "DELIVRD"
	StateExpired       State = "EXPIRED"
	StateDeleted       State = "DELETED"
	StateUndeliverable State = "UNDELIV"
	StateAccepted      State = "ACCEPTD"
	StateUnknown       State = "UNKNOWN"
	StateRejected      State = "REJECTD"
	StateSkipped       State = "SKIPPED"
)

// StateOf is the state of a message_state (§5.2.28).
func StateOf(n pdu.MessageState) State { return State(receipt.StateText(n)) }

// Number is the message_state.
func (s State) Number() pdu.MessageState {
	n, _ := receipt.ParseState(string(s))
	return n
}

// rank orders the final states: the highest is that of a whole message whose parts ended differently. States that are not
// here are intermediate: also ACCEPTD and UNKNOWN, after which SMSCs send others.
var rank = map[State]int{
	StateDelivered: 1, StateSkipped: 2, StateDeleted: 3, StateExpired: 4, StateRejected: 5, StateUndeliverable: 6,
}

// Final tells whether the state is the last one.
func (s State) Final() bool { return rank[s] > 0 }

// Compare is negative if t is worse than s, positive if s is worse than t. Every final state is worse than those that are not.
func (s State) Compare(t State) int { return rank[s] - rank[t] }

// Failed tells whether the message surely did not reach its recipient.
func (s State) Failed() bool { return s.Final() && s != StateDelivered && s != StateSkipped }

// Intermediate tells whether only who asked for intermediate notifications hears of the state (SMPP v3.4 §5.2.17). ACCEPTD
// and UNKNOWN, which the specification counts as final, are not among them.
func (s State) Intermediate() bool { return s == StateEnroute || s == StateScheduled }
