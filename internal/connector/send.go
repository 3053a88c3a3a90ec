package connector

import (
	"context"
	"errors"
	"time"

	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
)

// send takes messages and sends their parts until ctx ends or the bind is stopped. A
// place in the window comes first, so that a bind that is full leaves messages to the others.
func (b *bind) send(ctx context.Context, s *smpp.Session) {
	for b.win.acquire(ctx, b.stop) {
		select {
		case a := <-b.c.jobs:
			b.transmit(ctx, s, a)
		case <-b.stop:
			b.win.release(1)
			return
		case <-ctx.Done():
			b.win.release(1)
			return
		}
	}
}

// transmit sends the parts of a message in their order, all on this bind. It comes with one
// place in the window. Each part that is sent posts one event when it was answered or
// failed; if not all could be sent, one more event tells how many were.
func (b *bind) transmit(ctx context.Context, s *smpp.Session, a *attempt) {
	c := b.c
	a.win = b.win
	for i, part := range a.todo {
		if i > 0 && !b.win.acquire(ctx, a.halt) {
			a.endEarly(c, false)
			return
		}
		// Until its first part is sent, a message can go back when consumption ends.
		var stop <-chan struct{} = a.halt
		if i == 0 {
			stop = a.sub.ended
		}
		if !c.brake.wait(ctx, stop) || !takeToken(ctx, stop, c.limiter) {
			b.win.release(1)
			b.unsent(ctx, a)
			return
		}
		now := time.Now()
		if a.env.ExpiresAt.After(now) || a.env.ExpiresAt.IsZero() {
			sm := &a.env.Parts[part]
			sm.ValidityPeriod = remainingValidity(sm.ValidityPeriod, a.env.ExpiresAt, now)
			gen := c.brake.generation()
			a.launched++
			err := s.Send(ctx, sm, func(r smpp.Response, err error) { c.answered(a, part, gen, r, err) })
			if err == nil {
				continue
			}
			if wrong := new(pdu.FieldError); errors.As(err, &wrong) {
				c.settler.post(event{a: a, kind: partBroken, part: part, err: err})
				if i < len(a.todo)-1 {
					a.endEarly(c, false)
				}
				return
			}
			a.launched-- // nothing was sent
			b.win.release(1)
			b.unsent(ctx, a)
			return
		}
		b.win.release(1)
		a.endEarly(c, true)
		return
	}
}

// unsent handles a message of which a part could not be sent. One of which nothing was sent
// goes to another bind, or back to its queue when consumption ends.
func (b *bind) unsent(ctx context.Context, a *attempt) {
	if a.launched > 0 {
		a.endEarly(b.c, false)
		return
	}
	b.c.wg.Go(func() {
		select {
		case b.c.jobs <- a:
		case <-a.sub.ended:
			b.c.giveBack(ctx, a)
		}
	})
}

// answered takes the answer to one part, in the session's read loop.
func (c *Connector) answered(a *attempt, part int, gen uint64, r smpp.Response, err error) {
	e := event{a: a, kind: partAnswered, part: part, status: r.Header.Status}
	if err != nil && r.Header.ID == 0 {
		e.kind, e.err = partCut, err
		c.stats.UnansweredCount.Add(1)
		a.stop()
		c.settler.post(e)
		return
	}
	// A body that cannot be read does not undo an acceptance: it just has no id.
	if resp, ok := r.PDU.(*pdu.SubmitSMResp); ok {
		e.resp = resp
	} else if r.Header.ID == pdu.CmdGenericNack && e.status == pdu.StatusOK {
		e.status = pdu.StatusUnknownErr
	}
	c.heed(stateIn(r.PDU))
	switch e.status {
	case pdu.StatusOK:
		c.stats.SubmitSMCount.Add(1)
		c.brake.accepted(gen)
	case pdu.StatusThrottled:
		c.stats.ThrottlingErrorCount.Add(1)
		if d := c.brake.throttled(gen, c.retrialDelay(e.status)); d > 0 {
			c.log.Warn("throttled, sending pauses", "status", e.status.String(), "dur", d)
		}
	default:
		c.stats.OtherSubmitErrorCount.Add(1)
	}
	c.stats.Quality.answer(e.status)
	if e.status != pdu.StatusOK {
		a.stop()
	}
	c.settler.post(e)
}

// retrialDelay is how long a message waits that was refused with a status.
func (c *Connector) retrialDelay(status pdu.Status) time.Duration {
	if d := c.common.Retrials[status].Delay; d > 0 {
		return d
	}
	return c.cfg.Load().RequeueDelay
}

// heed has the rate follow the congestion_state of a response, -1 without one.
func (c *Connector) heed(state int) {
	limit, changed := c.governor.answered(time.Now(), state, c.cfg.Load().SubmitThroughput)
	if !changed {
		return
	}
	c.applyThroughput()
	if limit == 0 {
		c.log.Info("congestion is over, sending as configured")
		return
	}
	c.log.Warn("congestion_state obeyed", "congestion_state", state, "messages_per_second", limit)
}

// applyThroughput sets the limiter to the lower one of submit_throughput and what the SMSC's
// congestion allows.
func (c *Connector) applyThroughput() {
	c.throughputMu.Lock()
	defer c.throughputMu.Unlock()
	rate := c.cfg.Load().SubmitThroughput
	if limit := c.governor.current(); limit > 0 && (rate <= 0 || limit < rate) {
		rate = limit
	}
	limit, burst := throughput(rate)
	c.limiter.SetBurst(burst)
	c.limiter.SetLimit(limit)
}
