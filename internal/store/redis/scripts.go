package redis

// The Lua scripts of the ledger. Amounts are integers in millionths, as decimal text, and
// only HINCRBY computes with them: Lua's own numbers are exact up to 2^53 only. Its reply
// tells the sign in any case. Each script can be run again without harm. All run though
// Redis's memory is full, but reserveScript and addPartScript.

// reserveScript makes charges, all or none.
//
// KEYS: bills:reserved, then quota:<uid> and bill:<id> of each charge.
// ARGV: milliseconds until a reservation lapses, and that its record is kept; then of each
// charge: bill, uid, amount, the balance that must be there, the difference of both, count,
// opening balance and opening count ("": none).
// Reply: 0, or the number of the charge that finds too little; the quota; what it has.
const reserveScript = `
local t = redis.call('TIME')
local due = t[1] * 1000 + math.floor(t[2] / 1000) + ARGV[1]
local undo = {}
local function refuse(n, field, acct)
  local left = redis.call('HGET', acct, field)
  for i = #undo, 1, -1 do redis.call('HINCRBY', undo[i][1], undo[i][2], undo[i][3]) end
  return {n, field, left}
end
local made = {}
local n = (#KEYS - 1) / 2
for i = 1, n do
  local acct, bill, a = KEYS[2 * i], KEYS[2 * i + 1], 2 + 8 * (i - 1)
  local amount, need, back, count = ARGV[a + 3], ARGV[a + 4], ARGV[a + 5], ARGV[a + 6]
  local state = redis.call('HGET', bill, 'state')
  if (not state or state == 'lapsed') and not made[bill] then
    if ARGV[a + 7] ~= '' then redis.call('HSETNX', acct, 'balance', ARGV[a + 7]) end
    if ARGV[a + 8] ~= '' then redis.call('HSETNX', acct, 'sms_count', ARGV[a + 8]) end
    local balance, counted = '0', '0'
    if need ~= '0' and redis.call('HEXISTS', acct, 'balance') == 1 then
      if redis.call('HINCRBY', acct, 'balance', '-' .. need) < 0 then
        redis.call('HINCRBY', acct, 'balance', need)
        return refuse(i, 'balance', acct)
      end
      redis.call('HINCRBY', acct, 'balance', back)
      if amount ~= '0' then undo[#undo + 1] = {acct, 'balance', amount} end
      balance = amount
    end
    if count ~= '0' and redis.call('HEXISTS', acct, 'sms_count') == 1 then
      if redis.call('HINCRBY', acct, 'sms_count', '-' .. count) < 0 then
        redis.call('HINCRBY', acct, 'sms_count', count)
        return refuse(i, 'sms_count', acct)
      end
      undo[#undo + 1] = {acct, 'sms_count', count}
      counted = count
    end
    made[bill] = {ARGV[a + 1], ARGV[a + 2], balance, counted}
  end
end
for bill, m in pairs(made) do
  redis.call('HSET', bill, 'state', 'reserved', 'uid', m[2], 'balance', m[3], 'sms_count', m[4])
  redis.call('PEXPIRE', bill, ARGV[2])
  redis.call('ZADD', KEYS[1], due, m[1])
end
return {0, '', '0'}
`

// ofBill gives and takes what the record of a bill says. KEYS[1] is bills:reserved.
const ofBill = `
local function move(prefix, id, sign)
  local b = redis.call('HMGET', prefix .. 'bill:' .. id, 'uid', 'balance', 'sms_count')
  local acct = prefix .. 'quota:' .. (b[1] or '')
  for i, field in ipairs({'balance', 'sms_count'}) do
    local v = b[i + 1]
    if v and v ~= '0' and redis.call('HEXISTS', acct, field) == 1 then redis.call('HINCRBY', acct, field, sign .. v) end
  end
end
local function state(prefix, id) return redis.call('HGET', prefix .. 'bill:' .. id, 'state') end
local function release(prefix, id)
  redis.call('ZREM', KEYS[1], id)
  if state(prefix, id) == 'reserved' then
    move(prefix, id, '')
    redis.call('HSET', prefix .. 'bill:' .. id, 'state', 'lapsed')
  end
end
local function finalize(prefix, id, ttl)
  redis.call('ZREM', KEYS[1], id)
  redis.call('HSET', prefix .. 'bill:' .. id, 'state', 'final')
  redis.call('PEXPIRE', prefix .. 'bill:' .. id, ttl)
end
`

// The following take the key prefix and the milliseconds that a final bill is kept, then bills.

// finalizeScript makes reservations final. One that lapsed meanwhile is left to the
// settlement of its message.
const finalizeScript = ofBill + `
for i = 3, #ARGV do
  if state(ARGV[1], ARGV[i]) == 'reserved' then finalize(ARGV[1], ARGV[i], ARGV[2]) end
end
return 0
`

