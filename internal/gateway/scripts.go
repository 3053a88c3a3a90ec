package gateway

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"jasmind/internal/billing"
	"jasmind/internal/intercept"
	"jasmind/internal/jcli"
	"jasmind/internal/metrics"
	"jasmind/internal/mt"
	"jasmind/internal/provision"
	"jasmind/internal/routing"
	"jasmind/internal/sms"
	"jasmind/internal/smstext"
)

// scripts runs the scripts of a snapshot: interceptors on messages of mt and mo, and those of
// EvalPyFilters for routes and interceptors.
type scripts struct {
	pool   *intercept.Pool
	ledger billing.Ledger
	log    *slog.Logger

	prepared atomic.Pointer[generation]
}

// generation is the scripts of one snapshot, prepared when they are first needed.
type generation struct {
	version uint64
	scripts sync.Map // *routing.Script to *intercept.Script
}

// runner runs the script of an interceptor on a message.
func (s *scripts) runner(snap *provision.Snapshot, i *routing.Interceptor, m *mt.Message) mt.Script {
	return func(ctx context.Context, view *intercept.Message) (*intercept.Verdict, error) {
		script, err := s.prepare(snap, &i.Script)
		if err != nil {
			s.log.Error("script cannot be run", "script", i.Script.String(), "err", err)
			return nil, &sms.Error{Reason: sms.ReasonInterceptor, Detail: intercept.FailureDetail, Err: err}
		}
		if err := s.credit(ctx, m, view); err != nil {
			return nil, err
		}
		return s.pool.Run(ctx, script, view)
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
	if !snap.HasScriptFilters() {
		return out
	}
	var view *intercept.Message
	out.Eval = func(script *routing.Script) bool {
		prepared, err := s.prepare(snap, script)
		if err == nil && view == nil {
			if view, err = m.View(); err == nil {
				err = s.credit(ctx, m, view)
			}
			if err != nil {
				view = nil
			}
		}
		if err != nil {
			s.log.Error("filter script cannot be run", "script", script.String(), "err", err)
			return false
		}
		ok, err := s.pool.Evaluate(ctx, prepared, view)
		return err == nil && ok // the pool has logged an error
	}
	return out
}

// prepare gives the script in the form that the pool runs.
func (s *scripts) prepare(snap *provision.Snapshot, script *routing.Script) (*intercept.Script, error) {
	g := s.prepared.Load()
	for g == nil || g.version < snap.Version() {
		fresh := &generation{version: snap.Version()}
		if s.prepared.CompareAndSwap(g, fresh) {
			g = fresh
			break
		}
		g = s.prepared.Load()
	}
	if g.version == snap.Version() {
		if p, ok := g.scripts.Load(script); ok {
			return p.(*intercept.Script), nil
		}
	}
	p, err := script.Runnable()
	if err == nil && g.version == snap.Version() {
		g.scripts.Store(script, p)
	}
	return p, err
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

// consoleScripts compiles what operators add at the console.
type consoleScripts struct{ pool *intercept.Pool }

// Check gives a *jcli.SyntaxError if Python code does not compile.
func (c consoleScripts) Check(ctx context.Context, code string) error {
	script, err := intercept.NewScript(intercept.Python, "/<string>", code)
	if err != nil {
		return err
	}
	err = c.pool.Check(ctx, script)
	var fault *intercept.ScriptError
	if errors.As(err, &fault) {
		return &jcli.SyntaxError{Text: strings.Join(strings.Fields(fault.Text), " ")}
	}
	return err
}

// startScripts makes the pool that runs scripts. It starts no interpreter before one is needed.
func (g *Gateway) startScripts() {
	g.pool = intercept.New(g.cfg.Interceptor, g.logs.scripts)
	g.scripts = &scripts{pool: g.pool, ledger: g.backend.ledger, log: g.logs.scripts}
	w := &scriptWatch{g: g, wake: make(chan struct{}, 1)}
	w.follow(nil, g.state.Snapshot())
	g.unscript = g.state.Subscribe(w.follow)
	g.run("script check", w.run)
}

// scriptWatch warns of scripts that cannot run.
type scriptWatch struct {
	g    *Gateway
	wake chan struct{} // cap 1

	mu   sync.Mutex // guards todo
	todo []*intercept.Script
}

// follow is told of each change; it hands over what takes time.
func (w *scriptWatch) follow(old, fresh *provision.Snapshot) {
	known := map[routing.Script]bool{}
	if old != nil {
		for _, s := range old.Scripts() {
			known[s] = true
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range fresh.Scripts() {
		if known[s] {
			continue
		}
		known[s] = true
		script, err := s.Runnable()
		if err != nil {
			w.g.logs.scripts.Error("script cannot be run", "script", s.String(), "err", err)
			continue
		}
		w.todo = append(w.todo, script)
	}
	if len(w.todo) > 0 {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// run compiles new scripts until ctx ends, so that a fault is told before the first message.
func (w *scriptWatch) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.wake:
		}
		w.mu.Lock()
		todo := w.todo
		w.todo = nil
		w.mu.Unlock()
		for _, s := range todo {
			if err := w.g.pool.Check(ctx, s); err != nil && ctx.Err() == nil {
				w.g.logs.scripts.Error("script cannot be run", "err", err)
			}
		}
	}
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
