package intercept

import (
	"bufio"
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"jasmind/internal/logging"
	"jasmind/internal/smpp/pdu"
)

//go:embed shim/*.py
var shim embed.FS

// hello is the first frame that a worker gets: the Python program that it runs, and its settings.
type hello struct {
	Sources  map[string]string `json:"sources"`
	Statuses []pair            `json:"statuses"`
	Commands []pair            `json:"commands"`
	Tags     []pair            `json:"tags"`
	Level    int               `json:"level"` // of Python's logging
	Memory   int64             `json:"memory"`
	Path     []string          `json:"path"`
}

type pair [2]any // name, number

// shimParts gives the sources of the embedded Python program with the tables of names that it shares with this package, and the
// boot code for the command line.
var shimParts = sync.OnceValues(func() (hello, string) {
	read := func(name string) string {
		b, err := shim.ReadFile("shim/" + name + ".py")
		if err != nil {
			panic(err) // the files are embedded, so none can be missing
		}
		return string(b)
	}
	h := hello{Sources: map[string]string{}}
	for _, name := range []string{"pdu_types", "routables", "worker"} {
		h.Sources[name] = read(name)
	}
	for s := range pdu.Status(0x200) {
		if n := s.String(); strings.HasPrefix(n, "ESME_") {
			h.Statuses = append(h.Statuses, pair{n, uint32(s)})
		}
	}
	for _, base := range []pdu.CommandID{0, 1 << 31} {
		for c := range pdu.CommandID(0x200) {
			if n := (base | c).String(); !strings.HasPrefix(n, "0x") {
				h.Commands = append(h.Commands, pair{n, uint32(base | c)})
			}
		}
	}
	for t := range pdu.Tag(0x1400) {
		if _, named := tlvKinds[t]; named {
			h.Tags = append(h.Tags, pair{t.String(), uint16(t)})
		}
	}
	return h, read("boot")
})

// errWorkerDied is the error of a call whose worker process ended before it answered.
var errWorkerDied = errors.New("the worker process ended")

// maxScripts bounds the compiled scripts of a worker: before one more is compiled, the worker drops all.
const maxScripts = 256

// worker is one Python process. Only one goroutine at a time may use a worker.
type worker struct {
	cmd     *exec.Cmd
	out     *os.File // requests go to the process here
	life    *os.File // the process ends when this pipe is closed
	prints  *os.File // standard output and standard error of the process
	log     *slog.Logger
	answers chan *frame   // the answer to the call under way
	dead    chan struct{} // closed when the process is gone
	version string        // of the interpreter
	current atomic.Pointer[Script]

	// The goroutine that uses the worker owns these.
	next uint64          // id of the last request
	sent map[string]bool // ids of the scripts that the process has compiled

	mu     sync.Mutex
	reaped bool // the process was waited for, so its id may belong to another process by now
}

// start starts a process and waits for its greeting, at most timeout. The goroutines of the worker are counted in wg.
func start(ctx context.Context, cfg *Config, timeout time.Duration, log *slog.Logger, wg *sync.WaitGroup) (*worker, error) {
	python := cfg.Python
	h, boot := shimParts()
	h.Memory, h.Path = cfg.Memory, append([]string{}, cfg.Path...)
	h.Level = 20
	if log.Enabled(ctx, slog.LevelDebug) {
		h.Level = 10
	}
	var err error
	var files []*os.File
	closeAll := func() {
		for _, f := range files {
			f.Close()
		}
	}
	pipe := func() (r, w *os.File) {
		if err != nil {
			return nil, nil
		}
		if r, w, err = os.Pipe(); err == nil {
			files = append(files, r, w)
		}
		return r, w
	}
	requests, out := pipe()
	in, answers := pipe()
	lifeline, life := pipe()
	output, prints := pipe()
	if err != nil {
		closeAll()
		return nil, fmt.Errorf("start %s: %w", python, err)
	}
	w := &worker{out: out, life: life, prints: output, log: log, answers: make(chan *frame, 1), dead: make(chan struct{}), sent: map[string]bool{}}
	w.cmd = exec.Command(python, "-I", "-c", boot) // -I: neither PYTHON* variables nor a user's packages nor the folder here
	w.cmd.Env = environment(os.Environ(), cfg.Environment)
	w.cmd.Stdout, w.cmd.Stderr = prints, prints
	w.cmd.ExtraFiles = []*os.File{requests, answers, lifeline}
	w.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that its children can be ended with it
	if err := w.cmd.Start(); err != nil {
		closeAll()
		return nil, fmt.Errorf("start %s: %w", python, err)
	}
	for _, f := range []*os.File{requests, answers, lifeline, prints} {
		f.Close()
	}
	greeted := make(chan struct{})
	wg.Go(w.printed)
	wg.Go(func() { w.read(in, greeted) })
	// A process that does not read its input would block the write below for ever. kill ends the process, which closes the pipe.
	stop := context.AfterFunc(ctx, w.kill)
	timer := time.AfterFunc(timeout, w.kill)
	defer timer.Stop()
	greeting, err := appendFrame(nil, h)
	if err == nil {
		_, err = out.Write(greeting)
	}
	select {
	case <-greeted:
	case <-w.dead:
		err = errors.Join(errWorkerDied, err)
	}
	stop()
	if err != nil {
		w.kill()
		<-w.dead
		return nil, fmt.Errorf("start %s: %w, see the log for what it printed", python, err)
	}
	return w, nil
}

