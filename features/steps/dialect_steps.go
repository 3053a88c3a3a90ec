package steps

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/cucumber/godog"

	"jasmind/internal/smscsim"
)

// moments are when receipts come, counted from the answer to the submission, by how the
// destination begins.
var moments = map[string]time.Duration{"31": -500 * time.Millisecond, "32": 0, "33": 500 * time.Millisecond}

// latencies are how long DLRs took in the scenarios of a run.
type latencies struct {
	mu      sync.Mutex
	count   int
	slowest map[time.Duration]time.Duration // by the moment of the receipt
	where   map[time.Duration]string
}

func (l *latencies) note(moment, took time.Duration, where string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.slowest == nil {
		l.slowest, l.where = map[time.Duration]time.Duration{}, map[time.Duration]string{}
	}
	l.count++
	if took > l.slowest[moment] {
		l.slowest[moment], l.where[moment] = took, where
	}
}

// Slowest says how long the slowest DLR of the dialects took, counted from when both the answer and the
// receipt were sent; "" if there was none.
func (s *Suite) Slowest() string {
	l := &s.latencies
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.count == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d DLRs, slowest from when answer and receipt were both sent:", l.count)
	for _, prefix := range []string{"31", "32", "33"} {
		moment := moments[prefix]
		fmt.Fprintf(&b, "\n  receipt %+d ms from the answer: %d ms (%s)", moment.Milliseconds(), l.slowest[moment].Milliseconds(), l.where[moment])
	}
	return b.String()
}

func (m *messages) dialectSteps(sc *godog.ScenarioContext) {
	sc.Step(`^the SMSC describes its receipts by (\{.*\})$`, func(text string) error {
		s, err := m.smscs.named("")
		if err != nil {
			return err
		}
		var r smscsim.Receipt
		d := json.NewDecoder(strings.NewReader(text))
		d.DisallowUnknownFields()
		if err := d.Decode(&r); err != nil {
			return fmt.Errorf("%s: %w", text, err)
		}
		return s.change(func(b *smscsim.Behaviour) { b.Receipt = r })
	})
	sc.Step(`^the SMSC numbers messages in (decimal|hex|HEX|decimal64|hex64|uuid)$`, func(format string) error {
		s, err := m.smscs.named("")
		if err == nil {
			s.config.IDFormat = format
		}
		return err
	})
	sc.Step(`^the SMSC sends receipts half a second before, with and half a second after its answers$`, func() error {
		s, err := m.smscs.named("")
		for prefix, moment := range moments {
			if err != nil {
				return err
			}
			delay := smscsim.Exactly(moment)
			err = s.rule(smscsim.Rule{To: prefix, Receipt: &smscsim.Receipt{Delay: &delay}})
		}
		return err
	})
	sc.Step(`^(\d+) messages are sent for each moment of a receipt$`, m.sendForEachMoment)
	sc.Step(`^the page is told of each of them by its id at the SMSC, with the status (\w+) and err (\w+)$`, m.toldByID)
}

func (m *messages) sendForEachMoment(n int) error {
	for i := range n {
		for prefix := range moments {
			v := url.Values{"username": {"foo"}, "password": {"bar"}, "to": {fmt.Sprintf("%s%06d", prefix, i)}, "content": {"hello"},
				"dlr-url": {m.pages.url(dlrPath)}, "dlr-level": {"2"}, "dlr-method": {"GET"}}
			a := m.http.send(m.gateway.run.http(), "GET", v)
			if a.id == "" {
				return fmt.Errorf("a message was answered %s", a)
			}
			a.to = v.Get("to")
			m.sent = append(m.sent, a)
		}
	}
	return nil
}

// toldByID waits for the final DLR of each message that was sent, and compares its id at the SMSC.
func (m *messages) toldByID(status, code string) error {
	s, err := m.smscs.which("")
	if err != nil {
		return err
	}
	list, err := s.next(len(m.sent))
	if err != nil {
		return err
	}
	at := make(map[string]smscsim.Message)
	for _, sm := range list {
		at[sm.To] = sm
	}
	// final gives the first DLR of a message with a status that is not intermediate.
	final := func(calls []call, id string) *call {
		for i := range calls {
			if calls[i].params.Get("id") == id && calls[i].params.Get("message_status") != "SCHEDLD" {
				return &calls[i]
			}
		}
		return nil
	}
	err = m.pages.at(dlrPath).calls.wait(fmt.Sprintf("%d final DLRs", len(m.sent)), func(calls []call) bool {
		for _, a := range m.sent {
			if final(calls, a.id) == nil {
				return false
			}
		}
		return true
	})
	if err != nil {
		return err
	}
	calls := m.pages.at(dlrPath).calls.all()
	for _, a := range m.sent {
		c, sm := final(calls, a.id), at[a.to]
		want := strings.TrimLeft(strings.ToUpper(sm.ID), "0")
		if got := c.params.Get("id_smsc"); got != want {
			return fmt.Errorf("the DLR of %s to %s names %q, want %q", a.id, a.to, got, want)
		}
		if got := c.params.Get("message_status"); got != status {
			return fmt.Errorf("the DLR of %s to %s has the status %q", a.id, a.to, got)
		}
		if got := c.params.Get("err"); got != code {
			return fmt.Errorf("the DLR of %s to %s has err %q", a.id, a.to, got)
		}
		moment := moments[a.to[:2]]
		both := sm.At.Add(moment.Abs()) // the answer waits for an early receipt, a late one for the answer
		m.gateway.suite.latencies.note(moment, c.at.Sub(both), m.gateway.name)
	}
	return nil
}
