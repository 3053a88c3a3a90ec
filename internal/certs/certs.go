// Package certs makes TLS configurations from PEM files, for servers and clients. It reads the files again when they
// change or when Reload is called. If new files have a fault, the log says so and the last good configuration stays in use.
//
//	source := certs.New("http-api", certs.Server{Certificate: "/c.pem", Key: "/k.pem"}, log)
//	err := source.Reload()                          // names each fault at start
//	listener = tls.NewListener(listener, source.Server())
package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
)

// Settings is a Server, an HTTP, a Client or an Outbind: the names of the files, and their use. Settings can be
// compared with ==.
type Settings interface {
	files() []string
	read() (*tls.Config, error)
}

// Source is a TLS configuration that follows its files. A Source is safe for concurrent use.
type Source struct {
	name     string
	settings Settings
	log      *slog.Logger
	current  atomic.Pointer[tls.Config] // nil: the files were never read without a fault

	mu   sync.Mutex // guards seen; held while the files are read
	seen []fs.FileInfo
}

// New makes a Source, without reading files. name is the section of jasmin.cfg or the connector; errors begin with it.
func New(name string, s Settings, log *slog.Logger) *Source {
	return &Source{name: name, settings: s, log: log}
}

// Reload reads the files again. If they have a fault, the last good configuration stays, and the error names
// the setting and the file.
func (s *Source) Reload() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.load(look(s.settings.files()))
}

// Config gives the configuration for a new connection, after reading files that have changed. It fails only if the files
// were never read without a fault.
func (s *Source) Config() (*tls.Config, error) {
	if s.current.Load() == nil {
		if err := s.Reload(); err != nil {
			return nil, err
		}
		return s.current.Load(), nil
	}
	if s.mu.TryLock() { // only one caller reads the files; the others do not wait
		defer s.mu.Unlock()
		if now := look(s.settings.files()); !slices.EqualFunc(now, s.seen, same) {
			if err := s.load(now); err != nil {
				s.log.Error("certificates were not read again", "err", err)
			} else {
				s.log.Info("certificates read again, they have changed")
			}
		}
	}
	return s.current.Load(), nil
}

// Server gives a configuration for listeners with which each new connection uses the result of Config.
func (s *Source) Server() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return s.Config() }}
}

// Has tells whether the Source was made for settings.
func (s *Source) Has(settings Settings) bool { return s.settings == settings }

// load reads the files and notes seen, their state before the reading. s.mu is held.
func (s *Source) load(seen []fs.FileInfo) error {
	s.seen = seen
	fresh, err := s.settings.read()
	if err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	s.current.Store(fresh)
	return nil
}

// Set is a group of Sources that are read again together.
type Set []*Source

// Add adds a Source, unless it is nil.
func (set *Set) Add(s *Source) {
	if s != nil {
		*set = append(*set, s)
	}
}

// Reload calls Reload of every Source and joins the errors.
func (set Set) Reload() error {
	errs := make([]error, len(set))
	for i, s := range set {
		errs[i] = s.Reload()
	}
	return errors.Join(errs...)
}

// look gives the state of each file; nil for a file that does not exist.
func look(files []string) []fs.FileInfo {
	out := make([]fs.FileInfo, len(files))
	for i, name := range files {
		if name != "" {
			out[i], _ = os.Stat(name)
		}
	}
	return out
}

