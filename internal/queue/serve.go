package queue

import (
	"context"
	"errors"
	"fmt"
)

// Source gives subscriptions: the part of a driver that consumers need.
type Source interface {
	// Consume subscribes to a queue; see Consumer. Errors: ErrNoQueue, ErrUnavailable.
	Consume(ctx context.Context, name Name, prefetch int) (Consumer, error)
}

// ErrEnded is that a subscription ended before its reader did: its queue was deleted.
var ErrEnded = errors.New("the subscription ended")

// Subscribe is Source.Consume with an error that names the queue, and a function that closes the subscription and gives back what
// was not settled.
func Subscribe(ctx context.Context, s Source, name Name, prefetch int) (c Consumer, end func(), err error) {
	c, err = s.Consume(ctx, name, prefetch)
	if err != nil {
		return nil, nil, fmt.Errorf("consume %s: %w", name, err)
	}
	return c, func() {
		_ = c.Close(context.WithoutCancel(ctx)) // what was not settled comes again, whatever it says
	}, nil
}

// Drain hands over what a subscription gives, up to most deliveries at a time, until ctx ends (nil) or the
// subscription does (ErrEnded).
func Drain(ctx context.Context, name Name, c Consumer, most int, handle func(context.Context, []*Delivery)) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case d, ok := <-c.C():
			if !ok {
				return Ended(ctx, name)
			}
			handle(ctx, Gather(d, c.C(), most))
		}
	}
}

// Ended is the error of a reader whose subscription was closed; nil if it is to end anyway.
func Ended(ctx context.Context, name Name) error {
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("consume %s: %w", name, ErrEnded)
}

// Serve subscribes to a queue and hands over what comes; see Drain. Handle settles what it is given, or leaves it to come again.
func Serve(ctx context.Context, s Source, name Name, prefetch, most int, handle func(context.Context, []*Delivery)) error {
	c, end, err := Subscribe(ctx, s, name, prefetch)
	if err != nil {
		return err
	}
	defer end()
	return Drain(ctx, name, c, most, handle)
}
