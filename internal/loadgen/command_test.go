package loadgen

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"jasmind/internal/smscsim"
)

var update = flag.Bool("update", false, "write the golden files")

// call runs the program with a space-separated command line.
func call(t *testing.T, format string, args ...any) (code int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var out, err bytes.Buffer
	code = Command{Version: "1.2.3", Stdout: &out, Stderr: &err}.Run(ctx, strings.Fields(fmt.Sprintf(format, args...)))
	return code, out.String(), err.String()
}

func TestUsage(t *testing.T) {
	tests := []struct {
		args           string
		code           int
		stdout, stderr string // what they contain
	}{
		{"", ExitUsage, "Usage:", ""},
		{"--help", ExitOK, "loadgen http [flags]", ""},
		{"--version", ExitOK, "loadgen 1.2.3\n", ""},
		{"http --help", ExitOK, "--pipeline", ""},
		{"smpp --help", ExitOK, "--window", ""},
		{"sink --help", ExitOK, "--listen", ""},
		{"--verify", ExitUsage, "", "verify"},
		{"ftp", ExitUsage, "", `"ftp" is none of http, smpp, sink`},
		{"http --window 3", ExitUsage, "", "-window"},
		{"http --count 1 extra", ExitUsage, "", `"extra"`},
		{"http", ExitUsage, "", "--count, --duration: at least one of them is needed"},
		{"http --count 1 --url ftp://x", ExitUsage, "", `--url "ftp://x"`},
		{"http --count 1 --connections 0", ExitUsage, "", "--connections 0: must be more than 0"},
		{"http --count 1 --dlr 4 --method PUT", ExitUsage, "", "--dlr 4: is not in 0..3"},
		{"http --count 1 --dlr 4 --method PUT", ExitUsage, "", `--method "PUT": is none of GET, POST`},
		{"http --count 1 --to x-y", ExitUsage, "", "--to: range \"x-y\""},
		{"http --count 1 --size 5 --parts 2", ExitUsage, "", "--size 5, --parts 2: only one of them"},
		{"http --count 1 --size 3", ExitUsage, "", "--content: 3 characters have no room for the tag"},
		{"http --count 1 --coding 8 --content 😀 --parts 2 --hex --run !", ExitUsage, "", `--run "!": must consist of letters and digits`},
		{"http --count 1 --smsc localhost", ExitUsage, "", `--smsc "localhost": must be a URL`},
		{"http --count 1 --pid x", ExitUsage, "", "must be name=PID"},
		{"http --count 1 --param x", ExitUsage, "", "must be name=value"},
		{"http --count 1 --rate -1", ExitUsage, "", "--rate -1: is not in 0..10000000"},
		{"http --count 1 --settle -1s", ExitUsage, "", "--settle -1s: is not in 0s..1000h"},
		{"http --count 1 --tls", ExitUsage, "", "must begin with https"},
		{"http --count 1 --tls-insecure", ExitUsage, "", "need --tls"},
		{"smpp --count 1 --tls --tls-ca /nowhere", ExitUsage, "", "--tls-ca: open /nowhere"},
		{"smpp --count 1 --engine x", ExitUsage, "", `--engine "x": is none of native, go-smpp, raw`},
		{"smpp --count 1 --receipts", ExitUsage, "", "--receipts: needs --bind trx, not tx"},
		{"smpp --count 1 --engine raw --rate 5", ExitUsage, "", "--rate 5: the engine raw has no pacing"},
		{"smpp --count 1 --password 123456789", ExitUsage, "", `--password "123456789": more than 8 octets`},
		{"smpp --count 1 --addr x", ExitUsage, "", `--addr "x": must be host:port`},
		{"--verify x", ExitUsage, "", "--verify, --smsc: both are needed"},
		{"sink --listen= ", ExitUsage, "", "--listen, --http: at least one of them is needed"},
		{"http --count 1 --pid x=999999999", ExitFailed, "", "--pid x=999999999"},
		{"http --count 1 --accepted-file /nowhere/f", ExitFailed, "", "--accepted-file: open /nowhere/f"},
		{"http --count 1 --dlr 1 --dlr-listen 192.0.2.1:1", ExitFailed, "", "--dlr-listen 192.0.2.1:1"},
		{"--verify /nowhere/f --smsc http://127.0.0.1:1", ExitFailed, "", "--verify: open /nowhere/f"},
	}
	for _, test := range tests {
		t.Run(test.args, func(t *testing.T) {
			code, stdout, stderr := call(t, "%s", test.args)
			if code != test.code || !strings.Contains(stdout, test.stdout) || !strings.Contains(stderr, test.stderr) || code != ExitOK && test.stdout == "" && stdout != "" {
				t.Errorf("exit code %d, stdout %q, stderr %q\nwant %d, %q, %q", code, stdout, stderr, test.code, test.stdout, test.stderr)
			}
		})
	}
}

