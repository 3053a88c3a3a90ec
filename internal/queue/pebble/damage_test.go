package pebble_test

import (
	"strings"
	"testing"
	"time"

	"jasmind/internal/localdb"
	"jasmind/internal/queue"
	"jasmind/internal/queue/pebble"
)

// damage makes the records of a namespace that hold one of the texts unreadable.
func damage(t *testing.T, db *localdb.DB, namespace byte, texts ...string) {
	t.Helper()
	b := db.NewBatch()
	n := 0
	must(t, db.Scan([]byte{namespace}, []byte{namespace + 1}, func(key, value []byte) bool {
		for _, text := range texts {
			if strings.Contains(string(value), text) {
				b.Set(key, append([]byte{99}, value[1:]...))
				n++
			}
		}
		return true
	}))
	must(t, db.Commit(t.Context(), b))
	if n != len(texts) {
		t.Fatalf("%d records are damaged, want %d", n, len(texts))
	}
}

// A record that cannot be read becomes a dead letter with its octets, wherever it is met, and holds up nobody.
func TestADamagedRecordIsADeadLetter(t *testing.T) {
	dir := t.TempDir()
	db := openDB(t, dir)
	d := openDriver(t, db, pebble.Config{})
	must(t, d.Declare(t.Context(), qTest, queue.DeadLetter))
	must(t, d.Publish(t.Context(), publication("given back", 0), publication("read first", 0), publication("sound", 0), publication("behind", 3)))
	const soon = 2 * time.Second
	later := publication("delayed", 0)
	later.After = soon
	also := publication("delayed and sound", 0)
	also.After = soon
	must(t, d.Publish(t.Context(), later, also))
	damage(t, db, 0x42, "\x00\x07delayed")

	c := consume(t, d, 2)
	if a, b := next(t, c), next(t, c); a.ID != "behind" || b.ID != "given back" {
		t.Fatalf("got %s and %s", a.ID, b.ID)
	}
	damage(t, db, 0x41, "given back")
	must(t, c.Close(t.Context()))
	c = consume(t, d, 2)
	if a, b := next(t, c), next(t, c); a.ID != "behind" || b.ID != "read first" {
		t.Fatalf("got %s and %s", a.ID, b.ID)
	}
	must(t, d.Close())
	damage(t, db, 0x41, "read first")

	d = openDriver(t, db, pebble.Config{})
	c = consume(t, d, 10)
	for _, want := range []string{"behind", "sound", "delayed and sound"} {
		if got := next(t, c); got.ID != want {
			t.Errorf("got %s, want %s", got.ID, want)
		}
	}
	letters, err := d.Consume(t.Context(), queue.DeadLetter, 10)
	must(t, err)
	left := map[string]bool{"given back": true, "read first": true, "delayed": true}
	for len(left) > 0 {
		m := next(t, letters)
		l, err := queue.DecodeLetter(&m.Message)
		must(t, err)
		if l.Queue != qTest || l.Cause != queue.CauseUndecodable || !strings.Contains(l.Reason, "version 99") {
			t.Errorf("letter of %s, %s: %s", l.Queue, l.Cause, l.Reason)
		}
		for text := range left {
			if strings.HasSuffix(string(l.Message.Body), text) {
				delete(left, text)
			}
		}
	}
	if n, err := d.Length(t.Context(), qTest); err != nil || n != 0 {
		t.Errorf("%d messages wait, %v", n, err)
	}
}
