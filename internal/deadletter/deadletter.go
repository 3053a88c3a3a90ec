// Package deadletter keeps what was given up, for an operator to look at, bring back or drop.
//
// Whoever gives a message up publishes it into jasmind.dead_letter (queue.BuryAs), in the journal
// entry that takes it out of its queue. The Office moves it from there into the store, where letters
// are listed by page, counted without looking at them, and dropped one by one; a queue can do none of
// that (docs/decisions/0013-dead-letters-in-the-store.md). The store holds Config.Max of them; what is
// beyond stays in the queue until there is room, so that a flood fills neither memory nor Redis.
//
// Moving is at least once and a repeat is harmless, since a letter has an id from its burial on
// and is kept once. Bringing back is: claim the letter, publish its message, and drop the letter, the last two in
// one journal entry, which makes the message durable first. What a crash leaves in between is a claimed letter: it is in the
// store, and maybe in its queue already. It is brought back a second time only on demand.
//
//	o := deadletter.New(cfg, broker, journal, store, log)
//	go o.Run(ctx)
//	r, err := o.Replay(ctx, deadletter.Selection{Queue: queue.DLRThrowerHTTP}, false)
package deadletter

import (
	"cmp"
	"context"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"jasmind/internal/journal"
	"jasmind/internal/queue"
)

// Config holds the settings of an Office ([dead-letters] in jasmin.cfg).
type Config struct {
	Max       int           // max_kept: letters in the store, default 100,000; more wait in the queue
	Retention time.Duration // retention: letters older than that are dropped; 0: never

	Look time.Duration // between looks for room and for what is too old, default 5 s
}

func (c *Config) defaults() {
	if c.Max <= 0 {
		c.Max = 100_000
	}
	if c.Look <= 0 {
		c.Look = 5 * time.Second
	}
}

// Metrics counts what an Office did. Fields may be read at any time.
type Metrics struct {
	Kept     atomic.Int64 `metric:"jasmind_dead_letters_kept_total" help:"Dead letters moved into the store."`
	Replayed atomic.Int64 `metric:"jasmind_dead_letters_replayed_total" help:"Dead letters brought back to their queues."`
	Purged   atomic.Int64 `metric:"jasmind_dead_letters_purged_total" help:"Dead letters dropped by an operator."`
	Expired  atomic.Int64 `metric:"jasmind_dead_letters_expired_total" help:"Dead letters dropped because of their age."`
}

// broker is what an Office needs of a queue driver.
type broker interface {
	Consume(ctx context.Context, name queue.Name, prefetch int) (queue.Consumer, error)
	Length(ctx context.Context, name queue.Name) (int, error)
}

// Office keeps dead letters. Its methods may be called concurrently, also without Run.
type Office struct {
	cfg     Config
	broker  broker
	journal journal.Journal
	store   journal.Letters
	log     *slog.Logger
	room    chan struct{} // cap 1: letters were dropped
	writer  *journal.Writer[kept]
	Metrics Metrics
}

// New makes an Office; Run moves letters into the store.
func New(cfg Config, b broker, j journal.Journal, store journal.Letters, log *slog.Logger) *Office {
	cfg.defaults()
	o := &Office{cfg: cfg, broker: b, journal: j, store: store, log: log, room: make(chan struct{}, 1)}
	o.writer = journal.NewWriter(j, o.work())
	return o
}

// batch is how many letters one journal entry moves, brings back or drops at most.
const batch = 128

// Run moves letters from the queue into the store, as long as there is room, and drops what is
// too old, until ctx ends. An error is that the queue cannot be consumed, or not any more.
func (o *Office) Run(ctx context.Context) error {
	return o.writer.While(ctx, func() error { return o.run(ctx) })
}

func (o *Office) run(ctx context.Context) error {
	look := time.NewTicker(o.cfg.Look)
	defer look.Stop()
	for {
		room := o.roomLeft(ctx)
		if room > 0 {
			if err := o.serve(ctx, room, look.C); err != nil {
				return err
			}
		}
		o.expire(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if room > 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-o.room:
		case <-look.C:
		}
	}
}

// roomLeft is how many letters the store may take; 0 also if it does not say.
func (o *Office) roomLeft(ctx context.Context) int {
	counts, err := o.store.CountLetters(ctx)
	if err != nil {
		if ctx.Err() == nil {
			o.log.Warn("dead letters cannot be counted, will be tried again", "in", o.cfg.Look, "err", err)
		}
		return 0
	}
	n := 0
	for _, c := range counts {
		n += c.Count
	}
	return max(o.cfg.Max-n, 0)
}

