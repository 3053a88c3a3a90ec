package gateway

import (
	"cmp"

	"jasmind/internal/admission"
)

// shareFiles bounds what opens files and connections by how many the process may have open, so that no flood of connections
// keeps the database from its files, and gives the doors the budget that they share.
func (g *Gateway) shareFiles() {
	files := cmp.Or(g.cfg.OpenFiles, admission.OpenFiles())
	http, smpp, console := &g.cfg.HTTP, &g.cfg.SMPPServer, &g.cfg.Console
	doors := []struct {
		name                 string
		disabled             bool
		max, perAddress      *int
		spare                int // connections beyond max
		defMax, defPerOrigin int
	}{
		{"http-api", http.Disabled, &http.MaxConns, &http.MaxPerAddress, 0, 10000, 1000},
		{"smpp-server", smpp.Disabled, &smpp.MaxConnections, &smpp.MaxPerAddress, 0, 10000, 1000},
		{"jcli", g.cfg.ConsoleDisabled, &console.MaxSessions, &console.MaxPerAddress, 10, 100, 50},
	}
	wants := make([]int, len(doors))
	for i, d := range doors {
		if !d.disabled {
			wants[i] = cmp.Or(*d.max, d.defMax) + d.spare
		}
	}
	database, may := admission.Split(files, wants...)
	g.cfg.Database.OpenFiles = database
	for i, d := range doors {
		if d.disabled {
			continue
		}
		if may[i] < wants[i] {
			if configured := wants[i] - d.spare; configured != d.defMax {
				g.logs.manager.Warn("connections are limited by the number of open files", "door", d.name, "configured", configured, "open_files", files)
			}
			*d.max = max(may[i]-d.spare, 1)
			*d.perAddress = min(cmp.Or(*d.perAddress, d.defPerOrigin), max(*d.max/2, 1))
		}
		g.logs.manager.Info("connections that a door takes", "door", d.name, "connections", cmp.Or(*d.max, d.defMax), "per_address", cmp.Or(*d.perAddress, d.defPerOrigin), "open_files", files)
	}
	budget := admission.NewBudget(g.cfg.Budget)
	http.Budget, smpp.Budget, console.Budget = budget, budget, budget
	g.metrics.Counters(&budget.Stats)
	g.metrics.Gauge("jasmind_unauthenticated_octets", "Octets in hand of clients that have not authenticated.", func() float64 { return float64(budget.InHand()) })
}
