package gateway

import (
	"net/http"

	"jasmind/internal/account"
	"jasmind/internal/connector/fleet"
	"jasmind/internal/metrics"
	"jasmind/internal/sms"
)

// metrics puts together what /metrics shows: the original's names for what exists here, and
// ours with the prefix jasmind_.
func (g *Gateway) metrics() (http.Handler, error) {
	var s metrics.Set
	for _, stats := range []any{
		&g.http.Stats, &g.smppServer().Stats, g.bills, &g.lookup.Metrics, &g.esmes.Metrics, &g.letters.Metrics, &g.pool.Stats, &g.mo.Metrics, &g.logins.Stats, &account.Patterns,
	} {
		s.Counters(stats)
	}
	s.CountersOf("dlr", &g.thrower.Metrics)
	s.CountersOf("mo", &g.moThrower.Metrics)
	metrics.CountersEach(&s, "cid", g.counters.Each)
	s.Counter("jasmind_log_lines_dropped_total", "Log lines dropped because their buffer was full.", func() float64 { return float64(g.logs.all.Dropped()) })
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
	s.GaugeEach("jasmind_dead_letters", "Dead letters in the store, by the queue that they were in.", "queue", g.countLetters)
	if db := g.backend.db; db != nil {
		s.Gauge("jasmind_embedded_free_bytes", "Free space on the embedded database's disk.", func() float64 { return float64(db.Space().Free) })
		s.Gauge("jasmind_embedded_disk_bytes", "Space that the embedded database uses.", func() float64 { return float64(db.Metrics().Disk) })
	}
	if store := g.backend.redis; store != nil {
		s.Gauge("jasmind_redis_up", "1 while Redis answers.", func() float64 {
			if store.Healthy() != nil {
				return 0
			}
			return 1
		})
		s.Gauge("jasmind_redis_low_memory", "1 while no message is accepted because Redis has little memory left.", func() float64 {
			if store.Memory().Low {
				return 1
			}
			return 0
		})
		s.Gauge("jasmind_redis_free_bytes", "What is left of Redis's maxmemory; 0 without one.", func() float64 { return float64(store.Memory().Free) })
	}
	return s.Handler()
}
