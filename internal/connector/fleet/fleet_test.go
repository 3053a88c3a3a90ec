package fleet

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"jasmind/internal/connector"
	"jasmind/internal/provision"
	"jasmind/internal/queue"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smppc"
	"jasmind/internal/sms"
)

// fakeBroker declares queues unless it is away or hangs.
type fakeBroker struct {
	mu       sync.Mutex
	away     error
	hangs    bool
	declared []queue.Name
	waiting  map[queue.Name]int // messages of queues that were declared before
}

func (b *fakeBroker) Length(_ context.Context, name queue.Name) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.waiting[name], b.away
}

func (b *fakeBroker) Names() []queue.Name {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := append(slices.Collect(maps.Keys(b.waiting)), b.declared...)
	slices.Sort(all)
	return slices.Compact(all)
}

func (b *fakeBroker) Declare(ctx context.Context, names ...queue.Name) error {
	b.mu.Lock()
	away, hangs := b.away, b.hangs
	if away == nil && !hangs {
		b.declared = append(b.declared, names...)
	}
	b.mu.Unlock()
	if hangs {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	return away
}

func (b *fakeBroker) set(away error, hangs bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.away, b.hangs = away, hangs
}

func (b *fakeBroker) Consume(context.Context, queue.Name, int) (queue.Consumer, error) {
	return nil, errors.New("not used")
}

// world is a Fleet over connectors that do nothing but note what happens to them.
type world struct {
	*Fleet
	broker   fakeBroker
	counters Counters
	log      bytes.Buffer

	mu     sync.Mutex // guards what follows
	events []string
	drains map[sms.ConnectorID]time.Duration // how long a connector drains
	last   map[sms.ConnectorID]*fakeConnector
	broken error // of building one
}

func newWorld() *world {
	w := &world{drains: make(map[sms.ConnectorID]time.Duration), last: make(map[sms.ConnectorID]*fakeConnector)}
	w.Fleet = New(connector.Config{}, Deps{Broker: &w.broker, Counters: &w.counters, Log: slog.New(slog.NewTextHandler(&w.log, nil))})
	w.build = func(cfg smppc.Config, _ *connector.Stats) (runner, func() error, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.broken != nil {
			return nil, nil, w.broken
		}
		c := &fakeConnector{w: w, cid: cfg.CID, over: make(chan error, 1)}
		w.last[cfg.CID] = c
		w.events = append(w.events, "start "+string(cfg.CID))
		return c, func() error { return nil }, nil
	}
	return w
}

func (w *world) note(what string, cid sms.ConnectorID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, what+" "+string(cid))
}

// happened gives what happened since it was called last, in order.
func (w *world) happened() string {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	out := strings.Join(w.events, ", ")
	w.events = nil
	return out
}

// logged gives the log, once nobody writes to it.
func (w *world) logged() string {
	synctest.Wait()
	return w.log.String()
}

// behind names the connectors that are not as wanted.
func (w *world) behind() []sms.ConnectorID {
	synctest.Wait()
	var out []sms.ConnectorID
	w.Each(func(cid sms.ConnectorID, s State) {
		if !s.AsWanted {
			out = append(out, cid)
		}
	})
	slices.Sort(out)
	return out
}

type fakeConnector struct {
	w    *world
	cid  sms.ConnectorID
	over chan error
}

func (c *fakeConnector) Run(context.Context) error { return <-c.over }

