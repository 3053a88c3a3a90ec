// Package smppserver is the SMPP door: ESMEs bind, submit and are delivered to (SMPP v3.4 §2,
// §4). It authenticates binds, limits what a peer may take up and turns submit_sm,
// submit_multi and data_sm into calls of mt; everything else about a message is mt's. What
// is delivered to a session comes from package throw, which is told of those that are bound.
//
//	srv := smppserver.New(cfg, smppserver.Deps{...})
//	err := srv.Listen(ctx)
//	err = srv.Serve(ctx)       // until Shutdown
//	err = srv.Shutdown(ctx)
//
// query_sm, cancel_sm and replace_sm are answered from the record of the message's state, which
// mt keeps: cancelled and replaced is what is still queued.
package smppserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"jasmind/internal/account"
	"jasmind/internal/admission"
	"jasmind/internal/certs"
	"jasmind/internal/logging"
	"jasmind/internal/mt"
	"jasmind/internal/smpp"
	"jasmind/internal/sms"
	"jasmind/internal/throw"
)

// Config holds the settings of the door ([smpp-server] in jasmin.cfg). Zero means the
// default; a negative duration switches its timer off.
type Config struct {
	Disabled  bool         // --disable-smpp-server
	ID        string       // id: names the server in logs; default smpps_01
	Bind      string       // bind: address to listen on, default 0.0.0.0
	Port      int          // port; 0: any free port
	SSL       bool         // ssl: the first listener speaks TLS
	Listeners []Listener   // listeners: further ones
	TLS       certs.Server // of the listeners with TLS

	SessionInit time.Duration // sessionInitTimerSecs: from the connection to the end of the bind, default 30 s
	EnquireLink time.Duration // enquireLinkTimerSecs, default 30 s
	Inactivity  time.Duration // inactivityTimerSecs, default 300 s
	Response    time.Duration // responseTimerSecs, default 60 s
	PDURead     time.Duration // pduReadTimerSecs, default 30 s

	Window         int // deliver_window: our deliver_sm in flight on one session, default 50
	MaxWindow      int // max_window: requests of one session in work; more are throttled; default 1000
	MaxPending     int // max_pending: requests of all sessions in work; more are throttled; default 20000
	MaxConnections int // max_connections, default 10000
	MaxPerAddress  int // max_connections_per_address, default 1000

	Allow  []netip.Prefix    // allow: who may connect; none: everybody
	Budget *admission.Budget // of all doors, of clients that are not bound; nil: its own

	MaxWriteBuffer int // max_write_buffer: octets that wait for a peer that does not read, default 4 MiB

	SubmitWait time.Duration // submit_timeout: for a message to become durable, default 15 s
	LogPrivacy bool          // log_privacy: no message text in the log
	// Accepted: who asks for a receipt also hears when the SMSC has taken his message
	// ([dlr] smpp_receipt_on_success_submit_sm_resp).
	Accepted bool
}

// Listener is one more place to listen on.
type Listener struct {
	Address string // host:port
	TLS     bool
}

func (c *Config) defaults() {
	count := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	duration := func(v *time.Duration, d time.Duration) {
		if *v == 0 {
			*v = d
		}
	}
	if c.ID == "" {
		c.ID = "smpps_01"
	}
	if c.Bind == "" {
		c.Bind = "0.0.0.0"
	}
	duration(&c.SessionInit, 30*time.Second)
	duration(&c.EnquireLink, 30*time.Second)
	duration(&c.Inactivity, 300*time.Second)
	duration(&c.Response, 60*time.Second)
	duration(&c.PDURead, 30*time.Second)
	duration(&c.SubmitWait, 15*time.Second)
	count(&c.Window, 50)
	count(&c.MaxWindow, 1000)
	count(&c.MaxPending, 20000)
	count(&c.MaxConnections, 10000)
	count(&c.MaxPerAddress, 1000)
	count(&c.MaxWriteBuffer, 4<<20)
}

// authenticator checks credentials.
type authenticator interface {
	// Check gives the user behind a name and password that came from an address. Errors: *sms.Error with
	// ReasonAuthentication, or ReasonUnavailable when too many checks wait.
	Check(ctx context.Context, from netip.Addr, username, password string) (*account.User, error)
}

// directory finds accounts as they are at this moment.
type directory interface {
	// Account gives the user with a username and his group; nil if there is none.
	Account(username string) (*account.User, *account.Group)
	// User gives a user by his uid; nil if there is none.
	User(uid sms.UserID) *account.User
}

// submitter takes messages.
type submitter interface {
	// Submit makes a message ours.
	Submit(ctx context.Context, m *mt.Message) (mt.Accepted, error)
	// SubmitAll is Submit for messages that keep their order.
	SubmitAll(ctx context.Context, ms []*mt.Message) []mt.Result
}

// receivers is told of the sessions that messages can be delivered to. Its methods do not block.
type receivers interface {
	Bound(systemID string, r throw.Receiver)
	Unbound(systemID string, r throw.Receiver)
}

