package throw

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"jasmind/internal/journal"
	"jasmind/internal/queue"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

// lossy is a broker and its journal in memory, as RabbitMQ is: when its connection is lost, every unsettled delivery is stale, and its
// message comes again at its place, marked, to the same consumer. What is settled by a stale delivery stays in its queue.
type lossy struct {
	mu      sync.Mutex
	queues  map[queue.Name]*lossyQueue
	removed int // messages that were in a queue when it was deleted
	// beforeAck is called once, when an entry is published and nothing of it acknowledged.
	beforeAck func()
}

type lossyQueue struct {
	messages []*queue.Delivery // ready or unsettled, in order
	c        chan *queue.Delivery
	prefetch int
}

type lossyHandle struct{ out, stale atomic.Bool }

func (h *lossyHandle) Stale() bool { return h.stale.Load() }

func newLossy() *lossy { return &lossy{queues: make(map[queue.Name]*lossyQueue)} }

func (b *lossy) queueLocked(n queue.Name) *lossyQueue {
	q := b.queues[n]
	if q == nil {
		q = &lossyQueue{}
		b.queues[n] = q
	}
	return q
}

func (b *lossy) put(n queue.Name, ms ...queue.Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	q := b.queueLocked(n)
	for i := range ms {
		q.messages = append(q.messages, &queue.Delivery{Message: ms[i], Queue: n, Handle: &lossyHandle{}})
	}
	q.dispatch()
}

func (q *lossyQueue) dispatch() {
	out := 0
	for _, d := range q.messages {
		h := d.Handle.(*lossyHandle)
		if q.c == nil || out == q.prefetch {
			return
		}
		if out++; !h.out.Swap(true) {
			q.c <- d
		}
	}
}

// lose gives everything back.
func (b *lossy) lose() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, q := range b.queues {
		for len(q.c) > 0 {
			<-q.c
		}
		for i, d := range q.messages {
			h := d.Handle.(*lossyHandle)
			h.stale.Store(true)
			if h.out.Load() {
				q.messages[i] = &queue.Delivery{Message: d.Message, Queue: d.Queue, Redelivered: true, Handle: &lossyHandle{}}
			} else {
				h.stale.Store(false)
			}
		}
		q.dispatch()
	}
}

func (b *lossy) left(n queue.Name) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.queueLocked(n).messages)
}

func (b *lossy) Declare(_ context.Context, names ...queue.Name) error { return nil }

func (b *lossy) Delete(_ context.Context, n queue.Name) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.removed += len(b.queueLocked(n).messages)
	delete(b.queues, n)
	return nil
}

func (b *lossy) Length(_ context.Context, n queue.Name) (int, error) { return b.left(n), nil }

func (b *lossy) Consume(_ context.Context, n queue.Name, prefetch int) (queue.Consumer, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	q := b.queueLocked(n)
	q.prefetch = prefetch
	q.c = make(chan *queue.Delivery, 4096)
	q.dispatch()
	return &lossyConsumer{b, q}, nil
}

type lossyConsumer struct {
	b *lossy
	q *lossyQueue
}

func (c *lossyConsumer) C() <-chan *queue.Delivery { return c.q.c }

func (c *lossyConsumer) Close(context.Context) error {
	c.b.mu.Lock()
	c.q.c = nil
	c.b.mu.Unlock()
	c.b.lose()
	return nil
}

func (b *lossy) Settled(_ context.Context, ds []*queue.Delivery) ([]bool, error) {
	return make([]bool, len(ds)), nil
}