func (c *fakeConnector) Shutdown(ctx context.Context) error {
	c.w.mu.Lock()
	drain := c.w.drains[c.cid]
	c.w.mu.Unlock()
	defer func() {
		c.w.note("stop", c.cid)
		select {
		case c.over <- nil:
		default:
		}
	}()
	select {
	case <-time.After(drain):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (c *fakeConnector) Update(smppc.Config) error {
	c.w.note("update", c.cid)
	return nil
}

func (c *fakeConnector) Bound() bool             { return true }
func (c *fakeConnector) Status() []string        { return []string{"BOUND_TRX"} }
func (c *fakeConnector) InFlight() time.Duration { return time.Minute }

func started(cid sms.ConnectorID, change ...func(*smppc.Config)) provision.SMPPConnector {
	cfg := smppc.Default(cid)
	for _, f := range change {
		f(&cfg)
	}
	return provision.SMPPConnector{Config: cfg, Started: true}
}

func stopped(cid sms.ConnectorID) provision.SMPPConnector {
	return provision.SMPPConnector{Config: smppc.Default(cid)}
}

func (w *world) want(all ...provision.SMPPConnector) {
	var want []*provision.SMPPConnector
	for i := range all {
		want = append(want, &all[i])
	}
	w.Want(want)
}

func expect(t *testing.T, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// in runs a test in a bubble and stops the fleet at its end.
func in(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		f(t, w)
		w.mu.Lock()
		clear(w.drains)
		w.mu.Unlock()
		if err := w.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestConnectorsFollowWhatIsWanted(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.want(started("abc"), stopped("def"))
		expect(t, w.Settle(t.Context()), nil)
		expect(t, w.happened(), "start abc")
		slices.Sort(w.broker.declared)
		expect(t, w.broker.declared, []queue.Name{queue.SubmitSM("abc"), queue.SubmitSM("def")})
		expect(t, w.Bound("abc") && !w.Bound("def") && !w.Bound("ghi"), true)

		w.want(started("abc", func(c *smppc.Config) { c.SubmitThroughput = 7 }), stopped("def"))
		expect(t, w.happened(), "update abc")
		w.want(started("abc", func(c *smppc.Config) { c.Host = "other" }), stopped("def"))
		expect(t, w.happened(), "stop abc, start abc")
		w.want(started("abc", func(c *smppc.Config) { c.Host = "other" }), started("def"))
		expect(t, w.happened(), "start def")
		w.want(started("def"))
		expect(t, w.happened(), "stop abc")
		expect(t, w.Sessions("abc"), []string(nil))
		expect(t, w.behind(), []sms.ConnectorID(nil))
	})
}

func TestAFailureIsRepeatedUntilItHolds(t *testing.T) {
	for _, tt := range []struct {
		name string
		set  func(w *world, err error)
	}{
		{"RabbitMQ is away", func(w *world, err error) { w.broker.set(err, false) }},
		{"the log cannot be opened", func(w *world, err error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.broken = err
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in(t, func(t *testing.T, w *world) {
				w.want(started("abc"))
				expect(t, w.happened(), "start abc")
				tt.set(w, errors.New("connection refused"))
				w.want(started("abc", func(c *smppc.Config) { c.Host = "other" }), started("def"))
				err := w.Settle(t.Context())
				for _, want := range []string{"connector abc: ", "connector def: ", "connection refused; will be tried again"} {
					if err == nil || !strings.Contains(err.Error(), want) {
						t.Errorf("Settle gave %v, want %q in it", err, want)
					}
				}
				expect(t, w.happened(), "stop abc")
				expect(t, w.behind(), []sms.ConnectorID{"abc", "def"})
				time.Sleep(time.Hour)
				lines := strings.Count(w.logged(), "cid=abc failures=")
				if lines < 5 || lines > 20 {
					t.Errorf("%d lines about abc in an hour:\n%s", lines, w.logged())
				}
				tt.set(w, nil)
				time.Sleep(lastRetry + lastRetry/10)
				got := strings.Split(w.happened(), ", ")
				slices.Sort(got)
				expect(t, got, []string{"start abc", "start def"})
				expect(t, w.behind(), []sms.ConnectorID(nil))
				expect(t, strings.Count(w.logged(), "connector is as configured again"), 2)
				w.Each(func(cid sms.ConnectorID, s State) {
					if s.Failures < 100 {
						t.Errorf("%s: %d failures counted", cid, s.Failures)
					}
				})
			})
		})
	}
}

func TestWhatIsNotWantedAnyMoreIsNotTriedAgain(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.broker.set(errors.New("connection refused"), false)
		w.want(started("abc"), started("def"))
		expect(t, w.behind(), []sms.ConnectorID{"abc", "def"})
		w.want(started("def"))
		expect(t, w.behind(), []sms.ConnectorID{"def"})
	})
}

