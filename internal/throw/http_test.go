package throw

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
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"jasmind/internal/journal"
	"jasmind/internal/queue"
	"jasmind/internal/sms"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// deadline bounds the waits of tests for what is sure to come.
const deadline = 2 * time.Minute

// fake is a broker with one queue and a journal that shows what is committed.
type fake struct {
	ch      chan *queue.Delivery
	entries chan *journal.Entry
	commit  func(context.Context, *journal.Entry) error // nil: takes all
}

func newFake() *fake {
	return &fake{ch: make(chan *queue.Delivery, 4096), entries: make(chan *journal.Entry, 4096)}
}

func (f *fake) Consume(context.Context, queue.Name, int) (queue.Consumer, error) { return f, nil }
func (f *fake) C() <-chan *queue.Delivery                                        { return f.ch }
func (f *fake) Close(context.Context) error                                      { return nil }

func (f *fake) Settled(context.Context, []*queue.Delivery) ([]bool, error) { return nil, nil }

func (f *fake) Commit(ctx context.Context, e *journal.Entry) error {
	if f.commit != nil {
		if err := f.commit(ctx, e); err != nil {
			return err
		}
	}
	f.entries <- e
	return nil
}

// put queues a DLR.
func (f *fake) put(d *queue.HTTPDLR, change ...func(*queue.Delivery)) {
	dl := &queue.Delivery{Message: d.Message(), Queue: queue.DLRThrowerHTTP}
	for _, c := range change {
		c(dl)
	}
	f.ch <- dl
}

func (f *fake) next(t *testing.T) *journal.Entry {
	t.Helper()
	select {
	case e := <-f.entries:
		return e
	case <-time.After(deadline):
		t.Fatal("nothing was settled")
		return nil
	}
}

// settled waits until n DLRs are settled and gives what became of them as one entry.
func (f *fake) settled(t *testing.T, n int) journal.Entry {
	t.Helper()
	var sum journal.Entry
	for len(sum.Ack)+len(sum.Retry) < n {
		e := f.next(t)
		sum.Ack = append(sum.Ack, e.Ack...)
		sum.Retry = append(sum.Retry, e.Retry...)
		sum.Publish = append(sum.Publish, e.Publish...)
	}
	return sum
}

// run runs a thrower until the test ends.
func (f *fake) run(t *testing.T, cfg Config) *HTTP {
	th, stop := f.start(t, cfg, slog.New(slog.DiscardHandler))
	t.Cleanup(stop)
	return th
}

func (f *fake) start(t *testing.T, cfg Config, log *slog.Logger) (*HTTP, func()) {
	th := NewHTTP(cfg, f, f, log)
	return th, run1(t, th)
}

// run1 runs a thrower until the function it gives is called.
func run1(t *testing.T, th *HTTP) func() {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := th.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return sync.OnceFunc(func() { cancel(); wg.Wait() })
}

func serve(t *testing.T, h http.HandlerFunc) *httptest.Server {
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv
}

func ack(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, Acknowledgement) } //nolint:errcheck // tests see it otherwise

func level1(u string) *queue.HTTPDLR {
	return &queue.HTTPDLR{MsgID: "m1", URL: u, Method: "GET", Level: 1, Status: "ESME_ROK", CID: "smsc1", IDSMSC: "A1"}
}

func level2(u string) *queue.HTTPDLR {
	return &queue.HTTPDLR{MsgID: "m1", URL: u, Method: "GET", Level: 2, Status: "DELIVRD", CID: "smsc1", IDSMSC: "A1",
		Sub: "001", Dlvrd: "001", SubDate: "2401020304", DoneDate: "2401020305", Err: "000", Text: "é & co"}
}

