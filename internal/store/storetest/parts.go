package storetest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"jasmind/internal/journal"
	"jasmind/internal/sms"
)

// Parts is one store under test that collects the parts of long MOs.
type Parts struct {
	journal.Parts
	// Apply writes what the store holds of an entry.
	Apply func(ctx context.Context, e *journal.Entry) error
	// Reopen closes the store and gives a new one over the same records.
	Reopen func(t *testing.T) Parts
}

// RunParts runs the contract of journal.Parts. open makes a fresh, empty instance and cleans it up
// with t.Cleanup.
func RunParts(t *testing.T, open func(t *testing.T) Parts) {
	for _, c := range []struct {
		name string
		test func(*partsEnv)
	}{
		{"5 parts join in all 120 orders", testOrders},
		{"another key is another message", testLongKeys},
		{"a part that comes again changes nothing", testRepeatedPart},
		{"what comes again of a message that is through is told from a new one", testLateRepeat},
		{"the same text under the same reference is a message again", testSameAgain},
		{"another text at the same place releases what came before", testDisplaced},
		{"parts that come at once give one message", testPartsAtOnce},
		{"without another part a message is released after its wait", testWait},
		{"a new part starts the wait anew", testNewWait},
		{"what was released and not dropped is released again", testPartsClaim},
		{"a message that was dropped is gone", testJoined},
		{"parts are there after a restart", testPartsRestart},
		{"parts hold any octets", testPartsOctets},
		{"what is no part is refused", testNoPart},
		{"an ended context refuses parts", testPartsContext},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(&partsEnv{T: t, s: open(t), ctx: t.Context()}) })
	}
}

const (
	longWait  = time.Hour
	longClaim = time.Hour
)

type partsEnv struct {
	*testing.T
	s   Parts
	ctx context.Context
	n   int
}

func (e *partsEnv) must(err error) {
	e.Helper()
	if err != nil {
		e.Fatal(err)
	}
}

func longKey(ref uint16, total int) sms.LongKey {
	return sms.LongKey{CID: "smsc1", Source: "336123", Dest: "85111", Ref: ref, Total: total}
}

// part is one whose digest stands for its text.
func part(k sms.LongKey, seq int, text string) sms.LongPart {
	digest := uint64(0)
	for _, c := range []byte(text) {
		digest = digest*31 + uint64(c)
	}
	return sms.LongPart{Key: k, Seq: seq, Digest: digest, Body: []byte(text)}
}

// addFor adds a part and gives the messages that it released, as text.
func (e *partsEnv) addFor(k sms.LongKey, seq int, text string, wait, claim time.Duration) []string {
	e.Helper()
	e.n++
	got, err := e.s.AddPart(e.ctx, part(k, seq, text), sms.MessageID(fmt.Sprintf("m-%d", e.n)), wait, claim)
	e.must(err)
	return texts(got)
}

func (e *partsEnv) add(k sms.LongKey, seq int, text string) []string {
	e.Helper()
	return e.addFor(k, seq, text, longWait, longClaim)
}

// texts are messages in the form "id: 1=text 3=text of 3", those of repeated parts with a question mark.
func texts(ms []sms.LongMO) []string {
	out := []string{}
	for i := range ms {
		var b strings.Builder
		fmt.Fprintf(&b, "%s:", ms[i].ID)
		for _, p := range ms[i].Parts {
			fmt.Fprintf(&b, " %d=%s", p.Seq, p.Body)
			if p.Key != ms[i].Key || p.Digest != part(p.Key, p.Seq, string(p.Body)).Digest {
				fmt.Fprintf(&b, " with the key %s and digest %d", p.Key, p.Digest)
			}
		}
		if !ms[i].Complete() {
			fmt.Fprintf(&b, " of %d", ms[i].Key.Total)
		}
		if ms[i].Repeat {
			b.WriteString("?")
		}
		out = append(out, b.String())
	}
	return out
}

func (e *partsEnv) want(got []string, want ...string) {
	e.Helper()
	if !slices.Equal(got, want) {
		e.Errorf("released\ngot  %q\nwant %q", got, want)
	}
}

// released waits until something is released.
func (e *partsEnv) released(limit int, wait, claim time.Duration) []string {
	e.Helper()
	deadline := time.Now().Add(Patience)
	for {
		got, err := e.s.ReleaseParts(e.ctx, limit, wait, claim)
		e.must(err)
		if len(got) > 0 {
			return texts(got)
		}
		if time.Now().After(deadline) {
			e.Fatal("nothing was released")
		}
		select {
		case <-e.ctx.Done():
			return nil
		case <-time.After(5 * time.Millisecond): // between two looks
		}
	}
}

func (e *partsEnv) nothing() {
	e.Helper()
	got, err := e.s.ReleaseParts(e.ctx, 10, longWait, longClaim)
	e.must(err)
	e.want(texts(got))
}

