package rabbit_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"jasmind/internal/billing"
	"jasmind/internal/queue"
	"jasmind/internal/queue/rabbit"
	"jasmind/internal/sms"
	"jasmind/internal/testenv"
)

func next(t *testing.T, c queue.Consumer) *queue.Delivery {
	t.Helper()
	select {
	case d, ok := <-c.C():
		if !ok {
			t.Fatal("the consumer ended, want a delivery")
		}
		return d
	case <-time.After(patience):
		t.Fatal("no delivery came")
	}
	return nil
}

func TestDeletedQueueIsDeclaredAgain(t *testing.T) {
	for _, kind := range []rabbit.QueueType{rabbit.Classic, rabbit.Quorum} {
		t.Run(string(kind), func(t *testing.T) {
			url := testenv.RabbitMQ(t).URL()
			b := open(t, rabbit.Config{URL: url, QueueType: kind})
			must(t, b.Declare(t.Context(), qLoad))
			c, err := b.Consume(t.Context(), qLoad, 5)
			must(t, err)
			must(t, b.Publish(t.Context(), queue.Publication{Queue: qLoad, Message: text("1")}))
			held := next(t, c)
			_, err = raw(t, url).QueueDelete(string(qLoad), false, false, false)
			must(t, err)
			must(t, b.Publish(t.Context(), queue.Publication{Queue: qLoad, Message: text("2")}))
			if d := next(t, c); d.ID != "2" {
				t.Errorf("got %q, want 2", d.ID)
			}
			if err := b.Ack(t.Context(), held); !errors.Is(err, queue.ErrStale) {
				t.Errorf("ack of what went with the queue: %v, want ErrStale", err)
			}
		})
	}
}

func TestDeletedExchangeIsDeclaredAgain(t *testing.T) {
	url := testenv.RabbitMQ(t).URL()
	b := open(t, rabbit.Config{URL: url})
	must(t, b.Declare(t.Context(), qLoad))
	must(t, raw(t, url).ExchangeDelete(queue.ExchangeMessaging, false, false))
	eventually(t, "publishing works again", func() bool {
		err := b.Publish(t.Context(), queue.Publication{Queue: qLoad, Message: text("1")})
		if err != nil && !errors.Is(err, queue.ErrUnavailable) {
			t.Fatalf("publish: %v, want nil or ErrUnavailable", err)
		}
		return err == nil
	})
	n, err := b.Length(t.Context(), qLoad)
	must(t, err)
	if n != 1 {
		t.Errorf("length %d, want 1", n)
	}
}

func TestOtherArguments(t *testing.T) {
	t.Run("a queue of another type is named with the command that removes it", func(t *testing.T) {
		server := testenv.RabbitMQ(t)
		b := open(t, rabbit.Config{URL: server.URL()})
		_, err := raw(t, server.URL()).QueueDeclare("submit.sm.old", true, false, false, false, amqp.Table{"x-queue-type": "quorum"})
		must(t, err)
		err = b.Declare(t.Context(), qLoad, "submit.sm.old")
		if !errors.Is(err, rabbit.ErrArguments) || !strings.Contains(err.Error(), "rabbitmqctl -p "+server.VHost+" delete_queue submit.sm.old") {
			t.Errorf("declare: %v, want ErrArguments and the command", err)
		}
		must(t, b.Publish(t.Context(), queue.Publication{Queue: qLoad, Message: text("1")}))
	})
	t.Run("an exchange of another kind stops Open at once", func(t *testing.T) {
		server := testenv.RabbitMQ(t)
		must(t, raw(t, server.URL()).ExchangeDeclare(queue.ExchangeMessaging, "topic", false, false, false, false, nil))
		_, err := rabbit.Open(t.Context(), rabbit.Config{URL: server.URL()})
		if !errors.Is(err, rabbit.ErrArguments) || !strings.Contains(err.Error(), "exchange messaging") {
			t.Errorf("open: %v, want ErrArguments naming the exchange", err)
		}
	})
}

