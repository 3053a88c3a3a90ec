package testenv

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// processSpec is how a kind of service runs as a child process.
type processSpec struct {
	files map[string]string // content by name, in the service's folder
	command
	helper *command // runs beside it, from before its first start to its removal
}

type command struct {
	argv []string
	env  []string // besides ours
}

// Names within the folder of a child process service.
const (
	folderPrefix = "jasmind-testenv-"
	ownerFile    = "owner"
	groupsFile   = "groups" // process groups to kill, one a line
	logFile      = "log"
)

// process is an instance run by this process, with its data in a folder of its own. It has
// no goroutine: tests count theirs.
type process struct {
	spec    processSpec
	dir     string
	pid     int // of the service and of its process group; 0 when it does not run
	helper  int
	watch   *watchdog
	removed bool
}

func newProcess(ctx context.Context, k *kind, ports []int) (instance, error) {
	dir, err := os.MkdirTemp("", folderPrefix+k.name+"-")
	if err != nil {
		return nil, err
	}
	p := &process{dir: dir}
	if err := p.setUp(ctx, k, ports); err != nil {
		tidy, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyTimeout)
		defer cancel()
		return nil, errors.Join(err, p.remove(tidy))
	}
	return p, nil
}

func (p *process) setUp(ctx context.Context, k *kind, ports []int) error {
	var err error
	if p.spec, err = k.process(p.dir, ports); err != nil {
		return err
	}
	files := map[string]string{ownerFile: thisOwner().String(), groupsFile: ""}
	for name, content := range p.spec.files {
		files[name] = content
	}
	for name, content := range files {
		path := filepath.Join(p.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return err
		}
	}
	p.watch = watchFolder(p.dir)
	if p.spec.helper != nil {
		if p.helper, err = p.spawn(*p.spec.helper); err != nil {
			return err
		}
	}
	return p.start(ctx)
}

// spawn starts c as the leader of a process group and notes the group for the watchdog.
func (p *process) spawn(c command) (int, error) {
	out, err := os.OpenFile(filepath.Join(p.dir, logFile), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return 0, err
	}
	defer out.Close()
	cmd := exec.Command(c.argv[0], c.argv[1:]...)
	cmd.Dir = p.dir
	cmd.Env = append(os.Environ(), c.env...)
	cmd.Stdout, cmd.Stderr = out, out
	// A group of its own: an interrupt typed at the terminal is not for the service.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	pid := cmd.Process.Pid
	_ = cmd.Process.Release() // reap waits for it by number
	groups, err := os.OpenFile(filepath.Join(p.dir, groupsFile), os.O_WRONLY|os.O_APPEND, 0o644)
	if err == nil {
		_, err = fmt.Fprintln(groups, pid)
		err = errors.Join(err, groups.Close())
	}
	if err != nil {
		_ = syscall.Kill(-pid, syscall.SIGKILL)
		return 0, err
	}
	return pid, nil
}

// reap reports whether the child has ended, without waiting.
func reap(pid int) bool {
	for {
		got, err := syscall.Wait4(pid, nil, syscall.WNOHANG, nil)
		if !errors.Is(err, syscall.EINTR) {
			return got == pid || err != nil
		}
	}
}

// await waits for the child to end.
func await(ctx context.Context, pid int) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !reap(pid) {
		select {
		case <-ctx.Done():
			return fmt.Errorf("process %d does not end: %w", pid, context.Cause(ctx))
		case <-tick.C:
		}
	}
	return nil
}

// destroy kills the child and its whole group and waits for it.
func destroy(ctx context.Context, pid int) error {
	if err := syscall.Kill(-pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("kill process group %d: %w", pid, err)
	}
	return await(ctx, pid)
}

func (p *process) exec(ctx context.Context, argv ...string) error {
	program, err := exec.LookPath(argv[0])
	if err != nil {
		return err
	}
	c := exec.CommandContext(ctx, program, argv[1:]...)
	c.Env = append(os.Environ(), p.spec.env...)
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", argv[0], err, lastLines(string(out), 4096))
	}
	return nil
}

func (p *process) host() string { return "127.0.0.1" }

func (p *process) start(context.Context) error {
	if p.pid != 0 && !reap(p.pid) {
		return fmt.Errorf("process %d runs already", p.pid)
	}
	var err error
	p.pid, err = p.spawn(p.spec.command)
	return err
}

func (p *process) stop(ctx context.Context) error {
	if p.pid == 0 {
		return nil
	}
	if err := syscall.Kill(p.pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("terminate process %d: %w", p.pid, err)
	}
	polite, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	if await(polite, p.pid) == nil {
		// Its own children may outlive it.
		_ = syscall.Kill(-p.pid, syscall.SIGKILL)
		p.pid = 0
		return nil
	}
	return p.kill(ctx)
}

func (p *process) kill(ctx context.Context) error {
	if p.pid == 0 {
		return errNotRunning
	}
	if err := destroy(ctx, p.pid); err != nil {
		return err
	}
	p.pid = 0
	return nil
}

var errNotRunning = errors.New("it is not running")

func (p *process) signal(sig syscall.Signal) error {
	if p.pid == 0 {
		return errNotRunning
	}
	return syscall.Kill(-p.pid, sig)
}

func (p *process) pause(context.Context) error { return p.signal(syscall.SIGSTOP) }

func (p *process) unpause(context.Context) error { return p.signal(syscall.SIGCONT) }

func (p *process) remove(ctx context.Context) error {
	if p.removed {
		return nil
	}
	var errs []error
	for _, pid := range []*int{&p.pid, &p.helper} {
		if *pid != 0 {
			errs = append(errs, destroy(ctx, *pid))
			*pid = 0
		}
	}
	errs = append(errs, os.RemoveAll(p.dir))
	if err := errors.Join(errs...); err != nil {
		return err
	}
	p.removed = true
	p.watch.dismiss()
	return nil
}

func (p *process) exited(context.Context) bool {
	if p.pid != 0 && reap(p.pid) {
		p.pid = 0
	}
	return p.pid == 0
}

func (p *process) log(context.Context) string {
	text, err := os.ReadFile(filepath.Join(p.dir, logFile))
	if err != nil {
		return err.Error()
	}
	return lastLines(string(text), 4096)
}

// sweepFolders removes the folders that owners that are gone have left, and ends the
// processes that still work in them.
func sweepFolders() ([]string, error) {
	folders, err := filepath.Glob(filepath.Join(os.TempDir(), folderPrefix+"*"))
	if err != nil {
		return nil, err
	}
	var swept []string
	var errs []error
	for _, dir := range folders {
		text, err := os.ReadFile(filepath.Join(dir, ownerFile))
		if err != nil {
			continue // not complete yet, or somebody else's
		}
		owner, err := parseOwner(strings.TrimSpace(string(text)))
		if err != nil || !owner.gone() {
			continue
		}
		for _, pid := range processesIn(dir) {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				errs = append(errs, fmt.Errorf("kill process %d: %w", pid, err))
			}
		}
		if err := os.RemoveAll(dir); err != nil {
			errs = append(errs, err)
			continue
		}
		swept = append(swept, "folder "+dir)
	}
	return swept, errors.Join(errs...)
}

// processesIn lists the processes whose working folder is in dir. The numbers in the
// groups file are not trusted so long after: they may be another's by now.
func processesIn(dir string) []int {
	links, _ := filepath.Glob("/proc/[0-9]*/cwd") // the pattern is correct; none without /proc
	var pids []int
	for _, link := range links {
		cwd, err := os.Readlink(link)
		if err != nil || cwd != dir && !strings.HasPrefix(cwd, dir+"/") {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(link))); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}
