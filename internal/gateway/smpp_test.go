package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"jasmind/internal/gateway"
	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smpp/receipt"
	"jasmind/internal/sms"
)

// esmes declares ESMEs esme0, esme1, ... with the password bar, and a connector to addr.
func esmes(t testing.TB, n int, addr string) string {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("groups:\n  - gid: g1\nusers:\n")
	for i := range n {
		fmt.Fprintf(&b, "  - {uid: u%d, username: esme%d, password: bar, gid: g1}\n", i, i)
	}
	fmt.Fprintf(&b, "smpp_connectors:\n  - {cid: abc, host: %s, port: %s, submit_throughput: 0, window: 100, con_fail_delay: 1, con_loss_delay: 1}\n"+
		"mt_routes:\n  - {type: DefaultRoute, connector: smppc(abc)}\n", host, port)
	path := filepath.Join(t.TempDir(), "provision.yaml")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// client is an ESME: it keeps the ids of the receipts that it gets.
type client struct {
	*smpp.Session
	mu       sync.Mutex
	receipts []string // id/state
}

func dialESME(t testing.TB, g *gateway.Gateway, name string, kind pdu.BindType) *client {
	t.Helper()
	c := &client{}
	s, _, err := smpp.Dial(t.Context(), "tcp", g.Addresses()["smpp-server"], smpp.DialConfig{
		Bind: pdu.Bind{Type: kind, SystemID: name, Password: "bar", InterfaceVersion: 0x34},
		Config: smpp.Config{Window: 50, SessionInit: 2 * time.Minute, Response: 2 * time.Minute, Handler: smpp.HandlerFunc(func(_ *smpp.Session, r *smpp.Request) {
			m, ok := r.PDU.(*pdu.DeliverSM)
			if !ok {
				_ = r.Respond(pdu.StatusInvCmdID, nil)
				return
			}
			got := "no receipt"
			if rc, err := receipt.Parse(&m.Message); err == nil {
				got = rc.ID + "/" + rc.State
			}
			c.mu.Lock()
			c.receipts = append(c.receipts, got)
			c.mu.Unlock()
			_ = r.Respond(pdu.StatusOK, nil)
		})},
	})
	if err != nil {
		t.Fatal(err)
	}
	c.Session = s
	go s.Run(context.Background()) //nolint:errcheck // Done tells
	t.Cleanup(func() {
		s.Close(nil)
		<-s.Done()
	})
	return c
}

func (c *client) got() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.receipts)
}

// submit sends n messages that ask for receipts, side by side, and gives what the receipts of
// all of them are to be.
func (c *client) submit(t testing.TB, n int) []string {
	t.Helper()
	var (
		wg  sync.WaitGroup
		mu  sync.Mutex
		out []string
	)
	for i := range n {
		wg.Add(1)
		m := &pdu.SubmitSM{Message: pdu.Message{Source: pdu.Address{TON: 5, Addr: "ACME"}, Dest: pdu.Address{TON: 1, NPI: 1, Addr: fmt.Sprint("336", i)},
			RegisteredDelivery: 1, DataCoding: 0xF5, ShortMessage: []byte("hello"), TLVs: pdu.TLVs{{Tag: 0x1400, Value: []byte{byte(i)}}}}}
		err := c.Send(t.Context(), m, func(r smpp.Response, err error) {
			defer wg.Done()
			if err := errors.Join(err, r.Err()); err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			out = append(out, r.PDU.(*pdu.SubmitSMResp).MessageID+"/DELIVRD")
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	slices.Sort(out)
	return out
}

func TestEachESMEGetsItsReceipts(t *testing.T) {
	s := startSMSC(t, true)
	const n, each = 20, 25
	g := start(t, t.TempDir(), esmes(t, n, s.addr))
	defer stop(t, g)
	var (
		wg      sync.WaitGroup
		clients [n]*client
		want    [n][]string
	)
	for i := range n {
		clients[i] = dialESME(t, g, fmt.Sprint("esme", i), pdu.Transceiver)
		if i%2 == 0 { // every second one has two sessions
			dialESME(t, g, fmt.Sprint("esme", i), pdu.Transmitter)
		}
	}
	for i := range n {
		wg.Go(func() { want[i] = clients[i].submit(t, each) })
	}
	wg.Wait()
	for i, c := range clients {
		until(t, fmt.Sprint("receipts of ESME ", i), func() bool { return len(c.got()) >= each })
		got := c.got()
		slices.Sort(got)
		if !slices.Equal(got, want[i]) {
			t.Errorf("ESME %d\ngot  %v\nwant %v", i, got, want[i])
		}
	}
	for _, m := range s.messages() {
		if m.Source != (pdu.Address{TON: 5, Addr: "ACME"}) || m.DataCoding != 0xF5 || len(m.TLVs) != 1 || m.ESMClass != 0 {
			t.Fatalf("the SMSC got %+v", m)
		}
	}
}

// Who is away for the whole test, restart of the gateway included, gets all of it when it binds.
func TestReceiptsWaitForAnESMEThatIsAway(t *testing.T) {
	s := startSMSC(t, false)
	root, provision := t.TempDir(), esmes(t, 2, s.addr)
	g := start(t, root, provision)
	c := dialESME(t, g, "esme0", pdu.Transmitter) // it takes no receipts
	want := c.submit(t, 40)
	until(t, "receipts are waiting", func() bool { return metric(t, g, "jasmind_smpps_moved_total") == "40" })
	stop(t, g)

	g = start(t, root, provision)
	defer stop(t, g)
	other := dialESME(t, g, "esme1", pdu.Receiver)
	back := dialESME(t, g, "esme0", pdu.Receiver)
	until(t, "receipts", func() bool { return len(back.got()) >= 40 && metric(t, g, "jasmind_smpps_delivered_total") == "40" })
	got := back.got()
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if len(other.got()) > 0 {
		t.Errorf("another ESME got %v", other.got())
	}
	for name, want := range map[string]string{"smppsapi_bound_rx_count": "2", "smppsapi_bind_rx_count": "2", "smppsapi_connected_count": "2", "smppsapi_deliver_sm_count": "40"} {
		if got := metric(t, g, name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
}

func TestAnESMEThatIsRemovedIsUnbound(t *testing.T) {
	s := startSMSC(t, false)
	path := esmes(t, 2, s.addr)
	g := start(t, t.TempDir(), path)
	defer stop(t, g)
	stays, goes := dialESME(t, g, "esme0", pdu.Transceiver), dialESME(t, g, "esme1", pdu.Transceiver)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text = regexp.MustCompile(`(?m)^.*esme1.*\n`).ReplaceAll(text, nil)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := g.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-goes.Done():
	case <-time.After(2 * time.Minute):
		t.Fatal("it is still bound")
	}
	if u := g.State().Snapshot().User(sms.UserID("u1")); u != nil {
		t.Errorf("still there: %+v", u)
	}
	if got := stays.submit(t, 1); len(got) != 1 {
		t.Error("the other one is gone too")
	}
}

// metric is the value of a metric, "" if there is none.
func metric(t testing.TB, g *gateway.Gateway, name string) string {
	t.Helper()
	resp, err := http.Get("http://" + g.Addresses()["http-api"] + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	defer http.DefaultClient.CloseIdleConnections()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^` + name + ` (\S+)$`).FindSubmatch(body)
	if m == nil {
		return ""
	}
	return string(m[1])
}
