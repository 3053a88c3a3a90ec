package gateway

import (
	"fmt"
	"time"

	"jasmind/internal/connector"
	"jasmind/internal/jcli"
	"jasmind/internal/profile"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

// loadProfile brings back what the console configured before: the profile jcli-prod. It
// comes after the provisioning file, whose declarations win.
func (g *Gateway) loadProfile() error {
	p, err := profile.Open(profile.Config{Dir: g.cfg.Paths.Store}, g.state, g.logs.router)
	if err != nil {
		return err
	}
	if err := p.LoadAtStart(); err != nil {
		return err
	}
	g.profiles = p
	return nil
}

// startConsole opens the management console and saves its changes from time to time.
func (g *Gateway) startConsole() error {
	if g.cfg.PersistEvery > 0 {
		g.wg.Go(func() { g.profiles.Run(g.flows, g.cfg.PersistEvery) })
	}
	srv := jcli.New(g.cfg.Console, g.consoleDeps())
	if err := srv.Listen(); err != nil {
		return err
	}
	g.console = srv
	g.wg.Go(func() {
		if err := srv.Serve(); err != nil {
			g.fail(fmt.Errorf("jcli: %w", err))
		}
	})
	return nil
}

func (g *Gateway) consoleDeps() jcli.Deps {
	d := jcli.Deps{
		Store: g.state, Profiles: g.profiles, Connectors: g.fleet, Accounts: g.accounts, Scripts: g.pool,
		Explain: g.submit, Stats: consoleStats{g}, DeadLetters: g.letters, Log: g.logs.console,
	}
	if g.smpp != nil {
		d.Binds = g.smpp
	}
	return d
}

// consoleStats gives the console the numbers that /metrics shows too.
type consoleStats struct{ g *Gateway }

// Connector gives the counters of a connector; nil if it has none yet.
func (s consoleStats) Connector(cid sms.ConnectorID) *connector.Stats {
	return s.g.counters.Connector(cid)
}

// HTTPAPI gives the counters of the HTTP API, none when it is disabled.
func (s consoleStats) HTTPAPI() jcli.HTTPAPIStats {
	if s.g.http == nil {
		return jcli.HTTPAPIStats{}
	}
	h := &s.g.http.Stats
	return jcli.HTTPAPIStats{
		CreatedAt: h.CreatedAt, LastRequestAt: moment(h.LastRequestAt.Load()), LastSuccessAt: moment(h.LastSuccessAt.Load()),
		RequestCount: h.RequestCount.Load(), SuccessCount: h.SuccessCount.Load(),
		AuthErrorCount: h.AuthErrors.Load(), RouteErrorCount: h.RouteErrors.Load(), ThroughputErrorCount: h.ThroughputErrors.Load(),
		ChargingErrorCount: h.ChargingErrors.Load(), ServerErrorCount: h.ServerErrors.Load(),
		InterceptorCount: h.InterceptorCount.Load(), InterceptorErrorCount: h.InterceptorErrors.Load(),
	}
}

// moment turns milliseconds since the epoch into a time, 0 into none.
func moment(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// SMPPServer gives the counters of the SMPP server, none when it is disabled.
func (s consoleStats) SMPPServer() jcli.SMPPServerStats {
	srv := s.g.smpp
	if srv == nil {
		return jcli.SMPPServerStats{}
	}
	c := &srv.Stats
	return jcli.SMPPServerStats{
		CreatedAt: c.CreatedAt, LastReceivedPDUAt: c.LastReceivedPDUAt.Time(), LastSentPDUAt: c.LastSentPDUAt.Time(), LastReceivedElinkAt: c.LastReceivedElinkAt.Time(),
		ConnectedCount: int64(srv.Connected()), ConnectCount: c.ConnectCount.Load(), DisconnectCount: c.DisconnectCount.Load(),
		BoundTRXCount: c.BoundTRXCount.Load(), BoundRXCount: c.BoundRXCount.Load(), BoundTXCount: c.BoundTXCount.Load(),
		BindTRXCount: c.BindTRXCount.Load(), BindRXCount: c.BindRXCount.Load(), BindTXCount: c.BindTXCount.Load(), UnbindCount: c.UnbindCount.Load(),
		SubmitSMRequestCount: c.SubmitSMRequestCount.Load(), SubmitSMCount: c.SubmitSMCount.Load(),
		DeliverSMCount: c.DeliverSMCount.Load(), DataSMCount: c.DataSMCount.Load(), ElinkCount: c.ElinkCount.Load(),
		ThrottlingErrorCount: c.ThrottlingErrorCount.Load(), OtherSubmitErrorCount: c.OtherSubmitErrorCount.Load(),
		InterceptorCount: c.InterceptorCount.Load(), InterceptorErrorCount: c.InterceptorErrorCount.Load(),
	}
}

// User gives the counters of a user, zero for what he has not done.
func (s consoleStats) User(uid sms.UserID) jcli.UserStats {
	var out jcli.UserStats
	if s.g.http != nil {
		if u := s.g.http.User(uid); u != nil {
			h := &out.HTTP
			h.ConnectsCount, h.SubmitSMRequestCount = u.Connects.Load(), u.SubmitRequests.Load()
			h.RateRequestCount, h.BalanceRequestCount = u.RateRequests.Load(), u.BalanceRequests.Load()
			h.LastActivityAt, h.QoSLastSubmitSMAt = moment(u.LastActivityAt.Load()), moment(u.LastSubmitAt.Load())
		}
	}
	if s.g.smpp == nil {
		return out
	}
	u, elinks, sessions := s.g.smpp.User(uid)
	if u == nil {
		return out
	}
	m := &out.SMPP
	m.BindCount, m.UnbindCount, m.ElinkCount = u.BindCount.Load(), u.UnbindCount.Load(), elinks
	m.SubmitSMRequestCount, m.SubmitSMCount = u.SubmitSMRequestCount.Load(), u.SubmitSMCount.Load()
	m.DeliverSMCount, m.DataSMCount = u.DeliverSMCount.Load(), u.DataSMCount.Load()
	m.ThrottlingErrorCount, m.OtherSubmitErrorCount = u.ThrottlingErrorCount.Load(), u.OtherSubmitErrorCount.Load()
	m.LastActivityAt, m.QoSLastSubmitSMAt = u.LastActivityAt.Time(), u.QoSLastSubmitSMAt.Time()
	for _, b := range sessions {
		kind := "bind_transceiver"
		switch b.Type {
		case pdu.Transmitter:
			kind = "bind_transmitter"
			m.BoundTransmitter++
		case pdu.Receiver:
			kind = "bind_receiver"
			m.BoundReceiver++
		default:
			m.BoundTransceiver++
		}
		m.Peers = append(m.Peers, jcli.Peer{Address: b.Address, Bind: kind, BoundAt: b.At})
	}
	return out
}
