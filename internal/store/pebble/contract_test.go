package pebble_test

import (
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"

	"jasmind/internal/billing"
	"jasmind/internal/journal"
	"jasmind/internal/localdb"
	"jasmind/internal/sms"
	"jasmind/internal/store/pebble"
	"jasmind/internal/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func openDB(t testing.TB, dir string) *localdb.DB {
	t.Helper()
	db, err := localdb.Open(dir, localdb.Config{SweepInterval: 10 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func TestContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Instance {
		dir := t.TempDir()
		var open func(t *testing.T) storetest.Instance
		open = func(t *testing.T) storetest.Instance {
			db := openDB(t, dir)
			s := pebble.New(db)
			override := func(ctx context.Context, o sms.Override) error {
				return s.Apply(ctx, &journal.Entry{Overrides: []sms.Override{o}})
			}
			return storetest.Instance{Store: s, Letters: s, Apply: s.Apply, Override: override, Reopen: func(t *testing.T) storetest.Instance {
				if err := db.Close(); err != nil {
					t.Fatal(err)
				}
				return open(t)
			}}
		}
		return open(t)
	})
}

func TestLedgerContract(t *testing.T) {
	storetest.RunLedger(t, func(t *testing.T) storetest.Ledger {
		dir := t.TempDir()
		var open func(t *testing.T) storetest.Ledger
		open = func(t *testing.T) storetest.Ledger {
			db := openDB(t, dir)
			s := pebble.New(db)
			return storetest.Ledger{Ledger: s,
				Charge: func(ctx context.Context, cs ...billing.Charge) error {
					return s.Apply(ctx, &journal.Entry{Charges: cs})
				},
				Reopen: func(t *testing.T) storetest.Ledger {
					if err := db.Close(); err != nil {
						t.Fatal(err)
					}
					return open(t)
				}}
		}
		return open(t)
	})
}

func TestPartsContract(t *testing.T) {
	storetest.RunParts(t, func(t *testing.T) storetest.Parts {
		dir := t.TempDir()
		var open func(t *testing.T) storetest.Parts
		open = func(t *testing.T) storetest.Parts {
			db := openDB(t, dir)
			s := pebble.New(db)
			return storetest.Parts{Parts: s, Apply: s.Apply, Reopen: func(t *testing.T) storetest.Parts {
				if err := db.Close(); err != nil {
					t.Fatal(err)
				}
				return open(t)
			}}
		}
		return open(t)
	})
}
