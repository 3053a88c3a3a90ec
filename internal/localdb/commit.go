package localdb

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
)

const (
	maxGroup  = 256 << 10 // octets of the commits that are written as one
	maxQueued = 8 << 20   // octets of commits waiting to be written; more have to wait outside
	maxUnsync = 4         // groups written and not synced; more make the groups larger
)

// committer is the one way into the database. Commits are queued; one goroutine takes all that wait,
// runs their checks and writes them to log and memtable as one group; another waits for the fsync of
// each group and answers. While an fsync runs the next groups fill, so the more callers there are the
// more of them share one fsync, and a caller alone waits for nothing but his own.
//
// mu guards the fields below it and is never held over I/O or a call out.
type committer struct {
	d     *DB
	wake  chan struct{} // cap 1: something was queued
	syncq chan *group
	done  chan struct{} // closed when both goroutines have ended

	mu      sync.Mutex
	room    sync.Cond // signalled when queued octets were taken
	queue   []*request
	octets  int
	closing bool
	lost    error  // set by abandon
	flying  groups // taken and not answered

	commits, batches atomic.Uint64
}

// request is one commit on its way.
type request struct {
	b        *Batch
	answer   func(error)
	err      error // refused by a check or a preparation
	answered atomic.Bool
}

func (r *request) finish(err error) {
	if !r.answered.CompareAndSwap(false, true) {
		return
	}
	for _, f := range r.b.after {
		f(err)
	}
	r.answer(err)
}

// group is what was taken at once, or the part of it that one write covers.
type group struct {
	pb       *pebble.Batch // nil: nothing was written
	requests []*request
	landed   int // of a group in flight: how many are answered, guarded by the committer's mu
}

type groups []*group

func (c *committer) init(d *DB) {
	c.d = d
	c.wake = make(chan struct{}, 1)
	c.syncq = make(chan *group, maxUnsync)
	c.done = make(chan struct{})
	c.room.L = &c.mu
}

func (c *committer) start() {
	var wg sync.WaitGroup
	wg.Go(c.write)
	wg.Go(c.sync)
	go func() { wg.Wait(); close(c.done) }()
}

// Commit makes the batch durable. It returns when the batch is on the disk, or nothing of it will be.
//
// A context that has ended before the start refuses it; once started it is carried out, since its
// outcome would be unknown. Errors: the first error of its checks, ErrClosed, ErrFailed.
func (d *DB) Commit(ctx context.Context, b *Batch) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	ch := answers.Get().(chan error)
	d.commits.add(&request{b: b, answer: func(err error) { ch <- err }})
	err := <-ch
	answers.Put(ch)
	return err
}

var answers = sync.Pool{New: func() any { return make(chan error, 1) }}

// CommitAsync is Commit that calls done instead of waiting. Batches of one goroutine are committed in
// its order. It blocks while too much waits to be written. done must be quick and must not commit.
func (d *DB) CommitAsync(b *Batch, done func(error)) {
	d.commits.add(&request{b: b, answer: done})
}

