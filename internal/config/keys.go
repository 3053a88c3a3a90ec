package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"jasmind/internal/httpapi"
	"jasmind/internal/logging"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smstext"
)

// Key is one setting: where it stands, what it means, and how it is read.
type Key struct {
	Section, Name string
	Default       string
	Doc           string
	set           func(c *Config, v string) error
	without       string // why it has no effect here; "": it has
}

// Variable is the environment variable that overrides the key.
func (k *Key) Variable() string {
	return strings.ToUpper(strings.ReplaceAll(k.Section+"_"+k.Name, "-", "_"))
}

func (k *Key) unserved() bool { return k.without != "" }

// defaultFor is the default with the log folder put in.
func (k *Key) defaultFor(p Paths) string {
	if rest, ok := strings.CutPrefix(k.Default, logFolder); ok {
		return filepath.Join(p.Log, rest)
	}
	if k.Default == storeFolder {
		return p.Store
	}
	return k.Default
}

// Where the original's defaults put logs and profiles.
const (
	logFolder   = "/var/log/jasmin/"
	storeFolder = "/etc/jasmin/store"
)

func text(field func(*Config) *string) func(*Config, string) error {
	return func(c *Config, v string) error { *field(c) = v; return nil }
}

func number(lo, hi int, field func(*Config) *int) func(*Config, string) error {
	return func(c *Config, v string) error {
		n, err := strconv.Atoi(v)
		if err != nil || n < lo || n > hi {
			return fmt.Errorf("%q is not a whole number from %d to %d", v, lo, hi)
		}
		*field(c) = n
		return nil
	}
}

func port(field func(*Config) *int) func(*Config, string) error { return number(0, 65535, field) }

func seconds(lo, hi float64, field func(*Config) *time.Duration) func(*Config, string) error {
	return func(c *Config, v string) error {
		n, err := strconv.ParseFloat(v, 64)
		if err != nil || !(n >= lo && n <= hi) {
			return fmt.Errorf("%q is not a number of seconds from %g to %g", v, lo, hi)
		}
		*field(c) = time.Duration(n * float64(time.Second))
		return nil
	}
}

func boolean(field func(*Config) *bool) func(*Config, string) error {
	return func(c *Config, v string) error {
		switch strings.ToLower(v) {
		case "true", "yes", "on", "1":
			*field(c) = true
		case "false", "no", "off", "0":
			*field(c) = false
		default:
			return fmt.Errorf("%q is neither True nor False", v)
		}
		return nil
	}
}

func oneOf[T ~string](field func(*Config) *T, values ...T) func(*Config, string) error {
	return func(c *Config, v string) error {
		if !slices.Contains(values, T(v)) {
			return fmt.Errorf("%q is none of %s", v, join(values))
		}
		*field(c) = T(v)
		return nil
	}
}

func join[T ~string](values []T) string {
	s := make([]string, len(values))
	for i, v := range values {
		s[i] = string(v)
	}
	return strings.Join(s, ", ")
}

const day = 86400

// logKeys are the keys that every service's log has.
func logKeys(section, file, rotate string, f func(*Config) *logging.Config) []Key {
	level := func(c *Config, v string) error {
		l, err := logging.ParseLevel(v)
		f(c).Level = l
		return err
	}
	return []Key{
		{Section: section, Name: "log_level", Default: "INFO", Doc: "What to log: NOTSET (nothing), DEBUG, INFO, WARNING, ERROR or CRITICAL.", set: level},
		{Section: section, Name: "log_file", Default: logFolder + file, Doc: "Where to log; stdout: standard output.", set: text(func(c *Config) *string { return &f(c).File })},
		{Section: section, Name: "log_rotate", Default: rotate, Doc: "When to begin a new file: S, M, H, D, W0-W6 (Monday is 0) or midnight.", set: text(func(c *Config) *string { return &f(c).Rotate })},
		{Section: section, Name: "log_format", Default: logging.DefaultFormat, Doc: "Form of a line: %(asctime)s, %(levelname)s, %(process)d, %(name)s, %(message)s ...", set: text(func(c *Config) *string { return &f(c).Format })},
		{Section: section, Name: "log_date_format", Default: logging.DefaultDateFormat, Doc: "Form of the date, as of strftime.", set: text(func(c *Config) *string { return &f(c).DateFormat })},
	}
}

