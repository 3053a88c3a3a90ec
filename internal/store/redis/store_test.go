package redis_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"jasmind/internal/journal"
	"jasmind/internal/queue"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
	"jasmind/internal/store/redis"
	"jasmind/internal/testenv"
)

const patience = 60 * time.Second

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !f() {
		if time.Now().After(deadline) {
			t.Fatalf("never came true: %s", what)
		}
		<-time.After(5 * time.Millisecond) // between two looks
	}
}

// raw is a plain client of the same database, as an operator's.
func raw(t testing.TB, url string) *goredis.Client {
	t.Helper()
	o, err := goredis.ParseURL(url)
	must(t, err)
	o.Protocol, o.DisableIdentity = 2, true
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout = patience, patience, patience
	c := goredis.NewClient(o)
	t.Cleanup(func() { must(t, c.Close()) })
	return c
}

func delivery(q queue.Name, id string, attempts int) *queue.Delivery {
	return &queue.Delivery{Queue: q, Message: queue.Message{ID: id, Attempts: attempts}}
}

// The names of keys and fields are public.
func TestKeys(t *testing.T) {
	url := testenv.Redis(t).URL()
	s := open(t, redis.Config{URL: url, Prefix: "p:"})
	c := raw(t, url)
	at := time.UnixMilli(1_700_000_000_123)
	must(t, s.Apply(t.Context(), &journal.Entry{
		Receipts: []sms.ReceiptRequest{
			{MsgID: "h", Origin: sms.OriginHTTP, CID: "smsc", Report: sms.ReportFinal, Parts: 2, Expiry: time.Hour, URL: "http://x/", Method: "GET"},
			{MsgID: "s", Origin: sms.OriginSMPP, CID: "smsc", Report: sms.ReportSubmit | sms.ReportFinal, Parts: 1, Expiry: time.Hour, SystemID: "esme",
				Source: pdu.Address{TON: 5, NPI: 0, Addr: "ACME"}, Dest: pdu.Address{TON: 1, NPI: 1, Addr: "49170"}, RegisteredDelivery: 1, SubmittedAt: at},
		},
		Expiries: []sms.Expiry{{At: at, MsgID: "h", CID: "smsc", Report: sms.ReportFinal}},
		Mappings: []sms.Mapping{{Account: "smsc", SMPPMsgID: "AB12", MsgID: "h", Part: 1, Parts: 2, Origin: sms.OriginHTTP, Expiry: time.Hour}},
		Outcomes: []sms.PartOutcome{{MsgID: "h", Part: 1, Parts: 2, SMPPMsgID: "ab12", Expiry: time.Hour}, {MsgID: "h", Part: 2, Parts: 2, State: "DELIVRD", Expiry: time.Hour}},
		Ack:      []journal.Ack{{Delivery: delivery("submit.sm.smsc", "h", 3), Remember: true}, {Delivery: delivery("submit.sm.smsc", "no", 0)}},
	}))
	for key, want := range map[string]map[string]string{
		"p:dlr:h": {"sc": "httpapi", "connector": "smsc", "expiry": "3600", "level": "2", "parts": "2", "url": "http://x/", "method": "GET"},
		"p:dlr:s": {"sc": "smppsapi", "connector": "smsc", "expiry": "3600", "level": "3", "parts": "1", "system_id": "esme",
			"source_addr": "ACME", "source_addr_ton": "5", "source_addr_npi": "0", "destination_addr": "49170", "dest_addr_ton": "1", "dest_addr_npi": "1",
			"sub_date": "2023-11-14T22:13:20.123Z", "rd_receipt": "1"},
		"p:queue-msgid:smsc:AB12": {"msgid": "h", "connector_type": "httpapi", "part": "1", "parts": "2", "expiry": "3600"},
		"p:parts:h":               {"1": `{"parts":2,"status":0,"smpp_msgid":"ab12","expiry_ms":3600000}`},
		"p:final:h":               {"2": `{"parts":2,"status":0,"state":"DELIVRD","expiry_ms":3600000}`},
	} {
		got, err := c.HGetAll(t.Context(), key).Result()
		must(t, err)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\ngot  %v\nwant %v", key, got, want)
		}
		if d := c.PTTL(t.Context(), key).Val(); d <= 0 || d > time.Hour {
			t.Errorf("%s has the time to live %v, want up to an hour", key, d)
		}
	}
	z, err := c.ZRangeWithScores(t.Context(), "p:expiry", 0, -1).Result()
	must(t, err)
	if len(z) != 1 || z[0].Member != "h smsc 2" || int64(z[0].Score) != at.UnixMilli() {
		t.Errorf("expiry index: %v", z)
	}
	if got := c.ZRange(t.Context(), "p:settled:submit.sm.smsc", 0, -1).Val(); !slices.Equal(got, []string{"h/3"}) {
		t.Errorf("settled: %v, want h/3", got)
	}
	if d := c.PTTL(t.Context(), "p:settled:submit.sm.smsc").Val(); d <= 0 {
		t.Errorf("settled has the time to live %v", d)
	}
	keys := c.Keys(t.Context(), "*").Val()
	if len(keys) != 7 {
		t.Errorf("keys %v, want the seven above", keys)
	}
}

