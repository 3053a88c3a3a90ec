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

func TestOneBusyHostMayUseHalfOfTheRoom(t *testing.T) {
	hs := testHosts(16, 1024, 1024)
	got, _ := takeMany(hs, "a", 2000, time.Now())
	if held := got[start] + got[queued]; got[start] != 16 || held < 500 || held > 530 {
		t.Errorf("started %d, waiting %d; want 16 and about half of 1024 altogether", got[start], got[queued])
	}
}

func TestManyDeadHostsLeaveRoomForTheNext(t *testing.T) {
	hs := testHosts(16, 1024, 1024)
	for i := range 80 {
		takeMany(hs, fmt.Sprint("dead", i), 5000, time.Now())
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
		if j, ok := hs.next("a", time.Millisecond); !ok || j.d != want[i] {
			t.Fatalf("job %d is another one (%v)", i, ok)
		}
	}
	if _, ok := hs.next("a", time.Millisecond); ok {
		t.Error("a job nobody gave")
	}
	if len(hs.byName) != 0 || hs.held != 0 {
		t.Errorf("an idle host is remembered: %d hosts, %d held", len(hs.byName), hs.held)
	}
}

func TestDLRsAreSentBackUntilAboutTheirTurn(t *testing.T) {
	now := time.Unix(1e9, 0)
	hs := testHosts(2, 1, 100)
	hs.take(testJob("a"), now)
	hs.next("a", 4*time.Second) // typical: 4 s, so that a call ends every 2 s
	hs.take(testJob("a"), now)
	h := hs.byName["a"]
	h.typical = 4 * time.Second
	takeMany(hs, "a", 2, now) // the second call, and one that waits
	for i, want := range []time.Duration{4 * time.Second, 6 * time.Second, 8 * time.Second} {
		if got, after := takeMany(hs, "a", 1, now); got[full] != 1 || after != want {
			t.Errorf("DLR %d: verdicts %v after %v, want full after %v", i, got, after, want)
		}
	}
	// What was promised is over after its time: nothing has to come back for that.
	if _, after := takeMany(hs, "a", 1, now.Add(time.Hour)); after != 4*time.Second {
		t.Errorf("an hour later it is %v, want 4s", after)
	}
}

func TestDeferralIsBounded(t *testing.T) {
	now := time.Unix(1e9, 0)
	hs := testHosts(1, 1, 100)
	takeMany(hs, "a", 2, now)
	if _, after := takeMany(hs, "a", 1, now); after != deferMin {
		t.Errorf("of a host that never ended a call: %v, want %v", after, deferMin)
	}
	hs.byName["a"].typical = 30 * time.Second
	if _, after := takeMany(hs, "a", 100000, now); after != deferMax {
		t.Errorf("behind 100000 others: %v, want %v", after, deferMax)
	}
}

// Whatever happens, every job is started, handed over or sent back exactly once, and the bounds hold.
func TestHostsLoseNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		hs := testHosts(1+r.IntN(4), 1+r.IntN(8), 1+r.IntN(64))
		active := map[string]int{}
		given, back, out := 0, 0, 0
		finish := func(name string) {
			out++
			if _, ok := hs.next(name, time.Duration(r.IntN(1000))*time.Millisecond); !ok {
				active[name]--
			}
		}
		for range 500 {
			name := fmt.Sprint(r.IntN(6))
			if r.IntN(3) > 0 {
				given++
				v, sent := hs.take(testJob(name), time.Unix(int64(given), 0))
				if v == start {
					active[name]++
				}
				back += len(sent)
				for _, b := range sent {
					if b.after < deferMin || b.after > deferMax {
						t.Fatalf("sent back for %v", b.after)
					}
				}
			} else if active[name] > 0 {
				finish(name)
			}
			if active[name] > hs.perHost {
				t.Fatalf("%d calls of one host, at most %d", active[name], hs.perHost)
			}
		}
		for name := range active {
			for active[name] > 0 {
				finish(name)
			}
		}
		if out+back != given || hs.held != 0 || len(hs.byName) != 0 {
			t.Fatalf("%d given, %d called, %d sent back; %d held, %d hosts left", given, out, back, hs.held, len(hs.byName))
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
