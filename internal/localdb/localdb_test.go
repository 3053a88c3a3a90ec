package localdb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const nsTest Namespace = 0x7e

func open(t testing.TB, dir string, cfg Config) *DB {
	t.Helper()
	db, err := Open(dir, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil && !errors.Is(err, ErrFailed) {
			t.Error(err)
		}
	})
	return db
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func key(s string) []byte { return append(nsTest.Key(), s...) }

func set(t testing.TB, db *DB, k, v string) {
	t.Helper()
	b := db.NewBatch()
	b.Set(key(k), []byte(v))
	must(t, db.Commit(t.Context(), b))
}

func get(t testing.TB, db *DB, k string) string {
	t.Helper()
	v, ok, err := db.Get(key(k))
	must(t, err)
	if !ok {
		return "<none>"
	}
	return string(v)
}

func want(t testing.TB, db *DB, k, v string) {
	t.Helper()
	if got := get(t, db, k); got != v {
		t.Errorf("%s is %q, want %q", k, got, v)
	}
}

func TestBatch(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir, Config{})
	b := db.NewBatch()
	for _, k := range []string{"a", "b", "c", "d", "e"} {
		b.Set(key(k), []byte("value of "+k))
	}
	b.SetFunc(key("f"), 3, func(v []byte) { copy(v, "fff") })
	must(t, db.Commit(t.Context(), b))
	b = db.NewBatch()
	b.Delete(key("a"))
	b.DeleteOnce(key("b"))
	b.DeleteRange(key("c"), key("e"))
	must(t, db.Commit(t.Context(), b))
	check := func() {
		t.Helper()
		var keys []string
		must(t, db.Scan(nsTest.Prefix(), PrefixEnd(nsTest.Prefix()), func(k, _ []byte) bool {
			keys = append(keys, string(k[1:]))
			return true
		}))
		if !slices.Equal(keys, []string{"e", "f"}) {
			t.Errorf("keys are %v, want e and f", keys)
		}
		want(t, db, "e", "value of e")
		want(t, db, "f", "fff")
		want(t, db, "a", "<none>")
		last, ok, err := db.Last(key("a"), key("f"))
		if err != nil || !ok || string(last[1:]) != "e" {
			t.Errorf("last before f is %q, %v, %v; want e", last, ok, err)
		}
		if _, ok, err := db.Last(key("g"), key("h")); ok || err != nil {
			t.Errorf("last of nothing: %v, %v", ok, err)
		}
	}
	check()
	must(t, db.Close())
	db = open(t, dir, Config{})
	check()
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	open(t, dir, Config{})
	if _, err := Open(dir, Config{}); !errors.Is(err, ErrLocked) {
		t.Errorf("second open in this process: %v, want ErrLocked", err)
	}
	if out := child(t, "lock", dir); out != "locked\n" {
		t.Errorf("open in another process: %q, want locked", out)
	}
	if _, err := Open("/dev/null/x", Config{}); err == nil || errors.Is(err, ErrLocked) {
		t.Errorf("open under a file: %v, want another error than ErrLocked", err)
	}
	for _, cfg := range []Config{{MemTableSize: 1}, {MemTableSize: -1}, {CacheSize: -1}, {SpaceInterval: -1}, {SweepInterval: -1}} {
		if db, err := Open(t.TempDir(), cfg); err == nil {
			t.Errorf("config %+v was taken", cfg)
			must(t, db.Close())
		}
	}
}

func TestCommitRefusals(t *testing.T) {
	db := open(t, t.TempDir(), Config{})
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("gone home")
	cancel(cause)
	b := db.NewBatch()
	b.Set(key("a"), nil)
	if err := db.Commit(ctx, b); !errors.Is(err, cause) {
		t.Errorf("commit with an ended context: %v, want its cause", err)
	}
	b.Abandon(nil)
	want(t, db, "a", "<none>")

	refusal := errors.New("no credit")
	var after error
	b = db.NewBatch()
	b.Set(key("a"), nil)
	b.Check(func(Reader, *Batch) error { return refusal })
	b.Prepare(func(*Batch) error { t.Error("a refused batch was prepared"); return nil })
	b.After(func(err error) { after = err })
	if err := db.Commit(t.Context(), b); err != refusal || after != refusal {
		t.Errorf("got %v and %v, want the check's error", err, after)
	}
	b = db.NewBatch()
	b.Set(key("a"), nil)
	b.Prepare(func(*Batch) error { return refusal })
	if err := db.Commit(t.Context(), b); err != refusal {
		t.Errorf("got %v, want the preparation's error", err)
	}
	want(t, db, "a", "<none>")

	b = db.NewBatch()
	b.After(func(err error) { after = err })
	b.Abandon(cause)
	if after != cause {
		t.Errorf("abandon told %v, want its error", after)
	}

	must(t, db.Close())
	must(t, db.Close())
	b = db.NewBatch()
	if err := db.Commit(t.Context(), b); !errors.Is(err, ErrClosed) {
		t.Errorf("commit after close: %v, want ErrClosed", err)
	}
}

