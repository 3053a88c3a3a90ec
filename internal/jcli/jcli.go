// Package jcli is the management console: a TCP door that people reach by telnet and
// programs by a plain socket, with the commands, texts and layouts of the original's jCli.
// It edits the terminal's line (golang.org/x/term), parses commands and prints answers;
// what is configured belongs to package provision.
//
// The texts are an interface: panels and expect scripts parse them. They are those that the
// documentation prints (Management CLI) and, beyond it, those of the original's console;
// testdata/jcli pins them.
//
//	s := jcli.New(jcli.Config{Bind: "127.0.0.1", Port: 8990, Authentication: true, ...}, jcli.Deps{Store: store, ...})
//	err := s.Listen()
//	go s.Serve()        // until Shutdown
//	err = s.Shutdown(ctx)
package jcli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"strconv"
	"sync"
	"time"

	"jasmind/internal/account"
	"jasmind/internal/admission"
	"jasmind/internal/billing"
	"jasmind/internal/connector"
	"jasmind/internal/connector/fleet"
	"jasmind/internal/intercept"
	"jasmind/internal/logging"
	"jasmind/internal/metrics"
	"jasmind/internal/mt"
	"jasmind/internal/provision"
	"jasmind/internal/smppc"
	"jasmind/internal/sms"
)

// Config is section jcli. Zero durations and counts mean their defaults.
type Config struct {
	Bind           string           // bind; "": every address
	Port           int              // port; 0: any free one
	Authentication bool             // authentication
	AdminUsername  string           // admin_username
	AdminPassword  account.Password // admin_password: argon2id, or the MD5 digest of the original

	IdleTimeout   time.Duration // without a key from the operator, then the session ends; default 1 h
	LoginTimeout  time.Duration // for the whole login, three attempts included; default 60 s
	WriteTimeout  time.Duration // how long a client may not read what it asked for; default 30 s
	MaxSessions   int           // at the same time; default 100
	MaxPerAddress int           // of them, from one address; default 50

	Allow  []netip.Prefix    // allow: who may connect; none: everybody
	Budget *admission.Budget // of all doors, of clients that have not logged in; nil: its own
}

func (c *Config) defaults() {
	if c.IdleTimeout == 0 {
		c.IdleTimeout = time.Hour
	}
	if c.LoginTimeout == 0 {
		c.LoginTimeout = time.Minute
	}
	if c.WriteTimeout == 0 {
		c.WriteTimeout = 30 * time.Second
	}
	if c.MaxSessions == 0 {
		c.MaxSessions = 100
	}
	if c.MaxPerAddress == 0 {
		c.MaxPerAddress = 50
	}
}

// profiles keeps configurations on disk.
type profiles interface {
	// Persist saves the configuration as a profile, whole or not at all.
	Persist(name string) error
	// Load replaces the configuration by a profile, whole or not at all. The error wraps
	// fs.ErrNotExist if there is no such profile.
	Load(name string) error
}

// connectors knows the sessions of running connectors.
type connectors interface {
	// Sessions gives the state of each session of a connector, such as BOUND_TRX; none if
	// it does not run.
	Sessions(cid sms.ConnectorID) []string
	// Waiting tells how many messages are in a connector's queue.
	Waiting(ctx context.Context, cid sms.ConnectorID) (int, error)
	// Orphans are the connectors that are not configured and have messages in their queue.
	Orphans() []fleet.Orphan
}

// binds are the sessions of users bound to our SMPP server.
type binds interface {
	// Unbind sends unbind to every session of a user and closes it.
	Unbind(ctx context.Context, uid sms.UserID) error
	// Peers tells of each session that a user has bound: its address, how it was bound, and when.
	Peers(uid sms.UserID) []string
}

