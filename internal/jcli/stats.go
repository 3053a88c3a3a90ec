package jcli

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"jasmind/internal/account"
	"jasmind/internal/connector"
	"jasmind/internal/provision"
	"jasmind/internal/sms"
)

// Peer is one session that a user has bound.
type Peer struct {
	Address string // without port
	Bind    string // bind_transmitter, bind_receiver or bind_transceiver
	BoundAt time.Time
}

// UserStats are what stats --user shows. Zero times have not come yet.
type UserStats struct {
	SMPP struct {
		BindCount, UnbindCount                            int64
		BoundTransmitter, BoundReceiver, BoundTransceiver int64
		Peers                                             []Peer
		SubmitSMRequestCount, SubmitSMCount               int64
		DeliverSMCount, DataSMCount, ElinkCount           int64
		ThrottlingErrorCount, OtherSubmitErrorCount       int64
		LastActivityAt, QoSLastSubmitSMAt                 time.Time
	}
	HTTP struct {
		ConnectsCount, SubmitSMRequestCount   int64
		RateRequestCount, BalanceRequestCount int64
		LastActivityAt, QoSLastSubmitSMAt     time.Time
	}
}

// HTTPAPIStats are what stats --httpapi shows.
type HTTPAPIStats struct {
	CreatedAt, LastRequestAt, LastSuccessAt               time.Time
	RequestCount, SuccessCount                            int64
	AuthErrorCount, RouteErrorCount, ThroughputErrorCount int64
	ChargingErrorCount, ServerErrorCount                  int64
	InterceptorCount, InterceptorErrorCount               int64
}

// SMPPServerStats are what stats --smppsapi shows.
type SMPPServerStats struct {
	CreatedAt, LastReceivedPDUAt, LastSentPDUAt, LastReceivedElinkAt time.Time
	ConnectedCount, ConnectCount, DisconnectCount                    int64
	BoundTRXCount, BoundRXCount, BoundTXCount                        int64
	BindTRXCount, BindRXCount, BindTXCount, UnbindCount              int64
	SubmitSMRequestCount, SubmitSMCount                              int64
	DeliverSMCount, DataSMCount, ElinkCount                          int64
	ThrottlingErrorCount, OtherSubmitErrorCount                      int64
	InterceptorCount, InterceptorErrorCount                          int64
}

var statsCommand = command{
	name: "stats", doc: "Stats management",
	options: []option{
		{"", "--user", "UID", "Show user stats using it's UID"},
		{"", "--users", "", "Show all users stats"},
		{"", "--smppc", "CID", "Show smpp connector stats using it's CID"},
		{"", "--smppcs", "", "Show all smpp connectors stats"},
		{"", "--httpapi", "", "Show HTTP API stats"},
		{"", "--smppsapi", "", "Show SMPP Server API stats"},
		{"", "--deadletters", "", "Show how many dead letters there are"},
	},
	actions: []action{
		{"user", func(s *session, uid, _ string) { s.userStats(uid) }},
		{"users", func(s *session, _, _ string) { s.usersStats() }},
		{"smppc", func(s *session, cid, _ string) { s.connectorStats(cid) }},
		{"smppcs", func(s *session, _, _ string) { s.connectorsStats() }},
		{"httpapi", func(s *session, _, _ string) { s.httpStats() }},
		{"smppsapi", func(s *session, _, _ string) { s.serverStats() }},
		{"deadletters", func(s *session, _, _ string) { s.deadLetterStats() }},
	},
}

// statItem is one line of a table: its value is a number, a time or text.
type statItem struct {
	name  string
	value any
}

func statText(v any) string {
	switch v := v.(type) {
	case int64:
		return strconv.FormatInt(v, 10)
	case time.Time:
		if v.IsZero() {
			return "ND"
		}
		return v.Local().Format(time.DateTime)
	}
	return fmt.Sprint(v)
}

func (s *session) printItems(items []statItem) {
	rows := [][]string{{"#Item", "Value"}}
	for _, i := range items {
		rows = append(rows, []string{"#" + i.name, statText(i.value)})
	}
	s.print(grid(rows))
}

// noStats are the numbers of a daemon that has none.
type noStats struct{}

