package connector

import (
	"sync/atomic"
	"time"

	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
)

// Moment is a point in time that may not have come yet. It is safe for concurrent use.
type Moment struct{ ns atomic.Int64 }

// Time is the moment, zero if it has not come.
func (m *Moment) Time() time.Time {
	if ns := m.ns.Load(); ns != 0 {
		return time.Unix(0, ns)
	}
	return time.Time{}
}

func (m *Moment) set(t time.Time) { m.ns.Store(t.UnixNano()) }

// Stats counts what one connector did. It outlives the Connector, which is made anew at
// each start: the owner keeps one for each cid. Fields may be read at any time. The
// names are those of the console's stats command and of the smppc_* metrics.
type Stats struct {
	CreatedAt Moment // created_at, set by the owner through NewStats

	LastReceivedPDUAt   Moment // last_received_pdu_at
	LastSentPDUAt       Moment // last_sent_pdu_at
	LastReceivedElinkAt Moment // last_received_elink_at
	LastSentElinkAt     Moment // last_sent_elink_at
	LastSeqNumAt        Moment // last_seqNum_at
	LastSeqNum          atomic.Uint32

	ConnectedAt    Moment // connected_at
	BoundAt        Moment // bound_at
	DisconnectedAt Moment // disconnected_at

	ConnectedCount    atomic.Int64 // connected_count
	BoundCount        atomic.Int64 // bound_count: binds that succeeded
	DisconnectedCount atomic.Int64 // disconnected_count

	SubmitSMRequestCount  atomic.Int64 // submit_sm sent
	SubmitSMCount         atomic.Int64 // submit_sm answered with ESME_ROK
	ThrottlingErrorCount  atomic.Int64 // answered with ESME_RTHROTTLED
	OtherSubmitErrorCount atomic.Int64 // answered with another error
	ElinkCount            atomic.Int64 // enquire_link sent
	DeliverSMCount        atomic.Int64 // deliver_sm received
	DataSMCount           atomic.Int64 // data_sm received
	InterceptorCount      atomic.Int64 // MO that an interceptor let through; counted by the MO flow
	InterceptorErrorCount atomic.Int64 // MO whose interceptor failed; counted by the MO flow

	// Beyond the documentation.
	UnansweredCount    atomic.Int64 // submit_sm whose response did not come: each may become a duplicate
	RedeliveredCount   atomic.Int64 // messages that came from their queue again and were sent again
	SettledBeforeCount atomic.Int64 // messages that came from their queue again and were found settled
	ExpiredCount       atomic.Int64 // messages dropped because their validity had ended
	ReceiptCount       atomic.Int64 // receipts that were queued
	MovedCount         atomic.Int64 // messages that moved to another connector of a failover route

	Quality Quality // of the last hour, for routes by quality
}

// NewStats gives the counters of a connector that was created now.
func NewStats() *Stats {
	s := &Stats{}
	s.CreatedAt.set(time.Now())
	return s
}

// trace feeds the counters from a session.
func (s *Stats) trace(dir smpp.Direction, h pdu.Header, _ pdu.PDU) {
	now := time.Now()
	if dir == smpp.Out {
		s.LastSentPDUAt.set(now)
		if h.ID.IsResponse() {
			return
		}
		s.LastSeqNum.Store(h.Sequence)
		s.LastSeqNumAt.set(now)
		switch h.ID {
		case pdu.CmdSubmitSM:
			s.SubmitSMRequestCount.Add(1)
		case pdu.CmdEnquireLink:
			s.ElinkCount.Add(1)
			s.LastSentElinkAt.set(now)
		}
		return
	}
	s.LastReceivedPDUAt.set(now)
	switch h.ID {
	case pdu.CmdDeliverSM:
		s.DeliverSMCount.Add(1)
	case pdu.CmdDataSM:
		s.DataSMCount.Add(1)
	case pdu.CmdEnquireLink:
		s.LastReceivedElinkAt.set(now)
	}
}
