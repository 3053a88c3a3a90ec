package rabbit

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"jasmind/internal/queue"
)

// link keeps one connection alive: it dials, sets up, waits for the end, and again.
type link struct {
	role   string
	b      *Broker
	target target
	setUp  func(ctx context.Context, s *session) error

	mu      sync.Mutex // guards the following
	sess    *session   // nil while down
	fatal   error      // why it gave up before the first connection
	changed chan struct{}
}

func newLink(role string, b *Broker, t target, setUp func(context.Context, *session) error) *link {
	return &link{role: role, b: b, target: t, setUp: setUp, changed: make(chan struct{})}
}

// current gives the session, nil while the connection is away.
func (l *link) current() *session {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sess
}

// change gives a channel that is closed at the next change, and the session now.
func (l *link) change() (*session, <-chan struct{}, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sess, l.changed, l.fatal
}

func (l *link) set(s *session, fatal error) {
	l.mu.Lock()
	l.sess, l.fatal = s, fatal
	close(l.changed)
	l.changed = make(chan struct{})
	l.mu.Unlock()
}

func (l *link) waitFirst(ctx context.Context) error {
	for {
		s, changed, fatal := l.change()
		if fatal != nil || s != nil {
			return fatal
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%w: %s connection: %w", queue.ErrUnavailable, l.role, context.Cause(ctx))
		}
	}
}

func (l *link) run(ctx context.Context) {
	log := l.b.log.With("connection", l.role)
	pause, first, told, began := l.b.cfg.ReconnectMin, true, false, time.Now()
	for ctx.Err() == nil {
		s, err := l.dial(ctx)
		if err == nil {
			if err = l.setUp(ctx, s); err != nil {
				s.abort(err)
				s.end()
			}
		}
		if err != nil {
			if first && (isFatal(err) || errors.Is(err, ErrOwned) && time.Since(began) >= l.b.cfg.ownedPatience()) {
				l.set(nil, err)
				return
			}
			if !told && ctx.Err() == nil {
				told = true
				log.Warn("broker cannot be reached, trying on", "err", err)
			}
			// Jitter, so that many gateways do not come back in step.
			wait := pause/2 + rand.N(pause/2+1)
			select {
			case <-time.After(wait):
			case <-ctx.Done():
			}
			pause = min(pause*2, l.b.cfg.ReconnectMax)
			continue
		}
		pause, first, told = l.b.cfg.ReconnectMin, false, false
		l.set(s, nil)
		l.b.refreshState()
		select {
		case <-s.closed:
			if ctx.Err() == nil && !l.b.isClosed() {
				log.Warn("broker connection lost", "err", s.reason)
			}
		case <-ctx.Done():
			s.abort(context.Cause(ctx))
		}
		l.set(nil, nil)
		l.b.refreshState()
		s.end()
	}
}

// isFatal tells what another attempt cannot change: refused credentials or virtual host
// (403, 530), a certificate that does not hold, and what exists with other arguments.
func isFatal(err error) bool {
	var e *amqp.Error
	var unverified *tls.CertificateVerificationError
	if errors.As(err, &unverified) {
		return true
	}
	if errors.As(err, &e) && (e.Code == amqp.AccessRefused || e.Code == amqp.NotAllowed) {
		return true
	}
	return errors.Is(err, ErrArguments) || errors.Is(err, amqp.ErrCredentials) || errors.Is(err, amqp.ErrSASL) || errors.Is(err, amqp.ErrVhost)
}

// session is one connection from its handshake to its end.
type session struct {
	conn   *amqp.Connection
	major  int // of the broker's version; 0: it tells none
	sock   *socket
	unhook func() bool // releases what cuts the connection when the link's context ends

	closed chan struct{} // closed when the connection has ended
	reason error         // why, readable after closed

	publishers []*publisher // publishing only
	delayed    *publisher   // for delay buckets, so that a slow bucket holds up nobody else

	mu      sync.Mutex    // guards the following
	blocked chan struct{} // closed while the broker has an alarm
	ended   bool          // no more goroutines

	wg sync.WaitGroup
}

// start runs f in a goroutine that end waits for; false if the session has ended.
func (s *session) start(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		s.wg.Go(f)
	}
	return !s.ended
}

// end waits for what start started. The connection must be closed.
func (s *session) end() {
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	s.wg.Wait()
	s.unhook()
}

func (l *link) dial(ctx context.Context) (*session, error) {
	cfg := l.b.cfg
	secure, err := cfg.tls()
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", l.target.shown, err)
	}
	var sock *socket
	props := amqp.NewConnectionProperties()
	props.SetClientConnectionName(cfg.Name + " " + l.role)
	stop := func() bool { return true }
	conn, err := amqp.DialConfig(l.target.url, amqp.Config{
		Heartbeat:       cfg.Heartbeat,
		TLSClientConfig: secure,
		Properties:      props,
		Dial: func(network, addr string) (c net.Conn, err error) {
			if sock, err = dialSocket(ctx, network, addr, cfg.DialTimeout); err != nil {
				return nil, err
			}
			s := sock
			stop = context.AfterFunc(ctx, func() { s.fail(context.Cause(ctx)) })
			return sock, nil
		},
	})
	if err != nil {
		stop()
		if sock != nil {
			sock.fail(err)
			<-sock.done
		}
		return nil, fmt.Errorf("connect to %s: %w", l.target.shown, err)
	}
	s := &session{conn: conn, sock: sock, unhook: stop, closed: make(chan struct{}), blocked: make(chan struct{})}
	version, _ := conn.Properties["version"].(string)
	s.major, _ = strconv.Atoi(strings.SplitN(version, ".", 2)[0])
	closes := conn.NotifyClose(make(chan *amqp.Error, 1))
	blocks := conn.NotifyBlocked(make(chan amqp.Blocking, 8))
	s.start(func() { s.watch(l.b, closes, blocks) })
	return s, nil
}

// watch follows the connection's notices until it ends.
func (s *session) watch(b *Broker, closes <-chan *amqp.Error, blocks <-chan amqp.Blocking) {
	for {
		select {
		case e, ok := <-closes:
			s.reason = errors.New("closed")
			if ok && e != nil {
				s.reason = e
			}
			s.sock.fail(s.reason)
			close(s.closed)
			return
		case n, ok := <-blocks:
			if !ok {
				blocks = nil
				continue
			}
			s.setBlocked(n.Active)
			if n.Active {
				b.log.Warn("broker blocks publishing", "err", n.Reason)
			}
			b.refreshState()
		}
	}
}

func (s *session) setBlocked(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.blocked:
		if !on {
			s.blocked = make(chan struct{})
		}
	default:
		if on {
			close(s.blocked)
		}
	}
}

// blockedC is closed when the broker blocks.
func (s *session) blockedC() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.blocked
}

func (s *session) isBlocked() bool {
	select {
	case <-s.blockedC():
		return true
	default:
		return false
	}
}

// abort cuts the connection; the library notices by its read error.
func (s *session) abort(reason error) {
	s.sock.fail(reason)
	<-s.closed
}

// close says goodbye to the broker, or cuts the connection when ctx ends first.
func (s *session) close(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() { s.sock.fail(context.Cause(ctx)) })
	defer stop()
	// The error is that of a connection which ended by itself meanwhile: all the same here.
	_ = s.conn.CloseDeadline(time.Now().Add(2 * time.Second))
	s.abort(queue.ErrClosed)
}
