package testenv

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func contains(text string, parts ...string) bool {
	return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(text, part) })
}

// sweepable lists the service folders whose owner is process pid.
func sweepable(pid int) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(os.TempDir(), folderPrefix+"*", ownerFile))
	if err != nil {
		return nil, err
	}
	var dirs []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // removed meanwhile by its owner
		}
		if o, err := parseOwner(string(text)); err == nil && o.pid == pid {
			dirs = append(dirs, filepath.Dir(file))
		}
	}
	return dirs, nil
}

func TestOwner(t *testing.T) {
	me := thisOwner()
	child := exec.Command("/bin/sh", "-c", "exit")
	if err := child.Run(); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		owner owner
		gone  bool
	}{
		{"this process is there", me, false},
		{"a process that has ended is gone", owner{me.host, me.boot, child.Process.Pid, "1"}, true},
		{"a number that another process has now is gone", owner{me.host, me.boot, me.pid, "1"}, true},
		{"whatever ran before the machine started is gone", owner{me.host, "earlier", me.pid, me.started}, true},
		{"another machine's process may be there", owner{"elsewhere", me.boot, child.Process.Pid, "1"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			back, err := parseOwner(tt.owner.String())
			if err != nil || back != tt.owner {
				t.Errorf("%q read back: got %+v, error %v, want %+v", tt.owner, back, err, tt.owner)
			}
			if got := back.gone(); got != tt.gone {
				t.Errorf("gone: got %v, want %v", got, tt.gone)
			}
		})
	}
	for _, text := range []string{"", "a b c", "host boot pid 1", "host boot 0 1", "host boot -5 1", "a b 1 2 3"} {
		if got, err := parseOwner(text); err == nil {
			t.Errorf("parseOwner(%q): got %+v, want an error", text, got)
		}
	}
}

// eventually repeats the check until it holds.
func eventually(t *testing.T, what string, check func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !check() {
		select {
		case <-ctx.Done():
			t.Fatalf("%s: not so after %s", what, deadline)
		case <-tick.C:
		}
	}
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

// orphan is the argument by which the test program plays a test process that is killed
// while a service of its own runs.
const orphanEnv = "TESTENV_TEST_ORPHAN"

func TestMain(m *testing.M) {
	if os.Getenv(orphanEnv) != "" {
		ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
		defer cancel()
		service, err := start(ctx, redisKind)
		if err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		fmt.Println("address:", redisAt(service).Addr())
		select {}
	}
	code := m.Run()
	if code == 0 {
		// A package that counts its goroutines can use testenv.
		if err := goleak.Find(); err != nil {
			fmt.Println(err)
			code = 1
		}
	}
	os.Exit(code)
}

func TestServiceEndsWithItsProcessThoughKilled(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	orphan := exec.Command(self)
	orphan.Env = append(os.Environ(), orphanEnv+"=1")
	out, err := orphan.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := orphan.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	addr, found := strings.CutPrefix(strings.TrimSpace(line), "address: ")
	_ = orphan.Process.Kill()
	_ = orphan.Wait()
	if err != nil || !found {
		t.Fatalf("the other process said %q, error %v", line, err)
	}
	server, err := redisFromAddr(addr)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the service of the killed process is gone", func() bool {
		return redisReady(t.Context(), server.Host, []int{server.Port}) != nil
	})
	eventually(t, "its folder is gone", func() bool {
		left, err := sweepable(orphan.Process.Pid)
		return err == nil && len(left) == 0
	})
}

func TestSweepEndsProcessesOfOwnersThatAreGone(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	folder := func(name string, o owner) (dir string, pid int) {
		dir = filepath.Join(os.TempDir(), folderPrefix+name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, ownerFile), []byte(o.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("/bin/sh", "-c", "echo; read -r never")
		cmd.Dir = dir
		if _, err := cmd.StdinPipe(); err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		})
		if _, err := bufio.NewReader(out).ReadString('\n'); err != nil { // it is in its folder
			t.Fatal(err)
		}
		return dir, cmd.Process.Pid
	}
	me := thisOwner()
	mine, mineWorker := folder("mine", me)
	theirs, theirWorker := folder("theirs", owner{me.host, "earlier", me.pid, me.started})

	swept, err := sweepFolders()
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"folder " + theirs}; !slices.Equal(swept, want) {
		t.Errorf("swept: got %q, want %q", swept, want)
	}
	if _, err := os.Stat(theirs); !os.IsNotExist(err) {
		t.Errorf("%s is still there (%v)", theirs, err)
	}
	eventually(t, "the process of the owner that is gone has ended", func() bool { return zombie(theirWorker) })
	if _, err := os.Stat(mine); err != nil || zombie(mineWorker) || !alive(mineWorker) {
		t.Errorf("what belongs to this process was touched: %v", err)
	}
}

// The shared services are used long after the last reference to how they were started.
func TestServiceOutlivesGarbageCollection(t *testing.T) {
	server := Redis(t)
	conn, err := net.Dial("tcp", server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for range 3 {
		runtime.GC()
	}
	// A watchdog that was let go kills its service and the connection ends.
	if err := conn.SetReadDeadline(time.Now().Add(500 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	var timeout net.Error
	if _, err := conn.Read(make([]byte, 1)); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("read from the idle connection: got error %v, want a timeout", err)
	}
}

// zombie reports whether our child has ended and waits to be reaped.
func zombie(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && contains(string(text), ") Z ")
}
