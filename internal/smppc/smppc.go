// Package smppc describes an SMPP client connector: its parameters as the management
// console spells them, their defaults, and which of them need the connector restarted
// (Jasmin: smppccm). It knows neither sessions nor queues.
package smppc

import (
	"errors"
	"net"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
	"jasmind/internal/smstext"
)

// Config holds the parameters of one connector. The zero value is not usable; start
// from Default.
type Config struct {
	CID sms.ConnectorID // cid

	// Connection.
	Host             string       // host, default 127.0.0.1
	Port             int          // port, default 2775
	SSL              bool         // ssl, default no
	Username         string       // username, default smppclient
	Password         string       // password, default password
	Bind             pdu.BindType // bind: transceiver, receiver or transmitter
	SystemType       string       // systype
	BindTON, BindNPI uint8        // bind_ton default 0, bind_npi default 1
	AddressRange     string       // addr_range
	InterfaceVersion uint8        // interface_version: 3.3, 3.4 or 5.0, default 3.4 (new)

	// TLS, when ssl is yes (new). The files are PEM and are read at each connection.
	SSLVerify     bool   // ssl_verify: the SMSC's certificate must be good, default yes
	SSLCA         string // ssl_ca: file with the certificates that vouch for it, "" = the system's
	SSLServerName string // ssl_server_name: whom it must be for, "" = host
	SSLCert       string // ssl_cert: file with our own certificate, "" = none
	SSLKey        string // ssl_key: file with its key

	// Outbind (new): with an address to listen on, the SMSC connects to us and asks for the bind.
	Outbind         string // outbind, "" = we connect
	OutbindSystemID string // outbind_system_id that it must give, "" = any
	OutbindPassword string // outbind_password that it must give, "" = any

	// Timers.
	BindTimeout     time.Duration // bind_to, default 30 s
	Inactivity      time.Duration // trx_to, default 300 s, 0 = never inactive
	ResponseTimeout time.Duration // res_to, default 60 s
	PDUReadTimeout  time.Duration // pdu_red_to, default 10 s
	EnquireLink     time.Duration // elink_interval, default 30 s, 0 = none is sent
	ConLossRetry    bool          // con_loss_retry, default yes
	ConLossDelay    time.Duration // con_loss_delay, default 10 s
	ConFailRetry    bool          // con_fail_retry, default yes
	ConFailDelay    time.Duration // con_fail_delay, default 10 s

	// Defaults of messages, for fields that the sender left unset.
	SourceAddr       string           // src_addr, "" = none
	SourceTON        uint8            // src_ton, default 2
	SourceNPI        uint8            // src_npi, default 1
	DestTON          uint8            // dst_ton, default 1
	DestNPI          uint8            // dst_npi, default 1
	Validity         time.Duration    // validity in seconds, 0 = none
	Priority         uint8            // priority, default 0
	ProtocolID       uint8            // proto_id
	ProtocolIDSet    bool             // whether proto_id is defined
	Coding           pdu.DataCoding   // coding, default 0
	AutoCoding       bool             // coding auto: the one that carries a text in the fewest parts (new)
	Language         smstext.National // language: national tables that texts may use, default none (new)
	DefaultMsgID     uint8            // def_msg_id, default 0
	ReplaceIfPresent uint8            // ripf, default 0
	CustomTLVs       TLVRules         // custom_tlvs: what vendors' optional parameters must be, default none

	// Flow.
	SubmitThroughput float64       // submit_throughput, messages per second, default 1, 0 = unlimited
	RequeueDelay     time.Duration // requeue_delay, default 120 s
	DLRExpiry        time.Duration // dlr_expiry, default 86400 s
	DLRMsgID         string        // dlr_msgid: 0, 1, 2 or auto
	Window           int           // window: submit_sm awaiting a response on each bind, 1 to 1000, default 10 (new)
	Binds            int           // binds: sessions of this connector, 1 to 100, default 1 (new)
	MaxQueue         int           // max_queue: waiting messages, 0 = no limit (new)
	StrictOrder      bool          // strict_order: one message at a time, what is to be tried again before all others, default no (new)

	// DLRCID is the connector on whose binds the receipts of this one's messages come; "" = its own (new): dlr_cid.
	DLRCID sms.ConnectorID

	// Logging.
	LogFile    string // logfile, default /var/log/jasmin/default-<cid>.log
	LogRotate  string // logrotate, default midnight
	LogLevel   int    // loglevel, 10 to 50, default 20
	LogPrivacy bool   // logprivacy, default no
}

