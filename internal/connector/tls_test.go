package connector

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// testCertificate is a certificate that vouches for itself, also as files.
type testCertificate struct {
	pair              tls.Certificate
	certFile, keyFile string
}

// makeCertificate makes one for names, or for 127.0.0.1.
func makeCertificate(tb testing.TB, dir, file string, names ...string) testCertificate {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: names, IsCA: true, BasicConstraintsValid: true}
	if len(names) == 0 {
		template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		tb.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	c := testCertificate{certFile: filepath.Join(dir, file+".pem"), keyFile: filepath.Join(dir, file+".key")}
	for path, block := range map[string]*pem.Block{c.certFile: {Type: "CERTIFICATE", Bytes: der}, c.keyFile: {Type: "EC PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	if c.pair, err = tls.LoadX509KeyPair(c.certFile, c.keyFile); err != nil {
		tb.Fatal(err)
	}
	if c.pair.Leaf == nil {
		if c.pair.Leaf, err = x509.ParseCertificate(der); err != nil {
			tb.Fatal(err)
		}
	}
	return c
}
