package connector

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"jasmind/internal/queue"
	"jasmind/internal/sms"
)

const (
	// unboundGrace is how long a connector without a session keeps its subscription: a
	// reconnection is often a matter of an instant.
	unboundGrace  = time.Second
	closeTimeout  = 5 * time.Second
	firstFeedWait = 100 * time.Millisecond
	lastFeedWait  = 10 * time.Second
)

// prefetch is how many messages the windows can use, and some that wait at hand.
func (c *Connector) prefetch() int {
	cfg := c.cfg.Load()
	n := cfg.Window * cfg.Binds
	return n + max(4, n/4)
}

// feed consumes the connector's queue while a session is bound that can submit, until the
// connector drains or ctx ends. unbound is closed when the last session has ended after ctx.
func (c *Connector) feed(ctx context.Context, unbound <-chan struct{}) {
	name := queue.SubmitSM(c.cid)
	wait := firstFeedWait
	var former sync.WaitGroup // the subscription with another prefetch, while it drains
	defer former.Wait()
	for {
		n, changed := c.watch()
		if c.stopping(ctx) {
			return
		}
		if n == 0 {
			select {
			case <-changed:
			case <-c.drain:
			case <-ctx.Done():
			}
			continue
		}
		prefetch := c.prefetch()
		consumer, err := c.source.Consume(ctx, name, prefetch)
		end := subscriptionLost
		if err == nil {
			sub := &subscription{consumer: consumer, prefetch: prefetch, over: make(chan *attempt, 1), ended: make(chan struct{})}
			end = c.pump(ctx, sub)
			former.Wait()
			if end == prefetchChanged && !c.cfg.Load().StrictOrder {
				former.Go(func() { c.closeSubscription(ctx, sub, unbound) })
			} else {
				c.closeSubscription(ctx, sub, unbound)
			}
		} else if ctx.Err() == nil {
			c.log.Error("queue cannot be consumed", "queue", string(name), "in", wait, "err", err)
		}
		if end != subscriptionLost {
			wait = firstFeedWait
			continue
		}
		if !c.pause(ctx, wait) {
			return
		}
		wait = min(2*wait, lastFeedWait)
	}
}

// stopping tells whether nothing new is to be taken.
func (c *Connector) stopping(ctx context.Context) bool {
	select {
	case <-c.drain:
		return true
	default:
		return ctx.Err() != nil
	}
}

// subscription is one subscription to the connector's queue and what came from it.
type subscription struct {
	consumer queue.Consumer
	prefetch int
	out      gauge         // messages taken and not settled
	ended    chan struct{} // closed when no more is taken from it: what is not sent yet goes back

	// With strict_order, one message is under way at a time: over gets nil when it is over, else the attempt to make next.
	over   chan *attempt
	mu     sync.Mutex
	closed bool // nobody reads over any more
}

// finish notes that a message is settled, or, with next, that it is to be sent again before
// any other; one that nobody takes any more goes back when the subscription is closed.
func (sub *subscription) finish(strict bool, next *attempt) {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	if strict && !sub.closed {
		sub.over <- next // there is room: only one is under way
		if next != nil {
			return
		}
	}
	sub.out.add(-1)
}

// endFeed lets nothing more be taken from it, and gives what was to be sent again, nil for nothing.
func (sub *subscription) endFeed() *attempt {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	sub.closed = true
	close(sub.ended)
	select {
	case next := <-sub.over:
		return next
	default:
		return nil
	}
}

// closeSubscription ends a subscription after all that came from it is settled, since a
// delivery cannot be settled afterwards; when ctx ends, after the sessions have ended and
// a short grace.
func (c *Connector) closeSubscription(ctx context.Context, sub *subscription, unbound <-chan struct{}) {
	select {
	case <-sub.out.empty():
	case <-ctx.Done():
		<-unbound
		sleep(context.WithoutCancel(ctx), sub.out.empty(), settleGrace)
	}
	closeCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if err := sub.consumer.Close(closeCtx); err != nil {
		c.log.Warn("subscription not closed cleanly", "queue", string(queue.SubmitSM(c.cid)), "err", err)
	}
}

