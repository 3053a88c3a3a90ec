// Package logging writes the gateway's logs: slog records in the line format of the
// original (Python's logging module), one file per service with rotation, or standard
// output. Lines are written off the hot path: a bounded buffer takes them, drops what is
// least important when it is full, and counts what it dropped.
package logging

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"
)

// Levels beside slog's own.
const (
	LevelTrace    = slog.LevelDebug - 4 // PDUs
	LevelCritical = slog.LevelError + 4
	levelOff      = slog.Level(1 << 20)
)

// Config says how one service logs (the log_* keys of jasmin.cfg).
type Config struct {
	Level      slog.Level // log_level, see ParseLevel
	File       string     // log_file; "stdout" or a name containing it: standard output; "": nowhere
	Rotate     string     // log_rotate: S, M, H, D, W0-W6, midnight
	Format     string     // log_format, default DefaultFormat
	DateFormat string     // log_date_format (strftime), default DefaultDateFormat
}

// The defaults of the original.
const (
	DefaultFormat     = "%(asctime)s %(levelname)-8s %(process)d %(message)s"
	DefaultDateFormat = "%Y-%m-%d %H:%M:%S"
)

// ParseLevel reads a log_level: NOTSET, DEBUG, INFO, WARNING, ERROR, CRITICAL, TRACE, or a
// number of Python's logging (10, 20, ...). NOTSET logs nothing, as the original's
// configuration file says.
func ParseLevel(s string) (slog.Level, error) {
	switch strings.ToUpper(strings.TrimSpace(s)) {
	case "NOTSET":
		return levelOff, nil
	case "TRACE":
		return LevelTrace, nil
	case "DEBUG", "10":
		return slog.LevelDebug, nil
	case "INFO", "20":
		return slog.LevelInfo, nil
	case "WARNING", "WARN", "30":
		return slog.LevelWarn, nil
	case "ERROR", "40":
		return slog.LevelError, nil
	case "CRITICAL", "50":
		return LevelCritical, nil
	}
	return 0, fmt.Errorf("log level %q is none of NOTSET, DEBUG, INFO, WARNING, ERROR, CRITICAL", s)
}

func levelName(l slog.Level) string {
	switch {
	case l < slog.LevelDebug:
		return "TRACE"
	case l < slog.LevelInfo:
		return "DEBUG"
	case l < slog.LevelWarn:
		return "INFO"
	case l < slog.LevelError:
		return "WARNING"
	case l < LevelCritical:
		return "ERROR"
	}
	return "CRITICAL"
}

// CheckRotate tells what is wrong with a log_rotate.
func CheckRotate(s string) error {
	_, err := parseRotation(s)
	return err
}

// CheckFormat tells what is wrong with a log_format.
func CheckFormat(s string) error {
	_, err := parseFormat(s)
	return err
}

// CheckDateFormat tells what is wrong with a log_date_format.
func CheckDateFormat(s string) error {
	_, err := goLayout(s)
	return err
}

// handler formats records into lines and hands them to a sink.
type handler struct {
	level  slog.Leveler
	format []segment
	layout string
	name   string
	sink   *sink
	attrs  string // formatted already
	prefix string // of attribute keys, from groups
}

// segment is a piece of a log_format: literal text, or a field padded to a width.
type segment struct {
	literal string
	field   string
	width   int
	left    bool
}

var fieldNames = map[string]bool{
	"asctime": true, "created": true, "levelname": true, "levelno": true, "message": true, "name": true,
	"process": true, "processName": true, "thread": true, "threadName": true, "msecs": true,
}

