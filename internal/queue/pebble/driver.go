// Package pebble is the embedded queue driver: durable queues in the gateway's own database (package
// localdb), with priorities, prefetch, delayed retries and redelivery.
//
// A message is one key: its queue, its lane (one for each priority, the highest first), its sequence
// number. Numbers are given in the order of the commits, so a lane is read from its head by seeking to
// the number after the last one taken, never over what was deleted. Delayed messages stand in a lane by
// due time and move to their priority's lane when it comes. Memory holds a window of each lane; what is
// beyond it waits on the disk.
//
// Deliveries that were not settled when the process ended are there at the next start. Of what was in the
// queue before the start, that counts as redelivered which may have been delivered: see mark.go.
//
// The Stage methods add to a batch of the caller's, so that package journal/embedded can commit a
// queue's changes together with a store's.
package pebble

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"jasmind/internal/localdb"
	"jasmind/internal/queue"
)

// Namespaces of the database.
const (
	nsName    localdb.Namespace = 0x40 // name text -> id (4)
	nsReady   localdb.Namespace = 0x41 // id (4) lane (1) sequence (8) -> record
	nsDelayed localdb.Namespace = 0x42 // id (4) due in ms (8) sequence (8) -> record
	nsMark    localdb.Namespace = 0x43 // id (4) lane (1) -> sequence (8): those up to it may have been delivered
)

const (
	maxPriority = 3
	lanes       = maxPriority + 1
	maxPrefetch = 65535
)

// Config tells a driver what it needs to know.
type Config struct {
	// Window bounds the messages of one lane held in memory; default 1024. WindowBytes bounds their
	// octets; default 1 MiB. Deliveries not yet settled come on top, bounded by the prefetch.
	Window      int
	WindowBytes int
	Log         *slog.Logger // default: discards
}

// Driver is the queue driver. All methods may be called from any goroutine.
type Driver struct {
	db  *localdb.DB
	cfg Config

	mu     sync.RWMutex // guards the fields below; taken before a line's mu, never over I/O
	lines  map[queue.Name]*line
	nextID uint32
	closed bool

	declare sync.Mutex // one Declare or Delete at a time, over its commit
	wg      sync.WaitGroup
	ctx     context.Context
	stop    context.CancelFunc
}

// New opens the queues in the database.
func New(db *localdb.DB, cfg Config) (*Driver, error) {
	if cfg.Window == 0 {
		cfg.Window = 1024
	}
	if cfg.WindowBytes == 0 {
		cfg.WindowBytes = 1 << 20
	}
	if cfg.Window < 0 || cfg.WindowBytes < 0 {
		return nil, fmt.Errorf("queue: Window %d, WindowBytes %d: not negative", cfg.Window, cfg.WindowBytes)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	d := &Driver{db: db, cfg: cfg, lines: make(map[queue.Name]*line)}
	d.ctx, d.stop = context.WithCancel(context.Background())

	names, err := names(db)
	if err != nil {
		return nil, err
	}
	for name, id := range names {
		l := newLine(d, name, id)
		if err := l.recover(); err != nil {
			return nil, err
		}
		d.lines[name] = l
		d.nextID = max(d.nextID, id+1)
	}
	if err := d.markAll(); err != nil {
		return nil, fmt.Errorf("queue: mark what may have been delivered: %w", err)
	}
	for _, l := range d.lines {
		d.wg.Go(l.run)
	}
	return d, nil
}

// names reads the declared queues and their numbers.
func names(db *localdb.DB) (map[queue.Name]uint32, error) {
	names := make(map[queue.Name]uint32)
	var bad error
	err := db.Scan(nsName.Prefix(), localdb.PrefixEnd(nsName.Prefix()), func(key, value []byte) bool {
		name, rest, ok := localdb.CutText(key[1:])
		if !ok || len(rest) != 0 || len(value) != 4 {
			bad = fmt.Errorf("queue: the list of queues has a bad entry %x = %x", key, value)
			return false
		}
		names[queue.Name(name)] = binary.BigEndian.Uint32(value)
		return true
	})
	if err := errors.Join(err, bad); err != nil {
		return nil, fmt.Errorf("queue: read the list of queues: %w", err)
	}
	return names, nil
}

// Close ends all consumers and refuses what comes later. The database stays open, and waits for a full disk no longer.
func (d *Driver) Close() error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil
	}
	d.closed = true
	all := make([]*line, 0, len(d.lines))
	for _, l := range d.lines {
		all = append(all, l)
	}
	d.mu.Unlock()
	d.db.StopWaiting()
	d.stop()
	for _, l := range all {
		l.end()
	}
	d.wg.Wait()
	b := d.db.NewBatch()
	for _, l := range all {
		l.setBack(b)
	}
	if err := d.db.Commit(context.Background(), b); err != nil {
		d.cfg.Log.Warn("more may come again marked as redelivered than was delivered", "err", err)
	}
	return nil
}

