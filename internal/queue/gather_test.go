package queue

import (
	"slices"
	"testing"
)

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
