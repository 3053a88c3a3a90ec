package httpapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"jasmind/internal/account"
	"jasmind/internal/billing"
	"jasmind/internal/mt"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type fakeAuth func(username, password string) (*account.User, error)

func (f fakeAuth) Check(_ context.Context, _ netip.Addr, u, p string) (*account.User, error) {
	return f(u, p)
}

var foo = &account.User{UID: "u1", GID: "g1", Username: "foo", Enabled: true, Credentials: account.DefaultCredentials()}

func fooBar(u, p string) (*account.User, error) {
	if u == "foo" && p == "bar" {
		return foo, nil
	}
	return nil, &sms.Error{Reason: sms.ReasonAuthentication, Detail: "Authentication failure for username:" + u}
}

type fakeSubmit struct {
	mu   sync.Mutex
	got  []*mt.Message
	fail error
}

func (f *fakeSubmit) Submit(_ context.Context, m *mt.Message) (mt.Accepted, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != nil {
		return mt.Accepted{}, f.fail
	}
	f.got = append(f.got, m)
	return mt.Accepted{ID: "07033084-5cfd-4812-90a4-e4d24ffb6e3d", CID: "abc", Parts: 1}, nil
}

func (f *fakeSubmit) Count(m *mt.Message) (int, error) {
	return 1 + (len(m.Text)+len(m.PDU.ShortMessage))/161, nil
}

func (f *fakeSubmit) Quote(_ context.Context, m *mt.Message) (mt.Quote, error) {
	n, err := f.Count(m)
	return mt.Quote{Rate: 2_800_000, Parts: n}, errors.Join(err, f.fail)
}

// syncBuffer is a buffer for several goroutines.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

type door struct {
	*Server
	submit *fakeSubmit
	access *syncBuffer
	log    *syncBuffer
	credit func(billing.Credit) (billing.Credit, error) // nil: what is asked with
}

func (d *door) Credit(_ context.Context, _ sms.UserID, open billing.Credit) (billing.Credit, error) {
	if d.credit == nil {
		return open, nil
	}
	return d.credit(open)
}

func newDoor(cfg Config) *door {
	d := &door{submit: &fakeSubmit{}, access: &syncBuffer{}, log: &syncBuffer{}}
	d.Server = New(cfg, fakeAuth(fooBar), d.submit, d, nil, d.access, slog.New(slog.NewTextHandler(d.log, nil)))
	return d
}

