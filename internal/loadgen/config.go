package loadgen

import (
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"jasmind/internal/smpp/pdu"
)

// The protocols.
const (
	HTTP = "http"
	SMPP = "smpp"
)

// The SMPP engines.
const (
	Native = "native"  // package smpp of this project
	GoSMPP = "go-smpp" // github.com/fiorix/go-smpp, for an independent judgement
	Raw    = "raw"     // the codec on a bare connection: what load tool, kernel and loopback allow
)

// Config says what to send where. Zero means the default; each field names its flag.
type Config struct {
	Protocol string // HTTP or SMPP

	URL         string      // http: of /send; --url
	Method      string      // http: GET (default) or POST; --method
	Connections int         // http: keep-alive connections; default 10; --connections
	Pipeline    int         // http: requests in flight on each connection; default 1; --pipeline
	Hex         bool        // http: send hex-content instead of content; --hex
	DLR         int         // http: dlr-level 1, 2 or 3, 0 for no delivery reports; --dlr
	DLRMethod   string      // http: how the gateway reports, GET (default) or POST; --dlr-method
	DLRListen   string      // http: where reports are received; default 127.0.0.1:0; --dlr-listen
	DLRURL      string      // http: what the gateway is told; default made of the bound address; --dlr-url
	Params      [][2]string // http: more parameters of /send, sent as they are; --param

	Addr       string // smpp: host:port; --addr
	Engine     string // smpp: Native (default), GoSMPP or Raw; --engine
	Bind       string // smpp: tx (default) or trx; --bind
	Binds      int    // smpp: sessions, of each ESME; default 1; --binds
	ESMEs      int    // smpp: system_ids that bind, Username followed by 1, 2, ...; 0: Username alone; --esmes
	Window     int    // smpp: submit_sm in flight on each session; default 10; --window
	SystemType string // smpp: system_type of the bind; --system-type
	Receipts   bool   // smpp: ask for delivery receipts and count them; needs trx; --receipts

	TLS      *tls.Config // nil for plain connections unless URL is https; --tls, --tls-ca, --tls-insecure
	Username string      // or system_id; --username
	Password string      // --password

	From    string // source address; "" sends none; --from
	To      string // destination, 06222172, or drawn from a range, 06222000-06222999; --to
	Content string // text after the tag; {n} and {to} are replaced; default "load test message"; --content
	Size    int    // characters of the whole text, tag included, filled up or cut; 0 for as it comes; --size
	Parts   int    // short messages that the text must fill; 0 for as it comes; --parts
	Coding  int    // data_coding 0 to 255; --coding

	Count    int           // messages, warm-up not included; 0 for no limit; --count
	Duration time.Duration // time to send; 0 for no limit; --duration
	Rate     float64       // messages a second; 0 for as fast as the answers allow; --rate
	Warmup   int           // messages sent and answered before anything is measured; --warmup

	Retries     int           // how often a message that was refused for now (503, ESME_RMSGQFUL, ESME_RTHROTTLED) is sent again; --retries
	RetryDelay  time.Duration // pause before; default 1s; --retry-delay
	Timeout     time.Duration // wait for an answer; default 60s; --timeout
	ConnectWait time.Duration // how long a lost connection is tried again; default 30s; --connect-wait
	Grace       time.Duration // wait for answers after an early end; default 5s; --grace

	Run          string        // letters and digits, 1 to 16; default drawn at random; --run
	SMSC         string        // smsc-sim's HTTP API, to count arrivals; "" for none; --smsc
	Settle       time.Duration // arrivals and reports are awaited until none came for so long; default 10s; --settle
	AcceptedFile string        // gets number and id of every accepted message; "" for none; --accepted-file
	Processes    []Process     // whose CPU time and memory are reported; --pid

	Progress      func(Progress) // called every ProgressEvery while Run runs; nil for none
	ProgressEvery time.Duration  // default 1s
}

// Process is a process to watch.
type Process struct {
	Name string
	PID  int
}

