package smscsim

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Command is the program smsc-sim without its process: flags, files, the way out.
type Command struct {
	Version        string
	Stdout, Stderr io.Writer
}

// The exit codes.
const (
	ExitOK      = 0
	ExitRuntime = 1 // something went wrong while it ran
	ExitUsage   = 2 // flags or configuration
)

// stopTime is how long sessions have to take their leave.
const stopTime = 5 * time.Second

const usage = `smsc-sim simulates an SMSC: an SMPP v3.4 server to test connectors against.

Usage:
  smsc-sim [flags]

It accepts binds (smppclient1 with password "password" unless told otherwise), answers
submissions, sends delivery receipts to those who ask for them, and has an HTTP API that
shows what arrived, injects messages and changes how it behaves:

  smsc-sim &
  curl 127.0.0.1:8776/messages
  curl 127.0.0.1:8776/mo -d '{"from":"4479","to":"1234","text":"hello"}'
  curl -X PUT 127.0.0.1:8776/behaviour -d '{"rules":[{"to":"44","answer":{"status":"ESME_RTHROTTLED"}}]}'

A configuration file (--config) is YAML with the names of the flags, - as _, and behaviour
as the API takes it. Flags win over the file. docs/smsc-sim.md has the details.

Flags:
`

// options are what flags set beside the configuration.
type options struct {
	config, readyFile, behaviour string
	version                      bool
	accounts                     accountFlags
}

// accountFlags collects --account.
type accountFlags []Account

func (a *accountFlags) String() string { return "" }

// Set reads system_id/password[,key=value...].
func (a *accountFlags) Set(s string) error {
	head, rest, _ := strings.Cut(s, ",")
	id, password, ok := strings.Cut(head, "/")
	if !ok || id == "" {
		return errors.New("must look like system_id/password or system_id/password,window=10")
	}
	acc := Account{SystemID: id, Password: password}
	for rest != "" {
		var pair string
		pair, rest, _ = strings.Cut(rest, ",")
		key, value, _ := strings.Cut(pair, "=")
		var err error
		switch key {
		case "bind":
			acc.BindTypes = strings.Split(value, "+")
		case "window":
			_, err = fmt.Sscan(value, &acc.Window)
		case "window_mode":
			acc.WindowMode = value
		case "max_binds":
			_, err = fmt.Sscan(value, &acc.MaxBinds)
		case "throughput":
			_, err = fmt.Sscan(value, &acc.Throughput)
		default:
			return fmt.Errorf("%q is none of bind, window, window_mode, max_binds, throughput", key)
		}
		if err != nil {
			return fmt.Errorf("%s: %q is no number", key, value)
		}
	}
	*a = append(*a, acc)
	return nil
}

