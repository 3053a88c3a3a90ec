package provision

import (
	"context"
	"log/slog"

	"jasmind/internal/intercept"
	"jasmind/internal/routing"
)

// Scripts runs the scripts of snapshots: those of interceptors, and those of filters for
// routes and interceptors.
type Scripts struct {
	pool pool
	log  *slog.Logger
}

// pool runs prepared scripts, as *intercept.Pool does.
type pool interface {
	Run(ctx context.Context, s *intercept.Script, m *intercept.Message) (*intercept.Verdict, error)
	Evaluate(ctx context.Context, s *intercept.Script, m *intercept.Message) (bool, error)
	Check(ctx context.Context, s *intercept.Script) error
}

// NewScripts makes what runs scripts on a pool.
func NewScripts(p pool, log *slog.Logger) *Scripts { return &Scripts{p, log} }

// Run runs the script of an interceptor of a snapshot on a message, which it does not change.
// Errors are those of intercept.Pool.Run.
func (s *Scripts) Run(ctx context.Context, snap *Snapshot, i *routing.Interceptor, m *intercept.Message) (*intercept.Verdict, error) {
	script, err := snap.runnable(&i.Script)
	if err != nil {
		s.log.Error("script cannot be run", "script", i.Script.String(), "err", err)
		return nil, intercept.Failed(i.Script.String(), err)
	}
	return s.pool.Run(ctx, script, m)
}

// Eval gives what the filters of a snapshot run their scripts with on one message
// (routing.Message.Eval). view is asked once, when the first script is to see the message.
func (s *Scripts) Eval(ctx context.Context, snap *Snapshot, view func() (*intercept.Message, error)) func(*routing.Script) bool {
	var seen *intercept.Message
	return func(script *routing.Script) bool {
		prepared, err := snap.runnable(script)
		if err == nil && seen == nil {
			seen, err = view()
		}
		if err != nil {
			s.log.Error("filter script cannot be run", "script", script.String(), "err", err)
			return false
		}
		ok, err := s.pool.Evaluate(ctx, prepared, seen)
		return err == nil && ok // the pool has logged an error
	}
}

// Watch compiles the scripts of each new snapshot of a store until ctx ends, so that a fault
// is logged before the first message meets it. It always returns nil.
func (s *Scripts) Watch(ctx context.Context, store *Store) error {
	wake := make(chan struct{}, 1)
	defer store.Subscribe(func(_, _ *Snapshot) {
		select {
		case wake <- struct{}{}:
		default:
		}
	})()
	known := map[routing.Script]bool{} // those of the snapshot before
	for {
		scripts := map[routing.Script]bool{}
		for _, script := range store.Snapshot().Scripts() {
			if !known[script] && !scripts[script] {
				s.check(ctx, &script)
			}
			scripts[script] = true
		}
		known = scripts
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
		}
	}
}

func (s *Scripts) check(ctx context.Context, script *routing.Script) {
	prepared, err := script.Runnable()
	if err == nil {
		err = s.pool.Check(ctx, prepared)
	}
	if err != nil && ctx.Err() == nil {
		s.log.Error("script cannot be run", "script", script.String(), "err", err)
	}
}
