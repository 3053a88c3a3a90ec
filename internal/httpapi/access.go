package httpapi

import (
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// accessLog writes one line per request in the combined log format. Values of password
// parameters are masked: the original prints them. So are credentials and query of a dlr-url and, with privacy, contents.
type accessLog struct {
	w       io.Writer // one Write per line; safe for concurrent use
	next    http.Handler
	privacy bool
}

// How long a field of a line may be: of who was refused, and of others.
const (
	maxRefusedField = 512
	maxField        = 16 << 10
)

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
	limit := maxField
	if rec.status >= 400 {
		limit = maxRefusedField
	}
	b = strconv.AppendQuote(b, cut(r.Method, 32)+" "+cut(l.masked(r.URL.EscapedPath(), r.URL.RawQuery), limit)+" "+r.Proto)
	b = append(b, ' ')
	b = strconv.AppendInt(b, int64(rec.status), 10)
	b = append(b, ' ')
	b = strconv.AppendInt(b, rec.octets, 10)
	b = append(b, ' ')
	b = strconv.AppendQuote(b, cut(l.masked(cutQuery(r.Referer())), maxRefusedField))
	b = append(b, ' ')
	b = strconv.AppendQuote(b, cut(r.UserAgent(), maxRefusedField))
	b = append(b, '\n')
	_, _ = l.w.Write(b) // there is nobody to tell: the log counts what it drops
}

// cut gives the first octets of a text, and says how many there were.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return s[:limit] + "...(" + strconv.Itoa(len(s)) + " octets)"
}

func cutQuery(s string) (path, query string) {
	path, query, _ = strings.Cut(s, "?")
	return path, query
}

// masked puts path and query together with what is secret hidden, however its name is escaped.
func (l *accessLog) masked(path, query string) string {
	if query == "" {
		return path
	}
	var b strings.Builder
	b.WriteString(path)
	sep := byte('?')
	for pair := range strings.SplitSeq(query, "&") {
		b.WriteByte(sep)
		sep = '&'
		name, value, found := strings.Cut(pair, "=")
		switch known := strings.ToLower(unescape(name)); {
		case found && known == "password":
			b.WriteString(name + "=" + masking)
		case found && known == "dlr-url":
			b.WriteString(name + "=" + url.QueryEscape(loggedURL(unescape(value))))
		case l.privacy && !sendFields.has(known): // what is behind an & of the content that was not escaped
			b.WriteString(masking)
		case found && l.privacy && isContent(known):
			b.WriteString(name + "=" + masking)
		default:
			b.WriteString(pair)
		}
	}
	return b.String()
}

// isContent tells whether a parameter holds what a sender says to a recipient.
func isContent(name string) bool {
	return name == "content" || name == "hex-content" || name == customTLVs
}

// loggedURL is a URL without credentials, query and fragment, any of which may hold secrets.
func loggedURL(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" {
		return masking
	}
	return u.Scheme + "://" + u.Host + u.EscapedPath()
}
