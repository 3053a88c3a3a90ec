package localdb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// fault makes some kinds of file operation fail with ENOSPC once it is switched on.
type fault struct {
	on    atomic.Bool
	kinds []errorfs.OpKind
	ext   string
	err   error // default ENOSPC
	met   func()
}

func (f *fault) cause() error {
	if f.err != nil {
		return f.err
	}
	return syscall.ENOSPC
}

func (f *fault) String() string { return "disk full" }

func (f *fault) MaybeError(op errorfs.Op) error {
	if f.on.Load() && slices.Contains(f.kinds, op.Kind) && strings.HasSuffix(op.Path, f.ext) {
		if f.met != nil {
			f.met()
		}
		return &os.PathError{Op: "write", Path: op.Path, Err: f.cause()}
	}
	return nil
}

// faulty puts f over mem. errorfs lets go of the files that are reused (Pebble reuses those of its log),
// so these are renamed and opened again, which it watches.
func faulty(mem vfs.FS, f *fault) vfs.FS { return reusingFS{errorfs.Wrap(mem, f), f} }

type reusingFS struct {
	*errorfs.FS
	f *fault
}

func (r reusingFS) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if err := r.f.MaybeError(errorfs.Op{Kind: errorfs.OpReuseForWrite, Path: newname}); err != nil {
		return nil, err
	}
	if err := r.Rename(oldname, newname); err != nil {
		return nil, err
	}
	return r.OpenReadWrite(newname, category)
}

// writeUntilFailed commits from several goroutines until the database fails and gives what was confirmed.
func writeUntilFailed(t *testing.T, db *DB, start func()) map[string]bool {
	t.Helper()
	var (
		mu        sync.Mutex
		wg        sync.WaitGroup
		confirmed = map[string]bool{}
		started   atomic.Bool
	)
	value := bytes.Repeat([]byte("v"), 500)
	for w := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				k := fmt.Sprintf("%d-%d", w, i)
				b := db.NewBatch()
				b.Set(key(k), value)
				err := db.Commit(t.Context(), b)
				if err != nil {
					if !errors.Is(err, ErrFailed) {
						t.Errorf("commit: %v, want ErrFailed", err)
					}
					return
				}
				mu.Lock()
				confirmed[k] = true
				n := len(confirmed)
				mu.Unlock()
				if n > 500 && started.CompareAndSwap(false, true) {
					start()
				}
			}
		})
	}
	wg.Wait()
	return confirmed
}

// When the log or the tables cannot be written any more, the database ends once, says so, answers
// everybody, and what it confirmed is there at the next start.
func TestDiskFull(t *testing.T) {
	for _, c := range []struct {
		name string
		f    *fault
	}{
		{"writing the log", &fault{kinds: []errorfs.OpKind{errorfs.OpFileWrite}, ext: ".log"}},
		{"syncing the log", &fault{kinds: []errorfs.OpKind{errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo}, ext: ".log"}},
		{"creating a table", &fault{kinds: []errorfs.OpKind{errorfs.OpCreate}, ext: ".sst"}},
		{"writing a table", &fault{kinds: []errorfs.OpKind{errorfs.OpFileWrite}, ext: ".sst"}},
		{"creating a log", &fault{kinds: []errorfs.OpKind{errorfs.OpCreate, errorfs.OpReuseForWrite}, ext: ".log"}},
		{"writing a table, for another reason", &fault{kinds: []errorfs.OpKind{errorfs.OpFileWrite}, ext: ".sst", err: syscall.EIO}},
	} {
		t.Run(c.name, func(t *testing.T) {
			mem := vfs.NewCrashableMem()
			fatal := make(chan error, 10)
			db := open(t, "db", Config{FS: faulty(mem, c.f), MemTableSize: 64 << 10, OnFatal: func(err error) { fatal <- err }, Patience: time.Millisecond, retry: time.Millisecond})
			confirmed := writeUntilFailed(t, db, func() { c.f.on.Store(true) })
			<-db.Failed()
			if err := db.Err(); !errors.Is(err, ErrFailed) || !errors.Is(err, c.f.cause()) {
				// Pebble reports some of them as text only.
				if !errors.Is(err, ErrFailed) || !strings.Contains(err.Error(), c.f.cause().Error()) {
					t.Errorf("the database failed with %v, want ErrFailed and %v", err, c.f.cause())
				}
			}
			if err := <-fatal; !errors.Is(err, ErrFailed) {
				t.Errorf("told of %v, want ErrFailed", err)
			}
			b := db.NewBatch()
			b.Set(key("late"), nil)
			asked := make(chan error, 1)
			db.CommitAsync(b, func(err error) { asked <- err })
			if err := <-asked; !errors.Is(err, ErrFailed) {
				t.Errorf("a later commit: %v, want ErrFailed", err)
			}
			if _, _, err := db.Get(key("late")); !errors.Is(err, ErrFailed) {
				t.Errorf("a later read: %v, want ErrFailed", err)
			}
			if err := db.Close(); !errors.Is(err, ErrFailed) {
				t.Errorf("close: %v, want ErrFailed", err)
			}
			if len(fatal) != 0 {
				t.Errorf("told %d times more", len(fatal))
			}

			// Only what was synced survives.
			again := open(t, "db", Config{FS: mem.CrashClone(vfs.CrashCloneCfg{})})
			must(t, again.Scan(nsTest.Prefix(), PrefixEnd(nsTest.Prefix()), func(k, _ []byte) bool {
				delete(confirmed, string(k[1:]))
				return true
			}))
			for k := range confirmed {
				t.Fatalf("%s was confirmed and is lost, with %d others", k, len(confirmed)-1)
			}
		})
	}
}

