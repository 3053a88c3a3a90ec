package steps

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cucumber/godog"

	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
)

// operator is somebody at the console, by a plain TCP connection as of telnet or nc.
type operator struct {
	conn   net.Conn
	r      *bufio.Reader
	answer []string // lines that the console showed after what was typed last
	letter string   // id of the first dead letter that was listed
}

// The console's prompts, each at the beginning of a line.
const (
	consolePrompt     = "\r\njcli : "
	interactivePrompt = "\r\n> "
)

func (w *World) consoleSteps(sc *godog.ScenarioContext) {
	sc.Step(`^a gateway that nobody has configured$`, func() error {
		w.bare = true
		return w.startGateway()
	})
	sc.Step(`^the operator logs in$`, func() error { return w.logIn("jcliadmin", "jclipwd") })
	sc.Step(`^the operator cannot log in as "(\w+)" with password "(\w+)"$`, func(name, password string) error {
		if err := w.logIn(name, password); err == nil {
			return errors.New("he could")
		}
		if last := w.operator.answer; len(last) == 0 || last[0] != "Incorrect Username/Password." {
			return fmt.Errorf("the console said %q", last)
		}
		return nil
	})
	sc.Step(`^he types:$`, func(text *godog.DocString) error {
		for line := range strings.SplitSeq(text.Content, "\n") {
			if err := w.types(line); err != nil {
				return err
			}
		}
		return nil
	})
	sc.Step(`^he types "(.*)"$`, w.types)
	sc.Step(`^he is told:$`, func(text *godog.DocString) error { return w.told(strings.Split(text.Content, "\n")) })
	sc.Step(`^he is told "(.*)"$`, func(line string) error { return w.told([]string{line}) })
	sc.Step(`^he is told, among other things, "(.*)"$`, func(want string) error {
		o, err := w.atConsole()
		if err != nil {
			return err
		}
		for _, line := range o.answer {
			if same(w.filledIn(want), line) {
				return nil
			}
		}
		return fmt.Errorf("the console showed\n%s", strings.Join(o.answer, "\n"))
	})
	sc.Step(`^"(.*)" shows at last:$`, func(line string, text *godog.DocString) error {
		return w.showsAtLast(line, strings.Split(text.Content, "\n"))
	})
	sc.Step(`^"(.*)" shows at last the line "(.*)"$`, func(command, want string) error {
		var last error
		err := until(fmt.Sprintf("%q", want), func() bool {
			if last = w.types(command); last != nil {
				return true
			}
			for _, line := range w.operator.answer {
				if same(want, line) {
					return true
				}
			}
			return false
		})
		if err != nil && w.operator != nil {
			err = fmt.Errorf("%w; the console showed\n%s", err, strings.Join(w.operator.answer, "\n"))
		}
		return errors.Join(last, err)
	})
	sc.Step(`^the script "([\w.]+)":$`, func(name string, text *godog.DocString) error {
		return os.WriteFile(filepath.Join(w.dir, name), []byte(text.Content+"\n"), 0o600)
	})
	sc.Step(`^no log has "(.*)" in it$`, func(secret string) error {
		logs, err := filepath.Glob(filepath.Join(w.dir, "log", "*"))
		if err != nil || len(logs) == 0 {
			return fmt.Errorf("no logs: %w", err)
		}
		for _, path := range logs {
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for line := range strings.Lines(string(text)) {
				if strings.Contains(line, secret) {
					return fmt.Errorf("%s has it: %s", filepath.Base(path), line)
				}
			}
		}
		return nil
	})
	sc.Step(`^the log "([\w.-]+)" has a line with "(.*)"$`, func(name, want string) error {
		return until(fmt.Sprintf("%q in %s", want, name), func() bool {
			text, err := os.ReadFile(filepath.Join(w.dir, "log", name))
			return err == nil && strings.Contains(string(text), w.filledIn(want))
		})
	})
}

func (w *World) customerSteps(sc *godog.ScenarioContext) {
	sc.Step(`^the customer "(\w+)" is bound$`, func(name string) error { return w.bind(name, "bar") })
	sc.Step(`^the customer "(\w+)" is bound with password "(\w+)"$`, w.bind)
	sc.Step(`^the customer's session has ended$`, func() error {
		if w.customer == nil {
			return errors.New("he was not bound")
		}
		select {
		case <-w.customer.Done():
			return nil
		case <-time.After(patience):
			return errors.New("it goes on")
		}
	})
	sc.Step(`^the customer "(\w+)" cannot bind any more$`, func(name string) error { return w.cannotBind(name, "bar") })
	sc.Step(`^the customer "(\w+)" cannot bind with password "(\w+)"$`, w.cannotBind)
	sc.Step(`^every log says all it can$`, func() {
		for _, section := range []string{"SMPP_SERVER", "CLIENT_MANAGEMENT", "SERVICE_SMPPCLIENT", "SM_LISTENER", "DLR", "AMQP_BROKER", "HTTP_API", "ROUTER",
			"DLR_THROWER", "REDIS_CLIENT", "JCLI", "INTERCEPTOR"} {
			w.settings[section+"_LOG_LEVEL"] = "TRACE"
		}
	})
}

