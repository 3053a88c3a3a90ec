package localdb

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

const defaultLowSpace = 256 << 20

// SpaceState tells whether new work may be taken.
type SpaceState uint8

const (
	// SpaceOK is the normal state.
	SpaceOK SpaceState = iota
	// SpaceLow means that new work is to be refused; what is there may still be carried out.
	SpaceLow
)

// String is ok or low.
func (s SpaceState) String() string {
	if s == SpaceLow {
		return "low"
	}
	return "ok"
}

// Space is what is left on the file system of the database.
type Space struct {
	State SpaceState
	Free  uint64 // octets that this process may still write
	Total uint64
	Mark  uint64 // low when Free is below it; ok again when it is a quarter above it
}

// spaceWatch looks at the free space at intervals.
type spaceWatch struct {
	now atomic.Pointer[Space]
}

func (w *spaceWatch) init(d *DB) error {
	return w.look(d)
}

func (w *spaceWatch) run(ctx context.Context, d *DB) {
	tick := time.NewTicker(d.cfg.SpaceInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.failed:
			return
		case <-tick.C:
			if err := w.look(d); err != nil {
				d.cfg.Log.Warn("look at the free space", "err", err)
			}
		}
	}
}

func (w *spaceWatch) look(d *DB) error {
	usage, err := d.cfg.FS.GetDiskUsage(d.dir)
	if errors.Is(err, vfs.ErrUnsupported) {
		w.now.CompareAndSwap(nil, &Space{})
		return nil
	}
	if err != nil {
		return fmt.Errorf("localdb: free space of %s: %w", d.dir, err)
	}
	old := w.now.Load()
	s := nextSpace(old, usage, d.cfg.LowSpace)
	w.now.Store(&s)
	if (old == nil && s.State == SpaceOK) || (old != nil && old.State == s.State) {
		return nil
	}
	d.cfg.Log.Warn("free space", "state", s.State.String(), "free", s.Free, "mark", s.Mark, "dir", d.dir)
	if d.cfg.OnSpace != nil {
		d.cfg.OnSpace(s)
	}
	return nil
}

// nextSpace judges the usage. Low ends a quarter above the mark, so that a disk at the mark does not
// change its mind at each look.
func nextSpace(old *Space, usage vfs.DiskUsage, mark uint64) Space {
	if mark == 0 {
		mark = min(defaultLowSpace, usage.TotalBytes/20)
	}
	s := Space{Free: usage.AvailBytes, Total: usage.TotalBytes, Mark: mark}
	end := mark
	if old != nil && old.State == SpaceLow {
		end = mark + mark/4
	}
	if s.Free < end {
		s.State = SpaceLow
	}
	return s
}

// Space is what was seen at the last look. It costs nothing.
func (d *DB) Space() Space { return *d.space.now.Load() }

// Low tells that new work is to be refused.
func (d *DB) Low() bool { return d.space.now.Load().State == SpaceLow }