// accounts know what is left of quotas.
type accounts interface {
	// Left tells what is left; known is false when nobody can tell.
	Left(ctx context.Context, uid sms.UserID) (left billing.Credit, known bool)
	// Change makes a change of the configuration, f, and those of a user's quotas that belong to it. An error refuses all.
	Change(ctx context.Context, uid sms.UserID, changes []mt.QuotaChange, f func(*provision.Draft) error) error
	// Settle waits for a moment until what was left to removed users is forgotten: to some, or to all.
	Settle(ctx context.Context, uids ...sms.UserID)
}

// scripts compiles scripts of the operator's.
type scripts interface {
	// Check gives an *intercept.ScriptError if a script does not compile.
	Check(ctx context.Context, s *intercept.Script) error
}

// counters are those of connectors.
type counters interface {
	Connector(cid sms.ConnectorID) *connector.Stats // nil: none yet
}

// door has the counters of one.
type door interface {
	Counters() []metrics.Item
	UserCounters(uid sms.UserID) []metrics.Item
}

// authenticator compares passwords.
type authenticator interface {
	// Verify compares the password that came for a username from an address with p, nil: nobody's. Errors: *sms.Error with
	// ReasonAuthentication, behind which is *admission.RefusedError for who has failed too often; else none was compared.
	Verify(ctx context.Context, from netip.Addr, username string, p *account.Password, password string) error
}

// Deps are what the console works with. Store, Auth and Log are required. What is nil does not
// exist in this daemon: there is nothing bound then, nothing counted, and so on.
type Deps struct {
	Store      *provision.Store
	Auth       authenticator
	Profiles   profiles
	Connectors connectors
	Binds      binds
	Accounts   accounts
	Scripts    scripts // nil: scripts are copied without being compiled
	Explain    explainer

	// For stats.
	Connected  counters
	HTTPAPI    door
	SMPPServer door

	DeadLetters deadLetters
	Log         *slog.Logger
}

// Server is the console. Create it with New, then Listen, then Serve.
type Server struct {
	cfg    Config
	deps   Deps
	log    *slog.Logger
	door   *admission.Door
	starts *startCounts
	cancel func() // of the subscription
	work   chan struct{}
	ctx    context.Context // ends when commands are given up
	abort  context.CancelFunc

	mu       sync.Mutex // guards what follows
	ln       net.Listener
	sessions map[*session]struct{}
	lastRef  int
	stopping bool
	wg       sync.WaitGroup
}

// New makes the console.
func New(cfg Config, deps Deps) *Server {
	cfg.defaults()
	s := &Server{cfg: cfg, deps: deps, log: deps.Log, sessions: make(map[*session]struct{}), work: make(chan struct{}, runtime.GOMAXPROCS(0)),
		// Jasmin: the loading of the profile at start is session 1.
		lastRef: 1}
	// Sessions beyond MaxSessions are told so; of many more the connections are closed at once.
	s.door = admission.NewDoor(admission.DoorConfig{Allow: cfg.Allow, Max: cfg.MaxSessions + spareConnections, PerAddress: cfg.MaxPerAddress, Budget: cfg.Budget}, logging.Thin(s.log))
	s.ctx, s.abort = context.WithCancel(context.Background())
	s.starts = newStartCounts(deps.Store.Snapshot())
	s.cancel = deps.Store.Subscribe(s.starts.change)
	return s
}

// spareConnections are those of clients that are told that there are too many sessions.
const spareConnections = 10

