package localdb

import (
	"sync"
	"sync/atomic"
)

// gate lets readers through until it is closed, and close waits for those inside. A reader inside may
// enter again.
type gate struct {
	state atomic.Int64 // readers inside, plus gateClosed
	idle  chan struct{}
	once  sync.Once
}

const gateClosed = 1 << 62

func (g *gate) enter() bool {
	if g.state.Add(1) >= gateClosed {
		g.leave()
		return false
	}
	return true
}

func (g *gate) leave() {
	if g.state.Add(-1) == gateClosed {
		g.once.Do(func() { close(g.idle) })
	}
}

// close is called once.
func (g *gate) close() {
	if g.state.Add(gateClosed) == gateClosed {
		g.once.Do(func() { close(g.idle) })
	}
	<-g.idle
}
