package services_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"jasmind/internal/journal"
	"jasmind/internal/journal/services"
	"jasmind/internal/queue"
	"jasmind/internal/queue/rabbit"
	"jasmind/internal/sms"
	"jasmind/internal/store/redis"
	"jasmind/internal/testenv"
)

// The backlog that raised an alarm drains while the alarm lasts, and what follows from it is there afterwards, each once.
func TestAlarmDoesNotKeepTheBacklogFromDraining(t *testing.T) {
	for _, kind := range []rabbit.QueueType{rabbit.Classic, rabbit.Quorum} {
		t.Run(string(kind), func(t *testing.T) {
			server := testenv.DedicatedRabbitMQ(t)
			s := open(t, rabbit.Config{URL: server.URL(), QueueType: kind}, redis.Config{URL: testenv.Redis(t).URL()})
			ctx := t.Context()
			submit, answers := queue.SubmitSM("smsc"), queue.DLRSubmitSMResp
			if err := s.broker.Declare(ctx, submit, answers); err != nil {
				t.Fatal(err)
			}
			const n = 300
			for i := range n {
				if err := s.broker.Publish(ctx, queue.Publication{Queue: submit, Message: queue.Message{ID: fmt.Sprint("m", i), ContentType: queue.ContentText, Body: []byte("x")}}); err != nil {
					t.Fatal(err)
				}
			}
			server.MemoryAlarm(t, true)
			c, err := s.broker.Consume(ctx, submit, 50)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close(context.WithoutCancel(ctx)) //nolint:errcheck // the test is over
			running, stop := context.WithCancel(ctx)
			defer stop()
			var wg sync.WaitGroup
			wg.Go(func() { s.Run(running, slog.New(slog.DiscardHandler)) })
			answer := func(d *queue.Delivery) *journal.Entry {
				m := (&queue.SubmitResult{MsgID: sms.MessageID(d.ID), CID: "smsc", SMPPMsgID: "1", Status: "ESME_ROK"}).Message()
				return &journal.Entry{Publish: []queue.Publication{{Queue: answers, Message: m}}, Ack: []journal.Ack{{Delivery: d, Remember: true}}}
			}
			for i := range n { // what is in hand holds up the rest until it is settled
				d := next(t, c)
				e := answer(d)
				switch i % 10 {
				case 0:
					e = &journal.Entry{Retry: []queue.Retry{{Delivery: d}}}
				case 1:
					e = &journal.Entry{Retry: []queue.Retry{{Delivery: d, After: time.Millisecond}}}
				}
				if err := s.Commit(ctx, e); err != nil {
					t.Fatalf("commit %d: %v", i, err)
				}
			}
			if left, err := s.broker.Length(ctx, submit); err != nil || left != 0 {
				t.Errorf("%d messages are left, %v: the backlog did not drain", left, err)
			}
			server.MemoryAlarm(t, false)
			for range n / 5 { // those that were put back
				d := next(t, c)
				if d.Attempts != 1 {
					t.Errorf("%s: attempts %d, want 1", d.ID, d.Attempts)
				}
				if err := s.Commit(ctx, answer(d)); err != nil {
					t.Fatal(err)
				}
			}
			told, err := s.broker.Consume(ctx, answers, 100)
			if err != nil {
				t.Fatal(err)
			}
			defer told.Close(context.WithoutCancel(ctx)) //nolint:errcheck // the test is over
			seen := map[string]int{}
			for range n {
				d := next(t, told)
				seen[d.ID]++
				if err := s.broker.Ack(ctx, d); err != nil {
					t.Fatal(err)
				}
			}
			if len(seen) != n {
				t.Errorf("%d of %d answers came, some of them twice", len(seen), n)
			}
			waitFor(t, "the outbox to be empty", func() bool { // nothing more is published then
				ps, err := s.store.Parked(ctx, 1)
				if err != nil {
					t.Fatal(err)
				}
				return len(ps) == 0
			})
			stop()
			wg.Wait()
			for _, name := range []queue.Name{submit, answers} {
				if left, err := s.broker.Length(ctx, name); err != nil || left != 0 {
					t.Errorf("%s: %d are left, %v, want none twice", name, left, err)
				}
			}
		})
	}
}

func next(t *testing.T, c queue.Consumer) *queue.Delivery {
	t.Helper()
	select {
	case d, ok := <-c.C():
		if ok {
			return d
		}
		t.Fatal("the consumer ended")
	case <-time.After(patience):
		t.Fatal("no delivery came")
	}
	return nil
}

// waitFor looks again and again until something has come true.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// pipe is a broker with an alarm and a store, in memory: what was under way when the alarm came arrives when it ends, or not.
type pipe struct {
	trace
	mu      sync.Mutex
	alarm   bool
	sent    []string // ids that the broker has
	calls   []pipeCall
	parked  []queue.Parked
	unread  int // calls that go into the pipe while the alarm is on; the later ones are refused at once
	arrives bool
	slow    time.Duration // until a confirm comes when there is no alarm
	read    int           // parked publications that were read
	away    int           // so many calls of Unpark fail
}

type pipeCall struct {
	ids  []string
	done chan struct{}
}

func (p *pipe) Healthy() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.alarm {
		return queue.ErrBlocked
	}
	return nil
}

