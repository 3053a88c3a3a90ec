package localdb

import (
	"fmt"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// logFS watches the files of the log. Pebble answers an error of theirs with a panic, in places with its
// locks in a state that a recover cannot save. So the error does not reach it: the database is marked as
// failed, which answers everybody who waits, and the goroutine that met the error is held for ever.
type logFS struct {
	vfs.FS
	d *DB
}

func isLog(name string) bool { return strings.HasSuffix(name, ".log") }

// Create opens a new file.
func (f logFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.Create(name, category)
	return f.watch(name, file, err)
}

// ReuseForWrite renames an old file and opens it to be written anew.
func (f logFS) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.ReuseForWrite(oldname, newname, category)
	return f.watch(newname, file, err)
}

// Unwrap gives the file system below.
func (f logFS) Unwrap() vfs.FS { return f.FS }

func (f logFS) watch(name string, file vfs.File, err error) (vfs.File, error) {
	if err != nil || !isLog(name) {
		return file, f.d.logError(name, err)
	}
	return &logFile{File: file, d: f.d, name: name}, nil
}

// logFile is a file of the log.
type logFile struct {
	vfs.File
	d    *DB
	name string
}

func (f *logFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	return n, f.d.logError(f.name, err)
}

func (f *logFile) WriteAt(p []byte, off int64) (int, error) {
	n, err := f.File.WriteAt(p, off)
	return n, f.d.logError(f.name, err)
}

func (f *logFile) Sync() error     { return f.d.logError(f.name, f.File.Sync()) }
func (f *logFile) SyncData() error { return f.d.logError(f.name, f.File.SyncData()) }

func (f *logFile) SyncTo(length int64) (fullSync bool, err error) {
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

// logCreated is told of each new file of the log, and of errors that logFS does not see: those of the
// directory.
func (d *DB) logCreated(info pebble.WALCreateInfo) { _ = d.logError(info.Path, info.Err) }
