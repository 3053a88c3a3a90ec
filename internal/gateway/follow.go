package gateway

import (
	"context"
	"errors"
	"sync"

	"jasmind/internal/provision"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

// follower applies each published configuration to the connectors, one after the other and
// in order, so that a stop and a start in two changes are a stop and a start.
type follower struct {
	connectors *connectors
	wake       chan struct{} // cap 1

	mu      sync.Mutex // guards waiting
	waiting []step
}

// step is a configuration to apply, or somebody who waits for those before it.
type step struct {
	snap *provision.Snapshot
	done chan<- error // cap 1
}

func (f *follower) add(s step) {
	f.mu.Lock()
	f.waiting = append(f.waiting, s)
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// run applies until ctx ends. failed is told of a configuration that was not applied to
// every connector; everything else of it was.
func (f *follower) run(ctx context.Context, failed func(*provision.Snapshot, error)) {
	var last error
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.wake:
		}
		f.mu.Lock()
		todo := f.waiting
		f.waiting = nil
		f.mu.Unlock()
		for _, s := range todo {
			if s.done != nil {
				s.done <- last
				last = nil
				continue
			}
			if last = f.connectors.Apply(ctx, wantedOf(s.snap)); last != nil && ctx.Err() == nil {
				failed(s.snap, last)
			}
		}
	}
}

// settle waits until what was published before is applied, and gives the error of the last.
func (f *follower) settle(ctx, running context.Context) error {
	done := make(chan error, 1)
	f.add(step{done: done})
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-running.Done():
		return errors.New("the gateway stops")
	}
}

func wantedOf(snap *provision.Snapshot) map[sms.ConnectorID]wanted {
	want := make(map[sms.ConnectorID]wanted)
	for _, c := range snap.SMPPConnectors() {
		want[c.CID] = wanted{cfg: c.Config, started: c.Started}
	}
	pair(want)
	return want
}

// pair tells transmitters without a dlr_cid where their receipts come: at the receiver with
// their host and username, if there is exactly one. Two connectors of the original that
// are a pair of sessions to one SMSC work so, since it looks for receipts everywhere.
func pair(want map[sms.ConnectorID]wanted) {
	type account struct{ host, username string }
	receivers := make(map[account][]sms.ConnectorID)
	for cid, w := range want {
		if w.cfg.Bind == pdu.Receiver {
			a := account{w.cfg.Host, w.cfg.Username}
			receivers[a] = append(receivers[a], cid)
		}
	}
	for cid, w := range want {
		if w.cfg.Bind != pdu.Transmitter || w.cfg.DLRCID != "" {
			continue
		}
		if r := receivers[account{w.cfg.Host, w.cfg.Username}]; len(r) == 1 {
			w.cfg.DLRCID = r[0]
			want[cid] = w
		}
	}
}

// follow applies the present configuration and from then on each new one. The subscription
// only hands over, since it runs while the store is locked.
func (g *Gateway) follow(ctx context.Context) error {
	f := &follower{connectors: g.connectors, wake: make(chan struct{}, 1)}
	g.follower = f
	g.unfollow = g.state.Subscribe(func(_, now *provision.Snapshot) { f.add(step{snap: now}) })
	g.wg.Go(func() {
		f.run(g.flows, func(snap *provision.Snapshot, err error) {
			g.logs.manager.Error("configuration was not applied to every connector", "version", snap.Version(), "err", err)
		})
	})
	f.add(step{snap: g.state.Snapshot()})
	return f.settle(ctx, g.flows)
}
