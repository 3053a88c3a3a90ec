package logging

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
)

// ErrPanic is what the error of Guard wraps.
var ErrPanic = errors.New("internal defect")

// Panics counts the panics that Guard has caught in this process.
var Panics atomic.Int64

// Guard calls f, which handles input from outside. When f panics, Guard logs the panic with its stack, counts it, and returns an error
// that wraps ErrPanic, so that a defect which one message or session brings to light costs nobody else anything. what
// names the work of f in the log.
func Guard(log *slog.Logger, what string, f func()) (err error) {
	defer func() {
		if v := recover(); v != nil {
			Panics.Add(1)
			err = fmt.Errorf("%w: %v", ErrPanic, v)
			log.Error("a defect ended one piece of work", "work", what, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
		}
	}()
	f()
	return nil
}
