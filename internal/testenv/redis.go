package testenv

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strconv"

	"github.com/redis/go-redis/v9"
)

// RedisDB is one database of a Redis.
type RedisDB struct {
	Host string
	Port int
	DB   int
}

// Addr returns HOST:PORT.
func (r *RedisDB) Addr() string { return net.JoinHostPort(r.Host, strconv.Itoa(r.Port)) }

// URL returns the address as Redis clients take it, with the database.
func (r *RedisDB) URL() string { return fmt.Sprintf("redis://%s/%d", r.Addr(), r.DB) }

// redisDatabases is how many our own Redis has; 16 is what one has by default.
const redisDatabases = 10000

// redisKind has an append-only file like a production Redis; durableRedisKind also
// writes it through before it answers.
var (
	redisKind        = newRedisKind("everysec")
	durableRedisKind = newRedisKind("always")
)

func newRedisKind(appendfsync string) *kind {
	arguments := []string{
		"--databases", strconv.Itoa(redisDatabases),
		"--appendonly", "yes", "--appendfsync", appendfsync, "--save", "",
	}
	return &kind{
		title:      "Redis",
		name:       "redis",
		pkg:        "redis-server",
		addressEnv: EnvRedisAddr,
		imageEnv:   EnvRedisImage,
		images:     map[string][]string{"13": {"jasmin-test/redis:13", "redis:8"}, "12": {"jasmin-test/redis:12", "redis:7"}},
		ports:      []int{6379},
		container: func() containerSpec {
			// The image may be one of Valkey, whose server has another name.
			argv := []string{"sh", "-c", `exec "$(command -v redis-server || command -v valkey-server)" "$@"`, "sh",
				"--bind", "0.0.0.0", "--protected-mode", "no", "--dir", "/data"}
			return containerSpec{command: append(argv, arguments...), data: "/data"}
		},
		process: func(dir string, ports []int) (processSpec, error) {
			program, err := exec.LookPath("redis-server")
			if err != nil {
				return processSpec{}, err
			}
			argv := []string{program, "--bind", "127.0.0.1", "--port", strconv.Itoa(ports[0]), "--dir", dir}
			return processSpec{command: command{argv: append(argv, arguments...)}}, nil
		},
		ready: redisReady,
	}
}

// redisReady asks for a PONG, which comes after the append-only file is loaded. It does so
// by hand, since the client logs every refused connection.
func redisReady(ctx context.Context, host string, ports []int) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(ports[0])))
	if err != nil {
		return err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return err
		}
	}
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return err
	}
	answer, err := bufio.NewReader(io.LimitReader(conn, 256)).ReadString('\n')
	if err != nil {
		return err
	}
	if answer != "+PONG\r\n" {
		return fmt.Errorf("PING was answered by %q", answer)
	}
	return nil
}

func redisAt(s *Service) *RedisDB { return &RedisDB{Host: s.inst.host(), Port: s.ports[0]} }

func redisFromAddr(addr string) (*RedisDB, error) {
	host, portText, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("%s=%q: %w", EnvRedisAddr, addr, err)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil || port == 0 {
		return nil, fmt.Errorf("%s=%q: port %q is not a number from 1 to 65535", EnvRedisAddr, addr, portText)
	}
	return &RedisDB{Host: host, Port: int(port)}, nil
}

// with runs f on a connection to the database that ends with f.
func (r *RedisDB) with(f func(*redis.Client) error) error {
	client := redis.NewClient(&redis.Options{
		Addr: r.Addr(), DB: r.DB,
		Protocol: 2, DisableIdentity: true, MaxRetries: -1, PoolSize: 1, ContextTimeoutEnabled: true,
		DialTimeout: patience, ReadTimeout: patience, WriteTimeout: patience,
	})
	defer client.Close()
	return f(client)
}

// Database 0 keeps the books of the run: the last number given out, and who has which.
const (
	redisCounterKey = "jasmind:testenv:next"
	redisOwnerKey   = "jasmind:testenv:owner:" // and the number
)

// takeDB finds a database that is empty and that no other test has. It never takes one
// with data: on a Redis named by the environment that could be somebody's.
func (r *RedisDB) takeDB(ctx context.Context, owner string) (int, error) {
	taken := 0
	err := r.with(func(c *redis.Client) error {
		settings, err := c.ConfigGet(ctx, "databases").Result()
		if err != nil {
			return fmt.Errorf("ask for the number of databases: %w", err)
		}
		total, err := strconv.Atoi(settings["databases"])
		if err != nil || total < 2 {
			return fmt.Errorf("the number of databases is %q, tests need 2 or more", settings["databases"])
		}
		for range total - 1 {
			next, err := c.Incr(ctx, redisCounterKey).Result()
			if err != nil {
				return fmt.Errorf("take a database: %w", err)
			}
			db := 1 + int((next-1)%int64(total-1))
			key := redisOwnerKey + strconv.Itoa(db)
			won, err := c.SetNX(ctx, key, owner, 0).Result()
			if err != nil {
				return fmt.Errorf("take database %d: %w", db, err)
			}
			if !won {
				continue
			}
			there := &RedisDB{Host: r.Host, Port: r.Port, DB: db}
			var size int64
			err = there.with(func(c *redis.Client) error {
				size, err = c.DBSize(ctx).Result()
				return err
			})
			if err != nil {
				return fmt.Errorf("look into database %d: %w", db, err)
			}
			if size == 0 {
				taken = db
				return nil
			}
			if err := c.Del(ctx, key).Err(); err != nil {
				return fmt.Errorf("give back database %d: %w", db, err)
			}
		}
		return fmt.Errorf("none of the %d databases is both empty and free; keys %s* in database 0 name the owners, "+
			"delete those of runs that were killed", total-1, redisOwnerKey)
	})
	return taken, err
}

// release empties the database and gives it back.
func (r *RedisDB) release(ctx context.Context) error {
	err := r.with(func(c *redis.Client) error { return c.FlushDB(ctx).Err() })
	if err != nil {
		return fmt.Errorf("flush database %d: %w", r.DB, err)
	}
	books := &RedisDB{Host: r.Host, Port: r.Port}
	err = books.with(func(c *redis.Client) error { return c.Del(ctx, redisOwnerKey+strconv.Itoa(r.DB)).Err() })
	if err != nil {
		return fmt.Errorf("give back database %d: %w", r.DB, err)
	}
	return nil
}
