package intercept

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"jasmind/internal/logging"
	"jasmind/internal/sms"
)

// Config holds the settings of a Pool ([interceptor] in jasmin.cfg, all new but SlowScript).
type Config struct {
	Python  string        // interpreter, a path or a name in PATH; default python3; python
	Workers int           // processes at most, started as they are needed; default twice the cores, at least 4; workers
	Queue   int           // messages that wait for a worker at most; default 1000; queue
	Timeout time.Duration // one run of a script, and the wait for a worker; default 10 s; timeout
	Memory  int64         // address space of a worker in octets; default 1 GiB, negative: unlimited; memory
	Path    []string      // folders that scripts import from beside the interpreter's own; path
	// Environment names the variables of the gateway's environment that workers have too, beside those that
	// tell where they run (PATH, HOME, LANG, TZ and the like); environment
	Environment []string
	SlowScript  time.Duration // runs of this length are logged; default 1 s, negative: none; log_slow_script
}

func (c *Config) defaults() {
	if c.Python == "" {
		c.Python = "python3"
	}
	if c.Workers <= 0 {
		c.Workers = max(4, 2*runtime.NumCPU())
	}
	if c.Queue <= 0 {
		c.Queue = 1000
	}
	if c.Timeout <= 0 {
		c.Timeout = 10 * time.Second
	}
	if c.Memory == 0 {
		c.Memory = 1 << 30
	}
	if c.SlowScript == 0 {
		c.SlowScript = time.Second
	}
	c.Memory, c.SlowScript = max(c.Memory, 0), max(c.SlowScript, 0)
}

// Validate reports every setting that is out of range.
func (c Config) Validate() error {
	var errs []error
	if c.Workers < 0 || c.Workers > 1024 {
		errs = append(errs, fmt.Errorf("workers: invalid value %d, must be 1 to 1024", c.Workers))
	}
	if c.Queue < 0 || c.Queue > 1_000_000 {
		errs = append(errs, fmt.Errorf("queue: invalid value %d, must be 1 to 1000000", c.Queue))
	}
	if c.Timeout < 0 || c.Timeout > time.Hour {
		errs = append(errs, fmt.Errorf("timeout: invalid value %s, must be up to an hour", c.Timeout))
	}
	if c.Memory > 0 && c.Memory < 64<<20 {
		errs = append(errs, fmt.Errorf("memory: invalid value %d, must be at least %d", c.Memory, 64<<20))
	}
	return errors.Join(errs...)
}

// Stats counts what a Pool did. Its fields are read at any time.
type Stats struct {
	Runs     atomic.Int64 `metric:"jasmind_interceptor_runs_total" help:"Scripts run, those of filters included."`
	Refused  atomic.Int64 `metric:"jasmind_interceptor_refused_total" help:"Messages that a script refused."`
	Answered atomic.Int64 `metric:"jasmind_interceptor_answered_total" help:"Messages that a script answered by itself."`
	Failed   atomic.Int64 `metric:"jasmind_interceptor_failed_total" help:"Runs that ended in an error, those stopped and crashed included."`
	TimedOut atomic.Int64 `metric:"jasmind_interceptor_timed_out_total" help:"Runs stopped at their deadline."`
	Crashed  atomic.Int64 `metric:"jasmind_interceptor_crashed_total" help:"Workers that ended by themselves."`
	Busy     atomic.Int64 `metric:"jasmind_interceptor_busy_total" help:"Messages for which no worker became free."`
	Started  atomic.Int64 `metric:"jasmind_interceptor_started_total" help:"Worker processes started."`
}

// errBusy is the fault when more messages wait than the queue holds, or for too long.
var errBusy = errors.New("every worker is busy")

// errClosed is the fault after Close.
var errClosed = errors.New("the interceptor is closed")

// spawnPause is how long starting workers is left alone after it failed.
const spawnPause = time.Second

// spawnTimeout is how long an interpreter may take to start.
const spawnTimeout = 30 * time.Second

// abortGrace is how long an interpreter that was told to abort may take to say where it was.
const abortGrace = time.Second

// stopPatience is how long an idle worker may take to end.
const stopPatience = 2 * time.Second

