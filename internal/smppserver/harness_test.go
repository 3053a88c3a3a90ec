package smppserver

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"jasmind/internal/account"
	"jasmind/internal/admission"
	"jasmind/internal/mt"
	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
	"jasmind/internal/throw"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var discard = slog.New(slog.DiscardHandler)

// deadline bounds the waits for what is sure to come.
const deadline = 2 * time.Minute

// world is a door with accounts, a submitter and receivers of the test's.
type world struct {
	t     testing.TB
	srv   *Server
	ended chan error // of Serve

	mu     sync.Mutex
	users  map[string]*account.User
	groups map[sms.GroupID]*account.Group
	took   []*mt.Message
	answer func(*mt.Message) error // nil: accepts
	bound  map[throw.Receiver]string
	change chan struct{}
	serial int
	states fakeStates
}

func newWorld(t testing.TB, cfg Config, edit ...func(*account.User)) *world {
	t.Helper()
	return newWorldWith(t, admission.LoginConfig{}, cfg, edit...)
}

func newWorldWith(t testing.TB, logins admission.LoginConfig, cfg Config, edit ...func(*account.User)) *world {
	t.Helper()
	w := &world{t: t, ended: make(chan error, 1), users: map[string]*account.User{}, groups: map[sms.GroupID]*account.Group{"g1": {GID: "g1", Enabled: true}},
		bound: map[throw.Receiver]string{}, change: make(chan struct{}, 1)}
	w.setUser("foo", edit...)
	cfg.Bind = "127.0.0.1"
	w.srv = New(cfg, Deps{Auth: account.NewAuthenticator(account.AuthConfig{Logins: admission.NewLogins(logins)}, w), Accounts: w, Submit: w, States: &w.states, Receivers: w, Log: discard})
	if err := w.srv.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() { w.ended <- w.srv.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case <-w.ended:
		case <-time.After(deadline):
			t.Error("the door does not end")
		}
	})
	return w
}

// setUser makes or replaces a user: his uid is u_name, his password bar.
func (w *world) setUser(name string, edit ...func(*account.User)) {
	pw, err := account.DeclaredPassword("bar")
	if err != nil {
		w.t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.serial++
	u := &account.User{UID: sms.UserID("u_" + name), GID: "g1", Username: name, Password: pw, Enabled: true, Credentials: account.DefaultCredentials(), Version: uint64(w.serial)}
	for _, f := range edit {
		f(u)
	}
	w.users[name] = u
}

func (w *world) Account(username string) (*account.User, *account.Group) {
	w.mu.Lock()
	defer w.mu.Unlock()
	u := w.users[username]
	if u == nil {
		return nil, nil
	}
	return u, w.groups[u.GID]
}

func (w *world) User(uid sms.UserID) *account.User {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, u := range w.users {
		if u.UID == uid {
			return u
		}
	}
	return nil
}

func (w *world) Upgrade(*account.User, account.Password) {}

func (w *world) Submit(_ context.Context, m *mt.Message) (mt.Accepted, error) {
	w.mu.Lock()
	answer := w.answer
	w.mu.Unlock()
	if answer != nil {
		if err := answer(m); err != nil {
			return mt.Accepted{}, err
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.took = append(w.took, m)
	id := m.ID
	if id == "" {
		id = sms.MessageID("id-" + strings.ReplaceAll(string(m.PDU.ShortMessage[:min(len(m.PDU.ShortMessage), 20)]), "\x00", "0"))
	}
	return mt.Accepted{ID: id, CID: "smsc1", Parts: 1}, nil
}

func (w *world) SubmitAll(ctx context.Context, ms []*mt.Message) []mt.Result {
	out := make([]mt.Result, len(ms))
	for i, m := range ms {
		out[i].Accepted, out[i].Err = w.Submit(ctx, m)
	}
	return out
}

func (w *world) Bound(systemID string, r throw.Receiver) {
	w.mu.Lock()
	w.bound[r] = systemID
	w.mu.Unlock()
	w.poke()
}

func (w *world) Unbound(_ string, r throw.Receiver) {
	w.mu.Lock()
	delete(w.bound, r)
	w.mu.Unlock()
	w.poke()
}

func (w *world) poke() {
	select {
	case w.change <- struct{}{}:
	default:
	}
}

func (w *world) answers(f func(*mt.Message) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answer = f
}

func (w *world) messages() []*mt.Message {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]*mt.Message(nil), w.took...)
}

func (w *world) receivers() []throw.Receiver {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []throw.Receiver
	for r := range w.bound {
		out = append(out, r)
	}
	return out
}

func (w *world) addr() string { return w.srv.Addrs()[0].String() }

// esme is a session of the test's.
type esme struct {
	*smpp.Session
	ran chan error
	got chan pdu.PDU
}

func (w *world) dial(b pdu.Bind, cfg smpp.DialConfig) (*esme, error) {
	if b.SystemID == "" {
		b.SystemID = "foo"
	}
	if b.Password == "" {
		b.Password = "bar"
	}
	b.InterfaceVersion = 0x34
	cfg.Bind = b
	if cfg.Config.Window == 0 {
		cfg.Config.Window = 100
	}
	e := &esme{ran: make(chan error, 1), got: make(chan pdu.PDU, 1000)}
	if cfg.Config.Handler == nil {
		cfg.Config.Handler = smpp.HandlerFunc(func(_ *smpp.Session, r *smpp.Request) {
			e.got <- r.PDU
			_ = r.Respond(pdu.StatusOK, nil)
		})
	}
	s, _, err := smpp.Dial(w.t.Context(), "tcp", w.addr(), cfg)
	if err != nil {
		return nil, err
	}
	e.Session = s
	go func() { e.ran <- s.Run(context.Background()) }()
	w.t.Cleanup(func() {
		s.Close(nil)
		<-s.Done()
	})
	return e, nil
}

func (w *world) bind(b pdu.Bind) *esme {
	w.t.Helper()
	e, err := w.dial(b, smpp.DialConfig{})
	if err != nil {
		w.t.Fatal(err)
	}
	return e
}

// do sends a request and gives the status and the response.
func (e *esme) do(t testing.TB, p pdu.PDU) (pdu.Status, pdu.PDU) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	r, err := e.Do(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	return r.Header.Status, r.PDU
}

func submitSM(to, text string) *pdu.SubmitSM {
	return &pdu.SubmitSM{Message: pdu.Message{Source: pdu.Address{TON: 5, Addr: "ACME"}, Dest: pdu.Address{TON: 1, NPI: 1, Addr: to}, ShortMessage: []byte(text)}}
}

// until waits until f holds.
func until(t testing.TB, what string, f func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	end := time.After(deadline)
	for !f() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("still waiting: %s", what)
		}
	}
}

func receive[T any](t testing.TB, what string, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(deadline):
		t.Fatalf("%s did not come", what)
		panic("unreachable")
	}
}

// statusOfBind tries a bind and gives its status.
func (w *world) statusOfBind(b pdu.Bind) pdu.Status {
	w.t.Helper()
	e, err := w.dial(b, smpp.DialConfig{})
	var se *smpp.StatusError
	switch {
	case err == nil:
		e.Close(nil)
		<-e.Done()
		until(w.t, "session leaves the server", func() bool { return len(w.srv.Peers("u_"+sms.UserID(b.SystemID))) == 0 })
		return pdu.StatusOK
	case errors.As(err, &se):
		return se.Status
	}
	w.t.Fatal(err)
	return 0
}

func dialRaw(t testing.TB, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}
