package admission

import (
	"fmt"
	"hash/maphash"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// LoginConfig holds the settings of Logins; zero means the default. Each number is how many wrong passwords may
// come at once, and how many in each minute after that.
type LoginConfig struct {
	PerName    int // login_failures_per_name: for one username from one address, default 5
	PerAddress int // login_failures_per_address: for all usernames from one address, default 30
	Everywhere int // login_failures_everywhere: for one username from all addresses, default 60
}

const (
	remembered   = 1 << 15        // addresses, usernames and pairs of the two, each
	friendship   = 24 * time.Hour // for which a login is remembered
	refusedGuess = 60             // attempts of a friend in a minute that are refused, until his right password is refused too
)

// bucket takes a number of failures at once, and the same number in each minute after. The zero bucket is full.
// (x/time/rate takes nothing back, which a login that succeeds needs.)
type bucket struct {
	full time.Time // when it is full again
}

func (b *bucket) has(now time.Time, perMinute int) bool { return b.wait(now, perMinute) <= 0 }

// wait is the time until it has one.
func (b *bucket) wait(now time.Time, perMinute int) time.Duration {
	return max(b.full.Sub(now), 0) - (time.Minute - time.Minute/time.Duration(perMinute))
}

func (b *bucket) take(now time.Time, perMinute int) {
	if b.full.Before(now) {
		b.full = now
	}
	b.full = b.full.Add(time.Minute / time.Duration(perMinute))
}

// takeIfAny takes one unless there is none, so that the bucket is never more than a minute from full.
func (b *bucket) takeIfAny(now time.Time, perMinute int) {
	if b.has(now, perMinute) {
		b.take(now, perMinute)
	}
}

func (b *bucket) give(perMinute int) { b.full = b.full.Add(-time.Minute / time.Duration(perMinute)) }

// friend is a username that logged in from an address. Nobody else's failures behind that address count against it.
type friend struct {
	until   time.Time
	failed  bucket
	refused bucket
}

// LoginStats are the counters of Logins. Fields may be read at any time.
type LoginStats struct {
	Attempts         atomic.Int64 `metric:"jasmind_login_attempts_total" help:"Passwords that were looked at, at all doors; one that is right is remembered for minutes."`
	Successes        atomic.Int64 `metric:"jasmind_login_successes_total" help:"Of them, those that were right."`
	RefusedByName    atomic.Int64 `metric:"jasmind_logins_refused_by_name_total" help:"Logins refused unseen because too many of their username had failed from their address."`
	RefusedByAddress atomic.Int64 `metric:"jasmind_logins_refused_by_address_total" help:"Logins refused unseen because too many had failed from their address."`
}

// Logins counts failed logins by address, by username and by the two together, and refuses attempts before a
// password is computed. One of them serves all doors. It is safe for concurrent use, and its memory is bounded.
//
// An attempt counts as failed from its begin; only one that succeeds is taken back. So hanging up gains nothing. Refused is who has failed too often from this address; another address can always try: a username that
// fails from everywhere costs strangers' addresses all but one attempt a minute each, and those from which it has
// logged in lately nothing.
type Logins struct {
	cfg  LoginConfig
	seed maphash.Seed

	Stats LoginStats

	mu        sync.Mutex                          // guards what follows
	friends   *simplelru.LRU[uint64, *friend]     // by pair
	pairs     *simplelru.LRU[uint64, *bucket]     // of strangers
	names     *simplelru.LRU[uint64, *bucket]     // of strangers, from everywhere
	addresses *simplelru.LRU[netip.Addr, *bucket] // by Source
}

// NewLogins makes Logins that have seen nobody.
func NewLogins(cfg LoginConfig) *Logins {
	for v, d := range map[*int]int{&cfg.PerName: 5, &cfg.PerAddress: 30, &cfg.Everywhere: 60} {
		if *v <= 0 {
			*v = d
		}
	}
	l := &Logins{cfg: cfg, seed: maphash.MakeSeed()}
	l.friends, _ = simplelru.NewLRU[uint64, *friend](remembered, nil) // the size is right
	l.pairs, _ = simplelru.NewLRU[uint64, *bucket](remembered, nil)
	l.names, _ = simplelru.NewLRU[uint64, *bucket](remembered, nil)
	l.addresses, _ = simplelru.NewLRU[netip.Addr, *bucket](remembered, nil)
	return l
}

// RefusedError says why and for how long an attempt is not looked at.
type RefusedError struct {
	By   string // "name" or "address"
	Wait time.Duration
}

// Error is for our log.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("too many failed logins by %s, the next is looked at in %s", e.By, e.Wait.Round(time.Second))
}

