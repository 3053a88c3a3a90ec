package loadgen

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// run is one run under way.
//
// mu guards what stands under it; it may be held when a sender's lock is not.
type run struct {
	cfg   Config
	maker *maker
	tally *tally
	dlr   *dlrSink // nil unless reports come over HTTP
	smsc  *smsc    // nil unless arrivals are counted
	usage *usage

	soft  context.Context // ends when nothing more is to be sent
	quit  context.CancelFunc
	hard  context.Context // ends when nothing more is waited for
	abort context.CancelCauseFunc

	release chan struct{} // closed when connections need not be held any longer
	sending sync.WaitGroup

	misdirected atomic.Int64 // receipts that the wrong ESME got

	mu      sync.Mutex
	senders int // alive
	waiting int // of them, for the next phase
	phase   *schedule
	last    bool          // phase is the last
	open    chan struct{} // closed when the next phase begins
	ready   chan struct{} // gets a value when all senders wait
	dead    int           // connections that were given up
	fault   error         // of the first of them
}

// connection is one goroutine with a connection and the senders that send on it. It returns when
// nothing is left to send and, if receipts come on it, release is closed.
type connection func(ctx context.Context, r *run, senders []*sender) error

// Run puts the load on the target and reports. Cancelling ctx ends the sending; what is in flight
// is waited for, as far as Config.Grace, and the report is still complete.
//
// Errors: a configuration that is not valid, with every fault; a target, a file, a process or
// a simulator that cannot be reached at the start. What goes wrong later is in the report.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	r := &run{cfg: cfg, release: make(chan struct{}), open: make(chan struct{}), ready: make(chan struct{}, 1)}
	r.tally = &tally{start: time.Now()}
	var err error
	if r.maker, err = newMaker(cfg); err != nil {
		return nil, err
	}
	if r.usage, err = newUsage(cfg.Processes); err != nil {
		return nil, err
	}
	if cfg.SMSC != "" {
		r.smsc = newSMSC(cfg.SMSC)
		defer r.smsc.close()
		if err := r.smsc.reachable(ctx); err != nil {
			return nil, err
		}
	}
	if cfg.AcceptedFile != "" {
		if r.tally.file, err = createAccepted(cfg.AcceptedFile, cfg.Run); err != nil {
			return nil, err
		}
	}
	rep, err := r.all(ctx)
	if f := r.tally.file; f != nil {
		err = errors.Join(err, f.close())
	}
	if err != nil {
		return nil, err
	}
	return rep, nil
}

// all starts everything, goes through the phases and ends everything.
func (r *run) all(ctx context.Context) (*Report, error) {
	r.hard, r.abort = context.WithCancelCause(context.WithoutCancel(ctx))
	defer r.abort(nil)
	r.soft, r.quit = context.WithCancel(ctx)
	defer r.quit()
	defer context.AfterFunc(r.soft, func() {
		t := time.AfterFunc(r.cfg.Grace, func() { r.abort(errors.New("no answer within --grace " + r.cfg.Grace.String())) })
		context.AfterFunc(r.hard, func() { t.Stop() })
	})()

	var background sync.WaitGroup
	defer background.Wait()
	watch, stopWatching := context.WithCancel(r.hard)
	defer stopWatching()
	if r.wantsReports() {
		r.tally.book = newBook((r.cfg.Count+r.cfg.Warmup)*r.idsPerMessage(), r.tally.start)
	}
	if r.cfg.Protocol == HTTP && r.cfg.DLR > 0 {
		sink, err := listenDLR(r.cfg, r.tally.book)
		if err != nil {
			return nil, err
		}
		r.dlr = sink
		background.Go(func() { sink.serve(watch) })
	}
	background.Go(func() { r.usage.watch(watch) })
	background.Go(func() { r.tick(watch) })

	var connections sync.WaitGroup
	if err := r.connect(&connections); err != nil {
		return nil, err
	}
	m := r.phases()
	m.interrupted = ctx.Err() != nil
	checkErr := r.settle(ctx, m)
	r.usage.sample()
	close(r.release)
	r.quit()
	connections.Wait()
	if err := r.startFault(m); err != nil {
		return nil, err
	}
	return r.report(m), checkErr
}

