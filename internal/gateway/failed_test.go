package gateway_test

import (
	"bytes"
	"context"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"jasmind/internal/config"
	"jasmind/internal/gateway"
	"jasmind/internal/smpp"
)

// silentSMSC accepts binds and answers no message; it tells of each.
func silentSMSC(t *testing.T) (addr string, got <-chan struct{}) {
	t.Helper()
	messages := make(chan struct{}, 1000)
	return serve(t, func(*smpp.Session, *smpp.Request) { messages <- struct{}{} }), messages
}

// A database that has failed settles nothing any more, so nobody waits for what is under way, however long a stop may take.
func TestAFailedDatabaseIsNotDrained(t *testing.T) {
	const here = "JASMIND_TEST_FAILED_DATABASE" // folder of the child
	dir := os.Getenv(here)
	if dir == "" { // a failed database leaves goroutines behind, so a process of its own has it
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestAFailedDatabaseIsNotDrained$", "-test.timeout=2m")
		cmd.Env = append(os.Environ(), here+"="+t.TempDir())
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	defer func() {
		if !t.Failed() {
			os.Exit(0)
		}
	}()
	addr, got := silentSMSC(t)
	var broken atomic.Bool
	cfg, err := config.Load(config.Options{Environment: env(map[string]string{"ROOT_PATH": dir, "GATEWAY_MODE": "embedded",
		"SMPP_SERVER_PORT": "0", "JCLI_PORT": "0", "HTTP_API_PORT": "0", "HTTP_API_BIND": "127.0.0.1"})})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Database.FS = errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if broken.Load() && op.Kind == errorfs.OpFileWrite && strings.HasSuffix(op.Path, ".log") {
			return syscall.EIO
		}
		return nil
	}))
	g, err := gateway.New(gateway.Options{Config: cfg, Provision: provisioning(t, addr, "res_to: 3600"), Stdout: &bytes.Buffer{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		send(t, g, url.Values{})
	}
	<-got
	broken.Store(true)
	resp, err := http.Get("http://" + g.Addresses()["http-api"] + "/send?username=foo&password=bar&to=1&content=x")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a message that cannot be kept: %s", resp.Status)
	}
	<-g.Failed()
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	if err := g.Stop(ctx); err == nil {
		t.Error("it stopped as if nothing was wrong")
	}
}
