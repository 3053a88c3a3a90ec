package steps

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/cucumber/godog"

	"jasmind/internal/config"
	"jasmind/internal/gateway"
)

// gatewayRun is a running gateway, in this process or as a program of its own.
type gatewayRun interface {
	http() string // HOST:PORT of the HTTP API
	address(service string) string
	reload() error
	stop() error
}

// underTest is the gateway that a scenario is about.
type underTest struct {
	*scenario
	plan       *plan
	connectors *connectors
	services   *services

	binary   bool              // it is the built program, not in this process
	bare     bool              // it has no provisioning file
	settings map[string]string // its environment
	run      gatewayRun        // nil: it does not run
	exit     *exited           // how the last program ended
}

// running is an error if it does not run.
func (g *underTest) running() error {
	if g.run == nil {
		return errors.New("the gateway is not running")
	}
	return nil
}

func (g *underTest) steps(sc *godog.ScenarioContext) {
	sc.Step(`^the setting \[([\w-]+)\] (\w+) is "(.*)"$`, func(section, key, value string) {
		g.settings[strings.ToUpper(strings.ReplaceAll(section+"_"+key, "-", "_"))] = value
	})
	sc.Step(`^every log says all it can$`, func() {
		for _, section := range []string{"SMPP_SERVER", "CLIENT_MANAGEMENT", "SERVICE_SMPPCLIENT", "SM_LISTENER", "DLR", "AMQP_BROKER", "HTTP_API", "ROUTER",
			"DLR_THROWER", "REDIS_CLIENT", "JCLI", "INTERCEPTOR"} {
			g.settings[section+"_LOG_LEVEL"] = "TRACE"
		}
	})
	sc.Step(`^a running gateway$`, g.defaultsAndStart)
	sc.Step(`^the gateway (?:starts|starts again|is running)$`, g.start)
	sc.Step(`^the gateway stops$`, g.stop)
}

// environment is what the gateway is told beside the provisioning file.
func (g *underTest) environment() (map[string]string, error) {
	env := map[string]string{
		"ROOT_PATH": g.dir, "LOG_PATH": filepath.Join(g.dir, "log"), "GATEWAY_MODE": string(g.suite.mode),
		"HTTP_API_BIND": "127.0.0.1", "HTTP_API_PORT": "0", "SMPP_SERVER_BIND": "127.0.0.1", "SMPP_SERVER_PORT": "0", "JCLI_PORT": "0",
		// A busy machine may be slow; nothing is to be given up for that.
		"GATEWAY_SHUTDOWN_TIMEOUT": "60", "HTTP_API_SUBMIT_TIMEOUT": "60", "AMQP_BROKER_TIMEOUT": "60", "REDIS_CLIENT_TIMEOUT": "60",
		"INTERCEPTOR_TIMEOUT":              "60",
		"SMPP_SERVER_SESSIONINITTIMERSECS": "180",
		// What the original does after half a minute is wanted at once here.
		"DLR_THROWER_RETRY_DELAY": "0.05", "DELIVERSM_THROWER_RETRY_DELAY": "0.05", "SM_LISTENER_SUBMIT_RETRIAL_DELAY_SMPPC_NOT_READY": "0.05",
	}
	if g.suite.mode == Services {
		b := g.services
		if err := b.have(); err != nil {
			return nil, err
		}
		maps.Copy(env, map[string]string{
			"AMQP_BROKER_HOST": b.rabbit.Host, "AMQP_BROKER_PORT": strconv.Itoa(b.rabbit.Port), "AMQP_BROKER_VHOST": b.rabbit.VHost,
			"AMQP_BROKER_USERNAME": b.rabbit.User, "AMQP_BROKER_PASSWORD": b.rabbit.Password,
			"REDIS_CLIENT_HOST": b.redis.Host, "REDIS_CLIENT_PORT": strconv.Itoa(b.redis.Port), "REDIS_CLIENT_DBID": strconv.Itoa(b.redis.DB),
		})
	}
	maps.Copy(env, g.settings)
	return env, nil
}

// defaultsAndStart gives the scenario what it did not mention: an SMSC, a connector to it,
// the user foo with password bar and a default route.
func (g *underTest) defaultsAndStart() error {
	if len(g.plan.users) == 0 {
		g.plan.user("foo", "bar")
	}
	if len(g.plan.connectors) == 0 {
		if _, err := g.connectors.add("abc", ""); err != nil {
			return err
		}
	}
	if !g.plan.noRoute && g.plan.defaultRoute == "" {
		g.plan.defaultRoute = g.plan.connectors[0].cid
	}
	for _, s := range g.connectors.smscs.byName {
		if err := s.start(); err != nil {
			return err
		}
	}
	return g.start()
}

// start starts it and waits until connectors whose SMSC is up are bound.
func (g *underTest) start() error {
	if g.run != nil {
		return errors.New("the gateway is running already")
	}
	provision := ""
	if !g.bare {
		provision = g.plan.path()
		if err := g.plan.write(); err != nil {
			return err
		}
	}
	env, err := g.environment()
	if err != nil {
		return err
	}
	if g.binary {
		p, err := g.startProcess(env, provision)
		if err != nil {
			return err
		}
		g.run = p
		return g.connectors.awaitBinds()
	}
	p, err := startInProcess(env, provision)
	if err != nil {
		return err
	}
	g.run = p
	return g.connectors.awaitBinds()
}

func (g *underTest) stop() error {
	run := g.run
	if run == nil {
		return nil
	}
	g.run = nil
	return run.stop()
}

// inProcess is a gateway in this process.
type inProcess struct {
	g      *gateway.Gateway
	stdout *bytes.Buffer
}

func startInProcess(env map[string]string, provision string) (*inProcess, error) {
	cfg, err := config.Load(config.Options{Environment: func(name string) (string, bool) {
		v, ok := env[name]
		return v, ok
	}})
	if err != nil {
		return nil, err
	}
	p := &inProcess{stdout: &bytes.Buffer{}}
	if p.g, err = gateway.New(gateway.Options{Config: cfg, Provision: provision, Version: "features", Stdout: p.stdout}); err != nil {
		return nil, err
	}
	return p, p.g.Start(context.Background())
}

func (p *inProcess) http() string { return p.address("http-api") }

func (p *inProcess) address(service string) string { return p.g.Addresses()[service] }

func (p *inProcess) reload() error { return p.g.Reload(context.Background()) }

// stopTime is what a gateway gets to settle what is under way.
const stopTime = time.Minute

func (p *inProcess) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	err := p.g.Stop(ctx)
	select {
	case <-p.g.Failed():
		err = errors.Join(err, fmt.Errorf("the gateway had failed: %w", p.g.Err()))
	default:
	}
	return err
}