// What comes after Close is refused, also while others are still reading.
func TestReadWhileClosing(t *testing.T) {
	db := open(t, t.TempDir(), Config{})
	set(t, db, "a", "1")
	set(t, db, "b", "2")
	var wg sync.WaitGroup
	inside := make(chan struct{})
	closing := make(chan struct{})
	wg.Go(func() {
		n := 0
		if err := db.Scan(key("a"), key("c"), func(_, v []byte) bool {
			if n++; n == 1 {
				close(inside)
				<-closing
			}
			return true
		}); err != nil || n != 2 {
			t.Errorf("the scan under way saw %d keys, %v; want 2", n, err)
		}
	})
	<-inside
	for range 4 {
		wg.Go(func() {
			for {
				if _, _, err := db.Get(key("a")); err != nil {
					if !errors.Is(err, ErrClosed) {
						t.Errorf("get: %v, want ErrClosed", err)
					}
					return
				}
			}
		})
	}
	wg.Go(func() {
		eventually(t, "reads are refused", func() bool { _, _, err := db.Get(key("a")); return err != nil })
		close(closing)
	})
	must(t, db.Close())
	wg.Wait()
	if err := db.Scan(nil, nil, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("scan: %v, want ErrClosed", err)
	}
	if _, _, err := db.Last(nil, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("last: %v, want ErrClosed", err)
	}
	if m := db.Metrics(); m.Commits != 2 || m.Disk != 0 {
		t.Errorf("metrics %+v", m)
	}
}

// Concurrent transactions on one key lose no update, which takes that each sees all before it.
func TestCheckIsSerial(t *testing.T) {
	db := open(t, t.TempDir(), Config{})
	const workers, each = 16, 50
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				b := db.NewBatch()
				b.Check(func(r Reader, b *Batch) error {
					v, _, err := r.Get(key("sum"))
					if err != nil {
						return err
					}
					n := uint64(0)
					if len(v) == 8 {
						n, _, _ = CutUint64(v)
					}
					b.Set(key("sum"), AppendUint64(nil, n+1))
					return nil
				})
				if err := db.Commit(t.Context(), b); err != nil {
					t.Errorf("worker %d, commit %d: %v", w, i, err)
				}
			}
		})
		wg.Go(func() { // others between them
			for i := range each {
				set(t, db, fmt.Sprintf("%d-%d", w, i), "x")
			}
		})
	}
	wg.Wait()
	v, _, err := db.Get(key("sum"))
	must(t, err)
	if n, _, _ := CutUint64(v); n != workers*each {
		t.Errorf("sum is %d, want %d", n, workers*each)
	}
	if m := db.Metrics(); m.Commits != 2*workers*each || m.Groups > m.Commits {
		t.Errorf("%d commits in %d groups, want %d commits in no more groups", m.Commits, m.Groups, 2*workers*each)
	}
}

// Asynchronous commits of one goroutine stay in order, are durable when told, and share writes.
func TestCommitAsync(t *testing.T) {
	db := open(t, t.TempDir(), Config{})
	const total, together = 20000, 1000
	var (
		prepared, after int
		done            = make(chan int, total)
		queued          = make(chan struct{}) // closed when those are that share a write: the first waits for it
	)
	for i := range total {
		b := db.NewBatch()
		b.Prepare(func(b *Batch) error {
			if i == 0 {
				<-queued
			}
			if prepared != i {
				t.Errorf("batch %d is prepared as number %d", i, prepared)
			}
			prepared++
			b.Set(AppendUint64(nsTest.Key(), uint64(i)), bytes.Repeat([]byte{1}, 1000))
			return nil
		})
		b.After(func(err error) {
			if after != i || err != nil {
				t.Errorf("batch %d is done as number %d, %v", i, after, err)
			}
			after++
		})
		db.CommitAsync(b, func(err error) {
			if err != nil {
				t.Error(err)
			}
			done <- i
		})
		if i == together {
			close(queued)
		}
	}
	for i := range total {
		if got := <-done; got != i {
			t.Fatalf("answer %d is for batch %d", i, got)
		}
	}
	if m := db.Metrics(); m.Groups > total-together+2 {
		t.Errorf("%d batches took %d writes, want them merged", total, m.Groups)
	}
	n := 0
	must(t, db.Scan(nsTest.Prefix(), PrefixEnd(nsTest.Prefix()), func([]byte, []byte) bool { n++; return true }))
	if n != total {
		t.Errorf("%d keys, want %d", n, total)
	}
}

