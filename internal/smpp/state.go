package smpp

import "jasmind/internal/smpp/pdu"

// State is where a session stands (SMPP v3.4 §2.2).
type State uint8

// The states of a session. Unbinding is between an unbind and its response.
const (
	Open State = iota
	BoundTX
	BoundRX
	BoundTRX
	Unbinding
	Closed
)

// String is the specification's name.
func (s State) String() string {
	switch s {
	case Open:
		return "OPEN"
	case BoundTX:
		return "BOUND_TX"
	case BoundRX:
		return "BOUND_RX"
	case BoundTRX:
		return "BOUND_TRX"
	case Unbinding:
		return "UNBINDING"
	}
	return "CLOSED"
}

// Bound reports whether the state is one of the three bound ones.
func (s State) Bound() bool { return s == BoundTX || s == BoundRX || s == BoundTRX }

// boundState is the state that a bind leads to.
func boundState(t pdu.BindType) State {
	switch t {
	case pdu.Transmitter:
		return BoundTX
	case pdu.Receiver:
		return BoundRX
	}
	return BoundTRX
}

// verdict is what to do with a request, by its operation, its sender and the bind state.
type verdict uint8

const (
	allowed    verdict = iota
	wrongState         // ESME_RINVBNDSTS
	wrongSide          // not an operation of this sender: ESME_RINVCMDID
)

// judge applies the table of SMPP v3.4 §2.3 to a request that sender issues.
func judge(id pdu.CommandID, sender Role, st State) verdict {
	switch id {
	case pdu.CmdEnquireLink:
		return allowed
	case pdu.CmdUnbind:
		if !st.Bound() {
			return wrongState
		}
		return allowed
	case pdu.CmdSubmitSM, pdu.CmdSubmitMulti, pdu.CmdQuerySM, pdu.CmdCancelSM, pdu.CmdReplaceSM:
		if sender != ESME {
			return wrongSide
		}
	case pdu.CmdDeliverSM, pdu.CmdAlertNotification:
		if sender != SMSC {
			return wrongSide
		}
	case pdu.CmdDataSM:
	case pdu.CmdOutbind:
		switch {
		case sender != SMSC:
			return wrongSide
		case st != Open:
			return wrongState
		}
		return allowed
	default:
		return wrongSide
	}
	if sender == ESME && (st == BoundTX || st == BoundTRX) || sender == SMSC && (st == BoundRX || st == BoundTRX) {
		return allowed
	}
	return wrongState
}