// Every flag must be in the help text of its command, and every setting have a flag.
func TestHelpNamesEveryFlag(t *testing.T) {
	for _, command := range []string{HTTP, SMPP, cmdSink, cmdVerify} {
		f := declare(command, &Config{}, &options{})
		var b bytes.Buffer
		f.print(&b)
		f.VisitAll(func(g *flag.Flag) {
			if !strings.Contains(b.String(), "  --"+g.Name) {
				t.Errorf("%s: --%s is not in the help text", command, g.Name)
			}
		})
	}
}

func TestCommandAgainstSimulator(t *testing.T) {
	sim := simulator(t, smscsim.Config{})
	folder := t.TempDir()
	accepted, report := filepath.Join(folder, "accepted"), filepath.Join(folder, "report.json")
	code, stdout, stderr := call(t, "smpp --addr %s --username smppclient1 --password password --count 300 --warmup 20 --run abc --smsc http://%s --expect-all --max-duplicates 0 --accepted-file %s --json %s --pid self=%d --quiet",
		sim.Addr(), sim.HTTPAddr(), accepted, report, os.Getpid())
	if code != ExitOK || stderr != "" || !strings.Contains(stdout, "accepted         300,") || !strings.Contains(stdout, "lost             0") || !strings.Contains(stdout, "self") {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
	var rep Report
	b, err := os.ReadFile(report)
	if err == nil {
		err = json.Unmarshal(b, &rep)
	}
	if err != nil || rep.Accepted != 300 || rep.Warmup.Accepted != 20 || rep.Arrival.Arrived != 320 || len(rep.Processes) != 2 || rep.Processes[1].PeakRSS == 0 {
		t.Errorf("report %s, %v", b, err)
	}
	if b, _ := os.ReadFile(accepted); strings.Count(string(b), "\n") != 321 || !strings.HasPrefix(string(b), "# loadgen accepted run=abc\n") {
		t.Errorf("accepted file begins %.60q", b)
	}

	code, stdout, stderr = call(t, "--verify %s --smsc http://%s --json -", accepted, sim.HTTPAddr())
	var verdict struct {
		Run           string
		Arrived, Lost int
	}
	if err := json.Unmarshal([]byte(stdout), &verdict); err != nil || code != ExitOK || verdict.Run != "abc" || verdict.Arrived != 320 || verdict.Lost != 0 {
		t.Errorf("exit code %d, %v\n%s%s", code, err, stdout, stderr)
	}

	sim.ClearMessages() // as if all had been lost
	code, stdout, stderr = call(t, "--verify %s --smsc http://%s --settle 1ms", accepted, sim.HTTPAddr())
	if code != ExitFailed || !strings.Contains(stdout, "lost             320: 1-320") || !strings.Contains(stderr, ErrLost.Error()) {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}

	if err := os.WriteFile(accepted, []byte("# loadgen accepted run=abc\n1 x\nzwei x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, stderr = call(t, "--verify %s --smsc http://%s", accepted, sim.HTTPAddr())
	if code != ExitFailed || !strings.Contains(stderr, `line 3: "zwei" is not a message number`) {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

// A gateway that says Success and forgets the message is found out.
func TestCommandFindsLostMessages(t *testing.T) {
	sim := simulator(t, smscsim.Config{})
	s := startSendServer(t, nil)
	code, stdout, stderr := call(t, "http --url %s/send --username foo --password bar --count 50 --smsc http://%s --settle 1ms", s.URL, sim.HTTPAddr())
	if code != ExitFailed || !strings.Contains(stdout, "lost             50: 1-50") || !strings.Contains(stderr, ErrLost.Error()) {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
	code, _, stderr = call(t, "http --url %s/send --username foo --password bar --count 50 --smsc %s", s.URL, s.URL)
	if code != ExitFailed || !strings.Contains(stderr, "smsc-sim") {
		t.Errorf("a simulator that is none: exit code %d, %s", code, stderr)
	}
}

func TestCommandDemands(t *testing.T) {
	s := startSendServer(t, func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	code, stdout, stderr := call(t, "http --url %s/send --count 5 --expect-all", s.URL)
	if code != ExitFailed || !strings.Contains(stdout, "HTTP 403") || !strings.Contains(stderr, ErrNotAll.Error()) {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
	if code, _, stderr = call(t, "http --url %s/send --count 5", s.URL); code != ExitOK {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

func TestSink(t *testing.T) {
	sink, err := NewSink(SinkConfig{SMPP: "127.0.0.1:0", HTTP: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		sink.Serve(ctx)
	}()
	defer func() {
		cancel()
		<-done
	}()
	want := int64(0)
	for _, engine := range engines {
		rep := mustRun(t, Config{Protocol: SMPP, Addr: sink.SMPPAddr(), Engine: engine, Bind: "trx", To: "1", Count: 200, Window: 10, Timeout: patience})
		if want += 200; rep.Accepted != 200 || sink.Messages() != want {
			t.Errorf("%s: accepted %d, the sink has %d", engine, rep.Accepted, sink.Messages())
		}
	}
	for _, pipeline := range []int{1, 10} {
		cfg := httpConfig("http://" + sink.HTTPAddr() + "/send")
		cfg.Count, cfg.Pipeline, cfg.Method = 200, pipeline, "POST"
		rep := mustRun(t, cfg)
		if want += 200; rep.Accepted != 200 || sink.Messages() != want {
			t.Errorf("pipeline %d: accepted %d, the sink has %d", pipeline, rep.Accepted, sink.Messages())
		}
	}
	cfg := httpConfig("http://" + sink.HTTPAddr() + "/other")
	cfg.Count = 1
	if rep := mustRun(t, cfg); rep.Rejected != 1 {
		t.Errorf("another path: %+v", rep.Counts)
	}
}

// sample is a report with everything in it.
func sample() *Report {
	l := Latency{Count: 19990, Min: 0.2, Mean: 1.5, P50: 1.1, P90: 2.25, P99: 12.5, P999: 80, Max: 1234.5}
	return &Report{
		Format: ReportFormat, Run: "abc", Protocol: HTTP, Engine: HTTP, Target: "http://127.0.0.1:1401/send",
		Started: time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC), Interrupted: true, Connections: 10, Depth: 1, Rate: 5000, Parts: 3,
		Counts:  Counts{Sent: 20000, Accepted: 19990, Rejected: 7, Unanswered: 3, Requests: 20002, Retries: 2},
		Warmup:  Counts{Sent: 100, Accepted: 100, Requests: 100},
		Elapsed: 4.001, PerS: 4996.3, Latency: l, Lag: Latency{Count: 20000, P50: 0.01, Max: 0.02},
		Refused: []Reason{{`HTTP 503 Error "Queue is full, try again later"`, 7}}, Missing: []Reason{{"no answer in time", 3}},
		Connect: []Reason{{"connect: connection refused", 2}}, Opened: 12,
		Arrival:   &Arrival{Accepted: 20090, Arrived: 20088, Lost: 2, LostNumbers: [][2]uint64{{17, 17}, {300, 300}}, Duplicates: 5, Unexpected: 1, Elapsed: 4.2, PerS: 4759},
		Reports:   &Reports{IDs: 20090, First: Stage{true, 20090, 0, 1, l}, Final: Stage{true, 20080, 10, 0, l}, Intermediate: 4, Unknown: 1, Foreign: 2, Elapsed: 6, PerS: 6695},
		Processes: []ProcessUse{{"loadgen", 1, 0.5, 0.025013, 20e6, false}, {"jasmind", 2, 1.25, 0.062531, 50e6, false}, {Name: "redis", PID: 3, Gone: true}},
	}
}

// The JSON is a contract with those who read it: docs/loadgen.md.
func TestReportGolden(t *testing.T) {
	b, err := sample().JSON()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "report.json", b)
	var table bytes.Buffer
	sample().WriteText(&table)
	golden(t, "report.txt", table.Bytes())
	var back Report
	if err := json.Unmarshal(b, &back); err != nil {
		t.Error(err)
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
	}
}

func TestProgressLine(t *testing.T) {
	var b bytes.Buffer
	line := &progressLine{w: &b, terminal: true}
	line.show(Progress{Phase: "warming up", Counts: Counts{Accepted: 50, Rejected: 50, Unanswered: 1}, Total: 400, Elapsed: time.Second})
	line.show(Progress{Phase: "sending", Counts: Counts{Accepted: 1250}, Elapsed: 3 * time.Second, WantReport: true, Reports: 9})
	line.clear()
	want := "\r[#####...............]  25% warming up 50 accepted, 50/s, 50 rejected, 1 no answer" +
		"\r" + fmt.Sprintf("%-82s", "sending 1,250 accepted, 600/s, 9 reports") + "\r" + strings.Repeat(" ", 40) + "\r"
	if b.String() != want {
		t.Errorf("got\n%q\nwant\n%q", b.String(), want)
	}
	b.Reset()
	(&progressLine{w: &b}).show(Progress{Phase: "sending", Counts: Counts{Accepted: 5}, Total: 10, Elapsed: time.Second})
	if want := "[##########..........]  50% sending 5 accepted, 5/s\n"; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}
