package smppserver

import (
	"net"
	"sync/atomic"
	"time"

	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
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

// Stats are the counters of the door. Fields may be read at any time. The names are those of
// the console's stats --smppsapi and of the smppsapi_* metrics.
type Stats struct {
	CreatedAt time.Time // created_at

	LastReceivedPDUAt   Moment // last_received_pdu_at
	LastSentPDUAt       Moment // last_sent_pdu_at
	LastReceivedElinkAt Moment // last_received_elink_at

	ConnectCount    atomic.Int64 // connect_count: connections taken
	DisconnectCount atomic.Int64 // disconnect_count: sessions that have ended

	BoundTRXCount, BoundRXCount, BoundTXCount atomic.Int64 // bound_trx_count ...: bound now
	BindTRXCount, BindRXCount, BindTXCount    atomic.Int64 // bind_trx_count ...: requests
	UnbindCount                               atomic.Int64 // unbind_count: requests

	SubmitSMRequestCount  atomic.Int64 // submit_sm_request_count: submit_sm and submit_multi received
	SubmitSMCount         atomic.Int64 // submit_sm_count: of them, answered with ESME_ROK
	DeliverSMCount        atomic.Int64 // deliver_sm_count: sent
	DataSMCount           atomic.Int64 // data_sm_count: sent and received
	ElinkCount            atomic.Int64 // elink_count: enquire_link received
	ThrottlingErrorCount  atomic.Int64 // throttling_error_count: submissions answered with ESME_RTHROTTLED
	OtherSubmitErrorCount atomic.Int64 // other_submit_error_count: answered with another error
	InterceptorErrorCount atomic.Int64 // interceptor_error_count: refused by an interceptor, or because it failed
	InterceptorCount      atomic.Int64 // interceptor_count: interceptors run
}

// UserStats are the counters of one user. Fields may be read at any time. The names are those
// of the console's stats --user.
type UserStats struct {
	BindCount             atomic.Int64 // bind_count: accepted
	UnbindCount           atomic.Int64 // unbind_count: of his
	SubmitSMRequestCount  atomic.Int64 // submit_sm_request_count
	SubmitSMCount         atomic.Int64 // submit_sm_count
	DeliverSMCount        atomic.Int64 // deliver_sm_count
	DataSMCount           atomic.Int64 // data_sm_count
	ThrottlingErrorCount  atomic.Int64 // throttling_error_count
	OtherSubmitErrorCount atomic.Int64 // other_submit_error_count
	LastActivityAt        Moment       // last_activity_at
	QoSLastSubmitSMAt     Moment       // qos_last_submit_sm_at

	ended atomic.Int64 // enquire_link received on sessions that have ended
}

// Bound is one session that is bound.
type Bound struct {
	Address string // without port
	Type    pdu.BindType
	At      time.Time
}

// User gives the counters of a user, his enquire_links and his sessions that are bound now; a
// nil stats: he has never bound.
func (srv *Server) User(uid sms.UserID) (stats *UserStats, elinks int64, sessions []Bound) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	u := srv.users[uid]
	if u == nil {
		return nil, 0, nil
	}
	elinks = u.stats.ended.Load()
	for s, m := range u.sessions {
		elinks += int64(s.Stats().EnquireReceived) //nolint:gosec // a count
		if m.bound {
			sessions = append(sessions, Bound{m.peer, m.kind, m.boundAt})
		}
	}
	return &u.stats, elinks, sessions
}

// Connected is how many sessions there are now, bound or not (connected_count).
func (srv *Server) Connected() int { return len(srv.smpp.Sessions()) }

// InWork is how many requests are being submitted.
func (srv *Server) InWork() int { return srv.work.inWork() }

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
		st.LastSentPDUAt.set(now)
		switch h.ID {
		case pdu.CmdDeliverSM:
			st.DeliverSMCount.Add(1)
		case pdu.CmdDataSM:
			st.DataSMCount.Add(1)
		}
		return
	}
	st.LastReceivedPDUAt.set(now)
	switch h.ID {
	case pdu.CmdEnquireLink:
		st.ElinkCount.Add(1)
		st.LastReceivedElinkAt.set(now)
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
