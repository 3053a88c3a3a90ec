package redis_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"jasmind/internal/billing"
	"jasmind/internal/journal"
	"jasmind/internal/queue"
	"jasmind/internal/sms"
	"jasmind/internal/store/redis"
	"jasmind/internal/store/storetest"
	"jasmind/internal/testenv"
)

// Whatever is recorded and settled is so on a Redis that has no memory left, too.
func TestContractWithoutMemory(t *testing.T) {
	server := testenv.DedicatedRedis(t)
	c := raw(t, server.URL())
	must(t, c.ConfigSet(t.Context(), "maxmemory", "1").Err())
	if err := c.Set(t.Context(), "x", "x", 0).Err(); err == nil || !strings.Contains(err.Error(), "OOM") {
		t.Fatalf("it is not full: %v", err)
	}
	storetest.Run(t, func(t *testing.T) storetest.Instance {
		cfg := redis.Config{URL: server.URL(), Prefix: t.Name() + ":"}
		s := open(t, cfg)
		var instance func() storetest.Instance
		instance = func() storetest.Instance {
			override := func(ctx context.Context, o sms.Override) error { return s.Override(ctx, []sms.Override{o}) }
			return storetest.Instance{Store: s, Letters: s, Apply: s.Apply, Override: override, Reopen: func(t *testing.T) storetest.Instance {
				must(t, s.Close())
				s = open(t, cfg)
				return instance()
			}}
		}
		return instance()
	})
}

// A Redis whose memory runs out takes no new work, and settles what there is; when there is room again, it takes new work again.
func TestLittleMemory(t *testing.T) {
	server := testenv.DedicatedRedis(t)
	c := raw(t, server.URL())
	s := open(t, redis.Config{URL: server.URL()})
	must(t, s.Set(t.Context(), "u1", billing.QuotaBalance, billing.Credit{HasBalance: true, Balance: 10}))
	charge := func(bill billing.BillID) []billing.Charge {
		return []billing.Charge{{UID: "u1", Bill: bill, Amount: 4}}
	}
	work := func(id sms.MessageID) *journal.Entry {
		return &journal.Entry{Charges: charge(billing.BillID(id)), Publish: make([]queue.Publication, 1),
			Receipts: []sms.ReceiptRequest{{MsgID: id, Origin: sms.OriginHTTP, Parts: 1, Expiry: time.Hour}}}
	}
	admit := func(id sms.MessageID) error {
		e := work(id)
		if err := s.Admit(t.Context(), e); err != nil {
			return err
		}
		return s.Write(t.Context(), e, journal.Record)
	}
	must(t, admit("before"))
	keys := func() []string {
		k := c.Keys(t.Context(), "*").Val()
		slices.Sort(k)
		return k
	}
	before := keys()
	must(t, c.ConfigSet(t.Context(), "maxmemory", "1000000").Err())
	// Also before anybody has looked, since Redis itself refuses.
	if err := admit("full"); !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("new work: %v, want ErrUnavailable", err)
	}
	eventually(t, "it is seen to be low", func() bool { return s.Memory().Low })
	for what, err := range map[string]error{
		"without a charge": s.Admit(t.Context(), &journal.Entry{Publish: make([]queue.Publication, 1), Records: make([]sms.Record, 1)}),
		"a part of a long MO": func() error {
			_, err := s.AddPart(t.Context(), sms.LongPart{Key: sms.LongKey{CID: "c", Total: 2}, Seq: 1}, "m", time.Hour, time.Hour)
			return err
		}(),
	} {
		if !errors.Is(err, queue.ErrUnavailable) {
			t.Errorf("%s: %v, want ErrUnavailable", what, err)
		}
	}
	if after := keys(); !slices.Equal(before, after) {
		t.Errorf("refusals left\n%v, there was\n%v", after, before)
	}
	must(t, s.Admit(t.Context(), &journal.Entry{Publish: make([]queue.Publication, 1)})) // for which Redis keeps nothing

	must(t, s.Finalize(t.Context(), charge("before")))
	must(t, s.Apply(t.Context(), &journal.Entry{Confirm: []billing.BillID{"before"}, Changes: []sms.StateChange{{MsgID: "before"}},
		Charges:  []billing.Charge{{UID: "u1", Bill: "rest", Amount: 1, Owed: true}},
		Mappings: []sms.Mapping{{Account: "smsc", SMPPMsgID: "1", MsgID: "before", Part: 1, Parts: 1}},
		Outcomes: []sms.PartOutcome{{MsgID: "before", Part: 1, Parts: 1}, {MsgID: "before", Part: 1, Parts: 1, State: "DELIVRD"}},
		Letters:  []queue.Letter{{ID: "l", Queue: "q"}},
		Ack:      []journal.Ack{{Delivery: delivery("submit.sm.smsc", "before", 0), Remember: true}}}))
	must(t, s.Apply(t.Context(), &journal.Entry{Forget: []sms.MessageID{"before"}, DropLetters: []queue.LetterID{"l"}}))
	if _, err := s.Lapse(t.Context(), 100); err != nil {
		t.Error(err)
	}
	if _, err := s.Adjust(t.Context(), "u1", billing.Change{Bill: "more", Balance: 5}); err != nil {
		t.Error(err)
	}
	if got, err := s.Credit(t.Context(), "u1", billing.Credit{}); err != nil || got.Balance != 10 {
		t.Errorf("%v left, %v; want 10: 4 and 1 were taken, 5 were added", got.Balance, err)
	}

	must(t, c.ConfigSet(t.Context(), "maxmemory", "0").Err())
	eventually(t, "there is room", func() bool { return !s.Memory().Low })
	must(t, admit("after"))
}

// A user whom a Redis does not let see its memory works like before, and is told.
func TestMemoryThatIsNotShown(t *testing.T) {
	server := testenv.DedicatedRedis(t)
	c := raw(t, server.URL())
	must(t, c.Do(t.Context(), "ACL", "SETUSER", "limited", "on", ">secret", "~*", "+@all", "-info").Err())
	s := open(t, redis.Config{Host: server.Host, Port: server.Port, User: "limited", Password: "secret"})
	must(t, c.ConfigSet(t.Context(), "maxmemory", "1").Err())
	if err := s.Apply(t.Context(), &journal.Entry{Receipts: []sms.ReceiptRequest{{MsgID: "m"}}}); !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("a full Redis: %v, want ErrUnavailable", err)
	}
	must(t, c.ConfigSet(t.Context(), "maxmemory", "0").Err())
	must(t, s.Apply(t.Context(), &journal.Entry{Receipts: []sms.ReceiptRequest{{MsgID: "m"}}}))
}

// While Redis is stopped by a signal its connections stay open and nothing answers.
func TestAPausedRedisIsAwayUntilItAnswers(t *testing.T) {
	server := testenv.DedicatedRedis(t)
	s := open(t, redis.Config{URL: server.URL(), Timeout: 300 * time.Millisecond})
	must(t, server.Pause(t.Context()))
	eventually(t, "it is away", func() bool { return s.Healthy() != nil })
	must(t, server.Unpause(t.Context()))
	eventually(t, "it is back", func() bool { return s.Healthy() == nil })
	must(t, s.Apply(t.Context(), &journal.Entry{Receipts: []sms.ReceiptRequest{{MsgID: "m"}}}))
}
