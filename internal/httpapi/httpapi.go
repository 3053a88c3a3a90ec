// Package httpapi is the HTTP door: /send, /rate, /balance, /ping and /metrics, with the parameters, texts
// and status codes of the original's HTTP API. It validates and authenticates; everything
// else is mt.Submit's.
package httpapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"jasmind/internal/account"
	"jasmind/internal/admission"
	"jasmind/internal/certs"
	"jasmind/internal/logging"
	"jasmind/internal/metrics"
	"jasmind/internal/mt"
)

// Config holds the settings of the door ([http-api] in jasmin.cfg).
type Config struct {
	Disabled      bool           // --disable-http-api
	Bind          string         // bind, default 0.0.0.0
	Port          int            // port, 0: any free port
	SSL           bool           // ssl: TLS in place of plain HTTP
	TLS           certs.Server   // with SSL
	Allow         []netip.Prefix // allow: who may connect; none: everybody
	H2C           bool           // h2c: HTTP/2 without TLS too
	MaxBody       int            // max_body: octets of a request's body, default 1 MiB
	MaxHeader     int            // max_header: octets of its request line and header, about, default 64 KiB
	MaxConns      int            // max_connections: open at a time, default 10000
	MaxPerAddress int            // max_connections_per_address: of them from one address, default 1000
	HeaderTimeout time.Duration  // header_timeout: for request line and header, default 10 s
	ReadTimeout   time.Duration  // read_timeout: for a whole request, default 30 s
	IdleTimeout   time.Duration  // idle_timeout: of a kept-alive connection, default 120 s
	SubmitWait    time.Duration  // submit_timeout: for a message to become durable, default 15 s
	LogPrivacy    bool           // log_privacy: no message text in the log
	Release       string         // what / answers

	Budget *admission.Budget // of all doors, of clients that have not authenticated; nil: its own
}

func (c *Config) defaults() {
	count := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	duration := func(v *time.Duration, d time.Duration) {
		if *v <= 0 {
			*v = d
		}
	}
	count(&c.MaxBody, 1<<20)
	count(&c.MaxHeader, 64<<10)
	count(&c.MaxConns, 10000)
	count(&c.MaxPerAddress, 1000)
	duration(&c.HeaderTimeout, 10*time.Second)
	duration(&c.ReadTimeout, 30*time.Second)
	duration(&c.IdleTimeout, 120*time.Second)
	duration(&c.SubmitWait, 15*time.Second)
}

// authenticator checks credentials.
type authenticator interface {
	// Check gives the user behind a name and password that came from an address. Errors: *sms.Error with
	// ReasonAuthentication, or ReasonUnavailable when too many checks wait.
	Check(ctx context.Context, from netip.Addr, username, password string) (*account.User, error)
}

// submitter takes messages.
type submitter interface {
	Submit(ctx context.Context, m *mt.Message) (mt.Accepted, error)
	// Count tells into how many parts a message would be cut.
	Count(m *mt.Message) (int, error)
	// Quote tells what it would cost.
	Quote(ctx context.Context, m *mt.Message) (mt.Quote, error)
}

// Stats are the counters of the door, in the order in which the console shows them. Fields may be read at any time.
type Stats struct {
	ServerErrors      atomic.Int64   `console:"server_error_count" metric:"httpapi_server_error_count" help:"Server error count."`
	LastRequestAt     metrics.Moment `console:"last_request_at"`
	ThroughputErrors  atomic.Int64   `console:"throughput_error_count" metric:"httpapi_throughput_error_count" help:"Throughput exceeded error count."`
	SuccessCount      atomic.Int64   `console:"success_count" metric:"httpapi_success_count" help:"Successful http request count."`
	RouteErrors       atomic.Int64   `console:"route_error_count" metric:"httpapi_route_error_count" help:"Routing error count."`
	RequestCount      atomic.Int64   `console:"request_count" metric:"httpapi_request_count" help:"Http request count."`
	AuthErrors        atomic.Int64   `console:"auth_error_count" metric:"httpapi_auth_error_count" help:"Authentication error count."`
	CreatedAt         metrics.Moment `console:"created_at"`
	LastSuccessAt     metrics.Moment `console:"last_success_at"`
	ChargingErrors    atomic.Int64   `console:"charging_error_count" metric:"httpapi_charging_error_count" help:"Charging error count."`
	InterceptorCount  atomic.Int64   `console:"interceptor_count" metric:"httpapi_interceptor_count" help:"Successful http request count."`
	InterceptorErrors atomic.Int64   `console:"interceptor_error_count" metric:"httpapi_interceptor_error_count" help:"Interceptor error count."`
}

