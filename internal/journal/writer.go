package journal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"jasmind/internal/queue"
)

// Work tells a Writer what items are and what becomes of them. What, Add and Log are needed.
type Work[T any] struct {
	What string // the items in log lines, such as "bills"
	Max  int    // items of one entry at most; default 256

	// Add adds what follows from an item to an entry. It may be called again, for another entry.
	Add func(e *Entry, item T)
	// Prepare is called with the items before each try, and gives those that are ready and, with the error because of
	// which they are not, those that are for a later try; the others are somebody else's from then on. Nil: all are ready.
	Prepare func(ctx context.Context, items []T) (ready, later []T, err error)
	// Amend is asked for an item that was refused by itself whether it has changed so that Add adds something
	// else; nil: none ever does.
	Amend func(item T, err error) bool
	// Bury adds what becomes of an item that can never be written: a dead letter, and its acknowledgement. Nil: it
	// is tried for ever.
	Bury func(e *Entry, item T, reason string)
	// Done is told once for each item, by whoever committed it, what became of it, and if that is not Settled, why. It must not block.
	Done func(item T, f Fate, why error)

	// Once has what is not settled at its first try be Abandoned: whoever it came from hands it over again.
	Once bool

	// Patience is how long an item that is refused by itself is tried again before it is buried; default 5 s. A queue that is
	// not there is waited for without an end, since it may be declared again.
	Patience time.Duration
	Grace    time.Duration // how long a commit that was begun may outlive ctx; default 5 s
	Log      *slog.Logger
}

// Fate is what became of an item.
type Fate uint8

// The fates.
const (
	Settled   Fate = iota // what follows from it is durable
	Buried                // it is a dead letter
	Abandoned             // Run ended before it was settled, or it was to be tried Once: it comes again
)

// Between tries.
const (
	firstRetry = 50 * time.Millisecond
	lastRetry  = 10 * time.Second
)

// Writer makes what items come to durable: it gathers items while an entry is being committed, makes them the next
// entry, backs off while broker or store is away, and goes on without an item that is refused by itself, which
// is tried again apart from the others and at last buried. It is the one loop that does so; consumers differ by their Work.
//
// Items are handed over in one of two ways. Post never blocks: Run commits what was posted, one entry after
// the other. Write commits a batch at once, from any goroutine, and leaves to Run only what was refused. Run must be running.
//
// An item may be committed twice, when the answer to its first commit was lost: see Journal.Commit.
type Writer[T any] struct {
	journal Journal
	work    Work[T]
	wake    chan struct{} // cap 1
	last    chan struct{} // closed: nothing more will be posted
	close   sync.Once

	mu     sync.Mutex // guards what follows
	posted []T
	spare  []T
	stray  []*refused[T] // from Write
	ended  bool          // Run has: what comes now is abandoned

	// Run's own.
	stuck   []*refused[T]
	backoff time.Duration // while broker or store is away; 0: they are not
	retryAt time.Time
}

// refused is an item that was refused by itself.
type refused[T any] struct {
	item    T
	since   time.Time
	wait    time.Duration
	next    time.Time
	burying error // why it is to be a dead letter; nil: it is not yet
}

// NewWriter makes a Writer over a journal; Run starts it.
func NewWriter[T any](j Journal, w Work[T]) *Writer[T] {
	if w.Max <= 0 {
		w.Max = 256
	}
	if w.Patience <= 0 {
		w.Patience = 5 * time.Second
	}
	if w.Grace <= 0 {
		w.Grace = 5 * time.Second
	}
	return &Writer[T]{journal: j, work: w, wake: make(chan struct{}, 1), last: make(chan struct{})}
}

// Post hands an item to Run. It never blocks: whoever posts bounds what waits.
func (w *Writer[T]) Post(item T) {
	w.mu.Lock()
	ended := w.ended
	if !ended {
		w.posted = append(w.posted, item)
	}
	w.mu.Unlock()
	if ended {
		w.done(item, Abandoned, errEnded)
		return
	}
	w.poke()
}

// errEnded is why an item is abandoned that comes after the end.
var errEnded = errors.New("the writer has ended")

func (w *Writer[T]) poke() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Close lets Run end when nothing is left. Nothing is posted after it.
func (w *Writer[T]) Close() { w.close.Do(func() { close(w.last) }) }

