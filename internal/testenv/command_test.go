package testenv

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// buildCommand builds the testenv command.
func buildCommand(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "testenv")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./cmd/testenv").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return program
}

// named are addresses that make the command start nothing.
var named = []string{EnvAMQPURL + "=amqp://127.0.0.1:1/", EnvRedisAddr + "=127.0.0.1:1"}

func TestCommandPassesTheExitCodeOn(t *testing.T) {
	program := buildCommand(t)
	for _, tt := range []struct {
		name string
		args []string
		code int
	}{
		{"success", []string{"--", "sh", "-c", "exit 0"}, 0},
		{"failure", []string{"--", "sh", "-c", "exit 7"}, 7},
		{"without the dashes", []string{"sh", "-c", "exit 9"}, 9},
		{"a command that a signal ends", []string{"--", "sh", "-c", "kill -9 $$"}, 128 + 9},
		{"a command that is not there", []string{"--", "./no-such-command"}, exitFailure},
		{"no command", nil, exitUsage},
		{"no command behind the dashes", []string{"--"}, exitUsage},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), program, tt.args...)
			cmd.Env = append(os.Environ(), named...)
			out, _ := cmd.CombinedOutput()
			if got := cmd.ProcessState.ExitCode(); got != tt.code {
				t.Errorf("exit code: got %d, want %d; it said:\n%s", got, tt.code, out)
			}
		})
	}
}

func TestCommandConnectsTheStandardStreams(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), buildCommand(t), "--", "sh", "-c", "cat; echo oops >&2")
	cmd.Env = append(os.Environ(), named...)
	cmd.Stdin = strings.NewReader("in and out")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	if stdout.String() != "in and out" || !strings.HasSuffix(stderr.String(), "oops\n") {
		t.Errorf("got standard output %q and error %q", stdout.String(), stderr.String())
	}
}

func TestCommandHandsSignalsOnToAllOfItsCommand(t *testing.T) {
	program := buildCommand(t)
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			// The inner shell stands for a test program under go test.
			cmd := exec.CommandContext(t.Context(), program, "--", "sh", "-c",
				`trap 'wait; exit 5' INT TERM; sh -c 'trap "echo inner; exit" INT TERM; echo ready; while :; do sleep 0.05; done'; exit 6`)
			cmd.Env = append(os.Environ(), named...)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(out)
			if !lines.Scan() || lines.Text() != "ready" {
				t.Fatalf("the command said %q, error %v, want ready", lines.Text(), lines.Err())
			}
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			if !lines.Scan() || lines.Text() != "inner" {
				t.Errorf("after the signal the command said %q, error %v, want inner", lines.Text(), lines.Err())
			}
			_ = cmd.Wait()
			if got := cmd.ProcessState.ExitCode(); got != 5 {
				t.Errorf("exit code: got %d, want 5", got)
			}
		})
	}
}

// The command starts real services, exports them, and leaves none behind.
func TestCommandStartsAndRemovesServices(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), buildCommand(t), "--", "sh", "-c",
		`echo "$`+EnvAMQPURL+`"; echo "$`+EnvAMQPAPI+`"; echo "$`+EnvRedisAddr+`"; read -r word; exit 4`)
	cmd.Env = append(os.Environ(), EnvAMQPURL+"=", EnvAMQPAPI+"=", EnvRedisAddr+"=")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	var env []string
	for range 3 {
		if !lines.Scan() {
			t.Fatalf("no more output after %q; it said:\n%s", env, stderr.String())
		}
		env = append(env, lines.Text())
	}
	rabbit, err := rabbitFromURL(env[0], env[1])
	if err != nil {
		t.Fatal(err)
	}
	server, err := redisFromAddr(env[2])
	if err != nil {
		t.Fatal(err)
	}
	if err := rabbit.dial(t.Context()); err != nil {
		t.Errorf("RabbitMQ at %s: %v", env[0], err)
	}
	if err := redisReady(t.Context(), server.Host, []int{server.Port}); err != nil {
		t.Errorf("Redis at %s: %v", env[2], err)
	}
	in.Close()
	_ = cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); got != 4 {
		t.Errorf("exit code: got %d, want 4; it said:\n%s", got, stderr.String())
	}
	refused(t.Context(), t, rabbit.hostPort())
	refused(t.Context(), t, server.Addr())
}
