package steps

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/cucumber/godog"

	"jasmind/internal/billing"
)

// lapses is how long a charge may show whose message never came to its queue, and some time
// for the rest.
const lapses = 60*time.Second + patience

// set gives a user a credential of the SMPP server's, or else of messages, by its section and key.
func (u *user) set(asESME bool, section, key, value string) {
	all := &u.credentials
	if asESME {
		all = &u.esme
	}
	if *all == nil {
		*all = make(map[string]map[string]string)
	}
	if (*all)[section] == nil {
		(*all)[section] = make(map[string]string)
	}
	(*all)[section][key] = value
}

// named gives a user of the plan, which is made if there is none; his password is bar.
func (p *plan) named(name string) *user {
	for i := range p.users {
		if p.users[i].name == name {
			return &p.users[i]
		}
	}
	p.users = append(p.users, user{name: name, password: "bar"})
	return &p.users[len(p.users)-1]
}

func (p *plan) accountSteps(sc *godog.ScenarioContext, m *messages, l *load) {
	sc.Step(`^the user "(\w+)" has( at the SMPP server)?:$`, func(name, asESME string, t *godog.Table) error {
		u := p.named(name)
		for _, row := range t.Rows {
			section, key, ok := strings.Cut(row.Cells[0].Value, " ")
			if !ok || len(row.Cells) != 2 {
				return fmt.Errorf("%q is not a section and a key, and a value beside", row.Cells[0].Value)
			}
			u.set(asESME != "", section, key, row.Cells[1].Value)
		}
		return nil
	})
	sc.Step(`^the user "(\w+)" is (disabled|enabled)$`, func(name, how string) { p.named(name).disabled = how == "disabled" })
	sc.Step(`^the group is (disabled|enabled)$`, func(how string) { p.disabled = how == "disabled" })
	sc.Step(`^a message part costs (\S+)$`, func(rate string) { p.rate = rate })
	sc.Step(`^"(\w+)" has a balance of (\S+) and an sms_count of (\S+)$`, m.hasLeft)
	sc.Step(`^(\d+) messages were accepted and (\d+) refused for lack of credit$`, func(accepted, refused int) error {
		var got, lacked int
		for _, a := range l.answers.all() {
			switch {
			case a.id != "":
				got++
			case a.status == http.StatusForbidden && a.body == `Error "Cannot charge submit_sm, check RouterPB log file for details"`:
				lacked++
			default:
				return fmt.Errorf("%s was answered %s", a.content, a)
			}
		}
		if got != accepted || lacked != refused {
			return fmt.Errorf("%d were accepted and %d refused", got, lacked)
		}
		return nil
	})
	sc.Step(`^in the end the balance of "(\w+)" is (\S+) less (\S+) for each message at the SMSC$`, m.paidFor)
}

// balance asks for what a user has left.
func (m *messages) balance(name string) answer {
	v := url.Values{"username": {name}, "password": {m.gateway.plan.named(name).password}}
	return m.http.get("http://" + m.gateway.run.http() + "/balance?" + v.Encode())
}

func (m *messages) hasLeft(name, balance, count string) error {
	if err := m.gateway.running(); err != nil {
		return err
	}
	want := fmt.Sprintf(`{"balance": %s, "sms_count": %s}`, balance, count)
	var got answer
	err := until(want, func() bool { got = m.balance(name); return got.body == want })
	if err != nil {
		return fmt.Errorf("%w; the last answer was %s", err, got)
	}
	return nil
}

// paidFor waits until a balance is what it was, less the price of what the SMSC has: what came
// there twice was paid once, and what a client was not answered for is paid if it is there.
func (m *messages) paidFor(name, start, price string) error {
	s, err := m.smscs.which("")
	if err != nil {
		return err
	}
	from, err1 := billing.Parse(start)
	each, err2 := billing.Parse(price)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), lapses)
	defer cancel()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		there := make(map[string]bool)
		for _, sm := range s.all() {
			if sm.Status == "ESME_ROK" {
				there[sm.Text] = true
			}
		}
		sum, ok := each.Times(len(there))
		if !ok {
			return fmt.Errorf("%d x %s does not fit", len(there), each)
		}
		want := (from - sum).String()
		if !strings.Contains(want, ".") {
			want += ".0"
		}
		got := m.balance(name)
		if strings.HasPrefix(got.body, `{"balance": `+want+`, `) {
			return nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return fmt.Errorf("%d messages are at the SMSC, which makes a balance of %s; the answer was %s", len(there), want, got)
		}
	}
}
