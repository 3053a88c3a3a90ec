package connector

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	"jasmind/internal/smppc"
)

// tlsFor reads a connector's ssl keys; nil when it has no ssl. Files are read at each
// connection, so that a renewed certificate needs no restart. Each error names the key.
func tlsFor(cfg *smppc.Config) (*tls.Config, error) {
	if !cfg.SSL {
		return nil, nil
	}
	out := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		ServerName:         cfg.SSLServerName,
		InsecureSkipVerify: !cfg.SSLVerify, //nolint:gosec // ssl_verify no: the operator's wish, and there is a warning at each bind
	}
	if out.ServerName == "" {
		out.ServerName = cfg.Host
	}
	if cfg.SSLCA != "" {
		pool, err := readPool(cfg.SSLCA)
		if err != nil {
			return nil, fmt.Errorf("ssl_ca: %w", err)
		}
		out.RootCAs = pool
	}
	cert, err := ownCertificate(cfg)
	if err != nil {
		return nil, err
	}
	if cert != nil {
		out.Certificates = []tls.Certificate{*cert}
	}
	return out, nil
}

// tlsForOutbind is tlsFor for the listener that the SMSC connects to: ssl_cert is what we show there, and
// with ssl_ca the SMSC has to show a certificate, too.
func tlsForOutbind(cfg *smppc.Config) (*tls.Config, error) {
	if !cfg.SSL {
		return nil, nil
	}
	cert, err := ownCertificate(cfg)
	if err != nil {
		return nil, err
	}
	if cert == nil {
		return nil, errors.New("ssl_cert, ssl_key: outbind with ssl needs both")
	}
	out := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*cert}}
	if cfg.SSLCA != "" && cfg.SSLVerify {
		if out.ClientCAs, err = readPool(cfg.SSLCA); err != nil {
			return nil, fmt.Errorf("ssl_ca: %w", err)
		}
		out.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return out, nil
}

// ownCertificate is what ssl_cert and ssl_key name, nil for none.
func ownCertificate(cfg *smppc.Config) (*tls.Certificate, error) {
	switch {
	case cfg.SSLCert == "" && cfg.SSLKey == "":
		return nil, nil
	case cfg.SSLKey == "":
		return nil, fmt.Errorf("ssl_key: missing, ssl_cert is %s", cfg.SSLCert)
	case cfg.SSLCert == "":
		return nil, fmt.Errorf("ssl_cert: missing, ssl_key is %s", cfg.SSLKey)
	}
	cert, err := tls.LoadX509KeyPair(cfg.SSLCert, cfg.SSLKey)
	if err != nil {
		return nil, fmt.Errorf("ssl_cert %s, ssl_key %s: %w", cfg.SSLCert, cfg.SSLKey, err)
	}
	return &cert, nil
}

func readPool(path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", path)
	}
	return pool, nil
}