func TestEndpointIsToldExactlyTheDocumentedParameters(t *testing.T) {
	type call struct {
		method, path, contentType, agent, user string
		query, form                            url.Values
	}
	calls := make(chan call, 1)
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		form, err := url.ParseQuery(string(body))
		if err != nil {
			t.Error(err)
		}
		user, pass, _ := r.BasicAuth()
		calls <- call{r.Method, r.URL.Path, r.Header.Get("Content-Type"), r.UserAgent(), user + pass, r.URL.Query(), form}
		ack(w, r)
	})
	one := url.Values{"id": {"m1"}, "message_status": {"ESME_ROK"}, "level": {"1"}, "connector": {"smsc1"}}
	two := url.Values{"id": {"m1"}, "message_status": {"DELIVRD"}, "level": {"2"}, "connector": {"smsc1"}, "id_smsc": {"A1"}, "sub": {"001"},
		"dlvrd": {"001"}, "subdate": {"2401020304"}, "donedate": {"2401020305"}, "err": {"000"}, "text": {"é & co"}}
	with := func(v url.Values, key, value string) url.Values {
		out := url.Values{key: {value}}
		for k := range v {
			out[k] = v[k]
		}
		return out
	}
	post := func(d *queue.HTTPDLR) *queue.HTTPDLR { d.Method = "POST"; return d }
	const agent, form = "Jasmin gateway/1.0 DLRThrower", "application/x-www-form-urlencoded"
	f := newFake()
	f.run(t, Config{})
	for _, tt := range []struct {
		name string
		dlr  *queue.HTTPDLR
		want call
	}{
		{"level 1 by GET has four parameters", level1(srv.URL + "/dlr"), call{"GET", "/dlr", "", agent, "", one, url.Values{}}},
		{"level 2 by GET has all", level2(srv.URL + "/dlr"), call{"GET", "/dlr", "", agent, "", two, url.Values{}}},
		{"a query of the URL's own stays", level1(srv.URL + "/?k=v%20w#top"), call{"GET", "/", "", agent, "", with(one, "k", "v w"), url.Values{}}},
		{"level 1 by POST is a form", post(level1(srv.URL + "/dlr")), call{"POST", "/dlr", form, agent, "", url.Values{}, one}},
		{"level 2 by POST leaves the URL's query alone", post(level2(srv.URL + "/?k=v")), call{"POST", "/", form, agent, "", url.Values{"k": {"v"}}, two}},
		{"credentials of the URL are sent", level1("http://me:secret@" + srv.Listener.Addr().String() + "/"), call{"GET", "/", "", agent, "mesecret", one, url.Values{}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f.put(tt.dlr)
			if e := f.settled(t, 1); len(e.Ack) != 1 {
				t.Fatalf("settled as %+v", e)
			}
			if got := <-calls; !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

func TestAnswers(t *testing.T) {
	var elsewhere atomic.Int64
	target := serve(t, func(w http.ResponseWriter, r *http.Request) { elsewhere.Add(1); ack(w, r) })
	const acked, again, given = "acknowledged", "retried", "given up"
	for _, tt := range []struct {
		name   string
		status int
		body   string
		want   string
	}{
		{"the acknowledgement", 200, "ACK/Jasmin", acked},
		{"white space around it is allowed", 200, "\r\n\t ACK/Jasmin \n", acked},
		{"another status of success will do", 202, "ACK/Jasmin", acked},
		{"an empty answer is none", 200, "", again},
		{"another text is none", 200, "OK", again},
		{"case matters", 200, "ack/jasmin", again},
		{"text behind it is none", 200, "ACK/Jasmin!", again},
		{"a body beyond the bound is none", 200, "ACK/Jasmin" + strings.Repeat("x", 1<<20), again},
		{"a redirect is not followed", 302, "moved", again},
		{"not found is final", 404, "", given},
		{"not found is final, whatever the body says", 404, "ACK/Jasmin", given},
		{"another refusal is retried", 403, "ACK/Jasmin", again},
		{"a fault of the server is retried", 500, "ACK/Jasmin", again},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", target.URL)
				w.WriteHeader(tt.status)
				io.WriteString(w, tt.body) //nolint:errcheck // the client may have hung up
			})
			f := newFake()
			th := f.run(t, Config{MaxRetries: 3, RetryDelay: 7 * time.Second})
			f.put(level1(srv.URL))
			e := f.settled(t, 1)
			got := acked
			switch {
			case len(e.Retry) == 1:
				got = again
				if r := e.Retry[0]; r.After != 7*time.Second || r.Headers.Int(queue.HeaderThrows) != 1 || r.Headers.Str(queue.HeaderURL) != srv.URL {
					t.Errorf("retry is %+v", r)
				}
			case len(e.Publish) == 1:
				got = given
				if p := e.Publish[0]; p.Queue != queue.DeadLetter || p.Message.Headers.Str(queue.HeaderDeadQueue) != string(queue.DLRThrowerHTTP) ||
					!strings.Contains(p.Message.Headers.Str(queue.HeaderDeadReason), fmt.Sprint(tt.status)) {
					t.Errorf("dead letter is %+v", p)
				}
			}
			if got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
			if n := th.Metrics.Failed.Load(); (n == 1) != (tt.want != acked) {
				t.Errorf("%d failed calls counted", n)
			}
		})
	}
	if elsewhere.Load() != 0 {
		t.Error("a redirect was followed")
	}
}