// connect starts the connections with their senders.
func (r *run) connect(wg *sync.WaitGroup) error {
	connect, perConnection, err := r.engine()
	if err != nil {
		return err
	}
	n := r.cfg.connections()
	r.senders = n * perConnection
	r.sending.Add(r.senders)
	depth := r.cfg.depth() / perConnection
	for i := range n {
		senders := make([]*sender, perConnection)
		for j := range senders {
			senders[j] = newSender(r, i*perConnection+j, max(depth, 1))
		}
		wg.Go(func() {
			reason := "the run was ended"
			if err := connect(r.hard, r, senders); err != nil && !errors.Is(err, errStopped) {
				reason = describe(err)
				r.gaveUp(err)
			}
			for _, l := range senders {
				l.close(reason)
			}
		})
	}
	return nil
}

// engine is what drives a connection, and with how many senders.
func (r *run) engine() (connection, int, error) {
	if r.cfg.Protocol == HTTP {
		t, err := parseTarget(r.cfg.URL)
		if err != nil {
			return nil, 0, err
		}
		t.tls = r.cfg.TLS
		if r.cfg.Pipeline > 1 {
			return t.pipelined, 1, nil
		}
		return t.oneByOne, 1, nil
	}
	switch r.cfg.Engine {
	case GoSMPP:
		return goSMPPBind, r.cfg.Window, nil
	case Raw:
		return rawBind, 1, nil
	}
	return nativeBind, 1, nil
}

// measured is what is known about the measured phase.
type measured struct {
	start        time.Time
	warmup       Counts
	begun        bool
	interrupted  bool
	connected    bool      // the first phase began
	lastArrival  time.Time // zero unless arrivals are counted
	lastReport   time.Time // zero unless reports are
	arrivalBase  int64     // accepted before the measured phase
	arrival      *Arrival
	processes    []ProcessUse
	reportsBegun int64 // reports that came before
}

// phases waits until all senders are connected, runs the warm-up and the measured phase, and returns when all senders
// are done.
func (r *run) phases() *measured {
	m := &measured{start: time.Now()}
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		r.sending.Wait()
		close(done)
	})
	defer wg.Wait()
	if !r.allWait(done) {
		return m
	}
	m.connected = true
	first := uint64(1)
	if r.cfg.Warmup > 0 {
		r.begin(&schedule{first: first, count: uint64(r.cfg.Warmup), start: time.Now(), rate: r.cfg.Rate}, false)
		if !r.allWait(done) {
			return m
		}
		first += uint64(r.cfg.Warmup)
		m.warmup = r.tally.counts()
		r.warmedUp(m)
	}
	r.tally.latency.reset()
	r.tally.lag.reset()
	r.usage.begin()
	m.start, m.begun = time.Now(), true
	s := &schedule{first: first, count: uint64(r.cfg.Count), start: m.start, rate: r.cfg.Rate}
	if r.cfg.Duration > 0 {
		s.end = m.start.Add(r.cfg.Duration)
	}
	r.begin(s, true)
	<-done
	return m
}

// warmedUp waits for the warm-up to be over at the SMSC too, so that it is not measured.
func (r *run) warmedUp(m *measured) {
	m.arrivalBase = m.warmup.Accepted
	if r.smsc != nil {
		r.smsc.await(r.cfg.Run).until(r.soft, uint64(m.warmup.Accepted), r.cfg.Settle) //nolint:errcheck // the end tells
	}
	if b := r.tally.book; b != nil {
		r.awaitReports(r.soft)
		m.reportsBegun = b.stats().came()
	}
}

// allWait waits until all senders that are alive wait for the next phase. False means that
// none is, or that sending is to stop.
func (r *run) allWait(done <-chan struct{}) bool {
	select {
	case <-r.ready:
		if !r.stopped() {
			return true
		}
	case <-r.soft.Done():
	case <-done:
	}
	<-done
	return false
}

// begin opens a phase.
func (r *run) begin(s *schedule, last bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.phase, r.last, r.waiting = s, last, 0
	close(r.open)
	r.open = make(chan struct{})
}

// await waits for the next phase and gives it to a sender. False means that there is none, or that ctx has
// ended: then the sender may come back, and finds the phase that was opened meanwhile.
func (r *run) await(ctx context.Context, l *sender) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.phase == l.done {
		open := r.open
		r.waiting++
		r.readyLocked()
		r.mu.Unlock()
		select {
		case <-open:
		case <-r.soft.Done():
		case <-ctx.Done():
		}
		r.mu.Lock()
		if r.phase == l.done {
			r.waiting--
			return false
		}
	}
	l.sched, l.done, l.last = r.phase, r.phase, r.last
	return true
}