func (b *lossy) Commit(_ context.Context, e *journal.Entry) error {
	for _, p := range e.Publish {
		b.put(p.Queue, p.Message)
	}
	var ds []*queue.Delivery
	for _, r := range e.Retry {
		m := r.Delivery.Message
		m.Attempts++
		if r.Headers != nil {
			m.Headers = r.Headers
		}
		time.AfterFunc(r.After, func() { b.put(r.Delivery.Queue, m) })
		ds = append(ds, r.Delivery)
	}
	b.mu.Lock()
	hook := b.beforeAck
	b.beforeAck = nil
	b.mu.Unlock()
	if hook != nil {
		hook()
	}
	for _, a := range e.Ack {
		ds = append(ds, a.Delivery)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, d := range ds {
		if d.Stale() {
			continue
		}
		d.Handle.(*lossyHandle).stale.Store(true)
		q := b.queueLocked(d.Queue)
		q.messages = slices.DeleteFunc(q.messages, func(x *queue.Delivery) bool { return x == d })
		q.dispatch()
	}
	return nil
}

// endpoint is the other side of a thrower to URLs, without sockets.
type endpoint struct {
	mu    sync.Mutex
	calls map[string]int
	gate  chan struct{} // nil: answers at once
	now   int
	fail  bool
}

func (e *endpoint) RoundTrip(r *http.Request) (*http.Response, error) {
	e.mu.Lock()
	e.calls[r.URL.Query().Get("id")]++
	e.now++
	gate, fail := e.gate, e.fail
	e.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	e.mu.Lock()
	e.now--
	e.mu.Unlock()
	resp := &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(Acknowledgement)), Request: r}
	if fail {
		resp.StatusCode = http.StatusServiceUnavailable
	}
	return resp, nil
}

func (e *endpoint) underWay() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.now
}

func (e *endpoint) wantEachOnce(t *testing.T, n int) {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	twice := 0
	for _, times := range e.calls {
		if times > 1 {
			twice++
		}
	}
	if len(e.calls) != n || twice > 0 {
		t.Errorf("%d of %d DLRs were called, %d of them more than once", len(e.calls), n, twice)
	}
}

func httpDLRs(n int) []queue.Message {
	out := make([]queue.Message, n)
	for i := range out {
		d := level2("http://endpoint.test/")
		d.IDSMSC = fmt.Sprint(i)
		out[i] = d.Message()
		out[i].ID = fmt.Sprint("m", i)
	}
	return out
}

// throwing runs a thrower to URLs over a broker that can be lost.
func throwing(t *testing.T, b *lossy, cfg Config, ep http.RoundTripper, test func(*HTTP)) {
	th := NewHTTP(cfg, b, b, slog.New(slog.DiscardHandler))
	th.client.Transport = ep
	stop := run1(t, th)
	test(th)
	stop()
}

func TestLostBrokerConnectionCallsNothingTwice(t *testing.T) {
	for _, tt := range []struct {
		name string
		at   func(b *lossy, release func())
	}{
		{"while calls are under way", func(b *lossy, release func()) {
			b.lose()
			synctest.Wait()
			b.lose() // and once more, while copies wait
			synctest.Wait()
			release()
		}},
		{"when the calls have ended, before the acknowledgements", func(b *lossy, release func()) {
			b.mu.Lock()
			b.beforeAck = b.lose
			b.mu.Unlock()
			release()
		}},
		{"both", func(b *lossy, release func()) {
			b.lose()
			b.mu.Lock()
			b.beforeAck = b.lose
			b.mu.Unlock()
			release()
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, ep := newLossy(), &endpoint{calls: make(map[string]int), gate: make(chan struct{})}
				const n = 120
				b.put(queue.DLRThrowerHTTP, httpDLRs(n)...)
				throwing(t, b, Config{PerHost: 16}, ep, func(th *HTTP) {
					synctest.Wait()
					if got := ep.underWay(); got != 16 {
						t.Fatalf("%d calls under way, want 16", got)
					}
					tt.at(b, func() { close(ep.gate) })
					synctest.Wait()
					ep.wantEachOnce(t, n)
					if left := b.left(queue.DLRThrowerHTTP); left != 0 || len(th.hands.held) != 0 {
						t.Errorf("%d left in the queue, %d in hand", left, len(th.hands.held))
					}
				})
			})
		})
	}
}

