package redis

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"jasmind/internal/journal"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

// changeScript notes what became of messages. A record that is gone stays gone, a state that is
// final stands.
//
// KEYS: msg:<msgid> of each. ARGV: milliseconds since the epoch; then state, err,
// final_at ("": not final), 1 when it has left its queue, and the connector that it moved to: if
// that is not "", nothing else changes.
const changeScript = `
for i, key in ipairs(KEYS) do
  local r, a = redis.call('HMGET', key, 'state', 'final_at', 'until', 'version'), 2 + 5 * (i - 1)
  if r[1] and ARGV[a + 4] ~= '' then
    redis.call('HSET', key, 'connector', ARGV[a + 4])
  elseif r[1] then
    if ARGV[a + 3] == '1' then
      redis.call('HDEL', key, 'claimed', 'override', 'version')
      redis.call('HSET', key, 'queued', 0)
      if r[4] then redis.call('PEXPIREAT', key, math.max(r[3], ARGV[1] + 3600000)) end
    end
    if not r[2] then
      redis.call('HSET', key, 'state', ARGV[a], 'err', ARGV[a + 1])
      if ARGV[a + 2] ~= '' then redis.call('HSET', key, 'final_at', ARGV[a + 2]) end
    end
  end
end
return 0
`

// claimScript takes messages in hand and gives their overrides, "" where there is none.
//
// KEYS: msg:<msgid> of each.
const claimScript = `
local out = {}
for i, key in ipairs(KEYS) do
  out[i] = ''
  if redis.call('EXISTS', key) == 1 then
    redis.call('HSET', key, 'claimed', 1)
    out[i] = redis.call('HGET', key, 'override') or ''
  end
end
return out
`

// overrideScript changes a message that is queued and in nobody's hand. Called again with the
// same override it changes nothing and gives ok.
//
// KEYS: msg:<msgid>. ARGV: uid, version, override, milliseconds that it is kept, final_at if it
// cancels, else "", and the state then.
const overrideScript = `
local r = redis.call('HMGET', KEYS[1], 'uid', 'queued', 'version', 'override', 'final_at', 'claimed')
if r[1] ~= ARGV[1] or r[2] ~= '1' then return 'late' end
if r[4] == ARGV[3] then return 'ok' end
if (tonumber(r[3] or 0) or 0) + 1 ~= tonumber(ARGV[2]) then return 'conflict' end
if r[5] or r[6] then return 'late' end
redis.call('HSET', KEYS[1], 'version', ARGV[2], 'override', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
if ARGV[5] ~= '' then redis.call('HSET', KEYS[1], 'state', ARGV[6], 'err', 0, 'final_at', ARGV[5]) end
return 'ok'
`

// overrideJSON is the field override.
type overrideJSON struct {
	Version      int    `json:"version"`
	Nonce        uint64 `json:"nonce,omitempty"`
	At           int64  `json:"at"` // nanoseconds since the epoch
	Cancel       bool   `json:"cancel,omitempty"`
	HasText      bool   `json:"has_text,omitempty"`
	Text         []byte `json:"text,omitempty"` // base64
	DefaultMsgID uint8  `json:"sm_default_msg_id,omitempty"`
	Schedule     string `json:"schedule_delivery_time,omitempty"`
	Validity     string `json:"validity_period,omitempty"`
	ExpiresAt    int64  `json:"expires_at,omitempty"` // milliseconds since the epoch
	Registered   uint8  `json:"registered_delivery,omitempty"`
	Level        int    `json:"level,omitempty"`
}

func encodeOverride(o *sms.Override) string {
	v := overrideJSON{Version: o.Version, Nonce: o.Nonce, At: o.At.UnixNano(), Cancel: o.Cancel, HasText: o.HasText, Text: o.Text, DefaultMsgID: o.DefaultMsgID,
		Schedule: o.Schedule, Validity: o.Validity, ExpiresAt: millis(o.ExpiresAt), Registered: o.Registered, Level: o.Report.Level()}
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings and numbers are JSON
	}
	return string(b)
}

