// Package steps is what the sentences of the features mean: one file per noun, one World
// per scenario. A World holds a gateway, the SMSCs around it, the page that DLRs go to and
// the clients that send; it makes each of them when a sentence first needs it.
//
// Steps wait for events, up to a deadline, and never for a time.
//
//	suite := steps.NewSuite(steps.Embedded, t, build)
//	godog.TestSuite{ScenarioInitializer: suite.Scenario, ...}.Run()
package steps

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cucumber/godog"

	"jasmind/internal/smpp"
)

// Mode is what holds the gateway's queues and records.
type Mode string

// The modes that every scenario runs in.
const (
	Embedded Mode = "embedded"
	Services Mode = "services"
)

// EnvKeep names the variable that, set to anything, keeps the folder of a scenario that failed, logs included.
const EnvKeep = "FEATURES_KEEP"

// patience is how long a step waits for what should come at once. It only bounds a failure.
const patience = 3 * time.Minute

// Suite is what the scenarios of one run share.
type Suite struct {
	mode   Mode
	tb     testing.TB
	binary func() (string, error) // the path of jasmind, built when first needed
	ran    atomic.Int64
	hosts  hosts

	latencies latencies
	programs  programs
}

// NewSuite makes what the scenarios of one run share. tb is the test of that run.
func NewSuite(mode Mode, tb testing.TB, binary func() (string, error)) *Suite {
	return &Suite{mode: mode, tb: tb, binary: binary, hosts: hosts{tb: tb}}
}

// Ran is the number of scenarios that were begun.
func (s *Suite) Ran() int64 { return s.ran.Load() }

// World is one scenario. Its steps run one after the other.
type World struct {
	suite    *Suite
	scenario string
	dir      string // of this scenario alone
	tb       *scenarioTB

	binary   bool              // run the built program, not a gateway in this process
	settings map[string]string // environment of the gateway
	plan     plan              // what the provisioning file declares
	services *backing          // nil: embedded, or not needed yet
	gateway  gatewayRun        // nil: not running
	exit     *exited           // how the program ended

	smscs  map[string]*smsc
	alien  alien // an SMSC made of another SMPP stack
	esmes  map[string]*esme
	crowd  []*esme  // those that submit at once
	raw    *rawSMSC // an SMSC that sends odd octets
	page   *page
	tls    certificates
	http   *client
	answer answer   // to the last request
	sent   []answer // all Successes of single sends
	want   string   // content of the last one
	load   *load
	marks  int // barriers that were sent

	outbind      outbind
	mo           mobiles
	ran          programRun    // the last program of a customer's
	bare         bool          // there is no provisioning file
	operator     *operator     // at the console; nil: nobody
	customer     *smpp.Session // an ESME; nil: none is bound
	customerGone chan struct{} // closed when its session has ended
}

// Scenario prepares one scenario.
func (s *Suite) Scenario(sc *godog.ScenarioContext) {
	w := &World{suite: s, settings: map[string]string{}, smscs: map[string]*smsc{}}
	sc.Before(func(ctx context.Context, p *godog.Scenario) (context.Context, error) {
		s.ran.Add(1)
		w.scenario = p.Name
		for _, t := range p.Tags {
			w.binary = w.binary || t.Name == "@process"
		}
		return ctx, w.begin()
	})
	sc.After(func(ctx context.Context, _ *godog.Scenario, err error) (context.Context, error) {
		endErr := w.end()
		if err != nil || endErr != nil {
			godog.Log(ctx, "folder "+w.dir+"\n"+w.story())
		}
		w.tb.tidy()
		if os.Getenv(EnvKeep) == "" || err == nil {
			endErr = errors.Join(endErr, os.RemoveAll(w.dir))
		}
		return ctx, errors.Join(endErr, w.tb.failure())
	})
	w.gatewaySteps(sc)
	w.processSteps(sc)
	w.connectorSteps(sc)
	w.smscSteps(sc)
	w.alienSteps(sc)
	w.messageSteps(sc)
	w.loadSteps(sc)
	w.dlrSteps(sc)
	w.dialectSteps(sc)
	w.serviceSteps(sc)
	w.provisionSteps(sc)
	w.routeSteps(sc)
	w.accountSteps(sc)
	w.esmeSteps(sc)
	w.malformedSteps(sc)
	w.httpSteps(sc)
	w.programSteps(sc)
	w.tlsSteps(sc)
	w.moSteps(sc)
	w.throwerSteps(sc)
	w.consoleSteps(sc)
	w.customerSteps(sc)
}

func (w *World) begin() error {
	dir, err := os.MkdirTemp("", "jasmind-feature-")
	w.dir = dir
	w.tb = &scenarioTB{TB: w.suite.tb, name: w.scenario}
	w.http = newClient()
	return err
}

