package loadgen

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

func TestBookGrowsAndPairs(t *testing.T) {
	start := time.Now()
	b := newBook(0, start)
	const n = 50_000
	for i := range n {
		id := strconv.Itoa(i)
		if i%3 == 0 { // the report comes first
			b.reported(id, stageFinal, start.Add(time.Duration(i+5)*time.Millisecond))
			b.accepted(id, start.Add(time.Duration(i)*time.Millisecond))
		} else {
			b.accepted(id, start.Add(time.Duration(i)*time.Millisecond))
			b.reported(id, stageFinal, start.Add(time.Duration(i+5)*time.Millisecond))
		}
		if i%10 == 0 {
			b.reported(id, stageFinal, start)
			b.reported(id, stageFirst, start.Add(time.Duration(i)*time.Millisecond))
		}
	}
	b.reported("stranger", stageFinal, start)
	b.reported("", stageFinal, start)
	got := b.stats()
	want := bookStats{accepted: n, final: n + 1, finalAgain: n / 10, first: n / 10, unknownFinal: 1, strays: 1}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if l := b.final.latency(); l.Count != n || l.Min != 5 || l.Max > 5.01 {
		t.Errorf("latency %+v", l)
	}
}

func TestBitmap(t *testing.T) {
	var b bitmap
	model := map[uint64]bool{}
	highest := uint64(0)
	for range 5000 {
		n := rand.Uint64N(300_000) + 1
		if rand.IntN(10) == 0 {
			n += 1_000_000
		}
		if b.set(n) == model[n] {
			t.Fatalf("set(%d) when it was there: %v", n, model[n])
		}
		model[n] = true
		highest = max(highest, n)
	}
	c := b.clone()
	b.set(7_777_777)
	if c.count != uint64(len(model)) || c.max() != highest || c.has(7_777_777) || !b.has(7_777_777) {
		t.Errorf("count %d, max %d, want %d, %d", c.count, c.max(), len(model), highest)
	}
	for _, span := range [][2]uint64{{1, 2_000_000}, {64, 127}, {100_000, 100_063}, {299_999, 1_000_100}, {5, 4}, {8_000_000, 9_000_000}} {
		want := 0
		for n := range model {
			if n >= span[0] && n <= span[1] {
				want++
			}
		}
		last := uint64(0)
		c.within(span[0], span[1], func(n uint64) bool {
			if !model[n] || n <= last || n < span[0] || n > span[1] {
				t.Fatalf("%v: got %d after %d", span, n, last)
			}
			last = n
			want--
			return true
		})
		if want != 0 {
			t.Errorf("%v: %d were left out", span, want)
		}
	}
}

func TestReasonsAreBounded(t *testing.T) {
	var r reasons
	for i := range 1000 {
		r.add("reason " + strconv.Itoa(i))
	}
	list := r.list()
	if len(list) != maxReasons+1 || list[0] != (Reason{otherReasons, 1000 - maxReasons}) {
		t.Errorf("%d reasons, first %+v", len(list), list[0])
	}
	if got := clean(" a\x00b\n\n c\xff "); got != "a b c?" {
		t.Errorf("clean gave %q", got)
	}
}

func TestParseStat(t *testing.T) {
	line := "42 (a) b (c) S 1 42 42 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 9 0 100 1000000 25 18446744073709551615 1 1"
	cpu, rss, err := parseStat([]byte(line))
	if err != nil || cpu != 2*time.Second || rss != 25*int64(os.Getpagesize()) {
		t.Errorf("got %s, %d, %v", cpu, rss, err)
	}
	for _, bad := range []string{"", "42 (x) S 1", "1 (a) S 1 2 3 4 5 6 7 8 9 10 x 12 13 14 15 16 17 18 19 20 21 22 23"} {
		if _, _, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func TestDestinations(t *testing.T) {
	d, err := parseDestinations("+0098-0103")
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if got := string(d.append(nil)); got < "+0098" || got > "+0103" || len(got) != 5 {
			t.Fatalf("got %s", got)
		}
	}
	for _, bad := range []string{"", "10-9", "1-22", "a-b", "1-", "123456789012345678901"} {
		if _, err := parseDestinations(bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}
