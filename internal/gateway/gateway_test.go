package gateway_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"jasmind/internal/certs/certstest"
	"jasmind/internal/config"
	"jasmind/internal/gateway"
	"jasmind/internal/localdb"
	"jasmind/internal/queue"
	queuepebble "jasmind/internal/queue/pebble"
	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smpp/receipt"
	"jasmind/internal/sms"
	storepebble "jasmind/internal/store/pebble"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// smsc is a small SMSC that accepts everything and sends a receipt for what asks for one.
type smsc struct {
	addr string
	n    atomic.Int64
	mu   sync.Mutex
	got  []*pdu.SubmitSM
}

// serve runs an SMSC that accepts every bind, and gives its address.
func serve(t testing.TB, handler smpp.HandlerFunc) string {
	t.Helper()
	srv := smpp.NewServer(smpp.ServerConfig{Config: smpp.Config{
		Bind: func(_ context.Context, _ *smpp.Session, b *pdu.Bind) (pdu.Status, *pdu.BindResp) {
			return pdu.StatusOK, &pdu.BindResp{Type: b.Type, SystemID: "smsc"}
		},
		Window:  1000,
		Handler: handler,
	}})
	ctx, cancel := context.WithCancel(context.Background())
	if err := srv.Listen(ctx, "tcp", "127.0.0.1:0", nil); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return srv.Addr().String()
}

func startSMSC(t testing.TB, keep bool) *smsc {
	t.Helper()
	s := &smsc{}
	s.addr = serve(t, func(ss *smpp.Session, r *smpp.Request) {
		sm, ok := r.PDU.(*pdu.SubmitSM)
		if !ok {
			_ = r.Respond(pdu.StatusInvCmdID, nil)
			return
		}
		id := fmt.Sprintf("%d", s.n.Add(1))
		_ = r.Respond(pdu.StatusOK, &pdu.SubmitSMResp{MessageID: id})
		if keep {
			s.mu.Lock()
			s.got = append(s.got, sm)
			s.mu.Unlock()
		}
		if sm.RegisteredDelivery == 0 {
			return
		}
		d := &pdu.DeliverSM{}
		d.Source, d.Dest = sm.Dest, sm.Source
		now := time.Now()
		if err := receipt.Fill(&d.Message, &receipt.Receipt{ID: id, Sub: "001", Dlvrd: "001", SubmitDate: receipt.FormatDate(now), DoneDate: receipt.FormatDate(now), State: "DELIVRD", MessageState: pdu.StateDelivered, Err: "000", Text: "x"}); err != nil {
			t.Error(err)
		}
		_ = ss.Send(context.Background(), d, func(smpp.Response, error) {})
	})
	return s
}

func (s *smsc) messages() []*pdu.SubmitSM {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*pdu.SubmitSM(nil), s.got...)
}

// provisioning declares user foo/bar and a connector to addr.
func provisioning(t testing.TB, addr, extra string) string {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "provision.yaml")
	text := fmt.Sprintf(`groups:
  - gid: foogroup
users:
  - uid: foo
    username: foo
    password: bar
    gid: foogroup
smpp_connectors:
  - cid: abc
    host: %s
    port: %s
    submit_throughput: 0
    con_fail_delay: 1
    con_loss_delay: 1
    %s
mt_routes:
  - type: DefaultRoute
    connector: smppc(abc)
`, host, port, extra)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func env(vars map[string]string) config.Environment {
	return func(name string) (string, bool) { v, ok := vars[name]; return v, ok }
}

