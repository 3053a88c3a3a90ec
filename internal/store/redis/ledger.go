package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"jasmind/internal/billing"
	"jasmind/internal/sms"
)

var _ billing.Ledger = (*Store)(nil)

const (
	// billTTL is how long a charge that is not final is remembered: longer than a message
	// may stay in a queue.
	billTTL = 100 * 24 * time.Hour
	// finalTTL is how long a final one is, for a caller who repeats an entry.
	finalTTL = 2 * time.Minute
	// owedKept is how many bills of a user that were owed are remembered, and owedTTL for
	// how long after the last. A bill comes twice when an answer or a node was lost, and
	// then within what was in flight, however long nobody was there to charge it.
	owedKept = 16384
	owedTTL  = 30 * 24 * time.Hour
)

// Reserve makes the charges of an entry that are not Owed, all or none of them: what is
// charged is a reservation until Finalize, and given back when that does not follow in time
// (Config.ReservedFor). A bill that is reserved or final already is not charged again.
func (s *Store) Reserve(ctx context.Context, cs []billing.Charge) error {
	names := []string{s.keys.reserved()}
	args := []any{s.cfg.ReservedFor.Milliseconds(), billTTL.Milliseconds()}
	var taken []*billing.Charge
	for i := range cs {
		c := &cs[i]
		if err := c.Validate(); err != nil {
			return fmt.Errorf("redis: %w", err)
		}
		if c.Owed {
			continue
		}
		taken = append(taken, c)
		names = append(names, s.keys.quota(c.UID), s.keys.bill(c.Bill))
		args = append(args, string(c.Bill), string(c.UID), int64(c.Amount), int64(c.Required()), int64(c.Required()-c.Amount), c.Count, openBalance(&c.Open), openCount(&c.Open))
	}
	if len(taken) == 0 {
		return nil
	}
	var cmd *goredis.Cmd
	if err := s.do(ctx, func(p goredis.Pipeliner) { cmd = p.Eval(noContext, reserveScript, names, args...) }); err != nil {
		return err
	}
	reply, err := cmd.Slice()
	if err != nil || len(reply) != 3 {
		return fmt.Errorf("redis: reserve %s: unexpected reply %v: %w", taken[0].Bill, reply, err)
	}
	n, _ := reply[0].(int64)
	if n == 0 {
		return nil
	}
	text, _ := reply[2].(string)
	left, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n > int64(len(taken)) {
		return fmt.Errorf("redis: reserve %s: unexpected reply %v", taken[0].Bill, reply)
	}
	if reply[1] == fieldCount {
		return taken[n-1].LackOfCount(left)
	}
	return taken[n-1].LackOfBalance(billing.Amount(left))
}

// Finalize makes reservations final: their messages are in the queue.
func (s *Store) Finalize(ctx context.Context, cs []billing.Charge) error {
	return s.onBills(ctx, finalizeScript, taken(cs))
}

// Lapse gives back up to limit reservations that were not made final in time, and tells
// how many it looked at. Any node may call it, also at the same time.
func (s *Store) Lapse(ctx context.Context, limit int) (int, error) {
	var cmd *goredis.Cmd
	if err := s.do(ctx, func(p goredis.Pipeliner) {
		cmd = s.settle(p, lapseScript, []string{s.keys.reserved()}, s.keys.prefix, limit)
	}); err != nil {
		return 0, err
	}
	return cmd.Int()
}

func taken(cs []billing.Charge) []billing.BillID {
	var out []billing.BillID
	for i := range cs {
		if !cs[i].Owed {
			out = append(out, cs[i].Bill)
		}
	}
	return out
}

func (s *Store) onBills(ctx context.Context, script string, bills []billing.BillID) error {
	if len(bills) == 0 {
		return nil
	}
	return s.do(ctx, func(p goredis.Pipeliner) { s.addBills(p, script, bills) })
}

func (s *Store) addBills(p goredis.Pipeliner, script string, bills []billing.BillID) {
	args := make([]any, 0, 2+len(bills))
	args = append(args, s.keys.prefix, finalTTL.Milliseconds())
	for _, b := range bills {
		args = append(args, string(b))
	}
	s.settle(p, script, []string{s.keys.reserved()}, args...)
}

func (s *Store) addConfirm(p goredis.Pipeliner, bills []billing.BillID) {
	s.addBills(p, confirmScript, bills)
}

// addOwed queues the charges that are owed.
func (s *Store) addOwed(p goredis.Pipeliner, cs []billing.Charge) {
	var names []string
	args := []any{time.Now().UnixMicro(), owedKept, owedTTL.Milliseconds()}
	for i := range cs {
		c := &cs[i]
		if !c.Owed {
			continue
		}
		names = append(names, s.keys.quota(c.UID), s.keys.owed(c.UID))
		args = append(args, string(c.Bill), -int64(c.Amount), -c.Count)
	}
	s.settle(p, owedScript, names, args...)
}