func (e *partsEnv) drop(ids ...sms.MessageID) {
	e.Helper()
	e.must(e.s.Apply(e.ctx, &journal.Entry{Joined: ids}))
}

// orders gives all orders of 1 to n.
func orders(n int) [][]int {
	if n == 0 {
		return [][]int{nil}
	}
	var out [][]int
	for _, rest := range orders(n - 1) {
		for at := range n {
			out = append(out, slices.Insert(slices.Clone(rest), at, n))
		}
	}
	return out
}

func testOrders(e *partsEnv) {
	all := orders(5)
	if len(all) != 120 {
		e.Fatalf("%d orders", len(all))
	}
	for ref, order := range all {
		k := longKey(uint16(ref), 5)
		first := e.n + 1
		for i, seq := range order {
			got := e.add(k, seq, fmt.Sprintf("%d-%d", ref, seq))
			if i < 4 {
				e.want(got)
				continue
			}
			e.want(got, fmt.Sprintf("m-%d: 1=%d-1 2=%d-2 3=%d-3 4=%d-4 5=%d-5", first, ref, ref, ref, ref, ref))
			e.drop(sms.MessageID(fmt.Sprintf("m-%d", first)))
		}
	}
	e.nothing()
}

func testLongKeys(e *partsEnv) {
	base := longKey(7, 2)
	others := []sms.LongKey{base, base, base, base, base, base}
	others[0].CID = "smsc2"
	others[1].Source = "336124"
	others[2].Dest = "85112"
	others[3].Ref = 8
	others[4].Total = 3
	others[5].Source, others[5].Dest = "336123:85111", ""
	e.want(e.add(base, 1, "a"))
	for _, k := range others {
		e.want(e.add(k, 2, "b"))
	}
	e.want(e.add(base, 2, "b"), "m-1: 1=a 2=b")
	e.want(e.add(others[1], 1, "c"), "m-3: 1=c 2=b")
}

func testRepeatedPart(e *partsEnv) {
	k := longKey(7, 3)
	e.want(e.add(k, 2, "b"))
	e.want(e.add(k, 2, "b"))
	e.want(e.add(k, 1, "a"))
	e.want(e.add(k, 2, "b"))
	e.want(e.add(k, 3, "c"), "m-1: 1=a 2=b 3=c")
}

func testLateRepeat(e *partsEnv) {
	k := longKey(7, 2)
	e.add(k, 1, "a")
	e.want(e.add(k, 2, "b"), "m-1: 1=a 2=b")
	e.drop("m-1")
	// The answer to part 2 was lost: it comes again, and is released as nothing but a repeat.
	e.want(e.addFor(k, 2, "b", time.Millisecond, longClaim))
	e.want(e.released(10, longWait, longClaim), "m-3: 2=b of 2?")
	e.drop("m-3")
	// It comes again once more, and then the sender's next message, with the same reference.
	e.want(e.add(k, 2, "b"))
	e.want(e.add(k, 2, "d"))
	e.want(e.add(k, 1, "c"), "m-4: 1=c 2=d")
}

func testSameAgain(e *partsEnv) {
	k := longKey(7, 2)
	for _, id := range []string{"m-1", "m-3"} {
		e.want(e.add(k, 1, "a"))
		got := e.add(k, 2, "b")
		if len(got) != 1 || !strings.HasPrefix(got[0], id+": 1=a 2=b") {
			e.Errorf("got %q, want %s", got, id)
		}
	}
}

func testDisplaced(e *partsEnv) {
	k := longKey(7, 3)
	e.want(e.add(k, 1, "a"))
	e.want(e.add(k, 2, "b"))
	e.want(e.add(k, 1, "x"), "m-1: 1=a 2=b of 3")
	e.want(e.add(k, 3, "z"))
	e.want(e.add(k, 2, "y"), "m-3: 1=x 2=y 3=z")
	e.drop("m-1", "m-3")
	e.nothing()
}

func testPartsAtOnce(e *partsEnv) {
	const messages, parts = 20, 6
	for ref := range messages {
		k := longKey(uint16(ref), parts)
		var (
			wg  sync.WaitGroup
			mu  sync.Mutex
			got []sms.LongMO
		)
		for seq := 1; seq <= parts; seq++ {
			for twin := range 2 { // on two binds; of the last part there is one, or all might come twice
				if twin == 1 && seq == parts {
					continue
				}
				wg.Go(func() {
					ms, err := e.s.AddPart(e.ctx, part(k, seq, fmt.Sprint(seq)), sms.MessageID(fmt.Sprintf("m-%d-%d-%d", ref, seq, twin)), longWait, longClaim)
					mu.Lock()
					defer mu.Unlock()
					if err != nil {
						e.Error(err)
					}
					got = append(got, ms...)
				})
			}
		}
		wg.Wait()
		// Twins that came after the last part are repeats, and no second message.
		if len(got) != 1 || !got[0].Complete() {
			e.Fatalf("message %d: released %q", ref, texts(got))
		}
	}
}

