package smscsim

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"slices"
	"strings"
)

// Config is what a simulator is made of. The zero value is a working simulator on
// free ports of the loopback interface. Keys of the YAML file stand in the tags.
type Config struct {
	SMPP string `yaml:"smpp"` // address of the SMPP port; default 127.0.0.1:0 (the command: 127.0.0.1:2776)
	HTTP string `yaml:"http"` // address of the control API; default 127.0.0.1:0 (the command: 127.0.0.1:8776); none switches it off
	// HTTPHosts are names with a dot that the control API may be called by; "*": any. Addresses and single
	// words, such as localhost and the names of containers, always may.
	HTTPHosts []string `yaml:"http_hosts"`

	TLS     *tls.Config `yaml:"-"`        // the SMPP port speaks TLS when set
	TLSCert string      `yaml:"tls_cert"` // PEM file; with TLSKey it makes TLS
	TLSKey  string      `yaml:"tls_key"`  // PEM file

	SystemID         string    `yaml:"system_id"`         // in bind responses; default smsc-sim
	InterfaceVersion string    `yaml:"interface_version"` // sc_interface_version: 3.3, 3.4, 5.0 or none; default 3.4
	Accounts         []Account `yaml:"accounts"`          // default smppclient1 with password "password"
	AnyAccount       bool      `yaml:"any_account"`       // let everybody in; Accounts still name passwords and limits
	MaxConnections   int       `yaml:"max_connections"`   // default 1000

	IDFormat string `yaml:"id_format"` // decimal, hex, HEX, decimal64, hex64 or uuid; default decimal
	IDWidth  int    `yaml:"id_width"`  // ids are filled with zeros up to it, 0 to 64
	IDStart  uint64 `yaml:"id_start"`  // first number; default the microseconds since 1970, so that a restart repeats none

	ReceiptWindow int      `yaml:"receipt_window"` // deliver_sm per session awaiting a response, 1 to 10000; default 100
	ReceiptQueue  int      `yaml:"receipt_queue"`  // receipts waiting per account; more are dropped and counted; default 100000
	ReceiptRetry  Duration `yaml:"receipt_retry"`  // pause before a refused receipt is sent again; default 1s
	ReceiptTries  int      `yaml:"receipt_tries"`  // how often a receipt is sent; default 10
	MaxScheduled  int      `yaml:"max_scheduled"`  // receipts whose time has not come; more are dropped and counted; default 1000000

	MaxMessages int `yaml:"max_messages"` // kept in full; default 100000
	MaxOctets   int `yaml:"max_octets"`   // of the messages kept; default 256 MiB

	EnquireLink Duration `yaml:"enquire_link"` // silence before we ask; default 30s; negative: never
	Inactivity  Duration `yaml:"inactivity"`   // silence before the session ends; default 300s; negative: never
	Response    Duration `yaml:"response"`     // wait for a response to ours; default 60s

	Behaviour Behaviour `yaml:"behaviour"` // what Reset returns to

	Log     string       `yaml:"log"`      // pdu, summary or none; default none (the command: pdu)
	LogRate int          `yaml:"log_rate"` // lines a second above which pdu turns into a summary; default 200
	LogTo   io.Writer    `yaml:"-"`        // of the lines; nil for none
	Logger  *slog.Logger `yaml:"-"`        // faults; nil for none
}

// Account is an ESME that may bind.
type Account struct {
	SystemID   string   `yaml:"system_id" json:"system_id"`
	Password   string   `yaml:"password" json:"-"`
	BindTypes  []string `yaml:"bind_types" json:"bind_types,omitempty"`   // transmitter, receiver, transceiver; default all
	MaxBinds   int      `yaml:"max_binds" json:"max_binds,omitempty"`     // at a time; more get ESME_RALYBND; 0 for no limit
	Window     int      `yaml:"window" json:"window,omitempty"`           // requests that we have not answered; 0 for 10000
	WindowMode string   `yaml:"window_mode" json:"window_mode,omitempty"` // of what is above: throttle (default) or hold
	Throughput float64  `yaml:"throughput" json:"throughput,omitempty"`   // submissions a second; more get ESME_RTHROTTLED; 0 for no limit
}

// What becomes of requests above an account's window.
const (
	WindowThrottle = "throttle" // refused with ESME_RTHROTTLED
	WindowHold     = "hold"     // looked at when an earlier one has been answered
)

// The kinds of log.
const (
	LogNone    = "none"
	LogSummary = "summary" // a line a second while anything happens
	LogPDU     = "pdu"     // a line for each PDU; a summary above LogRate
)

// inboundWindow bounds what one session may have unanswered, whatever its account says.
const inboundWindow = 10000

var bindTypes = []string{"transmitter", "receiver", "transceiver"}

// Defaults is the configuration of the command without flags.
func Defaults() Config {
	return Config{SMPP: "127.0.0.1:2776", HTTP: "127.0.0.1:8776", Log: LogPDU}.withDefaults()
}

