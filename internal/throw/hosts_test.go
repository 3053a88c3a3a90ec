package throw

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"testing"
	"time"

	"jasmind/internal/queue"
)

func testJob(host string) job { return job{d: &queue.Delivery{}, host: host} }

func testHosts(perHost, wait, room int) *hosts {
	return newHosts(&Config{PerHost: perHost, WaitPerHost: wait, Prefetch: room})
}

// take asks n times for one host and counts the answers.
func takeMany(hs *hosts, host string, n int, now time.Time) (got map[verdict]int, last time.Duration) {
	got = map[verdict]int{}
	for range n {
		v, back := hs.take(testJob(host), now)
		got[v]++
		for _, b := range back {
			last = b.after
		}
	}
	return got, last
}

func TestHostsBoundCallsAndWaiting(t *testing.T) {
	hs := testHosts(2, 3, 100)
	got, _ := takeMany(hs, "a", 10, time.Now())
	if got[start] != 2 || got[queued] != 3 || got[full] != 5 {
		t.Errorf("started %d, waiting %d, sent back %d; want 2, 3, 5", got[start], got[queued], got[full])
	}
}

func TestHostThatDoesNotAnswerMayUseHalfOfTheRoom(t *testing.T) {
	now := time.Unix(1e9, 0)
	hs := testHosts(16, 1024, 1024)
	hs.take(testJob("a"), now)
	got, _ := takeMany(hs, "a", 2000, now.Add(2*time.Second))
	if held := 1 + got[start] + got[queued]; got[start] != 15 || held < 500 || held > 530 {
		t.Errorf("started %d, waiting %d; want 15 more and about half of 1024 altogether", got[start], got[queued])
	}
}

func TestManyDeadHostsLeaveRoomForTheNext(t *testing.T) {
	hs := testHosts(16, 1024, 1024)
	now := time.Unix(1e9, 0)
	for i := range 80 {
		takeMany(hs, fmt.Sprint("dead", i), 500, now)
		now = now.Add(2 * time.Second)
		hs.relieve(now)
		takeMany(hs, fmt.Sprint("dead", i), 500, now)
	}
	if hs.held >= hs.room {
		t.Fatalf("80 dead hosts hold %d of %d places", hs.held, hs.room)
	}
	if v, _ := hs.take(testJob("alive"), time.Now()); v != start {
		t.Errorf("a new host got verdict %d, want start", v)
	}
}

func TestWaitingJobsLeaveInOrder(t *testing.T) {
	hs := testHosts(1, 10, 100)
	hs.take(testJob("a"), time.Now())
	var want []*queue.Delivery
	for range 5 {
		j := testJob("a")
		want = append(want, j.d)
		if v, _ := hs.take(j, time.Now()); v != queued {
			t.Fatalf("verdict %d, want queued", v)
		}
	}
	for i := range want {
		if j, ok := hs.next("a", "", time.Millisecond, time.Now()); !ok || j.d != want[i] {
			t.Fatalf("job %d is another one (%v)", i, ok)
		}
	}
	if _, ok := hs.next("a", "", time.Millisecond, time.Now()); ok {
		t.Error("a job nobody gave")
	}
	if h := hs.byName["a"]; h.active != 0 || hs.held != 0 {
		t.Errorf("%d active, %d held", h.active, hs.held)
	}
}

func TestDLRsAreSentBackUntilAboutTheirTurn(t *testing.T) {
	now := time.Unix(1e9, 0)
	hs := testHosts(2, 1, 100)
	hs.take(testJob("a"), now)
	hs.next("a", "", 4*time.Second, now) // typical: 4 s, so that a call ends every 2 s
	takeMany(hs, "a", 3, now)            // two calls, and one that waits
	again := testJob("a")
	again.d.Attempts = 20
	for i, want := range []time.Duration{4 * time.Second, 6 * time.Second, 8 * time.Second} {
		if v, back := hs.take(again, now); v != full || len(back) != 1 || back[0].after != want {
			t.Errorf("DLR %d: verdict %v, %v, want full after %v", i, v, back, want)
		}
	}
	// What was promised is over after its time: nothing has to come back for that.
	later := now.Add(time.Hour)
	hs.next("a", "", 4*time.Second, later)
	hs.take(testJob("a"), later)
	if _, back := hs.take(again, later); back[0].after != 4*time.Second {
		t.Errorf("an hour later it is %v, want 4s", back[0].after)
	}
}

