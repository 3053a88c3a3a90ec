package mt

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"jasmind/internal/queue"
	"jasmind/internal/smppc"
	"jasmind/internal/sms"
)

// limits keeps the number of waiting messages of each connector under its max_queue. The
// broker is asked at most every so often; messages accepted since are counted here.
type limits struct {
	backlog backlog
	every   time.Duration
	byCID   sync.Map // sms.ConnectorID to *depth
}

type depth struct {
	mu      sync.Mutex // held by the one who samples
	sampled atomic.Int64
	at      atomic.Int64 // nanoseconds
	since   atomic.Int64 // accepted since the sample
}

const sampleEvery = 200 * time.Millisecond

// check refuses a message when the connector's queue is full. A broker that does not
// answer is no reason to refuse here: the publish will tell.
func (l *limits) check(ctx context.Context, cfg *smppc.Config) error {
	if cfg.MaxQueue <= 0 {
		return nil
	}
	v, _ := l.byCID.LoadOrStore(cfg.CID, &depth{})
	d := v.(*depth)
	if now := time.Now().UnixNano(); now-d.at.Load() > int64(l.every) && d.mu.TryLock() {
		if n, err := l.backlog.Length(ctx, queue.SubmitSM(cfg.CID)); err == nil {
			d.since.Store(0)
			d.sampled.Store(int64(n))
			d.at.Store(now)
		}
		d.mu.Unlock()
	}
	if d.sampled.Load()+d.since.Load() >= int64(cfg.MaxQueue) {
		return &sms.Error{Reason: sms.ReasonQueueFull, Detail: "queue of connector " + string(cfg.CID) + " is full, try again later"}
	}
	return nil
}

func (l *limits) accepted(cid sms.ConnectorID) {
	if v, ok := l.byCID.Load(cid); ok {
		v.(*depth).since.Add(1)
	}
}
