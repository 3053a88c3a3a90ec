package config

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"jasmind/internal/smppserver"
)

// both applies one value twice.
func both(a, b func(*Config, string) error) func(*Config, string) error {
	return func(c *Config, v string) error {
		if err := a(c, v); err != nil {
			return err
		}
		return b(c, v)
	}
}

// timer is seconds for a protocol timer, which 0 switches off.
func timer(hi float64, field func(*Config) *time.Duration) func(*Config, string) error {
	set := seconds(0, hi, field)
	return func(c *Config, v string) error {
		if err := set(c, v); err != nil {
			return err
		}
		if *field(c) == 0 {
			*field(c) = -1
		}
		return nil
	}
}

func unquoted(v string) string {
	if len(v) > 1 && v[0] == '"' && v[len(v)-1] == '"' {
		return v[1 : len(v)-1]
	}
	return v
}

// smppServerKeys are those of [smpp-server]; the lower half is not in files of the original.
var smppServerKeys = []Key{
	{Section: "smpp-server", Name: "id", Default: "smpps_01", Doc: "Names the server in its log.",
		set: func(c *Config, v string) error { c.SMPPServer.ID = unquoted(v); return nil }},
	{Section: "smpp-server", Name: "bind", Default: "0.0.0.0", Doc: "Address to listen on.", set: text(func(c *Config) *string { return &c.SMPPServer.Bind })},
	{Section: "smpp-server", Name: "port", Default: "2775", Doc: "Port to listen on; 0: any free one.", set: port(func(c *Config) *int { return &c.SMPPServer.Port })},
	{Section: "smpp-server", Name: "billing_feature", Default: "True", Doc: "Whether messages of ESMEs are charged.", set: negated(func(c *Config) *bool { return &c.MT.FreeSMPP })},
	{Section: "smpp-server", Name: "sessionInitTimerSecs", Default: "30", Doc: "Seconds from the connection to the end of the bind.",
		set: seconds(0.1, day, func(c *Config) *time.Duration { return &c.SMPPServer.SessionInit })},
	{Section: "smpp-server", Name: "enquireLinkTimerSecs", Default: "30", Doc: "Seconds without a word from an ESME after which it is sent enquire_link; 0: never.",
		set: timer(day, func(c *Config) *time.Duration { return &c.SMPPServer.EnquireLink })},
	{Section: "smpp-server", Name: "inactivityTimerSecs", Default: "300", Doc: "Seconds without a word from an ESME after which its session ends; 0: never.",
		set: timer(day, func(c *Config) *time.Duration { return &c.SMPPServer.Inactivity })},
	{Section: "smpp-server", Name: "responseTimerSecs", Default: "60", Doc: "Seconds that an ESME may take to answer.",
		set: seconds(0.1, day, func(c *Config) *time.Duration { return &c.SMPPServer.Response })},
	{Section: "smpp-server", Name: "pduReadTimerSecs", Default: "30", Doc: "Seconds from the first octet of a PDU to its last.",
		set: seconds(0.1, day, func(c *Config) *time.Duration { return &c.SMPPServer.PDURead })},
	without("smpp-server", "dlr_expiry", "86400", "the connector's dlr_expiry says how long its receipts are waited for", anyWhole),
	{Section: "smpp-server", Name: "log_privacy", Default: "False", Doc: "Log no message text.", set: boolean(func(c *Config) *bool { return &c.SMPPServer.LogPrivacy })},

	{Section: "smpp-server", Name: "ssl", Default: "False", Doc: "Whether bind and port speak TLS.", set: boolean(func(c *Config) *bool { return &c.SMPPServer.SSL })},
	{Section: "smpp-server", Name: "listeners", Default: "", Doc: "Further places to listen on, separated by commas: host:port, or tls://host:port with TLS.",
		set: func(c *Config, v string) (err error) { c.SMPPServer.Listeners, err = parseListeners(v); return err }},
	{Section: "smpp-server", Name: "ssl_certificate", Default: "", Doc: "PEM file with the certificate of TLS listeners and those that vouch for it.",
		set: text(func(c *Config) *string { return &c.SMPPServer.TLS.Certificate })},
	{Section: "smpp-server", Name: "ssl_key", Default: "", Doc: "PEM file with the key of the certificate.", set: text(func(c *Config) *string { return &c.SMPPServer.TLS.Key })},
	{Section: "smpp-server", Name: "ssl_client_cert", Default: "none", Doc: "Whether ESMEs show a certificate: none (it is not asked for), optional (it is verified if there is one) or require.",
		set: oneOf(func(c *Config) *smppserver.ClientCert { return &c.SMPPServer.TLS.ClientCert }, smppserver.ClientCertNone, smppserver.ClientCertOptional, smppserver.ClientCertRequire)},
	{Section: "smpp-server", Name: "ssl_client_ca", Default: "", Doc: "PEM file with the certificates that vouch for those of ESMEs.",
		set: text(func(c *Config) *string { return &c.SMPPServer.TLS.ClientCA })},
	{Section: "smpp-server", Name: "max_connections", Default: "10000", Doc: "Connections open at a time.", set: number(1, 1000000, func(c *Config) *int { return &c.SMPPServer.MaxConnections })},
	{Section: "smpp-server", Name: "max_connections_per_address", Default: "1000", Doc: "Of them, from one IP address.",
		set: number(1, 1000000, func(c *Config) *int { return &c.SMPPServer.MaxPerAddress })},
	{Section: "smpp-server", Name: "max_window", Default: "1000", Doc: "Requests of one session that are in work at a time; more are answered ESME_RTHROTTLED.",
		set: number(1, 100000, func(c *Config) *int { return &c.SMPPServer.MaxWindow })},
	{Section: "smpp-server", Name: "max_pending", Default: "20000", Doc: "Requests of all sessions that are in work at a time; more are answered ESME_RTHROTTLED.",
		set: number(1, 10000000, func(c *Config) *int { return &c.SMPPServer.MaxPending })},
	{Section: "smpp-server", Name: "max_write_buffer", Default: "4194304", Doc: "Octets that may wait for an ESME that does not read; then its session ends.",
		set: number(4096, 1<<30, func(c *Config) *int { return &c.SMPPServer.MaxWriteBuffer })},
	{Section: "smpp-server", Name: "deliver_window", Default: "50", Doc: "deliver_sm and data_sm that may await their answer on one session.",
		set: number(1, 10000, func(c *Config) *int { return &c.SMPPServer.Window })},
	{Section: "smpp-server", Name: "message_state_expiry", Default: "172800", Doc: "Seconds after its acceptance, or after the end of its validity, that the state of an ESME's message is kept for query_sm, cancel_sm and replace_sm; 0: none is kept, and they are answered ESME_RINVMSGID.",
		set: seconds(0, 90*day, func(c *Config) *time.Duration { return &c.MT.StateExpiry })},
	{Section: "smpp-server", Name: "submit_timeout", Default: "15", Doc: "Seconds that a request waits for its message to become durable; then it is answered ESME_RSYSERR.",
		set: seconds(0.1, 600, func(c *Config) *time.Duration { return &c.SMPPServer.SubmitWait })},
}

// parseListeners reads host:port and tls://host:port, separated by commas.
func parseListeners(v string) ([]smppserver.Listener, error) {
	var out []smppserver.Listener
	for field := range strings.SplitSeq(v, ",") {
		if field = strings.TrimSpace(field); field == "" {
			continue
		}
		addr, secure := strings.CutPrefix(field, "tls://")
		_, p, err := net.SplitHostPort(addr)
		if err == nil {
			var n uint64
			if n, err = strconv.ParseUint(p, 10, 16); err != nil || strconv.FormatUint(n, 10) != p {
				err = errors.New("no port number from 0 to 65535")
			}
		}
		if err != nil {
			return nil, fmt.Errorf("%q is not host:port: %w", field, err)
		}
		out = append(out, smppserver.Listener{Address: addr, TLS: secure})
	}
	return out, nil
}