// Run commits what is posted until Close was called and nothing is left, or ctx ends. Deliveries of what is left then
// are not settled, so their messages come again.
func (w *Writer[T]) Run(ctx context.Context) {
	t := time.NewTimer(0)
	defer t.Stop()
	last := w.last
	var pending []T
	for {
		select {
		case <-w.wake:
		case <-t.C:
		case <-last:
			last = nil
		case <-ctx.Done():
			w.abandon(pending, context.Cause(ctx))
			return
		}
		if pending = w.round(ctx, pending); len(pending)+len(w.stuck) > 0 {
			t.Reset(time.Until(w.due(len(pending) > 0)))
		} else if last == nil && w.empty() {
			return
		}
	}
}

// While has Run run beside f, until all that f handed over is settled or, at most Grace after ctx or f ended, is abandoned. It
// gives the error of f.
func (w *Writer[T]) While(ctx context.Context, f func() error) error {
	running, giveUp := Outlive(ctx, w.work.Grace)
	defer giveUp()
	var wg sync.WaitGroup
	wg.Go(func() { w.Run(running) })
	err := f()
	w.Close()
	t := time.AfterFunc(w.work.Grace, giveUp)
	defer t.Stop()
	wg.Wait()
	return err
}

// abandon tells of all that is left.
func (w *Writer[T]) abandon(pending []T, why error) {
	w.mu.Lock()
	w.ended = true
	left := append(pending, w.posted...)
	for _, r := range append(w.stuck, w.stray...) {
		left = append(left, r.item)
	}
	w.posted, w.stray, w.stuck = nil, nil, nil
	w.mu.Unlock()
	w.leave(left, why)
}

// leave tells of items that are not settled.
func (w *Writer[T]) leave(items []T, why error) {
	if len(items) > 0 {
		w.work.Log.Warn(w.work.What+" could not be settled, they will come again", "count", len(items)) //nolint:sloglint // one of a few names of ours
	}
	for _, item := range items {
		w.done(item, Abandoned, why)
	}
}

func (w *Writer[T]) empty() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.posted)+len(w.stray) == 0
}

// due is when something is to be tried again.
func (w *Writer[T]) due(pending bool) time.Time {
	var at time.Time
	if pending {
		at = w.retryAt
	}
	for _, r := range w.stuck {
		next := r.next
		if w.backoff > 0 && next.Before(w.retryAt) {
			next = w.retryAt
		}
		if at.IsZero() || next.Before(at) {
			at = next
		}
	}
	return at
}

// round tries what is due, and gives what broker or store could not take.
func (w *Writer[T]) round(ctx context.Context, pending []T) []T {
	if w.backoff > 0 && time.Now().Before(w.retryAt) {
		return pending
	}
	w.mu.Lock()
	fresh := w.posted
	w.posted, w.spare = w.spare, nil
	w.stuck = append(w.stuck, w.stray...)
	w.stray = nil
	w.mu.Unlock()
	if len(pending) > 0 {
		fresh = append(pending, fresh...)
	}
	rest := fresh
	var away error
	for len(rest) > 0 && away == nil {
		n := min(len(rest), w.work.Max)
		batch := rest[:n:n]
		var left []T
		left, away = w.commit(ctx, batch, func(r *refused[T]) { w.stuck = append(w.stuck, r) })
		if rest = rest[n:]; len(left) > 0 {
			rest = append(left, rest...)
		}
	}
	if away == nil {
		away = w.retryStuck(ctx)
	}
	if away == nil {
		w.backoff = 0
		clear(fresh)
		w.mu.Lock()
		w.spare = fresh[:0]
		w.mu.Unlock()
		return nil
	}
	w.backoff = min(max(2*w.backoff, firstRetry), lastRetry)
	w.retryAt = time.Now().Add(w.backoff)
	w.told(len(rest)+len(w.stuck), w.backoff, away)
	return rest
}

func (w *Writer[T]) told(count int, in time.Duration, err error) {
	w.work.Log.Warn("settling "+w.work.What+" will be tried again", "count", count, "in", in, "err", err) //nolint:sloglint // one of a few names of ours
}

