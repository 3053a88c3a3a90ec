package gateway_test

import (
	"context"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"jasmind/internal/testenv"
)

// relay stands before a service and can be frozen: then connections stay and nothing passes any more, as when the service hangs.
type relay struct {
	ln     net.Listener
	target string

	mu     sync.Mutex // guards what follows
	cond   *sync.Cond
	frozen bool
	conns  []net.Conn
	wg     sync.WaitGroup
}

func startRelay(t *testing.T, target string) *relay {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{ln: ln, target: target}
	r.cond = sync.NewCond(&r.mu)
	r.wg.Go(r.accept)
	t.Cleanup(func() {
		ln.Close()
		r.mu.Lock()
		for _, c := range r.conns {
			c.Close()
		}
		r.mu.Unlock()
		r.freeze(false)
		r.wg.Wait()
	})
	return r
}

func (r *relay) accept() {
	for {
		in, err := r.ln.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", r.target)
		if err != nil {
			in.Close()
			continue
		}
		r.mu.Lock()
		r.conns = append(r.conns, in, out)
		r.mu.Unlock()
		r.wg.Go(func() { r.copy(out, in) })
		r.wg.Go(func() { r.copy(in, out) })
	}
}

func (r *relay) copy(to, from net.Conn) {
	defer to.Close()
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		r.mu.Lock()
		for r.frozen {
			r.cond.Wait()
		}
		r.mu.Unlock()
		if n > 0 {
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (r *relay) freeze(frozen bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.frozen = frozen
	r.cond.Broadcast()
}

func (r *relay) port(t *testing.T) string {
	t.Helper()
	_, port, err := net.SplitHostPort(r.ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// stopTime is what the stops of these tests have; what hangs would take the tests' whole time.
const stopTime = 4 * time.Second

// A connector whose SMSC answers nothing drains for an hour, whether it was stopped before or is running: the stop is over in time.
func TestADrainingConnectorDelaysNoStop(t *testing.T) {
	for _, stopped := range []bool{false, true} {
		name := map[bool]string{false: "running", true: "stopped before"}[stopped]
		t.Run(name, func(t *testing.T) {
			addr, got := silentSMSC(t)
			host, port, err := net.SplitHostPort(addr)
			if err != nil {
				t.Fatal(err)
			}
			g := start(t, t.TempDir(), "")
			o := logIn(t, g)
			o.do("Successfully added connector [abc]", "smppccm -a", "cid abc", "host "+host, "port "+port, "res_to 3600", "ok")
			o.do("Successfully started connector id:abc", "smppccm -1 abc")
			o.do("Successfully added Group", "group -a", "gid g", "ok")
			o.do("Successfully added User", "user -a", "username foo", "password bar", "gid g", "uid foo", "ok")
			o.do("Successfully added MTRoute", "mtrouter -a", "type defaultroute", "connector smppc(abc)", "rate 0.0", "ok")
			send(t, g, url.Values{})
			<-got
			if stopped {
				o.do("Successfully stopped connector id:abc", "smppccm -0 abc")
			}
			ctx, cancel := context.WithTimeout(context.Background(), stopTime)
			defer cancel()
			if err := g.Stop(ctx); err == nil || !strings.Contains(err.Error(), "connector abc: drain") || strings.Contains(err.Error(), "left behind") {
				t.Errorf("got %v", err)
			}
			_, _ = io.Copy(io.Discard, o.r)
			o.conn.Close()
		})
	}
}

// With a service that hangs the stop is over in time, too: what was accepted is in the queues.
func TestAServiceThatHangsDelaysNoStop(t *testing.T) {
	for _, hangs := range []string{"Redis", "RabbitMQ", "both"} {
		t.Run(hangs, func(t *testing.T) {
			redis, rabbit := testenv.Redis(t), testenv.RabbitMQ(t)
			toRedis, toRabbit := startRelay(t, net.JoinHostPort(redis.Host, strconv.Itoa(redis.Port))), startRelay(t, net.JoinHostPort(rabbit.Host, strconv.Itoa(rabbit.Port)))
			smsc := startSMSC(t, false)
			g := start(t, t.TempDir(), provisioning(t, smsc.addr, ""), "GATEWAY_MODE", "services",
				"AMQP_BROKER_HOST", "127.0.0.1", "AMQP_BROKER_PORT", toRabbit.port(t), "AMQP_BROKER_VHOST", rabbit.VHost,
				"AMQP_BROKER_USERNAME", rabbit.User, "AMQP_BROKER_PASSWORD", rabbit.Password, "AMQP_BROKER_TIMEOUT", "600",
				"REDIS_CLIENT_HOST", "127.0.0.1", "REDIS_CLIENT_PORT", toRedis.port(t), "REDIS_CLIENT_DBID", strconv.Itoa(redis.DB), "REDIS_CLIENT_TIMEOUT", "600")
			until(t, "bound", func() bool { return g.Bound("abc") })
			send(t, g, url.Values{})
			until(t, "a message at the SMSC", func() bool { return smsc.n.Load() == 1 })
			toRedis.freeze(hangs != "RabbitMQ")
			toRabbit.freeze(hangs != "Redis")
			ctx, cancel := context.WithTimeout(context.Background(), stopTime)
			defer cancel()
			if err := g.Stop(ctx); err != nil {
				t.Logf("stopped with %v", err)
			}
			// Which of the parts take their time depends on what was under way; that Stop has returned is what counts.
		})
	}
}
