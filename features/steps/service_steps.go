package steps

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"testing"

	"github.com/cucumber/godog"
	amqp "github.com/rabbitmq/amqp091-go"
	goredis "github.com/redis/go-redis/v9"

	"jasmind/internal/testenv"
)

// services are the RabbitMQ and the Redis of one scenario.
type services struct {
	*scenario
	rabbit *testenv.Rabbit
	redis  *testenv.RedisDB

	ownRabbit *testenv.DedicatedRabbit // nil: shared with other scenarios
	ownRedis  *testenv.DedicatedRedisDB
}

// have gives the scenario a virtual host and a database, unless it has them.
func (b *services) have() error {
	if b.rabbit == nil {
		var err error
		if b.rabbit, err = b.suite.hosts.take(); err != nil {
			return err
		}
	}
	return b.tb.with(func(tb testing.TB) {
		if b.redis == nil {
			b.redis = testenv.Redis(tb)
		}
	})
}

// giveBack lets another scenario have the virtual host.
func (b *services) giveBack() {
	if b.rabbit != nil && b.ownRabbit == nil {
		b.suite.hosts.giveBack(b.rabbit)
	}
}

// hosts are virtual hosts that serve one scenario after the other, since RabbitMQ takes long
// to make one and its queues.
type hosts struct {
	tb testing.TB // of the run

	mu   sync.Mutex
	free []*testenv.Rabbit
}

// take gives one that nobody has, of whose queues all that there are are empty.
func (h *hosts) take() (r *testenv.Rabbit, err error) {
	h.mu.Lock()
	if n := len(h.free); n > 0 {
		r, h.free = h.free[n-1], h.free[:n-1]
	}
	h.mu.Unlock()
	if r != nil {
		return r, nil
	}
	tb := &scenarioTB{TB: h.tb, name: "features", lasting: true}
	err = tb.with(func(tb testing.TB) { r = testenv.RabbitMQ(tb) })
	return r, err
}

// giveBack lets a virtual host serve another scenario, if this one has left nothing.
func (h *hosts) giveBack(r *testenv.Rabbit) {
	if empty, err := allEmpty(r); err != nil || !empty {
		return // it is removed at the end of the run
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.free = append(h.free, r)
}

// allEmpty tells whether no queue has a message or a consumer.
func allEmpty(r *testenv.Rabbit) (bool, error) {
	ctx, cancel := deadline()
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.API+"/api/queues/"+url.PathEscape(r.VHost), nil)
	if err != nil {
		return false, err
	}
	req.SetBasicAuth(r.User, r.Password)
	c := newClient()
	defer c.close()
	resp, err := c.Do(req)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	var queues []struct{ Name string }
	if err := json.NewDecoder(resp.Body).Decode(&queues); err != nil {
		return false, err
	}
	conn, err := amqp.Dial(r.URL())
	if err != nil {
		return false, err
	}
	defer conn.Close() //nolint:errcheck // it only asked
	ch, err := conn.Channel()
	if err != nil {
		return false, err
	}
	// Twice, since a delayed message may just have been on its way from one queue to another.
	for _, q := range slices.Concat(queues, queues) {
		state, err := ch.QueueDeclarePassive(q.Name, true, false, false, false, nil)
		if err != nil || state.Messages+state.Consumers > 0 {
			return false, err
		}
	}
	return true, nil
}

// asked has f ask the scenario's Redis, as an operator would.
func (b *services) asked(f func(context.Context, *goredis.Client) error) error {
	o, err := goredis.ParseURL(b.redis.URL())
	if err != nil {
		return err
	}
	c := goredis.NewClient(o)
	defer c.Close() //nolint:errcheck // it only asked
	ctx, cancel := deadline()
	defer cancel()
	return f(ctx, c)
}

func (b *services) steps(sc *godog.ScenarioContext) {
	own := func(f func(testing.TB)) func() error {
		return func() error {
			if b.suite.mode != Services {
				return errors.New("only the services mode has services; tag the scenario @rabbit or @redis")
			}
			return b.tb.with(f)
		}
	}
	sc.Step(`^a RabbitMQ for this scenario alone$`, own(func(tb testing.TB) {
		b.ownRabbit = testenv.DedicatedRabbitMQ(tb)
		b.rabbit = &b.ownRabbit.Rabbit
	}))
	sc.Step(`^a Redis for this scenario alone$`, own(func(tb testing.TB) {
		b.ownRedis = testenv.DedicatedRedis(tb)
		b.redis = &b.ownRedis.RedisDB
	}))
	sc.Step(`^Redis is full$`, func() error {
		return b.asked(func(ctx context.Context, c *goredis.Client) error { return c.ConfigSet(ctx, "maxmemory", "1").Err() })
	})
	sc.Step(`^Redis holds nothing of the messages$`, func() error {
		return b.asked(func(ctx context.Context, c *goredis.Client) error {
			for _, of := range []string{"dlr:*", "msg:*", "bill*", "expiry"} {
				if keys, err := c.Keys(ctx, of).Result(); err != nil || len(keys) > 0 {
					return errors.Join(err, fmt.Errorf("there are %q", keys))
				}
			}
			return nil
		})
	})
	sc.Step(`^(RabbitMQ|Redis) (stops|is killed|starts again|hangs|answers again)$`, func(which, what string) error {
		var service *testenv.Service
		switch {
		case which == "RabbitMQ" && b.ownRabbit != nil:
			service = b.ownRabbit.Service
		case which == "Redis" && b.ownRedis != nil:
			service = b.ownRedis.Service
		default:
			return fmt.Errorf("%s is not for this scenario alone", which)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
		defer cancel()
		switch what {
		case "stops":
			return service.Stop(ctx)
		case "is killed":
			return service.Kill(ctx)
		case "hangs":
			return service.Pause(ctx)
		case "answers again":
			return service.Unpause(ctx)
		}
		return service.Start(ctx)
	})
}
