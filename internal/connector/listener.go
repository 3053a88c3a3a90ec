package connector

import (
	"context"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"jasmind/internal/smpp"
	"jasmind/internal/smppc"
)

const (
	// offerTime is how long a connection of the SMSC waits for a bind that has none.
	offerTime = time.Second
	// resolveTime bounds the look-up of host.
	resolveTime = 5 * time.Second
)

// listener is where an SMSC connects that wants to be bound to (SMPP v3.4 §2.2.1): it opens the
// connection, sends outbind, and the bind goes back the same way. Since that tells it our password,
// only connections from host are taken, and the outbind must carry what outbind_system_id and
// outbind_password say.
type listener struct {
	*settings
	log     *slog.Logger
	secured *secured
	changed func() // is told when the listener comes or goes
	conns   chan net.Conn

	mu   sync.Mutex
	addr net.Addr // listened on; nil while it is not
}

// run listens until ctx ends, again and again.
func (l *listener) run(ctx context.Context, cfg *smppc.Config) {
	var again backoff
	for {
		socket, err := (&net.ListenConfig{}).Listen(ctx, "tcp", cfg.Outbind)
		if err == nil {
			again.reset()
			l.log.Info("waiting for outbind", "address", socket.Addr().String())
			l.note(socket.Addr())
			err = l.accept(ctx, socket, cfg)
			l.note(nil)
		}
		if ctx.Err() != nil {
			return
		}
		wait := again.next(cfg.ConFailDelay)
		l.log.Error("outbind: cannot listen, will be tried again", "address", cfg.Outbind, "in", wait, "err", err)
		if !sleep(ctx, nil, wait) {
			return
		}
	}
}

func (l *listener) note(a net.Addr) {
	l.mu.Lock()
	l.addr = a
	l.mu.Unlock()
	l.changed()
}

// OutbindAddr is where outbind is waited for at this moment; nil for nowhere.
func (c *Connector) OutbindAddr() net.Addr {
	l := c.binds.listener
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.addr
}

// accept hands connections of the SMSC to binds that have none.
func (l *listener) accept(ctx context.Context, socket net.Listener, cfg *smppc.Config) error {
	closed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(closed)
		socket.Close() //nolint:errcheck // to wake Accept
	})
	defer func() {
		if !stop() {
			<-closed
		}
		socket.Close() //nolint:errcheck // closing twice is fine
	}()
	for {
		conn, err := socket.Accept()
		if err != nil {
			return err
		}
		if err := fromHost(ctx, conn, cfg.Host); err != nil {
			l.log.Warn("connection refused", "from", conn.RemoteAddr().String(), "err", err)
			conn.Close() //nolint:errcheck // nothing was said yet
			continue
		}
		t := time.NewTimer(offerTime)
		select {
		case l.conns <- conn:
		case <-t.C:
			l.log.Warn("connection refused, every bind has one", "from", conn.RemoteAddr().String(), "binds", l.cfg.Load().Binds)
			conn.Close() //nolint:errcheck // nothing was said yet
		case <-ctx.Done():
			conn.Close() //nolint:errcheck // nothing was said yet
		}
		t.Stop()
	}
}

// fromHost checks that a connection comes from an address of host.
func fromHost(ctx context.Context, conn net.Conn, host string) error {
	from, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return errors.New("not a TCP connection")
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTime)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupIPAddr(ctx, host)
	if err != nil {
		return fmt.Errorf("host %s: %w", host, err)
	}
	for _, a := range addrs {
		if a.IP.Equal(from.IP) {
			return nil
		}
	}
	return fmt.Errorf("it is not from host %s", host)
}

// answerOutbind waits for a connection of the SMSC and binds on it.
func (l *listener) answerOutbind(ctx context.Context, cfg *smppc.Config, dial smpp.DialConfig) (*smpp.Session, error) {
	var conn net.Conn
	select {
	case conn = <-l.conns:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	tc, err := l.secured.config(cfg)
	if err != nil {
		conn.Close() //nolint:errcheck // nothing was said yet
		return nil, err
	}
	if tc != nil {
		conn = tls.Server(conn, tc)
	}
	s := smpp.NewSession(conn, smpp.ESME, dial.Config)
	out, err := s.AwaitOutbind(ctx)
	switch {
	case err != nil:
	case !equal(cfg.OutbindSystemID, out.SystemID):
		err = fmt.Errorf("outbind_system_id: %q is not what outbind must carry", out.SystemID)
	case !equal(cfg.OutbindPassword, out.Password):
		err = errors.New("outbind_password: outbind carries another one")
	default:
		_, err = s.Bind(ctx, &dial.Bind)
	}
	if err != nil {
		s.Close(err)
		return nil, fmt.Errorf("outbind from %s: %w", conn.RemoteAddr(), err)
	}
	return s, nil
}

// equal compares what a peer says with what it must say, "" for anything.
func equal(want, got string) bool {
	return want == "" || subtle.ConstantTimeCompare([]byte(want), []byte(got)) == 1
}
