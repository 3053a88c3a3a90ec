// Package certstest issues certificates for tests, and has a service speak TLS with them.
package certstest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// Issued is a certificate with its key: two PEM files, and what they hold.
type Issued struct {
	Cert, Key string // paths
	Pair      tls.Certificate
}

// Pool vouches for what the certificate signed, itself included.
func (i Issued) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(i.Pair.Leaf)
	return pool
}

// Self issues an authority's certificate, dir/name.pem with dir/name.key, for DNS names or, without any, for
// 127.0.0.1. It vouches for itself.
func Self(tb testing.TB, dir, name string, dnsNames ...string) Issued {
	tb.Helper()
	return issue(tb, nil, dir, name, dnsNames)
}

// Issue is Self for a certificate that ca vouches for. One that is there is replaced.
func (i Issued) Issue(tb testing.TB, dir, name string, dnsNames ...string) Issued {
	tb.Helper()
	return issue(tb, &i, dir, name, dnsNames)
}

func issue(tb testing.TB, ca *Issued, dir, name string, dnsNames []string) Issued {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{Subject: pkix.Name{CommonName: name, SerialNumber: rand.Text()}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: dnsNames, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: ca == nil, BasicConstraintsValid: true}
	if len(dnsNames) == 0 {
		template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	}
	parent, signer := template, any(key)
	if ca != nil {
		parent, signer = ca.Pair.Leaf, ca.Pair.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		tb.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	out := Issued{Cert: filepath.Join(dir, name+".pem"), Key: filepath.Join(dir, name+".key")}
	for path, block := range map[string]*pem.Block{out.Cert: {Type: "CERTIFICATE", Bytes: der}, out.Key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	if out.Pair, err = tls.LoadX509KeyPair(out.Cert, out.Key); err != nil {
		tb.Fatal(err)
	}
	return out
}

// Terminate takes TLS connections from clients with a certificate of ca, shows them the certificate server, and passes what is
// in them on to a service without TLS. cut closes the connections there are.
func Terminate(tb testing.TB, ca, server Issued, to string) (addr string, cut func()) {
	tb.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{server.Pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.Pool()})
	if err != nil {
		tb.Fatal(err)
	}
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
	tb.Cleanup(func() {
		l.Close()
		cut()
		wg.Wait()
	})
	return l.Addr().String(), cut
}
