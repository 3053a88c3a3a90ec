// Package config reads jasmin.cfg: the INI file of the original under its section and key
// names, and the environment, which wins (SECTION_KEY in capitals, dashes as underscores:
// HTTP_API_PORT). Every fault is reported at once, with file and line.
//
// Each key is declared once, in table.go: its name, default and meaning, how it is read, and the fields that it
// fills, which are those of the Config of the package that it is for.
package config

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gopkg.in/ini.v1"

	"jasmind/internal/admission"
	"jasmind/internal/certs"
	"jasmind/internal/connector"
	"jasmind/internal/deadletter"
	"jasmind/internal/dlr"
	"jasmind/internal/httpapi"
	"jasmind/internal/intercept"
	"jasmind/internal/jcli"
	"jasmind/internal/localdb"
	"jasmind/internal/logging"
	"jasmind/internal/mo"
	"jasmind/internal/mt"
	"jasmind/internal/queue/rabbit"
	"jasmind/internal/smppserver"
	"jasmind/internal/store/redis"
	"jasmind/internal/throw"
)

// Mode says what holds queues and records.
type Mode string

// The modes of [gateway] mode.
const (
	Embedded Mode = "embedded" // a database of our own, nothing to install
	Services Mode = "services" // RabbitMQ and Redis
)

// ClientTLS says whether connections to a service are secured, and how.
type ClientTLS struct {
	On bool // ssl
	certs.Client
}

// Config is everything jasmin.cfg and the environment say, defaults filled in.
type Config struct {
	Mode    Mode
	ModeWhy string // in words, for the start-up line
	File    string // "" when there is none

	Paths Paths

	ShutdownTimeout time.Duration // [gateway] shutdown_timeout

	Database localdb.Config

	Logins    admission.LoginConfig
	Budget    admission.BudgetConfig
	OpenFiles int // [admission] open_files, 0: what the system allows

	HTTP    httpapi.Config
	HTTPLog logging.Config
	Access  logging.Config
	MT      mt.Config

	Connector   connector.Config // what all connectors share
	MO          mo.Config
	ListenerLog logging.Config

	DLR    dlr.Config
	DLRLog logging.Config

	MOThrower    throw.Config
	MOThrowerLog logging.Config

	DLRThrower    throw.Config
	SMPPSThrower  throw.SMPPSConfig
	DLRThrowerLog logging.Config

	SMPPServer    smppserver.Config
	SMPPServerLog logging.Config

	DeadLetters deadletter.Config

	Broker    rabbit.Config // but TLS
	BrokerTLS ClientTLS
	BrokerLog logging.Config

	Redis    redis.Config // but TLS
	RedisTLS ClientTLS
	RedisLog logging.Config

	Console         jcli.Config
	ConsoleLog      logging.Config
	ConsoleDisabled bool          // --disable-jcli
	PersistEvery    time.Duration // [router] persistence_timer_secs, 0: never

	Interceptor    intercept.Config
	InterceptorLog logging.Config

	LogLimits  logging.Limits // [logs]
	ManagerLog logging.Config // [client-management]: the gateway's own log
	ServiceLog logging.Config // [service-smppclient]: connectors started and stopped
	RouterLog  logging.Config // [router]: routing, charges, what is configured

	managementStore string // [client-management] store_path

	// Unserved are keys that file or environment set to something but their default and
	// that have no effect, each with the reason.
	Unserved []string
}

// Paths are the folders of the gateway (ROOT_PATH, CONFIG_PATH, LOG_PATH, STORE_PATH).
type Paths struct {
	Root, Config, Log, Store, Data string
}

// Fault is one thing wrong with the configuration.
type Fault struct {
	Source  string // file:line, or the environment variable
	Section string
	Key     string
	Err     error
}

// Error names the place, section, key and what is wrong.
func (f *Fault) Error() string {
	where := "[" + f.Section + "]"
	if f.Key != "" {
		where += " " + f.Key
	}
	return f.Source + ": " + where + ": " + f.Err.Error()
}

// Unwrap gives the cause.
func (f *Fault) Unwrap() error { return f.Err }

// Environment looks a variable up, like os.LookupEnv.
type Environment func(name string) (string, bool)

// Options say where to look.
type Options struct {
	File        string // -c; "": CONFIG_PATH's jasmin.cfg if it is there
	Environment Environment
	Root        bool // whether the process may write everywhere
}

