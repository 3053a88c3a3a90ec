package mt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"jasmind/internal/billing"
	"jasmind/internal/provision"
	"jasmind/internal/queue"
	"jasmind/internal/sms"
)

const (
	ledgerWait  = 5 * time.Second // for one question to the ledger or one change of it
	settleWait  = time.Second     // that Settle, and Run at its end, wait for the ledger
	forgetAgain = 2 * time.Second
	lapseEvery  = 5 * time.Second
	lapseBatch  = 1000
)

// AccountsDeps are what Accounts work with. Removed and Lapse may be nil.
type AccountsDeps struct {
	Store  *provision.Store
	Ledger billing.Ledger
	// Lapse gives back charges that did not become final in time; nil: there are none such.
	Lapse func(ctx context.Context, limit int) (int, error)
	// Removed is told of users who are removed. It must not block.
	Removed func(sms.UserID)
	Log     *slog.Logger
}

// Accounts have the ledger follow the configuration: it forgets users and quotas that the configuration has no more, so
// that who is added again begins with his opening values; it takes what an operator adds to quotas; and it gets
// back charges whose message never came to its queue.
//
// Nothing waits for the ledger under the lock of the configuration: a ledger that is slow or away delays only
// those who change the same user's quotas. What could not be forgotten is forgotten when the ledger is back.
type Accounts struct {
	AccountsDeps
	unfollow func()
	wake     chan struct{} // cap 1: something is due

	mu   sync.Mutex // guards what follows; never held over I/O
	due  map[sms.UserID]billing.Quotas
	held map[sms.UserID]struct{} // users of whose quotas the ledger is being told
	// freed is closed and replaced when a user is held no more.
	freed chan struct{}
}

// NewAccounts makes Accounts, which follow the store from now on; Run does the work.
func NewAccounts(d AccountsDeps) *Accounts {
	a := &Accounts{AccountsDeps: d, wake: make(chan struct{}, 1), due: make(map[sms.UserID]billing.Quotas),
		held: make(map[sms.UserID]struct{}), freed: make(chan struct{})}
	a.unfollow = d.Store.Subscribe(a.follow)
	return a
}

// Run forgets what is due and gives back overdue charges until ctx ends. At the end the ledger is told for a moment more
// what it is to forget. Run always returns nil.
func (a *Accounts) Run(ctx context.Context) error {
	defer a.unfollow()
	var beside sync.WaitGroup
	beside.Go(func() { a.reconcile(ctx) })
	if a.Lapse != nil {
		beside.Go(func() { a.lapse(ctx) })
	}
	var again <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleWait)
			defer cancel()
			a.forgetAll(last)
			beside.Wait()
			return nil
		case <-a.wake:
		case <-again:
		}
		if again = nil; !a.forgetAll(ctx) {
			again = time.After(forgetAgain)
		}
	}
}

// follow notes what the ledger is to forget because of a change of the configuration.
func (a *Accounts) follow(old, fresh *provision.Snapshot) {
	for _, was := range old.Users() {
		is := fresh.User(was.UID)
		if is == was {
			continue
		}
		var which billing.Quotas
		if is == nil {
			if a.Removed != nil {
				a.Removed(was.UID)
			}
			which = billing.QuotaBalance | billing.QuotaCount
		} else {
			before, now := was.Credit(), is.Credit()
			if before.HasBalance && !now.HasBalance {
				which |= billing.QuotaBalance
			}
			if before.HasCount && !now.HasCount {
				which |= billing.QuotaCount
			}
		}
		if which != 0 {
			a.owe(was.UID, which)
		}
	}
}

// owe notes what the ledger is to forget, and has Run tell it.
func (a *Accounts) owe(uid sms.UserID, which billing.Quotas) {
	a.note(uid, which)
	a.poke()
}

func (a *Accounts) note(uid sms.UserID, which billing.Quotas) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.due[uid] |= which
}

func (a *Accounts) poke() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// forgetAll tells the ledger of everything that is due; ok is false if it is to be tried again.
func (a *Accounts) forgetAll(ctx context.Context) (ok bool) {
	a.mu.Lock()
	uids := make([]sms.UserID, 0, len(a.due))
	for uid := range a.due {
		uids = append(uids, uid)
	}
	a.mu.Unlock()
	for _, uid := range uids {
		err := a.holding(ctx, uid, func(context.Context) error { return nil })
		if err != nil {
			a.Log.Error("an account will be forgotten later", "uid", string(uid), "err", err)
			return false
		}
	}
	return true
}

