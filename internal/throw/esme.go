package throw

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"jasmind/internal/logging"
	"jasmind/internal/queue"
	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
)

// esme is one ESME that has sessions bound.
type esme struct {
	*SMPPS
	systemID string
	wake     chan struct{} // cap 1: sessions or answers have changed

	// Guarded by SMPPS.mu.
	sessions []Receiver // replaced, never changed, once it was handed out
	running  bool

	mu      sync.Mutex // guards answers
	answers []answer
}

// answer is what became of a message that was sent.
type answer struct {
	c    *chain
	resp smpp.Response
	err  error
}

// start has the ESME served, if the thrower runs. SMPPS.mu is held.
func (e *esme) start() {
	if !e.running && e.ctx != nil && e.ctx.Err() == nil && !e.isRemoved(e.systemID) {
		e.running = true
		ctx := e.ctx
		e.wg.Go(func() { e.run(ctx) })
	}
}

func (e *esme) poke() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// run serves the ESME until it has no session any more.
func (e *esme) run(ctx context.Context) {
	for {
		e.serve(ctx)
		e.SMPPS.mu.Lock()
		if ctx.Err() != nil || len(e.sessions) == 0 || e.isRemoved(e.systemID) {
			e.running = false
			if e.isRemoved(e.systemID) {
				e.tellGone()
			}
			if len(e.sessions) == 0 {
				delete(e.esmes, e.systemID)
			}
			e.SMPPS.mu.Unlock()
			return
		}
		e.SMPPS.mu.Unlock()
	}
}

func (e *esme) bound() []Receiver {
	e.SMPPS.mu.Lock()
	defer e.SMPPS.mu.Unlock()
	if e.isRemoved(e.systemID) {
		return nil
	}
	return e.sessions
}

// serve delivers from the ESME's queue while it has sessions.
func (e *esme) serve(ctx context.Context) {
	c := e.open(ctx)
	if c == nil {
		return
	}
	f := &flow{esme: e, chains: make(map[addresses]*chain)}
	f.run(ctx, c)
	f.settling.Wait()
	if err := c.Close(context.WithoutCancel(ctx)); err != nil {
		e.log.Warn("close the queue of an ESME", "system_id", e.systemID, "err", err)
	}
	for _, c := range f.chains {
		for _, m := range append([]message{c.head}, c.waiting...) {
			f.hands.drop(m.hold)
		}
	}
	e.Metrics.Waiting.Add(-int64(f.held))
}

// open consumes the ESME's queue; nil when it has no session any more, or ctx ended.
func (e *esme) open(ctx context.Context) queue.Consumer {
	if !e.awaitSweep(ctx, e.systemID) {
		return nil
	}
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 10*time.Second) {
		err := e.declare(ctx, map[string]struct{}{e.systemID: {}})
		if err == nil {
			var c queue.Consumer
			if c, err = e.broker.Consume(ctx, queue.ESME(e.systemID), e.cfg.Prefetch); err == nil {
				return c
			}
			e.forget(map[string]struct{}{e.systemID: {}})
		}
		if ctx.Err() != nil {
			return nil
		}
		e.log.Warn("consuming the queue of an ESME will be retried", "system_id", e.systemID, "in", wait, "err", err)
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-e.wake:
		case <-t.C:
		}
		t.Stop()
		if len(e.bound()) == 0 {
			return nil
		}
	}
}

// addresses are the two ends of a message: what has the same ones keeps its order.
type addresses struct{ source, dest pdu.Address }

// chain is what waits between two addresses; its head is in flight, stalled or being retried.
type chain struct {
	key      addresses
	head     message
	waiting  []message
	via      Receiver // the session that took the last one
	tries    int      // of the head, that the ESME refused or left unanswered
	inFlight bool
	until    time.Time // the head is to be retried then; zero: it is not waiting for that
}

// message is a delivery and what is sent of it.
type message struct {
	d    *queue.Delivery
	p    pdu.PDU
	hold *held
}

