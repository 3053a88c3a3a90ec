package redis_test

import (
	"fmt"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"jasmind/internal/billing"
	"jasmind/internal/journal"
	"jasmind/internal/queue"
	"jasmind/internal/store/redis"
	"jasmind/internal/testenv"
)

// The sets that tell repeats are full of what an earlier clock, a day ahead, has put there. What comes now is remembered all
// the same.
func TestAClockSetBackKeepsTheProtectionFromRepeats(t *testing.T) {
	db := testenv.Redis(t)
	s := open(t, redis.Config{URL: db.URL(), Prefix: "c:"})
	o, err := goredis.ParseURL(db.URL())
	must(t, err)
	client := goredis.NewClient(o)
	defer client.Close()
	ahead := float64(time.Now().Add(24 * time.Hour).UnixMicro())
	fill := func(key string, n int) {
		t.Helper()
		zs := make([]goredis.Z, n)
		for i := range zs {
			zs[i] = goredis.Z{Score: ahead + float64(i), Member: fmt.Sprintf("old-%06d", i)}
		}
		must(t, client.ZAdd(t.Context(), key, zs...).Err())
	}

	d := &queue.Delivery{Queue: "submit.sm.smsc", Message: queue.Message{ID: "m"}}
	fill("c:settled:submit.sm.smsc", 65536)
	must(t, s.Apply(t.Context(), &journal.Entry{Ack: []journal.Ack{{Delivery: d, Remember: true}}}))
	if got, err := s.Settled(t.Context(), []*queue.Delivery{d}); err != nil || !got[0] {
		t.Errorf("an attempt that was settled: found %v, %v", got, err)
	}

	must(t, s.Set(t.Context(), "u1", billing.QuotaBalance, billing.Credit{HasBalance: true, Balance: 10}))
	fill("c:bills:owed:u1", 16384)
	for range 2 {
		must(t, s.Apply(t.Context(), &journal.Entry{Charges: []billing.Charge{{UID: "u1", Bill: "b", Amount: 3, Owed: true}}}))
	}
	if c, err := s.Credit(t.Context(), "u1", billing.Credit{}); err != nil || c.Balance != 7 {
		t.Errorf("a bill that came twice: %v left, %v; want 7", c.Balance, err)
	}

	letter := queue.Letter{ID: "l", Queue: "submit.sm.smsc", Cause: queue.CauseHeld}
	fill("c:letters:gone", 65536)
	must(t, s.Apply(t.Context(), &journal.Entry{Letters: []queue.Letter{letter}}))
	must(t, s.Apply(t.Context(), &journal.Entry{DropLetters: []queue.LetterID{"l"}}))
	must(t, s.Apply(t.Context(), &journal.Entry{Letters: []queue.Letter{letter}})) // its delivery came again
	if _, ok, err := s.Letter(t.Context(), "l"); ok || err != nil {
		t.Errorf("a dead letter that was dropped is there again: %v, %v", ok, err)
	}
}
