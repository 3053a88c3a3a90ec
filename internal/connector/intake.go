package connector

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"jasmind/internal/logging"
	"jasmind/internal/queue"
	"jasmind/internal/sms"
)

const (
	// unboundGrace is how long a connector without a session keeps its subscription, and with it the messages that it has
	// prefetched: most sessions are back before, and each give-back counts against a delivery limit that a policy of the broker may set.
	unboundGrace = 30 * time.Second
	closeTimeout = 5 * time.Second
	firstWait    = 100 * time.Millisecond // between tries of what broker or store must do
	lastWait     = 10 * time.Second
)

// intake takes messages from the connector's queue in hand while a session is bound that can submit, and
// hands them to the senders.
type intake struct {
	*settings
	source   queue.Source
	journal  asker
	store    claimer
	stats    *Stats
	log      *slog.Logger
	presence *presence
	settler  *settler
	hands    *Hands
	jobs     chan<- *attempt // to whichever bind has room
	drain    <-chan struct{} // closed: take nothing new

	offers sync.WaitGroup // messages between two binds
}

// asker is the part of the journal that the intake asks.
type asker interface {
	Settled(ctx context.Context, ds []*queue.Delivery) ([]bool, error)
}

// claimer is the part of the store that the intake uses.
type claimer interface {
	Submissions(ctx context.Context, id sms.MessageID) ([]sms.PartOutcome, error)
	Claim(ctx context.Context, ids []sms.MessageID) ([]sms.Override, error)
	Unclaim(ctx context.Context, ids []sms.MessageID) error
}

// prefetch is how many messages the windows can use, and some that wait at hand.
func (in *intake) prefetch() int {
	cfg := in.cfg.Load()
	n := cfg.Window * cfg.Binds
	return n + max(4, n/4)
}

// run consumes the connector's queue while a session is bound that can submit, until the
// connector drains or ctx ends. unbound is closed when the last session has ended after ctx.
func (in *intake) run(ctx context.Context, unbound <-chan struct{}) {
	name := queue.SubmitSM(in.cid)
	wait := firstWait
	var former sync.WaitGroup // the subscription with another prefetch, while it drains
	defer former.Wait()
	for {
		n, changed := in.presence.watch()
		if in.stopping(ctx) {
			return
		}
		if n == 0 {
			select {
			case <-changed:
			case <-in.drain:
			case <-ctx.Done():
			}
			continue
		}
		prefetch := in.prefetch()
		consumer, err := in.source.Consume(ctx, name, prefetch)
		end := subscriptionLost
		if err == nil {
			sub := newSubscription(consumer, prefetch)
			end = in.pump(ctx, sub)
			former.Wait()
			if end == prefetchChanged && !in.cfg.Load().StrictOrder {
				former.Go(func() { in.closeSubscription(ctx, sub, unbound) })
			} else {
				in.closeSubscription(ctx, sub, unbound)
			}
		} else if ctx.Err() == nil {
			in.log.Error("queue cannot be consumed", "queue", string(name), "in", wait, "err", err)
		}
		if end != subscriptionLost {
			wait = firstWait
			continue
		}
		if !sleep(ctx, in.drain, wait) {
			return
		}
		wait = min(2*wait, lastWait)
	}
}

// stopping tells whether nothing new is to be taken.
func (in *intake) stopping(ctx context.Context) bool {
	select {
	case <-in.drain:
		return true
	default:
		return ctx.Err() != nil
	}
}

// closeSubscription ends a subscription after all that came from it is settled, since a
// delivery cannot be settled afterwards; when ctx ends, after the sessions have ended and
// a short grace.
func (in *intake) closeSubscription(ctx context.Context, sub *subscription, unbound <-chan struct{}) {
	back := func(next *attempt) {
		if next != nil {
			in.giveBack(ctx, next.queued)
		}
	}
	aborted := ctx.Done()
	var grace <-chan time.Time
	for open := true; open; {
		select {
		case next := <-sub.over:
			back(next)
		case <-sub.out.empty():
			open = false
		case <-aborted:
			<-unbound
			aborted, grace = nil, time.After(settleGrace)
		case <-grace:
			open = false
		}
	}
	back(sub.close())
	closeCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if err := sub.consumer.Close(closeCtx); err != nil {
		in.log.Warn("subscription not closed cleanly", "queue", string(queue.SubmitSM(in.cid)), "err", err)
	}
}