func TestRetriesEndInTheDeadLetterQueue(t *testing.T) {
	srv := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) })
	for _, tt := range []struct {
		name              string
		maxRetries, throw int64
		dead              string
	}{
		{"the first try of four", 3, 0, ""},
		{"the third try of four", 3, 2, ""},
		{"the last try of four", 3, 3, "try 4 of " + srv.URL + ": HTTP 503"},
		{"no retries at all", 0, 0, "try 1 of " + srv.URL + ": HTTP 503"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake()
			f.run(t, Config{MaxRetries: int(tt.maxRetries)})
			f.put(level2(srv.URL), func(d *queue.Delivery) {
				d.Headers = d.Headers.WithInt(queue.HeaderThrows, tt.throw)
				d.Attempts = 50 // deferrals are no tries
			})
			e := f.settled(t, 1)
			if dead := len(e.Publish) == 1 && len(e.Ack) == 1; dead != (tt.dead != "") {
				t.Fatalf("settled as %+v", e)
			} else if dead && e.Publish[0].Message.Headers.Str(queue.HeaderDeadReason) != tt.dead {
				t.Errorf("reason %q, want %q", e.Publish[0].Message.Headers.Str(queue.HeaderDeadReason), tt.dead)
			}
		})
	}
}

func TestWhatIsNoDLRIsBuried(t *testing.T) {
	f := newFake()
	th := f.run(t, Config{})
	for _, bad := range []struct {
		change func(*queue.HTTPDLR)
		why    string
	}{
		{func(d *queue.HTTPDLR) { d.URL = "" }, `DLR of message "m1" has no url`},
		{func(d *queue.HTTPDLR) { d.Level = 4 }, "header level is 4, want 1, 2 or 3"},
		{func(d *queue.HTTPDLR) { d.URL = "ftp://host/x" }, `dlr-url "ftp://host/x" is no http or https URL`},
		{func(d *queue.HTTPDLR) { d.URL = "http://:80/" }, "is no http or https URL"},
		{func(d *queue.HTTPDLR) { d.URL = "http://a b/" }, "invalid character"},
		{func(d *queue.HTTPDLR) { d.Method = "PUT" }, `dlr-method "PUT"`},
	} {
		d := level1("http://127.0.0.1:1/")
		bad.change(d)
		f.put(d)
		e := f.settled(t, 1)
		if len(e.Publish) != 1 || e.Publish[0].Queue != queue.DeadLetter || len(e.Ack) != 1 {
			t.Fatalf("%s: settled as %+v", bad.why, e)
		}
		if got := e.Publish[0].Message.Headers.Str(queue.HeaderDeadReason); !strings.Contains(got, bad.why) {
			t.Errorf("reason %q, want %q", got, bad.why)
		}
	}
	if n := th.Metrics.Dead.Load(); n < 5 { // the last one is counted after it is durable
		t.Errorf("%d dead letters counted", n)
	}
}