// parseFormat reads a Python log format: %(field)-8s, %% and literal text.
func parseFormat(f string) ([]segment, error) {
	if f == "" {
		f = DefaultFormat
	}
	var out []segment
	for f != "" {
		i := strings.IndexByte(f, '%')
		if i < 0 {
			return append(out, segment{literal: f}), nil
		}
		if i > 0 {
			out = append(out, segment{literal: f[:i]})
			f = f[i:]
		}
		if strings.HasPrefix(f, "%%") {
			out = append(out, segment{literal: "%"})
			f = f[2:]
			continue
		}
		end := strings.IndexByte(f, ')')
		if !strings.HasPrefix(f, "%(") || end < 0 {
			return nil, fmt.Errorf("%.20q is no field like %%(message)s", f)
		}
		seg := segment{field: f[2:end]}
		if !fieldNames[seg.field] {
			return nil, fmt.Errorf("field %q is unknown", seg.field)
		}
		f = f[end+1:]
		j := strings.IndexAny(f, "sdf")
		if j < 0 {
			return nil, fmt.Errorf("field %q lacks its type (s, d or f)", seg.field)
		}
		spec := f[:j]
		f = f[j+1:]
		if spec, seg.left = strings.CutPrefix(spec, "-"); spec != "" {
			spec, _, _ = strings.Cut(strings.TrimLeft(spec, "0"), ".")
			if spec != "" {
				n, err := strconv.Atoi(spec)
				if err != nil || n < 0 || n > 100 {
					return nil, fmt.Errorf("width %q of field %q is not 0 to 100", spec, seg.field)
				}
				seg.width = n
			}
		}
		out = append(out, seg)
	}
	return out, nil
}

// goLayout turns a strftime format into a layout of package time.
func goLayout(f string) (string, error) {
	if f == "" {
		f = DefaultDateFormat
	}
	names := map[byte]string{'Y': "2006", 'y': "06", 'm': "01", 'd': "02", 'H': "15", 'I': "03", 'M': "04", 'S': "05",
		'f': "000000", 'p': "PM", 'b': "Jan", 'B': "January", 'a': "Mon", 'A': "Monday", 'Z': "MST", 'z': "-0700", 'j': "002",
		'%': "%", 'T': "15:04:05", 'F': "2006-01-02", 'D': "01/02/06", 'e': "_2"}
	var b strings.Builder
	for i := 0; i < len(f); i++ {
		if f[i] != '%' {
			b.WriteByte(f[i])
			continue
		}
		if i++; i == len(f) {
			return "", fmt.Errorf("%q ends with %%", f)
		}
		s, ok := names[f[i]]
		if !ok {
			return "", fmt.Errorf("%%%c is unknown", f[i])
		}
		b.WriteString(s)
	}
	return b.String(), nil
}

// Enabled reports whether the level is logged.
func (h *handler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level.Level() }

var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 512); return &b }}

// Handle formats a record: its message, then its attributes as key=value.
func (h *handler) Handle(_ context.Context, r slog.Record) error {
	bp := buffers.Get().(*[]byte)
	b := (*bp)[:0]
	for i := range h.format {
		s := &h.format[i]
		if s.field == "" {
			b = append(b, s.literal...)
			continue
		}
		start := len(b)
		if s.width > 0 && !s.left {
			b = h.field(b, s.field, r)
			if pad := s.width - (len(b) - start); pad > 0 {
				text := string(b[start:])
				b = append(b[:start], strings.Repeat(" ", pad)...)
				b = append(b, text...)
			}
			continue
		}
		b = h.field(b, s.field, r)
		for s.left && len(b)-start < s.width {
			b = append(b, ' ')
		}
	}
	b = append(b, '\n')
	h.sink.write(r.Level, b)
	*bp = b
	buffers.Put(bp)
	return nil
}

func (h *handler) field(b []byte, name string, r slog.Record) []byte {
	switch name {
	case "asctime":
		return r.Time.AppendFormat(b, h.layout)
	case "created":
		return strconv.AppendFloat(b, float64(r.Time.UnixNano())/1e9, 'f', 6, 64)
	case "msecs":
		return strconv.AppendInt(b, int64(r.Time.Nanosecond()/1e6), 10)
	case "levelname":
		return append(b, levelName(r.Level)...)
	case "levelno":
		return strconv.AppendInt(b, int64(20+(r.Level-slog.LevelInfo)*10/4), 10)
	case "name":
		return append(b, h.name...)
	case "process":
		return strconv.AppendInt(b, int64(os.Getpid()), 10)
	case "processName":
		return append(b, "jasmind"...)
	case "thread", "threadName":
		return append(b, '0')
	}
	b = appendLine(b, r.Message)
	b = append(b, h.attrs...)
	r.Attrs(func(a slog.Attr) bool {
		b = appendAttr(b, h.prefix, a)
		return true
	})
	return b
}

