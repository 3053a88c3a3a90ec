package deadletter_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"jasmind/internal/deadletter"
	"jasmind/internal/journal"
	"jasmind/internal/journal/embedded"
	"jasmind/internal/journal/services"
	"jasmind/internal/localdb"
	"jasmind/internal/queue"
	queuepebble "jasmind/internal/queue/pebble"
	"jasmind/internal/queue/rabbit"
	storepebble "jasmind/internal/store/pebble"
	storeredis "jasmind/internal/store/redis"
	"jasmind/internal/testenv"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
}

const patience = 5 * time.Minute // a busy machine is no reason to give up

var discard = slog.New(slog.DiscardHandler)

// broker is what both queue drivers have.
type broker interface {
	Declare(ctx context.Context, names ...queue.Name) error
	Consume(ctx context.Context, name queue.Name, prefetch int) (queue.Consumer, error)
	Length(ctx context.Context, name queue.Name) (int, error)
	Publish(ctx context.Context, ps ...queue.Publication) error
}

// place is queues, records and the journal over both, which can be closed and opened again.
type place struct {
	broker
	journal journal.Journal
	store   journal.Letters
	close   func()
	reopen  func(t *testing.T) *place
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func embeddedPlace(t *testing.T) *place {
	dir := t.TempDir()
	var open func(t *testing.T) *place
	open = func(t *testing.T) *place {
		db, err := localdb.Open(dir, localdb.Config{})
		must(t, err)
		q, err := queuepebble.New(db, queuepebble.Config{})
		must(t, err)
		s := storepebble.New(db)
		p := &place{broker: q, journal: embedded.New(db, q, s), store: s, reopen: open,
			close: sync.OnceFunc(func() { must(t, errors.Join(q.Close(), db.Close())) })}
		t.Cleanup(p.close)
		return p
	}
	return open(t)
}

func servicesPlace(t *testing.T) *place {
	bc := rabbit.Config{URL: testenv.RabbitMQ(t).URL(), DialTimeout: patience, ConfirmTimeout: patience, Logger: discard}
	rc := storeredis.Config{URL: testenv.Redis(t).URL(), DialTimeout: patience, Timeout: patience, Logger: discard}
	var open func(t *testing.T) *place
	open = func(t *testing.T) *place {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		b, err := rabbit.Open(ctx, bc)
		must(t, err)
		s, err := storeredis.Open(ctx, rc)
		must(t, err)
		p := &place{broker: b, journal: services.New(b, s), store: s, reopen: open,
			close: sync.OnceFunc(func() { must(t, errors.Join(b.Close(), s.Close())) })}
		t.Cleanup(p.close)
		return p
	}
	return open(t)
}

// both runs a test over both modes.
func both(t *testing.T, f func(t *testing.T, p *place)) {
	for name, open := range map[string]func(*testing.T) *place{"embedded": embeddedPlace, "services": servicesPlace} {
		t.Run(name, func(t *testing.T) {
			p := open(t)
			must(t, p.Declare(t.Context(), queue.DeadLetter, queue.DLRThrowerHTTP, queue.DLRThrowerSMPPS))
			f(t, p)
		})
	}
}

// run runs an office until the test, or the function it gives, ends it.
func (p *place) run(t *testing.T, cfg deadletter.Config) (*deadletter.Office, func()) {
	o := deadletter.New(cfg, p, p.journal, p.store, discard)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := o.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	stop := sync.OnceFunc(func() { cancel(); wg.Wait() })
	t.Cleanup(stop)
	return o, stop
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("still waiting for %s", what)
		}
	}
}

func message(id string) queue.Message {
	return queue.Message{ID: id, ContentType: queue.ContentText, Body: []byte("body of " + id), Headers: queue.Headers{{Name: queue.HeaderThrows, Int: 4, IsInt: true}}}
}

// bury puts letters into the queue that are named prefix-0, prefix-1, ...
func (p *place) bury(t *testing.T, from queue.Name, cause queue.Cause, prefix string, n int) {
	t.Helper()
	var ps []queue.Publication
	for i := range n {
		ps = append(ps, queue.BuryAs(&queue.Delivery{Queue: from, Message: message(fmt.Sprint(prefix, "-", i))}, cause, "because"))
	}
	must(t, p.Publish(t.Context(), ps...))
}

