package localdb

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// diskFS is between Pebble and the files of the database.
//
// While the disk is full, what writes waits for it, and goes on when there is room again; Pebble would give a log up for lost, and
// repeat a flush without a pause.
//
// Pebble answers any other error of its log with a panic, in places with its
// locks in a state that a recover cannot save. So the error does not reach it: the database is marked as
// failed, which answers everybody who waits, and the goroutine that met the error is held for ever.
type diskFS struct {
	vfs.FS
	d *DB
}

// full tells errors that pass when somebody makes room.
func full(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// write tries to write while the disk is full, until Config.Patience is over or the database ends. It calls try
// without any lock of ours.
func (d *DB) write(try func() error) error {
	err := try()
	if !full(err) || !d.opened.Load() {
		return err
	}
	if d.full.Add(1) == 1 {
		d.cfg.Log.Warn("the disk of the database is full, writing waits until it has room", "dir", d.dir, "err", err)
	}
	defer d.full.Add(-1)
	for began := time.Now(); full(err) && time.Since(began) < d.cfg.Patience && d.pause(); {
		err = try()
	}
	return err
}

// pause waits for a moment; false: the database ends.
func (d *DB) pause() bool {
	t := time.NewTimer(d.cfg.retry)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-d.closing:
	case <-d.failed:
	}
	return false
}

func isLog(name string) bool { return strings.HasSuffix(name, ".log") }

func isTable(name string) bool { return strings.HasSuffix(name, ".sst") }

// Create opens a new file.
func (f diskFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if isTable(name) && (f.d.flushes.since.Load() != 0 || f.d.compaction.since.Load() != 0) {
		f.d.pause() // it is a repeat
	}
	return f.open(name, func() (vfs.File, error) { return f.FS.Create(name, category) })
}

// ReuseForWrite renames an old file and opens it to be written anew.
func (f diskFS) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return f.open(newname, func() (vfs.File, error) { return f.FS.ReuseForWrite(oldname, newname, category) })
}

// Unwrap gives the file system below.
func (f diskFS) Unwrap() vfs.FS { return f.FS }

func (f diskFS) open(name string, try func() (vfs.File, error)) (file vfs.File, err error) {
	err = f.d.write(func() error {
		file, err = try()
		return err
	})
	if err != nil {
		return file, f.d.logError(name, err)
	}
	return &diskFile{File: file, d: f.d, name: name}, nil
}

// diskFile is a file that is written.
type diskFile struct {
	vfs.File
	d    *DB
	name string
}

func (f *diskFile) Write(p []byte) (n int, err error) {
	err = f.d.write(func() error {
		m, err := f.File.Write(p[n:])
		n += m
		return err
	})
	return n, f.d.logError(f.name, err)
}

func (f *diskFile) WriteAt(p []byte, off int64) (n int, err error) {
	err = f.d.write(func() error {
		m, err := f.File.WriteAt(p[n:], off+int64(n))
		n += m
		return err
	})
	return n, f.d.logError(f.name, err)
}

// An error of a sync is final: what was written may be gone, and a second sync would not tell.
func (f *diskFile) Sync() error     { return f.d.logError(f.name, f.File.Sync()) }
func (f *diskFile) SyncData() error { return f.d.logError(f.name, f.File.SyncData()) }

func (f *diskFile) SyncTo(length int64) (fullSync bool, err error) {
	fullSync, err = f.File.SyncTo(length)
	return fullSync, f.d.logError(f.name, err)
}

// logError does not return when err is an error of the log of an open database.
func (d *DB) logError(name string, err error) error {
	if err == nil || !isLog(name) || !d.opened.Load() {
		return err
	}
	d.fail(fmt.Errorf("write the log: %w", err))
	select {}
}

// logCreated is told of each new file of the log, and of errors that diskFS does not see: those of the
// directory.
func (d *DB) logCreated(info pebble.WALCreateInfo) { _ = d.logError(info.Path, info.Err) }
