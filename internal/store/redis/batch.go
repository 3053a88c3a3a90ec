package redis

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"jasmind/internal/queue"
)

const (
	maxBatch  = 256             // calls in one transaction
	pingEvery = 2 * time.Second // when nothing else tells whether Redis answers
)

// batched is one call waiting for its place in a transaction.
type batched struct {
	add  func(goredis.Pipeliner) // queues the call's commands
	done chan error              // buffered: a caller that left is not waited for
	// taken is set once, by the one who sends the commands or by the caller who leaves before.
	taken atomic.Bool
}

// do runs the commands that add queues, together with those of other callers, and waits.
// With a nil error the commands' results can be read; redis.Nil is no error here. When it
// returns, nothing refers any more to what add does.
func (s *Store) do(ctx context.Context, add func(goredis.Pipeliner)) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%w: redis: %w", queue.ErrUnavailable, context.Cause(ctx))
	}
	b := &batched{add: add, done: make(chan error, 1)}
	select {
	case s.calls <- b:
	case <-s.closed:
		return queue.ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("%w: redis: %w", queue.ErrUnavailable, context.Cause(ctx))
	}
	select {
	case err := <-b.done:
		return err
	case <-ctx.Done():
		if b.taken.Swap(true) {
			return <-b.done // what add refers to is being sent; that ends within Config.Timeout
		}
		return fmt.Errorf("%w: redis: %w", queue.ErrUnavailable, context.Cause(ctx))
	}
}

// run sends transactions one after the other; what comes during one goes into the next.
func (s *Store) run() {
	ping := time.NewTicker(pingEvery)
	defer ping.Stop()
	batch := make([]*batched, 0, maxBatch)
	for {
		batch = batch[:0]
		select {
		case b := <-s.calls:
			batch = append(batch, b)
		case <-ping.C:
			batch = append(batch, &batched{add: func(p goredis.Pipeliner) { p.Ping(context.Background()) }, done: make(chan error, 1)})
		case <-s.closed:
			return
		}
		for more := true; more && len(batch) < maxBatch; {
			select {
			case b := <-s.calls:
				batch = append(batch, b)
			default:
				more = false
			}
		}
		s.exec(batch)
		clear(batch)
	}
}

func (s *Store) exec(batch []*batched) {
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.Timeout)
	defer cancel()
	pipe := s.client.TxPipeline()
	ends := make([]int, len(batch))
	for i, b := range batch {
		if !b.taken.Swap(true) {
			b.add(pipe)
		}
		ends[i] = pipe.Len()
	}
	if pipe.Len() == 0 {
		return
	}
	// The error is that of a command or of all of them: each command has it too.
	cmds, execErr := pipe.Exec(ctx)
	from, reached := 0, false
	for i, b := range batch {
		var err error
		for _, c := range cmds[from:ends[i]] {
			if e := c.Err(); e != nil && !errors.Is(e, goredis.Nil) {
				err = e
				break
			}
			reached = true
		}
		from = ends[i]
		b.done <- classify(err)
	}
	var reply goredis.Error
	if reached || errors.As(execErr, &reply) {
		s.setUp(true, nil)
	} else {
		s.setUp(false, execErr)
	}
}

// passing are replies that begin with ERR, or that a script hands on so, and pass by themselves: Redis or a proxy is
// full, starting or changing roles.
var passing = regexp.MustCompile(`max number of clients|\b(OOM|READONLY|LOADING|MISCONF|MASTERDOWN|NOREPLICAS|BUSY|CLUSTERDOWN|TRYAGAIN)\b`)

// classify wraps what may be gone when tried again in queue.ErrUnavailable: everything but
// a reply that says a key or command is wrong.
func classify(err error) error {
	if err == nil {
		return nil
	}
	var reply goredis.Error
	if errors.As(err, &reply) {
		if m := reply.Error(); strings.HasPrefix(m, "WRONGTYPE ") || strings.HasPrefix(m, "ERR ") && !passing.MatchString(m) {
			return fmt.Errorf("redis: %w", err)
		}
	}
	return fmt.Errorf("%w: redis: %w", queue.ErrUnavailable, err)
}