// bind binds an ESME, in place of the one before.
func (w *World) bind(name, password string) error {
	if w.gateway == nil {
		return errors.New("the gateway is not running")
	}
	w.dismissCustomer()
	ctx, cancel := deadline()
	defer cancel()
	s, _, err := smpp.Dial(ctx, "tcp", w.gateway.address("smpp-server"), smpp.DialConfig{
		Bind: pdu.Bind{Type: pdu.Transceiver, SystemID: name, Password: password, InterfaceVersion: 0x34}})
	if err != nil {
		return err
	}
	w.customer, w.customerGone = s, make(chan struct{})
	go func() {
		defer close(w.customerGone)
		_ = s.Run(context.Background()) // how it ended is not the customer's concern
	}()
	return nil
}

func (w *World) dismissCustomer() {
	if w.customer != nil {
		w.customer.Close(errors.New("the scenario has ended"))
		<-w.customerGone
		w.customer = nil
	}
}

func (w *World) cannotBind(name, password string) error {
	err := w.bind(name, password)
	var refusal *smpp.StatusError
	if errors.As(err, &refusal) {
		return nil
	}
	if err == nil {
		return errors.New("the bind was accepted")
	}
	return err
}

// filledIn puts what only the scenario knows into a text.
func (w *World) filledIn(text string) string {
	if s := w.smscs[""]; s != nil {
		if host, port, err := net.SplitHostPort(s.address); err == nil {
			text = strings.NewReplacer("<SMSC host>", host, "<SMSC port>", port).Replace(text)
		}
	}
	if w.operator != nil && w.operator.letter != "" {
		text = strings.ReplaceAll(text, "<letter>", w.operator.letter)
	}
	return strings.ReplaceAll(text, "<dir>", w.dir)
}

// logIn begins a session, in place of another. When it fails the answer is what was said.
func (w *World) logIn(name, password string) error {
	w.leaveConsole()
	if w.gateway == nil {
		return errors.New("the gateway is not running")
	}
	conn, err := net.Dial("tcp", w.gateway.address("jcli"))
	if err != nil {
		return err
	}
	w.operator = &operator{conn: conn, r: bufio.NewReader(conn)}
	if _, err := w.operator.until("Username: "); err != nil {
		return err
	}
	fmt.Fprintf(conn, "%s\r\n", name) //nolint:errcheck // the answer will not come
	if _, err := w.operator.until("Password: "); err != nil {
		return err
	}
	fmt.Fprintf(conn, "%s\r\n", password) //nolint:errcheck // likewise
	got, err := w.operator.until(consolePrompt, "\r\nUsername: ")
	if err == nil && strings.HasSuffix(got, "Username: ") {
		w.operator.answer = strings.Split(strings.TrimLeft(got, "\r\n"), "\r\n")
		err = errors.New("the login was refused")
	}
	return err
}

func (w *World) leaveConsole() {
	if w.operator != nil {
		w.operator.conn.Close() //nolint:errcheck // the session ends in any case
		w.operator = nil
	}
}

func (w *World) atConsole() (*operator, error) {
	if w.operator == nil {
		return nil, errors.New("nobody is at the console")
	}
	return w.operator, nil
}

// until reads up to one of the texts.
func (o *operator) until(texts ...string) (string, error) {
	if err := o.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	var got strings.Builder
	for {
		c, err := o.r.ReadByte()
		if err != nil {
			return got.String(), fmt.Errorf("waiting for %q: %w, after %q", texts, err, got.String())
		}
		got.WriteByte(c)
		for _, t := range texts {
			if strings.HasSuffix(got.String(), t) {
				return got.String(), nil
			}
		}
	}
}

// types types a line and reads what is shown up to the next prompt.
func (w *World) types(line string) error {
	o, err := w.atConsole()
	if err != nil {
		return err
	}
	line = w.filledIn(line)
	if _, err := o.conn.Write([]byte(line + "\r\n")); err != nil {
		return err
	}
	got, err := o.until(consolePrompt, interactivePrompt)
	if err != nil {
		return err
	}
	got = strings.TrimSuffix(strings.TrimSuffix(got, consolePrompt), interactivePrompt)
	_, got, _ = strings.Cut(got, "\r\n") // without the echo
	o.answer = strings.Split(got, "\r\n")
	for _, l := range o.answer {
		if id, ok := strings.CutPrefix(l, "#"); ok && strings.HasPrefix(line, "dlq -l") && !strings.HasPrefix(id, "Letter") && o.letter == "" {
			o.letter, _, _ = strings.Cut(id, " ")
		}
	}
	return nil
}

func (w *World) told(want []string) error {
	o, err := w.atConsole()
	if err != nil {
		return err
	}
	return w.compare(want, o.answer)
}

// compare compares lines; spaces at the end of a line of the feature do not count.
func (w *World) compare(want, got []string) error {
	ok := len(want) == len(got)
	for i := 0; ok && i < len(want); i++ {
		ok = same(w.filledIn(want[i]), strings.TrimRight(got[i], " "))
	}
	if !ok {
		return fmt.Errorf("the console showed\n%s", strings.Join(got, "\n"))
	}
	return nil
}

// showsAtLast repeats a command until it shows what is wanted: sessions come and go by themselves.
func (w *World) showsAtLast(line string, want []string) error {
	var shown, failed error
	err := until(fmt.Sprintf("%q", want), func() bool {
		if failed = w.types(line); failed != nil {
			return true
		}
		shown = w.told(want)
		return shown == nil
	})
	if failed != nil {
		return failed
	}
	return errors.Join(err, shown)
}
