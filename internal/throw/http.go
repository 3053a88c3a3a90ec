// Package throw delivers DLRs and MOs: to the HTTP endpoints that they are for, again and again
// until they are acknowledged (Jasmin: DLRThrower, deliverSmHttpThrower), and to ESMEs whenever
// they are bound.
//
// Delivery is at least once: an endpoint may see the same DLR or MO twice after a crash, or when
// its acknowledgement came too late, not because the connection to the broker was lost (see hands). A repeat carries the same parameters, so an endpoint
// that stores the state by message id and level, or an MO by its id, is not harmed.
package throw

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"jasmind/internal/journal"
	"jasmind/internal/logging"
	"jasmind/internal/queue"
)

// Config holds the settings of a thrower to URLs ([dlr-thrower], [deliversm-thrower] in jasmin.cfg).
type Config struct {
	Timeout     time.Duration // http_timeout: a whole call, default 30 s
	RetryDelay  time.Duration // retry_delay, default 30 s
	MaxRetries  int           // max_retries after the first try, default 3; 0: none. Of several targets: rounds
	PerHost     int           // max_per_host: calls under way to one host, default 16
	WaitPerHost int           // calls that wait here for a busy host at most, default: as many as leave room for other hosts; more go back to the queue
	Prefetch    int           // messages taken from the queue and not settled, default 1024
	Reach       Reach         // where URLs may lead; zero: everywhere
	TLS         *tls.Config   // for https; nil: the system's roots
	UserAgent   string        // default "Jasmin gateway/1.0 DLRThrower", of MOs "... deliverSmHttpThrower"
}

func (c *Config) defaults() {
	def := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	if c.Timeout <= 0 {
		c.Timeout = 30 * time.Second
	}
	if c.RetryDelay <= 0 {
		c.RetryDelay = 30 * time.Second
	}
	def(&c.PerHost, 16)
	def(&c.Prefetch, 1024)
	def(&c.WaitPerHost, c.Prefetch)
}

// Metrics counts what a thrower did. Fields may be read at any time.
type Metrics struct {
	Delivered atomic.Int64 `metric:"jasmind_*_http_delivered_total" help:"*s acknowledged by their URL."`
	Failed    atomic.Int64 `metric:"jasmind_*_http_failed_total" help:"Calls for *s that their URL did not acknowledge."`
	Refused   atomic.Int64 `metric:"jasmind_*_http_refused_total" help:"Calls for *s not made because of where their URL leads."`
	Deferred  atomic.Int64 `metric:"jasmind_*_http_deferred_total" help:"*s put back because their host was busy."`
	Dead      atomic.Int64 `metric:"jasmind_*_http_dead_total" help:"*s given up, moved to the dead-letter queue."`
}

// HTTP throws what is in one queue. Create it with NewHTTP or NewMO.
type HTTP struct {
	kind    *kind
	cfg     Config
	broker  queue.Source
	settle  *journal.Writer[*outcome]
	log     *slog.Logger
	client  *http.Client
	hands   *hands
	Metrics Metrics

	last    sync.Once
	closing chan struct{} // closed by Shutdown
	ended   chan struct{} // closed when Run has returned
}

// NewHTTP makes the thrower of DLRs, from dlr_thrower.http; Run starts it.
func NewHTTP(cfg Config, broker queue.Source, j journal.Journal, log *slog.Logger) *HTTP {
	return newHTTP(&dlrs, cfg, broker, j, log)
}

// NewMO makes the thrower of MOs, from deliver_sm_thrower.http; Run starts it.
func NewMO(cfg Config, broker queue.Source, j journal.Journal, log *slog.Logger) *HTTP {
	return newHTTP(&mos, cfg, broker, j, log)
}

func newHTTP(k *kind, cfg Config, broker queue.Source, j journal.Journal, log *slog.Logger) *HTTP {
	cfg.defaults()
	if cfg.UserAgent == "" {
		cfg.UserAgent = k.agent
	}
	reach := cfg.Reach
	t := &HTTP{
		kind: k, cfg: cfg, broker: broker, log: log, hands: newHands(max(4*cfg.Prefetch, 4096)),
		closing: make(chan struct{}), ended: make(chan struct{}),
		client: &http.Client{
			Timeout: cfg.Timeout,
			// A redirect is not followed: an acknowledgement is the endpoint's own.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Transport: &http.Transport{
				Proxy:                  http.ProxyFromEnvironment,
				DialContext:            reach.dial(net.Dialer{Timeout: min(cfg.Timeout, 10*time.Second), KeepAlive: 30 * time.Second}),
				TLSClientConfig:        cfg.TLS,
				MaxIdleConns:           1024,
				MaxIdleConnsPerHost:    cfg.PerHost,
				MaxConnsPerHost:        cfg.PerHost, // rather wait for one that is about to be free than dial another
				IdleConnTimeout:        90 * time.Second,
				ResponseHeaderTimeout:  cfg.Timeout,
				MaxResponseHeaderBytes: 64 << 10,
				DisableCompression:     true,
			},
		},
	}
	t.settle = newSettler(j, t.hands, log, settleGrace, t.account)
	return t
}

