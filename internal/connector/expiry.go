package connector

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"jasmind/internal/journal"
	"jasmind/internal/queue"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

// ExpiryConfig holds the settings of an ExpirySweeper.
type ExpiryConfig struct {
	Interval time.Duration // between two looks at the index; default 1 s
	// Grace is what a connector gets, beyond what its sessions wait for a response, to settle a
	// message that it may have in flight at its end of validity; default 30 s.
	Grace time.Duration
	Limit int // entries of one look; default 1000
}

// ExpirySweeper finds in the index by time the messages whose validity ended where no
// connector will notice soon: behind a stopped or unbound one, behind a backlog, in a
// retry's delay. It tells who asked, and takes them out of the index. The message itself
// stays in its queue until its connector takes it and drops it as expired.
//
// The connector then publishes the same event again. That is harmless: after the final DLR of
// a message the lookup has forgotten who asked, and ignores the second event. So is a
// sweep that is repeated after a crash.
type ExpirySweeper struct {
	cfg     ExpiryConfig
	journal journal.Journal
	store   expiredStore
	hold    func(sms.ConnectorID) time.Duration
	log     *slog.Logger
}

// expiredStore is the part of journal.Store that the sweeper reads.
type expiredStore interface {
	Expired(ctx context.Context, limit int) ([]sms.Expiry, error)
}

// NewExpirySweeper makes a sweeper; Run starts it. hold tells for how long a connector may have
// messages in flight, see Connector.InFlight, nil: none has any. log may be nil.
func NewExpirySweeper(cfg ExpiryConfig, j journal.Journal, store expiredStore, hold func(sms.ConnectorID) time.Duration, log *slog.Logger) *ExpirySweeper {
	if cfg.Interval <= 0 {
		cfg.Interval = time.Second
	}
	if cfg.Grace <= 0 {
		cfg.Grace = 30 * time.Second
	}
	if cfg.Limit <= 0 {
		cfg.Limit = 1000
	}
	if hold == nil {
		hold = func(sms.ConnectorID) time.Duration { return 0 }
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &ExpirySweeper{cfg: cfg, journal: j, store: store, hold: hold, log: log}
}

// Run sweeps until ctx ends.
func (s *ExpirySweeper) Run(ctx context.Context) error {
	wait := s.cfg.Interval
	for sleep(ctx, nil, wait) {
		more, err := s.sweep(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			wait = min(2*wait, max(lastWait, s.cfg.Interval))
			s.log.Error("sweeping expired messages will be tried again", "in", wait, "err", err)
		case more:
			wait = 0
		default:
			wait = s.cfg.Interval
		}
	}
	return context.Cause(ctx)
}

// sweep handles one batch; more tells whether there may be another one already.
func (s *ExpirySweeper) sweep(ctx context.Context) (more bool, err error) {
	expired, err := s.store.Expired(ctx, s.cfg.Limit)
	if err != nil {
		return false, fmt.Errorf("read expired messages: %w", err)
	}
	now := time.Now()
	holds := make(map[sms.ConnectorID]time.Duration)
	var e journal.Entry
	for _, x := range expired {
		hold, known := holds[x.CID]
		if !known {
			hold = s.hold(x.CID)
			holds[x.CID] = hold
		}
		if hold > 0 && now.Sub(x.At) < hold+s.cfg.Grace {
			continue
		}
		if x.Report != 0 {
			r := queue.SubmitResult{MsgID: x.MsgID, CID: x.CID, Status: statusExpired.String(), State: stateExpired}
			e.Publish = append(e.Publish, queue.Publication{Queue: queue.DLRSubmitSMResp, Message: r.Message()})
		}
		e.Unexpire = append(e.Unexpire, x)
		e.Changes = append(e.Changes, sms.StateChange{MsgID: x.MsgID, State: pdu.StateExpired, Final: now})
	}
	if len(e.Unexpire) == 0 {
		return false, nil
	}
	if err := s.journal.Commit(ctx, &e); err != nil {
		return false, fmt.Errorf("report %d expired messages: %w", len(e.Unexpire), err)
	}
	s.log.Info("expired in their queues", "count", len(e.Unexpire), "reported", len(e.Publish))
	return len(expired) == s.cfg.Limit, nil
}