// Attempt is one login. It counts as failed unless Succeeded is called, once.
type Attempt struct {
	l      *Logins
	source netip.Addr
	pair   uint64
	name   uint64
	limit  int  // of the pair
	friend bool // it counts in friends only
	named  bool // it counts by name
}

// May tells whether an attempt could begin now, for who would have to wait for his turn first. Error: *RefusedError.
func (l *Logins) May(from netip.Addr, username string) error {
	_, err := l.begin(from, username, false)
	return err
}

// Begin is called when a password is about to be compared. Error: *RefusedError.
func (l *Logins) Begin(from netip.Addr, username string) (Attempt, error) {
	return l.begin(from, username, true)
}

func (l *Logins) begin(from netip.Addr, username string, counts bool) (Attempt, error) {
	now := time.Now()
	a := Attempt{l: l, source: Source(from), name: maphash.String(l.seed, username), limit: l.cfg.PerName}
	a.pair = l.pairOf(a.source, a.name)
	l.mu.Lock()
	defer l.mu.Unlock()
	if f := l.friend(a.pair, now); f != nil {
		if wait := f.failed.wait(now, a.limit); wait > 0 {
			f.refused.takeIfAny(now, refusedGuess)
			l.Stats.RefusedByName.Add(1)
			return Attempt{}, &RefusedError{By: "name", Wait: wait}
		}
		if a.friend = true; counts {
			f.failed.take(now, a.limit)
			l.Stats.Attempts.Add(1)
		}
		return a, nil
	}
	name, pair, address := bucketOf(l.names, a.name), bucketOf(l.pairs, a.pair), bucketOf(l.addresses, a.source)
	if a.named = name.has(now, l.cfg.Everywhere); !a.named {
		a.limit = 1
	}
	if wait := pair.wait(now, a.limit); wait > 0 {
		l.Stats.RefusedByName.Add(1)
		return Attempt{}, &RefusedError{By: "name", Wait: wait}
	}
	if wait := address.wait(now, l.cfg.PerAddress); wait > 0 {
		l.Stats.RefusedByAddress.Add(1)
		return Attempt{}, &RefusedError{By: "address", Wait: wait}
	}
	if !counts {
		return a, nil
	}
	pair.take(now, a.limit)
	l.pairs.Add(a.pair, pair)
	address.take(now, l.cfg.PerAddress)
	l.addresses.Add(a.source, address)
	if a.named {
		name.take(now, l.cfg.Everywhere)
		l.names.Add(a.name, name)
	}
	l.Stats.Attempts.Add(1)
	return a, nil
}

// Trusted tells whether a password that was right a moment ago may be taken for right again without an attempt: the
// username has logged in from this address, which does not try passwords at it. Everybody else begins an attempt, so
// that what is remembered of passwords answers no guesses.
func (l *Logins) Trusted(from netip.Addr, username string) bool {
	now := time.Now()
	pair := l.pairOf(Source(from), maphash.String(l.seed, username))
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.friend(pair, now)
	return f != nil && f.refused.has(now, refusedGuess)
}

// Succeeded takes the attempt back and remembers that the username logs in from this address.
func (a Attempt) Succeeded() {
	l, now := a.l, time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.Stats.Successes.Add(1)
	a.takeBack()
	if f := l.friend(a.pair, now); f != nil {
		f.until = now.Add(friendship)
		return
	}
	l.friends.Add(a.pair, &friend{until: now.Add(friendship)})
}

// takeBack is called with mu held.
func (a Attempt) takeBack() {
	if a.friend {
		if f, ok := a.l.friends.Peek(a.pair); ok {
			f.failed.give(a.limit)
		}
		return
	}
	if b, ok := a.l.pairs.Peek(a.pair); ok {
		b.give(a.limit)
	}
	if b, ok := a.l.addresses.Peek(a.source); ok {
		b.give(a.l.cfg.PerAddress)
	}
	if b, ok := a.l.names.Peek(a.name); ok && a.named {
		b.give(a.l.cfg.Everywhere)
	}
}

// friend is called with mu held.
func (l *Logins) friend(pair uint64, now time.Time) *friend {
	f, ok := l.friends.Get(pair)
	if !ok || now.After(f.until) {
		return nil
	}
	return f
}

func (l *Logins) pairOf(source netip.Addr, name uint64) uint64 {
	return maphash.Comparable(l.seed, struct {
		source netip.Addr
		name   uint64
	}{source, name})
}

// bucketOf gives the bucket of a key, a full one if there is none. A full one is not kept: only an attempt that counts
// puts its buckets into the tables, so that what is refused unseen displaces nothing from them.
func bucketOf[K comparable](t *simplelru.LRU[K, *bucket], key K) *bucket {
	if b, ok := t.Get(key); ok {
		return b
	}
	return &bucket{}
}
