package deadletter

import (
	"context"
	"time"

	"jasmind/internal/metrics"
)

// scrapeWait is how long a scrape waits for numbers that the store has.
const scrapeWait = 2 * time.Second

// Observe adds what is shown of dead letters.
func (o *Office) Observe(s *metrics.Set) {
	s.Counters(&o.Metrics)
	s.GaugeEach("jasmind_dead_letters", "Dead letters in the store, by the queue that they were in.", "queue", func(emit metrics.Emit) {
		ctx, cancel := context.WithTimeout(context.Background(), scrapeWait)
		defer cancel()
		counts, err := o.store.CountLetters(ctx)
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
