package connector

import (
	"cmp"
	"crypto/tls"
	"log/slog"
	"sync"

	"jasmind/internal/certs"
	"jasmind/internal/smppc"
)

// secured keeps what a connector's ssl keys name for its next connections.
type secured struct {
	log *slog.Logger

	mu     sync.Mutex // guards source
	source *certs.Source
}

// config is for the next connection, ours or the SMSC's; nil when the connector has no ssl. Files that have
// changed are read again, so that a renewed certificate needs no restart.
func (sec *secured) config(cfg *smppc.Config) (*tls.Config, error) {
	if !cfg.SSL {
		return nil, nil
	}
	client := certs.Client{CA: cfg.SSLCA, Cert: cfg.SSLCert, Key: cfg.SSLKey, ServerName: cmp.Or(cfg.SSLServerName, cfg.Host), Unverified: !cfg.SSLVerify}
	var settings certs.Settings = client
	if cfg.Outbind != "" {
		settings = certs.Outbind(client)
	}
	sec.mu.Lock()
	if sec.source == nil || !sec.source.Has(settings) {
		sec.source = certs.New("connector "+string(cfg.CID), settings, sec.log)
	}
	source := sec.source
	sec.mu.Unlock()
	return source.Config()
}