// A call that failed is put back once, though its message came again meanwhile.
func TestLostBrokerConnectionRetriesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, ep := newLossy(), &endpoint{calls: make(map[string]int), gate: make(chan struct{}), fail: true}
		b.put(queue.DLRThrowerHTTP, httpDLRs(1)...)
		throwing(t, b, Config{MaxRetries: 1}, ep, func(*HTTP) {
			synctest.Wait()
			b.lose()
			synctest.Wait()
			ep.mu.Lock()
			ep.fail = false
			gate := ep.gate
			ep.gate = nil
			ep.mu.Unlock()
			close(gate)
			time.Sleep(time.Minute)
			synctest.Wait()
			if got := ep.calls["m0"]; got != 2 || b.left(queue.DLRThrowerHTTP) != 0 || b.left(queue.DeadLetter) != 0 {
				t.Errorf("called %d times, want the try and one more; %d left, %d dead", got, b.left(queue.DLRThrowerHTTP), b.left(queue.DeadLetter))
			}
		})
	})
}

// Two that are the same to the octet are both thrown, unless one is marked as a copy; and what is remembered is bounded.
func TestHandsKnowCopiesOnly(t *testing.T) {
	h := newHands(2)
	d := func(id string, again bool) *queue.Delivery {
		return &queue.Delivery{Message: queue.Message{ID: id, Body: []byte("x")}, Queue: "q", Redelivered: again}
	}
	a, _ := h.take(d("a", false))
	twin, v := h.take(d("a", false))
	if v != fresh {
		t.Errorf("a twin is %v, want fresh", v)
	}
	h.deliveries(a)
	if _, v := h.take(d("a", true)); v != waits {
		t.Errorf("a copy of one in hand is %v, want waits", v)
	}
	if copies := h.done(a); len(copies) != 1 {
		t.Errorf("%d copies came late, want 1", len(copies))
	}
	h.deliveries(twin)
	h.done(twin)
	if _, v := h.take(d("a", true)); v != already {
		t.Errorf("a copy of one that is settled is %v, want already", v)
	}
	for _, id := range []string{"b", "c"} {
		x, _ := h.take(d(id, false))
		h.deliveries(x)
		h.done(x)
	}
	if _, v := h.take(d("a", true)); v != fresh || len(h.settled) != 2 || len(h.held) != 1 {
		t.Errorf("the oldest is %v, want fresh; %d remembered, %d in hand", v, len(h.settled), len(h.held))
	}
	other := d("c", true)
	other.Headers = queue.Headers{{Name: "level", Int: 3, IsInt: true}}
	if _, v := h.take(other); v != fresh {
		t.Errorf("another DLR of the same message is %v, want fresh", v)
	}
}

// A message that is in hand for long keeps none of the deliveries that ended while it was, however often the connection is lost; and the copy that came
// after those that an entry settles is told from them.
func TestHandsKeepNoDeliveriesThatEnded(t *testing.T) {
	h := newHands(1)
	var last *queue.Delivery
	again := func() (*held, taken) {
		if last != nil {
			last.Handle.(*lossyHandle).stale.Store(true)
		}
		last = &queue.Delivery{Message: queue.Message{ID: "a"}, Queue: "q", Redelivered: last != nil, Handle: &lossyHandle{}}
		return h.take(last)
	}
	x, _ := again()
	for range 100 {
		if _, v := again(); v != waits {
			t.Fatalf("a copy is %v, want waits", v)
		}
	}
	if ds := h.deliveries(x); !slices.Equal(ds, []*queue.Delivery{last}) {
		t.Errorf("%d deliveries are to be settled, want the last one", len(ds))
	}
	again()
	if copies := h.done(x); !slices.Equal(copies, []*queue.Delivery{last}) {
		t.Errorf("%d copies came late, want the last one", len(copies))
	}
}

