package loadgen

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
)

// What loadgen can be told to do.
const (
	cmdSink   = "sink"
	cmdVerify = "verify"
)

// options are what flags set beside the configuration of a run.
type options struct {
	json       string
	quiet      bool
	expectAll  bool
	duplicates int64
	verify     string
	sink       SinkConfig
	tls        bool
	tlsCA      string
	insecure   bool
}

// group is some flags under a heading of the help text.
type group struct {
	title string
	names []string
}

// flags is a flag set whose flags are listed in groups, in the order of their declaration.
type flags struct {
	*flag.FlagSet
	groups []group
}

func (f *flags) group(title string) { f.groups = append(f.groups, group{title: title}) }

// added puts the flag declared last into the present group.
func (f *flags) added(name string) {
	g := &f.groups[len(f.groups)-1]
	g.names = append(g.names, name)
}

func (f *flags) text(v *string, name, value, usage string) {
	f.StringVar(v, name, value, usage)
	f.added(name)
}

func (f *flags) number(v *int, name string, value int, usage string) {
	f.IntVar(v, name, value, usage)
	f.added(name)
}

func (f *flags) yes(v *bool, name, usage string) {
	f.BoolVar(v, name, false, usage)
	f.added(name)
}

// declare makes the flags of one command; their defaults are those of Config.
func declare(command string, c *Config, o *options) *flags {
	f := &flags{FlagSet: flag.NewFlagSet(command, flag.ContinueOnError)}
	f.SetOutput(io.Discard)
	d := Config{Run: "x"}.withDefaults()
	switch command {
	case cmdSink:
		f.group("Sink")
		f.text(&o.sink.SMPP, "listen", "127.0.0.1:2777", "`address` of SMPP; empty for none")
		f.text(&o.sink.HTTP, "http", "", "`address` of an HTTP /send; empty for none")
		f.group("Output")
		f.yes(&o.quiet, "quiet", "no progress")
		return f
	case cmdVerify:
		f.group("Check")
		f.text(&o.verify, "verify", "", "`file` that --accepted-file wrote")
		f.checks(c, o, &d)
		f.group("Output")
		f.text(&o.json, "json", "", "write the result as JSON to `file`, - for stdout")
		return f
	case HTTP:
		f.http(c, &d)
	case SMPP:
		f.smpp(c, &d)
	}
	f.security(o)
	f.load(c, &d)
	f.group("Check")
	f.checks(c, o, &d)
	f.yes(&o.expectAll, "expect-all", "exit 1 if any message was refused or has no answer, or if any expected report is missing")
	f.text(&c.AcceptedFile, "accepted-file", "", "write number and id of every accepted message to `file`")
	f.group("Output")
	f.text(&o.json, "json", "", "write the report as JSON to `file`, - for stdout")
	f.Var((*processList)(&c.Processes), "pid", "`name=PID` of a process whose CPU time and memory are reported; once for each")
	f.added("pid")
	f.yes(&o.quiet, "quiet", "no progress")
	return f
}

func (f *flags) http(c *Config, d *Config) {
	f.group("Target")
	f.text(&c.URL, "url", "http://127.0.0.1:1401/send", "`URL` of /send")
	f.text(&c.Method, "method", d.Method, "`GET` or POST")
	f.text(&c.Username, "username", "", "`name` of the user")
	f.text(&c.Password, "password", "", "his `password`")
	f.number(&c.Connections, "connections", d.Connections, "keep-alive connections")
	f.number(&c.Pipeline, "pipeline", d.Pipeline, "requests in flight on each of them")
	f.Var((*paramList)(&c.Params), "param", "`name=value`, one more parameter of /send; once for each")
	f.added("param")
	f.message(c, d)
	f.yes(&c.Hex, "hex", "send hex-content instead of content")
	f.group("Delivery reports")
	f.number(&c.DLR, "dlr", 0, "ask for reports of `level` 1, 2 or 3 (both) and count them")
	f.text(&c.DLRMethod, "dlr-method", d.DLRMethod, "`method` by which the gateway reports, GET or POST")
	f.text(&c.DLRListen, "dlr-listen", d.DLRListen, "`address` at which reports are received")
	f.text(&c.DLRURL, "dlr-url", "", "`URL` that the gateway is told (default: made of the address)")
}

