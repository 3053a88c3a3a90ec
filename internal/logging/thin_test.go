package logging

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestThinLeavesRepeatsOutAndSaysHowMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		log := Thin(slog.New(slog.NewTextHandler(&b, nil)))
		for i := range 1000 {
			log.With("peer", i).Warn("request refused", "n", i)
		}
		log.Warn("connection refused")
		log.Debug("request refused") // not logged at this level: it counts nowhere
		if n := strings.Count(b.String(), "request refused"); n != thinAtOnce {
			t.Errorf("%d lines of 1000", n)
		}
		if !strings.Contains(b.String(), "connection refused") {
			t.Error("another message is left out too")
		}
		time.Sleep(time.Second)
		b.Reset()
		log.Warn("request refused")
		log.Warn("request refused")
		if got := b.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "left_out=980") {
			t.Errorf("a second later: %q", got)
		}
	})
}