// pumpEnd says why pump ended.
type pumpEnd uint8

const (
	pumpStopped      pumpEnd = iota // no session for a moment, or nothing new is wanted
	prefetchChanged                 // another prefetch is needed
	subscriptionLost                // the queue is gone
)

// pump hands messages to the binds. With strict_order that is one at a time, and one that is to be
// sent again goes before all others.
func (c *Connector) pump(ctx context.Context, sub *subscription) pumpEnd {
	var held []*attempt
	underway := false // one that was handed over with strict_order
	defer func() {
		if next := sub.endFeed(); next != nil {
			held = append(held, next)
		}
		c.giveBack(ctx, held...)
	}()
	var grace <-chan time.Time
	for {
		n, changed := c.watch()
		switch {
		case n > 0 && c.prefetch() != sub.prefetch:
			return prefetchChanged
		case n > 0:
			grace = nil
		case grace == nil:
			grace = time.After(unboundGrace)
		}
		var in <-chan *queue.Delivery
		var out chan<- *attempt
		var next *attempt
		if len(held) > 0 && !underway {
			out, next = c.jobs, held[0]
			next.strict = c.cfg.Load().StrictOrder
		} else if n > 0 && len(held) == 0 {
			in = sub.consumer.C()
		}
		select {
		case d, ok := <-in:
			if !ok {
				return subscriptionLost
			}
			held = c.prepare(ctx, sub, queue.Gather(d, sub.consumer.C(), sub.prefetch))
		case out <- next:
			held = held[1:]
			underway = next.strict
		case a := <-sub.over:
			underway = false
			if a != nil {
				held = slices.Insert(held, 0, a)
			}
		case <-changed:
		case <-grace:
			return pumpStopped
		case <-c.drain:
			return pumpStopped
		case <-ctx.Done():
			return pumpStopped
		}
	}
}

// prepare turns deliveries into attempts. What needs no sending goes to the settler: what was
// settled before, what cannot be decoded, what has expired. All are counted as taken. When the
// connector is to stop before all is known of them, none is taken.
//
// A repeat is harmless as far as it can be known: the broker may deliver a message again whose
// acknowledgement it lost, so one marked redelivered is looked up, and acknowledged without
// being sent when that very attempt was settled. What was sent but not settled before a crash
// is sent again: at most a window for each bind. Parts of a long message whose acceptance
// was recorded are not sent again.
func (c *Connector) prepare(ctx context.Context, sub *subscription, batch []*queue.Delivery) []*attempt {
	settled, ok := c.settledBefore(ctx, batch)
	if !ok {
		return nil
	}
	envs, faults := decodeAll(batch, settled)
	overrides, ok := c.claim(ctx, envs)
	if !ok {
		return nil
	}
	now := time.Now()
	out := make([]*attempt, 0, len(batch))
	sub.out.add(len(batch))
	for i, d := range batch {
		if settled[d] {
			c.stats.SettledBeforeCount.Add(1)
			c.settler.post(event{a: &attempt{d: d, sub: sub}, kind: judgedAlready, verdict: &verdict{settled: true}})
			continue
		}
		if faults[i] != nil {
			c.buryUndecodable(sub, d, faults[i])
			continue
		}
		env := envs[i]
		if o := overrides[env.ID]; o != nil && c.obey(env, o) {
			a := &attempt{d: d, env: env, sub: sub, canceled: true}
			c.settler.post(event{a: a, kind: judgedAlready, verdict: c.judge(a, now)})
			continue
		}
		if !env.ExpiresAt.IsZero() && !env.ExpiresAt.After(now) {
			a := &attempt{d: d, env: env, sub: sub, expired: true}
			if len(env.Parts) > 1 && env.Bill.Early > 0 && (d.Redelivered || d.Attempts > 0) {
				accepted, ok := c.submissions(ctx, env.ID) // they are not given back
				if !ok {
					c.giveBackRest(ctx, sub, envs[i:])
					return out
				}
				a.accepted = newAttempt(d, env, sub, accepted).accepted
			}
			c.settler.post(event{a: a, kind: judgedAlready, verdict: c.judge(a, now)})
			continue
		}
		var accepted []sms.PartOutcome
		if len(env.Parts) > 1 && (d.Redelivered || d.Attempts > 0) {
			if accepted, ok = c.submissions(ctx, env.ID); !ok {
				c.giveBackRest(ctx, sub, envs[i:])
				return out
			}
		}
		if d.Redelivered {
			c.stats.RedeliveredCount.Add(1)
		}
		a := newAttempt(d, env, sub, accepted)
		if len(a.todo) == 0 { // the crash came between the last part and the acknowledgement
			c.settler.post(event{a: a, kind: judgedAlready, verdict: c.judge(a, now)})
			continue
		}
		out = append(out, a)
	}
	return out
}

