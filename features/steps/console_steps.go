package steps

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cucumber/godog"
)

// console is the management console and who is at it.
type console struct {
	gateway  *underTest
	smscs    *smscs
	operator *operator // nil: nobody
}

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

func (c *console) steps(sc *godog.ScenarioContext) {
	sc.Step(`^a gateway that nobody has configured$`, func() error {
		c.gateway.bare = true
		return c.gateway.start()
	})
	sc.Step(`^the store holds a profile of the original in protocol (\d)$`, func(protocol int) error {
		store := filepath.Join(c.gateway.dir, "etc/jasmin/store")
		c.gateway.settings["ROUTER_STORE_PATH"], c.gateway.settings["CLIENT_MANAGEMENT_STORE_PATH"] = store, store
		return os.CopyFS(store, os.DirFS(fmt.Sprintf("../internal/profile/original/testdata/protocol%d", protocol)))
	})
	sc.Step(`^the operator logs in$`, func() error { return c.logIn("jcliadmin", "jclipwd") })
	sc.Step(`^the operator cannot log in as "(\w+)" with password "(\w+)"$`, func(name, password string) error {
		if err := c.logIn(name, password); err == nil {
			return errors.New("he could")
		}
		if last := c.operator.answer; len(last) == 0 || last[0] != "Incorrect Username/Password." {
			return fmt.Errorf("the console said %q", last)
		}
		return nil
	})
	sc.Step(`^he types:$`, func(text *godog.DocString) error {
		for line := range strings.SplitSeq(text.Content, "\n") {
			if err := c.types(line); err != nil {
				return err
			}
		}
		return nil
	})
	sc.Step(`^he types "(.*)"$`, c.types)
	sc.Step(`^he is told:$`, func(text *godog.DocString) error { return c.told(strings.Split(text.Content, "\n")) })
	sc.Step(`^he is told "(.*)"$`, func(line string) error { return c.told([]string{line}) })
	sc.Step(`^he is told, among other things, "(.*)"$`, func(want string) error {
		o, err := c.atConsole()
		if err != nil {
			return err
		}
		for _, line := range o.answer {
			if same(c.filledIn(want), line) {
				return nil
			}
		}
		return fmt.Errorf("the console showed\n%s", strings.Join(o.answer, "\n"))
	})
	sc.Step(`^"(.*)" shows at last:$`, func(line string, text *godog.DocString) error {
		return c.showsAtLast(line, strings.Split(text.Content, "\n"))
	})
	sc.Step(`^"(.*)" shows at last the line "(.*)"$`, func(command, want string) error {
		var last error
		err := until(fmt.Sprintf("%q", want), func() bool {
			if last = c.types(command); last != nil {
				return true
			}
			for _, line := range c.operator.answer {
				if same(want, line) {
					return true
				}
			}
			return false
		})
		if err != nil && c.operator != nil {
			err = fmt.Errorf("%w; the console showed\n%s", err, strings.Join(c.operator.answer, "\n"))
		}
		return errors.Join(last, err)
	})
	sc.Step(`^the script "([\w.]+)":$`, func(name string, text *godog.DocString) error {
		return os.WriteFile(filepath.Join(c.gateway.dir, name), []byte(text.Content+"\n"), 0o600)
	})
	sc.Step(`^no log has "(.*)" in it$`, func(secret string) error {
		logs, err := filepath.Glob(filepath.Join(c.gateway.dir, "log", "*"))
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
			text, err := os.ReadFile(filepath.Join(c.gateway.dir, "log", name))
			return err == nil && strings.Contains(string(text), c.filledIn(want))
		})
	})
}

// filledIn puts what only the scenario knows into a text.
func (c *console) filledIn(text string) string {
	if s := c.smscs.byName[""]; s != nil {
		if host, port, err := net.SplitHostPort(s.address); err == nil {
			text = strings.NewReplacer("<SMSC host>", host, "<SMSC port>", port).Replace(text)
		}
	}
	if c.operator != nil && c.operator.letter != "" {
		text = strings.ReplaceAll(text, "<letter>", c.operator.letter)
	}
	return strings.ReplaceAll(text, "<dir>", c.gateway.dir)
}

// logIn begins a session, in place of another. When it fails the answer is what was said.
func (c *console) logIn(name, password string) error {
	c.leave()
	if err := c.gateway.running(); err != nil {
		return err
	}
	conn, err := net.Dial("tcp", c.gateway.run.address("jcli"))
	if err != nil {
		return err
	}
	c.operator = &operator{conn: conn, r: bufio.NewReader(conn)}
	if _, err := c.operator.until("Username: "); err != nil {
		return err
	}
	fmt.Fprintf(conn, "%s\r\n", name) //nolint:errcheck // the answer will not come
	if _, err := c.operator.until("Password: "); err != nil {
		return err
	}
	fmt.Fprintf(conn, "%s\r\n", password) //nolint:errcheck // likewise
	got, err := c.operator.until(consolePrompt, "\r\nUsername: ")
	if err == nil && strings.HasSuffix(got, "Username: ") {
		c.operator.answer = strings.Split(strings.TrimLeft(got, "\r\n"), "\r\n")
		err = errors.New("the login was refused")
	}
	return err
}

func (c *console) leave() {
	if c.operator != nil {
		c.operator.conn.Close() //nolint:errcheck // the session ends in any case
		c.operator = nil
	}
}

func (c *console) atConsole() (*operator, error) {
	if c.operator == nil {
		return nil, errors.New("nobody is at the console")
	}
	return c.operator, nil
}

// until reads up to one of the texts.
func (o *operator) until(texts ...string) (string, error) {
	if err := o.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	var got strings.Builder
	for {
		b, err := o.r.ReadByte()
		if err != nil {
			return got.String(), fmt.Errorf("waiting for %q: %w, after %q", texts, err, got.String())
		}
		got.WriteByte(b)
		for _, t := range texts {
			if strings.HasSuffix(got.String(), t) {
				return got.String(), nil
			}
		}
	}
}

// types types a line and reads what is shown up to the next prompt.
func (c *console) types(line string) error {
	o, err := c.atConsole()
	if err != nil {
		return err
	}
	line = c.filledIn(line)
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

func (c *console) told(want []string) error {
	o, err := c.atConsole()
	if err != nil {
		return err
	}
	return c.compare(want, o.answer)
}

// compare compares lines; spaces at the end of a line of the feature do not count.
func (c *console) compare(want, got []string) error {
	ok := len(want) == len(got)
	for i := 0; ok && i < len(want); i++ {
		ok = same(c.filledIn(want[i]), strings.TrimRight(got[i], " "))
	}
	if !ok {
		return fmt.Errorf("the console showed\n%s", strings.Join(got, "\n"))
	}
	return nil
}

// showsAtLast repeats a command until it shows what is wanted: sessions come and go by themselves.
func (c *console) showsAtLast(line string, want []string) error {
	var shown, failed error
	err := until(fmt.Sprintf("%q", want), func() bool {
		if failed = c.types(line); failed != nil {
			return true
		}
		shown = c.told(want)
		return shown == nil
	})
	if failed != nil {
		return failed
	}
	return errors.Join(err, shown)
}
