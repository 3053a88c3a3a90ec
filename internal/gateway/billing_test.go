package gateway_test

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"jasmind/internal/config"
	"jasmind/internal/gateway"
	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/testenv"
)

// modes are the environments of both modes.
func modes(t *testing.T, run func(t *testing.T, vars map[string]string)) {
	t.Run("embedded", func(t *testing.T) { run(t, map[string]string{"GATEWAY_MODE": "embedded"}) })
	t.Run("services", func(t *testing.T) {
		r, q := testenv.Redis(t), testenv.RabbitMQ(t)
		run(t, map[string]string{"GATEWAY_MODE": "services", "AMQP_BROKER_TIMEOUT": "60", "REDIS_CLIENT_TIMEOUT": "60", "HTTP_API_SUBMIT_TIMEOUT": "60",
			"AMQP_BROKER_HOST": q.Host, "AMQP_BROKER_PORT": strconv.Itoa(q.Port), "AMQP_BROKER_VHOST": q.VHost,
			"AMQP_BROKER_USERNAME": q.User, "AMQP_BROKER_PASSWORD": q.Password,
			"REDIS_CLIENT_HOST": r.Host, "REDIS_CLIENT_PORT": strconv.Itoa(r.Port), "REDIS_CLIENT_DBID": strconv.Itoa(r.DB)})
	})
}

// shop is a gateway with user foo/bar, who has quotas, and a rated default route.
type shop struct {
	*testing.T
	g    *gateway.Gateway
	root string
	path string
	vars map[string]string
	smsc string
	http *http.Client
}

func openShop(t *testing.T, vars map[string]string, smsc, quotas, rate string) *shop {
	s := &shop{T: t, root: t.TempDir(), vars: maps.Clone(vars), smsc: smsc, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 60}}}
	for k, v := range map[string]string{"ROOT_PATH": s.root, "SMPP_SERVER_PORT": "0", "JCLI_PORT": "0", "HTTP_API_PORT": "0", "HTTP_API_BIND": "127.0.0.1"} {
		s.vars[k] = v
	}
	s.path = filepath.Join(t.TempDir(), "provision.yaml")
	s.declare(quotas, rate)
	s.start()
	t.Cleanup(func() {
		s.http.CloseIdleConnections()
		stop(t, s.g)
	})
	return s
}

func (s *shop) declare(quotas, rate string) {
	s.Helper()
	user := "users: []\n"
	if quotas != "" {
		user = fmt.Sprintf("users:\n  - {uid: foo, username: foo, password: bar, gid: g, mt_messaging_cred: {quota: {%s}}}\n", quotas)
	}
	host, port, err := net.SplitHostPort(s.smsc)
	if err != nil {
		s.Fatal(err)
	}
	text := "groups: [{gid: g}]\n" + user + fmt.Sprintf(`smpp_connectors:
  - {cid: abc, host: %s, port: %s, submit_throughput: 0, con_fail_delay: 1, window: 50}
mt_routes:
  - {type: DefaultRoute, connector: smppc(abc), rate: %s}
`, host, port, rate)
	if err := os.WriteFile(s.path, []byte(text), 0o600); err != nil {
		s.Fatal(err)
	}
}

func (s *shop) start() {
	s.Helper()
	cfg, err := config.Load(config.Options{Environment: env(s.vars)})
	if err != nil {
		s.Fatal(err)
	}
	if s.g, err = gateway.New(gateway.Options{Config: cfg, Provision: s.path, Version: "test", Stdout: &bytes.Buffer{}}); err != nil {
		s.Fatal(err)
	}
	if err := s.g.Start(s.Context()); err != nil {
		s.Fatal(err)
	}
}

func (s *shop) reload(quotas, rate string) {
	s.Helper()
	s.declare(quotas, rate)
	if err := s.g.Reload(s.Context()); err != nil {
		s.Fatal(err)
	}
}

func (s *shop) get(path string, params url.Values) (int, string) {
	s.Helper()
	v := url.Values{"username": {"foo"}, "password": {"bar"}}
	maps.Copy(v, params)
	resp, err := s.http.Get("http://" + s.g.Addresses()["http-api"] + path + "?" + v.Encode())
	if err != nil {
		s.Error(err)
		return 0, ""
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.Error(err)
	}
	return resp.StatusCode, string(body)
}

func (s *shop) send(text string) (int, string) {
	s.Helper()
	return s.get("/send", url.Values{"to": {"06222172"}, "content": {text}})
}

// has waits until /balance tells so.
func (s *shop) has(balance, count string) {
	s.Helper()
	want := fmt.Sprintf(`{"balance": %s, "sms_count": %s}`, balance, count)
	got := ""
	defer func() {
		if s.Failed() {
			s.Logf("balance %s, want %s", got, want)
		}
	}()
	until(s.T, want, func() bool { _, got = s.get("/balance", nil); return got == want })
}

func (s *shop) accepted(text string) {
	s.Helper()
	if status, body := s.send(text); status != 200 {
		s.Fatalf("%d %s", status, body)
	}
}

const noCredit = `Error "Cannot charge submit_sm, check RouterPB log file for details"`

func (s *shop) refused(text string) {
	s.Helper()
	if status, body := s.send(text); status != 403 || body != noCredit {
		s.Fatalf("%d %s", status, body)
	}
}