func same(a, b fs.FileInfo) bool {
	return a == nil && b == nil || a != nil && b != nil && os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// Server says how a server identifies itself and checks its clients.
type Server struct {
	Certificate string     // ssl_certificate: PEM file with the server's certificate and its intermediate certificates
	Key         string     // ssl_key: PEM file with the private key
	ClientCA    string     // ssl_client_ca: PEM file with the CA certificates that client certificates are checked against
	ClientCert  ClientCert // ssl_client_cert, default none
}

// ClientCert says whether clients have to show a certificate.
type ClientCert string

// The rules of ssl_client_cert.
const (
	ClientCertNone     ClientCert = "none"     // clients are not asked for one
	ClientCertOptional ClientCert = "optional" // a certificate that a client shows is verified
	ClientCertRequire  ClientCert = "require"  // a client without a valid certificate is refused
)

func (c Server) files() []string { return []string{c.Certificate, c.Key, c.ClientCA} }

func (c Server) read() (*tls.Config, error) {
	if c.Certificate == "" || c.Key == "" {
		return nil, errors.New("ssl needs ssl_certificate and ssl_key")
	}
	pair, err := tls.LoadX509KeyPair(c.Certificate, c.Key)
	if err != nil {
		return nil, fmt.Errorf("ssl_certificate %s, ssl_key %s: %w", c.Certificate, c.Key, err)
	}
	out := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	switch c.ClientCert {
	case "", ClientCertNone:
		return out, nil
	case ClientCertOptional:
		out.ClientAuth = tls.VerifyClientCertIfGiven
	case ClientCertRequire:
		out.ClientAuth = tls.RequireAndVerifyClientCert
	default:
		return nil, fmt.Errorf("ssl_client_cert %q is none of none, optional, require", c.ClientCert)
	}
	out.ClientCAs, err = pool("ssl_client_ca", c.ClientCA)
	return out, err
}

// HTTP is a Server that offers HTTP/2 and HTTP/1.1.
type HTTP struct{ Server }

func (c HTTP) read() (*tls.Config, error) {
	out, err := c.Server.read()
	if err == nil {
		out.NextProtos = []string{"h2", "http/1.1"} // what ServeTLS adds to its own configuration only
	}
	return out, err
}

// Client says how a client identifies itself and checks the server.
type Client struct {
	CA         string // ssl_ca: PEM file with the CA certificates that the server is checked against; "": those of the system
	Cert, Key  string // ssl_cert, ssl_key: PEM files with the client's certificate and private key; "": none
	ServerName string // ssl_server_name: the name that the server's certificate must be for
	Unverified bool   // ssl_verify no: the server's certificate is not checked, so anybody can pose as the server
}

func (c Client) files() []string { return []string{c.Cert, c.Key, c.CA} }

func (c Client) read() (*tls.Config, error) {
	out := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.ServerName,
		InsecureSkipVerify: c.Unverified} //nolint:gosec // the operator's wish, of which the client warns
	var err error
	if c.CA != "" {
		if out.RootCAs, err = pool("ssl_ca", c.CA); err != nil {
			return nil, err
		}
	}
	out.Certificates, err = c.own()
	return out, err
}

// own reads the certificate of ssl_cert and ssl_key.
func (c Client) own() ([]tls.Certificate, error) {
	switch {
	case c.Cert == "" && c.Key == "":
		return nil, nil
	case c.Key == "":
		return nil, fmt.Errorf("ssl_key: missing, ssl_cert is %s", c.Cert)
	case c.Cert == "":
		return nil, fmt.Errorf("ssl_cert: missing, ssl_key is %s", c.Key)
	}
	pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
	if err != nil {
		return nil, fmt.Errorf("ssl_cert %s, ssl_key %s: %w", c.Cert, c.Key, err)
	}
	return []tls.Certificate{pair}, nil
}

// Outbind is a Client for connections that the SMSC opens (SMPP v3.4 §2.2.1), in which the SMSC is the client of TLS: we show
// ssl_cert, and with ssl_ca the SMSC has to show a certificate, too.
type Outbind Client

func (c Outbind) files() []string { return Client(c).files() }

func (c Outbind) read() (*tls.Config, error) {
	own, err := Client(c).own()
	if err != nil {
		return nil, err
	}
	if own == nil {
		return nil, errors.New("ssl_cert, ssl_key: outbind with ssl needs both")
	}
	out := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: own}
	if c.CA != "" && !c.Unverified {
		out.ClientAuth = tls.RequireAndVerifyClientCert
		out.ClientCAs, err = pool("ssl_ca", c.CA)
	}
	return out, err
}

// pool reads CA certificates.
func pool(key, path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	out := x509.NewCertPool()
	if !out.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s %s holds no certificate", key, path)
	}
	return out, nil
}