// A record of the original has fewer fields.
// A part that is still queued finds the request when it is sent, however long after the others.
func TestRequestOfALongMessageWaitsForItsLastPart(t *testing.T) {
	url := testenv.Redis(t).URL()
	s := open(t, redis.Config{URL: url, Prefix: "p:"})
	c := raw(t, url)
	must(t, s.Apply(t.Context(), &journal.Entry{Receipts: []sms.ReceiptRequest{
		{MsgID: "h", CID: "smsc", Report: sms.ReportFinal, Parts: 2, Expiry: 1000 * time.Hour, URL: "http://x/", Method: "GET"}}}))
	for i, tt := range []struct {
		part         int
		expiry, want time.Duration
	}{{1, time.Hour, 1000 * time.Hour}, {1, 2000 * time.Hour, 2000 * time.Hour}, {2, time.Hour, time.Hour}} {
		must(t, s.Apply(t.Context(), &journal.Entry{Mappings: []sms.Mapping{
			{Account: "smsc", SMPPMsgID: strconv.Itoa(i), MsgID: "h", Part: tt.part, Parts: 2, Expiry: tt.expiry}}}))
		if d := c.PTTL(t.Context(), "p:dlr:h").Val(); d > tt.want || d < tt.want-time.Minute {
			t.Errorf("after part %d it is kept for %v, want %v", tt.part, d, tt.want)
		}
	}
}

func TestRecordsOfTheOriginal(t *testing.T) {
	url := testenv.Redis(t).URL()
	s, c := open(t, redis.Config{URL: url}), raw(t, url)
	must(t, c.HSet(t.Context(), "dlr:old", "sc", "smppsapi", "system_id", "esme", "source_addr", "1", "expiry", "86400").Err())
	r, ok, err := s.Receipt(t.Context(), "old")
	must(t, err)
	want := sms.ReceiptRequest{MsgID: "old", Origin: sms.OriginSMPP, Report: sms.ReportFinal, Parts: 1, Expiry: 24 * time.Hour, SystemID: "esme",
		Source: pdu.Address{Addr: "1"}}
	if !ok || r != want {
		t.Errorf("got %+v, %v; want %+v", r, ok, want)
	}
	must(t, c.HSet(t.Context(), "dlr:bad", "sc", "httpapi", "level", "nine").Err())
	if _, ok, err := s.Receipt(t.Context(), "bad"); ok || err == nil || !strings.Contains(err.Error(), "dlr:bad") || !strings.Contains(err.Error(), "nine") {
		t.Errorf("a bad level: %v, %v; want an error that names key and value", ok, err)
	}
	must(t, c.Set(t.Context(), "dlr:type", "x", 0).Err())
	if _, _, err := s.Receipt(t.Context(), "type"); err == nil || errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("a key of another type: %v, want an error that is not temporary", err)
	}
}

func TestBadMemberOfTheExpiryIndexIsDropped(t *testing.T) {
	url := testenv.Redis(t).URL()
	s, c := open(t, redis.Config{URL: url}), raw(t, url)
	x := sms.Expiry{At: time.UnixMilli(2000), MsgID: "m", CID: "smsc", Report: sms.ReportFinal}
	must(t, s.Apply(t.Context(), &journal.Entry{Expiries: []sms.Expiry{x}}))
	must(t, c.ZAdd(t.Context(), "expiry", goredis.Z{Score: 1, Member: "what"}).Err())
	for _, limit := range []int{1, 1} { // the first look drops, the second finds
		got, err := s.Expired(t.Context(), limit)
		must(t, err)
		if len(got) == 1 && got[0] == x {
			return
		}
	}
	t.Error("the entry behind the bad one is not found")
}

