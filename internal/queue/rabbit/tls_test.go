package rabbit_test

import (
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"jasmind/internal/certs"
	"jasmind/internal/certs/certstest"
	"jasmind/internal/queue/rabbit"
	"jasmind/internal/testenv"
)

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	ca, other := certstest.Self(t, dir, "ca"), certstest.Self(t, dir, "other")
	server := ca.Issue(t, dir, "server", "rabbit.test")
	client := ca.Issue(t, dir, "client")
	u, err := url.Parse(testenv.RabbitMQ(t).URL())
	must(t, err)
	addr, cut := certstest.Terminate(t, ca, server, u.Host)
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
