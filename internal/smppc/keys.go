package smppc

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
	"jasmind/internal/smstext"
)

// Key is one parameter of a connector under the name that the console gives it.
type Key struct {
	Name string
	// NeedsRestart: the documentation wants the connector restarted for a change of it
	// (host, port, username, password, systype, logfile, loglevel).
	NeedsRestart bool
	// NeedsRebind: it is only looked at when a session binds, so that a running connector
	// has to bind anew for a change to take effect.
	NeedsRebind bool
	// Secret: its value must not appear in a log.
	Secret bool

	parse  func(value string, c *Config) (want string) // "" = accepted, else what a value must be
	format func(c *Config) string
}

// Parse sets the field of c from value, spelled as on the console. When it fails, c is
// unchanged and the error is a *ValueError.
func (k *Key) Parse(value string, c *Config) error {
	scratch := *c
	if want := k.parse(value, &scratch); want != "" {
		if k.Secret {
			value = "***"
		}
		return &ValueError{Key: k.Name, Value: value, Want: want}
	}
	*c = scratch
	return nil
}

// Format gives the value as smppccm -s prints it: None for what is not defined, yes and
// no for switches, seconds for times.
func (k *Key) Format(c Config) string { return k.format(&c) }

// ValueError says that a parameter cannot have a value.
type ValueError struct {
	Key   string
	Value string // *** for a secret
	Want  string // what a value must be
}

// Error names the key, the value and what would be accepted.
func (e *ValueError) Error() string {
	return fmt.Sprintf("%s: invalid value %q, must be %s", e.Key, e.Value, e.Want)
}

// ErrUnknownKey is wrapped by what Set returns for a name that is no parameter.
var ErrUnknownKey = errors.New("unknown connector parameter")

// Lookup finds a parameter by its name; nil if there is none.
func Lookup(name string) *Key {
	for i := range Keys {
		if Keys[i].Name == name {
			return &Keys[i]
		}
	}
	return nil
}

// Set sets one parameter by its name. When it fails, cfg is unchanged.
func Set(cfg *Config, key, value string) error {
	k := Lookup(key)
	if k == nil {
		return fmt.Errorf("%w: %q", ErrUnknownKey, key)
	}
	return k.Parse(value, cfg)
}

