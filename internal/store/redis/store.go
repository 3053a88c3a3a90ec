// Package redis is the store driver for Redis: who asked for delivery receipts, the
// mapping of SMSC ids, outcomes of parts, ends of validity, and which attempts were
// settled. keys.go lists every key; docs/redis.md describes them.
//
// Concurrent calls share pipelines: one goroutine takes what is waiting, without delay,
// and sends it as one MULTI/EXEC transaction, so that what one call changes is changed as a
// whole and a lost connection leaves no record without its time to live. Every change can
// be made twice without harm, and is when an answer was lost.
//
//	s, err := redis.Open(ctx, redis.Config{Host: "127.0.0.1", Port: 6379})
//	err = s.Apply(ctx, &entry)
//	m, ok, err := s.Mapping(ctx, "smppcc", "1A2B")
//
// A watch asks Redis every second how much memory it has left. Once a round trip had no answer in time, Redis is away: every call
// fails at once until the watch has an answer.
//
// What Redis holds is as durable as its own settings make it; Open warns when
// appendonly is off or the eviction policy may drop keys.
package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"jasmind/internal/queue"
)

// Config says which Redis. The zero value of each field means its default.
type Config struct {
	URL string // redis:// or rediss://; when given, Host to DB are not used

	Host     string // default 127.0.0.1; [redis-client] host
	Port     int    // default 6379; [redis-client] port
	DB       int    // [redis-client] dbid
	User     string // ACL user, default none
	Password string // [redis-client] password
	// TLS gives the configuration of each new connection; nil: it is not secured, unless URL says so; [redis-client] ssl.
	TLS func() (*tls.Config, error)

	Prefix string // before every key; default none

	DialTimeout time.Duration // default 2s
	Timeout     time.Duration // for one shared round trip; default 5s

	// LowMemory are the octets left of Redis's maxmemory below which no new work is taken; default the
	// smaller of 256 MiB and 10 % of maxmemory.
	LowMemory uint64

	ReservedFor time.Duration // until a charge that is not final lapses; default 60s

	Logger *slog.Logger // default: discards
	// OnStateChange is told when Redis answers (true) or not any more; it must not block.
	OnStateChange func(up bool)
}

func (c Config) options() (*goredis.Options, error) {
	var o *goredis.Options
	if c.URL != "" {
		var err error
		if o, err = goredis.ParseURL(c.URL); err != nil {
			return nil, fmt.Errorf("[redis-client] url: %w", err)
		}
	} else {
		host, port := c.Host, c.Port
		if host == "" {
			host = "127.0.0.1"
		}
		if port == 0 {
			port = 6379
		}
		if port < 1 || port > 65535 {
			return nil, fmt.Errorf("[redis-client] port: %d is not between 1 and 65535", port)
		}
		if c.DB < 0 {
			return nil, fmt.Errorf("[redis-client] dbid: %d is negative", c.DB)
		}
		o = &goredis.Options{Addr: net.JoinHostPort(host, strconv.Itoa(port)), DB: c.DB, Username: c.User, Password: c.Password}
	}
	if c.TLS != nil {
		o.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
			secure, err := c.TLS()
			if err != nil {
				return nil, err
			}
			d := tls.Dialer{NetDialer: &net.Dialer{Timeout: c.DialTimeout, KeepAlive: 5 * time.Minute}, Config: secure}
			return d.DialContext(ctx, network, addr)
		}
	}
	o.Protocol = 2
	o.DisableIdentity = true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	o.DialTimeout = c.DialTimeout
	o.DialerRetries = 1
	o.ContextTimeoutEnabled = true
	o.ReadTimeout, o.WriteTimeout = c.Timeout, c.Timeout
	o.PoolSize = 2
	o.MaxRetries = 1 // a connection that a restart of Redis closed; every change is idempotent
	return o, nil
}

// Store implements journal.Store, and the store's part of a journal entry. Its methods may
// be called concurrently.
type Store struct {
	cfg    Config
	log    *slog.Logger
	addr   string
	client *goredis.Client
	keys   keys

	calls  chan *batched
	closed chan struct{}
	once   sync.Once
	wg     sync.WaitGroup

	up     atomic.Bool
	look   chan struct{} // cap 1: the watch is to look at once
	memory atomic.Pointer[Memory]
	// settling begins the scripts of what is to be carried out though Redis's memory is full; "" where Redis knows no such
	// thing, or does not tell how much is left.
	settling string
}