func (r *run) readyLocked() {
	if r.senders > 0 && r.waiting == r.senders {
		select {
		case r.ready <- struct{}{}:
		default:
		}
	}
}

// leave notes that a sender sends no more.
func (r *run) leave(l *sender) {
	l.mu.Lock()
	left := l.left
	l.left = true
	l.mu.Unlock()
	if left {
		return
	}
	r.mu.Lock()
	r.senders--
	r.readyLocked()
	r.mu.Unlock()
	r.sending.Done()
}

// errStopped is what a connection returns that was not made because nothing more is sent.
var errStopped = errors.New("sending has ended")

// gaveUp notes a connection that could not be made, or made again. At the start one is enough
// to end the run, later it takes all of them.
func (r *run) gaveUp(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dead++
	if r.fault == nil {
		r.fault = err
	}
	if r.phase == nil || r.dead == r.cfg.connections() {
		r.quit()
	}
}

// startFault is the error that kept the run from starting.
func (r *run) startFault(m *measured) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m.connected || r.fault == nil {
		return nil
	}
	return r.fault
}

func (r *run) stopped() bool { return r.soft.Err() != nil }

// wantsReports tells whether delivery reports are counted.
func (r *run) wantsReports() bool {
	return r.cfg.Protocol == HTTP && r.cfg.DLR > 0 || r.cfg.Protocol == SMPP && r.cfg.Receipts
}

// idsPerMessage is how many ids an accepted message has.
func (r *run) idsPerMessage() int {
	if r.cfg.Protocol == SMPP {
		return r.maker.parts
	}
	return 1
}

// expected says which reports must come for every id.
func (r *run) expected() (first, final bool) {
	if r.cfg.Protocol == SMPP {
		return false, true
	}
	return r.cfg.DLR&1 != 0, r.cfg.DLR >= 2
}

// settle waits for arrivals and reports at the end. After an interruption it does not wait long.
func (r *run) settle(ctx context.Context, m *measured) error {
	if !m.connected {
		return nil
	}
	wait := r.cfg.Settle
	if ctx.Err() != nil {
		ctx, wait = context.WithoutCancel(ctx), min(wait, 2*time.Second)
	}
	var err error
	if r.smsc != nil {
		r.tally.mu.Lock()
		numbers := r.tally.numbers.clone()
		r.tally.mu.Unlock()
		w := r.smsc.await(r.cfg.Run)
		var a Arrival
		if a, err = w.all(ctx, numbers, wait); err == nil {
			m.lastArrival, m.arrival = w.last, &a
		}
	}
	if r.tally.book != nil {
		m.lastReport = r.awaitReports(ctx)
	}
	m.processes = r.usage.end(r.tally.okay.Load() - m.warmup.Accepted)
	return err
}

// awaitReports waits until all reports that are expected have come, or none did for the settle
// time. It returns when the last one was seen.
func (r *run) awaitReports(ctx context.Context) time.Time {
	wait := r.cfg.Settle
	last, seen := time.Now(), int64(-1)
	for {
		s := r.tally.book.stats()
		now := time.Now()
		if s.came() != seen {
			last, seen = now, s.came()
		}
		first, final := r.missingReports(s)
		if first+final == 0 || now.Sub(last) >= wait || ctx.Err() != nil {
			return last
		}
		sleep(ctx, pollEvery)
	}
}

func (r *run) missingReports(s bookStats) (first, final int64) {
	wantFirst, wantFinal := r.expected()
	if wantFirst {
		first = max(s.accepted-(s.first-s.unknownFirst), 0)
	}
	if wantFinal {
		final = max(s.accepted-(s.final-s.unknownFinal), 0)
	}
	return first, final
}

