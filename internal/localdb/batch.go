package localdb

import (
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// Batch is a set of changes that become durable together or not at all. It is built by one goroutine,
// committed once and not touched again.
//
// The order of things in a commit: the checks, then the preparations, then the write, then the fsync,
// then the after functions. All of them see commits in one order, the same for all.
type Batch struct {
	pb      *pebble.Batch
	checks  []func(Reader, *Batch) error
	prepare []func(*Batch) error
	after   []func(error)

	firstExpiry uint64 // earliest expiry written, for the sweeper; 0: none
}

// NewBatch returns an empty batch.
func (d *DB) NewBatch() *Batch { return &Batch{pb: d.pdb.NewBatch()} }

// Set writes value under key. Both may be reused afterwards.
func (b *Batch) Set(key, value []byte) { _ = b.pb.Set(key, value, nil) } // an error needs an indexed batch

// SetFunc writes a value of n octets under key, filled in by fill without a copy.
func (b *Batch) SetFunc(key []byte, n int, fill func(value []byte)) {
	op := b.pb.SetDeferred(len(key), n)
	copy(op.Key, key)
	fill(op.Value)
	_ = op.Finish() // an error needs an indexed batch
}

// Delete removes key, whether it exists or not.
func (b *Batch) Delete(key []byte) { _ = b.pb.Delete(key, nil) }

// DeleteOnce removes a key that was Set exactly once since it last did not exist. It costs less than
// Delete: the pair vanishes as soon as both meet, often before it reaches a table. On a key that was
// Set twice it would bring the older value back.
func (b *Batch) DeleteOnce(key []byte) { _ = b.pb.SingleDelete(key, nil) }

// DeleteRange removes all keys from start up to but without end.
func (b *Batch) DeleteRange(start, end []byte) { _ = b.pb.DeleteRange(start, end, nil) }

// SetExpiring writes value under key until the time at; see DB.GetExpiring. A zero time is for ever.
func (b *Batch) SetExpiring(key, value []byte, at time.Time) {
	ms := expiryOf(at)
	b.SetFunc(key, expiryHeader+len(value), func(v []byte) {
		putExpiry(v, ms)
		copy(v[expiryHeader:], value)
	})
	if ms == 0 {
		return
	}
	b.Set(expiryKey(ms, key), nil)
	if b.firstExpiry == 0 || ms < b.firstExpiry {
		b.firstExpiry = ms
	}
}

// Rewrite gives a key that SetExpiring wrote a new value; at is what GetExpiring told, so that its entry in
// the index still holds.
func (b *Batch) Rewrite(key, value []byte, at time.Time) {
	b.SetFunc(key, expiryHeader+len(value), func(v []byte) {
		putExpiry(v, expiryOf(at))
		copy(v[expiryHeader:], value)
	})
}

// Check adds a function that runs just before the batch is written, when no other commit can come
// between: it may read, refuse the batch by an error, and add writes that follow from what it read. It
// sees everything committed before it. It runs on the goroutine all commits go through, so it must be
// quick and must not commit.
func (b *Batch) Check(f func(Reader, *Batch) error) { b.checks = append(b.checks, f) }

// Prepare adds a function that runs just before the batch is written, in the order of the commits, for
// instance to number it. It cannot read, so it costs less than Check; an error refuses the batch. What is
// true of Check's goroutine is true here.
func (b *Batch) Prepare(f func(*Batch) error) { b.prepare = append(b.prepare, f) }

// After adds a function that runs when the batch is durable (nil) or was refused or lost (the error),
// in the order of the commits and before Commit returns. It must be quick and must not commit.
func (b *Batch) After(f func(error)) { b.after = append(b.after, f) }

// Abandon drops a batch that will not be committed and tells its after functions why.
func (b *Batch) Abandon(err error) {
	for _, f := range b.after {
		f(err)
	}
	_ = b.pb.Close() // nothing was written
}

// Empty tells that the batch has nothing to do.
func (b *Batch) Empty() bool {
	return b.pb.Empty() && len(b.checks)+len(b.prepare)+len(b.after) == 0
}

// Reset drops what was added, for instance by a Check that starts over.
func (b *Batch) Reset() {
	b.pb.Reset()
	b.firstExpiry = 0
}

func (b *Batch) size() int { return b.pb.Len() }
