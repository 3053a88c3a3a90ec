package redis

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"jasmind/internal/journal"
	"jasmind/internal/queue"
)

var _ journal.Letters = (*Store)(nil)

// Fields of letter:<id>.
const (
	fieldQueue         = "queue"
	fieldCause         = "cause"
	fieldLetter        = "letter"  // queue.Letter.Encode
	fieldLetterClaimed = "claimed" // milliseconds since the epoch, absent: nobody brings it back
)

// lettersGone is how many letters that were dropped are remembered: a delivery of one that
// comes again, since RabbitMQ does not confirm acknowledgements, is no new letter then.
const lettersGone = 65536

// letterGoneTTL is how long, after the last one was dropped.
const letterGoneTTL = 30 * 24 * time.Hour

// keepLetterScript keeps a letter unless it is there or was dropped lately.
//
// KEYS: letters, letters:gone, letters:counts, letters:of:<queue>, letter:<id>.
// ARGV: id, queue, cause, letter.
const keepLetterScript = `
if redis.call('ZSCORE', KEYS[2], ARGV[1]) or redis.call('EXISTS', KEYS[5]) == 1 then return 0 end
redis.call('HSET', KEYS[5], 'queue', ARGV[2], 'cause', ARGV[3], 'letter', ARGV[4])
redis.call('ZADD', KEYS[1], 0, ARGV[1])
redis.call('ZADD', KEYS[4], 0, ARGV[1])
redis.call('HINCRBY', KEYS[3], ARGV[2] .. ' ' .. ARGV[3], 1)
return 1
`

// dropLettersScript drops letters and remembers that.
//
// KEYS: letters, letters:gone, letters:counts. ARGV: the key prefix, microseconds since the
// epoch, how many are remembered and for how many milliseconds; then ids.
const dropLettersScript = newest + `
local now = newest(KEYS[2], ARGV[2])
for i = 5, #ARGV do
  local id = ARGV[i]
  local key = ARGV[1] .. 'letter:' .. id
  local l = redis.call('HMGET', key, 'queue', 'cause')
  if l[1] then
    redis.call('DEL', key)
    redis.call('ZREM', KEYS[1], id)
    redis.call('ZREM', ARGV[1] .. 'letters:of:' .. l[1], id)
    local field = l[1] .. ' ' .. l[2]
    if redis.call('HINCRBY', KEYS[3], field, -1) <= 0 then redis.call('HDEL', KEYS[3], field) end
    redis.call('ZADD', KEYS[2], now, id)
  end
end
redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -ARGV[3] - 1)
redis.call('PEXPIRE', KEYS[2], ARGV[4])
return 0
`

// claimLettersScript marks letters and tells which. A repeat at the same time gives the same.
//
// ARGV: the key prefix, milliseconds since the epoch, 1 to take claimed ones too; then ids.
const claimLettersScript = `
local out = {}
for i = 4, #ARGV do
  local key = ARGV[1] .. 'letter:' .. ARGV[i]
  if redis.call('EXISTS', key) == 1 then
    local claimed = redis.call('HGET', key, 'claimed')
    if not claimed or ARGV[3] == '1' then
      redis.call('HSET', key, 'claimed', ARGV[2])
      out[#out + 1] = ARGV[i]
    end
  end
end
return out
`

// addLetters queues the letters that an entry keeps.
func (s *Store) addLetters(p goredis.Pipeliner, letters []queue.Letter) {
	for i := range letters {
		l := &letters[i]
		s.settle(p, keepLetterScript, []string{s.keys.letters(), s.keys.lettersGone(), s.keys.letterCounts(), s.keys.lettersOf(l.Queue), s.keys.letter(l.ID)},
			string(l.ID), string(l.Queue), string(l.Cause), l.Encode())
	}
}

// addLetterDrops queues the dropping of letters.
func (s *Store) addLetterDrops(p goredis.Pipeliner, ids []queue.LetterID) {
	args := make([]any, 0, 4+len(ids))
	args = append(args, s.keys.prefix, time.Now().UnixMicro(), lettersGone, letterGoneTTL.Milliseconds())
	for _, id := range ids {
		args = append(args, string(id))
	}
	s.settle(p, dropLettersScript, []string{s.keys.letters(), s.keys.lettersGone(), s.keys.letterCounts()}, args...)
}

