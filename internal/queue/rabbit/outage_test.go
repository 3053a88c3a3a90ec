package rabbit_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"jasmind/internal/queue"
	"jasmind/internal/queue/rabbit"
	"jasmind/internal/testenv"
)

const (
	patience = 60 * time.Second
	qLoad    = queue.Name("submit.sm.load")
)

func text(id string) queue.Message {
	return queue.Message{ID: id, ContentType: queue.ContentText, Body: []byte("body of " + id)}
}

// states remembers what OnStateChange said.
type states struct {
	mu   sync.Mutex
	seen []rabbit.State
	next chan struct{}
}

func newStates() *states { return &states{next: make(chan struct{}, 1)} }

func (s *states) note(st rabbit.State) {
	s.mu.Lock()
	s.seen = append(s.seen, st)
	s.mu.Unlock()
	select {
	case s.next <- struct{}{}:
	default:
	}
}

// awaitFrom waits until a state is among those from the n-th on.
func (s *states) awaitFrom(t *testing.T, n int, want rabbit.State) {
	t.Helper()
	for deadline := time.After(patience); ; {
		s.mu.Lock()
		ok := slices.Contains(s.seen[min(n, len(s.seen)):], want)
		s.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-s.next:
		case <-deadline:
			t.Fatalf("the state %v did not come", want)
		}
	}
}

// await waits until the newest state is want.
func (s *states) await(t *testing.T, want rabbit.State) {
	t.Helper()
	deadline := time.After(patience)
	for {
		s.mu.Lock()
		ok := len(s.seen) > 0 && s.seen[len(s.seen)-1] == want
		all := fmt.Sprint(s.seen)
		s.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-s.next:
		case <-deadline:
			t.Fatalf("the state never became %s: %s", want, all)
		}
	}
}

// load publishes and consumes until done; the harm comes in between.
type load struct {
	b         *rabbit.Broker
	published atomic.Int64
	confirmed sync.Map // id to struct{}
	got       sync.Map
	received  atomic.Int64
	sending   sync.WaitGroup
	taking    sync.WaitGroup
	stop      chan struct{}
	consumers []queue.Consumer
}

func startLoad(t *testing.T, b *rabbit.Broker, publishers, consumers int) *load {
	t.Helper()
	if err := b.Declare(t.Context(), qLoad); err != nil {
		t.Fatal(err)
	}
	l := &load{b: b, stop: make(chan struct{})}
	for p := range publishers {
		l.sending.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-l.stop:
					return
				default:
				}
				id := fmt.Sprintf("%d-%d", p, i)
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				err := b.Publish(ctx, queue.Publication{Queue: qLoad, Message: text(id)})
				cancel()
				switch {
				case err == nil:
					l.confirmed.Store(id, struct{}{})
					l.published.Add(1)
				case errors.Is(err, queue.ErrUnavailable):
					select {
					case <-time.After(20 * time.Millisecond): // the broker is away, as a door would say
					case <-l.stop:
					}
				default:
					t.Errorf("publish %s: %v", id, err)
					return
				}
			}
		})
	}
	for range consumers {
		c, err := b.Consume(t.Context(), qLoad, 50)
		if err != nil {
			t.Fatal(err)
		}
		l.consumers = append(l.consumers, c)
		l.taking.Go(func() {
			for d := range c.C() {
				l.got.Store(d.ID, struct{}{})
				l.received.Add(1)
				if err := b.Ack(context.Background(), d); err != nil && !errors.Is(err, queue.ErrStale) {
					t.Errorf("ack: %v", err)
				}
			}
		})
	}
	return l
}

