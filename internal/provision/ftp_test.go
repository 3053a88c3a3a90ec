package provision

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"
)

// ftpServer serves one file, /x.py, to anybody, in extended passive mode.
func ftpServer(t *testing.T, content string) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			serveFTP(conn, content)
		}
	}()
	t.Cleanup(func() { _ = ln.Close(); <-done })
	return ln.Addr().String()
}

func serveFTP(conn net.Conn, content string) {
	defer conn.Close()
	var data net.Listener
	say := func(format string, args ...any) { fmt.Fprintf(conn, format+"\r\n", args...) }
	say("220-hello")
	say("220 there")
	for in := bufio.NewScanner(conn); in.Scan(); {
		command, arg, _ := strings.Cut(in.Text(), " ")
		switch command {
		case "USER":
			say("331 password?")
		case "PASS", "TYPE":
			say("230 good")
		case "EPSV":
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return
			}
			defer ln.Close()
			data = ln
			say("229 Entering Extended Passive Mode (|||%d|)", ln.Addr().(*net.TCPAddr).Port)
		case "RETR":
			c, err := data.Accept()
			if err != nil {
				return
			}
			if arg != "x.py" {
				_ = c.Close()
				say("550 no such file")
				continue
			}
			say("150 here it is")
			fmt.Fprint(c, content)
			_ = c.Close()
			say("226 done")
		}
	}
}
