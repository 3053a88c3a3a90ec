package httpapi

import (
	"context"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"jasmind/internal/account"
	"jasmind/internal/sms"
)

// How failed authentications are slowed. The first few of an address are free, since people
// mistype; after them each answer comes later than the one before.
const (
	freeFailures = 3
	firstDelay   = 250 * time.Millisecond // after the free ones, then twice as long each time
	longestDelay = 8 * time.Second        // from one answer to the next
	longestWait  = 16 * time.Second       // of one request behind others
	forgetAfter  = 10 * time.Minute       // without a failure
	maxSuspects  = 10_000                 // addresses remembered
	maxChecks    = 4                      // passwords of one failing address that are computed at a time
	maxWaiting   = 100                    // requests of one failing address that wait at a time
)

// guard slows down those who try passwords. Only answers to wrong passwords are held back, and only
// for the address that they go to: a right one is answered at once, behind the same address too.
//
// Answers of one address go out one after the other, so that many connections gain nothing; an
// IPv6 address is its /64. The table is bounded: when it is full the address that failed longest
// ago, of a few, is forgotten.
type guard struct {
	mu       sync.Mutex // guards what follows
	suspects map[netip.Addr]*suspect
}

type suspect struct {
	failures int
	last     time.Time // failure
	next     time.Time // when the next wrong answer may go
	waiting  int
	checks   chan struct{} // a token for each computation
}

// suspectOf is the address whose failures count together.
func suspectOf(a netip.Addr) netip.Addr {
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}

// enter is called before a password is computed. It costs nothing while an address has not
// failed often; then it takes one of a few turns, so that a flood of wrong passwords leaves the
// workers to others. It fails when too many wait already. leave must be called if it does not.
func (g *guard) enter(ctx context.Context, from netip.Addr) (leave func(), err error) {
	g.mu.Lock()
	s := g.suspects[from]
	if s == nil || s.failures <= freeFailures {
		g.mu.Unlock()
		return func() {}, nil
	}
	if s.waiting >= maxWaiting {
		g.mu.Unlock()
		return nil, &sms.Error{Reason: sms.ReasonAuthentication, Detail: "Too many failed authentications, try again later",
			Override: &sms.StatusPair{HTTP: http.StatusTooManyRequests}}
	}
	s.waiting++
	g.mu.Unlock()
	out := func() {
		g.mu.Lock()
		s.waiting--
		g.mu.Unlock()
	}
	select {
	case s.checks <- struct{}{}:
		return func() { <-s.checks; out() }, nil
	case <-ctx.Done():
		out()
		return nil, &sms.Error{Reason: sms.ReasonUnavailable, Detail: "too many authentications are waiting, try again later", Err: context.Cause(ctx)}
	}
}

// failed notes a wrong password and says how long its answer is to wait.
func (g *guard) failed(from netip.Addr) time.Duration {
	now := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.suspects[from]
	if s == nil {
		g.makeRoom()
		s = &suspect{checks: make(chan struct{}, maxChecks)}
		if g.suspects == nil {
			g.suspects = make(map[netip.Addr]*suspect)
		}
		g.suspects[from] = s
	}
	if now.Sub(s.last) > forgetAfter {
		s.failures = 0
	}
	s.failures++
	s.last = now
	if s.failures <= freeFailures {
		return 0
	}
	step := min(firstDelay<<min(s.failures-freeFailures-1, 10), longestDelay)
	if s.next.Before(now) {
		s.next = now
	}
	s.next = s.next.Add(step)
	if wait := s.next.Sub(now); wait < longestWait {
		return wait
	}
	s.next = now.Add(longestWait)
	return longestWait
}

// makeRoom is called with mu held. It looks at a few entries only: whose turn it is, is chance.
func (g *guard) makeRoom() {
	if len(g.suspects) < maxSuspects {
		return
	}
	var oldest netip.Addr
	var last time.Time
	seen := 0
	for a, s := range g.suspects {
		if seen == 0 || s.last.Before(last) {
			oldest, last = a, s.last
		}
		if seen++; seen == 16 {
			break
		}
	}
	delete(g.suspects, oldest)
}

// check authenticates the sender of a request. A wrong password is answered later the more of
// them came from his address; what was right a moment ago is not looked at again.
func (s *Server) check(ctx context.Context, r *http.Request, username, password string) (*account.User, error) {
	if user := s.auth.Known(username, password); user != nil {
		return user, nil
	}
	from := suspectOf(address(r.RemoteAddr))
	leave, err := s.guard.enter(ctx, from)
	if err != nil {
		return nil, err
	}
	user, err := s.auth.Check(ctx, username, password)
	leave()
	if err == nil || sms.ReasonOf(err) != sms.ReasonAuthentication {
		return user, err
	}
	if wait := s.guard.failed(from); wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		select {
		case <-t.C:
		case <-r.Context().Done(): // he is gone
		case <-s.closing:
		}
	}
	return nil, err
}
