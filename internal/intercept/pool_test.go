package intercept

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

// tagPID leaves the worker's process id as a tag.
const tagPID = "import os\nroutable.flushTags()\nroutable.addTag(os.getpid())\n"

func TestAnExceptionHurtsOnlyItsMessage(t *testing.T) {
	p, log := newPool(t, Config{Workers: 1})
	tests := []struct {
		name, source, want string
		line               int
	}{
		{"raise", "x = 1\nraise ValueError('no good')", "ValueError: no good", 2},
		{"in a function", "def f():\n    return {}['k']\n\nf()", "KeyError: 'k'", 2},
		{"undefined name", "somevar = sssss", "NameError", 1},
		{"syntax error", "x = 1\nif x\n  pass", "SyntaxError", 2},
		{"exit", "import sys\nsys.exit(3)", "SystemExit: 3", 2},
		{"a parameter of the wrong type", "routable.pdu.params['source_addr_ton'] = 'INTERNATIONAL'", "source_addr_ton cannot be 'INTERNATIONAL'", 0},
		{"a parameter of the wrong enumeration", "from smpp.pdu.pdu_types import AddrNpi\nroutable.pdu.params['source_addr_ton'] = AddrNpi.ISDN", "source_addr_ton cannot be", 0},
		{"an address that is too long", "routable.pdu.params['source_addr'] = '1' * 21", "source_addr: 21 octets", 0},
		{"a number out of range", "routable.pdu.params['protocol_id'] = 256", "protocol_id: invalid value 256", 0},
		{"content without end", "routable.pdu.params['short_message'] = b'x' * 65537", "short_message: value is longer", 0},
		{"a lock of nothing", "routable.lockPduParam('nothing')", "InvalidLockError: Invalid locking param: nothing", 1},
		{"a tag that is no tag", "routable.addTag(1.5)", "InvalidTagError", 1},
		{"a tag that is not there", "routable.removeTag('x')", "TagNotFoundError", 1},
		{"tags without end", "for i in range(1025): routable.addTag(i)", "tags: 1026 are more than 1024", 0},
		{"a routable that is none", "routable = None", "routable was replaced by None", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := python(t, tt.source)
			err := wantFailure(t, p, s, mt())
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %q, want %q in it", err, tt.want)
			}
			if tt.line > 0 {
				log.wants(t, "level=ERROR", "script failed", "/scripts/test.py", "line="+strconv.Itoa(tt.line), strings.Split(tt.want, ":")[0])
			}
		})
	}
	run(t, p, python(t, tagPID), mt())
	if n := p.Stats.Started.Load(); n != 1 {
		t.Errorf("%d workers were started, want 1: none of the faults is a reason to end one", n)
	}
	if n := p.Stats.Failed.Load(); n != int64(len(tests)) {
		t.Errorf("%d failures were counted, want %d", n, len(tests))
	}
}

func TestAnEndlessLoopIsStoppedAndItsPlaceNamed(t *testing.T) {
	p, log := newPool(t, Config{Workers: 1, Timeout: 3 * time.Second})
	p.grace = patience
	err := wantFailure(t, p, python(t, "x = 1\nwhile True:\n    x += 1\n"), mt())
	if !errors.Is(err, errTimeout) || p.Stats.TimedOut.Load() != 1 {
		t.Errorf("got %v, want %v", err, errTimeout)
	}
	runAtLast(t, p, python(t, tagPID), mt())
	p.Close()
	log.wants(t, "script printed", `\"/scripts/test.py\", line `, "in <module>")
}

// A loop inside the interpreter's own code takes no signal handler of Python's: the process is killed.
func TestALoopThatHoldsTheInterpreterIsStopped(t *testing.T) {
	p, _ := newPool(t, Config{Workers: 1, Timeout: 3 * time.Second})
	s := python(t, "import signal\nsignal.signal(signal.SIGABRT, signal.SIG_IGN)\nre.match('(a+)+$', 'a' * 60 + 'b')\n")
	if err := wantFailure(t, p, s, mt()); !errors.Is(err, errTimeout) {
		t.Errorf("got %v, want %v", err, errTimeout)
	}
	runAtLast(t, p, python(t, tagPID), mt())
}

