package mt

import (
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"jasmind/internal/account"
	"jasmind/internal/sms"
)

// throughput keeps each user under the messages per second that his quota allows, by door:
// a token bucket with room for one second's messages. It outlives changes of the
// configuration, so that a new limit does not give a user a full bucket.
//
// Jasmin: what comes closer than 1/rate after the last message is refused, so that a
// sender on the exact rate is refused at random; a quota of 0 is no limit.
type throughput struct {
	buckets sync.Map // bucketKey to *rate.Limiter
}

type bucketKey struct {
	uid    sms.UserID
	origin sms.Origin
}

// allow takes a token; without one the message is refused.
func (t *throughput) allow(u *account.User, origin sms.Origin) error {
	if u == nil {
		return nil
	}
	quota := u.Throughput(origin)
	if !quota.Set || quota.Value <= 0 {
		return nil
	}
	limit := rate.Limit(quota.Value)
	burst := max(1, int(math.Ceil(quota.Value)))
	key := bucketKey{u.UID, origin}
	v, ok := t.buckets.Load(key)
	if !ok {
		v, _ = t.buckets.LoadOrStore(key, rate.NewLimiter(limit, burst))
	}
	l := v.(*rate.Limiter)
	now := time.Now()
	if l.Limit() != limit {
		l.SetLimitAt(now, limit)
		l.SetBurstAt(now, burst)
	}
	if !l.AllowN(now, 1) {
		return &sms.Error{Reason: sms.ReasonThrottled}
	}
	return nil
}

// forget drops the buckets of a user.
func (t *throughput) forget(uid sms.UserID) {
	t.buckets.Delete(bucketKey{uid, sms.OriginHTTP})
	t.buckets.Delete(bucketKey{uid, sms.OriginSMPP})
}
