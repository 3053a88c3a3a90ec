package gateway

import (
	"context"
	"sync/atomic"
	"time"

	"jasmind/internal/deadletter"
	"jasmind/internal/metrics"
)

// startDeadLetters keeps what was given up where the console can show it.
func (g *Gateway) startDeadLetters() {
	g.letters = deadletter.New(g.cfg.DeadLetters, g.backend.broker, g.backend.journal, g.backend.letters, g.logs.manager)
	g.run("dead letters", g.letters.Run)
}

// scrapeWait is how long /metrics waits for numbers that the store has.
const scrapeWait = 2 * time.Second

// deadLetterMetrics adds what /metrics shows of dead letters.
func (g *Gateway) deadLetterMetrics(s *metrics.Set) {
	m := &g.letters.Metrics
	for _, c := range []struct {
		name, help string
		v          *atomic.Int64
	}{
		{"jasmind_dead_letters_kept_total", "Dead letters moved into the store.", &m.Kept},
		{"jasmind_dead_letters_replayed_total", "Dead letters brought back to their queues.", &m.Replayed},
		{"jasmind_dead_letters_purged_total", "Dead letters dropped by an operator.", &m.Purged},
		{"jasmind_dead_letters_expired_total", "Dead letters dropped because of their age.", &m.Expired},
	} {
		s.Counter(c.name, c.help, func() float64 { return float64(c.v.Load()) })
	}
	s.GaugeEach("jasmind_dead_letters", "Dead letters in the store, by the queue that they were in.", "queue", func(emit metrics.Emit) {
		ctx, cancel := context.WithTimeout(g.ctx, scrapeWait)
		defer cancel()
		counts, err := g.backend.letters.CountLetters(ctx)
		if err != nil {
			return // the store is away, which other numbers say
		}
		byQueue := make(map[string]int)
		for _, c := range counts {
			byQueue[string(c.Queue)] += c.Count
		}
		for queue, n := range byQueue {
			emit(queue, float64(n))
		}
	})
}
