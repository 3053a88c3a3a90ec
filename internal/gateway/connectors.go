package gateway

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"jasmind/internal/connector"
	"jasmind/internal/journal"
	"jasmind/internal/queue"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smppc"
	"jasmind/internal/sms"
)

// wanted is what the configuration says of one connector.
type wanted struct {
	cfg     smppc.Config
	started bool
}

// connectors keeps a connector.Connector running for each one that is to be started, and
// counters for each that exists. Changes are applied one after the other.
type connectors struct {
	common  connector.Config
	broker  broker
	journal journal.Journal
	store   journal.Store
	mo      connector.MOFunc
	logs    *serviceLogs
	ctx     context.Context // ends when everything is given up

	apply sync.Mutex // one change at a time

	mu      sync.RWMutex // guards what follows
	running map[sms.ConnectorID]*running
	stats   map[sms.ConnectorID]*connector.Stats
	rules   map[sms.ConnectorID]smppc.TLVRules // replaced as a whole; of each that has some, started or not
}

type running struct {
	*connector.Connector
	cfg      smppc.Config
	done     chan struct{} // closed when Run has returned
	closeLog func() error
}

func newConnectors(ctx context.Context, common connector.Config, b *backend, j journal.Journal, mo connector.MOFunc, logs *serviceLogs) *connectors {
	return &connectors{common: common, broker: b.broker, journal: j, store: b.store, mo: mo, logs: logs, ctx: ctx,
		running: make(map[sms.ConnectorID]*running), stats: make(map[sms.ConnectorID]*connector.Stats)}
}

// Apply makes reality what the configuration wants: stops what is not wanted, updates live
// what can be, restarts what must be, and starts the rest. Other connectors are left alone.
// The error joins what failed; everything else was done.
func (c *connectors) Apply(ctx context.Context, want map[sms.ConnectorID]wanted) error {
	c.apply.Lock()
	defer c.apply.Unlock()
	var errs []error
	var stop []*running
	rules := make(map[sms.ConnectorID]smppc.TLVRules)
	for cid, w := range want {
		if len(w.cfg.CustomTLVs) > 0 {
			rules[cid] = w.cfg.CustomTLVs
		}
	}
	c.mu.Lock()
	c.rules = rules
	c.mu.Unlock()
	c.mu.RLock()
	for cid, r := range c.running {
		if w, ok := want[cid]; !ok || !w.started || smppc.RestartNeeded(r.cfg, w.cfg) {
			stop = append(stop, r)
		}
	}
	c.mu.RUnlock()
	errs = append(errs, c.stop(ctx, stop))
	for cid, w := range want {
		if err := c.one(ctx, cid, w); err != nil {
			errs = append(errs, fmt.Errorf("connector %s: %w", cid, err))
		}
	}
	c.mu.Lock()
	for cid := range c.stats {
		if _, ok := want[cid]; !ok {
			delete(c.stats, cid)
		}
	}
	c.mu.Unlock()
	return errors.Join(errs...)
}

func (c *connectors) one(ctx context.Context, cid sms.ConnectorID, w wanted) error {
	// A stopped connector has a queue too: messages for it wait there.
	if err := c.broker.Declare(ctx, queue.SubmitSM(cid)); err != nil {
		return err
	}
	c.mu.Lock()
	st := c.stats[cid]
	if st == nil {
		st = connector.NewStats()
		c.stats[cid] = st
	}
	r := c.running[cid]
	c.mu.Unlock()
	switch {
	case r != nil:
		if r.cfg.Equal(w.cfg) {
			return nil
		}
		r.cfg = w.cfg
		return r.Update(w.cfg)
	case !w.started:
		return nil
	}
	log, closeLog, err := c.logs.connector(&w.cfg)
	if err != nil {
		return err
	}
	cfg := c.common
	cfg.Connector = w.cfg
	cn, err := connector.New(cfg, connector.Deps{Bound: c.Bound, Carries: c.carries, Source: c.broker, Journal: c.journal, Store: c.store, MO: c.mo, Stats: st, Messages: c.logs.messages, Log: log})
	if err != nil {
		return errors.Join(err, closeLog())
	}
	r = &running{Connector: cn, cfg: w.cfg, done: make(chan struct{}), closeLog: closeLog}
	c.mu.Lock()
	c.running[cid] = r
	c.mu.Unlock()
	go func() {
		defer close(r.done)
		if err := cn.Run(c.ctx); err != nil && c.ctx.Err() == nil {
			c.logs.service.Error("connector ended", "cid", string(cid), "err", err)
		}
	}()
	c.logs.service.Info("connector started", "cid", string(cid), "host", w.cfg.Host, "port", w.cfg.Port, "binds", w.cfg.Binds, "window", w.cfg.Window)
	return nil
}

