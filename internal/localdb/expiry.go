package localdb

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"sync/atomic"
	"time"
)

const (
	expiryHeader = 8   // octets before a value with an expiry: Unix milliseconds, 0 for ever
	sweepBatch   = 256 // index entries one commit removes
)

// Expiring is a value that is there until a time.
type Expiring struct {
	Value []byte
	At    time.Time // zero: for ever
}

// GetExpiring returns a value written by SetExpiring that has not expired.
func (d *DB) GetExpiring(key []byte) (Expiring, bool, error) {
	v, ok, err := d.Get(key)
	if err != nil || !ok {
		return Expiring{}, false, err
	}
	e, ok := DecodeExpiring(v)
	if !ok || e.expired(time.Now()) {
		return Expiring{}, false, nil
	}
	return e, true, nil
}

// DecodeExpiring takes apart what SetExpiring wrote, as Scan sees it. ok is false for anything shorter.
func DecodeExpiring(raw []byte) (e Expiring, ok bool) {
	if len(raw) < expiryHeader {
		return Expiring{}, false
	}
	if ms := binary.BigEndian.Uint64(raw); ms != 0 {
		e.At = time.UnixMilli(int64(min(ms, math.MaxInt64)))
	}
	e.Value = raw[expiryHeader:]
	return e, true
}

// Expired tells that the value's time is over at now.
func (e Expiring) Expired(now time.Time) bool { return e.expired(now) }

func (e Expiring) expired(now time.Time) bool { return !e.At.IsZero() && !e.At.After(now) }

// DeleteExpiring removes a value written by SetExpiring and its entry in the index; at is what
// GetExpiring told. With another time the entry stays until then.
func (b *Batch) DeleteExpiring(key []byte, at time.Time) {
	b.Delete(key)
	if ms := expiryOf(at); ms != 0 {
		b.Delete(expiryKey(ms, key))
	}
}

// expiryOf is the time in the form of the index: milliseconds, 0 for ever, 1 for all before 1970.
func expiryOf(at time.Time) uint64 {
	if at.IsZero() {
		return 0
	}
	return uint64(max(at.UnixMilli(), 1))
}

func putExpiry(v []byte, ms uint64) { binary.BigEndian.PutUint64(v, ms) }

func expiryKey(ms uint64, key []byte) []byte {
	return append(AppendUint64(nsExpiry.Key(), ms), key...)
}

// sweeper removes expired values. The index has one entry, expiry then key, for each SetExpiring; the
// entry of a value that was written again since is passed over, as the value tells a later time.
type sweeper struct {
	at    Position
	swept atomic.Uint64 // values removed
}

func (s *sweeper) run(ctx context.Context, d *DB) {
	tick := time.NewTicker(d.cfg.SweepInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.failed:
			return
		case now := <-tick.C:
			more, err := true, error(nil)
			for more && err == nil {
				more, err = s.sweep(ctx, d, now)
			}
			if err != nil && ctx.Err() == nil && !errors.Is(err, ErrFailed) && !errors.Is(err, ErrClosed) {
				d.cfg.Log.Warn("sweep expired values", "err", err)
			}
		}
	}
}

// sweep removes one batch of what has expired at now. more tells that it stopped at its limit.
func (s *sweeper) sweep(ctx context.Context, d *DB, now time.Time) (more bool, err error) {
	limit := expiryOf(now) + 1
	from := s.at.Begin()
	next := from
	defer func() { s.at.End(next) }()
	if from >= limit {
		return false, nil
	}
	var entries [][]byte
	err = d.Scan(AppendUint64(nsExpiry.Key(), from), AppendUint64(nsExpiry.Key(), limit), func(key, _ []byte) bool {
		entries = append(entries, append([]byte(nil), key...))
		return len(entries) < sweepBatch
	})
	if err != nil {
		return false, err
	}
	if len(entries) == 0 {
		next = limit
		return false, nil
	}
	b := d.NewBatch()
	removed := uint64(0)
	b.Check(func(r Reader, b *Batch) error {
		for _, entry := range entries {
			b.Delete(entry)
			ms, key, _ := CutUint64(entry[1:])
			raw, ok, err := r.Get(key)
			if err != nil {
				return err
			}
			if ok && len(raw) >= expiryHeader && binary.BigEndian.Uint64(raw) == ms {
				b.Delete(key)
				removed++
			}
		}
		return nil
	})
	if err := d.Commit(ctx, b); err != nil {
		return false, err
	}
	s.swept.Add(removed)
	if more = len(entries) == sweepBatch; !more {
		next = limit
		return false, nil
	}
	// Entries of the same millisecond may remain, so begin there again: at most one batch of tombstones
	// is read twice.
	next, _, _ = CutUint64(entries[len(entries)-1][1:])
	return true, nil
}
