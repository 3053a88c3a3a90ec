package gateway

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"

	"jasmind/internal/account"
	"jasmind/internal/billing"
	"jasmind/internal/jcli"
	"jasmind/internal/mt"
	"jasmind/internal/provision"
	"jasmind/internal/sms"
)

const (
	lapseEvery  = 5 * time.Second
	lapseBatch  = 1000
	ledgerWait  = 5 * time.Second // for a question or change of the console
	forgetWait  = time.Second     // that a change of the configuration waits for the ledger
	forgetAgain = 5 * time.Second
)

// startBilling charges what becomes due later, gives back reservations whose message never
// came to its queue, and has the ledger follow the configuration.
func (g *Gateway) startBilling(ctx context.Context) {
	g.bills = mt.NewBills(g.backend.broker, g.backend.journal, g.logs.router)
	g.run("bills", g.bills.Run)
	if g.backend.lapse != nil {
		g.run("lapsed charges", g.lapse)
	}
	k := &keeper{g: g, wake: make(chan struct{}, 1)}
	k.reconcile(ctx)
	g.run("forgotten accounts", k.run)
	g.unkeep = g.state.Subscribe(k.follow)
}

// lapse gives back overdue reservations until ctx ends.
func (g *Gateway) lapse(ctx context.Context) error {
	t := time.NewTicker(lapseEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		for n := lapseBatch; n == lapseBatch; {
			var err error
			if n, err = g.backend.lapse(ctx, lapseBatch); err != nil && ctx.Err() == nil {
				g.logs.router.Error("overdue charges will be looked for again", "in", lapseEvery, "err", err)
			} else if n > 0 {
				g.logs.router.Warn("charges given back whose messages were not known to be queued", "count", n)
			}
		}
	}
}

// keeper has the ledger forget users and quotas that the configuration has no more, so that
// who is added again begins with his opening values.
type keeper struct {
	g    *Gateway
	wake chan struct{} // cap 1

	mu   sync.Mutex // guards left
	left []dropped
}

// dropped is a quota that the ledger is to forget.
type dropped struct {
	uid   sms.UserID
	which billing.Quotas
}

// orphans is how many accounts without a user are named at start.
const orphans = 20

// reconcile names, at start, what the ledger knows of users and quotas that the configuration has
// no more. It is kept: a start with a part of the configuration, such as a forgotten
// --provision, or beside another gateway on the same Redis, must not cost anybody his balance.
func (k *keeper) reconcile(ctx context.Context) {
	snap := k.g.state.Snapshot()
	log := k.g.logs.router
	found := 0
	err := k.g.backend.ledger.Accounts(ctx, func(uid sms.UserID, left billing.Credit) error {
		var open billing.Credit
		if u := snap.User(uid); u != nil {
			open = u.Credit()
		}
		if (!left.HasBalance || open.HasBalance) && (!left.HasCount || open.HasCount) {
			return nil
		}
		if found++; found <= orphans {
			log.Warn("the ledger keeps quotas that the configuration does not have", "uid", string(uid), "balance", left.Balance.String(), "sms_count", left.Count)
		}
		return nil
	})
	if err != nil {
		log.Error("accounts without a user were not looked for", "err", err)
	}
	if found > orphans {
		log.Warn("the ledger keeps more quotas that the configuration does not have", "unlogged", found-orphans)
	}
}

