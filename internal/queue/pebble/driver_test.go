package pebble_test

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"jasmind/internal/localdb"
	"jasmind/internal/queue"
	"jasmind/internal/queue/pebble"
)

var waiting = flag.Int("waiting", 100_000, "messages that wait in TestMemory")

const qTest = queue.Name("submit.sm.test")

const patience = 2 * time.Minute

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func next(t testing.TB, c queue.Consumer) *queue.Delivery {
	t.Helper()
	select {
	case d, ok := <-c.C():
		if !ok {
			t.Fatal("the consumer ended")
		}
		return d
	case <-time.After(patience):
		t.Fatal("no delivery came")
	}
	return nil
}

func consume(t testing.TB, d *pebble.Driver, prefetch int) queue.Consumer {
	t.Helper()
	c, err := d.Consume(t.Context(), qTest, prefetch)
	must(t, err)
	return c
}

func publication(id string, priority uint8) queue.Publication {
	return queue.Publication{Queue: qTest, Message: queue.Message{ID: id, Priority: priority, Body: []byte(id)}}
}

// A million messages on the disk take a window of memory each way: while they come in, after a restart,
// and while they go out.
func TestMemory(t *testing.T) {
	const bound = 48 << 20 // windows, what is delivered, the database's own; the messages are 100 MB and more
	dir := t.TempDir()
	db := openDB(t, dir)
	d := openDriver(t, db, pebble.Config{})
	must(t, d.Declare(t.Context(), qTest))
	base := heap()
	body := make([]byte, 1000)
	var wg sync.WaitGroup
	const workers, batch = 4, 500
	for range workers {
		wg.Go(func() {
			ps := make([]queue.Publication, batch)
			for range *waiting / workers / batch {
				for i := range ps {
					ps[i] = queue.Publication{Queue: qTest, Message: queue.Message{ID: "id", Priority: uint8(i % 4), Body: body}}
				}
				if err := d.Publish(t.Context(), ps...); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	check := func(when string) {
		t.Helper()
		if got := heap(); got > base+bound {
			t.Errorf("%s: %d MiB in use, %d MiB before, want at most %d MiB more", when, got>>20, base>>20, bound>>20)
		} else {
			t.Logf("%s: %d MiB in use", when, got>>20)
		}
	}
	check("messages wait")
	must(t, d.Close())
	must(t, db.Close())

	db = openDB(t, dir)
	d = openDriver(t, db, pebble.Config{})
	n, err := d.Length(t.Context(), qTest)
	must(t, err)
	if n != *waiting {
		t.Fatalf("%d messages wait after the restart, want %d", n, *waiting)
	}
	c := consume(t, d, 2000)
	check("after a restart")
	var ds []*queue.Delivery
	last := uint8(3)
	for i := range *waiting {
		dl := next(t, c)
		if dl.Priority > last {
			t.Fatalf("message %d has priority %d after one of %d", i, dl.Priority, last)
		}
		last = dl.Priority
		if ds = append(ds, dl); len(ds) == 1000 {
			must(t, d.Ack(t.Context(), ds...))
			ds = ds[:0]
		}
		if i == *waiting/2 {
			check("half of them went out")
		}
	}
	must(t, d.Ack(t.Context(), ds...))
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// lowFS has no space left to speak of.
type lowFS struct{ vfs.FS }

func (lowFS) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{AvailBytes: 1, TotalBytes: 1 << 40}, nil
}

// A disk that is almost full refuses new messages, and what is there goes out.
func TestLowSpace(t *testing.T) {
	mem := vfs.NewMem()
	db, err := localdb.Open("db", localdb.Config{FS: mem})
	must(t, err)
	d, err := pebble.New(db, pebble.Config{})
	must(t, err)
	must(t, d.Declare(t.Context(), qTest))
	must(t, d.Publish(t.Context(), publication("1", 0), publication("2", 0)))
	must(t, d.Close())
	must(t, db.Close())

	db, err = localdb.Open("db", localdb.Config{FS: lowFS{mem}})
	must(t, err)
	d, err = pebble.New(db, pebble.Config{})
	must(t, err)
	if err := d.Publish(t.Context(), publication("3", 0)); !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("publish: %v, want ErrUnavailable", err)
	}
	c := consume(t, d, 1)
	must(t, d.Retry(t.Context(), queue.Retry{Delivery: next(t, c)}))
	must(t, d.Ack(t.Context(), next(t, c)))
	must(t, d.Ack(t.Context(), next(t, c)))
	must(t, d.Close())
	must(t, db.Close())
}

// Priorities hold over windows, the disk, and what was given back.
func TestPriorityOverWindows(t *testing.T) {
	d := openDriver(t, openDB(t, t.TempDir()), pebble.Config{Window: 4})
	must(t, d.Declare(t.Context(), qTest))
	for i := range 40 {
		must(t, d.Publish(t.Context(), publication(fmt.Sprintf("low-%02d", i), 0)))
	}
	c := consume(t, d, 3)
	var got []string
	take := func(c queue.Consumer, n int) (ds []*queue.Delivery) {
		for range n {
			dl := next(t, c)
			got = append(got, dl.ID)
			ds = append(ds, dl)
		}
		return ds
	}
	held := take(c, 3) // low-00 to low-02 are out
	for i := range 10 {
		must(t, d.Publish(t.Context(), publication(fmt.Sprintf("high-%02d", i), 3)))
	}
	must(t, d.Ack(t.Context(), held[1]))
	take(c, 1)                    // high-00
	must(t, c.Close(t.Context())) // low-00, low-02, high-00 go back
	got = nil
	c = consume(t, d, 1)
	var want []string
	for i := range 10 {
		want = append(want, fmt.Sprintf("high-%02d", i))
	}
	want = append(want, "low-00", "low-02")
	for i := 3; i < 40; i++ {
		want = append(want, fmt.Sprintf("low-%02d", i))
	}
	for range want {
		must(t, d.Ack(t.Context(), take(c, 1)...))
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// A delivery that the consumer changed comes again as it was.
func TestGivenBackAsItWas(t *testing.T) {
	d := openDriver(t, openDB(t, t.TempDir()), pebble.Config{})
	must(t, d.Declare(t.Context(), qTest))
	p := publication("1", 0)
	p.Message.Headers = queue.Headers{{Name: "n", Int: 1, IsInt: true}}
	must(t, d.Publish(t.Context(), p))
	c := consume(t, d, 1)
	dl := next(t, c)
	dl.Headers = dl.Headers.WithInt("n", 2)
	dl.Body[0] = 'x'
	must(t, c.Close(t.Context()))
	dl = next(t, consume(t, d, 1))
	if dl.Headers.Int("n") != 1 || string(dl.Body) != "1" {
		t.Errorf("headers %v, body %q; want them as published", dl.Headers, dl.Body)
	}
}

// A purge takes the delayed ones along, here.
func TestPurgeDelayed(t *testing.T) {
	dir := t.TempDir()
	db := openDB(t, dir)
	d := openDriver(t, db, pebble.Config{Window: 2})
	must(t, d.Declare(t.Context(), qTest))
	for i := range 10 {
		p := publication(fmt.Sprint(i), uint8(i%4))
		if i%2 == 0 {
			p.After = 100 * time.Millisecond
		}
		must(t, d.Publish(t.Context(), p))
	}
	if n, err := d.Purge(t.Context(), qTest); err != nil || n != 10 {
		t.Errorf("purged %d, %v; want 10", n, err)
	}
	must(t, d.Close())
	must(t, db.Close())
	d = openDriver(t, openDB(t, dir), pebble.Config{})
	p := publication("last", 0)
	p.After = 150 * time.Millisecond
	must(t, d.Publish(t.Context(), p))
	if dl := next(t, consume(t, d, 10)); dl.ID != "last" {
		t.Errorf("got %q, want only the last", dl.ID)
	}
}

func TestWaiting(t *testing.T) {
	db := openDB(t, t.TempDir())
	d := openDriver(t, db, pebble.Config{})
	const empty, other = queue.Name("submit.sm.empty"), queue.Name("submit.sm.other")
	must(t, d.Declare(t.Context(), qTest, empty, other))
	for i := range 5 {
		must(t, d.Publish(t.Context(), publication(fmt.Sprint(i), uint8(i%4))))
	}
	p := publication("delayed", 0)
	p.After = time.Hour
	must(t, d.Publish(t.Context(), p))
	p.Queue = other
	must(t, d.Publish(t.Context(), p))
	c := consume(t, d, 2) // what is delivered waits all the same
	must(t, d.Ack(t.Context(), next(t, c)))
	got, err := pebble.Waiting(db)
	must(t, err)
	if want := map[queue.Name]int{qTest: 5, other: 1}; !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// More due messages than one move takes, all due at once, keep their priorities.
func TestManyDue(t *testing.T) {
	dir := t.TempDir()
	db := openDB(t, dir)
	d := openDriver(t, db, pebble.Config{})
	must(t, d.Declare(t.Context(), qTest))
	const total = 1000
	ps := make([]queue.Publication, total)
	for i := range ps {
		ps[i] = publication(fmt.Sprint(i), uint8(i%4))
		ps[i].After = time.Hour
	}
	ps[0].After = time.Millisecond
	must(t, d.Publish(t.Context(), ps...))
	c := consume(t, d, 10)
	if dl := next(t, c); dl.ID != "0" {
		t.Errorf("got %q, want the only one that is due", dl.ID)
	}
	if n, err := d.Length(t.Context(), qTest); err != nil || n != 0 {
		t.Errorf("length %d, %v; want 0", n, err)
	}
	must(t, c.Close(t.Context()))
	for i := range ps {
		ps[i].After = 50 * time.Millisecond
	}
	must(t, d.Publish(t.Context(), ps...))
	c = consume(t, d, 10)
	seen := map[string]int{}
	for range total + 1 {
		dl := next(t, c)
		seen[dl.ID]++
		must(t, d.Ack(t.Context(), dl))
	}
	if len(seen) != total || seen["0"] != 2 {
		t.Errorf("%d different messages, message 0 %d times; want %d and 2", len(seen), seen["0"], total)
	}
}

func TestRefusals(t *testing.T) {
	db := openDB(t, t.TempDir())
	d := openDriver(t, db, pebble.Config{})
	must(t, d.Declare(t.Context(), qTest))
	for _, prefetch := range []int{0, -1, 65536} {
		if _, err := d.Consume(t.Context(), qTest, prefetch); err == nil {
			t.Errorf("prefetch %d was taken", prefetch)
		}
	}
	p := publication("1", 0)
	p.Message.Attempts = -1
	if err := d.Publish(t.Context(), p); err == nil {
		t.Error("attempts -1 were taken")
	}
	if err := d.Ack(t.Context(), &queue.Delivery{}); !errors.Is(err, queue.ErrStale) {
		t.Errorf("ack of a foreign delivery: %v, want ErrStale", err)
	}
	other := openDriver(t, openDB(t, t.TempDir()), pebble.Config{})
	must(t, other.Declare(t.Context(), qTest))
	must(t, other.Publish(t.Context(), publication("1", 0)))
	if err := d.Ack(t.Context(), next(t, consume(t, other, 1))); !errors.Is(err, queue.ErrStale) {
		t.Errorf("ack of another driver's delivery: %v, want ErrStale", err)
	}
	if _, err := pebble.New(db, pebble.Config{Window: -1}); err == nil {
		t.Error("window -1 was taken")
	}
	if names := d.Names(); !slices.Equal(names, []queue.Name{qTest}) {
		t.Errorf("names %v, want %s alone", names, qTest)
	}
}

// Publishing while the queue is deleted and made again never leaves a message of the old queue in the new one.
func TestDeleteWhilePublishing(t *testing.T) {
	d := openDriver(t, openDB(t, t.TempDir()), pebble.Config{})
	for round := range 20 {
		must(t, d.Declare(t.Context(), qTest))
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for {
					err := d.Publish(t.Context(), publication(fmt.Sprint(round), 0))
					if errors.Is(err, queue.ErrNoQueue) {
						return
					}
					if err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		dl := next(t, consume(t, d, 10))
		if dl.ID != fmt.Sprint(round) {
			t.Errorf("round %d: got a message of round %s", round, dl.ID)
		}
		must(t, d.Delete(t.Context(), qTest))
		wg.Wait()
	}
}
