package embedded_test

import (
	"sync"
	"testing"

	"jasmind/internal/journal/embedded"
	"jasmind/internal/journal/journaltest"
	"jasmind/internal/localdb"
	queuepebble "jasmind/internal/queue/pebble"
	storepebble "jasmind/internal/store/pebble"
)

// stack is everything a gateway keeps in its own database.
type stack struct {
	db    *localdb.DB
	queue *queuepebble.Driver
	store *storepebble.Store
	*embedded.Journal
	once sync.Once
}

func openStack(t testing.TB, dir string, cfg localdb.Config) *stack {
	t.Helper()
	db, err := localdb.Open(dir, cfg)
	if err != nil {
		t.Fatal(err)
	}
	q, err := queuepebble.New(db, queuepebble.Config{})
	if err != nil {
		t.Fatal(err)
	}
	s := &stack{db: db, queue: q, store: storepebble.New(db)}
	s.Journal = embedded.New(db, q, s.store)
	t.Cleanup(func() { s.close(t) })
	return s
}

func (s *stack) close(t testing.TB) {
	t.Helper()
	s.once.Do(func() {
		if err := s.queue.Close(); err != nil {
			t.Error(err)
		}
		if err := s.db.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestContract(t *testing.T) {
	journaltest.Run(t, func(t *testing.T) journaltest.Instance {
		dir := t.TempDir()
		var open func(t *testing.T) journaltest.Instance
		open = func(t *testing.T) journaltest.Instance {
			s := openStack(t, dir, localdb.Config{})
			return journaltest.Instance{Journal: s.Journal, Store: s.store, Queue: s.queue, Atomic: true,
				Reopen: func(t *testing.T) journaltest.Instance {
					s.close(t)
					return open(t)
				}}
		}
		return open(t)
	})
}