func (d *door) do(r *http.Request) (int, string) {
	w := httptest.NewRecorder()
	d.http.Handler.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func (d *door) get(query string) (int, string) {
	return d.do(httptest.NewRequest("GET", "/send"+query, nil))
}

const who = "?username=foo&password=bar"

func TestRefusalsHaveTheDocumentedTexts(t *testing.T) {
	tests := []struct {
		name, query string
		status      int
		body        string
	}{
		{"no argument at all", "", 400, `Error "Mandatory argument [to] is not found."`},
		{"no destination", who + "&content=x", 400, `Error "Mandatory argument [to] is not found."`},
		{"destination that is no number", who + "&to=abc&content=x", 400, `Error "Argument [to] has an invalid value: [abc]."`},
		{"destination with a line feed behind", who + "&to=123%0a&content=x", 400, `Error "Argument [to] has an invalid value: [123.]."`},
		{"unknown argument", who + "&to=1&content=x&foo=1", 400, `Error "Argument [foo] is unknown."`},
		{"unknown argument first", "?foo=1", 400, `Error "Argument [foo] is unknown."`},
		{"missing argument is seen before an unknown one behind", "?username=foo&foo=1", 400, `Error "Mandatory argument [to] is not found."`},
		{"a dlr-url as long as it may be", who + "&to=1&content=x&foo=1&dlr-url=http://h/" + strings.Repeat("x", 2048-9), 400, `Error "Argument [foo] is unknown."`},
		{"a longer dlr-url", who + "&to=1&content=x&dlr-url=http://h/" + strings.Repeat("x", 2049-9), 400, `Error "Argument [dlr-url] has 2049 octets, more than 2048."`},
		{"too many tags", who + "&to=1&content=x&tags=" + strings.Repeat("1,", 600), 400, `Error "Argument [tags] has 1200 octets, more than 1024."`},
		{"a long sender", who + "&to=1&content=x&from=" + strings.Repeat("x", 65), 400, `Error "Argument [from] has 65 octets, more than 64."`},
		{"a long recipient", who + "&content=x&to=" + strings.Repeat("1", 65), 400, `Error "Argument [to] has 65 octets, more than 64."`},
		{"no username", "?to=1&password=bar&content=x", 400, `Error "Mandatory argument [username] is not found."`},
		{"no password", "?to=1&username=foo&content=x", 400, `Error "Mandatory argument [password] is not found."`},
		{"password is not quoted back", "?to=1&username=foo&password=" + strings.Repeat("s", 31), 400, `Error "Argument [password] has an invalid value: [**********]."`},
		{"wrong password", "?username=foo&password=no&to=1&content=x", 403, `Error "Authentication failure for username:foo"`},
		{"no content", who + "&to=1", 400, `Error "content or hex-content not present."`},
		{"both contents", who + "&to=1&content=x&hex-content=00", 400, `Error "content and hex-content cannot be used both in same request."`},
		{"bad hex", who + "&to=1&hex-content=0g", 400, `Error "Invalid hex-content data: '0g'"`},
		{"odd hex", who + "&to=1&hex-content=000", 400, `Error "Invalid hex-content data: '000'"`},
		{"coding 11", who + "&to=1&content=x&coding=11", 400, `Error "Argument [coding] has an invalid value: [11]."`},
		{"priority 4", who + "&to=1&content=x&priority=4", 400, `Error "Argument [priority] has an invalid value: [4]."`},
		{"validity that is no number", who + "&to=1&content=x&validity-period=1h", 400, `Error "Argument [validity-period] has an invalid value: [1h]."`},
		{"validity beyond a century", who + "&to=1&content=x&validity-period=99999999", 400, `Error "Argument [validity-period] has an invalid value: [99999999]."`},
		{"sdt of another form", who + "&to=1&content=x&sdt=now", 400, `Error "Argument [sdt] has an invalid value: [now]."`},
		{"sdt with month 13", who + "&to=1&content=x&sdt=241301000000000%2B", 400, `Error "Argument [sdt] has an invalid value: [241301000000000+]."`},
		{"dlr maybe", who + "&to=1&content=x&dlr=maybe", 400, `Error "Argument [dlr] has an invalid value: [maybe]."`},
		{"dlr-level 4", who + "&to=1&content=x&dlr-level=4", 400, `Error "Argument [dlr-level] has an invalid value: [4]."`},
		{"dlr-method PUT", who + "&to=1&content=x&dlr=yes&dlr-method=PUT", 400, `Error "Argument [dlr-method] has an invalid value: [PUT]."`},
		{"dlr-url without scheme", who + "&to=1&content=x&dlr-url=host/dlr", 400, `Error "Argument [dlr-url] has an invalid value: [host/dlr]."`},
		{"tags with a space", who + "&to=1&content=x&tags=a%20b", 400, `Error "Argument [tags] has an invalid value: [a b]."`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := newDoor(Config{})
			status, body := d.get(tt.query)
			if status != tt.status || body != tt.body {
				t.Errorf("got %d %s\nwant %d %s", status, body, tt.status, tt.body)
			}
			if len(d.submit.got) != 0 {
				t.Error("it was submitted all the same")
			}
		})
	}
}

