package account

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"hash"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"jasmind/internal/sms"
)

// directory finds accounts.
type directory interface {
	// Account gives the user with a username and his group; nil if there is none. Both are
	// never changed afterwards.
	Account(username string) (*User, *Group)
	// Upgrade stores a newer hash of the same password, unless the user has changed. It
	// leaves the user's Version as it was.
	Upgrade(u *User, p Password)
}

// AuthConfig holds the settings of an Authenticator; zero means the default.
type AuthConfig struct {
	Remember time.Duration // how long a successful check is remembered, default 5 min
	Size     int           // how many of them, default 100000
	Workers  int           // checks computed at a time, default one per core
	Queue    int           // checks that wait for a worker, default 256
}

// Authenticator checks usernames and passwords. It is safe for concurrent use.
//
// A slow hash (argon2id) is never paid per message: a successful check is remembered in
// memory, as a keyed digest of the password and the user's version, for some minutes.
// Other checks wait for one of a few workers, in a bounded queue, so that a flood of wrong
// passwords cannot take the machine. An unknown username costs what a wrong password costs.
type Authenticator struct {
	cfg     AuthConfig
	dir     directory
	macs    sync.Pool     // of *mac
	workers chan struct{} // a token for each running computation
	waiting atomic.Int64

	mu     sync.RWMutex // guards known and flying
	known  map[sms.UserID]memo
	flying map[digest]*flight
}

type digest = [sha256.Size]byte

// memo remembers the last successful check of a user.
type memo struct {
	digest  digest
	expires time.Time
}

// flight is a check that is being computed; who asks for the same meanwhile waits for it.
type flight struct {
	done chan struct{}
	ok   bool
	err  error // no answer was found
}

type mac struct {
	hash hash.Hash
	buf  []byte
	sum  digest
}

// NewAuthenticator makes an Authenticator over the accounts of dir.
func NewAuthenticator(cfg AuthConfig, dir directory) *Authenticator {
	if cfg.Remember <= 0 {
		cfg.Remember = 5 * time.Minute
	}
	if cfg.Size <= 0 {
		cfg.Size = 100_000
	}
	if cfg.Workers <= 0 {
		cfg.Workers = runtime.GOMAXPROCS(0)
	}
	if cfg.Queue <= 0 {
		cfg.Queue = 256
	}
	key := make([]byte, sha256.Size)
	rand.Read(key) // never fails (crypto/rand)
	return &Authenticator{
		cfg: cfg, dir: dir,
		macs:    sync.Pool{New: func() any { return &mac{hash: hmac.New(sha256.New, key), buf: make([]byte, 0, 64)} }},
		workers: make(chan struct{}, cfg.Workers),
		known:   make(map[sms.UserID]memo),
		flying:  make(map[digest]*flight),
	}
}

// Check gives the user behind a username and a password.
//
// Errors: *sms.Error with ReasonAuthentication for an unknown user, a wrong password and a
// user or group that is disabled, which look the same; with ReasonUnavailable when too
// many checks wait already, or ctx ended first.
func (a *Authenticator) Check(ctx context.Context, username, password string) (*User, error) {
	user, group := a.dir.Account(username)
	if user == nil {
		if err := a.compute(ctx, func() { decoy.verify(password) }); err != nil {
			return nil, err
		}
		return nil, refused(username)
	}
	d := a.digest(user, password)
	ok := a.remembered(user.UID, d)
	if !ok {
		var err error
		if ok, err = a.verify(ctx, user, password, d); err != nil {
			return nil, err
		}
	}
	if !ok || !user.Enabled || group == nil || !group.Enabled {
		return nil, refused(username)
	}
	return user, nil
}

// Known gives the user behind a username and a password if Check would not have to compute
// anything: the same password was found right a moment ago. Nil tells nothing.
func (a *Authenticator) Known(username, password string) *User {
	user, group := a.dir.Account(username)
	if user == nil || !user.Enabled || group == nil || !group.Enabled || !a.remembered(user.UID, a.digest(user, password)) {
		return nil
	}
	return user
}