// Letters gives up to limit dead letters behind an id.
func (s *Store) Letters(ctx context.Context, from queue.Name, after queue.LetterID, limit int) ([]queue.Letter, error) {
	if limit < 1 {
		return nil, nil
	}
	key := s.keys.letters()
	if from != "" {
		key = s.keys.lettersOf(from)
	}
	start := "-"
	if after != "" {
		start = "(" + string(after)
	}
	var ids *goredis.StringSliceCmd
	if err := s.do(ctx, func(p goredis.Pipeliner) {
		ids = p.ZRangeByLex(noContext, key, &goredis.ZRangeBy{Min: start, Max: "+", Count: int64(limit)})
	}); err != nil {
		return nil, err
	}
	if len(ids.Val()) == 0 {
		return nil, nil
	}
	values := make([]*goredis.SliceCmd, len(ids.Val()))
	if err := s.do(ctx, func(p goredis.Pipeliner) {
		for i, id := range ids.Val() {
			values[i] = p.HMGet(noContext, s.keys.letter(queue.LetterID(id)), fieldLetter, fieldLetterClaimed)
		}
	}); err != nil {
		return nil, err
	}
	out := make([]queue.Letter, 0, len(values))
	for i, id := range ids.Val() {
		l, ok, err := decodeLetter(queue.LetterID(id), values[i].Val())
		if err != nil {
			return nil, err
		}
		if ok { // else it was dropped meanwhile
			out = append(out, l)
		}
	}
	return out, nil
}

// Letter gives one dead letter.
func (s *Store) Letter(ctx context.Context, id queue.LetterID) (queue.Letter, bool, error) {
	var value *goredis.SliceCmd
	if err := s.do(ctx, func(p goredis.Pipeliner) {
		value = p.HMGet(noContext, s.keys.letter(id), fieldLetter, fieldLetterClaimed)
	}); err != nil {
		return queue.Letter{}, false, err
	}
	return decodeLetter(id, value.Val())
}

// decodeLetter reads the fields letter and claimed.
func decodeLetter(id queue.LetterID, v []any) (queue.Letter, bool, error) {
	if len(v) != 2 {
		return queue.Letter{}, false, fmt.Errorf("redis: dead letter %s: %d values", id, len(v))
	}
	record, ok := v[0].(string)
	if !ok {
		return queue.Letter{}, false, nil
	}
	l, err := queue.DecodeLetterRecord(id, []byte(record))
	if err != nil {
		return queue.Letter{}, false, fmt.Errorf("redis: %w", err)
	}
	if text, ok := v[1].(string); ok {
		ms, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return queue.Letter{}, false, fmt.Errorf("redis: dead letter %s: field %s has an invalid value %q: %w", id, fieldLetterClaimed, text, err)
		}
		l.Claimed = time.UnixMilli(ms)
	}
	return l, true, nil
}

// CountLetters counts dead letters by queue and cause.
func (s *Store) CountLetters(ctx context.Context) ([]journal.LetterCount, error) {
	key := s.keys.letterCounts()
	m, err := s.hash(ctx, key)
	if err != nil {
		return nil, err
	}
	out := make([]journal.LetterCount, 0, len(m))
	for field, value := range m {
		at := strings.LastIndexByte(field, ' ')
		n, err := strconv.Atoi(value)
		if at < 0 || err != nil {
			return nil, fmt.Errorf("redis key %s: field %q has an invalid value %q", key, field, value)
		}
		out = append(out, journal.LetterCount{Queue: queue.Name(field[:at]), Cause: queue.Cause(field[at+1:]), Count: n})
	}
	return out, nil
}

// ClaimLetters marks letters as claimed and tells which.
func (s *Store) ClaimLetters(ctx context.Context, at time.Time, again bool, ids ...queue.LetterID) ([]queue.LetterID, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	force := 0
	if again {
		force = 1
	}
	args := make([]any, 0, 3+len(ids))
	args = append(args, s.keys.prefix, at.UnixMilli(), force)
	for _, id := range ids {
		args = append(args, string(id))
	}
	var reply *goredis.Cmd
	if err := s.do(ctx, func(p goredis.Pipeliner) {
		reply = s.settle(p, claimLettersScript, []string{s.keys.letters()}, args...)
	}); err != nil {
		return nil, err
	}
	got, err := reply.StringSlice()
	if err != nil {
		return nil, fmt.Errorf("redis: claim dead letters: unexpected reply: %w", err)
	}
	out := make([]queue.LetterID, len(got))
	for i, id := range got {
		out[i] = queue.LetterID(id)
	}
	return out, nil
}

// UnclaimLetters takes the marks of letters away.
func (s *Store) UnclaimLetters(ctx context.Context, ids ...queue.LetterID) error {
	if len(ids) == 0 {
		return nil
	}
	return s.do(ctx, func(p goredis.Pipeliner) {
		for _, id := range ids {
			p.HDel(noContext, s.keys.letter(id), fieldLetterClaimed)
		}
	})
}