func count(t *testing.T, o *deadletter.Office) deadletter.Summary {
	t.Helper()
	s, err := o.Count(t.Context())
	must(t, err)
	return s
}

func (p *place) kept(t *testing.T, o *deadletter.Office, n int) {
	t.Helper()
	eventually(t, fmt.Sprint(n, " letters in the store"), func() bool { return count(t, o).Total == n })
}

// take takes n messages out of a queue and gives their ids; then the queue is empty.
func (p *place) take(t *testing.T, name queue.Name, n int) []string {
	t.Helper()
	c, err := p.Consume(t.Context(), name, max(n, 1))
	must(t, err)
	var ids []string
	var e journal.Entry
	for range n {
		select {
		case d := <-c.C():
			ids = append(ids, d.ID)
			if d.Attempts != 0 || d.Headers.Has(queue.HeaderThrows) || d.Headers.Has(queue.HeaderDeadID) || d.Headers.Int(queue.HeaderReplayedAt) == 0 {
				t.Errorf("%s came back with attempts %d and headers %v", d.ID, d.Attempts, d.Headers)
			}
			e.Ack = append(e.Ack, journal.Ack{Delivery: d})
		case <-time.After(patience):
			t.Fatalf("%d of %d messages came back: %v", len(ids), n, ids)
		}
	}
	must(t, p.journal.Commit(t.Context(), &e))
	must(t, c.Close(t.Context()))
	left, err := p.Length(t.Context(), name)
	must(t, err)
	if left != 0 {
		t.Errorf("%d more messages in %s", left, name)
	}
	return ids
}

func named(prefix string, from, to int) []string {
	var out []string
	for i := from; i < to; i++ {
		out = append(out, fmt.Sprint(prefix, "-", i))
	}
	return out
}

func TestLettersAreKeptCountedAndListed(t *testing.T) {
	both(t, func(t *testing.T, p *place) {
		o, _ := p.run(t, deadletter.Config{})
		p.bury(t, queue.DLRThrowerHTTP, queue.CauseRetries, "a", 5)
		p.bury(t, queue.DLRThrowerSMPPS, queue.CauseHeld, "b", 2)
		p.kept(t, o, 7)
		s := count(t, o)
		want := []journal.LetterCount{{Queue: queue.DLRThrowerHTTP, Cause: queue.CauseRetries, Count: 5}, {Queue: queue.DLRThrowerSMPPS, Cause: queue.CauseHeld, Count: 2}}
		if !slices.Equal(s.Counts, want) {
			t.Errorf("counts %v, want %v", s.Counts, want)
		}
		eventually(t, "nothing waits", func() bool { return count(t, o).Waiting == 0 })
		ls, err := o.List(t.Context(), queue.DLRThrowerHTTP, "", 3)
		must(t, err)
		if len(ls) != 3 || ls[0].Message.ID != "a-0" || ls[2].Message.ID != "a-2" || ls[0].Reason != "because" {
			t.Errorf("listed %+v", ls)
		}
		l, ok, err := o.Show(t.Context(), ls[1].ID)
		must(t, err)
		if !ok || string(l.Message.Body) != "body of a-1" || l.Message.Headers.Int(queue.HeaderThrows) != 4 {
			t.Errorf("shown %t %+v", ok, l)
		}
	})
}