// Listen opens the port.
func (s *Server) Listen() error {
	ln, err := net.Listen("tcp", net.JoinHostPort(s.cfg.Bind, strconv.Itoa(s.cfg.Port)))
	if err != nil {
		return fmt.Errorf("jcli: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ln = s.door.Listener(ln)
	s.warn(ln.Addr())
	return nil
}

// Addr is where the console listens, after Listen.
func (s *Server) Addr() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ln.Addr()
}

// Serve accepts sessions until Shutdown, then returns nil.
func (s *Server) Serve() error {
	s.mu.Lock()
	ln := s.ln
	s.mu.Unlock()
	for {
		conn, err := ln.Accept()
		if err == nil {
			s.start(conn)
			continue
		}
		s.mu.Lock()
		stopping := s.stopping
		s.mu.Unlock()
		if stopping {
			return nil
		}
		var ne net.Error
		if errors.As(err, &ne) && !errors.Is(err, net.ErrClosed) { // out of file descriptors, say: it passes
			s.log.Warn("accept", "err", err)
			select {
			case <-time.After(100 * time.Millisecond):
				continue
			case <-s.ctx.Done():
				return nil
			}
		}
		return fmt.Errorf("jcli: %w", err)
	}
}

// start runs a session, unless there are too many.
func (s *Server) start(conn net.Conn) {
	s.mu.Lock()
	if s.stopping || len(s.sessions) >= s.cfg.MaxSessions {
		s.mu.Unlock()
		s.log.Warn("session refused, there are too many", "peer", conn.RemoteAddr().String(), "max", s.cfg.MaxSessions)
		_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = conn.Write([]byte("Too many sessions, try again later.\r\n"))
		_ = conn.Close()
		return
	}
	s.lastRef++
	c := newSession(s, conn, s.lastRef)
	s.sessions[c] = struct{}{}
	s.wg.Add(1)
	s.mu.Unlock()
	go func() {
		defer s.wg.Done()
		defer func() {
			_ = conn.Close()
			s.mu.Lock()
			delete(s.sessions, c)
			s.mu.Unlock()
		}()
		defer func() {
			if v := recover(); v != nil {
				c.log.Error("session ended by a defect", "panic", fmt.Sprint(v), "stack", stack())
			}
		}()
		c.run()
	}()
}

// Shutdown refuses new sessions and ends those there are: each finishes the command that it
// runs, until ctx ends, and then it is cut off.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	var err error
	if s.ln != nil && !s.stopping {
		err = s.ln.Close()
	}
	s.stopping = true
	for c := range s.sessions {
		c.stop()
	}
	s.mu.Unlock()
	done := make(chan struct{})
	go func() { s.wg.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
		err = errors.Join(err, context.Cause(ctx))
		s.abort()
		s.mu.Lock()
		for c := range s.sessions {
			_ = c.conn.Close()
		}
		s.mu.Unlock()
		<-done
	}
	s.abort()
	s.cancel()
	return err
}

// heavily runs f when a processor is free: password hashes take time and memory.
func (s *Server) heavily(f func()) {
	s.work <- struct{}{}
	defer func() { <-s.work }()
	f()
}

// startCounts counts the starts and stops of connectors (Jasmin: start_count, stop_count).
type startCounts struct {
	mu     sync.Mutex // guards counts
	counts map[sms.ConnectorID]*startCount
}

type startCount struct{ starts, stops int }

func newStartCounts(snap *provision.Snapshot) *startCounts {
	c := &startCounts{counts: map[sms.ConnectorID]*startCount{}}
	for _, sc := range snap.SMPPConnectors() {
		if sc.Started {
			c.counts[sc.CID] = &startCount{starts: 1}
		}
	}
	return c
}

// change is told of every change of the configuration.
func (c *startCounts) change(old, fresh *provision.Snapshot) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, sc := range fresh.SMPPConnectors() {
		was := old.SMPPConnector(sc.CID)
		if was == sc {
			continue
		}
		n := c.counts[sc.CID]
		if n == nil {
			n = &startCount{}
			c.counts[sc.CID] = n
		}
		ran := was != nil && was.Started
		restarted := ran && sc.Started && smppc.RestartNeeded(was.Config, sc.Config)
		if ran && (!sc.Started || restarted) {
			n.stops++
		}
		if sc.Started && (!ran || restarted) {
			n.starts++
		}
	}
	for cid := range c.counts {
		if fresh.SMPPConnector(cid) == nil {
			delete(c.counts, cid)
		}
	}
}

func (c *startCounts) of(cid sms.ConnectorID) startCount {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := c.counts[cid]; n != nil {
		return *n
	}
	return startCount{}
}
