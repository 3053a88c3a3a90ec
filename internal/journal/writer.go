package journal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"jasmind/internal/logging"
	"jasmind/internal/queue"
)

// Work tells a Writer how an item becomes part of an entry, and what to do when an entry is refused. What, Add and Log are required.
type Work[T any] struct {
	What string // name of the items in log lines, such as "bills"
	Max  int    // items of one entry at most; default 256

	// Add adds the effects of an item to an entry. The Writer calls Add once for each entry that it tries to commit the item in.
	Add func(e *Entry, item T)
	// Prepare is called with the items before each try. It returns the items to commit now, and the items to try later
	// together with the error that prevents them. An item that it returns in neither list now belongs to somebody else. Nil: all
	// items are ready.
	Prepare func(ctx context.Context, items []T) (ready, later []T, err error)
	// Amend is called with an item that was refused by itself. True means that Add will now add other effects for
	// the item, so it is tried again at once. Nil: no item can be changed.
	Amend func(item T, err error) bool
	// Bury adds a dead letter in place of an item that can never be written, and the acknowledgement of the item. Nil: the
	// Writer tries such an item for ever.
	Bury func(e *Entry, item T, reason string)
	// Done is called once for each item with its fate, and with the reason if the fate is not Settled, in the goroutine that
	// committed the item. It must not block.
	Done func(item T, f Fate, why error)

	// Once makes an item Abandoned when its first try fails: its producer will hand it over again.
	Once bool

	// Patience is how long the Writer tries an item that is refused by itself before it buries the item; default 5 s. An
	// item for a queue that does not exist is tried for ever, since the queue may be declared again.
	Patience time.Duration
	Grace    time.Duration // how long a commit that was begun may outlive ctx; default 5 s
	Log      *slog.Logger
}

// Fate is what became of an item.
type Fate uint8

// The fates.
const (
	Settled   Fate = iota // its effects are durable
	Buried                // it is a dead letter
	Abandoned             // Run ended before the item was settled, or its only try failed (Once): it comes again
)

// Between tries.
const (
	firstRetry = 50 * time.Millisecond
	lastRetry  = 10 * time.Second
)

// Writer makes the effects of items durable. It gathers items while an entry is being committed and makes them the next
// entry. It backs off while broker or store is away. An item that is refused by itself does not stop the others: the Writer
// tries it again apart from them, and buries it at last. Every durable consumer uses a Writer; consumers differ by their Work.
//
// There are two ways to hand items over. Post never blocks; Run commits posted items, one entry after
// the other. Write commits a batch in the calling goroutine, and hands only refused items to Run. Run must be running.
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
	stray  []*refused[T] // refused items of Write, which Run takes over
	ended  bool          // Run has returned: items that come now are abandoned

	// Only Run uses these.
	stuck   []*refused[T]
	backoff time.Duration // 0: the last commit was not prevented by an absent broker or store
	retryAt time.Time
}

// refused is an item that was refused by itself.
type refused[T any] struct {
	item    T
	since   time.Time
	wait    time.Duration
	next    time.Time
	burying error // why the item is to become a dead letter; nil: it is still tried as it is
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

// Post hands an item to Run. It never blocks, so the caller has to bound the number of posted items.
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

// errEnded is the reason for abandoning an item that comes after Run has returned.
var errEnded = errors.New("the writer has ended")

func (w *Writer[T]) poke() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Close makes Run return when no item is left. Post must not be called after Close.
func (w *Writer[T]) Close() { w.close.Do(func() { close(w.last) }) }

// Run commits posted items until Close was called and no item is left, or until ctx ends. Items that are left when ctx ends
// are Abandoned: their deliveries are not settled, so the messages come again.
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

// While calls f with Run running beside it, and returns the error of f when every item that f handed over is settled
// or abandoned. Items are abandoned Grace after ctx or f has ended.
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

// abandon gives up all items that are left.
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

// leave logs items that are not settled, and calls Done with them.
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

// due gives the time of the next try.
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

// round tries the items that are due. It returns the items that an absent broker or store could not take.
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

// Write commits a batch. While broker or store is away it tries again, until ctx ends, and returns the number of items that
// it abandoned then. Items that are refused by themselves go to Run and are not counted.
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

// commit tries items once. It calls keep with each item that was refused by itself, and returns the items that an absent broker
// or store could not take.
func (w *Writer[T]) commit(ctx context.Context, items []T, keep func(*refused[T])) (left []T, away error) {
	todo := items
	if w.work.Prepare != nil {
		todo, left, away = w.work.Prepare(ctx, items)
	}
	errs := Divide(todo, itsOwn, func(batch []T) error {
		var e Entry
		if err := w.add(&e, batch...); err != nil {
			return err
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

// itsOwn tells whether an error is the fault of the entry, and not of an absent broker or store.
func itsOwn(err error) bool { return !Passes(err) }

// add adds the effects of items. An item that makes Add panic is one that is refused by itself.
func (w *Writer[T]) add(e *Entry, items ...T) error {
	return w.guard(func() {
		for _, item := range items {
			w.work.Add(e, item)
		}
	})
}

func (w *Writer[T]) guard(f func()) error { return logging.Guard(w.work.Log, w.work.What, f) }

// write commits an entry, unless the entry has no effects.
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

// retryStuck tries each refused item that is due in an entry of its own, and buries items that were refused for longer than Patience.
// It returns an error only when broker or store is away.
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
		err := w.guard(func() { w.work.Bury(&e, r.item, r.burying.Error()) })
		if err == nil {
			err = w.write(ctx, &e)
		}
		switch {
		case err != nil && Passes(err):
			return err
		case err != nil:
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
	if err := w.add(&e, r.item); err != nil {
		return err
	}
	if err := w.write(ctx, &e); err != nil {
		return err
	}
	w.done(r.item, Settled, nil)
	return nil
}