func TestSlowEndpointTimesOut(t *testing.T) {
	for name, slow := range map[string]http.HandlerFunc{
		"no answer": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"half of the answer": func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "ACK")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, //nolint:errcheck // see above
	} {
		t.Run(name, func(t *testing.T) {
			srv := serve(t, slow)
			f := newFake()
			f.run(t, Config{Timeout: 50 * time.Millisecond, MaxRetries: 1})
			f.put(level1(srv.URL))
			if e := f.settled(t, 1); len(e.Retry) != 1 {
				t.Errorf("settled as %+v", e)
			}
		})
	}
}

// Everything for a healthy host is delivered while another one hangs, whatever that has waiting.
func TestHealthyHostGetsAllWhileAnotherHangs(t *testing.T) {
	release := make(chan struct{})
	hanging := serve(t, func(w http.ResponseWriter, r *http.Request) { <-release; ack(w, r) })
	healthy := serve(t, ack)
	f := newFake()
	f.run(t, Config{PerHost: 4, Prefetch: 64, Timeout: time.Hour})
	const n = 500
	for range n {
		f.put(level1(hanging.URL))
		f.put(level2(healthy.URL))
	}
	for got := 0; got < n; {
		e := f.next(t)
		for _, a := range e.Ack {
			if a.Delivery.Headers.Str(queue.HeaderURL) != healthy.URL {
				t.Fatal("the hanging host acknowledged")
			}
			got++
		}
		for _, r := range e.Retry { // what went back while there was no room comes again
			if d := *r.Delivery; d.Headers.Str(queue.HeaderURL) == healthy.URL {
				d.Attempts++
				f.ch <- &d
			}
		}
	}
	close(release)
}

// One endpoint that does not answer takes its own places only: another host's DLR is delivered,
// and what has no place goes back to the queue.
func TestDeadEndpointDoesNotDelayAnotherHost(t *testing.T) {
	release := make(chan struct{})
	var calls, most atomic.Int64
	slow := serve(t, func(w http.ResponseWriter, r *http.Request) {
		most.Store(max(most.Load(), calls.Add(1)))
		<-release
		calls.Add(-1)
		ack(w, r)
	})
	fast := serve(t, ack)
	f := newFake()
	th := f.run(t, Config{PerHost: 2, WaitPerHost: 3, Prefetch: 100})
	const n = 40
	for range n {
		f.put(level1(slow.URL))
	}
	f.put(level2(fast.URL))
	e := f.settled(t, n-5+1)
	if len(e.Ack) != 1 || e.Ack[0].Delivery.Headers.Str(queue.HeaderURL) != fast.URL || len(e.Retry) != n-5 {
		t.Errorf("while the slow host is called: %d acknowledged, %d sent back", len(e.Ack), len(e.Retry))
	}
	for _, r := range e.Retry {
		if r.Headers != nil || r.After < deferMin {
			t.Fatalf("sent back as a failed call: %+v", r)
		}
	}
	close(release)
	if e := f.settled(t, 5); len(e.Ack) != 5 {
		t.Errorf("afterwards %d are acknowledged, want 5", len(e.Ack))
	}
	if most.Load() > 2 {
		t.Errorf("%d calls at a time", most.Load())
	}
	if th.Metrics.Failed.Load() != 0 {
		t.Error("a DLR that was sent back counts as a failed call")
	}
}

func TestConnectionsAreKeptAlive(t *testing.T) {
	var conns atomic.Int64
	srv := httptest.NewUnstartedServer(http.HandlerFunc(ack))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	srv.Start()
	t.Cleanup(srv.Close)
	f := newFake()
	f.run(t, Config{PerHost: 4})
	for range 200 {
		f.put(level2(srv.URL))
	}
	f.settled(t, 200)
	if n := conns.Load(); n > 4 {
		t.Errorf("%d connections for 200 DLRs, 4 at a time", n)
	}
}

