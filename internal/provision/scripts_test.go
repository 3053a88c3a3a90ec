package provision

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"jasmind/internal/intercept"
	"jasmind/internal/routing"
)

// recorder is a pool that runs nothing. It notes the scripts that it was given.
type recorder struct {
	ran     []*intercept.Script
	seen    []*intercept.Message
	checked []string
}

func (r *recorder) Run(_ context.Context, s *intercept.Script, m *intercept.Message) (*intercept.Verdict, error) {
	r.ran = append(r.ran, s)
	return &intercept.Verdict{Message: *m}, nil
}

func (r *recorder) Evaluate(_ context.Context, s *intercept.Script, m *intercept.Message) (bool, error) {
	r.ran, r.seen = append(r.ran, s), append(r.seen, m)
	return s.Source() == "true", nil
}

func (r *recorder) Check(_ context.Context, s *intercept.Script) error {
	r.checked = append(r.checked, s.String())
	if strings.Contains(s.Source(), "bad") {
		return errors.New("it does not compile")
	}
	return nil
}

func put(t *testing.T, s *Store, i Interceptor) {
	t.Helper()
	if err := s.Apply(func(d *Draft) error { return d.PutInterceptor(routing.MT, i) }); err != nil {
		t.Fatal(err)
	}
}

func ruleFilter(t *testing.T, fid, rule string) *routing.Filter {
	t.Helper()
	f, err := routing.NewScriptFilter(fid, routing.Script{Code: rule})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestAScriptOfASnapshotIsPreparedOnce(t *testing.T) {
	s, r := configured(t), &recorder{}
	put(t, s, Interceptor{Type: routing.DefaultInterceptor, Script: routing.Script{Path: "/a.py", Code: "pass"}})
	scripts := NewScripts(r, slog.New(slog.DiscardHandler))
	snap := s.Snapshot()
	i := snap.InterceptorTable(routing.MT).Match(&routing.Message{})
	for range 2 {
		if _, err := scripts.Run(t.Context(), snap, i, &intercept.Message{}); err != nil {
			t.Fatal(err)
		}
	}
	// A message with the snapshot before does not lose what the next one has prepared.
	put(t, s, Interceptor{Type: routing.DefaultInterceptor, Script: routing.Script{Path: "/b.py", Code: "pass"}})
	next := s.Snapshot()
	for _, snap := range []*Snapshot{next, snap, next} {
		if _, err := scripts.Run(t.Context(), snap, snap.InterceptorTable(routing.MT).Match(&routing.Message{}), &intercept.Message{}); err != nil {
			t.Fatal(err)
		}
	}
	a, b := r.ran[0], r.ran[2]
	if !slices.Equal(r.ran, []*intercept.Script{a, a, b, a, b}) || a.Origin() != "/a.py" || b.Origin() != "/b.py" {
		t.Errorf("ran %v", r.ran)
	}
}

func TestFiltersWithAScriptSeeOneView(t *testing.T) {
	s, r := configured(t), &recorder{}
	if err := s.Apply(func(d *Draft) error {
		return errors.Join(d.PutFilter(ruleFilter(t, "no", "false")), d.PutFilter(ruleFilter(t, "yes", "true")))
	}); err != nil {
		t.Fatal(err)
	}
	snap, views := s.Snapshot(), 0
	var fault error
	eval := NewScripts(r, slog.New(slog.DiscardHandler)).Eval(t.Context(), snap, func() (*intercept.Message, error) {
		views++
		return &intercept.Message{}, fault
	})
	if no, yes := eval(snap.Filter("no").Script()), eval(snap.Filter("yes").Script()); no || !yes {
		t.Errorf("gave %v and %v", no, yes)
	}
	if views != 1 || len(r.seen) != 2 || r.seen[0] != r.seen[1] {
		t.Errorf("%d views, seen %v", views, r.seen)
	}
	fault = errors.New("the ledger is away")
	var log bytes.Buffer
	eval = NewScripts(r, slog.New(slog.NewTextHandler(&log, nil))).Eval(t.Context(), snap, func() (*intercept.Message, error) { return nil, fault })
	if eval(snap.Filter("yes").Script()) || len(r.seen) != 2 || !strings.Contains(log.String(), "the ledger is away") {
		t.Errorf("a message that cannot be shown matches, or nothing is logged: %s", log.String())
	}
}

// Each script is compiled when it is new, and not again when something else changes.
func TestNewScriptsAreCompiledBeforeAMessageComes(t *testing.T) {
	s, r := configured(t), &recorder{}
	put(t, s, Interceptor{Type: routing.DefaultInterceptor, Script: routing.Script{Path: "/a.py", Code: "pass"}})
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := make(chan error, 1)
		go func() { done <- NewScripts(r, slog.New(slog.NewTextHandler(&log, nil))).Watch(ctx, s) }()
		check := func(want ...string) {
			t.Helper()
			synctest.Wait()
			if !slices.Equal(r.checked, want) {
				t.Errorf("checked %q, want %q", r.checked, want)
			}
		}
		check("python3(/a.py)")
		if err := s.Apply(func(d *Draft) error { return d.EnableUser("u1", false) }); err != nil {
			t.Fatal(err)
		}
		check("python3(/a.py)")
		put(t, s, Interceptor{Order: 1, Type: routing.StaticMTInterceptor, Filters: []string{"f1"}, Script: routing.Script{Path: "/b.py", Code: "bad"}})
		put(t, s, Interceptor{Order: 2, Type: routing.StaticMTInterceptor, Filters: []string{"f1"}, Script: routing.Script{Path: "/a.py", Code: "pass"}})
		check("python3(/a.py)", "python3(/b.py)")
		if !strings.Contains(log.String(), "script=python3(/b.py)") || !strings.Contains(log.String(), "it does not compile") {
			t.Errorf("logged %q", log.String())
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		put(t, s, Interceptor{Order: 3, Type: routing.StaticMTInterceptor, Filters: []string{"f1"}, Script: routing.Script{Path: "/c.py", Code: "pass"}})
		check("python3(/a.py)", "python3(/b.py)")
	})
}