// offer hands a message of which nothing was sent to another bind, or gives it back when consumption ends.
func (in *intake) offer(ctx context.Context, a *attempt) {
	in.offers.Go(func() {
		select {
		case in.jobs <- a:
		case <-a.sub.ended:
			in.giveBack(ctx, a.queued)
		}
	})
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
func (in *intake) pump(ctx context.Context, sub *subscription) pumpEnd {
	var held []*attempt
	underway := false // one that was handed over with strict_order
	defer func() {
		sub.end()
		back := make([]queued, len(held))
		for i, a := range held {
			back[i] = a.queued
		}
		in.giveBack(ctx, back...)
	}()
	var grace <-chan time.Time
	for {
		var due <-chan time.Time
		n, changed := in.presence.watch()
		switch {
		case n > 0 && in.prefetch() != sub.prefetch:
			return prefetchChanged
		case n > 0:
			grace = nil
		case grace == nil:
			grace = time.After(unboundGrace)
		}
		var from <-chan *queue.Delivery
		var out chan<- *attempt
		var next *attempt
		if len(held) > 0 && !underway {
			if next = held[0]; next.due.IsZero() {
				out = in.jobs
			} else {
				due = time.After(time.Until(next.due))
			}
		} else if n > 0 && len(held) == 0 {
			from = sub.consumer.C()
		}
		select {
		case d, ok := <-from:
			if !ok {
				return subscriptionLost
			}
			batch := queue.Gather(d, sub.consumer.C(), sub.prefetch)
			sub.out.add(len(batch))
			qs := make([]queued, len(batch))
			for i, d := range batch {
				qs[i] = queued{d: d, sub: sub}
			}
			held = in.prepare(ctx, qs)
		case <-sub.wake:
			held = append(held, in.prepare(ctx, sub.retaken())...)
		case out <- next:
			held = held[1:]
			underway = next.strict
		case <-due:
			held = append(in.recall(ctx, next), held[1:]...)
		case a := <-sub.over:
			underway = false
			if a != nil {
				held = slices.Insert(held, 0, a)
			}
		case <-changed:
		case <-grace:
			return pumpStopped
		case <-in.drain:
			return pumpStopped
		case <-ctx.Done():
			return pumpStopped
		}
	}
}

// prepare takes messages of one subscription in hand and turns them into attempts. What needs no sending goes to the
// settler: what was settled before, what cannot be decoded, what was cancelled or has expired. When the
// connector is to stop before all is known of the others, they are given back.
//
// A repeat is harmless as far as it can be known. The broker may deliver a message again while it is in hand here: such a
// copy waits (Hands). It may deliver one again whose acknowledgement it lost, and have two copies of one that was
// put back: those are looked up, and acknowledged without being sent when that very attempt was settled. What was
// sent but not settled before a crash is sent again: at most a window for each bind. Parts of a long message whose
// acceptance was recorded are not sent again.
func (in *intake) prepare(ctx context.Context, qs []queued) []*attempt {
	qs, known := in.take(qs)
	settled, ok := in.settledBefore(ctx, qs)
	if !ok {
		in.giveBack(ctx, qs...)
		return nil
	}
	todo := qs[:0]
	for _, q := range qs {
		if settled[q.d] {
			in.settler.settledBefore(q)
			in.settler.release(q.d)
			continue
		}
		var err error
		if defect := logging.Guard(in.log, "queued message", func() { q.env, err = queue.DecodeEnvelope(q.d) }); defect != nil {
			err = defect
		}
		if err != nil {
			in.buryUndecodable(q, err)
			continue
		}
		if before, ok := known[q.d]; ok {
			q.inHand, q.env.Refusals, q.env.Losses = before.inHand, before.refusals, before.losses
		}
		todo = append(todo, q)
	}
	overrides, ok := in.claim(ctx, todo)
	if !ok {
		in.giveBack(ctx, todo...)
		return nil
	}
	now := time.Now()
	out := make([]*attempt, 0, len(todo))
	for i, q := range todo {
		canceled := false
		if o := overrides[q.env.ID]; o != nil {
			canceled = override(q.env, o)
		}
		a, ok := in.attempt(ctx, q, nil)
		if !ok {
			in.giveBack(ctx, todo[i:]...)
			return out
		}
		if in.over(a, canceled, now) {
			continue
		}
		if q.d.Redelivered {
			in.stats.RedeliveredCount.Add(1)
		}
		a.strict = in.cfg.Load().StrictOrder
		out = append(out, a)
	}
	return out
}

// attempt makes an attempt by what was recorded of earlier ones, and by what is known of them in hand; false: the connector is
// to stop.
func (in *intake) attempt(ctx context.Context, q queued, inHand []sms.PartOutcome) (a *attempt, ok bool) {
	outcomes := inHand
	read := func(id sms.MessageID) bool {
		more, ok := in.submissions(ctx, id)
		outcomes = append(outcomes, more...)
		return ok
	}
	if inHand == nil && len(q.env.Parts) > 1 && (q.d.Redelivered || q.d.Attempts > 0) && !read(q.env.ID) {
		return nil, false
	}
	if q.unanswered() && !(read(lateOf(q.env.ID)) && read(refusedLate(q.env.ID, in.cid))) {
		return nil, false
	}
	return newAttempt(q, outcomes), true
}

// over tells whether nothing of an attempt is to be sent. The settler has it then.
func (in *intake) over(a *attempt, canceled bool, now time.Time) bool {
	expired := len(a.todo) > 0 && a.refusals == nil && !a.env.ExpiresAt.IsZero() && !a.env.ExpiresAt.After(now)
	// Without anything to do, all was accepted: the crash came before the acknowledgement, or the answer was late.
	if !canceled && !expired && len(a.todo) > 0 && a.refusals == nil && a.env.Losses < in.common.MaxLosses {
		return false
	}
	in.settler.unsent(a, canceled, expired)
	return true
}

// recall looks at an attempt again that has waited in hand: its answer may have come meanwhile.
func (in *intake) recall(ctx context.Context, a *attempt) []*attempt {
	next, ok := in.attempt(ctx, a.queued, a.before)
	if !ok {
		in.giveBack(ctx, a.queued)
		return nil
	}
	if in.over(next, false, time.Now()) {
		return nil
	}
	next.strict = true
	return []*attempt{next}
}

// take takes messages in hand and gives those that are to be looked at, with what is known of them. The others are in hand already, or
// have only to be settled.
func (in *intake) take(qs []queued) (fresh []queued, known map[*queue.Delivery]tries) {
	fresh, copies := qs[:0], 0
	for _, q := range qs {
		ok, left, tried := in.hands.take(q)
		if tried.inHand > 0 {
			if known == nil {
				known = make(map[*queue.Delivery]tries)
			}
			known[q.d] = tried
		}
		switch {
		case !ok:
			copies++
		case left != nil:
			in.settler.resume(q, left)
		default:
			fresh = append(fresh, q)
		}
	}
	if copies > 0 {
		in.log.Info("messages came again while they are in hand", "count", copies)
	}
	return fresh, known
}

// settledBefore asks which of the messages that there may be more than once were settled.
func (in *intake) settledBefore(ctx context.Context, qs []queued) (settled map[*queue.Delivery]bool, ok bool) {
	var again []*queue.Delivery
	for _, q := range qs {
		if q.d.Redelivered || q.d.Attempts > 0 {
			again = append(again, q.d)
		}
	}
	if len(again) == 0 {
		return nil, true
	}
	ok = in.insist(ctx, "asking for settled messages", func() error {
		known, err := in.journal.Settled(ctx, again)
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
func (in *intake) buryUndecodable(q queued, err error) {
	d := q.d
	in.log.Error("undecodable message moved to the dead-letter queue", "queue", string(d.Queue), "msgid", d.ID, "err", err)
	q.env = &sms.Envelope{ID: sms.MessageID(d.ID), CID: in.cid, Origin: sms.Origin(d.Headers.Str(queue.HeaderSourceConnector)), Report: sms.ReportOf(int(d.Headers.Int(queue.HeaderReport)))}
	if ms := d.Headers.Int(queue.HeaderExpiresAt); ms != 0 {
		q.env.ExpiresAt = time.UnixMilli(ms)
	}
	in.settler.conclude(q, &verdict{outcome: undecodable, bury: err.Error(), cause: queue.CauseUndecodable, report: d.ID != "" && q.env.Report != 0})
}

// submissions reads which parts of a long message were accepted before, again and again until
// the store answers or the connector is to stop.
func (in *intake) submissions(ctx context.Context, id sms.MessageID) (outcomes []sms.PartOutcome, ok bool) {
	ok = in.insist(ctx, "reading the outcomes of parts", func() (err error) {
		outcomes, err = in.store.Submissions(ctx, id)
		return err
	})
	return outcomes, ok
}

// insist repeats what a broker or store must answer, with a backoff, until it did or the
// connector is to stop.
func (in *intake) insist(ctx context.Context, what string, f func() error) bool {
	for wait := firstWait; ; wait = min(2*wait, lastWait) {
		err := f()
		if err == nil {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		in.log.Error("broker or store failed, will be tried again", "what", what, "in", wait, "err", err)
		if !sleep(ctx, in.drain, wait) {
			return false
		}
	}
}
