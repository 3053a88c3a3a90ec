package steps

import (
	"errors"
	"fmt"
	"net"
	"syscall"

	"github.com/cucumber/godog"

	"jasmind/internal/smscsim"
)

// connectors are those that the provisioning file declares, and the SMSCs that they go to.
type connectors struct {
	plan    *plan
	smscs   *smscs
	outbind outbind
}

func (cs *connectors) steps(sc *godog.ScenarioContext, l *load) {
	sc.Step(`^the connector has:$`, func(t *godog.Table) error {
		if len(cs.plan.connectors) == 0 {
			if _, err := cs.add("abc", ""); err != nil {
				return err
			}
		}
		return cs.plan.connectors[0].setAll(t)
	})
	sc.Step(`^a connector "([\w-]+)" to the SMSC "(\w+)"$`, func(cid, name string) error {
		_, err := cs.add(cid, name)
		return err
	})
	sc.Step(`^the connector "([\w-]+)" has:$`, func(cid string, t *godog.Table) error {
		c := cs.plan.connector(cid)
		if c == nil {
			return fmt.Errorf("there is no connector %q", cid)
		}
		return c.setAll(t)
	})
	sc.Step(`^the connector "([\w-]+)" goes to the SMSC "(\w+)"$`, func(cid, name string) error {
		c := cs.plan.connector(cid)
		s, err := cs.smscs.named(name)
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
		s, err := cs.smscs.named(name)
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
		sim, err := cs.smscs.simulator("")
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
	sc.Step(`^the connector waits for outbind$`, cs.waitForOutbind)
	sc.Step(`^the SMSC sends outbind as "(\w+)" with the password "(\w+)"$`, cs.sendOutbind)
	sc.Step(`^no bind follows$`, func() error {
		if !errors.Is(cs.outbind.err, smscsim.ErrNoBind) {
			return fmt.Errorf("there is the session %+v, %w", cs.outbind.session, cs.outbind.err)
		}
		return nil
	})
	sc.Step(`^the connector is bound on that connection$`, func() error {
		if cs.outbind.err != nil {
			return cs.outbind.err
		}
		if s := cs.outbind.session; s.Account != smscUser || s.State != "BOUND_TRX" {
			return fmt.Errorf("the session is %+v", s)
		}
		return nil
	})
	sc.Step(`^the SMSC answers no enquire_link$`, func() error {
		s, err := cs.smscs.named("")
		if err != nil {
			return err
		}
		return s.change(func(b *smscsim.Behaviour) { b.MuteEnquireLink = true })
	})
	sc.Step(`^the SMSC takes every accepted message in the order of its acceptance$`, l.inOrder)
	sc.Step(`^the connector binds(?: again)?$`, cs.awaitBinds)
	sc.Step(`^the SMSC has (\d+) bound sessions?$`, func(n int) error {
		s := cs.smscs.byName[""]
		return until(fmt.Sprintf("%d bound sessions", n), func() bool { return s.bound() == n })
	})
}

// setAll sets what a table has.
func (c *connector) setAll(t *godog.Table) error {
	values, err := pairs(t)
	if err != nil {
		return err
	}
	for _, kv := range values {
		c.set(kv[0], kv[1])
	}
	return nil
}

// add declares a connector to one of our SMSCs, which is made if it is not there.
func (cs *connectors) add(cid, name string) (*connector, error) {
	s, err := cs.smscs.named(name)
	if err != nil {
		return nil, err
	}
	c := cs.addTo(cid, s.address, smscUser, smscPassword)
	c.smsc = s
	return c, nil
}

// addTo declares a connector to any address. It asks for speed and for reconnections
// at once, where the defaults are one message a second and ten seconds.
func (cs *connectors) addTo(cid, address, username, password string) *connector {
	host, port, _ := net.SplitHostPort(address) // of a listener
	c := &connector{cid: cid}
	for _, kv := range [][2]string{{"host", host}, {"port", port}, {"username", username}, {"password", password},
		{"submit_throughput", "0"}, {"con_fail_delay", "0.05"}, {"con_loss_delay", "0.05"}} {
		c.set(kv[0], kv[1])
	}
	cs.plan.connectors = append(cs.plan.connectors, c)
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
func (cs *connectors) awaitBinds() error {
	want := make(map[*smsc]int)
	for _, c := range cs.plan.connectors {
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
func (cs *connectors) waitForOutbind() error {
	c, err := cs.add("abc", "")
	if err != nil {
		return err
	}
	if cs.outbind.address, err = freeAddress(); err == nil {
		c.set("outbind", cs.outbind.address)
	}
	return err
}

// sendOutbind has the SMSC connect, again as long as the connector does not listen.
func (cs *connectors) sendOutbind(systemID, password string) error {
	sim, err := cs.smscs.simulator("")
	if err != nil {
		return err
	}
	ctx, cancel := deadline()
	defer cancel()
	return until("a connector that listens", func() bool {
		cs.outbind.session, cs.outbind.err = sim.Outbind(ctx, smscsim.Outbind{Address: cs.outbind.address, SystemID: systemID, Password: password,
			Timeout: smscsim.Duration(patience)})
		return !errors.Is(cs.outbind.err, syscall.ECONNREFUSED)
	})
}
