package connector

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smppc"
)

const (
	// sessionWindow is the most that a session of ours has in flight: the highest value of
	// the key window. The connector's own window, which is narrower, is what counts.
	sessionWindow = 1000
	// inboundWindow is how many requests of the SMSC a session holds unanswered before it
	// answers ESME_RX_T_APPN.
	inboundWindow = 1000
	// lateTime is how long after its response timer an answer is still taken.
	lateTime = 10 * time.Minute
	// deafAfter is after how many submit_sm in a row without an answer a session is given up, if for twice
	// the response timer there was none at all.
	deafAfter = 3
)

// errDeaf is why a session is given up whose SMSC answers no submit_sm any more.
var errDeaf = errors.New("the SMSC answers no submit_sm")

// bindDeps are what the binds of a connector share.
type bindDeps struct {
	*settings
	stats    *Stats
	log      *slog.Logger
	dial     func(context.Context, *smppc.Config, smpp.DialConfig) (*smpp.Session, error)
	inbound  smpp.Handler // of what the SMSC sends
	pace     *pace
	jobs     <-chan *attempt
	offer    func(context.Context, *attempt) // hands a message of which nothing was sent to another bind
	settler  *settler
	presence *presence
}

// bind keeps one session to the SMSC: it dials, binds, sends and dials again.
type bind struct {
	*bindDeps
	index   int
	win     *window
	stop    chan struct{} // closed: unbind and end
	ended   chan struct{} // closed when run has returned
	session atomic.Pointer[smpp.Session]
	open    atomic.Bool // connected and not bound
	hearing hearing     // of the session
}

// hearing notices an SMSC that answers no submit_sm, though it may answer enquire_link.
//
// mu guards the fields.
type hearing struct {
	mu     sync.Mutex
	missed int       // in a row
	last   time.Time // answer, late ones included; when the session was bound, before the first
	limit  time.Duration
}

// begin is for a new session, which waits so long for a response.
func (h *hearing) begin(response time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.missed, h.last, h.limit = 0, time.Now(), 2*response
}

func (h *hearing) answered() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.missed, h.last = 0, time.Now()
}

// unanswered tells whether that was one too many.
func (h *hearing) unanswered() (deaf bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.missed++
	if h.missed < deafAfter || time.Since(h.last) < h.limit {
		return false
	}
	h.missed, h.last = 0, time.Now() // told once
	return true
}

// binds are those of a connector, as many as the configuration says.
type binds struct {
	bindDeps
	listener *listener // of outbind

	mu  sync.Mutex // guards all
	all []*bind
}

// run keeps the binds until unbind is closed, when it unbinds all, or ctx ends.
func (bs *binds) run(ctx context.Context, unbind <-chan struct{}) {
	var wg sync.WaitGroup
	defer wg.Wait()
	if cfg := bs.cfg.Load(); cfg.Outbind != "" {
		bs.dial = bs.listener.answerOutbind
		listening, stop := context.WithCancel(ctx)
		defer stop()
		wg.Go(func() { bs.listener.run(listening, cfg) })
	}
	next := 0
	for {
		_, changed := bs.presence.watch()
		cfg := bs.cfg.Load()
		bs.mu.Lock()
		for len(bs.all) < cfg.Binds {
			b := &bind{bindDeps: &bs.bindDeps, index: next, win: newWindow(cfg.Window), stop: make(chan struct{}), ended: make(chan struct{})}
			next++
			bs.all = append(bs.all, b)
			wg.Go(func() {
				defer close(b.ended)
				b.run(ctx)
			})
		}
		for len(bs.all) > cfg.Binds {
			b := bs.all[len(bs.all)-1]
			bs.all = bs.all[:len(bs.all)-1]
			close(b.stop)
		}
		bs.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return
		case <-unbind:
			bs.mu.Lock()
			for _, b := range bs.all {
				close(b.stop)
			}
			bs.mu.Unlock()
			return
		}
	}
}

// setWindow sets the limit of every window.
func (bs *binds) setWindow(n int) {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	for _, b := range bs.all {
		b.win.setLimit(n)
	}
}

// status gives the console's words for the states of the binds.
func (bs *binds) status() []string {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	out := make([]string, 0, len(bs.all))
	for _, b := range bs.all {
		out = append(out, b.status())
	}
	return out
}

// status is the console's word for the bind's state.
func (b *bind) status() string {
	s := b.session.Load()
	if s == nil {
		if b.open.Load() {
			return "OPEN"
		}
		return "NONE"
	}
	switch st := s.State(); st {
	case smpp.Unbinding, smpp.Closed:
		return "UNBOUND"
	default:
		return st.String()
	}
}

