package smscsim_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smscsim"
)

// lines is a writer whose text can be waited for.
type lines struct {
	mu      sync.Mutex
	text    strings.Builder
	changed chan struct{}
}

func newLines() *lines { return &lines{changed: make(chan struct{}, 1)} }

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(p)
	select {
	case l.changed <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// await waits until all of want are there.
func (l *lines) await(t *testing.T, want ...string) string {
	t.Helper()
	late := time.After(patience)
	for {
		text, missing := l.String(), ""
		for _, w := range want {
			if !strings.Contains(text, w) {
				missing = w
			}
		}
		if missing == "" {
			return text
		}
		select {
		case <-l.changed:
		case <-late:
			t.Fatalf("%q is missing in:\n%s", missing, text)
		}
	}
}

func command(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = smscsim.Command{Version: "1.2.3", Stdout: &out, Stderr: &errs}.Run(t.Context(), args)
	return code, out.String(), errs.String()
}

func TestCommandUsage(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct {
		args           string
		code           int
		stdout, stderr string
	}{
		{"--version", 0, "smsc-sim 1.2.3\n", ""},
		{"--help", 0, "--config", ""},
		{"--bogus", 2, "", "bogus"},
		{"extra", 2, "", `argument "extra"`},
		{"--id-format octal", 2, "", `id_format: "octal"`},
		{"--id-width 70 --log loud", 2, "", `log: "loud"`},
		{"--account foo", 2, "", "system_id/password"},
		{"--account foo/bar,window=x", 2, "", `window: "x"`},
		{"--account foo/bar,bind=sideways", 2, "", `accounts[0].bind_types: "sideways"`},
		{"--tls-cert x", 2, "", "tls_cert and tls_key"},
		{"--config " + filepath.Join(dir, "none"), 2, "", "none"},
		{"--config " + file("typo.yaml", "smpp: ':0'\nhtpp: none\n"), 2, "", "line 2: field htpp"},
		{"--config " + file("rule.yaml", "behaviour:\n  rules:\n  - answer: {status: never}\n"), 2, "", `rules[0].answer.status: "never"`},
		{"--behaviour " + file("b.json", `{"rules":1}`), 2, "", "b.json"},
		{"--smpp 127.0.0.1:0 --http nowhere", 1, "", "http address"},
		{"--smpp 127.0.0.1:0 --http none --tls-cert x --tls-key y", 1, "", "tls_cert x"},
		{"--smpp 127.0.0.1:0 --http none --ready-file " + filepath.Join(dir, "no", "file"), 1, "", "ready-file"},
	} {
		code, stdout, stderr := command(t, strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(stdout, c.stdout) || !strings.Contains(stderr, c.stderr) {
			t.Errorf("%s: exit code %d\nstdout %s\nstderr %s", c.args, code, stdout, stderr)
		}
	}
}

func TestCommandRuns(t *testing.T) {
	dir := t.TempDir()
	ready, config := filepath.Join(dir, "ready.json"), filepath.Join(dir, "sim.yaml")
	const yaml = `
smpp: 127.0.0.1:0
http: 127.0.0.1:0
id_start: 7
id_format: hex
receipt_retry: 2s
accounts:
  - {system_id: foo, password: bar, window: 5, bind_types: [transceiver]}
behaviour:
  receipt: {state: UNDELIV, err: 012, delay: 0s}
`
	if err := os.WriteFile(config, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	out, errs := newLines(), newLines()
	done := make(chan int, 1)
	go func() {
		done <- smscsim.Command{Version: "1", Stdout: out, Stderr: errs}.Run(ctx,
			[]string{"--config", config, "--ready-file", ready, "--id-start", "255"})
	}()
	errs.await(t, "SMPP on 127.0.0.1:", "control API http://127.0.0.1:")
	var addrs struct {
		SMPP, HTTP string
		TLS        bool
		PID        int
	}
	deadline := time.Now().Add(patience)
	for text, err := os.ReadFile(ready); ; text, err = os.ReadFile(ready) { // a file cannot be waited for
		if err == nil {
			if err := json.Unmarshal(text, &addrs); err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	s, _, err := smpp.Dial(t.Context(), "tcp", addrs.SMPP, smpp.DialConfig{Bind: pdu.Bind{SystemID: "foo", Password: "bar"}, Config: smpp.Config{
		Handler: smpp.HandlerFunc(func(_ *smpp.Session, r *smpp.Request) { r.Respond(0, nil) })}}) //nolint:errcheck // the log shows it
	if err != nil {
		t.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { ran <- s.Run(context.Background()) }()
	resp, err := s.Do(t.Context(), &pdu.SubmitSM{Message: asking(hello("4479"))})
	if err != nil || resp.PDU.(*pdu.SubmitSMResp).MessageID != "ff" {
		t.Fatalf("%+v, %v", resp, err)
	}
	log := out.await(t, "connected from", "foo bound as transceiver", `<- bind_transceiver seq=1 system_id="foo"`,
		`foo <- submit_sm seq=2 from="shop" to="4479" data_coding=0 registered_delivery=1 "hello"`,
		"foo -> submit_sm_resp seq=2 ESME_ROK id=ff", "-> deliver_sm", "stat:UNDELIV err:012", "<- deliver_sm_resp")
	if strings.Contains(log, "bar") {
		t.Errorf("the password is in the log:\n%s", log)
	}
	cancel()
	if code := <-done; code != 0 {
		t.Errorf("exit code %d, stderr:\n%s", code, errs)
	}
	if err := <-ran; err != smpp.ErrUnbound {
		t.Errorf("the session ended with %v", err)
	}
	if _, err := os.Stat(ready); !os.IsNotExist(err) {
		t.Errorf("the ready file is still there: %v", err)
	}
}

func TestLogSummarisesHighRates(t *testing.T) {
	for _, mode := range []string{smscsim.LogPDU, smscsim.LogSummary} {
		out := newLines()
		sim := start(t, smscsim.Config{Log: mode, LogRate: 5, LogTo: out})
		e := connect(t, sim, esmeOptions{})
		for range 200 {
			e.submit(t, hello("44"))
		}
		log := out.await(t, "== ", "/s submitted", "1 sessions")
		n := strings.Count(log, "seq=")
		if mode == smscsim.LogSummary && n > 0 || mode == smscsim.LogPDU && (n == 0 || n > 100 || !strings.Contains(log, "lines not shown")) {
			t.Errorf("%s: %d lines of PDUs in:\n%s", mode, n, log)
		}
	}
}