func (p *pipe) Send(ctx context.Context, pubs []queue.Publication, _ []queue.Retry) (err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.alarm && p.slow > 0 {
		defer func() { // what was sent arrives, whether its sender waits or not
			confirmed := time.After(p.slow)
			p.mu.Unlock()
			defer p.mu.Lock()
			select {
			case <-confirmed:
			case <-ctx.Done():
				err = queue.ErrUnavailable
			}
		}()
	}
	var ids []string
	for i := range pubs {
		ids = append(ids, pubs[i].Message.ID)
	}
	switch {
	case !p.alarm:
		p.sent = append(p.sent, ids...)
		return nil
	case p.unread == 0:
		return fmt.Errorf("%w: %w", queue.ErrNotSent, queue.ErrBlocked)
	}
	p.unread--
	c := pipeCall{ids, make(chan struct{})}
	p.calls = append(p.calls, c)
	arrives := p.arrives
	return &queue.Unconfirmed{Done: c.done, Err: func(int) error {
		if arrives {
			return nil
		}
		return queue.ErrUnavailable
	}}
}

// end ends the alarm.
func (p *pipe) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.alarm = false
	for _, c := range p.calls {
		if p.arrives {
			p.sent = append(p.sent, c.ids...)
		}
		close(c.done)
	}
}

func (p *pipe) Park(_ context.Context, ps []queue.Parked) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.parked = append(p.parked, ps...)
	return nil
}

func (p *pipe) Parked(_ context.Context, limit int) ([]queue.Parked, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := min(limit, len(p.parked))
	p.read += n
	return slices.Clone(p.parked[:n]), nil
}

func (p *pipe) Unpark(ctx context.Context, ids []string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.away > 0 || ctx.Err() != nil {
		p.away--
		return queue.ErrUnavailable
	}
	p.parked = slices.DeleteFunc(p.parked, func(x queue.Parked) bool { return slices.Contains(ids, x.ID) })
	return nil
}

// What was on its way to the broker when the alarm came is published again only if it did not arrive.
func TestWhatIsOnItsWayWhenTheAlarmComesIsPublishedOnce(t *testing.T) {
	for _, arrives := range []bool{true, false} {
		t.Run(fmt.Sprint("arrives ", arrives), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &pipe{alarm: true, unread: 2, arrives: arrives}
				j := services.New(p, p)
				ctx, cancel := context.WithCancel(t.Context())
				var wg sync.WaitGroup
				wg.Go(func() { j.Run(ctx, slog.New(slog.DiscardHandler)) })
				const n = 700 // more than are published at a time
				settle(t, j, n)
				time.Sleep(time.Minute)
				if len(p.parked) != n || len(p.sent) != 0 {
					t.Errorf("during the alarm %d are kept and %d published, want %d and none", len(p.parked), len(p.sent), n)
				}
				p.end()
				time.Sleep(time.Minute)
				synctest.Wait()
				slices.Sort(p.sent)
				if got := len(slices.Compact(slices.Clone(p.sent))); got != n || len(p.sent) != n || len(p.parked) != 0 {
					t.Errorf("%d published, %d of them different, %d kept; want %d, each once", len(p.sent), got, len(p.parked), n)
				}
				cancel()
				wg.Wait()
			})
		})
	}
}

// settle has n deliveries settled, each with a publication.
func settle(t *testing.T, j *services.Journal, n int) {
	t.Helper()
	for i := range n {
		d := &queue.Delivery{Queue: "q", Message: queue.Message{ID: fmt.Sprint(i)}}
		e := &journal.Entry{Publish: []queue.Publication{{Queue: "dlr", Message: d.Message}}, Ack: []journal.Ack{{Delivery: d}}}
		if err := j.Commit(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
}

// A gateway that is stopped while it publishes what was kept waits for the confirms of what it has sent, and notes them: the next
// start would publish it again.
func TestAStopWhileTheOutboxIsPublishedRepeatsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pipe{alarm: true, slow: time.Second}
		j := services.New(p, p)
		const n = 700
		settle(t, j, n)
		p.end()
		run := func(stopAfter time.Duration) {
			ctx, cancel := context.WithTimeout(t.Context(), stopAfter)
			defer cancel()
			j.Run(ctx, slog.New(slog.DiscardHandler))
		}
		run(p.slow / 2)
		first := len(p.sent)
		if first == 0 || first == n || len(p.parked) != n-first {
			t.Errorf("%d were published and %d are kept; want some published, and the rest of %d kept", first, len(p.parked), n)
		}
		run(time.Minute)
		slices.Sort(p.sent)
		if got := len(slices.Compact(slices.Clone(p.sent))); got != n || len(p.sent) != n || len(p.parked) != 0 {
			t.Errorf("%d published, %d of them different, %d kept; want %d, each once", len(p.sent), got, len(p.parked), n)
		}
	})
}

// What the broker has confirmed is not published again because the store could not be told at once.
func TestAStoreThatIsAwayWhileTheOutboxIsPublishedRepeatsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pipe{alarm: true, unread: 1, arrives: true, away: 3}
		j := services.New(p, p)
		const n = 300
		settle(t, j, n)
		p.end()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		j.Run(ctx, slog.New(slog.DiscardHandler))
		slices.Sort(p.sent)
		if got := len(slices.Compact(slices.Clone(p.sent))); got != n || len(p.sent) != n || len(p.parked) != 0 {
			t.Errorf("%d published, %d of them different, %d kept; want %d, each once", len(p.sent), got, len(p.parked), n)
		}
	})
}

// While the alarm lasts, only whether something is kept is looked at.
func TestTheOutboxIsNotReadDuringTheAlarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pipe{alarm: true}
		j := services.New(p, p)
		const n = 100
		settle(t, j, n)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		j.Run(ctx, slog.New(slog.DiscardHandler))
		if looks := int(time.Minute / (250 * time.Millisecond)); p.read == 0 || p.read > looks+1 {
			t.Errorf("%d publications were read in a minute, want at most one in each of %d looks", p.read, looks)
		}
	})
}
