package rabbit

import (
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestBucketFor(t *testing.T) {
	for _, c := range []struct{ after, want time.Duration }{
		{time.Nanosecond, 50 * time.Millisecond},
		{50 * time.Millisecond, 50 * time.Millisecond},
		{190 * time.Millisecond, 200 * time.Millisecond}, // a little longer saves a journey
		{150 * time.Millisecond, 50 * time.Millisecond},
		{20 * time.Second, 10 * time.Second},
		{30 * time.Second, 30 * time.Second},
		{55 * time.Minute, time.Hour},
		{50 * time.Minute, 30 * time.Minute},
		{48 * time.Hour, time.Hour},
	} {
		if got := bucketFor(c.after).ttl; got != c.want {
			t.Errorf("bucket for %v is %v, want %v", c.after, got, c.want)
		}
	}
}

// Every settled tag is acknowledged once, none that is open, and a run of tags is one frame
// only when no lower tag can still come.
func TestSettling(t *testing.T) {
	for _, runs := range []bool{true, false} {
		s := settling{runs: runs}
		open, acked := map[uint64]bool{}, map[uint64]bool{}
		next := uint64(1)
		for range 2000 {
			for range rand.IntN(5) {
				s.add(next)
				open[next] = true
				next++
			}
			tags := make([]uint64, 0, len(open))
			for tag := range open {
				tags = append(tags, tag)
			}
			slices.Sort(tags)
			for _, tag := range tags[:rand.IntN(len(tags)+1)] {
				if rand.IntN(8) == 0 {
					continue
				}
				if !s.mark(tag) {
					t.Fatalf("tag %d is stale, want open", tag)
				}
				if s.mark(tag) || s.isOpen(tag) {
					t.Fatalf("tag %d can be settled twice", tag)
				}
				delete(open, tag)
				acked[tag] = true
			}
			for _, a := range s.take(nil) {
				if !acked[a.tag] {
					t.Fatalf("frame for tag %d, which is open or acknowledged already", a.tag)
				}
				delete(acked, a.tag)
				if !a.multiple {
					continue
				}
				if !runs {
					t.Fatalf("one frame for a run up to %d, want single ones", a.tag)
				}
				for tag := range open {
					if tag <= a.tag {
						t.Fatalf("a frame for all up to %d takes the open tag %d", a.tag, tag)
					}
				}
				for tag := range acked {
					if tag <= a.tag {
						delete(acked, tag)
					}
				}
			}
			if len(acked) > 0 {
				t.Fatalf("settled and not sent: %v", acked)
			}
		}
	}
	joined := settling{runs: true}
	for tag := uint64(1); tag <= 10; tag++ {
		joined.add(tag)
		if tag != 8 {
			joined.mark(tag)
		}
	}
	if got, want := joined.take(nil), []ack{{7, true}, {9, false}, {10, false}}; !slices.Equal(got, want) {
		t.Errorf("frames %v, want %v", got, want)
	}
	s := settling{}
	for _, tag := range []uint64{5, 2, 9, 1} {
		s.add(tag)
	}
	if got := s.open; !slices.IsSortedFunc(got, func(a, b unsettled) int { return int(a.tag) - int(b.tag) }) {
		t.Errorf("tags that came out of order: %v", got)
	}
}

func TestSocketGathersAndKeepsOrder(t *testing.T) {
	a, b := net.Pipe()
	s := newSocket(a)
	var want strings.Builder
	got := make(chan string, 1)
	go func() {
		all, err := io.ReadAll(b)
		if err != nil {
			t.Error(err)
		}
		got <- string(all)
	}()
	for i := range 5000 {
		p := strings.Repeat(string(rune('a'+i%26)), i%200)
		want.WriteString(p)
		if _, err := s.Write([]byte(p)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if g := <-got; g != want.String() {
		t.Errorf("%d octets came, not the %d sent in order", len(g), want.Len())
	}
	if _, err := s.Write([]byte("x")); err == nil {
		t.Error("write after close: no error")
	}
}

func TestSocketWriteIsBoundedAndEndsWithTheConnection(t *testing.T) {
	a, b := net.Pipe()
	s := newSocket(a)
	var wg sync.WaitGroup
	blocked := make(chan error, 1)
	wg.Go(func() {
		var err error
		for range 100 { // far more than the buffer takes; nobody reads
			if _, err = s.Write(make([]byte, 64<<10)); err != nil {
				break
			}
		}
		blocked <- err
	})
	b.Close()
	wg.Wait()
	if err := <-blocked; err == nil {
		t.Error("write to a connection that ended: no error")
	}
	s.mu.Lock()
	size := len(s.buf)
	s.mu.Unlock()
	if size > socketBuffered+64<<10 {
		t.Errorf("%d octets are buffered, want at most %d", size, socketBuffered+64<<10)
	}
	if err := s.Close(); err != nil {
		t.Logf("close of what is closed: %v", err)
	}
}
