package fleet

import (
	"cmp"
	"context"
	"slices"
	"time"

	"jasmind/internal/queue"
	"jasmind/internal/sms"
)

// Orphan is a connector that is not configured, or not any more, and has messages in its queue. They wait until a
// connector with its id is added. They come there when a connector is removed, or when a failover leads to one that was removed meanwhile.
type Orphan struct {
	CID      sms.ConnectorID
	Messages int
}

const (
	lookEvery = time.Minute
	lookWait  = 10 * time.Second // for the answers of the broker
)

// Orphans gives what was found at the last look, in order of the cids.
func (f *Fleet) Orphans() []Orphan {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.orphans
}

// Waiting tells how many messages are in the queue of a connector, those in its hands apart.
func (f *Fleet) Waiting(ctx context.Context, cid sms.ConnectorID) (int, error) {
	return f.deps.Broker.Length(ctx, queue.SubmitSM(cid))
}

// lookForOrphans looks at the start, every so often, and when a connector was removed.
func (f *Fleet) lookForOrphans() {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		f.look()
		select {
		case <-tick.C:
		case <-f.removed:
		case <-f.working.Done():
			return
		}
	}
}

func (f *Fleet) look() {
	ctx, cancel := context.WithTimeout(f.working, lookWait)
	defer cancel()
	var found []Orphan
	for _, name := range f.deps.Broker.Names() {
		cid, ok := queue.ConnectorOf(name)
		if !ok || f.wanted(cid) {
			continue
		}
		n, err := f.Waiting(ctx, cid)
		if err != nil {
			if f.working.Err() == nil {
				f.deps.Log.Warn("the queue of a connector that is not configured could not be looked at", "cid", string(cid), "err", err)
			}
			continue
		}
		if n > 0 {
			found = append(found, Orphan{cid, n})
		}
	}
	slices.SortFunc(found, func(a, b Orphan) int { return cmp.Compare(a.CID, b.CID) })
	f.mu.Lock()
	before := f.orphans
	f.orphans = found
	f.mu.Unlock()
	for _, o := range found {
		if i := slices.IndexFunc(before, func(b Orphan) bool { return b.CID == o.CID }); i < 0 || before[i].Messages < o.Messages {
			f.deps.Log.Warn("messages wait for a connector that is not configured", "cid", string(o.CID), "count", o.Messages)
		}
	}
}

func (f *Fleet) wanted(cid sms.ConnectorID) bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	m := f.members[cid]
	return m != nil && m.want != nil
}