func decodeOverride(key string, id sms.MessageID, uid sms.UserID, text string) (*sms.Override, error) {
	var v overrideJSON
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return nil, fmt.Errorf("redis key %s: field %s: %w", key, fieldOverride, err)
	}
	return &sms.Override{MsgID: id, UID: uid, Version: v.Version, Nonce: v.Nonce, At: time.Unix(0, v.At), Cancel: v.Cancel, HasText: v.HasText, Text: v.Text,
		DefaultMsgID: v.DefaultMsgID, Schedule: v.Schedule, Validity: v.Validity, ExpiresAt: ofMillis(v.ExpiresAt),
		Registered: v.Registered, Report: sms.ReportOf(v.Level)}, nil
}

// millis is a time in milliseconds since the epoch, 0 for the zero time.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func ofMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

func recordFields(r *sms.Record) []any {
	queued := 0
	if r.Queued {
		queued = 1
	}
	f := []any{fieldUID, string(r.UID), fieldConnector, string(r.CID),
		fieldSource1, r.Source.Addr, fieldSourceTON, int(r.Source.TON), fieldSourceNPI, int(r.Source.NPI),
		fieldDest, r.Dest.Addr, fieldDestTON, int(r.Dest.TON), fieldDestNPI, int(r.Dest.NPI),
		fieldCoding, int(r.DataCoding), fieldClass, int(r.ESMClass), fieldLevel, r.Report.Level(), fieldRegistered, int(r.Registered),
		fieldGroup, r.Group, fieldExpiresAt, millis(r.ExpiresAt), fieldUntil, r.Until.UnixMilli(),
		fieldState, int(r.State), fieldErr, int(r.Err), fieldQueued, queued}
	if !r.Final.IsZero() {
		f = append(f, fieldFinal, r.Final.UnixMilli())
	}
	return f
}

func decodeRecord(key string, id sms.MessageID, m map[string]string) (sms.Record, error) {
	f := &fields{key: key, m: m}
	r := sms.Record{MsgID: id, UID: sms.UserID(m[fieldUID]), CID: sms.ConnectorID(m[fieldConnector]),
		Source:     pdu.Address{TON: uint8(f.integer(fieldSourceTON, 0, octet)), NPI: uint8(f.integer(fieldSourceNPI, 0, octet)), Addr: m[fieldSource1]},
		Dest:       pdu.Address{TON: uint8(f.integer(fieldDestTON, 0, octet)), NPI: uint8(f.integer(fieldDestNPI, 0, octet)), Addr: m[fieldDest]},
		DataCoding: pdu.DataCoding(f.integer(fieldCoding, 0, octet)), ESMClass: pdu.ESMClass(f.integer(fieldClass, 0, octet)),
		Report: sms.ReportOf(f.integer(fieldLevel, 0, 3)), Registered: uint8(f.integer(fieldRegistered, 0, octet)),
		Group: f.integer(fieldGroup, 0, maxParts), ExpiresAt: f.millis(fieldExpiresAt), Until: f.millis(fieldUntil),
		State: pdu.MessageState(f.integer(fieldState, 0, octet)), Err: uint8(f.integer(fieldErr, 0, octet)),
		Queued: f.integer(fieldQueued, 0, 1) == 1, Final: f.millis(fieldFinal)}
	if text := m[fieldOverride]; text != "" && f.err == nil {
		r.Override, f.err = decodeOverride(key, id, r.UID, text)
	}
	return r, f.err
}

// millis reads milliseconds since the epoch.
func (f *fields) millis(name string) time.Time {
	s := f.m[name]
	if s == "" {
		return time.Time{}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		f.fault(name, err)
	}
	return ofMillis(n)
}

func (s *Store) addMessages(p goredis.Pipeliner, records []sms.Record) {
	for i := range records {
		r := &records[i]
		key := s.keys.record(r.MsgID)
		s.write(p, "HSET", key, recordFields(r)...)
		p.PExpireAt(noContext, key, r.Until)
	}
}

