package redis

import (
	"context"
	"strconv"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"jasmind/internal/queue"
	"jasmind/internal/sms"
)

const (
	defaultTTL = 24 * time.Hour      // of records that do not say how long they are wanted
	settledTTL = 30 * 24 * time.Hour // of the settled attempts of a queue that nobody uses any more
)

func ttl(d time.Duration) time.Duration {
	if d <= 0 {
		return defaultTTL
	}
	return d
}

// The add functions queue commands and never wait: no context is theirs.
var noContext = context.Background()

func (s *Store) addReceipts(p goredis.Pipeliner, rs []sms.ReceiptRequest) {
	for i := range rs {
		r := &rs[i]
		key := s.keys.receipt(r.MsgID)
		s.write(p, "HSET", key, receiptFields(r)...)
		p.PExpire(noContext, key, ttl(r.Expiry))
	}
}

func (s *Store) addExpiries(p goredis.Pipeliner, xs []sms.Expiry) {
	for i := range xs {
		s.write(p, "ZADD", s.keys.expiry(), xs[i].At.UnixMilli(), expiryMember(&xs[i]))
	}
}

func (s *Store) addUnexpire(p goredis.Pipeliner, xs []sms.Expiry) {
	members := make([]any, len(xs))
	for i := range xs {
		members[i] = expiryMember(&xs[i])
	}
	p.ZRem(noContext, s.keys.expiry(), members...)
}

func (s *Store) addMappings(p goredis.Pipeliner, ms []sms.Mapping) {
	for i := range ms {
		m := &ms[i]
		key := s.keys.mapping(m.Account, m.SMPPMsgID)
		s.write(p, "HSET", key, mappingFields(m)...)
		p.PExpire(noContext, key, ttl(m.Expiry))
		// The wait for a receipt begins with the last part, however long the message was queued; until
		// then one that is still queued must find its request when it is sent.
		request := s.keys.receipt(m.MsgID)
		if m.Part >= m.Parts {
			p.PExpire(noContext, request, ttl(m.Expiry))
		} else {
			s.settle(p, extendScript, []string{request}, ttl(m.Expiry).Milliseconds())
		}
	}
}

func (s *Store) addOutcomes(p goredis.Pipeliner, outcomes []sms.PartOutcome) {
	for i := range outcomes {
		o := &outcomes[i]
		if o.State != "" {
			s.addFinal(p, o)
			continue
		}
		key := s.keys.parts(o.MsgID)
		s.write(p, "HSET", key, strconv.Itoa(o.Part), encodeOutcome(o))
		p.PExpire(noContext, key, ttl(o.Expiry))
	}
}

// addFinal records a final state unless the part has one.
func (s *Store) addFinal(p goredis.Pipeliner, o *sms.PartOutcome) {
	key := s.keys.finals(o.MsgID)
	s.write(p, "HSETNX", key, strconv.Itoa(o.Part), encodeOutcome(o))
	p.PExpire(noContext, key, ttl(o.Expiry))
}

func (s *Store) addForget(p goredis.Pipeliner, ids []sms.MessageID) {
	names := make([]string, 0, 3*len(ids))
	for _, id := range ids {
		names = append(names, s.keys.receipt(id), s.keys.parts(id), s.keys.finals(id))
	}
	p.Del(noContext, names...)
}

// addSettled remembers attempts, and forgets the oldest of their queue.
func (s *Store) addSettled(p goredis.Pipeliner, ds []*queue.Delivery) {
	byQueue := make(map[queue.Name][]any, 1)
	for _, d := range ds {
		if byQueue[d.Queue] == nil {
			byQueue[d.Queue] = []any{time.Now().UnixMicro(), settledKept, settledTTL.Milliseconds()}
		}
		byQueue[d.Queue] = append(byQueue[d.Queue], settledMember(d))
	}
	for q, args := range byQueue {
		s.settle(p, settledScript, []string{s.keys.settled(q)}, args...)
	}
}
