package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"jasmind/internal/billing"
	"jasmind/internal/certs"
	"jasmind/internal/config"
	"jasmind/internal/journal"
	"jasmind/internal/journal/embedded"
	"jasmind/internal/journal/services"
	"jasmind/internal/localdb"
	"jasmind/internal/metrics"
	"jasmind/internal/queue"
	"jasmind/internal/queue/pebble"
	"jasmind/internal/queue/rabbit"
	storepebble "jasmind/internal/store/pebble"
	storeredis "jasmind/internal/store/redis"
)

// broker is what the gateway needs of a queue driver beside what the journal does.
type broker interface {
	Declare(ctx context.Context, names ...queue.Name) error
	Consume(ctx context.Context, name queue.Name, prefetch int) (queue.Consumer, error)
	Length(ctx context.Context, name queue.Name) (int, error)
	Delete(ctx context.Context, name queue.Name) error
	Names() []queue.Name // of connectors and ESMEs at least
}

// backend is queues, records and the journal over both: the choice of the mode, made once.
type backend struct {
	broker  broker
	journal journal.Journal
	store   journal.Store
	parts   journal.Parts
	letters journal.Letters
	ledger  billing.Ledger
	// lapse gives back charges that did not become final in time; nil: there are none such.
	lapse func(ctx context.Context, limit int) (int, error)
	// outbox publishes what was kept while the broker took nothing, until ctx ends; nil: nothing is kept.
	outbox  func(ctx context.Context) error
	started []string // log lines, "X Started."
	failed  <-chan struct{}
	err     func() error // why, once failed is closed
	close   func() error
	db      *localdb.DB       // embedded only
	redis   *storeredis.Store // services only

	certificates certs.Set // of the connections to services
	// held counts what is queued, delayed, collected and kept; embedded only.
	held func(context.Context) (int, error)
}

// observe adds what /metrics shows of broker and store.
func (b *backend) observe(s *metrics.Set) {
	if db := b.db; db != nil {
		s.Gauge("jasmind_embedded_free_bytes", "Free space on the embedded database's disk.", func() float64 { return float64(db.Space().Free) })
		s.Gauge("jasmind_embedded_disk_bytes", "Space that the embedded database uses.", func() float64 { return float64(db.Metrics().Disk) })
	}
	if store := b.redis; store != nil {
		s.Gauge("jasmind_redis_up", "1 while Redis answers.", func() float64 {
			if store.Healthy() != nil {
				return 0
			}
			return 1
		})
		s.Gauge("jasmind_redis_low_memory", "1 while no message is accepted because Redis has little memory left.", func() float64 {
			if store.Memory().Low {
				return 1
			}
			return 0
		})
		s.Gauge("jasmind_redis_free_bytes", "What is left of Redis's maxmemory; 0 without one.", func() float64 { return float64(store.Memory().Free) })
	}
}

func openBackend(ctx context.Context, cfg *config.Config, logs *serviceLogs) (*backend, error) {
	if cfg.Mode == config.Embedded {
		return openEmbedded(cfg, logs.manager)
	}
	return openServices(ctx, cfg, logs)
}

// databaseDir is the embedded database's folder inside the data folder.
const databaseDir = "messages"

func openEmbedded(cfg *config.Config, log *slog.Logger) (*backend, error) {
	dir := filepath.Join(cfg.Paths.Data, databaseDir)
	database := cfg.Database
	database.Log = log
	database.OnSpace = func(s localdb.Space) {
		log.Warn("free space of the database's disk changed", "dir", dir, "state", s.State.String(), "free", s.Free)
	}
	db, err := localdb.Open(dir, database)
	if err != nil {
		return nil, fmt.Errorf("embedded database %s: %w", dir, err)
	}
	queues, err := pebble.New(db, pebble.Config{Log: log})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("embedded queues in %s: %w", dir, err), db.Close())
	}
	store := storepebble.New(db)
	return &backend{
		broker: queues, journal: embedded.New(db, queues, store), store: store, parts: store, letters: store, ledger: store,
		started: []string{"Embedded store", "Embedded broker"},
		failed:  db.Failed(), err: db.Err,
		close: func() error { return errors.Join(queues.Close(), db.Close()) },
		held: func(ctx context.Context) (int, error) {
			queued, errQueued := queues.Count(ctx)
			parts, errParts := store.CountParts(ctx)
			letters, errLetters := store.CountLetters(ctx)
			n := queued + parts
			for _, c := range letters {
				n += c.Count
			}
			return n, errors.Join(errQueued, errParts, errLetters)
		},
		db: db,
	}, nil
}