// grow waits until n more messages were published and received.
func (l *load) grow(t *testing.T, n int64) {
	t.Helper()
	p, r := l.published.Load()+n, l.received.Load()+n
	eventually(t, "messages flow", func() bool { return l.published.Load() >= p && l.received.Load() >= r })
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

// finish stops the publishers and checks that every confirmed message came.
func (l *load) finish(t *testing.T) {
	t.Helper()
	close(l.stop)
	l.sending.Wait() // the last confirms may come late
	lost := func() (n int) {
		l.confirmed.Range(func(id, _ any) bool {
			if _, ok := l.got.Load(id); !ok {
				n++
			}
			return true
		})
		return n
	}
	eventually(t, "every confirmed message is received", func() bool { return lost() == 0 })
	for _, c := range l.consumers {
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	l.taking.Wait()
	t.Logf("%d confirmed, %d received", l.published.Load(), l.received.Load())
}

func TestBrokerRestartUnderLoad(t *testing.T) {
	server := testenv.DedicatedRabbitMQ(t)
	for _, kind := range []rabbit.QueueType{rabbit.Classic, rabbit.Quorum} {
		t.Run(string(kind), func(t *testing.T) {
			st := newStates()
			b := open(t, rabbit.Config{URL: server.URL(), QueueType: kind, OnStateChange: st.note, ReconnectMax: time.Second})
			l := startLoad(t, b, 8, 3)
			l.grow(t, 500)
			for _, harm := range []struct {
				name string
				do   func(context.Context) error
			}{{"stop", server.Stop}, {"kill -9", server.Kill}} {
				if err := harm.do(t.Context()); err != nil {
					t.Fatal(err)
				}
				st.await(t, rabbit.StateDown)
				if err := b.Publish(t.Context(), queue.Publication{Queue: qLoad, Message: text("none")}); !errors.Is(err, queue.ErrUnavailable) {
					t.Errorf("publish after %s: %v, want ErrUnavailable", harm.name, err)
				}
				if err := server.Start(t.Context()); err != nil {
					t.Fatal(err)
				}
				st.await(t, rabbit.StateUp)
				l.grow(t, 500)
			}
			l.finish(t)
			// The next type of queue cannot have the same names.
			must(t, b.Delete(t.Context(), qLoad))
			must(t, b.Delete(t.Context(), queue.DeadLetter))
		})
	}
}

func TestCutConnectionsUnderLoad(t *testing.T) {
	p, url := newProxy(t, testenv.RabbitMQ(t).URL())
	b := open(t, rabbit.Config{URL: url, ReconnectMin: 10 * time.Millisecond})
	l := startLoad(t, b, 16, 2)
	for range 8 {
		l.grow(t, 200)
		p.cut(false)
	}
	l.grow(t, 200)
	l.finish(t)
}

func TestUnacknowledgedComesAgain(t *testing.T) {
	p, url := newProxy(t, testenv.RabbitMQ(t).URL())
	b := open(t, rabbit.Config{URL: url, ReconnectMin: 10 * time.Millisecond})
	must(t, b.Declare(t.Context(), qLoad))
	must(t, b.Publish(t.Context(), queue.Publication{Queue: qLoad, Message: text("1")}))
	c, err := b.Consume(t.Context(), qLoad, 5)
	must(t, err)
	first := <-c.C()
	p.cut(false)
	again := <-c.C()
	if again.ID != "1" || !again.Redelivered || again.Key() != first.Key() {
		t.Errorf("got %q, redelivered %v, key %s; want 1, true, %s", again.ID, again.Redelivered, again.Key(), first.Key())
	}
	if err := b.Ack(t.Context(), first); !errors.Is(err, queue.ErrStale) {
		t.Errorf("ack of the delivery before the cut: %v, want ErrStale", err)
	}
	must(t, b.Ack(t.Context(), again))
}

func TestDownIsToldAtOnce(t *testing.T) {
	st := newStates()
	p, url := newProxy(t, testenv.RabbitMQ(t).URL())
	b := open(t, rabbit.Config{URL: url, ReconnectMin: 10 * time.Millisecond, OnStateChange: st.note, ConfirmTimeout: time.Hour})
	must(t, b.Declare(t.Context(), qLoad))
	c, err := b.Consume(t.Context(), qLoad, 5)
	must(t, err)
	p.cut(true)
	st.await(t, rabbit.StateDown)
	for what, err := range map[string]error{
		"publish": b.Publish(t.Context(), queue.Publication{Queue: qLoad, Message: text("1")}),
		"declare": b.Declare(t.Context(), "submit.sm.other"),
		"healthy": b.Healthy(),
	} {
		if !errors.Is(err, queue.ErrUnavailable) {
			t.Errorf("%s: %v, want ErrUnavailable", what, err)
		}
	}
	// A consumer may be asked for meanwhile, of a queue that is known.
	c2, err := b.Consume(t.Context(), qLoad, 5)
	must(t, err)
	must(t, c.Close(t.Context()))
	p.cut(false)
	st.await(t, rabbit.StateUp)
	must(t, b.Publish(t.Context(), queue.Publication{Queue: qLoad, Message: text("1")}))
	if d := <-c2.C(); d.ID != "1" {
		t.Errorf("got %q, want 1", d.ID)
	}
}

func TestBlockedBroker(t *testing.T) {
	st := newStates()
	p, url := newProxy(t, testenv.RabbitMQ(t).URL())
	b := open(t, rabbit.Config{URL: url, OnStateChange: st.note, ConfirmTimeout: time.Hour})
	must(t, b.Declare(t.Context(), qLoad))
	p.stall(true)
	// Under way when the alarm comes: more than the sockets take, so that writing is stuck too.
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			m := text(fmt.Sprint(i))
			m.Body = make([]byte, 500_000)
			if err := b.Publish(t.Context(), queue.Publication{Queue: qLoad, Message: m}); !errors.Is(err, queue.ErrUnavailable) {
				t.Errorf("publish under way: %v, want ErrUnavailable", err)
			}
		})
	}
	p.block()
	st.await(t, rabbit.StateBlocked)
	if err := b.Publish(t.Context(), queue.Publication{Queue: qLoad, Message: text("refused")}); !errors.Is(err, queue.ErrBlocked) {
		t.Errorf("publish: %v, want ErrBlocked", err)
	}
	wg.Wait()
	p.unblock()
	st.await(t, rabbit.StateUp)
	must(t, b.Publish(t.Context(), queue.Publication{Queue: qLoad, Message: text("again")}))
}

