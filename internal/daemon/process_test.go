package daemon

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// deadline bounds the waits of tests for what is sure to come.
const deadline = 2 * time.Minute

var binary string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "jasmind-test-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir) //nolint:errcheck // a folder of the system's for such things
		binary = filepath.Join(dir, "jasmind")
		if out, err := exec.Command("go", "build", "-o", binary, "jasmind/cmd/jasmind").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// process is a running jasmind.
type process struct {
	cmd    *exec.Cmd
	lines  chan string // of standard output; closed at its end
	stderr text
	ended  chan struct{}
}

// text is what a process has written so far.
type text struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (t *text) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.Write(p)
}

func (t *text) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.String()
}

// command makes one whose folders are under root, with an environment of env alone.
func command(root string, env []string, args ...string) *process {
	p := &process{cmd: exec.Command(binary, args...), lines: make(chan string, 1000), ended: make(chan struct{})}
	p.cmd.Dir = root
	p.cmd.Env = append([]string{"ROOT_PATH=" + root, "HTTP_API_PORT=0", "HTTP_API_BIND=127.0.0.1", "SMPP_SERVER_PORT=0", "JCLI_PORT=0", "SMPP_SERVER_BIND=127.0.0.1",
		"GATEWAY_SHUTDOWN_TIMEOUT=60"}, env...)
	p.cmd.Stderr = &p.stderr
	return p
}

func (p *process) start(t *testing.T) *process {
	t.Helper()
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		for s := bufio.NewScanner(out); s.Scan(); {
			p.lines <- s.Text()
		}
		close(p.lines)
		p.cmd.Wait() //nolint:errcheck // the exit code tells
	}()
	t.Cleanup(func() { p.cmd.Process.Kill(); <-p.ended }) //nolint:errcheck // it may have ended
	return p
}

// says waits for a line of standard output.
func (p *process) says(t *testing.T, want string) {
	t.Helper()
	timeout := time.After(deadline)
	for {
		select {
		case line, ok := <-p.lines:
			if !ok {
				<-p.ended
				t.Fatalf("it ended without %q: %s", want, p.stderr.String())
			}
			if strings.Contains(line, want) {
				return
			}
		case <-timeout:
			t.Fatalf("%q did not come", want)
		}
	}
}

// complains waits for standard error to have all of the words.
func (p *process) complains(t *testing.T, words ...string) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(deadline)
	lacks := func(w string) bool { return !strings.Contains(p.stderr.String(), w) }
	for slices.ContainsFunc(words, lacks) {
		select {
		case <-tick.C:
		case <-p.ended:
			t.Fatalf("it ended: %s", p.stderr.String())
		case <-timeout:
			t.Fatalf("stderr %q lacks some of %q", p.stderr.String(), words)
		}
	}
}

func (p *process) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// exits waits for the end.
func (p *process) exits(t *testing.T, want int) {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(deadline):
		t.Fatal("it does not end")
	}
	if got := p.cmd.ProcessState.ExitCode(); got != want {
		t.Errorf("exit %d, want %d: %s", got, want, p.stderr.String())
	}
}

// ready waits for the ready file and gives the address of the HTTP API. The line that says the API
// is started comes before the file is written, so the file is looked for until it is there.
func (p *process) ready(t *testing.T, path string) string {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(deadline)
	for {
		b, err := os.ReadFile(path)
		if err == nil {
			var addresses map[string]string
			if err := json.Unmarshal(b, &addresses); err != nil {
				t.Fatalf("ready file %q: %v", b, err)
			}
			return addresses["http-api"]
		}
		select {
		case <-tick.C:
		case <-p.ended:
			t.Fatalf("it ended: %s", p.stderr.String())
		case <-timeout:
			t.Fatalf("no ready file: %v", err)
		}
	}
}

func ping(t *testing.T, addr string) {
	t.Helper()
	resp, err := http.Get("http://" + addr + "/ping")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != 200 || string(b) != "Jasmin/PONG" {
		t.Errorf("/ping: %d %q %v", resp.StatusCode, b, err)
	}
}

