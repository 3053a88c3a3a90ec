// Package daemon is the command line of jasmind: flags, subcommands, signals and exit
// codes around package gateway.
package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"jasmind/internal/config"
	"jasmind/internal/gateway"
)

// Exit codes.
const (
	ExitOK      = 0
	ExitRuntime = 1 // the gateway could not go on
	ExitUsage   = 2 // wrong command line or configuration
)

const usage = `jasmind is an SMS gateway compatible with Jasmin.

Usage:
  jasmind [options]                 run the gateway
  jasmind config print [--mode M]   write a commented jasmin.cfg with the defaults
  jasmind config check FILE         report every fault of a configuration file
  jasmind profile export NAME       write a profile of the console as a provisioning file
  jasmind profile import [--replace] NAME FILE
                                    make a provisioning file a profile of the console
  jasmind --version

Without a configuration file and without environment variables that name a broker
or a Redis it runs embedded: nothing else is needed, and its data is in ./jasmin-data.

Options:
`

const usageEnd = `
Every key of jasmin.cfg can be set in the environment, which wins: SECTION_KEY in
capitals with dashes as underscores, such as HTTP_API_PORT=0 (0: any free port) or
AMQP_BROKER_HOST=mq. ROOT_PATH, CONFIG_PATH, LOG_PATH and STORE_PATH set the folders.

Signals: TERM and INT stop in order and wait for messages under way, a second one
ends at once; HUP reads the certificates and the provisioning file again.
Exit codes: 0 stopped, 1 failed while running, 2 wrong command line or configuration.
`

type options struct {
	configFile, provision, readyFile, roles, username, password string
	abandon, version, noHTTP, noSMPP, noConsole                 bool
}

// compatible are options of the original for services that this version starts by itself
// or does not have; they are accepted and change nothing.
var compatible = []string{"enable-interceptor-client", "enable-dlr-thrower", "enable-dlr-lookup", "enable-deliver-thrower"}

func flags(o *options) *flag.FlagSet {
	f := quiet("jasmind")
	both := func(short, long string) []string { return []string{short, long} }
	for _, name := range both("c", "config") {
		f.StringVar(&o.configFile, name, "", "configuration `file`; default $CONFIG_PATH/jasmin.cfg, if there is one")
	}
	f.StringVar(&o.provision, "provision", "", "YAML `file` of groups, users, filters, connectors and routes, applied at start and on SIGHUP")
	f.StringVar(&o.readyFile, "ready-file", "", "`file` to write the bound addresses to, as JSON, once every listener is up")
	f.StringVar(&o.roles, "roles", "all", "what this process does; this version knows all only")
	f.BoolVar(&o.noHTTP, "disable-http-api", false, "do not start the HTTP API")
	f.BoolVar(&o.noSMPP, "disable-smpp-server", false, "do not start the SMPP server")
	f.BoolVar(&o.noConsole, "disable-jcli", false, "do not start the management console")
	f.BoolVar(&o.abandon, "abandon-embedded", false, "start in services mode though an embedded database still holds messages")
	f.BoolVar(&o.version, "version", false, "print the version and exit")
	for _, name := range both("u", "username") {
		f.StringVar(&o.username, name, "", "accepted for the original's start scripts, without effect")
	}
	for _, name := range both("p", "password") {
		f.StringVar(&o.password, name, "", "accepted for the original's start scripts, without effect")
	}
	for _, name := range compatible {
		f.Bool(name, false, "accepted for the original's start scripts, without effect")
	}
	return f
}

// quiet makes a set of flags that prints nothing by itself.
func quiet(name string) *flag.FlagSet {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.Usage = func() {}
	return f
}

func help(out io.Writer) {
	fmt.Fprint(out, usage)
	printFlags(flags(new(options)), out)
	fmt.Fprint(out, usageEnd)
}

// printFlags lists the options, those without effect in one line.
func printFlags(f *flag.FlagSet, out io.Writer) {
	var without []string
	f.VisitAll(func(fl *flag.Flag) {
		if strings.HasPrefix(fl.Usage, "accepted for") {
			without = append(without, dashed(fl.Name))
			return
		}
		if fl.Name == "c" {
			return
		}
		name, help := flag.UnquoteUsage(fl)
		line := dashed(fl.Name)
		if fl.Name == "config" {
			line = "-c, " + line
		}
		if name != "" {
			line += " " + strings.ToUpper(name)
		}
		fmt.Fprintf(out, "  %-24s %s\n", line, help)
	})
	fmt.Fprintf(out, "  Accepted for the original's start scripts, without effect:\n    %s\n", strings.Join(without, " "))
}

func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

