package admission

import (
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
)

// BudgetConfig holds the settings of a Budget; zero means the default.
type BudgetConfig struct {
	Octets     int // unauthenticated_octets: in hand in all, default 64 MiB
	PerAddress int // unauthenticated_octets_per_address: of them, from one address, default 8 MiB
}

// What a connection and a request count beside their octets, for the buffers that they have.
const (
	connectionCost = 8 << 10
	requestCost    = 8 << 10
)

// ErrOverBudget is what reading gives when strangers have too much in hand already.
var ErrOverBudget = errors.New("too much was received from clients that have not authenticated")

// BudgetStats are the counters of a Budget. Fields may be read at any time.
type BudgetStats struct {
	RefusedConnections atomic.Int64 `metric:"jasmind_connections_refused_total" help:"Connections that a door closed at once: not on its list, or too many."`

	Refused atomic.Int64 `metric:"jasmind_unauthenticated_refused_total" help:"Connections and requests refused because clients that had not authenticated had too much in hand."`
}

// Budget bounds what is in hand of clients that have not shown who they are: their connections, their requests and the octets
// received for them. One of them serves all doors. It is safe for concurrent use.
type Budget struct {
	cfg   BudgetConfig
	Stats BudgetStats

	mu       sync.Mutex // guards what follows
	inHand   int
	bySource map[netip.Addr]int // none is 0
}

// NewBudget makes a Budget of which nothing is taken.
func NewBudget(cfg BudgetConfig) *Budget {
	for v, d := range map[*int]int{&cfg.Octets: 64 << 20, &cfg.PerAddress: 8 << 20} {
		if *v <= 0 {
			*v = d
		}
	}
	return &Budget{cfg: cfg, bySource: make(map[netip.Addr]int)}
}

// InHand is how many octets are taken.
func (b *Budget) InHand() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.inHand
}

func (b *Budget) take(source netip.Addr, n int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.inHand+n > b.cfg.Octets || b.bySource[source]+n > b.cfg.PerAddress {
		b.Stats.Refused.Add(1)
		return false
	}
	b.inHand += n
	b.bySource[source] += n
	return true
}

func (b *Budget) give(source netip.Addr, n int) {
	if n == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.inHand -= n
	if b.bySource[source] -= n; b.bySource[source] == 0 {
		delete(b.bySource, source)
	}
}