// Close carries out what was handed over before it.
func TestCloseDrains(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir, Config{})
	const total = 1000
	var ok int
	for i := range total {
		b := db.NewBatch()
		b.Set(AppendUint64(nsTest.Key(), uint64(i)), nil)
		db.CommitAsync(b, func(err error) {
			if err == nil {
				ok++
			}
		})
	}
	must(t, db.Close())
	if ok != total {
		t.Errorf("%d commits were carried out, want %d", ok, total)
	}
}

// Reading and writing go on while tables are compacted, and nothing is lost or comes back.
func TestWhileCompacting(t *testing.T) {
	db := open(t, t.TempDir(), Config{MemTableSize: 64 << 10})
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			if err := db.pdb.Compact(context.Background(), []byte{0}, []byte{0xff}, true); err != nil {
				t.Error(err)
				return
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	const writers, each = 4, 1500
	var writing sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			value := bytes.Repeat([]byte{byte(w)}, 200)
			for i := range each {
				b := db.NewBatch()
				b.Set(AppendUint64(key(fmt.Sprint(w)), uint64(i)), value)
				if i >= 10 && i%3 != 0 { // two of three go again, ten later
					b.DeleteOnce(AppendUint64(key(fmt.Sprint(w)), uint64(i-10)))
				}
				if err := db.Commit(context.Background(), b); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	writing.Wait()
	close(stop)
	wg.Wait()
	for w := range writers {
		var got, wanted []uint64
		for i := range uint64(each) {
			if i+10 >= each || (i+10)%3 == 0 {
				wanted = append(wanted, i)
			}
		}
		prefix := key(fmt.Sprint(w))
		must(t, db.Scan(prefix, PrefixEnd(prefix), func(k, _ []byte) bool {
			n, _, _ := CutUint64(k[len(prefix):])
			got = append(got, n)
			return true
		}))
		if !slices.Equal(got, wanted) {
			t.Errorf("writer %d: %d keys are left, want %d", w, len(got), len(wanted))
		}
	}
	if m := db.Metrics(); m.Disk == 0 || m.Flushes == 0 || m.MemTables == 0 {
		t.Errorf("metrics %+v", m)
	}
}

func TestKeys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.String().Draw(t, "a"), rapid.String().Draw(t, "b")
		ka, kb := AppendText(nil, a), AppendText(nil, b)
		if got, rest, ok := CutText(append(slices.Clone(ka), "rest"...)); !ok || got != a || string(rest) != "rest" {
			t.Fatalf("%q came back as %q, rest %q", a, got, rest)
		}
		if a != b && (bytes.HasPrefix(ka, kb) || bytes.Equal(ka, kb)) {
			t.Fatalf("key %x of %q begins with key %x of %q", ka, a, kb, b)
		}
		if c := bytes.Compare([]byte(a), []byte(b)); c != bytes.Compare(ka, kb) {
			t.Fatalf("%q and %q compare %d, their keys %d", a, b, c, -c)
		}
		m, n := rapid.Uint64().Draw(t, "m"), rapid.Uint64().Draw(t, "n")
		if (m < n) != (bytes.Compare(AppendUint64(nil, m), AppendUint64(nil, n)) < 0) {
			t.Fatalf("keys of %d and %d sort otherwise", m, n)
		}
		p := rapid.SliceOfN(rapid.Byte(), 1, 6).Draw(t, "prefix")
		k := rapid.SliceOfN(rapid.Byte(), 1, 8).Draw(t, "key")
		end := PrefixEnd(p)
		inside := bytes.Compare(k, p) >= 0 && (end == nil || bytes.Compare(k, end) < 0)
		if inside != bytes.HasPrefix(k, p) {
			t.Fatalf("%x under %x up to %x: %v", k, p, end, inside)
		}
	})
	for _, bad := range []string{"", "abc", "a\x00", "a\x00\x02x", "\x00"} {
		if _, _, ok := CutText([]byte(bad)); ok {
			t.Errorf("%q was taken for a text", bad)
		}
	}
	if _, _, ok := CutUint64(make([]byte, 7)); ok {
		t.Error("7 octets were taken for a number")
	}
}

// eventually waits until f holds.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for !f() {
		if time.Now().After(deadline) {
			t.Fatalf("never came true: %s", what)
		}
		<-time.After(2 * time.Millisecond) // between two looks
	}
}