// Main runs jasmind with the arguments after its name and gives the exit code.
func Main(args []string, version string, stdout, stderr io.Writer) int {
	if len(args) > 0 && args[0] == "config" {
		return configCommand(args[1:], stdout, stderr)
	}
	if len(args) > 0 && args[0] == "profile" {
		return profileCommand(args[1:], stdout, stderr)
	}
	var o options
	f := flags(&o)
	switch err := f.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		help(stdout)
		return ExitOK
	case err != nil:
		return complain(stderr, seeHelp(err))
	case f.NArg() > 0:
		return complain(stderr, seeHelp(fmt.Errorf("unexpected argument %q", f.Arg(0))))
	case o.version:
		fmt.Fprintf(stdout, "jasmind %s %s %s/%s\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
		return ExitOK
	case o.roles != "all":
		return complain(stderr, fmt.Errorf("--roles %q: this version knows the role all only", o.roles))
	}
	return run(&o, version, stdout, stderr)
}

func seeHelp(err error) error { return fmt.Errorf("%w; see jasmind --help", err) }

func complain(stderr io.Writer, err error) int {
	fmt.Fprintln(stderr, "jasmind:", strings.ReplaceAll(err.Error(), "\n", "\njasmind: "))
	return ExitUsage
}

func run(o *options, version string, stdout, stderr io.Writer) int {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer signal.Stop(signals)

	cfg, err := config.Load(config.Options{File: o.configFile, Root: os.Geteuid() == 0})
	if err != nil {
		return complain(stderr, err)
	}
	cfg.HTTP.Disabled = o.noHTTP
	cfg.SMPPServer.Disabled = o.noSMPP
	cfg.ConsoleDisabled = o.noConsole
	stale, err := clearReady(o.readyFile)
	if err != nil {
		return complain(stderr, err)
	}
	g, err := gateway.New(gateway.Options{Config: cfg, Provision: o.provision, Version: version, Stdout: stdout, AbandonEmbedded: o.abandon})
	if err != nil {
		return complain(stderr, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	started := make(chan error, 1)
	go func() { started <- g.Start(ctx) }()
	asked, err := awaitStart(started, signals, cfg.ShutdownTimeout+startGrace, cancel)
	switch {
	case errors.Is(err, errAbandoned):
		return abandon(g, err, stderr)
	case err != nil:
		return notStarted(err, asked, o.readyFile, stale, stderr)
	case asked:
		return stop(g, cfg, signals, stderr, ExitOK)
	}
	if o.readyFile != "" {
		if err := writeReady(o.readyFile, readyContent(g.Addresses())); err != nil {
			fmt.Fprintln(stderr, "jasmind:", err)
			return stop(g, cfg, signals, stderr, ExitRuntime)
		}
		defer os.Remove(o.readyFile) //nolint:errcheck // gone is what it is to be
	}
	return serve(ctx, g, cfg, signals, stderr)
}

// serve runs until a signal asks for the end or the gateway fails, and reloads meanwhile whenever it is asked to. A
// reload never keeps a signal waiting; what asks for another one while it runs is one more reload.
func serve(ctx context.Context, g *gateway.Gateway, cfg *config.Config, signals <-chan os.Signal, stderr io.Writer) int {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	reloaded := make(chan error, 1)
	reload := func() { go func() { reloaded <- g.Reload(ctx) }() }
	running, again := false, false
	for {
		select {
		case <-g.Failed():
			fmt.Fprintln(stderr, "jasmind:", g.Err())
			return stop(g, cfg, signals, stderr, ExitRuntime)
		case err := <-reloaded:
			if err != nil {
				fmt.Fprintln(stderr, "jasmind: reload:", err)
			}
			if running = again; running {
				again = false
				reload()
			}
		case s := <-signals:
			switch {
			case s != syscall.SIGHUP:
				cancel()
				return stop(g, cfg, signals, stderr, ExitOK)
			case running:
				again = true
			default:
				running = true
				reload()
			}
		}
	}
}

// notStarted tells why the start ended and gives the exit code: none is an error if the start
// was told to end. A ready file is put back, since it may belong to the process that keeps this
// one from starting.
func notStarted(err error, asked bool, readyFile string, stale []byte, stderr io.Writer) int {
	if !asked || !errors.Is(err, context.Canceled) {
		fmt.Fprintln(stderr, "jasmind:", err)
	}
	if stale != nil {
		if err := writeReady(readyFile, stale); err != nil {
			fmt.Fprintln(stderr, "jasmind:", err)
		}
	}
	var refused *gateway.ConfigurationError
	switch {
	case asked:
		return ExitOK
	case errors.As(err, &refused):
		return ExitUsage
	}
	return ExitRuntime
}

// startGrace is what a start that was cut short gets beyond the time of a stop, which is for what it had started.
const startGrace = 5 * time.Second

// errAbandoned is why the process ends at once.
var errAbandoned = errors.New("ended at once, nothing more is waited for")

// awaitStart waits for the start. TERM and INT cut it short, if it can be; asked tells that one came. A further one gives
// errAbandoned, and so does a start that has not ended by the limit.
func awaitStart(started <-chan error, signals <-chan os.Signal, limit time.Duration, cancel func()) (asked bool, err error) {
	var over <-chan time.Time
	for {
		select {
		case err := <-started:
			return asked, err
		case <-over:
			return asked, fmt.Errorf("the start did not end within %s: %w", limit, errAbandoned)
		case s := <-signals:
			switch {
			case s == syscall.SIGHUP:
			case asked:
				return asked, fmt.Errorf("a second signal: %w", errAbandoned)
			default:
				asked, over = true, time.After(limit)
				cancel()
			}
		}
	}
}

// abandon ends without waiting for anything but the log's last lines.
func abandon(g *gateway.Gateway, why error, stderr io.Writer) int {
	fmt.Fprintln(stderr, "jasmind:", why)
	if err := g.Abandon(why.Error()); err != nil {
		fmt.Fprintln(stderr, "jasmind:", err)
	}
	return ExitRuntime
}

// stop stops in order; a further TERM or INT ends the process at once.
func stop(g *gateway.Gateway, cfg *config.Config, signals <-chan os.Signal, stderr io.Writer, code int) int {
	ctx, cancel := context.WithTimeout(context.Background(), cfg.ShutdownTimeout)
	defer cancel()
	stopped := make(chan error, 1)
	go func() { stopped <- g.Stop(ctx) }()
	for {
		select {
		case err := <-stopped:
			if err != nil {
				fmt.Fprintln(stderr, "jasmind: stop:", err)
			}
			return code
		case s := <-signals:
			if s != syscall.SIGHUP {
				return abandon(g, fmt.Errorf("a second signal: %w", errAbandoned), stderr)
			}
		}
	}
}

// clearReady removes what an earlier process left, which somebody might take for ours, and gives
// its content.
func clearReady(path string) (stale []byte, err error) {
	if path == "" {
		return nil, nil
	}
	bad := func(err error) ([]byte, error) { return nil, fmt.Errorf("--ready-file %s: %w", path, err) }
	switch fi, err := os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
		if _, err := os.Stat(filepath.Dir(path)); err != nil {
			return bad(err)
		}
		return nil, nil
	case err != nil:
		return bad(err)
	case !fi.Mode().IsRegular():
		return bad(errors.New("it exists and is no ordinary file"))
	}
	if stale, err = os.ReadFile(path); err != nil {
		return bad(err)
	}
	if err := os.Remove(path); err != nil {
		return bad(err)
	}
	return stale, nil
}

// readyContent is the JSON object of the addresses by service.
func readyContent(addresses map[string]string) []byte {
	b, err := json.Marshal(addresses)
	if err != nil {
		panic(err) // a map of strings is JSON
	}
	return append(b, '\n')
}

// writeReady writes the file in one step, so that a reader never sees half of it.
func writeReady(path string, content []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".ready-*")
	if err != nil {
		return fmt.Errorf("--ready-file %s: %w", path, err)
	}
	_, err = tmp.Write(content)
	if err = errors.Join(err, tmp.Chmod(0o644), tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		os.Remove(tmp.Name()) //nolint:errcheck // the first error says it
		return fmt.Errorf("--ready-file %s: %w", path, err)
	}
	return nil
}

