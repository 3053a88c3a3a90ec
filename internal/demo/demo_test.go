package demo

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

var bin string // folder with the programs

func TestMain(m *testing.M) { os.Exit(withPrograms(m.Run)) }

func withPrograms(run func() int) int {
	dir, err := os.MkdirTemp("", "jasmind-demo-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	bin = dir
	out, err := exec.Command("go", "build", "-o", dir+"/", "jasmind/cmd/jasmind", "jasmind/cmd/smsc-sim", "jasmind/internal/demo/cmd/demo").CombinedOutput()
	if err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	return run()
}

func provisioning(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("../../testdata/demo/provision.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDemoPrintsEachStepOfTheRoundTrip(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if code := Command([]string{"-bin", bin, "-provision", provisioning(t), "demo"}, &stdout, &stderr); code != 0 {
		t.Fatalf("exit code %d\n%s%s", code, &stdout, &stderr)
	}
	rest := stdout.String()
	for _, step := range []string{"smsc-sim up", "jasmind up", "sending", "accepted", "at the SMSC", `"hello"`, "DLR level", "done"} {
		_, after, ok := strings.Cut(rest, step)
		if !ok {
			t.Fatalf("%q is missing, or not in order:\n%s", step, &stdout)
		}
		rest = after
	}
	for _, dlr := range []string{`DLR level 1 +id \S+, message_status ESME_ROK`, `DLR level 2 +id \S+, message_status DELIVRD`} {
		if !regexp.MustCompile(dlr).MatchString(stdout.String()) {
			t.Errorf("no %q in\n%s", dlr, &stdout)
		}
	}
}

func TestRunPrintsACurlCommandThatWorks(t *testing.T) {
	cmd := exec.Command(filepath.Join(bin, "demo"), "-bin", bin, "-provision", provisioning(t), "-any-ports", "run")
	cmd.Dir = t.TempDir()
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	var seen strings.Builder
	lines := bufio.NewScanner(stdout)
	until := func(what string) string {
		for lines.Scan() {
			fmt.Fprintln(&seen, lines.Text())
			if strings.Contains(lines.Text(), what) {
				return lines.Text()
			}
		}
		t.Fatalf("%q did not come:\n%s", what, &seen)
		return ""
	}
	command := regexp.MustCompile(`curl '(http://[^']+)'`).FindStringSubmatch(until("curl '"))
	until("Ctrl-C stops both")
	answer, err := get(t.Context(), command[1])
	if err != nil || !regexp.MustCompile(`^Success "[0-9a-f-]{36}"$`).MatchString(answer) {
		t.Fatalf("%s answers %q, %v", command[1], answer, err)
	}
	until(`to="06222172"`)
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	until("stopping jasmind and smsc-sim")
	until("unbind_resp")
	for lines.Scan() { // to the end of both programs
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("after an interrupt: %v\n%s", err, &seen)
	}
}

func TestFaultsAreTold(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if code := Command([]string{"-bin", t.TempDir(), "-provision", provisioning(t), "demo"}, &stdout, &stderr); code != 1 || !strings.Contains(stderr.String(), "smsc-sim") {
		t.Errorf("without programs: exit code %d\n%s", code, &stderr)
	}
	if code := Command([]string{"walk"}, &stdout, &stderr); code != 2 {
		t.Errorf("an unknown command: exit code %d", code)
	}
	bad := filepath.Join(t.TempDir(), "provision.yaml")
	if err := os.WriteFile(bad, []byte("users: 1\nport: 2776\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	stderr.Reset()
	if code := Command([]string{"-bin", bin, "-provision", bad, "demo"}, &stdout, &stderr); code != 1 || !strings.Contains(stderr.String(), "must be a list") {
		t.Errorf("a wrong provisioning file: exit code %d\n%s", code, &stderr)
	}
}
