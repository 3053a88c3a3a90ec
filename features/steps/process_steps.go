package steps

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/cucumber/godog"
)

// process is jasmind as a program of its own.
type process struct {
	cmd    *exec.Cmd
	ready  string // the ready file
	stderr *text
	addr   map[string]string
	done   chan struct{} // closed when it has ended
	err    error         // of Wait; read after done
}

// exited is how a program ended.
type exited struct {
	code   int
	stderr string
}

// text is a buffer that a process writes and steps read.
type text struct {
	mu sync.Mutex
	b  []byte
}

// Write appends.
func (t *text) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	return len(p), nil
}

// String is what was written so far.
func (t *text) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.b)
}

func (g *underTest) processSteps(sc *godog.ScenarioContext, m *messages, l *load) {
	sc.Step(`^the gateway is killed$`, g.kill)
	sc.Step(`^the HTTP API keeps its port$`, func() error {
		address, err := freeAddress()
		if err != nil {
			return err
		}
		_, port, err := net.SplitHostPort(address)
		g.settings["HTTP_API_PORT"] = port
		return err
	})
	sc.Step(`^the gateway is killed (\d+) times at random moments, and started again$`, func(times int) error {
		for range times {
			// A moment is a number of messages, so that a slow machine has as many as a fast one.
			if err := l.awaitAccepted(len(l.accepted()) + 1 + rand.IntN(150)); err != nil {
				return err
			}
			if err := g.kill(); err != nil {
				return err
			}
			if err := g.start(); err != nil {
				return err
			}
		}
		return nil
	})
	sc.Step(`^the gateway gets the signal (TERM|INT|HUP)$`, func(name string) error {
		p, err := g.process()
		if err != nil {
			return err
		}
		return p.cmd.Process.Signal(map[string]os.Signal{"TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "HUP": syscall.SIGHUP}[name])
	})
	sc.Step(`^the gateway exits with code (\d+)$`, func(code int) error {
		p, err := g.process()
		if err != nil {
			return err
		}
		if err := p.await(patience); err != nil {
			return err
		}
		g.run, g.exit = nil, p.exited()
		return g.exit.check(code)
	})
	sc.Step(`^the gateway is started in vain$`, func() error {
		if err := g.plan.write(); err != nil {
			return err
		}
		env, err := g.environment()
		if err != nil {
			return err
		}
		return g.runToTheEnd(env, "--provision", g.plan.path())
	})
	sc.Step(`^the command "jasmind (.*)" is run$`, func(line string) error {
		return g.runToTheEnd(map[string]string{"ROOT_PATH": g.dir}, strings.Fields(strings.ReplaceAll(line, "<dir>", g.dir))...)
	})
	sc.Step(`^the file "([\w.]+)" has:$`, func(name string, content *godog.DocString) error {
		return os.WriteFile(filepath.Join(g.dir, name), []byte(content.Content+"\n"), 0o600)
	})
	sc.Step(`^it had exited with code (\d+)$`, func(code int) error {
		if g.exit == nil {
			return errors.New("no program was run to its end")
		}
		return g.exit.check(code)
	})
	sc.Step(`^it complains of "(.*)"$`, func(want string) error {
		want = strings.ReplaceAll(want, "<dir>", g.dir)
		if g.exit != nil {
			if !strings.Contains(g.exit.stderr, want) {
				return fmt.Errorf("standard error is\n%s", g.exit.stderr)
			}
			return nil
		}
		p, err := g.process()
		if err != nil {
			return err
		}
		if err := until(fmt.Sprintf("%q on standard error", want), func() bool { return strings.Contains(p.stderr.String(), want) }); err != nil {
			return fmt.Errorf("%w; it is\n%s", err, p.stderr)
		}
		return nil
	})
	sc.Step(`^the ready file names the HTTP API, which answers$`, func() error {
		if _, err := g.process(); err != nil {
			return err
		}
		a := m.http.get("http://" + g.run.http() + "/ping")
		if a.err != nil || a.status != 200 || a.body != "Jasmin/PONG" {
			return fmt.Errorf("the ping was answered by %s", a)
		}
		return nil
	})
	sc.Step(`^the ready file is gone$`, func() error {
		if _, err := os.Stat(g.readyFile()); !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("stat %s: %w", g.readyFile(), err)
		}
		return nil
	})
}

// kill ends the program as kill -9 does.
func (g *underTest) kill() error {
	p, err := g.process()
	if err != nil {
		return err
	}
	g.run = nil
	if err := p.cmd.Process.Kill(); err != nil {
		return err
	}
	<-p.done
	return nil
}

func (g *underTest) readyFile() string { return filepath.Join(g.dir, "ready.json") }

// process is the running program.
func (g *underTest) process() (*process, error) {
	p, ok := g.run.(*process)
	if !ok {
		return nil, errors.New("no program is running; scenarios that need one are tagged @process")
	}
	return p, nil
}

func (g *underTest) command(env map[string]string, args ...string) (*exec.Cmd, *text, error) {
	binary, err := g.suite.binary()
	if err != nil {
		return nil, nil, err
	}
	cmd := exec.Command(binary, args...)
	cmd.Dir = g.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + g.dir}
	for k, v := range env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	stderr := &text{}
	cmd.Stderr = stderr
	return cmd, stderr, nil
}

