package jcli

import (
	"bufio"
	"net"
	"runtime/debug"
	"strings"
	"time"
)

// output collects what is written to a client, and sends it when the buffer is full or the
// session waits for the client. A client that does not read is given up after a timeout;
// from then on everything that is written is dropped.
type output struct {
	w *bufio.Writer
}

type deadlineWriter struct {
	conn    net.Conn
	timeout time.Duration
}

func (d deadlineWriter) Write(p []byte) (int, error) {
	if err := d.conn.SetWriteDeadline(time.Now().Add(d.timeout)); err != nil {
		return 0, err
	}
	return d.conn.Write(p)
}

func newOutput(conn net.Conn, timeout time.Duration) *output {
	return &output{w: bufio.NewWriterSize(deadlineWriter{conn, timeout}, 16<<10)}
}

// Write collects octets. An error comes up in flush.
func (o *output) Write(p []byte) (int, error) {
	_, _ = o.w.Write(p)
	return len(p), nil
}

// text writes text whose lines end in LF.
func (o *output) text(text string) {
	_, _ = o.w.WriteString(strings.ReplaceAll(text, "\n", "\r\n"))
}

func (o *output) flush() error { return o.w.Flush() }

func stack() string { return string(debug.Stack()) }