func TestAHungBrokerHoldsUpNeitherSettleNorStop(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.want(started("abc"))
		expect(t, w.happened(), "start abc")
		w.broker.set(nil, true)
		w.want(started("abc"), started("def"))
		began := time.Now()
		err := w.Settle(t.Context())
		if err == nil || !strings.HasPrefix(err.Error(), "connector def: ") || strings.Contains(err.Error(), "abc") {
			t.Errorf("Settle gave %v", err)
		}
		expect(t, time.Since(began), settleWait)
		began = time.Now()
		expect(t, w.Stop(t.Context()), nil)
		expect(t, time.Since(began), time.Duration(0))
	})
}

func TestAConnectorThatDrainsHoldsUpNoOther(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.drains["abc"] = time.Minute
		w.want(started("abc"), started("def"))
		w.happened()
		w.want(stopped("abc"), started("def"))
		expect(t, w.happened(), "")
		w.want(stopped("abc"), started("def", func(c *smppc.Config) { c.Host = "other" }), started("ghi"))
		got := strings.Split(w.happened(), ", ")
		slices.Sort(got)
		expect(t, got, []string{"start def", "start ghi", "stop def"})
		expect(t, w.behind(), []sms.ConnectorID{"abc"})
		expect(t, w.Settle(t.Context()).Error(), "connector abc: still being changed")
		time.Sleep(time.Minute)
		expect(t, w.happened(), "stop abc")
		expect(t, w.behind(), []sms.ConnectorID(nil))
	})
}

func TestAStopAndAStartInTwoChangesAreAStopAndAStart(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.want(started("abc"))
		expect(t, w.happened(), "start abc")
		w.want(stopped("abc"))
		w.want(started("abc"))
		expect(t, w.happened(), "stop abc, start abc")
		before := w.counters.Connector("abc")
		w.want()
		expect(t, w.counters.Connector("abc"), (*connector.Stats)(nil))
		w.want(started("abc"))
		expect(t, w.happened(), "stop abc, start abc")
		if now := w.counters.Connector("abc"); now == before || now == nil {
			t.Error("a connector that was added again has the counters of the old one")
		}
	})
}

func TestADrainHasAnEnd(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.drains["abc"] = 24 * time.Hour
		w.want(started("abc", func(c *smppc.Config) { c.ResponseTimeout = time.Minute }))
		w.happened()
		w.want(stopped("abc"))
		time.Sleep(time.Minute + settling - 1)
		expect(t, w.happened(), "")
		time.Sleep(1)
		expect(t, w.happened(), "stop abc")
	})
}

func TestStopEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.drains["abc"], w.drains["def"] = time.Hour, time.Second
		w.want(started("abc"), started("def"))
		w.happened()
		w.want(stopped("abc"), started("def")) // it drains already when the fleet stops
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		began := time.Now()
		err := w.Stop(ctx)
		expect(t, time.Since(began), 5*time.Second)
		if err == nil || !strings.HasPrefix(err.Error(), "connector abc: drain: ") || strings.Contains(err.Error(), "def") {
			t.Errorf("got %v", err)
		}
		w.want(started("abc"))
		expect(t, w.happened(), "stop def, stop abc")
	})
}

func TestAConnectorThatEndsByItselfIsStartedAgain(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.want(started("abc"))
		expect(t, w.happened(), "start abc")
		w.last["abc"].over <- errors.New("out of luck")
		expect(t, w.behind(), []sms.ConnectorID{"abc"})
		time.Sleep(time.Second)
		expect(t, w.happened(), "stop abc, start abc")
		expect(t, w.behind(), []sms.ConnectorID(nil))
	})
}

