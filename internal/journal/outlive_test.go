package journal

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestOutlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		longer, cancel := Outlive(ctx, time.Minute)
		defer cancel()
		stop()
		began := time.Now()
		<-longer.Done()
		if took := time.Since(began); took != time.Minute {
			t.Errorf("it ended after %v, want a minute", took)
		}

		ctx, stop = context.WithCancel(t.Context())
		longer, cancel = Outlive(ctx, time.Minute)
		stop()
		cancel()
		if longer.Err() == nil {
			t.Error("it goes on after cancel")
		}
		synctest.Wait() // nobody waits for the minute
	})
}
