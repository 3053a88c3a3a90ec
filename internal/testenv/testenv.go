// Package testenv gives a test a real RabbitMQ and a real Redis. It is imported by tests
// and by its own command only.
//
// A service comes from the first of these that works:
//
//   - the address in JASMIND_TEST_AMQP_URL (its management API in JASMIND_TEST_AMQP_API,
//     default port 15672 of the same host) or JASMIND_TEST_REDIS_ADDR (HOST:PORT);
//   - a container, through testcontainers; the image is the one named by
//     JASMIND_TEST_RABBITMQ_IMAGE or JASMIND_TEST_REDIS_IMAGE, else the one that
//     testdata/images/build.sh makes, else the official one;
//   - rabbitmq-server or redis-server of the system's packages, as a child process.
//
// The images are of the services of Debian 13 (RabbitMQ 4.0, Redis 8.0), or with JASMIND_TEST_DEBIAN=12
// of those of Debian 12 (RabbitMQ 3.10, Redis 7.0). JASMIND_TEST_REDIS_IMAGE may name one of Valkey.
//
// JASMIND_TEST_SERVICES=containers or =process leaves one of the last two; "auto" and
// empty allow both. When nothing works the test fails: it never passes by not running.
//
// One RabbitMQ and one Redis serve a whole run over many packages when it is started by
// the command, which exports the addresses:
//
//	go run ./internal/testenv/cmd/testenv -- go test ./...
//
// Without it each test process starts its own and they end with the process, even if it is
// killed. Tests stay apart by virtual host and by database number:
//
//	func TestConsume(t *testing.T) {
//		rabbit := testenv.RabbitMQ(t)
//		conn, err := amqp.Dial(rabbit.URL())
//		...
//	}
//
// A test that stops, kills or pauses a service takes one for itself, by DedicatedRabbitMQ
// or DedicatedRedis.
package testenv

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"sync"
	"testing"
	"time"
)

// The environment that testenv reads, and that its command sets for the tests.
const (
	EnvAMQPURL       = "JASMIND_TEST_AMQP_URL"
	EnvAMQPAPI       = "JASMIND_TEST_AMQP_API"
	EnvRedisAddr     = "JASMIND_TEST_REDIS_ADDR"
	EnvRabbitMQImage = "JASMIND_TEST_RABBITMQ_IMAGE"
	EnvRedisImage    = "JASMIND_TEST_REDIS_IMAGE"
	EnvServices      = "JASMIND_TEST_SERVICES"
	EnvDebian        = "JASMIND_TEST_DEBIAN"
)

const defaultDebian = "13"

const (
	// startTimeout bounds one start of one service. RabbitMQ takes 8 to 16 s on an idle
	// machine of two cores; a test run does not leave it idle.
	startTimeout = 5 * time.Minute
	// tidyTimeout bounds what a test's cleanup does.
	tidyTimeout = 2 * time.Minute
	// patience bounds one handshake or one command, which a busy machine can hold up for long.
	patience = 30 * time.Second
)

// RabbitMQ returns a virtual host of its own on the RabbitMQ that the run shares. It is
// deleted, and connections to it are closed, when the test ends.
func RabbitMQ(tb testing.TB) *Rabbit {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout+tidyTimeout)
	defer cancel()
	server, err := sharedRabbit(ctx)
	if err != nil {
		tb.Fatalf("RabbitMQ for the test: %v", err)
	}
	vhost := uniqueName(tb.Name())
	if err := server.createVHost(ctx, vhost); err != nil {
		tb.Fatalf("RabbitMQ for the test: %v", err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), tidyTimeout)
		defer cancel()
		if err := server.deleteVHost(ctx, vhost); err != nil {
			tb.Errorf("RabbitMQ after the test: %v", err)
		}
	})
	mine := *server
	mine.VHost = vhost
	return &mine
}

// SetPolicy gives the queues of the virtual host whose names match a pattern a policy, as an operator does;
// definition is JSON. Of several policies the last one counts.
func (r *Rabbit) SetPolicy(tb testing.TB, pattern, definition string) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), tidyTimeout)
	defer cancel()
	body := fmt.Sprintf(`{"pattern":%q,"definition":%s,"apply-to":"queues"}`, pattern, definition)
	if err := r.call(ctx, http.MethodPut, "/api/policies/"+url.PathEscape(r.VHost)+"/test", body); err != nil {
		tb.Fatalf("RabbitMQ policy: %v", err)
	}
}

// Redis returns an empty database of its own on the Redis that the run shares. It is
// flushed when the test ends. Publish and subscribe know no databases: a test of these
// takes a channel name of its own.
func Redis(tb testing.TB) *RedisDB {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout+tidyTimeout)
	defer cancel()
	server, err := sharedRedis(ctx)
	if err != nil {
		tb.Fatalf("Redis for the test: %v", err)
	}
	db, err := server.takeDB(ctx, tb.Name())
	if err != nil {
		tb.Fatalf("Redis for the test: %v", err)
	}
	mine := *server
	mine.DB = db
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), tidyTimeout)
		defer cancel()
		if err := mine.release(ctx); err != nil {
			tb.Errorf("Redis after the test: %v", err)
		}
	})
	return &mine
}

