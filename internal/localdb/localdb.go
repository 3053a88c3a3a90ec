// Package localdb is the database of a gateway that runs on one machine: one Pebble database in one
// directory, shared by the embedded queue and the embedded store. It knows nothing of SMS.
//
// What it adds to Pebble:
//
//   - group commit: concurrent and asynchronous commits share log writes and fsyncs, keep their order,
//     and may read before they write (a transaction) without a lock held over the commit;
//   - values that expire, with an index by time that is swept in small batches;
//   - a watch over the free space, so that a caller can refuse new work before the disk is full;
//   - an error of the log or of the tables ends the database once, is reported, and answers every
//     commit still waiting, where Pebble would end the process.
//
// Shape of use:
//
//	db, err := localdb.Open(dir, localdb.Config{Log: log, OnFatal: func(err error) { fatal <- err }})
//	b := db.NewBatch()
//	b.Set(key, value)
//	err = db.Commit(ctx, b) // nil: it is on the disk
//	err = db.Close()
//
// Keys are built with the helpers of keys.go. The first octet is a namespace; namespaces 0x00 to 0x1f
// belong to this package.
package localdb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

var (
	// ErrLocked says that another process has the database open.
	ErrLocked = errors.New("localdb: the database is in use by another process")
	// ErrClosed says that Close was called.
	ErrClosed = errors.New("localdb: closed")
	// ErrFailed says that the database ended after a fatal error. A commit that gets it may or may not
	// be on the disk.
	ErrFailed = errors.New("localdb: the database failed")
)

// Config tells how a database is kept. The zero value has every default and no callbacks.
type Config struct {
	MemTableSize  int           // octets of a memtable, at least 64 KiB; default 4 MiB
	CacheSize     int64         // octets of the block cache; default 8 MiB
	OpenFiles     int           // files open at a time, about; default 512
	LowSpace      uint64        // free octets under which the space is low; default the smaller of 256 MiB and 5 % of the file system
	SpaceInterval time.Duration // between two looks at the free space; default 1s
	SweepInterval time.Duration // between two sweeps of expired values; default 1s
	Patience      time.Duration // how long the disk may be full, or tables may not be written, before the database ends; default 5 minutes

	OnSpace func(Space) // called when the space becomes low and when it is ok again; must not block
	OnFatal func(error) // called once, when the database has ended; must not block

	Log *slog.Logger // default: discards
	FS  vfs.FS       // default: the operating system's; tests inject faults here

	retry time.Duration // between two tries to write; default 100ms
}