// maxText is the longest message or value of an attribute in a line; the rest is left out, so that what a
// stranger sends cannot fill the disk line by line.
const maxText = 16 << 10

// appendLine appends text with line breaks and other control characters escaped, those of C1 and the
// line separators of Unicode included, so that no message can forge a line or steer a terminal.
func appendLine(b []byte, s string) []byte {
	s, cut := clip(s)
	for i := 0; i < len(s); {
		if c := s[i]; c >= 0x20 && c < 0x7f {
			b = append(b, c)
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if steers(r, n) {
			for _, c := range []byte(s[i : i+n]) {
				b = append(b, '\\', 'x', "0123456789abcdef"[c>>4], "0123456789abcdef"[c&15])
			}
		} else {
			b = append(b, s[i:i+n]...)
		}
		i += n
	}
	return append(b, cut...)
}

// steers tells whether a rune of n octets is none that is only shown: a control character, a line separator, or an octet that is no UTF-8.
func steers(r rune, n int) bool {
	return r == utf8.RuneError && n == 1 || unicode.IsControl(r) || r == '\u2028' || r == '\u2029'
}

// clip gives the first maxText octets of a text, and what stands for the others.
func clip(s string) (head, cut string) {
	if len(s) <= maxText {
		return s, ""
	}
	n := maxText
	for n > maxText-utf8.UTFMax && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n], fmt.Sprintf("... (%d octets left out)", len(s)-n)
}

func appendAttr(b []byte, prefix string, a slog.Attr) []byte {
	v := a.Value.Resolve()
	if a.Equal(slog.Attr{}) {
		return b
	}
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			prefix += a.Key + "."
		}
		for _, g := range v.Group() {
			b = appendAttr(b, prefix, g)
		}
		return b
	}
	b = append(b, ' ')
	b = append(b, prefix...)
	b = append(b, a.Key...)
	b = append(b, '=')
	switch v.Kind() {
	case slog.KindTime:
		return v.Time().AppendFormat(b, time.RFC3339)
	case slog.KindInt64:
		return strconv.AppendInt(b, v.Int64(), 10)
	}
	s, cut := clip(v.String())
	if s == "" || strings.ContainsAny(s, " \"=") || !utf8.ValidString(s) || strings.IndexFunc(s, func(r rune) bool { return steers(r, utf8.RuneLen(r)) }) >= 0 {
		b = strconv.AppendQuote(b, s)
	} else {
		b = append(b, s...)
	}
	return append(b, cut...)
}

// WithAttrs is the handler with attributes that every record gets.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *h
	b := []byte(h.attrs)
	for _, a := range attrs {
		b = appendAttr(b, h.prefix, a)
	}
	c.attrs = string(b)
	return &c
}

// WithGroup is the handler with a prefix for the keys of further attributes.
func (h *handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	c := *h
	c.prefix += name + "."
	return &c
}

// Content is message text in a log. With privacy on only its length is shown (Jasmin:
// log_privacy).
type Content struct {
	Text    string
	Privacy bool
}

// LogValue is the text or what stands for it.
func (c Content) LogValue() slog.Value { return slog.StringValue(c.String()) }

// String is the text or what stands for it.
func (c Content) String() string {
	if c.Privacy {
		return "** " + strconv.Itoa(len(c.Text)) + " byte content **"
	}
	return c.Text
}

// Printable replaces what could break or forge a log line by dots (Jasmin: all but 0x20-0x7E; ours keeps printable text
// of any script).
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f || r == '\uFFFD' || 0x80 <= r && r < 0xa0 || r == '\u2028' || r == '\u2029' {
			return '.'
		}
		return r
	}, s)
}

var _ io.Closer = (*Logs)(nil)
