package gateway_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"jasmind/internal/config"
	"jasmind/internal/gateway"
	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
)

// mtScript does what the content asks for.
const mtScript = `
content = routable.pdu.params['short_message']
if content == b'tag':
    routable.addTag('fr')
elif content == b'refuse':
    http_status = 403
    smpp_status = 88
elif content == b'smpp':
    smpp_status = 10
elif content == b'fail':
    raise ValueError('as asked')
elif content == b'answer':
    smpp_status = 0
    extra['message_id'] = 'my-own-id'
elif content == b'change':
    routable.pdu.params['source_addr'] = b'ACME'
    routable.pdu.params['short_message'] = 'changed ' * 30
    routable.pdu.params['dest_addr_ton'] = AddrTon.NETWORK_SPECIFIC
    routable.lockPduParam('dest_addr_ton')
elif content == b'quota':
    routable.pdu.params['short_message'] = str(routable.user.mt_credential.getQuota('balance'))
`

func writeFile(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// scripted declares an interceptor, and routes to the SMSC plain but for messages with the
// tag fr and those that a filter script takes, which go to the SMSC special.
func scripted(t testing.TB, plain, special string) string {
	t.Helper()
	address := func(addr string) string {
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			t.Fatal(err)
		}
		return "host: " + host + ", port: " + port
	}
	return writeFile(t, "provision.yaml", fmt.Sprintf(`groups:
  - gid: g1
users:
  - {uid: foo, username: foo, password: bar, gid: g1, mt_messaging_cred: {quota: {balance: 10}}}
filters:
  - {fid: french, type: TagFilter, tag: fr}
  - {fid: script, type: EvalPyFilter, pyCode: %s}
smpp_connectors:
  - {cid: plain, %s, submit_throughput: 0, con_fail_delay: 1, con_loss_delay: 1}
  - {cid: special, %s, submit_throughput: 0, con_fail_delay: 1, con_loss_delay: 1}
mt_interceptors:
  - {type: DefaultInterceptor, script: python3(%s)}
mo_interceptors:
  - {type: DefaultInterceptor, script: python3(%[1]s)}
mt_routes:
  - {type: StaticMTRoute, order: 20, filters: [french], connector: smppc(special)}
  - {type: StaticMTRoute, order: 10, filters: [script], connector: smppc(special)}
  - {type: DefaultRoute, connector: smppc(plain), rate: 1.5}
`, writeFile(t, "filter.py", "result = routable.pdu.params['short_message'].startswith(b'filter')\n"),
		address(plain), address(special), writeFile(t, "mt.py", "from smpp.pdu.pdu_types import AddrTon\n"+mtScript)))
}

