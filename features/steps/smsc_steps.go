package steps

import (
	"context"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cucumber/godog"

	"jasmind/internal/smscsim"
)

// The account that connectors bind with.
const (
	smscUser     = "smppclient1"
	smscPassword = "password"
)

// smsc is a simulated SMSC at an address of its own, which it keeps while it is down.
// What arrived before it went down is still known.
type smsc struct {
	name      string
	address   string
	config    smscsim.Config
	rules     []smscsim.Rule // to begin with
	down      bool           // it is not to be started with the others
	welcoming bool           // binds are accepted, at last

	mu      sync.Mutex
	sim     *smscsim.Simulator // nil while it is down
	former  []smscsim.Message  // from before the last stop
	message int                // how many were looked at by steps
	taken   []smscsim.Message  // the last ones that a step looked at
}

// smscs are the simulated SMSCs of a scenario.
type smscs struct{ byName map[string]*smsc }

// named gives an SMSC, which is made if there is none of that name.
func (c *smscs) named(name string) (*smsc, error) {
	if s := c.byName[name]; s != nil {
		return s, nil
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	s := &smsc{name: name, address: address, welcoming: true}
	s.config = smscsim.Config{SMPP: address, HTTP: "none", Accounts: []smscsim.Account{{SystemID: smscUser, Password: smscPassword}},
		// It insists on its receipts for longer than any outage lasts.
		ReceiptRetry: smscsim.Duration(200 * time.Millisecond), ReceiptTries: 10_000}
	c.byName[name] = s
	return s, nil
}

// given are the ports that scenarios of this process have.
var given sync.Map

// freeAddress finds a port below those that the system hands out by itself, and that no other
// scenario was given, so that nobody gets it while its SMSC is down.
func freeAddress() (string, error) {
	for range 1000 {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(10000+mathrand.IntN(9000)))
		if _, taken := given.LoadOrStore(address, true); taken {
			continue
		}
		if l, err := net.Listen("tcp", address); err == nil {
			return address, l.Close()
		}
	}
	return "", errors.New("no free port between 10000 and 18999")
}

// start starts it, unless it is to be down or is up already.
func (s *smsc) start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sim != nil || s.down {
		return nil
	}
	cfg := s.config
	cfg.Behaviour.Rules = slices.Clone(s.rules)
	sim := smscsim.New(cfg)
	if err := sim.Start(context.Background()); err != nil {
		return err
	}
	s.sim = sim
	return nil
}

func (s *smsc) stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sim == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	err := s.sim.Stop(ctx)
	s.former = append(s.former, s.sim.Messages(smscsim.Filter{})...)
	s.sim = nil
	return err
}

func (s *smsc) running() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sim != nil
}

func (s *smsc) simulator() (*smscsim.Simulator, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sim == nil {
		return nil, fmt.Errorf("SMSC %q is down", s.name)
	}
	return s.sim, nil
}

// bound counts the sessions that are bound.
func (s *smsc) bound() int {
	sim, err := s.simulator()
	if err != nil {
		return 0
	}
	n := 0
	for _, v := range sim.Sessions() {
		if strings.HasPrefix(v.State, "BOUND") {
			n++
		}
	}
	return n
}

// all are the messages that arrived, oldest first.
func (s *smsc) all() []smscsim.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := slices.Clone(s.former)
	if s.sim != nil {
		list = append(list, s.sim.Messages(smscsim.Filter{})...)
	}
	return list
}

// count is the number of messages that arrived.
func (s *smsc) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.former)
	if s.sim != nil {
		n += s.sim.Count(smscsim.Filter{})
	}
	return n
}

// rule has a rule hold from now on, before the others.
func (s *smsc) rule(r smscsim.Rule) error {
	if sim, err := s.simulator(); err == nil {
		return sim.AddRule(r)
	}
	s.rules = append([]smscsim.Rule{r}, s.rules...)
	return nil
}

