package queue

import (
	"reflect"
	"slices"
	"testing"
	"time"
)

func parkedSamples() ([]Publication, []Retry) {
	m := Message{ID: "m\xff1", Priority: 2, ContentType: ContentText, Body: []byte("b\x00\xff"), Attempts: 3,
		Headers: Headers{{Name: "text", Str: "\xfe\x00ä"}, {Name: "n", Int: -5, IsInt: true}, {Name: "zero", IsInt: true}}}
	return []Publication{{Queue: DLRSubmitSMResp, Message: m}, {Queue: BillRequests, Key: "bill_request.x", Message: Message{ID: "b"}, After: time.Minute},
			{Queue: SubmitSMResp("c"), Message: m, Observers: true}},
		[]Retry{{Delivery: &Delivery{Queue: SubmitSM("c"), Message: m}, After: time.Second, Headers: Headers{{Name: "new", Str: "x"}}},
			{Delivery: &Delivery{Queue: SubmitSM("c"), Message: m}}}
}

func TestParkedPublicationsComeOutAsTheyWentIn(t *testing.T) {
	now := time.UnixMilli(1700000000123)
	pubs, retries := parkedSamples()
	ps := Park(pubs, retries, now)
	ids := map[string]bool{}
	for i := range ps {
		ids[ps[i].ID] = true
		got, err := DecodeParked(ps[i].ID, ps[i].Encode())
		if err != nil {
			t.Fatal(err)
		}
		later := now.Add(400 * time.Millisecond)
		p, r := got.Unpark(later)
		if i < len(pubs) {
			want := pubs[i]
			if want.After > 0 {
				want.After -= 400 * time.Millisecond
			}
			if p == nil || !reflect.DeepEqual(*p, want) {
				t.Errorf("got  %+v\nwant %+v", p, want)
			}
			continue
		}
		given := retries[i-len(pubs)]
		want := given.Delivery.Message
		if given.Headers != nil {
			want.Headers = given.Headers
		}
		if r == nil || r.Delivery.Queue != given.Delivery.Queue || !reflect.DeepEqual(r.Delivery.Message, want) || r.After != max(given.After-400*time.Millisecond, 0) {
			t.Errorf("got  %+v\nwant %+v of %+v", r, want, given)
		}
	}
	if len(ids) != len(ps) {
		t.Errorf("%d ids for %d publications", len(ids), len(ps))
	}
	for i, p := range Park(pubs, retries, now.Add(time.Hour)) {
		if p.ID != ps[i].ID {
			t.Errorf("%d has another id when it is parked again", i)
		}
	}
}

// Two parts that are answered alike make two equal copies for observers.
func TestEqualPublicationsOfOneEntryAreSeveral(t *testing.T) {
	pubs, retries := parkedSamples()
	twice := append(slices.Clone(pubs), pubs...)
	ids := map[string]bool{}
	for range 2 { // the second time is a repeat
		for _, p := range Park(twice, retries, time.UnixMilli(1)) {
			ids[p.ID] = true
		}
	}
	if want := len(twice) + len(retries); len(ids) != want {
		t.Errorf("%d ids, want %d", len(ids), want)
	}
}

func FuzzDecodeParked(f *testing.F) {
	pubs, retries := parkedSamples()
	for _, p := range Park(pubs, retries, time.UnixMilli(1)) {
		f.Add(p.Encode())
	}
	f.Add([]byte(`{"queue":""}`))
	f.Fuzz(func(t *testing.T, record []byte) {
		p, err := DecodeParked("id", record)
		if err != nil {
			return
		}
		again, err := DecodeParked("id", p.Encode())
		if err != nil || !reflect.DeepEqual(again, p) {
			t.Errorf("%v\ngot  %+v\nwant %+v", err, again, p)
		}
	})
}
