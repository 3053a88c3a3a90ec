package httpapi

import (
	"sync"
	"sync/atomic"
	"time"

	"jasmind/internal/sms"
)

// UserStats are the counters of one user. Fields may be read at any time; moments are
// milliseconds since the epoch, 0: never. The names are those of the console's stats --user.
type UserStats struct {
	Connects        atomic.Int64 // connects_count: authenticated requests
	SubmitRequests  atomic.Int64 // submit_sm_request_count
	RateRequests    atomic.Int64 // rate_request_count
	BalanceRequests atomic.Int64 // balance_request_count
	LastActivityAt  atomic.Int64 // last_activity_at
	LastSubmitAt    atomic.Int64 // qos_last_submit_sm_at: of the last message that was accepted
}

// users holds the counters of those who were here. It grows with the users that exist, since
// only authenticated ones get in.
type users struct{ byUID sync.Map }

// User gives the counters of a user; nil if he was never here.
func (s *Server) User(uid sms.UserID) *UserStats {
	if v, ok := s.users.byUID.Load(uid); ok {
		return v.(*UserStats)
	}
	return nil
}

// seen counts an authenticated request and gives the counters for the rest.
func (u *users) seen(uid sms.UserID) *UserStats {
	v, ok := u.byUID.Load(uid)
	if !ok {
		v, _ = u.byUID.LoadOrStore(uid, &UserStats{})
	}
	st := v.(*UserStats)
	st.Connects.Add(1)
	st.LastActivityAt.Store(time.Now().UnixMilli())
	return st
}
