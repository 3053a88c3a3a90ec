package smpp

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"

	"jasmind/internal/smpp/pdu"
)

// DialConfig says how to reach an SMSC and as whom to bind.
type DialConfig struct {
	TLS    *tls.Config // nil for plain TCP; ServerName defaults to the host dialled
	Bind   pdu.Bind
	Config Config
	Dialer net.Dialer // local address, keep-alive; its zero value will do
}

// Dial connects, binds and returns a bound session for which Run, or Close, is to be
// called next; what arrives until then waits in the connection. Config.SessionInit is the time for
// all of it: ErrBindTimeout past that. A refused bind is a *StatusError.
func Dial(ctx context.Context, network, addr string, cfg DialConfig) (*Session, *pdu.BindResp, error) {
	norm := cfg.Config.withDefaults(ESME)
	if norm.SessionInit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, norm.SessionInit, ErrBindTimeout)
		defer cancel()
	}
	conn, err := connect(ctx, network, addr, cfg)
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, nil, fmt.Errorf("connect to %s: %w", addr, err)
	}
	s := NewSession(conn, ESME, cfg.Config)
	bind := cfg.Bind
	resp, err := s.Bind(ctx, &bind)
	if err != nil {
		s.Close(err)
		return nil, nil, fmt.Errorf("bind to %s: %w", addr, err)
	}
	return s, resp, nil
}

// connect opens the connection, TLS included.
func connect(ctx context.Context, network, addr string, cfg DialConfig) (net.Conn, error) {
	conn, err := cfg.Dialer.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	if err := noDelay(conn); err != nil {
		conn.Close() //nolint:errcheck // the first error counts
		return nil, err
	}
	if cfg.TLS == nil {
		return conn, nil
	}
	tc := cfg.TLS.Clone()
	if tc.ServerName == "" {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			host = addr
		}
		tc.ServerName = host
	}
	secure := tls.Client(conn, tc)
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close() //nolint:errcheck // the first error counts
		return nil, fmt.Errorf("tls: %w", err)
	}
	return secure, nil
}

// noDelay sends every batch at once: the write loop has done the gathering.
func noDelay(conn net.Conn) error {
	if c, ok := conn.(*net.TCPConn); ok {
		return c.SetNoDelay(true)
	}
	return nil
}
