package throw

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"jasmind/internal/journal"
	"jasmind/internal/queue"
	"jasmind/internal/queue/rabbit"
	"jasmind/internal/testenv"
)

// The same over RabbitMQ: what waited comes in order, once, and what is too old is found.
func TestDeliveriesOverRabbitMQ(t *testing.T) {
	for _, kind := range []rabbit.QueueType{rabbit.Classic, rabbit.Quorum} {
		t.Run(string(kind), func(t *testing.T) {
			log := slog.New(slog.DiscardHandler)
			b, err := rabbit.Open(t.Context(), rabbit.Config{URL: testenv.RabbitMQ(t).URL(), QueueType: kind, DialTimeout: deadline, ConfirmTimeout: deadline, Logger: log})
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close() //nolint:errcheck // the test is over
			if err := b.Declare(t.Context(), queue.DLRThrowerSMPPS, queue.DeliverSMSMPPS, queue.DeadLetter); err != nil {
				t.Fatal(err)
			}
			var users users
			users.set("acme", "u1")
			th := NewSMPPS(SMPPSConfig{Hold: time.Hour, Sweep: 50 * time.Millisecond, Owner: users.owner}, b, onlyBroker{b}, func() []string { return []string{"acme", "never"} }, log)
			ctx, cancel := context.WithCancel(context.Background())
			var wg sync.WaitGroup
			wg.Go(func() {
				if err := th.Run(ctx); err != nil {
					t.Error(err)
				}
			})
			defer wg.Wait()
			defer cancel()
			var ps []queue.Publication
			for i := range 302 {
				d := dlrFor("acme", fmt.Sprint("m", i), fmt.Sprint("336", i))
				if i < 2 {
					d.CreatedAt = time.Now().Add(-2 * time.Hour)
				}
				ps = append(ps, queue.Publication{Queue: queue.DLRThrowerSMPPS, Message: d.Message()})
			}
			if err := b.Publish(t.Context(), ps...); err != nil {
				t.Fatal(err)
			}
			s := &esmeStack{t: t, th: th}
			s.until("the sweeper", func() bool { return th.Metrics.Moved.Load() == 302 && th.Metrics.Dead.Load() == 2 })
			one := newSession("one", 20, well)
			th.Bound("acme", one)
			s.settled(300)
			if got := one.got(); !slices.Equal(got, ids(2, 302)) {
				t.Errorf("got %v", got)
			}

			// What waits for a user who is removed becomes dead letters, and his queue goes.
			th.Unbound("acme", one)
			if err := b.Publish(t.Context(), queue.Publication{Queue: queue.DLRThrowerSMPPS, Message: dlrFor("acme", "m302", "336").Message()}); err != nil {
				t.Fatal(err)
			}
			s.until("it is moved", func() bool { return th.Metrics.Moved.Load() == 303 })
			users.set("acme", "")
			th.Removed("acme")
			s.until("it is given up", func() bool { return th.Metrics.Dead.Load() == 3 })
			s.until("the queue is gone", func() bool {
				_, err := b.Length(t.Context(), queue.ESME("acme"))
				return errors.Is(err, queue.ErrNoQueue)
			})
		})
	}
}

// onlyBroker is a journal for entries without records.
type onlyBroker struct{ *rabbit.Broker }

func (b onlyBroker) Commit(ctx context.Context, e *journal.Entry) error {
	if err := b.Send(ctx, e.Publish, e.Retry); err != nil {
		return err
	}
	var ds []*queue.Delivery
	for i := range e.Ack {
		ds = append(ds, e.Ack[i].Delivery)
	}
	for i := range e.Retry {
		ds = append(ds, e.Retry[i].Delivery)
	}
	return b.Ack(ctx, ds...)
}

func (b onlyBroker) Settled(_ context.Context, ds []*queue.Delivery) ([]bool, error) {
	return make([]bool, len(ds)), nil
}