// A database that cannot be opened leaves no lock behind.
func TestOpenFails(t *testing.T) {
	for _, f := range []*fault{
		{kinds: []errorfs.OpKind{errorfs.OpCreate}, ext: ".log"},
		{kinds: []errorfs.OpKind{errorfs.OpLock}, ext: ""},
		{kinds: []errorfs.OpKind{errorfs.OpMkdirAll}, ext: ""},
		{kinds: []errorfs.OpKind{errorfs.OpGetDiskUsage}, ext: ""},
	} {
		mem := vfs.NewMem()
		f.on.Store(true)
		if db, err := Open("db", Config{FS: faulty(mem, f)}); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("open with %v of %q failing: %v, want ENOSPC", f.kinds, f.ext, err)
			if db != nil {
				must(t, db.Close())
			}
			continue
		}
		f.on.Store(false)
		db := open(t, "db", Config{FS: faulty(mem, f)})
		set(t, db, "a", "1")
		must(t, db.Close())
	}
}

// A disk that is full when the database is opened is an error of Open, nothing else.
func TestOpenDiskFull(t *testing.T) {
	f := &fault{kinds: []errorfs.OpKind{errorfs.OpFileWrite}}
	f.on.Store(true)
	_, err := Open("db", Config{FS: errorfs.Wrap(vfs.NewMem(), f), OnFatal: func(err error) { t.Errorf("told of %v", err) }})
	if !errors.Is(err, ErrFailed) || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("open: %v, want ErrFailed and no space left", err)
	}
}

// A flush that fails for a while, however often, is repeated and harms nobody.
func TestShortFault(t *testing.T) {
	for _, cause := range []error{syscall.ENOSPC, syscall.EIO} {
		t.Run(cause.Error(), func(t *testing.T) {
			var left atomic.Int32
			left.Store(100)
			fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
				if op.Kind == errorfs.OpCreate && strings.HasSuffix(op.Path, ".sst") && left.Add(-1) >= 0 {
					return cause
				}
				return nil
			}))
			db := open(t, "db", Config{FS: fs, MemTableSize: 64 << 10, retry: time.Millisecond})
			value := strings.Repeat("v", 1000)
			for i := range 500 {
				set(t, db, fmt.Sprint(i), value)
			}
			if err := db.Err(); err != nil {
				t.Error(err)
			}
			if left.Load() >= 0 {
				t.Error("the fault did not happen")
			}
		})
	}
}

// While the disk is full commits wait; they are carried out when there is room, and a database that is closed before ends.
func TestAFullDiskIsWaitedFor(t *testing.T) {
	for _, c := range []struct {
		name  string
		kinds []errorfs.OpKind
		ext   string
		end   bool
	}{
		{"the log", []errorfs.OpKind{errorfs.OpFileWrite}, ".log", false},
		{"a new log", []errorfs.OpKind{errorfs.OpCreate, errorfs.OpReuseForWrite}, ".log", false},
		{"tables", []errorfs.OpKind{errorfs.OpFileWrite}, ".sst", false},
		{"closed meanwhile", []errorfs.OpKind{errorfs.OpFileWrite}, ".log", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			met := make(chan struct{}, 1)
			f := &fault{kinds: c.kinds, ext: c.ext, met: func() {
				select {
				case met <- struct{}{}:
				default:
				}
			}}
			mem := vfs.NewMem()
			db, err := Open("db", Config{FS: faulty(mem, f), MemTableSize: 64 << 10, retry: time.Millisecond})
			must(t, err)
			f.on.Store(true)
			var wg sync.WaitGroup
			value := strings.Repeat("v", 1000)
			for w := range 8 {
				wg.Go(func() {
					for i := range 100 {
						b := db.NewBatch()
						b.Set(key(fmt.Sprintf("%d-%d", w, i)), []byte(value))
						if err := db.Commit(t.Context(), b); c.end != (err != nil) {
							t.Errorf("commit: %v", err)
							return
						}
					}
				})
			}
			for range 3 {
				<-met // again and again
			}
			if err := db.Err(); err != nil || !db.Stuck() {
				t.Errorf("while it is full: %v, stuck %v; want that it is", err, db.Stuck())
			}
			if c.end {
				if err := db.Close(); !errors.Is(err, ErrFailed) {
					t.Errorf("close: %v, want ErrFailed", err)
				}
				wg.Wait()
				return
			}
			f.on.Store(false)
			wg.Wait()
			must(t, db.Close())
			if db.Stuck() {
				t.Error("it is stuck still")
			}
			again := open(t, "db", Config{FS: mem})
			n := 0
			must(t, again.Scan(nsTest.Prefix(), PrefixEnd(nsTest.Prefix()), func([]byte, []byte) bool { n++; return true }))
			if n != 800 {
				t.Errorf("%d are there, want 800", n)
			}
		})
	}
}

