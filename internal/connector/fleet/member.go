package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"jasmind/internal/provision"
	"jasmind/internal/queue"
	"jasmind/internal/smppc"
	"jasmind/internal/sms"
)

const (
	declareWait = 10 * time.Second // for the broker to declare a queue
	// settling is what a connector that drains gets beyond res_to, within which the SMSC answers what
	// it was sent: the answers are to become durable.
	settling = 10 * time.Second

	firstRetry = 250 * time.Millisecond
	lastRetry  = 30 * time.Second
	firstQuiet = 10 * time.Second // between two log lines about one connector that stays as it is
	lastQuiet  = 10 * time.Minute
)

// member is one connector of the configuration. Its goroutine, follow, makes true what is wanted.
type member struct {
	f    *Fleet
	cid  sms.ConnectorID
	log  *slog.Logger
	wake chan struct{} // cap 1: what is wanted has changed

	trouble trouble // follow's own

	// f.mu guards the others.

	want *provision.SMPPConnector // nil: the connector was removed, or the fleet stops
	// interrupted tells that something else was wanted since follow looked last: that the connector does not run.
	interrupted bool
	change      uint64   // counts what was wanted
	done        uint64   // the change that follow has tried last
	err         error    // of that try
	failures    int64    // of all tries
	runs        *running // what runs or drains; only follow sets it
}

// running is a connector that was started.
type running struct {
	runner
	cfg     smppc.Config
	release func() error  // closes its log
	ended   chan struct{} // closed when Run has returned
}

// setLocked notes what is wanted. f.mu is held.
func (m *member) setLocked(w *provision.SMPPConnector) {
	switch {
	case m.want == nil && w == nil:
		return
	case m.want == nil:
		m.f.deps.Counters.fresh(m.cid)
	case w == nil:
		m.f.deps.Counters.drop(m.cid)
	case m.want.Started == w.Started && m.want.Config.Equal(w.Config):
		return
	}
	m.interrupted = m.interrupted || w == nil || !w.Started
	m.want = w
	m.change++
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// follow makes true what is wanted, again and again, until the connector is removed and has ended.
func (m *member) follow() {
	for {
		var ended <-chan struct{}
		if m.runs != nil {
			ended = m.runs.ended
		}
		select {
		case <-m.wake:
		case <-m.trouble.again:
		case <-ended:
		}
		m.f.mu.Lock()
		want, change, interrupted := m.want, m.change, m.interrupted
		m.interrupted = false
		m.f.mu.Unlock()
		err := m.reconcile(want, interrupted)
		switch {
		case m.conclude(change, err):
			return
		case err == nil:
			m.trouble.over(m.log)
		case m.f.working.Err() == nil: // else Stop is the cause
			m.trouble.note(m.log, err)
		}
	}
}

// conclude notes the outcome of a try. It gives true when the connector is removed, and with it the member.
func (m *member) conclude(change uint64, err error) (gone bool) {
	f := m.f
	f.mu.Lock()
	defer f.mu.Unlock()
	m.done, m.err = change, err
	if err != nil {
		m.failures++
	}
	if gone = m.want == nil && m.runs == nil; gone {
		m.done, m.err = m.change, nil
		delete(f.members, m.cid)
	}
	close(f.tried)
	f.tried = make(chan struct{})
	return gone
}

// reconcile makes true what is wanted; with an error it has to be tried again.
func (m *member) reconcile(want *provision.SMPPConnector, interrupted bool) error {
	if r := m.runs; r != nil {
		select {
		case <-r.ended:
			m.stop()
			return errors.New("it has ended by itself")
		default:
		}
		if want != nil && want.Started && !interrupted && !smppc.RestartNeeded(r.cfg, want.Config) {
			if r.cfg.Equal(want.Config) {
				return nil
			}
			if err := r.Update(want.Config); err != nil {
				return err
			}
			r.cfg = want.Config
			return nil
		}
		m.stop()
	}
	if want == nil {
		return nil
	}
	// A stopped connector has a queue too: messages for it wait there.
	ctx, cancel := context.WithTimeout(m.f.working, declareWait)
	defer cancel()
	if err := m.f.deps.Broker.Declare(ctx, queue.SubmitSM(m.cid)); err != nil {
		return fmt.Errorf("declare its queue: %w", err)
	}
	if !want.Started {
		return nil
	}
	return m.start(want.Config)
}

func (m *member) start(cfg smppc.Config) error {
	c, release, err := m.f.build(cfg, m.f.deps.Counters.Connector(m.cid))
	if err != nil {
		return err
	}
	r := &running{runner: c, cfg: cfg, release: release, ended: make(chan struct{})}
	go func() { // stop waits for it
		defer close(r.ended)
		if err := c.Run(context.Background()); err != nil { // Shutdown ends it
			m.log.Error("connector ended", "err", err)
		}
	}()
	m.set(r)
	m.log.Info("connector started", "host", cfg.Host, "port", cfg.Port, "binds", cfg.Binds, "window", cfg.Window)
	return nil
}

// stop drains the connector. One that takes too long gives up what it has sent, which will be sent again.
func (m *member) stop() {
	r := m.runs
	ctx, cancel := context.WithTimeout(m.f.stops, r.cfg.ResponseTimeout+settling)
	defer cancel()
	err := r.Shutdown(ctx)
	if err != nil {
		err = fmt.Errorf("drain: %w", err)
	}
	<-r.ended
	if err = errors.Join(err, r.release()); err != nil {
		m.log.Warn("connector was not stopped in order", "err", err)
		m.f.mu.Lock()
		if m.f.stopping {
			m.f.unclean = append(m.f.unclean, fmt.Errorf("connector %s: %w", m.cid, err))
		}
		m.f.mu.Unlock()
	}
	m.set(nil)
	m.log.Info("connector stopped")
}

func (m *member) set(r *running) {
	m.f.mu.Lock()
	defer m.f.mu.Unlock()
	m.runs = r
}

// trouble is that a connector is not as wanted though this was tried.
type trouble struct {
	failures     int
	since, until time.Time // the first failure, and the time until which no line is logged
	retry, quiet time.Duration
	again        <-chan time.Time // the time of the next try; nil when there is no trouble
}

// note logs a failure, unless one was logged not long ago, and sets the time of the next try.
func (t *trouble) note(log *slog.Logger, err error) {
	now := time.Now()
	if t.failures++; t.failures == 1 {
		t.since, t.until, t.retry, t.quiet = now, now, firstRetry, firstQuiet
	}
	wait := t.retry + rand.N(t.retry/10) // not all connectors at once
	t.again = time.After(wait)
	t.retry = min(2*t.retry, lastRetry)
	if !now.Before(t.until) {
		log.Error("connector is not as configured, will be tried again", "failures", t.failures, "in", wait, "err", err)
		t.until = now.Add(t.quiet)
		t.quiet = min(2*t.quiet, lastQuiet)
	}
}

// over logs that what was wanted holds after all.
func (t *trouble) over(log *slog.Logger) {
	if t.failures > 0 {
		log.Info("connector is as configured again", "failures", t.failures, "dur", time.Since(t.since).Round(time.Millisecond))
		*t = trouble{}
	}
}