func testWait(e *partsEnv) {
	const wait = 200 * time.Millisecond
	start := time.Now()
	e.want(e.addFor(longKey(1, 3), 3, "c", wait, longClaim))
	e.want(e.add(longKey(2, 3), 1, "later"))
	e.want(e.released(10, longWait, longClaim), "m-1: 3=c of 3")
	if took := time.Since(start); took < wait-2*time.Millisecond {
		e.Errorf("released after %v, want at least %v", took, wait)
	}
	e.nothing()
	// What comes now is another message.
	e.want(e.add(longKey(1, 3), 1, "a"))
}

func testNewWait(e *partsEnv) {
	k := longKey(1, 3)
	e.want(e.addFor(k, 1, "a", time.Millisecond, longClaim))
	e.want(e.add(k, 2, "b"))
	e.want(e.addFor(longKey(2, 2), 1, "x", 50*time.Millisecond, longClaim))
	e.want(e.released(10, longWait, longClaim), "m-3: 1=x of 2")
	e.want(e.add(k, 3, "c"), "m-1: 1=a 2=b 3=c")
}

func testPartsClaim(e *partsEnv) {
	k := longKey(1, 2)
	e.add(k, 1, "a")
	e.want(e.addFor(k, 2, "b", longWait, time.Millisecond), "m-1: 1=a 2=b")
	e.want(e.released(10, longWait, time.Millisecond), "m-1: 1=a 2=b")
	e.want(e.released(10, longWait, longClaim), "m-1: 1=a 2=b")
	e.nothing()
	for ref := range 5 {
		e.addFor(longKey(uint16(10+ref), 2), 1, "x", time.Millisecond, longClaim)
	}
	n := 0
	for n < 5 {
		got := e.released(2, longWait, longClaim)
		if len(got) > 2 {
			e.Fatalf("limit 2: released %q", got)
		}
		n += len(got)
	}
	e.nothing()
}

func testJoined(e *partsEnv) {
	k := longKey(1, 2)
	e.add(k, 1, "a")
	e.want(e.addFor(k, 2, "b", longWait, time.Millisecond), "m-1: 1=a 2=b")
	e.drop("m-1", "nobody")
	e.drop("m-1")
	e.addFor(longKey(2, 2), 1, "x", 20*time.Millisecond, longClaim)
	e.want(e.released(10, longWait, longClaim), "m-3: 1=x of 2")
}

func testPartsRestart(e *partsEnv) {
	k, l := longKey(1, 3), longKey(2, 2)
	e.add(k, 3, "c")
	e.add(l, 1, "x")
	e.want(e.addFor(l, 2, "y", longWait, time.Millisecond), "m-2: 1=x 2=y")
	e.s = e.s.Reopen(e.T)
	e.want(e.released(10, longWait, longClaim), "m-2: 1=x 2=y")
	e.want(e.add(k, 1, "a"))
	e.s = e.s.Reopen(e.T)
	e.want(e.add(k, 3, "c"))
	e.want(e.add(k, 2, "b"), "m-1: 1=a 2=b 3=c")
	e.drop("m-1", "m-2")
	e.s = e.s.Reopen(e.T)
	e.nothing()
}

func testPartsOctets(e *partsEnv) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	k := longKey(1, 2)
	k.Source, k.Dest = "a:b\x00%\xff", "\n:"
	e.add(k, 1, string(all))
	e.want(e.add(k, 2, ""), "m-1: 1="+string(all)+" 2=")
}

func testNoPart(e *partsEnv) {
	for _, p := range []sms.LongPart{part(longKey(1, 2), 0, "a"), part(longKey(1, 2), 3, "a"), part(longKey(1, 256), 256, "a")} {
		if got, err := e.s.AddPart(e.ctx, p, "m-1", longWait, longClaim); err == nil {
			e.Errorf("part %d of %d: got %q", p.Seq, p.Key.Total, texts(got))
		}
	}
	if got, err := e.s.ReleaseParts(e.ctx, 0, longWait, longClaim); err != nil || len(got) > 0 {
		e.Errorf("limit 0: %q, %v", texts(got), err)
	}
}

func testPartsContext(e *partsEnv) {
	ctx, cancel := context.WithCancel(e.ctx)
	cancel()
	if _, err := e.s.AddPart(ctx, part(longKey(1, 2), 1, "a"), "m-1", longWait, longClaim); err == nil {
		e.Error("a part with an ended context: no error")
	}
	if _, err := e.s.ReleaseParts(ctx, 10, longWait, longClaim); err == nil {
		e.Error("a release with an ended context: no error")
	}
	e.want(e.add(longKey(1, 2), 2, "b"))
}
