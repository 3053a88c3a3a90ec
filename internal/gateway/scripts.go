package gateway

import (
	"context"
	"sync/atomic"

	"jasmind/internal/intercept"
	"jasmind/internal/metrics"
	"jasmind/internal/provision"
)

// startScripts makes the pool that runs scripts. It starts no interpreter before one is needed.
func (g *Gateway) startScripts() {
	g.pool = intercept.New(g.cfg.Interceptor, g.logs.scripts)
	g.scripts = provision.NewScripts(g.pool, g.logs.scripts)
	g.run("script check", func(ctx context.Context) error { return g.scripts.Watch(ctx, g.state) })
}

// scriptMetrics adds what /metrics shows of scripts.
func (g *Gateway) scriptMetrics(s *metrics.Set) {
	st := &g.pool.Stats
	for _, m := range []struct {
		name, help string
		v          *atomic.Int64
	}{
		{"jasmind_interceptor_runs_total", "Scripts run, those of filters included.", &st.Runs},
		{"jasmind_interceptor_refused_total", "Messages that a script refused.", &st.Refused},
		{"jasmind_interceptor_answered_total", "Messages that a script answered by itself.", &st.Answered},
		{"jasmind_interceptor_failed_total", "Runs that ended in an error, those stopped and crashed included.", &st.Failed},
		{"jasmind_interceptor_timed_out_total", "Runs stopped at their deadline.", &st.TimedOut},
		{"jasmind_interceptor_crashed_total", "Workers that ended by themselves.", &st.Crashed},
		{"jasmind_interceptor_busy_total", "Messages for which no worker became free.", &st.Busy},
		{"jasmind_interceptor_started_total", "Worker processes started.", &st.Started},
	} {
		s.Counter(m.name, m.help, func() float64 { return float64(m.v.Load()) })
	}
}
