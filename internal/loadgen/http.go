package loadgen

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// target is where HTTP requests go.
type target struct {
	addr   string // to dial
	host   string // for the Host header
	path   string // with the query, if there is one
	secure bool
	tls    *tls.Config
}

func parseTarget(s string) (*target, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return nil, err
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return nil, errors.New("must be a URL such as http://127.0.0.1:1401/send")
	case u.User != nil:
		return nil, errors.New("names a user; use --username and --password")
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return &target{addr: net.JoinHostPort(u.Hostname(), port), host: u.Host, path: u.RequestURI(), secure: u.Scheme == "https"}, nil
}

// dial opens a connection, TLS included.
func (t *target) dial(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", t.addr)
	if err != nil || !t.secure {
		return conn, err
	}
	tc := &tls.Config{}
	if t.tls != nil {
		tc = t.tls.Clone()
	}
	if tc.ServerName == "" {
		tc.ServerName, _, _ = net.SplitHostPort(t.addr) //nolint:errcheck // it was joined from host and port
	}
	secure := tls.Client(conn, tc)
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close() //nolint:errcheck // the first error counts
		return nil, err
	}
	return secure, nil
}

// httpConn is one keep-alive connection. Nothing of it is shared.
type httpConn struct {
	r      *run
	target *target
	fixed  []byte // parameters that are the same in all requests, encoded

	conn     net.Conn // nil when there is none
	in       *bufio.Reader
	out      []byte
	body     []byte // of a request
	text     []byte
	kept     []byte // of an answer
	used     time.Time
	deadline time.Time
	unwatch  func() bool
	broken   bool // pipelined: the reader has given the connection up
}

func newHTTPConn(r *run, t *target) *httpConn {
	c := &httpConn{r: r, target: t, in: bufio.NewReaderSize(nil, maxLine), kept: make([]byte, 0, maxKept)}
	param := func(name, value string) {
		if len(c.fixed) > 0 {
			c.fixed = append(c.fixed, '&')
		}
		c.fixed = append(append(append(c.fixed, url.QueryEscape(name)...), '='), url.QueryEscape(value)...)
	}
	cfg := &r.cfg
	param("username", cfg.Username)
	param("password", cfg.Password)
	if cfg.From != "" {
		param("from", cfg.From)
	}
	if cfg.Coding != 0 {
		param("coding", strconv.Itoa(cfg.Coding))
	}
	if cfg.DLR > 0 {
		param("dlr", "yes")
		param("dlr-level", strconv.Itoa(cfg.DLR))
		param("dlr-method", cfg.DLRMethod)
		param("dlr-url", r.dlr.url)
	}
	for _, p := range cfg.Params {
		param(p[0], p[1])
	}
	return c
}

// request adds the request for a message to dst.
func (c *httpConn) request(dst []byte, u unit) ([]byte, error) {
	m := c.r.maker
	b := append(c.body[:0], c.fixed...)
	b = append(b, "&to="...)
	at := len(b)
	b = m.to.append(b)
	to := string(b[at:])
	if m.to.width == 0 || m.to.prefix != "" {
		b = appendEscaped(b[:at], []byte(to))
	}
	var err error
	if c.r.cfg.Coding == 0 && !c.r.cfg.Hex {
		c.text = m.text(c.text[:0], u.n, to) // the gateway wants UTF-8 and encodes it
	} else if c.text, err = m.octets(c.text[:0], u.n, to); err != nil {
		return dst, err
	}
	if c.r.cfg.Hex {
		b = hex.AppendEncode(append(b, "&hex-content="...), c.text)
	} else {
		b = appendEscaped(append(b, "&content="...), c.text)
	}
	c.body = b
	dst = append(append(append(dst, c.r.cfg.Method...), ' '), c.target.path...)
	if c.r.cfg.Method == "GET" {
		sep := byte('?')
		if bytes.IndexByte([]byte(c.target.path), '?') >= 0 {
			sep = '&'
		}
		dst = append(append(dst, sep), b...)
	}
	dst = append(append(dst, " HTTP/1.1\r\nHost: "...), c.target.host...)
	dst = append(dst, "\r\nUser-Agent: loadgen\r\n"...)
	if c.r.cfg.Method == "GET" {
		return append(dst, "\r\n"...), nil
	}
	dst = append(dst, "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: "...)
	dst = strconv.AppendInt(dst, int64(len(b)), 10)
	return append(append(dst, "\r\n\r\n"...), b...), nil
}

