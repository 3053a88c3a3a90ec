package pebble

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"jasmind/internal/billing"
	"jasmind/internal/localdb"
	"jasmind/internal/sms"
)

// Namespaces of the ledger.
const (
	nsCredit localdb.Namespace = 0x55 // uid -> Credit
	nsBill   localdb.Namespace = 0x56 // bill -> nothing, expiring
)

// billKept is how long a bill is remembered. A charge and what belongs to it are one atomic
// batch, so a bill comes again only when somebody repeats an entry, and that is soon.
const billKept = time.Hour

var _ billing.Ledger = (*Store)(nil)

func creditKey(uid sms.UserID) []byte { return append(nsCredit.Key(), uid...) }

func billKey(id billing.BillID) []byte { return append(nsBill.Key(), id...) }

// stageCharges adds charges to a batch, which is refused when one finds too little.
func (s *Store) stageCharges(b *localdb.Batch, cs []billing.Charge) error {
	for i := range cs {
		if err := cs[i].Validate(); err != nil {
			return fmt.Errorf("store: %w", err)
		}
	}
	if len(cs) == 0 {
		return nil
	}
	end := time.Now().Add(billKept)
	b.Check(func(r localdb.Reader, b *localdb.Batch) error {
		page := page{r: r, credits: make(map[sms.UserID]*billing.Credit, 1)}
		billed := make(map[billing.BillID]bool, len(cs))
		for i := range cs {
			c := &cs[i]
			key := billKey(c.Bill)
			_, before, err := r.GetExpiring(key)
			if err != nil {
				return unavailable("bill "+string(c.Bill), err)
			}
			if before || billed[c.Bill] {
				continue
			}
			billed[c.Bill] = true
			if err := page.charge(c); err != nil {
				return err
			}
			b.SetExpiring(key, nil, end)
		}
		page.write(b)
		return nil
	})
	return nil
}

// page is what one commit reads and writes of the ledger.
type page struct {
	r       localdb.Reader
	credits map[sms.UserID]*billing.Credit
}

// credit gives the known credit of a user, which may be changed.
func (p *page) credit(uid sms.UserID) (*billing.Credit, error) {
	if c := p.credits[uid]; c != nil {
		return c, nil
	}
	raw, ok, err := p.r.Get(creditKey(uid))
	if err != nil {
		return nil, unavailable("credit of "+string(uid), err)
	}
	c := &billing.Credit{}
	if ok {
		if *c, err = decodeCredit(raw); err != nil {
			return nil, fmt.Errorf("store: credit of %s: %w", uid, err)
		}
	}
	p.credits[uid] = c
	return c, nil
}

func (p *page) write(b *localdb.Batch) {
	for uid, c := range p.credits {
		if !c.HasBalance && !c.HasCount {
			b.Delete(creditKey(uid))
			continue
		}
		b.Set(creditKey(uid), appendCredit(nil, c))
	}
}

// charge takes from the page; an error refuses the whole batch.
func (p *page) charge(c *billing.Charge) error {
	left, err := p.credit(c.UID)
	if err != nil {
		return err
	}
	if !c.Owed {
		open(left, &c.Open)
		if left.HasBalance && c.Required() > 0 && left.Balance < c.Required() {
			return c.LackOfBalance(left.Balance)
		}
		if left.HasCount && c.Count > 0 && left.Count < c.Count {
			return c.LackOfCount(left.Count)
		}
	}
	return add(left, -c.Amount, -c.Count)
}

// open gives a credit the opening values of the quotas that it does not have.
func open(c, opening *billing.Credit) {
	if !c.HasBalance && opening.HasBalance {
		c.HasBalance, c.Balance = true, opening.Balance
	}
	if !c.HasCount && opening.HasCount {
		c.HasCount, c.Count = true, opening.Count
	}
}

// add changes the quotas that a credit has.
func add(c *billing.Credit, balance billing.Amount, count int64) error {
	if c.HasBalance {
		sum, ok := c.Balance.Add(balance)
		if !ok {
			return billing.ErrOverflow
		}
		c.Balance = sum
	}
	if c.HasCount {
		sum, ok := billing.Amount(c.Count).Add(billing.Amount(count)) // the same integers
		if !ok {
			return billing.ErrOverflow
		}
		c.Count = int64(sum)
	}
	return nil
}