// Deps are what the door works with. All are required.
type Deps struct {
	Auth      authenticator
	Accounts  directory
	Submit    submitter
	States    states
	Receivers receivers
	Log       *slog.Logger
}

// Server is the door. Create it with New, then Listen, then Serve.
type Server struct {
	cfg  Config
	deps Deps
	log  *slog.Logger
	// strangers is for what those can cause who are not bound.
	strangers *slog.Logger
	smpp      *smpp.Server
	work      *pool
	door      *admission.Door
	tls       *certs.Source // nil if no listener speaks TLS

	ctx   context.Context // of what is in work
	abort context.CancelCauseFunc
	ends  sync.WaitGroup // of sessions that Review ends

	// Stats are the door's counters.
	Stats Stats

	mu    sync.Mutex // guards what follows
	users map[sms.UserID]*user
}

// New makes the door.
func New(cfg Config, deps Deps) *Server {
	cfg.defaults()
	srv := &Server{cfg: cfg, deps: deps, log: deps.Log.With("server", cfg.ID), users: make(map[sms.UserID]*user)}
	srv.ctx, srv.abort = context.WithCancelCause(context.Background())
	srv.Stats.CreatedAt.Set(time.Now())
	srv.Stats.ConnectedCount = func() int64 { return int64(len(srv.smpp.Sessions())) }
	srv.Stats.InWork = func() int64 { return int64(srv.work.inWork()) }
	if cfg.SSL || slices.ContainsFunc(cfg.Listeners, func(l Listener) bool { return l.TLS }) {
		srv.tls = certs.New("smpp-server", cfg.TLS, srv.log)
	}
	srv.work = newPool(cfg.MaxPending, srv.guardedBatch)
	srv.strangers = logging.Thin(srv.log)
	srv.door = admission.NewDoor(admission.DoorConfig{Allow: cfg.Allow, Max: cfg.MaxConnections, PerAddress: cfg.MaxPerAddress, Budget: cfg.Budget}, srv.strangers)
	srv.smpp = smpp.NewServer(smpp.ServerConfig{
		Config: smpp.Config{
			Window: cfg.Window, InboundWindow: cfg.MaxWindow, MaxWriteBuffer: cfg.MaxWriteBuffer,
			SessionInit: cfg.SessionInit, EnquireLink: cfg.EnquireLink, Inactivity: cfg.Inactivity, Response: cfg.Response, PDURead: cfg.PDURead,
			Handler: smpp.HandlerFunc(srv.serve), Bind: srv.bind, OnStateChange: srv.stateChanged, Trace: srv.Stats.trace, Logger: srv.log,
		},
		OnEnd: srv.ended,
	})
	return srv
}

// Listen opens the listeners, so that Addrs are known before Serve. When one of them cannot be
// opened, none stays open.
func (srv *Server) Listen(ctx context.Context) error {
	if srv.tls != nil {
		if err := srv.tls.Reload(); err != nil {
			return err
		}
	}
	all := append([]Listener{{net.JoinHostPort(srv.cfg.Bind, strconv.Itoa(srv.cfg.Port)), srv.cfg.SSL}}, srv.cfg.Listeners...)
	for _, l := range all {
		var tc *tls.Config
		if l.TLS {
			tc = srv.tls.Server()
		}
		network := "tcp"
		if host, _, err := net.SplitHostPort(l.Address); err == nil {
			if ip := net.ParseIP(host); ip != nil && ip.To4() != nil {
				network = "tcp4" // 0.0.0.0 is not to open IPv6 as well
			}
		}
		var lc net.ListenConfig
		ln, err := lc.Listen(ctx, network, l.Address)
		if err == nil {
			err = srv.smpp.ListenOn(srv.door.Listener(&countingListener{ln, &srv.Stats.ConnectCount}), tc)
		}
		if err != nil {
			return errors.Join(fmt.Errorf("smpp-server: listen on %s: %w", l.Address, err), srv.smpp.Shutdown(ctx))
		}
	}
	return nil
}

// Certificates are those that the door shows; nil if no listener speaks TLS.
func (srv *Server) Certificates() *certs.Source { return srv.tls }

// Addrs are where the door listens, after Listen: first bind and port, then the further listeners.
func (srv *Server) Addrs() []net.Addr { return srv.smpp.Addrs() }

// Serve serves ESMEs until Shutdown, with nil, or until ctx ends, with its cause. When it returns
// nothing of the door runs any more.
func (srv *Server) Serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { srv.abort(context.Cause(ctx)) })
	defer stop()
	err := srv.smpp.Serve(ctx)
	srv.mu.Lock() // Review looks at ctx under it
	srv.abort(errors.New("the door is closed"))
	srv.mu.Unlock()
	srv.work.wait()
	srv.ends.Wait()
	return err
}

// Shutdown refuses new connections and requests, lets what is under way be answered until ctx
// ends, and unbinds every session.
func (srv *Server) Shutdown(ctx context.Context) error {
	err := srv.smpp.Shutdown(ctx)
	if err != nil {
		srv.abort(err)
	}
	return err
}
