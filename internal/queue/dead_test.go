package queue

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"jasmind/internal/smpp/pdu"
)

func TestBuryKeepsTheMessageAndSaysWhy(t *testing.T) {
	d := &Delivery{Queue: DLRThrowerHTTP, Message: Message{ID: "m1", Priority: 2, ContentType: ContentText, Body: []byte("b"), Attempts: 7,
		Headers: append(make(Headers, 0, 8), Header{Name: HeaderURL, Str: "http://x/"})}}
	before := time.Now().Truncate(time.Millisecond)
	p := BuryAs(d, CauseRetries, "no answer")
	if p.Queue != "jasmind.dead_letter" || p.Message.Attempts != 0 || p.Message.Priority != 0 {
		t.Errorf("got %+v", p)
	}
	l, err := DecodeLetter(&p.Message)
	if err != nil {
		t.Fatal(err)
	}
	if l.At.Before(before) || l.At.After(time.Now()) {
		t.Errorf("buried at %v", l.At)
	}
	want := Letter{ID: LetterID(p.Message.Headers.Str("dead_id")), At: l.At, Queue: DLRThrowerHTTP, Cause: CauseRetries, Reason: "no answer",
		Message: Message{ID: "m1", Priority: 2, ContentType: ContentText, Body: []byte("b"), Headers: Headers{{Name: HeaderURL, Str: "http://x/"}}}}
	if !reflect.DeepEqual(l, want) {
		t.Errorf("got  %+v\nwant %+v", l, want)
	}
	if d.Attempts != 7 || len(d.Headers) != 1 || len(d.Headers[:2][1].Name) != 0 {
		t.Errorf("the delivery was changed: %+v", d)
	}
}

func TestALetterIsCutToWhatEveryDriverTakes(t *testing.T) {
	many := make(Headers, 1000)
	for i := range many {
		many[i] = Header{Name: strings.Repeat("n", 100), Int: int64(i), IsInt: true}
	}
	for _, tt := range []struct {
		name string
		m    Message
		why  string
		want string // of the reason
		left Headers
		body int
	}{
		{"what fits is left alone", Message{Headers: Headers{{Name: HeaderURL, Str: strings.Repeat("u", 62_000)}}, Body: make([]byte, maxLetter)}, "x",
			"x", Headers{{Name: HeaderURL, Str: strings.Repeat("u", 62_000)}}, maxLetter},
		{"the largest header goes", Message{Headers: Headers{{Name: "a", Str: strings.Repeat("a", 30_000)}, {Name: HeaderURL, Str: strings.Repeat("u", 90_000)}, {Name: "n", Int: 1, IsInt: true}}}, "x",
			"x; cut: header url of 90000 octets", Headers{{Name: "a", Str: strings.Repeat("a", 30_000)}, {Name: "n", Int: 1, IsInt: true}}, 0},
		{"a header with a long name goes", Message{Headers: Headers{{Name: "a"}, {Name: strings.Repeat("x", 256)}}}, "x",
			"x; cut: header " + strings.Repeat("x", 40) + " of 0 octets", Headers{{Name: "a"}}, 0},
		{"a body is cut", Message{Body: make([]byte, maxLetter+1)}, "x", "x; cut: body of 8388609 octets", nil, maxLetter},
		{"a reason is cut between characters", Message{}, strings.Repeat("é", 400), strings.Repeat("é", 248) + "...", nil, 0},
		{"the note is never cut off", Message{Body: make([]byte, maxLetter+1)}, strings.Repeat("r", 600), strings.Repeat("r", 468) + "...; cut: body of 8388609 octets", nil, maxLetter},
		{"an id is cut", Message{ID: strings.Repeat("i", 256)}, "x", "x; cut: id of 256 octets", nil, 0},
		{"many headers", Message{Headers: many}, "x", "", many[138:], 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := &Delivery{Queue: "q", Message: tt.m}
			d.Headers = d.Headers.Clone()
			p := Bury(d, tt.why)
			l, err := DecodeLetter(&p.Message)
			if err != nil {
				t.Fatal(err)
			}
			if tt.want != "" && l.Reason != tt.want || len(l.Reason) > maxReason {
				t.Errorf("reason %q of %d octets, want %q", l.Reason, len(l.Reason), tt.want)
			}
			if !slices.Equal(l.Message.Headers, tt.left) || len(l.Message.Body) != tt.body || len(l.Message.ID) > maxShort {
				t.Errorf("%d headers, body of %d octets, id %q", len(l.Message.Headers), len(l.Message.Body), l.Message.ID)
			}
			if len(d.Headers) != len(tt.m.Headers) || len(d.Body) != len(tt.m.Body) || d.ID != tt.m.ID {
				t.Error("the delivery was changed")
			}
		})
	}
}

