package logging

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
)

func TestGuardTurnsAPanicIntoAnError(t *testing.T) {
	var out bytes.Buffer
	before := Panics.Load()
	err := Guard(slog.New(slog.NewTextHandler(&out, nil)), "a test", func() { panic("boom") })
	if !errors.Is(err, ErrPanic) || !strings.Contains(err.Error(), "boom") {
		t.Errorf("got error %v, want ErrPanic with the value", err)
	}
	if n := Panics.Load() - before; n != 1 {
		t.Errorf("counted %d panics, want 1", n)
	}
	for _, want := range []string{"work=\"a test\"", "panic=boom", "guard_test.go"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the log lacks %s: %s", want, out.String())
		}
	}
}

func TestGuardLeavesWhatDoesNotPanicAlone(t *testing.T) {
	ran := false
	if err := Guard(slog.New(slog.DiscardHandler), "a test", func() { ran = true }); err != nil || !ran {
		t.Errorf("ran %t, error %v", ran, err)
	}
}
