package redis

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"

	goredis "github.com/redis/go-redis/v9"

	"jasmind/internal/queue"
)

const maxBatch = 256 // calls in one transaction

// batched is one call waiting for its place in a transaction.
type batched struct {
	add  func(goredis.Pipeliner) // queues the call's commands
	done chan error              // buffered: a caller that left is not waited for

	mu   sync.Mutex // held while add runs
	left bool       // the caller does not wait any longer: nothing of it is queued
}

// queue queues the commands of a call that somebody waits for.
func (b *batched) queue(p goredis.Pipeliner) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.left {
		b.add(p)
	}
}

// leave ends a call that is not waited for any longer. Commands that are queued may still be carried out.
func (b *batched) leave() {
	b.mu.Lock()
	b.left = true
	b.mu.Unlock()
}

// do runs the commands that add queues, together with those of other callers, and waits until ctx ends, or for
// the round trip under way and the next one, of which each ends within Config.Timeout. While Redis is away it does not wait.
// With a nil error the commands' results can be read; redis.Nil is no error here. When do returns, nothing calls add
// any more.
func (s *Store) do(ctx context.Context, add func(goredis.Pipeliner)) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%w: redis: %w", queue.ErrUnavailable, context.Cause(ctx))
	}
	if err := s.Healthy(); err != nil {
		return err
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
		b.leave()
		return fmt.Errorf("%w: redis: %w", queue.ErrUnavailable, context.Cause(ctx))
	}
}

// run sends transactions one after the other; what comes during one goes into the next.
func (s *Store) run() {
	batch := make([]*batched, 0, maxBatch)
	for {
		batch = batch[:0]
		select {
		case b := <-s.calls:
			batch = append(batch, b)
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
		if err := s.Healthy(); err != nil { // those that came while it was found out
			for _, b := range batch {
				b.done <- err
			}
		} else {
			s.exec(batch)
		}
		clear(batch)
	}
}

func (s *Store) exec(batch []*batched) {
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.Timeout)
	defer cancel()
	ends := make([]int, len(batch))
	send := func(pipe goredis.Pipeliner) ([]goredis.Cmder, error) {
		for i, b := range batch {
			b.queue(pipe)
			ends[i] = pipe.Len()
		}
		if pipe.Len() == 0 {
			return nil, nil
		}
		// The error is that of a command or of all of them: each command has it too.
		return pipe.Exec(ctx)
	}
	cmds, execErr := send(s.client.TxPipeline())
	if allRefusedForMemory(cmds) {
		// Redis 7.0 takes nothing into a transaction while its memory is full, whatever the scripts may do. Each script is carried out
		// as a whole without one, too, and who committed an entry that was carried out in part commits it again, which is harmless.
		cmds, execErr = send(s.client.Pipeline())
	}
	if len(cmds) == 0 {
		return
	}
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
	if !reached && !errors.As(execErr, &reply) {
		s.setUp(false, execErr)
		s.lookNow()
	}
}

// allRefusedForMemory tells whether Redis has carried out nothing of a transaction, since its memory is full.
func allRefusedForMemory(cmds []goredis.Cmder) bool {
	for _, c := range cmds {
		var reply goredis.Error
		if !errors.As(c.Err(), &reply) || !strings.HasPrefix(reply.Error(), "OOM ") && !strings.HasPrefix(reply.Error(), "EXECABORT ") {
			return false
		}
	}
	return len(cmds) > 0
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