// table lists every key in the order in which it is printed.
var table = slices.Concat(
	[]Key{
		{Section: "gateway", Name: "mode", Default: "services", Doc: "What holds queues and records: embedded (a database of the gateway's own, nothing to install) or services (RabbitMQ and Redis).",
			set: oneOf(func(c *Config) *Mode { return &c.Mode }, Embedded, Services)},
		{Section: "gateway", Name: "data_dir", Default: "", Doc: "Folder of the embedded database; empty: $ROOT_PATH/var/lib/jasmin, or ./jasmin-data without root rights or configuration.",
			set: func(c *Config, v string) error {
				if v != "" {
					c.Paths.Data = v
				}
				return nil
			}},
		{Section: "gateway", Name: "low_space_mib", Default: "0", Doc: "Free MiB on the embedded database's disk below which no message is accepted; 0: the smaller of 256 MiB and 5 %.",
			set: number(0, 1<<20, func(c *Config) *int { return &c.LowSpaceMiB })},
		{Section: "gateway", Name: "shutdown_timeout", Default: "15", Doc: "Seconds that messages under way get to settle when the daemon stops.",
			set: seconds(0, 3600, func(c *Config) *time.Duration { return &c.ShutdownTimeout })},
	},
	smppServerKeys,
	logKeys("smpp-server", "default-smpps_01.log", "midnight", func(c *Config) *logging.Config { return &c.SMPPServerLog }),
	serverPBKeys,
	managementKeys,
	logKeys("client-management", "smppclient-manager.log", "W6", func(c *Config) *logging.Config { return &c.ManagerLog }),
	logKeys("service-smppclient", "service-smppclient.log", "W6", func(c *Config) *logging.Config { return &c.ServiceLog }),
	[]Key{
		{Section: "sm-listener", Name: "publish_submit_sm_resp", Default: "False", Doc: "Publish a copy of each submit_sm_resp on submit.sm.resp.CID for observers (services mode).",
			set: boolean(func(c *Config) *bool { return &c.Listener.PublishSubmitSMResp })},
		{Section: "sm-listener", Name: "submit_error_retrial", Default: defaultRetrial, Doc: "Which refusals are retried, how often and after how many seconds.",
			set: func(c *Config, v string) (err error) { c.Listener.Retrial, err = parseRetrial(v); return err }},
		{Section: "sm-listener", Name: "submit_max_age_smppc_not_ready", Default: "1200", Doc: "Seconds that a message taken from the queue may be old when its connector turns out not to be ready.",
			set: seconds(0, 365*day, func(c *Config) *time.Duration { return &c.Listener.MaxAgeNotReady })},
		{Section: "sm-listener", Name: "submit_retrial_delay_smppc_not_ready", Default: "30", Doc: "Seconds until such a message is tried again.",
			set: seconds(0, day, func(c *Config) *time.Duration { return &c.Listener.RetryNotReady })},
		{Section: "sm-listener", Name: "long_mo_timeout", Default: "300", Doc: "Seconds that the next part of a long MO is waited for; then it is delivered without the missing parts.",
			set: seconds(0.001, 30*day, func(c *Config) *time.Duration { return &c.MO.LongTimeout })},
		{Section: "sm-listener", Name: "log_privacy", Default: "False", Doc: "Log no message text.", set: boolean(func(c *Config) *bool { return &c.Listener.LogPrivacy })},
	},
	logKeys("sm-listener", "messages.log", "midnight", func(c *Config) *logging.Config { return &c.ListenerLog }),
	[]Key{
		without("dlr", "pid", "main", "every process of this gateway looks receipts up", anyText),
		{Section: "dlr", Name: "dlr_lookup_retry_delay", Default: "10", Doc: "Seconds between two lookups of a receipt whose message is not known (yet), after the first six seconds, in which it is looked up as soon as the message is known.",
			set: seconds(0.001, day, func(c *Config) *time.Duration { return &c.DLR.RetryDelay })},
		{Section: "dlr", Name: "dlr_lookup_max_retries", Default: "2", Doc: "How often after these six seconds.", set: number(0, 1000, func(c *Config) *int { return &c.DLR.MaxRetries })},
		{Section: "dlr", Name: "dlr_parts", Default: "all", Doc: "Which receipts make the DLR of a long message: all (the worst state, once all parts are final) or last (that of the last part).",
			set: func(c *Config, v string) error {
				if v != "all" && v != "last" {
					return fmt.Errorf("%q is neither all nor last", v)
				}
				c.DLR.LastPartOnly, c.MT.LastReport = v == "last", v == "last"
				return nil
			}},
		{Section: "dlr", Name: "smpp_receipt_on_success_submit_sm_resp", Default: "False", Doc: "Whether an ESME that asks for a receipt also gets one, ACCEPTD, when the SMSC has taken its message.",
			set: func(c *Config, v string) error {
				err := boolean(func(c *Config) *bool { return &c.DLR.Accepted })(c, v)
				c.SMPPServer.Accepted = c.DLR.Accepted
				return err
			}},
		{Section: "dlr", Name: "log_privacy", Default: "False", Doc: "Log no message text.", set: boolean(func(c *Config) *bool { return &c.DLR.LogPrivacy })},
	},
	logKeys("dlr", "messages.log", "midnight", func(c *Config) *logging.Config { return &c.DLRLog }),
	[]Key{
		{Section: "amqp-broker", Name: "host", Default: "127.0.0.1", Doc: "RabbitMQ's address.", set: text(func(c *Config) *string { return &c.Broker.Host })},
		{Section: "amqp-broker", Name: "vhost", Default: "/", Doc: "Virtual host.", set: text(func(c *Config) *string { return &c.Broker.VHost })},
		without("amqp-broker", "spec", "/etc/jasmin/resource/amqp0-9-1.xml", "the protocol is built in", anyText),
		{Section: "amqp-broker", Name: "port", Default: "5672", Doc: "RabbitMQ's port.", set: number(1, 65535, func(c *Config) *int { return &c.Broker.Port })},
		{Section: "amqp-broker", Name: "username", Default: "guest", Doc: "User name.", set: text(func(c *Config) *string { return &c.Broker.User })},
		{Section: "amqp-broker", Name: "password", Default: "guest", Doc: "Password.", set: text(func(c *Config) *string { return &c.Broker.Password })},
		{Section: "amqp-broker", Name: "heartbeat", Default: "0", Doc: "Seconds between heartbeats; 0: 10 seconds.", set: seconds(0, 3600, func(c *Config) *time.Duration { return &c.Broker.Heartbeat })},
		{Section: "amqp-broker", Name: "timeout", Default: "10", Doc: "Seconds that connecting, or the confirm of a message, may take; then RabbitMQ counts as away.",
			set: seconds(0.1, 3600, func(c *Config) *time.Duration { return &c.Broker.Timeout })},
		{Section: "amqp-broker", Name: "queue_type", Default: "classic", Doc: "Type of the work queues: classic or quorum.",
			set: oneOf(func(c *Config) *string { return &c.Broker.QueueType }, "classic", "quorum")},
		without("amqp-broker", "connection_loss_retry", "True", alwaysBack, anyBoolean),
		without("amqp-broker", "connection_failure_retry", "True", alwaysBack, anyBoolean),
		without("amqp-broker", "connection_loss_retry_delay", "10", alwaysBack, anyWhole),
		without("amqp-broker", "connection_loss_failure_delay", "10", alwaysBack, anyWhole),
	},
	logKeys("amqp-broker", "amqp-client.log", "W6", func(c *Config) *logging.Config { return &c.BrokerLog }),
	[]Key{
		{Section: "http-api", Name: "bind", Default: "0.0.0.0", Doc: "Address to listen on.", set: text(func(c *Config) *string { return &c.HTTP.Bind })},
		{Section: "http-api", Name: "port", Default: "1401", Doc: "Port to listen on; 0: any free one.", set: port(func(c *Config) *int { return &c.HTTP.Port })},
		{Section: "http-api", Name: "billing_feature", Default: "True", Doc: "Whether messages that come over HTTP are charged.", set: negated(func(c *Config) *bool { return &c.MT.FreeHTTP })},
		{Section: "http-api", Name: "long_content_max_parts", Default: "5", Doc: "How many parts a long message may have, 1 to 255.", set: number(1, 255, func(c *Config) *int { return &c.MT.MaxParts })},
		{Section: "http-api", Name: "long_content_split", Default: "udh", Doc: "How parts are marked: udh (a user data header) or sar (optional parameters).",
			set: func(c *Config, v string) error {
				switch v {
				case "udh":
					c.MT.Split = smstext.UDH
				case "sar":
					c.MT.Split = smstext.SAR
				default:
					return fmt.Errorf("%q is neither udh nor sar", v)
				}
				return nil
			}},
		{Section: "http-api", Name: "long_content_overflow", Default: "truncate", Doc: "What becomes of content with more parts: truncate (cut it off, with a warning in the log) or reject.",
			set: func(c *Config, v string) error {
				switch v {
				case "truncate":
					c.MT.Overflow = smstext.Truncate
				case "reject":
					c.MT.Overflow = smstext.Reject
				default:
					return fmt.Errorf("%q is neither truncate nor reject", v)
				}
				return nil
			}},
		{Section: "http-api", Name: "long_content_ref_bits", Default: "8", Doc: "Size of the reference number in a user data header: 8 or 16 bits.",
			set: func(c *Config, v string) error {
				if v != "8" && v != "16" {
					return fmt.Errorf("%q is neither 8 nor 16", v)
				}
				c.MT.WideRef = v == "16"
				return nil
			}},
		{Section: "http-api", Name: "auto_codings", Default: "0,8", Doc: "What coding=auto chooses from: the coding that carries a text in the fewest parts, of equal ones the first.",
			set: func(c *Config, v string) (err error) { c.MT.Codings, err = parseCodings(v); return err }},
		{Section: "http-api", Name: "ssl", Default: "False", Doc: "Whether bind and port speak TLS, 1.2 and later.", set: boolean(func(c *Config) *bool { return &c.HTTP.SSL })},
		{Section: "http-api", Name: "ssl_certificate", Default: "", Doc: "PEM file with the certificate and those that vouch for it; read again on HUP.",
			set: text(func(c *Config) *string { return &c.HTTP.TLS.Certificate })},
		{Section: "http-api", Name: "ssl_key", Default: "", Doc: "PEM file with the key of the certificate; read again on HUP.", set: text(func(c *Config) *string { return &c.HTTP.TLS.Key })},
		{Section: "http-api", Name: "ssl_client_cert", Default: "none", Doc: "Whether clients show a certificate: none (it is not asked for), optional (it is verified if there is one) or require.",
			set: oneOf(func(c *Config) *httpapi.ClientCert { return &c.HTTP.TLS.ClientCert }, httpapi.ClientCertNone, httpapi.ClientCertOptional, httpapi.ClientCertRequire)},
		{Section: "http-api", Name: "ssl_client_ca", Default: "", Doc: "PEM file with the certificates that vouch for those of clients; read again on HUP.",
			set: text(func(c *Config) *string { return &c.HTTP.TLS.ClientCA })},
		{Section: "http-api", Name: "allow", Default: "", Doc: "IPv4 and IPv6 addresses and networks that may ask, separated by commas; empty: everybody.",
			set: func(c *Config, v string) (err error) { c.HTTP.Allow, err = parseNetworks(v); return err }},
		{Section: "http-api", Name: "max_body", Default: "1048576", Doc: "Octets that the body of a request may have.", set: number(1024, 64<<20, func(c *Config) *int { return &c.HTTP.MaxBody })},
		{Section: "http-api", Name: "max_header", Default: "65536", Doc: "Octets that request line and header may have, about.", set: number(4096, 1<<20, func(c *Config) *int { return &c.HTTP.MaxHeader })},
		{Section: "http-api", Name: "header_timeout", Default: "10", Doc: "Seconds that a client may take for request line and header.",
			set: seconds(0.1, 3600, func(c *Config) *time.Duration { return &c.HTTP.HeaderTimeout })},
		{Section: "http-api", Name: "read_timeout", Default: "30", Doc: "Seconds that it may take for a whole request.",
			set: seconds(0.1, 3600, func(c *Config) *time.Duration { return &c.HTTP.ReadTimeout })},
		{Section: "http-api", Name: "idle_timeout", Default: "120", Doc: "Seconds that a connection stays open between two requests.",
			set: seconds(0.1, day, func(c *Config) *time.Duration { return &c.HTTP.IdleTimeout })},
		{Section: "http-api", Name: "max_connections_per_address", Default: "1000", Doc: "Connections open at a time from one IP address; more are closed at once.",
			set: number(1, 1000000, func(c *Config) *int { return &c.HTTP.MaxPerAddress })},
		{Section: "http-api", Name: "max_connections", Default: "10000", Doc: "Connections open at a time.", set: number(1, 1000000, func(c *Config) *int { return &c.HTTP.MaxConns })},
		{Section: "http-api", Name: "submit_timeout", Default: "15", Doc: "Seconds that a request waits for its message to become durable; then it is answered 503.",
			set: seconds(0.1, 600, func(c *Config) *time.Duration { return &c.HTTP.SubmitWait })},
		{Section: "http-api", Name: "access_log", Default: logFolder + "http-access.log", Doc: "Where to log requests; stdout: standard output; none: nowhere.", set: func(c *Config, v string) error {
			if v == "none" {
				v = ""
			}
			c.Access.File = v
			return nil
		}},
		{Section: "http-api", Name: "log_privacy", Default: "False", Doc: "Log no message text.", set: boolean(func(c *Config) *bool { return &c.HTTP.LogPrivacy })},
	},
	logKeys("http-api", "http-api.log", "W6", func(c *Config) *logging.Config { return &c.HTTPLog }),
	billingKeys,
	routerKeys,
	logKeys("router", "router.log", "W6", func(c *Config) *logging.Config { return &c.RouterLog }),
	internalPort("router", "8988", "radmin", "82a606ca5a0deea2b5777756788af5c8", onePiece),
	[]Key{without("router", "pickle_protocol", "2", onePiece, anyWhole)},
	[]Key{
		{Section: "deliversm-thrower", Name: "http_timeout", Default: "30", Doc: "Seconds that a call of an HTTP connector's URL with an MO may take.", set: seconds(0.01, 3600, func(c *Config) *time.Duration { return &c.MOThrower.Timeout })},
		{Section: "deliversm-thrower", Name: "retry_delay", Default: "30", Doc: "Seconds until an MO that was not acknowledged is tried again.",
			set: seconds(0.01, day, func(c *Config) *time.Duration { return &c.MOThrower.RetryDelay })},
		{Section: "deliversm-thrower", Name: "max_retries", Default: "3", Doc: "How often; behind a failover route how often all of its connectors are.",
			set: number(0, 100000, func(c *Config) *int { return &c.MOThrower.MaxRetries })},
		{Section: "deliversm-thrower", Name: "max_per_host", Default: "16", Doc: "Calls under way to one host at a time.", set: number(1, 1000, func(c *Config) *int { return &c.MOThrower.PerHost })},
	},
	logKeys("deliversm-thrower", "deliversm-thrower.log", "W6", func(c *Config) *logging.Config { return &c.MOThrowerLog }),
	[]Key{
		{Section: "dlr-thrower", Name: "http_timeout", Default: "30", Doc: "Seconds that a call of a dlr-url may take.", set: seconds(0.01, 3600, func(c *Config) *time.Duration { return &c.DLRThrower.Timeout })},
		{Section: "dlr-thrower", Name: "retry_delay", Default: "30", Doc: "Seconds until a DLR that was not acknowledged is tried again.",
			set: both(seconds(0.01, day, func(c *Config) *time.Duration { return &c.DLRThrower.RetryDelay }), seconds(0.01, day, func(c *Config) *time.Duration { return &c.SMPPSThrower.RetryDelay }))},
		{Section: "dlr-thrower", Name: "max_retries", Default: "3", Doc: "How often.",
			set: both(number(0, 100000, func(c *Config) *int { return &c.DLRThrower.MaxRetries }), number(0, 100000, func(c *Config) *int { return &c.SMPPSThrower.MaxRetries }))},
		{Section: "dlr-thrower", Name: "max_per_host", Default: "16", Doc: "Calls under way to one host at a time.", set: number(1, 1000, func(c *Config) *int { return &c.DLRThrower.PerHost })},
		{Section: "dlr-thrower", Name: "dlr_pdu", Default: "deliver_sm", Doc: "What receipts are sent to ESMEs as: deliver_sm or data_sm.",
			set: func(c *Config, v string) error {
				if v != "deliver_sm" && v != "data_sm" {
					return fmt.Errorf("%q is neither deliver_sm nor data_sm", v)
				}
				c.SMPPSThrower.DataSM = v == "data_sm"
				return nil
			}},
		{Section: "dlr-thrower", Name: "smpps_hold", Default: "172800", Doc: "Seconds for which what waits for an ESME that is not bound is kept; then it becomes a dead letter.",
			set: seconds(1, 365*day, func(c *Config) *time.Duration { return &c.SMPPSThrower.Hold })},
	},
	logKeys("dlr-thrower", "dlr-thrower.log", "W6", func(c *Config) *logging.Config { return &c.DLRThrowerLog }),
	deadLetterKeys,
	[]Key{
		{Section: "redis-client", Name: "host", Default: "127.0.0.1", Doc: "Redis's address.", set: text(func(c *Config) *string { return &c.Redis.Host })},
		{Section: "redis-client", Name: "port", Default: "6379", Doc: "Redis's port.", set: number(1, 65535, func(c *Config) *int { return &c.Redis.Port })},
		{Section: "redis-client", Name: "dbid", Default: "0", Doc: "Database number.", set: number(0, 1000000, func(c *Config) *int { return &c.Redis.DB })},
		{Section: "redis-client", Name: "password", Default: "None", Doc: "Password; None: none.", set: func(c *Config, v string) error {
			if v == "None" {
				v = ""
			}
			c.Redis.Password = v
			return nil
		}},
		{Section: "redis-client", Name: "timeout", Default: "5", Doc: "Seconds that connecting, or an answer, may take; then Redis counts as away.",
			set: seconds(0.1, 3600, func(c *Config) *time.Duration { return &c.Redis.Timeout })},
		without("redis-client", "poolsize", "10", "concurrent calls share pipelines", anyWhole),
	},
	logKeys("redis-client", "redis-client.log", "W6", func(c *Config) *logging.Config { return &c.RedisLog }),
	consoleKeys,
	logKeys("jcli", "jcli.log", "W6", consoleLog),
	interceptorKeys,
	logKeys("interceptor", "interceptor.log", "W6", interceptorLog),
	internalPort("interceptor", "8987", "iadmin", "dd8b84cdb60655fed3b9b2d668c5bd9e", onOurs),
	internalClient("interceptor-client", "8987", "iadmin", onOurs),
)