// holds waits for n messages that are not answered, and sees that it gets no more: on each session
// the connector answers requests, which it does after it has sent what it may.
func (s *smsc) holds(n int) error {
	sim, err := s.simulator()
	if err != nil {
		return err
	}
	ctx, cancel := deadline()
	defer cancel()
	if _, err := sim.Wait(ctx, n, smscsim.Filter{}); err != nil {
		return err
	}
	for range 3 {
		for _, v := range sim.Sessions() {
			mo := smscsim.MO{Account: v.Account, Session: v.ID, From: "4479", To: "1234", Text: "whatever the answer"}
			if _, err := sim.InjectMO(ctx, mo); err != nil {
				return err
			}
		}
	}
	if st := sim.Stats(); st.Submitted != uint64(n) || st.Unanswered != uint64(n) {
		return fmt.Errorf("it has %d messages, %d of them unanswered", st.Submitted, st.Unanswered)
	}
	return nil
}

// relent has it answer everything, and drops the connections with messages that it never
// will, so that the gateway can stop in order.
func (s *smsc) relent() error {
	sim, err := s.simulator()
	if err != nil {
		return nil // it is down
	}
	b := sim.Behaviour()
	b.Rules = nil
	err = sim.SetBehaviour(b)
	if sim.Stats().Unanswered > 0 {
		sim.Drop("")
	}
	return err
}

// change changes the general behaviour.
func (s *smsc) change(f func(*smscsim.Behaviour)) error {
	f(&s.config.Behaviour)
	sim, err := s.simulator()
	if err != nil {
		return nil
	}
	b := sim.Behaviour()
	f(&b)
	return sim.SetBehaviour(b)
}