// Counters are those of the door; none has counted anything before it is made.
func (s *Server) Counters() []metrics.Item { return metrics.Items(&s.Stats) }

// Server is the door. Create it with New, then Listen, then Serve.
type Server struct {
	cfg    Config
	auth   authenticator
	submit submitter
	ledger ledger
	log    *slog.Logger
	// strangers is for what those can cause who have not authenticated.
	strangers *slog.Logger
	access    *accessLog
	http      *http.Server
	door      *admission.Door
	ln        net.Listener
	users     users
	Stats     Stats
	tls       *certs.Source // nil without ssl
}

// streams is how many requests of one HTTP/2 connection are in work at a time.
const streams = 100

// New makes the door. access receives one line per request in the combined log format, with
// passwords masked; nil: none. scrape serves /metrics; nil: 404.
func New(cfg Config, auth authenticator, submit submitter, l ledger, scrape http.Handler, access io.Writer, log *slog.Logger) *Server {
	cfg.defaults()
	s := &Server{cfg: cfg, auth: auth, submit: submit, ledger: l, log: log}
	s.Stats.CreatedAt.Set(time.Now())
	s.strangers = logging.Thin(log)
	s.door = admission.NewDoor(admission.DoorConfig{Allow: cfg.Allow, Max: cfg.MaxConns, PerAddress: cfg.MaxPerAddress, Budget: cfg.Budget}, s.strangers)
	mux := http.NewServeMux()
	mux.HandleFunc("/send", s.send)
	mux.HandleFunc("/rate", s.rate)
	mux.HandleFunc("/balance", s.balance)
	mux.HandleFunc("/ping", s.ping)
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) { text(w, http.StatusOK, cfg.Release) })
	if scrape != nil {
		mux.Handle("/metrics", scrape)
	}
	h := s.frugal(mux)
	if access != nil {
		s.access = &accessLog{w: access, next: h, privacy: cfg.LogPrivacy}
		h = s.access
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(cfg.H2C)
	s.http = &http.Server{
		Handler:           h,
		ReadHeaderTimeout: cfg.HeaderTimeout,
		ReadTimeout:       cfg.ReadTimeout,
		WriteTimeout:      cfg.ReadTimeout + cfg.SubmitWait,
		IdleTimeout:       cfg.IdleTimeout,
		MaxHeaderBytes:    cfg.MaxHeader,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: streams},
		Protocols:         protocols,
		ConnContext:       remember,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	if cfg.SSL {
		s.tls = certs.New("http-api", certs.HTTP{Server: cfg.TLS}, log)
		s.http.TLSConfig = s.tls.Server()
	}
	return s
}

// Listen opens the listener, so that Addr is known before Serve.
func (s *Server) Listen() error {
	if s.tls != nil {
		if err := s.tls.Reload(); err != nil {
			return err
		}
	}
	addr := net.JoinHostPort(s.cfg.Bind, fmt.Sprint(s.cfg.Port))
	network := "tcp"
	if ip := net.ParseIP(s.cfg.Bind); ip != nil && ip.To4() != nil {
		network = "tcp4" // 0.0.0.0 is not to open IPv6 as well
	}
	ln, err := net.Listen(network, addr)
	if err != nil {
		return fmt.Errorf("http-api: listen on %s: %w", addr, err)
	}
	s.ln = s.door.Listener(ln)
	return nil
}

// Certificates are those that the door shows; nil without ssl.
func (s *Server) Certificates() *certs.Source { return s.tls }

// Addr is where the door listens, after Listen.
func (s *Server) Addr() net.Addr { return s.ln.Addr() }

// Serve answers requests until Shutdown; then it returns nil.
func (s *Server) Serve() error {
	var err error
	if s.cfg.SSL {
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