// flow delivers from one subscription to the ESME's queue. All of it belongs to run.
type flow struct {
	*esme
	chains   map[addresses]*chain
	stalled  []*chain // whose heads found no room, in order
	retrying []*chain
	next     int // the session whose turn it is
	inFlight int
	held     int            // deliveries that are not settled
	settling sync.WaitGroup // outcomes that are handed over and not settled
}

// run delivers until there is no session any more, the subscription ends, or ctx does. It
// returns when nothing is in flight.
func (f *flow) run(ctx context.Context, c queue.Consumer) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	ended := false
	var grace <-chan time.Time
	done := ctx.Done()
	for {
		sessions := f.bound()
		f.takeAnswers()
		if ctx.Err() != nil || len(sessions) == 0 || ended {
			if f.inFlight == 0 {
				return
			}
			if ctx.Err() != nil && grace == nil {
				grace, done = time.After(f.cfg.Grace), nil
			}
			select {
			case <-f.wake:
			case <-grace:
				return // who answers later sees it again
			case <-done:
			}
			continue
		}
		f.again(time.Now())
		f.place(sessions)
		in := c.C()
		if len(f.stalled) > 0 {
			in = nil // in order: who comes later has no room either
		}
		timer.Reset(f.untilRetry(time.Now()))
		select {
		case d, ok := <-in:
			if !ok {
				ended = true
				f.forget(map[string]struct{}{f.systemID: {}})
				continue
			}
			f.take(d)
		case <-f.wake:
		case <-timer.C:
		case <-done:
		}
	}
}

// take accepts a delivery. A copy of a message that was sent here is not sent again; see hands.
func (f *flow) take(d *queue.Delivery) {
	hold, known := f.hands.take(d)
	if known == waits {
		return
	}
	f.held++
	f.Metrics.Waiting.Add(1)
	if known == already {
		f.finish(outcome{d: d, kind: repeated})
		return
	}
	if uid := d.Headers.Str(queue.HeaderUID); uid != "" {
		if owner, ok := f.owner(f.systemID); f.cfg.Owner != nil && (!ok || string(owner) != uid) {
			f.finish(outcome{d: d, hold: hold, kind: dead, cause: queue.CauseRemoved, why: removedReason(uid)})
			return
		}
	}
	if f.tooOld(d, time.Now()) {
		f.finish(outcome{d: d, hold: hold, kind: dead, cause: queue.CauseHeld, why: f.tooOldReason()})
		return
	}
	var p pdu.PDU
	var key addresses
	var err error
	if defect := logging.Guard(f.log, "message for an ESME", func() { p, key, err = f.compose(d) }); defect != nil {
		err = defect
	}
	if err != nil {
		f.finish(outcome{d: d, hold: hold, kind: dead, cause: queue.CauseUndecodable, why: err.Error()})
		return
	}
	if c := f.chains[key]; c != nil {
		c.waiting = append(c.waiting, message{d, p, hold})
		return
	}
	c := &chain{key: key, head: message{d, p, hold}}
	f.chains[key] = c
	f.stalled = append(f.stalled, c)
}

// finish hands an outcome over.
func (f *flow) finish(o outcome) {
	f.held--
	f.Metrics.Waiting.Add(-1)
	f.settling.Add(1)
	o.settled = &f.settling
	f.settle.Post(&o)
}

// place sends the heads that wait for room, in order.
func (f *flow) place(sessions []Receiver) {
	n := 0
	for n < len(f.stalled) {
		c := f.stalled[n]
		if f.hands.dropStale(c.head.hold) { // it comes again
			f.stalled[n] = nil
			n++
			f.held--
			f.Metrics.Waiting.Add(-1)
			f.advance(c)
			continue
		}
		sent, err := f.send(c, sessions)
		if err != nil { // it cannot be encoded
			f.stalled[n] = nil
			n++
			f.finish(outcome{d: c.head.d, hold: c.head.hold, kind: dead, cause: queue.CauseUndecodable, why: err.Error()})
			f.advance(c)
			continue
		}
		if !sent {
			break
		}
		f.stalled[n] = nil
		n++
	}
	f.stalled = f.stalled[n:]
	if len(f.stalled) == 0 {
		f.stalled = nil
	}
}