func (noStats) Connector(sms.ConnectorID) *connector.Stats { return nil }
func (noStats) User(sms.UserID) UserStats                  { return UserStats{} }
func (noStats) HTTPAPI() HTTPAPIStats                      { return HTTPAPIStats{} }
func (noStats) SMPPServer() SMPPServerStats                { return SMPPServerStats{} }

func (s *session) stats() statistics {
	if s.srv.deps.Stats == nil {
		return noStats{}
	}
	return s.srv.deps.Stats
}

// userStats prints the documented items in the documented order, then the newer one.
func (s *session) userStats(uid string) {
	if s.knownUser(uid) == nil {
		return
	}
	st := s.stats().User(sms.UserID(uid))
	rows := [][]string{{"#Item", "Type", "Value"}}
	add := func(api string, items ...statItem) {
		for _, i := range items {
			rows = append(rows, []string{"#" + i.name, api, statText(i.value)})
		}
	}
	p, h := st.SMPP, st.HTTP
	add("SMPP Server",
		statItem{"bind_count", p.BindCount}, statItem{"submit_sm_count", p.SubmitSMCount}, statItem{"submit_sm_request_count", p.SubmitSMRequestCount},
		statItem{"unbind_count", p.UnbindCount}, statItem{"data_sm_count", p.DataSMCount}, statItem{"last_activity_at", p.LastActivityAt},
		statItem{"other_submit_error_count", p.OtherSubmitErrorCount}, statItem{"throttling_error_count", p.ThrottlingErrorCount},
		statItem{"bound_connections_count", fmt.Sprintf("{'bind_transmitter': %d, 'bind_receiver': %d, 'bind_transceiver': %d}", p.BoundTransmitter, p.BoundReceiver, p.BoundTransceiver)},
		statItem{"elink_count", p.ElinkCount}, statItem{"qos_last_submit_sm_at", p.QoSLastSubmitSMAt}, statItem{"deliver_sm_count", p.DeliverSMCount})
	add("HTTP Api",
		statItem{"connects_count", h.ConnectsCount}, statItem{"last_activity_at", h.LastActivityAt}, statItem{"rate_request_count", h.RateRequestCount},
		statItem{"submit_sm_request_count", h.SubmitSMRequestCount}, statItem{"qos_last_submit_sm_at", h.QoSLastSubmitSMAt},
		statItem{"balance_request_count", h.BalanceRequestCount})
	add("SMPP Server", statItem{"bound_peer_ips", peers(p.Peers)})
	s.print(grid(rows))
}

func peers(all []Peer) string {
	if len(all) == 0 {
		return "-"
	}
	texts := make([]string, len(all))
	for i, p := range all {
		texts[i] = p.Address + " (" + p.Bind + " @ " + statText(p.BoundAt) + ")"
	}
	return strings.Join(texts, "; ")
}

func (s *session) usersStats() {
	snap := s.snapshot()
	users := added(snap, provision.KindUser, snap.Users(), func(u *account.User) string { return string(u.UID) })
	rows := [][]string{{"#User id", "SMPP Bound connections", "SMPP L.A.", "HTTP requests counter", "HTTP L.A."}}
	for _, u := range users {
		st := s.stats().User(u.UID)
		rows = append(rows, []string{"#" + string(u.UID), statText(st.SMPP.BoundTransmitter + st.SMPP.BoundReceiver + st.SMPP.BoundTransceiver),
			statText(st.SMPP.LastActivityAt), statText(st.HTTP.ConnectsCount), statText(st.HTTP.LastActivityAt)})
	}
	s.print(grid(rows), "Total users: "+strconv.Itoa(len(users)))
}

// connectorNumbers gives the counters of a connector; new ones if it has none yet.
func (s *session) connectorNumbers(cid sms.ConnectorID) *connector.Stats {
	if st := s.stats().Connector(cid); st != nil {
		return st
	}
	return &connector.Stats{}
}

