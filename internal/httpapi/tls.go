package httpapi

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// TLS says how the door identifies itself and its clients.
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
	ClientCertRequire  ClientCert = "require"  // without one there is no connection
)

// load reads the files. Errors name the setting and the file.
func (t *TLS) load() (*tls.Config, error) {
	if t.Certificate == "" || t.Key == "" {
		return nil, errors.New("ssl needs ssl_certificate and ssl_key")
	}
	cert, err := tls.LoadX509KeyPair(t.Certificate, t.Key)
	if err != nil {
		return nil, fmt.Errorf("ssl_certificate %s, ssl_key %s: %w", t.Certificate, t.Key, err)
	}
	// What ServeTLS adds to its own configuration it does not add to this one.
	out := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
	switch t.ClientCert {
	case "", ClientCertNone:
		return out, nil
	case ClientCertOptional:
		out.ClientAuth = tls.VerifyClientCertIfGiven
	case ClientCertRequire:
		out.ClientAuth = tls.RequireAndVerifyClientCert
	default:
		return nil, fmt.Errorf("ssl_client_cert %q is none of none, optional, require", t.ClientCert)
	}
	pem, err := os.ReadFile(t.ClientCA)
	if err != nil {
		return nil, fmt.Errorf("ssl_client_ca: %w", err)
	}
	out.ClientCAs = x509.NewCertPool()
	if !out.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("ssl_client_ca %s holds no certificate", t.ClientCA)
	}
	return out, nil
}

// Reload reads the certificates again, for connections from now on. When they have faults, those
// that are in use stay. Without ssl there is nothing to do.
func (s *Server) Reload() error {
	if !s.cfg.SSL {
		return nil
	}
	fresh, err := s.cfg.TLS.load()
	if err != nil {
		return fmt.Errorf("http-api: %w", err)
	}
	s.tls.Store(fresh)
	return nil
}

// tlsConfig has each connection use what was loaded last.
func (s *Server) tlsConfig() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return s.tls.Load(), nil },
	}
}