// Pool runs scripts. Create it with New and end it with Close; it is safe for concurrent use.
type Pool struct {
	cfg   Config
	log   *slog.Logger
	grace time.Duration // abortGrace
	Stats Stats

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup // goroutines of workers, and of calls that nobody waits for any more

	mu      sync.Mutex // guards what follows
	closed  bool
	total   int       // workers, those that are being started included
	idle    []*worker // the one used last is used first
	waiters []chan *worker
	failure error // of the last start of a worker
	failed  time.Time
}

// New makes a Pool. It starts nothing: an interpreter that is not there is an error of Check
// and of the messages that need it.
func New(cfg Config, log *slog.Logger) *Pool {
	cfg.defaults()
	ctx, cancel := context.WithCancel(context.Background())
	return &Pool{cfg: cfg, log: log, grace: abortGrace, ctx: ctx, cancel: cancel}
}

// Check tells whether a script can run: a rule always can, Python needs the interpreter and
// to compile. It is for the moment when a script is defined. Errors name script, line and fault.
func (p *Pool) Check(ctx context.Context, s *Script) error {
	if s.kind != Python {
		return nil
	}
	if _, err := exec.LookPath(p.cfg.Python); err != nil {
		return fmt.Errorf("%s cannot be run: no Python interpreter %q here, install it or set [interceptor] python: %w", s, p.cfg.Python, err)
	}
	a, err := p.call(ctx, s, "check", nil)
	if err == nil && a.Error != nil {
		err = a.Error
	}
	if err != nil {
		return fmt.Errorf("%s: %w", s, err)
	}
	return nil
}

// Run runs a script on a message, which it does not change. Errors: *sms.Error with a status
// pair in Override, whose Reason is ReasonIntercepted for a refusal of the script's and
// ReasonInterceptor when it failed (400) or could not be run (503, ErrNotRun); or that of ctx.
func (p *Pool) Run(ctx context.Context, s *Script, m *Message) (*Verdict, error) {
	p.Stats.Runs.Add(1)
	v, err := p.run(ctx, s, m)
	var refused *sms.Error
	switch {
	case errors.As(err, &refused) && refused.Reason == sms.ReasonIntercepted:
		p.Stats.Refused.Add(1)
	case err == nil && v.Answered != nil:
		p.Stats.Answered.Add(1)
	}
	return v, err
}

func (p *Pool) run(ctx context.Context, s *Script, m *Message) (*Verdict, error) {
	v := &Verdict{Message: m.clone()}
	if s.kind == Expr {
		err := s.rule.run(s, v)
		if err != nil && sms.ReasonOf(err) == sms.ReasonInterceptor {
			p.fault(s, 0, err, "")
		}
		return result(v, err)
	}
	a, err := p.call(ctx, s, "run", encodeMessage(&v.Message))
	if err != nil {
		return nil, p.refusal(s, err)
	}
	if a.Error != nil {
		p.fault(s, a.Error.Line, a.Error, a.Error.Trace)
		return nil, Failed(s.String(), a.Error)
	}
	if a.SMPP.set || a.HTTP.set {
		if v.Answered, err = decide(s, a.SMPP, a.HTTP, a.MessageID); err != nil || v.Answered != nil {
			if err != nil && sms.ReasonOf(err) == sms.ReasonInterceptor {
				p.fault(s, 0, err, "")
			}
			return result(v, err)
		}
	}
	if v.Changed, v.Locked, err = a.apply(&v.Message); err != nil {
		p.fault(s, 0, err, "")
		return nil, Failed(s.String(), err)
	}
	return v, nil
}

func result(v *Verdict, err error) (*Verdict, error) {
	if err != nil {
		return nil, err
	}
	return v, nil
}

// Evaluate runs a script as a filter: whether it set result to True; a rule, whether it is
// true. Changes of the message are lost. An error means false: it was logged when the script
// is at fault, and is an *sms.Error like those of Run.
func (p *Pool) Evaluate(ctx context.Context, s *Script, m *Message) (bool, error) {
	p.Stats.Runs.Add(1)
	c := m.clone()
	if s.kind == Expr {
		ok, err := s.rule.evaluate(s, &c)
		if err != nil {
			p.fault(s, 0, err, "")
		}
		return ok, err
	}
	a, err := p.call(ctx, s, "filter", encodeMessage(&c))
	if err != nil {
		return false, p.refusal(s, err)
	}
	if a.Error != nil {
		p.fault(s, a.Error.Line, a.Error, a.Error.Trace)
		return false, Failed(s.String(), a.Error)
	}
	return a.Result, nil
}