// appendEscaped adds octets as a value of a query or form.
func appendEscaped(dst, s []byte) []byte {
	const digits = "0123456789ABCDEF"
	for _, c := range s {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '.', c == '_', c == '~':
			dst = append(dst, c)
		case c == ' ':
			dst = append(dst, '+')
		default:
			dst = append(dst, '%', digits[c>>4], digits[c&15])
		}
	}
	return dst
}

// ensure makes a connection if there is none, or if the server has closed the one there is while it was idle.
func (c *httpConn) ensure() error {
	if c.conn != nil && time.Since(c.used) > time.Second && !silent(c.conn) {
		c.drop()
	}
	if c.conn != nil {
		return nil
	}
	return c.r.again("connect to "+c.target.addr, func(ctx context.Context) error {
		conn, err := c.target.dial(ctx)
		if err != nil {
			return err
		}
		c.conn, c.deadline, c.used = conn, time.Time{}, time.Now()
		c.in.Reset(conn)
		c.unwatch = context.AfterFunc(c.r.hard, func() { conn.Close() }) //nolint:errcheck // it wakes the reader
		return nil
	})
}

// silent reports that nothing has come on a connection, neither its end nor what nobody has asked for. It does not
// wait; a deadline that is near enough would have passed before the read.
func silent(conn net.Conn) bool {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return false
	}
	var fault error
	err = raw.Read(func(fd uintptr) bool {
		_, fault = syscall.Read(int(fd), make([]byte, 1))
		return true
	})
	return err == nil && (errors.Is(fault, syscall.EAGAIN) || errors.Is(fault, syscall.EINTR))
}

func (c *httpConn) drop() {
	if c.conn != nil {
		c.unwatch()
		c.conn.Close() //nolint:errcheck // nothing is lost with it
		c.conn = nil
	}
}

// arm moves the deadline for the answer, in steps, since that is not free. It is at most 1/8 late.
func (c *httpConn) arm() {
	now := time.Now()
	timeout := c.r.cfg.Timeout
	if c.deadline.Sub(now) < timeout {
		c.deadline = now.Add(timeout + timeout/8)
		c.conn.SetDeadline(c.deadline) //nolint:errcheck // the read tells
	}
}

// take judges an answer.
func (c *httpConn) take(l *sender, u unit, a answer) {
	id, ok := successID(a)
	switch {
	case ok:
		l.accepted(u, id)
	case a.status == http.StatusOK:
		l.refused(u, "HTTP 200 without Success: "+clean(string(a.body)), false)
	default:
		l.refused(u, "HTTP "+strconv.Itoa(a.status)+" "+clean(string(a.body)), a.status == http.StatusServiceUnavailable)
	}
}

// successID reads the body of an acceptance, Success "id".
func successID(a answer) (string, bool) {
	rest, ok := bytes.CutPrefix(a.body, []byte(`Success "`))
	if a.status != http.StatusOK || !ok || a.cut {
		return "", false
	}
	id, ok := bytes.CutSuffix(bytes.TrimRight(rest, "\r\n"), []byte{'"'})
	if !ok || len(id) == 0 || bytes.ContainsAny(id, "\" \r\n") {
		return "", false
	}
	return string(id), true
}

// faultReason is why an answer did not come.
func faultReason(err error) string {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "no answer in time"
	case errors.Is(err, io.EOF):
		return "connection closed before the answer"
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "connection closed within the answer"
	case errors.Is(err, net.ErrClosed):
		return "the run was ended"
	}
	return describe(err)
}

