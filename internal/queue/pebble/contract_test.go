package pebble_test

import (
	"testing"

	"go.uber.org/goleak"

	"jasmind/internal/localdb"
	"jasmind/internal/queue/pebble"
	"jasmind/internal/queue/queuetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func openDB(t testing.TB, dir string) *localdb.DB {
	t.Helper()
	db, err := localdb.Open(dir, localdb.Config{})
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

func openDriver(t testing.TB, db *localdb.DB, cfg pebble.Config) *pebble.Driver {
	t.Helper()
	d, err := pebble.New(db, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func TestContract(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  pebble.Config
	}{
		{"default window", pebble.Config{}},
		{"window of two", pebble.Config{Window: 2}},
		{"window of ten octets", pebble.Config{WindowBytes: 10}},
	} {
		t.Run(c.name, func(t *testing.T) {
			queuetest.Run(t, func(t *testing.T) queuetest.Instance {
				dir := t.TempDir()
				db := openDB(t, dir)
				d := openDriver(t, db, c.cfg)
				return queuetest.Instance{Driver: d, Reopen: func(t *testing.T) queuetest.Driver {
					if err := d.Close(); err != nil {
						t.Fatal(err)
					}
					if err := db.Close(); err != nil {
						t.Fatal(err)
					}
					db = openDB(t, dir)
					d = openDriver(t, db, c.cfg)
					return d
				}}
			})
		})
	}
}
