package storetest

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"jasmind/internal/journal"
	"jasmind/internal/queue"
)

func letter(q queue.Name, cause queue.Cause, id string) queue.Letter {
	now := time.UnixMilli(time.Now().UnixMilli())
	return queue.Letter{ID: queue.NewLetterID(now), At: now, Queue: q, Cause: cause, Reason: "try 4 of \xff: no answer",
		Message: queue.Message{ID: id, Priority: 2, ContentType: queue.ContentText, Body: []byte{0, 1, 0xff},
			Headers: queue.Headers{{Name: "text", Str: "a\x00\xffé"}, {Name: "n", Int: -7, IsInt: true}}}}
}

func letterIDs(ls []queue.Letter) []queue.LetterID {
	var out []queue.LetterID
	for i := range ls {
		out = append(out, ls[i].ID)
	}
	return out
}

func (e *env) letters(q queue.Name, after queue.LetterID, limit int) []queue.LetterID {
	e.Helper()
	ls, err := e.s.Letters.Letters(e.ctx, q, after, limit)
	e.must(err)
	return letterIDs(ls)
}

func (e *env) wantCounts(want ...journal.LetterCount) {
	e.Helper()
	got, err := e.s.CountLetters(e.ctx)
	e.must(err)
	less := func(a, b journal.LetterCount) int {
		return strings.Compare(string(a.Queue)+" "+string(a.Cause), string(b.Queue)+" "+string(b.Cause))
	}
	slices.SortFunc(got, less)
	slices.SortFunc(want, less)
	if !slices.Equal(got, want) {
		e.Errorf("counts are %v, want %v", got, want)
	}
}

func testLetter(e *env) {
	want := letter(queue.DLRThrowerHTTP, queue.CauseRetries, "m-1")
	e.apply(journal.Entry{Letters: []queue.Letter{want}})
	for range 2 {
		got, ok, err := e.s.Letter(e.ctx, want.ID)
		e.must(err)
		if !ok || !reflect.DeepEqual(got, want) {
			e.Errorf("got  %+v, %t\nwant %+v", got, ok, want)
		}
		list, err := e.s.Letters.Letters(e.ctx, "", "", 10)
		e.must(err)
		if !reflect.DeepEqual(list, []queue.Letter{want}) {
			e.Errorf("listed %+v", list)
		}
		e.s = e.s.Reopen(e.T)
	}
	if _, ok, err := e.s.Letter(e.ctx, queue.NewLetterID(time.Now())); ok || err != nil {
		e.Errorf("a letter nobody wrote: %t, %v", ok, err)
	}
}

func testLetterPages(e *env) {
	var all []queue.Letter
	of := map[queue.Name][]queue.LetterID{}
	for i := range 25 {
		q := []queue.Name{"a", "ab", "smpps.a"}[i%3]
		l := letter(q, queue.CauseHeld, fmt.Sprint("m-", i))
		all = append(all, l)
		of[q] = append(of[q], l.ID)
	}
	e.apply(journal.Entry{Letters: all})
	var got []queue.LetterID
	for after := queue.LetterID(""); ; {
		page := e.letters("", after, 10)
		if len(page) == 0 {
			break
		}
		got = append(got, page...)
		after = page[len(page)-1]
	}
	if !slices.Equal(got, letterIDs(all)) {
		e.Errorf("listed %v\nwant   %v", got, letterIDs(all))
	}
	for q, want := range of {
		if got := e.letters(q, "", 100); !slices.Equal(got, want) {
			e.Errorf("of %s: %v, want %v", q, got, want)
		}
		if got := e.letters(q, want[1], 2); !slices.Equal(got, want[2:4]) {
			e.Errorf("of %s behind the second: %v, want %v", q, got, want[2:4])
		}
	}
	if got := e.letters("b", "", 10); len(got) != 0 {
		e.Errorf("of another queue: %v", got)
	}
}

func testLetterCounts(e *env) {
	a, b, c := letter("q1", queue.CauseRetries, "1"), letter("q1", queue.CauseRetries, "2"), letter("q1", queue.CauseHeld, "3")
	d := letter("q2", queue.CauseRetries, "4")
	e.wantCounts()
	e.apply(journal.Entry{Letters: []queue.Letter{a, b}})
	e.apply(journal.Entry{Letters: []queue.Letter{c, d}})
	e.wantCounts(journal.LetterCount{Queue: "q1", Cause: queue.CauseRetries, Count: 2}, journal.LetterCount{Queue: "q1", Cause: queue.CauseHeld, Count: 1},
		journal.LetterCount{Queue: "q2", Cause: queue.CauseRetries, Count: 1})
	e.apply(journal.Entry{DropLetters: []queue.LetterID{a.ID, c.ID, a.ID}})
	e.wantCounts(journal.LetterCount{Queue: "q1", Cause: queue.CauseRetries, Count: 1}, journal.LetterCount{Queue: "q2", Cause: queue.CauseRetries, Count: 1})
	if got := e.letters("", "", 10); !slices.Equal(got, []queue.LetterID{b.ID, d.ID}) {
		e.Errorf("left are %v", got)
	}
}

