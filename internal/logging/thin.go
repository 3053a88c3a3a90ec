package logging

import (
	"context"
	"log/slog"
	"sync"

	"golang.org/x/time/rate"
)

// How many lines with one message are logged when they are many.
const (
	thinAtOnce    = 20
	thinPerSecond = 1
)

// Thin gives a logger for what strangers can cause as often as they like: of lines with the same level and message, a few are
// logged at once and then one a second, with the number of those that were left out before it in left_out.
func Thin(log *slog.Logger) *slog.Logger {
	return slog.New(&thin{next: log.Handler(), lines: &thinLines{all: make(map[thinKey]*thinLine)}})
}

type thin struct {
	next  slog.Handler
	lines *thinLines
}

type thinLines struct {
	mu  sync.Mutex // guards all and what is in it
	all map[thinKey]*thinLine
}

type thinKey struct {
	level   slog.Level
	message string // a constant of the program's
}

type thinLine struct {
	limit *rate.Limiter
	left  int
}

// Enabled reports whether the level is logged.
func (t *thin) Enabled(ctx context.Context, l slog.Level) bool { return t.next.Enabled(ctx, l) }

// Handle logs a record or leaves it out.
func (t *thin) Handle(ctx context.Context, r slog.Record) error {
	key := thinKey{r.Level, r.Message}
	t.lines.mu.Lock()
	line := t.lines.all[key]
	if line == nil {
		line = &thinLine{limit: rate.NewLimiter(thinPerSecond, thinAtOnce)}
		t.lines.all[key] = line
	}
	if !line.limit.Allow() {
		line.left++
		t.lines.mu.Unlock()
		return nil
	}
	left := line.left
	line.left = 0
	t.lines.mu.Unlock()
	if left > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Int("left_out", left))
	}
	return t.next.Handle(ctx, r)
}

// WithAttrs is the handler with attributes that every record gets; lines count together all the same.
func (t *thin) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &thin{t.next.WithAttrs(attrs), t.lines}
}

// WithGroup is the handler with a prefix for the keys of further attributes.
func (t *thin) WithGroup(name string) slog.Handler { return &thin{t.next.WithGroup(name), t.lines} }