// What settles is told which of its publications were on their way when the alarm came, and what became of them when it ended.
func TestAlarmTellsWhatIsOnItsWay(t *testing.T) {
	st := newStates()
	direct := testenv.RabbitMQ(t).URL()
	p, url := newProxy(t, direct)
	b := open(t, rabbit.Config{URL: url, OnStateChange: st.note})
	must(t, b.Declare(t.Context(), qLoad))
	p.stall(true)
	errs := make(chan error)
	go func() {
		errs <- b.Send(t.Context(), []queue.Publication{{Queue: qLoad, Message: text("1")}, {Queue: qLoad, Message: text("2")}}, nil)
	}()
	p.awaitHeld(100) // more than a heartbeat: both are sent, and cannot arrive
	p.block()
	st.await(t, rabbit.StateBlocked)
	err := <-errs
	var u *queue.Unconfirmed
	if !errors.As(err, &u) || !errors.Is(err, queue.ErrBlocked) {
		t.Fatalf("got %v, want an Unconfirmed", err)
	}
	select {
	case <-u.Done:
		t.Error("the fate is known during the alarm")
	default:
	}
	p.unblock()
	<-u.Done
	for i := range 2 {
		if err := u.Err(i); err != nil {
			t.Errorf("publication %d: %v", i, err)
		}
	}
	c, err := b.Consume(t.Context(), qLoad, 10)
	must(t, err)
	next(t, c)
	next(t, c)
}

// Of two gateways on one virtual host the second is refused. The first is not, whatever becomes of its connection.
func TestOwner(t *testing.T) {
	server := testenv.RabbitMQ(t)
	st := newStates()
	p, url := newProxy(t, server.URL())
	owner := open(t, rabbit.Config{URL: url, Owner: true, OnStateChange: st.note, ReconnectMin: 10 * time.Millisecond})
	second := rabbit.Config{URL: server.URL(), Owner: true, Heartbeat: time.Second, ReconnectMin: 10 * time.Millisecond, ReconnectMax: 100 * time.Millisecond}
	_, err := rabbit.Open(t.Context(), second)
	if !errors.Is(err, rabbit.ErrOwned) || !strings.Contains(err.Error(), server.VHost) {
		t.Fatalf("the second: %v, want ErrOwned with the virtual host", err)
	}
	p.cut(false)
	st.awaitFrom(t, 1, rabbit.StateDown)
	st.await(t, rabbit.StateUp)
	if _, err := rabbit.Open(t.Context(), second); !errors.Is(err, rabbit.ErrOwned) {
		t.Fatalf("the second, after the first has reconnected: %v, want ErrOwned", err)
	}
	open(t, rabbit.Config{URL: server.URL()}) // one who owns nothing may come along

	// A third that waits, as for one of its own that died, has it as soon as the first is gone.
	opened := make(chan error, 1)
	go func() {
		third := second
		third.Heartbeat = 10 * time.Second
		b, err := rabbit.Open(t.Context(), third)
		if err == nil {
			err = b.Close()
		}
		opened <- err
	}()
	must(t, owner.Close())
	if err := <-opened; err != nil {
		t.Errorf("the next: %v", err)
	}
}

