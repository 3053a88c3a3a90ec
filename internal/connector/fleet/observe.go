package fleet

import (
	"strings"

	"jasmind/internal/metrics"
	"jasmind/internal/sms"
)

// Observe adds what is shown of each connector's counters.
func (c *Counters) Observe(s *metrics.Set) { metrics.CountersEach(s, "cid", c.Each) }

// Observe adds what is shown of the connectors' sessions, and of how far they are from what is wanted.
func (f *Fleet) Observe(s *metrics.Set) {
	s.GaugeEach("jasmind_smppc_sessions", "Sessions of a connector that are bound now.", "cid", func(emit metrics.Emit) {
		f.Each(func(cid sms.ConnectorID, _ State) {
			n := 0
			for _, st := range f.Sessions(cid) {
				if strings.HasPrefix(st, "BOUND_") {
					n++
				}
			}
			emit(string(cid), float64(n))
		})
	})
	s.GaugeEach("jasmind_smppc_orphaned", "Messages that wait for a connector that is not configured.", "cid", func(emit metrics.Emit) {
		for _, o := range f.Orphans() {
			emit(string(o.CID), float64(o.Messages))
		}
	})
	s.GaugeEach("jasmind_smppc_not_as_configured", "1 while a connector is not as the configuration wants it: it drains, or something fails and is tried again.", "cid", func(emit metrics.Emit) {
		f.Each(func(cid sms.ConnectorID, st State) {
			v := 0.0
			if !st.AsWanted {
				v = 1
			}
			emit(string(cid), v)
		})
	})
	s.CounterEach("jasmind_smppc_configure_failures_total", "Failed tries to make a connector what the configuration wants.", "cid", func(emit metrics.Emit) {
		f.Each(func(cid sms.ConnectorID, st State) { emit(string(cid), float64(st.Failures)) })
	})
}