// settleGrace is how long, after Run's context ended, what the calls brought may take to become
// durable.
const settleGrace = 5 * time.Second

// reliefInterval is how often hosts that hold the room and stopped answering are looked for.
const reliefInterval = 250 * time.Millisecond

// Shutdown begins no further call, and waits until those under way have come to their end and what they brought is durable. It
// gives an error when ctx ends before; whoever ends the context of Run then cuts them off.
func (t *HTTP) Shutdown(ctx context.Context) error {
	t.last.Do(func() { close(t.closing) })
	select {
	case <-t.ended:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// shut tells whether Shutdown was called.
func (t *HTTP) shut() bool {
	select {
	case <-t.closing:
		return true
	default:
		return false
	}
}

// Run throws until ctx ends or Shutdown was called; it is called once. Calls under way are cut off when ctx ends; their messages
// go back to the queue. An error is that the queue cannot be consumed, or not any more.
func (t *HTTP) Run(ctx context.Context) error {
	defer close(t.ended)
	c, end, err := queue.Subscribe(ctx, t.broker, t.kind.queue, t.cfg.Prefetch)
	if err != nil {
		return err
	}
	defer t.client.CloseIdleConnections()
	defer end()
	return t.settle.While(ctx, func() error {
		calling, cancel := context.WithCancel(ctx)
		defer cancel()
		r := &run{HTTP: t, hosts: newHosts(&t.cfg)}
		err := r.consume(calling, c)
		if err != nil {
			cancel()
		}
		r.callers.Wait()
		return err
	})
}

// run is the state of one Run.
type run struct {
	*HTTP
	hosts   *hosts
	callers sync.WaitGroup
}

func (r *run) consume(ctx context.Context, c queue.Consumer) error {
	relief := time.NewTicker(reliefInterval)
	defer relief.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.closing:
			return nil
		case now := <-relief.C:
			r.giveBack(r.hosts.relieve(now))
		case d, ok := <-c.C():
			if !ok {
				return queue.Ended(ctx, r.kind.queue)
			}
			r.dispatch(ctx, d)
		}
	}
}

// dispatch takes a delivery in hand. A copy of a message that was called here is not called again; see hands.
func (r *run) dispatch(ctx context.Context, d *queue.Delivery) {
	hold, known := r.hands.take(d)
	switch known {
	case waits:
		return
	case already:
		r.settle.Post(&outcome{d: d, kind: repeated})
		return
	case fresh:
	}
	var j job
	var err error
	if defect := logging.Guard(r.log, r.kind.name, func() { j, err = r.newJob(d) }); defect != nil {
		err = defect
	}
	if err != nil {
		r.settle.Post(&outcome{d: d, hold: hold, kind: dead, cause: queue.CauseUndecodable, why: err.Error()})
		return
	}
	j.hold = hold
	v, back := r.hosts.take(j, time.Now())
	if v == start {
		r.callers.Go(func() { r.serve(ctx, j) })
	}
	r.giveBack(back)
}

func (r *run) giveBack(back []sentBack) {
	for _, b := range back {
		if !r.hands.dropStale(b.j.hold) {
			r.settle.Post(&outcome{d: b.j.d, hold: b.j.hold, kind: deferred, after: b.after})
		}
	}
}

// serve calls the endpoint for j and for what waits for the same host meanwhile. What the broker delivers again anyway
// is not called before it does.
func (r *run) serve(ctx context.Context, j job) {
	for ok := true; ok && ctx.Err() == nil && !r.shut(); {
		if r.hands.dropStale(j.hold) {
			j, ok = r.hosts.skip(j.host, j.user)
			continue
		}
		began := time.Now()
		var o outcome
		if err := logging.Guard(r.log, r.kind.name, func() { o = r.call(ctx, j) }); err != nil {
			o = outcome{d: j.d, kind: dead, cause: queue.CauseUndecodable, why: err.Error()}
		}
		o.hold = j.hold
		if o.kind != delivered && ctx.Err() != nil {
			return // cut off: it says nothing of the endpoint
		}
		r.settle.Post(&o)
		ended := time.Now()
		j, ok = r.hosts.next(j.host, j.user, ended.Sub(began), ended)
	}
}

func (t *HTTP) account(o *outcome) {
	switch o.kind {
	case delivered:
		t.Metrics.Delivered.Add(1)
	case deferred:
		t.Metrics.Deferred.Add(1)
	case dead:
		t.Metrics.Dead.Add(1)
		t.log.Error(t.kind.name+" given up, moved to the dead-letter queue", "msgid", o.d.ID, "err", o.why) //nolint:sloglint // one of two names of ours
	case retry, repeated:
	}
}