func TestSilentBroker(t *testing.T) {
	p, url := newProxy(t, testenv.RabbitMQ(t).URL())
	b := open(t, rabbit.Config{URL: url, ConfirmTimeout: 100 * time.Millisecond})
	must(t, b.Declare(t.Context(), qLoad))
	p.stall(true)
	defer p.stall(false)
	if err := b.Publish(t.Context(), queue.Publication{Queue: qLoad, Message: text("1")}); !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("publish: %v, want ErrUnavailable", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := b.Declare(ctx, "submit.sm.other"); !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("declare: %v, want ErrUnavailable", err)
	}
}

// Confirms that come late refuse whoever waits for an answer, and repeat nothing that was done.
func TestSlowConfirms(t *testing.T) {
	direct := testenv.RabbitMQ(t).URL()
	p, url := newProxy(t, direct)
	b := open(t, rabbit.Config{URL: url, ConfirmTimeout: 50 * time.Millisecond})
	must(t, b.Declare(t.Context(), qLoad, queue.DLRSubmitSMResp))
	must(t, raw(t, direct).Publish("", string(qLoad), true, false, amqp.Publishing{MessageId: "1"}))
	c, err := b.Consume(t.Context(), qLoad, 10)
	must(t, err)
	d := next(t, c)
	p.stall(true)
	settled := make(chan error)
	go func() {
		settled <- b.Send(t.Context(), []queue.Publication{{Queue: queue.DLRSubmitSMResp, Message: text("report")}}, []queue.Retry{{Delivery: d}})
	}()
	for range 3 { // each longer than a door waits
		if err := b.Publish(t.Context(), queue.Publication{Queue: "submit.sm.other", Message: text("2")}); !errors.Is(err, queue.ErrUnavailable) {
			t.Errorf("publish: %v, want ErrUnavailable", err)
		}
	}
	select {
	case err := <-settled:
		t.Fatalf("settling ended before its confirm: %v", err)
	default:
	}
	p.stall(false)
	must(t, <-settled)
	must(t, b.Ack(t.Context(), d))
	if again := next(t, c); again.ID != "1" || again.Attempts != 1 {
		t.Errorf("got %q with %d attempts, want 1 with one", again.ID, again.Attempts)
	}
	n, err := b.Length(t.Context(), queue.DLRSubmitSMResp)
	must(t, err)
	if n != 1 {
		t.Errorf("%d reports, want 1", n)
	}
}

func TestCloseWhileWritingIsStuck(t *testing.T) {
	p, url := newProxy(t, testenv.RabbitMQ(t).URL())
	b := open(t, rabbit.Config{URL: url, ConfirmTimeout: time.Hour})
	must(t, b.Declare(t.Context(), qLoad))
	p.stall(true)
	var wg sync.WaitGroup
	var started atomic.Int32
	for i := range 64 {
		wg.Go(func() {
			m := text(fmt.Sprint(i))
			m.Body = make([]byte, 500_000)
			started.Add(1)
			if err := b.Publish(t.Context(), queue.Publication{Queue: qLoad, Message: m}); err == nil {
				t.Error("publish: no error")
			}
		})
	}
	eventually(t, "publishers run", func() bool { return started.Load() == 64 })
	must(t, b.Close())
	wg.Wait()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// raw is a plain connection to the same virtual host, as an operator's.
func raw(t testing.TB, url string) *amqp.Channel {
	t.Helper()
	conn, err := amqp.Dial(url)
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() }) // some tests end with it closed
	ch, err := conn.Channel()
	must(t, err)
	return ch
}
