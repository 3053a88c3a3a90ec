package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"jasmind/internal/journal"
	"jasmind/internal/localdb"
	"jasmind/internal/queue"
)

// lowFS has no space left to speak of.
type lowFS struct{ vfs.FS }

func (lowFS) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{AvailBytes: 1, TotalBytes: 1 << 40}, nil
}

// A disk that is almost full refuses new messages; settling goes on, what it publishes included.
func TestLowSpace(t *testing.T) {
	mem := vfs.NewMem()
	s := openStack(t, "db", localdb.Config{FS: mem})
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(s.queue.Declare(t.Context(), qMT, qDLR))
	must(s.Commit(t.Context(), accept("1")))
	s.close(t)

	s = openStack(t, "db", localdb.Config{FS: lowFS{mem}})
	if err := s.Commit(t.Context(), accept("2")); !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("accept: %v, want ErrUnavailable", err)
	}
	if _, ok, err := s.store.Receipt(t.Context(), "2"); ok || err != nil {
		t.Errorf("a refused message left its receipt request: %v, %v", ok, err)
	}
	c, err := s.queue.Consume(t.Context(), qMT, 1)
	must(err)
	must(s.Commit(t.Context(), settle(<-c.C())))
	if n, err := s.queue.Length(t.Context(), qDLR); err != nil || n != 1 {
		t.Errorf("%d DLR wait, %v; want 1", n, err)
	}
}

func TestClosed(t *testing.T) {
	s := openStack(t, t.TempDir(), localdb.Config{})
	if err := s.queue.Declare(t.Context(), qMT, qDLR); err != nil {
		t.Fatal(err)
	}
	s.close(t)
	if err := s.Commit(t.Context(), accept("1")); !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("commit after close: %v, want ErrUnavailable", err)
	}
	if err := s.Commit(t.Context(), &journal.Entry{Forget: nil}); !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("empty commit after close: %v, want ErrUnavailable", err)
	}
	if _, _, err := s.store.Receipt(t.Context(), "1"); !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("receipt after close: %v, want ErrUnavailable", err)
	}
	if _, err := s.Settled(t.Context(), []*queue.Delivery{{}}); !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("settled after close: %v, want ErrUnavailable", err)
	}
}

// A message with a receipt request is accepted, delivered and settled: two entries each.
func BenchmarkJourney(b *testing.B) {
	for _, workers := range []int{1, 32, 256} {
		b.Run(fmt.Sprintf("senders=%d", workers), func(b *testing.B) {
			s := openStack(b, b.TempDir(), localdb.Config{})
			if err := s.queue.Declare(b.Context(), qMT, qDLR); err != nil {
				b.Fatal(err)
			}
			c, err := s.queue.Consume(b.Context(), qMT, 200)
			if err != nil {
				b.Fatal(err)
			}
			total := int64(b.N)
			var sent, settled atomic.Int64
			errs := make(chan error, 64+workers)
			b.ReportAllocs()
			b.ResetTimer()
			for range 64 {
				go func() {
					for d := range c.C() {
						if err := s.Commit(context.Background(), settle(d)); err != nil {
							errs <- err
							return
						}
						if settled.Add(1) == total {
							errs <- nil
						}
					}
				}()
			}
			for range workers {
				go func() {
					for i := sent.Add(1); i <= total; i = sent.Add(1) {
						if err := s.Commit(context.Background(), accept(fmt.Sprint(i))); err != nil {
							errs <- err
							return
						}
					}
				}()
			}
			if err := <-errs; err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
			if err := c.Close(context.Background()); err != nil {
				b.Fatal(err)
			}
		})
	}
}
