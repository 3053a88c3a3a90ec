package gateway

import (
	"net/http"
	"sync/atomic"

	"jasmind/internal/connector"
	"jasmind/internal/connector/fleet"
	"jasmind/internal/metrics"
	"jasmind/internal/sms"
)

// metrics puts together what /metrics shows: the original's names for what exists here, and
// ours with the prefix jasmind_.
func (g *Gateway) metrics() (http.Handler, error) {
	var s metrics.Set
	h := &g.http.Stats
	for _, m := range []struct {
		name, help string
		v          *atomic.Int64
	}{
		{"httpapi_request_count", "Http request count.", &h.RequestCount},
		{"httpapi_interceptor_count", "Successful http request count.", &h.InterceptorCount},
		{"httpapi_auth_error_count", "Authentication error count.", &h.AuthErrors},
		{"httpapi_route_error_count", "Routing error count.", &h.RouteErrors},
		{"httpapi_interceptor_error_count", "Interceptor error count.", &h.InterceptorErrors},
		{"httpapi_throughput_error_count", "Throughput exceeded error count.", &h.ThroughputErrors},
		{"httpapi_charging_error_count", "Charging error count.", &h.ChargingErrors},
		{"httpapi_server_error_count", "Server error count.", &h.ServerErrors},
		{"httpapi_success_count", "Successful http request count.", &h.SuccessCount},

		{"jasmind_bills_charged_total", "Bill requests charged after the SMSC accepted a part.", &g.bills.Charged},
		{"jasmind_bills_undecodable_total", "Bill requests moved to the dead-letter queue.", &g.bills.Undecodable},
		{"jasmind_dlr_submissions_total", "Answers to submissions looked up for a DLR.", &g.lookup.Metrics.Submissions},
		{"jasmind_dlr_receipts_total", "Receipts matched with their message.", &g.lookup.Metrics.Receipts},
		{"jasmind_dlr_parked_total", "Lookups put off because the message was not known yet.", &g.lookup.Metrics.Parked},
		{"jasmind_dlr_unmatched_total", "Receipts given up because no message matched.", &g.lookup.Metrics.Unmatched},
		{"jasmind_dlr_forwarded_total", "DLRs handed to the throwers.", &g.lookup.Metrics.Forwarded},
		{"jasmind_dlr_undecodable_total", "DLR events moved to the dead-letter queue.", &g.lookup.Metrics.Undecodable},
		{"jasmind_dlr_http_delivered_total", "DLRs acknowledged by their URL.", &g.thrower.Metrics.Delivered},
		{"jasmind_dlr_http_failed_total", "Calls of a DLR's URL that were not acknowledged.", &g.thrower.Metrics.Failed},
		{"jasmind_dlr_http_deferred_total", "DLRs put back because their host was busy.", &g.thrower.Metrics.Deferred},
		{"jasmind_dlr_http_dead_total", "DLRs given up, moved to the dead-letter queue.", &g.thrower.Metrics.Dead},
		{"jasmind_mo_http_delivered_total", "MOs acknowledged by their URL.", &g.moThrower.Metrics.Delivered},
		{"jasmind_mo_http_failed_total", "Calls with an MO that were not acknowledged.", &g.moThrower.Metrics.Failed},
		{"jasmind_mo_http_deferred_total", "MOs put back because their host was busy.", &g.moThrower.Metrics.Deferred},
		{"jasmind_mo_http_dead_total", "MOs given up, moved to the dead-letter queue.", &g.moThrower.Metrics.Dead},
	} {
		s.Counter(m.name, m.help, func() float64 { return float64(m.v.Load()) })
	}
	s.Counter("jasmind_log_lines_dropped_total", "Log lines dropped because their buffer was full.", func() float64 { return float64(g.logs.all.Dropped()) })
	for _, m := range []struct {
		name, help string
		v          func(*connector.Stats) *atomic.Int64
	}{
		{"smppc_connected_count", "Cumulated number of successful connections.", func(s *connector.Stats) *atomic.Int64 { return &s.ConnectedCount }},
		{"smppc_disconnected_count", "Cumulated number of disconnections.", func(s *connector.Stats) *atomic.Int64 { return &s.DisconnectedCount }},
		{"smppc_bound_count", "Number of bound sessions.", func(s *connector.Stats) *atomic.Int64 { return &s.BoundCount }},
		{"smppc_submit_sm_request_count", "SubmitSm pdu requests count.", func(s *connector.Stats) *atomic.Int64 { return &s.SubmitSMRequestCount }},
		{"smppc_submit_sm_count", "Complete SubmitSm transactions count.", func(s *connector.Stats) *atomic.Int64 { return &s.SubmitSMCount }},
		{"smppc_deliver_sm_count", "DeliverSm pdu requests count.", func(s *connector.Stats) *atomic.Int64 { return &s.DeliverSMCount }},
		{"smppc_data_sm_count", "Complete DataSm transactions count.", func(s *connector.Stats) *atomic.Int64 { return &s.DataSMCount }},
		{"smppc_interceptor_count", "Interceptor calls count.", func(s *connector.Stats) *atomic.Int64 { return &s.InterceptorCount }},
		{"smppc_elink_count", "EnquireLinks count.", func(s *connector.Stats) *atomic.Int64 { return &s.ElinkCount }},
		{"smppc_throttling_error_count", "Throttling errors count.", func(s *connector.Stats) *atomic.Int64 { return &s.ThrottlingErrorCount }},
		{"smppc_interceptor_error_count", "Interception errors count.", func(s *connector.Stats) *atomic.Int64 { return &s.InterceptorErrorCount }},
		{"smppc_other_submit_error_count", "Other errors count.", func(s *connector.Stats) *atomic.Int64 { return &s.OtherSubmitErrorCount }},
		{"jasmind_smppc_unanswered_total", "submit_sm whose response did not come: each may have become a duplicate.", func(s *connector.Stats) *atomic.Int64 { return &s.UnansweredCount }},
		{"jasmind_smppc_redelivered_total", "Messages that came from their queue again and were sent again.", func(s *connector.Stats) *atomic.Int64 { return &s.RedeliveredCount }},
		{"jasmind_smppc_settled_before_total", "Messages that came from their queue again and were found settled.", func(s *connector.Stats) *atomic.Int64 { return &s.SettledBeforeCount }},
		{"jasmind_smppc_expired_total", "Messages dropped because their validity had ended.", func(s *connector.Stats) *atomic.Int64 { return &s.ExpiredCount }},
		{"jasmind_smppc_moved_total", "Messages that moved to another connector of a failover route.", func(s *connector.Stats) *atomic.Int64 { return &s.MovedCount }},
		{"jasmind_smppc_receipts_total", "Receipts taken from the SMSC.", func(s *connector.Stats) *atomic.Int64 { return &s.ReceiptCount }},
	} {
		s.CounterEach(m.name, m.help, "cid", func(emit metrics.Emit) {
			g.counters.Each(func(cid sms.ConnectorID, st *connector.Stats) { emit(string(cid), float64(m.v(st).Load())) })
		})
	}
	s.GaugeEach("jasmind_smppc_sessions", "Sessions of a connector that are bound now.", "cid", func(emit metrics.Emit) {
		g.fleet.Each(func(cid sms.ConnectorID, _ fleet.State) {
			n := 0
			for _, st := range g.fleet.Sessions(cid) {
				if len(st) > 6 && st[:6] == "BOUND_" {
					n++
				}
			}
			emit(string(cid), float64(n))
		})
	})
	s.GaugeEach("jasmind_smppc_not_as_configured", "1 while a connector is not as the configuration wants it: it drains, or something fails and is tried again.", "cid", func(emit metrics.Emit) {
		g.fleet.Each(func(cid sms.ConnectorID, st fleet.State) {
			v := 0.0
			if !st.AsWanted {
				v = 1
			}
			emit(string(cid), v)
		})
	})
	s.CounterEach("jasmind_smppc_configure_failures_total", "Failed tries to make a connector what the configuration wants.", "cid", func(emit metrics.Emit) {
		g.fleet.Each(func(cid sms.ConnectorID, st fleet.State) { emit(string(cid), float64(st.Failures)) })
	})
	g.smppMetrics(&s)
	g.deadLetterMetrics(&s)
	g.scriptMetrics(&s)
	g.moMetrics(&s)
	if db := g.backend.db; db != nil {
		s.Gauge("jasmind_embedded_free_bytes", "Free space on the embedded database's disk.", func() float64 { return float64(db.Space().Free) })
		s.Gauge("jasmind_embedded_disk_bytes", "Space that the embedded database uses.", func() float64 { return float64(db.Metrics().Disk) })
	}
	return s.Handler()
}
