package connector

import (
	"sync/atomic"
	"time"

	"jasmind/internal/metrics"
	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
)

// Stats counts what one connector did. It outlives the Connector, which is made anew at
// each start: the owner keeps one for each cid. Fields may be read at any time. They stand in the order in which the
// console shows them.
type Stats struct {
	BoundAt               metrics.Moment `console:"bound_at"`
	DisconnectedCount     atomic.Int64   `console:"disconnected_count" metric:"smppc_disconnected_count" help:"Cumulated number of disconnections."`
	OtherSubmitErrorCount atomic.Int64   `console:"other_submit_error_count" metric:"smppc_other_submit_error_count" help:"Other errors count."` // submit_sm answered with another error
	SubmitSMCount         atomic.Int64   `console:"submit_sm_count" metric:"smppc_submit_sm_count" help:"Complete SubmitSm transactions count."` // answered with ESME_ROK
	CreatedAt             metrics.Moment `console:"created_at"`                                                                                  // set by the owner through NewStats
	BoundCount            atomic.Int64   `console:"bound_count" metric:"smppc_bound_count" help:"Number of bound sessions."`                     // binds that succeeded
	LastReceivedElinkAt   metrics.Moment `console:"last_received_elink_at"`
	ElinkCount            atomic.Int64   `console:"elink_count" metric:"smppc_elink_count" help:"EnquireLinks count."`                            // sent
	ThrottlingErrorCount  atomic.Int64   `console:"throttling_error_count" metric:"smppc_throttling_error_count" help:"Throttling errors count."` // submit_sm answered with ESME_RTHROTTLED
	LastSentElinkAt       metrics.Moment `console:"last_sent_elink_at"`
	ConnectedCount        atomic.Int64   `console:"connected_count" metric:"smppc_connected_count" help:"Cumulated number of successful connections."`
	ConnectedAt           metrics.Moment `console:"connected_at"`
	DeliverSMCount        atomic.Int64   `console:"deliver_sm_count" metric:"smppc_deliver_sm_count" help:"DeliverSm pdu requests count."`              // received
	DataSMCount           atomic.Int64   `console:"data_sm_count" metric:"smppc_data_sm_count" help:"Complete DataSm transactions count."`              // received
	SubmitSMRequestCount  atomic.Int64   `console:"submit_sm_request_count" metric:"smppc_submit_sm_request_count" help:"SubmitSm pdu requests count."` // sent
	LastSeqNum            metrics.Number `console:"last_seqNum"`
	LastSeqNumAt          metrics.Moment `console:"last_seqNum_at"`
	LastSentPDUAt         metrics.Moment `console:"last_sent_pdu_at"`
	DisconnectedAt        metrics.Moment `console:"disconnected_at"`
	LastReceivedPDUAt     metrics.Moment `console:"last_received_pdu_at"`
	InterceptorCount      atomic.Int64   `console:"interceptor_count" metric:"smppc_interceptor_count" help:"Interceptor calls count."`               // MO that an interceptor let through; counted by the MO flow
	InterceptorErrorCount atomic.Int64   `console:"interceptor_error_count" metric:"smppc_interceptor_error_count" help:"Interception errors count."` // MO whose interceptor failed; counted by the MO flow

	// Beyond the documentation.
	UnansweredCount    atomic.Int64 `metric:"jasmind_smppc_unanswered_total" help:"submit_sm whose response did not come: each may have become a duplicate."`
	LateCount          atomic.Int64 `metric:"jasmind_smppc_late_total" help:"submit_sm whose response came after its timer: it counts."`
	RedeliveredCount   atomic.Int64 `metric:"jasmind_smppc_redelivered_total" help:"Messages that came from their queue again and were sent again."`
	SettledBeforeCount atomic.Int64 `metric:"jasmind_smppc_settled_before_total" help:"Messages that came from their queue again and were found settled."`
	ExpiredCount       atomic.Int64 `metric:"jasmind_smppc_expired_total" help:"Messages dropped because their validity had ended."`
	ReceiptCount       atomic.Int64 `metric:"jasmind_smppc_receipts_total" help:"Receipts taken from the SMSC."`
	MovedCount         atomic.Int64 `metric:"jasmind_smppc_moved_total" help:"Messages that moved to another connector of a failover route."`

	Quality Quality // of the last hour, for routes by quality
}

// NewStats gives the counters of a connector that was created now.
func NewStats() *Stats {
	s := &Stats{}
	s.CreatedAt.Set(time.Now())
	return s
}

// trace feeds the counters from a session.
func (s *Stats) trace(dir smpp.Direction, h pdu.Header, _ pdu.PDU) {
	now := time.Now()
	if dir == smpp.Out {
		s.LastSentPDUAt.Set(now)
		if h.ID.IsResponse() {
			return
		}
		s.LastSeqNum.Store(h.Sequence)
		s.LastSeqNumAt.Set(now)
		switch h.ID {
		case pdu.CmdSubmitSM:
			s.SubmitSMRequestCount.Add(1)
		case pdu.CmdEnquireLink:
			s.ElinkCount.Add(1)
			s.LastSentElinkAt.Set(now)
		}
		return
	}
	s.LastReceivedPDUAt.Set(now)
	switch h.ID {
	case pdu.CmdDeliverSM:
		s.DeliverSMCount.Add(1)
	case pdu.CmdDataSM:
		s.DataSMCount.Add(1)
	case pdu.CmdEnquireLink:
		s.LastReceivedElinkAt.Set(now)
	}
}
