package fleet

import (
	"maps"
	"sync"

	"jasmind/internal/connector"
	"jasmind/internal/sms"
)

// Counters has the counters of every connector that the configuration has, started or not. They
// begin when the connector is added. It is safe for concurrent use; its zero value is empty.
type Counters struct {
	mu    sync.RWMutex
	stats map[sms.ConnectorID]*connector.Stats
}

// fresh begins new counters for a connector.
func (c *Counters) fresh(cid sms.ConnectorID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stats == nil {
		c.stats = make(map[sms.ConnectorID]*connector.Stats)
	}
	c.stats[cid] = connector.NewStats()
}

func (c *Counters) drop(cid sms.ConnectorID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.stats, cid)
}

// Connector gives the counters of a connector; nil if the configuration does not have it.
func (c *Counters) Connector(cid sms.ConnectorID) *connector.Stats {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.stats[cid]
}

// Each calls yield with the counters of every connector.
func (c *Counters) Each(yield func(sms.ConnectorID, *connector.Stats)) {
	c.mu.RLock()
	all := maps.Clone(c.stats)
	c.mu.RUnlock()
	for cid, s := range all {
		yield(cid, s)
	}
}

// Intercepted counts an MO of a connector that an interceptor was run on.
func (c *Counters) Intercepted(cid sms.ConnectorID, ok bool) {
	switch s := c.Connector(cid); {
	case s == nil: // removed meanwhile
	case ok:
		s.InterceptorCount.Add(1)
	default:
		s.InterceptorErrorCount.Add(1)
	}
}

// Quality tells how well a connector delivered in the last hour.
func (c *Counters) Quality(cid sms.ConnectorID) (ratio float64, known bool) {
	if s := c.Connector(cid); s != nil {
		return s.Quality.Ratio()
	}
	return 0, false
}
