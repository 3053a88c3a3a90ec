package loadgen

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// Command is the program loadgen without its process: flags, output, exit code.
type Command struct {
	Version        string
	Stdout, Stderr io.Writer
	Terminal       bool // Stderr is one: progress is a line that is written over
}

// The exit codes.
const (
	ExitOK     = 0
	ExitFailed = 1 // messages were lost, a demand was not met, or something could not be reached
	ExitUsage  = 2
)

const helpText = `loadgen puts load on an SMS gateway or an SMSC and tells what became of every message.

Usage:
  loadgen http [flags]                        over the HTTP API, /send
  loadgen smpp [flags]                        over SMPP
  loadgen sink [flags]                        accept everything, to measure loadgen itself
  loadgen --verify FILE --smsc URL [flags]    check that what was accepted has arrived
  loadgen COMMAND --help                      the flags
  loadgen --version

Examples:
  loadgen http --username foo --password bar --count 20000 --smsc http://127.0.0.1:8776
  loadgen http --username foo --password bar --rate 500 --duration 30s --dlr 3
  loadgen smpp --username foo --password bar --window 100 --binds 2 --count 100000 --json -

Each text starts with #RUN:NUMBER#, by which smsc-sim tells what arrived. Exit codes: 0 all is
well, 1 messages were lost or a demand (--expect-all, --max-duplicates) was not met, 2 usage.
An interrupt ends the sending early; the report is made all the same.
`

// Run does what the arguments say, until ctx ends, and returns the exit code.
func (c Command) Run(ctx context.Context, args []string) int {
	command := cmdVerify
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		command, args = args[0], args[1:]
	} else if len(args) == 0 || len(args) == 1 && (args[0] == "--help" || args[0] == "-help" || args[0] == "-h") {
		c.print(c.Stdout, helpText)
		if len(args) == 0 {
			return ExitUsage
		}
		return ExitOK
	} else if args[0] == "--version" || args[0] == "-version" {
		c.print(c.Stdout, "loadgen "+c.Version+"\n")
		return ExitOK
	}
	switch command {
	case HTTP, SMPP, cmdSink, cmdVerify:
	default:
		return c.fail(ExitUsage, fmt.Errorf("%q is none of http, smpp, sink", command))
	}
	cfg, o, err := parse(command, args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		c.help(command)
		return ExitOK
	case err != nil:
		return c.fail(ExitUsage, err)
	}
	switch command {
	case cmdSink:
		return c.sink(ctx, o)
	case cmdVerify:
		return c.verify(ctx, cfg, o)
	}
	return c.load(ctx, cfg, o)
}

func (c Command) help(command string) {
	head := "Usage: loadgen " + command + " [flags]\n"
	if command == cmdVerify {
		head = "Usage: loadgen --verify FILE --smsc URL [flags]\n"
	}
	c.print(c.Stdout, head)
	declare(command, &Config{}, &options{}).print(c.Stdout)
}

func (c Command) print(w io.Writer, s string) {
	io.WriteString(w, s) //nolint:errcheck // nobody is there to be told
}

func (c Command) fail(code int, err error) int {
	c.print(c.Stderr, "loadgen: "+strings.ReplaceAll(err.Error(), "\n", "\nloadgen: ")+"\n")
	return code
}

// load runs http or smpp.
func (c Command) load(ctx context.Context, cfg Config, o options) int {
	line := &progressLine{w: c.Stderr, terminal: c.Terminal}
	if !o.quiet {
		cfg.Progress = line.show
	}
	rep, err := Run(ctx, cfg)
	line.clear()
	if err != nil {
		return c.fail(ExitFailed, err)
	}
	out := c.Stdout
	if o.json == "-" {
		out = c.Stderr
	}
	rep.WriteText(out)
	if err := c.writeJSON(o.json, rep); err != nil {
		return c.fail(ExitFailed, err)
	}
	if err := rep.Check(Demand{All: o.expectAll, Duplicates: o.duplicates}); err != nil {
		return c.fail(ExitFailed, err)
	}
	return ExitOK
}

// verify checks a file of accepted messages.
func (c Command) verify(ctx context.Context, cfg Config, o options) int {
	run, a, err := Verify(ctx, o.verify, cfg.SMSC, cfg.Settle)
	if err != nil {
		return c.fail(ExitFailed, err)
	}
	out := c.Stdout
	if o.json == "-" {
		out = c.Stderr
	}
	t := &table{}
	t.row("run", "%s", run)
	t.arrival(&a)
	t.write(out)
	if err := c.writeJSON(o.json, struct {
		Format int    `json:"format"`
		Run    string `json:"run"`
		Arrival
	}{ReportFormat, run, a}); err != nil {
		return c.fail(ExitFailed, err)
	}
	rep := Report{Arrival: &a, Counts: Counts{Sent: 1}}
	if err := rep.Check(Demand{Duplicates: o.duplicates}); err != nil {
		return c.fail(ExitFailed, err)
	}
	return ExitOK
}

// writeJSON writes a value to a file, or to stdout for -, or nowhere for "".
func (c Command) writeJSON(path string, v any) error {
	if path == "" {
		return nil
	}
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	b = append(b, '\n')
	if path == "-" {
		_, err = c.Stdout.Write(b)
	} else {
		err = os.WriteFile(path, b, 0o644)
	}
	if err != nil {
		return fmt.Errorf("--json: %w", err)
	}
	return nil
}

// sink serves until ctx ends.
func (c Command) sink(ctx context.Context, o options) int {
	s, err := NewSink(o.sink)
	if err != nil {
		return c.fail(ExitFailed, err)
	}
	if a := s.SMPPAddr(); a != "" {
		c.print(c.Stdout, "smpp "+a+"\n")
	}
	if a := s.HTTPAddr(); a != "" {
		c.print(c.Stdout, "http http://"+a+"/send\n")
	}
	var wg sync.WaitGroup
	if !o.quiet {
		wg.Go(func() { c.countSink(ctx, s) })
	}
	s.Serve(ctx)
	wg.Wait()
	c.print(c.Stdout, "messages "+grouped(s.Messages())+"\n")
	return ExitOK
}

// countSink writes a line for each second in which something came.
func (c Command) countSink(ctx context.Context, s *Sink) {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for before := int64(0); ; {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			if n := s.Messages(); n != before {
				c.print(c.Stderr, fmt.Sprintf("%s messages, %s/s\n", grouped(n), grouped(n-before)))
				before = n
			}
		}
	}
}
