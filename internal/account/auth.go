package account

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"hash"
	"net/http"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"jasmind/internal/admission"
	"jasmind/internal/smpp/pdu"
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
	Workers  int           // checks computed at a time, default one per core, at most maxWorkers
	Queue    int           // checks that wait for a worker, default 256

	Logins *admission.Logins // who may try a password; nil: its own, with the defaults
}

// maxWorkers is less than the failures that one address may have by default (admission.LoginConfig): an attempt counts as failed
// while it is computed, so more right passwords at a time would be refused.
const maxWorkers = 16

// Authenticator checks usernames and passwords. It is safe for concurrent use.
//
// A slow hash (argon2id) is never paid per message: a successful check is remembered in
// memory, as a keyed digest of the password and the user's version, for some minutes.
// Other checks wait for one of a few workers, in a bounded queue that is fair to addresses, so that a flood of wrong
// passwords takes neither the machine nor the turn of others. An unknown username costs what a wrong password costs.
// Who has failed too often (AuthConfig.Logins) is refused before anything is computed.
type Authenticator struct {
	cfg     AuthConfig
	dir     directory
	macs    sync.Pool // of *mac
	workers *turns

	mu     sync.RWMutex // guards known and flying
	known  map[sms.UserID]memo
	flying map[question]*flight
}

type digest = [sha256.Size]byte

// question is what is asked, and by whom.
type question struct {
	digest digest
	source netip.Addr
	of     *Password // of Verify: with what the password is compared
}

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
		cfg.Workers = min(runtime.GOMAXPROCS(0), maxWorkers)
	}
	if cfg.Queue <= 0 {
		cfg.Queue = 256
	}
	if cfg.Logins == nil {
		cfg.Logins = admission.NewLogins(admission.LoginConfig{})
	}
	key := make([]byte, sha256.Size)
	rand.Read(key) // never fails (crypto/rand)
	return &Authenticator{
		cfg: cfg, dir: dir,
		macs:    sync.Pool{New: func() any { return &mac{hash: hmac.New(sha256.New, key), buf: make([]byte, 0, 64)} }},
		workers: newTurns(cfg.Workers, cfg.Queue),
		known:   make(map[sms.UserID]memo),
		flying:  make(map[question]*flight),
	}
}

// Check gives the user behind a username and a password that came from an address.
//
// Errors: *sms.Error with ReasonAuthentication for an unknown user, a wrong password and a
// user or group that is disabled, which look the same, and, with a status of its own, for who has
// failed too often; with ReasonUnavailable when too many checks wait already, or ctx ended first.
func (a *Authenticator) Check(ctx context.Context, from netip.Addr, username, password string) (*User, error) {
	user, group := a.dir.Account(username)
	if user == nil { // who takes the same road, in vain
		user = &User{UID: sms.UserID("\x00" + username), Username: username, Password: decoy}
	}
	d := a.digest(user, password)
	if a.remembered(user.UID, d) && user.enabledIn(group) && a.cfg.Logins.Trusted(from, username) {
		return user, nil
	}
	if err := a.verify(ctx, from, user, group, password, d); err != nil {
		return nil, err
	}
	return user, nil
}

// verify has the password of a user computed, unless it was found right at another address a moment ago.
func (a *Authenticator) verify(ctx context.Context, from netip.Addr, u *User, g *Group, password string, d digest) error {
	var fresh *Password
	err := a.together(ctx, from, u.Username, question{digest: d}, func() bool {
		right := a.remembered(u.UID, d)
		if !right {
			right, fresh = u.Password.verify(password)
		}
		right = right && u.enabledIn(g)
		if right {
			a.remember(u.UID, memo{digest: d, expires: time.Now().Add(a.cfg.Remember)})
		}
		return right
	})
	if fresh != nil {
		a.dir.Upgrade(u, *fresh)
	}
	return err
}

// Verify compares a password with one that is no user's, such as that of the console, for a username that
// came from an address; nil stands for a password that nobody has. It has the limits and the errors of Check.
func (a *Authenticator) Verify(ctx context.Context, from netip.Addr, username string, p *Password, password string) error {
	if p == nil {
		p = &decoy
	}
	q := question{digest: a.digest(&User{UID: sms.UserID("\x00" + username)}, password), of: p}
	return a.together(ctx, from, username, q, func() bool {
		right, _ := p.verify(password)
		return right
	})
}

func (u *User) enabledIn(g *Group) bool { return u.Enabled && g != nil && g.Enabled }

// Forget drops everything remembered, so that the next check of each user is computed.
func (a *Authenticator) Forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.known)
}

func refused(username string) error {
	return &sms.Error{Reason: sms.ReasonAuthentication, Field: "username", Detail: "Authentication failure for username:" + username}
}

// tooMany is the answer to who has failed too often: another one than to a wrong password, since the right one is
// refused too.
func tooMany(err error) error {
	return &sms.Error{Reason: sms.ReasonAuthentication, Field: "username", Detail: "Too many failed authentications, try again later",
		Override: &sms.StatusPair{HTTP: http.StatusTooManyRequests, SMPP: pdu.StatusBindFail}, Err: err}
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

// together has judge answer a question of a username from an address, or waits for the answer to the same one: many clients
// that start at once with the same password are one attempt. The error says that the answer is no, or why there is none.
func (a *Authenticator) together(ctx context.Context, from netip.Addr, username string, q question, judge func() bool) error {
	q.source = admission.Source(from)
	for {
		a.mu.Lock()
		f := a.flying[q]
		mine := f == nil
		if mine {
			f = &flight{done: make(chan struct{})}
			a.flying[q] = f
		}
		a.mu.Unlock()
		if mine {
			a.fly(ctx, username, q, f, judge)
		} else {
			select {
			case <-f.done:
			case <-ctx.Done():
				return busy(context.Cause(ctx))
			}
		}
		switch {
		case f.err == nil && f.ok:
			return nil
		case f.err == nil:
			return refused(username)
		case mine:
			return f.err
		}
		// The one we waited for gave up: his context may have ended, ours has not.
	}
}

func (a *Authenticator) fly(ctx context.Context, username string, q question, f *flight, judge func() bool) {
	f.err = busy(nil) // what others see should the computation panic
	defer func() {
		a.mu.Lock()
		delete(a.flying, q)
		a.mu.Unlock()
		close(f.done)
	}()
	f.err = a.attempt(ctx, q.source, username, func() bool {
		f.ok = judge()
		return f.ok
	})
}

// remember keeps a successful check. When there is no room, it drops what has expired, or
// else anything: a check that is forgotten is only computed again.
func (a *Authenticator) remember(uid sms.UserID, m memo) {
	a.mu.Lock()
	defer a.mu.Unlock()
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

// attempt makes one attempt of a login on one of the workers' turns, if there may be one: judge tells whether it succeeds.
// Who waits for his turn has not tried yet; who hangs up later has.
func (a *Authenticator) attempt(ctx context.Context, from netip.Addr, username string, judge func() bool) error {
	if err := a.cfg.Logins.May(from, username); err != nil {
		return tooMany(err)
	}
	if err := a.workers.take(ctx, admission.Source(from)); err != nil {
		return busy(err)
	}
	defer a.workers.give()
	attempt, err := a.cfg.Logins.Begin(from, username)
	if err != nil {
		return tooMany(err)
	}
	if judge() {
		attempt.Succeeded()
	}
	return nil
}
