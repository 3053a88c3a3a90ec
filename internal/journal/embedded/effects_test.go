package embedded_test

import (
	"reflect"
	"slices"
	"testing"

	"jasmind/internal/journal"
	storepebble "jasmind/internal/store/pebble"
)

// Store and queues together stage all fields of an entry, each once.
func TestEveryFieldIsStaged(t *testing.T) {
	got := append(storepebble.Effects(), "Publish", "Ack", "Retry")
	var want []string
	for f := range reflect.TypeFor[journal.Entry]().Fields() {
		want = append(want, f.Name)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}