// Write makes a batch durable, again and again until broker and store took it or ctx ends; it gives how many items
// were abandoned then. What is refused by itself is left to Run, and is none of those.
func (w *Writer[T]) Write(ctx context.Context, items []T) (left int) {
	begun, end := Outlive(ctx, w.work.Grace)
	defer end()
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		rest, away := w.commit(begun, items, func(r *refused[T]) {
			w.mu.Lock()
			ended := w.ended
			if !ended {
				w.stray = append(w.stray, r)
			}
			w.mu.Unlock()
			if ended {
				w.done(r.item, Abandoned, errEnded)
			}
			w.poke()
		})
		if len(rest) == 0 {
			return 0
		}
		items = rest
		if ctx.Err() == nil {
			w.told(len(rest), wait, away)
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			w.leave(rest, away)
			return len(rest)
		case <-t.C:
		}
	}
}

// commit tries items once and hands those that were refused by themselves to keep. It gives what broker or store could
// not take.
func (w *Writer[T]) commit(ctx context.Context, items []T, keep func(*refused[T])) (left []T, away error) {
	todo := items
	if w.work.Prepare != nil {
		todo, left, away = w.work.Prepare(ctx, items)
	}
	errs := Divide(todo, itsOwn, func(batch []T) error {
		var e Entry
		for _, item := range batch {
			w.work.Add(&e, item)
		}
		return w.write(ctx, &e)
	})
	var fault error
	faulty := 0
	for i, err := range errs {
		item := todo[i]
		switch {
		case err == nil:
			w.done(item, Settled, nil)
		case w.work.Once:
			w.done(item, Abandoned, err)
		case Passes(err):
			left, away = append(left, item), err
		default:
			now := time.Now()
			r := &refused[T]{item: item, since: now, wait: firstRetry, next: now}
			if !w.amended(item, err) {
				r.next = now.Add(firstRetry)
				faulty, fault = faulty+1, err
			}
			keep(r)
		}
	}
	if faulty > 0 {
		w.told(faulty, firstRetry, fault)
	}
	return left, away
}

func (w *Writer[T]) amended(item T, err error) bool {
	return w.work.Amend != nil && w.work.Amend(item, err)
}

// itsOwn tells whether an error is that of an entry.
func itsOwn(err error) bool { return !Passes(err) }

// write commits an entry that has effects.
func (w *Writer[T]) write(ctx context.Context, e *Entry) error {
	if e.Empty() {
		return nil
	}
	return w.journal.Commit(ctx, e)
}

func (w *Writer[T]) done(item T, f Fate, why error) {
	if w.work.Done != nil {
		w.work.Done(item, f, why)
	}
}

// retryStuck tries what was refused by itself and is due, each by itself, and buries what was refused for too long. The error is one that passes.
func (w *Writer[T]) retryStuck(ctx context.Context) error {
	var (
		left   []*refused[T]
		fault  error
		faulty int
		wait   time.Duration
	)
	for i, r := range w.stuck {
		if time.Now().Before(r.next) {
			left = append(left, r)
			continue
		}
		err := w.retryOne(ctx, r)
		if err == nil {
			continue
		}
		left = append(left, r)
		if Passes(err) {
			w.stuck = append(left, w.stuck[i+1:]...)
			return err
		}
		switch now := time.Now(); {
		case r.burying == nil && w.amended(r.item, err):
			r.next = now // at once, in the next round
		case r.burying == nil && w.work.Bury != nil && !errors.Is(err, queue.ErrNoQueue) && now.Sub(r.since) >= w.work.Patience:
			r.burying, r.next = err, now
		default:
			r.wait = min(2*r.wait, lastRetry)
			r.next = now.Add(r.wait)
			faulty, fault, wait = faulty+1, err, max(wait, r.wait)
		}
	}
	w.stuck = left
	if faulty > 0 {
		w.told(faulty, wait, fault)
	}
	return nil
}

// retryOne tries one item.
func (w *Writer[T]) retryOne(ctx context.Context, r *refused[T]) error {
	var e Entry
	if r.burying != nil {
		w.work.Bury(&e, r.item, r.burying.Error())
		if err := w.write(ctx, &e); err != nil {
			if Passes(err) {
				return err
			}
			return fmt.Errorf("its dead letter: %w", err)
		}
		w.done(r.item, Buried, r.burying)
		return nil
	}
	if w.work.Prepare != nil {
		if ready, _, err := w.work.Prepare(ctx, []T{r.item}); err != nil || len(ready) == 0 {
			return err
		}
	}
	w.work.Add(&e, r.item)
	if err := w.write(ctx, &e); err != nil {
		return err
	}
	w.done(r.item, Settled, nil)
	return nil
}
