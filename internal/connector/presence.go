package connector

import (
	"sync"
	"time"
)

// presence knows the sessions that can submit, and wakes who waits for a change of them or of the settings.
//
// mu guards the fields. It is never held over I/O.
type presence struct {
	mu         sync.Mutex
	submitters int
	lastBound  time.Time     // when the last of them came or ended; zero before
	longest    time.Duration // that any of them waits for a response, or did
	changed    chan struct{} // closed at a change
}

func newPresence() *presence { return &presence{changed: make(chan struct{})} }

// notice wakes all who wait for a change.
func (p *presence) notice() {
	p.mu.Lock()
	p.noticeLocked()
	p.mu.Unlock()
}

func (p *presence) noticeLocked() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// watch gives how many sessions can submit and a channel that is closed at the next change.
func (p *presence) watch() (submitters int, changed <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.submitters, p.changed
}

// count notes that a session which can submit has come (1) or gone (-1), and how long it waits for a response.
func (p *presence) count(n int, response time.Duration) {
	p.mu.Lock()
	p.submitters += n
	p.longest = max(p.longest, response)
	p.lastBound = time.Now()
	p.noticeLocked()
	p.mu.Unlock()
}

// inFlight is for how long something may still be in flight: see Connector.InFlight.
func (p *presence) inFlight() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.submitters > 0 || !p.lastBound.IsZero() && time.Since(p.lastBound) < p.longest {
		return p.longest
	}
	return 0
}
