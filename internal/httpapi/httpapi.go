// Package httpapi is the HTTP door: /send, /rate, /balance, /ping and /metrics, with the parameters, texts
// and status codes of the original's HTTP API. It validates and authenticates; everything
// else is mt.Submit's.
package httpapi

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"jasmind/internal/account"
	"jasmind/internal/mt"
)

// Config holds the settings of the door ([http-api] in jasmin.cfg).
type Config struct {
	Disabled    bool          // --disable-http-api
	Bind        string        // bind, default 0.0.0.0
	Port        int           // port, 0: any free port
	TLS         *tls.Config   // nil: plain HTTP
	MaxBody     int64         // octets of a request's body, default 1 MiB
	MaxConns    int           // connections open at a time, default 10000
	ReadTimeout time.Duration // for a whole request, default 30 s
	IdleTimeout time.Duration // of a kept-alive connection, default 120 s
	SubmitWait  time.Duration // for a message to become durable, default 15 s
	LogPrivacy  bool          // log_privacy: no message text in the log
	Release     string        // what / answers
}

func (c *Config) defaults() {
	if c.MaxBody <= 0 {
		c.MaxBody = 1 << 20
	}
	if c.MaxConns <= 0 {
		c.MaxConns = 10000
	}
	if c.ReadTimeout <= 0 {
		c.ReadTimeout = 30 * time.Second
	}
	if c.IdleTimeout <= 0 {
		c.IdleTimeout = 120 * time.Second
	}
	if c.SubmitWait <= 0 {
		c.SubmitWait = 15 * time.Second
	}
}

// authenticator checks credentials.
type authenticator interface {
	// Check gives the user behind a name and password. Errors: *sms.Error with
	// ReasonAuthentication, or ReasonUnavailable when too many checks wait.
	Check(ctx context.Context, username, password string) (*account.User, error)
}

// submitter takes messages.
type submitter interface {
	Submit(ctx context.Context, m *mt.Message) (mt.Accepted, error)
	// Count tells into how many parts a message would be cut.
	Count(m *mt.Message) (int, error)
	// Quote tells what it would cost.
	Quote(ctx context.Context, m *mt.Message) (mt.Quote, error)
}

// Stats are the counters of the door, under the original's names. Fields may be read at any time.
type Stats struct {
	CreatedAt         time.Time
	RequestCount      atomic.Int64
	SuccessCount      atomic.Int64
	AuthErrors        atomic.Int64
	RouteErrors       atomic.Int64
	ThroughputErrors  atomic.Int64
	ChargingErrors    atomic.Int64
	ServerErrors      atomic.Int64
	InterceptorCount  atomic.Int64
	InterceptorErrors atomic.Int64
	LastRequestAt     atomic.Int64 // milliseconds since the epoch, 0: never
	LastSuccessAt     atomic.Int64
}

// Server is the door. Create it with New, then Listen, then Serve.
type Server struct {
	cfg    Config
	auth   authenticator
	submit submitter
	ledger ledger
	log    *slog.Logger
	access *accessLog
	http   *http.Server
	ln     net.Listener
	users  users
	Stats  Stats
}

// New makes the door. access receives one line per request in the combined log format, with
// passwords masked; nil: none. metrics serves /metrics; nil: 404.
func New(cfg Config, auth authenticator, submit submitter, l ledger, metrics http.Handler, access io.Writer, log *slog.Logger) *Server {
	cfg.defaults()
	s := &Server{cfg: cfg, auth: auth, submit: submit, ledger: l, log: log}
	s.Stats.CreatedAt = time.Now()
	mux := http.NewServeMux()
	mux.HandleFunc("/send", s.send)
	mux.HandleFunc("/rate", s.rate)
	mux.HandleFunc("/balance", s.balance)
	mux.HandleFunc("/ping", s.ping)
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) { text(w, http.StatusOK, cfg.Release) })
	if metrics != nil {
		mux.Handle("/metrics", metrics)
	}
	var h http.Handler = mux
	if access != nil {
		s.access = &accessLog{w: access, next: mux}
		h = s.access
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	s.http = &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       cfg.ReadTimeout,
		WriteTimeout:      cfg.ReadTimeout + cfg.SubmitWait,
		IdleTimeout:       cfg.IdleTimeout,
		MaxHeaderBytes:    64 << 10,
		TLSConfig:         cfg.TLS,
		Protocols:         protocols,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return s
}

// Listen opens the listener, so that Addr is known before Serve.
func (s *Server) Listen() error {
	addr := net.JoinHostPort(s.cfg.Bind, fmt.Sprint(s.cfg.Port))
	network := "tcp"
	if ip := net.ParseIP(s.cfg.Bind); ip != nil && ip.To4() != nil {
		network = "tcp4" // 0.0.0.0 is not to open IPv6 as well
	}
	ln, err := net.Listen(network, addr)
	if err != nil {
		return fmt.Errorf("http-api: listen on %s: %w", addr, err)
	}
	s.ln = newBoundedListener(ln, s.cfg.MaxConns)
	return nil
}

// Addr is where the door listens, after Listen.
func (s *Server) Addr() net.Addr { return s.ln.Addr() }

// Serve answers requests until Shutdown; then it returns nil.
func (s *Server) Serve() error {
	var err error
	if s.cfg.TLS != nil {
		err = s.http.ServeTLS(s.ln, "", "")
	} else {
		err = s.http.Serve(s.ln)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("http-api: %w", err)
}

// Shutdown refuses new connections and waits for requests under way until ctx ends; those
// left then are cut off, unanswered.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("http-api: %w", err), s.http.Close())
	}
	return err
}

func (s *Server) ping(w http.ResponseWriter, r *http.Request) {
	s.log.Debug("ping", "peer", r.RemoteAddr)
	text(w, http.StatusOK, "Jasmin/PONG")
}

func text(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "text/plain")
	w.WriteHeader(status)
	io.WriteString(w, body)
}

// boundedListener accepts no more than max connections at a time; further ones wait in the
// kernel's backlog.
type boundedListener struct {
	net.Listener
	slots chan struct{}
	once  sync.Once
	done  chan struct{}
}

func newBoundedListener(ln net.Listener, max int) *boundedListener {
	return &boundedListener{Listener: ln, slots: make(chan struct{}, max), done: make(chan struct{})}
}

func (l *boundedListener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.done:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &boundedConn{Conn: c, release: sync.OnceFunc(func() { <-l.slots })}, nil
}

func (l *boundedListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return l.Listener.Close()
}

type boundedConn struct {
	net.Conn
	release func()
}

func (c *boundedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}
