package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"

	"jasmind/internal/account"
	"jasmind/internal/billing"
	"jasmind/internal/jcli"
	"jasmind/internal/journal"
	"jasmind/internal/localdb"
	"jasmind/internal/provision"
	"jasmind/internal/queue"
	"jasmind/internal/sms"
	storepebble "jasmind/internal/store/pebble"
)

// desk is the console's ledger over an embedded one, with user u1.
type desk struct {
	*testing.T
	consoleLedger
	store *storepebble.Store
}

func openDesk(t *testing.T, quotas ...string) *desk {
	db, err := localdb.Open(t.TempDir(), localdb.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	store := storepebble.New(db)
	g := &Gateway{ctx: t.Context(), state: provision.NewStore(), backend: &backend{ledger: store}, logs: &serviceLogs{router: slog.New(slog.DiscardHandler)}}
	d := &desk{t, consoleLedger{g}, store}
	d.apply(func(dr *provision.Draft) error {
		p, err := account.HashPassword("x")
		if err != nil {
			return err
		}
		u := account.User{UID: "u1", GID: "g", Username: "u1", Password: p, Enabled: true, Credentials: account.DefaultCredentials()}
		for i := 0; i < len(quotas); i += 2 {
			if err := account.SetCredential(&u.Credentials, account.MTMessagingCred, account.SectionQuota, quotas[i], quotas[i+1]); err != nil {
				return err
			}
		}
		if err := dr.AddGroup(account.Group{GID: "g", Enabled: true}); err != nil {
			return err
		}
		return dr.AddUser(u)
	})
	return d
}

func (d *desk) apply(f func(*provision.Draft) error) {
	d.Helper()
	if err := d.g.state.Apply(f); err != nil {
		d.Fatal(err)
	}
}

func (d *desk) charge(bill string, amount billing.Amount) error {
	u := d.g.state.Snapshot().User("u1")
	return d.store.Apply(d.Context(), &journal.Entry{Charges: []billing.Charge{{UID: "u1", Bill: billing.BillID(bill), Amount: amount, Count: 1, Open: u.Credit()}}})
}

func (d *desk) want(balance, count string) {
	d.Helper()
	left, known := d.Left("u1")
	c := account.DefaultCredentials()
	c.MT.Quota.Balance, c.MT.Quota.SMSCount = left.Balance, left.SMSCount
	format := func(name string) string {
		return account.LookupCredential(account.MTMessagingCred, account.SectionQuota, name).Format(&c)
	}
	if got := format("balance") + " " + format("sms_count"); !known || got != balance+" "+count {
		d.Errorf("left %s (known %v), want %s %s", got, known, balance, count)
	}
}

func (d *desk) change(changes ...jcli.QuotaChange) {
	d.Helper()
	if err := d.Change(d.Context(), "u1", changes); err != nil {
		d.Fatal(err)
	}
}

func TestConsoleLedger(t *testing.T) {
	d := openDesk(t, "balance", "10", "sms_count", "5")
	d.want("10", "5")
	d.change(jcli.QuotaChange{Quota: "balance", Value: "+2.5", Add: true}, jcli.QuotaChange{Quota: "sms_count", Value: "-1", Add: true})
	d.want("12.5", "4")
	if err := d.charge("b1", 12_000_000); err != nil {
		t.Fatal(err)
	}
	d.want("0.5", "3")
	d.change(jcli.QuotaChange{Quota: "balance", Value: "-0.75", Add: true}) // below zero
	d.want("-0.25", "3")
	d.change(jcli.QuotaChange{Quota: "balance", Value: "7"}, jcli.QuotaChange{Quota: "balance", Value: "+1", Add: true})
	d.want("8", "3")
	if err := d.Change(t.Context(), "u1", []jcli.QuotaChange{{Quota: "balance", Value: "much"}}); err == nil {
		t.Error("a value that is no number was taken")
	}
	if _, known := d.Left("nobody"); known {
		t.Error("knows nobody")
	}
}

// The first increment of an unlimited quota is its value.
func TestConsoleLedgerLimitsAnUnlimitedQuota(t *testing.T) {
	d := openDesk(t)
	d.want("ND", "ND")
	d.change(jcli.QuotaChange{Quota: "balance", Value: "+10", Add: true}, jcli.QuotaChange{Quota: "balance", Value: "+5", Add: true})
	d.want("ND", "ND") // it is the configuration that limits
	d.apply(func(dr *provision.Draft) error {
		u, _ := dr.User("u1")
		u.MT.Quota.Balance = account.Limit[billing.Amount]{Set: true, Value: 15_000_000}
		return dr.UpdateUser(u)
	})
	d.want("15", "ND")
}

// Increments while others are charged: none is lost, and the first message of a user does not
// open his account with an increment in it that is added again.
func TestConsoleIncrementsAreAtomicWithTraffic(t *testing.T) {
	const rounds, step = 50, 1_000_000
	d := openDesk(t, "balance", "10")
	var charged atomic.Int64
	var wg sync.WaitGroup
	for client := range 4 {
		wg.Go(func() {
			for i := range rounds {
				switch err := d.charge(fmt.Sprint(client, "-", i), 300_000); {
				case err == nil:
					charged.Add(300_000)
				case sms.ReasonOf(err) != sms.ReasonNoCredit:
					t.Error(err)
				}
			}
		})
	}
	for range rounds { // as the console does it
		d.apply(func(dr *provision.Draft) error {
			u, _ := dr.User("u1")
			u.MT.Quota.Balance.Value += step
			if err := dr.UpdateUser(u); err != nil {
				return err
			}
			return d.Change(context.Background(), "u1", []jcli.QuotaChange{{Quota: "balance", Value: "+1", Add: true}})
		})
	}
	wg.Wait()
	d.want((10*billing.Unit + rounds*step - billing.Amount(charged.Load())).String(), "ND")
}

// A ledger that is away forgets a removed user later.
func TestRemovedUsersAreForgottenWhenTheLedgerIsBack(t *testing.T) {
	d := openDesk(t, "balance", "10")
	away := &absent{Ledger: d.store}
	away.n.Store(3)
	d.g.backend.ledger = away
	k := &keeper{g: d.g, wake: make(chan struct{}, 1)}
	if err := d.charge("b1", 1); err != nil {
		t.Fatal(err)
	}
	left := k.forget(t.Context(), []dropped{{"u1", billing.QuotaBalance | billing.QuotaCount}})
	if len(left) != 1 {
		t.Fatalf("forgotten at once: %v", left)
	}
	for len(left) > 0 {
		left = k.forget(t.Context(), left)
	}
	if c, err := d.store.Credit(t.Context(), "u1", billing.Credit{}); err != nil || c.HasBalance {
		t.Errorf("%+v, %v", c, err)
	}
}

// absent is a ledger that refuses its first n changes.
type absent struct {
	billing.Ledger
	n atomic.Int64
}

func (a *absent) Set(ctx context.Context, uid sms.UserID, which billing.Quotas, c billing.Credit) error {
	if a.n.Add(-1) >= 0 {
		return queue.ErrUnavailable
	}
	return a.Ledger.Set(ctx, uid, which, c)
}
