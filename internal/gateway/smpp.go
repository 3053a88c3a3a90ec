package gateway

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"jasmind/internal/account"
	"jasmind/internal/metrics"
	"jasmind/internal/mt"
	"jasmind/internal/provision"
	"jasmind/internal/queue"
	"jasmind/internal/queue/pebble"
	"jasmind/internal/smppserver"
	"jasmind/internal/sms"
)

// accounts are those of the current snapshot.
type accounts struct{ *provision.Store }

// User gives a user by his uid; nil if there is none.
func (a accounts) User(uid sms.UserID) *account.User { return a.Snapshot().User(uid) }

func (g *Gateway) startSMPP(ctx context.Context) error {
	srv := smppserver.New(g.cfg.SMPPServer, smppserver.Deps{
		Auth: g.auth, Accounts: accounts{g.state}, Submit: g.submit,
		States: mt.NewStates(g.backend.journal, g.backend.store), Receivers: g.esmes, Log: g.logs.smpp,
	})
	if err := srv.Listen(ctx); err != nil {
		return err
	}
	g.smpp = srv
	g.certificates.Add(srv.Certificates())
	g.unreview = g.state.Subscribe(func(_, _ *provision.Snapshot) { srv.Review() })
	g.wg.Go(func() {
		if err := srv.Serve(g.ctx); err != nil && g.ctx.Err() == nil {
			g.fail(fmt.Errorf("smpp-server: %w", err))
		}
	})
	return nil
}

// smppDrain bounds the time that ESMEs get to answer what they were sent when the gateway stops.
const smppDrain = 5 * time.Second

// stopSMPP shuts the SMPP server. It takes half of the time that is left at most, so that an
// ESME that does not answer does not keep the connectors from draining. That one did not answer is
// no error: what it was sent comes again.
func (g *Gateway) stopSMPP(ctx context.Context) error {
	limit := smppDrain
	if deadline, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(deadline)/2)
	}
	inner, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := g.smpp.Shutdown(inner); err != nil && inner.Err() == nil {
		return fmt.Errorf("smpp-server: %w", err)
	}
	return nil
}

// knownESMEs lists those whose queues may hold something: all users and, embedded, all queues.
func (g *Gateway) knownESMEs() []string {
	var out []string
	for _, u := range g.state.Snapshot().Users() {
		out = append(out, u.Username)
	}
	if d, ok := g.backend.broker.(*pebble.Driver); ok {
		for _, name := range d.Names() {
			if systemID, ok := queue.ESMEOf(name); ok {
				out = append(out, systemID)
			}
		}
	}
	return out
}

// smppMetrics adds what /metrics shows of the SMPP server and of the deliveries to ESMEs.
func (g *Gateway) smppMetrics(s *metrics.Set) {
	t := &g.esmes.Metrics
	for _, m := range []struct {
		name, help string
		v          *atomic.Int64
	}{
		{"jasmind_smpps_moved_total", "Receipts and messages put into the queue of their ESME.", &t.Moved},
		{"jasmind_smpps_delivered_total", "Receipts and messages acknowledged by their ESME.", &t.Delivered},
		{"jasmind_smpps_failed_total", "Receipts and messages that an ESME refused or did not answer.", &t.Failed},
		{"jasmind_smpps_dead_total", "Receipts and messages for ESMEs given up, moved to the dead-letter queue.", &t.Dead},
	} {
		s.Counter(m.name, m.help, func() float64 { return float64(m.v.Load()) })
	}
	s.Gauge("jasmind_smpps_waiting", "Receipts and messages taken from the queues of bound ESMEs and not settled.", func() float64 { return float64(t.Waiting.Load()) })

	st := &smppserver.Stats{}
	connected, inWork := func() float64 { return 0 }, func() float64 { return 0 }
	if srv := g.smpp; srv != nil {
		st = &srv.Stats
		connected = func() float64 { return float64(srv.Connected()) }
		inWork = func() float64 { return float64(srv.InWork()) }
	}
	// Jasmin: the original's types, though some of these come and go.
	s.Counter("smppsapi_connected_count", "Number of connected sessions.", connected)
	for _, m := range []struct {
		name, help string
		v          *atomic.Int64
	}{
		{"smppsapi_connect_count", "Cumulated number of connect requests.", &st.ConnectCount},
		{"smppsapi_disconnect_count", "Cumulated number of disconnect requests.", &st.DisconnectCount},
		{"smppsapi_interceptor_count", "Interceptor calls count.", &st.InterceptorCount},
		{"smppsapi_bound_trx_count", "Number of bound sessions in transceiver mode.", &st.BoundTRXCount},
		{"smppsapi_bound_rx_count", "Number of bound sessions in receiver mode.", &st.BoundRXCount},
		{"smppsapi_bound_tx_count", "Number of bound sessions in transmitter mode.", &st.BoundTXCount},
		{"smppsapi_bind_trx_count", "Number of bind requests in transceiver mode.", &st.BindTRXCount},
		{"smppsapi_bind_rx_count", "Number of bind requests in receiver mode.", &st.BindRXCount},
		{"smppsapi_bind_tx_count", "Number of bind requests in transmitter mode.", &st.BindTXCount},
		{"smppsapi_unbind_count", "Cumulated number of unbind requests.", &st.UnbindCount},
		{"smppsapi_submit_sm_request_count", "SubmitSm pdu requests count.", &st.SubmitSMRequestCount},
		{"smppsapi_submit_sm_count", "Complete SubmitSm transactions count.", &st.SubmitSMCount},
		{"smppsapi_deliver_sm_count", "DeliverSm pdu requests count.", &st.DeliverSMCount},
		{"smppsapi_data_sm_count", "Complete DataSm transactions count.", &st.DataSMCount},
		{"smppsapi_elink_count", "EnquireLinks count.", &st.ElinkCount},
		{"smppsapi_throttling_error_count", "Throttling errors count.", &st.ThrottlingErrorCount},
		{"smppsapi_interceptor_error_count", "Interception errors count.", &st.InterceptorErrorCount},
		{"smppsapi_other_submit_error_count", "Other errors count.", &st.OtherSubmitErrorCount},
	} {
		s.Counter(m.name, m.help, func() float64 { return float64(m.v.Load()) })
	}
	s.Gauge("jasmind_smppsapi_in_work", "Requests of ESMEs that are being submitted.", inWork)
}
