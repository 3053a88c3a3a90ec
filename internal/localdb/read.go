package localdb

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// Reader reads what is committed. *DB is one; a Check gets another.
type Reader interface {
	// Get returns the value under key. It belongs to the caller.
	Get(key []byte) (value []byte, ok bool, err error)
	// GetExpiring returns a value written by SetExpiring that has not expired.
	GetExpiring(key []byte) (v Expiring, ok bool, err error)
	// Scan calls f for the keys from start up to but without end, in order, until f returns false.
	// key and value are valid during the call only.
	Scan(start, end []byte, f func(key, value []byte) bool) error
}

var _ Reader = (*DB)(nil)

// enter lets a reader in; it is followed by reads.leave. A database that failed may hold a reader for ever.
func (d *DB) enter() error {
	if err := d.Err(); err != nil {
		return err
	}
	if !d.reads.enter() {
		return ErrClosed
	}
	return nil
}

// Get returns the value under key. It belongs to the caller.
func (d *DB) Get(key []byte) (value []byte, ok bool, err error) {
	if err := d.enter(); err != nil {
		return nil, false, err
	}
	defer d.reads.leave()
	v, closer, err := d.pdb.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("localdb: get: %w", err)
	}
	value = append(make([]byte, 0, len(v)), v...)
	return value, true, closer.Close()
}

// Scan calls f for the keys from start up to but without end, in order, until f returns false. key and
// value are valid during the call only. What is committed during the scan is not seen.
func (d *DB) Scan(start, end []byte, f func(key, value []byte) bool) error {
	if err := d.enter(); err != nil {
		return err
	}
	defer d.reads.leave()
	it, err := d.pdb.NewIter(&pebble.IterOptions{LowerBound: start, UpperBound: end})
	if err != nil {
		return fmt.Errorf("localdb: scan: %w", err)
	}
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return errors.Join(fmt.Errorf("localdb: scan: %w", err), it.Close())
		}
		if !f(it.Key(), value) {
			break
		}
	}
	if err := it.Close(); err != nil {
		return fmt.Errorf("localdb: scan: %w", err)
	}
	return nil
}

// Last returns the last key from start up to but without end. It belongs to the caller.
func (d *DB) Last(start, end []byte) (key []byte, ok bool, err error) {
	if err := d.enter(); err != nil {
		return nil, false, err
	}
	defer d.reads.leave()
	it, err := d.pdb.NewIter(&pebble.IterOptions{LowerBound: start, UpperBound: end})
	if err != nil {
		return nil, false, fmt.Errorf("localdb: last: %w", err)
	}
	if it.Last() {
		key, ok = append([]byte(nil), it.Key()...), true
	}
	if err := it.Close(); err != nil {
		return nil, false, fmt.Errorf("localdb: last: %w", err)
	}
	return key, ok, nil
}
