package config

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"jasmind/internal/connector"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smstext"
)

func env(pairs ...string) Environment {
	m := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return func(name string) (string, bool) { v, ok := m[name]; return v, ok }
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "jasmin.cfg")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func load(t *testing.T, o Options) *Config {
	t.Helper()
	c, err := Load(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestMode(t *testing.T) {
	none := t.TempDir()
	tests := []struct {
		name string
		file string
		env  Environment
		want Mode
		why  string
	}{
		{"nothing at all is embedded", "", env("CONFIG_PATH", none), Embedded, "no configuration file"},
		{"a broker in the environment means services", "", env("CONFIG_PATH", none, "AMQP_BROKER_HOST", "mq"), Services, "AMQP_BROKER_HOST"},
		{"a Redis in the environment means services", "", env("CONFIG_PATH", none, "REDIS_CLIENT_HOST", "r"), Services, "REDIS_CLIENT_HOST"},
		{"a port alone does not", "", env("CONFIG_PATH", none, "HTTP_API_PORT", "0"), Embedded, "no configuration file"},
		{"a file of the original means services", "[http-api]\nport = 1401\n", env(), Services, "does not set [gateway] mode"},
		{"a file may say embedded", "[gateway]\nmode = embedded\n", env(), Embedded, "says so"},
		{"the environment wins", "[gateway]\nmode = embedded\n", env("GATEWAY_MODE", "services"), Services, "GATEWAY_MODE"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := Options{Environment: tt.env}
			if tt.file != "" {
				o.File = write(t, tt.file)
			}
			c := load(t, o)
			if c.Mode != tt.want || !strings.Contains(c.ModeWhy, tt.why) {
				t.Errorf("got %s because %s", c.Mode, c.ModeWhy)
			}
		})
	}
}

func TestFolders(t *testing.T) {
	none := t.TempDir()
	tests := []struct {
		name string
		o    Options
		want Paths
		log  string
	}{
		{"no root rights", Options{Environment: env("CONFIG_PATH", none)},
			Paths{"/", none, "jasmin-data/log", "jasmin-data/store", "jasmin-data"}, "jasmin-data/log/http-api.log"},
		{"root without a configuration", Options{Root: true, Environment: env("CONFIG_PATH", none)},
			Paths{"/", none, "jasmin-data/log", "jasmin-data/store", "jasmin-data"}, "jasmin-data/log/http-api.log"},
		{"ROOT_PATH", Options{Environment: env("ROOT_PATH", "/srv/j")},
			Paths{"/srv/j", "/srv/j/etc/jasmin", "/srv/j/var/log/jasmin", "/srv/j/etc/jasmin/store", "/srv/j/var/lib/jasmin"}, "/srv/j/var/log/jasmin/http-api.log"},
		{"each by itself", Options{Environment: env("ROOT_PATH", "/srv/j", "LOG_PATH", "/logs", "STORE_PATH", "/store", "CONFIG_PATH", none)},
			Paths{"/srv/j", none, "/logs", "/store", "/srv/j/var/lib/jasmin"}, "/logs/http-api.log"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := load(t, tt.o)
			if c.Paths != tt.want || c.HTTPLog.File != tt.log {
				t.Errorf("got %+v, log %s", c.Paths, c.HTTPLog.File)
			}
		})
	}
}

func TestEveryFaultIsReportedWithItsPlace(t *testing.T) {
	path := write(t, `[http-api]
port = 99999
prot = 1
long_content_split = both

[http-apy]
port = 1

[sm-listener]
submit_error_retrial = {'ESME_NONSENSE': {'count': 1, 'delay': 1}}
[dlr]
log_format = %(nonsense)s
`)
	_, err := Load(Options{File: path, Environment: env("REDIS_CLIENT_PORT", "x")})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		path + `:2: [http-api] port: "99999" is not a whole number from 0 to 65535`,
		path + `:3: [http-api] prot: unknown key, did you mean "port"?`,
		path + `:4: [http-api] long_content_split: "both" is neither udh nor sar`,
		path + `:6: [http-apy]: unknown section, did you mean "http-api"?`,
		path + `:10: [sm-listener] submit_error_retrial: "ESME_NONSENSE" is no command_status`,
		path + `:12: [dlr] log_format: field "nonsense" is unknown`,
		`environment variable REDIS_CLIENT_PORT: [redis-client] port: "x" is not a whole number from 1 to 65535`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in\n%v", want, err)
		}
	}
	if n := strings.Count(err.Error(), "\n") + 1; n != 7 {
		t.Errorf("%d faults in\n%v", n, err)
	}
	var f *Fault
	if !errors.As(err, &f) {
		t.Error("no *Fault inside")
	}
}

