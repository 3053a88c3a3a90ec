package embedded_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"jasmind/internal/journal"
	"jasmind/internal/journal/embedded"
	"jasmind/internal/localdb"
	"jasmind/internal/queue"
	queuepebble "jasmind/internal/queue/pebble"
	"jasmind/internal/sms"
	storepebble "jasmind/internal/store/pebble"
)

const (
	qMT  = queue.Name("submit.sm.crash")
	qDLR = queue.DLRSubmitSMResp

	childDir = "JOURNAL_TEST_DIR" // set: this process is a child that is going to be killed
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		fmt.Fprintln(os.Stderr, runChild(dir))
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

// runChild accepts and settles messages for ever and tells of each step in a line: "accepted ID", "settling
// ID" before an attempt is settled, "settled ID" after.
func runChild(dir string) error {
	db, err := localdb.Open(dir, localdb.Config{MemTableSize: 128 << 10})
	if err != nil {
		return err
	}
	q, err := queuepebble.New(db, queuepebble.Config{Window: 64})
	if err != nil {
		return err
	}
	ctx := context.Background()
	if err := q.Declare(ctx, qMT, qDLR); err != nil {
		return err
	}
	j := embedded.New(db, q, storepebble.New(db))
	c, err := q.Consume(ctx, qMT, 50)
	if err != nil {
		return err
	}
	errs := make(chan error)
	for w := range 8 {
		go func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%d-%d-%d", os.Getpid(), w, i)
				if err := j.Commit(ctx, accept(id)); err != nil {
					errs <- err
					return
				}
				fmt.Println("accepted", id)
			}
		}()
	}
	for range 4 {
		go func() {
			for d := range c.C() {
				fmt.Println("settling", d.ID)
				word, e := "settled", settle(d)
				if d.Attempts == 0 && strings.HasSuffix(d.ID, "5") {
					word, e = "retried", &journal.Entry{Retry: []queue.Retry{{Delivery: d, After: time.Millisecond}}}
				}
				if err := j.Commit(ctx, e); err != nil {
					errs <- err
					return
				}
				fmt.Println(word, d.ID)
			}
		}()
	}
	return <-errs
}

func accept(id string) *journal.Entry {
	return &journal.Entry{
		Receipts: []sms.ReceiptRequest{{MsgID: sms.MessageID(id), Origin: sms.OriginHTTP, Parts: 1, Expiry: time.Hour}},
		Publish:  []queue.Publication{{Queue: qMT, Message: queue.Message{ID: id, Body: make([]byte, 200), Priority: uint8(len(id) % 4)}}},
	}
}

func settle(d *queue.Delivery) *journal.Entry {
	return &journal.Entry{
		Mappings: []sms.Mapping{{Account: "crash", SMPPMsgID: d.ID, MsgID: sms.MessageID(d.ID), Part: 1, Parts: 1, Expiry: time.Hour}},
		Publish:  []queue.Publication{{Queue: qDLR, Message: queue.Message{ID: d.ID}}},
		Forget:   []sms.MessageID{sms.MessageID(d.ID)},
		Ack:      []journal.Ack{{Delivery: d, Remember: true}},
	}
}

// After kill -9 at any moment every accepted message is in its queue once, or settled with everything
// that follows from it, and never half of both.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	said := map[string]string{} // id -> last word about it
	for round := range 4 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childDir+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		var stderr strings.Builder
		cmd.Stderr = &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		killAt := 1 + rand.IntN(3000)
		for n := 1; lines.Scan(); n++ {
			word, id, _ := strings.Cut(lines.Text(), " ")
			if word != "accepted" || said[id] == "" { // the consumer may speak first
				said[id] = word
			}
			if n == killAt {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := cmd.Wait(); err == nil || stderr.Len() > 0 {
			t.Fatalf("the child ended by itself: %v %s", err, stderr.String())
		}
		checkAfterKill(t, round, dir, said)
	}
}

func checkAfterKill(t *testing.T, round int, dir string, said map[string]string) {
	t.Helper()
	s := openStack(t, dir, localdb.Config{})
	defer s.close(t)
	waiting := contents(t, s, qMT)
	done := contents(t, s, qDLR)
	for id, n := range waiting {
		if n != 1 || done[id] != 0 {
			t.Fatalf("round %d: %s is in the queue %d times and settled %d times", round, id, n, done[id])
		}
		if _, ok, err := s.store.Receipt(t.Context(), sms.MessageID(id)); err != nil || !ok {
			t.Fatalf("round %d: %s waits without its receipt request: %v, %v", round, id, ok, err)
		}
		if said[id] == "settled" {
			t.Fatalf("round %d: %s was settled and is back", round, id)
		}
	}
	for id, n := range done {
		if n != 1 {
			t.Fatalf("round %d: %s was settled %d times", round, id, n)
		}
		if _, ok, err := s.store.Receipt(t.Context(), sms.MessageID(id)); err != nil || ok {
			t.Fatalf("round %d: %s is settled and its receipt request is there: %v, %v", round, id, ok, err)
		}
		if _, ok, err := s.store.Mapping(t.Context(), "crash", id); err != nil || !ok {
			t.Fatalf("round %d: %s is settled without its mapping: %v, %v", round, id, ok, err)
		}
	}
	for id, word := range said {
		if waiting[id]+done[id] != 1 {
			t.Fatalf("round %d: %s was %s and is lost", round, id, word)
		}
		if word == "settled" && done[id] != 1 {
			t.Fatalf("round %d: %s was settled and its effects are lost", round, id)
		}
	}
	if len(said) == 0 {
		t.Error("the child did nothing")
	}
}

// contents lists a queue without changing it.
func contents(t *testing.T, s *stack, name queue.Name) map[string]int {
	t.Helper()
	if err := s.queue.Declare(t.Context(), name); err != nil { // the first child may not have come so far
		t.Fatal(err)
	}
	// A message behind all others, the delayed ones included, marks the end.
	const mark = "the end"
	c, err := s.queue.Consume(t.Context(), name, 65535)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.queue.Publish(t.Context(), queue.Publication{Queue: name, Message: queue.Message{ID: mark}, After: 20 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for {
		select {
		case d := <-c.C():
			if d.ID != mark {
				got[d.ID]++
				continue
			}
			if err := s.queue.Ack(t.Context(), d); err != nil {
				t.Fatal(err)
			}
			if err := c.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			return got
		case <-time.After(2 * time.Minute):
			t.Fatal("the end did not come")
		}
	}
}
