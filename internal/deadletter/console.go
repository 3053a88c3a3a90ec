package deadletter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"jasmind/internal/journal"
	"jasmind/internal/queue"
)

// Summary is how many letters there are.
type Summary struct {
	Counts  []journal.LetterCount // by queue and cause, in their order
	Total   int
	Waiting int // in jasmind.dead_letter: not in the store yet, since it is full or they just came
}

// Count counts letters.
func (o *Office) Count(ctx context.Context) (Summary, error) {
	counts, err := o.store.CountLetters(ctx)
	if err != nil {
		return Summary{}, err
	}
	slices.SortFunc(counts, func(a, b journal.LetterCount) int {
		return cmp.Or(cmp.Compare(a.Queue, b.Queue), cmp.Compare(a.Cause, b.Cause))
	})
	s := Summary{Counts: counts}
	for _, c := range counts {
		s.Total += c.Count
	}
	s.Waiting, err = o.broker.Length(ctx, queue.DeadLetter)
	return s, err
}

// List gives up to limit letters behind the id after, the oldest first, of one queue or of all ("").
func (o *Office) List(ctx context.Context, from queue.Name, after queue.LetterID, limit int) ([]queue.Letter, error) {
	return o.store.Letters(ctx, from, after, limit)
}

// Show gives one letter, ok is false if it is not there.
func (o *Office) Show(ctx context.Context, id queue.LetterID) (l queue.Letter, ok bool, err error) {
	return o.store.Letter(ctx, id)
}

// Selection says which letters are meant.
type Selection struct {
	ID    queue.LetterID // "": all that are there at the start of the call
	Queue queue.Name     // that were in this queue; "": in any
}

// ErrNoLetter is the answer where there is no letter with that id, or none that was in that queue.
var ErrNoLetter = errors.New("there is no such dead letter")

// Result is what became of the letters that were selected.
type Result struct {
	Done int
	// Claimed letters were left alone: somebody is bringing them back at this moment, or began to
	// and did not come to the end, so that they may be in their queue already.
	Claimed int
	// NoQueue letters were left alone: their queue does not exist (any more).
	NoQueue int
	// Unclear letters may be in their queue, or not: the broker did not say. They are claimed.
	Unclear int
	Waiting int // in jasmind.dead_letter still, see Summary
}

// each calls f for the selected letters, by page, in order.
func (o *Office) each(ctx context.Context, sel Selection, f func([]queue.Letter) error) error {
	if sel.ID != "" {
		l, ok, err := o.store.Letter(ctx, sel.ID)
		if err != nil {
			return err
		}
		if !ok || sel.Queue != "" && l.Queue != sel.Queue {
			return fmt.Errorf("%w: %s", ErrNoLetter, sel.ID)
		}
		return f([]queue.Letter{l})
	}
	last := queue.NewLetterID(time.Now())
	after := queue.LetterID("")
	for {
		ls, err := o.store.Letters(ctx, sel.Queue, after, batch)
		if err != nil || len(ls) == 0 {
			return err
		}
		after = ls[len(ls)-1].ID
		for len(ls) > 0 && ls[len(ls)-1].ID > last {
			ls = ls[:len(ls)-1]
		}
		if len(ls) == 0 {
			return nil
		}
		if err := f(ls); err != nil {
			return err
		}
	}
}

// Replay brings letters back to the queues they came from, in order, with all their tries. again
// also takes letters that were claimed before. When it gives an error, what Result says is done is done.
func (o *Office) Replay(ctx context.Context, sel Selection, again bool) (Result, error) {
	var r Result
	exists := make(map[queue.Name]bool)
	err := o.each(ctx, sel, func(ls []queue.Letter) error { return o.replay(ctx, ls, again, exists, &r) })
	return o.finish(ctx, "replayed", sel, r, err)
}

// finish logs what was done and tells what is left.
func (o *Office) finish(ctx context.Context, what string, sel Selection, r Result, err error) (Result, error) {
	if r.Done > 0 {
		o.dropped()
	}
	o.log.Info("dead letters "+what, "count", r.Done, "id", string(sel.ID), "queue", string(sel.Queue), //nolint:sloglint // two words of ours
		"claimed", r.Claimed, "no_queue", r.NoQueue, "unclear", r.Unclear, "err", err)
	if err != nil {
		return r, err
	}
	r.Waiting, err = o.broker.Length(ctx, queue.DeadLetter)
	return r, err
}

// replay brings one page back.
func (o *Office) replay(ctx context.Context, ls []queue.Letter, again bool, exists map[queue.Name]bool, r *Result) error {
	byID := make(map[queue.LetterID]*queue.Letter, len(ls))
	var ids []queue.LetterID
	for i := range ls {
		l := &ls[i]
		known, seen := exists[l.Queue]
		if !seen {
			_, err := o.broker.Length(ctx, l.Queue)
			if err != nil && !errors.Is(err, queue.ErrNoQueue) {
				return err
			}
			known = err == nil && l.Queue != queue.DeadLetter
			exists[l.Queue] = known
		}
		if !known {
			r.NoQueue++
			continue
		}
		byID[l.ID] = l
		ids = append(ids, l.ID)
	}
	if len(ids) == 0 {
		return nil
	}
	now := time.Now()
	claimed, err := o.store.ClaimLetters(ctx, now, again, ids...)
	if err != nil {
		return err
	}
	r.Claimed += len(ids) - len(claimed)
	if len(claimed) == 0 {
		return nil
	}
	var e journal.Entry
	for _, id := range claimed {
		e.Publish = append(e.Publish, byID[id].Replay(now))
	}
	e.DropLetters = claimed
	if err := o.journal.Commit(ctx, &e); err != nil {
		// Nobody knows which of them are in their queue: that is for an operator to decide.
		r.Unclear += len(claimed)
		return err
	}
	r.Done += len(claimed)
	o.Metrics.Replayed.Add(int64(len(claimed)))
	return nil
}

// Purge drops letters for good.
func (o *Office) Purge(ctx context.Context, sel Selection) (Result, error) {
	var r Result
	err := o.each(ctx, sel, func(ls []queue.Letter) error {
		var e journal.Entry
		for i := range ls {
			e.DropLetters = append(e.DropLetters, ls[i].ID)
		}
		if err := o.journal.Commit(ctx, &e); err != nil {
			return err
		}
		r.Done += len(ls)
		o.Metrics.Purged.Add(int64(len(ls)))
		return nil
	})
	return o.finish(ctx, "purged", sel, r, err)
}
