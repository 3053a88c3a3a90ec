package smppserver

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
)

// authority issues certificates for tests.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
	dir  string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir()}
	a.file, _, a.cert, a.key = a.issue(t, "ca", nil)
	return a
}

// issue makes a certificate, signed by the authority or, without one, by itself.
func (a *authority) issue(t *testing.T, name string, ca *authority) (certFile, keyFile string, cert *x509.Certificate, key *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: ca == nil, BasicConstraintsValid: true}
	parent, signer := tmpl, key
	if ca != nil {
		parent, signer = ca.cert, ca.key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	if cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(a.dir, name+".pem"), filepath.Join(a.dir, name+".key")
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile, cert, key
}

func TestTLS(t *testing.T) {
	ca := newAuthority(t)
	cert, key, _, _ := ca.issue(t, "server", ca)
	clientCert, clientKey, _, _ := ca.issue(t, "client", ca)
	strangeCert, strangeKey, _, _ := ca.issue(t, "stranger", nil)
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	pair := func(cert, key string) *tls.Config {
		c := &tls.Config{RootCAs: roots}
		if cert != "" {
			p, err := tls.LoadX509KeyPair(cert, key)
			if err != nil {
				t.Fatal(err)
			}
			// As it is, whatever the server says it accepts.
			c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &p, nil }
		}
		return c
	}
	for _, tt := range []struct {
		rule                     ClientCert
		without, known, stranger bool
	}{{ClientCertNone, true, true, true}, {ClientCertOptional, true, true, false}, {ClientCertRequire, false, true, false}} {
		t.Run(string(tt.rule), func(t *testing.T) {
			w := newWorld(t, Config{SSL: true, TLS: TLS{Certificate: cert, Key: key, ClientCA: ca.file, ClientCert: tt.rule}, Listeners: []Listener{{Address: "127.0.0.1:0"}, {Address: "127.0.0.1:0", TLS: true}}})
			for name, client := range map[string]struct {
				cfg  *tls.Config
				want bool
			}{"without": {pair("", ""), tt.without}, "known": {pair(clientCert, clientKey), tt.known}, "stranger": {pair(strangeCert, strangeKey), tt.stranger}} {
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
			for i, cfg := range []*tls.Config{nil, pair(clientCert, clientKey)} {
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
	ca := newAuthority(t)
	cert, key, _, _ := ca.issue(t, "server", ca)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for want, cfg := range map[string]Config{
		"ssl_certificate and ssl_key": {SSL: true},
		"ssl_certificate /none":       {SSL: true, TLS: TLS{Certificate: "/none", Key: key}},
		"ssl_client_ca":               {SSL: true, TLS: TLS{Certificate: cert, Key: key, ClientCert: ClientCertRequire}},
		"holds no certificate":        {SSL: true, TLS: TLS{Certificate: cert, Key: key, ClientCert: ClientCertRequire, ClientCA: key}},
		"ssl_client_cert":             {SSL: true, TLS: TLS{Certificate: cert, Key: key, ClientCert: "maybe"}},
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
