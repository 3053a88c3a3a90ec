package smppserver

import (
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"jasmind/internal/metrics"
	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

// Stats are the counters of the door, in the order in which the console shows them. Fields may be read at any time. Those that
// come and go have the original's type in /metrics.
type Stats struct {
	DisconnectCount       atomic.Int64   `console:"disconnect_count" metric:"smppsapi_disconnect_count" help:"Cumulated number of disconnect requests."` // sessions that have ended
	BoundRXCount          atomic.Int64   `console:"bound_rx_count" metric:"smppsapi_bound_rx_count" help:"Number of bound sessions in receiver mode."`
	BoundTXCount          atomic.Int64   `console:"bound_tx_count" metric:"smppsapi_bound_tx_count" help:"Number of bound sessions in transmitter mode."`
	OtherSubmitErrorCount atomic.Int64   `console:"other_submit_error_count" metric:"smppsapi_other_submit_error_count" help:"Other errors count."` // submissions answered with another error
	BindRXCount           atomic.Int64   `console:"bind_rx_count" metric:"smppsapi_bind_rx_count" help:"Number of bind requests in receiver mode."`
	BindTRXCount          atomic.Int64   `console:"bind_trx_count" metric:"smppsapi_bind_trx_count" help:"Number of bind requests in transceiver mode."`
	CreatedAt             metrics.Moment `console:"created_at"`
	LastReceivedElinkAt   metrics.Moment `console:"last_received_elink_at"`
	ElinkCount            atomic.Int64   `console:"elink_count" metric:"smppsapi_elink_count" help:"EnquireLinks count."`                            // received
	ThrottlingErrorCount  atomic.Int64   `console:"throttling_error_count" metric:"smppsapi_throttling_error_count" help:"Throttling errors count."` // submissions answered with ESME_RTHROTTLED
	SubmitSMCount         atomic.Int64   `console:"submit_sm_count" metric:"smppsapi_submit_sm_count" help:"Complete SubmitSm transactions count."`  // answered with ESME_ROK
	ConnectedCount        metrics.Func   `console:"connected_count" metric:"smppsapi_connected_count" help:"Number of connected sessions."`          // bound or not
	ConnectCount          atomic.Int64   `console:"connect_count" metric:"smppsapi_connect_count" help:"Cumulated number of connect requests."`      // connections taken
	BoundTRXCount         atomic.Int64   `console:"bound_trx_count" metric:"smppsapi_bound_trx_count" help:"Number of bound sessions in transceiver mode."`
	DataSMCount           atomic.Int64   `console:"data_sm_count" metric:"smppsapi_data_sm_count" help:"Complete DataSm transactions count."`              // sent and received
	SubmitSMRequestCount  atomic.Int64   `console:"submit_sm_request_count" metric:"smppsapi_submit_sm_request_count" help:"SubmitSm pdu requests count."` // submit_sm and submit_multi received
	DeliverSMCount        atomic.Int64   `console:"deliver_sm_count" metric:"smppsapi_deliver_sm_count" help:"DeliverSm pdu requests count."`              // sent
	LastSentPDUAt         metrics.Moment `console:"last_sent_pdu_at"`
	UnbindCount           atomic.Int64   `console:"unbind_count" metric:"smppsapi_unbind_count" help:"Cumulated number of unbind requests."`
	LastReceivedPDUAt     metrics.Moment `console:"last_received_pdu_at"`
	BindTXCount           atomic.Int64   `console:"bind_tx_count" metric:"smppsapi_bind_tx_count" help:"Number of bind requests in transmitter mode."`
	InterceptorCount      atomic.Int64   `console:"interceptor_count" metric:"smppsapi_interceptor_count" help:"Interceptor calls count."`
	InterceptorErrorCount atomic.Int64   `console:"interceptor_error_count" metric:"smppsapi_interceptor_error_count" help:"Interception errors count."` // refused by an interceptor, or because it failed

	InWork metrics.Func `metric:"jasmind_smppsapi_in_work" help:"Requests of ESMEs that are being submitted." kind:"gauge"`
}

// UserStats are the counters of one user, in the order in which the console shows them. Fields may be read at any time.
type UserStats struct {
	BindCount             atomic.Int64   `console:"bind_count"` // accepted
	SubmitSMCount         atomic.Int64   `console:"submit_sm_count"`
	SubmitSMRequestCount  atomic.Int64   `console:"submit_sm_request_count"`
	UnbindCount           atomic.Int64   `console:"unbind_count"` // of his
	DataSMCount           atomic.Int64   `console:"data_sm_count"`
	LastActivityAt        metrics.Moment `console:"last_activity_at"`
	OtherSubmitErrorCount atomic.Int64   `console:"other_submit_error_count"`
	ThrottlingErrorCount  atomic.Int64   `console:"throttling_error_count"`
	Bound                 boundCounts    `console:"bound_connections_count"`
	ElinkCount            metrics.Func   `console:"elink_count"` // enquire_link received
	QoSLastSubmitSMAt     metrics.Moment `console:"qos_last_submit_sm_at"`
	DeliverSMCount        atomic.Int64   `console:"deliver_sm_count"`

	ended atomic.Int64 // enquire_link received on sessions that have ended
}

// boundCounts are how many sessions of a user are bound now, by the bind that they sent.
type boundCounts struct{ tx, rx, trx atomic.Int64 }

// of gives the counter of a kind of bind.
func (c *boundCounts) of(t pdu.BindType) *atomic.Int64 {
	switch t {
	case pdu.Transmitter:
		return &c.tx
	case pdu.Receiver:
		return &c.rx
	}
	return &c.trx
}

// String is the original's dictionary.
func (c *boundCounts) String() string {
	return fmt.Sprintf("{'bind_transmitter': %d, 'bind_receiver': %d, 'bind_transceiver': %d}", c.tx.Load(), c.rx.Load(), c.trx.Load())
}

// Counters are those of the door; none has counted anything before it is made.
func (srv *Server) Counters() []metrics.Item { return metrics.Items(&srv.Stats) }

// UserCounters gives the counters of a user.
func (srv *Server) UserCounters(uid sms.UserID) []metrics.Item {
	st := srv.userStats(uid)
	if st == nil {
		st = new(UserStats)
	}
	return metrics.Items(st)
}

// userStats gives the counters of a user; nil if he has never bound.
func (srv *Server) userStats(uid sms.UserID) *UserStats {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if u := srv.users[uid]; u != nil {
		return &u.stats
	}
	return nil
}

// Peers tells of each session that a user has bound: its address, how it was bound, and when.
func (srv *Server) Peers(uid sms.UserID) []string {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	u := srv.users[uid]
	if u == nil {
		return nil
	}
	var out []string
	for _, m := range u.sessions {
		if m.bound {
			out = append(out, m.peer+" (bind_"+m.kind.String()+" @ "+metrics.TimeText(m.boundAt)+")")
		}
	}
	return out
}

// enquired is how many enquire_link a user has sent.
func (srv *Server) enquired(u *user) int64 {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	n := u.stats.ended.Load()
	for s := range u.sessions {
		n += int64(s.Stats().EnquireReceived) //nolint:gosec // a count
	}
	return n
}

func (st *Stats) bindCount(t pdu.BindType) *atomic.Int64 {
	switch t {
	case pdu.Transmitter:
		return &st.BindTXCount
	case pdu.Receiver:
		return &st.BindRXCount
	}
	return &st.BindTRXCount
}

func (st *Stats) boundCount(t pdu.BindType) *atomic.Int64 {
	switch t {
	case pdu.Transmitter:
		return &st.BoundTXCount
	case pdu.Receiver:
		return &st.BoundRXCount
	}
	return &st.BoundTRXCount
}

// trace feeds the counters from all sessions.
func (st *Stats) trace(dir smpp.Direction, h pdu.Header, _ pdu.PDU) {
	now := time.Now()
	if dir == smpp.Out {
		st.LastSentPDUAt.Set(now)
		switch h.ID {
		case pdu.CmdDeliverSM:
			st.DeliverSMCount.Add(1)
		case pdu.CmdDataSM:
			st.DataSMCount.Add(1)
		}
		return
	}
	st.LastReceivedPDUAt.Set(now)
	switch h.ID {
	case pdu.CmdEnquireLink:
		st.ElinkCount.Add(1)
		st.LastReceivedElinkAt.Set(now)
	case pdu.CmdUnbind:
		st.UnbindCount.Add(1)
	case pdu.CmdDataSM:
		st.DataSMCount.Add(1)
	}
}

// countingListener counts connections.
type countingListener struct {
	net.Listener
	n *atomic.Int64
}

// Accept waits for a connection.
func (l *countingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		l.n.Add(1)
	}
	return conn, err
}