func TestReplayBringsLettersBackInOrderOnce(t *testing.T) {
	both(t, func(t *testing.T, p *place) {
		o, _ := p.run(t, deadletter.Config{})
		p.bury(t, queue.DLRThrowerHTTP, queue.CauseRetries, "a", 300)
		p.bury(t, queue.DLRThrowerSMPPS, queue.CauseHeld, "b", 3)
		p.kept(t, o, 303)
		ls, err := o.List(t.Context(), "", "", 1)
		must(t, err)
		one, err := o.Replay(t.Context(), deadletter.Selection{ID: ls[0].ID}, false)
		must(t, err)
		if one.Done != 1 {
			t.Errorf("one: %+v", one)
		}
		if _, err := o.Replay(t.Context(), deadletter.Selection{ID: ls[0].ID}, false); !errors.Is(err, deadletter.ErrNoLetter) {
			t.Errorf("the same again: %v", err)
		}
		r, err := o.Replay(t.Context(), deadletter.Selection{Queue: queue.DLRThrowerHTTP}, false)
		must(t, err)
		if r.Done != 299 || r.Claimed+r.NoQueue+r.Unclear != 0 {
			t.Errorf("all of the queue: %+v", r)
		}
		if got := p.take(t, queue.DLRThrowerHTTP, 300); !slices.Equal(got, named("a", 0, 300)) {
			t.Errorf("came back %v", got)
		}
		r, err = o.Replay(t.Context(), deadletter.Selection{}, false)
		must(t, err)
		if got := p.take(t, queue.DLRThrowerSMPPS, 3); r.Done != 3 || !slices.Equal(got, named("b", 0, 3)) {
			t.Errorf("all: %+v, came back %v", r, got)
		}
		if s := count(t, o); s.Total != 0 {
			t.Errorf("left are %+v", s)
		}
	})
}

func TestLettersOfAQueueThatIsGoneStay(t *testing.T) {
	both(t, func(t *testing.T, p *place) {
		o, _ := p.run(t, deadletter.Config{})
		p.bury(t, queue.SubmitSM("removed"), queue.CauseUndecodable, "a", 2)
		p.bury(t, queue.DLRThrowerHTTP, queue.CauseRetries, "b", 2)
		p.kept(t, o, 4)
		r, err := o.Replay(t.Context(), deadletter.Selection{}, false)
		must(t, err)
		if r.Done != 2 || r.NoQueue != 2 {
			t.Errorf("got %+v", r)
		}
		p.kept(t, o, 2)
		must(t, p.Declare(t.Context(), queue.SubmitSM("removed")))
		if r, err = o.Replay(t.Context(), deadletter.Selection{}, false); err != nil || r.Done != 2 {
			t.Errorf("when it is back: %+v, %v", r, err)
		}
	})
}

func TestPurge(t *testing.T) {
	both(t, func(t *testing.T, p *place) {
		o, _ := p.run(t, deadletter.Config{})
		p.bury(t, queue.DLRThrowerHTTP, queue.CauseRetries, "a", 200)
		p.bury(t, queue.DLRThrowerSMPPS, queue.CauseHeld, "b", 3)
		p.kept(t, o, 203)
		ls, err := o.List(t.Context(), "", "", 1)
		must(t, err)
		if r, err := o.Purge(t.Context(), deadletter.Selection{ID: ls[0].ID, Queue: queue.DLRThrowerSMPPS}); !errors.Is(err, deadletter.ErrNoLetter) {
			t.Errorf("one of another queue: %+v, %v", r, err)
		}
		if r, err := o.Purge(t.Context(), deadletter.Selection{ID: ls[0].ID}); err != nil || r.Done != 1 {
			t.Errorf("one: %+v, %v", r, err)
		}
		if r, err := o.Purge(t.Context(), deadletter.Selection{Queue: queue.DLRThrowerHTTP}); err != nil || r.Done != 199 {
			t.Errorf("all of the queue: %+v, %v", r, err)
		}
		if r, err := o.Purge(t.Context(), deadletter.Selection{}); err != nil || r.Done != 3 {
			t.Errorf("all: %+v, %v", r, err)
		}
		if s := count(t, o); s.Total != 0 {
			t.Errorf("left are %+v", s)
		}
	})
}

// More letters than the store may hold wait in their queue, in order, and move when there is room,
// also after a restart.
func TestAFloodStaysInTheQueue(t *testing.T) {
	both(t, func(t *testing.T, p *place) {
		cfg := deadletter.Config{Max: 10, Look: 50 * time.Millisecond}
		o, stop := p.run(t, cfg)
		p.bury(t, queue.DLRThrowerHTTP, queue.CauseRetries, "a", 25)
		p.kept(t, o, 10)
		eventually(t, "the others wait", func() bool { return count(t, o).Waiting == 15 })
		stop()
		p.close()
		p = p.reopen(t)
		must(t, p.Declare(t.Context(), queue.DeadLetter, queue.DLRThrowerHTTP))
		o, _ = p.run(t, cfg)
		for done := 0; done < 25; {
			eventually(t, "the next ones", func() bool { s := count(t, o); return s.Total > 0 && s.Total == min(10, 25-done) })
			r, err := o.Replay(t.Context(), deadletter.Selection{}, false)
			must(t, err)
			if r.Done == 0 || r.Done > 25-done {
				t.Fatalf("replayed %+v behind %d", r, done)
			}
			done += r.Done
		}
		if got := p.take(t, queue.DLRThrowerHTTP, 25); !slices.Equal(got, named("a", 0, 25)) {
			t.Errorf("came back %v", got)
		}
	})
}

