package loadgen

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// bench is a run with senders and without connections.
func bench(t *testing.T, cfg Config, senders int) (*run, []*sender) {
	t.Helper()
	cfg.Protocol, cfg.URL, cfg.To = HTTP, "http://127.0.0.1:1/send", "1"
	cfg = cfg.withDefaults()
	m, err := newMaker(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r := &run{cfg: cfg, maker: m, release: make(chan struct{}), open: make(chan struct{}), ready: make(chan struct{}, 1), senders: senders}
	r.tally = &tally{start: time.Now()}
	r.hard, r.abort = context.WithCancelCause(t.Context())
	r.soft, r.quit = context.WithCancel(r.hard)
	r.sending.Add(senders)
	var list []*sender
	for i := range senders {
		list = append(list, newSender(r, i, 1))
	}
	return r, list
}

func TestPaceIsExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, senders := bench(t, Config{Rate: 400}, 3)
		start := time.Now()
		r.begin(&schedule{first: 1, count: 1000, start: start, rate: 400}, true)
		sent := make([][]time.Duration, len(senders))
		for i, l := range senders {
			l.sched, l.last = r.phase, true
			go func() {
				for {
					u, ok := l.next(r.hard)
					if !ok {
						l.close("")
						return
					}
					sent[i] = append(sent[i], time.Since(start))
					l.accepted(u, "x")
				}
			}()
		}
		r.sending.Wait()
		all := slices.Concat(sent...)
		slices.Sort(all)
		if len(all) != 1000 {
			t.Fatalf("%d messages, want 1000", len(all))
		}
		for i, d := range all {
			if want := time.Duration(i) * 2500 * time.Microsecond; d != want {
				t.Fatalf("message %d was sent after %s, want %s", i+1, d, want)
			}
		}
		if l := r.tally.lag.latency(); l.Max > 0.001 {
			t.Errorf("sent late by %+v", l)
		}
	})
}

// A gateway that stalls for a second delays a hundred messages: each of them has waited, not only the one
// that was in flight.
func TestLatencyCountsFromDueTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, senders := bench(t, Config{Rate: 100}, 1)
		l := senders[0]
		l.sched, l.last = &schedule{first: 1, count: 200, start: time.Now(), rate: 100}, true
		for {
			u, ok := l.next(r.hard)
			if !ok {
				break
			}
			if u.n == 50 {
				time.Sleep(time.Second)
			}
			l.accepted(u, "x")
		}
		l.close("")
		got := r.tally.latency.latency()
		// 101 messages were due while it stalled and waited 0 to 1000 ms; 99 did not wait.
		if got.Count != 200 || got.P50 > 20 || got.P90 < 750 || got.P90 > 850 || got.Max < 999 || got.Max > 1001 {
			t.Errorf("latency %+v", got)
		}
		if lag := r.tally.lag.latency(); lag.P90 < 750 || lag.P90 > 850 {
			t.Errorf("lag %+v", lag)
		}
	})
}

func TestDurationEndsTheSchedule(t *testing.T) {
	for _, rate := range []float64{0, 10} {
		synctest.Test(t, func(t *testing.T) {
			r, senders := bench(t, Config{Rate: rate}, 1)
			l, start, n := senders[0], time.Now(), 0
			l.sched, l.last = &schedule{first: 1, start: start, end: start.Add(2 * time.Second), rate: rate}, true
			for {
				u, ok := l.next(r.hard)
				if !ok {
					break
				}
				n++
				time.Sleep(50 * time.Millisecond)
				l.accepted(u, "x")
			}
			l.close("")
			if want := map[float64]int{0: 40, 10: 20}[rate]; n != want {
				t.Errorf("rate %v: %d messages, want %d", rate, n, want)
			}
		})
	}
}

func TestRetryWaitsItsDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, senders := bench(t, Config{Retries: 2, RetryDelay: 3 * time.Second}, 1)
		l, start := senders[0], time.Now()
		l.sched, l.last = &schedule{first: 1, count: 1, start: start}, true
		var at []time.Duration
		for {
			u, ok := l.next(r.hard)
			if !ok {
				break
			}
			at = append(at, time.Since(start))
			l.refused(u, "busy", true)
		}
		l.close("")
		if want := []time.Duration{0, 3 * time.Second, 6 * time.Second}; !slices.Equal(at, want) {
			t.Errorf("sent at %v, want %v", at, want)
		}
		if c := r.tally.counts(); c != (Counts{Sent: 1, Rejected: 1, Requests: 3, Retries: 2}) {
			t.Errorf("counts %+v", c)
		}
	})
}

// next says no only when all that is in flight has been answered, since an answer may ask for another try.
func TestNextWaitsForAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, senders := bench(t, Config{Retries: 1, RetryDelay: time.Second}, 1)
		l := senders[0]
		l.sched, l.last = &schedule{first: 1, count: 1, start: time.Now()}, true
		u, _ := l.next(r.hard)
		go func() {
			time.Sleep(time.Minute)
			l.refused(u, "busy", true)
		}()
		again, ok := l.next(r.hard)
		if !ok || again.n != 1 || again.tries != 1 {
			t.Fatalf("got %+v, %v", again, ok)
		}
		l.accepted(again, "x")
		if _, ok := l.next(r.hard); ok {
			t.Error("there is more to send")
		}
		l.close("")
	})
}

func TestStopGivesUpWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, senders := bench(t, Config{Retries: 5, RetryDelay: time.Hour}, 1)
		l := senders[0]
		l.sched, l.last = &schedule{first: 1, count: 10, start: time.Now()}, true
		u, _ := l.next(r.hard)
		l.refused(u, "busy", true)
		go func() {
			time.Sleep(time.Second)
			r.quit()
		}()
		if u, ok := l.next(r.hard); ok {
			t.Fatalf("got %+v", u)
		}
		l.close("")
		if c := r.tally.counts(); c != (Counts{Sent: 1, Rejected: 1, Requests: 1, Retries: 1}) {
			t.Errorf("counts %+v", c)
		}
	})
}