// Keys lists the parameters in the order in which smppccm -s prints them: first those
// of the documented sample, in its order, then the others. It is not to be changed.
var Keys = []Key{
	{Name: "ripf", parse: octet(0, 1, func(c *Config) *uint8 { return &c.ReplaceIfPresent }),
		format: func(c *Config) string { return itoa(c.ReplaceIfPresent) }},
	{Name: "con_fail_delay", parse: seconds(0, func(c *Config) *time.Duration { return &c.ConFailDelay }),
		format: func(c *Config) string { return formatSeconds(c.ConFailDelay) }},
	{Name: "dlr_expiry", parse: seconds(time.Second, func(c *Config) *time.Duration { return &c.DLRExpiry }),
		format: func(c *Config) string { return formatSeconds(c.DLRExpiry) }},
	{Name: "coding", parse: parseCoding,
		format: func(c *Config) string {
			if c.AutoCoding {
				return autoCoding
			}
			return itoa(uint8(c.Coding))
		}},
	{Name: "submit_throughput", parse: parseThroughput,
		format: func(c *Config) string { return strconv.FormatFloat(c.SubmitThroughput, 'f', -1, 64) }},
	{Name: "elink_interval", parse: seconds(0, func(c *Config) *time.Duration { return &c.EnquireLink }),
		format: func(c *Config) string { return formatSeconds(c.EnquireLink) }},
	{Name: "bind_to", parse: seconds(shortest, func(c *Config) *time.Duration { return &c.BindTimeout }),
		format: func(c *Config) string { return formatSeconds(c.BindTimeout) }},
	{Name: "port", NeedsRestart: true, NeedsRebind: true,
		parse:  integer(1, 65535, func(c *Config) *int { return &c.Port }),
		format: func(c *Config) string { return strconv.Itoa(c.Port) }},
	{Name: "con_fail_retry", parse: yesNo(func(c *Config) *bool { return &c.ConFailRetry }),
		format: func(c *Config) string { return formatYesNo(c.ConFailRetry) }},
	{Name: "password", NeedsRestart: true, NeedsRebind: true, Secret: true,
		// Jasmin: 16 octets; SMPP v3.4 §5.2.2 has 8, yet longer ones are in use.
		parse:  text(0, 16, func(c *Config) *string { return &c.Password }),
		format: func(c *Config) string { return c.Password }},
	{Name: "src_addr", parse: textOrNone(20, func(c *Config) *string { return &c.SourceAddr }),
		format: func(c *Config) string { return orNone(c.SourceAddr) }},
	{Name: "bind_npi", NeedsRebind: true, parse: npi(func(c *Config) *uint8 { return &c.BindNPI }),
		format: func(c *Config) string { return itoa(c.BindNPI) }},
	{Name: "addr_range", NeedsRebind: true, parse: textOrNone(40, func(c *Config) *string { return &c.AddressRange }),
		format: func(c *Config) string { return orNone(c.AddressRange) }},
	{Name: "dst_ton", parse: ton(func(c *Config) *uint8 { return &c.DestTON }),
		format: func(c *Config) string { return itoa(c.DestTON) }},
	{Name: "res_to", parse: seconds(shortest, func(c *Config) *time.Duration { return &c.ResponseTimeout }),
		format: func(c *Config) string { return formatSeconds(c.ResponseTimeout) }},
	// SMPP v3.4 §5.2.27: 255 is reserved.
	{Name: "def_msg_id", parse: octet(0, 254, func(c *Config) *uint8 { return &c.DefaultMsgID }),
		format: func(c *Config) string { return itoa(c.DefaultMsgID) }},
	{Name: "priority", parse: octet(0, 3, func(c *Config) *uint8 { return &c.Priority }),
		format: func(c *Config) string { return itoa(c.Priority) }},
	{Name: "con_loss_retry", parse: yesNo(func(c *Config) *bool { return &c.ConLossRetry }),
		format: func(c *Config) string { return formatYesNo(c.ConLossRetry) }},
	{Name: "username", NeedsRestart: true, NeedsRebind: true,
		parse:  text(0, 15, func(c *Config) *string { return &c.Username }),
		format: func(c *Config) string { return c.Username }},
	{Name: "dst_npi", parse: npi(func(c *Config) *uint8 { return &c.DestNPI }),
		format: func(c *Config) string { return itoa(c.DestNPI) }},
	{Name: "validity", parse: parseValidity,
		format: func(c *Config) string {
			if c.Validity == 0 {
				return none
			}
			return formatSeconds(c.Validity)
		}},
	{Name: "requeue_delay", parse: seconds(0, func(c *Config) *time.Duration { return &c.RequeueDelay }),
		format: func(c *Config) string { return formatSeconds(c.RequeueDelay) }},
	{Name: "host", NeedsRestart: true, NeedsRebind: true, parse: parseHost,
		format: func(c *Config) string { return c.Host }},
	{Name: "src_npi", parse: npi(func(c *Config) *uint8 { return &c.SourceNPI }),
		format: func(c *Config) string { return itoa(c.SourceNPI) }},
	{Name: "trx_to", parse: seconds(0, func(c *Config) *time.Duration { return &c.Inactivity }),
		format: func(c *Config) string { return formatSeconds(c.Inactivity) }},
	{Name: "logfile", NeedsRestart: true, parse: text(1, 4096, func(c *Config) *string { return &c.LogFile }),
		format: func(c *Config) string { return c.LogFile }},
	{Name: "systype", NeedsRestart: true, NeedsRebind: true,
		parse:  textOrNone(12, func(c *Config) *string { return &c.SystemType }),
		format: func(c *Config) string { return c.SystemType }},
	{Name: "cid", parse: parseCID,
		format: func(c *Config) string { return string(c.CID) }},
	{Name: "loglevel", NeedsRestart: true, parse: parseLogLevel,
		format: func(c *Config) string { return strconv.Itoa(c.LogLevel) }},
	{Name: "bind", NeedsRebind: true, parse: parseBind,
		format: func(c *Config) string { return c.Bind.String() }},
	{Name: "proto_id", parse: parseProtocolID,
		format: func(c *Config) string {
			if !c.ProtocolIDSet {
				return none
			}
			return itoa(c.ProtocolID)
		}},
	{Name: "con_loss_delay", parse: seconds(0, func(c *Config) *time.Duration { return &c.ConLossDelay }),
		format: func(c *Config) string { return formatSeconds(c.ConLossDelay) }},
	{Name: "bind_ton", NeedsRebind: true, parse: ton(func(c *Config) *uint8 { return &c.BindTON }),
		format: func(c *Config) string { return itoa(c.BindTON) }},
	{Name: "pdu_red_to", parse: seconds(shortest, func(c *Config) *time.Duration { return &c.PDUReadTimeout }),
		format: func(c *Config) string { return formatSeconds(c.PDUReadTimeout) }},
	{Name: "src_ton", parse: ton(func(c *Config) *uint8 { return &c.SourceTON }),
		format: func(c *Config) string { return itoa(c.SourceTON) }},
	// The documented sample ends here.
	{Name: "logrotate", parse: parseLogRotate,
		format: func(c *Config) string { return c.LogRotate }},
	{Name: "logprivacy", parse: yesNo(func(c *Config) *bool { return &c.LogPrivacy }),
		format: func(c *Config) string { return formatYesNo(c.LogPrivacy) }},
	{Name: "ssl", NeedsRebind: true, parse: yesNo(func(c *Config) *bool { return &c.SSL }),
		format: func(c *Config) string { return formatYesNo(c.SSL) }},
	{Name: "dlr_msgid", parse: parseDLRMsgID,
		format: func(c *Config) string { return c.DLRMsgID }},
	{Name: "custom_tlvs", parse: parseCustomTLVs,
		format: func(c *Config) string { return c.CustomTLVs.String() }},
	// Not of the original.
	{Name: "window", parse: integer(1, 1000, func(c *Config) *int { return &c.Window }),
		format: func(c *Config) string { return strconv.Itoa(c.Window) }},
	{Name: "binds", parse: integer(1, 100, func(c *Config) *int { return &c.Binds }),
		format: func(c *Config) string { return strconv.Itoa(c.Binds) }},
	{Name: "max_queue", parse: integer(0, 1_000_000_000, func(c *Config) *int { return &c.MaxQueue }),
		format: func(c *Config) string { return strconv.Itoa(c.MaxQueue) }},
	{Name: "language", parse: parseLanguage,
		format: func(c *Config) string { return c.Language.String() }},
	{Name: "strict_order", parse: yesNo(func(c *Config) *bool { return &c.StrictOrder }),
		format: func(c *Config) string { return formatYesNo(c.StrictOrder) }},
	{Name: "dlr_cid", parse: parseDLRCID,
		format: func(c *Config) string { return orNone(string(c.DLRCID)) }},
	{Name: "interface_version", NeedsRebind: true, parse: parseInterfaceVersion,
		format: func(c *Config) string { return fmt.Sprintf("%d.%d", c.InterfaceVersion>>4, c.InterfaceVersion&15) }},
	{Name: "ssl_verify", NeedsRebind: true, parse: yesNo(func(c *Config) *bool { return &c.SSLVerify }),
		format: func(c *Config) string { return formatYesNo(c.SSLVerify) }},
	{Name: "ssl_ca", NeedsRebind: true, parse: textOrNone(4096, func(c *Config) *string { return &c.SSLCA }),
		format: func(c *Config) string { return orNone(c.SSLCA) }},
	{Name: "ssl_server_name", NeedsRebind: true, parse: textOrNone(255, func(c *Config) *string { return &c.SSLServerName }),
		format: func(c *Config) string { return orNone(c.SSLServerName) }},
	{Name: "ssl_cert", NeedsRebind: true, parse: textOrNone(4096, func(c *Config) *string { return &c.SSLCert }),
		format: func(c *Config) string { return orNone(c.SSLCert) }},
	{Name: "ssl_key", NeedsRebind: true, parse: textOrNone(4096, func(c *Config) *string { return &c.SSLKey }),
		format: func(c *Config) string { return orNone(c.SSLKey) }},
	{Name: "outbind", NeedsRebind: true, parse: parseOutbind,
		format: func(c *Config) string { return orNone(c.Outbind) }},
	// SMPP v3.4 §4.1.7.1.
	{Name: "outbind_system_id", NeedsRebind: true, parse: textOrNone(15, func(c *Config) *string { return &c.OutbindSystemID }),
		format: func(c *Config) string { return orNone(c.OutbindSystemID) }},
	{Name: "outbind_password", NeedsRebind: true, Secret: true, parse: textOrNone(16, func(c *Config) *string { return &c.OutbindPassword }),
		format: func(c *Config) string { return orNone(c.OutbindPassword) }},
}

