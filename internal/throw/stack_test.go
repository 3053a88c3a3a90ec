package throw

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"jasmind/internal/journal"
	"jasmind/internal/journal/embedded"
	"jasmind/internal/localdb"
	"jasmind/internal/queue"
	queuepebble "jasmind/internal/queue/pebble"
	storepebble "jasmind/internal/store/pebble"
)

// stack is the embedded backend.
type stack struct {
	*queuepebble.Driver
	*embedded.Journal
	db *localdb.DB
}

func openStack(t testing.TB, dir string) *stack {
	t.Helper()
	db, err := localdb.Open(dir, localdb.Config{})
	if err != nil {
		t.Fatal(err)
	}
	q, err := queuepebble.New(db, queuepebble.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Declare(t.Context(), queue.DLRThrowerHTTP, queue.DeadLetter); err != nil {
		t.Fatal(err)
	}
	return &stack{q, embedded.New(db, q, storepebble.New(db)), db}
}

func (s *stack) shut(t testing.TB) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := s.db.Close(); err != nil {
		t.Error(err)
	}
}

// until runs a thrower over the stack until what is closed, then shuts all down.
func (s *stack) until(t *testing.T, cfg Config, what <-chan struct{}) *HTTP {
	t.Helper()
	th := NewHTTP(cfg, s, s, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	go func() {
		select {
		case <-what:
			cancel()
		case <-ctx.Done():
		}
	}()
	if err := th.Run(ctx); err != nil {
		t.Error(err)
	}
	select {
	case <-what:
	default:
		t.Fatal("it did not come to that")
	}
	s.shut(t)
	return th
}

// watch closes the channel when a message comes into the queue, and gives it.
func (s *stack) watch(t *testing.T, name queue.Name) (came chan struct{}, got *atomic.Pointer[queue.Delivery]) {
	t.Helper()
	c, err := s.Consume(t.Context(), name, 1)
	if err != nil {
		t.Fatal(err)
	}
	came, got = make(chan struct{}), new(atomic.Pointer[queue.Delivery])
	go func() {
		if d, ok := <-c.C(); ok {
			got.Store(d)
			close(came)
		}
	}()
	return came, got
}

// The count of failed calls is in the message, so that a restart does not begin it anew.
func TestRetriesSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	var calls atomic.Int64
	called := make(chan struct{})
	srv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(500)
		if calls.Add(1) == 1 {
			close(called)
		}
	})
	cfg := Config{MaxRetries: 1, RetryDelay: time.Millisecond}
	s := openStack(t, dir)
	if err := s.Publish(t.Context(), queue.Publication{Queue: queue.DLRThrowerHTTP, Message: level2(srv.URL).Message()}); err != nil {
		t.Fatal(err)
	}
	long := cfg
	long.RetryDelay = 50 * time.Millisecond
	s.until(t, long, called)

	s = openStack(t, dir)
	dead, letter := s.watch(t, queue.DeadLetter)
	s.until(t, cfg, dead)
	// The first answer may have come when the thrower was stopping: then that call did not count.
	if n := calls.Load(); n != 2 && n != 3 {
		t.Errorf("%d calls, want 2", n)
	}
	m := letter.Load()
	if reason := m.Headers.Str(queue.HeaderDeadReason); !strings.HasPrefix(reason, "try 2 of ") || !strings.HasSuffix(reason, ": HTTP 500") {
		t.Errorf("reason %q", reason)
	}
	dlr, err := queue.DecodeHTTPDLR(&m.Message)
	if err != nil || *dlr != *level2(srv.URL) {
		t.Errorf("dead letter %+v, %v", dlr, err)
	}
}

func TestDLRWhoseCallWasCutOffIsThrownAfterARestart(t *testing.T) {
	dir := t.TempDir()
	first, second := make(chan struct{}), make(chan struct{})
	var calls atomic.Int64
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1) == 1 {
			close(first)
			<-r.Context().Done()
			return
		}
		ack(w, r)
		close(second)
	})
	s := openStack(t, dir)
	if err := s.Publish(t.Context(), queue.Publication{Queue: queue.DLRThrowerHTTP, Message: level2(srv.URL).Message()}); err != nil {
		t.Fatal(err)
	}
	if th := s.until(t, Config{}, first); th.Metrics.Failed.Load() != 0 {
		t.Error("the call that was cut off counts as failed")
	}
	s = openStack(t, dir)
	if n, err := s.Length(t.Context(), queue.DLRThrowerHTTP); err != nil || n != 1 {
		t.Fatalf("%d DLRs in the queue, %v", n, err)
	}
	s.until(t, Config{}, second)
}

// BenchmarkThrow throws a backlog at one endpoint that answers at once.
func BenchmarkThrow(b *testing.B) {
	srv := httptest.NewServer(http.HandlerFunc(ack))
	defer srv.Close()
	s := openStack(b, b.TempDir())
	defer s.shut(b)
	var ps []queue.Publication
	for range b.N {
		ps = append(ps, queue.Publication{Queue: queue.DLRThrowerHTTP, Message: level2(srv.URL).Message()})
		if len(ps) == 500 {
			if err := s.Publish(b.Context(), ps...); err != nil {
				b.Fatal(err)
			}
			ps = ps[:0]
		}
	}
	if err := s.Publish(b.Context(), ps...); err != nil {
		b.Fatal(err)
	}
	count := &counting{Journal: s.Journal, left: b.N, done: make(chan struct{})}
	th := NewHTTP(Config{}, s, count, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	b.ReportAllocs()
	b.ResetTimer()
	go func() { ended <- th.Run(ctx) }()
	<-count.done
	b.StopTimer()
	cancel()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "DLR/s")
	b.ReportMetric(float64(th.Metrics.Deferred.Load()), "deferred")
}

// counting closes done when so many deliveries were acknowledged.
type counting struct {
	*embedded.Journal
	left int
	done chan struct{}
}

func (c *counting) Commit(ctx context.Context, e *journal.Entry) error {
	err := c.Journal.Commit(ctx, e)
	if err == nil {
		if c.left -= len(e.Ack); c.left == 0 {
			close(c.done)
		}
	}
	return err
}
