package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// stopLimit is the time that a program gets to stop in order: more than jasmind's own
// limit, 15 s, also on a busy machine.
const stopLimit = time.Minute

// program is a child process.
type program struct {
	name string
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error         // how; read after done
}

// launch starts a program in a process group of its own, so that a Ctrl-C at the terminal
// reaches it only through stop. It is ended when this process is killed.
func launch(out io.Writer, dir string, env []string, path string, args ...string) (*program, error) {
	p := &program{name: filepath.Base(path), cmd: exec.Command(path, args...), done: make(chan struct{})}
	p.cmd.Dir = dir
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = ownGroup()
	started := make(chan error, 1)
	go func() {
		// The kernel ties the child to the thread that started it (prctl(2)).
		runtime.LockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.err = p.cmd.Wait()
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	return p, nil
}

// awaitReady waits for the ready file and returns the addresses in it, HOST:PORT by name.
func (p *program) awaitReady(ctx context.Context, file string) (map[string]string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, startLimit, fmt.Errorf("%s is not ready after %v", p.name, startLimit))
	defer cancel()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for {
		content, err := os.ReadFile(file)
		if err == nil {
			var all map[string]any
			if err := json.Unmarshal(content, &all); err != nil {
				return nil, fmt.Errorf("ready file of %s: %w", p.name, err)
			}
			addresses := make(map[string]string)
			for name, v := range all {
				if text, ok := v.(string); ok {
					addresses[name] = strings.TrimPrefix(text, "http://")
				}
			}
			return addresses, nil
		}
		if !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		select {
		case <-look.C:
		case <-p.done:
			return nil, p.ended()
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// ended tells how a program ended that was not asked to.
func (p *program) ended() error {
	if p.err == nil {
		return fmt.Errorf("%s ended", p.name)
	}
	return fmt.Errorf("%s ended: %w", p.name, p.err)
}

// stop ends a program in order. A program that has ended already is no error.
func (p *program) stop() error {
	select {
	case <-p.done:
		return nil
	default:
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended just now
	select {
	case <-p.done:
		if p.err != nil {
			return fmt.Errorf("stop %s: %w", p.name, p.err)
		}
		return nil
	case <-time.After(stopLimit):
		_ = p.cmd.Process.Kill()
		<-p.done
		return fmt.Errorf("%s did not stop within %v and was killed", p.name, stopLimit)
	}
}

// tail keeps the end of what is written to it.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

const tailSize = 8 << 10

// Write keeps p.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - tailSize; over > 0 {
		t.buf = bytes.Clone(t.buf[over:])
	}
	return len(p), nil
}

// String is the end of what was written.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf)
}