// withDefaults fills in what was left zero.
func (c Config) withDefaults() Config {
	text := func(v *string, d string) {
		if *v == "" {
			*v = d
		}
	}
	number := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	duration := func(v *Duration, d Duration) {
		if *v == 0 {
			*v = d
		}
	}
	text(&c.SMPP, "127.0.0.1:0")
	text(&c.HTTP, "127.0.0.1:0")
	text(&c.SystemID, "smsc-sim")
	text(&c.InterfaceVersion, "3.4")
	text(&c.IDFormat, IDDecimal)
	text(&c.Log, LogNone)
	number(&c.MaxConnections, 1000)
	number(&c.ReceiptWindow, 100)
	number(&c.ReceiptQueue, 100_000)
	number(&c.ReceiptTries, 10)
	number(&c.MaxScheduled, 1_000_000)
	number(&c.MaxMessages, 100_000)
	number(&c.MaxOctets, 256<<20)
	number(&c.LogRate, 200)
	duration(&c.ReceiptRetry, Duration(1e9))
	duration(&c.EnquireLink, Duration(30e9))
	duration(&c.Inactivity, Duration(300e9))
	duration(&c.Response, Duration(60e9))
	if len(c.Accounts) == 0 {
		c.Accounts = []Account{{SystemID: "smppclient1", Password: "password"}}
	}
	return c
}

// Validate reports every fault at once. Zero values are good: they stand for defaults.
func (c Config) Validate() error {
	c = c.withDefaults()
	var errs []error
	fault := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	fault(cstring("system_id", c.SystemID, 15))
	if _, err := interfaceVersion(c.InterfaceVersion); err != nil {
		fault(err)
	}
	fault(oneOf("id_format", c.IDFormat, idFormats))
	fault(between("id_width", c.IDWidth, 0, maxIDWidth))
	fault(between("max_connections", c.MaxConnections, 1, 1_000_000))
	fault(between("receipt_window", c.ReceiptWindow, 1, 10_000))
	fault(between("receipt_queue", c.ReceiptQueue, 1, math.MaxInt32))
	fault(between("receipt_tries", c.ReceiptTries, 1, math.MaxInt32))
	fault(between("max_scheduled", c.MaxScheduled, 1, math.MaxInt32))
	fault(between("max_messages", c.MaxMessages, 1, math.MaxInt32))
	fault(between("max_octets", c.MaxOctets, 1<<20, math.MaxInt64))
	fault(between("log_rate", c.LogRate, 1, math.MaxInt32))
	fault(oneOf("log", c.Log, []string{LogPDU, LogSummary, LogNone}))
	if c.ReceiptRetry < 0 {
		fault(fmt.Errorf("receipt_retry: %s is negative", c.ReceiptRetry))
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		fault(errors.New("tls_cert and tls_key: both or neither"))
	}
	seen := map[string]bool{}
	for i, a := range c.Accounts {
		at := fmt.Sprintf("accounts[%d]", i)
		fault(a.validate(at))
		if seen[a.SystemID] {
			fault(fmt.Errorf("%s.system_id: %q is there twice", at, a.SystemID))
		}
		seen[a.SystemID] = true
	}
	_, err := compile(c.Behaviour)
	fault(err)
	return errors.Join(errs...)
}

func (a Account) validate(at string) error {
	var errs []error
	errs = append(errs, cstring(at+".system_id", a.SystemID, 15), cstring(at+".password", a.Password, 64))
	for _, t := range a.BindTypes {
		if !slices.Contains(bindTypes, t) {
			errs = append(errs, fmt.Errorf("%s.bind_types: %q is none of %s", at, t, strings.Join(bindTypes, ", ")))
		}
	}
	errs = append(errs,
		oneOf(at+".window_mode", a.WindowMode, []string{WindowThrottle, WindowHold}),
		between(at+".window", a.Window, 0, inboundWindow),
		between(at+".max_binds", a.MaxBinds, 0, math.MaxInt32),
		rateOK(at+".throughput", a.Throughput))
	return errors.Join(errs...)
}

// cstring reports a string that does not fit its field (SMPP v3.4 §5.2).
func cstring(name, s string, most int) error {
	if len(s) > most || strings.IndexByte(s, 0) >= 0 {
		return fmt.Errorf("%s: %q must have at most %d octets and no NUL", name, s, most)
	}
	return nil
}

func rateOK(name string, v float64) error {
	if v >= 0 && v <= 1e9 {
		return nil
	}
	return fmt.Errorf("%s: %v is not in 0..1000000000", name, v)
}

// interfaceVersion is the octet of sc_interface_version (SMPP v3.4 §5.3.2.25), 0 for none.
func interfaceVersion(s string) (uint8, error) {
	switch s {
	case "3.3":
		return 0x33, nil
	case "3.4":
		return 0x34, nil
	case "5.0":
		return 0x50, nil
	case "none":
		return 0, nil
	}
	return 0, fmt.Errorf("interface_version: %q is none of 3.3, 3.4, 5.0, none", s)
}
