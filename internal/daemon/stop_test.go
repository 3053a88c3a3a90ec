package daemon

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
)

// smsc is an SMSC that accepts every message.
func smsc(t *testing.T) (host, port string) {
	t.Helper()
	srv := smpp.NewServer(smpp.ServerConfig{Config: smpp.Config{
		Bind: func(_ context.Context, _ *smpp.Session, b *pdu.Bind) (pdu.Status, *pdu.BindResp) {
			return pdu.StatusOK, &pdu.BindResp{Type: b.Type, SystemID: "smsc"}
		},
		Window:  100,
		Handler: smpp.HandlerFunc(func(_ *smpp.Session, r *smpp.Request) { _ = r.Respond(pdu.StatusOK, &pdu.SubmitSMResp{MessageID: "1"}) }),
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
	host, port, err := net.SplitHostPort(srv.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return host, port
}

// calling is a process with a call-back under way that the endpoint does not answer.
type calling struct {
	*process
	root, http, sink string
	args, env        []string
	answer           chan struct{} // one lets one call be acknowledged; closed: all are
	called           chan string   // ids of messages
}

func startCalling(t *testing.T, timeout string) *calling {
	t.Helper()
	c := &calling{root: t.TempDir(), answer: make(chan struct{}, 1), called: make(chan string, 10)}
	gone := make(chan struct{})
	sink := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.called <- r.FormValue("id")
		select {
		case <-c.answer:
			fmt.Fprint(w, "ACK/Jasmin")
		case <-gone:
		}
	}))
	c.sink = sink.URL
	t.Cleanup(func() { close(gone); sink.Close() })
	host, port := smsc(t)
	provision := filepath.Join(c.root, "provision.yaml")
	if err := os.WriteFile(provision, []byte(fmt.Sprintf(`groups: [{gid: g}]
users: [{uid: foo, username: foo, password: bar, gid: g}]
smpp_connectors: [{cid: abc, host: %s, port: %s, submit_throughput: 0, con_fail_delay: 1}]
mt_routes: [{type: DefaultRoute, connector: smppc(abc)}]
`, host, port)), 0o600); err != nil {
		t.Fatal(err)
	}
	c.env = []string{"DLR_THROWER_HTTP_TIMEOUT=3600", "DLR_THROWER_MAX_PER_HOST=1", "GATEWAY_SHUTDOWN_TIMEOUT=" + timeout, "LOG_PATH=" + filepath.Join(c.root, "log")}
	c.args = []string{"--ready-file", filepath.Join(c.root, "ready.json"), "--provision", provision}
	c.startAgain(t)
	if id, got := c.send(t), c.next(t); got != id {
		t.Fatalf("called for %s, want %s", got, id)
	}
	return c
}

func (c *calling) startAgain(t *testing.T) {
	t.Helper()
	c.process = command(c.root, c.env, c.args...).start(t)
	c.http = c.ready(t, c.args[1])
}

// send sends a message and gives its id.
func (c *calling) send(t *testing.T) string {
	t.Helper()
	resp, err := http.Get("http://" + c.http + "/send?" + url.Values{"username": {"foo"}, "password": {"bar"}, "to": {"1"}, "content": {"x"},
		"dlr-url": {c.sink}, "dlr-level": {"1"}}.Encode())
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	id, ok := strings.CutPrefix(string(body), `Success "`)
	if err != nil || !ok {
		t.Fatal(resp.Status, string(body), err)
	}
	return strings.TrimSuffix(id, `"`)
}

// next waits until the endpoint is called and gives the id of the message.
func (c *calling) next(t *testing.T) string {
	t.Helper()
	select {
	case id := <-c.called:
		return id
	case <-time.After(deadline):
		t.Fatal("the endpoint was not called")
		return ""
	}
}

// refuses waits until the HTTP API is closed: the process is stopping.
func (c *calling) refuses(t *testing.T) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(deadline)
	for {
		conn, err := net.Dial("tcp", c.http)
		if err != nil {
			return
		}
		conn.Close()
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatal("the HTTP API is not closed")
		}
	}
}

func TestACallBackUnderWayEndsBeforeTheProcess(t *testing.T) {
	c := startCalling(t, "3600")
	c.signal(t, syscall.SIGTERM)
	c.refuses(t)
	select {
	case <-c.ended:
		t.Error("it did not wait for the answer")
	default:
	}
	c.answer <- struct{}{}
	c.exits(t, ExitOK)
	if out := c.stderr.String(); out != "" {
		t.Errorf("stderr: %s", out)
	}
	close(c.answer)
	c.startAgain(t)
	if id, got := c.send(t), c.next(t); got != id { // calls to one host are made in order, one after the other
		t.Errorf("called for %s, want %s: it came twice", got, id)
	}
	c.signal(t, syscall.SIGTERM)
	c.exits(t, ExitOK)
}

// However long an endpoint would be waited for, the stop is over in time.
func TestACallBackThatIsNeverAnsweredDelaysNoStop(t *testing.T) {
	c := startCalling(t, "2")
	c.signal(t, syscall.SIGTERM)
	c.exits(t, ExitOK)
	if out := c.stderr.String(); out != "" {
		t.Errorf("stderr: %s", out)
	}
	text, err := os.ReadFile(filepath.Join(c.root, "log", "smppclient-manager.log"))
	if err != nil || !strings.Contains(string(text), "calls under way are cut off thrower=DLRThrower") {
		t.Errorf("%v: the log does not tell:\n%s", err, text)
	}
}

func TestASecondSignalEndsTheProcessAtOnce(t *testing.T) {
	c := startCalling(t, "3600")
	c.signal(t, syscall.SIGTERM)
	c.refuses(t)
	c.signal(t, syscall.SIGINT)
	c.exits(t, ExitRuntime)
	if out := c.stderr.String(); !strings.Contains(out, "jasmind: a second signal: ended at once") {
		t.Errorf("stderr: %s", out)
	}
	text, err := os.ReadFile(filepath.Join(c.root, "log", "smppclient-manager.log"))
	if err != nil || !strings.Contains(string(text), "a second signal") {
		t.Errorf("%v: the log does not tell:\n%s", err, text)
	}
	if _, err := os.Stat(filepath.Join(c.root, "ready.json")); err == nil {
		t.Error("the ready file is still there")
	}
}
