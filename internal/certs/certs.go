// Package certs makes TLS configurations of PEM files, for every door and every client, and reads the files
// again when they change or when it is told to. New files with a fault are told; the configuration before stays.
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

// Settings are a Server, a Client or an Outbind: which files there are, and what they are for. They are
// compared with ==.
type Settings interface {
	files() []string
	read() (*tls.Config, error)
}

// Source is the TLS configuration that settings and their files make. It is safe for concurrent use.
type Source struct {
	name     string
	settings Settings
	log      *slog.Logger
	current  atomic.Pointer[tls.Config] // nil: the files were never without fault

	mu   sync.Mutex // guards seen; held while files are looked at
	seen []fs.FileInfo
}

// New makes a Source, which reads nothing yet. Its errors begin with name, that of the section or the connector.
func New(name string, s Settings, log *slog.Logger) *Source {
	return &Source{name: name, settings: s, log: log}
}

// Reload reads the files again. When they have a fault the configuration before stays, and the error names
// setting and file.
func (s *Source) Reload() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.load(look(s.settings.files()))
}

// Config is for the connections that begin now: as the files say if they have changed. The error tells why
// there is none.
func (s *Source) Config() (*tls.Config, error) {
	if s.current.Load() == nil {
		if err := s.Reload(); err != nil {
			return nil, err
		}
		return s.current.Load(), nil
	}
	if s.mu.TryLock() { // one looks, nobody waits for the disk
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

// Server is a configuration for listeners, which has each connection use what Config gives.
func (s *Source) Server() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return s.Config() }}
}

// Has tells whether the configuration is that of some settings.
func (s *Source) Has(settings Settings) bool { return s.settings == settings }

// load reads the files, which looked like seen before. s.mu is held.
func (s *Source) load(seen []fs.FileInfo) error {
	s.seen = seen
	fresh, err := s.settings.read()
	if err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	s.current.Store(fresh)
	return nil
}

// Set is every Source that is to be read again on demand.
type Set []*Source

// Add adds a Source; nil is none.
func (set *Set) Add(s *Source) {
	if s != nil {
		*set = append(*set, s)
	}
}

// Reload has each read its files again. The error joins theirs.
func (set Set) Reload() error {
	errs := make([]error, len(set))
	for i, s := range set {
		errs[i] = s.Reload()
	}
	return errors.Join(errs...)
}

// look tells files apart from what they were; nil for one that is not there.
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

// Server says how a door identifies itself and its clients.
type Server struct {
	Certificate string     // ssl_certificate: PEM file with the door's certificate and those that vouch for it
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

// HTTP is a Server that speaks HTTP, 2 or 1.1.
type HTTP struct{ Server }

func (c HTTP) read() (*tls.Config, error) {
	out, err := c.Server.read()
	if err == nil {
		out.NextProtos = []string{"h2", "http/1.1"} // what ServeTLS adds to its own configuration only
	}
	return out, err
}

// Client says how we identify ourselves to a server, and the server itself to us.
type Client struct {
	CA         string // ssl_ca: PEM file with the certificates that vouch for the server's; "": the system's
	Cert, Key  string // ssl_cert, ssl_key: PEM files with our certificate and its key; "": none
	ServerName string // ssl_server_name: whom the server's certificate must be for
	Unverified bool   // ssl_verify no: anybody may answer in the server's place
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

// own is what ssl_cert and ssl_key name.
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

// Outbind are the settings of a Client for a connection that its server opens (SMPP v3.4 §2.2.1): ssl_cert is
// what we show there, and with ssl_ca the server has to show a certificate, too.
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

// pool reads the certificates that vouch for others'.
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
