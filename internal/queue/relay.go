package queue

import "context"

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
