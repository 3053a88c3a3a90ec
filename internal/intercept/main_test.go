package intercept

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// logged keeps what is logged.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// wants fails the test unless one line of the log has every text.
func (l *logged) wants(t *testing.T, texts ...string) {
	t.Helper()
	for line := range strings.Lines(l.String()) {
		all := true
		for _, text := range texts {
			all = all && strings.Contains(line, text)
		}
		if all {
			return
		}
	}
	t.Errorf("no line of the log has all of %q:\n%s", texts, l)
}

func (l *logged) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// patience is the deadline of scripts that must not reach it on a busy machine.
const patience = time.Minute

func newPool(t testing.TB, cfg Config) (*Pool, *logged) {
	t.Helper()
	l := &logged{}
	if cfg.Timeout == 0 {
		cfg.Timeout = patience
	}
	p := New(cfg, l.logger())
	t.Cleanup(p.Close)
	return p, l
}

func python(t testing.TB, source string) *Script {
	t.Helper()
	s, err := NewScript(Python, "/scripts/test.py", source)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func exprRule(t testing.TB, source string) *Script {
	t.Helper()
	s, err := NewScript(Expr, "", source)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mt() *Message {
	five := 5
	rate := 2.5
	return &Message{
		Direction: MT,
		PDU: pdu.Message{
			Source: pdu.Address{TON: 5, Addr: "ACME"}, Dest: pdu.Address{TON: 1, NPI: 1, Addr: "33612345678"},
			ESMClass: 3, PriorityFlag: 1, ShortMessage: []byte("hello"),
		},
		Time: time.Date(2024, 2, 29, 13, 14, 15, 678000000, time.UTC),
		User: User{UID: "u1", GID: "g1", Username: "foo", Quotas: Quotas{Balance: "10.25", SMSCount: &five, HTTPThroughput: &rate}},
		Tags: []string{"first"},
	}
}

func mo() *Message {
	m := mt()
	m.Direction, m.User, m.Connector = MO, User{}, "abc"
	return m
}

func run(t testing.TB, p *Pool, s *Script, m *Message) *Verdict {
	t.Helper()
	v, err := p.Run(context.Background(), s, m)
	if err != nil {
		t.Fatalf("run: %v", err)
	}
	return v
}

// runAtLast is run in a pool with a short deadline, which a busy machine can exceed.
func runAtLast(t testing.TB, p *Pool, s *Script, m *Message) {
	t.Helper()
	until(t, "the script ends in time", func() bool {
		_, err := p.Run(context.Background(), s, m)
		if err != nil && !errors.Is(err, errTimeout) {
			t.Fatalf("run: %v", err)
		}
		return err == nil
	})
}

// refusal runs a script that must refuse, and gives reason and status pair.
func refusal(t testing.TB, p *Pool, s *Script, m *Message) (sms.Reason, sms.StatusPair, error) {
	t.Helper()
	v, err := p.Run(context.Background(), s, m)
	var e *sms.Error
	if !errors.As(err, &e) || e.Override == nil {
		t.Fatalf("got %+v, %v, want an *sms.Error with a status pair", v, err)
	}
	return e.Reason, *e.Override, err
}

func wantFailure(t testing.TB, p *Pool, s *Script, m *Message) error {
	t.Helper()
	reason, pair, err := refusal(t, p, s, m)
	if want := (sms.StatusPair{HTTP: 400, SMPP: pdu.StatusSysErr}); reason != sms.ReasonInterceptor || pair != want {
		t.Errorf("got %v %+v, want %v %+v", reason, pair, sms.ReasonInterceptor, want)
	}
	return err
}

// until waits for a condition that another goroutine makes true.
func until(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !cond(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// meeting is where a script, told the address, connects and waits until it is let go.
type meeting struct {
	t testing.TB
	l net.Listener
}

func newMeeting(t testing.TB) *meeting {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return &meeting{t, l}
}

// meet is the script: it says its process id and reads until the connection closes.
const meet = `
import os, socket
host, port = routable.pdu.params['short_message'].split(b':')
with socket.create_connection((host.decode(), int(port))) as c:
    c.sendall(b'%d\n' % os.getpid())
    try:
        c.recv(1)
    except ConnectionResetError:
        pass
`

func (m *meeting) message() *Message {
	msg := mt()
	msg.PDU.ShortMessage = []byte(m.l.Addr().String())
	return msg
}

// arrived waits for the script and gives its connection.
func (m *meeting) arrived() net.Conn {
	c, err := m.l.Accept()
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { c.Close() })
	return c
}