func TestAMemoryHogEndsItsWorkerOnly(t *testing.T) {
	p, log := newPool(t, Config{Workers: 1, Memory: 256 << 20})
	before := run(t, p, python(t, tagPID), mt()).Message.Tags[0]
	err := wantFailure(t, p, python(t, "x = []\nwhile True:\n    x.append(bytearray(8 << 20))\n"), mt())
	after := run(t, p, python(t, tagPID), mt()).Message.Tags[0]
	if before == after {
		t.Errorf("process %s still runs", before)
	}
	var e *ScriptError
	if !errors.As(err, &e) || e.Type != "MemoryError" || e.Line != 3 {
		t.Errorf("got %v, want a MemoryError on line 3", err)
	}
	log.wants(t, "script failed", "MemoryError", "line=3")
}

func TestAKilledWorkerHurtsOnlyItsMessage(t *testing.T) {
	p, log := newPool(t, Config{Workers: 2})
	at := newMeeting(t)
	type outcome struct {
		v   *Verdict
		err error
	}
	outcomes := make(chan outcome, 2)
	s := python(t, meet)
	for range 2 {
		go func() {
			v, err := p.Run(context.Background(), s, at.message())
			outcomes <- outcome{v, err}
		}()
	}
	first, second := at.arrived(), at.arrived()
	line, err := bufio.NewReader(first).ReadString('\n')
	pid, _ := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || pid < 2 {
		t.Fatalf("the script said %q, %v", line, err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	hurt := <-outcomes
	var e *sms.Error
	if !asError(hurt.err, &e) || !errors.Is(hurt.err, errWorkerDied) || *e.Override != (sms.StatusPair{HTTP: 400, SMPP: 8}) {
		t.Errorf("got %+v, %v, want the failure of the message whose worker was killed", hurt.v, hurt.err)
	}
	second.Close()
	if well := <-outcomes; well.err != nil {
		t.Errorf("the other message: %v", well.err)
	}
	run(t, p, python(t, tagPID), mt())
	log.wants(t, "script failed", "/scripts/test.py", "the worker process ended")
	if n := p.Stats.Crashed.Load(); n != 1 {
		t.Errorf("%d crashes were counted, want 1", n)
	}
}

func TestAnIdleWorkerThatDiedIsReplaced(t *testing.T) {
	p, _ := newPool(t, Config{Workers: 1})
	pid, _ := strconv.Atoi(run(t, p, python(t, tagPID), mt()).Message.Tags[0])
	p.mu.Lock()
	w := p.idle[0]
	p.mu.Unlock()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-w.dead
	run(t, p, python(t, tagPID), mt())
}

func TestSixtyFourConcurrentCalls(t *testing.T) {
	p, _ := newPool(t, Config{Workers: 4})
	s := python(t, "routable.pdu.params['source_addr'] = b'X' + routable.pdu.params['destination_addr']\n")
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			for n := range 4 {
				m := mt()
				m.PDU.Dest.Addr = fmt.Sprintf("%d-%d", i, n)
				v, err := p.Run(context.Background(), s, m)
				if err != nil || v.Message.PDU.Source.Addr != "X"+m.PDU.Dest.Addr {
					t.Errorf("message %s: got %+v, %v", m.PDU.Dest.Addr, v, err)
				}
			}
		})
	}
	wg.Wait()
	if n := p.Stats.Started.Load(); n < 1 || n > 4 {
		t.Errorf("%d workers were started, want up to 4", n)
	}
	if n := p.Stats.Runs.Load(); n != 256 {
		t.Errorf("%d runs were counted, want 256", n)
	}
}

func TestTheQueueIsBounded(t *testing.T) {
	p, _ := newPool(t, Config{Workers: 1, Queue: 2})
	at := newMeeting(t)
	s := python(t, meet)
	errs := make(chan error, 3)
	call := func() {
		_, err := p.Run(context.Background(), s, at.message())
		errs <- err
	}
	go call()
	c := at.arrived()
	go call()
	go call()
	until(t, "two messages wait", func() bool { p.mu.Lock(); defer p.mu.Unlock(); return len(p.waiters) == 2 })

	reason, pair, err := refusal(t, p, s, at.message())
	if want := (sms.StatusPair{HTTP: 503, SMPP: pdu.StatusSysErr}); reason != sms.ReasonInterceptor || pair != want || !errors.Is(err, errBusy) {
		t.Errorf("got %v %+v %v, want %+v for a full queue", reason, pair, err, want)
	}
	if n := p.Stats.Busy.Load(); n != 1 {
		t.Errorf("%d messages were counted as busy, want 1", n)
	}
	c.Close()
	for range 2 {
		at.arrived().Close()
	}
	for range 3 {
		if err := <-errs; err != nil {
			t.Errorf("a message within the bounds: %v", err)
		}
	}
}

