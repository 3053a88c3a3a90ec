package redis

import (
	"context"
	"strconv"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"jasmind/internal/journal"
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

// Apply writes everything that the store holds of an entry but its Overrides, as one change, in the order of
// the journal: Release and the records, then Changes, Forget and Unexpire, then the settled attempts.
func (s *Store) Apply(ctx context.Context, e *journal.Entry) error {
	return s.write(ctx, e, true, true)
}

// WriteBefore writes what must be there before an entry's publications: Charges that are
// owed, Release, Receipts, Records, Expiries, Mappings, Outcomes and Letters.
//
// Release comes before the retry is in the queue: whoever takes it from there claims it, and that
// claim must stand. What is changed in between, its next claim gives.
func (s *Store) WriteBefore(ctx context.Context, e *journal.Entry) error {
	return s.write(ctx, e, true, false)
}

// WriteAfter writes what is only true when the publications are durable: Confirm, Changes, Forget,
// Joined, Unexpire, DropLetters, and that the attempts of Ack (those to be remembered) and Retry are settled.
func (s *Store) WriteAfter(ctx context.Context, e *journal.Entry) error {
	return s.write(ctx, e, false, true)
}

func (s *Store) write(ctx context.Context, e *journal.Entry, before, after bool) error {
	var parts, finals []string
	if before && len(e.Outcomes) > 0 {
		for i := range e.Outcomes {
			v, err := encodeOutcome(&e.Outcomes[i])
			if err != nil {
				return err
			}
			if e.Outcomes[i].State == "" {
				parts = append(parts, v)
			} else {
				finals = append(finals, v)
			}
		}
	}
	if !(before && hasBefore(e)) && !(after && hasAfter(e)) {
		return nil
	}
	if before {
		if err := validCharges(e.Charges); err != nil {
			return err
		}
	}
	return s.do(ctx, func(p goredis.Pipeliner) {
		if before {
			s.addOwed(p, e.Charges)
			s.addUnclaim(p, e.Release)
			s.addRecords(p, e)
			s.addOutcomes(p, e, parts, finals)
			s.addLetters(p, e.Letters)
		}
		if after {
			if len(e.Confirm) > 0 {
				s.addBills(p, confirmScript, e.Confirm)
			}
			s.addChanges(p, e.Changes)
			s.addDrops(p, e)
			s.addLetterDrops(p, e.DropLetters)
			s.addSettled(p, e)
		}
	})
}

// hasBefore tells whether WriteBefore has anything to do.
func hasBefore(e *journal.Entry) bool {
	return len(e.Release)+len(e.Receipts)+len(e.Records)+len(e.Expiries)+len(e.Mappings)+len(e.Outcomes)+len(e.Letters) > 0 || hasOwed(e.Charges)
}

// hasAfter tells whether WriteAfter has anything to do.
func hasAfter(e *journal.Entry) bool {
	if len(e.Changes)+len(e.Forget)+len(e.Joined)+len(e.Unexpire)+len(e.Retry)+len(e.Confirm)+len(e.DropLetters) > 0 {
		return true
	}
	for i := range e.Ack {
		if e.Ack[i].Remember {
			return true
		}
	}
	return false
}

// The add functions queue commands and never wait: no context is theirs.
var noContext = context.Background()

func (s *Store) addRecords(p goredis.Pipeliner, e *journal.Entry) {
	for i := range e.Receipts {
		r := &e.Receipts[i]
		key := s.keys.receipt(r.MsgID)
		p.HSet(noContext, key, receiptFields(r)...)
		p.PExpire(noContext, key, ttl(r.Expiry))
	}
	s.addMessages(p, e.Records)
	if len(e.Expiries) > 0 {
		zs := make([]goredis.Z, len(e.Expiries))
		for i := range e.Expiries {
			zs[i] = goredis.Z{Score: float64(e.Expiries[i].At.UnixMilli()), Member: expiryMember(&e.Expiries[i])}
		}
		p.ZAdd(noContext, s.keys.expiry(), zs...)
	}
	for i := range e.Mappings {
		m := &e.Mappings[i]
		key := s.keys.mapping(m.CID, m.SMPPMsgID)
		p.HSet(noContext, key, mappingFields(m)...)
		p.PExpire(noContext, key, ttl(m.Expiry))
		// The wait for a receipt begins with the last part, however long the message was queued; until
		// then one that is still queued must find its request when it is sent.
		request := s.keys.receipt(m.MsgID)
		if m.Part >= m.Parts {
			p.PExpire(noContext, request, ttl(m.Expiry))
		} else {
			p.Eval(noContext, extendScript, []string{request}, ttl(m.Expiry).Milliseconds())
		}
	}
}

func (s *Store) addOutcomes(p goredis.Pipeliner, e *journal.Entry, parts, finals []string) {
	for i := range e.Outcomes {
		o := &e.Outcomes[i]
		if o.State == "" {
			key := s.keys.parts(o.MsgID)
			p.HSet(noContext, key, strconv.Itoa(o.Part), parts[0])
			p.PExpire(noContext, key, ttl(o.Expiry))
			parts = parts[1:]
			continue
		}
		s.addFinal(p, o, finals[0])
		finals = finals[1:]
	}
}

// addFinal records a final state unless the part has one.
func (s *Store) addFinal(p goredis.Pipeliner, o *sms.PartOutcome, value string) {
	key := s.keys.finals(o.MsgID)
	p.HSetNX(noContext, key, strconv.Itoa(o.Part), value)
	p.PExpire(noContext, key, ttl(o.Expiry))
}

func (s *Store) addDrops(p goredis.Pipeliner, e *journal.Entry) {
	if len(e.Forget) > 0 {
		names := make([]string, 0, 3*len(e.Forget))
		for _, id := range e.Forget {
			names = append(names, s.keys.receipt(id), s.keys.parts(id), s.keys.finals(id))
		}
		p.Del(noContext, names...)
	}
	if len(e.Joined) > 0 {
		s.addJoined(p, e.Joined)
	}
	if len(e.Unexpire) > 0 {
		members := make([]any, len(e.Unexpire))
		for i := range e.Unexpire {
			members[i] = expiryMember(&e.Unexpire[i])
		}
		p.ZRem(noContext, s.keys.expiry(), members...)
	}
}

// addSettled remembers attempts, and forgets the oldest of their queue.
func (s *Store) addSettled(p goredis.Pipeliner, e *journal.Entry) {
	now := float64(time.Now().UnixMicro())
	byQueue := make(map[queue.Name][]goredis.Z, 1)
	note := func(d *queue.Delivery) {
		byQueue[d.Queue] = append(byQueue[d.Queue], goredis.Z{Score: now, Member: settledMember(d)})
	}
	for i := range e.Ack {
		if e.Ack[i].Remember {
			note(e.Ack[i].Delivery)
		}
	}
	for i := range e.Retry {
		note(e.Retry[i].Delivery)
	}
	for q, zs := range byQueue {
		key := s.keys.settled(q)
		p.ZAdd(noContext, key, zs...)
		p.ZRemRangeByRank(noContext, key, 0, -settledKept-1)
		p.PExpire(noContext, key, settledTTL)
	}
}
