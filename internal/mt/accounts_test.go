package mt

import (
	"context"
	"crypto/md5" //nolint:gosec // passwords of the original
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"jasmind/internal/account"
	"jasmind/internal/billing"
	"jasmind/internal/journal"
	"jasmind/internal/localdb"
	"jasmind/internal/provision"
	"jasmind/internal/queue"
	"jasmind/internal/sms"
	storepebble "jasmind/internal/store/pebble"
)

// credits is Accounts over an embedded ledger, with user u1.
type credits struct {
	*testing.T
	*Accounts
	ledger *storepebble.Store
}

func openCredits(t *testing.T, quotas ...string) *credits {
	db, err := localdb.Open(t.TempDir(), localdb.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	store, ledger := provision.NewStore(), storepebble.New(db)
	d := &credits{t, NewAccounts(AccountsDeps{Store: store, Ledger: ledger, Log: slog.New(slog.DiscardHandler)}), ledger}
	d.apply(func(dr *provision.Draft) error {
		return errors.Join(dr.AddGroup(account.Group{GID: "g", Enabled: true}), dr.AddUser(user(t, "u1", quotas...)))
	})
	return d
}

// user is one of group g whose password is x; quotas are pairs of name and value.
func user(t *testing.T, uid sms.UserID, quotas ...string) account.User {
	t.Helper()
	sum := md5.Sum([]byte("x")) //nolint:gosec // passwords of the original
	p, err := account.ParseHash(hex.EncodeToString(sum[:]))
	if err != nil {
		t.Fatal(err)
	}
	u := account.User{UID: uid, GID: "g", Username: string(uid), Password: p, Enabled: true, Credentials: account.DefaultCredentials()}
	for i := 0; i < len(quotas); i += 2 {
		if err := account.SetCredential(&u.Credentials, account.MTMessagingCred, account.SectionQuota, quotas[i], quotas[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	return u
}

func (d *credits) apply(f func(*provision.Draft) error) {
	d.Helper()
	if err := d.Store.Apply(f); err != nil {
		d.Fatal(err)
	}
}

func (d *credits) charge(bill string, amount billing.Amount) error {
	u := d.Store.Snapshot().User("u1")
	return d.ledger.Apply(d.Context(), &journal.Entry{Charges: []billing.Charge{{UID: "u1", Bill: billing.BillID(bill), Amount: amount, Count: 1, Open: u.Credit()}}})
}

// spelled is what is left as the console shows it.
func spelled(left billing.Credit) string {
	balance, count := "ND", "ND"
	if left.HasBalance {
		balance = left.Balance.String()
	}
	if left.HasCount {
		count = fmt.Sprint(left.Count)
	}
	return balance + " " + count
}

func (d *credits) want(balance, count string) {
	d.Helper()
	left, known := d.Left(d.Context(), "u1")
	if got := spelled(left); !known || got != balance+" "+count {
		d.Errorf("left %s (known %v), want %s %s", got, known, balance, count)
	}
}

var bills atomic.Int64

// quota makes a change as the console spells it: balance +2.5.
func quota(t *testing.T, text string) QuotaChange {
	t.Helper()
	name, value, _ := strings.Cut(text, " ")
	c := QuotaChange{Quota: billing.QuotaBalance, Unlimited: value == "none"}
	scale := billing.Amount(1)
	if name == "sms_count" {
		c.Quota, scale = billing.QuotaCount, billing.Unit
	}
	if value[0] == '+' || value[0] == '-' {
		c.Add = billing.BillID(fmt.Sprint("bill", bills.Add(1)))
	}
	if !c.Unlimited {
		n, err := billing.Parse(value)
		if err != nil {
			t.Fatal(err)
		}
		c.Value = int64(n / scale)
	}
	return c
}

func unchanged(*provision.Draft) error { return nil }

func (d *credits) change(texts ...string) {
	d.Helper()
	var changes []QuotaChange
	for _, text := range texts {
		changes = append(changes, quota(d.T, text))
	}
	if err := d.Change(d.Context(), "u1", changes, unchanged); err != nil {
		d.Fatal(err)
	}
}

func TestQuotasAreChanged(t *testing.T) {
	d := openCredits(t, "balance", "10", "sms_count", "5")
	d.want("10", "5")
	d.change("balance +2.5", "sms_count -1")
	d.want("12.5", "4")
	if err := d.charge("b1", 12_000_000); err != nil {
		t.Fatal(err)
	}
	d.want("0.5", "3")
	d.change("balance -0.75") // below zero
	d.want("-0.25", "3")
	d.change("balance +1", "balance 7", "balance +1", "sms_count 2", "balance +0.5")
	d.want("8.5", "2")
	d.change("sms_count none", "balance +1") // the addition does not bring the other back
	if c, err := d.ledger.Credit(t.Context(), "u1", billing.Credit{}); err != nil || spelled(c) != "9.5 ND" {
		t.Errorf("the ledger has %s, %v", spelled(c), err)
	}
	if err := d.Change(t.Context(), "u1", []QuotaChange{{Quota: billing.QuotaBalance, Value: 1<<63 - 1}, {Quota: billing.QuotaBalance, Value: 1, Add: "b"}}, unchanged); !errors.Is(err, billing.ErrOverflow) {
		t.Errorf("out of range: %v", err)
	}
	if _, known := d.Left(t.Context(), "nobody"); known {
		t.Error("knows nobody")
	}
}

// The first increment of an unlimited quota is its value.
func TestAnIncrementLimitsAnUnlimitedQuota(t *testing.T) {
	d := openCredits(t)
	d.want("ND", "ND")
	d.change("balance +10", "balance +5")
	d.want("ND", "ND") // it is the configuration that limits
	d.apply(func(dr *provision.Draft) error {
		u, _ := dr.User("u1")
		u.MT.Quota.Balance = account.Limit[billing.Amount]{Set: true, Value: 15_000_000}
		return dr.UpdateUser(u)
	})
	d.want("15", "ND")
}

// add changes a user's opening balance as the console does it.
func add(n billing.Amount) func(*provision.Draft) error {
	return func(dr *provision.Draft) error {
		u, _ := dr.User("u1")
		u.MT.Quota.Balance.Value += n
		return dr.UpdateUser(u)
	}
}

// Increments while others are charged: none is lost, and the first message of a user does not
// open his account with an increment in it that is added again.
func TestIncrementsAreAtomicWithTraffic(t *testing.T) {
	const rounds, step = 50, 1_000_000
	d := openCredits(t, "balance", "10")
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
	for range 2 { // two operators
		wg.Go(func() {
			for range rounds / 2 {
				if err := d.Change(context.Background(), "u1", []QuotaChange{quota(t, "balance +1")}, add(step)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	d.want((10*billing.Unit + rounds*step - billing.Amount(charged.Load())).String(), "ND")
	if u := d.Store.Snapshot().User("u1"); u.MT.Quota.Balance.Value != 10*billing.Unit+rounds*step {
		t.Errorf("the opening value is %s", u.MT.Quota.Balance.Value)
	}
}

// What the configuration refuses changes no quota.
func TestARefusedChangeOfTheConfigurationChangesNoQuota(t *testing.T) {
	d := openCredits(t, "balance", "10")
	refused := errors.New("refused")
	if err := d.Change(t.Context(), "u1", []QuotaChange{quota(t, "balance +1")}, func(*provision.Draft) error { return refused }); !errors.Is(err, refused) {
		t.Errorf("got %v", err)
	}
	d.want("10", "ND")
}

// book is a ledger in memory that can be made to hang: then it does what it is told, or not, and does not answer.
type book struct {
	mu      sync.Mutex // guards what follows
	left    map[sms.UserID]billing.Credit
	billed  map[billing.BillID]bool
	hangs   chan struct{} // closed when it answers again; nil: it answers
	does    bool          // it does what it is told while it hangs
	refuses int           // so many calls find it away
}

func newBook() *book {
	return &book{left: make(map[sms.UserID]billing.Credit), billed: make(map[billing.BillID]bool)}
}

func (b *book) hang(does bool) (back func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hangs, b.does = make(chan struct{}), does
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		close(b.hangs)
		b.hangs = nil
	}
}

func (b *book) call(ctx context.Context, f func()) error {
	b.mu.Lock()
	hangs, does := b.hangs, b.does
	b.refuses--
	away := b.refuses >= 0
	if !away && (hangs == nil || does) {
		f()
	}
	b.mu.Unlock()
	if away {
		return queue.ErrUnavailable
	}
	if hangs == nil {
		return nil
	}
	select {
	case <-hangs:
		if !does {
			b.mu.Lock()
			defer b.mu.Unlock()
			f()
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (b *book) Credit(ctx context.Context, uid sms.UserID, open billing.Credit) (c billing.Credit, err error) {
	err = b.call(ctx, func() { c = b.opened(uid, open) })
	return c, err
}

func (b *book) opened(uid sms.UserID, open billing.Credit) billing.Credit {
	c := b.left[uid]
	if !c.HasBalance && open.HasBalance {
		c.HasBalance, c.Balance = true, open.Balance
	}
	if !c.HasCount && open.HasCount {
		c.HasCount, c.Count = true, open.Count
	}
	return c
}

func (b *book) Adjust(ctx context.Context, uid sms.UserID, ch billing.Change) (c billing.Credit, err error) {
	err = b.call(ctx, func() {
		c = b.opened(uid, ch.Open)
		if !b.billed[ch.Bill] {
			c.Balance, c.Count = c.Balance+ch.Balance, c.Count+ch.Count
		}
		b.billed[ch.Bill], b.left[uid] = true, c
	})
	return c, err
}

func (b *book) Set(ctx context.Context, uid sms.UserID, which billing.Quotas, v billing.Credit) error {
	return b.call(ctx, func() {
		c := b.left[uid]
		if which&billing.QuotaBalance != 0 {
			c.HasBalance, c.Balance = v.HasBalance, v.Balance
		}
		if which&billing.QuotaCount != 0 {
			c.HasCount, c.Count = v.HasCount, v.Count
		}
		b.left[uid] = c
	})
}

func (b *book) Remove(context.Context, sms.UserID) error { return errors.New("not used") }

func (b *book) Accounts(ctx context.Context, _ func(sms.UserID, billing.Credit) error) error {
	return b.call(ctx, func() {})
}

func (b *book) has(t *testing.T, uid sms.UserID, want string) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if got := spelled(b.left[uid]); got != want {
		t.Errorf("the ledger has %s of %s, want %s", got, uid, want)
	}
}

// house is Accounts that run over a book, with users u1, u2 and u3 whose balance is 10, of which 4 are left.
func house(t *testing.T, test func(t *testing.T, a *Accounts, b *book)) {
	synctest.Test(t, func(t *testing.T) {
		b, store := newBook(), provision.NewStore()
		a := NewAccounts(AccountsDeps{Store: store, Ledger: b, Log: slog.New(slog.DiscardHandler)})
		if err := store.Apply(func(d *provision.Draft) error {
			err := d.AddGroup(account.Group{GID: "g", Enabled: true})
			for _, uid := range []sms.UserID{"u1", "u2", "u3"} {
				err = errors.Join(err, d.AddUser(user(t, uid, "balance", "10")))
				b.left[uid] = billing.Credit{HasBalance: true, Balance: 4 * billing.Unit}
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- a.Run(ctx) }()
		test(t, a, b)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestALedgerThatHangsDelaysNobodyElse(t *testing.T) {
	house(t, func(t *testing.T, a *Accounts, b *book) {
		auth := account.NewAuthenticator(account.AuthConfig{}, a.Store)
		began := time.Now()
		back := b.hang(false)
		changed := make(chan error, 1)
		go func() {
			changed <- a.Change(t.Context(), "u1", []QuotaChange{quota(t, "balance +5")}, add(5*billing.Unit))
		}()
		synctest.Wait() // it waits for the ledger
		if err := a.Store.Apply(func(d *provision.Draft) error { return d.EnableUser("u2", true) }); err != nil {
			t.Error(err)
		}
		if err := a.Store.Apply(func(d *provision.Draft) error { return d.RemoveUser("u3") }); err != nil {
			t.Error(err)
		}
		u, err := auth.Check(t.Context(), netip.MustParseAddr("192.0.2.1"), "u2", "x")
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // until it has stored a newer hash
		if now := a.Store.Snapshot().User("u2"); now.Password == u.Password {
			t.Error("the login has not stored a newer hash")
		}
		if u := a.Store.Snapshot().User("u1"); u.MT.Quota.Balance.Value != 10*billing.Unit {
			t.Errorf("an opening value of %s was published before the ledger knew", u.MT.Quota.Balance.Value)
		}
		if waited := time.Since(began); waited != 0 {
			t.Errorf("others waited for %s", waited)
		}
		back()
		if err := <-changed; err != nil {
			t.Error(err)
		}
		a.Settle(t.Context())
		b.has(t, "u1", "9 ND")
		b.has(t, "u3", "ND ND")
		if u := a.Store.Snapshot().User("u1"); u.MT.Quota.Balance.Value != 15*billing.Unit {
			t.Errorf("the opening value is %s", u.MT.Quota.Balance.Value)
		}
	})
}

// Whether a ledger that does not answer has done what it was told is not known; the same again does it once.
func TestAChangeWhoseAnswerIsMissingIsMadeOnce(t *testing.T) {
	for _, does := range []bool{true, false} {
		t.Run(fmt.Sprint(does), func(t *testing.T) {
			house(t, func(t *testing.T, a *Accounts, b *book) {
				back := b.hang(does)
				changes := []QuotaChange{quota(t, "balance +5")}
				began := time.Now()
				if err := a.Change(t.Context(), "u1", changes, add(5*billing.Unit)); !errors.Is(err, queue.ErrUnavailable) || !strings.Contains(err.Error(), "not known") {
					t.Errorf("got %v", err)
				}
				if took := time.Since(began); took != ledgerWait {
					t.Errorf("it waited for %s", took)
				}
				if u := a.Store.Snapshot().User("u1"); u.MT.Quota.Balance.Value != 10*billing.Unit {
					t.Errorf("the opening value is %s", u.MT.Quota.Balance.Value)
				}
				back()
				for range 2 {
					if err := a.Change(t.Context(), "u1", changes, unchanged); err != nil {
						t.Error(err)
					}
				}
				b.has(t, "u1", "9 ND")
			})
		})
	}
}

// A ledger that is away forgets a removed user later, and before it learns the quotas of the next one with his uid.
func TestRemovedUsersAreForgottenWhenTheLedgerIsBack(t *testing.T) {
	house(t, func(t *testing.T, a *Accounts, b *book) {
		b.mu.Lock()
		b.refuses = 3
		b.mu.Unlock()
		if err := a.Store.Apply(func(d *provision.Draft) error { return errors.Join(d.RemoveUser("u2"), d.RemoveUser("u1")) }); err != nil {
			t.Fatal(err)
		}
		add := func(d *provision.Draft) error { return d.AddUser(user(t, "u1", "balance", "7")) }
		if err := a.Change(t.Context(), "u1", []QuotaChange{quota(t, "balance 7")}, add); !errors.Is(err, queue.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
		for i := 0; a.Change(t.Context(), "u1", []QuotaChange{quota(t, "balance 7")}, add) != nil; i++ {
			if i == 10 {
				t.Fatal("the ledger is back, and the change is not made")
			}
		}
		time.Sleep(10 * forgetAgain)
		b.has(t, "u1", "7 ND")
		b.has(t, "u2", "ND ND")
		b.has(t, "u3", "4 ND")
	})
}

// A ledger that is away is asked after a pause each time, however it is told of what is due.
func TestALedgerThatIsAwayIsAskedNowAndThen(t *testing.T) {
	house(t, func(t *testing.T, a *Accounts, b *book) {
		const many = 1000
		b.mu.Lock()
		b.refuses = many
		b.mu.Unlock()
		if err := a.Store.Apply(func(d *provision.Draft) error { return d.RemoveUser("u2") }); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * forgetAgain)
		b.mu.Lock()
		asked := many - b.refuses
		b.mu.Unlock()
		if asked < 2 || asked > 15 {
			t.Errorf("asked %d times in %s", asked, 10*forgetAgain)
		}
	})
}

// What is due when Run ends is forgotten then.
func TestWhatIsDueIsForgottenAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, store := newBook(), provision.NewStore()
		a := NewAccounts(AccountsDeps{Store: store, Ledger: b, Log: slog.New(slog.DiscardHandler)})
		b.left["u1"] = billing.Credit{HasCount: true, Count: 1}
		a.owe("u1", billing.QuotaCount)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := a.Run(ctx); err != nil {
			t.Error(err)
		}
		b.has(t, "u1", "ND ND")
	})
}
