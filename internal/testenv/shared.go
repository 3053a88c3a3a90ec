package testenv

import (
	"context"
	"errors"
	"os"
	"sync"
)

// Services are the RabbitMQ and the Redis of a whole run.
type Services struct {
	env     []string
	started []*Service
}

// Shared starts the services that the environment does not name. They serve every process
// that gets Env, until Close.
func Shared(ctx context.Context) (*Services, error) {
	var (
		wg               sync.WaitGroup
		rabbit, redis    *Service
		errRabbit, errRe error
	)
	if os.Getenv(EnvAMQPURL) == "" {
		wg.Go(func() { rabbit, errRabbit = start(ctx, rabbitKind) })
	}
	if os.Getenv(EnvRedisAddr) == "" {
		wg.Go(func() { redis, errRe = start(ctx, redisKind) })
	}
	wg.Wait()
	s := &Services{}
	if rabbit != nil {
		at := rabbitAt(rabbit)
		s.env = append(s.env, EnvAMQPURL+"="+at.URL(), EnvAMQPAPI+"="+at.API)
		s.started = append(s.started, rabbit)
	}
	if redis != nil {
		s.env = append(s.env, EnvRedisAddr+"="+redisAt(redis).Addr())
		s.started = append(s.started, redis)
	}
	if err := errors.Join(errRabbit, errRe); err != nil {
		tidy, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyTimeout)
		defer cancel()
		return nil, errors.Join(err, s.Close(tidy))
	}
	return s, nil
}

// Env returns the variables, as NAME=VALUE, by which tests find the services.
func (s *Services) Env() []string { return s.env }

// Close removes what Shared has started.
func (s *Services) Close(ctx context.Context) error {
	errs := make([]error, len(s.started))
	var wg sync.WaitGroup
	for i, service := range s.started {
		wg.Go(func() { errs[i] = service.remove(ctx) })
	}
	wg.Wait()
	return errors.Join(errs...)
}
