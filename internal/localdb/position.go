package localdb

import "sync"

// Position remembers where an index by time or number begins, so that a look at its first entries does
// not read over the tombstones of those that were removed. The zero value begins at the start. It may be
// used from any goroutine, several looks at once included.
type Position struct {
	mu    sync.Mutex
	from  uint64 // no entry is before this
	looks int    // under way
	low   uint64 // the least number added since the first of them began
}

// Begin starts a look: it has to read from from on. It must be followed by End.
func (p *Position) Begin() (from uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.looks == 0 {
		p.low = ^uint64(0)
	}
	p.looks++
	return p.from
}

// End ends a look that found nothing before first. A look that failed gives what Begin gave.
func (p *Position) End(first uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.looks--
	p.from = min(first, p.low)
}

// Add tells of an entry that was added. It is called when the entry can be read.
func (p *Position) Add(n uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.from = min(p.from, n)
	if p.looks > 0 {
		p.low = min(p.low, n)
	}
}