func (c *committer) add(r *request) {
	c.mu.Lock()
	for c.octets >= maxQueued && !c.closing && c.lost == nil {
		c.room.Wait()
	}
	err := c.lost
	if err == nil && c.closing {
		err = ErrClosed
	}
	if err == nil {
		c.queue = append(c.queue, r)
		c.octets += r.b.size()
	}
	c.mu.Unlock()
	if err != nil {
		r.finish(err)
		return
	}
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// take waits for commits and takes the first of them, up to maxGroup octets; nil when the committer closes.
func (c *committer) take() *group {
	for {
		c.mu.Lock()
		if n := len(c.queue); n > 0 && c.lost == nil {
			size, i := 0, 0
			for i < n && (i == 0 || size+c.queue[i].b.size() <= maxGroup) {
				size += c.queue[i].b.size()
				i++
			}
			g := &group{requests: make([]*request, i)}
			copy(g.requests, c.queue)
			rest := copy(c.queue, c.queue[i:])
			clear(c.queue[rest:])
			c.queue = c.queue[:rest]
			if rest == 0 && cap(c.queue) > 4096 {
				c.queue = nil // a burst is over
			}
			c.octets -= size
			c.flying = append(c.flying, g)
			c.room.Broadcast()
			c.mu.Unlock()
			return g
		}
		over := c.closing || c.lost != nil
		c.mu.Unlock()
		if over {
			return nil
		}
		<-c.wake
	}
}

// write is the goroutine that writes groups.
func (c *committer) write() {
	defer close(c.syncq)
	defer func() {
		// Pebble answers what it does not expect with a panic.
		if v := recover(); v != nil {
			c.d.fail(fmt.Errorf("write: %v", v))
		}
	}()
	for g := c.take(); g != nil; g = c.take() {
		c.writeGroup(g)
	}
}

// writeGroup writes the requests of g in order. A request with checks has to see what is before it, so
// what is before it is written first, as a group of its own: that costs no fsync of its own.
func (c *committer) writeGroup(g *group) {
	var (
		pb    *pebble.Batch
		start int
	)
	send := func(end int) {
		part := &group{requests: g.requests[start:end]}
		if pb != nil && !pb.Empty() {
			part.pb = pb
			if err := c.d.pdb.ApplyNoSyncWait(pb, pebble.Sync); err != nil {
				c.d.fail(fmt.Errorf("write: %w", err))
			}
			c.batches.Add(1)
		}
		pb, start = nil, end
		c.syncq <- part
	}
	for i, r := range g.requests {
		if len(r.b.checks) > 0 {
			if pb != nil && !pb.Empty() {
				send(i)
			}
			for _, check := range r.b.checks {
				if r.err = check(c.d, r.b); r.err != nil {
					break
				}
			}
			if r.err != nil {
				continue // answered in turn: what it read may not be durable yet
			}
		}
		for _, f := range r.b.prepare {
			if r.err = f(r.b); r.err != nil {
				break
			}
		}
		if r.err == nil && !r.b.pb.Empty() {
			if pb == nil {
				pb = c.d.pdb.NewBatch()
			}
			if err := pb.Apply(r.b.pb, nil); err != nil {
				r.err = fmt.Errorf("localdb: merge a batch: %w", err)
				continue
			}
		}
	}
	send(len(g.requests))
}

// sync is the goroutine that waits for fsyncs and answers.
func (c *committer) sync() {
	for g := range c.syncq {
		if g.pb != nil {
			if err := g.pb.SyncWait(); err != nil {
				c.d.fail(fmt.Errorf("sync the log: %w", err))
			}
			_ = g.pb.Close() // always nil for a batch that was applied
		}
		if c.d.Err() != nil {
			continue // abandon answers
		}
		c.commits.Add(uint64(len(g.requests))) // before the answers: who has one finds himself counted
		for _, r := range g.requests {
			if r.b.firstExpiry != 0 {
				c.d.expiry.at.Add(r.b.firstExpiry) // not before it can be read, or a sweep passes it by
			}
			r.finish(r.err)
			_ = r.b.pb.Close()
		}
		c.landed(len(g.requests))
	}
}

// landed takes n answered requests off the groups in flight.
func (c *committer) landed(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.flying) == 0 {
		return // abandoned meanwhile
	}
	first := c.flying[0]
	if first.landed += n; first.landed == len(first.requests) {
		c.flying[0] = nil
		if c.flying = c.flying[1:]; len(c.flying) == 0 {
			c.flying = nil
		}
	}
}

// abandon answers everything that waits with err, and all that comes.
func (c *committer) abandon(err error) {
	c.mu.Lock()
	c.lost = err
	var waiting []*request
	for _, g := range c.flying {
		waiting = append(waiting, g.requests[g.landed:]...)
	}
	waiting = append(waiting, c.queue...)
	c.flying, c.queue, c.octets = nil, nil, 0
	c.room.Broadcast()
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
	// The caller may hold Pebble's locks, and an after function may read.
	go func() {
		for _, r := range waiting {
			r.finish(err)
		}
	}()
}

// close waits until what was queued is durable and both goroutines have ended, or the database failed.
func (c *committer) close() {
	c.mu.Lock()
	c.closing = true
	c.room.Broadcast()
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
	select {
	case <-c.done:
	case <-c.d.failed:
	}
}
