package throw

import (
	"slices"
	"sync"
	"testing"

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