// end stops everything, those who ask first.
func (w *World) end() error {
	var errs []error
	if w.load != nil {
		w.load.stop()
	}
	if w.mo.writing != nil {
		w.mo.writing.stop()
	}
	for _, s := range w.smscs {
		errs = append(errs, s.relent())
	}
	for _, e := range w.esmes {
		e.close()
	}
	w.leaveConsole()
	w.dismissCustomer()
	errs = append(errs, w.stopGateway(), w.mo.close())
	if w.alien != nil {
		w.alien.close()
	}
	if w.raw != nil {
		w.raw.close()
	}
	for _, s := range w.smscs {
		errs = append(errs, s.stop())
	}
	if w.page != nil {
		w.page.close()
	}
	w.http.close()
	if b := w.services; b != nil && b.rabbit != nil && b.ownRabbit == nil {
		w.suite.hosts.giveBack(b.rabbit)
	}
	return errors.Join(errs...)
}

// story is what helps to understand a failure: the SMSCs' messages and the ends of the logs.
func (w *World) story() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(w.smscs)) {
		for i, m := range w.smscs[name].all() {
			if i == 20 {
				fmt.Fprintf(&b, "... and more\n")
				break
			}
			fmt.Fprintf(&b, "SMSC %s: #%d id=%s %s answered=%t to=%s %q\n", name, m.N, m.ID, m.Status, m.Answered, m.To, m.Text)
		}
	}
	if w.page != nil {
		for i, c := range w.page.calls.all() {
			if i == 20 {
				fmt.Fprintf(&b, "... and more\n")
				break
			}
			fmt.Fprintf(&b, "page: %s %v\n", c.method, c.params)
		}
	}
	logs, _ := filepath.Glob(filepath.Join(w.dir, "log", "*.log"))
	for _, path := range logs {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		fmt.Fprintf(&b, "== %s\n%s\n", filepath.Base(path), strings.Join(lines[max(0, len(lines)-30):], "\n"))
	}
	return b.String()
}

// deadline is the context of one step.
func deadline() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), patience)
}

// until waits until f holds, for what no event tells.
func until(what string, f func() bool) error {
	ctx, cancel := deadline()
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("still waiting for %s", what)
		}
	}
	return nil
}

// record is a list that grows and can be waited for.
type record[T any] struct {
	mu    sync.Mutex
	items []T
	more  chan struct{} // closed when an item is added; nil when nobody waits
}

func (r *record[T]) add(item T) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.items = append(r.items, item)
	if r.more != nil {
		close(r.more)
		r.more = nil
	}
}

func (r *record[T]) all() []T {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.items)
}

// wait returns when enough holds of all items so far; what says what is waited for.
func (r *record[T]) wait(what string, enough func([]T) bool) error {
	ctx, cancel := deadline()
	defer cancel()
	for {
		r.mu.Lock()
		items := slices.Clone(r.items)
		if r.more == nil {
			r.more = make(chan struct{})
		}
		more := r.more
		r.mu.Unlock()
		if enough(items) {
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return fmt.Errorf("still waiting for %s; there are %d so far", what, len(items))
		}
	}
}

// scenarioTB lets test services be had for one scenario: they are given back at its end,
// and not at that of the test it runs in.
type scenarioTB struct {
	testing.TB
	name    string
	lasting bool // what was had is given back at the end of the run instead

	mu       sync.Mutex
	cleanups []func()
	faults   []error
}

// errStop ends a call that Fatalf gave up.
var errStop = errors.New("given up")

// with calls f and returns what it reported as an error.
func (t *scenarioTB) with(f func(testing.TB)) (err error) {
	defer func() {
		if r := recover(); r != nil {
			if r != any(errStop) {
				panic(r)
			}
			err = t.failure()
		}
	}()
	f(t)
	return t.failure()
}

func (t *scenarioTB) tidy() {
	for i := len(t.cleanups) - 1; i >= 0; i-- {
		t.cleanups[i]()
	}
	t.cleanups = nil
}

// failure is what was reported so far.
func (t *scenarioTB) failure() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return errors.Join(t.faults...)
}

// Name is the scenario's.
func (t *scenarioTB) Name() string { return t.name }

// Helper does nothing: there are no lines of a test to be named.
func (t *scenarioTB) Helper() {}

// Cleanup has f called at the end of the scenario, or of the run.
func (t *scenarioTB) Cleanup(f func()) {
	if t.lasting {
		t.TB.Cleanup(f)
		return
	}
	t.cleanups = append(t.cleanups, f)
}

// Errorf fails the scenario.
func (t *scenarioTB) Errorf(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.faults = append(t.faults, fmt.Errorf(format, args...))
}

// Fatalf fails the scenario and ends the call of with.
func (t *scenarioTB) Fatalf(format string, args ...any) {
	t.Errorf(format, args...)
	panic(errStop)
}
