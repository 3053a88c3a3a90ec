package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"jasmind/internal/queue"
)

const (
	lookEvery  = time.Second            // while Redis answers
	probeEvery = 250 * time.Millisecond // while it does not
)

// Memory is what Redis had left at the last look. The zero value is that of one without a limit.
type Memory struct {
	Limit uint64 // octets; 0: there is none, or Redis makes room by dropping keys
	Free  uint64 // of Limit
	Mark  uint64 // low when Free is below it; ok again when it is a quarter above it
	Low   bool   // new work is refused; what is there is still carried out
}

const defaultLowMemory = 256 << 20

// nextMemory judges an answer to INFO memory. Low ends a quarter above the mark, so that a Redis at the mark does not
// change at each look.
func nextMemory(old Memory, info string, mark uint64) Memory {
	var used, spare, limit uint64
	keepsAll := false
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		n, _ := strconv.ParseUint(value, 10, 64) // 0 for what is no number
		switch name {
		case "used_memory":
			used = n
		case "mem_not_counted_for_evict":
			spare = n
		case "maxmemory":
			limit = n
		case "maxmemory_policy":
			keepsAll = value == "noeviction"
		}
	}
	if limit == 0 || !keepsAll {
		return Memory{}
	}
	if mark == 0 {
		mark = min(defaultLowMemory, limit/10)
	}
	m := Memory{Limit: limit, Mark: mark}
	used -= min(used, spare)
	m.Free = limit - min(limit, used)
	end := mark
	if old.Low {
		end += mark / 4
	}
	m.Low = m.Free < max(end, 1)
	return m
}

// allowOOM lets a script write though Redis has reached maxmemory (Redis 7, Valkey).
const allowOOM = "#!lua flags=allow-oom\n"

// checkMemory looks for the first time, and finds out whether settling can go on when the memory is full.
func (s *Store) checkMemory(ctx context.Context) {
	if err := s.lookAt(ctx); err != nil {
		s.log.Warn("redis does not tell how much memory it has left, so nothing is refused before it is full", "err", err)
		return
	}
	if err := s.client.Eval(ctx, allowOOM+"return 1", nil).Err(); err != nil {
		s.log.Warn("redis is too old to settle anything when its memory is full, version 7 can", "err", err)
		return
	}
	s.settling = allowOOM
}

// watch tells away from back, and looks at the memory.
func (s *Store) watch() {
	t := time.NewTimer(lookEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-s.look:
		case <-s.closed:
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), s.cfg.Timeout)
		err := s.lookAt(ctx)
		cancel()
		var reply goredis.Error
		if up := err == nil || errors.As(err, &reply); up {
			s.setUp(true, nil)
			t.Reset(lookEvery)
		} else {
			s.setUp(false, err)
			t.Reset(probeEvery)
		}
	}
}

// lookNow has the watch look at once.
func (s *Store) lookNow() {
	select {
	case s.look <- struct{}{}:
	default:
	}
}

func (s *Store) lookAt(ctx context.Context) error {
	info, err := s.client.Info(ctx, "memory").Result()
	if err != nil {
		return err
	}
	old := *s.memory.Load()
	m := nextMemory(old, info, s.cfg.LowMemory)
	s.memory.Store(&m)
	if m.Low != old.Low {
		s.log.Warn("memory of redis", "low", m.Low, "free", m.Free, "mark", m.Mark, "maxmemory", m.Limit)
	}
	return nil
}

// Memory is what was seen at the last look.
func (s *Store) Memory() Memory { return *s.memory.Load() }

// room is nil while new work may be recorded.
func (s *Store) room() error {
	if m := s.Memory(); m.Low {
		return fmt.Errorf("%w: Redis %s has %d octets of its maxmemory left", queue.ErrUnavailable, s.addr, m.Free)
	}
	return nil
}

// settle queues a script of what is to be carried out though the memory is full.
func (s *Store) settle(p goredis.Pipeliner, script string, names []string, args ...any) *goredis.Cmd {
	return p.Eval(noContext, s.settling+script, names, args...)
}

// write queues a single command likewise, which may take memory.
func (s *Store) write(p goredis.Pipeliner, command, key string, args ...any) {
	s.settle(p, writeScript, []string{key}, append([]any{command}, args...)...)
}
