// Package fleet keeps the SMPP client connectors as the configuration wants them: it starts,
// stops and restarts them, and changes live what can be changed live.
//
//	f := fleet.New(connector.Config{...}, fleet.Deps{...})
//	f.Follow(store)       // from now on the connectors are as the store's snapshots say
//	err := f.Settle(ctx)  // waits until all changes were tried; err names the connectors where one failed
//	err = f.Stop(ctx)     // drains all until ctx ends
//
// Each connector is followed in a goroutine of its own, so that a change to one never waits for
// another one that drains. A change that fails, because RabbitMQ is away when a queue is declared or because
// a log file cannot be opened, is tried again until it holds or another change replaces it.
package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"jasmind/internal/connector"
	"jasmind/internal/journal"
	"jasmind/internal/provision"
	"jasmind/internal/queue"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smppc"
	"jasmind/internal/sms"
)

// broker holds the connectors' queues.
type broker interface {
	Declare(ctx context.Context, names ...queue.Name) error
	Consume(ctx context.Context, name queue.Name, prefetch int) (queue.Consumer, error)
	Length(ctx context.Context, name queue.Name) (int, error)
	// Names lists all queues that were declared for connectors, those of other runs too, and others.
	Names() []queue.Name
}

// Deps are what connectors work with.
type Deps struct {
	Broker   broker
	Journal  journal.Journal
	Store    journal.Store
	MO       connector.MOFunc
	Counters *Counters
	// OpenLog opens the log of one connector.
	OpenLog  func(*smppc.Config) (log *slog.Logger, release func() error, err error)
	Messages *slog.Logger // the message log
	Log      *slog.Logger // of starts, stops and failures
}

// runner is a connector.Connector as the fleet uses it.
type runner interface {
	Run(ctx context.Context) error
	Shutdown(ctx context.Context) error
	Update(cfg smppc.Config) error
	Bound() bool
	Status() []string
	InFlight() time.Duration
}

// Fleet is all connectors. It is safe for concurrent use.
type Fleet struct {
	common connector.Config
	deps   Deps
	hands  *connector.Hands // outlives the stop and start of a connector
	build  func(smppc.Config, *connector.Stats) (c runner, release func() error, err error)

	working context.Context // ends when Stop is called: no queue is declared and no change waited for after that
	halt    context.CancelFunc
	stops   context.Context // ends when the context of Stop ends: connectors that still drain give up
	abort   context.CancelFunc
	wg      sync.WaitGroup // the members' goroutines

	unfollow func() // ends the subscription of Follow

	removed chan struct{} // cap 1: a connector was

	mu       sync.RWMutex // guards the fields below, and the fields of members that say so
	members  map[sms.ConnectorID]*member
	stopping bool
	unclean  []error       // of connectors that did not drain in time while the fleet stopped
	tried    chan struct{} // closed and replaced after each try of a member
	orphans  []Orphan      // replaced, never changed
}

// New makes a Fleet without connectors. common holds the settings that all connectors share; common.Connector is not used.
func New(common connector.Config, d Deps) *Fleet {
	f := &Fleet{common: common, deps: d, hands: connector.NewHands(), members: make(map[sms.ConnectorID]*member), tried: make(chan struct{}), unfollow: func() {}, removed: make(chan struct{}, 1)}
	f.build = f.connector
	f.working, f.halt = context.WithCancel(context.Background())
	f.stops, f.abort = context.WithCancel(context.Background())
	return f
}

// connector makes a connector and opens its log.
func (f *Fleet) connector(cfg smppc.Config, stats *connector.Stats) (runner, func() error, error) {
	log, release, err := f.deps.OpenLog(&cfg)
	if err != nil {
		return nil, nil, err
	}
	all := f.common
	all.Connector = cfg
	c, err := connector.New(all, connector.Deps{
		Bound: f.Bound, Carries: f.carries, Source: f.deps.Broker, Journal: f.deps.Journal, Store: f.deps.Store,
		Accounts: f.accounts, Hands: f.hands, MO: f.deps.MO, Stats: stats, Messages: f.deps.Messages, Log: log,
	})
	if err != nil {
		return nil, nil, errors.Join(err, release())
	}
	return c, release, nil
}

// Follow keeps the connectors as the snapshots of store say, now and after each change, until Stop. It must be
// called only once.
func (f *Fleet) Follow(store *provision.Store) {
	f.unfollow = store.Subscribe(func(_, now *provision.Snapshot) { f.Want(now.SMPPConnectors()) })
	f.Want(store.Snapshot().SMPPConnectors())
	f.wg.Go(f.lookForOrphans)
}

// Want sets the wanted state of all connectors; it never blocks. A connector that one call stops and the next call
// starts is stopped and started, however soon the second call comes.
func (f *Fleet) Want(all []*provision.SMPPConnector) {
	want := make(map[sms.ConnectorID]provision.SMPPConnector, len(all))
	for _, c := range all {
		want[c.CID] = *c
	}
	pair(want)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stopping {
		return
	}
	for cid, m := range f.members {
		if _, ok := want[cid]; !ok {
			m.setLocked(nil)
			select {
			case f.removed <- struct{}{}:
			default:
			}
		}
	}
	for cid, w := range want {
		m := f.members[cid]
		if m == nil {
			m = &member{f: f, cid: cid, log: f.deps.Log.With("cid", string(cid)), wake: make(chan struct{}, 1)}
			f.members[cid] = m
			f.wg.Go(m.follow)
		}
		m.setLocked(&w)
	}
}

