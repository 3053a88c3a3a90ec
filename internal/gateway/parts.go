package gateway

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// stage says when a part is stopped: the doors first, all parts of one stage at once.
type stage int

const (
	stores    stage = iota // queues and records, and what nobody uses any more
	consumers              // flows that make durable what the others bring
	carriers               // connectors and throwers: what is under way comes to its end
	doors                  // nothing new is let in
)

// shares are parts of the time that a stop has. By the first a stage is told to give up what is still under way, by the
// second it is left behind. A stage that needs less leaves the rest of its time to the others.
var shares = map[stage]struct{ giveUp, over float64 }{
	doors:     {0.45, 0.50},
	carriers:  {0.80, 0.85},
	consumers: {0.90, 0.94},
	stores:    {0.98, 1.00},
}

// part is something that was started.
type part struct {
	name  string
	stage stage
	stop  func(context.Context) error // comes to an end in order until its context ends, and then at once
}

// parts are what was started. The zero value has none.
type parts []part

// add notes how something is stopped that was started.
func (p *parts) add(s stage, name string, stop func(context.Context) error) {
	*p = append(*p, part{name, s, stop})
}

// run starts a part in a goroutine of its own. When it is stopped, shutdown, if there is one, asks it to come to its end; then
// the context of run ends. failed is told when run ends by itself, with an error.
func (p *parts) run(s stage, name string, run, shutdown func(context.Context) error, failed func(error)) {
	ctx, cancel := context.WithCancelCause(context.Background())
	var stopping atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := run(ctx); err != nil && !stopping.Load() {
			failed(fmt.Errorf("%s: %w", name, err))
		}
	}()
	p.add(s, name, func(ctx context.Context) (err error) {
		stopping.Store(true)
		if shutdown != nil {
			err = shutdown(ctx)
		}
		cancel(errStopped)
		<-done
		return err
	})
}

var errStopped = errors.New("the gateway stops")

// leastTime is what the parts have at least to end what they gave up, though a stop may have less.
const leastTime = 2 * time.Second

// stop stops all parts, stage by stage. It returns when ctx ends at the latest, if that has a deadline, or after leastTime, whatever a
// part does: the error names those that were left behind. With hopeless nothing is waited for that is under way.
func (p parts) stop(ctx context.Context, hopeless bool) error {
	began := time.Now()
	by := func(share float64, least time.Duration) (context.Context, context.CancelFunc) {
		if deadline, ok := ctx.Deadline(); ok {
			after := time.Duration(share * float64(max(deadline.Sub(began), least)))
			return context.WithDeadlineCause(context.WithoutCancel(ctx), began.Add(after), errTime)
		}
		return context.WithCancel(context.WithoutCancel(ctx))
	}
	var errs []error
	for s := doors; s >= stores; s-- {
		giveUp, abort := by(shares[s].giveUp, 0)
		over, leave := by(shares[s].over, leastTime)
		if hopeless {
			abort()
		}
		forward := context.AfterFunc(ctx, abort) // of one that is cancelled
		errs = append(errs, p.stopStage(giveUp, over, s))
		forward()
		abort()
		leave()
	}
	return errors.Join(errs...)
}

var errTime = errors.New("its time is over")

// stopStage stops the parts of one stage until giveUp ends. Those that go on when over ends are left behind.
func (p parts) stopStage(giveUp, over context.Context, s stage) error {
	type result struct {
		name string
		err  error
	}
	results := make(chan result, len(p))
	left := make(map[string]int)
	for _, part := range p {
		if part.stage == s {
			left[part.name]++
			go func() { results <- result{part.name, part.stop(giveUp)} }()
		}
	}
	var errs []error
	for len(left) > 0 {
		select {
		case r := <-results:
			if left[r.name]--; left[r.name] == 0 {
				delete(left, r.name)
			}
			if r.err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", r.name, r.err))
			}
		case <-over.Done():
			for name := range left {
				errs = append(errs, fmt.Errorf("%s: has not stopped in time and is left behind", name))
			}
			return errors.Join(errs...)
		}
	}
	return errors.Join(errs...)
}