func testLetterRepeat(e *env) {
	a, b := letter("q1", queue.CauseRetries, "1"), letter("q1", queue.CauseRetries, "2")
	e.apply(journal.Entry{Letters: []queue.Letter{a, b, a}})
	e.apply(journal.Entry{Letters: []queue.Letter{a}})
	e.wantCounts(journal.LetterCount{Queue: "q1", Cause: queue.CauseRetries, Count: 2})
	for range 2 {
		e.apply(journal.Entry{DropLetters: []queue.LetterID{a.ID}})
		e.wantCounts(journal.LetterCount{Queue: "q1", Cause: queue.CauseRetries, Count: 1})
	}
	if got := e.letters("q1", "", 10); !slices.Equal(got, []queue.LetterID{b.ID}) {
		e.Errorf("left are %v", got)
	}
}

func testLetterClaims(e *env) {
	a, b := letter("q1", queue.CauseRetries, "1"), letter("q1", queue.CauseRetries, "2")
	e.apply(journal.Entry{Letters: []queue.Letter{a, b}})
	nobody := queue.NewLetterID(time.Now())
	at := time.UnixMilli(1700000000123)
	claim := func(again bool, ids ...queue.LetterID) []queue.LetterID {
		got, err := e.s.ClaimLetters(e.ctx, at, again, ids...)
		e.must(err)
		return got
	}
	if got := claim(false, nobody, a.ID); !slices.Equal(got, []queue.LetterID{a.ID}) {
		e.Errorf("claimed %v", got)
	}
	e.s = e.s.Reopen(e.T)
	if got := claim(false, a.ID, b.ID); !slices.Equal(got, []queue.LetterID{b.ID}) {
		e.Errorf("claimed %v, want the second only", got)
	}
	got, _, err := e.s.Letter(e.ctx, a.ID)
	e.must(err)
	if !got.Claimed.Equal(at) {
		e.Errorf("claimed at %v, want %v", got.Claimed, at)
	}
	got.Claimed = time.Time{}
	if !reflect.DeepEqual(got, a) {
		e.Errorf("a claim changed the letter: %+v", got)
	}
	if got := claim(true, a.ID, nobody); !slices.Equal(got, []queue.LetterID{a.ID}) {
		e.Errorf("claimed again %v", got)
	}
	e.must(e.s.UnclaimLetters(e.ctx, a.ID, nobody))
	if got := claim(false, a.ID); !slices.Equal(got, []queue.LetterID{a.ID}) {
		e.Errorf("given back and claimed: %v", got)
	}
	// Of many at the same time one gets it.
	e.must(e.s.UnclaimLetters(e.ctx, a.ID, b.ID))
	var mu sync.Mutex
	winners := 0
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			got, err := e.s.ClaimLetters(e.ctx, at, false, a.ID)
			mu.Lock()
			defer mu.Unlock()
			winners += len(got)
			if err != nil {
				e.Error(err)
			}
		})
	}
	wg.Wait()
	if winners != 1 {
		e.Errorf("%d calls got the letter", winners)
	}
	e.apply(journal.Entry{DropLetters: []queue.LetterID{a.ID}})
	if got := claim(true, a.ID); len(got) != 0 {
		e.Errorf("a letter that is gone was claimed: %v", got)
	}
}

func testLettersConcurrent(e *env) {
	const writers, each = 8, 30
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			for n := range each {
				l := letter(queue.Name(fmt.Sprint("q", i%2)), queue.CauseRetries, fmt.Sprint(i, "-", n))
				if err := e.s.Apply(context.WithoutCancel(e.ctx), &journal.Entry{Letters: []queue.Letter{l}}); err != nil {
					e.Error(err)
				}
				if n%3 == 0 {
					if err := e.s.Apply(context.WithoutCancel(e.ctx), &journal.Entry{DropLetters: []queue.LetterID{l.ID}}); err != nil {
						e.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	const left = writers / 2 * each * 2 / 3
	e.wantCounts(journal.LetterCount{Queue: "q0", Cause: queue.CauseRetries, Count: left}, journal.LetterCount{Queue: "q1", Cause: queue.CauseRetries, Count: left})
	if got := e.letters("", "", 1000); len(got) != 2*left || !slices.IsSorted(got) {
		e.Errorf("%d letters are listed", len(got))
	}
}