// start runs an embedded gateway over the data in root. settings come as pairs of variable and value.
func start(t testing.TB, root, provision string, settings ...string) *gateway.Gateway {
	t.Helper()
	vars := map[string]string{
		"ROOT_PATH": root, "GATEWAY_MODE": "embedded", "SMPP_SERVER_PORT": "0", "JCLI_PORT": "0", "HTTP_API_PORT": "0", "HTTP_API_BIND": "127.0.0.1",
		"DLR_THROWER_RETRY_DELAY": "0.05", "DLR_THROWER_MAX_RETRIES": "100", "SMPP_SERVER_SESSIONINITTIMERSECS": "120",
	}
	for pair := range slices.Chunk(settings, 2) {
		vars[pair[0]] = pair[1]
	}
	cfg, err := config.Load(config.Options{Environment: env(vars)})
	if err != nil {
		t.Fatal(err)
	}
	g, err := gateway.New(gateway.Options{Config: cfg, Provision: provision, Version: "test", Stdout: &bytes.Buffer{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return g
}

func stop(t testing.TB, g *gateway.Gateway) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := g.Stop(ctx); err != nil {
		t.Error(err)
	}
}

// until waits until f holds.
func until(t testing.TB, what string, f func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(2 * time.Minute)
	for !f() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("still waiting: %s", what)
		}
	}
}

var success = regexp.MustCompile(`^Success "([0-9a-f-]{36})"$`)

func send(t testing.TB, g *gateway.Gateway, params url.Values) string {
	t.Helper()
	for k, v := range map[string]string{"username": "foo", "password": "bar", "to": "06222172", "content": "hello"} {
		if !params.Has(k) {
			params.Set(k, v)
		}
	}
	resp, err := http.Get("http://" + g.Addresses()["http-api"] + "/send?" + params.Encode())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	defer http.DefaultClient.CloseIdleConnections()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	m := success.FindSubmatch(body)
	if m == nil {
		t.Fatalf("%s %s", resp.Status, body)
	}
	return string(m[1])
}

func TestRoundTripWithBothDLRs(t *testing.T) {
	s := startSMSC(t, true)
	dlrs := make(chan url.Values, 10)
	sink := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		dlrs <- r.Form
		fmt.Fprint(w, "ACK/Jasmin")
	}))
	defer sink.Close()
	g := start(t, t.TempDir(), provisioning(t, s.addr, "window: 10"))
	defer stop(t, g)
	id := send(t, g, url.Values{"from": {"1234"}, "dlr-url": {sink.URL}, "dlr-level": {"3"}})
	seen := map[string]url.Values{}
	for range 2 {
		select {
		case v := <-dlrs:
			seen[v.Get("level")] = v
		case <-time.After(2 * time.Minute):
			t.Fatalf("no DLR; so far %v", seen)
		}
	}
	one, two := seen["1"], seen["2"]
	if one.Get("id") != id || one.Get("message_status") != "ESME_ROK" || one.Get("connector") != "abc" || len(one) != 4 {
		t.Errorf("level 1: %v", one)
	}
	if two.Get("id") != id || two.Get("message_status") != "DELIVRD" || two.Get("connector") != "abc" || two.Get("id_smsc") != "1" ||
		two.Get("err") != "000" || two.Get("sub") != "001" || two.Get("dlvrd") != "001" || len(two) != 11 {
		t.Errorf("level 2: %v", two)
	}
	got := s.messages()[0]
	if got.Dest.Addr != "06222172" || got.Source.Addr != "1234" || string(got.ShortMessage) != "hello" || got.ESMClass != pdu.ESMModeStoreForward {
		t.Errorf("at the SMSC: %+v", got)
	}
}

func TestAcceptedMessagesOutliveARestart(t *testing.T) {
	root := t.TempDir()
	// Nobody listens there: messages wait.
	g := start(t, root, provisioning(t, "127.0.0.1:1", ""))
	for range 20 {
		send(t, g, url.Values{})
	}
	stop(t, g)
	s := startSMSC(t, true)
	g = start(t, root, provisioning(t, s.addr, ""))
	defer stop(t, g)
	until(t, "20 messages at the SMSC", func() bool { return len(s.messages()) >= 20 })
	if n := len(s.messages()); n != 20 {
		t.Errorf("%d messages", n)
	}
}