func TestMissingFileIsAnErrorOnlyWhenNamed(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none.cfg")
	if _, err := Load(Options{File: missing, Environment: env()}); err == nil || !strings.Contains(err.Error(), missing) {
		t.Errorf("got %v", err)
	}
}

func TestFileOfTheOriginal(t *testing.T) {
	path := write(t, `# a comment
[smpp-server]
id					= "smpps_02"
billing_feature = True
[sm-listener]
publish_submit_sm_resp	= False
submit_error_retrial = {
                        	 'ESME_RSYSERR':         {'count': 2,  'delay': 30},
                            'ESME_RTHROTTLED':      {'count': 20, 'delay': 0.5},
                       }
[http-api]
port				= 1402
long_content_split = sar
log_format			= %(asctime)s %(levelname)-8s %(process)d %(message)s
log_privacy        = True
[amqp-broker]
heartbeat                      = 0
password = a#b;c
[redis-client]
password					= None
`)
	c := load(t, Options{File: path, Environment: env("HTTP_API_PORT", "0")})
	if c.HTTP.Port != 0 || c.MT.Split != smstext.SAR || !c.HTTP.LogPrivacy || c.Broker.Password != "a#b;c" || c.Redis.Password != "" {
		t.Errorf("got %+v %+v %+v %+v", c.HTTP, c.MT, c.Broker, c.Redis)
	}
	if got := c.Connector.Retrials[pdu.StatusThrottled]; got != (connector.Retrial{Count: 20, Delay: 500 * time.Millisecond}) || len(c.Connector.Retrials) != 2 {
		t.Errorf("retrial %+v", c.Connector.Retrials)
	}
	if c.SMPPServer.ID != "smpps_02" {
		t.Errorf("id %q", c.SMPPServer.ID)
	}
	if len(c.Unserved) > 0 || c.MT.FreeSMPP || c.MT.FreeHTTP {
		t.Errorf("unserved: %q", c.Unserved)
	}
}

// original is a file of the original with every documented key, its folders moved to dir.
func original(t *testing.T, dir string) string {
	t.Helper()
	text, err := os.ReadFile("testdata/original.cfg")
	if err != nil {
		t.Fatal(err)
	}
	return strings.NewReplacer("/var/log/jasmin", dir+"/log", "/etc/jasmin/store", dir+"/store").Replace(string(text))
}

func TestFileOfTheOriginalWithEveryKey(t *testing.T) {
	text := original(t, "/var/log/jasmin-test")
	folders := env("LOG_PATH", "/var/log/jasmin-test/log", "STORE_PATH", "/var/log/jasmin-test/store", "ROOT_PATH", "/")
	c := load(t, Options{File: write(t, text), Environment: folders})
	if c.Mode != Services || c.Paths.Store != "/var/log/jasmin-test/store" {
		t.Errorf("mode %s, store %s", c.Mode, c.Paths.Store)
	}
	var commented strings.Builder
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "[") {
			commented.WriteByte('#')
		}
		commented.WriteString(line)
	}
	d := load(t, Options{File: write(t, commented.String()), Environment: folders})
	// Where the file and the documentation have other defaults than each other.
	d.SMPPServer.PDURead, d.ServiceLog.File = c.SMPPServer.PDURead, c.ServiceLog.File
	c.File, d.File, c.ModeWhy, d.ModeWhy, c.Paths, d.Paths, c.managementStore = "", "", "", "", Paths{}, Paths{}, ""
	c.Unserved, d.Unserved = nil, nil
	if !reflect.DeepEqual(c, d) {
		t.Errorf("keys with their defaults change something:\n%+v\n%+v", c, d)
	}
}