// inherited names the environment variables that every worker gets from jasmind. Other variables are left out, since
// some are secrets, such as REDIS_CLIENT_PASSWORD.
var inherited = map[string]bool{"PATH": true, "HOME": true, "USER": true, "LOGNAME": true, "LANG": true, "LANGUAGE": true, "TZ": true,
	"TMPDIR": true, "LD_LIBRARY_PATH": true, "SSL_CERT_FILE": true, "SSL_CERT_DIR": true}

// environment gives the variables of env that a worker gets: the inherited ones, LC_*, and those in names.
func environment(env, names []string) []string {
	out := []string{} // not nil: exec.Cmd would read nil as the whole environment
	for _, v := range env {
		name, _, _ := strings.Cut(v, "=")
		if inherited[name] || strings.HasPrefix(name, "LC_") || slices.Contains(names, name) {
			out = append(out, v)
		}
	}
	return out
}

// read takes frames from the process until it ends or breaks the protocol; then read kills the process and waits for it.
func (w *worker) read(in *os.File, greeted chan struct{}) {
	_ = logging.Guard(w.log, "answers of an interceptor worker", func() { w.readFrames(in, greeted) })
	w.reap(in)
}

// readFrames takes frames until the process ends or breaks the protocol.
func (w *worker) readFrames(in *os.File, greeted chan struct{}) {
	ready := false
	r := bufio.NewReaderSize(in, 32<<10)
	var buf []byte
	for {
		f, err := readFrame(r, &buf)
		if err == nil {
			switch {
			case f.Log != nil:
				w.record(f.Log)
				continue
			case f.Ready != "" && !ready:
				ready = true
				w.version = clip(f.Ready, 32)
				close(greeted)
				continue
			case f.Ready == "" && ready:
				select {
				case w.answers <- f:
					continue
				default:
				}
			}
			err = errors.New("an answer without a request")
		}
		if !errors.Is(err, io.EOF) {
			w.log.Error("interceptor worker broke the protocol", "pid", w.cmd.Process.Pid, "err", err)
		}
		return
	}
}

// reap kills the process and waits for it.
func (w *worker) reap(in *os.File) {
	w.kill()
	w.mu.Lock()
	w.reaped = true
	w.mu.Unlock()
	err := w.cmd.Wait()
	w.log.Debug("interceptor worker ended", "pid", w.cmd.Process.Pid, "err", err)
	_ = w.prints.SetReadDeadline(time.Now().Add(5 * time.Second)) // a grandchild outside the process group may keep the pipe open
	in.Close()
	w.out.Close()
	w.life.Close()
	close(w.dead)
}

// printed logs what scripts and the interpreter print, line by line.
func (w *worker) printed() {
	defer w.prints.Close()
	b := bufio.NewReaderSize(w.prints, 8<<10)
	for {
		line, err := b.ReadSlice('\n')
		if text := strings.TrimRight(string(line), "\r\n"); text != "" {
			w.log.Warn("script printed", "script", w.script(), "text", text)
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}

// record logs what a script logged.
func (w *worker) record(r *logRecord) {
	level := slog.LevelDebug
	switch {
	case r.Level >= 40:
		level = slog.LevelError
	case r.Level >= 30:
		level = slog.LevelWarn
	case r.Level >= 20:
		level = slog.LevelInfo
	}
	w.log.Log(context.Background(), level, "script logged", "logger", clip(r.Logger, 128), "text", clip(r.Text, 8<<10),
		"script", w.script(), "line", r.Line)
}

func (w *worker) script() string {
	if s := w.current.Load(); s != nil {
		return s.String()
	}
	return ""
}

// encode makes the frame of a call.
func (w *worker) encode(s *Script, do string, m *wireMessage) ([]byte, error) {
	w.next++
	r := request{ID: w.next, Do: do, Script: s.id, Name: s.origin, wireMessage: m}
	if !w.sent[s.id] {
		if len(w.sent) == maxScripts {
			clear(w.sent)
			r.Forget = true
		}
		r.Source = &s.source
	}
	return appendFrame(nil, r)
}

// took notes that the process has compiled s, if f says so, and tells whether f answers the last request.
func (w *worker) took(s *Script, f *frame) bool {
	if f.Have {
		w.sent[s.id] = true
	}
	return f.ID == w.next
}

// kill ends the process and its children at once.
func (w *worker) kill() { w.signal(syscall.SIGKILL) }

// abort makes the interpreter print its stack and end.
func (w *worker) abort() { w.signal(syscall.SIGABRT) }

func (w *worker) signal(s syscall.Signal) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.reaped {
		if s == syscall.SIGKILL {
			_ = syscall.Kill(-w.cmd.Process.Pid, s) // the process group; an error means that no process of the group is left
			return
		}
		_ = w.cmd.Process.Signal(s)
	}
}

// stop closes the input of an idle worker, so that the process ends, and kills it if it has not ended within patience.
func (w *worker) stop(patience time.Duration) {
	w.out.Close()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-w.dead:
	case <-timer.C:
		w.kill()
		<-w.dead
	}
}
