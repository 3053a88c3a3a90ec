package gateway

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// stopping notes when which part was told to stop, and when it had stopped.
type stopping struct {
	mu    sync.Mutex // guards lines
	began time.Time
	lines []string
}

func (s *stopping) note(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, time.Since(s.began).String()+" "+what)
}

// takes gives a stop that takes a while, or less when it is told to give up.
func (s *stopping) takes(name string, d time.Duration) func(context.Context) error {
	return func(ctx context.Context) error {
		s.note(name + " stops")
		select {
		case <-time.After(d):
			s.note(name + " has stopped")
			return nil
		case <-ctx.Done():
			s.note(name + " gives up")
			return context.Cause(ctx)
		}
	}
}

func TestPartsStopByStages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stopping{began: time.Now()}
		var p parts
		p.add(stores, "store", s.takes("store", 0))
		p.add(consumers, "lookup", s.takes("lookup", time.Second))
		p.add(carriers, "connectors", s.takes("connectors", 5*time.Second))
		p.add(carriers, "thrower", s.takes("thrower", 3*time.Second))
		p.add(doors, "http", s.takes("http", time.Second))
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Second)
		defer cancel()
		if err := p.stop(ctx, false); err != nil {
			t.Error(err)
		}
		got := slices.Clone(s.lines)
		slices.Sort(got) // of one moment
		want := []string{
			"0s http stops", "1s connectors stops", "1s http has stopped", "1s thrower stops", "4s thrower has stopped",
			"6s connectors has stopped", "6s lookup stops", "7s lookup has stopped", "7s store has stopped", "7s store stops",
		}
		if !slices.Equal(got, want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

// Whatever a part does, the stop is over in time, and every part was told to stop.
func TestPartsThatHangAreLeftBehind(t *testing.T) {
	for _, tt := range []struct {
		name string
		hang stage
		took time.Duration
	}{{"doors", doors, 50 * time.Second}, {"carriers", carriers, 85 * time.Second}, {"consumers", consumers, 94 * time.Second}, {"stores", stores, 100 * time.Second}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := stopping{began: time.Now()}
				release := make(chan struct{})
				var p parts
				for stage, name := range map[stage]string{doors: "http", carriers: "connectors", consumers: "lookup", stores: "store"} {
					p.add(stage, name, s.takes(name, 0))
				}
				p.add(tt.hang, "stubborn", func(context.Context) error { <-release; return nil })
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Second)
				defer cancel()
				err := p.stop(ctx, false)
				if err == nil || err.Error() != "stubborn: has not stopped in time and is left behind" {
					t.Errorf("got %v", err)
				}
				if took := time.Since(s.began); took != tt.took {
					t.Errorf("it took %s, want %s", took, tt.took)
				}
				if len(s.lines) != 8 {
					t.Errorf("not all parts have stopped: %q", s.lines)
				}
				close(release)
			})
		})
	}
}

// What is under way in every stage is given up in time, so that nothing is left behind.
func TestWhatIsUnderWayIsGivenUpInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stopping{began: time.Now()}
		var p parts
		for stage, name := range map[stage]string{doors: "http", carriers: "connectors", consumers: "lookup", stores: "store"} {
			p.add(stage, name, s.takes(name, time.Hour))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Second)
		defer cancel()
		if err := p.stop(ctx, false); !errors.Is(err, errTime) || strings.Contains(err.Error(), "left behind") {
			t.Errorf("got %v", err)
		}
		want := []string{"0s http stops", "45s http gives up", "45s connectors stops", "1m20s connectors gives up", "1m20s lookup stops",
			"1m30s lookup gives up", "1m30s store stops", "1m38s store gives up"}
		if !slices.Equal(s.lines, want) {
			t.Errorf("got %q", s.lines)
		}
	})
}

// A stop that has no time waits for nothing, and yet every part ends.
func TestAStopWithoutTimeEndsAllParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stopping{began: time.Now()}
		var p parts
		for stage, name := range map[stage]string{doors: "http", carriers: "connectors", consumers: "lookup", stores: "store"} {
			p.add(stage, name, s.takes(name, time.Hour))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 0)
		defer cancel()
		if err := p.stop(ctx, false); err == nil || strings.Contains(err.Error(), "left behind") || len(s.lines) != 8 || time.Since(s.began) != 0 {
			t.Errorf("after %s: %v, %q", time.Since(s.began), err, s.lines)
		}
	})
}

// With a failed database nothing that is under way is waited for.
func TestNothingIsWaitedForWhenItIsHopeless(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stopping{began: time.Now()}
		var p parts
		p.add(carriers, "connectors", s.takes("connectors", time.Hour))
		release := make(chan struct{})
		p.add(stores, "store", func(context.Context) error { <-release; return nil })
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Second)
		defer cancel()
		if err := p.stop(ctx, true); err == nil || time.Since(s.began) != 100*time.Second {
			t.Errorf("after %s: %v", time.Since(s.began), err)
		}
		close(release)
		if want := []string{"0s connectors stops", "0s connectors gives up"}; !slices.Equal(s.lines, want) {
			t.Errorf("got %q", s.lines)
		}
	})
}

func TestARunningPartIsAskedAndThenEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p parts
		var got []string
		fails := make(chan struct{})
		p.run(carriers, "thrower", func(ctx context.Context) error {
			<-ctx.Done()
			got = append(got, "ended: "+context.Cause(ctx).Error())
			return context.Cause(ctx) // is no failure
		}, func(context.Context) error { got = append(got, "asked"); return errors.New("busy") }, func(err error) { t.Error(err) })
		var failure error
		p.run(consumers, "lookup", func(context.Context) error { return errors.New("queue gone") }, nil, func(err error) { failure = err; close(fails) })
		<-fails
		if failure.Error() != "lookup: queue gone" {
			t.Errorf("failed with %v", failure)
		}
		if err := p.stop(t.Context(), false); err == nil || err.Error() != "thrower: busy" {
			t.Errorf("got %v", err)
		}
		if want := []string{"asked", "ended: the gateway stops"}; !slices.Equal(got, want) {
			t.Errorf("got %q", got)
		}
	})
}