func TestRetentionDropsOldLettersOnly(t *testing.T) {
	both(t, func(t *testing.T, p *place) {
		var old []queue.Publication
		for i := range 200 {
			l := queue.BuryAs(&queue.Delivery{Queue: queue.DLRThrowerHTTP, Message: message(fmt.Sprint("old-", i))}, queue.CauseHeld, "x")
			l.Message.Headers = l.Message.Headers.WithStr(queue.HeaderDeadID, string(queue.NewLetterID(time.Now().Add(-2*time.Hour)))).
				WithInt(queue.HeaderDeadAt, time.Now().Add(-2*time.Hour).UnixMilli())
			old = append(old, l)
		}
		must(t, p.Publish(t.Context(), old...))
		p.bury(t, queue.DLRThrowerHTTP, queue.CauseHeld, "new", 3)
		o, _ := p.run(t, deadletter.Config{Retention: time.Hour, Look: 20 * time.Millisecond})
		eventually(t, "the old ones are dropped", func() bool { return o.Metrics.Expired.Load() == 200 && count(t, o).Total == 3 })
		ls, err := o.List(t.Context(), "", "", 10)
		must(t, err)
		if len(ls) != 3 || ls[0].Message.ID != "new-0" {
			t.Errorf("left are %+v", ls)
		}
	})
}

func TestWhatIsNoLetterIsBuriedAgain(t *testing.T) {
	both(t, func(t *testing.T, p *place) {
		o, _ := p.run(t, deadletter.Config{})
		delayed := message("delayed")
		delayed.Headers = delayed.Headers.WithStr(queue.HeaderDeadQueue, "submit.sm.gone").WithStr(queue.HeaderDeadCause, string(queue.CauseNoQueue)).
			WithStr(queue.HeaderDeadReason, "its queue was deleted while it was delayed")
		older := message("older")
		older.Headers = older.Headers.WithStr(queue.HeaderDeadQueue, string(queue.DLRThrowerHTTP)).WithStr(queue.HeaderDeadReason, "try 4").
			WithStr(queue.HeaderDeadCause, "whim")
		for _, m := range []queue.Message{message("foreign"), delayed, older} {
			must(t, p.Publish(t.Context(), queue.Publication{Queue: queue.DeadLetter, Message: m}))
		}
		p.kept(t, o, 3)
		got := map[string]string{}
		ls, err := o.List(t.Context(), "", "", 10)
		must(t, err)
		for _, l := range ls {
			got[l.Message.ID] = fmt.Sprintf("%s|%s|%s", l.Queue, l.Cause, l.Reason)
		}
		want := map[string]string{"foreign": "|undecodable|it came into the dead-letter queue without a reason",
			"delayed": "submit.sm.gone|no-queue|its queue was deleted while it was delayed", "older": "dlr_thrower.http|undecodable|try 4"}
		for id, w := range want {
			if got[id] != w {
				t.Errorf("%s is %q, want %q", id, got[id], w)
			}
		}
	})
}

// stopper fails the commit of a replay after its claim, as a crash or an outage would.
type stopper struct {
	journal.Journal
	fail, after bool
}

func (s *stopper) Commit(ctx context.Context, e *journal.Entry) error {
	if s.fail && len(e.DropLetters) > 0 && len(e.Publish) > 0 {
		if s.after { // published, and then it is over
			part := *e
			part.DropLetters = nil
			if err := s.Journal.Commit(ctx, &part); err != nil {
				return err
			}
		}
		return fmt.Errorf("commit: %w", queue.ErrUnavailable)
	}
	return s.Journal.Commit(ctx, e)
}

