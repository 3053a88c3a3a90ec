package jcli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"jasmind/internal/account"
	"jasmind/internal/admission"
	"jasmind/internal/billing"
	"jasmind/internal/connector/fleet"
	"jasmind/internal/provision"
	"jasmind/internal/routing"
	"jasmind/internal/sms"
)

// client types into a console and reads what it shows, as an expect script does.
type client struct {
	t    testing.TB
	conn net.Conn
	r    *bufio.Reader
}

func dial(t testing.TB, f *fixture) *client {
	t.Helper()
	conn, err := net.Dial("tcp", f.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(5 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	return &client{t, conn, bufio.NewReader(conn)}
}

func (c *client) send(text string) {
	if _, err := io.WriteString(c.conn, text); err != nil {
		c.t.Error(err)
	}
}

// until reads up to and with text.
func (c *client) until(text string) string {
	var got []byte
	for !bytes.HasSuffix(got, []byte(text)) {
		b, err := c.r.ReadByte()
		if err != nil {
			c.t.Errorf("%v instead of %q, after %q", err, text, got)
			return string(got)
		}
		got = append(got, b)
	}
	return stripTelnet(got)
}

// do types a line and gives what is shown up to the next prompt.
func (c *client) do(line, prompt string) string {
	c.send(line + "\r\n")
	got := c.until("\r\n" + prompt)
	got, ok := strings.CutPrefix(got, line+"\r\n")
	if !ok {
		c.t.Errorf("no echo of %q in %q", line, got)
	}
	return strings.TrimSuffix(got, prompt)
}

// session types the lines of an interactive session, and gives the answer to the last.
func (c *client) session(lines ...string) string {
	for _, line := range lines[:len(lines)-1] {
		c.do(line, "> ")
	}
	return c.do(lines[len(lines)-1], mainPrompt)
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestTabCompletesCommandsAndKeys(t *testing.T) {
	f := serve(t, Config{}, Deps{})
	c := dial(t, f)
	c.until(mainPrompt)
	c.send("mo\t")
	if got := c.until("\r\n" + mainPrompt + "mo"); got != "mo\r\nmointerceptor morouter\r\njcli : mo" {
		t.Errorf("got %q", got)
	}
	c.send("r\t")
	if got := c.until("router "); got != "router " {
		t.Errorf("got %q", got)
	}
	if got := c.do("-l", mainPrompt); got != "Total MO Routes: 0\r\n" {
		t.Errorf("got %q", got)
	}
	c.send("xyz\t\r") // nothing begins like this
	if got := c.until("\r\n" + mainPrompt); got != "xyz\r\nIncorrect command: xyz, type help for a list of commands\r\njcli : " {
		t.Errorf("got %q", got)
	}
	c.do("group -a", "> ")
	c.send("g\t")
	c.until("gid ")
	c.send("g1\r\n")
	c.until("\r\n> ")
	if got := c.do("ok", mainPrompt); got != "Successfully added Group [g1]\r\n" {
		t.Errorf("got %q", got)
	}
}

func TestLinesCanBeEditedAndRecalled(t *testing.T) {
	f := serve(t, Config{}, Deps{})
	c := dial(t, f)
	c.until(mainPrompt)
	for _, keys := range []string{
		"grou -l\x1b[D\x1b[D\x1b[Dp\x1b[F", "xgroup -l\x1b[H\x1b[3~", "group -lll\x7f\x7f", "nonsense\x15group -l", "nonsense\x03group -l",
		"nonsense\xff\xf8group -l", "group -l", "\x1b[A", "\x10", "\x1b[A\x1b[A\x1b[B\x1b[B\x1bOA",
	} {
		c.send(keys + "\r")
		if got := c.until("\r\n" + mainPrompt); !strings.HasSuffix(got, "Total Groups: 0\r\n"+mainPrompt) || strings.Contains(got, "Incorrect") {
			t.Errorf("%q: got %q", keys, got)
		}
	}
}

func TestPasswordsAreNotShownAndNotRecalled(t *testing.T) {
	f := serve(t, Config{Authentication: true}, Deps{})
	c := dial(t, f)
	c.send("jcliadmin\r\njclipwd\r\n")
	if got := c.until(mainPrompt); strings.Contains(got, "jclipwd") {
		t.Errorf("got %q", got)
	}
	c.send("\x1b[A\x1b[A\r") // neither the password nor the username is in the history
	if got := c.until("\r\n" + mainPrompt); strings.Contains(got, "jcli") && strings.TrimSuffix(got, mainPrompt) != "\r\n" {
		t.Errorf("got %q", got)
	}
}

// No secret comes into a log: neither that of the console, nor what is typed in a session.
func TestSecretsAreNotLogged(t *testing.T) {
	var log syncBuffer
	p, err := account.HashPassword("console-secret")
	if err != nil {
		t.Fatal(err)
	}
	f := serve(t, Config{Authentication: true, AdminUsername: "admin", AdminPassword: p},
		Deps{Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	f.converse(t, atOnce("admin\nwrong-secret\nadmin\nconsole-secret\ngroup -a\ngid g1\nok\nuser -a\nuid u1\ngid g1\nusername foo\npassword user-secret\nok\n"+
		"smppccm -a\ncid smsc\npassword smsc-secret\nok\nuser -a\nuid u2\ngid g1\nusername foo\npassword user-secret\nok\nko\nquit\n"))
	got := log.String()
	if !strings.Contains(got, "logged in") || !strings.Contains(got, "login failed") || !strings.Contains(got, `line="user -a"`) || !strings.Contains(got, "change refused") {
		t.Errorf("the log is\n%s", got)
	}
	if strings.Contains(got, "secret") {
		t.Errorf("a secret is in the log:\n%s", got)
	}
}

type syncBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func TestLinesThatAreTooLongAreRefusedWhole(t *testing.T) {
	f := serve(t, Config{}, Deps{})
	screen := stripTelnet(f.converse(t, atOnce("group -a\ngid "+strings.Repeat("x", 5000)+"\nok\nko\nquit\n")))
	if want := "\r\nError: line is longer than 4096 characters\r\n> ok\r\nYou must set Group id (gid) before saving !\r\n> ko\r\n"; !strings.Contains(screen, want) {
		t.Errorf("got %q", screen[max(0, len(screen)-300):])
	}
	if n := strings.Count(screen, "x"); n > maxLine {
		t.Errorf("%d characters came back", n)
	}
}

// A line comes back as it was sent, however long it is: programs compare it.
func TestLongLinesAreNotBroken(t *testing.T) {
	f := serve(t, Config{}, Deps{})
	c := dial(t, f)
	c.until(mainPrompt)
	line := "nothing " + strings.Repeat("é1", 1000)
	if got := c.do(line, mainPrompt); got != "Incorrect command: "+line+", type help for a list of commands\r\n" {
		t.Errorf("got %q", got)
	}
}

func pipe(s *Server) net.Conn {
	near, far := net.Pipe()
	s.start(far)
	return near
}

func TestSilentSessionsEnd(t *testing.T) {
	for name, tt := range map[string]struct {
		cfg  Config
		keys string
		want time.Duration
	}{
		"who has logged in":       {Config{IdleTimeout: 10 * time.Minute}, "group -l\r", 10 * time.Minute},
		"who has not":             {Config{Authentication: true, LoginTimeout: 20 * time.Second}, "", 20 * time.Second},
		"who stops at a password": {Config{Authentication: true, LoginTimeout: 20 * time.Second}, "admin\r", 20 * time.Second},
		"the default":             {Config{}, "gro", time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := New(tt.cfg, Deps{Store: provision.NewStore(), Log: quiet()})
				conn := pipe(s)
				begin := time.Now()
				sent := make(chan struct{})
				go func() { defer close(sent); _, _ = io.WriteString(conn, tt.keys) }()
				got, err := io.ReadAll(conn)
				<-sent
				if err != nil || !strings.HasSuffix(string(got), "\r\nSession timed out.\r\n") {
					t.Errorf("%v, %q", err, got)
				}
				if d := time.Since(begin); d != tt.want {
					t.Errorf("after %s, want %s", d, tt.want)
				}
				if err := s.Shutdown(context.Background()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A login has one deadline, however many keys and attempts it takes: whoever types slowly does not keep the places of
// others. Who has logged in has the time of a session from then on.
func TestSlowLoginsEnd(t *testing.T) {
	password, err := account.HashPassword("jclipwd")
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		keys string // one each 25 s
		want time.Duration
	}{
		"one octet of a username at a time":  {strings.Repeat("a", 100), time.Minute},
		"empty usernames":                    {strings.Repeat("\r", 100), time.Minute},
		"one octet of a password at a time":  {"a\r" + strings.Repeat("a", 100), time.Minute},
		"an attempt at a time":               {"a\rb\rc\rd\r", time.Minute},
		"what telnet says beside":            {strings.Repeat("\xff", 100), time.Minute},
		"a login that succeeds at its leave": {"", 40*time.Second + time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := New(Config{Authentication: true, AdminUsername: "a", AdminPassword: password}, Deps{Store: provision.NewStore(), Auth: account.NewAuthenticator(account.AuthConfig{}, nil), Log: quiet()})
				conn := pipe(s)
				begin := time.Now()
				typed := make(chan struct{})
				go func() {
					defer close(typed)
					if tt.keys == "" {
						time.Sleep(40 * time.Second)
						_, _ = io.WriteString(conn, "a\rjclipwd\r")
						return
					}
					for i := range len(tt.keys) {
						time.Sleep(25 * time.Second)
						if _, err := io.WriteString(conn, tt.keys[i:i+1]); err != nil {
							return
						}
					}
				}()
				got, err := io.ReadAll(conn)
				if err != nil || !strings.HasSuffix(string(got), "\r\nSession timed out.\r\n") {
					t.Errorf("%v, %q", err, got)
				}
				if d := time.Since(begin); d != tt.want {
					t.Errorf("after %s, want %s", d, tt.want)
				}
				<-typed
				if err := s.Shutdown(context.Background()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// Who is not allowed, or has too many sessions, is closed without a word, so that he keeps nobody out.
func TestStrangersAreClosedAtOnce(t *testing.T) {
	for name, cfg := range map[string]Config{
		"not on the list":   {Allow: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}},
		"too many sessions": {MaxPerAddress: 1},
	} {
		t.Run(name, func(t *testing.T) {
			f := serve(t, cfg, Deps{})
			if cfg.MaxPerAddress == 1 {
				dial(t, f).until(mainPrompt)
			}
			c := dial(t, f)
			if got, err := io.ReadAll(c.conn); len(got) != 0 || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

// So many wrong passwords are looked at, whatever the number of sessions.
func TestTooManyFailedLoginsAreRefused(t *testing.T) {
	logins := admission.NewLogins(admission.LoginConfig{PerName: 1})
	f := serve(t, Config{Authentication: true}, Deps{Auth: account.NewAuthenticator(account.AuthConfig{Logins: logins}, nil)})
	first := stripTelnet(f.converse(t, atOnce(strings.Repeat("jcliadmin\nwrong\n", 2))))
	if !strings.Contains(first, "Incorrect Username/Password.\r\n\r\nUsername: ") || !strings.HasSuffix(first, " seconds.\r\n") {
		t.Errorf("wrong ones: %q", first)
	}
	if got := stripTelnet(f.converse(t, atOnce("jcliadmin\njclipwd\nquit\n"))); !strings.Contains(got, "Too many failed logins, try again in ") || strings.Contains(got, "Welcome") {
		t.Errorf("the right one: %q", got)
	}
}

// A client that asks and does not read is given up; what it asked for does not pile up.
func TestClientsThatDoNotReadAreGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Config{WriteTimeout: 5 * time.Second}, Deps{Store: provision.NewStore(), Log: quiet()})
		conn := pipe(s)
		begin := time.Now()
		if _, err := conn.Read(make([]byte, 200)); err != nil {
			t.Fatal(err)
		}
		for {
			if _, err := io.WriteString(conn, "help user\r"); err != nil {
				break
			}
		}
		if d := time.Since(begin); d != 5*time.Second {
			t.Errorf("after %s", d)
		}
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

func TestTooManySessionsAreRefused(t *testing.T) {
	f := serve(t, Config{MaxSessions: 2}, Deps{})
	a, b := dial(t, f), dial(t, f)
	a.until(mainPrompt)
	b.until(mainPrompt)
	if got, err := io.ReadAll(dial(t, f).conn); err != nil || string(got) != "Too many sessions, try again later.\r\n" {
		t.Errorf("%q, %v", got, err)
	}
	a.send("quit\r\n")
	if _, err := io.ReadAll(a.r); err != nil {
		t.Error(err)
	}
	for { // until the place of a is free
		c := dial(t, f)
		if first, err := c.r.Peek(1); err == nil && first[0] == telnetIAC {
			c.until(mainPrompt)
			break
		}
	}
}

func TestShutdownEndsSessions(t *testing.T) {
	f := serve(t, Config{}, Deps{})
	c := dial(t, f)
	c.until(mainPrompt)
	c.do("group -a", "> ")
	if err := f.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if got, err := io.ReadAll(c.r); err != nil || len(got) != 0 {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := net.Dial("tcp", f.Addr().String()); err == nil {
		t.Error("new sessions are still accepted")
	}
}

func TestControlDEndsASessionAndControlCALine(t *testing.T) {
	f := serve(t, Config{}, Deps{})
	got := stripTelnet(f.converse(t, atOnce("group -l\r\nxyz\x03\r\n\x04")))
	if !strings.Contains(got, "Total Groups: 0\r\n") || strings.Contains(got, "Incorrect") {
		t.Errorf("got %q", got)
	}
}

// What a provisioning file declares cannot be changed here, and the file is named.
func TestDeclaredThingsAreRefused(t *testing.T) {
	f := serve(t, Config{}, Deps{})
	doc, err := provision.Parse("prod.yaml", []byte("groups: [{gid: g1}]\nusers: [{uid: u1, username: foo, password: bar, gid: g1}]\nsmpp_connectors: [{cid: smsc, started: no}]\n"+
		"filters: [{fid: f1, type: TransparentFilter}]\nmt_routes: [{type: DefaultRoute, connector: smppc(smsc)}]\nhttp_connectors: [{cid: http1, url: 'http://h/', method: GET}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.store.ApplyDocument(doc); err != nil {
		t.Fatal(err)
	}
	before := f.store.Snapshot()
	c := dial(t, f)
	c.until(mainPrompt)
	for line, want := range map[string]string{
		"group -r g1":        "Failed removing Group: group g1 is declared in prod.yaml and can only be changed there\r\n",
		"group -d g1":        "Failed disabling Group: group g1 is declared in prod.yaml and can only be changed there\r\n",
		"user -d u1":         "Failed disabling User: user u1 is declared in prod.yaml and can only be changed there\r\n",
		"user -r u1":         "Failed removing User: user u1 is declared in prod.yaml and can only be changed there\r\n",
		"user --smpp-ban u1": "Failed banning User: user u1 is declared in prod.yaml and can only be changed there\r\n",
		"filter -r f1":       "Failed removing Filter: filter f1 is declared in prod.yaml and can only be changed there\r\n",
		"mtrouter -r 0":      "Failed removing MT Route: MT route 0 is declared in prod.yaml and can only be changed there\r\n",
		"mtrouter -f":        "Successfully flushed MT Route table (0 flushed entries)\r\n",
		"smppccm -r smsc":    "Failed removing connector: SMPP connector smsc is declared in prod.yaml and can only be changed there\r\n",
		"httpccm -r http1":   "Failed removing Httpcc: HTTP connector http1 is declared in prod.yaml and can only be changed there\r\n",
	} {
		if got := c.do(line, mainPrompt); got != want {
			t.Errorf("%s: got %q, want %q", line, got, want)
		}
	}
	c.do("user -u u1", "> ")
	c.do("password other", "> ")
	if got := c.do("ok", "> "); !strings.HasPrefix(got, "Failed updating User: user u1 is declared in prod.yaml") {
		t.Errorf("got %q", got)
	}
	c.do("ko", mainPrompt)
	if f.store.Snapshot() != before {
		t.Error("something has changed")
	}
	if got := c.do("smppccm -1 smsc", mainPrompt); got != "Successfully started connector id:smsc\r\n" {
		t.Errorf("got %q", got)
	}
}

// left is connectors whose queues hold something.
type left struct{ fakeConnectors }

func (left) Waiting(_ context.Context, cid sms.ConnectorID) (int, error) {
	return map[sms.ConnectorID]int{"full": 12}[cid], map[sms.ConnectorID]error{"away": errors.New("RabbitMQ does not answer")}[cid]
}

func (left) Orphans() []fleet.Orphan {
	return []fleet.Orphan{{CID: "full", Messages: 12}, {CID: "gone", Messages: 1}}
}

func TestWhatWaitsForARemovedConnectorIsTold(t *testing.T) {
	f := serve(t, Config{}, Deps{Connectors: left{}})
	c := dial(t, f)
	c.until(mainPrompt)
	for cid, want := range map[string]string{
		"full":  "12 messages wait in its queue until a connector with this id is added\r\n",
		"empty": "",
		"away":  "What waits in its queue is not known: RabbitMQ does not answer\r\n",
	} {
		c.do("smppccm -a", "> ")
		c.do("cid "+cid, "> ")
		c.do("ok", mainPrompt)
		if got := c.do("smppccm -r "+cid, mainPrompt); got != "Successfully removed connector id:"+cid+"\r\n"+want {
			t.Errorf("%s: got %q", cid, got)
		}
	}
	want := "Total connectors: 0\r\nNot configured: full, 12 messages wait in its queue\r\nNot configured: gone, 1 messages wait in its queue\r\n"
	if got := c.do("smppccm -l", mainPrompt); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A change works with what there is when it is saved: what other sessions did meanwhile stays.
func TestAnUpdateKeepsWhatOthersChangedMeanwhile(t *testing.T) {
	f := serve(t, Config{}, Deps{})
	a, b := dial(t, f), dial(t, f)
	a.until(mainPrompt)
	b.until(mainPrompt)
	a.session("group -a", "gid g1", "ok")
	a.session("user -a", "uid u1", "gid g1", "username foo", "password bar", "mt_messaging_cred quota balance 10", "ok")
	a.do("user -u u1", "> ")
	a.do("mt_messaging_cred quota balance +5", "> ")
	b.session("user -u u1", "mt_messaging_cred quota balance +7", "mt_messaging_cred authorization http_send no", "ok")
	a.do("ok", mainPrompt)
	u := f.store.Snapshot().User("u1")
	if u.MT.Quota.Balance.Value.String() != "22" || u.MT.Authorization.HTTPSend {
		t.Errorf("balance %s, http_send %t", u.MT.Quota.Balance.Value, u.MT.Authorization.HTTPSend)
	}
	a.do("user -u u1", "> ")
	a.do("password other", "> ")
	b.do("user -r u1", mainPrompt)
	if got := a.do("ok", "> "); got != "Failed updating User: user u1 does not exist\r\n" {
		t.Errorf("got %q", got)
	}
}

// knowing is a book that knows what is left to u1.
type knowing struct{ book }

func (*knowing) Left(_ context.Context, uid sms.UserID) (billing.Credit, bool) {
	if uid != "u1" {
		return billing.Credit{}, false
	}
	return billing.Credit{HasBalance: true, Balance: 3_500_000, HasCount: true, Count: 7}, true
}

func TestQuotasAreThoseOfTheLedger(t *testing.T) {
	store := provision.NewStore()
	ledger := &knowing{book{store: store}}
	f := serve(t, Config{}, Deps{Store: store, Accounts: ledger})
	c := dial(t, f)
	c.until(mainPrompt)
	c.session("group -a", "gid g1", "ok")
	c.session("user -a", "uid u1", "gid g1", "username foo", "password bar", "mt_messaging_cred quota balance 10", "ok")
	if got := c.do("user -l", mainPrompt); !strings.Contains(got, "foo              3.5     7      ND/ND\r\n") {
		t.Errorf("got %q", got)
	}
	if got := c.do("user -s u1", mainPrompt); !strings.Contains(got, "quota balance 3.5\r\n") || !strings.Contains(got, "quota sms_count 7\r\n") {
		t.Errorf("got %q", got)
	}
	c.session("user -u u1", "mt_messaging_cred quota balance -0.5", "mt_messaging_cred quota sms_count none", "mt_messaging_cred quota early_percent 5", "ok")
	if got := ledger.take(); got != "u1 balance 10 false; u1 balance -0.5 true; u1 sms_count none false" {
		t.Errorf("got %s", got)
	}
}

// Fifty sessions change everything at once; then everything is as the last of them left it.
func TestManySessionsAtOnce(t *testing.T) {
	const sessions, rounds = 50, 2
	f := serve(t, Config{}, Deps{Connected: documentedConnectors{}, HTTPAPI: documentedHTTP, SMPPServer: documentedSMPP, Profiles: &lockedProfiles{}})
	var wg sync.WaitGroup
	for n := range sessions {
		wg.Go(func() {
			c := dial(t, f)
			c.until(mainPrompt)
			id := fmt.Sprintf("s%d", n)
			expect := func(got, want string) {
				if got != want {
					t.Errorf("%s: got %q, want %q", id, got, want)
				}
			}
			for range rounds {
				expect(c.session("group -a", "gid "+id, "ok"), "Successfully added Group ["+id+"]\r\n")
				expect(c.session("user -a", "uid "+id, "gid "+id, "username "+id, "password x", "ok"), "Successfully added User ["+id+"] to Group ["+id+"]\r\n")
				expect(c.session("smppccm -a", "cid con-"+id, "ok"), "Successfully added connector [con-"+id+"]\r\n")
				expect(c.session("filter -a", "type userfilter", "uid "+id, "fid "+id, "ok"), "Successfully added Filter [UserFilter] with fid:"+id+"\r\n")
				order := itoa(n + 1)
				expect(c.session("mtrouter -a", "type staticmtroute", "order "+order, "filters "+id, "connector smppc(con-"+id+")", "rate 1", "ok"),
					"Successfully added MTRoute [StaticMTRoute] with order:"+order+"\r\n")
				expect(c.do("smppccm -1 con-"+id, mainPrompt), "Successfully started connector id:con-"+id+"\r\n")
				c.session("user -u "+id, "mt_messaging_cred quota balance +5", "ok")
				for _, line := range []string{"user -l", "mtrouter -l", "smppccm -l", "stats --users", "persist", "filter -s " + id} {
					if got := c.do(line, mainPrompt); !strings.HasSuffix(got, "\r\n") {
						t.Errorf("%s: %q", line, got)
					}
				}
				expect(c.do("smppccm -r con-"+id, mainPrompt), "Failed removing connector: SMPP connector con-"+id+" is used by MT route "+order+"\r\n")
				expect(c.do("mtrouter -r "+order, mainPrompt), "Successfully removed MT Route with order:"+order+"\r\n")
				for _, line := range []string{"smppccm -r con-" + id, "filter -r " + id, "user -r " + id, "group -r " + id} {
					if got := c.do(line, mainPrompt); !strings.HasPrefix(got, "Successfully removed ") {
						t.Errorf("%s: %q", line, got)
					}
				}
			}
			c.session("group -a", "gid "+id, "ok")
		})
	}
	wg.Wait()
	snap := f.store.Snapshot()
	if len(snap.Groups()) != sessions || len(snap.Users()) != 0 || len(snap.SMPPConnectors()) != 0 || len(snap.Filters()) != 0 || len(snap.Routes(routing.MT)) != 0 {
		t.Errorf("%d groups, %d users, %d connectors, %d filters, %d routes", len(snap.Groups()), len(snap.Users()), len(snap.SMPPConnectors()), len(snap.Filters()), len(snap.Routes(routing.MT)))
	}
}

type lockedProfiles struct {
	mu    sync.Mutex // guards saved
	saved int
}

func (p *lockedProfiles) Persist(string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.saved++
	return nil
}
func (p *lockedProfiles) Load(string) error { return nil }
