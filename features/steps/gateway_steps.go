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

func (w *World) gatewaySteps(sc *godog.ScenarioContext) {
	sc.Step(`^the setting \[([\w-]+)\] (\w+) is "(.*)"$`, func(section, key, value string) {
		w.settings[strings.ToUpper(strings.ReplaceAll(section+"_"+key, "-", "_"))] = value
	})
	sc.Step(`^a running gateway$`, w.defaultsAndStart)
	sc.Step(`^the gateway (?:starts|starts again|is running)$`, w.startGateway)
	sc.Step(`^the gateway stops$`, w.stopGateway)
}

// environment is what the gateway is told beside the provisioning file.
func (w *World) environment() (map[string]string, error) {
	env := map[string]string{
		"ROOT_PATH": w.dir, "LOG_PATH": filepath.Join(w.dir, "log"), "GATEWAY_MODE": string(w.suite.mode),
		"HTTP_API_BIND": "127.0.0.1", "HTTP_API_PORT": "0", "SMPP_SERVER_BIND": "127.0.0.1", "SMPP_SERVER_PORT": "0", "JCLI_PORT": "0",
		// A busy machine may be slow; nothing is to be given up for that.
		"GATEWAY_SHUTDOWN_TIMEOUT": "60", "HTTP_API_SUBMIT_TIMEOUT": "60", "AMQP_BROKER_TIMEOUT": "60", "REDIS_CLIENT_TIMEOUT": "60",
		"INTERCEPTOR_TIMEOUT":              "60",
		"SMPP_SERVER_SESSIONINITTIMERSECS": "180",
		// What the original does after half a minute is wanted at once here.
		"DLR_THROWER_RETRY_DELAY": "0.05", "DELIVERSM_THROWER_RETRY_DELAY": "0.05", "SM_LISTENER_SUBMIT_RETRIAL_DELAY_SMPPC_NOT_READY": "0.05",
	}
	if w.suite.mode == Services {
		b, err := w.backing()
		if err != nil {
			return nil, err
		}
		maps.Copy(env, map[string]string{
			"AMQP_BROKER_HOST": b.rabbit.Host, "AMQP_BROKER_PORT": strconv.Itoa(b.rabbit.Port), "AMQP_BROKER_VHOST": b.rabbit.VHost,
			"AMQP_BROKER_USERNAME": b.rabbit.User, "AMQP_BROKER_PASSWORD": b.rabbit.Password,
			"REDIS_CLIENT_HOST": b.redis.Host, "REDIS_CLIENT_PORT": strconv.Itoa(b.redis.Port), "REDIS_CLIENT_DBID": strconv.Itoa(b.redis.DB),
		})
	}
	maps.Copy(env, w.settings)
	return env, nil
}

// defaultsAndStart gives the scenario what it did not mention: an SMSC, a connector to it,
// the user foo with password bar and a default route.
func (w *World) defaultsAndStart() error {
	if len(w.plan.users) == 0 {
		w.plan.user("foo", "bar")
	}
	if len(w.plan.connectors) == 0 {
		if _, err := w.addConnector("abc", ""); err != nil {
			return err
		}
	}
	if !w.plan.noRoute && w.plan.defaultRoute == "" {
		w.plan.defaultRoute = w.plan.connectors[0].cid
	}
	for _, s := range w.smscs {
		if err := s.start(); err != nil {
			return err
		}
	}
	return w.startGateway()
}

// startGateway starts it and waits until connectors whose SMSC is up are bound.
func (w *World) startGateway() error {
	if w.gateway != nil {
		return errors.New("the gateway is running already")
	}
	provision := ""
	if !w.bare {
		provision = w.provisionFile()
		if err := w.plan.write(provision); err != nil {
			return err
		}
	}
	env, err := w.environment()
	if err != nil {
		return err
	}
	if w.binary {
		p, err := w.startProcess(env, provision)
		if err != nil {
			return err
		}
		w.gateway = p
		return w.awaitBinds()
	}
	p, err := startInProcess(env, provision)
	if err != nil {
		return err
	}
	w.gateway = p
	return w.awaitBinds()
}

func (w *World) stopGateway() error {
	g := w.gateway
	if g == nil {
		return nil
	}
	w.gateway = nil
	return g.stop()
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