// Credit gives what is left to a user.
func (s *Store) Credit(ctx context.Context, uid sms.UserID, open billing.Credit) (billing.Credit, error) {
	var cmd *goredis.SliceCmd
	key := s.keys.quota(uid)
	if err := s.do(ctx, func(p goredis.Pipeliner) { cmd = p.HMGet(noContext, key, fieldBalance, fieldCount) }); err != nil {
		return billing.Credit{}, err
	}
	c, err := credit(key, cmd.Val())
	if err != nil {
		return billing.Credit{}, err
	}
	if !c.HasBalance && open.HasBalance {
		c.HasBalance, c.Balance = true, open.Balance
	}
	if !c.HasCount && open.HasCount {
		c.HasCount, c.Count = true, open.Count
	}
	return c, nil
}

// credit reads the values of balance and sms_count, nil for what is not there.
func credit(key string, v []any) (billing.Credit, error) {
	var c billing.Credit
	if len(v) < 2 {
		return c, fmt.Errorf("redis: %s: %d values", key, len(v))
	}
	var err1, err2 error
	if text, ok := v[0].(string); ok {
		var n int64
		n, err1 = strconv.ParseInt(text, 10, 64)
		c.HasBalance, c.Balance = true, billing.Amount(n)
	}
	if text, ok := v[1].(string); ok {
		c.HasCount = true
		c.Count, err2 = strconv.ParseInt(text, 10, 64)
	}
	if err := errors.Join(err1, err2); err != nil {
		return billing.Credit{}, fmt.Errorf("redis: %s: %w", key, err)
	}
	return c, nil
}

// Adjust adds to quotas.
func (s *Store) Adjust(ctx context.Context, uid sms.UserID, ch billing.Change) (billing.Credit, error) {
	key := s.keys.quota(uid)
	var cmd *goredis.Cmd
	if err := s.do(ctx, func(p goredis.Pipeliner) {
		cmd = s.settle(p, adjustScript, []string{key, s.keys.bill(ch.Bill)},
			int64(ch.Balance), ch.Count, openBalance(&ch.Open), openCount(&ch.Open), time.Hour.Milliseconds())
	}); err != nil {
		return billing.Credit{}, err
	}
	reply, err := cmd.Slice()
	if err != nil || len(reply) != 3 {
		return billing.Credit{}, fmt.Errorf("redis: adjust %s: unexpected reply %v: %w", key, reply, err)
	}
	switch reply[0] {
	case "unlimited":
		return billing.Credit{}, billing.ErrUnlimited
	case "overflow":
		return billing.Credit{}, billing.ErrOverflow
	}
	for i, v := range reply { // Lua has no nil in its arrays
		if v == "" {
			reply[i] = nil
		}
	}
	return credit(key, reply[1:])
}

// Set gives quotas a value or forgets them.
func (s *Store) Set(ctx context.Context, uid sms.UserID, which billing.Quotas, c billing.Credit) error {
	key := s.keys.quota(uid)
	return s.do(ctx, func(p goredis.Pipeliner) {
		if which&billing.QuotaBalance != 0 {
			if c.HasBalance {
				s.write(p, "HSET", key, fieldBalance, int64(c.Balance))
			} else {
				p.HDel(noContext, key, fieldBalance)
			}
		}
		if which&billing.QuotaCount != 0 {
			if c.HasCount {
				s.write(p, "HSET", key, fieldCount, c.Count)
			} else {
				p.HDel(noContext, key, fieldCount)
			}
		}
		p.Exists(noContext, key) // never nothing at all
	})
}

// Remove forgets a user. Bills of his that are on their way find nothing to charge.
func (s *Store) Remove(ctx context.Context, uid sms.UserID) error {
	key := s.keys.quota(uid)
	return s.do(ctx, func(p goredis.Pipeliner) { p.Del(noContext, key) })
}

// scanned is how many keys Redis looks at for one answer.
const scanned = 1000

// Accounts calls f for every user who is known. It looks at every key of the database.
func (s *Store) Accounts(ctx context.Context, f func(sms.UserID, billing.Credit) error) error {
	prefix := s.keys.quota("")
	for cursor := uint64(0); ; {
		var cmd *goredis.ScanCmd
		if err := s.do(ctx, func(p goredis.Pipeliner) { cmd = p.Scan(noContext, cursor, globQuote(prefix)+"*", scanned) }); err != nil {
			return err
		}
		names, next := cmd.Val()
		for _, name := range names {
			uid := sms.UserID(strings.TrimPrefix(name, prefix))
			c, err := s.Credit(ctx, uid, billing.Credit{})
			if err != nil {
				return err
			}
			if !c.HasBalance && !c.HasCount {
				continue
			}
			if err := f(uid, c); err != nil {
				return err
			}
		}
		if cursor = next; cursor == 0 {
			return nil
		}
	}
}

// globQuote makes a pattern that matches just the text.
func globQuote(text string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(text)
}

func openBalance(c *billing.Credit) string {
	if !c.HasBalance {
		return ""
	}
	return strconv.FormatInt(int64(c.Balance), 10)
}

func openCount(c *billing.Credit) string {
	if !c.HasCount {
		return ""
	}
	return strconv.FormatInt(c.Count, 10)
}

func hasOwed(cs []billing.Charge) bool {
	for i := range cs {
		if cs[i].Owed {
			return true
		}
	}
	return false
}

func validCharges(cs []billing.Charge) error {
	for i := range cs {
		if err := cs[i].Validate(); err != nil {
			return fmt.Errorf("redis: %w", err)
		}
	}
	return nil
}