// releaseScript gives reservations back whose messages are surely in no queue, so that nothing is left to be
// remembered of them.
const releaseScript = ofBill + `
for i = 3, #ARGV do
  release(ARGV[1], ARGV[i])
  if state(ARGV[1], ARGV[i]) == 'lapsed' then redis.call('DEL', ARGV[1] .. 'bill:' .. ARGV[i]) end
end
return 0
`

// confirmScript is for messages that leave their queue: what lapsed is charged again.
const confirmScript = ofBill + `
for i = 3, #ARGV do
  local s = state(ARGV[1], ARGV[i])
  if s == 'lapsed' then move(ARGV[1], ARGV[i], '-') end
  if s == 'lapsed' or s == 'reserved' then finalize(ARGV[1], ARGV[i], ARGV[2]) end
end
return 0
`

// lapseScript gives back what is overdue. ARGV: the key prefix, how many.
const lapseScript = ofBill + `
local t = redis.call('TIME')
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', t[1] * 1000 + math.floor(t[2] / 1000), 'LIMIT', 0, ARGV[2])
for _, id in ipairs(due) do release(ARGV[1], id) end
return #due
`

// newest gives the score of what comes into a set of the latest things, in microseconds since the epoch: higher than all
// that are there, also when a clock was set back, so that what is trimmed is the oldest.
const newest = `
local function newest(key, now)
  local top = redis.call('ZREVRANGE', key, 0, 0, 'WITHSCORES')[2]
  return math.max(tonumber(now), (tonumber(top) or 0) + 1)
end
`

// settledScript remembers attempts, and forgets the oldest.
//
// KEYS: settled:<queue>. ARGV: microseconds since the epoch, how many are remembered and for how many milliseconds;
// then attempts.
const settledScript = newest + `
local now = newest(KEYS[1], ARGV[1])
for i = 4, #ARGV do redis.call('ZADD', KEYS[1], now, ARGV[i]) end
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -ARGV[2] - 1)
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 0
`

// owedScript charges what is owed, each bill once.
//
// KEYS: quota:<uid> and bills:owed:<uid> of each charge. ARGV: microseconds since the epoch, how
// many bills are remembered and for how long in milliseconds; then bill, and what is added
// to balance and sms_count.
const owedScript = newest + `
for i = 1, #KEYS / 2 do
  local acct, bills, a = KEYS[2 * i - 1], KEYS[2 * i], 3 + 3 * (i - 1)
  if redis.call('ZADD', bills, 'NX', newest(bills, ARGV[1]), ARGV[a + 1]) == 1 then
    redis.call('ZREMRANGEBYRANK', bills, 0, -ARGV[2] - 1)
    redis.call('PEXPIRE', bills, ARGV[3])
    for j, field in ipairs({'balance', 'sms_count'}) do
      local v = ARGV[a + 1 + j]
      if v ~= '0' and redis.call('HEXISTS', acct, field) == 1 then redis.call('HINCRBY', acct, field, v) end
    end
  end
end
return 0
`

// adjustScript adds to quotas, each change once.
//
// KEYS: quota:<uid>, bill:<id> of the change. ARGV: what is added to balance and sms_count,
// their opening values ("": none), milliseconds that the change is remembered.
// Reply: what went wrong or "", balance, sms_count ("": unlimited).
const adjustScript = `
local fields = {'balance', 'sms_count'}
local fresh = redis.call('EXISTS', KEYS[2]) == 0
for i, field in ipairs(fields) do
  if fresh and ARGV[i] ~= '0' and ARGV[i + 2] == '' and redis.call('HEXISTS', KEYS[1], field) == 0 then return {'unlimited', '', ''} end
end
for i, field in ipairs(fields) do
  if ARGV[i + 2] ~= '' then redis.call('HSETNX', KEYS[1], field, ARGV[i + 2]) end
end
if fresh then
  local before = redis.call('HGET', KEYS[1], 'balance')
  for i, field in ipairs(fields) do
    if ARGV[i] ~= '0' then
      local r = redis.pcall('HINCRBY', KEYS[1], field, ARGV[i])
      if type(r) == 'table' and r.err then
        if i == 2 and before then redis.call('HSET', KEYS[1], 'balance', before) end
        return {'overflow', '', ''}
      end
    end
  end
  redis.call('HSET', KEYS[2], 'state', 'final')
  redis.call('PEXPIRE', KEYS[2], ARGV[5])
end
return {'', redis.call('HGET', KEYS[1], 'balance') or '', redis.call('HGET', KEYS[1], 'sms_count') or ''}
`

// extendScript lets a key that is there live for so many milliseconds at least. (PEXPIRE has an option for
// that as of Redis 7.)
//
// KEYS: the key. ARGV: milliseconds.
const extendScript = `
local left = redis.call('PTTL', KEYS[1])
if left >= 0 and left < tonumber(ARGV[1]) then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return 0`

// writeScript is one command. KEYS: its key. ARGV: its name, and what follows the key.
const writeScript = `return redis.call(ARGV[1], KEYS[1], unpack(ARGV, 2))`