func TestMessagesAreBuiltAsAsked(t *testing.T) {
	base := mt.Message{UID: "u1", GID: "g1", User: foo, Origin: sms.OriginHTTP}
	with := func(f func(*mt.Message)) *mt.Message {
		m := base
		m.PDU.Dest.Addr = "06222172"
		m.Text, m.IsText = "hello", true
		f(&m)
		return &m
	}
	to := who + "&to=06222172&content=hello"
	octets := func(m *mt.Message, b []byte) { m.Text, m.IsText, m.PDU.ShortMessage = "", false, b }
	tests := []struct {
		name, query string
		want        *mt.Message
	}{
		{"the least", to, with(func(*mt.Message) {})},
		{"of a repeated argument the first counts", to + "&content=two", with(func(*mt.Message) {})},
		{"plus and international sender", strings.Replace(to, "06222172", "%2B336", 1) + "&from=Jasmin+GW",
			with(func(m *mt.Message) { m.PDU.Dest.Addr, m.PDU.Source.Addr, m.Set = "+336", "Jasmin GW", mt.FieldSource })},
		{"coding 0 stays text", to + "&coding=0", with(func(m *mt.Message) { m.Set = mt.FieldCoding })},
		{"another coding takes the octets as they are", who + "&to=06222172&content=%06%23%06%31&coding=8",
			with(func(m *mt.Message) {
				octets(m, []byte{6, 0x23, 6, 0x31})
				m.PDU.DataCoding, m.Set = pdu.CodingUCS2, mt.FieldCoding
			})},
		{"hex-content", who + "&to=06222172&hex-content=0623fF&coding=4",
			with(func(m *mt.Message) {
				octets(m, []byte{6, 0x23, 0xff})
				m.PDU.DataCoding, m.Set = pdu.CodingOctet2, mt.FieldCoding
			})},
		{"hex-content without coding", who + "&to=06222172&hex-content=00", with(func(m *mt.Message) { octets(m, []byte{0}) })},
		{"priority, validity, schedule, tags", to + "&priority=3&validity-period=1440&sdt=000000000100000R&tags=1,702,9901",
			with(func(m *mt.Message) {
				m.PDU.PriorityFlag, m.Validity, m.PDU.ScheduleDeliveryTime = 3, 24*time.Hour, "000000000100000R"
				m.Tags, m.Set = []string{"1", "702", "9901"}, mt.FieldPriority|mt.FieldValidity
			})},
		{"dlr-url alone means level 1 by POST", to + "&dlr-url=http://h/d",
			with(func(m *mt.Message) { m.Report = mt.Report{What: sms.ReportSubmit, URL: "http://h/d", Method: "POST"} })},
		{"level 3 by get", to + "&dlr=yes&dlr-url=https://h/d&dlr-level=3&dlr-method=get",
			with(func(m *mt.Message) {
				m.Report = mt.Report{What: sms.ReportSubmit | sms.ReportFinal, URL: "https://h/d", Method: "GET"}
			})},
		{"dlr=yes without a URL counts as no", to + "&dlr=yes&dlr-level=2", with(func(*mt.Message) {})},
		{"a stray percent sign and a semicolon", strings.Replace(to, "hello", "100%;ok%zz", 1), with(func(m *mt.Message) { m.Text = "100%;ok%zz" })},
		{"UTF-8", strings.Replace(to, "hello", url.QueryEscape("é€"), 1), with(func(m *mt.Message) { m.Text = "é€" })},
		{"empty content", strings.Replace(to, "hello", "", 1), with(func(m *mt.Message) { m.Text = "" })},
	}
	for _, tt := range tests {
		for _, method := range []string{"GET", "form POST"} {
			t.Run(method+"/"+tt.name, func(t *testing.T) {
				d := newDoor(Config{})
				var status int
				var body string
				if method == "GET" {
					status, body = d.get(tt.query)
				} else {
					r := httptest.NewRequest("POST", "/send", strings.NewReader(tt.query[1:]))
					r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
					status, body = d.do(r)
				}
				if status != 200 || body != `Success "07033084-5cfd-4812-90a4-e4d24ffb6e3d"` {
					t.Fatalf("got %d %s", status, body)
				}
				if !reflect.DeepEqual(d.submit.got[0], tt.want) {
					t.Errorf("got  %+v\nwant %+v", d.submit.got[0], tt.want)
				}
			})
		}
	}
}

func TestJSON(t *testing.T) {
	tests := []struct {
		name, kind, body string
		status           int
		answer           string
	}{
		{"strings and numbers", "application/json", `{"username":"foo","password":"bar","to":6222172,"content":"h","priority":2}`, 200, "Success"},
		{"with a charset", "application/json; charset=utf-8", `{"username":"foo","password":"bar","to":"1","content":"é"}`, 200, "Success"},
		{"null is as if it were not there", "application/json", `{"username":"foo","password":"bar","to":"1","content":"h","from":null}`, 200, "Success"},
		{"cut off", "application/json", `{"username":"foo"`, 400, `Error "Request body is not valid JSON: it ends too early."`},
		{"empty", "application/json", ``, 400, `Error "Request body is not valid JSON: it ends too early."`},
		{"no object", "application/json", `[1]`, 400, `Error "Request body is not valid JSON: an object is expected."`},
		{"something behind", "application/json", `{} {}`, 400, `Error "Request body is not valid JSON: something follows the object."`},
		{"object as a value", "application/json", `{"to":{"a":1}}`, 400, `Error "Argument [to] has an invalid value: [{.a.:1}]."`},
		{"multipart", "multipart/form-data; boundary=x", `--x--`, 400, `Error "Content-Type multipart/form-data is not supported, use application/x-www-form-urlencoded or application/json."`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := newDoor(Config{})
			r := httptest.NewRequest("POST", "/send", strings.NewReader(tt.body))
			r.Header.Set("Content-Type", tt.kind)
			status, body := d.do(r)
			want := strings.ReplaceAll(tt.answer, `{.a.:1}`, `{"a":1}`)
			if status != tt.status || !strings.HasPrefix(body, want) {
				t.Errorf("got %d %s\nwant %d %s", status, body, tt.status, want)
			}
		})
	}
}

