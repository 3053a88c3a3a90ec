package queue

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
)

// What comes one by one waits side by side.
func TestRelayGathers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from, to := make(chan *Delivery), make(chan *Delivery, 3)
		ended := make(chan bool)
		go func() { ended <- Relay(t.Context(), from, to) }()
		for range 3 {
			from <- &Delivery{}
		}
		synctest.Wait()
		if len(to) != 3 {
			t.Errorf("%d wait, want 3", len(to))
		}
		close(from)
		if <-ended {
			t.Error("the end of the subscription is not told")
		}
	})
}

func TestRelayEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		from, to := make(chan *Delivery), make(chan *Delivery)
		ended := make(chan bool)
		for _, give := range []int{0, 1} { // idle, and with one that nobody takes
			go func() { ended <- Relay(ctx, from, to) }()
			for range give {
				from <- &Delivery{}
			}
			synctest.Wait()
			cancel()
			if !<-ended {
				t.Errorf("with %d waiting: the end of the context is no end of the subscription", give)
			}
			ctx, cancel = context.WithCancel(t.Context())
		}
		cancel()
	})
}

func TestGather(t *testing.T) {
	ds := make([]*Delivery, 5)
	for i := range ds {
		ds[i] = &Delivery{}
	}
	for _, tt := range []struct {
		name         string
		there        int // beside the first
		closed       bool
		most, expect int
	}{{"alone", 0, false, 5, 1}, {"all that is there", 3, false, 5, 4}, {"no more than wanted", 4, false, 3, 3}, {"up to the end", 2, true, 5, 3}} {
		more := make(chan *Delivery, len(ds))
		for _, d := range ds[1 : 1+tt.there] {
			more <- d
		}
		if tt.closed {
			close(more)
		}
		got := Gather(ds[0], more, tt.most)
		if !slices.Equal(got, ds[:tt.expect]) {
			t.Errorf("%s: %d deliveries, want the first %d", tt.name, len(got), tt.expect)
		}
	}
}