func (f *flags) smpp(c *Config, d *Config) {
	f.group("Target")
	f.text(&c.Addr, "addr", "127.0.0.1:2775", "`address` of the SMPP server")
	f.text(&c.Username, "username", "", "`system_id`")
	f.text(&c.Password, "password", "", "its `password`")
	f.text(&c.SystemType, "system-type", "", "`system_type` of the bind")
	f.text(&c.Engine, "engine", d.Engine, "`engine`: native, go-smpp (another implementation), or raw (no session: the upper bound)")
	f.text(&c.Bind, "bind", d.Bind, "`type` of the bind: tx or trx")
	f.number(&c.Binds, "binds", d.Binds, "sessions, of each ESME")
	f.number(&c.ESMEs, "esmes", 0, "so many `system_ids` bind, the username followed by 1, 2, ..., and each must get the receipts of its own messages")
	f.number(&c.Window, "window", d.Window, "submit_sm in flight on each of them")
	f.message(c, d)
	f.group("Delivery reports")
	f.yes(&c.Receipts, "receipts", "ask for delivery receipts and count them; needs --bind trx")
}

func (f *flags) message(c *Config, d *Config) {
	f.group("Message")
	f.text(&c.From, "from", "", "source `address`")
	f.text(&c.To, "to", "06222172", "destination `address`, or a range to draw from: 06222000-06222999")
	f.text(&c.Content, "content", d.Content, "`text` after the tag #RUN:NUMBER#; {n} and {to} are replaced")
	f.number(&c.Size, "size", 0, "fill up or cut the whole text to so many `characters`")
	f.number(&c.Parts, "parts", 0, "make the text fill so many short `messages`")
	f.number(&c.Coding, "coding", 0, "data_coding `number`: 0 is GSM 03.38, 8 is UCS2")
}

func (f *flags) security(o *options) {
	f.group("TLS")
	f.yes(&o.tls, "tls", "speak TLS (an https URL does so anyhow)")
	f.text(&o.tlsCA, "tls-ca", "", "PEM `file` with the certificates to trust")
	f.yes(&o.insecure, "tls-insecure", "trust any certificate")
}

func (f *flags) load(c *Config, d *Config) {
	f.group("Load")
	f.number(&c.Count, "count", 0, "`messages` to send")
	f.DurationVar(&c.Duration, "duration", 0, "`time` to send, such as 30s")
	f.added("duration")
	f.Float64Var(&c.Rate, "rate", 0, "messages a `second`; 0 for as fast as the answers allow")
	f.added("rate")
	f.number(&c.Warmup, "warmup", 0, "`messages` to send first, without measuring")
	f.number(&c.Retries, "retries", 0, "how often a message is sent again after 503, ESME_RMSGQFUL or ESME_RTHROTTLED")
	f.DurationVar(&c.RetryDelay, "retry-delay", d.RetryDelay, "`pause` before")
	f.added("retry-delay")
	f.DurationVar(&c.Timeout, "timeout", d.Timeout, "`time` to wait for an answer")
	f.added("timeout")
	f.DurationVar(&c.ConnectWait, "connect-wait", d.ConnectWait, "`time` for which a lost connection is tried again; the first ones are tried once")
	f.added("connect-wait")
	f.DurationVar(&c.Grace, "grace", d.Grace, "`time` to wait for answers after an interruption")
	f.added("grace")
}

func (f *flags) checks(c *Config, o *options, d *Config) {
	if f.Name() != cmdVerify {
		f.text(&c.Run, "run", "", "`name` of the run in the tags (default: drawn at random)")
	}
	f.text(&c.SMSC, "smsc", "", "`URL` of smsc-sim's HTTP API: count what arrives, is lost or comes twice")
	f.DurationVar(&c.Settle, "settle", d.Settle, "wait for arrivals and reports until none came for so `long`")
	f.added("settle")
	f.Int64Var(&o.duplicates, "max-duplicates", -1, "exit 1 if more `messages` than that came twice; -1 for no limit")
	f.added("max-duplicates")
}

// processList collects --pid.
type processList []Process

func (l *processList) String() string { return "" }