// A real file system that runs full: the watch tells before, and the end is as in TestDiskFull.
func TestDiskFullTmpfs(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "small")
	must(t, os.Mkdir(dir, 0o700))
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=48m"); err != nil {
		t.Logf("cannot mount a tmpfs, TestDiskFull covers the same with an injected error: %v", err)
		return
	}
	unmounted := false
	t.Cleanup(func() {
		if !unmounted {
			_ = syscall.Unmount(dir, syscall.MNT_DETACH)
		}
	})
	low := make(chan Space, 10)
	data := filepath.Join(dir, "db")
	db := open(t, data, Config{MemTableSize: 256 << 10, SpaceInterval: time.Millisecond, OnSpace: func(s Space) { low <- s }})
	set(t, db, "first", "1")

	// Something else fills the disk up to below the mark of 5 %.
	ballast := filepath.Join(dir, "ballast")
	free := db.Space().Free
	must(t, os.WriteFile(ballast, make([]byte, free-1<<20), 0o600))
	if s := <-low; s.State != SpaceLow || !db.Low() {
		t.Errorf("told %+v, want low", s)
	}
	must(t, os.Remove(ballast))
	if s := <-low; s.State != SpaceOK || db.Low() {
		t.Errorf("told %+v, want ok", s)
	}

	must(t, db.Close())

	// Then it runs full under a process that writes. That process ends, and the next one finds what it confirmed.
	cmd := childCommand("fill", data)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Fatalf("the child ended with %v, want exit code 1", err)
	}
	must(t, os.Remove(ballast))
	again := open(t, data, Config{})
	n := 0
	for line := range strings.Lines(string(out)) {
		k := strings.TrimSpace(strings.TrimPrefix(line, "set "))
		if n++; get(t, again, k) == "<none>" {
			t.Fatalf("%s was confirmed and is lost", k)
		}
	}
	if n < 500 {
		t.Errorf("the child confirmed %d, want at least 500", n)
	}
	must(t, again.Close())
	unmounted = syscall.Unmount(dir, syscall.MNT_DETACH) == nil
}

// fillChild writes while it fills the disk, tells of what was confirmed, and ends with exit code 1 when
// the database does.
func fillChild(dir string) error {
	db, err := Open(dir, Config{MemTableSize: 256 << 10, Patience: time.Millisecond})
	if err != nil {
		return err
	}
	value := bytes.Repeat([]byte("v"), 500)
	var confirmed atomic.Int32
	for w := range 8 {
		go func() {
			for i := 0; ; i++ {
				k := fmt.Sprintf("%d-%d", w, i)
				b := db.NewBatch()
				b.Set(key(k), value)
				if err := db.Commit(context.Background(), b); err != nil {
					return
				}
				fmt.Println("set", k)
				if confirmed.Add(1) == 500 {
					go fillDisk(filepath.Join(filepath.Dir(dir), "ballast"))
				}
			}
		}()
	}
	<-db.Failed()
	return db.Close()
}

// fillDisk writes to a file until nothing more fits.
func fillDisk(name string) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return
	}
	defer f.Close()
	for chunk := make([]byte, 64<<10); len(chunk) > 0; {
		if _, err := f.Write(chunk); err != nil {
			chunk = chunk[:len(chunk)/2]
		}
	}
}

// A flush that has nothing to write, because all that was written is gone again, is no failure: doors would refuse until the
// next one.
func TestEmptyFlushIsNoFailure(t *testing.T) {
	db, err := Open("db", Config{FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for range 2 {
		b := db.NewBatch()
		b.Set([]byte("k"), []byte("v"))
		if err := db.Commit(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		b = db.NewBatch()
		b.DeleteOnce([]byte("k"))
		if err := db.Commit(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		if err := db.pdb.Flush(); err != nil {
			t.Fatal(err)
		}
		if db.flushed.Load() == nil {
			t.Fatal("the flush was not empty, so that this test shows nothing")
		}
		if db.Stuck() {
			t.Error("the database counts as stuck")
		}
	}
}