func TestADLRIsSentBackForAtMostTwiceAsLongAsBefore(t *testing.T) {
	now := time.Unix(1e9, 0)
	for name, hs := range map[string]*hosts{"slow": testHosts(1, 1, 100), "hangs": testHosts(1, 1, 100)} {
		takeMany(hs, "a", 2, now)
		if name == "slow" {
			hs.byName["a"].typical, hs.byName["a"].turn = time.Hour, now.Add(time.Hour)
		}
		for attempts, want := range map[int]time.Duration{0: 1, 1: 2, 2: 4, 8: 256, 9: 600, 1000: 600} {
			j := testJob("a")
			j.d.Attempts = attempts + 3
			j.d.Headers = j.d.Headers.WithInt(queue.HeaderThrows, 3) // failed calls are not counted
			if _, back := hs.take(j, now.Add(2*time.Second)); len(back) != 1 || back[0].after != want*time.Second {
				t.Errorf("%s, sent back %d times: %v, want %v", name, attempts, back, want*time.Second)
			}
		}
	}
}

func TestHostOfWhichNothingIsKnownIsTriedAgainSoon(t *testing.T) {
	now := time.Unix(1e9, 0)
	hs := testHosts(1, 1, 100)
	takeMany(hs, "a", 2, now)
	if _, after := takeMany(hs, "a", 1000, now); after != deferMin {
		t.Errorf("sent back for %v, want %v", after, deferMin)
	}
}

// A host that answers fast may use all the room; what comes then is the broker's to keep.
func TestFastHostMayUseAllRoom(t *testing.T) {
	now := time.Unix(1e9, 0)
	hs := testHosts(16, 1024, 1024)
	hs.take(testJob("a"), now)
	hs.next("a", "", time.Millisecond, now)
	if got, _ := takeMany(hs, "a", 1024, now); got[full] != 0 || got[start] != 16 {
		t.Errorf("%d started, %d of 1024 sent back", got[start], got[full])
	}
	if back := hs.relieve(now.Add(time.Millisecond)); back != nil {
		t.Errorf("%d sent back soon after", len(back))
	}
}

// A fast host that stops answering while it has all the room gives some of it back, the last that came first.
func TestHostThatStopsAnsweringGivesRoomBack(t *testing.T) {
	now := time.Unix(1e9, 0)
	hs := testHosts(16, 1024, 1024)
	hs.take(testJob("a"), now)
	hs.next("a", "", time.Millisecond, now)
	takeMany(hs, "a", 1023, now)
	last := testJob("a")
	hs.take(last, now)
	back := hs.relieve(now.Add(2 * time.Second))
	if len(back) != 128 || back[0].j.d != last.d {
		t.Fatalf("%d sent back, want 128 and the last one first", len(back))
	}
	for _, b := range back {
		if b.after < deferMin || b.after > deferMax {
			t.Fatalf("sent back for %v", b.after)
		}
	}
	if v, _ := hs.take(testJob("b"), now.Add(2*time.Second)); v != start {
		t.Errorf("another host got verdict %d, want start", v)
	}
}

func TestIdleHostsAreForgottenWhenThereAreMany(t *testing.T) {
	hs := testHosts(1, 10, 100)
	for i := range 3 * idleHosts {
		name := fmt.Sprint(i)
		hs.take(testJob(name), time.Now())
		hs.next(name, "", time.Millisecond, time.Now())
	}
	if n := len(hs.byName); n > idleHosts {
		t.Errorf("%d hosts are remembered, want at most %d", n, idleHosts)
	}
}