// A replay that was cut off lost nothing and is not repeated without being asked for.
func TestAReplayThatWasCutOff(t *testing.T) {
	for name, after := range map[string]bool{"before the message was in its queue": false, "after that": true} {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, p *place) {
				cut := &stopper{Journal: p.journal, fail: true, after: after}
				p.journal = cut
				o, _ := p.run(t, deadletter.Config{})
				p.bury(t, queue.DLRThrowerHTTP, queue.CauseRetries, "a", 2)
				p.kept(t, o, 2)
				r, err := o.Replay(t.Context(), deadletter.Selection{}, false)
				if !errors.Is(err, queue.ErrUnavailable) || r.Unclear != 2 || r.Done != 0 {
					t.Fatalf("cut off: %+v, %v", r, err)
				}
				ls, err := o.List(t.Context(), "", "", 10)
				must(t, err)
				if len(ls) != 2 || ls[0].Claimed.IsZero() {
					t.Fatalf("listed %+v", ls)
				}
				cut.fail = false
				if r, err = o.Replay(t.Context(), deadletter.Selection{}, false); err != nil || r.Claimed != 2 || r.Done != 0 {
					t.Errorf("without being asked: %+v, %v", r, err)
				}
				if r, err = o.Replay(t.Context(), deadletter.Selection{}, true); err != nil || r.Done != 2 {
					t.Errorf("when asked: %+v, %v", r, err)
				}
				want := 2
				if after {
					want = 4
				}
				p.take(t, queue.DLRThrowerHTTP, want)
			})
		})
	}
}

// Many operators and new letters at the same time: each message comes back once.
func TestReplaysAtTheSameTimeShareTheLetters(t *testing.T) {
	both(t, func(t *testing.T, p *place) {
		o, _ := p.run(t, deadletter.Config{Look: 20 * time.Millisecond})
		const n = 400
		p.bury(t, queue.DLRThrowerHTTP, queue.CauseRetries, "a", n/2)
		var wg sync.WaitGroup
		wg.Go(func() { p.bury(t, queue.DLRThrowerHTTP, queue.CauseRetries, "b", n/2) })
		stop := make(chan struct{})
		for range 4 {
			wg.Go(func() {
				for {
					if _, err := o.Replay(context.Background(), deadletter.Selection{}, false); err != nil {
						t.Error(err)
						return
					}
					select {
					case <-stop:
						return
					default:
					}
				}
			})
		}
		eventually(t, "all are replayed", func() bool { return o.Metrics.Replayed.Load() == n })
		close(stop)
		wg.Wait()
		got := p.take(t, queue.DLRThrowerHTTP, n)
		slices.Sort(got)
		want := append(named("a", 0, n/2), named("b", 0, n/2)...)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("came back %d: %v", len(got), got)
		}
	})
}

// BenchmarkList lists a page and counts, with many letters there.
func BenchmarkList(b *testing.B) {
	db, err := localdb.Open(b.TempDir(), localdb.Config{})
	must(b, err)
	defer db.Close() //nolint:errcheck // the benchmark is over
	q, err := queuepebble.New(db, queuepebble.Config{})
	must(b, err)
	defer q.Close() //nolint:errcheck // likewise
	s := storepebble.New(db)
	o := deadletter.New(deadletter.Config{}, q, embedded.New(db, q, s), s, discard)
	must(b, q.Declare(b.Context(), queue.DeadLetter))
	for range 1000 {
		var e journal.Entry
		for range 1000 {
			e.Letters = append(e.Letters, queue.Letter{ID: queue.NewLetterID(time.Now()), At: time.Now(), Queue: queue.DLRThrowerHTTP, Cause: queue.CauseRetries, Message: message("m")})
		}
		must(b, s.Apply(b.Context(), &e))
	}
	for b.Loop() {
		if sum, err := o.Count(b.Context()); err != nil || sum.Total != 1e6 {
			b.Fatal(sum, err)
		}
		if ls, err := o.List(b.Context(), "", "", 50); err != nil || len(ls) != 50 {
			b.Fatal(len(ls), err)
		}
	}
}
