package logging

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/DeRuina/timberjack"
)

// Logs owns the files that loggers write to: two services that name the same file share
// it. It is safe for concurrent use.
type Logs struct {
	stdout io.Writer
	limits Limits

	mu      sync.Mutex // guards what follows
	sinks   map[string]*sink
	dropped int64 // of sinks that are closed
}

// Limits bound what each log takes of the disk ([logs] in jasmin.cfg).
type Limits struct {
	MiB   int // max_size: of a file, then a new one begins, default 1 TiB
	Files int // max_files: older files that are kept, 0: all
	Days  int // max_days: for which older files are kept, 0: for ever
}

// New makes an empty set; stdout receives what is logged to standard output, nil: os.Stdout.
func New(stdout io.Writer, limits Limits) *Logs {
	if limits.MiB <= 0 {
		limits.MiB = 1 << 20
	}
	if stdout == nil {
		stdout = os.Stdout
	}
	return &Logs{stdout: stdout, limits: limits, sinks: make(map[string]*sink)}
}

// Logger opens a service's log, which stays open until Close. The error names the key at
// fault or the file that cannot be written.
func (l *Logs) Logger(name string, cfg Config) (*slog.Logger, error) {
	log, _, err := l.Open(name, cfg)
	return log, err
}

// Open is Logger for a log that ends before the others do: release, to be called once,
// closes its file unless another log writes to it too. What is logged after that is lost.
func (l *Logs) Open(name string, cfg Config) (log *slog.Logger, release func() error, err error) {
	format, err := parseFormat(cfg.Format)
	if err != nil {
		return nil, nil, fmt.Errorf("log_format: %w", err)
	}
	layout, err := goLayout(cfg.DateFormat)
	if err != nil {
		return nil, nil, fmt.Errorf("log_date_format: %w", err)
	}
	s, err := l.sink(cfg)
	if err != nil {
		return nil, nil, err
	}
	return slog.New(&handler{level: cfg.Level, format: format, layout: layout, name: name, sink: s}), func() error { return l.release(s) }, nil
}

// release closes a sink that nobody uses any more.
func (l *Logs) release(s *sink) error {
	l.mu.Lock()
	if s.users--; s.users > 0 || l.sinks[s.key] != s {
		l.mu.Unlock()
		return nil
	}
	delete(l.sinks, s.key)
	l.mu.Unlock()
	// Not under the lock: the rest of a file is written, and other files go on meanwhile.
	err := s.close()
	l.mu.Lock()
	l.dropped += s.droppedTotal // of a closed one, which does not change
	l.mu.Unlock()
	return err
}

// Writer opens a file for lines that are formatted already (the access log). Each Write
// must be whole lines.
func (l *Logs) Writer(cfg Config) (io.Writer, error) {
	s, err := l.sink(cfg)
	if err != nil {
		return nil, err
	}
	return lineWriter{s}, nil
}

type lineWriter struct{ s *sink }

func (w lineWriter) Write(p []byte) (int, error) {
	w.s.write(slog.LevelInfo, p)
	return len(p), nil
}

func (l *Logs) sink(cfg Config) (*sink, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := cfg.File
	switch {
	case cfg.File == "":
		key = "\x00discard"
	case strings.Contains(cfg.File, "stdout"): // Jasmin: any name with stdout in it
		key = "\x00stdout"
	}
	if s := l.sinks[key]; s != nil {
		s.users++
		return s, nil
	}
	var out io.Writer
	var file io.Closer
	switch key {
	case "\x00discard":
		out = io.Discard
	case "\x00stdout":
		out = l.stdout
	default:
		f, err := open(cfg, l.limits)
		if err != nil {
			return nil, err
		}
		out, file = f, f
	}
	s := newSink(out)
	s.key, s.file, s.users = key, file, 1
	l.sinks[key] = s
	return s, nil
}

// Dropped is the number of lines that found no room, over all files.
func (l *Logs) Dropped() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.dropped
	for _, s := range l.sinks {
		s.mu.Lock()
		n += s.droppedTotal
		s.mu.Unlock()
	}
	return n
}

// Close writes what is buffered and closes the files. Lines logged later are lost.
func (l *Logs) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for _, s := range l.sinks {
		errs = append(errs, s.close())
	}
	l.sinks = make(map[string]*sink)
	return errors.Join(errs...)
}

