package smpp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"
)

// ServerConfig is what a Server needs beside what its sessions need.
type ServerConfig struct {
	Config // of each session; Bind and Handler are meant to be set

	// OnEnd is called when a session has ended, with what its Run returned.
	OnEnd func(s *Session, err error)
}

// Server accepts ESMEs on any number of listeners.
//
//	srv := smpp.NewServer(cfg)
//	err := srv.Listen(ctx, "tcp", ":2775", nil)
//	wg.Go(func() { err = srv.Serve(ctx) })
//	err = srv.Shutdown(ctx)
//
// mu guards what stands under it.
type Server struct {
	cfg  ServerConfig
	log  *slog.Logger
	wg   sync.WaitGroup // of connections
	stop chan struct{}  // closed by Shutdown
	idle chan struct{}  // closed when Serve is about to return

	mu        sync.Mutex
	listeners []listener
	sessions  map[*Session]struct{}
	serving   bool
	closed    bool
}

type listener struct {
	net.Listener
	tls *tls.Config
}

// NewServer makes a server without listeners.
func NewServer(cfg ServerConfig) *Server {
	cfg.Config = cfg.withDefaults(SMSC)
	// Defaults are applied again for each session, to which an inactive timer must not look unset.
	for _, d := range []*time.Duration{&cfg.EnquireLink, &cfg.Inactivity, &cfg.Response, &cfg.SessionInit, &cfg.PDURead} {
		if *d == 0 {
			*d = -1
		}
	}
	return &Server{
		cfg:      cfg,
		log:      cfg.Logger,
		stop:     make(chan struct{}),
		idle:     make(chan struct{}),
		sessions: make(map[*Session]struct{}),
	}
}

// Listen opens a listener, with TLS if tc is not nil. It is called before Serve.
func (srv *Server) Listen(ctx context.Context, network, addr string, tc *tls.Config) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, network, addr)
	if err != nil {
		return fmt.Errorf("smpp server: %w", err)
	}
	if err := srv.ListenOn(l, tc); err != nil {
		l.Close() //nolint:errcheck // the first error counts
		return err
	}
	return nil
}

// ListenOn adds a listener that exists; the server closes it.
func (srv *Server) ListenOn(l net.Listener, tc *tls.Config) error {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if srv.closed {
		return ErrServerClosed
	}
	if srv.serving {
		return errors.New("smpp server: Listen after Serve")
	}
	srv.listeners = append(srv.listeners, listener{l, tc})
	return nil
}

// Addrs are the addresses listened on, in the order of Listen.
func (srv *Server) Addrs() []net.Addr {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	addrs := make([]net.Addr, len(srv.listeners))
	for i, l := range srv.listeners {
		addrs[i] = l.Addr()
	}
	return addrs
}

// Addr is the first address listened on, nil if there is none.
func (srv *Server) Addr() net.Addr {
	if addrs := srv.Addrs(); len(addrs) > 0 {
		return addrs[0]
	}
	return nil
}

// Sessions are those connected at this moment, bound or not, in no order.
func (srv *Server) Sessions() []*Session {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	list := make([]*Session, 0, len(srv.sessions))
	for s := range srv.sessions {
		list = append(list, s)
	}
	return list
}

// Serve accepts connections until Shutdown, with nil, or until ctx ends, with its
// cause; it returns when every session has ended and no goroutine is left.
func (srv *Server) Serve(ctx context.Context) error {
	srv.mu.Lock()
	if srv.closed || srv.serving {
		srv.mu.Unlock()
		return ErrServerClosed
	}
	srv.serving = true
	listeners := srv.listeners
	srv.mu.Unlock()

	aborted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(aborted)
		srv.close()
	})
	for _, l := range listeners {
		srv.wg.Go(func() { srv.acceptLoop(ctx, l) })
	}
	srv.wg.Wait()
	if !stop() {
		<-aborted
	}
	srv.close()
	close(srv.idle)
	select {
	case <-srv.stop:
		return nil
	default:
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// close refuses new connections.
func (srv *Server) close() {
	srv.mu.Lock()
	srv.closed = true
	listeners := srv.listeners
	srv.mu.Unlock()
	for _, l := range listeners {
		l.Close() //nolint:errcheck // closing twice is fine
	}
}

// Shutdown closes the listeners and shuts every session down, see Session.Shutdown. It
// returns when Serve has nothing left to wait for, or the cause of ctx.
func (srv *Server) Shutdown(ctx context.Context) error {
	srv.mu.Lock()
	serving := srv.serving
	if !srv.closed {
		close(srv.stop)
	}
	srv.closed = true
	srv.mu.Unlock()
	srv.close()

	var wg sync.WaitGroup
	for _, s := range srv.Sessions() {
		wg.Go(func() {
			if err := s.Shutdown(ctx); err != nil {
				s.log.Warn("session not shut down in order", "err", err)
			}
		})
	}
	wg.Wait()
	if !serving {
		return nil
	}
	select {
	case <-srv.idle:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// acceptLoop accepts until the listener is closed. Errors, such as too many open files, are
// waited out: whatever the reason, giving up would leave a server that looks alive.
func (srv *Server) acceptLoop(ctx context.Context, l listener) {
	const first, most = 5 * time.Millisecond, time.Second
	delay := first
	for {
		conn, err := l.Accept()
		if err == nil {
			delay = first
			srv.accept(ctx, l, conn)
			continue
		}
		if errors.Is(err, net.ErrClosed) || srv.isClosed() {
			return
		}
		srv.log.Warn("accept", "err", err, "dur", delay)
		t := time.NewTimer(delay)
		select {
		case <-t.C:
		case <-srv.stop:
		case <-ctx.Done():
		}
		t.Stop()
		delay = min(2*delay, most)
	}
}

func (srv *Server) isClosed() bool {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	return srv.closed
}

// accept starts the session of a connection. How many there may be is its listener's affair.
func (srv *Server) accept(ctx context.Context, l listener, conn net.Conn) {
	from := conn.RemoteAddr().String()
	if err := noDelay(conn); err != nil {
		conn.Close() //nolint:errcheck // it is broken
		return
	}
	raw := conn
	if l.tls != nil {
		conn = tls.Server(conn, l.tls) // the handshake comes with the first read, within SessionInit
	}
	cfg := srv.cfg.Config
	cfg.Logger = srv.log.With("peer", from)
	s := NewSession(conn, SMSC, cfg)

	srv.mu.Lock()
	closed := srv.closed
	if !closed {
		srv.sessions[s] = struct{}{}
	}
	srv.mu.Unlock()
	if closed {
		srv.log.Warn("connection refused", "peer", from, "reason", "server is shutting down")
		raw.Close() //nolint:errcheck // nothing was said yet
		return
	}
	srv.wg.Go(func() {
		err := s.Run(ctx)
		srv.mu.Lock()
		delete(srv.sessions, s)
		srv.mu.Unlock()
		srv.ended(s, err)
	})
}

// ended logs the end of a session, once.
func (srv *Server) ended(s *Session, err error) {
	switch {
	case err == nil, errors.Is(err, ErrUnbound), errors.Is(err, ErrPeerClosed), errors.Is(err, context.Canceled):
		s.log.Debug("session ended", "system_id", s.SystemID(), "err", err)
	default:
		s.log.Warn("session ended", "system_id", s.SystemID(), "err", err)
	}
	if srv.cfg.OnEnd != nil {
		srv.cfg.OnEnd(s, err)
	}
}