// run binds again and again until it is stopped or a con_*_retry key says no. A refused bind
// counts as a failed connection.
func (b *bind) run(ctx context.Context) {
	log := b.log.With("bind", b.index)
	var failed, lost backoff
	for {
		cfg := b.cfg.Load()
		s, err := b.connect(ctx, cfg)
		retry, delay, what, again := cfg.ConFailRetry, cfg.ConFailDelay, "bind failed", &failed
		if err == nil {
			failed.reset()
			if cfg.SSL && !cfg.SSLVerify {
				log.Warn("ssl_verify is no: anybody may have answered in the place of the SMSC", "host", cfg.Host)
			}
			since := time.Now()
			log.Info("bound", "host", cfg.Host, "port", cfg.Port, "type", cfg.Bind.String())
			var polite bool
			if polite, err = b.serve(ctx, s, cfg.ResponseTimeout); polite || ctx.Err() != nil {
				log.Info("unbound", "err", err)
				return
			}
			cfg = b.cfg.Load()
			retry, delay, what, again = cfg.ConLossRetry, cfg.ConLossDelay, "session lost", &lost
			if time.Since(since) >= steady {
				lost.reset()
			}
		}
		if b.stopped(ctx) {
			return
		}
		attrs := []any{"host", cfg.Host, "port", cfg.Port, "err", err}
		if refused := new(smpp.StatusError); errors.As(err, &refused) {
			attrs = append(attrs, "status", refused.Status.String())
		}
		if !retry {
			log.Error("not bound, giving up", append(attrs, "why", what)...)
			return
		}
		if delay = again.next(delay); cfg.Outbind != "" {
			delay = jitter(0) // it is the SMSC that comes again
		}
		log.Warn("not bound, will be tried again", append(attrs, "why", what, "in", delay)...)
		if !sleep(ctx, b.stop, delay) {
			return
		}
	}
}

// stopped tells whether the bind is to end.
func (b *bind) stopped(ctx context.Context) bool {
	select {
	case <-b.stop:
		return true
	default:
		return ctx.Err() != nil
	}
}

// connect dials and binds. It ends early when the bind is stopped.
func (b *bind) connect(ctx context.Context, cfg *smppc.Config) (*smpp.Session, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	release := make(chan struct{})
	defer close(release)
	wg.Go(func() {
		select {
		case <-b.stop:
			cancel()
		case <-release:
		}
	})
	s, err := b.dial(ctx, cfg, smpp.DialConfig{
		Bind: pdu.Bind{Type: cfg.Bind, SystemID: cfg.Username, Password: cfg.Password, SystemType: cfg.SystemType,
			InterfaceVersion: cfg.InterfaceVersion, AddrTON: cfg.BindTON, AddrNPI: cfg.BindNPI, AddressRange: cfg.AddressRange},
		Config: smpp.Config{
			Window: sessionWindow, InboundWindow: inboundWindow,
			EnquireLink: timer(cfg.EnquireLink), Inactivity: timer(cfg.Inactivity), Response: timer(cfg.ResponseTimeout), Late: lateTime,
			SessionInit: timer(cfg.BindTimeout), PDURead: timer(cfg.PDUReadTimeout),
			Handler: b.inbound, Logger: b.log.With("bind", b.index), Trace: b.trace,
		},
	})
	connected := b.open.Swap(false)
	switch {
	case err == nil:
		b.stats.BoundCount.Add(1)
		b.stats.BoundAt.Set(time.Now())
	case connected:
		b.stats.DisconnectedCount.Add(1)
		b.stats.DisconnectedAt.Set(time.Now())
	}
	return s, err
}

// timer turns a timer's key into that of a session, where zero would be the default.
func timer(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}

// serve runs a bound session until it ends; response is how long it waits for one, polite tells
// whether the end was our wish.
func (b *bind) serve(ctx context.Context, s *smpp.Session, response time.Duration) (polite bool, err error) {
	ended := make(chan error, 1)
	var wg sync.WaitGroup
	wg.Go(func() { ended <- s.Run(ctx) })
	b.session.Store(s)
	b.hearing.begin(response)

	sendCtx, stopSending := context.WithCancel(ctx)
	defer stopSending()
	sent := make(chan struct{})
	submits := s.State() != smpp.BoundRX
	if submits {
		b.presence.count(1, response)
		wg.Go(func() {
			defer close(sent)
			b.send(sendCtx, s)
		})
	} else {
		close(sent)
	}
	select {
	case err = <-ended:
	case <-b.stop:
		polite = true
		// The message that is being sent goes out whole, if that takes no longer than a response may.
		limit, cancel := context.WithTimeout(ctx, b.cfg.Load().ResponseTimeout+time.Second)
		select {
		case <-sent:
		case <-s.Done():
		case <-limit.Done():
			stopSending()
			<-sent
		}
		err = s.Shutdown(limit)
		cancel()
		if runErr := <-ended; err == nil {
			err = runErr
		}
	}
	if submits {
		b.presence.count(-1, response)
	}
	stopSending()
	wg.Wait()
	b.session.Store(nil)
	b.stats.DisconnectedCount.Add(1)
	b.stats.DisconnectedAt.Set(time.Now())
	return polite, err
}

// dialSession is how sessions are made: TLS when the connector has ssl.
func (sec *secured) dialSession(ctx context.Context, cfg *smppc.Config, d smpp.DialConfig) (*smpp.Session, error) {
	tc, err := sec.config(cfg)
	if err != nil {
		return nil, err
	}
	d.TLS = tc
	s, _, err := smpp.Dial(ctx, "tcp", net.JoinHostPort(cfg.Host, strconv.Itoa(cfg.Port)), d)
	return s, err
}