const none = "None"

func itoa(v uint8) string { return strconv.Itoa(int(v)) }

func isNone(value string) bool { return strings.EqualFold(value, none) }

func orNone(s string) string {
	if s == "" {
		return none
	}
	return s
}

func formatYesNo(v bool) string {
	if v {
		return "yes"
	}
	return "no"
}

func parseCID(value string, c *Config) string {
	if !ValidCID(value) {
		return "3 to 25 characters of A-Z, a-z, 0-9, _ and -"
	}
	if c.LogFile == DefaultLogFile(c.CID) { // follows the cid unless it was set
		c.LogFile = DefaultLogFile(sms.ConnectorID(value))
	}
	c.CID = sms.ConnectorID(value)
	return ""
}

func parseHost(value string, c *Config) string {
	if len(value) < 1 || len(value) > 255 || strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r == 0x7F || r == '/' }) {
		return "a host name or an IP address"
	}
	c.Host = value
	return ""
}

func parseBind(value string, c *Config) string {
	for _, t := range []pdu.BindType{pdu.Transceiver, pdu.Transmitter, pdu.Receiver} {
		if value == t.String() {
			c.Bind = t
			return ""
		}
	}
	return "transceiver, transmitter or receiver"
}

// codings are the values of data_coding that the documentation lists (SMPP v3.4 §5.2.19).
var codings = []uint8{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 13, 14}

