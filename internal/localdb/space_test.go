package localdb

import (
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func TestNextSpace(t *testing.T) {
	const mib = 1 << 20
	ok, low := &Space{}, &Space{State: SpaceLow}
	for _, c := range []struct {
		name  string
		old   *Space
		usage vfs.DiskUsage
		mark  uint64
		want  Space
	}{
		{"large disk: 256 MiB", nil, vfs.DiskUsage{AvailBytes: 300 * mib, TotalBytes: 1 << 40}, 0, Space{Free: 300 * mib, Total: 1 << 40, Mark: 256 * mib}},
		{"small disk: 5 percent", nil, vfs.DiskUsage{AvailBytes: 5 * mib, TotalBytes: 100 * mib}, 0, Space{Free: 5 * mib, Total: 100 * mib, Mark: 5 * mib}},
		{"below the mark", ok, vfs.DiskUsage{AvailBytes: 5*mib - 1, TotalBytes: 100 * mib}, 0, Space{State: SpaceLow, Free: 5*mib - 1, Total: 100 * mib, Mark: 5 * mib}},
		{"low at first sight", nil, vfs.DiskUsage{AvailBytes: 1, TotalBytes: 100 * mib}, 0, Space{State: SpaceLow, Free: 1, Total: 100 * mib, Mark: 5 * mib}},
		{"at the mark again is still low", low, vfs.DiskUsage{AvailBytes: 6 * mib, TotalBytes: 100 * mib}, 0, Space{State: SpaceLow, Free: 6 * mib, Total: 100 * mib, Mark: 5 * mib}},
		{"a quarter above is ok", low, vfs.DiskUsage{AvailBytes: 25 * mib / 4, TotalBytes: 100 * mib}, 0, Space{Free: 25 * mib / 4, Total: 100 * mib, Mark: 5 * mib}},
		{"own mark", ok, vfs.DiskUsage{AvailBytes: 9, TotalBytes: 100 * mib}, 10, Space{State: SpaceLow, Free: 9, Total: 100 * mib, Mark: 10}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := nextSpace(c.old, c.usage, c.mark); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

// usageFS says how much space is left.
type usageFS struct {
	vfs.FS
	mu    sync.Mutex
	usage vfs.DiskUsage
	err   error
}

func (f *usageFS) GetDiskUsage(string) (vfs.DiskUsage, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.usage, f.err
}

func (f *usageFS) set(free uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.usage = vfs.DiskUsage{AvailBytes: free, TotalBytes: 1 << 30}
}

func TestSpaceWatch(t *testing.T) {
	fs := &usageFS{FS: vfs.NewMem()}
	fs.set(1000)
	seen := make(chan Space, 10)
	db := open(t, "db", Config{FS: fs, LowSpace: 100, SpaceInterval: time.Millisecond, OnSpace: func(s Space) { seen <- s }})
	if db.Low() || db.Space().Free != 1000 {
		t.Errorf("at first: %+v", db.Space())
	}
	wait := func(want Space) {
		t.Helper()
		select {
		case got := <-seen:
			if got != want {
				t.Errorf("told %+v, want %+v", got, want)
			}
		case <-time.After(2 * time.Minute):
			t.Fatalf("was not told of %+v", want)
		}
	}
	fs.set(99)
	wait(Space{State: SpaceLow, Free: 99, Total: 1 << 30, Mark: 100})
	if !db.Low() {
		t.Error("not low")
	}
	set(t, db, "still", "written") // refusing is the caller's
	fs.set(110)
	eventually(t, "the next look was made", func() bool { return db.Space().Free == 110 })
	if !db.Low() {
		t.Error("low ended just above the mark")
	}
	fs.set(125)
	wait(Space{Free: 125, Total: 1 << 30, Mark: 100})
	if db.Low() {
		t.Error("still low")
	}
}
