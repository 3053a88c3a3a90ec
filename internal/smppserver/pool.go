package smppserver

import (
	"sync"

	"jasmind/internal/smpp"
)

const (
	maxWorkers = 256 // batches in work at a time: what waits for the journal shares its commits
	batchMax   = 64  // requests of a strand that become durable together
)

// strandKey is what keeps its order: what one session submits from one address to another,
// such as the parts of a long message. All else overtakes.
type strandKey struct {
	session      *smpp.Session
	source, dest string
	sequence     uint32 // of a request that has a strand of its own
}

// job is a request on its way to mt.
type job struct {
	r *smpp.Request
	m *member
}

// pool works off requests with a bounded number of goroutines, each strand one batch at a time.
type pool struct {
	most int
	run  func([]job)
	wg   sync.WaitGroup

	mu      sync.Mutex // guards what follows
	pending int        // requests that were taken and are not done with
	workers int
	strands map[strandKey][]job // in work or ready, with what waits in them
	ready   []strandKey         // those that wait for a worker, first come first served
	head    int                 // of ready
}

func newPool(most int, run func([]job)) *pool {
	return &pool{most: most, run: run, strands: make(map[strandKey][]job)}
}

// add takes a request; false: too many are in work. It does not block.
func (p *pool) add(k strandKey, j job) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pending >= p.most {
		return false
	}
	p.pending++
	waiting, busy := p.strands[k]
	p.strands[k] = append(waiting, j)
	if busy {
		return true
	}
	p.ready = append(p.ready, k)
	if p.workers < maxWorkers {
		p.workers++
		p.wg.Go(p.work)
	}
	return true
}

// work works strands off until none is ready.
func (p *pool) work() {
	batch := make([]job, 0, 4)
	for {
		k, ok := p.next(&batch)
		if !ok {
			return
		}
		p.run(batch)
		p.done(k, len(batch))
		clear(batch)
	}
}

// next takes a batch from the strand that waits longest; false ends the worker.
func (p *pool) next(batch *[]job) (strandKey, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.head == len(p.ready) {
		p.workers--
		return strandKey{}, false
	}
	k := p.ready[p.head]
	p.ready[p.head] = strandKey{}
	p.head++
	switch {
	case p.head == len(p.ready):
		p.ready, p.head = p.ready[:0], 0
	case p.head >= 1024 && 2*p.head >= len(p.ready):
		n := copy(p.ready, p.ready[p.head:])
		clear(p.ready[n:])
		p.ready, p.head = p.ready[:n], 0
	}
	waiting := p.strands[k]
	n := min(len(waiting), batchMax)
	*batch = append((*batch)[:0], waiting[:n]...)
	clear(waiting[:n])
	p.strands[k] = waiting[n:]
	return k, true
}

// done ends a batch. A strand with more to do goes to the end of the line.
func (p *pool) done(k strandKey, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pending -= n
	if len(p.strands[k]) == 0 {
		delete(p.strands, k)
		return
	}
	p.ready = append(p.ready, k)
}

// inWork is how many requests were taken and are not done with.
func (p *pool) inWork() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pending
}

// wait returns when no worker is left.
func (p *pool) wait() { p.wg.Wait() }
