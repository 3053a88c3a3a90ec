package testenv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Rabbit is a virtual host on a RabbitMQ.
type Rabbit struct {
	Host     string
	Port     int
	User     string
	Password string
	VHost    string
	// API is the base URL of the management API, for User and Password.
	API string
}

// URL returns the address as AMQP clients take it.
func (r *Rabbit) URL() string {
	return fmt.Sprintf("amqp://%s@%s/%s", url.UserPassword(r.User, r.Password), r.hostPort(), url.PathEscape(r.VHost))
}

func (r *Rabbit) hostPort() string { return net.JoinHostPort(r.Host, strconv.Itoa(r.Port)) }

const rabbitGuest = "guest" // user and password that RabbitMQ creates at its first start

var rabbitKind = &kind{
	title:      "RabbitMQ",
	name:       "rabbitmq",
	pkg:        "rabbitmq-server",
	addressEnv: EnvAMQPURL,
	imageEnv:   EnvRabbitMQImage,
	images:     map[string][]string{"13": {"jasmin-test/rabbitmq:13", "rabbitmq:4"}, "12": {"jasmin-test/rabbitmq:12", "rabbitmq:3.13"}},
	ports:      []int{5672, 15672},
	container:  rabbitContainer,
	process:    rabbitProcess,
	ready:      rabbitReady,
}

const (
	// The management API makes the virtual hosts; its statistics are not looked at.
	rabbitPlugins = "[rabbitmq_management].\n"
	rabbitConfig  = "loopback_users.guest = false\n" +
		"management_agent.disable_metrics_collector = true\n" +
		"disk_free_limit.absolute = 50MB\n"
	// Schedulers that find nothing to do sleep: the tests need the processor.
	rabbitErlang = "+sbwt none +sbwtdcpu none +sbwtdio none"
)

func rabbitContainer() containerSpec {
	return containerSpec{
		data: "/var/lib/rabbitmq",
		env:  map[string]string{"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": rabbitErlang},
		files: map[string]string{
			"/etc/rabbitmq/enabled_plugins":        rabbitPlugins,
			"/etc/rabbitmq/conf.d/90-testenv.conf": rabbitConfig,
		},
	}
}

// rabbitProcess keeps everything of the broker in dir: nothing that the package put into
// /etc or /var is read or written, so that any user can run it beside the system's own.
func rabbitProcess(dir string, ports []int) (processSpec, error) {
	// Debian's wrapper in PATH changes the user and sends the output to a file.
	program := "/usr/lib/rabbitmq/bin/rabbitmq-server"
	if _, err := os.Stat(program); err != nil {
		if program, err = exec.LookPath("rabbitmq-server"); err != nil {
			return processSpec{}, err
		}
	}
	epmd, err := exec.LookPath("epmd")
	if err != nil {
		return processSpec{}, err
	}
	more, err := freePorts(2)
	if err != nil {
		return processSpec{}, err
	}
	epmdPort, distPort := strconv.Itoa(more[0]), strconv.Itoa(more[1])
	config := rabbitConfig + fmt.Sprintf("listeners.tcp.1 = 127.0.0.1:%d\nmanagement.tcp.ip = 127.0.0.1\n"+
		"management.tcp.port = %d\nlog.console = true\n", ports[0], ports[1])
	in := func(name string) string { return filepath.Join(dir, name) }
	env := []string{
		"ERL_EPMD_PORT=" + epmdPort,
		"ERL_EPMD_ADDRESS=127.0.0.1",
		"HOME=" + dir,
		"RABBITMQ_ADVANCED_CONFIG_FILE=" + in("advanced.config"),
		"RABBITMQ_CONFIG_FILE=" + in("rabbitmq.conf"),
		"RABBITMQ_CONFIG_FILES=" + in("conf.d"),
		"RABBITMQ_CONF_ENV_FILE=" + in("rabbitmq-env.conf"),
		"RABBITMQ_DIST_PORT=" + distPort,
		"RABBITMQ_ENABLED_PLUGINS_FILE=" + in("enabled_plugins"),
		"RABBITMQ_LOGS=-",
		"RABBITMQ_LOG_BASE=" + in("log.d"),
		"RABBITMQ_MNESIA_BASE=" + in("mnesia"),
		"RABBITMQ_NODENAME=testenv" + strconv.Itoa(ports[0]) + "@localhost",
		"RABBITMQ_PID_FILE=" + in("rabbitmq.pid"),
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=" + rabbitErlang,
		"RUNNING_UNDER_SYSTEMD=true", // the script becomes the broker instead of waiting for it
	}
	return processSpec{
		files: map[string]string{
			"enabled_plugins":   rabbitPlugins,
			"rabbitmq-env.conf": "",
			"rabbitmq.conf":     config,
			"conf.d/empty.conf": "",
		},
		command: command{argv: []string{program}, env: env},
		// Erlang starts its port mapper by itself, as a daemon that outlives it. Ours is
		// there already, and ends with the rest.
		helper: &command{argv: []string{epmd, "-port", epmdPort, "-address", "127.0.0.1"}},
	}, nil
}