func (s *Store) addChanges(p goredis.Pipeliner, changes []sms.StateChange) {
	names := make([]string, 0, len(changes))
	args := append(make([]any, 0, 1+5*len(changes)), time.Now().UnixMilli())
	for i := range changes {
		c := &changes[i]
		names = append(names, s.keys.record(c.MsgID))
		final := ""
		if !c.Final.IsZero() {
			final = strconv.FormatInt(c.Final.UnixMilli(), 10)
		}
		left := 0
		if c.Left {
			left = 1
		}
		args = append(args, int(c.State), int(c.Err), final, left, string(c.Moved))
	}
	s.settle(p, changeScript, names, args...)
}

func (s *Store) addUnclaim(p goredis.Pipeliner, ids []sms.MessageID) {
	for _, id := range ids {
		p.HDel(noContext, s.keys.record(id), fieldClaimed)
	}
}

// Override is the journal's: the overrides of an entry, the first refusal ends it.
func (s *Store) Override(ctx context.Context, os []sms.Override) error {
	for i := range os {
		o := &os[i]
		value, final := encodeOverride(o), ""
		if o.Cancel {
			final = strconv.FormatInt(o.At.UnixMilli(), 10)
		}
		var cmd *goredis.Cmd
		if err := s.do(ctx, func(p goredis.Pipeliner) {
			cmd = s.settle(p, overrideScript, []string{s.keys.record(o.MsgID)}, string(o.UID), o.Version, value,
				sms.QueueStay.Milliseconds(), final, int(pdu.StateDeleted))
		}); err != nil {
			return err
		}
		switch reply, err := cmd.Text(); {
		case err != nil:
			return fmt.Errorf("redis: override of %s: %w", o.MsgID, err)
		case reply == "late":
			return journal.ErrTooLate
		case reply == "conflict":
			return journal.ErrConflict
		}
	}
	return nil
}

// Records gives the record of each message, in order; one that is not there has no MsgID.
func (s *Store) Records(ctx context.Context, ids []sms.MessageID) ([]sms.Record, error) {
	out := make([]sms.Record, len(ids))
	if len(ids) == 0 {
		return out, nil
	}
	got := make([]*goredis.MapStringStringCmd, len(ids))
	if err := s.do(ctx, func(p goredis.Pipeliner) {
		for i, id := range ids {
			got[i] = p.HGetAll(noContext, s.keys.record(id))
		}
	}); err != nil {
		return nil, err
	}
	for i, id := range ids {
		m := got[i].Val()
		if len(m) == 0 {
			continue
		}
		var err error
		if out[i], err = decodeRecord(s.keys.record(id), id, m); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Claim takes messages in hand and gives the overrides that there are.
func (s *Store) Claim(ctx context.Context, ids []sms.MessageID) ([]sms.Override, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = s.keys.record(id)
	}
	var cmd *goredis.Cmd
	if err := s.do(ctx, func(p goredis.Pipeliner) { cmd = s.settle(p, claimScript, names) }); err != nil {
		return nil, err
	}
	texts, err := cmd.StringSlice()
	if err != nil || len(texts) != len(ids) {
		return nil, fmt.Errorf("redis: claim: unexpected reply with %d of %d overrides: %w", len(texts), len(ids), err)
	}
	var out []sms.Override
	for i, text := range texts {
		if text == "" {
			continue
		}
		o, err := decodeOverride(names[i], ids[i], "", text)
		if err != nil {
			return nil, err
		}
		out = append(out, *o)
	}
	return out, nil
}

// Unclaim lets messages be changed again.
func (s *Store) Unclaim(ctx context.Context, ids []sms.MessageID) error {
	if len(ids) == 0 {
		return nil
	}
	return s.do(ctx, func(p goredis.Pipeliner) { s.addUnclaim(p, ids) })
}