// Open connects, trying until ctx ends; refused credentials are returned at once.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if cfg.DialTimeout <= 0 {
		cfg.DialTimeout = 2 * time.Second
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 5 * time.Second
	}
	if cfg.ReservedFor <= 0 {
		cfg.ReservedFor = 60 * time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	o, err := cfg.options()
	if err != nil {
		return nil, err
	}
	quiet.Do(func() { goredis.SetLogger(silent{}) })
	s := &Store{cfg: cfg, log: cfg.Logger, addr: o.Addr, client: goredis.NewClient(o), keys: keys{cfg.Prefix},
		calls: make(chan *batched), closed: make(chan struct{}), look: make(chan struct{}, 1)}
	s.memory.Store(new(Memory))
	// A round trip under way does not look at its context.
	stop := context.AfterFunc(ctx, func() { s.client.Close() })
	if err = s.connect(ctx); err == nil {
		s.checkDurability(ctx)
		s.checkMemory(ctx)
	}
	if stopped := stop(); err != nil || !stopped {
		if stopped {
			return nil, errors.Join(err, s.client.Close())
		}
		return nil, errors.Join(err, context.Cause(ctx))
	}
	s.setUp(true, nil)
	s.wg.Go(s.run)
	s.wg.Go(s.watch)
	return s, nil
}

// quiet keeps the library from writing to standard error by itself; its errors reach us.
var quiet sync.Once

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

func (s *Store) connect(ctx context.Context) error {
	told := false
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		err := s.client.Ping(ctx).Err()
		if err == nil {
			return nil
		}
		if refused(err) {
			return fmt.Errorf("connect to Redis %s: %w", s.addr, err)
		}
		if !told {
			told = true
			s.log.Warn("redis cannot be reached, trying on", "err", err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: connect to Redis %s: %w", queue.ErrUnavailable, s.addr, err)
		case <-time.After(pause):
		}
	}
}

// refused tells errors that trying again cannot change.
func refused(err error) bool {
	var unverified *tls.CertificateVerificationError
	if errors.As(err, &unverified) {
		return true
	}
	var e goredis.Error
	if !errors.As(err, &e) {
		return false
	}
	for _, p := range []string{"WRONGPASS", "NOAUTH", "NOPERM", "ERR invalid password", "ERR AUTH", "ERR DB index", "ERR invalid DB"} {
		if strings.HasPrefix(e.Error(), p) {
			return true
		}
	}
	return false
}

// checkDurability warns about settings under which Redis forgets.
func (s *Store) checkDurability(ctx context.Context) {
	for _, want := range []struct{ name, value, loss string }{
		{"appendonly", "yes", "a crash of redis loses what was written since its last snapshot"},
		{"maxmemory-policy", "noeviction", "redis may drop receipt requests when its memory is full"},
	} {
		got, err := s.client.ConfigGet(ctx, want.name).Result()
		switch {
		case err != nil:
			s.log.Info("redis does not show its settings, they cannot be checked", "setting", want.name, "err", err)
		case got[want.name] != want.value:
			s.log.Warn("redis setting is not durable", "setting", want.name, "value", got[want.name], "want", want.value, "loss", want.loss)
		}
	}
}

// Healthy is nil while Redis answers, else an error that wraps queue.ErrUnavailable or
// queue.ErrClosed.
func (s *Store) Healthy() error {
	select {
	case <-s.closed:
		return queue.ErrClosed
	default:
	}
	if !s.up.Load() {
		return fmt.Errorf("%w: Redis %s does not answer", queue.ErrUnavailable, s.addr)
	}
	return nil
}

func (s *Store) setUp(up bool, err error) {
	select {
	case <-s.closed:
		return
	default:
	}
	if s.up.Swap(up) == up {
		return
	}
	if up {
		s.log.Info("redis answers", "addr", s.addr)
	} else {
		s.log.Warn("redis does not answer", "addr", s.addr, "err", err)
	}
	if s.cfg.OnStateChange != nil {
		s.cfg.OnStateChange(up)
	}
}

// Close ends the round trips under way and the connections. Later calls give queue.ErrClosed.
func (s *Store) Close() error {
	var err error
	s.once.Do(func() {
		close(s.closed)
		if err = s.client.Close(); err != nil {
			err = fmt.Errorf("close Redis %s: %w", s.addr, err)
		}
		s.wg.Wait()
	})
	return err
}