func (c Config) withDefaults() (Config, error) {
	if c.MemTableSize == 0 {
		c.MemTableSize = 4 << 20
	}
	if c.MemTableSize < 64<<10 {
		return c, fmt.Errorf("localdb: MemTableSize %d: at least 65536", c.MemTableSize)
	}
	if c.CacheSize == 0 {
		c.CacheSize = 8 << 20
	}
	if c.OpenFiles == 0 {
		c.OpenFiles = 512
	}
	if c.CacheSize < 0 {
		return c, fmt.Errorf("localdb: CacheSize %d: not negative", c.CacheSize)
	}
	if c.SpaceInterval == 0 {
		c.SpaceInterval = time.Second
	}
	if c.SweepInterval == 0 {
		c.SweepInterval = time.Second
	}
	if c.Patience == 0 {
		c.Patience = 5 * time.Minute
	}
	if c.SpaceInterval < 0 || c.SweepInterval < 0 || c.Patience < 0 {
		return c, fmt.Errorf("localdb: SpaceInterval %v, SweepInterval %v, Patience %v: not negative", c.SpaceInterval, c.SweepInterval, c.Patience)
	}
	if c.retry == 0 {
		c.retry = 100 * time.Millisecond
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.FS == nil {
		c.FS = vfs.Default
	}
	return c, nil
}

// DB is an open database. All methods may be called from any goroutine.
type DB struct {
	cfg  Config
	dir  string
	lock *pebble.Lock
	pdb  *pebble.DB

	commits committer
	reads   gate
	expiry  sweeper
	space   spaceWatch

	fatal   atomic.Pointer[error] // the error that ended the database
	failed  chan struct{}         // closed when it is set
	closing chan struct{}         // closed by StopWaiting
	stopped sync.Once             // closes it

	full       atomic.Int32 // writes that wait for the disk to have room
	flushes    failing
	flushed    atomic.Pointer[flushed] // the last one with an error
	compaction failing

	stop   context.CancelFunc
	wg     sync.WaitGroup // sweeper and space watch
	opened atomic.Bool
	closed atomic.Bool
}

// Open opens the database in dir, which is made when it does not exist.
//
// Errors: ErrLocked when another process holds it, else what the file system or Pebble says. After one
// that wraps ErrFailed this process still holds the lock: it is to end.
func Open(dir string, cfg Config) (*DB, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := cfg.FS.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("localdb: make %s: %w", dir, err)
	}
	lock, err := pebble.LockDirectory(dir, cfg.FS)
	if err != nil {
		if lockedElsewhere(err) {
			return nil, fmt.Errorf("%w: %s (%w)", ErrLocked, dir, err)
		}
		return nil, fmt.Errorf("localdb: lock %s: %w", dir, err)
	}
	d := &DB{cfg: cfg, dir: dir, lock: lock, failed: make(chan struct{}), closing: make(chan struct{})}
	d.reads.idle = make(chan struct{})
	d.commits.init(d)

	cache := pebble.NewCache(cfg.CacheSize)
	defer cache.Unref()
	options := &pebble.Options{
		FS:                          diskFS{cfg.FS, d},
		Lock:                        lock,
		Cache:                       cache,
		Logger:                      pebbleLog{d},
		EventListener:               d.events(),
		FormatMajorVersion:          pebble.FormatValueSeparation,
		MemTableSize:                uint64(cfg.MemTableSize),
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       32,
		MaxOpenFiles:                cfg.OpenFiles,
		MaxManifestFileSize:         4 << 20,
	}
	// Errors of some files reach pebbleLog.Fatalf only, which does not return.
	opened := make(chan error, 1)
	go func() {
		var err error
		d.pdb, err = pebble.Open(dir, options)
		opened <- err
	}()
	select {
	case err = <-opened:
	case <-d.failed:
		return nil, fmt.Errorf("localdb: open %s: %w", dir, d.Err())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("localdb: open %s: %w", dir, err), lock.Close())
	}
	d.opened.Store(true)
	if err := d.space.init(d); err != nil {
		return nil, errors.Join(err, d.pdb.Close(), lock.Close())
	}

	ctx, cancel := context.WithCancel(context.Background())
	d.stop = cancel
	d.commits.start()
	d.wg.Go(func() { d.expiry.run(ctx, d) })
	d.wg.Go(func() { d.space.run(ctx, d) })
	return d, nil
}

// lockedElsewhere tells a held lock from one that cannot be taken: fcntl reports the former as
// EAGAIN or EACCES, and Pebble in words when the holder is this very process.
func lockedElsewhere(err error) bool {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) || errors.Is(err, os.ErrNotExist) {
		return false
	}
	return errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) || err.Error() == "lock held by current process"
}

// Close waits for the commits under way and closes the database. Commits that come later get ErrClosed.
// After a fatal error it returns that error and leaves the files as they are: the process is to end. A full disk
// is not waited for any longer.
func (d *DB) Close() error {
	if !d.closed.CompareAndSwap(false, true) {
		return nil
	}
	d.StopWaiting()
	d.stop()
	d.wg.Wait()
	d.commits.close()
	if err := d.Err(); err != nil {
		return err
	}
	d.reads.close()
	if err := errors.Join(d.pdb.Close(), d.lock.Close()); err != nil {
		return fmt.Errorf("localdb: close %s: %w", d.dir, err)
	}
	return nil
}

// StopWaiting is for whoever ends what commits, before Close: a disk that is full, now or later, ends the database at once.
func (d *DB) StopWaiting() { d.stopped.Do(func() { close(d.closing) }) }

// Dir is the directory the database is in.
func (d *DB) Dir() string { return d.dir }