// holding calls f with what the ledger is told of a user's quotas in its hands alone, once the ledger has forgotten what
// is due of him. It waits for the ledger a bounded time.
func (a *Accounts) holding(ctx context.Context, uid sms.UserID, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, ledgerWait, errSlow)
	defer cancel()
	for {
		a.mu.Lock()
		if _, busy := a.held[uid]; !busy {
			break
		}
		freed := a.freed
		a.mu.Unlock()
		select {
		case <-freed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	a.held[uid] = struct{}{}
	which := a.due[uid]
	delete(a.due, uid)
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.held, uid)
		close(a.freed)
		a.freed = make(chan struct{})
	}()
	if which != 0 {
		if err := a.Ledger.Set(ctx, uid, which, billing.Credit{}); err != nil {
			a.note(uid, which) // without waking Run, which tries again after a pause
			return because(ctx, err)
		}
	}
	return f(ctx)
}

var errSlow = fmt.Errorf("the ledger did not answer within %s: %w", ledgerWait, queue.ErrUnavailable)

// because is why something failed whose time was over: the cause rather than that it was over.
func because(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// Settle waits, for a moment, until the ledger has forgotten what is due: of some users, or of all.
func (a *Accounts) Settle(ctx context.Context, uids ...sms.UserID) {
	ctx, cancel := context.WithTimeout(ctx, settleWait)
	defer cancel()
	for {
		a.mu.Lock()
		open := len(uids) == 0 && len(a.due)+len(a.held) > 0
		for _, uid := range uids {
			_, held := a.held[uid]
			open = open || held || a.due[uid] != 0
		}
		freed := a.freed
		a.mu.Unlock()
		if !open {
			return
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return
		}
	}
}

// Left tells what is left of a user's quotas; known is false when there is no such user, or the ledger does not tell.
func (a *Accounts) Left(ctx context.Context, uid sms.UserID) (left billing.Credit, known bool) {
	u := a.Store.Snapshot().User(uid)
	if u == nil {
		return left, false
	}
	open := u.Credit()
	ctx, cancel := context.WithTimeoutCause(ctx, ledgerWait, errSlow)
	defer cancel()
	c, err := a.Ledger.Credit(ctx, uid, open)
	if err != nil {
		a.Log.Error("the ledger does not tell what is left", "uid", string(uid), "err", because(ctx, err))
		return left, false
	}
	left = billing.Credit{HasBalance: open.HasBalance, HasCount: open.HasCount}
	if left.HasBalance {
		left.Balance = c.Balance
	}
	if left.HasCount {
		left.Count = c.Count
	}
	return left, true
}

// QuotaChange is what an operator does to one quota of a user.
type QuotaChange struct {
	Quota billing.Quotas // one: QuotaBalance or QuotaCount
	// Add is the name of an addition: a repeat with the same adds nothing. "": the quota gets a new value.
	Add billing.BillID
	// Unlimited is a new value too.
	Unlimited bool
	// Value is the new value or what is added: millionths of a balance, or messages.
	Value int64
}

// Change makes a change of the configuration that changes the quotas of one user as well. When it returns nil, both are
// durable. Errors of the configuration change nothing. When the ledger does not answer, the quotas may have changed
// and the configuration has not: a repeat of the call with the same changes makes them once.
//
// The ledger is told before the configuration is published. Otherwise a message that comes in between would open an account with
// an opening value that has the addition already, to which it would then be added again.
func (a *Accounts) Change(ctx context.Context, uid sms.UserID, changes []QuotaChange, f func(*provision.Draft) error) error {
	if len(changes) == 0 {
		return a.Store.Apply(f)
	}
	if err := a.Store.Check(f); err != nil {
		return err
	}
	defer a.poke() // it may have failed to forget what is due
	return a.holding(ctx, uid, func(ctx context.Context) error {
		var open billing.Credit
		if u := a.Store.Snapshot().User(uid); u != nil {
			open = u.Credit()
		}
		if err := a.tell(ctx, uid, open, changes); err != nil {
			err = because(ctx, err)
			if errors.Is(err, queue.ErrUnavailable) {
				return fmt.Errorf("quotas: %w; whether they have changed is not known, but the same again changes them once", err)
			}
			return fmt.Errorf("quotas: %w", err)
		}
		if err := a.Store.Apply(f); err != nil {
			return fmt.Errorf("the quotas have changed, but not the configuration: %w", err)
		}
		return nil
	})
}

// tell has the ledger make changes of quotas of which open has the values so far.
func (a *Accounts) tell(ctx context.Context, uid sms.UserID, open billing.Credit, changes []QuotaChange) error {
	var which billing.Quotas
	var values billing.Credit
	var additions []billing.Change
	for _, quota := range []struct {
		which billing.Quotas
		has   bool
	}{{billing.QuotaBalance, open.HasBalance}, {billing.QuotaCount, open.HasCount}} {
		set, limited, value := false, quota.has, int64(0)
		var added []billing.Change
		for _, ch := range changes {
			switch {
			case ch.Quota != quota.which:
			case ch.Add != "" && limited && !set:
				c := billing.Change{Bill: ch.Add, Open: open}
				c.Balance, c.Count = split(quota.which, ch.Value)
				added = append(added, c)
			case ch.Add != "" && limited: // to the value that is set here
				sum, ok := billing.Amount(value).Add(billing.Amount(ch.Value))
				if !ok {
					return billing.ErrOverflow
				}
				value = int64(sum)
			default: // a value, or the first of an unlimited quota (Jasmin)
				set, limited, value, added = true, !ch.Unlimited, ch.Value, nil
			}
		}
		additions = append(additions, added...)
		if set {
			which |= quota.which
			balance, count := split(quota.which, value)
			values.HasBalance = values.HasBalance || limited && quota.which == billing.QuotaBalance
			values.HasCount = values.HasCount || limited && quota.which == billing.QuotaCount
			values.Balance, values.Count = values.Balance+balance, values.Count+count
		}
	}
	for _, c := range additions { // first: they open quotas, which may become unlimited
		if _, err := a.Ledger.Adjust(ctx, uid, c); err != nil {
			return err
		}
	}
	if which == 0 {
		return nil
	}
	return a.Ledger.Set(ctx, uid, which, values)
}

// split puts a value where it belongs.
func split(which billing.Quotas, value int64) (balance billing.Amount, count int64) {
	if which == billing.QuotaBalance {
		return billing.Amount(value), 0
	}
	return 0, value
}

// orphans is how many accounts without a user are named at start.
const orphans = 20

// reconcile names, at start, what the ledger knows of users and quotas that the configuration has
// no more. It is kept: a start with a part of the configuration, such as a forgotten
// --provision, or beside another gateway on the same Redis, must not cost anybody his balance.
func (a *Accounts) reconcile(ctx context.Context) {
	snap := a.Store.Snapshot()
	found := 0
	err := a.Ledger.Accounts(ctx, func(uid sms.UserID, left billing.Credit) error {
		var open billing.Credit
		if u := snap.User(uid); u != nil {
			open = u.Credit()
		}
		if (!left.HasBalance || open.HasBalance) && (!left.HasCount || open.HasCount) {
			return nil
		}
		if found++; found <= orphans {
			a.Log.Warn("the ledger keeps quotas that the configuration does not have", "uid", string(uid), "balance", left.Balance.String(), "sms_count", left.Count)
		}
		return nil
	})
	if err != nil && ctx.Err() == nil {
		a.Log.Error("accounts without a user were not looked for", "err", err)
	}
	if found > orphans {
		a.Log.Warn("the ledger keeps more quotas that the configuration does not have", "unlogged", found-orphans)
	}
}

// lapse gives back overdue reservations until ctx ends.
func (a *Accounts) lapse(ctx context.Context) {
	t := time.NewTicker(lapseEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		for n := lapseBatch; n == lapseBatch; {
			var err error
			if n, err = a.Lapse(ctx, lapseBatch); err != nil && ctx.Err() == nil {
				a.Log.Error("overdue charges will be looked for again", "in", lapseEvery, "err", err)
			} else if n > 0 {
				a.Log.Warn("charges given back whose messages were not known to be queued", "count", n)
			}
		}
	}
}
