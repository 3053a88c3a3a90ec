package smpp

import (
	"net"
	"strings"
	"testing"

	"jasmind/internal/smpp/pdu"
)

// TestStateTable holds the table of SMPP v3.4 §2.3: for each operation, the states in which
// each side may issue it.
func TestStateTable(t *testing.T) {
	states := []State{Open, BoundTX, BoundRX, BoundTRX, Unbinding, Closed}
	for _, tc := range []struct {
		id         pdu.CommandID
		esme, smsc string // states by name, "-" where it is not an operation of that side
	}{
		{pdu.CmdSubmitSM, "BOUND_TX BOUND_TRX", "-"},
		{pdu.CmdSubmitMulti, "BOUND_TX BOUND_TRX", "-"},
		{pdu.CmdQuerySM, "BOUND_TX BOUND_TRX", "-"},
		{pdu.CmdCancelSM, "BOUND_TX BOUND_TRX", "-"},
		{pdu.CmdReplaceSM, "BOUND_TX BOUND_TRX", "-"},
		{pdu.CmdDataSM, "BOUND_TX BOUND_TRX", "BOUND_RX BOUND_TRX"},
		{pdu.CmdDeliverSM, "-", "BOUND_RX BOUND_TRX"},
		{pdu.CmdAlertNotification, "-", "BOUND_RX BOUND_TRX"},
		{pdu.CmdOutbind, "-", "OPEN"},
		{pdu.CmdUnbind, "BOUND_TX BOUND_RX BOUND_TRX", "BOUND_TX BOUND_RX BOUND_TRX"},
		{pdu.CmdEnquireLink, "OPEN BOUND_TX BOUND_RX BOUND_TRX UNBINDING CLOSED", "OPEN BOUND_TX BOUND_RX BOUND_TRX UNBINDING CLOSED"},
		{pdu.CmdBroadcastSM, "-", "-"},
	} {
		for role, want := range map[Role]string{ESME: tc.esme, SMSC: tc.smsc} {
			var got []string
			for _, st := range states {
				switch judge(tc.id, role, st) {
				case allowed:
					got = append(got, st.String())
				case wrongSide:
					got = []string{"-"}
				}
			}
			if s := strings.Join(got, " "); s != want {
				t.Errorf("%s by %s: got %q, want %q", tc.id, role, s, want)
			}
		}
	}
}

func TestSequenceNumbersInFlightAreSkipped(t *testing.T) {
	conn, other := net.Pipe()
	defer other.Close()
	s := NewSession(conn, ESME, Config{})
	defer s.Close(nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, seq := range []uint32{maxSequence, 1, 2, 4} {
		s.pending[seq] = &call{seq: seq}
	}
	s.seq = maxSequence
	for _, want := range []uint32{3, 5} {
		got := s.nextLocked()
		if got != want {
			t.Errorf("got %d, want %d", got, want)
		}
		s.seq = following(got)
	}
	clear(s.pending)
}
