package redis_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"jasmind/internal/queue"
	"jasmind/internal/sms"
	"jasmind/internal/store/redis"
)

// mute is a Redis that answers what a store asks at its start, and no transaction: of each it tells once.
type mute struct {
	net.Listener
	asked chan string // MULTI, and what follows

	mu   sync.Mutex
	deaf bool // answers nothing at all
}

func newMute(t *testing.T) *mute {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	m := &mute{Listener: l, asked: make(chan string, 1000)}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			context.AfterFunc(t.Context(), func() { c.Close() })
			wg.Go(func() { m.serve(c) })
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return m
}

func (m *mute) port() int { return m.Addr().(*net.TCPAddr).Port }

func (m *mute) setDeaf(deaf bool) {
	m.mu.Lock()
	m.deaf = deaf
	m.mu.Unlock()
}

func (m *mute) serve(c net.Conn) {
	defer c.Close()
	r := bufio.NewReader(c)
	hung := false
	for {
		command, err := readCommand(r)
		if err != nil {
			return
		}
		m.mu.Lock()
		deaf := m.deaf
		m.mu.Unlock()
		if command == "MULTI" {
			hung = true
		}
		if hung || deaf {
			m.asked <- command
			continue
		}
		answer := "+OK\r\n"
		switch command {
		case "HELLO":
			answer = "-ERR unknown command 'HELLO'\r\n"
		case "INFO":
			answer = "$0\r\n\r\n"
		case "CONFIG":
			answer = "*0\r\n"
		}
		if _, err := io.WriteString(c, answer); err != nil {
			return
		}
	}
}

// readCommand gives the name of a command.
func readCommand(r *bufio.Reader) (string, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return "", err
	}
	n, _ := strconv.Atoi(strings.TrimSpace(line[1:]))
	name := ""
	for i := range n {
		if line, err = r.ReadString('\n'); err != nil {
			return "", err
		}
		size, _ := strconv.Atoi(strings.TrimSpace(line[1:]))
		word := make([]byte, size+2)
		if _, err := io.ReadFull(r, word); err != nil {
			return "", err
		}
		if i == 0 {
			name = strings.ToUpper(string(word[:size]))
		}
	}
	return name, nil
}

func receipt(ctx context.Context, s *redis.Store) error {
	_, _, err := s.Receipt(ctx, sms.MessageID("x"))
	return err
}

// A round trip without an answer ends with its caller's context, whatever the timeout.
func TestACallEndsWithItsContext(t *testing.T) {
	m := newMute(t)
	s := open(t, redis.Config{Port: m.port(), Timeout: time.Hour})
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan error, 1)
	go func() { got <- receipt(ctx, s) }()
	<-m.asked // it is under way
	cancel()
	if err := <-got; !errors.Is(err, queue.ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want ErrUnavailable and the context's error", err)
	}
}

func TestCloseEndsARoundTripUnderWay(t *testing.T) {
	m := newMute(t)
	s := open(t, redis.Config{Port: m.port(), Timeout: time.Hour})
	got := make(chan error, 2)
	go func() { got <- receipt(context.WithoutCancel(t.Context()), s) }()
	<-m.asked
	go func() { got <- receipt(context.WithoutCancel(t.Context()), s) }() // waits for the one under way
	must(t, s.Close())
	for range 2 {
		if err := <-got; !errors.Is(err, queue.ErrUnavailable) && !errors.Is(err, queue.ErrClosed) {
			t.Errorf("got %v", err)
		}
	}
}

func TestOpenEndsWithItsContext(t *testing.T) {
	m := newMute(t)
	m.setDeaf(true)
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan error, 1)
	go func() {
		_, err := redis.Open(ctx, redis.Config{Port: m.port(), Timeout: time.Hour})
		got <- err
	}()
	<-m.asked
	cancel()
	if err := <-got; !errors.Is(err, queue.ErrUnavailable) && !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// After the first round trip that was not answered in time nobody waits any more, and nothing is sent but the watch's question.
func TestAHungRedisIsAway(t *testing.T) {
	m := newMute(t)
	s := open(t, redis.Config{Port: m.port(), Timeout: 50 * time.Millisecond})
	m.setDeaf(true)
	var wg sync.WaitGroup
	for range 24 {
		wg.Go(func() {
			if err := receipt(t.Context(), s); !errors.Is(err, queue.ErrUnavailable) {
				t.Errorf("got %v", err)
			}
		})
	}
	wg.Wait()
	if err := s.Healthy(); !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("healthy: %v", err)
	}
	for range 1000 {
		if err := receipt(t.Context(), s); !errors.Is(err, queue.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
	}
	for more, multi := true, 0; more; {
		select {
		case command := <-m.asked:
			if command == "MULTI" {
				multi++
			}
			if multi > 2 { // of the 24 some may have come before the first was sent, and others behind it
				t.Fatal("it was asked again and again")
			}
		default:
			more = false
		}
	}
}