// What waits for connectors that are not configured is found at the start, when one is removed, and every minute.
func TestOrphans(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		fill := func(cid sms.ConnectorID, n int) {
			w.broker.mu.Lock()
			w.broker.waiting[queue.SubmitSM(cid)] = n
			w.broker.mu.Unlock()
		}
		orphans := func() []Orphan {
			synctest.Wait()
			return w.Orphans()
		}
		w.broker.waiting = map[queue.Name]int{queue.SubmitSM("abc"): 5, queue.SubmitSM("gone"): 3, queue.SubmitSM("empty"): 0, queue.ESME("abc"): 7}
		store := provision.NewStore()
		change := func(f func(*provision.Draft) error) {
			t.Helper()
			if err := store.Apply(f); err != nil {
				t.Fatal(err)
			}
		}
		change(func(d *provision.Draft) error { return d.AddSMPPConnector(started("abc")) })
		w.Follow(store)
		expect(t, orphans(), []Orphan{{"gone", 3}})
		if w.carries("gone", nil) || !w.carries("abc", nil) {
			t.Error("a failover leads to a connector that is not there, or not to one that is")
		}
		change(func(d *provision.Draft) error { return d.RemoveSMPPConnector("abc") })
		expect(t, orphans(), []Orphan{{"abc", 5}, {"gone", 3}})
		fill("gone", 0)
		fill("abc", 6) // a message that was on its way there
		time.Sleep(time.Minute)
		expect(t, orphans(), []Orphan{{"abc", 6}})
		change(func(d *provision.Draft) error { return d.AddSMPPConnector(started("abc")) })
		time.Sleep(time.Minute)
		expect(t, orphans(), []Orphan(nil))
		if n := strings.Count(w.logged(), "messages wait for a connector that is not configured"); n != 3 {
			t.Errorf("it was told %d times, want 3:\n%s", n, w.logged())
		}
	})
}

func TestTransmitterIsPairedWithItsReceiver(t *testing.T) {
	of := func(cid, host, username string, bind pdu.BindType, dlr sms.ConnectorID) provision.SMPPConnector {
		cfg := smppc.Default(sms.ConnectorID(cid))
		cfg.Host, cfg.Username, cfg.Bind, cfg.DLRCID = host, username, bind, dlr
		return provision.SMPPConnector{Config: cfg}
	}
	tx := func(dlr sms.ConnectorID) provision.SMPPConnector {
		return of("tx-1", "smsc", "foo", pdu.Transmitter, dlr)
	}
	for _, tt := range []struct {
		name   string
		others []provision.SMPPConnector
		tx     provision.SMPPConnector
		want   sms.ConnectorID
	}{
		{"alone it keeps its own", nil, tx(""), ""},
		{"the receiver of the same account takes its receipts", []provision.SMPPConnector{of("rx-1", "smsc", "foo", pdu.Receiver, "")}, tx(""), "rx-1"},
		{"another account's receiver does not", []provision.SMPPConnector{of("rx-1", "smsc", "bar", pdu.Receiver, ""), of("rx-2", "other", "foo", pdu.Receiver, "")}, tx(""), ""},
		{"a transceiver does not", []provision.SMPPConnector{of("trx-1", "smsc", "foo", pdu.Transceiver, "")}, tx(""), ""},
		{"of two receivers none is guessed", []provision.SMPPConnector{of("rx-1", "smsc", "foo", pdu.Receiver, ""), of("rx-2", "smsc", "foo", pdu.Receiver, "")}, tx(""), ""},
		{"what dlr_cid says stays", []provision.SMPPConnector{of("rx-1", "smsc", "foo", pdu.Receiver, "")}, tx("rx-9"), "rx-9"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := map[sms.ConnectorID]provision.SMPPConnector{"tx-1": tt.tx}
			for _, o := range tt.others {
				want[o.CID] = o
			}
			before := maps.Clone(want)
			pair(want)
			if got := want["tx-1"].DLRCID; got != tt.want {
				t.Errorf("dlr_cid is %q, want %q", got, tt.want)
			}
			delete(want, "tx-1")
			delete(before, "tx-1")
			expect(t, want, before)
		})
	}
}

// Receipts for what was sent before a change of the account still come.
func TestAccountsThatAConnectorHadAreRemembered(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		at := func(host string) provision.SMPPConnector {
			return started("abc", func(c *smppc.Config) { c.Host = host })
		}
		for _, host := range []string{"one", "two", "one", "three"} {
			w.want(at(host), stopped("def"))
		}
		w.happened()
		expect(t, w.accounts("abc"), []sms.Account{"three:2775/smppclient", "one:2775/smppclient", "two:2775/smppclient"})
		expect(t, w.accounts("def"), []sms.Account{"127.0.0.1:2775/smppclient"})
		expect(t, w.accounts("ghi"), []sms.Account(nil))
		for _, host := range []string{"four", "five", "six"} {
			w.want(at(host))
		}
		w.happened()
		expect(t, w.accounts("abc"), []sms.Account{"six:2775/smppclient", "five:2775/smppclient", "four:2775/smppclient", "three:2775/smppclient"})
	})
}
