package redis

import (
	"context"
	"fmt"

	goredis "github.com/redis/go-redis/v9"

	"jasmind/internal/queue"
)

// outboxMost is how many publications the outbox keeps. When it is full nothing more is settled that publishes.
const outboxMost = 100_000

// parkScript keeps publications, all or none; one that is there is left where it is.
//
// KEYS: outbox, outbox:entries, outbox:last. ARGV: how many are kept at most; then id and record of each.
// Reply: 1, or 0 when there is no room.
const parkScript = `
local fresh = 0
for i = 2, #ARGV, 2 do
  if redis.call('HEXISTS', KEYS[2], ARGV[i]) == 0 then fresh = fresh + 1 end
end
if redis.call('HLEN', KEYS[2]) + fresh > tonumber(ARGV[1]) then return 0 end
for i = 2, #ARGV, 2 do
  if redis.call('HSETNX', KEYS[2], ARGV[i], ARGV[i + 1]) == 1 then
    redis.call('ZADD', KEYS[1], redis.call('INCR', KEYS[3]), ARGV[i])
  end
end
return 1
`

// Park keeps publications until Unpark. It is not done though the memory is full: then nothing more is settled.
func (s *Store) Park(ctx context.Context, ps []queue.Parked) error {
	if len(ps) == 0 {
		return nil
	}
	if err := s.room(); err != nil {
		return err
	}
	args := make([]any, 0, 1+2*len(ps))
	args = append(args, outboxMost)
	for i := range ps {
		args = append(args, ps[i].ID, ps[i].Encode())
	}
	var c *goredis.Cmd
	if err := s.do(ctx, func(p goredis.Pipeliner) {
		c = p.Eval(noContext, parkScript, []string{s.keys.outbox(), s.keys.outboxEntries(), s.keys.outboxLast()}, args...)
	}); err != nil {
		return err
	}
	if n, err := c.Int(); err != nil || n != 1 {
		return fmt.Errorf("%w: the outbox in Redis holds %d publications", queue.ErrUnavailable, outboxMost)
	}
	return nil
}

// Parked gives up to limit of the publications that are kept, the oldest first. One that cannot be read is given as a dead letter.
func (s *Store) Parked(ctx context.Context, limit int) ([]queue.Parked, error) {
	var ids *goredis.StringSliceCmd
	if err := s.do(ctx, func(p goredis.Pipeliner) { ids = p.ZRange(noContext, s.keys.outbox(), 0, int64(limit)-1) }); err != nil || len(ids.Val()) == 0 {
		return nil, err
	}
	var records *goredis.SliceCmd
	if err := s.do(ctx, func(p goredis.Pipeliner) { records = p.HMGet(noContext, s.keys.outboxEntries(), ids.Val()...) }); err != nil {
		return nil, err
	}
	ps := make([]queue.Parked, 0, limit)
	for i, v := range records.Val() {
		record, _ := v.(string)
		id := ids.Val()[i]
		p, err := queue.DecodeParked(id, []byte(record))
		if err != nil {
			d := &queue.Delivery{Queue: queue.Name(s.keys.outbox()), Message: queue.Message{ID: id, ContentType: queue.ContentText, Body: []byte(record)}}
			letter := queue.Bury(d, err.Error())
			p = queue.Parked{ID: id, Queue: letter.Queue, Message: letter.Message}
		}
		ps = append(ps, p)
	}
	return ps, nil
}

// Unpark drops publications that the broker has.
func (s *Store) Unpark(ctx context.Context, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	members := make([]any, len(ids))
	for i, id := range ids {
		members[i] = id
	}
	return s.do(ctx, func(p goredis.Pipeliner) {
		p.ZRem(noContext, s.keys.outbox(), members...)
		p.HDel(noContext, s.keys.outboxEntries(), ids...)
	})
}
