package redis

import (
	"reflect"
	"slices"
	"testing"

	"jasmind/internal/billing"
	"jasmind/internal/journal"
	"jasmind/internal/queue"
)

// The store and the broker do, together and in this order, all effects of an entry.
func TestEveryEffectHasItsPlace(t *testing.T) {
	var got []journal.Effect
	for i := range effects {
		got = append(got, journal.Effect{Field: effects[i].field, Phase: effects[i].phase})
	}
	want := slices.DeleteFunc(slices.Clone(journal.Effects), func(x journal.Effect) bool {
		return x.Phase == journal.Publish || x.Phase == journal.Acknowledge || x == journal.Effect{Field: "Charges", Phase: journal.Conclude}
	})
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// An effect is asked of Redis when its field says something, and not else: an entry with a publication only needs no Redis.
func TestOnlyWhatIsThereIsDone(t *testing.T) {
	none := &journal.Entry{Publish: make([]queue.Publication, 1), Ack: make([]journal.Ack, 1), Charges: nil}
	for i := range effects {
		x := &effects[i]
		if x.has(none) {
			t.Errorf("%s has something to do in phase %d for an entry that only publishes and acknowledges", x.field, x.phase)
		}
		var e journal.Entry
		f := reflect.ValueOf(&e).Elem().FieldByName(x.field)
		f.Set(reflect.MakeSlice(f.Type(), 1, 1))
		switch x.field {
		case "Ack":
			e.Ack[0].Remember = true
		case "Charges":
			e.Charges[0] = billing.Charge{Owed: x.phase == journal.Record}
		}
		if !x.has(&e) {
			t.Errorf("%s has nothing to do in phase %d for an entry with one", x.field, x.phase)
		}
	}
}