const (
	maxConnections = 10_000
	maxWindow      = 100_000
	maxNumber      = 1 << 32 // of messages: bitmaps are bounded by it
	maxParts       = 255
	maxSize        = 39015 // characters in 255 parts
)

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
	duration := func(v *time.Duration, d time.Duration) {
		if *v == 0 {
			*v = d
		}
	}
	text(&c.Method, "GET")
	text(&c.DLRMethod, "GET")
	text(&c.DLRListen, "127.0.0.1:0")
	text(&c.Engine, Native)
	text(&c.Bind, "tx")
	text(&c.Content, "load test message")
	text(&c.Run, randomRun())
	number(&c.Connections, 10)
	number(&c.Pipeline, 1)
	number(&c.Binds, 1)
	number(&c.Window, 10)
	duration(&c.RetryDelay, time.Second)
	duration(&c.Timeout, time.Minute)
	duration(&c.ConnectWait, 30*time.Second)
	duration(&c.Grace, 5*time.Second)
	duration(&c.Settle, 10*time.Second)
	duration(&c.ProgressEvery, time.Second)
	return c
}

// randomRun is a run name that no other run has, for practical purposes.
func randomRun() string {
	const letters = "abcdefghijkmnpqrstuvwxyz23456789"
	b := make([]byte, 7)
	for i := range b {
		b[i] = letters[rand.IntN(len(letters))]
	}
	return string(b)
}

// Validate reports every fault at once, by flag. Zero values are good where they have a default.
func (c Config) Validate() error {
	c = c.withDefaults()
	var f faults
	switch c.Protocol {
	case HTTP:
		c.validateHTTP(&f)
	case SMPP:
		c.validateSMPP(&f)
	default:
		f.add("protocol: %q is neither http nor smpp", c.Protocol)
	}
	if _, err := parseDestinations(c.To); err != nil {
		f.add("--to: %w", err)
	}
	f.between("size", c.Size, 0, maxSize)
	f.between("parts", c.Parts, 0, maxParts)
	f.between("coding", c.Coding, 0, 255)
	if c.Size > 0 && c.Parts > 0 {
		f.add("--size %d, --parts %d: only one of them", c.Size, c.Parts)
	}
	if len(f) == 0 {
		if _, err := newMaker(c); err != nil {
			f.add("--content: %w", err)
		}
	}
	c.validateLoad(&f)
	c.validateChecks(&f)
	return errors.Join(f...)
}

func (c Config) validateHTTP(f *faults) {
	if _, err := parseTarget(c.URL); err != nil {
		f.add("--url %q: %w", c.URL, err)
	}
	f.oneOf("method", c.Method, "GET", "POST")
	f.oneOf("dlr-method", c.DLRMethod, "GET", "POST")
	f.between("connections", c.Connections, 1, maxConnections)
	f.between("pipeline", c.Pipeline, 1, 1000)
	f.between("dlr", c.DLR, 0, 3)
	if _, _, err := net.SplitHostPort(c.DLRListen); err != nil {
		f.add("--dlr-listen %q: must be host:port", c.DLRListen)
	}
	if c.DLRURL != "" {
		if u, err := url.Parse(c.DLRURL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			f.add("--dlr-url %q: must be an http URL", c.DLRURL)
		}
	}
}