func TestRunsUntilTERMOrINT(t *testing.T) {
	for _, s := range []os.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(s.String(), func(t *testing.T) {
			root := t.TempDir()
			path := filepath.Join(root, "ready.json")
			if err := os.WriteFile(path, []byte("from before"), 0o600); err != nil {
				t.Fatal(err)
			}
			p := command(root, nil, "--ready-file", path, "-u", "jcliadmin", "-p", "jclipwd", "--enable-dlr-thrower").start(t)
			p.says(t, "INFO 1 HTTPApi Started.")
			ping(t, p.ready(t, path))
			p.signal(t, s)
			p.exits(t, ExitOK)
			if out := p.stderr.String(); out != "" {
				t.Errorf("stderr: %s", out)
			}
			if _, err := os.Stat(path); err == nil {
				t.Error("the ready file is still there")
			}
		})
	}
}

func TestWithoutTheHTTPAPI(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "ready.json")
	p := command(root, nil, "--ready-file", path, "--disable-http-api").start(t)
	if addr := p.ready(t, path); addr != "" {
		t.Errorf("the HTTP API is at %s", addr)
	}
	p.signal(t, syscall.SIGTERM)
	p.exits(t, ExitOK)
}

// A TERM at any moment of the start ends it with 0.
func TestTERMDuringTheStart(t *testing.T) {
	p := command(t.TempDir(), nil).start(t)
	p.says(t, "Starting Jasmin Daemon")
	p.signal(t, syscall.SIGTERM)
	p.exits(t, ExitOK)
}

func TestTERMWhileServicesAreAway(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String()) //nolint:errcheck // an address of net's own
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	p := command(t.TempDir(), []string{"REDIS_CLIENT_HOST=127.0.0.1", "REDIS_CLIENT_PORT=" + port}).start(t)
	p.says(t, "Mode is services")
	p.signal(t, syscall.SIGTERM)
	p.exits(t, ExitOK)
}

func TestSecondProcessOnTheSameDataIsRefused(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "ready.json")
	first := command(root, nil, "--ready-file", path).start(t)
	addr := first.ready(t, path)
	second := command(root, nil, "--ready-file", path).start(t)
	second.exits(t, ExitRuntime)
	if out := second.stderr.String(); !strings.HasPrefix(out, "jasmind: ") || !strings.Contains(out, "in use by another process") || !strings.Contains(out, root) {
		t.Errorf("stderr: %s", out)
	}
	if again := first.ready(t, path); again != addr {
		t.Errorf("the first one's ready file says %q, before %q", again, addr)
	}
	ping(t, addr)
	first.signal(t, syscall.SIGTERM)
	first.exits(t, ExitOK)
}

func TestPortThatIsTakenIsNamed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // a test's own
	_, port, _ := net.SplitHostPort(l.Addr().String())
	p := command(t.TempDir(), []string{"HTTP_API_PORT=" + port}).start(t)
	p.exits(t, ExitRuntime)
	if out := p.stderr.String(); !strings.Contains(out, ":"+port) {
		t.Errorf("stderr: %s", out)
	}
}

func TestConfigurationOfTheEnvironmentIsNamed(t *testing.T) {
	p := command(t.TempDir(), []string{"HTTP_API_PORT=many", "DLR_THROWER_MAX_RETRIES=-1"}).start(t)
	p.exits(t, ExitUsage)
	for _, want := range []string{"HTTP_API_PORT", `"many"`, "DLR_THROWER_MAX_RETRIES", `"-1"`} {
		if !strings.Contains(p.stderr.String(), want) {
			t.Errorf("stderr %q, want %q in it", p.stderr.String(), want)
		}
	}
}

func TestProvisioningFileWithFaultsIsRefused(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "provision.yaml")
	if err := os.WriteFile(path, []byte("grups: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := command(root, nil, "--provision", path).start(t)
	p.exits(t, ExitUsage)
	if out := p.stderr.String(); !strings.Contains(out, path) || !strings.Contains(out, "grups") {
		t.Errorf("stderr: %s", out)
	}
}

// HUP reads the provisioning file again; a faulty one is told and changes nothing.
func TestHUPReadsTheProvisioningFileAgain(t *testing.T) {
	root := t.TempDir()
	path, ready := filepath.Join(root, "provision.yaml"), filepath.Join(root, "ready.json")
	write := func(s string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("{}\n")
	p := command(root, nil, "--provision", path, "--ready-file", ready).start(t)
	addr := p.ready(t, ready)
	write("grups: []\n")
	p.signal(t, syscall.SIGHUP)
	p.complains(t, "jasmind: reload:", "grups")
	ping(t, addr)
	p.signal(t, syscall.SIGTERM)
	p.exits(t, ExitOK)
}
