package gateway_test

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"jasmind/internal/smpp/pdu"
)

// corpus reads testdata/malformed; see features/steps/malformed_steps.go for its form.
func corpus(f *testing.F) [][]byte {
	f.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", "testdata", "malformed", "*.hex"))
	if err != nil || len(files) == 0 {
		f.Fatalf("testdata/malformed: %d files, %v", len(files), err)
	}
	var out [][]byte
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		var octets []byte
		for line := range strings.SplitSeq(string(text), "\n") {
			if strings.HasPrefix(line, "#") {
				continue
			}
			for field := range strings.FieldsSeq(line) {
				h, times, repeated := strings.Cut(field, "*")
				b, err := hex.DecodeString(h)
				n := 1
				if repeated {
					var convErr error
					n, convErr = strconv.Atoi(times)
					err = errors.Join(err, convErr)
				}
				if err != nil {
					f.Fatalf("%s: %v", file, err)
				}
				for range n {
					octets = append(octets, b...)
				}
			}
		}
		out = append(out, octets)
	}
	return out
}

// FuzzServer throws octets at the SMPP server of a running gateway, before the bind and after it, while another
// ESME is bound: that one's submission must be answered ESME_ROK after each, and the number of goroutines must not
// grow.
func FuzzServer(f *testing.F) {
	for _, octets := range corpus(f) {
		f.Add(true, octets)
		f.Add(false, octets)
	}
	s := startSMSC(f, false)
	g := start(f, f.TempDir(), esmes(f, 2, s.addr))
	f.Cleanup(func() { stop(f, g) })
	addr := g.Addresses()["smpp-server"]
	checker := dialESME(f, g, "esme1", pdu.Transceiver)
	bind, err := pdu.Append(nil, pdu.StatusOK, 1, &pdu.Bind{Type: pdu.Transceiver, SystemID: "esme0", Password: "bar", InterfaceVersion: 0x34})
	if err != nil {
		f.Fatal(err)
	}
	var before int
	f.Fuzz(func(t *testing.T, bound bool, octets []byte) {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if bound {
			if _, err := conn.Write(bind); err != nil {
				t.Fatal(err)
			}
			if _, err := pdu.ReadFrame(bufio.NewReader(conn), nil, 1<<10); err != nil {
				t.Fatalf("bind: %v", err)
			}
		}
		_, _ = conn.Write(octets) // the session may end before
		if err := conn.(*net.TCPConn).CloseWrite(); err == nil {
			var rest [4096]byte
			for err == nil {
				_, err = conn.Read(rest[:])
			}
		}
		_ = conn.Close()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		r, err := checker.Do(ctx, &pdu.SubmitSM{Message: pdu.Message{Dest: pdu.Address{Addr: "33600000001"}, ShortMessage: []byte("still here")}})
		if err = errors.Join(err, r.Err()); err != nil {
			t.Fatalf("the other session: %v, after bound=%v %x", err, bound, octets)
		}
		if n := runtime.NumGoroutine(); before == 0 {
			before = n
		} else if n > before+500 { // workers and sessions that are about to end come and go
			t.Fatalf("%d goroutines, %d at first", n, before)
		}
	})
}