func TestAMessageThatNobodyBuriedIsNoLetter(t *testing.T) {
	good := Bury(&Delivery{Queue: "q"}, "x").Message
	for name, change := range map[string]func(Headers) Headers{
		"no id":            func(h Headers) Headers { return h.without(HeaderDeadID) },
		"id is too short":  func(h Headers) Headers { return h.WithStr(HeaderDeadID, "abc") },
		"id with a letter": func(h Headers) Headers { return h.WithStr(HeaderDeadID, strings.Repeat("u", letterLength)) },
		"unknown cause":    func(h Headers) Headers { return h.WithStr(HeaderDeadCause, "boredom") },
	} {
		m := good
		m.Headers = change(m.Headers.Clone())
		if l, err := DecodeLetter(&m); !errors.Is(err, ErrNotBuried) {
			t.Errorf("%s: %+v, %v", name, l, err)
		}
	}
}

func TestLetterIDsSortByTimeAndOrder(t *testing.T) {
	var ids []LetterID
	now := time.Unix(1e9, 0)
	for i := range 1000 {
		ids = append(ids, NewLetterID(now.Add(time.Duration(i/300)*time.Millisecond)))
	}
	if !slices.IsSorted(ids) || len(slices.Compact(slices.Clone(ids))) != len(ids) {
		t.Error("ids are not in order")
	}
	for _, id := range ids[:10] {
		if got, err := ParseLetterID(strings.ToUpper(string(id))); err != nil || got != id {
			t.Errorf("ParseLetterID(%s) = %s, %v", id, got, err)
		}
	}
	for _, bad := range []string{"", "all", string(ids[0]) + "0", strings.Repeat("é", 9)} {
		if _, err := ParseLetterID(bad); err == nil {
			t.Errorf("%q is taken for an id", bad)
		}
	}
}

func TestReplayHasItsTriesBack(t *testing.T) {
	d := &Delivery{Queue: DLRThrowerHTTP, Message: Message{ID: "m1", Priority: 1, ContentType: ContentText, Attempts: 9, Headers: Headers{
		{Name: HeaderThrows, Int: 4, IsInt: true}, {Name: HeaderURL, Str: "http://x/"}, {Name: HeaderRefusals, Str: "88=3"}}}}
	p := BuryAs(d, CauseRetries, "x")
	l, err := DecodeLetter(&p.Message)
	if err != nil {
		t.Fatal(err)
	}
	at := time.UnixMilli(12345)
	want := Publication{Queue: DLRThrowerHTTP, Message: Message{ID: "m1", Priority: 1, ContentType: ContentText,
		Headers: Headers{{Name: HeaderURL, Str: "http://x/"}, {Name: HeaderReplayedAt, Int: 12345, IsInt: true}}}}
	if got := l.Replay(at); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if !l.Message.Headers.Has(HeaderThrows) {
		t.Error("the letter itself was changed")
	}
}

func TestDestinationOfALetter(t *testing.T) {
	one, err := pdu.Append(nil, pdu.StatusOK, 0, &pdu.SubmitSM{Message: pdu.Message{Dest: pdu.Address{Addr: "3361"}, ShortMessage: []byte("x")}})
	if err != nil {
		t.Fatal(err)
	}
	mo, err := pdu.Append(nil, pdu.StatusOK, 0, &pdu.DeliverSM{Message: pdu.Message{Dest: pdu.Address{Addr: "77"}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		m    Message
		want string
	}{
		{"a URL without its secrets", Message{Headers: Headers{{Name: HeaderURL, Str: "https://me:pw@host:8/a%20b?key=1"}}}, "https://host:8/a%20b"},
		{"no URL", Message{Headers: Headers{{Name: HeaderURL, Str: "http://me:pw@a b/"}}}, ""},
		{"a message of two parts", Message{ContentType: ContentPDU, Body: append(slices.Clone(one), one...)}, "3361"},
		{"an MO for an ESME", Message{ContentType: ContentPDU, Body: mo, Headers: Headers{{Name: HeaderSystemID, Str: "acme"}}}, "acme 77"},
		{"a receipt for an ESME", Message{ContentType: ContentText, Headers: Headers{{Name: HeaderSystemID, Str: "acme"}, {Name: HeaderSourceAddr, Str: "123"}}}, "acme 123"},
		{"octets that are no PDU", Message{ContentType: ContentPDU, Body: []byte{1}}, ""},
		{"nothing", Message{}, ""},
	} {
		if got := (&Letter{Message: tt.m}).Destination(); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func FuzzLetterRecord(f *testing.F) {
	f.Add("m1", "q", "reason \xff", "url", "http://x/\x00", int64(-5), uint8(3), []byte{0, 1, 255})
	f.Fuzz(func(t *testing.T, id, q, reason, name, text string, n int64, priority uint8, body []byte) {
		want := Letter{ID: NewLetterID(time.Now()), At: time.UnixMilli(n), Queue: Name(q), Cause: CauseHeld, Reason: reason,
			Message: Message{ID: id, Priority: priority, ContentType: text, Body: body, Headers: Headers{{Name: name, Str: text}, {Name: name, Int: n, IsInt: true}}}}
		if len(body) == 0 {
			want.Message.Body = nil
		}
		got, err := DecodeLetterRecord(want.ID, want.Encode())
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%v\ngot  %+v\nwant %+v", err, got, want)
		}
		_, _ = DecodeLetterRecord(want.ID, body) // no panic
		_ = got.Destination()
	})
}
