package pebble_test

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"jasmind/internal/localdb"
	"jasmind/internal/queue"
	"jasmind/internal/queue/pebble"
)

// redelivered takes n messages and gives how many are marked; those come first.
func redelivered(t *testing.T, d *pebble.Driver, n int) (marked int) {
	t.Helper()
	c := consume(t, d, n)
	for i := range n {
		if m := next(t, c); m.Redelivered {
			if marked++; marked != i+1 {
				t.Errorf("message %d is marked, an earlier one was not", i)
			}
		}
	}
	return marked
}

func publishAll(t *testing.T, d *pebble.Driver, n int) {
	t.Helper()
	must(t, d.Declare(t.Context(), qTest))
	ps := make([]queue.Publication, n)
	for i := range ps {
		ps[i] = publication(fmt.Sprint(i), 0)
	}
	must(t, d.Publish(t.Context(), ps...))
}

// After a crash all that was delivered is marked, and few others.
func TestMarksAfterACrash(t *testing.T) {
	mem := vfs.NewCrashableMem()
	open := func(fs vfs.FS) *pebble.Driver {
		db, err := localdb.Open("db", localdb.Config{FS: fs})
		must(t, err)
		t.Cleanup(func() { must(t, db.Close()) })
		return openDriver(t, db, pebble.Config{})
	}
	const all, delivered, ahead = 2000, 300, 256
	d := open(mem)
	publishAll(t, d, all)
	if n := redelivered(t, d, delivered); n != 0 {
		t.Errorf("%d of new messages are marked", n)
	}
	if n := redelivered(t, open(mem.CrashClone(vfs.CrashCloneCfg{})), all); n < delivered || n > delivered+ahead {
		t.Errorf("%d are marked, want the %d that were delivered, and up to %d more", n, delivered, ahead)
	}
}

// Of a database that knows no marks, all may have been delivered.
func TestDatabaseWithoutMarks(t *testing.T) {
	dir := t.TempDir()
	db := openDB(t, dir)
	d := openDriver(t, db, pebble.Config{})
	publishAll(t, d, 10)
	must(t, d.Close())
	b := db.NewBatch()
	b.DeleteRange([]byte{0x43}, []byte{0x44})
	must(t, db.Commit(t.Context(), b))
	d = openDriver(t, db, pebble.Config{})
	must(t, d.Publish(t.Context(), publication("new", 0)))
	if n := redelivered(t, d, 11); n != 10 {
		t.Errorf("%d are marked, want 10", n)
	}
}

// What was on its way to a consumer, and not received, is as it was.
func TestWhatWasNotReceivedIsNotMarked(t *testing.T) {
	d := openDriver(t, openDB(t, t.TempDir()), pebble.Config{})
	publishAll(t, d, 10)
	c := consume(t, d, 10)
	for range 3 {
		next(t, c)
	}
	must(t, c.Close(t.Context()))
	if n := redelivered(t, d, 10); n != 3 {
		t.Errorf("%d are marked, want 3", n)
	}
}