// next waits for n messages that no step has looked at yet.
func (s *smsc) next(n int) ([]smscsim.Message, error) {
	sim, err := s.simulator()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	seen, former := s.message, s.former
	s.mu.Unlock()
	ctx, cancel := deadline()
	defer cancel()
	list, err := sim.Wait(ctx, max(seen+n-len(former), 0), smscsim.Filter{})
	list = append(slices.Clone(former), list...)
	if err != nil {
		return nil, fmt.Errorf("waiting for %d messages at the SMSC, there are %d more: %w", n, len(list)-seen, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken = list[seen : seen+n]
	s.message += n
	return s.taken, nil
}

// which is the SMSC that a sentence speaks of: the one with a name, or else the only one.
func (c *smscs) which(name string) (*smsc, error) {
	if name == "" && c.byName[""] == nil && len(c.byName) > 0 {
		return nil, errors.New("there are several SMSCs, the sentence must name one")
	}
	return c.named(name)
}

// theSMSC begins sentences about an SMSC.
const theSMSC = `^the SMSC(?: "(\w+)")? `

// simulator is the simulator of that SMSC, which is up.
func (c *smscs) simulator(name string) (*smscsim.Simulator, error) {
	s, err := c.which(name)
	if err != nil {
		return nil, err
	}
	return s.simulator()
}

func (c *smscs) steps(sc *godog.ScenarioContext, m *messages) {
	// say declares a sentence of SMSCs whose further arguments are words.
	say := func(expr string, f func(s *smsc, arg []string) error) {
		handler := func(args ...string) error {
			s, err := c.which(args[0])
			if err != nil {
				return err
			}
			return f(s, args[1:])
		}
		switch strings.Count(expr, "(") - strings.Count(expr, "(?:") {
		case 0:
			sc.Step(theSMSC+expr, func(a string) error { return handler(a) })
		case 1:
			sc.Step(theSMSC+expr, func(a, b string) error { return handler(a, b) })
		case 2:
			sc.Step(theSMSC+expr, func(a, b, c string) error { return handler(a, b, c) })
		case 3:
			sc.Step(theSMSC+expr, func(a, b, c, d string) error { return handler(a, b, c, d) })
		}
	}
	say(`is down$`, func(s *smsc, _ []string) error {
		s.down = true
		return s.stop()
	})
	say(`(?:comes|is) up(?: again)?$`, func(s *smsc, _ []string) error {
		s.down = false
		return s.start()
	})
	say(`drops every connection$`, func(s *smsc, _ []string) error {
		sim, err := s.simulator()
		if err == nil && sim.Drop("") == 0 {
			err = errors.New("there was none")
		}
		return err
	})
	say(`refuses the first (\d+) binds with (\w+)$`, func(s *smsc, a []string) error {
		return s.rule(smscsim.Rule{Operations: []string{"bind"}, Times: number(a[0]), Answer: &smscsim.Answer{Status: a[1]}})
	})
	say(`refuses binds with (\w+)$`, func(s *smsc, a []string) error {
		s.welcoming = false
		return s.rule(smscsim.Rule{Operations: []string{"bind"}, Answer: &smscsim.Answer{Status: a[0]}})
	})
	say(`was asked to bind (\d+) times or more$`, func(s *smsc, a []string) error {
		sim, err := s.simulator()
		if err != nil {
			return err
		}
		return until(a[0]+" bind requests", func() bool { return sim.Stats().Operations["bind_transceiver"] >= uint64(number(a[0])) })
	})
	say(`throttles what exceeds (\d+) unanswered messages on a bind$`, func(s *smsc, a []string) error {
		s.config.Accounts[0].Window = number(a[0])
		return nil
	})
	say(`answers (\w+) to the next (\d+) messages?$`, func(s *smsc, a []string) error {
		return s.rule(smscsim.Rule{Times: number(a[1]), Answer: &smscsim.Answer{Status: a[0]}})
	})
	say(`answers (\w+) to every message$`, func(s *smsc, a []string) error {
		return s.rule(smscsim.Rule{Answer: &smscsim.Answer{Status: a[0]}})
	})
	say(`throttles more than (\d+) messages a second$`, func(s *smsc, a []string) error {
		return s.change(func(b *smscsim.Behaviour) { b.Throughput = float64(number(a[0])) })
	})
	say(`takes (\d+)(?: to (\d+))? milliseconds for an answer$`, func(s *smsc, a []string) error {
		low := time.Duration(number(a[0])) * time.Millisecond
		high := max(low, time.Duration(number(a[1]))*time.Millisecond)
		return s.rule(smscsim.Rule{Answer: &smscsim.Answer{Delay: smscsim.Span{Min: low, Max: high}}})
	})
	say(`answers nothing$`, func(s *smsc, _ []string) error {
		return s.rule(smscsim.Rule{Answer: &smscsim.Answer{Action: smscsim.ActionNone}})
	})
	say(`answers again$`, func(s *smsc, _ []string) error {
		return s.change(func(b *smscsim.Behaviour) { b.Rules = nil })
	})
	say(`takes the (?:next|next (\d+)) messages? and drops the connection in place of an answer$`, func(s *smsc, a []string) error {
		return s.rule(smscsim.Rule{Times: max(1, number(a[0])), Answer: &smscsim.Answer{Action: smscsim.ActionDrop}})
	})
	say(`numbers messages in (decimal|hex|HEX), and in (decimal|hex|HEX) in its receipts$`, func(s *smsc, a []string) error {
		s.config.IDFormat, s.config.IDStart = a[0], 0xABCDEF01
		return s.change(func(b *smscsim.Behaviour) { b.Receipt.ID = a[1] })
	})
	say(`writes ids with (\d+) digits$`, func(s *smsc, a []string) error {
		s.config.IDWidth = number(a[0])
		return nil
	})
	say(`sends no receipts$`, func(s *smsc, _ []string) error {
		return s.change(func(b *smscsim.Behaviour) { b.Receipt.Send = smscsim.SendNever })
	})
	say(`sends receipts before its answers$`, func(s *smsc, _ []string) error {
		early := smscsim.Exactly(-100 * time.Millisecond)
		return s.change(func(b *smscsim.Behaviour) { b.Receipt.Delay = &early })
	})
	say(`sends receipts as (text|tlv|payload|data_sm)$`, func(s *smsc, a []string) error {
		return s.change(func(b *smscsim.Behaviour) { b.Receipt.Form = a[0] })
	})
	say(`says ENROUTE before the final receipt$`, func(s *smsc, _ []string) error {
		return s.change(func(b *smscsim.Behaviour) { b.Receipt.Intermediate = []string{"ENROUTE"} })
	})
	say(`says (\w+) with error (\w+) in its receipts$`, func(s *smsc, a []string) error {
		return s.change(func(b *smscsim.Behaviour) { b.Receipt.State, b.Receipt.Err = a[0], a[1] })
	})
	say(`says (\w+) with error (\w+) of message (\d+)$`, func(s *smsc, a []string) error {
		return s.rule(smscsim.Rule{Skip: number(a[2]) - 1, Times: 1, Receipt: &smscsim.Receipt{State: a[0], Err: a[1]}})
	})
	say(`gets (\d+) messages?$`, func(s *smsc, a []string) error {
		_, err := s.next(number(a[0]))
		return err
	})
	say(`gets the message$`, func(s *smsc, _ []string) error {
		list, err := s.next(1)
		if err == nil && list[0].Text != m.want {
			err = fmt.Errorf("it got %q, want %q", list[0].Text, m.want)
		}
		return err
	})
	say(`gets the message again$`, func(s *smsc, _ []string) error {
		before := s.taken
		list, err := s.next(1)
		if err == nil && (len(before) == 0 || list[0].Text != before[0].Text || list[0].To != before[0].To) {
			err = fmt.Errorf("it got %q to %s, want the message before: %+v", list[0].Text, list[0].To, before)
		}
		return err
	})
	say(`gets nothing else$`, func(s *smsc, _ []string) error { return m.nothingElse(s) })
	say(`refused (nothing|\d+ messages?)$`, func(s *smsc, a []string) error {
		sim, err := s.simulator()
		if err != nil {
			return err
		}
		n, st := uint64(number(strings.Fields(a[0])[0])), sim.Stats()
		if st.Refused != n {
			return fmt.Errorf("it refused %d: %v", st.Refused, st.Statuses)
		}
		// What exceeds an account's window is refused without being looked at.
		if requests := st.Operations["submit_sm"]; requests != st.Submitted {
			return fmt.Errorf("it refused %d of %d requests, which exceeded the window", requests-st.Submitted, requests)
		}
		return nil
	})
	say(`holds (\d+) unanswered messages and no more$`, func(s *smsc, a []string) error {
		return s.holds(number(a[0]))
	})
	say(`spoils its next answer by (\w+)$`, func(s *smsc, a []string) error {
		return s.rule(smscsim.Rule{Times: 1, Answer: &smscsim.Answer{Action: smscsim.ActionMalformed, Malformed: a[0]}})
	})
	say(`has seen (\d+) connections?$`, func(s *smsc, a []string) error {
		sim, err := s.simulator()
		if err != nil {
			return err
		}
		if n := sim.Stats().Connections; n != uint64(number(a[0])) {
			return fmt.Errorf("it has seen %d", n)
		}
		return nil
	})
	sc.Step(theSMSC+`gets a message with:$`, func(name string, t *godog.Table) error {
		want, err := pairs(t)
		if err != nil {
			return err
		}
		s, err := c.which(name)
		if err != nil {
			return err
		}
		list, err := s.next(1)
		if err != nil {
			return err
		}
		for _, kv := range want {
			err = errors.Join(err, checkField(&list[0], kv[0], kv[1]))
		}
		return err
	})
	sc.Step(theSMSC+`gets the parts:$`, func(name string, t *godog.Table) error {
		want, err := rows(t)
		if err != nil {
			return err
		}
		s, err := c.which(name)
		if err != nil {
			return err
		}
		list, err := s.next(len(want))
		if err != nil {
			return err
		}
		// Parts leave in order; still, it is their numbers that count.
		slices.SortStableFunc(list, func(a, b smscsim.Message) int { return int(partSeq(&a)) - int(partSeq(&b)) })
		for i := range want {
			for field, value := range want[i] {
				if fault := checkField(&list[i], field, value); fault != nil {
					err = errors.Join(err, fmt.Errorf("part %d: %w", i+1, fault))
				}
			}
		}
		return err
	})
	c.tlvSteps(sc)
	sc.Step(`^the parts read "(.*)" together$`, func(want string) error {
		s, err := c.which("")
		if err != nil {
			return err
		}
		return s.checkJoined(expand(want))
	})
	sc.Step(`^the parts are the content together$`, func() error {
		s, err := c.which("")
		if err != nil {
			return err
		}
		return s.checkJoined(m.want)
	})
}

func partSeq(m *smscsim.Message) uint8 {
	if m.Part == nil {
		return 0
	}
	return m.Part.Seq
}

// checkJoined compares the parts that were last looked at, put together by their references.
func (s *smsc) checkJoined(want string) error {
	sim, err := s.simulator()
	if err != nil {
		return err
	}
	if len(s.taken) == 0 {
		return errors.New("no step has looked at parts")
	}
	whole := sim.Messages(smscsim.Filter{Joined: true, To: s.taken[0].To})
	for _, m := range whole {
		if m.Text == want && len(m.Parts) == len(s.taken) {
			return nil
		}
	}
	return fmt.Errorf("none of the %d long messages is the content: %+v", len(whole), whole)
}

// checkField compares one field of a message, under the name that SMPP gives it.
func checkField(m *smscsim.Message, field, want string) error {
	got, err := fieldOf(m, field)
	if err == nil && !same(want, got) {
		err = fmt.Errorf("%s is %q, want %q", field, got, expand(want))
	}
	return err
}

func fieldOf(m *smscsim.Message, field string) (string, error) {
	num := func(n uint8) (string, error) { return strconv.Itoa(int(n)), nil }
	switch field {
	case "text":
		return m.Text, nil
	case "characters":
		return strconv.Itoa(len([]rune(m.Text))), nil
	case "octets":
		return strconv.Itoa(len(m.ShortMessage) / 2), nil
	case "short_message":
		return m.ShortMessage, nil
	case "source_addr":
		return m.From, nil
	case "source_addr_ton":
		return num(m.FromTON)
	case "source_addr_npi":
		return num(m.FromNPI)
	case "destination_addr":
		return m.To, nil
	case "dest_addr_ton":
		return num(m.ToTON)
	case "dest_addr_npi":
		return num(m.ToNPI)
	case "service_type":
		return m.ServiceType, nil
	case "esm_class":
		return fmt.Sprintf("0x%02X", m.ESMClass), nil
	case "data_coding":
		return num(m.DataCoding)
	case "protocol_id":
		return num(m.ProtocolID)
	case "priority_flag":
		return num(m.PriorityFlag)
	case "registered_delivery":
		return num(m.RegisteredDelivery)
	case "replace_if_present_flag":
		return num(m.ReplaceIfPresent)
	case "sm_default_msg_id":
		return num(m.SMDefaultMsgID)
	case "schedule_delivery_time":
		return m.ScheduleDeliveryTime, nil
	case "validity_period":
		return m.ValidityPeriod, nil
	case "command_status":
		return m.Status, nil
	case "part":
		if m.Part == nil {
			return "none", nil
		}
		return fmt.Sprintf("%d of %d by %s", m.Part.Seq, m.Part.Total, m.Part.Method), nil
	case "warnings":
		return strings.Join(m.Warnings, "; "), nil
	}
	return "", fmt.Errorf("%q is no field of a message", field)
}

func (c *smscs) tlvSteps(sc *godog.ScenarioContext) {
	sc.Step(theSMSC+`gets (\d+) parts? with the TLVs:$`, func(name string, n int, t *godog.Table) error {
		s, err := c.which(name)
		if err != nil {
			return err
		}
		list, err := s.next(n)
		if err != nil {
			return err
		}
		want, err := pairs(t)
		for i := range list {
			err = errors.Join(err, checkTLVs(&list[i], want))
		}
		return err
	})
}

// checkTLVs wants exactly these TLVs, in this order; those that say which part it is do not count.
func checkTLVs(m *smscsim.Message, want [][2]string) error {
	got := slices.DeleteFunc(slices.Clone(m.TLVs), func(t smscsim.TLV) bool { return t.Tag == "more_messages_to_send" || strings.HasPrefix(t.Tag, "sar_") })
	same := len(got) == len(want)
	for i := range min(len(got), len(want)) {
		same = same && got[i].Tag == want[i][0] && got[i].Value == want[i][1]
	}
	if !same {
		return fmt.Errorf("message %d has the TLVs %v, want %v", m.N, got, want)
	}
	return nil
}
