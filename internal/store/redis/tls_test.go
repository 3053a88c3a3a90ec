package redis_test

import (
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"jasmind/internal/certs"
	"jasmind/internal/certs/certstest"
	"jasmind/internal/store/redis"
	"jasmind/internal/testenv"
)

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	ca, other := certstest.Self(t, dir, "ca"), certstest.Self(t, dir, "other")
	server := ca.Issue(t, dir, "server", "redis.test")
	client := ca.Issue(t, dir, "client")
	o, err := goredis.ParseURL(testenv.Redis(t).URL())
	must(t, err)
	addr, _ := certstest.Terminate(t, ca, server, o.Addr)
	at, err := netip.ParseAddrPort(addr)
	must(t, err)
	with := func(c certs.Client) redis.Config {
		source := certs.New("redis-client", c, slog.New(slog.DiscardHandler))
		return redis.Config{Host: at.Addr().String(), Port: int(at.Port()), DB: o.DB, Password: o.Password, TLS: source.Config}
	}
	whole := certs.Client{CA: ca.Cert, Cert: client.Cert, Key: client.Key, ServerName: "redis.test"}
	wrong := whole
	wrong.CA = other.Cert
	if _, err := redis.Open(t.Context(), with(wrong)); err == nil || !strings.Contains(err.Error(), "unknown authority") {
		t.Errorf("another CA: %v, want that the authority is unknown, at once", err)
	}
	s, err := redis.Open(t.Context(), with(whole))
	must(t, err)
	must(t, s.Park(t.Context(), parked(0, 1)))
	must(t, s.Close())
}
