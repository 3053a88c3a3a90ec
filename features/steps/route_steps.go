package steps

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"

	"github.com/cucumber/godog"

	"jasmind/internal/smscsim"
)

func (m *messages) routeSteps(sc *godog.ScenarioContext) {
	sc.Step(`^(\d+) messages are shared by the SMSCs:$`, m.shared)
	sc.Step(`^messages to these numbers go where the table says:$`, m.goesWhere)
}

// goesWhere sends a message for each row, with its columns as parameters but for the last, SMSC: the one that gets it.
func (m *messages) goesWhere(t *godog.Table) error {
	want, err := rows(t)
	if err != nil {
		return err
	}
	for _, row := range want {
		params := url.Values{"username": {"foo"}, "password": {"bar"}, "content": {"hello"}}
		for name, value := range row {
			if name != "SMSC" && value != "" {
				params.Set(name, value)
			}
		}
		if m.answer = m.http.send(m.gateway.run.http(), "GET", params); m.answer.id == "" {
			return fmt.Errorf("the answer for %v was %s", row, m.answer)
		}
		s, err := m.smscs.named(row["SMSC"])
		if err != nil {
			return err
		}
		list, err := s.next(1)
		if err != nil {
			return fmt.Errorf("%v: %w", row, err)
		}
		if got := list[0].To; got != row["to"] {
			return fmt.Errorf("SMSC %q got a message to %s, want %v", row["SMSC"], got, row)
		}
	}
	return nil
}

// shared sends messages and has each SMSC get between least and most of them, all together all.
func (m *messages) shared(n int, t *godog.Table) error {
	want, err := rows(t)
	if err != nil {
		return err
	}
	for range n {
		if m.answer = m.http.send(m.gateway.run.http(), "GET", url.Values{"username": {"foo"}, "password": {"bar"}, "to": {"06222172"}, "content": {"hello"}}); m.answer.id == "" {
			return fmt.Errorf("the answer was %s", m.answer)
		}
	}
	var fault error
	got := make([]int, len(want))
	err = until(fmt.Sprintf("%d messages at the SMSCs", n), func() bool {
		all := 0
		for i, row := range want {
			s, err := m.smscs.named(row["SMSC"])
			if err == nil {
				var sim *smscsim.Simulator
				if sim, err = s.simulator(); err == nil {
					got[i] = len(sim.Messages(smscsim.Filter{}))
				}
			}
			fault = errors.Join(fault, err)
			all += got[i]
		}
		return all >= n || fault != nil
	})
	if err = errors.Join(err, fault); err != nil {
		return err
	}
	all := 0
	for i, row := range want {
		least, err := strconv.Atoi(row["least"])
		most, err2 := strconv.Atoi(row["most"])
		if err = errors.Join(err, err2); err != nil {
			return err
		}
		if got[i] < least || got[i] > most {
			return fmt.Errorf("SMSC %q got %d, want %d to %d", row["SMSC"], got[i], least, most)
		}
		all += got[i]
	}
	if all != n {
		return fmt.Errorf("%d messages at the SMSCs, want %d", all, n)
	}
	return nil
}
