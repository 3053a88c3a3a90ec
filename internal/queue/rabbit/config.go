package rabbit

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// QueueType says how work queues are declared.
type QueueType string

// The queue types. Classic queues carry priorities by themselves; quorum queues, which
// refuse x-max-priority, have one lane for each priority.
const (
	Classic QueueType = "classic"
	Quorum  QueueType = "quorum"
)

// Config says which broker and how to use it. The zero value of each field means its default.
type Config struct {
	URL string // amqp:// or amqps://; when given, Host to VHost are not used

	Host     string // default 127.0.0.1; [amqp-broker] host
	Port     int    // default 5672; [amqp-broker] port
	User     string // default guest; [amqp-broker] username
	Password string // default guest; [amqp-broker] password
	VHost    string // default /; [amqp-broker] vhost

	// TLS gives the configuration of each new connection; with Host instead of URL, non-nil means TLS; [amqp-broker] ssl.
	TLS         func() (*tls.Config, error)
	Heartbeat   time.Duration // whole seconds, at least 1s; default 10s; [amqp-broker] heartbeat
	DialTimeout time.Duration // for connecting and the handshake; default 5s

	ReconnectMin time.Duration // first pause after a lost connection; default 200ms
	ReconnectMax time.Duration // longest pause; default 10s

	QueueType       QueueType     // default classic; [amqp-broker] queue_type
	PublishChannels int           // channels shared by all publishers, 1 to 64; default 4
	ConfirmTimeout  time.Duration // a publication that somebody waits for fails without confirm after this; default 10s

	// Owner has the driver own its virtual host: Open refuses (ErrOwned) while another driver with Owner does.
	Owner bool

	Name   string       // connection name shown by the broker; default jasmind
	Logger *slog.Logger // default: discards
	// OnStateChange is called once per change, in order, and must not block.
	OnStateChange func(State)
}

func (c Config) withDefaults() Config {
	orStr := func(p *string, v string) {
		if *p == "" {
			*p = v
		}
	}
	orDur := func(p *time.Duration, v time.Duration) {
		if *p == 0 {
			*p = v
		}
	}
	orStr(&c.Host, "127.0.0.1")
	orStr(&c.User, "guest")
	orStr(&c.Password, "guest")
	orStr(&c.VHost, "/")
	orStr(&c.Name, "jasmind")
	orDur(&c.Heartbeat, 10*time.Second)
	orDur(&c.DialTimeout, 5*time.Second)
	orDur(&c.ReconnectMin, 200*time.Millisecond)
	orDur(&c.ReconnectMax, 10*time.Second)
	orDur(&c.ConfirmTimeout, 10*time.Second)
	if c.Port == 0 {
		c.Port = 5672
	}
	if c.QueueType == "" {
		c.QueueType = Classic
	}
	if c.PublishChannels == 0 {
		c.PublishChannels = 4
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// tls is the configuration of a new connection, which the library may change; nil: the library's own.
func (c Config) tls() (*tls.Config, error) {
	if c.TLS == nil {
		return nil, nil //nolint:nilnil // said so
	}
	secure, err := c.TLS()
	if err != nil {
		return nil, err
	}
	return secure.Clone(), nil
}

// ownedPatience is how long Open waits for a virtual host that is owned: it may be by a process of ours that has died, and the broker notices
// that after two or three heartbeats.
func (c Config) ownedPatience() time.Duration { return min(3*c.Heartbeat, 30*time.Second) }

// Validate reports every fault at once.
func (c Config) Validate() error {
	c = c.withDefaults()
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("[amqp-broker] "+format, args...)) }
	if c.Port < 1 || c.Port > 65535 {
		bad("port: %d is not between 1 and 65535", c.Port)
	}
	if c.QueueType != Classic && c.QueueType != Quorum {
		bad("queue_type: %q is neither classic nor quorum", c.QueueType)
	}
	if c.Heartbeat < time.Second || c.Heartbeat%time.Second != 0 {
		bad("heartbeat: %v is not a whole number of seconds, at least 1", c.Heartbeat)
	}
	if c.PublishChannels < 1 || c.PublishChannels > 64 {
		bad("publish_channels: %d is not between 1 and 64", c.PublishChannels)
	}
	if c.ReconnectMin < 0 || c.ReconnectMax < c.ReconnectMin {
		bad("reconnect pauses: %v to %v is no range", c.ReconnectMin, c.ReconnectMax)
	}
	if c.DialTimeout < 0 || c.ConfirmTimeout < 0 {
		bad("timeouts: dial %v and confirm %v must be positive", c.DialTimeout, c.ConfirmTimeout)
	}
	if c.URL != "" {
		if _, err := amqp.ParseURI(c.URL); err != nil {
			bad("url: %w", err)
		}
	}
	return errors.Join(errs...)
}

// target is where to dial; shown has no password.
type target struct {
	url, shown, vhost string
}

func (c Config) target() (target, error) {
	u := amqp.URI{Scheme: "amqp", Host: c.Host, Port: c.Port, Username: c.User, Password: c.Password, Vhost: c.VHost}
	if c.TLS != nil {
		u.Scheme = "amqps"
	}
	if c.URL != "" {
		var err error
		if u, err = amqp.ParseURI(c.URL); err != nil {
			return target{}, fmt.Errorf("[amqp-broker] url: %w", err)
		}
		if u.Vhost == "" {
			u.Vhost = "/"
		}
	}
	return target{url: u.String(), vhost: u.Vhost,
		shown: net.JoinHostPort(u.Host, strconv.Itoa(u.Port)) + " vhost " + u.Vhost}, nil
}
