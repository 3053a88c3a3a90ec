package gateway

import (
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
