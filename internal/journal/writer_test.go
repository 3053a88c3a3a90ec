package journal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"jasmind/internal/queue"
	"jasmind/internal/sms"
)

func TestEmptyLooksAtEveryField(t *testing.T) {
	if !new(Entry).Empty() {
		t.Error("an entry without effects is not empty")
	}
	typ := reflect.TypeFor[Entry]()
	for i := range typ.NumField() {
		var e Entry
		f := reflect.ValueOf(&e).Elem().Field(i)
		f.Set(reflect.MakeSlice(f.Type(), 1, 1))
		if e.Empty() {
			t.Errorf("an entry with %s is empty", typ.Field(i).Name)
		}
	}
}

var errOwn = errors.New("it cannot be stored")

func TestDivide(t *testing.T) {
	away := fmt.Errorf("%w: no connection", queue.ErrUnavailable)
	tests := []struct {
		name    string
		faulty  string // items that are refused
		awayAt  int    // the commit from which on nothing is reached; 0: none
		want    string // durable items in order
		errs    string // by item: . none, x its own, a away
		commits int
	}{
		{"nothing is wrong", "", 0, "abcdefgh", "........", 1},
		{"one in the middle", "e", 0, "abcdfgh", "....x...", 7},
		{"the first and the last", "ah", 0, "bcdefg", "x......x", 11},
		{"all", "abcdefgh", 0, "", "xxxxxxxx", 15},
		{"away at once", "", 1, "", "aaaaaaaa", 1},
		{"away meanwhile", "a", 3, "", "aaaaaaaa", 3},
		{"away after one half", "h", 3, "abcd", "....aaaa", 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got strings.Builder
			commits := 0
			errs := Divide([]byte("abcdefgh"), itsOwn, func(batch []byte) error {
				commits++
				if tt.awayAt > 0 && commits >= tt.awayAt {
					return away
				}
				if strings.ContainsAny(string(batch), tt.faulty) {
					return errOwn
				}
				got.Write(batch)
				return nil
			})
			var marks strings.Builder
			for _, err := range errs {
				switch {
				case err == nil:
					marks.WriteByte('.')
				case Passes(err):
					marks.WriteByte('a')
				default:
					marks.WriteByte('x')
				}
			}
			if got.String() != tt.want || marks.String() != tt.errs || commits != tt.commits {
				t.Errorf("got %q, errors %q, %d commits; want %q, %q, %d", got.String(), marks.String(), commits, tt.want, tt.errs, tt.commits)
			}
		})
	}
}

// ledger is a journal that keeps the contract of the drivers and can be told to refuse.
type ledger struct {
	mu      sync.Mutex
	refuse  func(*Entry) error
	entries [][]string
}

func (l *ledger) Commit(ctx context.Context, e *Entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", queue.ErrUnavailable, context.Cause(ctx))
	}
	if l.refuse != nil {
		if err := l.refuse(e); err != nil {
			return err
		}
	}
	l.entries = append(l.entries, names(e))
	return nil
}

func (l *ledger) Settled(context.Context, []*queue.Delivery) ([]bool, error) { return nil, nil }

func (l *ledger) set(f func(*Entry) error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refuse = f
}

func (l *ledger) written() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Concat(l.entries...)
}

func names(e *Entry) (out []string) {
	for _, id := range e.Forget {
		out = append(out, string(id))
	}
	for _, id := range e.Joined {
		out = append(out, "dead "+string(id))
	}
	return out
}

func refusing(err error, bad ...string) func(*Entry) error {
	return func(e *Entry) error {
		if slices.ContainsFunc(names(e), func(n string) bool { return slices.Contains(bad, n) }) {
			return err
		}
		return nil
	}
}

// desk is a writer whose items are texts, and what became of them.
type desk struct {
	*Writer[string]
	journal ledger
	log     strings.Builder
	mu      sync.Mutex
	fates   []string
	ended   chan struct{}
}

func newDesk(change func(*Work[string])) *desk {
	d := &desk{ended: make(chan struct{})}
	work := Work[string]{
		What: "tests", Max: 4, Log: slog.New(slog.NewTextHandler(&d.log, nil)),
		Add:  func(e *Entry, item string) { e.Forget = append(e.Forget, sms.MessageID(item)) },
		Bury: func(e *Entry, item, _ string) { e.Joined = append(e.Joined, sms.MessageID(item)) },
		Done: func(item string, f Fate, why error) {
			d.mu.Lock()
			defer d.mu.Unlock()
			text := item + [...]string{"", " buried", " abandoned"}[f]
			if f == Buried {
				text += ": " + why.Error()
			}
			d.fates = append(d.fates, text)
		},
	}
	if change != nil {
		change(&work)
	}
	d.Writer = NewWriter(&d.journal, work)
	return d
}

func (d *desk) start(ctx context.Context) {
	go func() {
		defer close(d.ended)
		d.Run(ctx)
	}()
}

func (d *desk) post(items ...string) {
	for _, i := range items {
		d.Post(i)
	}
}