// Err is the fatal error that ended the database, nil while it works. It wraps ErrFailed.
func (d *DB) Err() error {
	if p := d.fatal.Load(); p != nil {
		return *p
	}
	return nil
}

// Failed is closed when the database has ended after a fatal error.
func (d *DB) Failed() <-chan struct{} { return d.failed }

// fail ends the database: the first error is kept and reported, and every commit that waits is
// answered. It may be called with Pebble's locks held, so it calls nothing of Pebble.
func (d *DB) fail(err error) {
	err = fmt.Errorf("%w: %w", ErrFailed, err)
	if !d.fatal.CompareAndSwap(nil, &err) {
		return
	}
	close(d.failed)
	d.cfg.Log.Error("database failed", "dir", d.dir, "err", err)
	d.commits.abandon(err)
	if d.cfg.OnFatal != nil && d.opened.Load() { // before, Open reports it
		d.cfg.OnFatal(err)
	}
}

// events watches what Pebble does in the background.
func (d *DB) events() *pebble.EventListener {
	return &pebble.EventListener{
		BackgroundError: func(err error) {
			if d.Err() != nil {
				select {} // or Pebble would try again without a pause
			}
			d.cfg.Log.Warn("database background error", "err", err)
			if f := d.flushed.Load(); f != nil && errors.Is(err, f.err) {
				d.flushes.since.Store(f.since)
				d.background("flush", err, &d.flushes)
			}
		},
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			d.fail(fmt.Errorf("corrupt file %s: %w", info.Path, info.Details))
		},
		FlushEnd: func(info pebble.FlushInfo) {
			// Pebble has an error for a flush that had nothing to write as well, since what was written was removed meanwhile. Of
			// one that failed BackgroundError hears next.
			since := d.flushes.since.Swap(0)
			if info.Err != nil {
				d.flushed.Store(&flushed{info.Err, since})
			}
		},
		CompactionEnd: func(info pebble.CompactionInfo) {
			d.background("compaction", info.Err, &d.compaction)
		},
		WALCreated: d.logCreated,
		WriteStallBegin: func(info pebble.WriteStallBeginInfo) {
			d.cfg.Log.Debug("database writes wait", "reason", info.Reason)
		},
	}
}

// failing tells since when something has failed, in nanoseconds since the epoch; 0: it does not.
type failing struct{ since atomic.Int64 }

// flushed is how a flush ended that may have failed: since when flushes had failed before it.
type flushed struct {
	err   error
	since int64
}

// background is told of each flush that failed, and of each compaction. Pebble repeats both for ever; diskFS pauses it meanwhile.
func (d *DB) background(what string, err error, f *failing) {
	now := time.Now()
	switch {
	case err == nil:
		f.since.Store(0)
	case errors.Is(err, pebble.ErrCancelledCompaction):
	case f.since.CompareAndSwap(0, now.UnixNano()):
	case now.UnixNano()-f.since.Load() >= int64(d.cfg.Patience):
		d.fail(fmt.Errorf("%s has failed for %v: %w", what, d.cfg.Patience, err))
	}
}

// Stuck tells that nothing more can be written for now, because the disk is full or fails: commits wait.
func (d *DB) Stuck() bool { return d.full.Load() > 0 || d.flushes.since.Load() != 0 }

// pebbleLog hands Pebble's log lines on. Pebble expects Fatalf not to return: it reports the error and
// holds the goroutine for ever, since what Pebble would do next relies on the write that failed.
type pebbleLog struct{ d *DB }

func (l pebbleLog) Infof(format string, args ...any) {
	if l.d.cfg.Log.Enabled(context.Background(), slog.LevelDebug) {
		l.d.cfg.Log.Debug("pebble", "text", fmt.Sprintf(format, args...))
	}
}

func (l pebbleLog) Errorf(format string, args ...any) {
	if l.d.Err() == nil {
		l.d.cfg.Log.Warn("pebble", "text", fmt.Sprintf(format, args...))
	}
}

func (l pebbleLog) Fatalf(format string, args ...any) {
	l.d.fail(fmt.Errorf(format, args...))
	select {}
}
