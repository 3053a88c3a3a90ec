// Package demo starts jasmind and smsc-sim together for those who want to see them work:
// "make run" until Ctrl-C, "make demo" for one round trip. It knows both programs from
// outside only, by their flags, files and HTTP interfaces.
package demo

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const usage = `usage: demo [options] run|demo

run   starts smsc-sim and jasmind (embedded, data in ./jasmin-data) and prints a curl command;
      Ctrl-C stops both
demo  sends one message through both, in a folder of its own, and waits for its receipt

Options:
`

// startLimit bounds the start of one program, stepLimit each step of the round trip.
const (
	startLimit = 2 * time.Minute
	stepLimit  = time.Minute
)

type options struct {
	bin, provision string
	anyPorts       bool
	out, errs      io.Writer
}

// Command is the whole of the demo command. It returns the exit code.
func Command(args []string, stdout, stderr io.Writer) int {
	o := options{out: stdout, errs: stderr}
	f := flag.NewFlagSet("demo", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.bin, "bin", "bin", "`folder` with jasmind and smsc-sim")
	f.StringVar(&o.provision, "provision", filepath.Join("testdata", "demo", "provision.yaml"), "provisioning `file` for jasmind")
	f.BoolVar(&o.anyPorts, "any-ports", false, "run: take free ports instead of 1401, 2776 and 8776")
	f.Usage = func() {
		fmt.Fprint(stderr, usage)
		f.PrintDefaults()
	}
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	var err error
	switch {
	case f.NArg() == 1 && f.Arg(0) == "run":
		err = run(ctx, &o)
	case f.NArg() == 1 && f.Arg(0) == "demo":
		err = roundTrip(ctx, &o)
	default:
		f.Usage()
		return 2
	}
	if err != nil {
		fmt.Fprintln(stderr, "demo:", err)
		return 1
	}
	return 0
}

// pair is the two programs, running.
type pair struct {
	sim, gateway *program
	smpp, web    string // the simulator's SMPP port and its control API
	api          string // jasmind's HTTP API
}

// start brings up both programs. What was started is stopped again if it fails. dir is for
// ready files and the provisioning file; the programs work in workDir.
func start(ctx context.Context, o *options, dir, workDir string) (p *pair, err error) {
	p = &pair{}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.stop())
		}
	}()
	bin, err := filepath.Abs(o.bin)
	if err != nil {
		return p, err
	}
	ready := filepath.Join(dir, "smsc-sim.json")
	args, env := []string{"--ready-file", ready}, []string{"GATEWAY_MODE=embedded"}
	if o.anyPorts {
		args = append(args, "--smpp", "127.0.0.1:0", "--http", "127.0.0.1:0")
		env = append(env, "HTTP_API_PORT=0", "SMPP_SERVER_PORT=0", "JCLI_PORT=0")
	}
	if p.sim, err = launch(o.out, workDir, nil, filepath.Join(bin, "smsc-sim"), args...); err != nil {
		return p, err
	}
	addresses, err := p.sim.awaitReady(ctx, ready)
	if err != nil {
		return p, err
	}
	p.smpp, p.web = addresses["smpp"], addresses["http"]
	if p.smpp == "" || p.web == "" {
		return p, fmt.Errorf("smsc-sim's ready file names no smpp or no http address: %v", addresses)
	}
	provisioned, err := filepath.Abs(o.provision)
	if err != nil {
		return p, err
	}
	if o.anyPorts {
		from := provisioned
		provisioned = filepath.Join(dir, "provision.yaml")
		if err := provisionFor(from, provisioned, p.smpp); err != nil {
			return p, err
		}
	}
	ready = filepath.Join(dir, "jasmind.json")
	p.gateway, err = launch(o.out, workDir, env, filepath.Join(bin, "jasmind"), "--provision", provisioned, "--ready-file", ready)
	if err != nil {
		return p, err
	}
	if addresses, err = p.gateway.awaitReady(ctx, ready); err != nil {
		return p, err
	}
	if p.api = addresses["http-api"]; p.api == "" {
		return p, fmt.Errorf("jasmind's ready file names no http-api: %v", addresses)
	}
	return p, nil
}

// stop stops the gateway first, so that it can unbind.
func (p *pair) stop() error {
	var errs []error
	for _, program := range []*program{p.gateway, p.sim} {
		if program != nil {
			errs = append(errs, program.stop())
		}
	}
	return errors.Join(errs...)
}

// provisionFor copies a provisioning file with the connector's port put to that of addr.
func provisionFor(from, to, addr string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	const port = "port: 2776\n"
	if strings.Count(string(content), port) != 1 {
		return fmt.Errorf("%s: there must be one line %q", from, strings.TrimSpace(port))
	}
	text := strings.Replace(string(content), port, "port: "+addr[strings.LastIndexByte(addr, ':')+1:]+"\n", 1)
	return os.WriteFile(to, []byte(text), 0o600)
}

