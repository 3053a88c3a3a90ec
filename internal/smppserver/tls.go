package smppserver

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"
)

// TLS says how the listeners with TLS identify themselves and their clients.
type TLS struct {
	Certificate string     // ssl_certificate: PEM file with the server's certificate and those that vouch for it
	Key         string     // ssl_key: PEM file with its key
	ClientCA    string     // ssl_client_ca: PEM file with the certificates that vouch for clients'
	ClientCert  ClientCert // ssl_client_cert, default none
}

// ClientCert says whether clients show a certificate.
type ClientCert string

// The rules of ssl_client_cert.
const (
	ClientCertNone     ClientCert = "none"     // it is not asked for
	ClientCertOptional ClientCert = "optional" // it is verified if there is one
	ClientCertRequire  ClientCert = "require"  // without one the connection is refused
)

// tlsConfig reads the files; nil if no listener speaks TLS.
func (c *Config) tlsConfig() (*tls.Config, error) {
	if !c.SSL && !slices.ContainsFunc(c.Listeners, func(l Listener) bool { return l.TLS }) {
		return nil, nil
	}
	if c.TLS.Certificate == "" || c.TLS.Key == "" {
		return nil, errors.New("TLS needs ssl_certificate and ssl_key")
	}
	cert, err := tls.LoadX509KeyPair(c.TLS.Certificate, c.TLS.Key)
	if err != nil {
		return nil, fmt.Errorf("ssl_certificate %s, ssl_key %s: %w", c.TLS.Certificate, c.TLS.Key, err)
	}
	out := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	switch c.TLS.ClientCert {
	case "", ClientCertNone:
		return out, nil
	case ClientCertOptional:
		out.ClientAuth = tls.VerifyClientCertIfGiven
	case ClientCertRequire:
		out.ClientAuth = tls.RequireAndVerifyClientCert
	default:
		return nil, fmt.Errorf("ssl_client_cert %q is none of none, optional, require", c.TLS.ClientCert)
	}
	pem, err := os.ReadFile(c.TLS.ClientCA)
	if err != nil {
		return nil, fmt.Errorf("ssl_client_ca: %w", err)
	}
	out.ClientCAs = x509.NewCertPool()
	if !out.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("ssl_client_ca %s holds no certificate", c.TLS.ClientCA)
	}
	return out, nil
}