func TestKeysWithoutEffectAreNamedWithTheReason(t *testing.T) {
	c := load(t, Options{File: write(t, `[router]
port = 9988
authentication = True
[amqp-broker]
connection_loss_retry_delay = 3
[client-management]
store_path = /srv/elsewhere
`), Environment: env("SMPP_SERVER_PB_ADMIN_USERNAME", "me")})
	got := strings.Join(c.Unserved, "\n")
	for _, want := range []string{":2): jasmind is one process", "[router] port (", "[amqp-broker] connection_loss_retry_delay (", "[smpp-server-pb] admin_username (environment variable SMPP_SERVER_PB_ADMIN_USERNAME)"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
	if len(c.Unserved) != 3 || c.Paths.Store != "/srv/elsewhere" {
		t.Errorf("store %s, and\n%s", c.Paths.Store, got)
	}
	c = load(t, Options{File: write(t, "[router]\nstore_path = /srv/a\n[client-management]\nstore_path = /srv/b\n"), Environment: env()})
	if c.Paths.Store != "/srv/a" || len(c.Unserved) != 1 || !strings.Contains(c.Unserved[0], "[client-management] store_path") {
		t.Errorf("store %s, %q", c.Paths.Store, c.Unserved)
	}
}

func TestKeysWithoutEffectAreChecked(t *testing.T) {
	_, err := Load(Options{File: write(t, `[router]
port = many
admin_password = secret
[smpp-server-pb]
log_rotate = W9
authentication = perhaps
`), Environment: env()})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{`[router] port: "many"`, `[router] admin_password: is no password digest`, `[smpp-server-pb] log_rotate: "W9"`, `[smpp-server-pb] authentication: "perhaps"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("a secret is told: %v", err)
	}
}

func TestDefaultRetrial(t *testing.T) {
	c := load(t, Options{Environment: env("CONFIG_PATH", t.TempDir())})
	want := map[pdu.Status]connector.Retrial{
		pdu.StatusSysErr: {Count: 2, Delay: 30 * time.Second}, pdu.StatusThrottled: {Count: 20, Delay: 30 * time.Second},
		pdu.StatusMsgQFul: {Count: 2, Delay: 180 * time.Second}, pdu.StatusInvSched: {Count: 2, Delay: 300 * time.Second},
	}
	for status, rule := range want {
		if c.Connector.Retrials[status] != rule {
			t.Errorf("%v: got %+v, want %+v", status, c.Connector.Retrials[status], rule)
		}
	}
	if len(c.Connector.Retrials) != len(want) {
		t.Errorf("got %v", c.Connector.Retrials)
	}
}

// What print writes must load without a fault, also with every key uncommented.
func TestPrintedFileLoads(t *testing.T) {
	for _, mode := range []Mode{Embedded, Services} {
		var out bytes.Buffer
		if err := Print(&out, mode); err != nil {
			t.Fatal(err)
		}
		if c := load(t, Options{File: write(t, out.String()), Environment: env()}); c.Mode != mode {
			t.Errorf("mode %s became %s", mode, c.Mode)
		}
		var all strings.Builder
		for line := range strings.Lines(out.String()) {
			if strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "# ") {
				line = line[1:]
			}
			all.WriteString(line)
		}
		c := load(t, Options{File: write(t, all.String()), Environment: env()})
		if len(c.Unserved) != 0 {
			t.Errorf("unserved keys were printed: %q", c.Unserved)
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add("[http-api]\nport = 1\n")
	f.Add("[sm-listener]\nsubmit_error_retrial = {'ESME_RSYSERR': {'count': 2, 'delay': 30},}\n")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(dir, "fuzz.cfg")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := Load(Options{File: path, Environment: env()})
		if (c == nil) == (err == nil) {
			t.Fatalf("config %v, error %v", c, err)
		}
	})
}