// Declare makes the queues that do not exist yet.
func (d *Driver) Declare(ctx context.Context, names ...queue.Name) error {
	d.declare.Lock()
	defer d.declare.Unlock()
	b := d.db.NewBatch()
	var made []*line
	d.mu.RLock()
	closed, next := d.closed, d.nextID
	for _, name := range names {
		if d.lines[name] != nil || hasLine(made, name) {
			continue
		}
		l := newLine(d, name, next)
		next++
		made = append(made, l)
		b.Set(localdb.AppendText(nsName.Key(), string(name)), localdb.AppendUint32(nil, l.id))
	}
	d.mu.RUnlock()
	if closed {
		b.Abandon(queue.ErrClosed)
		return queue.ErrClosed
	}
	if len(made) == 0 {
		b.Abandon(nil)
		return ctx.Err()
	}
	if err := d.commit(ctx, b); err != nil {
		for _, l := range made {
			l.stop()
		}
		return fmt.Errorf("declare %s: %w", made[0].name, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return queue.ErrClosed
	}
	d.nextID = next
	for _, l := range made {
		d.lines[l.name] = l
		d.wg.Go(l.run)
	}
	return nil
}

func hasLine(ls []*line, name queue.Name) bool {
	for _, l := range ls {
		if l.name == name {
			return true
		}
	}
	return false
}

// Delete removes a queue and what is in it. Its consumers end. One that does not exist is no error.
func (d *Driver) Delete(ctx context.Context, name queue.Name) error {
	d.declare.Lock()
	defer d.declare.Unlock()
	d.mu.Lock()
	l := d.lines[name]
	if d.closed || l == nil {
		closed := d.closed
		d.mu.Unlock()
		if closed {
			return queue.ErrClosed
		}
		return nil
	}
	delete(d.lines, name)
	d.mu.Unlock()
	l.gone.Store(true)
	l.end()
	b := d.db.NewBatch()
	b.Delete(localdb.AppendText(nsName.Key(), string(name)))
	for _, ns := range []localdb.Namespace{nsReady, nsDelayed, nsMark} {
		prefix := localdb.AppendUint32(ns.Key(), l.id)
		b.DeleteRange(prefix, localdb.PrefixEnd(prefix))
	}
	if err := d.commit(ctx, b); err != nil {
		return fmt.Errorf("delete %s: %w", name, err)
	}
	return nil
}

// Purge drops what is ready or delayed and tells how many messages that were. What is delivered and not
// settled stays.
func (d *Driver) Purge(ctx context.Context, name queue.Name) (int, error) {
	l, err := d.line(name)
	if err != nil {
		return 0, err
	}
	return l.purge(ctx)
}

// Length counts the messages that are ready for delivery.
func (d *Driver) Length(ctx context.Context, name queue.Name) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	l, err := d.line(name)
	if err != nil {
		return 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ready, nil
}

// Count counts the messages of all queues, those included that wait for their time. It reads all of them.
func (d *Driver) Count(ctx context.Context) (int, error) {
	n := 0
	// One look at both: what becomes due meanwhile moves from one to the other.
	err := d.db.Scan(nsReady.Prefix(), localdb.PrefixEnd(nsDelayed.Prefix()), func(_, _ []byte) bool {
		n++
		return ctx.Err() == nil
	})
	return n, errors.Join(err, ctx.Err())
}

// Names lists the declared queues, in no order.
func (d *Driver) Names() []queue.Name {
	d.mu.RLock()
	defer d.mu.RUnlock()
	names := make([]queue.Name, 0, len(d.lines))
	for name := range d.lines {
		names = append(names, name)
	}
	return names
}

// Consume subscribes to a queue, with at most prefetch deliveries unsettled (1 to 65535).
func (d *Driver) Consume(ctx context.Context, name queue.Name, prefetch int) (queue.Consumer, error) {
	if prefetch < 1 || prefetch > maxPrefetch {
		return nil, fmt.Errorf("consume %s: prefetch %d, want 1 to %d", name, prefetch, maxPrefetch)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("consume %s: %w", name, err)
	}
	l, err := d.line(name)
	if err != nil {
		return nil, err
	}
	return l.consume(prefetch)
}

// Publish returns nil when every message is durable; all or none of them are.
func (d *Driver) Publish(ctx context.Context, ps ...queue.Publication) error {
	if err := d.Admit(); err != nil {
		return err
	}
	b := d.db.NewBatch()
	if err := d.StagePublish(b, ps); err != nil {
		b.Abandon(err)
		return err
	}
	return d.commit(ctx, b)
}

// Ack takes deliveries out of their queue. Those that are stale are left, the others acknowledged, and
// the error is ErrStale.
func (d *Driver) Ack(ctx context.Context, ds ...*queue.Delivery) error {
	b := d.db.NewBatch()
	var stale error
	for _, dl := range ds {
		if err := d.StageAck(b, dl); err != nil {
			stale = errors.Join(stale, err)
		}
	}
	return errors.Join(d.commit(ctx, b), stale)
}

// Retry puts deliveries back, each counted as one more attempt. Errors as for Ack.
func (d *Driver) Retry(ctx context.Context, rs ...queue.Retry) error {
	b := d.db.NewBatch()
	var stale error
	for i := range rs {
		if err := d.StageRetry(b, &rs[i]); err != nil {
			stale = errors.Join(stale, err)
		}
	}
	return errors.Join(d.commit(ctx, b), stale)
}

// Admit tells whether new work may be taken: ErrUnavailable when the disk is almost full or the
// database failed. What is there may still be settled.
func (d *Driver) Admit() error {
	if err := d.db.Err(); err != nil {
		return fmt.Errorf("%w: %w", queue.ErrUnavailable, err)
	}
	if d.db.Stuck() {
		return fmt.Errorf("%w: the disk of %s takes nothing now", queue.ErrUnavailable, d.db.Dir())
	}
	if d.db.Low() {
		s := d.db.Space()
		return fmt.Errorf("%w: %d MiB left on the disk of %s, the mark is %d MiB", queue.ErrUnavailable, s.Free>>20, d.db.Dir(), s.Mark>>20)
	}
	return nil
}

// commit commits in the words of package queue.
func (d *Driver) commit(ctx context.Context, b *localdb.Batch) error {
	if err := ctx.Err(); err != nil {
		b.Abandon(err)
		return err
	}
	return Translate(d.db.Commit(context.WithoutCancel(ctx), b))
}

// Translate puts an error of the database into the words of package queue.
func Translate(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, localdb.ErrClosed):
		return fmt.Errorf("%w: %w", queue.ErrClosed, err)
	case errors.Is(err, localdb.ErrFailed):
		return fmt.Errorf("%w: %w", queue.ErrUnavailable, err)
	}
	return err
}

func (d *Driver) line(name queue.Name) (*line, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.closed {
		return nil, queue.ErrClosed
	}
	if l := d.lines[name]; l != nil {
		return l, nil
	}
	return nil, fmt.Errorf("%w: %s", queue.ErrNoQueue, name)
}

func dueTime(after time.Duration) uint64 {
	// One millisecond more, as the fraction of the present one is lost.
	return uint64(time.Now().Add(after).UnixMilli() + 1)
}