// decodeAll decodes what is not settled; in the same places, what is no message has a fault.
func decodeAll(batch []*queue.Delivery, settled map[*queue.Delivery]bool) (envs []*sms.Envelope, faults []error) {
	envs, faults = make([]*sms.Envelope, len(batch)), make([]error, len(batch))
	for i, d := range batch {
		if !settled[d] {
			envs[i], faults[i] = queue.DecodeEnvelope(d)
		}
	}
	return envs, faults
}

// settledBefore asks which of the redelivered messages were settled.
func (c *Connector) settledBefore(ctx context.Context, batch []*queue.Delivery) (settled map[*queue.Delivery]bool, ok bool) {
	var again []*queue.Delivery
	for _, d := range batch {
		if d.Redelivered {
			again = append(again, d)
		}
	}
	if len(again) == 0 {
		return nil, true
	}
	ok = c.insist(ctx, "asking for settled messages", func() error {
		known, err := c.journal.Settled(ctx, again)
		if err != nil {
			return err
		}
		if len(known) != len(again) {
			return errors.New("journal gave another number of answers than questions")
		}
		settled = make(map[*queue.Delivery]bool, len(again))
		for i, d := range again {
			settled[d] = known[i]
		}
		return nil
	})
	return settled, ok
}

// buryUndecodable moves an entry that is no message to the dead letters. Who asked for a report is
// told as far as its headers say so.
func (c *Connector) buryUndecodable(sub *subscription, d *queue.Delivery, err error) {
	c.log.Error("undecodable message moved to the dead-letter queue", "queue", string(d.Queue), "msgid", d.ID, "err", err)
	env := &sms.Envelope{ID: sms.MessageID(d.ID), CID: c.cid, Origin: sms.Origin(d.Headers.Str(queue.HeaderSourceConnector)), Report: sms.ReportOf(int(d.Headers.Int(queue.HeaderReport)))}
	if ms := d.Headers.Int(queue.HeaderExpiresAt); ms != 0 {
		env.ExpiresAt = time.UnixMilli(ms)
	}
	v := &verdict{bury: err.Error(), status: undecodable}
	if env.Report != 0 && env.ID != "" {
		v.result = &queue.SubmitResult{MsgID: env.ID, CID: c.cid, Status: statusUndecodable.String(), State: stateUndeliv}
	}
	c.settler.post(event{a: &attempt{d: d, env: env, sub: sub}, kind: judgedAlready, verdict: v})
}

// insist repeats what a broker or store must answer, with a backoff, until it did or the
// connector is to stop.
func (c *Connector) insist(ctx context.Context, what string, f func() error) bool {
	for wait := firstFeedWait; ; wait = min(2*wait, lastFeedWait) {
		err := f()
		if err == nil {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		c.log.Error("broker or store failed, will be tried again", "what", what, "in", wait, "err", err)
		if !c.pause(ctx, wait) {
			return false
		}
	}
}