// runToTheEnd runs the program until it ends by itself.
func (g *underTest) runToTheEnd(env map[string]string, args ...string) error {
	cmd, stderr, err := g.command(env, args...)
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	p := &process{cmd: cmd, stderr: stderr, done: make(chan struct{})}
	go p.watch()
	if err := p.await(patience); err != nil {
		return err
	}
	g.exit = p.exited()
	return nil
}

// startProcess starts the program and returns when its ready file is there.
func (g *underTest) startProcess(env map[string]string, provision string) (*process, error) {
	os.Remove(g.readyFile()) //nolint:errcheck // one of a program that was killed
	args := []string{"--ready-file", g.readyFile()}
	if provision != "" {
		args = append(args, "--provision", provision)
	}
	cmd, stderr, err := g.command(env, args...)
	if err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, ready: g.readyFile(), stderr: stderr, done: make(chan struct{})}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go p.watch()
	ended := false
	err = until("the ready file", func() bool {
		select {
		case <-p.done:
			ended = true
			return true
		default:
		}
		b, err := os.ReadFile(p.ready)
		return err == nil && json.Unmarshal(b, &p.addr) == nil
	})
	if ended {
		err = fmt.Errorf("the gateway ended at its start: %w\n%s", p.err, stderr)
	}
	if err != nil {
		p.cmd.Process.Kill() //nolint:errcheck // it may have ended
		<-p.done
	}
	return p, err
}

func (p *process) watch() {
	p.err = p.cmd.Wait()
	close(p.done)
}

// await waits for its end; one that does not come is forced.
func (p *process) await(limit time.Duration) error {
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case <-p.done:
		return nil
	case <-t.C:
		p.cmd.Process.Kill() //nolint:errcheck // it may have ended
		<-p.done
		return fmt.Errorf("the program did not end within %s", limit)
	}
}

func (p *process) exited() *exited {
	return &exited{code: p.cmd.ProcessState.ExitCode(), stderr: p.stderr.String()}
}

func (e *exited) check(code int) error {
	if e.code != code {
		return fmt.Errorf("it exited with code %d; standard error:\n%s", e.code, e.stderr)
	}
	return nil
}

func (p *process) http() string { return p.address("http-api") }

func (p *process) address(service string) string { return p.addr[service] }

func (p *process) reload() error { return p.cmd.Process.Signal(syscall.SIGHUP) }

func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	if err := p.await(patience); err != nil {
		return err
	}
	return p.exited().check(0)
}