// Forget drops everything remembered, so that the next check of each user is computed.
func (a *Authenticator) Forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.known)
}

func refused(username string) error {
	return &sms.Error{Reason: sms.ReasonAuthentication, Field: "username", Detail: "Authentication failure for username:" + username}
}

func busy(err error) error {
	return &sms.Error{Reason: sms.ReasonUnavailable, Detail: "too many authentications are waiting, try again later", Err: err}
}

// digest is the keyed digest of the user's version and a password.
func (a *Authenticator) digest(u *User, password string) digest {
	m := a.macs.Get().(*mac)
	m.hash.Reset()
	m.buf = binary.BigEndian.AppendUint64(m.buf[:0], u.Version)
	m.buf = append(m.buf, u.UID...)
	m.buf = append(m.buf, 0)
	m.buf = append(m.buf, password[:min(len(password), MaxPassword+1)]...)
	m.hash.Write(m.buf)
	clear(m.buf)
	m.hash.Sum(m.sum[:0])
	sum := m.sum
	a.macs.Put(m)
	return sum
}

func (a *Authenticator) remembered(uid sms.UserID, d digest) bool {
	a.mu.RLock()
	m, ok := a.known[uid]
	a.mu.RUnlock()
	return ok && subtle.ConstantTimeCompare(m.digest[:], d[:]) == 1 && time.Now().Before(m.expires)
}

// verify computes a check, or waits for one who computes the same.
func (a *Authenticator) verify(ctx context.Context, u *User, password string, d digest) (bool, error) {
	for {
		a.mu.Lock()
		f := a.flying[d]
		mine := f == nil
		if mine {
			f = &flight{done: make(chan struct{})}
			a.flying[d] = f
		}
		a.mu.Unlock()
		if mine {
			a.fly(ctx, f, u, password, d)
			return f.ok, f.err
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return false, busy(context.Cause(ctx))
		}
		if f.err == nil {
			return f.ok, nil
		}
		// The one we waited for gave up: his context may have ended, ours has not.
	}
}

func (a *Authenticator) fly(ctx context.Context, f *flight, u *User, password string, d digest) {
	var fresh *Password
	f.err = busy(nil) // what others see should the computation panic
	defer func() {
		a.mu.Lock()
		delete(a.flying, d)
		if f.err == nil && f.ok {
			a.remember(u.UID, memo{digest: d, expires: time.Now().Add(a.cfg.Remember)})
		}
		a.mu.Unlock()
		close(f.done)
	}()
	err := a.compute(ctx, func() { f.ok, fresh = u.Password.verify(password) })
	f.err = err
	if err == nil && fresh != nil {
		a.dir.Upgrade(u, *fresh)
	}
}

// remember is called with mu held. When there is no room, it drops what has expired, or
// else anything: a check that is forgotten is only computed again.
func (a *Authenticator) remember(uid sms.UserID, m memo) {
	if _, ok := a.known[uid]; !ok && len(a.known) >= a.cfg.Size {
		now := time.Now()
		for k, v := range a.known {
			if now.After(v.expires) {
				delete(a.known, k)
			}
		}
		for k := range a.known {
			if len(a.known) <= a.cfg.Size-a.cfg.Size/8-1 {
				break
			}
			delete(a.known, k)
		}
	}
	a.known[uid] = m
}

// compute runs f on one of the workers' turns.
func (a *Authenticator) compute(ctx context.Context, f func()) error {
	select {
	case a.workers <- struct{}{}:
	default:
		if a.waiting.Add(1) > int64(a.cfg.Queue) {
			a.waiting.Add(-1)
			return busy(nil)
		}
		defer a.waiting.Add(-1)
		select {
		case a.workers <- struct{}{}:
		case <-ctx.Done():
			return busy(context.Cause(ctx))
		}
	}
	defer func() { <-a.workers }()
	f()
	return nil
}
