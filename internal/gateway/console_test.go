package gateway_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"jasmind/internal/config"
	"jasmind/internal/gateway"
)

// operator is somebody at the console.
type operator struct {
	t    testing.TB
	conn net.Conn
	r    *bufio.Reader
}

const prompt = "jcli : "

func logIn(t testing.TB, g *gateway.Gateway) *operator {
	t.Helper()
	conn, err := net.Dial("tcp", g.Addresses()["jcli"])
	if err != nil {
		t.Fatal(err)
	}
	o := &operator{t: t, conn: conn, r: bufio.NewReader(conn)}
	fmt.Fprint(conn, "jcliadmin\r\njclipwd\r\n")
	o.await(prompt)
	return o
}

// await reads until the text was printed and gives what came.
func (o *operator) await(text string) string {
	if err := o.conn.SetReadDeadline(time.Now().Add(5 * time.Minute)); err != nil {
		o.t.Error(err)
	}
	var b strings.Builder
	for !strings.HasSuffix(b.String(), text) {
		c, err := o.r.ReadByte()
		if err != nil {
			o.t.Errorf("waiting for %q: %v, after %q", text, err, b.String())
			return b.String()
		}
		b.WriteByte(c)
	}
	return b.String()
}

// do types lines, the last of which leads back to the prompt, and wants a text in the answer.
func (o *operator) do(want string, lines ...string) {
	fmt.Fprint(o.conn, strings.Join(lines, "\r\n")+"\r\n")
	got := o.await(prompt)
	if !strings.Contains(got, want) {
		o.t.Errorf("%q\nis missing in\n%s", want, got)
	}
}

func (o *operator) quit() {
	fmt.Fprint(o.conn, "quit\r\n")
	_, _ = io.Copy(io.Discard, o.r)
	o.conn.Close()
}

// What an operator changed and did not persist is there after an orderly stop, unless nothing is to be saved by itself.
func TestConsoleChangesOutliveAnOrderlyStop(t *testing.T) {
	for every, kept := range map[string]bool{"3600": true, "0": false} {
		t.Run(every, func(t *testing.T) {
			root := t.TempDir()
			g := start(t, root, "", "ROUTER_PERSISTENCE_TIMER_SECS", every)
			o := logIn(t, g)
			o.do("Successfully added Group", "group -a", "gid kept", "ok")
			stop(t, g)
			o.conn.Close()
			g = start(t, root, "", "ROUTER_PERSISTENCE_TIMER_SECS", every)
			defer stop(t, g)
			if got := g.State().Snapshot().Group("kept") != nil; got != kept {
				t.Errorf("it is there: %t", got)
			}
		})
	}
}

// Fifty operators change users, routes and connectors while messages flow: none is lost,
// nothing locks up.
func TestConsoleChangesWhileMessagesFlow(t *testing.T) {
	const messages, operators = 20000, 50
	s := startSMSC(t, false)
	host, port, err := net.SplitHostPort(s.addr)
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	cfg, err := config.Load(config.Options{Environment: env(map[string]string{
		"ROOT_PATH": root, "GATEWAY_MODE": "embedded", "SMPP_SERVER_PORT": "0", "JCLI_PORT": "0", "HTTP_API_PORT": "0", "HTTP_API_BIND": "127.0.0.1",
		"JCLI_MAX_SESSIONS_PER_ADDRESS": "100",
	})})
	if err != nil {
		t.Fatal(err)
	}
	g, err := gateway.New(gateway.Options{Config: cfg, Version: "test", Stdout: &bytes.Buffer{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer stop(t, g)

	first := logIn(t, g)
	first.do("Successfully added connector [abc]", "smppccm -a", "cid abc", "host "+host, "port "+port, "submit_throughput 0", "window 100", "ok")
	first.do("Successfully started connector id:abc", "smppccm -1 abc")
	first.do("Successfully added Group", "group -a", "gid foogroup", "ok")
	first.do("Successfully added User", "user -a", "username foo", "password bar", "gid foogroup", "uid foo", "ok")
	first.do("Successfully added Filter", "filter -a", "type transparentfilter", "fid TF", "ok")
	first.do("Successfully added MTRoute", "mtrouter -a", "type defaultroute", "connector smppc(abc)", "rate 0.0", "ok")

	done := make(chan struct{})
	var changes, left, accepted atomic.Int64
	var wg sync.WaitGroup
	for i := range operators {
		o := logIn(t, g)
		wg.Go(func() {
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			id := fmt.Sprintf("o%d", i)
			// Once only: hashing a password keeps a core busy for a while.
			o.do("Successfully added User", "user -a", "username "+id, "password x", "gid foogroup", "uid "+id, "ok")
			for round := 0; ; round++ {
				o.do("Successfully updated User", "user -u "+id, fmt.Sprintf("mt_messaging_cred quota http_throughput %d", 1+round), "ok")
				o.do("Successfully added MTRoute", "mtrouter -a", "type StaticMTRoute", fmt.Sprintf("order %d", 100+i), "filters TF", "connector smppc(abc)", "rate 0.0", "ok")
				o.do("Successfully added connector", "smppccm -a", "cid c-"+id, "port 1", "con_fail_delay 1", "ok")
				o.do("Successfully started connector", "smppccm -1 c-"+id)
				o.do("Successfully updated connector", "smppccm -u abc", fmt.Sprintf("elink_interval %d", 20+(i+round)%20), "ok")
				o.do("Total connectors", "stats --smppcs")
				o.do("Successfully stopped connector", "smppccm -0 c-"+id)
				o.do("Successfully removed connector", "smppccm -r c-"+id)
				o.do("Successfully removed MT Route", "mtrouter -r "+fmt.Sprint(100+i))
				changes.Add(8)
				// The next round when the senders have got on, so that both have their turns.
				for next := accepted.Load() + messages/10; accepted.Load() < next; {
					select {
					case <-done:
						o.do("Successfully removed User", "user -r "+id)
						o.quit()
						return
					case <-tick.C:
					}
				}
			}
		})
	}
	tr := &http.Transport{MaxIdleConnsPerHost: 16}
	defer tr.CloseIdleConnections()
	client := &http.Client{Transport: tr}
	target := "http://" + g.Addresses()["http-api"] + "/send?username=foo&password=bar&to=06222172&content=hello"
	left.Store(messages)
	var senders sync.WaitGroup
	for range 16 {
		senders.Go(func() {
			for left.Add(-1) >= 0 {
				resp, err := client.Get(target)
				if err != nil {
					t.Error(err)
					return
				}
				body, _ := io.ReadAll(resp.Body)
				resp.Body.Close()
				if resp.StatusCode != http.StatusOK {
					t.Errorf("%s %s", resp.Status, body)
					return
				}
				accepted.Add(1)
			}
		})
	}
	senders.Wait()
	close(done)
	wg.Wait()
	until(t, "all messages at the SMSC", func() bool { return s.n.Load() >= accepted.Load() })
	if n := s.n.Load(); n != messages || accepted.Load() != messages {
		t.Errorf("%d accepted, %d at the SMSC, want %d", accepted.Load(), n, messages)
	}
	first.do("mtrouter configuration persisted", "persist")
	first.quit()
	t.Logf("%d changes of the configuration meanwhile", changes.Load())
}