// autoCoding as the value of coding has each text encoded in the coding that suits it.
const autoCoding = "auto"

func parseCoding(value string, c *Config) string {
	if value == autoCoding {
		c.Coding, c.AutoCoding = pdu.CodingDefault, true
		return ""
	}
	if want := oneOf(codings, value, (*uint8)(&c.Coding)); want != "" {
		return want + ", or " + autoCoding
	}
	c.AutoCoding = false
	return ""
}

func parseLanguage(value string, c *Config) string {
	n, err := smstext.ParseNational(strings.TrimSpace(value))
	if err != nil {
		return "none, or a language with national tables, which :auto, :single, :locking or :both may follow: " + err.Error()
	}
	c.Language = n
	return ""
}

func parseThroughput(value string, c *Config) string {
	v, ok := decimal(value)
	if !ok || v > 1_000_000 {
		return "messages per second, 0 (unlimited) to 1000000, decimals allowed"
	}
	c.SubmitThroughput = v
	return ""
}

func parseValidity(value string, c *Config) string {
	if isNone(value) {
		c.Validity = 0
		return ""
	}
	if want := seconds(time.Second, func(c *Config) *time.Duration { return &c.Validity })(value, c); want != "" {
		return want + ", or none"
	}
	return ""
}

func parseProtocolID(value string, c *Config) string {
	if isNone(value) {
		c.ProtocolID, c.ProtocolIDSet = 0, false
		return ""
	}
	if octet(0, 255, func(c *Config) *uint8 { return &c.ProtocolID })(value, c) != "" {
		return "a whole number from 0 to 255, or none"
	}
	c.ProtocolIDSet = true
	return ""
}

func parseDLRMsgID(value string, c *Config) string {
	if !slices.Contains([]string{"0", "1", "2", "auto"}, value) {
		return "0, 1, 2 or auto"
	}
	c.DLRMsgID = value
	return ""
}

func parseLogLevel(value string, c *Config) string {
	if !slices.Contains([]string{"10", "20", "30", "40", "50"}, value) {
		return "10, 20, 30, 40 or 50"
	}
	c.LogLevel, _ = strconv.Atoi(value)
	return ""
}

func parseLogRotate(value string, c *Config) string {
	if !slices.Contains([]string{"S", "M", "H", "D", "W0", "W1", "W2", "W3", "W4", "W5", "W6", "midnight"}, value) {
		return "S, M, H, D, W0 to W6 or midnight"
	}
	c.LogRotate = value
	return ""
}

func parseDLRCID(value string, c *Config) string {
	if isNone(value) {
		c.DLRCID = ""
		return ""
	}
	if !ValidCID(value) {
		return "the cid of a connector, or none"
	}
	c.DLRCID = sms.ConnectorID(value)
	return ""
}

func parseInterfaceVersion(value string, c *Config) string {
	v, ok := map[string]uint8{"3.3": 0x33, "3.4": 0x34, "5.0": 0x50}[value]
	if !ok {
		return "3.3, 3.4 or 5.0"
	}
	c.InterfaceVersion = v
	return ""
}

// parseOutbind reads the address of a listener.
func parseOutbind(value string, c *Config) string {
	if isNone(value) {
		c.Outbind = ""
		return ""
	}
	const want = "an address to listen on such as 0.0.0.0:2777, or none"
	host, port, err := net.SplitHostPort(value)
	if err != nil || !digits(port) {
		return want
	}
	if n, err := strconv.Atoi(port); err != nil || n > 65535 {
		return want
	}
	scratch := *c
	if host != "" && parseHost(host, &scratch) != "" {
		return want
	}
	c.Outbind = value
	return ""
}