func TestEveryReasonHasAnAnswer(t *testing.T) {
	for _, r := range sms.Reasons() {
		answer, ok := answerOf[r]
		if !ok || answer.status < 400 || answer.text == "" {
			t.Errorf("%v: %+v", r, answer)
			continue
		}
		d := newDoor(Config{})
		d.submit.fail = fmt.Errorf("wrapped: %w", &sms.Error{Reason: r})
		status, body := d.get(who + "&to=1&content=x")
		if status != answer.status || body != `Error "`+answer.text+`"` {
			t.Errorf("%v: got %d %s", r, status, body)
		}
	}
	d := newDoor(Config{})
	d.submit.fail = errors.New("secret detail")
	status, body := d.get(who + "&to=1&content=x")
	if status != 500 || strings.Contains(body, "secret") {
		t.Errorf("got %d %s", status, body)
	}
	if d.Stats.ServerErrors.Load() != 1 || d.Stats.RequestCount.Load() != 1 || d.Stats.SuccessCount.Load() != 0 {
		t.Error("it was not counted")
	}
}

func TestFieldOfThePDUIsNamedAsTheSenderKnowsIt(t *testing.T) {
	d := newDoor(Config{})
	d.submit.fail = &sms.Error{Reason: sms.ReasonInvalid, Err: &pdu.FieldError{Field: "source_addr", Reason: "is too long"}}
	if status, body := d.get(who + "&to=1&content=x"); status != 400 || body != `Error "Argument [from] has an invalid value: is too long."` {
		t.Errorf("got %d %s", status, body)
	}
}

func TestNoPasswordInAnyLog(t *testing.T) {
	d := newDoor(Config{})
	d.get("?username=foo&password=bar&to=1&content=x")
	d.get("?username=foo&pass%77ord=s3cret&to=1&content=x")
	d.get("?username=foo&password=s3cret%20" + strings.Repeat("s", 40) + "&to=1&content=x")
	all := d.access.String() + d.log.String()
	if strings.Contains(all, "s3cret") || strings.Contains(all, "=bar") {
		t.Errorf("a password is in\n%s", all)
	}
	if !strings.Contains(d.access.String(), `"GET /send?username=foo&password=**********&to=1&content=x HTTP/1.1" 200 46 `) {
		t.Errorf("access log:\n%s", d.access.String())
	}
	if n := strings.Count(d.access.String(), "\n"); n != 3 {
		t.Errorf("%d lines for 3 requests", n)
	}
}

func TestLogLineOfASentMessage(t *testing.T) {
	for _, privacy := range []bool{false, true} {
		d := newDoor(Config{LogPrivacy: privacy})
		d.get(who + "&to=1&from=me&content=a%0Ab%22&dlr-url=http://x/&dlr-level=2&priority=1")
		content := `a.b\"`
		if privacy {
			content = "** 4 byte content **"
		}
		want := `SMS-MT [uid:u1] [cid:abc] [msgid:07033084-5cfd-4812-90a4-e4d24ffb6e3d] [prio:1] [dlr:Terminal] [from:me] [to:1] [content:` + content + `]`
		if !strings.Contains(d.log.String(), want) {
			t.Errorf("%s\nis missing in\n%s", want, d.log.String())
		}
	}
}

func TestBodyIsBounded(t *testing.T) {
	d := newDoor(Config{MaxBody: 100})
	r := httptest.NewRequest("POST", "/send", strings.NewReader("content="+strings.Repeat("x", 200)))
	if status, body := d.do(r); status != 413 || !strings.Contains(body, "larger than 100 bytes") {
		t.Errorf("got %d %s", status, body)
	}
	if status, body := d.get("?" + strings.Repeat("a=1&", 1) + manyArguments(200)); status != 400 || !strings.Contains(body, "more than 100 arguments") {
		t.Errorf("got %d %s", status, body)
	}
}

