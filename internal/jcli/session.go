package jcli

import (
	"context"
	"crypto/subtle"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"jasmind/internal/account"
	"jasmind/internal/admission"
	"jasmind/internal/sms"
)

const (
	mainPrompt        = "jcli : "
	interactivePrompt = "> "
	maxFailures       = 3 // of logging in
	maxHistory        = 100
)

// session is one client. All of it belongs to the goroutine of run, save stop and conn.Close.
type session struct {
	srv  *Server
	conn net.Conn
	in   *input
	out  *output
	term *term.Terminal
	ref  int
	log  *slog.Logger

	began    time.Time
	history  history
	loggedIn bool
	leaving  bool
	active   *interaction // the interactive session, if one is open

	mu      sync.Mutex // guards stopped, and orders it with deadlines
	stopped bool
}

// interaction is an interactive session: what the operator types are keys with values,
// until ok or ko.
type interaction struct {
	keys []string // for TAB
	// set takes a key and its value; save ends the session if it succeeds, by calling end.
	set  func(key, value string)
	save func()
}

func newSession(srv *Server, conn net.Conn, ref int) *session {
	s := &session{srv: srv, conn: conn, ref: ref, began: time.Now(), out: newOutput(conn, srv.cfg.WriteTimeout)}
	s.log = srv.log.With("sref", ref, "peer", conn.RemoteAddr().String())
	s.in = &input{read: s.read, reply: func(p []byte) { _, _ = s.out.Write(p) }}
	s.term = term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{s.in, s.out}, mainPrompt)
	// Lines are never broken by us: a program gets back what it has sent, and a terminal
	// wraps by itself.
	_ = s.term.SetSize(1<<20, 24)
	s.term.History = &s.history
	s.term.AutoCompleteCallback = s.complete
	return s
}

// read waits for the client, after everything was sent to it.
func (s *session) read(p []byte) (int, error) {
	if err := s.out.flush(); err != nil {
		return 0, err
	}
	deadline := s.began.Add(s.srv.cfg.LoginTimeout) // of the whole login: no key prolongs it
	if s.loggedIn {
		deadline = time.Now().Add(s.srv.cfg.IdleTimeout)
	}
	s.mu.Lock()
	if s.stopped {
		s.mu.Unlock()
		return 0, net.ErrClosed
	}
	err := s.conn.SetReadDeadline(deadline)
	s.mu.Unlock()
	if err != nil {
		return 0, err
	}
	return s.conn.Read(p)
}

// stop ends the session as soon as it waits for the client.
func (s *session) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	_ = s.conn.SetReadDeadline(time.Unix(1, 0))
}

func (s *session) run() {
	s.log.Info("new session started")
	err := s.converse()
	switch {
	case err == nil, errors.Is(err, io.EOF):
		s.log.Info("session stopped")
	case errors.Is(err, os.ErrDeadlineExceeded):
		s.mu.Lock()
		stopped := s.stopped
		s.mu.Unlock()
		if !stopped {
			s.print("", "Session timed out.")
		}
		s.log.Info("session stopped", "err", err)
	default:
		s.log.Info("session stopped", "err", err)
	}
	_ = s.out.flush()
}

// converse returns nil after quit.
func (s *session) converse() error {
	_, _ = s.out.Write(telnetGreeting)
	if s.srv.cfg.Authentication {
		ok, err := s.login()
		if !ok {
			return err
		}
	}
	s.loggedIn, s.history.on = true, true
	if c := admission.Of(s.conn); c != nil {
		c.Known()
	}
	s.print("Welcome to Jasmin console", "Type help or ? to list commands.", "", "Session ref: "+strconv.Itoa(s.ref))
	for !s.leaving {
		prompt := mainPrompt
		if s.active != nil {
			prompt = interactivePrompt
		}
		line, err := s.readLine(prompt)
		if err != nil {
			return err
		}
		if s.in.overlong {
			s.in.overlong = false
			s.print("Error: line is longer than " + strconv.Itoa(maxLine) + " characters")
			continue
		}
		s.line(strings.TrimSpace(line))
	}
	return nil
}

func (s *session) readLine(prompt string) (string, error) {
	s.term.SetPrompt(prompt)
	line, err := s.term.ReadLine()
	if errors.Is(err, term.ErrPasteIndicator) {
		err = nil
	}
	return line, err
}