// Whatever happens, every job is started, handed over or sent back exactly once, and the bounds hold.
func TestHostsLoseNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		hs := testHosts(1+r.IntN(4), 1+r.IntN(64), 1+r.IntN(64))
		active := map[string]int{}
		given, back, out := 0, 0, 0
		now := time.Unix(1e9, 0)
		finish := func(name string) {
			out++
			if _, ok := hs.next(name, "", time.Duration(r.IntN(1000))*time.Millisecond, now); !ok {
				active[name]--
			}
		}
		returned := func(sent []sentBack) {
			back += len(sent)
			for _, b := range sent {
				if b.after < deferMin || b.after > deferMax {
					t.Fatalf("sent back for %v", b.after)
				}
			}
		}
		for range 500 {
			now = now.Add(time.Duration(r.IntN(1000)) * time.Millisecond)
			name := fmt.Sprint(r.IntN(6))
			switch n := r.IntN(10); {
			case n < 6:
				given++
				v, sent := hs.take(testJob(name), now)
				if v == start {
					active[name]++
				}
				returned(sent)
			case n < 7:
				returned(hs.relieve(now))
			case active[name] > 0:
				finish(name)
			}
			if active[name] > hs.perHost {
				t.Fatalf("%d calls of one host, at most %d", active[name], hs.perHost)
			}
			if h := hs.byName[name]; h != nil && h.waiting.n > hs.wait {
				t.Fatalf("%d wait for one host, at most %d", h.waiting.n, hs.wait)
			}
		}
		for name := range active {
			for active[name] > 0 {
				finish(name)
			}
		}
		if out+back != given || hs.held != 0 {
			t.Fatalf("%d given, %d called, %d sent back; %d held", given, out, back, hs.held)
		}
	}
}

func TestHostOf(t *testing.T) {
	for in, want := range map[string]string{
		"http://Example.com/a":        "example.com:80",
		"http://example.com:80/b?c":   "example.com:80",
		"https://user:pw@example.com": "example.com:443",
		"http://[::1]/x":              "[::1]:80",
		"http://127.0.0.1:8080":       "127.0.0.1:8080",
	} {
		u, err := url.Parse(in)
		if err != nil {
			t.Fatal(err)
		}
		if got := hostOf(u); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

// However many hosts of one user never answer, another user's DLR finds a place, and so does that of a third.
func TestHostsOfOneUserLeaveRoomForOthers(t *testing.T) {
	now := time.Unix(1e9, 0)
	hs := testHosts(16, 1024, 1024)
	take := func(user, host string) verdict {
		j := testJob(host)
		j.user = user
		v, _ := hs.take(j, now)
		return v
	}
	for user, want := range map[string]int{"a": 512} {
		for i := range 1100 {
			take(user, fmt.Sprint("dead", i))
		}
		if n := hs.byUser[user]; n != want {
			t.Errorf("%s has %d of 1024 places, want %d", user, n, want)
		}
	}
	for _, user := range []string{"b", "c", "d"} {
		if v := take(user, "host of "+user); v != start {
			t.Errorf("the DLR of %s got verdict %d, want start", user, v)
		}
	}
	// One who answers fast is not limited so.
	hs.byName["fast"] = &host{typical: time.Millisecond}
	for range 400 {
		if v := take("a", "fast"); v == full {
			t.Fatal("a DLR for a fast host was sent back while there is room")
		}
	}
	for i := range 1100 {
		if h := hs.byName[fmt.Sprint("dead", i)]; h != nil && h.active > 0 {
			hs.next(fmt.Sprint("dead", i), "a", time.Second, now)
		}
	}
	if n := hs.byUser["a"]; n != 400 {
		t.Errorf("when their calls have ended %d places are taken, want those of the fast host, 400", n)
	}
}

// Of what waits for one host, users take turns, and each one's DLRs keep their order.
func TestUsersTakeTurnsAtOneHost(t *testing.T) {
	hs := testHosts(1, 100, 1000)
	hs.take(testJob("a"), time.Now())
	put := func(user string, n int) {
		for i := range n {
			j := testJob("a")
			j.user, j.d.ID = user, fmt.Sprint(user, i)
			if v, _ := hs.take(j, time.Now()); v != queued {
				t.Fatalf("verdict %d, want queued", v)
			}
		}
	}
	put("x", 4)
	put("y", 2)
	put("z", 1)
	var got []string
	for user := ""; ; {
		j, ok := hs.next("a", user, time.Millisecond, time.Now())
		if !ok {
			break
		}
		user = j.user
		got = append(got, j.d.ID)
	}
	if want := "[x0 y0 z0 x1 y1 x2 x3]"; fmt.Sprint(got) != want {
		t.Errorf("called %v, want %v", got, want)
	}
	if hs.held != 0 || len(hs.byUser) != 0 {
		t.Errorf("%d held, users %v", hs.held, hs.byUser)
	}
}
