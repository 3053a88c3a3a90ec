package redis

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"jasmind/internal/journal"
	"jasmind/internal/sms"
)

var _ journal.Parts = (*Store)(nil)

// AddPart makes a part durable, and gives what it released. Run again, it finds the part there; what it
// released then is released again after claim.
func (s *Store) AddPart(ctx context.Context, p sms.LongPart, id sms.MessageID, wait, claim time.Duration) ([]sms.LongMO, error) {
	if p.Seq < 1 || p.Seq > p.Key.Total || p.Key.Total > maxParts {
		return nil, fmt.Errorf("redis: part %d of %d of a long MO", p.Seq, p.Key.Total)
	}
	if err := s.room(); err != nil {
		return nil, err
	}
	name := longName(p.Key)
	return s.released(ctx, addPartScript, []string{s.keys.prefix + name, s.keys.longDue()},
		s.keys.prefix, name, p.Key.Total, string(id), p.Seq, fmt.Sprintf("%016x", p.Digest), string(p.Body), wait.Milliseconds(), claim.Milliseconds())
}

// ReleaseParts gives up to limit messages whose time has come.
func (s *Store) ReleaseParts(ctx context.Context, limit int, wait, claim time.Duration) ([]sms.LongMO, error) {
	if limit < 1 {
		return nil, ctx.Err()
	}
	return s.released(ctx, s.settling+releasePartsScript, []string{s.keys.longDue()}, s.keys.prefix, limit, wait.Milliseconds(), claim.Milliseconds())
}

// addJoined drops long MOs.
func (s *Store) addJoined(p goredis.Pipeliner, ids []sms.MessageID) {
	names := make([]string, len(ids))
	members := make([]any, len(ids))
	for i, id := range ids {
		names[i] = s.keys.long(id)
		members[i] = longReleased + string(id)
	}
	p.Del(noContext, names...)
	p.ZRem(noContext, s.keys.longDue(), members...)
}

// released runs a script that gives messages: each is its id, its key, whether it is a repeat, and its
// parts as number, value, number, value ...
func (s *Store) released(ctx context.Context, script string, names []string, args ...any) ([]sms.LongMO, error) {
	var cmd *goredis.Cmd
	if err := s.do(ctx, func(p goredis.Pipeliner) { cmd = p.Eval(noContext, script, names, args...) }); err != nil {
		return nil, err
	}
	reply, err := cmd.Slice()
	if err != nil {
		return nil, fmt.Errorf("redis: parts of long MOs: unexpected reply: %w", err)
	}
	out := make([]sms.LongMO, 0, len(reply))
	for _, r := range reply {
		m, err := decodeLong(r)
		if err != nil {
			// Its time comes again after the claim; the others are not kept back for it.
			s.log.Error("long MO cannot be read", "err", err)
			continue
		}
		out = append(out, m)
	}
	return out, nil
}

func decodeLong(reply any) (sms.LongMO, error) {
	list, _ := reply.([]any)
	f := make([]string, len(list))
	for i := range list {
		f[i], _ = list[i].(string)
	}
	if len(f) < 3 || len(f)%2 != 1 {
		return sms.LongMO{}, fmt.Errorf("reply of %d fields is no long MO", len(f))
	}
	key, err := sms.ParseLongKey(strings.TrimPrefix(f[1], longCollecting))
	if err != nil {
		return sms.LongMO{}, fmt.Errorf("long MO %s: %w", f[0], err)
	}
	m := sms.LongMO{ID: sms.MessageID(f[0]), Key: key, Repeat: f[2] == "1"}
	for i := 3; i < len(f); i += 2 {
		seq, err := strconv.Atoi(f[i])
		if err != nil || seq < 1 || seq > key.Total {
			return m, fmt.Errorf("long MO %s: field %.40q is no number of a part", f[0], f[i])
		}
		if len(f[i+1]) < digestLen {
			return m, fmt.Errorf("long MO %s: part %d is too short", f[0], seq)
		}
		digest, err := strconv.ParseUint(f[i+1][:digestLen], 16, 64)
		if err != nil {
			return m, fmt.Errorf("long MO %s: part %d has the digest %q", f[0], seq, f[i+1][:digestLen])
		}
		m.Parts = append(m.Parts, sms.LongPart{Key: key, Seq: seq, Digest: digest, Body: []byte(f[i+1][digestLen:])})
	}
	slices.SortFunc(m.Parts, func(a, b sms.LongPart) int { return a.Seq - b.Seq })
	return m, nil
}

