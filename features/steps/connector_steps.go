package steps

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"syscall"

	"github.com/cucumber/godog"

	"jasmind/internal/smscsim"
)

func (w *World) connectorSteps(sc *godog.ScenarioContext) {
	sc.Step(`^the connector has:$`, func(t *godog.Table) error {
		if len(w.plan.connectors) == 0 {
			if _, err := w.addConnector("abc", ""); err != nil {
				return err
			}
		}
		return w.setConnector(w.plan.connectors[0], t)
	})
	sc.Step(`^a connector "([\w-]+)" to the SMSC "(\w+)"$`, func(cid, name string) error {
		_, err := w.addConnector(cid, name)
		return err
	})
	sc.Step(`^the connector "([\w-]+)" has:$`, func(cid string, t *godog.Table) error {
		c := w.plan.connector(cid)
		if c == nil {
			return fmt.Errorf("there is no connector %q", cid)
		}
		return w.setConnector(c, t)
	})
	sc.Step(`^the connector "([\w-]+)" goes to the SMSC "(\w+)"$`, func(cid, name string) error {
		c := w.plan.connector(cid)
		s, err := w.smsc(name)
		if c == nil {
			err = fmt.Errorf("there is no connector %q", cid)
		}
		if err != nil {
			return err
		}
		c.to(s)
		return nil
	})
	sc.Step(`^the SMSC "(\w+)" still has its 1 session with (\d+) unanswered messages$`, func(name string, n int) error {
		s, err := w.smsc(name)
		if err != nil {
			return err
		}
		sim, err := s.simulator()
		if err != nil {
			return err
		}
		if st := sim.Stats(); st.Connections != 1 || st.Unanswered != uint64(n) || st.Submitted != uint64(n) {
			return fmt.Errorf("%d connections were made, %d of %d messages are unanswered", st.Connections, st.Unanswered, st.Submitted)
		}
		if list := sim.Sessions(); len(list) != 1 || list[0].State != "BOUND_TRX" {
			return fmt.Errorf("the sessions are %+v", list)
		}
		return nil
	})
	sc.Step(`^the SMSC unbinds every session$`, func() error {
		sim, err := w.simulator("")
		if err != nil {
			return err
		}
		ctx, cancel := deadline()
		defer cancel()
		n, err := sim.Unbind(ctx, "")
		if err == nil && n == 0 {
			err = errors.New("there was none")
		}
		return err
	})
	sc.Step(`^the connector waits for outbind$`, w.waitForOutbind)
	sc.Step(`^the SMSC sends outbind as "(\w+)" with the password "(\w+)"$`, w.sendOutbind)
	sc.Step(`^no bind follows$`, func() error {
		if !errors.Is(w.outbind.err, smscsim.ErrNoBind) {
			return fmt.Errorf("there is the session %+v, %w", w.outbind.session, w.outbind.err)
		}
		return nil
	})
	sc.Step(`^the connector is bound on that connection$`, func() error {
		if w.outbind.err != nil {
			return w.outbind.err
		}
		if s := w.outbind.session; s.Account != smscUser || s.State != "BOUND_TRX" {
			return fmt.Errorf("the session is %+v", s)
		}
		return nil
	})
	sc.Step(`^the SMSC answers no enquire_link$`, func() error {
		s, err := w.smsc("")
		if err != nil {
			return err
		}
		return s.change(func(b *smscsim.Behaviour) { b.MuteEnquireLink = true })
	})
	sc.Step(`^the SMSC takes every accepted message in the order of its acceptance$`, w.inOrder)
	sc.Step(`^the connector binds(?: again)?$`, w.awaitBinds)
	sc.Step(`^the SMSC has (\d+) bound sessions?$`, func(n int) error {
		s := w.smscs[""]
		return until(fmt.Sprintf("%d bound sessions", n), func() bool { return s.bound() == n })
	})
}

// inOrder waits for the messages of a load, and compares the order in which the SMSC took them.
func (w *World) inOrder() error {
	s, err := w.which("")
	if err != nil {
		return err
	}
	if err := w.arrived(s, 0); err != nil {
		return err
	}
	var want, got []string
	for _, a := range w.load.accepted() {
		want = append(want, a.content)
	}
	for _, m := range s.all() {
		if m.Status == "ESME_ROK" && slices.Contains(want, m.Text) {
			got = append(got, m.Text)
		}
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("it took %q, accepted were %q", got, want)
	}
	return nil
}

func (w *World) setConnector(c *connector, t *godog.Table) error {
	values, err := pairs(t)
	if err != nil {
		return err
	}
	for _, kv := range values {
		c.set(kv[0], kv[1])
	}
	return nil
}

// addConnector declares a connector to one of our SMSCs, which is made if it is not there.
func (w *World) addConnector(cid, name string) (*connector, error) {
	s, err := w.smsc(name)
	if err != nil {
		return nil, err
	}
	c := w.connectorTo(cid, s.address, smscUser, smscPassword)
	c.smsc = s
	return c, nil
}

// connectorTo declares a connector to any address. It asks for speed and for reconnections
// at once, where the defaults are one message a second and ten seconds.
func (w *World) connectorTo(cid, address, username, password string) *connector {
	host, port, _ := net.SplitHostPort(address) // of a listener
	c := &connector{cid: cid}
	for _, kv := range [][2]string{{"host", host}, {"port", port}, {"username", username}, {"password", password},
		{"submit_throughput", "0"}, {"con_fail_delay", "0.05"}, {"con_loss_delay", "0.05"}} {
		c.set(kv[0], kv[1])
	}
	w.plan.connectors = append(w.plan.connectors, c)
	return c
}

// to has a connector go to one of our SMSCs.
func (c *connector) to(s *smsc) {
	host, port, _ := net.SplitHostPort(s.address) // of a listener
	c.set("host", host)
	c.set("port", port)
	c.smsc = s
}

// awaitBinds waits until each connector whose SMSC is up, and that connects to it, has all its binds.
func (w *World) awaitBinds() error {
	want := make(map[*smsc]int)
	for _, c := range w.plan.connectors {
		if c.smsc != nil && c.smsc.running() && c.smsc.welcoming && c.get("started", "yes") == "yes" && c.get("outbind", "") == "" {
			want[c.smsc] += number(c.get("binds", "1"))
		}
	}
	for s, n := range want {
		if err := until(fmt.Sprintf("%d binds of SMSC %q", n, s.name), func() bool { return s.bound() >= n }); err != nil {
			return err
		}
	}
	return nil
}

// outbind is what became of the last connection that an SMSC made.
type outbind struct {
	address string // where the connector waits
	session smscsim.SessionView
	err     error
}

// waitForOutbind has the connector abc listen.
func (w *World) waitForOutbind() error {
	c, err := w.addConnector("abc", "")
	if err != nil {
		return err
	}
	if w.outbind.address, err = freeAddress(); err == nil {
		c.set("outbind", w.outbind.address)
	}
	return err
}

// sendOutbind has the SMSC connect, again as long as the connector does not listen.
func (w *World) sendOutbind(systemID, password string) error {
	sim, err := w.simulator("")
	if err != nil {
		return err
	}
	ctx, cancel := deadline()
	defer cancel()
	return until("a connector that listens", func() bool {
		w.outbind.session, w.outbind.err = sim.Outbind(ctx, smscsim.Outbind{Address: w.outbind.address, SystemID: systemID, Password: password,
			Timeout: smscsim.Duration(patience)})
		return !errors.Is(w.outbind.err, syscall.ECONNREFUSED)
	})
}
