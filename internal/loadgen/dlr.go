package loadgen

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// httpServer answers requests one after the other on each connection, at the least cost.
type httpServer struct {
	listener net.Listener
	answer   func(req request, dst []byte) []byte // adds a whole response to dst; called from many goroutines
}

const (
	maxServed    = 4096 // connections at a time
	serverIdle   = 10 * time.Minute
	requestRoom  = 16 << 10
	badRequest   = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
	continueLine = "HTTP/1.1 100 Continue\r\n\r\n"
)

// serve accepts connections until ctx ends, and returns when all are closed.
func (s *httpServer) serve(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() { s.listener.Close() }) //nolint:errcheck // it ends Accept
	defer stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, maxServed)
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			sleep(ctx, 10*time.Millisecond) // too many open files, most likely
			continue
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			conn.Close() //nolint:errcheck // nothing came on it
			return
		}
		wg.Go(func() {
			defer func() { <-slots }()
			s.serveConn(ctx, conn)
		})
	}
}

func (s *httpServer) serveConn(ctx context.Context, conn net.Conn) {
	stop := context.AfterFunc(ctx, func() { conn.Close() }) //nolint:errcheck // it ends the read
	defer stop()
	defer conn.Close() //nolint:errcheck // all was answered
	r := bufio.NewReaderSize(conn, maxLine)
	buf := make([]byte, 0, requestRoom)
	var out []byte
	var deadline time.Time
	for {
		if now := time.Now(); deadline.Sub(now) < serverIdle/2 {
			deadline = now.Add(serverIdle)
			conn.SetDeadline(deadline) //nolint:errcheck // the read tells
		}
		req, err := readRequest(r, buf, func() error {
			_, err := conn.Write([]byte(continueLine))
			return err
		})
		if err != nil {
			var bad malformed
			if errors.As(err, &bad) {
				out = append(out, badRequest...)
			}
			conn.Write(out) //nolint:errcheck // the peer has lost its way, or has gone
			return
		}
		out = s.answer(req, out)
		if r.Buffered() > 0 && !req.close && len(out) < 64<<10 {
			continue // a pipelining client: its answers go together
		}
		if _, err := conn.Write(out); err != nil || req.close {
			return
		}
		out = out[:0]
	}
}

// dlrSink receives the DLRs of a run and acknowledges them as the gateway expects.
type dlrSink struct {
	httpServer
	url     string // what the gateway is told
	path    string // with the run, so that late reports of another run are told apart
	book    *book
	foreign atomic.Int64
}

// dlrAck is the answer that the gateway waits for, else it repeats the report.
const dlrAck = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 10\r\n\r\nACK/Jasmin"

func listenDLR(cfg Config, b *book) (*dlrSink, error) {
	l, err := net.Listen("tcp", cfg.DLRListen)
	if err != nil {
		return nil, fmt.Errorf("--dlr-listen %s: %w", cfg.DLRListen, err)
	}
	d := &dlrSink{path: "/dlr/" + cfg.Run, book: b, url: cfg.DLRURL}
	d.httpServer = httpServer{l, d.receive}
	if d.url == "" {
		d.url = "http://" + reachable(l.Addr().String()) + d.path
	} else if u, err := url.Parse(d.url); err == nil {
		d.path = cmp.Or(u.EscapedPath(), "/") // as it stands in a request (RFC 9112 §3.2.1)
	}
	return d, nil
}

// reachable replaces an address that means any by one that can be dialled.
func reachable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); err == nil && ip != nil && ip.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return addr
}

// receive counts a report and acknowledges it.
func (d *dlrSink) receive(req request, dst []byte) []byte {
	path, query, _ := bytes.Cut(req.target, []byte{'?'})
	params := query
	if req.method == "POST" {
		params = req.body
	}
	id, status := formValue(params, "id"), formValue(params, "message_status")
	if string(path) != d.path || id == "" {
		d.foreign.Add(1)
	} else {
		d.book.reported(id, stageOf(status), time.Now())
	}
	return append(dst, dlrAck...)
}

// stageOf tells a level-1 report, whose status is that of submit_sm_resp, from those about the
// message's further way. The level parameter does not tell: it is the one asked for.
func stageOf(status string) stage {
	switch {
	case strings.HasPrefix(status, "ESME_"):
		return stageFirst
	case status == "ENROUTE", status == "SCHEDLD", status == "ACCEPTD":
		return stageIntermediate
	}
	return stageFinal
}

// formValue is the first value of a name in a query or form, "" if there is none.
func formValue(params []byte, name string) string {
	for len(params) > 0 {
		var pair []byte
		pair, params, _ = bytes.Cut(params, []byte{'&'})
		key, value, _ := bytes.Cut(pair, []byte{'='})
		if string(key) != name {
			continue
		}
		if bytes.IndexByte(value, '%') < 0 && bytes.IndexByte(value, '+') < 0 {
			return string(value)
		}
		if s, err := url.QueryUnescape(string(value)); err == nil {
			return s
		}
		return string(value)
	}
	return ""
}
