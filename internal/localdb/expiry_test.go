package localdb

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func indexEntries(t testing.TB, db *DB) int {
	t.Helper()
	n := 0
	must(t, db.Scan(nsExpiry.Prefix(), PrefixEnd(nsExpiry.Prefix()), func([]byte, []byte) bool { n++; return true }))
	return n
}

func setExpiring(t testing.TB, db *DB, k, v string, at time.Time) {
	t.Helper()
	b := db.NewBatch()
	b.SetExpiring(key(k), []byte(v), at)
	must(t, db.Commit(t.Context(), b))
}

func TestExpiring(t *testing.T) {
	db := open(t, t.TempDir(), Config{SweepInterval: time.Hour})
	at := time.Now().Add(time.Hour).Truncate(time.Millisecond)
	setExpiring(t, db, "later", "l", at)
	setExpiring(t, db, "never", "n", time.Time{})
	setExpiring(t, db, "over", "o", time.Now().Add(-time.Second))
	setExpiring(t, db, "1960", "o", time.Date(1960, 1, 1, 0, 0, 0, 0, time.UTC))
	for _, c := range []struct {
		key, value string
		at         time.Time
		ok         bool
	}{{"later", "l", at, true}, {"never", "n", time.Time{}, true}, {"over", "", time.Time{}, false}, {"1960", "", time.Time{}, false}, {"none", "", time.Time{}, false}} {
		v, ok, err := db.GetExpiring(key(c.key))
		must(t, err)
		if ok != c.ok || string(v.Value) != c.value || !v.At.Equal(c.at) {
			t.Errorf("%s: got %q until %v, %v; want %q until %v, %v", c.key, v.Value, v.At, ok, c.value, c.at, c.ok)
		}
	}
	set(t, db, "short", "x")
	if _, ok, err := db.GetExpiring(key("short")); ok || err != nil {
		t.Errorf("a value without an expiry: %v, %v; want none", ok, err)
	}

	b := db.NewBatch()
	b.DeleteExpiring(key("later"), at)
	must(t, db.Commit(t.Context(), b))
	if n := indexEntries(t, db); n != 2 {
		t.Errorf("the index has %d entries, want those of over and 1960", n)
	}
}

func TestSweep(t *testing.T) {
	db := open(t, t.TempDir(), Config{SweepInterval: time.Millisecond})
	base := time.Now()
	const total = 3 * sweepBatch // all in one millisecond, so that a batch ends within it
	for i := range total {
		b := db.NewBatch()
		b.SetExpiring(key(fmt.Sprintf("x%d", i)), nil, base.Add(50*time.Millisecond))
		db.CommitAsync(b, func(err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	setExpiring(t, db, "renewed", "1", base.Add(20*time.Millisecond))
	setExpiring(t, db, "renewed", "2", base.Add(time.Hour))
	setExpiring(t, db, "stays", "s", base.Add(time.Hour))
	eventually(t, "the index holds only what is to come", func() bool { return indexEntries(t, db) == 2 })
	want(t, db, "x0", "<none>")
	want(t, db, fmt.Sprintf("x%d", total-1), "<none>")
	if v, ok, err := db.GetExpiring(key("renewed")); err != nil || !ok || string(v.Value) != "2" {
		t.Errorf("a renewed value was swept: %q, %v, %v", v.Value, ok, err)
	}
	// One that expired before the sweep's position is found, too.
	setExpiring(t, db, "old", "o", base.Add(-time.Hour))
	eventually(t, "it is swept", func() bool { return get(t, db, "old") == "<none>" && indexEntries(t, db) == 2 })
	if m := db.Metrics(); m.Swept < total {
		t.Errorf("swept %d, want at least %d", m.Swept, total)
	}
}

// A model: entries added and removed in any order with looks in between. No look may miss an entry that
// was there when it began.
func TestPosition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var p Position
		entries := map[uint64]bool{}
		type look struct {
			from  uint64
			first uint64
		}
		var looks []look
		first := func(from uint64) uint64 {
			f := uint64(1000)
			for n := range entries {
				if n >= from {
					f = min(f, n)
				}
			}
			return f
		}
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				n := rapid.Uint64Range(0, 50).Draw(t, "n")
				entries[n] = true
				p.Add(n)
			},
			"remove": func(t *rapid.T) {
				n := rapid.Uint64Range(0, 50).Draw(t, "n")
				delete(entries, n)
			},
			"begin": func(t *rapid.T) {
				from := p.Begin()
				if all := first(0); all < from {
					t.Fatalf("a look begins at %d and misses %d", from, all)
				}
				looks = append(looks, look{from, first(from)})
			},
			"end": func(t *rapid.T) {
				if len(looks) == 0 {
					return
				}
				i := rapid.IntRange(0, len(looks)-1).Draw(t, "i")
				p.End(looks[i].first)
				looks = append(looks[:i], looks[i+1:]...)
			},
		})
	})
}
