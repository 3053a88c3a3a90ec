package connector

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"jasmind/internal/certs/certstest"
	"jasmind/internal/journal"
	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smppc"
)

// listen runs an SMSC on a real socket that accepts everything, until the test ends.
func listen(tb testing.TB, tlsConfig *tls.Config) (port int, binds chan *pdu.Bind) {
	tb.Helper()
	binds = make(chan *pdu.Bind, 100)
	srv := smpp.NewServer(smpp.ServerConfig{Config: smpp.Config{
		InboundWindow: 5000,
		Bind: func(_ context.Context, _ *smpp.Session, b *pdu.Bind) (pdu.Status, *pdu.BindResp) {
			binds <- b
			return pdu.StatusOK, nil
		},
		Handler: smpp.HandlerFunc(func(_ *smpp.Session, r *smpp.Request) {
			r.Respond(pdu.StatusOK, &pdu.SubmitSMResp{MessageID: fmt.Sprint(r.Header.Sequence)}) //nolint:errcheck // the peer may be gone
		}),
	}})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	if err := srv.ListenOn(l, tlsConfig); err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { srv.Serve(ctx) }) //nolint:errcheck // ended by cancel
	tb.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	return l.Addr().(*net.TCPAddr).Port, binds
}

func TestOverTCPAndTLS(t *testing.T) {
	dir := t.TempDir()
	server := certstest.Self(t, dir, "server")
	client := certstest.Self(t, dir, "client")
	named := certstest.Self(t, dir, "named", "smsc.example")
	plainTLS := &tls.Config{Certificates: []tls.Certificate{server.Pair}}
	mutual := &tls.Config{Certificates: []tls.Certificate{server.Pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: client.Pool()}
	for _, tt := range []struct {
		name   string
		server *tls.Config
		change func(*smppc.Config)
		fails  string // what the log says, "" if it binds
	}{
		{"plain", nil, nil, ""},
		{"TLS with ssl_ca", plainTLS, func(c *smppc.Config) { c.SSLCA = server.Cert }, ""},
		{"TLS with an unknown certificate", plainTLS, nil, "certificate"},
		{"TLS with an unknown certificate and ssl_verify no", plainTLS, func(c *smppc.Config) { c.SSLVerify = false }, ""},
		{"TLS under another name with ssl_server_name", &tls.Config{Certificates: []tls.Certificate{named.Pair}},
			func(c *smppc.Config) { c.SSLCA, c.SSLServerName = named.Cert, "smsc.example" }, ""},
		{"TLS under another name", &tls.Config{Certificates: []tls.Certificate{named.Pair}},
			func(c *smppc.Config) { c.SSLCA = named.Cert }, "127.0.0.1"},
		{"TLS with our certificate", mutual, func(c *smppc.Config) {
			c.SSLCA, c.SSLCert, c.SSLKey = server.Cert, client.Cert, client.Key
		}, ""},
		{"TLS without our certificate", mutual, func(c *smppc.Config) { c.SSLCA = server.Cert }, "certificate required"},
		{"ssl_ca that is not there", plainTLS, func(c *smppc.Config) { c.SSLCA = dir + "/nope.pem" }, "ssl_ca"},
		{"ssl_ca that holds no certificate", plainTLS, func(c *smppc.Config) { c.SSLCA = client.Key }, "holds no certificate"},
		{"ssl_cert without ssl_key", plainTLS, func(c *smppc.Config) { c.SSLCert = client.Cert }, "ssl_key: missing"},
		{"ssl_key without ssl_cert", plainTLS, func(c *smppc.Config) { c.SSLKey = client.Key }, "ssl_cert: missing"},
		{"ssl_key of another certificate", plainTLS, func(c *smppc.Config) { c.SSLCert, c.SSLKey = client.Cert, server.Key }, "ssl_key"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			port, binds := listen(t, tt.server)
			b := newBackend()
			cfg := Config{Connector: smppc.Default(cid)}
			cfg.Connector.Port, cfg.Connector.SSL, cfg.Connector.SystemType = port, tt.server != nil, "VMS"
			cfg.Connector.SubmitThroughput, cfg.Connector.ConFailRetry = 0, false
			if tt.change != nil {
				tt.change(&cfg.Connector)
			}
			failed := make(chan string, 10)
			acked := make(chan struct{}, 100)
			c, err := New(cfg, Deps{Source: b, Journal: notifyingJournal{b, acked}, Store: b, Log: slog.New(slog.NewTextHandler(lineWriter(failed), &slog.HandlerOptions{Level: slog.LevelError}))})
			if err != nil {
				t.Fatal(err)
			}
			ran := make(chan error, 1)
			go func() { ran <- c.Run(t.Context()) }()
			if tt.fails != "" {
				if line := <-failed; !strings.Contains(line, tt.fails) {
					t.Errorf("log: %s", line)
				}
			} else {
				got := <-binds
				wantEqual(t, "bind", fmt.Sprint(got.Type, " ", got.SystemID, " ", got.Password, " ", got.SystemType, " ", got.InterfaceVersion, " ", got.AddrNPI), "transceiver smppclient password VMS 52 1")
				b.put(message(t, "m1", 1, nil))
				<-acked
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := c.Shutdown(ctx); err != nil {
				t.Errorf("Shutdown: %v", err)
			}
			if err := <-ran; err != nil {
				t.Errorf("Run: %v", err)
			}
		})
	}
}

// notifyingJournal tells of each acknowledgement.
type notifyingJournal struct {
	journal.Journal
	acked chan struct{}
}

func (j notifyingJournal) Commit(ctx context.Context, e *journal.Entry) error {
	err := j.Journal.Commit(ctx, e)
	if err == nil {
		for range e.Ack {
			select {
			case j.acked <- struct{}{}:
			default:
			}
		}
	}
	return err
}

// lineWriter sends what is written.
type lineWriter chan string

func (w lineWriter) Write(p []byte) (int, error) {
	select {
	case w <- string(p):
	default:
	}
	return len(p), nil
}

// BenchmarkSubmit is the way of a message from its queue to the acknowledgement, over TCP,
// with a backend in memory: what the connector and the session cost.
func BenchmarkSubmit(b *testing.B) {
	for _, tt := range []struct{ window, binds int }{{10, 1}, {100, 2}} {
		b.Run(fmt.Sprintf("window=%d/binds=%d", tt.window, tt.binds), func(b *testing.B) {
			port, _ := listen(b, nil)
			be := newBackend()
			cfg := Config{Connector: smppc.Default(cid)}
			cfg.Connector.Port, cfg.Connector.SubmitThroughput, cfg.Connector.Window, cfg.Connector.Binds = port, 0, tt.window, tt.binds
			acked := make(chan struct{}, 1<<16)
			c, err := New(cfg, Deps{Source: be, Journal: notifyingJournal{be, acked}, Store: be})
			if err != nil {
				b.Fatal(err)
			}
			ran := make(chan error, 1)
			go func() { ran <- c.Run(b.Context()) }()
			m := message(b, "m", 1, nil)
			ids := make([]string, 1<<12) // more than can be in hand at a time
			for i := range ids {
				ids[i] = fmt.Sprint("m", i)
			}
			b.ReportAllocs()
			ahead := 2 * tt.window * tt.binds
			for n := 0; b.Loop(); n++ {
				if ahead == 0 {
					<-acked
				} else {
					ahead--
				}
				d := *m
				d.ID = ids[n%len(ids)]
				be.put(&d)
			}
			if err := c.Shutdown(b.Context()); err != nil {
				b.Fatal(err)
			}
			<-ran
		})
	}
}
