package jcli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"jasmind/internal/billing"
	"jasmind/internal/mt"
	"jasmind/internal/provision"
	"jasmind/internal/sms"
)

// book is a ledger that writes down what it is told.
type book struct {
	store   *provision.Store
	mu      sync.Mutex // guards entries
	entries []string
}

func (b *book) Left(context.Context, sms.UserID) (billing.Credit, bool) {
	return billing.Credit{}, false
}

func (b *book) Settle(context.Context, ...sms.UserID) {}

func (b *book) Change(_ context.Context, uid sms.UserID, changes []mt.QuotaChange, f func(*provision.Draft) error) error {
	if err := b.store.Apply(f); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range changes {
		b.entries = append(b.entries, spell(uid, c))
	}
	return nil
}

// spell gives a change as the operator typed it.
func spell(uid sms.UserID, c mt.QuotaChange) string {
	name, value := "balance", billing.Amount(c.Value).String()
	if c.Quota == billing.QuotaCount {
		name, value = "sms_count", fmt.Sprint(c.Value)
	}
	if c.Unlimited {
		value = "none"
	}
	if c.Add != "" && c.Value > 0 {
		value = "+" + value
	}
	return fmt.Sprintf("%s %s %s %v", uid, name, value, c.Add != "")
}

func (b *book) take() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	text := strings.Join(b.entries, "; ")
	b.entries = nil
	return text
}

// A user whom a provisioning file declares is topped up on the console, and nothing else of
// him is changed there.
func TestDeclaredUsersAreToppedUp(t *testing.T) {
	file := filepath.Join(t.TempDir(), "provision.yaml")
	if err := os.WriteFile(file, []byte(`groups: [{gid: g}, {gid: h}]
users:
  - {uid: foo, username: foo, password: bar, gid: g, mt_messaging_cred: {quota: {balance: 10, sms_count: 5}}}
  - {uid: free, username: free, password: bar, gid: g}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	store := provision.NewStore()
	ledger := &book{store: store}
	if err := store.ApplyFile(file); err != nil {
		t.Fatal(err)
	}
	before := store.Snapshot()
	f := serve(t, Config{}, Deps{Store: store, Accounts: ledger})
	c := dial(t, f)
	c.until(mainPrompt)
	if got := c.session("user -u foo", "mt_messaging_cred quota balance +10", "mt_messaging_cred quota sms_count -2", "ok"); got != "Successfully updated User [foo]\r\n" {
		t.Errorf("got %q", got)
	}
	if got := ledger.take(); got != "foo balance +10 true; foo sms_count -2 true" {
		t.Errorf("the ledger was told %q", got)
	}
	refused := "Failed updating User: user foo is declared in " + file + " and can only be changed there\r\n> "
	for _, lines := range [][]string{
		{"mt_messaging_cred quota balance 10"},
		{"mt_messaging_cred quota balance none"},
		{"mt_messaging_cred quota balance +10", "password new"},
		{"mt_messaging_cred quota balance +10", "gid h"},
		{"mt_messaging_cred quota balance +10", "mt_messaging_cred quota http_throughput +1"},
		{"mt_messaging_cred quota balance +10", "mt_messaging_cred authorization http_send no"},
		{"smpps_cred quota max_bindings +1"},
	} {
		c.do("user -u foo", "> ")
		for _, line := range lines {
			c.do(line, "> ")
		}
		c.send("ok\r\n")
		if got := c.until(refused); !strings.HasSuffix(got, refused) {
			t.Errorf("%v: got %q", lines, got)
		}
		c.do("ko", mainPrompt)
	}
	c.do("user -u free", "> ")
	c.do("mt_messaging_cred quota balance +10", "> ")
	c.send("ok\r\n")
	c.until("Failed updating User: user free is declared in " + file + " and can only be changed there\r\n> ")
	c.do("ko", mainPrompt)
	if got := ledger.take(); got != "" {
		t.Errorf("the ledger was told %q", got)
	}
	if store.Snapshot() != before {
		t.Error("the configuration has changed")
	}
}