// rabbitReady shakes hands over AMQP, as any client would, and asks the management API.
func rabbitReady(ctx context.Context, host string, ports []int) error {
	r := rabbitOn(host, ports)
	if err := r.dial(ctx); err != nil {
		return err
	}
	return r.call(ctx, http.MethodGet, "/api/whoami", "")
}

func rabbitAt(s *Service) *Rabbit { return rabbitOn(s.inst.host(), s.ports) }

func rabbitOn(host string, ports []int) *Rabbit {
	return &Rabbit{
		Host: host, Port: ports[0], User: rabbitGuest, Password: rabbitGuest, VHost: "/",
		API: "http://" + net.JoinHostPort(host, strconv.Itoa(ports[1])),
	}
}

func rabbitFromURL(address, api string) (*Rabbit, error) {
	uri, err := amqp.ParseURI(address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", EnvAMQPURL, err)
	}
	if uri.Scheme != "amqp" {
		return nil, fmt.Errorf("%s: scheme %q, tests need amqp", EnvAMQPURL, uri.Scheme)
	}
	if api == "" {
		api = "http://" + net.JoinHostPort(uri.Host, "15672")
	}
	return &Rabbit{
		Host: uri.Host, Port: uri.Port, User: uri.Username, Password: uri.Password, VHost: uri.Vhost,
		API: strings.TrimSuffix(api, "/"),
	}, nil
}

// dial opens an AMQP connection to the virtual host and closes it.
func (r *Rabbit) dial(ctx context.Context) error {
	conn, err := amqp.DialConfig(r.URL(), amqp.Config{
		Dial: func(network, addr string) (net.Conn, error) {
			var d net.Dialer
			c, err := d.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			if deadline, ok := ctx.Deadline(); ok { // lifted by the client after the handshake
				err = c.SetDeadline(deadline)
			}
			return c, err
		},
	})
	if err != nil {
		return err
	}
	return conn.Close()
}

// createVHost makes the virtual host and sees that it takes connections.
func (r *Rabbit) createVHost(ctx context.Context, name string) error {
	err := r.call(ctx, http.MethodPut, "/api/vhosts/"+url.PathEscape(name), "{}")
	if err == nil {
		err = r.call(ctx, http.MethodPut, "/api/permissions/"+url.PathEscape(name)+"/"+url.PathEscape(r.User),
			`{"configure":".*","write":".*","read":".*"}`)
	}
	if err != nil {
		return fmt.Errorf("create virtual host %s by the management API (%s names it): %w", name, EnvAMQPAPI, err)
	}
	there := *r
	there.VHost = name
	for {
		err := there.dial(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("connect to new virtual host %s: %w", name, errors.Join(context.Cause(ctx), err))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (r *Rabbit) deleteVHost(ctx context.Context, name string) error {
	if err := r.call(ctx, http.MethodDelete, "/api/vhosts/"+url.PathEscape(name), ""); err != nil {
		return fmt.Errorf("delete virtual host %s: %w", name, err)
	}
	return nil
}

// managementClient leaves no idle connection, and so no goroutine, behind.
var managementClient = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// call makes one request to the management API.
func (r *Rabbit) call(ctx context.Context, method, path, body string) error {
	req, err := http.NewRequestWithContext(ctx, method, r.API+path, bytes.NewReader([]byte(body)))
	if err != nil {
		return err
	}
	req.SetBasicAuth(r.User, r.Password)
	req.Header.Set("Content-Type", "application/json")
	resp, err := managementClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	if err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %s: %s", method, r.API+path, resp.Status, bytes.TrimSpace(text))
	}
	return nil
}
