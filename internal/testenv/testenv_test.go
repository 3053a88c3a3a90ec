package testenv

import (
	"context"
	"errors"
	"net"
	"os"
	"strconv"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/redis/go-redis/v9"
)

// deadline bounds what a test waits for. It is long, since it decides nothing but how soon
// a failure is told.
const deadline = 6 * time.Minute

func channelTo(t *testing.T, url string) *amqp.Channel {
	t.Helper()
	conn, err := amqp.Dial(url)
	if err != nil {
		t.Fatalf("dial %s: %v", url, err)
	}
	t.Cleanup(func() { conn.Close() })
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	return ch
}

// publish puts one durable message into a durable queue and waits for the confirm.
func publish(ctx context.Context, t *testing.T, url, queue, body string) {
	t.Helper()
	ch := channelTo(t, url)
	if err := ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	if _, err := ch.QueueDeclare(queue, true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	confirm, err := ch.PublishWithDeferredConfirmWithContext(ctx, "", queue, true, false,
		amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte(body)})
	if err != nil {
		t.Fatal(err)
	}
	if acked, err := confirm.WaitContext(ctx); err != nil || !acked {
		t.Fatalf("publish of %q: acked %v, error %v", body, acked, err)
	}
}

// consume takes one message off the queue.
func consume(t *testing.T, url, queue string) string {
	t.Helper()
	msg, ok, err := channelTo(t, url).Get(queue, true)
	if err != nil {
		t.Fatal(err)
	}
	if !ok {
		t.Fatalf("queue %s is empty", queue)
	}
	return string(msg.Body)
}

func TestDurableMessageSurvivesRestartAndKillOfRabbitMQ(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	rabbit := DedicatedRabbitMQ(t)
	url := rabbit.URL()

	publish(ctx, t, url, "kept", "over a restart")
	if err := rabbit.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	if got, want := consume(t, url, "kept"), "over a restart"; got != want {
		t.Errorf("after the restart: got %q, want %q", got, want)
	}

	publish(ctx, t, url, "kept", "over a kill")
	if err := rabbit.Kill(ctx); err != nil {
		t.Fatal(err)
	}
	refused(ctx, t, rabbit.hostPort())
	if err := rabbit.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if got, want := consume(t, url, "kept"), "over a kill"; got != want {
		t.Errorf("after the kill: got %q, want %q", got, want)
	}
}

// refused checks that nothing listens at the address.
func refused(ctx context.Context, t *testing.T, addr string) {
	t.Helper()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err == nil {
		conn.Close()
		t.Fatalf("%s takes connections although its service does not run", addr)
	}
}

func redisClient(t *testing.T, url string) *redis.Client {
	t.Helper()
	opts, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	opts.MaxRetries = -1
	opts.ContextTimeoutEnabled = true
	opts.DialTimeout, opts.ReadTimeout, opts.WriteTimeout = patience, patience, patience
	client := redis.NewClient(opts)
	t.Cleanup(func() { client.Close() })
	return client
}

func TestValueSurvivesRestartAndKillOfRedis(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	server := DedicatedRedis(t)
	url := server.URL()
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"restart", func() error { return server.Restart(ctx) }},
		{"kill", func() error {
			if err := server.Kill(ctx); err != nil {
				return err
			}
			refused(ctx, t, server.Addr())
			return server.Start(ctx)
		}},
	} {
		if err := redisClient(t, url).Set(ctx, step.name, "kept", 0).Err(); err != nil {
			t.Fatal(err)
		}
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		got, err := redisClient(t, url).Get(ctx, step.name).Result()
		if err != nil || got != "kept" {
			t.Errorf("after the %s: got %q, error %v, want %q", step.name, got, err, "kept")
		}
	}
}

func TestPausedRedisIsSilentUntilUnpaused(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	server := DedicatedRedis(t)
	client := redisClient(t, server.URL())
	if err := client.Ping(ctx).Err(); err != nil {
		t.Fatal(err)
	}
	if err := server.Pause(ctx); err != nil {
		t.Fatal(err)
	}
	short, stop := context.WithTimeout(ctx, 200*time.Millisecond)
	defer stop()
	var timeout net.Error
	if err := client.Ping(short).Err(); !errors.Is(err, context.DeadlineExceeded) && !(errors.As(err, &timeout) && timeout.Timeout()) {
		t.Errorf("ping while paused: got error %v, want a timeout", err)
	}
	if err := server.Unpause(ctx); err != nil {
		t.Fatal(err)
	}
	if err := client.Ping(ctx).Err(); err != nil {
		t.Errorf("ping after unpause: %v", err)
	}
}

func TestServiceIsRemovedWithItsTestThoughPaused(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	var addr string
	t.Run("owner", func(t *testing.T) {
		server := DedicatedRedis(t)
		addr = server.Addr()
		if err := server.Pause(ctx); err != nil {
			t.Fatal(err)
		}
	})
	refused(ctx, t, addr)
}