func TestReloadReadsTheCertificatesOfEveryDoorAgain(t *testing.T) {
	dir := t.TempDir()
	ca := certstest.Self(t, dir, "ca")
	own := ca.Issue(t, dir, "server")
	g := start(t, t.TempDir(), "", "HTTP_API_SSL", "True", "HTTP_API_SSL_CERTIFICATE", own.Cert, "HTTP_API_SSL_KEY", own.Key,
		"SMPP_SERVER_SSL", "True", "SMPP_SERVER_SSL_CERTIFICATE", own.Cert, "SMPP_SERVER_SSL_KEY", own.Key)
	defer stop(t, g)
	shown := func(door string) string {
		t.Helper()
		conn, err := (&tls.Dialer{Config: &tls.Config{RootCAs: ca.Pool(), ServerName: "127.0.0.1"}}).DialContext(t.Context(), "tcp", g.Addresses()[door])
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].Subject.SerialNumber
	}
	for _, door := range []string{"http-api", "smpp-server"} {
		was := shown(door)
		now := ca.Issue(t, dir, "server")
		if err := g.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := shown(door); got == was || got != now.Pair.Leaf.Subject.SerialNumber {
			t.Errorf("%s shows %s after %s", door, got, was)
		}
		if err := os.WriteFile(own.Key, []byte("no key"), 0o600); err != nil {
			t.Fatal(err)
		}
		err := g.Reload(t.Context())
		for _, name := range []string{"http-api", "smpp-server"} {
			if err == nil || !strings.Contains(err.Error(), name+": ssl_certificate "+own.Cert) {
				t.Errorf("the fault of %s is not named: %v", name, err)
			}
		}
		if got := shown(door); got != now.Pair.Leaf.Subject.SerialNumber {
			t.Errorf("%s shows %s after a fault", door, got)
		}
	}
}