func configCommand(args []string, stdout, stderr io.Writer) int {
	bad := func(format string, a ...any) int { return complain(stderr, fmt.Errorf(format, a...)) }
	if len(args) == 0 {
		return bad("config: say print or check FILE")
	}
	for _, a := range args {
		if a == "-h" || a == "-help" || a == "--help" {
			help(stdout)
			return ExitOK
		}
	}
	switch args[0] {
	case "print":
		f := quiet("jasmind config print")
		mode := f.String("mode", string(config.Services), "mode to write: embedded or services")
		switch err := f.Parse(args[1:]); {
		case err != nil:
			return bad("config print: %w", err)
		case f.NArg() > 0:
			return bad("config print: unexpected argument %q", f.Arg(0))
		}
		if m := config.Mode(*mode); m != config.Embedded && m != config.Services {
			return bad("config print: --mode %q is neither embedded nor services", *mode)
		}
		if err := config.Print(stdout, config.Mode(*mode)); err != nil {
			fmt.Fprintln(stderr, "jasmind: config print:", err)
			return ExitRuntime
		}
		return ExitOK
	case "check":
		if len(args) != 2 {
			return bad("config check: give one FILE")
		}
		cfg, err := config.Load(config.Options{File: args[1], Root: os.Geteuid() == 0})
		if err != nil {
			return complain(stderr, err)
		}
		for _, key := range cfg.Unserved {
			fmt.Fprintf(stdout, "%s: without effect: %s\n", args[1], key)
		}
		fmt.Fprintf(stdout, "%s: no fault; mode %s, since %s\n", args[1], cfg.Mode, cfg.ModeWhy)
		return ExitOK
	}
	return bad("config %q: say print or check FILE", args[0])
}