func TestSettled(t *testing.T) {
	url := testenv.Redis(t).URL()
	s, c := open(t, redis.Config{URL: url}), raw(t, url)
	const q = queue.Name("submit.sm.smsc")
	// The set is full of older ones: the newest stay.
	var zs []goredis.Z
	for i := range 65536 {
		zs = append(zs, goredis.Z{Score: float64(i), Member: fmt.Sprint("old", i)})
	}
	must(t, c.ZAdd(t.Context(), "settled:"+string(q), zs...).Err())
	must(t, s.Write(t.Context(), &journal.Entry{Ack: []journal.Ack{{Delivery: delivery(q, "a", 0), Remember: true}, {Delivery: delivery(q, "b", 0)}},
		Retry: []queue.Retry{{Delivery: delivery(q, "c", 2)}}}, journal.Conclude))
	got, err := s.Settled(t.Context(), []*queue.Delivery{delivery(q, "a", 0), delivery(q, "a", 1), delivery(q, "b", 0), delivery(q, "c", 2), delivery("dlr.deliver_sm", "a", 0)})
	must(t, err)
	if want := []bool{true, false, false, true, false}; !slices.Equal(got, want) {
		t.Errorf("settled: %v, want %v", got, want)
	}
	if n := c.ZCard(t.Context(), "settled:"+string(q)).Val(); n != 65536 {
		t.Errorf("%d attempts are kept, want 65536", n)
	}
	if c.ZScore(t.Context(), "settled:"+string(q), "old0").Err() == nil || c.ZScore(t.Context(), "settled:"+string(q), "old2").Err() != nil {
		t.Error("not the oldest were dropped")
	}
}

// What is written before the publications and after them does not overlap.
func TestBeforeAndAfter(t *testing.T) {
	url := testenv.Redis(t).URL()
	s, c := open(t, redis.Config{URL: url}), raw(t, url)
	x := sms.Expiry{At: time.UnixMilli(1), MsgID: "gone", CID: "smsc"}
	must(t, s.Apply(t.Context(), &journal.Entry{Receipts: []sms.ReceiptRequest{{MsgID: "gone", Expiry: time.Hour}}, Expiries: []sms.Expiry{x}}))
	e := &journal.Entry{Receipts: []sms.ReceiptRequest{{MsgID: "new", Expiry: time.Hour}}, Forget: []sms.MessageID{"gone"}, Unexpire: []sms.Expiry{x},
		Ack: []journal.Ack{{Delivery: delivery("q", "a", 0), Remember: true}}}
	keys := func() string {
		k := c.Keys(t.Context(), "*").Val()
		slices.Sort(k)
		return strings.Join(k, " ")
	}
	must(t, s.Write(t.Context(), e, journal.Record))
	if got, want := keys(), "dlr:gone dlr:new expiry"; got != want {
		t.Errorf("after Record: %s; want %s", got, want)
	}
	must(t, s.Write(t.Context(), e, journal.Conclude))
	if got, want := keys(), "dlr:new settled:q"; got != want {
		t.Errorf("after Conclude: %s; want %s", got, want)
	}
}

func TestRestartUnderLoad(t *testing.T) {
	server := testenv.DedicatedRedis(t)
	var mu sync.Mutex
	var seen []bool
	s := open(t, redis.Config{URL: server.URL(), OnStateChange: func(up bool) { mu.Lock(); seen = append(seen, up); mu.Unlock() }})
	isUp := func(want bool) func() bool {
		return func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(seen) > 0 && seen[len(seen)-1] == want && (s.Healthy() == nil) == want
		}
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var written sync.Map
	for w := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				id := sms.MessageID(fmt.Sprintf("%d-%d", w, i))
				err := s.Apply(context.Background(), &journal.Entry{Receipts: []sms.ReceiptRequest{{MsgID: id, Origin: sms.OriginHTTP, Parts: 1, Expiry: time.Hour}}})
				switch {
				case err == nil:
					written.Store(id, struct{}{})
				case errors.Is(err, queue.ErrUnavailable):
					<-time.After(10 * time.Millisecond) // Redis is away
				default:
					t.Error(err)
					return
				}
			}
		})
	}
	for _, harm := range []func(context.Context) error{server.Stop, server.Kill} {
		must(t, harm(t.Context()))
		eventually(t, "it is seen to be down", isUp(false))
		if _, _, err := s.Receipt(t.Context(), "x"); !errors.Is(err, queue.ErrUnavailable) {
			t.Errorf("read while down: %v, want ErrUnavailable", err)
		}
		must(t, server.Start(t.Context()))
		eventually(t, "it is seen to be up", isUp(true))
	}
	close(stop)
	wg.Wait()
	n := 0
	written.Range(func(id, _ any) bool {
		n++
		if _, ok, err := s.Receipt(t.Context(), id.(sms.MessageID)); err != nil || !ok {
			t.Errorf("receipt request of %s: %v, %v", id, ok, err)
		}
		return !t.Failed()
	})
	if n == 0 {
		t.Error("nothing was written")
	}
}

