package redis_test

import (
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
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
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{server.Pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.Pool()})
	must(t, err)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s, err := net.Dial("tcp", o.Addr)
			if err != nil {
				c.Close()
				continue
			}
			for _, pair := range [][2]net.Conn{{c, s}, {s, c}} {
				wg.Go(func() {
					_, _ = io.Copy(pair[0], pair[1]) // however it ends, both are closed
					c.Close()
					s.Close()
				})
			}
		}
	})
	defer wg.Wait()
	defer l.Close()
	with := func(c certs.Client) redis.Config {
		source := certs.New("redis-client", c, slog.New(slog.DiscardHandler))
		return redis.Config{Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, DB: o.DB, Password: o.Password, TLS: source.Config}
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
