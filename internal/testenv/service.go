package testenv

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"strconv"
	"strings"
	"time"
)

// kind is what testenv knows about one sort of service.
type kind struct {
	title      string // for people
	name       string // for container and folder names
	pkg        string // the Debian package
	addressEnv string
	imageEnv   string
	images     map[string][]string // by release of Debian; tried in this order, and the last one is pulled when none is there
	ports      []int               // as the service numbers them in a container

	// container says what a container of it needs.
	container func() containerSpec
	// process says how it runs as a child process in dir, listening on ports.
	process func(dir string, ports []int) (processSpec, error)
	// ready shakes hands with the service at host.
	ready func(ctx context.Context, host string, ports []int) error
}

// instance is one service, however it runs.
type instance interface {
	start(ctx context.Context) error
	stop(ctx context.Context) error
	kill(ctx context.Context) error
	pause(ctx context.Context) error
	unpause(ctx context.Context) error
	// remove ends it in any state, and its data. A second call does nothing.
	remove(ctx context.Context) error
	// exited reports whether it ended by itself.
	exited(ctx context.Context) bool
	// exec runs a command of the service's package beside it.
	exec(ctx context.Context, argv ...string) error
	// log returns the end of its output.
	log(ctx context.Context) string
	host() string
}

// A Service is a running RabbitMQ or Redis that its owner may stop, kill and pause. Its
// methods return when the change has taken place, and are not for concurrent use.
type Service struct {
	kind  *kind
	inst  instance
	ports []int // on the host, fixed for the life of the service
}

// maker makes an instance and starts it.
type maker func(ctx context.Context, k *kind, ports []int) (instance, error)

// launch makes a service and waits until it answers. Ports are chosen, then bound by
// another program: another choice is made when somebody else was faster.
func launch(ctx context.Context, k *kind, newInstance maker) (*Service, error) {
	const attempts = 3
	for attempt := 1; ; attempt++ {
		ports, err := freePorts(len(k.ports))
		if err != nil {
			return nil, err
		}
		inst, err := newInstance(ctx, k, ports)
		if err == nil {
			service := &Service{kind: k, inst: inst, ports: ports}
			if err = service.waitReady(ctx); err == nil {
				return service, nil
			}
			tidy, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyTimeout)
			err = errors.Join(err, inst.remove(tidy))
			cancel()
		}
		if attempt == attempts || !portTaken(err) {
			return nil, err
		}
	}
}

// portTaken recognises, in the words of the Docker engine, Erlang and Redis, a port that
// another program has bound.
func portTaken(err error) bool {
	text := strings.ToLower(err.Error())
	for _, sign := range []string{"port is already allocated", "address already in use", "eaddrinuse"} {
		if strings.Contains(text, sign) {
			return true
		}
	}
	return false
}

// Stop ends the service in its orderly way.
func (s *Service) Stop(ctx context.Context) error { return s.did("stop", s.inst.stop(ctx)) }

// Kill ends the service by SIGKILL.
func (s *Service) Kill(ctx context.Context) error { return s.did("kill", s.inst.kill(ctx)) }

// Pause stops the service from running at all; its connections stay open and silent.
func (s *Service) Pause(ctx context.Context) error { return s.did("pause", s.inst.pause(ctx)) }

// Unpause lets the service run on after Pause.
func (s *Service) Unpause(ctx context.Context) error { return s.did("unpause", s.inst.unpause(ctx)) }

// Start starts the service after Stop or Kill, at the same address and with its data, and
// returns when it answers.
func (s *Service) Start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := s.inst.start(ctx); err != nil {
		return s.did("start", err)
	}
	return s.did("start", s.waitReady(ctx))
}

// Restart stops and starts the service.
func (s *Service) Restart(ctx context.Context) error {
	if err := s.Stop(ctx); err != nil {
		return err
	}
	return s.Start(ctx)
}

func (s *Service) remove(ctx context.Context) error { return s.did("remove", s.inst.remove(ctx)) }

func (s *Service) did(what string, err error) error {
	if err != nil {
		return fmt.Errorf("%s %s: %w", what, s.kind.title, err)
	}
	return nil
}

// waitReady repeats the handshake until it succeeds, the service ends or ctx does.
func (s *Service) waitReady(ctx context.Context) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		attempt, cancel := context.WithTimeout(ctx, patience)
		err := s.kind.ready(attempt, s.inst.host(), s.ports)
		cancel()
		if err == nil {
			return nil
		}
		if s.inst.exited(ctx) {
			return fmt.Errorf("it ended before it answered; its last words:\n%s", s.inst.log(ctx))
		}
		select {
		case <-ctx.Done():
			tidy, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			return fmt.Errorf("it does not answer (%w): %w; its last words:\n%s", context.Cause(ctx), err, s.inst.log(tidy))
		case <-tick.C:
		}
	}
}

// The ports of services are chosen below the range that Linux hands out to connections and
// to listeners without a port (from 32768), so that nobody is given the port of a service
// that a test has stopped and will start again.
const (
	firstPort = 20000
	lastPort  = 31999
)

// freePorts returns n different ports that can be bound on every address now.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range 1000 {
		port := firstPort + mathrand.IntN(lastPort-firstPort+1)
		l, err := net.Listen("tcp", ":"+strconv.Itoa(port))
		if err != nil {
			continue
		}
		defer l.Close() // all stay bound until the choice is complete
		if ports = append(ports, port); len(ports) == n {
			return ports, nil
		}
	}
	return nil, fmt.Errorf("no %d free ports between %d and %d", n, firstPort, lastPort)
}

// uniqueName turns a test's name into one that needs no escaping anywhere, and that no
// other test has.
func uniqueName(test string) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		default:
			return '-'
		}
	}, test)
	return clean[:min(len(clean), 60)] + "-" + randomHex()
}

func randomHex() string {
	var b [6]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// lastLines cuts text to its last n octets, at a line.
func lastLines(text string, n int) string {
	if len(text) <= n {
		return text
	}
	text = text[len(text)-n:]
	if _, after, found := strings.Cut(text, "\n"); found {
		return after
	}
	return text
}
