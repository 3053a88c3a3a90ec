package gateway

import (
	"context"
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

// countLetters counts the dead letters by the queue that they were in.
func (g *Gateway) countLetters(emit metrics.Emit) {
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
}
