package pebble_test

import (
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"jasmind/internal/localdb"
	"jasmind/internal/queue/pebble"
)

// A driver is closed at once though the disk is full and what its lines write waits for room.
func TestCloseDoesNotWaitForAFullDisk(t *testing.T) {
	const here = "JASMIND_TEST_FULL_DISK"
	if os.Getenv(here) == "" { // a failed database leaves goroutines behind, so a process of its own has it
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestCloseDoesNotWaitForAFullDisk$", "-test.timeout=30s")
		cmd.Env = append(os.Environ(), here+"=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	defer func() {
		if !t.Failed() {
			os.Exit(0)
		}
	}()
	var full atomic.Bool
	met := make(chan struct{}, 1)
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if !full.Load() || op.Kind != errorfs.OpFileWrite || !strings.HasSuffix(op.Path, ".log") {
			return nil
		}
		select {
		case met <- struct{}{}:
		default:
		}
		return syscall.ENOSPC
	}))
	db, err := localdb.Open("db", localdb.Config{FS: fs, Patience: time.Hour})
	must(t, err)
	d, err := pebble.New(db, pebble.Config{})
	must(t, err)
	must(t, d.Declare(t.Context(), qTest))
	must(t, d.Publish(t.Context(), publication("m", 0)))
	full.Store(true)
	_, err = d.Consume(t.Context(), qTest, 1)
	must(t, err)
	<-met // the mark of the first delivery
	must(t, d.Close())
	if db.Err() == nil {
		t.Error("the database still waits for room")
	}
}
