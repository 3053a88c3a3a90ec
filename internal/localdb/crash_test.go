package localdb

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// The test binary starts itself as a child: role and directory come in the environment.
const (
	childRole = "LOCALDB_TEST_CHILD"
	childDir  = "LOCALDB_TEST_DIR"
)

func TestMain(m *testing.M) {
	switch role := os.Getenv(childRole); role {
	case "":
		os.Exit(m.Run())
	case "lock":
		_, err := Open(os.Getenv(childDir), Config{})
		if errors.Is(err, ErrLocked) {
			fmt.Println("locked")
			return
		}
		fmt.Println("open:", err)
	case "fill":
		if err := fillChild(os.Getenv(childDir)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	case "write":
		if err := writeChild(os.Getenv(childDir)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

func childCommand(role, dir string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childRole+"="+role, childDir+"="+dir)
	return cmd
}

// child runs a child to its end and gives its output.
func child(t testing.TB, role, dir string) string {
	t.Helper()
	out, err := childCommand(role, dir).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

// writeChild writes and removes for ever and tells of each step in a line: "set K" when the commit was
// confirmed, "delete K" before a removal, "deleted K" when it was confirmed.
func writeChild(dir string) error {
	db, err := Open(dir, Config{MemTableSize: 128 << 10}) // many flushes and compactions
	if err != nil {
		return err
	}
	run := fmt.Sprint(os.Getpid())
	errs := make(chan error)
	for w := range 8 {
		go func() {
			value := strings.Repeat("x", 300)
			for i := 0; ; i++ {
				k := fmt.Sprintf("%s-%d-%d", run, w, i)
				b := db.NewBatch()
				b.Set(key(k), []byte(value))
				if err := db.Commit(context.Background(), b); err != nil {
					errs <- err
					return
				}
				fmt.Println("set", k)
				if i%2 == 1 {
					continue
				}
				fmt.Println("delete", k)
				b = db.NewBatch()
				b.DeleteOnce(key(k))
				if err := db.Commit(context.Background(), b); err != nil {
					errs <- err
					return
				}
				fmt.Println("deleted", k)
			}
		}()
	}
	return <-errs
}

// After kill -9 at any moment, what was confirmed is there, and what was confirmed as removed is not.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	state := map[string]string{} // key -> last word about it
	for round := range 6 {
		cmd := childCommand("write", dir)
		out, err := cmd.StdoutPipe()
		must(t, err)
		var stderr strings.Builder
		cmd.Stderr = &stderr
		must(t, cmd.Start())
		lines := bufio.NewScanner(out)
		killAt := 1 + rand.IntN(2000)
		var once sync.Once
		for n := 1; lines.Scan(); n++ {
			word, k, ok := strings.Cut(lines.Text(), " ")
			if !ok {
				t.Fatalf("the child said %q", lines.Text())
			}
			state[k] = word
			if n == killAt {
				once.Do(func() { must(t, cmd.Process.Kill()) })
			}
		}
		if err := lines.Err(); err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err == nil || stderr.Len() > 0 {
			t.Fatalf("the child ended by itself: %v %s", err, stderr.String())
		}
		db := open(t, dir, Config{})
		for k, word := range state {
			there := get(t, db, k) != "<none>"
			if word == "set" && !there {
				t.Fatalf("round %d: %s was confirmed and is lost", round, k)
			}
			if word == "deleted" && there {
				t.Fatalf("round %d: %s was removed and is back", round, k)
			}
		}
		must(t, db.Close())
	}
	if len(state) == 0 {
		t.Error("the children wrote nothing")
	}
}