func TestSecretsOfURLsAreNotLogged(t *testing.T) {
	closed := httptest.NewServer(http.NotFoundHandler())
	refused := closed.Listener.Addr().String()
	closed.Close()
	bad := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }).Listener.Addr().String()
	good := serve(t, ack).Listener.Addr().String()
	var out bytes.Buffer
	f := newFake()
	_, stop := f.start(t, Config{MaxRetries: 1}, slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})))
	last := func(d *queue.Delivery) { d.Headers = d.Headers.WithInt(queue.HeaderThrows, 1) }
	var reasons []string
	for _, host := range []string{good, bad, refused, "with space:1", "%zz"} {
		for _, change := range [][]func(*queue.Delivery){nil, {last}} {
			f.put(level1("http://me:hidden1@"+host+"/?key=hidden2"), change...)
			for _, p := range f.settled(t, 1).Publish {
				reasons = append(reasons, p.Message.Headers.Str(queue.HeaderDeadReason))
			}
		}
	}
	f.put(level1("gopher://me:hidden1@host/?key=hidden2"))
	reasons = append(reasons, f.settled(t, 1).Publish[0].Message.Headers.Str(queue.HeaderDeadReason))
	stop()
	if all := out.String() + strings.Join(reasons, "\n"); strings.Contains(all, "hidden") {
		t.Errorf("a secret in\n%s", all)
	}
	if !strings.Contains(out.String(), "DLR-HTTP [msgid:m1] [status:ESME_ROK] [level:1] [url:http://"+good+"/]") {
		t.Errorf("the line of a delivered DLR is missing in\n%s", out.String())
	}
}

func TestJournalThatIsAwayLosesNothing(t *testing.T) {
	srv := serve(t, ack)
	f := newFake()
	var tries atomic.Int64
	f.commit = func(context.Context, *journal.Entry) error {
		if tries.Add(1) <= 2 {
			return fmt.Errorf("commit: %w", queue.ErrUnavailable)
		}
		return nil
	}
	f.run(t, Config{})
	const n = 50
	for range n {
		f.put(level1(srv.URL))
	}
	e := f.settled(t, n)
	seen := map[*queue.Delivery]bool{}
	for _, a := range e.Ack {
		seen[a.Delivery] = true
	}
	if len(e.Ack) != n || len(seen) != n {
		t.Errorf("%d acknowledgements of %d deliveries, want %d", len(e.Ack), len(seen), n)
	}
}

// What an endpoint acknowledged is settled even if the thrower is told to stop before that.
func TestAcknowledgedDLRIsSettledWhileStopping(t *testing.T) {
	srv := serve(t, ack)
	f := newFake()
	th := NewHTTP(Config{}, f, f, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	f.commit = func(c context.Context, _ *journal.Entry) error {
		if ctx.Err() == nil {
			cancel()
			return queue.ErrUnavailable
		}
		return c.Err()
	}
	f.put(level1(srv.URL))
	if err := th.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if e := f.settled(t, 1); len(e.Ack) != 1 {
		t.Errorf("settled as %+v", e)
	}
}

// A call that is cut off says nothing of the endpoint: nothing is settled, counted or logged as its fault.
func TestStoppingInTheMiddleOfACallGivesTheDLRBack(t *testing.T) {
	called := make(chan struct{})
	srv := serve(t, func(_ http.ResponseWriter, r *http.Request) { close(called); <-r.Context().Done() })
	f := newFake()
	var out bytes.Buffer
	th, stop := f.start(t, Config{}, slog.New(slog.NewTextHandler(&out, nil)))
	f.put(level1(srv.URL))
	<-called
	stop()
	if len(f.entries) != 0 || th.Metrics.Failed.Load() != 0 || out.Len() != 0 {
		t.Errorf("%d entries, %d failed calls, log %q", len(f.entries), th.Metrics.Failed.Load(), out.String())
	}
}

// More deliveries than the prefetch, as after a reconnection of the broker, and a journal that never
// answers: the thrower still stops.
// Calls under way come to their end when the thrower shuts down, and what they brought is settled; others are not begun.
func TestShutdownLetsCallsUnderWayEnd(t *testing.T) {
	called, answer := make(chan struct{}, 10), make(chan struct{})
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		called <- struct{}{}
		<-answer
		ack(w, r)
	})
	f := newFake()
	th := NewHTTP(Config{PerHost: 2}, f, f, slog.New(slog.DiscardHandler))
	ran, shut := make(chan error, 1), make(chan error, 1)
	go func() { ran <- th.Run(context.Background()) }()
	for n := range 5 {
		d := level1(srv.URL)
		d.MsgID = sms.MessageID(fmt.Sprint("m", n))
		f.put(d)
	}
	<-called
	<-called
	go func() { shut <- th.Shutdown(context.Background()) }()
	<-th.closing
	select {
	case err := <-shut:
		t.Errorf("it did not wait: %v", err)
	case err := <-ran:
		t.Errorf("Run did not wait: %v", err)
	default:
	}
	close(answer)
	if err := errors.Join(<-shut, <-ran); err != nil {
		t.Error(err)
	}
	if e := f.settled(t, 2); len(e.Ack) != 2 || len(e.Retry) != 0 || len(f.entries) != 0 || len(called) != 0 {
		t.Errorf("settled as %+v, and %d more; %d more calls", e, len(f.entries), len(called))
	}
}

