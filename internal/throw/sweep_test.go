package throw

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"jasmind/internal/queue"
)

// asked is a broker that counts how often it is asked.
type asked struct {
	*lossy
	lengths, consumes map[queue.Name]int
}

func (b *asked) Length(ctx context.Context, n queue.Name) (int, error) {
	b.mu.Lock()
	b.lengths[n]++
	there := b.queues[n] != nil
	b.mu.Unlock()
	if !there {
		return 0, queue.ErrNoQueue
	}
	return b.lossy.Length(ctx, n)
}

func (b *asked) Consume(ctx context.Context, n queue.Name, prefetch int) (queue.Consumer, error) {
	b.mu.Lock()
	b.consumes[n]++
	b.mu.Unlock()
	return b.lossy.Consume(ctx, n, prefetch)
}

// A queue is taken from when something in it is due, and not each time: a broker may count what is given back. One that is not there is asked
// for once, since each time is an error in the broker's log.
func TestSweeperStaysAwayUntilSomethingIsDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &asked{newLossy(), map[queue.Name]int{}, map[queue.Name]int{}}
		away := queue.ESME("away")
		for _, age := range []time.Duration{3 * time.Hour, 2 * time.Hour} {
			d := dlrFor("away", age.String(), "336")
			d.CreatedAt = time.Now().Add(-age)
			b.put(away, d.Message())
		}
		log := slog.New(slog.DiscardHandler)
		th := NewSMPPS(SMPPSConfig{Hold: 48 * time.Hour}, b, b, func() []string { return []string{"away", "never"} }, log)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := th.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(40 * time.Hour) // 240 sweeps
		synctest.Wait()
		b.mu.Lock()
		taken, looked := b.consumes[away], b.lengths[queue.ESME("never")]
		b.mu.Unlock()
		if taken != 1 || looked != 1 || b.left(away) != 2 {
			t.Errorf("in 40 hours %d times taken from, %d times asked for one that is not there, %d of 2 left; want 1, 1, 2",
				taken, looked, b.left(away))
		}
		time.Sleep(8 * time.Hour)
		synctest.Wait()
		b.mu.Lock()
		taken = b.consumes[away]
		b.mu.Unlock()
		if b.left(away) != 0 || b.left(queue.DeadLetter) != 2 || taken > 3 {
			t.Errorf("after 48 hours %d are left and %d dead letters, taken from %d times; want 0, 2, and at most 3", b.left(away), b.left(queue.DeadLetter), taken)
		}
		// The end of a session is no reason to look.
		b.mu.Lock()
		before := b.lengths[away]
		b.mu.Unlock()
		for range 10 {
			s := newSession("away", 1, nil)
			th.Bound("away", s)
			synctest.Wait()
			th.Unbound("away", s)
			synctest.Wait()
		}
		b.mu.Lock()
		looked = b.lengths[away] - before
		b.mu.Unlock()
		if looked != 0 {
			t.Errorf("looked at %d times because a session had ended", looked)
		}
		// One that is declared meanwhile is looked at again.
		late := dlrFor("never", "late", "336")
		b.put(queue.DLRThrowerSMPPS, late.Message())
		time.Sleep(72 * time.Hour)
		synctest.Wait()
		if b.left(queue.ESME("never")) != 0 || b.left(queue.DeadLetter) != 3 {
			t.Errorf("%d are left, %d dead letters; want 0 and 3", b.left(queue.ESME("never")), b.left(queue.DeadLetter))
		}
		cancel()
		wg.Wait()
	})
}