// Credit gives what is left to a user.
func (s *Store) Credit(ctx context.Context, uid sms.UserID, opening billing.Credit) (billing.Credit, error) {
	if err := ctx.Err(); err != nil {
		return billing.Credit{}, err
	}
	p := page{r: s.db, credits: make(map[sms.UserID]*billing.Credit, 1)}
	c, err := p.credit(uid)
	if err != nil {
		return billing.Credit{}, err
	}
	open(c, &opening)
	return *c, nil
}

// Adjust adds to quotas.
func (s *Store) Adjust(ctx context.Context, uid sms.UserID, ch billing.Change) (billing.Credit, error) {
	var after billing.Credit
	err := s.changeCredit(ctx, uid, func(r localdb.Reader, b *localdb.Batch, c *billing.Credit) error {
		key := billKey(ch.Bill)
		_, before, err := r.GetExpiring(key)
		if err != nil {
			return unavailable("bill "+string(ch.Bill), err)
		}
		open(c, &ch.Open)
		if !before {
			if ch.Balance != 0 && !c.HasBalance || ch.Count != 0 && !c.HasCount {
				return billing.ErrUnlimited
			}
			if err := add(c, ch.Balance, ch.Count); err != nil {
				return err
			}
			b.SetExpiring(key, nil, time.Now().Add(billKept))
		}
		after = *c
		return nil
	})
	return after, err
}

// Set gives quotas a value or forgets them.
func (s *Store) Set(ctx context.Context, uid sms.UserID, which billing.Quotas, v billing.Credit) error {
	return s.changeCredit(ctx, uid, func(_ localdb.Reader, _ *localdb.Batch, c *billing.Credit) error {
		if which&billing.QuotaBalance != 0 {
			c.HasBalance, c.Balance = v.HasBalance, v.Balance
		}
		if which&billing.QuotaCount != 0 {
			c.HasCount, c.Count = v.HasCount, v.Count
		}
		return nil
	})
}

// Remove forgets a user.
func (s *Store) Remove(ctx context.Context, uid sms.UserID) error {
	return s.Set(ctx, uid, billing.QuotaBalance|billing.QuotaCount, billing.Credit{})
}

func (s *Store) changeCredit(ctx context.Context, uid sms.UserID, f func(localdb.Reader, *localdb.Batch, *billing.Credit) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b := s.db.NewBatch()
	b.Check(func(r localdb.Reader, b *localdb.Batch) error {
		p := page{r: r, credits: make(map[sms.UserID]*billing.Credit, 1)}
		c, err := p.credit(uid)
		if err != nil {
			return err
		}
		if err := f(r, b, c); err != nil {
			return err
		}
		p.write(b)
		return nil
	})
	return s.commit(ctx, b)
}

const (
	flagBalance = 1
	flagCount   = 2
)

func appendCredit(b []byte, c *billing.Credit) []byte {
	flags := byte(0)
	if c.HasBalance {
		flags |= flagBalance
	}
	if c.HasCount {
		flags |= flagCount
	}
	b = append(b, recordVersion, flags)
	b = binary.AppendVarint(b, int64(c.Balance))
	return binary.AppendVarint(b, c.Count)
}

func decodeCredit(raw []byte) (billing.Credit, error) {
	d := decode(raw)
	flags := d.octet()
	c := billing.Credit{HasBalance: flags&flagBalance != 0, HasCount: flags&flagCount != 0, Balance: billing.Amount(d.varint()), Count: d.varint()}
	return c, d.end()
}

// Accounts calls f for every user who is known.
func (s *Store) Accounts(ctx context.Context, f func(sms.UserID, billing.Credit) error) error {
	var all []sms.UserID // f may change the ledger, and takes its time: not during the scan
	prefix := nsCredit.Prefix()
	if err := s.db.Scan(prefix, localdb.PrefixEnd(prefix), func(key, _ []byte) bool {
		all = append(all, sms.UserID(key[len(prefix):]))
		return ctx.Err() == nil
	}); err != nil {
		return unavailable("accounts", err)
	}
	for _, uid := range all {
		c, err := s.Credit(ctx, uid, billing.Credit{})
		if err != nil {
			return err
		}
		if !c.HasBalance && !c.HasCount {
			continue
		}
		if err := f(uid, c); err != nil {
			return err
		}
	}
	return ctx.Err()
}