// flags declares the flags, whose defaults are what cfg holds.
func flags(cfg *Config, o *options) *flag.FlagSet {
	fs := flag.NewFlagSet("smsc-sim", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&o.config, "config", "", "read the configuration from the YAML `file`")
	fs.StringVar(&o.readyFile, "ready-file", "", "write the addresses as JSON to `file` when everything listens; removed at the end")
	fs.BoolVar(&o.version, "version", false, "print the version and exit")
	fs.StringVar(&o.behaviour, "behaviour", "", "read the behaviour (rules) from the JSON `file`")
	fs.StringVar(&cfg.SMPP, "smpp", cfg.SMPP, "`address` of the SMPP port; port 0 takes any free one")
	fs.StringVar(&cfg.HTTP, "http", cfg.HTTP, "`address` of the control API, none to do without")
	fs.Func("http-host", "`name` with a dot that the control API may be called by, once per name; * for any.\nAddresses and single words such as localhost always may", func(name string) error {
		cfg.HTTPHosts = append(cfg.HTTPHosts, name)
		return nil
	})
	fs.StringVar(&cfg.TLSCert, "tls-cert", cfg.TLSCert, "PEM `file`: the SMPP port speaks TLS with this certificate")
	fs.StringVar(&cfg.TLSKey, "tls-key", cfg.TLSKey, "PEM `file` with the key of tls-cert")
	fs.Var(&o.accounts, "account", "`system_id/password` that may bind, once per account; options follow after commas:\nbind=transmitter+receiver+transceiver, window=N, window_mode=throttle|hold, max_binds=N, throughput=N\n(default smppclient1/password)")
	fs.BoolVar(&cfg.AnyAccount, "any-account", cfg.AnyAccount, "let every system_id in, with any password")
	fs.StringVar(&cfg.SystemID, "system-id", cfg.SystemID, "`name` in bind responses")
	fs.StringVar(&cfg.InterfaceVersion, "interface-version", cfg.InterfaceVersion, "`version` in bind responses: 3.3, 3.4, 5.0 or none")
	fs.IntVar(&cfg.MaxConnections, "max-connections", cfg.MaxConnections, "connections at a time")
	fs.StringVar(&cfg.IDFormat, "id-format", cfg.IDFormat, "`form` of message ids: "+strings.Join(idFormats, ", "))
	fs.IntVar(&cfg.IDWidth, "id-width", cfg.IDWidth, "fill message ids with zeros up to so many characters")
	fs.Uint64Var(&cfg.IDStart, "id-start", cfg.IDStart, "first `number` of message ids; 0 takes the microseconds since 1970")
	fs.IntVar(&cfg.ReceiptWindow, "receipt-window", cfg.ReceiptWindow, "receipts in flight per session")
	fs.IntVar(&cfg.ReceiptQueue, "receipt-queue", cfg.ReceiptQueue, "receipts waiting per account; more are dropped")
	fs.TextVar(&cfg.ReceiptRetry, "receipt-retry", cfg.ReceiptRetry, "`pause` before a refused receipt is sent again")
	fs.IntVar(&cfg.ReceiptTries, "receipt-tries", cfg.ReceiptTries, "how often a receipt is sent before it is given up")
	fs.IntVar(&cfg.MaxScheduled, "max-scheduled", cfg.MaxScheduled, "receipts whose time has not come; more are dropped")
	fs.IntVar(&cfg.MaxMessages, "max-messages", cfg.MaxMessages, "messages kept in full; the oldest go first")
	fs.IntVar(&cfg.MaxOctets, "max-octets", cfg.MaxOctets, "octets of memory for them")
	fs.TextVar(&cfg.EnquireLink, "enquire-link", cfg.EnquireLink, "send enquire_link after so much `silence`; negative: never")
	fs.TextVar(&cfg.Inactivity, "inactivity", cfg.Inactivity, "end a session after so much `silence`; negative: never")
	fs.TextVar(&cfg.Response, "response", cfg.Response, "`time` to wait for responses of the ESME")
	fs.StringVar(&cfg.Log, "log", cfg.Log, "`what` to write to stdout: pdu (a line each), summary (a line a second), none")
	fs.IntVar(&cfg.LogRate, "log-rate", cfg.LogRate, "lines a second above which --log pdu summarises")
	return fs
}

// errVersion ends a command that did what it was asked to.
var errVersion = errors.New("version asked for")

// configure reads flags and files.
func configure(args []string) (Config, options, error) {
	cfg, o := Defaults(), options{}
	if err := flags(&cfg, &o).Parse(args); err == nil && o.config != "" {
		file := Defaults()
		if err := readConfig(o.config, &file); err != nil {
			return cfg, o, err
		}
		cfg = file
	} else {
		cfg = Defaults()
	}
	o = options{}
	fs := flags(&cfg, &o)
	if err := fs.Parse(args); err != nil {
		return cfg, o, err
	}
	if fs.NArg() > 0 {
		return cfg, o, fmt.Errorf("argument %q: there are flags only", fs.Arg(0))
	}
	if o.version {
		return cfg, o, errVersion
	}
	if len(o.accounts) > 0 {
		cfg.Accounts = o.accounts
	}
	if o.behaviour != "" {
		text, err := os.ReadFile(o.behaviour)
		if err != nil {
			return cfg, o, fmt.Errorf("behaviour: %w", err)
		}
		if cfg.Behaviour, err = ParseBehaviour(text); err != nil {
			return cfg, o, fmt.Errorf("%s: %w", o.behaviour, err)
		}
	}
	return cfg, o, cfg.Validate()
}

