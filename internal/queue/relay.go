package queue

import (
	"context"
	"runtime"
)

// Relay passes deliveries on until ctx ends; false if the subscription ended before that. A
// consumer hands its deliveries over one by one: with a channel that has room, what comes while a
// batch is in work waits side by side, so that the next batch is full.
func Relay(ctx context.Context, from <-chan *Delivery, to chan<- *Delivery) bool {
	for {
		select {
		case <-ctx.Done():
			return true
		case d, ok := <-from:
			if !ok {
				return ctx.Err() != nil
			}
			select {
			case to <- d:
			case <-ctx.Done():
				return true
			}
		}
	}
}

// gatherYields is how often Gather lets others run for the next delivery.
const gatherYields = 3

// Gather takes what is there already beside a first delivery, up to most in all, and waits for nothing. A
// consumer may hand its deliveries over one by one, by a goroutine that is let run for that: what needs no more than
// its turn is taken too.
func Gather(first *Delivery, more <-chan *Delivery, most int) []*Delivery {
	batch := []*Delivery{first}
	for yielded := 0; len(batch) < most; {
		select {
		case d, ok := <-more:
			if !ok {
				return batch
			}
			batch = append(batch, d)
			yielded = 0
		default:
			if yielded++; yielded > gatherYields {
				return batch
			}
			runtime.Gosched()
		}
	}
	return batch
}