// Set reads name=PID.
func (l *processList) Set(s string) error {
	name, number, ok := strings.Cut(s, "=")
	pid, err := strconv.Atoi(number)
	if !ok || name == "" || err != nil || pid <= 0 {
		return errors.New("must be name=PID")
	}
	*l = append(*l, Process{name, pid})
	return nil
}

// paramList collects --param.
type paramList [][2]string

func (l *paramList) String() string { return "" }

// Set reads name=value.
func (l *paramList) Set(s string) error {
	name, value, ok := strings.Cut(s, "=")
	if !ok || name == "" {
		return errors.New("must be name=value")
	}
	*l = append(*l, [2]string{name, value})
	return nil
}

// parse reads the arguments of a command.
func parse(command string, args []string) (Config, options, error) {
	var c Config
	var o options
	f := declare(command, &c, &o)
	if err := f.Parse(args); err != nil {
		return c, o, err
	}
	if f.NArg() > 0 {
		return c, o, fmt.Errorf("argument %q: there are flags only", f.Arg(0))
	}
	switch command {
	case cmdSink:
		if o.sink == (SinkConfig{}) {
			return c, o, errors.New("--listen, --http: at least one of them is needed")
		}
		return c, o, nil
	case cmdVerify:
		if o.verify == "" || c.SMSC == "" {
			return c, o, errors.New("--verify, --smsc: both are needed")
		}
		if err := validSMSC(c.SMSC); err != nil {
			return c, o, fmt.Errorf("--smsc %q: %w", c.SMSC, err)
		}
		return c, o, nil
	}
	c.Protocol = command
	// A zero that stands on the command line is not a default.
	var errs []error
	f.Visit(func(g *flag.Flag) {
		zeroes := []string{"connections", "pipeline", "binds", "window", "retry-delay", "timeout", "connect-wait", "grace", "settle"}
		if v := g.Value.String(); slices.Contains(zeroes, g.Name) && (v == "0" || v == "0s") {
			errs = append(errs, fmt.Errorf("--%s %s: must be more than 0", g.Name, v))
		}
	})
	if err := o.secure(&c); err != nil {
		errs = append(errs, err)
	}
	return c, o, errors.Join(append(errs, c.Validate())...)
}

// secure makes the TLS configuration.
func (o *options) secure(c *Config) error {
	https := c.Protocol == HTTP && strings.HasPrefix(c.URL, "https:")
	switch {
	case c.Protocol == HTTP && o.tls && !https:
		return fmt.Errorf("--tls: --url %q must begin with https", c.URL)
	case !o.tls && !https && (o.tlsCA != "" || o.insecure):
		return errors.New("--tls-ca, --tls-insecure: need --tls")
	case !o.tls && !https:
		return nil
	}
	c.TLS = &tls.Config{InsecureSkipVerify: o.insecure}
	if o.tlsCA == "" {
		return nil
	}
	pem, err := os.ReadFile(o.tlsCA)
	if err != nil {
		return fmt.Errorf("--tls-ca: %w", err)
	}
	c.TLS.RootCAs = x509.NewCertPool()
	if !c.TLS.RootCAs.AppendCertsFromPEM(pem) {
		return fmt.Errorf("--tls-ca %s: holds no certificate", o.tlsCA)
	}
	return nil
}

// print writes the groups with their flags.
func (f *flags) print(w io.Writer) {
	for _, g := range f.groups {
		fmt.Fprintf(w, "\n%s\n", g.title) //nolint:errcheck // nobody is there to be told
		for _, name := range g.names {
			fl := f.Lookup(name)
			arg, usage := flag.UnquoteUsage(fl)
			head := "--" + name
			if arg != "" {
				head += " " + arg
			}
			if d := fl.DefValue; d != "" && d != "0" && d != "0s" && d != "false" && d != "-1" {
				usage += " (default " + d + ")"
			}
			if len(head) > 26 {
				fmt.Fprintf(w, "  %s\n  %-26s  %s\n", head, "", usage) //nolint:errcheck // nobody is there to be told
			} else {
				fmt.Fprintf(w, "  %-26s  %s\n", head, usage) //nolint:errcheck // nobody is there to be told
			}
		}
	}
}
