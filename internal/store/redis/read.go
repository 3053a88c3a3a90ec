package redis

import (
	"context"
	"strconv"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"jasmind/internal/queue"
	"jasmind/internal/sms"
)

// Receipt gives the request under a message id.
func (s *Store) Receipt(ctx context.Context, id sms.MessageID) (sms.ReceiptRequest, bool, error) {
	key := s.keys.receipt(id)
	m, err := s.hash(ctx, key)
	if err != nil || len(m) == 0 {
		return sms.ReceiptRequest{}, false, err
	}
	r, err := decodeReceipt(key, id, m)
	return r, err == nil, err
}

// Mapping gives the message behind an SMSC's id.
func (s *Store) Mapping(ctx context.Context, account sms.Account, smppMsgID string) (sms.Mapping, bool, error) {
	key := s.keys.mapping(account, smppMsgID)
	m, err := s.hash(ctx, key)
	if err != nil || len(m) == 0 {
		return sms.Mapping{}, false, err
	}
	out, err := decodeMapping(key, account, smppMsgID, m)
	return out, err == nil, err
}

// Submissions gives the recorded submission outcomes of a message's parts, in order.
func (s *Store) Submissions(ctx context.Context, id sms.MessageID) ([]sms.PartOutcome, error) {
	key := s.keys.parts(id)
	m, err := s.hash(ctx, key)
	if err != nil {
		return nil, err
	}
	return decodeOutcomes(key, id, m)
}

// RecordFinal records the final state of one part, the first one only, and gives all that
// are known, in order.
func (s *Store) RecordFinal(ctx context.Context, o sms.PartOutcome) ([]sms.PartOutcome, error) {
	key := s.keys.finals(o.MsgID)
	var all *goredis.MapStringStringCmd
	if err := s.do(ctx, func(p goredis.Pipeliner) {
		s.addFinal(p, &o)
		all = p.HGetAll(noContext, key)
	}); err != nil {
		return nil, err
	}
	return decodeOutcomes(key, o.MsgID, all.Val())
}

// Expired gives up to limit ends of validity that are past, oldest first. A member that
// cannot be read is reported and left out.
func (s *Store) Expired(ctx context.Context, limit int) ([]sms.Expiry, error) {
	if limit <= 0 {
		return nil, nil
	}
	now := strconv.FormatInt(time.Now().UnixMilli(), 10)
	var got *goredis.ZSliceCmd
	if err := s.do(ctx, func(p goredis.Pipeliner) {
		got = p.ZRangeByScoreWithScores(noContext, s.keys.expiry(), &goredis.ZRangeBy{Min: "-inf", Max: now, Count: int64(limit)})
	}); err != nil {
		return nil, err
	}
	out := make([]sms.Expiry, 0, len(got.Val()))
	for _, z := range got.Val() {
		member, _ := z.Member.(string)
		x, err := decodeExpiry(member, z.Score)
		if err != nil {
			// Dropped, or it would stand before all others for ever.
			s.log.Error("entry of the expiry index is dropped", "err", err)
			if err := s.do(ctx, func(p goredis.Pipeliner) { p.ZRem(noContext, s.keys.expiry(), member) }); err != nil {
				return nil, err
			}
			continue
		}
		out = append(out, x)
	}
	return out, nil
}

// Settled tells for each delivery whether this very attempt was settled before.
func (s *Store) Settled(ctx context.Context, ds []*queue.Delivery) ([]bool, error) {
	out := make([]bool, len(ds))
	if len(ds) == 0 {
		return out, nil
	}
	scores := make([]*goredis.FloatCmd, len(ds))
	if err := s.do(ctx, func(p goredis.Pipeliner) {
		for i, d := range ds {
			scores[i] = p.ZScore(noContext, s.keys.settled(d.Queue), settledMember(d))
		}
	}); err != nil {
		return nil, err
	}
	for i, c := range scores {
		out[i] = c.Err() == nil
	}
	return out, nil
}

func (s *Store) hash(ctx context.Context, key string) (map[string]string, error) {
	var c *goredis.MapStringStringCmd
	if err := s.do(ctx, func(p goredis.Pipeliner) { c = p.HGetAll(noContext, key) }); err != nil {
		return nil, err
	}
	return c.Val(), nil
}