// Queues of quorum type that an earlier version declared are kept, and a policy gives them what they lack.
func TestOlderQuorumQueuesAreKept(t *testing.T) {
	server := testenv.RabbitMQ(t)
	ch := raw(t, server.URL())
	for _, lane := range []string{"", ":p1", ":p2", ":p3"} {
		_, err := ch.QueueDeclare(string(qLoad)+lane, true, false, false, false, amqp.Table{"x-queue-type": "quorum"})
		must(t, err)
	}
	must(t, ch.Publish("", string(qLoad), true, false, amqp.Publishing{MessageId: "waiting"}))
	var log strings.Builder
	b := open(t, rabbit.Config{URL: server.URL(), QueueType: rabbit.Quorum, Logger: slog.New(slog.NewJSONHandler(&log, nil))})
	must(t, b.Declare(t.Context(), qLoad, "submit.sm.new"))
	must(t, b.Declare(t.Context(), qLoad))
	if n := strings.Count(log.String(), "quorum queues of an earlier version"); n != 1 {
		t.Fatalf("the operator is told %d times, want once: %s", n, log.String())
	}
	var told struct{ Policy string }
	for line := range strings.Lines(log.String()) {
		if strings.Contains(line, "earlier version") {
			must(t, json.Unmarshal([]byte(line), &told))
		}
	}
	command := regexp.MustCompile(`^rabbitmqctl -p \S+ set_policy --apply-to queues jasmind '(\S+)' '(\S+)'$`).FindStringSubmatch(told.Policy)
	if command == nil {
		t.Fatalf("the command is %q", told.Policy)
	}
	for _, name := range []queue.Name{qLoad, queue.DLRSubmitSMResp, queue.DLRThrowerHTTP, queue.DeliverSMSMPPS, queue.ESME("x"), queue.BillRequests, queue.DeadLetter} {
		if !regexp.MustCompile(command[1]).MatchString(string(name)) {
			t.Errorf("the policy's pattern %s leaves out %s", command[1], name)
		}
	}
	server.SetPolicy(t, command[1], command[2])
	for range 25 { // more than RabbitMQ 4 allows by default
		c, err := b.Consume(t.Context(), qLoad, 1)
		must(t, err)
		if d := next(t, c); d.ID != "waiting" {
			t.Fatalf("got %q, want waiting", d.ID)
		}
		must(t, c.Close(t.Context()))
	}
}

// A limit of time or length that the operator sets makes dead letters, with their cause and queue.
func TestLimitsOfPoliciesMakeDeadLetters(t *testing.T) {
	server := testenv.RabbitMQ(t)
	b := open(t, rabbit.Config{URL: server.URL(), QueueType: rabbit.Quorum})
	must(t, b.Declare(t.Context(), qLoad))
	server.SetPolicy(t, "^submit", `{"message-ttl":1}`)
	m := text("1")
	m.Priority = 2
	must(t, b.Publish(t.Context(), queue.Publication{Queue: qLoad, Message: m}))
	dead, err := b.Consume(t.Context(), queue.DeadLetter, 1)
	must(t, err)
	d := next(t, dead)
	if h := d.Headers; h.Str(queue.HeaderDeadQueue) != string(qLoad) || h.Str(queue.HeaderDeadCause) != string(queue.CauseLimit) || !strings.Contains(h.Str(queue.HeaderDeadReason), "expired") {
		t.Errorf("the dead letter has headers %v, want the queue %s, the cause %s and a reason that says expired", h, qLoad, queue.CauseLimit)
	}
}

func TestRefusedCredentials(t *testing.T) {
	server := testenv.RabbitMQ(t)
	for name, cfg := range map[string]rabbit.Config{
		"password":     {Host: server.Host, Port: server.Port, User: server.User, Password: "wrong", VHost: server.VHost},
		"virtual host": {Host: server.Host, Port: server.Port, User: server.User, Password: server.Password, VHost: "nowhere"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		_, err := rabbit.Open(ctx, cfg)
		if err == nil || ctx.Err() != nil {
			t.Errorf("%s: %v after %v, want an error before the deadline", name, err, ctx.Err())
		}
		if err != nil && strings.Contains(err.Error(), "wrong") {
			t.Errorf("%s: the error shows the password: %v", name, err)
		}
		cancel()
	}
}

func TestOpenWaitsForContext(t *testing.T) {
	p, url := newProxy(t, testenv.RabbitMQ(t).URL())
	p.cut(true)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := rabbit.Open(ctx, rabbit.Config{URL: url}); !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("open: %v, want ErrUnavailable", err)
	}
}

func TestConfigFaults(t *testing.T) {
	err := rabbit.Config{Port: 70000, QueueType: "stream", Heartbeat: 1500 * time.Millisecond, PublishChannels: -1, URL: "http://x"}.Validate()
	for _, want := range []string{"70000", `"stream"`, "1.5s", "-1", "url"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("faults %v do not name %s", err, want)
		}
	}
}

// Unroutable messages among others: each caller hears of his own.
func TestUnroutable(t *testing.T) {
	b := open(t, rabbit.Config{URL: testenv.RabbitMQ(t).URL(), PublishChannels: 2})
	must(t, b.Declare(t.Context(), qLoad))
	const publishers, each = 50, 40
	var wg sync.WaitGroup
	for p := range publishers {
		wg.Go(func() {
			for i := range each {
				id, q := fmt.Sprintf("%d-%d", p, i), qLoad
				if i%4 == 3 {
					q = "submit.sm.missing"
				}
				err := b.Publish(t.Context(), queue.Publication{Queue: q, Message: text(id)})
				if missing := errors.Is(err, queue.ErrNoQueue); missing != (i%4 == 3) || err != nil && !missing {
					t.Errorf("%s to %s: %v", id, q, err)
				}
			}
		})
	}
	wg.Wait()
	n, err := b.Length(t.Context(), qLoad)
	must(t, err)
	if want := publishers * each * 3 / 4; n != want {
		t.Errorf("length %d, want %d", n, want)
	}
}

