// Package steps is what the sentences of the features mean: one file per noun, one World
// per scenario. A World is composed of a gateway, the SMSCs around it, the pages that DLRs go to,
// the clients that send and so on; each makes what it is about when a sentence first needs it.
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

// scenario is what the parts of a World know of it.
type scenario struct {
	suite *Suite
	name  string
	dir   string // of this scenario alone
	tb    *scenarioTB
}

// World is one scenario: a part for each noun, with its state and its sentences. The steps of a scenario run one
// after the other.
type World struct {
	*scenario
	plan       *plan
	services   *services
	smscs      *smscs
	connectors *connectors
	foreign    *foreign
	gateway    *underTest
	pages      *pages
	messages   *messages
	load       *load
	esmes      *esmes
	mobiles    *mobiles
	console    *console
	tls        *certificates
	program    *programRun
}

func newWorld(s *Suite) *World {
	w := &World{scenario: &scenario{suite: s}, smscs: &smscs{byName: map[string]*smsc{}}, pages: &pages{}}
	w.plan = &plan{scenario: w.scenario}
	w.services = &services{scenario: w.scenario}
	w.connectors = &connectors{plan: w.plan, smscs: w.smscs}
	w.foreign = &foreign{connectors: w.connectors}
	w.gateway = &underTest{scenario: w.scenario, plan: w.plan, connectors: w.connectors, services: w.services, settings: map[string]string{}}
	w.messages = &messages{gateway: w.gateway, pages: w.pages, smscs: w.smscs, foreign: w.foreign, http: newClient()}
	w.load = &load{gateway: w.gateway, smscs: w.smscs, pages: w.pages, messages: w.messages}
	w.esmes = &esmes{gateway: w.gateway, smscs: w.smscs, messages: w.messages}
	w.mobiles = &mobiles{smscs: w.smscs, pages: w.pages, esmes: w.esmes}
	w.console = &console{gateway: w.gateway, smscs: w.smscs}
	w.tls = &certificates{gateway: w.gateway}
	w.program = &programRun{suite: s, messages: w.messages}
	return w
}

// Scenario prepares one scenario.
func (s *Suite) Scenario(sc *godog.ScenarioContext) {
	w := newWorld(s)
	sc.Before(func(ctx context.Context, p *godog.Scenario) (context.Context, error) {
		s.ran.Add(1)
		w.name = p.Name
		for _, t := range p.Tags {
			w.gateway.binary = w.gateway.binary || t.Name == "@process"
		}
		dir, err := os.MkdirTemp("", "jasmind-feature-")
		w.dir, w.tb = dir, &scenarioTB{TB: s.tb, name: w.name}
		return ctx, err
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
	w.plan.steps(sc, w.pages)
	w.plan.accountSteps(sc, w.messages, w.load)
	w.services.steps(sc)
	w.smscs.steps(sc, w.messages)
	w.connectors.steps(sc, w.load)
	w.foreign.steps(sc)
	w.foreign.malformedSteps(sc, w.esmes)
	w.gateway.steps(sc)
	w.gateway.processSteps(sc, w.messages, w.load)
	w.gateway.provisionSteps(sc)
	w.pages.steps(sc, w.messages)
	w.messages.steps(sc)
	w.messages.routeSteps(sc)
	w.messages.dialectSteps(sc)
	w.load.steps(sc)
	w.esmes.steps(sc)
	w.esmes.customerSteps(sc)
	w.mobiles.steps(sc)
	w.console.steps(sc)
	w.tls.steps(sc, w.messages)
	w.program.steps(sc)
}

// end stops everything, those who ask first.
func (w *World) end() error {
	var errs []error
	w.load.stop()
	w.mobiles.close()
	for _, s := range w.smscs.byName {
		errs = append(errs, s.relent())
	}
	w.esmes.close()
	w.console.leave()
	errs = append(errs, w.gateway.stop())
	w.foreign.close()
	for _, s := range w.smscs.byName {
		errs = append(errs, s.stop())
	}
	w.pages.close()
	w.messages.http.close()
	w.services.giveBack()
	return errors.Join(errs...)
}

// story is what helps to understand a failure: the SMSCs' messages and the ends of the logs.
func (w *World) story() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(w.smscs.byName)) {
		for i, m := range w.smscs.byName[name].all() {
			if i == 20 {
				fmt.Fprintf(&b, "... and more\n")
				break
			}
			fmt.Fprintf(&b, "SMSC %s: #%d id=%s %s answered=%t to=%s %q\n", name, m.N, m.ID, m.Status, m.Answered, m.To, m.Text)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(w.pages.byPath)) {
		for i, c := range w.pages.byPath[path].calls.all() {
			if i == 20 {
				fmt.Fprintf(&b, "... and more\n")
				break
			}
			fmt.Fprintf(&b, "page %s: %s %v\n", path, c.method, c.params)
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
