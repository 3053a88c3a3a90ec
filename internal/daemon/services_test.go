package daemon

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"jasmind/internal/testenv"
)

// A jasmin.cfg of the original starts unchanged, whatever of it is commented out: in the
// services mode, with a log for each service. Only addresses and folders are this test's.
func TestFileOfTheOriginalStarts(t *testing.T) {
	text, err := os.ReadFile("../config/testdata/original.cfg")
	if err != nil {
		t.Fatal(err)
	}
	var commented bytes.Buffer
	for line := range bytes.Lines(text) {
		if line[0] != '[' {
			commented.WriteByte('#')
		}
		commented.Write(line)
	}
	r, q := testenv.Redis(t), testenv.RabbitMQ(t)
	services := []string{
		"AMQP_BROKER_HOST=" + q.Host, "AMQP_BROKER_PORT=" + strconv.Itoa(q.Port), "AMQP_BROKER_VHOST=" + q.VHost,
		"AMQP_BROKER_USERNAME=" + q.User, "AMQP_BROKER_PASSWORD=" + q.Password,
		"REDIS_CLIENT_HOST=" + r.Host, "REDIS_CLIENT_PORT=" + strconv.Itoa(r.Port), "REDIS_CLIENT_DBID=" + strconv.Itoa(r.DB),
	}
	for name, content := range map[string]string{"commented out": commented.String(), "every key set": string(text)} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			logs := filepath.Join(dir, "log")
			content := strings.NewReplacer("/var/log/jasmin", logs, "/etc/jasmin/store", filepath.Join(dir, "store")).Replace(content)
			file := filepath.Join(dir, "jasmin.cfg")
			if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			p := command(dir, append(services, "LOG_PATH="+logs, "INTERCEPTOR_LOG_FILE="+filepath.Join(logs, "interceptor.log")), "-c", file).start(t)
			for _, line := range []string{
				"INFO 1 Starting Jasmin Daemon ...", "Mode is services", "RedisClient Started.", "RouterPB Started.", "SMPPClientManagerPB Started.",
				"DLRLookup Started.", "SMPPServer Started.", "HTTPApi Started.", "jCli Started.",
			} {
				p.says(t, line)
			}
			p.signal(t, syscall.SIGTERM)
			p.exits(t, ExitOK)
			for _, log := range []string{"default-smpps_01.log", "smppclient-manager.log", "messages.log", "http-api.log", "http-access.log", "router.log",
				"dlr-thrower.log", "amqp-client.log", "redis-client.log", "jcli.log", "interceptor.log"} {
				if _, err := os.Stat(filepath.Join(logs, log)); err != nil {
					t.Error(err)
				}
			}
			manager, err := os.ReadFile(filepath.Join(logs, "smppclient-manager.log"))
			if err != nil {
				t.Error(err)
			}
			for line := range strings.Lines(string(manager)) {
				// A folder of this test and a password of the original's examples are no defaults.
				void := name == "every key set" && strings.Contains(line, "configuration key has no effect") &&
					(strings.Contains(line, "[smpp-server-pb] log_file ") || strings.Contains(line, "[interceptor-client] password "))
				if strings.Contains(line, "WARNING") && !void || strings.Contains(line, "ERROR") {
					t.Error(line)
				}
			}
		})
	}
}