const digestLen = 16 // hexadecimal, before the body of a part

// The Lua scripts of long MOs. Each can be run again without harm. What a message consists of is
// written to its own key before it goes from the one where it was collected.

// ofLong releases what is collected under a name, for a caller who has it until now + claim.
const ofLong = `
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local function release(prefix, due, name, wait, claim)
  local slot = prefix .. name
  local f = redis.call('HGETALL', slot)
  local id, done, parts, seqs = nil, {}, {}, {}
  for i = 1, #f, 2 do
    if f[i] == 'id' then id = f[i + 1]
    elseif string.sub(f[i], 1, 1) == 'd' then done[string.sub(f[i], 2)] = f[i + 1]
    else parts[f[i]] = f[i + 1]; seqs[#seqs + 1] = f[i] end
  end
  if not id then redis.call('ZREM', due, name); return nil end
  local same = '1'
  for seq, v in pairs(parts) do
    if done[seq] ~= string.sub(v, 1, 16) then same = '0' end
  end
  local reply = {id, name, same}
  local long = prefix .. 'long-mo:' .. id
  redis.call('HSET', long, 'key', name, 'repeat', same)
  for _, seq in ipairs(seqs) do
    redis.call('HSET', long, seq, parts[seq])
    reply[#reply + 1] = seq
    reply[#reply + 1] = parts[seq]
  end
  redis.call('ZADD', due, now + claim, 'long-mo:' .. id)
  redis.call('ZREM', due, name)
  redis.call('HDEL', slot, 'id')
  for _, seq in ipairs(seqs) do
    redis.call('HSET', slot, 'd' .. seq, string.sub(parts[seq], 1, 16))
    redis.call('HDEL', slot, seq)
  end
  redis.call('PEXPIRE', slot, wait)
  return reply
end
`

// addPartScript: see AddPart.
//
// KEYS: the key that the message is collected under, long-mo:due. ARGV: the key prefix, the name of
// the first key without it, number of parts, id, number, digest and body of the part, milliseconds of
// wait and claim.
const addPartScript = ofLong + `
local slot, due, prefix, name = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
local seq, digest = ARGV[5], ARGV[6]
local out = {}
local have = redis.call('HGET', slot, seq)
if have then
  have = string.sub(have, 1, 16)
  if have == digest then return out end
  if redis.call('HGET', slot, 'd' .. seq) ~= have then out[1] = release(prefix, due, name, ARGV[8], ARGV[9]) end
end
redis.call('HSETNX', slot, 'id', ARGV[4])
redis.call('PERSIST', slot)
redis.call('HSET', slot, seq, digest .. ARGV[7])
redis.call('ZADD', due, now + ARGV[8], name)
local n = 0
for _, field in ipairs(redis.call('HKEYS', slot)) do
  if field ~= 'id' and string.sub(field, 1, 1) ~= 'd' then n = n + 1 end
end
if n == tonumber(ARGV[3]) then out[#out + 1] = release(prefix, due, name, ARGV[8], ARGV[9]) end
return out
`

// releasePartsScript: see ReleaseParts. KEYS: long-mo:due. ARGV: the key prefix, how many, milliseconds
// of wait and claim.
const releasePartsScript = ofLong + `
local out = {}
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[2])) do
  if string.sub(name, 1, 8) == 'long-mo:' then
    local f = redis.call('HGETALL', ARGV[1] .. name)
    local reply = {string.sub(name, 9), '', '0'}
    for i = 1, #f, 2 do
      if f[i] == 'key' then reply[2] = f[i + 1]
      elseif f[i] == 'repeat' then reply[3] = f[i + 1]
      else reply[#reply + 1] = f[i]; reply[#reply + 1] = f[i + 1] end
    end
    if #f == 0 then redis.call('ZREM', KEYS[1], name)
    else
      redis.call('ZADD', KEYS[1], now + ARGV[4], name)
      out[#out + 1] = reply
    end
  else
    local reply = release(ARGV[1], KEYS[1], name, ARGV[3], ARGV[4])
    if reply then out[#out + 1] = reply end
  end
end
return out
`