func manyArguments(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "a%d=1&", i)
	}
	return b.String()
}

func TestOtherPaths(t *testing.T) {
	d := newDoor(Config{Release: "1.2.3"})
	for path, want := range map[string]string{"/ping": "200 Jasmin/PONG", "/": "200 1.2.3", "/nothing": "404 404 page not found\n", "/metrics": "404 404 page not found\n"} {
		status, body := d.do(httptest.NewRequest("GET", path, nil))
		if got := fmt.Sprint(status, " ", body); got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
	if status, _ := d.do(httptest.NewRequest("DELETE", "/send", nil)); status != 405 {
		t.Errorf("DELETE /send: %d", status)
	}
}

// A real listener: keep-alive, HTTP/2 without TLS for several sends in flight on one
// connection, and a shutdown that answers first.
func TestServing(t *testing.T) {
	d := newDoor(Config{Bind: "127.0.0.1", H2C: true})
	if err := d.Listen(); err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- d.Serve() }()
	base := "http://" + d.Addr().String()

	first, err := net.Dial("tcp", d.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(first, "GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
	buf := make([]byte, 12)
	if _, err := io.ReadFull(first, buf); err != nil || string(buf) != "HTTP/1.1 200" {
		t.Fatalf("%q, %v", buf, err)
	}
	first.Close()

	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	tr := &http.Transport{Protocols: protocols}
	client := &http.Client{Transport: tr}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			resp, err := client.Get(base + "/send" + who + "&to=1&content=x")
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			if resp.ProtoMajor != 2 || resp.StatusCode != 200 {
				t.Errorf("%s %s", resp.Proto, resp.Status)
			}
		})
	}
	wg.Wait()
	tr.CloseIdleConnections()
	if err := d.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	if d.submit.got == nil || len(d.submit.got) != 20 {
		t.Errorf("%d submitted", len(d.submit.got))
	}
}

func TestAddressInUseIsNamed(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	d := newDoor(Config{Bind: "127.0.0.1", Port: ln.Addr().(*net.TCPAddr).Port})
	if err := d.Listen(); err == nil || !strings.Contains(err.Error(), ln.Addr().String()) {
		t.Errorf("got %v", err)
	}
}

func FuzzArguments(f *testing.F) {
	f.Add("username=foo&password=bar&to=1&content=%41", true)
	f.Add(`{"username":"foo","to":1}`, false)
	d := newDoor(Config{})
	f.Fuzz(func(t *testing.T, body string, form bool) {
		r := httptest.NewRequest("POST", "/send", strings.NewReader(body))
		if !form {
			r.Header.Set("Content-Type", "application/json")
		}
		if status, answer := d.do(r); status != 200 && !strings.HasPrefix(answer, `Error "`) {
			t.Fatalf("%d %q", status, answer)
		}
	})
}

func BenchmarkSend(b *testing.B) {
	d := newDoor(Config{})
	d.access.b.Grow(1 << 20)
	r := httptest.NewRequest("GET", "/send"+who+"&to=06222172&content=hello", nil)
	d.Server.log = slog.New(slog.DiscardHandler)
	b.ReportAllocs()
	for b.Loop() {
		w := httptest.NewRecorder()
		d.send(w, r)
		if w.Code != 200 {
			b.Fatal(w.Body.String())
		}
		d.submit.got = d.submit.got[:0]
	}
}

func TestRequestsAreCountedByUser(t *testing.T) {
	d := newDoor(Config{})
	counted := func() map[string]string {
		out := make(map[string]string)
		for _, i := range d.UserCounters("u1") {
			out[i.Name] = i.Text
		}
		return out
	}
	d.get("?username=foo&password=no&to=1&content=x")
	if got := counted(); got["connects_count"] != "0" || got["last_activity_at"] != "ND" {
		t.Errorf("a wrong password counts: %v", got)
	}
	d.get(who + "&to=1&content=x")
	d.submit.fail = &sms.Error{Reason: sms.ReasonNoRoute}
	d.get(who + "&to=1&content=x")
	if got := counted(); got["connects_count"] != "2" || got["submit_sm_request_count"] != "2" || got["rate_request_count"] != "0" ||
		got["qos_last_submit_sm_at"] == "ND" || got["last_activity_at"] < got["qos_last_submit_sm_at"] {
		t.Errorf("got %v", got)
	}
}