// pair sets the dlr_cid of a transmitter without one to the receiver that has the same host and username, if there is
// exactly one such receiver: the receipts of the transmitter's messages come there. Such a pair works in the original, which
// looks a receipt up by its id alone.
func pair(want map[sms.ConnectorID]provision.SMPPConnector) {
	type account struct{ host, username string }
	receivers := make(map[account][]sms.ConnectorID)
	for cid, w := range want {
		if w.Bind == pdu.Receiver {
			a := account{w.Host, w.Username}
			receivers[a] = append(receivers[a], cid)
		}
	}
	for cid, w := range want {
		if w.Bind != pdu.Transmitter || w.DLRCID != "" {
			continue
		}
		if r := receivers[account{w.Host, w.Username}]; len(r) == 1 {
			w.DLRCID = r[0]
			want[cid] = w
		}
	}
}

// settleWait is how long Settle waits for connectors that are being changed.
const settleWait = 10 * time.Second

// Settle waits, at most settleWait, until every earlier change has been tried. The error names the connectors that are not
// in the wanted state; the fleet goes on trying by itself.
func (f *Fleet) Settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, settleWait)
	defer cancel()
	f.mu.RLock()
	targets := make(map[*member]uint64, len(f.members))
	for _, m := range f.members {
		targets[m] = m.change
	}
	f.mu.RUnlock()
	for {
		pending, failed, tried := f.outcome(targets)
		if len(pending) == 0 {
			return errors.Join(failed...)
		}
		select {
		case <-tried:
		case <-f.working.Done():
			return errors.New("the gateway stops")
		case <-ctx.Done():
			return errors.Join(append(failed, pending...)...)
		}
	}
}

// outcome gives an error for each member that has not yet tried the change in targets (pending), and for each whose last try
// failed. tried is closed after the next try of any member.
func (f *Fleet) outcome(targets map[*member]uint64) (pending, failed []error, tried <-chan struct{}) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	for m, change := range targets {
		switch {
		case m.done < change:
			pending = append(pending, fmt.Errorf("connector %s: still being changed", m.cid))
		case m.err != nil:
			failed = append(failed, fmt.Errorf("connector %s: %w; will be tried again", m.cid, m.err))
		}
	}
	return pending, failed, f.tried
}

// Stop drains all connectors. Connectors that still drain when ctx ends give up, and the error names them; the messages
// that they had sent and not settled will be sent again.
func (f *Fleet) Stop(ctx context.Context) error {
	f.unfollow()
	f.mu.Lock()
	f.stopping = true
	for _, m := range f.members {
		m.setLocked(nil)
	}
	f.mu.Unlock()
	f.halt()
	defer context.AfterFunc(ctx, f.abort)()
	f.wg.Wait()
	f.abort()
	return errors.Join(f.unclean...)
}

// running gives the connector cid if it runs or drains, else nil.
func (f *Fleet) running(cid sms.ConnectorID) *running {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if m := f.members[cid]; m != nil {
		return m.runs
	}
	return nil
}

// Bound tells whether a connector has a session that can submit.
func (f *Fleet) Bound(cid sms.ConnectorID) bool {
	r := f.running(cid)
	return r != nil && r.Bound()
}

// Sessions gives the state of each session of a connector; none if it does not run.
func (f *Fleet) Sessions(cid sms.ConnectorID) []string {
	if r := f.running(cid); r != nil {
		return r.Status()
	}
	return nil
}

// InFlight is for how long after its end of validity a message may still be in flight at a connector.
func (f *Fleet) InFlight(cid sms.ConnectorID) time.Duration {
	if r := f.running(cid); r != nil {
		return r.InFlight()
	}
	return 0
}

// carries tells whether a connector is configured, started or not, and its rules (custom_tlvs) let a message with these
// parameters leave. While the fleet stops nobody knows better, and every connector does.
func (f *Fleet) carries(cid sms.ConnectorID, tlvs pdu.TLVs) bool {
	f.mu.RLock()
	var rules smppc.TLVRules
	m := f.members[cid]
	there := m != nil && m.want != nil
	if there {
		rules = m.want.CustomTLVs
	}
	there = there || f.stopping
	f.mu.RUnlock()
	return there && rules.Check(tlvs) == nil
}

// accounts gives the accounts at SMSCs that a connector has, and had since the process started, the present one first.
func (f *Fleet) accounts(cid sms.ConnectorID) []sms.Account {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if m := f.members[cid]; m != nil {
		return m.accounts
	}
	return nil
}

// State is how far a connector is from what the configuration wants of it.
type State struct {
	AsWanted bool
	Failures int64 // since it was added
}

// Each calls yield with the state of every connector.
func (f *Fleet) Each(yield func(sms.ConnectorID, State)) {
	f.mu.RLock()
	states := make(map[sms.ConnectorID]State, len(f.members))
	for cid, m := range f.members {
		states[cid] = State{AsWanted: m.done == m.change && m.err == nil, Failures: m.failures}
	}
	f.mu.RUnlock()
	for cid, s := range states {
		yield(cid, s)
	}
}