// Load reads the configuration. The error joins one *Fault for each thing wrong.
func Load(o Options) (*Config, error) {
	if o.Environment == nil {
		o.Environment = os.LookupEnv
	}
	c := &Config{}
	found, err := c.locate(o)
	if err != nil {
		return nil, err
	}
	l := &loader{cfg: c, keys: table(c), env: o.Environment, explicit: make(map[id]value)}
	if found {
		if err := l.readFile(c.File); err != nil {
			return nil, err
		}
	}
	l.apply()
	l.chooseStore()
	c.chooseMode(l)
	if len(l.faults) > 0 {
		slices.SortStableFunc(l.faults, func(a, b *Fault) int { return compareSource(a.Source, b.Source) })
		errs := make([]error, len(l.faults))
		for i, f := range l.faults {
			errs[i] = f
		}
		return nil, errors.Join(errs...)
	}
	return c, nil
}

// locate finds the file and the folders. Without root rights or a configuration everything
// is kept under ./jasmin-data.
func (c *Config) locate(o Options) (found bool, err error) {
	env := func(name string) string { v, _ := o.Environment(name); return v }
	root := env("ROOT_PATH")
	p := &c.Paths
	p.Root = root
	if p.Root == "" {
		p.Root = "/"
	}
	p.Config = orElse(env("CONFIG_PATH"), filepath.Join(p.Root, "etc/jasmin"))
	c.File = o.File
	if c.File == "" {
		c.File = filepath.Join(p.Config, "jasmin.cfg")
	}
	switch _, err := os.Stat(c.File); {
	case err == nil:
		found = true
	case o.File != "":
		return false, fmt.Errorf("configuration file %s: %w", o.File, err)
	default:
		c.File = ""
	}
	portable := root == "" && (!o.Root || !found)
	if portable {
		p.Data = "jasmin-data"
		p.Log = orElse(env("LOG_PATH"), filepath.Join(p.Data, "log"))
		p.Store = orElse(env("STORE_PATH"), filepath.Join(p.Data, "store"))
		return found, nil
	}
	p.Data = filepath.Join(p.Root, "var/lib/jasmin")
	p.Log = orElse(env("LOG_PATH"), filepath.Join(p.Root, "var/log/jasmin"))
	p.Store = orElse(env("STORE_PATH"), filepath.Join(p.Config, "store"))
	return found, nil
}

// chooseMode applies the rule of [gateway] mode: what it says, else embedded when nothing
// names a broker or a Redis.
func (c *Config) chooseMode(l *loader) {
	if v, ok := l.explicit[id{"gateway", "mode"}]; ok {
		c.ModeWhy = v.source + " says so"
		return
	}
	switch {
	case c.File != "":
		c.Mode, c.ModeWhy = Services, "the configuration file "+c.File+" does not set [gateway] mode"
	case l.brokerByEnv != "":
		c.Mode, c.ModeWhy = Services, "the environment has "+l.brokerByEnv
	default:
		c.Mode, c.ModeWhy = Embedded, "there is no configuration file and no environment variable names a broker or a Redis"
	}
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

type id struct{ section, key string }

type value struct {
	text   string
	source string
}

type loader struct {
	cfg         *Config
	keys        []Key
	env         Environment
	explicit    map[id]value
	faults      []*Fault
	brokerByEnv string
}

func (l *loader) fault(source, section, key string, err error) {
	l.faults = append(l.faults, &Fault{Source: source, Section: section, Key: key, Err: err})
}

// readFile takes the values of the file; unknown sections and keys are faults.
func (l *loader) readFile(path string) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("configuration file: %w", err)
	}
	f, err := ini.LoadSources(ini.LoadOptions{
		IgnoreInlineComment: true, AllowPythonMultilineValues: true, SpaceBeforeInlineComment: true, SkipUnrecognizableLines: false,
	}, raw)
	if err != nil {
		return fmt.Errorf("configuration file %s: %w", path, err)
	}
	lines := lineNumbers(string(raw))
	known := make(map[string][]string) // section to its keys
	for _, k := range l.keys {
		known[k.Section] = append(known[k.Section], k.Name)
	}
	sections := slices.Sorted(maps.Keys(known))
	for _, s := range f.Sections() {
		if s.Name() == ini.DefaultSection {
			for _, k := range s.Keys() {
				l.fault(at(path, lines[id{"", k.Name()}]), "", k.Name(), errors.New("stands before the first section"))
			}
			continue
		}
		if known[s.Name()] == nil {
			l.fault(at(path, lines[id{s.Name(), ""}]), s.Name(), "", fmt.Errorf("unknown section%s", suggest(s.Name(), sections)))
			continue
		}
		for _, k := range s.Keys() {
			source := at(path, lines[id{s.Name(), k.Name()}])
			if !slices.Contains(known[s.Name()], k.Name()) {
				l.fault(source, s.Name(), k.Name(), fmt.Errorf("unknown key%s", suggest(k.Name(), known[s.Name()])))
				continue
			}
			l.explicit[id{s.Name(), k.Name()}] = value{text: k.Value(), source: source}
		}
	}
	return nil
}