// readConfig reads a YAML file over what cfg holds. Unknown keys are errors.
func readConfig(path string, cfg *Config) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("config: %w", err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	if err := parseConfig(f, cfg); err != nil {
		return fmt.Errorf("config %s: %w", path, err)
	}
	return nil
}

func parseConfig(r io.Reader, cfg *Config) error {
	accounts := cfg.Accounts
	cfg.Accounts = nil
	d := yaml.NewDecoder(r)
	d.KnownFields(true)
	if err := d.Decode(cfg); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if len(cfg.Accounts) == 0 {
		cfg.Accounts = accounts
	}
	return nil
}

// Run does what the arguments say until ctx ends, and returns the exit code.
func (c Command) Run(ctx context.Context, args []string) int {
	cfg, o, err := configure(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		c.help()
		return ExitOK
	case errors.Is(err, errVersion):
		fmt.Fprintln(c.Stdout, "smsc-sim", c.Version) //nolint:errcheck // nobody is there to be told
		return ExitOK
	case err != nil:
		return c.fail(ExitUsage, err)
	}
	cfg.LogTo = c.Stdout
	cfg.Logger = slog.New(slog.NewTextHandler(c.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	if o.readyFile != "" {
		if err := os.Remove(o.readyFile); err != nil && !errors.Is(err, os.ErrNotExist) {
			return c.fail(ExitRuntime, fmt.Errorf("ready-file: %w", err))
		}
	}
	sim := New(cfg)
	// Not ctx: its end is the polite one, by Stop.
	if err := sim.Start(context.WithoutCancel(ctx)); err != nil {
		return c.fail(ExitRuntime, err)
	}
	code := ExitOK
	if err := c.announce(sim, cfg, o.readyFile); err != nil {
		code = c.fail(ExitRuntime, err)
	} else {
		<-ctx.Done()
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	if err := sim.Stop(stop); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		code = c.fail(ExitRuntime, err)
	}
	if o.readyFile != "" {
		os.Remove(o.readyFile) //nolint:errcheck // it may be gone
	}
	return code
}

// help prints how it is used.
func (c Command) help() {
	cfg, o := Defaults(), options{}
	fs := flags(&cfg, &o)
	fs.SetOutput(c.Stdout)
	io.WriteString(c.Stdout, usage) //nolint:errcheck // nobody is there to be told
	fs.PrintDefaults()
}

func (c Command) fail(code int, err error) int {
	fmt.Fprintf(c.Stderr, "smsc-sim: %s\n", strings.ReplaceAll(err.Error(), "\n", "\nsmsc-sim: ")) //nolint:errcheck // nobody is there to be told
	return code
}

// announce says where it listens.
func (c Command) announce(sim *Simulator, cfg Config, readyFile string) error {
	ready := map[string]any{"smpp": sim.Addr(), "tls": cfg.TLSCert != "", "pid": os.Getpid()}
	web := "no control API"
	if a := sim.HTTPAddr(); a != "" {
		ready["http"] = "http://" + a
		web = "control API http://" + a
	}
	fmt.Fprintf(c.Stderr, "smsc-sim %s: SMPP on %s, %s\n", c.Version, sim.Addr(), web) //nolint:errcheck // nobody is there to be told
	if readyFile == "" {
		return nil
	}
	text, err := json.Marshal(ready)
	if err != nil {
		return err
	}
	return writeFile(readyFile, append(text, '\n'))
}

// writeFile puts a file there whole or not at all.
func writeFile(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".smsc-sim-*")
	if err != nil {
		return fmt.Errorf("ready-file: %w", err)
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name()) //nolint:errcheck // the first error counts
		return fmt.Errorf("ready-file: %w", err)
	}
	return nil
}