// A DedicatedRabbit is a RabbitMQ that one test has for itself, and may break.
type DedicatedRabbit struct {
	Rabbit
	*Service
}

// DedicatedRabbitMQ starts a RabbitMQ for this test alone; its virtual host is "/". Its
// address and its data stay through every Stop, Kill and Start. It is removed when the
// test ends.
func DedicatedRabbitMQ(tb testing.TB) *DedicatedRabbit {
	tb.Helper()
	service := dedicated(tb, rabbitKind)
	return &DedicatedRabbit{Rabbit: *rabbitAt(service), Service: service}
}

// A DedicatedRedisDB is a Redis that one test has for itself, and may break.
type DedicatedRedisDB struct {
	RedisDB
	*Service
}

// DedicatedRedis starts a Redis for this test alone; its database is 0. Every write is
// on disk before its answer, so that none is lost by a Kill. Its address and its data stay
// through every Stop, Kill and Start. It is removed when the test ends.
func DedicatedRedis(tb testing.TB) *DedicatedRedisDB {
	tb.Helper()
	service := dedicated(tb, durableRedisKind)
	return &DedicatedRedisDB{RedisDB: *redisAt(service), Service: service}
}

// MemoryAlarm raises the alarm that memory runs short, or ends it: the broker reads nothing then from connections that publish.
func (r *DedicatedRabbit) MemoryAlarm(tb testing.TB, on bool) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	mark := "0.9"
	if on {
		mark = "0"
	}
	if err := r.inst.exec(ctx, "rabbitmqctl", "set_vm_memory_high_watermark", mark); err != nil {
		tb.Fatalf("RabbitMQ memory alarm: %v", err)
	}
}

func dedicated(tb testing.TB, k *kind) *Service {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	service, err := start(ctx, k)
	if err != nil {
		tb.Fatalf("%s for this test alone: %v", k.title, err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), tidyTimeout)
		defer cancel()
		if err := service.remove(ctx); err != nil {
			tb.Errorf("%s after the test: %v", k.title, err)
		}
	})
	return service
}

// lone holds what this process started because the environment names no service. A
// failure is kept too, so that each test of a package fails at once and not after the
// time limit.
var lone struct {
	sync.Mutex // held during a start: every caller needs its outcome
	rabbit     *Rabbit
	rabbitErr  error
	redis      *RedisDB
	redisErr   error
}

func sharedRabbit(ctx context.Context) (*Rabbit, error) {
	if address := os.Getenv(EnvAMQPURL); address != "" {
		return rabbitFromURL(address, os.Getenv(EnvAMQPAPI))
	}
	lone.Lock()
	defer lone.Unlock()
	if lone.rabbit == nil && lone.rabbitErr == nil {
		service, err := start(ctx, rabbitKind)
		if err == nil {
			lone.rabbit = rabbitAt(service)
		}
		lone.rabbitErr = err
	}
	return lone.rabbit, lone.rabbitErr
}

func sharedRedis(ctx context.Context) (*RedisDB, error) {
	if addr := os.Getenv(EnvRedisAddr); addr != "" {
		return redisFromAddr(addr)
	}
	lone.Lock()
	defer lone.Unlock()
	if lone.redis == nil && lone.redisErr == nil {
		service, err := start(ctx, redisKind)
		if err == nil {
			lone.redis = redisAt(service)
		}
		lone.redisErr = err
	}
	return lone.redis, lone.redisErr
}

// start brings up one service of kind k by the first way that works.
func start(ctx context.Context, k *kind) (*Service, error) {
	containers, processes, err := allowedWays()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	var errs []error
	if containers {
		service, err := launch(ctx, k, newContainer)
		if err == nil {
			return service, nil
		}
		errs = append(errs, fmt.Errorf("as a container: %w", err))
	}
	if processes && ctx.Err() == nil {
		service, err := launch(ctx, k, newProcess)
		if err == nil {
			return service, nil
		}
		errs = append(errs, fmt.Errorf("as a process: %w", err))
	}
	return nil, fmt.Errorf("no %s can be had: set %s, or start a Docker engine and run \"bash testdata/images/build.sh\", "+
		"or install the package %s: %w", k.title, k.addressEnv, k.pkg, errors.Join(errs...))
}

// allowedWays reads JASMIND_TEST_SERVICES.
func allowedWays() (containers, processes bool, err error) {
	switch v := os.Getenv(EnvServices); v {
	case "", "auto":
		return true, true, nil
	case "containers":
		return true, false, nil
	case "process":
		return false, true, nil
	default:
		return false, false, fmt.Errorf("%s=%q: not one of auto, containers, process", EnvServices, v)
	}
}