func (c Config) validateSMPP(f *faults) {
	if host, port, err := net.SplitHostPort(c.Addr); err != nil || host == "" || port == "" {
		f.add("--addr %q: must be host:port", c.Addr)
	}
	f.oneOf("engine", c.Engine, Native, GoSMPP, Raw)
	f.oneOf("bind", c.Bind, "tx", "trx")
	f.between("binds", c.Binds, 1, maxConnections)
	f.between("esmes", c.ESMEs, 0, maxConnections)
	if n := c.connections(); n > maxConnections {
		f.add("--esmes %d, --binds %d: %d sessions are more than %d", c.ESMEs, c.Binds, n, maxConnections)
	}
	if c.ESMEs > 0 && c.Engine != Native {
		f.add("--esmes %d: needs --engine native, not %s", c.ESMEs, c.Engine)
	}
	if c.ESMEs > 0 && c.From != "" {
		f.add("--esmes %d, --from %q: the source address is the system_id then", c.ESMEs, c.From)
	}
	if name := c.systemID(c.ESMEs - 1); len(name) > 15 {
		f.add("--username %q: %q is longer than 15 octets", c.Username, name)
	}
	f.between("window", c.Window, 1, maxWindow)
	if c.Receipts && c.Bind != "trx" {
		f.add("--receipts: needs --bind trx, not %s", c.Bind)
	}
	if c.Engine == Raw && c.Rate > 0 {
		f.add("--rate %v: the engine raw has no pacing", c.Rate)
	}
	for _, s := range []struct {
		flag, value string
		most        int
	}{{"username", c.Username, 15}, {"password", c.Password, 8}, {"system-type", c.SystemType, 12}, {"from", c.From, 20}} {
		if len(s.value) > s.most {
			f.add("--%s %q: more than %d octets", s.flag, s.value, s.most)
		}
	}
}

func (c Config) validateLoad(f *faults) {
	f.between("count", c.Count, 0, maxNumber/2)
	f.between("warmup", c.Warmup, 0, maxNumber/4)
	if c.Count == 0 && c.Duration == 0 {
		f.add("--count, --duration: at least one of them is needed")
	}
	if !(c.Rate >= 0 && c.Rate <= 1e7) {
		f.add("--rate %v: is not in 0..10000000", c.Rate)
	}
	f.between("retries", c.Retries, 0, math.MaxInt32)
	for _, d := range []struct {
		flag  string
		value time.Duration
	}{{"duration", c.Duration}, {"retry-delay", c.RetryDelay}, {"timeout", c.Timeout}, {"connect-wait", c.ConnectWait}, {"grace", c.Grace}, {"settle", c.Settle}} {
		if d.value < 0 || d.value > 1000*time.Hour {
			f.add("--%s %s: is not in 0s..1000h", d.flag, d.value)
		}
	}
}

func (c Config) validateChecks(f *faults) {
	if err := validRun(c.Run); err != nil {
		f.add("--run %q: %w", c.Run, err)
	}
	if c.SMSC != "" {
		if err := validSMSC(c.SMSC); err != nil {
			f.add("--smsc %q: %w", c.SMSC, err)
		}
	}
	for _, p := range c.Processes {
		if p.PID <= 0 || p.Name == "" {
			f.add("--pid %s=%d: must be NAME=PID", p.Name, p.PID)
		}
	}
}

// validRun reports a run name that cannot stand in a tag of any alphabet.
func validRun(run string) error {
	if len(run) < 1 || len(run) > 16 {
		return errors.New("must have 1 to 16 characters")
	}
	for _, r := range run {
		if !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9') {
			return errors.New("must consist of letters and digits")
		}
	}
	return nil
}

// coding is the data_coding as the protocol packages name it.
func (c Config) coding() pdu.DataCoding { return pdu.DataCoding(c.Coding) }

// connections is how many connections are opened, whatever the protocol.
func (c Config) connections() int {
	if c.Protocol == SMPP {
		return c.Binds * max(c.ESMEs, 1)
	}
	return c.Connections
}

// systemID is the system_id of the i-th ESME.
func (c Config) systemID(i int) string {
	if c.ESMEs == 0 {
		return c.Username
	}
	return c.Username + strconv.Itoa(i+1)
}

// depth is how much may be in flight on each.
func (c Config) depth() int {
	if c.Protocol == SMPP {
		return c.Window
	}
	return c.Pipeline
}

// faults gathers what is wrong.
type faults []error

func (f *faults) add(format string, args ...any) { *f = append(*f, fmt.Errorf(format, args...)) }

func (f *faults) between(flag string, v, low, high int) {
	if v < low || v > high {
		f.add("--%s %d: is not in %d..%d", flag, v, low, high)
	}
}

func (f *faults) oneOf(flag, v string, values ...string) {
	if !slices.Contains(values, v) {
		f.add("--%s %q: is none of %s", flag, v, strings.Join(values, ", "))
	}
}