func TestFiftyClientsSpendOneBalance(t *testing.T) {
	modes(t, func(t *testing.T, vars map[string]string) {
		s := openShop(t, vars, startSMSC(t, false).addr, "balance: 100.00, sms_count: 300", "0.35")
		var ok, refused atomic.Int64
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				for range 6 {
					switch status, body := s.send("hello"); {
					case status == 200:
						ok.Add(1)
					case status == 403 && body == noCredit:
						refused.Add(1)
					default:
						t.Errorf("%d %s", status, body)
					}
				}
			})
		}
		wg.Wait()
		if ok.Load() != 285 || refused.Load() != 15 {
			t.Errorf("%d accepted and %d refused, want 285 and 15", ok.Load(), refused.Load())
		}
		s.has("0.25", "15")
	})
}

func TestAsynchronousBilling(t *testing.T) {
	modes(t, func(t *testing.T, vars map[string]string) {
		s := openShop(t, vars, startSMSC(t, false).addr, "balance: 10, early_percent: 25", "0.2")
		until(t, "bound", func() bool { return s.g.Bound("abc") })
		s.accepted(strings.Repeat("x", 400)) // three parts
		s.has("9.4", `"ND"`)
		for range 5 {
			s.accepted("hello")
		}
		s.has("8.4", `"ND"`)
		if status, body := s.get("/rate", url.Values{"to": {"1"}, "content": {strings.Repeat("x", 400)}}); status != 200 || body != `{"unit_rate": 0.2, "submit_sm_count": 3}` {
			t.Errorf("%d %s", status, body)
		}
	})
}

// Behind a connector that is not bound nothing but the early part is taken, and a restart
// changes nothing of it; then everything is charged, once.
func TestTheRestIsChargedWhenTheSMSCAnswers(t *testing.T) {
	modes(t, func(t *testing.T, vars map[string]string) {
		s := openShop(t, vars, "127.0.0.1:1", "balance: 4, early_percent: 25", "1.2")
		s.accepted("one")
		s.has("3.7", `"ND"`)
		s.accepted("two")
		s.accepted("three")
		s.has("3.1", `"ND"`)
		stop(t, s.g)
		s.smsc = startSMSC(t, false).addr
		s.declare("balance: 1000, early_percent: 25", "1.2") // opening values are used once
		s.start()
		s.has("0.4", `"ND"`)
		s.refused("the whole price must be there, 0.3 is not enough")
	})
}

func TestQuotasFollowTheConfiguration(t *testing.T) {
	modes(t, func(t *testing.T, vars map[string]string) {
		s := openShop(t, vars, "127.0.0.1:1", "balance: 1, sms_count: 2", "0.6")
		s.accepted("one")
		s.refused("two")
		s.has("0.4", "1")
		s.reload("balance: 500, sms_count: 2", "0.6") // nor now
		s.has("0.4", "1")
		s.reload("balance: 500, sms_count: 2", "0.4")
		s.accepted("cheaper")
		s.has("0.0", "0")
		s.reload("sms_count: 2", "0.4")
		s.has(`"ND"`, "0")
		s.refused("no message left")
		s.reload("balance: 7", "0.4")
		s.has("7.0", `"ND"`) // a quota that was unlimited begins anew
		s.reload("", "0.4")
		s.reload("balance: 1, sms_count: 2", "0.6") // and so does a user
		s.has("1.0", "2")
		s.accepted("again")
		s.has("0.4", "1")
	})
}

// refuser is an SMSC that refuses everything for good.
func refuser(t *testing.T) string {
	return serve(t, func(_ *smpp.Session, r *smpp.Request) { _ = r.Respond(pdu.StatusInvDstAdr, nil) })
}

func TestRefundOnError(t *testing.T) {
	for _, refund := range []string{"True", "False"} {
		t.Run(refund, func(t *testing.T) {
			modes(t, func(t *testing.T, vars map[string]string) {
				vars["BILLING_REFUND_ON_ERROR"] = refund
				s := openShop(t, vars, "127.0.0.1:1", "balance: 10, sms_count: 9, early_percent: 50", "1")
				s.accepted(strings.Repeat("x", 400))
				s.accepted("one")
				s.has("8.0", "5")
				stop(t, s.g)
				s.smsc = refuser(t)
				s.declare("balance: 10, sms_count: 9, early_percent: 50", "1")
				s.start()
				if refund == "True" {
					s.has("10.0", "5")
					return
				}
				until(t, "all refused", func() bool {
					n := 0
					for line := range strings.Lines(s.metrics()) {
						if strings.HasPrefix(line, `smppc_other_submit_error_count{cid="abc"} `) {
							n, _ = strconv.Atoi(strings.TrimSpace(line[strings.Index(line, "} ")+2:]))
						}
					}
					return n >= 2 // a long message may be given up after its first part
				})
				s.has("8.0", "5")
			})
		})
	}
}

func (s *shop) metrics() string {
	_, body := s.get("/metrics", nil)
	return body
}

func TestWithoutBillingNothingIsCharged(t *testing.T) {
	s := openShop(t, map[string]string{"GATEWAY_MODE": "embedded", "HTTP_API_BILLING_FEATURE": "False"}, "127.0.0.1:1", "balance: 1, sms_count: 1", "5")
	s.accepted("one")
	s.accepted("two")
	s.has("1.0", "1")
}

func TestAMissingConnectorChargesNothing(t *testing.T) {
	modes(t, func(t *testing.T, vars map[string]string) {
		s := openShop(t, vars, "127.0.0.1:1", "balance: 1, http_throughput: 1000", "0.6")
		if status, body := s.get("/send", url.Values{"to": {"1"}, "content": {"x"}, "from": {strings.Repeat("1", 21)}}); status != 400 {
			t.Errorf("%d %s", status, body)
		}
		s.has("1.0", `"ND"`)
	})
}