func TestVirtualHostsDoNotSeeEachOthersQueues(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	one, two := RabbitMQ(t), RabbitMQ(t)
	if one.VHost == two.VHost || one.hostPort() != two.hostPort() {
		t.Fatalf("got %s and %s, want two virtual hosts of one broker", one.URL(), two.URL())
	}
	publish(ctx, t, one.URL(), "mine", "hello")
	_, err := channelTo(t, two.URL()).QueueDeclarePassive("mine", true, false, false, false, nil)
	var refusal *amqp.Error
	if !errors.As(err, &refusal) || refusal.Code != amqp.NotFound {
		t.Errorf("the other virtual host's queue: got error %v, want 404", err)
	}
	if got := consume(t, one.URL(), "mine"); got != "hello" {
		t.Errorf("own queue: got %q, want %q", got, "hello")
	}
}

func TestVirtualHostGoesWithItsTest(t *testing.T) {
	var gone *Rabbit
	t.Run("owner", func(t *testing.T) { gone = RabbitMQ(t) })
	conn, err := amqp.Dial(gone.URL())
	if err == nil {
		conn.Close()
		t.Fatalf("virtual host %s is still there", gone.VHost)
	}
	var refusal *amqp.Error
	if !errors.As(err, &refusal) {
		t.Errorf("got error %v, want a refusal by the broker", err)
	}
}

func TestRedisDatabasesAreApartAndGivenBackEmpty(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	mine := Redis(t)
	if err := redisClient(t, mine.URL()).Set(ctx, "key", "mine", 0).Err(); err != nil {
		t.Fatal(err)
	}
	var theirs *RedisDB
	t.Run("other", func(t *testing.T) {
		theirs = Redis(t)
		if theirs.DB == mine.DB || theirs.Addr() != mine.Addr() {
			t.Fatalf("got %s and %s, want two databases of one Redis", mine.URL(), theirs.URL())
		}
		client := redisClient(t, theirs.URL())
		if err := client.Get(ctx, "key").Err(); !errors.Is(err, redis.Nil) {
			t.Errorf("the other's key: got error %v, want %v", err, redis.Nil)
		}
		if err := client.Set(ctx, "key", "theirs", 0).Err(); err != nil {
			t.Fatal(err)
		}
	})
	if theirs == nil {
		return
	}
	if size, err := redisClient(t, theirs.URL()).DBSize(ctx).Result(); err != nil || size != 0 {
		t.Errorf("database %d after its test: %d keys, error %v, want none", theirs.DB, size, err)
	}
	books := &RedisDB{Host: mine.Host, Port: mine.Port}
	owner, err := redisClient(t, books.URL()).Get(ctx, redisOwnerKey+strconv.Itoa(theirs.DB)).Result()
	if !errors.Is(err, redis.Nil) {
		t.Errorf("owner of database %d after its test: %q, error %v, want none", theirs.DB, owner, err)
	}
	if got, err := redisClient(t, mine.URL()).Get(ctx, "key").Result(); err != nil || got != "mine" {
		t.Errorf("own key: got %q, error %v, want %q", got, err, "mine")
	}
}

func TestDatabaseWithDataIsNotTaken(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	server := DedicatedRedis(t)
	full := server.RedisDB
	full.DB = 1
	if err := redisClient(t, full.URL()).Set(ctx, "precious", "data", 0).Err(); err != nil {
		t.Fatal(err)
	}
	db, err := server.takeDB(ctx, t.Name())
	if err != nil || db != 2 {
		t.Errorf("got database %d, error %v, want 2", db, err)
	}
}

func TestUnknownWayIsRefused(t *testing.T) {
	t.Setenv(EnvServices, "kubernetes")
	_, err := start(t.Context(), redisKind)
	if want := `JASMIND_TEST_SERVICES="kubernetes": not one of auto, containers, process`; err == nil || err.Error() != want {
		t.Errorf("got error %v, want %s", err, want)
	}
}

func TestServiceThatEndsAtOnceIsToldWithItsLastWords(t *testing.T) {
	sh := *redisKind
	sh.process = func(string, []int) (processSpec, error) {
		return processSpec{command: command{argv: []string{"/bin/sh", "-c", "echo no room here; exit 3"}}}, nil
	}
	t.Setenv(EnvServices, "process")
	t.Setenv("TMPDIR", t.TempDir())
	_, err := start(t.Context(), &sh)
	if err == nil || !contains(err.Error(), "it ended before it answered", "no room here", "set JASMIND_TEST_REDIS_ADDR") {
		t.Errorf("got error %v, want one that quotes the output and names the ways out", err)
	}
	if left, err := sweepable(os.Getpid()); err != nil || len(left) != 0 {
		t.Errorf("folders left behind: %v, error %v", left, err)
	}
}