func TestAWaitingMessageCanLeave(t *testing.T) {
	p, _ := newPool(t, Config{Workers: 1})
	at := newMeeting(t)
	s := python(t, meet)
	first := make(chan error, 1)
	go func() {
		_, err := p.Run(context.Background(), s, at.message())
		first <- err
	}()
	c := at.arrived()
	ctx, cancel := context.WithCancel(context.Background())
	second := make(chan error, 1)
	go func() {
		_, err := p.Run(ctx, s, at.message())
		second <- err
	}()
	until(t, "a message waits", func() bool { p.mu.Lock(); defer p.mu.Unlock(); return len(p.waiters) == 1 })
	cancel()
	if err := <-second; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	if p.mu.Lock(); len(p.waiters) != 0 {
		t.Errorf("%d messages still wait", len(p.waiters))
	}
	p.mu.Unlock()
	c.Close()
	if err := <-first; err != nil {
		t.Errorf("the first message: %v", err)
	}
}

// A script whose sender went away runs to its end, and its worker is used again.
func TestASenderWhoLeavesDoesNotStopHisScript(t *testing.T) {
	p, _ := newPool(t, Config{Workers: 1})
	at := newMeeting(t)
	ctx, cancel := context.WithCancel(context.Background())
	left := make(chan error, 1)
	go func() {
		_, err := p.Run(ctx, python(t, meet), at.message())
		left <- err
	}()
	c := at.arrived()
	cancel()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	pid, _ := bufio.NewReader(c).ReadString('\n')
	c.Close()
	if v := run(t, p, python(t, tagPID), mt()); v.Message.Tags[0] != strings.TrimSpace(pid) {
		t.Errorf("process %s came after %q, want the same one", v.Message.Tags[0], pid)
	}
}

func TestCloseEndsWhatRunsAndWaits(t *testing.T) {
	p, _ := newPool(t, Config{Workers: 1, Queue: 1})
	at := newMeeting(t)
	errs := make(chan error, 2)
	call := func() {
		_, err := p.Run(context.Background(), python(t, meet), at.message())
		errs <- err
	}
	go call()
	c := at.arrived()
	line, _ := bufio.NewReader(c).ReadString('\n')
	pid, _ := strconv.Atoi(strings.TrimSpace(line))
	go call()
	until(t, "a message waits", func() bool { p.mu.Lock(); defer p.mu.Unlock(); return len(p.waiters) == 1 })
	p.Close()
	for range 2 {
		var e *sms.Error
		if err := <-errs; !asError(err, &e) || !errors.Is(err, errClosed) || e.Override.HTTP != 503 {
			t.Errorf("got %v, want %v", err, errClosed)
		}
	}
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the worker process is still there: %v", err)
	}
	if _, _, err := refusal(t, p, python(t, ""), mt()); !errors.Is(err, errClosed) {
		t.Errorf("got %v, want %v", err, errClosed)
	}
	p.Close() // again, harmless
}

// What a worker leaves running in its process group ends with it.
func TestChildrenOfAScriptEndWithItsWorker(t *testing.T) {
	p, _ := newPool(t, Config{Workers: 1})
	v := run(t, p, python(t, "import subprocess\nroutable.flushTags()\nroutable.addTag(subprocess.Popen(['sleep', '600']).pid)"), mt())
	pid, _ := strconv.Atoi(v.Message.Tags[0])
	if err := syscall.Kill(pid, 0); err != nil {
		t.Fatalf("the child %d is not there: %v", pid, err)
	}
	p.Close()
	until(t, "the child is gone", func() bool {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err != nil || strings.Contains(string(b), ") Z ")
	})
}

