package throw

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"jasmind/internal/journal"
	"jasmind/internal/queue"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

func target(cid, method, u string) queue.MOTarget {
	return queue.MOTarget{CID: sms.ConnectorID("http_" + cid), Method: method, URL: u}
}

func moCall(targets ...queue.MOTarget) *queue.MOCall {
	m := pdu.Message{Source: pdu.Address{TON: 1, NPI: 1, Addr: "3361"}, Dest: pdu.Address{Addr: "85111"}, PriorityFlag: 1, DataCoding: 8, ShortMessage: []byte("\x00h\x00\xe9")}
	return &queue.MOCall{MsgID: "m1", CID: "smsc1", CreatedAt: time.UnixMilli(1700000000000), Targets: targets, Parts: []pdu.DeliverSM{{Message: m}}, Total: 1}
}

func (f *fake) putMO(t *testing.T, c *queue.MOCall, throws int64) {
	t.Helper()
	m, err := c.Message()
	if err != nil {
		t.Fatal(err)
	}
	if throws > 0 {
		m.Headers = m.Headers.WithInt(queue.HeaderThrows, throws)
	}
	f.ch <- &queue.Delivery{Message: m, Queue: queue.DeliverSMHTTP}
}

func (f *fake) runMO(t *testing.T, cfg Config, log *slog.Logger) {
	t.Helper()
	stop := run1(t, NewMO(cfg, f, f, log))
	t.Cleanup(stop)
}

// An MO reaches its URL as the documentation says ("Receiving SMS-MO").
func TestMOIsThrownWithTheDocumentedParameters(t *testing.T) {
	type seen struct {
		method, agent, contentType string
		query, form                url.Values
	}
	calls := make(chan seen, 1)
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		form, err := url.ParseQuery(string(body))
		if err != nil {
			t.Error(err)
		}
		calls <- seen{r.Method, r.UserAgent(), r.Header.Get("Content-Type"), r.URL.Query(), form}
		ack(w, r)
	})
	want := url.Values{"id": {"m1"}, "from": {"3361"}, "to": {"85111"}, "origin-connector": {"smsc1"}, "priority": {"1"}, "coding": {"8"},
		"content": {"hé"}, "binary": {"006800e9"}}
	var out bytes.Buffer
	f := newFake()
	stop := run1(t, NewMO(Config{}, f, f, slog.New(slog.NewTextHandler(&out, nil))))
	for method, expected := range map[string]seen{
		"GET":  {"GET", "Jasmin gateway/1.0 deliverSmHttpThrower", "", want, url.Values{}},
		"POST": {"POST", "Jasmin gateway/1.0 deliverSmHttpThrower", "application/x-www-form-urlencoded", url.Values{}, want},
	} {
		f.putMO(t, moCall(target("1", method, srv.URL+"/mo")), 0)
		if e := f.settled(t, 1); len(e.Ack) != 1 {
			t.Fatalf("%s: settled as %+v", method, e)
		}
		if got := <-calls; !reflect.DeepEqual(got, expected) {
			t.Errorf("%s\ngot  %+v\nwant %+v", method, got, expected)
		}
	}
	stop()
	if line := "MO-HTTP [msgid:m1] [cid:smsc1] [dst-cid:http_1] [route:simple 1/1] [url:" + srv.URL + "/mo]"; !strings.Contains(out.String(), line) {
		t.Errorf("%s is missing in\n%s", line, out.String())
	}
}

// Behind a failover route every connector has its turn at once; only the next round waits.
func TestMOBehindAFailoverRoute(t *testing.T) {
	var bad, good atomic.Int64
	down := serve(t, func(w http.ResponseWriter, _ *http.Request) { bad.Add(1); w.WriteHeader(http.StatusNotFound) })
	up := serve(t, func(w http.ResponseWriter, r *http.Request) { good.Add(1); ack(w, r) })
	for _, tt := range []struct {
		name    string
		targets []queue.MOTarget
		throws  int64
		want    string
		after   time.Duration
	}{
		{"the first one acknowledges", []queue.MOTarget{target("a", "GET", up.URL), target("b", "GET", down.URL)}, 0, "acknowledged", 0},
		{"the first one does not", []queue.MOTarget{target("a", "GET", down.URL), target("b", "GET", up.URL)}, 0, "retried", 0},
		{"then it is the second one's turn", []queue.MOTarget{target("a", "GET", down.URL), target("b", "GET", up.URL)}, 1, "acknowledged", 0},
		{"nobody does", []queue.MOTarget{target("a", "GET", down.URL), target("b", "POST", down.URL)}, 1, "retried", 7 * time.Second},
		{"the last one of the last round", []queue.MOTarget{target("a", "GET", down.URL), target("b", "POST", down.URL)}, 3, "given up", 0},
		{"a single one that is not there is given up at once", []queue.MOTarget{target("a", "GET", down.URL)}, 0, "given up", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake()
			f.runMO(t, Config{MaxRetries: 1, RetryDelay: 7 * time.Second}, slog.New(slog.DiscardHandler))
			f.putMO(t, moCall(tt.targets...), tt.throws)
			e := f.settled(t, 1)
			got := "acknowledged"
			switch {
			case len(e.Retry) == 1:
				got = "retried"
				if e.Retry[0].After != tt.after || e.Retry[0].Headers.Int(queue.HeaderThrows) != tt.throws+1 {
					t.Errorf("retry is %+v", e.Retry[0])
				}
			case len(e.Publish) == 1:
				got = "given up"
				if l := buried(t, &e); l.Queue != queue.DeliverSMHTTP || l.Message.ID != "m1" {
					t.Errorf("letter is %+v", l)
				}
			}
			if got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
	if bad.Load() == 0 || good.Load() != 2 {
		t.Errorf("%d calls of the one that is down, %d of the other", bad.Load(), good.Load())
	}
}

func TestWhatIsNoMOIsBuried(t *testing.T) {
	f := newFake()
	f.runMO(t, Config{}, slog.New(slog.DiscardHandler))
	f.ch <- &queue.Delivery{Message: queue.Message{ID: "m1", ContentType: queue.ContentPDU, Body: []byte("x")}, Queue: queue.DeliverSMHTTP}
	e := f.settled(t, 1)
	if l := buried(t, &e); l.Cause != queue.CauseUndecodable {
		t.Errorf("letter is %+v", l)
	}
	f.putMO(t, moCall(target("a", "GET", "ftp://me:hidden@host/")), 0)
	e = f.settled(t, 1)
	if l := buried(t, &e); l.Reason != `url "ftp://host/" is no http or https URL` {
		t.Errorf("reason is %q", l.Reason)
	}
}

// buried is the dead letter of an entry.
func buried(t *testing.T, e *journal.Entry) queue.Letter {
	t.Helper()
	if len(e.Publish) != 1 || e.Publish[0].Queue != queue.DeadLetter || len(e.Ack) != 1 {
		t.Fatalf("settled as %+v", e)
	}
	l, err := queue.DecodeLetter(&e.Publish[0].Message)
	if err != nil {
		t.Fatal(err)
	}
	return l
}
