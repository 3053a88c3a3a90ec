package smppserver

import (
	"crypto/tls"
	"net"
	"strings"
	"testing"
	"time"

	"jasmind/internal/certs"
	"jasmind/internal/certs/certstest"
	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
)

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	ca := certstest.Self(t, dir, "ca")
	own, known, stranger := ca.Issue(t, dir, "server"), ca.Issue(t, dir, "client"), certstest.Self(t, dir, "stranger")
	without := &tls.Config{RootCAs: ca.Pool()}
	with := func(client certstest.Issued) *tls.Config {
		// As it is, whatever the server says it accepts.
		return &tls.Config{RootCAs: ca.Pool(), GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &client.Pair, nil }}
	}
	for _, tt := range []struct {
		rule                     certs.ClientCert
		without, known, stranger bool
	}{{certs.ClientCertNone, true, true, true}, {certs.ClientCertOptional, true, true, false}, {certs.ClientCertRequire, false, true, false}} {
		t.Run(string(tt.rule), func(t *testing.T) {
			w := newWorld(t, Config{SSL: true, TLS: certs.Server{Certificate: own.Cert, Key: own.Key, ClientCA: ca.Cert, ClientCert: tt.rule}, Listeners: []Listener{{Address: "127.0.0.1:0"}, {Address: "127.0.0.1:0", TLS: true}}})
			for name, client := range map[string]struct {
				cfg  *tls.Config
				want bool
			}{"without": {without, tt.without}, "known": {with(known), tt.known}, "stranger": {with(stranger), tt.stranger}} {
				e, err := w.dial(pdu.Bind{}, smpp.DialConfig{TLS: client.cfg})
				if (err == nil) != client.want {
					t.Errorf("%s: %v", name, err)
				}
				if err == nil {
					if st, _ := e.do(t, submitSM("1", "x")); st != pdu.StatusOK {
						t.Errorf("%s: %s", name, st)
					}
				}
			}
			// The further listeners: one without TLS, one with.
			addrs := w.srv.Addrs()
			if len(addrs) != 3 {
				t.Fatalf("listens on %v", addrs)
			}
			bind := pdu.Bind{SystemID: "foo", Password: "bar"}
			for i, cfg := range []*tls.Config{nil, with(known)} {
				s, _, err := smpp.Dial(t.Context(), "tcp", addrs[i+1].String(), smpp.DialConfig{Bind: bind, TLS: cfg})
				if err != nil {
					t.Errorf("listener %d: %v", i+1, err)
					continue
				}
				s.Close(nil)
			}
			if _, err := w.dial(pdu.Bind{}, smpp.DialConfig{Config: smpp.Config{SessionInit: time.Second}}); err == nil {
				t.Error("a client without TLS was bound on a listener with it")
			}
		})
	}
}

func TestListenFailsWhole(t *testing.T) {
	own := certstest.Self(t, t.TempDir(), "server")
	cert, key := own.Cert, own.Key
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for want, cfg := range map[string]Config{
		"ssl_certificate and ssl_key": {SSL: true},
		"ssl_certificate /none":       {SSL: true, TLS: certs.Server{Certificate: "/none", Key: key}},
		"ssl_client_ca":               {SSL: true, TLS: certs.Server{Certificate: cert, Key: key, ClientCert: certs.ClientCertRequire}},
		"holds no certificate":        {SSL: true, TLS: certs.Server{Certificate: cert, Key: key, ClientCert: certs.ClientCertRequire, ClientCA: key}},
		"ssl_client_cert":             {SSL: true, TLS: certs.Server{Certificate: cert, Key: key, ClientCert: "maybe"}},
		"address already in use":      {Listeners: []Listener{{Address: taken.Addr().String()}}},
	} {
		cfg.Bind = "127.0.0.1"
		srv := New(cfg, Deps{Log: discard})
		if err := srv.Listen(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
		for _, a := range srv.Addrs() {
			if c, err := net.Dial("tcp", a.String()); err == nil {
				c.Close()
				t.Errorf("%s: still listens on %s", want, a)
			}
		}
	}
}
