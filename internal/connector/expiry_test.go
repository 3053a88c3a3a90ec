package connector

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"jasmind/internal/smppc"
	"jasmind/internal/sms"
)

// sweeping runs a sweeper over the world's index until the test ends.
func (w *world) sweeping() (end func()) {
	ctx, cancel := contextWithCancel(w.t)
	done := make(chan error, 1)
	s := NewExpirySweeper(ExpiryConfig{}, w.b, w.b, func(sms.ConnectorID) time.Duration { return w.c.InFlight() }, nil)
	go func() { done <- s.Run(ctx) }()
	return func() { cancel(); <-done }
}

// expires has the index name a message that ends after d.
func (w *world) expires(id string, d time.Duration) {
	w.b.do(func() {
		w.b.expiries = append(w.b.expiries, sms.Expiry{At: time.Now().Add(d), MsgID: sms.MessageID(id), CID: cid, Report: sms.ReportFinal})
	})
}

// reportedAfter waits for the n-th result and tells how long that took, to the second.
func (w *world) reportedAfter(n int) time.Duration {
	w.t.Helper()
	begin := time.Now()
	for len(w.b.results(w.t)) < n {
		if time.Since(begin) > 2*time.Hour {
			w.t.Fatalf("%d results are there, want %d", len(w.b.results(w.t)), n)
		}
		time.Sleep(time.Second)
		synctest.Wait()
	}
	return time.Since(begin)
}

func TestExpiredBehindAnSMSCThatIsDownIsReportedAtOnce(t *testing.T) {
	start(t, func(_ *Config, _ *Deps, m *smsc) {
		m.dialErr = func(int) error { return errors.New("connection refused") }
	}, func(w *world) {
		defer w.sweeping()()
		w.expires("m1", 10*time.Second)
		between(t, "report", w.reportedAfter(1), 10*time.Second, 12*time.Second)
	})
}

func TestWhatMayBeInFlightIsReportedAfterTheLongestResponseTimer(t *testing.T) {
	start(t, func(cfg *Config, _ *Deps, m *smsc) {
		cfg.Connector.ResponseTimeout = 10 * time.Minute
	}, func(w *world) {
		defer w.sweeping()()
		wantEqual(t, "hold while bound", w.c.InFlight(), 10*time.Minute)
		w.expires("m1", 10*time.Second)
		between(t, "report while bound", w.reportedAfter(1), 10*time.Minute+40*time.Second, 10*time.Minute+42*time.Second)

		// A session that was bound with a longer timer still counts when the timer is changed.
		next := smppc.Default(cid)
		next.ResponseTimeout = time.Minute
		if err := w.c.Update(next); err != nil {
			t.Fatal(err)
		}
		wantEqual(t, "hold after a change", w.c.InFlight(), 10*time.Minute)
	})
}

func TestInFlightEndsAResponseTimerAfterTheLastSession(t *testing.T) {
	start(t, func(cfg *Config, _ *Deps, m *smsc) {
		cfg.Connector.ConLossRetry = false
	}, func(w *world) {
		defer w.sweeping()()
		w.m.session(0).Close(nil)
		synctest.Wait()
		wantEqual(t, "hold just after the loss", w.c.InFlight(), time.Minute)
		w.expires("m1", time.Second)
		between(t, "report", w.reportedAfter(1), 59*time.Second, 62*time.Second)
		wantEqual(t, "hold", w.c.InFlight(), 0)
	})
}