// follow is told of each change, and waits for the ledger a moment: a user who is added
// right after shall find nothing of the old one. A ledger that is away is told later.
func (k *keeper) follow(old, fresh *provision.Snapshot) {
	var due []dropped
	for _, was := range old.Users() {
		is := fresh.User(was.UID)
		if is == was {
			continue
		}
		if is == nil {
			k.g.submit.Forget(was.UID)
			due = append(due, dropped{was.UID, billing.QuotaBalance | billing.QuotaCount})
			continue
		}
		before, now := was.Credit(), is.Credit()
		var which billing.Quotas
		if before.HasBalance && !now.HasBalance {
			which |= billing.QuotaBalance
		}
		if before.HasCount && !now.HasCount {
			which |= billing.QuotaCount
		}
		if which != 0 {
			due = append(due, dropped{was.UID, which})
		}
	}
	if len(due) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(k.g.ctx, forgetWait)
	defer cancel()
	if due = k.forget(ctx, due); len(due) == 0 {
		return
	}
	k.mu.Lock()
	k.left = append(k.left, due...)
	k.mu.Unlock()
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// forget gives what could not be forgotten.
func (k *keeper) forget(ctx context.Context, due []dropped) []dropped {
	for i, f := range due {
		if err := k.g.backend.ledger.Set(ctx, f.uid, f.which, billing.Credit{}); err != nil {
			k.g.logs.router.Error("an account will be forgotten later", "uid", string(f.uid), "err", err)
			return due[i:]
		}
	}
	return nil
}

func (k *keeper) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-k.wake:
		}
		for {
			k.mu.Lock()
			due := k.left
			k.left = nil
			k.mu.Unlock()
			if due = k.forget(ctx, due); len(due) == 0 {
				break
			}
			k.mu.Lock()
			k.left = append(due, k.left...)
			k.mu.Unlock()
			t := time.NewTimer(forgetAgain)
			select {
			case <-ctx.Done():
				t.Stop()
				return nil
			case <-t.C:
			}
		}
	}
}

// consoleLedger is the ledger as the console sees it.
type consoleLedger struct{ g *Gateway }

// Left tells what is left to a user; known is false when the ledger cannot be asked.
func (l consoleLedger) Left(uid sms.UserID) (left jcli.Left, known bool) {
	u := l.g.state.Snapshot().User(uid)
	if u == nil {
		return left, false
	}
	open := u.Credit()
	ctx, cancel := context.WithTimeout(l.g.ctx, ledgerWait)
	defer cancel()
	c, err := l.g.backend.ledger.Credit(ctx, uid, open)
	if err != nil {
		l.g.logs.router.Error("the ledger does not tell what is left", "uid", string(uid), "err", err)
		return left, false
	}
	if open.HasBalance {
		left.Balance = account.Limit[billing.Amount]{Set: true, Value: c.Balance}
	}
	if open.HasCount {
		left.SMSCount = account.Limit[int]{Set: true, Value: int(c.Count)}
	}
	return left, true
}

// Change sets or increments quotas. It is called before the configuration with the new
// opening values is published, so that what a message opens meanwhile is the old one.
func (l consoleLedger) Change(ctx context.Context, uid sms.UserID, changes []jcli.QuotaChange) error {
	var open billing.Credit
	if u := l.g.state.Snapshot().User(uid); u != nil {
		open = u.Credit()
	}
	ctx, cancel := context.WithTimeout(ctx, ledgerWait)
	defer cancel()
	var errs []error
	for _, ch := range changes {
		q, c, has, err := quota(ch, open)
		switch {
		case err != nil:
		case ch.Add && has:
			_, err = l.g.backend.ledger.Adjust(ctx, uid, billing.Change{Bill: billing.BillID(uuid.NewString()), Balance: c.Balance, Count: c.Count, Open: open})
		default: // a value, or the first of an unlimited quota (Jasmin)
			err = l.g.backend.ledger.Set(ctx, uid, q, c)
		}
		errs = append(errs, err)
		open.HasBalance, open.HasCount = c.HasBalance || open.HasBalance, c.HasCount || open.HasCount
	}
	return errors.Join(errs...)
}

// quota reads a change: which quota, its value or what is added, and whether the user has it.
func quota(ch jcli.QuotaChange, open billing.Credit) (q billing.Quotas, c billing.Credit, has bool, err error) {
	var parsed account.Credentials
	value := ch.Value
	if ch.Add && len(value) > 0 && (value[0] == '+' || value[0] == '-') {
		value = value[1:]
	}
	if err := account.SetCredential(&parsed, account.MTMessagingCred, account.SectionQuota, ch.Quota, value); err != nil {
		return 0, c, false, err
	}
	u := account.User{Credentials: parsed}
	c = u.Credit()
	if ch.Add && ch.Value[0] == '-' {
		c.Balance, c.Count = -c.Balance, -c.Count
	}
	if ch.Quota == "balance" {
		return billing.QuotaBalance, c, open.HasBalance, nil
	}
	return billing.QuotaCount, c, open.HasCount, nil
}