// startWait is how long the gateway waits for broker and store at start, or three times as long as
// an answer of theirs may take. Containers and hosts start in any order.
const startWait = 60 * time.Second

func openServices(ctx context.Context, cfg *config.Config, logs *serviceLogs) (*backend, error) {
	brokerConfig, redisConfig := cfg.Broker, cfg.Redis
	brokerConfig.Logger, redisConfig.Logger = logs.broker, logs.redis
	var certificates certs.Set
	for _, x := range []struct {
		section string
		tls     *config.ClientTLS
		log     *slog.Logger
		to      *func() (*tls.Config, error)
	}{{"amqp-broker", &cfg.BrokerTLS, logs.broker, &brokerConfig.TLS}, {"redis-client", &cfg.RedisTLS, logs.redis, &redisConfig.TLS}} {
		if !x.tls.On {
			continue
		}
		source := certs.New(x.section, x.tls.Client, x.log)
		if err := source.Reload(); err != nil {
			return nil, &ConfigurationError{err.Error()}
		}
		*x.to = source.Config
		certificates.Add(source)
	}
	brokerConfig.Owner = true // what several gateways would do with the same queues is nobody's wish
	ctx, cancel := context.WithTimeout(ctx, max(startWait, 3*brokerConfig.DialTimeout, 3*redisConfig.DialTimeout))
	defer cancel()
	store, err := retryOpen(ctx, logs.redis, "Redis", func(ctx context.Context) (*storeredis.Store, error) { return storeredis.Open(ctx, redisConfig) })
	if err != nil {
		return nil, fmt.Errorf("[redis-client] %s:%d: %w", redisConfig.Host, redisConfig.Port, err)
	}
	b, err := retryOpen(ctx, logs.broker, "the AMQP broker", func(ctx context.Context) (*rabbit.Broker, error) { return rabbit.Open(ctx, brokerConfig) })
	if err != nil {
		return nil, errors.Join(fmt.Errorf("[amqp-broker] %s:%d: %w", brokerConfig.Host, brokerConfig.Port, err), store.Close())
	}
	named, err := services.NewBroker(ctx, b, store)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("[redis-client] names of queues: %w", err), b.Close(), store.Close())
	}
	j := services.New(b, store)
	return &backend{
		broker: named, journal: j, outbox: func(ctx context.Context) error { j.Run(ctx, logs.broker); return nil }, store: store, parts: store, letters: store, ledger: store, lapse: store.Lapse,
		started: []string{"RedisClient", "AMQP Broker"},
		err:     func() error { return nil },
		close:   func() error { return errors.Join(b.Close(), store.Close()) },
		redis:   store, certificates: certificates,
	}, nil
}

// retryOpen opens something that may not be up yet, again and again until ctx ends.
func retryOpen[T any](ctx context.Context, log *slog.Logger, what string, open func(context.Context) (T, error)) (T, error) {
	for wait := 250 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		v, err := open(ctx)
		if err == nil || !transient(err) || ctx.Err() != nil {
			return v, err
		}
		log.Warn("service is not reachable yet", "service", what, "in", wait, "err", err)
		select {
		case <-ctx.Done():
			return v, err
		case <-time.After(wait):
		}
	}
}

// transient tells whether an error of connecting may pass by itself: not a wrong password,
// nor a queue that exists with other arguments.
func transient(err error) bool {
	var netErr net.Error
	var opErr *net.OpError
	return errors.As(err, &netErr) || errors.As(err, &opErr) || errors.Is(err, queue.ErrUnavailable) ||
		strings.Contains(err.Error(), "connection refused") || strings.Contains(err.Error(), "LOADING")
}

// forgotten counts the messages in an embedded database that the services mode would leave
// lying. A database that is not there or is in use by another process has none for us.
func forgotten(ctx context.Context, cfg *config.Config, log *slog.Logger) (int, error) {
	if _, err := os.Stat(filepath.Join(cfg.Paths.Data, databaseDir)); err != nil {
		return 0, nil
	}
	b, err := openEmbedded(cfg, log)
	if err != nil {
		return 0, err
	}
	n, err := b.held(ctx)
	return n, errors.Join(err, b.close())
}