func TestShutdownGivesUpWithItsContext(t *testing.T) {
	called := make(chan struct{}, 1)
	srv := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		called <- struct{}{}
		<-r.Context().Done()
	})
	f := newFake()
	th, stop := f.start(t, Config{}, slog.New(slog.DiscardHandler))
	f.put(level1(srv.URL))
	<-called
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := th.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	stop() // cuts the call off
	if len(f.entries) != 0 {
		t.Errorf("settled as %+v", <-f.entries)
	}
}

func TestThrowerStopsWhateverIsUnsettled(t *testing.T) {
	srv := serve(t, ack)
	f := newFake()
	stuck := make(chan struct{}, 1)
	f.commit = func(ctx context.Context, _ *journal.Entry) error {
		select {
		case stuck <- struct{}{}:
		default:
		}
		<-ctx.Done()
		return ctx.Err()
	}
	th := NewHTTP(Config{Prefetch: 4}, f, f, slog.New(slog.DiscardHandler))
	th.settle = newSettler(f, th.hands, slog.New(slog.DiscardHandler), time.Millisecond, th.account)
	for range 100 {
		f.put(level1(srv.URL))
		f.put(level1("no URL"))
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-stuck; cancel() }()
	if err := th.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if len(f.entries) != 0 {
		t.Error("something was settled")
	}
}

func TestEndOfTheSubscriptionIsAnError(t *testing.T) {
	f := newFake()
	close(f.ch)
	th := NewHTTP(Config{}, f, f, slog.New(slog.DiscardHandler))
	if err := th.Run(t.Context()); !errors.Is(err, queue.ErrEnded) || !strings.Contains(err.Error(), "dlr_thrower.http") {
		t.Errorf("Run: %v", err)
	}
}

type noBroker struct{}

func (noBroker) Consume(_ context.Context, name queue.Name, _ int) (queue.Consumer, error) {
	return nil, fmt.Errorf("%w: %s", queue.ErrNoQueue, name)
}

func TestQueueThatIsMissingIsAnError(t *testing.T) {
	th := NewHTTP(Config{}, noBroker{}, newFake(), slog.New(slog.DiscardHandler))
	if err := th.Run(t.Context()); !errors.Is(err, queue.ErrNoQueue) {
		t.Errorf("Run: %v", err)
	}
}

func TestParametersOfLevel3AreThoseOfLevel2(t *testing.T) {
	d := level2("http://x/")
	two := Parameters(d)
	d.Level = 3
	three := Parameters(d)
	three.Set("level", "2")
	if !reflect.DeepEqual(two, three) {
		t.Errorf("got %v, want %v", three, two)
	}
	var names []string
	for k := range two {
		names = append(names, k)
	}
	slices.Sort(names)
	if got, want := strings.Join(names, " "), "connector dlvrd donedate err id id_smsc level message_status sub subdate text"; got != want {
		t.Errorf("parameters %s, want %s", got, want)
	}
}
