package gateway_test

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// With few open files the doors take few connections, so that a flood of them leaves the database and the others theirs.
func TestFloodsOfConnectionsLeaveFilesToTheDatabase(t *testing.T) {
	g := start(t, t.TempDir(), "", "ADMISSION_OPEN_FILES", "200")
	defer stop(t, g)
	for _, door := range []string{"http-api", "smpp-server", "jcli"} {
		addr := g.Addresses()[door]
		for range 100 {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close() //nolint:errcheck // it may be closed
		}
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close() //nolint:errcheck // it may be closed
		if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(c); len(got) > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: one more connection: %q, %v", door, got, err)
		}
	}
}