// Keys lists every key, in order.
func Keys() []Key { return slices.Clone(table) }

// Sections lists every section, in order.
func Sections() []string {
	var out []string
	for i := range table {
		if !slices.Contains(out, table[i].Section) {
			out = append(out, table[i].Section)
		}
	}
	return out
}

func keysOf(section string) []string {
	var out []string
	for i := range table {
		if table[i].Section == section {
			out = append(out, table[i].Name)
		}
	}
	return out
}

func find(section, name string) *Key {
	for i := range table {
		if table[i].Section == section && table[i].Name == name {
			return &table[i]
		}
	}
	return nil
}

const defaultRetrial = `{'ESME_RSYSERR': {'count': 2, 'delay': 30}, 'ESME_RTHROTTLED': {'count': 20, 'delay': 30}, 'ESME_RMSGQFUL': {'count': 2, 'delay': 180}, 'ESME_RINVSCHED': {'count': 2, 'delay': 300}}`

var trailingComma = regexp.MustCompile(`,\s*([}\]])`)

// parseRetrial reads a submit_error_retrial, which is a Python dict: status name to count and delay.
func parseRetrial(s string) (map[pdu.Status]RetryRule, error) {
	s = trailingComma.ReplaceAllString(strings.ReplaceAll(s, "'", `"`), "$1")
	var raw map[string]struct {
		Count *int     `json:"count"`
		Delay *float64 `json:"delay"`
	}
	dec := json.NewDecoder(strings.NewReader(s))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&raw); err != nil {
		return nil, fmt.Errorf("is not a dict like {'ESME_RSYSERR': {'count': 2, 'delay': 30}}: %w", err)
	}
	if dec.More() {
		return nil, errors.New("has something after its closing brace")
	}
	out := make(map[pdu.Status]RetryRule, len(raw))
	for name, r := range raw {
		status, ok := pdu.ParseStatus(name)
		switch {
		case !ok:
			return nil, fmt.Errorf("%q is no command_status", name)
		case r.Count == nil || *r.Count < 0 || *r.Count > 100000:
			return nil, fmt.Errorf("count of %s is not a whole number from 0 to 100000", name)
		case r.Delay == nil || *r.Delay < 0 || *r.Delay > day:
			return nil, fmt.Errorf("delay of %s is not a number of seconds from 0 to %d", name, day)
		}
		out[status] = RetryRule{Count: *r.Count, Delay: time.Duration(*r.Delay * float64(time.Second))}
	}
	return out, nil
}