func TestTooLargeForAMQP(t *testing.T) {
	b := open(t, rabbit.Config{URL: testenv.RabbitMQ(t).URL()})
	must(t, b.Declare(t.Context(), qLoad))
	long := text(strings.Repeat("i", 256))
	headers := text("1")
	headers.Headers = queue.Headers{{Name: "log_content", Str: strings.Repeat("x", 130_000)}}
	name := text("2")
	name.Headers = queue.Headers{{Name: strings.Repeat("n", 256)}}
	for _, m := range []queue.Message{long, headers, name} {
		err := b.Publish(t.Context(), queue.Publication{Queue: qLoad, Message: m})
		if err == nil || errors.Is(err, queue.ErrUnavailable) {
			t.Errorf("publish: %v, want an error that is not temporary", err)
		}
	}
	// The most that is allowed passes, and the connection is as it was.
	headers.Headers[0].Str = headers.Headers[0].Str[:119_900]
	must(t, b.Publish(t.Context(), queue.Publication{Queue: qLoad, Message: headers}))
}

func TestDelay(t *testing.T) {
	for _, kind := range []rabbit.QueueType{rabbit.Classic, rabbit.Quorum} {
		t.Run(string(kind), func(t *testing.T) {
			b := open(t, rabbit.Config{URL: testenv.RabbitMQ(t).URL(), QueueType: kind})
			must(t, b.Declare(t.Context(), qLoad))
			c, err := b.Consume(t.Context(), qLoad, 1)
			must(t, err)
			// Through several buckets each, with prefetch 1: none holds up another.
			waits := []time.Duration{1300 * time.Millisecond, 120 * time.Millisecond, 700 * time.Millisecond, 10 * time.Millisecond}
			var sent [4]time.Time
			for i, w := range waits {
				m := text(fmt.Sprint(i))
				m.Priority = uint8(i)
				m.Attempts = 2
				m.Headers = queue.Headers{{Name: "kept", Str: "x"}}
				sent[i] = time.Now()
				must(t, b.Publish(t.Context(), queue.Publication{Queue: qLoad, Message: m, After: w}))
			}
			seen := map[string]bool{}
			for range waits { // in any order: between two publications a busy machine takes its time
				d := next(t, c)
				i := int(d.Priority)
				if took := time.Since(sent[i]); d.ID != fmt.Sprint(i) || took < waits[i] {
					t.Errorf("got %q after %v, want it after %v", d.ID, took, waits[i])
				}
				if d.Attempts != 2 || len(d.Headers) != 1 || d.Headers.Str("kept") != "x" || d.ContentType != queue.ContentText {
					t.Errorf("%q came as %+v", d.ID, d)
				}
				seen[d.ID] = true
				must(t, b.Ack(t.Context(), d))
			}
			if len(seen) != len(waits) {
				t.Errorf("got %v, want all four", seen)
			}
		})
	}
}

// More messages than a dead-lettering bucket keeps in flight (32) have lost their queue:
// they end in the dead letters, and others pass.
func TestDelayedForADeletedQueue(t *testing.T) {
	b := open(t, rabbit.Config{URL: testenv.RabbitMQ(t).URL()})
	const gone = queue.Name("submit.sm.gone")
	must(t, b.Declare(t.Context(), qLoad, gone))
	var ps []queue.Publication
	for i := range 100 {
		ps = append(ps, queue.Publication{Queue: gone, Message: text(fmt.Sprint(i)), After: time.Second})
	}
	must(t, b.Publish(t.Context(), append(ps, queue.Publication{Queue: qLoad, Message: text("mine"), After: time.Second})...))
	must(t, b.Delete(t.Context(), gone))
	if err := b.Publish(t.Context(), ps[0]); !errors.Is(err, queue.ErrNoQueue) {
		t.Errorf("delayed publish to a queue that is gone: %v, want ErrNoQueue", err)
	}
	c, err := b.Consume(t.Context(), qLoad, 1)
	must(t, err)
	if d := next(t, c); d.ID != "mine" {
		t.Errorf("got %q, want mine", d.ID)
	}
	eventually(t, "the others are dead letters", func() bool {
		n, err := b.Length(t.Context(), queue.DeadLetter)
		must(t, err)
		return n == len(ps)
	})
	dead, err := b.Consume(t.Context(), queue.DeadLetter, len(ps))
	must(t, err)
	for range ps {
		d := next(t, dead)
		if q, cause := d.Headers.Str(queue.HeaderDeadQueue), d.Headers.Str(queue.HeaderDeadCause); q != string(gone) || cause != string(queue.CauseNoQueue) {
			t.Errorf("%s was in %q and is dead for %q, want %s and %s", d.ID, q, cause, gone, queue.CauseNoQueue)
		}
	}
}

