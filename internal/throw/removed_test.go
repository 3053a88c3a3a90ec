package throw

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"jasmind/internal/journal"
	"jasmind/internal/queue"
	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

// users are who has which username.
type users struct {
	mu  sync.Mutex
	all map[string]sms.UserID
}

// set gives a username to a user; "" to nobody.
func (u *users) set(name string, uid sms.UserID) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.all == nil {
		u.all = make(map[string]sms.UserID)
	}
	u.all[name] = uid
}

func (u *users) owner(name string) (sms.UserID, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.all[name], u.all[name] != ""
}

// wantBuried compares the dead letters, in any order.
func (s *esmeStack) wantBuried(want ...string) {
	s.t.Helper()
	got := s.buried(len(want))
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		s.t.Errorf("buried %q, want %q", got, want)
	}
}

// wantNext lets somebody bind, who gets just one message that comes now.
func (s *esmeStack) wantNext(id string) {
	s.t.Helper()
	r := newSession("next", 10, well)
	s.th.Bound("acme", r)
	s.tell(dlrFor("acme", id, "336"))
	s.until(id+" arrives", func() bool { return len(r.got()) > 0 })
	if got := r.got(); !slices.Equal(got, []string{id}) {
		s.t.Errorf("the next one got %v, want %s", got, id)
	}
}

// What waits for a user is his: when he is removed it becomes dead letters, and whoever has his username then gets nothing of it.
func TestWhatWaitsForARemovedUserIsNobodyElses(t *testing.T) {
	const gone = ": its user, acme, was removed"
	moved := func(s *esmeStack, n int64) {
		s.t.Helper()
		s.until("all is moved", func() bool { return s.th.Metrics.Moved.Load() == n })
	}
	waits := func(t *testing.T) (*esmeStack, *users, string) {
		u, dir := new(users), t.TempDir()
		u.set("acme", "u1")
		s := startSMPPS(t, dir, SMPPSConfig{Owner: u.owner})
		s.tell(dlrFor("acme", "m0", "336"), dlrFor("acme", "m1", "337"))
		moved(s, 2)
		return s, u, dir
	}
	t.Run("removed", func(t *testing.T) {
		s, u, _ := waits(t)
		u.set("acme", "")
		s.th.Removed("acme")
		s.wantBuried("m0"+gone, "m1"+gone)
		s.until("the queue is gone", func() bool { return !slices.Contains(s.Names(), queue.ESME("acme")) })
		s.tell(dlrFor("acme", "m2", "336")) // one more, for nobody
		s.wantBuried("m2: no user has the username acme, or none any more")
		u.set("acme", "u2")
		late := dlrFor("acme", "m4", "336") // of a message that u1 had submitted
		late.UID = "u1"
		s.tell(late)
		s.wantBuried("m4: its user, u1, was removed")
		s.wantNext("m3")
	})
	t.Run("added again under the same uid before anybody looked", func(t *testing.T) {
		s, _, _ := waits(t)
		s.th.Removed("acme")
		s.wantBuried("m0"+gone, "m1"+gone)
		s.wantNext("m2")
	})
	t.Run("while he is bound and another one binds", func(t *testing.T) {
		s, _, _ := waits(t)
		old := newSession("old", 1, nil) // answers nothing
		s.th.Bound("acme", old)
		s.until("one is in flight", func() bool { return len(old.inFlight()) == 1 })
		s.th.Removed("acme")
		r := newSession("next", 10, well)
		s.th.Bound("acme", r)
		s.th.Unbound("acme", old)
		old.finish(old.inFlight()[0], pdu.StatusOK, smpp.ErrSessionClosed)
		s.wantBuried("m0"+gone, "m1"+gone)
		s.tell(dlrFor("acme", "m2", "336"))
		s.until("m2 arrives", func() bool { return slices.Equal(r.got(), []string{"m2"}) })
	})
	t.Run("removed while nothing ran", func(t *testing.T) {
		s, u, dir := waits(t)
		s.stop()
		u.set("acme", "")
		s = startSMPPS(t, dir, SMPPSConfig{Owner: u.owner})
		s.wantBuried("m0"+gone, "m1"+gone)
		u.set("acme", "u2")
		s.wantNext("m2")
	})
	t.Run("another one has the username after a restart", func(t *testing.T) {
		s, u, dir := waits(t)
		s.stop()
		u.set("acme", "u2")
		s = startSMPPS(t, dir, SMPPSConfig{Owner: u.owner})
		s.th.Bound("acme", newSession("next", 10, func(p pdu.PDU) (pdu.Status, error) {
			t.Errorf("he got %s", idOf(p))
			return pdu.StatusOK, nil
		}))
		s.wantBuried("m0: its user, u1, was removed", "m1: its user, u1, was removed")
	})
}

// miserly is a broker that gives one message to each subscription of acme's queue, and knows whose lock is held.
type miserly struct {
	*lossy
	t            *testing.T
	moveOrRemove *sync.RWMutex
}

type oneMessage struct {
	queue.Consumer
	c chan *queue.Delivery
}

func (c *oneMessage) C() <-chan *queue.Delivery { return c.c }

func (b *miserly) Consume(ctx context.Context, n queue.Name, prefetch int) (queue.Consumer, error) {
	c, err := b.lossy.Consume(ctx, n, prefetch)
	if err != nil || n != queue.ESME("acme") {
		return c, err
	}
	one := &oneMessage{c, make(chan *queue.Delivery, 1)}
	one.c <- <-c.C()
	return one, nil
}

func (b *miserly) Delete(ctx context.Context, n queue.Name) error {
	if b.moveOrRemove.TryRLock() {
		b.moveOrRemove.RUnlock()
		b.t.Errorf("%s is deleted while something can move into it", n)
	}
	return b.lossy.Delete(ctx, n)
}

func (b *miserly) Commit(ctx context.Context, e *journal.Entry) error {
	if len(e.Publish) > 0 && e.Publish[0].Queue != queue.DeadLetter && b.moveOrRemove.TryLock() {
		b.moveOrRemove.Unlock()
		b.t.Errorf("%s can be deleted while something moves into it", e.Publish[0].Queue)
	}
	return b.lossy.Commit(ctx, e)
}

// The queue of a user who was removed goes when it is empty: what did not come while it was emptied is not deleted with it.
func TestQueueOfARemovedUserIsDeletedWhenItIsEmpty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &miserly{lossy: newLossy(), t: t}
		var u users
		u.set("acme", "u1")
		th := NewSMPPS(SMPPSConfig{Owner: u.owner, Sweep: time.Minute}, b, b, func() []string { return nil }, slog.New(slog.DiscardHandler))
		b.moveOrRemove = &th.moveOrRemove
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := th.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		const n = 3
		for _, id := range ids(0, n) {
			d := dlrFor("acme", id, "336")
			b.put(queue.DLRThrowerSMPPS, d.Message())
		}
		synctest.Wait()
		if moved := b.left(queue.ESME("acme")); moved != n {
			t.Fatalf("%d moved, want %d", moved, n)
		}
		u.set("acme", "")
		th.Removed("acme")
		time.Sleep((n + 1) * time.Minute)
		synctest.Wait()
		if dead := b.left(queue.DeadLetter); dead != n || b.removed != 0 {
			t.Errorf("%d of %d are dead letters, %d were deleted", dead, n, b.removed)
		}
		b.mu.Lock()
		if b.queues[queue.ESME("acme")] != nil {
			t.Error("the queue is still there")
		}
		b.mu.Unlock()
		cancel()
		wg.Wait()
	})
}
