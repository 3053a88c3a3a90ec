package connector

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"jasmind/internal/smpp/pdu"
)

// pace is how fast a connector sends over all its binds: as submit_throughput says, slower while its SMSC tells
// that it is congested, and not at all for a while after ESME_RTHROTTLED.
type pace struct {
	*settings
	log      *slog.Logger
	brake    brake
	governor governor
	limiter  *rate.Limiter
	mu       sync.Mutex // held while the limiter is set
}

func newPace(s *settings, log *slog.Logger) *pace {
	limit, burst := throughput(s.cfg.Load().SubmitThroughput)
	return &pace{settings: s, log: log, limiter: rate.NewLimiter(limit, burst)}
}

// wait waits until one more part may be sent, and gives what it is sent under; false when ctx ends or stop is closed.
func (p *pace) wait(ctx context.Context, stop <-chan struct{}) (generation uint64, ok bool) {
	ok = p.brake.wait(ctx, stop) && takeToken(ctx, stop, p.limiter)
	return p.brake.generation(), ok
}

// answered notes the answer to a part sent under generation; state is the SMSC's congestion_state, -1 without one.
func (p *pace) answered(generation uint64, status pdu.Status, state int) {
	p.follow(state)
	switch status {
	case pdu.StatusOK:
		p.brake.accepted(generation)
	case pdu.StatusThrottled:
		if d := p.brake.throttled(generation, p.retrialDelay(status)); d > 0 {
			p.log.Warn("throttled, sending pauses", "status", status.String(), "dur", d)
		}
	}
}

// follow makes the rate follow the congestion_state of a response.
func (p *pace) follow(state int) {
	limit, changed := p.governor.answered(time.Now(), state, p.cfg.Load().SubmitThroughput)
	if !changed {
		return
	}
	p.apply()
	if limit == 0 {
		p.log.Info("congestion is over, sending as configured")
		return
	}
	p.log.Warn("sending slower for congestion_state", "congestion_state", state, "messages_per_second", limit)
}

// apply sets the limiter to the lower one of submit_throughput and what the SMSC's congestion allows.
func (p *pace) apply() {
	p.mu.Lock()
	defer p.mu.Unlock()
	perSecond := p.cfg.Load().SubmitThroughput
	if limit := p.governor.current(); limit > 0 && (perSecond <= 0 || limit < perSecond) {
		perSecond = limit
	}
	limit, burst := throughput(perSecond)
	p.limiter.SetBurst(burst)
	p.limiter.SetLimit(limit)
}

// takeToken waits for the connector's throughput to allow one more part.
func takeToken(ctx context.Context, stop <-chan struct{}, l *rate.Limiter) bool {
	if l.Allow() {
		return true
	}
	r := l.Reserve()
	d := r.Delay()
	if d == 0 {
		return true
	}
	if !sleep(ctx, stop, d) {
		r.Cancel()
		return false
	}
	return true
}

// throughput turns submit_throughput into the limit and burst of a token bucket.
func throughput(perSecond float64) (rate.Limit, int) {
	if perSecond <= 0 {
		return rate.Inf, 1
	}
	return rate.Limit(perSecond), max(1, int(perSecond/10))
}