func TestWhatObserversSee(t *testing.T) {
	for _, kind := range []rabbit.QueueType{rabbit.Classic, rabbit.Quorum} {
		t.Run(string(kind), func(t *testing.T) {
			url := testenv.RabbitMQ(t).URL()
			b := open(t, rabbit.Config{URL: url, QueueType: kind})
			must(t, b.Declare(t.Context(), qLoad))
			ch := raw(t, url)
			q, err := ch.QueueDeclare("", false, true, true, false, nil)
			must(t, err)
			for _, key := range []string{"submit.sm.*", "submit.sm.resp.*"} {
				must(t, ch.QueueBind(q.Name, key, queue.ExchangeMessaging, false, nil))
			}
			ds, err := ch.Consume(q.Name, "", true, true, false, false, nil)
			must(t, err)
			m := queue.Message{ID: "m-1", Priority: 3, ContentType: queue.ContentPDU, Body: []byte{0, 0, 0, 16},
				Headers: queue.Headers{{Name: "uid", Str: "foo"}, {Name: "created_at", Int: 5, IsInt: true}}}
			must(t, b.Publish(t.Context(), queue.Publication{Queue: qLoad, Message: m},
				queue.Publication{Queue: queue.SubmitSMResp("load"), Message: text("m-1"), Observers: true}))
			d := <-ds
			if d.MessageId != "m-1" || d.Priority != 3 || d.DeliveryMode != amqp.Persistent || d.ContentType != queue.ContentPDU || string(d.Body) != string(m.Body) {
				t.Errorf("observer got %+v", d)
			}
			if d.Headers["uid"] != "foo" || d.Headers["created_at"] != int64(5) || len(d.Headers) != 2 {
				t.Errorf("observer got headers %v", d.Headers)
			}
			if d := <-ds; d.RoutingKey != "submit.sm.resp.load" {
				t.Errorf("observer got routing key %q, want submit.sm.resp.load", d.RoutingKey)
			}
		})
	}
}

func TestBillingExchange(t *testing.T) {
	url := testenv.RabbitMQ(t).URL()
	b := open(t, rabbit.Config{URL: url})
	const name = queue.Name("bill_request.submit_sm_resp.foo")
	must(t, b.Declare(t.Context(), name))
	must(t, raw(t, url).QueueUnbind(string(name), string(name), queue.ExchangeMessaging, nil)) // no error: it is not bound there
	must(t, b.Publish(t.Context(), queue.Publication{Queue: name, Message: text("1")}))
	must(t, raw(t, url).QueueUnbind(string(name), string(name), queue.ExchangeBilling, nil))
	must(t, b.Publish(t.Context(), queue.Publication{Queue: name, Message: text("2")})) // bound again
	n, err := b.Length(t.Context(), name)
	must(t, err)
	if n != 2 {
		t.Errorf("length %d, want 2", n)
	}
}

// Bill requests of all users are in one queue, and readers see whose they are.
func TestBillRequestsHaveTheirUsersKey(t *testing.T) {
	for _, kind := range []rabbit.QueueType{rabbit.Classic, rabbit.Quorum} {
		t.Run(string(kind), func(t *testing.T) {
			url := testenv.RabbitMQ(t).URL()
			b := open(t, rabbit.Config{URL: url, QueueType: kind})
			must(t, b.Declare(t.Context(), queue.BillRequests))
			ch := raw(t, url)
			q, err := ch.QueueDeclare("", false, true, true, false, nil)
			must(t, err)
			must(t, ch.QueueBind(q.Name, "bill_request.submit_sm_resp.u1", queue.ExchangeBilling, false, nil))
			ds, err := ch.Consume(q.Name, "", true, true, false, false, nil)
			must(t, err)
			for _, uid := range []sms.UserID{"u2", "u1"} {
				r := queue.BillRequest{Bill: billing.PartBill("m-1", 1), UID: uid, Amount: 150_000}
				must(t, b.Publish(t.Context(), r.Publication()))
			}
			d := <-ds
			if d.MessageId != "m-1/1" || d.RoutingKey != "bill_request.submit_sm_resp.u1" || d.Headers["amount"] != "0.15" || d.Headers["user-id"] != "u1" || len(d.Headers) != 2 {
				t.Errorf("a reader got %+v", d)
			}
			n, err := b.Length(t.Context(), queue.BillRequests)
			must(t, err)
			if n != 2 {
				t.Errorf("length %d, want 2", n)
			}
		})
	}
}