func at(path string, line int) string { return fmt.Sprintf("%s:%d", path, line) }

// lineNumbers finds where sections and keys stand, which the INI library does not tell.
func lineNumbers(text string) map[id]int {
	out := make(map[id]int)
	section, n := "", 0
	for line := range strings.Lines(text) {
		n++
		trimmed := strings.TrimSpace(line)
		switch {
		case trimmed == "" || trimmed[0] == '#' || trimmed[0] == ';':
		case trimmed[0] == '[':
			section = strings.Trim(trimmed, "[] \t")
			out[id{section, ""}] = n
		case line[0] == ' ' || line[0] == '\t': // goes on from the line above
		default:
			if i := strings.IndexAny(trimmed, "=:"); i > 0 {
				out[id{section, strings.TrimSpace(trimmed[:i])}] = n
			}
		}
	}
	return out
}

// apply sets every key of the table from environment, file or default, in that order.
func (l *loader) apply() {
	for i := range l.keys {
		k := &l.keys[i]
		name := id{k.Section, k.Name}
		if v, ok := l.env(k.Variable()); ok {
			l.explicit[name] = value{text: v, source: "environment variable " + k.Variable()}
			if (k.Section == "amqp-broker" || k.Section == "redis-client") && k.Name == "host" && l.brokerByEnv == "" {
				l.brokerByEnv = k.Variable()
			}
		}
		v, ok := l.explicit[name]
		if !ok {
			v = value{text: k.defaultFor(l.cfg.Paths), source: "default"}
		} else if k.without != "" && strings.TrimSpace(v.text) != k.Default {
			l.cfg.Unserved = append(l.cfg.Unserved, fmt.Sprintf("[%s] %s (%s): %s", k.Section, k.Name, v.source, k.without))
		}
		if err := k.set(strings.TrimSpace(v.text)); err != nil {
			l.fault(v.source, k.Section, k.Name, err)
		}
	}
}

// chooseStore takes [client-management] store_path where [router] has none.
func (l *loader) chooseStore() {
	management, ok := l.explicit[id{"client-management", "store_path"}]
	if !ok || l.cfg.managementStore == "" {
		return
	}
	if _, ok := l.explicit[id{"router", "store_path"}]; !ok {
		l.cfg.Paths.Store = l.cfg.managementStore
	} else if l.cfg.managementStore != l.cfg.Paths.Store {
		l.cfg.Unserved = append(l.cfg.Unserved, fmt.Sprintf("[client-management] store_path (%s): profiles are whole, and [router] store_path says where", management.source))
	}
}

// compareSource orders faults by file and line number.
func compareSource(a, b string) int {
	fa, la := splitSource(a)
	fb, lb := splitSource(b)
	if c := strings.Compare(fa, fb); c != 0 {
		return c
	}
	return la - lb
}

func splitSource(s string) (file string, line int) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return s, 0
	}
	if _, err := fmt.Sscanf(s[i+1:], "%d", &line); err != nil {
		return s, 0
	}
	return s[:i], line
}

// suggest names what was probably meant.
func suggest(got string, known []string) string {
	best, bestDistance := "", len(got)/2+1
	for _, k := range known {
		if d := distance(got, k); d < bestDistance {
			best, bestDistance = k, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(", did you mean %q?", best)
}

// distance is the Levenshtein distance of two short names.
func distance(a, b string) int {
	prev := make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := prev[0]
		prev[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diagonal
			if a[i-1] != b[j-1] {
				cost++
			}
			diagonal = prev[j]
			prev[j] = min(cost, prev[j]+1, prev[j-1]+1)
		}
	}
	return prev[len(b)]
}