func TestReloadAppliesTheDifference(t *testing.T) {
	a, b := startSMSC(t, true), startSMSC(t, true)
	path := provisioning(t, a.addr, "")
	g := start(t, t.TempDir(), path)
	defer stop(t, g)
	send(t, g, url.Values{})
	until(t, "a message at the first SMSC", func() bool { return len(a.messages()) == 1 })
	text, err := os.ReadFile(provisioning(t, b.addr, ""))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.Replace(text, []byte("password: bar"), []byte("password: new"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := g.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	send(t, g, url.Values{"password": {"new"}})
	until(t, "a message at the second SMSC", func() bool { return len(b.messages()) == 1 })

	if err := os.WriteFile(path, []byte("users: [{uid: foo}]\nnonsense: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	err = g.Reload(t.Context())
	if err == nil || !strings.Contains(err.Error(), path+":2") {
		t.Errorf("faulty file: %v", err)
	}
	send(t, g, url.Values{"password": {"new"}})
	until(t, "another one", func() bool { return len(b.messages()) == 2 })
}

func TestSecondInstanceOnTheSameDataIsRefused(t *testing.T) {
	root := t.TempDir()
	s := startSMSC(t, false)
	p := provisioning(t, s.addr, "")
	g := start(t, root, p)
	defer stop(t, g)
	cfg, err := config.Load(config.Options{Environment: env(map[string]string{"ROOT_PATH": root, "GATEWAY_MODE": "embedded", "SMPP_SERVER_PORT": "0", "JCLI_PORT": "0", "HTTP_API_PORT": "0"})})
	if err != nil {
		t.Fatal(err)
	}
	second, err := gateway.New(gateway.Options{Config: cfg, Stdout: &bytes.Buffer{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Start(t.Context()); err == nil || !strings.Contains(err.Error(), root) {
		t.Errorf("got %v", err)
	}
}

func TestServicesModeDoesNotForgetEmbeddedMessages(t *testing.T) {
	root := t.TempDir()
	g := start(t, root, provisioning(t, "127.0.0.1:1", ""))
	send(t, g, url.Values{})
	stop(t, g)
	refusesServices(t, root, 1)
}

// refusesServices wants a start in services mode to be refused because of what the embedded database under root holds.
func refusesServices(t *testing.T, root string, messages int) {
	t.Helper()
	cfg, err := config.Load(config.Options{Environment: env(map[string]string{"ROOT_PATH": root, "GATEWAY_MODE": "services", "SMPP_SERVER_PORT": "0", "JCLI_PORT": "0", "HTTP_API_PORT": "0",
		"AMQP_BROKER_PORT": "1", "REDIS_CLIENT_PORT": "1"})})
	if err != nil {
		t.Fatal(err)
	}
	g, err := gateway.New(gateway.Options{Config: cfg, Stdout: &bytes.Buffer{}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second) // for those that are not there
	defer cancel()
	err = g.Start(ctx)
	var refused *gateway.ConfigurationError
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), fmt.Sprintf("holds %d messages", messages)) {
		t.Errorf("got %v", err)
	}
}

// What waits for its time, and parts of long MOs whose others have not come, are messages too.
func TestServicesModeForgetsNeitherDelayedMessagesNorParts(t *testing.T) {
	delayed := func(t *testing.T, db *localdb.DB) {
		d, err := queuepebble.New(db, queuepebble.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		if err := d.Declare(t.Context(), "q"); err != nil {
			t.Fatal(err)
		}
		if err := d.Publish(t.Context(), queue.Publication{Queue: "q", Message: queue.Message{ID: "m"}}); err != nil {
			t.Fatal(err)
		}
		c, err := d.Consume(t.Context(), "q", 1)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Retry(t.Context(), queue.Retry{Delivery: <-c.C(), After: time.Hour}); err != nil {
			t.Fatal(err)
		}
	}
	parts := func(t *testing.T, db *localdb.DB) {
		for seq := range 2 {
			p := sms.LongPart{Key: sms.LongKey{CID: "abc", Total: 3}, Seq: seq + 1, Digest: uint64(seq)}
			if _, err := storepebble.New(db).AddPart(t.Context(), p, "m", time.Hour, time.Hour); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, tt := range []struct {
		name     string
		fill     func(*testing.T, *localdb.DB)
		messages int
	}{{"delayed", delayed, 1}, {"parts", parts, 2}} {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			cfg, err := config.Load(config.Options{Environment: env(map[string]string{"ROOT_PATH": root, "GATEWAY_MODE": "embedded"})})
			if err != nil {
				t.Fatal(err)
			}
			db, err := localdb.Open(filepath.Join(cfg.Paths.Data, "messages"), localdb.Config{})
			if err != nil {
				t.Fatal(err)
			}
			tt.fill(t, db)
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			refusesServices(t, root, tt.messages)
		})
	}
}

// The whole path, embedded: messages per second from the HTTP API to the SMSC.
func BenchmarkHTTPToSMSC(b *testing.B) {
	s := startSMSC(b, false)
	g := start(b, b.TempDir(), provisioning(b, s.addr, "window: 100\n    binds: 2"))
	defer stop(b, g)
	until(b, "bound", func() bool { return g.Bound("abc") })
	tr := &http.Transport{MaxIdleConnsPerHost: 100}
	defer tr.CloseIdleConnections()
	client := &http.Client{Transport: tr}
	target := "http://" + g.Addresses()["http-api"] + "/send?username=foo&password=bar&to=06222172&content=hello"
	var left atomic.Int64
	left.Store(int64(b.N))
	b.ResetTimer()
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				resp, err := client.Get(target)
				if err != nil {
					b.Error(err)
					return
				}
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if resp.StatusCode != 200 {
					b.Error(resp.Status)
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "accepted/s")
	until(b, "all at the SMSC", func() bool { return s.n.Load() >= int64(b.N) })
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "end-to-end/s")
}