// oneByOne is a connection with one request at a time.
func (t *target) oneByOne(ctx context.Context, r *run, senders []*sender) error {
	c, l := newHTTPConn(r, t), senders[0]
	defer c.drop()
	for {
		if err := c.ensure(); err != nil {
			return err
		}
		u, ok := l.next(ctx)
		if !ok {
			return nil
		}
		if err := c.ensure(); err != nil { // the wait may have been long
			l.giveBack(u)
			return err
		}
		var err error
		if c.out, err = c.request(c.out[:0], u); err != nil {
			l.refused(u, "not sent: "+describe(err), false)
			continue
		}
		c.arm()
		if _, err := c.conn.Write(c.out); err != nil {
			l.lost(u, faultReason(err))
			c.drop()
			continue
		}
		a, err := readAnswer(c.in, c.kept)
		if err != nil {
			l.lost(u, faultReason(err))
			c.drop()
			continue
		}
		c.take(l, u, a)
		if c.used = time.Now(); a.close {
			c.drop()
		}
	}
}

// pipelined is a connection with several requests in flight; answers come in order (RFC 9112 §9.3.2).
func (t *target) pipelined(ctx context.Context, r *run, senders []*sender) error {
	c, l := newHTTPConn(r, t), senders[0]
	defer c.drop()
	for {
		if err := c.ensure(); err != nil {
			return err
		}
		u, ok := l.next(ctx)
		if !ok {
			return nil
		}
		if err := c.ensure(); err != nil {
			l.giveBack(u)
			return err
		}
		if c.pipeline(ctx, l, u); ctx.Err() != nil {
			return nil
		}
	}
}

// pipeline sends, u first, and reads answers until there is nothing left to send or the
// connection fails. All that it has sent has been answered or given up when it returns.
func (c *httpConn) pipeline(ctx context.Context, l *sender, u unit) {
	slots := make(chan struct{}, c.r.cfg.Pipeline)
	sent := make(chan unit, c.r.cfg.Pipeline) // never full: each of them has a slot
	broken, breakUp := context.WithCancel(ctx)
	defer breakUp()
	var reader sync.WaitGroup
	reader.Go(func() { c.answers(l, sent, slots, breakUp) })
	for ok := true; ok; u, ok = l.next(broken) {
		select {
		case slots <- struct{}{}:
		case <-broken.Done():
			l.giveBack(u)
			continue // next says no
		}
		c.out = c.out[:0]
		c.enqueue(l, u, sent, slots)
		for c.r.cfg.Rate == 0 && len(slots) < cap(slots) && len(c.out) < 64<<10 {
			more, ok := l.poll()
			if !ok {
				break
			}
			slots <- struct{}{} // there is room, and nobody else takes it
			c.enqueue(l, more, sent, slots)
		}
		if len(c.out) == 0 {
			continue
		}
		if _, err := c.conn.Write(c.out); err != nil {
			break
		}
	}
	close(sent)
	reader.Wait()
	if c.used = time.Now(); c.broken {
		c.broken = false
		c.drop()
	}
}

// enqueue adds the request for a unit, which has a slot, to those that are written next.
func (c *httpConn) enqueue(l *sender, u unit, sent chan<- unit, slots <-chan struct{}) {
	out, err := c.request(c.out, u)
	if err != nil {
		<-slots
		l.refused(u, "not sent: "+describe(err), false)
		return
	}
	c.out = out
	c.arm()
	sent <- u
}

// answers reads the answers to what was sent. After a fault it ends the writer and gives up all that
// follows.
func (c *httpConn) answers(l *sender, sent <-chan unit, slots <-chan struct{}, breakUp func()) {
	for u := range sent {
		a, err := readAnswer(c.in, c.kept)
		giveUp := func(u unit) { l.lost(u, "connection closed before the answer") }
		if err != nil {
			l.lost(u, faultReason(err))
		} else {
			c.take(l, u, a)
			<-slots
			if !a.close {
				continue
			}
			giveUp = l.giveBack // nothing behind it was looked at (RFC 9112 §9.6)
		}
		c.broken = true
		c.conn.Close() //nolint:errcheck // it ends the writer
		breakUp()
		for u := range sent {
			giveUp(u)
		}
		return
	}
}
