package gateway

import (
	"sync/atomic"

	"jasmind/internal/metrics"
	"jasmind/internal/mo"
)

// startMO makes the MO flow. It is there before the connectors are.
func (g *Gateway) startMO() {
	g.mo = mo.New(g.cfg.MO, mo.Deps{
		Snapshots: g.state, Scripts: g.scripts, HasSession: g.esmes.HasSession,
		Journal: g.backend.journal, Parts: g.backend.parts, Intercepted: g.counters.Intercepted,
		Messages: g.logs.messages, Log: g.logs.manager,
	})
}

// moMetrics adds what /metrics shows of the MO flow.
func (g *Gateway) moMetrics(s *metrics.Set) {
	m := &g.mo.Metrics
	for _, c := range []struct {
		name, help string
		v          *atomic.Int64
	}{
		{"jasmind_mo_accepted_total", "MO answered with ESME_ROK, parts of long ones and those without a route included.", &m.Accepted},
		{"jasmind_mo_refused_total", "MO answered with an error: by an interceptor, or because they could not be made durable.", &m.Refused},
		{"jasmind_mo_parts_total", "Parts of long MO that were stored.", &m.Parts},
		{"jasmind_mo_joined_total", "Long MO queued with all parts.", &m.Joined},
		{"jasmind_mo_incomplete_total", "Long MO queued without some parts, after long_mo_timeout.", &m.Incomplete},
		{"jasmind_mo_repeats_total", "Parts of MO that came again after their message, dropped.", &m.Repeats},
		{"jasmind_mo_http_total", "MO queued for URLs.", &m.HTTP},
		{"jasmind_mo_smpps_total", "MO queued for ESMEs.", &m.SMPPS},
		{"jasmind_mo_unrouted_total", "MO without a route, moved to the dead-letter queue.", &m.Unrouted},
	} {
		s.Counter(c.name, c.help, func() float64 { return float64(c.v.Load()) })
	}
}
