package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"jasmind/internal/provision"
	"jasmind/internal/queue"
	"jasmind/internal/smppc"
	"jasmind/internal/sms"
)

const (
	declareWait = 10 * time.Second // for the broker to declare a queue
	// settling is the time beyond res_to that a connector gets to drain: within res_to the SMSC answers, within settling
	// the answers become durable.
	settling = 10 * time.Second

	firstRetry = 250 * time.Millisecond
	lastRetry  = 30 * time.Second
	firstQuiet = 10 * time.Second // between two log lines about the trouble of one connector
	lastQuiet  = 10 * time.Minute
)

// member is one connector of the configuration. The goroutine follow brings the connector into the state that is wanted.
type member struct {
	f    *Fleet
	cid  sms.ConnectorID
	log  *slog.Logger
	wake chan struct{} // capacity 1; gets a value when want changes

	trouble trouble // only follow uses it

	// f.mu guards the fields below.

	want *provision.SMPPConnector // nil: the connector was removed, or the fleet stops
	// interrupted: since follow last looked, want was for a while that the connector does not run.
	interrupted bool
	change      uint64        // number of the last change of want
	done        uint64        // number of the change that follow tried last
	err         error         // outcome of that try
	failures    int64         // tries that failed
	accounts    []sms.Account // at SMSCs, the present one first
	runs        *running      // the connector that runs or drains; only follow sets it
}

// running is a connector that was started.
type running struct {
	runner
	cfg     smppc.Config
	release func() error  // closes its log
	ended   chan struct{} // closed when Run has returned
}

// setLocked sets the wanted state. f.mu is held.
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
	if w != nil {
		m.account(w.Config.Account())
	}
	m.change++
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// accountsMost is how many accounts of a connector are remembered, so that receipts for what was sent before a change find their message.
const accountsMost = 4

// account notes the account that the connector is to have. f.mu is held; the slice is never changed, since others read it without f.mu.
func (m *member) account(a sms.Account) {
	all := append([]sms.Account{a}, slices.DeleteFunc(slices.Clone(m.accounts), func(old sms.Account) bool { return old == a })...)
	m.accounts = all[:min(len(all), accountsMost)]
}

// follow brings the connector into the wanted state after each change, until the connector is removed and has ended.
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
		case m.f.working.Err() == nil: // otherwise the try failed because of Stop
			m.trouble.note(m.log, err)
		}
	}
}

// conclude notes the outcome of a try. It removes the member, and returns true, when the connector was removed and has ended.
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

// reconcile brings the connector into the wanted state. After an error the caller has to try again.
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

// stop drains the connector. When time is up, messages that are sent and not answered are given up; they will be sent again.
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

// trouble counts the failed tries to bring a connector into the wanted state.
type trouble struct {
	failures     int
	since, until time.Time // time of the first failure, and time until which no further line is logged
	retry, quiet time.Duration
	again        <-chan time.Time // gets a value when the next try is due; nil: the last try did not fail
}

// note logs a failure, unless the last log line is too recent, and sets the time of the next try.
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

// over logs that the connector is in the wanted state again.
func (t *trouble) over(log *slog.Logger) {
	if t.failures > 0 {
		log.Info("connector is as configured again", "failures", t.failures, "dur", time.Since(t.since).Round(time.Millisecond))
		*t = trouble{}
	}
}