func TestLostBrokerConnectionTellsNoESMETwice(t *testing.T) {
	for _, tt := range []struct {
		name string
		at   func(b *lossy)
	}{
		{"while receipts are in flight", func(b *lossy) { b.lose(); synctest.Wait(); b.lose() }},
		{"before the acknowledgements", func(b *lossy) {
			b.mu.Lock()
			b.beforeAck = b.lose
			b.mu.Unlock()
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newLossy()
				const n = 40
				var ms []queue.Message
				for i := range n {
					d := dlrFor("acme", fmt.Sprint("m", i), fmt.Sprint("336", i%5))
					ms = append(ms, d.Message())
				}
				b.beforeAck = b.lose // when they move to the queue of the ESME
				b.put(queue.DLRThrowerSMPPS, ms...)
				th := NewSMPPS(SMPPSConfig{}, b, b, func() []string { return nil }, slog.New(slog.DiscardHandler))
				ctx, cancel := context.WithCancel(t.Context())
				var wg sync.WaitGroup
				wg.Go(func() {
					if err := th.Run(ctx); err != nil {
						t.Error(err)
					}
				})
				synctest.Wait()
				if moved, left := b.left(queue.ESME("acme")), b.left(queue.DLRThrowerSMPPS); moved != n || left != 0 {
					t.Fatalf("%d moved, %d left in the shared queue; want %d and none", moved, left, n)
				}
				s := newSession("one", 4, nil)
				th.Bound("acme", s)
				synctest.Wait()
				if got := len(s.inFlight()); got != 4 {
					t.Fatalf("%d in flight, want 4", got)
				}
				tt.at(b)
				for range 2 * n {
					synctest.Wait()
					for _, x := range s.inFlight() {
						s.finish(x, pdu.StatusOK, nil)
					}
				}
				synctest.Wait()
				got := s.got()
				slices.Sort(got)
				if len(slices.Compact(slices.Clone(got))) != n || len(got) != n {
					t.Errorf("%d receipts were sent, %d different ones, want %d", len(got), len(slices.Compact(got)), n)
				}
				if left := b.left(queue.ESME("acme")); left != 0 || len(th.hands.held) != 0 {
					t.Errorf("%d left in the queue, %d in hand", left, len(th.hands.held))
				}
				cancel()
				wg.Wait()
			})
		})
	}
}

// Hosts of one user that never answer delay nobody else's DLRs: they come at once, though there are more of the first than all that a thrower
// takes in hand, and each has a host of its own.
func TestHostsThatNeverAnswerDelayNoOtherUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newLossy()
		var called sync.Map
		answer := roundTrip(func(r *http.Request) (*http.Response, error) {
			if strings.HasPrefix(r.URL.Host, "dead") {
				<-r.Context().Done()
				return nil, r.Context().Err()
			}
			called.Store(r.URL.Query().Get("id"), time.Now())
			return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(Acknowledgement)), Request: r}, nil
		})
		dlr := func(user, host, id string) queue.Message {
			d := level2("http://" + host + "/")
			d.UID = sms.UserID(user)
			m := d.Message()
			m.ID = id
			return m
		}
		throwing(t, b, Config{}, answer, func(*HTTP) {
			for i := range 1100 {
				b.put(queue.DLRThrowerHTTP, dlr("a", fmt.Sprint("dead", i, ".test"), fmt.Sprint("a", i)))
			}
			synctest.Wait()
			begin := time.Now()
			const n = 50
			for i := range n {
				b.put(queue.DLRThrowerHTTP, dlr("b", fmt.Sprint("host", i, ".test"), fmt.Sprint("b", i)))
			}
			synctest.Wait()
			for i := range n {
				at, ok := called.Load(fmt.Sprint("b", i))
				if !ok || !at.(time.Time).Equal(begin) {
					t.Fatalf("DLR %d of the other user was called at %v, want at once", i, at)
				}
			}
		})
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