func TestWithoutPythonOnlyPythonFails(t *testing.T) {
	p, _ := newPool(t, Config{Python: filepath.Join(t.TempDir(), "python3")})
	s := python(t, "pass")
	err := p.Check(context.Background(), s)
	if err == nil || !strings.Contains(err.Error(), "no Python interpreter") || !strings.Contains(err.Error(), "/scripts/test.py") {
		t.Errorf("got %v, want an error that names script and interpreter", err)
	}
	reason, pair, _ := refusal(t, p, s, mt())
	if want := (sms.StatusPair{HTTP: 503, SMPP: 8}); reason != sms.ReasonInterceptor || pair != want {
		t.Errorf("got %v %+v, want %+v", reason, pair, want)
	}
	r := exprRule(t, `tag("x")`)
	if err := p.Check(context.Background(), r); err != nil {
		t.Error(err)
	}
	run(t, p, r, mt())
}

func TestAnInterpreterThatDoesNotStart(t *testing.T) {
	fake := filepath.Join(t.TempDir(), "python3")
	if err := os.WriteFile(fake, []byte("#!/bin/sh\necho not today\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	p, log := newPool(t, Config{Python: fake})
	if err := p.Check(context.Background(), python(t, "pass")); !errors.Is(err, errWorkerDied) {
		t.Errorf("got %v, want %v", err, errWorkerDied)
	}
	p.Close()
	log.wants(t, "script printed", "not today")
}

func TestCheckTellsWhereAScriptIsWrong(t *testing.T) {
	p, _ := newPool(t, Config{Workers: 1})
	err := p.Check(context.Background(), python(t, "x = 1\ny = (\n"))
	if err == nil || !strings.Contains(err.Error(), "python3(/scripts/test.py): line 2: SyntaxError") {
		t.Errorf("got %v, want the syntax error on line 2", err)
	}
	if err := p.Check(context.Background(), python(t, "x = 1; ; y = 2;; z = 'a;;b'")); err != nil {
		t.Errorf("doubled semicolons: %v", err)
	}
}

func TestAWorkerForgetsScriptsButRunsThemAll(t *testing.T) {
	p, _ := newPool(t, Config{Workers: 1})
	for i := range maxScripts + 10 {
		v := run(t, p, python(t, fmt.Sprintf("routable.flushTags(); routable.addTag(%d)", i)), mt())
		if v.Message.Tags[0] != strconv.Itoa(i) {
			t.Fatalf("script %d left the tag %q", i, v.Message.Tags[0])
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.idle[0].sent); n > maxScripts {
		t.Errorf("a worker keeps %d scripts, want at most %d", n, maxScripts)
	}
}

func TestValidate(t *testing.T) {
	if err := (Config{}).Validate(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	err := Config{Workers: -1, Queue: -1, Timeout: 2 * time.Hour, Memory: 1}.Validate()
	for _, want := range []string{"workers: invalid value -1", "queue: invalid value -1", "timeout: invalid value 2h0m0s", "memory: invalid value 1"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
}

func TestWorkersSeeNoSecretsOfOurs(t *testing.T) {
	modules := t.TempDir()
	if err := os.WriteFile(filepath.Join(modules, "ours.py"), []byte("value = 7\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	elsewhere := t.TempDir()
	if err := os.WriteFile(filepath.Join(elsewhere, "theirs.py"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("REDIS_CLIENT_PASSWORD", "secret")
	t.Setenv("LC_ALL", "C.UTF-8")
	t.Setenv("SHOP_URL", "http://shop")
	t.Setenv("PYTHONPATH", elsewhere)
	t.Setenv("PYTHONSTARTUP", "x")
	p, _ := newPool(t, Config{Workers: 1, Path: []string{modules}, Environment: []string{"SHOP_URL"}})
	check(t, p, mt(), `
import os, sys, ours
assert ours.value == 7
assert os.environ['SHOP_URL'] == 'http://shop' and os.environ['LC_ALL'] == 'C.UTF-8' and os.environ['PATH']
for name in os.environ:
    assert 'PASSWORD' not in name and not name.startswith('PYTHON'), name
assert sys.flags.isolated == 1 and '' not in sys.path
try:
    import theirs
except ImportError:
    pass
else:
    raise AssertionError('PYTHONPATH had an effect')
`)
}
