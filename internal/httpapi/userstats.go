package httpapi

import (
	"sync"
	"sync/atomic"
	"time"

	"jasmind/internal/metrics"
	"jasmind/internal/sms"
)

// UserStats are the counters of one user, in the order in which the console shows them. Fields may be read at any time.
type UserStats struct {
	Connects        atomic.Int64   `console:"connects_count"` // authenticated requests
	LastActivityAt  metrics.Moment `console:"last_activity_at"`
	RateRequests    atomic.Int64   `console:"rate_request_count"`
	SubmitRequests  atomic.Int64   `console:"submit_sm_request_count"`
	LastSubmitAt    metrics.Moment `console:"qos_last_submit_sm_at"` // of the last message that was accepted
	BalanceRequests atomic.Int64   `console:"balance_request_count"`
}

// users holds the counters of those who were here. It grows with the users that exist, since
// only authenticated ones get in.
type users struct{ byUID sync.Map }

// UserCounters gives the counters of a user.
func (s *Server) UserCounters(uid sms.UserID) []metrics.Item {
	if v, ok := s.users.byUID.Load(uid); ok {
		return metrics.Items(v)
	}
	return metrics.Items(new(UserStats))
}

// seen counts an authenticated request and gives the counters for the rest.
func (u *users) seen(uid sms.UserID) *UserStats {
	v, ok := u.byUID.Load(uid)
	if !ok {
		v, _ = u.byUID.LoadOrStore(uid, &UserStats{})
	}
	st := v.(*UserStats)
	st.Connects.Add(1)
	st.LastActivityAt.Set(time.Now())
	return st
}
