package testenv

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// owner names a process so that another one can tell, later, whether it is still there.
type owner struct {
	host    string // others' processes cannot be seen, so their things are let alone
	boot    string // number of the machine's start; "-" if unknown
	pid     int
	started string // clock ticks from boot; "-" if unknown
}

var thisOwner = sync.OnceValue(func() owner {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "-"
	}
	pid := os.Getpid()
	return owner{host: host, boot: bootID(), pid: pid, started: startOf(pid)}
})

func (o owner) String() string { return fmt.Sprintf("%s %s %d %s", o.host, o.boot, o.pid, o.started) }

func parseOwner(text string) (owner, error) {
	fields := strings.Fields(text)
	if len(fields) != 4 {
		return owner{}, fmt.Errorf("owner %q: not four fields", text)
	}
	pid, err := strconv.Atoi(fields[2])
	if err != nil || pid <= 0 {
		return owner{}, fmt.Errorf("owner %q: process number %q", text, fields[2])
	}
	return owner{host: fields[0], boot: fields[1], pid: pid, started: fields[3]}, nil
}

// gone reports whether the process is known to have ended.
func (o owner) gone() bool {
	me := thisOwner()
	switch {
	case o.host != me.host:
		return false
	case o.boot != me.boot:
		return true
	case errors.Is(syscall.Kill(o.pid, 0), syscall.ESRCH):
		return true
	}
	now := startOf(o.pid)
	return now != "-" && now != o.started // the number belongs to another process by now
}

func bootID() string {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "-"
	}
	return strings.TrimSpace(string(text))
}

// startOf returns when the process started, from proc(5): field 22 of stat, counted
// behind the program's name, which may hold anything.
func startOf(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "-"
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 20 {
		return "-"
	}
	return fields[19]
}

// watchdog is a shell that waits for this process to end, however that happens, and then
// removes a service. It notices by the end of its standard input.
type watchdog struct {
	cmd   *exec.Cmd
	input *os.File
}

// watchContainer has the container removed when this process has ended. Without the docker
// command it cannot; the next run of the testenv command sweeps up then.
func watchContainer(id string) *watchdog {
	if _, err := exec.LookPath("docker"); err != nil {
		return nil
	}
	return watch(`exec docker rm -f -v "$1"`, id)
}

// watchFolder has the processes of the folder killed, and the folder removed.
func watchFolder(dir string) *watchdog {
	return watch(`for group in $(cat "$1/`+groupsFile+`"); do kill -s KILL -- "-$group"; done; rm -rf -- "$1"`, dir)
}

// watch runs script with the argument when this process ends. It returns nil where there is
// no shell: such a host cleans up by the sweep only.
func watch(script, argument string) *watchdog {
	input, output, err := os.Pipe()
	if err != nil {
		return nil
	}
	defer input.Close()
	cmd := exec.Command("/bin/sh", "-c",
		`trap "" INT TERM HUP; read -r word; if [ "$word" = done ]; then exit; fi; `+script, "testenv-watchdog", argument)
	cmd.Stdin = input // nothing else of ours: go test waits for those who hold its output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Dir = "/"
	if err := cmd.Start(); err != nil {
		output.Close()
		return nil
	}
	w := &watchdog{cmd: cmd, input: output}
	watching.Store(w, true)
	return w
}

// watching keeps every watchdog reachable until it is dismissed: the collector closes files
// that nobody can reach, and the watchdog would take that for the end of this process.
var watching sync.Map // of *watchdog

// dismiss ends the watch; what it watched is gone.
func (w *watchdog) dismiss() {
	if w == nil {
		return
	}
	watching.Delete(w)
	_, _ = w.input.WriteString("done\n") // its end is all that matters
	w.input.Close()
	_ = w.cmd.Wait()
}
