package loadgen

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"jasmind/internal/smscsim"
)

func TestCheck(t *testing.T) {
	good := func() *Report {
		return &Report{Counts: Counts{Sent: 2, Accepted: 2}, Arrival: &Arrival{Accepted: 2, Arrived: 2}, Reports: &Reports{}}
	}
	for _, test := range []struct {
		name string
		edit func(*Report)
		all  Demand
		want []error
	}{
		{"all is well", func(*Report) {}, Demand{All: true}, nil},
		{"lost", func(r *Report) { r.Arrival.Lost = 1 }, Demand{Duplicates: -1}, []error{ErrLost}},
		{"twice, and nobody minds", func(r *Report) { r.Arrival.Duplicates = 7 }, Demand{Duplicates: -1}, nil},
		{"twice, as often as allowed", func(r *Report) { r.Arrival.Duplicates = 7 }, Demand{Duplicates: 7}, nil},
		{"twice too often", func(r *Report) { r.Arrival.Duplicates = 8 }, Demand{Duplicates: 7}, []error{ErrDuplicates}},
		{"nothing sent", func(r *Report) { r.Counts = Counts{} }, Demand{}, []error{ErrNothing}},
		{"a fault", func(r *Report) { r.Fault = "x" }, Demand{}, []error{ErrEnded}},
		{"rejected", func(r *Report) { r.Rejected = 1 }, Demand{All: true}, []error{ErrNotAll}},
		{"unanswered", func(r *Report) { r.Unanswered = 1 }, Demand{All: true}, []error{ErrNotAll}},
		{"rejected in the warm-up", func(r *Report) { r.Warmup.Rejected = 1 }, Demand{All: true}, []error{ErrNotAll}},
		{"unanswered in the warm-up", func(r *Report) { r.Warmup.Unanswered = 1 }, Demand{All: true}, []error{ErrNotAll}},
		{"no report of level 1", func(r *Report) { r.Reports.First.Missing = 1 }, Demand{All: true}, []error{ErrNotAll}},
		{"no final report", func(r *Report) { r.Reports.Final.Missing = 1 }, Demand{All: true}, []error{ErrNotAll}},
		{"missing, and nobody minds", func(r *Report) { r.Rejected, r.Reports.Final.Missing = 1, 1 }, Demand{}, nil},
		{"several at once", func(r *Report) { r.Fault, r.Arrival.Lost, r.Reports.Misdirected = "x", 1, 1 }, Demand{}, []error{ErrEnded, ErrLost, ErrMisdirected}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := good()
			test.edit(r)
			if got, want := r.Check(test.all), errors.Join(test.want...); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

// What the golden report does not show.
func TestReportText(t *testing.T) {
	rep := &Report{Run: "abc", Protocol: SMPP, Engine: Raw, Target: "127.0.0.1:2775", Connections: 2, Depth: 10, Fault: "smpp: bind: refused", Interrupted: true,
		Arrival: &Arrival{LostNumbers: [][2]uint64{{1, 1}, {3, 9}, {11, 11}, {13, 13}, {15, 15}, {17, 17}}},
		Reports: &Reports{IDs: 5, Misdirected: 1, Untracked: 2}}
	for i := range 22 {
		rep.Refused = append(rep.Refused, Reason{fmt.Sprint("reason ", i), 1})
	}
	var b bytes.Buffer
	rep.WriteText(&b)
	for _, want := range []string{
		"run abc: smpp (raw), 127.0.0.1:2775, 2 x 10 in flight\n", "  ended early      smpp: bind: refused\n", "1   reason 19\n", "and 2 other reasons\n",
		"  lost             0: 1, 3-9, 11, 13, 15, ...\n", "  misdirected      1 went to another ESME\n", "  not tracked      2: there was no room for more ids\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
	for _, unwanted := range []string{"reason 20", "interrupted", "level 1", "final"} {
		if strings.Contains(b.String(), unwanted) {
			t.Errorf("%q is in\n%s", unwanted, b.String())
		}
	}
}

func TestFiguresForPeople(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", -1000: "-1,000", -100: "-100", 1234567: "1,234,567"} {
		if got := grouped(n); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
	for v, want := range map[float64]string{0.0004: "0.000ms", 9.9994: "9.999ms", 10: "10.0ms", 999.94: "999.9ms", 1234.5: "1.23s"} {
		if got := ms(v); got != want {
			t.Errorf("%v: got %s, want %s", v, got, want)
		}
	}
	if got := perSecond(5, 0); got != 0 {
		t.Errorf("in no time: %v a second", got)
	}
}

// The reasons of a table are the same for all connections: they name neither ports nor numbers of their own.
func TestDescribe(t *testing.T) {
	for in, want := range map[string]string{
		"read tcp 127.0.0.1:50000->127.0.0.1:1401: read: connection reset by peer": "read: connection reset by peer",
		"a->b":              "a->b",
		"plain\r\n reason":  "plain reason",
		"dial tcp 1: first": "dial tcp 1: first",
	} {
		if got := describe(errors.New(in)); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
	if got := clean(strings.Repeat("ä", 200)); got != strings.Repeat("ä", 60)+"..." {
		t.Errorf("a long text becomes %q", got)
	}
}

func TestSuccessID(t *testing.T) {
	for body, want := range map[string]string{
		`Success "x-1"`: "x-1", "Success \"x\"\r\n": "x", `Success ""`: "", `Success "x`: "", `Success x`: "", `Success "a" "b"`: "", `Success "a b"`: "", "": "", `Error "x"`: "",
	} {
		if id, ok := successID(answer{status: 200, body: []byte(body)}); id != want || ok != (want != "") {
			t.Errorf("%q: got %q, %v", body, id, ok)
		}
	}
	for _, a := range []answer{{status: 201, body: []byte(`Success "x"`)}, {status: 200, body: []byte(`Success "x"`), cut: true}} {
		if id, ok := successID(a); ok {
			t.Errorf("%+v: got %q", a, id)
		}
	}
}

func TestParseTarget(t *testing.T) {
	for in, want := range map[string]target{
		"http://h/send":       {addr: "h:80", host: "h", path: "/send"},
		"https://h":           {addr: "h:443", host: "h", path: "/", secure: true},
		"http://h:1401/s?a=b": {addr: "h:1401", host: "h:1401", path: "/s?a=b"},
		"http://[::1]:1/send": {addr: "[::1]:1", host: "[::1]:1", path: "/send"},
	} {
		if got, err := parseTarget(in); err != nil || *got != want {
			t.Errorf("%s: got %+v, %v; want %+v", in, got, err, want)
		}
	}
	for in, want := range map[string]string{"": "must be a URL", "ftp://h/": "must be a URL", "http:///send": "must be a URL", "http://foo:bar@h/send": "use --username and --password", "http://h:x/": "invalid port"} {
		if got, err := parseTarget(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %+v, %v; want %s", in, got, err, want)
		}
	}
}

// Whoever uses the package gets what the flags would have refused.
func TestValidateAndMaker(t *testing.T) {
	for _, test := range []struct {
		name string
		edit func(*Config)
		want string
	}{
		{"a protocol", func(c *Config) { c.Protocol = "ftp" }, `protocol: "ftp" is neither http nor smpp`},
		{"dlr-listen", func(c *Config) { c.DLRListen = "x" }, `--dlr-listen "x": must be host:port`},
		{"dlr-url without a host", func(c *Config) { c.DLRURL = "/page" }, `--dlr-url "/page": must be an http URL`},
		{"dlr-url of another scheme", func(c *Config) { c.DLRURL = "ftp://h/page" }, `--dlr-url "ftp://h/page": must be an http URL`},
		{"a process", func(c *Config) { c.Processes = []Process{{"", 1}} }, "--pid =1: must be NAME=PID"},
		{"no run is longer", func(c *Config) { c.Run = "a2345678901234567" }, "must have 1 to 16 characters"},
		{"a text that the coding lacks", func(c *Config) { c.Content, c.Protocol = "ф", SMPP }, "--content: "},
		{"parts of characters of two sizes", func(c *Config) { c.Content, c.Parts = "{n}€", 2 }, "the text makes 3 parts instead of 2"},
		{"too long a text", func(c *Config) { c.Content = strings.Repeat("x", 40000) }, "parts, more than 255"},
		{"all faults at once", func(c *Config) { c.Method, c.Rate = "PUT", -1 }, "--rate -1: is not in 0..10000000"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := Config{Protocol: HTTP, URL: "http://127.0.0.1:1/send", Addr: "127.0.0.1:1", To: "1", Count: 1}
			test.edit(&cfg)
			if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
			if rep, err := Run(t.Context(), cfg); err == nil {
				t.Errorf("it ran: %+v", rep)
			}
		})
	}
	// One part is the whole of a short message, whatever the alphabet.
	for coding, want := range map[int]int{0: 160, 8: 70} {
		m, err := newMaker(Config{Protocol: SMPP, To: "1", Parts: 1, Coding: coding, Count: 1, Run: "r"})
		if err != nil {
			t.Fatal(err)
		}
		if got := len([]rune(string(m.text(nil, 1, "1")))); m.parts != 1 || got != want {
			t.Errorf("coding %d: %d parts of %d characters, want 1 of %d", coding, m.parts, got, want)
		}
	}
}

// Numbers end where the bitmaps do.
func TestScheduleEnds(t *testing.T) {
	now := time.Now()
	s := &schedule{first: maxNumber - 1, start: now}
	if n, _, ok := s.take(now); !ok || n != maxNumber-1 {
		t.Errorf("got %d, %v", n, ok)
	}
	if n, _, ok := s.take(now); ok {
		t.Errorf("got %d beyond the last", n)
	}
	if got := new(bitmap).max(); got != 0 {
		t.Errorf("the highest of none is %d", got)
	}
}

func TestCommandWithJSONOnStdout(t *testing.T) {
	sim := simulator(t, smscsim.Config{})
	s := startSendServer(t, nil)
	code, stdout, stderr := call(t, "http --url %s/send --count 3 --quiet --json -", s.URL)
	var rep Report
	if err := json.Unmarshal([]byte(stdout), &rep); err != nil || code != ExitOK || rep.Accepted != 3 || !strings.Contains(stderr, "accepted         3,") {
		t.Errorf("exit code %d, %v\nstdout %s\nstderr %s", code, err, stdout, stderr)
	}
	path := filepath.Join(t.TempDir(), "accepted")
	code, _, stderr = call(t, "smpp --addr %s --username smppclient1 --password password --count 2 --run one --quiet --accepted-file %s", sim.Addr(), path)
	if code != ExitOK {
		t.Fatalf("exit code %d, %s", code, stderr)
	}
	code, _, _ = call(t, "smpp --addr %s --username smppclient1 --password password --count 2 --run one --quiet", sim.Addr()) // each a second time
	if code != ExitOK {
		t.Fatalf("exit code %d", code)
	}
	code, _, stderr = call(t, "--verify %s --smsc http://%s --max-duplicates 1", path, sim.HTTPAddr())
	if code != ExitFailed || !strings.Contains(stderr, ErrDuplicates.Error()) {
		t.Errorf("exit code %d, %s", code, stderr)
	}
	code, stdout, stderr = call(t, "--verify x --help")
	if code != ExitOK || !strings.HasPrefix(stdout, "Usage: loadgen --verify FILE --smsc URL [flags]\n") || stderr != "" {
		t.Errorf("exit code %d, %s%s", code, stdout, stderr)
	}
}

// lines is where a program writes; each is told of.
type lines chan string

func (l lines) Write(b []byte) (int, error) {
	l <- string(b)
	return len(b), nil
}

func TestCommandSink(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, progress := make(lines, 10), make(lines, 1000)
	done := make(chan int)
	go func() {
		done <- Command{Stdout: out, Stderr: progress}.Run(ctx, []string{"sink", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"})
	}()
	addr := strings.TrimSuffix(strings.TrimPrefix(<-out, "smpp "), "\n")
	url := strings.TrimSuffix(strings.TrimPrefix(<-out, "http "), "\n")
	mustRun(t, Config{Protocol: SMPP, Addr: addr, To: "1", Count: 1500, Timeout: patience})
	cfg := httpConfig(url)
	cfg.Count = 1
	mustRun(t, cfg)
	total := int64(0)
	for total < 1501 { // a line a second while something comes
		line := <-progress
		var n string
		if _, err := fmt.Sscanf(line, "%s messages, ", &n); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if _, err := fmt.Sscan(strings.ReplaceAll(n, ",", ""), &total); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if last := <-out; last != "messages 1,501\n" {
		t.Errorf("in the end it says %q", last)
	}
	if code := <-done; code != ExitOK {
		t.Errorf("exit code %d", code)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if code, _, stderr := call(t, "sink --listen %s", taken.Addr()); code != ExitFailed || !strings.HasPrefix(stderr, "loadgen: --listen "+taken.Addr().String()+": ") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

func TestHTTPS(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `Success "1"`) }))
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.StartTLS()
	defer s.Close()
	folder := t.TempDir()
	ca, empty := filepath.Join(folder, "ca.pem"), filepath.Join(folder, "empty.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := errors.Join(os.WriteFile(ca, block, 0o600), os.WriteFile(empty, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		flags string
		code  int
		want  string // on stderr
	}{
		{"--tls-ca " + ca, ExitOK, ""},
		{"--tls --tls-insecure", ExitOK, ""},
		{"", ExitFailed, "certificate signed by unknown authority"},
		{"--tls-ca " + empty, ExitUsage, "--tls-ca " + empty + ": holds no certificate"},
	} {
		code, stdout, stderr := call(t, "http --url %s/send --count 3 --connections 1 --quiet %s", s.URL, test.flags)
		if code != test.code || !strings.Contains(stderr, test.want) || code == ExitOK && !strings.Contains(stdout, "accepted         3,") {
			t.Errorf("%q: exit code %d\n%s%s", test.flags, code, stdout, stderr)
		}
	}
}

// A server may close a connection that is idle between a refusal and the next try: no message is lost to that.
// One that it does not close goes on being used.
func TestHTTPIdleConnection(t *testing.T) {
	for _, closes := range []bool{true, false} {
		g := startGateway(t, func(n int, conn net.Conn) {
			serveSend(conn, func(i int) (string, bool) {
				if n == 0 && i == 1 {
					return "HTTP/1.1 503 Later\r\nContent-Length: 0\r\n\r\n", !closes
				}
				return good, true
			})
		})
		cfg := httpConfig(g.url)
		cfg.Count, cfg.Retries, cfg.RetryDelay = 1, 1, 1100*time.Millisecond
		if rep := mustRun(t, cfg); rep.Accepted != 1 || rep.Opened == 2 != closes || rep.Retries != 1 {
			t.Errorf("closes %v: report %+v %v, opened %d", closes, rep.Counts, rep.Missing, rep.Opened)
		}
	}
}

// A process that ends during the run is told of, and does not spoil the report.
func TestProcessThatEnds(t *testing.T) {
	sleeping := exec.CommandContext(t.Context(), "sleep", "600")
	if err := sleeping.Start(); err != nil {
		t.Skip(err)
	}
	s := startSendServer(t, func(n int, w http.ResponseWriter, _ *http.Request) {
		if n == 2 {
			sleeping.Process.Kill()
			sleeping.Wait() //nolint:errcheck // it was killed
		}
		fmt.Fprintf(w, `Success "%d"`, n)
	})
	cfg := httpConfig(s.URL + "/send")
	cfg.Count, cfg.Processes = 3, []Process{{"sleep", sleeping.Process.Pid}}
	rep := mustRun(t, cfg)
	if len(rep.Processes) != 2 || !rep.Processes[1].Gone || rep.Processes[0].Gone {
		t.Errorf("processes %+v", rep.Processes)
	}
}

// Progress names the phases in their order, and how much of what is known is done.
func TestProgressPhases(t *testing.T) {
	sim := simulator(t, smscsim.Config{})
	var phases []string
	var last Progress
	cfg := smppConfig(sim)
	cfg.Bind, cfg.Receipts, cfg.Rate, cfg.Warmup, cfg.Count, cfg.ProgressEvery = "trx", true, 500, 50, 50, time.Millisecond
	cfg.Progress = func(p Progress) {
		if !slices.Contains(phases, p.Phase) {
			phases = append(phases, p.Phase)
		}
		last = p
	}
	mustRun(t, cfg)
	order := []string{"connecting", "warming up", "sending", "settling"}
	if !slices.IsSortedFunc(phases, func(a, b string) int { return slices.Index(order, a) - slices.Index(order, b) }) || !slices.Contains(phases, "warming up") || !slices.Contains(phases, "sending") {
		t.Errorf("phases %q", phases)
	}
	if last.Total != 100 || !last.WantReport || last.Accepted == 0 || last.Elapsed == 0 {
		t.Errorf("the last progress is %+v", last)
	}
}
