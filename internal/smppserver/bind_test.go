package smppserver

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"time"

	"jasmind/internal/account"
	"jasmind/internal/admission"
	"jasmind/internal/mt"
	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smpp/smpptest"
)

func credential(t testing.TB, section, name, value string) func(*account.User) {
	t.Helper()
	cred := account.SMPPSCred
	if section == account.SectionValueFilter || name != "bind" && name != "ip" && name != "max_bindings" {
		cred = account.MTMessagingCred
	}
	return func(u *account.User) {
		if err := account.SetCredential(&u.Credentials, cred, section, name, value); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBindStatuses(t *testing.T) {
	auth := account.SectionAuthorization
	for _, tt := range []struct {
		name string
		user func(*account.User)
		bind pdu.Bind
		want pdu.Status
	}{
		{"the right password", nil, pdu.Bind{SystemID: "foo"}, pdu.StatusOK},
		{"an unknown user", nil, pdu.Bind{SystemID: "nobody"}, pdu.StatusInvPaswd},
		{"a wrong password", nil, pdu.Bind{SystemID: "foo", Password: "baz"}, pdu.StatusInvPaswd},
		{"a disabled user", func(u *account.User) { u.Enabled = false }, pdu.Bind{SystemID: "foo"}, pdu.StatusInvPaswd},
		{"a disabled group", func(u *account.User) { u.GID = "off" }, pdu.Bind{SystemID: "foo"}, pdu.StatusInvPaswd},
		{"a user who may not bind, or is banned", credential(t, auth, "bind", "no"), pdu.Bind{SystemID: "foo"}, pdu.StatusBindFail},
		{"an address that is not allowed", credential(t, auth, "ip", "10.0.0.0/8,2001:db8::/32"), pdu.Bind{SystemID: "foo"}, pdu.StatusBindFail},
		{"an address that is allowed", credential(t, auth, "ip", "10.0.0.0/8,127.0.0.1"), pdu.Bind{SystemID: "foo"}, pdu.StatusOK},
		{"no binding is allowed", credential(t, account.SectionQuota, "max_bindings", "0"), pdu.Bind{SystemID: "foo"}, pdu.StatusBindFail},
	} {
		for _, kind := range []pdu.BindType{pdu.Transceiver, pdu.Transmitter, pdu.Receiver} {
			t.Run(tt.name+" as "+kind.String(), func(t *testing.T) {
				w := newWorld(t, Config{})
				w.groups["off"] = &account.Group{GID: "off"}
				if tt.user != nil {
					w.setUser("foo", tt.user)
				}
				b := tt.bind
				b.Type = kind
				if got := w.statusOfBind(b); got != tt.want {
					t.Errorf("got %s, want %s", got, tt.want)
				}
			})
		}
	}
}

func TestARefusedBindLeavesTheConnectionOpen(t *testing.T) {
	w := newWorld(t, Config{})
	p := smpptest.NewPeer(t, dialRaw(t, w.addr()))
	seq := p.Send(&pdu.Bind{SystemID: "foo", Password: "wrong", InterfaceVersion: 0x33})
	p.ExpectHeader(pdu.CmdBindTransceiverResp, pdu.StatusInvPaswd, seq)
	p.SendRaw(smpptest.Raw(0, pdu.CmdBindTransceiver, 0, 90, []byte("sixteen-octets-1\x00bar\x00\x00\x34\x00\x00\x00")...))
	p.ExpectHeader(pdu.CmdBindTransceiverResp, pdu.StatusInvSysID, 90)
	resp := p.Bind(pdu.Bind{SystemID: "foo", Password: "bar", InterfaceVersion: 0x33})
	if resp.SystemID != "foo" {
		t.Errorf("the response names %q, not the client", resp.SystemID)
	}
	seq = p.Send(&pdu.Bind{SystemID: "foo", Password: "bar"})
	p.ExpectHeader(pdu.CmdBindTransceiverResp, pdu.StatusAlyBnd, seq)
	seq = p.Send(submitSM("1", "still here"))
	p.ExpectHeader(pdu.CmdSubmitSMResp, pdu.StatusOK, seq)
}

// Who fails too often is answered ESME_RBINDFAIL, also with the right password; another username of the same address is not.
func TestTooManyFailedBindsAreRefused(t *testing.T) {
	w := newWorldWith(t, admission.LoginConfig{PerName: 1}, Config{})
	w.setUser("other")
	if got := w.statusOfBind(pdu.Bind{SystemID: "foo", Password: "wrong"}); got != pdu.StatusInvPaswd {
		t.Fatalf("the first failure: %s", got)
	}
	for _, password := range []string{"wrong", "bar"} {
		if got := w.statusOfBind(pdu.Bind{SystemID: "foo", Password: password}); got != pdu.StatusBindFail {
			t.Errorf("the password %q: %s", password, got)
		}
	}
	w.bind(pdu.Bind{SystemID: "other"})
}

func TestSubmitInTheWrongStateEndsTheSession(t *testing.T) {
	w := newWorld(t, Config{})
	for name, bind := range map[string]func(*smpptest.Peer){
		"before the bind": func(*smpptest.Peer) {},
		"as receiver":     func(p *smpptest.Peer) { p.Bind(pdu.Bind{Type: pdu.Receiver, SystemID: "foo", Password: "bar"}) },
	} {
		t.Run(name, func(t *testing.T) {
			p := smpptest.NewPeer(t, dialRaw(t, w.addr()))
			bind(p)
			seq := p.Send(submitSM("1", "x"))
			p.ExpectHeader(pdu.CmdSubmitSMResp, pdu.StatusInvBndSts, seq)
			p.ExpectClosed()
		})
	}
	if n := len(w.messages()); n > 0 {
		t.Errorf("%d messages were taken", n)
	}
}

func TestMaxBindingsCountsAllSessionsAndFreesThem(t *testing.T) {
	w := newWorld(t, Config{}, credential(t, account.SectionQuota, "max_bindings", "3"))
	var wg sync.WaitGroup
	var mu sync.Mutex
	var all []*esme
	refused := 0
	for i := range 12 { // at once
		wg.Go(func() {
			e, err := w.dial(pdu.Bind{Type: pdu.BindType(i % 3)}, smpp.DialConfig{})
			mu.Lock()
			defer mu.Unlock()
			var se *smpp.StatusError
			switch {
			case err == nil:
				all = append(all, e)
			case errors.As(err, &se) && se.Status == pdu.StatusBindFail:
				refused++
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(all) != 3 || refused != 9 {
		t.Fatalf("%d bound and %d refused, want 3 and 9", len(all), refused)
	}
	if err := all[0].Unbind(t.Context()); err != nil {
		t.Error(err)
	}
	all[1].Close(nil) // without a word
	until(t, "places are free", func() bool { return len(w.srv.Peers("u_foo")) == 1 })
	for range 2 {
		w.bind(pdu.Bind{})
	}
	if got := w.statusOfBind(pdu.Bind{SystemID: "foo"}); got != pdu.StatusBindFail {
		t.Errorf("a fourth bind: %s", got)
	}
	st := w.srv.userStats("u_foo")
	if st.BindCount.Load() != 5 || st.UnbindCount.Load() != 1 {
		t.Errorf("bind_count %d, unbind_count %d, want 5 and 1", st.BindCount.Load(), st.UnbindCount.Load())
	}
}

func TestReceiversAreAnnounced(t *testing.T) {
	w := newWorld(t, Config{})
	w.bind(pdu.Bind{Type: pdu.Transmitter})
	trx := w.bind(pdu.Bind{Type: pdu.Transceiver})
	w.bind(pdu.Bind{Type: pdu.Receiver})
	until(t, "two receivers", func() bool { return len(w.receivers()) == 2 })
	for _, r := range w.receivers() {
		done := make(chan error, 1)
		m := &pdu.DeliverSM{Message: pdu.Message{ShortMessage: []byte("hi")}}
		if err := r.TrySend(m, func(resp smpp.Response, err error) { done <- errors.Join(err, resp.Err()) }); err != nil {
			t.Fatal(err)
		}
		if err := receive(t, "deliver_sm_resp", done); err != nil {
			t.Error(err)
		}
	}
	if err := trx.Unbind(t.Context()); err != nil {
		t.Error(err)
	}
	until(t, "one receiver", func() bool { return len(w.receivers()) == 1 })
	st := w.srv.userStats("u_foo")
	if a, b := st.DeliverSMCount.Load(), w.srv.Stats.DeliverSMCount.Load(); a != 2 || b != 2 {
		t.Errorf("deliver_sm_count %d and %d, want 2", a, b)
	}
}

func TestUnbindEndsEverySessionOfAUser(t *testing.T) {
	w := newWorld(t, Config{})
	w.setUser("other")
	var mine []*esme
	for kind := range pdu.BindType(3) {
		mine = append(mine, w.bind(pdu.Bind{Type: kind}))
	}
	other := w.bind(pdu.Bind{SystemID: "other"})
	// What is in work is answered before.
	release, entered := make(chan struct{}), make(chan struct{})
	w.answers(func(*mt.Message) error { close(entered); <-release; return nil })
	answered := make(chan error, 1)
	if err := mine[0].Send(t.Context(), submitSM("1", "slow"), func(r smpp.Response, err error) { answered <- errors.Join(err, r.Err()) }); err != nil {
		t.Fatal(err)
	}
	receive(t, "the submission", entered)
	done := make(chan error, 1)
	go func() { done <- w.srv.Unbind(context.Background(), "u_foo") }()
	for _, e := range mine[1:] {
		if err := receive(t, "unbind", e.ran); !errors.Is(err, smpp.ErrUnbound) {
			t.Errorf("session ended with %v", err)
		}
	}
	close(release)
	if err := receive(t, "Unbind", done); err != nil {
		t.Error(err)
	}
	if err := receive(t, "the answer", answered); err != nil {
		t.Error(err)
	}
	if err := receive(t, "unbind", mine[0].ran); !errors.Is(err, smpp.ErrUnbound) {
		t.Errorf("session ended with %v", err)
	}
	w.answers(nil)
	if st, _ := other.do(t, submitSM("1", "x")); st != pdu.StatusOK {
		t.Errorf("the other user's submit: %s", st)
	}
	if err := w.srv.Unbind(t.Context(), "nobody"); err != nil {
		t.Errorf("nobody: %v", err)
	}
}

func TestWhoIsRemovedOrDisabledIsUnbound(t *testing.T) {
	w := newWorld(t, Config{})
	for _, name := range []string{"gone", "off", "renamed"} {
		w.setUser(name)
	}
	stays, gone, off, renamed := w.bind(pdu.Bind{}), w.bind(pdu.Bind{SystemID: "gone"}), w.bind(pdu.Bind{SystemID: "off"}), w.bind(pdu.Bind{SystemID: "renamed"})
	w.mu.Lock()
	delete(w.users, "gone")
	u := w.users["renamed"]
	delete(w.users, "renamed")
	w.users["another"] = u
	w.mu.Unlock()
	w.setUser("off", func(u *account.User) { u.Enabled = false })
	// Before the review nothing is taken from them either.
	for _, e := range []*esme{gone, off} {
		if st, _ := e.do(t, submitSM("1", "x")); st != pdu.StatusInvSysID {
			t.Errorf("submit: %s", st)
		}
	}
	w.srv.Review()
	for _, e := range []*esme{gone, off, renamed} {
		if err := receive(t, "unbind", e.ran); !errors.Is(err, smpp.ErrUnbound) {
			t.Errorf("session ended with %v", err)
		}
	}
	if st, _ := stays.do(t, submitSM("1", "x")); st != pdu.StatusOK {
		t.Errorf("submit: %s", st)
	}
	until(t, "counters are forgotten", func() bool {
		w.srv.Review()
		st := w.srv.userStats("u_gone")
		return st == nil
	})
}

func TestWhoDoesNotBindIsClosed(t *testing.T) {
	w := newWorld(t, Config{SessionInit: 50 * time.Millisecond})
	smpptest.NewPeer(t, dialRaw(t, w.addr())).ExpectClosed()
}

func TestWhoIsNotAllowedIsClosedAtOnce(t *testing.T) {
	w := newWorld(t, Config{Allow: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
	smpptest.NewPeer(t, dialRaw(t, w.addr())).ExpectClosed()
	newWorld(t, Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}).bind(pdu.Bind{})
}

// Who is bound is in nobody's budget any more; who is not, is.
func TestABindLeavesTheBudgetOfStrangers(t *testing.T) {
	budget := admission.NewBudget(admission.BudgetConfig{})
	w := newWorld(t, Config{Budget: budget})
	e := w.bind(pdu.Bind{})
	if st, _ := e.do(t, submitSM("1", "x")); st != pdu.StatusOK {
		t.Errorf("submit: %s", st)
	}
	if n := budget.InHand(); n != 0 {
		t.Errorf("%d octets in hand", n)
	}
	p := smpptest.NewPeer(t, dialRaw(t, w.addr()))
	p.ExpectHeader(pdu.CmdEnquireLinkResp, pdu.StatusOK, p.Send(&pdu.EnquireLink{}))
	if n := budget.InHand(); n == 0 {
		t.Error("who is not bound has nothing in hand")
	}
}

func TestConnectionsOfAnAddressAreBounded(t *testing.T) {
	w := newWorld(t, Config{MaxPerAddress: 2})
	w.bind(pdu.Bind{})
	w.bind(pdu.Bind{})
	smpptest.NewPeer(t, dialRaw(t, w.addr())).ExpectClosed()
	if n := w.srv.Stats.ConnectCount.Load(); n != 3 {
		t.Errorf("connect_count %d, want 3", n)
	}
	if n := w.srv.Stats.ConnectedCount(); n != 2 {
		t.Errorf("connected_count %d, want 2", n)
	}
}
