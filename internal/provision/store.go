package provision

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"jasmind/internal/account"
)

// Store holds the configuration and publishes it. It is safe for concurrent use.
type Store struct {
	current atomic.Pointer[Snapshot]

	mu          sync.Mutex // serialises changes; guards what follows
	userVersion uint64
	document    *Document // what the provisioning file declares; nil if there is none
	subscribers map[int]func(old, new *Snapshot)
	nextID      int
}

// NewStore makes a Store with nothing configured.
func NewStore() *Store {
	s := &Store{subscribers: map[int]func(old, new *Snapshot){}}
	empty := newState()
	snapshot, err := empty.build(0, map[Key]string{})
	if err != nil {
		panic(err) // an empty table has no fault
	}
	s.current.Store(snapshot)
	return s
}

// Snapshot gives the current configuration, which may be used for as long as one likes.
func (s *Store) Snapshot() *Snapshot { return s.current.Load() }

// Account finds an account in the current configuration, for account.NewAuthenticator.
func (s *Store) Account(username string) (*account.User, *account.Group) {
	return s.current.Load().Account(username)
}

// Upgrade stores a newer hash of a user's password, unless the user has changed since.
func (s *Store) Upgrade(u *account.User, p account.Password) {
	// What this refuses is no loss: the next login upgrades the hash.
	_ = s.change(func(d *Draft) error {
		now := d.users[u.UID]
		if now == nil || now.Version != u.Version {
			return nil
		}
		fresh := *now
		fresh.Password = p
		d.users[u.UID] = &fresh
		d.dirty = true
		return nil
	})
}

// Apply makes a change as a whole: when it returns nil, the new Snapshot is published and
// every subscriber was told; else nothing has changed. Other changes wait for f, which therefore
// works on the draft alone and waits for nothing. The draft must not be used after
// f has returned. When f fails, its error is returned as it is. What f leaves in the draft
// without changing anything is not published.
func (s *Store) Apply(f func(d *Draft) error) error { return s.change(f) }

// Check tells what Apply would say to a change now, and changes nothing. It waits for no other change.
func (s *Store) Check(f func(d *Draft) error) error {
	_, _, err := try(s.current.Load(), 0, f)
	return err
}

// Subscribe has f told of every change from now on, until cancel is called. f is called in
// the order of the changes, and never at the same time twice. A change waits for it, so it
// must be quick and must not call Apply; work that takes time it hands to a goroutine of
// its own.
func (s *Store) Subscribe(f func(old, new *Snapshot)) (cancel func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := s.nextID
	s.nextID++
	s.subscribers[id] = f
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.subscribers, id)
	}
}

func (s *Store) change(f func(d *Draft) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changeLocked(f)
}

func (s *Store) changeLocked(f func(d *Draft) error) error {
	old := s.current.Load()
	fresh, userVersion, err := try(old, s.userVersion, f)
	if err != nil || fresh == nil {
		return err
	}
	s.userVersion = userVersion
	s.current.Store(fresh)
	for _, id := range slices.Sorted(maps.Keys(s.subscribers)) {
		s.subscribers[id](old, fresh)
	}
	return nil
}

// try makes the snapshot that a change leads to; nil if f changes nothing.
func try(old *Snapshot, userVersion uint64, f func(d *Draft) error) (*Snapshot, uint64, error) {
	d := &Draft{state: old.clone(), declared: maps.Clone(old.declared), userVersion: userVersion}
	if err := f(d); err != nil || !d.dirty {
		return nil, userVersion, err
	}
	if faults := d.check(nil); len(faults) > 0 {
		errs := make([]error, len(faults))
		for i, f := range faults {
			errs[i] = errors.New(f.String())
		}
		return nil, userVersion, errors.Join(errs...)
	}
	fresh, err := d.build(old.version+1, d.declared)
	if err != nil {
		return nil, userVersion, fmt.Errorf("routing tables: %w", err)
	}
	return fresh, d.userVersion, nil
}
