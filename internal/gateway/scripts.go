package gateway

import (
	"context"
	"sync/atomic"
	"time"

	"jasmind/internal/billing"
	"jasmind/internal/intercept"
	"jasmind/internal/metrics"
	"jasmind/internal/mt"
	"jasmind/internal/provision"
	"jasmind/internal/routing"
	"jasmind/internal/smstext"
)

// scripts runs the scripts of a snapshot on messages of mt and mo.
type scripts struct {
	*provision.Scripts
	ledger billing.Ledger
}

// runner runs the script of an interceptor on a message.
func (s *scripts) runner(snap *provision.Snapshot, i *routing.Interceptor, m *mt.Message) mt.Script {
	return func(ctx context.Context, view *intercept.Message) (*intercept.Verdict, error) {
		if err := s.credit(ctx, m, view); err != nil {
			return nil, err
		}
		return s.Run(ctx, snap, i, view)
	}
}

// routable is what filters see of a message. The EvalPyFilters among them see what
// interceptors see, once for all of them.
func (s *scripts) routable(ctx context.Context, snap *provision.Snapshot, m *mt.Message) *routing.Message {
	content := m.Text
	if !m.IsText {
		content = smstext.Decode(m.PDU.ShortMessage, m.PDU.DataCoding)
	}
	out := &routing.Message{
		Source: m.PDU.Source.Addr, Destination: m.PDU.Dest.Addr, Content: content,
		User: m.UID, Group: m.GID, Time: time.Now(), Tags: m.Tags,
	}
	if snap.HasScriptFilters() {
		out.Eval = s.Eval(ctx, snap, func() (*intercept.Message, error) {
			view, err := m.View()
			if err == nil {
				err = s.credit(ctx, m, view)
			}
			return view, err
		})
	}
	return out
}

// credit puts what is left to the user into what a script sees of him, in the place of his
// opening values.
func (s *scripts) credit(ctx context.Context, m *mt.Message, view *intercept.Message) error {
	if m.User == nil {
		return nil
	}
	open := m.User.Credit()
	if !open.HasBalance && !open.HasCount {
		return nil
	}
	left, err := s.ledger.Credit(ctx, m.UID, open)
	if err != nil {
		return mt.Unavailable(err)
	}
	if open.HasBalance {
		view.User.Quotas.Balance = left.Balance.String()
	}
	if open.HasCount {
		n := int(left.Count)
		view.User.Quotas.SMSCount = &n
	}
	return nil
}

// startScripts makes the pool that runs scripts. It starts no interpreter before one is needed.
func (g *Gateway) startScripts() {
	g.pool = intercept.New(g.cfg.Interceptor, g.logs.scripts)
	g.scripts = &scripts{provision.NewScripts(g.pool, g.logs.scripts), g.backend.ledger}
	g.run("script check", func(ctx context.Context) error { return g.scripts.Watch(ctx, g.state) })
}

// scriptMetrics adds what /metrics shows of scripts.
func (g *Gateway) scriptMetrics(s *metrics.Set) {
	st := &g.pool.Stats
	for _, m := range []struct {
		name, help string
		v          *atomic.Int64
	}{
		{"jasmind_interceptor_runs_total", "Scripts run, those of filters included.", &st.Runs},
		{"jasmind_interceptor_refused_total", "Messages that a script refused.", &st.Refused},
		{"jasmind_interceptor_answered_total", "Messages that a script answered by itself.", &st.Answered},
		{"jasmind_interceptor_failed_total", "Runs that ended in an error, those stopped and crashed included.", &st.Failed},
		{"jasmind_interceptor_timed_out_total", "Runs stopped at their deadline.", &st.TimedOut},
		{"jasmind_interceptor_crashed_total", "Workers that ended by themselves.", &st.Crashed},
		{"jasmind_interceptor_busy_total", "Messages for which no worker became free.", &st.Busy},
		{"jasmind_interceptor_started_total", "Worker processes started.", &st.Started},
	} {
		s.Counter(m.name, m.help, func() float64 { return float64(m.v.Load()) })
	}
}