func TestSilentServerEndsWithTheContext(t *testing.T) {
	server := testenv.DedicatedRedis(t)
	s := open(t, redis.Config{URL: server.URL(), Timeout: 300 * time.Millisecond})
	must(t, server.Pause(t.Context()))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, _, err := s.Receipt(ctx, "x"); !errors.Is(err, queue.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("read: %v, want ErrUnavailable and the context's error", err)
	}
	if _, _, err := s.Receipt(t.Context(), "x"); !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("read: %v, want ErrUnavailable", err)
	}
	must(t, server.Unpause(t.Context()))
	eventually(t, "it answers again", func() bool { _, _, err := s.Receipt(t.Context(), "x"); return err == nil })
}

func TestOpenChecksSettings(t *testing.T) {
	server := testenv.DedicatedRedis(t)
	c := raw(t, server.URL())
	for _, x := range []struct {
		set  []string
		want string
	}{
		{[]string{"appendonly", "no"}, "setting=appendonly value=no"},
		{[]string{"appendonly", "yes", "maxmemory-policy", "allkeys-lru"}, "setting=maxmemory-policy value=allkeys-lru"},
		{[]string{"maxmemory-policy", "noeviction"}, ""},
	} {
		for i := 0; i < len(x.set); i += 2 {
			must(t, c.ConfigSet(t.Context(), x.set[i], x.set[i+1]).Err())
		}
		var log bytes.Buffer
		open(t, redis.Config{URL: server.URL(), Logger: slog.New(slog.NewTextHandler(&log, nil))})
		got := log.String()
		if !strings.Contains(got, x.want) || strings.Contains(got, "not durable") != (x.want != "") {
			t.Errorf("with %v the log is %s; want %q", x.set, got, x.want)
		}
	}
	must(t, c.ConfigSet(t.Context(), "requirepass", "secret").Err())
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err := redis.Open(ctx, redis.Config{Host: server.Host, Port: server.Port, Password: "wrong"})
	if err == nil || ctx.Err() != nil {
		t.Errorf("wrong password: %v after %v, want an error at once", err, ctx.Err())
	}
}

func TestClosed(t *testing.T) {
	s := open(t, redis.Config{URL: testenv.Redis(t).URL()})
	must(t, s.Close())
	if _, _, err := s.Receipt(t.Context(), "x"); !errors.Is(err, queue.ErrClosed) {
		t.Errorf("read: %v, want ErrClosed", err)
	}
	if err := s.Healthy(); !errors.Is(err, queue.ErrClosed) {
		t.Errorf("healthy: %v, want ErrClosed", err)
	}
}

func TestConfigFaults(t *testing.T) {
	for want, cfg := range map[string]redis.Config{"70000": {Port: 70000}, "-1": {DB: -1}, "url": {URL: "http://x"}} {
		if _, err := redis.Open(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want an error that names %s", cfg, err, want)
		}
	}
}

func BenchmarkApply(b *testing.B) {
	for _, n := range []int{1, 32, 256} {
		b.Run(fmt.Sprintf("callers=%d", n), func(b *testing.B) {
			s := open(b, redis.Config{URL: testenv.Redis(b).URL()})
			e := &journal.Entry{Receipts: []sms.ReceiptRequest{{MsgID: "m", Origin: sms.OriginHTTP, Parts: 1, Expiry: time.Hour, URL: "http://127.0.0.1/dlr"}}}
			b.SetParallelism((n + 1) / 2)
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := s.Apply(context.Background(), e); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
		})
	}
}
