package connector

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"jasmind/internal/journal"
	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smppc"
)

// certificate makes a certificate for 127.0.0.1 and the pool that trusts it.
func certificate(tb testing.TB) (tls.Certificate, *x509.CertPool) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		tb.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

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
	cert, pool := certificate(t)
	for _, tt := range []struct {
		name           string
		server, client *tls.Config
		fails          string // what the log says, "" if it binds
	}{
		{"plain", nil, nil, ""},
		{"TLS", &tls.Config{Certificates: []tls.Certificate{cert}}, &tls.Config{RootCAs: pool}, ""},
		{"TLS with an unknown certificate", &tls.Config{Certificates: []tls.Certificate{cert}}, nil, "certificate"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			port, binds := listen(t, tt.server)
			b := newBackend()
			cfg := Config{Connector: smppc.Default(cid), TLS: tt.client}
			cfg.Connector.Port, cfg.Connector.SSL, cfg.Connector.SystemType = port, tt.server != nil, "VMS"
			cfg.Connector.SubmitThroughput, cfg.Connector.ConFailRetry = 0, false
			failed := make(chan string, 10)
			c, err := New(cfg, Deps{Source: b, Journal: b, Store: b, Log: slog.New(slog.NewTextHandler(lineWriter(failed), &slog.HandlerOptions{Level: slog.LevelError}))})
			if err != nil {
				t.Fatal(err)
			}
			acked := make(chan struct{}, 100)
			c.journal = notifyingJournal{b, acked}
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
			c, err := New(cfg, Deps{Source: be, Journal: be, Store: be})
			if err != nil {
				b.Fatal(err)
			}
			acked := make(chan struct{}, 1<<16)
			c.journal = notifyingJournal{be, acked}
			ran := make(chan error, 1)
			go func() { ran <- c.Run(b.Context()) }()
			m := message(b, "m", 1, nil)
			b.ReportAllocs()
			ahead := 2 * tt.window * tt.binds
			for b.Loop() {
				if ahead == 0 {
					<-acked
				} else {
					ahead--
				}
				d := *m
				be.put(&d)
			}
			if err := c.Shutdown(b.Context()); err != nil {
				b.Fatal(err)
			}
			<-ran
		})
	}
}
