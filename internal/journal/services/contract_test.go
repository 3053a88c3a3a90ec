package services_test

import (
	"context"
	"testing"

	"go.uber.org/goleak"

	"jasmind/internal/journal/journaltest"
	"jasmind/internal/journal/services"
	"jasmind/internal/queue/rabbit"
	"jasmind/internal/store/redis"
	"jasmind/internal/testenv"
)

func TestMain(m *testing.M) {
	// As in store/redis: sleeps out a second after Close when connections were refused.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
}

// set is one broker, one store and the journal over them.
type set struct {
	*services.Journal
	broker *rabbit.Broker
	store  *redis.Store
}

func (s *set) close(t testing.TB) {
	t.Helper()
	if err := s.broker.Close(); err != nil {
		t.Errorf("close the broker: %v", err)
	}
	if err := s.store.Close(); err != nil {
		t.Errorf("close the store: %v", err)
	}
}

func open(t testing.TB, b rabbit.Config, r redis.Config) *set {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	// A busy machine is no reason to give up.
	b.DialTimeout, b.ConfirmTimeout, r.DialTimeout, r.Timeout = patience, patience, patience, patience
	broker, err := rabbit.Open(ctx, b)
	if err != nil {
		t.Fatal(err)
	}
	store, err := redis.Open(ctx, r)
	if err != nil {
		_ = broker.Close() // the store's error ends the test
		t.Fatal(err)
	}
	s := &set{services.New(broker, store), broker, store}
	t.Cleanup(func() { s.close(t) })
	return s
}

func TestContract(t *testing.T) {
	for _, kind := range []rabbit.QueueType{rabbit.Classic, rabbit.Quorum} {
		t.Run(string(kind), func(t *testing.T) {
			journaltest.Run(t, func(t *testing.T) journaltest.Instance {
				b := rabbit.Config{URL: testenv.RabbitMQ(t).URL(), QueueType: kind}
				r := redis.Config{URL: testenv.Redis(t).URL()}
				s := open(t, b, r)
				var instance func() journaltest.Instance
				instance = func() journaltest.Instance {
					return journaltest.Instance{Journal: s, Store: s.store, Queue: s.broker, Reopen: func(t *testing.T) journaltest.Instance {
						s.close(t)
						s = open(t, b, r)
						return instance()
					}}
				}
				return instance()
			})
		})
	}
}