// startWith is start with more settings.
func startWith(t testing.TB, root, provision string, vars map[string]string) *gateway.Gateway {
	t.Helper()
	all := map[string]string{
		"ROOT_PATH": root, "GATEWAY_MODE": "embedded", "SMPP_SERVER_PORT": "0", "JCLI_PORT": "0", "HTTP_API_PORT": "0", "HTTP_API_BIND": "127.0.0.1",
		"INTERCEPTOR_TIMEOUT": "60",
	}
	for k, v := range vars {
		all[k] = v
	}
	cfg, err := config.Load(config.Options{Environment: env(all)})
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

func get(t testing.TB, g *gateway.Gateway, path string, params url.Values) string {
	t.Helper()
	resp, err := http.Get("http://" + g.Addresses()["http-api"] + path + "?" + params.Encode())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	defer http.DefaultClient.CloseIdleConnections()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d %s", resp.StatusCode, body)
}

func try(t testing.TB, g *gateway.Gateway, content string) string {
	t.Helper()
	return get(t, g, "/send", url.Values{"username": {"foo"}, "password": {"bar"}, "to": {"336"}, "content": {content}})
}

func TestScriptsOnMessages(t *testing.T) {
	plain, special := startSMSC(t, true), startSMSC(t, true)
	root := t.TempDir()
	g := startWith(t, root, scripted(t, plain.addr, special.addr), nil)
	defer stop(t, g)

	for _, tt := range []struct{ content, want string }{
		{"refuse", `403 Error "Interception specific error code 403"`},
		{"smpp", `520 Error "Interception specific error code 520"`},
		{"fail", `400 Error "Failed running interception script, check log for details"`},
		{"answer", `200 Success "my-own-id"`},
	} {
		if got := try(t, g, tt.content); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.content, got, tt.want)
		}
	}
	esme := dialESME(t, g, "foo", pdu.Transceiver)
	for _, tt := range []struct {
		content string
		want    pdu.Status
		id      string
	}{
		{"refuse", 88, ""}, {"smpp", 10, ""}, {"fail", pdu.StatusSysErr, ""}, {"answer", pdu.StatusOK, "my-own-id"},
	} {
		done := make(chan struct{})
		err := esme.Send(t.Context(), &pdu.SubmitSM{Message: pdu.Message{Dest: pdu.Address{Addr: "336"}, ShortMessage: []byte(tt.content)}}, func(r smpp.Response, err error) {
			defer close(done)
			id := ""
			if resp, ok := r.PDU.(*pdu.SubmitSMResp); ok {
				id = resp.MessageID
			}
			if err != nil || r.Header.Status != tt.want || id != tt.id {
				t.Errorf("%s: answered %s %q, %v", tt.content, r.Header.Status, id, err)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		<-done
	}

	for _, content := range []string{"tag", "filter me", "plain", "change", "quota"} {
		if got := try(t, g, content); !strings.HasPrefix(got, "200 ") {
			t.Errorf("%s: %s", content, got)
		}
	}
	until(t, "messages at both", func() bool { return plain.n.Load() >= 4 && special.n.Load() >= 2 })
	for _, m := range special.messages() {
		if got := string(m.ShortMessage); got != "tag" && got != "filter me" {
			t.Errorf("special got %q", got)
		}
	}
	var long, quota bool
	for _, m := range plain.messages() {
		switch got := string(m.ShortMessage); {
		case strings.Contains(got, "changed "):
			long = true
			if m.Source.Addr != "ACME" || m.Dest.TON != 3 || m.ESMClass != 0x40 {
				t.Errorf("changed: %+v", m)
			}
		case got == "plain":
		default: // what is left after the message before and one of two parts
			quota = got == "5.5"
			if !quota {
				t.Errorf("plain got %q", got)
			}
		}
	}
	if !long || !quota {
		t.Errorf("changed %v, quota %v", long, quota)
	}
	// The price depends on the tag of the script.
	query := url.Values{"username": {"foo"}, "password": {"bar"}, "to": {"336"}, "content": {"tag"}}
	if got, want := get(t, g, "/rate", query), `200 {"unit_rate": 0.0, "submit_sm_count": 1}`; got != want {
		t.Errorf("rate %s, want %s", got, want)
	}
	query.Set("content", "change")
	if got, want := get(t, g, "/rate", query), `200 {"unit_rate": 1.5, "submit_sm_count": 2}`; got != want {
		t.Errorf("rate %s, want %s", got, want)
	}
	metrics := get(t, g, "/metrics", nil)
	for _, line := range []string{
		"httpapi_interceptor_count 11", "httpapi_interceptor_error_count 3", "smppsapi_interceptor_count 4", "smppsapi_interceptor_error_count 3",
		"jasmind_interceptor_refused_total 4", "jasmind_interceptor_answered_total 2", "jasmind_interceptor_failed_total 2",
	} {
		if !strings.Contains(metrics, "\n"+line+"\n") {
			t.Errorf("%s is missing", line)
		}
	}
	log, err := os.ReadFile(filepath.Join(root, "var/log/jasmin/interceptor.log"))
	if err != nil || !strings.Contains(string(log), "as asked") {
		t.Errorf("the exception is not in the log of the interceptor: %v", err)
	}
}

// typeIn logs in at the console, types lines and waits for what is to be printed then.
func typeIn(t testing.TB, g *gateway.Gateway, want string, lines ...string) {
	t.Helper()
	conn, err := net.Dial("tcp", g.Addresses()["jcli"])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(conn, "jcliadmin\r\njclipwd\r\n"+strings.Join(lines, "\r\n")+"\r\n")
	var got []byte
	for buf := make([]byte, 1024); !bytes.Contains(got, []byte(want)); {
		n, err := conn.Read(buf)
		if got = append(got, buf[:n]...); err != nil {
			t.Fatalf("waiting for %q: %v, after %s", want, err, got)
		}
	}
}

func TestScriptsAtTheConsole(t *testing.T) {
	s := startSMSC(t, true)
	g := startWith(t, t.TempDir(), provisioning(t, s.addr, "started: true"), nil)
	defer stop(t, g)
	if got := try(t, g, "hello"); !strings.HasPrefix(got, "200 ") {
		t.Errorf("without a script: %s", got)
	}
	typeIn(t, g, "[Syntax]: expected ':' (<string>, line 1)", "mtinterceptor -a", "type DefaultInterceptor", "script python3("+writeFile(t, "bad.py", "if x\n")+")")
	typeIn(t, g, "Successfully added MTInterceptor [DefaultInterceptor] with order:0", "mtinterceptor -a", "type DefaultInterceptor",
		"script python3("+writeFile(t, "mt.py", "http_status = 451\n")+")", "ok")
	if got := try(t, g, "hello"); !strings.HasPrefix(got, "451 ") {
		t.Errorf("with a script: %s", got)
	}
	typeIn(t, g, "Successfully removed MT Interceptor", "mtinterceptor -r 0")
	if got := try(t, g, "hello"); !strings.HasPrefix(got, "200 ") {
		t.Errorf("after it was removed: %s", got)
	}
}

// Without an interpreter the gateway starts and sends; only what needs one is refused.
func TestNoPython(t *testing.T) {
	s := startSMSC(t, true)
	g := startWith(t, t.TempDir(), provisioning(t, s.addr, "started: true"), map[string]string{"INTERCEPTOR_PYTHON": "/nowhere/python3"})
	defer stop(t, g)
	if got := try(t, g, "hello"); !strings.HasPrefix(got, "200 ") {
		t.Error(got)
	}
	typeIn(t, g, `no Python interpreter "/nowhere/python3" here`, "mtinterceptor -a", "type DefaultInterceptor", "script python3("+writeFile(t, "mt.py", "pass\n")+")")
}

func TestScriptOfTheFileWithoutPython(t *testing.T) {
	s := startSMSC(t, true)
	g := startWith(t, t.TempDir(), scripted(t, s.addr, s.addr), map[string]string{"INTERCEPTOR_PYTHON": "/nowhere/python3"})
	defer stop(t, g)
	if got, want := try(t, g, "hello"), `503 Error "InterceptorPB not set !"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// Rules need no interpreter, at the console, in filters and after a restart.
func TestRulesWithoutPython(t *testing.T) {
	plain, special := startSMSC(t, true), startSMSC(t, true)
	root := t.TempDir()
	address := func(addr string) string {
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			t.Fatal(err)
		}
		return "host: " + host + ", port: " + port
	}
	file := writeFile(t, "provision.yaml", fmt.Sprintf(`groups: [{gid: g1}]
users: [{uid: foo, username: foo, password: bar, gid: g1}]
filters:
  - {fid: long, type: EvalPyFilter, pyCode: expr(len(content) > 5)}
smpp_connectors:
  - {cid: plain, %s, submit_throughput: 0, con_fail_delay: 1, con_loss_delay: 1}
  - {cid: special, %s, submit_throughput: 0, con_fail_delay: 1, con_loss_delay: 1}
mt_routes:
  - {type: StaticMTRoute, order: 10, filters: [long], connector: smppc(special)}
  - {type: DefaultRoute, connector: smppc(plain)}
`, address(plain.addr), address(special.addr)))
	vars := map[string]string{"INTERCEPTOR_PYTHON": "/nowhere/python3"}
	g := startWith(t, root, file, vars)
	typeIn(t, g, "[Syntax]: expr(): unknown name foo (1:1)", "mtinterceptor -a", "type DefaultInterceptor", "script expr(foo)")
	typeIn(t, g, "Successfully added MTInterceptor [DefaultInterceptor] with order:0", "mtinterceptor -a", "type DefaultInterceptor",
		`script expr(content == "stop" ? refuse(10, 451) : set("source_addr", "ACME"))`, "ok")
	typeIn(t, g, "mtinterceptor configuration persisted", "persist")
	stop(t, g)

	g = startWith(t, root, file, vars)
	defer stop(t, g)
	if got := try(t, g, "stop"); got != `451 Error "Interception specific error code 451"` {
		t.Error(got)
	}
	for _, content := range []string{"short", "not so short"} {
		if got := try(t, g, content); !strings.HasPrefix(got, "200 ") {
			t.Errorf("%s: %s", content, got)
		}
	}
	until(t, "one message at each", func() bool { return plain.n.Load() == 1 && special.n.Load() == 1 })
	for want, s := range map[string]*smsc{"short": plain, "not so short": special} {
		if m := s.messages()[0]; m.Source.Addr != "ACME" || string(m.ShortMessage) != want {
			t.Errorf("got %q from %q, want %q from ACME", m.ShortMessage, m.Source.Addr, want)
		}
	}
}