// DefaultLogFile is the logfile of a connector for which none was set.
func DefaultLogFile(cid sms.ConnectorID) string {
	return "/var/log/jasmin/default-" + string(cid) + ".log"
}

// Default gives a connector's parameters as the documentation lists them for one of
// which only the cid is set.
func Default(cid sms.ConnectorID) Config {
	return Config{
		CID:  cid,
		Host: "127.0.0.1", Port: 2775,
		Username: "smppclient", Password: "password",
		Bind:    pdu.Transceiver,
		BindTON: 0, BindNPI: 1,
		InterfaceVersion: 0x34,
		SSLVerify:        true,
		BindTimeout:      30 * time.Second,
		Inactivity:       300 * time.Second,
		ResponseTimeout:  60 * time.Second,
		PDUReadTimeout:   10 * time.Second,
		EnquireLink:      30 * time.Second,
		ConLossRetry:     true, ConLossDelay: 10 * time.Second,
		ConFailRetry: true, ConFailDelay: 10 * time.Second,
		SourceTON: 2, SourceNPI: 1,
		DestTON: 1, DestNPI: 1,
		SubmitThroughput: 1,
		RequeueDelay:     120 * time.Second,
		DLRExpiry:        86400 * time.Second,
		DLRMsgID:         "0",
		Window:           10,
		Binds:            1,
		LogFile:          DefaultLogFile(cid),
		LogRotate:        "midnight",
		LogLevel:         20,
	}
}

// ValidCID tells whether s can identify a connector: 3 to 25 characters of [A-Za-z0-9_-].
func ValidCID(s string) bool {
	if len(s) < 3 || len(s) > 25 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-') {
			return false
		}
	}
	return true
}

// Validate reports every parameter that has a value which Key.Parse would refuse, joined
// by errors.Join.
func (c Config) Validate() error {
	var errs []error
	for i := range Keys {
		scratch := c
		errs = append(errs, Keys[i].Parse(Keys[i].Format(c), &scratch))
	}
	return errors.Join(errs...)
}

// Equal tells whether two configurations are the same.
func (c Config) Equal(d Config) bool {
	if !slices.Equal(c.CustomTLVs, d.CustomTLVs) {
		return false
	}
	c.CustomTLVs, d.CustomTLVs = nil, nil
	return reflect.DeepEqual(c, d)
}

// Changed lists the parameters in which two configurations differ, in the order of Keys.
func Changed(a, b Config) []*Key {
	var out []*Key
	for i := range Keys {
		if Keys[i].Format(a) != Keys[i].Format(b) {
			out = append(out, &Keys[i])
		}
	}
	return out
}

// RestartNeeded tells whether a running connector has to be restarted for a difference between two
// configurations to take effect: a parameter that is used for a bind or for the log file differs.
func RestartNeeded(a, b Config) bool {
	return slices.ContainsFunc(Changed(a, b), func(k *Key) bool { return k.NeedsRestart || k.NeedsRebind })
}

// Account names the account at the SMSC that the connector uses. Connectors with the same host, port and username share it.
func (c *Config) Account() sms.Account {
	host := strings.TrimSuffix(strings.ToLower(c.Host), ".")
	return sms.Account(net.JoinHostPort(host, strconv.Itoa(c.Port)) + "/" + url.QueryEscape(c.Username))
}