// serve moves up to room letters, until the next look or the end of ctx. When the store is full
// nothing is consumed: what is not taken stays in its order.
func (o *Office) serve(ctx context.Context, room int, look <-chan time.Time) error {
	c, end, err := queue.Subscribe(ctx, o.broker, queue.DeadLetter, min(batch, room))
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	defer end()
	var old <-chan time.Time
	for room > 0 {
		var ds []*queue.Delivery
		select {
		case <-ctx.Done():
			return nil
		case <-look:
			if o.cfg.Retention > 0 {
				o.expire(ctx)
			}
			continue
		case <-old:
			return nil
		case d, ok := <-c.C():
			if !ok {
				return queue.Ended(ctx, queue.DeadLetter)
			}
			ds = queue.Gather(d, c.C(), min(batch, room))
		}
		room -= o.keep(ctx, ds)
		if old == nil {
			old = time.After(recount) // others may have kept or dropped letters meanwhile
		}
	}
	return nil
}

// recount is how long an Office goes by its own count of what is in the store.
const recount = time.Minute

// kept is a delivery that moves into the store, or that is to be buried first.
type kept struct {
	d      *queue.Delivery
	letter queue.Letter
	rebury *queue.Publication // of letter; nil: the delivery is one already
}

// work tells how a delivery moves: a message that Bury has not made is buried and comes again, and so is
// a letter that the store refuses, by its headers without its body.
func (o *Office) work() journal.Work[kept] {
	return journal.Work[kept]{What: "dead letters", Max: batch, Log: o.log,
		Add: func(e *journal.Entry, k kept) {
			if k.rebury == nil {
				e.Letters = append(e.Letters, k.letter)
			} else {
				e.Publish = append(e.Publish, *k.rebury)
			}
			e.Ack = append(e.Ack, journal.Ack{Delivery: k.d})
		},
		Bury: func(e *journal.Entry, k kept, reason string) {
			l := k.letter
			l.Reason = queue.ClipReason(l.Reason + "; without its body of " + strconv.Itoa(len(l.Message.Body)) + " octets, which the store refused: " + reason)
			l.Message.Body = nil
			e.Letters = append(e.Letters, l)
			e.Ack = append(e.Ack, journal.Ack{Delivery: k.d})
		},
		Done: func(k kept, f journal.Fate, _ error) {
			if f == journal.Abandoned || k.rebury != nil && f == journal.Settled {
				return
			}
			o.Metrics.Kept.Add(1)
			l := &k.letter
			o.log.Warn("dead letter", "id", string(l.ID), "queue", string(l.Queue), "msgid", l.Message.ID, "to", l.Destination(), "cause", string(l.Cause), "reason", l.Reason)
		},
	}
}

// keep moves deliveries into the store, again and again until it has or ctx ends, and tells how
// many letters they are.
func (o *Office) keep(ctx context.Context, ds []*queue.Delivery) int {
	ks := make([]kept, len(ds))
	n := 0
	for i, d := range ds {
		k := &ks[i]
		k.d = d
		var err error
		if k.letter, err = queue.DecodeLetter(&d.Message); err == nil {
			n++
			continue
		}
		p := rebury(d)
		k.letter, _ = queue.DecodeLetter(&p.Message) // what BuryAs has made
		k.rebury = &p
	}
	if o.writer.Write(ctx, ks) > 0 {
		return 0
	}
	return n
}

// rebury buries what came into the queue without an id: moved by the broker (the driver says from where
// and why), or by another program.
func rebury(d *queue.Delivery) queue.Publication {
	h := d.Headers
	was := *d
	was.Queue = queue.Name(h.Str(queue.HeaderDeadQueue))
	cause := queue.Cause(h.Str(queue.HeaderDeadCause))
	if !cause.Known() {
		cause = queue.CauseUndecodable
	}
	return queue.BuryAs(&was, cause, cmp.Or(h.Str(queue.HeaderDeadReason), "it came into the dead-letter queue without a reason"))
}

// expire drops the letters that are older than the retention.
func (o *Office) expire(ctx context.Context) {
	if o.cfg.Retention <= 0 {
		return
	}
	limit := time.Now().Add(-o.cfg.Retention)
	for ctx.Err() == nil {
		ls, err := o.store.Letters(ctx, "", "", batch)
		var e journal.Entry
		for i := range ls {
			if l := &ls[i]; l.At.Before(limit) {
				e.DropLetters = append(e.DropLetters, l.ID)
			}
		}
		if err == nil && len(e.DropLetters) == 0 {
			return
		}
		if err == nil {
			err = o.journal.Commit(ctx, &e)
		}
		if err != nil {
			if ctx.Err() == nil {
				o.log.Warn("dropping old dead letters will be tried again", "in", o.cfg.Look, "err", err)
			}
			return
		}
		o.Metrics.Expired.Add(int64(len(e.DropLetters)))
		o.log.Warn("dead letters dropped, they are older than the retention", "count", len(e.DropLetters), "retention", o.cfg.Retention)
		o.dropped()
		if len(e.DropLetters) < batch {
			return
		}
	}
}

// dropped tells Run that there is room.
func (o *Office) dropped() {
	select {
	case o.room <- struct{}{}:
	default:
	}
}