// fault logs and counts a script that failed.
func (p *Pool) fault(s *Script, line int, err error, trace string) {
	p.Stats.Failed.Add(1)
	attrs := []any{"script", s.String(), "line", line, "err", err}
	if trace != "" {
		attrs = append(attrs, "trace", trace)
	}
	p.log.Error("script failed", attrs...)
}

// refusal is what the sender is told when a call came to nothing.
func (p *Pool) refusal(s *Script, err error) error {
	switch {
	case errors.Is(err, errTimeout), errors.Is(err, errWorkerDied), errors.Is(err, errLied):
		p.fault(s, 0, err, "")
		return Failed(s.String(), err)
	case errors.Is(err, errBusy):
		p.log.Warn("message refused for lack of a free worker", "script", s.String(), "err", err)
		return unavailable("InterceptorPB not connected !", err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, errClosed):
		return unavailable("InterceptorPB not connected !", err)
	}
	p.log.Error("script could not be run", "script", s.String(), "err", err)
	return unavailable("InterceptorPB not set !", err)
}

// Errors of a call.
var (
	errTimeout = errors.New("the script did not end in time and was stopped")
	errLied    = errors.New("the worker gave another answer than the one asked for")
)

// call runs one request on a free worker. When ctx ends first, the script runs on to its end
// or its deadline, since it may be in the middle of an effect, and its answer is dropped.
func (p *Pool) call(ctx context.Context, s *Script, do string, m *wireMessage) (*answer, error) {
	w, err := p.acquire(ctx)
	if err != nil {
		return nil, err
	}
	type outcome struct {
		a   *answer
		err error
	}
	done := make(chan outcome, 1)
	if !p.background(func() {
		var o outcome
		if err := logging.Guard(p.log, "interceptor", func() { o.a, o.err = p.converse(w, s, do, m) }); err != nil {
			p.release(w, false)
			o = outcome{err: err}
		}
		done <- o
	}) {
		p.release(w, false)
		return nil, errClosed
	}
	select {
	case o := <-done:
		return o.a, o.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// background runs f in a goroutine that Close waits for; false after Close.
func (p *Pool) background(f func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.wg.Go(f)
	return true
}

// converse makes the call and gives the worker back, or ends it.
func (p *Pool) converse(w *worker, s *Script, do string, m *wireMessage) (*answer, error) {
	request, err := w.encode(s, do, m)
	if err != nil {
		p.release(w, true)
		return nil, fmt.Errorf("message for the script: %w", err)
	}
	w.current.Store(s)
	begun := time.Now()
	var late atomic.Bool
	abort := time.AfterFunc(p.cfg.Timeout, func() {
		late.Store(true)
		w.abort()
	})
	kill := time.AfterFunc(p.cfg.Timeout+p.grace, w.kill)
	closed := context.AfterFunc(p.ctx, w.kill)
	_, err = w.out.Write(request) // an error means that the worker is gone or about to be
	var f *frame
	select {
	case f = <-w.answers:
	case <-w.dead:
		select {
		case f = <-w.answers: // its last one
		default:
		}
	}
	abort.Stop()
	kill.Stop()
	closed()
	switch {
	case f == nil:
		p.release(w, false)
		if late.Load() {
			p.Stats.TimedOut.Add(1)
			return nil, errTimeout
		}
		if p.ctx.Err() != nil {
			return nil, errClosed
		}
		p.Stats.Crashed.Add(1)
		return nil, errors.Join(errWorkerDied, err)
	case !w.took(s, f):
		p.release(w, false)
		return nil, errLied
	}
	p.release(w, !f.Fatal && !late.Load())
	if d := time.Since(begun); p.cfg.SlowScript > 0 && d >= p.cfg.SlowScript {
		p.log.Warn("script was slow", "script", s.String(), "dur", d)
	}
	return &f.answer, nil
}

// acquire gives a worker that nobody else uses, and starts one if there may be another.
func (p *Pool) acquire(ctx context.Context) (*worker, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, errClosed
	}
	for len(p.idle) > 0 {
		w := p.idle[len(p.idle)-1]
		p.idle = p.idle[:len(p.idle)-1]
		select {
		case <-w.dead: // somebody ended it while it had nothing to do
			p.total--
			continue
		default:
		}
		p.mu.Unlock()
		return w, nil
	}
	if p.total < p.cfg.Workers {
		p.total++
		p.mu.Unlock()
		return p.spawn(ctx)
	}
	if len(p.waiters) >= p.cfg.Queue {
		p.mu.Unlock()
		p.Stats.Busy.Add(1)
		return nil, fmt.Errorf("%w, and %d messages wait already", errBusy, p.cfg.Queue)
	}
	turn := make(chan *worker, 1)
	p.waiters = append(p.waiters, turn)
	p.mu.Unlock()

	timer := time.NewTimer(p.cfg.Timeout)
	defer timer.Stop()
	select {
	case w, ok := <-turn:
		return p.taken(ctx, w, ok)
	case <-timer.C:
	case <-ctx.Done():
	}
	p.mu.Lock()
	i := slices.Index(p.waiters, turn)
	if i >= 0 {
		p.waiters = slices.Delete(p.waiters, i, i+1)
	}
	p.mu.Unlock()
	if i < 0 { // it came at the last moment
		w, ok := <-turn
		return p.taken(ctx, w, ok)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p.Stats.Busy.Add(1)
	return nil, fmt.Errorf("%w for %s", errBusy, p.cfg.Timeout)
}

// taken is a waiter's turn: a worker, or the place of one that ended.
func (p *Pool) taken(ctx context.Context, w *worker, ok bool) (*worker, error) {
	switch {
	case !ok:
		return nil, errClosed
	case w == nil:
		return p.spawn(ctx)
	}
	return w, nil
}

// spawn starts the worker of a place that the caller holds.
func (p *Pool) spawn(ctx context.Context) (*worker, error) {
	p.mu.Lock()
	err := p.failure
	switch {
	case p.closed:
		err = errClosed
	case err != nil && time.Since(p.failed) >= spawnPause:
		err = nil
	}
	if err == nil {
		p.wg.Add(1) // Close waits for this
	}
	p.mu.Unlock()
	if err != nil {
		p.vacate()
		return nil, err
	}
	defer p.wg.Done()
	// A caller that leaves must not count as a failure of the interpreter.
	w, err := start(p.ctx, &p.cfg, spawnTimeout, p.log, &p.wg)
	p.mu.Lock()
	p.failure, p.failed = err, time.Now()
	p.mu.Unlock()
	if err != nil {
		p.vacate()
		if p.ctx.Err() != nil {
			return nil, errClosed
		}
		return nil, err
	}
	p.Stats.Started.Add(1)
	p.log.Debug("interceptor worker started", "pid", w.cmd.Process.Pid, "python", w.version)
	if err := ctx.Err(); err != nil {
		p.release(w, true)
		return nil, err
	}
	return w, nil
}

// release gives a worker back; one that is not to be used again is ended first.
func (p *Pool) release(w *worker, healthy bool) {
	w.current.Store(nil)
	if !healthy {
		w.kill()
		<-w.dead
		p.vacate()
		return
	}
	p.mu.Lock()
	switch {
	case p.closed:
		p.mu.Unlock()
		w.stop(stopPatience)
		return
	case len(p.waiters) > 0:
		p.waiters[0] <- w
		p.waiters = slices.Delete(p.waiters, 0, 1)
	default:
		p.idle = append(p.idle, w)
	}
	p.mu.Unlock()
}

// vacate passes the place of a worker that is gone on to whoever waits longest.
func (p *Pool) vacate() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiters) > 0 && !p.closed {
		p.waiters[0] <- nil
		p.waiters = slices.Delete(p.waiters, 0, 1)
		return
	}
	p.total--
}

// Close ends every worker, those that run a script too, and waits until all are gone.
func (p *Pool) Close() {
	p.mu.Lock()
	p.closed = true
	idle := p.idle
	p.idle = nil
	waiters := p.waiters
	p.waiters = nil
	p.mu.Unlock()
	p.cancel()
	for _, ch := range waiters {
		close(ch)
	}
	var wg sync.WaitGroup
	for _, w := range idle {
		wg.Go(func() { w.stop(stopPatience) })
	}
	wg.Wait()
	p.wg.Wait()
}
