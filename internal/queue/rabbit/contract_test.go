package rabbit_test

import (
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"

	"jasmind/internal/queue/queuetest"
	"jasmind/internal/queue/rabbit"
	"jasmind/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, cfg rabbit.Config) *rabbit.Broker {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if cfg.ConfirmTimeout == 0 { // a busy machine is no reason to give up
		cfg.ConfirmTimeout = patience
	}
	if cfg.DialTimeout == 0 {
		cfg.DialTimeout = patience
	}
	b, err := rabbit.Open(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return b
}

func contract(t *testing.T, kind rabbit.QueueType) {
	queuetest.Run(t, func(t *testing.T) queuetest.Instance {
		cfg := rabbit.Config{URL: testenv.RabbitMQ(t).URL(), QueueType: kind}
		b := open(t, cfg)
		return queuetest.Instance{Driver: b, Reopen: func(t *testing.T) queuetest.Driver {
			if err := b.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
			b = open(t, cfg)
			return b
		}}
	})
}

func TestContractClassic(t *testing.T) { contract(t, rabbit.Classic) }

func TestContractQuorum(t *testing.T) { contract(t, rabbit.Quorum) }

func TestContractUnderAPolicyThatLimitsDeliveries(t *testing.T) {
	for _, kind := range []rabbit.QueueType{rabbit.Classic, rabbit.Quorum} {
		t.Run(string(kind), func(t *testing.T) {
			server := testenv.RabbitMQ(t)
			server.SetPolicy(t, "^submit", `{"delivery-limit":10}`)
			queuetest.RunGivenBack(t, queuetest.Instance{Driver: open(t, rabbit.Config{URL: server.URL(), QueueType: kind})})
		})
	}
}