// report gathers the result.
func (r *run) report(m *measured) *Report {
	t := r.tally
	rep := &Report{
		Format: ReportFormat, Run: r.cfg.Run, Protocol: r.cfg.Protocol, Engine: r.cfg.Engine, Target: r.cfg.Addr,
		Started: m.start.UTC().Truncate(time.Millisecond), Interrupted: m.interrupted,
		Connections: r.cfg.connections(), Depth: r.cfg.depth(), Rate: r.cfg.Rate, Parts: r.maker.parts,
		Counts: t.counts().minus(m.warmup), Warmup: m.warmup,
		Latency: t.latency.latency(), Lag: t.lag.latency(),
		Refused: t.refusals.list(), Missing: t.missing.list(), Connect: t.connecting.list(), Opened: t.connects.Load(),
		Arrival: m.arrival, Processes: m.processes,
	}
	if r.cfg.Protocol == HTTP {
		rep.Engine, rep.Target = HTTP, r.cfg.URL
	}
	r.mu.Lock()
	if r.dead == r.cfg.connections() {
		rep.Fault = r.fault.Error()
	}
	r.mu.Unlock()
	elapsed := max(t.start.Add(time.Duration(t.lastAnswer.Load())).Sub(m.start), 0)
	rep.Elapsed, rep.PerS = round3(elapsed.Seconds()), perSecond(rep.Accepted, elapsed)
	if a := m.arrival; a != nil {
		d := max(m.lastArrival.Sub(m.start), 0)
		a.Elapsed, a.PerS = round3(d.Seconds()), perSecond(max(a.Arrived-m.arrivalBase, 0), d)
	}
	if t.book != nil {
		rep.Reports = r.reports(m)
	}
	return rep
}

func (r *run) reports(m *measured) *Reports {
	b := r.tally.book
	s := b.stats()
	wantFirst, wantFinal := r.expected()
	missingFirst, missingFinal := r.missingReports(s)
	d := max(m.lastReport.Sub(m.start), 0)
	rs := &Reports{
		IDs:          s.accepted,
		First:        Stage{wantFirst, s.first - s.unknownFirst, missingFirst, s.firstAgain, b.first.latency()},
		Final:        Stage{wantFinal, s.final - s.unknownFinal, missingFinal, s.finalAgain, b.final.latency()},
		Intermediate: s.intermediate, Unknown: s.unknownFirst + s.unknownFinal, Foreign: s.strays, Untracked: s.notRecorded,
		Elapsed: round3(d.Seconds()), PerS: perSecond(max(s.first+s.final-m.reportsBegun, 0), d),
	}
	rs.Misdirected = r.misdirected.Load()
	if r.dlr != nil {
		rs.Foreign += r.dlr.foreign.Load()
	}
	return rs
}

// Progress is how far a run is.
type Progress struct {
	Counts            // warm-up included
	Phase      string // connecting, warming up, sending, settling
	Elapsed    time.Duration
	Total      int64 // messages that will be sent; 0 when not known
	Reports    int64 // delivery reports received
	WantReport bool
}

// tick reports progress and keeps the file of accepted messages up to date.
func (r *run) tick(ctx context.Context) {
	t := time.NewTicker(r.cfg.ProgressEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			if f := r.tally.file; f != nil {
				f.flush()
			}
			if r.cfg.Progress != nil {
				r.cfg.Progress(r.progress())
			}
		}
	}
}

func (r *run) progress() Progress {
	p := Progress{Counts: r.tally.counts(), Phase: "sending", Elapsed: time.Since(r.tally.start)}
	if r.cfg.Count > 0 {
		p.Total = int64(r.cfg.Count + r.cfg.Warmup)
	}
	if b := r.tally.book; b != nil {
		p.WantReport, p.Reports = true, b.stats().came()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.phase == nil:
		p.Phase = "connecting"
	case r.senders == 0:
		p.Phase = "settling"
	case !r.last:
		p.Phase = "warming up"
	}
	return p
}

// describe makes a reason of an error: without addresses and numbers that would tell each one apart.
func describe(err error) string {
	s := err.Error()
	if i := strings.LastIndex(s, "->"); i >= 0 { // "read tcp 127.0.0.1:50000->127.0.0.1:1401: reset"
		if j := strings.Index(s[i:], ": "); j >= 0 {
			s = s[i+j+2:]
		}
	}
	return clean(s)
}

// again connects until it works, the patience of Config.ConnectWait ends, or sending is to stop.
func (r *run) again(what string, connect func(ctx context.Context) error) error {
	r.mu.Lock()
	start := r.phase == nil
	r.mu.Unlock()
	deadline := time.Now().Add(r.cfg.ConnectWait)
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		ctx, cancel := context.WithTimeout(r.soft, min(r.cfg.Timeout, max(time.Until(deadline), time.Second)))
		err := connect(ctx)
		cancel()
		if err == nil {
			r.tally.connects.Add(1)
			return nil
		}
		if r.stopped() {
			return errStopped
		}
		r.tally.connecting.add(describe(err))
		if start || time.Now().After(deadline) {
			return fmt.Errorf("%s: %w", what, err)
		}
		sleep(r.soft, pause)
	}
}
