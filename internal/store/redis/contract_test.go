package redis_test

import (
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"

	"jasmind/internal/billing"
	"jasmind/internal/journal"
	"jasmind/internal/sms"
	"jasmind/internal/store/redis"
	"jasmind/internal/store/storetest"
	"jasmind/internal/testenv"
)

func TestMain(m *testing.M) {
	// After connections were refused the library tries one in the background, and sleeps out
	// a second of pause after Close.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
}

func open(t testing.TB, cfg redis.Config) *redis.Store {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if cfg.Timeout == 0 { // a busy machine is no reason to give up
		cfg.Timeout = patience
	}
	if cfg.DialTimeout == 0 {
		cfg.DialTimeout = patience
	}
	s, err := redis.Open(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func TestContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Instance {
		cfg := redis.Config{URL: testenv.Redis(t).URL(), Prefix: "contract:"}
		s := open(t, cfg)
		var instance func() storetest.Instance
		instance = func() storetest.Instance {
			override := func(ctx context.Context, o sms.Override) error { return s.Override(ctx, []sms.Override{o}) }
			return storetest.Instance{Store: s, Letters: s, Apply: s.Apply, Override: override, Reopen: func(t *testing.T) storetest.Instance {
				if err := s.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
				s = open(t, cfg)
				return instance()
			}}
		}
		return instance()
	})
}

func TestLedgerContract(t *testing.T) {
	storetest.RunLedger(t, func(t *testing.T) storetest.Ledger {
		cfg := redis.Config{URL: testenv.Redis(t).URL(), Prefix: "ledger:"}
		s := open(t, cfg)
		var instance func() storetest.Ledger
		instance = func() storetest.Ledger {
			return storetest.Ledger{Ledger: s,
				// What a journal does with an entry that publishes nothing.
				Charge: func(ctx context.Context, cs ...billing.Charge) error {
					if err := s.Reserve(ctx, cs); err != nil {
						return err
					}
					if err := s.Apply(ctx, &journal.Entry{Charges: cs}); err != nil {
						return err
					}
					return s.Finalize(ctx, cs)
				},
				Reopen: func(t *testing.T) storetest.Ledger {
					if err := s.Close(); err != nil {
						t.Errorf("close: %v", err)
					}
					s = open(t, cfg)
					return instance()
				}}
		}
		return instance()
	})
}

func TestPartsContract(t *testing.T) {
	storetest.RunParts(t, func(t *testing.T) storetest.Parts {
		cfg := redis.Config{URL: testenv.Redis(t).URL(), Prefix: "parts:"}
		s := open(t, cfg)
		var instance func() storetest.Parts
		instance = func() storetest.Parts {
			return storetest.Parts{Parts: s, Apply: s.Apply, Reopen: func(t *testing.T) storetest.Parts {
				if err := s.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
				s = open(t, cfg)
				return instance()
			}}
		}
		return instance()
	})
}