// login asks for username and password, three times at most; ok tells whether they were right.
func (s *session) login() (ok bool, err error) {
	s.print("Authentication required.", "")
	for range maxFailures {
		username := ""
		for username == "" {
			if username, err = s.readLine("Username: "); err != nil {
				return false, err
			}
			username = strings.TrimSpace(username)
		}
		s.in.secret = true
		password, err := s.term.ReadPassword("Password: ")
		s.in.secret = false
		if err != nil {
			return false, err
		}
		if s.in.overlong {
			s.in.overlong, password = false, ""
		}
		password = strings.TrimSpace(password)
		err = s.authenticate(username, password)
		if err == nil && s.refusesDefault(password) {
			s.log.Warn("login refused: the default password is for this host alone, change admin_password of [jcli]", "username", username)
			s.print("The default password is accepted from this host alone: change admin_password of section [jcli] in jasmin.cfg.")
			return false, nil
		}
		if err == nil {
			s.log.Info("logged in", "username", username)
			return true, nil
		}
		s.log.Warn("login failed", "username", username, "err", err)
		var refused *admission.RefusedError
		switch {
		case errors.As(err, &refused):
			s.print("Too many failed logins, try again in " + strconv.Itoa(int(refused.Wait/time.Second)+1) + " seconds.")
			return false, nil
		case sms.ReasonOf(err) != sms.ReasonAuthentication:
			s.print("Too many logins at this moment, try again later.")
			return false, nil
		}
		s.print("Incorrect Username/Password.", "")
	}
	return false, nil
}

// authenticate compares a password with the operator's, within the time of the login.
func (s *session) authenticate(username, password string) error {
	ctx, cancel := context.WithDeadline(s.srv.ctx, s.began.Add(s.srv.cfg.LoginTimeout))
	defer cancel()
	var p *account.Password // of nobody
	if subtle.ConstantTimeCompare([]byte(username), []byte(s.srv.cfg.AdminUsername)) == 1 {
		p = &s.srv.cfg.AdminPassword
	}
	return s.srv.deps.Auth.Verify(ctx, admission.AddressOf(s.conn.RemoteAddr().String()), username, p, password)
}

// print writes lines.
func (s *session) print(lines ...string) {
	for _, line := range lines {
		s.out.text(line)
		s.out.text("\n")
	}
}

// line handles one line of a client that has logged in.
func (s *session) line(line string) {
	name, arg := parseLine(line)
	switch {
	case s.active != nil:
		s.interact(line, name, arg)
	case line == "":
	default:
		c := findCommand(name)
		if c == nil {
			s.print("Incorrect command: " + helpOf(line) + ", type help for a list of commands")
			return
		}
		s.log.Info("command", "line", line) // secrets are only in interactive sessions
		c.run(s, arg)
	}
}

// interact handles one line of an interactive session.
func (s *session) interact(line, key, value string) {
	switch {
	case line == "":
	case key == "ko":
		s.end()
	case key == "quit":
		s.print("Exit session before quitting")
	case key == "ok":
		s.active.save()
	default:
		s.active.set(key, value)
	}
}

// begin opens an interactive session.
func (s *session) begin(announcement string, i *interaction) {
	s.active = i
	s.print(announcement)
}

// end closes the interactive session.
func (s *session) end() { s.active = nil }

// helpOf spells ? as help.
func helpOf(line string) string {
	if rest, ok := strings.CutPrefix(line, "?"); ok {
		return "help " + rest
	}
	return line
}

// parseLine splits a line without outer spaces into a word of letters, digits and
// underscores, and what follows it.
func parseLine(line string) (name, arg string) {
	line = helpOf(line)
	end := strings.IndexFunc(line, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_'
	})
	if end < 0 {
		end = len(line)
	}
	return line[:end], strings.TrimSpace(line[end:])
}

// complete answers a TAB: it completes the word, or lists what can stand there. The TAB
// comes alone (see input), so what is written here stands in its place.
func (s *session) complete(line string, pos int, key rune) (newLine string, newPos int, ok bool) {
	if key != '\t' || !s.loggedIn || pos != len(line) {
		return "", 0, false
	}
	prompt, words := mainPrompt, commandNames()
	if s.active != nil {
		prompt, words = interactivePrompt, s.active.keys
	}
	name, arg := parseLine(line)
	if line != "" && (arg != "" || name != line) {
		return "", 0, false
	}
	var matching []string
	for _, w := range words {
		if strings.HasPrefix(w, name) {
			matching = append(matching, w)
		}
	}
	switch {
	case len(matching) > 1:
		s.out.text("\n" + strings.Join(matching, " ") + "\n" + prompt + line)
	case len(matching) == 1 && matching[0] != name:
		s.in.inject(matching[0][len(name):] + " ")
	}
	return "", 0, false
}

// history keeps the lines that were typed, most recent first, without empty ones.
type history struct {
	on    bool
	lines []string
}

// Add is called for every line.
func (h *history) Add(line string) {
	if !h.on || strings.TrimSpace(line) == "" || len(h.lines) > 0 && h.lines[0] == line {
		return
	}
	h.lines = slices.Insert(h.lines, 0, line)
	h.lines = h.lines[:min(len(h.lines), maxHistory)]
}

// Len is the number of lines.
func (h *history) Len() int { return len(h.lines) }

// At gives a line, 0 being the most recent.
func (h *history) At(i int) string { return h.lines[i] }