// open creates the file and its folder at once, so that a path that cannot be written is
// found at start.
func open(cfg Config, limits Limits) (io.WriteCloser, error) {
	rot, err := parseRotation(cfg.Rotate)
	if err != nil {
		return nil, fmt.Errorf("log_rotate: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(cfg.File), 0o755); err != nil {
		return nil, fmt.Errorf("log_file %s: %w", cfg.File, err)
	}
	f, err := os.OpenFile(cfg.File, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
	if err != nil {
		return nil, fmt.Errorf("log_file %s: %w", cfg.File, err)
	}
	f.Close()
	tj := &timberjack.Logger{Filename: cfg.File, MaxSize: limits.MiB, MaxBackups: limits.Files, MaxAge: limits.Days, LocalTime: true, AppendTimeAfterExt: true,
		RotationInterval: rot.every, BackupTimeFormat: "2006-01-02_15-04-05", FileMode: 0o640}
	if rot.midnight && rot.weekday < 0 {
		tj.RotateAt = []string{"00:00"}
	}
	if rot.midnight && rot.weekday >= 0 {
		return &weekly{Logger: tj, day: time.Weekday((rot.weekday + 1) % 7), next: nextWeekday(time.Now(), time.Weekday((rot.weekday+1)%7))}, nil
	}
	return tj, nil
}

// weekly rotates at midnight of one weekday, which timberjack does not know.
type weekly struct {
	*timberjack.Logger
	day  time.Weekday
	next time.Time
}

func (w *weekly) Write(p []byte) (int, error) {
	if now := time.Now(); !now.Before(w.next) {
		w.next = nextWeekday(now, w.day)
		if err := w.Rotate(); err != nil {
			return 0, err
		}
	}
	return w.Logger.Write(p)
}

// nextWeekday is the first midnight after now at which the given weekday begins.
func nextWeekday(now time.Time, day time.Weekday) time.Time {
	y, m, d := now.Date()
	ahead := (int(day) - int(now.Weekday()) + 7) % 7
	if ahead == 0 {
		ahead = 7
	}
	return time.Date(y, m, d+ahead, 0, 0, 0, 0, now.Location())
}

type rotation struct {
	every    time.Duration
	midnight bool
	weekday  int // 0 = Monday, -1: every day
}

// parseRotation reads a log_rotate.
func parseRotation(s string) (rotation, error) {
	r := rotation{weekday: -1}
	switch s {
	case "", "midnight":
		r.midnight = true
	case "S", "s":
		r.every = time.Second
	case "M", "m":
		r.every = time.Minute
	case "H", "h":
		r.every = time.Hour
	case "D", "d":
		r.every = 24 * time.Hour
	default:
		n, err := strconv.Atoi(strings.TrimPrefix(strings.ToUpper(s), "W"))
		if len(s) != 2 || err != nil || n < 0 || n > 6 {
			return r, fmt.Errorf("%q is none of S, M, H, D, W0 to W6, midnight", s)
		}
		r.midnight, r.weekday = true, n
	}
	return r, nil
}

// bufferMax is how many octets of lines wait to be written at most. Debug lines use half
// of it, information three quarters, so that warnings find room.
const bufferMax = 4 << 20

// pieceMax is how many octets of lines are written at a time: a file takes less than its greatest size, 1 MiB or more, in one write.
const pieceMax = 512 << 10

// pieceOf gives the first lines of several, as many as are written at a time; of a longer line its beginning.
func pieceOf(lines []byte) []byte {
	if len(lines) <= pieceMax {
		return lines
	}
	if end := bytes.LastIndexByte(lines[:pieceMax], '\n'); end >= 0 {
		return lines[:end+1]
	}
	return lines[:pieceMax]
}

// sink writes lines in a goroutine of its own.
type sink struct {
	key   string
	out   io.Writer
	file  io.Closer // nil: out is not ours
	users int       // logs that write to it; guarded by Logs.mu

	mu           sync.Mutex // guards what follows; never held over a write
	cond         *sync.Cond
	buf          []byte
	dropped      int64 // since the last line about it
	droppedTotal int64
	closed       bool
	done         chan struct{}
}

func newSink(out io.Writer) *sink {
	s := &sink{out: out, done: make(chan struct{})}
	s.cond = sync.NewCond(&s.mu)
	go s.run()
	return s
}

func (s *sink) write(level slog.Level, line []byte) {
	room := bufferMax
	switch {
	case level < slog.LevelInfo:
		room = bufferMax / 2
	case level < slog.LevelWarn:
		room = bufferMax / 4 * 3
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	if len(s.buf)+len(line) > room {
		s.dropped++
		s.droppedTotal++
		return
	}
	s.buf = append(s.buf, line...)
	s.cond.Signal()
}

func (s *sink) run() {
	defer close(s.done)
	var spare []byte
	failing := false
	for {
		s.mu.Lock()
		for len(s.buf) == 0 && !s.closed {
			s.cond.Wait()
		}
		batch, dropped, closed := s.buf, s.dropped, s.closed
		s.buf, s.dropped = spare[:0], 0
		s.mu.Unlock()
		if dropped > 0 {
			batch = fmt.Appendf(batch, "%s %-8s %d log buffer was full, %d lines dropped\n", time.Now().Format("2006-01-02 15:04:05"), "WARNING", os.Getpid(), dropped)
		}
		for rest := batch; len(rest) > 0; {
			piece := pieceOf(rest)
			rest = rest[len(piece):]
			if _, err := s.out.Write(piece); err != nil && !failing {
				fmt.Fprintln(os.Stderr, "jasmind: writing a log:", err)
				failing = true
			} else if err == nil {
				failing = false
			}
		}
		if closed && len(batch) == 0 {
			return
		}
		if spare = batch; cap(spare) > 1<<20 {
			spare = nil
		}
	}
}

func (s *sink) close() error {
	s.mu.Lock()
	s.closed = true
	s.cond.Signal()
	s.mu.Unlock()
	<-s.done
	if s.file == nil {
		return nil
	}
	if err := s.file.Close(); err != nil {
		return fmt.Errorf("close log: %w", err)
	}
	return nil
}