// stop drains connectors side by side and waits for them.
func (c *connectors) stop(ctx context.Context, rs []*running) error {
	errs := make([]error, len(rs))
	var wg sync.WaitGroup
	for i, r := range rs {
		wg.Go(func() {
			if err := r.Shutdown(ctx); err != nil {
				errs[i] = fmt.Errorf("connector %s: drain: %w", r.cfg.CID, err)
			}
			<-r.done
			errs[i] = errors.Join(errs[i], r.closeLog())
			c.mu.Lock()
			delete(c.running, r.cfg.CID)
			c.mu.Unlock()
			c.logs.service.Info("connector stopped", "cid", string(r.cfg.CID))
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// StopAll drains every connector until ctx ends.
func (c *connectors) StopAll(ctx context.Context) error {
	c.apply.Lock()
	defer c.apply.Unlock()
	c.mu.RLock()
	all := make([]*running, 0, len(c.running))
	for _, r := range c.running {
		all = append(all, r)
	}
	c.mu.RUnlock()
	return c.stop(ctx, all)
}

// Bound tells whether a connector has a session that can submit.
func (c *connectors) Bound(cid sms.ConnectorID) bool {
	c.mu.RLock()
	r := c.running[cid]
	c.mu.RUnlock()
	return r != nil && r.Bound()
}

// intercepted counts a message that an interceptor was run on.
func (c *connectors) intercepted(cid sms.ConnectorID, ok bool) {
	c.mu.RLock()
	st := c.stats[cid]
	c.mu.RUnlock()
	switch {
	case st == nil: // removed meanwhile
	case ok:
		st.InterceptorCount.Add(1)
	default:
		st.InterceptorErrorCount.Add(1)
	}
}

// carries tells whether a connector's rules let a message with these parameters leave.
func (c *connectors) carries(cid sms.ConnectorID, tlvs pdu.TLVs) bool {
	c.mu.RLock()
	rules := c.rules[cid]
	c.mu.RUnlock()
	return rules.Check(tlvs) == nil
}

// Quality tells how well a connector delivered in the last hour.
func (c *connectors) Quality(cid sms.ConnectorID) (ratio float64, known bool) {
	c.mu.RLock()
	st := c.stats[cid]
	c.mu.RUnlock()
	if st == nil {
		return 0, false
	}
	return st.Quality.Ratio()
}

// Hold is for how long after its end of validity a message may still be in flight at a connector.
func (c *connectors) Hold(cid sms.ConnectorID) time.Duration {
	c.mu.RLock()
	r := c.running[cid]
	c.mu.RUnlock()
	if r == nil {
		return 0
	}
	return r.Hold()
}

// each calls f with the counters of every connector.
func (c *connectors) each(f func(sms.ConnectorID, *connector.Stats, []string)) {
	type item struct {
		cid sms.ConnectorID
		st  *connector.Stats
		r   *running
	}
	c.mu.RLock()
	items := make([]item, 0, len(c.stats))
	for cid, st := range c.stats {
		items = append(items, item{cid, st, c.running[cid]})
	}
	c.mu.RUnlock()
	for _, it := range items {
		var status []string
		if it.r != nil {
			status = it.r.Status()
		}
		f(it.cid, it.st, status)
	}
}
