package httpapi

import (
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// accessLog writes one line per request in the combined log format. Values of password
// parameters are masked: the original prints them.
type accessLog struct {
	w    io.Writer // one Write per line; safe for concurrent use
	next http.Handler
}

type recorder struct {
	http.ResponseWriter
	status int
	octets int64
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	n, err := r.ResponseWriter.Write(p)
	r.octets += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func (l *accessLog) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rec := &recorder{ResponseWriter: w}
	began := time.Now()
	l.next.ServeHTTP(rec, r)
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	b := make([]byte, 0, 256)
	b = append(b, host...)
	b = append(b, " - - ["...)
	b = began.AppendFormat(b, "02/Jan/2006:15:04:05 -0700")
	b = append(b, "] "...)
	b = strconv.AppendQuote(b, r.Method+" "+masked(r.URL.EscapedPath(), r.URL.RawQuery)+" "+r.Proto)
	b = append(b, ' ')
	b = strconv.AppendInt(b, int64(rec.status), 10)
	b = append(b, ' ')
	b = strconv.AppendInt(b, rec.octets, 10)
	b = append(b, ' ')
	b = strconv.AppendQuote(b, masked(cutQuery(r.Referer())))
	b = append(b, ' ')
	b = strconv.AppendQuote(b, r.UserAgent())
	b = append(b, '\n')
	_, _ = l.w.Write(b) // there is nobody to tell: the log counts what it drops
}

func cutQuery(s string) (path, query string) {
	path, query, _ = strings.Cut(s, "?")
	return path, query
}

// masked puts path and query together with the values of password parameters hidden,
// however their name is escaped.
func masked(path, query string) string {
	if query == "" {
		return path
	}
	var b strings.Builder
	b.WriteString(path)
	sep := byte('?')
	for pair := range strings.SplitSeq(query, "&") {
		b.WriteByte(sep)
		sep = '&'
		name, _, found := strings.Cut(pair, "=")
		if found && strings.EqualFold(unescape(name), "password") {
			b.WriteString(name)
			b.WriteString("=" + masking)
			continue
		}
		b.WriteString(pair)
	}
	return b.String()
}
