package loadgen

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"jasmind/internal/smscsim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds what a test waits for; only a failing one waits so long.
const patience = 2 * time.Minute

// simulator starts an SMSC for one test.
func simulator(t testing.TB, cfg smscsim.Config) *smscsim.Simulator {
	t.Helper()
	sim := smscsim.New(cfg)
	if err := sim.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		sim.Stop(ctx) //nolint:errcheck // the leak check tells
	})
	return sim
}

// smppConfig sends to a simulator and counts there.
func smppConfig(sim *smscsim.Simulator) Config {
	return Config{Protocol: SMPP, Addr: sim.Addr(), Username: "smppclient1", Password: "password", To: "4479",
		SMSC: "http://" + sim.HTTPAddr(), Settle: patience, Timeout: patience}
}

// gateway is an HTTP server whose connections are served by a function each, octet by octet.
type gateway struct {
	url string
	wg  sync.WaitGroup
	l   net.Listener

	mu    sync.Mutex
	count int // of connections
}

// startGateway serves connection number n, from 0, with serve(n, conn); the connection is closed when it returns.
func startGateway(t testing.TB, serve func(n int, conn net.Conn)) *gateway {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{url: "http://" + l.Addr().String() + "/send", l: l}
	ctx, cancel := context.WithCancel(context.Background())
	g.wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			g.mu.Lock()
			n := g.count
			g.count++
			g.mu.Unlock()
			g.wg.Go(func() {
				defer context.AfterFunc(ctx, func() { conn.Close() })()
				defer conn.Close()
				serve(n, conn)
			})
		}
	})
	t.Cleanup(func() {
		cancel()
		l.Close()
		g.wg.Wait()
	})
	return g
}

func httpConfig(url string) Config {
	return Config{Protocol: HTTP, URL: url, Username: "foo", Password: "bar", To: "06222172", Connections: 1, Timeout: patience}
}

func mustRun(t testing.TB, cfg Config) *Report {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	rep, err := Run(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if rep.Interrupted {
		t.Fatalf("the run did not end by itself: %+v", rep.Counts)
	}
	if c := rep.Counts; c.Sent != c.Accepted+c.Rejected+c.Unanswered {
		t.Errorf("sent %d is not accepted %d + rejected %d + unanswered %d", c.Sent, c.Accepted, c.Rejected, c.Unanswered)
	}
	return rep
}
