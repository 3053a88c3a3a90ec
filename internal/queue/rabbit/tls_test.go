package rabbit_test

import (
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"jasmind/internal/certs"
	"jasmind/internal/certs/certstest"
	"jasmind/internal/queue/rabbit"
	"jasmind/internal/testenv"
)

// terminate speaks TLS in front of a service until the test ends. conns are its connections, to be cut.
func terminate(t *testing.T, secure *tls.Config, to string) (addr string, cut func()) {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", secure)
	must(t, err)
	var mu sync.Mutex
	var conns []net.Conn
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s, err := net.Dial("tcp", to)
			if err != nil {
				c.Close()
				continue
			}
			mu.Lock()
			conns = append(conns, c, s)
			mu.Unlock()
			for _, pair := range [][2]net.Conn{{c, s}, {s, c}} {
				wg.Go(func() {
					_, _ = io.Copy(pair[0], pair[1]) // however it ends, both are closed
					c.Close()
					s.Close()
				})
			}
		}
	})
	cut = func() {
		mu.Lock()
		defer mu.Unlock()
		for _, c := range conns {
			c.Close()
		}
		conns = nil
	}
	t.Cleanup(func() {
		l.Close()
		cut()
		wg.Wait()
	})
	return l.Addr().String(), cut
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	ca, other := certstest.Self(t, dir, "ca"), certstest.Self(t, dir, "other")
	server := ca.Issue(t, dir, "server", "rabbit.test")
	client := ca.Issue(t, dir, "client")
	u, err := url.Parse(testenv.RabbitMQ(t).URL())
	must(t, err)
	addr, cut := terminate(t, &tls.Config{Certificates: []tls.Certificate{server.Pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.Pool()}, u.Host)
	u.Scheme, u.Host = "amqps", addr
	with := func(c certs.Client) rabbit.Config {
		source := certs.New("amqp-broker", c, slog.New(slog.DiscardHandler))
		return rabbit.Config{URL: u.String(), TLS: source.Config, ReconnectMin: 10 * time.Millisecond}
	}
	whole := certs.Client{CA: ca.Cert, Cert: client.Cert, Key: client.Key, ServerName: "rabbit.test"}

	for name, tt := range map[string]struct {
		change func(*certs.Client)
		want   string
	}{
		"another CA":   {func(c *certs.Client) { c.CA = other.Cert }, "unknown authority"},
		"another name": {func(c *certs.Client) { c.ServerName = "other.test" }, "other.test"},
	} {
		c := whole
		tt.change(&c)
		if _, err := rabbit.Open(t.Context(), with(c)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q at once", name, err, tt.want)
		}
	}

	st := newStates()
	cfg := with(whole)
	cfg.OnStateChange = st.note
	b := open(t, cfg)
	must(t, b.Declare(t.Context(), qLoad))
	ca.Issue(t, dir, "client") // renewed under the same names: the next connection reads it
	cut()
	st.awaitFrom(t, 1, rabbit.StateDown)
	st.await(t, rabbit.StateUp)
	must(t, b.Declare(t.Context(), qLoad))
}