// sendURL is a send of the demonstration user.
func (p *pair) sendURL(more url.Values) string {
	u := "http://" + p.api + "/send?username=foo&password=bar&to=06222172&content=hello"
	if len(more) > 0 {
		u += "&" + more.Encode()
	}
	return u
}

// run is "make run".
func run(ctx context.Context, o *options) (err error) {
	dir, err := os.MkdirTemp("", "jasmind-run-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	p, err := start(ctx, o, dir, ".")
	if err != nil {
		return err
	}
	fmt.Fprintf(o.out, `
jasmind and smsc-sim are up. In another terminal:

  curl '%s'

The message then shows below, as it arrives at the simulator, and in

  curl 'http://%s/messages'

Ctrl-C stops both.

`, p.sendURL(nil), p.web)
	select {
	case <-ctx.Done():
		fmt.Fprintln(o.out, "\nstopping jasmind and smsc-sim")
		return p.stop()
	case <-p.gateway.done:
		return errors.Join(p.gateway.ended(), p.stop())
	case <-p.sim.done:
		return errors.Join(p.sim.ended(), p.stop())
	}
}

// roundTrip is "make demo".
func roundTrip(ctx context.Context, o *options) (err error) {
	began := time.Now()
	dir, err := os.MkdirTemp("", "jasmind-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	dlrs, err := listenForDLRs()
	if err != nil {
		return err
	}
	defer dlrs.Close()
	// The programs' own lines are shown only when something goes wrong.
	var lines tail
	quiet := *o
	quiet.out, quiet.anyPorts = &lines, true
	defer func() {
		if err != nil {
			fmt.Fprintf(o.errs, "\nlast lines of smsc-sim and jasmind:\n%s\n", lines.String())
		}
	}()
	p, err := start(ctx, &quiet, dir, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	step := func(what, format string, args ...any) {
		fmt.Fprintf(o.out, "%5.2f s  %-14s %s\n", time.Since(began).Seconds(), what, fmt.Sprintf(format, args...))
	}
	step("smsc-sim up", "SMPP on %s, control API on %s", p.smpp, p.web)
	step("jasmind up", "embedded, HTTP API on %s", p.api)

	target := p.sendURL(url.Values{"dlr": {"yes"}, "dlr-level": {"3"}, "dlr-method": {"POST"}, "dlr-url": {dlrs.url}})
	step("sending", "%s", target)
	answer, err := get(ctx, target)
	if err != nil {
		return fmt.Errorf("send: %w", err)
	}
	quoted, ok := strings.CutPrefix(strings.TrimSpace(answer), "Success ")
	id := strings.Trim(quoted, `"`)
	if !ok || id == "" {
		return fmt.Errorf("send: answered %q", answer)
	}
	step("accepted", "id %s", id)

	answer, err = get(ctx, "http://"+p.web+"/messages/wait?n=1&to=06222172&timeout="+stepLimit.String())
	if err != nil {
		return fmt.Errorf("at the SMSC: %w", err)
	}
	var arrived struct {
		Messages []struct{ ID, Operation, From, To, Text, Raw string }
	}
	if err := json.Unmarshal([]byte(answer), &arrived); err != nil {
		return fmt.Errorf("at the SMSC: %w", err)
	}
	if len(arrived.Messages) != 1 {
		return fmt.Errorf("at the SMSC: answered %q", answer)
	}
	m := arrived.Messages[0]
	step("at the SMSC", "%s from %q to %s: %q, SMSC id %s", m.Operation, m.From, m.To, m.Text, m.ID)
	step("", "PDU %s", m.Raw)

	// The two DLRs are calls of their own: either can come first, and a call can be repeated.
	statuses := map[string]string{"1": "ESME_ROK", "2": "DELIVRD"}
	for len(statuses) > 0 {
		d, err := dlrs.next(ctx)
		if err != nil {
			return fmt.Errorf("DLR: %w", err)
		}
		if d.Get("id") != id {
			return fmt.Errorf("DLR for %s: got %s", id, d.Encode())
		}
		level, status := d.Get("level"), d.Get("message_status")
		step("DLR level "+level, "id %s, message_status %s", d.Get("id"), status)
		if want, ok := statuses[level]; ok && status != want {
			return fmt.Errorf("DLR of level %s: message_status is %q, want %s", level, status, want)
		}
		delete(statuses, level)
	}
	step("done", "accepted, submitted, delivered, reported")
	return nil
}

func get(ctx context.Context, url string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, stepLimit+5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("answered %s: %s", resp.Status, body)
	}
	return string(body), err
}
