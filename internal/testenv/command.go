package testenv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"
)

// Exit codes of Command besides those of the command it runs.
const (
	exitFailure = 1
	exitUsage   = 2
	exitSignal  = 128 // plus the signal's number, as shells say it
)

// killAfter is the time that the command has to end after a signal.
const killAfter = 20 * time.Second

const usage = `usage: testenv [--] COMMAND [ARGUMENT...]

Starts the RabbitMQ and the Redis that tests need, runs COMMAND with their addresses in
` + EnvAMQPURL + `, ` + EnvAMQPAPI + ` and ` + EnvRedisAddr + `, removes them and
exits as COMMAND did. Services whose address is set already are used as they are.
` + EnvServices + `=containers or =process forces one way to run them.
` + EnvDebian + `=12 takes those of Debian 12 instead of those of Debian 13.
`

// Command is the whole of the testenv command. It returns the exit code.
func Command(args []string) int {
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		fmt.Fprint(os.Stderr, usage)
		return exitUsage
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)

	services, code := setUp(signals, os.Stderr)
	if services == nil {
		return code
	}
	code = runCommand(args, services.Env(), signals)

	ctx, cancel := context.WithTimeout(context.Background(), tidyTimeout)
	defer cancel()
	if err := services.Close(ctx); err != nil {
		say(os.Stderr, "%v", err)
		if code == 0 {
			code = exitFailure
		}
	}
	return code
}

func say(w io.Writer, format string, args ...any) {
	fmt.Fprintf(w, "testenv: "+format+"\n", args...)
}

// setUp starts the services. It returns no services and an exit code if that did not
// succeed or a signal came.
func setUp(signals <-chan os.Signal, out io.Writer) (*Services, int) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	type outcome struct {
		services *Services
		err      error
	}
	done := make(chan outcome, 1)
	go func() { // its end is awaited below in every case
		services, err := provide(ctx, out)
		done <- outcome{services, err}
	}()
	var got outcome
	code := exitFailure
	select {
	case got = <-done:
	case sig := <-signals:
		cancel()
		code = exitSignal + int(sig.(syscall.Signal))
		got = <-done
		if got.services != nil {
			tidy, stop := context.WithTimeout(context.Background(), tidyTimeout)
			defer stop()
			if err := got.services.Close(tidy); err != nil {
				say(out, "%v", err)
			}
		}
		got.err = fmt.Errorf("ended by signal %v before the command was started", sig)
	}
	if got.err != nil {
		say(out, "%v", got.err)
		return nil, code
	}
	return got.services, 0
}

// provide makes the machine ready and starts what the environment does not name.
func provide(ctx context.Context, out io.Writer) (*Services, error) {
	if os.Getenv(EnvAMQPURL) != "" && os.Getenv(EnvRedisAddr) != "" {
		say(out, "using the services at %s and %s", EnvAMQPURL, EnvRedisAddr)
		return &Services{}, nil
	}
	containers, processes, err := allowedWays()
	if err != nil {
		return nil, err
	}
	if processes {
		report(out, sweepFolders)
	}
	var noEngine error
	if containers {
		if os.Getenv(EnvRabbitMQImage) == "" || os.Getenv(EnvRedisImage) == "" {
			// The script also brings the engine up where that is possible. What it could not
			// do is told by what follows.
			if err := script(ctx, out, "build.sh", "--if-needed"); err != nil {
				say(out, "%v", err)
			}
		}
		if noEngine = engineAnswers(ctx); noEngine == nil {
			report(out, func() ([]string, error) { return sweepContainers(ctx) })
		} else if !processes {
			return nil, noEngine
		}
	}
	if processes && (!containers || noEngine != nil) {
		if err := script(ctx, out, "packages.sh"); err != nil {
			return nil, err
		}
	}
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	begun := time.Now()
	services, err := Shared(ctx)
	if err != nil {
		return nil, err
	}
	say(out, "services up after %.1f s: %s", time.Since(begun).Seconds(), strings.Join(services.Env(), " "))
	return services, nil
}

// report tells what a sweep removed, and its error: neither ends the run.
func report(out io.Writer, sweep func() ([]string, error)) {
	swept, err := sweep()
	for _, what := range swept {
		say(out, "removed the %s of a run that is gone", what)
	}
	if err != nil {
		say(out, "%v", err)
	}
}

// script runs a script of testdata/images in the module around the current folder.
func script(ctx context.Context, out io.Writer, name string, args ...string) error {
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	path := filepath.Join(root, "testdata", "images", name)
	cmd := exec.CommandContext(ctx, "bash", append([]string{path}, args...)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second // a daemon that it started may hold the pipe
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func moduleRoot() (string, error) {
	here, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := here; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no go.mod in %s or above it: run testenv inside the module", here)
		}
	}
}

// runCommand runs the command with our standard streams, hands signals on to it and
// returns its exit code.
func runCommand(args, env []string, signals <-chan os.Signal) int {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), env...)
	// At a terminal the command stays in our group, so that it can be a shell and the
	// terminal's own signals reach all of it. Elsewhere a group of its own lets a signal
	// reach the tests too, which go test would leave behind.
	grouped := !term.IsTerminal(int(os.Stdin.Fd()))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: grouped}
	if err := cmd.Start(); err != nil {
		say(os.Stderr, "%v", err)
		return exitFailure
	}
	target := cmd.Process.Pid
	if grouped {
		target = -target
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	var overdue <-chan time.Time
	for {
		select {
		case err := <-ended:
			return exitCode(err)
		case sig := <-signals:
			_ = syscall.Kill(target, sig.(syscall.Signal)) // it may have ended just now
			if overdue == nil {
				overdue = time.After(killAfter)
			}
		case <-overdue:
			_ = syscall.Kill(target, syscall.SIGKILL)
		}
	}
}

// exitCode translates the outcome of a command as a shell does.
func exitCode(err error) int {
	if err == nil {
		return 0
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		say(os.Stderr, "%v", err)
		return exitFailure
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return exitSignal + int(status.Signal())
	}
	return exit.ExitCode()
}