func (s *session) connectorStats(cid string) {
	if s.knownConnector(cid) == nil {
		return
	}
	st := s.connectorNumbers(sms.ConnectorID(cid))
	var lastSeqNum any = "ND"
	if !st.LastSeqNumAt.Time().IsZero() {
		lastSeqNum = int64(st.LastSeqNum.Load())
	}
	s.printItems([]statItem{
		{"bound_at", st.BoundAt.Time()}, {"disconnected_count", st.DisconnectedCount.Load()}, {"other_submit_error_count", st.OtherSubmitErrorCount.Load()},
		{"submit_sm_count", st.SubmitSMCount.Load()}, {"created_at", st.CreatedAt.Time()}, {"bound_count", st.BoundCount.Load()},
		{"last_received_elink_at", st.LastReceivedElinkAt.Time()}, {"elink_count", st.ElinkCount.Load()},
		{"throttling_error_count", st.ThrottlingErrorCount.Load()}, {"last_sent_elink_at", st.LastSentElinkAt.Time()},
		{"connected_count", st.ConnectedCount.Load()}, {"connected_at", st.ConnectedAt.Time()}, {"deliver_sm_count", st.DeliverSMCount.Load()},
		{"data_sm_count", st.DataSMCount.Load()}, {"submit_sm_request_count", st.SubmitSMRequestCount.Load()}, {"last_seqNum", lastSeqNum},
		{"last_seqNum_at", st.LastSeqNumAt.Time()}, {"last_sent_pdu_at", st.LastSentPDUAt.Time()}, {"disconnected_at", st.DisconnectedAt.Time()},
		{"last_received_pdu_at", st.LastReceivedPDUAt.Time()}, {"interceptor_count", st.InterceptorCount.Load()},
		{"interceptor_error_count", st.InterceptorErrorCount.Load()},
	})
}

func (s *session) connectorsStats() {
	all := s.connectorsAdded()
	rows := [][]string{{"#Connector id", "Connected at", "Bound at", "Disconnected at", "Submits", "Delivers", "QoS errs", "Other errs"}}
	for _, c := range all {
		st := s.connectorNumbers(c.CID)
		rows = append(rows, []string{"#" + string(c.CID), statText(st.ConnectedAt.Time()), statText(st.BoundAt.Time()), statText(st.DisconnectedAt.Time()),
			statText(st.SubmitSMRequestCount.Load()) + "/" + statText(st.SubmitSMCount.Load()),
			statText(st.DeliverSMCount.Load()) + "/" + statText(st.DataSMCount.Load()),
			statText(st.ThrottlingErrorCount.Load()), statText(st.OtherSubmitErrorCount.Load())})
	}
	s.print(grid(rows), "Total connectors: "+strconv.Itoa(len(all)))
}

func (s *session) httpStats() {
	st := s.stats().HTTPAPI()
	s.printItems([]statItem{
		{"server_error_count", st.ServerErrorCount}, {"last_request_at", st.LastRequestAt}, {"throughput_error_count", st.ThroughputErrorCount},
		{"success_count", st.SuccessCount}, {"route_error_count", st.RouteErrorCount}, {"request_count", st.RequestCount},
		{"auth_error_count", st.AuthErrorCount}, {"created_at", st.CreatedAt}, {"last_success_at", st.LastSuccessAt},
		{"charging_error_count", st.ChargingErrorCount}, {"interceptor_count", st.InterceptorCount}, {"interceptor_error_count", st.InterceptorErrorCount},
	})
}

func (s *session) serverStats() {
	st := s.stats().SMPPServer()
	s.printItems([]statItem{
		{"disconnect_count", st.DisconnectCount}, {"bound_rx_count", st.BoundRXCount}, {"bound_tx_count", st.BoundTXCount},
		{"other_submit_error_count", st.OtherSubmitErrorCount}, {"bind_rx_count", st.BindRXCount}, {"bind_trx_count", st.BindTRXCount},
		{"created_at", st.CreatedAt}, {"last_received_elink_at", st.LastReceivedElinkAt}, {"elink_count", st.ElinkCount},
		{"throttling_error_count", st.ThrottlingErrorCount}, {"submit_sm_count", st.SubmitSMCount}, {"connected_count", st.ConnectedCount},
		{"connect_count", st.ConnectCount}, {"bound_trx_count", st.BoundTRXCount}, {"data_sm_count", st.DataSMCount},
		{"submit_sm_request_count", st.SubmitSMRequestCount}, {"deliver_sm_count", st.DeliverSMCount}, {"last_sent_pdu_at", st.LastSentPDUAt},
		{"unbind_count", st.UnbindCount}, {"last_received_pdu_at", st.LastReceivedPDUAt}, {"bind_tx_count", st.BindTXCount},
		{"interceptor_count", st.InterceptorCount}, {"interceptor_error_count", st.InterceptorErrorCount},
	})
}