func (d *desk) told() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.fates)
}

func (d *desk) want(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q\n%s", what, got, want, d.log.String())
	}
}

func TestWriterGathersWhatComesMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(nil)
		slow := make(chan struct{})
		d.journal.set(func(*Entry) error {
			<-slow
			return nil
		})
		d.start(t.Context())
		d.post("a")
		synctest.Wait()
		d.post("b", "c", "d", "e", "f")
		close(slow)
		d.Close()
		<-d.ended
		if got, want := fmt.Sprint(d.journal.entries), "[[a] [b c d e] [f]]"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		d.want(t, "done", d.told(), "a", "b", "c", "d", "e", "f")
	})
}

func TestWriterBacksOffWhileNothingIsReached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(nil)
		var tries atomic.Int64
		d.journal.set(func(*Entry) error {
			tries.Add(1)
			return queue.ErrUnavailable
		})
		d.start(t.Context())
		d.post("a", "b")
		time.Sleep(60 * time.Second)
		if n := tries.Load(); n > 20 || n < 8 {
			t.Errorf("%d tries in a minute", n)
		}
		d.post("c")
		d.journal.set(nil)
		d.Close()
		<-d.ended
		d.want(t, "written", d.journal.written(), "a", "b", "c")
	})
}

func TestWriterGoesOnWithoutWhatIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(nil)
		d.journal.set(refusing(errOwn, "c"))
		d.start(t.Context())
		d.post("a", "b", "c", "d")
		synctest.Wait()
		d.post("e")
		synctest.Wait()
		d.want(t, "while it is tried again", d.told(), "a", "b", "d", "e")
		time.Sleep(20 * time.Second)
		d.want(t, "in the end", d.told(), "a", "b", "d", "e", "c buried: it cannot be stored")
		d.want(t, "written", d.journal.written(), "a", "b", "d", "e", "dead c")
		d.Close()
		<-d.ended
	})
}

// An item that makes Add panic is a defect that one message brings to light: it is buried like one that is refused.
func TestWriterBuriesWhatMakesAddPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(func(w *Work[string]) {
			add := w.Add
			w.Add = func(e *Entry, item string) {
				if item == "b" {
					panic("poison")
				}
				add(e, item)
			}
		})
		d.start(t.Context())
		d.post("a", "b", "c")
		time.Sleep(20 * time.Second)
		d.want(t, "in the end", d.told(), "a", "c", "b buried: internal defect: poison")
		d.want(t, "written", d.journal.written(), "a", "c", "dead b")
		d.Close()
		<-d.ended
	})
}

// A dead letter that makes Bury panic is tried again, and keeps nobody waiting.
func TestWriterOutlivesABurialThatPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		poison := true
		d := newDesk(func(w *Work[string]) {
			bury := w.Bury
			w.Bury = func(e *Entry, item, reason string) {
				if poison {
					panic("poison")
				}
				bury(e, item, reason)
			}
		})
		d.journal.set(refusing(errOwn, "a"))
		d.start(t.Context())
		d.post("a")
		time.Sleep(time.Minute)
		d.post("b")
		synctest.Wait()
		d.want(t, "fates", d.told(), "b")
		poison = false
		d.Close()
		<-d.ended
		d.want(t, "fates", d.told(), "b", "a buried: it cannot be stored")
	})
}

// What comes to be buried waits for nobody else's next try, and those who are tried again together are one log line.
func TestABurialIsDueAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(nil)
		d.journal.set(refusing(errOwn, "a", "b", "c", "d"))
		d.start(t.Context())
		d.post("a")
		time.Sleep(5 * time.Second)
		d.post("b", "c", "d")
		time.Sleep(1400 * time.Millisecond) // the first try after its 5 s is at 6.35 s
		d.want(t, "fates", d.told(), "a buried: it cannot be stored")
		d.journal.set(nil)
		d.Close()
		<-d.ended
		if n := strings.Count(d.log.String(), "count=3 in=50ms"); n != 1 {
			t.Errorf("%d log lines for three items, want 1:\n%s", n, d.log.String())
		}
	})
}

// Prepare may hand on the very slice that it was given: what is behind it stays whole.
func TestWhatPrepareGivesBackOverwritesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(func(w *Work[string]) {
			w.Max = 2
			w.Prepare = func(_ context.Context, items []string) (now, later []string, err error) {
				return items[:1], items[1:], nil
			}
		})
		d.journal.set(func(*Entry) error { return queue.ErrUnavailable })
		d.start(t.Context())
		d.post("a", "b", "c", "d")
		synctest.Wait()
		d.journal.set(nil)
		d.Close()
		<-d.ended
		got := d.journal.written()
		slices.Sort(got)
		d.want(t, "written", got, "a", "b", "c", "d")
	})
}

func TestWriterKeepsWhatPassesWithinItsPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(nil)
		d.journal.set(refusing(errOwn, "b"))
		d.start(t.Context())
		d.post("a", "b")
		time.Sleep(time.Second)
		d.journal.set(nil)
		time.Sleep(10 * time.Second)
		d.want(t, "fates", d.told(), "a", "b")
		d.Close()
		<-d.ended
	})
}

func TestWriterWaitsForAQueueThatIsNotThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(nil)
		d.journal.set(refusing(queue.ErrNoQueue, "a"))
		d.start(t.Context())
		d.post("a")
		time.Sleep(time.Hour)
		d.want(t, "meanwhile", d.told())
		d.journal.set(nil)
		d.Close()
		<-d.ended
		d.want(t, "once it is there", d.told(), "a")
	})
}

func TestWriterTriesAgainWhatWasAmended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		other := false
		d := newDesk(func(w *Work[string]) {
			w.Add = func(e *Entry, item string) {
				if other {
					item = "other " + item
				}
				e.Forget = append(e.Forget, sms.MessageID(item))
			}
			w.Amend = func(string, error) bool {
				was := other
				other = true
				return !was
			}
		})
		d.journal.set(refusing(queue.ErrNoQueue, "a"))
		d.start(t.Context())
		began := time.Now()
		d.post("a")
		d.Close()
		<-d.ended
		if d.want(t, "written", d.journal.written(), "other a"); time.Since(began) != 0 {
			t.Errorf("it took %v", time.Since(began))
		}
	})
}

func TestOnceNothingIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(func(w *Work[string]) { w.Once = true })
		d.journal.set(refusing(errOwn, "b"))
		d.start(t.Context())
		d.post("a", "b", "c")
		synctest.Wait()
		d.want(t, "one is refused", d.told(), "a", "b abandoned", "c")
		d.journal.set(refusing(queue.ErrUnavailable, "d"))
		d.post("d", "e")
		d.Close()
		<-d.ended
		d.want(t, "nothing is reached", d.told(), "a", "b abandoned", "c", "d abandoned", "e abandoned")
		d.want(t, "written", d.journal.written(), "a", "c")
	})
}

func TestWriterPrepares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ready atomic.Bool
		d := newDesk(func(w *Work[string]) {
			w.Prepare = func(_ context.Context, items []string) (now, later []string, err error) {
				for _, i := range items {
					switch {
					case i == "held":
					case i == "b" && !ready.Load():
						later, err = append(later, i), queue.ErrUnavailable
					default:
						now = append(now, i)
					}
				}
				return now, later, err
			}
		})
		d.start(t.Context())
		d.post("a", "held", "b")
		time.Sleep(time.Second)
		d.want(t, "before", d.told(), "a")
		ready.Store(true)
		d.Close()
		<-d.ended
		d.want(t, "after", d.told(), "a", "b")
	})
}

func TestWriterAbandonsWhatIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(nil)
		d.journal.set(refusing(queue.ErrUnavailable, "a"))
		ctx, cancel := context.WithCancel(t.Context())
		d.start(ctx)
		d.post("a", "b")
		time.Sleep(time.Second)
		cancel()
		<-d.ended
		d.post("late")
		d.want(t, "fates", d.told(), "a abandoned", "b abandoned", "late abandoned")
		if !strings.Contains(d.log.String(), "tests could not be settled, they will come again\" count=2") {
			t.Errorf("log:\n%s", d.log.String())
		}
	})
}

func TestWriteTakesABatchAndLeavesWhatIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(nil)
		d.journal.set(refusing(errOwn, "b"))
		d.start(t.Context())
		if left := d.Write(t.Context(), []string{"a", "b", "c"}); left != 0 {
			t.Errorf("%d are left", left)
		}
		d.want(t, "at once", d.told(), "a", "c")
		time.Sleep(20 * time.Second)
		d.want(t, "in the end", d.told(), "a", "c", "b buried: it cannot be stored")
		d.Close()
		<-d.ended
	})
}

func TestWriteOutlivesAStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(nil)
		d.start(t.Context())
		ctx, cancel := context.WithCancel(t.Context())
		d.journal.set(func(*Entry) error {
			cancel()
			return nil
		})
		if left := d.Write(ctx, []string{"a"}); left != 0 {
			t.Errorf("what was begun is left")
		}
		d.journal.set(func(*Entry) error { return queue.ErrUnavailable })
		began := time.Now()
		if left := d.Write(ctx, []string{"b", "c"}); left != 2 || time.Since(began) > time.Second {
			t.Errorf("%d are left after %v", left, time.Since(began))
		}
		d.Close()
		<-d.ended
		d.want(t, "fates", d.told(), "a", "b abandoned", "c abandoned")
	})
}

func TestABurialThatIsRefusedKeepsNobodyWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(nil)
		d.journal.set(refusing(errOwn, "a", "dead a"))
		d.start(t.Context())
		d.post("a")
		time.Sleep(time.Minute)
		d.post("b")
		synctest.Wait()
		d.want(t, "fates", d.told(), "b")
		d.journal.set(refusing(errOwn, "a"))
		time.Sleep(time.Minute)
		d.want(t, "fates", d.told(), "b", "a buried: it cannot be stored")
		d.Close()
		<-d.ended
	})
}
