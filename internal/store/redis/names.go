package redis

import (
	"context"

	goredis "github.com/redis/go-redis/v9"

	"jasmind/internal/queue"
)

// Remember keeps the names of queues, which RabbitMQ does not list.
func (s *Store) Remember(ctx context.Context, names ...queue.Name) error {
	args := make([]any, len(names))
	for i, name := range names {
		args[i] = string(name)
	}
	return s.do(ctx, func(p goredis.Pipeliner) { s.write(p, "SADD", s.keys.queues(), args...) })
}

// Forget drops a name.
func (s *Store) Forget(ctx context.Context, name queue.Name) error {
	return s.do(ctx, func(p goredis.Pipeliner) { p.SRem(noContext, s.keys.queues(), string(name)) })
}

// Remembered gives all names, in no order.
func (s *Store) Remembered(ctx context.Context) ([]queue.Name, error) {
	var cmd *goredis.StringSliceCmd
	if err := s.do(ctx, func(p goredis.Pipeliner) { cmd = p.SMembers(noContext, s.keys.queues()) }); err != nil {
		return nil, err
	}
	out := make([]queue.Name, len(cmd.Val()))
	for i, name := range cmd.Val() {
		out[i] = queue.Name(name)
	}
	return out, nil
}
