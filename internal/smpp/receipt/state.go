package receipt

import (
	"strings"

	"jasmind/internal/smpp/pdu"
)

// StateText is the 7-letter name of a state in the text of a receipt (SMPP v3.4
// Appendix B; ENROUTE, SKIPPED and SCHEDLD for the others). Undefined numbers are UNKNOWN.
func StateText(s pdu.MessageState) string {
	switch s {
	case pdu.StateScheduled:
		return "SCHEDLD"
	case pdu.StateEnroute:
		return "ENROUTE"
	case pdu.StateDelivered:
		return "DELIVRD"
	case pdu.StateExpired:
		return "EXPIRED"
	case pdu.StateDeleted:
		return "DELETED"
	case pdu.StateUndeliverable:
		return "UNDELIV"
	case pdu.StateAccepted:
		return "ACCEPTD"
	case pdu.StateRejected:
		return "REJECTD"
	case pdu.StateSkipped:
		return "SKIPPED"
	}
	return "UNKNOWN"
}

// stateStarts are the first letters that tell the states apart, however a
// vendor goes on: DELIVRD, DELIVERD, DELIVERED; EXPIRD; UNDELI, UNDELIVERED.
var stateStarts = [...]struct {
	start string
	state pdu.MessageState
}{
	{"DELIV", pdu.StateDelivered},
	{"DLVRD", pdu.StateDelivered},
	{"EXPIR", pdu.StateExpired},
	{"DELET", pdu.StateDeleted},
	{"UNDEL", pdu.StateUndeliverable},
	{"ACCEP", pdu.StateAccepted},
	{"UNKNO", pdu.StateUnknown},
	{"REJEC", pdu.StateRejected},
	{"ENROU", pdu.StateEnroute},
	{"SKIPP", pdu.StateSkipped},
	{"SCHED", pdu.StateScheduled},
	{"FAILED", pdu.StateUndeliverable}, // vendors without UNDELIV
	{"BUFFRED", pdu.StateEnroute},      // waits in the SMSC for its next try
	{"BUFFERED", pdu.StateEnroute},
}

// ParseState reads a state as vendors write it, in any case; false if it is none.
func ParseState(s string) (pdu.MessageState, bool) {
	for i := range stateStarts {
		if n := len(stateStarts[i].start); len(s) >= n && strings.EqualFold(s[:n], stateStarts[i].start) {
			return stateStarts[i].state, true
		}
	}
	return pdu.StateUnknown, false
}

// IsFinal reports whether a message can leave the state no more (see Receipt.Final).
func IsFinal(s pdu.MessageState) bool {
	switch s {
	case pdu.StateDelivered, pdu.StateExpired, pdu.StateDeleted, pdu.StateUndeliverable,
		pdu.StateRejected, pdu.StateSkipped:
		return true
	}
	return false
}