// send sends the head of a chain, by the session that took the last one of it if that has room,
// else by the next that has. An error is the message's own.
func (f *flow) send(c *chain, sessions []Receiver) (sent bool, err error) {
	try := func(r Receiver) bool {
		err = r.TrySend(c.head.p, func(resp smpp.Response, err error) {
			f.mu.Lock()
			f.answers = append(f.answers, answer{c, resp, err})
			f.mu.Unlock()
			f.poke()
		})
		if err == nil {
			c.via, c.inFlight, sent = r, true, true
			f.inFlight++
		}
		var fe *pdu.FieldError
		return err == nil || errors.As(err, &fe)
	}
	for _, r := range sessions {
		if r == c.via && try(r) {
			return sent, err
		}
	}
	for range sessions {
		f.next = (f.next + 1) % len(sessions)
		if r := sessions[f.next]; r != c.via && try(r) {
			return sent, err
		}
	}
	return false, nil
}

// takeAnswers applies the answers that came.
func (f *flow) takeAnswers() {
	f.mu.Lock()
	answers := f.answers
	f.answers = nil
	f.mu.Unlock()
	for i := range answers {
		f.answered(&answers[i])
	}
}

func (f *flow) answered(a *answer) {
	c := a.c
	c.inFlight = false
	f.inFlight--
	status := a.resp.Header.Status
	var malformed *pdu.DecodeError
	switch {
	case (a.err == nil || errors.As(a.err, &malformed)) && status == pdu.StatusOK && a.resp.Header.ID != pdu.CmdGenericNack:
		f.delivered(c)
		f.finish(outcome{d: c.head.d, hold: c.head.hold, kind: delivered})
		f.advance(c)
	case a.err == nil, malformed != nil:
		f.refused(c, status.String(), status == pdu.StatusRxPAppn || status == pdu.StatusRxRAppn, f.cfg.RetryDelay)
	case errors.Is(a.err, smpp.ErrResponseTimeout):
		f.refused(c, "not answered in time", false, 0)
	default: // the session ended: another one, or the next, has it again
		f.stalled = append(f.stalled, c)
	}
}

// refused has the head of a chain tried again, or gives it up.
func (f *flow) refused(c *chain, why string, final bool, after time.Duration) {
	f.Metrics.Failed.Add(1)
	c.tries++
	if final || c.tries > f.cfg.MaxRetries {
		cause := queue.CauseRetries
		if final {
			cause = queue.CauseRefused
		}
		f.finish(outcome{d: c.head.d, hold: c.head.hold, kind: dead, cause: cause, why: fmt.Sprintf("try %d at %s: %s", c.tries, f.systemID, why)})
		f.advance(c)
		return
	}
	f.log.Warn("ESME did not take a message, will be retried", "system_id", f.systemID, "msgid", c.head.d.ID, "status", why, "try", c.tries, "in", after)
	c.until = time.Now().Add(after)
	f.retrying = append(f.retrying, c)
}

// advance brings the next message of a chain to its head.
func (f *flow) advance(c *chain) {
	c.tries = 0
	if len(c.waiting) == 0 {
		delete(f.chains, c.key)
		return
	}
	c.head = c.waiting[0]
	c.waiting[0] = message{}
	c.waiting = c.waiting[1:]
	f.stalled = append(f.stalled, c)
}

// again lines up the chains whose retry is due.
func (f *flow) again(now time.Time) {
	kept := f.retrying[:0]
	for _, c := range f.retrying {
		if now.Before(c.until) {
			kept = append(kept, c)
			continue
		}
		c.until = time.Time{}
		f.stalled = append(f.stalled, c)
	}
	clear(f.retrying[len(kept):])
	f.retrying = kept
}

const stallPoll = 100 * time.Millisecond

func (f *flow) untilRetry(now time.Time) time.Duration {
	first := time.Hour
	if len(f.stalled) > 0 {
		first = stallPoll // a slow peer that begins to read again tells nobody
	}
	for _, c := range f.retrying {
		first = min(first, max(c.until.Sub(now), 0))
	}
	return first
}
